"""What the files of the region declare beside their resources: actions of ours, checks before moto's, patches of moto."""

from collections.abc import Callable
from typing import Any

from .state import Region

Handler = Callable[[Region, dict[str, Any]], dict[str, Any] | None]

Check = Callable[[Region, dict[str, Any], str], None]

Patch = Callable[[], None]

HANDLERS: dict[tuple[str, str], Handler] = {}
CHECKS: dict[tuple[str, str | None], list[Check]] = {}
PATCHES: list[Patch] = []


def action(service: str, name: str) -> Callable[[Handler], Handler]:
    """Registers a function as the implementation of an action: parsed parameters in, result out."""

    def register(handler: Handler) -> Handler:
        HANDLERS[service, name] = handler
        return handler

    return register


def check(service: str, *names: str) -> Callable[[Check], Check]:
    """Registers a function that runs before moto does an action (the last argument), and may refuse it.

    Without names it runs before every action of the service that moto does.
    """

    def register(inspect: Check) -> Check:
        for name in names or (None,):
            CHECKS.setdefault((service, name), []).append(inspect)
        return inspect

    return register


def patch(apply: Patch) -> Patch:
    """Registers a function that changes moto's classes, once per process, before the first request."""
    PATCHES.append(apply)
    return apply
