"""Container health checks: their command, and what their results make of a container.

Imitates "HealthCheck" of the ECS API reference, which is Docker's HEALTHCHECK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN, HEALTHY, UNHEALTHY = "UNKNOWN", "HEALTHY", "UNHEALTHY"


@dataclass
class Health:
    """The health of one container: `healthCheck` of its definition, and what it has found."""

    check: Mapping[str, Any]
    started: float  # virtual epoch seconds
    status: str = UNKNOWN
    failures: int = 0  # in a row
    passed: bool = False  # once at least: its start period is over

    @property
    def interval(self) -> float:
        """Seconds before the first check, and between two."""
        return float(self.check.get("interval", 30))

    @property
    def timeout(self) -> float:
        """Seconds after which a check has failed."""
        return float(self.check.get("timeout", 5))

    @property
    def command(self) -> list[str]:
        """The program and its arguments: what follows CMD, or a shell if CMD-SHELL is first."""
        kind, *rest = self.check["command"]
        if kind == "CMD-SHELL":
            return ["/bin/sh", "-c", *rest]
        return rest if kind == "CMD" else [kind, *rest]

    def record(self, passed: bool, now: float) -> None:
        """Note the result of a check that ended at `now`.

        One passed check makes it healthy, and `retries` failed ones in a row unhealthy. Those that
        fail in the start period before one has passed do not count.
        """
        if passed:
            self.status = HEALTHY
            self.failures = 0
            self.passed = True
            return
        if not self.passed and now < self.started + self.check.get("startPeriod", 0):
            return
        self.failures += 1
        if self.failures >= self.check.get("retries", 3):
            self.status = UNHEALTHY
