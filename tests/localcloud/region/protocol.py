"""What an HTTP request asks of AWS, and how an answer looks on the wire.

Parsing and serialising follow botocore's service models, by way of moto's own parsers.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.routing import NotFound, get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from . import services
from .errors import AwsError

READ_ONLY = re.compile(r"Describe|Get(?!SessionToken)|List|Head|Simulate|Test")
CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request")


@dataclass
class Call:
    """A request, understood."""

    environ: dict[str, Any]
    body: bytes
    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    service: str = "s3"
    action: str = ""
    protocol: str = "rest-xml"
    access_key: str | None = None
    signed_region: str | None = None
    uri_params: dict[str, Any] = field(default_factory=dict)
    principal: str = "anonymous"
    params: dict[str, Any] = field(default_factory=dict)
    absent: bool = False
    """Whether what was asked for isn't there, whatever the caller is told."""

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the URL."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def mutating(self) -> bool:
        """Whether the action may change something in AWS."""
        return not READ_ONLY.match(self.action) and self.service != "sts"


def read_call(environ: dict[str, Any], body: bytes) -> Call:
    """Understands a request: which service, which action, whose key.

    The service comes from the signature's scope; an unsigned request is known by the version in its
    form (the query protocols), by its path (Route 53), and is S3's otherwise.
    """
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI") or environ.get("PATH_INFO", "/")
    environ["RAW_URI"] = raw
    path, _, query_string = raw.partition("?")
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    if environ.get("CONTENT_LENGTH"):
        headers["content-length"] = environ["CONTENT_LENGTH"]
    call = Call(environ, body, environ["REQUEST_METHOD"], path, query_string or environ.get("QUERY_STRING", ""), headers)
    _read_scope(call)
    _read_action(call)
    return call


def _read_scope(call: Call) -> None:
    scope = CREDENTIAL.search(call.headers.get("authorization", ""))
    presigned = call.query.get("X-Amz-Credential")
    if scope is None and presigned:
        scope = CREDENTIAL.search(f"Credential={presigned}")
    if scope:
        call.access_key, _, call.signed_region, signing_name = scope.groups()
        call.service = services.signed_as(signing_name, _form(call).get("Version", ""))
    elif version := _form(call).get("Version"):
        call.service = services.of_version(version) or "s3"
    elif call.path.startswith("/2013-04-01/"):
        call.service = "route53"


def _form(call: Call) -> dict[str, str]:
    """The parameters of a query-protocol request, from its form or its URL."""
    if call.headers["content-type"].startswith("application/x-www-form-urlencoded"):
        form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        if "Action" in form:
            return form
    return call.query


def _read_action(call: Call) -> None:
    form = _form(call)
    if target := call.headers.get("x-amz-target"):
        call.action, call.protocol = target.rsplit(".", 1)[-1], "json"
    elif services.find(call.service).version and "Action" in form:
        call.action = form["Action"]
        call.protocol = "ec2" if call.service == "ec2" else "query"
    else:
        _read_rest_action(call)


def _read_rest_action(call: Call) -> None:
    try:
        operation, uri_params = get_service_router(call.service).match(Request(dict(call.environ)))
        call.action, call.uri_params = operation.name, uri_params
    except Exception as error:  # botocore and werkzeug raise their own kinds for what they don't know
        if not isinstance(error, (NotFound, NotImplementedError)) and call.service == "s3":
            raise AwsError("InvalidURI", f"Couldn't parse the specified URI: {error}") from error
        call.action = f"{call.method} {call.path}"


def parse_params(call: Call) -> dict[str, Any]:
    """The parameters of an action of a query or JSON protocol, typed and named as in the API reference."""
    try:
        operation = get_service_model(call.service).operation_model(call.action)
    except OperationNotFoundError:
        raise AwsError("InvalidAction", f"The action {call.action} is not valid for this web service.") from None
    parser = PROTOCOL_PARSERS[call.protocol](operation)
    try:
        return parser.parse({"method": call.method, "values": _form(call), "headers": call.headers, "body": call.body})
    except (ValueError, TypeError) as error:
        raise AwsError("InvalidParameterValue", f"a parameter of {call.action} is malformed: {error}") from error


def render_result(call: Call, result: dict[str, Any] | None, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """A result in the form that the action's service answers in."""
    model = get_service_model(call.service)
    serializer = get_serializer_class(model.service_name, call.protocol)(model.operation_model(call.action))
    serializer.context.request_id = request_id
    rendered = serializer.serialize(result or {})
    headers = {"Content-Type": "text/xml;charset=UTF-8", "x-amzn-RequestId": request_id}
    if call.protocol == "json":
        headers["Content-Type"] = rendered["headers"]["Content-Type"]
    return rendered["status_code"], headers, rendered["body"].encode()


def render_error(call: Call, error: Any, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """An error in the form that the request's service answers in."""
    if call.protocol == "json":
        return _render_json_error(call, error, request_id)
    code, message = escape(str(error.code)), escape(str(error.message))
    status = getattr(error, "status", 400)
    headers = {"Content-Type": "text/xml;charset=UTF-8", "x-amzn-RequestId": request_id}
    error_element = f"<Code>{code}</Code><Message>{message}</Message>"
    if call.protocol == "ec2":
        errors = f"<Errors><Error>{error_element}</Error></Errors>"
        body = f"<Response>{errors}<RequestID>{request_id}</RequestID></Response>"
    elif call.service == "s3":
        headers = {"Content-Type": "application/xml", "x-amz-request-id": request_id}
        body = f"<Error>{error_element}<RequestId>{request_id}</RequestId></Error>"
    else:
        kind = "Sender" if status < 500 else "Receiver"
        error = f"<Error><Type>{kind}</Type>{error_element}</Error>"
        body = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
    return status, headers, ('<?xml version="1.0" encoding="UTF-8"?>\n' + body).encode()


def _render_json_error(call: Call, error: Any, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """The type is the shape's name in the service's model, whose codes may be others; JSON 1.0 puts a namespace before it.

    A service that spoke the query protocol before tells its code of then in a header, and SDKs go by that (Smithy, "AWS JSON
    1.0 protocol" and "AWS Query compatible errors").
    """
    metadata: dict[str, Any] = {}
    shape = None
    with suppress(UnknownServiceError):
        model = get_service_model(call.service)
        metadata = model.metadata
        named = {one.name: one for one in model.error_shapes}
        by_code = {one.error_code: one for one in model.error_shapes}
        shape = named.get(error.code) or by_code.get(error.code)
    status = getattr(error, "status", None) or (shape.metadata.get("error", {}).get("httpStatusCode") if shape else None) or 400
    version = metadata.get("jsonVersion", "1.1")
    headers = {"Content-Type": f"application/x-amz-json-{version}", "x-amzn-RequestId": request_id}
    kind = shape.name if shape else str(error.code)
    if "awsQueryCompatible" in metadata:
        fault = "Sender" if status < 500 else "Receiver"
        headers["x-amzn-query-error"] = f"{shape.error_code if shape else error.code};{fault}"
    if version == "1.0" and shape:
        kind = f"{metadata.get('errorNamespace') or metadata.get('targetPrefix')}#{kind}"
    return status, headers, json.dumps({"__type": kind, "message": str(error.message)}).encode()
