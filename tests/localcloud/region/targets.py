"""The targets of target groups: who is in one, and how well.

Where there are machines, they check targets and say how they are (README.md, `POST /_region/targets`). Without them a running
instance is healthy a little while after a listener forwards to its group. Either way a test may say otherwise (README.md,
`POST /_region/targets/<id>/health`). User Guide for Network Load Balancers, "Health checks".
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from . import elbv2
from .actions import action
from .elbv2 import TARGETS, invalid
from .errors import AwsError
from .routes import Request, route
from .state import Region
from .target_groups import TargetGroup, balancers, groups
from .transitions import after, soon

Params = dict[str, Any]
PRIVATE = [IPv4Network(one) for one in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")]
REASONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.InvalidState": "Target is not in the running state",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.NotRegistered": "Target is not registered to the target group",
}


@dataclass(eq=False)
class Target:
    """A target, by instance or address. `checked` once the health checks are over that it takes at first; `failing` if they, or
    later ones, failed."""

    id: str
    port: int
    zone: str | None = None
    draining: bool = False
    checking: bool = False
    checked: bool = False
    failing: bool = False


def _unhealthy(region: Region) -> set[str]:
    """The instances and addresses that health checks fail of."""
    return region.kept("unhealthy targets", set)


@route("POST", "/targets/([^/]+)/health")
def _health(region: Region, request: Request, identifier: str) -> dict[str, Any]:
    """Has health checks of an instance or address fail, or succeed again."""
    if request.flag("healthy"):
        _unhealthy(region).discard(identifier)
    else:
        _unhealthy(region).add(identifier)
    region.touch()
    return {"healthy": identifier not in _unhealthy(region)}


@route("POST", "/targets")
def _checked(region: Region, request: Request) -> dict[str, Any]:
    """What the machines' health checks say of a target. Of one that is gone, or isn't checked any more, they know nothing."""
    report = request.object()
    group = groups(region)[report.get("targetGroup")]
    target = group.targets.get((report.get("id"), report.get("port")))
    refresh(region, group)
    if target and not target.draining and (target.checking or target.checked):
        target.checking, target.checked, target.failing = False, True, not request.flag("healthy")
        region.touch()
    return {}


def register(region: Region, group: TargetGroup, targets: list[dict[str, Any]]) -> None:
    """Adds targets; one that drains serves again."""
    for one in targets:
        port = one.get("Port") or group.settings["Port"]
        present = group.targets.get((one["Id"], port))
        if present is None or present.draining:
            group.targets[one["Id"], port] = Target(one["Id"], port, one.get("AvailabilityZone"))
    refresh(region, group)


def deregister(region: Region, group: TargetGroup, targets: list[dict[str, Any]]) -> None:
    """Has targets drain for as long as the group says; those that nothing reaches go at once. Without a port all of an id are
    meant; what isn't there is no error (API_DeregisterTargets)."""
    refresh(region, group)
    named = {(one["Id"], one.get("Port")) for one in targets}
    for key, target in list(group.targets.items()):
        if target.draining or not named & {key, (key[0], None)}:
            continue
        if not target.checked and not target.checking:
            del group.targets[key]
            continue
        target.draining = True
        delay = int(group.attributes["deregistration_delay.timeout_seconds"])
        after(region, delay, lambda key=key, target=target: _forget(group, key, target))


def _forget(group: TargetGroup, key: tuple[str, int], target: Target) -> None:
    if group.targets.get(key) is target:
        del group.targets[key]


def refresh(region: Region, group: TargetGroup) -> None:
    """Follows the targets' instances: the terminated ones go, those that serve are checked, the others aren't any more."""
    for key, target in list(group.targets.items()):
        instance = region.instances.get(target.id)
        if instance and instance.state == "terminated":
            del group.targets[key]
        elif _obstacle(region, group, target):
            target.checking = target.checked = target.failing = False
        elif not target.checked and not target.checking:
            target.checking = True
            if not region.machines_connected:
                soon(region, lambda target=target: _finish_checking(target))


def _finish_checking(target: Target) -> None:
    """Unless it went out of service meanwhile."""
    target.checked, target.checking = target.checking or target.checked, False


def _obstacle(region: Region, group: TargetGroup, target: Target) -> str | None:
    """Why nothing reaches a target, if so."""
    users = balancers(region, group)
    if not users:
        return "Target.NotInUse"
    instance = region.instances.get(target.id)
    if instance is None:
        return None
    if instance.state != "running" and not target.draining:
        return "Target.InvalidState"
    zones = {place.subnet.availability_zone for one in users for place in one.places}
    return None if instance.zone in zones else "Target.NotInUse"


