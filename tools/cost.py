"""What the module costs asleep and awake, by part, computed from a plan of examples/staging.

Promise: every managed resource of the plan is priced by its type from tools/prices.json, or is of
a type that costs nothing by itself and is listed here with the reason; any other type is an error.
Nothing is taken off for a free tier. Durations and sizes that no plan knows are the bounds of
tools/measured.json.

    python -m tools.cost            writes docs/evidence/cost.md and the README's table
    python -m tools.cost --print    prints the parts, and changes nothing
    python -m tools.cost --plan F   takes `terraform show -json`'s output from a file

The plan is Terraform's own. It needs no account: nothing is there yet that would be read, and the
provider is told to ask nobody who it is.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.terraform_docs import DocsError, with_table
from tools.terraform_env import NoProviderError, terraform_environment

ROOT = Path(__file__).resolve().parents[1]
STAGING = ROOT / "examples" / "staging"
ENVIRONMENT = ROOT / "examples" / "environment"
MODULE = "module.scale_to_zero."
MINUTES_AN_HOUR = 60
GB = 1e9
LIMIT_ASLEEP_USD = 1.00
# Workloads are inputs too, and stand in the tables with their numbers.
WAKES_A_MONTH = 61  # two a day
WAITERS_A_WAKE = 2
WAKE_SECONDS = 60  # for which a waiting client's Lambda is paid
ITEM_KB = 5  # the memory with its last wakes, for a write
READ_UNITS = math.ceil(ITEM_KB / 4)  # a consistent read is paid by 4 KB

OFFLINE = """\
provider "aws" {
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}
"""


class CostError(Exception):
    """A plan cannot be had, or holds what cannot be priced. The message says what to do."""


# --- prices, measurements, resources -----------------------------------------------------------
@dataclass(frozen=True)
class Book:
    """The prices by name in USD, the bounds by name, and the hours of a month."""

    prices: Mapping[str, float]
    bounds: Mapping[str, float]
    hours: float
    date: str

    @classmethod
    def read(cls) -> Book:
        table = json.loads((ROOT / "tools" / "prices.json").read_text())
        inputs = json.loads((ROOT / "tools" / "measured.json").read_text())["inputs"]
        return cls(
            prices={name: float(price["usd"]) for name, price in table["prices"].items()},
            bounds={
                **{name: float(entry["bound"]) for name, entry in inputs.items()},
                **calls_a_wake(),
            },
            hours=float(table["hours_a_month"]),
            date=table["date"],
        )

    def task_hour(self, cpu: float, memory: float, *, arm: bool = False) -> float:
        """USD for an hour of a Fargate task of `cpu` units (1024 a vCPU) and `memory` MiB."""
        suffix = "_arm64" if arm else ""
        vcpu, gb = (
            self.prices["fargate_vcpu_hour" + suffix],
            self.prices["fargate_gb_hour" + suffix],
        )
        return cpu / 1024 * vcpu + memory / 1024 * gb


def calls_a_wake() -> dict[str, float]:
    """What a wake with its falling asleep reads and writes of the table (tools/calls.json)."""
    traces = json.loads((ROOT / "tools" / "calls.json").read_text())["traces"]["one service"]
    made = [name for what in ("wake", "falling asleep") for _, name in traces[what]["calls"]]
    return {
        "wake_reads": made.count("GetItem"),
        "wake_writes": made.count("PutItem") + made.count("UpdateItem"),
    }


@dataclass(frozen=True)
class Resource:
    """A managed resource of a plan, with the values that are known before it is made."""

    address: str
    type: str
    values: Mapping[str, Any]

    @property
    def ours(self) -> bool:
        return self.address.startswith(MODULE)


@dataclass(frozen=True)
class Part:
    """A part of the bill for a whole month, asleep and awake, in USD."""

    what: str
    how: str  # the arithmetic, in words and numbers
    asleep: float
    awake: float
    address: str = ""
    ours: bool = True
    dashboard: bool = False


def resources(plan: Mapping[str, Any]) -> list[Resource]:
    """The managed resources of `terraform show -json`, those of modules too."""

    def walk(module: Mapping[str, Any]) -> Iterator[Resource]:
        for found in module.get("resources", ()):
            if found["mode"] == "managed":
                yield Resource(found["address"], found["type"], found.get("values", {}))
        for child in module.get("child_modules", ()):
            yield from walk(child)

    try:
        return list(walk(plan["planned_values"]["root_module"]))
    except (KeyError, TypeError) as error:
        raise CostError(
            f"This is no plan as `terraform show -json PLANFILE` prints it: {error!r} is missing."
        ) from None


# --- what each type costs ----------------------------------------------------------------------
@dataclass(frozen=True)
class Estate:
    """A plan's resources together: some can be priced only by looking at another."""

    all: Sequence[Resource]
    book: Book

    def of(self, type_: str, *, ours: bool = True) -> list[Resource]:
        return [one for one in self.all if one.type == type_ and one.ours == ours]

    def ticks(self, address_of: Resource) -> float:
        """Invocations a month by the schedules on the same side as this resource."""
        rules = self.of("aws_cloudwatch_event_rule", ours=address_of.ours)
        return sum(self.runs(rule) for rule in rules)

    def runs(self, rule: Resource) -> float:
        """How often a month a rule's schedule runs; 0 for one without."""
        schedule = rule.values.get("schedule_expression") or ""
        if not schedule or rule.values.get("state") == "DISABLED":
            return 0.0
        found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule)
        if not found:
            raise CostError(
                f"{rule.address} has the schedule {schedule}, which is not priced: only rate(...) "
                "is. Teach Estate.runs in tools/cost.py."
            )
        minutes = int(found[1]) * {"minute": 1, "hour": 60, "day": 1440}[found[2]]
        return self.book.hours * MINUTES_AN_HOUR / minutes

    def parts(self) -> list[Part]:
        """The bill. Raises CostError for a resource of a type that is neither priced nor free."""
        found = []
        for one in self.all:
            if one.type in PRICED:
                found += [
                    Part(**{**vars(part), "address": one.address, "ours": one.ours})
                    for part in PRICED[one.type](one, self)
                ]
            elif one.type not in FREE:
                raise CostError(
                    f"{one.address} is of type {one.type}, and tools/cost.py does not know what "
                    "that costs. Add it to PRICED, or to FREE with the reason."
                )
        return found


