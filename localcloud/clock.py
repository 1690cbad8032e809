"""The one virtual clock that every part, and the function inside, goes by.

Virtual time starts at the machine's own time and runs at a settable speed. It is published in a
small memory-mapped file, from which function processes read it (`bootstrap.py`).
"""

from __future__ import annotations

import asyncio
import heapq
import mmap
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

# sequence (odd while being written), monotonic seconds, virtual epoch seconds, rate
LAYOUT = struct.Struct("<Qddd")


class Clock:
    """Virtual epoch seconds for the event loop it was made in.

    Faster than 1x, time never runs past a due sleeper: it stands at the sleeper's moment until the
    loop gets to wake it, so that what is due earlier also happens earlier at any speed. At 1x it is
    the machine's monotonic clock, and durations are real.
    """

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        """Start now. `path` is (re)written; `speed` is virtual seconds per real second, above 0."""
        self.path = path
        self._holders = 0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._limit: asyncio.Task[None] | None = None
        self._sequence = 0
        path.write_bytes(bytes(LAYOUT.size))
        with path.open("r+b") as file:
            self._published = mmap.mmap(file.fileno(), LAYOUT.size)
        self._monotonic, self._virtual, self._rate = time.monotonic(), time.time(), speed
        self._speed = _positive(speed)
        self._anchor(self._virtual)

    @property
    def speed(self) -> float:
        """The speed asked for: virtual seconds per real second in idle stretches."""
        return self._speed

    @property
    def rate(self) -> float:
        """The speed in force: 1 while anybody is busy, else `speed`."""
        return self._rate

    def now(self) -> float:
        """Virtual time, epoch seconds."""
        moment = self._virtual + (time.monotonic() - self._monotonic) * self._rate
        if self._rate > 1 and self._sleepers:
            return max(self._virtual, min(moment, self._sleepers[0][0]))
        return moment

    def set_speed(self, speed: float, seconds: float | None = None) -> None:
        """Change the speed from now on, or for so many virtual seconds, after which it is 1 again.

        Sleepers are re-planned. ValueError unless both are above 0.
        """
        until = None if seconds is None else self.now() + _positive(seconds, "seconds")
        self._speed = _positive(speed)
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self._anchor(self.now())
        if until is not None:
            self._limit = asyncio.get_running_loop().create_task(self._slow_down(until))

    async def _slow_down(self, moment: float) -> None:
        await self.sleep_until(moment)
        self._limit = None
        self.set_speed(1)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the rate at 1 inside, so that a latency measured here is a real one."""
        self._holders += 1
        if self._holders == 1:
            self._anchor(self.now())
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._anchor(self.now())

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` of virtual time have passed."""
        await self.sleep_until(self.now() + seconds)

    async def sleep_until(self, moment: float) -> None:
        """Return when virtual time has reached `moment` (epoch seconds); at once if it has."""
        if moment <= self.now():
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), woken))
        self._plan()
        await woken

    def _anchor(self, moment: float) -> None:
        """Let time go on from `moment` at the rate now in force, and tell the readers."""
        self._monotonic, self._virtual = time.monotonic(), moment
        self._rate = 1.0 if self._holders else self._speed
        state = (self._monotonic, self._virtual, self._rate)
        self._published[:] = LAYOUT.pack(self._sequence + 1, *state)
        self._sequence += 2
        self._published[:] = LAYOUT.pack(self._sequence, *state)
        self._plan()

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if self._sleepers:
            wait = max(0.0, (self._sleepers[0][0] - self.now()) / self._rate)
            self._timer = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        """Wake everybody who is due; when faster than 1x, only those due at the same moment."""
        self._timer = None
        now = self.now()
        if not self._sleepers or self._sleepers[0][0] > now:
            self._plan()
            return
        due = self._sleepers[0][0] if self._rate > 1 else now
        while self._sleepers and self._sleepers[0][0] <= due:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
        if self._rate > 1:
            self._anchor(now)
        else:
            self._plan()


def _positive(value: float, name: str = "speed") -> float:
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")
    return value
