"""Which addresses are free: private ones of a subnet, public ones of the ranges for documentation."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from .errors import AwsError
from .state import Region

ELASTIC = IPv4Network("198.51.100.0/24")
AUTOMATIC = IPv4Network("203.0.113.0/24")
RESERVED_AT_START = 4


def used_in(region: Region, subnet: Any) -> set[str]:
    """The private addresses that network interfaces in a subnet hold."""
    return {
        address["PrivateIpAddress"]
        for interface in region.ec2.enis.values()
        if interface.subnet.id == subnet.id
        for address in interface.private_ip_addresses
    }


def take_private(region: Region, subnet: Any, wanted: str | None = None) -> str:
    """A free private address of a subnet: the one asked for, or any outside the CIDR reservations.

    The network's first four addresses and its last one are AWS's (VPC User Guide, "Subnet CIDR
    blocks"); an `explicit` reservation keeps its range from automatic assignment, and leaves it open
    to who names an address ("Subnet CIDR reservations").
    """
    network = IPv4Network(subnet.cidr_block)
    used = used_in(region, subnet)
    if wanted:
        _check_wanted(network, wanted, used)
        return wanted
    reserved = [reservation.cidr for reservation in subnet._cidr_reservations]

    def free(address: IPv4Address) -> bool:
        return str(address) not in used and not any(address in cidr for cidr in reserved)

    address = _next(region, subnet.id, network, RESERVED_AT_START, free)
    if address is None:
        raise AwsError(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances.",
        )
    return address


def _check_wanted(network: IPv4Network, wanted: str, used: set[str]) -> None:
    try:
        address = IPv4Address(wanted)
    except ValueError:
        raise AwsError("InvalidParameterValue", f"Invalid value '{wanted}' for an IPv4 address") from None
    if address not in network:
        raise AwsError("InvalidParameterValue", "Address does not fall within the subnet's address range")
    offset = int(address) - int(network.network_address)
    if offset < RESERVED_AT_START or address == network.broadcast_address:
        raise AwsError("InvalidParameterValue", "Address is in subnet's reserved address range")
    if wanted in used:
        raise AwsError("InvalidIPAddress.InUse", f"Address {wanted} is in use.")


def take_elastic(region: Region) -> str:
    """A free Elastic IP address."""
    used = {address.public_ip for address in region.ec2.addresses}
    address = _next(region, "elastic", ELASTIC, 1, lambda one: str(one) not in used)
    if address is None:
        raise AwsError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    return address


def take_automatic(region: Region) -> str:
    """A free address for an interface that gets a public one by itself."""
    used = {interface.automatic_public_ip for interface in region.ec2.enis.values()}
    address = _next(region, "automatic", AUTOMATIC, 1, lambda one: str(one) not in used)
    if address is None:
        raise AwsError("InsufficientAddressCapacity", "Not enough available addresses to satisfy the request")
    return address


def _next(region: Region, cursor: str, network: IPv4Network, first: int, free: Any) -> str | None:
    """The next free address after the last one taken, so that a freed one isn't taken again at once."""
    last = network.num_addresses - 1
    start = max(region.cursors.get(cursor, first), first)
    for offset in [*range(start, last), *range(first, min(start, last))]:
        address = network[offset]
        if free(address):
            region.cursors[cursor] = offset + 1
            return str(address)
    return None