def same(what: str, how: str, usd: float) -> Part:
    """A part that costs the same asleep and awake."""
    return Part(what, how, usd, usd)


def alarm(one: Resource, estate: Estate) -> list[Part]:
    """By metric: an alarm on an expression costs each metric that the expression reads."""
    queries = one.values.get("metric_query") or ()
    metrics = sum(1 for query in queries if query.get("metric")) or 1
    periods = [one.values.get("period")] + [
        metric.get("period") for query in queries for metric in query.get("metric") or ()
    ]
    fast = any(period is not None and 0 < int(period) < 60 for period in periods)
    price = estate.book.prices["alarm_metric_high_resolution" if fast else "alarm_metric"]
    return [same("Alarms", f"{metrics} x {price:.2f}", metrics * price)]


def composite(_: Resource, estate: Estate) -> list[Part]:
    price = estate.book.prices["alarm_composite"]
    return [same("Alarms", f"1 x {price:.2f}", price)]


def dashboard(_: Resource, estate: Estate) -> list[Part]:
    price = estate.book.prices["dashboard"]
    return [Part("Dashboard", f"1 x {price:.2f}", price, price, dashboard=True)]


def function(one: Resource, estate: Estate) -> list[Part]:
    """Ticks, the clients of wakes, what these write as metrics, and what the ticks ask."""
    book, ticks = estate.book, estate.ticks(one)
    prices, bounds = book.prices, book.bounds
    gb = float(one.values.get("memory_size") or 128) / 1024
    architecture = (one.values.get("architectures") or ["x86_64"])[0]
    second = prices[f"lambda_gb_second_{architecture}"]
    asleep, awake = (bounds[f"tick_{phase}_milliseconds"] / 1000 for phase in ("asleep", "awake"))
    waiting = WAKES_A_MONTH * WAITERS_A_WAKE * WAKE_SECONDS
    alarms = estate.of("aws_cloudwatch_metric_alarm", ours=one.ours)
    queues = sum(1 for each in alarms if each.values.get("namespace") == "AWS/SQS")
    asking = same(
        "Asking the queues",
        f"{queues} x {ticks:,.0f} GetQueueAttributes x {prices['sqs_request'] * 1e6:.2f} a million",
        queues * ticks * prices["sqs_request"],
    )
    hours = WAKES_A_MONTH * bounds["wake_metrics"]
    return [
        *([asking] if queues else []),
        Part(
            "Lambda: time of the ticks",
            f"{ticks:,.0f} ticks x {asleep:g} s ({awake:g} s awake) x {gb:g} GB x {second:.10f}",
            ticks * asleep * gb * second,
            ticks * awake * gb * second,
        ),
        same(
            "Lambda: requests of the ticks",
            f"{ticks:,.0f} x {prices['lambda_request'] * 1e6:.2f} a million",
            ticks * prices["lambda_request"],
        ),
        Part(
            "Two wakes a day: clients that wait",
            f"{WAKES_A_MONTH} wakes x {WAITERS_A_WAKE} clients x {WAKE_SECONDS} s x {gb:g} GB x "
            f"{second:.10f}",
            waiting * gb * second,
            0.0,
        ),
        Part(
            "Two wakes a day: metrics",
            f"{bounds['wake_metrics']:g} metrics x {WAKES_A_MONTH} hours with data x "
            f"{prices['custom_metric']:.2f} / {book.hours:g}",
            hours * prices["custom_metric"] / book.hours,
            0.0,
        ),
        Part(
            "Reading the idle alarm",
            f"awake: {ticks:,.0f} DescribeAlarms x {prices['cloudwatch_request'] * 1000:.2f} a "
            "thousand, beyond the account's first million of calls",
            0.0,
            ticks * prices["cloudwatch_request"],
        ),
    ]


