"""`make bench`: how long things take, as one table. It asserts nothing: no test does of a time.

A local cloud, the module applied once, and each group of figures in turn, at the clock's 1x (the
alarm path, which takes minutes, at a faster one).
`python -m demo.bench GROUP ...` runs some of them; `--record` keeps what was measured in
demo/performance.json and writes docs/evidence/performance.md of it, and the cost of a tick's
inputs to tools/measured.json. A new figure is a `Row` of a function in GROUPS.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import requests
from botocore.httpsession import create_urllib3_context, get_cert_path

from localcloud.client import LocalCloud, running
from tests import tick
from tests.estate import Estate, surrounded
from tools import estimate, scale
from tools.cost import STAGING, Bill, Book, markdown, plan_of

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "demo" / "performance.json"
DOCUMENT = ROOT / "docs" / "evidence" / "performance.md"
HEAD = """\
# How long it takes

Written by `make bench RECORD=1` ([demo/bench.py](../../demo/bench.py)): do not edit. The figures were measured on the [local cloud](../../localcloud/README.md), which is not AWS: its API runs on the same machine, its functions share the machine's CPU, and its connections have no TLS. Its functions are forked from a process that has imported boto3, except where an init is measured. They show how long the module's own steps take, and which change made one slower. No test asserts any of them.
"""  # noqa: E501
FOOT = """\
When you compare them with AWS:

- A Lambda of 512 MB has 0.29 of a vCPU while it runs ([1,769 MB are one](https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html)), so an invocation's CPU seconds take three to four times as long there. People report that init has a whole one; AWS does not document it.
- The tick keeps one container warm. The second of two simultaneous requests gets a cold function, or the first one after AWS has replaced the container.
- Each new connection to an AWS API needs a TLS handshake, for which botocore reads its CA bundle (a row of the table). The connection to DynamoDB is opened in init, the one to ECS by the first request.
- The start of a task is set to be short here. It depends on Fargate and the image; `python -m tools.report NAME` measures yours.
"""  # noqa: E501

QUICK_START = {"provisioning_seconds": 0.5, "pull_seconds": 0.5, "start_seconds": 0.2}
SLOW_START = {"provisioning_seconds": 3, "pull_seconds": 4, "start_seconds": 1}
BROWSER = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
IMAGE = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Accept": "image/*"}
PAGE_FIRST_POLL_SECONDS = 0.5  # as lambda/page.html has them
PAGE_POLL_SECONDS = 1.5
PAGE_ENTER_SECONDS = 1.0  # from the beginning of awake
PATIENCE_SECONDS = 900  # a client that has no answer by then is lost
TASK = "the task needs 8 s, and its health check up to 5 s"
LOST = f"an error, or not served within {PATIENCE_SECONDS // 60} min"
FUNCTIONS_AT_ONCE = 60  # of the crowds; more gain nothing on a few processors
ALARM_SPEED = 20.0  # the clock's, while an alarm is waited for
PAIRS = 150  # of requests, with the module's rules and without them
PLAIN_HOST = "plain.example.com"


@dataclass(frozen=True)
class Row:
    """A figure, measured several times; `statistic` is what is shown of the values."""

    what: str
    values: list[float]
    unit: str = "s"
    note: str = ""
    goal: str = ""
    statistic: Callable[[list[float]], float] = statistics.median

    def kept(self) -> dict[str, Any]:
        """As demo/performance.json has it."""
        return {
            "what": self.what,
            "unit": self.unit,
            "value": round(self.statistic(self.values), 4),
            "least": round(min(self.values), 4),
            "most": round(max(self.values), 4),
            "runs": len(self.values),
            "note": self.note,
            "goal": self.goal,
        }


@dataclass
class Bench:
    """The estate that is measured, and what every group needs of it."""

    cloud: LocalCloud
    estate: Estate
    recorded: bool
    began: float
    first: dict[str, float] = field(default_factory=dict)  # medians, for the alarm path's ratio

    @property
    def function(self) -> str:
        return str(self.estate.outputs["function_name"])

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def asleep(self, *wakes: dict[str, Any]) -> None:
        """Asleep, as if it had been woken as `wakes` says and not otherwise."""
        self.estate.wake()
        self.estate.forget_wakes(*wakes)
        self.estate.fall_asleep(self.cloud)

    def run_at(self, moment: float) -> dict[str, Any]:
        """The invocation that was under way then. LookupError if there was none, or it is not
        over within a minute."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for run in self.cloud.runs():
                if run["function"] == self.function and run["began"] <= moment <= run["ended"]:
                    return run
            time.sleep(0.1)
        raise LookupError(f"no invocation of {self.function} at {moment}")

    def calls_in(self, began: float, ended: float) -> list[dict[str, Any]]:
        """The function's calls to AWS from one moment to another, the latter left out."""
        calls = self.cloud.calls(caller=f"function.{self.function}")
        return [call for call in calls if began <= call["time"] < ended]

    def replace_containers(self) -> None:
        """The next invocation is cold, as after any change of the configuration."""
        self.estate.client("lambda").update_function_configuration(
            FunctionName=self.function, Description=f"measured at {time.time()}"
        )


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def drowsy(bench: Bench) -> list[Row]:
    """A request to a service whose tasks still run: until the app has answered it."""
    estate, took, updates = bench.estate, [], 0
    estate.wake()
    estate.forget_wakes()
    for _ in range(50):
        estate.fall_drowsy()
        time.sleep(1.0)  # the wake rule is up at every node
        at, asked = bench.cloud.now(), time.monotonic()
        answer = estate.get()
        if answer.status_code == 200 and answer.history:  # else the warmkeeper did not see it
            took.append(time.monotonic() - asked)
        updates += len(estate.updates(bench.cloud, at))
        estate.until("awake")
    note = f"1 s of it is what the rule's change is given; {updates} `UpdateService`"
    return [
        Row("Drowsy: request to served, p50", took, note=note, goal="1.1 s"),
        Row("Drowsy: request to served, p95", took, note="of the same", statistic=p95),
    ]


