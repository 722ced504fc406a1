"""How an Auto Scaling group gets its instances: one launch, and the activity that tells of it."""

from collections import Counter
from typing import Any

from . import images, launch_templates, mixed_instances, tags
from .auto_scaling import GROUP_TAG, Activity, Group, Member, activities
from .errors import AwsError
from .launch import launch, settle
from .state import Region, now

RETRY_SECONDS = 2.0


def begin_launch(region: Region, group: Group, what: str) -> Activity:
    """The activity of an instance that the group gets, or its warm pool."""
    desired = group.settings["DesiredCapacity"]
    cause = (
        f"At {now():%Y-%m-%dT%H:%M:%SZ} an instance was started in response to a difference between desired and "
        f"actual capacity, increasing the capacity from {len(group.active)} to {desired}."
    )
    activity = Activity(group.name, what, cause, now())
    activities(region).append(activity)
    return activity


def launch_one(region: Region, group: Group, into_warm_pool: bool = False) -> bool:
    """Launches one member in the zone that has the fewest. A failure is an activity that says why."""
    activity = begin_launch(region, group, f"Launching a new EC2 instance{' into warm pool' if into_warm_pool else ''}")
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
    member = Member(instance, reference, activity, now(), protected=protected)
    if into_warm_pool:
        member.state = "Warmed:Pending"
    (group.warm if into_warm_pool else group.members).append(member)
    settle(region, [instance])
    return True


def _request(region: Region, group: Group, template: Any, number: int) -> dict[str, Any]:
    inherited = [{"Key": key, "Value": tag["Value"]} for key, tag in group.tags.items() if tag["PropagateAtLaunch"]]
    request: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": str(number)},
        "SubnetId": emptiest_subnet(group),
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


def emptiest_subnet(group: Group) -> str:
    """Auto Scaling balances the zones (Auto Scaling User Guide, "Distribute instances across Availability Zones")."""
    members = Counter(member.instance.subnet.id for member in [*group.active, *group.warm])
    return min(group.subnets, key=lambda subnet: members[subnet])
