"""Gateway endpoints of S3: a VPC's own way there, by a route in each of its route tables.

Moto's, but for what it lets through: a second route to one service, client tokens, ids that there aren't, and route tables
that come and go later (AWS PrivateLink Guide, "Gateway endpoints"; API_CreateVpcEndpoint).
"""

from typing import Any

from . import ec2, tags
from .actions import action, check
from .errors import AwsError, Unimplemented, dependency_violation
from .state import Region

ENDPOINT = ec2.kind(
    "vpc-endpoint",
    inventory=("vpcEndpoints", lambda region: region.ec2.vpc_end_points),
    id_prefix="vpce",
    taggable=lambda region: region.ec2.vpc_end_points,
    parameters=("VpcEndpointId", "VpcEndpointIds"),
    created_by=("CreateVpcEndpoint",),
    not_found="InvalidVpcEndpointId.NotFound",
    lists={"VpcEndpoints": "VpcEndpointId"},
    filters={"DescribeVpcEndpoints": {"service-name", "vpc-id", "vpc-endpoint-id", "vpc-endpoint-state", "vpc-endpoint-type"}},
)


@action("ec2", "CreateVpcEndpoint")
def create_vpc_endpoint(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    if params.get("VpcEndpointType", "Gateway") != "Gateway":
        raise Unimplemented("VPC endpoints other than gateways")
    if params.get("ServiceName") != f"com.amazonaws.{region.name}.s3":
        raise AwsError("InvalidServiceName", f"The Vpc Endpoint Service '{params.get('ServiceName')}' does not exist")
    return region.idempotent("CreateVpcEndpoint", params, lambda: _create(region, params))


def _create(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    vpc, tables = params.get("VpcId"), params.get("RouteTableIds") or []
    for table in tables:
        _check_table(region, vpc, table)
    made = region.ec2.create_vpc_endpoint(vpc, params["ServiceName"], "Gateway", params.get("PolicyDocument"), list(tables))
    tags.apply(region, made.id, tags.specified(params, "vpc-endpoint"))
    described = {
        "VpcEndpointId": made.id,
        "VpcEndpointType": made.vpc_endpoint_type,
        "VpcId": made.vpc_id,
        "ServiceName": made.service_name,
        "State": made.state,
        "PolicyDocument": made.policy_document,
        "RouteTableIds": list(tables),
        "Tags": tags.described(region, made.id),
        "OwnerId": region.account,
    }
    return {"VpcEndpoint": described}


def _check_table(region: Region, vpc: str | None, table: str) -> None:
    """It must be the VPC's, and have no route to the service yet."""
    if region.ec2.get_route_table(table).vpc_id != vpc:
        raise AwsError("InvalidParameter", f"Route table {table} belongs to a different VPC than {vpc}")
    for other in region.ec2.vpc_end_points.values():
        if table in other.route_table_ids:
            raise AwsError(
                "RouteAlreadyExists",
                f"route table {table} already has a route with destination-prefix-list-id {other.destination_prefix_list_id}",
            )


@action("ec2", "ModifyVpcEndpoint")
def modify_vpc_endpoint(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    identifier = params.get("VpcEndpointId", "")
    if identifier not in region.ec2.vpc_end_points:
        raise AwsError("InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{identifier}' does not exist")
    endpoint = region.ec2.vpc_end_points[identifier]
    for table in params.get("AddRouteTableIds") or []:
        if table not in endpoint.route_table_ids:
            _check_table(region, endpoint.vpc_id, table)
            endpoint.route_table_ids.append(table)
            prefixes = endpoint.destination_prefix_list_id
            region.ec2.create_route(table, None, gateway_id=identifier, destination_prefix_list_id=prefixes)
    for table in params.get("RemoveRouteTableIds") or []:
        if table in endpoint.route_table_ids:
            _unroute(region, endpoint, table)
            endpoint.route_table_ids.remove(table)
    return {"Return": True}


def _unroute(region: Region, endpoint: Any, table: str) -> None:
    if table in region.ec2.route_tables:
        region.ec2.delete_route(table, endpoint.destination_prefix_list_id)


@action("ec2", "DeleteVpcEndpoints")
def delete_vpc_endpoints(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Succeeds whatever it could delete, and lists what it couldn't."""
    unsuccessful = []
    for identifier in params.get("VpcEndpointIds") or []:
        endpoint = region.ec2.vpc_end_points.pop(identifier, None)
        if endpoint:
            for table in endpoint.route_table_ids:
                _unroute(region, endpoint, table)
            tags.forget(region, identifier)
        else:
            missing = f"The Vpc Endpoint Id '{identifier}' does not exist"
            error = {"Code": "InvalidVpcEndpoint.NotFound", "Message": missing}
            unsuccessful.append({"ResourceId": identifier, "Error": error})
    return {"Unsuccessful": unsuccessful}


@check("ec2", "DeleteVpc")
def check_delete_vpc(region: Region, params: dict[str, Any], action: str) -> None:
    """A VPC with endpoints stays (VPC User Guide, "Delete your VPC")."""
    if any(one.vpc_id == params.get("VpcId") for one in region.ec2.vpc_end_points.values()):
        raise dependency_violation(f"The vpc '{params.get('VpcId')}' has dependencies and cannot be deleted.")
