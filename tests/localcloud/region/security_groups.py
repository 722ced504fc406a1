"""Rules of security groups; the groups themselves are moto's."""

from ipaddress import ip_network
from typing import Any

from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule

from . import ec2, load_balancers, tags
from .actions import action, patch
from .errors import AwsError, dependency_violation
from .filters import matches, paginate, require_known
from .state import Region

LIMIT = 60
PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}
WITH_PORTS = ("tcp", "udp", "icmp", "icmpv6")
Rule = dict[str, Any]


GROUP = ec2.kind(
    "security-group",
    inventory=("securityGroups", lambda region: [name for groups in region.ec2.groups.values() for name in groups]),
    id_prefix="sg",
    parameters=("GroupId",),
    created_by=("CreateSecurityGroup",),
    not_found="InvalidGroup.NotFound",
    lists={"SecurityGroups": "GroupId"},
    filters={
        "DescribeSecurityGroups": {
            "group-id",
            "group-name",
            "vpc-id",
            "description",
            "owner-id",
            "ip-permission.group-id",
            "egress.ip-permission.group-id",
        }
    },
)
RULE = ec2.kind("security-group-rule", id_prefix="sgr")


@patch
def install() -> None:
    """Patches moto: the description of a rule for a prefix list is part of DescribeSecurityGroups' answer, too."""
    flattened = SecurityGroup._flattened_rules

    def with_descriptions(self: Any, rules: list[SecurityGroupRule]) -> Any:
        views = flattened(self, rules)
        for view in views:
            for item in view.prefix_list_ids:
                known = [rule for rule in rules if _identity(rule)[:3] == (view.ip_protocol, view.from_port, view.to_port)]
                said = [rule.prefix_list_description for rule in known if rule.prefix_list_id == item["PrefixListId"]]
                if said and said[0]:
                    item["Description"] = said[0]
        return views

    SecurityGroup._flattened_rules = with_descriptions


def _find(region: Region, params: dict[str, Any]) -> Any:
    group_id, name = params.get("GroupId"), params.get("GroupName")
    if not group_id:
        raise AwsError(
            "MissingParameter", f"The request must contain the parameter GroupId (the group name {name} is for default VPCs)"
        )
    group = region.ec2.get_security_group_from_id(group_id)
    if group is None:
        raise AwsError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    return group


def _all(region: Region) -> list[Any]:
    return [group for vpc in region.ec2.groups.values() for group in vpc.values()]


