"""S3: moto's, without its own idea of bucket policies; `authorization` evaluates them, with their conditions.

What its requests need of IAM: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3".
"""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response

from .actions import patch
from .errors import AwsError
from .iam_requests import Need
from .protocol import Call
from .resources import resource
from .services import service
from .state import Region

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ACTIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListBuckets": "ListAllMyBuckets",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
}
VERSIONED = {"GetObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging"}


def _needs(region: Region, call: Call) -> Iterator[Need]:
    bucket, key = call.uri_params.get("Bucket"), call.uri_params.get("Key")
    query, headers = call.query, call.headers
    name = ACTIONS.get(call.action, call.action)
    context = {
        "s3:prefix": query.get("prefix"),
        "s3:delimiter": query.get("delimiter"),
        "s3:max-keys": query.get("max-keys"),
        "s3:versionid": query.get("versionId"),
        "s3:if-none-match": headers.get("if-none-match"),
        "s3:x-amz-acl": headers.get("x-amz-acl"),
        "s3:x-amz-server-side-encryption": headers.get("x-amz-server-side-encryption"),
    }
    if query.get("versionId") and name in VERSIONED:
        name = re.sub(r"Object", "ObjectVersion", name)
    if call.action == "DeleteObjects":
        for one in re.findall(rb"<Key>(.*?)</Key>", call.body, re.DOTALL):
            yield _need(region, "DeleteObject", bucket, one.decode(), context)
        return
    yield _need(region, name, bucket, key, context)
    if source := headers.get("x-amz-copy-source"):
        source_bucket, _, source_key = source.lstrip("/").split("?")[0].partition("/")
        yield _need(region, "GetObject", source_bucket, source_key, {})


def shown_to_everybody(region: Region, call: Call) -> bool:
    """Whether an object's access control list lets everybody read it ("Access control list overview"), and nothing makes
    that void."""
    bucket = region.s3.buckets.get(call.uri_params.get("Bucket"))
    if bucket is None or call.action not in ("GetObject", "HeadObject"):
        return False
    found = bucket.keys.get(call.uri_params.get("Key"))
    acl, block = getattr(found, "acl", None), bucket.public_access_block
    is_void = (block and block.ignore_public_acls) or bucket.ownership_rule == "BucketOwnerEnforced"
    return acl is not None and acl.public_read and not is_void


def is_closed(region: Region, call: Call) -> bool:
    """Whether a bucket's block makes void that its policy lets everybody in ("Blocking public access": RestrictPublicBuckets)."""
    bucket = region.s3.buckets.get(call.uri_params.get("Bucket"))
    return bucket is not None and bucket.public_access_block is not None and bucket.public_access_block.restrict_public_buckets


def check_lists(region: Region, call: Call) -> None:
    """Who may write an object with a list for everybody, may all the same not where the bucket takes none."""
    bucket = region.s3.buckets.get(call.uri_params.get("Bucket"))
    if bucket is None or call.action != "PutObject" or not call.headers.get("x-amz-acl", "private").startswith("public"):
        return
    if bucket.ownership_rule == "BucketOwnerEnforced":
        raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)
    if bucket.public_access_block and bucket.public_access_block.block_public_acls:
        raise AwsError("AccessDenied", "Access Denied", 403)


def list_need(region: Region, call: Call) -> Need:
    """What it takes to be told that an object doesn't exist."""
    return _need(region, "ListBucket", call.uri_params.get("Bucket"), None, {})


def _need(region: Region, name: str, bucket: str | None, key: str | None, context: dict[str, Any]) -> Need:
    if bucket is None:
        return Need(f"s3:{name}", "*", context)
    known = region.s3.buckets.get(bucket)
    policies = [known.policy.decode()] if known is not None and known.policy else []
    return Need(f"s3:{name}", f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}", context, policies)


def _objects(region: Region) -> list[str]:
    """Every object that can be read, as `bucket/key`."""
    return [
        f"{name}/{key}"
        for name, bucket in region.s3.buckets.items()
        for key, latest in bucket.keys.items()
        if not type(latest).__name__.endswith("DeleteMarker")
    ]


service("s3", needs=_needs)
OBJECT = resource("s3", "object", inventory=("objects", _objects))


@patch
def install() -> None:
    """Has moto let pass what `authorization` has let pass: it ignores conditions, and so reads "deny unless TLS" as "deny"."""

    def get_permission(self: Any, action: str, resource: str) -> PermissionResult:
        return PermissionResult.PERMITTED

    FakeBucket.get_permission = get_permission
    S3Response.get_bucket_versioning = _get_bucket_versioning
    create = S3Response._bucket_response_put

    def create_with_tags(self: Any, request: Any, bucket_name: str, querystring: Any) -> Any:
        """CreateBucket takes the bucket's tags, which moto ignores (API_CreateBucketConfiguration)."""
        answer = create(self, request, bucket_name, querystring)
        tags = _tags(self.body) if self.body and not querystring else {}
        if tags:
            self.backend.put_bucket_tagging(bucket_name, tags)
        return answer

    S3Response._bucket_response_put = create_with_tags


def _tags(body: bytes) -> dict[str, str]:
    names = {"s3": NAMESPACE}
    found = ElementTree.fromstring(body).findall("s3:Tags/s3:Tag", names)
    return {tag.findtext("s3:Key", "", names): tag.findtext("s3:Value", "", names) for tag in found}


def _get_bucket_versioning(self: Any) -> tuple[int, dict[str, str], str]:
    """Under the root element that S3 uses; moto's `GetBucketVersioningResponse` is refused by the typed SDKs."""
    status = self.backend.get_bucket_versioning(self.bucket_name)
    root = ElementTree.Element("VersioningConfiguration", xmlns=NAMESPACE)
    if status:
        ElementTree.SubElement(root, "Status").text = status
    self.data["Action"] = "GetBucketVersioning"
    return 200, {"Content-Type": "application/xml"}, ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
