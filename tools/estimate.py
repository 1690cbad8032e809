"""What your own log of requests says: hours asleep, wakes, who would have waited, what is saved.

Promise: the times of the requests go, minute by minute, through the product's own `decide`. So a
change of the product changes the estimate. What is around `decide` is a model of AWS, with numbers
that are printed: CloudWatch tells of a request late, a cold start takes so and so long.

    python -m tools.estimate requests.csv
    python -m tools.estimate logs/ --only targetgroup/staging-app/ --cpu 512 --memory 1024
    python -m tools.estimate --example
    python -m tools.estimate logs/ --service 256:512 --service 512:1024 --database 0.016 --queues 1

The last one is of an environment: services and databases that sleep with the one of the log.
`--help` says what a LOG may be; tools/request_log.py reads it.
"""

from __future__ import annotations

import argparse
import bisect
import csv
import dataclasses
import datetime
import math
import random
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import warmkeeper as wk

from tools.cost import MINUTES_AN_HOUR, Book, markdown
from tools.request_log import NAMES, Log, LogError, Request, read

ROOT = Path(__file__).resolve().parents[1]
IDLE_MINUTES = (2, 5, 10, 15, 30, 60, 120)
HOUR, DAY = 3600.0, 86400.0
# CloudWatch: a minute's sum is seen this long after the minute's end, and the alarm looks back so
# many minutes further than it has to.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
LATE_SECONDS = 60.0
EXTRA_MINUTES = 2
STOP_SECONDS = 30.0  # a task is paid for until it has drained and stopped
POLL_SECONDS = 0.5
SKIP_SECONDS = 120.0  # of sleep, beyond which its minutes are not played one by one
# The cost of the module a month, at most, for one service with one target group:
# tests/tools/test_cost_of_a_plan.py holds the plans to it, and to what more alarms and queues add.
MODULE_ASLEEP_USD = 1.00
MODULE_AWAKE_USD = 1.50
EXAMPLE_SEED = 6
EXAMPLE_START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)  # a Monday
EXAMPLE_DAYS = 28
PICTURE = ROOT / "docs" / "images" / "estimate.svg"
LEAST_DAYS = 7.0  # of log, so that a weekend is in it


# --- playing it through the product ------------------------------------------------------------
@dataclass(frozen=True)
class Size:
    """A service's tasks."""

    cpu: int = 256
    memory: int = 512
    tasks: int = 1

    def __str__(self) -> str:
        return f"{self.tasks} task(s) of {self.cpu / 1024:g} vCPU and {self.memory / 1024:g} GB"


@dataclass(frozen=True)
class Settings:
    """What is assumed; the module's defaults where it has one."""

    linger_seconds: int = 60
    cold_start_seconds: float = 45.0
    services: tuple[Size, ...] = (Size(),)  # that of the log, and those that sleep with it
    public_ip: bool = False
    databases: tuple[float, ...] = ()  # USD an hour of each, while it is not stopped
    stop_after_minutes: int = wk.STOP_AFTER_MINUTES
    database_start_seconds: float = wk.DATABASE_START_SECONDS
    target_groups: int = 1
    queues: int = 0

    def task_hour(self, book: Book) -> float:
        """USD for an hour of all tasks."""
        address = book.prices["public_ipv4_hour"] if self.public_ip else 0.0
        return sum(
            each.tasks * (book.task_hour(each.cpu, each.memory) + address) for each in self.services
        )

    def module_month(self, book: Book, asleep: float) -> float:
        """USD a month for the module, at most, if it sleeps for this share of the time."""
        alarms = self.target_groups - 1 + self.queues
        requests = self.queues * book.hours * MINUTES_AN_HOUR
        more = alarms * book.prices["alarm_metric"] + requests * book.prices["sqs_request"]
        return MODULE_ASLEEP_USD * asleep + MODULE_AWAKE_USD * (1 - asleep) + more


