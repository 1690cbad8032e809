"""Waiting in real time for what is to come, so that nothing hangs for ever."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait until it holds. TimeoutError that names `what` if it does not within the time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
