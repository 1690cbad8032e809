"""A crowd at a sleeping service: how many functions run at once, and that each client is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.faults.clients import Call
from tests.faults.simulation import Simulation
from tests.warmkeeper.scenes import AT_ZERO, play

HOLD_LIMIT = 50


@dataclass
class Crowd(Simulation):
    """Counts the invocations that run at once, and the calls of UpdateService."""

    under_way: int = 0
    most: int = 0
    updates: list[str] = field(default_factory=list)

    def invoke_as(self, name: str, event: Any) -> dict[str, Any]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return super().invoke_as(name, event)
        finally:
            self.under_way -= 1

    def changed(self, call: str) -> None:
        self.updates += [call] * call.startswith("count")
        super().changed(call)


def crowd(clients: int) -> tuple[Crowd, list[Call]]:
    """So many API clients within five seconds at a service that sleeps, each until it is served."""
    simulation = play(Crowd(desired=0, boot=70.0), AT_ZERO)
    simulation.start()
    calls = [Call(simulation) for _ in range(clients)]
    for number, call in enumerate(calls):
        simulation.timeline.at(simulation.time + 5 * number / clients, call.run)
    simulation.run(simulation.time + 600, lambda: all(call.ended for call in calls))
    simulation.timeline.close()
    return simulation, calls


@pytest.mark.parametrize("clients", [160, 640])
def test_however_many_wait_a_bounded_number_of_functions_runs_and_all_are_served(
    clients: int,
) -> None:
    simulation, calls = crowd(clients)
    assert [call.lost for call in calls] == [""] * clients
    assert all(call.ended for call in calls)
    assert simulation.updates == ["count 1"]
    print(f"{clients} clients: {simulation.most} functions at once")
    # of two times of hold_seconds that overlap, and those who are being told to come again
    assert simulation.most <= min(clients, 2 * HOLD_LIMIT) + clients / 10
