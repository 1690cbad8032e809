"""Amazon ECS on Fargate: services whose `desiredCount` becomes tasks, each of them local processes.

Times follow `settings.ecs`; the order of states is that of "Amazon ECS task lifecycle".
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import signal
import socket
import sys
from collections import deque
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.localcloud.control import ACCOUNT, REGION
from tests.localcloud.gateway import ApiError, Call
from tests.localcloud.launch import LAUNCH

if TYPE_CHECKING:
    from tests.localcloud.cloud import Cloud

BOOT_LIMIT = 10.0  # real seconds at most for which a booting container holds the clock at 1x
STOPPED_KEPT = 3600.0  # virtual seconds for which a stopped task can still be described
IMPAIRED_AFTER = 3  # failed starts in a row, after which ECS says SERVICE_TASK_START_IMPAIRED
RETRY_LIMIT = 300.0  # virtual seconds at most between attempts to start a task
EVENTS_KEPT = 100
# What `CreateService` and `UpdateService` take and moto does not give back.
GIVEN_BACK = (
    "availabilityZoneRebalancing",
    "deploymentConfiguration",
    "healthCheckGracePeriodSeconds",
    "networkConfiguration",
)
FAILURES = (None, "image", "exit", "memory", "capacity", "unhealthy")


@dataclass(eq=False)
class Container:
    """One container of a task: its definition, its process, and where its port really is."""

    definition: Mapping[str, Any]
    ports: dict[int, int]  # containerPort to the port of 127.0.0.1 that the process was given
    process: asyncio.subprocess.Process | None = None
    reason: str | None = None

    @property
    def exit_code(self) -> int | None:
        """As Docker has it: 128 + N for a process ended by signal N; None while it runs."""
        code = self.process.returncode if self.process else None
        return 128 - code if code is not None and code < 0 else code


@dataclass(eq=False)
class Deployment:
    """One of a service's deployments ("Deployment" in the ECS API reference)."""

    task_definition: str
    created: float
    status: str = "PRIMARY"
    rollout: str = "IN_PROGRESS"
    failed: int = 0
    id: str = field(default_factory=lambda: f"ecs-svc/{secrets.randbelow(10**19):019d}")

    @property
    def reason(self) -> str:
        """The sentence for `rolloutStateReason`."""
        said = {"IN_PROGRESS": "in progress", "COMPLETED": "completed"}
        return (
            f"ECS deployment {self.id} {said.get(self.rollout, 'failed: tasks failed to start')}."
        )


@dataclass(eq=False)
class Service:
    """What a service should be, and the tasks that it has."""

    arn: str
    name: str
    cluster: str
    desired: int
    load_balancers: list[dict[str, Any]]
    given: dict[str, Any]
    deployments: list[Deployment]
    status: str = "ACTIVE"
    tasks: list[Task] = field(default_factory=list)
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    steady: bool = False
    failed_starts: int = 0
    not_before: float = 0.0  # no task is started before this moment

    @property
    def primary(self) -> Deployment:
        """The newest deployment."""
        return self.deployments[0]


@dataclass(eq=False)
class Task:
    """One task, from the moment it is asked for until an hour after it stopped."""

    arn: str
    service: Service
    deployment: Deployment
    ip: str
    definition: Mapping[str, Any]
    created: float
    containers: list[Container]
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    moments: dict[str, float] = field(default_factory=dict)
    registration: asyncio.Task[None] | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    protected_until: float = 0.0
    version: int = 1
    life: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rsplit("/", 1)[1]

    @property
    def registered(self) -> bool:
        """Whether it was made a target of the service's target groups."""
        done = self.registration is not None and self.registration.done()
        return done and bool(self.service.load_balancers)


