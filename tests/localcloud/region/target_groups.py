"""Target groups of load balancers: their settings and attributes. Who is in one, and how well, is in `targets`.

Facts are from the Elastic Load Balancing API Reference, version 2015-12-01 (API_<action>), and the User Guide for Network
Load Balancers, "Target groups".
"""

from dataclasses import dataclass, field
from typing import Any

from . import elbv2
from .actions import action
from .elbv2 import LISTENER, TARGETS, invalid
from .errors import AwsError, Unimplemented
from .state import Region

Params = dict[str, Any]
NETWORK = ("TCP", "TLS", "UDP", "TCP_UDP")
APPLICATION = ("HTTP", "HTTPS")

# API_CreateTargetGroup: the ranges of those that are numbers.
RANGES = {
    "Port": (1, 65535),
    "HealthCheckIntervalSeconds": (5, 300),
    "HealthCheckTimeoutSeconds": (2, 120),
    "HealthyThresholdCount": (2, 10),
    "UnhealthyThresholdCount": (2, 10),
}
HEALTH_CHECK = (
    "HealthCheckProtocol",
    "HealthCheckPort",
    "HealthCheckEnabled",
    "HealthCheckPath",
    "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "UnhealthyThresholdCount",
    "Matcher",
)
SETTINGS = ("Protocol", "ProtocolVersion", "Port", "VpcId", "TargetType", "IpAddressType", *HEALTH_CHECK)

# API_TargetGroupAttribute, and "Target group attributes" in the guide.
ATTRIBUTES = {
    "deregistration_delay.timeout_seconds": "300",
    "stickiness.enabled": "false",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
}
NETWORK_ATTRIBUTES = {
    "deregistration_delay.connection_termination.enabled": "false",
    "preserve_client_ip.enabled": "true",
    "proxy_protocol_v2.enabled": "false",
    "stickiness.type": "source_ip",
    "target_health_state.unhealthy.connection_termination.enabled": "true",
    "target_health_state.unhealthy.draining_interval_seconds": "0",
}
APPLICATION_ATTRIBUTES = {
    "stickiness.type": "lb_cookie",
    "stickiness.lb_cookie.duration_seconds": "86400",
    "slow_start.duration_seconds": "0",
    "load_balancing.algorithm.type": "round_robin",
}
LONGEST_DELAY = 3600


@dataclass(eq=False)
class TargetGroup:
    """A target group: `settings` as the API names them; its targets by id and port."""

    arn: str
    name: str
    settings: dict[str, Any]
    attributes: dict[str, str]
    tags: dict[str, str]
    targets: dict[tuple[str, int], Any] = field(default_factory=dict)

    @property
    def vpc_id(self) -> str:
        return self.settings["VpcId"]


def groups(region: Region) -> dict[str, TargetGroup]:
    """The target groups, by ARN."""
    return elbv2.all_of(region, TARGETS)


def users(region: Region, group: TargetGroup) -> list[Any]:
    """The listeners that forward to a target group."""
    return [one for one in elbv2.all_of(region, LISTENER).values() if group.arn in one.target_groups]


def balancers(region: Region, group: TargetGroup) -> list[Any]:
    """The load balancers that use a target group: at most one."""
    return list(dict.fromkeys(one.balancer for one in users(region, group)))


@action("elbv2", "CreateTargetGroup")
def create_target_group(region: Region, params: Params) -> dict[str, Any]:
    """Asking for one that exists gives that, unless it has other settings (API_CreateTargetGroup, "idempotent" and
    DuplicateTargetGroupName)."""
    name = params.get("Name") or ""
    elbv2.check_name(name, "Target group")
    tags, settings = elbv2.given_tags(params), _settings(region, params)
    existing = next((one for one in groups(region).values() if one.name == name), None)
    if existing is None:
        arn = f"{elbv2.prefix(region)}targetgroup/{name}/{elbv2.new_id()}"
        existing = TargetGroup(arn, name, settings, _attributes(settings), tags)
        groups(region)[arn] = existing
    elif existing.settings != settings:
        raise AwsError(
            "DuplicateTargetGroupName", f"A target group with the same name '{name}' exists, but with different settings"
        )
    return {"TargetGroups": [describe(region, existing)]}


def _settings(region: Region, params: Params) -> dict[str, Any]:
    kind, protocol = params.get("TargetType") or "instance", params.get("Protocol")
    if kind not in ("instance", "ip") or protocol not in (None, *NETWORK, *APPLICATION):
        raise Unimplemented(f"target groups of the type {kind} and the protocol {protocol}")
    for parameter in ("Protocol", "Port", "VpcId"):
        if not params.get(parameter):
            raise invalid(f"A {parameter} must be specified")
    if params["VpcId"] not in region.ec2.vpcs:
        raise invalid(f"The VPC ID '{params['VpcId']}' is not found")
    given = {name: params[name] for name in SETTINGS if params.get(name) not in (None, {})}
    settings = {"TargetType": kind, "IpAddressType": "ipv4", **_health_check_defaults(given), **given}
    if protocol in APPLICATION:
        settings.setdefault("ProtocolVersion", "HTTP1")
    _check(settings)
    return settings


def _health_check_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """API_CreateTargetGroup, HealthCheck… and Matcher."""
    application = given["Protocol"] in APPLICATION
    protocol = given.get("HealthCheckProtocol") or ("HTTP" if application else "TCP")
    timeout = 5 if application else 6 if protocol == "HTTP" else 10
    defaults = {
        "HealthCheckProtocol": protocol,
        "HealthCheckPort": "traffic-port",
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": timeout,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
    }
    if protocol in APPLICATION:
        defaults |= {"HealthCheckPath": "/", "Matcher": {"HttpCode": "200" if application else "200-399"}}
    return defaults


