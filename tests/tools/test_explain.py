"""`explain` says what holds a service, what next and at the earliest when: held against what comes.

Each situation is played in World until it is there. What is then said of it is checked by playing
on from there: what it needs comes about, the ticks go on, and the phase changes at the moment named
and not before; where one need is left out, not at all.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Kind, Phase

from tests.warmkeeper.recorded import recorded, state
from tests.warmkeeper.test_phases import (
    ALARM_PATH,
    asleep,
    awake,
    drowsy,
    fail_again,
    failed,
    follow,
    not_taken,
    waking,
)
from tests.warmkeeper.world import ENVIRONMENT, SERVICE_GROUP, SERVICE_RULE, WAKE_RULE, World
from tools import forecast, package
from tools.command import CommandError
from tools.forecast import LIVE, Forecast

IDLE = "the idle alarm is in ALARM"
BUSY = "the idle alarm is not in ALARM"
FINE_SECONDS = 130  # so far ahead, a tick every second; further, every minute
SIGNALS = {words: kind for kind, words in forecast.SIGNALS.items()}


def put(**changes: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        for name, value in changes.items():
            setattr(world, name, value)

    return change


def let_it_start(world: World) -> None:
    world.starts, world.boot = True, 0.0
    world.set_desired(world.desired)


# How what is needed comes about.
COMES: dict[str, Callable[[World], object]] = {
    IDLE: lambda world: put(alarm=world.alarm and "ALARM")(world),
    "the idle alarm is there": put(alarm="OK"),
    "the deployment is over": put(deploying=False),
    "no task protects itself any more": put(protected=False),
    "the service rule forwards to the target group": put(forwards_to=SERVICE_GROUP),
    "the wake rule and the service rule are on the listener": lambda world: world.rules.update(
        {SERVICE_RULE: 100, WAKE_RULE: 30_010}
    ),
    LIVE: let_it_start,
}


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look comes at once, so that what is built twice is the same to the second."""
    monkeypatch.setattr("secrets.randbelow", lambda _: 0)


# --- the situations ----------------------------------------------------------------------------
def requests_come() -> World:
    return awake()


def just_woken() -> World:
    world = waking()
    follow(world, 15)
    world.alarm = "OK"
    world.time += 100
    return world


def young_and_idle() -> World:
    world = World(alarm="ALARM")
    world.signal(Kind.ADOPT)
    return world


def pinned() -> World:
    world = awake(alarm="ALARM")
    world.invoke({"command": "pin", "minutes": 90})
    return world


def beaten() -> World:
    world = awake(alarm="ALARM")
    world.signal(Kind.BEAT, active=True)
    world.time += 60
    return world


def deployed() -> World:
    world = awake(alarm="ALARM")
    world.deployed = world.time - 120
    return world


def deploying() -> World:
    return awake(alarm="ALARM", deploying=True)


def protected() -> World:
    return awake(protected=True)


def woken_often() -> World:
    world = asleep()
    for _ in range(4):
        world.signal(Kind.REQUEST)
        follow(world, 12)
        world.invoke({"command": "sleep"})
        world.minutes(2)
    world.invoke({"command": "wake", "wait": True})
    world.minutes(10)
    assert world.phase() is Phase.AWAKE
    return world


def browser_only() -> World:
    return asleep(environment={**ENVIRONMENT, "WAKE_CONFIRMATION": "browser"})


def rule_gone() -> World:
    world = awake(alarm="ALARM")
    del world.rules[WAKE_RULE]
    world.minutes(1)
    return world


def alarm_gone() -> World:
    return awake(alarm=None)


def detached() -> World:
    return awake(alarm="ALARM", forwards_to="another group")


def several_reasons() -> World:
    world = awake()
    world.protected = True
    world.invoke({"command": "pin", "minutes": 20})
    world.signal(Kind.BEAT, active=True)
    return world


def task_died() -> World:
    world = awake()
    world.tasks[-1].stopped = world.time - 60
    return world


