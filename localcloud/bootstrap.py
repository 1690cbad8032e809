"""The inside of a Lambda container: virtual time first, then AWS's own runtime client.

Started by `containers.py` in the function's folder, or forked (`forks.py`). `time.time`,
`time.monotonic` and `time.sleep` follow the local cloud's clock; `datetime.now()` and
`time.strftime(format)` do not.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

LAYOUT = struct.Struct("<Qddd")  # clock.py writes it
SLICE_SECONDS = 0.05  # how soon a sleeper sees that the speed has changed


class PublishedClock:
    """Reads the clock published at `path`, by this process's own `time` as it was before."""

    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self._published = mmap.mmap(file.fileno(), LAYOUT.size, access=mmap.ACCESS_READ)
        self._monotonic, self._sleep = time.monotonic, time.sleep

    def now(self) -> float:
        """Virtual time, epoch seconds."""
        monotonic, virtual, rate = self._state()
        return virtual + (self._monotonic() - monotonic) * rate

    def rate(self) -> float:
        """Virtual seconds per real second."""
        return self._state()[2]

    def _state(self) -> tuple[float, float, float]:
        while True:
            sequence, monotonic, virtual, rate = LAYOUT.unpack(self._published[:])
            if sequence % 2 == 0 and self._published[:8] == sequence.to_bytes(8, "little"):
                return monotonic, virtual, rate
            self._sleep(0)


def follow(path: str) -> None:
    """Make this process's `time` follow the clock published at `path`."""
    clock = PublishedClock(path)
    now, real_monotonic, real_sleep = clock.now, time.monotonic, time.sleep

    def sleep(seconds: float) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        until = now() + seconds
        while (left := until - now()) > 0:
            real_sleep(min(SLICE_SECONDS, left / clock.rate()))

    offset = now() - real_monotonic()
    _replace(now, lambda: now() - offset, sleep)


def _replace(
    now: Callable[[], float], monotonic: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    time.time = now
    time.time_ns = lambda: int(now() * 1e9)
    time.monotonic = monotonic
    time.monotonic_ns = lambda: int(monotonic() * 1e9)
    time.sleep = sleep  # type: ignore[assignment]  # the stub's own name for a float


def main() -> None:
    """Follow the local cloud's clock, and run the function."""
    follow(os.environ["LOCALCLOUD_CLOCK"])
    run()


def run() -> None:
    """Run the handler named in `_HANDLER` until the container is ended."""
    del os.environ["LOCALCLOUD_CLOCK"]
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
    from awslambdaric.__main__ import main as serve

    serve(["bootstrap", os.environ["_HANDLER"]])


if __name__ == "__main__":
    main()
