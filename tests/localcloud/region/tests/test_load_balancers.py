"""Network load balancers."""

import re
from typing import Any

import pytest

from .conftest import code_of, tag_specification
from .test_authorization import allow, enforced, make_role  # noqa: F401

ZONE = "Z26RNL4JYFTOTI"


@pytest.fixture
def elb(cloud: Any) -> Any:
    return cloud.client("elbv2")


def balancer(network: Any, elb: Any, name: str = "api", **others: Any) -> Any:
    """Makes one in both of the network's subnets."""
    asked = {"Name": name, "Type": "network", **others}
    if "SubnetMappings" not in asked:
        asked.setdefault("Subnets", network.subnets)
    return elb.create_load_balancer(**asked)["LoadBalancers"][0]


def describe(elb: Any, arn: str) -> Any:
    (found,) = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    return found


def interfaces(ec2: Any) -> list[Any]:
    filters = [{"Name": "interface-type", "Values": ["network_load_balancer"]}]
    return list(ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"])


def allocate(ec2: Any) -> str:
    return str(ec2.allocate_address(Domain="vpc")["AllocationId"])


def test_a_load_balancer_has_names_of_its_own_and_becomes_active(network: Any, elb: Any) -> None:
    """API_LoadBalancer; moto calls all of them `app`, and all of a name the same. README.md, `POST /_region/transitions`."""
    network.cloud.control("POST", "/transitions", {"slow": True})
    made = balancer(network, elb)
    arn = r"arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/api/([0-9a-f]{16})"
    matched = re.fullmatch(arn, made["LoadBalancerArn"])
    assert matched and made["DNSName"] == f"api-{matched[1]}.elb.us-east-1.amazonaws.com"
    assert (made["State"], made["Type"], made["Scheme"]) == ({"Code": "provisioning"}, "network", "internet-facing")
    assert (made["CanonicalHostedZoneId"], made["VpcId"], made["IpAddressType"]) == (ZONE, network.vpc, "ipv4")
    assert describe(elb, made["LoadBalancerArn"])["State"]["Code"] == "provisioning"
    network.cloud.control("POST", "/transitions", {"slow": False})
    found = describe(elb, made["LoadBalancerArn"])
    assert found["State"]["Code"] == "active" and "SecurityGroups" not in found
    places = [{"ZoneName": f"us-east-1{zone}", "SubnetId": subnet} for zone, subnet in zip("ab", network.subnets, strict=True)]
    assert found["AvailabilityZones"] == [{**place, "LoadBalancerAddresses": []} for place in places]


def test_the_same_name_with_other_settings_is_refused(network: Any, elb: Any) -> None:
    """API_CreateLoadBalancer: idempotent; DuplicateLoadBalancerName. moto makes a second one."""
    first = balancer(network, elb)
    assert balancer(network, elb, Subnets=network.subnets[::-1])["LoadBalancerArn"] == first["LoadBalancerArn"]
    for others in ({"Scheme": "internal"}, {"Subnets": network.subnets[:1]}, {"SecurityGroups": [network.group]}):
        assert code_of(balancer, network, elb, **others) == "DuplicateLoadBalancerName"
    assert len(elb.describe_load_balancers()["LoadBalancers"]) == 1


@pytest.mark.parametrize("name", ["a" * 33, "internal-api", "-api", "api-", "a.b", "a_b"])
def test_a_name_that_is_none_is_refused(network: Any, elb: Any, name: str) -> None:
    """API_CreateLoadBalancer, Name."""
    assert code_of(balancer, network, elb, name) == "ValidationError"


def test_what_does_not_fit_is_refused(network: Any, elb: Any, ec2: Any) -> None:
    """API_CreateLoadBalancer, Errors."""
    same_zone = ec2.create_subnet(VpcId=network.vpc, CidrBlock="172.20.96.0/24", AvailabilityZone="us-east-1a")["Subnet"]
    both = [network.subnets[0], same_zone["SubnetId"]]
    assert code_of(balancer, network, elb, Subnets=both) == "InvalidConfigurationRequest"
    assert code_of(balancer, network, elb, Subnets=["subnet-00000000"]) == "SubnetNotFound"
    assert code_of(balancer, network, elb, SecurityGroups=["sg-00000000"]) == "InvalidSecurityGroup"
    subnet = {"SubnetId": network.subnets[0]}
    unknown = [{**subnet, "AllocationId": "eipalloc-00000000"}]
    assert code_of(balancer, network, elb, SubnetMappings=unknown) == "AllocationIdNotFound"
    private = [{**subnet, "PrivateIPv4Address": "172.20.32.9"}]
    assert code_of(balancer, network, elb, SubnetMappings=private) == "InvalidConfigurationRequest"
    outside = [{**subnet, "PrivateIPv4Address": "10.0.0.9"}]
    internal = {"Scheme": "internal"}
    assert code_of(balancer, network, elb, SubnetMappings=outside, **internal) == "InvalidConfigurationRequest"
    elastic = [{**subnet, "AllocationId": allocate(ec2)}]
    assert code_of(balancer, network, elb, SubnetMappings=elastic, **internal) == "InvalidConfigurationRequest"
    ec2.detach_internet_gateway(InternetGatewayId=network.gateway, VpcId=network.vpc)
    assert code_of(balancer, network, elb) == "InvalidSubnet"
    balancer(network, elb, **internal)
    assert len(interfaces(ec2)) == 2


def test_its_interfaces_have_the_addresses_that_were_asked_for(network: Any, elb: Any, ec2: Any) -> None:
    """API_SubnetMapping; moto drops both kinds of addresses."""
    allocation = allocate(ec2)
    mappings = [{"SubnetId": network.subnets[0], "AllocationId": allocation}, {"SubnetId": network.subnets[1]}]
    made = balancer(network, elb, SubnetMappings=mappings, SecurityGroups=[network.group])
    assert made["SecurityGroups"] == [network.group]
    (elastic,) = ec2.describe_addresses()["Addresses"]
    (told,) = made["AvailabilityZones"][0]["LoadBalancerAddresses"]
    assert told == {"AllocationId": allocation, "IpAddress": elastic["PublicIp"]}
    first, second = sorted(interfaces(ec2), key=lambda one: network.subnets.index(one["SubnetId"]))
    assert first["Description"] == second["Description"] == f"ELB {made['LoadBalancerArn'].partition('loadbalancer/')[2]}"
    assert (first["RequesterManaged"], first["RequesterId"], first["Status"]) == (True, "amazon-elb", "in-use")
    assert [group["GroupId"] for group in first["Groups"]] == [network.group]
    assert first["Association"]["PublicIp"] == elastic["PublicIp"] and second["Association"]["IpOwnerId"] == "amazon-elb"
    assert code_of(ec2.release_address, AllocationId=allocation) == "InvalidIPAddress.InUse"
    assert code_of(balancer, network, elb, "other", SubnetMappings=mappings) == "ResourceInUse"
    private = [{"SubnetId": network.subnets[0], "PrivateIPv4Address": "172.20.32.77"}]
    inside = balancer(network, elb, "inside", Scheme="internal", SubnetMappings=private)
    assert inside["AvailabilityZones"][0]["LoadBalancerAddresses"] == [{"PrivateIPv4Address": "172.20.32.77"}]
    own = [one for one in interfaces(ec2) if "net/inside/" in one["Description"]]
    assert [(one["PrivateIpAddress"], "Association" in one) for one in own] == [("172.20.32.77", False)]


def test_its_interfaces_go_a_while_after_it(network: Any, elb: Any, ec2: Any) -> None:
    """API_DeleteLoadBalancer; what it holds can't be deleted before. One that isn't there is no error."""
    allocation = allocate(ec2)
    mappings = [{"SubnetId": network.subnets[0], "AllocationId": allocation}]
    made = balancer(network, elb, SubnetMappings=mappings, SecurityGroups=[network.group])["LoadBalancerArn"]
    network.cloud.control("POST", "/transitions", {"slow": True})
    for _ in range(2):
        detach = {"InternetGatewayId": network.gateway, "VpcId": network.vpc}
        assert code_of(ec2.delete_subnet, SubnetId=network.subnets[0]) == "DependencyViolation"
        assert code_of(ec2.delete_security_group, GroupId=network.group) == "DependencyViolation"
        assert code_of(ec2.delete_vpc, VpcId=network.vpc) == "DependencyViolation"
        assert code_of(ec2.detach_internet_gateway, **detach) == "DependencyViolation"
        elb.delete_load_balancer(LoadBalancerArn=made)
    assert code_of(elb.describe_load_balancers, LoadBalancerArns=[made]) == "LoadBalancerNotFound"
    network.cloud.control("POST", "/transitions", {"slow": False})
    ec2.delete_subnet(SubnetId=network.subnets[0])
    ec2.delete_security_group(GroupId=network.group)
    ec2.detach_internet_gateway(**detach)
    ec2.release_address(AllocationId=allocation)
    assert interfaces(ec2) == []
    assert code_of(elb.delete_load_balancer, LoadBalancerArn="nonsense") == "ValidationError"


def test_attributes_have_defaults_and_are_honoured(network: Any, elb: Any, s3: Any) -> None:
    """API_LoadBalancerAttribute; "Deletion protection"; moto deletes protected ones."""
    arn = balancer(network, elb)["LoadBalancerArn"]

    def attributes() -> dict[str, str]:
        answer = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        return {one["Key"]: one["Value"] for one in answer}

    def change(**values: str) -> None:
        wanted = [{"Key": key.replace("__", "."), "Value": value} for key, value in values.items()]
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=wanted)

    before = attributes()
    assert (before["load_balancing.cross_zone.enabled"], before["deletion_protection.enabled"]) == ("false", "false")
    assert before["access_logs.s3.enabled"] == "false"
    change(deletion_protection__enabled="true", load_balancing__cross_zone__enabled="true")
    assert attributes() == {**before, "deletion_protection.enabled": "true", "load_balancing.cross_zone.enabled": "true"}
    assert code_of(elb.delete_load_balancer, LoadBalancerArn=arn) == "OperationNotPermitted"
    assert code_of(change, nonsense="true") == code_of(change, deletion_protection__enabled="yes") == "ValidationError"
    logs = {"access_logs__s3__enabled": "true", "access_logs__s3__bucket": "logs", "access_logs__s3__prefix": "api"}
    assert code_of(change, **logs) == "InvalidConfigurationRequest"
    s3.create_bucket(Bucket="logs")
    change(**logs, deletion_protection__enabled="false")
    assert attributes()["access_logs.s3.prefix"] == "api"
    elb.delete_load_balancer(LoadBalancerArn=arn)


