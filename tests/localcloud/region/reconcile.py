"""What Auto Scaling does by itself: a loop that brings every group to its desired capacity."""

import sys
import threading
import time
import traceback
from collections import Counter
from typing import Any

from . import attachments, lifecycle_hooks, warm_pools
from .auto_scaling import Group, Member, begin_termination, go_on_ending, groups
from .interruptions import tell_of_states
from .lifecycle_hooks import CONTINUE, LAUNCHING
from .members import RETRY_SECONDS, launch_one
from .routes import Request, route
from .state import Region, now
from .transitions import pass_time


def start(region: Region, interval: float) -> None:
    """Runs `reconcile` on a thread of its own, every `interval` seconds and whenever the world has changed."""

    def loop() -> None:
        while True:
            region.reconcile_wanted.wait(interval)
            region.reconcile_wanted.clear()
            try:
                reconcile(region)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                region.journal.record_unimplemented("autoscaling", "reconcile", repr(error))

    threading.Thread(target=loop, daemon=True, name="reconcile").start()


@route("POST", "/reconcile")
def _reconcile(region: Region, request: Request) -> dict[str, Any]:
    reconcile(region)
    return {}


def reconcile(region: Region) -> None:
    """One look at every group."""
    with region.lock:
        pass_time(region)
        changed = False
        for group in list(groups(region).values()):
            changed |= _observe(region, group)
            changed |= warm_pools.observe(region, group)
            changed |= _replace_unhealthy(region, group)
            changed |= _scale(region, group)
            changed |= warm_pools.scale(region, group)
            changed |= go_on_ending(region, group)
            if group.deleting and not group.members and not group.warm:
                del groups(region)[group.name]
                changed = True
        tell_of_states(region)
        if changed:
            region.touch()


def _observe(region: Region, group: Group) -> bool:
    """Follows the members' instances: running ones come into service, terminated ones leave, dead ones are unhealthy."""
    changed = False
    for member in list(group.members):
        instance = member.instance
        if member.state.startswith("Terminating") and instance.state == "terminated":
            group.members.remove(member)
            member.activity.finish("Successful")
        elif member.state == "Pending" and instance.state == "running":
            _launched(region, group, member)
        elif member.state == "Pending:Proceed":
            _serve(region, group, member)
        elif member.active and member.health == "Healthy" and _fails_checks(region, group, member):
            member.health = "Unhealthy"
        else:
            continue
        changed = True
    return changed


def _launched(region: Region, group: Group, member: Member) -> None:
    """It comes into service once nobody has a hook any more (User Guide, "Amazon EC2 Auto Scaling instance lifecycle")."""

    def then(result: str) -> None:
        if result == CONTINUE:
            member.state = "Pending:Proceed"
            return
        member.activity.finish("Cancelled", "Instance failed to complete user's Lifecycle Action: it was abandoned")
        begin_termination(region, group, member, f"At {now():%Y-%m-%dT%H:%M:%SZ} a lifecycle action of a launch was abandoned.")

    lifecycle_hooks.wait(region, group, member, LAUNCHING, then)
    if member.state == "Pending:Proceed":
        _serve(region, group, member)


def _serve(region: Region, group: Group, member: Member) -> None:
    member.state = "InService"
    member.activity.finish("Successful")
    if "AddToLoadBalancer" not in group.suspended:
        attachments.enter(region, group.target_groups, group.balancers, [member.instance])


def _fails_checks(region: Region, group: Group, member: Member) -> bool:
    """By EC2's checks, or by those of load balancers where the group listens to them."""
    if "HealthCheck" in group.suspended:
        return False
    return not member.instance.alive or attachments.unhealthy(region, group, member)


def _replace_unhealthy(region: Region, group: Group) -> bool:
    """Takes unhealthy members out: at once, or once their replacements serve.

    Which one it is says the instance maintenance policy (Auto Scaling User Guide, "Instance maintenance
    policies"): a minimum of 100 % healthy means launch first. A dead instance isn't waited for.
    """
    if group.suspended & {"ReplaceUnhealthy", "Terminate"}:
        return False
    policy = group.settings.get("InstanceMaintenancePolicy") or {}
    launch_first = policy.get("MinHealthyPercentage", -1) >= 100 and not group.deleting
    healthy = sum(member.state == "InService" and member.health == "Healthy" for member in group.active)
    changed = False
    for member in group.active:
        if member.health == "Healthy":
            continue
        alive = member.instance.alive
        if launch_first and alive and healthy < group.settings["DesiredCapacity"]:
            continue
        why = "a user health-check" if alive else "an EC2 health check indicating it has been terminated or stopped"
        cause = f"At {now():%Y-%m-%dT%H:%M:%SZ} an instance was taken out of service in response to {why}."
        begin_termination(region, group, member, cause)
        changed = True
    return changed


def _scale(region: Region, group: Group) -> bool:
    counted = [member for member in group.active if member.health == "Healthy"]
    missing = group.settings["DesiredCapacity"] - len(counted)
    if missing > 0 and not group.deleting and "Launch" not in group.suspended:
        return _launch_missing(region, group, missing)
    if missing < 0 and (group.deleting or "Terminate" not in group.suspended):
        return _terminate_surplus(region, group, -missing)
    return False


def _launch_missing(region: Region, group: Group, missing: int) -> bool:
    waiting_to_replace = [member for member in group.active if member.health == "Unhealthy"]
    if waiting_to_replace and "ReplaceUnhealthy" in group.suspended:
        missing -= len(waiting_to_replace)
    if missing <= 0 or time.monotonic() < group.retry_at:
        return False
    for _ in range(missing):
        if not warm_pools.take(region, group) and not launch_one(region, group):
            group.retry_at = time.monotonic() + RETRY_SECONDS
            break
    return True


def _terminate_surplus(region: Region, group: Group, count: int) -> bool:
    """Scales in, one by one, by the group's first termination policy; protected members stay."""
    changed = False
    for _ in range(count):
        candidates = [member for member in group.active if group.deleting or not member.protected]
        if not candidates:
            break
        victim = _victim(group, candidates)
        victim.reused = warm_pools.takes_back(group, victim)
        cause = f"At {now():%Y-%m-%dT%H:%M:%SZ} an instance was selected for termination: the capacity shrinks."
        begin_termination(region, group, victim, cause)
        changed = True
    return changed


def _victim(group: Group, candidates: list[Member]) -> Member:
    """In the fullest zone the oldest template, then the oldest instance (Auto Scaling User Guide, "Termination policies")."""
    zones = Counter(member.instance.zone for member in group.active)
    fullest = max(zones[member.instance.zone] for member in candidates)
    candidates = [member for member in candidates if zones[member.instance.zone] == fullest]
    policy = group.settings["TerminationPolicies"][0]
    if policy == "NewestInstance":
        return max(candidates, key=lambda member: member.instance.launched)
    if policy in ("OldestInstance", "ClosestToNextInstanceHour"):
        return min(candidates, key=lambda member: member.instance.launched)
    return min(candidates, key=lambda member: (int(member.template["Version"]), member.instance.launched))
