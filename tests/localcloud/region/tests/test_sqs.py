"""SQS queues, as the SQS API Reference has them."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from typing import Any

import pytest

from .conftest import Cloud, code_of
from .test_authorization import allow, make_role

ACCOUNT = "123456789012"
NAME = "demo-example-com-interruptions"
URL = f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/{NAME}"
ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{NAME}"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["events.amazonaws.com", "sqs.amazonaws.com"]},
            "Action": "sqs:SendMessage",
            "Resource": ARN,
        }
    ],
}
ATTRIBUTES = {"MessageRetentionPeriod": "300", "SqsManagedSseEnabled": "true", "Policy": json.dumps(POLICY)}


@pytest.fixture
def sqs(cloud: Cloud) -> Any:
    return cloud.client("sqs")


@pytest.fixture
def queue(sqs: Any) -> str:
    """One as a handler of interruptions has it; its URL."""
    return sqs.create_queue(QueueName=NAME, Attributes=ATTRIBUTES, tags={"cluster": "demo"})["QueueUrl"]


def attributes_of(sqs: Any, url: str, *names: str) -> dict[str, str]:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names or ["All"])).get("Attributes", {})


def bodies(answer: dict[str, Any]) -> list[str]:
    return [message["Body"] for message in answer.get("Messages", [])]


def test_a_queue_has_the_attributes_and_tags_it_was_made_with(sqs: Any, queue: str) -> None:
    """API_CreateQueue, API_GetQueueAttributes: defaults too; all values are text, times whole seconds."""
    assert queue == URL
    found = attributes_of(sqs, queue)
    assert (found["QueueArn"], found["MessageRetentionPeriod"], found["SqsManagedSseEnabled"]) == (ARN, "300", "true")
    assert json.loads(found["Policy"]) == POLICY
    assert (found["VisibilityTimeout"], found["DelaySeconds"], found["MaximumMessageSize"]) == ("30", "0", "1048576")
    assert abs(int(found["CreatedTimestamp"]) - time.time()) < 60
    assert "KmsMasterKeyId" not in found and "RedrivePolicy" not in found
    assert attributes_of(sqs, queue, "QueueArn") == {"QueueArn": ARN}
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue)
    assert code_of(attributes_of, sqs, queue, "QueueARN") == "InvalidAttributeName"
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"cluster": "demo"}
    assert sqs.get_queue_url(QueueName=NAME)["QueueUrl"] == URL


def test_making_it_again_is_no_error_unless_it_would_be_another(sqs: Any, queue: str) -> None:
    """API_CreateQueue, QueueNameExists: only what the request names is compared; a policy by what it says."""
    same = {**ATTRIBUTES, "Policy": json.dumps(POLICY, indent=2, sort_keys=True)}
    assert sqs.create_queue(QueueName=NAME, Attributes=same, tags={"cluster": "demo"})["QueueUrl"] == queue
    assert sqs.create_queue(QueueName=NAME)["QueueUrl"] == queue
    for other in ({"MessageRetentionPeriod": "600"}, {"Policy": ""}, {"SqsManagedSseEnabled": "false"}):
        with pytest.raises(sqs.exceptions.QueueNameExists) as refused:
            sqs.create_queue(QueueName=NAME, Attributes=other)
        assert next(iter(other)) in str(refused.value)
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName=NAME, tags={"cluster": "other"})
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"cluster": "demo"}
    assert attributes_of(sqs, queue, "MessageRetentionPeriod") == {"MessageRetentionPeriod": "300"}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"),
        ({"MessageRetentionPeriod": "1209601"}, "InvalidAttributeValue"),
        ({"MessageRetentionPeriod": "5m"}, "InvalidAttributeValue"),
        ({"SqsManagedSseEnabled": "yes"}, "InvalidAttributeValue"),
        ({"SqsManagedSseEnabled": "true", "KmsMasterKeyId": "alias/mine"}, "InvalidAttributeValue"),
        ({"Policy": "{"}, "InvalidAttributeValue"),
        ({"Policy": "{}"}, "InvalidAttributeValue"),
        ({"QueueArn": ARN}, "InvalidAttributeName"),
        ({"RetentionPeriod": "300"}, "InvalidAttributeName"),
        ({"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
    ],
)
def test_an_attribute_that_is_not_one_is_refused_and_changes_nothing(
    sqs: Any, queue: str, attributes: dict[str, str], code: str
) -> None:
    """API_CreateQueue and API_SetQueueAttributes: names and valid values."""
    before = attributes_of(sqs, queue)
    assert code_of(sqs.create_queue, QueueName="other", Attributes=attributes) == code
    assert code_of(sqs.set_queue_attributes, QueueUrl=queue, Attributes=attributes) == code
    assert attributes_of(sqs, queue) == before
    assert sqs.list_queues()["QueueUrls"] == [URL]


def test_an_attribute_that_is_set_leaves_the_others(sqs: Any, queue: str) -> None:
    """API_SetQueueAttributes; an empty policy removes it. moto forgets the policy when anything else is set."""
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MessageRetentionPeriod": "600"})
    found = attributes_of(sqs, queue)
    assert found["MessageRetentionPeriod"] == "600" and json.loads(found["Policy"]) == POLICY
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
    assert "Policy" not in attributes_of(sqs, queue)
    assert attributes_of(sqs, queue, "SqsManagedSseEnabled") == {"SqsManagedSseEnabled": "true"}


def test_a_queue_has_one_kind_of_encryption(sqs: Any, queue: str) -> None:
    """API_SetQueueAttributes: "Only one server-side encryption option is supported per queue"."""
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"KmsMasterKeyId": "alias/mine"})
    found = attributes_of(sqs, queue)
    assert (found["KmsMasterKeyId"], found["SqsManagedSseEnabled"]) == ("alias/mine", "false")
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"SqsManagedSseEnabled": "true"})
    found = attributes_of(sqs, queue)
    assert "KmsMasterKeyId" not in found and found["SqsManagedSseEnabled"] == "true"


def test_tags_are_added_overwritten_and_removed(sqs: Any, queue: str) -> None:
    """API_TagQueue, API_UntagQueue."""
    sqs.tag_queue(QueueUrl=queue, Tags={"cluster": "other", "owner": "ada"})
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"cluster": "other", "owner": "ada"}
    sqs.untag_queue(QueueUrl=queue, TagKeys=["cluster", "absent"])
    assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"owner": "ada"}
    sqs.untag_queue(QueueUrl=queue, TagKeys=["owner"])
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=queue)
    many = {str(number): "" for number in range(51)}
    for refused in (many, {"aws:cluster": "x"}, {"k" * 129: "x"}, {"k": "v" * 257}):
        assert code_of(sqs.tag_queue, QueueUrl=queue, Tags=refused) == "InvalidParameterValue"
        assert code_of(sqs.create_queue, QueueName="other", tags=refused) == "InvalidParameterValue"


def test_queues_are_listed_by_the_beginning_of_their_names(sqs: Any) -> None:
    """API_ListQueues: case counts, nothing is a pattern, and pages come only with MaxResults."""
    assert "QueueUrls" not in sqs.list_queues()
    for name in ("a-1", "a-2", "a-3", "A-4", "b-a-5", "a2"):
        sqs.create_queue(QueueName=name)

    def listed(**asked: Any) -> list[str]:
        return [one.rpartition("/")[2] for one in sqs.list_queues(**asked).get("QueueUrls", [])]

    assert listed(QueueNamePrefix="a-") == ["a-1", "a-2", "a-3"]
    assert listed(QueueNamePrefix="a.") == []
    assert len(listed()) == 6
    pages = list(sqs.get_paginator("list_queues").paginate(QueueNamePrefix="a-", PaginationConfig={"PageSize": 2}))
    assert [len(page["QueueUrls"]) for page in pages] == [2, 1]


@pytest.mark.parametrize("name", ["", "a" * 81, "demo.example.com", "a/b", "interruptions.fifo"])
def test_a_name_that_a_queue_cannot_have_is_refused(sqs: Any, name: str) -> None:
    """API_CreateQueue, QueueName; the suffix of FIFO queues is theirs."""
    assert code_of(sqs.create_queue, QueueName=name) == "InvalidParameterValue"


def test_a_deleted_name_is_not_free_for_a_minute(cloud: Cloud, sqs: Any, queue: str) -> None:
    """API_DeleteQueue: "you must wait at least 60 seconds before creating a queue with the same name"."""
    sqs.send_message(QueueUrl=queue, MessageBody="lost")
    sqs.delete_queue(QueueUrl=queue)
    assert "QueueUrls" not in sqs.list_queues()
    with pytest.raises(sqs.exceptions.QueueDeletedRecently):
        sqs.create_queue(QueueName=NAME, Attributes=ATTRIBUTES)
    cloud.control("POST", f"/queues/{NAME}/age", {"seconds": 55})
    assert code_of(sqs.create_queue, QueueName=NAME) == "AWS.SimpleQueueService.QueueDeletedRecently"
    sqs.create_queue(QueueName=f"{NAME}-2")
    cloud.control("POST", f"/queues/{NAME}/age", {"seconds": 5})
    assert sqs.create_queue(QueueName=NAME)["QueueUrl"] == queue
    assert bodies(sqs.receive_message(QueueUrl=queue)) == []


def test_what_is_not_there_is_denied_by_every_action(sqs: Any, queue: str) -> None:
    """QueueDoesNotExist, whose code of the query protocol SDKs still show."""
    sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as refused:
        sqs.get_queue_url(QueueName=NAME)
    assert refused.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (sqs.delete_queue, {}),
        (sqs.get_queue_attributes, {"AttributeNames": ["All"]}),
        (sqs.set_queue_attributes, {"Attributes": {"DelaySeconds": "1"}}),
        (sqs.tag_queue, {"Tags": {"a": "b"}}),
        (sqs.untag_queue, {"TagKeys": ["a"]}),
        (sqs.list_queue_tags, {}),
        (sqs.send_message, {"MessageBody": "x"}),
        (sqs.receive_message, {"WaitTimeSeconds": 20}),
        (sqs.purge_queue, {}),
    ]
    for call, more in calls:
        assert code_of(call, QueueUrl=queue, **more) == "AWS.SimpleQueueService.NonExistentQueue"


@pytest.mark.parametrize(
    "address", [NAME, f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/{NAME}", f"https://sqs.us-east-1.amazonaws.com/{NAME}"]
)
def test_an_address_that_is_not_this_regions_leads_to_no_queue(sqs: Any, queue: str, address: str) -> None:
    """API_GetQueueAttributes, InvalidAddress. moto takes the end of anything for a name."""
    assert code_of(attributes_of, sqs, address) == "InvalidAddress"
    assert code_of(sqs.send_message, QueueUrl=address, MessageBody="x") == "InvalidAddress"
    other_account = queue.replace(ACCOUNT, "111111111111")
    assert code_of(attributes_of, sqs, other_account) == "AWS.SimpleQueueService.NonExistentQueue"


def test_a_message_is_sent_received_and_deleted(sqs: Any, queue: str) -> None:
    """API_ReceiveMessage: what was received and not deleted comes again after the time of invisibility."""
    sqs.send_message(QueueUrl=queue, MessageBody="interruption")
    (message,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1)["Messages"]
    assert message["Body"] == "interruption"
    assert attributes_of(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == {"ApproximateNumberOfMessagesNotVisible": "1"}
    (again,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=again["ReceiptHandle"])
    assert attributes_of(sqs, queue, "ApproximateNumberOfMessages") == {"ApproximateNumberOfMessages": "0"}


def test_who_waits_for_a_message_keeps_nobody_else_waiting(cloud: Cloud, sqs: Any, queue: str) -> None:
    """Developer Guide, "Amazon SQS short and long polling"; the queue's own waiting time counts where the request has none."""
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"ReceiveMessageWaitTimeSeconds": "20"})
    received: list[str] = []
    waiting = threading.Thread(target=lambda: received.extend(bodies(sqs.receive_message(QueueUrl=queue))))
    waiting.start()
    time.sleep(0.3)
    started = time.monotonic()
    cloud.client("ec2").describe_vpcs()
    sqs.send_message(QueueUrl=queue, MessageBody="now")
    waiting.join(timeout=10)
    assert received == ["now"] and time.monotonic() - started < 5
    started = time.monotonic()
    assert bodies(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1)) == []
    assert 1 <= time.monotonic() - started < 5
    assert bodies(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0)) == []


