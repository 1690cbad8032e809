"""A day of a staging service, lived through in one process and poured into a local cloud.

`python -m demo.day` draws the module's dashboard of it. The warmkeeper is the real one: what it
logs and measures is what it would log and measure on AWS. Around it is the simulation of
tests/faults: ECS, load balancer, alarm and clients, with a clock that jumps (a local cloud would
take 24 minutes for a day at 60x). What the load balancer and Lambda would measure themselves is
counted here. The dashboard's JSON, its alarms and the settings are Terraform's, of this module with
the mocked provider.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import warmkeeper as wk
from botocore.exceptions import ClientError

from localcloud.client import running
from localcloud.logs import embedded_metrics
from localcloud.metrics import EXTRA_PERIODS, evaluate
from tests.faults.clients import NAVIGATION, Browser, Call
from tests.faults.matrix import BEAT
from tests.faults.simulation import Invocation, Simulation, TimedAws
from tests.terraform import plans
from tests.warmkeeper.world import Ecs, SimulatedTask, Stepped, moment
from tools import dashboard, dashboard_plot

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "dashboard.png"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
BEGIN = 1_799_949_600.0  # 18:00 UTC
PUT_LIMIT = 1000  # data points in one PutMetricData
LOG_LIMIT = 1000  # events in one PutLogEvents

SERVICE = {"cluster_name": "estate", "service_name": "app"}
APPLIED = f"""
module "day" {{
  source = "../.."

  name                 = "staging"
  cluster_name         = "{SERVICE["cluster_name"]}"
  service_name         = "{SERVICE["service_name"]}"
  target_group_arns    = ["{plans.GROUP}"]
  service_rule_arn     = "{plans.RULE}"
  rule_priority        = 97
  parked_rule_priority = 30097
  checks_enabled       = false
  dashboard_enabled    = true
}}
"""


def at(clock: str) -> float:
    """The moment of the day at which it is that late; 18:00 is its beginning."""
    hours, minutes = map(int, clock.split(":"))
    return BEGIN + (hours * HOUR + minutes * MINUTE - 18 * HOUR) % DAY


# --- the day -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Start:
    """How long the stages of a task's start take, in seconds."""

    place: float = 9.0
    pull: float = 14.0
    start: float = 1.5
    check: float = 11.0

    @property
    def whole(self) -> float:
        return self.place + self.pull + self.start + self.check


class DayEcs(Ecs):
    """With the times of a task's start."""

    def _described(self, task: SimulatedTask) -> dict[str, Any]:
        described, world = super()._described(task), self.world
        assert isinstance(world, StagingDay)
        start, placed = world.starts_as(task), task.created + world.starts_as(task).place
        times = {
            "connectivityAt": placed - 1.0,
            "pullStartedAt": placed,
            "pullStoppedAt": placed + start.pull,
            "startedAt": placed + start.pull + start.start,
        }
        return described | {key: moment(t) for key, t in times.items() if t <= world.time}


class DayAws(TimedAws):
    def client(self, service: str, *, taking: bool = False) -> Any:
        if service == "ecs":
            return Stepped(self, DayEcs(self.world), taking)
        return super().client(service, taking=taking)