def test_subnets_and_security_groups_are_set(network: Any, elb: Any, ec2: Any) -> None:
    """API_SetSubnets; API_SetSecurityGroups: only where it had some from the beginning."""
    arn = balancer(network, elb, Subnets=network.subnets[:1], SecurityGroups=[network.group])["LoadBalancerArn"]
    answer = elb.set_subnets(LoadBalancerArn=arn, Subnets=network.subnets)["AvailabilityZones"]
    assert [one["SubnetId"] for one in answer] == network.subnets and len(interfaces(ec2)) == 2
    elb.set_subnets(LoadBalancerArn=arn, Subnets=network.subnets[1:])
    network.cloud.eventually(lambda: [one["SubnetId"] for one in interfaces(ec2)] == network.subnets[1:])
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=network.vpc)["GroupId"]
    assert elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[other])["SecurityGroupIds"] == [other]
    assert [group["GroupId"] for group in interfaces(ec2)[0]["Groups"]] == [other]
    assert describe(elb, arn)["SecurityGroups"] == [other]
    assert code_of(elb.set_security_groups, LoadBalancerArn=arn, SecurityGroups=[]) == "InvalidConfigurationRequest"
    without = balancer(network, elb, "without")["LoadBalancerArn"]
    assert code_of(elb.set_security_groups, LoadBalancerArn=without, SecurityGroups=[other]) == "InvalidConfigurationRequest"
    same = {"Subnets": network.subnets[1:], "SecurityGroups": [other]}
    assert balancer(network, elb, **same)["LoadBalancerArn"] == arn


