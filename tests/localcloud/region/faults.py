"""Injected faults: throttling, capacity errors, latency, lost replies, requests that hang, delayed visibility."""

import random
import re
import threading
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Fault:
    """What goes wrong, for which requests, how often.

    `latency_ms` delays the request; `code` (with `status`) answers it with an error, before anything
    was done or, with `after`, once it was done: the reply is lost, its effect isn't. `hold` keeps the
    request until it is released: `before` anything was done, which then never is, or `after`. `drop` closes
    the connection without an answer, as a network does that fails. The first
    `skip` requests that match pass unharmed. What a request makes can't be seen by filters for
    `unseen_ms`, and by its id for half of that.
    """

    service: str | None = None
    action: str = ".*"
    code: str | None = None
    status: int = 503
    times: int | None = 1
    rate: float = 1.0
    latency_ms: int = 0
    after: bool = False
    hold: str | None = None
    drop: bool = False
    skip: int = 0
    unseen_ms: int = 0
    message: str = "injected by the test"

    def __post_init__(self) -> None:
        if self.hold not in (None, "before", "after"):
            raise TypeError(f"`hold` is `before` or `after`, not {self.hold!r}")
        if self.hold == "before" and self.code is None:
            self.code = "ServiceUnavailable"
        if self.drop and self.code is None:
            self.code = "ConnectionDropped"
        if self.after and self.code is None:
            self.code, self.status = "InternalError", 500

    def matches(self, service: str, action: str) -> bool:
        """Whether it still applies to a request of this service and action."""
        return (
            (self.times is None or self.times > 0)
            and self.service in (None, service)
            and re.fullmatch(self.action, action) is not None
            and random.random() < self.rate
        )


NAMES = {"latencyMs": "latency_ms", "unseenMs": "unseen_ms"}


class Faults:
    """The faults that are in force, and the requests that they hold."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._held: dict[int, tuple[dict[str, str], threading.Event]] = {}

    def add(self, descriptions: list[dict[str, Any]]) -> None:
        """Adds faults in the control API's form. Fails with ValueError on a field it doesn't know."""
        try:
            faults = [Fault(**{NAMES.get(name, name): value for name, value in item.items()}) for item in descriptions]
            for fault in faults:
                re.compile(fault.action)
        except (TypeError, AttributeError, re.error) as error:
            raise ValueError(f"not a fault: {error}") from error
        with self._lock:
            self._faults.extend(faults)

    def take(self, service: str, action: str) -> Fault | None:
        """The first fault that matches a request; it is used up by one."""
        with self._lock:
            for fault in self._faults:
                if fault.matches(service, action):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def hold(self, service: str, action: str, path: str, moment: str) -> None:
        """Keeps the request that calls this until `release`."""
        released = threading.Event()
        with self._lock:
            self._held[id(released)] = ({"service": service, "action": action, "path": path, "hold": moment}, released)
        released.wait()

    @property
    def held(self) -> list[dict[str, str]]:
        """The requests that are held now."""
        with self._lock:
            return [description for description, _ in self._held.values()]

    def release(self) -> list[dict[str, str]]:
        """Lets go of every request that is held; answers which they were."""
        with self._lock:
            held, self._held = list(self._held.values()), {}
        for _, released in held:
            released.set()
        return [description for description, _ in held]

    def describe(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
        self.release()
