"""What your own log of requests says: hours asleep, wakes, who would have waited, what is saved.

Promise: the times of the requests go, minute by minute, through the product's own `decide`. So a
change of the product changes the estimate. What is around `decide` is a model of AWS, with numbers
that are printed: CloudWatch tells of a request late, a cold start takes so and so long.

    python tools/estimate.py requests.csv
    python tools/estimate.py logs/ --only targetgroup/staging-app/ --cpu 512 --memory 1024
    python tools/estimate.py --example

A LOG is a file, or a folder of files, each of them plain or .gz, and one of

- access logs of an Application Load Balancer;
- CSV with a head and a column of times (ISO 8601, epoch seconds or milliseconds), and if there is
  one, a column of clients;
- the JSON of `aws cloudwatch get-metric-data` for RequestCount, Sum, by minute.
"""

from __future__ import annotations

import argparse
import bisect
import csv
import dataclasses
import datetime
import gzip
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "lambda"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import warmkeeper as wk  # noqa: E402

from tools.cost import Book, markdown  # noqa: E402

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
# The module's own cost an hour, at most: tests/module/test_cost.py holds the plan to these.
MODULE_ASLEEP_USD = 1.00
MODULE_AWAKE_USD = 1.50
EXAMPLE_SEED = 6
EXAMPLE_START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)  # a Monday
EXAMPLE_DAYS = 28
PICTURE = ROOT / "docs" / "images" / "estimate.svg"


class LogError(ValueError):
    """A log cannot be read. The message names the file, the line and the remedy."""


# --- reading -----------------------------------------------------------------------------------
class Request(NamedTuple):
    """A moment in epoch seconds, how many requests came in it, and who sent them, if known."""

    time: float
    many: int = 1
    client: str = ""


ALB_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
ALB_LINE = re.compile(r"(?:https?|h2|grpcs|wss?) (?P<time>\d{4}-\S+Z) \S+ (?P<client>\S+) ")
# The time at which the load balancer got the request stands after the rule's priority.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
ALB_CREATED = re.compile(r'" -?\d+ (?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) "')
TIME_COLUMNS = ("time", "timestamp", "datetime", "date_time", "date", "@timestamp")
CLIENT_COLUMNS = ("client", "client_ip", "ip", "user", "remote_addr", "c-ip")
MILLISECONDS_FROM = 1e11  # an epoch number above this is in milliseconds


def read(path: Path, only: str = "", column: str = "") -> list[Request]:
    """The requests of a log, in order. `only` keeps the lines that hold that text. LogError."""
    if not path.exists():
        raise LogError(f"{path}: there is no such file or folder. Name one with LOG=...")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = [request for file in files for request in _read_file(file, only, column)]
    if not found:
        kept = f" that hold {only!r}" if only else ""
        raise LogError(f"{path}: no requests{kept}. Name another log, or give another --only.")
    return sorted(found)


def _read_file(path: Path, only: str, column: str) -> Iterator[Request]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise LogError(
            f"{path}: cannot be read as text ({error}). Give plain text or .gz of it."
        ) from None
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith(("{", "[")):
        yield from _metric_data(path, text)
    elif ALB_LINE.match(first):
        yield from _access_log(path, lines, only)
    elif first:
        yield from _table(path, lines, only, column)


def _access_log(path: Path, lines: Iterable[str], only: str) -> Iterator[Request]:
    for number, line in enumerate(lines, 1):
        if not line.strip() or only not in line:
            continue
        head = ALB_LINE.match(line)
        if not head:
            raise LogError(
                f"{path}:{number}: not a line of an ALB access log, as those before it are: "
                f"{line[:60]!r}. Take the line out, or mend it."
            )
        created = ALB_CREATED.search(line)
        when = created["time"] if created else head["time"]
        client = head["client"].rpartition(":")[0]
        yield Request(_time(when, f"{path}:{number}"), client=client)


def _table(path: Path, lines: Sequence[str], only: str, column: str) -> Iterator[Request]:
    rows = csv.DictReader(lines)
    names = {name.strip().lower(): name for name in rows.fieldnames or () if name}
    wanted = (column.lower(),) if column else TIME_COLUMNS
    times = next((names[name] for name in wanted if name in names), None)
    if times is None:
        raise LogError(
            f"{path}:1: none of the columns {', '.join(names) or '(none)'} is "
            f"{' or '.join(wanted)}. Give the file a head with a column time, or name yours with "
            "--column."
        )
    clients = next((names[name] for name in CLIENT_COLUMNS if name in names), None)
    for row in rows:
        if only and not any(only in value for value in row.values() if isinstance(value, str)):
            continue
        client = (row[clients] or "") if clients else ""
        yield Request(_time(row[times] or "", f"{path}:{rows.line_num}"), client=client)


