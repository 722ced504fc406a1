"""Evaluation of IAM policies (IAM User Guide, "Policy evaluation logic" and "IAM JSON policy reference")."""

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import Unimplemented

Context = dict[str, Any]
Statement = dict[str, Any]
ALLOW, DENY = "Allow", "Deny"


@dataclass
class Question:
    """May this principal do this action on this resource, in this context? Context keys are lower case."""

    action: str
    resource: str
    principal_arns: list[str] = field(default_factory=list)
    context: Context = field(default_factory=dict)


def decide(documents: list[str], question: Question) -> str | None:
    """Deny when a statement denies, Allow when one allows, None when nothing applies."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in _many(json.loads(document).get("Statement", []))
        if _applies(statement, question)
    }
    return DENY if DENY in effects else ALLOW if ALLOW in effects else None


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _applies(statement: Statement, question: Question) -> bool:
    return (
        _action_applies(statement, question.action)
        and _resource_applies(statement, question)
        and _principal_applies(statement, question.principal_arns)
        and all(
            _condition_holds(operator, key, _many(values), question.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _action_applies(statement: Statement, action: str) -> bool:
    wanted = _many(statement.get("Action", statement.get("NotAction", [])))
    hit = any(like(pattern.lower(), action.lower()) for pattern in wanted)
    return hit if "Action" in statement else not hit


def _resource_applies(statement: Statement, question: Question) -> bool:
    patterns = _many(statement.get("Resource", statement.get("NotResource", ["*"])))
    known = [_substitute(pattern, question.context) for pattern in patterns]
    hit = any(pattern is not None and like(pattern, question.resource) for pattern in known)
    return not hit if "NotResource" in statement else hit


def _principal_applies(statement: Statement, arns: list[str]) -> bool:
    """A policy of a principal names none; that of a bucket says whom it is about."""
    if "Principal" not in statement and "NotPrincipal" not in statement:
        return True
    named = statement.get("Principal", statement.get("NotPrincipal"))
    hit = named == "*" or any(
        one == "*" or one in arns for value in (named.values() if isinstance(named, dict) else []) for one in _many(value)
    )
    return hit if "Principal" in statement else not hit


def like(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern in which `*` is any characters and `?` is one."""
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, text, re.DOTALL) is not None


def _substitute(text: str, context: Context) -> str | None:
    """Fills in policy variables; None when one has no value, and the statement so can't apply."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name = match.group(1)
        if name in ("*", "?", "$"):
            return name
        name, _, default = name.partition(",")
        known = context.get(name.strip().lower())
        if known is None and not default:
            missing = True
            return ""
        return str(known) if known is not None else default.strip().strip("'")

    filled = re.sub(r"\$\{([^}]+)\}", value, text)
    return None if missing else filled


def _condition_holds(operator: str, key: str, wanted: list[Any], context: Context) -> bool:
    quantifier, _, rest = operator.rpartition(":")
    name = rest.removesuffix("IfExists")
    present = context.get(key.lower())
    if name == "Null":
        return any(str(value).lower() == str(present is None).lower() for value in wanted)
    negated, test = _operator(name)
    if present is None:
        return rest.endswith("IfExists") or negated or quantifier == "ForAllValues"
    patterns = [filled for value in wanted if (filled := _substitute(_text(value), context)) is not None]

    def fits(actual: Any) -> bool:
        hit = any(test(pattern, _text(actual)) for pattern in patterns)
        return not hit if negated else hit

    combine = all if quantifier == "ForAllValues" or (negated and not quantifier) else any
    return combine(fits(actual) for actual in _many(present))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda wanted, actual: compare(float(actual), float(wanted))


def _date(compare: Callable[[datetime, datetime], bool]) -> Callable[[str, str], bool]:
    return lambda wanted, actual: compare(datetime.fromisoformat(actual), datetime.fromisoformat(wanted))


def _arn_like(wanted: str, actual: str) -> bool:
    """Each of the six parts of an ARN is compared for itself."""
    patterns, parts = wanted.split(":", 5), actual.split(":", 5)
    return len(patterns) == len(parts) and all(like(pattern, part) for pattern, part in zip(patterns, parts, strict=True))


def _in_network(wanted: str, actual: str) -> bool:
    return ipaddress.ip_address(actual) in ipaddress.ip_network(wanted, strict=False)


TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, actual: wanted == actual,
    "StringEqualsIgnoreCase": lambda wanted, actual: wanted.lower() == actual.lower(),
    "StringLike": like,
    "Bool": lambda wanted, actual: wanted.lower() == actual.lower(),
    "NumericEquals": _number(lambda a, b: a == b),
    "NumericLessThan": _number(lambda a, b: a < b),
    "NumericLessThanEquals": _number(lambda a, b: a <= b),
    "NumericGreaterThan": _number(lambda a, b: a > b),
    "NumericGreaterThanEquals": _number(lambda a, b: a >= b),
    "DateLessThan": _date(lambda a, b: a < b),
    "DateGreaterThan": _date(lambda a, b: a > b),
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "IpAddress": _in_network,
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
}


def _operator(name: str) -> tuple[bool, Callable[[str, str], bool]]:
    if name in TESTS:
        return False, TESTS[name]
    if name in NEGATED:
        return True, TESTS[NEGATED[name]]
    raise Unimplemented(f"the IAM condition operator {name}")
