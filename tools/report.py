"""Where the seconds of the last wakes went, and what would make the next one shorter.

Promise: every advice follows from what was measured, says from what, and is left out where it is
not worth a second. What AWS does not let the reader see (an image's size, a target group) is
named as unknown and costs the advice that needs it, nothing else.

    python -m tools.report staging
    python -m tools.report staging --region eu-central-1

Rights: lambda:InvokeFunction on the warmkeeper; for the advice elasticloadbalancing:
DescribeTargetGroups, ecs:DescribeServices, ecs:DescribeTaskDefinition and ecr:DescribeImages.
"""

from __future__ import annotations

import math
import re
import statistics
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import warmkeeper as wk
from tabulate import tabulate

from tools import command

STAGES = tuple(wk.ENDS)
WORTH_SECONDS = 1.0  # an advice that gains less is none
WORTH_WITHOUT_A_NUMBER = 5.0  # what a stage must take where the gain cannot be told
SHORTEST_INTERVAL = 5  # of a target group's health check
USUAL_PLACING = 10.0  # what Fargate takes for a place and a network interface, as users report it
USUAL_BOOTING = 5.0  # from the image to a started container
# AWS: lazy loading pays from here on, halves the start at best, and zstd saves 27 % at best.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-pull-behavior.html
LAZY_FROM_MB, LAZY_SHARE, ZSTD_SHARE = 250, 0.5, 0.27
SMALL_CPU = 512  # up to here a boot waits for CPU, so that twice as much halves it at best
MB = 1e6
GAINS = "What would shorten a wake. Two gains in the same stage do not add up."
PRIVATE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<name>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>.+))?"
)


# --- what is known -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Image:
    """A container's image; `megabytes` as it is pulled, None where that is not known."""

    name: str
    megabytes: float | None = None

    def near(self, region: str) -> bool:
        """Whether it is in an ECR of this region."""
        found = PRIVATE.fullmatch(self.name)
        return bool(found and found["region"] == region)


@dataclass(frozen=True)
class Facts:
    """What decides how long a start takes. None, or (): not known."""

    region: str = ""
    interval: int | None = None  # seconds between two health checks, the longest of the groups
    grace: int | None = None  # seconds in which ECS lets them fail
    images: tuple[Image, ...] = ()
    cpu: int | None = None  # units, 1024 a vCPU
    spot: bool | None = None
    unknown: tuple[str, ...] = ()  # what could not be read, and why


@dataclass(frozen=True)
class Advice:
    """Something to change. `gain` is in seconds of a wake, at best; None: only trying tells."""

    what: str
    why: str
    change: str  # HCL, or a command
    gain: float | None


def number(value: object) -> float | None:
    """The value where it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def stages(wake: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of each stage that is known. They add up, whatever is missing; {} where all is."""
    given = wake.get("times")
    told = given.items() if isinstance(given, Mapping) else ()
    times = {name: at for name, value in told if (at := number(value)) is not None}
    seconds = number(wake.get("seconds"))
    if "began" not in times and "live" in times and seconds is not None:
        times["began"] = times["live"] - seconds
    if "live" not in times and "began" in times and seconds is not None:
        times["live"] = times["began"] + seconds
    if not {"began", "live"} <= times.keys():
        return {}
    if "down" in times:
        times["down"] = max(times["down"], times["live"])
    return wk.stages(times)


