"""Scenario 3 of `make demo`, on the applied estate, where its beats come late."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from demo import __main__ as demo
from demo.background import repeating
from localcloud.client import LocalCloud, running
from tests.estate import Estate, surrounded

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

LATE_SECONDS = 10.0  # at the speed of the beats as long as an idle service needs to fall asleep


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    with running() as own:
        yield own


@pytest.fixture
def estate(cloud: LocalCloud, tmp_path: Path) -> Iterator[Estate]:
    with surrounded(cloud, tmp_path / "estate", destroy=False) as applied:
        applied.wake()
        yield applied


def late_beats(estate: Estate, _: Path) -> AbstractContextManager[None]:
    """Beats as a busy machine sends them: nothing for a while."""
    began, beat = time.monotonic(), {"in_flight": 1, "requests": 0}

    def post() -> None:
        if time.monotonic() - began > LATE_SECONDS:
            requests.post(estate.outputs["heartbeat_url"], json=beat, timeout=300)

    return repeating(demo.BEAT_SECONDS / demo.BEATING, post)


def test_the_clock_waits_for_a_beat_that_is_late(
    estate: Estate, cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AssertionError of the demonstration, if beats do not hold the service for so long."""
    monkeypatch.setattr(demo, "watched_stream", late_beats)
    monkeypatch.setattr(demo, "posted_beats", lambda estate: late_beats(estate, tmp_path))
    shown = demo.Demo(cloud)
    demo.stay_awake_by_heartbeat(shown, estate, tmp_path)
    assert [what for what, *_ in shown.rows] == ["held awake by beats alone", "last beat to asleep"]
