"""Load balancers: network ones as AWS has them; of application and classic ones, the latter moto's, that they are in the way.

Facts are from the Elastic Load Balancing API Reference, version 2015-12-01 (API_<action>), and the User Guide for Network
Load Balancers.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.backends import get_backend
from moto.core.exceptions import ServiceException

from . import addresses, elbv2, ipv6_addresses, network_interfaces, subnet_ranges
from .actions import action
from .address_space import take_automatic
from .elbv2 import BALANCER, LISTENER, invalid
from .errors import AwsError, Unimplemented
from .services import service
from .state import Region, now
from .transitions import soon

Params = dict[str, Any]
REQUESTER = "amazon-elb"
IN_ARN = {"network": "net", "application": "app"}
HOSTED_ZONES = {"network": "Z26RNL4JYFTOTI", "application": "Z35SXDOTRQ7X7K"}
UNKNOWN = ("CustomerOwnedIpv4Pool", "EnablePrefixForIpv6SourceNat", "IpamPools")

# API_LoadBalancerAttribute, and "Load balancer attributes" in the guide.
ATTRIBUTES = {
    "deletion_protection.enabled": "false",
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "load_balancing.cross_zone.enabled": "false",
    "zonal_shift.config.enabled": "false",
}
OWN_ATTRIBUTES = {
    "network": {"dns_record.client_routing_policy": "any_availability_zone", "secondary_ips.auto_assigned.per_subnet": "0"},
    "application": {
        "load_balancing.cross_zone.enabled": "true",
        "idle_timeout.timeout_seconds": "60",
        "routing.http2.enabled": "true",
        "routing.http.drop_invalid_header_fields.enabled": "false",
    },
}

service("elb", version="2012-06-01", signing_name="elasticloadbalancing", iam_prefix="elasticloadbalancing", regional=True)


@dataclass(eq=False)
class Place:
    """A load balancer in a subnet. Only network ones have an interface there."""

    subnet: Any
    mapping: dict[str, Any]
    interface: Any = None
    elastic_ip: str | None = None


@dataclass(eq=False)
class Balancer:
    """A load balancer. States: provisioning, active."""

    arn: str
    name: str
    kind: str
    asked: dict[str, Any]
    tags: dict[str, str]
    groups: list[Any]
    created: datetime
    attributes: dict[str, str]
    places: list[Place] = field(default_factory=list)
    state: str = "provisioning"

    @property
    def vpc_id(self) -> str:
        return self.places[0].subnet.vpc_id

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def internal(self) -> bool:
        return self.asked["Scheme"] == "internal"


def balancers(region: Region) -> dict[str, Balancer]:
    """The load balancers of the newer generations, by ARN."""
    return elbv2.all_of(region, BALANCER)


def _in_use(region: Region) -> list[tuple[Any, set[str], set[str]]]:
    """Of each load balancer without interfaces: its VPC, its subnets, its security groups."""
    classic = get_backend("elb")[region.account][region.name].load_balancers.values()
    found = [(one.vpc_id, set(one.subnets), set(one.security_groups or [])) for one in classic]
    application = [one for one in balancers(region).values() if one.kind == "application"]
    return found + [
        (one.vpc_id, {place.subnet.id for place in one.places}, {group.id for group in one.groups}) for one in application
    ]


def use_vpc(region: Region, vpc_id: str | None) -> bool:
    """Whether a load balancer is in a VPC, with public addresses."""
    return any(vpc == vpc_id for vpc, _, _ in _in_use(region))


def use_subnet(region: Region, subnet_id: str) -> bool:
    """Whether a load balancer has a network interface in a subnet."""
    return any(subnet_id in subnets for _, subnets, _ in _in_use(region))


def use_group(region: Region, group_id: str) -> bool:
    """Whether a load balancer's interfaces are members of a security group."""
    return any(group_id in groups for _, _, groups in _in_use(region))


