"""Eventual consistency: what was just made can't be seen for a while.

AWS's answers come from copies that follow one another: a Describe by filters doesn't show what was made
a moment ago, and a request by its id may be told that there is no such thing (EC2 API Reference,
"Eventual consistency"; IAM User Guide, "Changes that I make are not always immediately visible").
Which kinds of things that is so for, their declarations say (`resources.Resource`).
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import resources, services
from .resources import Resource
from .state import Region

ID = re.compile(r"\b[a-z]+(?:-[a-z]+)*-[0-9a-f]{8,17}\b")


class Visibility:
    """What can't be seen yet, and until when: by filters, and by its id or name for half that time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hidden: dict[tuple[str, str], tuple[float, float]] = {}

    def hide(self, service: str, action: str, params: dict[str, Any], answer: bytes, milliseconds: int) -> None:
        """Hides what a request has made: the ids that its answer names and the request didn't, or the name it gave."""
        made: set[tuple[str, str]] = set()
        for kind in resources.created_by(service, action):
            if kind.name_parameter:
                made.add((kind.type, params.get(kind.name_parameter, "")))
            elif kind.not_found:
                new = _ids(kind, answer.decode(errors="replace")) - _ids(kind, repr(params))
                made |= {(kind.type, one) for one in new}
        now, seconds = time.monotonic(), milliseconds / 1000
        with self._lock:
            self._hidden.update(dict.fromkeys(made, (now + seconds / 2, now + seconds)))

    def check(self, region: Region, service: str, action: str, params: dict[str, Any]) -> None:
        """Denies a request that names something by an id or name that isn't known everywhere yet."""
        hidden = self._now_hidden(0)
        if not hidden:
            return
        for kind in resources.RESOURCES:
            for one in sorted(_named(region, kind, service, action, params)) if kind.not_found else ():
                if (kind.type, one) in hidden:
                    code = kind.not_found_by.get(action, kind.not_found)
                    raise services.find(service).unseen(replace(kind, not_found=code), one)

    def veil(self, service: str, result: Any, by_filters: bool) -> Any:
        """An answer without the members of its lists that can't be seen."""
        hidden = self._now_hidden(1 if by_filters else 0)
        if not hidden or not isinstance(result, dict):
            return result
        lists = {name: (kind, known_by) for kind in resources.of_service(service) for name, known_by in kind.lists.items()}

        def shown(name: str, members: Any) -> Any:
            if name not in lists or not isinstance(members, list):
                return members
            kind, known_by = lists[name]
            return [one for one in members if (kind.type, _value(one, known_by)) not in hidden]

        return {name: shown(name, members) for name, members in result.items()}

    def hides(self, kind: Resource, identifier: str) -> bool:
        """Whether one can't be seen by who knows it."""
        return (kind.type, identifier) in self._now_hidden(0)

    def clear(self) -> None:
        with self._lock:
            self._hidden.clear()

    def _now_hidden(self, which: int) -> set[tuple[str, str]]:
        now = time.monotonic()
        with self._lock:
            return {one for one, until in self._hidden.items() if now < until[which]}


def _named(region: Region, kind: Resource, service: str, action: str, params: dict[str, Any]) -> set[str]:
    """The things of a kind that a request is about: ids wherever they stand, names as their service gives them."""
    if kind.id_prefix or kind.id_pattern:
        return _ids(kind, repr(params))
    return set(kind.named(region, params)) if kind.service == service and action not in kind.created_by else set()


def _ids(kind: Resource, text: str) -> set[str]:
    """The ids of a kind in a text."""
    if kind.id_pattern:
        return set(kind.id_pattern.findall(text))
    return {one for one in ID.findall(text) if one.rpartition("-")[0] == kind.id_prefix}


def _value(member: Any, known_by: Callable[[Any], Any] | str) -> Any:
    """What a member of a list is known by: moto's are objects, the region's own mostly aren't."""
    if callable(known_by):
        return known_by(member)
    return member.get(known_by) if isinstance(member, dict) else getattr(member, "id", None)


def names_ids(params: dict[str, Any]) -> bool:
    """Whether a request asks for things by their ids or names."""
    return any(name.endswith(("Ids", "Names", "Arns")) and value for name, value in params.items())


# One for the process, as moto's collections are.
VISIBILITY = Visibility()