def event_rule(one: Resource, estate: Estate) -> list[Part]:
    """A schedule; events of AWS's own services are free."""
    runs, price = estate.runs(one), estate.book.prices["event"]
    if not runs:
        return []
    how = f"{runs:,.0f} x {price * 1e6:.2f} a million, if schedules are charged as custom events"
    return [same("Schedule of the ticks", how, runs * price)]


def log_group(one: Resource, estate: Estate) -> list[Part]:
    """The function's log. An application's own depends on the application."""
    ticks, book = estate.ticks(one), estate.book
    if not ticks:
        return []
    days = float(one.values.get("retention_in_days") or 3650)
    taken, kept = book.prices["log_ingested_gb"], book.prices["log_kept_gb"]
    sizes = [ticks * book.bounds[f"tick_{phase}_log_bytes"] / GB for phase in ("asleep", "awake")]
    costs = [gb * (taken + kept * days / (book.hours / 24)) for gb in sizes]
    a_tick = book.bounds["tick_asleep_log_bytes"]
    how = (
        f"{ticks:,.0f} ticks x {a_tick:g} bytes = {sizes[0]:.3f} GB x ({taken:.2f} + {kept:.2f} "
        f"for {days:g} days kept)"
    )
    return [Part("Log", how, costs[0], costs[1])]


def table(one: Resource, estate: Estate) -> list[Part]:
    if one.values.get("billing_mode") != "PAY_PER_REQUEST":
        raise CostError(f"{one.address} is not PAY_PER_REQUEST. Teach `table` in tools/cost.py.")
    ticks, book = estate.ticks(one), estate.book
    read, write = book.prices["dynamodb_read"], book.prices["dynamodb_write"]
    units = ticks * READ_UNITS
    reads = WAKES_A_MONTH * book.bounds["wake_reads"] * READ_UNITS
    writes = WAKES_A_MONTH * book.bounds["wake_writes"] * ITEM_KB
    how = (
        f"{units:,.0f} units of consistent reads x {read * 1e6:.3f} a million; two wakes a day "
        f"read {reads:,.0f} units and write {writes:,.0f} KB x {write * 1e6:.3f} a million"
    )
    return [Part("DynamoDB", how, (units + reads) * read + writes * write, units * read)]


def subscription(one: Resource, estate: Estate) -> list[Part]:
    """What one reader of the notices costs."""
    protocol = one.values.get("protocol") or ""
    names = {"email": "sns_email", "email-json": "sns_email"} | dict.fromkeys(
        ("http", "https"), "sns_https"
    )
    if protocol in ("lambda", "sqs"):
        return []
    if protocol not in names:
        raise CostError(f"{one.address} is by {protocol}. Teach `subscription` in tools/cost.py.")
    price, bound = estate.book.prices[names[protocol]], estate.book.bounds["wake_notices"]
    notices = WAKES_A_MONTH * (bound + 1)  # and one when it falls asleep
    how = f"{notices:,.0f} notices x {price * 1e6:.2f} a million"
    return [Part(f"Notices by {protocol}", how, notices * price, 0.0)]