def set_to_zero() -> World:
    world = awake()
    world.time += 3
    world.set_desired(0)
    return world


def set_to_zero_right_after_a_wake() -> World:
    world = waking()
    follow(world, 11)
    assert world.phase() is Phase.AWAKE
    world.set_desired(0)
    return world


def rule_not_taken() -> World:
    world = waking()
    world.failing.add("set_rule_priorities")
    follow(world, 12)
    world.failing.clear()
    assert world.phase() is Phase.AWAKE
    assert world.rule_up
    return world


def lingers() -> World:
    world = drowsy()
    world.time += 20
    return world


def asked_to_sleep() -> World:
    world = awake()
    world.invoke({"command": "sleep"})
    world.time += 10
    return world


def drowsy_and_deployed() -> World:
    world = drowsy()
    world.time += 10
    world.deploying = True
    return world


def drowsy_and_deployed_lately() -> World:
    world = drowsy()
    world.time += 10
    world.deployed = world.time - 470
    return world


def drowsy_rule_down() -> World:
    world = drowsy()
    world.time += 30
    world.rules[WAKE_RULE] = 30_010
    return world


def drowsy_task_died() -> World:
    world = lingers()
    world.tasks[-1].stopped = world.time - 60
    return world


def given_up() -> World:
    world = failed()
    for _ in wk.BACKOFF_SECONDS:
        fail_again(world)
    return world


def count_raised() -> World:
    world = asleep()
    world.set_desired(2)
    world.time += 30
    return world


def count_raised_no_task_yet() -> World:
    world = asleep()
    world.boot = 9000.0
    world.time += 30
    world.set_desired(2)
    return world


def asleep_rule_gone() -> World:
    world = asleep()
    del world.rules[WAKE_RULE]
    return world


def starts() -> World:
    world = waking()
    world.boot = 9000.0
    world.time += 20
    return world


def woken_at_once() -> World:
    world = asleep()
    world.time += 1
    world.signal(Kind.REQUEST)
    world.boot = 9000.0
    return world


def pinned_and_does_not_start() -> World:
    world = waking(starts=True)
    world.starts = False
    world.invoke({"command": "pin", "minutes": 10})
    world.time += 301
    world.signal(Kind.TICK)
    return world


def count_lost_while_it_starts() -> World:
    world = starts()
    world.set_desired(0)
    return world


def not_ours() -> World:
    world = task_died()
    world.boot = 9000.0
    world.signal(Kind.TICK)
    world.time += 400
    world.signal(Kind.TICK)
    assert world.phase() is Phase.WAKING
    return world


def alarm_path_asleep() -> World:
    return asleep(environment=ALARM_PATH)


def alarm_path_called() -> World:
    return asleep(environment=ALARM_PATH, wake_alarm="ALARM")


def service_gone() -> World:
    world = awake()
    world.exists = False
    return world


def nothing_remembered() -> World:
    return World()


@dataclass(frozen=True)
class Said:
    """What explain is to say: the next phase, in how many seconds, what it needs, what holds it."""

    phase: Phase
    seconds: float = 0
    needs: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()  # how each begins


