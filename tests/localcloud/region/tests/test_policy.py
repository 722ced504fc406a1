"""The policy evaluator, statement by statement (IAM JSON policy reference)."""

import json
from typing import Any

import pytest

from ..errors import Unimplemented
from ..policy import ALLOW, DENY, Question, decide


def ask(
    statement: dict[str, Any], action: str = "s3:GetObject", resource: str = "arn:aws:s3:::b/k", **context: Any
) -> str | None:
    document = json.dumps({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", **statement}})
    keys = {key.replace("__", ":").replace("_", "/").lower(): value for key, value in context.items()}
    return decide([document], Question(action, resource, ["arn:aws:iam::1:role/a"], keys))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Action": "s3:Get*"}, ALLOW),
        ({"Action": "S3:getobject"}, ALLOW),
        ({"Action": "s3:Get?bject"}, ALLOW),
        ({"Action": "s3:Get?"}, None),
        ({"Action": ["ec2:*", "s3:PutObject"]}, None),
        ({"Resource": "arn:aws:s3:::b/*"}, ALLOW),
        ({"Resource": "arn:aws:s3:::B/*"}, None),
        ({"Resource": "arn:aws:s3:::b/?"}, ALLOW),
        ({"Resource": "arn:aws:s3:::b.k"}, None),
        ({"Effect": "Deny"}, DENY),
        ({"Principal": "*"}, ALLOW),
        ({"Principal": {"AWS": "arn:aws:iam::1:role/a"}}, ALLOW),
        ({"Principal": {"AWS": ["arn:aws:iam::1:role/b"]}}, None),
    ],
)
def test_actions_resources_and_principals(statement: dict[str, Any], expected: str | None) -> None:
    """Action names ignore case, resources don't; `*` is any characters, `?` one, a dot is a dot."""
    assert ask(statement) == expected


def test_what_is_excepted_is_not_meant() -> None:
    """NotAction and NotResource: everything else."""
    document = json.dumps({"Statement": [{"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::b/secret*"}]})
    assert decide([document], Question("s3:GetObject", "arn:aws:s3:::b/k")) == ALLOW
    assert decide([document], Question("iam:GetRole", "*")) is None
    assert decide([document], Question("s3:GetObject", "arn:aws:s3:::b/secret-1")) is None


@pytest.mark.parametrize(
    ("operator", "values", "actual", "expected"),
    [
        ("StringEquals", "demo", "demo", ALLOW),
        ("StringEquals", ["a", "demo"], "demo", ALLOW),
        ("StringEquals", "demo", "Demo", None),
        ("StringEquals", "demo", None, None),
        ("StringEqualsIfExists", "demo", None, ALLOW),
        ("StringNotEquals", "demo", "other", ALLOW),
        ("StringNotEquals", "demo", None, ALLOW),
        ("StringNotEquals", ["demo", "other"], "other", None),
        ("StringLike", "demo/*", "demo/a/b", ALLOW),
        ("StringNotLike", "demo/*", "demo/a", None),
        ("Bool", "true", "true", ALLOW),
        ("Bool", "false", True, None),
        ("Null", "true", None, ALLOW),
        ("Null", "false", None, None),
        ("Null", "false", "x", ALLOW),
        ("NumericLessThanEquals", "10", "10", ALLOW),
        ("NumericGreaterThan", "10", "10", None),
        ("ArnLike", "arn:aws:ec2:*:*:instance/i-*", "arn:aws:ec2:us-east-1:1:instance/i-1", ALLOW),
        ("ArnEquals", "arn:aws:ec2:*:instance/i-1", "arn:aws:ec2:us-east-1:1:instance/i-1", None),
        ("IpAddress", "127.0.0.0/8", "127.0.0.1", ALLOW),
        ("NotIpAddress", "127.0.0.0/8", "127.0.0.1", None),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], ALLOW),
        ("ForAllValues:StringEquals", ["a"], ["a", "b"], None),
        ("ForAnyValue:StringEquals", ["a"], ["a", "b"], ALLOW),
    ],
)
def test_conditions(operator: str, values: Any, actual: Any, expected: str | None) -> None:
    """Values are alternatives; an absent key fails, save for negated operators, IfExists and Null."""
    statement = {"Condition": {operator: {"aws:ResourceTag/Cluster": values}}}
    context = {} if actual is None else {"aws__ResourceTag_Cluster": actual}
    assert ask(statement, **context) == expected


def test_all_conditions_must_hold() -> None:
    """Several operators, or several keys of one, are a conjunction."""
    statement = {"Condition": {"StringEquals": {"a:x": "1", "a:y": "2"}, "Bool": {"a:z": "true"}}}
    assert ask(statement, a__x="1", a__y="2", a__z="true") == ALLOW
    assert ask(statement, a__x="1", a__y="3", a__z="true") is None
    assert ask(statement, a__x="1", a__y="2", a__z="false") is None


def test_variables_are_filled_in() -> None:
    """IAM policy elements: variables and tags; without a value the statement doesn't apply."""
    statement = {"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/group}/*"}
    resource = "arn:aws:s3:::b/nodes/x"
    assert ask(statement, resource=resource, aws__PrincipalTag_group="nodes") == ALLOW
    assert ask(statement, resource=resource, aws__PrincipalTag_group="other") is None
    assert ask(statement, resource=resource) is None
    assert ask({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/group, 'nodes'}/*"}, resource=resource) == ALLOW


def test_an_operator_that_nobody_knows_is_not_passed_over() -> None:
    """A condition that is ignored would allow too much."""
    with pytest.raises(Unimplemented):
        ask({"Condition": {"StringSounds": {"a:x": "1"}}}, a__x="1")