def test_of_a_group_of_a_fifo_queue_nothing_is_received_while_one_is_in_flight(sqs: Any) -> None:
    """Developer Guide, "FIFO queue delivery logic"; who waits waits on."""
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName="ordered.fifo", Attributes=attributes)["QueueUrl"]
    assert code_of(sqs.set_queue_attributes, QueueUrl=url, Attributes={"FifoQueue": "true"}) == "InvalidAttributeName"
    for body in ("first", "second"):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="one")
    (first,) = sqs.receive_message(QueueUrl=url)["Messages"]
    started = time.monotonic()
    assert bodies(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)) == []
    assert time.monotonic() - started >= 1
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert bodies(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)) == ["second"]


def test_the_inventory_lists_queues(cloud: Cloud, sqs: Any, queue: str) -> None:
    """README.md, `GET /_region/inventory`."""
    assert cloud.control("GET", "/inventory")["queues"] == [NAME]
    sqs.delete_queue(QueueUrl=queue)
    assert cloud.control("GET", "/inventory")["queues"] == []


def test_faults_and_the_journal_know_queues(cloud: Cloud, sqs: Any) -> None:
    """README.md, faults and journal; API_CreateQueue, RequestThrottled; a lost reply leaves its effect."""
    throttled = {"service": "sqs", "action": "CreateQueue", "code": "RequestThrottled", "status": 403}
    lost = {"service": "sqs", "action": "CreateQueue", "after": True}
    cloud.control("POST", "/faults", [throttled, lost])
    with pytest.raises(sqs.exceptions.RequestThrottled):
        sqs.create_queue(QueueName=NAME)
    assert code_of(sqs.create_queue, QueueName=NAME) == "InternalError"
    assert sqs.create_queue(QueueName=NAME)["QueueUrl"] == URL
    sqs.get_queue_url(QueueName=NAME)
    told = [(one["service"], one["action"], one["mutating"], one["status"]) for one in cloud.control("GET", "/journal")]
    assert told == [
        ("sqs", "CreateQueue", True, 403),
        ("sqs", "CreateQueue", True, 500),
        ("sqs", "CreateQueue", True, 200),
        ("sqs", "GetQueueUrl", False, 200),
    ]