def first_request(bench: Bench) -> list[Row]:
    """From the first request to `UpdateService`, by a warm function and by a cold one."""
    found: dict[bool, list[First]] = {False: [], True: []}
    with bench.cloud.having("lambda", forked=False):
        for cold in [False, True] * 10:
            if len(found[cold]) == 7:
                continue
            first = one_first_request(bench, cold=cold)
            if cold is (first.run["init_seconds"] is not None):  # else a tick was first
                found[cold].append(first)
    warm, new = found[False], found[True]
    bench.first["warm"] = statistics.median(each.seconds for each in warm)
    bench.first["cold"] = statistics.median(each.seconds for each in new)
    title = "First request to `UpdateService`"
    apart = "the time that the local AWS took to answer is left out"
    runs = [each.run for each in new]
    return [
        Row(f"{title}, warm function", [each.seconds for each in warm]),
        Row(
            f"{title}, warm, beside the calls' own time",
            [each.beside for each in warm],
            note=apart,
            goal="below 0.1 s",
        ),
        Row(
            f"{title}, cold function, without its init",
            [each.seconds - each.run["init_seconds"] for each in new],
        ),
        Row(
            f"{title}, cold, without init, beside the calls' own time",
            [each.beside - each.run["init_seconds"] for each in new],
            note=apart,
            goal="below 0.3 s",
        ),
        Row(
            f"{title}: calls before it",
            [len(each.before) for each in (*warm, *new)],
            "",
            counted(new[-1].before),
        ),
        Row(
            "Init of a cold function",
            [run["init_seconds"] for run in runs],
            note="Python's start and imports are in it",
        ),
        Row("CPU of an init", [run["init_cpu_seconds"] for run in runs], "CPU s"),
        Row(
            "CPU of a cold function's first invocation, after init",
            [run["cpu_seconds"] for run in runs],
            "CPU s",
            "wakes the service and answers with the page",
            "0.03",
        ),
        Row(
            "CPU of the same in a warm function",
            [each.run["cpu_seconds"] for each in warm],
            "CPU s",
            goal="0.03",
        ),
    ]


@dataclass(frozen=True)
class First:
    """A first request: seconds to `UpdateService`, its invocation, and the calls before it."""

    seconds: float
    run: dict[str, Any]
    before: list[dict[str, Any]]

    @property
    def beside(self) -> float:
        """The seconds without those in which AWS answered the calls before."""
        apart: float = sum(call["seconds"] for call in self.before)
        return self.seconds - apart


