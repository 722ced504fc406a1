"""Lifecycle hooks of Auto Scaling groups: an instance that its group launches or ends waits for whoever listens.

Facts are from the Auto Scaling API Reference and the User Guide, "Amazon EC2 Auto Scaling lifecycle hooks" and "Use lifecycle
hooks with a warm pool". Who listens looks at the instance's metadata, or has EventBridge tell.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import attachments, auto_scaling, events, instances
from .actions import action
from .errors import AwsError, Unimplemented
from .state import Region
from .transitions import after, clock

if TYPE_CHECKING:
    from .auto_scaling import Group, Member

Params = dict[str, Any]
NAME = re.compile(r"[A-Za-z0-9\-_/]{1,255}")
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
HOOKS_OF_A_GROUP = 50
CONTINUE, ABANDON = "CONTINUE", "ABANDON"
LONGEST_WAIT = 172800
EVENTS = {LAUNCHING: "EC2 Instance-launch Lifecycle Action", TERMINATING: "EC2 Instance-terminate Lifecycle Action"}
DEFAULTS = {"HeartbeatTimeout": 3600, "DefaultResult": ABANDON}
UNKNOWN = ("NotificationTargetARN", "RoleARN")


@dataclass(eq=False)
class Action:
    """What a hook waits for: one launch or end of one instance."""

    hook: dict[str, Any]
    ends: float
    """When it is over however often its time-out begins anew."""
    heard: object = None
    token: str = field(default_factory=lambda: str(uuid.uuid4()))


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
    if not 30 <= hook["HeartbeatTimeout"] <= 7200 or hook["DefaultResult"] not in (ABANDON, CONTINUE):
        raise auto_scaling.invalid("HeartbeatTimeout must be between 30 and 7200, DefaultResult ABANDON or CONTINUE")
    group.hooks[name] = hook


@action("autoscaling", "DeleteLifecycleHook")
def delete_lifecycle_hook(region: Region, params: Params) -> dict[str, Any]:
    """Outstanding actions are completed: ABANDON for launching instances, CONTINUE for others (API_DeleteLifecycleHook)."""
    group, name = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("LifecycleHookName")
    hook = _find(group, name)
    del group.hooks[name]
    for member in [*group.members, *group.warm]:
        _complete(member, name, ABANDON if hook["LifecycleTransition"] == LAUNCHING else CONTINUE)
    return {}


@action("autoscaling", "DescribeLifecycleHooks")
def describe_lifecycle_hooks(region: Region, params: Params) -> dict[str, Any]:
    group, names = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("LifecycleHookNames")
    rows = [{"AutoScalingGroupName": group.name, **one} for name, one in group.hooks.items() if not names or name in names]
    return {"LifecycleHooks": [{**one, "GlobalTimeout": _longest(one)} for one in rows]}


def _longest(hook: dict[str, Any]) -> int:
    """API_LifecycleHook, GlobalTimeout: 48 hours or 100 times the heartbeat's time-out, whichever is smaller."""
    return min(100 * hook["HeartbeatTimeout"], LONGEST_WAIT)


@action("autoscaling", "CompleteLifecycleAction")
def complete_lifecycle_action(region: Region, params: Params) -> dict[str, Any]:
    """An instance that is terminated is terminated, whatever the result (API_CompleteLifecycleAction)."""
    result = params.get("LifecycleActionResult")
    if result not in (CONTINUE, ABANDON):
        raise auto_scaling.invalid(f"Lifecycle action result must be one of: [{CONTINUE}, {ABANDON}]; not {result}")
    member = _waiting(region, params)
    _complete(member, params.get("LifecycleHookName"), result)
    return {}


@action("autoscaling", "RecordLifecycleActionHeartbeat")
def record_lifecycle_action_heartbeat(region: Region, params: Params) -> dict[str, Any]:
    """The time-out begins anew (API_RecordLifecycleActionHeartbeat)."""
    _time_out(region, _waiting(region, params), params.get("LifecycleHookName") or "")
    return {}


def _find(group: "Group", name: str | None) -> dict[str, Any]:
    if name not in group.hooks:
        raise auto_scaling.invalid(f"No Lifecycle Hook found: {name}")
    return group.hooks[name]


def _waiting(region: Region, params: Params) -> "Member":
    """The member whose action a request is about, by its instance or by the action's token."""
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    name, instance, token = (params.get(one) for one in ("LifecycleHookName", "InstanceId", "LifecycleActionToken"))
    for member in [*group.members, *group.warm]:
        action = member.waits_for.get(name)
        if action and (member.instance.id == instance or action.token == token):
            return member
    raise auto_scaling.invalid(f"No active Lifecycle Action found with instance ID {instance}")


