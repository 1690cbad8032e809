"""The dashboard and the saved queries: taken by CloudWatch, and of what is really written."""

from __future__ import annotations

import copy
import itertools
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from moto import mock_aws

from demo.day import BEGIN, DAY, Module, Pour, StagingDay, clients, latest_end
from demo.tests import dashboards
from localcloud.logs import embedded_metrics
from tests.terraform import plans
from tools import cost, dashboard, dashboard_plot, log_query

pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def module() -> Module:
    return Module.applied()


@pytest.fixture(scope="module")
def day(module: Module) -> StagingDay:
    lived = StagingDay()
    lived.play(module.settings)
    return lived


@pytest.fixture
def body(module: Module) -> dict[str, Any]:
    return module.body()


def test_cloudwatch_takes_the_dashboard_and_nothing_overlaps(body: dict[str, Any]) -> None:
    assert dashboards.wrong(body) == []


def widget(body: dict[str, Any], title: str) -> Any:
    found = (w for w in body["widgets"] if w["properties"].get("title", "").startswith(title))
    return next(found)


BREAKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "lies on": lambda body: widget(body, "Wakes by cause").update(x=16),
    "not on the grid": lambda body: widget(body, "Wakes by cause").update(width=8),
    "none of its type has": lambda body: widget(body, "Now")["properties"].update(stat="Sum"),
    "it lacks": lambda body: widget(body, "Now")["properties"].pop("region"),
    "no view": lambda body: widget(body, "Now")["properties"].update(view="singleValue"),
    "no widget is of type": lambda body: body["widgets"][0].update(type="logs"),
    "no dashboard has": lambda body: body.update(title="x"),
    "start is": lambda body: body.update(start="24h"),
    "no log group": lambda body: widget(body, "Now")["properties"].update(query="limit 1"),
    "not known here": lambda body: widget(body, "Now")["properties"].update(query="show all"),
    "no annotation": lambda body: widget(body, "Cold")["properties"]["annotations"].update(
        horizontal=[{"label": "target"}]
    ),
    "no axis": lambda body: widget(body, "Cold")["properties"]["yAxis"].update(middle={}),
    "there is no live": lambda body: widget(body, "Awake")["properties"]["metrics"].pop(1),
    "twice": lambda body: widget(body, "Awake")["properties"]["metrics"][0][-1].update(id="live"),
    "no line has": lambda body: widget(body, "Each")["properties"]["metrics"][0][-1].update(a=1),
    "no colour": lambda body: widget(body, "Each")["properties"]["metrics"][0][-1].update(
        color="red"
    ),
    "no period": lambda body: widget(body, "Each")["properties"].update(period=90),
    "no statistic": lambda body: widget(body, "Each")["properties"].update(stat="Median"),
    "horizontal is empty": lambda body: widget(body, "Cold")["properties"]["annotations"].update(
        horizontal=[]
    ),
    "title is empty": lambda body: widget(body, "Each")["properties"].update(title=""),
    "yAxis is empty": lambda body: widget(body, "Each")["properties"].update(yAxis={}),
    "from 1 to 100": lambda body: widget(body, "Alarms")["properties"].update(alarms=[]),
}


def test_whatever_is_broken_is_found_out(body: dict[str, Any]) -> None:
    unseen = []
    for what, breaks in BREAKS.items():
        broken = copy.deepcopy(body)
        breaks(broken)
        if not any(what in found for found in dashboards.wrong(broken)):
            unseen.append(what)
    assert unseen == []


SWITCHES: dict[str, tuple[dict[str, Any], ...]] = {
    "wake path": (
        {"service_rule_arn": plans.RULE, "rule_priority": 97, "parked_rule_priority": 40000},
        {
            "wake_path": "alarm",
            "load_balancer_arn": f"{plans.ARN}loadbalancer/app/edge/1111111111111111",
        },
    ),
    "threshold": ({}, {"idle_request_threshold": 3}),
    "the rest": (
        {},
        {
            "task_price_per_hour": 0,
            "heartbeat": {"enabled": False},
            "websocket_rule": True,
            "wake_policy": {"ignore": []},
            "cors_allowed_origins": [],
            "transition_notices": False,
            "unseen_traffic": "ignore",
        },
    ),
}


def test_nothing_empty_is_sent_whatever_the_switches() -> None:
    """PutDashboard is strict, and moto's is not."""
    fixed = {
        "source": "../..",
        **plans.SERVICE,
        "target_group_arns": [plans.GROUP],
        "checks_enabled": False,
        "dashboard_enabled": True,
    }
    calls = {}
    for number, chosen in enumerate(itertools.product(*SWITCHES.values())):
        given = {"name": f"web-{number}", **fixed}
        for inputs in chosen:
            given |= inputs
        calls[f"web-{number}"] = given
    bodies = bodies_of(calls)
    assert len(bodies) == len(calls) == 2 ** len(SWITCHES)
    assert {name: dashboards.wrong(body) for name, body in bodies.items()} == {
        name: [] for name in calls
    }


