"""Where explorations begin: a service in each phase, brought there by the real warmkeeper."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

from warmkeeper import Kind, Phase

from tests.model.checker import SETTINGS
from tests.warmkeeper.world import OTHER_ESTATES, World


def awake(boot: float = 10.0, **world: Any) -> World:
    """Idle for long enough: the next look may make it drowsy. `world`: what else is so in it."""
    made = unknown(boot=boot, **world)
    made.signal(Kind.ADOPT)
    made.time += 480
    made.alarm = "ALARM"
    return made


def drowsy(boot: float = 10.0, **world: Any) -> World:
    """Its linger is over. In the meantime somebody raised the count, not remembered so far."""
    made = awake(boot, **world)
    made.signal(Kind.TICK)
    assert made.phase() is Phase.DROWSY
    made.set_desired(2)
    made.time += 60
    return made


def asleep(boot: float = 10.0, **world: Any) -> World:
    made = drowsy(boot, **world)
    made.signal(Kind.TICK)
    assert made.phase() is Phase.ASLEEP
    made.time += 100
    return made


def waking(boot: float = 10.0, **world: Any) -> World:
    """Its tasks are about to be healthy."""
    made = asleep(boot, **world)
    made.signal(Kind.REQUEST)
    assert made.phase() is Phase.WAKING
    made.time += max(0.0, boot - 2.0)
    return made


def unknown(**world: Any) -> World:
    """Nothing is remembered: the module is applied just now."""
    return World(environment=dict(SETTINGS), **deepcopy(world))


def woken() -> World:
    """Awake again, and the call that was to take the rule down was lost."""
    world = waking()
    world.time += 3
    world.failing.add("set_rule_priorities")
    world.signal(Kind.TICK)
    world.failing.clear()
    assert world.phase() is Phase.AWAKE
    assert world.rule_up
    return world


def overdue() -> World:
    """A wake past its deadline, whose tasks would serve two seconds later."""
    world = asleep()
    world.boot = 303.0
    world.signal(Kind.REQUEST)
    world.time += 301
    return world


SCENES = {
    "awake": awake,
    "drowsy": drowsy,
    "drowsy, tasks live at once": lambda: drowsy(0.0),
    "asleep": asleep,
    "asleep, tasks live at once": lambda: asleep(0.0),
    "waking": waking,
    "awake, rule up": woken,
    "waking, past its deadline": overdue,
}
# Estates of other kinds, where they begin to fall asleep and where they are about to wake.
SCENES |= {
    f"{kind}, {name}": partial(scene, **world)
    for kind, world in OTHER_ESTATES.items()
    for name, scene in (("drowsy", drowsy), ("waking", waking))
}
KINDS = tuple(OTHER_ESTATES)
# Not adopted yet: of somebody else's targets nothing may be put out of service.
UNKNOWN: dict[str, Callable[[], World]] = {
    "a service that runs": unknown,
    "instance targets": partial(unknown, target_type="instance"),
    "a service at 0 whose target group is somebody else's": partial(
        unknown, desired=0, strangers=["10.9.9.9"]
    ),
    "a service that cannot start, whose target group is somebody else's": partial(
        unknown, starts=False, strangers=["10.9.9.9"]
    ),
}