def _metric_data(path: Path, text: str) -> Iterator[Request]:
    try:
        results = json.loads(text)["MetricDataResults"]
    except json.JSONDecodeError as error:
        raise LogError(f"{path}:{error.lineno}: not JSON ({error.msg}). Fetch it again.") from None
    except (KeyError, TypeError):
        raise LogError(
            f"{path}:1: JSON without MetricDataResults. Give what `aws cloudwatch get-metric-data` "
            "prints for RequestCount, Sum, with a period of 60."
        ) from None
    if len(results) != 1:
        raise LogError(
            f"{path}:1: {len(results)} metrics in MetricDataResults. Ask for RequestCount alone."
        )
    moments, values = results[0].get("Timestamps", []), results[0].get("Values", [])
    if len(moments) != len(values):
        raise LogError(
            f"{path}:1: {len(moments)} timestamps and {len(values)} values. Fetch it again."
        )
    whole = [
        (_time(str(at), f"{path}:1"), value) for at, value in zip(moments, values, strict=True)
    ]
    for at, value in sorted(whole):
        if at % 60:
            raise LogError(f"{path}:1: {at:.0f} is not a full minute. Ask with a period of 60.")
        if value > 0:
            yield Request(at, many=round(value))


def _time(text: str, where: str) -> float:
    """Epoch seconds of ISO 8601 (UTC where no zone is named) or of a number."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        seconds = number / 1000 if number > MILLISECONDS_FROM else number
        if 0 < seconds < MILLISECONDS_FROM:
            return seconds
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise LogError(
            f"{where}: {text!r} is no time. Write it as 2026-03-02T09:30:00Z, or as epoch seconds."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


# --- playing it through the product ------------------------------------------------------------
@dataclass(frozen=True)
class Settings:
    """What is assumed; the module's defaults where it has one."""

    linger_seconds: int = 60
    cold_start_seconds: float = 45.0
    cpu: int = 256
    memory: int = 512
    tasks: int = 1
    public_ip: bool = False

    def task_hour(self, book: Book) -> float:
        """USD for an hour of all tasks."""
        address = book.prices["public_ipv4_hour"] if self.public_ip else 0.0
        return self.tasks * (book.task_hour(self.cpu, self.memory) + address)


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

    @property
    def asleep_hours(self) -> float:
        return sum(until - since for since, until in self.asleep) / HOUR

    @property
    def hours(self) -> float:
        return (self.ended - self.began) / HOUR

    def saved(self, book: Book, settings: Settings) -> float:
        """USD a month that would have been saved, the module's own cost taken off."""
        stopped = max(0.0, self.asleep_hours - len(self.asleep) * STOP_SECONDS / HOUR)
        share = self.asleep_hours / self.hours
        module = MODULE_ASLEEP_USD * share + MODULE_AWAKE_USD * (1 - share)
        return stopped / self.hours * book.hours * settings.task_hour(book) - module


def config_of(settings: Settings, idle_minutes: int) -> wk.Config:
    """The product's settings: these, the module's defaults, and names that nobody calls."""
    chosen: dict[str, Any] = {
        "idle_minutes": idle_minutes,
        "linger_seconds": settings.linger_seconds,
        "min_awake_minutes": idle_minutes + 3,
        "awake_count": settings.tasks,
        "cold_start_target_seconds": 60,
        "wake_deadline_seconds": 300,
        "wake_budget_per_hour": 4,
        "hold_seconds": 25,
        "service_names": ("app",),
        "wake_path": "listener",
    }
    blank: dict[str, Any] = {"int": 0, "bool": False, "tuple[str, ...]": ()}
    for item in dataclasses.fields(wk.Config):
        if item.name not in chosen and item.default is dataclasses.MISSING:
            chosen[item.name] = blank.get(str(item.type), "none")
    names = {item.name for item in dataclasses.fields(wk.Config)}
    return wk.Config(**{name: value for name, value in chosen.items() if name in names})


