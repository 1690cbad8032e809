"""Draws a CloudWatch dashboard where there is no console: its own JSON over the cloud's own data.

    python -m tools.dashboard NAME picture.png            a dashboard of the account and region
    AWS_ENDPOINT_URL=http://127.0.0.1:4566 python -m tools.dashboard ...     of the local cloud

Metrics come by GetMetricData and log events by FilterLogEvents; metric math and Logs Insights are
worked out here, in as far as the module's dashboard needs them (tools/metric_math.py,
tools/log_query.py). It is a picture of what the console would show, not of the console.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import log_query
from tools.metric_math import Graph, Series

HOUR = 3600
WINDOW_SECONDS = 1800  # of one GetMetricData: moto gets slow over many periods at a time
QUERIES_LIMIT = 500  # metrics in one GetMetricData
DEFAULT_PERIOD = 300
DEFAULT_STATISTIC = "Average"

Metric = tuple[str, ...]  # namespace, name, then dimension names and values in turn


class DashboardError(ValueError):
    """A dashboard that is not there, or holds what is not known here."""


@dataclass(frozen=True)
class Line:
    """One entry of a widget's `metrics`: a metric or an expression, and how it is drawn."""

    metric: Metric
    options: Mapping[str, Any]
    statistic: str
    period: int
    identity: str

    @classmethod
    def of(cls, entry: Sequence[Any], properties: Mapping[str, Any], number: int) -> Line:
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        metric = tuple(word for word in entry if isinstance(word, str))
        if "." in metric or (not metric and "expression" not in options):
            raise DashboardError(f"not known here: {entry}")
        statistic = options.get("stat", properties.get("stat", DEFAULT_STATISTIC))
        period = int(options.get("period", properties.get("period", DEFAULT_PERIOD)))
        return cls(metric, options, statistic, period, options.get("id", f"line{number}"))

    @property
    def label(self) -> str:
        return str(self.options.get("label", self.metric[1] if self.metric else self.identity))

    @property
    def visible(self) -> bool:
        return bool(self.options.get("visible", True))

    @property
    def query(self) -> dict[str, Any]:
        """Its part of GetMetricData, without the id."""
        namespace, name, *pairs = self.metric
        named = sorted(zip(pairs[::2], pairs[1::2], strict=True))  # moto minds their order
        dimensions = [{"Name": key, "Value": value} for key, value in named]
        metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
        return {"Metric": metric, "Period": self.period, "Stat": self.statistic}


