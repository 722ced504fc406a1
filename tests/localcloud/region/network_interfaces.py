"""Network interfaces and their private addresses."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.utils import random_eni_attach_id, random_eni_id

from . import addresses, ec2, ipv6_addresses, tags
from .actions import action
from .address_space import take_automatic, take_private, used_in
from .errors import AwsError
from .filters import matches, paginate, require_known
from .state import Region, now


@dataclass(eq=False)
class NetworkInterface:
    """A network interface. The first of its private addresses is the primary one."""

    id: str
    subnet: Any
    groups: list[Any]
    private_ip_addresses: list[dict[str, Any]]
    description: str = ""
    mac: str = field(default_factory=lambda: "02:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(5)))
    wants_public_ip: bool = False
    automatic_public_ip: str | None = None
    source_dest_check: bool = True
    delete_on_termination: bool = True
    instance: Any = None
    device_index: int = 0
    attachment_id: str | None = None
    attached: datetime | None = None
    requester: str | None = None
    """The service that it is of, which alone may manage it."""
    kind: str = "interface"
    ipv6_addresses: list[str] = field(default_factory=list)
    ipv6_prefixes: list[str] = field(default_factory=list)

    @property
    def in_use(self) -> bool:
        return self.instance is not None or self.requester is not None

    @property
    def private_ip_address(self) -> str | None:
        return self.private_ip_addresses[0]["PrivateIpAddress"] if self.private_ip_addresses else None

    @property
    def private_ips(self) -> list[str]:
        return [address["PrivateIpAddress"] for address in self.private_ip_addresses]

    @property
    def vpc_id(self) -> str:
        return self.subnet.vpc_id


def _context(region: Region, identifier: str) -> dict[str, Any]:
    if identifier not in region.ec2.enis:
        return {}
    interface = region.ec2.enis[identifier]
    return {
        "ec2:networkinterfaceid": identifier,
        "ec2:subnet": ec2.arn(region, "subnet", interface.subnet.id),
        "ec2:vpc": ec2.arn(region, "vpc", interface.vpc_id),
        "ec2:availabilityzone": interface.subnet.availability_zone,
    }


INTERFACE = ec2.kind(
    "network-interface",
    inventory=("networkInterfaces", lambda region: region.ec2.enis),
    id_prefix="eni",
    taggable=lambda region: region.ec2.enis,
    parameters=("NetworkInterfaceId",),
    context=_context,
    created_by=("CreateNetworkInterface",),
)


def find(region: Region, interface_id: str | None) -> NetworkInterface:
    """The network interface with an id."""
    if interface_id not in region.ec2.enis:
        raise AwsError("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{interface_id}' does not exist")
    return region.ec2.enis[interface_id]


def find_groups(region: Region, group_ids: list[str], vpc_id: str) -> list[Any]:
    """The security groups with these ids, which must be of the VPC; the VPC's default one when there are none."""
    if not group_ids:
        return [group for group in region.ec2.groups[vpc_id].values() if group.name == "default"]
    groups = []
    for group_id in group_ids:
        group = region.ec2.get_security_group_from_id(group_id)
        if group is None:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        if group.vpc_id != vpc_id:
            raise AwsError("InvalidParameter", f"Security group {group_id} and subnet belong to different networks.")
        groups.append(group)
    return groups


def create(region: Region, subnet: Any, specification: dict[str, Any]) -> NetworkInterface:
    """Makes an interface as a CreateNetworkInterface or RunInstances specification wants it."""
    groups = find_groups(region, specification.get("Groups") or [], subnet.vpc_id)
    listed = specification.get("PrivateIpAddresses") or []
    primary = specification.get("PrivateIpAddress") or next((a["PrivateIpAddress"] for a in listed if a.get("Primary")), None)
    interface = NetworkInterface(
        random_eni_id(),
        subnet,
        groups,
        _first_private(region, subnet, primary),
        specification.get("Description", ""),
        delete_on_termination=specification.get("DeleteOnTermination", True),
        device_index=specification.get("DeviceIndex", 0),
    )
    region.ec2.enis[interface.id] = interface
    for address in listed:
        if address["PrivateIpAddress"] != primary:
            _add_secondary(region, interface, address["PrivateIpAddress"])
    for _ in range(specification.get("SecondaryPrivateIpAddressCount") or 0):
        _add_secondary(region, interface, None)
    ipv6_addresses.give(region, interface, specification)
    return interface


