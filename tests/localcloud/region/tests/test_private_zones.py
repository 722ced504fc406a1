"""Which VPCs see a private hosted zone."""

from typing import Any

import pytest

from .conftest import code_of


@pytest.fixture
def route53(cloud: Any) -> Any:
    return cloud.client("route53")


def vpc(cloud: Any) -> dict[str, str]:
    made = cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return {"VPCRegion": "us-east-1", "VPCId": made}


def private(route53: Any, reference: str, of: dict[str, str], name: str = "example.com") -> str:
    config = {"Comment": "", "PrivateZone": True}
    made = route53.create_hosted_zone(Name=name, CallerReference=reference, HostedZoneConfig=config, VPC=of)
    return made["HostedZone"]["Id"]


def seen_by(route53: Any, zone: str) -> list[dict[str, str]]:
    return route53.get_hosted_zone(Id=zone)["VPCs"]


def test_a_private_zone_is_made_for_a_vpc_and_keeps_one(route53: Any, cloud: Any) -> None:
    """API_CreateHostedZone, API_DisassociateVPCFromHostedZone: LastVPCAssociation; moto makes one without a VPC."""
    config = {"Comment": "", "PrivateZone": True}
    code = code_of(route53.create_hosted_zone, Name="example.com", CallerReference="none", HostedZoneConfig=config)
    assert code == "InvalidInput"
    first, second = vpc(cloud), vpc(cloud)
    zone = private(route53, "one", first)
    assert seen_by(route53, zone) == [first]
    assert code_of(route53.disassociate_vpc_from_hosted_zone, HostedZoneId=zone, VPC=second) == "VPCAssociationNotFound"
    assert code_of(route53.disassociate_vpc_from_hosted_zone, HostedZoneId=zone, VPC=first) == "LastVPCAssociation"
    route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=second)
    assert seen_by(route53, zone) == [first, second]
    route53.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC=first)
    assert seen_by(route53, zone) == [second]


def test_a_vpc_sees_one_private_zone_of_a_name(route53: Any, cloud: Any) -> None:
    """API_AssociateVPCWithHostedZone: ConflictingDomainExists; moto lists the VPC twice."""
    first, second = vpc(cloud), vpc(cloud)
    one, other = private(route53, "one", first), private(route53, "two", second)
    for zone in [one, other]:
        assert code_of(route53.associate_vpc_with_hosted_zone, HostedZoneId=zone, VPC=first) == "ConflictingDomainExists"
    assert code_of(private, route53, "three", first) == "ConflictingDomainExists"
    below = private(route53, "four", first, "demo.example.com")
    assert seen_by(route53, below) == [first]
    public = route53.create_hosted_zone(Name="example.com", CallerReference="five")["HostedZone"]["Id"]
    assert code_of(route53.associate_vpc_with_hosted_zone, HostedZoneId=public, VPC=first) == "PublicZoneVPCAssociation"


def test_a_vpc_that_isn_t_there_sees_no_zone(route53: Any, cloud: Any) -> None:
    """API_AssociateVPCWithHostedZone: InvalidVPCId; moto lists whatever it is told."""
    nobody = {"VPCRegion": "us-east-1", "VPCId": "vpc-0123456789abcdef0"}
    assert code_of(private, route53, "one", nobody) == "InvalidVPCId"
    zone = private(route53, "two", vpc(cloud))
    assert code_of(route53.associate_vpc_with_hosted_zone, HostedZoneId=zone, VPC=nobody) == "InvalidVPCId"


def test_machines_hear_of_a_private_zone_with_the_vpcs_that_see_it(route53: Any, cloud: Any) -> None:
    """README.md, "The world": values are texts, of the records that come with a zone, too."""
    of = vpc(cloud)
    private(route53, "one", of)
    (zone,) = cloud.control("GET", "/world")["zones"]
    assert (zone["name"], zone["vpcs"]) == ("example.com.", [of["VPCId"]])
    assert {record["type"] for record in zone["records"]} == {"NS", "SOA"}
    assert all(isinstance(value, str) for record in zone["records"] for value in record["values"])