@action("elbv2", "CreateLoadBalancer")
def create_load_balancer(region: Region, params: Params) -> dict[str, Any]:
    """Asking for one that exists gives that, unless it has other settings (API_CreateLoadBalancer, "idempotent" and
    DuplicateLoadBalancerName)."""
    if unknown := [name for name in UNKNOWN if params.get(name)]:
        raise Unimplemented(f"{', '.join(unknown)} of a load balancer")
    if params.get("Type") == "gateway":
        raise Unimplemented("Gateway Load Balancers")
    name, kind = params.get("Name") or "", params.get("Type") or "application"
    elbv2.check_name(name, "Load balancer")
    tags, mappings = elbv2.given_tags(params), _mappings(params)
    asked = {
        "Type": kind,
        "Scheme": params.get("Scheme") or "internet-facing",
        "IpAddressType": params.get("IpAddressType") or "ipv4",
        "SecurityGroups": sorted(params.get("SecurityGroups") or []),
        "SubnetMappings": sorted(mappings, key=lambda one: str(one.get("SubnetId"))),
    }
    existing = next((one for one in balancers(region).values() if one.name == name), None)
    if existing is None:
        existing = _create(region, name, asked, tags)
    elif existing.asked != asked:
        raise AwsError(
            "DuplicateLoadBalancerName", f"A load balancer with the same name '{name}' exists, but with different settings"
        )
    return {"LoadBalancers": [describe(existing)]}


def _create(region: Region, name: str, asked: dict[str, Any], tags: dict[str, str]) -> Balancer:
    kind = asked["Type"]
    arn = f"{elbv2.prefix(region)}loadbalancer/{IN_ARN[kind]}/{name}/{elbv2.new_id()}"
    attributes = {**ATTRIBUTES, **OWN_ATTRIBUTES[kind]}
    balancer = Balancer(arn, name, kind, asked, tags, [], now(), attributes)
    subnets = _check_subnets(region, balancer, asked["SubnetMappings"])
    _check_address_type(balancer, asked["IpAddressType"], subnets)
    balancer.groups = _groups(region, asked["SecurityGroups"], subnets[0].vpc_id, kind)
    _enter(region, balancer, subnets, asked["SubnetMappings"])
    balancers(region)[arn] = balancer
    soon(region, lambda: _activate(balancer))
    return balancer


def _activate(balancer: Balancer) -> None:
    balancer.state = "active"


def _mappings(params: Params) -> list[dict[str, Any]]:
    """Subnets are named alone or with addresses, not both."""
    subnets, mappings = params.get("Subnets") or [], params.get("SubnetMappings") or []
    if bool(subnets) == bool(mappings):
        raise invalid("You must specify either subnets or subnet mappings, but not both")
    return [{"SubnetId": one} for one in dict.fromkeys(subnets)] or [dict(one) for one in mappings]


