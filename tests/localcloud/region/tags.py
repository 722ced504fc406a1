"""Tags of EC2 resources. They stay in moto's collection; looking one resource's up costs one step."""

from typing import Any

from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from .actions import action, patch
from .errors import AwsError
from .filters import matches, paginate
from .resources import of_id
from .state import Region

Tags = dict[str, str]
LIMIT = 50


@patch
def install() -> None:
    """Makes moto's own look-up of a resource's tags O(1): it scans all tags of the account."""

    def get_tags(self: Any) -> list[dict[str, str]]:
        kind = type_of(self.id) if self.id else ""
        tags = self.ec2_backend.tags.get(self.id, {})
        return [{"resource_id": self.id, "key": k, "value": v, "resource_type": kind} for k, v in tags.items()]

    TaggedEC2Resource.get_tags = get_tags


def of(region: Region, resource_id: str) -> Tags:
    """The tags of a resource."""
    return region.ec2.tags.get(resource_id, {})


def described(region: Region, resource_id: str) -> list[dict[str, str]]:
    """The tags of a resource in the form of an API answer."""
    return [{"Key": key, "Value": value} for key, value in sorted(of(region, resource_id).items())]


def specified(params: dict[str, Any], resource_type: str) -> Tags:
    """The tags that a request's TagSpecifications give to one type of resource."""
    return {
        tag["Key"]: tag.get("Value", "")
        for specification in params.get("TagSpecifications") or []
        if specification.get("ResourceType") == resource_type
        for tag in specification.get("Tags") or []
    }


def apply(region: Region, resource_id: str, tags: Tags, by_aws: bool = False) -> None:
    """Puts tags on a resource; `by_aws` allows the prefix that is reserved to AWS."""
    if not by_aws and any(key.lower().startswith("aws:") for key in tags):
        raise AwsError("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
    together = {**of(region, resource_id), **tags}
    if sum(not key.startswith("aws:") for key in together) > LIMIT:
        raise AwsError("TagLimitExceeded", f"More than {LIMIT} tags on {resource_id}")
    if together:
        region.ec2.tags[resource_id] = together


def forget(region: Region, resource_id: str) -> None:
    """Drops the tags of a resource that is gone."""
    region.ec2.tags.pop(resource_id, None)


def type_of(resource_id: str) -> str:
    """The type that an id's prefix tells, as TagSpecifications name it: a declared kind's, or one of moto's own."""
    kind = of_id(resource_id)
    return kind.type if kind else EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource_id), "unknown")


def _require(region: Region, resource_id: str) -> None:
    kind = of_id(resource_id)
    if kind and kind.taggable:
        exists = resource_id in kind.taggable(region)
    else:
        exists = type_of(resource_id) != "unknown" and region.ec2.do_resources_exist([resource_id])
    if not exists:
        raise AwsError("InvalidID", f"The ID '{resource_id}' is not valid")


@action("ec2", "CreateTags")
def create_tags(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    for resource_id in params.get("Resources") or []:
        _require(region, resource_id)
    for resource_id in params.get("Resources") or []:
        apply(region, resource_id, {tag["Key"]: tag.get("Value", "") for tag in params.get("Tags") or []})
    return {}


@action("ec2", "DeleteTags")
def delete_tags(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Without tags all are removed; with a value only a tag that has it (API_DeleteTags)."""
    for resource_id in params.get("Resources") or []:
        tags = region.ec2.tags.get(resource_id, {})
        wanted = params.get("Tags") or [{"Key": key} for key in list(tags) if not key.startswith("aws:")]
        for tag in wanted:
            if "Value" not in tag or tags.get(tag["Key"]) == tag["Value"]:
                tags.pop(tag["Key"], None)
    return {}


@action("ec2", "DescribeTags")
def describe_tags(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {"ResourceId": resource, "ResourceType": type_of(resource), "Key": k, "Value": v}
        for resource, tags in list(region.ec2.tags.items())
        for k, v in tags.items()
    ]
    values = {
        "key": lambda row: row["Key"],
        "value": lambda row: row["Value"],
        "resource-id": lambda row: row["ResourceId"],
        "resource-type": lambda row: row["ResourceType"],
    }
    wanted = params.get("Filters") or []
    tag_filters = [f for f in wanted if f["Name"].startswith("tag:")]
    plain = [f for f in wanted if f not in tag_filters]
    for item in tag_filters:
        rows = [row for row in rows if row["Key"] == item["Name"][4:]]
        plain = [*plain, {"Name": "value", "Values": item["Values"]}]
    rows = [row for row in rows if matches(row, plain, values, {}, "DescribeTags")]
    return paginate("Tags", rows, params)
