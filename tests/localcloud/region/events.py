"""EventBridge's rules on the default bus, and their targets: who may have which names, patterns and tags; the rules are moto's.

Facts are from the EventBridge API Reference (API_<action>) and the User Guide, unless something else is said. Of AWS's own
events the region makes those of spot instances, of instances' states and of lifecycle hooks (`tell`); others are put
(PutEvents).
"""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from moto.events.models import EventsBackend, Rule

from . import sqs
from .actions import action, check
from .errors import AwsError, Unimplemented
from .filters import paginate
from .policy import ALLOW, Question, decide
from .resources import Resource, resource
from .services import service
from .state import Region, now

Params = dict[str, Any]
NAME = re.compile(r"[.\-_A-Za-z0-9]{1,64}")
LONGEST_PATTERN = 2048
TARGETS_OF_A_RULE = 5
TAG_LIMIT = 50
LISTED_AT_ONCE = 100


def _backend(region: Region) -> EventsBackend:
    return region.backend("events")


def rules(region: Region) -> dict[str, Rule]:
    """The rules by name."""
    return _backend(region).event_buses["default"].rules


def _arn(region: Region, name: str) -> str:
    return f"arn:aws:events:{region.name}:{region.account}:rule/{name}"


def _named_otherwise(region: Region, params: Params) -> Iterator[str]:
    if params.get("ResourceARN"):
        yield params["ResourceARN"].rpartition("/")[2]


def _tags(region: Region, name: str) -> dict[str, str]:
    return _backend(region).tagger.get_tag_dict_for_resource(_arn(region, name))


def _absent(kind: Resource | None = None, name: str = "") -> AwsError:
    return AwsError("ResourceNotFoundException", f"Rule {name} does not exist on EventBus default.")


service("events", regional=True, unseen=_absent)
RULE = resource(
    "events",
    "rule",
    inventory=("eventRules", rules),
    parameters=("Name", "Rule"),
    named_otherwise=_named_otherwise,
    arn=_arn,
    tags=_tags,
    created_by=("PutRule",),
    name_parameter="Name",
    not_found="ResourceNotFoundException",
    lists={"Rules": "Name"},
)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


@check("events")
def check_bus(region: Region, params: Params, action: str) -> None:
    """There is the default bus alone."""
    if params.get("EventBusName") not in (None, "default"):
        raise Unimplemented("other event buses than the default one")


@action("events", "PutRule")
def put_rule(region: Region, params: Params) -> dict[str, Any]:
    """Makes a rule, or another one of its name that keeps its targets and tags: "If you are updating an existing rule, any tags
    you specify in the PutRule operation are ignored" (API_PutRule)."""
    check_bus(region, params, "PutRule")
    name, pattern, tags = params.get("Name") or "", params.get("EventPattern"), params.get("Tags") or []
    if not NAME.fullmatch(name):
        raise _invalid(f"Value '{name}' at 'name' failed to satisfy constraint: at most 64 of [.-_A-Za-z0-9]")
    if not pattern or params.get("ScheduleExpression"):
        raise Unimplemented("rules without a pattern")
    _check_pattern(pattern)
    present = name in rules(region)
    if not present:
        _check_tags({tag["Key"]: tag["Value"] for tag in tags})
    rule = _backend(region).put_rule(
        name,
        description=params.get("Description"),
        event_pattern=pattern,
        role_arn=params.get("RoleArn"),
        state=params.get("State"),
        tags=None if present else tags,
    )
    return {"RuleArn": rule.arn}


def _check_pattern(pattern: str) -> None:
    """An object whose leaves are lists, none of them empty (User Guide, "Creating Amazon EventBridge event patterns")."""
    if len(pattern) > LONGEST_PATTERN:
        raise AwsError("LimitExceededException", f"Event pattern has more than {LONGEST_PATTERN} characters.")
    try:
        found = json.loads(pattern)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not _fits(found):
        raise AwsError("InvalidEventPatternException", "Event pattern is not valid.")


def _fits(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(_fits(one) for one in value.values())
    return isinstance(value, list) and bool(value)


def _check_tags(tags: dict[str, str]) -> None:
    if len(tags) > TAG_LIMIT:
        raise _invalid(f"A rule has at most {TAG_LIMIT} tags.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise _invalid(f"The tag {key} is not valid.")


@action("events", "ListRules")
def list_rules(region: Region, params: Params) -> dict[str, Any]:
    """By the beginning of the name, which moto takes for a regular expression."""
    check_bus(region, params, "ListRules")
    prefix = params.get("NamePrefix") or ""
    rows = [rule.describe() for name, rule in sorted(rules(region).items()) if name.startswith(prefix)]
    return paginate("Rules", rows, {**params, "MaxResults": params.get("Limit") or LISTED_AT_ONCE})


@check("events", "PutTargets")
def check_targets(region: Region, params: Params, action: str) -> None:
    """User Guide, "Amazon EventBridge quotas": five targets. What a target is isn't looked at; a missing one loses events."""
    name = params.get("Rule") or ""
    if name not in rules(region):
        raise _absent(name=name)
    ids = {target["Id"] for target in [*rules(region)[name].targets, *(params.get("Targets") or [])]}
    if len(ids) > TARGETS_OF_A_RULE:
        raise AwsError("LimitExceededException", "The requested resource exceeds the maximum number allowed.")


@check("events", "TagResource")
def check_new_tags(region: Region, params: Params, action: str) -> None:
    name = params["ResourceARN"].rpartition("/")[2]
    new = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
    _check_tags({**_tags(region, name), **new})


def tell(region: Region, source: str, kind: str, detail: dict[str, Any], resources: list[str]) -> None:
    """An event of AWS's own, for the rules that it fits (User Guide, "Events from AWS services")."""
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": region.account,
        "time": f"{now():%Y-%m-%dT%H:%M:%SZ}",
        "region": region.name,
        "resources": resources,
        "detail": detail,
    }
    for rule in rules(region).values():
        if rule.state == "ENABLED" and rule.event_pattern.matches_event(event):
            for target in rule.targets:
                _deliver(region, rule, target["Arn"], event)


def _deliver(region: Region, rule: Rule, target: str, event: dict[str, Any]) -> None:
    """To a queue whose policy lets the rule; what can't be delivered is lost (User Guide, "Resource-based policies")."""
    service_name, name = target.split(":")[2], target.rpartition(":")[2]
    if service_name != "sqs":
        region.journal.record_unimplemented("events", "tell", f"the target {target} of the rule {rule.name}")
        return
    queue = sqs.queues(region).get(name)
    # EventBridge's own requests are encrypted.
    context = {"aws:sourcearn": rule.arn, "aws:securetransport": "true"}
    asked = Question("sqs:SendMessage", target, ["events.amazonaws.com"], context)
    if queue and queue.policy and decide([queue.policy], asked) == ALLOW:
        region.backend("sqs").send_message(name, json.dumps(event))