def test_a_queue_that_was_just_made_is_not_seen_at_once(cloud: Cloud, sqs: Any) -> None:
    """API_CreateQueue: "you must wait at least one second after the queue is created to be able to use the queue"."""
    cloud.control("POST", "/faults", [{"service": "sqs", "action": "CreateQueue", "unseenMs": 1000}])
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    assert code_of(sqs.get_queue_url, QueueName=NAME) == "AWS.SimpleQueueService.NonExistentQueue"
    assert code_of(attributes_of, sqs, url) == "AWS.SimpleQueueService.NonExistentQueue"
    assert not sqs.list_queues().get("QueueUrls")
    assert sqs.create_queue(QueueName=NAME)["QueueUrl"] == url
    cloud.eventually(lambda: sqs.list_queues().get("QueueUrls") == [url])
    assert attributes_of(sqs, url)["QueueArn"] == ARN


def test_a_role_may_do_what_its_policy_names_on_the_queue_that_it_names(network: Any, iam: Any, sqs: Any, queue: str) -> None:
    """Service Authorization Reference, SQS: by ARN and by tags; a batch is authorized as one; ListQueues only as a whole."""
    by_tag = allow(["sqs:TagQueue"], "*", StringEquals={"aws:ResourceTag/cluster": "demo"})
    make_role(iam, "handler", allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], ARN), by_tag)
    other = sqs.create_queue(QueueName="other")["QueueUrl"]
    client = network.cloud.as_instance("sqs", network.run(IamInstanceProfile={"Name": "handler"}))
    network.cloud.control("POST", "/authentication", {"enforce": True})
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = client.receive_message(QueueUrl=queue)["Messages"]
    entry = {"Id": "1", "ReceiptHandle": message["ReceiptHandle"]}
    assert client.delete_message_batch(QueueUrl=queue, Entries=[entry])["Successful"] == [{"Id": "1"}]
    assert attributes_of(client, queue)["QueueArn"] == ARN
    client.tag_queue(QueueUrl=queue, Tags={"a": "b"})
    assert code_of(client.tag_queue, QueueUrl=other, Tags={"a": "b"}) == "AccessDenied"
    assert code_of(client.receive_message, QueueUrl=other) == "AccessDenied"
    assert code_of(client.send_message, QueueUrl=queue, MessageBody="x") == "AccessDenied"
    assert code_of(client.list_queues) == "AccessDenied"
    assert code_of(network.cloud.client("sqs", "AKIANOBODY", "x").list_queues) == "InvalidClientTokenId"


