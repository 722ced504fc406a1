"""IAM: moto's, with what it lacks."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from .actions import action, check
from .errors import AwsError
from .iam_requests import Need, action_of
from .protocol import Call
from .resources import Resource, resource
from .services import service
from .state import Region


def _needs(region: Region, call: Call) -> Iterator[Need]:
    """A request that names several things is about one of them (Service Authorization Reference, IAM): a profile's role,
    or the policy of a role, isn't what is authorized."""
    named = (kind.arn(region, name) for kind in (PROFILE, ROLE, USER) for name in kind.named(region, call.params))
    arns = (call.params.get(parameter) for parameter in ("OpenIDConnectProviderArn", "PolicyArn"))
    yield Need(action_of(call), next(named, None) or next(filter(None, arns), "*"))


def _unseen(kind: Resource, name: str) -> AwsError:
    return AwsError(kind.not_found or "", f"The entity with name {name} cannot be found.", 404)


def _arn(type: str) -> Callable[[Region, str], str]:
    return lambda region, name: f"arn:aws:iam::{region.account}:{type}/{name}"


service("iam", version="2010-05-08", of_the_world=True, needs=_needs, unseen=_unseen)
PROFILE = resource(
    "iam",
    "instance-profile",
    inventory=("instanceProfiles", lambda region: [profile.name for profile in region.iam.instance_profiles.values()]),
    parameters=("InstanceProfileName",),
    arn=_arn("instance-profile"),
    created_by=("CreateInstanceProfile",),
    name_parameter="InstanceProfileName",
    not_found="NoSuchEntity",
)
ROLE = resource(
    "iam",
    "role",
    inventory=("roles", lambda region: [role.name for role in region.iam.get_roles()]),
    parameters=("RoleName",),
    arn=_arn("role"),
    created_by=("CreateRole",),
    name_parameter="RoleName",
    not_found="NoSuchEntity",
)
USER = resource("iam", "user", parameters=("UserName",), arn=_arn("user"))


@action("iam", "ListInstanceProfileTags")
def list_instance_profile_tags(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    name = params.get("InstanceProfileName")
    for profile in region.iam.instance_profiles.values():
        if profile.name == name:
            held = profile.tags.values() if isinstance(profile.tags, dict) else profile.tags
            return {"Tags": list(held), "IsTruncated": False}
    raise AwsError("NoSuchEntity", f"Instance Profile {name} cannot be found.", 404)


INLINE_POLICY_LIMIT = 10240
NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
NAME_LIMITS = {"RoleName": 64, "InstanceProfileName": 128, "PolicyName": 128}


@check("iam", "CreateRole", "CreateInstanceProfile", "PutRolePolicy")
def check_names(region: Region, params: dict[str, Any], action: str) -> None:
    """64 characters for a role, 128 for the others, of a small alphabet (IAM User Guide, "IAM and STS quotas")."""
    for parameter, limit in NAME_LIMITS.items():
        value = params.get(parameter)
        if value is not None and (len(value) > limit or not NAME.fullmatch(value)):
            raise AwsError(
                "ValidationError", f"Value '{value}' at '{parameter}' failed to satisfy constraint: {limit} of {NAME.pattern}"
            )


@check("iam", "CreateRole", "UpdateAssumeRolePolicy")
def check_trust_policy(region: Region, params: dict[str, Any], action: str) -> None:
    """A trust policy is JSON with statements (API_CreateRole: MalformedPolicyDocument)."""
    document = params.get("AssumeRolePolicyDocument") or params.get("PolicyDocument") or ""
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError):
        statements = None
    if not statements:
        raise AwsError("MalformedPolicyDocument", "This policy contains invalid Json or no statements")


@check("iam", "PutRolePolicy")
def check_inline_policy_size(region: Region, params: dict[str, Any], action: str) -> None:
    """All inline policies of a role together have at most 10,240 characters, white space not counted."""
    for role in region.iam.roles.values():
        if role.name == params.get("RoleName"):
            together = {**role.policies, params.get("PolicyName"): params.get("PolicyDocument", "")}
            if sum(len(re.sub(r"\s", "", document)) for document in together.values()) > INLINE_POLICY_LIMIT:
                raise AwsError(
                    "LimitExceeded", f"Maximum policy size of {INLINE_POLICY_LIMIT} bytes exceeded for role {role.name}", 409
                )


@check("iam", "DeleteRole")
def check_delete_role(region: Region, params: dict[str, Any], action: str) -> None:
    """A role goes after its policies and profiles (API_DeleteRole: DeleteConflict)."""
    for role in region.iam.roles.values():
        if role.name == params.get("RoleName") and (role.policies or role.managed_policies):
            kind = "policies" if role.policies else "managed policies"
            raise AwsError("DeleteConflict", f"Cannot delete entity, must delete {kind} first.", 409)
