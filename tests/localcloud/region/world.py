"""The world as the machines see it (`GET /_region/world`; README.md, "The world")."""

from typing import Any

from . import auto_scaling, balancing, names, network_interfaces, tags, warm_pools
from .instances import Instance
from .routes import Request, route
from .state import Region


@route("GET", "/world", locked=False)
def _world(region: Region, request: Request) -> dict[str, Any]:
    """As soon as it is newer than `after`, or once `wait` seconds are over."""
    region.wait_for_change(int(request.query.get("after", "0")), float(request.query.get("wait", "0")))
    with region.lock:
        return describe(region)


def describe(region: Region) -> dict[str, Any]:
    """Everything the machines need to make it so. Terminated instances and root volumes are left out."""
    backend = region.ec2
    gateways = {gateway.vpc.id: gateway.id for gateway in backend.internet_gateways.values() if gateway.vpc}
    subnets = [subnet for zone in backend.subnets.values() for subnet in zone.values()]
    groups = [group for vpc in backend.groups.values() for group in vpc.values()]
    return {
        "generation": region.generation,
        "vpcs": [
            {"id": vpc.id, "cidr": vpc.cidr_block, "internetGateway": gateways.get(vpc.id)} for vpc in backend.vpcs.values()
        ],
        "subnets": [_subnet(region, subnet) for subnet in subnets],
        "securityGroups": [_group(group) for group in groups],
        "natGateways": [
            _nat_gateway(region, one) for one in backend.nat_gateways.values() if one.state in ("available", "deleting")
        ],
        "loadBalancers": balancing.load_balancers(region),
        "targetGroups": balancing.target_groups(region),
        "zones": names.zones(region),
        "instances": [_instance(region, one) for one in region.instances.values() if one.state != "terminated"],
        "volumes": [_volume(one) for one in backend.volumes.values() if not (one.attachment and one.attachment.root)],
    }


def _subnet(region: Region, subnet: Any) -> dict[str, Any]:
    routes = [(_destination(route), _target(route)) for route in _route_table(region, subnet).routes]
    return {
        "id": subnet.id,
        "vpc": subnet.vpc_id,
        "cidr": subnet.cidr_block,
        "zone": subnet.availability_zone,
        "routes": [{"destination": to, "target": target} for to, target in routes if to and target],
    }


def _route_table(region: Region, subnet: Any) -> Any:
    """The subnet's own route table, or its VPC's main one."""
    tables = [table for table in region.ec2.route_tables.values() if table.vpc_id == subnet.vpc_id]
    own = [table for table in tables if subnet.id in table._associations.values()]
    return (own or [table for table in tables if table.main_association_id])[0]


def _destination(route: Any) -> str | None:
    """An IPv4 range, or a prefix list."""
    prefixes = route.destination_prefix_list
    return route.destination_cidr_block or (prefixes.id if prefixes else None)


def _target(route: Any) -> str | None:
    """Where a route leads; nowhere for the VPC's own one."""
    target = route.gateway or route.nat_gateway or route.interface or route.instance or route.transit_gateway or route.vpc_pcx
    return target.id if target else None


def _nat_gateway(region: Region, gateway: Any) -> dict[str, Any]:
    interface = gateway.interface
    public = network_interfaces.association(region, interface, interface.private_ip_address)
    return {
        "id": gateway.id,
        "vpc": gateway.vpc_id,
        "subnet": gateway.subnet.id,
        "privateIp": interface.private_ip_address,
        "publicIp": public["PublicIp"] if public else None,
    }


def _group(group: Any) -> dict[str, Any]:
    return {
        "id": group.id,
        "vpc": group.vpc_id,
        "ingress": [_permission(permission) for permission in group.ip_permissions],
        "egress": [_permission(permission) for permission in group.ip_permissions_egress],
    }


def _permission(permission: Any) -> dict[str, Any]:
    return {
        "protocol": permission.ip_protocol,
        "from": permission.from_port,
        "to": permission.to_port,
        "cidrs": [item["CidrIp"] for item in permission.ip_ranges],
        "groups": [item["GroupId"] for item in permission.source_groups],
    }


def _instance(region: Region, instance: Instance) -> dict[str, Any]:
    first = instance.nics[0]
    public = {ip: network_interfaces.association(region, first, ip) for ip in first.private_ips}
    key = region.ec2.key_pairs.get(instance.key_name)
    role = next(iter(instance.profile.roles), None) if instance.profile else None
    return {
        "id": instance.id,
        "state": instance.state,
        "image": instance.image.id,
        "type": instance.kind,
        "vpc": instance.subnet.vpc_id,
        "subnet": instance.subnet.id,
        "zone": instance.zone,
        "mac": first.mac,
        "networkInterface": first.id,
        "privateIp": first.private_ip_address,
        "secondaryPrivateIps": first.private_ips[1:],
        "publicIps": {ip: association["PublicIp"] for ip, association in public.items() if association},
        "sourceDestCheck": first.source_dest_check,
        "securityGroups": [group.id for group in first.groups],
        "userData": instance.user_data,
        "metadata": {
            "tokens": instance.metadata["HttpTokens"],
            "hopLimit": instance.metadata["HttpPutResponseHopLimit"],
            "endpoint": instance.metadata["HttpEndpoint"],
            "tags": instance.metadata["InstanceMetadataTags"],
        },
        "profileArn": instance.profile.arn if instance.profile else None,
        "role": role.name if role else None,
        "publicKey": key.public_key if key else None,
        "autoScalingGroup": instance.auto_scaling_group,
        "targetLifecycleState": _target_lifecycle_state(region, instance),
        "lifecycle": instance.lifecycle or "on-demand",
        "interruption": instance.interruption,
        "rebalance": instance.rebalance,
        "tags": dict(tags.of(region, instance.id)),
        "reboots": instance.reboots,
        "launchTime": f"{instance.launched:%Y-%m-%dT%H:%M:%SZ}",
    }


def _target_lifecycle_state(region: Region, instance: Instance) -> str | None:
    """What its Auto Scaling group wants of it (Auto Scaling User Guide, "Retrieve the target lifecycle state")."""
    group = auto_scaling.groups(region).get(instance.auto_scaling_group or "")
    if group is None:
        return None
    member = next((one for one in [*group.members, *group.warm] if one.instance is instance), None)
    if member is None:
        return None
    if member.reused or member.state.startswith("Warmed:"):
        return warm_pools.target_state(group, member)
    return "Terminated" if member.state.startswith("Terminating") else "InService"


def _volume(volume: Any) -> dict[str, Any]:
    attachment = volume.attachment
    return {
        "id": volume.id,
        "size": volume.size,
        "zone": volume.zone,
        "state": volume.state,
        "encrypted": volume.encrypted,
        "attachment": attachment and {"instance": attachment.instance.id, "device": attachment.device, "state": attachment.state},
    }