def test_tags_at_creation_need_their_own_permission(network: Any, iam: Any) -> None:
    """API_CreateQueue, tags: "you must have the sqs:CreateQueue and sqs:TagQueue permissions"."""
    queues = f"arn:aws:sqs:us-east-1:{ACCOUNT}:demo-*"
    make_role(iam, "maker", allow(["sqs:CreateQueue"], queues))
    tagged = allow(["sqs:TagQueue"], queues, StringEquals={"aws:RequestTag/cluster": "demo"})
    make_role(iam, "tagger", allow(["sqs:CreateQueue"], queues), tagged)
    clients = {
        name: network.cloud.as_instance("sqs", network.run(IamInstanceProfile={"Name": name})) for name in ("maker", "tagger")
    }
    network.cloud.control("POST", "/authentication", {"enforce": True})
    clients["maker"].create_queue(QueueName="demo-1")
    assert code_of(clients["maker"].create_queue, QueueName="demo-2", tags={"cluster": "demo"}) == "AccessDenied"
    assert code_of(clients["maker"].create_queue, QueueName="other") == "AccessDenied"
    clients["tagger"].create_queue(QueueName="demo-2", tags={"cluster": "demo"})
    assert code_of(clients["tagger"].create_queue, QueueName="demo-3", tags={"cluster": "other"}) == "AccessDenied"


