"""IAM: moto's, with what it lacks."""

import json
import re
from typing import Any

from .actions import action, check
from .errors import AwsError
from .state import Region


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