def bodies_of(calls: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The dashboards of these calls of the module, by the calls' names."""
    (plans.ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dashboards-", dir=plans.ROOT / ".cache") as folder:
        scratch = Path(folder)
        (scratch / "main.tf.json").write_text(json.dumps({"module": calls}))
        found = plans.resources(plans.state_of(scratch))
        made = [r for r in found if r["type"] == "aws_cloudwatch_dashboard"]
    return {r["address"].split(".")[1]: json.loads(r["values"]["dashboard_body"]) for r in made}


def test_what_a_filter_compares_is_there(module: Module, body: dict[str, Any]) -> None:
    saved = module.resources["aws_cloudwatch_query_definition"]
    queries = {query["name"]: query["query_string"] for query in saved}
    queries |= dashboards.queries(body)
    queries |= documented_queries()
    assert {name: dashboards.unguarded(query) for name, query in queries.items()} == {
        name: set() for name in queries
    }
    assert dashboards.unguarded("fields a | filter a != b and ispresent(b)") == {"a"}


def documented_queries() -> dict[str, str]:
    """The queries of Logs Insights in the documents, by document and number."""
    found: dict[str, str] = {}
    for document in plans.DOCUMENTS:
        code = re.findall(r"(?ms)^ *```text\n(.*?)^ *```", document.read_text())
        queries = [block for block in code if re.search(r"(?m)^ *\|? *(filter|fields) ", block)]
        found |= {f"{document.stem} {number}": query for number, query in enumerate(queries)}
    assert len(found) >= 3
    return found


def test_every_metric_shown_is_written(
    module: Module, day: StagingDay, body: dict[str, Any]
) -> None:
    """The warmkeeper's by the warmkeeper, in a day; AWS's by AWS, of this module's resources."""
    events = [entry for _, entry in day.log if "_aws" in entry]
    written = {
        (one.namespace, one.name, tuple(sorted(one.dimensions.items())))
        for entry in events
        for one in embedded_metrics(entry)
    }
    own = set()
    for namespace, name, dimensions in dashboards.shown(body):
        if not namespace.startswith("AWS/"):
            own.add((namespace, name, dimensions))
            continue
        names = (key for key, _ in dimensions)
        assert name in dashboards.WRITTEN_BY_AWS[namespace, *names]
        assert dict(dimensions) == module.dimensions(namespace)
    assert own <= written
    assert {"Wakes"} == {name for _, name, _ in written} - {name for _, name, _ in own}


def test_every_field_asked_for_is_logged(
    module: Module, day: StagingDay, body: dict[str, Any]
) -> None:
    """By a field that nobody writes a query finds nothing, and says nothing."""
    logged = {name for event in day.lines() for name in log_query.discovered(event)}
    saved = module.resources["aws_cloudwatch_query_definition"]
    queries = {query["name"]: query["query_string"] for query in saved}
    group = module.one("aws_cloudwatch_log_group")["name"]
    assert all(query["log_group_names"] == [group] for query in saved)
    for title, query in dashboards.queries(body).items():
        groups, queries[title] = log_query.groups_of(query)
        assert groups == [group]
    assert {name: dashboards.fields_of(query) - logged for name, query in queries.items()} == {
        name: set() for name in queries
    }


def test_every_query_finds_something_in_a_day(module: Module, day: StagingDay) -> None:
    for query in module.resources["aws_cloudwatch_query_definition"]:
        assert log_query.answer(query["query_string"], day.lines()), query["name"]


def test_every_alarm_is_on_the_dashboard(module: Module) -> None:
    """Before the mocked provider's one ARN is replaced: as many as there are."""
    raw = module.one("aws_cloudwatch_dashboard")["dashboard_body"]
    assert raw.count('"arn:aws:cloudwatch:') == len(module.alarms)


def test_the_price_of_a_task_is_that_of_the_price_table(body: dict[str, Any]) -> None:
    title = next(t for w in body["widgets"] if "USD" in (t := w["properties"].get("title", "")))
    price = float(title.split()[2])
    assert price == pytest.approx(cost.Book.read().task_hour(256, 512, arm=False), abs=5e-6)


def test_the_figures_are_those_of_the_day(module: Module, day: StagingDay, tmp_path: Path) -> None:
    """As a cloud gives them back, against what the simulation itself knows."""
    end = latest_end()
    with mock_aws():
        cloudwatch, logs = clients()
        Pour(module, day, end - BEGIN - DAY, cloudwatch, logs).everything()
        name = module.one("aws_cloudwatch_dashboard")["dashboard_name"]
        shown = dashboard.load(name, cloudwatch, logs, end)
        found = {one.properties.get("title", ""): one for one in shown.widgets()}
        dashboard_plot.draw(shown, tmp_path / "dashboard.png", name)
    assert matplotlib.image.imread(tmp_path / "dashboard.png").shape[1] > 1500

    def titled(words: str) -> dashboard.Widget:
        return next(one for title, one in found.items() if title.startswith(words))

    hours, saved, _ = (max(series.items())[1] for _, series in titled("Saved").lines)
    assert hours == pytest.approx(day.hours("asleep", "waking"), abs=0.25)
    assert saved == pytest.approx(hours * 0.01234)
    ((_, sleeps),) = titled("Each sleep").lines
    now_asleep = (BEGIN + DAY - day.memory.since) / 3600
    assert sum(sleeps.values()) / 60 == pytest.approx(day.hours("asleep") - now_asleep, abs=0.25)
    (now,) = titled("Now").rows
    assert now["phase"] == day.phase() == "asleep"
    wakes, stages = titled("Why it woke").rows, titled("Where").rows
    woken = [row for row in wakes if "cause" in row]
    assert len(wakes) - len(woken) == 1
    assert "CannotPull" in str(wakes)
    assert len(woken) == day.wakes()
    for wake, stage in zip(woken[:10], stages, strict=True):
        assert sum(v for k, v in stage.items() if k != "@timestamp") == pytest.approx(
            wake["seconds"], abs=1.0
        )
    assert ("staging-idle", "ALARM") in titled("Alarms").alarms
