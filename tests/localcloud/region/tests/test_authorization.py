"""Signatures and IAM policies as AWS evaluates them."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore import UNSIGNED

from .conftest import code_of, tag_specification

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


def make_role(iam: Any, name: str, *statements: dict[str, Any]) -> None:
    """A role with one inline policy, in an instance profile of the same name."""
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements) or [allow(["s3:GetObject"])]})
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def allow(actions: list[str], resources: list[str] | str = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


@pytest.fixture
def enforced(cloud: Any) -> Any:
    """Call it once everything is set up."""
    return lambda: cloud.control("POST", "/authentication", {"enforce": True})


def test_an_unknown_key_is_refused_in_each_services_own_way(cloud: Any, enforced: Any) -> None:
    """EC2 API error codes: AuthFailure; S3 error responses: InvalidAccessKeyId; IAM common errors: InvalidClientTokenId."""
    enforced()
    stranger = {service: cloud.client(service, "AKIANOBODY", "x") for service in ("ec2", "s3", "iam", "route53")}
    assert code_of(stranger["ec2"].describe_vpcs) == "AuthFailure"
    assert code_of(stranger["s3"].list_buckets) == "InvalidAccessKeyId"
    assert code_of(stranger["iam"].list_roles) == "InvalidClientTokenId"
    assert code_of(stranger["route53"].list_hosted_zones) == "InvalidClientTokenId"


def test_an_unsigned_request_is_nobodys(cloud: Any, s3: Any, enforced: Any) -> None:
    """S3 takes it for anonymous and denies it; the others say MissingAuthenticationToken (IAM common errors)."""
    s3.create_bucket(Bucket="state-store")
    s3.put_object(Bucket="state-store", Key="a", Body=b"1")
    enforced()
    unsigned = {service: cloud.client(service, signature_version=UNSIGNED) for service in ("s3", "iam", "ec2")}
    assert code_of(unsigned["s3"].get_object, Bucket="state-store", Key="a") == "AccessDenied"
    assert code_of(unsigned["iam"].list_roles) == "MissingAuthenticationToken"
    assert code_of(unsigned["ec2"].describe_vpcs) == "MissingAuthenticationToken"


def test_a_wrong_secret_is_refused(cloud: Any, enforced: Any) -> None:
    """S3 error responses and IAM common errors: SignatureDoesNotMatch."""
    enforced()
    assert code_of(cloud.client("s3", secret="wrong").list_buckets) == "SignatureDoesNotMatch"
    assert code_of(cloud.client("route53", secret="wrong").list_hosted_zones) == "SignatureDoesNotMatch"
    assert code_of(cloud.client("ec2", secret="wrong").describe_vpcs) == "AuthFailure"


def test_the_operators_signature_is_good_for_every_kind_of_request(cloud: Any, enforced: Any, s3: Any) -> None:
    """IAM User Guide, "Create a signed AWS API request": odd keys, queries, bodies, Route 53's GETs."""
    enforced()
    s3.create_bucket(Bucket="state")
    for key in ("a/b c+d=&?é.json", "plain", "a//b", "x~y_z-"):
        s3.put_object(Bucket="state", Key=key, Body=b"value")
        assert s3.get_object(Bucket="state", Key=key)["Body"].read() == b"value"
    assert len(s3.list_objects_v2(Bucket="state", Prefix="a/")["Contents"]) == 2
    assert cloud.client("route53").list_hosted_zones()["HostedZones"] == []
    assert cloud.client("ec2").describe_vpcs()["Vpcs"] == []
    assert cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_a_role_reads_only_the_prefix_that_its_policy_names(network: Any, iam: Any, s3: Any, enforced: Any) -> None:
    """IAM User Guide, "Policy evaluation logic": what no statement allows is denied."""
    make_role(iam, "nodes", allow(["s3:GetObject"], "arn:aws:s3:::state/demo/public/*"))
    s3.create_bucket(Bucket="state")
    s3.put_object(Bucket="state", Key="demo/public/ca", Body=b"ca")
    s3.put_object(Bucket="state", Key="demo/control-plane/ca-key", Body=b"key")
    node = network.cloud.as_instance("s3", network.run(IamInstanceProfile={"Name": "nodes"}))
    enforced()
    assert node.get_object(Bucket="state", Key="demo/public/ca")["Body"].read() == b"ca"
    assert code_of(node.get_object, Bucket="state", Key="demo/control-plane/ca-key") == "AccessDenied"
    assert code_of(node.head_object, Bucket="state", Key="demo/control-plane/ca-key") == "403"
    assert code_of(node.put_object, Bucket="state", Key="demo/public/ca", Body=b"mine") == "AccessDenied"
    assert code_of(node.list_objects_v2, Bucket="state") == "AccessDenied"


