"""Who asks, and whether they may.

The operator's key pair is `operator` and `operator-secret`: an administrator. Every other known key is a role's
temporary one. Without enforcement every request passes, and an unknown key is taken for the operator's.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .errors import AwsError
from .iam_requests import Need, needs
from .machines import find_role
from .policy import ALLOW, DENY, Question, decide
from .protocol import Call
from .s3 import check_lists, is_closed, list_need, shown_to_everybody
from .signature import verify
from .state import Region, Session, now

OPERATOR_KEY, OPERATOR_SECRET = "operator", "operator-secret"
ADMINISTRATOR = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
FREE_FOR_ALL = {("sts", "GetCallerIdentity")}


@dataclass
class Caller:
    """The principal behind a request."""

    name: str
    arn: str
    user_id: str
    policies: list[str]
    context: dict[str, Any]
    arns: list[str]


def authorize(region: Region, call: Call) -> None:
    """Finds out who asks; where it is enforced also whether they may. Fails with the service's own refusal."""
    session = region.sessions.get(call.access_key or "")
    if region.enforce_authentication or (call.service == "sts" and session):
        _authenticate(call, session)
    caller = _caller(region, call, session)
    call.principal, region.caller = caller.name, caller
    if call.service == "s3":
        check_lists(region, call)
        if call.access_key is None and "AWSAccessKeyId" not in call.query:
            _authorize_nobody(region, call, caller)
            return
    if region.enforce_authentication and (call.service, call.action) not in FREE_FOR_ALL:
        for need in needs(region, call):
            if not _allowed(region, caller, need):
                raise _denied(call, caller, need)
    if call.service == "s3" and call.headers.get("x-amz-expected-bucket-owner", region.account) != region.account:
        # All buckets of the region are one account's ("Verifying bucket ownership with bucket owner condition").
        raise AwsError("AccessDenied", "Access Denied", 403)


def _authorize_nobody(region: Region, call: Call, caller: Caller) -> None:
    """Who has no credentials may do what a bucket's policy or an object's list lets everybody do, whether or not others'
    requests are held to their policies."""
    by_policy = not is_closed(region, call) and all(_allowed(region, caller, need) for need in needs(region, call))
    if not by_policy and not shown_to_everybody(region, call):
        raise AwsError("AccessDenied", "Access Denied", 403)


def conceal_absence(region: Region, call: Call) -> None:
    """Who may not list a bucket isn't told that an object is absent: AccessDenied (API_GetObject, API_HeadObject)."""
    wanted = call.service == "s3" and call.action in ("GetObject", "HeadObject")
    if wanted and region.enforce_authentication and not _allowed(region, region.caller, list_need(region, call)):
        raise AwsError("AccessDenied", "Access Denied", 403)


def _authenticate(call: Call, session: Session | None) -> None:
    if call.access_key is None:
        if call.service == "s3":
            return
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    if session is None and call.access_key != OPERATOR_KEY:
        raise _unknown_key(call)
    verify(call, session.secret_key if session else OPERATOR_SECRET)
    if session is None:
        return
    token = call.headers.get("x-amz-security-token") or call.query.get("X-Amz-Security-Token")
    if token != session.token:
        raise _unknown_key(call)
    if session.expires <= now():
        if call.protocol == "ec2":
            raise AwsError("RequestExpired", "Request has expired.", 400)
        raise AwsError("ExpiredToken", "The provided token has expired.", 400 if call.service == "s3" else 403)


def _unknown_key(call: Call) -> AwsError:
    if call.protocol == "ec2":
        return AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if call.service == "s3":
        message = "The AWS Access Key Id you provided does not exist in our records."
        return AwsError("InvalidAccessKeyId", message, 403)
    return AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)


def _caller(region: Region, call: Call, session: Session | None) -> Caller:
    account = f"arn:aws:iam::{region.account}:root"
    if call.access_key is None:
        return Caller("anonymous", "anonymous", "anonymous", [], {}, ["*"])
    if session is None:
        arn = f"arn:aws:iam::{region.account}:user/{OPERATOR_KEY}"
        context = {"aws:principaltype": "User", "aws:username": OPERATOR_KEY, "aws:userid": "AIDAOPERATOR"}
        return Caller(call.access_key, arn, "AIDAOPERATOR", [ADMINISTRATOR], context, [arn, account, region.account])
    role = find_role(region, session)
    arn = f"arn:aws:sts::{region.account}:assumed-role/{role.name}/{session.session_name}"
    user_id = f"{role.id}:{session.session_name}"
    context = {"aws:principaltype": "AssumedRole", "aws:userid": user_id}
    for tag in _role_tags(role):
        context[f"aws:principaltag/{tag['Key']}".lower()] = tag["Value"]
    if session.session_name in region.instances:
        context["ec2:sourceinstancearn"] = f"arn:aws:ec2:{region.name}:{region.account}:instance/{session.session_name}"
    policies = [*role.policies.values(), *(_managed_document(policy) for policy in role.managed_policies.values())]
    return Caller(
        f"{role.name}/{session.session_name}", arn, user_id, policies, context, [arn, role.arn, account, region.account]
    )


def _role_tags(role: Any) -> list[dict[str, str]]:
    held = role.tags
    return list(held.values()) if isinstance(held, dict) else list(held or [])


def _managed_document(policy: Any) -> str:
    return next(version.document for version in policy.versions if version.is_default)


def _allowed(region: Region, caller: Caller, need: Need) -> bool:
    """Identity policies and the resource's own together: a denial in either, else an allowance in either."""
    context = {
        "aws:principalarn": caller.arns[1] if caller.arn.startswith("arn:aws:sts") else caller.arn,
        "aws:principalaccount": region.account,
        "aws:requestedregion": region.name,
        # The region speaks HTTP where AWS's endpoint speaks TLS.
        "aws:securetransport": "true",
        "aws:sourceip": "127.0.0.1",
        "aws:currenttime": datetime.now().astimezone().isoformat(),
        **caller.context,
        **{key: value for key, value in need.context.items() if value is not None},
    }
    question = Question(need.action, need.resource, caller.arns, context)
    decisions = [decide(caller.policies, question), decide(need.policies, question)]
    return DENY not in decisions and ALLOW in decisions


def _denied(call: Call, caller: Caller, need: Need) -> AwsError:
    why = f"User: {caller.arn} is not authorized to perform: {need.action} on resource: {need.resource}"
    if call.protocol == "ec2":
        return AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {why}", 403)
    return AwsError("AccessDenied", why, 403)
