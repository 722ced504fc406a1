"""Auto Scaling groups and load balancers: members are targets for as long as they serve.

Auto Scaling User Guide, "Use Elastic Load Balancing to distribute incoming application traffic".
"""

from typing import Any

from moto.backends import get_backend

from . import auto_scaling, targets
from .actions import action
from .errors import AwsError
from .state import Region
from .target_groups import groups as target_groups

Params = dict[str, Any]


def _classic(region: Region) -> dict[str, Any]:
    return get_backend("elb")[region.account][region.name].load_balancers


def check(region: Region, arns: list[str], names: list[str]) -> None:
    """Only what there is can be attached, and only target groups of instances."""
    known = target_groups(region)
    if any(arn not in known for arn in arns):
        raise _invalid("Target Groups")
    if any(known[arn].settings["TargetType"] != "instance" for arn in arns):
        raise AwsError("ValidationError", "Provided Target Groups must have the target type instance.")
    if any(name not in _classic(region) for name in names):
        raise _invalid("Load Balancers")


def _invalid(kind: str) -> AwsError:
    return AwsError("ValidationError", f"Provided {kind} may not be valid. Please ensure they exist and try again.")


def enter(region: Region, arns: list[str], names: list[str], instances: list[Any]) -> None:
    """Registers instances that serve; with what was deleted meanwhile nothing happens."""
    for arn in arns:
        if arn in target_groups(region) and instances:
            targets.register(region, target_groups(region)[arn], [{"Id": one.id} for one in instances])
    for name in names:
        if name in _classic(region):
            held = _classic(region)[name].instance_autoscaling_ids
            held.extend(one.id for one in instances if one.id not in held)


def leave(region: Region, arns: list[str], names: list[str], instances: list[Any]) -> None:
    """Deregisters instances."""
    for arn in arns:
        if arn in target_groups(region) and instances:
            targets.deregister(region, target_groups(region)[arn], [{"Id": one.id} for one in instances])
    gone = {one.id for one in instances}
    for name in names:
        if name in _classic(region):
            balancer = _classic(region)[name]
            balancer.instance_autoscaling_ids = [one for one in balancer.instance_autoscaling_ids if one not in gone]


def drains(region: Region, arns: list[str], instance: Any) -> bool:
    """Whether what an instance has begun to answer is still waited for."""
    known = target_groups(region)
    return any(one.draining for arn in arns if arn in known for one in known[arn].targets.values() if one.id == instance.id)


def unhealthy(region: Region, group: Any, member: Any) -> bool:
    """Whether a load balancer says so, where the group listens to it, after the grace period."""
    if "ELB" not in group.settings["HealthCheckType"].split(","):
        return False
    if auto_scaling.age(member) < group.settings["HealthCheckGracePeriod"]:
        return False
    found = [target_groups(region)[arn] for arn in group.target_groups if arn in target_groups(region)]
    return any("unhealthy" in targets.states(region, one, member.instance.id) for one in found)


def _serving(group: Any) -> list[Any]:
    return [member.instance for member in group.members if member.state == "InService"]


@action("autoscaling", "AttachLoadBalancerTargetGroups")
def attach_load_balancer_target_groups(region: Region, params: Params) -> dict[str, Any]:
    """What is attached already stays (API_AttachLoadBalancerTargetGroups, "additive")."""
    group, arns = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("TargetGroupARNs") or []
    check(region, arns, [])
    new = [arn for arn in dict.fromkeys(arns) if arn not in group.target_groups]
    group.target_groups += new
    enter(region, new, [], _serving(group))
    return {}


@action("autoscaling", "DetachLoadBalancerTargetGroups")
def detach_load_balancer_target_groups(region: Region, params: Params) -> dict[str, Any]:
    group, arns = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("TargetGroupARNs") or []
    if any(arn not in group.target_groups for arn in arns):
        raise AwsError("ValidationError", "Trying to remove Target Groups that are not part of the group")
    group.target_groups = [arn for arn in group.target_groups if arn not in arns]
    leave(region, arns, [], [member.instance for member in group.members])
    return {}


@action("autoscaling", "DescribeLoadBalancerTargetGroups")
def describe_load_balancer_target_groups(region: Region, params: Params) -> dict[str, Any]:
    """InService once one instance is healthy (API_LoadBalancerTargetGroupState)."""
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    rows = [{"LoadBalancerTargetGroupARN": arn, "State": _state(region, group, arn)} for arn in group.target_groups]
    return auto_scaling.page("LoadBalancerTargetGroups", rows, params, 100)


def _state(region: Region, group: Any, arn: str) -> str:
    present = target_groups(region).get(arn)
    ids = [one.id for one in _serving(group)]
    healthy = present and any("healthy" in targets.states(region, present, one) for one in ids)
    return "InService" if healthy else "Added"


@action("autoscaling", "AttachLoadBalancers")
def attach_load_balancers(region: Region, params: Params) -> dict[str, Any]:
    group, names = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("LoadBalancerNames") or []
    check(region, [], names)
    new = [name for name in dict.fromkeys(names) if name not in group.balancers]
    group.balancers += new
    enter(region, [], new, _serving(group))
    return {}


@action("autoscaling", "DetachLoadBalancers")
def detach_load_balancers(region: Region, params: Params) -> dict[str, Any]:
    group, names = auto_scaling.find(region, params.get("AutoScalingGroupName")), params.get("LoadBalancerNames") or []
    if any(name not in group.balancers for name in names):
        raise AwsError("ValidationError", "Trying to remove Load Balancers that are not part of the group")
    group.balancers = [name for name in group.balancers if name not in names]
    leave(region, [], names, [member.instance for member in group.members])
    return {}


@action("autoscaling", "DescribeLoadBalancers")
def describe_load_balancers(region: Region, params: Params) -> dict[str, Any]:
    """InService once an instance is in it (API_LoadBalancerState)."""
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    state = "InService" if _serving(group) else "Added"
    rows = [{"LoadBalancerName": name, "State": state} for name in group.balancers]
    return auto_scaling.page("LoadBalancers", rows, params, 100)
