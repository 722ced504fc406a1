"""AWS Signature Version 4: whether a request was signed with the secret that it claims.

IAM User Guide, "Create a signed AWS API request"; STS and S3 requests may be pre-signed in their URL.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from .errors import AwsError
from .protocol import CREDENTIAL, Call

MAX_SKEW = timedelta(minutes=15)
UNRESERVED = "-_.~"


def verify(call: Call, secret: str) -> None:
    """Checks signature, body hash and age. Fails with the error of the request's service."""
    presigned = "X-Amz-Signature" in call.query
    scope = CREDENTIAL.search(f"Credential={call.query['X-Amz-Credential']}" if presigned else call.headers["authorization"])
    _, date, region, service = scope.groups()
    stamp = call.query.get("X-Amz-Date", "") if presigned else call.headers.get("x-amz-date", "")
    signed_headers = _signed_headers(call, presigned)
    canonical = _canonical_request(call, service, signed_headers, presigned)
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, f"{date}/{region}/{service}/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    if not hmac.compare_digest(expected, _given(call, presigned)) or not stamp.startswith(date):
        raise mismatch(call, "The request signature we calculated does not match the signature you provided.")
    _check_body(call)
    _check_age(call, stamp, presigned)


def mismatch(call: Call, message: str) -> AwsError:
    """What a service says to a wrong signature."""
    if call.protocol == "ec2":
        return AwsError("AuthFailure", f"AWS was not able to validate the provided access credentials: {message}", 401)
    return AwsError("SignatureDoesNotMatch", message, 403)


def _given(call: Call, presigned: bool) -> str:
    if presigned:
        return call.query["X-Amz-Signature"]
    match = re.search(r"Signature=([0-9a-f]+)", call.headers["authorization"])
    return match.group(1) if match else ""


def _signed_headers(call: Call, presigned: bool) -> list[str]:
    if presigned:
        return call.query.get("X-Amz-SignedHeaders", "").split(";")
    match = re.search(r"SignedHeaders=([^,\s]+)", call.headers["authorization"])
    names = match.group(1).split(";") if match else []
    if "host" not in names:
        raise mismatch(call, "The host header is not signed.")
    return names


def _canonical_request(call: Call, service: str, signed_headers: list[str], presigned: bool) -> str:
    path = call.path or "/"
    if service != "s3":
        path = quote(path, safe="/" + UNRESERVED)
    headers = "".join(f"{name}:{' '.join(call.headers.get(name, '').split())}\n" for name in signed_headers)
    unsigned = "UNSIGNED-PAYLOAD" if presigned and service == "s3" else hashlib.sha256(call.body).hexdigest()
    payload = call.headers.get("x-amz-content-sha256", unsigned)
    return "\n".join([call.method, path, _canonical_query(call.query_string), headers, ";".join(signed_headers), payload])


def _canonical_query(query: str) -> str:
    pairs = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name != "X-Amz-Signature":
            pairs.append((quote(unquote(name), safe=UNRESERVED), quote(unquote(value), safe=UNRESERVED)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _check_body(call: Call) -> None:
    stated = call.headers.get("x-amz-content-sha256", "")
    if re.fullmatch(r"[0-9a-f]{64}", stated) and stated != hashlib.sha256(call.body).hexdigest():
        raise AwsError(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
        )


def _check_age(call: Call, stamp: str, presigned: bool) -> None:
    signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    now = datetime.now(UTC)
    lifetime = timedelta(seconds=int(call.query.get("X-Amz-Expires", "0"))) if presigned else MAX_SKEW
    if signed - MAX_SKEW <= now <= signed + lifetime:
        return
    if call.service == "s3":
        code = "AccessDenied" if presigned else "RequestTimeTooSkewed"
        raise AwsError(code, "The request is too old, or from the future.", 403)
    raise mismatch(call, f"Signature expired: {stamp} is not within {lifetime} of {now:%Y%m%dT%H%M%SZ}")
