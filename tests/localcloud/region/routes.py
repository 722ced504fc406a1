"""The registry of the control API's requests, and what one of them brings."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs


class BadRequest(Exception):
    """A request to the control API that can't be understood."""


@dataclass
class Request:
    """A request to the control API."""

    environ: dict[str, Any]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the URL."""
        return {name: values[0] for name, values in parse_qs(self.environ.get("QUERY_STRING", "")).items()}

    def object(self) -> dict[str, Any]:
        """The body, a JSON object."""
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise BadRequest("a JSON object is wanted")
        return value

    def flag(self, name: str) -> bool:
        """A field of the body that is true or false."""
        value = self.object().get(name)
        if not isinstance(value, bool):
            raise BadRequest(f'{{"{name}": true or false}} is wanted')
        return value

    def number(self, name: str) -> float:
        """A field of the body that is a number."""
        value = self.object().get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise BadRequest(f'{{"{name}": a number}} is wanted')
        return value


Handler = Callable[..., Any]

ROUTES: list[tuple[str, str, bool, Handler]] = []


def route(method: str, path: str, locked: bool = True) -> Callable[[Handler], Handler]:
    """Registers a function as the answer to a request of the control API: what it returns is sent as JSON.

    `path` is a regular expression for what follows `/_region`; its groups are handed to the function. It holds the
    region's lock unless it says otherwise, as what waits must.
    """

    def register(handler: Handler) -> Handler:
        ROUTES.append((method, path, locked, handler))
        return handler

    return register