@dataclass
class StagingDay(Simulation):
    """From 18:00 to 18:00. `log` is what the warmkeeper wrote, `points` what others measure."""

    desired: int = 1
    count: int = 1
    log: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    points: list[tuple[str, str, float, float]] = field(default_factory=list)
    broken_image: bool = False
    start_of: dict[int, Start] = field(default_factory=dict)
    next_start: Start = field(default_factory=Start)

    def __post_init__(self) -> None:
        self.time = BEGIN
        super().__post_init__()
        self.random = random.Random(7)
        self.lateness = lambda: self.random.uniform(60.0, 150.0)

    def play(self, settings: str) -> None:
        """Live through it, with the settings that Terraform writes."""
        self.items["settings"] = {"id": {"S": "settings"}, "body": {"S": settings}}
        with mock.patch.object(wk, "log", self._logged):
            self.signal(wk.Kind.ADOPT)
            self.start()
            for moment_, event in self._plan():
                self.timeline.at(moment_, event)
            self._measure()
            self.run(BEGIN + DAY)
            self.timeline.close()

    def _plan(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """What happens when."""
        yield at("18:00"), lambda: self._session(25)
        yield at("20:10"), lambda: self._wakes(Start(pull=12.0), self._call)
        yield at("02:00"), lambda: self._wakes(Start(), lambda: self._command("wake"))
        yield at("04:10"), lambda: self._stranger("Mozilla/5.0", "/wp-login.php")  # not ignored
        yield at("07:38"), self._break_image
        yield at("07:40"), self._browse
        yield at("07:49"), self._mend_image
        yield at("07:52"), lambda: self._wakes(Start(), lambda: self._session(70))
        yield at("09:05"), lambda: self._stream(80)
        yield at("09:50"), self._refused
        yield at("11:30"), lambda: self._wakes(Start(pull=66.0), lambda: self._session(30))
        yield at("13:25"), lambda: self._wakes(Start(place=12.0), self._raise_count)
        yield at("13:30"), lambda: self._session(20)
        yield at("14:10"), self._throttled
        yield at("14:40"), lambda: self._wakes(Start(pull=16.0, check=8.0), self._call)
        yield at("16:20"), lambda: self._wakes(Start(check=14.0), lambda: self._session(30))
        for hour in range(24):
            yield BEGIN + hour * HOUR + 7 * MINUTE, self._monitor
            yield BEGIN + hour * HOUR + 37 * MINUTE, self._monitor
        for agent, path, often in (
            ("Googlebot/2.1", "/robots.txt", 9),
            ("Mozilla/5.0 zgrab/0.x", "/", 14),
            ("curl/8.5.0", "/.env", 8),
        ):
            for _ in range(often):
                yield (
                    BEGIN + self.random.uniform(0, DAY),
                    lambda agent=agent, path=path: self._stranger(agent, path),  # type: ignore[misc]
                )

    # --- who comes -----------------------------------------------------------------------------
    def _wakes(self, start: Start, event: Callable[[], None]) -> None:
        """The next task starts so."""
        self.next_start = start
        event()

    def _call(self) -> None:
        Call(self).run()

    def _browse(self) -> None:
        """A person who gives up after five minutes of a page that says why."""
        self.request("a browser", "/", **NAVIGATION)
        for _ in range(50):
            self.timeline.sleep(6.0)
            self.request("a poll", "/.warmkeeper/status")

    def _session(self, minutes: float) -> None:
        """Somebody works with it."""
        Browser(self).run()
        until = self.time + minutes * MINUTE
        while self.time < until:
            self.timeline.sleep(self.random.expovariate(1 / 15.0))
            Call(self).run()

    def _stream(self, minutes: float) -> None:
        """Somebody watches, without a request: the proxy's beats."""
        until = self.time + minutes * MINUTE
        while self.time < until:
            self.request("a beat", "/health", "POST", authorization="Bearer secret", body=BEAT)
            self.timeline.sleep(30.0)

    def _refused(self) -> None:
        """A beat with another token."""
        self.request("a beat", "/health", "POST", authorization="Bearer wrong", body=BEAT)

    def _throttled(self) -> None:
        """A status that cannot be told: the table does not answer."""

        def refused(*_: object) -> None:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem")

        self.running_fault = (lambda _, site: site == "GetItem memory", refused)
        self.request("a poll", "/.warmkeeper/status")
        self.running_fault = None

    def _monitor(self) -> None:
        self._stranger("UptimeRobot/2.0", "/")

    def _stranger(self, agent: str, path: str) -> None:
        """Asks once, and goes away with whatever it gets."""
        named: dict[str, Any] = {"user-agent": agent, "accept": "*/*"}
        self.request("a stranger", path, **named)

    def _command(self, command: str) -> None:
        self.hear(command, {"command": command})

    def _raise_count(self) -> None:
        """Somebody, in the console."""
        self.set_desired(1)

    def _break_image(self) -> None:
        """Whatever is deployed now has no image."""
        self.deployment, self.broken_image, self.starts = "ecs-svc/2", True, False

    def _mend_image(self) -> None:
        self.deployment, self.broken_image, self.starts = "ecs-svc/3", False, True

    # --- ECS -----------------------------------------------------------------------------------
    def starts_as(self, task: SimulatedTask) -> Start:
        return self.start_of.get(task.number, Start())

    def set_desired(self, count: int, service: str = "app") -> None:
        before = self.tasks.copy()
        if count > len(self.running()):
            self.boot = self.next_start.whole
        super().set_desired(count, service)
        for task in (each for each in self.tasks if each not in before):
            self.start_of[task.number] = self.next_start
            if self.broken_image:
                self.timeline.at(self.time + 30.0, lambda task=task: self._not_pulled(task))  # type: ignore[misc]
        self.next_start = Start()

    def _not_pulled(self, task: SimulatedTask) -> None:
        """ECS tries again, with another task."""
        if task.stopped is None:
            task.stopped = self.time
            task.reason = "CannotPullContainerError: app:1.8.2: not found"
            self.timeline.at(self.time + 10.0, lambda: self.set_desired(self.desired))

    def hours(self, *phases: str) -> float:
        """Hours spent in these phases."""
        ends = [when for when, _ in self.phases[1:]] + [self.time]
        spans = zip(self.phases, ends, strict=True)
        return sum(end - when for (when, phase), end in spans if phase in phases) / HOUR

    def wakes(self) -> int:
        """How often it woke."""
        phases = [phase for _, phase in self.phases]
        return sum(pair == ("waking", "awake") for pair in itertools.pairwise(phases))

    def lines(self) -> list[tuple[float, str]]:
        """The log: when, and which line."""
        return [(when, json.dumps(entry)) for when, entry in self.log]

    # --- what is measured ----------------------------------------------------------------------
    def _logged(self, **entry: Any) -> None:
        self.log.append((self.time, json.loads(json.dumps(entry, default=str))))

    def invoke_as(self, name: str, event: Any) -> dict[str, Any]:
        """As Lambda runs and measures it."""
        began, failed = self.time, 1.0
        self.invocations[name] += 1
        invocation = Invocation(began + 360.0)
        try:
            answer = wk.Warmkeeper(DayAws(self, invocation)).dispatch(event)
            failed = 0.0
            return answer
        finally:
            for metric, value in (
                ("Invocations", 1.0),
                ("Errors", failed),
                ("Throttles", 0.0),
                ("Duration", (self.time - began) * 1000 + 4.0),  # what its own computing takes
            ):
                self.points.append(("AWS/Lambda", metric, began, value))
            if name == "tick":
                self.points.append(("AWS/Events", "Invocations", began, 1.0))

    def _measure(self) -> None:
        """The load balancer's minute: hosts where there are targets, requests if there are any."""
        self.timeline.at(self.time + MINUTE, self._measure)
        minute = math.floor(self.time / MINUTE) - 1
        registered = [t for t in self.running() if self.time > t.created + self.starts_as(t).place]
        if registered:
            healthy = sum(map(self.healthy, registered))
            self._count("HealthyHostCount", self.time - 1, float(healthy))
        if served := self.requests.requests.get(minute):
            self._count("RequestCount", minute * MINUTE, float(served))

    def _count(self, metric: str, when: float, value: float) -> None:
        self.points.append(("AWS/ApplicationELB", metric, when, value))


# --- into a cloud ------------------------------------------------------------------------------
@dataclass(frozen=True)
class Module:
    """What Terraform makes of the module, as far as the day needs it."""

    resources: Mapping[str, list[Mapping[str, Any]]]

    @classmethod
    def applied(cls) -> Module:
        """By the mocked provider. Raises PlansError."""
        (ROOT / ".cache").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="day-", dir=ROOT / ".cache") as folder:
            scratch = Path(folder)
            (scratch / "main.tf").write_text(APPLIED)
            found: dict[str, list[Mapping[str, Any]]] = {}
            for resource in plans.resources(plans.state_of(scratch)):
                found.setdefault(resource["type"], []).append(resource["values"])
        return cls(found)

    def one(self, kind: str) -> Mapping[str, Any]:
        (values,) = self.resources[kind]
        return values

    def body(self) -> dict[str, Any]:
        """The dashboard's. The mocked provider gives all alarms one ARN, so these are composed."""
        body: dict[str, Any] = json.loads(self.one("aws_cloudwatch_dashboard")["dashboard_body"])
        for widget in body["widgets"]:
            if widget["type"] == "alarm":
                arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:"
                names = [alarm["alarm_name"] for alarm in self.alarms]
                widget["properties"]["alarms"] = [arn + name for name in names]
        return body

    def dimensions(self, namespace: str) -> dict[str, str]:
        """Of what AWS itself measures there of this module's resources."""
        if namespace == "AWS/Lambda":
            return {"FunctionName": self.one("aws_lambda_function")["function_name"]}
        if namespace == "AWS/Events":
            rules = self.resources["aws_cloudwatch_event_rule"]
            return {"RuleName": next(r["name"] for r in rules if r["schedule_expression"])}
        (idle,) = (alarm for alarm in self.alarms if alarm["metric_name"] == "RequestCount")
        return dict(idle["dimensions"])

    @property
    def settings(self) -> str:
        item = json.loads(self.one("aws_dynamodb_table_item")["item"])
        return str(item["body"]["S"])

    @property
    def alarms(self) -> list[Mapping[str, Any]]:
        return self.resources["aws_cloudwatch_metric_alarm"]


