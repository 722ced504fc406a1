"""The control API under `/_region/`: what the machines and the tests use beside AWS's own APIs."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from . import images, machines, volumes, world
from .errors import AwsError
from .inventory import inventory
from .reconcile import reconcile
from .state import Region

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[..., Any]


class BadRequest(Exception):
    """A request to the control API that can't be understood."""


def answer(region: Region, environ: dict[str, Any], body: bytes) -> Response:
    """Answers a request to the control API: JSON in and out, except for an instance's console."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix("/_region")
    for wanted, pattern, handler in ROUTES:
        match = re.fullmatch(pattern, path)
        if match and wanted == method:
            return _respond(region, handler, match.groups(), environ, body)
    return _json(404, {"error": f"no such request: {method} {environ['PATH_INFO']}"})


def _respond(region: Region, handler: Handler, arguments: Any, environ: dict[str, Any], body: bytes) -> Response:
    try:
        result = handler(region, environ, body, *arguments)
    except (BadRequest, ValueError, TypeError) as error:
        return _json(400, {"error": str(error)})
    except AwsError as error:
        return _json(error.status, {"error": str(error)})
    except KeyError as error:
        return _json(404, {"error": f"not found: {error.args[0]}"})
    return _json(200, result)


def _json(status: int, value: Any) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(value, default=str).encode()


def _object(body: bytes) -> dict[str, Any]:
    value = json.loads(body or b"{}")
    if not isinstance(value, dict):
        raise BadRequest("a JSON object is wanted")
    return value


def _health(region: Region, environ: Any, body: bytes) -> Any:
    return {"ready": True}


def _world(region: Region, environ: dict[str, Any], body: bytes) -> Any:
    query = parse_qs(environ.get("QUERY_STRING", ""))
    after, wait = int(query.get("after", ["0"])[0]), float(query.get("wait", ["0"])[0])
    region.wait_for_change(after, wait)
    with region.lock:
        return world.describe(region)


def _inventory(region: Region, environ: Any, body: bytes) -> Any:
    with region.lock:
        return inventory(region)


def _machines(region: Region, environ: Any, body: bytes) -> Any:
    connected = _object(body).get("connected")
    if not isinstance(connected, bool):
        raise BadRequest('{"connected": true or false} is wanted')
    with region.lock:
        machines.connect(region, connected)
        region.touch()
    return {"connected": connected}


def _instance_state(region: Region, environ: Any, body: bytes, instance_id: str) -> Any:
    with region.lock:
        machines.report_instance(region, region.instances[instance_id], _object(body).get("state"))
        region.touch()
        return {"state": region.instances[instance_id].state}


def _console(region: Region, environ: Any, body: bytes, instance_id: str) -> Any:
    with region.lock:
        machines.report_console(region, region.instances[instance_id], body)
    return {}


def _attachment(region: Region, environ: Any, body: bytes, volume_id: str) -> Any:
    report = _object(body)
    with region.lock:
        machines.report_attachment(region, region.ec2.volumes[volume_id], report.get("instance"), report.get("state"))
        region.touch()
    return {}


def _age_volume(region: Region, environ: Any, body: bytes, volume_id: str) -> Any:
    seconds = _object(body).get("seconds")
    if not isinstance(seconds, int | float):
        raise BadRequest('{"seconds": a number} is wanted')
    with region.lock:
        volumes.age(region, region.ec2.volumes[volume_id], seconds)
    return {}


def _credentials(region: Region, environ: Any, body: bytes, instance_id: str) -> Any:
    with region.lock:
        return machines.credentials(region, region.instances[instance_id])


def _register_image(region: Region, environ: Any, body: bytes) -> Any:
    asked = {"architecture": images.ARCHITECTURES[0], "rootDeviceName": images.ROOT_DEVICE, "description": None}
    asked |= {"tags": {}, "owner": None}
    asked |= _object(body)
    if unknown := asked.keys() - {"name", "architecture", "rootDeviceName", "description", "tags", "owner"}:
        raise BadRequest(f"unknown fields of an image: {', '.join(sorted(unknown))}")
    if not asked.get("name"):
        raise BadRequest("an image has a name")
    with region.lock:
        image = images.register(
            region,
            asked["name"],
            asked["architecture"],
            asked["rootDeviceName"],
            asked["description"],
            asked["tags"],
            asked["owner"],
        )
        return {"imageId": image.id}


def _journal(region: Region, environ: Any, body: bytes) -> Any:
    return region.journal.entries


def _forget_journal(region: Region, environ: Any, body: bytes) -> Any:
    region.journal.forget_entries()
    return []


def _faults(region: Region, environ: Any, body: bytes) -> Any:
    return region.faults.describe()


def _add_faults(region: Region, environ: Any, body: bytes) -> Any:
    descriptions = json.loads(body)
    if not isinstance(descriptions, list):
        raise BadRequest("a JSON array of faults is wanted")
    region.faults.add(descriptions)
    return region.faults.describe()


def _clear_faults(region: Region, environ: Any, body: bytes) -> Any:
    region.faults.clear()
    return []


def _held(region: Region, environ: Any, body: bytes) -> Any:
    return region.faults.held


def _release(region: Region, environ: Any, body: bytes) -> Any:
    return region.faults.release()


def _unimplemented(region: Region, environ: Any, body: bytes) -> Any:
    return region.journal.unimplemented


def _authentication(region: Region, environ: Any, body: bytes) -> Any:
    enforce = _object(body).get("enforce")
    if not isinstance(enforce, bool):
        raise BadRequest('{"enforce": true or false} is wanted')
    region.enforce_authentication = enforce
    return {"enforce": enforce}


def _slow_modifications(region: Region, environ: Any, body: bytes) -> Any:
    """Whether modifications of volumes take for ever; when they no longer do, those under way are done."""
    slow = _object(body).get("slow")
    if not isinstance(slow, bool):
        raise BadRequest('{"slow": true or false} is wanted')
    with region.lock:
        region.slow_modifications = slow
        for volume in [] if slow else region.ec2.volumes.values():
            volumes.finish_modification(volume)
    return {"slow": slow}


def _reconcile(region: Region, environ: Any, body: bytes) -> Any:
    reconcile(region)
    return {}


def _reset(region: Region, environ: Any, body: bytes) -> Any:
    region.reset()
    return {}


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/health", _health),
    ("GET", "/world", _world),
    ("GET", "/inventory", _inventory),
    ("POST", "/machines", _machines),
    ("POST", "/instances/([^/]+)/state", _instance_state),
    ("POST", "/instances/([^/]+)/console", _console),
    ("GET", "/instances/([^/]+)/credentials", _credentials),
    ("POST", "/volumes/([^/]+)/attachment", _attachment),
    ("POST", "/volumes/([^/]+)/age", _age_volume),
    ("POST", "/modifications", _slow_modifications),
    ("POST", "/images", _register_image),
    ("GET", "/journal", _journal),
    ("DELETE", "/journal", _forget_journal),
    ("GET", "/faults", _faults),
    ("POST", "/faults", _add_faults),
    ("DELETE", "/faults", _clear_faults),
    ("GET", "/held", _held),
    ("DELETE", "/held", _release),
    ("GET", "/unimplemented", _unimplemented),
    ("POST", "/authentication", _authentication),
    ("POST", "/reconcile", _reconcile),
    ("POST", "/reset", _reset),
]
