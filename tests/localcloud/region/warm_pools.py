"""Warm pools of Auto Scaling groups: what is asked for. No instance is ever in one.

Facts are from the Auto Scaling API Reference and the User Guide, "Decrease latency for applications with long boot times using
warm pools".
"""

from typing import Any

from . import auto_scaling
from .actions import action
from .errors import Unimplemented
from .state import Region

Params = dict[str, Any]
STATES = ("Stopped", "Running", "Hibernated")


@action("autoscaling", "PutWarmPool")
def put_warm_pool(region: Region, params: Params) -> dict[str, Any]:
    """Makes one, or changes what the request names; -1 takes the limit away (API_PutWarmPool, MaxGroupPreparedCapacity).

    A group whose template or policy asks for spot instances can have none (User Guide, "Limitations"). Groups with a policy of
    several types can't, either: that they may since 2025 nobody relies on.
    """
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    if params.get("InstanceReusePolicy"):
        raise Unimplemented("InstanceReusePolicy of a warm pool")
    if group.settings.get("MixedInstancesPolicy"):
        raise auto_scaling.invalid("You can't add a warm pool to an Auto Scaling group that has a mixed instances policy.")
    pool = {"MinSize": 0, "PoolState": "Stopped", **(group.warm_pool or {})}
    named = {name: params[name] for name in ("MinSize", "MaxGroupPreparedCapacity", "PoolState") if params.get(name) is not None}
    pool.update(named)
    if pool["MinSize"] < 0 or pool["PoolState"] not in STATES or pool.get("MaxGroupPreparedCapacity", 0) < -1:
        raise auto_scaling.invalid(f"MinSize is at least 0, MaxGroupPreparedCapacity at least -1, PoolState one of {STATES}")
    if pool.get("MaxGroupPreparedCapacity") == -1:
        del pool["MaxGroupPreparedCapacity"]
    group.warm_pool = pool
    return {}


@action("autoscaling", "DeleteWarmPool")
def delete_warm_pool(region: Region, params: Params) -> dict[str, Any]:
    """At once, as no instance is in it. A group that has none: ValidationError (API_DeleteWarmPool)."""
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    if group.warm_pool is None:
        raise auto_scaling.invalid(f"No warm pool found for group: {group.name}")
    group.warm_pool = None
    return {}


@action("autoscaling", "DescribeWarmPool")
def describe_warm_pool(region: Region, params: Params) -> dict[str, Any]:
    """Of a group without one: no instances and no configuration."""
    group = auto_scaling.find(region, params.get("AutoScalingGroupName"))
    return {"WarmPoolConfiguration": group.warm_pool, "Instances": []}
