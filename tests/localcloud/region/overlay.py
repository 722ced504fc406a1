"""Puts the overlay on moto: patches of its classes, and the registration of our own actions."""

from . import (  # noqa: F401 – importing a module registers its actions
    addresses,
    authorization,
    auto_scaling,
    describe,
    iam,
    images,
    instances,
    launch,
    launch_templates,
    network,
    network_interfaces,
    route53,
    s3,
    security_groups,
    sts,
    tags,
    volumes,
)


def install() -> None:
    """Patches moto, once per process, before its first request."""
    tags.install()
    describe.install()
    network.install()
    route53.install()
    s3.install()
    security_groups.install()
