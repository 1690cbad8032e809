"""Puts idle ECS services to sleep (desiredCount = 0) and wakes them on the first request.

This Lambda function, the *warmkeeper*, is invoked by:

- HTTP requests that clients send while the service is not awake
- heartbeats: HTTP requests that report whether the service is used
- the idle alarm: a CloudWatch alarm that fires when no request has come for idle_minutes
- ticks: an EventBridge schedule, once a minute
- ECS and RDS events, commands (direct invokes) and Terraform

One service, or an environment of several, the *members*, has one phase of four:

            idle alarm                    linger over, no request
   awake ----------------> drowsy -----------------------------> asleep
     ^                       |                                     |
     |   a request: at once  |                                     | a request
     +-----------------------+                                     v
     +<---------------------- live target ------------------- waking

A drowsy service still runs, and any request makes it awake again. If no request comes for
linger_seconds, the service falls asleep. In the phase waking, tasks start and clients wait for a
*live target*: a task that is healthy in its target group.

Requests reach the service by one or more *routes*. A route is a rule of the load balancer's
listener that forwards to the service, the *service rule*, and the module's *wake rule* for the same
requests. The wake rule is *up* if it stands before the service rule. Then it hands the requests to
the warmkeeper. The wake rule is *down* if it stands after the service rule. The wake rules of all
routes move together. If only some are up, their state is *mixed*, and the next invocation moves the
rest. On the *alarm path* there is no wake rule: a sleeping service's clients get the load
balancer's 503, and the *wake alarm*, a CloudWatch alarm on these 503s, invokes the warmkeeper.

The service is *open* if each route has a live target in a target group to which its service rule
forwards. The service is *dead* if no target is healthy. Wake rules go down only if the service is
open, or at the deadline of a wake if it is not dead. A service that is awake and whose wake rules
are down goes to waking only if it is dead.

A member of an environment starts when the members and databases of its start_after are *ready*. An
environment is open only if each required member is ready, too. A *shared* member is started if it
is at 0, and never stopped.

The phase is stored in one DynamoDB item, the *memory*. Every transition is one conditional write to
this item. If several invocations attempt a transition at the same time, only one write succeeds,
and only the invocation that wrote makes the AWS calls of the transition.

An AWS call *gives* if it raises the count (desiredCount), starts a database, puts a wake rule up or
resumes auto scaling. A call that gives may be repeated at any time. An AWS call *takes* if it sets
the count to 0, stops a database, puts a wake rule down or suspends auto scaling. If a call that
takes has its effect late, after a new wake has begun, it does harm. Therefore:

- A conditional write announces each call that takes: it stores the current time in the memory.
- The call starts within TAKE_START_SECONDS of its announcement, or not at all.
- The call is never retried.

The *fence* is the period of FENCE_SECONDS after the last announcement. During the fence, the
announced call may still have its effect. A wake trusts only a live target that is observed after
the fence. If there is none when the fence ends, the wake sets the count once more, because the
announced call may have set the count to 0.
"""

from __future__ import annotations

import base64
import contextlib
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache, lru_cache, partial
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar, assert_never
from urllib.parse import quote, unquote

import boto3  # not imported at its first use, because Lambda's init phase has a full CPU
from botocore.config import Config as SdkConfig
from botocore.exceptions import BotoCoreError, ClientError

# --- settings -------------------------------------------------------------------------------------
# The fence: calls that take
TAKE_START_SECONDS = 1.0  # from the announcement of a call until its start, at most
TAKE_TIMEOUT_SECONDS = 1.0  # the connect timeout of such a call, and also its read timeout
FENCE_SECONDS = 5.0  # start + connect + read, and 2 s until AWS's reads show the effect
OUT_SECONDS = 60.0  # a stopped task may stay registered as a target for this long

# Waking
SCALE_UP_AGAIN_SECONDS = 10.0  # if a count still reads 0 this long after it was set, set it again
SETTLE_SECONDS = 1.0  # the shortest time in which a rule change reaches every load balancer node
SLOW_SETTLE_SECONDS = 10.0  # the longest such time observed; a load balancer may batch changes
STUCK_SECONDS = 45.0  # a wake rule that is up this long after a wake is stuck, not slow to change
# The pause after the first, second, ... failed wake in a row. After one failure more than the tuple
# has entries, requests no longer wake the service.
BACKOFF_SECONDS = (60, 120, 300, 900, 3600)
ALARM_LATE_SECONDS = 180.0  # an alarm may be in ALARM because of data this old
TICK_JITTER_SECONDS = 2.0  # two ticks are a minute apart, plus or minus this
RESTORE_PIN_SECONDS = 3600.0  # during a destroy, no invocation may scale to zero for this time

# Waiting clients
POLL_SECONDS = 0.5  # between two observations of AWS, which all waiting invocations share
# The same, as long as no task has started: no target can be healthy, and ECS sends an event when a
# task starts. Each observation takes from rates that all services of an account share.
EARLY_POLL_SECONDS = 2.0
BLIND_POLL_SECONDS = 3.0  # without a memory, between two observations of one waiting invocation
FIRST_ANSWERS_SECONDS = 60.0  # for this time after a wake, redirects carry the wake's duration
WAIT_ON_SECONDS = 10.0  # the command wake waits so much longer, to report why a wake was given up
# During a wake an API call is held for hold_seconds, redirected to the same URL, held again, and so
# on, at most MOST_HOLDS times. The last hold ends in a 503, so 8 holds make 7 redirects. Once the
# service is live, up to 3 redirects follow (1 s, 4 s and 14 s later), until the rule change has
# reached every load balancer node. The sum is 10, because some clients follow no more redirects.
MOST_HOLDS = 8
CONTROL_PAGE_SECONDS = "30"  # between two reloads of the control path's page without JavaScript

# Databases
STOP_AFTER_MINUTES = 120  # unless DATABASES has another number, and so the next
DATABASE_DEADLINE_MINUTES = 30
DATABASE_START_SECONDS = 300.0  # assumed if no start of a database is remembered

# Heartbeats
BEAT_WRITE_SECONDS = 15.0  # if heartbeats are closer together than this, only one is written
LONGEST_IDLE_SECONDS = 1e9  # the largest idle_seconds that a heartbeat may have

# Cached reads
TOKEN_SECONDS = 300.0  # a heartbeat token is cached for this time
TOKEN_AGAIN_SECONDS = 60.0  # between two tries to read the token, while SSM cannot be reached
# Errors of SSM that mean that there is no valid token. Any other error is an outage of SSM.
TOKEN_DENIED = ("ParameterNotFound", "AccessDeniedException")
SETTINGS_SECONDS = 300.0  # the settings, an item that Terraform writes, are cached for this time
SETTINGS_AGAIN_SECONDS = 10.0  # between two tries to read the settings, while reading fails

# Notices
IDLE_BUT_AWAKE_SECONDS = 12 * 3600.0  # a service that is idle for this time should be asleep
NOTIFY_AGAIN_SECONDS = 24 * 3600.0  # between two notices of refused heartbeats
ERROR_NOTICE_SECONDS = 3600.0  # between two notices of errors from one Lambda container
NOTICE_CHARACTERS = 2000  # longer texts are cut, since ECS's reasons can be long

# The memory
KEPT_WAKES = 10
# The version of the memory's schema. If a stored item has another FORM, its content is not read,
# and the phase is set by what AWS shows. If a field of Memory or Wake changes its name or meaning,
# raise FORM. If the default of a new field is wrong for stored items, raise FORM too. CHANGELOG
# must mention that FORM was raised.
FORM = 1

# AWS's errors
# Errors of an AWS call. A TimeoutError means that a call that takes was too late to be started.
ERRORS = (BotoCoreError, ClientError, TimeoutError)
DENIED = ("AccessDeniedException", "AccessDenied", "AuthorizationError", "UnauthorizedOperation")
POLICY_SECONDS = 60.0  # a new role's policy may take this time to be effective
POLICY_AGAIN_SECONDS = 3.0

# Words in ECS's reason for a failed start, and the class of the failure. Clients see only the
# class. The first match decides. A text may have a general part and a cause ("unable to place a
# task. Reason: Internal error."), so the words of causes stand before the words of general parts.
# tests/warmkeeper/ecs_words.toml has each text that AWS documents.
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
    ("failed to launch a task", "setup-failed"),  # RunTask was refused: wrong role or tags
    ("been misconfigured", "setup-failed"),  # said of IAM policies and of a trust relationship
    ("Unexpected EC2 error", "setup-failed"),  # about the network interface
    ("InternalError", "setup-failed"),
    ("Internal error", "setup-failed"),  # the subnet may be in a zone without Fargate
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
    ("TaskFailedToStart:", "no-capacity"),  # RESOURCE, AGENT, ATTRIBUTE or the like follows
    ("Spot Task was interrupted", "no-capacity"),
    ("SpotInterruption", "no-capacity"),
    ("Host EC2", "no-capacity"),
    ("Container instance deregistration", "no-capacity"),
    ("health checks", "health-check-failed"),
    ("is unhealthy in", "health-check-failed"),
    ("is not healthy in", "health-check-failed"),
    ("Essential container", "container-exited"),
)
SUMMARIES = ("consistently start tasks", "tasks failed to start")  # in texts without the cause
# If an event has no words of FAILURES, it reports a failure if it has one of these words.
FAILING = re.compile("unable|failed")
SCALED_IN = "Scaling activity"  # if a task was scaled in, ECS's reason begins with this
SEVERAL = "several tasks stopped"
NOT_STARTED = {  # if ECS gives no reason, the reason by the furthest stage that a task has reached
    "asked": "unable to place a task in time",
    "placed": "CannotPull: the image was not there in time",
    "pulled": "ResourceInitializationError: the containers did not start in time",
    "started": "no task passed its health checks in time",
}


