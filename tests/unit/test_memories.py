"""Memories that an earlier version wrote (memories/*.json, by v0.1.0) are read, and it goes on.

Terraform replaces the code of a function in whatever phase its service is.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from warmkeeper import Kind, Memory, Phase

from tests.unit.recorded import request
from tests.unit.world import CONTROL_RULE, SERVICE_RULE, WAKE_RULE, World

FOLDER = Path(__file__).parent / "memories"
NAMES = sorted(file.stem for file in FOLDER.glob("*.json"))
PHASES = {
    "adopted": Phase.AWAKE,
    "awake": Phase.AWAKE,
    "drowsy": Phase.DROWSY,
    "drowsy_asked": Phase.DROWSY,
    "asleep": Phase.ASLEEP,
    "asleep_after_a_failed_wake": Phase.ASLEEP,
    "waking": Phase.WAKING,
}


def item(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def body(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(item(name)["body"]["S"])
    return found


def world(name: str) -> World:
    """AWS as the memory left it, ten seconds after the last thing that it tells of."""
    wrote = body(name)
    asleep = wrote["phase"] == "asleep"
    made = World(desired=0 if asleep else 2, items={"memory": item(name)})
    made.time = max(wrote["since"], wrote["beat"], wrote["stamp"]) + 10
    made.rules |= {SERVICE_RULE: 100, WAKE_RULE: 30_010 if wrote["phase"] == "awake" else 12}
    if wrote["phase"] == "waking":
        for task in made.tasks:
            task.created = wrote["wake"]["given"]
    return made


def test_there_is_a_memory_of_every_phase() -> None:
    assert set(NAMES) == set(PHASES)
    assert set(PHASES.values()) == set(Phase)


@pytest.mark.parametrize("name", NAMES)
def test_all_that_a_memory_holds_is_read(name: str) -> None:
    wrote, read = body(name), world(name).memory
    assert isinstance(read, Memory)
    assert (read.phase, read.version) == (PHASES[name], int(item(name)["version"]["N"]))
    for field in ("since", "ready", "stamp", "counts", "beat", "pinned_until", "asked_to_sleep"):
        assert getattr(read, field) == wrote[field]
    for field in ("failures", "failure", "retry_at", "trouble"):
        assert getattr(read, field) == wrote[field]
    assert list(read.wakes) == wrote["wakes"]
    assert (read.wake is None) == (wrote["wake"] is None)
    if read.wake:
        assert {field: getattr(read.wake, field) for field in wrote["wake"]} == wrote["wake"]


@pytest.mark.parametrize("name", NAMES)
def test_the_update_itself_keeps_the_phase(name: str) -> None:
    outside = world(name)
    outside.time -= 9  # within a second, as far as can be: a wake is not over yet
    answer = outside.invoke({"command": "terraform", "tf": {"action": "update"}})
    assert answer["phase"] == PHASES[name]
    assert outside.notices == []
    assert [what for _, what in outside.calls if what.startswith("count 0")] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_request_is_served_afterwards(name: str) -> None:
    outside = world(name)
    outside.time = max(outside.time, body(name)["retry_at"])
    answer, hops = outside.invoke(request()), 1
    while outside.rule_up:
        assert answer["statusCode"] == 307
        answer, hops = outside.invoke(request()), hops + 1
        assert hops < 10
    assert outside.phase() is Phase.AWAKE
    assert outside.desired == 2
    assert any(outside.healthy(task) for task in outside.running())


def test_a_sleeping_one_wakes_to_the_count_that_the_earlier_version_remembered() -> None:
    outside = world("asleep")
    outside.signal(Kind.WAKE)
    assert outside.desired == body("asleep")["counts"]["app"] == 2


def test_the_pause_after_a_failed_wake_lasts_as_long_as_was_said() -> None:
    outside, name = world("asleep_after_a_failed_wake"), "asleep_after_a_failed_wake"
    assert outside.invoke(request())["statusCode"] == 503
    assert outside.desired == 0
    outside.time = body(name)["retry_at"]
    outside.signal(Kind.REQUEST, arrived=outside.time)
    assert outside.desired == 2


def test_a_pin_and_a_beat_of_the_earlier_version_hold() -> None:
    outside, wrote = world("awake"), body("awake")
    outside.alarm = "ALARM"
    outside.minutes(int(wrote["pinned_until"] - outside.time) // 60)
    assert outside.phase() is Phase.AWAKE
    outside.minutes(2)
    assert outside.phase() is not Phase.AWAKE


@pytest.mark.parametrize("name", ["drowsy", "drowsy_asked"])
def test_a_drowsy_one_goes_on_to_sleep(name: str) -> None:
    outside = world(name)
    outside.alarm = "ALARM" if name == "drowsy" else "OK"
    outside.minutes(2)
    assert (outside.phase(), outside.desired) == (Phase.ASLEEP, 0)


def test_a_wake_under_way_ends_with_its_whole_cold_start() -> None:
    outside = world("waking")
    outside.signal(Kind.POLL)
    began = body("waking")["wake"]["began"]
    assert outside.phase() is Phase.AWAKE
    assert outside.memory.wakes[-1]["seconds"] == pytest.approx(outside.time - began, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_later_version_adds_to_a_memory_is_passed_over(name: str) -> None:
    later = copy.deepcopy(body(name)) | {"groups": {"app": 1}}
    if later["wake"]:
        later["wake"]["order"] = ["app"]
    read = Memory.from_json(int(later["version"]), json.dumps(later))
    assert read == Memory.from_json(int(later["version"]), json.dumps(body(name)))


@pytest.mark.parametrize("name", ["drowsy", "asleep", "waking"])
def test_after_another_rule_priority_the_wake_rule_does_not_stand_before_the_control_rule(
    name: str,
) -> None:
    outside = world(name)
    outside.time -= 9
    outside.rules[CONTROL_RULE] = 20  # Terraform has moved it, and leaves the wake rule at 12
    outside.environment |= {"RULE_PRIORITY": "22"}
    answer = outside.invoke({"command": "terraform", "tf": {"action": "update"}})
    assert answer["phase"] == PHASES[name]
    assert outside.rules == {CONTROL_RULE: 20, WAKE_RULE: 22, SERVICE_RULE: 100}


def test_an_update_moves_no_rule_that_stands_right() -> None:
    for name in NAMES:
        outside = world(name)
        outside.time -= 9
        before = dict(outside.rules)
        outside.invoke({"command": "terraform", "tf": {"action": "update"}})
        assert outside.rules == before
        assert [what for _, what in outside.calls if what.startswith("rule")] == []


def test_where_the_wake_rule_cannot_make_room_the_update_succeeds_awake_and_told() -> None:
    outside = world("asleep")
    outside.rules |= {CONTROL_RULE: 20, "somebody-s": 99}
    outside.invoke({"command": "terraform", "tf": {"action": "update"}})
    assert "needs attention: no rule number is free" in outside.notices[-1]
    outside.minutes(1)
    assert outside.phase() is Phase.WAKING
