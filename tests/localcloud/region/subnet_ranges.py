"""IPv6 ranges of subnets: moto's, with their states, and what range a subnet may have."""

from ipaddress import IPv6Network
from typing import Any

from moto.ec2.models.subnets import Subnet

from .actions import action, check, patch
from .errors import AwsError
from .state import Region
from .transitions import soon

Params = dict[str, Any]
PREFIX = 64


@patch
def install() -> None:
    """Patches moto: the states of ranges are where EC2 has them, and a subnet without IPv4 addresses has none to give."""
    count = Subnet.available_ip_address_count.fget
    Subnet.available_ip_address_count = property(lambda self: count(self) if self.cidr_block else 0)
    Subnet.ipv6_cidr_block_association_set = property(
        lambda self: [describe(one) for one in self.ipv6_cidr_block_associations.values()]
    )


def describe(association: dict[str, Any]) -> dict[str, Any]:
    """API_SubnetIpv6CidrBlockAssociation."""
    return {
        "AssociationId": association["associationId"],
        "Ipv6CidrBlock": association["ipv6CidrBlock"],
        "Ipv6CidrBlockState": {"State": association["ipv6CidrBlockState"]["State"]},
    }


def ipv6_of(subnet: Any) -> IPv6Network | None:
    """The IPv6 range of a subnet."""
    for association in subnet.ipv6_cidr_block_associations.values():
        if association["ipv6CidrBlockState"]["State"] == "associated":
            return IPv6Network(association["ipv6CidrBlock"])
    return None


@check("ec2", "CreateSubnet")
def check_create_subnet(region: Region, params: Params, action: str) -> None:
    """Without an IPv4 range it takes Ipv6Native (API_CreateSubnet)."""
    vpc, six = region.ec2.get_vpc(params.get("VpcId")), params.get("Ipv6CidrBlock")
    if not params.get("CidrBlock") and not params.get("Ipv6Native"):
        raise AwsError("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    if six:
        _check_range(region, vpc, six)


def _check_range(region: Region, vpc: Any, cidr: str) -> None:
    """A /64 of the VPC's block that no other subnet has (VPC User Guide, "Subnet CIDR blocks")."""
    try:
        wanted = IPv6Network(cidr)
    except ValueError:
        raise AwsError("InvalidParameterValue", f"Value ({cidr}) for parameter ipv6CidrBlock is invalid.") from None
    rows = vpc.get_cidr_block_association_set(ipv6=True)
    blocks = [IPv6Network(one["cidr_block"]) for one in rows if one["cidr_block_state"]["state"] == "associated"]
    if wanted.prefixlen != PREFIX or not any(wanted.subnet_of(block) for block in blocks):
        raise AwsError("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")
    subnets = [one for zone in region.ec2.subnets.values() for one in zone.values() if one.vpc_id == vpc.id]
    if any(IPv6Network(one["ipv6CidrBlock"]).overlaps(wanted) for subnet in subnets for one in _held(subnet)):
        raise AwsError("InvalidSubnet.Conflict", f"The CIDR '{cidr}' conflicts with another subnet")


def _held(subnet: Any) -> list[dict[str, Any]]:
    rows = subnet.ipv6_cidr_block_associations.values()
    return [one for one in rows if one["ipv6CidrBlockState"]["State"] in ("associating", "associated", "disassociating")]


@action("ec2", "AssociateSubnetCidrBlock")
def associate_subnet_cidr_block(region: Region, params: Params) -> dict[str, Any]:
    """One IPv6 range a subnet (API_AssociateSubnetCidrBlock); it takes a while."""
    subnet = region.ec2.get_subnet(params.get("SubnetId"))
    if _held(subnet):
        raise AwsError("InvalidParameterValue", f"The subnet '{subnet.id}' has an IPv6 CIDR block already")
    _check_range(region, region.ec2.get_vpc(subnet.vpc_id), params.get("Ipv6CidrBlock") or "")
    made = subnet.attach_ipv6_cidr_block_associations(params["Ipv6CidrBlock"])
    made["ipv6CidrBlockState"] = {"State": "associating"}
    answer = {"SubnetId": subnet.id, "Ipv6CidrBlockAssociation": describe(made)}
    soon(region, lambda: made["ipv6CidrBlockState"].update(State="associated"))
    return answer
