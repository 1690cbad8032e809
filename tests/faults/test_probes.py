"""Probes while the service is awake: the ways by which they do not keep it up."""

from __future__ import annotations

import pytest
import warmkeeper as wk
from warmkeeper import Phase

from tests.faults.cloudwatch import IdleAlarm
from tests.faults.simulation import Simulation

MINUTE = 60.0


def slept(path: str, every: float, threshold: int = 1) -> bool:
    """Whether an awake service falls asleep within half an hour of probes."""
    simulation = Simulation()
    minutes = int(simulation.environment["IDLE_MINUTES"])
    simulation.requests = IdleAlarm(minutes, lambda: simulation.lateness(), threshold)
    simulation.signal(wk.Kind.ADOPT)
    simulation.start()

    def probe() -> None:
        simulation.timeline.at(simulation.time + every, probe)
        if (
            simulation.remembered[0] == Phase.AWAKE
        ):  # a probe that finds it asleep is another matter
            simulation.request("a probe", path)

    simulation.timeline.at(simulation.time + 1, probe)
    simulation.run(simulation.time + 30 * MINUTE, lambda: simulation.remembered[0] == Phase.ASLEEP)
    simulation.timeline.close()
    return simulation.remembered[0] == Phase.ASLEEP


def test_a_probe_of_the_service_every_minute_keeps_it_awake() -> None:
    assert not slept("/", every=60)


def test_a_probe_of_the_control_path_does_not() -> None:
    assert slept("/.warmkeeper/health", every=10)


@pytest.mark.parametrize(("every", "sleeps"), [(60, True), (30, True), (15, False)])
def test_fewer_requests_in_a_minute_than_the_threshold_do_not(every: float, sleeps: bool) -> None:
    assert slept("/", every, threshold=3) is sleeps
