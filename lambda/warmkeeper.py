"""Puts an idle ECS service to sleep (desiredCount = 0) and wakes it on the first request.

The *warmkeeper* receives requests while the service is not awake, the idle alarm, a tick every
minute, ECS events, heartbeats, commands and Terraform, and moves the service through four phases:

            idle alarm                    linger over, nobody came
   awake ----------------> drowsy -----------------------------> asleep
     ^                       |                                     |
     |   a request: at once  |                                     | a request
     +-----------------------+                                     v
     +<---------------------- live target ------------------- waking

The phase is stored in one DynamoDB item, the *memory*. Every transition is one conditional write to
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar, assert_never
from urllib.parse import quote, unquote

import boto3  # here and not at its first use: Lambda's init phase has a full CPU for it
from botocore.config import Config as SdkConfig
from botocore.exceptions import BotoCoreError, ClientError

# --- settings -------------------------------------------------------------------------------------
# The fence: calls that take
TAKE_START_SECONDS = 1.0  # a call that takes starts within this time of its write, or not at all
TAKE_TIMEOUT_SECONDS = 1.0  # to connect, and again to answer
FENCE_SECONDS = 5.0  # start + connect + answer, and two more for AWS's reads to show it
OUT_SECONDS = 60.0  # after its end a task may still be a target for this long

# Waking
SCALE_UP_AGAIN_SECONDS = 10.0  # after this time a count that still reads 0 is set again
SETTLE_SECONDS = 1.0  # the least time in which a rule change reaches every node
SLOW_SETTLE_SECONDS = 10.0  # the longest time seen, where changes come in batches
STUCK_SECONDS = 45.0  # past this, propagation delay no longer explains a rule that is up
BACKOFF_SECONDS = (60, 120, 300, 900, 3600)  # after one, two, ... failed wakes in a row; then none
ALARM_LATE_SECONDS = 180.0  # an alarm may be in ALARM for data of this age
TICK_JITTER_SECONDS = 2.0  # the minutes of the tick are not exact
RESTORE_PIN_SECONDS = 3600.0  # on destroy: no call that is still under way may take the count

# Waiting clients
POLL_SECONDS = 0.5  # between two looks; one of the waiting clients looks for all
BLIND_POLL_SECONDS = 3.0  # where there is no memory, and so every client looks
FIRST_ANSWERS_SECONDS = 60.0  # for this time after a wake, answers carry its duration
MOST_HOPS = 8  # redirects of one held call; some clients follow 10, and three are needed
# until the rule has reached every node, after 1 s, 4 s and 14 s

# Heartbeats
BEAT_WRITE_SECONDS = 15.0  # beats closer together than this are one write
LONGEST_IDLE_SECONDS = 1e9  # the largest idle_seconds of a beat

# Cached reads
TOKEN_SECONDS = 300.0  # a heartbeat token is cached for this time
TOKEN_AGAIN_SECONDS = 60.0  # between two tries to read it, while SSM cannot be reached
TOKEN_DENIED = (
    "ParameterNotFound",
    "AccessDeniedException",
)  # SSM's refusals; any other error is an outage
SETTINGS_SECONDS = 300.0  # the settings item is cached for this time
SETTINGS_AGAIN_SECONDS = 10.0  # between two tries to read it

# Notices
IDLE_BUT_AWAKE_SECONDS = 12 * 3600.0  # idle for this time and still awake: a problem
NOTIFY_AGAIN_SECONDS = 24 * 3600.0  # between two notices of refused heartbeats
ERROR_NOTICE_SECONDS = 3600.0  # between two notices of errors by one container
NOTICE_CHARACTERS = 2000  # ECS's reasons can be long

# The memory
KEPT_WAKES = 10
# The number of the memory's form. Raise it by hand with each change of what a field of Memory or
# Wake means or is called; a new field needs none where its default is right for older items. An
# item of another form is not read: the service is adopted anew, and CHANGELOG says so.
FORM = 1

# AWS's errors
ERRORS = (BotoCoreError, ClientError, TimeoutError)  # of a call to AWS, or one too late to be made
DENIED = ("AccessDeniedException", "AccessDenied", "AuthorizationError", "UnauthorizedOperation")
POLICY_SECONDS = 60.0  # a new role's policy may take this time to be effective
POLICY_AGAIN_SECONDS = 3.0

# Words in ECS's reason for a failed start, and their class. The first match decides, so a cause
# stands before the sentence that contains it ("unable to place a task. Reason: Internal error.").
# The class is public. tests/warmkeeper/ecs_words.toml has each documented text with its page.
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
SUMMARIES = ("consistently start tasks", "tasks failed to start")  # texts that hide the cause
FAILING = re.compile("unable|failed")  # with one of these an event without a class is a reason
SCALED_IN = "Scaling activity"
GRACE = "healthCheckGracePeriodSeconds"
SEVERAL = "several tasks stopped"
NOT_STARTED = {  # the reason where no task has stopped, by the stage that was reached
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
    """A heartbeat with a wrong token: its sender will come again and again."""


class TableGoneError(RuntimeError):
    """The table is gone, and with it the memory."""


class RuleStuckError(RuntimeError):
    """The wake rule cannot be moved: it is gone, or no rule number is free."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(described(problem, detail))
        self.problem = problem
        self.detail = detail


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
            variable = item.name.upper()
            kind = str(item.type)
            if variable not in environment:
                raise ValueError(f"{variable} is not set; the Terraform module sets it")
            got = environment[variable]
            try:
                values[item.name] = parsers[kind](got)
            except (ValueError, KeyError):
                raise ValueError(f"{variable} is {got!r}; it must be of type {kind}") from None
        return cls(**values)


# --- vocabulary: phases, rule, signals, metrics, stages -------------------------------------------
class Phase(StrEnum):
    AWAKE = "awake"
    DROWSY = "drowsy"
    ASLEEP = "asleep"
    WAKING = "waking"


@dataclass(frozen=True)
class PhaseWords:
    """How a phase is called on the health path, and the key of its text on the page."""

    health: str
    page: str


PHASE_WORDS = {
    Phase.AWAKE: PhaseWords(health="awake", page="ready"),
    Phase.DROWSY: PhaseWords(health="awake", page="ready"),
    Phase.ASLEEP: PhaseWords(health="dormant", page="asleep"),
    Phase.WAKING: PhaseWords(health="waking", page="after_none"),
    "unknown": PhaseWords(health="unknown", page="after_none"),  # nothing is remembered
}
UP_PHASES = (Phase.AWAKE, Phase.DROWSY)


class Rule(StrEnum):
    """Where the wake rule stands, judged by its priority against the service rule's."""

    UP = "up"
    DOWN = "down"
    MISSING = "missing"
    NONE = "none"  # the alarm path has no rule
    UNSEEN = "unseen"


class Kind(StrEnum):
    """The kinds of signals. The commands of a direct invoke have their own names."""

    REQUEST = "request"
    POLL = "poll"
    BEAT = "beat"
    TICK = "tick"
    IDLE_ALARM = "idle alarm"
    WAKE_ALARM = "wake alarm"
    ECS_EVENT = "ecs event"
    STATUS = "status"
    WAKE = "wake"
    SLEEP = "sleep"
    PIN = "pin"
    UNPIN = "unpin"
    DOCTOR = "doctor"
    REPORT = "report"
    EXPLAIN = "explain"
    ADOPT = "adopt"
    RECONCILE = "reconcile"
    RESTORE = "restore"


WAKING_KINDS = frozenset({Kind.REQUEST, Kind.WAKE_ALARM, Kind.WAKE, Kind.PIN, Kind.RESTORE})
SLEEPING_KINDS = frozenset({Kind.TICK, Kind.IDLE_ALARM, Kind.SLEEP})
COMMANDS = (
    Kind.STATUS,
    Kind.WAKE,
    Kind.SLEEP,
    Kind.PIN,
    Kind.UNPIN,
    Kind.DOCTOR,
    Kind.REPORT,
    Kind.EXPLAIN,
)

UNITS = {  # of every metric; docs/guide/metrics.md has a row for each
    "Wakes": "Count",
    "ColdStartSeconds": "Seconds",
    "FailedWakes": "Count",
    "MinutesAsleep": "None",  # CloudWatch has no minutes
    "WaitingAnswers": "Count",
    "Beats": "Count",
    "Refused": "Count",
    "HandledErrors": "Count",
}

# The stages of a wake, in ECS's words, and the moments that end them: the first that is known.
ENDS = {
    "asked": ("createdAt",),
    "placed": ("pullStartedAt", "connectivityAt"),
    "pulled": ("pullStoppedAt",),
    "started": ("startedAt",),
    "healthy": ("live",),
    "opened": ("down",),
}
# The stage that a task has reached, by the moment that shows it; the furthest first.
STAGES = {"startedAt": "started", "pullStoppedAt": "pulled", "connectivityAt": "placed"}


