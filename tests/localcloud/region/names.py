"""What the machines know of names: Route 53's hosted zones (README.md, "The world")."""

from typing import Any

from moto.backends import get_backend

from .state import Region


def zones(region: Region) -> list[dict[str, Any]]:
    """The hosted zones with their records. A private one names the VPCs that know it, a public one none."""
    return [_zone(one) for one in get_backend("route53")[region.account]["aws"].zones.values()]


def _zone(zone: Any) -> dict[str, Any]:
    vpcs = [vpc.get("vpc_id") or vpc.get("VPCId") for vpc in zone.vpcs] if zone.private_zone else None
    return {"name": zone.name, "vpcs": vpcs, "records": [_record(one) for one in zone.rrsets]}


def _record(record: Any) -> dict[str, Any]:
    alias = record.alias_target
    return {
        "name": record.name,
        "type": record.type,
        # moto keeps those that it makes itself with a zone as they come in a request.
        "values": [one["Value"] if isinstance(one, dict) else one for one in record.records or []],
        "alias": alias["DNSName"] if alias else None,
    }
