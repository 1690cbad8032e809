"""The whole of it in one process: service, load balancer, alarm, schedule, clients, warmkeepers.

The real warmkeeper runs on it, each invocation beside the others, each of its calls taking a
moment. Faults are put on its calls by site: the operation and what it is asked to do.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import warmkeeper as wk
from warmkeeper import Phase

from tests.faults.cloudwatch import IdleAlarm
from tests.faults.timeline import Timeline
from tests.warmkeeper.world import (
    ACCOUNT,
    CONTROL_GROUP,
    ENVIRONMENT,
    IDLE_ALARM,
    SERVICE_RULE,
    WAKE_GROUP,
    WAKE_RULE,
    Beside,
    SimulatedAws,
    World,
)

COUNT = 3  # tasks; another number than the default, so that a count that is lost is seen
LATENCY_SECONDS = 0.02  # of a call to AWS
NODE_SECONDS = 0.8  # until the load balancer's slowest node has heard of a rule change
READ_LAG_SECONDS = 2.0  # for so long a read may show what was before the last change
FUNCTION_SECONDS = 360.0  # the module's time-out: the wake deadline and a minute
EVENT_SECONDS = 1.0  # until EventBridge tells of a task
TICK_SECONDS = 60.0
STOPPED_TASKS_SECONDS = 3600.0  # for so long ECS tells of a task that has stopped
# What RDS does, as a World tells of it, with what comes of it and after how many seconds.
DATABASE_MOVES = {" starting": ("available", 60.0), " stopping": ("stopped", 30.0)}
TICK = {"source": "aws.events", "detail-type": "Scheduled Event"}
Effect = Callable[[], Any]


class Killed(BaseException):
    """An invocation ends in its tracks. Not an Exception: the warmkeeper must not catch it."""


@dataclass(frozen=True)
class Answer:
    """What a client gets; `by` the app, the warmkeeper, its function failing, or the balancer."""

    by: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(eq=False)
class Invocation:
    """One run of the function: when it is cut off, and the sites that it has called."""

    deadline: float
    sites: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)  # in which it called them


@dataclass(frozen=True)
class Shown:
    """What reads show late: counts by service, the wake rule's number, a deployment, databases."""

    counts: tuple[tuple[str, int], ...]
    number: int
    deploying: bool
    databases: tuple[tuple[str, str], ...]


# What happens instead of a call: fault(simulation, taking, effect) answers, raises or kills.
Fault = Callable[["Simulation", bool, Effect], Any]


def site_of(operation: str, arguments: dict[str, Any], service_number: int) -> str:
    """The name of a call site: AWS's name of the operation, and what it is to do."""
    name = "".join(word.capitalize() for word in operation.split("_")).replace("Db", "DB")
    match operation:
        case "get_item":
            return f"{name} {arguments['Key']['id']['S']}"
        case "list_tasks":
            return f"{name} {arguments['desiredStatus']}"
        case "update_service":
            return f"{name} {'up' if arguments['desiredCount'] else 'to 0'}"
        case "set_rule_priorities":
            up = arguments["RulePriorities"][0]["Priority"] < service_number
            return f"{name} {'up' if up else 'down'}"
        case "register_scalable_target":
            suspends = all(arguments["SuspendedState"].values())
            return f"{name} {'suspend' if suspends else 'resume'}"
    return name


