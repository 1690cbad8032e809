"""The inside of a Lambda container: virtual time first, then AWS's own runtime client.

Started by `functions.py` in the function's folder. `time.time`, `time.monotonic` and `time.sleep`
follow the local cloud's clock; `datetime.now()` and `time.strftime(format)` do not.
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


def follow(path: str) -> None:
    """Make this process's `time` follow the clock published at `path`."""
    with Path(path).open("rb") as file:
        published = mmap.mmap(file.fileno(), LAYOUT.size, access=mmap.ACCESS_READ)
    real_monotonic, real_sleep = time.monotonic, time.sleep

    def state() -> tuple[float, float, float]:
        while True:
            sequence, monotonic, virtual, rate = LAYOUT.unpack(published[:])
            if sequence % 2 == 0 and published[:8] == sequence.to_bytes(8, "little"):
                return monotonic, virtual, rate
            real_sleep(0)

    def now() -> float:
        monotonic, virtual, rate = state()
        return virtual + (real_monotonic() - monotonic) * rate

    def sleep(seconds: float) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        until = now() + seconds
        while (left := until - now()) > 0:
            real_sleep(min(SLICE_SECONDS, left / state()[2]))

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
    """Run the handler named in `_HANDLER` until the container is ended."""
    follow(os.environ.pop("LOCALCLOUD_CLOCK"))
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
    from awslambdaric.__main__ import main as run

    run(["bootstrap", os.environ["_HANDLER"]])


if __name__ == "__main__":
    main()
