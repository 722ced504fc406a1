"""The registry of the actions that the region implements itself, instead of moto."""

from collections.abc import Callable
from typing import Any

from .state import Region

Handler = Callable[[Region, dict[str, Any]], dict[str, Any] | None]

Check = Callable[[Region, dict[str, Any], str], None]

HANDLERS: dict[tuple[str, str], Handler] = {}
CHECKS: dict[tuple[str, str], list[Check]] = {}


def action(service: str, name: str) -> Callable[[Handler], Handler]:
    """Registers a function as the implementation of an action: parsed parameters in, result out."""

    def register(handler: Handler) -> Handler:
        HANDLERS[service, name] = handler
        return handler

    return register


def check(service: str, *names: str) -> Callable[[Check], Check]:
    """Registers a function that runs before moto does an action (the last argument), and may refuse it."""

    def register(inspect: Check) -> Check:
        for name in names:
            CHECKS.setdefault((service, name), []).append(inspect)
        return inspect

    return register