def wait(region: Region, group: "Group", member: "Member", transition: str, then: Callable[[str], None]) -> None:
    """Has a member wait for a transition's hooks, and then for `then`, which is told the result; at once without a hook."""
    hooks = [hook for hook in group.hooks.values() if hook["LifecycleTransition"] == transition]
    if not hooks:
        then(CONTINUE)
        return
    member.state, member.then = f"{member.state}:Wait", then
    for hook in hooks:
        action = Action(hook, clock(region).now + _longest(hook))
        member.waits_for[hook["LifecycleHookName"]] = action
        _time_out(region, member, hook["LifecycleHookName"])
        _tell(region, group, member, action)


def end(region: Region, group: "Group", member: "Member", by_force: bool = False) -> None:
    """Ends a member's instance, or returns it to the warm pool, after whoever has a hook. A machine that is dead waits for
    nobody, nor does one whose group or pool goes by force (API_DeleteAutoScalingGroup, API_DeleteWarmPool: ForceDelete "also
    deletes any outstanding lifecycle actions")."""
    member.waits_for, member.then = {}, None
    warm = member.state.startswith("Warmed:")
    member.state = "Warmed:Terminating" if warm else "Terminating"
    go_on_ending(region, group, member, by_force)


def go_on_ending(region: Region, group: "Group", member: "Member", by_force: bool = False) -> None:
    """Waits for the hooks of a member that ends once no load balancer drains it any more (User Guide, "How lifecycle hooks work":
    deregistration comes first, with its draining). What is dead has nothing to drain, and who deletes a group together with its
    instances doesn't wait."""
    warm = member.state.startswith("Warmed:")
    is_dead = not member.instance.alive and not (warm and member.instance.state == "stopped")
    if group.deleting or by_force or is_dead:
        _terminate(region, group, member)
    elif warm or not attachments.drains(region, group.target_groups, member.instance):
        wait(region, group, member, TERMINATING, lambda result: _terminate(region, group, member))


def _terminate(region: Region, group: "Group", member: "Member") -> None:
    if member.reused and member.instance.alive and group.warm_pool and not group.deleting:
        group.members.remove(member)
        group.warm.append(member)
        member.state, member.origin, member.reused = "Warmed:Pending", "AutoScalingGroup", False
        return
    instances.terminate(region, member.instance)


def forget(region: Region, members: "list[Member]") -> None:
    """Whatever they wait for, nobody answers it any more: who ends, ends at once."""
    for member in members:
        for name in list(member.waits_for):
            _complete(member, name, ABANDON)


def _time_out(region: Region, member: "Member", name: str) -> None:
    """The hook's default is the result when nobody has been heard of for as long as it says, or when it has waited too long."""
    action, heard = member.waits_for[name], object()
    action.heard = heard
    seconds = min(action.hook["HeartbeatTimeout"], action.ends - clock(region).now)

    def act() -> None:
        if member.waits_for.get(name) is action and action.heard is heard:
            _complete(member, name, action.hook["DefaultResult"])

    after(region, seconds, act)


def _complete(member: "Member", name: str | None, result: str) -> None:
    """ABANDON ends the waiting for other hooks, too; CONTINUE lets them be waited for (User Guide, "How lifecycle hooks work",
    "Considerations")."""
    if not member.waits_for.pop(name, None):
        return
    if result == ABANDON:
        member.waits_for.clear()
    then = member.then
    if then and not member.waits_for:
        member.state, member.then = member.state.removesuffix(":Wait") + ":Proceed", None
        then(result)


def _tell(region: Region, group: "Group", member: "Member", action: Action) -> None:
    """User Guide, "Lifecycle hook events"; "Warm pool events": where the instance comes from, and where it goes."""
    transition = action.hook["LifecycleTransition"]
    held_by = "WarmPool" if member.state.startswith("Warmed:") else "AutoScalingGroup"
    if transition == LAUNCHING:
        origin, destination = member.origin, held_by
    else:
        origin, destination = held_by, "WarmPool" if member.reused else "EC2"
    detail = {
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": group.name,
        "LifecycleHookName": action.hook["LifecycleHookName"],
        "EC2InstanceId": member.instance.id,
        "LifecycleTransition": transition,
        "Origin": origin,
        "Destination": destination,
    }
    if note := action.hook.get("NotificationMetadata"):
        detail["NotificationMetadata"] = note
    events.tell(region, "aws.autoscaling", EVENTS[transition], detail, [group.arn])
