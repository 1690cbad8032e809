"""`explain` says what holds a service, what next and at the earliest when: held against what comes.

Each situation is played in World until it is there. What is then said of it is checked by playing
on from there: what it needs comes about, the ticks go on, and the phase changes at the moment named
and not before; where one need is left out, not at all.
"""

from __future__ import annotations

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

from tests.tools.answers import told, ways_of
from tests.warmkeeper import scenes
from tests.warmkeeper.recorded import recorded, state
from tests.warmkeeper.scenes import (
    SITUATIONS,
    asked_to_sleep,
    asleep,
    awake,
    failed,
    just_woken,
    lingers,
    requests_come,
    starts,
)
from tests.warmkeeper.world import SERVICE_GROUP, SERVICE_RULE, WAKE_RULE, World
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
    "the queues are empty": put(queues={"mail": 0}),
    "every service is there": lambda world: setattr(world.beside["worker"], "exists", True),
    "no traffic is unseen": put(described={}),
    "every healthy target is a task of the service": put(strangers=[]),
    LIVE: let_it_start,
}


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look comes at once, so that what is built twice is the same to the second."""
    monkeypatch.setattr("secrets.randbelow", lambda _: 0)


@dataclass(frozen=True)
class Said:
    """What explain is to say: the next phase, in how many seconds, what it needs, what holds it."""

    phase: Phase
    seconds: float = 0
    needs: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()  # how each begins


WIRED = "the service rule forwards to the target group"
SAID: dict[Callable[[], World], Said] = {
    scenes.requests_come: Said(Phase.DROWSY, 0, (IDLE,), (BUSY,)),
    scenes.just_woken: Said(Phase.DROWSY, 480 - 105, (IDLE,), ("up for 105 s of 480 s", BUSY)),
    scenes.young_and_idle: Said(Phase.DROWSY, 480, (), ("up for",)),
    scenes.pinned: Said(Phase.DROWSY, 90 * 60, (), ("pinned until",)),
    scenes.beaten: Said(Phase.DROWSY, 5 * 60 + 15 - 60, (), ("active beat 60 s ago",)),
    scenes.deployed: Said(Phase.DROWSY, 480 - 120, (), ("deployed 120 s ago",)),
    scenes.deploying: Said(
        Phase.DROWSY, 0, ("the deployment is over",), ("a deployment is in progress",)
    ),
    scenes.protected: Said(
        Phase.DROWSY,
        0,
        ("no task protects itself any more", IDLE),
        ("a task protects itself from scale-in", BUSY),
    ),
    scenes.woken_often: Said(Phase.DROWSY, 3600 - 996, (), ("the 4 wakes of an hour are used up",)),
    scenes.rule_gone: Said(
        Phase.DROWSY,
        0,
        ("the wake rule and the service rule are on the listener",),
        (wk.RULE_MISSING.text,),
    ),
    scenes.member_gone: Said(
        Phase.DROWSY, 0, ("every service is there",), (wk.SERVICE_MISSING.text,)
    ),
    scenes.messages_wait: Said(
        Phase.DROWSY, 0, ("the queues are empty",), ("3 messages in the queues",)
    ),
    scenes.messages_came: Said(Phase.DROWSY, 240, (), ("messages in a queue 60 s ago",)),
    scenes.alarm_gone: Said(
        Phase.DROWSY, 0, ("the idle alarm is there", IDLE), (wk.IDLE_ALARM_MISSING.text, BUSY)
    ),
    scenes.detached: Said(Phase.DROWSY, 0, (WIRED,), (wk.TARGET_GROUP_DETACHED.text,)),
    scenes.in_awake_hours: Said(Phase.DROWSY, 112 * 60, (), ("awake by the schedule",)),
    scenes.before_awake_hours: Said(Phase.WAKING, 4 * 3600 - 540),
    scenes.in_closed_hours: Said(Phase.DROWSY),
    scenes.asleep_in_closed_hours: Said(Phase.WAKING, 2 * 3600 - 540, ("a request comes",)),
    scenes.unseen_traffic: Said(
        Phase.DROWSY, 0, ("no traffic is unseen",), (wk.UNSEEN_TRAFFIC.text,)
    ),
    scenes.strange_targets: Said(
        Phase.DROWSY,
        0,
        ("every healthy target is a task of the service",),
        (wk.STRANGE_TARGETS.text,),
    ),
    scenes.several_reasons: Said(
        Phase.DROWSY,
        20 * 60,
        ("no task protects itself any more", IDLE),
        ("pinned until", "active beat", "a task protects itself from scale-in", BUSY),
    ),
    scenes.task_died: Said(Phase.WAKING, 0, (), (BUSY,)),
    scenes.set_to_zero: Said(Phase.ASLEEP, 0, (), (BUSY,)),
    scenes.set_to_zero_right_after_a_wake: Said(Phase.ASLEEP, 4, (), ("up for",)),
    scenes.rule_not_taken: Said(Phase.DROWSY, 480 - 2, (), ("up for",)),
    scenes.lingers: Said(Phase.ASLEEP, 58 - 20),
    scenes.asked_to_sleep: Said(Phase.ASLEEP, 58 - 10),
    scenes.drowsy_and_deployed: Said(Phase.AWAKE, 0, (), ("a deployment is in progress",)),
    scenes.drowsy_and_deployed_lately: Said(Phase.AWAKE, 0, (), ("deployed 470 s ago",)),
    scenes.drowsy_rule_down: Said(Phase.ASLEEP, 58),
    scenes.drowsy_task_died: Said(Phase.ASLEEP, 58 - 20),
    scenes.asleep: Said(Phase.WAKING, 0, ("a request comes",)),
    scenes.browser_only: Said(Phase.WAKING, 0, ("the command wake is sent",)),
    scenes.failed: Said(Phase.WAKING, 59, ("a request comes",)),
    scenes.given_up: Said(Phase.WAKING, 0, ("the command wake is sent",)),
    scenes.not_taken: Said(Phase.WAKING, 0, ("a request comes",)),
    scenes.count_raised: Said(Phase.AWAKE, 0),
    scenes.count_raised_no_task_yet: Said(Phase.WAKING, 0),
    scenes.asleep_rule_gone: Said(Phase.WAKING, 5),
    scenes.starts: Said(Phase.AWAKE, 0, (LIVE,)),
    scenes.woken_at_once: Said(Phase.AWAKE, 4, (LIVE,)),
    scenes.pinned_and_does_not_start: Said(Phase.AWAKE, 0, (LIVE,)),
    scenes.count_lost_while_it_starts: Said(Phase.AWAKE, 0, (LIVE,)),
    scenes.not_ours: Said(Phase.AWAKE, 0, (LIVE,)),
    scenes.alarm_path_asleep: Said(Phase.WAKING, 0, ("the wake alarm is in ALARM",)),
    scenes.alarm_path_called: Said(Phase.WAKING, 180),
    scenes.nothing_remembered: Said(Phase.AWAKE),
}


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
    assert len(SAID) > 20
    assert set(SAID) == set(SITUATIONS)
    assert {build().phase() for build in SITUATIONS} == set(Phase)


@pytest.mark.parametrize(
    ("build", "said"), SAID.items(), ids=lambda it: getattr(it, "__name__", "")
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


def test_every_guard_has_a_situation_and_what_no_time_ends_a_need() -> None:
    found: dict[str, set[str]] = {guard.check.__name__: set() for guard in wk.GUARDS}
    for build in SITUATIONS:
        seen, config, now = forecast.read(told(build()))
        case = wk.Case(seen, seen.memory, wk.Signal(Kind.TICK), config, now)
        for guard in wk.GUARDS:
            blocker = guard.check(case)
            if blocker and blocker.until > now:
                code = blocker.code if blocker.until == math.inf else "ends by itself"
                found[guard.check.__name__].add(code)
    assert [name for name, codes in found.items() if not codes] == []
    endless = {code for codes in found.values() for code in codes} - {"ends by itself"}
    assert endless == set(forecast.NEEDS)


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

    at: float
    names: frozenset[str]
    phase: Phase = Phase.AWAKE
    more: Part | None = None


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    by_name: Mapping[str, Part]
    anything: Any


def test_every_shape_that_an_observation_may_have_is_read_as_it_was_written() -> None:
    moment = 1732449600.000005
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
