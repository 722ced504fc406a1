"""Load balancers are moto's, of both generations; here is what they hold on to while they are there."""

from typing import Any

from moto.backends import get_backend

from .services import service
from .state import Region

for name, version in {"elb": "2012-06-01", "elbv2": "2015-12-01"}.items():
    service(name, version=version, signing_name="elasticloadbalancing", iam_prefix="elasticloadbalancing", regional=True)


def _in_use(region: Region) -> list[tuple[Any, set[str], set[str]]]:
    """Of each load balancer: its VPC, its subnets, its security groups."""
    classic = get_backend("elb")[region.account][region.name].load_balancers.values()
    newer = get_backend("elbv2")[region.account][region.name].load_balancers.values()
    found = [(one.vpc_id, set(one.subnets), set(one.security_groups or [])) for one in classic]
    return found + [(one.vpc_id, {subnet.id for subnet in one.subnets}, set(one.security_groups or [])) for one in newer]


def use_vpc(region: Region, vpc_id: str | None) -> bool:
    """Whether a load balancer is in a VPC, with public addresses."""
    return any(vpc == vpc_id for vpc, _, _ in _in_use(region))


def use_subnet(region: Region, subnet_id: str) -> bool:
    """Whether a load balancer has a network interface in a subnet."""
    return any(subnet_id in subnets for _, subnets, _ in _in_use(region))


def use_group(region: Region, group_id: str) -> bool:
    """Whether a load balancer's interfaces are members of a security group."""
    return any(group_id in groups for _, _, groups in _in_use(region))
