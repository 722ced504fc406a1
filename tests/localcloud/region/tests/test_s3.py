"""S3 as AWS's typed SDKs need it."""

import urllib.request
from typing import Any
from xml.etree import ElementTree


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