def medians(wakes: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Of each stage, over the wakes in which it is known."""
    measured = [stages(wake) for wake in wakes]
    found = {name: [m[name] for m in measured if name in m] for name in STAGES}
    return {name: statistics.median(seconds) for name, seconds in found.items() if seconds}


# --- advice ------------------------------------------------------------------------------------
def on_interval(took: Mapping[str, float], facts: Facts) -> Iterator[Advice]:
    """A target that is ready waits for its next check: half an interval, on average."""
    if facts.interval is None or "healthy" not in took:
        return
    gain = min((facts.interval - SHORTEST_INTERVAL) / 2, took["healthy"])
    change = f"# aws_lb_target_group\nhealth_check {{\n  interval = {SHORTEST_INTERVAL}\n}}"
    grace = max(60, math.ceil(took["healthy"] * 2 / 30) * 30)
    if facts.grace is None or facts.grace < grace:
        change += "\n# aws_ecs_service, or ECS kills a task that still boots"
        change += f"\nhealth_check_grace_period_seconds = {grace}"
    why = (
        f"The health check comes every {facts.interval} s, so that a task that is ready waits "
        f"{facts.interval / 2:g} s for it on average. {SHORTEST_INTERVAL} s is the shortest."
    )
    yield Advice("check the health more often", why, change, gain)


def on_pull(took: Mapping[str, float], facts: Facts) -> Iterator[Advice]:
    """Nothing of an image is kept from one Fargate task to the next: all of it is pulled."""
    pull, images = took.get("pulled", 0.0), facts.images
    sizes = [image.megabytes for image in images if image.megabytes is not None]
    size = sum(sizes) if images and len(sizes) == len(images) else None
    of = "an image of unknown size" if size is None else f"{size:.0f} MB"
    costs = f"The pull of {of} takes {pull:.1f} s."
    far = [image.name for image in images if not image.near(facts.region)]
    if far and pull > WORTH_WITHOUT_A_NUMBER:
        why = f"{costs} {far[0]} does not come from an ECR in {facts.region}."
        image = f"ACCOUNT.dkr.ecr.{facts.region}.amazonaws.com/REPOSITORY:TAG"
        change = f'# in container_definitions\nimage = "{image}"'
        yield Advice("keep the image in ECR, in the task's region", why, change, None)
    if not far and size is not None and size > LAZY_FROM_MB:
        why = f"{costs} With a SOCI index a task starts before all of it is there."
        change = "# where the image is built: soci convert, and push what comes out"
        yield Advice("push a SOCI index with the image", why, change, pull * LAZY_SHARE)
    else:
        why = f"{costs} Layers in zstd unpack faster than those in gzip."
        change = "# where the image is built: docker buildx build, with --output\n# "
        change += "type=image,push=true,oci-mediatypes=true,compression=zstd,force-compression=true"
        yield Advice("compress the image with zstd", why, change, pull * ZSTD_SHARE)
    each = f" Every 100 MB less are {pull * 100 / size:.1f} s." if size else ""
    change = "# in the Dockerfile: a slim base, and only what runs"
    yield Advice("halve the image's size", f"{costs}{each}", change, pull / 2)


def on_boot(took: Mapping[str, float], facts: Facts) -> Iterator[Advice]:
    """From the image to the first good answer: the containers' start, and the app's own."""
    start, own = took.get("started", 0.0), took.get("healthy", 0.0) - (facts.interval or 0) / 2
    why = f"The containers take {start:.1f} s to start, {USUAL_BOOTING:g} s would be much."
    change = "# in container_definitions: a dependsOn that waits, secrets, a sidecar"
    yield Advice("let no container wait for another", why, change, start - USUAL_BOOTING)
    why = f"The app itself takes about {own:.1f} s until it passes its health check"
    if facts.cpu and facts.cpu <= SMALL_CPU:
        why += f", with {facts.cpu / 1024:g} vCPU."
        change = f"# aws_ecs_task_definition\ncpu    = {facts.cpu * 2}\nmemory = {facts.cpu * 4}"
        yield Advice("give the task twice the CPU", why, change, own / 2)
    elif own > WORTH_WITHOUT_A_NUMBER:
        change = "# in the app: migrations, warming up and downloads after the first answer"
        yield Advice("let the app answer sooner", f"{why}.", change, None)


def on_place(took: Mapping[str, float], facts: Facts) -> Iterator[Advice]:
    """Capacity and a network interface."""
    placed = took.get("placed", 0.0)
    why = f"A place and a network interface take {placed:.1f} s, {USUAL_PLACING:g} s are usual."
    what = "look for more free addresses"
    change = "# aws_ecs_service, network_configuration: more subnets\nsubnets = var.subnet_ids"
    if facts.spot:
        what = "do not wait for Spot capacity"
        change = (
            '# aws_ecs_service, instead of a strategy with FARGATE_SPOT\nlaunch_type = "FARGATE"'
        )
    yield Advice(what, why, change, placed - USUAL_PLACING)


def advise(wakes: Iterable[Mapping[str, Any]], facts: Facts) -> list[Advice]:
    """What would make a wake shorter, what gains most first; nothing that is not worth a second."""
    took = medians(wakes)
    found = [a for part in (on_interval, on_pull, on_boot, on_place) for a in part(took, facts)]
    worth = [a for a in found if a.gain is None or a.gain > WORTH_SECONDS]
    return sorted(worth, key=lambda advice: -(advice.gain or 0.0))


# --- reading -----------------------------------------------------------------------------------
def megabytes(session: boto3.Session, image: str) -> float | None:
    """What is pulled of an image in ECR; None for one from elsewhere. Raises as boto3 does."""
    found = PRIVATE.fullmatch(image)
    if not found:
        return None
    known = {"imageDigest": found["digest"]} if found["digest"] else {}
    known = known or {"imageTag": found["tag"] or "latest"}
    registry = session.client("ecr", region_name=found["region"])
    details = registry.describe_images(
        registryId=found["account"], repositoryName=found["name"], imageIds=[known]
    )["imageDetails"]
    size = details[0].get("imageSizeInBytes") if details else None
    return size / MB if size else None


class Reader:
    """Asks AWS; what it does not tell is left out, and named in `unknown`."""

    def __init__(self, session: boto3.Session) -> None:
        self.session = session
        self.unknown: list[str] = []

    def tried(self, what: str, call: Callable[[], Any], otherwise: Any = None) -> Any:
        try:
            return call()
        except command.ERRORS as error:
            self.unknown.append(f"{what}: {error}")
            return otherwise

    def facts(self, told: Mapping[str, Any]) -> Facts:
        """All that is known of the services that a report names."""
        ecs, balancing = self.session.client("ecs"), self.session.client("elbv2")
        arns, names = list(told["target_group_arns"]), list(told["service_names"])
        groups = self.tried(
            "target group",
            lambda: balancing.describe_target_groups(TargetGroupArns=arns)["TargetGroups"],
            (),
        )
        services = self.tried(
            "service",
            lambda: ecs.describe_services(cluster=told["cluster_name"], services=names)["services"],
            (),
        )
        tasks = [self.definition(s["taskDefinition"]) for s in services if s.get("taskDefinition")]
        images = [c["image"] for task in tasks for c in task.get("containerDefinitions", ())]
        providers = [p for s in services for p in s.get("capacityProviderStrategy") or ()]
        intervals = [group["HealthCheckIntervalSeconds"] for group in groups]
        graces = [s.get("healthCheckGracePeriodSeconds") or 0 for s in services]
        cpus = [int(task["cpu"]) for task in tasks if str(task.get("cpu", "")).isdigit()]
        return Facts(
            region=self.session.region_name or "",
            interval=max(intervals, default=None),
            grace=min(graces, default=None),
            images=tuple(map(self.image, images)),
            cpu=min(cpus, default=None),
            spot=any(p["capacityProvider"] == "FARGATE_SPOT" for p in providers),
            unknown=tuple(self.unknown),
        )

    def definition(self, arn: str) -> dict[str, Any]:
        ask = self.session.client("ecs").describe_task_definition
        task: dict[str, Any] = self.tried(
            "task definition", lambda: ask(taskDefinition=arn)["taskDefinition"], {}
        )
        return task

    def image(self, name: str) -> Image:
        return Image(name, self.tried(f"size of {name}", lambda: megabytes(self.session, name)))


# --- printing ----------------------------------------------------------------------------------
def wakes_table(wakes: Sequence[Mapping[str, Any]]) -> str:
    """A wake a line, in seconds; the medians below, where there are several."""

    def line(first: Sequence[str], took: Mapping[str, float], whole: float | None) -> list[object]:
        return [*first, *(took.get(stage) for stage in STAGES), whole]

    rows, wholes = [], []
    for wake in wakes:
        took = stages(wake)
        whole = sum(took.values()) if took else number(wake.get("seconds"))
        times = wake.get("times")
        began = number(times.get("began")) if isinstance(times, Mapping) else None
        at = command.moment(began, "%Y-%m-%d %H:%M:%S") if began is not None else "?"
        rows.append(line((at, str(wake.get("cause", "?"))), took, whole))
        wholes += [] if whole is None else [whole]
    if len(wakes) > 1 and wholes:
        rows.append(line(("median", ""), medians(wakes), statistics.median(wholes)))
    head = ["first request (UTC)", "cause", *STAGES, "whole"]
    sides = ("left", "left", *["right"] * (len(head) - 2))
    return tabulate(rows, head, floatfmt=".1f", missingval="?", colalign=sides)


def order(wake: Mapping[str, Any]) -> list[str]:
    """A line on when a wake of an environment started each service; none for one service."""
    members = wake.get("members")
    if not isinstance(members, Mapping) or not members:
        return []
    started = ", ".join(f"{name} after {seconds} s" for name, seconds in members.items())
    took = number(wake.get("database_seconds"))
    database = f"; a database took {took:.0f} s to start" if took else ""
    return [f"The last wake started {started}{database}."]


def starts_database(wake: Mapping[str, Any]) -> bool:
    return bool(number(wake.get("database_seconds")))


def cold_start(wake: Mapping[str, Any]) -> float:
    """The seconds that are held against the target: those of the wake without its databases."""
    seconds, of_databases = number(wake.get("seconds")), number(wake.get("database_seconds"))
    return (seconds or 0.0) - (of_databases or 0.0)


def wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, 96, initial_indent=indent, subsequent_indent=indent)


def render(told: Mapping[str, Any], facts: Facts) -> str:
    """The whole report."""
    wakes, target = told["wakes"], told["cold_start_target_seconds"]
    of = f"{told['cluster_name']}/{', '.join(told['service_names'])}"
    if not wakes:
        return f"{told['name']} ({of}): no wake is remembered yet."
    over = sum(cold_start(wake) > target for wake in wakes)
    which = "last wake" if len(wakes) == 1 else f"last {len(wakes)} wakes"
    lines = [f"{told['name']} ({of}): the {which}, in seconds", ""]
    lines += [wakes_table(wakes), ""]
    apart = ", without the starts of databases" if any(map(starts_database, wakes)) else ""
    lines += [f"Over the target of {target} s: {over} of {len(wakes)}{apart}."]
    lines += order(wakes[-1])
    advice = advise(wakes, facts)
    lines += ["", GAINS if advice else "Nothing that is known would make a wake a second shorter."]
    for n, each in enumerate(advice, 1):
        gain = "only trying tells" if each.gain is None else f"up to {each.gain:.1f} s"
        lines += ["", f"{n}. {each.what}: {gain}", wrapped(each.why, "   ")]
        lines += [textwrap.indent(each.change, "       ")]
    lines += ["", *(wrapped(f"Not known: {what}", "") for what in facts.unknown)]
    return "\n".join(lines).rstrip()


def reported(session: boto3.Session, function: str) -> str:
    """What is printed of this function's wakes."""
    told = command.ask(session, function, "report")
    return render(told, Reader(session).facts(told))


def main(arguments: Sequence[str] | None = None) -> int:
    return command.answered(__doc__ or "", arguments, reported)


if __name__ == "__main__":
    sys.exit(main())
