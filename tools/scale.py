"""How many services one account can hold, and what breaks first: docs/technical/scale.md.

The calls are those that the program makes in a simulation (tools/calls.json, which
`python -m tests.faults.calls --record` writes). They are laid over each other for many services and
held against the rates that AWS publishes. The resources are those of a plan of examples/staging.

    python -m tools.scale            prints the page
    python -m tools.scale --write    writes docs/technical/scale.md
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from tools.cost import MODULE, STAGING, Bill, Book, CostError, markdown, plan_of, resources, usd
from tools.package import PACKAGE
from tools.terraform_env import NoProviderError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "technical" / "scale.md"
CALLS = ROOT / "tools" / "calls.json"
MINUTE_SECONDS = 60
STEADY_MINUTES = 60  # a rate that is exceeded empties its bucket within this time
WAVE_SECONDS = 60  # in which the services of a wave are asked for
MOST = 100_000  # services; more than any quota allows
MEMBERS = 10  # of the environment that is one module, as in calls.json
SERVICES = (1, 10, 25, 100, 300, 1000)

DOCS = "https://docs.aws.amazon.com"
ELB_RATES = f"{DOCS}/elasticloadbalancing/latest/userguide/elb-api-throttling.html"
ELB_QUOTAS = f"{DOCS}/elasticloadbalancing/latest/application/load-balancer-limits.html"
ECS_RATES = f"{DOCS}/AmazonECS/latest/APIReference/request-throttling.html"
CLOUDWATCH_QUOTAS = f"{DOCS}/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"
EVENTBRIDGE_QUOTAS = f"{DOCS}/eventbridge/latest/userguide/eb-quota.html"
SNS_QUOTAS = f"{DOCS}/general/latest/gr/sns.html"
DYNAMODB_QUOTAS = f"{DOCS}/amazondynamodb/latest/developerguide/ServiceQuotas.html"
LAMBDA_QUOTAS = f"{DOCS}/lambda/latest/dg/gettingstarted-limits.html"
IAM_QUOTAS = f"{DOCS}/IAM/latest/UserGuide/reference_iam-quotas.html"
LOGS_QUOTAS = f"{DOCS}/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html"
SCALING_QUOTAS = f"{DOCS}/autoscaling/application/userguide/application-auto-scaling-quotas.html"
FARGATE_RATES = f"{DOCS}/AmazonECS/latest/developerguide/throttling.html"
SCHEDULE = f"{DOCS}/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html"


# --- rates -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Rate:
    """A token bucket that all callers of an account and Region share. `burst` is its size."""

    what: str
    operations: frozenset[str]
    burst: float
    a_second: float
    page: str

    def throttled(self, demand: Iterable[float]) -> float:
        """How many calls find the bucket empty; `demand` has the calls of each second."""
        tokens, refused = self.burst, 0.0
        for wanted in demand:
            given = min(wanted, tokens)
            refused += wanted - given
            tokens = min(self.burst, tokens - given + self.a_second)
        return refused

    def written(self) -> str:
        """As AWS publishes it."""
        if self.burst == self.a_second:
            return f"{self.a_second:g} a second"
        return f"{self.a_second:g} a second, {self.burst:g} at once"


RATES = (
    Rate(
        "Elastic Load Balancing, all actions together",
        frozenset({"DescribeRules", "DescribeTargetHealth", "SetRulePriorities"}),
        40,
        10,
        ELB_RATES,
    ),
    Rate(
        "Elastic Load Balancing, actions that change",
        frozenset({"SetRulePriorities"}),
        20,
        3,
        ELB_RATES,
    ),
    Rate(
        "ECS, cluster resource read: tasks",
        frozenset({"ListTasks", "DescribeTasks"}),
        100,
        20,
        ECS_RATES,
    ),
    Rate("ECS, service read", frozenset({"DescribeServices"}), 100, 20, ECS_RATES),
    Rate("ECS, service modify", frozenset({"UpdateService"}), 50, 5, ECS_RATES),
    Rate("ECS, task definition read", frozenset({"DescribeTaskDefinition"}), 50, 20, ECS_RATES),
    Rate("ECS, task protection", frozenset({"GetTaskProtection"}), 200, 80, ECS_RATES),
    Rate("CloudWatch, DescribeAlarms", frozenset({"DescribeAlarms"}), 9, 9, CLOUDWATCH_QUOTAS),
    Rate("SNS, Publish (in the smallest Regions)", frozenset({"Publish"}), 300, 300, SNS_QUOTAS),
)
# Calls that no rate of the whole account limits, with the reason.
UNRATED = {
    "GetItem": "a table for each module, with 40,000 read units a second",
    "PutItem": "a table for each module, with 40,000 write units a second",
    "UpdateItem": "a table for each module, with 40,000 write units a second",
    "DescribeScalableTargets": "AWS publishes no rate for Application Auto Scaling",
}


# --- calls -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Trace:
    """The calls that the program made while something happened to one module, each with its second;
    and its invocations, each with its beginning and its end."""

    calls: tuple[tuple[float, str], ...]
    invocations: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Trace:
        calls = tuple((float(at), str(operation)) for at, operation in kept["calls"])
        spans = tuple((float(began), float(ended)) for began, ended in kept["invocations"])
        return cls(calls, spans)

    @cached_property
    def counted(self) -> Counter[str]:
        """How often each operation was called."""
        return Counter(operation for _, operation in self.calls)

    def of_rate(self, rate: Rate) -> int:
        """How many calls are taken from a bucket."""
        return sum(self.counted[operation] for operation in rate.operations)

    def a_second(self, rate: Rate) -> list[int]:
        """The calls that are taken from a bucket, by the second in which they are made."""
        seconds = [int(at) for at, operation in self.calls if operation in rate.operations]
        counted = Counter(seconds)
        return [counted[second] for second in range(max(seconds, default=-1) + 1)]

    def functions_a_second(self) -> list[int]:
        """The invocations that are under way in each second."""
        last = max((ended for _, ended in self.invocations), default=0.0)
        return [
            sum(began < second + 1 and ended >= second for began, ended in self.invocations)
            for second in range(math.ceil(last))
        ]


def traces() -> dict[str, dict[str, Trace]]:
    """By estate and by what happens. Raises ValueError for an operation that has no rate here."""
    kept = json.loads(CALLS.read_text())["traces"]
    found = {
        estate: {what: Trace.of(each) for what, each in happening.items()}
        for estate, happening in kept.items()
    }
    known = {*UNRATED}.union(*(rate.operations for rate in RATES))
    called = {
        operation
        for happening in found.values()
        for trace in happening.values()
        for operation in trace.counted
    }
    if unknown := sorted(called - known):
        raise ValueError(
            f"tools/calls.json has {', '.join(unknown)}, and tools/scale.py knows no rate for it. "
            "Add it to RATES, or to UNRATED with the reason."
        )
    return found


def laid_over(single: Sequence[float], modules: int, within: int) -> list[float]:
    """The sum of so many copies of `single`, which has one value for each second.

    The copies begin at even distances within so many seconds; 1 is all at once.
    """
    bounds = [second * modules // within for second in range(within + 1)]
    total = [0.0] * (within + len(single))
    for second, (before, after) in enumerate(pairwise(bounds)):
        for later, value in enumerate(single):
            total[second + later] += (after - before) * value
    return total


def ticks(rate: Rate, trace: Trace, modules: int, within: int = MINUTE_SECONDS) -> float:
    """The share that is refused while so many modules tick each minute, for an hour.

    The ticks of a minute begin within so many seconds of it; 1 is all at once.
    """
    demand = laid_over(trace.a_second(rate), modules, within)
    minute = [sum(demand[second::MINUTE_SECONDS]) for second in range(MINUTE_SECONDS)]
    return rate.throttled(minute * STEADY_MINUTES) / max(1.0, sum(minute) * STEADY_MINUTES)


def wave(rate: Rate, trace: Trace, modules: int, within: int = WAVE_SECONDS) -> float:
    """The share that is refused if so many modules begin the same within so many seconds."""
    demand = laid_over(trace.a_second(rate), modules, within)
    return rate.throttled(demand) / max(1.0, sum(demand))


def most(fits: Callable[[int], bool]) -> int:
    """The largest number of modules that fits, up to MOST. `fits` is False from one number on."""
    below, above = 0, 1
    while above <= MOST and fits(above):
        below, above = above, above * 2
    above = min(above, MOST + 1)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if fits(middle) else (below, middle)
    return below


def number(modules: int) -> str:
    return f"over {MOST:,}" if modules >= MOST else f"{modules:,}"


# --- quotas ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Quota:
    """How many of a thing there may be; `types` are those of Terraform, with what is counted."""

    what: str
    limit: float
    types: tuple[str, ...]
    page: str
    adjustable: bool
    remedy: str
    with_service: bool = True  # the service's own resources count, too
    a_load_balancer: bool = False


DIVIDE = "Divide the services among load balancers, each with its own listeners."
TOGETHER = "Make one module of an environment of several services, or ask for a higher quota."
QUOTAS = (
    Quota(
        "Rules of a load balancer",
        100,
        ("aws_lb_listener_rule",),
        ELB_QUOTAS,
        adjustable=True,
        remedy=f"Ask for a higher quota. {DIVIDE}",
        a_load_balancer=True,
    ),
    Quota(
        "Target groups of a load balancer",
        100,
        ("aws_lb_target_group",),
        ELB_QUOTAS,
        adjustable=False,
        remedy=DIVIDE,
        a_load_balancer=True,
    ),
    Quota(
        "EventBridge rules of the default bus",
        300,
        ("aws_cloudwatch_event_rule",),
        EVENTBRIDGE_QUOTAS,
        adjustable=True,
        remedy=f"{TOGETHER} In af-south-1 and eu-south-1 the quota is 100.",
    ),
    Quota(
        "Target groups of a Region",
        3000,
        ("aws_lb_target_group",),
        ELB_QUOTAS,
        adjustable=True,
        remedy=TOGETHER,
    ),
    Quota(
        "IAM roles of an account",
        1000,
        ("aws_iam_role",),
        IAM_QUOTAS,
        adjustable=True,
        remedy=f"{TOGETHER} Let services share their execution role.",
    ),
    Quota(
        "DynamoDB tables of a Region",
        2500,
        ("aws_dynamodb_table",),
        DYNAMODB_QUOTAS,
        adjustable=True,
        remedy=TOGETHER,
    ),
    Quota(
        "Log groups of a Region",
        1_000_000,
        ("aws_cloudwatch_log_group",),
        LOGS_QUOTAS,
        adjustable=False,
        remedy="",
    ),
    Quota(
        "SNS topics of an account",
        100_000,
        ("aws_sns_topic",),
        SNS_QUOTAS,
        adjustable=True,
        remedy="",
    ),
)


@dataclass(frozen=True)
class Resources:
    """How many resources of each type one module and the service beside it have."""

    module: Counter[str]
    service: Counter[str]

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Resources:
        """Of `terraform show -json`'s output. A dashboard, which is off by default, is left out."""
        every = resources(plan)
        return cls(
            module=Counter(one.type for one in every if one.address.startswith(MODULE)),
            service=Counter(one.type for one in every if not one.address.startswith(MODULE)),
        )

    def count(self, quota: Quota) -> int:
        return sum(self.module[each] + self.service[each] for each in quota.types)