@dataclass(frozen=True)
class Pour:
    """The day's data, later by `shift`, in the cloud that the clients lead to."""

    module: Module
    day: StagingDay
    shift: float
    cloudwatch: Any
    logs: Any

    def everything(self) -> None:
        self.metrics()
        self.log()
        self.alarms()
        self.cloudwatch.put_dashboard(
            DashboardName=self.module.one("aws_cloudwatch_dashboard")["dashboard_name"],
            DashboardBody=json.dumps(self.module.body()),
        )

    def metrics(self) -> None:
        """The warmkeeper's own, out of its log lines, and those of AWS."""
        data: dict[str, list[dict[str, Any]]] = {}
        for _, entry in self.day.log:
            for one in embedded_metrics(entry) if "_aws" in entry else ():
                told = _datum(one.name, one.dimensions, one.timestamp + self.shift, one.value)
                data.setdefault(one.namespace, []).append({**told, "Unit": one.unit})
        for namespace, name, when, value in self.day.points:
            datum = _datum(name, self.module.dimensions(namespace), when + self.shift, value)
            data.setdefault(namespace, []).append(datum)
        for namespace, points in data.items():
            for start in range(0, len(points), PUT_LIMIT):
                self.cloudwatch.put_metric_data(
                    Namespace=namespace, MetricData=points[start : start + PUT_LIMIT]
                )

    def log(self) -> None:
        group, stream = self.module.one("aws_cloudwatch_log_group")["name"], "day"
        self.logs.create_log_group(logGroupName=group)
        self.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [
            {"timestamp": int((when + self.shift) * 1000), "message": line}
            for when, line in sorted(self.day.lines())
        ]
        for start in range(0, len(events), LOG_LIMIT):
            self.logs.put_log_events(
                logGroupName=group,
                logStreamName=stream,
                logEvents=events[start : start + LOG_LIMIT],
            )

    def alarms(self) -> None:
        """Made, and in the state that CloudWatch would have found at the end of the day."""
        end = BEGIN + DAY + self.shift
        for alarm in self.module.alarms:
            settings = {
                "EvaluationPeriods": alarm["evaluation_periods"],
                "ComparisonOperator": alarm["comparison_operator"],
                "Threshold": alarm["threshold"],
                "TreatMissingData": alarm["treat_missing_data"],
            }
            metric = {
                "Namespace": alarm["namespace"],
                "MetricName": alarm["metric_name"],
                "Dimensions": [{"Name": k, "Value": v} for k, v in alarm["dimensions"].items()],
            }
            period = int(alarm["period"])
            count = int(alarm["evaluation_periods"]) + EXTRA_PERIODS
            stat = {"Metric": metric, "Period": period, "Stat": alarm["statistic"]}
            found = self.cloudwatch.get_metric_data(
                MetricDataQueries=[{"Id": "m", "MetricStat": stat}],
                StartTime=moment(end - count * period),
                EndTime=moment(end),
            )["MetricDataResults"][0]
            there = dict(zip(found["Timestamps"], found["Values"], strict=True))
            moments = [moment(end - n * period) for n in range(count, 0, -1)]
            state = evaluate([there.get(when) for when in moments], settings, "OK")
            name = alarm["alarm_name"]
            self.cloudwatch.put_metric_alarm(
                AlarmName=name, Period=period, Statistic=alarm["statistic"], **metric, **settings
            )
            self.cloudwatch.set_alarm_state(
                AlarmName=name, StateValue=state, StateReason="the end of the day"
            )


