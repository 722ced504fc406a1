"""S3: moto's, without its own idea of bucket policies; `authorization` evaluates them, with their conditions."""

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket


def install() -> None:
    """Has moto let pass what `authorization` has let pass: it ignores conditions, and so reads "deny unless TLS" as "deny"."""

    def get_permission(self: Any, action: str, resource: str) -> PermissionResult:
        return PermissionResult.PERMITTED

    FakeBucket.get_permission = get_permission
