"""Auto Scaling as AWS does it."""

from typing import Any

from .conftest import code_of


def test_a_group_spreads_its_instances_over_the_zones(network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Distribute instances across Availability Zones"; moto fills one subnet only."""
    network.template()
    network.auto_scaling_group(autoscaling, size=4)
    members = network.wait_for(autoscaling, 4)
    assert sorted(one["AvailabilityZone"] for one in members) == ["us-east-1a", "us-east-1a", "us-east-1b", "us-east-1b"]


def test_a_member_knows_the_version_it_was_launched_from(network: Any, autoscaling: Any, ec2: Any) -> None:
    """API_Instance: LaunchTemplate is what the instance was launched from, with $Latest resolved to a number."""
    template = network.template()
    network.auto_scaling_group(autoscaling)
    (first,) = network.wait_for(autoscaling, 1)
    ec2.create_launch_template_version(
        LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.large", "UserData": "aGk="}
    )
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="nodes", MaxSize=2, DesiredCapacity=2)
    members = network.wait_for(autoscaling, 2)
    assert {one["InstanceId"] == first["InstanceId"]: one["LaunchTemplate"]["Version"] for one in members} == {
        True: "1",
        False: "2",
    }
    second = next(one for one in members if one["InstanceId"] != first["InstanceId"])
    described = network.describe(second["InstanceId"])
    assert described["InstanceType"] == "t3.large"
    assert {"Key": "aws:ec2launchtemplate:version", "Value": "2"} in described["Tags"]


def test_a_second_group_of_the_same_name_is_refused(network: Any, autoscaling: Any) -> None:
    """API_CreateAutoScalingGroup, Errors: AlreadyExists; moto replaces the group and orphans its instances."""
    network.template()
    network.auto_scaling_group(autoscaling)
    assert code_of(network.auto_scaling_group, autoscaling) == "AlreadyExists"
    network.wait_for(autoscaling, 1)


def test_the_desired_capacity_keeps_within_its_bounds(network: Any, autoscaling: Any) -> None:
    """API_SetDesiredCapacity, API_CreateAutoScalingGroup: ValidationError outside of min and max."""
    network.template()
    assert code_of(network.auto_scaling_group, autoscaling, DesiredCapacity=2) == "ValidationError"
    network.auto_scaling_group(autoscaling)
    assert code_of(autoscaling.set_desired_capacity, AutoScalingGroupName="nodes", DesiredCapacity=2) == "ValidationError"


def test_a_terminated_member_is_replaced(network: Any, autoscaling: Any, ec2: Any) -> None:
    """Auto Scaling User Guide, "Health checks for instances": a terminated instance is unhealthy and replaced."""
    network.template()
    network.auto_scaling_group(autoscaling)
    (first,) = network.wait_for(autoscaling, 1)
    ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    network.cloud.eventually(lambda: [one for one in network.members(autoscaling) if one["InstanceId"] != first["InstanceId"]])
    activities = autoscaling.describe_scaling_activities(AutoScalingGroupName="nodes")["Activities"]
    assert [one["StatusCode"] for one in activities] == ["Successful"] * 3
    assert "EC2 health check" in activities[1]["Cause"]
