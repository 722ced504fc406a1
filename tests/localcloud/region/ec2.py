"""EC2, as far as it is the same for all of its resources: their ARNs and tags, and what its requests mean to IAM.

Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2".
"""

from collections.abc import Iterator
from typing import Any

from . import tags
from .iam_requests import Need, request_tags
from .protocol import Call
from .resources import Resource, created_by, of_id, of_service, resource
from .services import service
from .state import Region

READS_OF_ONE = ("GetConsoleOutput", "DescribeInstanceAttribute")
MANY = "*"


def arn(region: Region, type: str, identifier: str) -> str:
    """The ARN of a resource that is the account's."""
    return f"arn:aws:ec2:{region.name}:{region.account}:{type}/{identifier}"


def kind(type: str, **declared: Any) -> Resource:
    """Declares a kind of EC2's: `resource`, with ARN and tags as all of them have."""

    def own_arn(region: Region, identifier: str) -> str:
        return arn(region, type, identifier)

    return resource("ec2", type, **{"arn": own_arn, "tags": tags.of, **declared})


def _needs(region: Region, call: Call) -> Iterator[Need]:
    """Reads are authorized as a whole; a creation on all of its kind, and its tags for themselves."""
    action, params = f"ec2:{call.action}", call.params
    common = {"ec2:region": region.name, **request_tags(params), **_attributes(call)}
    if not call.mutating and call.action not in READS_OF_ONE:
        yield Need(action, MANY, common)
        return
    created = [made for made in created_by("ec2", call.action) if made.arn]
    for made in created:
        yield Need(action, made.arn(region, MANY), common)
        if params.get("TagSpecifications"):
            yield Need("ec2:CreateTags", made.arn(region, MANY), {**common, "ec2:createaction": call.action})
    named = list(_named(region, params))
    if not created and not named:
        yield Need(action, MANY, common)
    for resource_arn, context in named:
        yield Need(action, resource_arn, {**common, **context})


def _named(region: Region, params: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """ARN and condition keys of each resource that a request names."""
    for one in of_service("ec2"):
        for identifier in one.named(region, params) if one.arn else ():
            yield one.arn(region, identifier), _context(region, one, identifier)
    for identifier in params.get("Resources") or []:
        one = of_id(identifier)
        own = one.arn(region, identifier) if one and one.arn else arn(region, tags.type_of(identifier), identifier)
        yield own, _context(region, one, identifier)


def _context(region: Region, one: Resource | None, identifier: str) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for key, value in tags.of(region, identifier).items():
        context[f"aws:resourcetag/{key}".lower()] = context[f"ec2:resourcetag/{key}".lower()] = value
    return {**context, **(one.context(region, identifier) if one else {})}


def _attributes(call: Call) -> dict[str, Any]:
    """What an action on attributes is about (`ec2:Attribute` and `ec2:Attribute/${AttributeName}`)."""
    if not call.action.endswith("Attribute"):
        return {}
    naming = {parameter for one in of_service("ec2") for parameter in one.parameters}
    given = [name for name in call.params if name not in (*naming, "DryRun", "Attribute")]
    context: dict[str, Any] = {"ec2:attribute": given or [call.params.get("Attribute", "")]}
    for name in given:
        value = call.params[name]
        context[f"ec2:attribute/{name}".lower()] = value.get("Value") if isinstance(value, dict) else value
    return context


service("ec2", version="2016-11-15", regional=True, of_the_world=True, needs=_needs)
