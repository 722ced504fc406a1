"""Gateway endpoints of S3, and interface endpoints."""

from typing import Any

from .conftest import code_of, tag_specification

SERVICE = "com.amazonaws.us-east-1.s3"


def endpoint(network: Any, ec2: Any, **others: Any) -> str:
    """Makes one for the network's route table."""
    asked = {"VpcId": network.vpc, "ServiceName": SERVICE, "RouteTableIds": [network.table], **others}
    return str(ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]["VpcEndpointId"])


def gateways(network: Any, ec2: Any) -> list[str]:
    """What the network's route table leads to."""
    table = ec2.describe_route_tables(RouteTableIds=[network.table])["RouteTables"][0]
    return [route["GatewayId"] for route in table["Routes"] if "GatewayId" in route]


def test_an_endpoint_is_found_by_type_service_and_id_with_its_tags(network: Any, ec2: Any) -> None:
    """API_DescribeVpcEndpoints."""
    made = endpoint(network, ec2, TagSpecifications=tag_specification("vpc-endpoint", Name="s3"))
    filters = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}, {"Name": "service-name", "Values": [SERVICE]}]
    for asked in ({"Filters": filters}, {"VpcEndpointIds": [made]}):
        (found,) = ec2.describe_vpc_endpoints(**asked)["VpcEndpoints"]
        assert (found["VpcEndpointId"], found["VpcId"], found["State"]) == (made, network.vpc, "available")
        assert found["RouteTableIds"] == [network.table] and found["Tags"] == [{"Key": "Name", "Value": "s3"}]
    assert made in gateways(network, ec2)


def test_a_route_table_has_one_route_to_a_service(network: Any, ec2: Any) -> None:
    """AWS PrivateLink Guide, "Gateway endpoints for Amazon S3": one endpoint of a service for a route table."""
    endpoint(network, ec2)
    asked = {"VpcId": network.vpc, "ServiceName": SERVICE, "RouteTableIds": [network.table]}
    assert code_of(ec2.create_vpc_endpoint, **asked) == "RouteAlreadyExists"


def test_the_same_client_token_makes_one_endpoint(network: Any, ec2: Any) -> None:
    """API_CreateVpcEndpoint: ClientToken."""
    assert endpoint(network, ec2, ClientToken="a") == endpoint(network, ec2, ClientToken="a")


def test_route_tables_come_and_go(network: Any, ec2: Any) -> None:
    """API_ModifyVpcEndpoint."""
    made = endpoint(network, ec2, RouteTableIds=[])
    assert made not in gateways(network, ec2)
    ec2.modify_vpc_endpoint(VpcEndpointId=made, AddRouteTableIds=[network.table])
    assert made in gateways(network, ec2)
    ec2.modify_vpc_endpoint(VpcEndpointId=made, RemoveRouteTableIds=[network.table])
    assert made not in gateways(network, ec2)
    assert code_of(ec2.modify_vpc_endpoint, VpcEndpointId="vpce-0123456789abcdef0") == "InvalidVpcEndpointId.NotFound"


def test_a_deletion_says_what_it_could_not_delete_and_takes_the_routes_along(network: Any, ec2: Any) -> None:
    """API_DeleteVpcEndpoints: Unsuccessful."""
    made = endpoint(network, ec2)
    answer = ec2.delete_vpc_endpoints(VpcEndpointIds=[made, "vpce-0123456789abcdef0"])
    assert [item["ResourceId"] for item in answer["Unsuccessful"]] == ["vpce-0123456789abcdef0"]
    assert made not in gateways(network, ec2) and ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_a_vpc_with_an_endpoint_stays(ec2: Any) -> None:
    """VPC User Guide, "Delete your VPC"."""
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=SERVICE)["VpcEndpoint"]["VpcEndpointId"]
    assert code_of(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    ec2.delete_vpc(VpcId=vpc)


EC2 = "com.amazonaws.us-east-1.ec2"


def interface(network: Any, ec2: Any, **others: Any) -> str:
    """Makes an endpoint in the network's subnet."""
    asked = {"VpcId": network.vpc, "ServiceName": EC2, "VpcEndpointType": "Interface", "SubnetIds": network.subnets[:1]}
    asked.update(others)
    return str(ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]["VpcEndpointId"])


def found(ec2: Any, identifier: str) -> dict[str, Any]:
    """What EC2 says of one endpoint."""
    (one,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[identifier])["VpcEndpoints"]
    return dict(one)


def test_an_interface_endpoint_holds_an_address_in_each_subnet_until_it_is_gone(network: Any, ec2: Any, cloud: Any) -> None:
    """AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint"."""
    made = interface(network, ec2)
    assert found(ec2, made)["State"] == "pending"
    cloud.eventually(lambda: found(ec2, made)["State"] == "available")
    one = found(ec2, made)
    assert one["SubnetIds"] == [network.subnets[0]] and one["PrivateDnsEnabled"] and len(one["NetworkInterfaceIds"]) == 1
    (held,) = ec2.describe_network_interfaces(NetworkInterfaceIds=one["NetworkInterfaceIds"])["NetworkInterfaces"]
    assert (held["InterfaceType"], held["RequesterManaged"], held["SubnetId"]) == ("vpc_endpoint", True, network.subnets[0])
    assert code_of(ec2.delete_subnet, SubnetId=network.subnets[0]) == "DependencyViolation"
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    cloud.eventually(lambda: ec2.describe_vpc_endpoints()["VpcEndpoints"] == [])
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_a_service_has_its_own_name_at_one_endpoint_of_a_vpc(network: Any, ec2: Any) -> None:
    """API_CreateVpcEndpoint: PrivateDnsEnabled."""
    interface(network, ec2)
    asked = {"VpcId": network.vpc, "ServiceName": EC2, "VpcEndpointType": "Interface"}
    assert code_of(ec2.create_vpc_endpoint, **asked) == "InvalidParameter"
    assert interface(network, ec2, PrivateDnsEnabled=False)


def test_subnets_and_groups_of_an_interface_endpoint_come_and_go(network: Any, ec2: Any, cloud: Any) -> None:
    """API_ModifyVpcEndpoint."""
    made = interface(network, ec2)
    group = ec2.create_security_group(GroupName="a", Description="a", VpcId=network.vpc)["GroupId"]
    cloud.eventually(lambda: found(ec2, made)["State"] == "available")
    (former,) = [one["GroupId"] for one in found(ec2, made)["Groups"]]
    ec2.modify_vpc_endpoint(
        VpcEndpointId=made, AddSecurityGroupIds=[group], RemoveSecurityGroupIds=[former], PrivateDnsEnabled=False
    )
    assert [one["GroupId"] for one in found(ec2, made)["Groups"]] == [group] and not found(ec2, made)["PrivateDnsEnabled"]
    ec2.modify_vpc_endpoint(VpcEndpointId=made, RemoveSubnetIds=[network.subnets[0]])
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
