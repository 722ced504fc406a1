"""EBS volumes: what may be attached where, and through which states."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from moto.backends import get_backend
from moto.ec2.utils import random_volume_id

from . import ec2, tags
from .actions import action
from .errors import AwsError
from .filters import matches, paginate, require_known
from .routes import Request, route
from .state import Region, now

DEVICE = re.compile(r"/dev/(sd[a-z][1-9]?[0-5]?|xvd[a-z]{1,2}[1-9]?[0-5]?)")
SIZES = {
    "gp3": (1, 65536),
    "gp2": (1, 16384),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "st1": (125, 16384),
    "sc1": (125, 16384),
    "standard": (1, 1024),
}
GP3_IOPS, GP3_THROUGHPUT = 3000, 125


@dataclass(eq=False)
class Attachment:
    """A volume on an instance. States: attaching, attached, detaching, busy."""

    instance: Any
    device: str
    state: str
    since: datetime
    delete_on_termination: bool = False
    root: bool = False


@dataclass(eq=False)
class Modification:
    """A change that was asked for. Until it is done the volume is described as it was."""

    since: datetime
    original: tuple[int, str, int | None, int | None]
    target: tuple[int, str, int | None, int | None]
    done: bool


@dataclass(eq=False)
class Volume:
    """An EBS volume."""

    id: str
    size: int
    zone: str
    kind: str
    created: datetime
    encrypted: bool = False
    kms_key: str | None = None
    iops: int | None = None
    throughput: int | None = None
    snapshot: str | None = None
    attachment: Attachment | None = None
    modification: Modification | None = None

    @property
    def state(self) -> str:
        return "in-use" if self.attachment else "available"


def _context(region: Region, identifier: str) -> dict[str, Any]:
    if identifier not in region.ec2.volumes:
        return {}
    volume = region.ec2.volumes[identifier]
    return {"ec2:volumeid": identifier, "ec2:availabilityzone": volume.zone, "ec2:volumesize": volume.size}


def _age(region: Region, identifier: str, seconds: float) -> None:
    """Also in what EC2 answers the client token with that made it."""
    volume = region.ec2.volumes[identifier]
    volume.created -= timedelta(seconds=seconds)
    for (asked, _), (_, result) in region.client_tokens.items():
        if asked == "CreateVolume" and result["VolumeId"] == volume.id:
            result["CreateTime"] = volume.created


VOLUME = ec2.kind(
    "volume",
    inventory=("volumes", lambda region: region.ec2.volumes),
    id_prefix="vol",
    taggable=lambda region: region.ec2.volumes,
    parameters=("VolumeId",),
    context=_context,
    created_by=("CreateVolume",),
    not_found="InvalidVolume.NotFound",
    lists={"Volumes": "VolumeId"},
    age=_age,
)


def create(region: Region, specification: dict[str, Any], zone: str) -> Volume:
    """Makes a volume as a CreateVolume request or a block device mapping wants it."""
    kind = specification.get("VolumeType") or "gp2"
    if kind not in SIZES:
        raise AwsError("InvalidParameterValue", f"Invalid value '{kind}' for VolumeType")
    size = specification.get("Size") or specification.get("VolumeSize")
    if not size:
        raise AwsError("MissingParameter", "The request must contain the parameter size/snapshot")
    low, high = SIZES[kind]
    if not low <= size <= high:
        raise AwsError("InvalidParameterValue", f"Volume of {size}GiB is outside the range {low}-{high}GiB of type {kind}.")
    iops, throughput = specification.get("Iops"), specification.get("Throughput")
    if kind == "gp3":
        iops, throughput = iops or GP3_IOPS, throughput or GP3_THROUGHPUT
        if not 3000 <= iops <= 80000 or not 125 <= throughput <= 2000:
            raise AwsError("InvalidParameterValue", f"Iops {iops} or throughput {throughput} is outside the range of gp3.")
    elif throughput:
        raise AwsError("InvalidParameterCombination", f"The parameter throughput is not supported for {kind} volumes.")
    key = _key_arn(region, specification.get("KmsKeyId"))
    encrypted = bool(specification.get("Encrypted"))
    if key and not encrypted:
        raise AwsError("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
    if encrypted and not key:
        key = f"arn:aws:kms:{region.name}:{region.account}:alias/aws/ebs"
    volume = Volume(
        random_volume_id(), size, zone, kind, now(), encrypted, key, iops, throughput, specification.get("SnapshotId")
    )
    region.ec2.volumes[volume.id] = volume
    return volume


def _key_arn(region: Region, key: str | None) -> str | None:
    """A volume is described with its key's ARN, however the key was named (API_CreateVolume)."""
    if key is None or ":key/" in key:
        return key
    backend = get_backend("kms")[region.account][region.name]
    return backend.describe_key(key).arn


