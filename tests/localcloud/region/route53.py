"""Route 53: moto's, which accepts changes that the real one refuses."""

import functools
from typing import Any

from moto.core.exceptions import ServiceException
from moto.route53.exceptions import Route53ClientError
from moto.route53.models import Route53Backend


def install() -> None:
    """Patches moto: a batch with an impossible change is refused whole; a caller reference serves once."""
    change, create = Route53Backend.change_resource_record_sets, Route53Backend.create_hosted_zone

    @functools.wraps(change)
    def change_if_possible(self: Any, zoneid: str, change_list: list[dict[str, Any]]) -> None:
        zone = self.get_hosted_zone(zoneid)
        if refused := [why for one in change_list if (why := _obstacle(zone, one))]:
            raise Route53ClientError("InvalidChangeBatch", f"[{', '.join(refused)}]")
        change(self, zoneid, change_list)

    @functools.wraps(create)
    def create_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        reference = kwargs.get("caller_reference")
        if reference and any(zone.caller_reference == reference for zone in self.zones.values()):
            raise _already_exists(reference)
        return create(self, *args, **kwargs)

    Route53Backend.change_resource_record_sets = change_if_possible
    Route53Backend.create_hosted_zone = create_once


def _already_exists(reference: str) -> ServiceException:
    return Route53ClientError("HostedZoneAlreadyExists", f"A hosted zone has been created with the caller reference {reference}.")


def _obstacle(zone: Any, change: dict[str, Any]) -> str | None:
    """Why a change can't be made: API_ChangeResourceRecordSets, CREATE of what exists, DELETE of what doesn't."""
    wanted = change["ResourceRecordSet"]
    name = wanted["Name"].rstrip(".") + "."
    described = f"resource record set [name='{name}', type='{wanted['Type']}']"
    identity = (name.lower(), wanted["Type"], wanted.get("SetIdentifier"))
    existing = [one for one in zone.rrsets if (one.name.rstrip(".").lower() + ".", one.type, one.set_identifier) == identity]
    if change["Action"] == "CREATE" and existing:
        return f"Tried to create {described} but it already exists"
    if change["Action"] == "DELETE" and not existing:
        return f"Tried to delete {described} but it was not found"
    if change["Action"] == "DELETE" and not _same_values(existing[0], wanted):
        return f"Tried to delete {described} but the values provided do not match the current values"
    return None


def _same_values(existing: Any, wanted: dict[str, Any]) -> bool:
    given = sorted(record["Value"] for record in wanted.get("ResourceRecords") or [])
    return given == sorted(existing.records or []) and (existing.ttl is None or str(wanted.get("TTL")) == str(existing.ttl))
