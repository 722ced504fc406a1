"""NAT gateways: a private subnet's way out, with an Elastic IP address and a network interface of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.ec2.utils import random_nat_gateway_id

from . import addresses, ec2, network_interfaces, tags
from .actions import action
from .errors import AwsError, Unimplemented
from .filters import matches, paginate
from .state import Region, now
from .transitions import after, soon

SHOWN_DELETED_SECONDS = 3600
REQUESTER = "amazon-aws"
UNKNOWN = ("AvailabilityMode", "AvailabilityZoneAddresses", "SecondaryAllocationIds", "SecondaryPrivateIpAddresses")


@dataclass(eq=False)
class NatGateway:
    """A NAT gateway. States: pending, failed, available, deleting, deleted."""

    id: str
    subnet: Any
    interface: Any
    connectivity: str
    created: datetime
    addresses: list[dict[str, Any]]
    state: str = "pending"
    failure: tuple[str, str] | None = None
    deleted: datetime | None = None

    @property
    def vpc_id(self) -> str:
        return self.subnet.vpc_id


def _present(region: Region) -> list[str]:
    return [one.id for one in region.ec2.nat_gateways.values() if one.state != "deleted"]


def _named_otherwise(region: Region, params: dict[str, Any]) -> Iterator[str]:
    """A route that leads to one isn't about it (Service Authorization Reference, EC2, CreateRoute)."""
    if params.get("NatGatewayId") and not params.get("RouteTableId"):
        yield params["NatGatewayId"]


GATEWAY = ec2.kind(
    "natgateway",
    inventory=("natGateways", _present),
    id_prefix="nat",
    taggable=lambda region: region.ec2.nat_gateways,
    parameters=("NatGatewayIds",),
    named_otherwise=_named_otherwise,
    created_by=("CreateNatGateway",),
    not_found="NatGatewayNotFound",
    not_found_by=dict.fromkeys(("CreateRoute", "ReplaceRoute"), "InvalidNatGatewayID.NotFound"),
    lists={"NatGateways": "NatGatewayId"},
)


def _find(region: Region, gateway_id: str | None) -> NatGateway:
    if gateway_id not in region.ec2.nat_gateways:
        raise AwsError("NatGatewayNotFound", f"NAT gateway {gateway_id} was not found")
    return region.ec2.nat_gateways[gateway_id]


