"""Those who wait: an API client that follows redirects and honours Retry-After, and a browser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.faults.simulation import Answer, Simulation

PATIENCE_SECONDS = 3600.0
MOST_REDIRECTS = 20
AGAIN_SECONDS = 5.0  # somebody whose answer a fault took tries again
POLL_SECONDS, SLOW_POLL_SECONDS, SLOWEST_SECONDS = 1.5, 10.0, 30.0  # as lambda/page.html has them
NAVIGATION: dict[str, Any] = {
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "accept": "text/html",
}


@dataclass
class Client:
    """Somebody who wants the app. `run` is an event of the simulation's.

    name: of its first invocation. late: its first request goes by a node that is late. cut: how
    many answers a fault itself took from it, by ending the function that was to give them, or, if
    `bereft`, the tasks.
    """

    simulation: Simulation
    name: str = "a request"
    late: bool = False
    bereft: bool = False
    began: float = 0.0
    ended: float = 0.0
    lost: str = ""
    cut: int = 0
    invocations: int = 0

    def run(self) -> None:
        self.began = self.simulation.time
        while not self.ended:
            if self.simulation.time > self.began + PATIENCE_SECONDS:
                self.end(f"not served within {PATIENCE_SECONDS:.0f} s")
            else:
                self.turn()

    def turn(self) -> None:
        """One request for the app, and what follows from its answer."""
        raise NotImplementedError

    def end(self, lost: str = "") -> None:
        self.ended, self.lost = self.simulation.time, lost

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        late, self.late = self.late, False
        name, self.name = self.name, "a request"
        return self.simulation.request(name, path, method, late, **headers)

    def pause(self, seconds: float) -> None:
        self.simulation.timeline.sleep(seconds)

    def unanswered(self, answer: Answer) -> bool:
        """Deals with everything that is not what was asked for; False if it is."""
        if answer.by == "app":
            self.end()
        elif answer.by == "function" or (answer.by == "balancer" and self.bereft):
            self.cut += 1
            self.pause(AGAIN_SECONDS)
        elif "Retry-After" in answer.headers:
            self.pause(float(answer.headers["Retry-After"]))
        elif answer.status == 307:
            return False
        else:
            self.end(f"{answer.status} by the {answer.by}")
        return True


@dataclass
class Call(Client):
    """Follows 307, honours Retry-After."""

    accept: str = "application/json"
    hops: int = 0

    def turn(self) -> None:
        if self.unanswered(self.ask("/api", accept=self.accept)):
            self.hops = 0
            return
        self.hops += 1
        if self.hops > MOST_REDIRECTS:
            self.end(f"more than {MOST_REDIRECTS} redirects")


@dataclass
class Browser(Client):
    """A person before the page, who presses its button where there is one."""

    page: bool = False
    shut: bool = False
    returns: int = 0
    misses: int = 0

    def turn(self) -> None:
        if self.page:
            self.poll()
            return
        answer = self.ask("/", **NAVIGATION)
        if answer.by == "warmkeeper" and "text/html" in answer.headers["Content-Type"]:
            self.page, self.misses = True, 0
            self.pause(POLL_SECONDS / 3)
        elif not self.unanswered(answer):
            self.pause(0.1)

    def poll(self) -> None:
        """As the page's script does it."""
        answer = self.ask("/.warmkeeper/status")
        unknown: dict[str, Any] = {"phase": "unknown"}
        status = json.loads(answer.body) if answer.status == 200 else unknown
        phase = status["phase"]
        if phase == "unknown":
            self.misses += 1
            if self.misses > 4:
                self.enter()
            else:
                self.pause(min(POLL_SECONDS * 2**self.misses, SLOWEST_SECONDS))
            return
        self.misses = 0
        if status["closed_until"]:
            self.shut = True
            self.pause(SLOW_POLL_SECONDS)
        elif phase == "asleep" and self.shut:
            self.page = self.shut = False  # a reload
        elif phase in ("awake", "drowsy"):
            self.enter(status["seconds"])
        elif phase == "waking":
            self.pause(POLL_SECONDS)
        else:
            self.ask("/.warmkeeper/wake", "POST")
            self.pause(SLOW_POLL_SECONDS)

    def enter(self, past: float = 0.0) -> None:
        self.page = False
        first = max(0.0, 1 - past)
        self.pause(min(2.0**self.returns, SLOWEST_SECONDS) if self.returns else first)
        self.returns += 1