@dataclass
class Simulation(World):
    """A World in which everything happens at its time. Set up as a World, then `start`ed."""

    desired: int = COUNT
    boot: float = 30.0
    token: str = "secret"
    lateness: Callable[[], float] = lambda: 70.0
    running_fault: tuple[Callable[[Invocation, str], bool], Fault] | None = None
    unfit: list[tuple[float, float]] = field(default_factory=list)  # from, to
    broken: dict[str, str] = field(default_factory=dict)  # what must hold at every step
    count: int = COUNT  # that should be remembered
    phases: list[tuple[float, str]] = field(default_factory=list)
    past: list[tuple[float, Shown]] = field(default_factory=list)
    served: int = 0
    invocations: Counter[str] = field(default_factory=Counter)
    first: dict[str, Invocation] = field(default_factory=dict)  # by name
    started: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        token = {"HEARTBEAT_TOKEN_PARAMETER": "/staging/beat"}
        self.environment = {**ENVIRONMENT, **self.environment, **token}
        self.timeline = Timeline(self)
        minutes = int(self.environment["IDLE_MINUTES"])
        self.requests = IdleAlarm(minutes, lambda: self.lateness())
        self._keep()

    # --- time ----------------------------------------------------------------------------------
    def start(self) -> None:
        """From now on time passes by events: ticks, the alarm, and what is put on the timeline."""
        self.started = True
        self.timeline.at(self.time + TICK_SECONDS, self._tick)
        self.timeline.at(self.time + 31.0, self._evaluate)

    def _tick(self) -> None:
        self.timeline.at(self.time + TICK_SECONDS, self._tick)
        self.hear("tick", TICK)

    def _evaluate(self) -> None:
        """CloudWatch's minute; an alarm acts when its state changes."""
        self.timeline.at(self.time + 60.0, self._evaluate)
        if self.alarm is None:
            return
        before, self.alarm = self.alarm, self.requests.state(self.time, self.alarm)
        self._keep()
        if self.alarm == "ALARM" != before:
            self.hear("idle alarm", idle_alarm())

    # --- the function --------------------------------------------------------------------------
    def invoke_as(self, name: str, event: Any) -> dict[str, Any]:
        """Invoke the warmkeeper, from inside an event. Raises what it raises, and Killed."""
        invocation = Invocation(self.time + FUNCTION_SECONDS)
        self.invocations[name] += 1
        self.first.setdefault(name, invocation)
        return self.run_function(invocation, event)

    def run_function(self, invocation: Invocation, event: Any) -> dict[str, Any]:
        """By a cold function."""
        return wk.Warmkeeper(TimedAws(self, invocation)).dispatch(event)

    def hear(self, name: str, event: Any) -> None:
        """The same, asynchronously: nobody waits for the answer, or hears of an error."""
        with contextlib.suppress(Exception, Killed):
            self.invoke_as(name, event)

    def called(
        self,
        invocation: Invocation,
        operation: str,
        taking: bool,
        effect: Effect,
        asked: dict[str, Any],
    ) -> Any:
        """A call by this invocation, with the fault that strikes it."""
        site = site_of(operation, asked, self.rules[SERVICE_RULE])
        invocation.sites.append(site)
        item = self.items.get("memory")
        invocation.phases.append(item["phase"]["S"] if item else "")

        if self.running_fault and self.running_fault[0](invocation, site):
            return self.running_fault[1](self, taking, effect)
        return effect()

    # --- ECS -----------------------------------------------------------------------------------
    def changed(self, call: str) -> None:
        super().changed(call)
        for doing, (done, seconds) in DATABASE_MOVES.items():
            if call.endswith(doing) and self.started:
                name = call.partition(" ")[0]
                self.timeline.at(self.time + seconds, lambda n=name, d=done: self.arrive(n, d))  # type: ignore[misc]
        self._keep()

    def arrive(self, database: str, status: str) -> None:
        """A database has come to this status, and RDS tells of it."""
        self.databases[database] = status
        self._keep()
        detail = {"SourceIdentifier": database, "EventID": "RDS-EVENT-0088"}
        self.hear("rds event", {"source": "aws.rds", "detail": detail})

    def set_desired(self, count: int, service: str = "app") -> None:
        of: World | Beside = self.beside.get(service, self)
        before, running = len(of.tasks), [task for task in of.tasks if task.stopped is None]
        super().set_desired(count, service)
        for task in of.tasks[before:] if self.started else ():
            at = task.created + self.boot * 0.8
            self.timeline.at(at, lambda: self.task_event("RUNNING", service))
        for task in running if self.started else ():
            if task.stopped is not None:
                at = self.time + EVENT_SECONDS
                self.timeline.at(at, lambda: self.task_event("STOPPED", service))
        self.forget_stopped(of)
        self._keep()

    def forget_stopped(self, of: World | Beside) -> None:
        """ECS no longer tells of the tasks that stopped long ago."""
        since = self.time - STOPPED_TASKS_SECONDS
        of.tasks = [task for task in of.tasks if task.stopped is None or task.stopped >= since]

    def task_event(self, status: str, service: str = "app") -> None:
        """EventBridge tells that a task is in this status."""
        self.hear("ecs event", ecs_event(status, service))

    # --- what reads showed a moment ago --------------------------------------------------------
    def _keep(self) -> None:
        now = self.shown()
        if not self.past or self.past[-1][1] != now:
            self.past.append((self.time, now))

    def shown(self) -> Shown:
        others = [(name, each.desired) for name, each in self.beside.items()]
        return Shown(
            (("app", self.desired), *others),
            self.rules[WAKE_RULE],
            self.deploying,
            tuple(self.databases.items()),
        )

    def show(self, what: Shown) -> None:
        for service, count in what.counts:
            of: World | Beside = self.beside.get(service, self)
            of.desired = count
        self.rules[WAKE_RULE], self.deploying = what.number, what.deploying
        self.databases = dict(what.databases)

    def ago(self, seconds: float) -> Shown:
        """What the world was so long ago."""
        when = self.time - seconds
        return next((shown for at, shown in reversed(self.past) if at <= when), self.past[0][1])

    @contextmanager
    def as_of(self, seconds: float) -> Iterator[None]:
        """Inside, the world shows what was so long ago."""
        now, shown = self.time, self.shown()
        members: list[World | Beside] = [self, *self.beside.values()]
        lists = [each.tasks for each in members]
        self.show(self.ago(seconds))
        then = self.time = now - seconds
        for each in members:
            each.tasks = [task for task in each.tasks if task.created <= then]
        every = [task for each in members for task in each.tasks]
        undone = [task for task in every if task.stopped is not None and task.stopped > then]
        stopped = [task.stopped for task in undone]
        for task in undone:
            task.stopped = None
        try:
            yield
        finally:
            self.time = now
            self.show(shown)
            for each, tasks in zip(members, lists, strict=True):
                each.tasks = tasks
            for task, when in zip(undone, stopped, strict=True):
                task.stopped = when

    # --- the load balancer ---------------------------------------------------------------------
    def request(
        self, name: str, path: str, method: str = "GET", late: bool = False, **more: Any
    ) -> Answer:
        """One request, from inside an event. A `late` node has not heard of the rule's going down.

        `more` are headers, and the body.
        """
        control = path.startswith("/.warmkeeper") or path == "/health"
        up = late or self.ago(NODE_SECONDS).number < self.rules[SERVICE_RULE]
        if control or up:
            group = CONTROL_GROUP if control else WAKE_GROUP
            event = {"requestContext": {"elb": {"targetGroupArn": group}}, "path": path}
            event |= {"httpMethod": method, "body": more.pop("body", "")}
            event["multiValueHeaders"] = {name: [value] for name, value in more.items()}
            try:
                answer = self.invoke_as(name, event)
            except Killed:
                return Answer("function", 502)
            except Exception:  # which it has promised not to do
                return Answer("balancer", 502)
            headers = {name: values[-1] for name, values in answer["multiValueHeaders"].items()}
            return Answer("warmkeeper", answer["statusCode"], headers, answer["body"])
        if any(self.healthy(task) for task in self.tasks):
            self.requests.count(self.time)
            self.served += 1
            return Answer("app", 200)
        return Answer("balancer", 502 if self.running() else 503)

    # --- what must hold ------------------------------------------------------------------------
    @property
    def live(self) -> bool:
        """Whether each service with a route has a healthy target."""
        routed = [each.tasks for each in self.beside.values() if each.group]
        return all(
            any(task.stopped is None and self.healthy(task) for task in tasks)
            for tasks in [self.tasks, *routed]
        )

    @property
    def all_at_zero(self) -> bool:
        return not self.desired and not any(each.desired for each in self.beside.values())

    @property
    def pinned(self) -> bool:
        """Whether it is awake and stays so."""
        return self.remembered[0] == Phase.AWAKE and self.memory.pinned_until > self.time

    @property
    def remembered(self) -> tuple[str, dict[str, int]]:
        """The phase and the counts in the memory; "" and {} where there is none."""
        if not (item := self.items.get("memory")):
            return "", {}
        return item["phase"]["S"], counts_in(item["body"]["S"])

    def fits(self, phase: str) -> bool:
        """Whether AWS is as the phase says."""
        up, live = self.rule_up, self.live
        waits = any(wk.is_down(status) for status in self.databases.values())
        return {
            "": False,
            Phase.AWAKE: live and not up,
            Phase.DROWSY: live and up,
            Phase.ASLEEP: self.all_at_zero and up and self.suspended,
            Phase.WAKING: (not self.all_at_zero or waits) and up and not live,
        }[phase]

    def look(self) -> None:
        """After every event: since when AWS is not as the phase says, and what never may be."""
        phase, counts = self.remembered
        if not self.phases or self.phases[-1][1] != phase:
            self.phases.append((self.time, phase))
        first, *others = self.settings.members
        expected = {first.name: self.count, **{member.name: 1 for member in others}}
        if counts != expected and "count" not in self.broken:
            self.broken["count"] = f"{counts} is remembered, not {expected}"
        self.note_fit(self.fits(phase))

    def note_fit(self, fits: bool) -> None:
        """Keeps since when, and until when, it does not fit; -1 while it lasts."""
        lasts = bool(self.unfit) and self.unfit[-1][1] < 0
        if fits and lasts:
            self.unfit[-1] = (self.unfit[-1][0], self.time)
        elif not fits and not lasts:
            self.unfit.append((self.time, -1.0))

    def run(self, until: float, over: Callable[[], bool] = lambda: False) -> None:
        """Let everything happen up to then, or until it is `over()`."""

        def each() -> bool:
            self.look()
            return over()

        self.timeline.run(until, each)

    def unfit_since(self, moment: float) -> float:
        """The longest time after `moment` in which AWS was not as the phase says."""
        ends = [(begin, end if end >= 0 else self.time) for begin, end in self.unfit]
        return max((end - max(begin, moment) for begin, end in ends if end > moment), default=0.0)


