"""What a tick takes, for the cost: billed milliseconds and bytes of log, on the local cloud.

`make bench` measures it with the rest, and with RECORD=1 keeps the figures in tools/measured.json.
They are this machine's: Lambda's share of a CPU is smaller and AWS's answers take longer. So what
is priced is not the figure but the bound beside it, which no measurement changes.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from localcloud.client import LocalCloud
from tests.estate import Estate

MEASURED = Path(__file__).resolve().parents[1] / "tools" / "measured.json"
TICKS = 10
FAST = 30.0
LOG_SECONDS = 30
SETTLE_SECONDS = 3
LOG_EVENT_BYTES = 26  # CloudWatch Logs counts them with each event, beside its text


def invocations(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The finished invocations of a log group's events, in order, each with what it logged.

    id: of the request. entries: its JSON lines. bytes: as ingested. billed: milliseconds. cold:
    whether it has an init.
    """
    done: list[dict[str, Any]] = []
    running: dict[str, dict[str, Any]] = {}
    for event in events:
        stream, text = event["logStreamName"], event["message"].rstrip("\n")
        if text.startswith("START "):
            request = text.removeprefix("START ").removeprefix("RequestId: ").split()[0]
            running[stream] = {"id": request, "entries": [], "bytes": 0}
        if stream not in running:
            continue
        now = running[stream]
        now["bytes"] += len(text.encode()) + LOG_EVENT_BYTES
        if text.startswith("{"):
            now["entries"].append(json.loads(text))
        if text.startswith("REPORT "):
            now["billed"] = int(text.split("Billed Duration: ")[1].split(" ms")[0])
            now["cold"] = "Init Duration" in text
            done.append(running.pop(stream))
    return done


def ticks_in(done: Iterable[Mapping[str, Any]], phase: str) -> list[Mapping[str, Any]]:
    """The warm ticks that found the service in `phase` and left it there."""

    def quiet(entry: Mapping[str, Any]) -> bool:
        return bool(
            entry.get("signal") == "tick" and entry.get("before") == phase == entry.get("after")
        )

    return [one for one in done if not one["cold"] and any(map(quiet, one["entries"]))]


def metrics_in(done: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names of the custom metrics that these invocations wrote."""
    return {
        metric["Name"]
        for one in done
        for entry in one["entries"]
        for described in entry.get("_aws", {}).get("CloudWatchMetrics", ())
        for metric in described["Metrics"]
    }


def log_of(estate: Estate) -> list[dict[str, Any]]:
    """Every event of the function's log group, oldest first."""
    group = f"/aws/lambda/{estate.outputs['function_name']}"
    pages = estate.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    events = [event for page in pages for event in page["events"]]
    return sorted(events, key=lambda event: event["timestamp"])  # they come stream by stream


def measure(estate: Estate, cloud: LocalCloud) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The medians of TICKS ticks awake and asleep, what one wake between them writes, and the
    invocations of which these are."""
    estate.wake()

    def enough(phase: str) -> bool:
        return len(ticks_in(invocations(log_of(estate)), phase)) >= TICKS

    estate.invoke({"command": "pin", "minutes": TICKS + 10})
    cloud.advance_until(lambda: enough("awake"), minutes=TICKS + 5, speed=FAST)
    estate.invoke({"command": "unpin"})
    estate.fall_asleep(cloud)
    cloud.advance_until(lambda: enough("asleep"), minutes=TICKS + 5, speed=FAST)
    before, mails = len(invocations(log_of(estate))), len(cloud.mailbox())
    estate.get()
    time.sleep(SETTLE_SECONDS)  # others that heard of the wake finish, and logs are sent on
    end = time.monotonic() + LOG_SECONDS
    while not (metrics := metrics_in(invocations(log_of(estate))[before:])):
        if time.monotonic() > end:
            raise TimeoutError(f"the wake left no metric in the log within {LOG_SECONDS} s")
        time.sleep(0.2)
    done = invocations(log_of(estate))
    found: dict[str, float] = {
        "wake_metrics": len(metrics),
        "wake_notices": len(cloud.mailbox()) - mails,
    }
    for phase in ("asleep", "awake"):
        ticks = ticks_in(done, phase)
        found[f"tick_{phase}_milliseconds"] = statistics.median(one["billed"] for one in ticks)
        found[f"tick_{phase}_log_bytes"] = statistics.median(one["bytes"] for one in ticks)
    return found, done


def keep(found: Mapping[str, float], text: str, today: str) -> str:
    """The text of measured.json with new figures; the bounds stay. ValueError for one over its."""
    kept = json.loads(text)
    for name, figure in found.items():
        bound = kept["inputs"][name]["bound"]
        if figure > bound:
            raise ValueError(f"{name} is {figure:g}, over its bound {bound}: raise it, or mend it")
        kept["inputs"][name]["measured"] = round(figure, 1)
    kept["measured_on"] = f"{today}, Python {platform.python_version()}, {platform.machine()}"
    return json.dumps(kept, indent=2) + "\n"
