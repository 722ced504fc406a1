"""Warm pools of Auto Scaling groups: instances that boot once, and wait until their group needs them.

Facts are from the Auto Scaling API Reference and the User Guide, "Decrease latency for applications with long boot times using
warm pools" and "Use lifecycle hooks with a warm pool".
"""

import time
from typing import Any

from . import auto_scaling, instances, lifecycle_hooks
from .actions import action
from .auto_scaling import Group, Member, begin_termination
from .errors import AwsError, Unimplemented
from .lifecycle_hooks import CONTINUE, LAUNCHING
from .members import RETRY_SECONDS, begin_launch, emptiest_subnet, launch_one
from .state import Region, now

Params = dict[str, Any]
STATES = ("Stopped", "Running", "Hibernated")
READY = {"Warmed:Stopped": "stopped", "Warmed:Running": "running"}
"""Of members that can be taken into service, and what their instances are."""


@action("autoscaling", "PutWarmPool")
def put_warm_pool(region: Region, params: Params) -> dict[str, Any]:
    """Makes one, or changes what the request names; -1 takes the limit away (API_PutWarmPool, MaxGroupPreparedCapacity).

    A group whose template or policy asks for spot instances can have none (User Guide, "Limitations"). Groups with a policy of
    several types can't, either: that they may since 2025 nobody relies on.
    """
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    if group.settings.get("MixedInstancesPolicy"):
        raise auto_scaling.invalid("You can't add a warm pool to an Auto Scaling group that has a mixed instances policy.")
    if _is_going(group):
        raise Unimplemented("PutWarmPool while the group's former warm pool is deleted")
    pool = {"MinSize": 0, "PoolState": "Stopped", **(group.warm_pool or {})}
    names = ("MinSize", "MaxGroupPreparedCapacity", "PoolState", "InstanceReusePolicy")
    pool.update({name: params[name] for name in names if params.get(name) is not None})
    if pool["MinSize"] < 0 or pool["PoolState"] not in STATES or pool.get("MaxGroupPreparedCapacity", 0) < -1:
        raise auto_scaling.invalid(f"MinSize is at least 0, MaxGroupPreparedCapacity at least -1, PoolState one of {STATES}")
    if pool["PoolState"] == "Hibernated":
        raise Unimplemented("instances that hibernate")
    if pool.get("MaxGroupPreparedCapacity") == -1:
        del pool["MaxGroupPreparedCapacity"]
    group.warm_pool, group.retry_at = pool, 0.0
    return {}


@action("autoscaling", "DeleteWarmPool")
def delete_warm_pool(region: Region, params: Params) -> dict[str, Any]:
    """With instances only by ForceDelete, which waits for no hook; it is listed until they are gone. A group that has none:
    ValidationError (API_DeleteWarmPool)."""
    group, forced = auto_scaling.find(region, params.get("AutoScalingGroupName")), bool(params.get("ForceDelete"))
    if group.warm_pool is None:
        raise auto_scaling.invalid(f"No warm pool found for group: {group.name}")
    if group.warm and not forced:
        raise AwsError("ResourceInUse", "You cannot delete a warm pool while there are instances still in it.")
    group.warm_pool["Status"] = "PendingDelete"
    for member in group.warm:
        lifecycle_hooks.end(region, group, member, by_force=True)
    observe(region, group)
    return {}


@action("autoscaling", "DescribeWarmPool")
def describe_warm_pool(region: Region, params: Params) -> dict[str, Any]:
    """Of a group without one: no instances and no configuration."""
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    rows = [auto_scaling.describe_member(member) for member in group.warm]
    return {"WarmPoolConfiguration": group.warm_pool, **auto_scaling.page("Instances", rows, params, 50)}


def _is_going(group: Group) -> bool:
    return "Status" in (group.warm_pool or {})


def _forget(group: Group) -> None:
    if _is_going(group) and not group.warm:
        group.warm_pool = None


def _wanted(group: Group) -> int:
    """How many instances there shall be in the pool: what is missing up to the prepared capacity, which is the group's maximum
    unless the pool says another, but not fewer than its minimum (User Guide, "Warm pool size")."""
    pool = group.warm_pool
    if pool is None or group.deleting or _is_going(group):
        return 0
    prepared = pool.get("MaxGroupPreparedCapacity", group.settings["MaxSize"])
    return max(pool["MinSize"], prepared - group.settings["DesiredCapacity"], 0)


def _active(group: Group) -> list[Member]:
    return [member for member in group.warm if member.active]


