"""What a request means to IAM: the actions it needs, on which resources, with which context.

Most services: the action, on each resource that the request names. Where a service differs from that, its file says how.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import resources, services
from .protocol import Call
from .state import Region


@dataclass
class Need:
    """An action on a resource that must be allowed. Context keys are lower case; `policies` are the resource's own."""

    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)
    policies: list[str] = field(default_factory=list)


def needs(region: Region, call: Call) -> Iterator[Need]:
    """Everything that must be allowed for a request to be."""
    yield from (services.find(call.service).needs or by_resources)(region, call)


def by_resources(region: Region, call: Call) -> Iterator[Need]:
    """The request's action on each resource that it names, or on `*` when it names none."""
    action = action_of(call)
    named = [(kind, name) for kind in resources.of_service(call.service) if kind.arn for name in kind.named(region, call.params)]
    for kind, name in named:
        yield on_resource(region, action, kind, name, request_tags(call.params))
    if not named:
        yield Need(action, "*", request_tags(call.params))


def action_of(call: Call) -> str:
    """A request's action, as policies name it."""
    known = services.find(call.service)
    return f"{known.iam_prefix or known.name}:{call.action}"


def on_resource(region: Region, action: str, kind: resources.Resource, name: str, context: dict[str, Any]) -> Need:
    """An action on one resource, with what IAM knows of it."""
    held = {f"aws:resourcetag/{key}".lower(): value for key, value in kind.tags(region, name).items()}
    return Need(action, kind.arn(region, name), {**context, **held, **kind.context(region, name)}, kind.policies(region, name))


def request_tags(params: dict[str, Any]) -> dict[str, Any]:
    """The condition keys about the tags that a request gives: `aws:RequestTag` and `aws:TagKeys`."""
    given = dict(_given_tags(params))
    if not given:
        return {}
    return {**{f"aws:requesttag/{key}".lower(): value for key, value in given.items()}, "aws:tagkeys": list(given)}


def _given_tags(params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Services give tags as a list of keys and values or as a map, and call the parameter `Tags` or `tags`."""
    given = [params.get("Tags"), params.get("tags"), *(one.get("Tags") for one in params.get("TagSpecifications") or [])]
    for tags in given:
        if isinstance(tags, dict):
            yield from tags.items()
            continue
        for tag in tags or []:
            key = tag.get("Key") or tag.get("TagKey")
            if key:
                yield key, tag.get("Value") or tag.get("TagValue") or ""
