"""One virtual time for many invocations at once: it jumps from event to event.

Each event is a plain function in a greenlet of its own: another one goes on only where the running
one sleeps or ends, so that a run is the same every time.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Callable
from typing import Protocol

from greenlet import getcurrent, greenlet


class Clock(Protocol):
    """Whoever tells the time, in epoch seconds."""

    time: float


class Closed(BaseException):
    """The timeline has come to its end, and whoever still waits ends too."""


class Worker:
    """Runs an event, until it sleeps or is over."""

    def __init__(self, event: Callable[[], object]) -> None:
        self.event = event
        self.closed = False
        self._greenlet = greenlet(self._run)

    def _run(self) -> None:
        with contextlib.suppress(Closed):
            self.event()

    def step(self) -> None:
        """Let it run until it sleeps or its event is over. Raises what the event raised."""
        self._greenlet.parent = getcurrent()
        self._greenlet.switch()

    def rest(self) -> None:
        """From inside: give way until the next `step`."""
        assert self._greenlet.parent
        self._greenlet.parent.switch()
        if self.closed:
            raise Closed


class Timeline:
    """What is to happen, by time; the clock is set to each event in turn."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.current: Worker | None = None
        self._due: list[tuple[float, int, Callable[[], object] | Worker]] = []
        self._order = itertools.count()

    def at(self, when: float, event: Callable[[], object]) -> None:
        """Let `event` begin then; it may sleep."""
        heapq.heappush(self._due, (when, next(self._order), event))

    def sleep(self, seconds: float) -> None:
        """From inside an event: go on so much later."""
        until = self.clock.time + max(0.0, seconds)
        if not self._due or self._due[0][0] > until:
            self.clock.time = until  # nothing comes in between
            return
        worker = self.current
        assert worker is not None
        heapq.heappush(self._due, (until, next(self._order), worker))
        worker.rest()
        self.current = worker

    def run(self, until: float, over: Callable[[], bool] = lambda: False) -> None:
        """Run every event up to `until`, or as long as it is not `over()`, asked after each."""
        while self._due and self._due[0][0] <= until:
            when, _, what = heapq.heappop(self._due)
            self.clock.time = max(self.clock.time, when)
            self._step(what)
            if over():
                return
        self.clock.time = max(self.clock.time, until)

    def _step(self, what: Callable[[], object] | Worker) -> None:
        self.current = what if isinstance(what, Worker) else Worker(what)
        self.current.step()

    def close(self) -> None:
        """End whatever still sleeps."""
        for _, _, what in self._due:
            if isinstance(what, Worker):
                what.closed = True
                self._step(what)
        self._due = []
