"""Mixed instances policies."""

from typing import Any

from .conftest import code_of

NODES = {"AutoScalingGroupName": "nodes"}


def policy(*overrides: Any, **distribution: Any) -> dict[str, Any]:
    reference = {"LaunchTemplateName": "nodes", "Version": "$Latest"}
    made = [{"InstanceType": one} if isinstance(one, str) else one for one in overrides]
    return {
        "LaunchTemplate": {"LaunchTemplateSpecification": reference, "Overrides": made},
        "InstancesDistribution": distribution,
    }


def group(network: Any, autoscaling: Any, mixed: dict[str, Any], size: int = 1) -> None:
    request = {**NODES, "MinSize": size, "MaxSize": size, "VPCZoneIdentifier": ",".join(network.subnets)}
    autoscaling.create_auto_scaling_group(**request, MixedInstancesPolicy=mixed)


def described(autoscaling: Any) -> Any:
    (found,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    return found


def launched(network: Any, autoscaling: Any, count: int) -> list[tuple[str, str | None]]:
    """Type and lifecycle of the members."""
    members = [network.describe(one["InstanceId"]) for one in network.wait_for(autoscaling, count)]
    return sorted(((one["InstanceType"], one.get("InstanceLifecycle")) for one in members), key=str)


def test_a_policy_is_described_as_it_was_given_with_the_defaults(network: Any, autoscaling: Any) -> None:
    """API_MixedInstancesPolicy, API_InstancesDistribution; moto forgets it in any update."""
    template = network.template()
    distribution = {
        "OnDemandBaseCapacity": 1,
        "OnDemandPercentageAboveBaseCapacity": 50,
        "SpotAllocationStrategy": "capacity-optimized",
        "SpotMaxPrice": "0.1",
    }
    overrides = [{"InstanceType": "t3.large", "WeightedCapacity": "1"}, {"InstanceType": "m5.large", "WeightedCapacity": "2"}]
    group(network, autoscaling, policy(*overrides, **distribution))
    found = described(autoscaling)
    assert "LaunchTemplate" not in found
    mixed = found["MixedInstancesPolicy"]
    assert mixed["LaunchTemplate"] == {
        "LaunchTemplateSpecification": {"LaunchTemplateId": template, "LaunchTemplateName": "nodes", "Version": "$Latest"},
        "Overrides": overrides,
    }
    assert mixed["InstancesDistribution"] == {"OnDemandAllocationStrategy": "prioritized", **distribution}
    autoscaling.update_auto_scaling_group(**NODES, DefaultCooldown=60)
    assert described(autoscaling)["MixedInstancesPolicy"] == mixed


def test_a_policy_without_a_distribution_has_that_of_aws(network: Any, autoscaling: Any) -> None:
    """API_InstancesDistribution."""
    network.template()
    group(network, autoscaling, policy("t3.large"))
    assert described(autoscaling)["MixedInstancesPolicy"]["InstancesDistribution"] == {
        "OnDemandAllocationStrategy": "prioritized",
        "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": 100,
        "SpotAllocationStrategy": "lowest-price",
        "SpotInstancePools": 2,
    }


def test_requirements_are_kept_whole_and_met(network: Any, autoscaling: Any) -> None:
    """API_InstanceRequirements."""
    network.template()
    requirements = {
        "VCpuCount": {"Min": 4, "Max": 8},
        "MemoryMiB": {"Min": 16384, "Max": 32768},
        "MemoryGiBPerVCpu": {"Min": 2.0, "Max": 8.0},
        "CpuManufacturers": ["intel", "amd"],
        "InstanceGenerations": ["current"],
        "BurstablePerformance": "excluded",
        "AllowedInstanceTypes": ["m5.*", "m6i.*"],
    }
    group(network, autoscaling, policy({"InstanceRequirements": requirements}))
    mixed = described(autoscaling)["MixedInstancesPolicy"]
    assert mixed["LaunchTemplate"]["Overrides"] == [{"InstanceRequirements": requirements}]
    assert mixed["InstancesDistribution"]["OnDemandAllocationStrategy"] == "lowest-price"
    assert launched(network, autoscaling, 1) == [("m5.xlarge", None)]


def test_an_update_replaces_a_policy_by_a_template_and_back(network: Any, autoscaling: Any) -> None:
    """API_UpdateAutoScalingGroup: a group has one of the two; what a policy's update doesn't name stays."""
    network.template()
    group(network, autoscaling, policy("t3.large", OnDemandBaseCapacity=1, SpotMaxPrice="0.1"))
    update = autoscaling.update_auto_scaling_group
    update(**NODES, MixedInstancesPolicy={"InstancesDistribution": {"SpotAllocationStrategy": "price-capacity-optimized"}})
    mixed = described(autoscaling)["MixedInstancesPolicy"]
    assert [one["InstanceType"] for one in mixed["LaunchTemplate"]["Overrides"]] == ["t3.large"]
    distribution = mixed["InstancesDistribution"]
    assert (distribution["OnDemandBaseCapacity"], distribution["SpotMaxPrice"]) == (1, "0.1")
    assert distribution["SpotAllocationStrategy"] == "price-capacity-optimized" and "SpotInstancePools" not in distribution
    update(**NODES, MixedInstancesPolicy=policy("m5.large", SpotMaxPrice=""))
    mixed = described(autoscaling)["MixedInstancesPolicy"]
    assert [one["InstanceType"] for one in mixed["LaunchTemplate"]["Overrides"]] == ["m5.large"]
    assert "SpotMaxPrice" not in mixed["InstancesDistribution"]
    update(**NODES, LaunchTemplate={"LaunchTemplateName": "nodes", "Version": "1"})
    found = described(autoscaling)
    assert "MixedInstancesPolicy" not in found and found["LaunchTemplate"]["Version"] == "1"
    update(**NODES, MixedInstancesPolicy=policy("m5.large"))
    found = described(autoscaling)
    assert "LaunchTemplate" not in found and found["MixedInstancesPolicy"]["InstancesDistribution"]["OnDemandBaseCapacity"] == 0


def test_the_distribution_says_how_many_are_spot_instances(network: Any, autoscaling: Any, ec2: Any) -> None:
    """API_InstancesDistribution; API_Instance, instanceLifecycle. The first override's type is launched."""
    network.template()
    distribution = {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 25}
    group(network, autoscaling, policy("t3.large", "m5.large", **distribution), size=5)
    assert launched(network, autoscaling, 5) == [*[("t3.large", "spot")] * 3, *[("t3.large", None)] * 2]
    spot = [{"Name": "instance-lifecycle", "Values": ["spot"]}]
    assert len(ec2.describe_instances(Filters=spot)["Reservations"]) == 3
    members = described(autoscaling)["Instances"]
    assert {one["InstanceType"] for one in members} == {"t3.large"}


def test_a_template_may_ask_for_spot_instances_itself(network: Any, autoscaling: Any) -> None:
    """API_LaunchTemplateInstanceMarketOptions; not within a mixed instances policy."""
    network.template(InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.1"}})
    assert code_of(group, network, autoscaling, policy("t3.large")) == "ValidationError"
    network.auto_scaling_group(autoscaling)
    assert launched(network, autoscaling, 1) == [("t3.medium", "spot")]


def test_a_policy_that_makes_no_sense_is_refused(network: Any, autoscaling: Any) -> None:
    """API_CreateAutoScalingGroup: ValidationError."""
    network.template()
    requirements = {"InstanceRequirements": {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 1024}}}
    wrong = [
        policy("nonsense"),
        policy("t3.large", "t3.large"),
        policy("t3.large", requirements),
        policy("t3.large", OnDemandPercentageAboveBaseCapacity=101),
        policy("t3.large", SpotAllocationStrategy="cheapest"),
        policy("t3.large", SpotAllocationStrategy="capacity-optimized", SpotInstancePools=3),
        {"InstancesDistribution": {}, "LaunchTemplate": {"Overrides": [{"InstanceType": "t3.large"}]}},
    ]
    assert [code_of(group, network, autoscaling, one) for one in wrong] == ["ValidationError"] * len(wrong)


def test_an_override_may_have_a_template_of_its_own(network: Any, autoscaling: Any) -> None:
    """API_LaunchTemplateOverrides, LaunchTemplateSpecification."""
    network.template()
    own = network.template("own")
    override = {"InstanceType": "t3.large", "LaunchTemplateSpecification": {"LaunchTemplateId": own, "Version": "1"}}
    group(network, autoscaling, policy(override))
    (member,) = network.wait_for(autoscaling, 1)
    assert member["LaunchTemplate"] == {"LaunchTemplateId": own, "LaunchTemplateName": "own", "Version": "1"}


def test_nothing_is_launched_while_that_is_suspended(network: Any, autoscaling: Any, ec2: Any) -> None:
    """Auto Scaling User Guide, "Suspend and resume processes"."""
    network.template()
    network.auto_scaling_group(autoscaling, MinSize=0, MaxSize=2)
    autoscaling.suspend_processes(**NODES, ScalingProcesses=["Launch"])
    autoscaling.set_desired_capacity(**NODES, DesiredCapacity=1)
    network.cloud.control("POST", "/reconcile")
    assert network.members(autoscaling) == []
    autoscaling.resume_processes(**NODES, ScalingProcesses=["Launch"])
    (member,) = network.wait_for(autoscaling, 1)
    autoscaling.suspend_processes(**NODES)
    assert len(described(autoscaling)["SuspendedProcesses"]) == 9
    ec2.terminate_instances(InstanceIds=[member["InstanceId"]])
    network.cloud.control("POST", "/reconcile")
    assert [one["InstanceId"] for one in network.members(autoscaling)] == [member["InstanceId"]]
    autoscaling.resume_processes(**NODES)
    network.cloud.eventually(lambda: [one for one in network.members(autoscaling) if one["InstanceId"] != member["InstanceId"]])
