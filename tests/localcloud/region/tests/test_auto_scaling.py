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


def test_a_terminated_member_is_replaced_only_where_processes_run(network: Any, autoscaling: Any, ec2: Any) -> None:
    """Auto Scaling User Guide, "Suspend and resume processes": without Launch nothing is launched."""
    network.template()
    network.auto_scaling_group(autoscaling)
    (first,) = network.wait_for(autoscaling, 1)
    autoscaling.suspend_processes(AutoScalingGroupName="nodes", ScalingProcesses=["Launch"])
    ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    network.wait_for(autoscaling, 0)
    network.cloud.control("POST", "/reconcile")
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["Instances"] == []
    assert [one["ProcessName"] for one in group["SuspendedProcesses"]] == ["Launch"]
    autoscaling.resume_processes(AutoScalingGroupName="nodes")
    network.wait_for(autoscaling, 1)


def test_a_machine_that_dies_is_replaced(network: Any, autoscaling: Any) -> None:
    """README.md: a `terminated` that nobody asked for is a machine that died."""
    cloud = network.cloud
    cloud.control("POST", "/machines", {"connected": True})
    network.template()
    network.auto_scaling_group(autoscaling)

    def member(state: str) -> Any:
        return cloud.eventually(lambda: network.members(autoscaling, state=state))[0]["InstanceId"]

    first = member("Pending")
    cloud.control("POST", f"/instances/{first}/state", {"state": "running"})
    assert member("InService") == first
    cloud.control("POST", f"/instances/{first}/state", {"state": "terminated"})
    second = member("Pending")
    assert second != first
    assert network.describe(first)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_member_that_is_ending_is_listed_until_it_is_gone(network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Instance lifecycle": Terminating; its replacement doesn't wait for it."""
    cloud = network.cloud
    network.template()
    network.auto_scaling_group(autoscaling)
    (first,) = network.wait_for(autoscaling, 1)
    cloud.control("POST", "/machines", {"connected": True})
    activity = autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=first["InstanceId"], ShouldDecrementDesiredCapacity=False
    )["Activity"]
    assert activity["StatusCode"] == "InProgress"
    cloud.eventually(lambda: network.members(autoscaling, state="Pending"))
    assert [one["InstanceId"] for one in network.members(autoscaling, state="Terminating")] == [first["InstanceId"]]
    cloud.control("POST", f"/instances/{first['InstanceId']}/state", {"state": "terminated"})
    cloud.eventually(lambda: not network.members(autoscaling, state="Terminating"))


def test_a_decrement_below_the_minimum_is_refused(network: Any, autoscaling: Any) -> None:
    """API_TerminateInstanceInAutoScalingGroup, ShouldDecrementDesiredCapacity."""
    network.template()
    network.auto_scaling_group(autoscaling, MinSize=1, MaxSize=2, DesiredCapacity=2)
    members = network.wait_for(autoscaling, 2)
    terminate = autoscaling.terminate_instance_in_auto_scaling_group
    terminate(InstanceId=members[0]["InstanceId"], ShouldDecrementDesiredCapacity=True)
    (last,) = network.wait_for(autoscaling, 1)
    code = code_of(terminate, InstanceId=last["InstanceId"], ShouldDecrementDesiredCapacity=True)
    assert code == "ValidationError"
    unknown = {"InstanceId": "i-00000000000000000", "ShouldDecrementDesiredCapacity": False}
    assert code_of(terminate, **unknown) == "ValidationError"


