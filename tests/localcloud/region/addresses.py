"""Elastic IP addresses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.ec2.utils import random_eip_allocation_id, random_eip_association_id

from . import ec2, network_interfaces, tags
from .actions import action
from .address_space import take_elastic
from .errors import AwsError
from .filters import matches
from .state import Region


@dataclass(eq=False)
class Address:
    """An Elastic IP address and, while it is associated, the private address it stands for."""

    id: str
    public_ip: str
    association_id: str | None = None
    interface: Any = None
    private_ip: str | None = None

    @property
    def instance(self) -> Any:
        return self.interface.instance if self.interface else None

    @property
    def allocation_id(self) -> str:
        return self.id


def _ids(region: Region) -> list[str]:
    return [address.id for address in region.ec2.addresses]


def _named_otherwise(region: Region, params: dict[str, Any]) -> Iterator[str]:
    """By its association, or by the address itself."""
    for address in region.ec2.addresses:
        if params.get("AssociationId") == address.association_id is not None or params.get("PublicIp") == address.public_ip:
            yield address.id


ADDRESS = ec2.kind(
    "elastic-ip",
    inventory=("addresses", _ids),
    id_prefix="eipalloc",
    taggable=_ids,
    parameters=("AllocationId",),
    named_otherwise=_named_otherwise,
    created_by=("AllocateAddress",),
    not_found="InvalidAllocationID.NotFound",
    lists={"Addresses": "AllocationId"},
)


def of_private_ip(region: Region, interface: Any, private_ip: str) -> Address | None:
    """The Elastic IP that is associated with an interface's private address."""
    for address in region.ec2.addresses:
        if address.interface is interface and address.private_ip == private_ip:
            return address
    return None


def dissociate(region: Region, address: Address) -> None:
    """Frees an Elastic IP; an interface that gets public addresses by itself gets one again."""
    interface = address.interface
    address.association_id = address.interface = address.private_ip = None
    if interface is not None and interface.instance is not None:
        network_interfaces.give_automatic_address(region, interface)


def release_interface(region: Region, interface: Any) -> None:
    """Frees the Elastic IPs of an interface that goes away."""
    interface.wants_public_ip, interface.automatic_public_ip = False, None
    for address in region.ec2.addresses:
        if address.interface is interface:
            dissociate(region, address)


def find(region: Region, params: dict[str, Any]) -> Address:
    allocation, public_ip = params.get("AllocationId"), params.get("PublicIp")
    for address in region.ec2.addresses:
        if address.id == allocation or (public_ip and address.public_ip == public_ip):
            return address
    if allocation:
        raise AwsError("InvalidAllocationID.NotFound", f"The allocation ID '{allocation}' does not exist")
    if public_ip:
        raise AwsError("InvalidAddress.NotFound", f"Address '{public_ip}' not found.")
    raise AwsError("MissingParameter", "Either public IP or allocation id must be specified")