def stages(times: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage of a wake; a stage without a moment of its own is in the next.

    They add up to all the time from the beginning to the last moment, whatever the clocks say.
    """
    began = times["began"]
    end = times.get("down", times["live"])
    reached = 0.0
    found: dict[str, float] = {}
    for stage, moments in ENDS.items():
        at = next((times[moment] for moment in moments if moment in times), None)
        if at is not None:
            past = max(reached, round(min(at, end) - began, 3))
            found[stage] = round(past - reached, 3)
            reached = past
    return found


def utc(seconds: float) -> str:
    """An epoch second as a person reads it: 2026-11-24 21:36:00 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


# --- vocabulary: problems and transitions ---------------------------------------------------------
@dataclass(frozen=True)
class Problem:
    """One row of docs/guide/operating.md, section Notices: what is wrong, how bad, and what to do.

    The memory stores the code alone. Of severity "info" are transitions, which can be muted.
    """

    code: str
    severity: str  # "info", "warning" or "critical"
    text: str
    remedy: str


ASLEEP = Problem(
    "asleep",
    "info",
    "goes to sleep",
    "Nothing to do: the next request wakes it.",
)
AWAKE = Problem(
    "awake",
    "info",
    "awake after",
    "Nothing to do.",
)
WOKEN_OFTEN = Problem(
    "woken-often",
    "warning",
    "times within an hour",
    "Find out who comes, or give a longer idle_minutes.",
)
COUNT_SET_OUTSIDE = Problem(
    "count-set-outside",
    "warning",
    "the count was set to 0 from outside",
    "Look for a second scheduler, or another apply.",
)
WAKE_FAILED = Problem(
    "wake-failed",
    "critical",
    "wake failed",
    "Mend what ECS names and deploy it, or send the command wake.",
)
SERVICE_MISSING = Problem(
    "service-missing",
    "critical",
    "no ACTIVE ECS service",
    "Create it, or correct cluster_name or service_name.",
)
RULE_MISSING = Problem(
    "rule-missing",
    "critical",
    "the wake rule or the service rule is not on the listener",
    "Check service_rule_arn and apply again.",
)
TARGET_GROUP_DETACHED = Problem(
    "target-group-detached",
    "warning",
    "the target group is gone, or the service rule does not forward to it",
    "Correct target_group_arns or the service rule, and apply.",
)
IDLE_ALARM_MISSING = Problem(
    "idle-alarm-missing",
    "warning",
    "the idle alarm is not there",
    "Apply again.",
)
NO_RULE_NUMBER = Problem(
    "no-rule-number",
    "warning",
    "no rule number is free",
    "Free a rule number next to the service rule's.",
)
NOT_LIVE = Problem(
    "not-live",
    "critical",
    "no live target, and the count is not ours to take",
    "Mend what ECS names, or unpin; or set the count to 0.",
)
DEPLOYMENT_FAILED = Problem(
    "deployment-failed",
    "critical",
    "the deployment has failed and starts no task, whatever the count",
    "Mend what ECS names and deploy a new task definition.",
)
IDLE_BUT_AWAKE = Problem(
    "idle-but-awake",
    "warning",
    "idle for half a day, and still awake",
    "End what keeps it awake: the pin, the deployment, the task.",
)
UNSEEN_TRAFFIC = Problem(
    "unseen-traffic",
    "warning",
    "it has traffic that the module cannot see",
    'Take it away, or set unseen_traffic = "ignore": until then the service stays awake.',
)
STRANGE_TARGETS = Problem(
    "strange-targets",
    "warning",
    "a healthy target is no task of the service",
    "Check service_name and target_group_arns, and deregister what is not the service's.",
)
OTHER_RULES = Problem(
    "other-rules",
    "warning",
    "other rules of the listener forward to the target group",
    "Delete them: while the service sleeps, a request by another rule gets 503.",
)
CONTROL_PATH_COVERED = Problem(
    "control-path-covered",
    "warning",
    "an earlier rule takes what is for the control rule or the heartbeat rule",
    "Give the module paths of its own, control_path and heartbeat.path.",
)
BEATS_REFUSED = Problem(
    "beats-refused",
    "warning",
    "heartbeats are refused, for their token is not the one in SSM",
    "Give the sender of the heartbeats the token that is in SSM.",
)
ERRORS_HANDLED = Problem(
    "errors-handled",
    "warning",
    "an error of its own was handled",
    "Look for the level ERROR in the log: there is the trace.",
)
NOTICES = {  # all that is published
    problem.code: problem
    for problem in (
        ASLEEP,
        AWAKE,
        COUNT_SET_OUTSIDE,
        WOKEN_OFTEN,
        WAKE_FAILED,
        SERVICE_MISSING,
        RULE_MISSING,
        TARGET_GROUP_DETACHED,
        IDLE_ALARM_MISSING,
        NO_RULE_NUMBER,
        NOT_LIVE,
        DEPLOYMENT_FAILED,
        IDLE_BUT_AWAKE,
        UNSEEN_TRAFFIC,
        STRANGE_TARGETS,
        OTHER_RULES,
        CONTROL_PATH_COVERED,
        BEATS_REFUSED,
        ERRORS_HANDLED,
    )
}
# Wrong wiring around the service: published once while it lasts, whatever the phase.
WIRING = (UNSEEN_TRAFFIC, STRANGE_TARGETS, OTHER_RULES, CONTROL_PATH_COVERED)

TABLE_MISSING = Problem(
    "table-missing",
    "critical",
    "the table is not there",
    "Apply again; until then the service stays awake.",
)
NOTHING_REMEMBERED = Problem(
    "nothing-remembered",
    "warning",
    "nothing is remembered",
    "Wait for the next tick.",
)
NO_GRACE_PERIOD = Problem(
    "no-grace-period",
    "warning",
    "no health check grace period",
    "Set health_check_grace_period_seconds to what the app takes to boot.",
)
RULES_DIFFER = Problem(
    "rules-differ",
    "warning",
    "the wake rule and the service rule do not match the same requests",
    "Give conditions as the service rule has them.",
)
WAKING_FOR_LONG = Problem(
    "waking-for-long",
    "critical",
    "waking, and no live target within wake_deadline_seconds",
    "Mend what ECS names, or set the count to 0.",
)
TOKEN_UNREADABLE = Problem(
    "token-unreadable",
    "warning",
    "the heartbeat's token cannot be read",
    "Create the parameter, or correct heartbeat.token_parameter_arn.",
)
WEBSOCKETS_TRANSFORMED = Problem(
    "websockets-transformed",
    "warning",
    "the WebSocket rule passes by the transforms of the service rule",
    "Leave websocket_rule out.",
)
FINDINGS = {  # what doctor alone reports
    problem.code: problem
    for problem in (
        TABLE_MISSING,
        NOTHING_REMEMBERED,
        NO_GRACE_PERIOD,
        RULES_DIFFER,
        WAKING_FOR_LONG,
        TOKEN_UNREADABLE,
        WEBSOCKETS_TRANSFORMED,
    )
}


def described(problem: Problem, detail: str = "") -> str:
    """The problem's text, with its particulars."""
    return f"{problem.text}: {detail}" if detail else problem.text


@dataclass(frozen=True)
class Notice:
    """A message to people about a problem or a transition."""

    problem: Problem
    text: str
    remedy: str = ""  # in place of the problem's


def problem_notice(problem: Problem, detail: str = "", remedy: str = "") -> Notice:
    """The notice of a problem that needs attention."""
    return Notice(problem, f"needs attention: {described(problem, detail)}", remedy)


# --- state: memory, signal, observation, decision -------------------------------------------------
def fields_only(of: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that are fields of this dataclass."""
    return {item.name: values[item.name] for item in fields(of) if item.name in values}


@dataclass(frozen=True)
class Signal:
    """An event, with fields that some kinds alone have. Times are epoch seconds."""

    kind: Kind
    active: bool = False  # BEAT: the service is used; ECS_EVENT: a task runs
    at: float = 0.0  # an active BEAT: the time of the last use, if not now
    pinned_until: float = 0.0  # PIN
    arrived: float = 0.0  # a REQUEST by HTTP: from then on its client waits


@dataclass(frozen=True)
class Wake:
    """The wake under way. Times are epoch seconds."""

    began: float
    cause: str
    scaled_up_at: float  # the last time that the count was set
    started_by_us: bool = True  # we set the count, and so may take it back
    stage: str = "asked"  # asked, placed, pulled, started
    polled_at: float = 0.0  # the last time that one waiting client looked for all
    asleep_minutes: float = 0.0  # how long the service had been asleep


@dataclass(frozen=True)
class Memory:
    """The one item that decides. Times are epoch seconds."""

    version: int  # of the stored item, whatever its form; 0: there is none
    phase: Phase
    since: float
    because: str = ""  # the reason of the decision that led to this phase
    min_awake_from: float = 0.0  # CloudWatch may not show the traffic since then yet
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
    open_problem: str = ""  # code of the last published problem: each is published once
    notified_at: dict[str, float] = field(default_factory=dict)  # code -> when, across phases
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
        parsed = {
            **read,
            "version": version,
            "phase": Phase(read["phase"]),
            "wake": Wake(**fields_only(Wake, read["wake"])) if read["wake"] else None,
            "wakes": tuple(read["wakes"]),
        }
        return cls(**fields_only(cls, parsed))

    @property
    def adopted(self) -> bool:
        """Whether a phase is remembered; if not, the next look adopts the service anew."""
        return self.version > 0 and self.form == FORM

    def estimate(self) -> float | None:
        """Seconds that a wake takes: the median of the last few, None if there was none."""
        return statistics.median(w["seconds"] for w in self.wakes) if self.wakes else None

    def with_times(self, now: float, more: Mapping[str, float]) -> Memory | None:
        """With more times in the record of a wake that is just over; None if none is new."""
        record = self.wakes[-1] if self.wakes else {"times": {"live": 0.0}}
        times = record["times"]
        live = times["live"]
        new = {name: at for name, at in more.items() if at and name not in times}
        if not new or live != self.since or now - live > SLOW_SETTLE_SECONDS:
            return None
        return replace(self, wakes=(*self.wakes[:-1], {**record, "times": {**times, **new}}))

    def redeployed_since_failure(self, services: Iterable[Service]) -> bool:
        """Whether the deployment is another one than the failed one, if both are known."""
        now = deployed_ids(services)
        return "" not in (now, self.failed_deployment) and now != self.failed_deployment

    def backoff_seconds(self, services: Iterable[Service], now: float) -> float:
        """Seconds until a request may wake it: 0 if at once, infinite after the last try."""
        if not self.failures or self.redeployed_since_failure(services):
            return 0.0
        given_up = self.failures > len(BACKOFF_SECONDS)
        return math.inf if given_up else max(0.0, self.retry_at - now)


@dataclass(frozen=True)
class Observation:
    """What AWS showed at one look. None means not read."""

    memory: Memory
    services: tuple[Service, ...]
    missing: tuple[str, ...] = ()
    rule: Rule = Rule.UNSEEN
    tasks: tuple[Task, ...] = ()  # those that are meant to run
    live: tuple[Task, ...] | None = None  # of these, the ones healthy in a target group
    strangers: bool = False  # a healthy target is no task of ours, running or on its way out
    wiring: Mapping[str, str] = field(default_factory=dict)  # codes of WIRING -> particulars
    began: float = 0.0  # when the look began (epoch seconds): AWS may have changed since
    idle: bool | None = None
    idle_since: float = 0.0  # when the idle alarm went into its state
    wake_alarm_firing: bool = False  # asleep on the alarm path: the wake alarm is in ALARM
    protected: bool | None = None
    wiring_fault: str = ""  # the code of TARGET_GROUP_DETACHED or IDLE_ALARM_MISSING
    shadows_other_rules: bool = False  # the wake rule stands before a rule that it must not hide
    stopped_reason: str = ""
    reason: str = ""  # of the decision that followed
    down: float = 0.0  # when this look itself took the rule down

    @property
    def desired(self) -> int:
        return sum(service.desired for service in self.services)

    @property
    def detached(self) -> bool:
        """Whether the service rule serves another target group than the wired one."""
        return self.wiring_fault == TARGET_GROUP_DETACHED.code

    @property
    def serves(self) -> bool:
        """Whether the wake rule, up, would stand before targets that may serve clients."""
        return bool(self.live) or self.strangers or self.detached


@dataclass(frozen=True)
class Decision:
    """The memory to write and, once it is written, the calls. A field not set changes nothing."""

    reason: str
    memory: Memory | None = None
    scale_up: tuple[tuple[str, int], ...] = ()  # (service, count)
    scale_to_zero: tuple[str, ...] = ()  # services
    rule: Rule | None = None
    notice: Notice | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    wake: Mapping[str, Any] | None = None  # the record of the wake that ends
    requeue: bool = False  # the phase followed AWS: decide once more, with the same signal


# --- guards: why the service must stay up ---------------------------------------------------------
@dataclass(frozen=True)
class Blocker:
    """A reason why the service must stay up, and the epoch second at which it ends by itself."""

    code: str
    text: str
    until: float = math.inf  # infinite where no time ends it


def pinned(case: Case) -> Blocker | None:
    """A person or a pipeline needs the service until the pin ends."""
    until = case.memory.pinned_until
    return Blocker("pinned", f"pinned until {utc(until)}", until)


def rule_missing(case: Case) -> Blocker | None:
    """Without its rule no request could wake the service."""
    missing = case.seen.rule is Rule.MISSING
    return Blocker(RULE_MISSING.code, RULE_MISSING.text) if missing else None


def wrongly_wired(case: Case) -> Blocker | None:
    """Without its target group or its idle alarm the service's traffic is unknown."""
    code = case.seen.wiring_fault
    return Blocker(code, NOTICES[code].text) if code else None


def traffic_unseen(case: Case) -> Blocker | None:
    """The idle alarm counts none of the requests that come another way."""
    unseen = UNSEEN_TRAFFIC.code in case.seen.wiring
    return Blocker(UNSEEN_TRAFFIC.code, UNSEEN_TRAFFIC.text) if unseen else None


def targets_strange(case: Case) -> Blocker | None:
    """The wake rule would stand before a target that serves and that a count cannot stop."""
    strange = STRANGE_TARGETS.code in case.seen.wiring
    return Blocker(STRANGE_TARGETS.code, STRANGE_TARGETS.text) if strange else None


def deploying(case: Case) -> Blocker | None:
    """At a count of 0 a deployment would end without having started a task."""
    under_way = any(service.is_deploying for service in case.seen.services)
    return Blocker("deploying", "a deployment is in progress") if under_way else None


def just_deployed(case: Case) -> Blocker | None:
    """Whoever deploys wants to look at the new version."""
    at = max((each.created for each in primaries(case.seen.services)), default=0.0)
    text = f"deployed {case.now - at:.0f} s ago"
    return Blocker("just-deployed", text, at + case.min_awake_seconds)


def just_awake(case: Case) -> Blocker | None:
    """CloudWatch may not show yet that the service is used."""
    if case.memory.phase is not Phase.AWAKE:
        return None
    begin = case.memory.min_awake_from
    text = f"up for {case.now - begin:.0f} s of {case.min_awake_seconds} s"
    return Blocker("just-awake", text, begin + case.min_awake_seconds)


def woken_often(case: Case) -> Blocker | None:
    """A service that is woken again and again saves little and makes every client wait."""
    budget = case.config.wake_budget_per_hour
    ends = sorted(wake["times"]["live"] + 3600 for wake in case.memory.wakes)
    until = ends[-budget] if len(ends) >= budget else 0.0
    return Blocker(WOKEN_OFTEN.code, f"the {budget} wakes of an hour are used up", until)


def beats(case: Case) -> Blocker | None:
    """The app reports use; the last beat may not be written yet."""
    beat = case.memory.beat
    fresh = case.config.idle_minutes * 60 + BEAT_WRITE_SECONDS
    return Blocker("beat", f"active beat {case.now - beat:.0f} s ago", beat + fresh)


def protected(case: Case) -> Blocker | None:
    """Scale-in protection is an app's own way to say that it is busy."""
    text = "a task protects itself from scale-in"
    return Blocker("protected", text) if case.seen.protected else None


def used(case: Case) -> Blocker | None:
    """Requests have come within idle_minutes."""
    return None if case.seen.idle else Blocker("used", "the idle alarm is not in ALARM")


@dataclass(frozen=True)
class Guard:
    """A check of the case, and whether the command `sleep` overrides it."""

    check: Callable[[Case], Blocker | None]
    waived_by_sleep: bool = False


GUARDS = (  # in this order: the first that blocks is the reason in log and notice
    Guard(pinned),
    Guard(rule_missing),
    Guard(wrongly_wired),
    Guard(traffic_unseen),
    Guard(targets_strange),
    Guard(deploying),
    Guard(just_deployed, waived_by_sleep=True),
    Guard(just_awake, waived_by_sleep=True),
    Guard(woken_often, waived_by_sleep=True),
    Guard(beats, waived_by_sleep=True),
    Guard(protected),
    Guard(used, waived_by_sleep=True),
)


# --- decisions: pure ------------------------------------------------------------------------------
def notify_once(memory: Memory, problem: Problem, detail: str = "", remedy: str = "") -> Decision:
    """Stay as it is and publish the problem, unless it was the last one published."""
    reason = described(problem, detail)
    if memory.open_problem == problem.code:
        return Decision(reason)
    notice = problem_notice(problem, detail, remedy)
    return Decision(reason, replace(memory, open_problem=problem.code), notice=notice)


@dataclass(frozen=True)
class Case:
    """The input of a decision. Pure: no clock, no client, no log; `now` is an epoch second."""

    seen: Observation
    memory: Memory  # after absorb(): it may differ from the one that was read
    signal: Signal
    config: Config
    now: float

    @property
    def min_awake_seconds(self) -> int:
        return self.config.min_awake_minutes * 60

    def enter(self, phase: Phase, because: str, **changes: Any) -> Memory:
        """The memory after a transition, with its reason. Counts above 0 are remembered."""
        running = {s.name: s.desired for s in self.seen.services if s.desired}
        entered: dict[str, Any] = {
            "phase": phase,
            "since": self.now,
            "because": because,
            "counts": {**self.memory.counts, **running},
            "asked_to_sleep": False,
            "wake": None,
            "open_problem": "",
            "scale_down_failed": False,
            **changes,
        }
        return replace(self.memory, **entered)

    def counts(self) -> tuple[tuple[str, int], ...]:
        """The remembered count of each service, never less than it has already."""
        remembered = self.memory.counts
        default = self.config.awake_count
        return tuple(
            (service.name, max(service.desired, remembered.get(service.name, default)))
            for service in self.seen.services
        )

    def up(self) -> tuple[str, ...]:
        """The services with a count above 0, which can be taken."""
        return tuple(service.name for service in self.seen.services if service.desired)

    def raised(self) -> Rule | None:
        """UP, unless the wake rule would then stand before a target that serves clients."""
        return None if self.seen.serves else Rule.UP

    def settled(self) -> bool:
        """Whether the phase is old enough for AWS's reads to contradict it."""
        return self.now - max(self.memory.since, self.memory.last_take_at) >= FENCE_SECONDS

    def wakes_last_hour(self) -> list[dict[str, Any]]:
        return [wake for wake in self.memory.wakes if self.now - wake["times"]["live"] < 3600]

    def blockers(self, *, asked: bool) -> list[Blocker]:
        """Why the service must stay up, in the guards' order; [] if it may sleep.

        `asked`: a person has sent the command sleep.
        """
        guards = [guard for guard in GUARDS if not (asked and guard.waived_by_sleep)]
        found = [guard.check(self) for guard in guards]
        return [blocker for blocker in found if blocker and blocker.until > self.now]

    def blocker(self, *, asked: bool) -> str:
        """The first reason why the service must stay up; "" if it may sleep."""
        return next((blocker.text for blocker in self.blockers(asked=asked)), "")

    # transitions
    def to_awake(self, reason: str, **changes: Any) -> Decision:
        """The wake rule goes down: the load balancer serves the service alone."""
        times = {"last_take_at": self.now, "min_awake_from": self.now}
        awake = self.enter(Phase.AWAKE, reason, **{**times, **changes})
        return Decision(reason, awake, rule=Rule.DOWN, metrics=self.slept())

    def slept(self) -> dict[str, float]:
        """The minutes of the sleep that ends now, as a metric; {} where none ends."""
        asleep = self.memory.phase is Phase.ASLEEP
        return {"MinutesAsleep": round((self.now - self.memory.since) / 60, 1)} if asleep else {}

    def to_waking(self, cause: str, scale_up: tuple[tuple[str, int], ...] = ()) -> Decision:
        """Tasks are to start (`scale_up`) or are starting already; clients wait with us."""
        slept = self.slept()
        wake = Wake(
            began=self.signal.arrived or self.now,
            cause=cause,
            scaled_up_at=self.now,
            started_by_us=bool(scale_up),
            asleep_minutes=slept.get("MinutesAsleep", 0.0),
        )
        reason = f"woken: {cause}"
        return Decision(
            reason,
            self.enter(Phase.WAKING, reason, wake=wake),
            scale_up=scale_up,
            rule=self.raised(),
            metrics={"Wakes": 1, **slept},
        )

    def to_asleep(self, reason: str, **changes: Any) -> Decision:
        """The count goes to 0, remembered in the same write that announces it."""
        asleep = self.enter(Phase.ASLEEP, reason, last_take_at=self.now, **changes)
        notice = Notice(ASLEEP, f"{ASLEEP.text}: {reason}")
        return Decision(reason, asleep, scale_to_zero=self.up(), notice=notice)

    def follow(self, phase: Phase, why: str, notice: Notice | None = None) -> Decision:
        """AWS contradicts the memory: the phase follows it; the signal is decided again."""
        return Decision(
            why,
            self.enter(phase, why, min_awake_from=self.now),
            rule=self.raised() if phase is Phase.ASLEEP else None,
            notice=notice,
            requeue=True,
        )

    # awake
    def awake(self) -> Decision:
        seen = self.seen
        memory = self.memory
        if not seen.serves:
            return self.to_waking("no live target") if self.settled() else Decision("too early")
        rule_up = seen.rule is Rule.UP and seen.desired > 0
        if rule_up and self.now - memory.last_take_at >= FENCE_SECONDS:
            again = replace(memory, last_take_at=self.now)
            return Decision("awake, rule up", again, rule=Rule.DOWN)
        if seen.rule is Rule.MISSING:
            return notify_once(memory, RULE_MISSING)
        if seen.wiring_fault:
            return notify_once(memory, NOTICES[seen.wiring_fault])
        if self.signal.kind not in SLEEPING_KINDS:
            return Decision("awake")
        asked = self.signal.kind is Kind.SLEEP
        if against := self.blocker(asked=asked):
            return self.stays_awake(against)
        reason = "asked to sleep" if asked else "idle"
        drowsy = self.enter(Phase.DROWSY, reason, asked_to_sleep=asked)
        return Decision(reason, drowsy, rule=Rule.UP)

    def stays_awake(self, against: str) -> Decision:
        """It stays awake. Half a day without use is a problem that is published."""
        seen = self.seen
        reason = f"stays awake: {against}"
        idle_seconds = self.now - max(self.memory.since, self.memory.beat, seen.idle_since)
        if seen.idle and idle_seconds >= IDLE_BUT_AWAKE_SECONDS:
            return replace(notify_once(self.memory, IDLE_BUT_AWAKE, against), reason=reason)
        return Decision(reason)

    # drowsy
    def drowsy(self) -> Decision:
        memory = self.memory
        kind = self.signal.kind
        wakes = kind in WAKING_KINDS or (kind is Kind.BEAT and self.signal.active)
        if not wakes and kind not in SLEEPING_KINDS:
            return Decision("drowsy")
        against = kind if wakes else self.blocker(asked=memory.asked_to_sleep)
        if against and self.seen.serves and self.seen.desired:
            # a blocker is not a use of the service: min_awake_seconds do not begin again
            goes_on = {} if wakes else {"min_awake_from": memory.min_awake_from}
            return self.to_awake(f"stays awake: {against}", **goes_on)
        if against:
            return self.to_waking(f"no live target, {against}", self.counts() if wakes else ())
        if self.seen.rule is Rule.DOWN:
            return Decision("the rule goes up", replace(memory, since=self.now), rule=Rule.UP)
        linger = self.config.linger_seconds
        if self.now - memory.since < linger - TICK_JITTER_SECONDS:
            return Decision(f"drowsy for {self.now - memory.since:.0f} s of {linger} s")
        return self.to_asleep(f"{memory.because or 'idle'}, and nobody came in {linger} s")

    # asleep
    def asleep(self) -> Decision:
        memory = self.memory
        kind = self.signal.kind
        # an alarm that stays in ALARM invokes once: the tick reads it, once its data is current
        if self.seen.wake_alarm_firing and self.now - memory.since >= ALARM_LATE_SECONDS:
            kind = Kind.WAKE_ALARM
        backoff = memory.backoff_seconds(self.seen.services, self.now)
        up = self.seen.desired > 0 and self.settled()
        if up and self.seen.live and kind in WAKING_KINDS:
            return self.to_awake(kind)
        if kind in (Kind.REQUEST, Kind.WAKE_ALARM) and backoff > 0:  # commands bypass the back-off
            return Decision(f"{memory.failures} wakes failed, next try in {backoff:.0f} s")
        if kind is Kind.REQUEST and self.config.wake_confirmation == "browser":
            return Decision("asleep, and a request alone does not wake it")
        if kind in WAKING_KINDS:
            others = up and not self.count_is_ours()  # a count that others set is not ours to take
            return self.to_waking(kind, () if others else self.counts())
        if up:
            return self.asleep_but_up()
        return self.asleep_at_zero(backoff)

    def asleep_at_zero(self, backoff: float) -> Decision:
        """A tick wakes the service only when requests cannot reach the Lambda."""
        seen = self.seen
        memory = self.memory
        broken = self.wake_path_broken()
        if broken and self.settled() and backoff <= 0:
            woken = self.to_waking(broken.text, self.counts())
            return replace(woken, rule=None, notice=problem_notice(broken, "woken for good"))
        if seen.rule is not Rule.DOWN:
            return Decision("asleep")
        if seen.wiring_fault and memory.open_problem != seen.wiring_fault:
            # no request wakes the service, since its rule stays down
            return notify_once(memory, NOTICES[seen.wiring_fault])
        return Decision("asleep", rule=self.raised())

    def wake_path_broken(self) -> Problem | None:
        """The problem that keeps requests from the Lambda."""
        misplaced = self.seen.rule is Rule.DOWN or self.seen.shadows_other_rules
        if misplaced and self.memory.open_problem == NO_RULE_NUMBER.code:
            return NO_RULE_NUMBER
        return RULE_MISSING if self.seen.rule is Rule.MISSING else None

    def count_is_ours(self) -> bool:
        """Whether a count above 0 is the one that we failed to take."""
        remembered = self.memory.counts
        same = all(remembered.get(s.name) == s.desired for s in self.seen.services)
        return self.memory.scale_down_failed and same

    def asleep_but_up(self) -> Decision:
        """The count is above 0: it could not be taken, or it was raised from outside."""
        live = self.seen.live
        if not self.count_is_ours():
            cause = "the count was raised from outside"
            return self.to_awake(cause) if live else self.to_waking(cause)
        if self.signal.kind not in SLEEPING_KINDS:
            return Decision("asleep, and the count is still to be taken")
        if against := self.blocker(asked=not live):
            cause = f"stays awake: {against}"
            return self.to_awake(cause) if live else self.to_waking(cause)
        again = replace(self.memory, last_take_at=self.now, scale_down_failed=False)
        return Decision("the count could not be taken: once more", again, scale_to_zero=self.up())

    # waking
    def waking(self) -> Decision:
        seen = self.seen
        memory = self.memory
        now = self.now
        fence = memory.last_take_at + FENCE_SECONDS
        wake = memory.wake or Wake(began=memory.since, cause="unknown", scaled_up_at=0.0)
        # a look past the fence shows whether the count was taken after it was set
        if seen.live and (seen.began >= fence or wake.scaled_up_at >= fence):
            return self.woken(wake, seen.live[0])
        if now >= fence > wake.scaled_up_at:
            return self.scaled_up_again("past the fence: scaled up again", wake)
        if seen.live:
            return Decision("a live target, but a call that takes may still be on its way")
        late = now - wake.began > self.config.wake_deadline_seconds
        if late and wake.started_by_us and memory.pinned_until <= now:
            return self.give_up(self.why_not_live())
        if seen.desired == 0 and now - wake.scaled_up_at >= SCALE_UP_AGAIN_SECONDS:
            return self.scaled_up_again("still 0: scaled up again", wake)
        if late and seen.rule is not Rule.DOWN:
            return self.not_live()
        stage = self.stage()
        moved = None if stage == wake.stage else replace(memory, wake=replace(wake, stage=stage))
        raised = self.raised() if seen.rule is Rule.DOWN else None
        return Decision(f"waking: {stage}", moved, rule=raised)

    def stage(self) -> str:
        """The furthest stage that a task has reached."""
        reached = {name for task in self.seen.tasks for name in task.times}
        return next((STAGES[moment] for moment in STAGES if moment in reached), "asked")

    def why_not_live(self) -> str:
        """ECS's reason or, where ECS gives none, how far the start came."""
        return self.seen.stopped_reason or halted(self.seen.services) or NOT_STARTED[self.stage()]

    def scaled_up_again(self, reason: str, wake: Wake) -> Decision:
        """The count is set once more, since it may have been taken after it was set."""
        memory = replace(self.memory, wake=replace(wake, scaled_up_at=self.now))
        return Decision(reason, memory, scale_up=self.counts(), rule=self.raised())

    def woken(self, wake: Wake, live: Task) -> Decision:
        """A live target, and no call that takes can be on its way: the rule goes down."""
        seconds = round(self.now - wake.began, 3)
        record = {
            "cause": wake.cause,
            "seconds": seconds,
            "asleep_minutes": wake.asleep_minutes,
            "times": {
                "began": wake.began,
                "scaled_up_at": wake.scaled_up_at,
                **live.times,
                "live": self.now,
            },
        }
        awake = self.to_awake(
            "live",
            wakes=(*self.memory.wakes, record)[-KEPT_WAKES:],
            failures=0,
            failure="",
            failed_deployment="",
            retry_at=0.0,
        )
        notice = self.awake_notice(wake, seconds)
        return replace(awake, notice=notice, metrics={"ColdStartSeconds": seconds}, wake=record)

    def awake_notice(self, wake: Wake, seconds: float) -> Notice | None:
        """The notice of a wake; None past the budget, so that a crash loop is published once."""
        target = self.config.cold_start_target_seconds
        over = f", over the target of {target} s" if seconds > target else ""
        text = f"awake after {seconds:.1f} s{over} ({wake.cause})"
        budget = self.config.wake_budget_per_hour
        wakes = len(self.wakes_last_hour()) + 1
        if wakes > budget:
            return None
        if wakes < budget:
            return Notice(AWAKE, text)
        often = f"Woken {wakes} times within an hour: it stays awake until that is past."
        return Notice(WOKEN_OFTEN, f"{text}. {often}")

    def give_up(self, why: str) -> Decision:
        """A wake that we started is past its deadline: asleep, with a longer back-off."""
        services = self.seen.services
        redeployed = self.memory.redeployed_since_failure(services)
        tries = 1 if redeployed else self.memory.failures + 1
        backoff = BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS)) - 1]
        reason = f"no live target in {self.config.wake_deadline_seconds} s: {why}"
        asleep = self.to_asleep(
            reason,
            failures=tries,
            failure=why,
            failed_deployment=deployed_ids(services),
            retry_at=self.now + backoff,
        )
        last = tries > len(BACKOFF_SECONDS)
        until = f"It was tried {tries} times: until" if last else f"For {backoff} s, or until"
        text = (
            f"wake failed: {reason}. {until} something is deployed, only the command wake "
            "or the page's button wakes it."
        )
        if stop := halted(services):
            text = f"wake failed: {reason}." + f" {stop}." * (stop not in reason)
        remedy = redeploy(services, self.config.cluster_name)
        notice = Notice(WAKE_FAILED, text, remedy)
        return replace(asleep, notice=notice, metrics={"FailedWakes": 1})

    def not_live(self) -> Decision:
        """The count is not ours to take: it stays, and the problem is published."""
        why = self.seen.stopped_reason or "no task stopped"
        failed = failed_deployments(self.seen.services)
        if not failed:
            return notify_once(self.memory, NOT_LIVE, why)
        names = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
        remedy = redeploy(self.seen.services, self.config.cluster_name)
        return notify_once(self.memory, DEPLOYMENT_FAILED, f"{names}; {why}", remedy)

    def in_phase(self) -> Decision:
        """The decision of the phase."""
        phase = self.memory.phase
        match phase:
            case Phase.AWAKE:
                return self.awake()
            case Phase.DROWSY:
                return self.drowsy()
            case Phase.ASLEEP:
                return self.asleep()
            case Phase.WAKING:
                return self.waking()
            case _:
                assert_never(phase)


