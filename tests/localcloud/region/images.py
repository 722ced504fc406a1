"""Machine images: registered by the control API or RegisterImage, found by DescribeImages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.ec2.utils import random_ami_id, random_snapshot_id

from . import ec2, tags
from .actions import action
from .errors import AwsError
from .filters import matches, paginate
from .routes import BadRequest, Request, route
from .state import Region, now

ROOT_DEVICE = "/dev/xvda"
ROOT_SIZE_GIB = 8
ARCHITECTURES = ("x86_64", "arm64")


@dataclass
class Image:
    """An image that the account owns."""

    id: str
    name: str
    architecture: str
    owner: str
    created: datetime
    snapshot: str
    root_device: str = ROOT_DEVICE
    root_size: int = ROOT_SIZE_GIB
    description: str | None = None


IMAGE = ec2.kind(
    "image",
    id_prefix="ami",
    taggable=lambda region: region.ec2.amis,
    parameters=("ImageId",),
    arn=lambda region, identifier: f"arn:aws:ec2:{region.name}::image/{identifier}",
    created_by=("RegisterImage",),
)


def register(
    region: Region,
    name: str,
    architecture: str,
    root_device: str,
    description: str | None,
    given_tags: dict[str, str],
    owner: str | None = None,
) -> Image:
    """Registers an image owned by the account, or one that another owner shares with it, whose tags it doesn't see.

    Fails with InvalidAMIName.Duplicate when the name is taken.
    """
    owner = owner or region.account
    if architecture not in ARCHITECTURES:
        raise AwsError("InvalidParameterValue", f"Value ({architecture}) for parameter architecture is invalid.")
    for image in region.ec2.amis.values():
        if image.name == name and image.owner == owner:
            raise AwsError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.id}")
    image = Image(random_ami_id(), name, architecture, owner, now(), random_snapshot_id(), root_device)
    image.description = description
    region.ec2.amis[image.id] = image
    tags.apply(region, image.id, given_tags if owner == region.account else {})
    return image


@route("POST", "/images")
def _register(region: Region, request: Request) -> dict[str, str]:
    """By the control API, which can also make one that another account shares."""
    asked = {"architecture": ARCHITECTURES[0], "rootDeviceName": ROOT_DEVICE, "description": None, "tags": {}, "owner": None}
    known = {"name", *asked}
    asked |= request.object()
    if unknown := asked.keys() - known:
        raise BadRequest(f"unknown fields of an image: {', '.join(sorted(unknown))}")
    if not asked.get("name"):
        raise BadRequest("an image has a name")
    given = (asked["name"], asked["architecture"], asked["rootDeviceName"], asked["description"], asked["tags"], asked["owner"])
    return {"imageId": register(region, *given).id}


def find(region: Region, image_id: str | None) -> Image:
    """The image with an id."""
    if not image_id:
        raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
    if not image_id.startswith("ami-"):
        raise AwsError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
    if image_id not in region.ec2.amis:
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return region.ec2.amis[image_id]


@action("ec2", "RegisterImage")
def register_image(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    root_device = params.get("RootDeviceName", ROOT_DEVICE)
    given_tags = tags.specified(params, "image")
    architecture = params.get("Architecture", ARCHITECTURES[0])
    image = register(region, params.get("Name", ""), architecture, root_device, params.get("Description"), given_tags)
    return {"ImageId": image.id}


@action("ec2", "DeregisterImage")
def deregister_image(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    image = find(region, params.get("ImageId"))
    del region.ec2.amis[image.id]
    tags.forget(region, image.id)
    return {"Return": True}


FILTERS = {
    "name": lambda image: image.name,
    "image-id": lambda image: image.id,
    "architecture": lambda image: image.architecture,
    "owner-id": lambda image: image.owner,
    "state": lambda image: "available",
    "root-device-type": lambda image: "ebs",
    "root-device-name": lambda image: image.root_device,
    "virtualization-type": lambda image: "hvm",
    "image-type": lambda image: "machine",
    "is-public": lambda image: False,
    "ena-support": lambda image: True,
}


@action("ec2", "DescribeImages")
def describe_images(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Without an owner, every image that the account may use: its own, and what is shared with it."""
    asked = [find(region, image_id) for image_id in params.get("ImageIds") or []]
    owners = {region.account if owner == "self" else owner for owner in params.get("Owners") or []}
    rows = [
        _describe(region, image)
        for image in asked or list(region.ec2.amis.values())
        if (not owners or image.owner in owners)
        and (not params.get("ExecutableUsers") or image.owner != region.account)
        and matches(image, params.get("Filters"), FILTERS, tags.of(region, image.id), "DescribeImages")
    ]
    return paginate("Images", rows, params)


def _describe(region: Region, image: Image) -> dict[str, Any]:
    root = {"SnapshotId": image.snapshot, "VolumeSize": image.root_size, "VolumeType": "gp3"}
    return {
        "ImageId": image.id,
        "Name": image.name,
        "Description": image.description,
        "Architecture": image.architecture,
        "OwnerId": image.owner,
        "ImageLocation": f"{image.owner}/{image.name}",
        "CreationDate": image.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "State": "available",
        "Public": False,
        "ImageType": "machine",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "EnaSupport": True,
        "ImdsSupport": "v2.0",
        "BootMode": "uefi-preferred",
        "RootDeviceName": image.root_device,
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": [
            {"DeviceName": image.root_device, "Ebs": {**root, "DeleteOnTermination": True, "Encrypted": False}}
        ],
        "Tags": tags.described(region, image.id),
    }