@dataclass(frozen=True)
class Widget:
    """A widget with its data: lines with their series, rows of a log query, or alarms' states."""

    raw: Mapping[str, Any]
    lines: Sequence[tuple[Line, Series]] = ()
    rows: Sequence[log_query.Row] = ()
    alarms: Sequence[tuple[str, str]] = ()  # name, state

    @property
    def properties(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.raw["properties"]
        return found


@dataclass
class Dashboard:
    """A dashboard's body, the time that is shown (epoch seconds), and the clients to ask."""

    body: Mapping[str, Any]
    start: int
    end: int
    cloudwatch: Any
    logs: Any
    _series: dict[tuple[Metric, str, int], Series] = field(default_factory=dict)
    _events: dict[str, list[log_query.Event]] = field(default_factory=dict)

    def widgets(self) -> list[Widget]:
        """All of them with their data. Raises DashboardError for a type that is not known here."""
        widgets = self.body["widgets"]
        self._ask([line for w in widgets if w["type"] == "metric" for line in lines_of(w)])
        fill: dict[str, Callable[[Mapping[str, Any]], Widget]] = {
            "metric": self._metric,
            "log": self._log,
            "alarm": self._alarm,
            "text": Widget,
        }
        if unknown := {widget["type"] for widget in widgets} - set(fill):
            raise DashboardError(f"not known here: widgets of type {unknown}")
        return [fill[widget["type"]](widget) for widget in widgets]

    def _ask(self, lines: Sequence[Line]) -> None:
        """GetMetricData, for all widgets at once."""
        asked = {(one.metric, one.statistic, one.period): one.query for one in lines if one.metric}
        queries = {f"q{number}": key for number, key in enumerate(asked)}
        if len(queries) > QUERIES_LIMIT:
            raise DashboardError(f"more than {QUERIES_LIMIT} metrics")
        self._series = {key: {} for key in asked}
        wanted = [{"Id": name, "MetricStat": asked[key]} for name, key in queries.items()]
        for begin in range(self.start, self.end, WINDOW_SECONDS):
            pages = self.cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=wanted,
                StartTime=moment(begin),
                EndTime=moment(min(begin + WINDOW_SECONDS, self.end)),
            )
            for result in (result for page in pages for result in page["MetricDataResults"]):
                series = self._series[queries[result["Id"]]]
                for when, value in zip(result["Timestamps"], result["Values"], strict=True):
                    series[int(when.timestamp())] = float(value)

    def _metric(self, widget: Mapping[str, Any]) -> Widget:
        lines = lines_of(widget)
        period = int(widget["properties"].get("period", DEFAULT_PERIOD))
        found = {
            line.identity: self._series[line.metric, line.statistic, line.period]
            for line in lines
            if line.metric
        }
        expressions = {
            line.identity: line.options["expression"] for line in lines if not line.metric
        }
        graph = Graph(found, expressions, range(self.start, self.end, period), period)
        drawn = [(line, graph.series(line.identity)) for line in lines if line.visible]
        return Widget(widget, lines=drawn)

    def _log(self, widget: Mapping[str, Any]) -> Widget:
        groups, query = log_query.groups_of(widget["properties"]["query"])
        events = [event for group in groups for event in self.events(group)]
        return Widget(widget, rows=log_query.answer(query, events))

    def events(self, group: str) -> list[log_query.Event]:
        """The events of a log group in the time shown, read once."""
        if group not in self._events:
            pages = self.logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=self.start * 1000, endTime=self.end * 1000
            )
            found = (event for page in pages for event in page["events"])
            self._events[group] = [(e["timestamp"] / 1000, e["message"]) for e in found]
        return self._events[group]

    def _alarm(self, widget: Mapping[str, Any]) -> Widget:
        names = [arn.split(":alarm:")[1] for arn in widget["properties"]["alarms"]]
        described = self.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in described}
        return Widget(widget, alarms=[(name, states.get(name, "MISSING")) for name in names])


def lines_of(widget: Mapping[str, Any]) -> list[Line]:
    """A metric widget's lines."""
    properties = widget["properties"]
    return [Line.of(entry, properties, n) for n, entry in enumerate(properties["metrics"])]


def moment(seconds: float) -> datetime.datetime:
    """Epoch seconds, as boto3 takes a time."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def span(body: Mapping[str, Any]) -> int:
    """The seconds that a dashboard shows when it is opened, by its `start`: -PT24H, -P7D."""
    found = re.fullmatch(r"-P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?", body.get("start", "-PT3H"))
    if not found:
        raise DashboardError(f"not known here: start {body['start']}")
    days, hours, minutes = (int(number or 0) for number in found.groups())
    return days * 24 * HOUR + hours * HOUR + minutes * 60


def load(name: str, cloudwatch: Any, logs: Any, end: float, seconds: int = 0) -> Dashboard:
    """A dashboard of the cloud, for so long before `end`; as long as it says itself for 0."""
    try:
        answer = cloudwatch.get_dashboard(DashboardName=name)
    except cloudwatch.exceptions.ClientError as error:
        raise DashboardError(f"no dashboard {name}: {error}") from None
    body = json.loads(answer["DashboardBody"])
    last = int(end) // 60 * 60
    return Dashboard(body, last - (seconds or span(body)), last, cloudwatch, logs)


def main() -> int:
    """Parse the command line, draw. Returns the exit status."""
    from tools import command, dashboard_plot  # boto3 and matplotlib, which are slow

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", help="the dashboard's name, NAME-warmkeeper")
    parser.add_argument("picture", type=Path, help="where the PNG goes")
    parser.add_argument("--hours", type=float, default=0, help="how many; as the dashboard says")
    command.add_place(parser)
    options = parser.parse_args()
    try:
        session = command.session_of(options)
        cloudwatch: Any = session.client("cloudwatch")
        logs: Any = session.client("logs")
        shown = load(options.name, cloudwatch, logs, time.time(), int(options.hours * HOUR))
        dashboard_plot.draw(shown, options.picture, options.name)
    except (DashboardError, command.CommandError, *command.ERRORS) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.picture} is drawn.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
