"""What the region knows beyond moto's own collections, and the lock that guards all of it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_api._internal.models import moto_api_backend

from .errors import AwsError
from .faults import Faults
from .journal import Journal


def now() -> datetime:
    """The current time in the form that moto's serializers take: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass
class Session:
    """Temporary credentials that the region has handed out."""

    access_key: str
    secret_key: str
    token: str
    role_name: str
    role_id: str
    session_name: str
    expires: datetime


@dataclass
class Region:
    """One region of one account. Every field is guarded by `lock`."""

    name: str
    account: str = DEFAULT_ACCOUNT_ID
    lock: threading.RLock = field(default_factory=threading.RLock)
    generation: int = 1

    def __post_init__(self) -> None:
        self.caller: Any = None  # the principal of the request that holds the lock
        self.faults = Faults()
        self.journal = Journal()
        self.changed = threading.Condition(self.lock)
        self.reconcile_wanted = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Forgets everything, in moto too, and starts again with an empty account."""
        with self.lock:
            moto_api_backend.reset()
            self.faults.clear()
            self.journal.clear()
            self.machines_connected = False
            self.enforce_authentication = False
            self.instances: dict[str, Any] = {}
            self.sessions: dict[str, Session] = {}
            self.client_tokens: dict[tuple[str, str], tuple[Any, Any]] = {}
            self.cursors: dict[str, int] = {}
            self._kept: dict[str, Any] = {}
            self.touch()

    def kept(self, name: str, empty: Callable[[], Any] = dict) -> Any:
        """What a kind's file keeps beside moto's collections under a name of its own; `empty()` after a reset.

        Instances are a field instead: nearly every file looks at them.
        """
        return self._kept.setdefault(name, empty())

    def backend(self, service: str) -> Any:
        """moto's backend of a service of this region."""
        return get_backend(service)[self.account][self.name]

    @property
    def ec2(self) -> Any:
        """moto's EC2 backend of this region."""
        return self.backend("ec2")

    @property
    def iam(self) -> Any:
        """moto's IAM backend of the account."""
        return get_backend("iam")[self.account]["aws"]

    @property
    def s3(self) -> Any:
        """moto's S3 backend of the account."""
        return get_backend("s3")[self.account]["aws"]

    def touch(self) -> None:
        """Says that the world has changed: wakes those who wait for it, and the reconcile loop."""
        with self.lock:
            self.generation += 1
            self.changed.notify_all()
        self.reconcile_wanted.set()

    def wait_for_change(self, after: int, seconds: float) -> None:
        """Returns as soon as the generation is greater than `after`, or after `seconds`."""
        deadline = time.monotonic() + seconds
        with self.lock:
            while self.generation <= after:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return
                self.changed.wait(remaining)

    def idempotent(self, action: str, params: dict[str, Any], act: Callable[[], Any]) -> Any:
        """Runs `act` once per client token (EC2 User Guide, "Ensuring idempotency in API requests").

        The same token with the same parameters gives the first result again; with other
        parameters it fails with IdempotentParameterMismatch.
        """
        token = params.get("ClientToken")
        if not token:
            return act()
        asked = {name: value for name, value in params.items() if name != "ClientToken"}
        known = self.client_tokens.get((action, token))
        if known is None:
            result = act()
            self.client_tokens[action, token] = (asked, result)
            return result
        if known[0] != asked:
            raise AwsError(
                "IdempotentParameterMismatch",
                f"The client token {token} was used before with different parameters",
            )
        return known[1]