@dataclass
class Outcome:
    """What one idle time would have made of the log."""

    idle_minutes: int
    began: float
    ended: float = 0.0
    wakes: int = 0
    waited: int = 0  # requests that met a service asleep or waking
    lingered: int = 0  # requests in the linger time: about a second
    clients: int = 0  # distinct ones of those that waited, by wake
    asleep: list[tuple[float, float]] = field(default_factory=list)
    stopped: list[tuple[float, float]] = field(default_factory=list)  # the databases

    @property
    def stopped_hours(self) -> float:
        return sum(until - since for since, until in self.stopped) / HOUR

    @property
    def asleep_hours(self) -> float:
        return sum(until - since for since, until in self.asleep) / HOUR

    @property
    def hours(self) -> float:
        return (self.ended - self.began) / HOUR

    def saved(self, book: Book, settings: Settings) -> float:
        """USD a month that would have been saved, the module's own cost taken off."""
        without_tasks = max(0.0, self.asleep_hours - len(self.asleep) * STOP_SECONDS / HOUR)
        databases = self.stopped_hours * sum(settings.databases)
        usd = (without_tasks * settings.task_hour(book) + databases) / self.hours * book.hours
        return usd - settings.module_month(book, self.asleep_hours / self.hours)


def config_of(settings: Settings, idle_minutes: int) -> wk.Config:
    """The product's settings: these, the module's defaults, and names that nobody calls."""
    databases = tuple(
        wk.Database(f"database-{n}", "none", False, settings.stop_after_minutes, 1440)
        for n, _ in enumerate(settings.databases)
    )
    after = tuple(database.name for database in databases)
    chosen: dict[str, Any] = {
        "idle_minutes": idle_minutes,
        "linger_seconds": settings.linger_seconds,
        "min_awake_minutes": idle_minutes + 3,
        "awake_count": settings.services[0].tasks,
        "members": (wk.Member("this", "app", start_after=after),),
        "routes": (),
        "databases": databases,
    }
    blank: dict[str, Any] = {"int": 0, "bool": False, "tuple[str, ...]": ()}
    for item in dataclasses.fields(wk.Config):
        if item.name not in chosen and item.default is dataclasses.MISSING:
            chosen[item.name] = blank.get(str(item.type), "none")
    names = {item.name for item in dataclasses.fields(wk.Config)}
    return wk.Config(**{name: value for name, value in chosen.items() if name in names})