WIRED = "the service rule forwards to the target group"
SITUATIONS: dict[Callable[[], World], Said] = {
    requests_come: Said(Phase.DROWSY, 0, (IDLE,), (BUSY,)),
    just_woken: Said(Phase.DROWSY, 480 - 105, (IDLE,), ("up for 105 s of 480 s", BUSY)),
    young_and_idle: Said(Phase.DROWSY, 480, (), ("up for",)),
    pinned: Said(Phase.DROWSY, 90 * 60, (), ("pinned until",)),
    beaten: Said(Phase.DROWSY, 5 * 60 + 15 - 60, (), ("active beat 60 s ago",)),
    deployed: Said(Phase.DROWSY, 480 - 120, (), ("deployed 120 s ago",)),
    deploying: Said(Phase.DROWSY, 0, ("the deployment is over",), ("a deployment is in progress",)),
    protected: Said(
        Phase.DROWSY,
        0,
        ("no task protects itself any more", IDLE),
        ("a task protects itself from scale-in", BUSY),
    ),
    woken_often: Said(Phase.DROWSY, 3600 - 996, (), ("the 4 wakes of an hour are used up",)),
    rule_gone: Said(
        Phase.DROWSY,
        0,
        ("the wake rule and the service rule are on the listener",),
        (wk.RULE_MISSING.text,),
    ),
    alarm_gone: Said(
        Phase.DROWSY, 0, ("the idle alarm is there", IDLE), (wk.IDLE_ALARM_MISSING.text, BUSY)
    ),
    detached: Said(Phase.DROWSY, 0, (WIRED,), (wk.TARGET_GROUP_DETACHED.text,)),
    several_reasons: Said(
        Phase.DROWSY,
        20 * 60,
        ("no task protects itself any more", IDLE),
        ("pinned until", "active beat", "a task protects itself from scale-in", BUSY),
    ),
    task_died: Said(Phase.WAKING, 0, (), (BUSY,)),
    set_to_zero: Said(Phase.ASLEEP, 0, (), (BUSY,)),
    set_to_zero_right_after_a_wake: Said(Phase.ASLEEP, 4, (), ("up for",)),
    rule_not_taken: Said(Phase.DROWSY, 480 - 2, (), ("up for",)),
    lingers: Said(Phase.ASLEEP, 58 - 20),
    asked_to_sleep: Said(Phase.ASLEEP, 58 - 10),
    drowsy_and_deployed: Said(Phase.AWAKE, 0, (), ("a deployment is in progress",)),
    drowsy_and_deployed_lately: Said(Phase.AWAKE, 0, (), ("deployed 470 s ago",)),
    drowsy_rule_down: Said(Phase.ASLEEP, 58),
    drowsy_task_died: Said(Phase.ASLEEP, 58 - 20),
    asleep: Said(Phase.WAKING, 0, ("a request comes",)),
    browser_only: Said(Phase.WAKING, 0, ("the command wake is sent",)),
    failed: Said(Phase.WAKING, 59, ("a request comes",)),
    given_up: Said(Phase.WAKING, 0, ("the command wake is sent",)),
    not_taken: Said(Phase.WAKING, 0, ("a request comes",)),
    count_raised: Said(Phase.AWAKE, 0),
    count_raised_no_task_yet: Said(Phase.WAKING, 0),
    asleep_rule_gone: Said(Phase.WAKING, 5),
    starts: Said(Phase.AWAKE, 0, (LIVE,)),
    woken_at_once: Said(Phase.AWAKE, 4, (LIVE,)),
    pinned_and_does_not_start: Said(Phase.AWAKE, 0, (LIVE,)),
    count_lost_while_it_starts: Said(Phase.AWAKE, 0, (LIVE,)),
    not_ours: Said(Phase.AWAKE, 0, (LIVE,)),
    alarm_path_asleep: Said(Phase.WAKING, 0, ("the wake alarm is in ALARM",)),
    alarm_path_called: Said(Phase.WAKING, 180),
    nothing_remembered: Said(Phase.AWAKE),
}


def told(world: World) -> dict[str, Any]:
    """The answer to the command, as it arrives: JSON."""
    answer: dict[str, Any] = json.loads(json.dumps(world.invoke(recorded("command_explain"))))
    return answer


def ways_of(answer: dict[str, Any]) -> list[Forecast]:
    """What the tool makes of such an answer."""
    return forecast.forecasts(*forecast.read(answer))


def moments(now: float, at: float) -> Iterator[float]:
    """When a tick comes before `at`: at last a second before it."""
    every = 1 if at - now <= FINE_SECONDS else 60
    yield from (now + seconds for seconds in range(0, math.ceil(at - now) - 1, every))
    if at - 1 >= now:
        yield at - 1


