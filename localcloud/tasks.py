"""Amazon ECS: services whose `desiredCount` becomes tasks, each of them local processes.

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
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.core.utils import get_service_model

from localcloud.control import ACCOUNT, REGION
from localcloud.deployments import (
    NOT_STARTED,
    Deployment,
    Traffic,
    breaker_threshold,
    cluster_arn,
    date,
    other_of,
)
from localcloud.gateway import ApiError, Call
from localcloud.health import HEALTHY, UNHEALTHY, UNKNOWN, Health
from localcloud.instances import Instance
from localcloud.launch import LAUNCH

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

BOOT_LIMIT = 10.0  # real seconds at most for which a booting container holds the clock at 1x
STOPPED_KEPT = 3600.0  # virtual seconds for which a stopped task can still be described
IMPAIRED_AFTER = 3  # failed starts in a row, after which ECS says SERVICE_TASK_START_IMPAIRED
RETRY_LIMIT = 300.0  # virtual seconds at most between attempts to start a task
EVENTS_KEPT = 100
# What the scheduler or moto itself knows of a service.
KNOWN_ELSEWHERE = {
    "desiredCount", "launchType", "loadBalancers", "serviceName", "tags", "taskDefinition",
}  # fmt: skip
PORT_IN_USE = (
    "The closest matching container-instance is already using a port required by your task."
)
NO_INSTANCES = "Reason: No Container Instances were found in your cluster."
SUPERSEDED = "Service deployment stopped: another one started."
TIMED_OUT = "Service deployment rolled back: its tasks did not become healthy in time."
TRIPPED = "Service deployment rolled back because the circuit breaker threshold was exceeded."
STOPPED_BY_BREAKER = "Service deployment stopped: the circuit breaker threshold was exceeded."
FAILURES = (None, "image", "exit", "memory", "capacity", "unhealthy")


@dataclass(eq=False)
class Container:
    """One container of a task: its definition, its process, and where its port really is."""

    definition: Mapping[str, Any]
    ports: dict[int, int]  # containerPort to the port of 127.0.0.1 that the process was given
    host_ports: dict[int, int]  # containerPort to the container instance's port; empty in awsvpc
    process: asyncio.subprocess.Process | None = None
    environment: dict[str, str] = field(default_factory=dict)  # of the process
    health: Health | None = None  # what its health check has found, if it has one
    reason: str | None = None

    @property
    def exit_code(self) -> int | None:
        """As Docker has it: 128 + N for a process ended by signal N; None while it runs."""
        code = self.process.returncode if self.process else None
        return 128 - code if code is not None and code < 0 else code

    def local_port(self, port: int) -> int | None:
        """Where `port` of the task's address, or of its container instance, really is."""
        for container_port, real in self.ports.items():
            if self.host_ports.get(container_port, container_port) == port:
                return real
        return None


@dataclass(eq=False)
class Service:
    """What a service should be, and the tasks that it has."""

    arn: str
    name: str
    cluster: str
    launch_type: str  # EC2 or FARGATE
    desired: int
    load_balancers: list[dict[str, Any]]
    given: dict[str, Any]
    deployments: list[Deployment]  # that still have tasks, or could; the newest first
    history: list[Deployment]  # all of them, the newest first
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

    @property
    def by_code_deploy(self) -> bool:
        """Whether it has task sets: its deployment controller is CODE_DEPLOY."""
        return bool(self.given.get("deploymentController", {}).get("type") == "CODE_DEPLOY")

    @property
    def serving(self) -> Deployment:
        """The task set that serves production traffic."""
        return next(each for each in self.deployments if each.status == "PRIMARY")


@dataclass(eq=False)
class Task:
    """One task, from the moment it is asked for until an hour after it stopped."""

    arn: str
    service: Service
    deployment: Deployment
    ip: str
    created: float
    containers: list[Container]
    instance: Instance | None = None  # the container instance; None on Fargate
    ipv6: str = ""  # where a target group of IPv6 addresses asks for one
    targets: list[dict[str, Any]] = field(default_factory=list)  # TargetGroupArn, Id, Port
    warnings: list[str] = field(default_factory=list)  # what the local cloud says of it itself
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
    def definition(self) -> Mapping[str, Any]:
        """The task definition."""
        return self.deployment.definition

    @property
    def health(self) -> str:
        """`healthStatus`: of the essential containers that have a health check ("HealthCheck")."""
        found = {box.health.status for box in self.containers if box.health and _essential(box)}
        if UNHEALTHY in found:
            return UNHEALTHY
        return HEALTHY if found == {HEALTHY} else UNKNOWN

    @property
    def passes_checks(self) -> bool:
        """Whether its essential containers are healthy, or have no health check."""
        checked = any("healthCheck" in box.definition for box in self.containers if _essential(box))
        return not checked or self.health == HEALTHY

    @property
    def registered(self) -> bool:
        """Whether it was made a target of the service's target groups."""
        done = self.registration is not None and self.registration.done()
        return done and bool(self.targets)

    @property
    def addresses(self) -> set[str]:
        """The target ids under which it can be reached."""
        if self.deployment.awsvpc:
            return {self.ip, self.ipv6} - {""}
        return {self.instance.id} if self.instance else set()