class Simulation:
    """One service, its tasks, its rule, its alarm and databases, under the product's decisions.

    The other services of an environment start and sleep with it. All databases do the same at the
    same time, so they have one status.
    """

    def __init__(self, settings: Settings, idle_minutes: int, began: float) -> None:
        self.settings = settings
        self.config = config_of(settings, idle_minutes)
        self.outcome = Outcome(idle_minutes, began)
        self.now = began
        self.desired, self.live_from = settings.services[0].tasks, began
        self.database, self.database_from = "available", began
        self.stopped: float | None = None
        self.rule = wk.Rule.DOWN
        self.counted: list[float] = [began]  # minutes that RequestCount has, ascending
        self.slept: float | None = None
        self.waiting: set[str] = set()
        start = began - self.config.min_awake_minutes * 60
        self.memory = wk.Memory(version=1, phase=wk.Phase.AWAKE, since=start, min_awake_from=start)
        deployed = wk.Deployment("app", primary=True, created=0.0)
        self.service = wk.Service("app", self.desired, deployments=(deployed,))

    @property
    def phase(self) -> wk.Phase:
        return self.memory.phase

    def idle(self) -> bool:
        """Whether the alarm is in ALARM: no sum that is seen by now within what it looks back."""
        until = self.now - self.now % 60
        seen = bisect.bisect_right(self.counted, self.now - 60 - LATE_SECONDS)
        back = until - (self.config.idle_minutes + EXTRA_MINUTES) * 60
        return not seen or self.counted[seen - 1] < back

    def hear(self, kind: wk.Kind, arrived: float = 0.0) -> None:
        """One signal, decided and done."""
        for _ in range(10):
            decision = wk.decide(
                self.observe(), wk.Signal(kind, arrived=arrived), self.config, self.now
            )
            self.follow(decision)
            if not decision.requeue:
                return
        raise RuntimeError(f"no end of decisions at {self.now:.0f}")

    def observe(self) -> wk.Observation:
        """What there is now."""
        if self.database == "starting" and self.now >= self.database_from:
            self.database = "available"
        databases = {each.name: self.database for each in self.config.databases}
        down = tuple(name for name, status in databases.items() if wk.is_down(status))
        healthy = bool(self.desired) and self.now >= self.live_from
        tasks = (wk.Task("task"),) if self.desired else ()
        return wk.Observation(
            memory=self.memory,
            services=(dataclasses.replace(self.service, desired=self.desired),),
            rule=self.rule,
            tasks=tasks,
            live=tasks if healthy else (),
            unready=down if healthy else (*down, "this"),
            lacking=down if healthy else (*down, "this"),
            databases=databases,
            idle=self.idle(),
            protected=False,
            began=self.now,
        )

    def follow(self, decision: wk.Decision) -> None:
        if decision.memory:
            version = self.memory.version + 1
            self.memory = dataclasses.replace(decision.memory, version=version)
        for _, count in decision.scale_up:
            if not self.desired:
                self.live_from = self.now + self.settings.cold_start_seconds
            self.desired = count
        if decision.scale_to_zero:
            self.desired, self.slept = 0, self.now
        if decision.stop:
            self.database, self.stopped = "stopped", self.now
        if decision.start and self.stopped is not None:
            self.outcome.stopped.append((self.stopped, self.now))
            self.database, self.stopped = "starting", None
            self.database_from = self.now + self.settings.database_start_seconds
        self.rule = decision.rule or self.rule

    def request(self, request: Request) -> None:
        """One request, or the many of a moment, after everything that was due before it."""
        self.pass_to(request.time)
        before = self.phase
        if before is wk.Phase.AWAKE:
            self.count()  # whoever asks, wake_policy or not
            return
        if not request.wakes:
            return  # the function answers it: no target, no RequestCount
        self.hear(wk.Kind.REQUEST, arrived=request.time)
        if before is wk.Phase.DROWSY:
            self.outcome.lingered += request.many
            self.count()
        else:
            self.wait(request, woken=before is wk.Phase.ASLEEP)

    def wait(self, request: Request, *, woken: bool) -> None:
        """A client that met a service without tasks."""
        if woken and self.slept is not None:
            self.outcome.asleep.append((self.slept, self.now))
            self.slept = None
        if woken:
            self.outcome.wakes += 1
            self.waiting = set()
        self.outcome.waited += request.many
        if request.client not in self.waiting:
            self.waiting.add(request.client)
            self.outcome.clients += 1

    def count(self) -> None:
        """The load balancer counts a request of the service itself."""
        minute = self.now - self.now % 60
        if self.counted[-1] != minute:
            self.counted.append(minute)

    def pass_to(self, until: float) -> None:
        """Let time pass: ticks by the minute, and polls while somebody waits."""
        while self.now < until:
            if self.phase is wk.Phase.WAKING:
                step = max(self.now + POLL_SECONDS, self.live_from, self.database_from)
                kind = wk.Kind.POLL
            else:
                step, kind = self.now - self.now % 60 + 60, wk.Kind.TICK
            if step > until:
                break
            self.now = step
            self.hear(kind)
            if kind is wk.Kind.POLL and self.phase is wk.Phase.AWAKE:
                self.count()  # those who waited come back
            still = self.phase is wk.Phase.ASLEEP and not self.stops_databases()
            if still and until - self.now > SKIP_SECONDS:
                # nothing changes until somebody comes: the minutes in between say the same
                self.now = until - until % 60 - 60
        self.now = until

    def stops_databases(self) -> bool:
        """Whether a tick of this sleep will stop databases."""
        return bool(self.config.databases) and self.stopped is None

    def end(self, at: float) -> Outcome:
        self.pass_to(at)
        if self.stopped is not None:
            self.outcome.stopped.append((self.stopped, at))
        if self.slept is not None:
            self.outcome.asleep.append((self.slept, at))
        self.outcome.ended = at
        return self.outcome


def play(
    requests: Sequence[Request],
    settings: Settings,
    idle_minutes: int,
    span: tuple[float, float] | None = None,
) -> Outcome:
    """The log, from `span`'s begin to its end, as the product would have gone through it."""
    began, ended = span or span_of(requests)
    simulation = Simulation(settings, idle_minutes, began)
    for request in requests:
        simulation.request(request)
    return simulation.end(ended)


def span_of(requests: Sequence[Request]) -> tuple[float, float]:
    """From the first request's minute to a minute after the last one."""
    began = requests[0].time - requests[0].time % 60
    return began, max(requests[-1].time, began) + 60


def has_clients(requests: Iterable[Request]) -> bool:
    return any(request.client for request in requests)


