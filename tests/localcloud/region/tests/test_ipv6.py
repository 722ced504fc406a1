"""IPv6: blocks of VPCs, ranges of subnets, egress-only Internet gateways, addresses and prefixes of network interfaces."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from .conftest import Network, code_of, tag_specification


class Six(Network):
    """A network whose VPC has a block: a subnet of both families, and one without IPv4 addresses."""

    def __init__(self, cloud: Any, ec2: Any):
        super().__init__(cloud, ec2)
        ec2.associate_vpc_cidr_block(VpcId=self.vpc, AmazonProvidedIpv6CidrBlock=True)
        cloud.eventually(lambda: self.block_state() == "associated")
        self.ranges = [str(one) for one in list(self.block().subnets(new_prefix=64))[:4]]
        self.subnets[0] = self.create(self.ranges[0], CidrBlock="172.20.128.0/24")
        self.subnets[1] = self.create(self.ranges[1], Ipv6Native=True)

    def _association(self) -> dict[str, Any]:
        (vpc,) = self.ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"]
        (association,) = vpc["Ipv6CidrBlockAssociationSet"]
        return association

    def block(self) -> IPv6Network:
        return IPv6Network(self._association()["Ipv6CidrBlock"])

    def block_state(self) -> str:
        return self._association()["Ipv6CidrBlockState"]["State"]

    def create(self, cidr: str, **more: Any) -> str:
        asked = {"VpcId": self.vpc, "Ipv6CidrBlock": cidr, "AvailabilityZone": "us-east-1a", **more}
        return self.ec2.create_subnet(**asked)["Subnet"]["SubnetId"]

    def subnet(self, subnet: str) -> dict[str, Any]:
        return self.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]

    def interface(self, subnet: int, **asked: Any) -> dict[str, Any]:
        """The interface of an instance that was launched with such a one."""
        interface = {"DeviceIndex": 0, "SubnetId": self.subnets[subnet], "Groups": [self.group], **asked}
        return self.describe(self.run(NetworkInterfaces=[interface]))["NetworkInterfaces"][0]


@pytest.fixture
def six(cloud: Any, ec2: Any) -> Six:
    return Six(cloud, ec2)


def test_a_new_vpc_gets_its_block_in_a_while(cloud: Any, ec2: Any) -> None:
    """API_CreateVpc, AmazonProvidedIpv6CidrBlock."""
    cloud.control("POST", "/transitions", {"slow": True})
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]

    def association() -> dict[str, Any]:
        (vpc,) = ec2.describe_vpcs(VpcIds=[made["VpcId"]])["Vpcs"]
        return vpc["Ipv6CidrBlockAssociationSet"][0]

    assert association()["Ipv6CidrBlockState"]["State"] == "associating"
    cloud.control("POST", "/transitions", {"slow": False})
    assert (association()["Ipv6CidrBlockState"]["State"], association()["Ipv6Pool"]) == ("associated", "Amazon")
    assert IPv6Network(association()["Ipv6CidrBlock"]).prefixlen == 56


def test_a_subnet_has_both_families_or_one(six: Six, ec2: Any) -> None:
    """API_CreateSubnet; API_Subnet."""
    both, only = (six.subnet(one) for one in six.subnets)
    (association,) = both["Ipv6CidrBlockAssociationSet"]
    assert (association["Ipv6CidrBlock"], association["Ipv6CidrBlockState"]["State"]) == (six.ranges[0], "associated")
    assert (both["Ipv6Native"], both["AssignIpv6AddressOnCreation"], both["EnableDns64"]) == (False, False, False)
    assert (only["Ipv6Native"], only["AssignIpv6AddressOnCreation"], only.get("CidrBlock")) == (True, True, None)
    assert only["AvailableIpAddressCount"] == 0
    ec2.modify_subnet_attribute(SubnetId=only["SubnetId"], EnableDns64={"Value": True})
    assert six.subnet(only["SubnetId"])["EnableDns64"] is True
    create = {"VpcId": six.vpc, "AvailabilityZone": "us-east-1a"}
    assert code_of(ec2.create_subnet, **create, Ipv6CidrBlock=six.ranges[2]) == "MissingParameter"
    for cidr, code in [
        (six.ranges[1], "InvalidSubnet.Conflict"),
        ("2001:db8::/64", "InvalidSubnet.Range"),
        (str(six.block()), "InvalidSubnet.Range"),
    ]:
        assert code_of(ec2.create_subnet, **create, CidrBlock="172.20.130.0/24", Ipv6CidrBlock=cidr) == code


def test_a_subnet_gets_a_range_while_it_lives(six: Six, ec2: Any) -> None:
    """API_AssociateSubnetCidrBlock; API_SubnetCidrBlockState."""
    subnet = ec2.create_subnet(VpcId=six.vpc, CidrBlock="172.20.131.0/24")["Subnet"]["SubnetId"]
    attribute = {"SubnetId": subnet, "AssignIpv6AddressOnCreation": {"Value": True}}
    assert code_of(ec2.modify_subnet_attribute, **attribute) == "InvalidParameterValue"
    asked = {"SubnetId": subnet, "Ipv6CidrBlock": six.ranges[2]}
    made = ec2.associate_subnet_cidr_block(**asked)["Ipv6CidrBlockAssociation"]
    assert made["Ipv6CidrBlockState"]["State"] == "associating"
    assert code_of(ec2.associate_subnet_cidr_block, **asked) == "InvalidParameterValue"

    def state() -> str:
        return six.subnet(subnet)["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlockState"]["State"]

    six.cloud.eventually(lambda: state() == "associated")
    ec2.modify_subnet_attribute(**attribute)
    assert six.subnet(subnet)["AssignIpv6AddressOnCreation"] is True


def test_an_interface_has_addresses_or_prefixes_of_its_subnet(six: Six, ec2: Any) -> None:
    """API_InstanceNetworkInterfaceSpecification."""
    both = six.interface(0, Ipv6AddressCount=1)
    (address,) = both["Ipv6Addresses"]
    assert IPv6Address(address["Ipv6Address"]) in IPv6Network(six.ranges[0])
    assert both["PrivateIpAddress"].startswith("172.20.128.")
    only = six.interface(1)
    assert (len(only["Ipv6Addresses"]), only.get("PrivateIpAddress"), only["PrivateIpAddresses"]) == (1, None, [])
    assert six.interface(0)["Ipv6Addresses"] == []
    (prefix,) = six.interface(0, Ipv6PrefixCount=1)["Ipv6Prefixes"]
    assert IPv6Network(prefix["Ipv6Prefix"]).prefixlen == 80


def test_an_interface_that_is_launched_has_no_prefix_beside_an_address(six: Six) -> None:
    """RunInstances, "You can and can only specify one of …": as users of AWS report (karpenter-provider-aws, issue 2187)."""
    interface = {"DeviceIndex": 0, "SubnetId": six.subnets[0], "Ipv6AddressCount": 1, "Ipv6PrefixCount": 1}
    assert code_of(six.run, NetworkInterfaces=[interface]) == "InvalidParameterValue"
    assert six.ec2.describe_instances()["Reservations"] == []


def test_addresses_and_prefixes_come_and_go_while_an_instance_runs(six: Six, ec2: Any) -> None:
    """API_AssignIpv6Addresses; API_UnassignIpv6Addresses."""
    first, second = (six.interface(0)["NetworkInterfaceId"] for _ in range(2))
    chosen = str(IPv6Network(six.ranges[0])[0xAC14800A])
    assign = ec2.assign_ipv6_addresses
    answer = assign(NetworkInterfaceId=first, Ipv6Addresses=[chosen], Ipv6PrefixCount=1)
    assert answer["AssignedIpv6Addresses"] == [chosen]
    (prefix,) = answer["AssignedIpv6Prefixes"]
    assert code_of(assign, NetworkInterfaceId=second, Ipv6Addresses=[chosen]) == "InvalidParameterValue"
    assert code_of(assign, NetworkInterfaceId=second, Ipv6Prefixes=[prefix]) == "InvalidParameterValue"
    assert code_of(assign, NetworkInterfaceId=second, Ipv6Addresses=["2001:db8::1"]) == "InvalidParameterValue"
    (seen,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[first])["NetworkInterfaces"]
    assert [one["Ipv6Address"] for one in seen["Ipv6Addresses"]] == [chosen]
    assert [one["Ipv6Prefix"] for one in seen["Ipv6Prefixes"]] == [prefix]
    ec2.unassign_ipv6_addresses(NetworkInterfaceId=first, Ipv6Addresses=[chosen])
    assign(NetworkInterfaceId=second, Ipv6Addresses=[chosen])


def test_an_egress_only_gateway_is_a_vpcs_for_life(six: Six, ec2: Any) -> None:
    """API_CreateEgressOnlyInternetGateway; VPC User Guide, "Egress-only internet gateways"."""
    asked = {
        "VpcId": six.vpc,
        "ClientToken": "once",
        "TagSpecifications": tag_specification("egress-only-internet-gateway", a="b"),
    }
    made = ec2.create_egress_only_internet_gateway(**asked)["EgressOnlyInternetGateway"]
    gateway = made["EgressOnlyInternetGatewayId"]
    again = ec2.create_egress_only_internet_gateway(**asked)["EgressOnlyInternetGateway"]
    assert (again["EgressOnlyInternetGatewayId"], made["Tags"]) == (gateway, [{"Key": "a", "Value": "b"}])
    assert made["Attachments"] == [{"State": "attached", "VpcId": six.vpc}]
    assert code_of(ec2.create_egress_only_internet_gateway, VpcId=six.vpc) == "InvalidParameterValue"
    ec2.create_tags(Resources=[gateway], Tags=[{"Key": "c", "Value": "d"}])
    (seen,) = ec2.describe_egress_only_internet_gateways(EgressOnlyInternetGatewayIds=[gateway])["EgressOnlyInternetGateways"]
    assert {one["Key"] for one in seen["Tags"]} == {"a", "c"}
    assert six.cloud.control("GET", "/inventory")["egressOnlyInternetGateways"] == [gateway]
    ec2.create_route(RouteTableId=six.table, DestinationIpv6CidrBlock="::/0", EgressOnlyInternetGatewayId=gateway)
    ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=gateway)
    describe = ec2.describe_egress_only_internet_gateways
    assert code_of(describe, EgressOnlyInternetGatewayIds=[gateway]) == "InvalidGatewayID.NotFound"
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [gateway]}])["Tags"]
    assert tags == []


def test_a_vpc_stays_while_it_has_an_egress_only_gateway(ec2: Any) -> None:
    """VPC User Guide, "Delete your VPC"."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    assert code_of(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=made["EgressOnlyInternetGatewayId"])
    ec2.delete_vpc(VpcId=vpc)


