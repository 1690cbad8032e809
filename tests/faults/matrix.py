"""Every call site times every fault, in every phase and by every signal that reaches the site.

The cells are found, not listed: each signal is heard once in each scene without a fault, and what
it called there is what can go wrong. Each cell is then played twice, with nobody else there and
with somebody who comes a moment later, until the service is asleep again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from warmkeeper import Phase

from tests.faults.clients import Browser, Call, Client
from tests.faults.faults import FAULTS, LASTING_SECONDS
from tests.faults.simulation import (
    COUNT,
    TICK,
    TICK_SECONDS,
    Effect,
    Invocation,
    Simulation,
    ecs_event,
    idle_alarm,
)
from tests.warmkeeper import scenes
from tests.warmkeeper.scenes import OTHER_ESTATES, beginning, wait

HEAL_SECONDS = 2 * TICK_SECONDS + 5.0  # two ticks, and what the second takes
HORIZON_SECONDS = 45 * 60.0
COMES_AFTER_SECONDS = 3.0
MOST_OF_A_SITE = 2  # calls of one site by one invocation that are struck; a held request makes many


# --- scenes ------------------------------------------------------------------------------------
def in_use() -> Simulation:
    """Somebody was there a moment ago, and CloudWatch knows."""
    world = scenes.play(Simulation(), scenes.ADOPTED)
    for minute in range(1, 5):
        world.requests.requests[int(world.time // 60) - minute] = 1
        world.requests.seen_at[int(world.time // 60) - minute] = world.time
    return world


def overdue() -> Simulation:
    """A wake past its deadline, whose tasks would serve two seconds later."""
    world = scenes.play(Simulation(), (*scenes.WAKING, wait(scenes.AFTER_THE_DEADLINE_SECONDS)))
    for task in world.running():
        task.created = world.time - world.boot + 2
    return world


def tasks_gone() -> Simulation:
    """Awake, and the tasks have just died; ECS starts others."""
    world = in_use()
    for task in world.running():
        task.stopped = world.time - 60
    world.set_desired(COUNT)
    world.time += 1
    return world


NEARLY_LIVE = (*scenes.WAKING, wait(29.5))  # of 30 s; the fence is past
SCENES: dict[str, Callable[[], Simulation]] = {
    "awake, idle": beginning(Simulation, scenes.IDLE),
    "awake, in use": in_use,
    "awake, rule not down": beginning(Simulation, (*scenes.RULE_NOT_DOWN, wait(6))),
    "awake, tasks gone": tasks_gone,
    "drowsy": beginning(Simulation, (*scenes.DROWSY, wait(20))),
    "drowsy, linger over": beginning(Simulation, scenes.LINGER_OVER),
    "asleep": beginning(Simulation, (*scenes.ASLEEP, wait(100))),
    "asleep, just now": beginning(Simulation, (*scenes.ASLEEP, wait(1))),
    "asleep, count not taken": beginning(Simulation, (*scenes.COUNT_NOT_TAKEN, wait(1))),
    "waking": beginning(Simulation, (*scenes.WAKING, wait(6))),
    "waking, nearly live": beginning(Simulation, NEARLY_LIVE),
    "waking, overdue": overdue,
}
# Those of other estates, where the targets and the rules matter.
SCENES |= {
    f"{name}, {kind}": beginning(Simulation, scene, **world)
    for kind, world in OTHER_ESTATES.items()
    for name, scene in (
        ("drowsy, linger over", scenes.LINGER_OVER),
        ("asleep", (*scenes.ASLEEP, wait(100))),
        ("waking, nearly live", NEARLY_LIVE),
    )
}
# Where a service without a route, a queue, an instance and a cluster belong to an environment.
ENVIRONMENT = scenes.whole_environment()
SCENES |= {
    f"{name}, environment": beginning(Simulation, scene, **ENVIRONMENT)
    for name, scene in (
        ("drowsy, linger over", scenes.LINGER_OVER),
        ("asleep", (*scenes.ASLEEP, wait(100))),
        ("asleep, databases stopped", (*scenes.ASLEEP, scenes.stop_databases, wait(100))),
        ("waking, nearly live", NEARLY_LIVE),
    )
}
# Where auto scaling is suspended and resumed.
SCENES |= {
    f"{name}, auto scaling": beginning(Simulation, scene, **OTHER_ESTATES["auto scaling"])
    for name, scene in (
        ("awake, idle", scenes.IDLE),
        ("awake, called back", (*scenes.CALLED_BACK, wait(6))),
    )
}


# --- signals -----------------------------------------------------------------------------------
def call(world: Simulation, accept: str = "application/json") -> Client:
    return Call(world, "signal", late=True, accept=accept)


def browser(world: Simulation, page: bool = False) -> Client:
    return Browser(world, "signal", late=True, page=page)


CLIENTS: dict[str, Callable[[Simulation], Client]] = {
    "a call": call,
    "a page": browser,
    "a part of a page": lambda world: call(world, "image/png"),
    "a page's poll": lambda world: browser(world, page=True),
}


def http(path: str, method: str = "GET", **more: Any) -> Callable[[Simulation], object]:
    return lambda world: world.request("signal", path, method, **more)


def event(event: dict[str, Any]) -> Callable[[Simulation], object]:
    return lambda world: world.hear("signal", event)


def command(name: str, **more: Any) -> Callable[[Simulation], object]:
    return event({"command": name, **more})


def terraform(action: str) -> Callable[[Simulation], object]:
    return command("terraform", tf={"action": action})


BEAT = json.dumps({"in_flight": 1, "requests": 0})
SIGNALS: dict[str, Callable[[Simulation], object]] = {
    "tick": event(TICK),
    "idle alarm": event(idle_alarm()),
    "a beat": http("/health", "POST", authorization="Bearer secret", body=BEAT),
    "a button": http("/.warmkeeper/wake", "POST"),
    "a poll": http("/.warmkeeper/status"),
    "a task runs": event(ecs_event("RUNNING")),
    "a task stopped": event(ecs_event("STOPPED")),
    **{name: command(name) for name in ("status", "wake", "sleep", "pin", "unpin", "doctor")},
    "terraform create": terraform("create"),
    "terraform update": terraform("update"),
    "terraform delete": terraform("delete"),
}
BEREFT = "awake, tasks gone"  # where the death itself takes answers
EVERY_SIGNAL = (*CLIENTS, *SIGNALS)
PLAIN_SCENES = ("awake, idle", "drowsy, linger over", "asleep", "waking, nearly live")
PLAIN_SIGNALS = ("a call", "a page", "tick", "idle alarm", "a beat", "a poll", "wake", "sleep")


def signals_of(scene: str) -> tuple[str, ...]:
    """The signals that are played in a scene: in those of other estates, the plain ones."""
    return PLAIN_SIGNALS if scene.endswith((*OTHER_ESTATES, "environment")) else EVERY_SIGNAL


PLAIN_OF_WORLDS = {  # the scenes of other estates that the short run plays, each by one signal
    **{f"drowsy, linger over, {kind}": "tick" for kind in OTHER_ESTATES},
    **{f"waking, nearly live, {kind}": "a poll" for kind in OTHER_ESTATES},
    "asleep, environment": "tick",
    "asleep, databases stopped, environment": "a call",
    "awake, idle, auto scaling": "tick",
    "awake, called back, auto scaling": "tick",
}


# --- cells -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Cell:
    """The n-th call of `site` by `signal` in `scene` goes wrong; with `lasts`, later ones too."""

    scene: str
    signal: str
    site: str
    nth: int
    phase: str  # in which the call is made
    fault: str
    lasts: bool

    def __str__(self) -> str:
        lasts = f" for {LASTING_SECONDS:.0f} s" if self.lasts else ""
        return f"{self.scene}; {self.signal}: {self.site} ({self.nth}) {self.fault}{lasts}"


@dataclass
class Strike:
    """The fault of a cell, as the simulation asks for it."""

    cell: Cell
    began: float = 0.0
    ended: float = 0.0

    def due(self, world: Simulation, invocation: Invocation, site: str) -> bool:
        if site != self.cell.site:
            return False
        if not self.began:
            first = invocation is world.first.get("signal")
            struck = first and invocation.sites.count(site) == self.cell.nth
            self.began = world.time if struck else 0.0
            return struck
        return self.cell.lasts and world.time < self.began + LASTING_SECONDS

    def strike(self, world: Simulation, taking: bool, effect: Effect) -> object:
        def done() -> object:
            self.ended = max(self.ended, world.time)  # it may land later than all else
            return effect()

        try:
            return FAULTS[self.cell.fault].strikes(world, taking, done)
        finally:
            end = self.began + LASTING_SECONDS if self.cell.lasts else world.time
            self.ended = max(self.ended, end)

    def over(self, world: Simulation) -> bool:
        return bool(self.ended) and world.time >= self.ended


@dataclass
class Played:
    """How one play went; `wrong` holds what broke a promise."""

    sites: list[tuple[str, str]]  # of the signal's invocation, each with the phase
    final: str
    client: Client | None
    struck: bool = False
    heal: float = 0.0
    wrong: list[str] = field(default_factory=list)


def play(scene: str, signal: str, cell: Cell | None = None, *, somebody: bool) -> Played:
    """One scene, one signal, perhaps a fault, and perhaps somebody who comes a moment later."""
    world, strike = SCENES[scene](), Strike(cell) if cell else None
    if strike:
        world.running_fault = (lambda i, s: strike.due(world, i, s), strike.strike)
    client: Client | None = Call(world) if somebody else None
    if signal in CLIENTS:
        client = CLIENTS[signal](world)
    if client:
        client.bereft = scene == BEREFT
    world.start()
    began = world.time
    if signal in SIGNALS:
        world.timeline.at(began, lambda: SIGNALS[signal](world))
    if client:
        comes = 0.0 if signal in CLIENTS else COMES_AFTER_SECONDS
        world.timeline.at(began + comes, client.run)

    def rests() -> bool:
        """Asleep or pinned, with everybody served, and long enough after the fault."""
        waits = bool(client and not client.ended) or (world.time < began + HEAL_SECONDS)
        hurt = strike is not None and strike.began and world.time < strike.ended + HEAL_SECONDS
        if waits or hurt:
            return False
        return (world.remembered[0] == Phase.ASLEEP and world.all_at_zero) or world.pinned

    world.run(began + HORIZON_SECONDS, rests)
    world.timeline.close()
    first = world.first.get("signal")
    sites = list(zip(first.sites, first.phases, strict=True)) if first else []
    played = Played(sites, world.remembered[0], client)
    if strike and strike.began:
        played.struck, played.heal = True, world.unfit_since(strike.ended)
    elif not strike:
        played.heal = world.unfit_since(began)
    played.wrong += world.broken.values()
    if not world.fits(played.final):
        played.wrong.append(f"it ends {played.final}, and AWS is not so")
    if client and client.lost:
        played.wrong.append(f"a request is lost: {client.lost}")
    elif client and not client.ended:
        played.wrong.append("a request waits for ever")
    if played.heal > HEAL_SECONDS:
        played.wrong.append(f"it takes {played.heal:.0f} s to heal")
    return played


def sites_of(scene: str, signal: str) -> list[tuple[str, int, str]]:
    """What this signal calls in this scene: site, which of its calls of it, phase."""
    found: list[tuple[str, int, str]] = []
    sites = play(scene, signal, somebody=False).sites
    for n, (site, phase) in enumerate(sites):
        nth = [s for s, _ in sites[: n + 1]].count(site)
        if nth <= MOST_OF_A_SITE:
            found.append((site, nth, phase))
    return found


def cells(scene: str, signal: str) -> Iterator[Cell]:
    """Every fault on each of these sites, once and, where it may, for a while."""
    for site, nth, phase in sites_of(scene, signal):
        for fault in FAULTS.values():
            if not fault.impossible(site):
                yield Cell(scene, signal, site, nth, phase, fault.name, False)
                if fault.may_last and nth == 1:
                    yield Cell(scene, signal, site, nth, phase, fault.name, True)


def census() -> dict[str, dict[str, Any]]:
    """By site: the phases in which it is called, the signals by which, and the cells by fault."""
    found: dict[str, dict[str, Any]] = {}
    for scene in SCENES:
        for signal in signals_of(scene):
            for cell in cells(scene, signal):
                row = found.setdefault(cell.site, {"phases": {}, "signals": {}, "faults": {}})
                lasts = f"{cell.fault}, for a while" if cell.lasts else cell.fault
                for kind, what in (
                    ("phases", str(cell.phase)),
                    ("signals", signal),
                    ("faults", lasts),
                ):
                    row[kind][what] = row[kind].get(what, 0) + 1
    return found