def _permissions(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The request's permissions; the short form with one CIDR counts as one."""
    if params.get("IpPermissions"):
        return params["IpPermissions"]
    permission = {name: params[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in params}
    if "CidrIp" in params:
        permission["IpRanges"] = [{"CidrIp": params["CidrIp"]}]
    return [permission] if permission else []


def _expand(region: Region, params: dict[str, Any]) -> list[Rule]:
    """One rule per source of each permission, in canonical form."""
    rules = []
    for permission in _permissions(params):
        protocol = str(permission.get("IpProtocol", "")).lower()
        protocol = PROTOCOLS.get(protocol, protocol)
        first, last = permission.get("FromPort"), permission.get("ToPort")
        if protocol not in WITH_PORTS:
            first = last = None if protocol == "-1" else -1
        elif first is None or last is None:
            raise AwsError(
                "InvalidParameterValue", f"Invalid value 'Must specify both from and to ports with {protocol.upper()}'."
            )
        common = {"protocol": protocol, "from": first, "to": last}
        rules += [{**common, "range": _canonical(item, "CidrIp")} for item in permission.get("IpRanges") or []]
        rules += [{**common, "range": _canonical(item, "CidrIpv6")} for item in permission.get("Ipv6Ranges") or []]
        rules += [{**common, "group": _pair(region, item)} for item in permission.get("UserIdGroupPairs") or []]
        rules += [{**common, "prefix_list": item} for item in permission.get("PrefixListIds") or []]
    if not rules:
        raise AwsError("MissingParameter", "The request must contain the parameter ipPermissions")
    return rules


def _canonical(item: dict[str, str], key: str) -> dict[str, str]:
    """A CIDR block with host bits is taken as its network (API_IpRange)."""
    try:
        return {**item, key: str(ip_network(item[key], strict=False))}
    except (KeyError, ValueError):
        raise AwsError("InvalidParameterValue", f"CIDR block {item.get(key)} is malformed") from None


def _pair(region: Region, item: dict[str, str]) -> dict[str, str]:
    if region.ec2.get_security_group_from_id(item.get("GroupId", "")) is None:
        raise AwsError("InvalidGroup.NotFound", f"The security group '{item.get('GroupId')}' does not exist")
    described = {"GroupId": item["GroupId"], "UserId": region.account}
    return {**described, "Description": item["Description"]} if item.get("Description") else described


def _identity(rule: SecurityGroupRule) -> tuple[Any, ...]:
    source = (rule.ip_range.get("CidrIp"), rule.ip_range.get("CidrIpv6"), rule.source_group.get("GroupId"), rule.prefix_list_id)
    return (rule.ip_protocol, rule.from_port, rule.to_port, *source)


def _make(region: Region, group: Any, rule: Rule, egress: bool) -> SecurityGroupRule:
    made = SecurityGroupRule(
        region.ec2,
        rule["protocol"],
        group.id,
        rule["from"],
        rule["to"],
        rule.get("range"),
        rule.get("group"),
        rule.get("prefix_list"),
        is_egress=egress,
    )
    made.prefix_list_description = (rule.get("prefix_list") or {}).get("Description")
    return made


def _authorize(region: Region, params: dict[str, Any], egress: bool) -> dict[str, Any]:
    """All rules or none: one that exists already refuses the whole request (API_AuthorizeSecurityGroupIngress)."""
    group = _find(region, params)
    existing = group.egress_rules if egress else group.ingress_rules
    added = [_make(region, group, rule, egress) for rule in _expand(region, params)]
    identities = [_identity(rule) for rule in added]
    known = {_identity(rule) for rule in existing}
    if len(set(identities)) < len(identities):
        raise AwsError("InvalidParameterValue", "The same permission must not appear multiple times")
    if duplicates := [identity for identity in identities if identity in known]:
        raise AwsError("InvalidPermission.Duplicate", f'the specified rule "{duplicates[0]}" already exists')
    if len(existing) + len(added) > LIMIT:
        raise AwsError("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
    for rule in added:
        tags.apply(region, rule.id, tags.specified(params, "security-group-rule"))
    existing.extend(added)
    return {"Return": True, "SecurityGroupRules": [_describe(region, rule) for rule in added]}


def _revoke(region: Region, params: dict[str, Any], egress: bool) -> dict[str, Any]:
    """By rule ids or by permissions; what doesn't exist is an error (API_RevokeSecurityGroupIngress)."""
    group = _find(region, params)
    existing = group.egress_rules if egress else group.ingress_rules
    if ids := params.get("SecurityGroupRuleIds"):
        gone = [rule for rule in existing if rule.id in ids]
        if len(gone) < len(set(ids)):
            raise AwsError("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{ids}' does not exist")
    else:
        wanted = {_identity(_make(region, group, rule, egress)) for rule in _expand(region, params)}
        gone = [rule for rule in existing if _identity(rule) in wanted]
        if len(gone) < len(wanted):
            raise AwsError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
    for rule in gone:
        existing.remove(rule)
        tags.forget(region, rule.id)
    return {"Return": True}


@action("ec2", "AuthorizeSecurityGroupIngress")
def authorize_security_group_ingress(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    return _authorize(region, params, egress=False)


@action("ec2", "AuthorizeSecurityGroupEgress")
def authorize_security_group_egress(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    return _authorize(region, params, egress=True)


@action("ec2", "RevokeSecurityGroupIngress")
def revoke_security_group_ingress(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    return _revoke(region, params, egress=False)


@action("ec2", "RevokeSecurityGroupEgress")
def revoke_security_group_egress(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    return _revoke(region, params, egress=True)


def _describe_rules(region: Region, params: dict[str, Any], egress: bool) -> dict[str, Any]:
    """Sets the descriptions of rules that are there (API_UpdateSecurityGroupRuleDescriptionsIngress)."""
    group = _find(region, params)
    existing = {_identity(rule): rule for rule in (group.egress_rules if egress else group.ingress_rules)}
    wanted = [_make(region, group, rule, egress) for rule in _expand(region, params)]
    if missing := [rule for rule in wanted if _identity(rule) not in existing]:
        raise AwsError("InvalidPermission.NotFound", f"The specified rule {_identity(missing[0])} does not exist.")
    for rule in wanted:
        tags.forget(region, rule.id)
        known = existing[_identity(rule)]
        known.ip_range, known.source_group = rule.ip_range, rule.source_group
        known.prefix_list_description = rule.prefix_list_description
    return {"Return": True}


@action("ec2", "UpdateSecurityGroupRuleDescriptionsIngress")
def update_descriptions_ingress(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    return _describe_rules(region, params, egress=False)


@action("ec2", "UpdateSecurityGroupRuleDescriptionsEgress")
def update_descriptions_egress(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    return _describe_rules(region, params, egress=True)


@action("ec2", "ModifySecurityGroupRules")
def modify_security_group_rules(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Replaces rules in place: the id stays, everything else is as the request says (API_ModifySecurityGroupRules)."""
    group = _find(region, params)
    for update in params.get("SecurityGroupRules") or []:
        rule = group.get_rule(update.get("SecurityGroupRuleId"))
        if rule is None:
            raise AwsError(
                "InvalidSecurityGroupRuleId.NotFound", f"The rule ID '{update.get('SecurityGroupRuleId')}' does not exist"
            )
        wanted = update.get("SecurityGroupRule") or {}
        permission = {name: wanted[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in wanted}
        permission |= _sources(wanted)
        replacement = _make(region, group, _expand(region, {"IpPermissions": [permission]})[0], rule.is_egress)
        tags.forget(region, replacement.id)
        replacement.id = rule.id
        rules = group.egress_rules if rule.is_egress else group.ingress_rules
        rules[[one.id for one in rules].index(rule.id)] = replacement
    return {"Return": True}


def _sources(wanted: dict[str, Any]) -> dict[str, Any]:
    described = {"Description": wanted["Description"]} if wanted.get("Description") else {}
    if "CidrIpv4" in wanted:
        return {"IpRanges": [{"CidrIp": wanted["CidrIpv4"], **described}]}
    if "CidrIpv6" in wanted:
        return {"Ipv6Ranges": [{"CidrIpv6": wanted["CidrIpv6"], **described}]}
    if "ReferencedGroupId" in wanted:
        return {"UserIdGroupPairs": [{"GroupId": wanted["ReferencedGroupId"], **described}]}
    return {"PrefixListIds": [{"PrefixListId": wanted.get("PrefixListId"), **described}]}


@action("ec2", "DeleteSecurityGroup")
def delete_security_group(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Not the default one, nor one that an interface or another group's rule uses (API_DeleteSecurityGroup)."""
    group = _find(region, params)
    if group.name == "default":
        raise AwsError("CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user')
    used = any(group in interface.groups for interface in region.ec2.enis.values()) or load_balancers.use_group(region, group.id)
    referenced = any(
        rule.source_group.get("GroupId") == group.id
        for other in _all(region)
        if other is not group
        for rule in [*other.ingress_rules, *other.egress_rules]
    )
    if used or referenced:
        raise dependency_violation(f"resource {group.id} has a dependent object")
    for rule in [*group.ingress_rules, *group.egress_rules]:
        tags.forget(region, rule.id)
    region.ec2.delete_security_group(group_id=group.id)
    return {"Return": True, "GroupId": group.id}


FILTERS = {"group-id": lambda rule: rule.group_id, "security-group-rule-id": lambda rule: rule.id}


@action("ec2", "DescribeSecurityGroupRules")
def describe_security_group_rules(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    rules = {rule.id: rule for group in _all(region) for rule in [*group.egress_rules, *group.ingress_rules]}
    wanted = params.get("SecurityGroupRuleIds")
    require_known(wanted, rules, "InvalidSecurityGroupRuleId.NotFound", "security group rule")
    rows = [
        _describe(region, rule)
        for rule in rules.values()
        if (not wanted or rule.id in wanted)
        and matches(rule, params.get("Filters"), FILTERS, tags.of(region, rule.id), "DescribeSecurityGroupRules")
    ]
    return paginate("SecurityGroupRules", rows, params)


def _describe(region: Region, rule: SecurityGroupRule) -> dict[str, Any]:
    described = rule.ip_range.get("Description") or rule.source_group.get("Description")
    row = {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "GroupOwnerId": region.account,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.ip_protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "CidrIpv4": rule.ip_range.get("CidrIp"),
        "CidrIpv6": rule.ip_range.get("CidrIpv6"),
        "PrefixListId": rule.prefix_list_id,
        "Description": described or getattr(rule, "prefix_list_description", None),
        "Tags": tags.described(region, rule.id),
    }
    if rule.source_group:
        row["ReferencedGroupInfo"] = {"GroupId": rule.source_group["GroupId"], "UserId": region.account}
    return row
