"""Egress-only Internet gateways: moto's, with the refusals and the client tokens that it lacks."""

from typing import Any

from . import ec2, tags
from .actions import action, check
from .errors import AwsError
from .filters import require_known
from .state import Region

GATEWAY = ec2.kind(
    "egress-only-internet-gateway",
    inventory=("egressOnlyInternetGateways", lambda region: region.ec2.egress_only_internet_gateways),
    id_prefix="eigw",
    taggable=lambda region: region.ec2.egress_only_internet_gateways,
    parameters=("EgressOnlyInternetGatewayId",),
    created_by=("CreateEgressOnlyInternetGateway",),
    not_found="InvalidGatewayID.NotFound",
    lists={"EgressOnlyInternetGateways": "EgressOnlyInternetGatewayId"},
    filters={"DescribeEgressOnlyInternetGateways": set()},
)


@action("ec2", "CreateEgressOnlyInternetGateway")
def create(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """A VPC has one at a time (VPC User Guide, "Amazon VPC quotas", on gateways)."""

    def make() -> dict[str, Any]:
        vpc = region.ec2.get_vpc(params.get("VpcId"))
        if any(one.vpc_id == vpc.id for one in region.ec2.egress_only_internet_gateways.values()):
            raise AwsError("InvalidParameterValue", f"Network {vpc.id} already has an egress-only internet gateway attached")
        made = region.ec2.create_egress_only_internet_gateway(vpc.id)
        given = tags.specified(params, "egress-only-internet-gateway")
        tags.apply(region, made.id, given)
        return {
            "EgressOnlyInternetGateway": {
                "EgressOnlyInternetGatewayId": made.id,
                "Attachments": made.attachments,
                "Tags": tags.described(region, made.id),
            }
        }

    return region.idempotent("CreateEgressOnlyInternetGateway", params, make)


@check("ec2", "DescribeEgressOnlyInternetGateways")
def check_describe(region: Region, params: dict[str, Any], action: str) -> None:
    """moto leaves out what isn't there."""
    wanted, there = params.get("EgressOnlyInternetGatewayIds"), region.ec2.egress_only_internet_gateways
    require_known(wanted, there, "InvalidGatewayID.NotFound", "egress only internet gateway")
