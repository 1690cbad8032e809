"""ECS, listener, alarm, topic and table in memory, with a clock that jumps.

The real warmkeeper runs on it in one process: `World.aws()` is its adapter with the boto3 clients
replaced, so that every line of the adapter but the network is exercised.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import warmkeeper as wk
from botocore.exceptions import ClientError, ReadTimeoutError

ACCOUNT = "arn:aws:ecs:eu-central-1:123456789012"
BALANCING = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
SERVICE_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l1/r-service"
WAKE_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l1/r-wake"
CONTROL_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l1/r-control"
FOREIGN_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l1/r-foreign"
WAKE_GROUP = f"{BALANCING}:targetgroup/staging-wake/t1"
CONTROL_GROUP = f"{BALANCING}:targetgroup/staging-control/t2"
SERVICE_GROUP = f"{BALANCING}:targetgroup/staging/t3"
OTHER_GROUP = f"{BALANCING}:targetgroup/staging-green/t4"
OTHER_SERVICE_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l2/r-service"  # by port 80
OTHER_WAKE_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l2/r-wake"
OTHER_CONTROL_RULE = f"{BALANCING}:listener-rule/app/staging/a1/l2/r-control"
IDLE_ALARM = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:staging-idle"
WAKE_ALARM = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:staging-wake"
RULES = "app/staging/a1/"  # what the ARNs of all rules begin with, after "listener-rule/"
PAGED = {"describe_rules"}
STARTED_SHARE = 0.7  # of its boot, after which a task has started


def route(
    service_rule: str = SERVICE_RULE,
    wake_rule: str = WAKE_RULE,
    own_rules: tuple[str, ...] = (CONTROL_RULE,),
    rule_priority: int = 12,
    parked_rule_priority: int = 30_010,
    *,
    creates_service_rule: bool = False,
) -> str:
    """A route as Terraform writes it into the environment; without arguments the only one."""
    start = f"{BALANCING}:listener-rule/{RULES}"
    rules = [rule.removeprefix(start) for rule in (service_rule, wake_rule, *own_rules)]
    created = "/created" if creates_service_rule else ""
    return f"{rule_priority}/{parked_rule_priority}{created} {' '.join(rules)}"


OTHER_ROUTE = route(OTHER_SERVICE_RULE, OTHER_WAKE_RULE, (OTHER_CONTROL_RULE,))


def routes(**named: str) -> dict[str, str]:
    """The variable that holds routes."""
    return {"ROUTES": json.dumps({"rules": RULES, "routes": named})}


ENVIRONMENT = {
    "NAME": "staging",
    "ACCOUNT": "arn:aws:*:eu-central-1:123456789012:",
    "CLUSTER_NAME": "estate",
    "MEMBERS": '{"this": {"service": "app"}}',
    **routes(this=route()),
    "DATABASES": "{}",
    "TARGET_GROUP_ARNS": SERVICE_GROUP,
    "WAKE_TARGET_GROUP_ARN": WAKE_GROUP,
    "CONTROL_TARGET_GROUP_ARN": CONTROL_GROUP,
    "CONTROL_PATH": "/.warmkeeper",
    "PUBLIC_URL": "",
    "HEARTBEAT_PATH": "/health",
    "HEARTBEAT_TOKEN_PARAMETER": "",
    "TABLE_NAME": "staging",
    "TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:staging",
    "IDLE_ALARM_ARNS": IDLE_ALARM,
    "WAKE_ALARM_ARN": "",
    "METRIC_NAMESPACE": "Warmkeeper",
    "IDLE_MINUTES": "5",
    "LINGER_SECONDS": "60",
    "MIN_AWAKE_MINUTES": "8",
    "AWAKE_COUNT": "1",
    "COLD_START_TARGET_SECONDS": "60",
    "WAKE_DEADLINE_SECONDS": "300",
    "WAKE_BUDGET_PER_HOUR": "4",
    "WAKE_CONFIRMATION": "request",
    "UNSEEN_TRAFFIC": "stay_awake",
    "TRANSITION_NOTICES": "true",
    "HOLD_SECONDS": "25",
    "HOLD_LIMIT": "50",
    "WAITING_STATUS_CODE": "503",
    "CORS_ALLOWED_ORIGINS": "*",
    "RESTORE_ON_DESTROY": "true",
    "SUSPEND_AUTOSCALING": "true",
    "SERVICE_CONNECT_NAMES": "",
    "SCHEDULE": "",
}


def moment(seconds: float) -> datetime.datetime:
    """A time as boto3 gives it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


