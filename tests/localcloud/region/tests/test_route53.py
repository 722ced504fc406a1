"""Route 53's changes, and what it refuses."""

from typing import Any

import pytest

from .conftest import code_of


@pytest.fixture
def route53(cloud: Any) -> Any:
    return cloud.client("route53")


@pytest.fixture
def zone(route53: Any) -> str:
    return route53.create_hosted_zone(Name="example.com", CallerReference="once")["HostedZone"]["Id"]


def change(route53: Any, zone: str, action: str, value: str = "192.0.2.1", name: str = "api.example.com") -> Any:
    record = {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)["ChangeInfo"]["Status"]


def test_a_record_is_created_once_and_deleted_as_it_is(route53: Any, zone: str) -> None:
    """API_ChangeResourceRecordSets: InvalidChangeBatch; moto makes a second record set of the same name."""
    assert change(route53, zone, "CREATE") == "INSYNC"
    assert code_of(change, route53, zone, "CREATE") == "InvalidChangeBatch"
    change(route53, zone, "UPSERT", "192.0.2.2")
    assert code_of(change, route53, zone, "DELETE") == "InvalidChangeBatch"
    assert code_of(change, route53, zone, "DELETE", name="other.example.com") == "InvalidChangeBatch"
    assert code_of(route53.delete_hosted_zone, Id=zone) == "HostedZoneNotEmpty"
    change(route53, zone, "DELETE", "192.0.2.2")
    kinds = [one["Type"] for one in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]]
    assert kinds == ["NS", "SOA"]
    route53.delete_hosted_zone(Id=zone)


def test_a_caller_reference_serves_once(route53: Any, zone: str) -> None:
    """API_CreateHostedZone: HostedZoneAlreadyExists; moto makes a second zone."""
    code = code_of(route53.create_hosted_zone, Name="example.com", CallerReference="once")
    assert code == "HostedZoneAlreadyExists"
    assert route53.list_hosted_zones_by_name(DNSName="example.com")["HostedZones"][0]["Id"] == zone
