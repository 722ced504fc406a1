"""NAT gateways, and what they hold on to."""

from typing import Any

import pytest

from .conftest import code_of, tag_specification
from .test_authorization import allow, enforced, make_role  # noqa: F401


def allocate(ec2: Any) -> str:
    return str(ec2.allocate_address(Domain="vpc")["AllocationId"])


def gateway(network: Any, **others: Any) -> str:
    """Makes one in the network's first subnet."""
    asked = {"SubnetId": network.subnets[0], **others}
    if "AllocationId" not in asked and asked.get("ConnectivityType") != "private":
        asked["AllocationId"] = allocate(network.ec2)
    return str(network.ec2.create_nat_gateway(**asked)["NatGateway"]["NatGatewayId"])


def describe(ec2: Any, identifier: str) -> Any:
    (found,) = ec2.describe_nat_gateways(NatGatewayIds=[identifier])["NatGateways"]
    return found


def wait_for(network: Any, identifier: str, state: str) -> Any:
    network.cloud.eventually(lambda: describe(network.ec2, identifier)["State"] == state)
    return describe(network.ec2, identifier)


def test_a_gateway_becomes_available_after_a_while(network: Any, ec2: Any) -> None:
    """API_NatGateway, state; README.md, `POST /_region/transitions`."""
    network.cloud.control("POST", "/transitions", {"slow": True})
    allocation = allocate(ec2)
    made = ec2.create_nat_gateway(SubnetId=network.subnets[0], AllocationId=allocation)["NatGateway"]
    assert (made["State"], made["NatGatewayAddresses"]) == ("pending", [{"AllocationId": allocation}])
    network.cloud.control("POST", "/clock", {"seconds": 600})
    assert describe(ec2, made["NatGatewayId"])["State"] == "pending"
    network.cloud.control("POST", "/transitions", {"slow": False})
    found = describe(ec2, made["NatGatewayId"])
    assert (found["State"], found["VpcId"], found["SubnetId"]) == ("available", network.vpc, network.subnets[0])
    (address,) = found["NatGatewayAddresses"]
    assert (address["AllocationId"], address["IsPrimary"], address["Status"]) == (allocation, True, "succeeded")
    wait_for(network, gateway(network), "available")


