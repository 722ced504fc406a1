"""Endpoints of a VPC: S3's gateways, by a route in each of its route tables, and interfaces, by an address in each of their
subnets.

Moto's, but for what it lets through: a second route to one service, client tokens, ids that there aren't, and route tables
that come and go later (AWS PrivateLink Guide, "Gateway endpoints"; API_CreateVpcEndpoint). Interfaces it makes only in
part: here they are pending for a while, hold network interfaces that nobody else lets go of, have one subnet in a zone, and
no VPC has two with a service's own name (AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint").
"""

from typing import Any

from . import ec2, network_interfaces, tags
from .actions import action, check
from .errors import AwsError, Unimplemented, dependency_violation
from .state import Region
from .transitions import soon

REQUESTER = "amazon-vpce"
CONFLICT = "private-dns-enabled cannot be set because there is already a conflicting DNS domain for {} in the VPC {}"

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
    service, kind = params.get("ServiceName") or "", params.get("VpcEndpointType", "Gateway")
    if kind not in ("Gateway", "Interface"):
        raise Unimplemented(f"VPC endpoints of the type {kind}")
    prefix = f"com.amazonaws.{region.name}."
    if not service.startswith(prefix) or (kind == "Gateway" and service != f"{prefix}s3"):
        raise AwsError("InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist")
    create = _create if kind == "Gateway" else _create_interface
    return region.idempotent("CreateVpcEndpoint", params, lambda: create(region, params))


