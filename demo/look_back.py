"""The demonstration's end: what the module tells of a wake, against a stopwatch of the demo's own.

Stage table and dashboard are read as their owner would read them, from log, metrics and memory. The
stopwatch knows nothing of them: it sent the first request, saw the calls and the target's health,
and got the app's answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.background import repeating
from localcloud.client import LocalCloud
from tests.estate import Estate
from tools import dashboard, dashboard_plot

PICTURE = Path(__file__).resolve().parents[1] / ".cache" / "demo-dashboard.png"
TOLERANCE_SECONDS = 1.0
LATE_SECONDS = 180.0  # so late CloudWatch can be


@dataclass
class Stopwatch:
    """Moments of one wake, in the cloud's time, as they were seen from outside."""

    first: float
    answered: float  # the first request, by the waiting page
    given: float = 0.0
    live: float = 0.0
    served: float = 0.0

    def watching(self, cloud: LocalCloud, estate: Estate) -> AbstractContextManager[None]:
        """Until the end of the block, look for the first healthy target."""
        balancing = estate.client("elbv2")
        group = estate.outputs["target_group_arn"]

        def look() -> None:
            if self.live:
                return
            answer = balancing.describe_target_health(TargetGroupArn=group)
            targets = answer["TargetHealthDescriptions"]
            if any(target["TargetHealth"]["State"] == "healthy" for target in targets):
                self.live = cloud.now()

        return repeating(0.1, look)


@dataclass(frozen=True)
class Figure:
    """What was seen and what is told of the same time, in seconds.

    The module counts from the start of its function, the stopwatch from before the request is sent.
    What lies between is no longer than `answer`, the time until the first answer.
    """

    what: str
    seen: float
    told: float
    answer: float

    @property
    def agrees(self) -> bool:
        return -TOLERANCE_SECONDS <= self.seen - self.told <= TOLERANCE_SECONDS + self.answer


@dataclass(frozen=True)
class LookBack:
    """The wake that the stopwatch saw, as memory, dashboard, log and notice tell of it."""

    stopwatch: Stopwatch
    record: dict[str, Any]
    shown: Sequence[dashboard.Widget]
    notices: Sequence[str]

    @classmethod
    def of(cls, cloud: LocalCloud, estate: Estate, stopwatch: Stopwatch, since: float) -> LookBack:
        """Read it all, and draw the dashboard of the time since then."""
        cloud.advance(LATE_SECONDS)
        end, name = cloud.now(), estate.outputs["dashboard_url"].rpartition("/")[2]
        clients = estate.client("cloudwatch"), estate.client("logs")
        drawn = dashboard.load(name, *clients, end, int(end - since) // 60 * 60 + 60)
        dashboard_plot.draw(drawn, PICTURE, name)
        wakes = estate.memory()["wakes"]
        record = min(wakes, key=lambda wake: abs(wake["times"]["began"] - stopwatch.first))
        notices = [mail["subject"] or "" for mail in cloud.mailbox()]
        return cls(stopwatch, record, drawn.widgets(), notices)

    def _titled(self, words: str) -> dashboard.Widget:
        titles = ((one.properties.get("title", ""), one) for one in self.shown)
        return next(one for title, one in titles if title.startswith(words))

    def stages(self) -> list[dict[str, Any]]:
        """The rows of the dashboard's stage chart, the newest first."""
        return [dict(row) for row in self._titled("Where the seconds went").rows]

    def figures(self) -> list[Figure]:
        """The same times, seen and told."""
        times, watch = self.record["times"], self.stopwatch
        whole, began = watch.live - watch.first, times["began"]
        (_, cold_starts), *_ = self._titled("Cold starts").lines
        sums = [sum(v for k, v in row.items() if k != "@timestamp") for row in self.stages()]
        told = [float(s) for n in self.notices for s in re.findall(r"awake after ([\d.]+) s", n)]

        def nearest(values: Iterable[float]) -> float:
            return min(values, key=lambda value: abs(value - whole))

        found = [
            (
                "UpdateService, by the memory",
                watch.given - watch.first,
                times["scaled_up_at"] - began,
            ),
            ("live target, by the memory", whole, self.record["seconds"]),
            ("live target, by the dashboard's graph", whole, nearest(cold_starts.values())),
            ("live target and rule, by the stages added up", whole, nearest(sums)),
            ("live target, by the notice", whole, nearest(told)),
        ]
        if "sent" in times:
            found.append(
                ("first client sent on", watch.served - watch.first, times["sent"] - began)
            )
        answer = watch.answered - watch.first
        return [Figure(what, seen, module, answer) for what, seen, module in found]

    def tables(self) -> str:
        """Stage table and comparison, for a terminal."""
        rows = self.stages()
        stages = list(dict.fromkeys(name for row in rows for name in row if name != "@timestamp"))
        lines = [f"| {'wake':8} |" + "".join(f" {stage:>17} |" for stage in [*stages, "in all"])]
        for row in rows:
            clock = time.strftime("%H:%M:%S", time.gmtime(row["@timestamp"]))
            values = [row.get(stage, 0.0) for stage in stages]
            cells = "".join(f" {value:17.2f} |" for value in [*values, sum(values)])
            lines.append(f"| {clock:8} |{cells}")
        lines += ["", f"| {'first request to':46} | {'stopwatch':>10} | {'told':>10} |"]
        lines += [f"| {f.what:46} | {f.seen:8.2f} s | {f.told:8.2f} s |" for f in self.figures()]
        return "\n".join(lines)
