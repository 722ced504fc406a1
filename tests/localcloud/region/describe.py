"""moto's Describe actions of EC2.

Filters that it would ignore or trip over are refused, answers come in pages, and what can't be seen yet isn't in them.
"""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from .actions import check
from .errors import Unimplemented
from .filters import paginate
from .state import Region
from .visibility import VISIBILITY, names_ids

FILTERS = {
    "DescribeVpcs": {"vpc-id", "cidr", "cidr-block-association.cidr-block", "is-default", "state", "dhcp-options-id", "owner-id"},
    "DescribeSubnets": {"subnet-id", "vpc-id", "cidr-block", "availability-zone", "default-for-az", "state", "owner-id"},
    "DescribeInternetGateways": {"internet-gateway-id", "attachment.vpc-id", "attachment.state"},
    "DescribeRouteTables": {
        "route-table-id",
        "vpc-id",
        "association.main",
        "association.route-table-association-id",
        "association.route-table-id",
        "association.subnet-id",
        "route.destination-cidr-block",
        "route.gateway-id",
        "route.nat-gateway-id",
        "owner-id",
    },
    "DescribeSecurityGroups": {
        "group-id",
        "group-name",
        "vpc-id",
        "description",
        "owner-id",
        "ip-permission.group-id",
        "egress.ip-permission.group-id",
    },
    "DescribeKeyPairs": {"key-name", "key-pair-id", "fingerprint"},
    "DescribeAvailabilityZones": {"zone-id", "zone-name", "zone-type", "region-name", "state"},
    "DescribeInstanceTypeOfferings": {"instance-type", "location"},
}
OF_TAGS = ("tag-key", "tag:")


@check("ec2", *FILTERS)
def check_filters(region: Region, params: dict[str, Any], action: str) -> None:
    """moto ignores some unknown filters, and so answers too much."""
    for one in params.get("Filters") or []:
        if one["Name"] not in FILTERS[action] and not one["Name"].startswith(OF_TAGS):
            raise Unimplemented(f"the filter {one['Name']} of {action}")


def install() -> None:
    """Cuts moto's answers into the pages that MaxResults asks for; moto gives everything at once."""
    serialized = EC2BaseResponse.serialized

    def in_pages(self: Any, answer: ActionResult) -> Any:
        params = self.params if isinstance(self.params, dict) else {}
        if self._get_action().startswith("Describe"):
            answer = ActionResult(VISIBILITY.veil(answer.result, not names_ids(params)))
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