def one_first_request(bench: Bench, *, cold: bool) -> First:
    """Put the service to sleep, and wake it by a browser's request."""
    bench.asleep()
    if cold:
        bench.replace_containers()
    else:
        bench.estate.invoke({"command": "status"})
    asked = bench.cloud.now()
    requests.get(bench.estate.url + "/", headers=BROWSER, timeout=PATIENCE_SECONDS)
    (update,) = bench.estate.updates(bench.cloud, asked)
    run = bench.run_at(update)
    bench.estate.until("awake")
    return First(update - asked, run, bench.calls_in(run["began"], update))


def counted(calls: list[dict[str, Any]]) -> str:
    """Which calls, as one writes it."""
    return ", ".join(
        f"`{action}`" if times == 1 else f"{times} `{action}`"
        for action, times in Counter(call["action"] for call in calls).items()
    )


def waiting(bench: Bench) -> list[Row]:
    """From the live target to the app's answer, for each way in which a client waits."""
    estate, cloud = bench.estate, bench.cloud
    cloud.settings(ecs=SLOW_START)
    found: dict[str, list[float]] = {}
    learnt = 12.0
    for _ in range(5):
        usual = {"cause": "request", "seconds": learnt, "times": {"live": cloud.now() - 7200}}
        bench.asleep(usual)
        with ThreadPoolExecutor(len(WAITERS)) as pool:
            served = {way: pool.submit(wait, estate, cloud) for way, wait in WAITERS.items()}
            moments = {way: moment.result() for way, moment in served.items()}
        wake = estate.memory()["wakes"][-1]
        learnt = wake["seconds"]
        for way, moment in moments.items():
            found.setdefault(way, []).append(moment - wake["times"]["live"])
    cloud.settings(ecs=QUICK_START)
    note = "1 s of it is what the rule's change is given"
    return [
        Row(f"Live target to served: {way}", values, note=note, goal="1 s")
        for way, values in found.items()
    ]


def container(bench: Bench) -> list[Row]:
    """A container that takes 1 s, without provisioning and pull: from the request to the answer."""
    estate, cloud = bench.estate, bench.cloud
    cloud.settings(ecs={"provisioning_seconds": 0, "pull_seconds": 0, "start_seconds": 1})
    found: dict[str, list[float]] = {way: [] for way in WAITERS if way != RETRY_AFTER}
    for way in list(found) * 5:
        bench.asleep({"cause": "request", "seconds": 6, "times": {"live": cloud.now() - 7200}})
        asked = cloud.now()
        found[way].append(WAITERS[way](estate, cloud) - asked)
    cloud.settings(ecs=QUICK_START)
    return [
        Row(
            f"A container that takes 1 s, first request to served: {way}",
            values,
            note="its load balancer checks the health every 5 s",
            goal="6 s",
        )
        for way, values in found.items()
    ]


def added(bench: Bench) -> list[Row]:
    """Requests to an awake service: by the service rule, behind the module's rules, and by a rule
    before all of them. One of each in turn."""
    estate = bench.estate
    estate.wake()
    estate.invoke({"command": "pin", "minutes": 30})
    balancer = estate.client("elbv2")
    (service,) = balancer.describe_rules(RuleArns=[estate.outputs["service_rule_arn"]])["Rules"]
    (rule,) = balancer.create_rule(
        ListenerArn=estate.outputs["listener_arn"],
        Priority=1,
        Conditions=[{"Field": "host-header", "HostHeaderConfig": {"Values": [PLAIN_HOST]}}],
        Actions=service["Actions"],
    )["Rules"]
    bench.cloud.settle()
    took: dict[bool, list[float]] = {True: [], False: []}
    try:
        for number in range(2 * PAIRS):
            module = number % 4 in (0, 3)  # the order within the pairs alternates
            headers = {} if module else {"Host": PLAIN_HOST}
            began = time.monotonic()
            requests.get(f"{estate.url}/api/time", headers=headers, timeout=30).raise_for_status()
            took[module].append(time.monotonic() - began)
    finally:
        balancer.delete_rule(RuleArn=rule["RuleArn"])
        estate.invoke({"command": "unpin"})
    pairs = list(zip(took[True], took[False], strict=True))
    return [
        Row("Request while awake, behind the module's rules", took[True]),
        Row("Request while awake, by a rule before them", took[False]),
        Row(
            "Added to a request while awake, paired",
            [behind - before for behind, before in pairs],
            goal="0 within noise",
        ),
    ]