def key(_: Resource, estate: Estate) -> list[Part]:
    return [same("Key of one's own", "1 x 1.00", estate.book.prices["kms_key"])]


def load_balancer(one: Resource, estate: Estate) -> list[Part]:
    """There anyway; an address for each of its subnets, unless it is internal."""
    book = estate.book
    hour, address = book.prices["load_balancer_hour"], book.prices["public_ipv4_hour"]
    subnets = len(estate.of("aws_subnet", ours=False)) or 2
    addresses = 0 if one.values.get("internal") else subnets
    return [
        same("Load balancer, without traffic", f"{hour} x {book.hours:g} h", hour * book.hours),
        same(
            "Load balancer's public addresses",
            f"{addresses} x {address} x {book.hours:g} h",
            addresses * address * book.hours,
        ),
    ]


def definition_of(service: Resource, estate: Estate) -> Resource:
    """The task definition of a service: the only one, or the one of the same name or key.

    Which one a service names is not known before it is made. Raises CostError if none fits.
    """
    found = estate.of("aws_ecs_task_definition", ours=service.ours)
    name = name_or_key(service)
    fitting = [each for each in found if name_or_key(each) == name]
    if len(found) != 1 and len(fitting) != 1:
        raise CostError(
            f"{service.address}: it is not known which of {len(found)} task definitions it runs. "
            "Give the aws_ecs_task_definition the name or the key of its aws_ecs_service."
        )
    return found[0] if len(found) == 1 else fitting[0]


def name_or_key(one: Resource) -> str:
    """The last word of an address: `web` of both aws_lb.web and aws_lb.this["web"]."""
    return re.split(r'[."\[\]]+', one.address.rstrip('"]'))[-1]


def database(one: Resource, estate: Estate) -> list[Part]:
    """An RDS instance: stopped for the whole time asleep; its storage is paid always."""
    book = estate.book
    kind = one.values["instance_class"]
    name = f"rds_{kind.removeprefix('db.').replace('.', '_')}_hour"
    storage = f"rds_{one.values.get('storage_type') or 'gp2'}_gb"
    for needed in (name, storage):
        if needed not in book.prices:
            raise CostError(f"{one.address}: there is no {needed} in tools/prices.json. Add it.")
    hour, price = book.prices[name], book.prices[storage]
    gb = float(one.values["allocated_storage"])
    parts = [
        Part("Database", f"{hour} x {book.hours:g} h", 0.0, hour * book.hours),
        same("Database's storage", f"{gb:g} GB x {price}", gb * price),
    ]
    if one.values.get("manage_master_user_password"):
        secret = book.prices["secret"]
        parts.append(same("Database's secret", f"1 x {secret:.2f}", secret))
    return parts


def service(one: Resource, estate: Estate) -> list[Part]:
    """The tasks: what sleeping saves."""
    book = estate.book
    tasks = float(one.values.get("desired_count") or 1)
    task = definition_of(one, estate)
    cpu, memory = float(task.values["cpu"]), float(task.values["memory"])
    platform = (task.values.get("runtime_platform") or [{}])[0]
    hour = book.task_hour(cpu, memory, arm=platform.get("cpu_architecture") == "ARM64")
    public = any(n.get("assign_public_ip") for n in one.values.get("network_configuration") or ())
    address = book.prices["public_ipv4_hour"] if public else 0.0
    how = f"{tasks:g} x ({cpu / 1024:g} vCPU, {memory / 1024:g} GB: {hour:.5f}) x {book.hours:g} h"
    parts = [Part("Fargate task", how, 0.0, tasks * hour * book.hours)]
    if public:
        usd, how = tasks * address * book.hours, f"{tasks:g} x {address} x {book.hours:g} h"
        parts.append(Part("Task's public address", how, 0.0, usd))
    return parts


PRICED: dict[str, Callable[[Resource, Estate], list[Part]]] = {
    "aws_cloudwatch_composite_alarm": composite,
    "aws_cloudwatch_dashboard": dashboard,
    "aws_cloudwatch_event_rule": event_rule,
    "aws_cloudwatch_log_group": log_group,
    "aws_cloudwatch_metric_alarm": alarm,
    "aws_db_instance": database,
    "aws_dynamodb_table": table,
    "aws_ecs_service": service,
    "aws_kms_key": key,
    "aws_lambda_function": function,
    "aws_lb": load_balancer,
    "aws_sns_topic_subscription": subscription,
}

