"""What the results of a container's health checks make of it ("HealthCheck" of the ECS API)."""

from __future__ import annotations

import pytest

from localcloud.health import Health

STARTED = 1000.0


def statuses(health: Health, *results: tuple[float, bool]) -> list[str]:
    """The status after each result: seconds after the start, and whether the check passed."""
    found = []
    for seconds, passed in results:
        health.record(passed, STARTED + seconds)
        found.append(health.status)
    return found


def test_it_is_unknown_until_a_check_passes_and_unhealthy_after_so_many_failures_in_a_row() -> None:
    health = Health({"command": ["CMD", "true"], "retries": 2}, STARTED)
    assert health.status == "UNKNOWN"
    results = [(30, False), (60, True), (90, False), (120, True), (150, False), (180, False)]
    assert statuses(health, *results) == [
        "UNKNOWN",
        "HEALTHY",
        "HEALTHY",
        "HEALTHY",
        "HEALTHY",
        "UNHEALTHY",
    ]
    assert statuses(health, (210, True)) == ["HEALTHY"]


def test_failures_of_the_start_period_count_only_once_a_check_has_passed() -> None:
    check = {"command": ["CMD", "true"], "retries": 1, "startPeriod": 60}
    booting = Health(check, STARTED)
    assert statuses(booting, (30, False), (59, False), (60, False)) == [
        "UNKNOWN",
        "UNKNOWN",
        "UNHEALTHY",
    ]
    quick = Health(check, STARTED)
    assert statuses(quick, (10, True), (20, False)) == ["HEALTHY", "UNHEALTHY"]


def test_without_settings_it_is_checked_every_thirty_seconds_and_three_failures_count() -> None:
    health = Health({"command": ["CMD", "true"]}, STARTED)
    assert (health.interval, health.timeout) == (30, 5)
    failed = [(seconds, False) for seconds in (30, 60, 90)]
    assert statuses(health, *failed) == ["UNKNOWN", "UNKNOWN", "UNHEALTHY"]


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        (["CMD", "curl", "-f", "http://localhost/"], ["curl", "-f", "http://localhost/"]),
        (["CMD-SHELL", "test -f x || exit 1"], ["/bin/sh", "-c", "test -f x || exit 1"]),
        (["curl", "localhost"], ["curl", "localhost"]),
    ],
)
def test_its_command_is_a_program_or_a_line_for_a_shell(
    command: list[str], runs: list[str]
) -> None:
    assert Health({"command": command}, STARTED).command == runs
