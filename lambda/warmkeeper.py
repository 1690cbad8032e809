"""Puts an idle ECS service to sleep (desiredCount = 0) and wakes it on the first request.

The *warmkeeper* hears requests while the service is not awake, the idle alarm, a tick every minute,
ECS events, heartbeats, commands and Terraform, and moves the service through four phases:

            idle alarm                    linger over, nobody came
   awake ----------------> drowsy -----------------------------> asleep
     ^                       |                                     |
     |   a request: at once  |                                     | a request
     +-----------------------+                                     v
     +<---------------------- live target ------------------- waking

The phase lives in one DynamoDB item, the *memory*. Every transition is one conditional write on
it: of any number of concurrent invocations exactly one wins, and only the winner acts.

Calls that *give* (count up, rule up) may be repeated at any time. Calls that *take* (count to 0,
rule down) do harm when they land late. So each follows a conditional write that stores its time in
the memory, starts within TAKE_START_SECONDS of it, and is never retried. A wake waits until the
last take is FENCE_SECONDS old, scales up again if its own scale-up is younger than that, and only
then trusts a live target.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import hmac
import html
import ipaddress
import json
import math
import os
import re
import secrets
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import boto3  # here and not at its first use: Lambda's init phase has a full CPU for it
from botocore.config import Config as SdkConfig
from botocore.exceptions import BotoCoreError, ClientError

TAKE_START_SECONDS = 1.0  # a call that takes starts within this time of its stamp, or not at all
TAKE_TIMEOUT_SECONDS = 1.0  # to connect, and again to answer
FENCE_SECONDS = 5.0  # start + connect + answer, and two more for AWS's reads to show it
SCALE_UP_AGAIN_SECONDS = 10.0  # a count that is still not seen so long after it was given
SETTLE_SECONDS = 1.0  # what a rule change needs at least to reach every node of the balancer
SLOW_SETTLE_SECONDS = 10.0  # what it has been seen to need, where changes come in batches
STUCK_SECONDS = 45.0  # a rule that is still up so long after the wake is no matter of redirects
POLL_SECONDS = 0.5  # between two looks of those who wait; one of them looks for all
BLIND_POLL_SECONDS = 3.0  # where there is no memory, and so everybody looks
BEAT_WRITE_SECONDS = 15.0  # beats closer together than this are one write
TOKEN_SECONDS = 300.0  # how long a heartbeat token that was read is believed
TOKEN_AGAIN_SECONDS = 60.0  # between two tries to read it anew, while SSM cannot be reached
TOKEN_DENIED = ("ParameterNotFound", "AccessDeniedException")  # SSM's answers, and no outage
LONGEST_IDLE_SECONDS = 1e9  # that a beat may tell of
SETTINGS_SECONDS = 300.0  # how long the settings item that was read is believed
SETTINGS_AGAIN_SECONDS = 10.0  # between two tries where it cannot be read
FIRST_ANSWERS_SECONDS = 60.0  # so long after a wake answers say how long it took
BACKOFF_SECONDS = (60, 120, 300, 900, 3600)  # after one, two, ... failed wakes in a row; then none
RESTORE_PIN_SECONDS = 3600.0  # on destroy: nothing that is still under way may take the count
KEPT_WAKES = 10
# The number of the memory's form. Raise it by hand with each change of what a field of Memory or
# Wake means or is called; a new field needs none where its default is right for older items. An
# item of another form is not read: the service is adopted anew, and CHANGELOG says so.
FORM = 1
ALARM_LATE_SECONDS = 180.0  # so late an alarm can still be in ALARM for what was before
OUT_SECONDS = 60.0  # so long after its end a task may still be a target
POLICY_SECONDS = 60.0  # so long a new role's policy may take to be effective
POLICY_AGAIN_SECONDS = 3.0
DENIED = ("AccessDeniedException", "AccessDenied", "AuthorizationError", "UnauthorizedOperation")
TICK_JITTER_SECONDS = 2.0  # the minutes of the tick are not exact
IDLE_BUT_AWAKE_SECONDS = (
    12 * 3600.0
)  # idle for so long and held awake all the same: somebody is told
NOTIFY_AGAIN_SECONDS = 24 * 3600.0  # what lasts, and has nothing to do with a phase
ERROR_NOTICE_SECONDS = 3600.0  # between two notices of a container that it had errors
NOTICE_CHARACTERS = 2000  # ECS's reasons can be long
MOST_HOPS = 8  # so many times a held call is sent round; some clients follow 10 redirects, and
# three are for the rule's way to every node, after 1 s, 4 s and 14 s
ERRORS = (BotoCoreError, ClientError, TimeoutError)  # of a call to AWS, or one too late to be made
NO_SERVICE = "no ACTIVE ECS service"  # this and what follows is told once, while it lasts
RULE_MISSING = "the wake rule or the service rule is not on the listener"
NO_NUMBER = "no rule number is free"
DIFFER = "the wake rule and the service rule do not match the same requests"
NO_ALARM = "the idle alarm is not there"
TARGET_GROUP_DETACHED = "the target group is gone, or the service rule does not forward to it"
UNSEEN = "it has traffic that the module cannot see"
STRANGERS = "a healthy target is no task of the service"
OTHER_RULES = "other rules of the listener forward to the target group"
COVERED = "an earlier rule takes what is for the control rule or the heartbeat rule"
NOT_LIVE = "no live target, and the count is not ours to take"
NOT_LIVE_FOR = "waking, and no live target in"
ROLLOUT_FAILED = "the deployment has failed and starts no task, whatever the count"
DEPLOYING = "a deployment is in progress"
PROTECTED = "a task protects itself from scale-in"
NOT_IDLE = "the idle alarm is not in ALARM"
IDLE_BUT_AWAKE = "idle for half a day, and still awake"
BEATS_REFUSED = "heartbeats are refused, for their token is not the one in SSM"
HANDLED = "an error of its own was handled"

TROUBLES = {  # what begins so is a notice of this kind
    NO_SERVICE: "service-missing",
    RULE_MISSING: "rule-missing",
    NO_NUMBER: "no-rule-number",
    NO_ALARM: "idle-alarm-missing",
    TARGET_GROUP_DETACHED: "target-group-detached",
    NOT_LIVE: "not-live",
    IDLE_BUT_AWAKE: "idle-but-awake",
    BEATS_REFUSED: "beats-refused",
    HANDLED: "errors-handled",
    UNSEEN: "unseen-traffic",
    STRANGERS: "strange-targets",
    OTHER_RULES: "other-rules",
    COVERED: "control-path-covered",
}
LASTING = (UNSEEN, STRANGERS, OTHER_RULES, COVERED)  # of the wiring: told once, whatever the phase
# Every kind of notice: its severity (info is a transition, which can be muted), and what to do.
# docs/operating.md has a row for each.
NOTICES = {
    "asleep": ("info", "Nothing to do: the next request wakes it."),
    "awake": ("info", "Nothing to do."),
    "woken-often": ("warning", "Find out who comes, or give a longer idle_minutes."),
    "count-set-outside": ("warning", "Look for a second scheduler, or another apply."),
    "wake-failed": ("critical", "Mend what ECS names and deploy it, or send the command wake."),
    "service-missing": ("critical", "Create it, or correct cluster_name or service_name."),
    "rule-missing": ("critical", "Check service_rule_arn and apply again."),
    "target-group-detached": (
        "warning",
        "Correct target_group_arns or the service rule, and apply.",
    ),
    "idle-alarm-missing": ("warning", "Apply again."),
    "no-rule-number": ("warning", "Free a rule number next to the service rule's."),
    "not-live": ("critical", "Mend what ECS names, or unpin; or set the count to 0."),
    "idle-but-awake": ("warning", "End what holds it awake: the pin, the deployment, the task."),
    "beats-refused": ("warning", "Give whoever sends the beats the token that is in SSM."),
    "errors-handled": ("warning", "Look for the level ERROR in the log: there is the trace."),
    "unseen-traffic": (
        "warning",
        'Take it away, or set unseen_traffic = "ignore": until then the service stays awake.',
    ),
    "strange-targets": (
        "warning",
        "Check service_name and target_group_arns, and deregister what is not the service's.",
    ),
    "other-rules": (
        "warning",
        "Delete them: while the service sleeps, whoever comes by another rule gets 503.",
    ),
    "control-path-covered": (
        "warning",
        "Give the module paths of its own, control_path and heartbeat.path.",
    ),
}


# Words in ECS's reason for a start that failed, and the class that they come down to: the first
# that match decide, so a cause stands before the sentence that carries it ("unable to place a
# task. Reason: Internal error."). The class may be told to anybody. Each documented text and its
# page is a row of tests/unit/ecs_words.toml.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
FAILURES = (
    ("CannotPull", "image-not-pulled"),
    ("ResourceInitializationError", "setup-failed"),
    ("pull the image", "image-not-pulled"),
    ("from the Amazon ECR repository", "image-not-pulled"),
    ("Too Many Requests", "image-not-pulled"),
    ("pull rate limit", "image-not-pulled"),
    ("OutOfMemory", "out-of-memory"),
    ("due to memory usage", "out-of-memory"),
    ("ResourceNotFoundException", "setup-failed"),
    ("retrieve the secret", "setup-failed"),
    ("failed to launch a task", "setup-failed"),  # RunTask was refused: the role, the tags
    ("been misconfigured", "setup-failed"),  # IAM policies, or a trust relationship
    ("Unexpected EC2 error", "setup-failed"),  # of the network interface
    ("InternalError", "setup-failed"),
    ("Internal error", "setup-failed"),  # a subnet in a zone without Fargate
    ("compute strategy", "setup-failed"),
    ("deployment configuration", "setup-failed"),
    ("CannotStartContainer", "setup-failed"),
    ("CannotCreate", "setup-failed"),
    ("CannotInspectContainer", "setup-failed"),
    ("ContainerRuntime", "setup-failed"),
    ("DockerTimeoutError", "setup-failed"),
    ("unable to place", "no-capacity"),
    ("could not launch", "no-capacity"),
    ("No Container Instances", "no-capacity"),
    ("Amazon ECS Agent", "no-capacity"),
    ("being throttled", "no-capacity"),
    ("unused device index", "no-capacity"),
    ("TaskFailedToStart:", "no-capacity"),  # RESOURCE, AGENT, ATTRIBUTE and the like
    ("Spot Task was interrupted", "no-capacity"),
    ("SpotInterruption", "no-capacity"),
    ("Host EC2", "no-capacity"),
    ("Container instance deregistration", "no-capacity"),
    ("health checks", "health-check-failed"),
    ("is unhealthy in", "health-check-failed"),
    ("is not healthy in", "health-check-failed"),
    ("Essential container", "container-exited"),
)
SUMMARIES = ("consistently start tasks", "tasks failed to start")  # what hides the cause
FAILING = re.compile("unable|failed")  # with one of these an event without a class is a reason
SCALED_IN = "Scaling activity"
GRACE = "healthCheckGracePeriodSeconds"
SEVERAL = "several tasks stopped"
NOT_STARTED = {  # where no task has stopped: how far it came, and ECS's words as far as they go
    "asked": "unable to place a task in time",
    "placed": "CannotPull: the image was not there in time",
    "pulled": "ResourceInitializationError: the containers did not start in time",
    "started": "no task passed its health checks in time",
}


class RefusedError(ValueError):
    """An event that is not understood or not allowed. Nothing was done.

    `why` goes to the log: it holds nothing of the event.
    """

    def __init__(self, why: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(why)
        self.status = status


class WrongTokenError(RefusedError):
    """A heartbeat with a token, and not with ours: its sender will come again and again."""


class TableGoneError(RuntimeError):
    """There is nowhere to remember anything."""


class RuleStuckError(RuntimeError):
    """The wake rule cannot be moved: it is gone, or no rule number is left that would do."""


@dataclass(frozen=True)
class Config:
    """The function's settings: one environment variable for each field, by the name in capitals."""

    name: str
    cluster_name: str
    service_names: tuple[str, ...]
    target_group_arns: tuple[str, ...]
    service_rule_arn: str  # on the alarm path, rules and their target groups are ""
    wake_rule_arn: str
    own_rule_arns: tuple[str, ...]
    rule_priority: int  # where the wake rule stands when it is up
    parked_rule_priority: int  # and when it is down
    wake_target_group_arn: str
    control_target_group_arn: str
    control_path: str
    heartbeat_path: str
    heartbeat_token_parameter: str
    table_name: str
    topic_arn: str
    idle_alarm_arn: str
    wake_alarm_arn: str
    metric_namespace: str
    idle_minutes: int
    linger_seconds: int
    min_awake_minutes: int
    awake_count: int
    cold_start_target_seconds: int
    wake_deadline_seconds: int
    wake_budget_per_hour: int
    wake_confirmation: str  # "request", or "browser": then only the page's script wakes
    unseen_traffic: str  # "stay_awake" or "ignore"
    transition_notices: bool
    hold_seconds: int
    hold_limit: int
    waiting_status_code: int
    cors_allowed_origins: tuple[str, ...]
    restore_on_destroy: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read every setting. Raises ValueError naming the variable and what it must hold."""
        parsers: dict[str, Callable[[str], Any]] = {"str": str, "int": int}
        parsers["bool"] = {"true": True, "false": False}.__getitem__
        parsers["tuple[str, ...]"] = lambda text: tuple(word for word in text.split(",") if word)
        values: dict[str, Any] = {}
        for item in fields(cls):
            variable, kind = item.name.upper(), str(item.type)
            if variable not in environment:
                raise ValueError(f"{variable} is not set; the Terraform module sets it")
            got = environment[variable]
            try:
                values[item.name] = parsers[kind](got)
            except (ValueError, KeyError):
                raise ValueError(f"{variable} is {got!r}; it must be of type {kind}") from None
        return cls(**values)


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
    REPORT, EXPLAIN = "report", "explain"
    ADOPT, RECONCILE, RESTORE = "adopt", "reconcile", "restore"


Service = dict[str, Any]  # an ACTIVE one, as DescribeServices shows it
Task = dict[str, Any]  # as DescribeTasks shows it
ListenerRule = dict[str, Any]  # as DescribeRules shows it, its Priority a number
UNITS = {  # of every metric; docs/metrics.md has a row for each
    "Wakes": "Count",
    "ColdStartSeconds": "Seconds",
    "FailedWakes": "Count",
    "MinutesAsleep": "None",  # CloudWatch has no minutes
    "WaitingAnswers": "Count",
    "Beats": "Count",
    "Refused": "Count",
    "HandledErrors": "Count",
}
# How long a wake took, stage by stage: each ends at the first of these moments that is known.
ENDS = {
    "asked": ("createdAt",),
    "placed": ("pullStartedAt", "connectivityAt"),
    "pulled": ("pullStoppedAt",),
    "booted": ("startedAt",),
    "checked": ("live",),
    "opened": ("down",),
}
STAGES = {"startedAt": "started", "pullStoppedAt": "pulled", "connectivityAt": "placed"}
UP_PHASES = (Phase.AWAKE, Phase.DROWSY)
WAKING_KINDS = frozenset({Kind.REQUEST, Kind.WAKE_ALARM, Kind.WAKE, Kind.PIN, Kind.RESTORE})
SLEEPING_KINDS = frozenset({Kind.TICK, Kind.IDLE_ALARM, Kind.SLEEP})
COMMANDS = (
    *(Kind.STATUS, Kind.WAKE, Kind.SLEEP, Kind.PIN, Kind.UNPIN),
    *(Kind.DOCTOR, Kind.REPORT, Kind.EXPLAIN),
)


def utc(seconds: float) -> str:
    """An epoch second as a person reads it: 2026-11-24 21:36:00 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def rollouts(service: Service) -> list[dict[str, Any]]:
    """A service's deployments; those of another controller than ECS's own are task sets."""
    return list(service["deployments"] or service.get("taskSets", ()))


