"""Why the service is awake or asleep, what comes next and at the earliest when, and who decided.

Promise: what comes next is what the warmkeeper's own decision code, of this clone, makes of the
observation that the command `explain` answers; where the function runs other code, that is said.
Added are the requests that CloudWatch counted, and so when the idle alarm can go off; and the last
decisions from the function's log.

    python -m tools.explain staging
    python -m tools.explain staging --region eu-central-1

Rights: lambda:InvokeFunction and lambda:GetFunctionConfiguration on the warmkeeper,
cloudwatch:DescribeAlarms and GetMetricStatistics, logs:FilterLogEvents. Times are UTC.
"""

from __future__ import annotations

import datetime
import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import boto3
import warmkeeper as wk
from tabulate import tabulate

from tools import command, forecast
from tools.estimate import EXTRA_MINUTES
from tools.forecast import Forecast

IDLE = forecast.NEEDS["used"][0]
DECISIONS = 10
LOOK_BACK_HOURS = (1, 24, 24 * 14)  # for so many decisions, no further than there is need
SOON_SECONDS = 1.0


@dataclass(frozen=True)
class Minute:
    """The requests of one minute, by CloudWatch."""

    at: float
    requests: int
    busy: bool = True  # enough of them for the idle alarm


@dataclass(frozen=True)
class Decision:
    """A line of the log, and how often it came in a row."""

    first: float
    last: float
    signal: str
    before: str
    after: str
    reason: str
    actions: tuple[str, ...] = ()
    times: int = 1

    def repeats(self, other: Decision) -> bool:
        """Whether it says the same as `other`, but for numbers, and changes nothing."""
        mine, theirs = (re.sub(r"\d+", "", d.reason) for d in (self, other))
        same = (self.signal, self.before, self.after, mine)
        return same == (other.signal, other.before, other.after, theirs) and not self.actions


# --- what follows from it ----------------------------------------------------------------------
def alarm_at(told: Mapping[str, Any], minutes: Sequence[Minute]) -> float | None:
    """When at the earliest the idle alarm goes off: if nobody comes any more.

    It goes off once the last minute with enough requests is out of all that it looks back upon.
    """
    busy = [minute.at for minute in minutes if minute.busy]
    back = (told["config"]["idle_minutes"] + EXTRA_MINUTES) * 60
    return max(busy) + 60 + back if busy else None


def with_alarm(way: Forecast, told: Mapping[str, Any], minutes: Sequence[Minute]) -> float:
    """When at the earliest it goes that way, with what is known of the idle alarm."""
    alarm = alarm_at(told, minutes) if IDLE in way.needs else None
    return max(way.at_earliest, alarm or way.at_earliest)


def collapsed(decisions: Iterable[Decision]) -> list[Decision]:
    """The oldest first; a decision that only says again what the last one said is counted."""
    found: list[Decision] = []
    for decision in sorted(decisions, key=lambda d: d.first):
        if found and decision.repeats(found[-1]) and not found[-1].actions:
            again = replace(found[-1], last=decision.last, times=found[-1].times + 1)
            found[-1] = replace(again, reason=decision.reason)
        else:
            found.append(decision)
    return found


def looked_back(told: Mapping[str, Any]) -> int:
    """Minutes of requests: more than the idle alarm looks back upon."""
    return int(told["config"]["idle_minutes"]) + 15