def test_its_interface_has_the_elastic_address(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "Requester-managed network interfaces"."""
    allocation = allocate(ec2)
    made = gateway(network, AllocationId=allocation, PrivateIpAddress="172.20.32.77")
    (address,) = describe(ec2, made)["NatGatewayAddresses"]
    (elastic,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert elastic["NetworkInterfaceId"] == address["NetworkInterfaceId"]
    assert (elastic["AssociationId"], elastic["PrivateIpAddress"]) == (address["AssociationId"], "172.20.32.77")
    filters = [{"Name": "interface-type", "Values": ["nat_gateway"]}]
    (interface,) = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    assert interface["Description"] == f"Interface for NAT Gateway {made}"
    assert (interface["RequesterManaged"], interface["Status"], interface["Groups"]) == (True, "in-use", [])
    assert interface["Association"]["PublicIp"] == elastic["PublicIp"] == address["PublicIp"]
    delete = ec2.delete_network_interface
    assert code_of(delete, NetworkInterfaceId=interface["NetworkInterfaceId"]) == "InvalidNetworkInterface.InUse"


def test_the_address_is_kept_until_the_gateway_is_deleted(network: Any, ec2: Any) -> None:
    """API_ReleaseAddress: InvalidIPAddress.InUse; API_DeleteNatGateway: disassociates the address, doesn't release it."""
    allocation = allocate(ec2)
    made = gateway(network, AllocationId=allocation)
    wait_for(network, made, "available")
    association = ec2.describe_addresses()["Addresses"][0]["AssociationId"]
    instance = network.run()
    for _ in range(2):
        assert code_of(ec2.release_address, AllocationId=allocation) == "InvalidIPAddress.InUse"
        assert code_of(ec2.disassociate_address, AssociationId=association) == "AuthFailure"
        assert code_of(ec2.associate_address, AllocationId=allocation, InstanceId=instance) == "AuthFailure"
        network.cloud.control("POST", "/transitions", {"slow": True})
        ec2.delete_nat_gateway(NatGatewayId=made)
        assert describe(ec2, made)["State"] == "deleting"
    network.cloud.control("POST", "/transitions", {"slow": False})
    found = describe(ec2, made)
    assert (found["State"], found["NatGatewayAddresses"][0]["AllocationId"]) == ("deleted", allocation)
    ec2.release_address(AllocationId=allocation)
    assert ec2.describe_network_interfaces(Filters=[{"Name": "requester-managed", "Values": ["true"]}])["NetworkInterfaces"] == []


def test_a_deleted_gateway_is_listed_for_an_hour(network: Any, ec2: Any) -> None:
    """VPC User Guide, "Delete a NAT gateway"; README.md, `POST /_region/clock`."""
    made = gateway(network)
    assert network.cloud.control("GET", "/inventory")["natGateways"] == [made]
    ec2.delete_nat_gateway(NatGatewayId=made)
    wait_for(network, made, "deleted")
    assert network.cloud.control("GET", "/inventory")["natGateways"] == []
    assert code_of(ec2.delete_nat_gateway, NatGatewayId=made) == "NatGatewayNotFound"
    network.cloud.control("POST", "/clock", {"seconds": 3601})
    assert ec2.describe_nat_gateways()["NatGateways"] == []
    assert code_of(ec2.describe_nat_gateways, NatGatewayIds=[made]) == "NatGatewayNotFound"


def test_a_gateway_holds_its_subnet_its_vpc_and_the_internet_gateway(network: Any, ec2: Any) -> None:
    """API_DeleteSubnet, API_DeleteVpc, API_DetachInternetGateway."""
    made = gateway(network)
    detach = {"InternetGatewayId": network.gateway, "VpcId": network.vpc}
    network.cloud.control("POST", "/transitions", {"slow": True})
    for _ in range(2):
        assert code_of(ec2.delete_subnet, SubnetId=network.subnets[0]) == "DependencyViolation"
        assert code_of(ec2.delete_vpc, VpcId=network.vpc) == "DependencyViolation"
        assert code_of(ec2.detach_internet_gateway, **detach) == "DependencyViolation"
        ec2.delete_nat_gateway(NatGatewayId=made)
    network.cloud.control("POST", "/transitions", {"slow": False})
    ec2.delete_subnet(SubnetId=network.subnets[0])
    ec2.detach_internet_gateway(**detach)


def test_what_is_wrong_with_an_address_shows_in_the_failed_gateway(network: Any, ec2: Any) -> None:
    """API_NatGateway, failureCode; cluster-api-provider-aws, issue 1418. What isn't there is refused at once."""
    allocation = allocate(ec2)
    first, second = gateway(network, AllocationId=allocation), gateway(network, AllocationId=allocation)
    wait_for(network, first, "available")
    failed = wait_for(network, second, "failed")
    assert failed["FailureCode"] == "Resource.AlreadyAssociated"
    assert (
        ec2.describe_addresses()["Addresses"][0]["PrivateIpAddress"]
        == describe(ec2, first)["NatGatewayAddresses"][0]["PrivateIp"]
    )
    create = ec2.create_nat_gateway
    unknown = "eipalloc-00000000000000000"
    assert code_of(create, SubnetId=network.subnets[0], AllocationId=unknown) == "InvalidAllocationID.NotFound"
    assert code_of(create, SubnetId="subnet-00000000", AllocationId=allocation) == "InvalidSubnetID.NotFound"
    assert code_of(create, SubnetId=network.subnets[0]) == "MissingParameter"


def test_a_gateway_fails_in_a_vpc_without_an_internet_gateway(network: Any, ec2: Any) -> None:
    """VPC User Guide, "Troubleshoot NAT gateways"; its address is free."""
    ec2.detach_internet_gateway(InternetGatewayId=network.gateway, VpcId=network.vpc)
    failed = wait_for(network, gateway(network), "failed")
    assert failed["FailureCode"] == "Gateway.NotAttached"
    assert "AssociationId" not in ec2.describe_addresses()["Addresses"][0]
    wait_for(network, gateway(network, ConnectivityType="private"), "available")


def test_the_same_client_token_makes_one_gateway(network: Any, ec2: Any) -> None:
    """API_CreateNatGateway, ClientToken; moto answers Resource.AlreadyAssociated."""
    allocation = allocate(ec2)
    first = gateway(network, AllocationId=allocation, ClientToken="a")
    assert gateway(network, AllocationId=allocation, ClientToken="a") == first
    assert code_of(gateway, network, ClientToken="a") == "IdempotentParameterMismatch"
    assert len(ec2.describe_nat_gateways()["NatGateways"]) == 1


def test_gateways_are_found_by_filters_and_come_in_pages(network: Any, ec2: Any) -> None:
    """API_DescribeNatGateways; moto ignores tags, ids that there aren't, and pages."""
    own = gateway(network, TagSpecifications=tag_specification("natgateway", Name="own", cluster="demo"))
    other = gateway(network, SubnetId=network.subnets[1])
    ec2.create_tags(Resources=[other], Tags=[{"Key": "cluster", "Value": "other"}])
    wait_for(network, other, "available")

    def found(name: str, *values: str) -> list[str]:
        answer = ec2.describe_nat_gateways(Filter=[{"Name": name, "Values": list(values)}])
        return [one["NatGatewayId"] for one in answer["NatGateways"]]

    assert found("tag:cluster", "demo") == found("nat-gateway-id", own) == found("subnet-id", network.subnets[0]) == [own]
    assert found("tag-key", "cluster") == found("vpc-id", network.vpc) == found("state", "available", "pending") == [own, other]
    assert describe(ec2, own)["Tags"] == [{"Key": "Name", "Value": "own"}, {"Key": "cluster", "Value": "demo"}]
    rows = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["natgateway"]}])["Tags"]
    assert {one["ResourceId"] for one in rows} == {own, other}
    ec2.delete_tags(Resources=[own], Tags=[{"Key": "cluster"}])
    assert found("tag:cluster", "*") == [other]
    for _ in range(4):
        gateway(network, ConnectivityType="private")
    pages = ec2.get_paginator("describe_nat_gateways").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["NatGateways"]) for page in pages] == [5, 1]