def by_page(estate: Estate, cloud: LocalCloud) -> float:
    """As the waiting page's script does it, without a browser's own time."""
    requests.get(estate.url + "/", headers=BROWSER, timeout=PATIENCE_SECONDS)
    time.sleep(PAGE_FIRST_POLL_SECONDS)
    while True:
        status = requests.get(estate.outputs["status_url"], timeout=PATIENCE_SECONDS).json()
        if status["phase"] in ("awake", "drowsy"):
            time.sleep(max(0.0, PAGE_ENTER_SECONDS - status["seconds"]))
            answer = requests.get(estate.url + "/", headers=BROWSER, timeout=PATIENCE_SECONDS)
            if answer.ok:
                return cloud.now()
        time.sleep(PAGE_POLL_SECONDS)


def by_held_call(estate: Estate, cloud: LocalCloud) -> float:
    while not estate.get(timeout=PATIENCE_SECONDS).ok:
        pass
    return cloud.now()


def by_retry_after(estate: Estate, cloud: LocalCloud) -> float:
    while True:
        answer = requests.get(estate.url + "/", headers=IMAGE, timeout=PATIENCE_SECONDS)
        if answer.ok:
            return cloud.now()
        time.sleep(int(answer.headers["Retry-After"]))


RETRY_AFTER = "a client that comes again by `Retry-After`"
WAITERS: dict[str, Callable[[Estate, LocalCloud], float]] = {
    "the page, which asks every 1.5 s": by_page,
    "a held call": by_held_call,
    RETRY_AFTER: by_retry_after,
}


@dataclass
class Crowd:
    """What became of so many simultaneous first requests. Times are since the first."""

    clients: int
    lost: int = 0
    last: float = 0.0
    updates: int = 0
    functions: int = 0
    held: int = 0


def crowd(bench: Bench, clients: int) -> Crowd:
    """So many calls at once to a sleeping service; each follows 307 and honours Retry-After."""
    bench.asleep({"cause": "request", "seconds": 12, "times": {"live": bench.cloud.now() - 7200}})
    bench.cloud.settings(ecs=SLOW_START)
    asked = bench.cloud.now()
    answers = asyncio.run(together(bench.estate.url, clients))
    last = bench.cloud.now()
    bench.cloud.settings(ecs=QUICK_START)
    time.sleep(1)  # what was answered a moment ago is over
    runs = [run for run in bench.cloud.runs() if run["ended"] >= asked and run["began"] <= last]
    return Crowd(
        clients=clients,
        lost=sum(status != 200 for status, _ in answers),
        last=last - asked,
        updates=len(bench.estate.updates(bench.cloud, asked)),
        functions=most_at_once(runs),
        held=sum(hops > 0 for _, hops in answers),
    )


