"""SQS queues: who may have which attributes, tags and names; the messages in them are moto's.

Facts are from the SQS API Reference (API_<action>) and the SQS Developer Guide, unless something else is said. Requests come in
AWS JSON 1.0, as today's SDKs send them.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from moto.sqs.models import Queue, SQSBackend

from .actions import action, check, patch
from .errors import AwsError, Unimplemented
from .filters import paginate
from .iam_requests import Need, on_resource, request_tags
from .protocol import Call
from .resources import Resource, resource
from .services import service
from .state import Region, now

NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
FIFO_SUFFIX = ".fifo"
NAME_UNUSABLE = timedelta(seconds=60)
LONGEST_WAIT = 20
LOOK_AGAIN_SECONDS = 0.1
LISTED_AT_ONCE = 1000
TAG_LIMIT = 50

# API_CreateQueue, Attributes: the ranges of those that are numbers.
RANGES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, 1048576),
    "MessageRetentionPeriod": (60, 1209600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43200),
    "KmsDataKeyReusePeriodSeconds": (60, 86400),
}
FLAGS = ("SqsManagedSseEnabled", "FifoQueue", "ContentBasedDeduplication")
CHOICES = {"DeduplicationScope": ("messageGroup", "queue"), "FifoThroughputLimit": ("perQueue", "perMessageGroupId")}
DOCUMENTS = ("Policy", "RedrivePolicy")
ONLY_FIFO = ("FifoQueue", "ContentBasedDeduplication", *CHOICES)
SETTABLE = {*RANGES, *FLAGS, *CHOICES, *DOCUMENTS, "KmsMasterKeyId"}
TIMES = ("CreatedTimestamp", "LastModifiedTimestamp")
READABLE = {*SETTABLE, *Queue.BASE_ATTRIBUTES, "All"}


def queues(region: Region) -> dict[str, Queue]:
    """The queues by name."""
    return region.backend("sqs").queues


def _deleted(region: Region) -> dict[str, datetime]:
    """When the queues were deleted whose names can't be used again yet."""
    return region.kept("deleted queues")


def _arn(region: Region, name: str) -> str:
    return f"arn:aws:sqs:{region.name}:{region.account}:{name}"


def url(region: Region, name: str) -> str:
    """A queue's URL (Developer Guide, "Amazon SQS queue and message identifiers"). SDKs send it in a request's body, and the
    request itself to the endpoint that they are configured for."""
    return _url(region.name, region.account, name)


def _url(region: str, account: str, name: str) -> str:
    return f"https://sqs.{region}.amazonaws.com/{account}/{name}"


def _name_in(queue_url: str) -> str:
    return queue_url.rpartition("/")[2]


def _named(region: Region, params: dict[str, Any]) -> Iterator[str]:
    if params.get("QueueUrl"):
        yield _name_in(params["QueueUrl"])


def _tags(region: Region, name: str) -> dict[str, str]:
    return queues(region)[name].tags if name in queues(region) else {}


def _policies(region: Region, name: str) -> list[str]:
    policy = queues(region)[name].policy if name in queues(region) else None
    return [policy] if policy else []


def _age(region: Region, name: str, seconds: float) -> None:
    """Also one that was deleted, whose name so comes free sooner."""
    if name in _deleted(region):
        _deleted(region)[name] -= timedelta(seconds=seconds)
        return
    queue = queues(region)[name]
    queue.created_timestamp -= seconds
    queue.last_modified_timestamp -= seconds


def _needs(region: Region, call: Call) -> Iterator[Need]:
    """ListQueues is authorized as a whole, the rest on the queue; a batch as one of its kind; tags at creation need TagQueue,
    too ("Amazon SQS API permissions: Actions and resource reference"; API_CreateQueue, tags)."""
    name_of_action = f"sqs:{call.action.removesuffix('Batch')}"
    context = request_tags(call.params)
    names = list(QUEUE.named(region, call.params))
    if not names:
        yield Need(name_of_action, "*", context)
    for name in names:
        yield on_resource(region, name_of_action, QUEUE, name, context)
        if call.action == "CreateQueue" and call.params.get("tags"):
            yield on_resource(region, "sqs:TagQueue", QUEUE, name, context)


def _absent(kind: Resource | None = None, name: str = "") -> AwsError:
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.")


service("sqs", regional=True, needs=_needs, unseen=_absent)
QUEUE = resource(
    "sqs",
    "queue",
    inventory=("queues", queues),
    parameters=("QueueName",),
    named_otherwise=_named,
    arn=_arn,
    tags=_tags,
    policies=_policies,
    created_by=("CreateQueue",),
    name_parameter="QueueName",
    not_found="QueueDoesNotExist",
    lists={"QueueUrls": _name_in},
    age=_age,
)


def find(region: Region, params: dict[str, Any]) -> Queue:
    """The queue that a request's QueueUrl leads to."""
    given = params.get("QueueUrl") or ""
    parts = urlsplit(given)
    address = re.fullmatch(r"/(\d{12})/([^/]+)", parts.path)
    if not address or parts.netloc != urlsplit(url(region, "")).netloc:
        raise AwsError("InvalidAddress", f"The address {given} is not valid for this endpoint.")
    account, name = address.groups()
    if account != region.account or name not in queues(region):
        raise _absent()
    return queues(region)[name]


