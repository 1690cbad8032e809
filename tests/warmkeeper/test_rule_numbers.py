"""Rule numbers: somebody else's hands on the listener, in each phase, with the real warmkeeper.

Whatever was done there ends in the right state (asleep, and a request is heard) or in up and told.
Never asleep and deaf. The wake rule, when it goes up, goes before no rule that is not ours.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from warmkeeper import Kind, Phase

from tests.warmkeeper.scenes import asleep, awake, drowsy, follow, waking
from tests.warmkeeper.world import (
    BALANCING,
    CONTROL_RULE,
    FOREIGN_RULE,
    SERVICE_RULE,
    WAKE_RULE,
    World,
    route,
    routes,
)

WEBSOCKET_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l1/r-websocket"
NEW_WAKE_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l1/r-wake-2"
UPDATE = {"command": "terraform", "tf": {"action": "update", "prev_input": {}}}
Trouble = Callable[[World], object]


def take(world: World, *numbers: int) -> None:
    """Somebody's rules on these numbers; who stands there already has gone elsewhere before."""
    free = {arn: n for arn, n in world.rules.items() if n not in numbers}
    world.rules = free | {f"{FOREIGN_RULE}-{number}": number for number in numbers}


def number_is_taken(world: World) -> None:
    """The number of the wake rule, up; where it stands there itself, the one that is next to it."""
    take(world, 12 if world.rules[WAKE_RULE] != 12 else 11)


def swap(world: World, one: str, other: str) -> None:
    world.rules |= {one: world.rules[other], other: world.rules[one]}


def replace_the_wake_rule(world: World) -> None:
    """As Terraform does where a rule has to be replaced: gone, made anew at the end, and told."""
    del world.rules[WAKE_RULE]
    world.minutes(1)  # meanwhile
    world.rules[NEW_WAKE_RULE] = max(world.rules.values()) + 1
    world.environment |= routes(this=route(wake_rule=NEW_WAKE_RULE))
    world.invoke(UPDATE)


HARMLESS: dict[str, Trouble] = {
    "the number that the wake rule counts on is taken": number_is_taken,
    "the parked number is taken": lambda w: take(w, 30_010 + (w.rules[WAKE_RULE] == 30_010)),
    "somebody's rules come before ours": lambda w: take(w, 1, 2, 3),
    "the service rule is moved to the end": lambda w: w.rules.update({SERVICE_RULE: 49_999}),
    "the wake rule and the service rule change places": lambda w: swap(w, WAKE_RULE, SERVICE_RULE),
    "the wake rule is moved to the front": lambda w: w.rules.update({WAKE_RULE: 1}),
    "the wake rule is moved to the end": lambda w: w.rules.update({WAKE_RULE: 50_000}),
    "the control rule is deleted": lambda w: w.rules.pop(CONTROL_RULE),
    "Terraform replaces the wake rule": replace_the_wake_rule,
}
GRAVE: dict[str, Trouble] = {
    "the wake rule is deleted": lambda w: w.rules.pop(WAKE_RULE),
    "the service rule is deleted": lambda w: w.rules.pop(SERVICE_RULE),
    "the service rule is moved to the very front": lambda w: w.rules.update({SERVICE_RULE: 1}),
    "the service rule is moved before ours": lambda w: w.rules.update({SERVICE_RULE: 5}),
}
PHASES = [awake, drowsy, asleep, waking]


def wake_rule(world: World) -> int:
    return world.rules[world.routes[0].wake_rule_arn]


def begin(phase: Callable[..., World], problem: Trouble) -> World:
    """In the phase, with nobody coming, and then the problem."""
    world = phase()
    world.alarm = "ALARM"
    world.notices.clear()
    problem(world)
    return world


def overtaken(world: World) -> list[int]:
    """The numbers of other people's rules between the wake rule, up, and the service rule."""
    between = range(wake_rule(world), world.rules[SERVICE_RULE])
    return [
        number for arn, number in world.rules.items() if number in between and FOREIGN_RULE in arn
    ]