@action("ec2", "CreateNatGateway")
def create_nat_gateway(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """It comes later, or fails later (API_CreateNatGateway; API_NatGateway, failureCode)."""
    if unknown := [name for name in UNKNOWN if params.get(name)]:
        raise Unimplemented(f"{', '.join(unknown)} of a NAT gateway")
    gateway = region.idempotent("CreateNatGateway", params, lambda: _create(region, params))
    answer = describe(region, gateway)
    if gateway.state == "pending" and gateway.connectivity == "public":
        answer["NatGatewayAddresses"] = [{"AllocationId": params["AllocationId"]}]
    return {"ClientToken": params.get("ClientToken"), "NatGateway": answer}


def _create(region: Region, params: dict[str, Any]) -> NatGateway:
    connectivity, allocation = params.get("ConnectivityType") or "public", params.get("AllocationId")
    if not params.get("SubnetId"):
        raise AwsError("MissingParameter", "The request must contain the parameter SubnetId")
    subnet = region.ec2.get_subnet(params["SubnetId"])
    if connectivity == "public" and not allocation:
        raise AwsError("MissingParameter", "The request must contain the parameter AllocationId")
    if connectivity == "private" and allocation:
        raise AwsError("InvalidParameterCombination", "AllocationId can't be given for a private NAT gateway")
    address = addresses.find(region, {"AllocationId": allocation}) if allocation else None
    wanted_ip = params.get("PrivateIpAddress")
    interface = network_interfaces.create_for_service(region, subnet, REQUESTER, "nat_gateway", [], wanted_ip)
    gateway = NatGateway(random_nat_gateway_id(), subnet, interface, connectivity, now(), [])
    interface.description = f"Interface for NAT Gateway {gateway.id}"
    region.ec2.nat_gateways[gateway.id] = gateway
    tags.apply(region, gateway.id, tags.specified(params, "natgateway"))
    gateway.failure = _obstacle(region, gateway, address)
    if address and not gateway.failure:
        addresses.associate(address, interface, interface.private_ip_address)
    gateway.addresses = [_describe_address(gateway, address)]
    soon(region, lambda: _arrive(region, gateway))
    return gateway


def _obstacle(region: Region, gateway: NatGateway, address: addresses.Address | None) -> tuple[str, str] | None:
    """Why it will fail (VPC User Guide, "Troubleshoot NAT gateways", "NAT gateway creation fails")."""
    if address is None:
        return None
    if address.association_id:
        return "Resource.AlreadyAssociated", f"Elastic IP address [{address.id}] is already associated"
    if not any(one.vpc and one.vpc.id == gateway.vpc_id for one in region.ec2.internet_gateways.values()):
        return "Gateway.NotAttached", f"Network {gateway.vpc_id} has no Internet gateway attached"
    return None


def _arrive(region: Region, gateway: NatGateway) -> None:
    """A failed one lets go of all that it held, and is forgotten like a deleted one."""
    if gateway.state != "pending":
        return
    gateway.state = "failed" if gateway.failure else "available"
    if gateway.failure:
        network_interfaces.delete(region, gateway.interface)
        after(region, SHOWN_DELETED_SECONDS, lambda: _forget(region, gateway))


@action("ec2", "DeleteNatGateway")
def delete_nat_gateway(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Its Elastic IP is let go, and stays the account's; routes to it stay, too (API_DeleteNatGateway)."""
    gateway = _find(region, params.get("NatGatewayId"))
    if gateway.state == "deleted":
        raise AwsError("NatGatewayNotFound", f"NAT gateway {gateway.id} was not found")
    if gateway.state != "deleting":
        gateway.state, gateway.deleted = "deleting", now()
        soon(region, lambda: _end(region, gateway))
    return {"NatGatewayId": gateway.id}


def _end(region: Region, gateway: NatGateway) -> None:
    """It is listed for about an hour more (VPC User Guide, "Delete a NAT gateway")."""
    gateway.state = "deleted"
    network_interfaces.delete(region, gateway.interface)
    after(region, SHOWN_DELETED_SECONDS, lambda: _forget(region, gateway))


def _forget(region: Region, gateway: NatGateway) -> None:
    region.ec2.nat_gateways.pop(gateway.id, None)
    tags.forget(region, gateway.id)


FILTERS = {
    "nat-gateway-id": lambda one: one.id,
    "state": lambda one: one.state,
    "subnet-id": lambda one: one.subnet.id,
    "vpc-id": lambda one: one.vpc_id,
}


@action("ec2", "DescribeNatGateways")
def describe_nat_gateways(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The filters are in `Filter`, not in `Filters` as everywhere else (API_DescribeNatGateways)."""
    wanted = params.get("NatGatewayIds")
    for identifier in wanted or []:
        _find(region, identifier)
    rows = [
        describe(region, one)
        for one in region.ec2.nat_gateways.values()
        if (not wanted or one.id in wanted)
        and matches(one, params.get("Filter"), FILTERS, tags.of(region, one.id), "DescribeNatGateways")
    ]
    return paginate("NatGateways", rows, params)


def _describe_address(gateway: NatGateway, address: addresses.Address | None) -> dict[str, Any]:
    row = {
        "NetworkInterfaceId": gateway.interface.id,
        "PrivateIp": gateway.interface.private_ip_address,
        "IsPrimary": True,
        "Status": "failed" if gateway.failure else "succeeded",
    }
    if address:
        row |= {"AllocationId": address.id, "PublicIp": address.public_ip}
    if address and not gateway.failure:
        row["AssociationId"] = address.association_id
    return row


def describe(region: Region, gateway: NatGateway) -> dict[str, Any]:
    """A NAT gateway in the form of DescribeNatGateways; why it failed is told once it has."""
    code, message = gateway.failure if gateway.failure and gateway.state != "pending" else (None, None)
    return {
        "NatGatewayId": gateway.id,
        "State": gateway.state,
        "SubnetId": gateway.subnet.id,
        "VpcId": gateway.vpc_id,
        "ConnectivityType": gateway.connectivity,
        "CreateTime": gateway.created,
        "DeleteTime": gateway.deleted,
        "FailureCode": code,
        "FailureMessage": message,
        "NatGatewayAddresses": gateway.addresses,
        "Tags": tags.described(region, gateway.id),
    }
