"""What the region holds, by kind: so that a test can tell that nothing was left behind."""

from typing import Any

from .state import Region


def inventory(region: Region) -> dict[str, list[str]]:
    """The sorted ids or names of everything that a cluster is made of; terminated instances are gone."""
    ec2 = region.ec2
    held = {
        "vpcs": ec2.vpcs,
        "subnets": [subnet for zone in ec2.subnets.values() for subnet in zone],
        "internetGateways": ec2.internet_gateways,
        "routeTables": ec2.route_tables,
        "securityGroups": [group for groups in ec2.groups.values() for group in groups],
        "networkInterfaces": ec2.enis,
        "volumes": ec2.volumes,
        "addresses": [address.allocation_id for address in ec2.addresses],
        "keyPairs": ec2.key_pairs,
        "launchTemplates": region.launch_templates,
        "autoScalingGroups": region.auto_scaling_groups,
        "instances": [name for name, instance in region.instances.items() if instance.state != "terminated"],
        "roles": [role.name for role in region.iam.get_roles()],
        "instanceProfiles": [profile.name for profile in region.iam.instance_profiles.values()],
        "objects": _objects(region),
    }
    return {kind: sorted(map(str, ids)) for kind, ids in held.items()}


def _objects(region: Region) -> list[Any]:
    """Every object that can be read, as `bucket/key`."""
    return [
        f"{name}/{key}"
        for name, bucket in region.s3.buckets.items()
        for key, latest in bucket.keys.items()
        if not type(latest).__name__.endswith("DeleteMarker")
    ]
