"""Instances as AWS runs and ends them."""

import base64
import time
from typing import Any

import pytest

from .conftest import code_of, tag_specification


def test_as_many_instances_as_asked_for_are_launched(network: Any, ec2: Any) -> None:
    """API_RunInstances, MaxCount; moto launches MinCount."""
    request = {"ImageId": network.image, "InstanceType": "t3.medium", "SubnetId": network.subnets[0]}
    answer = ec2.run_instances(MinCount=1, MaxCount=3, **request)
    assert [one["State"]["Name"] for one in answer["Instances"]] == ["pending"] * 3


def test_a_small_subnet_takes_what_it_can_or_nothing(network: Any, ec2: Any) -> None:
    """API_RunInstances, MinCount and MaxCount: as many as possible, none if fewer than MinCount fit."""
    small = ec2.create_subnet(VpcId=network.vpc, CidrBlock="172.20.99.0/28", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    request = {"ImageId": network.image, "InstanceType": "t3.medium", "SubnetId": small}
    code = code_of(ec2.run_instances, MinCount=12, MaxCount=20, **request)
    assert code == "InsufficientFreeAddressesInSubnet"
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert len(ec2.run_instances(MinCount=5, MaxCount=20, **request)["Instances"]) == 11


def test_a_repeated_launch_with_the_same_token_launches_nothing(network: Any) -> None:
    """EC2 User Guide, "Ensuring idempotency in API requests"."""
    assert network.run(ClientToken="token") == network.run(ClientToken="token")
    assert code_of(network.run, ClientToken="token", InstanceType="t3.large") == "IdempotentParameterMismatch"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "t3.nonsense"}, "InvalidParameterValue"),
        ({"InstanceType": "t4g.medium"}, "InvalidParameterValue"),
        ({"KeyName": "none"}, "InvalidKeyPair.NotFound"),
        ({"IamInstanceProfile": {"Name": "none"}}, "InvalidParameterValue"),
        ({"SecurityGroupIds": ["sg-00000000000000000"]}, "InvalidGroup.NotFound"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "10.9.9.9"}, "InvalidParameterValue"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp9"}}]}, "InvalidParameterValue"),
        ({"TagSpecifications": tag_specification("instance", **{"aws:x": "y"})}, "InvalidParameterValue"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(network: Any, ec2: Any, wrong: dict[str, Any], code: str) -> None:
    """EC2 API error codes; a t4g is arm64 and the image x86_64."""
    assert code_of(network.run, **wrong) == code
    assert ec2.describe_instances()["Reservations"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == [] and ec2.describe_volumes()["Volumes"] == []


def test_a_security_group_of_another_vpc_is_refused(network: Any, ec2: Any) -> None:
    """EC2 API error codes, InvalidParameter: group and subnet belong to different networks."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    assert code_of(network.run, SecurityGroupIds=[group]) == "InvalidParameter"


def test_a_terminated_instance_lets_go_of_everything(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "Terminate Amazon EC2 instances": addresses are freed, volumes deleted or detached by their flag."""
    extra = {"DeviceName": "/dev/xvdg", "Ebs": {"VolumeSize": 3, "VolumeType": "gp3", "DeleteOnTermination": False}}
    instance = network.run(PrivateIpAddress="172.20.32.77", BlockDeviceMappings=[extra])
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=5, VolumeType="gp3")["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/xvdf")
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=allocation, InstanceId=instance)
    ec2.terminate_instances(InstanceIds=[instance])
    gone = network.describe(instance)
    assert gone["State"]["Name"] == "terminated"
    assert gone["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert "PrivateIpAddress" not in gone and gone["NetworkInterfaces"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert "AssociationId" not in ec2.describe_addresses()["Addresses"][0]
    assert {one["Size"]: one["State"] for one in ec2.describe_volumes()["Volumes"]} == {3: "available", 5: "available"}
    assert network.run(PrivateIpAddress="172.20.32.77") != instance


def test_a_protected_instance_is_not_terminated(network: Any, ec2: Any) -> None:
    """API_TerminateInstances: OperationNotPermitted while disableApiTermination is set, also when set at launch."""
    instance = network.run(DisableApiTermination=True)
    assert code_of(ec2.terminate_instances, InstanceIds=[instance]) == "OperationNotPermitted"
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[instance])


def test_the_source_destination_check_is_the_interfaces(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "Source/destination checking": set on instance or interface, seen on both."""
    instance = network.run()
    ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    interface = network.describe(instance)["NetworkInterfaces"][0]
    assert (network.describe(instance)["SourceDestCheck"], interface["SourceDestCheck"]) == (False, False)
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface["NetworkInterfaceId"], SourceDestCheck={"Value": True})
    assert network.describe(instance)["SourceDestCheck"] is True
    (seen,) = network.cloud.control("GET", "/world")["instances"]
    assert seen["sourceDestCheck"] is True


def test_metadata_options_change_one_by_one(network: Any, ec2: Any) -> None:
    """API_ModifyInstanceMetadataOptions: what isn't specified keeps its value."""
    instance = network.run(MetadataOptions={"HttpTokens": "required"})
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpPutResponseHopLimit=2)
    options = network.describe(instance)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)


