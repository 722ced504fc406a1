"""Who asks, and whether they may."""

from .protocol import Call
from .state import Region

OPERATOR = "operator"


def authorize(region: Region, call: Call) -> None:
    """Names the caller."""
    session = region.sessions.get(call.access_key or "")
    call.principal = f"{session.role_name}/{session.session_name}" if session else (call.access_key or "anonymous")
