"""Launch templates as AWS keeps them."""

import base64
from typing import Any

import pytest

from .conftest import code_of, tag_specification


def create(ec2: Any, name: str = "nodes", **data: Any) -> str:
    return ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]["LaunchTemplateId"]


def version_data(ec2: Any, template: str, version: str) -> dict[str, Any]:
    answer = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])
    return answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]


def test_a_version_keeps_its_user_data(ec2: Any) -> None:
    """API_CreateLaunchTemplateVersion, UserData; moto 5.2.5 answers 500 when such a version is launched."""
    template = create(ec2, InstanceType="t3.medium")
    ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData={"UserData": "aGVsbG8="})
    assert version_data(ec2, template, "2") == {"UserData": "aGVsbG8="}


def test_a_version_with_a_source_starts_as_its_copy(ec2: Any) -> None:
    """API_CreateLaunchTemplateVersion, SourceVersion: parameters given overwrite those of the source."""
    template = create(ec2, InstanceType="t3.medium", KeyName="key", UserData="b25l")
    ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"UserData": "dHdv"})
    assert version_data(ec2, template, "$Latest") == {"InstanceType": "t3.medium", "KeyName": "key", "UserData": "dHdv"}
    assert version_data(ec2, template, "$Default")["UserData"] == "b25l"


def test_all_templates_are_found_page_by_page(ec2: Any) -> None:
    """API_DescribeLaunchTemplates, MaxResults and NextToken; moto shows 15 and stops."""
    for number in range(20):
        create(ec2, f"nodes-{number}")
    assert len(ec2.describe_launch_templates()["LaunchTemplates"]) == 20
    pages = list(ec2.get_paginator("describe_launch_templates").paginate(PaginationConfig={"PageSize": 6}))
    assert [len(page["LaunchTemplates"]) for page in pages] == [6, 6, 6, 2]


def test_versions_can_be_deleted_but_not_the_default_one(ec2: Any) -> None:
    """API_DeleteLaunchTemplateVersions: the default version can't be deleted; each version succeeds for itself."""
    template = create(ec2, InstanceType="t3.medium")
    for _ in range(2):
        ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData={"InstanceType": "t3.large"})
    answer = ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1", "3", "9"])
    assert [one["VersionNumber"] for one in answer["SuccessfullyDeletedLaunchTemplateVersions"]] == [3]
    assert [one["VersionNumber"] for one in answer["UnsuccessfullyDeletedLaunchTemplateVersions"]] == [1, 9]
    assert [
        one["VersionNumber"] for one in ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    ] == [2, 1]


def test_the_templates_own_tags_stay_out_of_its_data(ec2: Any) -> None:
    """API_CreateLaunchTemplate: TagSpecifications of the request tag the template, those of the data its instances."""
    answer = ec2.create_launch_template(
        LaunchTemplateName="nodes",
        LaunchTemplateData={"TagSpecifications": tag_specification("instance", Name="node")},
        TagSpecifications=tag_specification("launch-template", cluster="demo"),
    )["LaunchTemplate"]
    assert answer["Tags"] == [{"Key": "cluster", "Value": "demo"}]
    assert version_data(ec2, answer["LaunchTemplateId"], "1") == {"TagSpecifications": tag_specification("instance", Name="node")}
    found = ec2.describe_launch_templates(Filters=[{"Name": "tag:cluster", "Values": ["demo"]}])["LaunchTemplates"]
    assert [one["LaunchTemplateId"] for one in found] == [answer["LaunchTemplateId"]]


@pytest.mark.parametrize("name", ["ab", "with space", "star*", "x" * 129])
def test_a_bad_name_is_refused(cloud: Any, name: str) -> None:
    """API_CreateLaunchTemplate, LaunchTemplateName: 3 to 128 of [a-zA-Z0-9().-/_]; the region says so where no SDK does."""
    unchecked = cloud.client("ec2", parameter_validation=False)
    request = {"LaunchTemplateName": name, "LaunchTemplateData": {}}
    assert code_of(unchecked.create_launch_template, **request) == "InvalidLaunchTemplateName.MalformedException"


