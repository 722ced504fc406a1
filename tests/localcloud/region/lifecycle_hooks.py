"""Lifecycle hooks of Auto Scaling groups: an instance that its group ends waits for whoever listens.

Facts are from the Auto Scaling API Reference and the User Guide, "Amazon EC2 Auto Scaling lifecycle hooks". Hooks on launches
are kept, and no launch waits for them; and nobody is notified: who waits looks at the instance's metadata.
"""

import re
from typing import TYPE_CHECKING, Any

from . import auto_scaling, instances
from .actions import action
from .errors import AwsError, Unimplemented
from .state import Region
from .transitions import after

if TYPE_CHECKING:
    from .auto_scaling import Group, Member

Params = dict[str, Any]
NAME = re.compile(r"[A-Za-z0-9\-_/]{1,255}")
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
HOOKS_OF_A_GROUP = 50
WAITING = "Terminating:Wait"
PROCEEDING = "Terminating:Proceed"
DEFAULTS = {"HeartbeatTimeout": 3600, "DefaultResult": "ABANDON"}
UNKNOWN = ("NotificationTargetARN", "RoleARN")


@action("autoscaling", "PutLifecycleHook")
def put_lifecycle_hook(region: Region, params: Params) -> dict[str, Any]:
    """Makes one, or changes what the request names (API_PutLifecycleHook)."""
    put(auto_scaling.find(region, params.get("AutoScalingGroupName")), params)
    return {}


def put(group: "Group", params: Params) -> None:
    """A hook of a group, as PutLifecycleHook has it, or CreateAutoScalingGroup in its LifecycleHookSpecificationList."""
    name = params.get("LifecycleHookName") or ""
    present = group.hooks.get(name, {})
    transition = params.get("LifecycleTransition") or present.get("LifecycleTransition")
    if not NAME.fullmatch(name):
        raise auto_scaling.invalid(f"Value '{name}' at 'lifecycleHookName' failed to satisfy constraint: [A-Za-z0-9\\-_\\/]+")
    if transition not in (LAUNCHING, TERMINATING):
        raise auto_scaling.invalid(f"Valid lifecycle transitions are: [{LAUNCHING}, {TERMINATING}]; not {transition}")
    if name not in group.hooks and len(group.hooks) >= HOOKS_OF_A_GROUP:
        raise AwsError("LimitExceeded", f"You have already reached your limit for lifecycle hooks: {HOOKS_OF_A_GROUP}")
    if unknown := [one for one in UNKNOWN if params.get(one)]:
        raise Unimplemented(f"{', '.join(unknown)} of a lifecycle hook")
    changes = {one: params[one] for one in (*DEFAULTS, "NotificationMetadata") if params.get(one) is not None}
    hook = {"LifecycleHookName": name, "LifecycleTransition": transition, **DEFAULTS, **present, **changes}
    if not 30 <= hook["HeartbeatTimeout"] <= 7200 or hook["DefaultResult"] not in ("ABANDON", "CONTINUE"):
        raise auto_scaling.invalid("HeartbeatTimeout must be between 30 and 7200, DefaultResult ABANDON or CONTINUE")
    group.hooks[name] = hook


@action("autoscaling", "DeleteLifecycleHook")
def delete_lifecycle_hook(region: Region, params: Params) -> dict[str, Any]:
    """What waits for it goes on (API_DeleteLifecycleHook)."""
    group, name = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("LifecycleHookName")
    _find(group, name)
    del group.hooks[name]
    for member in group.members:
        _complete(region, member, name)
    return {}


@action("autoscaling", "DescribeLifecycleHooks")
def describe_lifecycle_hooks(region: Region, params: Params) -> dict[str, Any]:
    group, names = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("LifecycleHookNames")
    rows = [{"AutoScalingGroupName": group.name, **one} for name, one in group.hooks.items() if not names or name in names]
    return {"LifecycleHooks": [{**one, "GlobalTimeout": min(100 * one["HeartbeatTimeout"], 172800)} for one in rows]}


@action("autoscaling", "CompleteLifecycleAction")
def complete_lifecycle_action(region: Region, params: Params) -> dict[str, Any]:
    """Whatever the result: an instance that is terminated is terminated (API_CompleteLifecycleAction)."""
    member = _waiting(region, params)
    _complete(region, member, params.get("LifecycleHookName"))
    return {}


@action("autoscaling", "RecordLifecycleActionHeartbeat")
def record_lifecycle_action_heartbeat(region: Region, params: Params) -> dict[str, Any]:
    """The time-out begins anew (API_RecordLifecycleActionHeartbeat)."""
    member = _waiting(region, params)
    group, _ = auto_scaling.find_member(region, member.instance.id)
    _wait(region, member, _find(group, params.get("LifecycleHookName")))
    return {}


def _find(group: "Group", name: str | None) -> dict[str, Any]:
    if name not in group.hooks:
        raise auto_scaling.invalid(f"No Lifecycle Hook found: {name}")
    return group.hooks[name]


def _waiting(region: Region, params: Params) -> "Member":
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    name = params.get("LifecycleHookName")
    for member in group.members:
        if member.instance.id == params.get("InstanceId") and name in member.waits_for:
            return member
    raise auto_scaling.invalid(f"No active Lifecycle Action found with instance ID {params.get('InstanceId')}")


def begin(region: Region, group: "Group", member: "Member") -> None:
    """Ends a member's instance, after whoever has a hook. A machine that is dead waits for nobody."""
    hooks = [hook for hook in group.hooks.values() if hook["LifecycleTransition"] == TERMINATING]
    # API_DeleteAutoScalingGroup, ForceDelete: "also deletes any outstanding lifecycle actions associated with the group".
    if not hooks or not member.instance.alive or group.deleting:
        member.state = "Terminating"
        instances.terminate(region, member.instance)
        return
    member.state = WAITING
    for hook in hooks:
        _wait(region, member, hook)


def _wait(region: Region, member: "Member", hook: dict[str, Any]) -> None:
    """Until it is completed, or nobody has been heard of for as long as the hook says."""
    name = hook["LifecycleHookName"]
    waiting = member.waits_for[name] = object()
    after(
        region,
        hook["HeartbeatTimeout"],
        lambda: _complete(region, member, name) if member.waits_for.get(name) is waiting else None,
    )


def _complete(region: Region, member: "Member", name: str | None) -> None:
    if member.waits_for.pop(name, None) and not member.waits_for and member.state == WAITING:
        member.state = PROCEEDING
        instances.terminate(region, member.instance)