def deployed(services: Iterable[Service]) -> list[dict[str, Any]]:
    """The primary deployment of each service."""
    return [d for s in services for d in rollouts(s) if d["status"] == "PRIMARY"]


def is_deploying(service: Service) -> bool:
    """Whether a deployment of the service is under way."""
    found = rollouts(service)
    states = {d.get("rolloutState") for d in found} | {d.get("stabilityStatus") for d in found}
    return len(found) > 1 or bool(states & {"IN_PROGRESS", "STABILIZING"})


def deployment(services: Iterable[Service]) -> str:
    """What is deployed, in a word: another one is a new try."""
    return ",".join(str(found["id"]) for found in deployed(services))


def failed_rollouts(services: Iterable[Service]) -> dict[str, str]:
    """ECS's reason by service whose primary deployment failed: it starts no task any more.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
    """
    primaries = [(s["serviceName"], d) for s in services for d in deployed([s])]
    return {
        name: d.get("rolloutStateReason", "ECS gives no reason")
        for name, d in primaries
        if d.get("rolloutState") == "FAILED"
    }


def halted(services: Iterable[Service]) -> str:
    """That a deployment has failed and what that means, with ECS's reason; "" where none has."""
    failed = failed_rollouts(services).items()
    return "; ".join(f"{name}: {ROLLOUT_FAILED} ({why})" for name, why in failed)


def redeploy(services: Iterable[Service], cluster: str) -> str:
    """What starts tasks again once a deployment has failed; "" where none has."""
    command = f"aws ecs update-service --cluster {cluster} --service {{}} --force-new-deployment"
    commands = [f"`{command.format(name)}`" for name in failed_rollouts(services)]
    if not commands:
        return ""
    return f"Mend what ECS names and deploy a new task definition, or run {', '.join(commands)}."


def failure_class(reason: str) -> str | None:
    """One word for why a start failed, with nothing of the account in it; None for no reason."""
    if not reason:
        return None
    kind = next((kind for words, kind in FAILURES if words in reason), "not-ready")
    return "crash-loop" if kind == "container-exited" and SEVERAL in reason else kind


def vagueness(reason: str) -> int:
    """0 for a reason that has a class, 1 for one that is not known, 2 for a summary."""
    if failure_class(reason) != "not-ready":
        return 0
    return 2 if any(words in reason for words in SUMMARIES) else 1


