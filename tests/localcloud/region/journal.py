"""The journal of requests, and the list of what was asked for but isn't implemented."""

import threading
from typing import Any


class Journal:
    """Every AWS request so far, in the order in which they were answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []
        self._unimplemented: list[dict[str, str]] = []

    def record(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._entries.append(entry)

    def record_unimplemented(self, service: str, action: str, reason: str) -> None:
        with self._lock:
            self._unimplemented.append({"service": service, "action": action, "reason": reason})

    @property
    def entries(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._entries)

    @property
    def unimplemented(self) -> list[dict[str, str]]:
        with self._lock:
            return list(self._unimplemented)

    def forget_entries(self) -> None:
        with self._lock:
            self._entries.clear()

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._unimplemented.clear()
