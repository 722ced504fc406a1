"""The control API under `/_region/`: what the machines and the tests use beside AWS's own APIs.

Here are the requests about the region itself; those about a kind of thing are in the kind's file.
"""

import json
import re
from contextlib import nullcontext
from typing import Any

from .errors import AwsError
from .routes import ROUTES, BadRequest, Handler, Request, route
from .state import Region
from .transitions import pass_time
from .visibility import VISIBILITY

Response = tuple[int, dict[str, str], bytes]


def answer(region: Region, environ: dict[str, Any], body: bytes) -> Response:
    """Answers a request to the control API: JSON in and out, except for an instance's console."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix("/_region")
    for wanted, pattern, locked, handler in ROUTES:
        match = re.fullmatch(pattern, path)
        if match and wanted == method:
            with region.lock if locked else nullcontext():
                if locked:
                    pass_time(region)
                return _respond(region, handler, match.groups(), Request(environ, body))
    return _json(404, {"error": f"no such request: {method} {environ['PATH_INFO']}"})


def _respond(region: Region, handler: Handler, arguments: Any, request: Request) -> Response:
    try:
        result = handler(region, request, *arguments)
    except (BadRequest, ValueError, TypeError) as error:
        return _json(400, {"error": str(error)})
    except AwsError as error:
        return _json(error.status, {"error": str(error)})
    except KeyError as error:
        return _json(404, {"error": f"not found: {error.args[0]}"})
    return _json(200, result)


def _json(status: int, value: Any) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(value, default=str).encode()


@route("GET", "/health", locked=False)
def _health(region: Region, request: Request) -> Any:
    return {"ready": True}


@route("GET", "/journal", locked=False)
def _journal(region: Region, request: Request) -> Any:
    return region.journal.entries


@route("DELETE", "/journal", locked=False)
def _forget_journal(region: Region, request: Request) -> Any:
    region.journal.forget_entries()
    return []


@route("GET", "/faults", locked=False)
def _faults(region: Region, request: Request) -> Any:
    return region.faults.describe()


@route("POST", "/faults", locked=False)
def _add_faults(region: Region, request: Request) -> Any:
    descriptions = json.loads(request.body)
    if not isinstance(descriptions, list):
        raise BadRequest("a JSON array of faults is wanted")
    region.faults.add(descriptions)
    return region.faults.describe()


@route("DELETE", "/faults", locked=False)
def _clear_faults(region: Region, request: Request) -> Any:
    region.faults.clear()
    return []


@route("GET", "/held", locked=False)
def _held(region: Region, request: Request) -> Any:
    return region.faults.held


@route("DELETE", "/held", locked=False)
def _release(region: Region, request: Request) -> Any:
    return region.faults.release()


@route("GET", "/unimplemented", locked=False)
def _unimplemented(region: Region, request: Request) -> Any:
    return region.journal.unimplemented


@route("POST", "/authentication", locked=False)
def _authentication(region: Region, request: Request) -> Any:
    region.enforce_authentication = request.flag("enforce")
    return {"enforce": region.enforce_authentication}


@route("POST", "/reset", locked=False)
def _reset(region: Region, request: Request) -> Any:
    region.reset()
    VISIBILITY.clear()
    return {}
