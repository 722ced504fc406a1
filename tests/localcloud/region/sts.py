"""Who am I, and role credentials."""

from datetime import timedelta
from typing import Any

from .actions import action
from .errors import AwsError
from .machines import describe_session, open_session
from .services import service
from .state import Region

service("sts", version="2011-06-15", whole=True)


@action("sts", "GetCallerIdentity")
def get_caller_identity(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """No permission is needed for it (API_GetCallerIdentity)."""
    return {"UserId": region.caller.user_id, "Account": region.account, "Arn": region.caller.arn}


@action("sts", "AssumeRole")
def assume_role(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The role must exist (API_AssumeRole)."""
    name = params.get("RoleArn", "").rsplit("/", 1)[-1]
    role = next((role for role in region.iam.roles.values() if role.name == name and role.arn == params["RoleArn"]), None)
    if role is None:
        raise AwsError("AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {params.get('RoleArn')}", 403)
    session_name = params.get("RoleSessionName", "")
    session = open_session(region, role, session_name, timedelta(seconds=params.get("DurationSeconds") or 3600))
    described = describe_session(session)
    return {
        "Credentials": {
            "AccessKeyId": described["AccessKeyId"],
            "SecretAccessKey": described["SecretAccessKey"],
            "SessionToken": described["Token"],
            "Expiration": session.expires,
        },
        "AssumedRoleUser": {
            "AssumedRoleId": f"{role.id}:{session_name}",
            "Arn": f"arn:aws:sts::{region.account}:assumed-role/{role.name}/{session_name}",
        },
    }