class ConditionalCheckFailedException(Exception):
    """As botocore raises it."""


class ClusterNotFoundException(Exception):
    """As botocore raises it."""


class Exceptions:
    """A client's `exceptions`."""

    ConditionalCheckFailedException = ConditionalCheckFailedException
    ClusterNotFoundException = ClusterNotFoundException


@dataclass
class SimulatedTask:
    """One task: healthy `boot` seconds after its start until `doomed` seconds after its stop."""

    number: int
    created: float
    stopped: float | None = None
    reason: str = ""
    containers: tuple[dict[str, Any], ...] = ()


@dataclass
class Beside:
    """A further service of an environment, whose tasks boot as those of `app` do."""

    desired: int = 1
    starts: bool = True
    group: str = ""  # in which its tasks are targets; "" if it has no route
    checks: bool = False  # whether its container has a health check
    deploying: bool = False
    exists: bool = True
    tasks: list[SimulatedTask] = field(default_factory=list)


@dataclass
class World:
    """The outside. `calls` lists every call that changes something, as (time, what).

    `hooks` run before the next calls of an operation (by boto3's name), one each: there another
    invocation may come in between. An operation in `failing` is throttled. With `lands_after`, a
    call that takes is never answered and lands so many seconds later. `reads` names every call.
    """

    environment: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))
    time: float = 1_800_000_000.0
    boot: float = 10.0
    stages: dict[str, float] = field(default_factory=dict)  # a task's time -> its share of boot
    doomed: float = 3.0
    desired: int = 1
    exists: bool = True
    deploying: bool = False
    deployment: str = "ecs-svc/1"
    rollout: dict[str, str] = field(default_factory=lambda: {"rolloutState": "COMPLETED"})
    deployed: float = 1_700_000_000.0
    minimum: int | None = None  # of auto scaling, of which there is none without it
    flags: set[str] = field(default_factory=set)  # of auto scaling: what is suspended
    scheduled: list[str] = field(default_factory=list)  # its scheduled actions
    grace: int = 60
    events: list[tuple[float, str]] = field(default_factory=list)
    forwards_to: str = SERVICE_GROUP
    hosts: dict[str, list[str]] = field(default_factory=dict)  # by rule; else any host
    conditions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by rule, as told
    # by rule, where not as usual: a group, or several with their weights
    forwards: dict[str, str | dict[str, int]] = field(default_factory=dict)
    empty_groups: set[str] = field(default_factory=set)  # in which no task is a target
    transforms: list[dict[str, Any]] = field(default_factory=list)  # of the service rule
    target_type: str = "ip"  # "ip", "ipv6" or "instance"
    told_of_tasks: bool = True  # whether ECS tells by what its tasks are reached
    strangers: list[str] = field(default_factory=list)  # ids of healthy targets that are no tasks
    stranger_port: int = 80
    described: dict[str, Any] = field(default_factory=dict)  # more of the service, as told
    connect: dict[str, Any] = field(default_factory=dict)  # more of its deployments, as told
    denied_until: dict[str, float] = field(default_factory=dict)  # operations that are not allowed
    gone: set[str] = field(default_factory=set)  # of "table" and "target group"
    protected: bool = False
    starts: bool = True
    alarm: str | None = "OK"
    alarms: dict[str, str] = field(default_factory=dict)  # further idle alarms, by name
    alarm_since: float | None = 0.0
    wake_alarm: str = "OK"
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, int] = field(
        default_factory=lambda: {CONTROL_RULE: 10, SERVICE_RULE: 100, WAKE_RULE: 30_010}
    )
    tasks: list[SimulatedTask] = field(default_factory=list)
    beside: dict[str, Beside] = field(default_factory=dict)  # by name
    databases: dict[str, str] = field(default_factory=dict)  # identifier -> status
    queues: dict[str, int] = field(default_factory=dict)  # name -> messages
    calls: list[tuple[float, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)  # as it went to SNS
    token: str = "secret"
    parameters: dict[str, str] = field(default_factory=dict)  # of SSM, besides the token
    reads: list[str] = field(default_factory=list)
    hooks: dict[str, list[Callable[[], object]]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    lands_after: float | None = None
    landing: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        for _ in range(self.desired):
            self.tasks.append(SimulatedTask(next(self._numbers), self.time - 3600))
        for each in self.beside.values():
            for _ in range(each.desired):
                each.tasks.append(SimulatedTask(next(self._numbers), self.time - 3600))

    def aws(self) -> SimulatedAws:
        return SimulatedAws(self)

    def signal(self, kind: wk.Kind, **more: Any) -> wk.Observation:
        return wk.Warmkeeper(self.aws()).reconciler.reconcile(wk.Signal(kind, **more))

    def invoke(self, event: Any) -> dict[str, Any]:
        return wk.Warmkeeper(self.aws()).dispatch(event)

    def minutes(self, minutes: int) -> None:
        """Let so many ticks pass."""
        for _ in range(minutes):
            self.time += 60
            if self.minimum and "DynamicScalingOutSuspended" not in self.flags:
                self.set_desired(max(self.minimum, self.desired))  # as a policy that fires does
            self.invoke({"source": "aws.events", "detail-type": "Scheduled Event"})

    @property
    def memory(self) -> wk.Memory:
        return self.aws().read_memory()

    def phase(self) -> wk.Phase:
        return self.memory.phase

    @property
    def settings(self) -> wk.Config:
        return config(tuple(self.environment.items()))

    @property
    def routes(self) -> tuple[wk.Route, ...]:
        return self.settings.routes

    @property
    def rule_up(self) -> bool:
        """Whether any wake rule is up."""
        return any(self.is_up(route) for route in self.routes)

    @property
    def all_rules_up(self) -> bool:
        return all(self.is_up(route) for route in self.routes)

    @property
    def suspended(self) -> bool:
        """Whether auto scaling is wholly suspended; True if there is none."""
        return self.minimum is None or self.flags == {*wk.SUSPENDED}

    def is_up(self, route: wk.Route) -> bool:
        return self.rules[route.wake_rule_arn] < self.rules[route.service_rule_arn]

    def running(self) -> list[SimulatedTask]:
        return [task for task in self.tasks if task.stopped is None]

    def healthy(self, task: SimulatedTask) -> bool:
        until = self.time if task.stopped is None else task.stopped + self.doomed
        starts = next(
            (each.starts for each in self.beside.values() if task in each.tasks), self.starts
        )
        return starts and task.created + self.boot <= self.time <= until

    def target(self, task: SimulatedTask) -> dict[str, Any]:
        """A task's target, as the load balancer tells of it."""
        match self.target_type:
            case "instance":
                return {"Id": "i-0123456789abcdef0", "Port": 32_768 + task.number}
            case "ipv6":
                return {"Id": f"2001:db8:0:0:0:0:0:{task.number:x}", "Port": 8080}
        return {"Id": f"10.0.0.{task.number}", "Port": 8080}

    def reached_by(self, task: SimulatedTask) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The same as ECS tells of it: the details of an interface, and more of a container."""
        placed = self.time >= task.created + self.boot / 2  # before, it has no address
        match self.target_type if self.told_of_tasks and placed else "":
            case "":
                return [], {}
            case "instance":
                return [], {"networkBindings": [{"hostPort": 32_768 + task.number}]}
            case "ipv6":
                address = f"2001:db8::{task.number:x}"
                return [], {"networkInterfaces": [{"ipv6Address": address}]}
        return [{"name": "privateIPv4Address", "value": f"10.0.0.{task.number}"}], {}

    def set_desired(self, count: int, service: str = "app") -> None:
        """As UpdateService, whoever calls it."""
        of: World | Beside = self.beside.get(service, self)
        of.desired = count
        running = [task for task in of.tasks if task.stopped is None]
        for task in running[count:]:
            task.stopped, task.reason = self.time, "Scaling activity initiated by deployment"
        while len(running) < count:
            running.append(SimulatedTask(next(self._numbers), self.time))
            of.tasks.append(running[-1])

    def between(self, operation: str, hook: Callable[[], object]) -> None:
        """Let `hook` happen right before the next call of `operation`."""
        self.hooks.setdefault(operation, []).append(hook)

    def land(self) -> None:
        """Whatever was on its way and is due arrives."""
        due = [effect for when, effect in self.landing if when <= self.time]
        self.landing = [(when, effect) for when, effect in self.landing if when > self.time]
        for effect in due:
            effect()

    def step(self, operation: str, taking: bool, effect: Callable[[], Any]) -> Any:
        """One call to AWS, as the test wants it to go."""
        self.land()
        self.reads.append(operation)
        if waiting := self.hooks.get(operation):
            waiting.pop(0)()
        if operation in self.failing:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, operation)
        if self.time < self.denied_until.get(operation, 0.0):
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)
        if taking and self.lands_after is not None:
            self.landing.append((self.time + self.lands_after, effect))
            self.time += wk.TAKE_TIMEOUT_SECONDS
            raise ReadTimeoutError(endpoint_url="https://aws.example")
        return effect()

    def changed(self, call: str) -> None:
        """A call that changes something was made."""
        self.calls.append((self.time, call))

    def did(self, what: str) -> int:
        return sum(1 for _, call in self.calls if call == what)


@functools.cache
def config(variables: tuple[tuple[str, str], ...]) -> wk.Config:
    """The settings of an environment, read once: a World is asked for its adapter all the time."""
    return wk.Config.from_environment(dict(variables))


class SimulatedAws(wk.Aws):
    """The adapter, with clients over a World."""

    def __init__(self, world: World) -> None:
        super().__init__(world.settings)
        self.world = world

    def now(self) -> float:
        return self.world.time

    def sleep(self, seconds: float) -> None:
        self.world.time += max(0.0, seconds)

    def side_by_side(self, calls: Mapping[str, Callable[[], None]]) -> dict[str, Exception]:
        """One after the other: a World has one thread."""
        return {name: error for name, call in calls.items() if (error := wk.failed(call))}

    def client(self, service: str, *, taking: bool = False) -> Any:
        return Stepped(self, CLIENTS[service](self.world), taking)

    def call(
        self, operation: str, taking: bool, effect: Callable[[], Any], _: dict[str, Any]
    ) -> Any:
        """One call with its arguments, the last; `effect` is what it does to the World."""
        return self.world.step(operation, taking, effect)


@dataclass
class Client:
    world: World
    exceptions: type[Exceptions] = Exceptions


@dataclass
class Stepped:
    """A client, each of whose calls goes through `SimulatedAws.call`."""

    aws: SimulatedAws
    client: Client
    taking: bool

    def __getattr__(self, operation: str) -> Any:
        if operation == "exceptions":
            return self.client.exceptions
        # boto3 asks for the pages only when they are read, which here is at once
        attribute = getattr(self.client, "paginate" if operation in PAGED else operation)

        def call(**arguments: Any) -> Any:
            return self.aws.call(operation, self.taking, lambda: attribute(**arguments), arguments)

        return call

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(self, operation)


@dataclass
class Paginator:
    """As boto3's: `paginate` calls the operation that it was got for."""

    client: Stepped
    operation: str

    def paginate(self, **arguments: Any) -> Any:
        return getattr(self.client, self.operation)(**arguments)


class Database(Client):
    def there(self) -> None:
        if "table" in self.world.gone:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "dynamodb")

    def get_item(self, *, Key: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.there()
        item = self.world.items.get(Key["id"]["S"])
        return {"Item": json.loads(json.dumps(item))} if item else {}

    def put_item(self, *, Item: dict[str, Any], ExpressionAttributeValues: Any, **_: Any) -> None:
        self.there()
        current = self.world.items.get(Item["id"]["S"])
        if current and current["version"] != ExpressionAttributeValues[":read"]:
            raise ConditionalCheckFailedException
        self.world.items[Item["id"]["S"]] = Item

    def update_item(
        self,
        *,
        Key: dict[str, Any],
        UpdateExpression: str,
        ConditionExpression: str,
        ExpressionAttributeValues: dict[str, Any],
        **_: Any,
    ) -> dict[str, Any]:
        """The one update there is: of how many calls are held."""
        self.there()
        (name,) = Key["id"].values()
        item = self.world.items.get(name, {"id": Key["id"]})
        window = ExpressionAttributeValues[":window"]
        if (item.get("since") == window) is ConditionExpression.startswith("NOT"):
            raise ConditionalCheckFailedException
        added = int(item["held"]["N"]) + 1 if UpdateExpression.startswith("ADD") else 1
        self.world.items[name] = {**item, "since": window, "held": {"N": str(added)}}
        return {"Attributes": {"held": {"N": str(added)}}}


class Ecs(Client):
    def describe_services(self, *, services: list[str], **_: Any) -> dict[str, Any]:
        world = self.world
        found = [self._beside(name) for name in services if name in world.beside]
        alone = self._app() if world.exists and {*services} - world.beside.keys() else []
        return {"services": [*alone, *(each for each in found if each)]}

    def _beside(self, name: str) -> dict[str, Any] | None:
        of = self.world.beside[name]
        primary = {"id": f"ecs-svc/{name}", "status": "PRIMARY", "rolloutState": "COMPLETED"}
        if of.deploying:
            primary["rolloutState"] = "IN_PROGRESS"
        groups = [{"targetGroupArn": of.group, "containerName": name}] if of.group else []
        service = {
            "serviceName": name,
            "status": "ACTIVE",
            "desiredCount": of.desired,
            "deployments": [{**primary, "createdAt": moment(self.world.deployed)}],
            "loadBalancers": groups,
        }
        return service if of.exists else None

    def _app(self) -> list[dict[str, Any]]:
        world = self.world
        primary = {
            "id": world.deployment,
            "status": "PRIMARY",
            "createdAt": moment(world.deployed),
            **world.rollout,
            **world.connect,
        }
        deployments = [primary]
        # of deployments that are not rolling, ListServiceDeployments alone tells
        if world.deploying and world.rollout and "deploymentConfiguration" not in world.described:
            deployments += [{**primary, "id": "ecs-svc/0", "status": "ACTIVE"}]
        service = {
            "serviceName": "app",
            "status": "ACTIVE",
            "desiredCount": self.world.desired,
            "runningCount": len(self.world.running()),
            "deployments": deployments,
            "healthCheckGracePeriodSeconds": world.grace,
            "events": [{"createdAt": moment(at), "message": text} for at, text in world.events],
            "loadBalancers": [{"targetGroupArn": SERVICE_GROUP, "containerName": "app"}],
            **world.described,
        }
        return [service]

    def list_service_deployments(self, *, service: str, status: list[str], **_: Any) -> Any:
        assert service == "app"
        assert "IN_PROGRESS" in status
        return {"serviceDeployments": [{"status": "IN_PROGRESS"}] if self.world.deploying else []}

    def update_service(self, *, service: str, desiredCount: int, **_: Any) -> None:
        assert service in ("app", *self.world.beside)
        self.world.changed(
            f"count {desiredCount}" if service == "app" else f"{service} {desiredCount}"
        )
        self.world.set_desired(desiredCount, service)

    def list_tasks(
        self, *, serviceName: str, desiredStatus: str, nextToken: str | None = None, **_: Any
    ) -> dict[str, Any]:
        running = desiredStatus == "RUNNING"
        of: World | Beside = self.world.beside.get(serviceName, self.world)
        wanted = [task for task in of.tasks if (task.stopped is None) == running]
        arns = [self._arn(task) for task in wanted]
        begin = int(nextToken or 0)
        more = {"nextToken": str(begin + 100)} if len(arns) > begin + 100 else {}
        return {"taskArns": arns[begin : begin + 100], **more}

    def describe_tasks(self, *, tasks: list[str], **_: Any) -> dict[str, Any]:
        every = [*self.world.tasks, *(t for each in self.world.beside.values() for t in each.tasks)]
        return {"tasks": [self._described(task) for task in every if self._arn(task) in tasks]}

    def describe_task_definition(self, *, taskDefinition: str) -> dict[str, Any]:
        of = self.world.beside.get(taskDefinition)
        check = {"healthCheck": {"command": ["CMD", "true"]}} if of and of.checks else {}
        return {"taskDefinition": {"containerDefinitions": [{"name": "app", **check}]}}

    def _arn(self, task: SimulatedTask) -> str:
        return f"{ACCOUNT}:task/estate/{task.number}"

    def _described(self, task: SimulatedTask) -> dict[str, Any]:
        address, container = self.world.reached_by(task)
        runs = task.stopped is None and self.world.time >= task.created + self.world.boot / 2
        described: dict[str, Any] = {
            "taskArn": self._arn(task),
            "desiredStatus": "RUNNING" if task.stopped is None else "STOPPED",
            "lastStatus": "RUNNING" if runs else "PENDING" if task.stopped is None else "STOPPED",
            "containers": [*task.containers, *([container] if container else [])],
            "attachments": [{"details": address}] if address else [],
            "createdAt": moment(task.created),
        }
        for name, of in self.world.beside.items():
            if task in of.tasks:
                healthy = of.checks and self.world.healthy(task)
                described["healthStatus"] = "HEALTHY" if healthy else "UNKNOWN"
                described["taskDefinitionArn"] = name
                if not of.starts:
                    described["lastStatus"] = "PENDING"
        if self.world.time >= task.created + self.world.boot / 2:
            described["connectivityAt"] = moment(task.created + self.world.boot / 2)
        started = {"startedAt": STARTED_SHARE} if self.world.starts else {}
        for name, share in (started | self.world.stages).items():
            if self.world.time >= task.created + self.world.boot * share:
                described[name] = moment(task.created + self.world.boot * share)
        if task.stopped is not None:
            described |= {"stoppedAt": moment(task.stopped), "stoppedReason": task.reason}
        return described

    def get_task_protection(self, **_: Any) -> dict[str, Any]:
        return {"protectedTasks": [{"protectionEnabled": self.world.protected}]}


class LoadBalancing(Client):
    def describe_target_health(self, *, TargetGroupArn: str) -> dict[str, Any]:
        if "target group" in self.world.gone or TargetGroupArn in self.world.gone:
            raise ClientError({"Error": {"Code": "TargetGroupNotFound"}}, "elbv2")
        world = self.world
        if TargetGroupArn in world.empty_groups:
            return {"TargetHealthDescriptions": []}
        tasks = next(
            (each.tasks for each in world.beside.values() if each.group == TargetGroupArn),
            world.tasks,
        )
        described = [
            {
                "Target": world.target(task),
                "TargetHealth": {"State": "healthy" if world.healthy(task) else "initial"},
            }
            for task in tasks
        ]
        described += [
            {
                "Target": {"Id": stranger, "Port": world.stranger_port},
                "TargetHealth": {"State": "healthy"},
            }
            for stranger in world.strangers
        ]
        return {"TargetHealthDescriptions": described}

    def paginate(self, *, ListenerArn: str) -> list[dict[str, Any]]:
        rules = [
            self._rule(arn, str(number))
            for arn, number in self.world.rules.items()
            if wk.listener_of(arn) == ListenerArn
        ]
        return [{"Rules": [*rules, self._rule("r-default", "default")]}]

    def _rule(self, arn: str, priority: str) -> dict[str, Any]:
        world = self.world
        usual = {
            SERVICE_RULE: world.forwards_to,
            OTHER_SERVICE_RULE: world.forwards_to,
            CONTROL_RULE: CONTROL_GROUP,
            OTHER_CONTROL_RULE: CONTROL_GROUP,
        }
        group = world.forwards.get(arn, usual.get(arn, WAKE_GROUP))
        weights = group if isinstance(group, dict) else {group: 1}
        groups = [{"TargetGroupArn": each, "Weight": n} for each, n in weights.items()]
        hosts = world.hosts.get(arn, [])
        rule: dict[str, Any] = {
            "RuleArn": arn,
            "Priority": priority,
            "Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
            "Conditions": [{"Field": "host-header", "Values": hosts}] if hosts else [],
        }
        if arn in (CONTROL_RULE, OTHER_CONTROL_RULE):
            rule["Conditions"] += [{"Field": "path-pattern", "Values": ["/.warmkeeper/*"]}]
        if arn in world.conditions:
            rule["Conditions"] = world.conditions[arn]
        if arn == SERVICE_RULE and world.transforms:
            rule["Transforms"] = world.transforms
        return rule

    def set_rule_priorities(self, *, RulePriorities: list[dict[str, Any]]) -> None:
        world = self.world
        moved = {move["RuleArn"]: move["Priority"] for move in RulePriorities}
        (listener,) = {wk.listener_of(arn) for arn in moved}
        beside = {arn: n for arn, n in world.rules.items() if wk.listener_of(arn) == listener}
        numbers = list((beside | moved).values())
        assert len(numbers) == len(set(numbers)), "PriorityInUse"
        world.rules |= moved
        up = any(world.is_up(route) for route in world.routes if route.wake_rule_arn in moved)
        world.changed("rule up" if up else "rule down")


class CloudWatch(Client):
    def describe_alarms(self, *, AlarmNames: list[str]) -> dict[str, Any]:
        states = {
            "staging-idle": self.world.alarm,
            "staging-wake": self.world.wake_alarm,
            **self.world.alarms,
        }
        at = self.world.alarm_since
        since = {} if at is None else {"StateTransitionedTimestamp": moment(at)}
        found = {name: states[name] for name in AlarmNames if states.get(name)}
        return {
            "MetricAlarms": [
                {"AlarmName": name, "StateValue": state, **since} for name, state in found.items()
            ]
        }


class AutoScaling(Client):
    def describe_scalable_targets(self, *, ResourceIds: list[str], **_: Any) -> dict[str, Any]:
        world = self.world
        assert "service/estate/app" in ResourceIds
        target = {
            "ResourceId": "service/estate/app",
            "MinCapacity": world.minimum,
            "SuspendedState": {name: name in world.flags for name in wk.SUSPENDED},
        }
        return {"ScalableTargets": [] if world.minimum is None else [target]}

    def describe_scheduled_actions(self, **_: Any) -> dict[str, Any]:
        names = self.world.scheduled
        return {"ScheduledActions": [{"ScheduledActionName": name} for name in names]}

    def register_scalable_target(self, *, SuspendedState: dict[str, bool], **more: Any) -> None:
        assert not {"MinCapacity", "MaxCapacity"} & more.keys()
        world = self.world
        world.flags = {name for name, suspended in SuspendedState.items() if suspended}
        world.changed(f"suspended {len(world.flags)}")
        if world.desired < (world.minimum or 0):
            world.set_desired(world.minimum or 0)


class Rds(Client):
    """Databases that stay in `starting` and `stopping` until the test moves them on."""

    def describe_db_instances(self, *, DBInstanceIdentifier: str) -> dict[str, Any]:
        status = self._status(DBInstanceIdentifier, "DBInstanceNotFound")
        return {"DBInstances": [{"DBInstanceStatus": status}]}

    def describe_db_clusters(self, *, DBClusterIdentifier: str) -> dict[str, Any]:
        status = self._status(DBClusterIdentifier, "DBClusterNotFoundFault")
        return {"DBClusters": [{"Status": status}]}

    def start_db_instance(self, *, DBInstanceIdentifier: str) -> None:
        self._move(DBInstanceIdentifier, "stopped", "starting")

    def start_db_cluster(self, *, DBClusterIdentifier: str) -> None:
        self._move(DBClusterIdentifier, "stopped", "starting")

    def stop_db_instance(self, *, DBInstanceIdentifier: str) -> None:
        self._move(DBInstanceIdentifier, "available", "stopping")

    def stop_db_cluster(self, *, DBClusterIdentifier: str) -> None:
        self._move(DBClusterIdentifier, "available", "stopping")

    def _status(self, name: str, code: str) -> str:
        if name not in self.world.databases:
            raise ClientError({"Error": {"Code": code}}, "rds")
        return self.world.databases[name]

    def _move(self, name: str, wanted: str, to: str) -> None:
        if self.world.databases[name] != wanted:
            raise ClientError({"Error": {"Code": "InvalidDBInstanceState"}}, "rds")
        self.world.changed(f"{name} {to}")
        self.world.databases[name] = to


class Queues(Client):
    def get_queue_url(self, *, QueueName: str, QueueOwnerAWSAccountId: str) -> dict[str, Any]:
        return {"QueueUrl": f"https://sqs.example/{QueueOwnerAWSAccountId}/{QueueName}"}

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:
        count = self.world.queues[QueueUrl.rpartition("/")[2]]
        return {
            "Attributes": {AttributeNames[0]: str(count), **dict.fromkeys(AttributeNames[1:], "0")}
        }


class Topic(Client):
    def publish(self, *, Message: str, Subject: str, **more: Any) -> None:
        assert more["MessageStructure"] == "json"
        self.world.subjects.append(Subject)
        self.world.notices.append(json.loads(Message)["default"])
        self.world.published.append({"Message": Message, "Subject": Subject, **more})


class Parameters(Client):
    def get_parameter(self, *, Name: str, **_: Any) -> dict[str, Any]:
        token = {self.world.environment["HEARTBEAT_TOKEN_PARAMETER"]: self.world.token}
        parameters = {**token, **self.world.parameters}
        if Name not in parameters:
            raise ClientError({"Error": {"Code": "ParameterNotFound"}}, "GetParameter")
        return {"Parameter": {"Value": parameters[Name]}}


CLIENTS: dict[str, type[Client]] = {
    "dynamodb": Database,
    "ecs": Ecs,
    "elbv2": LoadBalancing,
    "cloudwatch": CloudWatch,
    "application-autoscaling": AutoScaling,
    "rds": Rds,
    "sqs": Queues,
    "sns": Topic,
    "ssm": Parameters,
}