@action("elbv2", "RegisterTargets")
def register_targets(region: Region, params: Params) -> dict[str, Any]:
    """An instance must run and be of the group's VPC (API_RegisterTargets; InvalidTarget)."""
    group = elbv2.find(region, TARGETS, params.get("TargetGroupArn"))
    targets = params.get("Targets") or []
    if not targets:
        raise invalid("At least one target must be specified")
    for one in targets:
        check = _check_address if group.settings["TargetType"] == "ip" else _check_instance
        check(region, group, one.get("Id") or "")
    register(region, group, targets)
    return {}


def _check_instance(region: Region, group: TargetGroup, identifier: str) -> None:
    instance = region.instances.get(identifier)
    if not identifier.startswith("i-"):
        raise invalid(f"Instance ID '{identifier}' is not valid")
    if instance is None or instance.subnet.vpc_id != group.vpc_id:
        raise AwsError("InvalidTarget", f"The following targets are not in the target group VPC '{group.vpc_id}': '{identifier}'")
    if instance.state != "running":
        raise AwsError(
            "InvalidTarget", f"The following targets are not in a running state and cannot be registered: '{identifier}'"
        )


def _check_address(region: Region, group: TargetGroup, identifier: str) -> None:
    """Of the VPC, or private ("Register targets"): what is public can't be a target."""
    try:
        address = IPv4Address(identifier)
    except ValueError:
        raise invalid(f"The IP address '{identifier}' is not a valid IPv4 address") from None
    own = [IPv4Network(one["cidr_block"]) for one in region.ec2.vpcs[group.vpc_id].get_cidr_block_association_set()]
    if not any(address in one for one in (*own, *PRIVATE)):
        raise invalid(f"The IP address '{identifier}' is not within the VPC or a range that is private")


@action("elbv2", "DeregisterTargets")
def deregister_targets(region: Region, params: Params) -> dict[str, Any]:
    deregister(region, elbv2.find(region, TARGETS, params.get("TargetGroupArn")), params.get("Targets") or [])
    return {}


@action("elbv2", "DescribeTargetHealth")
def describe_target_health(region: Region, params: Params) -> dict[str, Any]:
    """A target that is asked for and isn't there is unused (API_TargetHealth, Target.NotRegistered)."""
    group = elbv2.find(region, TARGETS, params.get("TargetGroupArn"))
    refresh(region, group)
    found = list(group.targets.values())
    if asked := params.get("Targets"):
        keys = [(one["Id"], one.get("Port") or group.settings["Port"]) for one in asked]
        found = [group.targets.get(key) or Target(*key) for key in keys]
    return {"TargetHealthDescriptions": [_describe(region, group, one) for one in found]}


def state(region: Region, group: TargetGroup, target: Target) -> tuple[str, str | None]:
    if group.targets.get((target.id, target.port)) is not target:
        return "unused", "Target.NotRegistered"
    if target.draining:
        return "draining", "Target.DeregistrationInProgress"
    if obstacle := _obstacle(region, group, target):
        return "unused", obstacle
    if not target.checked:
        return "initial", "Elb.RegistrationInProgress"
    failing = target.failing or target.id in _unhealthy(region)
    return ("unhealthy", "Target.FailedHealthChecks") if failing else ("healthy", None)


def states(region: Region, group: TargetGroup, identifier: str) -> set[str]:
    """The states of an instance or address in a group, by its ports."""
    refresh(region, group)
    return {state(region, group, one)[0] for one in group.targets.values() if one.id == identifier}


def _describe(region: Region, group: TargetGroup, target: Target) -> dict[str, Any]:
    word, reason = state(region, group, target)
    port = group.settings["HealthCheckPort"]
    return {
        "Target": {"Id": target.id, "Port": target.port, "AvailabilityZone": target.zone},
        "HealthCheckPort": str(target.port) if port == "traffic-port" else port,
        "TargetHealth": {"State": word, "Reason": reason, "Description": REASONS.get(reason or "")},
    }


def everywhere(region: Region) -> list[TargetGroup]:
    """All target groups, with what has become of their targets."""
    for group in groups(region).values():
        refresh(region, group)
    return list(groups(region).values())
