"""Further address ranges of VPCs, and networks that were made by hand."""

from typing import Any

from .conftest import code_of


def associations(ec2: Any, vpc: str) -> dict[str, tuple[str, str]]:
    """A VPC's ranges: the id and the state of each."""
    (found,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    rows = found["CidrBlockAssociationSet"]
    return {one["CidrBlock"]: (one["AssociationId"], one["CidrBlockState"]["State"]) for one in rows}


def test_subnets_are_made_in_a_range_once_it_is_associated(network: Any, ec2: Any) -> None:
    """API_AssociateVpcCidrBlock; API_VpcCidrBlockState."""
    network.cloud.control("POST", "/transitions", {"slow": True})
    made = ec2.associate_vpc_cidr_block(VpcId=network.vpc, CidrBlock="172.21.0.0/16")
    assert made["CidrBlockAssociation"]["CidrBlockState"]["State"] == "associating"
    asked = {"VpcId": network.vpc, "CidrBlock": "172.21.1.0/24", "AvailabilityZone": "us-east-1a"}
    assert code_of(ec2.create_subnet, **asked) == "InvalidSubnet.Range"
    network.cloud.control("POST", "/transitions", {"slow": False})
    identifier = made["CidrBlockAssociation"]["AssociationId"]
    assert associations(ec2, network.vpc)["172.21.0.0/16"] == (identifier, "associated")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "cidr-block-association.cidr-block", "Values": ["172.21.0.0/16"]}])["Vpcs"]
    assert (vpc["VpcId"], vpc["CidrBlock"]) == (network.vpc, "172.20.0.0/16")
    subnet = ec2.create_subnet(**asked)["Subnet"]["SubnetId"]
    (table,) = ec2.describe_route_tables(RouteTableIds=[network.table])["RouteTables"]
    assert "172.21.0.0/16" in [one.get("DestinationCidrBlock") for one in table["Routes"] if one.get("GatewayId") == "local"]
    instance = network.describe(network.run(SubnetId=subnet))
    assert instance["PrivateIpAddress"].startswith("172.21.1.")


def test_a_range_stays_while_subnets_use_it(network: Any, ec2: Any) -> None:
    """API_DisassociateVpcCidrBlock: "You must detach or delete all … resources that are associated with the CIDR block"."""
    associated = ec2.associate_vpc_cidr_block(VpcId=network.vpc, CidrBlock="172.21.0.0/16")["CidrBlockAssociation"]
    network.cloud.eventually(lambda: associations(ec2, network.vpc)["172.21.0.0/16"][1] == "associated")
    subnet = ec2.create_subnet(VpcId=network.vpc, CidrBlock="172.21.1.0/24")["Subnet"]["SubnetId"]
    disassociate, identifier = ec2.disassociate_vpc_cidr_block, associated["AssociationId"]
    assert code_of(disassociate, AssociationId=identifier) == "InvalidCidrBlock.InUse"
    primary = associations(ec2, network.vpc)["172.20.0.0/16"][0]
    assert code_of(disassociate, AssociationId=primary) == "OperationNotPermitted"
    ec2.delete_subnet(SubnetId=subnet)
    answer = disassociate(AssociationId=identifier)
    assert answer["CidrBlockAssociation"]["CidrBlockState"]["State"] == "disassociating"
    network.cloud.eventually(lambda: associations(ec2, network.vpc)["172.21.0.0/16"][1] == "disassociated")
    assert code_of(ec2.create_subnet, VpcId=network.vpc, CidrBlock="172.21.1.0/24") == "InvalidSubnet.Range"
    assert code_of(disassociate, AssociationId=identifier) == "InvalidVpcCidrBlockAssociationID.NotFound"
    (table,) = ec2.describe_route_tables(RouteTableIds=[network.table])["RouteTables"]
    assert "172.21.0.0/16" not in [one.get("DestinationCidrBlock") for one in table["Routes"]]
    network.cloud.control("POST", "/clock", {"seconds": 3601})
    assert list(associations(ec2, network.vpc)) == ["172.20.0.0/16"]
    again = ec2.associate_vpc_cidr_block(VpcId=network.vpc, CidrBlock="172.21.0.0/16")["CidrBlockAssociation"]
    assert again["AssociationId"] != identifier


