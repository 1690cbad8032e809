"""What is wrong with a dashboard, by what CloudWatch takes and by what is really written.

CloudWatch takes a widget of a metric that nobody writes, and one that lies under another: both are
seen by nobody until somebody looks for what is not there.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tools import log_query
from tools.dashboard import Line, lines_of
from tools.metric_math import Graph, MetricMathError

COLUMNS = 24
# By type: what a widget's properties may hold, what they must, and its views. `stacked` of a log
# widget is not in the document, but the console writes it, and the CDK does.
PROPERTIES = {
    "metric": {
        "accountId", "annotations", "legend", "liveData", "metrics", "period", "region",
        "sparkline", "stacked", "stat", "table", "timezone", "title", "view", "yAxis",
    },
    "log": {"accountId", "query", "region", "stacked", "title", "view"},
    "alarm": {"alarms", "sortBy", "states", "title"},
    "text": {"background", "markdown"},
}  # fmt: skip
REQUIRED = {
    "metric": {"metrics", "region"},
    "log": {"query", "region"},
    "alarm": {"alarms"},
    "text": {"markdown"},
}
VIEWS = {
    "metric": {"bar", "gauge", "pie", "singleValue", "table", "timeSeries"},
    "log": {"bar", "pie", "table", "timeSeries"},
}
OPTIONS = {
    "accountId", "color", "expression", "id", "label", "period", "region", "stat", "visible",
    "yAxis",
}  # fmt: skip
AXIS = {"label", "max", "min", "showUnits"}
ANNOTATION = {"color", "fill", "label", "value", "visible", "yAxis"}
KEYWORDS = {
    "and", "as", "asc", "avg", "by", "count", "desc", "fields", "filter", "ispresent", "limit",
    "max", "min", "or", "sort", "stats", "sum",
}  # fmt: skip
STATISTIC = re.compile(r"SampleCount|Average|Sum|Minimum|Maximum|p\d{1,2}(\.\d+)?")
# What AWS itself writes of what the module uses, by the dimensions that the module gives.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
WRITTEN_BY_AWS = {
    ("AWS/Lambda", "FunctionName"): {"Duration", "Errors", "Invocations", "Throttles"},
    ("AWS/ApplicationELB", "LoadBalancer", "TargetGroup"): {
        "HealthyHostCount",
        "RequestCount",
        "UnHealthyHostCount",
    },
}


def wrong(body: Mapping[str, Any]) -> list[str]:
    """What CloudWatch would refuse or not show, in words; nothing for a good one."""
    found = []
    if unknown := set(body) - {"end", "periodOverride", "start", "variables", "widgets"}:
        found.append(f"no dashboard has {unknown}")
    if not re.fullmatch(r"-P(T\d+[HM]|\d+[DWM])", body.get("start", "-PT3H")):
        found.append(f"start is {body['start']}")
    found += [f"{path} is empty" for path in empty(body)]
    for widget in body["widgets"]:
        found += [f"{_name(widget)}: {what}" for what in _wrong_widget(widget)]
    for one, other in itertools.combinations(body["widgets"], 2):
        if _squares(one) & _squares(other):
            found.append(f"{_name(one)} lies on {_name(other)}")
    return found


def empty(part: Any, path: str = "") -> Iterator[str]:
    """The paths of empty lists, objects and strings, some of which PutDashboard refuses."""
    if part in ([], {}, ""):
        yield path
    elif isinstance(part, dict):
        for name, inner in part.items():
            yield from empty(inner, f"{path}.{name}")
    elif isinstance(part, list):
        for number, inner in enumerate(part):
            yield from empty(inner, f"{path}[{number}]")


def _name(widget: Mapping[str, Any]) -> str:
    return str(widget["properties"].get("title", widget["type"]))


def _squares(widget: Mapping[str, Any]) -> set[tuple[int, int]]:
    columns = range(widget["x"], widget["x"] + widget["width"])
    return set(itertools.product(columns, range(widget["y"], widget["y"] + widget["height"])))


def _wrong_widget(widget: Mapping[str, Any]) -> Iterator[str]:
    kind, properties = widget["type"], widget["properties"]
    if kind not in PROPERTIES:
        yield f"no widget is of type {kind}"
        return
    if set(widget) != {"height", "properties", "type", "width", "x", "y"}:
        yield f"it has {sorted(widget)}"
    if not 0 <= widget["x"] < widget["x"] + widget["width"] <= COLUMNS or widget["height"] < 1:
        yield "it is not on the grid"
    if unknown := set(properties) - PROPERTIES[kind]:
        yield f"none of its type has {sorted(unknown)}"
    if missing := REQUIRED[kind] - set(properties):
        yield f"it lacks {sorted(missing)}"
        return
    if properties.get("view", "table") not in VIEWS.get(kind, {"table"}):
        yield f"no view is called {properties['view']}"
    if kind == "metric":
        yield from _wrong_metrics(widget)
    if kind == "log":
        yield from _wrong_query(properties["query"])
    if kind == "alarm" and not 1 <= len(properties["alarms"]) <= 100:
        yield "it shows from 1 to 100 alarms"


def _wrong_metrics(widget: Mapping[str, Any]) -> Iterator[str]:
    properties, lines = widget["properties"], lines_of(widget)
    for side, axis in properties.get("yAxis", {}).items():
        if side not in ("left", "right") or set(axis) - AXIS:
            yield f"no axis is {side}: {axis}"
    for mark in properties.get("annotations", {}).get("horizontal", ()):
        if "value" not in mark or set(mark) - ANNOTATION:
            yield f"no annotation is {mark}"
    for line in lines:
        yield from _wrong_line(line)
    identities = [line.options["id"] for line in lines if "id" in line.options]
    if len(set(identities)) < len(identities):
        yield "an id is there twice"
    if not any(line.visible for line in lines):
        yield "nothing is visible"
    graph = Graph(
        {line.identity: {0: 1.0} for line in lines if line.metric},
        {line.identity: line.options["expression"] for line in lines if not line.metric},
        [0],
        60,
    )
    for line in lines:
        try:
            graph.series(line.identity)
        except MetricMathError as error:
            yield str(error)


def _wrong_line(line: Line) -> Iterator[str]:
    if unknown := set(line.options) - OPTIONS:
        yield f"no line has {sorted(unknown)}"
    if not re.fullmatch(r"#[0-9a-f]{6}", line.options.get("color", "#000000")):
        yield f"no colour is {line.options['color']}"
    if not re.fullmatch(r"[a-z]\w*", line.options.get("id", "id")):
        yield f"no id is {line.options['id']}"
    if line.period < 60 or line.period % 60:
        yield f"no period is {line.period}"
    if not STATISTIC.fullmatch(line.statistic):
        yield f"no statistic is {line.statistic}"
    if len(line.metric) % 2:
        yield f"a dimension of {line.metric} has no value"


def _wrong_query(query: str) -> Iterator[str]:
    groups, rest = log_query.groups_of(query)
    if not groups:
        yield "it names no log group"
    try:
        log_query.answer(rest, [])
    except log_query.LogQueryError as error:
        yield str(error)


def shown(body: Mapping[str, Any]) -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """The metrics that its widgets show: namespace, name and dimensions."""
    found = set()
    for widget in body["widgets"]:
        for line in lines_of(widget) if widget["type"] == "metric" else ():
            if line.metric:
                namespace, name, *pairs = line.metric
                dimensions = sorted(zip(pairs[::2], pairs[1::2], strict=True))
                found.add((namespace, name, tuple(dimensions)))
    return found


def queries(body: Mapping[str, Any]) -> dict[str, str]:
    """Its Logs Insights queries by title, with their log groups."""
    logs = (widget["properties"] for widget in body["widgets"] if widget["type"] == "log")
    return {properties["title"]: properties["query"] for properties in logs}


def unguarded(query: str) -> set[str]:
    """The fields that a filter compares without asking whether they are there.

    Logs Insights does not say what it makes of a comparison with a field that an event has not.
    """
    found = set()
    for command in filter(lambda text: text.strip().startswith("filter "), query.split("|")):
        present = set(log_query.PRESENT.findall(command))
        for left, _, right in log_query.COMPARED.findall(command):
            compared = {side for side in (left, right) if not re.match(r"[\"'\d]", side)}
            found |= compared - present
    return found


def fields_of(query: str) -> set[str]:
    """The fields of the log that a query, without its SOURCE, asks for."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", query)
    made = set(re.findall(r"\bas (\w+)", bare))
    words = set(re.findall(log_query.FIELD, bare))
    return {word for word in words - KEYWORDS - made if not word[0].isdigit()} - {"@timestamp"}
