"""The matcher, against what IAM's documentation says of its language."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.rights.policy import Ask, Policy, Statement, wild, wild_arn

CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/staging"
SERVICE = "arn:aws:ecs:eu-west-1:123456789012:service/staging/app"


def policy(*statements: dict[str, Any]) -> Policy:
    usual = {"Sid": "S", "Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*"}
    return Policy.from_json(json.dumps({"Statement": [usual | s for s in statements]}))


def allows(condition: dict[str, Any], **context: tuple[str, ...]) -> bool:
    named = {key.replace("__", ":"): values for key, values in context.items()}
    ask = Ask("ecs:ListTasks", "*", named)
    return policy({"Condition": condition}).allowing(ask) is not None


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("a*", "a", True),
        ("a*", "ab:c/d", True),
        ("*", "", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a.c", "abc", False),
        ("a", "A", False),
        ("a*c", "ab", False),
        ("a*", "a\nb", True),
    ],
)
def test_a_star_is_any_text_and_a_question_mark_one_character(
    pattern: str, value: str, fits: bool
) -> None:
    assert wild(pattern, value) is fits


def test_the_parts_of_an_arn_are_compared_one_by_one() -> None:
    assert wild_arn("arn:aws:ecs:*:123456789012:cluster/*", CLUSTER)
    assert not wild_arn("arn:aws:ecs:*:cluster/staging", CLUSTER)
    assert not wild_arn("*", CLUSTER)


def test_an_action_fits_in_any_case_and_a_resource_in_its_own_only() -> None:
    written = policy({"Action": ["ECS:Update*"], "Resource": [SERVICE]})
    assert written.allowing(Ask("ecs:UpdateService", SERVICE))
    assert not written.allowing(Ask("ecs:UpdateService", SERVICE.upper()))
    assert not written.allowing(Ask("ecs:UpdateService", SERVICE + "2"))
    assert not written.allowing(Ask("ecs:DeleteService", SERVICE))


@pytest.mark.parametrize(
    ("resource", "fits"),
    [
        ("arn:aws:ecs:*:123456789012:service/staging/app", True),
        ("arn:aws:ecs:eu-west-1:123456789012:service/*", True),
        ("arn:aws:ecs:eu-west-1:123456789012:service/st?ging/*p", True),
        ("arn:aws:ecs:eu-west-1:123456789012:*", True),
        ("arn:aws:ecs:eu-*:service/staging/app:*", False),
    ],
)
def test_a_wildcard_of_a_resource_stays_within_its_part_of_the_arn(
    resource: str, fits: bool
) -> None:
    asked = Ask("ecs:UpdateService", SERVICE)
    assert (policy({"Action": "ecs:*", "Resource": resource}).allowing(asked) is not None) is fits


def test_a_call_on_no_resource_is_allowed_by_a_star_alone() -> None:
    assert policy({}).allowing(Ask("ecs:ListTasks", "*"))
    assert not policy({"Resource": SERVICE}).allowing(Ask("ecs:ListTasks", "*"))


def test_nothing_is_allowed_that_is_not_written_and_a_denial_is_above_all() -> None:
    assert not Policy(()).allowing(Ask("ecs:ListTasks", "*"))
    assert not policy({}, {"Effect": "Deny", "Action": "ecs:*"}).allowing(Ask("ecs:ListTasks", "*"))


def test_a_condition_holds_for_the_value_that_it_names() -> None:
    assert allows({"ArnEquals": {"ecs:cluster": CLUSTER}}, ecs__cluster=(CLUSTER,))
    assert allows({"ArnEquals": {"ECS:Cluster": [CLUSTER]}}, ecs__cluster=(CLUSTER,))
    assert not allows({"ArnEquals": {"ecs:cluster": CLUSTER}}, ecs__cluster=(CLUSTER + "2",))
    assert not allows({"StringEquals": {"ecs:cluster": "*"}}, ecs__cluster=(CLUSTER,))
    assert allows({"StringLike": {"ecs:cluster": "*"}}, ecs__cluster=(CLUSTER,))


def test_a_key_that_is_not_supplied_fails() -> None:
    assert not allows({"ArnEquals": {"ecs:cluster": CLUSTER}})
    assert not allows({"ForAnyValue:StringEquals": {"ecs:cluster": CLUSTER}})


def test_for_all_values_each_one_must_fit_and_none_fits_too() -> None:
    condition = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["memory"]}}
    assert allows(condition, dynamodb__LeadingKeys=("memory",))
    assert not allows(condition, dynamodb__LeadingKeys=("memory", "settings"))
    assert allows(condition)


def test_every_condition_must_hold() -> None:
    both = {"StringEquals": {"a:one": "1", "a:two": "2"}}
    assert allows(both, a__one=("1",), a__two=("2",))
    assert not allows(both, a__one=("1",), a__two=("3",))


@pytest.mark.parametrize(
    "statement",
    [
        {"NotAction": "ecs:*"},
        {"NotResource": "*"},
        {"Principal": "*"},
        {"Condition": {"NumericLessThan": {"a:b": "1"}}},
        {"Condition": {"StringEqualsIfExists": {"a:b": "1"}}},
        {"Resource": "${aws:username}"},
        {"Resource": "arn:aws:ecs:*"},
        {"Resource": "arn:aws:*:eu-west-1:123456789012:service/staging/app"},
        {"Resource": "arn:aws:ecs:eu-west-1:123456789012:serv*/staging/app"},
    ],
)
def test_what_is_not_understood_raises(statement: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not understood"):
        policy(statement).allowing(Ask("ecs:ListTasks", "*", {"a:b": ("1",)}))


def test_what_a_policy_grants_is_listed_by_purpose() -> None:
    written = {"Sid": "A", "Effect": "Allow", "Action": ["s:a", "s:b"], "Resource": "*"}
    assert Policy((Statement.of(written),)).granted() == {("A", "s:a"), ("A", "s:b")}
