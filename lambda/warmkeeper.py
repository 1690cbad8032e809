"""Puts an idle ECS service to sleep (desiredCount = 0) and wakes it on the first request.

One Lambda function, the *warmkeeper*, hears everything that matters (requests while the service is
not awake, the idle alarm, a tick every minute, ECS events, heartbeats, commands, Terraform) and
moves the service through four phases:

            idle alarm                    linger over, nobody came
   awake ----------------> drowsy -----------------------------> asleep
     ^                       |                                     |
     |   a request: at once  |                                     | a request
     +-----------------------+                                     v
     +<---------------------- live target ------------------- waking

phase    wake rule   desiredCount    meaning
awake    down        as it is        the load balancer serves the service, we are not in the path
drowsy   up          as it is        tasks still run, but the next request is seen at once
asleep   up          0               the next request wakes
waking   up          >= remembered   tasks start, clients wait with us

The phase lives in one DynamoDB item, the *memory*. Every transition is one conditional write on
it: of any number of concurrent invocations exactly one wins, and only the winner acts.

Calls that *give* (count up, rule up) may be repeated at any time. Calls that *take* (count to 0,
rule down) do harm when they land late. So each follows a conditional write that stamps the memory,
starts within TAKE_START_SECONDS of it, and is never retried. A wake waits until the last stamp is
FENCE_SECONDS old, gives again if its gift was younger, and only then trusts a live target.
"""

from __future__ import annotations

import base64
import hmac
import html
import json
import math
import os
import secrets
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache, cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

TAKE_START_SECONDS = 1.0  # a call that takes starts within this time of its stamp, or not at all
TAKE_TIMEOUT_SECONDS = 1.0  # to connect, and again to answer
FENCE_SECONDS = 5.0  # start + connect + answer, and two more for AWS's reads to show it
GIVE_AGAIN_SECONDS = 10.0  # a count that was given and is still not seen is given again
SETTLE_SECONDS = 1.0  # what a rule change needs to reach every node of the load balancer
POLL_SECONDS = 0.5  # between two looks of those who wait; one of them looks for all
BEAT_WRITE_SECONDS = 15.0  # beats closer together than this are one write
TOKEN_SECONDS = 300.0  # how long a heartbeat token that was read is believed
EVENT_WAIT_SECONDS = 20.0  # an ECS event during a wake stays to see its target become healthy
BACKOFF_SECONDS = (60, 120, 300, 900, 3600)  # after one, two, ... failed wakes in a row
RESTORE_PIN_SECONDS = 3600.0  # on destroy: no tick still under way may take the count
KEPT_WAKES = 5  # past cold starts in the memory
RULE_MISSING = "the wake rule or the service rule is not on the listener"


# --- what it is told ---------------------------------------------------------------------------


class ConfigError(ValueError):
    """The environment lacks a variable or holds a value that cannot be used; names the variable."""


class RefusedError(ValueError):
    """An event that is not understood or not allowed. Nothing was done."""


class RuleStuckError(RuntimeError):
    """The wake rule cannot be moved: it is gone, or no rule number is left that would do."""


@dataclass(frozen=True)
class Config:
    """The function's settings: one environment variable for each field, by the name in capitals."""

    name: str
    cluster_name: str
    service_names: tuple[str, ...]
    target_group_arns: tuple[str, ...]
    wake_path: str  # listener or alarm; on the alarm path rules and their groups are ""
    service_rule_arn: str
    wake_rule_arn: str
    own_rule_arns: tuple[str, ...]
    rule_priority: int  # where the wake rule stands when it is up
    wake_target_group_arn: str
    control_target_group_arn: str
    control_path: str
    heartbeat_path: str
    heartbeat_token_parameter: str
    table_name: str
    topic_arn: str
    idle_alarm_name: str
    idle_alarm_arn: str
    wake_alarm_arn: str
    metric_namespace: str
    idle_minutes: int
    linger_seconds: int
    min_awake_minutes: int
    awake_count: int
    cold_start_target_seconds: int
    wake_deadline_seconds: int
    hold_seconds: int
    restore_on_destroy: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read every setting. Raises ConfigError naming the variable and what it must hold."""
        parsers: dict[str, Callable[[str], Any]] = {
            "str": str,
            "int": int,
            "bool": {"true": True, "false": False}.__getitem__,
            "tuple[str, ...]": lambda text: tuple(word for word in text.split(",") if word),
        }
        values: dict[str, Any] = {}
        for item in fields(cls):
            variable, kind = item.name.upper(), str(item.type)
            if variable not in environment:
                raise ConfigError(f"{variable} is not set; the Terraform module sets it")
            try:
                values[item.name] = parsers[kind](environment[variable])
            except (ValueError, KeyError):
                got = environment[variable]
                raise ConfigError(f"{variable} is {got!r}; it must be of type {kind}") from None
        return cls(**values)


# --- what it knows -----------------------------------------------------------------------------


class Phase(StrEnum):
    AWAKE, DROWSY, ASLEEP, WAKING = "awake", "drowsy", "asleep", "waking"


class Rule(StrEnum):
    """Where the wake rule stands, judged by its priority against the service rule's."""

    UP, DOWN = "up", "down"
    MISSING, NONE, UNSEEN = "missing", "none", "unseen"  # NONE: the alarm path has no rule


class Kind(StrEnum):
    """What was heard. The commands of a direct invoke bear their own names."""

    REQUEST, POLL, BEAT, TICK = "request", "poll", "beat", "tick"
    IDLE_ALARM, WAKE_ALARM, ECS_EVENT = "idle alarm", "wake alarm", "ecs event"
    STATUS, WAKE, SLEEP, PIN, UNPIN, DOCTOR = "status", "wake", "sleep", "pin", "unpin", "doctor"
    ADOPT, RECONCILE, RESTORE = "adopt", "reconcile", "restore"


WAKING_KINDS = frozenset({Kind.REQUEST, Kind.WAKE_ALARM, Kind.WAKE, Kind.PIN, Kind.RESTORE})
FORCING_KINDS = frozenset({Kind.WAKE, Kind.PIN, Kind.RESTORE})  # these ignore the back-off
SLEEPING_KINDS = frozenset({Kind.TICK, Kind.IDLE_ALARM, Kind.SLEEP})
COMMANDS = (Kind.STATUS, Kind.WAKE, Kind.SLEEP, Kind.PIN, Kind.UNPIN, Kind.DOCTOR)


@dataclass(frozen=True)
class Signal:
    """What was heard, with what belongs to a BEAT and to a PIN (epoch seconds) alone."""

    kind: Kind
    active: bool = False
    pinned_until: float = 0.0


