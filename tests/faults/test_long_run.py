"""Days of people, probes, sockets, deployments, deaths and faults: nobody lost, nothing stuck."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Phase

from tests import figures
from tests.faults.long_run import LongRun
from tests.warmkeeper.scenes import whole_environment

THOROUGH = bool(os.environ.get("RELIABILITY"))  # `make reliability`
DAYS = 30.0 if THOROUGH else 2.0
SEEDS = range(1, 7 if THOROUGH else 4)


ESTATES: dict[str, dict[str, Any]] = {"": {}, "environment, ": whole_environment()}


RUNS = [
    (estate, seed) for estate in ESTATES for seed in SEEDS if THOROUGH or seed == 1 or not estate
]


@pytest.mark.parametrize(("estate", "seed"), RUNS)
def test_nothing_is_lost_and_nothing_stuck(seed: int, estate: str) -> None:
    run = LongRun(seed=seed, days=DAYS, **deepcopy(ESTATES[estate]))
    run.play()
    hours = {str(phase): round(run.hours(phase), 1) for phase in Phase}
    assert run.tally["requests"] > 50 * DAYS, "nobody came"
    assert run.tally["calls struck"] > 2 * DAYS, "nothing went wrong"
    assert hours["asleep"] > 0.3 * 24 * DAYS, "it hardly ever slept"
    if estate:
        assert run.tally["messages taken"] == run.tally["messages"] > 0
        assert run.tally["main stopping"] > 0, "its database was never stopped"
    figures.record(
        "long run",
        f"{estate}seed {seed}",
        {
            "days": DAYS,
            **run.tally,
            "hours": hours,
            "task hours": round(run.task_seconds / 3600, 1),
            "median wait": round(statistics.median(run.waited), 2),
            "longest wait": round(max(run.waited), 1),
            "longest out of step": round(max((s for _, s in run.stuck()), default=0.0), 1),
            "wrong": len(run.wrong),
        },
    )
    assert not run.wrong, "\n".join(run.wrong)


# --- what the long run would show --------------------------------------------------------------
def deaf_to_beats(patch: pytest.MonkeyPatch) -> None:
    """An open socket is nobody's activity."""
    reconcile = wk.Reconciler.reconcile

    def ignoring_beats(keeper: wk.Reconciler, signal: wk.Signal) -> wk.Observation:
        beats = signal.kind is wk.Kind.BEAT
        return reconcile(keeper, replace(signal, active=False) if beats else signal)

    patch.setattr(wk.Reconciler, "reconcile", ignoring_beats)


def running_taken_for_live(patch: pytest.MonkeyPatch) -> None:
    """A task that runs is believed to serve."""
    patch.setattr(wk.Aws, "targets", lambda _, tasks, *__: wk.Targets(tasks, (), strangers=False))


def no_ticks(patch: pytest.MonkeyPatch) -> None:
    """Edges alone."""
    patch.setattr(LongRun, "_tick", lambda _: None)


@pytest.mark.parametrize("break_it", [deaf_to_beats, running_taken_for_live, no_ticks])
def test_a_broken_warmkeeper_is_found(
    break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)
    run = LongRun(seed=3, days=6.0)
    run.play()
    print(*run.wrong[:5], sep="\n")
    assert run.wrong