def _datum(name: str, dimensions: Mapping[str, str], when: float, value: float) -> dict[str, Any]:
    named = [{"Name": key, "Value": each} for key, each in sorted(dimensions.items())]
    return {"MetricName": name, "Dimensions": named, "Timestamp": moment(when), "Value": value}


def latest_end() -> float:
    """The last 18:00 UTC: CloudWatch takes what is not older than two weeks."""
    return (time.time() - BEGIN) // DAY * DAY + BEGIN


def clients(endpoint: str | None = None) -> tuple[Any, Any]:
    """CloudWatch and CloudWatch Logs."""
    session = boto3.Session("local", "local", region_name="eu-west-1")
    cloudwatch: Any = session.client("cloudwatch", endpoint_url=endpoint)
    logs: Any = session.client("logs", endpoint_url=endpoint)
    return cloudwatch, logs


def main() -> int:
    """Draw the picture. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picture", type=Path, nargs="?", default=PICTURE)
    options = parser.parse_args()
    module, day, end = Module.applied(), StagingDay(), latest_end()
    day.play(module.settings)
    with running() as cloud:
        cloudwatch, logs = clients(cloud.endpoint)
        Pour(module, day, end - BEGIN - DAY, cloudwatch, logs).everything()
        name = module.one("aws_cloudwatch_dashboard")["dashboard_name"]
        dashboard_plot.draw(dashboard.load(name, cloudwatch, logs, end), options.picture, name)
    print(f"{options.picture} is drawn.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
