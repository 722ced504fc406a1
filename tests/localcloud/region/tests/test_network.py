"""VPCs, subnets, gateways, routes and security groups: what AWS refuses, and what moto forgets."""

from typing import Any

from .conftest import code_of, tag_specification

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}


def test_a_subnet_with_an_instance_is_not_deleted(network: Any, ec2: Any) -> None:
    """API_DeleteSubnet: terminate the instances first. EC2 API error codes: DependencyViolation."""
    instance = network.run()
    assert code_of(ec2.delete_subnet, SubnetId=network.subnets[0]) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_subnet(SubnetId=network.subnets[0])


def test_deleting_a_subnet_frees_its_route_table(network: Any, ec2: Any) -> None:
    """API_DeleteRouteTable refuses a table with associations; a deleted subnet has none."""
    assert code_of(ec2.delete_route_table, RouteTableId=network.table) == "DependencyViolation"
    for subnet in network.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_route_table(RouteTableId=network.table)


def test_a_gateway_stays_while_addresses_are_mapped(network: Any, ec2: Any) -> None:
    """API_DetachInternetGateway: not while the VPC has instances with public addresses."""
    instance = network.run()
    ec2.associate_address(AllocationId=ec2.allocate_address(Domain="vpc")["AllocationId"], InstanceId=instance)
    detach = {"InternetGatewayId": network.gateway, "VpcId": network.vpc}
    assert code_of(ec2.detach_internet_gateway, **detach) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.detach_internet_gateway(**detach)


def test_a_vpc_goes_last(network: Any, ec2: Any) -> None:
    """API_DeleteVpc: everything but the default group, table and ACL must be gone; then its tags go too."""
    ec2.create_tags(Resources=[network.vpc], Tags=[{"Key": "cluster", "Value": "demo"}])
    for subnet in network.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_route_table(RouteTableId=network.table)
    assert code_of(ec2.delete_vpc, VpcId=network.vpc) == "DependencyViolation"
    ec2.detach_internet_gateway(InternetGatewayId=network.gateway, VpcId=network.vpc)
    assert code_of(ec2.delete_vpc, VpcId=network.vpc) == "DependencyViolation"
    ec2.delete_security_group(GroupId=network.group)
    ec2.delete_vpc(VpcId=network.vpc)
    assert ec2.describe_vpcs()["Vpcs"] == [] and ec2.describe_security_groups()["SecurityGroups"] == []
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [network.vpc]}])["Tags"] == []


def test_a_vpc_has_one_internet_gateway(network: Any, ec2: Any) -> None:
    """VPC User Guide, "Enable internet access for a VPC"."""
    second = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert code_of(ec2.attach_internet_gateway, InternetGatewayId=second, VpcId=network.vpc) == "InvalidParameterValue"


def test_a_subnet_has_one_route_table(network: Any, ec2: Any) -> None:
    """API_AssociateRouteTable: Resource.AlreadyAssociated; another table takes ReplaceRouteTableAssociation."""
    other = ec2.create_route_table(VpcId=network.vpc)["RouteTable"]["RouteTableId"]
    code = code_of(ec2.associate_route_table, RouteTableId=other, SubnetId=network.subnets[0])
    assert code == "Resource.AlreadyAssociated"


def test_a_new_subnet_is_private_until_told_otherwise(network: Any, ec2: Any) -> None:
    """API_ModifySubnetAttribute: off by default outside a default VPC; one attribute per request."""
    (described,) = ec2.describe_subnets(SubnetIds=[network.subnets[0]])["Subnets"]
    assert (described["MapPublicIpOnLaunch"], described["DefaultForAz"]) == (False, False)
    both = {"MapPublicIpOnLaunch": {"Value": True}, "EnableResourceNameDnsARecordOnLaunch": {"Value": True}}
    assert code_of(ec2.modify_subnet_attribute, SubnetId=network.subnets[0], **both) == "InvalidParameterCombination"
    for name, value in both.items():
        ec2.modify_subnet_attribute(SubnetId=network.subnets[0], **{name: value})
    ec2.modify_subnet_attribute(SubnetId=network.subnets[0], PrivateDnsHostnameTypeOnLaunch="resource-name")
    (described,) = ec2.describe_subnets(SubnetIds=[network.subnets[0]])["Subnets"]
    assert described["MapPublicIpOnLaunch"] is True
    options = described["PrivateDnsNameOptionsOnLaunch"]
    assert (options["HostnameType"], options["EnableResourceNameDnsARecord"]) == ("resource-name", True)