class Simulation:
    """One service, its tasks, its rule and its idle alarm, under the product's decisions."""

    def __init__(self, settings: Settings, idle_minutes: int, began: float) -> None:
        self.settings = settings
        self.config = config_of(settings, idle_minutes)
        self.outcome = Outcome(idle_minutes, began)
        self.now = began
        self.desired, self.live_from = settings.tasks, began
        self.rule = wk.Rule.DOWN
        self.counted: list[float] = [began]  # minutes that RequestCount has, ascending
        self.slept: float | None = None
        self.waiting: set[str] = set()
        ready = began - self.config.min_awake_minutes * 60
        self.memory = wk.Memory(version=1, phase=wk.Phase.AWAKE, since=ready, ready=ready)
        long_ago = datetime.datetime.fromtimestamp(0, datetime.UTC)
        deployed = {"id": "app", "status": "PRIMARY", "createdAt": long_ago}
        self.service = {"serviceName": "app", "status": "ACTIVE", "deployments": [deployed]}

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
            healthy = bool(self.desired) and self.now >= self.live_from
            task = {"taskArn": "task", "desiredStatus": "RUNNING"}
            tasks = (task,) if self.desired else ()
            seen = wk.Observation(
                memory=self.memory,
                services=({**self.service, "desiredCount": self.desired},),
                rule=self.rule,
                tasks=tasks,
                live=tasks if healthy else (),
                idle=self.idle(),
                protected=False,
            )
            decision = wk.decide(seen, wk.Signal(kind, arrived=arrived), self.config, self.now)
            self.follow(decision)
            if not decision.again:
                return
        raise RuntimeError(f"no end of decisions at {self.now:.0f}")

    def follow(self, decision: wk.Decision) -> None:
        if decision.memory:
            version = self.memory.version + 1
            self.memory = dataclasses.replace(decision.memory, version=version)
        for _, count in decision.give:
            if not self.desired:
                self.live_from = self.now + self.settings.cold_start_seconds
            self.desired = count
        if decision.take:
            self.desired, self.slept = 0, self.now
        self.rule = decision.rule or self.rule

    def request(self, request: Request) -> None:
        """One request, or the many of a moment, after everything that was due before it."""
        self.pass_to(request.time)
        before = self.phase
        if before is wk.Phase.AWAKE:
            self.count()
            return
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
                step = max(self.now + POLL_SECONDS, self.live_from)
                kind = wk.Kind.POLL
            else:
                step, kind = self.now - self.now % 60 + 60, wk.Kind.TICK
            if step > until:
                break
            self.now = step
            self.hear(kind)
            if kind is wk.Kind.POLL and self.phase is wk.Phase.AWAKE:
                self.count()  # those who waited come back
            if self.phase is wk.Phase.ASLEEP and until - self.now > SKIP_SECONDS:
                # nothing changes until somebody comes: the minutes in between say the same
                self.now = until - until % 60 - 60
        self.now = until

    def end(self, at: float) -> Outcome:
        self.pass_to(at)
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
    head += ["In the linger time a week", "USD saved a month"]
    rows = []
    for one in outcomes:
        weeks = one.hours / 168
        row = [f"{one.idle_minutes}", f"{one.asleep_hours:,.0f}"]
        row += [f"{one.asleep_hours / one.hours:.0%}", f"{one.wakes / weeks:.1f}"]
        row += [f"{one.waited / weeks:,.1f}"]
        row += [f"{one.clients / weeks:,.1f}"] if clients else []
        row += [f"{one.lingered / weeks:,.1f}", f"{one.saved(book, settings):,.2f}"]
        rows.append(row)
    return markdown(head, rows, texts=0)