def comes(world: World, needs: tuple[str, ...], *, but: str = "") -> Kind:
    """Let what is needed come about; the signal to play on with."""
    for need in needs:
        if need in COMES and need != but:
            COMES[need](world)
    return next((SIGNALS[need] for need in needs if need in SIGNALS), Kind.TICK)


def play_on(build: Callable[[], World], way: Forecast) -> None:
    """It changes to the phase named, at the moment named and not before."""
    world = build()
    before, at, kind = world.phase(), way.at_earliest, comes(world, way.needs)
    for moment in moments(world.time, at):
        world.time = moment
        world.signal(kind)
        assert world.phase() is before
    world.time = at
    for _ in range(2):  # what is late may have to be put right first
        if world.phase() is before:
            world.signal(kind)
    assert world.phase() is way.phase


def play_without(build: Callable[[], World], way: Forecast, need: str) -> None:
    """Without this need it does not change to that phase from here, wait as long as you like."""
    world = build()
    before = world.phase()
    comes(world, way.needs, but=need)
    while world.time < way.at_earliest + 1200:
        world.signal(Kind.TICK)
        if world.phase() is not before:
            assert world.phase() is not way.phase
            return
        world.time += 60


def test_there_are_more_than_twenty_situations_in_every_phase() -> None:
    assert len(SITUATIONS) > 20
    assert {build().phase() for build in SITUATIONS} == set(Phase)


@pytest.mark.parametrize(
    ("build", "said"), SITUATIONS.items(), ids=lambda it: getattr(it, "__name__", "")
)
def test_what_is_said_of_a_situation_is_what_then_happens(
    build: Callable[[], World], said: Said
) -> None:
    world = build()
    before, now, explained = state(world), world.time, told(world)
    assert state(world) == before
    assert explained["phase"] == (world.phase() if world.memory.version else "unknown")
    ways = ways_of(explained)
    assert (ways[0].phase, ways[0].needs) == (said.phase, said.needs)
    assert ways[0].at_earliest - now == pytest.approx(said.seconds, abs=1)
    texts = [blocker["text"] for blocker in explained["blockers"]]
    for text, begins in zip(texts, said.blockers, strict=True):
        assert text.startswith(begins)
    for way in ways:
        play_on(build, way)
        alone = sum(other.phase is way.phase for other in ways) == 1
        for need in way.needs if alone else ():
            play_without(build, way, need)


@pytest.mark.parametrize("build", SITUATIONS, ids=lambda build: build.__name__)
def test_a_blocker_ends_when_it_is_said_to_and_not_before(build: Callable[[], World]) -> None:
    for blocker in told(build())["blockers"]:
        kind, until = re.split(r"\d", blocker["text"])[0], blocker["until"]
        world = build()
        for moment, held in ((until, False), (until - 1, True)) if until else ((math.inf, True),):
            world.time = min(moment, world.time + 86_400)
            assert any(b["text"].startswith(kind) for b in told(world)["blockers"]) is held
            world = build()


def test_a_service_that_is_gone_comes_to_nothing() -> None:
    world = awake()
    world.exists = False
    explained = told(world)
    assert ways_of(explained) == []
    assert explained["blockers"] == [
        {"code": "service-missing", "text": f"{wk.SERVICE_MISSING.text}: app", "until": None}
    ]


@pytest.mark.parametrize(
    ("build", "because"),
    [
        (awake, "adopted"),
        (just_woken, "live"),
        (lingers, "idle"),
        (asked_to_sleep, "asked to sleep"),
        (asleep, "idle, and nobody came in 60 s"),
        (starts, "woken: request"),
        (failed, "no live target in 300 s: "),
    ],
)
def test_it_says_why_it_is_in_its_phase(build: Callable[[], World], because: str) -> None:
    explained = told(build())
    assert explained["because"].startswith(because)
    assert explained["since"] == build().memory.since


def test_a_memory_without_a_reason_is_explained_too() -> None:
    world = asleep()
    body = json.loads(world.items["memory"]["body"]["S"])
    del body["because"]
    world.items["memory"]["body"]["S"] = json.dumps(body)
    assert told(world)["because"] == ""