@dataclass(frozen=True)
class Wake:
    """The wake under way. Times are epoch seconds."""

    began: float
    cause: str
    given: float  # the last time that the count was given
    stage: str = "asked"  # asked, placed, pulled, started
    looked: float = 0.0  # the last time that somebody looked for all who wait


@dataclass(frozen=True)
class Memory:
    """The one item that decides. Times are epoch seconds; `version` 0 was never written."""

    version: int
    phase: Phase
    since: float
    stamp: float = 0.0  # when the last call that takes was announced
    counts: dict[str, int] = field(default_factory=dict)  # service -> count to wake to, never 0
    beat: float = 0.0
    pinned_until: float = 0.0
    asked_to_sleep: bool = False
    wake: Wake | None = None
    wakes: tuple[dict[str, Any], ...] = ()
    failures: int = 0
    failure: str = ""
    retry_at: float = 0.0
    trouble: str = ""  # what somebody was told of last, so that it is told once

    @classmethod
    def from_json(cls, version: int, body: str) -> Memory:
        """Read a body that an earlier or a later version wrote: unknown keys are left out."""

        def known(of: type, values: dict[str, Any]) -> dict[str, Any]:
            names = {item.name for item in fields(of)}
            return {name: value for name, value in values.items() if name in names}

        values = known(cls, json.loads(body)) | {"version": version}
        wake = Wake(**known(Wake, values["wake"])) if values.get("wake") else None
        wakes, phase = tuple(values.get("wakes", ())), Phase(values["phase"])
        return cls(**{**values, "phase": phase, "wake": wake, "wakes": wakes})

    def estimate(self) -> float | None:
        """Seconds that a wake takes: the median of the last few, None if there was none."""
        return statistics.median(w["seconds"] for w in self.wakes) if self.wakes else None


@dataclass(frozen=True)
class Service:
    """An ACTIVE ECS service as DescribeServices shows it."""

    name: str
    desired: int
    deploying: bool


@dataclass(frozen=True)
class Task:
    """A task that is meant to run. `times` maps the stages it has reached to epoch seconds."""

    arn: str
    addresses: tuple[str, ...]
    times: dict[str, float]


@dataclass(frozen=True)
class Observation:
    """What one look at AWS showed. None means not looked at."""

    memory: Memory
    services: tuple[Service, ...]
    missing: tuple[str, ...] = ()
    rule: Rule = Rule.UNSEEN
    tasks: tuple[Task, ...] = ()
    live: tuple[Task, ...] | None = None  # healthy in a target group, and meant to run
    idle: bool | None = None
    protected: bool | None = None
    stopped_reason: str = ""
    reason: str = ""  # of the decision that followed

    @property
    def desired(self) -> int:
        return sum(service.desired for service in self.services)


@dataclass(frozen=True)
class Decision:
    """What to write and, once that is written, what to do. What is not set stays as it is."""

    reason: str
    memory: Memory | None = None
    give: tuple[tuple[str, int], ...] = ()  # (service, count)
    take: tuple[str, ...] = ()  # services whose count goes to 0
    rule: Rule | None = None
    notice: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    again: bool = False  # the phase followed AWS: decide once more, with the same signal


# --- what it decides ---------------------------------------------------------------------------
# Pure: no clock, no client, no log. `now` is an epoch second.


def enter(seen: Observation, phase: Phase, now: float, **changes: Any) -> Memory:
    """The memory after a transition. Counts above 0 that are seen now are remembered with it."""
    running = {service.name: service.desired for service in seen.services if service.desired}
    counts = {**seen.memory.counts, **running}
    fresh = {"since": now, "counts": counts, "asked_to_sleep": False, "wake": None}
    return replace(seen.memory, phase=phase, **{**fresh, **changes})


def counts_to_give(seen: Observation, config: Config) -> tuple[tuple[str, int], ...]:
    """The remembered count of each service, never less than it has already."""
    counts = seen.memory.counts
    return tuple(
        (s.name, max(s.desired, counts.get(s.name, config.awake_count))) for s in seen.services
    )


def settled(memory: Memory, now: float) -> bool:
    """Whether the phase is old enough for AWS's reads to contradict it."""
    return now - max(memory.since, memory.stamp) >= FENCE_SECONDS


def guard(seen: Observation, config: Config, now: float) -> str:
    """The first reason why the service must stay up; "" if it may sleep."""
    memory = seen.memory
    asked, awake, beat = memory.asked_to_sleep, now - memory.since, now - memory.beat
    too_early = memory.phase is Phase.AWAKE and awake < config.min_awake_minutes * 60
    objections = {
        f"pinned for another {memory.pinned_until - now:.0f} s": memory.pinned_until > now,
        RULE_MISSING: seen.rule is Rule.MISSING,
        "a deployment is in progress": any(service.deploying for service in seen.services),
        f"awake for {awake:.0f} s of {config.min_awake_minutes} min": too_early and not asked,
        f"active beat {beat:.0f} s ago": beat < config.idle_minutes * 60 and not asked,
        "a task protects itself from scale-in": seen.protected,
        "the idle alarm is not in ALARM": not seen.idle and not asked,
    }
    return next((objection for objection, holds in objections.items() if holds), "")


def tell_once(memory: Memory, what: str) -> Decision:
    """Stay as it is and tell somebody, unless this was the last thing told."""
    if memory.trouble == what:
        return Decision(what)
    return Decision(what, replace(memory, trouble=what), notice=f"needs attention: {what}")


def to_awake(seen: Observation, now: float, reason: str) -> Decision:
    """The wake rule goes down: the load balancer serves the service alone."""
    return Decision(reason, enter(seen, Phase.AWAKE, now, stamp=now), rule=Rule.DOWN)


def to_waking(
    seen: Observation, config: Config, now: float, cause: str, *, give: bool = False
) -> Decision:
    """Tasks are to start (`give`) or are starting already; clients wait with us."""
    waking = enter(seen, Phase.WAKING, now, wake=Wake(began=now, cause=cause, given=now))
    counts = counts_to_give(seen, config) if give else ()
    return Decision(f"woken: {cause}", waking, counts, rule=Rule.UP, metrics={"Wakes": 1})


def to_asleep(seen: Observation, now: float, reason: str, **changes: Any) -> Decision:
    """The count goes to 0, remembered in the same write that announces it."""
    asleep = enter(seen, Phase.ASLEEP, now, stamp=now, **changes)
    take = tuple(service.name for service in seen.services if service.desired)
    return Decision(reason, asleep, take=take, notice=f"asleep: {reason}")


