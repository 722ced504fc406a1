"""Listeners of load balancers.

Facts are from the Elastic Load Balancing API Reference, version 2015-12-01 (API_<action>), and the User Guide for Network
Load Balancers, "Listeners". Certificates and security policies are known by their form only.
"""

import re
from dataclasses import dataclass
from typing import Any

from . import elbv2, target_groups, targets
from .actions import action
from .elbv2 import BALANCER, LISTENER, TARGETS, invalid
from .errors import AwsError, Unimplemented
from .state import Region

Params = dict[str, Any]
CERTIFICATE = re.compile(
    r"arn:aws[a-z-]*:(?:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]+|iam::\d{12}:server-certificate/[\w+=,.@/-]+)"
)
POLICY = re.compile(r"ELBSecurityPolicy-[A-Za-z0-9-]+")
DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"
ENCRYPTED = ("TLS", "HTTPS")
SETTINGS = ("Port", "Protocol", "SslPolicy", "Certificates", "DefaultActions", "AlpnPolicy")

# "Listener configuration" and "Target groups", "Routing configuration": what a listener's protocol forwards to.
FORWARDED = {
    "TCP": ("TCP", "TCP_UDP"),
    "TLS": ("TCP", "TLS"),
    "UDP": ("UDP", "TCP_UDP"),
    "TCP_UDP": ("TCP_UDP",),
    "HTTP": target_groups.APPLICATION,
    "HTTPS": target_groups.APPLICATION,
}


@dataclass(eq=False)
class Listener:
    """A listener: `settings` as the API names them."""

    arn: str
    balancer: Any
    settings: dict[str, Any]
    tags: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.balancer.name}:{self.settings['Port']}"

    @property
    def target_groups(self) -> set[str]:
        return _forwards_to(self.settings)


def listeners(region: Region) -> dict[str, Listener]:
    """The listeners, by ARN."""
    return elbv2.all_of(region, LISTENER)


def _forwards_to(settings: dict[str, Any]) -> set[str]:
    return {one["TargetGroupArn"] for action in settings["DefaultActions"] for one in action["ForwardConfig"]["TargetGroups"]}


@action("elbv2", "CreateListener")
def create_listener(region: Region, params: Params) -> dict[str, Any]:
    """Asking for one that exists gives that; another at the same port is refused (API_CreateListener, "idempotent" and
    DuplicateListener)."""
    balancer = elbv2.find(region, BALANCER, params.get("LoadBalancerArn"))
    tags = elbv2.given_tags(params)
    settings = _settings(region, balancer, {name: params[name] for name in SETTINGS if params.get(name)})
    existing = _at_port(region, balancer, settings["Port"])
    if existing and existing.settings != settings:
        raise _duplicate()
    if existing is None:
        arn = f"{balancer.arn.replace(':loadbalancer/', ':listener/')}/{elbv2.new_id()}"
        existing = listeners(region)[arn] = Listener(arn, balancer, settings, tags)
    targets.everywhere(region)
    return {"Listeners": [describe(existing)]}


def _at_port(region: Region, balancer: Any, port: int) -> Listener | None:
    found = (one for one in listeners(region).values() if one.balancer is balancer and one.settings["Port"] == port)
    return next(found, None)


def _duplicate() -> AwsError:
    return AwsError("DuplicateListener", "A listener already exists on this port for this load balancer")


