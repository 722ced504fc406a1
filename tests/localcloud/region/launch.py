"""Launching instances: a request, merged with its launch template, checked, made real."""

from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Reservation
from moto.ec2.utils import random_instance_id, random_reservation_id

from . import images, instances, launch_templates, network_interfaces, tags, volumes
from .actions import action
from .errors import AwsError
from .instances import Instance
from .state import Region, now

DEFAULT_TYPE = "m1.small"


@action("ec2", "RunInstances")
def run_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Launches as many as possible up to MaxCount. What the request says wins over the launch template."""

    def launch_them() -> str:
        least, most = params.get("MinCount") or 1, params.get("MaxCount") or 1
        if not 1 <= least <= most:
            raise AwsError("InvalidParameterValue", f"Invalid value '{least}' for minCount.")
        return launch(region, params, most, least)[0].reservation

    reservation = region.idempotent("RunInstances", params, launch_them)
    members = [one for one in region.instances.values() if one.reservation == reservation]
    answer = instances.describe_reservation(region, reservation, members)
    settle(region, members)
    return answer


def settle(region: Region, launched: list[Instance]) -> None:
    """Without machines a new instance runs at once."""
    if region.machines_connected:
        return
    for instance in launched:
        if instance.state == "pending":
            instance.state = "running"


def launch(region: Region, params: dict[str, Any], count: int, at_least: int = 1) -> list[Instance]:
    """Launches up to `count` pending instances in one reservation, or none where fewer than `at_least` can be."""
    wanted, template_tags = _merge_template(region, params)
    plan = _check(region, wanted)
    reservation = Reservation(random_reservation_id(), region.account)
    region.ec2.reservations[reservation.id] = reservation
    before = _inventory(region)
    try:
        for _ in range(count):
            so_far = _inventory(region)
            instance = _create(region, wanted, plan, reservation.id)
            tags.apply(region, instance.id, template_tags, by_aws=True)
            reservation.instances.append(instance)
    except ServiceException:
        enough = len(reservation.instances) >= at_least
        _undo(region, so_far if enough else before)
        if not enough:
            del region.ec2.reservations[reservation.id]
            raise
    return list(reservation.instances)


def _inventory(region: Region) -> list[tuple[dict[str, Any], set[str]]]:
    """What there is of everything that a launch makes."""
    return [(collection, set(collection)) for collection in (region.instances, region.ec2.enis, region.ec2.volumes)]


def _undo(region: Region, inventory: list[tuple[dict[str, Any], set[str]]]) -> None:
    """Removes what a failed launch has made, and lets go of the interfaces that it was given."""
    for collection, known in inventory:
        for identifier in set(collection) - known:
            del collection[identifier]
            tags.forget(region, identifier)
    for interface in region.ec2.enis.values():
        if interface.instance and interface.instance.id not in region.instances:
            interface.instance = None


def _merge_template(region: Region, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    reference = params.get("LaunchTemplate")
    if not reference:
        return params, {}
    template = launch_templates.find(region, reference)
    number = template.resolve(reference.get("Version"))
    data = template.versions[number]["data"]
    merged = {**data, **{name: value for name, value in params.items() if value not in (None, [])}}
    merged["TagSpecifications"] = _merge_tags(data, params)
    if params.get("SubnetId") and merged.get("NetworkInterfaces"):
        first, *others = merged["NetworkInterfaces"]
        merged["NetworkInterfaces"] = [{**first, "SubnetId": params["SubnetId"]}, *others]
        del merged["SubnetId"]
    return merged, {"aws:ec2launchtemplate:id": template.id, "aws:ec2launchtemplate:version": str(number)}


def _merge_tags(data: dict[str, Any], params: dict[str, Any]) -> list[dict[str, Any]]:
    """Tags of template and request add up; the request's value wins (EC2 User Guide, launch templates)."""
    merged = []
    for kind in ("instance", "volume", "network-interface"):
        together = {**tags.specified(data, kind), **tags.specified(params, kind)}
        merged.append({"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in together.items()]})
    return merged


def _check(region: Region, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the launch refers to, or the error that AWS refuses it with."""
    kind = wanted.get("InstanceType") or DEFAULT_TYPE
    image = images.find(region, wanted.get("ImageId"))
    if kind not in INSTANCE_TYPES:
        raise AwsError("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    supported = INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in supported:
        raise AwsError(
            "InvalidParameterValue",
            f"The architecture '{','.join(supported)}' of the specified instance type does not match "
            f"the architecture '{image.architecture}' of the specified AMI.",
        )
    key = wanted.get("KeyName")
    if key and key not in region.ec2.key_pairs:
        raise AwsError("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
    launch_templates.check_user_data(wanted.get("UserData"))
    interfaces = _interfaces(wanted)
    subnet = region.ec2.get_subnet(interfaces[0]["SubnetId"])
    for interface in interfaces:
        network_interfaces.find_groups(region, interface.get("Groups") or [], subnet.vpc_id)
    return {"image": image, "kind": kind, "subnet": subnet, "interfaces": interfaces, "profile": _profile(region, wanted)}


def _interfaces(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    listed = sorted(wanted.get("NetworkInterfaces") or [], key=lambda one: one.get("DeviceIndex", 0))
    if listed and (wanted.get("SubnetId") or wanted.get("SecurityGroupIds")):
        raise AwsError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request",
        )
    if not listed:
        primary = {"SubnetId": wanted.get("SubnetId"), "Groups": wanted.get("SecurityGroupIds") or []}
        listed = [{**primary, "PrivateIpAddress": wanted.get("PrivateIpAddress"), "DeviceIndex": 0}]
    if listed[0].get("DeviceIndex", 0) != 0:
        raise AwsError("InvalidParameterCombination", "A network interface with device index 0 is required")
    if not listed[0].get("SubnetId"):
        raise AwsError("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
    return listed


def _profile(region: Region, wanted: dict[str, Any]) -> Any:
    asked = wanted.get("IamInstanceProfile") or {}
    if not asked:
        return None
    for profile in region.iam.instance_profiles.values():
        if asked.get("Name") == profile.name or asked.get("Arn") == profile.arn:
            return profile
    field, value = ("arn", asked["Arn"]) if asked.get("Arn") else ("name", asked.get("Name"))
    raise AwsError(
        "InvalidParameterValue",
        f"Value ({value}) for parameter iamInstanceProfile.{field} is invalid. Invalid IAM Instance Profile {field}",
    )


def _create(region: Region, wanted: dict[str, Any], plan: dict[str, Any], reservation: str) -> Instance:
    subnet = plan["subnet"]
    instance = Instance(
        random_instance_id(),
        reservation,
        plan["image"],
        plan["kind"],
        subnet,
        now(),
        key_name=wanted.get("KeyName"),
        user_data=wanted.get("UserData"),
        profile=plan["profile"],
        metadata=_metadata(wanted.get("MetadataOptions") or {}),
        ebs_optimized=bool(wanted.get("EbsOptimized")),
        monitoring=bool((wanted.get("Monitoring") or {}).get("Enabled")),
        disable_api_termination=bool(wanted.get("DisableApiTermination")),
        shutdown_behavior=wanted.get("InstanceInitiatedShutdownBehavior") or "stop",
        client_token=wanted.get("ClientToken"),
        lifecycle=(wanted.get("InstanceMarketOptions") or {}).get("MarketType"),
        private_dns=wanted.get("PrivateDnsNameOptions") or dict(subnet.private_dns_name_options_on_launch),
    )
    for interface in plan["interfaces"]:
        _attach_interface(region, instance, interface, tags.specified(wanted, "network-interface"))
    region.instances[instance.id] = instance
    _attach_volumes(region, instance, wanted)
    tags.apply(region, instance.id, tags.specified(wanted, "instance"))
    return instance


def _metadata(asked: dict[str, Any]) -> dict[str, Any]:
    return {**instances.METADATA_DEFAULTS, **{name: value for name, value in asked.items() if value is not None}}


def _attach_interface(region: Region, instance: Instance, wanted: dict[str, Any], given: dict[str, str]) -> None:
    if existing := wanted.get("NetworkInterfaceId"):
        interface = network_interfaces.find(region, existing)
        if interface.in_use:
            raise AwsError("InvalidNetworkInterface.InUse", f"Network interface '{existing}' is currently in use.")
        interface.delete_on_termination = False
    else:
        interface = network_interfaces.create(region, instance.subnet, wanted)
        public = wanted.get("AssociatePublicIpAddress")
        interface.wants_public_ip = instance.subnet.map_public_ip_on_launch is True if public is None else public
        tags.apply(region, interface.id, given)
    interface.device_index = wanted.get("DeviceIndex", 0)
    network_interfaces.attach(region, interface, instance)
    instance.nics[interface.device_index] = interface


def _attach_volumes(region: Region, instance: Instance, wanted: dict[str, Any]) -> None:
    """The image's root volume, changed and joined by the request's block device mappings."""
    root = instance.image.root_device
    mappings = {root: {"VolumeSize": instance.image.root_size, "VolumeType": "gp3", "DeleteOnTermination": True}}
    for mapping in wanted.get("BlockDeviceMappings") or []:
        device = mapping.get("DeviceName", "")
        if "NoDevice" in mapping:
            mappings.pop(device, None)
        elif "Ebs" in mapping:
            mappings[device] = {**mappings.get(device, {"DeleteOnTermination": True}), **mapping["Ebs"]}
    for device, ebs in mappings.items():
        volume = volumes.create(region, ebs, instance.zone)
        state = "attaching" if region.machines_connected and device != root else "attached"
        volume.attachment = volumes.Attachment(
            instance, device, state, now(), ebs.get("DeleteOnTermination", True), root=device == root
        )
        tags.apply(region, volume.id, tags.specified(wanted, "volume"))
