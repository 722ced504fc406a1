"""What EC2 tells an instance before it takes it: interruptions of spot instances, and recommendations to rebalance.

An instance sees them in its metadata (EC2 User Guide, "Spot Instance interruption notices", "EC2 instance rebalance
recommendations"); the machines show them there.
"""

from datetime import timedelta
from typing import Any

from . import instances
from .instances import Instance, Reason
from .routes import BadRequest, Request, route
from .state import Region, now
from .transitions import after

NOTICE_SECONDS = 120
TERMINATED: Reason = ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")
STOPPED: Reason = ("Server.SpotInstanceShutdown", "Server.SpotInstanceShutdown: Instance was stopped by EC2 Spot")


@route("POST", "/instances/([^/]+)/interruption")
def _interrupt(region: Region, request: Request, instance_id: str) -> dict[str, Any]:
    """Two minutes later, by the region's clock, it is terminated or stopped. A notice that it has already stands."""
    instance, asked = region.instances[instance_id], request.object()
    action, seconds = asked.get("action", "terminate"), asked.get("seconds", NOTICE_SECONDS)
    if action not in ("terminate", "stop"):
        raise BadRequest(f'the action is "terminate" or "stop", not {action!r}')
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
        raise BadRequest('{"seconds": a number} is wanted')
    _check(instance)
    if instance.lifecycle != "spot":
        raise BadRequest(f"{instance_id} is no spot instance: only those are interrupted")
    if instance.interruption is None:
        instance.interruption = {"action": action, "time": f"{now() + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"}
        after(region, seconds, lambda: _end(region, instance, action))
        region.touch()
    return instance.interruption


@route("POST", "/instances/([^/]+)/rebalance")
def _rebalance(region: Region, request: Request, instance_id: str) -> dict[str, Any]:
    """It may be interrupted sooner than others. Nothing happens to it by itself."""
    instance = region.instances[instance_id]
    _check(instance)
    instance.rebalance = instance.rebalance or f"{now():%Y-%m-%dT%H:%M:%SZ}"
    region.touch()
    return {"noticeTime": instance.rebalance}


def _check(instance: Instance) -> None:
    if instance.state != "running":
        raise BadRequest(f"{instance.id} is {instance.state}: only running instances are told")


def _end(region: Region, instance: Instance, action: str) -> None:
    if instance.state != "running":
        return
    if action == "terminate":
        instances.terminate(region, instance, TERMINATED)
        return
    instance.state, instance.reason, instance.interruption = "stopping", STOPPED, None
    if not region.machines_connected:
        instances.finish_stop(instance)