_POLICY = "a permission"
_WITH_LB = "part of the load balancer; ten of its rules are in its price, more count with traffic"
_NETWORK = "part of the network, without a price of its own"
FREE = {
    "aws_cloudwatch_event_target": "part of its rule",
    "aws_cloudwatch_query_definition": "a saved query; a run costs by the log that it reads",
    "aws_db_subnet_group": "part of the database, without a price of its own",
    "aws_dynamodb_table_item": "written once by Terraform",
    "aws_ecs_cluster": "without container insights",
    "aws_ecs_task_definition": "priced where a service runs it",
    "aws_iam_role": _POLICY,
    "aws_iam_role_policy": _POLICY,
    "aws_iam_role_policy_attachment": _POLICY,
    "aws_internet_gateway": _NETWORK,
    "aws_lambda_function_event_invoke_config": "a setting of the function",
    "aws_lambda_invocation": "one invocation an apply",
    "aws_lambda_permission": _POLICY,
    "aws_lb_listener": _WITH_LB,
    "aws_lb_listener_rule": _WITH_LB,
    "aws_lb_target_group": _WITH_LB,
    "aws_lb_target_group_attachment": _WITH_LB,
    "aws_route_table": _NETWORK,
    "aws_route_table_association": _NETWORK,
    "aws_security_group": _NETWORK,
    "aws_service_discovery_http_namespace": "Service Connect costs no more than its tasks",
    "aws_sns_topic": "priced by its subscriptions; the publishing is below a cent",
    "aws_sns_topic_policy": _POLICY,
    "aws_sqs_queue": "priced by its requests: the application's, and those of the ticks",
    "aws_ssm_parameter": "a standard parameter",
    "aws_subnet": _NETWORK,
    "aws_vpc": _NETWORK,
}


# --- the bill ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    what: str
    how: str
    asleep: float
    awake: float


@dataclass(frozen=True)
class Bill:
    """A plan's cost: the module's parts, its dashboard apart, and what is there anyway."""

    parts: Sequence[Part]
    book: Book

    @classmethod
    def of(cls, plan: Mapping[str, Any], book: Book) -> Bill:
        return cls(Estate(resources(plan), book).parts(), book)

    def module(self) -> list[Row]:
        return _rows(part for part in self.parts if part.ours and not part.dashboard)

    def estate(self) -> list[Row]:
        return _rows(part for part in self.parts if not part.ours)

    @property
    def asleep(self) -> float:
        return sum(row.asleep for row in self.module())

    @property
    def awake(self) -> float:
        return sum(row.awake for row in self.module())

    @property
    def dashboards(self) -> float:
        return sum(part.awake for part in self.parts if part.dashboard)

    @property
    def saved_hour(self) -> float:
        """USD that an hour without tasks saves in this estate."""
        return sum(row.awake - row.asleep for row in self.estate()) / self.book.hours


def _rows(parts: Iterable[Part]) -> list[Row]:
    """One row for all parts of a name, the dearest first; alarms are added up."""
    rows: dict[str, list[Part]] = {}
    for part in parts:
        rows.setdefault(part.what, []).append(part)
    together = [
        Row(
            what,
            _together([part.how for part in same_name]),
            sum(part.asleep for part in same_name),
            sum(part.awake for part in same_name),
        )
        for what, same_name in rows.items()
    ]
    return sorted(together, key=lambda row: -max(row.asleep, row.awake))


def _together(hows: Sequence[str]) -> str:
    """`2 x 0.10` and `1 x 0.10` are `3 x 0.10`; what is not alike is joined."""
    counts: dict[str, int] = {}
    for how in hows:
        found = re.fullmatch(r"(\d+) x ([\d.]+)", how)
        if not found:
            times = Counter(hows)
            return "; ".join(how if n == 1 else f"{n} times {how}" for how, n in times.items())
        counts[found[2]] = counts.get(found[2], 0) + int(found[1])
    return " + ".join(f"{count} x {price}" for price, count in counts.items())