def test_a_used_security_group_is_not_deleted(network: Any, ec2: Any) -> None:
    """API_DeleteSecurityGroup: not while an interface or another group's rule uses it; never the default one."""
    other = ec2.create_security_group(GroupName="masters", Description="m", VpcId=network.vpc)["GroupId"]
    rule = {**SSH, "UserIdGroupPairs": [{"GroupId": network.group}]}
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[rule])
    assert code_of(ec2.delete_security_group, GroupId=network.group) == "DependencyViolation"
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[rule])
    instance = network.run(SecurityGroupIds=[network.group])
    assert code_of(ec2.delete_security_group, GroupId=network.group) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_security_group(GroupId=network.group)
    (default,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    assert code_of(ec2.delete_security_group, GroupId=default["GroupId"]) == "CannotDelete"


def test_rules_are_added_all_or_none(network: Any, ec2: Any) -> None:
    """API_AuthorizeSecurityGroupIngress, InvalidPermission.Duplicate; moto adds the new ones of such a request."""
    first = {**SSH, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "office"}]}
    ec2.authorize_security_group_ingress(GroupId=network.group, IpPermissions=[first])
    both = [first, {**SSH, "IpRanges": [{"CidrIp": "192.168.0.0/16"}]}]
    code = code_of(ec2.authorize_security_group_ingress, GroupId=network.group, IpPermissions=both)
    assert code == "InvalidPermission.Duplicate"
    (group,) = ec2.describe_security_groups(GroupIds=[network.group])["SecurityGroups"]
    assert group["IpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/8", "Description": "office"}]


def test_rules_are_kept_in_canonical_form(network: Any, ec2: Any) -> None:
    """API_IpRange: host bits are dropped. API_IpPermission: a protocol without ports, such as 4, has -1."""
    added = ec2.authorize_security_group_ingress(
        GroupId=network.group,
        IpPermissions=[
            {**SSH, "IpRanges": [{"CidrIp": "10.1.2.3/8"}]},
            {"IpProtocol": "4", "UserIdGroupPairs": [{"GroupId": network.group, "Description": "tunnels"}]},
        ],
        TagSpecifications=tag_specification("security-group-rule", cluster="demo"),
    )["SecurityGroupRules"]
    assert added[0]["CidrIpv4"] == "10.0.0.0/8"
    assert (added[1]["IpProtocol"], added[1]["FromPort"], added[1]["Description"]) == ("4", -1, "tunnels")
    found = ec2.describe_security_group_rules(Filters=[{"Name": "tag:cluster", "Values": ["demo"]}])["SecurityGroupRules"]
    assert [one["SecurityGroupRuleId"] for one in found] == [one["SecurityGroupRuleId"] for one in added]


def test_a_rule_is_modified_in_place(network: Any, ec2: Any) -> None:
    """API_ModifySecurityGroupRules: the id stays."""
    rule = {**SSH, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    (added,) = ec2.authorize_security_group_ingress(GroupId=network.group, IpPermissions=[rule])["SecurityGroupRules"]
    wanted = {**SSH, "CidrIpv4": "10.0.0.0/8", "Description": "office"}
    ec2.modify_security_group_rules(
        GroupId=network.group,
        SecurityGroupRules=[{"SecurityGroupRuleId": added["SecurityGroupRuleId"], "SecurityGroupRule": wanted}],
    )
    (found,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[added["SecurityGroupRuleId"]])["SecurityGroupRules"]
    assert (found["Description"], found["CidrIpv4"]) == ("office", "10.0.0.0/8")


def test_moto_s_answers_come_in_pages_too(network: Any, ec2: Any) -> None:
    """API_DescribeVpcs, MaxResults and NextToken; moto ignores them."""
    for number in range(6):
        ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
    pages = ec2.get_paginator("describe_vpcs").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["Vpcs"]) for page in pages] == [5, 2]


def test_a_dry_run_changes_nothing(ec2: Any) -> None:
    """EC2 API common parameters, DryRun: DryRunOperation; moto creates the VPC."""
    assert code_of(ec2.create_vpc, CidrBlock="10.0.0.0/16", DryRun=True) == "DryRunOperation"
    assert ec2.describe_vpcs()["Vpcs"] == []