def test_a_variable_in_a_resource_stands_for_the_session(network: Any, iam: Any, s3: Any, enforced: Any) -> None:
    """IAM User Guide, "Variables and tags": aws:userid of an instance's role is <role id>:<instance id>, in the resource too."""
    make_role(iam, "nodes", allow(["s3:PutObject"], "arn:aws:s3:::state/demo/status/${aws:userid}.json"))
    s3.create_bucket(Bucket="state")
    first, second = (network.run(IamInstanceProfile={"Name": "nodes"}) for _ in range(2))
    role = iam.get_role(RoleName="nodes")["Role"]["RoleId"]
    node = network.cloud.as_instance("s3", first)
    enforced()
    node.put_object(Bucket="state", Key=f"demo/status/{role}:{first}.json", Body=b"{}")
    for other in (f"{role}:{second}", first, "*", f"{role}:*"):
        assert code_of(node.put_object, Bucket="state", Key=f"demo/status/{other}.json", Body=b"{}") == "AccessDenied"


def test_an_absent_object_is_told_only_to_who_may_list(network: Any, iam: Any, s3: Any, enforced: Any) -> None:
    """API_GetObject, "Permissions": without s3:ListBucket an absent object is a 403, not a 404."""
    make_role(iam, "blind", allow(["s3:GetObject"], "arn:aws:s3:::state/*"))
    make_role(iam, "seeing", allow(["s3:*"], ["arn:aws:s3:::state", "arn:aws:s3:::state/*"]))
    s3.create_bucket(Bucket="state")
    blind = network.cloud.as_instance("s3", network.run(IamInstanceProfile={"Name": "blind"}))
    seeing = network.cloud.as_instance("s3", network.run(IamInstanceProfile={"Name": "seeing"}))
    enforced()
    assert code_of(blind.get_object, Bucket="state", Key="no") == "AccessDenied"
    assert code_of(seeing.get_object, Bucket="state", Key="no") == "NoSuchKey"


def test_listing_is_bound_to_a_prefix_by_a_condition(network: Any, iam: Any, s3: Any, enforced: Any) -> None:
    """S3 User Guide, "Controlling access with condition keys": s3:prefix."""
    make_role(iam, "nodes", allow(["s3:ListBucket"], "arn:aws:s3:::state", StringLike={"s3:prefix": ["demo/public/*"]}))
    s3.create_bucket(Bucket="state")
    node = network.cloud.as_instance("s3", network.run(IamInstanceProfile={"Name": "nodes"}))
    enforced()
    node.list_objects_v2(Bucket="state", Prefix="demo/public/x")
    assert code_of(node.list_objects_v2, Bucket="state", Prefix="demo/") == "AccessDenied"
    assert code_of(node.list_objects_v2, Bucket="state") == "AccessDenied"


def test_an_explicit_denial_wins(network: Any, iam: Any, s3: Any, enforced: Any) -> None:
    """IAM User Guide, "Policy evaluation logic": an explicit deny overrides any allow."""
    deny = {"Effect": "Deny", "Action": "s3:Get?bject", "Resource": "arn:aws:s3:::state/secret*"}
    make_role(iam, "nodes", allow(["s3:*"]), deny)
    s3.create_bucket(Bucket="state")
    s3.put_object(Bucket="state", Key="secret-1", Body=b"x")
    node = network.cloud.as_instance("s3", network.run(IamInstanceProfile={"Name": "nodes"}))
    enforced()
    assert code_of(node.get_object, Bucket="state", Key="secret-1") == "AccessDenied"


