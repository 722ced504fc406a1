"""Route 53: moto's, which accepts changes that the real one refuses, and refuses some that it accepts."""

import functools
from collections.abc import Iterator
from typing import Any

from moto.core.exceptions import ServiceException
from moto.route53.exceptions import DnsNameInvalidForZone, Route53ClientError
from moto.route53.models import RecordSet, Route53Backend, reverse_domain_name
from moto.route53.utils import validate_domain_name

from .actions import patch
from .iam_requests import Need, action_of
from .protocol import Call
from .services import service
from .state import Region


def _needs(region: Region, call: Call) -> Iterator[Need]:
    """On the hosted zone or the change in the path (Service Authorization Reference, Route 53)."""
    identifier = call.uri_params.get("Id")
    kind = "change" if call.action == "GetChange" else "hostedzone"
    yield Need(action_of(call), f"arn:aws:route53:::{kind}/{identifier}" if identifier else "*")


service("route53", of_the_world=True, needs=_needs)


@patch
def install() -> None:
    """Patches moto: a batch of changes is done whole or not at all; zones are listed from a name on; a caller reference
    serves once."""
    create = Route53Backend.create_hosted_zone

    @functools.wraps(create)
    def create_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        reference = kwargs.get("caller_reference")
        if reference and any(zone.caller_reference == reference for zone in self.zones.values()):
            raise _already_exists(reference)
        return create(self, *args, **kwargs)

    Route53Backend.change_resource_record_sets = _change
    Route53Backend.create_hosted_zone = create_once
    Route53Backend.list_hosted_zones_by_name = _zones_from


def _already_exists(reference: str) -> ServiceException:
    return Route53ClientError("HostedZoneAlreadyExists", f"A hosted zone has been created with the caller reference {reference}.")


def _zones_from(self: Any, dnsname: str | None) -> tuple[str | None, list[Any]]:
    """API_ListHostedZonesByName: in the order of the reversed labels, from the given name on, whatever they are called."""
    start = reverse_domain_name(dnsname) if dnsname else ""
    zones = sorted(self.zones.values(), key=lambda zone: (reverse_domain_name(zone.name), zone.id))
    return dnsname, [zone for zone in zones if reverse_domain_name(zone.name) >= start]


def _change(self: Any, zoneid: str, change_list: list[dict[str, Any]]) -> None:
    """API_ChangeResourceRecordSets: one change after the other, on a copy that becomes the zone if each is possible."""
    zone = self.get_hosted_zone(zoneid)
    record_sets, refused = list(zone.rrsets), []
    for change in change_list:
        wanted = change["ResourceRecordSet"]
        validate_domain_name(wanted["Name"], code="InvalidChangeBatch")
        wanted["Name"] = wanted["Name"].rstrip(".").lower() + "."
        if not f".{wanted['Name']}".endswith(f".{zone.name}"):
            raise DnsNameInvalidForZone(name=wanted["Name"], zone_name=zone.name)
        existing = [one for one in record_sets if _identity(one.name, one.type, one.set_identifier) == _identity_of(wanted)]
        if obstacle := _obstacle(change["Action"], existing, wanted):
            refused.append(obstacle)
            continue
        record_sets = [one for one in record_sets if one not in existing]
        if change["Action"] != "DELETE":
            values = [record["Value"] for record in wanted.get("ResourceRecords") or []]
            record_sets.append(RecordSet(wanted | {"ResourceRecords": values}))
    if refused:
        raise Route53ClientError("InvalidChangeBatch", f"[{', '.join(refused)}]")
    zone.rrsets = record_sets


def _identity(name: str, kind: str, set_identifier: str | None) -> tuple[str, str, str | None]:
    return name.rstrip(".").lower(), kind, set_identifier


def _identity_of(wanted: dict[str, Any]) -> tuple[str, str, str | None]:
    return _identity(wanted["Name"], wanted["Type"], wanted.get("SetIdentifier"))


def _obstacle(action: str, existing: list[Any], wanted: dict[str, Any]) -> str | None:
    """Why a change can't be made: CREATE of what exists, DELETE of what doesn't, or isn't so."""
    described = f"resource record set [name='{wanted['Name']}', type='{wanted['Type']}']"
    if action == "CREATE" and existing:
        return f"Tried to create {described} but it already exists"
    if action == "DELETE" and not existing:
        return f"Tried to delete {described} but it was not found"
    if action == "DELETE" and not _same_values(existing[0], wanted):
        return f"Tried to delete {described} but the values provided do not match the current values"
    return None


def _same_values(existing: Any, wanted: dict[str, Any]) -> bool:
    given = sorted(record["Value"] for record in wanted.get("ResourceRecords") or [])
    return given == sorted(existing.records or []) and (existing.ttl is None or str(wanted.get("TTL")) == str(existing.ttl))
