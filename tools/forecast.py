"""What comes next, and at the earliest when: the warmkeeper's own decide(), asked of later moments.

It starts from what the command `explain` answers: the observation, the settings and the time at
which they were read. It assumes that nothing else happens but what a forecast says it needs.
"""

from __future__ import annotations

import bisect
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from enum import Enum
from typing import Any

import warmkeeper as wk
from warmkeeper import Config, Decision, Kind, Observation, Phase, Rule, Signal

from tools.command import CommandError

# By the code of a blocker that no time ends: what has to come about, and how an observation then
# differs.
NEEDS: dict[str, tuple[str, dict[str, Any]]] = {
    wk.RULE_MISSING.code: (
        "the wake rule and the service rule are on the listener",
        {"rule": Rule.DOWN},
    ),
    wk.SERVICE_MISSING.code: ("every service is there", {"missing": ()}),
    wk.TARGET_GROUP_DETACHED.code: (
        "the service rule forwards to the target group",
        {"wiring_fault": ""},
    ),
    wk.IDLE_ALARM_MISSING.code: ("the idle alarm is there", {"wiring_fault": ""}),
    wk.UNSEEN_TRAFFIC.code: ("no traffic is unseen", {"wiring": {}}),
    wk.STRANGE_TARGETS.code: ("every healthy target is a task of the service", {"wiring": {}}),
    "messages": ("the queues are empty", {"messages": 0}),
    "deploying": ("the deployment is over", {}),  # `fulfilled` ends it in the services
    "protected": ("no task protects itself any more", {"protected": False}),
    "used": ("the idle alarm is in ALARM", {"idle": True}),
}
# Signals other than a tick that may change the phase, and what sends them.
SIGNALS = {
    Kind.REQUEST: "a request comes",
    Kind.WAKE_ALARM: "the wake alarm is in ALARM",
    Kind.WAKE: "the command wake is sent",
    Kind.SLEEP: "the command sleep is sent",
}
LIVE = "a target is live"
HORIZON_SECONDS = 10**8  # longer than the longest pin
STEPS_PER_DISTANCE = 50  # a step is a fiftieth of the time that it lies ahead
MOST_DECISIONS = 10  # of one forecast: what is done first may leave the phase as it is


@dataclass(frozen=True)
class Forecast:
    """The next phase, the epoch second at which it begins at the earliest, and what it needs."""

    phase: Phase
    at_earliest: float
    needs: tuple[str, ...] = ()

    @property
    def by_signal(self) -> bool:
        """Whether somebody or something has to send a signal for it."""
        return not set(self.needs).isdisjoint(SIGNALS.values())


