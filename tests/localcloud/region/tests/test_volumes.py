"""EBS volumes as AWS attaches them."""

from typing import Any

import pytest

from .conftest import code_of


@pytest.fixture
def volume(ec2: Any) -> str:
    return ec2.create_volume(AvailabilityZone="us-east-1a", Size=20, VolumeType="gp3", Encrypted=True)["VolumeId"]


def test_a_volume_is_attached_to_one_instance_only(network: Any, ec2: Any, volume: str) -> None:
    """API_AttachVolume; EC2 API error codes: VolumeInUse."""
    first, second = network.run(), network.run()
    ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/xvdf")
    assert code_of(ec2.attach_volume, VolumeId=volume, InstanceId=second, Device="/dev/xvdf") == "VolumeInUse"
    assert code_of(ec2.attach_volume, VolumeId=volume, InstanceId=first, Device="/dev/xvdg") == "VolumeInUse"
    assert code_of(ec2.delete_volume, VolumeId=volume) == "VolumeInUse"


def test_a_volume_stays_in_its_zone(network: Any, ec2: Any, volume: str) -> None:
    """EC2 API error codes: InvalidVolume.ZoneMismatch."""
    code = code_of(ec2.attach_volume, VolumeId=volume, InstanceId=network.run(1), Device="/dev/xvdf")
    assert code == "InvalidVolume.ZoneMismatch"


@pytest.mark.parametrize("device", ["/dev/xvda", "xvdf", "/dev/nvme1n1"])
def test_a_busy_or_bad_device_name_is_refused(network: Any, ec2: Any, volume: str, device: str) -> None:
    """EC2 User Guide, "Device names for volumes"; EC2 API error codes: InvalidParameterValue."""
    code = code_of(ec2.attach_volume, VolumeId=volume, InstanceId=network.run(), Device=device)
    assert code == "InvalidParameterValue"


def test_a_volume_is_not_attached_to_a_dead_instance(network: Any, ec2: Any, volume: str) -> None:
    """EC2 API error codes: an instance that is gone isn't found."""
    instance = network.run()
    ec2.terminate_instances(InstanceIds=[instance])
    code = code_of(ec2.attach_volume, VolumeId=volume, InstanceId=instance, Device="/dev/xvdf")
    assert code == "InvalidInstanceID.NotFound"


def test_the_volume_alone_is_enough_to_detach_it(network: Any, ec2: Any, volume: str) -> None:
    """API_DetachVolume: InstanceId and Device are optional; a volume that isn't attached is in the wrong state."""
    instance = network.run()
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/xvdf")
    assert code_of(ec2.detach_volume, VolumeId=volume, InstanceId=network.run()) == "InvalidAttachment.NotFound"
    assert ec2.detach_volume(VolumeId=volume)["State"] == "detaching"
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"
    assert code_of(ec2.detach_volume, VolumeId=volume) == "IncorrectState"


def test_a_volume_grows_but_does_not_shrink(ec2: Any, volume: str) -> None:
    """API_ModifyVolume: the target size is at least the present one."""
    ec2.modify_volume(VolumeId=volume, Size=40, Iops=6000, Throughput=250)
    (described,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    assert (described["Size"], described["Iops"], described["Throughput"]) == (40, 6000, 250)
    assert code_of(ec2.modify_volume, VolumeId=volume, Size=20) == "InvalidParameterValue"


def test_creation_is_idempotent_by_token(ec2: Any) -> None:
    """API_CreateVolume, ClientToken."""
    request = {"AvailabilityZone": "us-east-1a", "Size": 1, "VolumeType": "gp3", "ClientToken": "token"}
    assert ec2.create_volume(**request)["VolumeId"] == ec2.create_volume(**request)["VolumeId"]
    assert len(ec2.describe_volumes()["Volumes"]) == 1


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"AvailabilityZone": "us-east-1z"}, "InvalidZone.NotFound"),
        ({"Size": 0}, "MissingParameter"),
        ({"VolumeType": "gp3", "Iops": 100}, "InvalidParameterValue"),
        ({"VolumeType": "gp9"}, "InvalidParameterValue"),
    ],
)
def test_an_impossible_volume_is_refused(ec2: Any, wrong: dict[str, Any], code: str) -> None:
    """API_CreateVolume, the ranges of size, type and IOPS."""
    request = {"AvailabilityZone": "us-east-1a", "Size": 1, "VolumeType": "gp3", **wrong}
    assert code_of(ec2.create_volume, **request) == code


def test_with_machines_an_attachment_takes_its_time(network: Any, ec2: Any, volume: str) -> None:
    """API_VolumeAttachment, State: attaching, attached, detaching, busy; the machines say when."""
    cloud = network.cloud
    instance = network.run()
    cloud.control("POST", "/machines", {"connected": True})

    def state() -> Any:
        (described,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
        return described["Attachments"][0]["State"] if described["Attachments"] else described["State"]

    def report(word: str) -> None:
        cloud.control("POST", f"/volumes/{volume}/attachment", {"instance": instance, "state": word})

    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/xvdf")
    assert state() == "attaching"
    report("attached")
    assert state() == "attached"
    ec2.detach_volume(VolumeId=volume)
    assert state() == "detaching"
    report("busy")
    assert state() == "busy"
    ec2.detach_volume(VolumeId=volume)
    report("detached")
    assert state() == "available"


def test_a_volume_is_described_as_it_was_until_its_modification_is_done(cloud: Any, ec2: Any, volume: str) -> None:
    """EBS User Guide, "Monitor the progress of volume modifications"; one at a time (API_ModifyVolume)."""
    cloud.control("POST", "/modifications", {"slow": True})
    ec2.modify_volume(VolumeId=volume, Size=30)
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 20
    under_way = ec2.describe_volumes_modifications(Filters=[{"Name": "modification-state", "Values": ["modifying"]}])
    assert under_way["VolumesModifications"][0]["TargetSize"] == 30
    assert code_of(ec2.modify_volume, VolumeId=volume, Size=40) == "IncorrectModificationState"
    cloud.control("POST", "/modifications", {"slow": False})
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 30


def test_a_client_token_answers_with_the_volume_that_it_made_also_where_that_is_gone(cloud: Any, ec2: Any) -> None:
    """EC2 User Guide, "Ensuring idempotency in Amazon EC2 API requests"; README.md, `age`."""
    asked = {"AvailabilityZone": "us-east-1a", "Size": 8, "VolumeType": "gp3", "ClientToken": "token"}
    made = ec2.create_volume(**asked)
    cloud.control("POST", f"/volumes/{made['VolumeId']}/age", {"seconds": 3600})
    ec2.delete_volume(VolumeId=made["VolumeId"])
    again = ec2.create_volume(**asked)
    assert again["VolumeId"] == made["VolumeId"]
    assert (made["CreateTime"] - again["CreateTime"]).total_seconds() == 3600
    assert ec2.describe_volumes()["Volumes"] == []
