"""IPv6 addresses and prefixes of network interfaces.

EC2 picks addresses at random in the subnet's range; here too, so that nothing counts on their order.
"""

import secrets
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from . import network_interfaces, subnet_ranges
from .actions import action
from .errors import AwsError
from .state import Region

Params = dict[str, Any]
PREFIX = 80
ONE_OF = ("Ipv6Addresses", "Ipv6AddressCount", "Ipv6Prefixes", "Ipv6PrefixCount")


def give(region: Region, interface: Any, asked: Params) -> None:
    """What a new interface gets: what it asks for, or an address where its subnet gives one to everybody."""
    given = [name for name in ONE_OF if asked.get(name)]
    if len(given) > 1:
        raise AwsError(
            "InvalidParameterValue",
            "You can and can only specify one of ipv6-addresses or ipv6-addresses-count  ipv6-prefix and ipv6-prefix-count.",
        )
    automatic = interface.subnet.assign_ipv6_address_on_creation and asked.get("Ipv6AddressCount") != 0
    _assign(region, interface, asked if given else {"Ipv6AddressCount": 1 if automatic else 0})


def _assign(region: Region, interface: Any, asked: Params) -> tuple[list[str], list[str]]:
    """The addresses and the prefixes that are new."""
    named = [one["Ipv6Address"] if isinstance(one, dict) else one for one in asked.get("Ipv6Addresses") or []]
    prefixes = [one["Ipv6Prefix"] if isinstance(one, dict) else one for one in asked.get("Ipv6Prefixes") or []]
    count, prefix_count = asked.get("Ipv6AddressCount") or 0, asked.get("Ipv6PrefixCount") or 0
    if not (named or prefixes or count or prefix_count):
        return [], []
    network = subnet_ranges.ipv6_of(interface.subnet)
    if network is None:
        raise AwsError("InvalidParameterValue", f"The subnet '{interface.subnet.id}' has no IPv6 CIDR block")
    more = len(named) + count + len(prefixes) + prefix_count
    _check_limit(interface, more)
    for address in named:
        _check_free(region, interface, network, IPv6Network(address))
    for prefix in prefixes:
        if not prefix.endswith(f"/{PREFIX}"):
            raise AwsError("InvalidParameterValue", f"The prefix {prefix} is no /{PREFIX}")
        _check_free(region, interface, network, IPv6Network(prefix))
    new = [str(IPv6Address(one)) for one in named] + [str(_any(region, network, 128)[0]) for _ in range(count)]
    delegated = [str(IPv6Network(one)) for one in prefixes] + [str(_any(region, network, PREFIX)) for _ in range(prefix_count)]
    interface.ipv6_addresses += new
    interface.ipv6_prefixes += delegated
    return new, delegated


def _check_limit(interface: Any, more: int) -> None:
    """Of addresses and prefixes together (EC2 User Guide, "IP addresses per network interface", and on prefixes)."""
    if interface.instance is None:
        return
    limit = INSTANCE_TYPES[interface.instance.kind]["NetworkInfo"]["Ipv6AddressesPerInterface"]
    if len(interface.ipv6_addresses) + len(interface.ipv6_prefixes) + more > limit:
        raise AwsError("AddressLimitExceeded", f"Number of IPv6 addresses will exceed limit {limit} of {interface.id}.")


def _held(region: Region) -> list[IPv6Network]:
    interfaces = region.ec2.enis.values()
    return [IPv6Network(one) for interface in interfaces for one in (*interface.ipv6_addresses, *interface.ipv6_prefixes)]


def _check_free(region: Region, interface: Any, network: IPv6Network, wanted: IPv6Network) -> None:
    if not wanted.subnet_of(network):
        raise AwsError("InvalidParameterValue", f"{wanted} does not fall within the subnet's address range")
    if any(wanted.overlaps(one) for one in _held(region)):
        raise AwsError("InvalidParameterValue", f"[{wanted.network_address}] is already assigned to another interface")


def _any(region: Region, network: IPv6Network, length: int) -> IPv6Network:
    """Any that nobody has, but for the subnet's first addresses, which are AWS's."""
    while True:
        number = 1 + secrets.randbelow((1 << (length - network.prefixlen)) - 1)
        found = IPv6Network((int(network.network_address) + (number << (128 - length)), length))
        if not any(found.overlaps(one) for one in _held(region)):
            return found


@action("ec2", "AssignIpv6Addresses")
def assign_ipv6_addresses(region: Region, params: Params) -> dict[str, Any]:
    """Addresses and prefixes may be asked for together here (API_AssignIpv6Addresses)."""
    interface = network_interfaces.find(region, params.get("NetworkInterfaceId"))
    network_interfaces.check_own(interface)
    addresses, prefixes = _assign(region, interface, params)
    return {
        "NetworkInterfaceId": interface.id,
        "AssignedIpv6Addresses": addresses,
        "AssignedIpv6Prefixes": prefixes,
    }


@action("ec2", "UnassignIpv6Addresses")
def unassign_ipv6_addresses(region: Region, params: Params) -> dict[str, Any]:
    interface = network_interfaces.find(region, params.get("NetworkInterfaceId"))
    network_interfaces.check_own(interface)
    addresses = [str(IPv6Address(one)) for one in params.get("Ipv6Addresses") or []]
    prefixes = [str(IPv6Network(one)) for one in params.get("Ipv6Prefixes") or []]
    held = (*interface.ipv6_addresses, *interface.ipv6_prefixes)
    if missing := [one for one in (*addresses, *prefixes) if one not in held]:
        raise AwsError("InvalidParameterValue", f"Some of the specified addresses are not assigned to {interface.id}: {missing}")
    interface.ipv6_addresses = [one for one in interface.ipv6_addresses if one not in addresses]
    interface.ipv6_prefixes = [one for one in interface.ipv6_prefixes if one not in prefixes]
    return {
        "NetworkInterfaceId": interface.id,
        "UnassignedIpv6Addresses": addresses,
        "UnassignedIpv6Prefixes": prefixes,
    }