# --- reading the answer --------------------------------------------------------------------------
def rebuilt(kind: Any, value: Any) -> Any:
    """The value of this type of which warmkeeper.as_json made `value`. Raises ValueError."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if differing := sorted(hints.keys() ^ value.keys()):
            raise ValueError(f"{kind.__name__} differs in {', '.join(differing)}")
        return kind(**{name: rebuilt(hints[name], each) for name, each in value.items()})
    origin = typing.get_origin(kind)
    inner = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):  # of one type and None
        (of,) = set(inner) - {types.NoneType}
        return None if value is None else rebuilt(of, value)
    if origin in (tuple, frozenset):
        return origin(rebuilt(inner[0], each) for each in value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if isinstance(value, list):
        return [rebuilt(Any, each) for each in value]
    if not isinstance(value, dict):
        return value
    of = inner[1] if inner else Any
    return {name: rebuilt(of, each) for name, each in value.items()}


def read(answer: Mapping[str, Any]) -> tuple[Observation, Config, float]:
    """Observation, settings and time of an answer to `explain`.

    Raises CommandError where it is not as this clone's code writes it.
    """
    try:
        seen = rebuilt(Observation, answer["observation"])
        config = rebuilt(Config, answer["config"])
        return seen, config, float(answer["now"])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CommandError(
            f"The function runs another version, whose answer cannot be read ({error}). Update the "
            "module, or run explain from a clone of the function's version."
        ) from error


# --- playing forward -----------------------------------------------------------------------------
def afterwards(seen: Observation, decision: Decision) -> Observation:
    """What the next look shows once this is done, if nothing else happens."""
    counts = dict(decision.scale_up) | dict.fromkeys(decision.scale_to_zero, 0)
    services = tuple(replace(s, desired=counts.get(s.name, s.desired)) for s in seen.services)
    suspended = {service.member for service in seen.services if service.name in decision.suspend}
    scaling = {
        member: replace(target, flags=wk.SUSPENDED) if member in suspended else target
        for member, target in (seen.scaling or {}).items()
    }
    memory = decision.memory or seen.memory
    written = replace(memory, version=memory.version + 1)
    moved = decision.rule if seen.rule in (*wk.RULES_UP, Rule.DOWN) else None
    now = replace(seen, memory=written, services=services, rule=moved or seen.rule)
    return now if seen.scaling is None else replace(now, scaling=scaling)


def steps() -> Iterator[int]:
    """Seconds ahead, up to the horizon: each second at first, then in growing steps."""
    ahead = 0
    while ahead < HORIZON_SECONDS:
        yield ahead
        ahead += max(1, ahead // STEPS_PER_DISTANCE)


def decide_at(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    """The decision if AWS is observed then, and shows the same."""
    return wk.decide(replace(seen, began=now), signal, config, now)


def next_act(seen: Observation, signal: Signal, config: Config, now: float) -> float:
    """The first epoch second at which decide() does something about it; infinite for never.

    Something may be done for a while only. A while that is shorter than a step may be missed.
    """

    def acts(ahead: int) -> bool:
        decision = decide_at(seen, signal, config, now + ahead)
        return bool(decision.memory or decision.rule)

    idle = -1  # seconds ahead up to which nothing is done
    for ahead in steps():
        if acts(ahead):
            between = range(idle + 1, ahead)
            return now + idle + 1 + bisect.bisect_left(between, True, key=acts)
        idle = ahead
    return math.inf


def forecast(
    seen: Observation, kind: Kind, config: Config, now: float, needs: tuple[str, ...]
) -> Forecast | None:
    """The phase to which such a signal leads, sent as soon as something is done about it."""
    before = seen.memory
    signal = Signal(kind)
    for _ in range(MOST_DECISIONS):
        now = next_act(seen, signal, config, now)
        if now == math.inf:
            break
        seen = afterwards(seen, decide_at(seen, signal, config, now))
        if seen.memory.phase is not before.phase or not before.adopted:
            return Forecast(seen.memory.phase, now, needs)
    return None


def fulfilled(seen: Observation, changes: Iterable[dict[str, Any]]) -> Observation:
    """The same, had all of this come about, and with no deployment under way."""
    services = tuple(
        replace(
            service,
            deployments=tuple(replace(d, in_progress=False) for d in kept),
            shifting=False,
        )
        for service in seen.services
        for kept in [[d for d in service.deployments if d.primary]]
    )
    changed: dict[str, Any] = {"services": services}
    for change in changes:
        changed |= change
    return replace(seen, **changed)


def questions(
    seen: Observation, config: Config, now: float
) -> Iterator[tuple[Observation, Kind, tuple[str, ...]]]:
    """What decide() is asked: an observation, a signal, and what has to come about for them."""
    yield seen, Kind.TICK, ()
    blockers = [] if seen.gone else wk.tick_blockers(seen, config, now)
    if endless := [NEEDS[blocker.code] for blocker in blockers if blocker.code in NEEDS]:
        would = fulfilled(seen, [change for _, change in endless])
        yield would, Kind.TICK, tuple(need for need, _ in endless)
    if seen.memory.phase is Phase.WAKING and not seen.open:
        would = replace(seen, live=(wk.Task("live"),), closed=(), unready=(), lacking=())
        yield would, Kind.TICK, (LIVE,)
    unheard = Kind.WAKE_ALARM if config.routes else Kind.REQUEST
    for kind, need in SIGNALS.items():
        if kind is not unheard:
            yield seen, kind, (need,)


def forecasts(seen: Observation, config: Config, now: float) -> list[Forecast]:
    """Every way out of the phase: those of the ticks first, and of these the earliest.

    A way that needs something is left out where the ticks, or a signal alone, lead there as soon.
    """
    found: list[Forecast] = []
    for would, kind, needs in questions(seen, config, now):
        new = forecast(would, kind, config, now, needs)
        if new and not any(
            known.phase is new.phase
            and known.at_earliest <= new.at_earliest
            and set(known.needs) <= set(SIGNALS.values())
            for known in found
        ):
            found.append(new)
    return sorted(found, key=lambda each: math.inf if each.by_signal else each.at_earliest)