def test_a_load_balancer_has_ipv6_addresses_where_its_subnets_have(six: Six, cloud: Any, ec2: Any) -> None:
    """API_CreateLoadBalancer and API_SetIpAddressType; User Guide, "IP address type"."""
    elb = cloud.client("elbv2")
    bare = ec2.create_subnet(VpcId=six.vpc, CidrBlock="172.20.132.0/24")["Subnet"]["SubnetId"]
    asked = {"Name": "api", "Type": "network", "IpAddressType": "dualstack"}
    for subnet in (bare, six.subnets[1]):
        assert code_of(elb.create_load_balancer, **asked, SubnetMappings=[{"SubnetId": subnet}]) == "InvalidSubnet"
    made = elb.create_load_balancer(**asked, SubnetMappings=[{"SubnetId": six.subnets[0]}])["LoadBalancers"][0]
    assert made["IpAddressType"] == "dualstack"

    def addresses() -> int:
        found = ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [six.subnets[0]]}])
        return sum(len(one["Ipv6Addresses"]) for one in found["NetworkInterfaces"])

    assert addresses() == 1
    set_type = {"LoadBalancerArn": made["LoadBalancerArn"]}
    assert elb.set_ip_address_type(**set_type, IpAddressType="ipv4")["IpAddressType"] == "ipv4"
    assert addresses() == 0
    elb.set_ip_address_type(**set_type, IpAddressType="dualstack")
    assert addresses() == 1
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
