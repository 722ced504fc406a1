"""IAM's OpenID Connect providers: moto's, with what it lacks and lets through."""

import re
from typing import Any
from urllib.parse import urlsplit

from .actions import action, check
from .errors import AwsError
from .resources import resource
from .state import Region

PROVIDER = resource(
    "iam",
    "oidc-provider",
    inventory=("oidcProviders", lambda region: list(region.iam.open_id_providers)),
    parameters=("OpenIDConnectProviderArn",),
    arn=lambda region, arn: arn,
)

MOST_AUDIENCES = 100
MOST_THUMBPRINTS = 5
FETCHED = "06b25927c42a721631c1efd9431e648fa62e1e39"


@action("iam", "CreateOpenIDConnectProvider")
def create(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The URL begins with https:// and has no query; without thumbprints IAM asks the server for one
    (API_CreateOpenIDConnectProvider). The account's providers are known by their URLs alone."""
    url, audiences = params.get("Url", ""), params.get("ClientIDList") or []
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or len(url) > 255:
        raise AwsError("InvalidInput", f"Invalid Open ID Connect Provider URL: {url}")
    if len(audiences) > MOST_AUDIENCES:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {MOST_AUDIENCES}", 409)
    thumbprints = params.get("ThumbprintList") or [FETCHED]
    check_thumbprints(region, {"ThumbprintList": thumbprints}, "")
    made = region.iam.create_open_id_connect_provider(url, thumbprints, audiences, params.get("Tags") or [])
    return {"OpenIDConnectProviderArn": made.arn, "Tags": params.get("Tags") or []}


@check("iam", "UpdateOpenIDConnectProviderThumbprint")
def check_thumbprints(region: Region, params: dict[str, Any], action: str) -> None:
    """At most five, each of 40 hexadecimal digits."""
    thumbprints = params.get("ThumbprintList") or []
    if len(thumbprints) > MOST_THUMBPRINTS or not all(re.fullmatch(r"[0-9a-fA-F]{40}", one) for one in thumbprints):
        raise AwsError("InvalidInput", f"not up to {MOST_THUMBPRINTS} thumbprints of 40 hexadecimal digits")


@action("iam", "AddClientIDToOpenIDConnectProvider")
def add_audience(region: Region, params: dict[str, Any]) -> None:
    """One that is there already is no error."""
    held = region.iam.get_open_id_connect_provider(params["OpenIDConnectProviderArn"]).client_id_list
    if params["ClientID"] not in held:
        if len(held) >= MOST_AUDIENCES:
            raise AwsError("LimitExceeded", f"Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {MOST_AUDIENCES}", 409)
        held.append(params["ClientID"])


@action("iam", "RemoveClientIDFromOpenIDConnectProvider")
def remove_audience(region: Region, params: dict[str, Any]) -> None:
    """One that isn't there is no error."""
    held = region.iam.get_open_id_connect_provider(params["OpenIDConnectProviderArn"]).client_id_list
    if params["ClientID"] in held:
        held.remove(params["ClientID"])


@check("iam", "DeleteOpenIDConnectProvider")
def check_delete(region: Region, params: dict[str, Any], action: str) -> None:
    """One that isn't there is NoSuchEntity, to which moto says nothing."""
    region.iam.get_open_id_connect_provider(params["OpenIDConnectProviderArn"])