def decide(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    """What to write and do. Total and pure; a decision that takes has `last_take_at` = `now`."""
    if seen.missing:
        return service_missing(seen, config)
    if not seen.memory.adopted:
        return adopt(seen, signal, config, now)
    if seen.desired == 0:
        seen = replace(seen, live=())  # a target that is still healthy is on its way out
    memory = absorb(cleared_problem(seen.memory, seen), signal, now)
    case = with_take_confirmed(Case(seen, memory, signal, config, now))
    if memory.phase in UP_PHASES and seen.desired == 0 and case.settled():
        why = f"asleep: {COUNT_SET_OUTSIDE.text}"
        return case.follow(Phase.ASLEEP, why, Notice(COUNT_SET_OUTSIDE, why))
    decision = case.in_phase()
    if decision.memory is None and case.memory != seen.memory:
        decision = replace(decision, memory=case.memory)
    return notify_wiring(decision, seen, now)


def service_missing(seen: Observation, config: Config) -> Decision:
    """Nothing is done until every service is there."""
    what = f"{', '.join(seen.missing)} in cluster {config.cluster_name}"
    if not seen.memory.adopted:
        return Decision(described(SERVICE_MISSING, what))
    return notify_once(seen.memory, SERVICE_MISSING, what)


def adopt(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    """The first look, or the memory is lost or of another form: the phase follows AWS."""
    # a call that takes, announced by a memory that is lost or not read, may be on its way
    memory = replace(seen.memory, form=FORM, last_take_at=now)
    case = Case(seen, memory, signal, config, now)
    if seen.desired and not seen.serves:
        return replace(case.to_waking("adopted while it starts"), requeue=True)
    return case.follow(Phase.AWAKE if seen.desired else Phase.ASLEEP, "adopted")


def cleared_problem(memory: Memory, seen: Observation) -> Memory:
    """Without the open problem, if it is over: should it come back, it is published again."""
    rules_read = seen.rule is not Rule.UNSEEN
    fault = RULE_MISSING.code if seen.rule is Rule.MISSING else seen.wiring_fault
    match memory.open_problem:
        case SERVICE_MISSING.code:
            over = True
        case RULE_MISSING.code | TARGET_GROUP_DETACHED.code:
            over = rules_read and fault != memory.open_problem
        case IDLE_ALARM_MISSING.code:
            over = rules_read and seen.idle is not None and fault != memory.open_problem
        case IDLE_BUT_AWAKE.code:
            over = seen.idle is False
        case _:
            over = False
    return replace(memory, open_problem="") if over else memory


def absorb(memory: Memory, signal: Signal, now: float) -> Memory:
    """The memory after the signal alone, whatever is decided: beats, pins, the command sleep."""
    match signal.kind:
        case Kind.BEAT if signal.active and (signal.at or now) - memory.beat >= BEAT_WRITE_SECONDS:
            return replace(memory, beat=signal.at or now)
        case Kind.SLEEP if memory.phase is Phase.DROWSY:
            return replace(memory, asked_to_sleep=True)
        case Kind.PIN | Kind.UNPIN:
            return replace(memory, pinned_until=signal.pinned_until)
        case Kind.RESTORE if memory.pinned_until < now + RESTORE_PIN_SECONDS / 2:
            return replace(memory, pinned_until=now + RESTORE_PIN_SECONDS)
    return memory


def with_take_confirmed(case: Case) -> Case:
    """The same; a count of 0 shows that a call which was seen to fail has landed after all."""
    if case.memory.scale_down_failed and case.seen.desired == 0 and case.settled():
        return replace(case, memory=replace(case.memory, scale_down_failed=False))
    return case


def notify_wiring(decision: Decision, seen: Observation, now: float) -> Decision:
    """The same, with a notice of wrong wiring that is new. What is over may be notified again.

    One notice at a time: another new problem waits for the next look.
    """
    if seen.rule is Rule.UNSEEN:  # nothing was looked at
        return decision
    before = decision.memory or seen.memory
    over = {problem.code for problem in WIRING} - seen.wiring.keys()
    notified = {code: at for code, at in before.notified_at.items() if code not in over}
    new = [p for p in WIRING if p.code in seen.wiring and p.code not in notified]
    notice = decision.notice
    if new and notice is None:
        notice = problem_notice(new[0], seen.wiring[new[0].code])
        notified[new[0].code] = now
    if notified == before.notified_at:
        return decision
    return replace(decision, memory=replace(before, notified_at=notified), notice=notice)


def blockers(seen: Observation, config: Config, now: float) -> list[Blocker]:
    """Why the service must stay up: in the phases in which it is up, or where one is missing."""
    memory = seen.memory
    if seen.missing:
        names = ", ".join(seen.missing)
        return [Blocker(SERVICE_MISSING.code, described(SERVICE_MISSING, names))]
    if memory.phase not in UP_PHASES or not memory.adopted:
        return []
    tick = Case(seen, memory, Signal(Kind.TICK), config, now)
    return tick.blockers(asked=memory.asked_to_sleep)


def is_no_news(signal: Signal, memory: Memory, now: float) -> bool:
    """Whether this is a beat without activity, or one whose activity is remembered already.

    Many may beat at once, each tab of a page: one of them looks in BEAT_WRITE_SECONDS.
    """
    if signal.kind is not Kind.BEAT or not memory.adopted:
        return False
    fresh = (signal.at or now) - memory.beat >= BEAT_WRITE_SECONDS
    return not signal.active or (memory.phase is not Phase.DROWSY and not fresh)


# --- views of what AWS answers --------------------------------------------------------------------
@dataclass(frozen=True)
class Deployment:
    """A deployment of a service, or a task set of another controller than ECS's own."""

    id: str
    primary: bool
    created: float  # epoch seconds
    in_progress: bool = False
    failure: str = ""  # ECS's reason, where the deployment has failed: it starts no task any more


@dataclass(frozen=True)
class Event:
    """An event of a service."""

    created: float  # epoch seconds
    text: str


@dataclass(frozen=True)
class Service:
    """An ACTIVE service."""

    name: str
    desired: int
    deployments: tuple[Deployment, ...] = ()
    target_groups: tuple[str, ...] = ()  # and the names of Classic Load Balancers
    other_traffic: tuple[str, ...] = ()  # every other way to reach the service, in words
    grace_period_seconds: int = 0
    events: tuple[Event, ...] = ()

    @property
    def primary(self) -> Deployment | None:
        """The deployment that is to stay; None where the service has none."""
        return next((each for each in self.deployments if each.primary), None)

    @property
    def is_deploying(self) -> bool:
        return len(self.deployments) > 1 or any(each.in_progress for each in self.deployments)

    def unseen_traffic(self, wired: Iterable[str]) -> list[str]:
        """The ways to reach the service past the `wired` target groups, in words."""
        others = [group for group in self.target_groups if group not in wired]
        return [*(f"load balancing by {group}" for group in others), *self.other_traffic]


@dataclass(frozen=True)
class Task:
    """A task of the service."""

    arn: str
    running: bool = False
    addresses: frozenset[str] = frozenset()  # compared with those of targets: see target_address
    times: Mapping[str, float] = field(default_factory=dict)  # ECS's name -> epoch seconds
    stopped_reason: str = ""
    container_reasons: tuple[str, ...] = ()  # of each container, or its exit code

    @property
    def stopped_at(self) -> float | None:
        """The end of the task; None while it is not over."""
        return self.times.get("stoppedAt")


@dataclass(frozen=True)
class ListenerRule:
    """A rule of the listener."""

    arn: str = ""
    priority: int = 0
    forwards_to: frozenset[str] = frozenset()  # target groups with a weight
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # field -> values
    has_transforms: bool = False


@dataclass(frozen=True)
class Targets:
    """The targets of the wired groups, compared with the tasks that are meant to run."""

    live: tuple[Task, ...]  # the tasks that are healthy in a target group
    strangers: bool  # whether a healthy target is no task of ours
    group_missing: bool = False


@dataclass(frozen=True)
class Alarm:
    """The state of an alarm and since when it lasts, as epoch seconds. MISSING: there is none."""

    state: str
    since: float = 0.0


def service_view(service: Mapping[str, Any]) -> Service:
    """What DescribeServices tells of a service.

    A service that only calls others by Service Connect is not reached by it.
    """
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
    groups: list[str] = []
    others: list[str] = []
    for part in (service, *service.get("taskSets", ())):
        for balancer in part.get("loadBalancers", ()):
            alternate = balancer.get("advancedConfiguration", {}).get("alternateTargetGroupArn")
            groups += [balancer.get("targetGroupArn"), alternate, balancer.get("loadBalancerName")]
        others += [f"Cloud Map, {r['registryArn']}" for r in part.get("serviceRegistries", ())]
    for each in service["deployments"]:
        connect = each.get("serviceConnectConfiguration", {})
        if connect.get("enabled"):
            others += [f"Service Connect, {s['portName']}" for s in connect.get("services", ())]
        lattice = each.get("vpcLatticeConfigurations", ())
        others += [f"VPC Lattice, {v['targetGroupArn']}" for v in lattice]
    rollouts = service["deployments"] or service.get("taskSets", ())
    return Service(
        name=service["serviceName"],
        desired=service["desiredCount"],
        deployments=tuple(deployment_view(each) for each in rollouts),
        target_groups=tuple(dict.fromkeys(filter(None, groups))),
        other_traffic=tuple(dict.fromkeys(others)),
        grace_period_seconds=service.get("healthCheckGracePeriodSeconds", 0),
        events=tuple(
            Event(each["createdAt"].timestamp(), each["message"])
            for each in service.get("events", ())
        ),
    )


def deployment_view(rollout: Mapping[str, Any]) -> Deployment:
    """A deployment, or a task set."""
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
    failed = rollout.get("rolloutState") == "FAILED"
    states = {rollout.get("rolloutState"), rollout.get("stabilityStatus")}
    return Deployment(
        id=str(rollout["id"]),
        primary=rollout["status"] == "PRIMARY",
        created=rollout["createdAt"].timestamp(),
        in_progress=not states.isdisjoint({"IN_PROGRESS", "STABILIZING"}),
        failure=rollout.get("rolloutStateReason", "ECS gives no reason") if failed else "",
    )


def task_view(task: Mapping[str, Any]) -> Task:
    """What DescribeTasks tells of a task."""
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
    containers = task.get("containers", ())
    codes = [f"exit code {c['exitCode']}" if "exitCode" in c else "" for c in containers]
    times = {name: at for name, at in task.items() if name.endswith("At")}
    return Task(
        arn=task["taskArn"],
        running=task["lastStatus"] == "RUNNING",
        addresses=frozenset(task_addresses(task)),
        times={name: round(at.timestamp(), 3) for name, at in times.items()},
        stopped_reason=str(task.get("stoppedReason", "")),
        container_reasons=tuple(
            c.get("reason") or code for c, code in zip(containers, codes, strict=True)
        ),
    )


def task_addresses(task: Mapping[str, Any]) -> Iterator[str]:
    """The addresses of a task's interfaces, and the ports that it has on its host.

    A port stands for its instance: two tasks with the same port on two instances are taken for one
    while ours runs, and for a minute after it has ended.
    """
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Container.html
    for attachment in task.get("attachments", ()):
        for detail in attachment.get("details", ()):
            if "Address" in detail["name"]:
                yield plain_address(detail["value"])
    for container in task.get("containers", ()):
        for interface in container.get("networkInterfaces", ()):
            for name in ("privateIpv4Address", "ipv6Address"):
                if interface.get(name):
                    yield plain_address(interface[name])
        for bound in container.get("networkBindings", ()):
            for port in host_ports(bound):
                yield f"port {port}"


def host_ports(binding: Mapping[str, Any]) -> list[int]:
    """The ports on the host of one network binding, which has one or a range; [] for neither."""
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html
    if "hostPort" in binding:
        return [binding["hostPort"]]
    first, _, last = binding.get("hostPortRange", "").partition("-")
    return list(range(int(first), int(last or first) + 1)) if first else []


# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
def target_address(target: Mapping[str, Any]) -> str:
    """The address of a target, as task_addresses() has it: an IP address, or an instance's port."""
    if target["Id"].startswith("i-"):
        return f"port {target['Port']}"
    return plain_address(target["Id"])


def plain_address(address: str) -> str:
    """An IP address in its canonical form; any other text unchanged."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-request-method": "HttpRequestMethodConfig",
}


def rule_view(rule: Mapping[str, Any]) -> ListenerRule:
    """What DescribeRules tells of a rule that has a number.

    AWS tells the values of hosts and paths twice, in `Values` and in a config of their kind, and
    regular expressions in the config alone. A condition that matches everything is left out.
    """
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
    forwards = [action for action in rule["Actions"] if action["Type"] == "forward"]
    groups = [a.get("ForwardConfig", {}).get("TargetGroups") or [a] for a in forwards]
    weighed = [group for found in groups for group in found if group.get("Weight", 1) > 0]
    conditions: dict[str, tuple[str, ...]] = {}
    for condition in rule["Conditions"]:
        config = condition.get(CONFIGS.get(condition["Field"], ""), {})
        values = condition.get("Values") or config.get("Values", ())
        expressions = [f"regex {expression}" for expression in config.get("RegexValues", ())]
        conditions[condition["Field"]] = tuple(sorted([*map(str.lower, values), *expressions]))
    return ListenerRule(
        arn=rule["RuleArn"],
        priority=int(rule["Priority"]),
        forwards_to=frozenset(group["TargetGroupArn"] for group in weighed),
        conditions={
            name: values for name, values in conditions.items() if values not in (("/*",), ("*",))
        },
        has_transforms=bool(rule.get("Transforms")),
    )


def covers(rule: ListenerRule, other: ListenerRule) -> bool:
    """Whether `rule` matches everything that `other` does, by host, path and method.

    A rule that matches by anything else takes a part at most, and is none that covers.
    """

    def matched(value: str, globs: Iterable[str]) -> bool:
        return any(fnmatchcase(value, glob.replace("[", "[[]")) for glob in globs)

    return all(
        field in CONFIGS
        and bool(other.conditions.get(field))
        and all(matched(value, globs) for value in other.conditions[field])
        for field, globs in rule.conditions.items()
    )


# --- what ECS says of deployments and of starts that fail -----------------------------------------
def primaries(services: Iterable[Service]) -> list[Deployment]:
    """The primary deployment of each service that has one."""
    return [service.primary for service in services if service.primary]


def deployed_ids(services: Iterable[Service]) -> str:
    """The ids of the primary deployments: with other ids a new start may succeed."""
    return ",".join(deployment.id for deployment in primaries(services))


def failed_deployments(services: Iterable[Service]) -> dict[str, str]:
    """ECS's reason by service, of those whose primary deployment has failed."""
    return {s.name: s.primary.failure for s in services if s.primary and s.primary.failure}


def halted(services: Iterable[Service]) -> str:
    """The failed deployments with ECS's reason, and what a failure means; "" where none has."""
    failed = failed_deployments(services).items()
    return "; ".join(f"{name}: {DEPLOYMENT_FAILED.text} ({why})" for name, why in failed)


def redeploy(services: Iterable[Service], cluster: str) -> str:
    """How to start tasks again once a deployment has failed; "" where none has."""
    command = f"aws ecs update-service --cluster {cluster} --service {{}} --force-new-deployment"
    commands = [f"`{command.format(name)}`" for name in failed_deployments(services)]
    if not commands:
        return ""
    return f"Mend what ECS names and deploy a new task definition, or run {', '.join(commands)}."


def failure_class(reason: str) -> str | None:
    """The class of a reason, without anything of the account; None for no reason."""
    if not reason:
        return None
    kind = next((kind for words, kind in FAILURES if words in reason), "not-ready")
    return "crash-loop" if kind == "container-exited" and SEVERAL in reason else kind


def vagueness(reason: str) -> int:
    """0 for a reason with a class, 1 for an unknown reason, 2 for a summary."""
    if failure_class(reason) != "not-ready":
        return 0
    return 2 if any(words in reason for words in SUMMARIES) else 1


def why_stopped(stopped: Iterable[Task]) -> list[str]:
    """ECS's reason for each of these tasks, with its containers' own; the last one's first."""
    last_first = sorted(stopped, key=lambda task: task.stopped_at or 0.0, reverse=True)
    several = [SEVERAL] if len(last_first) > 1 else []
    return [
        "; ".join(filter(None, [task.stopped_reason, *task.container_reasons, *several]))
        for task in last_first
    ]


def why_not_started(
    memory: Memory,
    services: Iterable[Service],
    running: Iterable[Task],
    stopped: Iterable[Task],
) -> str:
    """ECS's reason why nothing has started in this phase; "" where it says nothing.

    A reason that has a class comes first, be it a task's or an event's; a summary comes last.
    """
    recent = [task for task in stopped if (task.stopped_at or 0.0) >= memory.since]
    # tasks that were scaled to zero may drain for minutes, into the next wake
    unwanted = [task for task in recent if not task.stopped_reason.startswith(SCALED_IN)]
    events = [event for service in services for event in service.events]
    texts = [event.text for event in events if event.created >= memory.since]
    failed = [text for text in texts if not vagueness(text) or FAILING.search(text)]
    best = min([*why_stopped(unwanted), *failed], key=vagueness, default="")
    if best and vagueness(best) < 2:
        return best
    # ECS does not repeat an event for six hours: its reason for the last failure still stands
    stands = not running and memory.failures and not memory.redeployed_since_failure(services)
    kept = memory.failure if stands and memory.failure not in NOT_STARTED.values() else ""
    return kept or best


# --- AWS, the clock, and what is cached: the adapter ----------------------------------------------
def free_priority(rules: Iterable[ListenerRule], to: Rule, config: Config) -> int:
    """The number that puts the wake rule before (UP) or after (DOWN) the service rule's.

    UP: the configured number, or the nearest one before the service rule; never before another of
    our own rules, nor with somebody else's rule in between. DOWN: the parked number or, where it is
    taken or not behind the service rule, the next free one. Raises RuleStuckError if there is none.
    """
    taken = {rule.priority: rule.arn for rule in rules if rule.arn != config.wake_rule_arn}
    service = next(number for number, arn in taken.items() if arn == config.service_rule_arn)
    last = 50000
    numbers: Iterable[int]
    if to is Rule.DOWN:
        parked = max(config.parked_rule_priority, service + 1)
        numbers = chain(range(parked, last + 1), range(service + 1, parked))
    else:
        # after our own rules, whose requests are not for the wake rule, and after all others
        before = max((number for number in taken if number < service), default=0)
        if any(arn in config.own_rule_arns and n > service for n, arn in taken.items()):
            before = service  # no place is behind all of our own and before the service rule
        configured = [config.rule_priority] if before < config.rule_priority < service else []
        numbers = chain(configured, range(service - 1, before, -1))
    for number in numbers:
        if number not in taken:
            return number
    raise RuleStuckError(NO_RULE_NUMBER, f"next to the service rule's {service} to go {to}")


def hides_others(rules: Mapping[str, ListenerRule], config: Config) -> bool:
    """Whether the wake rule, up, stands before one of our other rules or a stranger's."""
    wake = rules[config.wake_rule_arn].priority
    service = rules[config.service_rule_arn].priority
    behind = [rule for rule in rules.values() if rule.priority > wake]
    return any(
        rule.arn in config.own_rule_arns or rule.priority < service
        for rule in behind
        if rule.arn != config.service_rule_arn
    )


T = TypeVar("T")


class Cached(Generic[T]):
    """A value that is read anew when it is older than `seconds`.

    Where it cannot be read, the last one stays for `retry_seconds`.
    """

    def __init__(self, value: T, seconds: float, retry_seconds: float) -> None:
        self.value = value
        self.seconds = seconds
        self.retry_seconds = retry_seconds
        self._due = 0.0  # epoch seconds; until then the value is believed

    def is_due(self, now: float) -> bool:
        return now > self._due

    def keep(self, value: T, now: float) -> T:
        """The value was read."""
        self.value = value
        self._due = now + self.seconds
        return value

    def keep_last(self, now: float) -> T:
        """The value could not be read."""
        self._due = now + self.retry_seconds
        return self.value


class Aws:
    """Every AWS call, the clock and sleep. The one seam at which tests stand."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._clients: dict[tuple[str, bool], Any] = {}
        self._token = Cached("", TOKEN_SECONDS, TOKEN_AGAIN_SECONDS)
        empty: dict[str, Any] = {}
        self._settings = Cached(empty, SETTINGS_SECONDS, SETTINGS_AGAIN_SECONDS)

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    # clients
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
            raise TimeoutError(f"{self.now() - last_take_at:.1f} s after it was announced")
        return client

    # the table
    def item(self, name: str) -> dict[str, Any]:
        """An item of the table; {} if it is not there. Raises TableGoneError."""
        table = self.config.table_name
        key = {"id": {"S": name}}
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
        """The memory as written; None if another invocation has written since it was read."""
        written = replace(memory, version=memory.version + 1)
        database = self.client("dynamodb")
        try:
            database.put_item(
                TableName=self.config.table_name,
                Item={
                    "id": {"S": "memory"},
                    "version": {"N": str(written.version)},
                    "phase": {"S": memory.phase},
                    "body": {"S": json.dumps(vars(written), default=vars)},
                },
                ConditionExpression="attribute_not_exists(id) OR version = :read",
                ExpressionAttributeValues={":read": {"N": str(memory.version)}},
            )
        except database.exceptions.ConditionalCheckFailedException:
            return None
        return written

    def settings(self) -> dict[str, Any]:
        """Terraform's item, cached. Where it cannot be read, the last one stays in force."""
        if not self._settings.is_due(self.now()):
            return self._settings.value
        try:
            read = from_json(self.item("settings").get("body", {"S": "{}"})["S"])
            if isinstance(read, dict):
                return self._settings.keep(read, self.now())
            problem = "no JSON object"
        except (*ERRORS, TableGoneError) as error:
            problem = str(error)
        log(level="WARNING", message="the settings cannot be read", error=problem)
        return self._settings.keep_last(self.now())

    def may_hold(self) -> bool:
        """Whether one more call may be held: of those that begin in `hold_seconds`, `hold_limit`.

        Counted in an item of its own. A call that cannot be counted is held.
        """
        config = self.config
        database = self.client("dynamodb")
        window = int(self.now() // config.hold_seconds)
        count_on = ("ADD held :one", "since = :window")
        begin = (
            "SET since = :window, held = :one",
            "NOT since = :window",
        )  # also where there is no item yet
        try:
            for change, condition in (count_on, begin, count_on):
                try:
                    counted = database.update_item(
                        TableName=config.table_name,
                        Key={"id": {"S": "held"}},
                        UpdateExpression=change,
                        ConditionExpression=condition,
                        ExpressionAttributeValues={
                            ":window": {"N": str(window)},
                            ":one": {"N": "1"},
                        },
                        ReturnValues="ALL_NEW",
                    )
                except database.exceptions.ConditionalCheckFailedException:
                    continue
                return int(counted["Attributes"]["held"]["N"]) <= config.hold_limit
        except ERRORS as error:
            log(level="WARNING", message="held calls are not counted", error=str(error))
        return True

    # the heartbeat's token
    def token(self) -> str:
        """The heartbeat's secret, cached.

        While SSM cannot be reached the last one is believed for longer: a service in use must not
        fall asleep for that. Raises where none was ever read, and where SSM refuses.
        """
        if not self._token.is_due(self.now()):
            return self._token.value
        try:
            return self._token.keep(self.read_token(), self.now())
        except ERRORS as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if not self._token.value or code in TOKEN_DENIED:
                raise
            log(level="ERROR", message="the last token is still believed", error=str(error))
        return self._token.keep_last(self.now())

    def read_token(self) -> str:
        """The secret as SSM has it now."""
        name = self.config.heartbeat_token_parameter
        answer = self.client("ssm").get_parameter(Name=name, WithDecryption=True)
        return str(answer["Parameter"]["Value"])

    # services and tasks
    def services(self) -> tuple[Service, ...]:
        """The services that are there and ACTIVE."""
        ecs = self.client("ecs")
        names = list(self.config.service_names)
        try:
            answer = ecs.describe_services(cluster=self.config.cluster_name, services=names)
        except ecs.exceptions.ClusterNotFoundException:
            return ()
        return tuple(service_view(s) for s in answer["services"] if s["status"] == "ACTIVE")

    def set_count(self, service: str, count: int, last_take_at: float | None = None) -> None:
        """UpdateService. With `last_take_at` it takes: not retried. Raises TimeoutError."""
        client = self.caller("ecs", last_take_at)
        cluster = self.config.cluster_name
        client.update_service(cluster=cluster, service=service, desiredCount=count)

    def tasks(self, status: str) -> tuple[Task, ...]:
        """The services' tasks whose desiredStatus is `status`: RUNNING or STOPPED."""
        ecs = self.client("ecs")
        cluster = self.config.cluster_name
        found: list[dict[str, Any]] = []
        for name in self.config.service_names:
            ask: dict[str, Any] = {"cluster": cluster, "serviceName": name, "desiredStatus": status}
            while True:  # DescribeTasks takes a hundred at a time
                listed = ecs.list_tasks(**ask)
                if listed["taskArns"]:
                    described = ecs.describe_tasks(cluster=cluster, tasks=listed["taskArns"])
                    found += described["tasks"]
                if not listed.get("nextToken"):
                    break
                ask["nextToken"] = listed["nextToken"]
        return tuple(task_view(task) for task in found if task["desiredStatus"] == status)

    def protected(self, tasks: tuple[Task, ...]) -> bool:
        """Whether a task has scale-in protection, the app's own way to say that it is busy."""
        ecs = self.client("ecs")
        cluster = self.config.cluster_name
        arns = [task.arn for task in tasks]
        answers = [
            ecs.get_task_protection(cluster=cluster, tasks=arns[first : first + 100])
            for first in range(0, len(arns), 100)
        ]
        return any(t["protectionEnabled"] for each in answers for t in each["protectedTasks"])

    # targets
    def healthy(self) -> set[str] | None:
        """The addresses of the healthy targets of the wired groups; None where a group is gone."""
        elbv2 = self.client("elbv2")
        try:
            described = [
                elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
                for arn in self.config.target_group_arns
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] == "TargetGroupNotFound":
                return None
            raise
        return {
            target_address(target["Target"])
            for targets in described
            for target in targets
            if target["TargetHealth"]["State"] == "healthy"
        }

    def targets(self, tasks: tuple[Task, ...]) -> Targets:
        """The live ones of `tasks`, which are meant to run, and whether a stranger is healthy.

        Live is a task that is healthy in a target group. A healthy target that is no task of ours,
        neither of `tasks` nor on its way out, is a stranger: with one, and nothing else, each of
        `tasks` that runs is live. It is no stranger while a running task has no address at all.
        """
        healthy = self.healthy()
        if healthy is None:
            return Targets((), strangers=False, group_missing=True)
        live = tuple(task for task in tasks if task.addresses & healthy)
        unknown = healthy.difference(*(task.addresses for task in tasks))
        running = tuple(task for task in tasks if task.running)
        if unknown:  # mostly tasks that are on their way out; an address or port may be used again
            ends = [task for task in self.tasks("STOPPED") if self.ends(task)]
            unknown = unknown.difference(*(task.addresses for task in ends))
        if unknown and not live:
            live = running
        strangers = bool(unknown) and all(task.addresses for task in running)
        return Targets(live, strangers)

    def ends(self, task: Task) -> bool:
        """Whether a task that is not meant to run is on its way out, or has just gone."""
        return task.stopped_at is None or self.now() - task.stopped_at < OUT_SECONDS

    # the listener's rules
    def rules(self) -> tuple[Rule, dict[str, ListenerRule]]:
        """Where the wake rule stands, and the listener's rules by ARN; {} on the alarm path."""
        config = self.config
        if not config.wake_rule_arn:
            return Rule.NONE, {}
        listener = config.service_rule_arn.replace("-rule/", "/", 1).rpartition("/")[0]
        pages = self.client("elbv2").get_paginator("describe_rules").paginate(ListenerArn=listener)
        views = [
            rule_view(rule)
            for page in pages
            for rule in page["Rules"]
            if rule["Priority"] != "default"
        ]
        rules = {rule.arn: rule for rule in views}
        if not rules.keys() >= {config.wake_rule_arn, config.service_rule_arn}:
            return Rule.MISSING, rules
        wake = rules[config.wake_rule_arn]
        service = rules[config.service_rule_arn]
        return Rule.UP if wake.priority < service.priority else Rule.DOWN, rules

    def move_rule(self, to: Rule, last_take_at: float) -> bool:
        """Put the wake rule up (gives) or down (takes); False if it need not be moved."""
        stands, rules = self.rules()
        if stands is Rule.MISSING:
            raise RuleStuckError(RULE_MISSING)
        if stands in (to, Rule.NONE):
            return False
        return self.put_rule(rules, to, last_take_at if to is Rule.DOWN else None)

    def put_rule(
        self,
        rules: Mapping[str, ListenerRule],
        to: Rule,
        last_take_at: float | None = None,
    ) -> bool:
        """SetRulePriorities, of the wake rule alone; False if it has its number already."""
        wake = self.config.wake_rule_arn
        number = free_priority(rules.values(), to, self.config)
        if number == rules[wake].priority:
            return False
        moved = [{"RuleArn": wake, "Priority": number}]
        self.caller("elbv2", last_take_at).set_rule_priorities(RulePriorities=moved)
        return True

    # alarms
    def alarm(self, arn: str) -> Alarm:
        """The state of an alarm: OK, ALARM, INSUFFICIENT_DATA or MISSING."""
        names = [arn.rpartition(":")[2]]
        alarms = self.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        if not alarms:
            return Alarm("MISSING")
        # the API does not promise it; without it one notice comes earlier
        since = alarms[0].get("StateTransitionedTimestamp")
        return Alarm(alarms[0]["StateValue"], since.timestamp() if since else 0.0)


# --- HTTP: requests, kinds of clients, the wake policy, CORS --------------------------------------
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
            headers = event.get("multiValueHeaders") or {}
            text = event.get("body") or ""
            encoded = event.get("isBase64Encoded")
            request = cls(
                method=event["httpMethod"],
                path=event["path"],
                query="&".join(f"{name}={value}" for name in queries for value in queries[name]),
                headers={name.lower(): ", ".join(values) for name, values in headers.items()},
                body=base64.b64decode(text) if encoded else text.encode(errors="replace"),
                target_group_arn=event["requestContext"]["elb"]["targetGroupArn"],
            )
            # raises for a value that is no text, or has no place in a URL
            "".join([request.method, request.path, request.query]).encode()
            "".join([request.target_group_arn, *request.headers.values()])
        except (AttributeError, LookupError, TypeError, ValueError):
            raise RefusedError("not in the form of a load balancer's request") from None
        return request

    @property
    def location(self) -> str:
        """A reference to the URL of this request, which cannot lead a client off the site.

        It is path-absolute, because some clients follow nothing else (docs/guide/waiting.md). With
        the header X-Forwarded-Prefix a proxy says that the client asked for another path: then it
        is relative to that URL, which the client alone knows (RFC 3986, section 5).
        """
        safe = "/%:@!$&'()*+,;=~-._?"
        query = "?" + quote(self.query, safe) if self.query else ""
        if self.headers.get("x-forwarded-prefix", "").strip("/, "):
            segment = quote(self.path.rpartition("/")[2], safe)
            # without "./" a colon would end a scheme; with it, curl takes "./?" for no folder
            return query if query and not segment else f"./{segment}{query}"
        path = "/." + self.path if self.path.startswith("//") else "/" + self.path.lstrip("/")
        return quote(path, safe) + query

    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
    @property
    def client_address(self) -> str:
        """The address that the load balancer added to X-Forwarded-For; "" where it did not."""
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
        headers = self.headers.get("access-control-request-headers", "*")
        return self.answer(
            204,
            "",
            Access_Control_Allow_Methods=method,
            Access_Control_Allow_Headers=headers,
        )

    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-3xx-status-codes.html
    def answer(self, status: int, body: object, **headers: str) -> dict[str, Any]:
        """An ALB response: text as HTML, anything else as JSON; never stored, no body for HEAD.

        A 307 without Cache-Control may not be stored by anybody; with no-store CloudFront stores it
        for its minimum TTL, in which a browser goes round until it gives up. A header carries back
        printable ASCII alone of what the client sent.
        """
        is_html = isinstance(body, str)
        redirects = status == HTTPStatus.TEMPORARY_REDIRECT
        named = {
            "Content-Type": "text/html; charset=utf-8" if is_html else "application/json",
            **({} if redirects else {"Cache-Control": "no-store"}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        text = body if isinstance(body, str) else json.dumps(body)
        return {
            "statusCode": status,
            "statusDescription": f"{status} {HTTPStatus(status).phrase}",
            "isBase64Encoded": False,
            "multiValueHeaders": {name: [printable(value)] for name, value in named.items()},
            "body": "" if self.method == "HEAD" else text,
        }

    def problem(
        self, status: int, detail: str, facts: Mapping[str, Any] | None = None, **headers: str
    ) -> dict[str, Any]:
        """The same for an error: a problem document, `facts` its further members."""
        # https://www.rfc-editor.org/rfc/rfc9457
        document = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            **(facts or {}),
        }
        headers["Content_Type"] = "application/problem+json"
        return self.answer(status, document, **headers)


def printable(text: str) -> str:
    """Its printable ASCII."""
    return "".join(character for character in text if " " <= character <= "~")


class ClientKind(StrEnum):
    """What a client can use while it waits."""

    PAGE = "page"  # a person looks at it
    API_CALL = "api call"  # it can be held and sent on
    SUBRESOURCE = "subresource"  # of a page: neither HTML nor waiting is of use to it
    PREFLIGHT = "preflight"
    GRPC = "grpc"  # of a 503 it makes UNAVAILABLE, which may be tried again; of a 307 UNKNOWN


# For requests without Sec-Fetch headers (plain HTTP, old browsers): how browsers begin their names,
# the headers of scripts, and the types and names of parts of a page.
BROWSERS = ("Mozilla/", "Opera/", "Lynx/", "w3m/", "Dillo/")
SCRIPTED = {"hx-request", "turbo-frame", "x-turbo-request-id", "x-pjax", "x-up-version"}
PART_TYPES = ("image/", "text/css", "font/", "audio/", "video/")
PART_NAMES = re.compile(r"\.(m?js|css|map|woff2?|[to]tf|mp[34]|web[mp]|wasm|webmanifest)$")


def client_kind(method: str, path: str, headers: Mapping[str, str]) -> ClientKind:
    """What this client can use while it waits. Pure; header names are in lower case."""
    # https://developer.mozilla.org/docs/Glossary/Fetch_metadata_request_header
    mode = headers.get("sec-fetch-mode")
    dest = headers.get("sec-fetch-dest")
    if method == "OPTIONS" and "access-control-request-method" in headers:
        return ClientKind.PREFLIGHT
    if re.match(r"application/grpc(\+|;|$)", headers.get("content-type", "")):
        # https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
        return ClientKind.GRPC
    if mode is None:
        navigates = navigates_without_metadata(headers)
        part = not navigates and is_part_without_metadata(path, headers)
    else:
        # a download is a navigation too: it would save the page as the file
        navigates = mode == "navigate" and dest != "empty"
        part = dest not in (None, "empty")
    reads = method in ("GET", "HEAD")
    if navigates:
        return ClientKind.PAGE if reads else ClientKind.API_CALL
    return ClientKind.SUBRESOURCE if part and (reads or mode) else ClientKind.API_CALL


def is_browser(headers: Mapping[str, str]) -> bool:
    """Whether a browser itself, and no script in it, sent a request without Sec-Fetch headers."""
    ajax = headers.get("x-requested-with", "").lower() == "xmlhttprequest"
    scripted = ajax or not SCRIPTED.isdisjoint(headers)
    return headers.get("user-agent", "").startswith(BROWSERS) and not scripted


def navigates_without_metadata(headers: Mapping[str, str]) -> bool:
    """Whether a request without Sec-Fetch headers is a navigation."""
    accept = headers.get("accept", "")
    # programs and scripts accept text/html too, but only browsers accept both
    return is_browser(headers) and "text/html" in accept and "application/xhtml+xml" in accept


def is_part_without_metadata(path: str, headers: Mapping[str, str]) -> bool:
    """Whether a request without Sec-Fetch headers, and no navigation, is for a part of a page."""
    if headers.get("accept", "").startswith(PART_TYPES):
        return True
    return is_browser(headers) and bool(PART_NAMES.search(path.lower()))


def browser_initiated(headers: Mapping[str, str]) -> str | None:
    """The class of a request that a browser sends of its own accord; None for any other."""
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
    origin = headers.get("origin")
    allowed = set(allowed)
    if origin is None or not {origin, "*"} & allowed:
        return {}
    if not (origin.isascii() and origin.isprintable()):
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
    """Whether an address is within a range; False for a text that is no address."""
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


# --- the waiting page -----------------------------------------------------------------------------
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
    if status["phase"] != Phase.ASLEEP:
        return words[PHASE_WORDS[status["phase"]].page]
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


# --- events, beats and commands -------------------------------------------------------------------
def parse_command(event: Mapping[str, Any], now: float) -> Signal:
    """A direct invoke: {"command": ..., "minutes": ...}, or Terraform's with its "tf" key."""
    command = event["command"]
    minutes = event.get("minutes", 60)
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
    """The body of a heartbeat."""

    in_flight: int = 0  # requests under way now
    requests: int = 0  # requests begun since the last beat
    idle_seconds: float | None = None  # since the last activity, where the sender knows


def parse_beat(body: bytes) -> Beat:
    """The body of a heartbeat; missing fields count as zero. Raises RefusedError."""
    read = from_json(body or b"{}")
    names = [item.name for item in fields(Beat)]
    if not isinstance(read, dict):
        raise RefusedError('the body must be JSON like {"in_flight": 1, "requests": 0}')
    if read and not read.keys() & set(names):
        raise RefusedError(f"the body must have one of {', '.join(names)}")
    for name in ("in_flight", "requests"):
        count = read.get(name, 0)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise RefusedError(f"{name} must be a whole number, 0 or more")
    idle = read.get("idle_seconds", 0)
    number = isinstance(idle, int | float) and not isinstance(idle, bool)
    if not number or not 0 <= idle <= LONGEST_IDLE_SECONDS:
        raise RefusedError(f"idle_seconds must be a number from 0 to {LONGEST_IDLE_SECONDS:.0f}")
    return Beat(**fields_only(Beat, read))


def activity(beat: Beat, now: float, idle_minutes: int) -> float | None:
    """When the service was last used, as an epoch second; None: not within `idle_minutes`.

    A request under way is use now. Requests that came and went are use `idle_seconds` ago; where
    that is not given, now. Without either, `idle_seconds` alone decides.
    """
    if beat.in_flight:
        return now
    if beat.idle_seconds is None:
        return now if beat.requests else None
    return now - beat.idle_seconds if beat.idle_seconds <= idle_minutes * 60 else None


def parse_signal(event: Any, config: Config, now: float) -> Signal:
    """The signal of every event but HTTP. Raises RefusedError for an unknown event."""
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
            if is_of_our_service(detail, resources, config):
                return Signal(Kind.ECS_EVENT, active=detail.get("lastStatus") == "RUNNING")
    raise RefusedError("not a command, nor a tick, an alarm or an ECS event of ours")


def is_of_our_service(
    detail: Mapping[str, Any], resources: Iterable[object], config: Config
) -> bool:
    """Whether an ECS event is about one of the services or their tasks."""
    # the event of a task names its cluster and, as its group, its service
    cluster = config.cluster_name
    groups = [f"service:{name}" for name in config.service_names]
    own_cluster = str(detail.get("clusterArn")).endswith(f":cluster/{cluster}")
    if own_cluster and detail.get("group") in groups:
        return True
    services = tuple(f":service/{cluster}/{name}" for name in config.service_names)
    return any(str(arn).endswith(services) for arn in resources)


# --- Notifier: log, metrics, topic ----------------------------------------------------------------
def log(**entry: Any) -> None:
    """One JSON line. Never a payload, a query or a secret; of headers the user agent at most."""
    print(json.dumps(entry, default=str), flush=True)


def sns_messages(notice: Notice, facts: Mapping[str, str]) -> dict[str, str]:
    """A notice as SNS takes it with MessageStructure "json": one text for each protocol.

    `https` is a custom notification of Amazon Q Developer in chat applications (AWS Chatbot).
    """
    # https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    text = notice.text[:NOTICE_CHARACTERS]
    remedy = notice.remedy or notice.problem.remedy
    title = f"{facts['name']}: {text}".splitlines()[0][:250]
    runbook = f"Runbook: docs/guide/operating.md, section Notices, row {facts['kind']}"
    chat = {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": title,
            "description": text,
            "nextSteps": [remedy, runbook],
        },
        "metadata": {
            "threadId": facts["name"],
            "eventType": facts["kind"],
            "summary": title,
            "additionalContext": dict(facts),
        },
    }
    mail = f"{text}\n\nWhat to do: {remedy}\n{runbook}\n"
    return {"default": text, "email": mail, "https": json.dumps(chat)}


def log_wake(record: Mapping[str, Any], down: float) -> None:
    """One line for a wake: its cause, its seconds stage by stage, and the sleep that it ended."""
    times = {**record["times"], **({"down": down} if down else {})}
    facts = {name: value for name, value in record.items() if name != "times"}
    log(level="INFO", wake={**facts, "stages": stages(times)})


class Notifier:
    """Writes metrics and publishes notices."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.config = aws.config
        self._error_notified_at = 0.0  # by this container

    def metrics(self, **values: float) -> None:
        """Metrics in a log line (embedded metric format): no call while a client waits."""
        described = {
            "Namespace": self.config.metric_namespace,
            "Dimensions": [["Name"]],
            "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
        }
        stamped = {"Timestamp": int(self.aws.now() * 1000), "CloudWatchMetrics": [described]}
        log(_aws=stamped, Name=self.config.name, **values)

    def publish(self, notice: Notice, phase: str, *, in_haste: bool = False) -> bool:
        """Send a notice to the topic. A failed publish is logged, and the answer is False.

        `in_haste`: a client waits, so it is tried once and for a moment.
        """
        problem = notice.problem
        if problem.severity == "info" and not self.config.transition_notices:
            return True
        title = f"{self.config.name}: {notice.text}".splitlines()[0]
        facts = {
            "name": self.config.name,
            "kind": problem.code,
            "phase": phase,
            "severity": problem.severity,
        }
        try:
            self.aws.client("sns", taking=in_haste).publish(
                TopicArn=self.config.topic_arn,
                Subject="".join(c if " " <= c <= "~" else "?" for c in title)[:99],
                Message=json.dumps(sns_messages(notice, facts)),
                MessageStructure="json",
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in facts.items()
                },
            )
        except ERRORS as error:
            failed = {"notice": notice.text, "error": str(error)}
            log(level="ERROR", message="the notice was not sent", **failed)
            return False
        return True

    def notify_error(self, what: str) -> None:
        """Publish an error for which a client got a 503, once an hour and container: the memory may
        be the very thing that fails, so it cannot hold the time of the last notice.
        """
        now = self.aws.now()
        if now - self._error_notified_at >= ERROR_NOTICE_SECONDS:
            self._error_notified_at = now
            self.publish(problem_notice(ERRORS_HANDLED, what), "unknown", in_haste=True)


# --- Reconciler: observe, decide, write, apply ----------------------------------------------------
@dataclass(frozen=True)
class Applied:
    """What was done, and whether a call that takes is known to have failed."""

    actions: list[str]
    take_failed: bool = False
    stuck: RuleStuckError | None = None


class Reconciler:
    """Brings AWS and the memory into agreement, once for each signal."""

    def __init__(self, aws: Aws, notifier: Notifier) -> None:
        self.aws = aws
        self.config = aws.config
        self.notifier = notifier

    # observe
    def observe(self, memory: Memory, signal: Signal) -> Observation:
        """Read as much of AWS as this signal needs in this phase, and no more."""
        aws = self.aws
        began = aws.now()
        services = aws.services()
        missing = set(self.config.service_names) - {service.name for service in services}
        seen = Observation(memory, services, tuple(sorted(missing)), began=began)
        # a request came by the wake rule: so the rule is up, and nothing behind it serves
        came = signal.kind in (Kind.REQUEST, Kind.WAKE_ALARM)
        if missing or (came and memory.phase is Phase.ASLEEP and not seen.desired):
            return seen
        seen = self.observe_closely(seen)
        to_take_again = memory.scale_down_failed and seen.desired > 0
        if signal.kind in SLEEPING_KINDS and (memory.phase in UP_PHASES or to_take_again):
            return self.observe_use(seen)
        wake_alarm = self.config.wake_alarm_arn
        if wake_alarm and memory.phase is Phase.ASLEEP and signal.kind is Kind.TICK:
            return replace(seen, wake_alarm_firing=aws.alarm(wake_alarm).state == "ALARM")
        late = aws.now() - self.config.wake_deadline_seconds
        if memory.wake and not seen.live and memory.wake.began < late:
            stopped = [task for task in aws.tasks("STOPPED") if task.stopped_at is not None]
            reason = why_not_started(memory, services, seen.tasks, stopped)
            return replace(seen, stopped_reason=reason)
        return seen

    def observe_closely(self, seen: Observation) -> Observation:
        """The same, with rules, tasks and targets.

        Without the right target group a task that runs is live: the service rule serves it, and
        the wake rule must not stand before it.
        """
        tasks = self.aws.tasks("RUNNING")
        stands, rules = self.aws.rules()
        targets = self.aws.targets(tasks)
        detached = targets.group_missing
        if stands in (Rule.UP, Rule.DOWN):
            service_rule = rules[self.config.service_rule_arn]
            wired = set(self.config.target_group_arns)
            detached = detached or service_rule.forwards_to.isdisjoint(wired)
        return replace(
            seen,
            rule=stands,
            tasks=tasks,
            live=tuple(task for task in tasks if task.running) if detached else targets.live,
            strangers=targets.strangers,
            wiring=self.wiring(seen.services, rules, strangers=targets.strangers),
            wiring_fault=TARGET_GROUP_DETACHED.code if detached else "",
            shadows_other_rules=stands is Rule.UP and hides_others(rules, self.config),
        )

    def observe_use(self, seen: Observation) -> Observation:
        """The same, with the idle alarm and the tasks' scale-in protection."""
        alarm = self.aws.alarm(self.config.idle_alarm_arn)
        missing = IDLE_ALARM_MISSING.code if alarm.state == "MISSING" else ""
        return replace(
            seen,
            idle=alarm.state == "ALARM",
            idle_since=alarm.since,
            wiring_fault=seen.wiring_fault or missing,
            protected=self.aws.protected(seen.tasks),
        )

    def wiring(
        self, services: Iterable[Service], rules: Mapping[str, ListenerRule], *, strangers: bool
    ) -> dict[str, str]:
        """The codes of WIRING that are the case now, each with its particulars."""
        config = self.config
        wired = config.target_group_arns
        own = {config.wake_rule_arn, config.service_rule_arn, *config.own_rule_arns}
        foreign = [rule for arn, rule in rules.items() if arn not in own]
        controls = [
            rules[arn]
            for arn in config.own_rule_arns
            if arn in rules and rules[arn].forwards_to == {config.control_target_group_arn}
        ]
        covering = [
            f"{rule.arn} (number {rule.priority})"
            for rule in foreign
            if any(rule.priority < own.priority and covers(rule, own) for own in controls)
        ]
        found = {CONTROL_PATH_COVERED.code: ", ".join(covering)}
        if config.unseen_traffic == "stay_awake":
            unseen = [each for service in services for each in service.unseen_traffic(wired)]
            others = [rule.arn for rule in foreign if not rule.forwards_to.isdisjoint(wired)]
            found[UNSEEN_TRAFFIC.code] = ", ".join(unseen)
            found[STRANGE_TARGETS.code] = f"in {', '.join(wired)}" if strangers else ""
            found[OTHER_RULES.code] = ", ".join(others)
        return {code: particulars for code, particulars in found.items() if particulars}

    # apply
    def apply(self, decision: Decision, last_take_at: float) -> Applied:
        """Make the calls of a decision: those that give first."""
        actions: list[str] = []
        try:
            for service, count in decision.scale_up:
                self.aws.set_count(service, count)
                actions.append(f"{service}: count {count}")
            if decision.rule is Rule.UP and self.aws.move_rule(Rule.UP, last_take_at):
                actions.append("rule up")
            return self.take(decision, last_take_at, actions)
        except RuleStuckError as error:
            return Applied([str(error)], stuck=error)

    def take(self, decision: Decision, last_take_at: float, actions: list[str]) -> Applied:
        """The calls that take. A failure is no error: the next look repeats it, newly announced."""
        try:
            for service in decision.scale_to_zero:
                self.aws.set_count(service, 0, last_take_at)
                actions.append(f"{service}: count 0")
            if decision.rule is Rule.DOWN and self.aws.move_rule(Rule.DOWN, last_take_at):
                actions.append("rule down")
        except ERRORS as error:
            log(level="ERROR", message="not taken", error=str(error))
            return Applied(actions, take_failed=True)
        return Applied(actions)

    # reconcile
    def reconcile(self, signal: Signal) -> Observation:
        """Observe, decide, write, apply; again where another invocation wrote first.

        Raises RuntimeError after ten times.
        """
        for attempt in range(10):
            self.aws.sleep(attempt * 0.001 * secrets.randbelow(100))
            if seen := self.attempt(signal):
                return seen
        raise RuntimeError("another invocation wrote the memory first, ten times in a row")

    def attempt(self, signal: Signal) -> Observation | None:
        """The same, once; None where it has to be done again."""
        aws = self.aws
        started = aws.now()
        try:
            before = aws.read_memory()
        except TableGoneError as error:
            return self.reconcile_without_table(signal, error)
        polls = signal.kind is Kind.POLL
        joins = signal.kind is Kind.REQUEST and before.phase is Phase.WAKING
        claimed = self.claim(before) if polls or joins else before
        if claimed is None or is_no_news(signal, before, started):
            return Observation(before, (), reason="nothing to look for")
        seen = self.observe(claimed, signal)
        decision = decide(seen, signal, self.config, aws.now())
        after = aws.write_memory(decision.memory) if decision.memory else claimed
        if after is None:
            return None
        applied = self.apply(decision, after.last_take_at)
        if "rule down" in applied.actions:
            seen = replace(seen, rule=Rule.DOWN, shadows_other_rules=False, down=aws.now())
        if applied.take_failed and decision.scale_to_zero:
            after = aws.write_memory(replace(after, scale_down_failed=True)) or after
        if applied.actions or decision.memory or not polls:
            log(
                level="INFO",
                signal=signal.kind,
                before=before.phase,
                after=after.phase,
                reason=decision.reason,
                actions=applied.actions,
                milliseconds=round((aws.now() - started) * 1000),
            )
        after = self.report(decision, after, signal, seen)
        if applied.stuck:
            after = self.notify_problem(after, applied.stuck)
        if decision.requeue:
            return None
        return replace(seen, memory=after, reason=decision.reason)

    def claim(self, memory: Memory) -> Memory | None:
        """One waiting client looks every POLL_SECONDS: the memory if it is this one, else None."""
        wake = memory.wake
        now = self.aws.now()
        if wake is None or now - wake.polled_at < POLL_SECONDS:
            return None
        return self.aws.write_memory(replace(memory, wake=replace(wake, polled_at=now)))

    def report(
        self, decision: Decision, memory: Memory, signal: Signal, seen: Observation
    ) -> Memory:
        """Log, count and publish what was decided. Returns the memory as it then is."""
        if decision.wake:
            log_wake(decision.wake, seen.down)
        if decision.metrics:
            self.notifier.metrics(**decision.metrics)
        if decision.notice is None:
            return memory
        waits = signal.kind in (Kind.REQUEST, Kind.POLL, Kind.BEAT)
        code = decision.notice.problem.code
        sent = self.notifier.publish(decision.notice, memory.phase, in_haste=waits)
        if sent or code not in memory.notified_at:
            return memory
        # the next look publishes it again
        notified = {other: at for other, at in memory.notified_at.items() if other != code}
        return self.aws.write_memory(replace(memory, notified_at=notified)) or memory

    def notify_problem(self, memory: Memory, stuck: RuleStuckError) -> Memory:
        """Publish a problem, once: it is remembered first. Returns the memory as it then is."""
        decision = notify_once(memory, stuck.problem, stuck.detail)
        written = self.aws.write_memory(decision.memory) if decision.memory else None
        if written and decision.notice:
            self.notifier.publish(decision.notice, memory.phase)
        return written or memory

    def reconcile_without_table(self, signal: Signal, error: TableGoneError) -> Observation:
        """Without a table nothing can fall asleep: give, and let requests through."""
        now = self.aws.now()
        waking = Memory(0, Phase.WAKING, now, wake=Wake(now, signal.kind, now))
        seen = self.observe(waking, signal)
        log(level="ERROR", message="cannot remember", error=str(error), signal=signal.kind)
        if signal.kind in WAKING_KINDS and not seen.desired:
            for service in seen.services:
                self.aws.set_count(service.name, self.config.awake_count)
        self.notifier.metrics(HandledErrors=1)
        self.notifier.notify_error(str(error))
        if not (seen.desired and seen.live):
            return replace(seen, reason=str(error))
        if seen.rule is Rule.UP:
            self.aws.move_rule(Rule.DOWN, now)
        return replace(seen, memory=replace(waking, phase=Phase.AWAKE, wake=None, last_take_at=now))

    # waiting, and the rest of the record
    def wait(self, until: float, kind: Kind = Kind.POLL) -> Observation:
        """Look every POLL_SECONDS until the wake is over or `until` (epoch seconds) is reached."""
        while True:
            seen = self.reconcile(Signal(kind))
            restored = seen.live and seen.rule is not Rule.UP
            waking = seen.memory.phase is Phase.WAKING
            waits = waking or (kind is Kind.RESTORE and not restored)
            if not waits or seen.missing or self.aws.now() >= until:
                return seen
            self.aws.sleep(POLL_SECONDS if seen.memory.adopted else BLIND_POLL_SECONDS)

    def remember(self, seen: Observation, sent: float = 0.0) -> None:
        """Add two times to the record of a wake that is just over: when we took the rule down, and
        when the first waiting client was `sent` on. Nothing depends on it.
        """
        more = {"down": seen.down, "sent": sent}
        memory = seen.memory
        try:
            for _ in range(2):  # once more where another invocation wrote first
                added = memory.with_times(self.aws.now(), more)
                if added is None or self.aws.write_memory(added):
                    return
                memory = self.aws.read_memory()
        except (*ERRORS, TableGoneError) as error:
            log(level="WARNING", message="the wake's record is not whole", error=str(error))

    def make_room(self, memory: Memory) -> None:
        """Move the wake rule, up, nearer to the service rule, past the rules of others.

        Where there is no place, a service that sleeps is woken by the next tick.
        """
        stands, rules = self.aws.rules()
        try:
            if stands is Rule.UP and self.aws.put_rule(rules, Rule.UP):
                log(level="INFO", message="the wake rule made room for others")
        except RuleStuckError as error:
            self.notify_problem(memory, error)

    def count_refusal(self, error: RefusedError) -> None:
        """Log and count what was refused. A wrong token comes again: published once a day."""
        log(level="WARNING", message="refused", status=error.status, reason=str(error))
        try:
            memory = self.aws.read_memory()
            now = self.aws.now()
            if memory.phase is not Phase.ASLEEP:  # a metric while asleep would cost money
                self.notifier.metrics(Refused=1)
            if not isinstance(error, WrongTokenError) or not memory.adopted:
                return
            code = BEATS_REFUSED.code
            if now - memory.notified_at.get(code, 0.0) < NOTIFY_AGAIN_SECONDS:
                return
            notified = {**memory.notified_at, code: now}
            if self.aws.write_memory(replace(memory, notified_at=notified)):
                self.notifier.publish(problem_notice(BEATS_REFUSED), memory.phase, in_haste=True)
        except Exception as unseen:  # the refusal stands, and its client is answered
            log(level="ERROR", message="the refusal is not counted", error=type(unseen).__name__)

    def status(self, seen: Observation) -> dict[str, Any]:
        """The public status: phase, seconds in it, stage, estimate, the class of a failure."""
        memory = seen.memory
        wake = memory.wake
        now = self.aws.now()
        awake = memory.phase is Phase.AWAKE
        began = wake.began if wake else memory.since
        return {
            "name": self.config.name,
            "phase": memory.phase if memory.adopted else "unknown",
            "live": awake,
            "seconds": round(now - began, 1),
            "stage": wake.stage if wake else "healthy" if awake else None,
            "estimate_seconds": memory.estimate(),
            "failed": failure_class(memory.failure),
            "given_up": memory.backoff_seconds(seen.services, now) == math.inf,
        }


# --- WaitingRoom: answers to HTTP clients ---------------------------------------------------------
class WaitingRoom:
    """Answers requests for a service that is not awake, and the control path."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self.notifier = reconciler.notifier
        self.aws = reconciler.aws
        self.config = reconciler.config

    def serve(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an ALB event. Does not raise: the load balancer would make a 502 of it."""
        request = Request()
        arrived = self.aws.now()
        try:
            request = Request.of(event)
            answer = self.routed(request, arrived)
        except RefusedError as error:
            self.reconciler.count_refusal(error)
            answer = request.problem(error.status, str(error))
        except Exception as error:  # of any kind: it is logged, and the client may try again
            # an error's message may hold a part of the request; those of AWS do not
            what = str(error) if isinstance(error, ERRORS) else type(error).__name__
            frames = "".join(traceback.format_tb(error.__traceback__))
            log(level="ERROR", message="unforeseen", error=what, trace=frames)
            self.notifier.metrics(HandledErrors=1)
            self.notifier.notify_error(what)
            answer = self.internal_error_answer(request)
        answer["multiValueHeaders"] = {
            **answer["multiValueHeaders"],
            "Vary": ["Accept, Accept-Language, Origin, Sec-Fetch-Mode"],
            **cors(request.headers, self.config.cors_allowed_origins),
        }
        return answer

    def routed(self, request: Request, arrived: float) -> dict[str, Any]:
        """The answer of the rule by which the request came. Raises RefusedError for any other."""
        if request.target_group_arn == self.config.wake_target_group_arn:
            return self.request(request, arrived)
        if request.target_group_arn == self.config.control_target_group_arn:
            return self.control(request, arrived)
        raise RefusedError("not from a target group of the warmkeeper", 403)

    def internal_error_answer(self, request: Request) -> dict[str, Any]:
        """503 for an error of our own; to a browser by the page, which asks again by itself."""
        waking = Memory(0, Phase.WAKING, self.aws.now())
        if request.client_kind is ClientKind.PAGE:
            with contextlib.suppress(Exception):  # it may be the page that fails
                return self.page(request, Observation(waking, ()), {"Retry_After": "5"})
        return request.problem(503, "Try again.", Retry_After="5")

    # the wake rule
    def request(self, request: Request, arrived: float) -> dict[str, Any]:
        """A request for a service that is not awake, or just was not: wake it and wait well."""
        if by_itself := browser_initiated(request.headers):
            return self.ignore(request, {"class": by_itself, "answer": "unavailable"})
        if rule := matching_ignore_rule(request, self.aws.settings().get("wake_policy", ())):
            return self.ignore(request, rule)
        seen = self.reconciler.reconcile(Signal(Kind.REQUEST, arrived=arrived))
        waking = seen.memory.phase is Phase.WAKING
        if waking:
            self.notifier.metrics(WaitingAnswers=1)
        client = request.client_kind
        if client is ClientKind.PREFLIGHT:
            return request.preflight()
        full = client is ClientKind.API_CALL and waking and not self.aws.may_hold()
        if client is ClientKind.API_CALL and waking and not full:
            seen = self.reconciler.wait(arrived + self.config.hold_seconds)
        if self.is_served(request, seen, arrived):
            return self.send_on(request, seen, arrived)
        if client is ClientKind.API_CALL and not full and self.may_wait_on(seen):
            return self.redirect(request, seen)
        return self.put_off(request, seen, full=full)

    def is_served(self, request: Request, seen: Observation, arrived: float) -> bool:
        """Whether the same request, sent again, reaches the service."""
        stuck = seen.rule is Rule.UP and arrived - seen.memory.since > STUCK_SECONDS
        awake = seen.memory.phase is Phase.AWAKE and not seen.missing
        return awake and not stuck and request.client_kind is not ClientKind.GRPC

    def may_wait_on(self, seen: Observation) -> bool:
        """Whether a held call may be sent round once more."""
        wake = seen.memory.wake
        if seen.missing or wake is None:
            return False
        return self.aws.now() - wake.began < MOST_HOPS * self.config.hold_seconds

    def send_on(self, request: Request, seen: Observation, arrived: float) -> dict[str, Any]:
        """Wait until the rule has settled, and redirect the client to the URL that it asked for."""
        memory = seen.memory
        now = self.aws.now()
        # a client that comes back waits three times as long as the rule has been on its way
        pace = min(max(SETTLE_SECONDS, 3 * (arrived - memory.since)), SLOW_SETTLE_SECONDS)
        sent = max(memory.last_take_at, arrived) + pace
        self.reconciler.remember(seen, sent)  # while it waits for the rule to settle
        self.aws.sleep(sent - self.aws.now())
        if memory.wakes and now - memory.wakes[-1]["times"]["live"] < FIRST_ANSWERS_SECONDS:
            seconds = f"{memory.wakes[-1]['seconds']:.1f}"
            return self.redirect(request, seen, X_Warmkeeper_Cold_Start_Seconds=seconds)
        return self.redirect(request, seen)

    def redirect(self, request: Request, seen: Observation, **headers: str) -> dict[str, Any]:
        """307 to the URL that the client asked for."""
        phase = seen.memory.phase
        return request.answer(
            307,
            {"phase": phase},
            Location=request.location,
            X_Warmkeeper_Phase=str(phase),
            **headers,
        )

    def put_off(self, request: Request, seen: Observation, *, full: bool) -> dict[str, Any]:
        """The page or a 503, with the time after which to come again."""
        config = self.config
        phase = seen.memory.phase
        retry_after = math.ceil(self.retry_seconds(seen, full=full))
        headers = {"X_Warmkeeper_Phase": str(phase), "Retry_After": str(retry_after)}
        if request.client_kind is ClientKind.PAGE:
            return self.page(request, seen, headers)
        detail = f"The service is {phase}. Try again in {retry_after} s."
        if phase is Phase.ASLEEP and config.wake_confirmation == "browser":
            detail = f"It is asleep. Open it in a browser, or POST {config.control_path}/wake."
        return request.problem(503, detail, self.reconciler.status(seen), **headers)

    def retry_seconds(self, seen: Observation, *, full: bool) -> float:
        """Seconds after which a client that is not held may come again."""
        memory = seen.memory
        now = self.aws.now()
        if memory.wake:
            expected = memory.estimate() or self.config.cold_start_target_seconds
            seconds = max(1, memory.wake.began + expected - now)
        else:
            backoff = memory.backoff_seconds(seen.services, now)
            seconds = min(max(5, backoff), BACKOFF_SECONDS[-1])
        # spread, or the crowd comes back at once
        return seconds + (secrets.randbelow(self.config.hold_seconds) if full else 0)

    def ignore(self, request: Request, rule: Mapping[str, Any]) -> dict[str, Any]:
        """The canned answer to a request that is to wake nothing."""
        agent = printable(request.headers.get("user-agent", ""))[:120]
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

    def page(self, request: Request, seen: Observation, headers: dict[str, str]) -> dict[str, Any]:
        """The waiting page, in the client's language, with further headers."""
        config = self.config
        nonce = secrets.token_urlsafe(16)
        starts = seen.memory.phase is not Phase.ASLEEP
        page = render(
            self.aws.settings().get("page", {}),
            self.reconciler.status(seen),
            accept_language=request.headers.get("accept-language", ""),
            confirm=config.wake_confirmation == "browser",
            location=request.location,
            refresh_seconds="5" if starts else headers["Retry_After"],
            nonce=nonce,
            status_url=f"{config.control_path}/status",
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
        )
        return request.answer(
            config.waiting_status_code,
            page,
            Content_Security_Policy=policy,
            X_Robots_Tag="noindex",
            **headers,
        )

    # the control rule
    def control(self, request: Request, arrived: float) -> dict[str, Any]:
        """The control path: GET status, GET health, POST wake, POST heartbeat."""
        path = self.config.control_path
        beat_path = self.config.heartbeat_path
        posts = request.method == "POST"
        if request.client_kind is ClientKind.PREFLIGHT:
            return request.preflight()
        if posts and beat_path and request.path in (beat_path, f"{path}/heartbeat"):
            return self.beat(request)
        if posts and request.path == f"{path}/wake":
            seen = self.reconciler.reconcile(Signal(Kind.WAKE, arrived=arrived))
            return request.answer(202, self.reconciler.status(seen))
        if not posts and request.path == f"{path}/status":
            seen = self.reconciler.reconcile(Signal(Kind.POLL))
            if seen.memory.phase is Phase.AWAKE:
                self.reconciler.remember(seen, self.aws.now())
            return request.answer(200, self.reconciler.status(seen))
        if not posts and request.path == f"{path}/health":
            return self.health(request)
        here = "Here are GET status, GET health, POST wake and POST heartbeat."
        return request.problem(404, here)

    def health(self, request: Request) -> dict[str, Any]:
        """For monitors: 200 also while it sleeps, which is no outage; 503 after a failed wake."""
        status = self.reconciler.status(self.reconciler.reconcile(Signal(Kind.POLL)))
        failed = status["failed"]
        if status["phase"] == Phase.ASLEEP and failed:
            facts = {"state": "failed", "failed": failed}
            return request.problem(503, "The last wake failed.", facts)
        state = PHASE_WORDS[status["phase"]].health
        return request.answer(200, {"name": self.config.name, "state": state})

    def beat(self, request: Request) -> dict[str, Any]:
        """A heartbeat: with activity it counts, else it does nothing; none wakes."""
        if self.config.heartbeat_token_parameter:
            given = request.headers.get("authorization", "").encode(errors="replace")
            if not hmac.compare_digest(given, f"Bearer {self.aws.token()}".encode()):
                kind = WrongTokenError if given.startswith(b"Bearer ") else RefusedError
                raise kind("send the token as 'Authorization: Bearer <token>'", 401)
        minutes = self.config.idle_minutes
        at = activity(parse_beat(request.body), self.aws.now(), minutes)
        counted = at is not None
        seen = self.reconciler.reconcile(Signal(Kind.BEAT, active=counted, at=at or 0.0))
        if counted and seen.memory.phase is not Phase.ASLEEP:
            self.notifier.metrics(Beats=1)
        return request.answer(
            200,
            {
                "name": self.config.name,
                "phase": seen.memory.phase,
                "counted": counted,
                "holds_seconds": minutes * 60,
            },
        )


# --- Operator: commands, doctor, report, explain --------------------------------------------------
REPORTED = (  # the settings in the report
    "name",
    "cluster_name",
    "service_names",
    "target_group_arns",
    "cold_start_target_seconds",
    "wake_deadline_seconds",
)


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


class Operator:
    """Answers everything but HTTP: commands, ticks, alarms, ECS events, Terraform."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self.aws = reconciler.aws
        self.config = reconciler.config

    def run(self, event: Any) -> dict[str, Any]:
        """Returns the status and the reason. Raises RefusedError, and TimeoutError for `wait`."""
        now = self.aws.now()
        signal = parse_signal(event, self.config, now)
        match signal.kind:
            case Kind.DOCTOR:
                return {"findings": self.doctor()}
            case Kind.REPORT:
                return self.report()
            case Kind.EXPLAIN:
                return self.explain()
            case Kind.RESTORE if not self.config.restore_on_destroy:
                return {"reason": "restore_on_destroy is false: left as it is"}
        return self.answer(event, signal, now)

    def answer(self, event: Any, signal: Signal, now: float) -> dict[str, Any]:
        """Reconcile for a signal that began at `now`, and answer with the status."""
        kind = signal.kind
        deadline = now + self.config.wake_deadline_seconds
        seen = self.reconciled(signal, deadline)
        reason = seen.reason
        if seen.shadows_other_rules and kind in (Kind.TICK, Kind.RECONCILE):
            self.reconciler.make_room(seen.memory)
        if kind is Kind.RESTORE and not seen.missing:  # Terraform takes the function away next
            self.aws.sleep(seen.memory.last_take_at + SLOW_SETTLE_SECONDS - self.aws.now())
        if seen.missing and kind in (Kind.WAKE, Kind.SLEEP, Kind.PIN, Kind.UNPIN):
            raise RefusedError(f"{kind}: {reason}")
        if kind is Kind.ECS_EVENT and signal.active and seen.memory.phase is Phase.WAKING:
            # its target will soon be healthy
            seen = self.reconciler.wait(now + self.config.hold_seconds)
        if kind is Kind.WAKE and event.get("wait"):
            seen = self.reconciler.wait(deadline)
            if seen.memory.phase is not Phase.AWAKE:
                raise TimeoutError(f"not awake: {seen.memory.failure or seen.reason}")
        self.reconciler.remember(seen)
        return {
            **self.reconciler.status(seen),
            "counts": seen.memory.counts,
            "reason": reason,
            "pinned_until": seen.memory.pinned_until,
            "wiring": {NOTICES[code].text: detail for code, detail in seen.wiring.items()},
        }

    def reconciled(self, signal: Signal, deadline: float) -> Observation:
        """Reconcile as the kind of signal wants it."""
        match signal.kind:
            case Kind.RESTORE:
                return self.restore(deadline)
            case Kind.ADOPT | Kind.RECONCILE:
                return self.reconcile_once_allowed(signal)
        return self.reconciler.reconcile(signal)

    def reconcile_once_allowed(self, signal: Signal) -> Observation:
        """Call reconcile() for a function whose role may be new: retry refusals for a minute.

        A new policy takes seconds to be effective, for each service of AWS by itself.
        """
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
        until = self.aws.now() + POLICY_SECONDS
        while True:
            try:
                return self.reconciler.reconcile(signal)
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
                return self.reconciler.wait(until, Kind.RESTORE)
            except Exception as error:
                log(level="ERROR", message="not restored yet", error=str(error))
                if self.aws.now() >= until:
                    what = f"not restored, and maybe still asleep: {error}"
                    notice = problem_notice(ERRORS_HANDLED, what)
                    self.reconciler.notifier.publish(notice, "unknown", in_haste=True)
                    unknown = Memory(0, Phase.AWAKE, self.aws.now())
                    return Observation(unknown, (), reason=what)
                self.aws.sleep(BLIND_POLL_SECONDS)

    # reading
    def doctor(self) -> list[dict[str, str]]:
        """The problems that there are now, each with its remedy; an empty list is good news."""
        try:
            memory = self.aws.read_memory()
        except TableGoneError as error:
            return [finding(TABLE_MISSING, str(error))]
        seen = self.reconciler.observe(memory, Signal(Kind.DOCTOR))
        return [
            *self.service_findings(seen),
            *self.rule_findings(seen),
            *self.wake_findings(seen),
            *(finding(NOTICES[code], detail) for code, detail in seen.wiring.items()),
        ]

    def service_findings(self, seen: Observation) -> Iterator[dict[str, str]]:
        """Of the service, its alarm and the heartbeat's token."""
        if seen.missing:
            yield finding(SERVICE_MISSING, ", ".join(seen.missing))
        without_grace_period = [s.name for s in seen.services if not s.grace_period_seconds]
        if without_grace_period:
            yield finding(NO_GRACE_PERIOD, ", ".join(without_grace_period))
        if self.aws.alarm(self.config.idle_alarm_arn).state == "MISSING":
            yield finding(IDLE_ALARM_MISSING, self.config.idle_alarm_arn)
        if token := self.token_problem():
            yield finding(TOKEN_UNREADABLE, token)

    def rule_findings(self, seen: Observation) -> Iterator[dict[str, str]]:
        """Of the listener's rules."""
        config = self.config
        stands, rules = self.aws.rules()
        if stands is Rule.MISSING:
            yield finding(RULE_MISSING)
        if seen.detached:
            yield finding(TARGET_GROUP_DETACHED)
        service_rule = rules.get(config.service_rule_arn, ListenerRule())
        if stands in (Rule.UP, Rule.DOWN):
            wake_rule = rules[config.wake_rule_arn]
            if wake_rule.conditions != service_rule.conditions:
                yield finding(RULES_DIFFER)
        own = [rules.get(arn, ListenerRule()) for arn in config.own_rule_arns]
        by_upgrade = any(not r.forwards_to.isdisjoint(config.target_group_arns) for r in own)
        if service_rule.has_transforms and by_upgrade:
            yield finding(WEBSOCKETS_TRANSFORMED)

    def wake_findings(self, seen: Observation) -> Iterator[dict[str, str]]:
        """Of the memory, of deployments and of wakes that fail."""
        memory = seen.memory
        wake = memory.wake
        remedy = redeploy(seen.services, self.config.cluster_name)
        if not memory.adopted:
            yield finding(NOTHING_REMEMBERED)
        if remedy:
            yield {"finding": halted(seen.services), "remedy": remedy}
        if memory.failure:
            mend = "Mend the task and deploy it." if remedy else ""
            yield finding(WAKE_FAILED, memory.failure, mend)
        late = wake and self.aws.now() - wake.began > self.config.wake_deadline_seconds
        if late and not seen.live:
            yield finding(WAKING_FOR_LONG, seen.stopped_reason or "no task stopped", remedy)

    def token_problem(self) -> str:
        """Why the heartbeat's token cannot be read; "" if it can, or none is wanted."""
        if not self.config.heartbeat_token_parameter:
            return ""
        try:  # read anew: a container believes its cached token for minutes
            self.aws.read_token()
        except ERRORS as error:
            return str(error)
        return ""

    def report(self) -> dict[str, Any]:
        """The last wakes, and the settings that they are judged by. Only reads."""
        memory = self.aws.read_memory()
        settings = {name: getattr(self.config, name) for name in REPORTED}
        return {**settings, "estimate_seconds": memory.estimate(), "wakes": memory.wakes}

    def explain(self) -> dict[str, Any]:
        """Why it is in its phase, and all that a forecast needs. Looks as the tick does; reads."""
        seen = self.reconciler.observe(self.aws.read_memory(), Signal(Kind.TICK))
        now = self.aws.now()
        return {
            **self.reconciler.status(seen),
            "now": now,
            "since": seen.memory.since,
            "because": seen.memory.because,
            "failure": seen.memory.failure,
            "blockers": [
                {**vars(each), "until": None if each.until == math.inf else each.until}
                for each in blockers(seen, self.config, now)
            ],
            "observation": as_json(seen),
            "config": as_json(self.config),
            "code_sha256": code_sha256(),
        }


def finding(problem: Problem, detail: str = "", remedy: str = "") -> dict[str, str]:
    """One line of doctor's."""
    return {"finding": described(problem, detail), "remedy": remedy or problem.remedy}


# --- the handler ----------------------------------------------------------------------------------
class Warmkeeper:
    """The parts, put together over one Aws."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.notifier = Notifier(aws)
        self.reconciler = Reconciler(aws, self.notifier)
        self.waiting_room = WaitingRoom(self.reconciler)
        self.operator = Operator(self.reconciler)

    def dispatch(self, event: Any) -> dict[str, Any]:
        """Handle one event: an HTTP request, or anything that parse_signal knows."""
        match event:
            case {"requestContext": {"elb": _}}:
                return self.waiting_room.serve(event)
        try:
            return self.operator.run(event)
        except RefusedError as error:
            self.reconciler.count_refusal(error)
            raise


@cache
def container() -> Warmkeeper:
    """One warmkeeper, with its clients, for the life of the container."""
    return Warmkeeper(Aws(Config.from_environment(os.environ)))


def handler(event: Any, _: object) -> dict[str, Any]:
    """Lambda's entry. Raises everywhere but on the HTTP path: so retries and alarms work."""
    return container().dispatch(event)


# The clients that a wake calls while a client waits; True is the configuration of calls that take.
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
        policy = aws.settings().get("wake_policy", ())
        matching_ignore_rule(Request(), policy)  # compiles its patterns
    except Exception as error:
        log(level="WARNING", message="not prepared", error=f"{type(error).__name__}: {error}")


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:  # set by Lambda, and not where tests import this
    prepare()
