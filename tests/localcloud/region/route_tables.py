"""Route tables and their routes: moto's, with the refusals that it lacks, and routes that lead nowhere."""

from ipaddress import ip_network
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.internet_gateways import InternetGateway
from moto.ec2.models.route_tables import Route

from . import ec2
from .actions import check, patch
from .errors import AwsError, Unimplemented
from .state import Region

ROUTE_TABLE = ec2.kind(
    "route-table",
    inventory=("routeTables", lambda region: region.ec2.route_tables),
    id_prefix="rtb",
    parameters=("RouteTableId",),
    created_by=("CreateRouteTable",),
    not_found="InvalidRouteTableID.NotFound",
    lists={"RouteTables": "RouteTableId"},
    filters={
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
            "route.transit-gateway-id",
            "route.vpc-peering-connection-id",
            "owner-id",
        }
    },
)
DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
TARGETS = (
    "CarrierGatewayId",
    "EgressOnlyInternetGatewayId",
    "GatewayId",
    "InstanceId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "TransitGatewayId",
    "VpcEndpointId",
    "VpcPeeringConnectionId",
)


@patch
def install() -> None:
    """Patches moto: a route says whether its target is there (API_Route, state), and which interface is an instance's; and
    instances, which are ours, are found."""
    EC2Backend.get_instance = _get_instance
    Route.state = property(lambda self: "blackhole" if _leads_nowhere(self) else "active")
    Route.instance_id = property(lambda self: self.instance.id if self.instance else _instance_of(self.interface))
    Route.instance_owner_id = property(lambda self: self.route_table.owner_id if self.instance_id else None)
    Route.network_interface_id = property(lambda self: self.interface.id if self.interface else _interface_of(self.instance))


def _get_instance(self: Any, instance_id: str) -> Any:
    launched = (one for reservation in self.reservations.values() for one in reservation.instances)
    found = next((one for one in launched if one.id == instance_id), None)
    if found is None:
        raise AwsError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    return found


def _instance_of(interface: Any) -> str | None:
    return interface.instance.id if interface and interface.instance else None


def _interface_of(instance: Any) -> str | None:
    return instance.nics[0].id if instance and instance.nics else None


def _leads_nowhere(route: Route) -> bool:
    backend = route.route_table.ec2_backend
    if isinstance(route.gateway, InternetGateway):
        return route.gateway.vpc is None
    if route.nat_gateway:
        return route.nat_gateway.state in ("failed", "deleted")
    if route.instance:
        return route.instance.state == "terminated"
    if route.interface:
        return route.interface.id not in backend.enis or not route.interface.in_use
    if route.transit_gateway:
        return route.transit_gateway.state != "available"
    if route.egress_only_igw:
        return route.egress_only_igw.id not in backend.egress_only_internet_gateways
    return route.vpc_pcx is not None and route.vpc_pcx._status.code != "active"


@check("ec2", "CreateRoute", "ReplaceRoute")
def check_route(region: Region, params: dict[str, Any], action: str) -> None:
    """One destination and one target, both of which there must be (API_CreateRoute); moto makes routes without a target."""
    if "LocalTarget" in params:
        raise Unimplemented("routes back to the local target")
    for kind, names in (("destination", DESTINATIONS), ("target", TARGETS)):
        given = [name for name in names if params.get(name)]
        if not given:
            raise AwsError("MissingParameter", f"The request must contain exactly one of the {kind}s {', '.join(names)}")
        if len(given) > 1:
            raise AwsError("InvalidParameterCombination", f"The parameters {', '.join(given)} can't be used together")
    table = region.ec2.get_route_table(params.get("RouteTableId"))
    _check_target(region, table, params)
    if action == "CreateRoute":
        _check_new(table, params)


def _check_target(region: Region, table: Any, params: dict[str, Any]) -> None:
    """A NAT gateway or transit gateway that isn't there: moto takes its id for none."""
    wanted = params.get("NatGatewayId")
    gateway = region.ec2.nat_gateways.get(wanted)
    if wanted and (gateway is None or gateway.state == "deleted"):
        raise AwsError("InvalidNatGatewayID.NotFound", f"The natGateway ID '{wanted}' does not exist")
    if gateway and gateway.vpc_id != table.vpc_id:
        raise AwsError(
            "InvalidParameterValue", f"route table {table.id} and network gateway {wanted} belong to different networks"
        )
    transit = params.get("TransitGatewayId")
    if transit and transit not in region.ec2.transit_gateways:
        raise AwsError("InvalidTransitGatewayID.NotFound", f"The transitGateway ID '{transit}' does not exist.")


def _check_new(table: Any, params: dict[str, Any]) -> None:
    """moto sees only another route for the same IPv4 addresses, and not before one to an interface."""
    for route in table.routes:
        there = (route.destination_cidr_block, route.destination_ipv6_cidr_block, route.destination_prefix_list_id)
        for name, value in zip(DESTINATIONS, there, strict=True):
            if value and params.get(name) and _canonical(value) == _canonical(params[name]):
                raise AwsError("RouteAlreadyExists", f"The route identified by {params[name]} already exists.")


def _canonical(destination: str) -> str:
    try:
        return str(ip_network(destination, strict=False))
    except ValueError:
        return destination


@check("ec2", "AssociateRouteTable")
def check_associate_route_table(region: Region, params: dict[str, Any], action: str) -> None:
    """A subnet has one explicit association; another takes ReplaceRouteTableAssociation (API_AssociateRouteTable)."""
    region.ec2.get_route_table(params.get("RouteTableId"))
    subnet_id = params.get("SubnetId")
    for table in region.ec2.route_tables.values():
        if subnet_id and subnet_id in table._associations.values() and table.id != params.get("RouteTableId"):
            raise AwsError(
                "Resource.AlreadyAssociated",
                f"the specified association for route table {params.get('RouteTableId')} conflicts with an existing association",
            )
