"""Eventual consistency: what was just made can't be seen for a while.

AWS's answers come from copies that follow one another: a Describe by filters doesn't show what was made
a moment ago, and a request by its id may be told that there is no such thing (EC2 API Reference,
"Eventual consistency"; IAM User Guide, "Changes that I make are not always immediately visible").
"""

import re
import threading
import time
from typing import Any

from .errors import AwsError

# The kinds whose ids count, and the code with which EC2 denies one.
CODES = {
    "vpc": "InvalidVpcID.NotFound",
    "igw": "InvalidInternetGatewayID.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "scr": "InvalidSubnetCidrReservationID.NotFound",
    "rtb": "InvalidRouteTableID.NotFound",
    "sg": "InvalidGroup.NotFound",
    "key": "InvalidKeyPair.NotFound",
    "vol": "InvalidVolume.NotFound",
    "eipalloc": "InvalidAllocationID.NotFound",
    "lt": "InvalidLaunchTemplateId.NotFound",
}
ID = re.compile(r"\b(?:" + "|".join(CODES) + r")-[0-9a-f]{8,17}\b")
# IAM's and Auto Scaling's things are known by the names that their creation gives them.
NAMES = {
    "CreateRole": "RoleName",
    "CreateInstanceProfile": "InstanceProfileName",
    "CreateAutoScalingGroup": "AutoScalingGroupName",
}
CREATING = re.compile("Create.*|AllocateAddress|ImportKeyPair")
# The lists that answers consist of, and what their members are known by.
LISTS = {
    "Vpcs": "VpcId",
    "InternetGateways": "InternetGatewayId",
    "Subnets": "SubnetId",
    "SubnetIpv4CidrReservations": "SubnetCidrReservationId",
    "RouteTables": "RouteTableId",
    "SecurityGroups": "GroupId",
    "KeyPairs": "KeyPairId",
    "Volumes": "VolumeId",
    "Addresses": "AllocationId",
    "LaunchTemplates": "LaunchTemplateId",
    "LaunchTemplateVersions": "LaunchTemplateId",
    "AutoScalingGroups": "AutoScalingGroupName",
}


class Visibility:
    """What can't be seen yet, and until when: by filters, and by its id for half that time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hidden: dict[str, tuple[float, float]] = {}

    def hide(self, action: str, params: dict[str, Any], answer: bytes, milliseconds: int) -> None:
        """Hides what a request has made: the ids that its answer names and the request didn't."""
        if not CREATING.fullmatch(action):
            return
        made = set(ID.findall(answer.decode(errors="replace"))) - set(ID.findall(repr(params)))
        if name := params.get(NAMES.get(action, "")):
            made.add(name)
        now, seconds = time.monotonic(), milliseconds / 1000
        with self._lock:
            self._hidden.update(dict.fromkeys(made, (now + seconds / 2, now + seconds)))

    def check(self, service: str, action: str, params: dict[str, Any]) -> None:
        """Denies a request that names something by an id that isn't known everywhere yet."""
        hidden = self._now_hidden(0)
        if not hidden or service not in ("ec2", "iam", "autoscaling"):
            return
        if service == "iam":
            named = {params.get("RoleName"), params.get("InstanceProfileName")} & hidden
            if named and action not in NAMES:
                raise AwsError("NoSuchEntity", f"The entity with name {named.pop()} cannot be found.", 404)
            return
        for one in set(ID.findall(repr(params))) & hidden:
            if service == "autoscaling":
                raise AwsError("ValidationError", f"The specified resource {one} does not exist.")
            raise AwsError(CODES[one.split("-")[0]], f"The ID '{one}' does not exist")

    def veil(self, result: Any, by_filters: bool) -> Any:
        """An answer without the members of its lists that can't be seen."""
        hidden = self._now_hidden(1 if by_filters else 0)
        if not hidden or not isinstance(result, dict):
            return result

        def shown(name: str, members: Any) -> Any:
            key = LISTS.get(name)
            if key is None or not isinstance(members, list):
                return members
            return [one for one in members if _value(one, key) not in hidden]

        return {name: shown(name, members) for name, members in result.items()}

    def clear(self) -> None:
        with self._lock:
            self._hidden.clear()

    def _now_hidden(self, which: int) -> set[str]:
        now = time.monotonic()
        with self._lock:
            return {one for one, until in self._hidden.items() if now < until[which]}


def _value(member: Any, key: str) -> Any:
    """What a member of a list is known by: moto's are objects, the region's own mostly aren't."""
    return member.get(key) if isinstance(member, dict) else getattr(member, "id", None)


def names_ids(params: dict[str, Any]) -> bool:
    """Whether a request asks for things by their ids or names."""
    return any(name.endswith(("Ids", "Names")) and value for name, value in params.items())


# One for the process, as moto's collections are.
VISIBILITY = Visibility()
