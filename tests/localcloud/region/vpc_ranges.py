"""Further address ranges of VPCs: moto's, but for what may be added, when one can go, and that both take a while."""

import functools
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from moto.ec2.models import EC2Backend

from .actions import action, check, patch
from .errors import AwsError
from .state import Region
from .transitions import after, soon

Params = dict[str, Any]
PRIVATE = [IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
SHOWN_DISASSOCIATED_SECONDS = 3600


def _networks(vpc: Any) -> list[IPv4Network]:
    """The IPv4 ranges that a VPC has, or is about to get."""
    rows = vpc.get_cidr_block_association_set()
    return [IPv4Network(one["cidr_block"]) for one in rows if one["cidr_block_state"]["state"] in ("associating", "associated")]


def _check_range(vpc: Any, cidr: str) -> None:
    """Between /16 and /28, apart from the VPC's others, and not of another private range than those (VPC User Guide, "IPv4 CIDR
    block association restrictions")."""
    try:
        network = IPv4Network(cidr)
    except ValueError:
        raise AwsError("InvalidParameterValue", f"Value ({cidr}) for parameter cidrBlock is invalid.") from None
    if not 16 <= network.prefixlen <= 28:
        raise AwsError("InvalidVpc.Range", f"The CIDR '{cidr}' is invalid.")
    present = _networks(vpc)
    if any(network.overlaps(one) for one in present):
        raise AwsError("InvalidVpc.Range", f"The CIDR '{cidr}' conflicts with another one of the VPC '{vpc.id}'.")
    private = [one for one in PRIVATE if any(own.subnet_of(one) for own in present)]
    if private and any(network.overlaps(one) for one in PRIVATE if one not in private):
        raise AwsError(
            "InvalidVpc.Range",
            f"The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, "
            "or use a publicly-routable CIDR.",
        )


@patch
def install() -> None:
    """Patches moto: a VPC's IPv6 block that is asked for with the VPC takes a while, too (API_CreateVpc)."""
    create_vpc = EC2Backend.create_vpc

    @functools.wraps(create_vpc)
    def with_state(*args: Any, **kwargs: Any) -> Any:
        vpc = create_vpc(*args, **kwargs)
        for made in vpc.get_cidr_block_association_set(ipv6=True):
            made["cidr_block_state"]["state"] = "associating"
        return vpc

    EC2Backend.create_vpc = with_state


@check("ec2", "CreateVpc")
def check_create_vpc(region: Region, params: Params, action: str) -> None:
    """Its block is associated in a while."""
    if params.get("AmazonProvidedIpv6CidrBlock"):
        soon(region, lambda: _settle_blocks(region))


def _settle_blocks(region: Region) -> None:
    for vpc in region.ec2.vpcs.values():
        for made in vpc.get_cidr_block_association_set(ipv6=True):
            _proceed(made, "associating", "associated")


@action("ec2", "AssociateVpcCidrBlock")
def associate_vpc_cidr_block(region: Region, params: Params) -> dict[str, Any]:
    """Subnets can be made in it once it is associated (API_AssociateVpcCidrBlock)."""
    vpc, six = region.ec2.get_vpc(params.get("VpcId")), bool(params.get("AmazonProvidedIpv6CidrBlock"))
    if not six:
        _check_range(vpc, params.get("CidrBlock") or "")
    made = region.ec2.associate_vpc_cidr_block(vpc.id, params.get("CidrBlock"), six)
    made["cidr_block_state"]["state"] = "associating"
    soon(region, lambda: _proceed(made, "associating", "associated"))
    return _describe(vpc, made)


def _proceed(association: dict[str, Any], before: str, then: str) -> None:
    if association["cidr_block_state"]["state"] == before:
        association["cidr_block_state"]["state"] = then


@action("ec2", "DisassociateVpcCidrBlock")
def disassociate_vpc_cidr_block(region: Region, params: Params) -> dict[str, Any]:
    """Neither the first range nor one that has subnets (API_DisassociateVpcCidrBlock); it is shown for a while more."""
    identifier = params.get("AssociationId")
    owners = (one for one in region.ec2.vpcs.values() if identifier in one._cidr_block_association_set)
    vpc = next(owners, None)
    association = vpc._cidr_block_association_set[identifier] if vpc else None
    if association is None or association["cidr_block_state"]["state"] == "disassociated":
        raise AwsError(
            "InvalidVpcCidrBlockAssociationID.NotFound", f"The vpc CIDR block association ID '{identifier}' does not exist"
        )
    cidr = association["cidr_block"]
    if cidr == vpc.cidr_block:
        raise AwsError(
            "OperationNotPermitted",
            f"The vpc CIDR block with association ID {identifier} may not be disassociated. "
            "It is the primary IPv4 CIDR block of the VPC",
        )
    if any(_within(subnet, cidr) for zone in region.ec2.subnets.values() for subnet in zone.values() if subnet.vpc_id == vpc.id):
        raise AwsError("InvalidCidrBlock.InUse", f"The vpc {vpc.id} currently has a subnet within CIDR block {cidr}")
    association["cidr_block_state"]["state"] = "disassociating"
    soon(region, lambda: _end(region, vpc, identifier, association))
    return _describe(vpc, association)


def _within(subnet: Any, cidr: str) -> bool:
    """By IPv4 or by IPv6 addresses."""
    network = ip_network(cidr)
    if isinstance(network, IPv6Network):
        return any(IPv6Network(one["ipv6CidrBlock"]).subnet_of(network) for one in subnet.ipv6_cidr_block_associations.values())
    return bool(subnet.cidr_block) and IPv4Network(subnet.cidr_block).subnet_of(network)


def _end(region: Region, vpc: Any, identifier: str, association: dict[str, Any]) -> None:
    """The routes within the VPC go along."""
    _proceed(association, "disassociating", "disassociated")
    for table in region.ec2.route_tables.values():
        if table.vpc_id == vpc.id:
            local = [one.id for one in table.routes if one.local and association["cidr_block"] in _destinations(one)]
            for route in local:
                del table._routes[route]
    after(region, SHOWN_DISASSOCIATED_SECONDS, lambda: vpc._cidr_block_association_set.pop(identifier, None))


def _destinations(route: Any) -> tuple[str | None, str | None]:
    return route.destination_cidr_block, route.destination_ipv6_cidr_block


def _describe(vpc: Any, association: dict[str, Any]) -> dict[str, Any]:
    identifier, cidr = association["association_id"], association["cidr_block"]
    state = {"State": association["cidr_block_state"]["state"]}
    if ":" not in cidr:
        return {
            "VpcId": vpc.id,
            "CidrBlockAssociation": {"AssociationId": identifier, "CidrBlock": cidr, "CidrBlockState": state},
        }
    row = {"AssociationId": identifier, "Ipv6CidrBlock": cidr, "Ipv6CidrBlockState": state, "Ipv6Pool": "Amazon"}
    return {"VpcId": vpc.id, "Ipv6CidrBlockAssociation": {**row, "NetworkBorderGroup": vpc.region}}


@check("ec2", "CreateSubnet")
def check_create_subnet(region: Region, params: Params, action: str) -> None:
    """A range that isn't associated any more, or not yet, is none; moto takes it for one."""
    vpc, cidr = region.ec2.get_vpc(params.get("VpcId")), params.get("CidrBlock")
    rows = vpc.get_cidr_block_association_set()
    ready = [IPv4Network(one["cidr_block"]) for one in rows if one["cidr_block_state"]["state"] == "associated"]
    try:
        wanted = IPv4Network(cidr, strict=False) if cidr else None
    except ValueError:
        return
    if wanted and not any(wanted.subnet_of(one) for one in ready):
        raise AwsError("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")