# --- reading -----------------------------------------------------------------------------------
def requests(session: boto3.Session, told: Mapping[str, Any]) -> list[Minute]:
    """RequestCount by minute, as the idle alarms see it, for as long as they look back and more.

    A minute counts where one of the alarms does not take it for idle.
    """
    cloudwatch = session.client("cloudwatch")
    names = [arn.rpartition(":")[2] for arn in told["config"]["idle_alarm_arns"]]
    now = datetime.datetime.fromtimestamp(told["now"], datetime.UTC)
    since = now - datetime.timedelta(minutes=looked_back(told))
    many: Counter[float] = Counter()
    counted: set[float] = set()
    for alarm in cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]:
        points = cloudwatch.get_metric_statistics(
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm["Dimensions"],
            StartTime=since,
            EndTime=now,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        for point in points:
            at = point["Timestamp"].timestamp()
            many[at] += round(point["Sum"])
            if point["Sum"] >= alarm["Threshold"]:
                counted.add(at)
    return [Minute(at, many[at], at in counted) for at in sorted(many)]


def parsed(events: Iterable[Mapping[str, Any]]) -> Iterator[Decision]:
    """The decisions among the events of a log."""
    for event in events:
        entry = wk.from_json(event["message"])
        if isinstance(entry, dict) and "signal" in entry and "reason" in entry:
            at, done = event["timestamp"] / 1000, tuple(entry.get("actions") or ())
            signal, before, after, reason = (
                str(entry.get(name, "?")) for name in ("signal", "before", "after", "reason")
            )
            yield Decision(at, at, signal, before, after, reason, done)


def decisions(session: boto3.Session, function: str, now: float) -> list[Decision]:
    """The last ten, with repetitions as one."""
    settings = session.client("lambda").get_function_configuration(FunctionName=function)
    group = settings.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}"
    pages = session.client("logs").get_paginator("filter_log_events")
    found: list[Decision] = []
    for hours in LOOK_BACK_HOURS:
        asked = pages.paginate(
            logGroupName=group,
            startTime=round((now - hours * 3600) * 1000),
            filterPattern='{ $.signal = "*" }',
        )
        found = collapsed(d for page in asked for d in parsed(page["events"]))
        if len(found) >= DECISIONS:
            break
    return found[-DECISIONS:]


# --- printing: every time is a UTC clock time, every duration is in seconds ---------------------
def clock(seconds: float, now: float) -> str:
    """A moment, with its day where that is another one."""
    day, same = (command.moment(at, "%Y-%m-%d") for at in (seconds, now))
    time = command.moment(round(seconds)).removesuffix(":00")
    return time if day == same else f"{day} {time}"


def said(way: Forecast, told: Mapping[str, Any], minutes: Sequence[Minute]) -> str:
    """A way out of the phase, in words."""
    now, at = told["now"], with_alarm(way, told, minutes)
    when = "at once" if at <= now + SOON_SECONDS else f"at the earliest {clock(at, now)}"
    needs = f", when {' and '.join(way.needs)}" if way.needs else ""
    return f"{way.phase} {when}{needs}"


def held(blocker: Mapping[str, Any], now: float) -> str:
    """A blocker in words, with the time at which it ends by itself."""
    text = str(blocker["text"])
    until = blocker["until"]
    if until is None:
        return text
    # of a pin the text has its end already, with the date
    pin, named, _ = text.partition(" until ")
    return f"{pin} until {clock(until, now)}" if named else f"{text}, until {clock(until, now)}"


def longest(told: Mapping[str, Any], minutes: Sequence[Minute]) -> str:
    """What keeps the service in its phase for the longest; "" where nothing does.

    Of several reasons without an end it is the warmkeeper's first. The idle alarm is not named:
    the last requests are, which hold it out of ALARM.
    """
    now = told["now"]

    def end(blocker: Mapping[str, Any]) -> float:
        if blocker["code"] == "used":
            return alarm_at(told, minutes) or now
        return math.inf if blocker["until"] is None else float(blocker["until"])

    last = max(told["blockers"], key=end, default={"code": "used"})
    if last["code"] != "used":
        # when the others end is what comes next
        return held(last, now) if " until " in last["text"] else str(last["text"])
    if told["phase"] == wk.Phase.ASLEEP and told["failed"]:
        return f"the last wake failed ({told['failed']})"
    return next(iter(counted(minutes, now)), "")