def assumptions(requests: Sequence[Request], settings: Settings, book: Book) -> str:
    began, ended = span_of(requests)
    days, total = (ended - began) / DAY, sum(request.many for request in requests)
    first, last = (
        f"{datetime.datetime.fromtimestamp(t, datetime.UTC):%Y-%m-%d}" for t in (began, ended)
    )
    address = " and a public address each" if settings.public_ip else ""
    return (
        f"{total:,} requests in {days:.1f} days, {first} to {last}. {settings.tasks} task(s) of "
        f"{settings.cpu / 1024:g} vCPU and {settings.memory / 1024:g} GB{address}, "
        f"{settings.task_hour(book):.5f} USD an hour; a cold start of "
        f"{settings.cold_start_seconds:g} s; a linger time of {settings.linger_seconds} s. Saved "
        f"is what is left when the module has been paid, at {MODULE_ASLEEP_USD:.2f} USD a month "
        f"asleep and {MODULE_AWAKE_USD:.2f} awake, which are its bounds."
    )


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
    """docs/cost.md's section about the estimate; draws its picture too."""
    settings, book, requests = Settings(), Book.read(), example()
    outcomes = [play(requests, settings, minutes) for minutes in IDLE_MINUTES]
    if draw_it:
        from tools import estimate_plot  # which needs this module, and matplotlib, which is slow

        title = "A made-up staging site, four weeks"
        estimate_plot.draw(outcomes, requests, settings, PICTURE, title)
    return f"""\
## What your log would say

`make estimate LOG=...` plays a log of requests (ALB access logs, CSV, or CloudWatch's `RequestCount`) through the product's own `decide`, for several idle times. It prints a table like this one and draws the picture. More in `python tools/estimate.py --help`.

**This log is made up**: nobody's traffic, but a seeded function's idea of a staging site that six people use in office hours and that scanners find three times a day (`python tools/estimate.py --example`). It shows what the tool tells, and not what you will save.

{estimate_table(outcomes, settings, book, clients=True)}

{assumptions(requests, settings, book)}

![Above: USD saved a month against clients that wait a week, one point for each idle time. Below: a week of the made-up log, and when the service would have been awake for each idle time.](images/estimate.svg)

How to read it: a longer idle time costs hours awake and saves people from waiting. The bend of the curve is where more idle minutes stop buying much. *Clients that wait* counts each client once a wake; *requests that wait* counts all that a log has from the wake's seconds, of which a browser would have sent few, because the page that asks for the others came later.

What the model leaves out: heartbeats, deployments, several services, and that a scanner who is made to wait does not come back."""  # noqa: E501


# --- the command -------------------------------------------------------------------------------
def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="estimate.py", description="What sleeping would have saved, by a log of requests."
    )
    found.add_argument("log", nargs="?", type=Path, help="ALB access log, CSV, JSON, or a folder")
    found.add_argument("--example", action="store_true", help="a made-up log instead of one's own")
    found.add_argument("--only", default="", help="keep the lines that hold this text")
    found.add_argument("--column", default="", help="the CSV's column with the time")
    found.add_argument("--idle", type=int, nargs="+", default=list(IDLE_MINUTES), metavar="MINUTES")
    defaults = Settings()
    found.add_argument("--cpu", type=int, default=defaults.cpu, help="units, 1024 a vCPU")
    found.add_argument("--memory", type=int, default=defaults.memory, help="MiB")
    found.add_argument("--tasks", type=int, default=defaults.tasks)
    found.add_argument("--public-ip", action="store_true", help="each task has a public address")
    found.add_argument("--cold-start", type=float, default=defaults.cold_start_seconds)
    found.add_argument("--linger", type=int, default=defaults.linger_seconds)
    found.add_argument("--plot", type=Path, default=ROOT / ".cache" / "estimate.png")
    return found


def settings_of(options: argparse.Namespace) -> Settings:
    """Raises LogError for a number that the module would not take."""
    least = {"cpu": 1, "memory": 1, "tasks": 1, "cold_start": 1, "linger": 10}
    for name, bound in least.items():
        if getattr(options, name) < bound:
            got = getattr(options, name)
            raise LogError(f"--{name.replace('_', '-')} is {got}: give {bound} or more.")
    for minutes in options.idle:
        if not 1 <= minutes <= 1440:
            raise LogError(f"--idle is {minutes}: give minutes from 1 to 1440.")
    if options.plot.suffix not in (".png", ".svg"):
        raise LogError(f"--plot is {options.plot}: its name must end with .png or .svg.")
    return Settings(
        linger_seconds=options.linger,
        cold_start_seconds=options.cold_start,
        cpu=options.cpu,
        memory=options.memory,
        tasks=options.tasks,
        public_ip=options.public_ip,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        settings, book = settings_of(options), Book.read()
        if options.example:
            options.log = ROOT / ".cache" / "example-requests.csv"
            write_example(options.log)
        if options.log is None:
            raise LogError("No log is named. Name one (make estimate LOG=...), or --example.")
        requests = read(options.log, options.only, options.column)
        outcomes = [play(requests, settings, minutes) for minutes in sorted(set(options.idle))]
        print(estimate_table(outcomes, settings, book, clients=has_clients(requests)))
        print(f"\n{assumptions(requests, settings, book)}")
        title = "A made-up staging site" if options.example else options.log.name
        from tools import estimate_plot  # as above

        estimate_plot.draw(outcomes, requests, settings, options.plot, title)
        print(f"\nDrawn in {options.plot}.")
    except (LogError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
