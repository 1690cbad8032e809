"""A memory of another form is not read: the service is adopted anew, and nobody is harmed.

Terraform replaces the function's code in whatever phase its service is. memories/*.json are the
items that version 0.3.0 wrote, in each phase; they have no number of a form.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Kind, Memory, Phase

from tests.warmkeeper.recorded import request
from tests.warmkeeper.world import (
    CONTROL_RULE,
    ENVIRONMENT,
    FOREIGN_RULE,
    SERVICE_RULE,
    WAKE_RULE,
    World,
    route,
    routes,
)

FOLDER = Path(__file__).parent / "memories"
NAMES = sorted(file.stem for file in FOLDER.glob("*.json"))
WRITTEN = {  # the phase that 0.3.0 wrote
    "adopted": Phase.AWAKE,
    "awake": Phase.AWAKE,
    "drowsy": Phase.DROWSY,
    "drowsy_asked": Phase.DROWSY,
    "asleep": Phase.ASLEEP,
    "asleep_after_a_failed_wake": Phase.ASLEEP,
    "asleep_not_taken": Phase.ASLEEP,  # the call that takes the count has failed
    "waking": Phase.WAKING,
}
AT_ZERO = ("asleep", "asleep_after_a_failed_wake")
ADOPTED = {  # the phase in which the next look finds it
    name: Phase.ASLEEP if name in AT_ZERO else Phase.AWAKE for name in WRITTEN
} | {"waking": Phase.WAKING}
UPDATE = {"command": "terraform", "tf": {"action": "update"}}
COMES: dict[str, Any] = {
    "the update": UPDATE,
    "a tick": {"source": "aws.events", "detail-type": "Scheduled Event"},
    "a request": request(),
}


def item(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def body(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(item(name)["body"]["S"])
    return found


def world(name: str, *, after: float = 1.0) -> World:
    """AWS as 0.3.0 left it, some seconds after the last thing that the item tells."""
    wrote = body(name)
    made = World(
        desired=0 if name in AT_ZERO else 2,
        items={"memory": item(name)},
        environment={**ENVIRONMENT, "AWAKE_COUNT": "3"},
    )
    made.time = max(wrote["since"], wrote["beat"], wrote["stamp"]) + after
    made.rules |= {SERVICE_RULE: 100, WAKE_RULE: 30_010 if wrote["phase"] == "awake" else 12}
    if wrote["wake"]:
        for task in made.tasks:
            task.created = wrote["wake"]["given"]
    return made


def test_there_is_a_memory_of_every_phase() -> None:
    assert set(NAMES) == set(WRITTEN)
    assert set(WRITTEN.values()) == set(Phase)
    assert {name: Phase(body(name)["phase"]) for name in NAMES} == WRITTEN
    assert not any("form" in body(name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_of_another_form_only_the_version_is_read(name: str) -> None:
    for form in ({}, {"form": wk.FORM + 1}):
        other = {**item(name), "body": {"S": json.dumps(body(name) | form)}}
        read = Memory.from_item(other, 5.0)
        assert not read.adopted
        assert read == Memory(body(name)["version"], Phase.AWAKE, 5.0, form=0)


@pytest.mark.parametrize("event", COMES.values(), ids=COMES)
@pytest.mark.parametrize("name", NAMES)
def test_the_next_event_adopts_it_as_aws_shows_it(name: str, event: Any) -> None:
    outside = world(name)
    outside.invoke(event)
    asked_for = event == COMES["a request"]  # which is held until it is awake
    assert outside.phase() is (Phase.AWAKE if asked_for else ADOPTED[name])
    assert outside.memory.adopted
    assert outside.memory.version > body(name)["version"]
    assert not any("outside" in notice for notice in outside.notices)
    assert outside.did("count 0") == 0
    assert outside.desired == (2 if name not in AT_ZERO else 3 if asked_for else 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_adoption_fails_where_the_earlier_version_has_written_once_more(name: str) -> None:
    outside = world(name)
    read = outside.memory
    later = item(name) | {"version": {"N": str(read.version + 1)}}
    outside.items["memory"] = later
    assert outside.aws().write_memory(replace(read, form=wk.FORM)) is None
    assert outside.items["memory"] == later


@pytest.mark.parametrize("name", NAMES)
def test_a_request_is_served_afterwards(name: str) -> None:
    outside = world(name)
    answer, hops = outside.invoke(request()), 1
    while outside.rule_up:
        assert answer["statusCode"] == 307
        answer, hops = outside.invoke(request()), hops + 1
        assert hops < 10
    assert outside.phase() is Phase.AWAKE
    assert outside.desired == (3 if name in AT_ZERO else 2)
    assert any(outside.healthy(task) for task in outside.running())


@pytest.mark.parametrize("name", NAMES)
def test_with_ticks_alone_it_sleeps_again_and_wakes(name: str) -> None:
    outside = world(name)
    outside.alarm = "ALARM"
    outside.minutes(12)
    assert (outside.phase(), outside.desired, outside.rule_up) == (Phase.ASLEEP, 0, True)
    outside.signal(Kind.REQUEST, arrived=outside.time)
    assert outside.desired == (3 if name in AT_ZERO else 2)


def the_count(outside: World) -> Callable[[], None]:
    return lambda: outside.set_desired(0)


@pytest.mark.parametrize("lands_after", [1.0, 3.0, 4.9])
@pytest.mark.parametrize("event", [*COMES.values(), {"command": "wake"}], ids=[*COMES, "wake"])
def test_a_count_that_the_earlier_version_takes_late_meets_no_rule_that_is_down(
    event: Any, lands_after: float
) -> None:
    outside = world("asleep_not_taken", after=0.5)  # half a second ago it announced that it takes
    outside.landing.append((outside.time - 0.5 + lands_after, the_count(outside)))
    for moment in range(40):
        outside.land()
        assert outside.desired > 0 or outside.rule_up, "nobody would hear a request"
        outside.invoke(COMES["a tick"] if moment % 5 else event)
        outside.time += 0.5


def test_what_another_code_of_the_same_form_adds_to_a_memory_is_passed_over() -> None:
    outside = World()
    outside.signal(Kind.ADOPT)
    stored = outside.items["memory"]
    later = copy.deepcopy(stored)
    later["body"]["S"] = json.dumps(json.loads(stored["body"]["S"]) | {"groups": {"app": 1}})
    assert Memory.from_item(later, 0.0) == Memory.from_item(stored, 0.0)


@pytest.mark.parametrize("name", ["drowsy", "asleep", "waking"])
def test_after_another_rule_priority_the_wake_rule_does_not_stand_before_the_control_rule(
    name: str,
) -> None:
    outside = world(name)
    outside.rules[CONTROL_RULE] = 20  # Terraform has moved it, and leaves the wake rule at 12
    outside.environment |= routes(this=route(rule_priority=22))
    answer = outside.invoke(UPDATE)
    assert answer["phase"] == ADOPTED[name]
    assert outside.rules == {CONTROL_RULE: 20, WAKE_RULE: 22, SERVICE_RULE: 100}


def test_an_update_moves_no_rule_that_stands_right() -> None:
    for name in NAMES:
        outside = world(name)
        before = dict(outside.rules)
        outside.invoke(UPDATE)
        assert outside.rules == before
        assert [what for _, what in outside.calls if what.startswith("rule")] == []


def test_where_the_wake_rule_cannot_make_room_the_update_succeeds_awake_and_told() -> None:
    outside = world("asleep")
    outside.rules |= {CONTROL_RULE: 20, FOREIGN_RULE: 99}
    outside.invoke(UPDATE)
    assert "needs attention: no rule number is free" in outside.notices[-1]
    outside.minutes(1)
    assert outside.phase() is Phase.WAKING
