"""No order of calls breaks a promise, and the checker finds the orders that would."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Applied, Case, Decision, Memory, Phase, Reconciler

from tests import figures
from tests.model.checker import PROGRAMS, Bounds, Checker, Result, total
from tests.warmkeeper import scenes
from tests.warmkeeper.scenes import OTHER_ESTATES, beginning, wait, world_of
from tests.warmkeeper.world import World

THOROUGH = bool(os.environ.get("MODEL"))  # wider bounds, which take hours
ONE_JUMP = (5.0,)
JUMPS = (0.9, 2.0, *ONE_JUMP) if THOROUGH else ONE_JUMP


# --- where explorations begin ------------------------------------------------------------------
def fresh(**changes: Any) -> World:
    """A World in which a held client is one that comes again."""
    environment = {"HOLD_SECONDS": "0", **changes.pop("environment", {})}
    return world_of(environment=environment, **changes)


# The count was raised during the linger: it is remembered only when it is taken.
ASLEEP = (*scenes.COUNT_RAISED, scenes.fall_asleep, wait(100))
WAKING = (*ASLEEP, scenes.ask)
NEARLY_LIVE = (*WAKING, wait(8))  # of 10 s
RULE_UP = (*WAKING, scenes.become_live, scenes.let_through_without_moving)
PAST_ITS_DEADLINE = (*WAKING, wait(scenes.AFTER_THE_DEADLINE_SECONDS))
SCENES = {
    "awake": beginning(fresh, scenes.IDLE),
    "drowsy": beginning(fresh, scenes.COUNT_RAISED),
    "drowsy, tasks live at once": beginning(fresh, scenes.COUNT_RAISED, boot=0.0),
    "asleep": beginning(fresh, ASLEEP),
    "asleep, tasks live at once": beginning(fresh, ASLEEP, boot=0.0),
    "waking": beginning(fresh, NEARLY_LIVE),
    "awake, rule up": beginning(fresh, RULE_UP),
    # two seconds before its tasks serve
    "waking, past its deadline": beginning(fresh, PAST_ITS_DEADLINE, boot=303.0),
}
# Estates of other kinds, where they begin to fall asleep and where they are about to wake.
SCENES |= {
    f"{kind}, {name}": beginning(fresh, scene, **world)
    for kind, world in OTHER_ESTATES.items()
    for name, scene in (("drowsy", scenes.COUNT_RAISED), ("waking", NEARLY_LIVE))
}


def near_hours(kind: str, edge: str, scene: scenes.Scene) -> Callable[[], World]:
    """The scene two seconds before awake or closed hours begin or end."""

    def make() -> World:
        world = beginning(fresh, scene)()
        minute = math.ceil((world.time + 2) / 60) * 60
        world.time = minute - 2.0
        span = (minute, minute + 3600) if edge == "begin" else (minute - 3600, minute)
        times = [time.strftime("%H:%M", time.gmtime(at)) for at in span]
        hours = {kind: [f"{','.join(wk.DAYS)} {'-'.join(times)}"]}
        world.environment["SCHEDULE"] = json.dumps({"zone": "UTC", "rule": "UTC0", **hours})
        return world

    return make


HOURS = {
    f"{kind} hours {edge}, {name}": near_hours(kind, edge, scene)
    for kind, edge, name, scene in (
        ("closed", "begin", "awake", scenes.IDLE),
        ("closed", "begin", "drowsy", scenes.COUNT_RAISED),
        ("closed", "begin", "waking", NEARLY_LIVE),
        ("closed", "end", "drowsy", scenes.COUNT_RAISED),
        ("closed", "end", "asleep", ASLEEP),
        ("awake", "begin", "drowsy", scenes.COUNT_RAISED),
        ("awake", "begin", "asleep", ASLEEP),
        ("awake", "end", "awake", scenes.IDLE),
    )
}
SCENES |= HOURS
# Not adopted yet: of somebody else's targets nothing may be put out of service.
STRANGERS = {"strangers": ["10.9.9.9"]}
UNKNOWN = {
    "a service that runs": beginning(fresh, ()),
    "instance targets": beginning(fresh, (), target_type="instance"),
    "a service at 0 whose target group is somebody else's": beginning(
        fresh, (), desired=0, **STRANGERS
    ),
    "a service that cannot start, whose target group is somebody else's": beginning(
        fresh, (), starts=False, **STRANGERS
    ),
}

# --- what is explored --------------------------------------------------------------------------
# Estates of other kinds: what differs is how a target is told from another.
OTHERS = [name for name in SCENES if name.startswith(tuple(OTHER_ESTATES))]
ELSEWHERE = {*OTHERS, *HOURS}  # explored by tests of their own
# Where tasks are live at once, more can go wrong than in its twin.
SHARP = [name for name in SCENES if name not in ("drowsy", "asleep", *ELSEWHERE)]
BEGINNINGS = [name for name in SCENES if name not in ELSEWHERE] if THOROUGH else SHARP
LARGE = ("two members", "two routes")  # wider bounds take more memory than most machines have
SECONDS = ("client 2", "tick 2")  # stand beside their likes alone


def together(number: int) -> list[tuple[str, ...]]:
    """All sets of so many processes that differ."""
    return [
        names
        for names in itertools.combinations(PROGRAMS, number)
        if not any(name in SECONDS and f"{name[:-1]}1" not in names for name in names)
    ]


PAIRS = together(2)
# Those that give, those that take, and what comes in between from outside.
RACES = [
    ("client 1", "tick 1"),
    ("client 1", "idle alarm"),
    ("client 1", "client 2"),
    ("client 1", "poll"),
    ("tick 1", "tick 2"),
    ("tick 1", "beat"),
    ("tick 1", "wake"),
]
TRIPLES = [
    ("client 1", "client 2", "tick 1"),
    ("client 1", "tick 1", "tick 2"),
    ("client 1", "tick 1", "poll"),
    ("client 1", "tick 1", "deployment begins"),
    ("client 1", "tick 1", "count set to 0"),
    ("client 1", "tick 1", "task dies"),
]
# One that gives, one that takes, and whoever else may come.
EVERY_TRIPLE = [
    names
    for names in together(3)
    if {"client 1", "wake"} & {*names} and {"tick 1", "idle alarm", "sleep"} & {*names}
]


def once(view: Callable[..., Any]) -> Callable[..., Any]:
    """Reads each answer once: the program begins anew for every node, with the same answers."""
    seen: dict[int, tuple[object, Any]] = {}

    def remembered(answer: object, *more: object) -> Any:
        if id(answer) not in seen:  # the answer is kept, so that no other one gets its id
            seen[id(answer)] = answer, view(answer, *more)
        return seen[id(answer)][1]

    return remembered


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Thousands of log lines would say nothing; collecting garbage costs most of the time."""
    monkeypatch.setattr(wk, "log", lambda **_: None)
    for view in ("service_view", "task_view", "rule_view"):
        monkeypatch.setattr(wk, view, once(getattr(wk, view)))
    gc.disable()
    yield
    gc.enable()