# --- what breaks first -------------------------------------------------------------------------
@dataclass(frozen=True)
class Break:
    """Up to so many services, something holds."""

    services: int
    what: str
    limit: str
    then: str


MORE = "Ask AWS Support for a higher rate"
RATE_REMEDY = {
    "wave": f"Clients are served later. {MORE}, or let schedules begin some minutes apart.",
    "ticks": f"{MORE}, or make one module of an environment of several services.",
}


def breaks(found: Mapping[str, Trace], have: Resources) -> list[Break]:
    """Everything that has a limit, the lowest first, for one module for each service."""
    listed = []
    for rate in RATES:
        for phase in ("asleep", "awake"):
            trace = found[f"tick {phase}"]
            if trace.of_rate(rate):
                holds = most(lambda n, r=rate, t=trace: ticks(r, t, n) == 0)  # type: ignore[misc]
                what = f"{rate.what}: the ticks of services that are {phase}"
                listed.append(Break(holds, what, rate.written(), RATE_REMEDY["ticks"]))
        trace = found["wake"]
        if trace.of_rate(rate):
            holds = most(lambda n, r=rate, t=trace: wave(r, t, n) == 0)  # type: ignore[misc]
            what = f"{rate.what}: services that are woken within {WAVE_SECONDS} s"
            listed.append(Break(holds, what, rate.written(), RATE_REMEDY["wave"]))
    for quota in QUOTAS:
        if each := have.count(quota):
            limit = f"{quota.limit:,.0f}, {each} for each service"
            listed.append(Break(int(quota.limit // each), quota.what, limit, quota.remedy))
    return sorted(listed, key=lambda one: one.services)


def breaks_table(listed: Iterable[Break], fewer_than: int = 2000) -> str:
    rows = [
        [one.what, one.limit, one.then, number(one.services)]
        for one in listed
        if one.services < fewer_than
    ]
    head = ("What breaks", "Limit", "What to do beyond", "Holds up to this many services")
    return markdown(head, rows, texts=3)


# --- tables ------------------------------------------------------------------------------------
def calls_table(found: Mapping[str, Mapping[str, Trace]]) -> str:
    """How often one module calls each operation."""
    columns = [trace for happening in found.values() for trace in happening.values()]
    operations = sorted({operation for trace in columns for operation in trace.counted})
    rows = [
        [f"`{operation}`", *(str(trace.counted[operation]) for trace in columns)]
        for operation in operations
    ]
    rows.append(["**All calls**", *(f"**{len(trace.calls)}**" for trace in columns)])
    head = [f"{what}, {estate}" for estate in ("one", "ten") for what in WHAT]
    return markdown(["Call", *head], rows, texts=1)


WHAT = ("a tick asleep", "a tick awake", "a wake", "falling asleep")


def rates_table(happening: Mapping[str, Trace]) -> str:
    """For each bucket: the calls a minute of a thousand services, and up to how many it holds."""
    asleep, awake, woken = (happening[name] for name in ("tick asleep", "tick awake", "wake"))
    rows = []
    for rate in RATES:
        row = [f"[{rate.what}]({rate.page})", rate.written()]
        row += [f"{1000 * trace.of_rate(rate):,}" for trace in (asleep, awake)]
        row += [number(most(lambda n, r=rate, t=t: ticks(r, t, n) == 0)) for t in (asleep, awake)]  # type: ignore[misc]
        row += [number(most(lambda n, r=rate: ticks(r, awake, n, within=1) == 0))]  # type: ignore[misc]
        row += [number(most(lambda n, r=rate: wave(r, woken, n) == 0))]  # type: ignore[misc]
        rows.append(row)
    head = (
        "Rate",
        "Published",
        "Calls a minute, 1,000 asleep",
        "1,000 awake",
        "Holds up to, asleep",
        "Awake",
        "Awake, all ticks in one second",
        f"Woken within {WAVE_SECONDS} s",
    )
    return markdown(head, rows)


def functions_at_once(
    happening: Mapping[str, Trace], book: Book, modules: int
) -> tuple[float, int]:
    """Functions at once of the ticks (awake, the cost's bound of a tick) and of a wave of wakes."""
    tick_seconds = book.bounds["tick_awake_milliseconds"] / 1000
    waiting = laid_over(happening["wake"].functions_a_second(), modules, WAVE_SECONDS)
    return modules * tick_seconds / MINUTE_SECONDS, int(max(waiting))


def services_table(happening: Mapping[str, Trace], bill: Bill, have: Resources) -> str:
    """For growing numbers of services: resources, functions, cost, and what share is refused."""
    elb, tasks = RATES[0], RATES[2]
    rules = have.count(QUOTAS[0])
    rows = []
    for services in SERVICES:
        ticking, waiting = functions_at_once(happening, bill.book, services)
        refused = [
            ticks(elb, happening["tick awake"], services),
            wave(elb, happening["wake"], services),
            wave(tasks, happening["wake"], services),
        ]
        rows.append(
            [
                f"{services:,}",
                f"{math.ceil(services * rules / QUOTAS[0].limit):,}",
                f"{services * have.count(QUOTAS[2]):,}",
                f"{ticking:,.1f}",
                f"{waiting:,}",
                *(f"{share:.0%}" for share in refused),
                usd(services * bill.asleep),
                usd(services * bill.awake),
            ]
        )
    head = (
        "Services",
        "Load balancers",
        "EventBridge rules",
        "Functions at once, ticks",
        "Functions at once, all woken",
        "ELB calls refused, ticks",
        "ELB calls refused, all woken",
        "Task reads refused, all woken",
        "USD a month asleep",
        "Awake",
    )
    return markdown(head, rows, texts=0)


def quotas_table(have: Resources) -> str:
    rows = []
    for quota in QUOTAS:
        module = sum(have.module[each] for each in quota.types)
        service = sum(have.service[each] for each in quota.types)
        holds = int(quota.limit // (module + service)) if module + service else MOST
        more = "yes" if quota.adjustable else "no"
        row = [f"[{quota.what}]({quota.page})", more, f"{quota.limit:,.0f}", str(module)]
        rows.append([*row, str(service), number(holds)])
    size = PACKAGE.stat().st_size
    storage = 75 * 1024**3
    rows.append(
        [
            f"[Lambda's storage of code]({LAMBDA_QUOTAS})",
            "yes",
            "75 GB",
            f"{size / 1e6:.2f} MB",
            "0",
            number(storage // size),
        ]
    )
    head = ("Quota", "Can be raised", "Default", "Of the module", "Of the service", "Services")
    return markdown(head, rows)


# --- the page ----------------------------------------------------------------------------------
def page(plan: Mapping[str, Any], book: Book) -> str:
    """docs/technical/scale.md."""
    found = traces()
    one, ten = found["one service"], found["an environment of ten services"]
    have, bill = Resources.of(plan), Bill.of(plan, book)
    listed = breaks(one, have)
    elb, tasks = RATES[0], RATES[2]
    asleep = most(lambda n: ticks(elb, one["tick asleep"], n) == 0)
    woken = most(lambda n: wave(elb, one["wake"], n) == 0)
    together = most(lambda n: ticks(elb, ten["tick asleep"], n) == 0)
    tasks_awake = most(lambda n: ticks(tasks, ten["tick awake"], n) == 0)
    burst = max(ten["wake"].a_second(tasks))
    share = wave(tasks, ten["wake"], 1)
    ticking, waiting = functions_at_once(one, book, 1000)
    seconds = json.loads(CALLS.read_text())["boot_seconds"]
    return f"""\
# Toward a thousand services

Written by `python -m tools.scale --write`: do not edit. It answers one question: how many services of one account and Region can scale to zero by this module, and what breaks first.

Nobody has run a thousand services yet. The page is a simulation:

- **The calls are counted, not estimated.** The real program runs against a simulated AWS (`python -m tests.faults.calls`), and each of its calls is noted with its second. A test compares the record with the program.
- **The rates and quotas are those that AWS publishes**, each with its page. They are defaults. Yours may be higher or lower: look at Service Quotas.
- **The resources and the cost** come from a plan of [examples/staging](../../examples/staging/main.tf), and from [the cost, computed](../evidence/cost.md).

## What breaks first

With one module for each service, and everything else in the account idle:

{breaks_table(listed)}

Two of these limits are of one load balancer, and a wave of wakes is slower but loses nobody. For what runs all the time, the rate of the Elastic Load Balancing API comes first: 10 calls a second for everything that the account asks of it. Terraform and the console share it with the module. ECS registers targets from a rate of its own.

**What happens beyond a rate:** AWS answers `ThrottlingException`, and boto3 tries up to three times. [The tests throttle every call](../evidence/reliability.md), once and for a while.

- A tick that is refused three times fails. The service stays in its phase, the next tick repeats the work, and the alarm `errors` tells people.
- A request whose calls are refused gets the waiting page or a `503` with `Retry-After: 5`. Its client comes again, and people are told.
- A wake that is under way takes longer: the wake rule goes down at a later look.

## One module for several services

[An environment](../guide/configuration.md#environments) of ten services with one route is one module. It has one table, one function and the rules of one route, and asks the load balancer once for all. So {together:,} such environments can tick asleep, which are {together * MEMBERS:,} services; {asleep:,} modules of one service can. Only the reads of tasks grow with the services, because ECS lists the tasks of one service at a time: {tasks_awake:,} environments of ten ({tasks_awake * MEMBERS:,} services) can tick awake. ECS sends an event for each task that starts, and each event makes the function look at all services. So ten tasks that start in the same second, as in the simulation, take {burst} reads of tasks in that second, of the {tasks.burst:g} that AWS allows at once: {share:.0%} of the reads of such a wake are refused, and boto3 repeats them.

## Calls of one module

{calls_table(found)}

*one* is a module with one service, *ten* a module with ten services behind one route. A tick runs once a minute. A wake is a cold start of {seconds:g} s with a browser and an API call that wait. All waiting clients of a module share one observation of AWS: one every two seconds until a task has started, then two a second.

## Calls against their rates

{rates_table(one)}

*Holds up to* is the number of modules with one service at which no call is refused. AWS publishes no rate for these calls, or the rate is not of the account:

{markdown(("Call", "Why"), [[f"`{name}`", why] for name, why in UNRATED.items()])}

### When the ticks run

The schedule of a module is `rate(1 minute)`. [Such a schedule begins when its rule is created]({SCHEDULE}), and not at the full minute. So modules that were applied one after the other tick at different seconds, and the table takes them as evenly spread. AWS promises no precision within the minute. The column *all ticks in one second* shows the worst case: modules that were created in the same second.

### Waves of wakes

A wake reads AWS more often than a tick, because clients wait. Up to {woken} services can be woken within {WAVE_SECONDS} s without a refused call. If more are woken, their clients wait longer. A `schedule` whose awake hours begin at the same minute for all services makes such a wave: let them begin some minutes apart.

ECS starts [20 Fargate tasks a second, and 100 at once]({FARGATE_RATES}); that is a rate of the account, too.

## Functions at once

The ticks of 1,000 awake services keep {ticking:.0f} functions busy, if a tick takes {book.bounds["tick_awake_milliseconds"] / 1000:g} s (the bound of the cost). If all 1,000 are woken within {WAVE_SECONDS} s, with a browser and an API call each, {waiting:,} functions run at once: a held call occupies a function. [The default quota is 1,000]({LAMBDA_QUOTAS}), and new accounts have less. `hold_limit` bounds the held calls of one module.

## Quotas

{quotas_table(have)}

CloudWatch [limits neither the number of alarms nor of custom metrics]({CLOUDWATCH_QUOTAS}). Application Auto Scaling takes [3,000 ECS services]({SCALING_QUOTAS}). EventBridge delivers [at least 750 invocations a second]({EVENTBRIDGE_QUOTAS}), and the ticks of 1,000 services need 17. The module sends no `PutEvents`: the events are those of ECS and RDS.

## By number of services

{services_table(one, bill, have)}

With one module for each service. *Refused* is the share of calls that would find the bucket empty, before any retry. The cost is that of the module alone, with its six alarms; the load balancers are extra.
"""  # noqa: E501


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How many services an account can hold.")
    parser.add_argument("--write", action="store_true", help="write docs/technical/scale.md")
    options = parser.parse_args(arguments)
    try:
        text = page(plan_of(STAGING, ROOT / ".cache" / "scale"), Book.read())
    except (CostError, NoProviderError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.write:
        PAGE.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
