"""Elastic Load Balancing, as far as it is the same for load balancers, target groups and listeners: ARNs, tags, pages, IAM.

Facts are from the Elastic Load Balancing API Reference, version 2015-12-01 (API_<action>), and its User Guides.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from .actions import action
from .errors import AwsError
from .filters import paginate
from .iam_requests import Need, action_of, on_resource, request_tags
from .protocol import Call
from .resources import Resource, of_service, resource
from .services import service
from .state import Region
from .visibility import VISIBILITY

Params = dict[str, Any]
PAGE = 400
TAG_LIMIT = 50
DESCRIBED_AT_ONCE = 20
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
ID = "[0-9a-f]{16}"


def invalid(message: str) -> AwsError:
    """The answer to a request that doesn't make sense."""
    return AwsError("ValidationError", message)


def _unseen(kind: Resource, name: str) -> AwsError:
    return AwsError(kind.not_found or "", f"'{name}' not found")


def prefix(region: Region) -> str:
    """What all ARNs begin with."""
    return f"arn:aws:elasticloadbalancing:{region.name}:{region.account}:"


def new_id() -> str:
    """The end of an ARN."""
    return secrets.token_hex(8)


def _all(region: Region, type: str) -> dict[str, Any]:
    return region.kept(f"elbv2 {type}")


def kind(type: str, pattern: str, inventory: str, singular: str, created_by: str) -> Resource:
    """Declares a kind; what it is known by is its ARN, and each of it has `arn`, `name` and `tags`."""

    def tags(region: Region, arn: str) -> dict[str, str]:
        return _all(region, type)[arn].tags if arn in _all(region, type) else {}

    def context(region: Region, arn: str) -> dict[str, Any]:
        return {f"elasticloadbalancing:resourcetag/{key}".lower(): value for key, value in tags(region, arn).items()}

    return resource(
        "elbv2",
        type,
        inventory=(inventory, lambda region: [one.name for one in _all(region, type).values()]),
        parameters=(f"{singular}Arn", f"{singular}Arns"),
        arn=lambda region, arn: arn,
        tags=tags,
        context=context,
        created_by=(created_by,),
        id_pattern=re.compile(rf"arn:aws:elasticloadbalancing:[a-z0-9-]+:\d+:{type}/{pattern}(?![/\w])"),
        not_found=f"{singular}NotFound",
        lists={f"{singular}s": f"{singular}Arn"},
    )


BALANCER = kind("loadbalancer", f"(?:app|net)/[A-Za-z0-9-]+/{ID}", "loadBalancers", "LoadBalancer", "CreateLoadBalancer")
TARGETS = kind("targetgroup", f"[A-Za-z0-9-]+/{ID}", "targetGroups", "TargetGroup", "CreateTargetGroup")
LISTENER = kind("listener", f"(?:app|net)/[A-Za-z0-9-]+/{ID}/{ID}", "listeners", "Listener", "CreateListener")


def all_of(region: Region, of: Resource) -> dict[str, Any]:
    """Everything of a kind, by ARN."""
    return _all(region, of.type)


def find(region: Region, of: Resource, arn: str | None) -> Any:
    """The one with an ARN."""
    if not of.id_pattern.fullmatch(arn or ""):
        raise invalid(f"'{arn}' is not a valid {of.type} ARN")
    if arn not in all_of(region, of):
        raise _unseen(of, arn or "")
    return all_of(region, of)[arn]


def select(region: Region, of: Resource, arns: Iterable[str] | None, names: Iterable[str] | None) -> list[Any]:
    """Those with these ARNs or names, all of which there must be; everything without any."""
    if arns:
        return [find(region, of, arn) for arn in dict.fromkeys(arns)]
    if not names:
        return list(all_of(region, of).values())
    found = [one for one in all_of(region, of).values() if one.name in names and not VISIBILITY.hides(of, one.arn)]
    if missing := set(names) - {one.name for one in found}:
        raise _unseen(of, ", ".join(sorted(missing)))
    return found


def check_name(name: str, kind_name: str) -> None:
    """API_CreateLoadBalancer, API_CreateTargetGroup: 32 letters, digits and hyphens, no hyphen at either end."""
    if len(name) > 32:
        raise invalid(f"{kind_name} name '{name}' cannot be longer than '32' characters")
    if not NAME.fullmatch(name):
        raise invalid(f"{kind_name} name '{name}' must contain only characters that are alphanumeric or hyphens(-)")
    if name.startswith("internal-"):
        raise invalid(f"{kind_name} name '{name}' cannot begin with 'internal-'")


def page(name: str, rows: list[Any], params: Params) -> dict[str, Any]:
    """One page of an answer, with the marker that leads to the next."""
    size = params.get("PageSize") or PAGE
    if not 1 <= size <= PAGE:
        raise invalid(f"Page size '{size}' must be between 1 and {PAGE}")
    try:
        answer = paginate(name, rows, {"MaxResults": size, "NextToken": params.get("Marker")})
    except AwsError:
        raise invalid(f"The marker '{params.get('Marker')}' is not valid") from None
    return {name: answer[name], "NextMarker": answer.get("NextToken")}