def check(what: str, scene: str, sets: Sequence[tuple[str, ...]], *bounds: Bounds) -> None:
    """Explore each set of processes from this scene within each of the bounds."""
    checker = Checker((SCENES | UNKNOWN)[scene]())
    found: dict[str, Result] = {}
    for names in sets:
        for bound in bounds:
            found[f"{scene}: {', '.join(names)}, {bound}"] = checker.explore(names, bound)
    counts = total(found)
    print(f"{scene}: {len(found)} explorations, {dict(counts)}")
    figures.record("model", f"{what}, {scene}", {"explorations": len(found), **counts})
    broken = [f"{name}: {v}" for name, r in found.items() for v in r.violations.values()]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("scene", BEGINNINGS)
def test_pairs_in_every_order(scene: str) -> None:
    if THOROUGH:
        later = Bounds(clock=1, late=1, deaths=1, jumps=JUMPS)
        check("pairs", scene, PAIRS, later, Bounds(clock=0, late=1, stale=2, deaths=1))
    else:
        stale = Bounds(clock=0, late=1, stale=1)
        check("pairs", scene, PAIRS, Bounds(clock=0, late=1, deaths=1), stale)


@pytest.mark.parametrize("scene", BEGINNINGS)
def test_pairs_that_race_while_time_passes(scene: str) -> None:
    check("races", scene, RACES, Bounds(clock=1, late=1, jumps=JUMPS, slow=THOROUGH))


@pytest.mark.parametrize("scene", OTHERS)
def test_estates_of_other_kinds(scene: str) -> None:
    wide = THOROUGH and not scene.startswith(LARGE)
    sets = RACES if wide else [("client 1", "tick 1"), ("client 1", "poll"), ("tick 1", "wake")]
    if scene == "two members, drowsy":  # the largest of all
        sets = sets[:1]
    check("others", scene, sets, Bounds(clock=1, late=1, jumps=JUMPS if wide else ONE_JUMP))


@pytest.mark.parametrize("scene", HOURS)
def test_hours_that_begin_and_end_between_two_calls(scene: str) -> None:
    sets = RACES if THOROUGH else [("client 1", "tick 1"), ("tick 1", "wake")]
    check("hours", scene, sets, Bounds(clock=1, late=1, jumps=JUMPS))


@pytest.mark.parametrize("scene", UNKNOWN)
def test_an_adoption_whose_policy_is_late(scene: str) -> None:
    check(
        "a late policy", scene, [("adopt",)], Bounds(clock=1, late=1, denied=2 if THOROUGH else 1)
    )
    beside = [("adopt", "tick 1"), ("adopt", "idle alarm")]
    check("a late policy, others beside", scene, beside, Bounds(clock=0, late=0, denied=1))