def in_the_way(world: World) -> bool:
    """Whether requests come to the warmkeeper instead of the service."""
    return {WAKE_RULE, SERVICE_RULE} <= world.rules.keys() and world.rule_up


@pytest.mark.parametrize("problem", HARMLESS.values(), ids=list(HARMLESS))
@pytest.mark.parametrize("phase", PHASES)
def test_where_there_is_a_place_for_the_rule_it_sleeps_and_is_woken_by_a_request(
    phase: Callable[..., World], problem: Trouble
) -> None:
    world = begin(phase, problem)
    for _ in range(30):
        world.minutes(1)
        assert world.desired > 0 or world.rule_up, "nobody would hear a request"
    assert world.phase() is Phase.ASLEEP
    assert overtaken(world) == []
    world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    assert world.desired == 1


@pytest.mark.parametrize("problem", GRAVE.values(), ids=list(GRAVE))
@pytest.mark.parametrize("phase", PHASES)
def test_where_there_is_none_it_is_up_and_served_by_its_own_rule_and_somebody_is_told(
    phase: Callable[..., World], problem: Trouble
) -> None:
    world = begin(phase, problem)
    world.minutes(30)
    assert world.desired == 1
    assert not in_the_way(world)
    assert any("needs attention" in notice for notice in world.notices)
    told = len(world.notices)
    world.minutes(30)
    assert world.desired == 1
    assert len(world.notices) == told, "once is enough"


@pytest.mark.parametrize("phase", PHASES)
def test_a_rule_that_comes_before_the_service_rule_is_not_overtaken(
    phase: Callable[..., World],
) -> None:
    world = begin(phase, lambda w: take(w, 98))
    world.minutes(1)
    assert not world.rule_up or overtaken(world) == []
    world.minutes(30)
    assert world.phase() is Phase.ASLEEP
    assert world.rules[WAKE_RULE] == 99
    world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE


@pytest.mark.parametrize("phase", PHASES)
def test_where_a_newcomer_leaves_no_place_it_is_up_and_somebody_is_told(
    phase: Callable[..., World],
) -> None:
    world = begin(phase, lambda w: take(w, 99))
    world.minutes(30)
    assert world.desired == 1
    assert not in_the_way(world)
    assert any("needs attention: no rule number is free" in notice for notice in world.notices)
    told = len(world.notices)
    world.minutes(120)
    assert len(world.notices) == told


@pytest.mark.parametrize("phase", PHASES)
def test_when_the_trouble_is_over_it_sleeps_and_wakes_as_ever(phase: Callable[..., World]) -> None:
    world = begin(phase, GRAVE["the service rule is moved to the very front"])
    world.minutes(30)
    world.rules[SERVICE_RULE] = 100
    world.minutes(30)
    assert world.phase() is Phase.ASLEEP
    world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE


@pytest.mark.parametrize(("taken", "stands"), [((), 13), ((13,), 99), ((13, 98), 99)])
def test_behind_a_websocket_rule_the_wake_rule_stands_wherever_its_number_is_taken(
    taken: tuple[int, ...], stands: int
) -> None:
    world = awake()
    world.rules[WEBSOCKET_RULE] = 12
    own = (CONTROL_RULE, WEBSOCKET_RULE)
    world.environment |= routes(this=route(own_rules=own, rule_priority=13))
    world.alarm = "ALARM"
    take(world, *taken)
    world.minutes(30)
    assert world.phase() is Phase.ASLEEP
    assert wake_rule(world) == stands
    world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE


def test_a_wake_rule_that_is_up_makes_room_for_a_websocket_rule_of_a_higher_number() -> None:
    """As where `rule_priority` was changed together with the switch, of a sleeping service."""
    world = asleep()
    assert wake_rule(world) == 12
    world.rules[WEBSOCKET_RULE] = 22
    own = (CONTROL_RULE, WEBSOCKET_RULE)
    world.environment |= routes(this=route(own_rules=own, rule_priority=23))
    world.invoke(UPDATE)
    assert wake_rule(world) == 23
    assert world.phase() is Phase.ASLEEP