def test_attaching_a_volume_needs_the_volumes_tag(network: Any, iam: Any, ec2: Any, enforced: Any) -> None:
    """Service Authorization Reference, EC2 AttachVolume: both instance and volume; aws:ResourceTag is the resource's own."""
    account = "arn:aws:ec2:us-east-1:123456789012"
    make_role(
        iam,
        "masters",
        allow(["ec2:DescribeVolumes"]),
        allow(
            ["ec2:AttachVolume"],
            [f"{account}:volume/*", f"{account}:instance/*"],
            StringEquals={"aws:ResourceTag/cluster": "demo"},
        ),
    )
    volume = {"AvailabilityZone": "us-east-1a", "Size": 1, "VolumeType": "gp3"}
    mine = ec2.create_volume(**volume, TagSpecifications=tag_specification("volume", cluster="demo"))["VolumeId"]
    other = ec2.create_volume(**volume, TagSpecifications=tag_specification("volume", cluster="other"))["VolumeId"]
    master = network.run(IamInstanceProfile={"Name": "masters"}, TagSpecifications=tag_specification("instance", cluster="demo"))
    client = network.cloud.as_instance("ec2", master)
    enforced()
    assert code_of(client.attach_volume, VolumeId=other, InstanceId=master, Device="/dev/xvdf") == "UnauthorizedOperation"
    client.attach_volume(VolumeId=mine, InstanceId=master, Device="/dev/xvdf")
    assert len(client.describe_volumes()["Volumes"]) == 3
    assert code_of(client.delete_volume, VolumeId=mine) == "UnauthorizedOperation"


def test_an_instance_may_change_only_itself(network: Any, iam: Any, enforced: Any) -> None:
    """EC2 User Guide: ec2:SourceInstanceARN is the instance whose role credentials sign the request."""
    only_this = {"StringEquals": {"ec2:Attribute": "SourceDestCheck"}}
    itself = {
        **only_this,
        "ArnEquals": {"ec2:SourceInstanceARN": "arn:aws:ec2:us-east-1:123456789012:instance/${ec2:InstanceID}"},
    }
    make_role(iam, "nodes", allow(["ec2:ModifyInstanceAttribute"], **itself))
    first, second = (network.run(IamInstanceProfile={"Name": "nodes"}) for _ in range(2))
    client = network.cloud.as_instance("ec2", first)
    enforced()
    client.modify_instance_attribute(InstanceId=first, SourceDestCheck={"Value": False})
    code = code_of(client.modify_instance_attribute, InstanceId=second, SourceDestCheck={"Value": False})
    assert code == "UnauthorizedOperation"
    protect = {"DisableApiTermination": {"Value": True}}
    assert code_of(client.modify_instance_attribute, InstanceId=first, **protect) == "UnauthorizedOperation"


def test_a_bucket_policy_that_wants_tls_is_kept_and_blocks_nobody(s3: Any, enforced: Any) -> None:
    """S3 User Guide, "Security best practices": deny unless aws:SecureTransport. The region stands for a TLS endpoint."""
    s3.create_bucket(Bucket="state")
    everything = ["arn:aws:s3:::state", "arn:aws:s3:::state/*"]
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": everything, "Condition": condition}
    s3.put_bucket_policy(Bucket="state", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    for _ in range(2):
        s3.put_object(Bucket="state", Key="a", Body=b"1")
        assert s3.get_object(Bucket="state", Key="a")["Body"].read() == b"1"
        enforced()
    assert json.loads(s3.get_bucket_policy(Bucket="state")["Policy"])["Statement"] == [deny]


def test_a_bucket_policy_can_deny_even_an_administrator(s3: Any, enforced: Any) -> None:
    """IAM User Guide, "Policy evaluation logic": a resource policy's denial applies to every principal."""
    s3.create_bucket(Bucket="state")
    deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::state/*"}
    s3.put_bucket_policy(Bucket="state", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    s3.put_object(Bucket="state", Key="a", Body=b"1")
    enforced()
    assert code_of(s3.delete_object, Bucket="state", Key="a") == "AccessDenied"


def test_a_presigned_identity_names_role_and_instance(network: Any, iam: Any) -> None:
    """API_GetCallerIdentity; a request signed in its URL proves who made it, a changed one proves nothing."""
    make_role(iam, "nodes", allow(["s3:GetObject"]))
    instance = network.run(IamInstanceProfile={"Name": "nodes"})
    sts = network.cloud.as_instance("sts", instance)
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:sts::123456789012:assumed-role/nodes/{instance}"
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    with urllib.request.urlopen(url) as answer:
        assert f"assumed-role/nodes/{instance}" in answer.read().decode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))
    assert refused.value.code == 403