@pytest.mark.parametrize("scene", SHARP)
def test_triples(scene: str) -> None:
    if THOROUGH:
        check("triples", scene, EVERY_TRIPLE, Bounds(clock=0, late=1, switches=3))
        timed = Bounds(clock=1, late=1, switches=3, jumps=JUMPS)
        check("triples while time passes", scene, TRIPLES, timed)
    else:
        check("triples", scene, TRIPLES, Bounds(clock=0, late=1, switches=2))


# --- orders that are broken on purpose ---------------------------------------------------------
Patch = pytest.MonkeyPatch


def rule_after_count(patch: Patch) -> None:
    """The count goes to 0 first, and then the rule goes up."""
    awake = Case.awake

    def at_once(case: Case) -> Decision:
        decision = awake(case)
        sleeps = decision.memory and decision.memory.phase is Phase.DROWSY
        return dataclasses.replace(case.to_asleep("idle"), rule=None) if sleeps else decision

    patch.setattr(Case, "awake", at_once)


def no_fence(patch: Patch) -> None:
    """A wake does not wait for what was taken."""
    patch.setattr(wk, "FENCE_SECONDS", 0.0)


def running_taken_for_live(patch: Patch) -> None:
    """A task that runs is believed to serve."""
    patch.setattr(wk.Aws, "targets", lambda _, tasks, *__: wk.Targets(tasks, (), strangers=False))


def unconditional_write(patch: Patch) -> None:
    """Whoever writes, wins."""

    def write(aws: wk.Aws, memory: Memory) -> Memory:
        written = dataclasses.replace(memory, version=memory.version + 1)
        item = {"id": {"S": "memory"}, "version": {"N": str(written.version)}}
        body = json.dumps(dataclasses.asdict(written))
        item |= {"phase": {"S": memory.phase}, "body": {"S": body}}
        values: dict[str, Any] = {}
        if not hasattr(aws, "step"):  # the scene is set by an honest one
            values = {":read": {"N": str(memory.version)}}
        put = aws.client("dynamodb").put_item
        put(TableName="staging", Item=item, ExpressionAttributeValues=values)
        return written

    patch.setattr(wk.Aws, "write_memory", write)


def remembered_afterwards(patch: Patch) -> None:
    """The count is remembered when it is taken already."""
    enter, apply = Case.enter, Reconciler.apply

    def forgetful(case: Case, phase: Phase, because: str, **changes: Any) -> Memory:
        memory = enter(case, phase, because, **changes)
        known = case.memory.counts if phase is Phase.ASLEEP else memory.counts
        return dataclasses.replace(memory, counts=known)

    def late(keeper: Reconciler, decision: Decision, last_take_at: float) -> Applied:
        before = keeper.aws.services() if decision.scale_to_zero else ()
        done = apply(keeper, decision, last_take_at)
        if before:
            counts = {service.member: service.desired for service in before}
            memory = keeper.aws.read_memory()
            keeper.aws.write_memory(dataclasses.replace(memory, counts=counts))
        return done

    patch.setattr(Case, "enter", forgetful)
    patch.setattr(Reconciler, "apply", late)


def taken_however_late(patch: Patch) -> None:
    """A call that takes starts whenever it comes to it."""
    patch.setattr(wk, "TAKE_START_SECONDS", 3600.0)


def open_by_any_member(patch: Patch) -> None:
    """The wake rules go down as soon as one member serves."""
    patch.setattr(wk.Observation, "open", property(lambda seen: bool(seen.live)))


LATE = Bounds(clock=1, late=1)
BROKEN: list[tuple[Callable[[Patch], None], str, tuple[str, ...], Bounds]] = [
    (rule_after_count, "awake", ("tick 1", "client 1"), LATE),
    (
        no_fence,
        "drowsy, tasks live at once",
        ("client 1", "tick 1", "poll"),
        Bounds(0, 1, switches=3),
    ),
    (running_taken_for_live, "asleep", ("client 1", "poll"), LATE),
    (unconditional_write, "drowsy", ("client 1", "tick 1"), LATE),
    (remembered_afterwards, "drowsy", ("client 1", "tick 1"), Bounds(clock=0, deaths=1)),
    (open_by_any_member, "two members, waking", ("client 1", "poll"), LATE),
    (
        taken_however_late,
        "drowsy, tasks live at once",
        ("client 1", "tick 1", "poll"),
        Bounds(1, 0, switches=3),
    ),
]


@pytest.mark.parametrize(("broken", "scene", "names", "bounds"), BROKEN)
def test_a_broken_order_is_found(
    broken: Callable[[Patch], None],
    scene: str,
    names: tuple[str, ...],
    bounds: Bounds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SCENES[scene]()
    broken(monkeypatch)
    result = Checker(world).explore(names, bounds, stop=True)
    print(result.states, *result.violations.values(), sep="\n")
    told = {"states": result.states, "found": list(result.violations)}
    figures.record("model", f"broken, {broken.__name__}", {"order": broken.__doc__, **told})
    assert result.violations