def plan_of(folder: Path, scratch: Path) -> dict[str, Any]:
    """`terraform show -json` of a plan of an example, made in `scratch` without any cloud.

    `scratch` is two folders below the repository, as the example is, so that its path to the module
    holds there too; it is emptied first. Raises CostError with what Terraform said.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    (scratch / "offline_override.tf").write_text(OFFLINE)
    settings = {**os.environ, **terraform_environment()}
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION", "TF_DATA_DIR"):
        settings.pop(name, None)

    def run(*command: str) -> str:
        try:
            return subprocess.run(
                ["terraform", f"-chdir={scratch}", *command],
                env=settings,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        except FileNotFoundError:
            raise CostError("terraform is not on PATH: install 1.9 or newer.") from None
        except subprocess.CalledProcessError as error:
            said = f"{error.stdout}{error.stderr}"
            raise CostError(f"terraform {command[0]} failed:\n{said}") from None

    run("init", "-backend=false", "-input=false", "-no-color")
    run("plan", "-refresh=false", "-lock=false", "-input=false", "-no-color", "-out=cost.tfplan")
    shown: dict[str, Any] = json.loads(run("show", "-json", "cost.tfplan"))
    return shown


# --- as text -----------------------------------------------------------------------------------
def usd(amount: float) -> str:
    """Two places; what is under half a cent but not nothing says so."""
    return "under 0.01" if 0 < amount < 0.005 else f"{amount:,.2f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 2) -> str:
    """A table whose first `texts` columns are text, and the others numbers."""
    lines = [head, ["---" if i < texts else "---:" for i in range(len(head))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def parts_table(rows: Sequence[Row], together: str) -> str:
    body = [[row.what, row.how, usd(row.asleep), usd(row.awake)] for row in rows]
    totals = usd(sum(row.asleep for row in rows)), usd(sum(row.awake for row in rows))
    bold = [f"**{text}**" for text in (together, *totals)]
    body.append([bold[0], "", bold[1], bold[2]])
    return markdown(("Part", "Arithmetic", "Asleep", "Awake"), body)


def savings_table(bill: Bill) -> str:
    """What one task always on costs, and what it costs with the module, awake 50 h a week."""
    book = bill.book
    awake = 50 * book.hours / 168
    asleep = book.hours - awake
    module = (bill.asleep * asleep + bill.awake * awake) / book.hours
    rows = []
    for cpu, memory in ((256, 512), (512, 1024), (1024, 2048)):
        hour = book.task_hour(cpu, memory)
        always, now = hour * book.hours, hour * awake + module
        task = f"{cpu / 1024:g} vCPU, {memory / 1024:g} GB"
        even = bill.asleep / hour
        rows.append(
            [task, f"{hour:.5f}", usd(always), usd(now), usd(always - now), f"{even:.0f} h"]
        )
    head = ("Task", "USD an hour", "Always on", "With the module", "Saved", "Pays from")
    return markdown(head, rows)


def readme_block(bill: Bill) -> str:
    """The README's part between its cost markers."""
    balancer = sum(row.asleep for row in bill.estate())
    return f"""\
The module costs **{bill.asleep:.2f} USD a month asleep and {bill.awake:.2f} awake**. This is computed from the plan of `examples/staging` with list prices of us-east-1 of {bill.book.date}, without free tier; nobody has seen a bill yet. The table shows USD a month for one task that is awake for 50 of the 168 hours of a week:

{savings_table(bill)}

*Pays from* is the number of hours of sleep a month that pay for the module. The load balancer stays, because it receives the first request: {balancer:.2f} a month with its public addresses."""  # noqa: E501


def environment(bill: Bill) -> str:
    """The section on an environment of several services."""
    saved = bill.saved_hour * bill.book.hours
    return f"""\
## An environment

Of [examples/environment](../../examples/environment/main.tf): a web server, an API, a worker with its queue, and a database. The module beside all of them:

{parts_table(bill.module(), "The module")}

{parts_table(bill.estate(), "The environment without the module")}

A month asleep saves {saved:.2f} USD and costs {bill.asleep:.2f} for the module. *Asleep* counts the database as stopped all the time; AWS starts it every seven days, and the module stops it again."""  # noqa: E501