def _first_private(region: Region, subnet: Any, wanted: str | None) -> list[dict[str, Any]]:
    """None in a subnet without IPv4 addresses."""
    if not subnet.cidr_block:
        return []
    return [{"Primary": True, "PrivateIpAddress": take_private(region, subnet, wanted)}]


def create_for_service(
    region: Region, subnet: Any, requester: str, kind: str, groups: list[Any], private_ip: str | None = None
) -> NetworkInterface:
    """Makes an interface that a service holds for what a user has of it (EC2 User Guide, "Requester-managed network
    interfaces"): only the service can let go of it."""
    address = {"Primary": True, "PrivateIpAddress": take_private(region, subnet, private_ip)}
    interface = NetworkInterface(random_eni_id(), subnet, groups, [address], requester=requester, kind=kind)
    interface.source_dest_check = interface.delete_on_termination = False
    interface.attachment_id, interface.attached = random_eni_attach_id().replace("eni-", "ela-"), now()
    region.ec2.enis[interface.id] = interface
    return interface


def check_own(interface: NetworkInterface) -> None:
    """Nobody but the service changes what it manages."""
    if interface.requester:
        raise AwsError("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments.")


def _add_secondary(region: Region, interface: NetworkInterface, wanted: str | None) -> str:
    address = take_private(region, interface.subnet, wanted)
    interface.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": address})
    return address


def attach(region: Region, interface: NetworkInterface, instance: Any) -> None:
    """Makes an interface an instance's."""
    interface.instance, interface.attached = instance, now()
    interface.attachment_id = random_eni_attach_id()
    give_automatic_address(region, interface)


def give_automatic_address(region: Region, interface: NetworkInterface) -> None:
    """Gives an interface its automatic public address, unless an Elastic IP stands in its place."""
    if not interface.private_ip_addresses:
        return
    taken = addresses.of_private_ip(region, interface, interface.private_ip_address)
    if interface.wants_public_ip and interface.instance and not interface.automatic_public_ip and not taken:
        interface.automatic_public_ip = take_automatic(region)


def delete(region: Region, interface: NetworkInterface) -> None:
    """Removes an interface; Elastic IPs on it are free again."""
    addresses.release_interface(region, interface)
    region.ec2.enis.pop(interface.id, None)
    tags.forget(region, interface.id)


