"""What instances are told before they are taken: by EC2, and by their Auto Scaling group."""

import urllib.error
from typing import Any

import pytest

from .conftest import code_of

SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}


def seen(network: Any, instance: str) -> Any:
    return next((one for one in network.cloud.control("GET", "/world")["instances"] if one["id"] == instance), None)


def refused(act: Any, *arguments: Any) -> str:
    with pytest.raises(urllib.error.HTTPError) as caught:
        act(*arguments)
    return str(caught.value.read())


def test_a_spot_instance_is_terminated_two_minutes_after_its_notice(network: Any) -> None:
    """EC2 User Guide, "Spot Instance interruption notices"; README.md."""
    control, instance = network.cloud.control, network.run(**SPOT)
    assert (seen(network, instance)["lifecycle"], seen(network, instance)["interruption"]) == ("spot", None)
    notice = control("POST", f"/instances/{instance}/interruption", {})
    assert notice["action"] == "terminate" and notice["time"].endswith("Z")
    assert seen(network, instance)["interruption"] == notice
    assert control("POST", f"/instances/{instance}/interruption", {"action": "stop"}) == notice, "the first one stands"
    control("POST", "/clock", {"seconds": 110})
    assert network.describe(instance)["State"]["Name"] == "running"
    control("POST", "/clock", {"seconds": 11})
    found = network.describe(instance)
    assert (found["State"]["Name"], found["StateReason"]["Code"]) == ("terminated", "Server.SpotInstanceTermination")


def test_a_notice_may_be_of_a_stop_and_is_for_running_spot_instances_alone(network: Any) -> None:
    """README.md, `POST /_region/instances/<id>/interruption`."""
    control, spot, other = network.cloud.control, network.run(**SPOT), network.run()
    assert "no spot instance" in refused(control, "POST", f"/instances/{other}/interruption", {})
    assert "hibernate" in refused(control, "POST", f"/instances/{spot}/interruption", {"action": "hibernate"})
    control("POST", f"/instances/{spot}/interruption", {"action": "stop", "seconds": 5})
    control("POST", "/clock", {"seconds": 6})
    assert network.describe(spot)["State"]["Name"] == "stopped"
    assert seen(network, spot)["interruption"] is None
    assert "only running" in refused(control, "POST", f"/instances/{spot}/rebalance", {})
    notice = control("POST", f"/instances/{other}/rebalance", {})
    assert seen(network, other)["rebalance"] == notice["noticeTime"]


def test_a_lifecycle_hook_has_a_member_wait_for_its_end(network: Any, autoscaling: Any) -> None:
    """Auto Scaling User Guide, "Lifecycle hooks", "Retrieve the target lifecycle state"."""
    network.template()
    network.auto_scaling_group(autoscaling)
    hook = {"AutoScalingGroupName": "nodes", "LifecycleHookName": "drain"}
    ending = {"LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    autoscaling.put_lifecycle_hook(**hook, **ending, HeartbeatTimeout=60)
    (described,) = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName="nodes")["LifecycleHooks"]
    assert (described["HeartbeatTimeout"], described["GlobalTimeout"], described["DefaultResult"]) == (60, 6000, "ABANDON")

    def end() -> str:
        instance = str(network.wait_for(autoscaling, 1)[0]["InstanceId"])
        assert seen(network, instance)["targetLifecycleState"] == "InService"
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
        assert seen(network, instance)["targetLifecycleState"] == "Terminated"
        waiting = [one["InstanceId"] for one in network.members(autoscaling, state="Terminating:Wait")]
        assert instance in waiting and network.describe(instance)["State"]["Name"] == "running"
        return instance

    def state(instance: str) -> str:
        return str(network.describe(instance)["State"]["Name"])

    completed, forgotten = end(), end()
    autoscaling.complete_lifecycle_action(**hook, InstanceId=completed, LifecycleActionResult="CONTINUE")
    assert (state(completed), state(forgotten)) == ("terminated", "running")
    network.cloud.control("POST", "/clock", {"seconds": 50})
    autoscaling.record_lifecycle_action_heartbeat(**hook, InstanceId=forgotten)
    network.cloud.control("POST", "/clock", {"seconds": 50})
    assert state(forgotten) == "running"
    network.cloud.control("POST", "/clock", {"seconds": 11})
    assert state(forgotten) == "terminated"
    assert code_of(autoscaling.complete_lifecycle_action, **hook, InstanceId=forgotten, LifecycleActionResult="CONTINUE")
    last = end()
    autoscaling.delete_lifecycle_hook(**hook)
    assert state(last) == "terminated"


def test_a_spot_instance_cannot_be_stopped(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "Stop a Spot Instance": its request is for one time."""
    spot, other = network.run(**SPOT), network.run()
    assert code_of(ec2.stop_instances, InstanceIds=[other, spot]) == "UnsupportedOperation"
    assert network.describe(other)["State"]["Name"] == "running"
