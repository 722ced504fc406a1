"""Auto Scaling groups, whole: what may be asked of them. `reconcile` is what they do."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import attachments, auto_scaling_tags, launch_templates, lifecycle_hooks, mixed_instances
from .actions import action
from .errors import AwsError, Unimplemented
from .filters import matches, paginate
from .iam_requests import Need, action_of, on_resource, request_tags
from .instances import Instance
from .protocol import Call
from .resources import Resource, resource
from .services import service
from .state import Region, now

PROCESSES = (
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
)
POLICIES = (
    "Default",
    "OldestInstance",
    "NewestInstance",
    "OldestLaunchTemplate",
    "OldestLaunchConfiguration",
    "AllocationStrategy",
    "ClosestToNextInstanceHour",
)
GROUP_TAG = "aws:autoscaling:groupName"


@dataclass(eq=False)
class Activity:
    """A launch or a termination, and how it went."""

    group: str
    description: str
    cause: str
    started: datetime
    status: str = "InProgress"
    message: str | None = None
    ended: datetime | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def finish(self, status: str, message: str | None = None) -> None:
        self.status, self.message, self.ended = status, message, now()


@dataclass(eq=False)
class Member:
    """An instance of a group or of its warm pool. States: Pending, InService, Terminating; in the warm pool Warmed:Pending,
    Warmed:Stopped, Warmed:Running, Warmed:Terminating. Where a hook makes it wait, :Wait and :Proceed follow. `waits_for` has
    the names of such hooks, and `then` what comes afterwards. `origin` is where it came from, as events say it; `reused` is one
    that returns to the warm pool."""

    instance: Instance
    template: dict[str, str]
    activity: Activity
    since: datetime
    state: str = "Pending"
    health: str = "Healthy"
    protected: bool = False
    waits_for: dict[str, Any] = field(default_factory=dict)
    then: Callable[[str], None] | None = None
    origin: str = "EC2"
    reused: bool = False

    @property
    def active(self) -> bool:
        """Whether it counts towards the desired capacity, or that of the warm pool."""
        return "Terminating" not in self.state


@dataclass(eq=False)
class Group:
    """An Auto Scaling group: `settings` as the API names them, and its members."""

    name: str
    arn: str
    created: datetime
    settings: dict[str, Any]
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    target_groups: list[str] = field(default_factory=list)
    balancers: list[str] = field(default_factory=list)
    hooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    warm_pool: dict[str, Any] | None = None
    warm: list[Member] = field(default_factory=list)
    deleting: bool = False
    retry_at: float = 0.0

    @property
    def subnets(self) -> list[str]:
        return [one.strip() for one in self.settings["VPCZoneIdentifier"].split(",") if one.strip()]

    @property
    def active(self) -> list[Member]:
        return [member for member in self.members if member.active]

    @property
    def template(self) -> dict[str, str]:
        """The reference to the launch template, alone or within a mixed instances policy."""
        mixed = self.settings.get("MixedInstancesPolicy")
        return mixed["LaunchTemplate"]["LaunchTemplateSpecification"] if mixed else self.settings["LaunchTemplate"]


ENDED = ("shutting-down", "terminated")
DEFAULTS: dict[str, Any] = {
    "DefaultCooldown": 300,
    "HealthCheckType": "EC2",
    "HealthCheckGracePeriod": 0,
    "TerminationPolicies": ["Default"],
    "NewInstancesProtectedFromScaleIn": False,
    "CapacityRebalance": False,
}
SETTINGS = (
    *DEFAULTS,
    "LaunchTemplate",
    "MixedInstancesPolicy",
    "VPCZoneIdentifier",
    "MinSize",
    "MaxSize",
    "DesiredCapacity",
    "InstanceMaintenancePolicy",
    "MaxInstanceLifetime",
    "DefaultInstanceWarmup",
    "ServiceLinkedRoleARN",
    "PlacementGroup",
)
ATTACHED = ("TargetGroupARNs", "LoadBalancerNames")
IGNORED = ("AutoScalingGroupName", "AvailabilityZones", "Tags", "DesiredCapacityType", "LifecycleHookSpecificationList")


def invalid(message: str) -> AwsError:
    """Auto Scaling's answer to a request that doesn't make sense."""
    return AwsError("ValidationError", message)


def groups(region: Region) -> dict[str, Group]:
    """The groups by name."""
    return region.kept("auto scaling groups")


def activities(region: Region) -> list[Activity]:
    """What Auto Scaling has done, the oldest first."""
    return region.kept("scaling activities", list)


def _unseen(kind: Resource, name: str) -> AwsError:
    return invalid(f"The specified resource {name} does not exist.")


def _needs(region: Region, call: Call) -> Iterator[Need]:
    """Reads are authorized as a whole, the rest on the group (Service Authorization Reference, Auto Scaling)."""
    names = list(GROUP.named(region, call.params)) if call.mutating else []
    context = {f"autoscaling:{name}".lower(): call.params[name] for name in ATTACHED if call.params.get(name)}
    for name in names:
        yield on_resource(region, action_of(call), GROUP, name, {**request_tags(call.params), **context})
    if not names:
        yield Need(action_of(call), "*")


def _named_otherwise(region: Region, params: dict[str, Any]) -> Iterator[str]:
    """Tags name the group that they are for; an instance stands for its group."""
    tagged = [tag["ResourceId"] for tag in params.get("Tags") or [] if tag.get("ResourceId")]
    yield from tagged
    instance = region.instances.get(params.get("InstanceId"))
    if instance and instance.auto_scaling_group and not tagged and not params.get("AutoScalingGroupName"):
        yield instance.auto_scaling_group


def _arn(region: Region, name: str) -> str:
    group = groups(region).get(name)
    prefix = f"arn:aws:autoscaling:{region.name}:{region.account}:autoScalingGroup"
    return group.arn if group else f"{prefix}:*:autoScalingGroupName/{name}"


def _tags(region: Region, name: str) -> dict[str, str]:
    group = groups(region).get(name)
    return {key: tag["Value"] for key, tag in group.tags.items()} if group else {}


def _context(region: Region, name: str) -> dict[str, Any]:
    return {f"autoscaling:resourcetag/{key}".lower(): value for key, value in _tags(region, name).items()}


service("autoscaling", version="2011-01-01", regional=True, of_the_world=True, whole=True, needs=_needs, unseen=_unseen)
GROUP = resource(
    "autoscaling",
    "autoScalingGroup",
    inventory=("autoScalingGroups", groups),
    parameters=("AutoScalingGroupName",),
    named_otherwise=_named_otherwise,
    arn=_arn,
    tags=_tags,
    context=_context,
    created_by=("CreateAutoScalingGroup",),
    name_parameter="AutoScalingGroupName",
    lists={"AutoScalingGroups": "AutoScalingGroupName"},
)


def find(region: Region, name: str | None) -> Group:
    """The group with a name."""
    if name not in groups(region):
        raise invalid(f"AutoScalingGroup name not found - no such group: {name}")
    return groups(region)[name]


def find_member(region: Region, instance_id: str | None) -> tuple[Group, Member]:
    """The group and membership of an instance that is in no warm pool: most operations "cannot be called on instances in a warm
    pool" (API_TerminateInstanceInAutoScalingGroup, API_SetInstanceProtection)."""
    for group in groups(region).values():
        for member in group.members:
            if member.instance.id == instance_id:
                return group, member
    raise invalid(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def _read_settings(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    known = (*SETTINGS, *IGNORED, *ATTACHED)
    if unknown := [name for name, value in params.items() if name not in known and value not in (None, [])]:
        raise Unimplemented(f"{', '.join(unknown)} of an Auto Scaling group")
    return {name: params[name] for name in SETTINGS if params.get(name) is not None}


def _check_settings(region: Region, settings: dict[str, Any]) -> None:
    low, high = settings.get("MinSize"), settings.get("MaxSize")
    if low is None or high is None or low < 0 or low > high:
        raise invalid(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if not low <= settings["DesiredCapacity"] <= high:
        raise invalid(
            f"Desired capacity:{settings['DesiredCapacity']} must be between the specified min size:{low} and max size:{high}"
        )
    if not settings.get("VPCZoneIdentifier"):
        raise invalid("At least one Availability Zone or VPC Subnet is required.")
    known = {subnet for zone in region.ec2.subnets.values() for subnet in zone}
    for subnet in (one.strip() for one in settings["VPCZoneIdentifier"].split(",")):
        if subnet not in known:
            raise invalid(f"The subnet ID '{subnet}' does not exist")
    if unknown := [one for one in settings["TerminationPolicies"] if one not in POLICIES]:
        raise invalid(f"Unsupported termination policies: {unknown}")
    if bool(settings.get("LaunchTemplate")) == bool(settings.get("MixedInstancesPolicy")):
        raise invalid("Valid requests must contain either LaunchTemplate or MixedInstancesPolicy.")
    if policy := settings.get("MixedInstancesPolicy"):
        mixed_instances.check(policy)
    _check_maintenance(settings.get("InstanceMaintenancePolicy"))


def _check_maintenance(policy: dict[str, int] | None) -> None:
    if not policy:
        return
    low, high = policy.get("MinHealthyPercentage", -1), policy.get("MaxHealthyPercentage", -1)
    if (low, high) != (-1, -1) and not (0 <= low <= 100 <= high <= 200 and high - low <= 100):
        raise invalid(f"InstanceMaintenancePolicy {low}-{high}: min is 0 to 100, max 100 to 200, at most 100 apart")


def _resolve_template(region: Region, settings: dict[str, Any]) -> None:
    """Completes the references to launch templates with id and name, and checks that they launch."""
    mixed = settings.get("MixedInstancesPolicy")
    references = [Group("", "", now(), settings).template]
    for one in (mixed["LaunchTemplate"].get("Overrides") or []) if mixed else []:
        references += [one["LaunchTemplateSpecification"]] if one.get("LaunchTemplateSpecification") else []
    for reference in references:
        data = _resolve(region, reference)
        if mixed and data.get("InstanceMarketOptions"):
            raise invalid("Incompatible launch template: a mixed instances policy says itself what is a spot instance.")


def _resolve(region: Region, reference: dict[str, str]) -> dict[str, Any]:
    identifier = reference.get("LaunchTemplateId")
    known = {"LaunchTemplateId": identifier} if identifier else reference
    try:
        template = launch_templates.find(region, known)
        number = template.resolve(reference.get("Version"))
    except AwsError as error:
        raise invalid(f"You must use a valid fully-formed launch template. {error.message}") from error
    reference["LaunchTemplateId"], reference["LaunchTemplateName"] = template.id, template.name
    return template.versions[number]["data"]


@action("autoscaling", "CreateAutoScalingGroup")
def create_auto_scaling_group(region: Region, params: dict[str, Any]) -> None:
    """The instances come later: the request only says what is wanted (API_CreateAutoScalingGroup)."""
    name = params.get("AutoScalingGroupName") or ""
    if name in groups(region):
        raise AwsError(
            "AlreadyExists", f"AutoScalingGroup by this name already exists - A group with the name {name} already exists"
        )
    settings = {**DEFAULTS, "DesiredCapacity": params.get("MinSize"), **_read_settings(region, params)}
    if policy := settings.get("MixedInstancesPolicy"):
        settings["MixedInstancesPolicy"] = mixed_instances.merged(None, policy)
    _check_settings(region, settings)
    _resolve_template(region, settings)
    target_groups, balancers = (list(dict.fromkeys(params.get(one) or [])) for one in ATTACHED)
    attachments.check(region, target_groups, balancers)
    arn = f"arn:aws:autoscaling:{region.name}:{region.account}:autoScalingGroup:{uuid.uuid4()}:autoScalingGroupName/{name}"
    group = Group(name, arn, now(), settings, target_groups=target_groups, balancers=balancers)
    auto_scaling_tags.put(group, params.get("Tags") or [])
    for hook in params.get("LifecycleHookSpecificationList") or []:
        lifecycle_hooks.put(group, hook)
    groups(region)[name] = group


@action("autoscaling", "UpdateAutoScalingGroup")
def update_auto_scaling_group(region: Region, params: dict[str, Any]) -> None:
    """New bounds pull the desired capacity along (API_UpdateAutoScalingGroup)."""
    group = find(region, params.get("AutoScalingGroupName"))
    changes = _read_settings(region, params)
    settings = {**group.settings, **changes}
    if "LaunchTemplate" in changes:
        settings.pop("MixedInstancesPolicy", None)
    elif "MixedInstancesPolicy" in changes:
        settings.pop("LaunchTemplate", None)
        present = group.settings.get("MixedInstancesPolicy")
        settings["MixedInstancesPolicy"] = mixed_instances.merged(present, changes["MixedInstancesPolicy"])
    if changes.get("MaxInstanceLifetime") == 0:
        del settings["MaxInstanceLifetime"]
    if changes.get("InstanceMaintenancePolicy") == {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1}:
        del settings["InstanceMaintenancePolicy"]
    if "DesiredCapacity" not in changes:
        settings["DesiredCapacity"] = min(max(settings["DesiredCapacity"], settings["MinSize"]), settings["MaxSize"])
    _check_settings(region, settings)
    _resolve_template(region, settings)
    group.settings, group.retry_at = settings, 0.0


@action("autoscaling", "DeleteAutoScalingGroup")
def delete_auto_scaling_group(region: Region, params: dict[str, Any]) -> None:
    """With instances only by ForceDelete, which "also deletes the warm pool" and "any outstanding lifecycle actions"; it stays
    listed until they are gone (API_DeleteAutoScalingGroup)."""
    group = find(region, params.get("AutoScalingGroupName"))
    if (group.members or group.warm) and not params.get("ForceDelete"):
        raise AwsError(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or "
            "pending Spot instance request(s) still in the group.",
        )
    if not group.members and not group.warm:
        del groups(region)[group.name]
        return
    group.deleting = True
    group.settings |= {"MinSize": 0, "DesiredCapacity": 0}
    lifecycle_hooks.forget(region, [*group.members, *group.warm])


@action("autoscaling", "SetDesiredCapacity")
def set_desired_capacity(region: Region, params: dict[str, Any]) -> None:
    group, wanted = find(region, params.get("AutoScalingGroupName")), params.get("DesiredCapacity")
    low, high = group.settings["MinSize"], group.settings["MaxSize"]
    if wanted > high:
        raise invalid(f"New SetDesiredCapacity value {wanted} is above max value {high} for the AutoScalingGroup.")
    if wanted < low:
        raise invalid(f"New SetDesiredCapacity value {wanted} is below min value {low} for the AutoScalingGroup.")
    group.settings["DesiredCapacity"], group.retry_at = wanted, 0.0


def begin_termination(region: Region, group: Group, member: Member, cause: str) -> None:
    """Takes a member out of service, or out of the warm pool, and terminates its instance, or returns it to the pool."""
    attachments.leave(region, group.target_groups, group.balancers, [member.instance])
    if member.activity.ended is None:
        member.activity.finish("Cancelled")
    member.activity = Activity(group.name, f"Terminating EC2 instance: {member.instance.id}", cause, now())
    activities(region).append(member.activity)
    lifecycle_hooks.end(region, group, member)


def go_on_ending(region: Region, group: Group) -> bool:
    """Members that no load balancer drains any more wait for their hooks, and end."""
    ending = [one for one in group.members if one.state == "Terminating" and one.instance.state not in ENDED]
    for member in ending:
        lifecycle_hooks.go_on_ending(region, group, member)
    return any(one.state != "Terminating" or one.instance.state in ENDED for one in ending)


@action("autoscaling", "TerminateInstanceInAutoScalingGroup")
def terminate_instance(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Without a decrement the group launches another (API_TerminateInstanceInAutoScalingGroup)."""
    group, member = find_member(region, params.get("InstanceId"))
    decrement = params.get("ShouldDecrementDesiredCapacity")
    if decrement and member.active:
        _decrement(group, 1)
    cause = f"At {now():%Y-%m-%dT%H:%M:%SZ} instance {member.instance.id} was taken out of service in response to a user request."
    if member.active:
        begin_termination(region, group, member, cause)
    return {"Activity": describe_activity(member.activity, group.arn)}


def _decrement(group: Group, count: int) -> None:
    if group.settings["DesiredCapacity"] - count < group.settings["MinSize"]:
        raise invalid(
            "Currently, desiredSize equals minSize. Terminating instance without replacement "
            "will violate group's min size constraint."
        )
    group.settings["DesiredCapacity"] -= count


@action("autoscaling", "DetachInstances")
def detach_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The instances run on, without a group (API_DetachInstances)."""
    group = find(region, params.get("AutoScalingGroupName"))
    wanted = [find_member(region, one) for one in params.get("InstanceIds") or []]
    if any(owner is not group for owner, _ in wanted):
        raise invalid(f"The instances are not part of Auto Scaling group {group.name}.")
    if params.get("ShouldDecrementDesiredCapacity"):
        _decrement(group, len(wanted))
    rows = []
    for _, member in wanted:
        group.members.remove(member)
        attachments.leave(region, group.target_groups, group.balancers, [member.instance])
        member.instance.auto_scaling_group = None
        region.ec2.tags.get(member.instance.id, {}).pop(GROUP_TAG, None)
        activity = Activity(group.name, f"Detaching EC2 instance: {member.instance.id}", "in response to a user request", now())
        activity.finish("Successful")
        activities(region).append(activity)
        rows.append(describe_activity(activity, group.arn))
    return {"Activities": rows}


def age(member: Member) -> float:
    """For how many seconds it has been a member."""
    return (now() - member.since).total_seconds()


@action("autoscaling", "SetInstanceHealth")
def set_instance_health(region: Region, params: dict[str, Any]) -> None:
    """Within the grace period it is ignored unless told not to respect it (API_SetInstanceHealth)."""
    group, member = find_member(region, params.get("InstanceId"))
    status = params.get("HealthStatus")
    if status not in ("Healthy", "Unhealthy"):
        raise invalid(f"Valid instance health states are: [Healthy, Unhealthy]; not {status}")
    if params.get("ShouldRespectGracePeriod", True) and age(member) < group.settings["HealthCheckGracePeriod"]:
        return
    member.health = status


@action("autoscaling", "SetInstanceProtection")
def set_instance_protection(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    for instance_id in params.get("InstanceIds") or []:
        find_member(region, instance_id)[1].protected = bool(params.get("ProtectedFromScaleIn"))
    return {}


def _processes(params: dict[str, Any]) -> set[str]:
    wanted = set(params.get("ScalingProcesses") or PROCESSES)
    if unknown := wanted - set(PROCESSES):
        raise invalid(f"Invalid scaling processes {sorted(unknown)}")
    return wanted


@action("autoscaling", "SuspendProcesses")
def suspend_processes(region: Region, params: dict[str, Any]) -> None:
    find(region, params.get("AutoScalingGroupName")).suspended |= _processes(params)


@action("autoscaling", "ResumeProcesses")
def resume_processes(region: Region, params: dict[str, Any]) -> None:
    find(region, params.get("AutoScalingGroupName")).suspended -= _processes(params)


@action("autoscaling", "EnableMetricsCollection")
def enable_metrics_collection(region: Region, params: dict[str, Any]) -> None:
    group = find(region, params.get("AutoScalingGroupName"))
    group.metrics |= set(
        params.get("Metrics") or ("GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances")
    )


@action("autoscaling", "DisableMetricsCollection")
def disable_metrics_collection(region: Region, params: dict[str, Any]) -> None:
    group = find(region, params.get("AutoScalingGroupName"))
    group.metrics -= set(params.get("Metrics") or group.metrics)


def page(name: str, rows: list[Any], params: dict[str, Any], default: int) -> dict[str, Any]:
    """One page of an answer."""
    size = params.get("MaxRecords") or default
    if size > 100:
        raise invalid(f"MaxRecords {size} is above 100")
    return paginate(name, rows, {**params, "MaxResults": size})


@action("autoscaling", "DescribeAutoScalingGroups")
def describe_auto_scaling_groups(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """A name that doesn't exist is no error, only absent."""
    names = params.get("AutoScalingGroupNames")
    values = {"tag-key": lambda group: list(group.tags), "tag-value": lambda group: [tag["Value"] for tag in group.tags.values()]}
    rows = [
        _describe(region, group)
        for group in groups(region).values()
        if (not names or group.name in names)
        and matches(
            group, params.get("Filters"), values, {k: v["Value"] for k, v in group.tags.items()}, "DescribeAutoScalingGroups"
        )
    ]
    return page("AutoScalingGroups", rows, params, 50)


@action("autoscaling", "DescribeAutoScalingInstances")
def describe_auto_scaling_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Those in warm pools, too (API_AutoScalingInstanceDetails, LifecycleState)."""
    wanted = params.get("InstanceIds")
    rows = [
        {**describe_member(member), "AutoScalingGroupName": group.name}
        for group in groups(region).values()
        for member in [*group.members, *group.warm]
        if not wanted or member.instance.id in wanted
    ]
    return page("AutoScalingInstances", rows, params, 50)


@action("autoscaling", "DescribeScalingActivities")
def describe_scaling_activities(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The newest first; those of deleted groups only with IncludeDeletedGroups."""
    name, ids, deleted = params.get("AutoScalingGroupName"), params.get("ActivityIds"), params.get("IncludeDeletedGroups")
    known = groups(region)
    if name and not deleted:
        find(region, name)
    rows = [
        describe_activity(one, known[one.group].arn if one.group in known else None)
        for one in reversed(activities(region))
        if (not name or one.group == name) and (not ids or one.id in ids) and (deleted or one.group in known)
    ]
    return page("Activities", rows, params, 100)


def describe_activity(activity: Activity, arn: str | None) -> dict[str, Any]:
    """An activity in the form of DescribeScalingActivities."""
    return {
        "ActivityId": activity.id,
        "AutoScalingGroupName": activity.group,
        "AutoScalingGroupARN": arn,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.started,
        "EndTime": activity.ended,
        "StatusCode": activity.status,
        "StatusMessage": activity.message,
        "Progress": 100 if activity.ended else 50,
        "Details": "{}",
    }


def describe_member(member: Member) -> dict[str, Any]:
    """A member in the form of DescribeAutoScalingGroups."""
    return {
        "InstanceId": member.instance.id,
        "InstanceType": member.instance.kind,
        "AvailabilityZone": member.instance.zone,
        "LifecycleState": member.state,
        "HealthStatus": member.health,
        "LaunchTemplate": member.template,
        "ProtectedFromScaleIn": member.protected,
    }


def _describe(region: Region, group: Group) -> dict[str, Any]:
    zones = sorted({region.ec2.get_subnet(subnet).availability_zone for subnet in group.subnets})
    role = f"arn:aws:iam::{region.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    return {
        "ServiceLinkedRoleARN": role,
        **group.settings,
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "CreatedTime": group.created,
        "AvailabilityZones": zones,
        "LoadBalancerNames": list(group.balancers),
        "TargetGroupARNs": list(group.target_groups),
        "Instances": [describe_member(member) for member in group.members],
        "SuspendedProcesses": [{"ProcessName": name, "SuspensionReason": "User suspended"} for name in sorted(group.suspended)],
        "EnabledMetrics": [{"Metric": name, "Granularity": "1Minute"} for name in sorted(group.metrics)],
        "Status": "Delete in progress" if group.deleting else None,
        "WarmPoolConfiguration": group.warm_pool,
        "WarmPoolSize": len(group.warm) if group.warm_pool else None,
        "Tags": auto_scaling_tags.describe(group),
    }