def given_tags(params: Params) -> dict[str, str]:
    """The tags that a request gives."""
    tags = params.get("Tags") or []
    keys = [tag["Key"] for tag in tags]
    if len(keys) > len(set(keys)):
        raise AwsError("DuplicateTagKeys", "A tag key was specified more than once.")
    for tag in tags:
        check_tag(tag["Key"], tag.get("Value") or "")
    if len(keys) > TAG_LIMIT:
        raise AwsError("TooManyTags", f"The limit of {TAG_LIMIT} tags per resource is exceeded.")
    return {tag["Key"]: tag.get("Value") or "" for tag in tags}


def check_tag(key: str, value: str) -> None:
    """API_Tag; the prefix `aws:` is AWS's own."""
    if key.lower().startswith("aws:") or not 1 <= len(key) <= 128 or len(value) > 256:
        raise invalid(f"The tag '{key}' is not valid: a key has 1 to 128 characters and no prefix 'aws:', a value at most 256")


def _tagged(region: Region, arn: str) -> Any:
    for one in (BALANCER, TARGETS, LISTENER):
        if one.id_pattern.fullmatch(arn):
            return find(region, one, arn)
    raise invalid(f"'{arn}' is not a valid resource ARN")


@action("elbv2", "AddTags")
def add_tags(region: Region, params: Params) -> dict[str, Any]:
    """All of them or none (API_AddTags)."""
    new, found = given_tags(params), [_tagged(region, arn) for arn in params.get("ResourceArns") or []]
    if any(len({**one.tags, **new}) > TAG_LIMIT for one in found):
        raise AwsError("TooManyTags", f"The limit of {TAG_LIMIT} tags per resource is exceeded.")
    for one in found:
        one.tags.update(new)
    return {}


@action("elbv2", "RemoveTags")
def remove_tags(region: Region, params: Params) -> dict[str, Any]:
    for one in [_tagged(region, arn) for arn in params.get("ResourceArns") or []]:
        for key in params.get("TagKeys") or []:
            one.tags.pop(key, None)
    return {}


@action("elbv2", "DescribeTags")
def describe_tags(region: Region, params: Params) -> dict[str, Any]:
    """At most twenty resources per request (API_DescribeTags, ResourceArns)."""
    arns = params.get("ResourceArns") or []
    if not 1 <= len(arns) <= DESCRIBED_AT_ONCE:
        raise invalid(f"The number of resource ARNs must be between 1 and {DESCRIBED_AT_ONCE}")
    found = [_tagged(region, arn) for arn in arns]
    rows = [{"ResourceArn": one.arn, "Tags": [{"Key": k, "Value": v} for k, v in one.tags.items()]} for one in found]
    return {"TagDescriptions": rows}


def described_attributes(attributes: dict[str, str]) -> dict[str, Any]:
    """Attributes in the form of an API answer."""
    return {"Attributes": [{"Key": key, "Value": value} for key, value in attributes.items()]}


def changed_attributes(present: dict[str, str], params: Params) -> dict[str, str]:
    """The attributes that a request changes; `present` are all that there are."""
    changes = {one.get("Key", ""): one.get("Value") or "" for one in params.get("Attributes") or []}
    for key, value in changes.items():
        if key not in present:
            raise invalid(f"Attribute key '{key}' is not recognized")
        if present[key] in ("true", "false") and value not in ("true", "false"):
            raise invalid(f"The value '{value}' of the attribute '{key}' must be 'true' or 'false'")
    return changes


def _needs(region: Region, call: Call) -> Iterator[Need]:
    """Reads are authorized as a whole, the rest on what is named; a creation on what it will be, and its tags for themselves
    (Service Authorization Reference, Elastic Load Balancing V2)."""
    name, params, context = action_of(call), call.params, request_tags(call.params)
    if not call.mutating:
        yield Need(name, "*", context)
        return
    created = _created_arn(region, call)
    named = [(one, arn) for one in of_service("elbv2") for arn in one.named(region, params)]
    if call.action in ("AddTags", "RemoveTags"):
        arns = params.get("ResourceArns") or []
        named = [(one, arn) for arn in arns for one in of_service("elbv2") if one.id_pattern.fullmatch(arn)]
    for one, arn in named:
        yield on_resource(region, name, one, arn, context)
    if created and not named:
        yield Need(name, created, context)
    if created and params.get("Tags"):
        creation = {"elasticloadbalancing:createaction": call.action}
        yield Need("elasticloadbalancing:AddTags", created, {**context, **creation})
    if not created and not named:
        yield Need(name, "*", context)


def _created_arn(region: Region, call: Call) -> str | None:
    """The ARN of what a request makes, as far as it is known before."""
    params = call.params
    if call.action == "CreateLoadBalancer":
        word = "net" if params.get("Type") == "network" else "app"
        return f"{prefix(region)}loadbalancer/{word}/{params.get('Name')}/*"
    if call.action == "CreateTargetGroup":
        return f"{prefix(region)}targetgroup/{params.get('Name')}/*"
    if call.action == "CreateListener":
        return (params.get("LoadBalancerArn") or "").replace(":loadbalancer/", ":listener/") + "/*"
    return None


service(
    "elbv2",
    version="2015-12-01",
    signing_name="elasticloadbalancing",
    iam_prefix="elasticloadbalancing",
    regional=True,
    of_the_world=True,
    whole=True,
    needs=_needs,
    unseen=_unseen,
)