def test_the_policy_of_a_queue_counts(network: Any, iam: Any, sqs: Any, queue: str) -> None:
    """Developer Guide, "Using custom policies with the Amazon SQS Access Policy Language"."""
    make_role(iam, "sender")
    client = network.cloud.as_instance("sqs", network.run(IamInstanceProfile={"Name": "sender"}))
    network.cloud.control("POST", "/authentication", {"enforce": True})
    assert code_of(client.send_message, QueueUrl=queue, MessageBody="x") == "AccessDenied"
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/sender"}, "Action": "SQS:SendMessage"}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [{**statement, "Resource": ARN}]})})
    client.send_message(QueueUrl=queue, MessageBody="x")
    denial = {"Effect": "Deny", "Principal": "*", "Action": "sqs:DeleteQueue", "Resource": ARN}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [denial]})})
    assert code_of(sqs.delete_queue, QueueUrl=queue) == "AccessDenied"


def test_the_protocol_is_aws_json_1_0(cloud: Cloud, sqs: Any, queue: str) -> None:
    """Smithy, "AWS JSON 1.0 protocol" and "AWS query compatible": what an SDK of another language reads."""

    def ask(action: str, value: Any) -> tuple[int, Message, Any]:
        scope = "Credential=operator/20260101/us-east-1/sqs/aws4_request"
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{action}",
            "Authorization": f"AWS4-HMAC-SHA256 {scope}",
        }
        request = urllib.request.Request(f"{cloud.endpoint}/", method="POST", data=json.dumps(value).encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.load(error)

    status, headers, answer = ask("GetQueueUrl", {"QueueName": NAME})
    assert (status, headers["Content-Type"], answer) == (200, "application/x-amz-json-1.0", {"QueueUrl": URL})
    assert ask("DeleteQueue", {"QueueUrl": URL})[0] == 200
    for action, value in (("GetQueueUrl", {"QueueName": NAME}), ("SendMessage", {"QueueUrl": URL, "MessageBody": "x"})):
        status, headers, answer = ask(action, value)
        assert (status, headers["Content-Type"]) == (400, "application/x-amz-json-1.0")
        assert headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
        assert answer["__type"] == "com.amazonaws.sqs#QueueDoesNotExist"
        assert answer["message"]


def test_what_the_region_does_not_have_of_a_queue_fails_by_name(cloud: Cloud, sqs: Any, queue: str) -> None:
    attributes = {"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})}
    assert code_of(sqs.set_queue_attributes, QueueUrl=queue, Attributes=attributes) == "NotImplementedByRegion"
    (entry,) = cloud.control("GET", "/unimplemented")
    assert (entry["service"], entry["action"]) == ("sqs", "SetQueueAttributes")
    cloud.control("POST", "/reset")
