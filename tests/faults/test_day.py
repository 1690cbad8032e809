"""A day of a staging host on the Internet: 2,000 probes, crawlers and scanners, and five people."""

from __future__ import annotations

import json
import random
from functools import partial
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Phase

from tests.faults.cloudwatch import IdleAlarm
from tests.faults.simulation import COUNT, Simulation
from tests.warmkeeper.recorded import event_of
from tools import clients
from tools.wake_policy import default_policy

HOUR = 3600.0
PROBES = 2000
PEOPLE = 5
STAY_SECONDS = 600.0  # a person clicks about for so long
BROWSER = next(row for row in clients.clients() if row["client"] == "Chrome, a link followed")
# of those who come of themselves; what a browser sends comes with a person
COMING = ("monitors", "checkers", "probes", "crawlers", "previews", "scanners")
# Strangers who find it awake reach the application, three in two minutes, and would keep it up.
# By idle_request_threshold so few count for nobody; test_probes.py has the other ways.
THRESHOLD = 8


def strangers() -> list[dict[str, Any]]:
    """The table's requests that the default policy ignores."""
    rows = clients.clients()
    return [row for row in rows if row["answer"].startswith(tuple(f"ignored {c}" for c in COMING))]


class Day:
    """The day as it goes. `met_asleep` counts the strangers who found it asleep, and `asked` is
    what their requests made the warmkeeper ask of AWS."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self.simulation = simulation = Simulation()
        body = json.dumps({"wake_policy": rules})
        simulation.items["settings"] = {"id": {"S": "settings"}, "body": {"S": body}}
        minutes = int(simulation.environment["IDLE_MINUTES"])
        simulation.requests = IdleAlarm(minutes, lambda: simulation.lateness(), THRESHOLD)
        simulation.signal(wk.Kind.ADOPT)
        simulation.start()
        self.began, self.met_asleep = simulation.time, 0
        self.asked: set[str] = set()
        self.statuses: set[int] = set()
        self.served: list[float] = []  # what each person waited, in seconds

    def stranger(self, number: int, row: dict[str, Any]) -> None:
        """Somebody's machine. Asleep, the warmkeeper has it; awake, the application."""
        simulation = self.simulation
        if not simulation.rule_up:
            simulation.requests.count(simulation.time)
            return
        asleep = simulation.remembered[0] == Phase.ASLEEP
        name = f"stranger {number}"
        answer = simulation.invoke_as(name, event_of(row))
        self.statuses.add(answer["statusCode"])
        if asleep:
            self.met_asleep += 1
            self.asked |= set(simulation.first[name].sites)

    def person(self) -> None:
        """Opens a page, waits at it, and then clicks about."""
        came = self.simulation.time
        headers = {name: values[-1] for name, values in BROWSER["headers"].items()}
        while self.simulation.request("a person", "/reports/2026", **headers).by != "app":
            self.simulation.timeline.sleep(2)
            assert self.simulation.time - came < 120
        self.served.append(self.simulation.time - came)
        while self.simulation.time - came < STAY_SECONDS:
            assert self.simulation.request("a person", "/next", **headers).by == "app"
            self.simulation.timeline.sleep(5)

    def run(self, hours: int, strangers: list[dict[str, Any]], people: int) -> None:
        """Strangers at random, each of them again and again; a person every four hours."""
        chance, timeline = random.Random(5), self.simulation.timeline
        for number in range(PROBES * hours // 24):
            row = strangers[number % len(strangers)]
            at = self.began + chance.uniform(0, hours * HOUR)
            timeline.at(at, partial(self.stranger, number, row))
        for number in range(people):
            timeline.at(self.began + (3 + 4 * number) * HOUR, self.person)
        self.simulation.run(self.began + hours * HOUR)
        timeline.close()


@pytest.fixture(scope="module")
def day() -> Day:
    played = Day(default_policy())
    played.run(24, strangers(), PEOPLE)
    return played


def test_five_people_wake_it_five_times_and_two_thousand_strangers_never(day: Day) -> None:
    simulation = day.simulation
    assert simulation.did(f"count {COUNT}") == PEOPLE
    assert [wake["cause"] for wake in simulation.memory.wakes] == ["request"] * PEOPLE
    assert len(day.served) == PEOPLE
    assert all(simulation.boot < waited < simulation.boot + 15 for waited in day.served)


def test_it_sleeps_again_after_each_of_them(day: Day) -> None:
    simulation = day.simulation
    assert simulation.did("count 0") == PEOPLE + 1, "and once at the day's beginning"
    assert simulation.phase() is Phase.ASLEEP
    begins = [at for at, _ in simulation.phases] + [day.began + 24 * HOUR]
    lasted = zip(simulation.phases, begins[1:], strict=True)
    assert sum(end - at for (at, phase), end in lasted if phase == Phase.ASLEEP) > 20 * HOUR


def test_most_strangers_met_a_sleeping_service_and_none_made_it_ask_ecs(day: Day) -> None:
    assert day.met_asleep > 0.8 * PROBES
    assert day.asked == {"GetItem settings", "GetItem memory"}
    assert day.statuses == {200, 404, 503}


def test_without_a_policy_the_same_strangers_wake_it() -> None:
    played = Day([])
    played.run(2, strangers(), people=0)
    assert played.simulation.did(f"count {COUNT}") >= 1
    assert "UpdateService up" in played.asked