def document(bill: Bill, of_environment: Bill, estimate: str) -> str:
    """docs/evidence/cost.md."""
    book = bill.book
    measured = json.loads((ROOT / "tools" / "measured.json").read_text())
    table = json.loads((ROOT / "tools" / "prices.json").read_text())
    inputs = [
        [entry["what"], f"`{name}`", f"{entry['measured']:g}", f"{entry['bound']:g}"]
        for name, entry in measured["inputs"].items()
    ]
    prices = [
        [
            f"[`{name}`]({price['page']})",
            price["per"],
            f"{price['usd']:.10f}".rstrip("0").rstrip("."),
        ]
        for name, price in table["prices"].items()
    ]
    free = [[f"`{name}`", why] for name, why in FREE.items()]
    gone = bill.saved_hour
    return f"""\
# The cost, computed

Written by `python -m tools.cost` from a plan of [examples/staging](../../examples/staging/main.tf): do not edit. USD a month of {book.hours:g} hours in us-east-1, list prices of {book.date}, without free tier and taxes. Nobody has seen a bill yet. How to compute it for your own traffic: [the guide](../guide/cost.md).

## The module

*Asleep* is a month of sleep with two wakes a day. *Awake* is a month without sleep. A real month lies between the two columns.

{parts_table(bill.module(), "The module")}

- **Asleep the module costs less than {LIMIT_ASLEEP_USD:.2f}** without a dashboard. A test computes the sum from the plan, and fails for a resource whose price is not known.
- **Alarms are the largest part.** The first ten alarm metrics of an account are free; that is not subtracted here.
- **A dashboard** costs {bill.dashboards:.2f} (off by default; the first three of an account are free). **Your own KMS key** costs 1.00.
- **Heartbeats** cost an invocation each: one every 30 s for a month is 87,600 invocations and one metric (0.30).

## The estate without the module

{parts_table(bill.estate(), "The estate without the module")}

Traffic and the application's own log are extra, with the module and without it. A sleeping hour of this estate saves {gone:.5f} USD: the task and its public address.

## Break-even

{savings_table(bill)}

One task that is awake 50 of the 168 hours of a week. *Pays from* is the number of hours of sleep a month that pay for the module. In this estate, with the task's public address, that is {bill.asleep / gone:.0f} hours, about {bill.asleep / gone / (book.hours / 24):.1f} a day. A service that is used around the clock saves nothing and pays {bill.awake:.2f}.

{environment(of_environment)}

{estimate}

## Where the numbers come from

### Measured

{measured["note"]} Measured on: {measured["measured_on"]}.

{markdown(("Input", "Name", "Measured", "Bound"), inputs)}

Assumed, not measured: {WAKES_A_MONTH} wakes a month, {WAITERS_A_WAKE} clients waiting in each for {WAKE_SECONDS} s, {ITEM_KB} KB of the memory. Counted in a simulated wake with two clients and the falling asleep after it (`python -m tests.faults.calls`): {book.bounds["wake_reads"]:g} reads and {book.bounds["wake_writes"]:g} writes of the table.

### Prices

{table["note"]}

{markdown(("Name, and AWS's page", "For one", "USD"), prices)}

### Free

Resource types that cost nothing, with the reason. A type that is neither here nor priced is an error.

{markdown(("Type", "Why"), free)}
"""  # noqa: E501


def write(bill: Bill, of_environment: Bill, estimate: str) -> None:
    """docs/evidence/cost.md and the README's block. Raises DocsError without the markers."""
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(), "cost", readme_block(bill)))
    (ROOT / "docs" / "evidence" / "cost.md").write_text(document(bill, of_environment, estimate))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Prices a plan of examples/staging.")
    parser.add_argument("--print", action="store_true", dest="only_print")
    parser.add_argument("--plan", type=Path, help="output of `terraform show -json PLANFILE`")
    options = parser.parse_args(arguments)
    try:
        if options.plan:
            plan = json.loads(options.plan.read_text())
        else:
            plan = plan_of(STAGING, ROOT / ".cache" / "cost")
        bill = Bill.of(plan, Book.read())
        print(parts_table(bill.module(), "The module"))
        print(f"dashboard {bill.dashboards:.2f}; a sleeping hour saves {bill.saved_hour:.5f}")
        if not options.only_print:
            from tools import estimate  # with the product's code, and a plotting library

            of_environment = Bill.of(plan_of(ENVIRONMENT, ROOT / ".cache" / "cost"), Book.read())
            write(bill, of_environment, estimate.example_section())
    except (CostError, DocsError, NoProviderError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