@action("ec2", "CreateNetworkInterface")
def create_network_interface(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        interface = create(region, region.ec2.get_subnet(params.get("SubnetId")), params)
        tags.apply(region, interface.id, tags.specified(params, "network-interface"))
        return {"NetworkInterface": describe(region, interface)}

    return region.idempotent("CreateNetworkInterface", params, make)


@action("ec2", "DeleteNetworkInterface")
def delete_network_interface(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    interface = find(region, params.get("NetworkInterfaceId"))
    if interface.in_use:
        raise AwsError("InvalidNetworkInterface.InUse", f"Network interface '{interface.id}' is currently in use.")
    delete(region, interface)
    return {}


@action("ec2", "ModifyNetworkInterfaceAttribute")
def modify_network_interface_attribute(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    interface = find(region, params.get("NetworkInterfaceId"))
    check_own(interface)
    if groups := params.get("Groups"):
        interface.groups = find_groups(region, groups, interface.vpc_id)
    if check := params.get("SourceDestCheck"):
        interface.source_dest_check = check["Value"]
    if description := params.get("Description"):
        interface.description = description.get("Value", "")
    if attachment := params.get("Attachment"):
        interface.delete_on_termination = attachment.get("DeleteOnTermination", interface.delete_on_termination)
    return {}


@action("ec2", "DescribeNetworkInterfaceAttribute")
def describe_network_interface_attribute(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    interface = find(region, params.get("NetworkInterfaceId"))
    described = describe(region, interface)
    return {
        "NetworkInterfaceId": interface.id,
        "Description": {"Value": interface.description},
        "SourceDestCheck": {"Value": interface.source_dest_check},
        "Groups": described["Groups"],
        "Attachment": described["Attachment"],
    }


@action("ec2", "AssignPrivateIpAddresses")
def assign_private_ip_addresses(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """An address that another interface of the subnet holds moves only with AllowReassignment.

    An Elastic IP that is associated with it moves along (API_AssignPrivateIpAddresses).
    """
    interface = find(region, params.get("NetworkInterfaceId"))
    check_own(interface)
    wanted = params.get("PrivateIpAddresses") or []
    new = [one for one in wanted if one not in interface.private_ips]
    _check_limit(interface, len(new) + (params.get("SecondaryPrivateIpAddressCount") or 0))
    for address in wanted:
        _check_movable(region, interface, address, params.get("AllowReassignment", False))
    assigned = [_assign(region, interface, address) for address in wanted]
    assigned += [_add_secondary(region, interface, None) for _ in range(params.get("SecondaryPrivateIpAddressCount") or 0)]
    return {
        "NetworkInterfaceId": interface.id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": address} for address in assigned],
    }


def _check_limit(interface: NetworkInterface, more: int) -> None:
    """The instance's type says how many addresses fit (EC2 User Guide, "IP addresses per network interface")."""
    if interface.instance is None:
        return
    limit = INSTANCE_TYPES[interface.instance.kind]["NetworkInfo"]["Ipv4AddressesPerInterface"]
    if len(interface.private_ips) + more > limit:
        raise AwsError(
            "PrivateIpAddressLimitExceeded", f"Number of private addresses will exceed limit {limit} of {interface.id}."
        )


def _holder(region: Region, subnet: Any, address: str) -> NetworkInterface | None:
    if address not in used_in(region, subnet):
        return None
    return next(one for one in region.ec2.enis.values() if one.subnet is subnet and address in one.private_ips)


def _check_movable(region: Region, interface: NetworkInterface, address: str, may_move: bool) -> None:
    holder = _holder(region, interface.subnet, address)
    if holder in (None, interface):
        return
    if not may_move:
        raise AwsError("InvalidParameterValue", f"Some of [{address}] are assigned, but move is not allowed.")
    if holder.private_ip_address == address:
        raise AwsError("InvalidParameterValue", f"The address {address} is the primary address of {holder.id}")


def _assign(region: Region, interface: NetworkInterface, address: str) -> str:
    holder = _holder(region, interface.subnet, address)
    if holder is interface:
        return address
    if holder is not None:
        moved = addresses.of_private_ip(region, holder, address)
        holder.private_ip_addresses = [one for one in holder.private_ip_addresses if one["PrivateIpAddress"] != address]
        if moved:
            moved.interface = interface
    return _add_secondary(region, interface, address)


@action("ec2", "UnassignPrivateIpAddresses")
def unassign_private_ip_addresses(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    interface = find(region, params.get("NetworkInterfaceId"))
    check_own(interface)
    gone = params.get("PrivateIpAddresses") or []
    if interface.private_ip_address in gone:
        raise AwsError("InvalidParameterValue", f"The primary address {interface.private_ip_address} can't be unassigned")
    if missing := [address for address in gone if address not in interface.private_ips]:
        raise AwsError("InvalidParameterValue", f"Some of the specified addresses are not assigned to {interface.id}: {missing}")
    for address in gone:
        if elastic := addresses.of_private_ip(region, interface, address):
            addresses.dissociate(region, elastic)
    interface.private_ip_addresses = [a for a in interface.private_ip_addresses if a["PrivateIpAddress"] not in gone]
    return {}


FILTERS = {
    "network-interface-id": lambda one: one.id,
    "subnet-id": lambda one: one.subnet.id,
    "vpc-id": lambda one: one.vpc_id,
    "group-id": lambda one: [group.id for group in one.groups],
    "private-ip-address": lambda one: one.private_ips,
    "addresses.private-ip-address": lambda one: one.private_ips,
    "attachment.instance-id": lambda one: one.instance.id if one.instance else None,
    "attachment.status": lambda one: "attached" if one.in_use else "detached",
    "availability-zone": lambda one: one.subnet.availability_zone,
    "description": lambda one: one.description,
    "status": lambda one: "in-use" if one.in_use else "available",
    "interface-type": lambda one: one.kind,
    "requester-id": lambda one: one.requester,
    "requester-managed": lambda one: one.requester is not None,
    "mac-address": lambda one: one.mac,
}


@action("ec2", "DescribeNetworkInterfaces")
def describe_network_interfaces(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    wanted = params.get("NetworkInterfaceIds")
    require_known(wanted, region.ec2.enis, "InvalidNetworkInterfaceID.NotFound", "networkInterface")
    rows = [
        describe(region, one)
        for one in region.ec2.enis.values()
        if (not wanted or one.id in wanted)
        and matches(one, params.get("Filters"), FILTERS, tags.of(region, one.id), "DescribeNetworkInterfaces")
    ]
    return paginate("NetworkInterfaces", rows, params)


def association(region: Region, interface: NetworkInterface, private_ip: str | None) -> dict[str, Any] | None:
    """The public address that a private one is known by, in the form of an API answer."""
    elastic = addresses.of_private_ip(region, interface, private_ip) if private_ip else None
    if elastic:
        return {
            "AllocationId": elastic.id,
            "AssociationId": elastic.association_id,
            "IpOwnerId": region.account,
            "PublicIp": elastic.public_ip,
        }
    if private_ip == interface.private_ip_address and interface.automatic_public_ip:
        return {"IpOwnerId": interface.requester or "amazon", "PublicIp": interface.automatic_public_ip}
    return None


def describe_private_ips(region: Region, interface: NetworkInterface) -> list[dict[str, Any]]:
    """An interface's private addresses with their public ones."""
    return [
        {**one, "Association": association(region, interface, one["PrivateIpAddress"])} for one in interface.private_ip_addresses
    ]


def describe_ipv6(interface: NetworkInterface) -> dict[str, Any]:
    """An interface's IPv6 addresses and the prefixes that are delegated to it."""
    return {
        "Ipv6Addresses": [{"Ipv6Address": one, "IsPrimaryIpv6": False} for one in interface.ipv6_addresses],
        "Ipv6Prefixes": [{"Ipv6Prefix": one} for one in interface.ipv6_prefixes],
    }


def describe_attachment(interface: NetworkInterface) -> dict[str, Any] | None:
    """To which instance an interface is attached, or that a service has it."""
    if interface.requester:
        return {
            "AttachmentId": interface.attachment_id,
            "InstanceOwnerId": interface.requester,
            "DeviceIndex": 1,
            "DeleteOnTermination": False,
            "Status": "attached",
        }
    if interface.instance is None:
        return None
    return {
        "AttachmentId": interface.attachment_id,
        "InstanceId": interface.instance.id,
        "DeviceIndex": interface.device_index,
        "NetworkCardIndex": 0,
        "DeleteOnTermination": interface.delete_on_termination,
        "AttachTime": interface.attached,
        "Status": "attached",
    }


def describe(region: Region, interface: NetworkInterface) -> dict[str, Any]:
    """An interface in the form of DescribeNetworkInterfaces."""
    return {
        "NetworkInterfaceId": interface.id,
        "SubnetId": interface.subnet.id,
        "VpcId": interface.vpc_id,
        "AvailabilityZone": interface.subnet.availability_zone,
        "Description": interface.description,
        "Groups": [{"GroupId": group.id, "GroupName": group.name} for group in interface.groups],
        "InterfaceType": interface.kind,
        "MacAddress": interface.mac,
        "OwnerId": region.account,
        "PrivateIpAddress": interface.private_ip_address,
        "PrivateIpAddresses": describe_private_ips(region, interface),
        **describe_ipv6(interface),
        "RequesterId": interface.requester,
        "RequesterManaged": interface.requester is not None,
        "SourceDestCheck": interface.source_dest_check,
        "Status": "in-use" if interface.in_use else "available",
        "Association": association(region, interface, interface.private_ip_address),
        "Attachment": describe_attachment(interface),
        "TagSet": tags.described(region, interface.id),
    }