# --- telling -----------------------------------------------------------------------------------
def estimate_table(
    outcomes: Sequence[Outcome], settings: Settings, book: Book, *, clients: bool
) -> str:
    head = ["Idle minutes", "Hours asleep", "Asleep", "Wakes a week", "Requests that wait a week"]
    head += ["Clients that wait a week"] if clients else []
    head += ["In the linger time a week"]
    head += ["Hours with the databases stopped"] if settings.databases else []
    head += ["USD saved a month"]
    rows = []
    for one in outcomes:
        weeks = one.hours / 168
        row = [f"{one.idle_minutes}", f"{one.asleep_hours:,.0f}"]
        row += [f"{one.asleep_hours / one.hours:.0%}", f"{one.wakes / weeks:.1f}"]
        row += [f"{one.waited / weeks:,.1f}"]
        row += [f"{one.clients / weeks:,.1f}"] if clients else []
        row += [f"{one.lingered / weeks:,.1f}"]
        row += [f"{one.stopped_hours:,.0f}"] if settings.databases else []
        row += [f"{one.saved(book, settings):,.2f}"]
        rows.append(row)
    return markdown(head, rows, texts=0)


def assumptions(requests: Sequence[Request], settings: Settings, book: Book) -> str:
    began, ended = span_of(requests)
    days, total = (ended - began) / DAY, sum(request.many for request in requests)
    first, last = (
        f"{datetime.datetime.fromtimestamp(t, datetime.UTC):%Y-%m-%d}" for t in (began, ended)
    )
    address = " and a public address each" if settings.public_ip else ""
    asleep, awake = (settings.module_month(book, share) for share in (1, 0))
    return (
        f"{total:,} requests in {days:.1f} days, {first} to {last}. "
        f"{', '.join(map(str, settings.services))}{address}, {settings.task_hour(book):.5f} USD an "
        f"hour; {databases_assumed(settings)}a cold start of {settings.cold_start_seconds:g} s; a "
        f"linger time of {settings.linger_seconds} s. Saved is what is left when the module has "
        f"been paid, at {asleep:.2f} USD a month asleep and {awake:.2f} awake, which are its "
        "bounds."
    )


def databases_assumed(settings: Settings) -> str:
    """A part of a sentence; "" without databases."""
    if not settings.databases:
        return ""
    return (
        f"{len(settings.databases)} database(s), {sum(settings.databases):g} USD an hour, stopped "
        f"after {settings.stop_after_minutes} minutes of sleep, with a start of "
        f"{settings.database_start_seconds:g} s before the cold start; "
    )


def notes(log: Log, settings: Settings) -> list[str]:
    """What is not in the estimate, and what makes it a poor one."""
    found = []
    began, ended = span_of(log.requests)
    days = (ended - began) / DAY
    if days < LEAST_DAYS:
        found.append(
            f"Only {days:.1f} days of log: give {LEAST_DAYS:.0f} or more, because weekends and "
            "nights are where sleeping saves."
        )
    ignored = sum(request.many for request in log.requests if not request.wakes)
    if ignored:
        found.append(
            f"{ignored:,} requests are of clients or for paths that the default wake_policy "
            "ignores. They wake nothing. While the service is awake, they count as activity."
        )
    if len(log.groups) > settings.target_groups:
        found.append(
            f"The requests are for {len(log.groups)} target groups. Keep those of one: "
            "--only targetgroup/NAME/. If they sleep together, give their number: --target-groups "
            f"{len(log.groups)}"
        )
    if log.skipped:
        found.append(log.what_was_skipped())
    return [*found, *(f"Not read: {message}" for message in log.unread)]


# --- the example -------------------------------------------------------------------------------
def example(seed: int = EXAMPLE_SEED, days: int = EXAMPLE_DAYS) -> list[Request]:
    """A made-up staging site: a team's office hours, some evenings, and what scans the Internet.

    Six people, each in sittings of 5 to 45 minutes with a page every minute or so and its five
    parts with it; three scans a day. Nobody's data. The same for the same seed.
    """
    dice, found = random.Random(seed), list[Request]()

    def sitting(began: float, client: str) -> None:
        at, until = began, began + 60 * dice.uniform(5, 45)
        while at < until:
            found.extend(Request(round(at + part * 0.1, 3), client=client) for part in range(6))
            at += dice.expovariate(1 / 75)

    for day in range(days):
        midnight = EXAMPLE_START.timestamp() + day * DAY
        weekend = day % 7 >= 5
        for person in range(6):
            sittings = (dice.random() < 0.08) if weekend else dice.choice((0, 1, 1, 2, 3))
            for _ in range(sittings):
                hour = dice.choice((9, 10, 10, 11, 13, 14, 15, 16, 17)) + dice.random()
                sitting(midnight + hour * HOUR, f"192.0.2.{person + 1}")
            if dice.random() < 0.04:
                sitting(midnight + dice.uniform(19, 23) * HOUR, f"192.0.2.{person + 1}")
        for _ in range(3):
            scan = midnight + dice.uniform(0, 24) * HOUR
            found.extend(Request(round(scan + n, 3), client="198.51.100.7") for n in range(4))
    return sorted(found)