def test_tags_of_aws_are_not_for_users(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "Tag your Amazon EC2 resources": the prefix aws: is reserved; DeleteTags minds the value."""
    code = code_of(ec2.create_tags, Resources=[network.vpc], Tags=[{"Key": "aws:x", "Value": "y"}])
    assert code == "InvalidParameterValue"
    assert code_of(ec2.create_tags, Resources=["i-00000000000000000"], Tags=[{"Key": "a", "Value": "b"}]) == "InvalidID"
    ec2.create_tags(Resources=[network.vpc, network.gateway], Tags=[{"Key": "cluster", "Value": "demo"}])
    ec2.delete_tags(Resources=[network.vpc], Tags=[{"Key": "cluster", "Value": "other"}])
    assert len(ec2.describe_vpcs(Filters=[{"Name": "tag:cluster", "Values": ["demo"]}])["Vpcs"]) == 1
    ec2.delete_tags(Resources=[network.vpc], Tags=[{"Key": "cluster"}])
    assert ec2.describe_vpcs(Filters=[{"Name": "tag:cluster", "Values": ["demo"]}])["Vpcs"] == []


def test_images_of_the_account_are_found_by_name_owner_and_tag(network: Any, ec2: Any) -> None:
    """API_DescribeImages: owners `self`, wildcards in names, tags, architecture."""
    network.cloud.control("POST", "/images", {"name": "windlass-2", "architecture": "arm64"})

    def found(owners: list[str], **filters: str) -> list[str]:
        asked = [{"Name": name.replace("__", ":"), "Values": [value]} for name, value in filters.items()]
        return [one["Name"] for one in ec2.describe_images(Owners=owners, Filters=asked)["Images"]]

    assert found(["self"], name="windlass-*") == ["windlass-1", "windlass-2"]
    assert found(["self"], architecture="arm64") == ["windlass-2"]
    assert found(["self"], tag__a="b") == ["windlass-1"]
    assert found(["amazon"], name="*") == []
    (image,) = ec2.describe_images(ImageIds=[network.image])["Images"]
    assert (image["RootDeviceName"], image["State"], image["CreationDate"][-1]) == ("/dev/xvda", "available", "Z")
    assert code_of(ec2.describe_images, ImageIds=["ami-00000000000000000"]) == "InvalidAMIID.NotFound"


def test_a_load_balancer_holds_its_subnet_its_group_and_the_gateway(network: Any, ec2: Any, cloud: Any) -> None:
    """Elastic Load Balancing has network interfaces in each of its subnets; both generations sign with one service name."""
    newer, older = cloud.client("elbv2"), cloud.client("elb")
    made = newer.create_load_balancer(Name="web", Subnets=network.subnets[:2], SecurityGroups=[network.group])
    listener = {"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 80}
    older.create_load_balancer(LoadBalancerName="old", Subnets=[network.subnets[0]], Listeners=[listener])
    detach = {"InternetGatewayId": network.gateway, "VpcId": network.vpc}
    for _ in range(2):
        assert code_of(ec2.delete_subnet, SubnetId=network.subnets[0]) == "DependencyViolation"
        assert code_of(ec2.detach_internet_gateway, **detach) == "DependencyViolation"
        older.delete_load_balancer(LoadBalancerName="old")
    assert code_of(ec2.delete_security_group, GroupId=network.group) == "DependencyViolation"
    newer.delete_load_balancer(LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"])
    ec2.delete_subnet(SubnetId=network.subnets[0])
    ec2.detach_internet_gateway(**detach)


def test_rules_are_described_anew(network: Any, ec2: Any) -> None:
    """API_UpdateSecurityGroupRuleDescriptionsIngress: of rules that are there."""
    rule = {**SSH, "PrefixListIds": [{"PrefixListId": "pl-0123456789abcdef0"}]}
    ec2.authorize_security_group_ingress(GroupId=network.group, IpPermissions=[rule])
    said = {**SSH, "PrefixListIds": [{"PrefixListId": "pl-0123456789abcdef0", "Description": "mine"}]}
    ec2.update_security_group_rule_descriptions_ingress(GroupId=network.group, IpPermissions=[said])
    described = ec2.describe_security_groups(GroupIds=[network.group])["SecurityGroups"][0]["IpPermissions"]
    assert described[0]["PrefixListIds"] == [{"PrefixListId": "pl-0123456789abcdef0", "Description": "mine"}]
    other = {**SSH, "IpRanges": [{"CidrIp": "203.0.113.0/24", "Description": "mine"}]}
    update = ec2.update_security_group_rule_descriptions_ingress
    assert code_of(update, GroupId=network.group, IpPermissions=[other]) == "InvalidPermission.NotFound"


def test_one_of_several_keys_of_tags_is_enough_for_a_filter(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for key in ("one", "other"):
        ec2.create_tags(Resources=[vpc], Tags=[{"Key": key, "Value": ""}])
    found = ec2.describe_vpcs(Filters=[{"Name": "tag-key", "Values": ["one", "absent"]}])["Vpcs"]
    assert [one["VpcId"] for one in found] == [vpc]
