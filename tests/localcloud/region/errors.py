"""Errors in AWS's terms."""

from moto.core.exceptions import ServiceException


class AwsError(ServiceException):
    """An error that AWS itself would answer with: a code, a message, an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400):
        super().__init__(code, message)
        self.status = status


class Unimplemented(AwsError):
    """Something that AWS knows and the region doesn't. Its status is one that no SDK retries."""

    def __init__(self, what: str):
        super().__init__("NotImplementedByRegion", f"the emulated region does not implement {what}", 501)
        self.what = what


def dependency_violation(message: str) -> AwsError:
    """The refusal to delete what something else still uses."""
    return AwsError("DependencyViolation", message)