def counted(minutes: Iterable[Minute], now: float) -> list[str]:
    """The minutes in which somebody came, the last first."""
    busy = [minute for minute in minutes if minute.requests]
    return [
        f"{m.requests} request{'s' if m.requests != 1 else ''} at {clock(m.at, now)}"
        for m in reversed(busy)
    ]


def log_table(made: Iterable[Decision], now: float) -> str:
    rows = []
    for d in made:
        phase = d.after if d.before == d.after else f"{d.before} -> {d.after}"
        reason = "; ".join((d.reason, *d.actions))
        many = f" ({d.times} times since {clock(d.first, now)})" if d.times > 1 else ""
        rows.append([clock(d.last, now), d.signal, phase, reason + many])
    return textwrap.indent(tabulate(rows, tablefmt="plain"), "  ")


def code_note(told: Mapping[str, Any]) -> list[str]:
    """A line where the function runs other code than this clone has; else none."""
    if told["code_sha256"] == wk.code_sha256():
        return []
    return ["  code   the function runs other code than this clone, whose decisions these are"]


HOURS = {  # by window, in words
    wk.WindowKind.AWAKE: "the schedule keeps it awake until {}",
    wk.WindowKind.CLOSED: "closed by the schedule until {}",
    "reopened": "closed by the schedule until {}, but opened by a command or a pin",
    wk.WindowKind.NONE: "the schedule says nothing until {}",
}


def hours(told: Mapping[str, Any]) -> list[str]:
    """A line about the schedule; none without a schedule."""
    if "hours" not in told:
        return []
    now = told["hours"]
    text = HOURS[now["window"]].format(clock(now["until"], told["now"]))
    return [f"  hours  {text} ({now['time_zone']})"]


def members(told: Mapping[str, Any]) -> list[str]:
    """A line for each service of an environment; none for one service."""

    def state(of: Mapping[str, Any]) -> str:
        waits = f"waits for {', '.join(of['waits_for'])}" if of["waits_for"] else "not ready"
        return f"count {of['count']}, {'ready' if of['ready'] else waits}"

    return [f"  member {name}: {state(of)}" for name, of in told.get("members", {}).items()]


def render(
    told: Mapping[str, Any],
    ways: Sequence[Forecast],
    minutes: Sequence[Minute],
    made: Sequence[Decision],
) -> str:
    """The whole explanation; its first line is the answer."""
    now = told["now"]
    came = counted(minutes, now)
    then = said(ways[0], told, minutes) if ways else "nothing that is known changes that"
    first = ", ".join(filter(None, (longest(told, minutes), then)))
    lines = [f"{told['name']} is {told['phase']}: {first}"]
    lines += [f"  now    {command.moment(now, '%Y-%m-%d %H:%M:%S')} UTC, as are all times here"]
    lines += code_note(told)
    because = told["because"] or "not remembered"
    lines += [f"  since  {clock(told['since'], now)}, because: {because}"]
    if told["failure"]:
        lines += [f"  failed {told['failure']}"]
    lines += hours(told)
    lines += members(told)
    lines += [f"  held   {held(blocker, now)}" for blocker in told["blockers"]]
    lines += [f"  or     {said(other, told, minutes)}" for other in ways[1:]]
    since = clock((now - looked_back(told) * 60) // 60 * 60, now)
    lines += [f"  came   {', '.join(came[:5]) or 'nobody'}, since {since}"]
    lines += ["", "The last decisions:", log_table(made, now) or "  none in the log"]
    return "\n".join(lines)


def explanation(session: boto3.Session, function: str) -> str:
    """What is printed of this function."""
    told = command.ask(session, function, "explain")
    ways = forecast.forecasts(*forecast.read(told))
    made = decisions(session, function, told["now"])
    return render(told, ways, requests(session, told), made)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.answered(__doc__ or "", arguments, explanation)


if __name__ == "__main__":
    sys.exit(main())