async def together(url: str, clients: int) -> list[tuple[int, int]]:
    """Each client's last status (0 for none) and the redirects that it followed."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout
    ) as session:

        async def ask(number: int) -> tuple[int, int]:
            end = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < end:
                try:
                    asking = session.get(f"{url}/api/time?n={number}", max_redirects=20)
                    async with asking as answer:
                        await answer.read()
                        if answer.status != 503 or "Retry-After" not in answer.headers:
                            return answer.status, len(answer.history)
                        pause = int(answer.headers["Retry-After"])
                except (aiohttp.ClientError, TimeoutError):
                    return 0, 0
                await asyncio.sleep(pause)
            return 503, 0

        return list(await asyncio.gather(*map(ask, range(clients))))


def most_at_once(runs: list[dict[str, Any]]) -> int:
    """How many of these invocations were under way at the same time, at most."""
    changes = [(run["began"], 1) for run in runs] + [(run["ended"], -1) for run in runs]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def crowds(bench: Bench) -> list[Row]:
    rows = []
    with bench.cloud.having("lambda", max_containers=FUNCTIONS_AT_ONCE):
        for clients, times in ((10, 3), (100, 3), (1000, 1)):
            found = []
            for _ in range(times):
                found.append(crowd(bench, clients))
                bench.say(f"  {found[-1]}")
            who = f"{clients:,} simultaneous first requests"
            here = f"this machine runs {FUNCTIONS_AT_ONCE} at a time, and the others wait"
            rows += [
                Row(
                    f"{who}: `UpdateService` calls", [each.updates for each in found], "", goal="1"
                ),
                Row(f"{who}: lost", [each.lost for each in found], "", LOST, "0"),
                Row(f"{who}: last served after", [each.last for each in found], note=TASK),
                Row(f"{who}: functions at once", [each.functions for each in found], "", here),
                Row(
                    f"{who}: held or sent on",
                    [each.held for each in found],
                    "",
                    "the others were told when to come again",
                ),
            ]
    return rows


def alarm_path(bench: Bench) -> list[Row]:
    """The same first request on the alarm path: until the wake alarm's call of UpdateService.

    The module is applied anew, with `wake_path = "alarm"`, so this group is the last one.
    """
    estate, cloud = bench.estate, bench.cloud
    estate.wake()
    estate.apply(wake_path="alarm")
    took = []
    for _ in range(3):
        bench.asleep()
        asked = cloud.now()
        while not estate.updates(cloud, asked):
            estate.get()  # 503: nobody else hears it
            cloud.advance(10, speed=ALARM_SPEED)
        took.append(estate.updates(cloud, asked)[0] - asked)
        estate.until("awake")
    rows = [Row("First request to `UpdateService`, alarm path", took, note="of the virtual clock")]
    for kind, seconds in bench.first.items():
        ratios = [one / seconds for one in took]
        what = f"The alarm path, times the listener path with a {kind} function"
        rows.append(Row(what, ratios, "", "init included" if kind == "cold" else "", "at least 60"))
    return rows


def ticks(bench: Bench) -> list[Row]:
    """What a tick needs of a CPU. With --record the cost's inputs are kept, too."""
    found, done = tick.measure(bench.estate, bench.cloud)
    bench.say(f"  {found}")
    runs = {run["request_id"]: run for run in bench.cloud.runs()}
    if bench.recorded:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        try:
            tick.MEASURED.write_text(tick.keep(found, tick.MEASURED.read_text(), today))
            bench.say("  tools/measured.json is new: run python -m tools.cost, which reads it")
        except ValueError as error:  # as on a busy machine
            bench.say(f"  tools/measured.json stays as it was: {error}")
    rows = []
    for phase in ("asleep", "awake"):
        ticks_of = [runs[one["id"]] for one in tick.ticks_in(done, phase)]
        made = [bench.calls_in(run["began"], run["ended"]) for run in ticks_of]
        rows += [
            Row(f"CPU of a tick {phase}", [run["cpu_seconds"] for run in ticks_of], "CPU s"),
            Row(
                f"Calls to AWS of a tick {phase}",
                [len(calls) for calls in made],
                "",
                counted(made[-1]),
                f"{priced(phase)}, as counted for the cost",
            ),
        ]
    return rows


def priced(phase: str) -> int:
    """The calls of a tick in tools/calls.json, which the cost and docs/technical/scale.md count."""
    return len(scale.traces()["one service"][f"tick {phase}"].calls)


def cost() -> list[Row]:
    """USD a month, from a plan of examples/staging."""
    bill = Bill.of(plan_of(STAGING, ROOT / ".cache" / "bench"), Book.read())
    note = "computed from the plan, without free tier"
    return [
        Row("The module asleep, with two wakes a day", [bill.asleep], "USD a month", note),
        Row("The module awake", [bill.awake], "USD a month", note),
    ]


def estimates() -> list[Row]:
    """`python -m tools.estimate`: four weeks of requests through the product's own decisions."""
    visits, took = estimate.example(), []
    for _ in range(5):
        began = time.process_time()
        estimate.play(visits, estimate.Settings(), 5)
        took.append(time.process_time() - began)
    note = f"{len(visits):,} requests"
    return [Row("`python -m tools.estimate`: four weeks at one idle time", took, "CPU s", note)]


