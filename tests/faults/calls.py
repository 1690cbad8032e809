"""What the warmkeeper asks of AWS, call by call: a tick in each phase, a wake, a falling asleep.

The real program runs in the Simulation, and each of its calls is noted. `tools/calls.json` keeps
them for `python -m tools.scale`, which may not import tests. A test compares the file with what the
program does now.

    python -m tests.faults.calls --record    writes tools/calls.json anew
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import warmkeeper as wk

from tests.faults.clients import Browser, Call
from tests.faults.simulation import (
    TICK,
    Effect,
    Invocation,
    Simulation,
    TimedAws,
    idle_alarm,
)
from tests.warmkeeper.scenes import ASLEEP, AT_ZERO, IDLE, Scene, play
from tests.warmkeeper.world import ENVIRONMENT, Beside

KEPT = Path(__file__).resolve().parents[2] / "tools" / "calls.json"
BOOT_SECONDS = 45.0  # a cold start on Fargate, as tools/estimate.py assumes it
PATIENCE_SECONDS = 300.0
AFTERWARDS_SECONDS = 30.0  # what was sent on comes back, the service's record is written
MEMBERS = 10  # of the environment that is one module


@dataclass
class Noted(Simulation):
    """Notes each call and each invocation, with seconds since `noted_from`."""

    noted_from: float = 0.0
    calls_made: list[tuple[float, str]] = field(default_factory=list)
    invoked: list[tuple[float, float]] = field(default_factory=list)
    idle: list[tuple[wk.Warmkeeper, TimedAws]] = field(default_factory=list)  # warm containers

    def note(self) -> None:
        """From now on."""
        self.noted_from = self.time
        self.calls_made.clear()
        self.invoked.clear()

    def run_function(self, invocation: Invocation, event: Any) -> dict[str, Any]:
        """By a warm function, or a cold one if all are busy, as Lambda does it."""
        began = self.time
        if not self.idle:
            aws = TimedAws(self, invocation)
            self.idle.append((wk.Warmkeeper(aws), aws))
        container, aws = self.idle.pop()
        aws.invocation = invocation
        try:
            return container.dispatch(event)
        finally:
            self.idle.append((container, aws))
            self.invoked.append((self.since(began), self.since(self.time)))

    def called(
        self,
        invocation: Invocation,
        operation: str,
        taking: bool,
        effect: Effect,
        asked: dict[str, Any],
    ) -> Any:
        self.calls_made.append((self.since(self.time), aws_name(operation)))
        return super().called(invocation, operation, taking, effect, asked)

    def since(self, moment: float) -> float:
        return round(moment - self.noted_from, 2)


def aws_name(operation: str) -> str:
    """AWS's name of an operation that boto3 spells in its own way."""
    words = {"db": "DB"}
    return "".join(words.get(word, word.capitalize()) for word in operation.split("_"))


# --- the estates -------------------------------------------------------------------------------
def one_service() -> dict[str, Any]:
    """The fields of a world with the module's plain use: one service, one route."""
    return {"desired": 1, "boot": BOOT_SECONDS}


def environment() -> dict[str, Any]:
    """The same with nine services behind the first one, all of them one module's."""
    others = {f"worker{number}": f"worker{number}" for number in range(1, MEMBERS)}
    members = {"this": {"service": "app"}, **{name: {"service": name} for name in others}}
    return {
        **one_service(),
        "environment": {**ENVIRONMENT, "MEMBERS": json.dumps(members)},
        "beside": {service: Beside() for service in others.values()},
    }


ESTATES: dict[str, Callable[[], dict[str, Any]]] = {
    "one service": one_service,
    "an environment of ten services": environment,
}


# --- what happens ------------------------------------------------------------------------------
def at(fields: dict[str, Any], scene: Scene) -> Noted:
    """A world of these fields at the end of the scene; time passes, and everything is noted."""
    return play(Noted(**fields), scene)


def tick(fields: dict[str, Any], scene: Scene) -> Noted:
    """One tick of a service that stays as it is."""
    noted = at(fields, scene)
    noted.alarm = "OK"  # used, so that an awake service stays awake
    before = noted.remembered[0]
    noted.invoke_as("the tick before", TICK)  # it fills the function's caches
    noted.time += 60
    noted.note()
    noted.invoke_as("tick", TICK)
    assert noted.remembered[0] == before
    return noted


def wake(fields: dict[str, Any]) -> Noted:
    """A browser and an API call come to a sleeping service, until both are served."""
    others = {name: replace(each, desired=0) for name, each in fields.get("beside", {}).items()}
    noted = at({**fields, "desired": 0, "beside": others}, AT_ZERO)
    noted.start()
    clients = [Browser(noted), Call(noted)]
    noted.note()
    for client in clients:
        noted.timeline.at(noted.time, client.run)
    noted.run(noted.time + PATIENCE_SECONDS, lambda: all(client.ended for client in clients))
    noted.run(noted.time + AFTERWARDS_SECONDS)
    noted.timeline.close()
    assert [client.lost for client in clients] == ["", ""]
    return noted


def fall_asleep(fields: dict[str, Any]) -> Noted:
    """The idle alarm fires, the linger time passes, and a tick takes the count."""
    noted = at(fields, IDLE)
    noted.note()
    noted.invoke_as("idle alarm", idle_alarm())
    noted.time = noted.noted_from + int(ENVIRONMENT["LINGER_SECONDS"]) + 1
    noted.invoke_as("tick", TICK)
    assert noted.remembered[0] == "asleep"
    return noted


def trace(noted: Noted) -> dict[str, Any]:
    """As the file has it."""
    return {
        "calls": [list(call) for call in noted.calls_made],
        "invocations": [list(each) for each in sorted(noted.invoked)],
    }


def traces() -> dict[str, dict[str, Any]]:
    """By estate and by what happens: each call with its second, each invocation's from and to."""
    found = {}
    halfway = mock.patch("warmkeeper.secrets.randbelow", lambda below: below // 2)
    with halfway, redirect_stdout(io.StringIO()):  # the same every time, and without its log
        for name, fields in ESTATES.items():
            happening = {
                "tick asleep": tick(fields(), ASLEEP),
                "tick awake": tick(fields(), IDLE),
                "wake": wake(fields()),
                "falling asleep": fall_asleep(fields()),
            }
            found[name] = {what: trace(noted) for what, noted in happening.items()}
    return found


def as_text(found: dict[str, dict[str, Any]]) -> str:
    """The file: a line for each call."""
    text = json.dumps({"boot_seconds": BOOT_SECONDS, "traces": found}, indent=1)
    return re.sub(r"\[\s+([^\[\]]+?),\s+([^\[\]]+?)\s+\]", r"[\1, \2]", text) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Notes what the warmkeeper asks of AWS.")
    parser.add_argument("--record", action="store_true", help="write tools/calls.json")
    options = parser.parse_args()
    text = as_text(traces())
    if options.record:
        KEPT.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
