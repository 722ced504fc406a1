"""The WSGI application: control API, journal, faults, authentication, then an action of ours or moto's."""

import io
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from moto.core.exceptions import ServiceException
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from . import control, services
from .actions import CHECKS, HANDLERS
from .authorization import authorize, conceal_absence
from .errors import AwsError, Unimplemented
from .protocol import Call, parse_params, read_call, render_error, render_result
from .state import Region
from .transitions import pass_time
from .visibility import VISIBILITY, names_ids

SIGNED_FOR_S3 = "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
Response = tuple[int, dict[str, str], bytes]


def hang_up(environ: dict[str, Any]) -> None:
    """Closes a request's connection. Waitress shows an application its channel only as the owner of this function."""
    environ["waitress.client_disconnected"].__self__.socket.shutdown(socket.SHUT_RDWR)


class Front:
    """Answers every request that reaches the region."""

    def __init__(self, region: Region):
        self.region = region
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        if environ.get("PATH_INFO", "").startswith("/_region/"):
            status, headers, content = control.answer(self.region, environ, body)
        else:
            status, headers, content = self._answer_aws(environ, body)
        if environ["REQUEST_METHOD"] == "HEAD":
            content = b""
        else:
            headers["Content-Length"] = str(len(content))
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
        start_response(f"{status} {reason}", list(headers.items()))
        return [content]

    def _answer_aws(self, environ: dict[str, Any], body: bytes) -> Response:
        started = time.monotonic()
        request_id = str(uuid.uuid4())
        try:
            call = read_call(environ, body)
        except AwsError as error:
            return render_error(Call(environ, body, environ["REQUEST_METHOD"], "", "", {}), error, request_id)
        fault = self.region.faults.take(call.service, call.action)
        if fault and fault.latency_ms:
            time.sleep(fault.latency_ms / 1000)
        injected = AwsError(fault.code, fault.message, fault.status) if fault and fault.code else None
        if fault and fault.hold == "before":
            self.region.faults.hold(call.service, call.action, call.path, fault.hold)
        if injected and not fault.after:
            response = render_error(call, injected, request_id)
        else:
            response = self._perform(call, request_id)
            if fault and fault.unseen_ms and response[0] < 400:
                VISIBILITY.hide(call.service, call.action, call.params, response[2], fault.unseen_ms)
            if fault and fault.hold == "after":
                self.region.faults.hold(call.service, call.action, call.path, fault.hold)
            if injected:
                response = render_error(call, injected, request_id)
        if fault and fault.drop:
            hang_up(environ)
        self._record(call, response[0], injected, time.monotonic() - started)
        return response

    def _perform(self, call: Call, request_id: str) -> Response:
        """Does the action, one at a time: neither moto's collections nor ours bear two at once."""
        with self.region.lock:
            try:
                pass_time(self.region)
                self._understand(call)
                authorize(self.region, call)
                VISIBILITY.check(self.region, call.service, call.action, call.params)
                response = self._dispatch(call, request_id)
                call.absent = response[0] == 404
                if call.absent:
                    conceal_absence(self.region, call)
            except Unimplemented as error:
                self.region.journal.record_unimplemented(call.service, call.action, error.what)
                return render_error(call, error, request_id)
            except ServiceException as error:
                return render_error(call, error, request_id)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                self.region.journal.record_unimplemented(call.service, call.action, repr(error))
                return render_error(call, Unimplemented(f"{call.service} {call.action}: {error!r}"), request_id)
            if call.mutating and services.find(call.service).of_the_world and response[0] < 400:
                self.region.touch()
            return response

    def _understand(self, call: Call) -> None:
        if services.find(call.service).regional and call.signed_region not in (None, self.region.name):
            raise Unimplemented(f"the region {call.signed_region}")
        if call.protocol in ("ec2", "query", "json"):
            call.params = parse_params(call)

    def _dispatch(self, call: Call, request_id: str) -> Response:
        key = (call.service, call.action)
        if call.protocol == "ec2" and call.params.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        if handler := HANDLERS.get(key):
            result = handler(self.region, call.params)
            if not call.mutating:
                result = VISIBILITY.veil(call.service, result, not names_ids(call.params))
            return render_result(call, result, request_id)
        if services.find(call.service).whole:
            raise Unimplemented(f"{call.service} {call.action}")
        for inspect in CHECKS.get((call.service, None), []) + CHECKS.get(key, []):
            inspect(self.region, call.params, call.action)
        return self._ask_moto(call)

    def _ask_moto(self, call: Call) -> Response:
        environ = {**call.environ, "wsgi.input": io.BytesIO(call.body), "CONTENT_LENGTH": str(len(call.body))}
        if call.service == "s3" and call.access_key is None:
            # By the path of what isn't signed, moto takes an issuer's description for one of Cognito's.
            environ["HTTP_AUTHORIZATION"] = SIGNED_FOR_S3
        answer: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            answer["status"], answer["headers"] = int(status.split()[0]), dict(headers)

        content = b"".join(self.moto(environ, start_response))
        if answer["status"] >= 500 or (answer["status"] == 404 and b"<!doctype html>" in content[:64].lower()):
            raise Unimplemented(f"{call.service} {call.action}: {content[:200]!r}")
        answer["headers"].pop("Connection", None)
        return answer["status"], answer["headers"], content

    def _record(self, call: Call, status: int, injected: AwsError | None, seconds: float) -> None:
        self.region.journal.record(
            {
                "service": call.service,
                "action": call.action,
                "path": call.path,
                "absent": call.absent,
                "began": round(time.time() - seconds, 4),
                "mutating": call.mutating,
                "status": status,
                "fault": injected.code if injected else None,
                "principal": call.principal,
                "seconds": round(seconds, 4),
                **({"expectedBucketOwner": owner} if (owner := call.headers.get("x-amz-expected-bucket-owner")) else {}),
            }
        )