@action("sqs", "CreateQueue")
def create_queue(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Asking for one that exists gives its URL, unless it has other attributes or tags than the request names.

    That tags count, too, isn't in the API reference; users of AWS report it (dramatiq_sqs, pull request 13).
    """
    name, attributes, tags = params.get("QueueName") or "", params.get("Attributes") or {}, params.get("tags") or {}
    if not NAME.fullmatch(name) or name.endswith(FIFO_SUFFIX) != (attributes.get("FifoQueue") == "true"):
        raise AwsError(
            "InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    _check_attributes(attributes, name)
    _check_tags(tags)
    if name in queues(region):
        _check_same(queues(region)[name], attributes, tags)
    else:
        _check_name_is_free(region, name)
        queues(region)[name] = Queue(name, region.name, region.account, **_encrypted_once(attributes))
        queues(region)[name].tags = dict(tags)
    return {"QueueUrl": url(region, name)}


def _check_same(queue: Queue, attributes: dict[str, str], tags: dict[str, str]) -> None:
    """Only what the request names is compared (QueueNameExists)."""
    present = _described(queue)
    different = [key for key, value in attributes.items() if not _equal(key, value, present.get(key))]
    if different:
        raise AwsError(
            "QueueNameExists",
            f"A queue already exists with the same name and a different value for attribute {different[0]}",
        )
    if tags and tags != queue.tags:
        raise AwsError("QueueNameExists", "A queue already exists with the same name and different tags")


def _equal(key: str, wanted: str, present: str | None) -> bool:
    if key in DOCUMENTS:
        return json.loads(wanted or "null") == json.loads(present or "null")
    return wanted == (present or "")


def _check_name_is_free(region: Region, name: str) -> None:
    """API_DeleteQueue: sixty seconds after a queue's end another can have its name."""
    deleted = _deleted(region).get(name)
    if deleted and now() - deleted < NAME_UNUSABLE:
        raise AwsError(
            "QueueDeletedRecently",
            "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        )
    _deleted(region).pop(name, None)


def _check_attributes(attributes: dict[str, str], name: str) -> None:
    for key, value in attributes.items():
        if key == "RedriveAllowPolicy":
            raise Unimplemented("the attribute RedriveAllowPolicy of a queue")
        if key not in SETTABLE or (key in ONLY_FIFO and not name.endswith(FIFO_SUFFIX)):
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {key}.")
        if not _valid(key, value):
            raise AwsError("InvalidAttributeValue", f"Invalid value for the parameter {key}.")
    if attributes.get("SqsManagedSseEnabled") == "true" and attributes.get("KmsMasterKeyId"):
        raise AwsError(
            "InvalidAttributeValue", "You can use one type of server-side encryption (SSE) at one time: either KMS or SQS."
        )


def _valid(key: str, value: str) -> bool:
    if key in RANGES:
        low, high = RANGES[key]
        return value.isdecimal() and low <= int(value) <= high
    if key in FLAGS:
        return value in ("true", "false")
    if key in CHOICES:
        return value in CHOICES[key]
    if key in DOCUMENTS and value:
        try:
            document = json.loads(value)
        except ValueError:
            return False
        return isinstance(document, dict) and (key != "Policy" or bool(document.get("Statement")))
    return True


def _encrypted_once(attributes: dict[str, str]) -> dict[str, str]:
    """A queue has one kind of encryption: one with a key of KMS isn't encrypted by SQS (API_CreateQueue)."""
    if attributes.get("KmsMasterKeyId"):
        return {**attributes, "SqsManagedSseEnabled": "false"}
    if attributes.get("SqsManagedSseEnabled") == "true":
        return {**attributes, "KmsMasterKeyId": ""}
    return attributes


@action("sqs", "SetQueueAttributes")
def set_queue_attributes(region: Region, params: dict[str, Any]) -> None:
    """What the request doesn't name stays, which moto forgets of the policy; an empty policy removes it."""
    queue = find(region, params)
    attributes = params.get("Attributes") or {}
    if not attributes:
        raise AwsError("MissingParameter", "The request must contain the parameter Attributes.")
    if "FifoQueue" in attributes:  # only at creation (API_CreateQueue, FifoQueue)
        raise AwsError("InvalidAttributeName", "Unknown Attribute FifoQueue.")
    _check_attributes(attributes, queue.name)
    queue._set_attributes({"Policy": queue.policy, **_encrypted_once(attributes)})


@action("sqs", "GetQueueAttributes")
def get_queue_attributes(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Nothing without names; what a queue doesn't have isn't in the answer (API_GetQueueAttributes)."""
    queue, wanted = find(region, params), params.get("AttributeNames") or []
    for name in wanted:
        if name not in READABLE:
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    found = {name: value for name, value in _described(queue).items() if name in wanted or "All" in wanted}
    return {"Attributes": found} if found else {}


def _described(queue: Queue) -> dict[str, str]:
    """A queue's attributes as text; times are whole seconds."""
    held = {key: int(value) if key in TIMES else value for key, value in queue.attributes.items()}
    return {key: str(value) for key, value in held.items() if value not in (None, "")}


@action("sqs", "GetQueueUrl")
def get_queue_url(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    name, owner = params.get("QueueName") or "", params.get("QueueOwnerAWSAccountId") or region.account
    if name not in queues(region) or owner != region.account:
        raise AwsError("QueueDoesNotExist", "The specified queue does not exist or you do not have access to it.")
    return {"QueueUrl": url(region, name)}


@action("sqs", "ListQueues")
def list_queues(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """By the beginning of the name, in which case counts; pages only with MaxResults, else the first thousand
    (API_ListQueues). moto takes the prefix for a regular expression."""
    size, prefix = params.get("MaxResults"), params.get("QueueNamePrefix") or ""
    if size is not None and not 1 <= size <= LISTED_AT_ONCE:
        raise AwsError("InvalidParameterValue", f"Value {size} for parameter MaxResults is invalid. Reason: Must be 1 to 1000.")
    rows = [url(region, name) for name in sorted(queues(region)) if name.startswith(prefix)]
    page = paginate("QueueUrls", rows, params) if size else {"QueueUrls": rows[:LISTED_AT_ONCE]}
    return page if rows else {}


@action("sqs", "DeleteQueue")
def delete_queue(region: Region, params: dict[str, Any]) -> None:
    """With its messages, and at once; in AWS requests may succeed for up to a minute more. Its name isn't free before."""
    queue = find(region, params)
    del queues(region)[queue.name]
    _deleted(region)[queue.name] = now()


@action("sqs", "ListQueueTags")
def list_queue_tags(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    tags = find(region, params).tags
    return {"Tags": dict(tags)} if tags else {}


@action("sqs", "TagQueue")
def tag_queue(region: Region, params: dict[str, Any]) -> None:
    """A tag of the same key is overwritten (API_TagQueue)."""
    queue, tags = find(region, params), params.get("Tags") or {}
    if not tags:
        raise AwsError("MissingParameter", "The request must contain the parameter Tags.")
    _check_tags({**queue.tags, **tags})
    queue.tags.update(tags)


@action("sqs", "UntagQueue")
def untag_queue(region: Region, params: dict[str, Any]) -> None:
    """What isn't there is no error."""
    queue, keys = find(region, params), params.get("TagKeys") or []
    if not keys:
        raise AwsError("InvalidParameterValue", "Tag keys must be between 1 and 128 characters in length.")
    for key in keys:
        queue.tags.pop(key, None)


def _check_tags(tags: dict[str, str]) -> None:
    """Developer Guide, "Amazon SQS standard queue quotas": lengths, and the prefix that is reserved to AWS; moto: at most 50."""
    if len(tags) > TAG_LIMIT:
        raise AwsError("InvalidParameterValue", "Too many tags added for queue.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise AwsError(
                "InvalidParameterValue", "Tag keys must be between 1 and 128 characters in length, values at most 256."
            )
        if key.lower().startswith("aws:"):
            raise AwsError("InvalidParameterValue", f"Tag key {key} is reserved: it begins with aws:")


@check("sqs")
def check_address(region: Region, params: dict[str, Any], action: str) -> None:
    """What moto does with messages: it takes the end of any address for the queue's name."""
    if "QueueUrl" in params:
        find(region, params)


@check("sqs", "ReceiveMessage")
def wait_for_messages(region: Region, params: dict[str, Any], action: str) -> None:
    """Long polling (Developer Guide): moto would wait while it holds the region's lock, and nothing else would be answered."""
    queue = find(region, params)
    asked = params.get("WaitTimeSeconds")
    seconds = queue.receive_message_wait_time_seconds if asked is None else asked
    deadline = time.monotonic() + min(seconds, LONGEST_WAIT)
    while not _receivable(queue) and queues(region).get(queue.name) is queue:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return
        # The lock is free meanwhile. Messages come by sending, and by the end of a delay or of a time of invisibility.
        region.changed.wait(min(remaining, LOOK_AGAIN_SECONDS))


def _receivable(queue: Queue) -> bool:
    """Of a FIFO queue's group nothing is received while one of its messages is in flight."""
    busy = queue.pending_message_groups if queue.fifo_queue else set()
    return any(message in queue.pending_messages or message.group_id not in busy for message in queue.messages)


@patch
def install() -> None:
    """Patches moto: ReceiveMessage doesn't wait itself, because `wait_for_messages` has; its URLs of queues are as ours."""
    receive = SQSBackend.receive_message

    def receive_at_once(self: Any, queue_name: str, count: int, wait_seconds_timeout: int, *more: Any) -> Any:
        return receive(self, queue_name, count, 0, *more)

    SQSBackend.receive_message = receive_at_once
    Queue.url = lambda self, request_url: _url(self.region, self.account_id, self.name)