def test_a_range_that_does_not_fit_is_refused(network: Any, ec2: Any) -> None:
    """VPC User Guide, "IPv4 CIDR block association restrictions"."""
    for cidr in ("172.20.128.0/20", "172.16.0.0/12", "172.21.0.0/29", "10.0.0.0/16", "192.168.0.0/24"):
        assert code_of(ec2.associate_vpc_cidr_block, VpcId=network.vpc, CidrBlock=cidr) == "InvalidVpc.Range", cidr
    assert code_of(ec2.associate_vpc_cidr_block, VpcId=network.vpc, CidrBlock="nonsense") == "InvalidParameterValue"
    assert code_of(ec2.associate_vpc_cidr_block, VpcId="vpc-00000000", CidrBlock="172.21.0.0/16") == "InvalidVpcID.NotFound"
    ec2.associate_vpc_cidr_block(VpcId=network.vpc, CidrBlock="100.64.0.0/16")


def test_a_vpc_gets_ipv6_addresses(network: Any, ec2: Any) -> None:
    """API_AssociateVpcCidrBlock, AmazonProvidedIpv6CidrBlock."""
    made = ec2.associate_vpc_cidr_block(VpcId=network.vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    (vpc,) = ec2.describe_vpcs(VpcIds=[network.vpc])["Vpcs"]
    assert [one["Ipv6CidrBlock"] for one in vpc["Ipv6CidrBlockAssociationSet"]] == [made["Ipv6CidrBlock"]]
    ec2.disassociate_vpc_cidr_block(AssociationId=made["AssociationId"])


def test_a_network_that_was_made_by_hand_is_found(ec2: Any, cloud: Any) -> None:
    """What a test makes to use a VPC that is somebody else's."""
    vpc = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    public, private = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
        for cidr in ("10.50.0.0/24", "10.50.1.0/24")
    )
    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=ec2.allocate_address()["AllocationId"])["NatGateway"]
    targets = {public: {"GatewayId": internet}, private: {"NatGatewayId": nat["NatGatewayId"]}}
    tables = {}
    for subnet, target in targets.items():
        tables[subnet] = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=tables[subnet], DestinationCidrBlock="0.0.0.0/0", **target)
        ec2.associate_route_table(RouteTableId=tables[subnet], SubnetId=subnet)

    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.50.0.0/16"
    found = ec2.describe_subnets(SubnetIds=[private, public])["Subnets"]
    assert {one["SubnetId"]: one["CidrBlock"] for one in found} == {public: "10.50.0.0/24", private: "10.50.1.0/24"}
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    (gateway,) = ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    assert (gateway["InternetGatewayId"], gateway["Attachments"]) == (internet, [{"State": "available", "VpcId": vpc}])
    for subnet, table in tables.items():
        (one,) = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
        assert (one["RouteTableId"], [row["SubnetId"] for row in one["Associations"]]) == (table, [subnet])
    main = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    assert len(ec2.describe_route_tables(Filters=main[:1])["RouteTables"]) == 3
    assert len(ec2.describe_route_tables(Filters=main)["RouteTables"]) == 1


def test_what_is_not_there_is_denied_by_its_own_code(network: Any, ec2: Any) -> None:
    """EC2 API Reference, "Error codes"."""
    vpc, subnet = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0"
    assert code_of(ec2.describe_vpcs, VpcIds=[network.vpc, vpc]) == "InvalidVpcID.NotFound"
    assert code_of(ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.0.0/24") == "InvalidVpcID.NotFound"
    assert code_of(ec2.create_route_table, VpcId=vpc) == "InvalidVpcID.NotFound"
    assert code_of(ec2.describe_subnets, SubnetIds=[network.subnets[0], subnet]) == "InvalidSubnetID.NotFound"
    assert code_of(ec2.associate_route_table, RouteTableId=network.table, SubnetId=subnet) == "InvalidSubnetID.NotFound"
    table, gateway = "rtb-0123456789abcdef0", "igw-0123456789abcdef0"
    assert code_of(ec2.describe_route_tables, RouteTableIds=[table]) == "InvalidRouteTableID.NotFound"
    assert code_of(ec2.associate_route_table, RouteTableId=table, SubnetId=network.subnets[0]) == "InvalidRouteTableID.NotFound"
    assert code_of(ec2.describe_internet_gateways, InternetGatewayIds=[gateway]) == "InvalidInternetGatewayID.NotFound"
    attach = ec2.attach_internet_gateway
    assert code_of(attach, InternetGatewayId=gateway, VpcId=network.vpc) == "InvalidInternetGatewayID.NotFound"
    free = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert code_of(attach, InternetGatewayId=free, VpcId=vpc) == "InvalidVpcID.NotFound"
    assert ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])["InternetGateways"] == []
