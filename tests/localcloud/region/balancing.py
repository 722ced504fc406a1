"""What the machines know of load balancers: who listens where, and whom what is handed on to (README.md, "The world")."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from . import elbv2, network_interfaces, targets
from .elbv2 import LISTENER
from .load_balancers import Balancer, balancers, dns_name
from .state import Region
from .target_groups import TargetGroup
from .target_groups import balancers as users

AS_BALANCER = "use_load_balancer_configuration"


def load_balancers(region: Region) -> list[dict[str, Any]]:
    """The network load balancers that are active."""
    serving = [one for one in balancers(region).values() if one.kind == "network" and one.state == "active"]
    return [_balancer(region, one) for one in serving]


def _balancer(region: Region, balancer: Balancer) -> dict[str, Any]:
    listening = [one for one in elbv2.all_of(region, LISTENER).values() if one.balancer is balancer]
    return {
        "arn": balancer.arn,
        "vpc": balancer.vpc_id,
        "dnsName": dns_name(balancer),
        "securityGroups": [group.id for group in balancer.groups],
        "nodes": [_node(region, place) for place in balancer.places],
        "listeners": [{"port": one.settings["Port"], "targetGroup": min(one.target_groups)} for one in listening],
    }


def _node(region: Region, place: Any) -> dict[str, Any]:
    interface = place.interface
    public = network_interfaces.association(region, interface, interface.private_ip_address)
    return {
        "networkInterface": interface.id,
        "subnet": place.subnet.id,
        "zone": place.subnet.availability_zone,
        "privateIp": interface.private_ip_address,
        "publicIp": public["PublicIp"] if public else None,
    }


def target_groups(region: Region) -> list[dict[str, Any]]:
    """The target groups of network load balancers, with what is said of their targets."""
    found = [one for one in targets.everywhere(region) if one.settings["Protocol"] == "TCP"]
    return [_group(region, one) for one in found if users(region, one)]


def _group(region: Region, group: TargetGroup) -> dict[str, Any]:
    (user,), attributes = users(region, group), group.attributes
    crossing = attributes["load_balancing.cross_zone.enabled"]
    if crossing == AS_BALANCER:
        crossing = user.attributes["load_balancing.cross_zone.enabled"]
    rows = [_target(region, group, one) for one in group.targets.values()]
    return {
        "arn": group.arn,
        "preserveClientIp": attributes["preserve_client_ip.enabled"] == "true",
        "sticky": attributes["stickiness.enabled"] == "true",
        "crossZone": crossing == "true",
        "terminateDrained": attributes["deregistration_delay.connection_termination.enabled"] == "true",
        "terminateUnhealthy": attributes["target_health_state.unhealthy.connection_termination.enabled"] == "true",
        "healthCheck": _health_check(group.settings),
        "targets": [row for row in rows if row],
    }


def _health_check(settings: dict[str, Any]) -> dict[str, Any]:
    port = settings["HealthCheckPort"]
    return {
        "protocol": settings["HealthCheckProtocol"],
        "port": None if port == "traffic-port" else int(port),
        "path": settings.get("HealthCheckPath"),
        "matcher": (settings.get("Matcher") or {}).get("HttpCode"),
        "interval": settings["HealthCheckIntervalSeconds"],
        "timeout": settings["HealthCheckTimeoutSeconds"],
        "healthyThreshold": settings["HealthyThresholdCount"],
        "unhealthyThreshold": settings["UnhealthyThresholdCount"],
    }


def _target(region: Region, group: TargetGroup, target: targets.Target) -> dict[str, Any] | None:
    """An instance is its first interface's primary address; an address is of the zone of its subnet, or of all."""
    instance = region.instances.get(target.id)
    if instance and not instance.private_ip:
        return None
    zone = instance.zone if instance else _zone(region, group.vpc_id, target)
    return {
        "id": target.id,
        "address": instance.private_ip if instance else target.id,
        "port": target.port,
        "zone": zone,
        "health": targets.state(region, group, target)[0],
    }


def _zone(region: Region, vpc_id: str, target: targets.Target) -> str | None:
    if target.zone:
        return None if target.zone == "all" else target.zone
    subnets = [one for zone in region.ec2.subnets.values() for one in zone.values() if one.vpc_id == vpc_id]
    holding = (one for one in subnets if IPv4Address(target.id) in IPv4Network(one.cidr_block))
    return next((one.availability_zone for one in holding), None)
