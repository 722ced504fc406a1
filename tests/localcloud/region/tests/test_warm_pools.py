"""Warm pools, and the launches that wait for hooks, as the Auto Scaling API Reference and the User Guide have them."""

from typing import Any

import pytest

from .conftest import code_of

LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
DRAIN = {"LifecycleHookName": "drain", "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 300, "DefaultResult": "CONTINUE"}
WARM = {"LifecycleHookName": "warm", "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 600, "DefaultResult": "ABANDON"}
NAMED = {"AutoScalingGroupName": "nodes"}


class Groups:
    """A group of nodes, and what becomes of its instances."""

    def __init__(self, network: Any, autoscaling: Any):
        self.network, self.cloud, self.api = network, network.cloud, autoscaling

    def make(self, hooks: list[dict[str, Any]], **more: Any) -> None:
        self.network.template()
        sizes = {"MinSize": 1, "MaxSize": 4, "LifecycleHookSpecificationList": hooks}
        self.network.auto_scaling_group(self.api, **{**sizes, **more})

    def states(self) -> dict[str, str]:
        """The state of each instance of the group and its pool."""
        answer = self.api.describe_auto_scaling_instances()["AutoScalingInstances"]
        return {one["InstanceId"]: one["LifecycleState"] for one in answer}

    def in_state(self, state: str, count: int = 1) -> list[str]:
        """The instances in a state, once there are so many."""

        def found() -> list[str]:
            return [instance for instance, one in self.states().items() if one == state]

        self.cloud.eventually(lambda: len(found()) == count)
        return found()

    def complete(self, instance: str, result: str = "CONTINUE", hook: str = "warm") -> None:
        named = {**NAMED, "LifecycleHookName": hook, "InstanceId": instance}
        self.api.complete_lifecycle_action(**named, LifecycleActionResult=result)

    def serve_first(self) -> str:
        (first,) = self.in_state("Pending:Wait")
        self.complete(first)
        return self.in_state("InService")[0]

    def target(self, instance: str) -> str | None:
        world = self.cloud.control("GET", "/world")["instances"]
        return next((one["targetLifecycleState"] for one in world if one["id"] == instance), None)

    def instance_state(self, instance: str) -> str:
        return str(self.network.describe(instance)["State"]["Name"])

    def pool(self) -> list[str]:
        return [one["InstanceId"] for one in self.api.describe_warm_pool(**NAMED)["Instances"]]

    def scale(self, size: int) -> None:
        self.api.set_desired_capacity(**NAMED, DesiredCapacity=size)

    def pass_seconds(self, seconds: float) -> None:
        self.cloud.control("POST", "/clock", {"seconds": seconds})


@pytest.fixture
def groups(network: Any, autoscaling: Any) -> Groups:
    return Groups(network, autoscaling)


def configuration(autoscaling: Any) -> dict[str, Any] | None:
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    return group.get("WarmPoolConfiguration")


def test_a_warm_pool_is_as_it_was_put_and_goes(autoscaling: Any, groups: Groups) -> None:
    """API_PutWarmPool, API_DescribeWarmPool, API_DeleteWarmPool."""
    groups.make([], MaxSize=1)
    assert configuration(autoscaling) is None
    assert autoscaling.describe_warm_pool(**NAMED)["Instances"] == []
    assert "WarmPoolConfiguration" not in autoscaling.describe_warm_pool(**NAMED)
    assert code_of(autoscaling.delete_warm_pool, **NAMED) == "ValidationError"
    autoscaling.put_warm_pool(**NAMED, MinSize=0, MaxGroupPreparedCapacity=1)
    assert configuration(autoscaling) == {"MinSize": 0, "MaxGroupPreparedCapacity": 1, "PoolState": "Stopped"}
    autoscaling.put_warm_pool(**NAMED, MaxGroupPreparedCapacity=-1, PoolState="Running")
    assert configuration(autoscaling) == {"MinSize": 0, "PoolState": "Running"}
    assert autoscaling.describe_warm_pool(**NAMED)["WarmPoolConfiguration"] == {"MinSize": 0, "PoolState": "Running"}
    autoscaling.delete_warm_pool(**NAMED)
    assert configuration(autoscaling) is None
    assert code_of(autoscaling.put_warm_pool, **NAMED, PoolState="Frozen") == "ValidationError"
    for call in (autoscaling.put_warm_pool, autoscaling.describe_warm_pool, autoscaling.delete_warm_pool):
        assert code_of(call, AutoScalingGroupName="other") == "ValidationError"


def test_a_group_is_made_with_hooks(autoscaling: Any, groups: Groups) -> None:
    """API_CreateAutoScalingGroup, LifecycleHookSpecificationList."""
    groups.make([DRAIN, WARM])
    found = autoscaling.describe_lifecycle_hooks(**NAMED)["LifecycleHooks"]
    assert [{name: hook[name] for name in DRAIN} for hook in found] == [DRAIN, WARM]
    wrong = {**NAMED, "LifecycleHookName": "other"}
    assert code_of(autoscaling.put_lifecycle_hook, **wrong, LifecycleTransition="LAUNCHING") == "ValidationError"
    wrong["LifecycleHookName"] = "a b"
    assert code_of(autoscaling.put_lifecycle_hook, **wrong, LifecycleTransition=LAUNCHING) == "ValidationError"


def test_the_end_of_a_group_by_force_waits_for_no_hook(groups: Groups, autoscaling: Any) -> None:
    """API_DeleteAutoScalingGroup, ForceDelete: "also deletes any outstanding lifecycle actions"; and the warm pool."""
    groups.make([DRAIN, WARM], MinSize=2, MaxSize=2)
    waiting, served = groups.in_state("Pending:Wait", 2)
    groups.complete(served)
    groups.in_state("InService")
    autoscaling.put_warm_pool(**NAMED, MinSize=1)
    groups.in_state("Warmed:Pending:Wait")
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=served, ShouldDecrementDesiredCapacity=False)
    assert groups.states()[served] == "Terminating:Wait" and groups.states()[waiting] == "Pending:Wait"
    autoscaling.delete_auto_scaling_group(**NAMED, ForceDelete=True)
    groups.cloud.eventually(lambda: not autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"])
    assert groups.instance_state(served) == groups.instance_state(waiting) == "terminated"


def test_a_launch_waits_for_its_hook_and_is_replaced_when_it_is_abandoned(groups: Groups, autoscaling: Any) -> None:
    """User Guide, "How lifecycle hooks work": Pending:Wait, Pending:Proceed, InService; ABANDON terminates the instance."""
    groups.make([WARM])
    (first,) = groups.in_state("Pending:Wait")
    groups.cloud.control("POST", "/reconcile")
    assert groups.states() == {first: "Pending:Wait"}, "it counts already"
    assert groups.target(first) == "InService"
    hook = {**NAMED, "LifecycleHookName": "warm", "InstanceId": first}
    assert code_of(autoscaling.complete_lifecycle_action, **hook, LifecycleActionResult="PERHAPS") == "ValidationError"
    groups.complete(first, "ABANDON")
    assert groups.instance_state(first) == "terminated"
    (second,) = groups.in_state("Pending:Wait")
    groups.complete(second)
    assert groups.in_state("InService") == [second]
    assert code_of(autoscaling.complete_lifecycle_action, **{**hook, "InstanceId": second}, LifecycleActionResult="CONTINUE")
    activities = autoscaling.describe_scaling_activities(**NAMED)["Activities"]
    assert sorted(one["StatusCode"] for one in activities) == ["Cancelled", "Successful", "Successful"]


@pytest.mark.parametrize(("result", "ends"), [("ABANDON", "terminated"), ("CONTINUE", "running")])
def test_a_launch_that_nobody_answers_ends_in_the_hook_s_default(groups: Groups, result: str, ends: str) -> None:
    """API_PutLifecycleHook, DefaultResult, HeartbeatTimeout; API_LifecycleHook, GlobalTimeout: a hundred heartbeats at most."""
    groups.make([{**WARM, "HeartbeatTimeout": 60, "DefaultResult": result}])
    (first,) = groups.in_state("Pending:Wait")
    groups.pass_seconds(50)
    groups.api.record_lifecycle_action_heartbeat(**NAMED, LifecycleHookName="warm", InstanceId=first)
    groups.pass_seconds(50)
    assert groups.states()[first] == "Pending:Wait", "its time-out has begun anew"
    for _ in range(117):
        groups.api.record_lifecycle_action_heartbeat(**NAMED, LifecycleHookName="warm", InstanceId=first)
        groups.pass_seconds(50)
    assert groups.states()[first] == "Pending:Wait"
    groups.api.record_lifecycle_action_heartbeat(**NAMED, LifecycleHookName="warm", InstanceId=first)
    groups.pass_seconds(51)
    assert groups.instance_state(first) == ends


def test_all_hooks_are_waited_for_unless_one_abandons(groups: Groups) -> None:
    """User Guide, "Considerations and limitations for lifecycle hooks"."""
    groups.make([WARM, {**WARM, "LifecycleHookName": "other"}])
    (first,) = groups.in_state("Pending:Wait")
    groups.complete(first)
    assert groups.states() == {first: "Pending:Wait"}
    groups.complete(first, hook="other")
    assert groups.in_state("InService") == [first]
    groups.scale(2)
    (second,) = groups.in_state("Pending:Wait")
    groups.complete(second, "ABANDON", hook="other")
    assert groups.instance_state(second) == "terminated"
    (third,) = groups.in_state("Pending:Wait")
    groups.api.delete_lifecycle_hook(**NAMED, LifecycleHookName="warm")
    assert groups.instance_state(third) == "terminated", "API_DeleteLifecycleHook: ABANDON for launching instances"


def test_an_instance_boots_into_the_pool_and_is_stopped_and_started_when_the_group_needs_it(groups: Groups) -> None:
    """User Guide, "Use lifecycle hooks with a warm pool", "Retrieve the target lifecycle state"."""
    groups.make([WARM], MaxSize=2)
    first = groups.serve_first()
    groups.api.put_warm_pool(**NAMED)
    (warm,) = groups.in_state("Warmed:Pending:Wait")
    assert (groups.instance_state(warm), groups.target(warm)) == ("running", "Warmed:Stopped")
    assert groups.pool() == [warm]
    (described,) = groups.api.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [one["InstanceId"] for one in described["Instances"]] == [first], "it is no instance of the group"
    assert described["WarmPoolSize"] == 1
    groups.complete(warm)
    assert groups.in_state("Warmed:Stopped") == [warm]
    launched = groups.network.describe(warm)
    assert launched["State"]["Name"] == "stopped"
    assert {"Key": "aws:autoscaling:groupName", "Value": "nodes"} in launched["Tags"]

    groups.scale(2)
    assert groups.in_state("Pending:Wait") == [warm], "no other one is launched"
    started = groups.network.describe(warm)
    assert (started["State"]["Name"], started["PrivateIpAddress"]) == ("running", launched["PrivateIpAddress"])
    assert groups.target(warm) == "InService"
    groups.complete(warm)
    assert sorted(groups.in_state("InService", 2)) == sorted([first, warm])
    groups.cloud.control("POST", "/reconcile")
    assert groups.pool() == [], "the prepared capacity is the group's maximum"
    newest = groups.api.describe_scaling_activities(**NAMED)["Activities"][0]
    assert (newest["StatusCode"], newest["Description"].endswith(f"from warm pool: {warm}")) == ("Successful", True)


def test_a_pool_has_its_minimum_at_least_and_what_is_missing_up_to_the_prepared_capacity(groups: Groups) -> None:
    """User Guide, "Warm pool size"; API_PutWarmPool."""
    groups.make([])
    groups.in_state("InService")
    groups.api.put_warm_pool(**NAMED)
    groups.in_state("Warmed:Stopped", 3)
    groups.api.put_warm_pool(**NAMED, MaxGroupPreparedCapacity=2)
    groups.in_state("Warmed:Stopped", 1)
    groups.api.put_warm_pool(**NAMED, MinSize=2)
    groups.in_state("Warmed:Stopped", 2)
    groups.scale(4)
    groups.in_state("InService", 4)
    groups.in_state("Warmed:Stopped", 2)
    kept = set(groups.pool())
    groups.network.ec2.start_instances(InstanceIds=[min(kept)])
    groups.cloud.eventually(lambda: len(set(groups.pool()) - kept) == 1 and len(groups.pool()) == 2)
    assert groups.instance_state(min(kept)) == "terminated", "who is started by others isn't in the pool's state"


def test_instances_of_a_pool_that_run_serve_without_being_started(groups: Groups) -> None:
    """API_PutWarmPool, PoolState."""
    groups.make([], MaxSize=2)
    groups.in_state("InService")
    groups.api.put_warm_pool(**NAMED, PoolState="Running")
    (warm,) = groups.in_state("Warmed:Running")
    assert (groups.instance_state(warm), groups.target(warm)) == ("running", "Warmed:Running")
    launched = groups.network.describe(warm)["LaunchTime"]
    groups.scale(2)
    assert warm in groups.in_state("InService", 2)
    assert groups.network.describe(warm)["LaunchTime"] == launched


def test_an_instance_whose_first_boot_is_abandoned_is_replaced_in_the_pool(groups: Groups) -> None:
    groups.make([WARM], MaxSize=2)
    groups.serve_first()
    groups.api.put_warm_pool(**NAMED)
    (warm,) = groups.in_state("Warmed:Pending:Wait")
    groups.pass_seconds(601)
    assert groups.instance_state(warm) == "terminated"
    (other,) = groups.in_state("Warmed:Pending:Wait")
    assert other != warm


def test_a_pool_goes_with_its_instances_by_force_alone(groups: Groups, autoscaling: Any) -> None:
    """API_DeleteWarmPool, ForceDelete; API_WarmPoolConfiguration, Status."""
    groups.make([DRAIN], MaxSize=2)
    groups.in_state("InService")
    autoscaling.put_warm_pool(**NAMED)
    (warm,) = groups.in_state("Warmed:Stopped")
    assert code_of(autoscaling.delete_warm_pool, **NAMED) == "ResourceInUse"
    terminate = autoscaling.terminate_instance_in_auto_scaling_group
    assert code_of(terminate, InstanceId=warm, ShouldDecrementDesiredCapacity=False) == "ValidationError"
    groups.cloud.control("POST", "/machines", {"connected": True})
    autoscaling.delete_warm_pool(**NAMED, ForceDelete=True)
    assert configuration(autoscaling) == {"MinSize": 0, "PoolState": "Stopped", "Status": "PendingDelete"}
    assert groups.states()[warm] == "Warmed:Terminating", "no hook is waited for"
    groups.cloud.control("POST", f"/instances/{warm}/state", {"state": "terminated"})
    groups.cloud.eventually(lambda: configuration(autoscaling) is None)
    assert groups.pool() == []


def test_an_instance_that_is_too_much_waits_for_the_hook_of_its_end(groups: Groups, autoscaling: Any) -> None:
    """User Guide, "Use lifecycle hooks with a warm pool": Warmed:Terminating:Wait."""
    groups.make([DRAIN], MaxSize=2)
    groups.in_state("InService")
    autoscaling.put_warm_pool(**NAMED)
    (warm,) = groups.in_state("Warmed:Stopped")
    autoscaling.put_warm_pool(**NAMED, MaxGroupPreparedCapacity=0)
    assert groups.in_state("Warmed:Terminating:Wait") == [warm]
    assert (groups.instance_state(warm), groups.target(warm)) == ("stopped", "Warmed:Terminated")
    groups.pass_seconds(301)
    assert groups.instance_state(warm) == "terminated"
    groups.cloud.eventually(lambda: warm not in groups.states())


def test_a_member_that_is_scaled_in_returns_to_a_pool_that_reuses(groups: Groups) -> None:
    """API_InstanceReusePolicy; User Guide, "Use lifecycle hooks with a warm pool": Terminating, then Warmed:Pending."""
    groups.make([DRAIN], MaxSize=2, DesiredCapacity=2)
    groups.in_state("InService", 2)
    groups.api.put_warm_pool(**NAMED, InstanceReusePolicy={"ReuseOnScaleIn": True})
    groups.scale(1)
    (going,) = groups.in_state("Terminating:Wait")
    assert groups.target(going) == "Warmed:Stopped"
    groups.complete(going, hook="drain")
    assert groups.in_state("Warmed:Stopped") == [going]
    assert groups.instance_state(going) == "stopped"
    groups.scale(2)
    assert going in groups.in_state("InService", 2)


def test_machines_hear_of_an_instance_of_the_pool_that_is_to_stop(groups: Groups) -> None:
    """README.md, `GET /_region/world?after&wait`."""
    control = groups.cloud.control
    control("POST", "/machines", {"connected": True})
    groups.make([WARM], MinSize=0, DesiredCapacity=0)
    groups.api.put_warm_pool(**NAMED, MinSize=1, MaxGroupPreparedCapacity=1)
    (warm,) = groups.in_state("Warmed:Pending")
    control("POST", f"/instances/{warm}/state", {"state": "running"})
    groups.in_state("Warmed:Pending:Wait")
    known = control("GET", "/world")["generation"]
    groups.complete(warm)
    groups.cloud.eventually(lambda: groups.instance_state(warm) == "stopping")
    assert control("GET", "/world")["generation"] >= known + 2, "of the request, and of what follows from it"
    control("POST", f"/instances/{warm}/state", {"state": "stopped"})
    assert groups.in_state("Warmed:Stopped") == [warm]