def test_names_are_unique(ec2: Any) -> None:
    """EC2 API error codes: InvalidLaunchTemplateName.AlreadyExistsException."""
    create(ec2)
    assert code_of(create, ec2) == "InvalidLaunchTemplateName.AlreadyExistsException"


def test_user_data_is_limited_to_16_kilobytes(ec2: Any) -> None:
    """EC2 User Guide, "Run commands when you launch an EC2 instance with user data input": 16 KB, raw."""
    create(ec2, UserData=base64.b64encode(b"x" * 16384).decode())
    too_much = base64.b64encode(b"x" * 16385).decode()
    assert code_of(create, ec2, "more", UserData=too_much) == "InvalidParameterValue"
    assert code_of(create, ec2, "more", UserData="not base64!") == "InvalidUserData.Malformed"


def test_a_client_token_makes_creation_idempotent(ec2: Any) -> None:
    """EC2 User Guide, "Ensuring idempotency in API requests": the same token gives the same answer, or a mismatch."""
    request = {"LaunchTemplateName": "nodes", "LaunchTemplateData": {"InstanceType": "t3.medium"}, "ClientToken": "token"}
    first, second = (ec2.create_launch_template(**request)["LaunchTemplate"] for _ in range(2))
    assert first["LaunchTemplateId"] == second["LaunchTemplateId"]
    request["LaunchTemplateData"] = {"InstanceType": "t3.large"}
    assert code_of(ec2.create_launch_template, **request) == "IdempotentParameterMismatch"


def test_a_launch_honours_every_field_of_the_template(network: Any, ec2: Any, iam: Any) -> None:
    """API_RequestLaunchTemplateData; moto loses groups, public address, profile, metadata options and volume tags."""
    ec2.import_key_pair(KeyName="admin", PublicKeyMaterial=PUBLIC_KEY)
    iam.create_instance_profile(InstanceProfileName="nodes")
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [network.group], "DeleteOnTermination": True}
    root = {
        "VolumeSize": 20,
        "VolumeType": "gp3",
        "Iops": 4000,
        "Throughput": 200,
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    kinds = ("instance", "volume", "network-interface")
    network.template(
        SecurityGroupIds=[],
        NetworkInterfaces=[interface],
        KeyName="admin",
        UserData="aGVsbG8=",
        EbsOptimized=True,
        IamInstanceProfile={"Name": "nodes"},
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": root}],
        TagSpecifications=[spec for kind in kinds for spec in tag_specification(kind, Name=f"the {kind}")],
    )
    reference = {"LaunchTemplateName": "nodes"}
    instance = network.describe(
        ec2.run_instances(LaunchTemplate=reference, SubnetId=network.subnets[0], MinCount=1, MaxCount=1)["Instances"][0][
            "InstanceId"
        ]
    )
    assert instance["State"]["Name"] == "running"
    assert instance["KeyName"] == "admin"
    assert instance["EbsOptimized"] is True
    assert instance["IamInstanceProfile"]["Arn"].endswith(":instance-profile/nodes")
    assert (instance["MetadataOptions"]["HttpTokens"], instance["MetadataOptions"]["HttpPutResponseHopLimit"]) == ("required", 1)
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == [network.group]
    assert instance["PublicIpAddress"].startswith("203.0.113.")
    assert {tag["Key"]: tag["Value"] for tag in instance["Tags"]}["Name"] == "the instance"
    (volume,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}])["Volumes"]
    assert (volume["Size"], volume["Iops"], volume["Throughput"], volume["Encrypted"]) == (20, 4000, 200, True)
    assert volume["Tags"] == [{"Key": "Name", "Value": "the volume"}]
    assert volume["Attachments"][0]["Device"] == "/dev/xvda"
    (nic,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert nic["TagSet"] == [{"Key": "Name", "Value": "the network-interface"}]
    attribute = ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    assert attribute["UserData"]["Value"] == "aGVsbG8="


PUBLIC_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3VqPJ5QjJh2Y2p8qk6q3Y1l6m8b8G8f7x0q3o1c5dF admin"