def found_asleep(seen: Observation, now: float) -> Decision:
    """Somebody else set the count to 0: the phase follows."""
    reason, asleep = "the count was set to 0 from outside", enter(seen, Phase.ASLEEP, now)
    return Decision(reason, asleep, rule=Rule.UP, notice=f"asleep: {reason}", again=True)


def adopt(seen: Observation, config: Config, now: float) -> Decision:
    """The first look, or the memory was lost: the phase follows what AWS shows."""
    if seen.desired == 0:
        asleep = enter(seen, Phase.ASLEEP, now)
        return Decision("adopted at 0", asleep, rule=Rule.UP, again=True)
    if not seen.live:
        return replace(to_waking(seen, config, now, "adopted while it starts"), again=True)
    if seen.rule is Rule.UP:
        return to_awake(seen, now, "adopted awake, the wake rule was up")
    return Decision("adopted awake", enter(seen, Phase.AWAKE, now), again=True)


def decide_awake(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    memory = seen.memory
    if seen.desired == 0 and settled(memory, now):
        return found_asleep(seen, now)
    if not seen.live:
        if settled(memory, now):
            return to_waking(seen, config, now, "no live target")
        return Decision("no live target seen, too early to believe it")
    if seen.rule is Rule.UP and now - memory.stamp > TAKE_START_SECONDS + 2 * TAKE_TIMEOUT_SECONDS:
        reason = "awake with the wake rule up: down again"
        return Decision(reason, replace(memory, stamp=now), rule=Rule.DOWN)
    if seen.rule is Rule.MISSING:
        return tell_once(memory, RULE_MISSING)
    if signal.kind not in SLEEPING_KINDS:
        return Decision("awake")
    asked = signal.kind is Kind.SLEEP
    against = guard(replace(seen, memory=replace(memory, asked_to_sleep=asked)), config, now)
    if against:
        return Decision(f"stays awake: {against}")
    drowsy = enter(seen, Phase.DROWSY, now, asked_to_sleep=asked, trouble="")
    reason = "asked to sleep" if asked else f"idle for {config.idle_minutes} min"
    return Decision(reason, drowsy, rule=Rule.UP)


def decide_drowsy(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    memory = seen.memory
    if seen.desired == 0 and settled(memory, now):
        return found_asleep(seen, now)
    if signal.kind in WAKING_KINDS or (signal.kind is Kind.BEAT and signal.active):
        if seen.live:
            return to_awake(seen, now, f"{signal.kind} while drowsy")
        return to_waking(seen, config, now, f"{signal.kind}, no live target", give=True)
    if signal.kind not in SLEEPING_KINDS:
        return Decision("drowsy")
    against = guard(seen, config, now)
    if against and seen.live:
        return to_awake(seen, now, f"stays awake: {against}")
    if against:
        return to_waking(seen, config, now, f"stays awake: {against}")
    if seen.rule is Rule.DOWN:
        return Decision("drowsy, the wake rule goes up", replace(memory, since=now), rule=Rule.UP)
    if now - memory.since < config.linger_seconds:
        return Decision(f"drowsy for {now - memory.since:.0f} s of {config.linger_seconds} s")
    reason = "asked to sleep" if memory.asked_to_sleep else f"idle for {config.idle_minutes} min"
    return to_asleep(seen, now, f"{reason}, then nobody in {config.linger_seconds} s")


def decide_asleep(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    memory = seen.memory
    if signal.kind in WAKING_KINDS:
        if memory.retry_at > now and signal.kind not in FORCING_KINDS:
            return Decision(f"the last wake failed, next try in {memory.retry_at - now:.0f} s")
        return to_waking(seen, config, now, signal.kind, give=True)
    if seen.desired > 0 and settled(memory, now):
        cause = "the count was raised from outside"
        return replace(to_waking(seen, config, now, cause), again=True)
    if seen.rule is Rule.MISSING and settled(memory, now):
        woken = to_waking(seen, config, now, RULE_MISSING, give=True)
        return replace(woken, rule=None, notice=f"needs attention: {RULE_MISSING}; woken for good")
    return Decision("asleep", rule=Rule.UP if seen.rule is Rule.DOWN else None)


def wake_succeeded(
    seen: Observation, wake: Wake, live: Task, config: Config, now: float
) -> Decision:
    """A live target, and nothing taken can be on its way: the rule goes down."""
    seconds = round(now - wake.began, 3)
    times = {"began": wake.began, "given": wake.given, **live.times, "live": now}
    wakes = (*seen.memory.wakes, {"cause": wake.cause, "seconds": seconds, "times": times})
    good = replace(
        seen.memory, wakes=wakes[-KEPT_WAKES:], failures=0, failure="", retry_at=0.0, trouble=""
    )
    slow = seconds > config.cold_start_target_seconds
    over = f", over the target of {config.cold_start_target_seconds} s" if slow else ""
    return replace(
        to_awake(replace(seen, memory=good), now, f"live after {seconds:.1f} s"),
        notice=f"awake after {seconds:.1f} s{over} ({wake.cause})",
        metrics={"ColdStartSeconds": seconds},
    )


def wake_failed(seen: Observation, config: Config, now: float) -> Decision:
    """The deadline is over: back to sleep, told why, and the next try waits."""
    failures, why = seen.memory.failures, seen.stopped_reason or "no task became a healthy target"
    pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
    reason = f"no live target in {config.wake_deadline_seconds} s: {why}"
    return replace(
        to_asleep(seen, now, reason, failures=failures + 1, failure=why, retry_at=now + pause),
        notice=f"wake failed: {reason}. No request wakes it for {pause} s; the command wake does.",
        metrics={"FailedWakes": 1},
    )


def stage_of(tasks: tuple[Task, ...]) -> str:
    """The furthest stage that any task of the wake has reached."""
    reached = {stage for task in tasks for stage in task.times}
    return next((s for s in ("started", "pulled", "placed") if s in reached), "asked")


def decide_waking(seen: Observation, _: Signal, config: Config, now: float) -> Decision:
    memory, fence = seen.memory, seen.memory.stamp + FENCE_SECONDS
    wake = memory.wake or Wake(began=memory.since, cause="unknown", given=0.0)
    given_again = replace(memory, wake=replace(wake, given=now))
    counts = counts_to_give(seen, config)
    if now >= fence > wake.given:
        return Decision("past the fence: given again", given_again, counts, rule=Rule.UP)
    if seen.live and now >= fence:
        return wake_succeeded(seen, wake, seen.live[0], config, now)
    if seen.live:
        return Decision("a live target, but what was taken may still be on its way")
    if now - wake.began > config.wake_deadline_seconds:
        if memory.pinned_until <= now:
            return wake_failed(seen, config, now)
        return tell_once(memory, f"pinned, and no live target: {seen.stopped_reason}")
    if seen.desired == 0 and now - wake.given >= GIVE_AGAIN_SECONDS:
        return Decision("the count is still 0: given again", given_again, counts, rule=Rule.UP)
    stage = stage_of(seen.tasks)
    moved = None if stage == wake.stage else replace(memory, wake=replace(wake, stage=stage))
    return Decision(f"waking: {stage}", moved, rule=Rule.UP if seen.rule is Rule.DOWN else None)


def noted(memory: Memory, signal: Signal, now: float) -> Memory:
    """The memory with what the signal itself leaves in it, whatever the phase."""
    if signal.kind is Kind.BEAT and signal.active and now - memory.beat >= BEAT_WRITE_SECONDS:
        return replace(memory, beat=now)
    if signal.kind in (Kind.PIN, Kind.UNPIN):
        return replace(memory, pinned_until=signal.pinned_until)
    if signal.kind is Kind.RESTORE and memory.pinned_until < now + RESTORE_PIN_SECONDS / 2:
        return replace(memory, pinned_until=now + RESTORE_PIN_SECONDS)
    return memory


def decide(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    """What to write and do, given what was seen and heard. Total and pure.

    A decision that takes (count to 0, rule down) always carries a memory stamped with `now`.
    """
    if seen.missing:
        what = f"no ACTIVE ECS service {', '.join(seen.missing)} in cluster {config.cluster_name}"
        return tell_once(seen.memory, what) if seen.memory.version else Decision(what)
    if seen.memory.version == 0:
        return adopt(seen, config, now)
    by_phase = {
        Phase.AWAKE: decide_awake,
        Phase.DROWSY: decide_drowsy,
        Phase.ASLEEP: decide_asleep,
        Phase.WAKING: decide_waking,
    }
    memory = noted(seen.memory, signal, now)
    decision = by_phase[memory.phase](replace(seen, memory=memory), signal, config, now)
    if decision.memory is None and memory != seen.memory:
        return replace(decision, memory=memory)
    return decision


# --- how it reaches AWS ------------------------------------------------------------------------


def free_priority(rules: Mapping[str, int], to: Rule, config: Config) -> int:
    """The rule number that puts the wake rule before (UP) or after (DOWN) the service rule.

    UP, the configured one; if somebody took it, the nearest free one with no foreign rule in
    between, which would be overtaken. DOWN, the nearest free one. Raises RuleStuckError.
    """
    taken = {number: arn for arn, number in rules.items() if arn != config.wake_rule_arn}
    service, own = rules[config.service_rule_arn], config.own_rule_arns
    if to is Rule.UP and config.rule_priority < service and config.rule_priority not in taken:
        return config.rule_priority
    for number in range(service - 1, 0, -1) if to is Rule.UP else range(service + 1, 50001):
        if number not in taken:
            return number
        if to is Rule.UP and taken[number] not in own:
            break
    near = f"next to the service rule's {service}"
    raise RuleStuckError(f"no rule number {near} is free to put the wake rule {to}: free one")


class Aws:
    """The outside: every AWS call, the clock and sleep. The one seam at which tests stand.

    Clients are built on first use: a function that only has to wake must not pay for more.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._clients: dict[tuple[str, bool], Any] = {}
        self._token: tuple[float, str] = (0.0, "")

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def client(self, service: str, *, taking: bool = False) -> Any:
        """A boto3 client; one that takes gives up after TAKE_TIMEOUT_SECONDS and never retries."""
        if (service, taking) not in self._clients:
            import boto3  # here, not above: it costs more than everything else at a cold start
            from botocore.config import Config as Sdk

            tries: Any = {"mode": "standard", "total_max_attempts": 1 if taking else 3}
            wait = TAKE_TIMEOUT_SECONDS if taking else 3
            sdk = Sdk(connect_timeout=wait, read_timeout=wait, retries=tries)
            build: Any = boto3.client
            self._clients[service, taking] = build(service, config=sdk)
        return self._clients[service, taking]

    @cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a call to AWS can raise, and one that was too late to be made."""
        from botocore.exceptions import BotoCoreError, ClientError

        return (BotoCoreError, ClientError, TimeoutError)

    def item(self, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = (
            self.client("dynamodb")
            .get_item(
                TableName=self.config.table_name, Key={"id": {"S": name}}, ConsistentRead=True
            )
            .get("Item")
        )
        return found

    def read_memory(self) -> Memory:
        """The memory; one of version 0 if none was ever written, or it was deleted."""
        item = self.item("memory")
        if item is None:
            return Memory(version=0, phase=Phase.AWAKE, since=self.now())
        return Memory.from_json(int(item["version"]["N"]), item["body"]["S"])

    def write_memory(self, memory: Memory) -> bool:
        """Write unless somebody has written since it was read: then False."""
        database = self.client("dynamodb")
        item = {
            "id": {"S": "memory"},
            "version": {"N": str(memory.version + 1)},
            "phase": {"S": memory.phase},
            "body": {"S": json.dumps(asdict(memory))},
        }
        try:
            database.put_item(
                TableName=self.config.table_name,
                Item=item,
                ConditionExpression="attribute_not_exists(id) OR version = :read",
                ExpressionAttributeValues={":read": {"N": str(memory.version)}},
            )
        except database.exceptions.ConditionalCheckFailedException:
            return False
        return True

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What Terraform wrote for the page; read once per container."""
        item = self.item("settings")
        settings: dict[str, Any] = json.loads(item["body"]["S"]) if item else {}
        return settings

    def token(self) -> str:
        """The heartbeat's secret, from SSM, believed for TOKEN_SECONDS."""
        if self.now() - self._token[0] > TOKEN_SECONDS:
            name = self.config.heartbeat_token_parameter
            answer = self.client("ssm").get_parameter(Name=name, WithDecryption=True)
            self._token = (self.now(), answer["Parameter"]["Value"])
        return self._token[1]

    def services(self) -> tuple[Service, ...]:
        """The services that are there and ACTIVE."""
        ecs, names = self.client("ecs"), list(self.config.service_names)
        try:
            answer = ecs.describe_services(cluster=self.config.cluster_name, services=names)
        except ecs.exceptions.ClusterNotFoundException:
            return ()
        return tuple(
            Service(
                name=service["serviceName"],
                desired=service["desiredCount"],
                deploying=len(service["deployments"]) > 1
                or any(d.get("rolloutState") == "IN_PROGRESS" for d in service["deployments"]),
            )
            for service in answer["services"]
            if service["status"] == "ACTIVE"
        )

    def set_count(self, service: str, count: int, stamp: float | None = None) -> None:
        """UpdateService. With a `stamp` it takes: not retried. Raises TimeoutError."""
        client = self.client("ecs", taking=stamp is not None)
        self.in_time(stamp)
        client.update_service(cluster=self.config.cluster_name, service=service, desiredCount=count)

    def in_time(self, stamp: float | None) -> None:
        """Raises TimeoutError if a call that takes may no longer start."""
        if stamp is not None and self.now() - stamp > TAKE_START_SECONDS:
            raise TimeoutError(f"{self.now() - stamp:.1f} s after its stamp")

    def described_tasks(self, status: str) -> list[dict[str, Any]]:
        """DescribeTasks of the services' tasks whose desiredStatus is `status`."""
        ecs, cluster = self.client("ecs"), self.config.cluster_name
        found: list[dict[str, Any]] = []
        for name in self.config.service_names:
            listed = ecs.list_tasks(cluster=cluster, serviceName=name, desiredStatus=status)
            if listed["taskArns"]:
                found += ecs.describe_tasks(cluster=cluster, tasks=listed["taskArns"])["tasks"]
        return [task for task in found if task["desiredStatus"] == status]

    def tasks(self) -> tuple[Task, ...]:
        """The tasks that are meant to run, with the stages that each has reached."""
        stages = {
            "createdAt": "created",
            "connectivityAt": "placed",
            "pullStartedAt": "pull_started",
            "pullStoppedAt": "pulled",
            "startedAt": "started",
        }
        return tuple(
            Task(
                task["taskArn"],
                tuple(
                    detail["value"]
                    for attachment in task.get("attachments", ())
                    for detail in attachment.get("details", ())
                    if detail["name"] == "privateIPv4Address"
                ),
                {stage: task[key].timestamp() for key, stage in stages.items() if key in task},
            )
            for task in self.described_tasks("RUNNING")
        )

    def stopped_reason(self) -> str:
        """Why a task of the service stopped last, in ECS's own words; "" if none did."""
        stopped = [task for task in self.described_tasks("STOPPED") if "stoppedAt" in task]
        last = max(stopped, key=lambda task: task["stoppedAt"], default={})
        return str(last.get("stoppedReason", ""))

    def protected(self, tasks: tuple[Task, ...]) -> bool:
        """Whether a task has scale-in protection, the app's own way to say that it is busy."""
        arns = [task.arn for task in tasks]
        ask = self.client("ecs").get_task_protection
        answer = ask(cluster=self.config.cluster_name, tasks=arns) if arns else {}
        return any(task["protectionEnabled"] for task in answer.get("protectedTasks", ()))

    def healthy_addresses(self) -> frozenset[str]:
        ask = self.client("elbv2").describe_target_health
        return frozenset(
            target["Target"]["Id"]
            for group in self.config.target_group_arns
            for target in ask(TargetGroupArn=group)["TargetHealthDescriptions"]
            if target["TargetHealth"]["State"] == "healthy"
        )

    def rules(self) -> dict[str, int]:
        """Rule ARN -> priority on the service rule's listener; {} on the alarm path."""
        if self.config.wake_path == "alarm":
            return {}
        listener = self.config.service_rule_arn.replace(":listener-rule/", ":listener/", 1)
        pages = self.client("elbv2").get_paginator("describe_rules")
        found = [
            r for p in pages.paginate(ListenerArn=listener.rpartition("/")[0]) for r in p["Rules"]
        ]
        return {r["RuleArn"]: int(r["Priority"]) for r in found if r["Priority"] != "default"}

    def rule(self, rules: Mapping[str, int]) -> Rule:
        """Where the wake rule stands among `rules`."""
        if self.config.wake_path == "alarm":
            return Rule.NONE
        wake, service = (
            rules.get(a) for a in (self.config.wake_rule_arn, self.config.service_rule_arn)
        )
        if wake is None or service is None:
            return Rule.MISSING
        return Rule.UP if wake < service else Rule.DOWN

    def move_rule(self, to: Rule, stamp: float) -> bool:
        """Put the wake rule up (gives) or down (takes); False if it stands there already.

        Raises RuleStuckError, and going down TimeoutError.
        """
        if self.config.wake_path == "alarm":
            return False
        rules = self.rules()
        if self.rule(rules) is Rule.MISSING:
            raise RuleStuckError(RULE_MISSING)
        if self.rule(rules) is to:
            return False
        priority = free_priority(rules, to, self.config)
        moved = [{"RuleArn": self.config.wake_rule_arn, "Priority": priority}]
        client = self.client("elbv2", taking=to is Rule.DOWN)
        self.in_time(stamp if to is Rule.DOWN else None)
        client.set_rule_priorities(RulePriorities=moved)
        return True

    def idle_alarm_state(self) -> str:
        """OK, ALARM, INSUFFICIENT_DATA, or MISSING."""
        names = [self.config.idle_alarm_name]
        alarms = self.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        return str(alarms[0]["StateValue"]) if alarms else "MISSING"

    def publish(self, subject: str, message: str) -> None:
        publish = self.client("sns").publish
        publish(TopicArn=self.config.topic_arn, Subject=subject[:100], Message=message)


# --- what it hears -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """An HTTP request as the load balancer hands it over; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    target_group_arn: str

    @property
    def location(self) -> str:
        """The same URL, path-absolute, such that no client can be led off the site by it."""
        safe = "/%:@!$&'()*+,;=~-._?"
        path = "/." + self.path if self.path.startswith("//") else "/" + self.path.lstrip("/")
        return quote(path, safe) + ("?" + quote(self.query, safe) if self.query else "")


def parse_request(event: Mapping[str, Any]) -> Request:
    """Read an ALB event; the module's target groups have multi-value headers on.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    """
    queries = event.get("multiValueQueryStringParameters") or {}
    headers, body = event.get("multiValueHeaders") or {}, event.get("body") or ""
    return Request(
        method=event["httpMethod"],
        path=event["path"],
        query="&".join(f"{name}={value}" for name, values in queries.items() for value in values),
        headers={name.lower(): values[-1] for name, values in headers.items() if values},
        body=base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(),
        target_group_arn=event["requestContext"]["elb"]["targetGroupArn"],
    )


def parse_alarm(arn: str, state: str, config: Config) -> Signal:
    """Only the module's own two alarms, going into ALARM, mean anything."""
    kinds = {config.idle_alarm_arn: Kind.IDLE_ALARM, config.wake_alarm_arn: Kind.WAKE_ALARM}
    if not arn or arn not in kinds or state != "ALARM":
        raise RefusedError(f"alarm {arn!r} in state {state!r}: neither of ours going into ALARM")
    return Signal(kinds[arn])


def parse_command(event: Mapping[str, Any], now: float) -> Signal:
    """A direct invoke: {"command": ..., "minutes": ...}, or Terraform's with its "tf" key."""
    command, minutes = event["command"], event.get("minutes", 60)
    if command == "terraform":
        actions = {"create": Kind.ADOPT, "update": Kind.RECONCILE, "delete": Kind.RESTORE}
        action = event.get("tf", {}).get("action")
        if action not in actions:
            raise RefusedError(f"tf.action is {action!r}; it must be one of {', '.join(actions)}")
        return Signal(actions[action])
    if command not in COMMANDS:
        raise RefusedError(f"command is {command!r}; it must be one of {', '.join(COMMANDS)}")
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes < 1e6:
        raise RefusedError(f"minutes is {minutes!r}; it must be a number above 0 and below 1000000")
    return Signal(Kind(command), pinned_until=now + minutes * 60 if command == Kind.PIN else 0.0)


def parse_signal(event: Any, config: Config, now: float) -> Signal:
    """Everything but HTTP. Raises RefusedError for what is not understood: nothing is guessed."""
    if not isinstance(event, dict):
        raise RefusedError(f"an event is a JSON object, not {type(event).__name__}")
    source, detail = event.get("source"), event.get("detail", {})
    if "command" in event:
        return parse_command(event, now)
    if "alarmData" in event:
        return parse_alarm(event.get("alarmArn", ""), event["alarmData"]["state"]["value"], config)
    if "Records" in event and "Sns" in event["Records"][0]:
        alarm = json.loads(event["Records"][0]["Sns"]["Message"])
        return parse_alarm(alarm["AlarmArn"], alarm["NewStateValue"], config)
    if source == "aws.events" and event.get("detail-type") == "Scheduled Event":
        return Signal(Kind.TICK)
    for name in config.service_names if source == "aws.ecs" else ():
        suffix = f"service/{config.cluster_name}/{name}"
        of_service = any(arn.endswith(suffix) for arn in event.get("resources", ()))
        if of_service or detail.get("group") == f"service:{name}":
            return Signal(Kind.ECS_EVENT)
    raise RefusedError(f"an event with the keys {sorted(event)} is none that the warmkeeper knows")


def parse_beat(body: bytes) -> bool:
    """Whether a heartbeat carries activity: in_flight or requests above 0. Raises RefusedError."""
    try:
        beat = json.loads(body or b"{}")
        counts = [beat.get("in_flight", 0), beat.get("requests", 0)]
    except (ValueError, AttributeError):
        raise RefusedError('the body must be JSON like {"in_flight": 1, "requests": 0}') from None
    for name, count in zip(("in_flight", "requests"), counts, strict=True):
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise RefusedError(f"{name} is {count!r}; it must be a whole number, 0 or more")
    return any(counts)


# --- what it tells -----------------------------------------------------------------------------


def log(**entry: Any) -> None:
    """One JSON line. Ids and numbers only: never a payload, a header, a query or a secret."""
    print(json.dumps(entry, default=str), flush=True)


def log_metrics(aws: Aws, **metrics: float) -> None:
    """Metrics in a log line: no call on the path of a request.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    units = {name: "Seconds" if name.endswith("Seconds") else "Count" for name in metrics}
    names = [{"Name": name, "Unit": unit} for name, unit in units.items()]
    space = {"Namespace": aws.config.metric_namespace, "Dimensions": [["Name"]], "Metrics": names}
    described = {"Timestamp": int(aws.now() * 1000), "CloudWatchMetrics": [space]}
    log(_aws=described, Name=aws.config.name, **metrics)


def tell(aws: Aws, notice: str) -> None:
    """A notice for people. That it cannot be sent keeps the service from nothing."""
    try:
        aws.publish(f"{aws.config.name}: {notice}".splitlines()[0], notice)
    except aws.errors as error:
        log(level="ERROR", message="the notice was not sent", notice=notice, error=str(error))


# --- what it does ------------------------------------------------------------------------------


def look(aws: Aws, memory: Memory, signal: Signal) -> Observation:
    """As much of AWS as this signal needs in this phase, and no more."""
    services = aws.services()
    missing = set(aws.config.service_names) - {service.name for service in services}
    seen = Observation(memory, services, tuple(sorted(missing)))
    if missing or (memory.phase is Phase.ASLEEP and signal.kind in WAKING_KINDS):
        return seen
    tasks, healthy = aws.tasks(), aws.healthy_addresses()
    live = tuple(task for task in tasks if healthy.intersection(task.addresses))
    seen = replace(seen, rule=aws.rule(aws.rules()), tasks=tasks, live=live)
    if signal.kind in SLEEPING_KINDS and memory.phase in (Phase.AWAKE, Phase.DROWSY):
        asked = memory.asked_to_sleep or signal.kind is Kind.SLEEP
        willing = replace(seen, memory=replace(memory, asked_to_sleep=asked), idle=True)
        if not guard(willing, aws.config, aws.now()):
            idle = asked or aws.idle_alarm_state() == "ALARM"
            return replace(seen, idle=idle, protected=aws.protected(tasks))
    late = aws.now() - aws.config.wake_deadline_seconds
    if memory.wake and not live and memory.wake.began < late:
        return replace(seen, stopped_reason=aws.stopped_reason())
    return seen


def perform(aws: Aws, decision: Decision, stamp: float) -> list[str]:
    """Do what was decided, gifts first. Returns what was done.

    A call that takes and fails is logged and left: whoever looks next repeats it, newly stamped.
    """
    done = []
    for service, count in decision.give:
        aws.set_count(service, count)
        done.append(f"{service}: count {count}")
    if decision.rule is Rule.UP and aws.move_rule(Rule.UP, stamp):
        done.append("rule up")
    try:
        for service in decision.take:
            aws.set_count(service, 0, stamp)
            done.append(f"{service}: count 0")
        if decision.rule is Rule.DOWN and aws.move_rule(Rule.DOWN, stamp):
            done.append("rule down")
    except aws.errors as error:
        log(level="ERROR", message="not taken, left to the next look", error=str(error))
        done.append("not taken")
    return done


def claim_look(aws: Aws, memory: Memory) -> Memory | None:
    """Of all who wait, one looks at AWS every POLL_SECONDS: the memory if it is us, else None."""
    wake, now = memory.wake, aws.now()
    if memory.phase is not Phase.WAKING or (wake and now - wake.looked < POLL_SECONDS):
        return None
    claimed = replace(memory, wake=replace(wake, looked=now)) if wake else memory
    written = aws.write_memory(claimed)
    return replace(claimed, version=memory.version + 1) if written else None


def act(aws: Aws, signal: Signal) -> Observation:
    """Look, decide, write, do; again where somebody else wrote first. Raises after ten tries.

    Returns what was seen, with the memory as it is now and the reason of the decision.
    """
    for attempt in range(10):
        aws.sleep(attempt * 0.001 * secrets.randbelow(100))
        started, before = aws.now(), aws.read_memory()
        claimed = claim_look(aws, before) if signal.kind is Kind.POLL else before
        if claimed is None:
            return Observation(before, (), reason="nothing to look for")
        seen = look(aws, claimed, signal)
        decision = decide(seen, signal, aws.config, aws.now())
        after = decision.memory or claimed
        if decision.memory and not aws.write_memory(after):
            continue
        try:
            done = perform(aws, decision, after.stamp)
        except RuleStuckError as error:
            done = [str(error)]
            decision = replace(tell_once(before, str(error)), memory=after)
        if done or decision.memory or signal.kind is not Kind.POLL:
            took = round((aws.now() - started) * 1000)
            phases = {"before": before.phase, "after": after.phase, "reason": decision.reason}
            log(level="INFO", signal=signal.kind, **phases, actions=done, milliseconds=took)
        if decision.metrics:
            log_metrics(aws, **decision.metrics)
        if decision.notice and "not taken" not in done:
            tell(aws, decision.notice)
        if not decision.again:
            return replace(seen, memory=after, reason=decision.reason)
    raise RuntimeError("somebody else wrote the memory first, ten times in a row")


def wait_until_awake(aws: Aws, until: float) -> Observation:
    """Look every POLL_SECONDS until the wake is over or `until` (epoch seconds) is reached."""
    while True:
        seen = act(aws, Signal(Kind.POLL))
        if seen.memory.phase is not Phase.WAKING or aws.now() >= until:
            return seen
        aws.sleep(POLL_SECONDS)


def restore(aws: Aws) -> Observation:
    """The module goes: leave a service that runs, served by its own rule.

    One that is gone, or that does not start, must not keep the destroy from going on.
    """
    until = aws.now() + aws.config.wake_deadline_seconds
    while True:
        seen = act(aws, Signal(Kind.RESTORE))
        restored = seen.memory.phase is Phase.AWAKE and seen.live and seen.rule is not Rule.UP
        if restored or seen.missing or aws.now() >= until:
            return seen
        aws.sleep(1.0)


# --- what it answers ---------------------------------------------------------------------------


def answer(request: Request, status: int, body: object, **headers: str) -> dict[str, Any]:
    """An ALB response: text as HTML, anything else as JSON; never cached, no body for HEAD."""
    kind = "text/html; charset=utf-8" if isinstance(body, str) else "application/json"
    named = {"Content-Type": kind, "Cache-Control": "no-store"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    if "origin" in request.headers:
        named |= {"Access-Control-Allow-Origin": request.headers["origin"], "Vary": "Origin"}
    text = body if isinstance(body, str) else json.dumps(body)
    return {
        "statusCode": status,
        "statusDescription": f"{status} {HTTPStatus(status).phrase}",
        "isBase64Encoded": False,
        "multiValueHeaders": {name: [value] for name, value in named.items()},
        "body": "" if request.method == "HEAD" else text,
    }


def wanted(request: Request) -> str:
    """What the client can use while it waits: page, call (it is held), part or preflight.

    https://developer.mozilla.org/docs/Web/HTTP/Headers/Sec-Fetch-Mode
    """
    headers = request.headers
    mode, accept = headers.get("sec-fetch-mode"), headers.get("accept", "")
    if request.method == "OPTIONS" and "access-control-request-method" in headers:
        return "preflight"
    navigates = mode == "navigate" or (mode is None and "text/html" in accept)
    if navigates:
        return "page" if request.method in ("GET", "HEAD") else "call"
    embeds = mode is None and accept.startswith(("image/", "text/css", "font/"))
    return "part" if embeds or headers.get("sec-fetch-dest", "empty") != "empty" else "call"


def status_of(seen: Observation, now: float) -> dict[str, Any]:
    """What anybody may know: phase, seconds in it, stage, estimate, why a wake failed."""
    memory, wake = seen.memory, seen.memory.wake
    awake = memory.phase is Phase.AWAKE
    return {
        "phase": memory.phase if memory.version else "unknown",
        "seconds": round(now - (wake.began if wake else memory.since), 1),
        "live": awake,
        "stage": wake.stage if wake else "healthy" if awake else None,
        "estimate_seconds": memory.estimate(),
        "failed": memory.failure or None,
    }


def retry_after(memory: Memory, config: Config, now: float) -> str:
    """Whole seconds, at least 1, until it makes sense to ask again."""
    if not memory.wake:
        return str(max(5, math.ceil(memory.retry_at - now)))
    expected = memory.estimate() or config.cold_start_target_seconds
    return str(max(1, math.ceil(memory.wake.began + expected - now)))


def waiting_page(aws: Aws, request: Request, memory: Memory) -> dict[str, Any]:
    """lambda/page.html, filled in."""
    nonce, wait = secrets.token_urlsafe(16), retry_after(memory, aws.config, aws.now())
    waking = memory.phase is Phase.WAKING
    values = {
        "title": aws.settings.get("page", {}).get("title", aws.config.name),
        "status_url": f"{aws.config.control_path}/status",
        "nonce": nonce,
        "phase_text": "is starting" if waking else "cannot be started right now",
        "refresh_seconds": "5" if waking else wait,
        "estimate_seconds": round(memory.estimate() or aws.config.cold_start_target_seconds),
    }
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", html.escape(str(value)))
    policy = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
    policy += "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    return answer(request, 503, page, Retry_After=wait, Content_Security_Policy=policy)


def serve_request(aws: Aws, request: Request, arrived: float) -> dict[str, Any]:
    """A request for a service that is not awake, or was not a moment ago: wake it and wait well."""
    seen, kind = act(aws, Signal(Kind.REQUEST)), wanted(request)
    if kind == "preflight":
        headers = request.headers.get("access-control-request-headers", "*")
        allow = {"Access_Control_Allow_Methods": request.headers["access-control-request-method"]}
        return answer(request, 204, "", Access_Control_Allow_Headers=headers, **allow)
    if kind == "call" and seen.memory.phase is Phase.WAKING:
        seen = wait_until_awake(aws, arrived + aws.config.hold_seconds)
    phase, now = seen.memory.phase, aws.now()
    if phase is Phase.AWAKE:
        # no 307 within the moment that the rule needs, nor sooner than that if it comes back
        aws.sleep(max(seen.memory.since, arrived) + SETTLE_SECONDS - now)
    if phase is Phase.AWAKE or (kind == "call" and phase is Phase.WAKING):
        return answer(request, 307, {"phase": phase}, Location=request.location)
    if kind == "page":
        return waiting_page(aws, request, seen.memory)
    wait = retry_after(seen.memory, aws.config, now)
    return answer(request, 503, status_of(seen, now), Retry_After=wait)


def refuse(aws: Aws, request: Request, status: int, why: str) -> dict[str, Any]:
    log(level="WARNING", message="refused", reason=why)
    log_metrics(aws, Refused=1)
    return answer(request, status, {"error": why})


def serve_beat(aws: Aws, request: Request) -> dict[str, Any]:
    """A heartbeat. One without activity counts for nothing, and none wakes what sleeps."""
    if aws.config.heartbeat_token_parameter:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {aws.token()}".encode()):
            return refuse(aws, request, 401, "send the token as 'Authorization: Bearer <token>'")
    try:
        active = parse_beat(request.body)
    except RefusedError as error:
        return refuse(aws, request, 400, str(error))
    seen = act(aws, Signal(Kind.BEAT, active=active))
    log_metrics(aws, Beats=1)
    return answer(request, 200, {"phase": seen.memory.phase, "counted": active})


def serve_control(aws: Aws, request: Request) -> dict[str, Any]:
    """The control path: GET status, POST wake, POST heartbeat."""
    config, control = aws.config, aws.config.control_path
    what = "POST" if request.method == "POST" else "GET"
    if config.heartbeat_path and (what, request.path) in (
        ("POST", config.heartbeat_path),
        ("POST", f"{control}/heartbeat"),
    ):
        return serve_beat(aws, request)
    if (what, request.path) == ("GET", f"{control}/status"):
        return answer(request, 200, status_of(act(aws, Signal(Kind.POLL)), aws.now()))
    if (what, request.path) == ("POST", f"{control}/wake"):
        return answer(request, 202, status_of(act(aws, Signal(Kind.REQUEST)), aws.now()))
    return answer(request, 404, {"error": "here are GET status, POST wake and POST heartbeat"})


def serve(aws: Aws, event: Mapping[str, Any]) -> dict[str, Any]:
    """Answer an ALB event. Does not raise: the load balancer would make a 502 of it."""
    request, arrived = parse_request(event), aws.now()
    try:
        if request.target_group_arn == aws.config.wake_target_group_arn:
            return serve_request(aws, request, arrived)
        if request.target_group_arn == aws.config.control_target_group_arn:
            return serve_control(aws, request)
        return refuse(aws, request, 403, "not from a target group of the warmkeeper")
    except Exception:  # whatever it is: it is told by log and alarm, and the client may come again
        log(level="ERROR", message="unforeseen", trace=traceback.format_exc())
        log_metrics(aws, HandledErrors=1)
        return answer(request, 503, {"error": "try again"}, Retry_After="5")


# --- the handler -------------------------------------------------------------------------------


def doctor(aws: Aws) -> list[dict[str, str]]:
    """What is not as it should be, each with its remedy; an empty list is good news."""
    seen = look(aws, aws.read_memory(), Signal(Kind.DOCTOR))
    alarm, failure = aws.config.idle_alarm_name, seen.memory.failure
    symptoms = {
        (f"no ACTIVE service {seen.missing}", "create it, or correct service_name"): seen.missing,
        (RULE_MISSING, "check service_rule_arn and apply again"): seen.rule is Rule.MISSING,
        (f"no alarm {alarm}", "apply again"): aws.idle_alarm_state() == "MISSING",
        (f"the last wake failed: {failure}", "mend the task, then send wake"): failure,
        ("nothing is remembered", "wait for the next tick"): seen.memory.version == 0,
    }
    return [{"finding": what, "remedy": how} for (what, how), holds in symptoms.items() if holds]


def run(aws: Aws, signal: Signal, *, wait: bool) -> dict[str, Any]:
    """Everything but HTTP. Returns the status, and why it is so. Raises TimeoutError for `wait`."""
    if signal.kind is Kind.DOCTOR:
        return {"findings": doctor(aws)}
    if signal.kind is Kind.RESTORE and not aws.config.restore_on_destroy:
        return {"reason": "restore_on_destroy is false: left as it is"}
    seen = restore(aws) if signal.kind is Kind.RESTORE else act(aws, signal)
    reason = seen.reason
    if signal.kind is Kind.ECS_EVENT and seen.memory.phase is Phase.WAKING:
        seen = wait_until_awake(aws, aws.now() + EVENT_WAIT_SECONDS)
    if signal.kind is Kind.WAKE and wait:
        seen = wait_until_awake(aws, aws.now() + aws.config.wake_deadline_seconds)
        if seen.memory.phase is not Phase.AWAKE:
            raise TimeoutError(f"not awake: {seen.memory.failure or seen.reason}")
    facts = {"counts": seen.memory.counts, "pinned_until": seen.memory.pinned_until}
    return {**status_of(seen, aws.now()), **facts, "reason": reason}


def dispatch(aws: Aws, event: Any) -> dict[str, Any]:
    """Hear one event. Raises everywhere but on the HTTP path, so that retries and alarms work."""
    if isinstance(event, dict) and "elb" in event.get("requestContext", {}):
        return serve(aws, event)
    try:
        signal = parse_signal(event, aws.config, aws.now())
    except RefusedError as error:
        log(level="WARNING", message="refused", reason=str(error))
        log_metrics(aws, Refused=1)
        raise
    return run(aws, signal, wait=bool(event.get("wait")))


@cache
def container() -> Aws:
    """One adapter, with its clients, for the life of the container."""
    return Aws(Config.from_environment(os.environ))


def handler(event: Any, _: object) -> dict[str, Any]:
    """Lambda's entry."""
    return dispatch(container(), event)
