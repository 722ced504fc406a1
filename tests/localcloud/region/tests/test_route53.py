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


def batch(action: str, kind: str, value: str, name: str = "api.example.com.") -> Any:
    record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
    return {"Action": action, "ResourceRecordSet": record}


def values(route53: Any, zone: str, name: str = "api.example.com.") -> list[tuple[str, str]]:
    found = route53.list_resource_record_sets(HostedZoneId=zone, StartRecordName=name)["ResourceRecordSets"]
    return [(one["Type"], one["ResourceRecords"][0]["Value"]) for one in found if one["Name"] == name]


def test_a_batch_is_done_whole_or_not_at_all(route53: Any, zone: str) -> None:
    """API_ChangeResourceRecordSets: "either all or none of the changes in a change batch"; moto does some of them."""
    make = [batch("CREATE", "A", "192.0.2.1"), batch("CREATE", "TXT", '"mine"')]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": make})
    half = [batch("CREATE", "AAAA", "2001:db8::1"), batch("DELETE", "TXT", '"not mine"')]
    code = code_of(route53.change_resource_record_sets, HostedZoneId=zone, ChangeBatch={"Changes": half})
    assert code == "InvalidChangeBatch"
    assert values(route53, zone) == [("A", "192.0.2.1"), ("TXT", '"mine"')]


def test_a_batch_may_delete_a_record_and_create_another_in_its_place(route53: Any, zone: str) -> None:
    """API_ChangeResourceRecordSets: a CNAME is deleted and an alias of its name created in a single operation; moto
    takes a record that was created before for one that exists."""
    change(route53, zone, "CREATE")
    swap = [batch("DELETE", "A", "192.0.2.1"), batch("CREATE", "A", "192.0.2.2")]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": swap})
    assert values(route53, zone) == [("A", "192.0.2.2")]
    change(route53, zone, "DELETE", "192.0.2.2")
    assert change(route53, zone, "CREATE") == "INSYNC"
    assert values(route53, zone) == [("A", "192.0.2.1")]


def test_a_name_is_the_same_with_and_without_its_last_dot_and_belongs_to_its_zone(route53: Any, zone: str) -> None:
    """ResourceRecordSet: "Route 53 treats www.example.com and www.example.com. as identical"; another zone's name is
    refused, also one that only ends in the same letters."""
    change(route53, zone, "CREATE", name="API.example.com")
    assert values(route53, zone) == [("A", "192.0.2.1")]
    assert code_of(change, route53, zone, "CREATE", name="api.example.com.") == "InvalidChangeBatch"
    assert code_of(change, route53, zone, "CREATE", name="api.badexample.com") == "InvalidChangeBatch"
    assert code_of(change, route53, zone, "CREATE", name="api.example.org") == "InvalidChangeBatch"


def test_zones_are_listed_from_a_name_on_and_ids_carry_a_prefix(route53: Any, zone: str) -> None:
    """API_ListHostedZonesByName: "hosted zones in ASCII order", reversed labels, beginning with DNSName; moto lists only
    those of exactly that name."""
    for name in ["demo.example.com", "example.org", "a.com"]:
        route53.create_hosted_zone(Name=name, CallerReference=name)
    listed = [one["Name"] for one in route53.list_hosted_zones_by_name(DNSName="example.com")["HostedZones"]]
    assert listed == ["example.com.", "demo.example.com.", "example.org."]
    assert zone.startswith("/hostedzone/")
    found = route53.get_hosted_zone(Id=zone.removeprefix("/hostedzone/"))["HostedZone"]
    assert (found["Id"], found["Name"], found["Config"]["PrivateZone"]) == (zone, "example.com.", False)
    assert code_of(route53.get_hosted_zone, Id="Z0") == "NoSuchHostedZone"
