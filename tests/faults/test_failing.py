"""A service that cannot start: what a day of trying costs, while somebody always asks."""

from __future__ import annotations

import pytest
from warmkeeper import BACKOFF_SECONDS

from tests import figures
from tests.faults.failing import ASKS_SECONDS, DAY, FAILURES, HOUR, Failing
from tests.faults.simulation import COUNT, TICK_SECONDS

LOOPS_FOR = 6 * HOUR  # a crash loop changes its phase all the time; what it costs shows sooner


@pytest.mark.parametrize("name", FAILURES)
def test_what_trying_costs_is_bounded(name: str) -> None:
    lasts = LOOPS_FOR if FAILURES[name].healthy else DAY
    world = Failing(failure=FAILURES[name])
    world.play(lasts)
    deadline = int(world.environment["WAKE_DEADLINE_SECONDS"])
    longest = deadline + TICK_SECONDS
    most = len(BACKOFF_SECONDS) + (lasts - sum(BACKOFF_SECONDS)) / (BACKOFF_SECONDS[-1] + deadline)
    figures.record(
        "failed wakes",
        name,
        {
            "hours": lasts / HOUR,
            "requests": len(world.answers),
            "wakes": len(world.wakes),
            "task hours": round(world.task_seconds / HOUR, 1),
            "task hours if it ran": COUNT * lasts / HOUR,
            "notices": len(world.notices),
        },
    )
    assert len(world.answers) >= lasts // ASKS_SECONDS
    assert world.task_seconds <= COUNT * lasts, "never more than if it had never slept"
    if FAILURES[name].healthy:
        return  # it serves now and then, and people use it: so it is awake, and costs as much
    assert set(world.answers) <= {503, 307, 200}
    assert 1 <= len(world.wakes) <= most + 1
    assert world.task_seconds <= COUNT * longest * (most + 1)
    assert world.task_seconds <= 0.15 * COUNT * lasts