@pytest.mark.parametrize("build", SITUATIONS, ids=lambda build: build.__name__)
def test_the_tool_reads_the_very_observation_that_the_function_made(
    build: Callable[[], World],
) -> None:
    world = build()
    warmkeeper = wk.Warmkeeper(world.aws())
    seen = warmkeeper.reconciler.observe(warmkeeper.aws.read_memory(), wk.Signal(Kind.TICK))
    read, config, now = forecast.read(told(world))
    assert (read, config, now) == (seen, warmkeeper.aws.config, world.time)


@dataclass(frozen=True)
class Part:
    """What a typed view of AWS may hold."""

    at: datetime.datetime
    names: frozenset[str]
    phase: Phase = Phase.AWAKE
    more: Part | None = None


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part]
    anything: Any


def test_every_shape_that_an_observation_may_have_is_read_as_it_was_written() -> None:
    moment = datetime.datetime(2026, 11, 24, 12, 0, 0, 5, tzinfo=datetime.UTC)
    part = Part(moment, frozenset({"b", "a"}), Phase.ASLEEP, Part(moment, frozenset()))
    whole = Whole((part,), {"app": part}, {"deployments": [{"createdAt": moment, "count": 1}]})
    assert forecast.rebuilt(Whole, json.loads(json.dumps(wk.as_json(whole)))) == whole


def test_what_begins_after_a_while_and_ends_again_is_forecast_by_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, config, now = forecast.read(told(requests_come()))

    def in_a_window(memory: wk.Memory, at: float) -> wk.Decision:
        begun = now + 7 * 3600 + 11 <= at < now + 8 * 3600
        return wk.Decision("", replace(memory, phase=Phase.DROWSY) if begun else None)

    monkeypatch.setattr(wk, "decide", lambda seen, _, __, at: in_a_window(seen.memory, at))
    way = forecast.forecast(seen, Kind.TICK, config, now, ())
    assert way == Forecast(Phase.DROWSY, now + 7 * 3600 + 11)


def test_what_nothing_ends_is_not_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, config, now = forecast.read(told(requests_come()))
    monkeypatch.setattr(wk, "decide", lambda *_: wk.Decision("never"))
    assert forecast.forecast(seen, Kind.TICK, config, now, ()) is None


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda answer: answer.pop("observation"), "'observation'"),
        (lambda answer: answer["observation"].pop("idle"), "Observation differs in idle"),
        (lambda answer: answer["observation"]["memory"].update(novel=1), "Memory differs in novel"),
        (lambda answer: answer["observation"].update(rule="askew"), "'askew' is not a valid Rule"),
        (lambda answer: answer.update(config=None), "NoneType"),
    ],
)
def test_an_answer_of_another_version_is_refused_with_what_differs_and_what_to_do(
    break_it: Callable[[dict[str, Any]], object], why: str
) -> None:
    answer = told(requests_come())
    break_it(answer)
    with pytest.raises(CommandError, match=re.escape(why)) as refused:
        forecast.read(answer)
    assert "Update the module, or run explain from a clone of the function's version" in str(
        refused.value
    )


def test_the_hash_is_that_of_the_code_in_the_package() -> None:
    with zipfile.ZipFile(package.PACKAGE) as packed:
        code = packed.read("warmkeeper.py")
    assert told(requests_come())["code_sha256"] == hashlib.sha256(code).hexdigest()


@pytest.mark.parametrize("build", SITUATIONS, ids=lambda build: build.__name__)
def test_a_report_only_reads(build: Callable[[], World]) -> None:
    world = build()
    before, calls = state(world), len(world.reads)
    report = json.loads(json.dumps(world.invoke(recorded("command_report"))))
    assert state(world) == before
    assert world.reads[calls:] == ["get_item"]
    assert report["wakes"] == list(world.memory.wakes)
    assert report["estimate_seconds"] == world.memory.estimate()
    assert report["name"] == "staging"
