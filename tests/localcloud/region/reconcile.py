"""What Auto Scaling does by itself: a loop that brings every group to its desired capacity."""

import sys
import threading
import time
import traceback
from collections import Counter
from typing import Any

from . import attachments, images, launch_templates, mixed_instances, tags
from .auto_scaling import GROUP_TAG, Activity, Group, Member, activities, begin_termination, groups
from .errors import AwsError
from .launch import launch, settle
from .routes import Request, route
from .state import Region, now
from .transitions import pass_time

RETRY_SECONDS = 2.0


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
            changed |= _replace_unhealthy(region, group)
            changed |= _scale(region, group)
            if group.deleting and not group.members:
                del groups(region)[group.name]
                changed = True
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
            member.state = "InService"
            member.activity.finish("Successful")
            if "AddToLoadBalancer" not in group.suspended:
                attachments.enter(region, group.target_groups, group.balancers, [instance])
        elif member.active and member.health == "Healthy" and _fails_checks(region, group, member):
            member.health = "Unhealthy"
        else:
            continue
        changed = True
    return changed


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
        if not _launch_one(region, group):
            group.retry_at = time.monotonic() + RETRY_SECONDS
            break
    return True


def _launch_one(region: Region, group: Group) -> bool:
    """Launches one member in the zone that has the fewest. A failure is an activity that says why."""
    desired = group.settings["DesiredCapacity"]
    cause = (
        f"At {now():%Y-%m-%dT%H:%M:%SZ} an instance was started in response to a difference between desired and "
        f"actual capacity, increasing the capacity from {len(group.active)} to {desired}."
    )
    activity = Activity(group.name, "Launching a new EC2 instance", cause, now())
    activities(region).append(activity)
    fault = region.faults.take("ec2", "RunInstances")
    try:
        if fault and fault.code:
            raise AwsError(fault.code, fault.message, fault.status)
        reference = _template(group)
        template = launch_templates.find(region, {"LaunchTemplateId": reference["LaunchTemplateId"]})
        number = template.resolve(reference.get("Version"))
        instance = launch(region, _request(region, group, template, number), 1)[0]
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        activity.description += f".  Status Reason: {error.message}"
        activity.finish("Failed", f"{error.message} ({error.code}). Launching EC2 instance failed.")
        return False
    instance.auto_scaling_group = group.name
    tags.apply(region, instance.id, {GROUP_TAG: group.name}, by_aws=True)
    activity.description += f": {instance.id}"
    reference = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(number)}
    protected = group.settings["NewInstancesProtectedFromScaleIn"]
    group.members.append(Member(instance, reference, activity, now(), protected=protected))
    settle(region, [instance])
    return True


def _request(region: Region, group: Group, template: Any, number: int) -> dict[str, Any]:
    inherited = [{"Key": key, "Value": tag["Value"]} for key, tag in group.tags.items() if tag["PropagateAtLaunch"]]
    request: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(number)},
        "SubnetId": _emptiest_subnet(group),
        "TagSpecifications": [{"ResourceType": "instance", "Tags": inherited}],
    }
    mixed = group.settings.get("MixedInstancesPolicy")
    if not mixed:
        return request
    on_demand = sum(member.instance.lifecycle != "spot" for member in group.active)
    image = images.find(region, template.versions[number]["data"].get("ImageId"))
    return {**request, **mixed_instances.launched_by(mixed, group.settings["DesiredCapacity"], on_demand, image)}


def _template(group: Group) -> dict[str, str]:
    """The first override's own launch template, or the group's."""
    mixed = group.settings.get("MixedInstancesPolicy") or {}
    first = next(iter(mixed.get("LaunchTemplate", {}).get("Overrides") or []), {})
    return first.get("LaunchTemplateSpecification") or group.template


def _emptiest_subnet(group: Group) -> str:
    """Auto Scaling balances the zones (Auto Scaling User Guide, "Distribute instances across Availability Zones")."""
    members = Counter(member.instance.subnet.id for member in group.active)
    return min(group.subnets, key=lambda subnet: members[subnet])


def _terminate_surplus(region: Region, group: Group, count: int) -> bool:
    """Scales in, one by one, by the group's first termination policy; protected members stay."""
    changed = False
    for _ in range(count):
        candidates = [member for member in group.active if group.deleting or not member.protected]
        if not candidates:
            break
        victim = _victim(group, candidates)
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