def _check(settings: dict[str, Any]) -> None:
    for name, (low, high) in RANGES.items():
        if not low <= settings[name] <= high:
            raise invalid(f"{name} '{settings[name]}' must be between {low} and {high}")
    protocol = settings["HealthCheckProtocol"]
    allowed = APPLICATION if settings["Protocol"] in APPLICATION else ("TCP", *APPLICATION)
    if protocol not in allowed:
        raise invalid(f"Health check protocol '{protocol}' is not supported for target groups of {settings['Protocol']}")
    if protocol == "TCP" and (settings.get("HealthCheckPath") or settings.get("Matcher")):
        raise invalid("Health check path and matcher cannot be specified for health checks over TCP")
    if settings["HealthCheckTimeoutSeconds"] >= settings["HealthCheckIntervalSeconds"]:
        raise invalid("Health check timeout must be smaller than the interval")
    port = settings["HealthCheckPort"]
    if port != "traffic-port" and not (port.isdecimal() and 1 <= int(port) <= 65535):
        raise invalid(f"Health check port '{port}' must be 'traffic-port' or a port")


def _attributes(settings: dict[str, Any]) -> dict[str, str]:
    """Addresses of clients aren't preserved to targets by address of TCP and TLS ("Client IP preservation")."""
    if settings["Protocol"] in APPLICATION:
        return {**ATTRIBUTES, **APPLICATION_ATTRIBUTES}
    by_address = settings["TargetType"] == "ip" and settings["Protocol"] in ("TCP", "TLS")
    return {**ATTRIBUTES, **NETWORK_ATTRIBUTES, **({"preserve_client_ip.enabled": "false"} if by_address else {})}


@action("elbv2", "ModifyTargetGroup")
def modify_target_group(region: Region, params: Params) -> dict[str, Any]:
    """Only the health check can be changed (API_ModifyTargetGroup)."""
    group = elbv2.find(region, TARGETS, params.get("TargetGroupArn"))
    changes = {name: params[name] for name in HEALTH_CHECK if params.get(name) not in (None, {})}
    settings = {**group.settings, **changes}
    if settings["HealthCheckProtocol"] == "TCP":
        settings = {
            name: value for name, value in settings.items() if name in changes or name not in ("HealthCheckPath", "Matcher")
        }
    else:
        settings = {**_health_check_defaults(settings), **settings}
    _check(settings)
    group.settings = settings
    return {"TargetGroups": [describe(region, group)]}


@action("elbv2", "DeleteTargetGroup")
def delete_target_group(region: Region, params: Params) -> dict[str, Any]:
    """Not while a listener uses it; one that isn't there is no error (API_DeleteTargetGroup)."""
    arn = params.get("TargetGroupArn") or ""
    if not TARGETS.id_pattern.fullmatch(arn):
        raise invalid(f"'{arn}' is not a valid target group ARN")
    if arn in groups(region):
        if users(region, groups(region)[arn]):
            raise AwsError("ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule")
        del groups(region)[arn]
    return {}


@action("elbv2", "DescribeTargetGroups")
def describe_target_groups(region: Region, params: Params) -> dict[str, Any]:
    found = elbv2.select(region, TARGETS, params.get("TargetGroupArns"), params.get("Names"))
    if arn := params.get("LoadBalancerArn"):
        balancer = elbv2.find(region, elbv2.BALANCER, arn)
        found = [one for one in found if balancer in balancers(region, one)]
    return elbv2.page("TargetGroups", [describe(region, one) for one in found], params)


@action("elbv2", "DescribeTargetGroupAttributes")
def describe_target_group_attributes(region: Region, params: Params) -> dict[str, Any]:
    return elbv2.described_attributes(elbv2.find(region, TARGETS, params.get("TargetGroupArn")).attributes)


@action("elbv2", "ModifyTargetGroupAttributes")
def modify_target_group_attributes(region: Region, params: Params) -> dict[str, Any]:
    """What the request doesn't name stays. Client addresses are always preserved to UDP ("Client IP preservation")."""
    group = elbv2.find(region, TARGETS, params.get("TargetGroupArn"))
    changes = elbv2.changed_attributes(group.attributes, params)
    if region.machines_connected and changes.get("proxy_protocol_v2.enabled") == "true":
        raise Unimplemented("the proxy protocol of target groups where there are machines")
    delay = changes.get("deregistration_delay.timeout_seconds", "0")
    if not (delay.isdecimal() and int(delay) <= LONGEST_DELAY):
        raise invalid(f"The deregistration delay '{delay}' must be between 0 and {LONGEST_DELAY} seconds")
    if changes.get("preserve_client_ip.enabled") == "false" and "UDP" in group.settings["Protocol"]:
        raise AwsError("InvalidConfigurationRequest", "Client IP preservation cannot be disabled for UDP target groups")
    group.attributes = {**group.attributes, **changes}
    return elbv2.described_attributes(group.attributes)


def describe(region: Region, group: TargetGroup) -> dict[str, Any]:
    """A target group in the form of DescribeTargetGroups."""
    return {
        "TargetGroupArn": group.arn,
        "TargetGroupName": group.name,
        "LoadBalancerArns": [one.arn for one in balancers(region, group)],
        **group.settings,
    }
