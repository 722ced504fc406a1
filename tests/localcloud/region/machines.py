"""What the machines report: states of instances and attachments; and the role credentials that they hand on."""

import secrets
import string
from datetime import timedelta
from typing import Any

from .errors import AwsError
from .instances import Instance, consoles, finish_stop, finish_termination
from .routes import Request, route
from .state import Region, Session, now
from .volumes import Volume

CREDENTIALS_LIFETIME = timedelta(hours=6)
CONSOLE_LIMIT = 1 << 20


def connect(region: Region, connected: bool) -> None:
    """The machines are there, or gone: then everything that waits for them passes at once."""
    region.machines_connected = connected
    if connected:
        return
    for instance in region.instances.values():
        if instance.state == "pending":
            instance.state = "running"
        elif instance.state == "stopping":
            finish_stop(instance)
        elif instance.state == "shutting-down":
            finish_termination(region, instance)
    for volume in region.ec2.volumes.values():
        if volume.attachment and volume.attachment.state == "attaching":
            volume.attachment.state = "attached"
        elif volume.attachment and volume.attachment.state in ("detaching", "busy"):
            volume.attachment = None


def report_instance(region: Region, instance: Instance, state: Any) -> None:
    """A machine runs, is off, or is gone; gone without being asked means that it died."""
    if state == "running":
        if instance.state == "pending":
            instance.state = "running"
    elif state == "stopped":
        if instance.state in ("pending", "running", "stopping"):
            finish_stop(instance)
    elif state == "terminated":
        if instance.state != "terminated":
            finish_termination(region, instance)
    else:
        raise ValueError(f'the state is "running", "stopped" or "terminated", not {state!r}')


def report_attachment(region: Region, volume: Volume, instance_id: Any, state: Any) -> None:
    """A volume has arrived at an instance, has left it, or can't leave because it is in use there.

    A report about an attachment that is no more (the instance ended meanwhile) changes nothing.
    """
    if state not in ("attached", "detached", "busy"):
        raise ValueError(f'the state is "attached", "detached" or "busy", not {state!r}')
    attachment = volume.attachment
    if attachment is None or attachment.instance.id != instance_id:
        return
    if state == "detached":
        volume.attachment = None
    elif state == "busy" and attachment.state == "detaching":
        attachment.state = "busy"
    elif state == "attached" and attachment.state == "attaching":
        attachment.state = "attached"


def report_console(region: Region, instance: Instance, text: bytes) -> None:
    """Appends to an instance's console."""
    held = consoles(region)
    held[instance.id] = (held.get(instance.id, b"") + text)[-CONSOLE_LIMIT:]


@route("POST", "/machines")
def _machines(region: Region, request: Request) -> dict[str, Any]:
    connect(region, request.flag("connected"))
    region.touch()
    return {"connected": region.machines_connected}


@route("POST", "/instances/([^/]+)/state")
def _instance_state(region: Region, request: Request, instance_id: str) -> dict[str, Any]:
    report_instance(region, region.instances[instance_id], request.object().get("state"))
    region.touch()
    return {"state": region.instances[instance_id].state}


@route("POST", "/instances/([^/]+)/console")
def _console(region: Region, request: Request, instance_id: str) -> dict[str, Any]:
    report_console(region, region.instances[instance_id], request.body)
    return {}


@route("POST", "/volumes/([^/]+)/attachment")
def _attachment(region: Region, request: Request, volume_id: str) -> dict[str, Any]:
    report = request.object()
    report_attachment(region, region.ec2.volumes[volume_id], report.get("instance"), report.get("state"))
    region.touch()
    return {}


@route("GET", "/instances/([^/]+)/credentials")
def _credentials(region: Region, request: Request, instance_id: str) -> dict[str, Any]:
    return credentials(region, region.instances[instance_id])


def credentials(region: Region, instance: Instance) -> dict[str, Any]:
    """Credentials of the instance's role, as IMDS shows them. The same ones until half their life is over.

    Fails with KeyError when the instance is gone, or has no profile or its profile no role.
    """
    roles = list(instance.profile.roles) if instance.profile and instance.state != "terminated" else []
    if not roles:
        raise KeyError(f"role of {instance.id}")
    for session in region.sessions.values():
        fresh = session.expires - now() > CREDENTIALS_LIFETIME / 2
        if session.session_name == instance.id and session.role_id == roles[0].id and fresh:
            return describe_session(session)
    return describe_session(open_session(region, roles[0], instance.id, CREDENTIALS_LIFETIME))


def open_session(region: Region, role: Any, name: str, lifetime: timedelta) -> Session:
    """Temporary credentials of a role."""
    letters = string.ascii_uppercase + "234567"
    access_key = "ASIA" + "".join(secrets.choice(letters) for _ in range(16))
    expires = (now() + lifetime).replace(microsecond=0)
    session = Session(access_key, secrets.token_urlsafe(30), secrets.token_urlsafe(240), role.name, role.id, name, expires)
    region.sessions[access_key] = session
    return session


def describe_session(session: Session) -> dict[str, Any]:
    """Credentials in the form of `/latest/meta-data/iam/security-credentials/<role>`."""
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": f"{now():%Y-%m-%dT%H:%M:%SZ}",
        "AccessKeyId": session.access_key,
        "SecretAccessKey": session.secret_key,
        "Token": session.token,
        "Expiration": f"{session.expires:%Y-%m-%dT%H:%M:%SZ}",
        "RoleName": session.role_name,
    }


def find_role(region: Region, session: Session) -> Any:
    """The role that a session acts as. Fails when it was deleted meanwhile."""
    role = region.iam.roles.get(session.role_id)
    if role is None:
        raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid", 403)
    return role
