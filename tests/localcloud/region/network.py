"""VPCs, subnets, gateways: moto's, with the refusals and attributes that moto lacks."""

import functools
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.subnets import SubnetBackend

from . import ec2, load_balancers, network_interfaces, subnet_ranges, tags
from .actions import action, check, patch
from .errors import AwsError, dependency_violation
from .state import Region

DELETERS = (
    "delete_vpc",
    "delete_subnet",
    "delete_route_table",
    "delete_internet_gateway",
    "delete_egress_only_internet_gateway",
    "delete_security_group",
)


VPC = ec2.kind(
    "vpc",
    inventory=("vpcs", lambda region: region.ec2.vpcs),
    id_prefix="vpc",
    parameters=("VpcId",),
    created_by=("CreateVpc",),
    not_found="InvalidVpcID.NotFound",
    lists={"Vpcs": "VpcId"},
    filters={
        "DescribeVpcs": {
            "vpc-id",
            "cidr",
            "cidr-block-association.association-id",
            "cidr-block-association.cidr-block",
            "cidr-block-association.state",
            "is-default",
            "state",
            "dhcp-options-id",
            "owner-id",
        }
    },
)
SUBNET = ec2.kind(
    "subnet",
    inventory=("subnets", lambda region: [name for zone in region.ec2.subnets.values() for name in zone]),
    id_prefix="subnet",
    parameters=("SubnetId",),
    created_by=("CreateSubnet",),
    not_found="InvalidSubnetID.NotFound",
    lists={"Subnets": "SubnetId"},
    filters={
        "DescribeSubnets": {"subnet-id", "vpc-id", "cidr-block", "availability-zone", "default-for-az", "state", "owner-id"}
    },
)
RESERVATION = ec2.kind(
    "subnet-cidr-reservation",
    id_prefix="scr",
    created_by=("CreateSubnetCidrReservation",),
    not_found="InvalidSubnetCidrReservationID.NotFound",
    lists={"SubnetIpv4CidrReservations": "SubnetCidrReservationId"},
)
GATEWAY = ec2.kind(
    "internet-gateway",
    inventory=("internetGateways", lambda region: region.ec2.internet_gateways),
    id_prefix="igw",
    parameters=("InternetGatewayId",),
    created_by=("CreateInternetGateway",),
    not_found="InvalidInternetGatewayID.NotFound",
    lists={"InternetGateways": "InternetGatewayId"},
    filters={"DescribeInternetGateways": {"internet-gateway-id", "attachment.vpc-id", "attachment.state"}},
)


@patch
def install() -> None:
    """Patches moto: no default VPC, a subnet is nobody's default, and what is deleted loses its tags.

    An account whose default VPC was deleted is an ordinary one, and lets a test see that nothing is left behind.
    """
    EC2Backend.create_default_vpc = lambda self: None
    create_subnet = SubnetBackend.create_subnet

    @functools.wraps(create_subnet)
    def plain_subnet(*args: Any, **kwargs: Any) -> Any:
        subnet = create_subnet(*args, **kwargs)
        subnet.default_for_az = subnet.map_public_ip_on_launch = subnet.enable_dns64 = False
        return subnet

    SubnetBackend.create_subnet = plain_subnet
    for name in DELETERS:
        setattr(EC2Backend, name, _forgetting_tags(getattr(EC2Backend, name)))


