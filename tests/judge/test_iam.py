"""The matcher of policies (tests/rights/policy.py) against iam-simulate, which others wrote.

The questions are of the kind that the module's role and its calls ask: real actions, resources with
wildcards, conditions on ARNs, on texts and on lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import judged
from tests.judge import process
from tests.rights.policy import Ask, Policy

EXAMPLES = 600
ECS = "arn:aws:ecs:eu-west-1:123456789012:"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:"


@dataclass(frozen=True)
class Kind:
    """Actions on a kind of resource, with the condition keys that they have and possible values."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    keys: dict[str, tuple[str, ...]]


TASK_DEFINITIONS = tuple(f"{ECS}task-definition/{name}" for name in ("web:1", "web:12"))
CLUSTERS = tuple(f"{ECS}cluster/{name}" for name in ("staging", "staging-2"))
SERVICES = tuple(f"{ECS}service/{name}" for name in ("staging/web", "staging/web2", "live/web"))
KINDS = (
    Kind(
        ("ecs:UpdateService", "ecs:DescribeServices"),
        SERVICES,
        {"ecs:cluster": CLUSTERS, "aws:PrincipalTag/team": ("web", "Web", "we*")},
    ),
    Kind(
        ("dynamodb:GetItem", "dynamodb:PutItem"),
        (f"{TABLE}staging", f"{TABLE}staging-2"),
        {"dynamodb:LeadingKeys": ("memory", "settings", "held")},
    ),
    Kind(("sqs:GetQueueUrl",), (f"{QUEUE}mail", f"{QUEUE}mail.fifo"), {}),
)
LISTS = {"dynamodb:LeadingKeys"}
OPERATORS = ("StringEquals", "StringLike", "ArnEquals", "ArnLike")
QUANTIFIERS = ("", "ForAllValues:", "ForAnyValue:")


@pytest.fixture(scope="module")
def simulator() -> Iterator[process.Process]:
    with process.running("iam.cjs") as running:
        yield running


@st.composite
def wildcards(draw: st.DrawFn, texts: tuple[str, ...]) -> str:
    """One of these texts, often with parts of it replaced by * or ?."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + draw(st.sampled_from(("*", "?"))) + text[end:]
    return text


@st.composite
def arns(draw: st.DrawFn, texts: tuple[str, ...]) -> str:
    """One of these ARNs, often with wildcards in the region, the account or the rest.

    What comes before the first separator of the rest, its type, has none: AWS calls that incorrect.
    """
    parts = draw(st.sampled_from(texts)).split(":", 5)
    for part in (3, 4):
        if not draw(st.integers(0, 3)):
            parts[part] = draw(wildcards((parts[part],)))
    type_, rest = re.fullmatch(r"(\w[\w-]*[/:]|)(.*)", parts.pop()).groups()  # type: ignore[union-attr]
    return ":".join([*parts, type_ + draw(wildcards((rest,)))])


def resource_patterns(kind: Kind) -> st.SearchStrategy[str]:
    return st.one_of(arns(kind.resources), st.just("*"))


@st.composite
def conditions(draw: st.DrawFn, kind: Kind) -> dict[str, dict[str, list[str]]]:
    made: dict[str, dict[str, list[str]]] = {}
    if not kind.keys:
        return made
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from(sorted(kind.keys)))
        values = kind.keys[key]
        operators = OPERATORS if values[0].startswith("arn:") else OPERATORS[:2]
        operator = draw(st.sampled_from(operators))
        if key in LISTS:
            operator = draw(st.sampled_from(QUANTIFIERS[1:])) + operator
        wanted = arns(values) if operator.startswith("Arn") else wildcards(values)
        name = draw(st.sampled_from((key, key.upper(), key.lower())))
        made.setdefault(operator, {})[name] = draw(st.lists(wanted, min_size=1, max_size=2))
    return made


@st.composite
def statements(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    action = draw(st.one_of(st.sampled_from(kind.actions), wildcards(kind.actions)))
    service, _, name = action.partition(":")
    prefix = kind.actions[0].partition(":")[0]
    return {
        "Sid": "S",
        "Effect": draw(st.sampled_from(("Allow", "Allow", "Allow", "Deny"))),
        "Action": [f"{prefix if service != prefix or not name else service}:{name or '*'}"],
        "Resource": draw(st.lists(resource_patterns(kind), min_size=1, max_size=2, unique=True)),
        "Condition": draw(conditions(kind)),
    }


@st.composite
def contexts(draw: st.DrawFn, kind: Kind) -> dict[str, tuple[str, ...]]:
    made = {}
    for key, values in kind.keys.items():
        if draw(st.integers(0, 3)):
            given = st.lists(st.sampled_from(values), min_size=1, max_size=3 if key in LISTS else 1)
            made[key] = tuple(draw(given))
    return made


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[dict[str, Any]], Ask]:
    kind = draw(st.sampled_from(KINDS))
    ask = Ask(
        draw(st.sampled_from(kind.actions)),
        draw(st.sampled_from(kind.resources)),
        draw(contexts(kind)),
    )
    return draw(st.lists(statements(kind), min_size=1, max_size=3)), ask


def simulated(simulator: process.Process, written: list[dict[str, Any]], ask: Ask) -> bool:
    """What iam-simulate says; ValueError for a question that it does not take."""
    context = {key: list(got) if key in LISTS else got[0] for key, got in ask.context.items()}
    said = simulator.ask(
        {
            # a Sid has to be one of its own
            "policy": {
                "Version": "2012-10-17",
                "Statement": [{**each, "Sid": f"S{n}"} for n, each in enumerate(written)],
            },
            "action": ask.action,
            "resource": ask.resource,
            "context": context,
        }
    )
    if "refused" in said:
        raise ValueError(f"{said['refused']}: {written}")
    assert said["passed_over"] == [], "the key is not one of the action's"
    return bool(said["allowed"])


def test_the_matcher_answers_as_iam_simulate(
    simulator: process.Process, record_property: Callable[[str, object], None]
) -> None:
    answers = {True: 0, False: 0}

    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(questions())
    def agrees(question: tuple[list[dict[str, Any]], Ask]) -> None:
        written, ask = question
        ours = Policy.from_json(json.dumps({"Statement": written})).allowing(ask) is not None
        assert ours is simulated(simulator, written, ask)
        answers[ours] += 1

    agrees()
    assert min(answers.values()) > EXAMPLES // 10, "questions of one answer judge nothing"
    judged.say(
        record_property,
        "iam-simulate",
        f"iam-simulate {process.node_version('@cloud-copilot/iam-simulate')}",
        "the matcher of policies in tests/rights, by random questions",
        f"{answers[True]} allowed, {answers[False]} refused, as by ours",
    )