def write_example(path: Path) -> None:
    """The example as CSV, to look at and to feed in again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("time", "client"))
        for request in example():
            moment = datetime.datetime.fromtimestamp(request.time, datetime.UTC)
            rows.writerow((moment.isoformat(timespec="milliseconds"), request.client))


def example_section(*, draw_it: bool = True) -> str:
    """docs/evidence/cost.md's section about the estimate; draws its picture too."""
    settings, book, requests = Settings(), Book.read(), example()
    outcomes = [play(requests, settings, minutes) for minutes in IDLE_MINUTES]
    if draw_it:
        from tools import estimate_plot  # which needs this module, and matplotlib, which is slow

        title = "A made-up staging site, four weeks"
        estimate_plot.draw(outcomes, requests, settings, PICTURE, title)
    return f"""\
## The estimate for a made-up log

**This log is made up.** A seeded function writes it: a staging site that six people use in office hours, and that scanners visit three times a day (`python -m tools.estimate --example`). The table shows what the tool prints, and not what you will save.

{estimate_table(outcomes, settings, book, clients=True)}

{assumptions(requests, settings, book)}

![Above: USD saved a month against clients that wait a week, one point for each idle time. Below: a week of the made-up log, and when the service would have been awake for each idle time.](../images/estimate.svg)

The example has no user agents, so `wake_policy` does not recognize its scanners, and each of them wakes the service."""  # noqa: E501


# --- the command -------------------------------------------------------------------------------
def columns() -> str:
    """The columns of a CSV, for --help."""
    rows = ((field.replace("_", " "), ", ".join(names)) for field, names in NAMES.items())
    return "\n".join(f"{'':18}{field:18}{names}" for field, names in rows)


HELP = f"""\
LOG is a file or a folder of files, each plain or .gz. Files of a folder that are no log of requests
are skipped and told.

  access logs   of an Application Load Balancer, its own files or delivered as JSON. Health check
                logs, connection logs and test files beside them are skipped. Parquet is not read.
  JSON          of `aws cloudwatch get-metric-data` or `get-metric-statistics` for RequestCount,
                Sum, with a period of 60. Several answers are joined.
  CSV           with a head, or bare times, one a line. Times are ISO 8601, epoch seconds or
                milliseconds. Columns by their names, in any case, of which the first is taken:
{columns()}
                Only the time is needed. Without user agent and request nobody can ask wake_policy,
                and every request wakes. A target group of "-" is not counted. A request is
                "GET https://host/path HTTP/1.1".
"""


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m tools.estimate",
        description="What sleeping would have saved, by a log of requests.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # so that a message names an option as it was typed
    )
    found.add_argument("log", nargs="*", type=Path, metavar="LOG", help="files or folders")
    found.add_argument("--example", action="store_true", help="a made-up log instead of one's own")
    found.add_argument("--only", default="", metavar="TEXT", help="keep the lines that hold it")
    found.add_argument("--column", default="", metavar="NAME", help="the CSV's column of times")
    found.add_argument(
        "--idle",
        type=int,
        nargs="+",
        default=list(IDLE_MINUTES),
        metavar="MINUTES",
        help="idle times, a row for each",
    )
    defaults, size = Settings(), Size()
    found.add_argument("--cpu", type=int, default=size.cpu, help="units, 1024 a vCPU")
    found.add_argument("--memory", type=int, default=size.memory, help="MiB")
    found.add_argument("--tasks", type=int, default=size.tasks, help="while awake")
    found.add_argument("--public-ip", action="store_true", help="each task has a public address")
    found.add_argument(
        "--cold-start", type=float, default=defaults.cold_start_seconds, metavar="SECONDS"
    )
    found.add_argument("--linger", type=int, default=defaults.linger_seconds, metavar="SECONDS")
    found.add_argument(
        "--plot", type=Path, default=ROOT / ".cache" / "estimate.png", metavar="FILE"
    )
    add_environment(found, defaults)
    return found


