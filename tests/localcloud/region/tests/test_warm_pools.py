"""Warm pools, and hooks that a group is made with, as the Auto Scaling API Reference has them."""

from typing import Any

import pytest

from .conftest import code_of

LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
HOOKS = [
    {"LifecycleHookName": "drain", "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 300, "DefaultResult": "CONTINUE"},
    {"LifecycleHookName": "warm", "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 600, "DefaultResult": "ABANDON"},
]


@pytest.fixture
def group(network: Any, autoscaling: Any) -> str:
    network.template()
    network.auto_scaling_group(autoscaling, LifecycleHookSpecificationList=HOOKS)
    return "nodes"


def configuration(autoscaling: Any) -> dict[str, Any] | None:
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    return group.get("WarmPoolConfiguration")


def test_a_warm_pool_is_as_it_was_put_and_goes(autoscaling: Any, group: str) -> None:
    """API_PutWarmPool, API_DescribeWarmPool, API_DeleteWarmPool."""
    named = {"AutoScalingGroupName": group}
    assert configuration(autoscaling) is None
    assert autoscaling.describe_warm_pool(**named)["Instances"] == []
    assert "WarmPoolConfiguration" not in autoscaling.describe_warm_pool(**named)
    assert code_of(autoscaling.delete_warm_pool, **named) == "ValidationError"
    autoscaling.put_warm_pool(**named, MinSize=1, MaxGroupPreparedCapacity=4)
    assert configuration(autoscaling) == {"MinSize": 1, "MaxGroupPreparedCapacity": 4, "PoolState": "Stopped"}
    autoscaling.put_warm_pool(**named, MaxGroupPreparedCapacity=-1, PoolState="Running")
    assert configuration(autoscaling) == {"MinSize": 1, "PoolState": "Running"}
    assert autoscaling.describe_warm_pool(**named)["WarmPoolConfiguration"] == {"MinSize": 1, "PoolState": "Running"}
    autoscaling.delete_warm_pool(**named)
    assert configuration(autoscaling) is None
    assert code_of(autoscaling.put_warm_pool, **named, PoolState="Frozen") == "ValidationError"
    for call in (autoscaling.put_warm_pool, autoscaling.describe_warm_pool, autoscaling.delete_warm_pool):
        assert code_of(call, AutoScalingGroupName="other") == "ValidationError"


def test_a_group_is_made_with_hooks(autoscaling: Any, group: str) -> None:
    """API_CreateAutoScalingGroup, LifecycleHookSpecificationList."""
    found = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"]
    assert [{name: hook[name] for name in HOOKS[0]} for hook in found] == HOOKS
    wrong = {"AutoScalingGroupName": group, "LifecycleHookName": "other"}
    assert code_of(autoscaling.put_lifecycle_hook, **wrong, LifecycleTransition="LAUNCHING") == "ValidationError"
    wrong["LifecycleHookName"] = "a b"
    assert code_of(autoscaling.put_lifecycle_hook, **wrong, LifecycleTransition=LAUNCHING) == "ValidationError"


def test_the_end_of_a_group_by_force_waits_for_no_hook(network: Any, autoscaling: Any, group: str) -> None:
    """API_DeleteAutoScalingGroup, ForceDelete: "also deletes any outstanding lifecycle actions"."""
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
    network.cloud.eventually(lambda: not autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"])