def handshakes() -> list[Row]:
    """The part of a TLS connection that botocore does anew for each: it reads its CA bundle."""
    took = []
    for _ in range(10):
        began = time.process_time()
        create_urllib3_context().load_verify_locations(get_cert_path(verify=True))
        took.append(time.process_time() - began)
    return [Row("CA bundle, read for each new TLS connection to AWS", took, "CPU s")]


GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "first-request": first_request,
    "waiting": waiting,
    "container": container,
    "drowsy": drowsy,
    "awake": added,
    "ticks": ticks,
    "crowds": crowds,
    "alarm-path": alarm_path,  # the last one: it applies the module anew
}
ALONE: dict[str, Callable[[], list[Row]]] = {  # these need no estate
    "cost": cost,
    "handshakes": handshakes,
    "estimates": estimates,
}


def machine() -> str:
    """What measured, without its name: processors, memory, system, Python, and how busy it was."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    return (
        f"{cores} processors ({model}, {platform.machine()}), "
        f"{memory:.0f} GB, {platform.system()}, Python {platform.python_version()}; "
        f"load average {load:.1f} at the start"
    )


def table(kept: dict[str, Any]) -> str:
    """The figures as Markdown, group by group."""
    rows = []
    for row in (row for name in (*GROUPS, *ALONE) for row in kept.get(name, {}).get("rows", ())):
        several = row["runs"] > 1 and row["least"] != row["most"]
        spread = f"{shown(row['least'])} to {shown(row['most'])}" if several else ""
        value = f"{shown(row['value'])} {row['unit']}".strip()
        goal = row.get("goal", "")
        rows.append([row["what"], row["note"], goal, value, spread, str(row["runs"])])
    head = ("Figure", "Note", "Goal", "Median", "Least to most", "Runs")
    return markdown(head, rows, texts=3)


def shown(value: float) -> str:
    """Two digits after the point, or three of what is small; whole numbers as they are."""
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}"


def document(kept: dict[str, Any]) -> str:
    """docs/evidence/performance.md."""
    measured: dict[str, list[str]] = {}
    for name, group in kept.items():
        measured.setdefault(f"{group['date']}, {group['machine']}", []).append(name)
    where = [f"- {', '.join(sorted(names))}: {how}" for how, names in sorted(measured.items())]
    missing = [name for name in (*GROUPS, *ALONE) if name not in kept]
    where += [f"- not measured yet: {', '.join(missing)}"] if missing else []
    lines = ["Measured, by group:", "", *where]
    return f"{HEAD}\n{table(kept)}\n\n" + "\n".join(lines) + f"\n\n{FOOT}"


def keep(name: str, group: dict[str, Any]) -> None:
    """Put a group's figures in the place of its last ones, and write the document."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept[name] = group
    KEPT.write_text(json.dumps(kept, indent=2) + "\n")
    DOCUMENT.write_text(document(kept))


def main() -> int:
    """Parse the command line and measure. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo.bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join((*GROUPS, *ALONE)))
    parser.add_argument("--record", action="store_true", help="keep the figures in the documents")
    options = parser.parse_args()
    if unknown := set(options.groups) - GROUPS.keys() - ALONE.keys():
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    wanted = set(options.groups) or GROUPS.keys() | ALONE.keys()
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    measured, about = dict[str, Any](), {"date": date, "machine": machine()}
    began = time.monotonic()

    def take(name: str, rows: list[Row]) -> None:
        measured[name] = {**about, "rows": [row.kept() for row in rows]}
        if options.record:
            keep(name, measured[name])

    for name in (name for name in ALONE if name in wanted):
        take(name, ALONE[name]())
    if named := [name for name in GROUPS if name in wanted]:
        with running() as cloud, tempfile.TemporaryDirectory() as scratch:
            cloud.settings(ecs=QUICK_START)
            print("terraform apply", flush=True)
            with surrounded(cloud, Path(scratch), destroy=False) as estate:
                bench = Bench(cloud, estate, options.record, began)
                for name in named:
                    bench.say(name)
                    take(name, GROUPS[name](bench))
    print(f"\n{about['machine']}\n\n{table(measured)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
