"""What the region holds, by kind: so that a test can tell that nothing was left behind."""

from . import resources
from .routes import Request, route
from .state import Region


def inventory(region: Region) -> dict[str, list[str]]:
    """The sorted ids or names of everything of the kinds that declare an `inventory`."""
    declared = [kind.inventory for kind in resources.RESOURCES if kind.inventory]
    return {name: sorted(map(str, ids(region))) for name, ids in sorted(declared)}


@route("GET", "/inventory")
def _inventory(region: Region, request: Request) -> dict[str, list[str]]:
    return inventory(region)


@route("POST", "/([^/]+)/([^/]+)/age")
def _age(region: Region, request: Request, inventory_name: str, name: str) -> dict[str, str]:
    """Makes something older, of a kind that the inventory lists and that says what that means."""
    seconds = request.number("seconds")
    for kind in resources.RESOURCES:
        if kind.inventory and kind.inventory[0] == inventory_name and kind.age:
            kind.age(region, name, seconds)
            return {}
    raise KeyError(f"{inventory_name} that can be made older")
