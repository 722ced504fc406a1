"""EventBridge's rules and targets, as the EventBridge API Reference has them."""

import json
from typing import Any

import pytest

from .conftest import Cloud, code_of
from .test_authorization import allow, make_role

ACCOUNT = "123456789012"
NAME = "demo.example.com-SpotInterruption"
ARN = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{NAME}"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:demo-nth"
PATTERN = json.dumps({"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]})
TAGS = [{"Key": "cluster", "Value": "demo"}]


@pytest.fixture
def events(cloud: Cloud) -> Any:
    return cloud.client("events")


@pytest.fixture
def rule(events: Any) -> str:
    """A rule with a target; its name."""
    assert events.put_rule(Name=NAME, EventPattern=PATTERN, Tags=TAGS)["RuleArn"] == ARN
    assert events.put_targets(Rule=NAME, Targets=[{"Id": "queue", "Arn": QUEUE}])["FailedEntryCount"] == 0
    return NAME


def tags_of(events: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in events.list_tags_for_resource(ResourceARN=ARN)["Tags"]}


def test_a_rule_is_as_it_was_made_and_keeps_targets_and_tags_when_it_is_put_again(events: Any, rule: str) -> None:
    """API_PutRule: "any tags you specify in the PutRule operation are ignored"."""
    found = events.describe_rule(Name=rule)
    assert (found["EventPattern"], found["State"], found["Arn"]) == (PATTERN, "ENABLED", ARN)
    pattern = json.dumps({"source": ["aws.health"]})
    events.put_rule(Name=rule, EventPattern=pattern, State="DISABLED", Tags=[{"Key": "other", "Value": "x"}])
    (listed,) = events.list_rules()["Rules"]
    assert (listed["EventPattern"], listed["State"]) == (pattern, "DISABLED")
    assert tags_of(events) == {"cluster": "demo"}
    assert events.list_targets_by_rule(Rule=rule)["Targets"] == [{"Id": "queue", "Arn": QUEUE}]
    events.tag_resource(ResourceARN=ARN, Tags=[{"Key": "other", "Value": "x"}])
    events.untag_resource(ResourceARN=ARN, TagKeys=["cluster"])
    assert tags_of(events) == {"other": "x"}


def test_rules_are_listed_by_the_beginning_of_their_names_alone(events: Any, rule: str) -> None:
    """API_ListRules, NamePrefix; a dot is a dot."""
    events.put_rule(Name="demo-example.com-SpotInterruption", EventPattern=PATTERN)
    names = [one["Name"] for one in events.list_rules(NamePrefix="demo.example.com-")["Rules"]]
    assert names == [rule]
    page = events.list_rules(Limit=1)
    assert len(page["Rules"]) == 1
    assert len(events.list_rules(Limit=1, NextToken=page["NextToken"])["Rules"]) == 1


def test_a_rule_goes_after_its_targets(cloud: Cloud, events: Any, rule: str) -> None:
    """API_DeleteRule: "Before you can delete the rule, you must remove all targets"."""
    assert cloud.control("GET", "/inventory")["eventRules"] == [rule]
    assert code_of(events.delete_rule, Name=rule) == "ValidationException"
    assert events.remove_targets(Rule=rule, Ids=["queue"])["FailedEntryCount"] == 0
    events.delete_rule(Name=rule)
    assert cloud.control("GET", "/inventory")["eventRules"] == []
    for call, more in (
        (events.describe_rule, {"Name": rule}),
        (events.list_targets_by_rule, {"Rule": rule}),
        (events.put_targets, {"Rule": rule, "Targets": [{"Id": "queue", "Arn": QUEUE}]}),
        (events.remove_targets, {"Rule": rule, "Ids": ["queue"]}),
        (events.list_tags_for_resource, {"ResourceARN": ARN}),
    ):
        assert code_of(call, **more) == "ResourceNotFoundException", call


@pytest.mark.parametrize("pattern", ["{", "[]", "{}", '{"source": []}', '{"source": "aws.ec2"}', '{"detail": {}}'])
def test_a_pattern_that_is_none_is_refused(events: Any, pattern: str) -> None:
    """User Guide, "Creating Amazon EventBridge event patterns"."""
    assert code_of(events.put_rule, Name=NAME, EventPattern=pattern) == "InvalidEventPatternException"


def test_limits(events: Any, rule: str) -> None:
    """API_PutRule, Name; User Guide, "Amazon EventBridge quotas": the pattern's length, five targets."""
    assert code_of(events.put_rule, Name="a b", EventPattern=PATTERN) == "ValidationException"
    assert code_of(events.put_rule, Name=rule, EventPattern=json.dumps({"source": ["x" * 2048]})) == "LimitExceededException"
    more = [{"Id": str(number), "Arn": QUEUE} for number in range(5)]
    assert code_of(events.put_targets, Rule=rule, Targets=more) == "LimitExceededException"
    reserved = [{"Key": "aws:x", "Value": "y"}]
    assert code_of(events.put_rule, Name="other", EventPattern=PATTERN, Tags=reserved) == "ValidationException"


def test_a_role_may_do_what_its_policy_names_on_the_rule_that_it_names(network: Any, iam: Any, events: Any, rule: str) -> None:
    """Service Authorization Reference, EventBridge."""
    make_role(iam, "operator", allow(["events:PutTargets", "events:DescribeRule"], ARN))
    client = network.cloud.as_instance("events", network.run(IamInstanceProfile={"Name": "operator"}))
    network.cloud.control("POST", "/authentication", {"enforce": True})
    client.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": QUEUE}])
    assert client.describe_rule(Name=rule)["Arn"] == ARN
    targets = [{"Id": "queue", "Arn": QUEUE}]
    for call, more in ((client.delete_rule, {"Name": rule}), (client.put_targets, {"Rule": "other", "Targets": targets})):
        assert "AccessDenied" in code_of(call, **more), call


def test_other_buses_fail_by_name(cloud: Cloud, events: Any) -> None:
    assert code_of(events.put_rule, Name=NAME, EventPattern=PATTERN, EventBusName="mine") == "NotImplementedByRegion"
    assert code_of(events.list_rules, EventBusName="mine") == "NotImplementedByRegion"
    cloud.control("POST", "/reset")


def allowing(rule: str) -> str:
    """The policy of a queue into which EventBridge may put what fits a rule."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{rule}"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Listener:
    """A queue, and what has come."""

    def __init__(self, cloud: Cloud, events: Any, policy: str | None):
        self.cloud, self.events, self.sqs = cloud, events, cloud.client("sqs")
        attributes = {"Policy": policy} if policy else {}
        self.queue = self.sqs.create_queue(QueueName="demo-nth", Attributes=attributes)["QueueUrl"]

    def listen(self, pattern: dict[str, Any], **more: Any) -> None:
        self.events.put_rule(Name=NAME, EventPattern=json.dumps(pattern), **more)
        self.events.put_targets(Rule=NAME, Targets=[{"Id": "queue", "Arn": QUEUE}])

    def heard(self) -> list[dict[str, Any]]:
        """The messages that are there, which are gone then."""
        messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]


def test_what_happens_to_instances_comes_into_the_queue_of_the_rule_that_it_fits(network: Any, events: Any) -> None:
    """EC2 User Guide, "Spot Instance interruption notices", "Amazon EC2 instance state change events"."""
    listener = Listener(network.cloud, events, allowing(NAME))
    listener.listen({"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]})
    instance = network.run(InstanceMarketOptions={"MarketType": "spot"})
    network.cloud.control("POST", f"/instances/{instance}/interruption", {})
    (event,) = listener.heard()
    assert event["detail"] == {"instance-id": instance, "instance-action": "terminate"}
    assert event["resources"] == [f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{instance}"]
    assert (event["account"], event["region"], event["time"][-1]) == (ACCOUNT, "us-east-1", "Z")
    listener.listen({"source": ["aws.ec2"], "detail": {"state": ["stopped", "terminated"]}})
    network.ec2.terminate_instances(InstanceIds=[instance])
    (event,) = network.cloud.eventually(listener.heard)
    assert event["detail-type"] == "EC2 Instance State-change Notification"
    assert event["detail"] == {"instance-id": instance, "state": "terminated"}


@pytest.mark.parametrize(("policy", "state"), [(None, "ENABLED"), (allowing("another"), "ENABLED"), (allowing(NAME), "DISABLED")])
def test_an_event_is_lost_where_the_queue_or_the_rule_does_not_take_it(
    network: Any, events: Any, policy: str | None, state: str
) -> None:
    """User Guide, "Using resource-based policies for Amazon EventBridge", "Amazon SQS permissions"."""
    listener = Listener(network.cloud, events, policy)
    listener.listen({"source": ["aws.ec2"]}, State=state)
    instance = network.run(InstanceMarketOptions={"MarketType": "spot"})
    network.cloud.control("POST", f"/instances/{instance}/interruption", {})
    assert listener.heard() == []


def test_who_waits_for_a_lifecycle_hook_is_told_of_it(network: Any, autoscaling: Any, events: Any) -> None:
    """Auto Scaling User Guide, "EventBridge event reference for lifecycle hooks", "Warm pool event types"."""
    listener = Listener(network.cloud, events, allowing(NAME))
    listener.listen({"source": ["aws.autoscaling"], "detail": {"AutoScalingGroupName": [{"suffix": "odes"}]}})
    hooks = [
        {
            "LifecycleHookName": name,
            "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{name.upper()}",
            "NotificationMetadata": "x",
        }
        for name in ("launching", "terminating")
    ]
    network.template()
    network.auto_scaling_group(autoscaling, MinSize=0, MaxSize=1, DesiredCapacity=0, LifecycleHookSpecificationList=hooks)
    named = {"AutoScalingGroupName": "nodes"}
    autoscaling.put_warm_pool(**named)

    def told(hook: str) -> tuple[str, str]:
        """Where an instance comes from and goes; its hook is answered by the token that the event has."""
        (event,) = network.cloud.eventually(listener.heard)
        detail, kind = event["detail"], {"launching": "launch", "terminating": "terminate"}[hook]
        assert event["detail-type"] == f"EC2 Instance-{kind} Lifecycle Action"
        assert (detail["LifecycleHookName"], detail["NotificationMetadata"]) == (hook, "x")
        answer = {"LifecycleActionResult": "CONTINUE", "LifecycleActionToken": detail["LifecycleActionToken"]}
        autoscaling.complete_lifecycle_action(**named, LifecycleHookName=hook, **answer)
        return detail["Origin"], detail["Destination"]

    assert told("launching") == ("EC2", "WarmPool")
    autoscaling.set_desired_capacity(**named, DesiredCapacity=1)
    assert told("launching") == ("WarmPool", "AutoScalingGroup")
    autoscaling.put_warm_pool(**named, MaxGroupPreparedCapacity=0)
    network.wait_for(autoscaling, 1)
    autoscaling.set_desired_capacity(**named, DesiredCapacity=0)
    assert told("terminating") == ("AutoScalingGroup", "EC2")
