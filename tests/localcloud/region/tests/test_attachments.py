"""Auto Scaling groups and the load balancers that their members are registered with."""

from typing import Any

import pytest

from .conftest import code_of
from .test_load_balancers import elb  # noqa: F401
from .test_target_groups import Balanced

NODES = {"AutoScalingGroupName": "nodes"}


@pytest.fixture
def balanced(network: Any, elb: Any) -> Balanced:  # noqa: F811
    made = Balanced(network, elb)
    made.listener()
    network.template()
    return made


def ids(network: Any, autoscaling: Any) -> set[str]:
    return {one["InstanceId"] for one in network.members(autoscaling)}


def test_members_are_targets_while_they_serve(balanced: Any, network: Any, autoscaling: Any) -> None:
    """API_CreateAutoScalingGroup, TargetGroupARNs; with moto terminated instances stay healthy targets."""
    cloud = network.cloud
    network.auto_scaling_group(autoscaling, TargetGroupARNs=[balanced.targets], MaxSize=3)
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["TargetGroupARNs"], group["LoadBalancerNames"]) == ([balanced.targets], [])
    (first,) = network.wait_for(autoscaling, 1)
    cloud.eventually(lambda: balanced.health() == {first["InstanceId"]: "healthy"})
    autoscaling.set_desired_capacity(**NODES, DesiredCapacity=3)
    network.wait_for(autoscaling, 3)
    assert set(balanced.health()) == ids(network, autoscaling)
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=first["InstanceId"], ShouldDecrementDesiredCapacity=True)
    assert balanced.health()[first["InstanceId"]] == "draining"
    cloud.control("POST", "/clock", {"seconds": 300})
    network.wait_for(autoscaling, 2)
    assert set(balanced.health()) == ids(network, autoscaling) and first["InstanceId"] not in balanced.health()
    (state,) = autoscaling.describe_load_balancer_target_groups(**NODES)["LoadBalancerTargetGroups"]
    assert state["LoadBalancerTargetGroupARN"] == balanced.targets and state["State"] in ("Added", "InService")


def test_a_member_drains_until_its_machine_is_gone(balanced: Any, network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide: a terminating instance is deregistered; a pending one isn't registered yet."""
    cloud = network.cloud
    cloud.control("POST", "/machines", {"connected": True})
    network.auto_scaling_group(autoscaling, TargetGroupARNs=[balanced.targets])
    (pending,) = cloud.eventually(lambda: network.members(autoscaling, state="Pending"))
    assert balanced.health() == {}
    cloud.control("POST", f"/instances/{pending['InstanceId']}/state", {"state": "running"})
    cloud.eventually(lambda: balanced.health() == {pending["InstanceId"]: "initial"})
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=pending["InstanceId"], ShouldDecrementDesiredCapacity=False)
    assert balanced.health() == {pending["InstanceId"]: "draining"}
    cloud.control("POST", f"/instances/{pending['InstanceId']}/state", {"state": "terminated"})
    assert balanced.health() == {}


