"""What EC2 tells an instance before it takes it: interruptions of spot instances, and recommendations to rebalance.

An instance sees them in its metadata (EC2 User Guide, "Spot Instance interruption notices", "EC2 instance rebalance
recommendations"); the machines show them there. EventBridge hears of the same, and of the states of instances.
"""

from datetime import timedelta
from typing import Any

from . import events, instances
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
        _tell(region, instance, "EC2 Spot Instance Interruption Warning", {"instance-action": action})
        region.touch()
    return instance.interruption


@route("POST", "/instances/([^/]+)/rebalance")
def _rebalance(region: Region, request: Request, instance_id: str) -> dict[str, Any]:
    """It may be interrupted sooner than others. Nothing happens to it by itself."""
    instance = region.instances[instance_id]
    _check(instance)
    if instance.rebalance is None:
        instance.rebalance = f"{now():%Y-%m-%dT%H:%M:%SZ}"
        _tell(region, instance, "EC2 Instance Rebalance Recommendation", {})
        region.touch()
    return {"noticeTime": instance.rebalance}


def _tell(region: Region, instance: Instance, kind: str, detail: dict[str, Any]) -> None:
    arn = f"arn:aws:ec2:{region.name}:{region.account}:instance/{instance.id}"
    events.tell(region, "aws.ec2", kind, {"instance-id": instance.id, **detail}, [arn])


def tell_of_states(region: Region) -> None:
    """Tells of instances' states that nobody was told of yet, but for those that were over before it was looked (EC2 User Guide,
    "Amazon EC2 instance state change events")."""
    told = region.kept("states that were told")
    for instance in region.instances.values():
        if told.get(instance.id) != instance.state:
            told[instance.id] = instance.state
            _tell(region, instance, "EC2 Instance State-change Notification", {"state": instance.state})


def _check(instance: Instance) -> None:
    if instance.state != "running":
        raise BadRequest(f"{instance.id} is {instance.state}: only running instances are told")


def _end(region: Region, instance: Instance, action: str) -> None:
    if instance.state != "running":
        return
    if action == "terminate":
        instances.terminate(region, instance, TERMINATED)
        return
    instance.interruption = None
    instances.stop(region, instance, STOPPED)
