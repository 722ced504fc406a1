"""What time brings: states that AWS takes a while to reach, and what it forgets after a while.

What is due happens before the next request is answered. A test decides how long that is: it puts the region's clock forward, or
holds up what AWS takes a while for (README.md, `POST /_region/clock` and `POST /_region/transitions`).
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .routes import Request, route
from .state import Region

A_LITTLE_WHILE = 0.2

Act = Callable[[], None]


@dataclass
class Clock:
    """What is going to happen; when, by a clock that tests put forward; and whether AWS is slow."""

    ahead: float = 0.0
    slow: bool = False
    held_up: list[Act] = field(default_factory=list)
    timed: list[tuple[float, int, Act]] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)

    @property
    def now(self) -> float:
        return time.monotonic() + self.ahead


def clock(region: Region) -> Clock:
    """The region's clock."""
    return region.kept("clock", Clock)


def soon(region: Region, act: Act) -> None:
    """Has something happen after a little while, or once AWS isn't slow any more."""
    if clock(region).slow:
        clock(region).held_up.append(act)
    else:
        after(region, A_LITTLE_WHILE, lambda: soon(region, act) if clock(region).slow else act())


def after(region: Region, seconds: float, act: Act) -> None:
    """Has something happen after a time that AWS tells, however slow it is with other things."""
    own = clock(region)
    own.timed.append((own.now + seconds, next(own.numbers), act))


def pass_time(region: Region) -> None:
    """Lets happen what is due. Whoever calls it holds the region's lock."""
    own = clock(region)
    changed = False
    while due := sorted(one for one in own.timed if one[0] <= own.now):
        own.timed.remove(due[0])
        due[0][2]()
        changed = True
    if changed:
        region.touch()


@route("POST", "/transitions")
def _transitions(region: Region, request: Request) -> dict[str, Any]:
    """While AWS is slow nothing is done that takes it a while; then what is under way is done at once."""
    own = clock(region)
    own.slow = request.flag("slow")
    held_up, own.held_up = (own.held_up, []) if not own.slow else ([], own.held_up)
    for act in held_up:
        act()
    region.touch()
    return {"slow": own.slow}


@route("POST", "/clock")
def _clock(region: Region, request: Request) -> dict[str, Any]:
    """Puts the clock forward: what would happen within so many seconds has happened."""
    clock(region).ahead += request.number("seconds")
    pass_time(region)
    return {"ahead": clock(region).ahead}
