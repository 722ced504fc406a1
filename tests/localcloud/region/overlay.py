"""Puts the overlay on moto: imports every file of the region, each of which declares what it adds, and applies patches."""

import importlib
import pkgutil

from .actions import PATCHES

NOT_PARTS = ("__main__", "tests")


def find_parts() -> None:
    """Imports every file of the region: importing one registers what it declares."""
    package = importlib.import_module(__package__)
    for part in pkgutil.iter_modules(package.__path__):
        if part.name not in NOT_PARTS:
            importlib.import_module(f"{__package__}.{part.name}")


def install() -> None:
    """Makes the region complete, once per process, before its first request."""
    find_parts()
    for apply in PATCHES:
        apply()