def add_environment(found: argparse.ArgumentParser, defaults: Settings) -> None:
    """The options for what sleeps with the service of the log."""
    group = found.add_argument_group("an environment: what else sleeps with the service")
    group.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="CPU:MEMORY[:TASKS]",
        help="a further service, such as 256:512 or 512:1024:2; once for each",
    )
    group.add_argument(
        "--database",
        type=float,
        action="append",
        default=[],
        metavar="USD",
        help="a database, by its price an hour; once for each",
    )
    group.add_argument(
        "--stop-after",
        type=int,
        default=defaults.stop_after_minutes,
        metavar="MINUTES",
        help="of sleep, until the databases are stopped",
    )
    group.add_argument(
        "--database-start", type=float, default=defaults.database_start_seconds, metavar="SECONDS"
    )
    group.add_argument(
        "--target-groups",
        type=int,
        default=defaults.target_groups,
        metavar="NUMBER",
        help="of all services, and names of service_connect: each has an alarm",
    )
    group.add_argument("--queues", type=int, default=defaults.queues, metavar="NUMBER")


def size_of(text: str) -> Size:
    """The Size of CPU:MEMORY[:TASKS]. Raises LogError."""
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*(:[1-9]\d*)?", text):
        raise LogError(
            f"--service {text}: give CPU:MEMORY or CPU:MEMORY:TASKS in whole numbers, such as "
            "256:512 for a task of 0.25 vCPU and 0.5 GB."
        )
    return Size(*map(int, text.split(":")))


LEAST = {
    "cpu": 1,
    "memory": 1,
    "tasks": 1,
    "cold_start": 1,
    "linger": 10,
    "stop_after": 1,
    "database_start": 1,
    "target_groups": 0,
    "queues": 0,
}


def check(options: argparse.Namespace) -> None:
    """Raises LogError for a number that the module would not take."""
    for name, bound in LEAST.items():
        got = getattr(options, name)
        if got < bound:
            raise LogError(f"--{name.replace('_', '-')} {got:g}: give {bound} or more.")
    for usd in options.database:
        if not 0 < usd < math.inf:
            raise LogError(
                f"--database {usd:g}: give USD an hour, above 0. AWS lists the prices at "
                "https://aws.amazon.com/rds/pricing/."
            )
    if options.target_groups + options.queues < 1:
        raise LogError("--target-groups 0 --queues 0: give 1 or more, or nothing would wake it.")
    if any(not 1 <= minutes <= 1440 for minutes in options.idle):
        raise LogError(f"--idle {' '.join(map(str, options.idle))}: give minutes from 1 to 1440.")
    if options.plot.suffix not in (".png", ".svg"):
        raise LogError(f"--plot {options.plot}: its name must end with .png or .svg.")


def settings_of(options: argparse.Namespace) -> Settings:
    """Raises LogError for a size that cannot be read."""
    return Settings(
        linger_seconds=options.linger,
        cold_start_seconds=options.cold_start,
        services=(
            Size(options.cpu, options.memory, options.tasks),
            *map(size_of, options.service),
        ),
        public_ip=options.public_ip,
        databases=tuple(options.database),
        stop_after_minutes=options.stop_after,
        database_start_seconds=options.database_start,
        target_groups=options.target_groups,
        queues=options.queues,
    )


def log_of(options: argparse.Namespace) -> Log:
    """The log that the options name, or the example. LogError."""
    if options.example:
        options.log = [ROOT / ".cache" / "example-requests.csv"]
        write_example(options.log[0])
    if not options.log:
        raise LogError("No log is named. Name one: LOG. Or look at a made-up one: --example.")
    return read(options.log, options.only, options.column)


def show(options: argparse.Namespace) -> None:
    """Print the table and its notes, and draw the picture. LogError, OSError."""
    check(options)
    settings = settings_of(options)
    book = Book.read()
    log = log_of(options)
    requests = log.requests
    outcomes = [play(requests, settings, minutes) for minutes in sorted(set(options.idle))]
    print(estimate_table(outcomes, settings, book, clients=has_clients(requests)))
    print(f"\n{assumptions(requests, settings, book)}")
    for note in notes(log, settings):
        print(f"\n{note}")
    from tools import estimate_plot  # as above

    title = "A made-up staging site" if options.example else options.log[0].name
    estimate_plot.draw(outcomes, requests, settings, options.plot, title)
    print(f"\nDrawn in {options.plot}.")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_intermixed_args(arguments)
    try:
        show(options)
    except (LogError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
