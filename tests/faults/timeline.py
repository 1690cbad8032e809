"""One virtual time for many invocations at once: it jumps from event to event.

Each event is a plain function in a thread of its own, and one thread runs at a time: another one
goes on only where the running one sleeps or ends, so that a run is the same every time.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Whoever tells the time, in epoch seconds."""

    time: float


class Closed(BaseException):
    """The timeline has come to its end, and whoever still waits ends too."""


class Worker:
    """A thread that runs one event after another, when told to."""

    def __init__(self) -> None:
        self.event: Callable[[], object] = lambda: None
        self.go, self.rests = threading.Semaphore(0), threading.Semaphore(0)
        self.idle, self.closed = True, False
        self.error: Exception | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.go.acquire()
            self.idle = False
            try:
                self.event()
            except Closed:
                pass
            except Exception as error:
                self.error = error
            self.idle, self.closed = True, False
            self.rests.release()

    def step(self) -> None:
        """Let it run until it sleeps or its event is over. Raises what the event raised."""
        self.go.release()
        self.rests.acquire()
        if self.error:
            error, self.error = self.error, None
            raise error

    def rest(self) -> None:
        """From inside: give way until the next `step`."""
        self.rests.release()
        self.go.acquire()
        if self.closed:
            raise Closed


IDLE: list[Worker] = []


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
        if isinstance(what, Worker):
            worker = what
        else:
            worker = IDLE.pop() if IDLE else Worker()
            worker.event = what
        self.current = worker
        worker.step()
        if worker.idle:
            IDLE.append(worker)

    def close(self) -> None:
        """End whatever still sleeps."""
        for _, _, what in self._due:
            if isinstance(what, Worker):
                what.closed = True
                self._step(what)
        self._due = []
