"""moto's Describe actions of EC2.

Filters that it would ignore or trip over are refused, answers come in pages, and what can't be seen yet isn't in them.
"""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import utils
from moto.ec2.responses._base_response import EC2BaseResponse

from .actions import check, patch
from .errors import Unimplemented
from .filters import paginate
from .resources import of_service
from .state import Region
from .visibility import VISIBILITY, names_ids

OF_TAGS = ("tag-key", "tag:")


@check("ec2")
def check_filters(region: Region, params: dict[str, Any], action: str) -> None:
    """moto ignores some unknown filters, and so answers too much."""
    known = [kind.filters[action] for kind in of_service("ec2") if action in kind.filters]
    for one in (params.get("Filters") or []) if known else []:
        if not any(one["Name"] in names for names in known) and not one["Name"].startswith(OF_TAGS):
            raise Unimplemented(f"the filter {one['Name']} of {action}")


@patch
def mend_tag_keys() -> None:
    """The values of a filter are alternatives (API_Filter). moto asks for all of several keys of tags."""
    matches = utils.is_filter_matching

    def is_filter_matching(item: Any, name: str, wanted: list[str]) -> bool:
        if name in ("tag-key", "tag-value"):
            return utils.tag_filter_matches(item, name, wanted)
        return matches(item, name, wanted)

    utils.is_filter_matching = is_filter_matching


@patch
def install() -> None:
    """Cuts moto's answers into the pages that MaxResults asks for; moto gives everything at once."""
    serialized = EC2BaseResponse.serialized

    def in_pages(self: Any, answer: ActionResult) -> Any:
        params = self.params if isinstance(self.params, dict) else {}
        if self._get_action().startswith("Describe"):
            answer = ActionResult(VISIBILITY.veil("ec2", answer.result, not names_ids(params)))
        if params.get("MaxResults") and self._get_action().startswith("Describe"):
            answer = ActionResult(_page(answer.result, params))
        return serialized(self, answer)

    EC2BaseResponse.serialized = in_pages


def _page(result: Any, params: dict[str, Any]) -> Any:
    """The page of the one list that a Describe answer consists of."""
    if not isinstance(result, dict) or result.get("NextToken"):
        return result
    names = [name for name, value in result.items() if isinstance(value, list)]
    return {**result, **paginate(names[0], result[names[0]], params)} if len(names) == 1 else result
