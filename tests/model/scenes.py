"""Where explorations begin: a service in each phase, brought there by the real warmkeeper."""

from __future__ import annotations

from warmkeeper import Kind, Phase

from tests.model.checker import SETTINGS
from tests.unit.world import World


def awake(boot: float = 10.0) -> World:
    """Idle for long enough: the next look may make it drowsy."""
    world = World(environment=dict(SETTINGS), boot=boot)
    world.signal(Kind.ADOPT)
    world.time += 480
    world.alarm = "ALARM"
    return world


def drowsy(boot: float = 10.0) -> World:
    """Its linger is over. In the meantime somebody raised the count, not remembered so far."""
    world = awake(boot)
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY
    world.set_desired(2)
    world.time += 60
    return world


def asleep(boot: float = 10.0) -> World:
    world = drowsy(boot)
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP
    world.time += 100
    return world


def waking(boot: float = 10.0) -> World:
    """Its tasks are about to be healthy."""
    world = asleep(boot)
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    world.time += max(0.0, boot - 2.0)
    return world


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