def test_a_member_that_ends_drains_first_and_then_waits_for_its_hook(balanced: Any, network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "How lifecycle hooks work"; the deregistration delay is 300 seconds."""
    cloud = network.cloud
    network.auto_scaling_group(autoscaling, TargetGroupARNs=[balanced.targets])
    hook = {**NODES, "LifecycleHookName": "drain"}
    autoscaling.put_lifecycle_hook(**hook, LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING", HeartbeatTimeout=60)
    (member,) = network.wait_for(autoscaling, 1)
    instance = member["InstanceId"]
    cloud.eventually(lambda: balanced.health() == {instance: "healthy"})
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
    cloud.control("POST", "/clock", {"seconds": 299})
    assert balanced.health()[instance] == "draining"
    assert instance in {one["InstanceId"] for one in network.members(autoscaling, state="Terminating")}
    complete = {**hook, "InstanceId": instance, "LifecycleActionResult": "CONTINUE"}
    assert code_of(autoscaling.complete_lifecycle_action, **complete) == "ValidationError", "nothing waits yet"
    cloud.control("POST", "/clock", {"seconds": 2})
    cloud.eventually(lambda: network.members(autoscaling, state="Terminating:Wait"))
    assert network.describe(instance)["State"]["Name"] == "running" and instance not in balanced.health()
    autoscaling.complete_lifecycle_action(**complete)
    assert network.describe(instance)["State"]["Name"] == "terminated"


def test_who_deletes_a_group_with_its_instances_does_not_wait_until_they_have_drained(
    balanced: Any, network: Any, autoscaling: Any
) -> None:
    """API_DeleteAutoScalingGroup, ForceDelete: "without waiting for all instances to be terminated"."""
    network.auto_scaling_group(autoscaling, TargetGroupARNs=[balanced.targets])
    (member,) = network.wait_for(autoscaling, 1)
    network.cloud.eventually(lambda: balanced.health() == {member["InstanceId"]: "healthy"})
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=member["InstanceId"], ShouldDecrementDesiredCapacity=False)
    assert network.describe(member["InstanceId"])["State"]["Name"] == "running"
    autoscaling.delete_auto_scaling_group(**NODES, ForceDelete=True)
    network.cloud.eventually(lambda: network.describe(member["InstanceId"])["State"]["Name"] == "terminated")


def test_target_groups_are_attached_and_detached(balanced: Any, network: Any, autoscaling: Any) -> None:
    """API_AttachLoadBalancerTargetGroups, API_DetachLoadBalancerTargetGroups; after moto's the latter fails."""
    network.auto_scaling_group(autoscaling)
    (member,) = network.wait_for(autoscaling, 1)
    for _ in range(2):
        autoscaling.attach_load_balancer_target_groups(**NODES, TargetGroupARNs=[balanced.targets])
    network.cloud.eventually(lambda: balanced.health() == {member["InstanceId"]: "healthy"})
    (state,) = autoscaling.describe_load_balancer_target_groups(**NODES)["LoadBalancerTargetGroups"]
    assert state["State"] == "InService"
    autoscaling.detach_load_balancer_target_groups(**NODES, TargetGroupARNs=[balanced.targets])
    assert balanced.health() == {member["InstanceId"]: "draining"}
    assert autoscaling.describe_load_balancer_target_groups(**NODES)["LoadBalancerTargetGroups"] == []
    detach = autoscaling.detach_load_balancer_target_groups
    assert code_of(detach, **NODES, TargetGroupARNs=[balanced.targets]) == "ValidationError"


def test_only_what_there_is_can_be_attached(balanced: Any, network: Any, autoscaling: Any) -> None:
    """ValidationError, as for everything that Auto Scaling can't find."""
    unknown = {"TargetGroupARNs": [balanced.targets[:-16] + "0" * 16]}
    assert code_of(network.auto_scaling_group, autoscaling, **unknown) == "ValidationError"
    assert code_of(network.auto_scaling_group, autoscaling, LoadBalancerNames=["none"]) == "ValidationError"
    network.auto_scaling_group(autoscaling)
    assert code_of(autoscaling.attach_load_balancer_target_groups, **NODES, **unknown) == "ValidationError"
    assert code_of(autoscaling.attach_load_balancers, **NODES, LoadBalancerNames=["none"]) == "ValidationError"
    by_address = balanced.target_group("by-address", TargetType="ip")
    assert code_of(autoscaling.attach_load_balancer_target_groups, **NODES, TargetGroupARNs=[by_address]) == "ValidationError"


def test_classic_load_balancers_are_attached_and_detached(network: Any, autoscaling: Any, cloud: Any) -> None:
    """API_AttachLoadBalancers, API_DescribeLoadBalancers, API_DetachLoadBalancers."""
    classic = cloud.client("elb")
    for name in ("old", "older"):
        listener = {"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 80}
        classic.create_load_balancer(LoadBalancerName=name, Subnets=network.subnets[:1], Listeners=[listener])

    def registered(name: str) -> list[str]:
        (found,) = classic.describe_load_balancers(LoadBalancerNames=[name])["LoadBalancerDescriptions"]
        return [one["InstanceId"] for one in found["Instances"]]

    network.template()
    network.auto_scaling_group(autoscaling, LoadBalancerNames=["old"])
    (member,) = network.wait_for(autoscaling, 1)
    autoscaling.attach_load_balancers(**NODES, LoadBalancerNames=["older"])
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["LoadBalancerNames"] == ["old", "older"]
    assert registered("old") == registered("older") == [member["InstanceId"]]
    rows = autoscaling.describe_load_balancers(**NODES)["LoadBalancers"]
    assert rows == [{"LoadBalancerName": name, "State": "InService"} for name in ("old", "older")]
    autoscaling.detach_load_balancers(**NODES, LoadBalancerNames=["old"])
    assert (registered("old"), registered("older")) == ([], [member["InstanceId"]])
    autoscaling.delete_auto_scaling_group(**NODES, ForceDelete=True)
    cloud.eventually(lambda: registered("older") == [])


def test_new_members_are_not_added_while_that_is_suspended(balanced: Any, network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Suspend and resume processes": AddToLoadBalancer."""
    network.auto_scaling_group(autoscaling, TargetGroupARNs=[balanced.targets], MaxSize=2)
    (first,) = network.wait_for(autoscaling, 1)
    autoscaling.suspend_processes(**NODES, ScalingProcesses=["AddToLoadBalancer"])
    autoscaling.set_desired_capacity(**NODES, DesiredCapacity=2)
    network.wait_for(autoscaling, 2)
    assert set(balanced.health()) == {first["InstanceId"]}


def test_what_a_load_balancer_finds_unhealthy_is_replaced(balanced: Any, network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Health checks": HealthCheckType ELB."""
    network.auto_scaling_group(autoscaling, TargetGroupARNs=[balanced.targets], HealthCheckType="ELB")
    (first,) = network.wait_for(autoscaling, 1)
    network.cloud.eventually(lambda: balanced.health() == {first["InstanceId"]: "healthy"})
    network.cloud.control("POST", f"/targets/{first['InstanceId']}/health", {"healthy": False})
    network.cloud.eventually(lambda: balanced.health().get(first["InstanceId"]) == "draining")
    network.cloud.control("POST", "/clock", {"seconds": 300})
    network.cloud.eventually(lambda: network.describe(first["InstanceId"])["State"]["Name"] == "terminated")
    (second,) = network.wait_for(autoscaling, 1)
    network.cloud.eventually(lambda: balanced.health() == {second["InstanceId"]: "healthy"})
