"""CloudWatch: data points as they become visible, and alarms that are evaluated and act."""

from __future__ import annotations

import asyncio
import json
import math
import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.control import ACCOUNT, REGION
from localcloud.gateway import ApiError, Call

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
# How many periods more than EvaluationPeriods are looked at. The page gives one example only: five
# points for three periods of standard resolution.
EXTRA_PERIODS = 2
# Data points older than this (seconds) are forgotten, unless an alarm looks back further.
KEPT = 6 * 3600.0
PUT_LIMIT = 1000  # data points in one PutMetricData
REGION_NAME = "US East (N. Virginia)"

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"


def evaluate(datapoints: Sequence[float | None], alarm: Mapping[str, Any], current: str) -> str:
    """The state of an alarm whose evaluation range holds `datapoints`, oldest first, None missing.

    `alarm` has the shape of `DescribeAlarms`; `current` is what `ignore` keeps. Imitates
    "Configuring how CloudWatch alarms treat missing data": as many real points as there are
    evaluation periods are judged alone, the newest of the range; if there are fewer, all of them
    are, and the missing ones are filled in. The tables of the page add two things to its text: the
    rule for premature alarms does not apply with a non-breaching point in the range (`0 - X - -`,
    2 of 3), and under `ignore` it keeps the state. Where the page is silent (only breaching points,
    fewer than needed and too young), `missing` gives OK, `ignore` keeps the state.
    """
    periods = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    treatment = alarm.get("TreatMissingData") or "missing"
    breaches = COMPARISONS[alarm["ComparisonOperator"]]
    real = [
        (age, breaches(value, float(alarm["Threshold"])))
        for age, value in enumerate(reversed(datapoints), start=1)
        if value is not None
    ]
    judged = real[:periods]
    breaching = sum(breach for _, breach in judged)
    if treatment == "breaching":
        breaching += periods - len(judged)
    if breaching >= needed:
        return ALARM
    if len(judged) == periods or treatment in ("breaching", "notBreaching"):
        return OK
    if not judged:
        return INSUFFICIENT_DATA if treatment == "missing" else current
    if not all(breach for _, breach in judged):
        return OK
    if treatment == "ignore":
        return current
    return ALARM if judged[-1][0] >= needed else OK