def stages(times: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage of a wake; what has no moment of its own is in the next.

    They add up to all the time from the beginning to the last moment, whatever the clocks say.
    """
    began, end = times["began"], times.get("down", times["live"])
    reached, found = 0.0, {}
    for stage, moments in ENDS.items():
        at = next((times[moment] for moment in moments if moment in times), None)
        if at is not None:
            past = max(reached, round(min(at, end) - began, 3))
            found[stage], reached = round(past - reached, 3), past
    return found


def fields_only(of: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that are fields of this dataclass."""
    return {item.name: values[item.name] for item in fields(of) if item.name in values}


@dataclass(frozen=True)
class Signal:
    """What was heard, with what belongs to some kinds alone. Times are epoch seconds."""

    kind: Kind
    active: bool = False  # BEAT: somebody is or just was there; ECS_EVENT: a task runs
    at: float = 0.0  # an active BEAT: when somebody was last there, if not now
    pinned_until: float = 0.0  # PIN
    arrived: float = 0.0  # a REQUEST by HTTP: from then on its client waits


@dataclass(frozen=True)
class Wake:
    """The wake under way. Times are epoch seconds."""

    began: float
    cause: str
    scaled_up_at: float  # the last time that the count was given
    started_by_us: bool = (
        True  # we gave the count, and so may take it back; else it is somebody else's
    )
    stage: str = "asked"  # asked, placed, pulled, started
    polled_at: float = 0.0  # the last time that somebody looked for all who wait
    asleep_minutes: float = 0.0  # how long it had been asleep


@dataclass(frozen=True)
class Memory:
    """The one item that decides. Times are epoch seconds."""

    version: int  # of the stored item, whatever its form; 0: there is none
    phase: Phase
    since: float
    because: str = ""  # the reason of the decision that led to this phase
    min_awake_from: float = (
        0.0  # since when it can have traffic that CloudWatch has not told of yet
    )
    last_take_at: float = 0.0  # when the last call that takes was announced
    counts: dict[str, int] = field(default_factory=dict)  # service -> count to wake to, never 0
    beat: float = 0.0
    pinned_until: float = 0.0
    asked_to_sleep: bool = False
    wake: Wake | None = None
    wakes: tuple[dict[str, Any], ...] = ()
    failures: int = 0
    failure: str = ""
    failed_deployment: str = ""
    retry_at: float = 0.0
    scale_down_failed: bool = False  # the count was to go to 0, and the call was seen to fail
    open_problem: str = ""  # what somebody was told of last, so that it is told once
    notified_at: dict[str, float] = field(
        default_factory=dict
    )  # kind of notice -> when, across phases
    form: int = FORM

    @classmethod
    def from_item(cls, item: Mapping[str, Any], now: float) -> Memory:
        """Read the table's item, {} where there is none.

        Of an item of another form only the version is read, which the next write is conditional on.
        """
        version = int(item["version"]["N"]) if item else 0
        read = json.loads(item["body"]["S"]) if item else {}
        if read.get("form") != FORM:
            return cls(version=version, phase=Phase.AWAKE, since=now, form=0)
        wake = Wake(**fields_only(Wake, read["wake"])) if read["wake"] else None
        read |= {"version": version, "phase": Phase(read["phase"]), "wake": wake}
        return cls(**fields_only(cls, read | {"wakes": tuple(read["wakes"])}))

    @property
    def adopted(self) -> bool:
        """Whether a phase is remembered; if not, the next look adopts the service anew."""
        return self.version > 0 and self.form == FORM

    def estimate(self) -> float | None:
        """Seconds that a wake takes: the median of the last few, None if there was none."""
        return statistics.median(w["seconds"] for w in self.wakes) if self.wakes else None

    def with_times(self, now: float, more: Mapping[str, float]) -> Memory | None:
        """With these moments in the record of a wake that is just over; None for nothing new."""
        record = self.wakes[-1] if self.wakes else {"times": {"live": 0.0}}
        times, live = record["times"], record["times"]["live"]
        new = {name: at for name, at in more.items() if at and name not in times}
        if not new or live != self.since or now - live > SLOW_SETTLE_SECONDS:
            return None
        return replace(self, wakes=(*self.wakes[:-1], {**record, "times": {**times, **new}}))

    def redeployed_since_failure(self, services: Iterable[Service]) -> bool:
        """Whether something else is deployed than what failed, as far as both are known."""
        now = deployment(services)
        return "" not in (now, self.failed_deployment) and now != self.failed_deployment

    def backoff_seconds(self, services: Iterable[Service], now: float) -> float:
        """Seconds until a request may wake it: 0 if at once, infinite after the last try."""
        if not self.failures or self.redeployed_since_failure(services):
            return 0.0
        given_up = self.failures > len(BACKOFF_SECONDS)
        return math.inf if given_up else max(0.0, self.retry_at - now)


@dataclass(frozen=True)
class Observation:
    """What one look at AWS showed. None means not looked at."""

    memory: Memory
    services: tuple[Service, ...]
    missing: tuple[str, ...] = ()
    rule: Rule = Rule.UNSEEN
    tasks: tuple[Task, ...] = ()  # those that are meant to run
    live: tuple[Task, ...] | None = None  # of these, the ones healthy in a target group
    strangers: bool = False  # a healthy target is no task of ours, running or on its way out
    wiring: Mapping[str, str] = field(default_factory=dict)  # of LASTING: what is seen of it
    began: float = 0.0  # when the look began (epoch seconds): what was so then may be over
    idle: bool | None = None
    idle_since: float = 0.0  # when the idle alarm went into its state
    wake_alarm_firing: bool = False  # asleep on the alarm path: the wake alarm is in ALARM
    protected: bool | None = None
    wiring_fault: str = ""  # what else is not as it was wired: TARGET_GROUP_DETACHED or NO_ALARM
    shadows_other_rules: bool = (
        False  # the wake rule is up, and stands before a rule that it must not hide
    )
    stopped_reason: str = ""
    reason: str = ""  # of the decision that followed
    down: float = 0.0  # when this look itself took the rule down

    @property
    def desired(self) -> int:
        return sum(service["desiredCount"] for service in self.services)

    @property
    def serves(self) -> bool:
        """Whether people may be served by what the wake rule, up, would stand before."""
        return bool(self.live) or self.strangers or self.wiring_fault == TARGET_GROUP_DETACHED


@dataclass(frozen=True)
class Notice:
    """What people are told, of a kind in NOTICES."""

    kind: str
    text: str
    remedy: str = ""  # in the place of the kind's


def problem_notice(what: str, particulars: str = "", remedy: str = "") -> Notice:
    """The notice of a trouble."""
    kind = next(kind for words, kind in TROUBLES.items() if what.startswith(words))
    text = f"needs attention: {what}{': ' * bool(particulars)}{particulars}"
    return Notice(kind, text, remedy)


@dataclass(frozen=True)
class Decision:
    """What to write and, once that is written, what to do. What is not set stays as it is."""

    reason: str
    memory: Memory | None = None
    scale_up: tuple[tuple[str, int], ...] = ()  # (service, count)
    scale_to_zero: tuple[str, ...] = ()  # services whose count goes to 0
    rule: Rule | None = None
    notice: Notice | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    wake: Mapping[str, Any] | None = None  # the record of the wake that ends
    requeue: bool = False  # the phase followed AWS: decide once more, with the same signal


def notify_once(memory: Memory, what: str, particulars: str = "", remedy: str = "") -> Decision:
    """Stay as it is and tell somebody, unless `what` was the last thing told."""
    if memory.open_problem == what:
        return Decision(what)
    notice = problem_notice(what, particulars, remedy)
    return Decision(what, replace(memory, open_problem=what), notice=notice)


@dataclass(frozen=True)
class Case:
    """What is decided upon. Pure: no clock, no client, no log; `now` is an epoch second."""

    seen: Observation
    memory: Memory  # with what the signal itself leaves in it
    signal: Signal
    config: Config
    now: float

    def enter(self, phase: Phase, because: str, **changes: Any) -> Memory:
        """The memory after a transition, `because` of what. Counts above 0 are remembered."""
        services = self.seen.services
        running = {s["serviceName"]: s["desiredCount"] for s in services if s["desiredCount"]}
        counts = {**self.memory.counts, **running}
        fresh = {
            "since": self.now,
            "because": because,
            "counts": counts,
            "asked_to_sleep": False,
            "wake": None,
        }
        fresh |= {"open_problem": "", "scale_down_failed": False}
        return replace(self.memory, phase=phase, **{**fresh, **changes})

    def counts(self) -> tuple[tuple[str, int], ...]:
        """The remembered count of each service, never less than it has already."""
        remembered, default = self.memory.counts, self.config.awake_count
        desired = {s["serviceName"]: s["desiredCount"] for s in self.seen.services}
        return tuple((s, max(count, remembered.get(s, default))) for s, count in desired.items())

    def up(self) -> tuple[str, ...]:
        """The services with a count above 0, which is what there is to take."""
        return tuple(s["serviceName"] for s in self.seen.services if s["desiredCount"])

    def raised(self) -> Rule | None:
        """UP, unless what the wake rule would then stand before serves people."""
        return None if self.seen.serves else Rule.UP

    def settled(self) -> bool:
        """Whether the phase is old enough for AWS's reads to contradict it."""
        return self.now - max(self.memory.since, self.memory.last_take_at) >= FENCE_SECONDS

    def wakes_last_hour(self) -> list[dict[str, Any]]:
        """The wakes within the last hour."""
        return [wake for wake in self.memory.wakes if self.now - wake["times"]["live"] < 3600]

    def objections(self, *, asked: bool) -> dict[str, float]:
        """Why the service must stay up, in this order; {} if it may sleep, `asked` to or idle.

        With each the epoch second at which it ends by itself, infinite where it does not.
        """
        memory, config, seen, services = self.memory, self.config, self.seen, self.seen.services
        awake, beat = self.now - memory.min_awake_from, self.now - memory.beat
        stay = config.min_awake_minutes * 60
        fresh = config.idle_minutes * 60 + BEAT_WRITE_SECONDS  # the last beat may be unwritten
        early = memory.phase is Phase.AWAKE and awake < stay
        at = max((d["createdAt"].timestamp() for d in deployed(services)), default=0.0)
        new, budget = self.now - at, config.wake_budget_per_hour
        over = sorted(wake["times"]["live"] + 3600 for wake in memory.wakes)
        rested = over[-budget] if len(over) >= budget else 0.0
        found = [
            (f"pinned until {utc(memory.pinned_until)}", memory.pinned_until),
            (RULE_MISSING, math.inf if seen.rule is Rule.MISSING else 0.0),
            (seen.wiring_fault, math.inf if seen.wiring_fault else 0.0),
            (UNSEEN, math.inf if UNSEEN in seen.wiring else 0.0),
            (STRANGERS, math.inf if STRANGERS in seen.wiring else 0.0),
            (DEPLOYING, math.inf if any(map(is_deploying, services)) else 0.0),
            (f"deployed {new:.0f} s ago", 0.0 if asked else at + stay),
            (
                f"up for {awake:.0f} s of {stay} s",
                memory.min_awake_from + stay if early and not asked else 0.0,
            ),
            (f"the {budget} wakes of an hour are spent", 0.0 if asked else rested),
            (f"active beat {beat:.0f} s ago", 0.0 if asked else memory.beat + fresh),
            (PROTECTED, math.inf if seen.protected else 0.0),
            (NOT_IDLE, 0.0 if seen.idle or asked else math.inf),
        ]
        return {what: until for what, until in found if until > self.now}

    def objection(self, *, asked: bool) -> str:
        """The first reason why the service must stay up; "" if it may sleep, `asked` to or idle."""
        return next(iter(self.objections(asked=asked)), "")

    def to_awake(self, reason: str, **changes: Any) -> Decision:
        """The wake rule goes down: the load balancer serves the service alone."""
        fresh = {"last_take_at": self.now, "min_awake_from": self.now}
        awake = self.enter(Phase.AWAKE, reason, **{**fresh, **changes})
        return Decision(reason, awake, rule=Rule.DOWN, metrics=self.slept())

    def slept(self) -> dict[str, float]:
        """The minutes of the sleep that ends now; {} where it is none."""
        asleep = self.memory.phase is Phase.ASLEEP
        return {"MinutesAsleep": round((self.now - self.memory.since) / 60, 1)} if asleep else {}

    def to_waking(self, cause: str, scale_up: tuple[tuple[str, int], ...] = ()) -> Decision:
        """Tasks are to start (`scale_up`) or are starting already; clients wait with us."""
        began = self.signal.arrived or self.now
        slept = self.slept()
        wake = Wake(began=began, cause=cause, scaled_up_at=self.now, started_by_us=bool(scale_up))
        wake = replace(wake, asleep_minutes=slept.get("MinutesAsleep", 0.0))
        reason, metrics = f"woken: {cause}", {"Wakes": 1, **slept}
        waking = self.enter(Phase.WAKING, reason, wake=wake)
        return Decision(reason, waking, scale_up, rule=self.raised(), metrics=metrics)

    def to_asleep(self, reason: str, **changes: Any) -> Decision:
        """The count goes to 0, remembered in the same write that announces it."""
        asleep = self.enter(Phase.ASLEEP, reason, last_take_at=self.now, **changes)
        notice = Notice("asleep", f"goes to sleep: {reason}")
        return Decision(reason, asleep, scale_to_zero=self.up(), notice=notice)

    def follow(self, phase: Phase, why: str) -> Decision:
        """AWS contradicts the memory: the phase follows, and the same signal is heard in it."""
        # a service that is adopted is no news
        told = Notice("count-set-outside", why) if self.seen.memory.adopted else None
        up = self.raised() if phase is Phase.ASLEEP else None
        entered = self.enter(phase, why, min_awake_from=self.now)
        return Decision(why, entered, rule=up, notice=told, requeue=True)

    def awake(self) -> Decision:
        seen, memory, asked = self.seen, self.memory, self.signal.kind is Kind.SLEEP
        if not seen.serves:
            return self.to_waking("no live target") if self.settled() else Decision("too early")
        stands = seen.rule is Rule.UP and seen.desired > 0
        if stands and self.now - memory.last_take_at >= FENCE_SECONDS:
            return Decision(
                "awake, rule up", replace(memory, last_take_at=self.now), rule=Rule.DOWN
            )
        if seen.rule is Rule.MISSING:
            return notify_once(memory, RULE_MISSING)
        if seen.wiring_fault:
            return notify_once(memory, seen.wiring_fault)
        if self.signal.kind not in SLEEPING_KINDS:
            return Decision("awake")
        if against := self.objection(asked=asked):
            return self.stays_awake(against)
        reason = "asked to sleep" if asked else "idle"
        drowsy = self.enter(Phase.DROWSY, reason, asked_to_sleep=asked)
        return Decision(reason, drowsy, rule=Rule.UP)

    def stays_awake(self, against: str) -> Decision:
        """It stays awake. Where nobody has used it for half a day, that is told."""
        memory, seen = self.memory, self.seen
        idle = self.now - max(memory.since, memory.beat, seen.idle_since)
        stays = Decision(f"stays awake: {against}")
        if seen.idle and idle >= IDLE_BUT_AWAKE_SECONDS:
            return replace(notify_once(memory, IDLE_BUT_AWAKE, against), reason=stays.reason)
        return stays

    def drowsy(self) -> Decision:
        memory, kind, linger = self.memory, self.signal.kind, self.config.linger_seconds
        wakes = kind in WAKING_KINDS or (kind is Kind.BEAT and self.signal.active)
        if not wakes and kind not in SLEEPING_KINDS:
            return Decision("drowsy")
        against = kind if wakes else self.objection(asked=memory.asked_to_sleep)
        if against and self.seen.serves and self.seen.desired:
            # what CloudWatch tells of is no news: the time that it is given does not begin again
            news = {} if wakes else {"min_awake_from": memory.min_awake_from}
            return self.to_awake(f"stays awake: {against}", **news)
        if against:
            return self.to_waking(f"no live target, {against}", self.counts() if wakes else ())
        if self.seen.rule is Rule.DOWN:
            return Decision("the rule goes up", replace(memory, since=self.now), rule=Rule.UP)
        if self.now - memory.since < linger - TICK_JITTER_SECONDS:
            return Decision(f"drowsy for {self.now - memory.since:.0f} s of {linger} s")
        return self.to_asleep(f"{memory.because or 'idle'}, and nobody came in {linger} s")

    def asleep(self) -> Decision:
        memory, kind, rule = self.memory, self.signal.kind, self.seen.rule
        # one that stays in ALARM calls no more: the tick hears it, once its data is of this sleep
        if self.seen.wake_alarm_firing and self.now - memory.since >= ALARM_LATE_SECONDS:
            kind = Kind.WAKE_ALARM
        pause = memory.backoff_seconds(self.seen.services, self.now)
        up = self.seen.desired > 0 and self.settled()
        if up and self.seen.live and kind in WAKING_KINDS:
            return self.to_awake(kind)
        if kind in (Kind.REQUEST, Kind.WAKE_ALARM) and pause > 0:  # a person's word is not held off
            return Decision(f"{memory.failures} wakes failed, next try in {pause:.0f} s")
        if kind is Kind.REQUEST and self.config.wake_confirmation == "browser":
            return Decision("asleep, and a request alone does not wake it")
        if kind in WAKING_KINDS:
            others = (
                up and not self.count_is_ours()
            )  # what somebody else has started we do not stop
            return self.to_waking(kind, () if others else self.counts())
        if up:
            return self.asleep_but_up()
        # Where nobody would hear a request, and only there, a look wakes.
        out_of_place = rule is Rule.DOWN or self.seen.shadows_other_rules
        stuck = out_of_place and memory.open_problem.startswith(NO_NUMBER)
        wake_path_broken = (
            memory.open_problem if stuck else RULE_MISSING if rule is Rule.MISSING else ""
        )
        if wake_path_broken and self.settled() and pause <= 0:
            woken = self.to_waking(wake_path_broken, self.counts())
            return replace(
                woken, rule=None, notice=problem_notice(wake_path_broken, "woken for good")
            )
        if (
            rule is Rule.DOWN
            and self.seen.wiring_fault
            and memory.open_problem != self.seen.wiring_fault
        ):
            return notify_once(
                memory, self.seen.wiring_fault
            )  # no request wakes it, for its rule stays down
        return Decision("asleep", rule=self.raised() if rule is Rule.DOWN else None)

    def count_is_ours(self) -> bool:
        """Whether a count above 0 is the one that could not be taken, and nobody else's."""
        remembered, services = self.memory.counts, self.seen.services
        same = all(remembered.get(s["serviceName"]) == s["desiredCount"] for s in services)
        return self.memory.scale_down_failed and same

    def asleep_but_up(self) -> Decision:
        """The count is above 0: it could not be taken, or it was raised from outside."""
        memory, seen = self.memory, self.seen
        if not self.count_is_ours():
            cause = "the count was raised from outside"
            return self.to_awake(cause) if seen.live else self.to_waking(cause)
        if self.signal.kind not in SLEEPING_KINDS:
            return Decision("asleep, and the count is still to be taken")
        if against := self.objection(asked=not seen.live):
            up = f"stays awake: {against}"
            return self.to_awake(up) if seen.live else self.to_waking(up)
        again = replace(memory, last_take_at=self.now, scale_down_failed=False)
        return Decision("the count could not be taken: once more", again, scale_to_zero=self.up())

    def woken(self, wake: Wake, live: Task) -> Decision:
        """A live target, and nothing taken can be on its way: the rule goes down."""
        config, seconds = self.config, round(self.now - wake.began, 3)
        target = config.cold_start_target_seconds
        reached = {key: round(at.timestamp(), 3) for key, at in live.items() if key.endswith("At")}
        times = {
            "began": wake.began,
            "scaled_up_at": wake.scaled_up_at,
            **reached,
            "live": self.now,
        }
        record = {"cause": wake.cause, "seconds": seconds, "asleep_minutes": wake.asleep_minutes}
        record |= {"times": times}
        wakes = (*self.memory.wakes, record)
        mended: dict[str, Any] = {
            "failures": 0,
            "failure": "",
            "failed_deployment": "",
            "retry_at": 0.0,
        }
        awake = self.to_awake("live", wakes=wakes[-KEPT_WAKES:], **mended)
        over = f", over the target of {target} s" if seconds > target else ""
        notice = Notice("awake", f"awake after {seconds:.1f} s{over} ({wake.cause})")
        spent = len(self.wakes_last_hour()) + 1
        budget = config.wake_budget_per_hour
        if spent == budget:
            more = f". Woken {spent} times within an hour: it stays awake until that is past."
            notice = Notice("woken-often", notice.text + more)
        told = None if spent > budget else notice  # of what crashes again and again, once
        return replace(awake, notice=told, metrics={"ColdStartSeconds": seconds}, wake=record)

    def give_up(self, why: str) -> Decision:
        """A wake of ours is past its deadline: asleep, and the next try waits for longer."""
        memory, services, now = self.memory, self.seen.services, self.now
        tries = 1 if memory.redeployed_since_failure(services) else memory.failures + 1
        pause = BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS)) - 1]
        failed = {"failure": why, "failed_deployment": deployment(services)}
        reason = f"no live target in {self.config.wake_deadline_seconds} s: {why}"
        asleep = self.to_asleep(reason, failures=tries, retry_at=now + pause, **failed)
        last = tries > len(BACKOFF_SECONDS)
        until = f"It was tried {tries} times: until" if last else f"For {pause} s, or until"
        text = f"wake failed: {reason}. {until} something is deployed, only the command wake "
        text += "or the page's button wakes it."
        if stop := halted(services):
            text = f"wake failed: {reason}." + f" {stop}." * (stop not in reason)
        notice = Notice("wake-failed", text, redeploy(services, self.config.cluster_name))
        return replace(asleep, notice=notice, metrics={"FailedWakes": 1})

    def not_live(self) -> Decision:
        """The count is not ours to take: it stays, and somebody is told."""
        seen, why = self.seen, self.seen.stopped_reason or "no task stopped"
        if stop := halted(seen.services):
            remedy = redeploy(seen.services, self.config.cluster_name)
            return notify_once(self.memory, f"{NOT_LIVE}, and {stop}", why, remedy)
        return notify_once(self.memory, NOT_LIVE, why)

    def waking(self) -> Decision:
        seen, memory, now = self.seen, self.memory, self.now
        fence = memory.last_take_at + FENCE_SECONDS
        wake = memory.wake or Wake(began=memory.since, cause="unknown", scaled_up_at=0.0)
        given_again = replace(memory, wake=replace(wake, scaled_up_at=now))
        # what was looked at past the fence shows whether the count was taken after it was given
        if seen.live and (seen.began >= fence or wake.scaled_up_at >= fence):
            return self.woken(wake, seen.live[0])
        if now >= fence > wake.scaled_up_at:
            again, up = "past the fence: given again", self.raised()
            return Decision(again, given_again, self.counts(), rule=up)
        if seen.live:
            return Decision("a live target, but what was taken may still be on its way")
        late = now - wake.began > self.config.wake_deadline_seconds
        stage = next((STAGES[k] for k in STAGES if any(k in t for t in seen.tasks)), "asked")
        why = seen.stopped_reason or halted(seen.services) or NOT_STARTED[stage]
        if late and wake.started_by_us and memory.pinned_until <= now:
            return self.give_up(why)
        if seen.desired == 0 and now - wake.scaled_up_at >= SCALE_UP_AGAIN_SECONDS:
            return Decision("still 0: given again", given_again, self.counts(), rule=self.raised())
        if late and seen.rule is not Rule.DOWN:
            return self.not_live()
        moved = None if stage == wake.stage else replace(memory, wake=replace(wake, stage=stage))
        up = self.raised() if seen.rule is Rule.DOWN else None
        return Decision(f"waking: {stage}", moved, rule=up)