def test_filters_find_instances(network: Any, ec2: Any) -> None:
    """API_DescribeInstances, Filters: values are alternatives, filters all hold, * and ? are wildcards."""
    first = network.run(TagSpecifications=tag_specification("instance", Name="master-a", cluster="demo"))
    second = network.run(1, TagSpecifications=tag_specification("instance", Name="node", cluster="demo"))

    def found(**filters: list[str]) -> list[str]:
        asked = [{"Name": name.replace("__", ":").replace("_", "-"), "Values": values} for name, values in filters.items()]
        answer = ec2.describe_instances(Filters=asked)
        return [one["InstanceId"] for reservation in answer["Reservations"] for one in reservation["Instances"]]

    assert found(tag__cluster=["demo"]) == [first, second]
    assert found(tag__cluster=["demo"], tag__Name=["mas*-?"]) == [first]
    assert found(vpc_id=[network.vpc], subnet_id=[network.subnets[1]]) == [second]
    ec2.terminate_instances(InstanceIds=[first])
    assert found(tag__cluster=["demo"], instance_state_name=["pending", "running"]) == [second]
    assert found(tag_key=["nothing"]) == []


def test_pages_hold_as_many_instances_as_asked_for(network: Any, ec2: Any) -> None:
    """API_DescribeInstances, MaxResults; moto counts reservations."""
    request = {"ImageId": network.image, "InstanceType": "t3.medium", "SubnetId": network.subnets[0]}
    ec2.run_instances(MinCount=7, MaxCount=7, **request)
    pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    assert [sum(len(one["Instances"]) for one in page["Reservations"]) for page in pages] == [5, 2]


def test_an_unknown_instance_is_an_error(ec2: Any) -> None:
    """EC2 API error codes: InvalidInstanceID.NotFound."""
    assert code_of(ec2.describe_instances, InstanceIds=["i-00000000000000000"]) == "InvalidInstanceID.NotFound"
    assert code_of(ec2.terminate_instances, InstanceIds=["i-00000000000000000"]) == "InvalidInstanceID.NotFound"


def test_the_console_shows_what_the_machine_wrote(network: Any, ec2: Any) -> None:
    """API_GetConsoleOutput: the last 64 KB."""
    instance = network.run()
    network.cloud.control("POST", f"/instances/{instance}/console", b"x" * 70000)
    network.cloud.control("POST", f"/instances/{instance}/console", b"login:\n")
    output = ec2.get_console_output(InstanceId=instance)["Output"]
    text = output if output.endswith("login:\n") else base64.b64decode(output).decode()
    assert text.endswith("login:\n") and len(text) == 65536


def test_a_resource_name_subnet_names_instances_by_their_id(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "EC2 instance hostnames and domains": resource name."""
    ec2.modify_subnet_attribute(SubnetId=network.subnets[0], PrivateDnsHostnameTypeOnLaunch="resource-name")
    instance = network.run()
    assert network.describe(instance)["PrivateDnsName"] == f"{instance}.ec2.internal"
    assert network.describe(network.run(1))["PrivateDnsName"].startswith("ip-172-20-64-")


def test_a_stopped_instance_keeps_its_addresses_but_the_automatic_one(network: Any, ec2: Any) -> None:
    """API_StopInstances, API_StartInstances; user data may only change meanwhile (API_ModifyInstanceAttribute)."""
    ec2.modify_subnet_attribute(SubnetId=network.subnets[0], MapPublicIpOnLaunch={"Value": True})
    instance = network.run()
    before = network.describe(instance)
    change = {"InstanceId": instance, "UserData": {"Value": b"hello"}}
    assert code_of(ec2.modify_instance_attribute, **change) == "IncorrectInstanceState"
    ec2.stop_instances(InstanceIds=[instance])
    stopped = network.describe(instance)
    assert (stopped["State"]["Name"], stopped["PrivateIpAddress"]) == ("stopped", before["PrivateIpAddress"])
    assert "PublicIpAddress" not in stopped
    ec2.modify_instance_attribute(**change)
    time.sleep(1.1)
    ec2.start_instances(InstanceIds=[instance])
    after = network.describe(instance)
    assert after["LaunchTime"] > before["LaunchTime"]
    assert after["State"]["Name"] == "running" and after["PublicIpAddress"] != before["PublicIpAddress"]
    (seen,) = network.cloud.control("GET", "/world")["instances"]
    assert base64.b64decode(seen["userData"]) == b"hello"
    ec2.terminate_instances(InstanceIds=[instance])
    assert code_of(ec2.start_instances, InstanceIds=[instance]) == "IncorrectInstanceState"


def test_a_reboot_is_told_to_the_machines_and_to_nobody_else(network: Any, ec2: Any) -> None:
    """API_RebootInstances: the instance goes on running, with all that it has."""
    instance = network.run()
    before = network.describe(instance)
    ec2.reboot_instances(InstanceIds=[instance])
    ec2.reboot_instances(InstanceIds=[instance])
    assert network.describe(instance) == before
    (seen,) = network.cloud.control("GET", "/world")["instances"]
    assert seen["reboots"] == 2
    ec2.stop_instances(InstanceIds=[instance])
    assert code_of(ec2.reboot_instances, InstanceIds=[instance]) == "IncorrectState"