def statistic(values: Sequence[float], name: str) -> float:
    """One statistic of a period's values ("CloudWatch statistics definitions"); ValueError if not
    one of Sum, Average, Minimum, Maximum, SampleCount and percentiles such as p99.
    """
    plain: dict[str, Callable[[Sequence[float]], float]] = {
        "Sum": math.fsum,
        "Average": lambda each: math.fsum(each) / len(each),
        "Minimum": min,
        "Maximum": max,
        "SampleCount": len,
    }
    if name in plain:
        return float(plain[name](values))
    if not name.startswith("p"):
        raise ValueError(f"unknown statistic {name!r}")
    rank = math.ceil(float(name[1:]) / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def state_reason(datapoints: Sequence[float | None], alarm: Mapping[str, Any], state: str) -> str:
    """The sentence that `StateReason` holds, in CloudWatch's manner."""
    periods = int(alarm["EvaluationPeriods"])
    judged = [value for value in reversed(datapoints) if value is not None][:periods]
    if state == INSUFFICIENT_DATA:
        return f"Insufficient Data: {periods} datapoints were unknown."
    if not judged:
        kind = "Breaching" if state == ALARM else "NonBreaching"
        return (
            f"Threshold Crossed: no datapoints were received for {periods} periods and "
            f"{periods} missing datapoints were treated as [{kind}]."
        )
    verb = "were" if state == ALARM else "were not"
    return (
        f"Threshold Crossed: {len(judged)} out of the last {periods} datapoints {judged} {verb} "
        f"{alarm['ComparisonOperator']} ({float(alarm['Threshold'])})."
    )


def stamp(moment: float) -> str:
    """Epoch seconds as CloudWatch writes them, for example 2023-08-04T12:36:15.490+0000."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "+0000"


@dataclass(frozen=True)
class State:
    """What an alarm says, why, and since when (epoch seconds)."""

    value: str
    reason: str
    since: float

    def as_dict(self) -> dict[str, str]:
        """The `state` of an alarm event."""
        return {"value": self.value, "reason": self.reason, "timestamp": stamp(self.since)}


@dataclass
class Watch:
    """One alarm: its configuration as `DescribeAlarms` gives it, and its state."""

    alarm: dict[str, Any]
    state: State

    @property
    def period(self) -> float:
        """The length of a data point in seconds."""
        return float(self.alarm["Period"])

    @property
    def interval(self) -> float:
        """Seconds between evaluations: a minute, ten seconds for periods below one."""
        return 60.0 if self.period >= 60 else 10.0

    @property
    def range(self) -> int:
        """The number of periods in the evaluation range."""
        return int(self.alarm["EvaluationPeriods"]) + EXTRA_PERIODS


@dataclass(frozen=True)
class Point:
    """A value of a metric, the moment it belongs to, and the one from which it can be seen."""

    timestamp: float
    value: float
    unit: str
    available_at: float


Series = tuple[str, str, frozenset[tuple[str, str]]]


class Metrics:
    """Keeps data points, hands them on to the control plane when due, evaluates the alarms."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._points: dict[Series, deque[Point]] = {}
        self._outbox: dict[tuple[str, float], list[dict[str, Any]]] = {}
        self._watches: dict[str, Watch] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._refreshing = asyncio.Lock()

    async def start(self) -> None:
        """Take over what concerns alarms and their state, from now on."""
        gateway = self._cloud.gateway
        gateway.override("cloudwatch", "PutMetricAlarm", self._check_alarm)
        gateway.after("cloudwatch", "DescribeAlarms", self._in_virtual_time)
        gateway.subscribe("cloudwatch", self._changed)

    async def stop(self) -> None:
        """Evaluate no more."""
        for loop in self._loops.values():
            loop.cancel()
        await asyncio.gather(*self._loops.values(), return_exceptions=True)

    def put(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        value: float,
        unit: str = "None",
        timestamp: float | None = None,
        available_at: float | None = None,
    ) -> None:
        """Take in one value; both moments are virtual epoch seconds and default to now.

        Alarms and readers see it from `available_at` on.
        """
        now = self._cloud.clock.now()
        point = Point(
            now if timestamp is None else timestamp,
            value,
            unit,
            now if available_at is None else available_at,
        )
        self._keep((namespace, name, frozenset(dimensions.items())), point)
        datum = {
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": each} for key, each in dimensions.items()],
            "Timestamp": datetime.fromtimestamp(point.timestamp, UTC),
            "Value": value,
            "Unit": unit,
        }
        waiting = self._outbox.setdefault((namespace, point.available_at), [])
        waiting.append(datum)
        if len(waiting) == 1:
            self._cloud.spawn(self._publish(namespace, point.available_at))

    def vend(
        self, namespace: str, name: str, dimensions: Mapping[str, str], value: float, unit: str
    ) -> None:
        """Take in a service's own value: of its minute, seen `lateness_seconds` after its end."""
        minute = self._cloud.clock.now() // 60 * 60
        seen = minute + 60 + float(self._cloud.settings["cloudwatch"]["lateness_seconds"])
        self.put(namespace, name, dimensions, value, unit, minute, seen)

    def _keep(self, series: Series, point: Point) -> None:
        points = self._points.setdefault(series, deque())
        points.append(point)
        reach = max([KEPT, *(watch.period * (watch.range + 2) for watch in self._watches.values())])
        while points[0].timestamp < point.timestamp - reach:
            points.popleft()

    async def _publish(self, namespace: str, moment: float) -> None:
        await self._cloud.clock.sleep_until(moment)
        data = self._outbox.pop((namespace, moment))
        for start in range(0, len(data), PUT_LIMIT):
            await self._cloud.control.call(
                "cloudwatch",
                "put_metric_data",
                Namespace=namespace,
                MetricData=data[start : start + PUT_LIMIT],
            )

    # What callers do.

    async def _check_alarm(self, call: Call) -> None:
        """Say clearly what cannot be evaluated here, instead of never evaluating it."""
        if "MetricName" not in call.params:
            raise ApiError("ValidationError", "The local cloud evaluates no metric math in alarms.")

    async def _changed(self, call: Call) -> None:
        if call.action == "PutMetricData":
            self._take_data(call.params)
        elif call.action == "SetAlarmState":
            await self._set_state(call.params)
        elif "Alarm" in call.action:
            await self._refresh()

    def _take_data(self, params: Mapping[str, Any]) -> None:
        now = self._cloud.clock.now()
        for datum in params["MetricData"]:
            pairs = frozenset((each["Name"], each["Value"]) for each in datum.get("Dimensions", []))
            given = datum.get("Timestamp")
            moment = given.timestamp() if isinstance(given, datetime) else now
            values = datum.get("Values") or [datum["Value"]]
            counts = datum.get("Counts") or [1] * len(values)
            for value, count in zip(values, counts, strict=True):
                point = Point(moment, float(value), datum.get("Unit", "None"), now)
                for _ in range(int(count)):
                    self._keep((params["Namespace"], datum["MetricName"], pairs), point)

    async def _set_state(self, params: Mapping[str, Any]) -> None:
        """`SetAlarmState`: actions run on a change, and the next evaluation undoes it."""
        watch = self._watches.get(params["AlarmName"])
        if watch is not None:
            await self._enter(watch, params["StateValue"], params["StateReason"])

    async def _in_virtual_time(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        for alarm in reply.get("MetricAlarms", []):
            if watch := self._watches.get(alarm["AlarmName"]):
                since = datetime.fromtimestamp(watch.state.since, UTC)
                alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = since
        return reply

    async def _refresh(self) -> None:
        """Take over the alarms as they are configured now; a new one is INSUFFICIENT_DATA.

        Imitates `PutMetricAlarm`: an update leaves the state as it was.
        """
        async with self._refreshing:
            pages = await self._cloud.control.pages("cloudwatch", "describe_alarms", "MetricAlarms")
            alarms = {alarm["AlarmName"]: alarm for alarm in pages}
            for name in set(self._watches) - set(alarms):
                del self._watches[name]
                self._loops.pop(name).cancel()
            for name, alarm in alarms.items():
                watch = self._watches.get(name)
                if watch is None:
                    reason = "Unchecked: Initial alarm creation"
                    state = State(INSUFFICIENT_DATA, reason, self._cloud.clock.now())
                    watch = self._watches[name] = Watch(alarm, state)
                    self._loops[name] = self._cloud.spawn(self._evaluate_for_ever(watch))
                watch.alarm = alarm
                if alarm["StateValue"] != watch.state.value:
                    await self._write_state(watch)

    # Evaluation.

    async def _evaluate_for_ever(self, watch: Watch) -> None:
        """Evaluate every minute, or every ten seconds for periods below one minute.

        Imitates "Alarm evaluation": the range ends with the last period that is over.
        """
        due = self._cloud.clock.now()
        while True:
            due += watch.interval
            await self._cloud.clock.sleep_until(due)
            datapoints = self.datapoints(watch.alarm, watch.range)
            value = evaluate(datapoints, watch.alarm, watch.state.value)
            if value != watch.state.value:
                reason = state_reason(datapoints, watch.alarm, value)
                if await self._enter(watch, value, reason):
                    await self._write_state(watch)

    def datapoints(self, alarm: Mapping[str, Any], count: int) -> list[float | None]:
        """The last `count` whole periods of an alarm's metric, oldest first, None if missing."""
        dimensions = frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"])
        points = self._points.get((alarm["Namespace"], alarm["MetricName"], dimensions), ())
        now, period = self._cloud.clock.now(), float(alarm["Period"])
        first = math.floor(now / period) * period - count * period
        periods: list[list[float]] = [[] for _ in range(count)]
        for point in points:
            index = math.floor((point.timestamp - first) / period)
            fits = alarm.get("Unit") in (None, point.unit) and point.available_at <= now
            if fits and 0 <= index < count:
                periods[index].append(point.value)
        name = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return [statistic(values, name) if values else None for values in periods]

    async def _enter(self, watch: Watch, value: str, reason: str) -> bool:
        """Take on a state and, if it is another one, run its actions; whether it was."""
        before = watch.state
        if value == before.value:
            return False
        watch.state = State(value, reason, self._cloud.clock.now())
        kind = {
            OK: "OKActions",
            ALARM: "AlarmActions",
            INSUFFICIENT_DATA: "InsufficientDataActions",
        }
        if watch.alarm["ActionsEnabled"]:
            for action in watch.alarm[kind[value]]:
                self._cloud.spawn(self._act(action, watch, before))
        return True

    async def _write_state(self, watch: Watch) -> None:
        with suppress(ClientError):  # deleted meanwhile
            await self._cloud.control.call(
                "cloudwatch",
                "set_alarm_state",
                AlarmName=watch.alarm["AlarmName"],
                StateValue=watch.state.value,
                StateReason=watch.state.reason,
            )

    async def _act(self, action: str, watch: Watch, before: State) -> None:
        """Run one action: a notification, or a function directly; others are not imitated."""
        service = action.split(":")[2]
        if service == "sns":
            subject = f'{watch.state.value}: "{watch.alarm["AlarmName"]}" in {REGION_NAME}'
            await self._cloud.control.call(
                "sns",
                "publish",
                through_gateway=True,
                TopicArn=action,
                Subject=subject[:100],
                Message=json.dumps(sns_message(watch, before)),
            )
        elif service == "lambda":
            await self._cloud.functions.invoke(
                action,
                json.dumps(alarm_event(watch, before)).encode(),
                asynchronous=True,
                principal="lambda.alarms.cloudwatch.amazonaws.com",
                source_arn=watch.alarm["AlarmArn"],
            )


def alarm_event(watch: Watch, before: State) -> dict[str, Any]:
    """What a function gets ("Invoke a Lambda function from an alarm", sample event)."""
    alarm = watch.alarm
    metric_stat = {
        "metric": {
            "namespace": alarm["Namespace"],
            "name": alarm["MetricName"],
            "dimensions": {each["Name"]: each["Value"] for each in alarm["Dimensions"]},
        },
        "period": alarm["Period"],
        "stat": alarm.get("Statistic") or alarm["ExtendedStatistic"],
    }
    return {
        "source": "aws.cloudwatch",
        "alarmArn": alarm["AlarmArn"],
        "accountId": ACCOUNT,
        "time": stamp(watch.state.since),
        "region": REGION,
        "alarmData": {
            "alarmName": alarm["AlarmName"],
            "state": watch.state.as_dict(),
            "previousState": before.as_dict(),
            "configuration": {
                "description": alarm.get("AlarmDescription", ""),
                "metrics": [{"id": "m1", "metricStat": metric_stat, "returnData": True}],
            },
        },
    }


def sns_message(watch: Watch, before: State) -> dict[str, Any]:
    """What CloudWatch publishes ("Notifying users on alarm changes")."""
    alarm = watch.alarm
    return {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": ACCOUNT,
        "NewStateValue": watch.state.value,
        "NewStateReason": watch.state.reason,
        "StateChangeTime": stamp(watch.state.since),
        "Region": REGION_NAME,
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": before.value,
        "OKActions": alarm["OKActions"],
        "AlarmActions": alarm["AlarmActions"],
        "InsufficientDataActions": alarm["InsufficientDataActions"],
        "Trigger": {
            "MetricName": alarm["MetricName"],
            "Namespace": alarm["Namespace"],
            "StatisticType": "Statistic" if "Statistic" in alarm else "ExtendedStatistic",
            "Statistic": (alarm.get("Statistic") or alarm["ExtendedStatistic"]).upper(),
            "Unit": alarm.get("Unit"),
            "Dimensions": [
                {"value": each["Value"], "name": each["Name"]} for each in alarm["Dimensions"]
            ],
            "Period": alarm["Period"],
            "EvaluationPeriods": alarm["EvaluationPeriods"],
            "DatapointsToAlarm": alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]),
            "ComparisonOperator": alarm["ComparisonOperator"],
            "Threshold": alarm["Threshold"],
            "TreatMissingData": alarm.get("TreatMissingData", "missing"),
        },
    }