def test_load_balancers_are_found_by_arn_and_name_and_come_in_pages(network: Any, elb: Any) -> None:
    """API_DescribeLoadBalancers; moto's pages never end where two have one name."""
    arns = [balancer(network, elb, f"api-{number}")["LoadBalancerArn"] for number in range(3)]
    pages = elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2})
    assert [[one["LoadBalancerArn"] for one in page["LoadBalancers"]] for page in pages] == [arns[:2], arns[2:]]
    (found,) = elb.describe_load_balancers(Names=["api-1"])["LoadBalancers"]
    assert found["LoadBalancerArn"] == arns[1]
    assert code_of(elb.describe_load_balancers, Names=["none"]) == "LoadBalancerNotFound"
    assert code_of(elb.describe_load_balancers, LoadBalancerArns=[arns[0][:-1] + "g"]) == "ValidationError"
    assert code_of(elb.describe_load_balancers, Marker="nonsense") == "ValidationError"
    assert network.cloud.control("GET", "/inventory")["loadBalancers"] == ["api-0", "api-1", "api-2"]


def test_tags_are_of_twenty_resources_at_once(network: Any, elb: Any) -> None:
    """API_DescribeTags, API_AddTags, API_RemoveTags; moto describes the tags of more."""
    arn = balancer(network, elb, Tags=[{"Key": "a", "Value": "1"}])["LoadBalancerArn"]

    def tags() -> dict[str, str]:
        (described,) = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
        assert described["ResourceArn"] == arn
        return {tag["Key"]: tag["Value"] for tag in described["Tags"]}

    elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b"}])
    assert tags() == {"a": "2", "b": ""}
    elb.remove_tags(ResourceArns=[arn], TagKeys=["a", "none"])
    assert tags() == {"b": ""}
    assert code_of(elb.describe_tags, ResourceArns=[arn] * 21) == "ValidationError"
    assert code_of(elb.add_tags, ResourceArns=[arn], Tags=[{"Key": "aws:x", "Value": ""}]) == "ValidationError"
    assert code_of(elb.add_tags, ResourceArns=[arn], Tags=[{"Key": "x"}, {"Key": "x"}]) == "DuplicateTagKeys"
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    assert code_of(elb.add_tags, ResourceArns=[arn], Tags=many) == "TooManyTags"
    gone = arn[:-16] + "0" * 16
    assert code_of(elb.describe_tags, ResourceArns=[gone]) == "LoadBalancerNotFound"
    assert code_of(elb.add_tags, ResourceArns=["nonsense"], Tags=[{"Key": "a"}]) == "ValidationError"


