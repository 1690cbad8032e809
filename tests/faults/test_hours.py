"""A fortnight with a schedule in Berlin, over a clock change and Easter, read by a table in UTC."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import warmkeeper as wk
from warmkeeper import Phase

from tests import figures
from tests.faults import clients
from tests.faults.clients import Browser, Call, Client
from tests.faults.simulation import Simulation
from tests.warmkeeper.world import ENVIRONMENT

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
SCHEDULE = {
    "zone": "Europe/Berlin",
    "rule": "CET-1CEST,M3.5.0,M10.5.0/3",
    "awake": ["mon,tue,wed,thu,fri 08:55-18:00"],
    "closed": ["sat,sun 00:00-24:00"],
    "except": ["2027-03-26", "2027-03-29"],  # Good Friday, Easter Monday
}


def utc(text: str) -> float:
    return datetime.fromisoformat(f"2027-{text}").replace(tzinfo=UTC).timestamp()


# The same hours, written by hand: Berlin is an hour before UTC until March 28, and then two.
BEGIN, END = utc("03-22 00:00"), utc("04-05 00:00")
AWAKE = [
    (utc("03-22 07:55"), utc("03-22 17:00")),
    (utc("03-23 07:55"), utc("03-23 17:00")),
    (utc("03-24 07:55"), utc("03-24 17:00")),
    (utc("03-25 07:55"), utc("03-25 17:00")),
    (utc("03-30 06:55"), utc("03-30 16:00")),
    (utc("03-31 06:55"), utc("03-31 16:00")),
    (utc("04-01 06:55"), utc("04-01 16:00")),
    (utc("04-02 06:55"), utc("04-02 16:00")),
]
CLOSED = [
    (utc("03-26 23:00"), utc("03-28 22:00")),
    (utc("04-02 22:00"), utc("04-04 22:00")),
]
# What people do by commands, and until when closed hours are open by it.
WOKEN, WOKEN_UNTIL = utc("03-27 10:00"), utc("03-28 22:00")
PINNED, PINNED_UNTIL = utc("04-03 09:00"), utc("04-03 10:00")
SENT_TO_SLEEP = (utc("03-24 12:00"), utc("03-31 20:00"))  # in awake hours, and in no hours
REOPENED = [(WOKEN, WOKEN_UNTIL), (PINNED, PINNED_UNTIL)]
SEEDS = range(1, 11 if os.environ.get("RELIABILITY") else 2)
START_SECONDS = 150.0  # a tick, and the start of a task
STOP_SECONDS = 420.0  # ticks, the linger, a wake that is under way, and its end


def span_of(spans: list[tuple[float, float]], at: float) -> tuple[float, float] | None:
    return next((span for span in spans if span[0] <= at < span[1]), None)


@dataclass
class Fortnight(Simulation):
    """Two weeks in which people, beats and commands come at all hours."""

    seed: int = 1
    tally: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.time = BEGIN
        self.environment = {**ENVIRONMENT, "SCHEDULE": json.dumps(SCHEDULE)}
        super().__post_init__()
        self.random = random.Random(self.seed)

    def play(self) -> None:
        self.signal(wk.Kind.ADOPT)
        self.start()
        for moment in range(int(BEGIN), int(END), int(HOUR)):
            for _ in range(self.random.choice((0, 0, 1, 2))):
                at = moment + self.random.uniform(0, HOUR)
                self.timeline.at(at, self.random.choice((self.person, self.program, self.beat)))
        for span in (*AWAKE, *CLOSED):  # somebody comes at each edge
            for edge in span:
                self.timeline.at(edge + self.random.uniform(-90, 90), self.person)
        self.timeline.at(WOKEN, lambda: self.command("wake"))
        self.timeline.at(PINNED, lambda: self.command("pin"))
        for at in SENT_TO_SLEEP:
            self.timeline.at(at, lambda: self.command("sleep"))
        self.run(END)
        self.timeline.close()

    def command(self, name: str) -> None:
        self.tally["commands"] += 1
        self.invoke_as(name, {"command": name})

    def is_closed(self, at: float) -> bool:
        return bool(span_of(CLOSED, at)) and not span_of(REOPENED, at)

    # --- who comes -----------------------------------------------------------------------------
    def person(self) -> None:
        self.comes(Browser(self))

    def program(self) -> None:
        self.comes(Call(self))

    def beat(self) -> None:
        """A heartbeat of a page that somebody has left open."""
        body = json.dumps({"requests": 1})
        self.request("a beat", "/health", "POST", authorization="Bearer secret", body=body)
        self.tally["beats"] += 1

    def comes(self, client: Client) -> None:
        came = self.time
        was_up = self.remembered[0] in (Phase.AWAKE, Phase.WAKING)
        client.run()
        if self.is_closed(came) and not was_up:
            self.tally["in closed hours"] += 1
            _, opens = span_of(CLOSED, came) or (0.0, 0.0)
            again = [begin for begin, _ in REOPENED if begin > came]
            if not client.lost and client.ended < min([opens, *again]):
                self.wrong.append(f"{came}: served in closed hours")
            return
        self.tally["in open hours"] += 1
        if client.lost:
            self.tally["lost"] += 1
            self.wrong.append(f"{came}: lost in open hours: {client.lost}")

    # --- what must hold ------------------------------------------------------------------------
    def look(self) -> None:
        phase, _ = self.remembered
        if not self.phases or self.phases[-1][1] != phase:
            self.phases.append((self.time, phase))
        awake, closed = span_of(AWAKE, self.time), span_of(CLOSED, self.time)
        if awake and self.time > awake[0] + START_SECONDS:
            self.must(phase == Phase.AWAKE and self.live, f"{phase} in awake hours")
        if closed and self.is_closed(self.time):
            since = max(closed[0], *(end for _, end in REOPENED if end <= self.time), 0.0)
            if self.time > since + STOP_SECONDS:
                self.must(phase == Phase.ASLEEP and not self.desired, f"{phase} in closed hours")

    def must(self, holds: bool, what: str) -> None:
        self.tally["looks"] += 1
        if not holds:
            self.wrong.append(f"{datetime.fromtimestamp(self.time, UTC)}: {what}")


def test_in_a_fortnight_of_hours_nothing_is_wrong_and_nobody_is_lost_in_open_hours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # whoever comes in closed hours waits no longer than this, because a poll costs time
    monkeypatch.setattr(clients, "PATIENCE_SECONDS", 600.0)
    total: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in SEEDS:
        run = Fortnight(seed=seed)
        run.play()
        total += run.tally
        wrong += run.wrong
        total["sleeps"] += sum(phase == Phase.ASLEEP for _, phase in run.phases)
    figures.record(
        "hours", f"{len(SEEDS)} fortnights", {**total, "lost": total["lost"], "wrong": len(wrong)}
    )
    assert not wrong, "\n".join(wrong[:20])
    assert total["in closed hours"] > 20
    assert total["in open hours"] > 100
    assert total["beats"] > 50
    assert total["looks"] > 5_000
    assert total["sleeps"] > 30