class Tasks:
    """The service scheduler and the agent: keeps services at their count, runs and stops tasks."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._services: dict[tuple[str, str], Service] = {}
        self._tasks: dict[str, Task] = {}
        self._addresses = 0
        self._traffic = Traffic(cloud)
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

    async def stop(self) -> None:
        """Kill every process."""
        for task in self._tasks.values():
            if task.life is not None:
                task.life.cancel()
            await _kill(task)

    # For the other parts.

    def address_of(self, target: str, port: int) -> tuple[str, int] | None:
        """Where a target's port really is: a task's address, or a container instance's id.

        None if no such interface is up. The process behind it may be dead, and the connection then
        refused.
        """
        for task in self._tasks.values():
            up = "connectivityAt" in task.moments and task.last_status != "STOPPED"
            for container in task.containers if up and target in task.addresses else ():
                if (real := container.local_port(port)) is not None:
                    return "127.0.0.1", real
        return None

    def service(self, cluster: str, name: str) -> Service | None:
        """The service of that name, if there was ever one."""
        return self._services.get((cluster, name))

    def service_of(self, params: Mapping[str, Any]) -> Service | None:
        """The service that a call names by `cluster` and `service`, each a name or an ARN."""
        cluster = params.get("cluster", "default").rsplit("/", 1)[-1]
        return self.service(cluster, params["service"].rsplit("/", 1)[-1])

    def services(self) -> Iterable[Service]:
        """Every service that was created."""
        return self._services.values()

    def count_of(self, cluster: str, name: str) -> int | None:
        """A service's desired count; None where no such service is active."""
        service = self._services.get((cluster, name))
        return service.desired if service is not None and service.status == "ACTIVE" else None

    def instance_registered(self, cluster: str) -> None:
        """A cluster has a new container instance: place what found no room."""
        for service in self._services.values():
            if service.cluster == cluster and service.launch_type == "EC2":
                service.not_before = 0.0
                self._reconcile(service)

    def target_health_changed(self) -> None:
        """A target of some service became healthy or unhealthy: look at the services again."""
        for service in list(self._services.values()):
            self._reconcile(service)

    def keep_task_sets(self, service: Service, *kept: Deployment) -> None:
        """From now on the service has these task sets, the newest first; tasks of others stop."""
        service.deployments = list(kept)
        service.primary.stage = "INSTALL" if len(kept) > 1 else None
        service.not_before, service.failed_starts = 0.0, 0
        for task in service.tasks:
            if task.deployment not in kept:
                self._begin_stop(task, "ServiceSchedulerInitiated", "Task set deleted")
        self._reconcile(service)

    def is_stable(self, service: Service, task_set: Deployment) -> bool:
        """Whether its tasks are as many as they should be, and healthy ("stabilityStatus")."""
        live = [
            task
            for task in service.tasks
            if task.deployment is task_set and task.desired_status == "RUNNING"
        ]
        return len(live) == _computed_count(service, task_set) and all(map(self._is_steady, live))

    def find(self, name: str) -> Task | None:
        """The task of that ARN or id."""
        wanted = name.rsplit("/", 1)[-1]
        return next((task for task in self._tasks.values() if task.id == wanted), None)

    def warn(self, task: Task, box: Container, warning: str) -> None:
        """Say in the listing and in a container's log what the local cloud itself says of it."""
        task.warnings.append(warning)
        with self._log_path(task, box).open("a") as log:
            log.write(f"local cloud: {warning}\n")

    def listing(self) -> list[dict[str, Any]]:
        """Every task as `DescribeTasks` has it, never stale, its process ids, logs and warnings."""
        return [
            {
                **self._shape(task),
                "pids": [box.process.pid for box in task.containers if box.process is not None],
                "logs": {
                    box.definition["name"]: str(self._log_path(task, box))
                    for box in task.containers
                },
                "warnings": task.warnings,
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
        given = {name: call.params[name] for name in _given_back() if name in call.params}
        definition = await self._definition(shape["taskDefinition"])
        service = self._services.get(key)
        created = call.action == "CreateService" or service is None
        if created or service is None:
            first = Deployment(definition, now)
            # moto says EC2 wherever no launch type was given
            on_instances = call.params.get("launchType") == "EC2" or not first.awsvpc
            service = self._services[key] = Service(
                arn=shape["serviceArn"],
                name=shape["serviceName"],
                cluster=key[0],
                launch_type="EC2" if on_instances else "FARGATE",
                desired=0,
                load_balancers=[],
                given={},
                deployments=[first],
                history=[first],
            )
        service.given.update(given)
        if service.by_code_deploy:
            service.history.clear()
        service.load_balancers = shape.get("loadBalancers", [])
        if service.desired != shape["desiredCount"]:
            service.steady, service.not_before, service.failed_starts = False, 0.0, 0
        service.desired = shape["desiredCount"]
        connect = call.params.get("serviceConnectConfiguration", service.primary.service_connect)
        if created:
            service.primary.service_connect = connect
            service.primary.endpoints = self._cloud.connect.endpoints(connect)
            service.primary.configuration = service.given.get("deploymentConfiguration", {})
            service.primary.groups = await self._serving(service)
        elif _starts_deployment(service, definition, call):
            await self._deploy(service, definition, connect)
        if call.action == "DeleteService":
            service.desired, service.status = 0, "INACTIVE"
            service.primary.stage = None
        self._reconcile(service)
        self._cloud.scaling.count_changed(service.cluster, service.name)
        _amend(shape, self._overlay(service))
        return reply

    async def _serving(self, service: Service) -> dict[str, str]:
        """Where production traffic goes; nothing if a listener rule is gone."""
        try:
            return await self._traffic.serving(service.load_balancers)
        except ClientError:
            return {}

    async def _deploy(
        self,
        service: Service,
        definition: Mapping[str, Any],
        connect: dict[str, Any] | None,
    ) -> None:
        """Start a deployment.

        A blue/green one begins with both target groups in the production rule, or the new tasks
        would not be checked. At a count of 0 there is nothing to wait for.
        """
        serving = await self._serving(service)
        self._supersede(service)
        deployment = Deployment(
            definition,
            self._cloud.clock.now(),
            service_connect=connect,
            configuration=service.given.get("deploymentConfiguration", {}),
            source=service.primary,
            groups=serving,
        )
        for old in service.deployments:
            old.status = "ACTIVE"
        service.deployments.insert(0, deployment)
        service.history.insert(0, deployment)
        deployment.endpoints = self._cloud.connect.endpoints(connect)
        service.steady, service.not_before, service.failed_starts = False, 0.0, 0
        self._emit_deployment(service, "SERVICE_DEPLOYMENT_IN_PROGRESS")
        if deployment.strategy == "ROLLING" or not serving:
            return
        deployment.groups = {
            each["targetGroupArn"]: other_of(each, serving[each["targetGroupArn"]])
            for each in service.load_balancers
            if each["targetGroupArn"] in serving
        }
        deployment.stage = "SCALE_UP"
        await self._traffic.send(
            service.load_balancers, deployment.groups, 0 if service.desired else 100
        )
        if not service.desired:
            self._complete(service)
        else:
            self._cloud.spawn(self._time_out(service, deployment))

    def _supersede(self, service: Service) -> None:
        """End a deployment that is under way, because another one starts.

        Is not documented. A blue/green one that has shifted all traffic is complete then; the tasks
        of one that has not are stopped.
        """
        current = service.primary
        if current.state != "IN_PROGRESS":
            return
        if current.stage == "BAKE_TIME":
            self._complete(service)
            return
        if current.stage is not None:
            service.deployments.remove(current)
        current.end("STOPPED", self._cloud.clock.now(), SUPERSEDED)

    async def _definition(self, name: str) -> dict[str, Any]:
        reply = await self._cloud.control.call(
            "ecs", "describe_task_definition", taskDefinition=name
        )
        definition: dict[str, Any] = reply["taskDefinition"]
        return definition

    async def _describe_services(self, _: Call, reply: dict[str, Any]) -> dict[str, Any]:
        view = self._view()["services"]
        for shape in reply["services"]:
            _amend(shape, view.get(shape["serviceArn"], {}))
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
        task = self.find(call.params["task"])
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
            if task := self.find(name):
                task.protected_until = self._cloud.clock.now() + minutes * 60
                self._reconcile(task.service)
                self._later(task.service, minutes * 60)
        return self._protections(call.params["tasks"])

    def _protections(self, names: list[str]) -> dict[str, Any]:
        now, protected, failures = self._cloud.clock.now(), [], []
        for name in names:
            task = self.find(name)
            if task is None:
                failures.append({"arn": name, "reason": "TASK_NOT_VALID"})
                continue
            shape: dict[str, Any] = {"taskArn": task.arn, "protectionEnabled": False}
            if task.protected_until > now:
                shape["protectionEnabled"] = True
                shape["expirationDate"] = date(task.protected_until)
            protected.append(shape)
        return {"protectedTasks": protected, "failures": failures}

    # The scheduler.

    def _reconcile(self, service: Service) -> None:
        """Start and stop tasks until the service is what it should be.

        Imitates "Deploy Amazon ECS services by replacing tasks": tasks of the newest deployment
        are started up to maximumPercent, those of older ones stopped down to
        minimumHealthyPercent; tasks that fail their health checks are replaced. A deployment that
        the circuit breaker has failed starts no tasks any more.
        """
        self._replace_unhealthy(service)
        if service.primary.stage is not None:
            self._keep_both(service)
            self._settle(service)
            self._remember()
            return
        now, desired = self._cloud.clock.now(), service.desired
        live = [task for task in service.tasks if task.desired_status == "RUNNING"]
        current = [task for task in live if task.deployment is service.primary]
        old = [task for task in live if task.deployment is not service.primary]
        limits = service.given.get("deploymentConfiguration", {})
        most = max(desired, math.floor(desired * limits.get("maximumPercent", 200) / 100))
        least = math.ceil(desired * limits.get("minimumHealthyPercent", 100) / 100)

        missing = min(desired - len(current), most - len(live))
        if missing > 0 and now >= service.not_before and service.primary.rollout != "FAILED":
            for _ in range(missing):
                self._place(service, service.primary)
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

    def _keep_both(self, service: Service) -> None:
        """Keep the new tasks and the old ones of a blue/green deployment at the service's count.

        Imitates "Amazon ECS blue/green service deployments workflow".
        """
        now = self._cloud.clock.now()
        kept = service.deployments[:2]
        tasks: dict[Deployment, list[Task]] = {deployment: [] for deployment in kept}
        for task in service.tasks:
            if task.desired_status == "RUNNING":
                tasks.setdefault(task.deployment, []).append(task)
        for deployment, live in tasks.items():
            wanted = service.desired if deployment in kept else 0
            if now >= service.not_before and deployment.rollout != "FAILED":
                for _ in range(wanted - len(live)):
                    self._place(service, deployment)
            for task in sorted(live, key=self._is_steady)[: max(0, len(live) - wanted)]:
                reason = f"Scaling activity initiated by (deployment {deployment.id})"
                self._begin_stop(task, "ServiceSchedulerInitiated", reason)

    def _replace_unhealthy(self, service: Service) -> None:
        """Stop what fails its health checks once the grace period is over."""
        grace = float(service.given.get("healthCheckGracePeriodSeconds", 0))
        for task in service.tasks:
            if not task.desired_status == task.last_status == "RUNNING":
                continue
            failed = self._failed_checks(task)
            if not failed:
                continue
            left = task.moments["startedAt"] + grace - self._cloud.clock.now()
            if left > 0:
                self._later(service, left)
                continue
            self._say(service, f"(task {task.id}) failed {failed}")
            self._begin_stop(task, "ServiceSchedulerInitiated", f"Task failed {failed}")
            self._failed(task.deployment, service)

    def _failed_checks(self, task: Task) -> str:
        """Which health checks a task fails, in ECS's words; "" if it fails none."""
        if task.health == UNHEALTHY:
            return "container health checks"
        if "unhealthy" in self._target_states(task):
            groups = ", ".join(each["TargetGroupArn"] for each in task.targets)
            return f"ELB health checks in (target-group {groups})"
        return ""

    def _protects(self, task: Task) -> bool:
        """Whether scale-in protection keeps the task; by default a count set by hand wins."""
        withstands = self._cloud.settings["ecs"]["protection_withstands_count"]
        return bool(withstands) and task.protected_until > self._cloud.clock.now()

    def _settle(self, service: Service) -> None:
        """Note a finished deployment and a steady state."""
        if service.primary.stage is not None:
            service.steady = False
            self._begin_shift(service)
            return
        live = [task for task in service.tasks if task.desired_status == "RUNNING"]
        if len(live) != service.desired or any(
            task.deployment is not service.primary or not self._is_steady(task) for task in live
        ):
            service.steady = False
            return
        if service.primary.rollout == "IN_PROGRESS":
            self._complete(service)
        if not service.steady:
            service.steady = True
            self._say(service, "has reached a steady state.")
            self._emit_action(service, "INFO", "SERVICE_STEADY_STATE")

    def _complete(self, service: Service) -> None:
        """The newest deployment is complete, and so is a rollback that led to it."""
        now = self._cloud.clock.now()
        service.primary.rollout = "COMPLETED"
        if service.primary.state == "IN_PROGRESS":
            service.primary.end("SUCCESSFUL", now)
        for each in service.history:
            if each.state == "ROLLBACK_IN_PROGRESS":
                each.end("ROLLBACK_SUCCESSFUL", now, each.said)
        del service.deployments[1:]
        self._emit_deployment(service, "SERVICE_DEPLOYMENT_COMPLETED")

    def _begin_shift(self, service: Service) -> None:
        """Shift traffic as soon as every new task of a blue/green deployment is healthy."""
        deployment = service.primary
        tasks = [
            task
            for task in service.tasks
            if task.deployment is deployment and task.desired_status == "RUNNING"
        ]
        healthy = [
            task
            for task in tasks
            if task.last_status == "RUNNING" and set(self._target_states(task)) <= {"healthy"}
        ]
        if deployment.stage == "SCALE_UP" and len(healthy) == len(tasks) == service.desired:
            deployment.stage = "PRODUCTION_TRAFFIC_SHIFT"
            self._cloud.spawn(self._shift(service, deployment))

    async def _shift(self, service: Service, deployment: Deployment) -> None:
        """Send traffic to the new tasks, step by step; stop the old ones after the bake time."""
        for percent, minutes in deployment.steps():
            if deployment.stage is None or deployment.rollout == "FAILED":
                return
            try:
                await self._traffic.send(service.load_balancers, deployment.groups, percent)
            except ClientError as error:
                await self._roll_back(service, deployment, str(error))
                return
            if percent == 100 and deployment.stage is not None:
                deployment.stage = "BAKE_TIME"
            await self._cloud.clock.sleep(minutes * 60)
        if deployment.stage is not None and deployment.rollout != "FAILED":
            self._complete(service)
            self._reconcile(service)

    async def _time_out(self, service: Service, deployment: Deployment) -> None:
        """Roll back a blue/green deployment whose tasks do not become healthy in time."""
        await self._cloud.clock.sleep(self._cloud.settings["ecs"]["scale_up_timeout_seconds"])
        if deployment.stage == "SCALE_UP" and deployment.rollout == "IN_PROGRESS":
            deployment.rollout = "FAILED"
            await self._roll_back(service, deployment, TIMED_OUT)

    async def _roll_back(self, service: Service, failed: Deployment, reason: str) -> None:
        """Return to the deployment before `failed`, traffic first.

        Imitates "Amazon ECS deployment circuit breaker": the deployment that was there before is
        PRIMARY again. Without one there is nothing to return to.
        """
        failed.rollout = "FAILED"
        source = next((each for each in service.deployments if each.rollout == "COMPLETED"), None)
        if source is None:
            self._stop_failed(service, failed)
            return
        failed.state, failed.said = "ROLLBACK_IN_PROGRESS", reason
        failed.rolled_back_at = self._cloud.clock.now()
        if failed.stage is not None:
            with suppress(ClientError):  # the rule is gone
                await self._traffic.send(service.load_balancers, source.groups, 100)
        if failed is not service.primary:  # another deployment has started meanwhile
            return
        failed.stage = None
        failed.status = "ACTIVE"
        source.status = "PRIMARY"
        source.rollout = "IN_PROGRESS"
        service.deployments = [source, failed]
        service.not_before, service.failed_starts = 0.0, 0
        self._reconcile(service)

    def _stop_failed(self, service: Service, failed: Deployment) -> None:
        """End a failed deployment where nothing is rolled back."""
        now = self._cloud.clock.now()
        if failed.state == "IN_PROGRESS":
            failed.end("STOPPED", now, STOPPED_BY_BREAKER)
        for each in service.history:
            if each.state == "ROLLBACK_IN_PROGRESS":
                each.end("ROLLBACK_FAILED", now, each.said)

    def _is_steady(self, task: Task) -> bool:
        """Whether it runs, and passes the checks of its containers and of its target groups."""
        fine = set(self._target_states(task)) <= {"healthy", "unused"}
        return task.last_status == "RUNNING" and task.passes_checks and fine

    def _target_states(self, task: Task) -> list[str]:
        state = self._cloud.balancer.target_state
        return [state(each["TargetGroupArn"], each["Id"], each["Port"]) for each in task.targets]

    def _place(self, service: Service, deployment: Deployment) -> None:
        """Create one task, or say why it cannot be placed ("Service event messages")."""
        if self._cloud.settings["ecs"]["failure"] == "capacity":
            self._not_placed(
                service,
                "was unable to place a task. Reason: Capacity is unavailable at this time. Please "
                "try again later or in a different availability zone.",
                "RESOURCE:FARGATE",
            )
            return
        instance = self._room_for(service, deployment) if service.launch_type == "EC2" else None
        if service.launch_type == "EC2" and instance is None:
            there = self._cloud.instances.of(service.cluster)
            self._not_placed(
                service,
                "was unable to place a task because no container instance met all of its "
                f"requirements. {PORT_IN_USE if there else NO_INSTANCES}",
                "RESOURCE:PORTS" if there else "",
            )
            return
        self._addresses += 1
        high, low = divmod(self._addresses, 250)
        task = Task(
            arn=_task_arn(service.cluster, secrets.token_hex(16)),
            service=service,
            deployment=deployment,
            ip=f"10.0.{high}.{low + 4}",
            created=self._cloud.clock.now(),
            containers=[],
            instance=instance,
        )
        self._tasks[task.arn] = task
        service.tasks.append(task)
        self._say(service, f"has started 1 tasks: (task {task.id}).")
        task.life = self._cloud.spawn(self._live(task))

    def _not_placed(self, service: Service, message: str, reason: str) -> None:
        self._back_off(service)
        self._say(service, message)
        self._emit_action(service, "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE", reason)

    def _room_for(self, service: Service, deployment: Deployment) -> Instance | None:
        """The emptiest container instance whose ports the deployment's next task can have.

        Imitates "portMappings" of "Task definition parameters": a host port that is not dynamic is
        used once on an instance.
        """
        wanted = set(_fixed_host_ports(deployment.definition))
        tasks: dict[Instance, int] = {}
        for instance in self._cloud.instances.of(service.cluster):
            there = [
                task
                for task in self._tasks.values()
                if task.instance == instance and task.last_status != "STOPPED"
            ]
            used = {port for each in there for port in _fixed_host_ports(each.definition)}
            if not wanted & used:
                tasks[instance] = len(there)
        return min(tasks, key=lambda instance: tasks[instance], default=None)

    def _back_off(self, service: Service) -> None:
        """Wait longer after each failed start ("Amazon ECS service throttle logic")."""
        service.failed_starts += 1
        delay = min(5.0 * 2 ** (service.failed_starts - 1), RETRY_LIMIT)
        service.not_before = self._cloud.clock.now() + delay
        self._later(service, delay)
        if service.failed_starts == IMPAIRED_AFTER:
            self._say(service, "is unable to consistently start tasks successfully.")
            self._emit_action(service, "WARN", "SERVICE_TASK_START_IMPAIRED")
        self._failed(service.primary, service)

    def _failed(self, deployment: Deployment, service: Service) -> None:
        """Count a failed task; the circuit breaker fails a deployment that has too many.

        Imitates "How the Amazon ECS deployment circuit breaker detects failures": half the count,
        but 3 at least and 200 at most, while the deployment is in progress.
        """
        deployment.failed += 1
        threshold = breaker_threshold(service.desired)
        breaker = service.given.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker")
        if not breaker or not breaker["enable"] or deployment.failed < threshold:
            return
        if deployment is service.primary and deployment.rollout == "IN_PROGRESS":
            deployment.rollout = "FAILED"
            self._say(service, f"(deployment {deployment.id}) deployment failed: {NOT_STARTED}")
            self._emit_deployment(service, "SERVICE_DEPLOYMENT_FAILED", "ERROR")
            if breaker["rollback"]:
                self._cloud.spawn(self._roll_back(service, deployment, TRIPPED))
            else:
                self._stop_failed(service, deployment)

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
        mode = task.definition.get("networkMode")
        boxes = task.definition["containerDefinitions"]
        task.containers = [_container(each, mode) for each in boxes]
        groups = [each["targetGroupArn"] for each in task.service.load_balancers]
        if any([await self._cloud.balancer.is_ipv6(arn) for arn in groups]):
            task.ipv6 = f"2001:db8::{task.ip.replace('.', ':')}"
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
            if "healthCheck" in box.definition:
                box.health = Health(box.definition["healthCheck"], self._cloud.clock.now())
                self._cloud.spawn(self._check_for_ever(task, box, box.health))
        try:
            async with asyncio.timeout(BOOT_LIMIT):
                for real in ports.values():
                    while not await _answers(real):
                        if any(box.exit_code is not None for box in task.containers):
                            return
                        await asyncio.sleep(0.02)
        except TimeoutError:
            if failure != "unhealthy":
                await self._warn_of_silence(task)

    async def _warn_of_silence(self, task: Task) -> None:
        """Say in the log and in the listing which containers do not listen where they should."""
        for box in task.containers:
            for number, (port, real) in enumerate(box.ports.items()):
                if await _answers(real):
                    continue
                variables = f"PORT_{port}" if number else f"PORT (and in PORT_{port})"
                warning = (
                    f"container {box.definition['name']}: nothing listens on 127.0.0.1:{real} "
                    f"{BOOT_LIMIT:.0f} s after the start. The local cloud runs all tasks on one "
                    f"machine, so that each gets a port of its own in {variables}: the program "
                    f"must listen there, and not on {port}."
                )
                self.warn(task, box, warning)

    def _log_path(self, task: Task, box: Container) -> Path:
        return self._cloud.state / f"task-{task.id}-{box.definition['name']}.log"

    async def _start_container(
        self, task: Task, box: Container, ports: Mapping[int, int], failure: str | None
    ) -> None:
        definition = box.definition
        command = [*definition.get("entryPoint", []), *definition.get("command", [])]
        if not command:
            raise ValueError(f"no command in container {definition['name']}: images are not run")
        command = _with_this_python(command)
        if failure == "exit":
            command = [sys.executable, "-c", "raise SystemExit(1)"]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_ENDPOINT_URL": self._cloud.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": f"task.{task.service.name}",
            "AWS_SECRET_ACCESS_KEY": "task",
            **self._cloud.connect.environment(task),
            **{f"PORT_{port}": str(real) for port, real in ports.items()},
            **{each["name"]: each["value"] for each in definition.get("environment", [])},
            **await self._secrets(definition),
        }
        own = next((port for port in box.ports), None)
        if own is not None:
            environment["PORT"] = str(ports[own])
            environment["HOST"] = "127.0.0.1"  # nothing of this cloud listens elsewhere
        box.environment = environment
        with self._log_path(task, box).open("ab") as log:  # to append: warnings come in between
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

    async def _check_for_ever(self, task: Task, box: Container, health: Health) -> None:
        """Check a container's health until its task is to stop.

        A check takes real time: the clock is at 1x meanwhile. The scheduler hears of a change, but
        no event tells of it ("Amazon ECS task state change events").
        """
        clock = self._cloud.clock
        while True:
            await clock.sleep(health.interval)
            if task.desired_status != "RUNNING":
                return
            with clock.busy():
                passed = await _passes(box, health)
            before = health.status
            health.record(passed, clock.now())
            if health.status != before:
                self._reconcile(task.service)

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
        """Make the task a target of each of the service's target groups.

        Imitates "Use load balancing to distribute Amazon ECS service traffic": in awsvpc by the
        task's address, else by the container instance's id and the host port.
        """
        host_ports: dict[int, int] = {}
        for box in task.containers:
            host_ports.update(box.host_ports)
        for each in task.service.load_balancers:
            arn = task.deployment.groups.get(each["targetGroupArn"], each["targetGroupArn"])
            identity = task.ipv6 if await self._cloud.balancer.is_ipv6(arn) else task.ip
            if not task.deployment.awsvpc and task.instance is not None:
                identity = task.instance.id
            port = host_ports.get(each["containerPort"], each["containerPort"])
            target = {"TargetGroupArn": arn, "Id": identity, "Port": port}
            task.targets.append(target)
            await self._target_call("register_targets", target)

    async def _target_call(self, method: str, target: Mapping[str, Any]) -> None:
        with suppress(ClientError):  # the target group is gone
            await self._cloud.control.call(
                "elbv2",
                method,
                through_gateway=True,
                TargetGroupArn=target["TargetGroupArn"],
                Targets=[{"Id": target["Id"], "Port": target["Port"]}],
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
            for each in task.targets:
                await self._target_call("deregister_targets", each)
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
        drained = self._cloud.balancer.drained
        return [drained(each["TargetGroupArn"], each["Id"], each["Port"]) for each in task.targets]

    def _moved(self, task: Task, status: str, *moments: str) -> None:
        """Note a new status and what happens at this moment, and send the event."""
        now = self._cloud.clock.now()
        task.last_status = status
        task.moments.update(dict.fromkeys(moments, now))
        task.version += 1
        self._remember()
        detail = {**self._shape(task), "updatedAt": date(now)}
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
            "updatedAt": date(self._cloud.clock.now()),
            "reason": service.primary.reason,
        }
        self._emit("ECS Deployment State Change", detail, service.arn)

    def _emit_action(self, service: Service, kind: str, name: str, reason: str = "") -> None:
        """ "ECS Service Action": without a group, told by its resources."""
        detail = {
            "eventType": kind,
            "eventName": name,
            "clusterArn": cluster_arn(service.cluster),
            "createdAt": date(self._cloud.clock.now()),
            **({"reason": reason} if reason else {}),
        }
        self._emit("ECS Service Action", detail, service.arn)

    def _say(self, service: Service, message: str) -> None:
        """Add a service event message, newest first."""
        service.events.appendleft(
            {
                "id": secrets.token_hex(16),
                "createdAt": date(self._cloud.clock.now()),
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
            **(self._task_sets(service) if service.by_code_deploy else {}),
        }

    def _task_sets(self, service: Service) -> dict[str, Any]:
        """What a service has instead of deployments, and of its PRIMARY task set."""
        draining = [
            task.deployment
            for task in service.tasks
            if task.deployment not in service.deployments and task.last_status != "STOPPED"
        ]
        task_sets = [*service.deployments, *dict.fromkeys(draining)]
        return {
            "deployments": [],
            "taskSets": [self._task_set_shape(service, each) for each in task_sets],
            "taskDefinition": service.serving.task_definition,
            "loadBalancers": _load_balancers_of(service, service.serving),
        }

    def _task_set_shape(self, service: Service, task_set: Deployment) -> dict[str, Any]:
        """`TaskSet` of the ECS API reference."""
        name = f"{service.cluster}/{service.name}/{task_set.id}"
        status = task_set.status if task_set in service.deployments else "DRAINING"
        stable = self.is_stable(service, task_set)
        shape: dict[str, Any] = {
            "id": task_set.id,
            "taskSetArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-set/{name}",
            "serviceArn": service.arn,
            "clusterArn": cluster_arn(service.cluster),
            "status": status,
            "taskDefinition": task_set.task_definition,
            "computedDesiredCount": _computed_count(service, task_set),
            "createdAt": date(task_set.created),
            "updatedAt": date(task_set.created),
            "launchType": service.launch_type,
            "loadBalancers": _load_balancers_of(service, task_set),
            "scale": {"value": 100.0, "unit": "PERCENT"},
            "stabilityStatus": "STEADY_STATE" if stable else "STABILIZING",
            "stabilityStatusAt": date(self._cloud.clock.now()),
            **self._counts([task for task in service.tasks if task.deployment is task_set]),
        }
        if task_set.external_id:
            shape |= {"startedBy": "CODE_DEPLOY", "externalId": task_set.external_id}
        return shape

    def _deployment_shape(self, service: Service, deployment: Deployment) -> dict[str, Any]:
        tasks = [task for task in service.tasks if task.deployment is deployment]
        return {
            "id": deployment.id,
            "status": deployment.status,
            "taskDefinition": deployment.task_definition,
            "desiredCount": service.desired if deployment is service.primary else 0,
            "failedTasks": deployment.failed,
            "createdAt": date(deployment.created),
            "updatedAt": date(deployment.created),
            "launchType": service.launch_type,
            **_rollout(deployment),
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
            "clusterArn": cluster_arn(task.service.cluster),
            "taskDefinitionArn": task.deployment.task_definition,
            "group": f"service:{task.service.name}",
            "startedBy": task.deployment.id,
            "launchType": task.service.launch_type,
            "availabilityZone": f"{REGION}a",
            "cpu": definition.get("cpu", "256"),
            "memory": definition.get("memory", "512"),
            "desiredStatus": task.desired_status,
            "lastStatus": task.last_status,
            "healthStatus": task.health,
            "connectivity": "CONNECTED" if "connectivityAt" in task.moments else "DISCONNECTED",
            "version": task.version,
            "createdAt": date(task.created),
            "attachments": [self._interface(task)] if task.deployment.awsvpc else [],
            "containers": [self._container_shape(task, box) for box in task.containers],
            **{name: date(moment) for name, moment in task.moments.items()},
        }
        if task.instance is None:
            shape["platformVersion"] = "1.4.0"
        else:
            shape["containerInstanceArn"] = task.instance.arn
        if task.stop_code:
            shape |= {"stopCode": task.stop_code, "stoppedReason": task.stopped_reason}
        return shape

    @staticmethod
    def _interface(task: Task) -> dict[str, Any]:
        attached = "connectivityAt" in task.moments
        details = {"networkInterfaceId": f"eni-{task.id[:17]}", "privateIPv4Address": task.ip}
        if task.ipv6:
            details["ipv6Address"] = task.ipv6
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
            "healthStatus": box.health.status if box.health else UNKNOWN,
        }
        if task.deployment.awsvpc:
            ipv6 = {"ipv6Address": task.ipv6} if task.ipv6 else {}
            shape["networkInterfaces"] = [{"privateIpv4Address": task.ip, **ipv6}]
        elif box.process is not None:
            shape["networkBindings"] = [
                {"bindIP": "0.0.0.0", "containerPort": port, "hostPort": host, "protocol": "tcp"}
                for port, host in box.host_ports.items()
            ]
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


@cache
def _given_back() -> frozenset[str]:
    """What `CreateService` and `UpdateService` take and `DescribeServices` gives back."""
    model: Any = get_service_model("ecs")
    taken = {
        name
        for action in ("CreateService", "UpdateService")
        for name in model.operation_model(action).input_shape.members
    }
    return frozenset(taken & set(model.shape_for("Service").members) - KNOWN_ELSEWHERE)


def _amend(shape: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    """Put what is known better into moto's service.

    Without a network of its own a service has no `networkConfiguration`: Terraform's provider
    crashes on moto's empty one.
    """
    shape.update(overlay)
    if not shape.get("networkConfiguration"):
        shape.pop("networkConfiguration", None)


def _rollout(deployment: Deployment) -> dict[str, Any]:
    """What only some deployments have ("Deployment" in the ECS API reference)."""
    shape: dict[str, Any] = {}
    if deployment.strategy == "ROLLING":
        shape["rolloutState"] = deployment.rollout
        shape["rolloutStateReason"] = deployment.reason
    if deployment.service_connect is not None:
        shape["serviceConnectConfiguration"] = deployment.service_connect
    return shape


def _computed_count(service: Service, task_set: Deployment) -> int:
    """`computedDesiredCount`: the scale of a task set is 100 % until it is deleted."""
    return service.desired if task_set in service.deployments else 0


def _load_balancers_of(service: Service, task_set: Deployment) -> list[dict[str, Any]]:
    """The `loadBalancers` of a task set: the service's, with the target group that it uses."""
    return [
        {
            **each,
            "targetGroupArn": task_set.groups.get(each["targetGroupArn"], each["targetGroupArn"]),
        }
        for each in service.load_balancers
    ]


def _starts_deployment(service: Service, definition: Mapping[str, Any], call: Call) -> bool:
    """Whether an `UpdateService` does: a count alone does not."""
    another = definition["taskDefinitionArn"] != service.primary.task_definition
    connect = call.params.get("serviceConnectConfiguration", service.primary.service_connect)
    reconnected = connect != service.primary.service_connect
    return another or reconnected or bool(call.params.get("forceNewDeployment"))


def _container(definition: Mapping[str, Any], network_mode: str | None) -> Container:
    """A container with its ports; a host port that is dynamic is the local one itself."""
    mappings = definition.get("portMappings", [])
    ports = {each["containerPort"]: _free_port() for each in mappings}
    host_ports: dict[int, int] = {}
    for each in mappings if network_mode != "awsvpc" else ():
        port = each["containerPort"]
        host_ports[port] = _fixed_host_port(each, network_mode) or ports[port]
    return Container(definition, ports, host_ports)


def _fixed_host_ports(definition: Mapping[str, Any]) -> list[int]:
    """The ports of the container instance that a task of this definition needs for itself."""
    mode = definition.get("networkMode")
    mappings = [
        each for box in definition["containerDefinitions"] for each in box.get("portMappings", [])
    ]
    return [port for each in mappings if (port := _fixed_host_port(each, mode))]


def _fixed_host_port(mapping: Mapping[str, Any], network_mode: str | None) -> int:
    """A mapping's host port, 0 if it is dynamic or there is none ("portMappings")."""
    if network_mode == "awsvpc":
        return 0
    if network_mode == "host":
        return int(mapping["containerPort"])
    return int(mapping.get("hostPort", 0))


def _essential(box: Container) -> bool:
    return bool(box.definition.get("essential", True))


def _with_this_python(command: Iterable[str]) -> list[str]:
    """A command of an image, whose Python is the one that runs this."""
    return [sys.executable if each in ("python", "python3") else each for each in command]


async def _passes(box: Container, health: Health) -> bool:
    """Run a health check once, with the container's environment: status 0 in time passes."""
    process = await asyncio.create_subprocess_exec(
        *LAUNCH,
        *_with_this_python(health.command),
        cwd=box.definition.get("workingDirectory"),
        env=box.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(health.timeout):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


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


def _as_json(value: Any) -> Any:
    """`value` with its moments as ISO 8601 texts, as events have them."""
    if isinstance(value, Mapping):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _task_arn(cluster: str, name: str) -> str:
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{name.rsplit('/', 1)[-1]}"