def test_a_group_with_instances_is_deleted_only_by_force(network: Any, autoscaling: Any, ec2: Any) -> None:
    """API_DeleteAutoScalingGroup: ResourceInUse; with ForceDelete "Delete in progress" until the instances are gone."""
    cloud = network.cloud
    network.template()
    network.auto_scaling_group(autoscaling, size=2, NewInstancesProtectedFromScaleIn=True)
    members = network.wait_for(autoscaling, 2)
    assert code_of(autoscaling.delete_auto_scaling_group, AutoScalingGroupName="nodes") == "ResourceInUse"
    cloud.control("POST", "/machines", {"connected": True})
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="nodes", ForceDelete=True)
    cloud.eventually(lambda: len(network.members(autoscaling, state="Terminating")) == 2)
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["Status"] == "Delete in progress"
    for member in members:
        cloud.control("POST", f"/instances/{member['InstanceId']}/state", {"state": "terminated"})
    cloud.eventually(lambda: not autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"])
    alive = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    assert ec2.describe_instances(Filters=alive)["Reservations"] == []


def test_a_failed_launch_is_an_activity_and_is_tried_again(network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Troubleshoot: EC2 instance launch failures": the activity's status is Failed and says why."""
    fault = {"service": "ec2", "action": "RunInstances", "code": "InsufficientInstanceCapacity", "status": 500}
    network.cloud.control("POST", "/faults", [{**fault, "message": "We currently do not have sufficient t3.medium capacity"}])
    network.template()
    network.auto_scaling_group(autoscaling)
    network.wait_for(autoscaling, 1)
    new, old = autoscaling.describe_scaling_activities(AutoScalingGroupName="nodes")["Activities"]
    assert (new["StatusCode"], old["StatusCode"]) == ("Successful", "Failed")
    assert "sufficient t3.medium capacity" in old["StatusMessage"]


def test_a_template_that_cannot_launch_fails_in_the_activities(network: Any, autoscaling: Any) -> None:
    """API_CreateAutoScalingGroup takes a template whose image is missing; the launch then fails."""
    network.template(ImageId="ami-00000000000000000")
    network.auto_scaling_group(autoscaling)

    def failures() -> Any:
        return autoscaling.describe_scaling_activities(AutoScalingGroupName="nodes")["Activities"]

    (first, *_) = network.cloud.eventually(failures)
    assert first["StatusCode"] == "Failed" and "InvalidAMIID.NotFound" in first["StatusMessage"]


def test_an_unhealthy_member_is_replaced_in_the_order_that_the_policy_wants(network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Instance maintenance policies": 100 % healthy at least means launch before terminate."""
    cloud = network.cloud
    network.template()
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    network.auto_scaling_group(autoscaling, InstanceMaintenancePolicy=policy)
    network.auto_scaling_group(
        autoscaling, "master", InstanceMaintenancePolicy={"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100}
    )
    (node,), (master,) = network.wait_for(autoscaling, 1), network.wait_for(autoscaling, 1, "master")
    cloud.control("POST", "/machines", {"connected": True})
    for member in (node, master):
        autoscaling.set_instance_health(InstanceId=member["InstanceId"], HealthStatus="Unhealthy")
    (new_node,) = cloud.eventually(lambda: network.members(autoscaling, "nodes", "Pending"))
    (new_master,) = cloud.eventually(lambda: network.members(autoscaling, "master", "Pending"))
    assert network.describe(node["InstanceId"])["State"]["Name"] == "running"
    assert network.describe(master["InstanceId"])["State"]["Name"] == "shutting-down"
    for member in (new_node, new_master):
        cloud.control("POST", f"/instances/{member['InstanceId']}/state", {"state": "running"})
    cloud.eventually(lambda: network.describe(node["InstanceId"])["State"]["Name"] == "shutting-down")


def test_an_update_applies_every_field(network: Any, autoscaling: Any) -> None:
    """API_UpdateAutoScalingGroup; moto drops policies, cool-down, rebalancing and lifetime."""
    network.template()
    network.auto_scaling_group(autoscaling)
    wanted = {
        "TerminationPolicies": ["OldestInstance"],
        "DefaultCooldown": 60,
        "CapacityRebalance": True,
        "MaxInstanceLifetime": 864000,
        "HealthCheckGracePeriod": 120,
        "DefaultInstanceWarmup": 30,
        "NewInstancesProtectedFromScaleIn": True,
        "VPCZoneIdentifier": network.subnets[1],
        "InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 110},
        "MinSize": 0,
        "MaxSize": 3,
        "DesiredCapacity": 2,
    }
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="nodes", **wanted)
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["nodes"])["AutoScalingGroups"]
    assert {name: group[name] for name in wanted} == wanted
    assert group["AvailabilityZones"] == ["us-east-1b"]


def test_tags_reach_the_instances_that_they_are_for(network: Any, autoscaling: Any) -> None:
    """API_Tag, PropagateAtLaunch: on new instances; groups are found by their tags."""
    network.template()
    own = {"ResourceId": "nodes", "ResourceType": "auto-scaling-group"}
    both = [
        {**own, "Key": "role", "Value": "node", "PropagateAtLaunch": True},
        {**own, "Key": "cluster", "Value": "demo", "PropagateAtLaunch": False},
    ]
    network.auto_scaling_group(autoscaling, Tags=both)
    (member,) = network.wait_for(autoscaling, 1)
    found = {tag["Key"]: tag["Value"] for tag in network.describe(member["InstanceId"])["Tags"]}
    assert found["role"] == "node" and "cluster" not in found and found["aws:autoscaling:groupName"] == "nodes"
    filters = [{"Name": "tag:cluster", "Values": ["demo"]}]
    assert len(autoscaling.describe_auto_scaling_groups(Filters=filters)["AutoScalingGroups"]) == 1
    autoscaling.delete_tags(Tags=[{**own, "Key": "cluster"}])
    assert autoscaling.describe_auto_scaling_groups(Filters=filters)["AutoScalingGroups"] == []
    autoscaling.create_or_update_tags(Tags=[{**both[1], "Value": "other"}])
    values = {tag["Key"]: tag["Value"] for tag in autoscaling.describe_tags()["Tags"]}
    assert values == {"role": "node", "cluster": "other"}


def test_scaling_in_takes_the_oldest_template_of_the_fullest_zone(network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Default termination policy"; protected members stay."""
    network.template()
    network.auto_scaling_group(autoscaling, MinSize=0, MaxSize=4, DesiredCapacity=3)
    members = network.wait_for(autoscaling, 3)
    autoscaling.set_desired_capacity(AutoScalingGroupName="nodes", DesiredCapacity=2)
    left = network.wait_for(autoscaling, 2)
    assert sorted(one["AvailabilityZone"] for one in left) == ["us-east-1a", "us-east-1b"]
    ids = [one["InstanceId"] for one in left]
    autoscaling.set_instance_protection(AutoScalingGroupName="nodes", InstanceIds=ids[:1], ProtectedFromScaleIn=True)
    autoscaling.set_desired_capacity(AutoScalingGroupName="nodes", DesiredCapacity=0)
    assert [one["InstanceId"] for one in network.wait_for(autoscaling, 1)] == ids[:1]
    assert {one["InstanceId"] for one in members} >= set(ids)


def test_a_stopped_member_is_terminated_and_replaced(network: Any, autoscaling: Any, ec2: Any) -> None:
    """Auto Scaling User Guide, "Health checks for instances": any state but running is unhealthy."""
    network.template()
    network.auto_scaling_group(autoscaling)
    (first,) = network.wait_for(autoscaling, 1)
    ec2.stop_instances(InstanceIds=[first["InstanceId"]])
    network.cloud.eventually(lambda: network.describe(first["InstanceId"])["State"]["Name"] == "terminated")
    (second,) = network.wait_for(autoscaling, 1)
    assert second["InstanceId"] != first["InstanceId"]


def test_a_tag_that_is_named_with_another_value_stays(network: Any, autoscaling: Any) -> None:
    """A tag to delete is named by its key; a value with it is a condition."""
    network.template()
    network.auto_scaling_group(autoscaling)
    tag = {"ResourceId": "nodes", "ResourceType": "auto-scaling-group", "Key": "team"}
    autoscaling.create_or_update_tags(Tags=[{**tag, "Value": "a", "PropagateAtLaunch": True}])
    for given, left in (({"Value": ""}, 1), ({}, 0)):
        autoscaling.delete_tags(Tags=[{**tag, **given}])
        group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["nodes"])["AutoScalingGroups"][0]
        assert len([one for one in group["Tags"] if one["Key"] == "team"]) == left
