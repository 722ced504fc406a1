"""Tags of Auto Scaling groups, which instances get at their launch where the tag says so."""

from typing import Any

from . import auto_scaling
from .actions import action
from .filters import matches
from .state import Region


def put(group: Any, given: list[dict[str, Any]]) -> None:
    """Puts tags on a group."""
    for tag in given:
        if tag["Key"].lower().startswith("aws:"):
            raise auto_scaling.invalid("Tag keys starting with 'aws:' are reserved for internal use")
        group.tags[tag["Key"]] = {"Value": tag.get("Value", ""), "PropagateAtLaunch": tag.get("PropagateAtLaunch", False)}


@action("autoscaling", "CreateOrUpdateTags")
def create_or_update_tags(region: Region, params: dict[str, Any]) -> None:
    """Instances that run already keep the tags they have (API_CreateOrUpdateTags)."""
    for tag in params.get("Tags") or []:
        put(auto_scaling.find(region, tag.get("ResourceId")), [tag])


@action("autoscaling", "DeleteTags")
def delete_tags(region: Region, params: dict[str, Any]) -> None:
    """A tag that is given with a value goes only where it has that value, as EC2's do."""
    for tag in params.get("Tags") or []:
        held = auto_scaling.find(region, tag.get("ResourceId")).tags
        if tag.get("Value") in (None, held.get(tag["Key"], {}).get("Value")):
            held.pop(tag["Key"], None)


def describe(group: Any) -> list[dict[str, Any]]:
    """A group's tags in the form of an API answer."""
    return [
        {"ResourceId": group.name, "ResourceType": "auto-scaling-group", "Key": key, **value}
        for key, value in sorted(group.tags.items())
    ]


@action("autoscaling", "DescribeTags")
def describe_tags(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    rows = [tag for group in auto_scaling.groups(region).values() for tag in describe(group)]
    values = {
        "auto-scaling-group": lambda tag: tag["ResourceId"],
        "key": lambda tag: tag["Key"],
        "value": lambda tag: tag["Value"],
        "propagate-at-launch": lambda tag: tag["PropagateAtLaunch"],
    }
    rows = [tag for tag in rows if matches(tag, params.get("Filters"), values, {}, "DescribeTags")]
    return auto_scaling.page("Tags", rows, params, 50)