@action("ec2", "AllocateAddress")
def allocate_address(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    address = Address(random_eip_allocation_id(), take_elastic(region))
    tags.apply(region, address.id, tags.specified(params, "elastic-ip"))
    region.ec2.addresses.append(address)
    return {
        "PublicIp": address.public_ip,
        "AllocationId": address.id,
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": region.name,
    }


@action("ec2", "ReleaseAddress")
def release_address(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    address = find(region, params)
    if address.association_id:
        raise AwsError("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
    region.ec2.addresses.remove(address)
    tags.forget(region, address.id)
    return {}


@action("ec2", "AssociateAddress")
def associate_address(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Reassociation is automatic unless AllowReassociation is false (API_AssociateAddress).

    The target's own earlier Elastic IP is displaced but stays allocated. Asking for what is already
    so succeeds. Without PrivateIpAddress the primary private address is meant.
    """
    address = find(region, params)
    interface = _target(region, params)
    _check_not_managed(address, interface)
    private_ip = params.get("PrivateIpAddress") or interface.private_ip_address
    if private_ip not in interface.private_ips:
        raise AwsError("InvalidParameterValue", f"The private IP address {private_ip} is not assigned to {interface.id}")
    if not any(gateway.vpc and gateway.vpc.id == interface.vpc_id for gateway in region.ec2.internet_gateways.values()):
        raise AwsError("Gateway.NotAttached", f"Network {interface.vpc_id} is not attached to any internet gateway")
    if address.interface is interface and address.private_ip == private_ip:
        return {"AssociationId": address.association_id}
    displaced = of_private_ip(region, interface, private_ip)
    if params.get("AllowReassociation") is False and (address.association_id or displaced):
        taken = address.id if address.association_id else private_ip
        raise AwsError("Resource.AlreadyAssociated", f"resource {taken} is already associated")
    for gone in (one for one in (address, displaced) if one is not None):
        dissociate(region, gone)
    associate(address, interface, private_ip)
    return {"AssociationId": address.association_id}


def associate(address: Address, interface: Any, private_ip: str) -> None:
    """Has a free Elastic IP stand for an interface's private address."""
    if private_ip == interface.private_ip_address:
        interface.automatic_public_ip = None
    address.interface, address.private_ip = interface, private_ip
    address.association_id = random_eip_association_id()


def _check_not_managed(address: Address, interface: Any = None) -> None:
    """What a NAT gateway or a load balancer holds, only that lets go of (Terraform's AWS provider, issue 3572)."""
    if any(one is not None and one.requester for one in (address.interface, interface)):
        raise AwsError("AuthFailure", "You do not have permission to access the specified resource.")


def _target(region: Region, params: dict[str, Any]) -> Any:
    if interface_id := params.get("NetworkInterfaceId"):
        return network_interfaces.find(region, interface_id)
    instance_id = params.get("InstanceId")
    if not instance_id:
        raise AwsError("MissingParameter", "Either 'NetworkInterfaceId' or 'InstanceId' must be specified")
    instance = region.instances.get(instance_id)
    if instance is None:
        raise AwsError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    if instance.state not in ("running", "stopped"):
        raise AwsError(
            "InvalidInstanceID", f"The {instance.state} instance '{instance_id}' is not in a valid state for this operation."
        )
    return instance.nics[0]


@action("ec2", "DisassociateAddress")
def disassociate_address(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    association = params.get("AssociationId")
    if association is None:
        address = find(region, params)
    else:
        found = [address for address in region.ec2.addresses if address.association_id == association]
        if not found:
            raise AwsError("InvalidAssociationID.NotFound", f"The association ID '{association}' does not exist")
        address = found[0]
    _check_not_managed(address)
    dissociate(region, address)
    return {}


FILTERS = {
    "allocation-id": lambda address: address.id,
    "association-id": lambda address: address.association_id,
    "public-ip": lambda address: address.public_ip,
    "private-ip-address": lambda address: address.private_ip,
    "instance-id": lambda address: address.instance.id if address.instance else None,
    "network-interface-id": lambda address: address.interface.id if address.interface else None,
    "domain": lambda address: "vpc",
}


@action("ec2", "DescribeAddresses")
def describe_addresses(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Not paginated, in AWS either."""
    asked = [find(region, {"AllocationId": one}) for one in params.get("AllocationIds") or []]
    asked += [find(region, {"PublicIp": one}) for one in params.get("PublicIps") or []]
    return {
        "Addresses": [
            _describe(region, address)
            for address in asked or region.ec2.addresses
            if matches(address, params.get("Filters"), FILTERS, tags.of(region, address.id), "DescribeAddresses")
        ]
    }


def _describe(region: Region, address: Address) -> dict[str, Any]:
    row = {
        "AllocationId": address.id,
        "PublicIp": address.public_ip,
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": region.name,
        "Tags": tags.described(region, address.id),
    }
    if address.association_id:
        row |= {
            "AssociationId": address.association_id,
            "NetworkInterfaceId": address.interface.id,
            "NetworkInterfaceOwnerId": region.account,
            "PrivateIpAddress": address.private_ip,
            "InstanceId": address.instance.id if address.instance else None,
        }
    return row
