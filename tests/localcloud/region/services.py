"""What the rest of the region must know of an AWS service: the service's own file declares it with `service`.

A service that no file declares is moto's alone.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .errors import AwsError
from .resources import Resource


def _denied(kind: Resource, name: str) -> AwsError:
    return AwsError(kind.not_found or "", f"The ID '{name}' does not exist")


@dataclass(frozen=True, kw_only=True)
class Service:
    """An AWS service."""

    name: str
    """What botocore calls it, and the journal."""
    version: str | None = None
    """The API version by which requests of the query protocols are known."""
    signing_name: str | None = None
    """The service's name in signatures, where it isn't its name."""
    iam_prefix: str | None = None
    """What its actions begin with in IAM's policies, where it isn't its name."""
    regional: bool = False
    """Whether a request that is signed for another region is refused."""
    of_the_world: bool = False
    """Whether the machines and Auto Scaling look at what its actions change."""
    whole: bool = False
    """Whether nothing of it is left to moto."""
    needs: Callable[..., Iterable[Any]] | None = None
    """What a request needs of IAM (`iam_requests.Need`), where that isn't its action on each resource that it names."""
    unseen: Callable[[Resource, str], AwsError] = _denied
    """What it answers to a request that names something that can't be seen yet."""


SERVICES: dict[str, Service] = {}


def service(name: str, **declared: Any) -> Service:
    """Declares a service: the fields of `Service`."""
    SERVICES[name] = Service(name=name, **declared)
    return SERVICES[name]


def find(name: str) -> Service:
    """The service of a name."""
    return SERVICES.get(name) or Service(name=name)


def signed_as(signing_name: str, version: str) -> str:
    """The name of the service that signs with a name; where several do, of the one of this version."""
    candidates = [one for one in SERVICES.values() if signing_name == (one.signing_name or one.name)]
    fitting = [one for one in candidates if one.version == version] or candidates
    return fitting[0].name if fitting else signing_name


def of_version(version: str) -> str | None:
    """The name of the service whose query protocol has this version."""
    return next((one.name for one in SERVICES.values() if one.version == version), None)