def find(region: Region, volume_id: str | None) -> Volume:
    """The volume with an id."""
    if volume_id not in region.ec2.volumes:
        raise AwsError("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
    return region.ec2.volumes[volume_id]


def of_instance(region: Region, instance: Any) -> list[Volume]:
    """The volumes that are attached to an instance."""
    return [one for one in region.ec2.volumes.values() if one.attachment and one.attachment.instance is instance]


def delete(region: Region, volume: Volume) -> None:
    """Removes a volume."""
    region.ec2.volumes.pop(volume.id, None)
    tags.forget(region, volume.id)


@action("ec2", "CreateVolume")
def create_volume(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    zone = params.get("AvailabilityZone")
    if zone not in {one.name for one in region.ec2.describe_availability_zones()}:
        raise AwsError("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
    if params.get("SnapshotId"):
        raise AwsError("InvalidSnapshot.NotFound", f"The snapshot '{params['SnapshotId']}' does not exist.")

    def make() -> dict[str, Any]:
        volume = create(region, params, zone)
        tags.apply(region, volume.id, tags.specified(params, "volume"))
        return {**describe(region, volume), "State": "creating"}

    return region.idempotent("CreateVolume", params, make)


@action("ec2", "DeleteVolume")
def delete_volume(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    volume = find(region, params.get("VolumeId"))
    if volume.attachment:
        raise AwsError("VolumeInUse", f"Volume {volume.id} is currently attached to {volume.attachment.instance.id}")
    delete(region, volume)
    return {}


@action("ec2", "ModifyVolume")
def modify_volume(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """A volume grows, it doesn't shrink (API_ModifyVolume)."""
    volume = find(region, params.get("VolumeId"))
    size = params.get("Size") or volume.size
    if size < volume.size:
        raise AwsError("InvalidParameterValue", "New size cannot be smaller than existing size")
    if volume.modification and not volume.modification.done:
        raise AwsError("IncorrectModificationState", f"Volume {volume.id} is in modification state, which doesn't allow another")
    before = (volume.size, volume.kind, volume.iops, volume.throughput)
    kind, iops = params.get("VolumeType") or volume.kind, params.get("Iops") or volume.iops
    target = (size, kind, iops, params.get("Throughput") or volume.throughput)
    volume.modification = Modification(now(), before, target, done=False)
    if not _modifications(region).get("slow"):
        finish_modification(volume)
    return {"VolumeModification": _describe_modification(volume)}


def _modifications(region: Region) -> dict[str, bool]:
    return region.kept("modifications of volumes")


@route("POST", "/modifications")
def _slow_modifications(region: Region, request: Request) -> dict[str, bool]:
    """Whether modifications of volumes take for ever; when they no longer do, those under way are done."""
    slow = _modifications(region)["slow"] = request.flag("slow")
    for volume in [] if slow else region.ec2.volumes.values():
        finish_modification(volume)
    return {"slow": slow}


def finish_modification(volume: Volume) -> None:
    """A volume becomes what was asked for."""
    if volume.modification:
        volume.size, volume.kind, volume.iops, volume.throughput = volume.modification.target
        volume.modification.done = True


def _describe_modification(volume: Volume) -> dict[str, Any]:
    change = volume.modification
    names = ("Size", "VolumeType", "Iops", "Throughput")
    return {
        "VolumeId": volume.id,
        "ModificationState": "completed" if change.done else "modifying",
        **{f"Original{name}": value for name, value in zip(names, change.original, strict=True)},
        **{f"Target{name}": value for name, value in zip(names, change.target, strict=True)},
        "Progress": 100 if change.done else 0,
        "StartTime": change.since,
    }


MODIFICATION_FILTERS = {
    "volume-id": lambda volume: volume.id,
    "modification-state": lambda volume: "completed" if volume.modification.done else "modifying",
}


@action("ec2", "DescribeVolumesModifications")
def describe_volumes_modifications(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Only of volumes that ever were modified (API_DescribeVolumesModifications)."""
    rows = [
        _describe_modification(volume)
        for volume in region.ec2.volumes.values()
        if volume.modification
        and (not params.get("VolumeIds") or volume.id in params["VolumeIds"])
        and matches(volume, params.get("Filters"), MODIFICATION_FILTERS, {}, "DescribeVolumesModifications")
    ]
    return paginate("VolumesModifications", rows, params)


@action("ec2", "AttachVolume")
def attach_volume(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """One instance at a time, of the same zone, running or stopped, at a device name that is free (API_AttachVolume)."""
    volume = find(region, params.get("VolumeId"))
    instance_id, device = params.get("InstanceId"), params.get("Device", "")
    instance = region.instances.get(instance_id)
    if instance is None or instance.state == "terminated":
        raise AwsError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    if not DEVICE.fullmatch(device):
        raise AwsError(
            "InvalidParameterValue", f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
        )
    if volume.attachment:
        raise AwsError("VolumeInUse", f"{volume.id} is already attached to an instance")
    if instance.state not in ("running", "stopped"):
        raise AwsError("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.zone != instance.zone:
        raise AwsError(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
        )
    if any(other.attachment.device == device for other in of_instance(region, instance)):
        raise AwsError(
            "InvalidParameterValue", f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        )
    volume.attachment = Attachment(instance, device, "attaching", now())
    answer = _describe_attachment(volume)
    if not region.machines_connected or instance.state == "stopped":
        volume.attachment.state = "attached"
    return answer


@action("ec2", "DetachVolume")
def detach_volume(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The volume's id alone is enough (API_DetachVolume)."""
    volume = find(region, params.get("VolumeId"))
    if volume.attachment is None:
        raise AwsError("IncorrectState", f"Volume '{volume.id}' is in the 'available' state.")
    attached = volume.attachment
    wanted_instance, wanted_device = params.get("InstanceId"), params.get("Device")
    if wanted_instance not in (None, attached.instance.id) or wanted_device not in (None, attached.device):
        raise AwsError(
            "InvalidAttachment.NotFound",
            f"The volume '{volume.id}' is not attached to instance '{wanted_instance}' as device '{wanted_device}'",
        )
    if attached.root and attached.instance.state == "running":
        raise AwsError("OperationNotPermitted", f"'{volume.id}' is the root device of a running instance")
    attached.state = "detaching"
    answer = _describe_attachment(volume)
    if not region.machines_connected or attached.instance.state == "stopped":
        volume.attachment = None
    return answer


FILTERS = {
    "volume-id": lambda volume: volume.id,
    "status": lambda volume: volume.state,
    "size": lambda volume: volume.size,
    "volume-type": lambda volume: volume.kind,
    "availability-zone": lambda volume: volume.zone,
    "encrypted": lambda volume: volume.encrypted,
    "snapshot-id": lambda volume: volume.snapshot,
    "attachment.instance-id": lambda volume: volume.attachment and volume.attachment.instance.id,
    "attachment.device": lambda volume: volume.attachment and volume.attachment.device,
    "attachment.status": lambda volume: volume.attachment and volume.attachment.state,
    "attachment.delete-on-termination": lambda volume: volume.attachment and volume.attachment.delete_on_termination,
}


@action("ec2", "DescribeVolumes")
def describe_volumes(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    wanted = params.get("VolumeIds")
    require_known(wanted, region.ec2.volumes, "InvalidVolume.NotFound", "volume")
    rows = [
        describe(region, volume)
        for volume in region.ec2.volumes.values()
        if (not wanted or volume.id in wanted)
        and matches(volume, params.get("Filters"), FILTERS, tags.of(region, volume.id), "DescribeVolumes")
    ]
    return paginate("Volumes", rows, params)


def _describe_attachment(volume: Volume) -> dict[str, Any]:
    attached = volume.attachment
    return {
        "VolumeId": volume.id,
        "InstanceId": attached.instance.id,
        "Device": attached.device,
        "State": attached.state,
        "AttachTime": attached.since,
        "DeleteOnTermination": attached.delete_on_termination,
    }


def describe(region: Region, volume: Volume) -> dict[str, Any]:
    """A volume in the form of DescribeVolumes."""
    return {
        "VolumeId": volume.id,
        "Size": volume.size,
        "AvailabilityZone": volume.zone,
        "VolumeType": volume.kind,
        "State": volume.state,
        "CreateTime": volume.created,
        "Encrypted": volume.encrypted,
        "KmsKeyId": volume.kms_key,
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "SnapshotId": volume.snapshot or "",
        "MultiAttachEnabled": False,
        "Attachments": [_describe_attachment(volume)] if volume.attachment else [],
        "Tags": tags.described(region, volume.id),
    }