def _create_interface(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    vpc, subnets = params["VpcId"], list(params.get("SubnetIds") or [])
    groups = network_interfaces.find_groups(region, params.get("SecurityGroupIds") or [], vpc)
    private = bool(params.get("PrivateDnsEnabled", True))
    _check_subnets(region, vpc, subnets)
    _check_name(region, vpc, params["ServiceName"], private)
    made = region.ec2.create_vpc_endpoint(
        vpc,
        params["ServiceName"],
        "Interface",
        params.get("PolicyDocument"),
        [],
        security_group_ids=[group.id for group in groups],
        private_dns_enabled=private,
    )
    made.subnet_ids, made.interfaces, made.state = [], {}, "pending"
    for subnet in subnets:
        _enter(region, made, subnet)
    tags.apply(region, made.id, tags.specified(params, "vpc-endpoint"))
    soon(region, lambda: _settle(made))
    held = {"SubnetIds": subnets, "Groups": made.groups, "PrivateDnsEnabled": private}
    return {"VpcEndpoint": {**_described(region, made), **held}}


def _settle(endpoint: Any) -> None:
    if endpoint.state == "pending":
        endpoint.state = "available"


def _check_subnets(region: Region, vpc: str, subnets: list[str]) -> None:
    """They are the VPC's, each in another zone."""
    found = [region.ec2.get_subnet(subnet) for subnet in subnets]
    for subnet in found:
        if subnet.vpc_id != vpc:
            raise AwsError("InvalidParameter", f"Subnet {subnet.id} does not belong to VPC {vpc}")
    if len({subnet.availability_zone for subnet in found}) < len(found):
        raise AwsError("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone")


def _check_name(region: Region, vpc: str, service: str, private: bool) -> None:
    """Of the endpoints of one service in a VPC, one alone has the service's own name."""
    others = (one for one in region.ec2.vpc_end_points.values() if one.vpc_id == vpc and one.service_name == service)
    if private and any(one.private_dns_enabled for one in others):
        raise AwsError("InvalidParameter", CONFLICT.format(service, vpc))


def _enter(region: Region, endpoint: Any, subnet: str) -> None:
    groups = network_interfaces.find_groups(region, endpoint.security_group_ids, endpoint.vpc_id)
    found = region.ec2.get_subnet(subnet)
    interface = network_interfaces.create_for_service(region, found, REQUESTER, "vpc_endpoint", groups)
    endpoint.subnet_ids.append(subnet)
    endpoint.interfaces[subnet] = interface
    endpoint.network_interface_ids = [one.id for one in endpoint.interfaces.values()]


def _leave(region: Region, endpoint: Any, subnet: str) -> None:
    network_interfaces.delete(region, endpoint.interfaces.pop(subnet))
    endpoint.subnet_ids.remove(subnet)
    endpoint.network_interface_ids = [one.id for one in endpoint.interfaces.values()]


def _create(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    vpc, tables = params.get("VpcId"), params.get("RouteTableIds") or []
    for table in tables:
        _check_table(region, vpc, table)
    made = region.ec2.create_vpc_endpoint(vpc, params["ServiceName"], "Gateway", params.get("PolicyDocument"), list(tables))
    tags.apply(region, made.id, tags.specified(params, "vpc-endpoint"))
    return {"VpcEndpoint": {**_described(region, made), "RouteTableIds": list(tables)}}


def _described(region: Region, made: Any) -> dict[str, Any]:
    return {
        "VpcEndpointId": made.id,
        "VpcEndpointType": made.vpc_endpoint_type,
        "VpcId": made.vpc_id,
        "ServiceName": made.service_name,
        "State": made.state,
        "PolicyDocument": made.policy_document,
        "Tags": tags.described(region, made.id),
        "OwnerId": region.account,
    }


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
    if endpoint.vpc_endpoint_type == "Interface":
        _modify_interface(region, endpoint, params)
        return {"Return": True}
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


def _modify_interface(region: Region, endpoint: Any, params: dict[str, Any]) -> None:
    if endpoint.state != "available":
        raise AwsError("IncorrectState", f"The Vpc Endpoint {endpoint.id} is in the state {endpoint.state}")
    added, removed = params.get("AddSubnetIds") or [], params.get("RemoveSubnetIds") or []
    kept = [subnet for subnet in endpoint.subnet_ids if subnet not in removed]
    _check_subnets(region, endpoint.vpc_id, [*kept, *(subnet for subnet in added if subnet not in kept)])
    for subnet in removed:
        if subnet in endpoint.subnet_ids:
            _leave(region, endpoint, subnet)
    groups = [*endpoint.security_group_ids, *(params.get("AddSecurityGroupIds") or [])]
    dropped = params.get("RemoveSecurityGroupIds") or []
    endpoint.security_group_ids = [group for group in dict.fromkeys(groups) if group not in dropped]
    for subnet in added:
        if subnet not in endpoint.subnet_ids:
            _enter(region, endpoint, subnet)
    for interface in endpoint.interfaces.values():
        interface.groups = network_interfaces.find_groups(region, endpoint.security_group_ids, endpoint.vpc_id)
    if "PrivateDnsEnabled" in params:
        private = bool(params["PrivateDnsEnabled"])
        if private and not endpoint.private_dns_enabled:
            _check_name(region, endpoint.vpc_id, endpoint.service_name, private)
        endpoint.private_dns_enabled = private


def _unroute(region: Region, endpoint: Any, table: str) -> None:
    if table in region.ec2.route_tables:
        region.ec2.delete_route(table, endpoint.destination_prefix_list_id)


@action("ec2", "DeleteVpcEndpoints")
def delete_vpc_endpoints(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Succeeds whatever it could delete, and lists what it couldn't."""
    unsuccessful = []
    for identifier in params.get("VpcEndpointIds") or []:
        endpoint = region.ec2.vpc_end_points.get(identifier)
        if endpoint and endpoint.vpc_endpoint_type == "Interface":
            endpoint.state, endpoint.private_dns_enabled = "deleting", False
            soon(region, lambda endpoint=endpoint: _end_interface(region, endpoint))
        elif endpoint:
            for table in endpoint.route_table_ids:
                _unroute(region, endpoint, table)
            region.ec2.vpc_end_points.pop(identifier)
            tags.forget(region, identifier)
        else:
            missing = f"The Vpc Endpoint Id '{identifier}' does not exist"
            error = {"Code": "InvalidVpcEndpoint.NotFound", "Message": missing}
            unsuccessful.append({"ResourceId": identifier, "Error": error})
    return {"Unsuccessful": unsuccessful}


def _end_interface(region: Region, endpoint: Any) -> None:
    """Its network interfaces, and with them its subnets, are free when it is gone."""
    for subnet in list(endpoint.subnet_ids):
        _leave(region, endpoint, subnet)
    region.ec2.vpc_end_points.pop(endpoint.id, None)
    tags.forget(region, endpoint.id)


@check("ec2", "DeleteVpc")
def check_delete_vpc(region: Region, params: dict[str, Any], action: str) -> None:
    """A VPC with endpoints stays (VPC User Guide, "Delete your VPC")."""
    if any(one.vpc_id == params.get("VpcId") for one in region.ec2.vpc_end_points.values()):
        raise dependency_violation(f"The vpc '{params.get('VpcId')}' has dependencies and cannot be deleted.")