class TimedAws(SimulatedAws):
    """The adapter of one invocation on the timeline."""

    def __init__(self, simulation: Simulation, invocation: Invocation) -> None:
        super().__init__(simulation)
        self.simulation, self.invocation = simulation, invocation

    def sleep(self, seconds: float) -> None:
        left = self.invocation.deadline - self.world.time
        self.simulation.timeline.sleep(min(seconds, left))
        if seconds >= left:
            raise Killed

    def call(self, operation: str, taking: bool, effect: Effect, asked: dict[str, Any]) -> Any:
        self.sleep(LATENCY_SECONDS)
        return self.simulation.called(self.invocation, operation, taking, effect, asked)


@lru_cache(maxsize=1)
def counts_in(body: str) -> dict[str, int]:
    """The counts in a memory, which is the same in most looks."""
    return dict(json.loads(body)["counts"])


def idle_alarm() -> dict[str, Any]:
    return {"alarmArn": IDLE_ALARM, "alarmData": {"state": {"value": "ALARM"}}}


def ecs_event(status: str, service: str = "app") -> dict[str, Any]:
    """A task of the service has reached this status."""
    detail = {"clusterArn": f"{ACCOUNT}:cluster/estate", "group": f"service:{service}"}
    return {"source": "aws.ecs", "detail": {**detail, "lastStatus": status}, "resources": []}