def _settings(region: Region, balancer: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Everything that a listener has, or the error that AWS refuses it with."""
    protocol, port = given.get("Protocol"), given.get("Port")
    if not protocol or not port:
        raise invalid("A protocol and a port must be specified")
    allowed = target_groups.NETWORK if balancer.kind == "network" else target_groups.APPLICATION
    if protocol not in allowed or not 1 <= port <= 65535:
        raise invalid(f"Protocol '{protocol}' at port '{port}' is not supported by load balancers of the type '{balancer.kind}'")
    if region.machines_connected and balancer.kind == "network" and protocol != "TCP":
        raise Unimplemented(f"listeners for {protocol} where there are machines: they carry TCP only, and have no certificates")
    actions = [_action(region, balancer, protocol, one) for one in given.get("DefaultActions") or []]
    if len(actions) != 1:
        raise invalid("Exactly one default action must be specified")
    settings = {"Port": port, "Protocol": protocol, "DefaultActions": actions, **_encryption(given)}
    return {**settings, "AlpnPolicy": given["AlpnPolicy"]} if given.get("AlpnPolicy") else settings


def _encryption(given: dict[str, Any]) -> dict[str, Any]:
    """One certificate, and a security policy."""
    certificates = [one.get("CertificateArn") or "" for one in given.get("Certificates") or []]
    policy = given.get("SslPolicy")
    if given["Protocol"] not in ENCRYPTED:
        if certificates or policy:
            raise invalid(f"Certificates and security policies are not for listeners of {given['Protocol']}")
        return {}
    if len(certificates) != 1:
        raise invalid(f"Exactly one certificate must be specified for listeners of {given['Protocol']}")
    if not CERTIFICATE.fullmatch(certificates[0]):
        raise invalid(f"Certificate ARN '{certificates[0]}' is not valid")
    if policy and not POLICY.fullmatch(policy):
        raise AwsError("SSLPolicyNotFound", f"SSL policy '{policy}' not found")
    return {"Certificates": [{"CertificateArn": certificates[0]}], "SslPolicy": policy or DEFAULT_POLICY}


def _action(region: Region, balancer: Any, protocol: str, given: dict[str, Any]) -> dict[str, Any]:
    """Forwards to target groups of the load balancer's VPC, of a protocol that fits, that no other load balancer uses."""
    if given.get("Type") != "forward":
        raise Unimplemented(f"listeners with the action {given.get('Type')}")
    alone, config = given.get("TargetGroupArn"), given.get("ForwardConfig") or {}
    wanted = config.get("TargetGroups") or ([{"TargetGroupArn": alone}] if alone else [])
    if not wanted or (alone and [one.get("TargetGroupArn") for one in wanted] != [alone]):
        raise invalid("A target group must be specified, the same one everywhere")
    if region.machines_connected and len(wanted) > 1:
        raise Unimplemented("listeners that forward to several target groups where there are machines")
    for one in wanted:
        group = elbv2.find(region, TARGETS, one.get("TargetGroupArn"))
        if group.settings["Protocol"] not in FORWARDED[protocol]:
            raise AwsError(
                "IncompatibleProtocols",
                f"Listener protocol '{protocol}' is not supported with a target group with the protocol "
                f"'{group.settings['Protocol']}'",
            )
        if group.vpc_id != balancer.vpc_id:
            raise AwsError("InvalidConfigurationRequest", f"Target group '{group.arn}' is not of the load balancer's VPC")
        if any(user is not balancer for user in target_groups.balancers(region, group)):
            raise AwsError(
                "TargetGroupAssociationLimit",
                f"The following target groups cannot be associated with more than one load balancer: {group.arn}",
            )
    single = {"TargetGroupArn": wanted[0]["TargetGroupArn"]} if len(wanted) == 1 else {}
    return {"Type": "forward", **single, "ForwardConfig": {**config, "TargetGroups": wanted}}


@action("elbv2", "ModifyListener")
def modify_listener(region: Region, params: Params) -> dict[str, Any]:
    """What the request doesn't name stays; without encryption there is no certificate any more (API_ModifyListener)."""
    listener = elbv2.find(region, LISTENER, params.get("ListenerArn"))
    changes = {name: params[name] for name in SETTINGS if params.get(name)}
    present = dict(listener.settings)
    if changes.get("Protocol", present["Protocol"]) not in ENCRYPTED:
        present = {name: value for name, value in present.items() if name not in ("Certificates", "SslPolicy", "AlpnPolicy")}
    settings = _settings(region, listener.balancer, {**present, **changes})
    if _at_port(region, listener.balancer, settings["Port"]) not in (None, listener):
        raise _duplicate()
    listener.settings = settings
    targets.everywhere(region)
    return {"Listeners": [describe(listener)]}


@action("elbv2", "DeleteListener")
def delete_listener(region: Region, params: Params) -> dict[str, Any]:
    """One that isn't there is an error, other than for load balancers and target groups (API_DeleteListener)."""
    del listeners(region)[elbv2.find(region, LISTENER, params.get("ListenerArn")).arn]
    targets.everywhere(region)
    return {}


@action("elbv2", "DescribeListeners")
def describe_listeners(region: Region, params: Params) -> dict[str, Any]:
    arn, arns = params.get("LoadBalancerArn"), params.get("ListenerArns")
    if bool(arn) == bool(arns):
        raise invalid("You must specify either listener ARNs or a load balancer ARN")
    found = elbv2.select(region, LISTENER, arns, None)
    if arn:
        balancer = elbv2.find(region, BALANCER, arn)
        found = [one for one in found if one.balancer is balancer]
    return elbv2.page("Listeners", [describe(one) for one in found], params)


def describe(listener: Listener) -> dict[str, Any]:
    """A listener in the form of DescribeListeners."""
    return {"ListenerArn": listener.arn, "LoadBalancerArn": listener.balancer.arn, **listener.settings}
