"""What a function writes: log events for CloudWatch Logs, and metrics found among them.

Imitates "Sending Lambda function logs to CloudWatch Logs" (Lambda Developer Guide) and
"Specification: Embedded metric format" (CloudWatch User Guide).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from localcloud.cloud import Cloud
    from localcloud.containers import Function

MOTO_TAKES_LOGS_AHEAD_SECONDS = 7_000  # PutLogEvents refuses what is two hours in the future
# Limits of the embedded metric format: metrics in a directive, names in a dimension set, numbers in
# a metric's array.
METRICS_LIMIT, DIMENSIONS_LIMIT, VALUES_LIMIT = 100, 30, 100


@dataclass(frozen=True)
class Measured:
    """One value of a metric, found in a log event; `timestamp` in epoch seconds."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    value: float
    unit: str
    timestamp: float


class Log:
    """A container's log stream: collects lines, adds START, END and REPORT, finds metrics."""

    def __init__(self, cloud: Cloud, function: Function) -> None:
        self.cloud = cloud
        self.function = function
        day = datetime.fromtimestamp(cloud.clock.now(), UTC).strftime("%Y/%m/%d")
        self.stream = f"{day}/[{function.version}]{uuid.uuid4().hex}"
        self._events: list[tuple[float, str]] = []
        self._out = self._frames = -1
        self._text = b""
        self._framed = b""
        self._sending: asyncio.Task[None] | None = None

    def open(self) -> tuple[int, int]:
        """The two ends to write to: the standard streams, and the runtime's framed log."""
        self._out, out = os.pipe()
        self._frames, frames = os.pipe()
        for end in (self._out, self._frames):
            os.set_blocking(end, False)
            asyncio.get_running_loop().add_reader(end, self.drain)
        return out, frames

    def close(self) -> None:
        """Take what is left, and close the pipes."""
        if self._out < 0:
            return
        self.drain()
        if self._text:
            self.line(self._text.decode(errors="replace"))
        self.publish()
        for end in (self._out, self._frames):
            asyncio.get_running_loop().remove_reader(end)
            os.close(end)
        self._out = self._frames = -1

    def drain(self) -> None:
        """Take everything that has been written so far."""
        if self._out < 0:
            return
        self._framed += self._read(self._frames)
        while len(self._framed) >= 16:
            length = int.from_bytes(self._framed[4:8], "big")
            if len(self._framed) < 16 + length:
                break
            stamp = int.from_bytes(self._framed[8:16], "big") / 1e6
            text = self._framed[16 : 16 + length].decode(errors="replace")
            self.line(text.rstrip("\n"), stamp)
            self._framed = self._framed[16 + length :]
        *lines, self._text = (self._text + self._read(self._out)).split(b"\n")
        for line in lines:
            self.line(line.decode(errors="replace"))

    def _read(self, end: int) -> bytes:
        taken = b""
        try:
            while chunk := os.read(end, 65536):
                taken += chunk
        except BlockingIOError:
            return taken
        asyncio.get_running_loop().remove_reader(end)  # the process has ended
        return taken

    def line(self, text: str, stamp: float | None = None) -> None:
        """One log event; one in the embedded metric format also becomes metrics."""
        if not text:
            return
        moment = self.cloud.clock.now() if stamp is None else stamp
        self._events.append((moment, text))
        if text.startswith("{") and '"_aws"' in text:
            self._metrics(text, moment)

    def _metrics(self, text: str, moment: float) -> None:
        try:
            measured = embedded_metrics(json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            print(f"not in the embedded metric format ({error!r}): {text}", file=sys.stderr)
            return
        for each in measured:
            self.cloud.metrics.put(
                each.namespace, each.name, each.dimensions, each.value, each.unit,
                each.timestamp, moment,
            )  # fmt: skip

    def started(self, request_id: str) -> None:
        """START, or platform.start where the log format is JSON."""
        version = self.function.version
        self._platform(
            f"START RequestId: {request_id} Version: {version}",
            "platform.start",
            {"requestId": request_id, "version": version},
        )

    def finished(
        self, request_id: str, seconds: float, init_seconds: float | None, memory: int
    ) -> None:
        """END and REPORT, or platform.report."""
        self.drain()
        if self.function.logging["LogFormat"] == "Text":
            self.line(f"END RequestId: {request_id}")
        size = int(self.function.config.get("MemorySize", 128))
        billed = int((seconds + (init_seconds or 0)) * 1000) + 1
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {seconds * 1000:.2f} ms\t"
            f"Billed Duration: {billed} ms\tMemory Size: {size} MB\tMax Memory Used: {memory} MB"
        )
        metrics: dict[str, Any] = {
            "durationMs": round(seconds * 1000, 3),
            "billedDurationMs": billed,
            "memorySizeMB": size,
            "maxMemoryUsedMB": memory,
        }
        if init_seconds is not None:
            report += f"\tInit Duration: {init_seconds * 1000:.2f} ms"
            metrics["initDurationMs"] = round(init_seconds * 1000, 3)
        self._platform(report, "platform.report", {"requestId": request_id, "metrics": metrics})

    def _platform(self, text: str, kind: str, record: dict[str, Any]) -> None:
        logging = self.function.logging
        if logging["LogFormat"] == "Text":
            self.line(text)
        elif logging["SystemLogLevel"] != "WARN":
            now = iso(self.cloud.clock.now())
            self.line(json.dumps({"time": now, "type": kind, "record": record}))

    def publish(self) -> str:
        """Send on what was collected, in order; gives its text."""
        events, self._events = sorted(self._events, key=lambda event: event[0]), []
        if events:
            self._sending = self.cloud.spawn(self._send(events, self._sending))
        return "".join(f"{text}\n" for _, text in events)

    async def _send(
        self, events: list[tuple[float, str]], before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        group, call = self.function.logging["LogGroup"], self.cloud.control.call
        newest = time.time() + MOTO_TAKES_LOGS_AHEAD_SECONDS
        stream: dict[str, Any] = {"logGroupName": group, "logStreamName": self.stream}
        stream["logEvents"] = [
            {"timestamp": int(min(moment, newest) * 1000), "message": text}
            for moment, text in events
        ]
        try:
            await call("logs", "put_log_events", **stream)
        except ClientError:  # the first of a stream, or somebody deleted the group
            with contextlib.suppress(ClientError):
                # a function that is gone makes no group anew: what it still had to say is lost
                await self.cloud.functions.role_of(self.function.name)
                await call("logs", "create_log_group", logGroupName=group)
            with contextlib.suppress(ClientError):
                await call(
                    "logs", "create_log_stream", logGroupName=group, logStreamName=self.stream
                )
                await call("logs", "put_log_events", **stream)


def embedded_metrics(document: dict[str, Any]) -> list[Measured]:
    """Every value that a log event in the embedded metric format holds.

    One for each directive, dimension set, metric and number; an event that breaks the format
    anywhere holds none: KeyError, TypeError or ValueError.
    """
    meta = document["_aws"]
    stamp = _number(meta["Timestamp"]) / 1000
    measured = []
    for directive in meta["CloudWatchMetrics"]:
        if len(directive["Metrics"]) > METRICS_LIMIT:
            raise ValueError(f"a directive has more than {METRICS_LIMIT} metrics")
        for names in directive["Dimensions"]:
            dimensions = {name: _word(document[name]) for name in names}
            if len(names) > DIMENSIONS_LIMIT:
                raise ValueError(f"a dimension set has more than {DIMENSIONS_LIMIT} names")
            for metric in directive["Metrics"]:
                target, unit = document[metric["Name"]], metric.get("Unit", "None")
                values = target if isinstance(target, list) else [target]
                if len(values) > VALUES_LIMIT:
                    raise ValueError(f"{metric['Name']} has more than {VALUES_LIMIT} values")
                measured += [
                    Measured(directive["Namespace"], metric["Name"], dimensions,
                             _number(value), unit, stamp)
                    for value in values
                ]  # fmt: skip
    return measured


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string, as a dimension has to be")
    return value


def iso(moment: float) -> str:
    """Epoch seconds as AWS writes them in events: 2019-11-14T18:16:05.568Z."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