class RefusedError(ValueError):
    """An event that is not understood or not allowed, and that has changed nothing.

    `why` is logged, so `why` must not quote the event.
    """

    def __init__(self, why: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(why)
        self.status = status


class WrongTokenError(RefusedError):
    """A heartbeat with a wrong token."""


class TableGoneError(RuntimeError):
    """The DynamoDB table that holds the memory does not exist."""


class RuleStuckError(RuntimeError):
    """The wake rule cannot be moved: a rule is missing, or no rule number is free."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(described(problem, detail))
        self.problem = problem
        self.detail = detail


@dataclass(frozen=True)
class Member:
    """An ECS service of the environment."""

    name: str  # the caller's key, by which the memory stores the service; "this" in a plain call
    service_name: str
    start_after: tuple[str, ...] = ()  # keys of members and databases that must be ready first
    required: bool = True  # a wake does not end before the service is ready
    shared: bool = False  # others need the service too: it is started, but never stopped
    queue_arns: tuple[str, ...] = ()  # of SQS; while a queue has messages, the service is used


@dataclass(frozen=True)
class Database:
    """An RDS DB instance or an Aurora DB cluster that starts before the members that need it."""

    name: str  # the caller's key, which differs from those of all members
    identifier: str
    is_cluster: bool
    stop_after_minutes: int  # asleep for so long, the environment stops it
    deadline_minutes: int
    shared: bool = False  # others need the database too: it is started, but never stopped


@dataclass(frozen=True)
class Route:
    """A way by which requests reach the service: a service rule and the module's rules for it."""

    name: str  # the caller's key; "this" in a plain call
    service_rule_arn: str
    wake_rule_arn: str
    own_rule_arns: tuple[str, ...]  # the module's rules for the route other than the wake rule
    rule_priority: int  # the wake rule's preferred priority while the rule is up
    parked_rule_priority: int  # the wake rule's preferred priority while the rule is down
    creates_service_rule: bool = False  # the service rule is the module's, too
    member: str = "this"  # the key of the service that the route leads to

    @property
    def listener_arn(self) -> str:
        return listener_of(self.service_rule_arn)


def listener_of(rule_arn: str) -> str:
    """The ARN of the listener that has this rule."""
    # arn:...:listener-rule/app/NAME/ID/LISTENER/RULE -> arn:...:listener/app/NAME/ID/LISTENER
    return rule_arn.replace("-rule/", "/", 1).rpartition("/")[0]


# All environment variables together may have 4 KB. So fields with their default are left out, and
# ARNs are cut to their ends. ACCOUNT has the beginning of all, and this table has, for each setting
# with ARNs, the service of AWS and what stands between that beginning and the end.
ARN_STARTS = {
    "target_group_arns": ("elasticloadbalancing", "targetgroup/"),
    "wake_target_group_arn": ("elasticloadbalancing", "targetgroup/"),
    "control_target_group_arn": ("elasticloadbalancing", "targetgroup/"),
    "topic_arn": ("sns", ""),
    "idle_alarm_arns": ("cloudwatch", "alarm:"),
    "wake_alarm_arn": ("cloudwatch", "alarm:"),
}
EACH_ROUTE = "{route}"  # in the name of an alarm: there is one for each route


@dataclass(frozen=True)
class Account:
    """Partition, region and account of everything that the function is told of."""

    pattern: str  # "arn:aws:*:eu-west-1:123456789012:", with * for the service of AWS

    @classmethod
    def parse(cls, text: str) -> Account:
        if not re.fullmatch(r"arn:[^:]+:\*:[^:]+:[0-9]{12}:", text):
            raise ValueError(text)
        return cls(text)

    def arn(self, service: str, start: str, text: str) -> str:
        """The ARN that ends with `start` and `text`; `text` itself if it is "" or an ARN."""
        if not text or text.startswith("arn:"):
            return text
        return self.pattern.replace("*", service) + start + text


def parse_members(text: str, account: Account) -> tuple[Member, ...]:
    """The members of a JSON object: {"KEY": {"start_after": ["KEY", ...], ...}, ...}.

    The further fields are those of Member. The key is the service's name unless `service` is given.
    """
    return tuple(
        Member(
            name=name,
            service_name=given.get("service", name),
            start_after=tuple(given.get("start_after", ())),
            required=given.get("required", True),
            shared=given.get("shared", False),
            queue_arns=tuple(account.arn("sqs", "", end) for end in given.get("queues", ())),
        )
        for name, given in json.loads(text).items()
    )


def parse_databases(text: str) -> tuple[Database, ...]:
    """The databases of a JSON object: {"KEY": {"instance" or "cluster": "IDENTIFIER", ...}}.

    The further fields are those of Database.
    """
    return tuple(
        Database(
            name=name,
            identifier=given["cluster"] if "cluster" in given else given["instance"],
            is_cluster="cluster" in given,
            stop_after_minutes=given.get("stop_after_minutes", STOP_AFTER_MINUTES),
            deadline_minutes=given.get("deadline_minutes", DATABASE_DEADLINE_MINUTES),
            shared=given.get("shared", False),
        )
        for name, given in json.loads(text).items()
    )


def parse_routes(text: str, account: Account) -> tuple[Route, ...]:
    """The routes of a JSON object: {"rules": "START OF ALL RULES", "routes": {"KEY": "ROUTE"}}.

    A ROUTE is "UP/PARKED SERVICE_RULE WAKE_RULE OWN_RULE ...": the two priorities of the wake rule,
    and the ends of the rules' ARNs. With "UP/PARKED/created" the service rule is the module's, too.
    The key of an environment's route is MEMBER/ROUTE.
    """
    read = json.loads(text)
    return tuple(
        parse_route(name, given, read["rules"], account) for name, given in read["routes"].items()
    )


def parse_route(name: str, text: str, start: str, account: Account) -> Route:
    """One route of `parse_routes`."""
    priorities, *ends = text.split()
    up, parked, *created = priorities.split("/")
    service_rule, wake_rule, *own_rules = (
        account.arn("elasticloadbalancing", f"listener-rule/{start}", end) for end in ends
    )
    if created not in ([], ["created"]):
        raise ValueError(text)
    return Route(
        name=name,
        service_rule_arn=service_rule,
        wake_rule_arn=wake_rule,
        own_rule_arns=tuple(own_rules),
        rule_priority=int(up),
        parked_rule_priority=int(parked),
        creates_service_rule=bool(created),
        member=name.rpartition("/")[0] or "this",
    )


def for_each_route(names: Iterable[str], routes: Iterable[Route]) -> tuple[str, ...]:
    """The names of alarms, with one for each route in the place of a name with {route}."""
    keys = [route.name.replace("/", "-") for route in routes]
    return tuple(
        name.replace(EACH_ROUTE, key)
        for name in names
        for key in (keys if EACH_ROUTE in name else [""])
    )


def lengthened(values: dict[str, Any]) -> dict[str, Any]:
    """The settings, with whole ARNs in those of ARN_STARTS."""
    account = values["account"]
    whole = dict(values)
    for name in ARN_STARTS.keys() & values.keys():
        arn = partial(account.arn, *ARN_STARTS[name])
        given = values[name]
        whole[name] = tuple(map(arn, given)) if isinstance(given, tuple) else arn(given)
    return whole


@dataclass(frozen=True, kw_only=True)
class Config:
    """The function's settings: one environment variable per field, named as the field in capitals.

    The defaults are those of the module's inputs. On the alarm path these are empty: the routes,
    and the ARNs of the wake and the control target group.
    """

    name: str
    account: Account
    cluster_name: str
    members: tuple[Member, ...]
    routes: tuple[Route, ...]
    databases: tuple[Database, ...] = ()
    target_group_arns: tuple[str, ...]  # the service's own: the wired ones
    wake_target_group_arn: str
    control_target_group_arn: str
    control_path: str = "/.warmkeeper"
    public_url: str = ""  # the URL at which people open the service
    heartbeat_path: str = "/health"  # "" if no heartbeats are taken
    heartbeat_token_parameter: str = ""
    table_name: str
    topic_arn: str
    idle_alarm_arns: tuple[str, ...]  # the service is idle if all of them are in ALARM
    wake_alarm_arn: str = ""
    metric_namespace: str = "Warmkeeper"
    idle_minutes: int = 5
    linger_seconds: int = 60
    min_awake_minutes: int
    awake_count: int = 1
    cold_start_target_seconds: int = 60
    wake_deadline_seconds: int = 300
    wake_budget_per_hour: int = 4
    wake_confirmation: str = "request"  # or "browser" if a request alone must not wake the service
    unseen_traffic: str = "stay_awake"  # or "ignore"
    transition_notices: bool = True
    hold_seconds: int = 25
    hold_limit: int = 50
    waiting_status_code: int = 503
    cors_allowed_origins: tuple[str, ...] = ("*",)
    restore_on_destroy: bool = True
    suspend_autoscaling: bool = True
    service_connect_names: tuple[str, ...] = ()  # those whose requests an idle alarm counts
    schedule: Schedule | None = None  # hours in which the service is kept awake, or closed

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read every setting. Raises ValueError, with the variable's name and the expected type.

        A variable whose field has a default may be left out.
        """
        values: dict[str, Any] = {}
        parsers: dict[str, Callable[[str], Any]] = {
            "str": str,
            "int": int,
            "bool": {"true": True, "false": False}.__getitem__,
            "Account": Account.parse,
            "tuple[str, ...]": lambda text: tuple(word for word in text.split(",") if word),
            "tuple[Member, ...]": lambda text: parse_members(text, values["account"]),
            "tuple[Route, ...]": lambda text: parse_routes(text, values["account"]),
            "tuple[Database, ...]": parse_databases,
            "Schedule | None": parse_schedule,
        }
        for item in fields(cls):
            variable = item.name.upper()
            kind = str(item.type)
            if variable not in environment and item.default is not NO_DEFAULT:
                continue
            if variable not in environment:
                raise ValueError(f"{variable} is not set; the Terraform module sets it")
            got = environment[variable]
            try:
                values[item.name] = parsers[kind](got)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise ValueError(f"{variable} is {got!r}; it must be of type {kind}") from None
        alarms = for_each_route(values["idle_alarm_arns"], values["routes"])
        return cls(**lengthened({**values, "idle_alarm_arns": alarms}))

    @property
    def service_names(self) -> tuple[str, ...]:
        return tuple(member.service_name for member in self.members)

    @property
    def queue_arns(self) -> tuple[str, ...]:
        """The queues of all members, each once."""
        return tuple(dict.fromkeys(arn for member in self.members for arn in member.queue_arns))

    def database(self, name: str) -> Database:
        """The database of this key."""
        return next(database for database in self.databases if database.name == name)

    @property
    def needed(self) -> set[str]:
        """The members and databases that must be ready before the wake rules go down."""
        required = [member for member in self.members if member.required]
        databases = {database.name for database in self.databases}
        after = {name for member in required for name in member.start_after}
        return {member.name for member in required} | (after & databases)

    @property
    def wired_rule_arns(self) -> set[str]:
        """The rules of all routes: service rules, wake rules and all others."""
        return {
            arn
            for route in self.routes
            for arn in (route.service_rule_arn, route.wake_rule_arn, *route.own_rule_arns)
        }


# --- vocabulary: phases, rule, signals, metrics, stages -------------------------------------------
class Phase(StrEnum):
    AWAKE = "awake"
    DROWSY = "drowsy"
    ASLEEP = "asleep"
    WAKING = "waking"


@dataclass(frozen=True)
class PhaseWords:
    """The state that the health path reports for a phase, and the key of a text of the page."""

    health: str
    page: str


PHASE_WORDS = {
    Phase.AWAKE: PhaseWords(health="awake", page="ready"),
    Phase.DROWSY: PhaseWords(health="awake", page="ready"),
    Phase.ASLEEP: PhaseWords(health="dormant", page="asleep"),
    Phase.WAKING: PhaseWords(health="waking", page="after_none"),
    "unknown": PhaseWords(health="unknown", page="after_none"),  # there is no memory
}
UP_PHASES = (Phase.AWAKE, Phase.DROWSY)


class Rule(StrEnum):
    """Where the wake rules of all routes stand on their listeners."""

    UP = "up"  # each before its service rule
    DOWN = "down"  # each after its service rule
    MIXED = "mixed"  # some are up, and some are down
    MISSING = "missing"  # a wake rule or a service rule is not on its listener
    NONE = "none"  # the alarm path has no wake rule
    UNSEEN = "unseen"  # the listeners' rules were not read


RULES_UP = (Rule.UP, Rule.MIXED)  # at least one is up, and hands requests to the warmkeeper
RULES_DOWN = (Rule.DOWN, Rule.MIXED)  # at least one is down


class Kind(StrEnum):
    """The kind of a signal, which is a parsed event. Each command is a kind with its own name."""

    REQUEST = "request"
    POLL = "poll"
    BEAT = "beat"
    TICK = "tick"
    IDLE_ALARM = "idle alarm"
    WAKE_ALARM = "wake alarm"
    ECS_EVENT = "ecs event"
    RDS_EVENT = "rds event"
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
    Kind.BEAT,
    Kind.DOCTOR,
    Kind.REPORT,
    Kind.EXPLAIN,
)

BY_SCHEDULE = "schedule"  # the cause of a wake at the beginning of awake hours

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

# The stages of a wake in their order, each with the time that ends the stage. A time is a timestamp
# of an ECS task, or `live` or `down`, which this program records. If a stage has two times and the
# first is not known, the second ends the stage.
ENDS = {
    "asked": ("createdAt",),
    "placed": ("pullStartedAt", "connectivityAt"),
    "pulled": ("pullStoppedAt",),
    "started": ("startedAt",),
    "healthy": ("live",),
    "opened": ("down",),
}
# A timestamp of an ECS task, and the stage that a task with this timestamp has reached. The
# furthest stage stands first.
STAGES = {"startedAt": "started", "pullStoppedAt": "pulled", "connectivityAt": "placed"}


def stages(times: Mapping[str, float]) -> dict[str, float]:
    """The seconds of each stage of a wake, from the `times` of the wake's record (epoch seconds).

    If the end of a stage is not known, the next stage includes the seconds of both. Even if the
    clocks of ECS and Lambda differ, the stages add up to the duration of the wake.
    """
    wake_began = times["began"]
    wake_ended = times.get("down", times["live"])
    began = 0.0  # when the stage began, in seconds since the wake began
    seconds: dict[str, float] = {}
    for stage, names in ENDS.items():
        at = next((times[name] for name in names if name in times), None)
        if at is not None:
            ended = max(began, round(min(at, wake_ended) - wake_began, 3))
            seconds[stage] = round(ended - began, 3)
            began = ended
    return seconds


def utc(seconds: float) -> str:
    """An epoch second for people: 2026-11-24 21:36:00 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


# --- vocabulary: problems and transitions ---------------------------------------------------------
@dataclass(frozen=True)
class Problem:
    """A problem or a transition that is reported. The memory stores only its code.

    docs/guide/operating.md, section Notices, has a row for each one that is published.
    """

    code: str
    severity: str  # "info" (a transition, which can be muted), "warning" or "critical"
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
    "Find the client that wakes it, or raise idle_minutes.",
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
    "Fix the cause that ECS reports and deploy, or send the command wake.",
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
    "a wake rule or a service rule is not on the listener",
    "Check service_rule_arn and apply again.",
)
TARGET_GROUP_DETACHED = Problem(
    "target-group-detached",
    "warning",
    "a target group is gone, or a service rule forwards to none of them",
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
    "Free a rule priority next to the service rule's.",
)
NOT_LIVE = Problem(
    "not-live",
    "critical",
    "no live target, and the count is not ours to take",
    "Fix the cause that ECS reports, or unpin; or set the count to 0.",
)
NOT_READY = Problem(
    "not-ready",
    "critical",
    "not everything is ready at the deadline, and requests are let through",
    "Fix the cause that ECS reports; attach the service to a target group of each route.",
)
AUTOSCALING_RUNS = Problem(
    "autoscaling-runs",
    "warning",
    "auto scaling cannot be suspended, so the service stays up",
    "Allow the role application-autoscaling:RegisterScalableTarget, or remove the scalable target.",
)
AUTOSCALING_FORGOTTEN = Problem(
    "autoscaling-forgotten",
    "warning",
    "auto scaling is suspended, and whether the module did it is not remembered",
    "Nothing to do if it should run: it is resumed after the wake. Else suspend it again.",
)
SCHEDULED_SCALING = Problem(
    "scheduled-scaling",
    "warning",
    "auto scaling has scheduled actions, and those of a time asleep are not made up",
    "Choose times at which the service is awake, or pin it, or delete the actions.",
)
DEPLOYMENT_FAILED = Problem(
    "deployment-failed",
    "critical",
    "the deployment has failed and starts no task, whatever the count",
    "Fix the cause that ECS reports and deploy a new task definition.",
)
IDLE_BUT_AWAKE = Problem(
    "idle-but-awake",
    "warning",
    "idle for half a day, and still awake",
    "Unpin it, end the deployment or stop the busy task.",
)
UNSEEN_TRAFFIC = Problem(
    "unseen-traffic",
    "warning",
    "it has traffic that the module cannot see",
    'Remove it, or set unseen_traffic = "ignore". Until then the service stays awake.',
)
STRANGE_TARGETS = Problem(
    "strange-targets",
    "warning",
    "a healthy target is no task of the service",
    "Check service_name and target_group_arns, and deregister foreign targets.",
)
OTHER_RULES = Problem(
    "other-rules",
    "warning",
    "other rules of the listener forward to the target group",
    "Delete them: while the service sleeps, requests that match them get 503.",
)
CONTROL_PATH_COVERED = Problem(
    "control-path-covered",
    "warning",
    "an earlier rule takes what is for the control rule or the heartbeat rule",
    "Give the module paths of its own, control_path and heartbeat.path.",
)
RULES_COVERED = Problem(
    "rules-covered",
    "warning",
    "the service rule that the module has created takes all requests of later rules",
    "Give those rules priorities before rule_priority, or narrow conditions.",
)
DATABASE_MISSING = Problem(
    "database-missing",
    "critical",
    "a database is not there",
    "Create it, or correct its identifier in databases.",
)
DATABASE_NOT_STOPPED = Problem(
    "database-not-stopped",
    "warning",
    "a database cannot be stopped, and costs as before",
    "Correct what RDS reports, or take the database out of databases.",
)
DATABASE_STARTED = Problem(
    "database-started",
    "warning",
    "a database was started by somebody, and runs while the rest sleeps",
    "Nothing to do if somebody needs it. Otherwise stop it.",
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
    "Search the log for the level ERROR, which has the trace.",
)
NOTICES = {  # every problem and transition that is published
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
        NOT_READY,
        AUTOSCALING_RUNS,
        AUTOSCALING_FORGOTTEN,
        SCHEDULED_SCALING,
        DEPLOYMENT_FAILED,
        IDLE_BUT_AWAKE,
        UNSEEN_TRAFFIC,
        STRANGE_TARGETS,
        OTHER_RULES,
        CONTROL_PATH_COVERED,
        RULES_COVERED,
        DATABASE_MISSING,
        DATABASE_NOT_STOPPED,
        DATABASE_STARTED,
        BEATS_REFUSED,
        ERRORS_HANDLED,
    )
}
# Problems of the wiring around the service. Each is published once while it lasts, in any phase.
WIRING = (
    UNSEEN_TRAFFIC,
    STRANGE_TARGETS,
    OTHER_RULES,
    CONTROL_PATH_COVERED,
    RULES_COVERED,
    SCHEDULED_SCALING,
    DATABASE_MISSING,
)
# The NOTICES that the command doctor checks by itself. Any other problem of NOTICES is reported by
# doctor if the memory has it among the open problems.
SEEN_BY_DOCTOR = (
    SERVICE_MISSING,
    RULE_MISSING,
    TARGET_GROUP_DETACHED,
    IDLE_ALARM_MISSING,
    NOT_LIVE,  # doctor reports WAKING_FOR_LONG instead
    DEPLOYMENT_FAILED,
)

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
    "Fix the cause that ECS reports, or set the count to 0.",
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
FINDINGS = {  # problems that only the command doctor reports
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
    """The text of a problem, followed by `detail` if there is any."""
    return f"{problem.text}: {detail}" if detail else problem.text


@dataclass(frozen=True)
class Notice:
    """A message to the SNS topic about a problem or a transition."""

    problem: Problem
    text: str
    remedy: str = ""  # if given, replaces the remedy of the problem


def problem_notice(problem: Problem, detail: str = "", remedy: str = "") -> Notice:
    """The notice of a problem that needs attention."""
    return Notice(problem, f"needs attention: {described(problem, detail)}", remedy)


# --- hours: the schedule and its time zone --------------------------------------------------------
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_SECONDS = 86400
DAYS_AHEAD = 8  # hours repeat each week, so the end of a window is looked for no further ahead


@dataclass(frozen=True)
class ClockChange:
    """A day of each year on which clocks change: the last such weekday of a month, for example."""

    month: int
    week: int  # from 1 to 5; 5 is the last one
    weekday: int  # as in POSIX: 0 is Sunday
    seconds: int  # local time of the change, after midnight; may be below 0 or above 24 hours

    def local_time(self, year: int) -> int:
        """The time of the change in a year, as the clocks of before show it (local second)."""
        first = date(year, self.month, 1)
        days = (self.weekday - first.isoweekday()) % 7 + 7 * (self.week - 1)
        while (first + timedelta(days)).month != self.month:
            days -= 7
        return local_midnight(first + timedelta(days)) + self.seconds


@dataclass(frozen=True)
class ZoneRule:
    """The offsets of a time zone from UTC, in seconds, and when the clocks change."""

    standard: int
    daylight: int
    begins: ClockChange | None = None  # daylight saving time; None if clocks never change
    ends: ClockChange | None = None

    def changes(self, year: int) -> tuple[float, float] | None:
        """The epoch seconds at which daylight saving time begins and ends in a year."""
        if self.begins is None or self.ends is None:
            return None
        begins = self.begins.local_time(year) - self.standard
        return begins, self.ends.local_time(year) - self.daylight

    def offset(self, at: float) -> int:
        """The offset at an epoch second."""
        changes = self.changes(time.gmtime(at + self.standard).tm_year)
        if changes is None:
            return self.standard
        begins, ends = changes
        # in the south, daylight saving time lasts over the end of the year
        is_daylight = begins <= at < ends if begins < ends else not ends <= at < begins
        return self.daylight if is_daylight else self.standard

    def instant(self, local: int, *, last: bool = False) -> float:
        """The epoch second at which clocks show a local second.

        If clocks show it twice, the first of both, or the `last`. If they never show it, the time
        of the clock change that leaves it out.
        """
        offsets = sorted({self.standard, self.daylight}, reverse=True)
        shown = [local - offset for offset in offsets if self.offset(local - offset) == offset]
        if shown:
            return shown[-1 if last else 0]
        changes = self.changes(time.gmtime(local).tm_year) or ()
        earliest = local - offsets[0]
        return next(at for at in changes if earliest <= at <= local - offsets[-1])


POSIX_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
POSIX_TIME = r"[+-]?\d{1,3}(?::\d\d)?(?::\d\d)?"
POSIX_DATE = rf"M(\d+)\.(\d)\.(\d)(?:/({POSIX_TIME}))?"
POSIX_RULE = re.compile(
    rf"{POSIX_NAME}({POSIX_TIME})(?:{POSIX_NAME}({POSIX_TIME})?,{POSIX_DATE},{POSIX_DATE})?"
)


def parse_zone_rule(text: str) -> ZoneRule:
    """A POSIX rule as CET-1CEST,M3.5.0,M10.5.0/3. Raises ValueError for any other text.

    https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap08.html, TZ
    """
    found = POSIX_RULE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a POSIX rule of a time zone")
    standard, daylight, *changes = found.groups()
    offset = -posix_seconds(standard)  # POSIX counts to the west
    if not changes[0]:
        return ZoneRule(offset, offset)
    begins, ends = (
        ClockChange(int(month), int(week), int(weekday), posix_seconds(at or "2"))
        for month, week, weekday, at in (changes[:4], changes[4:])
    )
    saved = -posix_seconds(daylight) if daylight else offset + 3600
    return ZoneRule(offset, saved, begins, ends)


def posix_seconds(text: str) -> int:
    """The seconds of [+-]hours[:minutes[:seconds]]."""
    hours, minutes, seconds = (*map(int, text.lstrip("+-").split(":")), 0, 0)[:3]
    total = hours * 3600 + minutes * 60 + seconds
    return -total if text.startswith("-") else total


def local_midnight(day: date) -> int:
    """The local second at which a day begins: seconds since 1970-01-01 00:00 on the same clocks."""
    return (day - date(1970, 1, 1)).days * DAY_SECONDS


@dataclass(frozen=True)
class Hours:
    """Local hours on some days of the week. The days are those on which the hours begin."""

    days: tuple[int, ...]  # 0 is Monday
    begins: int  # seconds after midnight
    ends: int  # seconds after midnight; above 24 hours if the hours end on the next day


@dataclass(frozen=True)
class Schedule:
    """The hours in which the service is kept awake, and those in which it is closed."""

    zone: str  # IANA's name, for people
    rule: ZoneRule
    awake: tuple[Hours, ...]
    closed: tuple[Hours, ...]
    exceptions: tuple[str, ...]  # dates on which no awake hours begin, as 2026-12-25


class WindowKind(StrEnum):
    AWAKE = "awake"
    CLOSED = "closed"
    NONE = "none"  # the schedule says nothing


@dataclass(frozen=True)
class Window:
    """What the schedule says at one time, and until when (epoch second).

    `until` is at most DAYS_AHEAD away; without a schedule it is infinite.
    """

    kind: WindowKind = WindowKind.NONE
    until: float = math.inf


def parse_schedule(text: str) -> Schedule | None:
    """The schedule of a JSON object as main.tf writes it; None if the text is empty.

    {"zone": "Europe/Berlin", "rule": "CET-1CEST,M3.5.0,M10.5.0/3",
     "awake": ["mon,tue 08:55-18:00"], "closed": ["sat,sun 00:00-24:00"], "except": ["2026-12-25"]}
    """
    if not text:
        return None
    given = json.loads(text)
    return Schedule(
        zone=given["zone"],
        rule=parse_zone_rule(given["rule"]),
        awake=tuple(map(parse_hours, given.get("awake", ()))),
        closed=tuple(map(parse_hours, given.get("closed", ()))),
        exceptions=tuple(given.get("except", ())),
    )


def parse_hours(text: str) -> Hours:
    """Hours as "mon,tue 08:55-18:00". If they end before they begin, they end on the next day."""
    days, _, hours = text.partition(" ")
    begins, ends = (posix_seconds(each) for each in hours.split("-"))
    return Hours(
        days=tuple(DAYS.index(day) for day in days.split(",")),
        begins=begins,
        ends=ends if ends > begins else ends + DAY_SECONDS,
    )


def window(schedule: Schedule | None, now: float) -> Window:
    """What the schedule says at an epoch second, and until when. Pure.

    Closed hours go before awake hours. Hours that a clock change leaves out begin or end at the
    change. If clocks show a time twice, hours begin at the first and end at the second.
    """
    if schedule is None:
        return Window()
    # all hours begin and end with a minute
    return window_in_minute(schedule, int(now // 60))


@lru_cache(maxsize=8)
def window_in_minute(schedule: Schedule, minute: int) -> Window:
    """window() of any epoch second in a minute, which is counted since 1970."""
    now = minute * 60
    closed = spans(schedule, schedule.closed, now, ())
    awake = spans(schedule, schedule.awake, now, schedule.exceptions)

    def kind_at(at: float) -> WindowKind:
        if any(begins <= at < ends for begins, ends in closed):
            return WindowKind.CLOSED
        within = any(begins <= at < ends for begins, ends in awake)
        return WindowKind.AWAKE if within else WindowKind.NONE

    kind = kind_at(now)
    horizon = now + DAYS_AHEAD * DAY_SECONDS  # hours that begin later were not looked at
    ahead = sorted({at for span in (*closed, *awake) for at in span if now < at < horizon})
    return Window(kind, next((at for at in ahead if kind_at(at) is not kind), horizon))


def spans(
    schedule: Schedule, hours: Iterable[Hours], now: float, exceptions: Iterable[str]
) -> list[tuple[float, float]]:
    """When `hours` begin and end that are not over `now`, up to DAYS_AHEAD (epoch seconds)."""
    rule = schedule.rule
    today = date(1970, 1, 1) + timedelta(seconds=now + rule.offset(now))
    days = [today + timedelta(days=ahead) for ahead in range(-2, DAYS_AHEAD + 2)]
    left_out = set(exceptions)
    return [
        (
            rule.instant(local_midnight(day) + each.begins),
            rule.instant(local_midnight(day) + each.ends, last=True),
        )
        for day in days
        if day.isoformat() not in left_out
        for each in hours
        if day.weekday() in each.days
    ]


# --- state: memory, signal, observation, decision -------------------------------------------------
def fields_only(record_type: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `values` that are fields of this dataclass."""
    names = [item.name for item in fields(record_type)]
    return {name: values[name] for name in names if name in values}


@dataclass(frozen=True)
class Signal:
    """A parsed event. Times are epoch seconds."""

    kind: Kind
    active: bool = False  # of a BEAT: the service is used; of an ECS_EVENT: a task runs
    at: float = 0.0  # of an active BEAT: the time of the last use; 0 means now
    pinned_until: float = 0.0  # of a PIN
    arrived: float = 0.0  # of an HTTP request: the time at which the request arrived; else 0
    overdue: str = ""  # of an RDS_EVENT: the database that AWS starts after seven days

    def used_at(self, now: float) -> float:
        """The time at which the service was last used, according to an active BEAT."""
        return self.at or now

    @property
    def is_command_wake(self) -> bool:
        """Whether this is the command wake, and not a POST of the control path."""
        return self.kind is Kind.WAKE and not self.arrived


@dataclass(frozen=True)
class Wake:
    """The wake under way. Times are epoch seconds."""

    began: float
    cause: str
    # member -> when its count was last set; database -> when it was last started
    given: dict[str, float] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)  # the same, for the first time
    database_seconds: float = 0.0  # from the beginning until the last database had started
    started_by_us: bool = True  # this program set the counts; a failed wake sets them to 0
    stage: str = "asked"  # see Case.stage
    polled_at: float = 0.0  # when AWS was last observed on behalf of all waiting clients
    asleep_minutes: float = 0.0  # how long the service had been asleep


@dataclass(frozen=True)
class Memory:
    """The one item in which the state is stored. Times are epoch seconds."""

    version: int  # of the stored item, for the conditional write; 0 if there is no item
    phase: Phase
    since: float
    because: str = ""  # the reason of the decision that led to this phase
    min_awake_from: float = 0.0  # when min_awake_minutes begin
    last_take_at: float = 0.0  # when the last call that takes was announced
    counts: dict[str, int] = field(default_factory=dict)  # member -> count to wake to, never 0
    beat: float = 0.0
    pinned_until: float = 0.0
    reopened_until: float = 0.0  # the end of the closed hours in which somebody has woken it
    asked_to_sleep: bool = False
    wake: Wake | None = None
    wakes: tuple[dict[str, Any], ...] = ()
    failures: int = 0
    failure: str = ""
    failed_deployment: str = ""
    retry_at: float = 0.0
    taking: tuple[str, ...] = ()  # members whose count was to be set to 0, and not yet seen at 0
    to_start: tuple[str, ...] = ()  # members that wait until those of their start_after are ready
    # database -> STOPPING once its stop is announced, STOPPED once that is seen
    databases: dict[str, str] = field(default_factory=dict)
    database_seconds: dict[str, float] = field(default_factory=dict)  # how long its last start took
    message_at: float = 0.0  # when a tick last saw messages in a queue
    open_problems: tuple[str, ...] = ()  # sorted codes of problems published and not yet over
    notified_at: dict[str, float] = field(default_factory=dict)  # code -> when it was published
    # member -> the flags of SUSPENDED that its auto scaling had before this program suspended it
    suspended: dict[str, list[str]] = field(default_factory=dict)
    resumed_at: float = 0.0  # when auto scaling was last resumed
    form: int = FORM

    @classmethod
    def from_item(cls, item: Mapping[str, Any], now: float) -> Memory:
        """Read the memory from its item in the table; `item` is {} if the table has none.

        If the item has another FORM, only its version is read. The next conditional write needs
        the version.
        """
        version = int(item["version"]["N"]) if item else 0
        read = json.loads(item["body"]["S"]) if item else {}
        if read.get("form") != FORM:
            return cls(version=version, phase=Phase.AWAKE, since=now, form=0)
        values = {
            **read,
            "version": version,
            "phase": Phase(read["phase"]),
            "wake": Wake(**fields_only(Wake, read["wake"])) if read["wake"] else None,
            "wakes": tuple(read["wakes"]),
            **{name: tuple(read.get(name, ())) for name in ("open_problems", "taking", "to_start")},
        }
        return cls(**fields_only(cls, values))

    @property
    def adopted(self) -> bool:
        """Whether the phase is known. If it is not, the next decision sets it by what AWS shows."""
        return self.version > 0 and self.form == FORM

    def estimate(self) -> float | None:
        """The median seconds of the remembered wakes; None if no wake is remembered.

        The time in which databases started does not count. If the wake under way has started one,
        the seconds of that start are added; while it starts, those of its last start.
        """
        seconds = [wake["seconds"] - wake.get("database_seconds", 0.0) for wake in self.wakes]
        usual = statistics.median(seconds) if seconds else None
        if self.starts_database:
            last = max(self.database_seconds.values(), default=0.0)
            return last + (usual or 0.0) if last else None
        return usual + self.wake.database_seconds if usual and self.wake else usual

    @property
    def starts_database(self) -> bool:
        """Whether a wake is under way that waits for a database."""
        return self.wake is not None and self.wake.stage == "database"

    def with_times(self, now: float, more: Mapping[str, float]) -> Memory | None:
        """The memory with `more` times in the record of the wake that has just ended.

        Returns None if nothing changes.
        """
        if not self.wakes:
            return None
        record = self.wakes[-1]
        times = record["times"]
        live = times["live"]
        just_ended = live == self.since and now - live <= SLOW_SETTLE_SECONDS
        new = {name: at for name, at in more.items() if at and name not in times}
        if not new or not just_ended:
            return None
        return replace(self, wakes=(*self.wakes[:-1], {**record, "times": {**times, **new}}))

    def lacks_use(self, at: float) -> bool:
        """Whether a use at the time `at` is BEAT_WRITE_SECONDS later than the remembered use."""
        return at - self.beat >= BEAT_WRITE_SECONDS

    def redeployed_since_failure(self, services: Iterable[Service]) -> bool:
        """Whether the current deployment is not the failed one; False if either is unknown."""
        deployed = deployed_ids(services)
        both_known = deployed != "" and self.failed_deployment != ""
        return both_known and deployed != self.failed_deployment

    def backoff_seconds(self, services: Iterable[Service], now: float) -> float:
        """Seconds until a request may wake the service; infinite if BACKOFF_SECONDS is used up."""
        if not self.failures or self.redeployed_since_failure(services):
            return 0.0
        if self.failures > len(BACKOFF_SECONDS):
            return math.inf
        return max(0.0, self.retry_at - now)


@dataclass(frozen=True)
class Observation:
    """The state of AWS at one time. None means that a value was not read."""

    memory: Memory
    services: tuple[Service, ...]
    missing: tuple[str, ...] = ()  # names of services that are not there or not ACTIVE
    rule: Rule = Rule.UNSEEN
    tasks: tuple[Task, ...] = ()  # the tasks whose desiredStatus is RUNNING
    live: tuple[Task, ...] | None = None  # the live targets among `tasks`, see Aws.targets
    closed: tuple[str, ...] = ()  # routes without a healthy target, see Aws.targets
    unready: tuple[str, ...] | None = None  # members that are not ready, see Reconciler.unready
    lacking: tuple[str, ...] = ()  # those of `unready` that are required
    databases: Mapping[str, str] = field(default_factory=dict)  # key -> status, in RDS's words
    messages: int = 0  # in all queues: visible, in flight and delayed; read by a tick
    strangers: bool = False  # a healthy target belongs to no task of the service, see Aws.targets
    scaling: Mapping[str, ScalableTarget] | None = None  # by member; a service may have none
    wiring: Mapping[str, str] = field(default_factory=dict)  # code of a WIRING problem -> detail
    began: float = 0.0  # when the observation began (epoch seconds)
    idle: bool | None = None  # every idle alarm is in ALARM
    idle_since: float = 0.0  # when the last idle alarm entered its state (epoch seconds)
    wake_alarm_firing: bool = False  # the wake alarm is in ALARM; read by a tick while asleep
    protected: bool | None = None  # a task has scale-in protection
    wiring_fault: str = ""  # the code of TARGET_GROUP_DETACHED or IDLE_ALARM_MISSING
    shadows_other_rules: bool = False  # a wake rule is up, before a rule that it must follow
    stopped_reason: str = ""  # ECS's reason why no task is live; read after the wake's deadline
    reason: str = ""  # the reason of the decision that was based on this observation
    down: float = 0.0  # when this decision put the wake rules down (epoch seconds), else 0

    @property
    def own(self) -> tuple[Service, ...]:
        """The services that the environment does not share with others."""
        return tuple(service for service in self.services if not service.shared)

    @property
    def desired(self) -> int:
        """The sum of the counts, without those of shared services."""
        return sum(service.desired for service in self.own)

    @property
    def gone(self) -> bool:
        """Whether none of the services is there."""
        return bool(self.missing) and not self.services

    @property
    def detached(self) -> bool:
        """Whether a target group is gone, or a service rule forwards to other target groups."""
        return self.wiring_fault == TARGET_GROUP_DETACHED.code

    @property
    def open(self) -> bool:
        """Whether each route has a live target and each required member is ready."""
        return bool(self.live) and not self.lacks_part

    @property
    def lacks_part(self) -> bool:
        """Whether a route has no live target, or a required member is not ready."""
        return bool(self.closed or self.lacking)

    @property
    def serves(self) -> bool:
        """Whether a live target, a stranger or a detached target group may serve clients now.

        If not, the service is dead.
        """
        return bool(self.live) or self.strangers or self.detached


@dataclass(frozen=True)
class Decision:
    """The memory to write, and the calls to make after the write. Unset fields change nothing."""

    reason: str
    memory: Memory | None = None
    scale_up: tuple[tuple[str, int], ...] = ()  # (service, count)
    start: tuple[str, ...] = ()  # databases
    scale_to_zero: tuple[str, ...] = ()  # services
    stop: tuple[str, ...] = ()  # databases
    suspend: tuple[str, ...] = ()  # services whose auto scaling is suspended, with all its flags
    resume: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (service, the flags that remain)
    rule: Rule | None = None  # UP or DOWN, for the wake rules of all routes
    notice: Notice | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    wake: Mapping[str, Any] | None = None  # if this decision ends a wake, the record of the wake
    requeue: bool = False  # the phase was corrected, so the same signal must be reconciled again


# --- guards: why the service must stay up ---------------------------------------------------------
@dataclass(frozen=True)
class Blocker:
    """A reason why the service must stay up.

    `until` is the epoch second at which the blocker ends by itself. If `until` is past, the
    blocker does not block.
    """

    code: str
    text: str
    until: float = math.inf


def blocked_by(problem: Problem) -> Blocker:
    """The blocker that keeps the service up while this problem lasts."""
    return Blocker(problem.code, problem.text)


def pinned(case: Case) -> Blocker:
    """The command pin keeps the service up for a person or a pipeline."""
    until = case.memory.pinned_until
    return Blocker("pinned", f"pinned until {utc(until)}", until)


def rule_missing(case: Case) -> Blocker | None:
    """Without the wake rule no request could wake the service."""
    return blocked_by(RULE_MISSING) if case.seen.rule is Rule.MISSING else None


def service_missing(case: Case) -> Blocker | None:
    """A service that is missing may be about to be created again."""
    return blocked_by(SERVICE_MISSING) if case.seen.missing else None


def wrongly_wired(case: Case) -> Blocker | None:
    """If the target group is detached or the idle alarm is missing, the traffic is unknown."""
    code = case.seen.wiring_fault
    return blocked_by(NOTICES[code]) if code else None


def traffic_unseen(case: Case) -> Blocker | None:
    """The idle alarm does not count requests that bypass the target groups."""
    unseen = UNSEEN_TRAFFIC.code in case.seen.wiring
    return blocked_by(UNSEEN_TRAFFIC) if unseen else None


def targets_strange(case: Case) -> Blocker | None:
    """A foreign target serves even at a count of 0, but the wake rule would take its requests."""
    strange = STRANGE_TARGETS.code in case.seen.wiring
    return blocked_by(STRANGE_TARGETS) if strange else None


def deploying(case: Case) -> Blocker | None:
    """At a count of 0 a deployment would succeed without starting a task."""
    under_way = any(service.is_deploying for service in case.seen.own)
    return Blocker("deploying", "a deployment is in progress") if under_way else None


def scheduled(case: Case) -> Blocker | None:
    """The schedule keeps the service awake in these hours."""
    current = case.window
    if current.kind is not WindowKind.AWAKE:
        return None
    return Blocker("scheduled", "awake by the schedule", current.until)


def just_deployed(case: Case) -> Blocker:
    """The person who deploys wants to look at the new version."""
    deployments = primaries(case.seen.own)
    at = max((deployment.created for deployment in deployments), default=0.0)
    text = f"deployed {case.now - at:.0f} s ago"
    return Blocker("just-deployed", text, at + case.min_awake_seconds)


def just_awake(case: Case) -> Blocker | None:
    """Soon after a wake, CloudWatch may not show the latest traffic yet."""
    if case.memory.phase is not Phase.AWAKE:
        return None
    began = case.memory.min_awake_from
    text = f"up for {case.now - began:.0f} s of {case.min_awake_seconds} s"
    return Blocker("just-awake", text, began + case.min_awake_seconds)


def woken_often(case: Case) -> Blocker | None:
    """A service that is woken again and again saves little and makes every client wait."""
    budget = case.config.wake_budget_per_hour
    ended = sorted(wake["times"]["live"] for wake in case.budgeted_wakes())
    if len(ended) < budget:
        return None
    # when the `budget`-th last wake is an hour old, the last hour has fewer than `budget` wakes
    until = ended[-budget] + 3600
    return Blocker(WOKEN_OFTEN.code, f"the {budget} wakes of an hour are used up", until)


def beats(case: Case) -> Blocker:
    """The app reports use. The time in the memory may be BEAT_WRITE_SECONDS too early."""
    beat = case.memory.beat
    holds_seconds = case.config.idle_minutes * 60 + BEAT_WRITE_SECONDS
    return Blocker("beat", f"active beat {case.now - beat:.0f} s ago", beat + holds_seconds)


def messages(case: Case) -> Blocker | None:
    """A member is to take the messages that wait in its queue."""
    count = case.seen.messages
    return Blocker("messages", f"{count} messages in the queues") if count else None


def messages_lately(case: Case) -> Blocker:
    """The idle alarm of a queue may not show yet what a tick has seen."""
    at = case.memory.message_at
    text = f"messages in a queue {case.now - at:.0f} s ago"
    return Blocker("messages", text, at + case.config.idle_minutes * 60)


def protected(case: Case) -> Blocker | None:
    """An app sets scale-in protection on its task while it is busy."""
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


GUARDS = (  # ordered: the first that blocks is the reason in the log and the notice
    Guard(pinned),
    Guard(rule_missing),
    Guard(service_missing),
    Guard(wrongly_wired),
    Guard(traffic_unseen),
    Guard(targets_strange),
    Guard(deploying),
    Guard(scheduled),
    Guard(just_deployed, waived_by_sleep=True),
    Guard(just_awake, waived_by_sleep=True),
    Guard(woken_often, waived_by_sleep=True),
    Guard(beats, waived_by_sleep=True),
    Guard(messages),
    Guard(messages_lately, waived_by_sleep=True),
    Guard(protected),
    Guard(used, waived_by_sleep=True),
)


# --- decisions: pure ------------------------------------------------------------------------------
def notify_once(memory: Memory, problem: Problem, detail: str = "", remedy: str = "") -> Decision:
    """Publish the problem and change nothing else. If the problem is open already, do nothing."""
    reason = described(problem, detail)
    if problem.code in memory.open_problems:
        return Decision(reason)
    opened = tuple(sorted({*memory.open_problems, problem.code}))
    notice = problem_notice(problem, detail, remedy)
    return Decision(reason, replace(memory, open_problems=opened), notice=notice)


def closed_until(memory: Memory, config: Config, now: float) -> float | None:
    """When the closed hours of the schedule end; None if the service is not closed.

    A pin opens closed hours while it lasts, and the command wake opens them until they end.
    """
    current = window(config.schedule, now)
    is_open = max(memory.pinned_until, memory.reopened_until) > now
    return None if is_open or current.kind is not WindowKind.CLOSED else current.until


def reopened(config: Config, now: float) -> dict[str, Any]:
    """The change of the memory after which closed hours are over; {} in other hours.

    A pin may end before they do, so they are over under a pin, too.
    """
    current = window(config.schedule, now)
    return {"reopened_until": current.until} if current.kind is WindowKind.CLOSED else {}


def idle_seconds(memory: Memory, seen: Observation, now: float) -> float:
    """Seconds since the last known use or since the phase began, whichever was later."""
    return now - max(memory.since, memory.beat, seen.idle_since)


@dataclass(frozen=True)
class Case:
    """The input of a decision. Pure: no clock, no client, no log; `now` is an epoch second."""

    seen: Observation
    memory: Memory  # the memory of `seen`, changed by cleared_problems() and absorb()
    signal: Signal
    config: Config
    now: float

    @property
    def min_awake_seconds(self) -> int:
        return self.config.min_awake_minutes * 60

    def remembered(self, service: Service) -> int | None:
        """The count that is remembered for a service; None if none is."""
        known = self.memory.counts
        return known.get(service.member, known.get(service.name))  # 0.4.0 stored it by this name

    def count_to_remember(self, service: Service) -> int | None:
        """The current count, or else the remembered one. Never below the minimum of auto scaling.

        When auto scaling is resumed, AWS raises a lower count to the minimum.
        """
        count = service.desired or self.remembered(service)
        return max(count, self.minimum(service)) if count else None

    def minimum(self, service: Service) -> int:
        """The minimum of the service's auto scaling; 0 if it has none, or if it was not read."""
        target = (self.seen.scaling or {}).get(service.member)
        return target.minimum if target else 0

    def enter(self, phase: Phase, because: str, **changes: Any) -> Memory:
        """The memory after a transition to `phase`. Counts above 0 are remembered."""
        seen = {service.member for service in self.seen.services}
        missing = [m.name for m in self.config.members if m.name not in seen]
        counts = {name: self.memory.counts.get(name) for name in missing}
        counts |= {s.member: self.count_to_remember(s) for s in self.seen.own}
        entered: dict[str, Any] = {
            "phase": phase,
            "since": self.now,
            "because": because,
            "counts": {member: count for member, count in counts.items() if count},
            "asked_to_sleep": False,
            "wake": None,
            "open_problems": (),
            "taking": (),
            "to_start": (),
            "databases": {},
            **changes,
        }
        return replace(self.memory, **entered)

    def counts(self, members: Iterable[str]) -> tuple[tuple[str, int], ...]:
        """The services of `members`, each with the count to wake it to: the highest of these.

        - the current count
        - the remembered count; if none is remembered, awake_count
        - the minimum of auto scaling, if it was read
        """
        default = self.config.awake_count
        members = set(members)
        return tuple(
            (s.name, max(s.desired, self.remembered(s) or default, self.minimum(s)))
            for s in self.seen.services
            if s.member in members and not (s.shared and s.desired)
        )

    def members_at(self, *, zero: bool) -> tuple[str, ...]:
        """The members with a count of 0, or those with a count above 0."""
        return tuple(s.member for s in self.seen.services if (s.desired == 0) is zero)

    def to_take(self) -> tuple[Service, ...]:
        """The services with a count above 0 that are not shared."""
        return tuple(service for service in self.seen.own if service.desired)

    # the order in which members start
    def in_turn(self, members: Iterable[str]) -> tuple[str, ...]:
        """Those of `members` that need not wait for others.

        A member waits until the members of its start_after are ready. A member that runs already
        does not wait. During a destroy no member waits, because Terraform waits for all of them.
        """
        unready = self.seen.unready
        running = self.members_at(zero=False)
        after = {member.name: set(member.start_after) for member in self.config.members}
        waits = {
            name
            for name, others in after.items()
            if others and (unready is None or not others.isdisjoint(unready))
        }
        at_once = self.signal.kind is Kind.RESTORE
        return tuple(m for m in members if at_once or m in running or m not in waits)

    def begin(self, members: Iterable[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The members whose turn it is to start, and the change of the memory: the others wait."""
        members = tuple(members)
        now = self.in_turn(members)
        return now, {"to_start": tuple(member for member in members if member not in now)}

    # databases
    def stopped_databases(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that are stopped. One that is stopping cannot be started yet."""
        return tuple(name for name in names if self.seen.databases.get(name) == "stopped")

    def databases_to_stop(self) -> tuple[str, ...]:
        """The databases that have run for long enough in this sleep, and are not to run on."""
        slept = self.now - self.memory.since
        return tuple(
            database.name
            for database in self.config.databases
            if not database.shared
            and self.seen.databases.get(database.name) == "available"
            and slept >= database.stop_after_minutes * 60
            and self.memory.databases.get(database.name) != STOPPED
        )

    def started_by_others(self) -> tuple[str, ...]:
        """The databases that were stopped in this sleep, and that somebody has started."""
        return tuple(
            name
            for name, state in self.memory.databases.items()
            if state == STOPPED and self.seen.databases.get(name) == "available"
        )

    # auto scaling
    def still_scaling(self) -> tuple[str, ...]:
        """The services whose auto scaling is not wholly suspended; () if it may go on."""
        if not self.config.suspend_autoscaling:
            return ()
        scaling = self.seen.scaling or {}
        running = [member for member, target in scaling.items() if not target.is_suspended]
        return tuple(s.name for s in self.seen.own if s.member in running)

    def suspending(self) -> dict[str, Any]:
        """The changes of the memory before a call that suspends auto scaling.

        Flags are remembered only for members of which none are. Otherwise this program's own
        suspension would be taken for the caller's.
        """
        scaling = self.seen.scaling or {}
        flags = {member: list(target.flags) for member, target in scaling.items()}
        return {"suspended": {**flags, **self.memory.suspended}, "last_take_at": self.now}

    def resumed(self) -> Decision:
        """Give every member's auto scaling the remembered flags, until they are seen."""
        scaling = self.seen.scaling or {}
        names = {service.member: service.name for service in self.seen.services}
        lacking = tuple(
            (names[member], tuple(flags))
            for member, flags in self.memory.suspended.items()
            if member in scaling and member in names and set(scaling[member].flags) != set(flags)
        )
        if not lacking:
            return Decision("auto scaling is as before", replace(self.memory, suspended={}))
        resuming = replace(self.memory, resumed_at=self.now)
        return Decision("awake, auto scaling is resumed", resuming, resume=lacking)

    def rule_up_if_safe(self) -> Rule | None:
        """UP; None if a wake rule would take requests from targets that serve clients."""
        return None if self.seen.serves else Rule.UP

    def settled(self) -> bool:
        """Whether AWS was observed FENCE_SECONDS after the phase began and the last take, or later.

        If so, AWS's reads are up to date. If they contradict the memory, the memory is wrong.
        """
        last_change = max(self.memory.since, self.memory.last_take_at)
        return self.seen.began - last_change >= FENCE_SECONDS

    def budgeted_wakes(self) -> list[dict[str, Any]]:
        """The remembered wakes without those by the schedule, which no client can make often."""
        return [wake for wake in self.memory.wakes if wake["cause"] != BY_SCHEDULE]

    def wakes_last_hour(self) -> list[dict[str, Any]]:
        return [w for w in self.budgeted_wakes() if self.now - w["times"]["live"] < 3600]

    # hours
    @property
    def window(self) -> Window:
        """What the schedule says now."""
        return window(self.config.schedule, self.now)

    @property
    def is_closed(self) -> bool:
        """Whether requests and heartbeats count for nothing, see closed_until()."""
        return closed_until(self.memory, self.config, self.now) is not None

    def blockers(self, *, asked: bool) -> list[Blocker]:
        """Why the service must stay up, in the order of GUARDS; [] if the service may sleep.

        `asked`: the command sleep was sent.
        """
        guards = [guard for guard in GUARDS if not (asked and guard.waived_by_sleep)]
        found = [guard.check(self) for guard in guards]
        return [blocker for blocker in found if blocker and blocker.until > self.now]

    def first_blocker(self, *, asked: bool) -> str:
        """The text of the first blocker; "" if there is none."""
        return next((blocker.text for blocker in self.blockers(asked=asked)), "")

    # transitions
    def to_awake(self, reason: str, **changes: Any) -> Decision:
        """Enter awake: the wake rules go down, and requests no longer reach the Lambda."""
        begin = {
            "last_take_at": self.now,
            "min_awake_from": self.now,
            "to_start": self.memory.to_start,
        }
        awake = self.enter(Phase.AWAKE, reason, **{**begin, **changes})
        return Decision(reason, awake, rule=Rule.DOWN, metrics=self.sleep_metric())

    def sleep_metric(self) -> dict[str, float]:
        """The metric of the sleep that this decision ends; {} if the service was not asleep."""
        if self.memory.phase is not Phase.ASLEEP:
            return {}
        return {"MinutesAsleep": round((self.now - self.memory.since) / 60, 1)}

    def to_waking(self, cause: str, members: Iterable[str], *, by_us: bool = True) -> Decision:
        """Enter waking, the phase in which clients wait, and start `members` in their order.

        `by_us`: if the wake fails, this program sets the counts to 0.
        """
        slept = self.sleep_metric()
        first, waiting = self.begin(members)
        databases = self.stopped_databases(self.seen.databases)
        given = dict.fromkeys([*first, *databases], self.now)
        wake = Wake(
            began=self.signal.arrived or self.now,
            cause=cause,
            given=given,
            started=given,
            started_by_us=by_us,
            stage="database" if self.waits_for_database() else "asked",
            asleep_minutes=slept.get("MinutesAsleep", 0.0),
        )
        reason = f"woken: {cause}"
        return Decision(
            reason,
            self.enter(Phase.WAKING, reason, wake=wake, **waiting),
            scale_up=self.counts(first),
            start=databases,
            rule=self.rule_up_if_safe(),
            metrics={"Wakes": 1, **slept},
        )

    def to_waking_of_others(self, cause: str) -> Decision:
        """Enter waking, and leave the counts above 0 to those who have set them."""
        return self.to_waking(cause, self.members_at(zero=True), by_us=False)

    def to_asleep(self, reason: str, **changes: Any) -> Decision:
        """Enter asleep: the counts go to 0. The current counts are remembered for a wake."""
        services = self.to_take()
        members = tuple(service.member for service in services)
        take = {"last_take_at": self.now, "taking": members}
        asleep = self.enter(Phase.ASLEEP, reason, **{**take, **changes})
        notice = Notice(ASLEEP, f"{ASLEEP.text}: {reason}")
        return Decision(reason, asleep, scale_to_zero=names_of(services), notice=notice)

    def follow(self, phase: Phase, why: str, notice: Notice | None = None) -> Decision:
        """Set the phase by what AWS shows, and then decide again for the same signal."""
        return Decision(
            why,
            self.enter(phase, why, min_awake_from=self.now),
            rule=self.rule_up_if_safe() if phase is Phase.ASLEEP else None,
            notice=notice,
            requeue=True,
        )

    def no_live_target(self) -> str:
        """Says that there is no live target; if other routes have one, on which routes."""
        closed = self.seen.closed if self.seen.serves else ()
        return f"no live target on {', '.join(closed)}" if closed else "no live target"

    # awake
    def awake(self) -> Decision:
        seen = self.seen
        memory = self.memory
        if not seen.serves and not self.settled():
            return Decision("too early")
        if not seen.serves:
            return self.to_waking_of_others(self.no_live_target())
        past_fence = self.now - memory.last_take_at >= FENCE_SECONDS
        rule_up = seen.rule in RULES_UP and seen.desired > 0
        if rule_up and past_fence:
            # Clients wait until the rules may go down. At the deadline of a wake they may.
            if not seen.open and NOT_READY.code not in memory.open_problems:
                return self.to_waking_of_others(self.no_live_target())
            announced = replace(memory, last_take_at=self.now)
            return Decision("awake, rule up", announced, rule=Rule.DOWN)
        # A call that suspends may have its effect until the fence ends. The command sleep would
        # suspend again what is resumed here.
        resumes = memory.suspended and seen.scaling is not None and past_fence
        if resumes and self.signal.kind is not Kind.SLEEP:
            return self.resumed()
        asked = self.signal.kind is Kind.SLEEP
        may_sleep = self.signal.kind in SLEEPING_KINDS
        against = self.first_blocker(asked=asked or self.is_closed) if may_sleep else ""
        if may_sleep and not against:
            return self.to_drowsy(asked=asked)
        databases = self.stopped_databases(self.awaited_databases())
        if databases or self.in_turn(memory.to_start):  # a wake has left them
            return self.start_in_turn(databases)
        if seen.rule is Rule.MISSING:
            return notify_once(memory, RULE_MISSING)
        if seen.wiring_fault:
            return notify_once(memory, NOTICES[seen.wiring_fault])
        return self.stays_awake(against) if may_sleep else Decision("awake")

    def to_drowsy(self, *, asked: bool) -> Decision:
        """Enter drowsy: the wake rules go up. `asked`: the command sleep was sent."""
        reason = "closed by the schedule" if self.is_closed else "idle"
        if asked:
            reason = "asked to sleep"
        scaling = self.still_scaling()
        changes = self.suspending() if scaling else {}
        drowsy = self.enter(Phase.DROWSY, reason, asked_to_sleep=asked, **changes)
        return Decision(reason, drowsy, rule=Rule.UP, suspend=scaling)

    def awaited_databases(self) -> tuple[str, ...]:
        """The databases for which members still wait."""
        waiting = [m for m in self.config.members if m.name in self.memory.to_start]
        return tuple(name for m in waiting for name in m.start_after if name in self.seen.databases)

    def stays_awake(self, against: str) -> Decision:
        """Stay awake. If the service is idle for IDLE_BUT_AWAKE_SECONDS, publish IDLE_BUT_AWAKE."""
        seen = self.seen
        reason = f"stays awake: {against}"
        by_schedule = self.window.kind is WindowKind.AWAKE
        idle = seen.idle and not by_schedule
        if idle and idle_seconds(self.memory, seen, self.now) >= IDLE_BUT_AWAKE_SECONDS:
            return replace(notify_once(self.memory, IDLE_BUT_AWAKE, against), reason=reason)
        return Decision(reason)

    # drowsy
    def drowsy(self) -> Decision:
        memory = self.memory
        kind = self.signal.kind
        closed = self.is_closed
        used = kind in WAKING_KINDS or (kind is Kind.BEAT and self.signal.active)
        if used and not closed:
            return self.leave_drowsy(kind, used=True)
        if self.seen.messages and not closed:
            return self.leave_drowsy("messages in a queue", used=True)
        if kind not in SLEEPING_KINDS:
            return Decision("drowsy, and closed by the schedule" if closed else "drowsy")
        if against := self.first_blocker(asked=memory.asked_to_sleep or closed):
            return self.leave_drowsy(against, used=False)
        if self.seen.rule in RULES_DOWN:
            return Decision("the rule goes up", replace(memory, since=self.now), rule=Rule.UP)
        if scaling := self.still_scaling():
            return self.suspend_again(scaling)
        linger = self.config.linger_seconds
        if self.now - memory.resumed_at < FENCE_SECONDS:
            return Decision("a call that resumes auto scaling may still be on its way")
        if self.now - memory.since < linger - TICK_JITTER_SECONDS:
            return Decision(f"drowsy for {self.now - memory.since:.0f} s of {linger} s")
        because = memory.because or "idle"
        return self.to_asleep(because if closed else f"{because}, and nobody came in {linger} s")

    def suspend_again(self, scaling: tuple[str, ...]) -> Decision:
        """Auto scaling goes on, and would raise a count of 0: suspend it, and do not sleep yet."""
        announced = replace(self.memory, **self.suspending())
        told = Decision("auto scaling goes on", announced)
        if self.memory.suspended and self.settled():  # it was suspended before, without effect
            told = notify_once(announced, AUTOSCALING_RUNS, ", ".join(scaling))
        return replace(told, memory=told.memory or announced, suspend=scaling)

    def leave_drowsy(self, cause: str, *, used: bool) -> Decision:
        """Stay up. If `used`, the cause is a use of the service, else a guard that blocks."""
        if not self.seen.serves or self.seen.lacks_part or not self.seen.desired:
            woken_by = f"{self.no_live_target()}, {cause}"
            if used:
                return self.to_waking(woken_by, self.all())
            return self.to_waking_of_others(woken_by)
        reason = f"stays awake: {cause}"
        if used:
            return self.to_awake(reason)
        # a blocker is not a use of the service, so min_awake_minutes do not begin again
        return self.to_awake(reason, min_awake_from=self.memory.min_awake_from)

    # asleep
    def asleep(self) -> Decision:
        memory = self.memory
        kind = self.signal.kind
        # An alarm invokes the Lambda only when the alarm enters ALARM. If the wake alarm stays in
        # ALARM, a tick counts as an invocation by the wake alarm. For the first ALARM_LATE_SECONDS
        # asleep a tick does not count, because the alarm may show data from before this sleep.
        closed = self.is_closed
        firing = self.seen.wake_alarm_firing and self.now - memory.since >= ALARM_LATE_SECONDS
        if firing and not closed:
            kind = Kind.WAKE_ALARM
        cause = self.cause_to_wake(kind)
        # the command wake, a pin and a destroy do not obey pauses
        obeys_pauses = bool(cause) and kind not in (Kind.WAKE, Kind.PIN, Kind.RESTORE)
        backoff = memory.backoff_seconds(self.seen.services, self.now)
        up = self.seen.desired > 0 and self.settled()
        if up and self.seen.open and cause:
            return self.open_after_all(cause)
        if obeys_pauses and backoff > 0:
            return self.paused(backoff, up=up)
        if cause == Kind.REQUEST and self.config.wake_confirmation == "browser":
            return Decision("asleep, and a request alone does not wake it")
        if cause:
            # if others set the count, a failed wake must not set the count to 0
            if up and not self.count_is_ours():
                return self.to_waking_of_others(cause)
            return self.to_waking(cause, self.all())
        if up:
            return self.asleep_but_up()
        if closed and kind in WAKING_KINDS:
            return Decision("asleep, and closed by the schedule")
        return self.asleep_at_zero(backoff)

    def paused(self, backoff: float, *, up: bool) -> Decision:
        """Something would wake the service, and the pause after a failed wake is not over.

        In awake hours each tick comes here. It follows a count that is raised from outside, and
        puts up a wake rule that is down, as it does without a cause to wake.
        """
        by_tick = self.signal.kind is Kind.TICK
        if by_tick and up and not self.count_is_ours():
            return self.asleep_but_up()
        if by_tick and not up and self.seen.rule in RULES_DOWN:
            return self.asleep_at_zero(backoff)
        return Decision(f"{self.memory.failures} wakes failed, next try in {backoff:.0f} s")

    def cause_to_wake(self, kind: Kind) -> str:
        """Why a sleeping service must wake now; "" if nothing wakes it."""
        if self.is_closed:
            return ""
        if self.seen.messages:
            return "messages in a queue"
        if kind is Kind.TICK and self.window.kind is WindowKind.AWAKE:
            return BY_SCHEDULE
        return kind if kind in WAKING_KINDS else ""

    def asleep_at_zero(self, backoff: float) -> Decision:
        """If a wake rule is down, put it up. If requests cannot reach the Lambda, wake."""
        seen = self.seen
        memory = self.memory
        broken = self.wake_path_broken()
        if broken and self.settled() and backoff <= 0:
            woken = self.to_waking(broken.text, self.all())
            return replace(woken, rule=None, notice=problem_notice(broken, "woken for good"))
        if seen.rule not in RULES_DOWN:
            return self.asleep_beside_databases()
        if seen.wiring_fault and seen.wiring_fault not in memory.open_problems:
            # until the fault is corrected, the rule stays down, and no request wakes the service
            return notify_once(memory, NOTICES[seen.wiring_fault])
        return Decision("asleep", rule=self.rule_up_if_safe())

    def asleep_beside_databases(self) -> Decision:
        """Stop the databases whose time has come. Somebody else's start is left and told."""
        if self.signal.kind not in SLEEPING_KINDS:
            return Decision("asleep")
        names = self.started_by_others()
        if names and DATABASE_STARTED.code not in self.memory.open_problems:
            return notify_once(self.memory, DATABASE_STARTED, ", ".join(names))
        names = self.databases_to_stop()
        if DATABASE_NOT_STOPPED.code in self.memory.open_problems:
            # what RDS has refused is not asked for again in this sleep
            names = tuple(name for name in names if name not in self.memory.databases)
        if not names or not self.settled():
            return Decision("asleep")
        states = {**self.memory.databases, **dict.fromkeys(names, STOPPING)}
        announced = replace(self.memory, databases=states, last_take_at=self.now)
        return Decision(f"asleep, stops {', '.join(names)}", announced, stop=names)

    def wake_path_broken(self) -> Problem | None:
        """The problem that keeps requests from the Lambda; None if there is none."""
        if self.seen.rule is Rule.MISSING:
            return RULE_MISSING
        misplaced = self.seen.rule in RULES_DOWN or self.seen.shadows_other_rules
        stuck = NO_RULE_NUMBER.code in self.memory.open_problems
        return NO_RULE_NUMBER if misplaced and stuck else None

    def count_is_ours(self) -> bool:
        """Whether each count above 0 is one that this program has not yet brought to 0."""
        return all(
            service.member in self.memory.taking and self.remembered(service) == service.desired
            for service in self.to_take()
        )

    def asleep_but_up(self) -> Decision:
        """A count is above 0: setting it to 0 failed, or it was raised from outside."""
        if not self.count_is_ours():
            # whoever raises the count in closed hours wants the service up, as by the command wake
            memory = replace(self.memory, **reopened(self.config, self.now))
            opened = replace(self, memory=memory)
            return opened.up_after_all("the count was raised from outside")
        if self.signal.kind not in SLEEPING_KINDS:
            return Decision("asleep, and the count is still to go to 0")
        # If there is no live target, no client is served. Then only those guards apply that the
        # command sleep does not override.
        if against := self.first_blocker(asked=not self.seen.live or self.is_closed):
            return self.up_after_all(f"stays awake: {against}")
        if scaling := self.still_scaling():
            return self.suspend_again(scaling)
        announced = replace(self.memory, last_take_at=self.now)
        reason = "setting the count to 0 failed: once more"
        return Decision(reason, announced, scale_to_zero=names_of(self.to_take()))

    def up_after_all(self, cause: str) -> Decision:
        """If the service is open, enter awake, else waking. A count above 0 is not changed."""
        return self.open_after_all(cause) if self.seen.open else self.to_waking_of_others(cause)

    def open_after_all(self, cause: str) -> Decision:
        """Enter awake from asleep, and start the members that are at 0 and not required."""
        first, waiting = self.begin(self.members_at(zero=True))
        return replace(self.to_awake(cause, **waiting), scale_up=self.counts(first))

    # waking
    def waking(self) -> Decision:
        seen = self.seen
        memory = self.memory
        now = self.now
        fence_ends = memory.last_take_at + FENCE_SECONDS
        wake = memory.wake or Wake(began=memory.since, cause="unknown")
        # The last announced take can no longer stop a live target in two cases: AWS was observed
        # after the fence, or the count was last set after the fence.
        early = self.given_before(wake, fence_ends)
        if seen.open and (seen.began >= fence_ends or not early):
            return self.woken(wake)
        again = tuple(member for member in early if member not in memory.to_start)
        if now >= fence_ends and again:
            return self.given_again("past the fence: scaled up again", wake, again)
        if seen.open:
            return Decision("a live target, but a call that takes may still be on its way")
        late = late_members(seen, memory, wake, self.config, now)
        if late and seen.live and now >= fence_ends:
            return self.let_through(late)
        if late and wake.started_by_us and memory.pinned_until <= now and not seen.live:
            scaling = self.still_scaling()
            return self.suspend_again(scaling) if scaling else self.give_up(self.why_not_live())
        # after the deadline, which a database that AWS refuses to start would put off for ever
        databases = self.lost_databases(wake)
        if databases or self.in_turn(memory.to_start):
            return self.start_in_turn(databases, wake)
        if lost := self.lost(wake):
            return self.given_again("still 0: scaled up again", wake, lost)
        if late and seen.rule not in RULES_DOWN:
            return self.not_live()
        stage = self.stage()
        moved = replace(memory, wake=replace(wake, stage=stage)) if stage != wake.stage else None
        rule = self.rule_up_if_safe() if seen.rule in RULES_DOWN else None
        return Decision(f"waking: {stage}", moved, rule=rule)

    def all(self) -> tuple[str, ...]:
        """Every member whose service is there."""
        return tuple(service.member for service in self.seen.services)

    def given_before(self, wake: Wake, end: float) -> tuple[str, ...]:
        """The members whose count was last set before `end`, or before this wake."""
        return tuple(m for m in self.all() if wake.given.get(m, self.memory.since) < end)

    def lost(self, wake: Wake) -> tuple[str, ...]:
        """The members whose count still reads 0, although it was set some time ago."""
        at_zero = self.members_at(zero=True)
        until = self.now - SCALE_UP_AGAIN_SECONDS
        return tuple(
            member
            for member in at_zero
            if member not in self.memory.to_start and wake.given.get(member, wake.began) <= until
        )

    def lost_databases(self, wake: Wake) -> tuple[str, ...]:
        """The databases that are stopped, and that were not started a short time ago."""
        until = self.now - SCALE_UP_AGAIN_SECONDS
        stopped = self.stopped_databases(self.seen.databases)
        return tuple(name for name in stopped if wake.given.get(name, 0.0) <= until)

    def start_in_turn(self, databases: tuple[str, ...], wake: Wake | None = None) -> Decision:
        """Start `databases`, and the members for which all that they wait for is ready.

        If a `wake` is under way, it remembers when.
        """
        first, waiting = self.begin(self.memory.to_start)
        started = [*databases, *first]
        if wake:
            given = dict.fromkeys(started, self.now)
            wake = replace(
                wake,
                given={**wake.given, **given},
                started={**given, **wake.started},
                stage=self.stage(),
            )
        return Decision(
            f"starts {', '.join(started)}",
            replace(self.memory, wake=wake, **waiting),
            scale_up=self.counts(first),
            start=databases,
        )

    def waits_for_database(self) -> bool:
        """Whether a database that is needed is not ready."""
        return any(is_down(self.seen.databases.get(name, "")) for name in self.config.needed)

    def stage(self) -> str:
        """The furthest stage that a task has reached, of the slowest member that is needed.

        While a database that is needed is not ready, the stage is "database".
        """
        if self.waits_for_database():
            return "database"
        needed = self.seen.lacking or self.all()
        reached = [self.stage_of(member) for member in needed]
        return min(reached, key=list(ENDS).index, default="asked")

    def stage_of(self, member: str) -> str:
        """The furthest stage that a task of a member has reached."""
        known = {name for t in self.seen.tasks if t.member == member for name in t.times}
        return next((stage for name, stage in STAGES.items() if name in known), "asked")

    def why_not_live(self) -> str:
        """ECS's reason. If ECS gives none, a reason by the stage that was reached."""
        stage = self.stage()
        if stage == "database":
            return self.seen.stopped_reason or "a database did not start in time"
        return self.seen.stopped_reason or halted(self.seen.services) or NOT_STARTED[stage]

    def given_again(self, reason: str, wake: Wake, members: Iterable[str]) -> Decision:
        """Set the counts once more, since a late take may have set them to 0."""
        given = {**wake.given, **dict.fromkeys(members, self.now)}
        memory = replace(self.memory, wake=replace(wake, given=given))
        return Decision(reason, memory, scale_up=self.counts(members), rule=self.rule_up_if_safe())

    def to_awake_by_wake(self, reason: str, **changes: Any) -> Decision:
        """Enter awake at the end of a wake: no failure is remembered any more."""
        forgotten = {"failures": 0, "failure": "", "failed_deployment": "", "retry_at": 0.0}
        return self.to_awake(reason, **forgotten, **changes)

    def let_through(self, late: Iterable[str]) -> Decision:
        """Enter awake at the deadline, although some members are not ready: the others serve."""
        what = ", ".join([*late, *(f"route {route}" for route in self.seen.closed)])
        detail = f"{what}: {self.why_not_live()}"
        reason = described(NOT_READY, detail)
        awake = self.to_awake_by_wake(reason, open_problems=(NOT_READY.code,))
        return replace(awake, notice=problem_notice(NOT_READY, detail))

    def slowest(self) -> Task:
        """Of the first live task of each member, the one that started last."""
        first: dict[str, Task] = {}
        for task in self.seen.live or ():
            first.setdefault(task.member, task)
        return max(first.values(), key=lambda task: task.times.get("startedAt", 0.0))

    def woken(self, wake: Wake) -> Decision:
        """End the wake: enter awake, and record the wake."""
        seconds = round(self.now - wake.began, 3)
        record = {
            "cause": wake.cause,
            "seconds": seconds,
            "asleep_minutes": wake.asleep_minutes,
            **({"database_seconds": wake.database_seconds} if wake.database_seconds else {}),
            **self.started_after(wake),
            "times": {
                "began": wake.began,
                "scaled_up_at": max(wake.given.values(), default=self.memory.since),
                **self.slowest().times,
                "live": self.now,
            },
        }
        wakes = (*self.memory.wakes, record)[-KEPT_WAKES:]
        awake = self.to_awake_by_wake("live", wakes=wakes)
        notice = self.awake_notice(wake, seconds)
        # A database takes minutes to start, and no change of the service shortens that.
        own = round(seconds - wake.database_seconds, 3)
        return replace(awake, notice=notice, metrics={"ColdStartSeconds": own}, wake=record)

    def started_after(self, wake: Wake) -> dict[str, dict[str, float]]:
        """Seconds after which the wake started each member; {} if there is one member."""
        if len(self.config.members) == 1:
            return {}
        members = (member.name for member in self.config.members)
        started = {name: wake.started[name] for name in members if name in wake.started}
        return {"members": {name: round(at - wake.began, 1) for name, at in started.items()}}

    def awake_notice(self, wake: Wake, seconds: float) -> Notice | None:
        """The notice of a wake: AWAKE, or WOKEN_OFTEN if this wake uses up the hourly budget.

        A wake beyond the budget has no notice (None), so that a crash loop is published once.
        """
        target = self.config.cold_start_target_seconds
        database = wake.database_seconds
        part = f", of which a database took {database:.1f} s" if database else ""
        rest = "; the rest is" if database else ","
        over = f"{rest} over the target of {target} s" if seconds - database > target else ""
        text = f"{AWAKE.text} {seconds:.1f} s{part}{over} ({wake.cause})"
        budget = self.config.wake_budget_per_hour
        wakes = len(self.wakes_last_hour()) + 1
        if wake.cause == BY_SCHEDULE:
            return Notice(AWAKE, text)
        if wakes > budget:
            return None
        if wakes < budget:
            return Notice(AWAKE, text)
        often = f"Woken {wakes} {WOKEN_OFTEN.text}: it stays awake until that is past."
        return Notice(WOKEN_OFTEN, f"{text}. {often}")

    def give_up(self, why: str) -> Decision:
        """End a wake that this program started and that is late: asleep, with a back-off."""
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
        outlook = self.outlook(reason, tries, backoff)
        text = f"{WAKE_FAILED.text}: {reason}. {outlook}".rstrip()
        remedy = redeploy(services, self.config.cluster_name)
        notice = Notice(WAKE_FAILED, text, remedy)
        return replace(asleep, notice=notice, metrics={"FailedWakes": 1})

    def outlook(self, reason: str, tries: int, backoff: int) -> str:
        """When the service may wake again, or why it cannot; "" if `reason` contains that."""
        if halt := halted(self.seen.services):
            return "" if halt in reason else f"{halt}."
        last = tries > len(BACKOFF_SECONDS)
        until = f"It was tried {tries} times: until" if last else f"For {backoff} s, or until"
        only = "only the command wake or the page's button wakes it"
        return f"{until} something is deployed, {only}."

    def not_live(self) -> Decision:
        """The wake is late, but this program may not set the count to 0: publish the problem."""
        why = self.seen.stopped_reason or "no task stopped"
        failed = failed_deployments(self.seen.services)
        if not failed:
            return notify_once(self.memory, NOT_LIVE, why)
        names = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
        remedy = redeploy(self.seen.services, self.config.cluster_name)
        return notify_once(self.memory, DEPLOYMENT_FAILED, f"{names}; {why}", remedy)

    def in_phase(self) -> Decision:
        """The decision for the current phase."""
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
    """The decision on an observation and a signal. Pure.

    A decision that takes sets `last_take_at` to `now`.
    """
    if seen.gone:
        return nothing_there(seen, config)
    if not seen.memory.adopted:
        return adopt(seen, signal, config, now)
    if seen.desired == 0:
        seen = replace(seen, live=())  # targets that are still healthy are about to stop
    memory = cleared_problems(seen.memory, seen, now)
    memory = absorb(memory, signal, config, now)
    if seen.messages and now - memory.message_at >= BEAT_WRITE_SECONDS:
        memory = replace(memory, message_at=now)
    memory = with_databases(memory, seen, now)
    case = with_takes_confirmed(Case(seen, memory, signal, config, now))
    if memory.phase in UP_PHASES and seen.desired == 0 and case.settled():
        why = f"asleep: {COUNT_SET_OUTSIDE.text}"
        return case.follow(Phase.ASLEEP, why, Notice(COUNT_SET_OUTSIDE, why))
    decision = case.in_phase()
    if decision.memory is None and case.memory != seen.memory:
        decision = replace(decision, memory=case.memory)
    return notify_missing(notify_wiring(decision, seen, now), seen, config)


def missing_where(seen: Observation, config: Config) -> str:
    return f"{', '.join(seen.missing)} in cluster {config.cluster_name}"


def notify_missing(decision: Decision, seen: Observation, config: Config) -> Decision:
    """The decision, with a notice of missing services if it has no other notice."""
    memory = decision.memory or seen.memory
    if not seen.missing or decision.notice:
        return decision
    told = notify_once(memory, SERVICE_MISSING, missing_where(seen, config))
    return replace(decision, memory=told.memory or decision.memory, notice=told.notice)


def nothing_there(seen: Observation, config: Config) -> Decision:
    """No service is there: only publish the problem."""
    detail = missing_where(seen, config)
    if not seen.memory.adopted:
        return Decision(described(SERVICE_MISSING, detail))
    return notify_once(seen.memory, SERVICE_MISSING, detail)


def adopt(seen: Observation, signal: Signal, config: Config, now: float) -> Decision:
    """If there is no memory, or it has another FORM, set the phase by what AWS shows."""
    # a take may have been announced in a memory that is lost or not read: the fence begins now
    memory = replace(seen.memory, form=FORM, last_take_at=now, suspended=forgotten(seen, signal))
    notice = None
    if memory.suspended:
        notice = problem_notice(AUTOSCALING_FORGOTTEN, ", ".join(memory.suspended))
    case = Case(seen, memory, signal, config, now)
    if seen.desired and not seen.serves:
        waking = case.to_waking_of_others("adopted while it starts")
        return replace(waking, notice=notice, requeue=True)
    return case.follow(Phase.AWAKE if seen.desired else Phase.ASLEEP, "adopted", notice)


def forgotten(seen: Observation, signal: Signal) -> dict[str, list[str]]:
    """The members whose auto scaling is wholly suspended, although nothing is remembered of it.

    A lost memory may have had the caller's flags. Because a service that does not scale is worse
    than one that does, the auto scaling is taken for one without flags. At the first adoption, by
    Terraform, the flags are the caller's.
    """
    if signal.kind is Kind.ADOPT:
        return {}
    scaling = seen.scaling or {}
    return {member: [] for member, target in scaling.items() if target.is_suspended}


def cleared_problems(memory: Memory, seen: Observation, now: float) -> Memory:
    """The memory without the open problems that are over. If one returns, it is published again."""
    still_open = tuple(c for c in memory.open_problems if not is_over(c, memory, seen, now))
    return replace(memory, open_problems=still_open)


def is_over(code: str, memory: Memory, seen: Observation, now: float) -> bool:
    """Whether `seen` shows that an open problem has ended.

    If a code has no case here, the problem ends only with the phase.
    """
    rules_read = seen.rule not in (Rule.UNSEEN, Rule.MISSING)
    match code:
        case SERVICE_MISSING.code:
            return not seen.missing
        case RULE_MISSING.code:
            return rules_read
        case TARGET_GROUP_DETACHED.code:
            return rules_read and not seen.detached
        case IDLE_ALARM_MISSING.code:  # TARGET_GROUP_DETACHED in `wiring_fault` hides it
            return seen.idle is not None and not seen.wiring_fault
        case NO_RULE_NUMBER.code:
            wanted = Rule.DOWN if memory.phase is Phase.AWAKE else Rule.UP
            return seen.rule is wanted and not seen.shadows_other_rules
        case NOT_READY.code:
            return seen.open
        case DEPLOYMENT_FAILED.code:
            return not failed_deployments(seen.services)
        case AUTOSCALING_RUNS.code:
            scaling = seen.scaling
            return scaling is not None and all(each.is_suspended for each in scaling.values())
        case IDLE_BUT_AWAKE.code:
            used_lately = idle_seconds(memory, seen, now) < IDLE_BUT_AWAKE_SECONDS
            return seen.idle is False or used_lately
    return False


def absorb(memory: Memory, signal: Signal, config: Config, now: float) -> Memory:
    """The memory with the changes that the signal makes, independent of the decision."""
    match signal.kind:
        case Kind.BEAT if signal.active and memory.lacks_use(signal.used_at(now)):
            return replace(memory, beat=signal.used_at(now))
        case Kind.WAKE if signal.is_command_wake:
            return replace(memory, **reopened(config, now))
        case Kind.SLEEP:
            asked = memory.asked_to_sleep or memory.phase is Phase.DROWSY
            return replace(memory, asked_to_sleep=asked, reopened_until=0.0)
        case Kind.RDS_EVENT if signal.overdue in memory.databases:
            # AWS starts it, and nobody needs it: as if its stop had had no effect
            return replace(memory, databases={**memory.databases, signal.overdue: STOPPING})
        case Kind.PIN | Kind.UNPIN:
            return replace(memory, pinned_until=signal.pinned_until)
        case Kind.RESTORE if memory.pinned_until < now + RESTORE_PIN_SECONDS / 2:
            return replace(memory, pinned_until=now + RESTORE_PIN_SECONDS)
    return memory


def with_takes_confirmed(case: Case) -> Case:
    """Once the calls to set counts to 0 are over, forget the members that are seen at 0."""
    if not case.memory.taking or not case.settled():
        return case
    up = case.members_at(zero=False)
    left = tuple(member for member in case.memory.taking if member in up)
    return replace(case, memory=replace(case.memory, taking=left))


def with_databases(memory: Memory, seen: Observation, now: float) -> Memory:
    """The memory with what is seen of databases: stops that have begun, and the time of starts."""
    found = seen.databases
    states = {
        name: STOPPED if found.get(name) in ("stopping", "stopped") else state
        for name, state in memory.databases.items()
    }
    begun = memory.wake.started if memory.wake else {}
    ready = {name: round(now - begun[name], 1) for name in begun.keys() & found.keys()}
    ready = {name: seconds for name, seconds in ready.items() if not is_down(found[name])}
    wake = memory.wake
    if wake and ready:  # it is measured once
        started = {name: at for name, at in wake.started.items() if name not in ready}
        # also a database that was still stopping when the wake began made it wait from then on
        wake = replace(wake, started=started, database_seconds=round(now - wake.began, 1))
    if states == memory.databases and not ready:
        return memory
    return replace(
        memory,
        databases=states,
        database_seconds={**memory.database_seconds, **ready},
        wake=wake,
    )


def late_members(
    seen: Observation, memory: Memory, wake: Wake, config: Config, now: float
) -> tuple[str, ...]:
    """The members and databases that are needed and not ready at the deadline from their start.

    A member that still waits for others is not late.
    """
    if seen.open:
        return ()
    deadlines = {each.name: each.deadline_minutes * 60 for each in config.databases}
    return tuple(
        name
        for name in seen.lacking or [each.name for each in config.members]
        if name not in memory.to_start
        and now - wake.started.get(name, wake.began)
        > deadlines.get(name, config.wake_deadline_seconds)
    )


def notify_wiring(decision: Decision, seen: Observation, now: float) -> Decision:
    """The decision, with a notice of a problem of WIRING that exists and was not yet published.

    A decision has at most one notice. If there are more problems, they wait for a later decision.
    """
    if seen.rule is Rule.UNSEEN:  # the wiring was not read
        return decision
    before = decision.memory or seen.memory
    over = {problem.code for problem in WIRING} - seen.wiring.keys()
    if seen.scaling is None:
        over.discard(SCHEDULED_SCALING.code)
    notified = {code: at for code, at in before.notified_at.items() if code not in over}
    unpublished = [p for p in WIRING if p.code in seen.wiring and p.code not in notified]
    notice = decision.notice
    if unpublished and notice is None:
        problem = unpublished[0]
        notice = problem_notice(problem, seen.wiring[problem.code])
        notified[problem.code] = now
    if notified == before.notified_at:
        return decision
    return replace(decision, memory=replace(before, notified_at=notified), notice=notice)


def tick_blockers(seen: Observation, config: Config, now: float) -> list[Blocker]:
    """The blockers that a tick would find; [] if the service is neither awake nor drowsy."""
    memory = seen.memory
    if seen.gone:
        names = ", ".join(seen.missing)
        return [Blocker(SERVICE_MISSING.code, described(SERVICE_MISSING, names))]
    if memory.phase not in UP_PHASES or not memory.adopted:
        return []
    tick = Case(seen, memory, Signal(Kind.TICK), config, now)
    return tick.blockers(asked=memory.asked_to_sleep or tick.is_closed)


def is_no_news(signal: Signal, memory: Memory, now: float) -> bool:
    """Whether this is a beat without activity, or with activity that is remembered already.

    Each open tab of a page sends beats. Only one beat in BEAT_WRITE_SECONDS is worth observing AWS.
    """
    if signal.kind is not Kind.BEAT or not memory.adopted:
        return False
    if not signal.active:
        return True
    return memory.phase is not Phase.DROWSY and not memory.lacks_use(signal.used_at(now))


def waits_with_others(signal: Signal, memory: Memory) -> bool:
    """Whether this signal may share one observation with the signals of other waiting clients."""
    joins = signal.kind is Kind.REQUEST and memory.phase is Phase.WAKING
    return joins or signal.kind is Kind.POLL


STOPPING = "stopping"  # the states of Memory.databases
STOPPED = "stopped"
MISSING = "missing"  # a database that does not exist
# The statuses in which a database takes no connections.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
DOWN_STATUSES = ("stopped", "stopping", "starting", "creating", "rebooting", "failed")


def is_down(status: str) -> bool:
    """Whether a database takes no connections. Nobody waits for one that is MISSING."""
    return status in DOWN_STATUSES


# --- views of what AWS answers --------------------------------------------------------------------
@dataclass(frozen=True)
class Deployment:
    """A deployment of a service, or a task set if the deployment controller is not ECS."""

    id: str
    primary: bool
    created: float  # epoch seconds
    in_progress: bool = False
    failure: str = ""  # ECS's reason why the deployment has failed and starts no more tasks


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
    target_groups: tuple[str, ...] = ()  # their ARNs, and the names of Classic Load Balancers
    service_connect_names: tuple[str, ...] = ()
    other_traffic: tuple[str, ...] = ()  # descriptions of the further ways without load balancer
    grace_period_seconds: int = 0
    events: tuple[Event, ...] = ()
    member: str = "this"  # the key of the service in Config.members
    shared: bool = False  # others need the service too, see Member
    rolls: bool = True  # by rolling deployments; if not, Aws.shifting() must be asked
    shifting: bool = False  # a blue/green, linear or canary deployment is in progress

    @property
    def primary(self) -> Deployment | None:
        """The deployment that ECS brings up; None if the service has none."""
        return next((each for each in self.deployments if each.primary), None)

    @property
    def is_deploying(self) -> bool:
        in_progress = self.shifting or any(each.in_progress for each in self.deployments)
        return len(self.deployments) > 1 or in_progress

    def unseen_traffic(self, config: Config) -> list[str]:
        """Descriptions of the ways to reach the service whose requests no idle alarm counts."""
        groups = [each for each in self.target_groups if each not in config.target_group_arns]
        names = [
            each for each in self.service_connect_names if each not in config.service_connect_names
        ]
        return [
            *(f"load balancing by {group}" for group in groups),
            *(f"Service Connect, {name}" for name in names),
            *self.other_traffic,
        ]


@dataclass(frozen=True)
class Task:
    """A task of a service."""

    arn: str
    member: str = "this"  # the key of its service in Config.members
    running: bool = False
    health: str = "UNKNOWN"  # of the containers, in ECS's words
    definition: str = ""  # ARN of the task definition
    addresses: frozenset[str] = frozenset()  # see task_addresses()
    times: Mapping[str, float] = field(default_factory=dict)  # ECS's name -> epoch seconds
    stopped_reason: str = ""
    container_reasons: tuple[str, ...] = ()  # for each container, see container_reason()

    @property
    def stopped_at(self) -> float | None:
        """When the task ended (epoch seconds); None if it has not ended."""
        return self.times.get("stoppedAt")


@dataclass(frozen=True)
class ListenerRule:
    """A rule of the listener."""

    arn: str = ""
    priority: int = 0
    forwards_to: frozenset[str] = frozenset()  # target groups with a weight above 0
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # field -> values
    has_transforms: bool = False

    @property
    def listener_arn(self) -> str:
        return listener_of(self.arn)


@dataclass(frozen=True)
class Targets:
    """The result of Aws.targets(), which matches healthy targets with tasks."""

    live: tuple[Task, ...]
    closed: tuple[str, ...]
    strangers: bool


# What auto scaling can suspend, by the names of the API.
# https://docs.aws.amazon.com/autoscaling/application/APIReference/API_SuspendedState.html
SUSPENDED = (
    "DynamicScalingInSuspended",
    "DynamicScalingOutSuspended",
    "ScheduledScalingSuspended",
)


@dataclass(frozen=True)
class ScalableTarget:
    """What Application Auto Scaling knows of a service."""

    minimum: int
    flags: tuple[str, ...]  # those of SUSPENDED that are set

    @property
    def is_suspended(self) -> bool:
        return len(self.flags) == len(SUSPENDED)


@dataclass(frozen=True)
class Alarm:
    """An alarm: its state, or MISSING if it does not exist."""

    state: str  # OK, ALARM, INSUFFICIENT_DATA or MISSING
    since: float = 0.0  # epoch seconds; 0: not known


def scalable_target_view(target: Mapping[str, Any]) -> ScalableTarget:
    """A scalable target of DescribeScalableTargets."""
    state = target.get("SuspendedState", {})
    flags = tuple(name for name in SUSPENDED if state.get(name))
    return ScalableTarget(minimum=target["MinCapacity"], flags=flags)


def alarm_view(alarm: Mapping[str, Any]) -> Alarm:
    """An alarm of DescribeAlarms."""
    # the API may omit this timestamp, and then the notice IDLE_BUT_AWAKE may come too early
    since = alarm.get("StateTransitionedTimestamp")
    return Alarm(alarm["StateValue"], since.timestamp() if since else 0.0)


def service_view(service: Mapping[str, Any], member: Member) -> Service:
    """A service of DescribeServices."""
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
    rollouts = service["deployments"] or service.get("taskSets", ())
    # rolloutState is for rolling deployments; another one that has it all the same may be shifting
    has_state = all({"rolloutState", "stabilityStatus"} & each.keys() for each in rollouts)
    strategy = service.get("deploymentConfiguration", {}).get("strategy", "ROLLING")
    return Service(
        name=service["serviceName"],
        desired=service["desiredCount"],
        member=member.name,
        shared=member.shared,
        deployments=tuple(deployment_view(each) for each in rollouts),
        rolls=strategy == "ROLLING" and has_state,
        target_groups=tuple(dict.fromkeys(target_groups(service))),
        service_connect_names=tuple(dict.fromkeys(service_connect_names(service))),
        other_traffic=tuple(dict.fromkeys(other_traffic(service))),
        grace_period_seconds=service.get("healthCheckGracePeriodSeconds", 0),
        events=tuple(
            Event(each["createdAt"].timestamp(), each["message"])
            for each in service.get("events", ())
        ),
    )


def target_groups(service: Mapping[str, Any]) -> Iterator[str]:
    """The target groups of a service and its task sets, and the names of Classic Load Balancers."""
    for part in (service, *service.get("taskSets", ())):
        for balancer in part.get("loadBalancers", ()):
            advanced = balancer.get("advancedConfiguration", {})
            names = (
                balancer.get("targetGroupArn"),
                advanced.get("alternateTargetGroupArn"),
                balancer.get("loadBalancerName"),
            )
            yield from filter(None, names)


def other_traffic(service: Mapping[str, Any]) -> Iterator[str]:
    """Descriptions of the ways to reach a service by Cloud Map or VPC Lattice."""
    for part in (service, *service.get("taskSets", ())):
        for registry in part.get("serviceRegistries", ()):
            yield f"Cloud Map, {registry['registryArn']}"
    for deployment in service["deployments"]:
        for lattice in deployment.get("vpcLatticeConfigurations", ()):
            yield f"VPC Lattice, {lattice['targetGroupArn']}"


# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceConnectService.html
def service_connect_names(service: Mapping[str, Any]) -> Iterator[str]:
    """The names by which others discover a service of Service Connect.

    If a configuration has no `services`, the service is only a client of others.
    """
    for deployment in service["deployments"]:
        connect = deployment.get("serviceConnectConfiguration", {})
        if connect.get("enabled"):
            for served in connect.get("services", ()):
                yield served.get("discoveryName") or served["portName"]


def deployment_view(rollout: Mapping[str, Any]) -> Deployment:
    """A deployment or a task set of DescribeServices."""
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


def task_view(task: Mapping[str, Any], member: str) -> Task:
    """A task of DescribeTasks; `member` is the key of its service."""
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
    times = {name: at for name, at in task.items() if name.endswith("At")}
    return Task(
        arn=task["taskArn"],
        member=member,
        health=task.get("healthStatus", "UNKNOWN"),
        definition=task.get("taskDefinitionArn", ""),
        running=task["lastStatus"] == "RUNNING",
        addresses=frozenset(task_addresses(task)),
        times={name: round(at.timestamp(), 3) for name, at in times.items()},
        stopped_reason=str(task.get("stoppedReason", "")),
        container_reasons=tuple(container_reason(each) for each in task.get("containers", ())),
    )


def container_reason(container: Mapping[str, Any]) -> str:
    """ECS's reason why a container stopped. If there is none, the exit code, or else ""."""
    code = f"exit code {container['exitCode']}" if "exitCode" in container else ""
    return container.get("reason") or code


def task_addresses(task: Mapping[str, Any]) -> Iterator[str]:
    """The addresses of a task's interfaces, and the task's ports on a container instance.

    A port is yielded without its instance. If a foreign target has the same port on another
    instance, the foreign target counts as the task.
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
    """The host ports of a network binding: one, or a range."""
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html
    if "hostPort" in binding:
        return [binding["hostPort"]]
    first, _, last = binding.get("hostPortRange", "").partition("-")
    return list(range(int(first), int(last or first) + 1)) if first else []


# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
def target_address(target: Mapping[str, Any]) -> str:
    """The address of a target as in task_addresses(): an IP address, or the port of an instance."""
    if target["Id"].startswith("i-"):
        return f"port {target['Port']}"
    return plain_address(target["Id"])


def plain_address(address: str) -> str:
    """An IP address in its canonical form; any other text unchanged."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


CONDITION_CONFIGS = {  # field of a condition -> the key of its settings
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
MATCH_ALL = (("/*",), ("*",))


def rule_view(rule: Mapping[str, Any]) -> ListenerRule:
    """A rule of DescribeRules, but not the default rule. Conditions that match all are left out."""
    conditions = {condition_name(each): condition_values(each) for each in rule["Conditions"]}
    return ListenerRule(
        arn=rule["RuleArn"],
        priority=int(rule["Priority"]),
        forwards_to=frozenset(forward_groups(rule)),
        conditions={name: found for name, found in conditions.items() if found not in MATCH_ALL},
        has_transforms=bool(rule.get("Transforms")),
    )


def forward_groups(rule: Mapping[str, Any]) -> Iterator[str]:
    """The target groups that a rule forwards to with a weight above 0."""
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Action.html
    for action in rule["Actions"]:
        if action["Type"] == "forward":
            for group in action.get("ForwardConfig", {}).get("TargetGroups") or [action]:
                if group.get("Weight", 1) > 0:
                    yield group["TargetGroupArn"]


# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
def condition_config(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a condition beside its `Values`."""
    config: Mapping[str, Any] = condition.get(CONDITION_CONFIGS.get(condition["Field"], ""), {})
    return config


def condition_name(condition: Mapping[str, Any]) -> str:
    """The field of a condition; for a header, with the header's name in lower case."""
    header = condition_config(condition).get("HttpHeaderName", "").lower()
    return f"{condition['Field']} {header}".rstrip()


def condition_values(condition: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of a condition in lower case and the regular expressions, sorted together.

    AWS returns values in `Values`, in the config of the field (CONDITION_CONFIGS), or in both. AWS
    returns regular expressions only in the config. A value of a query string is KEY=VALUE.
    """
    config = condition_config(condition)
    values = condition.get("Values") or config.get("Values", ())
    texts = [
        value if isinstance(value, str) else f"{value.get('Key', '*')}={value['Value']}"
        for value in values
    ]
    expressions = [f"regex {expression}" for expression in config.get("RegexValues", ())]
    return tuple(sorted([*map(str.lower, texts), *expressions]))


def matches_any(value: str, patterns: Iterable[str]) -> bool:
    """Whether a value matches a pattern with * and ?, as in the conditions of listener rules."""
    # [...] is a wildcard for fnmatch, but plain text for a load balancer
    return any(fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns)


def covers(rule: ListenerRule, other: ListenerRule) -> bool:
    """Whether `rule` matches every request that `other` does.

    If `rule` has a condition that `other` lacks, it may match fewer requests. Then, and if one
    range of addresses merely contains another, the answer is False.
    """
    for condition, patterns in rule.conditions.items():
        values = other.conditions.get(condition)
        if not values or not all(matches_any(value, patterns) for value in values):
            return False
    return True


def takes_all(rule: ListenerRule, other: ListenerRule) -> bool:
    """Whether `rule` gets every request for `other`: it stands before it, and covers it."""
    before = rule.listener_arn == other.listener_arn and rule.priority < other.priority
    return before and covers(rule, other)


def names_of(services: Iterable[Service]) -> tuple[str, ...]:
    """The names of services, as calls to ECS have them."""
    return tuple(service.name for service in services)


# Deployments, and why a start failed
def primaries(services: Iterable[Service]) -> list[Deployment]:
    """The primary deployment of each service that has one."""
    return [service.primary for service in services if service.primary]


def deployed_ids(services: Iterable[Service]) -> str:
    """The ids of the primary deployments. If the ids change, a new start may succeed."""
    return ",".join(deployment.id for deployment in primaries(services))


def failed_deployments(services: Iterable[Service]) -> dict[str, str]:
    """The services whose primary deployment has failed, each with ECS's reason."""
    return {s.name: s.primary.failure for s in services if s.primary and s.primary.failure}


def halted(services: Iterable[Service]) -> str:
    """The failed_deployments() as one text; "" if no deployment has failed."""
    failed = failed_deployments(services).items()
    return "; ".join(f"{name}: {DEPLOYMENT_FAILED.text} ({why})" for name, why in failed)


def redeploy(services: Iterable[Service], cluster: str) -> str:
    """The remedy for failed_deployments(); "" if no deployment has failed."""
    update = f"aws ecs update-service --cluster {cluster} --service"
    failed = failed_deployments(services)
    commands = [f"`{update} {name} --force-new-deployment`" for name in failed]
    if not commands:
        return ""
    fix = "Fix the cause that ECS reports and deploy a new task definition"
    return f"{fix}, or run {', '.join(commands)}."


def failure_class(reason: str) -> str | None:
    """The class of a reason, which clients may see; None if the reason is ""."""
    if not reason:
        return None
    kind = next((kind for words, kind in FAILURES if words in reason), "not-ready")
    return "crash-loop" if kind == "container-exited" and SEVERAL in reason else kind


def vagueness(reason: str) -> int:
    """How little a reason says: 0 if it has a class, 1 if it is unknown, 2 if it is a summary."""
    if failure_class(reason) != "not-ready":
        return 0
    return 2 if any(words in reason for words in SUMMARIES) else 1


def why_stopped(stopped: Iterable[Task]) -> list[str]:
    """One text for each task: ECS's reasons for the task and its containers.

    The text of the task that stopped last is the first.
    """
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
    """ECS's reason why nothing has started in this phase; "" if ECS gives none.

    Stopped tasks and service events have reasons. The least vague reason is returned. If a task
    and an event are equally vague, the task's reason is returned.
    """
    recent = [task for task in stopped if (task.stopped_at or 0.0) >= memory.since]
    # if a task was scaled in, it may drain for minutes and stop only during the next wake
    crashed = [task for task in recent if not task.stopped_reason.startswith(SCALED_IN)]
    events = [event for service in services for event in service.events]
    texts = [event.text for event in events if event.created >= memory.since]
    failures = [text for text in texts if vagueness(text) == 0 or FAILING.search(text)]
    best = min([*why_stopped(crashed), *failures], key=vagueness, default="")
    if best and vagueness(best) < 2:
        return best
    # ECS does not repeat an event for six hours, so the reason of the last failure may still hold
    unchanged = memory.failures and not memory.redeployed_since_failure(services)
    by_ecs = memory.failure not in NOT_STARTED.values()
    kept = memory.failure if unchanged and by_ecs and not running else ""
    return kept or best


# --- AWS, the clock, and what is cached: the adapter ----------------------------------------------
LAST_PRIORITY = 50000


def stands(rules: Mapping[str, ListenerRule], route: Route) -> Rule:
    """Where the wake rule of a route stands."""
    if not rules.keys() >= {route.wake_rule_arn, route.service_rule_arn}:
        return Rule.MISSING
    wake = rules[route.wake_rule_arn]
    service = rules[route.service_rule_arn]
    return Rule.UP if wake.priority < service.priority else Rule.DOWN


def stand_together(rules: Mapping[str, ListenerRule], routes: Iterable[Route]) -> Rule:
    """Where the wake rules of all routes stand."""
    found = {stands(rules, route) for route in routes}
    if Rule.MISSING in found:
        return Rule.MISSING
    if len(found) > 1:
        return Rule.MIXED
    return found.pop() if found else Rule.NONE


def free_priority(rules: Iterable[ListenerRule], to: Rule, route: Route) -> int:
    """A free priority at which the route's wake rule is up or down, as `to` says.

    Raises RuleStuckError if no such priority is free.
    """
    taken = {
        rule.priority: rule.arn
        for rule in rules
        if rule.listener_arn == route.listener_arn and rule.arn != route.wake_rule_arn
    }
    service = next(number for number, arn in taken.items() if arn == route.service_rule_arn)
    down = to is Rule.DOWN
    numbers = priorities_down(service, route) if down else priorities_up(taken, service, route)
    for number in numbers:
        if number not in taken:
            return number
    wanted = f"the wake rule cannot go {to}, next to the service rule's number {service}"
    where = "" if route.name == "this" else f" (route {route.name})"
    raise RuleStuckError(NO_RULE_NUMBER, wanted + where)


def priorities_down(service: int, route: Route) -> Iterable[int]:
    """All priorities after the service rule's: from parked_rule_priority on, then the rest."""
    parked = max(route.parked_rule_priority, service + 1)
    return chain(range(parked, LAST_PRIORITY + 1), range(service + 1, parked))


def priorities_up(taken: Mapping[int, str], service: int, route: Route) -> Iterable[int]:
    """The priorities between the service rule and the rule before it, rule_priority first.

    All other rules of the route must stand before the wake rule. If one of them stands after the
    service rule, no priority is possible, and the result is empty.
    """
    if any(arn in route.own_rule_arns and n > service for n, arn in taken.items()):
        return ()
    before = max((number for number in taken if number < service), default=0)
    configured = [route.rule_priority] if before < route.rule_priority < service else []
    return chain(configured, range(service - 1, before, -1))


def hides_others(rules: Mapping[str, ListenerRule], route: Route) -> bool:
    """Whether a wake rule that is up stands before a rule that it must follow.

    The wake rule must follow the other rules of its route. It must also follow every rule that
    stands before the service rule.
    """
    wake = rules[route.wake_rule_arn].priority
    service = rules[route.service_rule_arn].priority
    own = [rules[arn].priority for arn in route.own_rule_arns if arn in rules]
    between = [
        rule
        for rule in rules.values()
        if rule.listener_arn == route.listener_arn and wake < rule.priority < service
    ]
    return wake < service and (bool(between) or any(priority > wake for priority in own))


SCALABLE_DIMENSION = "ecs:service:DesiredCount"
# RDS's errors for a start of a database that is not stopped.
WRONG_STATUS = ("InvalidDBInstanceState", "InvalidDBClusterStateFault")
MESSAGES = (  # attributes of a queue
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
DEPLOYMENT_IN_PROGRESS = [
    "PENDING",
    "IN_PROGRESS",
    "STOP_REQUESTED",
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
]

T = TypeVar("T")


class Cached(Generic[T]):
    """A cached value. It is due to be read again after `seconds`.

    If reading fails, the value is due again after `retry_seconds`.
    """

    def __init__(self, value: T, seconds: float, retry_seconds: float) -> None:
        self.value = value
        self.seconds = seconds
        self.retry_seconds = retry_seconds
        self._due = 0.0  # epoch seconds

    def is_due(self, now: float) -> bool:
        return now > self._due

    def keep(self, value: T, now: float) -> T:
        """Keep a value that was read just now."""
        self.value = value
        self._due = now + self.seconds
        return value

    def keep_last(self, now: float) -> T:
        """Keep the last value, because reading a new one failed."""
        self._due = now + self.retry_seconds
        return self.value


def failed(call: Callable[[], None]) -> Exception | None:
    """Make a call. Returns its error if that is one of ERRORS, else None."""
    try:
        call()
    except ERRORS as error:
        return error
    return None


class Aws:
    """Every AWS call, the clock and sleep. The one seam for tests."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._clients: dict[tuple[str, bool], Any] = {}
        self._token = Cached("", TOKEN_SECONDS, TOKEN_AGAIN_SECONDS)
        self._checks: dict[str, bool] = {}  # by task definition
        self._queue_urls: dict[str, str] = {}  # by ARN
        empty: dict[str, Any] = {}
        self._settings = Cached(empty, SETTINGS_SECONDS, SETTINGS_AGAIN_SECONDS)

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def side_by_side(self, calls: Mapping[str, Callable[[], None]]) -> dict[str, Exception]:
        """Make calls that take at the same time, so that each starts within TAKE_START_SECONDS.

        Returns the errors of ERRORS by the names of the calls that failed.
        """
        self.client("ecs", taking=True)  # boto3 builds clients in one thread only
        with ThreadPoolExecutor() as pool:
            made = {name: pool.submit(call) for name, call in calls.items()}
        return {name: error for name, each in made.items() if (error := failed(each.result))}

    # clients
    def client(self, service: str, *, taking: bool = False) -> Any:
        """A boto3 client, cached. With `taking` it never retries and has short timeouts."""
        if (service, taking) not in self._clients:
            retries: Any = {"mode": "standard", "total_max_attempts": 1 if taking else 3}
            timeout = TAKE_TIMEOUT_SECONDS if taking else 3
            sdk = SdkConfig(connect_timeout=timeout, read_timeout=timeout, retries=retries)
            build: Any = boto3.client
            self._clients[service, taking] = build(service, config=sdk)
        return self._clients[service, taking]

    def caller(self, service: str, last_take_at: float | None) -> Any:
        """The client for a call to AWS. If the call takes, `last_take_at` is its announcement.

        Raises TimeoutError if the announcement is older than TAKE_START_SECONDS.
        """
        client = self.client(service, taking=last_take_at is not None)
        if last_take_at is not None and self.now() - last_take_at > TAKE_START_SECONDS:
            raise TimeoutError(f"{self.now() - last_take_at:.1f} s after it was announced")
        return client

    # the table
    def item(self, name: str) -> dict[str, Any]:
        """An item of the table; {} if there is no such item. Raises TableGoneError."""
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
        """The memory. If there is none, or it has another FORM, the result is not `adopted`."""
        return Memory.from_item(self.item("memory"), self.now())

    def write_memory(self, memory: Memory) -> Memory | None:
        """Write the memory and return it as written.

        Returns None if another invocation has written the item since `memory` was read.
        """
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
        """The settings, cached. If they cannot be read, the last ones stay in force."""
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
        """Whether one more call may be held. Each window of hold_seconds allows hold_limit calls.

        A separate item of the table counts the held calls. If counting fails, the call is held.
        """
        window = int(self.now() // self.config.hold_seconds)
        count = ("ADD held :one", "since = :window")
        begin_window = ("SET since = :window, held = :one", "NOT since = :window")
        try:
            # If both `count` and `begin_window` fail, another invocation has begun the window in
            # the meantime. Then the second `count` succeeds.
            for change, condition in (count, begin_window, count):
                held = self.count_held(window, change, condition)
                if held is not None:
                    return held <= self.config.hold_limit
        except ERRORS as error:
            log(level="WARNING", message="held calls are not counted", error=str(error))
        return True

    def count_held(self, window: int, change: str, condition: str) -> int | None:
        """Apply `change` to the counter, and return the calls held in this window.

        Returns None if `condition` is not met.
        """
        database = self.client("dynamodb")
        try:
            counted = database.update_item(
                TableName=self.config.table_name,
                Key={"id": {"S": "held"}},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues={":window": {"N": str(window)}, ":one": {"N": "1"}},
                ReturnValues="ALL_NEW",
            )
        except database.exceptions.ConditionalCheckFailedException:
            return None
        return int(counted["Attributes"]["held"]["N"])

    # the heartbeat's token
    def token(self) -> str:
        """The heartbeat's token, cached.

        If SSM cannot be reached, the last token stays valid, so that a service in use does not fall
        asleep. If no token was read before, or SSM refuses, SSM's error is raised.
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
        """The heartbeat's token as SSM has it now."""
        name = self.config.heartbeat_token_parameter
        answer = self.client("ssm").get_parameter(Name=name, WithDecryption=True)
        return str(answer["Parameter"]["Value"])

    # services
    def services(self) -> tuple[Service, ...]:
        """The configured services that exist and are ACTIVE."""
        ecs = self.client("ecs")
        members = {member.service_name: member for member in self.config.members}
        cluster = self.config.cluster_name
        try:
            answer = ecs.describe_services(cluster=cluster, services=list(members))
        except ecs.exceptions.ClusterNotFoundException:
            return ()
        return tuple(
            service_view(service, members[service["serviceName"]])
            for service in answer["services"]
            if service["status"] == "ACTIVE"
        )

    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServiceDeployments.html
    def shifting(self, service: Service) -> bool:
        """Whether a blue/green, linear or canary deployment of a service is in progress."""
        if service.rolls:
            return False
        answer = self.client("ecs").list_service_deployments(
            cluster=self.config.cluster_name, service=service.name, status=DEPLOYMENT_IN_PROGRESS
        )
        return bool(answer["serviceDeployments"])

    def set_count(self, service: str, count: int, last_take_at: float | None = None) -> None:
        """Call UpdateService. For `last_take_at` and TimeoutError see caller()."""
        client = self.caller("ecs", last_take_at)
        cluster = self.config.cluster_name
        client.update_service(cluster=cluster, service=service, desiredCount=count)

    # databases
    def databases(self) -> dict[str, str]:
        """The status of each database by its key, in RDS's words; MISSING if it does not exist."""
        return {each.name: self.status_of(each) for each in self.config.databases}

    # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html
    def status_of(self, database: Database) -> str:
        rds = self.client("rds")
        name = database.identifier
        try:
            if database.is_cluster:
                return str(
                    rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]["Status"]
                )
            found = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
            return str(found["DBInstanceStatus"])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("DBInstanceNotFound", "DBClusterNotFoundFault"):
                return MISSING
            raise

    def start_database(self, database: Database) -> None:
        """Start a database, unless it starts already, or is stopping still."""
        rds = self.client("rds")
        try:
            if database.is_cluster:
                rds.start_db_cluster(DBClusterIdentifier=database.identifier)
            else:
                rds.start_db_instance(DBInstanceIdentifier=database.identifier)
        except ClientError as error:
            if error.response["Error"]["Code"] not in WRONG_STATUS:
                raise

    def stop_database(self, database: Database, last_take_at: float) -> None:
        """Stop a database, without a snapshot. For `last_take_at` and TimeoutError see caller()."""
        rds = self.caller("rds", last_take_at)
        if database.is_cluster:
            rds.stop_db_cluster(DBClusterIdentifier=database.identifier)
        else:
            rds.stop_db_instance(DBInstanceIdentifier=database.identifier)

    # queues
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
    def messages(self) -> int:
        """The messages in all queues: visible, in flight and delayed."""
        found = 0
        for arn in self.config.queue_arns:
            answer = self.client("sqs").get_queue_attributes(
                QueueUrl=self.queue_url(arn), AttributeNames=list(MESSAGES)
            )
            found += sum(int(answer["Attributes"][name]) for name in MESSAGES)
        return found

    def queue_url(self, arn: str) -> str:
        """The URL of a queue. Cached, because it does not change."""
        if arn not in self._queue_urls:
            account, name = arn.split(":")[4:6]
            answer = self.client("sqs").get_queue_url(
                QueueName=name, QueueOwnerAWSAccountId=account
            )
            self._queue_urls[arn] = answer["QueueUrl"]
        return self._queue_urls[arn]

    # auto scaling
    def resource_ids(self) -> dict[str, str]:
        """The names for auto scaling of the services that are not shared, each with the member."""
        cluster = self.config.cluster_name
        members = [member for member in self.config.members if not member.shared]
        return {f"service/{cluster}/{member.service_name}": member.name for member in members}

    def scaling(self) -> dict[str, ScalableTarget]:
        """The scalable targets of the services, by member; a service may have none."""
        members = self.resource_ids()
        answer = self.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs",
            ResourceIds=list(members),
            ScalableDimension=SCALABLE_DIMENSION,
        )
        found = answer["ScalableTargets"]
        return {members[each["ResourceId"]]: scalable_target_view(each) for each in found}

    def scheduled_actions(self, members: Iterable[str]) -> list[str]:
        """The names of the scheduled actions of these members' services."""
        client = self.client("application-autoscaling")
        answers = [
            client.describe_scheduled_actions(
                ServiceNamespace="ecs", ResourceId=name, ScalableDimension=SCALABLE_DIMENSION
            )
            for name, member in self.resource_ids().items()
            if member in members
        ]
        return [
            each["ScheduledActionName"] for found in answers for each in found["ScheduledActions"]
        ]

    # https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
    def set_flags(
        self, service: str, flags: Iterable[str], last_take_at: float | None = None
    ) -> None:
        """Suspend what `flags` name, and resume the rest. The minimum and the maximum remain.

        AWS then raises a count below the minimum to the minimum. For `last_take_at` and
        TimeoutError see caller().
        """
        client = self.caller("application-autoscaling", last_take_at)
        client.register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{self.config.cluster_name}/{service}",
            ScalableDimension=SCALABLE_DIMENSION,
            SuspendedState={name: name in flags for name in SUSPENDED},
        )

    # tasks
    def tasks(self, status: str) -> tuple[Task, ...]:
        """The services' tasks whose desiredStatus is `status`: RUNNING or STOPPED."""
        ecs = self.client("ecs")
        cluster = self.config.cluster_name
        members = {
            arn: member.name
            for member in self.config.members
            for arn in self.task_arns(member.service_name, status)
        }
        arns = list(members)
        answers = [
            ecs.describe_tasks(cluster=cluster, tasks=arns[first : first + 100])
            for first in range(0, len(arns), 100)
        ]
        return tuple(
            task_view(task, members[task["taskArn"]])
            for answer in answers
            for task in answer["tasks"]
            if task["desiredStatus"] == status
        )

    def task_arns(self, service: str, status: str) -> Iterator[str]:
        """The ARNs of a service's tasks with this desiredStatus."""
        ecs = self.client("ecs")
        cluster = self.config.cluster_name
        ask: dict[str, Any] = {"cluster": cluster, "serviceName": service, "desiredStatus": status}
        while True:
            listed = ecs.list_tasks(**ask)
            yield from listed["taskArns"]
            if not listed.get("nextToken"):
                break
            ask["nextToken"] = listed["nextToken"]

    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html
    def passes_checks(self, task: Task) -> bool:
        """Whether a task runs and its containers, if they have health checks, are healthy.

        The health of a task is UNKNOWN before its first check and also if it has none.
        """
        if not task.running or task.health != "UNKNOWN":
            return task.running and task.health == "HEALTHY"
        return not self.has_checks(task.definition)

    def has_checks(self, definition: str) -> bool:
        """Whether an essential container of a task definition has a health check. Cached."""
        if definition not in self._checks:
            answer = self.client("ecs").describe_task_definition(taskDefinition=definition)
            self._checks[definition] = any(
                container.get("healthCheck") and container.get("essential", True)
                for container in answer["taskDefinition"]["containerDefinitions"]
            )
        return self._checks[definition]

    def protected(self, tasks: tuple[Task, ...]) -> bool:
        """Whether a task has scale-in protection."""
        ecs = self.client("ecs")
        cluster = self.config.cluster_name
        arns = [task.arn for task in tasks]
        answers = [
            ecs.get_task_protection(cluster=cluster, tasks=arns[first : first + 100])
            for first in range(0, len(arns), 100)
        ]
        return any(t["protectionEnabled"] for each in answers for t in each["protectedTasks"])

    # targets
    def healthy(self) -> dict[str, set[str]]:
        """The addresses of the healthy targets of each of target_group_arns that exists."""
        elbv2 = self.client("elbv2")
        found: dict[str, set[str]] = {}
        for arn in self.config.target_group_arns:
            try:
                answer = elbv2.describe_target_health(TargetGroupArn=arn)
            except ClientError as error:
                if error.response["Error"]["Code"] != "TargetGroupNotFound":
                    raise
            else:
                found[arn] = {
                    target_address(target["Target"])
                    for target in answer["TargetHealthDescriptions"]
                    if target["TargetHealth"]["State"] == "healthy"
                }
        return found

    def targets(
        self,
        tasks: tuple[Task, ...],
        healthy: Mapping[str, set[str]],
        forwards: Mapping[str, Iterable[str]],
        up: Iterable[str],
    ) -> Targets:
        """Match the healthy targets with `tasks`, whose desiredStatus is RUNNING.

        `healthy` is the result of healthy(). `forwards` has the target groups of each route. `up`
        has the members with a count above 0; the tasks of the others are about to stop.

        A healthy target is *unknown* if it belongs neither to `tasks` nor to a task that is
        stopping.

        - live: the tasks of `up` with a healthy target. If there are none, but an unknown target
          exists, all running tasks of `up` are live.
        - closed: the routes in whose target groups no target of a task of `up` is healthy, nor an
          unknown one.
        - strangers: True if an unknown target exists and every running task has an address. If a
          running task has no address, the unknown target may belong to this task.
        """
        addresses = set().union(*healthy.values())
        ours = set().union(*(task.addresses for task in tasks))
        unknown = addresses - ours
        if unknown:  # most belong to tasks that are stopping, which are read only in this case
            stopping = [task for task in self.tasks("STOPPED") if self.may_be_target(task)]
            unknown = unknown.difference(*(task.addresses for task in stopping))
        up = set(up)
        staying = [task for task in tasks if task.member in up]
        live = tuple(task for task in staying if task.addresses & addresses)
        running = tuple(task for task in tasks if task.running)
        if unknown and not live:
            live = tuple(task for task in running if task.member in up)
        usable = unknown.union(*(task.addresses for task in staying))
        serving = {group: found & usable for group, found in healthy.items()}
        closed = [route for route, groups in forwards.items() if not any(map(serving.get, groups))]
        strangers = bool(unknown) and all(task.addresses for task in running)
        return Targets(live, tuple(closed), strangers)

    def may_be_target(self, task: Task) -> bool:
        """Whether a task whose desiredStatus is STOPPED may still be registered as a target."""
        return task.stopped_at is None or self.now() - task.stopped_at < OUT_SECONDS

    # the listeners' rules
    def rules(self) -> tuple[Rule, dict[str, ListenerRule]]:
        """Where the wake rules stand, and all rules of their listeners by ARN.

        On the alarm path, there are none.
        """
        routes = self.config.routes
        listeners = dict.fromkeys(route.listener_arn for route in routes)
        paginator = self.client("elbv2").get_paginator("describe_rules")
        views = [
            rule_view(rule)
            for listener in listeners
            for page in paginator.paginate(ListenerArn=listener)
            for rule in page["Rules"]
            if rule["Priority"] != "default"
        ]
        rules = {rule.arn: rule for rule in views}
        return stand_together(rules, routes), rules

    def move_rules(self, to: Rule, last_take_at: float) -> bool:
        """Put every wake rule up (a call that gives) or down (a call that takes).

        Returns False if all stand there already or there is none.
        """
        together, rules = self.rules()
        if together is Rule.MISSING:
            raise RuleStuckError(RULE_MISSING)
        routes = [route for route in self.config.routes if stands(rules, route) is not to]
        return self.put_rules(rules, routes, to, last_take_at if to is Rule.DOWN else None)

    def put_rules(
        self,
        rules: Mapping[str, ListenerRule],
        routes: Iterable[Route],
        to: Rule,
        last_take_at: float | None = None,
    ) -> bool:
        """Set free priorities for the wake rules of `routes`, by one call for each listener.

        Returns False if the rules have these priorities already. If no priority is free for one
        rule, the others are moved first, and then RuleStuckError is raised.
        """
        standing = dict(rules)
        moved: dict[str, list[dict[str, Any]]] = {}  # by listener
        stuck: RuleStuckError | None = None
        for route in routes:
            wake = standing[route.wake_rule_arn]
            try:
                number = free_priority(standing.values(), to, route)
            except RuleStuckError as error:
                stuck = stuck or error
                continue
            if number != wake.priority:
                standing[wake.arn] = replace(wake, priority=number)
                pair = {"RuleArn": wake.arn, "Priority": number}
                moved.setdefault(route.listener_arn, []).append(pair)
        for pairs in moved.values():
            self.caller("elbv2", last_take_at).set_rule_priorities(RulePriorities=pairs)
        if stuck:
            raise stuck
        return bool(moved)

    # alarms
    def alarms(self, arns: Iterable[str]) -> list[Alarm]:
        """The states of alarms, in the order of `arns`."""
        names = [arn.rpartition(":")[2] for arn in arns]
        answer = self.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        found = {alarm["AlarmName"]: alarm_view(alarm) for alarm in answer}
        return [found.get(name, Alarm("MISSING")) for name in names]


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
        """Read an ALB event with multi-value headers. Raises RefusedError for any other event."""
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
            # These two lines raise TypeError if a value is no string. The first line also raises
            # UnicodeEncodeError if a string has surrogates.
            "".join([request.method, request.path, request.query]).encode()
            "".join([request.target_group_arn, *request.headers.values()])
        except (AttributeError, LookupError, TypeError, ValueError):
            raise RefusedError("not in the form of a load balancer's request") from None
        return request

    @property
    def location(self) -> str:
        """The Location header that repeats this request. It never leads to another host.

        The location is an absolute path, because some clients follow nothing else (see
        docs/guide/waiting.md). A proxy may remove a prefix from the path and send the prefix in
        X-Forwarded-Prefix. In this case the location is relative to the URL that the client asked
        for (RFC 3986, section 5).
        """
        safe = "/%:@!$&'()*+,;=~-._?"
        query = "?" + quote(self.query, safe) if self.query else ""
        if self.headers.get("x-forwarded-prefix", "").strip("/, "):
            segment = quote(self.path.rpartition("/")[2], safe)
            # Without "./", a client would read a segment with a colon as a scheme. If the segment
            # is empty, "./" is left out, because curl misreads "./?".
            return query if query and not segment else f"./{segment}{query}"
        path = "/." + self.path if self.path.startswith("//") else "/" + self.path.lstrip("/")
        return quote(path, safe) + query

    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
    @property
    def client_address(self) -> str:
        """The address that the load balancer added to X-Forwarded-For; "" if it added none."""
        last = self.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if last.startswith("["):  # [IPv6]:port
            return last[1:].partition("]")[0]
        return last.partition(":")[0] if last.count(":") == 1 else last  # IPv4:port

    @property
    def client_kind(self) -> ClientKind:
        return client_kind(self.method, self.path, self.headers)

    def preflight(self) -> dict[str, Any]:
        """The answer to a CORS preflight: the method and the headers asked for are allowed."""
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
        """An ALB response. A string is sent as HTML, and any other body as JSON.

        If the method is HEAD, the body is empty. No cache may store the response, so the response
        has Cache-Control: no-store. Only a 307 has no Cache-Control: CloudFront does not cache such
        a 307, but caches a 307 with no-store for the minimum TTL, which makes a redirect loop.
        Headers may repeat text from the client, so headers are reduced to printable ASCII.
        """
        is_html = isinstance(body, str)
        text = body if isinstance(body, str) else json.dumps(body)
        named = {"Content-Type": "text/html; charset=utf-8" if is_html else "application/json"}
        if status != HTTPStatus.TEMPORARY_REDIRECT:
            named["Cache-Control"] = "no-store"
        named.update({name.replace("_", "-"): value for name, value in headers.items()})
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
        """An ALB response for an error: a problem document, with `facts` as further members."""
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
    """The text without characters other than printable ASCII."""
    return "".join(character for character in text if " " <= character <= "~")


class ClientKind(StrEnum):
    """A kind of client, by the answers that the client can use."""

    PAGE = "page"  # a browser that opens a page: it can show HTML
    API_CALL = "api call"  # a client that can be held and redirected
    SUBRESOURCE = "subresource"  # a browser that loads a part of a page: no HTML, no waiting
    PREFLIGHT = "preflight"
    GRPC = "grpc"  # a client that retries a 503 (UNAVAILABLE), but not a 307 (UNKNOWN)


# Plain HTTP and old browsers send no Sec-Fetch headers. Their requests are recognized by these: how
# a browser's User-Agent begins, headers that scripts send, how the Accept header of a request for a
# subresource begins, and how the path of a subresource ends.
BROWSERS = ("Mozilla/", "Opera/", "Lynx/", "w3m/", "Dillo/")
SCRIPTED = {"hx-request", "turbo-frame", "x-turbo-request-id", "x-pjax", "x-up-version"}
PART_TYPES = ("image/", "text/css", "font/", "audio/", "video/")
PART_NAMES = re.compile(r"\.(m?js|css|map|woff2?|[to]tf|mp[34]|web[mp]|wasm|webmanifest)$")


def client_kind(method: str, path: str, headers: Mapping[str, str]) -> ClientKind:
    """The kind of client that sent this request. Header names are in lower case."""
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
        is_part = is_part_without_metadata(path, headers) and method in ("GET", "HEAD")
    else:
        # a download has mode "navigate" and dest "empty", and would save the page as its file
        navigates = mode == "navigate" and dest != "empty"
        is_part = dest not in (None, "empty")
    if navigates:
        return ClientKind.PAGE if method in ("GET", "HEAD") else ClientKind.API_CALL
    return ClientKind.SUBRESOURCE if is_part else ClientKind.API_CALL


def is_browser(headers: Mapping[str, str]) -> bool:
    """Whether a browser, and not a script in it, sent a request without Sec-Fetch headers."""
    ajax = headers.get("x-requested-with", "").lower() == "xmlhttprequest"
    scripted = ajax or not SCRIPTED.isdisjoint(headers)
    return headers.get("user-agent", "").startswith(BROWSERS) and not scripted


def navigates_without_metadata(headers: Mapping[str, str]) -> bool:
    """Whether a request without Sec-Fetch headers is a navigation."""
    accept = headers.get("accept", "")
    # programs and scripts may accept text/html, but only browsers also accept the XHTML type
    return is_browser(headers) and "text/html" in accept and "application/xhtml+xml" in accept


def is_part_without_metadata(path: str, headers: Mapping[str, str]) -> bool:
    """Whether a request is for a subresource; it has no Sec-Fetch headers and does not navigate."""
    if headers.get("accept", "").startswith(PART_TYPES):
        return True
    return is_browser(headers) and bool(PART_NAMES.search(path.lower()))


def browser_initiated(headers: Mapping[str, str]) -> str | None:
    """The class of a request that a browser sends without an action of the user, else None."""
    # https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Purpose
    purposes = [headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz", "x-purpose")]
    if any(word in purpose for purpose in purposes for word in ("prefetch", "preview")):
        return "speculation"
    kinds = ("application/reports+json", "application/csp-report", "text/ping")
    reports = headers.get("content-type", "").startswith(kinds)
    return "reports" if reports or headers.get("sec-fetch-dest") == "report" else None


def cors(headers: Mapping[str, str], allowed: Iterable[str]) -> dict[str, list[str]]:
    """The headers that let a page of an allowed origin read an answer; {} for other origins."""
    # https://developer.mozilla.org/docs/Web/HTTP/Guides/CORS
    origin = headers.get("origin")
    allowed = set(allowed)
    if origin is None or (origin not in allowed and "*" not in allowed):
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
    """The rule of the wake policy by which a request must not wake the service.

    The first rule that matches decides. Returns None if the request may wake the service.
    """
    for rule in rules:
        if policy_rule_matches(rule, request):
            return None if rule["answer"] == "wake" else rule
    return None


def policy_rule_matches(rule: Mapping[str, Any], request: Request) -> bool:
    """Whether a request matches every condition of the rule. One value of a condition is enough.

    If a condition has no values, every request matches it.
    """
    agent = request.headers.get("user-agent", "").lower()
    paths = (request.path.lower(), unquote(request.path).lower())  # scanners encode paths
    patterns = [pattern.lower() for pattern in rule["paths"]]
    if rule["methods"] and request.method not in rule["methods"]:
        return False
    if patterns and not any(matches_any(path, patterns) for path in paths):
        return False
    if rule["user_agents"] and not any(part.lower() in agent for part in rule["user_agents"]):
        return False
    ranges = rule["source_ranges"]
    return not ranges or any(comes_from(request.client_address, cidr) for cidr in ranges)


def comes_from(address: str, cidr: str) -> bool:
    """Whether an address is within a range; False if it is no address."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text; None for any other text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# --- the waiting page -----------------------------------------------------------------------------
@cache
def packaged(name: str) -> str:
    """The text of a file of the package, read once per container."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
MOST_SUBTAGS = 8  # longer language tags are cut, since a header may have a tag of any length
COLOURS = {  # defaults; the settings may have other colours, which Terraform validates
    "accent": "#b4551d",
    "on_accent": "#ffffff",
    "accent_dark": "#f0965a",
    "on_accent_dark": "#000000",
}


# texts that stand in the page itself, so its script does not need them
OUTSIDE_SCRIPT = ("by_itself", "progress_label", "needs_script")


def language(accepted: str, offered: Iterable[str]) -> str:
    """The offered language that an Accept-Language header prefers; "en" if it accepts none."""
    # https://www.rfc-editor.org/rfc/rfc9110#name-accept-language, lookup as in RFC 4647
    named = {tag.lower(): tag for tag in offered}
    ranges = language_ranges(accepted)
    refused = {tag for tag, weight in ranges if weight == 0}
    for tag, weight in sorted(ranges, key=lambda each: -each[1]):
        candidates = language_candidates(tag, named) if weight else []
        for name in candidates:
            if name in named and name not in refused:
                return named[name]
    return "en"


def language_ranges(accepted: str) -> list[tuple[str, float]]:
    """The tags of an Accept-Language header, each with its weight. A malformed weight is 0."""
    ranges: list[tuple[str, float]] = []
    for each in accepted.lower().split(","):
        tag, _, weight = (part.strip() for part in each.partition(";"))
        valid = re.fullmatch(r"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", weight or "q=1")
        ranges.append((tag, float(valid[1]) if valid else 0.0))
    return ranges


def language_candidates(tag: str, offered: Iterable[str]) -> list[str]:
    """The languages for a tag, best first.

    The order: the tag, the prefixes of the tag, the offered languages that begin with the tag.
    """
    if tag == "*":
        return ["en"]
    subtags = tag.split("-")[:MOST_SUBTAGS]
    prefixes = ["-".join(subtags[:length]) for length in range(len(subtags), 0, -1)]
    return [*prefixes, *(name for name in offered if name.startswith(f"{tag}-"))]


def phase_line(status: Mapping[str, Any], words: Mapping[str, str], *, confirm: bool) -> str:
    """The text of the page before its script runs: the phase, and what the reader can do."""
    if closed := status["closed_until"]:
        return words["closed"].replace("{time}", utc(closed))
    if status["phase"] != Phase.ASLEEP:
        return words[PHASE_WORDS[status["phase"]].page]
    line = words["asleep"]
    if status["failed"]:
        why = words.get(status["failed"], words["not-ready"])
        line = f"{words['failed']} {why}"
    if status["given_up"]:
        line = f"{line} {words['given_up']}"
    if status["given_up"] or confirm:
        line = f"{line} {words['needs_script']}"
    return line


def localized(
    texts: Mapping[str, dict[str, str]], accept_language: str
) -> tuple[str, dict[str, str]]:
    """The language for a client, and the texts in this language.

    If the settings have the language (`texts`), their texts replace those of the package.
    """
    offered = {**json.loads(packaged("texts.json")), **texts}
    lang = language(accept_language, offered)
    # During an apply, the settings may be from another version of the module than this program. If
    # the settings lack a text, the English one is used.
    return lang, {**offered["en"], **offered[lang]}


def in_script(value: object) -> str:
    """A value as JSON for a script element. No text in the value can end that element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def render(
    page: Mapping[str, Any],
    status: Mapping[str, Any],
    *,
    accept_language: str,
    confirm: bool,
    location: str,
    refresh_seconds: str,
    home: str = "",
    **values: str,
) -> str:
    """The page. Every known {{name}} is replaced by a value that is escaped for its place.

    - `page`: the entry `page` of the settings; {} if the settings cannot be read. If this entry has
      `html`, that text replaces page.html, with `home` only if it contains {{home}}. If it has
      `texts`, each language there is complete, because Terraform has merged it with the language in
      the package.
    - `status`: the answer of the status path
    - `location`: the URL to load again
    - `home`: of the control path's page, the URL that it goes to once the service is ready; of any
      other page "", because that page loads its own URL again
    - `values`: the values of further names
    """
    lang, words = localized(page.get("texts", {}), accept_language)
    plain = {
        **words,
        **COLOURS,
        **page.get("colours", {}),
        **values,
        "lang": lang,
        "dir": "rtl" if lang.partition("-")[0].lower() in RIGHT_TO_LEFT else "ltr",
        "title": page.get("title") or status["name"],
        "words": phase_line(status, words, confirm=confirm or home != ""),
        "home": home,
        "confirm": "true" if confirm else "false",
        "refresh_seconds": refresh_seconds,
    }
    # if the current URL has a fragment, Chromium reloads the page only if `refresh` has a URL
    refresh = html.escape(f"{refresh_seconds};url={location}")
    logo = html.escape(page.get("logo_data_uri") or "")
    filled = {
        **{name: html.escape(text) for name, text in plain.items()},
        "look_again": f'<noscript><meta http-equiv="refresh" content="{refresh}"></noscript>',
        "logo": f'<img src="{logo}" alt="">' if logo else "",
        "texts": in_script({k: text for k, text in words.items() if k not in OUTSIDE_SCRIPT}),
        "status": in_script(status),
    }
    own = page.get("html") or ""
    source = own if own and (not home or "{{home}}" in own) else packaged("page.html")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled.get(found[1], found[0]), source)


# --- events, beats and commands -------------------------------------------------------------------
def parse_command(event: Mapping[str, Any], config: Config, now: float) -> Signal:
    """The signal of a direct invoke: {"command": ..., "minutes": ...}.

    Terraform sends the command "terraform" with a member "tf". Raises RefusedError.
    """
    command = event["command"]
    minutes = event.get("minutes", 60)
    actions = {"create": Kind.ADOPT, "update": Kind.RECONCILE, "delete": Kind.RESTORE}
    match event:
        case {"command": "terraform", "tf": {"action": str(action)}} if action in actions:
            return Signal(actions[action])
        case {"command": Kind.BEAT}:
            return beat_signal(parse_beat_command(event), config, now)
    if command not in COMMANDS:
        allowed = f"{', '.join(COMMANDS)}; or terraform with tf.action {', '.join(actions)}"
        raise RefusedError(f"the command is not one of {allowed}")
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes < 1e6:
        raise RefusedError("minutes must be a number above 0 and below 1000000")
    pinned_until = now + minutes * 60 if command == Kind.PIN else 0.0
    return Signal(Kind(command), pinned_until=pinned_until)


@dataclass(frozen=True)
class Beat:
    """The body of a heartbeat."""

    in_flight: int = 0  # requests under way now
    requests: int = 0  # requests begun since the last beat
    idle_seconds: float | None = None  # since the last activity; None if the sender does not know


def parse_beat(read: Any) -> Beat:
    """The JSON of a heartbeat; missing fields count as zero. Raises RefusedError."""
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
    """The epoch second of the last use; None if the service was not used within `idle_minutes`.

    If a request is in flight, the last use is now. Otherwise, if the beat has `idle_seconds`, the
    last use was so many seconds ago. Otherwise, if the beat has `requests`, the last use is now.
    """
    if beat.in_flight:
        return now
    if beat.idle_seconds is None:
        return now if beat.requests else None
    return now - beat.idle_seconds if beat.idle_seconds <= idle_minutes * 60 else None


def beat_signal(beat: Beat, config: Config, now: float) -> Signal:
    """The signal of a heartbeat. It is active if the beat counts."""
    at = activity(beat, now, config.idle_minutes)
    return Signal(Kind.BEAT, active=at is not None, at=at or 0.0)


def parse_beat_command(event: Mapping[str, Any]) -> Beat:
    """The heartbeat of the command beat. Without any field, the caller is active now."""
    read = {name: value for name, value in event.items() if name != "command"}
    return parse_beat(read) if read else Beat(in_flight=1)


# AWS starts a database that was stopped for seven days: an instance, a cluster.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
OVERDUE_EVENTS = ("RDS-EVENT-0154", "RDS-EVENT-0153")


def parse_signal(event: Any, config: Config, now: float) -> Signal:
    """The signal of any event other than HTTP. Raises RefusedError for an unknown event."""
    alarms = dict.fromkeys(config.idle_alarm_arns, Kind.IDLE_ALARM)
    if config.wake_alarm_arn:
        alarms[config.wake_alarm_arn] = Kind.WAKE_ALARM
    match event:
        case {"command": _}:
            return parse_command(event, config, now)
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
        case {"source": "aws.rds", "detail": {"SourceIdentifier": str(name), "EventID": str(code)}}:
            for database in config.databases:
                if database.identifier == name:
                    overdue = database.name if code in OVERDUE_EVENTS else ""
                    return Signal(Kind.RDS_EVENT, overdue=overdue)
    raise RefusedError("not a command, nor a tick, an alarm, an ECS or an RDS event of ours")


def is_of_our_service(
    detail: Mapping[str, Any], resources: Iterable[object], config: Config
) -> bool:
    """Whether an ECS event is about one of the services or their tasks."""
    # An event about a task has the cluster's ARN in `clusterArn` and the service in `group`. An
    # event about a service has the service's ARN in `resources`.
    cluster = config.cluster_name
    groups = [f"service:{name}" for name in config.service_names]
    own_cluster = str(detail.get("clusterArn")).endswith(f":cluster/{cluster}")
    if own_cluster and detail.get("group") in groups:
        return True
    services = tuple(f":service/{cluster}/{name}" for name in config.service_names)
    return any(str(arn).endswith(services) for arn in resources)


# --- Notifier: log, metrics, topic ----------------------------------------------------------------
def log(**entry: Any) -> None:
    """Write one JSON line. Never log a payload, a query, a secret or a header except User-Agent."""
    print(json.dumps(entry, default=str), flush=True)


def sns_subject(notice: Notice, facts: Mapping[str, str]) -> str:
    """The subject of a notice: one line of fewer than 100 printable ASCII characters."""
    # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    title = f"{facts['name']}: {notice.text}".splitlines()[0]
    return "".join(c if " " <= c <= "~" else "?" for c in title)[:99]


def sns_messages(notice: Notice, facts: Mapping[str, str], link: str) -> dict[str, str]:
    """A notice for SNS's MessageStructure "json": one text per protocol.

    `link`: the URL of the control path's page, or "". The text for `https` is a custom notification
    of Amazon Q Developer in chat applications.
    """
    # https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    text = notice.text[:NOTICE_CHARACTERS]
    remedy = notice.remedy or notice.problem.remedy
    title = f"{facts['name']}: {text}".splitlines()[0][:250]
    page = f"To see its phase, or to wake it: {link}"
    runbook = f"Runbook: docs/guide/operating.md, section Notices, row {facts['kind']}"
    steps = [remedy, page, runbook] if link else [remedy, runbook]
    chat = {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": title,
            "description": text,
            "nextSteps": steps,
        },
        "metadata": {
            "threadId": facts["name"],
            "eventType": facts["kind"],
            "summary": title,
            "additionalContext": dict(facts),
        },
    }
    next_steps = "\n".join(steps)
    mail = f"{text}\n\nWhat to do: {next_steps}\n"
    return {"default": text, "email": mail, "https": json.dumps(chat)}


def log_wake(record: Mapping[str, Any], down: float) -> None:
    """Log a wake: the cause, the seconds of each stage, and the sleep before the wake."""
    times = {**record["times"], "down": down} if down else record["times"]
    facts = {name: value for name, value in record.items() if name != "times"}
    log(level="INFO", wake={**facts, "stages": stages(times)})


class Notifier:
    """Writes metrics and publishes notices."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.config = aws.config
        self._error_notified_at = 0.0  # the last notice of an error by this container

    def metrics(self, **values: float) -> None:
        """Write metrics as a log line (embedded metric format), which needs no call to AWS."""
        described = {
            "Namespace": self.config.metric_namespace,
            "Dimensions": [["Name"]],
            "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
        }
        stamped = {"Timestamp": int(self.aws.now() * 1000), "CloudWatchMetrics": [described]}
        log(_aws=stamped, Name=self.config.name, **values)

    def publish(self, notice: Notice, phase: str, *, in_haste: bool = False) -> bool:
        """Send a notice to the topic. If sending fails, log the failure and return False.

        `in_haste`: a client waits, so there is only one try with short timeouts.
        """
        problem = notice.problem
        if problem.severity == "info" and not self.config.transition_notices:
            return True
        public_url = self.config.public_url
        link = f"{public_url}{self.config.control_path}/" if public_url else ""
        facts = {
            "name": self.config.name,
            "kind": problem.code,
            "phase": phase,
            "severity": problem.severity,
        }
        try:
            self.aws.client("sns", taking=in_haste).publish(
                TopicArn=self.config.topic_arn,
                Subject=sns_subject(notice, facts),
                Message=json.dumps(sns_messages(notice, facts, link)),
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
        """Publish an error that was handled, once in ERROR_NOTICE_SECONDS per container.

        The time of the last notice is not stored in the memory, because the memory may be the part
        that fails.
        """
        now = self.aws.now()
        if now - self._error_notified_at >= ERROR_NOTICE_SECONDS:
            self._error_notified_at = now
            self.publish(problem_notice(ERRORS_HANDLED, what), "unknown", in_haste=True)


# --- Reconciler: observe, decide, write, apply ----------------------------------------------------
@dataclass(frozen=True)
class Applied:
    """The result of the calls of a decision."""

    actions: list[str]  # for the log
    rule_down: bool = False
    taken: tuple[str, ...] = ()  # services whose count was set to 0
    stuck: RuleStuckError | None = None
    not_stopped: str = ""  # RDS's reason why a database cannot be stopped


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
        databases = aws.databases()
        seen = Observation(
            memory, services, tuple(sorted(missing)), databases=databases, began=began
        )
        # A request or a wake alarm that arrives while asleep shows that requests can wake the
        # service. Then neither the rules nor the targets need to be read.
        requested = signal.kind in (Kind.REQUEST, Kind.WAKE_ALARM)
        if seen.gone or (requested and memory.phase is Phase.ASLEEP and not seen.desired):
            return seen
        seen = self.observe_closely(seen)
        wake = memory.wake
        late = late_members(seen, memory, wake, self.config, aws.now()) if wake else ()
        # while clients wait, nothing is read that no decision needs
        if memory.phase is not Phase.WAKING or late:
            seen = self.observe_scaling(seen)
        take_again = bool(memory.taking) and seen.desired > 0
        if signal.kind in SLEEPING_KINDS and (memory.phase in UP_PHASES or take_again):
            return self.observe_use(seen)
        if signal.kind is Kind.TICK and memory.phase is Phase.ASLEEP:
            seen = replace(seen, messages=aws.messages())
        wake_alarm = self.config.wake_alarm_arn
        if wake_alarm and memory.phase is Phase.ASLEEP and signal.kind is Kind.TICK:
            (alarm,) = aws.alarms([wake_alarm])
            return replace(seen, wake_alarm_firing=alarm.state == "ALARM")
        return replace(seen, stopped_reason=self.why_late(seen, late)) if late else seen

    def why_late(self, seen: Observation, late: Iterable[str]) -> str:
        """ECS's reasons why these members are not ready; "" if ECS gives none.

        If there are several services, each reason begins with the member's name.
        """
        stopped = [task for task in self.aws.tasks("STOPPED") if task.stopped_at is not None]
        reasons = {
            member: why_not_started(
                seen.memory,
                [service for service in seen.services if service.member == member],
                [task for task in seen.tasks if task.member == member],
                [task for task in stopped if task.member == member],
            )
            for member in late
        }
        for name in reasons.keys() & seen.databases.keys():
            reasons[name] = f"the database is {seen.databases[name]}"
        alone = len(self.config.members) == 1
        return "; ".join(why if alone else f"{m}: {why}" for m, why in reasons.items() if why)

    def observe_closely(self, seen: Observation) -> Observation:
        """Add the rules, tasks and targets to an observation.

        If a target group is detached, the health of tasks is unknown. In this case every running
        task counts as live and every route as open, so that no wake rule takes requests from
        running tasks.
        """
        config = self.config
        tasks = self.aws.tasks("RUNNING")
        together, rules = self.aws.rules()
        healthy = self.aws.healthy()
        wired = set(config.target_group_arns)
        forwards = {
            route.name: rules[route.service_rule_arn].forwards_to & wired
            if route.service_rule_arn in rules
            else wired
            for route in config.routes
        }
        up = [service.member for service in seen.services if service.desired]
        targets = self.aws.targets(tasks, healthy, forwards, up)
        detached = healthy.keys() < wired or not all(forwards.values())
        running = tuple(task for task in tasks if task.running and task.member in up)
        live = running if detached else targets.live
        closed = () if detached else targets.closed
        databases = [name for name, status in seen.databases.items() if is_down(status)]
        members = [service.member for service in seen.services]
        unready = (*databases, *self.unready(members, running, bool(live), closed))
        if not wired:  # without target groups, a ready member is as good as a live target
            live = tuple(task for task in running if task.member not in unready)
        needed = config.needed
        return replace(
            seen,
            rule=together,
            tasks=tasks,
            live=live,
            closed=closed,
            unready=unready,
            lacking=tuple(name for name in unready if name in needed),
            strangers=targets.strangers,
            wiring={
                **self.wiring(seen.own, rules, strangers=targets.strangers),
                **self.missing_databases(seen),
            },
            wiring_fault=TARGET_GROUP_DETACHED.code if detached else "",
            shadows_other_rules=together is not Rule.MISSING
            and any(hides_others(rules, route) for route in config.routes),
        )

    def unready(
        self, members: Iterable[str], tasks: Iterable[Task], live: bool, closed: Iterable[str]
    ) -> Iterator[str]:
        """Those of `members`, whose services are there, that are not ready.

        - A member with routes is ready if none of them is `closed`.
        - On the alarm path there is no route: the member is ready if a target is `live`.
        - Any other member is ready if one of its `tasks` runs and passes its checks.
        """
        routes = self.config.routes
        closed = set(closed)
        for member in members:
            own = [route.name for route in routes if route.member == member]
            if own:
                ready = closed.isdisjoint(own)
            elif not routes and self.config.target_group_arns:
                ready = live
            else:
                ready = any(self.aws.passes_checks(t) for t in tasks if t.member == member)
            if not ready:
                yield member

    def observe_scaling(self, seen: Observation) -> Observation:
        """Add auto scaling to an observation, unless it is none of this program's business."""
        if not (self.config.suspend_autoscaling or seen.memory.suspended):
            return replace(seen, scaling={})
        scaling = self.aws.scaling()
        actions = self.aws.scheduled_actions(scaling)
        found = {SCHEDULED_SCALING.code: ", ".join(actions)} if actions else {}
        return replace(seen, scaling=scaling, wiring={**seen.wiring, **found})

    def observe_use(self, seen: Observation) -> Observation:
        """Add what keeps a service awake to an observation.

        These are the idle alarms, the scale-in protection of tasks, and deployments that are not
        rolling.
        """
        services = [
            replace(each, shifting=not each.shared and self.aws.shifting(each))
            for each in seen.services
        ]
        own = {service.member for service in seen.own}
        alarms = self.aws.alarms(self.config.idle_alarm_arns)
        states = {alarm.state for alarm in alarms}
        missing = IDLE_ALARM_MISSING.code if "MISSING" in states else ""
        return replace(
            seen,
            services=tuple(services),
            messages=self.aws.messages(),
            idle=states == {"ALARM"},
            idle_since=max(alarm.since for alarm in alarms),
            wiring_fault=seen.wiring_fault or missing,
            protected=self.aws.protected(tuple(t for t in seen.tasks if t.member in own)),
        )

    def wiring(
        self, services: Iterable[Service], rules: Mapping[str, ListenerRule], *, strangers: bool
    ) -> dict[str, str]:
        """The codes of the WIRING problems that exist now, each with a detail."""
        config = self.config
        wired = config.target_group_arns
        foreign = [rule for arn, rule in rules.items() if arn not in config.wired_rule_arns]
        found = {
            CONTROL_PATH_COVERED.code: ", ".join(self.covering(foreign, rules)),
            RULES_COVERED.code: ", ".join(self.covered(foreign, rules)),
        }
        if config.unseen_traffic == "stay_awake":
            unseen = [each for service in services for each in service.unseen_traffic(config)]
            others = [rule.arn for rule in foreign if not rule.forwards_to.isdisjoint(wired)]
            found[UNSEEN_TRAFFIC.code] = ", ".join(unseen)
            found[STRANGE_TARGETS.code] = f"in {', '.join(wired)}" if strangers else ""
            found[OTHER_RULES.code] = ", ".join(others)
        return {code: particulars for code, particulars in found.items() if particulars}

    def missing_databases(self, seen: Observation) -> dict[str, str]:
        """The problem of databases that do not exist; {} if all do."""
        names = [name for name, status in seen.databases.items() if status == MISSING]
        return {DATABASE_MISSING.code: ", ".join(names)} if names else {}

    def covering(
        self, foreign: Iterable[ListenerRule], rules: Mapping[str, ListenerRule]
    ) -> Iterator[str]:
        """Descriptions of `foreign` rules that get all requests for a control or heartbeat rule."""
        group = self.config.control_target_group_arn
        controls = [rule for rule in rules.values() if rule.forwards_to == {group}]
        for rule in foreign:
            if any(takes_all(rule, each) for each in controls):
                yield f"{rule.arn} (number {rule.priority})"

    def covered(
        self, foreign: Iterable[ListenerRule], rules: Mapping[str, ListenerRule]
    ) -> Iterator[str]:
        """Descriptions of `foreign` rules whose requests a created service rule gets."""
        routes = [route for route in self.config.routes if route.creates_service_rule]
        created = [
            rules[each.service_rule_arn] for each in routes if each.service_rule_arn in rules
        ]
        for rule in foreign:
            if any(takes_all(each, rule) for each in created):
                yield f"{rule.arn} (number {rule.priority})"

    # apply
    def apply(self, decision: Decision, last_take_at: float) -> Applied:
        """Make the calls of a decision: those that give first.

        If AWS refuses one that gives, the others are made, and those that take are not. Then the
        first refusal is raised.
        """
        aws = self.aws
        actions: list[str] = []
        counts = {
            f"{service}: count {count}": partial(aws.set_count, service, count)
            for service, count in decision.scale_up
        }
        starts = {
            f"{name}: started": partial(aws.start_database, self.config.database(name))
            for name in decision.start
        }
        resumes = {
            f"{service}: auto scaling resumed": partial(aws.set_flags, service, flags)
            for service, flags in decision.resume
        }
        refusal = self.give({**counts, **starts, **resumes}, actions)
        try:
            if decision.rule is Rule.UP and aws.move_rules(Rule.UP, last_take_at):
                actions.append("rule up")
            if refusal:
                raise refusal
            return self.take(decision, last_take_at, actions)
        except RuleStuckError as error:
            if refusal:
                raise refusal from error
            return Applied([str(error)], stuck=error)

    def give(
        self, calls: Mapping[str, Callable[[], None]], actions: list[str]
    ) -> ClientError | None:
        """Make calls that give, each with its words for the log. Returns the first refusal.

        One service or database that AWS refuses to start does not hold up the others. Any other
        error is raised, because a call that times out is likely to be followed by others.
        """
        refusals = []
        for action, call in calls.items():
            try:
                call()
                actions.append(action)
            except ClientError as error:
                log(level="WARNING", message="not given", action=action, error=str(error))
                refusals.append(error)
        return refusals[0] if refusals else None

    def take(self, decision: Decision, last_take_at: float, actions: list[str]) -> Applied:
        """Make the calls that take. If one fails, a later decision announces and repeats it."""
        rule_down = False
        try:
            for service in decision.suspend:
                self.aws.set_flags(service, SUSPENDED, last_take_at)
                actions.append(f"{service}: auto scaling suspended")
            taken = self.take_counts(decision.scale_to_zero, last_take_at)
            actions.extend(f"{service}: count 0" for service in taken)
            not_stopped = self.stop_databases(decision.stop, last_take_at, actions)
            if decision.rule is Rule.DOWN:
                rule_down = self.aws.move_rules(Rule.DOWN, last_take_at)
        except ERRORS as error:
            log(level="ERROR", message="not taken", error=str(error))
            return Applied(actions)
        if rule_down:
            actions.append("rule down")
        return Applied(actions, rule_down, taken, not_stopped=not_stopped)

    def take_counts(self, services: Iterable[str], last_take_at: float) -> tuple[str, ...]:
        """Set the counts of services to 0. Returns those of which the call succeeded."""
        calls = {name: partial(self.aws.set_count, name, 0, last_take_at) for name in services}
        errors = self.aws.side_by_side(calls) if calls else {}
        for service, error in errors.items():
            log(level="ERROR", message="not taken", service=service, error=str(error))
        return tuple(service for service in calls if service not in errors)

    def stop_databases(self, names: Iterable[str], last_take_at: float, actions: list[str]) -> str:
        """Stop each database. Returns RDS's reasons for those that it refuses to stop, or ""."""
        refusals = []
        for name in names:
            database = self.config.database(name)
            error = failed(partial(self.aws.stop_database, database, last_take_at))
            if error is None:
                actions.append(f"{name}: stopped")
                continue
            log(level="ERROR", message="not taken", database=name, error=str(error))
            if isinstance(error, ClientError):
                refusals.append(f"{name}: {error}")
        return "; ".join(refusals)

    # reconcile
    def reconcile(self, signal: Signal) -> Observation:
        """Observe, decide, write, apply. If another invocation wrote first, begin once more.

        Raises RuntimeError if ten attempts fail.
        """
        for attempt in range(10):
            self.aws.sleep(attempt * 0.001 * secrets.randbelow(100))
            seen = self.attempt(signal)
            if seen is not None:
                return seen
        raise RuntimeError("another invocation wrote the memory first, ten times in a row")

    def attempt(self, signal: Signal) -> Observation | None:
        """One attempt of reconcile(); None if another attempt is needed."""
        aws = self.aws
        started = aws.now()
        try:
            before = aws.read_memory()
        except TableGoneError as error:
            return self.reconcile_without_table(signal, error)
        claimed = self.claim(before) if waits_with_others(signal, before) else before
        if claimed is None or is_no_news(signal, before, started):
            return Observation(before, (), reason="nothing to look for")
        seen = self.observe(claimed, signal)
        decision = decide(seen, signal, self.config, aws.now())
        after = aws.write_memory(decision.memory) if decision.memory else claimed
        if after is None:
            return None
        carried_out = self.carry_out(decision, after, signal, seen, started)
        return None if decision.requeue else carried_out

    def carry_out(
        self,
        decision: Decision,
        memory: Memory,
        signal: Signal,
        seen: Observation,
        started: float,
    ) -> Observation:
        """Apply, log and publish a decision whose memory is written.

        Returns the observation with the changes that these steps made.
        """
        applied = self.apply(decision, memory.last_take_at)
        if applied.rule_down:
            now = self.aws.now()
            seen = replace(seen, rule=Rule.DOWN, shadows_other_rules=False, down=now)
        if applied.taken:
            memory = self.forget_taken(memory, seen, applied.taken)
        if applied.actions or decision.memory or signal.kind is not Kind.POLL:
            log(
                level="INFO",
                signal=signal.kind,
                before=seen.memory.phase,
                after=memory.phase,
                reason=decision.reason,
                actions=applied.actions,
                milliseconds=round((self.aws.now() - started) * 1000),
            )
        memory = self.report(decision, memory, signal, seen)
        if applied.stuck:
            memory = self.notify_problem(memory, applied.stuck.problem, applied.stuck.detail)
        if applied.not_stopped:
            memory = self.notify_problem(memory, DATABASE_NOT_STOPPED, applied.not_stopped)
        return replace(seen, memory=memory, reason=decision.reason)

    def claim(self, memory: Memory) -> Memory | None:
        """Claim the next observation on behalf of all waiting clients, if one is due.

        One is due every POLL_SECONDS. As long as no task has started, one is due every
        EARLY_POLL_SECONDS, unless members wait for others to be ready. Returns the memory as
        written. Returns None if none is due, or if another invocation has claimed it.
        """
        wake = memory.wake
        if wake is None:
            return None
        now = self.aws.now()
        soon = wake.stage == "started" or memory.to_start
        pause = POLL_SECONDS if soon else EARLY_POLL_SECONDS
        if now - wake.polled_at < pause:
            return None
        return self.aws.write_memory(replace(memory, wake=replace(wake, polled_at=now)))

    def report(
        self, decision: Decision, memory: Memory, signal: Signal, seen: Observation
    ) -> Memory:
        """Log the wake, metrics and notice of a decision. Returns the memory, which may change."""
        if decision.wake:
            log_wake(decision.wake, seen.down)
        if decision.metrics:
            self.notifier.metrics(**decision.metrics)
        if decision.notice is None:
            return memory
        waits = signal.kind in (Kind.REQUEST, Kind.POLL, Kind.BEAT)
        code = decision.notice.problem.code
        sent = self.notifier.publish(decision.notice, memory.phase, in_haste=waits)
        return memory if sent else self.forget_notice(memory, code)

    def forget_taken(self, memory: Memory, seen: Observation, taken: Iterable[str]) -> Memory:
        """Remove the members whose count is 0 now. If they are raised, somebody else does it."""
        members = [service.member for service in seen.services if service.name in taken]
        left = tuple(member for member in memory.taking if member not in members)
        return self.aws.write_memory(replace(memory, taking=left)) or memory

    def forget_notice(self, memory: Memory, code: str) -> Memory:
        """Remove a problem that could not be published, so that the next decision tries again."""
        still_open = tuple(other for other in memory.open_problems if other != code)
        notified = {other: at for other, at in memory.notified_at.items() if other != code}
        forgotten = replace(memory, open_problems=still_open, notified_at=notified)
        return memory if forgotten == memory else self.aws.write_memory(forgotten) or memory

    def notify_problem(self, memory: Memory, problem: Problem, detail: str) -> Memory:
        """Write a problem to the memory, then publish it. Returns the memory, which may change.

        If the memory has the problem already, do nothing.
        """
        decision = notify_once(memory, problem, detail)
        written = self.aws.write_memory(decision.memory) if decision.memory else None
        if written is None or decision.notice is None:
            return memory
        sent = self.notifier.publish(decision.notice, memory.phase)
        # While asleep, the problem stays open even if the notice was not sent. Because of the open
        # problem, the next tick wakes the service and publishes the cause.
        if sent or memory.phase is Phase.ASLEEP:
            return written
        return self.forget_notice(written, problem.code)

    def reconcile_without_table(self, signal: Signal, error: TableGoneError) -> Observation:
        """Without the table, let requests through: scale up, and put the rules down once open."""
        now = self.aws.now()
        waking = Memory(0, Phase.WAKING, now, wake=Wake(now, signal.kind))
        seen = self.observe(waking, signal)
        log(level="ERROR", message="cannot remember", error=str(error), signal=signal.kind)
        refusal: ClientError | None = None
        if signal.kind in WAKING_KINDS and not seen.desired:
            names = [service.name for service in seen.services]
            count = self.config.awake_count
            calls = {name: partial(self.aws.set_count, name, count) for name in names}
            refusal = self.give(calls, [])
        self.notifier.metrics(HandledErrors=1)
        self.notifier.notify_error(str(error))
        if refusal:
            raise refusal
        if not (seen.desired and seen.open):
            return replace(seen, reason=str(error))
        if seen.rule in RULES_UP:
            self.aws.move_rules(Rule.DOWN, now)
        awake = replace(waking, phase=Phase.AWAKE, wake=None, last_take_at=now)
        return replace(seen, memory=awake)

    # waiting, and the rest of the record
    def wait(self, until: float, kind: Kind = Kind.POLL) -> Observation:
        """Reconcile every POLL_SECONDS until the wake is over or the epoch second `until` is past.

        If `kind` is RESTORE, also wait until the service is open, no wake rule is up, and auto
        scaling is resumed.
        """
        while True:
            seen = self.reconcile(Signal(kind))
            served = seen.open and seen.rule not in RULES_UP
            waking = seen.memory.phase is Phase.WAKING
            restored = served and not seen.memory.suspended
            is_over = not waking and (restored or kind is not Kind.RESTORE)
            if is_over or seen.gone or self.aws.now() >= until:
                return seen
            self.aws.sleep(POLL_SECONDS if seen.memory.adopted else BLIND_POLL_SECONDS)

    def remember(self, seen: Observation, sent: float = 0.0) -> None:
        """Add two times, which no decision needs, to the record of the wake that has just ended.

        `down`: when the wake rules were put down. `sent`: when the first waiting client was sent to
        the service.
        """
        more = {"down": seen.down, "sent": sent}
        memory = seen.memory
        try:
            for _ in range(2):  # once more if another invocation wrote first
                added = memory.with_times(self.aws.now(), more)
                if added is None or self.aws.write_memory(added):
                    return
                memory = self.aws.read_memory()
        except (*ERRORS, TableGoneError) as error:
            log(level="WARNING", message="the wake's record is incomplete", error=str(error))

    def make_room(self, memory: Memory) -> None:
        """Move each wake rule that is up behind the rules that it must follow.

        If no priority is free there, publish the problem. If the service is asleep, the next tick
        wakes it.
        """
        _, rules = self.aws.rules()
        up = [route for route in self.config.routes if stands(rules, route) is Rule.UP]
        try:
            if self.aws.put_rules(rules, up, Rule.UP):
                log(level="INFO", message="a wake rule made room for others")
        except RuleStuckError as error:
            self.notify_problem(memory, error.problem, error.detail)

    def count_refusal(self, error: RefusedError) -> None:
        """Log and count a refusal. A wrong token is also published, at most once a day."""
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

    def beat(self, signal: Signal) -> dict[str, Any]:
        """Reconcile for a heartbeat. The answer says whether it counted."""
        seen = self.reconcile(signal)
        is_closed = closed_until(seen.memory, self.config, self.aws.now()) is not None
        counted = signal.active and not is_closed
        if counted and seen.memory.phase is not Phase.ASLEEP:
            self.notifier.metrics(Beats=1)
        return {
            "name": self.config.name,
            "phase": seen.memory.phase,
            "counted": counted,
            "holds_seconds": self.config.idle_minutes * 60,
        }

    def status(self, seen: Observation) -> dict[str, Any]:
        """The public status: nothing in it names a resource of the account."""
        memory = seen.memory
        wake = memory.wake
        now = self.aws.now()
        awake = memory.phase is Phase.AWAKE
        began = wake.began if wake else memory.since
        stage = "healthy" if awake else None
        return {
            "name": self.config.name,
            "phase": memory.phase if memory.adopted else "unknown",
            "live": awake,
            "seconds": round(now - began, 1),
            "stage": wake.stage if wake else stage,
            "estimate_seconds": memory.estimate(),
            "failed": failure_class(memory.failure),
            "given_up": memory.backoff_seconds(seen.services, now) == math.inf,
            "closed_until": self.closed_until(memory),
        }

    def closed_until(self, memory: Memory) -> float | None:
        """When clients are served again that the schedule turns away now; None if it does not.

        In closed hours, clients of a service that still runs are served.
        """
        turned_away = memory.phase in (Phase.ASLEEP, Phase.DROWSY)
        return closed_until(memory, self.config, self.aws.now()) if turned_away else None


# --- WaitingRoom: answers to HTTP clients ---------------------------------------------------------
class WaitingRoom:
    """Answers requests for a service that is not awake, and the control path."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self.notifier = reconciler.notifier
        self.aws = reconciler.aws
        self.config = reconciler.config

    def serve(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an ALB event. Errors are caught, because they would become 502 responses."""
        request = Request()
        arrived = self.aws.now()
        try:
            request = Request.of(event)
            answer = self.routed(request, arrived)
        except RefusedError as error:
            self.reconciler.count_refusal(error)
            answer = request.problem(error.status, str(error))
        except Exception as error:
            # only messages of AWS's errors are logged, because any other may quote the request
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
        """The answer, by the target group. Raises RefusedError for a group of another function."""
        if request.target_group_arn == self.config.wake_target_group_arn:
            return self.request(request, arrived)
        if request.target_group_arn == self.config.control_target_group_arn:
            return self.control(request, arrived)
        raise RefusedError("not from a target group of the warmkeeper", 403)

    def internal_error_answer(self, request: Request) -> dict[str, Any]:
        """The answer after an unforeseen error: for a browser the page, which polls, else a 503."""
        waking = Memory(0, Phase.WAKING, self.aws.now())
        if request.client_kind is ClientKind.PAGE:
            with contextlib.suppress(Exception):  # the page may be the part that fails
                return self.page(request, Observation(waking, ()), {"Retry_After": "5"})
        return request.problem(503, "Try again.", Retry_After="5")

    # the wake rule
    def request(self, request: Request, arrived: float) -> dict[str, Any]:
        """Answer a request that came by the wake rule, and wake the service if the request may."""
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
        # a database needs minutes to start, so the client is told when to come back
        holdable = client is ClientKind.API_CALL and waking and not seen.memory.starts_database
        full = holdable and not self.aws.may_hold()
        if holdable and not full:
            seen = self.reconciler.wait(arrived + self.config.hold_seconds)
        if self.is_served(request, seen, arrived):
            return self.send_on(request, seen, arrived)
        if client is ClientKind.API_CALL and not full and self.may_wait_on(seen):
            return self.redirect(request, seen)
        return self.put_off(request, seen, full=full)

    def is_served(self, request: Request, seen: Observation, arrived: float) -> bool:
        """Whether a repetition of this request would reach the service."""
        # while some rules are down, this request has come by one that is up
        stuck = seen.rule in RULES_UP and arrived - seen.memory.since > STUCK_SECONDS
        awake = seen.memory.phase is Phase.AWAKE and not seen.gone
        return awake and not stuck and request.client_kind is not ClientKind.GRPC

    def may_wait_on(self, seen: Observation) -> bool:
        """Whether a held call may be redirected once more, to be held again."""
        wake = seen.memory.wake
        if seen.gone or wake is None or seen.memory.starts_database:
            return False
        return self.aws.now() - wake.began < MOST_HOLDS * self.config.hold_seconds

    def send_on(self, request: Request, seen: Observation, arrived: float) -> dict[str, Any]:
        """Wait until the rule change has settled, then redirect the client to the same URL."""
        memory = seen.memory
        now = self.aws.now()
        # If the rule change has not reached a client's load balancer node, the client comes back
        # here. The more time has passed since the change, the longer the client waits.
        pace = min(max(SETTLE_SECONDS, 3 * (arrived - memory.since)), SLOW_SETTLE_SECONDS)
        sent = max(memory.last_take_at, arrived) + pace
        # the client waits until `sent` in any case, so this write does not delay the redirect
        self.reconciler.remember(seen, sent)
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
        """The waiting page or a 503, with Retry-After."""
        config = self.config
        phase = seen.memory.phase
        retry_after = math.ceil(self.retry_seconds(seen, full=full))
        headers = {"X_Warmkeeper_Phase": str(phase), "Retry_After": str(retry_after)}
        if request.client_kind is ClientKind.PAGE:
            return self.page(request, seen, headers)
        status = self.reconciler.status(seen)
        detail = f"The service is {phase}. Try again in {retry_after} s."
        if status["closed_until"]:
            detail = f"It is closed until {utc(status['closed_until'])}."
        elif phase is Phase.ASLEEP and config.wake_confirmation == "browser":
            detail = f"It is asleep. Open it in a browser, or POST {config.control_path}/wake."
        return request.problem(503, detail, status, **headers)

    def retry_seconds(self, seen: Observation, *, full: bool) -> float:
        """Seconds after which a client that is not held may try again."""
        memory = seen.memory
        now = self.aws.now()
        if closed := self.reconciler.closed_until(memory):
            return closed - now
        if memory.wake:
            usual = self.config.cold_start_target_seconds
            unknown = DATABASE_START_SECONDS if memory.starts_database else usual
            expected = memory.estimate() or unknown
            seconds = max(1, memory.wake.began + expected - now)
        else:
            backoff = memory.backoff_seconds(seen.services, now)
            seconds = min(max(5, backoff), BACKOFF_SECONDS[-1])
        # spread the clients that could not be held, so that they do not all return at once
        spread = secrets.randbelow(self.config.hold_seconds) if full else 0
        return seconds + spread

    def ignore(self, request: Request, rule: Mapping[str, Any]) -> dict[str, Any]:
        """The canned answer to a request that must not wake the service."""
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
            case "unavailable":
                pass
            case answer:  # the policy may be from another version of the module
                log(level="ERROR", message="unknown answer in wake_policy", answer=answer)
        return request.problem(503, "It is asleep, and this does not wake it.", Retry_After="3600")

    def page(
        self,
        request: Request,
        seen: Observation,
        headers: Mapping[str, str],
        home: str = "",
    ) -> dict[str, Any]:
        """The waiting page, in the client's language, with further headers.

        With `home` it is the page of the control path, which wakes only at a click.
        """
        config = self.config
        nonce = secrets.token_urlsafe(16)
        starts = seen.memory.phase is not Phase.ASLEEP
        leaves = home != "" and seen.memory.phase is Phase.AWAKE
        page = render(
            self.aws.settings().get("page", {}),
            self.reconciler.status(seen),
            accept_language=request.headers.get("accept-language", ""),
            confirm=config.wake_confirmation == "browser" and not home,
            location=home if leaves else request.location,
            refresh_seconds="5" if starts else headers.get("Retry_After", CONTROL_PAGE_SECONDS),
            home=home,
            nonce=nonce,
            status_url=f"{config.control_path}/status",
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
        )
        return request.answer(
            HTTPStatus.OK if home else config.waiting_status_code,
            page,
            Content_Security_Policy=policy,
            X_Robots_Tag="noindex",
            **headers,
        )

    # the control rule
    def control(self, request: Request, arrived: float) -> dict[str, Any]:
        """The control path: its page, GET status, GET health, POST wake, POST heartbeat."""
        path = self.config.control_path
        beat_path = self.config.heartbeat_path
        posts = request.method == "POST"
        if request.client_kind is ClientKind.PREFLIGHT:
            return request.preflight()
        if posts and beat_path and request.path in (beat_path, f"{path}/heartbeat"):
            return self.beat(request)
        if posts and request.path == f"{path}/wake":
            seen = self.reconciler.reconcile(Signal(Kind.WAKE, arrived=arrived))
            if self.reconciler.closed_until(seen.memory):
                return self.put_off(request, seen, full=False)
            return request.answer(202, self.reconciler.status(seen))
        if not posts and request.path == f"{path}/status":
            seen = self.reconciler.reconcile(Signal(Kind.POLL))
            if seen.memory.phase is Phase.AWAKE:
                self.reconciler.remember(seen, self.aws.now())
            return request.answer(200, self.reconciler.status(seen))
        if not posts and request.path == f"{path}/health":
            return self.health(request)
        if not posts and request.path == f"{path}/":
            return self.control_page(request)
        here = "Here are a page (GET), GET status, GET health, POST wake and POST heartbeat."
        return request.problem(404, here)

    def control_page(self, request: Request) -> dict[str, Any]:
        """The page to which notices link. A GET wakes nothing: mail scanners fetch each link."""
        seen = self.reconciler.reconcile(Signal(Kind.POLL))
        return self.page(request, seen, {}, home=self.config.public_url or "/")

    def health(self, request: Request) -> dict[str, Any]:
        """For monitors: 200, also while the service sleeps; 503 after a failed wake."""
        status = self.reconciler.status(self.reconciler.reconcile(Signal(Kind.POLL)))
        failed = status["failed"]
        if status["phase"] == Phase.ASLEEP and failed:
            facts = {"state": "failed", "failed": failed}
            return request.problem(503, "The last wake failed.", facts)
        state = PHASE_WORDS[status["phase"]].health
        return request.answer(200, {"name": self.config.name, "state": state})

    def beat(self, request: Request) -> dict[str, Any]:
        """Answer a heartbeat. Activity keeps the service awake, but no heartbeat wakes it."""
        if self.config.heartbeat_token_parameter:
            given = request.headers.get("authorization", "").encode(errors="replace")
            if not hmac.compare_digest(given, f"Bearer {self.aws.token()}".encode()):
                kind = WrongTokenError if given.startswith(b"Bearer ") else RefusedError
                raise kind("send the token as 'Authorization: Bearer <token>'", 401)
        beat = parse_beat(from_json(request.body or b"{}"))
        signal = beat_signal(beat, self.config, self.aws.now())
        return request.answer(200, self.reconciler.beat(signal))


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
    """A dataclass as JSON types, with sets as sorted lists. tools/forecast.py reads the result."""

    def encoded(value: object) -> object:
        return sorted(value) if isinstance(value, frozenset) else vars(value)

    read: dict[str, Any] = json.loads(json.dumps(record, default=encoded))
    return read


def code_sha256() -> str:
    """The SHA-256 of this file. tools/explain.py compares it with the SHA-256 of its own copy."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


class Operator:
    """Answers events other than HTTP: commands, ticks, alarms, ECS events, Terraform."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self.aws = reconciler.aws
        self.config = reconciler.config

    def run(self, event: Any) -> dict[str, Any]:
        """The answer to an event. Raises RefusedError.

        Raises TimeoutError if the command wake has `wait` and the service is not awake in time.
        """
        now = self.aws.now()
        signal = parse_signal(event, self.config, now)
        match signal.kind:
            case Kind.DOCTOR:
                return {"findings": self.doctor()}
            case Kind.REPORT:
                return self.report()
            case Kind.EXPLAIN:
                return self.explain()
            case Kind.BEAT:
                return self.reconciler.beat(signal)
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
        if kind is Kind.RESTORE and not seen.gone:  # Terraform deletes the function next
            self.aws.sleep(seen.memory.last_take_at + SLOW_SETTLE_SECONDS - self.aws.now())
        if seen.gone and kind in (Kind.WAKE, Kind.SLEEP, Kind.PIN, Kind.UNPIN):
            raise RefusedError(f"{kind}: {reason}")
        if kind is Kind.ECS_EVENT and signal.active and seen.memory.phase is Phase.WAKING:
            # the task that runs now will soon be a healthy target
            seen = self.reconciler.wait(now + self.config.hold_seconds)
        if kind is Kind.WAKE and event.get("wait"):
            seen = self.reconciler.wait(deadline + WAIT_ON_SECONDS)
            if seen.memory.phase is not Phase.AWAKE:
                raise TimeoutError(f"not awake: {seen.memory.failure or seen.reason}")
        self.reconciler.remember(seen)
        return {
            **self.reconciler.status(seen),
            "counts": seen.memory.counts,
            **self.members(seen),
            "reason": reason,
            "pinned_until": seen.memory.pinned_until,
            **self.hours(seen.memory),
            "wiring": {NOTICES[code].text: detail for code, detail in seen.wiring.items()},
        }

    def hours(self, memory: Memory) -> dict[str, Any]:
        """What the schedule says now, and until when; {} if there is no schedule."""
        schedule = self.config.schedule
        if not schedule:
            return {}
        now = self.aws.now()
        current = window(schedule, now)
        reopened = current.kind is WindowKind.CLOSED and not closed_until(memory, self.config, now)
        kind = "reopened" if reopened else current.kind
        return {"hours": {"window": kind, "until": current.until, "time_zone": schedule.zone}}

    def members(self, seen: Observation) -> dict[str, Any]:
        """Each member's count, whether it is ready, and for what it waits; {} if there is one."""
        if len(self.config.members) == 1:
            return {}
        counts = {service.member: service.desired for service in seen.services}
        unready = counts if seen.unready is None else seen.unready
        waits = seen.memory.to_start
        return {
            "members": {
                member.name: {
                    "count": counts.get(member.name, 0),
                    "ready": member.name not in unready,
                    "waits_for": list(member.start_after) if member.name in waits else [],
                }
                for member in self.config.members
            }
        }

    def reconciled(self, signal: Signal, deadline: float) -> Observation:
        """Reconcile. If the signal comes from Terraform, try again after some errors."""
        match signal.kind:
            case Kind.RESTORE:
                return self.restore(deadline)
            case Kind.ADOPT | Kind.RECONCILE:
                return self.reconcile_once_allowed(signal)
        return self.reconciler.reconcile(signal)

    def reconcile_once_allowed(self, signal: Signal) -> Observation:
        """Reconcile. If AWS denies a call, try again for POLICY_SECONDS, since the role may be new.

        A new policy takes seconds to be effective, in each AWS service separately.
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
        """Bring the service up before the module is destroyed, by the epoch second `until`.

        Raises nothing, because an error would stop `terraform destroy`.
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
        """The problems that exist now, each with its remedy."""
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
            *self.open_findings(seen),
        ]

    def service_findings(self, seen: Observation) -> Iterator[dict[str, str]]:
        """Problems of the service, the idle alarm and the heartbeat's token."""
        if seen.missing:
            yield finding(SERVICE_MISSING, ", ".join(seen.missing))
        without_grace_period = [
            each.name for each in seen.own if each.target_groups and not each.grace_period_seconds
        ]
        if without_grace_period:
            yield finding(NO_GRACE_PERIOD, ", ".join(without_grace_period))
        idle_alarms = self.config.idle_alarm_arns
        for arn, alarm in zip(idle_alarms, self.aws.alarms(idle_alarms), strict=True):
            if alarm.state == "MISSING":
                yield finding(IDLE_ALARM_MISSING, arn)
        if token := self.token_problem():
            yield finding(TOKEN_UNREADABLE, token)

    def rule_findings(self, seen: Observation) -> Iterator[dict[str, str]]:
        """Problems of the listeners' rules."""
        together, rules = self.aws.rules()
        if together is Rule.MISSING:
            yield finding(RULE_MISSING)
        if seen.detached:
            yield finding(TARGET_GROUP_DETACHED)
        for route in self.config.routes:
            detail = "" if route.name == "this" else f"route {route.name}"
            none = ListenerRule()
            service_rule = rules.get(route.service_rule_arn, none)
            wake_rule = rules.get(route.wake_rule_arn, service_rule)
            if wake_rule.conditions != service_rule.conditions:
                yield finding(RULES_DIFFER, detail)
            own = [rules.get(arn, none).forwards_to for arn in route.own_rule_arns]
            by_upgrade = any(not to.isdisjoint(self.config.target_group_arns) for to in own)
            if service_rule.has_transforms and by_upgrade:
                yield finding(WEBSOCKETS_TRANSFORMED, detail)

    def wake_findings(self, seen: Observation) -> Iterator[dict[str, str]]:
        """Problems of the memory, of deployments and of wakes."""
        memory = seen.memory
        wake = memory.wake
        remedy = redeploy(seen.services, self.config.cluster_name)
        if not memory.adopted:
            yield finding(NOTHING_REMEMBERED)
        if remedy:
            yield {"finding": halted(seen.services), "remedy": remedy}
        if memory.failure:
            redeployed = "Fix the task and deploy it." if remedy else ""
            yield finding(WAKE_FAILED, memory.failure, redeployed)
        if wake and late_members(seen, memory, wake, self.config, self.aws.now()):
            yield finding(WAKING_FOR_LONG, seen.stopped_reason or "no task stopped", remedy)

    def open_findings(self, seen: Observation) -> Iterator[dict[str, str]]:
        """Open problems that are not among the other findings."""
        memory = cleared_problems(seen.memory, seen, self.aws.now())
        for code, problem in NOTICES.items():
            if code in memory.open_problems and problem not in SEEN_BY_DOCTOR:
                yield finding(problem)

    def token_problem(self) -> str:
        """Why the heartbeat's token cannot be read; "" if it can be read or none is configured."""
        if not self.config.heartbeat_token_parameter:
            return ""
        try:  # read now, because a cached token may be minutes old
            self.aws.read_token()
        except ERRORS as error:
            return str(error)
        return ""

    def report(self) -> dict[str, Any]:
        """The last wakes, and the settings to judge them by. Only reads."""
        memory = self.aws.read_memory()
        settings = {name: getattr(self.config, name) for name in REPORTED}
        return {**settings, "estimate_seconds": memory.estimate(), "wakes": memory.wakes}

    def explain(self) -> dict[str, Any]:
        """The reason of the phase, and the data for a forecast. Only reads, as much as a tick."""
        seen = self.reconciler.observe(self.aws.read_memory(), Signal(Kind.TICK))
        now = self.aws.now()
        return {
            **self.reconciler.status(seen),
            "now": now,
            **self.members(seen),
            **self.hours(seen.memory),
            "since": seen.memory.since,
            "because": seen.memory.because,
            "failure": seen.memory.failure,
            "blockers": [
                {**vars(each), "until": None if each.until == math.inf else each.until}
                for each in tick_blockers(seen, self.config, now)
            ],
            "observation": as_json(seen),
            "config": as_json(self.config),
            "code_sha256": code_sha256(),
        }


def finding(problem: Problem, detail: str = "", remedy: str = "") -> dict[str, str]:
    """One finding of the command doctor."""
    return {"finding": described(problem, detail), "remedy": remedy or problem.remedy}


# --- the handler ----------------------------------------------------------------------------------
class Warmkeeper:
    """Connects the parts of the program, over one Aws."""

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
    """Lambda's entry point. Errors are raised, except for HTTP requests.

    The failure destination and the alarm `errors` report a raised error. Lambda does not retry.
    """
    return container().dispatch(event)


# The boto3 clients that a wake needs while an HTTP client waits: AWS service and `taking`.
WAKE_CLIENTS = (
    ("dynamodb", False),
    ("ecs", False),
    ("elbv2", False),
    ("elbv2", True),
    ("sns", True),
)


def prepare() -> None:
    """Use Lambda's init phase, which has a full CPU, to prepare the first wake.

    Reading the settings also opens the connection to DynamoDB. Errors are only logged, because an
    object that is not built here is built at its first use.
    """
    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    try:
        aws = container().aws
        for service, taking in WAKE_CLIENTS:
            aws.client(service, taking=taking)
        if aws.config.databases:
            aws.client("rds")
        aws.client("elbv2").get_paginator("describe_rules")  # reads botocore's files
        policy = aws.settings().get("wake_policy", ())
        matching_ignore_rule(Request(), policy)  # compiles the policy's patterns
    except Exception as error:
        log(level="WARNING", message="not prepared", error=f"{type(error).__name__}: {error}")


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:  # set by Lambda, but not in tests
    prepare()