def _returning(group: Group) -> int:
    """How many members are on their way back into the pool."""
    return sum(member.reused for member in group.members)


def target_state(group: Group, member: Member) -> str:
    """What a member of a pool, or one that returns to it, is brought to."""
    if member.state.startswith("Warmed:Terminating"):
        return "Warmed:Terminated"
    return f"Warmed:{group.warm_pool['PoolState']}" if group.warm_pool else "Warmed:Terminated"


def observe(region: Region, group: Group) -> bool:
    """Follows the instances in the pool: launched ones wait for hooks, ready ones are stopped, terminated ones leave."""
    changed = False
    for member in list(group.warm):
        state = member.instance.state
        if member.state.startswith("Warmed:Terminating") and state == "terminated":
            group.warm.remove(member)
            member.activity.finish("Successful")
        elif member.state == "Warmed:Pending" and state == "running":
            _launched(region, group, member)
        elif member.state == "Warmed:Pending:Proceed":
            changed |= _settle(region, group, member)
            continue
        elif member.active and _is_unwell(member):
            _end(region, group, member, "an EC2 health check")
        else:
            continue
        changed = True
    _forget(group)
    return changed


def _is_unwell(member: Member) -> bool:
    """User Guide, "Health check information for instances in a warm pool": one is unhealthy that isn't in the pool's state."""
    wanted = READY.get(member.state)
    return member.instance.state in ("shutting-down", "terminated") or wanted not in (None, member.instance.state)


def _launched(region: Region, group: Group, member: Member) -> None:
    def then(result: str) -> None:
        if result == CONTINUE:
            member.state = "Warmed:Pending:Proceed"
        else:
            member.activity.finish("Cancelled", "Instance failed to complete user's Lifecycle Action: it was abandoned")
            _end(region, group, member, "a lifecycle action that was abandoned")

    lifecycle_hooks.wait(region, group, member, LAUNCHING, then)
    if member.state == "Warmed:Pending:Proceed":
        _settle(region, group, member)


def _settle(region: Region, group: Group, member: Member) -> bool:
    """Brings a member that is ready to the pool's state; whether anything is another now."""
    kept = group.warm_pool["PoolState"] if group.warm_pool else "Stopped"
    before, wanted = member.instance.state, READY[f"Warmed:{kept}"]
    if before == "running" and wanted == "stopped":
        instances.stop(region, member.instance)
    if member.instance.state == wanted:
        member.state = f"Warmed:{kept}"
        member.activity.finish("Successful")
        return True
    return member.instance.state != before


def _end(region: Region, group: Group, member: Member, why: str) -> None:
    cause = f"At {now():%Y-%m-%dT%H:%M:%SZ} an instance was taken out of the warm pool in response to {why}."
    begin_termination(region, group, member, cause)


def scale(region: Region, group: Group) -> bool:
    """Launches into the pool what is missing, and takes out what is too much."""
    members = _active(group)
    missing = _wanted(group) - len(members) - _returning(group)
    if missing < 0 and (group.deleting or "Terminate" not in group.suspended):
        for member in members[missing:]:
            _end(region, group, member, "its size")
        return True
    if missing <= 0 or "Launch" in group.suspended or time.monotonic() < group.retry_at:
        return False
    for _ in range(missing):
        if not launch_one(region, group, into_warm_pool=True):
            group.retry_at = time.monotonic() + RETRY_SECONDS
            break
    return True


def take(region: Region, group: Group) -> bool:
    """Takes an instance that is ready out of the pool and into service; whether there was one."""
    ready = [member for member in group.warm if READY.get(member.state) == member.instance.state]
    if not ready:
        return False
    subnet = emptiest_subnet(group)
    member = next((one for one in ready if one.instance.subnet.id == subnet), ready[0])
    group.warm.remove(member)
    group.members.append(member)
    member.state, member.origin, member.since = "Pending", "WarmPool", now()
    member.activity = begin_launch(region, group, f"Launching a new EC2 instance from warm pool: {member.instance.id}")
    if member.instance.state == "stopped":
        instances.start(region, member.instance)
    return True


def takes_back(group: Group, member: Member) -> bool:
    """Whether a member that the group scales in returns to the pool (API_InstanceReusePolicy)."""
    reuses = ((group.warm_pool or {}).get("InstanceReusePolicy") or {}).get("ReuseOnScaleIn")
    return bool(reuses) and member.instance.alive and len(_active(group)) + _returning(group) < _wanted(group)