def _check_subnets(region: Region, balancer: Balancer, mappings: list[dict[str, Any]]) -> list[Any]:
    """One subnet of a zone, all of one VPC; public ones for a network load balancer that faces the Internet."""
    subnets = [_subnet(region, one.get("SubnetId")) for one in mappings]
    vpcs, zones = {one.vpc_id for one in subnets}, [one.availability_zone for one in subnets]
    if len(vpcs) > 1:
        raise AwsError("InvalidConfigurationRequest", "The subnets must be of one VPC")
    allocations = [one["AllocationId"] for one in mappings if one.get("AllocationId")]
    if len(allocations) > len(set(allocations)):
        raise AwsError("InvalidConfigurationRequest", "An allocation ID can be given for one subnet only")
    if len(zones) > len(set(zones)):
        raise AwsError(
            "InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        )
    attached = {one.vpc.id for one in region.ec2.internet_gateways.values() if one.vpc}
    if balancer.kind == "network" and not balancer.internal and not vpcs <= attached:
        raise AwsError("InvalidSubnet", f"VPC {subnets[0].vpc_id} has no internet gateway")
    return subnets


def _subnet(region: Region, subnet_id: str | None) -> Any:
    try:
        return region.ec2.get_subnet(subnet_id)
    except ServiceException:
        raise AwsError("SubnetNotFound", f"The subnet ID '{subnet_id}' does not exist") from None


def _groups(region: Region, ids: list[str], vpc_id: str, kind: str) -> list[Any]:
    """A network load balancer may have none; an application one has the VPC's default one then."""
    if not ids and kind == "network":
        return []
    try:
        return network_interfaces.find_groups(region, ids, vpc_id)
    except AwsError as error:
        code = "InvalidSecurityGroup" if error.code == "InvalidGroup.NotFound" else "InvalidConfigurationRequest"
        raise AwsError(code, error.message) from error


def _enter(region: Region, balancer: Balancer, subnets: list[Any], mappings: list[dict[str, Any]]) -> None:
    """Takes a place in each of the subnets, or in none."""
    allocations = [_check_mapping(region, balancer, one) for one in mappings]
    entered: list[Place] = []
    try:
        for subnet, mapping, address in zip(subnets, mappings, allocations, strict=True):
            interface = _interface(region, balancer, subnet, mapping, address) if balancer.kind == "network" else None
            entered.append(Place(subnet, mapping, interface, address.public_ip if address else None))
    except AwsError as error:
        for place in entered:
            _leave(region, place)
        full = error.code == "InsufficientFreeAddressesInSubnet"
        raise AwsError("InvalidSubnet" if full else "InvalidConfigurationRequest", error.message) from error
    balancer.places = [*balancer.places, *entered]


def _check_mapping(region: Region, balancer: Balancer, mapping: dict[str, Any]) -> addresses.Address | None:
    """An Elastic IP address is for one that faces the Internet, a private one for an internal one (API_SubnetMapping)."""
    allocation, private = mapping.get("AllocationId"), mapping.get("PrivateIPv4Address")
    if (allocation or private) and balancer.kind != "network":
        raise AwsError("InvalidConfigurationRequest", "Addresses can be given only for Network Load Balancers")
    if allocation and balancer.internal:
        raise AwsError("InvalidConfigurationRequest", "Allocation IDs can't be given for internal load balancers")
    if private and not balancer.internal:
        raise AwsError("InvalidConfigurationRequest", "Private addresses can be given only for internal load balancers")
    if not allocation:
        return None
    address = next((one for one in region.ec2.addresses if one.id == allocation), None)
    if address is None:
        raise AwsError("AllocationIdNotFound", f"The allocation ID '{allocation}' does not exist")
    if address.association_id:
        raise AwsError("ResourceInUse", f"The allocation ID '{allocation}' is already in use")
    return address


def _interface(
    region: Region, balancer: Balancer, subnet: Any, mapping: dict[str, Any], address: addresses.Address | None
) -> Any:
    """One per subnet, with the load balancer's security groups, and a public address where it faces the Internet."""
    wanted = mapping.get("PrivateIPv4Address")
    made = network_interfaces.create_for_service(
        region, subnet, REQUESTER, "network_load_balancer", list(balancer.groups), wanted
    )
    if balancer.asked["IpAddressType"] == "dualstack":
        ipv6_addresses.give(region, made, {"Ipv6AddressCount": 1})
    made.description = f"ELB {balancer.arn.partition('loadbalancer/')[2]}"
    if address:
        addresses.associate(address, made, made.private_ip_address)
    elif not balancer.internal:
        made.automatic_public_ip = take_automatic(region)
    return made


def _leave(region: Region, place: Place) -> None:
    if place.interface:
        network_interfaces.delete(region, place.interface)


@action("elbv2", "DeleteLoadBalancer")
def delete_load_balancer(region: Region, params: Params) -> dict[str, Any]:
    """With its listeners; one that isn't there is no error (API_DeleteLoadBalancer). Its interfaces go a while later."""
    arn = params.get("LoadBalancerArn") or ""
    if not BALANCER.id_pattern.fullmatch(arn):
        raise invalid(f"'{arn}' is not a valid load balancer ARN")
    balancer = balancers(region).get(arn)
    if balancer is None:
        return {}
    if balancer.attributes["deletion_protection.enabled"] == "true":
        raise AwsError("OperationNotPermitted", f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled")
    del balancers(region)[arn]
    listeners = elbv2.all_of(region, LISTENER)
    for listener in [one for one in listeners.values() if one.balancer is balancer]:
        del listeners[listener.arn]
    for place in balancer.places:
        soon(region, lambda place=place: _leave(region, place))
    return {}


@action("elbv2", "DescribeLoadBalancers")
def describe_load_balancers(region: Region, params: Params) -> dict[str, Any]:
    found = elbv2.select(region, BALANCER, params.get("LoadBalancerArns"), params.get("Names"))
    return elbv2.page("LoadBalancers", [describe(one) for one in found], params)


@action("elbv2", "SetSubnets")
def set_subnets(region: Region, params: Params) -> dict[str, Any]:
    """The subnets that are named are all that it has then (API_SetSubnets); what it has in the others stays as it is."""
    balancer, mappings = elbv2.find(region, BALANCER, params.get("LoadBalancerArn")), _mappings(params)
    subnets = _check_subnets(region, balancer, mappings)
    if subnets[0].vpc_id != balancer.vpc_id:
        raise AwsError("InvalidConfigurationRequest", f"The subnets are not of the load balancer's VPC '{balancer.vpc_id}'")
    wanted = {one.id for one in subnets}
    present = {place.subnet.id for place in balancer.places}
    for place in [one for one in balancer.places if one.subnet.id not in wanted]:
        balancer.places.remove(place)
        soon(region, lambda place=place: _leave(region, place))
    new = [(subnet, one) for subnet, one in zip(subnets, mappings, strict=True) if subnet.id not in present]
    _enter(region, balancer, [subnet for subnet, _ in new], [one for _, one in new])
    places = sorted((place.mapping for place in balancer.places), key=lambda one: str(one.get("SubnetId")))
    balancer.asked = {**balancer.asked, "SubnetMappings": places}
    described = describe(balancer)
    return {"AvailabilityZones": described["AvailabilityZones"], "IpAddressType": described["IpAddressType"]}


def _check_address_type(balancer: Balancer, kind: str, subnets: list[Any]) -> None:
    """IPv6 addresses take IPv6 ranges of all subnets (User Guide, "Update the IP address types for your Network Load
    Balancer")."""
    if kind not in ("ipv4", "dualstack"):
        raise Unimplemented(f"{kind} addresses of a load balancer")
    if kind == "dualstack" and not all(map(subnet_ranges.ipv6_of, subnets)):
        raise AwsError("InvalidSubnet", "You must specify subnets with an associated IPv6 CIDR block.")
    if kind == "dualstack" and any(not subnet.cidr_block for subnet in subnets):
        raise AwsError("InvalidSubnet", "Network Load Balancers can't be in subnets that are for IPv6 only")


@action("elbv2", "SetIpAddressType")
def set_ip_address_type(region: Region, params: Params) -> dict[str, Any]:
    """API_SetIpAddressType."""
    balancer, kind = elbv2.find(region, BALANCER, params.get("LoadBalancerArn")), params.get("IpAddressType") or ""
    _check_address_type(balancer, kind, [place.subnet for place in balancer.places])
    for interface in (place.interface for place in balancer.places if place.interface):
        interface.ipv6_addresses = []
        if kind == "dualstack":
            ipv6_addresses.give(region, interface, {"Ipv6AddressCount": 1})
    balancer.asked = {**balancer.asked, "IpAddressType": kind}
    return {"IpAddressType": kind}


@action("elbv2", "SetSecurityGroups")
def set_security_groups(region: Region, params: Params) -> dict[str, Any]:
    """A Network Load Balancer that was made without security groups never has any; one with always has (API_SetSecurityGroups;
    User Guide, "Update the security groups for your Network Load Balancer")."""
    balancer, ids = elbv2.find(region, BALANCER, params.get("LoadBalancerArn")), params.get("SecurityGroups") or []
    if balancer.kind == "network" and not (balancer.groups and ids):
        raise AwsError(
            "InvalidConfigurationRequest",
            "You cannot add security groups to a Network Load Balancer that was created without any, nor remove all",
        )
    balancer.groups = _groups(region, ids, balancer.vpc_id, balancer.kind)
    for place in balancer.places:
        if place.interface:
            place.interface.groups = list(balancer.groups)
    balancer.asked = {**balancer.asked, "SecurityGroups": sorted(ids)}
    return {"SecurityGroupIds": [group.id for group in balancer.groups]}


@action("elbv2", "DescribeLoadBalancerAttributes")
def describe_load_balancer_attributes(region: Region, params: Params) -> dict[str, Any]:
    return elbv2.described_attributes(elbv2.find(region, BALANCER, params.get("LoadBalancerArn")).attributes)


@action("elbv2", "ModifyLoadBalancerAttributes")
def modify_load_balancer_attributes(region: Region, params: Params) -> dict[str, Any]:
    """What the request doesn't name stays; logs go to a bucket that there is ("Access logs for your Network Load
    Balancer")."""
    balancer = elbv2.find(region, BALANCER, params.get("LoadBalancerArn"))
    attributes = {**balancer.attributes, **elbv2.changed_attributes(balancer.attributes, params)}
    bucket = attributes["access_logs.s3.bucket"]
    if attributes["access_logs.s3.enabled"] == "true" and bucket not in region.s3.buckets:
        raise AwsError("InvalidConfigurationRequest", f"Access Denied for bucket: {bucket}. Please check S3bucket permission")
    balancer.attributes = attributes
    return elbv2.described_attributes(attributes)


def dns_name(balancer: Balancer) -> str:
    """The name that leads to a load balancer's addresses."""
    region = balancer.arn.split(":")[3]
    if balancer.kind == "network":
        return f"{balancer.name}-{balancer.id}.elb.{region}.amazonaws.com"
    start = "internal-" if balancer.internal else ""
    return f"{start}{balancer.name}-{int(balancer.id[:8], 16)}.{region}.elb.amazonaws.com"


def _describe_place(place: Place) -> dict[str, Any]:
    """Only the addresses that were asked for are told."""
    row: dict[str, Any] = {"ZoneName": place.subnet.availability_zone, "SubnetId": place.subnet.id, "LoadBalancerAddresses": []}
    if place.elastic_ip:
        row["LoadBalancerAddresses"] = [{"AllocationId": place.mapping["AllocationId"], "IpAddress": place.elastic_ip}]
    elif private := place.mapping.get("PrivateIPv4Address"):
        row["LoadBalancerAddresses"] = [{"PrivateIPv4Address": private}]
    return row


def describe(balancer: Balancer) -> dict[str, Any]:
    """A load balancer in the form of DescribeLoadBalancers."""
    places = sorted(balancer.places, key=lambda place: place.subnet.availability_zone)
    return {
        "LoadBalancerArn": balancer.arn,
        "LoadBalancerName": balancer.name,
        "DNSName": dns_name(balancer),
        "CanonicalHostedZoneId": HOSTED_ZONES[balancer.kind],
        "CreatedTime": balancer.created,
        "Scheme": balancer.asked["Scheme"],
        "VpcId": balancer.vpc_id,
        "State": {"Code": balancer.state},
        "Type": balancer.kind,
        "AvailabilityZones": [_describe_place(place) for place in places],
        "SecurityGroups": [group.id for group in balancer.groups] or None,
        "IpAddressType": balancer.asked["IpAddressType"],
    }
