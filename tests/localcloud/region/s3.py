"""S3: moto's, without its own idea of bucket policies; `authorization` evaluates them, with their conditions."""

from typing import Any
from xml.etree import ElementTree

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


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
