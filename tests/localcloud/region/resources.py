"""What the rest of the region must know of a kind of AWS resource: each kind's own file declares it with `resource`.

Who reads the declarations: the inventory; `iam_requests` (which resources a request is about, what IAM knows of them);
`tags` (what EC2's CreateTags may name); `describe` (the filters of moto's Describe actions); `visibility` (what can be
unseen for a while); the control API (what can be made older).
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .state import Region

Params = dict[str, Any]
Ids = Callable[[Region], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind of AWS resource. Everything but `service` and `type` may be left out by a kind that has no such thing."""

    service: str
    """Whose it is, such as `ec2`."""
    type: str
    """What ARNs and TagSpecifications call it, such as `volume`."""

    inventory: tuple[str, Ids] | None = None
    """What the inventory calls all of them, and the ids or names of those that there are."""

    parameters: tuple[str, ...] = ()
    """The parameters in which requests name one or several of it."""
    named_otherwise: Callable[[Region, Params], Iterable[str]] = lambda region, params: ()
    """The ids or names in a request that no parameter alone tells."""
    arn: Callable[[Region, str], str] | None = None
    """The ARN of the one with an id or name. Without it IAM's policies never are about one of it."""
    tags: Callable[[Region, str], dict[str, str]] = lambda region, name: {}
    """Its tags, which conditions of IAM's policies may be about."""
    context: Callable[[Region, str], dict[str, Any]] = lambda region, name: {}
    """Further condition keys that it gives a request, in lower case."""
    policies: Callable[[Region, str], list[str]] = lambda region, name: []
    """The policies that it has itself, as buckets do."""

    created_by: tuple[str, ...] = ()
    """The actions that make one: they are authorized on all of the kind, and what they made can be unseen for a while."""
    taggable: Callable[[Region], Container[str]] | None = None
    """The ids that EC2's CreateTags takes; without it moto says what there is."""

    filters: dict[str, set[str]] = field(default_factory=dict)
    """By moto's Describe actions: the filters that moto answers rightly. Actions of ours hand theirs to `filters.matches`."""

    id_prefix: str | None = None
    """What its ids begin with, where those that were just made can be unseen."""
    id_pattern: re.Pattern[str] | None = None
    """What its ids look like, where that is more than a prefix, as ARNs do."""
    name_parameter: str | None = None
    """The parameter in which its creation names it, where it has a name and no id."""
    not_found: str | None = None
    """The code that denies one that can't be seen yet; without it requests that name one pass."""
    not_found_by: dict[str, str] = field(default_factory=dict)
    """By actions: the codes with which they deny it, where those are others."""
    lists: dict[str, Callable[[Any], Any] | str] = field(default_factory=dict)
    """The lists that answers consist of: by which member, or through which function, an element is known."""

    age: Callable[[Region, str, float], None] | None = None
    """Makes one so many seconds older. Fails with KeyError when there is no such one."""

    def named(self, region: Region, params: Params) -> Iterator[str]:
        """The ids or names that a request names of this kind."""
        for parameter in self.parameters:
            value = params.get(parameter)
            yield from value if isinstance(value, list) else [value] if value else []
        yield from self.named_otherwise(region, params)


RESOURCES: list[Resource] = []


def resource(service: str, type: str, **declared: Any) -> Resource:
    """Declares a kind of resource: the fields of `Resource`."""
    kind = Resource(service=service, type=type, **declared)
    RESOURCES.append(kind)
    return kind


def of_service(service: str) -> list[Resource]:
    """The kinds of a service."""
    return [kind for kind in RESOURCES if kind.service == service]


def of_id(identifier: str) -> Resource | None:
    """The kind that an id's prefix tells."""
    prefix = identifier.rpartition("-")[0]
    return next((kind for kind in RESOURCES if kind.id_prefix == prefix != ""), None)


def created_by(service: str, action: str) -> list[Resource]:
    """The kinds that an action makes."""
    return [kind for kind in of_service(service) if action in kind.created_by]
