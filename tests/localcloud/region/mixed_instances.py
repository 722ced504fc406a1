"""Mixed instances policies of Auto Scaling groups: what one may say, and what is launched by one.

Facts are from the Amazon EC2 Auto Scaling API Reference (API_<action>, API_<type>).
"""

import fnmatch
import math
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from .errors import AwsError

Policy = dict[str, Any]
OVERRIDES = 40
ON_DEMAND_STRATEGIES = ("prioritized", "lowest-price")
SPOT_STRATEGIES = (
    "lowest-price",
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "price-capacity-optimized",
    "diversified",
)
POOLED, POOLS = "lowest-price", 2


def invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def merged(present: Policy | None, given: Policy) -> Policy:
    """A policy as a request leaves it: what the request doesn't name stays; an empty price is none (API_InstancesDistribution,
    SpotMaxPrice; API_UpdateAutoScalingGroup)."""
    old = present or {}
    template = {**old.get("LaunchTemplate", {}), **given.get("LaunchTemplate", {})}
    asked = given.get("InstancesDistribution", {})
    distribution = {**old.get("InstancesDistribution", {}), **asked}
    if not distribution.get("SpotMaxPrice"):
        distribution.pop("SpotMaxPrice", None)
    if "SpotInstancePools" not in asked and asked.get("SpotAllocationStrategy") not in (None, POOLED):
        distribution.pop("SpotInstancePools", None)
    return {"LaunchTemplate": template, "InstancesDistribution": _completed(template, distribution)}


def _completed(template: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """With the defaults that AWS tells, too (API_InstancesDistribution)."""
    by_requirements = any(one.get("InstanceRequirements") for one in template.get("Overrides") or [])
    distribution = {
        "OnDemandAllocationStrategy": "lowest-price" if by_requirements else "prioritized",
        "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": 100,
        "SpotAllocationStrategy": POOLED,
        **given,
    }
    if distribution["SpotAllocationStrategy"] == POOLED:
        distribution.setdefault("SpotInstancePools", POOLS)
    return distribution


def check(policy: Policy) -> None:
    """API_MixedInstancesPolicy, API_LaunchTemplateOverrides, API_InstancesDistribution."""
    template, distribution = policy["LaunchTemplate"], policy["InstancesDistribution"]
    if not template.get("LaunchTemplateSpecification"):
        raise invalid("A launch template must be specified in the mixed instances policy.")
    overrides = template.get("Overrides") or []
    if len(overrides) > OVERRIDES:
        raise invalid(f"At most {OVERRIDES} overrides can be specified in a mixed instances policy.")
    kinds = [one.get("InstanceType") for one in overrides]
    if len(set(kinds)) < len(kinds) and all(kinds):
        raise invalid("The overrides of a mixed instances policy must have different instance types.")
    if any(kinds) and any(one.get("InstanceRequirements") for one in overrides):
        raise invalid("Overrides can have either instance types or instance requirements.")
    for one in overrides:
        _check_override(one)
    if distribution["OnDemandAllocationStrategy"] not in ON_DEMAND_STRATEGIES:
        raise invalid(f"Unsupported on-demand allocation strategy {distribution['OnDemandAllocationStrategy']}")
    if distribution["SpotAllocationStrategy"] not in SPOT_STRATEGIES:
        raise invalid(f"Unsupported spot allocation strategy {distribution['SpotAllocationStrategy']}")
    if not 0 <= distribution["OnDemandPercentageAboveBaseCapacity"] <= 100 or distribution["OnDemandBaseCapacity"] < 0:
        raise invalid("OnDemandPercentageAboveBaseCapacity must be between 0 and 100, OnDemandBaseCapacity at least 0")
    pools = distribution.get("SpotInstancePools")
    if pools is not None and (distribution["SpotAllocationStrategy"] != POOLED or not 1 <= pools <= 20):
        raise invalid("SpotInstancePools option is only available with the lowest-price allocation strategy, between 1 and 20.")


def _check_override(one: dict[str, Any]) -> None:
    kind, requirements = one.get("InstanceType"), one.get("InstanceRequirements")
    if kind and kind not in INSTANCE_TYPES:
        raise invalid(f"You must use a valid instance type, not {kind}")
    needed = [(requirements.get(name) or {}).get("Min") for name in ("VCpuCount", "MemoryMiB")] if requirements else []
    if None in needed:
        raise invalid("Instance requirements must have a minimum of VCpuCount and of MemoryMiB.")


def launched_by(policy: Policy, desired: int, on_demand: int, image: Any) -> dict[str, Any]:
    """What a launch takes from a policy where so many on-demand instances run already: the template and type of the first
    override, and whether it is a spot instance."""
    template, distribution = policy["LaunchTemplate"], policy["InstancesDistribution"]
    first = next(iter(template.get("Overrides") or []), {})
    kind = first.get("InstanceType") or _fitting(first.get("InstanceRequirements"), image)
    request: dict[str, Any] = {"InstanceType": kind} if kind else {}
    base = min(distribution["OnDemandBaseCapacity"], desired)
    wanted = base + math.ceil((desired - base) * distribution["OnDemandPercentageAboveBaseCapacity"] / 100)
    if on_demand < wanted:
        return request
    price = {"SpotOptions": {"MaxPrice": distribution["SpotMaxPrice"]}} if distribution.get("SpotMaxPrice") else {}
    return {**request, "InstanceMarketOptions": {"MarketType": "spot", **price}}


def _fitting(requirements: dict[str, Any] | None, image: Any) -> str | None:
    """The smallest type that meets the requirements that the region looks at (API_InstanceRequirements)."""
    if not requirements:
        return None
    allowed = requirements.get("AllowedInstanceTypes") or ["*"]
    excluded = requirements.get("ExcludedInstanceTypes") or []
    fitting = [
        (one["VCpuInfo"]["DefaultVCpus"], one["MemoryInfo"]["SizeInMiB"], name)
        for name, one in INSTANCE_TYPES.items()
        if image.architecture in one["ProcessorInfo"]["SupportedArchitectures"]
        and _within(one["VCpuInfo"]["DefaultVCpus"], requirements["VCpuCount"])
        and _within(one["MemoryInfo"]["SizeInMiB"], requirements["MemoryMiB"])
        and _named(name, allowed)
        and not _named(name, excluded)
        and _has(one.get("BareMetal"), requirements.get("BareMetal"))
        and _has(one.get("BurstablePerformanceSupported"), requirements.get("BurstablePerformance"))
    ]
    if not fitting:
        raise AwsError("InvalidParameterValue", "No instance type meets the instance requirements.")
    return min(fitting)[2]


def _within(value: float, bounds: dict[str, float]) -> bool:
    return bounds["Min"] <= value <= bounds.get("Max", math.inf)


def _named(name: str, patterns: list[str]) -> bool:
    """Only `*` stands for others."""
    return any(fnmatch.fnmatchcase(name, one) for one in patterns)


def _has(present: bool | None, wanted: str | None) -> bool:
    """`included`, `required`, or, without a word, `excluded`."""
    return wanted == "included" or bool(present) == (wanted == "required")
