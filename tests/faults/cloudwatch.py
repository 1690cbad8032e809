"""CloudWatch's view of the requests: by the minute, late, and judged once a minute."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from localcloud.metrics import EXTRA_PERIODS, evaluate

MINUTE = 60.0


class IdleAlarm:
    """The module's idle alarm over RequestCount. `lateness` gives each minute's, in seconds."""

    def __init__(self, minutes: int, lateness: Callable[[], float], threshold: int = 1) -> None:
        self.lateness = lateness
        self.requests: Counter[int] = Counter()
        self.seen_at: dict[int, float] = {}
        self.reach = minutes + EXTRA_PERIODS
        self.settings = {
            "EvaluationPeriods": minutes,
            "ComparisonOperator": "LessThanThreshold",
            "Threshold": threshold,
            "TreatMissingData": "breaching",
        }

    def count(self, now: float) -> None:
        """A request that reached a target."""
        minute = math.floor(now / MINUTE)
        self.requests[minute] += 1
        if minute not in self.seen_at:
            self.seen_at[minute] = (minute + 1) * MINUTE + self.lateness()

    def state(self, now: float, current: str) -> str:
        """What it says now: OK or ALARM."""
        last = math.floor(now / MINUTE)
        points = [
            float(self.requests[minute]) if self.seen_at.get(minute, math.inf) <= now else None
            for minute in range(last - self.reach, last)
        ]
        return evaluate(points, self.settings, current)
