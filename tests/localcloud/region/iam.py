"""IAM: moto's, with what it lacks."""

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


@check("iam", "DeleteRole")
def check_delete_role(region: Region, params: dict[str, Any], action: str) -> None:
    """A role goes after its policies and profiles (API_DeleteRole: DeleteConflict)."""
    for role in region.iam.roles.values():
        if role.name == params.get("RoleName") and (role.policies or role.managed_policies):
            kind = "policies" if role.policies else "managed policies"
            raise AwsError("DeleteConflict", f"Cannot delete entity, must delete {kind} first.", 409)
