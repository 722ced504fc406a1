"""Routes: to everything that a route can lead to, and to what is gone."""

from typing import Any

from .conftest import code_of
from .test_nat_gateways import gateway, wait_for


def routes(network: Any) -> dict[str, Any]:
    """The routes of the network's table, by destination."""
    (table,) = network.ec2.describe_route_tables(RouteTableIds=[network.table])["RouteTables"]
    return {one.get("DestinationCidrBlock") or one["DestinationIpv6CidrBlock"]: one for one in table["Routes"]}


def peering(network: Any, ec2: Any) -> str:
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_peering_connection(VpcId=network.vpc, PeerVpcId=other)["VpcPeeringConnection"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=made["VpcPeeringConnectionId"])
    return str(made["VpcPeeringConnectionId"])


def test_a_route_names_its_target_in_the_field_of_its_kind(network: Any, ec2: Any) -> None:
    """API_Route."""
    instance = network.run()
    interface = network.describe(network.run())["NetworkInterfaces"][0]["NetworkInterfaceId"]
    egress = ec2.create_egress_only_internet_gateway(VpcId=network.vpc)["EgressOnlyInternetGateway"]
    targets = {
        "NatGatewayId": gateway(network),
        "TransitGatewayId": ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"],
        "InstanceId": instance,
        "NetworkInterfaceId": interface,
        "VpcPeeringConnectionId": peering(network, ec2),
        "GatewayId": network.gateway,
    }
    for number, (name, target) in enumerate(targets.items()):
        asked = {"RouteTableId": network.table, "DestinationCidrBlock": f"10.{number}.0.0/16", name: target}
        ec2.create_route(**asked)
        assert code_of(ec2.create_route, **asked) == "RouteAlreadyExists"
        ec2.replace_route(**asked)
    six = {"RouteTableId": network.table, "DestinationIpv6CidrBlock": "::/0"}
    ec2.create_route(**six, EgressOnlyInternetGatewayId=egress["EgressOnlyInternetGatewayId"])
    found = routes(network)
    for number, (name, target) in enumerate(targets.items()):
        route = found[f"10.{number}.0.0/16"]
        assert (route[name], route["State"], route["Origin"]) == (target, "active", "CreateRoute")
        named = {"InstanceId", "NetworkInterfaceId"} if name in ("InstanceId", "NetworkInterfaceId") else {name}
        assert set(targets) & set(route) == named
    assert found["::/0"]["EgressOnlyInternetGatewayId"] == egress["EgressOnlyInternetGatewayId"]
    of_instance = found["10.2.0.0/16"]
    assert of_instance["NetworkInterfaceId"] == network.describe(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert found["172.20.0.0/16"]["GatewayId"] == "local"


def test_a_route_is_replaced_by_one_of_another_kind(network: Any, ec2: Any) -> None:
    """API_ReplaceRoute: the old target is no more in it."""
    made = gateway(network)
    everywhere = {"RouteTableId": network.table, "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.replace_route(**everywhere, NatGatewayId=made)
    assert {name: routes(network)["0.0.0.0/0"].get(name) for name in ("NatGatewayId", "GatewayId")} == {
        "NatGatewayId": made,
        "GatewayId": None,
    }
    filters = [{"Name": "route.nat-gateway-id", "Values": [made]}]
    assert [one["RouteTableId"] for one in ec2.describe_route_tables(Filters=filters)["RouteTables"]] == [network.table]
    ec2.replace_route(**everywhere, GatewayId=network.gateway)
    assert "NatGatewayId" not in routes(network)["0.0.0.0/0"]


def test_a_route_to_what_is_not_there_is_refused(network: Any, ec2: Any) -> None:
    """API_CreateRoute; boto3, issue 779, has the code for NAT gateways. moto makes a route without a target."""
    asked = {"RouteTableId": network.table, "DestinationCidrBlock": "10.0.0.0/8"}
    assert code_of(ec2.create_route, **asked, NatGatewayId="nat-0123456789abcdef0") == "InvalidNatGatewayID.NotFound"
    assert code_of(ec2.create_route, **asked, TransitGatewayId="tgw-0123456789abcdef0") == "InvalidTransitGatewayID.NotFound"
    assert code_of(ec2.create_route, **asked) == "MissingParameter"
    made = gateway(network)
    both = {"NatGatewayId": made, "GatewayId": network.gateway}
    assert code_of(ec2.create_route, **asked, **both) == "InvalidParameterCombination"
    everywhere = {"RouteTableId": network.table, "DestinationCidrBlock": "0.0.0.0/0"}
    assert code_of(ec2.replace_route, **everywhere, NatGatewayId="nat-0123456789abcdef0") == "InvalidNatGatewayID.NotFound"
    other = ec2.create_route_table(VpcId=ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])["RouteTable"]["RouteTableId"]
    assert code_of(ec2.create_route, **{**asked, "RouteTableId": other}, NatGatewayId=made) == "InvalidParameterValue"


def test_a_route_to_what_is_gone_leads_nowhere(network: Any, ec2: Any) -> None:
    """API_Route, state: blackhole."""
    instance, made = network.run(), gateway(network)
    wait_for(network, made, "available")
    for destination, target in {"10.1.0.0/16": {"NatGatewayId": made}, "10.2.0.0/16": {"InstanceId": instance}}.items():
        ec2.create_route(RouteTableId=network.table, DestinationCidrBlock=destination, **target)
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_nat_gateway(NatGatewayId=made)
    wait_for(network, made, "deleted")
    ec2.detach_internet_gateway(InternetGatewayId=network.gateway, VpcId=network.vpc)
    network.cloud.control("POST", "/clock", {"seconds": 7200})
    found = routes(network)
    assert {to: found[to]["State"] for to in found} == {
        "172.20.0.0/16": "active",
        "0.0.0.0/0": "blackhole",
        "10.1.0.0/16": "blackhole",
        "10.2.0.0/16": "blackhole",
    }
    assert found["10.1.0.0/16"]["NatGatewayId"] == made
    ec2.delete_route(RouteTableId=network.table, DestinationCidrBlock="10.1.0.0/16")