def test_a_load_balancer_that_was_just_made_cannot_be_seen(network: Any, elb: Any) -> None:
    """README.md, faults, `unseenMs`: not in lists, nor by its ARN or name."""
    old = balancer(network, elb, "old")["LoadBalancerArn"]
    network.cloud.control("POST", "/faults", [{"service": "elbv2", "action": "CreateLoadBalancer", "unseenMs": 60000}])
    arn = balancer(network, elb)["LoadBalancerArn"]
    assert [one["LoadBalancerArn"] for one in elb.describe_load_balancers()["LoadBalancers"]] == [old]
    assert code_of(elb.describe_load_balancers, LoadBalancerArns=[arn]) == "LoadBalancerNotFound"
    assert code_of(elb.describe_load_balancers, Names=["api"]) == "LoadBalancerNotFound"
    assert code_of(elb.describe_tags, ResourceArns=[old, arn]) == "LoadBalancerNotFound"
    assert code_of(elb.describe_listeners, LoadBalancerArn=arn) == "LoadBalancerNotFound"
    assert balancer(network, elb)["LoadBalancerArn"] == arn


def test_a_lost_reply_leaves_one_load_balancer(network: Any, elb: Any) -> None:
    """README.md, faults, `after`."""
    network.cloud.control("POST", "/faults", [{"service": "elbv2", "action": "CreateLoadBalancer", "after": True}])
    assert code_of(balancer, network, elb) == "InternalError"
    arn = balancer(network, elb)["LoadBalancerArn"]
    assert [one["LoadBalancerArn"] for one in elb.describe_load_balancers()["LoadBalancers"]] == [arn]


@pytest.mark.parametrize("cluster", ["demo", "other"])
def test_a_policy_sees_tags_and_names(network: Any, elb: Any, iam: Any, enforced: Any, cluster: str) -> None:  # noqa: F811
    """Service Authorization Reference, Elastic Load Balancing V2: tags at creation need AddTags, too."""
    account = "arn:aws:elasticloadbalancing:us-east-1:123456789012"
    on_create, resource_tag = {"aws:RequestTag/cluster": "demo"}, {"elasticloadbalancing:ResourceTag/cluster": "demo"}
    creating = {"elasticloadbalancing:CreateAction": "CreateLoadBalancer"}
    make_role(
        iam,
        "masters",
        allow(["elasticloadbalancing:CreateLoadBalancer"], f"{account}:loadbalancer/net/api/*", StringEquals=on_create),
        allow(["elasticloadbalancing:AddTags"], f"{account}:loadbalancer/net/api/*", StringEquals=creating),
        allow(["elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:AddTags"], StringEquals=resource_tag),
        allow(["elasticloadbalancing:Describe*"]),
    )
    tags = [{"Key": "cluster", "Value": cluster}]
    there = balancer(network, elb, "there", Tags=tags)["LoadBalancerArn"]
    instance = network.run(IamInstanceProfile={"Name": "masters"}, TagSpecifications=tag_specification("instance", a="b"))
    client = network.cloud.as_instance("elbv2", instance)
    enforced()
    assert len(client.describe_load_balancers()["LoadBalancers"]) == 1
    assert code_of(balancer, network, client) == code_of(balancer, network, client, "web", Tags=tags) == "AccessDenied"
    if cluster == "demo":
        balancer(network, client, Tags=tags)
        client.add_tags(ResourceArns=[there], Tags=[{"Key": "a", "Value": "b"}])
        client.delete_load_balancer(LoadBalancerArn=there)
    else:
        assert code_of(balancer, network, client, Tags=tags) == "AccessDenied"
        assert code_of(client.add_tags, ResourceArns=[there], Tags=[{"Key": "a", "Value": "b"}]) == "AccessDenied"
        assert code_of(client.delete_load_balancer, LoadBalancerArn=there) == "AccessDenied"