class Tasks:
    """The service scheduler and the agent: keeps services at their count, runs and stops tasks."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._services: dict[tuple[str, str], Service] = {}
        self._tasks: dict[str, Task] = {}
        self._addresses = 0
        self._past: deque[tuple[float, dict[str, Any]]] = deque()
        cloud.settings["ecs"].setdefault("protection_withstands_count", False)

    async def start(self) -> None:
        """Answer what only the scheduler knows, and hear of every change of a service."""
        gateway = self._cloud.gateway
        for action in ("CreateService", "UpdateService", "DeleteService"):
            gateway.after("ecs", action, self._service_changed)
        gateway.after("ecs", "DescribeServices", self._describe_services)
        gateway.override("ecs", "ListTasks", self._list_tasks)
        gateway.override("ecs", "DescribeTasks", self._describe_tasks)
        gateway.override("ecs", "StopTask", self._stop_task)
        gateway.override("ecs", "GetTaskProtection", self._get_protection)
        gateway.override("ecs", "UpdateTaskProtection", self._update_protection)
        gateway.after("application-autoscaling", "RegisterScalableTarget", self._clamp)

    async def stop(self) -> None:
        """Kill every process."""
        for task in self._tasks.values():
            if task.life is not None:
                task.life.cancel()
            await _kill(task)

    # For the other parts.

    def address_of(self, ip: str, port: int) -> tuple[str, int] | None:
        """Where a task's virtual network address really listens; None if no such interface is up.

        The process behind it may be dead, and the connection then refused.
        """
        for task in self._tasks.values():
            if task.ip == ip and "connectivityAt" in task.moments and task.last_status != "STOPPED":
                for container in task.containers:
                    if port in container.ports:
                        return "127.0.0.1", container.ports[port]
        return None

    def target_health_changed(self) -> None:
        """A target of some service became healthy or unhealthy: look at the services again."""
        for service in list(self._services.values()):
            self._reconcile(service)

    def listing(self) -> list[dict[str, Any]]:
        """Every task as `DescribeTasks` has it, never stale, and its process ids."""
        return [
            {
                **self._shape(task),
                "pids": [box.process.pid for box in task.containers if box.process is not None],
            }
            for task in self._tasks.values()
        ]

    async def crash(self, arn: str) -> None:
        """Kill a task's processes as a fault; KeyError if there is no such task."""
        await _kill(self._tasks[arn])

    # What callers do.

    async def _service_changed(self, call: Call, reply: dict[str, Any]) -> dict[str, Any]:
        """Take over a service that was created, changed or deleted.

        Imitates `UpdateService`: a new task definition or `forceNewDeployment` starts a deployment,
        a new count does not. `DeleteService` leaves it DRAINING until its tasks have stopped.
        """
        shape = reply["service"]
        key = (shape["clusterArn"].rsplit("/", 1)[1], shape["serviceName"])
        now = self._cloud.clock.now()
        given = {name: call.params[name] for name in GIVEN_BACK if name in call.params}
        definition = await self._definition_arn(shape["taskDefinition"])
        service = self._services.get(key)
        if call.action == "CreateService" or service is None:
            service = self._services[key] = Service(
                arn=shape["serviceArn"],
                name=shape["serviceName"],
                cluster=key[0],
                desired=0,
                load_balancers=[],
                given={},
                deployments=[Deployment(definition, now)],
            )
        elif definition != service.primary.task_definition or call.params.get("forceNewDeployment"):
            self._deploy(service, definition)
        service.given.update(given)
        service.load_balancers = shape.get("loadBalancers", [])
        if service.desired != shape["desiredCount"]:
            service.steady, service.not_before, service.failed_starts = False, 0.0, 0
        service.desired = shape["desiredCount"]
        if call.action == "DeleteService":
            service.desired, service.status = 0, "INACTIVE"
        self._reconcile(service)
        shape.update(self._overlay(service))
        return reply

    def _deploy(self, service: Service, definition: str) -> None:
        for old in service.deployments:
            old.status = "ACTIVE"
        service.deployments.insert(0, Deployment(definition, self._cloud.clock.now()))
        service.steady, service.not_before, service.failed_starts = False, 0.0, 0
        self._emit_deployment(service, "SERVICE_DEPLOYMENT_IN_PROGRESS")

    async def _definition_arn(self, name: str) -> str:
        reply = await self._cloud.control.call(
            "ecs", "describe_task_definition", taskDefinition=name
        )
        return str(reply["taskDefinition"]["taskDefinitionArn"])

    async def _describe_services(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        view = self._view()["services"]
        for shape in reply["services"]:
            shape.update(view.get(shape["serviceArn"], {}))
        return reply

    async def _list_tasks(self, call: Call) -> dict[str, Any]:
        """`ListTasks`: by desired status, RUNNING unless asked otherwise."""
        params = call.params
        wanted: dict[str, Any] = {
            "cluster": params.get("cluster", "default").rsplit("/", 1)[-1],
            "desiredStatus": params.get("desiredStatus", "RUNNING"),
        }
        if "serviceName" in params:
            wanted["group"] = "service:" + params["serviceName"].rsplit("/", 1)[-1]
        if "family" in params:
            wanted["family"] = params["family"]
        found = [
            arn
            for arn, task in self._view()["tasks"].items()
            if all(_facts(task)[key] == value for key, value in wanted.items())
        ]
        return {"taskArns": found}

    async def _describe_tasks(self, call: Call) -> dict[str, Any]:
        cluster = call.params.get("cluster", "default").rsplit("/", 1)[-1]
        tasks, failures = [], []
        known = {arn.rsplit("/", 1)[1]: task for arn, task in self._view()["tasks"].items()}
        for name in call.params["tasks"]:
            task = known.get(name.rsplit("/", 1)[-1])
            if task is not None and _facts(task)["cluster"] == cluster:
                tasks.append(task)
            else:
                failures.append({"arn": _task_arn(cluster, name), "reason": "MISSING"})
        return {"tasks": tasks, "failures": failures}

    async def _stop_task(self, call: Call) -> dict[str, Any]:
        task = self._find(call.params["task"])
        if task is None:
            raise ApiError("InvalidParameterException", "The referenced task was not found.")
        self._begin_stop(task, "UserInitiated", call.params.get("reason", "Task stopped by user"))
        self._reconcile(task.service)
        return {"task": self._shape(task)}

    async def _get_protection(self, call: Call) -> dict[str, Any]:
        names = call.params.get("tasks") or list(self._tasks)
        return self._protections(names)

    async def _update_protection(self, call: Call) -> dict[str, Any]:
        """`UpdateTaskProtection`: two hours unless `expiresInMinutes` says otherwise."""
        minutes = (
            call.params.get("expiresInMinutes", 120) if call.params["protectionEnabled"] else 0
        )
        for name in call.params["tasks"]:
            if task := self._find(name):
                task.protected_until = self._cloud.clock.now() + minutes * 60
                self._reconcile(task.service)
                self._later(task.service, minutes * 60)
        return self._protections(call.params["tasks"])

    def _protections(self, names: list[str]) -> dict[str, Any]:
        now, protected, failures = self._cloud.clock.now(), [], []
        for name in names:
            task = self._find(name)
            if task is None:
                failures.append({"arn": name, "reason": "TASK_NOT_VALID"})
                continue
            shape: dict[str, Any] = {"taskArn": task.arn, "protectionEnabled": False}
            if task.protected_until > now:
                shape["protectionEnabled"] = True
                shape["expirationDate"] = _date(task.protected_until)
            protected.append(shape)
        return {"protectedTasks": protected, "failures": failures}

    def _find(self, name: str) -> Task | None:
        """The task of that ARN or id."""
        wanted = name.rsplit("/", 1)[-1]
        return next((task for task in self._tasks.values() if task.id == wanted), None)

    async def _clamp(self, call: Call, _: dict[str, Any]) -> None:
        """`RegisterScalableTarget`: the count is pulled into the new bounds at once."""
        if call.params.get("ScalableDimension") != "ecs:service:DesiredCount":
            return
        reply = await self._cloud.control.call(
            "application-autoscaling",
            "describe_scalable_targets",
            ServiceNamespace="ecs",
            ResourceIds=[call.params["ResourceId"]],
        )
        bounds = reply["ScalableTargets"][0]
        _, cluster, name = call.params["ResourceId"].split("/")
        service = self._services.get((cluster, name))
        if service is None:
            return
        count = min(max(service.desired, bounds["MinCapacity"]), bounds["MaxCapacity"])
        if count != service.desired:
            client = self._cloud.control.client("ecs", through_gateway=True)
            await asyncio.to_thread(
                client.update_service, cluster=cluster, service=name, desiredCount=count
            )

    # The scheduler.

    def _reconcile(self, service: Service) -> None:
        """Start and stop tasks until the service is what it should be.

        Imitates "Deploy Amazon ECS services by replacing tasks": tasks of the newest deployment
        are started up to maximumPercent, those of older ones stopped down to
        minimumHealthyPercent; tasks that fail their health checks are replaced.
        """
        self._replace_unhealthy(service)
        now, desired = self._cloud.clock.now(), service.desired
        live = [task for task in service.tasks if task.desired_status == "RUNNING"]
        current = [task for task in live if task.deployment is service.primary]
        old = [task for task in live if task.deployment is not service.primary]
        limits = service.given.get("deploymentConfiguration", {})
        most = max(desired, math.floor(desired * limits.get("maximumPercent", 200) / 100))
        least = math.ceil(desired * limits.get("minimumHealthyPercent", 100) / 100)

        missing = min(desired - len(current), most - len(live))
        if missing > 0 and now >= service.not_before:
            for _ in range(missing):
                self._place(service)
        surplus = sorted(current, key=self._is_steady)[: max(0, len(current) - desired)]
        spare = len([task for task in live if self._is_steady(task)]) - least
        for task in sorted(old, key=self._is_steady):
            if self._is_steady(task):
                if spare <= 0:
                    break
                spare -= 1
            surplus.append(task)
        for task in surplus:
            if not self._protects(task):
                reason = f"Scaling activity initiated by (deployment {task.deployment.id})"
                self._begin_stop(task, "ServiceSchedulerInitiated", reason)
        self._settle(service)
        self._remember()

    def _replace_unhealthy(self, service: Service) -> None:
        """Stop what fails its load balancer's checks once the grace period is over."""
        grace = float(service.given.get("healthCheckGracePeriodSeconds", 0))
        for task in service.tasks:
            if not task.desired_status == task.last_status == "RUNNING":
                continue
            if "unhealthy" not in self._target_states(task):
                continue
            left = task.moments["startedAt"] + grace - self._cloud.clock.now()
            if left > 0:
                self._later(service, left)
                continue
            groups = ", ".join(each["targetGroupArn"] for each in service.load_balancers)
            reason = f"Task failed ELB health checks in (target-group {groups})"
            self._say(service, f"(task {task.id}) failed ELB health checks")
            self._begin_stop(task, "ServiceSchedulerInitiated", reason)

    def _protects(self, task: Task) -> bool:
        """Whether scale-in protection keeps the task; by default a count set by hand wins."""
        withstands = self._cloud.settings["ecs"]["protection_withstands_count"]
        return bool(withstands) and task.protected_until > self._cloud.clock.now()

    def _settle(self, service: Service) -> None:
        """Note a finished deployment and a steady state."""
        live = [task for task in service.tasks if task.desired_status == "RUNNING"]
        if len(live) != service.desired or any(
            task.deployment is not service.primary or not self._is_steady(task) for task in live
        ):
            service.steady = False
            return
        if service.primary.rollout == "IN_PROGRESS":
            service.primary.rollout = "COMPLETED"
            del service.deployments[1:]
            self._emit_deployment(service, "SERVICE_DEPLOYMENT_COMPLETED")
        if not service.steady:
            service.steady = True
            self._say(service, "has reached a steady state.")
            self._emit_action(service, "INFO", "SERVICE_STEADY_STATE")

    def _is_steady(self, task: Task) -> bool:
        return task.last_status == "RUNNING" and set(self._target_states(task)) <= {
            "healthy",
            "unused",
        }

    def _target_states(self, task: Task) -> list[str]:
        return [
            self._cloud.balancer.target_state(
                each["targetGroupArn"], task.ip, each["containerPort"]
            )
            for each in task.service.load_balancers
        ]

    def _place(self, service: Service) -> None:
        """Create one task, or say why it cannot be placed ("Service event messages")."""
        now = self._cloud.clock.now()
        if self._cloud.settings["ecs"]["failure"] == "capacity":
            self._back_off(service)
            self._say(
                service,
                "was unable to place a task. Reason: Capacity is unavailable at this time. Please "
                "try again later or in a different availability zone.",
            )
            reason = "RESOURCE:FARGATE"
            self._emit_action(service, "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", reason)
            return
        self._addresses += 1
        task = Task(
            arn=_task_arn(service.cluster, secrets.token_hex(16)),
            service=service,
            deployment=service.primary,
            ip=f"10.0.{self._addresses // 250}.{self._addresses % 250 + 4}",
            definition={},
            created=now,
            containers=[],
        )
        self._tasks[task.arn] = task
        service.tasks.append(task)
        self._say(service, f"has started 1 tasks: (task {task.id}).")
        task.life = self._cloud.spawn(self._live(task))

    def _back_off(self, service: Service) -> None:
        """Wait longer after each failed start ("Amazon ECS service throttle logic")."""
        service.failed_starts += 1
        service.primary.failed += 1
        delay = min(5.0 * 2 ** (service.failed_starts - 1), RETRY_LIMIT)
        service.not_before = self._cloud.clock.now() + delay
        self._later(service, delay)
        if service.failed_starts == IMPAIRED_AFTER:
            self._say(service, "is unable to consistently start tasks successfully.")
            self._emit_action(service, "WARN", "SERVICE_TASK_START_IMPAIRED")
            self._break_circuit(service)

    def _break_circuit(self, service: Service) -> None:
        breaker = service.given.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker")
        if breaker and breaker["enable"] and service.primary.rollout == "IN_PROGRESS":
            service.primary.rollout = "FAILED"
            self._emit_deployment(service, "SERVICE_DEPLOYMENT_FAILED", "ERROR")

    def _later(self, service: Service, seconds: float) -> None:
        async def wait() -> None:
            await self._cloud.clock.sleep(seconds)
            self._reconcile(service)

        self._cloud.spawn(wait())

    # The life of a task.

    async def _live(self, task: Task) -> None:
        """Provision, pull, start, register ("Amazon ECS task lifecycle"); then watch for an end."""
        clock, settings = self._cloud.clock, self._cloud.settings["ecs"]
        failure = settings["failure"]
        reply = await self._cloud.control.call(
            "ecs", "describe_task_definition", taskDefinition=task.deployment.task_definition
        )
        task.definition = reply["taskDefinition"]
        task.containers = [_container(each) for each in task.definition["containerDefinitions"]]
        self._moved(task, "PROVISIONING")
        await clock.sleep(settings["provisioning_seconds"])
        self._moved(task, "PENDING", "connectivityAt", "pullStartedAt")
        if failure == "image":
            await clock.sleep(min(1.0, settings["pull_seconds"]))
            image = task.containers[0].definition["image"]
            self._start_failed(
                task, f"CannotPullContainerError: pull image manifest has been retried: {image}"
            )
            return
        await clock.sleep(settings["pull_seconds"])
        self._moved(task, "ACTIVATING", "pullStoppedAt")
        try:
            with clock.busy():
                await self._start_containers(task, failure)
        except (OSError, ValueError) as error:
            self._start_failed(task, f"CannotStartContainerError: {error}")
            return
        ends = [asyncio.create_task(_ended(box)) for box in task.containers if _essential(box)]
        try:
            await self._watch(task, ends)
        finally:
            for end in ends:
                end.cancel()

    async def _watch(self, task: Task, ends: list[asyncio.Task[None]]) -> None:
        """Report a started task as RUNNING and register it, then wait for a container's end."""
        started = asyncio.create_task(
            self._cloud.clock.sleep(self._cloud.settings["ecs"]["start_seconds"])
        )
        await asyncio.wait({started, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            task.registration = self._cloud.spawn(self._register(task))
            await asyncio.shield(task.registration)
            self._moved(task, "RUNNING", "startedAt")
            task.service.failed_starts = 0
            self._reconcile(task.service)
            if self._cloud.settings["ecs"]["failure"] == "memory":
                task.containers[0].reason = "OutOfMemoryError: Container killed due to memory usage"
                await _kill(task)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        else:
            started.cancel()
            self._back_off(task.service)
        self._begin_stop(task, "EssentialContainerExited", "Essential container in task exited")
        self._reconcile(task.service)

    def _start_failed(self, task: Task, reason: str) -> None:
        self._back_off(task.service)
        self._begin_stop(task, "TaskFailedToStart", reason)
        self._reconcile(task.service)

    async def _start_containers(self, task: Task, failure: str | None) -> None:
        """Start every container's process, and wait (in real time) until their ports answer.

        A process boots in real time: the clock is held at 1x meanwhile, or the health check would
        find it slower than it is.
        """
        ports = {port: real for box in task.containers for port, real in box.ports.items()}
        if failure == "unhealthy":  # it runs, and answers nowhere
            ports = {port: _free_port() for port in ports}
        for box in task.containers:
            await self._start_container(task, box, ports, failure)
        with suppress(TimeoutError):
            async with asyncio.timeout(BOOT_LIMIT):
                for real in ports.values():
                    while not await _answers(real):
                        if any(box.exit_code is not None for box in task.containers):
                            return
                        await asyncio.sleep(0.02)

    async def _start_container(
        self, task: Task, box: Container, ports: Mapping[int, int], failure: str | None
    ) -> None:
        definition = box.definition
        command = [*definition.get("entryPoint", []), *definition.get("command", [])]
        if not command:
            raise ValueError(f"no command in container {definition['name']}: images are not run")
        command = [sys.executable if each in ("python", "python3") else each for each in command]
        if failure == "exit":
            command = [sys.executable, "-c", "raise SystemExit(1)"]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_ENDPOINT_URL": self._cloud.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": f"task.{task.service.name}",
            "AWS_SECRET_ACCESS_KEY": "task",
            **{f"PORT_{port}": str(real) for port, real in ports.items()},
            **{each["name"]: each["value"] for each in definition.get("environment", [])},
            **await self._secrets(definition),
        }
        own = next((port for port in box.ports), None)
        if own is not None:
            environment["PORT"] = str(ports[own])
            environment["HOST"] = "127.0.0.1"  # nothing of this cloud listens elsewhere
        log = (self._cloud.state / f"task-{task.id}-{definition['name']}.log").open("wb")
        with log:
            box.process = await asyncio.create_subprocess_exec(
                *LAUNCH,
                *command,
                cwd=definition.get("workingDirectory"),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _secrets(self, definition: Mapping[str, Any]) -> dict[str, str]:
        """The environment that comes from SSM parameters ("Pass sensitive data")."""
        values = {}
        for each in definition.get("secrets", []):
            name = each["valueFrom"].split(":parameter", 1)[-1]
            reply = await self._cloud.control.call(
                "ssm", "get_parameter", Name=name, WithDecryption=True
            )
            values[each["name"]] = reply["Parameter"]["Value"]
        return values

    async def _register(self, task: Task) -> None:
        for each in task.service.load_balancers:
            await self._target_call("register_targets", task, each)

    async def _target_call(self, method: str, task: Task, where: Mapping[str, Any]) -> None:
        target = {"Id": task.ip, "Port": where["containerPort"]}
        with suppress(ClientError):  # the target group is gone
            await self._cloud.control.call(
                "elbv2",
                method,
                through_gateway=True,
                TargetGroupArn=where["targetGroupArn"],
                Targets=[target],
            )

    def _begin_stop(self, task: Task, code: str, reason: str) -> None:
        """Want the task stopped from now on; the rest takes its time."""
        if task.desired_status == "STOPPED":
            return
        if task.life is not None and task.life is not asyncio.current_task():
            task.life.cancel()
        task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
        self._say(task.service, f"has stopped 1 running tasks: (task {task.id}).")
        self._moved(task, task.last_status, "stoppingAt")
        self._cloud.spawn(self._end(task))

    async def _end(self, task: Task) -> None:
        """Deregister, drain, SIGTERM, SIGKILL ("Amazon ECS task lifecycle").

        The target stays healthy for `stop_stale_seconds`; a task whose container has ended by
        itself is not drained.
        """
        clock, dead = self._cloud.clock, any(box.exit_code is not None for box in task.containers)
        if task.registration is not None:
            await task.registration  # a call that is on its way cannot be called back
        if task.registered:
            if not dead:
                await clock.sleep(self._cloud.settings["ecs"]["stop_stale_seconds"])
                self._moved(task, "DEACTIVATING")
            for each in task.service.load_balancers:
                await self._target_call("deregister_targets", task, each)
            if not dead:
                await asyncio.gather(*self._drained(task))
        self._moved(task, "STOPPING")
        with clock.busy():
            await asyncio.gather(*(_terminate(box) for box in task.containers))
        self._moved(task, "STOPPED", "executionStoppedAt", "stoppedAt")
        self._reconcile(task.service)
        await clock.sleep(STOPPED_KEPT)
        del self._tasks[task.arn]
        task.service.tasks.remove(task)

    def _drained(self, task: Task) -> list[Coroutine[Any, Any, None]]:
        return [
            self._cloud.balancer.drained(each["targetGroupArn"], task.ip, each["containerPort"])
            for each in task.service.load_balancers
        ]

    def _moved(self, task: Task, status: str, *moments: str) -> None:
        """Note a new status and what happens at this moment, and send the event."""
        now = self._cloud.clock.now()
        task.last_status = status
        task.moments.update(dict.fromkeys(moments, now))
        task.version += 1
        self._remember()
        detail = {**self._shape(task), "updatedAt": _date(now)}
        self._emit("ECS Task State Change", detail, task.arn)

    # Events.

    def _emit(self, kind: str, detail: Mapping[str, Any], resource: str) -> None:
        self._cloud.spawn(self._cloud.events.emit("aws.ecs", kind, _as_json(detail), [resource]))

    def _emit_deployment(self, service: Service, name: str, kind: str = "INFO") -> None:
        """ "ECS Deployment State Change": without a group, told by its resources."""
        detail = {
            "eventType": kind,
            "eventName": name,
            "deploymentId": service.primary.id,
            "updatedAt": _date(self._cloud.clock.now()),
            "reason": service.primary.reason,
        }
        self._emit("ECS Deployment State Change", detail, service.arn)

    def _emit_action(self, service: Service, kind: str, name: str, reason: str = "") -> None:
        """ "ECS Service Action": without a group, told by its resources."""
        detail = {
            "eventType": kind,
            "eventName": name,
            "clusterArn": _cluster_arn(service.cluster),
            "createdAt": _date(self._cloud.clock.now()),
            **({"reason": reason} if reason else {}),
        }
        self._emit("ECS Service Action", detail, service.arn)

    def _say(self, service: Service, message: str) -> None:
        """Add a service event message, newest first."""
        service.events.appendleft(
            {
                "id": secrets.token_hex(16),
                "createdAt": _date(self._cloud.clock.now()),
                "message": f"(service {service.name}) {message}",
            }
        )

    # What describe calls show.

    def _view(self) -> dict[str, Any]:
        """Services and tasks as a describe call sees them, `read_stale_seconds` ago.

        Imitates "the Amazon ECS API follows an eventual consistency model" (`RunTask`).
        """
        stale = float(self._cloud.settings["ecs"]["read_stale_seconds"])
        if stale <= 0 or not self._past:
            return self._present()
        seen = self._cloud.clock.now() - stale
        while len(self._past) > 1 and self._past[1][0] <= seen:
            self._past.popleft()
        return self._past[0][1]

    def _remember(self) -> None:
        """Keep what is shown from now on, for stale reads."""
        stale = float(self._cloud.settings["ecs"]["read_stale_seconds"])
        now = self._cloud.clock.now()
        self._past.append((now, self._present()))
        while len(self._past) > 1 and self._past[1][0] <= now - stale:
            self._past.popleft()

    def _present(self) -> dict[str, Any]:
        return {
            "services": {each.arn: self._overlay(each) for each in self._services.values()},
            "tasks": {each.arn: self._shape(each) for each in self._tasks.values()},
        }

    def _overlay(self, service: Service) -> dict[str, Any]:
        """What moto does not know of a service."""
        counts = self._counts(service.tasks)
        draining = service.status == "INACTIVE" and any(
            task.last_status != "STOPPED" for task in service.tasks
        )
        return {
            **service.given,
            "status": "DRAINING" if draining else service.status,
            "desiredCount": service.desired,
            "taskDefinition": service.primary.task_definition,
            "deployments": [self._deployment_shape(service, each) for each in service.deployments],
            "events": list(service.events),
            **counts,
        }

    def _deployment_shape(self, service: Service, deployment: Deployment) -> dict[str, Any]:
        tasks = [task for task in service.tasks if task.deployment is deployment]
        return {
            "id": deployment.id,
            "status": deployment.status,
            "taskDefinition": deployment.task_definition,
            "desiredCount": service.desired if deployment is service.primary else 0,
            "failedTasks": deployment.failed,
            "createdAt": _date(deployment.created),
            "updatedAt": _date(deployment.created),
            "launchType": "FARGATE",
            "rolloutState": deployment.rollout,
            "rolloutStateReason": deployment.reason,
            **self._counts(tasks),
        }

    @staticmethod
    def _counts(tasks: list[Task]) -> dict[str, int]:
        live = [task for task in tasks if task.desired_status == "RUNNING"]
        running = sum(task.last_status == "RUNNING" for task in live)
        return {"runningCount": running, "pendingCount": len(live) - running}

    def _shape(self, task: Task) -> dict[str, Any]:
        """A task as `DescribeTasks` has it."""
        definition = task.definition
        shape: dict[str, Any] = {
            "taskArn": task.arn,
            "clusterArn": _cluster_arn(task.service.cluster),
            "taskDefinitionArn": task.deployment.task_definition,
            "group": f"service:{task.service.name}",
            "startedBy": task.deployment.id,
            "launchType": "FARGATE",
            "platformVersion": "1.4.0",
            "availabilityZone": f"{REGION}a",
            "cpu": definition.get("cpu", "256"),
            "memory": definition.get("memory", "512"),
            "desiredStatus": task.desired_status,
            "lastStatus": task.last_status,
            "healthStatus": "UNKNOWN",
            "connectivity": "CONNECTED" if "connectivityAt" in task.moments else "DISCONNECTED",
            "version": task.version,
            "createdAt": _date(task.created),
            "attachments": [self._interface(task)],
            "containers": [self._container_shape(task, box) for box in task.containers],
            **{name: _date(moment) for name, moment in task.moments.items()},
        }
        if task.stop_code:
            shape |= {"stopCode": task.stop_code, "stoppedReason": task.stopped_reason}
        return shape

    @staticmethod
    def _interface(task: Task) -> dict[str, Any]:
        attached = "connectivityAt" in task.moments
        details = {"networkInterfaceId": f"eni-{task.id[:17]}", "privateIPv4Address": task.ip}
        return {
            "id": f"{task.id[:8]}-eni",
            "type": "ElasticNetworkInterface",
            "status": "ATTACHED" if attached else "PRECREATED",
            "details": [{"name": name, "value": value} for name, value in details.items()]
            if attached
            else [],
        }

    @staticmethod
    def _container_shape(task: Task, box: Container) -> dict[str, Any]:
        status = "PENDING" if box.process is None else "RUNNING"
        shape: dict[str, Any] = {
            "containerArn": task.arn.replace(":task/", ":container/")
            + f"/{box.definition['name']}",
            "taskArn": task.arn,
            "name": box.definition["name"],
            "image": box.definition["image"],
            "lastStatus": "STOPPED" if task.last_status == "STOPPED" else status,
            "healthStatus": "UNKNOWN",
            "networkInterfaces": [{"privateIpv4Address": task.ip}],
        }
        if box.exit_code is not None:
            shape |= {"exitCode": box.exit_code, "lastStatus": "STOPPED"}
        if box.reason:
            shape["reason"] = box.reason
        return shape


def _facts(task: Mapping[str, Any]) -> dict[str, Any]:
    """What `ListTasks` filters by."""
    return {
        "cluster": task["clusterArn"].rsplit("/", 1)[1],
        "desiredStatus": task["desiredStatus"],
        "group": task["group"],
        "family": task["taskDefinitionArn"].rsplit("/", 1)[1].rsplit(":", 1)[0],
    }


def _container(definition: Mapping[str, Any]) -> Container:
    mapped = [each["containerPort"] for each in definition.get("portMappings", [])]
    return Container(definition, {port: _free_port() for port in mapped})


def _essential(box: Container) -> bool:
    return bool(box.definition.get("essential", True))


async def _ended(box: Container) -> None:
    if box.process is not None:
        await box.process.wait()


async def _terminate(box: Container) -> None:
    """SIGTERM, and SIGKILL after `stopTimeout` (30 s unless the definition says otherwise)."""
    if box.process is None:
        return
    if box.process.returncode is None:
        _signal(box, signal.SIGTERM)
        try:
            async with asyncio.timeout(box.definition.get("stopTimeout", 30)):
                await box.process.wait()
        except TimeoutError:
            pass
    _signal(box, signal.SIGKILL)
    await box.process.wait()


async def _kill(task: Task) -> None:
    for box in task.containers:
        if box.process is not None:
            _signal(box, signal.SIGKILL)
            await box.process.wait()


def _signal(box: Container, number: signal.Signals) -> None:
    """Signal the container's whole process group."""
    if box.process is not None:
        with suppress(ProcessLookupError):
            os.killpg(box.process.pid, number)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _date(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _as_json(value: Any) -> Any:
    """`value` with its moments as ISO 8601 texts, as events have them."""
    if isinstance(value, Mapping):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _cluster_arn(cluster: str) -> str:
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}"


def _task_arn(cluster: str, name: str) -> str:
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{name.rsplit('/', 1)[-1]}"