def test_a_gateway_that_was_just_made_cannot_be_seen(network: Any, ec2: Any) -> None:
    """EC2 API Reference, "Eventual consistency"; boto3, issue 779: a route to it is refused by another code."""
    network.cloud.control("POST", "/faults", [{"service": "ec2", "action": "CreateNatGateway", "unseenMs": 60000}])
    made = gateway(network)
    assert ec2.describe_nat_gateways()["NatGateways"] == []
    assert code_of(ec2.describe_nat_gateways, NatGatewayIds=[made]) == "NatGatewayNotFound"
    asked = {"RouteTableId": network.table, "DestinationCidrBlock": "10.0.0.0/8"}
    assert code_of(ec2.create_route, **asked, NatGatewayId=made) == "InvalidNatGatewayID.NotFound"


@pytest.mark.parametrize("enforced_tag", ["demo", "other"])
def test_a_policy_sees_the_tags_of_a_gateway(network: Any, ec2: Any, iam: Any, enforced: Any, enforced_tag: str) -> None:  # noqa: F811
    """Service Authorization Reference, EC2: CreateNatGateway on natgateway, subnet and elastic-ip; DeleteNatGateway on it."""
    account = "arn:aws:ec2:us-east-1:123456789012"
    make_role(
        iam,
        "masters",
        allow(["ec2:CreateNatGateway"], [f"{account}:subnet/*", f"{account}:elastic-ip/*"]),
        allow(["ec2:CreateNatGateway"], f"{account}:natgateway/*", StringEquals={"aws:RequestTag/cluster": "demo"}),
        allow(["ec2:CreateTags"], f"{account}:natgateway/*", StringEquals={"ec2:CreateAction": "CreateNatGateway"}),
        allow(["ec2:DeleteNatGateway"], f"{account}:natgateway/*", StringEquals={"aws:ResourceTag/cluster": "demo"}),
        allow(["ec2:CreateRoute"], f"{account}:route-table/*"),
    )
    client = network.cloud.as_instance("ec2", network.run(IamInstanceProfile={"Name": "masters"}))
    made = gateway(network, TagSpecifications=tag_specification("natgateway", cluster=enforced_tag))
    asked = {"SubnetId": network.subnets[0], "AllocationId": allocate(ec2)}
    enforced()
    client.create_route(RouteTableId=network.table, DestinationCidrBlock="10.0.0.0/8", NatGatewayId=made)
    tagged = tag_specification("natgateway", cluster=enforced_tag)
    if enforced_tag == "demo":
        client.create_nat_gateway(**asked, TagSpecifications=tagged)
        client.delete_nat_gateway(NatGatewayId=made)
    else:
        assert code_of(client.create_nat_gateway, **asked, TagSpecifications=tagged) == "UnauthorizedOperation"
        assert code_of(client.delete_nat_gateway, NatGatewayId=made) == "UnauthorizedOperation"


def test_the_machines_see_it_while_it_carries_traffic(network: Any, ec2: Any) -> None:
    """README.md, "The world"."""
    network.cloud.control("POST", "/transitions", {"slow": True})
    allocation = allocate(ec2)
    made = gateway(network, AllocationId=allocation, PrivateIpAddress="172.20.32.77")

    def seen() -> Any:
        return network.cloud.control("GET", "/world")["natGateways"]

    assert seen() == []
    network.cloud.control("POST", "/transitions", {"slow": False})
    (elastic,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    place = {"vpc": network.vpc, "subnet": network.subnets[0], "privateIp": "172.20.32.77"}
    assert seen() == [{"id": made, **place, "publicIp": elastic["PublicIp"]}]
    ec2.delete_nat_gateway(NatGatewayId=made)
    wait_for(network, made, "deleted")
    assert seen() == []


def test_routes_to_it_and_to_a_gateway_endpoint_are_in_the_world(network: Any, ec2: Any) -> None:
    """README.md, "The world"."""
    made = gateway(network)
    wait_for(network, made, "available")
    table = ec2.create_route_table(VpcId=network.vpc)["RouteTable"]["RouteTableId"]
    subnet = network._subnet("us-east-1b", "172.20.96.0/24")
    current = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"][0]
    (association,) = [one for one in current["Associations"] if one.get("SubnetId") == subnet]
    ec2.replace_route_table_association(AssociationId=association["RouteTableAssociationId"], RouteTableId=table)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=made)
    service = "com.amazonaws.us-east-1.s3"
    endpoint = ec2.create_vpc_endpoint(VpcId=network.vpc, ServiceName=service, RouteTableIds=[table])["VpcEndpoint"]
    (found,) = [one for one in network.cloud.control("GET", "/world")["subnets"] if one["id"] == subnet]
    by_target = {route["target"]: route["destination"] for route in found["routes"]}
    assert by_target[made] == "0.0.0.0/0"
    assert by_target[endpoint["VpcEndpointId"]].startswith("pl-")
    assert len(by_target) == 2
