"""S3's conditional writes, and the bucket's settings."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from .conftest import code_of


@pytest.fixture
def bucket(s3: Any) -> str:
    s3.create_bucket(Bucket="state-store")
    return "state-store"


def test_only_one_of_many_creates_an_object(cloud: Any, s3: Any, bucket: str) -> None:
    """S3 User Guide, "Conditional writes": If-None-Match, one winner; moto has several when bodies are large."""
    body = b"x" * (2 << 20)

    def write(client: Any) -> int:
        try:
            client.put_object(Bucket=bucket, Key="lock", Body=body, IfNoneMatch="*")
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]
        return 200

    clients = [cloud.client("s3") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, clients)) == [200] + [412] * 7


def test_a_stale_writer_loses(s3: Any, bucket: str) -> None:
    """S3 User Guide, "Conditional writes": If-Match on another ETag is 412, on an absent object 404."""
    old = s3.put_object(Bucket=bucket, Key="spec", Body=b"1")["ETag"]
    new = s3.put_object(Bucket=bucket, Key="spec", Body=b"2", IfMatch=old)["ETag"]
    assert code_of(s3.put_object, Bucket=bucket, Key="spec", Body=b"3", IfMatch=old) == "PreconditionFailed"
    assert code_of(s3.put_object, Bucket=bucket, Key="none", Body=b"3", IfMatch=old) == "NoSuchKey"
    assert code_of(s3.delete_object, Bucket=bucket, Key="spec", IfMatch=old) == "PreconditionFailed"
    s3.delete_object(Bucket=bucket, Key="spec", IfMatch=new)
    s3.put_object(Bucket=bucket, Key="spec", Body=b"4", IfNoneMatch="*")


def test_a_versioned_bucket_keeps_what_was(s3: Any, bucket: str) -> None:
    """S3 User Guide, "Using versioning": old versions are read by id, a deletion is a marker."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="spec", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="spec", Body=b"2")
    s3.delete_object(Bucket=bucket, Key="spec")
    assert code_of(s3.get_object, Bucket=bucket, Key="spec") == "NoSuchKey"
    assert s3.get_object(Bucket=bucket, Key="spec", VersionId=first)["Body"].read() == b"1"
    listed = s3.list_object_versions(Bucket=bucket)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
    doomed = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in listed["Versions"] + listed["DeleteMarkers"]]
    assert len(s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed})["Deleted"]) == 3
    s3.delete_bucket(Bucket=bucket)


def test_the_buckets_settings_are_kept(s3: Any, bucket: str) -> None:
    """API_GetBucketEncryption, API_GetPublicAccessBlock, API_GetBucketLocation, API_GetBucketVersioning."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(names, True))
    (found,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert found["ApplyServerSideEncryptionByDefault"] == rule["ApplyServerSideEncryptionByDefault"]
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"
    assert code_of(s3.head_bucket, Bucket="no-such-bucket") == "404"


def test_a_head_tells_the_length_of_what_it_does_not_send(s3: Any, bucket: str) -> None:
    """API_HeadObject: the headers of the GET; aws-chunked bodies and checksums come out as they went in."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"x" * 100000, ChecksumAlgorithm="SHA256", ServerSideEncryption="AES256")
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["ContentLength"], head["ServerSideEncryption"]) == (100000, "AES256")
    assert s3.get_object(Bucket=bucket, Key="a", Range="bytes=10-19")["Body"].read() == b"x" * 10


def test_versioning_is_answered_under_its_own_root_element(cloud: Any) -> None:
    """API_GetBucketVersioning, "Response Syntax"."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="clusters")
    url = s3.generate_presigned_url("get_bucket_versioning", Params={"Bucket": "clusters"})
    root = ElementTree.fromstring(urllib.request.urlopen(url, timeout=30).read())
    assert root.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}VersioningConfiguration"
    assert len(root) == 0, "a bucket that never had versions has no status"
    s3.put_bucket_versioning(Bucket="clusters", VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket="clusters")["Status"] == "Enabled"


def allow_everybody(bucket: str) -> str:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_who_has_no_credentials_reads_what_a_policy_or_a_list_opens(cloud: Any, s3: Any, bucket: str) -> None:
    """S3 User Guide, "Blocking public access": a request without credentials is denied, unless the bucket's policy or the
    object's list allows it, and the block doesn't make that void. An issuer's description is an object like any other."""
    nobody = cloud.client("s3", signature_version=UNSIGNED)
    key = "demo/.well-known/openid-configuration"
    s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    assert code_of(nobody.get_object, Bucket=bucket, Key=key) == "AccessDenied"
    s3.put_bucket_policy(Bucket=bucket, Policy=allow_everybody(bucket))
    assert nobody.get_object(Bucket=bucket, Key=key)["Body"].read() == b"{}"
    assert code_of(nobody.delete_object, Bucket=bucket, Key=key) == "AccessDenied"
    block = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False, "RestrictPublicBuckets": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    assert code_of(nobody.get_object, Bucket=bucket, Key=key) == "AccessDenied"
    s3.delete_bucket_policy(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=b"{}", ACL="public-read")
    assert nobody.head_object(Bucket=bucket, Key=key)["ContentLength"] == 2
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={**block, "IgnorePublicAcls": True})
    assert code_of(nobody.get_object, Bucket=bucket, Key=key) == "AccessDenied"


def test_a_bucket_whose_owner_owns_all_takes_no_lists(s3: Any, bucket: str) -> None:
    """API_PutObject: AccessControlListNotSupported where BucketOwnerEnforced; AccessDenied where public lists are blocked."""
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    assert code_of(s3.put_object, Bucket=bucket, Key="a", ACL="public-read") == "AccessDenied"
    s3.delete_public_access_block(Bucket=bucket)
    rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
    assert code_of(s3.put_object, Bucket=bucket, Key="a", ACL="public-read") == "AccessControlListNotSupported"