def decide(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    """What to write and do. Total and pure; what takes carries a memory stamped with `now`."""
    memory = seen.memory
    if seen.missing:
        what = f"{NO_SERVICE} {', '.join(seen.missing)} in cluster {config.cluster_name}"
        return notify_once(memory, what) if memory.adopted else Decision(what)
    if not memory.adopted:
        # a call that takes, announced by a memory that is lost or not read, may be on its way
        memory = replace(memory, form=FORM, last_take_at=now)
        case = Case(seen, memory, signal, config, now)
        if seen.desired and not seen.serves:
            return replace(case.to_waking("adopted while it starts"), requeue=True)
        return case.follow(Phase.AWAKE if seen.desired else Phase.ASLEEP, "adopted")
    if seen.desired == 0:
        seen = replace(seen, live=())  # whatever is still healthy is on its way out
    looked = seen.rule is not Rule.UNSEEN and (
        seen.idle is not None or memory.open_problem != NO_ALARM
    )
    wrong = RULE_MISSING if seen.rule is Rule.MISSING else seen.wiring_fault
    mended = memory.open_problem in (RULE_MISSING, TARGET_GROUP_DETACHED, NO_ALARM) and looked
    used = memory.open_problem == IDLE_BUT_AWAKE and seen.idle is False
    if (
        (mended and memory.open_problem != wrong)
        or memory.open_problem.startswith(NO_SERVICE)
        or used
    ):
        memory = replace(memory, open_problem="")  # should it come back, it is told again
    match signal.kind:
        case Kind.BEAT if signal.active and (signal.at or now) - memory.beat >= BEAT_WRITE_SECONDS:
            memory = replace(memory, beat=signal.at or now)
        case Kind.SLEEP if memory.phase is Phase.DROWSY:
            memory = replace(memory, asked_to_sleep=True)
        case Kind.PIN | Kind.UNPIN:
            memory = replace(memory, pinned_until=signal.pinned_until)
        case Kind.RESTORE if memory.pinned_until < now + RESTORE_PIN_SECONDS / 2:
            memory = replace(memory, pinned_until=now + RESTORE_PIN_SECONDS)
    case = Case(seen, memory, signal, config, now)
    if memory.scale_down_failed and seen.desired == 0 and case.settled():
        memory = replace(memory, scale_down_failed=False)  # it was taken after all
        case = replace(case, memory=memory)
    if memory.phase in UP_PHASES and seen.desired == 0 and case.settled():
        return case.follow(Phase.ASLEEP, "asleep: the count was set to 0 from outside")
    decision: Decision = getattr(case, memory.phase)()  # each phase has its method
    changed = decision.memory or (memory if memory != seen.memory else None)
    return notify_wiring(replace(decision, memory=changed), seen, now)


def notify_wiring(decision: Decision, seen: Observation, now: float) -> Decision:
    """The same, telling what of LASTING is new; what is seen no more is told should it return.

    One notice at a time: what else is new waits for the next look.
    """
    before = decision.memory or seen.memory
    if seen.rule is Rule.UNSEEN:  # nothing was looked at
        return decision
    kinds = {kind: what for what, kind in TROUBLES.items() if what in LASTING}
    told = {
        k: at for k, at in before.notified_at.items() if k not in kinds or kinds[k] in seen.wiring
    }
    new = [what for kind, what in kinds.items() if what in seen.wiring and kind not in told]
    notice = decision.notice
    if new and notice is None:
        notice = problem_notice(new[0], seen.wiring[new[0]])
        told[notice.kind] = now
    if told == before.notified_at:
        return decision
    return replace(decision, memory=replace(before, notified_at=told), notice=notice)


def is_no_news(signal: Signal, memory: Memory, now: float) -> bool:
    """Whether this is a beat that tells of nobody, or of whom is remembered and changes nothing.

    Many may beat at once, each tab of a page: one of them looks in BEAT_WRITE_SECONDS.
    """
    if signal.kind is not Kind.BEAT or not memory.adopted:
        return False
    fresh = (signal.at or now) - memory.beat >= BEAT_WRITE_SECONDS
    return not signal.active or (memory.phase is not Phase.DROWSY and not fresh)


def known_by(target: Mapping[str, Any]) -> str:
    """What a target is compared with tasks by: its address, or the port of an instance."""
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
    if target["Id"].startswith("i-"):
        return f"port {target['Port']}"
    return plain_address(target["Id"])


def plain_address(address: str) -> str:
    """An IP address in the one form in which two of them compare; anything else as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def reached_by(task: Task) -> set[str]:
    """What the targets of a task are known by: addresses of its interfaces, ports of its host.

    An instance's port stands for the instance: two tasks with the same port on two instances are
    taken for one while ours runs, and for a minute after it has ended.
    """
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Container.html
    details = [d for each in task.get("attachments", ()) for d in each.get("details", ())]
    found = {plain_address(d["value"]) for d in details if "Address" in d["name"]}
    for container in task.get("containers", ()):
        for interface in container.get("networkInterfaces", ()):
            named = (interface.get("privateIpv4Address"), interface.get("ipv6Address"))
            found |= {plain_address(address) for address in named if address}
        for bound in container.get("networkBindings", ()):
            found |= {f"port {port}" for port in host_ports(bound)}
    return found


def host_ports(binding: Mapping[str, Any]) -> list[int]:
    """The ports on the host of one network binding, which has one or a range; [] for neither."""
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html
    if "hostPort" in binding:
        return [binding["hostPort"]]
    first, _, last = binding.get("hostPortRange", "").partition("-")
    return list(range(int(first), int(last or first) + 1)) if first else []


def forwards_to(rule: ListenerRule) -> set[str]:
    """The target groups that a rule forwards to."""
    forwards = [action for action in rule["Actions"] if action["Type"] == "forward"]
    groups = [a.get("ForwardConfig", {}).get("TargetGroups") or [a] for a in forwards]
    weighed = [group for found in groups for group in found if group.get("Weight", 1) > 0]
    return {group["TargetGroupArn"] for group in weighed}


CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-request-method": "HttpRequestMethodConfig",
}


NO_RULE: ListenerRule = {"Actions": [], "Conditions": []}


def matches_by(rule: ListenerRule) -> dict[str, list[str]]:
    """The values that a rule matches by, without what matches everything.

    AWS tells the values of hosts and paths twice, in `Values` and in a config of their kind, and
    regular expressions in the config alone.
    """
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
    found: dict[str, list[str]] = {}
    for condition in rule["Conditions"]:
        config = condition.get(CONFIGS.get(condition["Field"], ""), {})
        values = condition.get("Values") or config.get("Values", ())
        expressions = [f"regex {expression}" for expression in config.get("RegexValues", ())]
        found[condition["Field"]] = sorted([*map(str.lower, values), *expressions])
    return {name: values for name, values in found.items() if values not in (["/*"], ["*"])}


def covers(rule: ListenerRule, other: ListenerRule) -> bool:
    """Whether `rule` matches everything that `other` does, by host, path and method.

    A rule that matches by anything else takes a part at most, and is none that covers.
    """
    theirs = matches_by(other)

    def matched(value: str, globs: Iterable[str]) -> bool:
        return any(fnmatchcase(value, glob.replace("[", "[[]")) for glob in globs)

    return all(
        field in CONFIGS
        and bool(theirs.get(field))
        and all(matched(value, globs) for value in theirs[field])
        for field, globs in matches_by(rule).items()
    )


def unseen_traffic(service: Service, wired: Iterable[str]) -> list[str]:
    """By what else than the wired target groups a service is reached, as DescribeServices tells.

    A service that only calls others by Service Connect is not reached by it.
    """
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
    own, found = set(wired), []
    for part in (service, *service.get("taskSets", ())):
        for balancer in part.get("loadBalancers", ()):
            alternate = balancer.get("advancedConfiguration", {}).get("alternateTargetGroupArn")
            groups = (balancer.get("targetGroupArn"), alternate, balancer.get("loadBalancerName"))
            found += [f"load balancing by {each}" for each in groups if each and each not in own]
        found += [f"Cloud Map, {r['registryArn']}" for r in part.get("serviceRegistries", ())]
    for each in service["deployments"]:
        connect = each.get("serviceConnectConfiguration", {})
        if connect.get("enabled") and connect.get("services"):
            found += [f"Service Connect, {s['portName']}" for s in connect["services"]]
        lattice = each.get("vpcLatticeConfigurations", ())
        found += [f"VPC Lattice, {v['targetGroupArn']}" for v in lattice]
    return list(dict.fromkeys(found))


def why_stopped(stopped: list[Task]) -> list[str]:
    """ECS's reason for each of these tasks, with its containers' own; the last one's first."""
    reasons = []
    for task in sorted(stopped, key=lambda task: task["stoppedAt"], reverse=True):
        containers = task.get("containers", ())
        codes = [f"exit code {c['exitCode']}" if "exitCode" in c else "" for c in containers]
        said = [c.get("reason") or code for c, code in zip(containers, codes, strict=True)]
        many = [SEVERAL] if len(stopped) > 1 else []
        words = filter(None, [str(task.get("stoppedReason", "")), *said, *many])
        reasons.append("; ".join(words))
    return reasons


# --- what it explains --------------------------------------------------------------------------
REPORTED = (  # of the settings, what a reader of these commands wants
    "name",
    "cluster_name",
    "service_names",
    "target_group_arns",
    "cold_start_target_seconds",
    "wake_deadline_seconds",
)


def blockers(seen: Observation, config: Config, now: float) -> dict[str, float]:
    """Why the service must stay up, each with the epoch second of its end or infinity.

    Looked for in the phases in which it is up, and where a service is missing.
    """
    memory = seen.memory
    if seen.missing:
        return {f"{NO_SERVICE} {', '.join(seen.missing)}": math.inf}
    if memory.phase not in UP_PHASES or not memory.adopted:
        return {}
    tick = Case(seen, memory, Signal(Kind.TICK), config, now)
    return tick.objections(asked=memory.asked_to_sleep)


def as_json(record: Any) -> dict[str, Any]:
    """A dataclass in JSON's types, field by field; tools/forecast.py reads it back.

    A time becomes {"datetime": ISO 8601}, a set a sorted list.
    """

    def encoded(value: object) -> object:
        if isinstance(value, datetime.datetime):
            return {"datetime": value.isoformat()}
        return sorted(value) if isinstance(value, frozenset) else vars(value)

    read: dict[str, Any] = json.loads(json.dumps(record, default=encoded))
    return read


def code_sha256() -> str:
    """The SHA-256 of this file, by which a tool sees whether the function runs the same code."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


# --- how it reaches AWS ------------------------------------------------------------------------
def free_priority(rules: Mapping[str, int], to: Rule, config: Config) -> int:
    """The number that puts the wake rule before (UP) or after (DOWN) the service rule's.

    UP: the configured number, or the nearest one before the service rule; never before another of
    our own rules, nor with somebody else's rule in between. DOWN: the parked number or, where it is
    taken or not behind the service rule, the next free one. Raises RuleStuckError if there is none.
    """
    taken = {number: arn for arn, number in rules.items() if arn != config.wake_rule_arn}
    service, last = rules[config.service_rule_arn], 50000
    if to is Rule.DOWN:
        parked = max(config.parked_rule_priority, service + 1)
        numbers: Iterable[int] = chain(range(parked, last + 1), range(service + 1, parked))
    else:
        # after our own rules, which take what is not for the wake rule, and after everybody else's
        before = max((number for number in taken if number < service), default=0)
        if any(arn in config.own_rule_arns and n > service for n, arn in taken.items()):
            before = service  # no place is behind all of our own and before the service rule
        configured = [config.rule_priority] if before < config.rule_priority < service else []
        numbers = chain(configured, range(service - 1, before, -1))
    for number in numbers:
        if number not in taken:
            return number
    raise RuleStuckError(f"{NO_NUMBER} next to the service rule's {service} to put our own {to}")


def hides_others(rules: Mapping[str, ListenerRule], config: Config) -> bool:
    """Whether the wake rule, up, stands before one of our other rules or a stranger's."""
    numbers = {arn: rule["Priority"] for arn, rule in rules.items()}
    wake, service = numbers.pop(config.wake_rule_arn), numbers.pop(config.service_rule_arn)
    behind = {arn: number for arn, number in numbers.items() if number > wake}
    return any(arn in config.own_rule_arns or number < service for arn, number in behind.items())


class Aws:
    """The outside: every AWS call, the clock and sleep. The one seam at which tests stand."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._clients: dict[tuple[str, bool], Any] = {}
        self._token: tuple[float, str] = (0.0, "")  # until when it is believed unasked
        self._settings: tuple[float, dict[str, Any]] = (0.0, {})

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def client(self, service: str, *, taking: bool = False) -> Any:
        """A boto3 client; one that takes gives up after TAKE_TIMEOUT_SECONDS and never retries."""
        # built at its first use, or by `prepare` where a wake needs it
        if (service, taking) not in self._clients:
            tries: Any = {"mode": "standard", "total_max_attempts": 1 if taking else 3}
            wait = TAKE_TIMEOUT_SECONDS if taking else 3
            sdk = SdkConfig(connect_timeout=wait, read_timeout=wait, retries=tries)
            build: Any = boto3.client
            self._clients[service, taking] = build(service, config=sdk)
        return self._clients[service, taking]

    def caller(self, service: str, last_take_at: float | None) -> Any:
        """The client of a call that gives or, with `last_take_at`, takes. Late: TimeoutError."""
        client = self.client(service, taking=last_take_at is not None)
        if last_take_at is not None and self.now() - last_take_at > TAKE_START_SECONDS:
            raise TimeoutError(f"{self.now() - last_take_at:.1f} s after its stamp")
        return client

    def item(self, name: str) -> dict[str, Any]:
        """An item of the table; {} if it is not there. Raises TableGoneError."""
        table, key = self.config.table_name, {"id": {"S": name}}
        try:
            answer = self.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise TableGoneError(f"no table {table}") from error
            raise
        return dict(answer.get("Item", {}))

    def read_memory(self) -> Memory:
        """The memory; one that is not `adopted` where there is none, or one of another form."""
        return Memory.from_item(self.item("memory"), self.now())

    def write_memory(self, memory: Memory) -> Memory | None:
        """The memory as written; None if somebody else has written since it was read."""
        written, database = replace(memory, version=memory.version + 1), self.client("dynamodb")
        item = {"id": {"S": "memory"}, "version": {"N": str(written.version)}}
        body = json.dumps(vars(written), default=vars)
        item |= {"phase": {"S": memory.phase}, "body": {"S": body}}
        put, table = database.put_item, self.config.table_name
        new = "attribute_not_exists(id) OR version = :read"
        read = {":read": {"N": str(memory.version)}}
        try:
            put(TableName=table, Item=item, ConditionExpression=new, ExpressionAttributeValues=read)
        except database.exceptions.ConditionalCheckFailedException:
            return None
        return written

    def settings(self) -> dict[str, Any]:
        """Terraform's item, believed for SETTINGS_SECONDS. What cannot be read keeps nobody out."""
        if self.now() - self._settings[0] > SETTINGS_SECONDS:
            try:
                read = from_json(self.item("settings").get("body", {"S": "{}"})["S"])
                problem = "" if isinstance(read, dict) else "no JSON object"
            except (*ERRORS, TableGoneError) as error:
                read, problem = None, str(error)
            if problem:  # not by every request anew: somebody waits for each try
                log(level="WARNING", message="the settings cannot be read", error=problem)
                again = self.now() - SETTINGS_SECONDS + SETTINGS_AGAIN_SECONDS
                self._settings = (again, self._settings[1])
            else:
                self._settings = (self.now(), read)
        return self._settings[1]

    def may_hold(self) -> bool:
        """Whether one more call may be held: of those that begin in `hold_seconds`, `hold_limit`.

        Counted in an item of its own. What cannot be counted is held.
        """
        config, database = self.config, self.client("dynamodb")
        begun = {":window": {"N": str(int(self.now() // config.hold_seconds))}, ":one": {"N": "1"}}
        count: dict[str, Any] = {"TableName": config.table_name, "Key": {"id": {"S": "held"}}}
        count |= {"ExpressionAttributeValues": begun, "ReturnValues": "ALL_NEW"}
        add = ("ADD held :one", "since = :window")
        first = ("SET since = :window, held = :one", "NOT since = :window")  # or none was there
        try:
            for change, holds in (add, first, add):
                update = {"UpdateExpression": change, "ConditionExpression": holds}
                try:
                    counted = database.update_item(**count, **update)
                except database.exceptions.ConditionalCheckFailedException:
                    continue
                return int(counted["Attributes"]["held"]["N"]) <= config.hold_limit
        except ERRORS as error:
            log(level="WARNING", message="what is held is not counted", error=str(error))
        return True

    def token(self) -> str:
        """The heartbeat's secret, from SSM, believed for TOKEN_SECONDS.

        While SSM cannot be reached the last one is believed for longer: a service with people on it
        must not fall asleep for that. Raises where none was ever read, and where SSM says no.
        """
        due, token = self._token
        if self.now() <= due:
            return token
        try:
            token, pause = self.read_token(), TOKEN_SECONDS
        except ERRORS as error:
            said = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if not token or said in TOKEN_DENIED:
                raise
            log(level="ERROR", message="the token of before is still believed", error=str(error))
            pause = TOKEN_AGAIN_SECONDS
        self._token = (self.now() + pause, token)
        return token

    def read_token(self) -> str:
        """The secret as SSM has it now."""
        name = self.config.heartbeat_token_parameter
        answer = self.client("ssm").get_parameter(Name=name, WithDecryption=True)
        return str(answer["Parameter"]["Value"])

    def services(self) -> tuple[Service, ...]:
        """The services that are there and ACTIVE."""
        ecs, names = self.client("ecs"), list(self.config.service_names)
        try:
            answer = ecs.describe_services(cluster=self.config.cluster_name, services=names)
        except ecs.exceptions.ClusterNotFoundException:
            return ()
        return tuple(service for service in answer["services"] if service["status"] == "ACTIVE")

    def set_count(self, service: str, count: int, last_take_at: float | None = None) -> None:
        """UpdateService. With a `last_take_at` it takes: not retried. Raises TimeoutError."""
        cluster, client = self.config.cluster_name, self.caller("ecs", last_take_at)
        client.update_service(cluster=cluster, service=service, desiredCount=count)

    def tasks(self, status: str) -> tuple[Task, ...]:
        """The services' tasks whose desiredStatus is `status`: RUNNING or STOPPED."""
        ecs, cluster = self.client("ecs"), self.config.cluster_name
        found: list[Task] = []
        for name in self.config.service_names:
            ask: dict[str, Any] = {"cluster": cluster, "serviceName": name, "desiredStatus": status}
            while True:  # a hundred at a time, which is what DescribeTasks takes
                listed = ecs.list_tasks(**ask)
                if listed["taskArns"]:
                    described = ecs.describe_tasks(cluster=cluster, tasks=listed["taskArns"])
                    found += described["tasks"]
                if not listed.get("nextToken"):
                    break
                ask["nextToken"] = listed["nextToken"]
        return tuple(task for task in found if task["desiredStatus"] == status)

    def protected(self, tasks: tuple[Task, ...]) -> bool:
        """Whether a task has scale-in protection, the app's own way to say that it is busy."""
        arns = [task["taskArn"] for task in tasks]
        ask, cluster = self.client("ecs").get_task_protection, self.config.cluster_name
        answers = [ask(cluster=cluster, tasks=arns[n : n + 100]) for n in range(0, len(arns), 100)]
        return any(t["protectionEnabled"] for each in answers for t in each["protectedTasks"])

    def healthy(self) -> set[str] | None:
        """What the healthy targets of the wired groups are known by; None where a group is gone."""
        ask, groups = self.client("elbv2").describe_target_health, self.config.target_group_arns
        try:
            described = [ask(TargetGroupArn=arn)["TargetHealthDescriptions"] for arn in groups]
        except ClientError as error:
            if error.response["Error"]["Code"] == "TargetGroupNotFound":
                return None
            raise
        targets = [target for found in described for target in found]
        return {
            known_by(target["Target"])
            for target in targets
            if target["TargetHealth"]["State"] == "healthy"
        }

    def targets(self, tasks: tuple[Task, ...]) -> tuple[tuple[Task, ...] | None, bool]:
        """The live ones of `tasks`, which are meant to run, and whether a stranger is healthy.

        Live is a task that is healthy in a target group; None where a group is gone. A healthy
        target that is no task of ours, neither of `tasks` nor on its way out, is a stranger: with
        one, and nothing else, each of `tasks` that runs is live. It is no stranger while a task
        that runs cannot be told by its targets at all.
        """
        healthy = self.healthy()
        if healthy is None:
            return None, False
        live = tuple(task for task in tasks if reached_by(task) & healthy)
        unknown = healthy.difference(*map(reached_by, tasks))
        running = tuple(task for task in tasks if task["lastStatus"] == "RUNNING")
        if unknown:  # mostly tasks that are on their way out; an address or port may be used again
            ends = [task for task in self.tasks("STOPPED") if self.ends(task)]
            unknown = unknown.difference(*map(reached_by, ends))
        if unknown and not live:
            live = running
        return live, bool(unknown) and all(map(reached_by, running))

    def ends(self, task: Task) -> bool:
        """Whether a task that is not meant to run is on its way out, or has just gone."""
        gone = self.now() - task["stoppedAt"].timestamp() if "stoppedAt" in task else 0.0
        return gone < OUT_SECONDS

    def rules(self) -> tuple[Rule, dict[str, ListenerRule]]:
        """Where the wake rule stands, and the listener's rules by ARN; {} on the alarm path."""
        config = self.config
        if not config.wake_rule_arn:
            return Rule.NONE, {}
        listener = config.service_rule_arn.replace("-rule/", "/", 1).rpartition("/")[0]
        found = self.client("elbv2").get_paginator("describe_rules").paginate(ListenerArn=listener)
        listed = [rule for page in found for rule in page["Rules"] if rule["Priority"] != "default"]
        rules = {rule["RuleArn"]: {**rule, "Priority": int(rule["Priority"])} for rule in listed}
        if not rules.keys() >= {config.wake_rule_arn, config.service_rule_arn}:
            return Rule.MISSING, rules
        wake, service = rules[config.wake_rule_arn], rules[config.service_rule_arn]
        return Rule.UP if wake["Priority"] < service["Priority"] else Rule.DOWN, rules

    def move_rule(self, to: Rule, last_take_at: float) -> bool:
        """Put the wake rule up (gives) or down (takes); False if it need not be moved."""
        stands, rules = self.rules()
        if stands is Rule.MISSING:
            raise RuleStuckError(RULE_MISSING)
        if stands in (to, Rule.NONE):
            return False
        return self.put_rule(rules, to, last_take_at if to is Rule.DOWN else None)

    def put_rule(
        self, rules: dict[str, ListenerRule], to: Rule, last_take_at: float | None = None
    ) -> bool:
        """SetRulePriorities, of the wake rule alone; False if it has its number already."""
        wake, numbers = self.config.wake_rule_arn, {a: r["Priority"] for a, r in rules.items()}
        number = free_priority(numbers, to, self.config)
        if number == numbers[wake]:
            return False
        moved = [{"RuleArn": wake, "Priority": number}]
        self.caller("elbv2", last_take_at).set_rule_priorities(RulePriorities=moved)
        return True

    def alarm(self, arn: str) -> tuple[str, float]:
        """OK, ALARM, INSUFFICIENT_DATA, or MISSING, and since when (epoch seconds)."""
        names = [arn.rpartition(":")[2]]
        alarms = self.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        if not alarms:
            return "MISSING", 0.0
        # the API promises neither, and without it only a notice comes earlier
        since = alarms[0].get("StateTransitionedTimestamp")
        return str(alarms[0]["StateValue"]), since.timestamp() if since else 0.0


@dataclass(frozen=True)
class Request:
    """An HTTP request as the load balancer hands it over; header names are in lower case."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    target_group_arn: str = ""

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Request:
        """Read an ALB event with multi-value headers on. Raises RefusedError where it is none."""
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
        try:
            queries = event.get("multiValueQueryStringParameters") or {}
            query = "&".join(f"{name}={value}" for name in queries for value in queries[name])
            multi, text = event.get("multiValueHeaders") or {}, event.get("body") or ""
            headers = {name.lower(): ", ".join(values) for name, values in multi.items()}
            encoded = event.get("isBase64Encoded")
            body = base64.b64decode(text) if encoded else text.encode(errors="replace")
            method, path = event["httpMethod"], event["path"]
            group = event["requestContext"]["elb"]["targetGroupArn"]
            "".join([method, path, query]).encode()  # what is no text, or has no place in a URL
            "".join([group, *headers.values()])
        except (AttributeError, LookupError, TypeError, ValueError):
            raise RefusedError("not in the form of a load balancer's request") from None
        return cls(method, path, query, headers, body, group)

    @property
    def location(self) -> str:
        """A reference to the URL of this request, which cannot lead a client off the site.

        It is path-absolute, because some clients follow nothing else (docs/waiting.md). With the
        header X-Forwarded-Prefix a proxy says that the client asked for another path: then it is
        relative to that URL, which the client alone knows (RFC 3986, section 5).
        """
        safe = "/%:@!$&'()*+,;=~-._?"
        query = "?" + quote(self.query, safe) if self.query else ""
        if self.headers.get("x-forwarded-prefix", "").strip("/, "):
            segment = quote(self.path.rpartition("/")[2], safe)
            # without "./" a colon would end a scheme; with it, curl takes "./?" for no folder
            return query if query and not segment else f"./{segment}{query}"
        path = "/." + self.path if self.path.startswith("//") else "/" + self.path.lstrip("/")
        return quote(path, safe) + query

    @property
    def client_address(self) -> str:
        """Who speaks to the load balancer, which adds it to what was sent; "" where it did not."""
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
        last = self.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if last.startswith("["):  # [IPv6]:port
            return last[1:].partition("]")[0]
        return last.partition(":")[0] if last.count(":") == 1 else last  # IPv4:port

    @property
    def client_kind(self) -> ClientKind:
        return client_kind(self.method, self.path, self.headers)

    def preflight(self) -> dict[str, Any]:
        """The answer to a CORS preflight: whatever was asked for may be sent."""
        method = self.headers["access-control-request-method"]
        allow = self.headers.get("access-control-request-headers", "*")
        named = {"Access_Control_Allow_Methods": method, "Access_Control_Allow_Headers": allow}
        return self.answer(204, "", **named)

    def answer(self, status: int, body: object, **headers: str) -> dict[str, Any]:
        """An ALB response: text as HTML, anything else as JSON; never stored, no body for HEAD.

        A 307 without Cache-Control may not be stored by anybody; with no-store CloudFront stores it
        for its minimum TTL, in which a browser goes round until it gives up. A header carries back
        printable ASCII alone of what the client sent.
        """
        kind = "text/html; charset=utf-8" if isinstance(body, str) else "application/json"
        # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-3xx-status-codes.html
        stored = {} if status == HTTPStatus.TEMPORARY_REDIRECT else {"Cache-Control": "no-store"}
        named = {"Content-Type": kind, **stored}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = body if isinstance(body, str) else json.dumps(body)
        line, empty = f"{status} {HTTPStatus(status).phrase}", self.method == "HEAD"
        sent = {"statusCode": status, "statusDescription": line, "isBase64Encoded": False}
        multi = {n: ["".join(c for c in v if " " <= c <= "~")] for n, v in named.items()}
        return {**sent, "multiValueHeaders": multi, "body": "" if empty else text}

    def problem(
        self, status: int, detail: str, facts: Mapping[str, Any] | None = None, **headers: str
    ) -> dict[str, Any]:
        """The same for what went wrong: a problem document, `facts` its further members."""
        # https://www.rfc-editor.org/rfc/rfc9457
        phrase, headers["Content_Type"] = HTTPStatus(status).phrase, "application/problem+json"
        told = {"type": "about:blank", "title": phrase, "status": status, "detail": detail}
        return self.answer(status, told | {**(facts or {})}, **headers)


class ClientKind(StrEnum):
    """What a client can use while it waits."""

    PAGE = "page"  # a person looks at it
    API_CALL = "api call"  # it can be held and sent on
    SUBRESOURCE = "subresource"  # of a page: neither HTML nor waiting is of use to it
    PREFLIGHT = "preflight"
    GRPC = "grpc"  # of a 503 it makes UNAVAILABLE, which may be tried again; of a 307 UNKNOWN


# How browsers begin their names, with a script's marks and a part's names: of what comes without
# Sec-Fetch headers, as by plain HTTP and from old browsers everything does.
BROWSERS = ("Mozilla/", "Opera/", "Lynx/", "w3m/", "Dillo/")
SCRIPTED = {"hx-request", "turbo-frame", "x-turbo-request-id", "x-pjax", "x-up-version"}
PART_TYPES = ("image/", "text/css", "font/", "audio/", "video/")
PART_NAMES = re.compile(r"\.(m?js|css|map|woff2?|[to]tf|mp[34]|web[mp]|wasm|webmanifest)$")


def client_kind(method: str, path: str, headers: Mapping[str, str]) -> ClientKind:
    """What this client can use while it waits. Pure; header names are in lower case."""
    # https://developer.mozilla.org/docs/Glossary/Fetch_metadata_request_header
    mode, dest = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    if method == "OPTIONS" and "access-control-request-method" in headers:
        return ClientKind.PREFLIGHT
    if re.match(r"application/grpc(\+|;|$)", headers.get("content-type", "")):
        # https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
        return ClientKind.GRPC
    if mode is None:
        navigates, part = without_fetch_metadata(path, headers)
    else:
        # a download navigates too, to nowhere: the page would be saved as the file
        navigates, part = mode == "navigate" and dest != "empty", dest not in (None, "empty")
    reads = method in ("GET", "HEAD")
    if navigates:
        return ClientKind.PAGE if reads else ClientKind.API_CALL
    return ClientKind.SUBRESOURCE if part and (reads or mode) else ClientKind.API_CALL


def without_fetch_metadata(path: str, headers: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether a request without Sec-Fetch headers is a navigation, and whether it is a part."""
    accept, ajax = headers.get("accept", ""), headers.get("x-requested-with", "").lower()
    scripted = ajax == "xmlhttprequest" or not SCRIPTED.isdisjoint(headers)
    browser = headers.get("user-agent", "").startswith(BROWSERS) and not scripted
    # programs and scripts ask for text/html too, of these two only browsers do
    navigates = browser and "text/html" in accept and "application/xhtml+xml" in accept
    named = browser and PART_NAMES.search(path.lower())
    return navigates, not navigates and bool(accept.startswith(PART_TYPES) or named)


def browser_initiated(headers: Mapping[str, str]) -> str | None:
    """What a browser sends of its own accord, with nobody asking for it yet or any more."""
    # https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Purpose
    purposes = [headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz", "x-purpose")]
    if any(word in purpose for purpose in purposes for word in ("prefetch", "preview")):
        return "speculation"
    kinds = ("application/reports+json", "application/csp-report", "text/ping")
    reports = headers.get("content-type", "").startswith(kinds)
    return "reports" if reports or headers.get("sec-fetch-dest") == "report" else None


def cors(headers: Mapping[str, str], allowed: Iterable[str]) -> dict[str, list[str]]:
    """The headers by which a page of another origin may read an answer; {} for any other."""
    # https://developer.mozilla.org/docs/Web/HTTP/Guides/CORS
    origin, allowed = headers.get("origin"), set(allowed)
    if (
        origin is None
        or not {origin, "*"} & allowed
        or not (origin.isascii() and origin.isprintable())
    ):
        return {}
    readable = "Retry-After, X-Warmkeeper-Phase, X-Warmkeeper-Cold-Start-Seconds"
    named = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": readable}
    if origin in allowed:
        named["Access-Control-Allow-Credentials"] = "true"
    return {name: [value] for name, value in named.items()}


def matching_ignore_rule(
    request: Request, rules: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The rule of the wake policy by which a request wakes nothing; None if it may wake.

    A rule matches as a listener's does: by each of its kinds, of which any value will do. The first
    that matches decides.
    """
    agent = request.headers.get("user-agent", "").lower()
    paths = [request.path.lower(), unquote(request.path).lower()]  # scanners encode theirs
    for rule in rules:
        globs = [glob.lower().replace("[", "[[]") for glob in rule["paths"]]
        by_kind = (
            (rule["methods"], lambda method: method == request.method),
            (globs, lambda glob: any(fnmatchcase(path, glob) for path in paths)),
            (rule["user_agents"], lambda part: part.lower() in agent),
            (rule["source_ranges"], lambda cidr: comes_from(request.client_address, cidr)),
        )
        if all(not values or any(map(matches, values)) for values, matches in by_kind):
            return None if rule["answer"] == "wake" else rule
    return None


def comes_from(address: str, cidr: str) -> bool:
    """Whether an address is within a range; what is no address is within none."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# --- the page ----------------------------------------------------------------------------------
@cache
def packaged(name: str) -> str:
    """The text of a file beside this one, read once by a container."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
MOST_SUBTAGS = 8  # RFC 5646 gives 35 characters to the longest tag that anybody needs
COLOURS = {  # unless the settings have others, which Terraform checks
    "accent": "#b4551d",
    "on_accent": "#ffffff",
    "accent_dark": "#f0965a",
    "on_accent_dark": "#000000",
}


def language(accepted: str, offered: Iterable[str]) -> str:
    """The offered language that an Accept-Language header likes best; "en" if it likes none."""
    # https://www.rfc-editor.org/rfc/rfc9110#name-accept-language, lookup as in RFC 4647
    named = {tag.lower(): tag for tag in offered}
    wishes: list[tuple[float, str]] = []
    for wish in accepted.lower().split(","):
        tag, _, weight = (part.strip() for part in wish.partition(";"))
        liked = re.fullmatch(r"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", weight or "q=1")
        wishes.append((float(liked[1]) if liked else 0.0, tag))
    refused = {tag for liking, tag in wishes if liking == 0}
    for liking, tag in sorted(wishes, key=lambda wish: -wish[0]):
        # of a tag as long as a header may be, all beginnings together would be megabytes
        parts = tag.split("-")[:MOST_SUBTAGS] if liking else []
        shorter = ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
        closer = [name for name in named if parts and name.startswith(tag + "-")]
        found = ["en"] if shorter == ["*"] else [*shorter, *closer]
        for name in found:
            if name in named and name not in refused:
                return named[name]
    return "en"


def phase_line(status: Mapping[str, Any], words: Mapping[str, str], *, confirm: bool) -> str:
    """What the page says until its script runs: the phase, and what the reader can do about it."""
    if status["phase"] in UP_PHASES:
        return words["ready"]
    if status["phase"] != Phase.ASLEEP:
        return words["after_none"]
    if not status["failed"]:
        said = [words["asleep"]]
    else:
        said = [words["failed"], words.get(status["failed"], words["not-ready"])]
    if status["given_up"]:
        said.append(words["given_up"])
    if status["given_up"] or confirm:
        said.append(words["needs_script"])
    return " ".join(said)


def in_script(value: object) -> str:
    """A value as JSON that may stand in a script element: nothing in it can end the element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def render(
    page: Mapping[str, Any],
    status: Mapping[str, Any],
    *,
    accept_language: str,
    confirm: bool,
    location: str,
    refresh_seconds: str,
    **values: str,
) -> str:
    """page.html of the package, or the settings' own `html`, with every {{name}} filled in.

    `page` is the settings' part of that name, {} where they cannot be read. Its `texts` are whole
    languages: Terraform has merged them over the package's. `status` is what the status path
    answers, `location` the URL to load again, `values` further names. All is escaped for HTML but
    `texts` and `status`, JSON for a script, and `logo` and `look_again`, which are HTML. A name
    that is not known stays as it is.
    """
    texts = {**json.loads(packaged("texts.json")), **page.get("texts", {})}
    lang = language(accept_language, texts)
    # an apply changes the settings before the program: English for a key that is not there yet
    words = {**texts["en"], **texts[lang]}
    plain = {
        **words,
        **COLOURS,
        **page.get("colours", {}),
        **values,
        "lang": lang,
        "dir": "rtl" if lang.partition("-")[0].lower() in RIGHT_TO_LEFT else "ltr",
        "title": page.get("title") or status["name"],
        "words": phase_line(status, words, confirm=confirm),
        "confirm": "true" if confirm else "false",
        "refresh_seconds": refresh_seconds,
    }
    # without a URL, Chromium only jumps to the fragment of its own and loads nothing
    again = html.escape(f"{refresh_seconds};url={location}")
    logo = html.escape(page.get("logo_data_uri") or "")
    sent = {
        **{name: html.escape(text) for name, text in plain.items()},
        "look_again": f'<noscript><meta http-equiv="refresh" content="{again}"></noscript>',
        "logo": f'<img src="{logo}" alt="">' if logo else "",
        "texts": in_script(words),
        "status": in_script(status),
    }
    source = page.get("html") or packaged("page.html")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: sent.get(found[1], found[0]), source)


def parse_command(event: Mapping[str, Any], now: float) -> Signal:
    """A direct invoke: {"command": ..., "minutes": ...}, or Terraform's with its "tf" key."""
    command, minutes = event["command"], event.get("minutes", 60)
    actions = {"create": Kind.ADOPT, "update": Kind.RECONCILE, "delete": Kind.RESTORE}
    match event:
        case {"command": "terraform", "tf": {"action": str(action)}} if action in actions:
            return Signal(actions[action])
    if command not in COMMANDS:
        allowed = f"{', '.join(COMMANDS)}; or terraform with tf.action {', '.join(actions)}"
        raise RefusedError(f"the command is not one of {allowed}")
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes < 1e6:
        raise RefusedError("minutes must be a number above 0 and below 1000000")
    return Signal(Kind(command), pinned_until=now + minutes * 60 if command == Kind.PIN else 0.0)


@dataclass(frozen=True)
class Beat:
    """What a heartbeat tells: requests under way now, and begun since the last beat; for how long
    nobody has been there, where the sender knows."""

    in_flight: int = 0
    requests: int = 0
    idle_seconds: float | None = None


def parse_beat(body: bytes) -> Beat:
    """The body of a heartbeat, none of it told is none of it so. Raises RefusedError."""
    told, names = from_json(body or b"{}"), [item.name for item in fields(Beat)]
    if not isinstance(told, dict):
        raise RefusedError('the body must be JSON like {"in_flight": 1, "requests": 0}')
    if told and not told.keys() & set(names):
        raise RefusedError(f"the body must have one of {', '.join(names)}")
    for name in ("in_flight", "requests"):
        count = told.get(name, 0)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise RefusedError(f"{name} must be a whole number, 0 or more")
    idle = told.get("idle_seconds", 0)
    number = isinstance(idle, int | float) and not isinstance(idle, bool)
    if not number or not 0 <= idle <= LONGEST_IDLE_SECONDS:
        raise RefusedError(f"idle_seconds must be a number from 0 to {LONGEST_IDLE_SECONDS:.0f}")
    return Beat(**fields_only(Beat, told))


def activity(beat: Beat, now: float, idle_minutes: int) -> float | None:
    """When somebody was last there, as an epoch second; None: not within `idle_minutes`.

    A request under way is somebody who is there now. Requests that came and went were there
    `idle_seconds` ago; where that is not told, now. Without either `idle_seconds` speaks alone.
    """
    if beat.in_flight:
        return now
    if beat.idle_seconds is None:
        return now if beat.requests else None
    return now - beat.idle_seconds if beat.idle_seconds <= idle_minutes * 60 else None


def parse_signal(event: Any, config: Config, now: float) -> Signal:
    """Everything but HTTP. Raises RefusedError for what is not understood: nothing is guessed."""
    alarms = {config.idle_alarm_arn: Kind.IDLE_ALARM, config.wake_alarm_arn: Kind.WAKE_ALARM}
    alarms.pop("", None)  # without a wake alarm
    match event:
        case {"command": _}:
            return parse_command(event, now)
        case {"alarmArn": str(arn), "alarmData": {"state": {"value": "ALARM"}}} if arn in alarms:
            return Signal(alarms[arn])
        case {"Records": [{"Sns": {"Message": str(message)}}]}:
            match from_json(message):
                case {"AlarmArn": str(arn), "NewStateValue": "ALARM"} if arn in alarms:
                    return Signal(alarms[arn])
        case {"source": "aws.events", "detail-type": "Scheduled Event"}:
            return Signal(Kind.TICK)
        case {"source": "aws.ecs", "detail": dict(detail), "resources": list(resources)}:
            # the event of a task names its cluster and, as its group, its service
            cluster, names = config.cluster_name, config.service_names
            own_cluster = str(detail.get("clusterArn")).endswith(f":cluster/{cluster}")
            grouped = own_cluster and detail.get("group") in [f"service:{name}" for name in names]
            services = tuple(f":service/{cluster}/{name}" for name in names)
            if grouped or any(str(arn).endswith(services) for arn in resources):
                return Signal(Kind.ECS_EVENT, active=detail.get("lastStatus") == "RUNNING")
    raise RefusedError("not a command, nor a tick, an alarm or an ECS event of ours")


def sns_messages(text: str, remedy: str, facts: Mapping[str, str]) -> dict[str, str]:
    """A notice as SNS wants it with MessageStructure "json": one wording for each protocol.

    `https` is a custom notification of Amazon Q Developer in chat applications (AWS Chatbot).
    """
    # https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    title = f"{facts['name']}: {text}".splitlines()[0]
    where = f"docs/operating.md, section Notices, row {facts['kind']}"
    content = {"textType": "client-markdown", "title": title[:250], "description": text}
    content |= {"nextSteps": [remedy, f"Runbook: {where}"]}  # type: ignore[dict-item]
    about = {"threadId": facts["name"], "eventType": facts["kind"], "summary": title[:250]}
    chat = {"version": "1.0", "source": "custom", "content": content}
    chat |= {"metadata": {**about, "additionalContext": dict(facts)}}
    mail = f"{text}\n\nWhat to do: {remedy}\nRunbook: {where}\n"
    return {"default": text, "email": mail, "https": json.dumps(chat)}


def log(**entry: Any) -> None:
    """One JSON line. Never a payload, a query or a secret; of headers the user agent at most."""
    print(json.dumps(entry, default=str), flush=True)


class Warmkeeper:
    """Hears an event, looks at AWS, decides, writes, does what was decided, tells and answers."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.config = aws, aws.config
        self._error_notified_at = 0.0  # by this container

    def metrics(self, **values: float) -> None:
        """Metrics in a log line (embedded metric format): no call while somebody waits."""
        units = [{"Name": name, "Unit": UNITS[name]} for name in values]
        space = self.config.metric_namespace
        described = [{"Namespace": space, "Dimensions": [["Name"]], "Metrics": units}]
        stamped = {"Timestamp": int(self.aws.now() * 1000), "CloudWatchMetrics": described}
        log(_aws=stamped, Name=self.config.name, **values)

    def publish(self, notice: Notice, phase: str, *, in_haste: bool = False) -> bool:
        """A notice for people and their tools; False if it could not be sent, which is logged.

        `in_haste`, somebody waits, and it is tried once and for a moment.
        """
        severity, usual = NOTICES[notice.kind]
        remedy = notice.remedy or usual
        if severity == "info" and not self.config.transition_notices:
            return True
        title = f"{self.config.name}: {notice.text}".splitlines()[0]
        subject = "".join(c if " " <= c <= "~" else "?" for c in title)[:99]  # what SNS takes
        facts = {"name": self.config.name, "kind": notice.kind, "phase": phase}
        facts |= {"severity": severity}
        message = {"TopicArn": self.config.topic_arn, "Subject": subject}
        message |= {
            "Message": json.dumps(sns_messages(notice.text[:NOTICE_CHARACTERS], remedy, facts))
        }
        kinds = {k: {"DataType": "String", "StringValue": value} for k, value in facts.items()}
        try:
            topic = self.aws.client("sns", taking=in_haste)
            topic.publish(**message, MessageStructure="json", MessageAttributes=kinds)
        except ERRORS as error:
            failed = {"notice": notice.text, "error": str(error)}
            log(level="ERROR", message="the notice was not sent", **failed)
            return False
        return True

    def notify_error(self, what: str) -> None:
        """An error that a client was spared. Once an hour and container: the memory may be what
        fails, and so cannot say whether somebody was told already.
        """
        now = self.aws.now()
        if now - self._error_notified_at >= ERROR_NOTICE_SECONDS:
            self._error_notified_at = now
            self.publish(problem_notice(HANDLED, what), "unknown", in_haste=True)

    def observe(self, memory: Memory, signal: Signal) -> Observation:
        """As much of AWS as this signal needs in this phase, and no more."""
        aws, began = self.aws, self.aws.now()
        services = aws.services()
        missing = set(self.config.service_names) - {s["serviceName"] for s in services}
        seen = Observation(memory, services, tuple(sorted(missing)), began=began)
        # a request came by the wake rule, so that it is up and stands before nothing that serves
        came = signal.kind in (Kind.REQUEST, Kind.WAKE_ALARM)
        if missing or (came and memory.phase is Phase.ASLEEP and not seen.desired):
            return seen
        seen = self.observe_closely(seen)
        scale_down_failed = memory.scale_down_failed and seen.desired > 0
        if signal.kind in SLEEPING_KINDS and (memory.phase in UP_PHASES or scale_down_failed):
            state, since = aws.alarm(self.config.idle_alarm_arn)
            lost = seen.wiring_fault or (NO_ALARM if state == "MISSING" else "")
            protected, idle = aws.protected(seen.tasks), state == "ALARM"
            return replace(
                seen, idle=idle, idle_since=since, wiring_fault=lost, protected=protected
            )
        wake_alarm, asleep = self.config.wake_alarm_arn, memory.phase is Phase.ASLEEP
        if wake_alarm and asleep and signal.kind is Kind.TICK:
            return replace(seen, wake_alarm_firing=aws.alarm(wake_alarm)[0] == "ALARM")
        late = aws.now() - self.config.wake_deadline_seconds
        if memory.wake and not seen.live and memory.wake.began < late:
            return replace(seen, stopped_reason=self.why_not(seen))
        return seen

    def observe_closely(self, seen: Observation) -> Observation:
        """With rules, tasks and targets. Without the right target group a task that runs is live:
        it is the service rule that serves it, and nobody must be kept from it."""
        aws, tasks = self.aws, self.aws.tasks("RUNNING")
        stands, rules = aws.rules()
        live, strangers = aws.targets(tasks)
        wired = set(self.config.target_group_arns)
        settled = stands in (Rule.UP, Rule.DOWN)
        astray = settled and not wired & forwards_to(rules[self.config.service_rule_arn])
        shadows_other_rules = stands is Rule.UP and hides_others(rules, self.config)
        wiring = self.wiring(seen.services, rules, strangers=strangers)
        seen = replace(seen, rule=stands, tasks=tasks, shadows_other_rules=shadows_other_rules)
        seen = replace(seen, strangers=strangers, wiring=wiring)
        if astray or live is None:
            running = tuple(task for task in tasks if task["lastStatus"] == "RUNNING")
            return replace(seen, live=running, wiring_fault=TARGET_GROUP_DETACHED)
        return replace(seen, live=live)

    def wiring(
        self, services: Iterable[Service], rules: Mapping[str, ListenerRule], *, strangers: bool
    ) -> dict[str, str]:
        """What of LASTING is so now, each with its particulars."""
        config, wired = self.config, self.config.target_group_arns
        unseen = [each for service in services for each in unseen_traffic(service, wired)]
        own = {config.wake_rule_arn, config.service_rule_arn, *config.own_rule_arns}
        foreign = {arn: rule for arn, rule in rules.items() if arn not in own}
        others = [a for a, rule in foreign.items() if forwards_to(rule) & set(wired)]
        covered = [
            f"{arn} (number {rule['Priority']})"
            for arn, rule in foreign.items()
            for control in (rules[a] for a in config.own_rule_arns if a in rules)
            if forwards_to(control) == {config.control_target_group_arn}
            and rule["Priority"] < control["Priority"]
            and covers(rule, control)
        ]
        found = {COVERED: ", ".join(dict.fromkeys(covered))}
        if config.unseen_traffic == "stay_awake":
            found[UNSEEN] = ", ".join(unseen)
            found[STRANGERS] = f"in {', '.join(wired)}" if strangers else ""
            found[OTHER_RULES] = ", ".join(others)
        return {what: particulars for what, particulars in found.items() if particulars}

    def why_not(self, seen: Observation) -> str:
        """ECS's reason why nothing has started in this phase; "" where it says nothing.

        A reason that has a class comes first, be it a task's or an event's; a summary comes last.
        """
        services, memory = seen.services, seen.memory
        tasks = [task for task in self.aws.tasks("STOPPED") if "stoppedAt" in task]
        lately = [task for task in tasks if task["stoppedAt"].timestamp() >= memory.since]
        # what was put to sleep may drain for minutes, into the next wake
        stopped = [t for t in lately if not t.get("stoppedReason", "").startswith(SCALED_IN)]
        events = [event for service in services for event in service.get("events", ())]
        said = [e["message"] for e in events if e["createdAt"].timestamp() >= memory.since]
        failed = [text for text in said if not vagueness(text) or FAILING.search(text)]
        told = min([*why_stopped(stopped), *failed], key=vagueness, default="")
        if told and vagueness(told) < 2:
            return told
        # ECS does not repeat an event for six hours: what it said of the last wake still stands
        stands = (
            not seen.tasks and memory.failures and not memory.redeployed_since_failure(services)
        )
        kept = memory.failure if stands and memory.failure not in NOT_STARTED.values() else ""
        return kept or told

    def apply(self, decision: Decision, last_take_at: float) -> tuple[list[str], bool]:
        """Do what was decided, gifts first. Raises RuleStuckError.

        Returns what was done, and whether a call that takes is known to have failed.
        """
        done: list[str] = []
        for service, count in decision.scale_up:
            self.aws.set_count(service, count)
            done.append(f"{service}: count {count}")
        if decision.rule is Rule.UP and self.aws.move_rule(Rule.UP, last_take_at):
            done.append("rule up")
        try:
            for service in decision.scale_to_zero:
                self.aws.set_count(service, 0, last_take_at)
                done.append(f"{service}: count 0")
            if decision.rule is Rule.DOWN and self.aws.move_rule(Rule.DOWN, last_take_at):
                done.append("rule down")
        except ERRORS as error:  # the next look repeats it, newly stamped
            log(level="ERROR", message="not taken", error=str(error))
            return done, True
        return done, False

    def claim(self, memory: Memory) -> Memory | None:
        """Of all who wait, one looks every POLL_SECONDS: the memory if it is us, else None."""
        wake, now = memory.wake, self.aws.now()
        if wake is None or now - wake.polled_at < POLL_SECONDS:
            return None
        return self.aws.write_memory(replace(memory, wake=replace(wake, polled_at=now)))

    def reconcile(self, signal: Signal) -> Observation:
        """Look, decide, write, do; again where somebody else wrote first. Raises after ten."""
        aws, polls = self.aws, signal.kind is Kind.POLL
        for attempt in range(10):
            aws.sleep(attempt * 0.001 * secrets.randbelow(100))
            started = aws.now()
            try:
                before = aws.read_memory()
            except TableGoneError as error:
                return self.reconcile_without_table(signal, error)
            joins = signal.kind is Kind.REQUEST and before.phase is Phase.WAKING
            claimed = self.claim(before) if polls or joins else before
            if claimed is None or is_no_news(signal, before, started):
                return Observation(before, (), reason="nothing to look for")
            seen = self.observe(claimed, signal)
            decision = decide(seen, signal, self.config, aws.now())
            after = aws.write_memory(decision.memory) if decision.memory else claimed
            if after is None:
                continue
            stuck, failed = "", False
            try:
                done, failed = self.apply(decision, after.last_take_at)
            except RuleStuckError as error:
                stuck = str(error)
                done = [stuck]
            if "rule down" in done:
                seen = replace(seen, rule=Rule.DOWN, shadows_other_rules=False, down=aws.now())
            if failed and decision.scale_to_zero:
                after = aws.write_memory(replace(after, scale_down_failed=True)) or after
            if done or decision.memory or not polls:
                took = round((aws.now() - started) * 1000)
                phases = {"before": before.phase, "after": after.phase, "reason": decision.reason}
                log(level="INFO", signal=signal.kind, **phases, actions=done, milliseconds=took)
            if decision.wake:
                self.log_wake(decision.wake, seen.down)
            if decision.metrics:
                self.metrics(**decision.metrics)
            if decision.notice:
                waits, kind = (
                    signal.kind in (Kind.REQUEST, Kind.POLL, Kind.BEAT),
                    decision.notice.kind,
                )
                sent = self.publish(decision.notice, after.phase, in_haste=waits)
                if not sent and kind in after.notified_at:  # the next look tells it again
                    told = {k: at for k, at in after.notified_at.items() if k != kind}
                    after = aws.write_memory(replace(after, notified_at=told)) or after
            if stuck:
                after = self.notify_problem(after, stuck)
            if not decision.requeue:
                return replace(seen, memory=after, reason=decision.reason)
        raise RuntimeError("somebody else wrote the memory first, ten times in a row")

    def notify_problem(self, memory: Memory, what: str) -> Memory:
        """Tell of a trouble, once: it is remembered first. Returns the memory as it then is."""
        told = notify_once(memory, what)
        written = self.aws.write_memory(told.memory) if told.memory else None
        if written and told.notice:
            self.publish(told.notice, memory.phase)
        return written or memory

    def log_wake(self, record: Mapping[str, Any], down: float) -> None:
        """One line for a wake: its cause, how long it took stage by stage, and what it ended."""
        times = record["times"] | ({"down": down} if down else {})
        told = {name: value for name, value in record.items() if name != "times"}
        log(level="INFO", wake=told | {"stages": stages(times)})

    def remember(self, seen: Observation, sent: float = 0.0) -> None:
        """Add to the record of a wake that is just over when the rule went down, where it was by
        us, and when the first who had waited was `sent` on. Nothing depends on it.
        """
        more, memory = {"down": seen.down, "sent": sent}, seen.memory
        try:
            for _ in range(2):  # once more where somebody else wrote first
                added = memory.with_times(self.aws.now(), more)
                if added is None or self.aws.write_memory(added):
                    return
                memory = self.aws.read_memory()
        except (*ERRORS, TableGoneError) as error:
            log(level="WARNING", message="the wake's record is not whole", error=str(error))

    def make_room(self, memory: Memory) -> None:
        """Somebody put a rule between the wake rule, up, and the service rule, or moved ours.

        Where there is no place, a service that sleeps is woken by the next tick.
        """
        stands, rules = self.aws.rules()
        try:
            if stands is Rule.UP and self.aws.put_rule(rules, Rule.UP):
                log(level="INFO", message="the wake rule made room for others")
        except RuleStuckError as error:
            self.notify_problem(memory, str(error))

    def reconcile_without_table(self, signal: Signal, error: TableGoneError) -> Observation:
        """Where nothing can be remembered nothing can fall asleep: give, and let through."""
        now = self.aws.now()
        waking = Memory(0, Phase.WAKING, now, wake=Wake(now, signal.kind, now))
        seen = self.observe(waking, signal)
        log(level="ERROR", message="cannot remember", error=str(error), signal=signal.kind)
        if signal.kind in WAKING_KINDS and not seen.desired:
            for service in seen.services:
                self.aws.set_count(service["serviceName"], self.config.awake_count)
        self.metrics(HandledErrors=1)
        self.notify_error(str(error))
        if not (seen.desired and seen.live):
            return replace(seen, reason=str(error))
        if seen.rule is Rule.UP:
            self.aws.move_rule(Rule.DOWN, now)
        return replace(seen, memory=replace(waking, phase=Phase.AWAKE, wake=None, last_take_at=now))

    def wait(self, until: float, kind: Kind = Kind.POLL) -> Observation:
        """Look every POLL_SECONDS until the wake is over or `until` (epoch seconds) is reached."""
        while True:
            seen = self.reconcile(Signal(kind))
            phase, restored = seen.memory.phase, seen.live and seen.rule is not Rule.UP
            waits = phase is Phase.WAKING or (kind is Kind.RESTORE and not restored)
            if not waits or seen.missing or self.aws.now() >= until:
                return seen
            self.aws.sleep(POLL_SECONDS if seen.memory.adopted else BLIND_POLL_SECONDS)

    def status(self, seen: Observation) -> dict[str, Any]:
        """What anybody may know: phase, seconds in it, stage, estimate, the class of a failure."""
        memory, wake = seen.memory, seen.memory.wake
        awake, since = memory.phase is Phase.AWAKE, wake.began if wake else memory.since
        stage = wake.stage if wake else "healthy" if awake else None
        phase, seconds = memory.phase if memory.adopted else "unknown", self.aws.now() - since
        given_up = memory.backoff_seconds(seen.services, self.aws.now()) == math.inf
        failed = {"failed": failure_class(memory.failure), "given_up": given_up}
        told: dict[str, Any] = {"name": self.config.name, "phase": phase, "live": awake}
        told |= {"seconds": round(seconds, 1), "stage": stage}
        return told | {"estimate_seconds": memory.estimate(), **failed}

    def page(self, request: Request, seen: Observation, told: dict[str, str]) -> dict[str, Any]:
        """The waiting page, in the client's language, with the headers `told`."""
        config = self.config
        nonce = secrets.token_urlsafe(16)
        starts = seen.memory.phase is not Phase.ASLEEP
        page = render(
            self.aws.settings().get("page", {}),
            self.status(seen),
            accept_language=request.headers.get("accept-language", ""),
            confirm=config.wake_confirmation == "browser",
            location=request.location,
            refresh_seconds="5" if starts else told["Retry_After"],
            nonce=nonce,
            status_url=f"{config.control_path}/status",
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
        )
        told |= {"Content_Security_Policy": policy, "X_Robots_Tag": "noindex"}
        return request.answer(config.waiting_status_code, page, **told)

    def request(self, request: Request, arrived: float) -> dict[str, Any]:
        """A request for a service that is not awake, or just was not: wake it and wait well."""
        config, client = self.config, request.client_kind
        if nobody := browser_initiated(request.headers):
            return self.ignore(request, {"class": nobody, "answer": "unavailable"})
        if rule := matching_ignore_rule(request, self.aws.settings().get("wake_policy", ())):
            return self.ignore(request, rule)
        seen = self.reconcile(Signal(Kind.REQUEST, arrived=arrived))
        if seen.memory.phase is Phase.WAKING:
            self.metrics(WaitingAnswers=1)
        if client is ClientKind.PREFLIGHT:
            return request.preflight()
        waits, full = client is ClientKind.API_CALL and seen.memory.phase is Phase.WAKING, False
        if waits and not (full := not self.aws.may_hold()):
            seen = self.wait(arrived + config.hold_seconds)
        memory, wake, now = seen.memory, seen.memory.wake, self.aws.now()
        told = {"X_Warmkeeper_Phase": str(memory.phase)}
        stuck = seen.rule is Rule.UP and arrived - memory.since > STUCK_SECONDS
        there = not seen.missing  # of a service that is gone nobody waits for anything
        served = (
            there and memory.phase is Phase.AWAKE and not stuck and client is not ClientKind.GRPC
        )
        if served:
            # a 307 that comes back waits three times as long as the rule has been on its way
            pace = min(max(SETTLE_SECONDS, 3 * (arrived - memory.since)), SLOW_SETTLE_SECONDS)
            sent = max(memory.last_take_at, arrived) + pace
            self.remember(seen, sent)  # while it waits for the rule to settle
            self.aws.sleep(sent - self.aws.now())
            if memory.wakes and now - memory.wakes[-1]["times"]["live"] < FIRST_ANSWERS_SECONDS:
                told["X_Warmkeeper_Cold_Start_Seconds"] = f"{memory.wakes[-1]['seconds']:.1f}"
        patient = there and wake is not None and now - wake.began < MOST_HOPS * config.hold_seconds
        if served or (client is ClientKind.API_CALL and patient and not full):
            return request.answer(307, {"phase": memory.phase}, Location=request.location, **told)
        expected = memory.estimate() or config.cold_start_target_seconds
        back_off = min(max(5, memory.backoff_seconds(seen.services, now)), BACKOFF_SECONDS[-1])
        pause = max(1, wake.began + expected - now) if wake else back_off
        if full:
            pause += secrets.randbelow(config.hold_seconds)  # or the crowd comes back at once
        told["Retry_After"] = str(math.ceil(pause))
        if client is ClientKind.PAGE:
            return self.page(request, seen, told)
        detail = f"The service is {memory.phase}. Try again in {told['Retry_After']} s."
        if memory.phase is Phase.ASLEEP and config.wake_confirmation == "browser":
            detail = f"It is asleep. Open it in a browser, or POST {config.control_path}/wake."
        return request.problem(503, detail, self.status(seen), **told)

    def ignore(self, request: Request, rule: Mapping[str, Any]) -> dict[str, Any]:
        """The canned answer to a request that is to wake nothing."""
        agent = "".join(c for c in request.headers.get("user-agent", "") if " " <= c <= "~")[:120]
        named = {"ignored": rule["class"], "method": request.method, "user_agent": agent}
        log(level="INFO", **named, answer=rule["answer"])
        match rule["answer"]:
            case "asleep":
                try:
                    phase = str(self.aws.read_memory().phase)
                except TableGoneError:
                    phase = "unknown"
                return request.answer(200, {"state": phase}, X_Warmkeeper_Phase=phase)
            case "not-found":
                return request.problem(404, "There is no such path.")
        return request.problem(503, "It is asleep, and this does not wake it.", Retry_After="3600")

    def beat(self, request: Request) -> dict[str, Any]:
        """A heartbeat: it counts where it tells of somebody, else it does nothing; none wakes."""
        if self.config.heartbeat_token_parameter:
            given = request.headers.get("authorization", "").encode(errors="replace")
            if not hmac.compare_digest(given, f"Bearer {self.aws.token()}".encode()):
                kind = WrongTokenError if given.startswith(b"Bearer ") else RefusedError
                raise kind("send the token as 'Authorization: Bearer <token>'", 401)
        minutes = self.config.idle_minutes
        at = activity(parse_beat(request.body), self.aws.now(), minutes)
        counted = at is not None
        seen = self.reconcile(Signal(Kind.BEAT, active=counted, at=at or 0.0))
        if counted and seen.memory.phase is not Phase.ASLEEP:
            self.metrics(Beats=1)
        told = {"name": self.config.name, "phase": seen.memory.phase, "counted": counted}
        return request.answer(200, told | {"holds_seconds": minutes * 60})

    def control(self, request: Request, arrived: float) -> dict[str, Any]:
        """The control path: GET status, GET health, POST wake, POST heartbeat."""
        control, beats = self.config.control_path, self.config.heartbeat_path
        post = request.method == "POST"
        if request.client_kind is ClientKind.PREFLIGHT:
            return request.preflight()
        if post and beats and request.path in (beats, f"{control}/heartbeat"):
            return self.beat(request)
        if post and request.path == f"{control}/wake":
            return request.answer(
                202, self.status(self.reconcile(Signal(Kind.WAKE, arrived=arrived)))
            )
        if not post and request.path == f"{control}/status":
            seen = self.reconcile(Signal(Kind.POLL))
            if seen.memory.phase is Phase.AWAKE:
                self.remember(seen, self.aws.now())
            return request.answer(200, self.status(seen))
        if not post and request.path == f"{control}/health":
            return self.health(request)
        here = "Here are GET status, GET health, POST wake and POST heartbeat."
        return request.problem(404, here)

    def health(self, request: Request) -> dict[str, Any]:
        """For monitors: 200 also while it sleeps, which is no outage; 503 after a failed wake."""
        status = self.status(self.reconcile(Signal(Kind.POLL)))
        phase, failed = status["phase"], status["failed"]
        if phase == Phase.ASLEEP and failed:
            return request.problem(
                503, "The last wake failed.", {"state": "failed", "failed": failed}
            )
        states = {Phase.ASLEEP: "dormant", Phase.DROWSY: "awake"}
        state = states.get(phase, str(phase))
        return request.answer(200, {"name": self.config.name, "state": state})

    def serve(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an ALB event. Does not raise: the load balancer would make a 502 of it."""
        request, arrived = Request(), self.aws.now()
        try:
            request = Request.of(event)
            answer = self.routed(request, arrived)
        except RefusedError as error:
            self.refuse(error)
            answer = request.problem(error.status, str(error))
        except Exception as error:  # whatever it is: log and alarm tell, the client may come again
            # the message of an error may hold what was sent; of AWS's own it does not
            what = str(error) if isinstance(error, ERRORS) else type(error).__name__
            frames = "".join(traceback.format_tb(error.__traceback__))
            log(level="ERROR", message="unforeseen", error=what, trace=frames)
            self.metrics(HandledErrors=1)
            self.notify_error(what)
            answer = self.internal_error_answer(request)
        vary = {"Vary": ["Accept, Accept-Language, Origin, Sec-Fetch-Mode"]}
        answer["multiValueHeaders"] |= vary | cors(
            request.headers, self.config.cors_allowed_origins
        )
        return answer

    def internal_error_answer(self, request: Request) -> dict[str, Any]:
        """503 for an error of our own; to a browser by the page, which asks again by itself."""
        told, waking = {"Retry_After": "5"}, Memory(0, Phase.WAKING, self.aws.now())
        if request.client_kind is ClientKind.PAGE:
            with contextlib.suppress(Exception):  # it may be the page that fails
                return self.page(request, Observation(waking, ()), told)
        return request.problem(503, "Try again.", Retry_After="5")

    def routed(self, request: Request, arrived: float) -> dict[str, Any]:
        """The answer of the rule by which the request came. Raises RefusedError for any other."""
        if request.target_group_arn == self.config.wake_target_group_arn:
            return self.request(request, arrived)
        if request.target_group_arn == self.config.control_target_group_arn:
            return self.control(request, arrived)
        raise RefusedError("not from a target group of the warmkeeper", 403)

    def refuse(self, error: RefusedError) -> None:
        """Log and count what was refused; a wrong token, which comes again, is told once a day."""
        log(level="WARNING", message="refused", status=error.status, reason=str(error))
        try:
            memory, now, notice = (
                self.aws.read_memory(),
                self.aws.now(),
                problem_notice(BEATS_REFUSED),
            )
            if memory.phase is not Phase.ASLEEP:  # asleep no metric is written: it would cost
                self.metrics(Refused=1)
            told = isinstance(error, WrongTokenError) and memory.adopted
            if not told or now - memory.notified_at.get(notice.kind, 0.0) < NOTIFY_AGAIN_SECONDS:
                return
            if self.aws.write_memory(
                replace(memory, notified_at={**memory.notified_at, notice.kind: now})
            ):
                self.publish(notice, memory.phase, in_haste=True)
        except Exception as unseen:  # the refusal stands, and its client is answered
            log(level="ERROR", message="the refusal is not counted", error=type(unseen).__name__)

    def doctor(self) -> list[dict[str, str]]:
        """What is not as it should be, each with its remedy; an empty list is good news."""
        try:
            memory = self.aws.read_memory()
        except TableGoneError as error:
            return [{"finding": str(error), "remedy": "apply again; until then it stays awake"}]
        seen = self.observe(memory, Signal(Kind.DOCTOR))
        gone, failure = seen.missing, seen.memory.failure
        again = redeploy(seen.services, self.config.cluster_name)
        idle, _ = self.aws.alarm(self.config.idle_alarm_arn)
        without_grace_period = [s["serviceName"] for s in seen.services if not s.get(GRACE)]
        stands, rules = self.aws.rules()
        own = (self.config.wake_rule_arn, self.config.service_rule_arn)
        compared = [matches_by(rules[arn]) for arn in own] if stands in (Rule.UP, Rule.DOWN) else []
        wake, wired = seen.memory.wake, set(self.config.target_group_arns)
        late = wake and self.aws.now() - wake.began > self.config.wake_deadline_seconds
        rewrites = rules.get(self.config.service_rule_arn, {}).get("Transforms")
        own_rules = [rules.get(arn, NO_RULE) for arn in self.config.own_rule_arns]
        by_upgrade = any(forwards_to(rule) & wired for rule in own_rules)
        stopped, token = seen.stopped_reason or "no task stopped", self.token_problem()
        symptoms = [
            (gone, f"no ACTIVE service {gone}", "create it, or correct service_name"),
            (stands is Rule.MISSING, RULE_MISSING, "check service_rule_arn and apply again"),
            (
                seen.wiring_fault == TARGET_GROUP_DETACHED,
                TARGET_GROUP_DETACHED,
                "correct target_group_arns or the service rule",
            ),
            (
                without_grace_period,
                f"no health check grace period: {without_grace_period}",
                "set it to what the app takes to boot",
            ),
            (compared[:1] != compared[1:], DIFFER, "give conditions as the service rule has them"),
            (idle == "MISSING", f"no alarm {self.config.idle_alarm_arn}", "apply again"),
            (again, halted(seen.services), again),
            (
                failure,
                f"the last wake failed: {failure}",
                "mend the task and deploy it" if again else "mend the task, then send wake",
            ),
            (not seen.memory.adopted, "nothing is remembered", "wait for the next tick"),
            (
                late and not seen.live,
                f"{NOT_LIVE_FOR} {self.config.wake_deadline_seconds} s: {stopped}",
                again or "mend what ECS names, or set the count to 0",
            ),
            (token, token, "create the parameter, or correct heartbeat.token_parameter_arn"),
            (
                rewrites and by_upgrade,
                "the WebSocket rule passes by the transforms of the service rule",
                "leave websocket_rule out",
            ),
        ]
        found = [{"finding": what, "remedy": how} for holds, what, how in symptoms if holds]
        return found + [
            {"finding": f"{what}: {particulars}", "remedy": NOTICES[TROUBLES[what]][1]}
            for what, particulars in seen.wiring.items()
        ]

    def token_problem(self) -> str:
        """Why the heartbeat's token cannot be read; "" if it can, or none is wanted."""
        if not self.config.heartbeat_token_parameter:
            return ""
        try:  # asked anew: what a container has read it believes for minutes
            self.aws.read_token()
        except ERRORS as error:
            return f"the heartbeat's token cannot be read: {error}"
        return ""

    def report(self) -> dict[str, Any]:
        """What is known of the last wakes, and of what they were for. Only reads."""
        config, memory = self.config, self.aws.read_memory()
        named = {name: getattr(config, name) for name in REPORTED}
        return {**named, "estimate_seconds": memory.estimate(), "wakes": memory.wakes}

    def explain(self) -> dict[str, Any]:
        """Why it is in its phase, and all that a forecast needs. Looks as the tick does; reads."""
        seen = self.observe(self.aws.read_memory(), Signal(Kind.TICK))
        now = self.aws.now()
        held = blockers(seen, self.config, now)
        return {
            **self.status(seen),
            "now": now,
            "since": seen.memory.since,
            "because": seen.memory.because,
            "failure": seen.memory.failure,
            "blockers": [
                {"text": text, "until": None if until == math.inf else until}
                for text, until in held.items()
            ],
            "observation": as_json(seen),
            "config": as_json(self.config),
            "code_sha256": code_sha256(),
        }

    def run(self, event: Any) -> dict[str, Any]:
        """Everything but HTTP. Returns the status, and why. Raises TimeoutError for `wait`."""
        now, config = self.aws.now(), self.config
        signal, deadline = parse_signal(event, config, now), now + config.wake_deadline_seconds
        kind = signal.kind
        if kind is Kind.DOCTOR:
            return {"findings": self.doctor()}
        if kind in (Kind.REPORT, Kind.EXPLAIN):
            return self.report() if kind is Kind.REPORT else self.explain()
        if kind is Kind.RESTORE and not config.restore_on_destroy:
            return {"reason": "restore_on_destroy is false: left as it is"}
        match kind:
            case Kind.RESTORE:
                seen = self.restore(deadline)
            case Kind.ADOPT | Kind.RECONCILE:
                seen = self.act_once_allowed(signal)
            case _:
                seen = self.reconcile(signal)
        reason = seen.reason
        if seen.shadows_other_rules and kind in (Kind.TICK, Kind.RECONCILE):
            self.make_room(seen.memory)
        if kind is Kind.RESTORE and not seen.missing:  # Terraform takes the function away next
            self.aws.sleep(seen.memory.last_take_at + SLOW_SETTLE_SECONDS - self.aws.now())
        if seen.missing and kind in (Kind.WAKE, Kind.SLEEP, Kind.PIN, Kind.UNPIN):
            raise RefusedError(f"{kind}: {reason}")
        if kind is Kind.ECS_EVENT and signal.active and seen.memory.phase is Phase.WAKING:
            seen = self.wait(now + config.hold_seconds)  # its target will soon be healthy
        if kind is Kind.WAKE and event.get("wait"):
            seen = self.wait(deadline)
            if seen.memory.phase is not Phase.AWAKE:
                raise TimeoutError(f"not awake: {seen.memory.failure or seen.reason}")
        self.remember(seen)
        facts: dict[str, Any] = {"counts": seen.memory.counts, "reason": reason}
        facts |= {"pinned_until": seen.memory.pinned_until, "wiring": dict(seen.wiring)}
        return {**self.status(seen), **facts}

    def act_once_allowed(self, signal: Signal) -> Observation:
        """Call reconcile() for a function whose role may be new: retry refusals for a minute.

        A new policy takes seconds to be effective, for each service of AWS by itself.
        """
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
        until = self.aws.now() + POLICY_SECONDS
        while True:
            try:
                return self.reconcile(signal)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in DENIED or self.aws.now() >= until:
                    raise
                log(level="WARNING", message="not allowed yet", error=str(error))
                self.aws.sleep(POLICY_AGAIN_SECONDS)

    def restore(self, until: float) -> Observation:
        """Up and served by its own rule, or `until` (epoch seconds) is past. Raises nothing.

        An error would keep Terraform from destroying the module, and with it everything around.
        """
        while True:
            try:
                return self.wait(until, Kind.RESTORE)
            except Exception as error:
                log(level="ERROR", message="not restored yet", error=str(error))
                if self.aws.now() >= until:
                    what = f"not restored, and maybe still asleep: {error}"
                    self.publish(problem_notice(HANDLED, what), "unknown", in_haste=True)
                    unknown = Memory(0, Phase.AWAKE, self.aws.now())
                    return Observation(unknown, (), reason=what)
                self.aws.sleep(BLIND_POLL_SECONDS)

    def dispatch(self, event: Any) -> dict[str, Any]:
        """Hear one event: an HTTP request, or whatever parse_signal knows."""
        match event:
            case {"requestContext": {"elb": _}}:
                return self.serve(event)
        try:
            return self.run(event)
        except RefusedError as error:
            self.refuse(error)
            raise


@cache
def container() -> Warmkeeper:
    """One warmkeeper, with its clients, for the life of the container."""
    return Warmkeeper(Aws(Config.from_environment(os.environ)))


def handler(event: Any, _: object) -> dict[str, Any]:
    """Lambda's entry. Raises everywhere but on the HTTP path: so retries and alarms work."""
    return container().dispatch(event)


# The clients that a wake calls while somebody waits; True is the configuration of calls that take.
WAKE_CLIENTS = (
    ("dynamodb", False),
    ("ecs", False),
    ("elbv2", False),
    ("elbv2", True),
    ("sns", True),
)


def prepare() -> None:
    """Build in Lambda's init phase, which has a whole CPU, what the first wake needs.

    Reads the settings, which opens the connection to DynamoDB. Does not raise: what fails is
    logged, and built at its first use instead.
    """
    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    try:
        aws = container().aws
        for service, taking in WAKE_CLIENTS:
            aws.client(service, taking=taking)
        aws.client("elbv2").get_paginator("describe_rules")  # looks through botocore's folders
        matching_ignore_rule(
            Request(), aws.settings().get("wake_policy", ())
        )  # compiles its patterns
    except Exception as error:
        log(level="WARNING", message="not prepared", error=f"{type(error).__name__}: {error}")


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:  # set by Lambda, and not where tests import this
    prepare()
