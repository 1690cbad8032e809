"""What the plays in one process have in common: no log lines, and the same jitter every time."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator

import pytest
import warmkeeper as wk


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wk, "log", lambda **_: None)
    monkeypatch.setattr("secrets.randbelow", random.Random(1).randrange)
    gc.freeze()  # what other tests have left in this process is not looked through after each
    gc.disable()
    yield
    gc.enable()
    gc.collect()