def _forgetting_tags(delete: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(delete)
    def delete_and_forget(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = delete(self, *args, **kwargs)
        for identifier in (*args, *kwargs.values()):
            self.tags.pop(identifier, None)
        return result

    return delete_and_forget


def _interfaces_of(region: Region, vpc_id: str) -> list[Any]:
    return [one for one in region.ec2.enis.values() if one.vpc_id == vpc_id]


@check("ec2", "DeleteSubnet")
def check_delete_subnet(region: Region, params: dict[str, Any], action: str) -> None:
    """A subnet with network interfaces stays; otherwise its route table association goes with it (API_DeleteSubnet)."""
    subnet = region.ec2.get_subnet(params.get("SubnetId"))
    if any(one.subnet is subnet for one in region.ec2.enis.values()) or load_balancers.use_subnet(region, subnet.id):
        raise dependency_violation(f"The subnet '{subnet.id}' has dependencies and cannot be deleted.")
    for table in region.ec2.route_tables.values():
        table._associations = {key: target for key, target in table._associations.items() if target != subnet.id}
    for reservation in subnet._cidr_reservations:
        tags.forget(region, reservation.id)


@check("ec2", "DeleteVpc")
def check_delete_vpc(region: Region, params: dict[str, Any], action: str) -> None:
    """Gateways must be detached, and other than default security groups deleted first (API_DeleteVpc)."""
    vpc_id = params.get("VpcId")
    backend = region.ec2
    attached = any(gateway.vpc and gateway.vpc.id == vpc_id for gateway in backend.internet_gateways.values())
    attached |= any(gateway.vpc_id == vpc_id for gateway in backend.egress_only_internet_gateways.values())
    others = [group for group in backend.groups.get(vpc_id, {}).values() if group.name != "default"]
    if attached or others or _interfaces_of(region, vpc_id) or load_balancers.use_vpc(region, vpc_id):
        raise dependency_violation(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")


@check("ec2", "CreateSecurityGroup")
def check_create_security_group(region: Region, params: dict[str, Any], action: str) -> None:
    """Without a default VPC the VPC must be named (API_CreateSecurityGroup)."""
    if not params.get("VpcId"):
        raise AwsError("VPCIdNotSpecified", "No default VPC for this user")


@check("ec2", "AttachInternetGateway")
def check_attach_gateway(region: Region, params: dict[str, Any], action: str) -> None:
    """A VPC has one Internet gateway (VPC User Guide, "Enable internet access")."""
    vpc_id = params.get("VpcId")
    region.ec2.get_internet_gateway(params.get("InternetGatewayId"))
    for gateway in region.ec2.internet_gateways.values():
        if gateway.vpc and gateway.vpc.id == vpc_id and gateway.id != params.get("InternetGatewayId"):
            raise AwsError("InvalidParameterValue", f"Network {vpc_id} already has an internet gateway attached")


@check("ec2", "DetachInternetGateway")
def check_detach_gateway(region: Region, params: dict[str, Any], action: str) -> None:
    """Not while the VPC has running instances with public addresses (API_DetachInternetGateway)."""
    vpc_id = params.get("VpcId")
    if load_balancers.use_vpc(region, vpc_id):
        raise dependency_violation(f"Network {vpc_id} has some mapped public address(es).")
    for interface in _interfaces_of(region, vpc_id):
        if any(network_interfaces.association(region, interface, ip) for ip in interface.private_ips):
            raise dependency_violation(
                f"Network {vpc_id} has some mapped public address(es). "
                "Please unmap those public address(es) before detaching the gateway."
            )


@action("ec2", "ModifySubnetAttribute")
def modify_subnet_attribute(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """One attribute per request (API_ModifySubnetAttribute)."""
    subnet = region.ec2.get_subnet(params.get("SubnetId"))
    given = {name: value for name, value in params.items() if name not in ("SubnetId", "DryRun")}
    if len(given) != 1:
        raise AwsError("InvalidParameterCombination", "Exactly one attribute of a subnet can be modified by a request.")
    name, value = given.popitem()
    options = subnet.private_dns_name_options_on_launch
    if name == "MapPublicIpOnLaunch":
        subnet.map_public_ip_on_launch = value["Value"]
    elif name == "PrivateDnsHostnameTypeOnLaunch":
        options["HostnameType"] = value
    elif name == "EnableResourceNameDnsARecordOnLaunch":
        options["EnableResourceNameDnsARecord"] = value["Value"]
    elif name == "EnableResourceNameDnsAAAARecordOnLaunch":
        options["EnableResourceNameDnsAAAARecord"] = value["Value"]
    elif name == "AssignIpv6AddressOnCreation":
        if value["Value"] and not subnet_ranges.ipv6_of(subnet):
            raise AwsError("InvalidParameterValue", f"The subnet '{subnet.id}' has no IPv6 CIDR block")
        subnet.assign_ipv6_address_on_creation = value["Value"]
    elif name == "EnableDns64":
        subnet.enable_dns64 = value["Value"]
    else:
        raise AwsError("InvalidParameterValue", f"the attribute {name} of a subnet is unknown to the region")
    return {}


@action("ec2", "CreateSubnetCidrReservation")
def create_subnet_cidr_reservation(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Keeps a range from automatic assignment (API_CreateSubnetCidrReservation)."""
    subnet = region.ec2.get_subnet(params.get("SubnetId"))
    kind, cidr = params.get("ReservationType"), params.get("Cidr", "")
    if kind not in ("explicit", "prefix"):
        raise AwsError("InvalidParameterValue", f"Value ({kind}) for parameter reservationType is invalid.")
    try:
        network = IPv4Network(cidr)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise AwsError("InvalidParameterValue", f"Value ({cidr}) for parameter cidr is invalid.") from None
    reservation = subnet.create_cidr_reservation(kind, network)
    tags.apply(region, reservation.id, tags.specified(params, "subnet-cidr-reservation"))
    return {"SubnetCidrReservation": _describe_reservation(region, subnet, reservation, params.get("Description"))}


def _describe_reservation(region: Region, subnet: Any, reservation: Any, description: str | None = None) -> dict[str, Any]:
    """Without the tags: users of AWS report that its answers don't hold them, though a reservation takes them."""
    if description is not None:
        reservation.description = description
    return {
        "SubnetCidrReservationId": reservation.id,
        "SubnetId": subnet.id,
        "Cidr": str(reservation.cidr),
        "ReservationType": reservation.reservation_type,
        "OwnerId": region.account,
        "Description": getattr(reservation, "description", None),
    }


@action("ec2", "GetSubnetCidrReservations")
def get_subnet_cidr_reservations(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    subnet = region.ec2.get_subnet(params.get("SubnetId"))
    if params.get("Filters"):
        raise AwsError("InvalidParameterValue", "filters of GetSubnetCidrReservations are unknown to the region")
    rows = [_describe_reservation(region, subnet, one) for one in subnet._cidr_reservations]
    return {"SubnetIpv4CidrReservations": rows, "SubnetIpv6CidrReservations": []}


@action("ec2", "DeleteSubnetCidrReservation")
def delete_subnet_cidr_reservation(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    wanted = params.get("SubnetCidrReservationId")
    for zone in region.ec2.subnets.values():
        for subnet in zone.values():
            for reservation in subnet._cidr_reservations:
                if reservation.id == wanted:
                    described = _describe_reservation(region, subnet, reservation)
                    subnet._cidr_reservations.remove(reservation)
                    tags.forget(region, reservation.id)
                    return {"DeletedSubnetCidrReservation": described}
    raise AwsError("InvalidSubnetCidrReservationID.NotFound", f"The subnet cidr reservation ID '{wanted}' does not exist")
