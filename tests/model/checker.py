"""Explores how calls of several warmkeepers interleave: the real code, one AWS call at a time.

A process is a program that runs the real `warmkeeper` (or one outside event). It stops at every
call to AWS; the explorer chooses who goes next, what arrives late, who reads an old answer, who
dies and when time passes. A process is a pure function of the answers that it got, so it is kept as
a node of a tree of answers, and the real code runs once for every node, from its beginning.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import warmkeeper as wk
from botocore.exceptions import ClientError, ReadTimeoutError
from warmkeeper import Kind, Phase, Signal

from tests.warmkeeper.world import (
    WAKE_GROUP,
    Beside,
    SimulatedAws,
    SimulatedTask,
    World,
)

READ_LAG_SECONDS = 2.0  # for so long a read may show what was before the last change
LANDING_SECONDS = 2 * wk.TAKE_TIMEOUT_SECONDS  # after its start, a call that takes has landed
READS = {"describe_services", "list_tasks", "describe_target_health", "paginate",
         "describe_scalable_targets", "list_service_deployments"}  # fmt: skip
CHANGES = {"update_service", "set_rule_priorities", "register_scalable_target"}
STALE = {*READS, "arrive"}  # a node of the load balancer may have the rules of before, too
TIMED_OUT = ReadTimeoutError(endpoint_url="https://aws.example")
NOT_ALLOWED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "call")
TICKS = 3  # of the quiet time at the end
LONGEST_WAKE = TICKS + 6  # its deadline is five minutes


Tasks = tuple[tuple[int, float, float | None], ...]  # number, created, stopped
# Of an environment: the count and the tasks of each service but the first, in their order.
Others = tuple[tuple[int, Tasks], ...]


class Old(NamedTuple):
    """What a read may still show, and until when."""

    until: float
    desired: int
    deploying: bool
    rules: tuple[int, ...]
    group: str
    tasks: Tasks
    others: Others


class Snap(NamedTuple):
    """All of the world that changes while processes run."""

    time: float
    desired: int
    deploying: bool
    rules: tuple[int, ...]  # the numbers of the wake rules, by route
    group: str  # to which the service rule forwards
    tasks: Tasks
    others: Others
    memory: tuple[int, str, str] | None  # version, phase, body
    flags: tuple[str, ...] = ()  # what of auto scaling is suspended
    landing: tuple[tuple[float, str, Any], ...] = ()  # by when, operation, what it sets
    old: Old | None = None
    forced: bool = False  # somebody set the count, or a task died
    gives: int = 0  # UpdateService calls of this wake
    allowed: int = 1


class Bounds(NamedTuple):
    """How often each of these may still happen; `switches` None: whoever may go next, may."""

    clock: int = 2
    late: int = 1
    stale: int = 0
    deaths: int = 0
    denied: int = 0  # calls by Terraform's own invocation that its policy does not allow yet
    switches: int | None = None
    slow: bool = False  # whether time may pass in the middle of a look
    jumps: tuple[float, ...] = (5.0,)  # seconds that may pass at once


class Stopped(BaseException):
    """A process has come to its next call. Not an Exception: the warmkeeper must not catch it."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.call = call


@dataclass(frozen=True)
class Call:
    """A call that a process is about to make."""

    operation: str
    taking: bool
    arguments: dict[str, Any]
    key: str

    @property
    def sets(self) -> Any:
        """What it sets: a service's count, the numbers of rules, or what is suspended."""
        if self.operation == "update_service":
            return self.arguments["service"], int(self.arguments["desiredCount"])
        if self.operation == "register_scalable_target":
            return tuple(name for name, set_ in self.arguments["SuspendedState"].items() if set_)
        moves = self.arguments["RulePriorities"]
        return tuple((move["RuleArn"], int(move["Priority"])) for move in moves)

    def __str__(self) -> str:
        what = f" {self.sets}" if self.operation in CHANGES else ""
        return f"{self.operation}{what}{self.key if self.operation == 'outside' else ''}"


@dataclass
class Node:
    """A process after these answers: its next call, or how it ended."""

    parent: Node | None
    answer: Any
    time: float
    program: Program
    number: int
    call: Call | None = None
    outcome: str = ""
    asked_time: bool = False
    timed: dict[str, bool] = field(default_factory=dict)
    children: dict[tuple[str, float], Node] = field(default_factory=dict)


class ReplayAws(SimulatedAws):
    """The adapter: it gives the answers of before, then stops the process at its next call."""

    def __init__(self, world: World, answers: list[tuple[Any, float]]) -> None:
        super().__init__(world)
        self.answers, self.given, self.asked_time = answers, 0, False

    def now(self) -> float:
        self.asked_time = self.asked_time or self.given == len(self.answers)
        return self.answers[self.given - 1][1] if self.given else 0.0

    def sleep(self, seconds: float) -> None:
        pass  # time passes where the explorer lets it

    def client(self, service: str, *, taking: bool = False) -> Any:
        return Quiet() if service == "sns" else ReplayClient(self, taking)

    def step(self, operation: str, taking: bool, arguments: dict[str, Any]) -> Any:
        if self.given == len(self.answers):
            key = "" if operation == "put_item" else json.dumps(arguments, sort_keys=True)
            raise Stopped(Call(operation, taking, arguments, key))
        answer, _ = self.answers[self.given]
        self.given += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


class Quiet:
    """A client whose calls change nothing here: notices."""

    def publish(self, **_: Any) -> None:
        pass


class ReplayClient:
    """A boto3 client over `ReplayAws.step`."""

    class exceptions:  # noqa: N801 (boto3's name)
        from tests.warmkeeper.world import (
            ClusterNotFoundException,
            ConditionalCheckFailedException,
        )

    def __init__(self, aws: ReplayAws, taking: bool) -> None:
        self.aws, self.taking = aws, taking

    def get_paginator(self, _: str) -> ReplayClient:
        return self

    def __getattr__(self, operation: str) -> Any:
        return lambda **arguments: self.aws.step(operation, self.taking, arguments)


@dataclass(frozen=True)
class Program:
    """What a process does; `run` returns how it ended."""

    name: str
    run: Callable[[ReplayAws], str] = field(compare=False)


def heard(name: str, signal: Signal) -> Program:
    """One invocation by this signal."""
    return Program(
        name, lambda aws: str(wk.Warmkeeper(aws).reconciler.reconcile(signal).memory.phase)
    )


def adopts(name: str) -> Program:
    """Terraform's invocation on create."""
    event = {"command": "terraform", "tf": {"action": "create"}}

    def run(aws: ReplayAws) -> str:
        aws.step("arrive", False, {"route": 0})  # no time is known before the first call
        return str(wk.Warmkeeper(aws).dispatch(event)["phase"])

    return Program(name, run)


def client(name: str, hops: int = 2) -> Program:
    """Somebody's request; where it is sent on it comes again, so many times.

    The first client comes by the first route, the second by the last.
    """
    event = {
        "requestContext": {"elb": {"targetGroupArn": WAKE_GROUP}},
        "httpMethod": "GET",
        "path": "/logo.png",
        "multiValueHeaders": {"accept": ["image/png"]},
    }

    def run(aws: ReplayAws) -> str:
        for _ in range(hops):
            where = aws.step("arrive", False, {"route": 0 if name.endswith("1") else -1})
            if where != "warmkeeper":
                return "served" if where == "service" else "raised 503: nobody serves"
            status = wk.Warmkeeper(aws).dispatch(event)["statusCode"]
            if status != 307:
                return f"told {status}"
        return "sent on"

    return Program(name, run)


def outside(what: str) -> Program:
    """Something that happens to the service, at once."""

    def run(aws: ReplayAws) -> str:
        aws.step("outside", False, {"what": what})
        return "done"

    return Program(what, run)


PROGRAMS = {
    program.name: program
    for program in (
        client("client 1"),
        client("client 2"),
        adopts("adopt"),
        heard("tick 1", Signal(Kind.TICK)),
        heard("tick 2", Signal(Kind.TICK)),
        heard("idle alarm", Signal(Kind.IDLE_ALARM)),
        heard("poll", Signal(Kind.POLL)),
        heard("beat", Signal(Kind.BEAT, active=True)),
        heard("wake", Signal(Kind.WAKE)),
        heard("sleep", Signal(Kind.SLEEP)),
        heard("ecs event", Signal(Kind.ECS_EVENT, active=True)),
        outside("deployment begins"),
        outside("deployment ends"),
        outside("count set to 0"),
        outside("count set to 2"),
        outside("task dies"),
        outside("deployment rewrites the rule"),
    )
}


# Of a scene's world, what does not change while processes run.
KEPT = ("boot", "alarm", "doomed", "starts", "target_type", "told_of_tasks", "strangers", "rules",
        "minimum", "environment", "rollout", "forwards")  # fmt: skip


def tasks_of(of: World | Beside) -> Tasks:
    return tuple((task.number, task.created, task.stopped) for task in of.tasks)


def others_of(world: World) -> Others:
    return tuple((each.desired, tasks_of(each)) for each in world.beside.values())


# --- the world, as values ----------------------------------------------------------------------
class ModelWorld(World):
    """A World that is loaded from a Snap for every call."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.wake_rules = [route.wake_rule_arn for route in self.routes]
        self.service_rules = [route.service_rule_arn for route in self.routes]
        members = [member.name for member in wk.parse_members(self.environment["MEMBERS"])]
        self.members = [members.index(route.member) for route in self.routes]  # by route

    def load(self, snap: Snap, old: Old | None = None) -> None:
        seen = old or snap
        self.time, self.desired, self.deploying = snap.time, seen.desired, seen.deploying
        self.rules |= dict(zip(self.wake_rules, seen.rules, strict=True))
        self.forwards_to, self.flags = seen.group, set(snap.flags)
        self.tasks = [SimulatedTask(*task) for task in seen.tasks]
        for each, (desired, tasks) in zip(self.beside.values(), seen.others, strict=True):
            each.desired, each.tasks = desired, [SimulatedTask(*task) for task in tasks]
        every = [*self.tasks, *(task for each in self.beside.values() for task in each.tasks)]
        self._numbers = itertools.count(len(every) + 1)
        self.items.clear()
        if snap.memory:
            version, phase, text = snap.memory
            item = {"id": {"S": "memory"}, "version": {"N": str(version)}}
            self.items["memory"] = {**item, "phase": {"S": phase}, "body": {"S": text}}

    def save(self, snap: Snap) -> Snap:
        rules, memory = tuple(self.rules[arn] for arn in self.wake_rules), stored(self)
        before = (snap.desired, snap.deploying, snap.rules, snap.group, snap.tasks, snap.others)
        shown = (self.desired, self.deploying, rules, self.forwards_to)
        now = (*shown, tasks_of(self), others_of(self))
        old = snap.old if before == now else Old(snap.time + READ_LAG_SECONDS, *before)
        if old and old.until <= self.time:
            old = None
        flags = tuple(sorted(self.flags))
        return Snap(
            self.time, *now, memory, flags, snap.landing, old, snap.forced, snap.gives, snap.allowed
        )

    def serving(self, member: int) -> bool:
        """Whether a target of this member is healthy."""
        tasks = [self.tasks, *(each.tasks for each in self.beside.values())][member]
        return any(task.stopped is None and self.healthy(task) for task in tasks)

    @property
    def open(self) -> bool:
        """Whether each route has a healthy target."""
        return all(map(self.serving, self.members))


def stored(world: World) -> tuple[int, str, str] | None:
    """The memory item as a value: version, phase, body."""
    item = world.items.get("memory")
    return (int(item["version"]["N"]), item["phase"]["S"], item["body"]["S"]) if item else None


@cache
def body(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def remembered(snap: Snap) -> dict[str, Any]:
    return body(snap.memory[2]) if snap.memory else {}


@dataclass(frozen=True)
class Violation:
    """What was broken, and the shortest way there."""

    what: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        return "\n    ".join([self.what, *self.trace])


@dataclass
class Result:
    states: int = 0
    steps: int = 0
    ends: int = 0
    violations: dict[str, Violation] = field(default_factory=dict)


class State(NamedTuple):
    snap: Snap
    processes: tuple[int | str, ...]  # a node's number, or how it ended
    bounds: Bounds
    last: int = -1


class Checker:
    """Explores. `world` gives the beginning; the tree of answers is kept between explorations."""

    def __init__(self, world: World) -> None:
        kept = {name: getattr(world, name) for name in KEPT}
        self.world = ModelWorld(**kept, beside=deepcopy(world.beside))
        rules, memory = tuple(world.rules[arn] for arn in self.world.wake_rules), stored(world)
        flags = tuple(sorted(world.flags))
        shown = (world.desired, world.deploying, rules, world.forwards_to)
        self.begin = Snap(world.time, *shown, tasks_of(world), others_of(world), memory, flags)
        known = remembered(self.begin).get("counts", {})
        members = wk.parse_members(world.environment["MEMBERS"])
        self.counts = {
            member.name: count or known.get(member.name, 1)
            for member, count in zip(members, self.desired(self.begin), strict=True)
        }
        self.nodes: list[Node] = []
        self.roots: dict[str, Node] = {}
        self.answers: dict[tuple[str, str, Snap, bool], tuple[Any, str]] = {}
        self.quiet: dict[tuple[Snap, bool], list[str]] = {}

    # --- processes -----------------------------------------------------------------------------
    def root(self, name: str) -> Node:
        if name not in self.roots:
            self.roots[name] = self.node(None, None, 0.0, PROGRAMS[name])
        return self.roots[name]

    def node(self, parent: Node | None, answer: Any, time: float, program: Program) -> Node:
        node = Node(parent, answer, time, program, len(self.nodes))
        answers: list[tuple[Any, float]] = []
        at: Node | None = node
        while at is not None and at.parent is not None:
            answers.append((at.answer, at.time))
            at = at.parent
        aws = ReplayAws(self.world, answers[::-1])
        try:
            node.outcome = program.run(aws)
        except Stopped as stopped:
            node.call = stopped.call
        except Exception as error:
            node.outcome = f"raised {type(error).__name__}: {error}"
        node.asked_time = aws.asked_time
        self.nodes.append(node)
        return node

    def after(self, node: Node, answer: Any, key: str, time: float) -> Node:
        """The process with one more answer."""
        if key in node.timed and not node.timed[key]:
            time = 0.0
        if child := node.children.get((key, time)):
            return child
        child = self.node(node, answer, time, node.program)
        node.timed[key] = child.asked_time
        node.children[key, time if child.asked_time else 0.0] = child
        return child

    # --- calls ---------------------------------------------------------------------------------
    def desired(self, snap: Snap) -> list[int]:
        """The count of each member."""
        return [snap.desired, *(count for count, _ in snap.others)]

    def serving(self, snap: Snap, route: int) -> bool:
        """Whether a target would serve a request of this route, and goes on doing so."""
        if not self.world.starts:
            return bool(self.world.strangers)
        ready = snap.time - self.world.boot
        tasks = [snap.tasks, *(tasks for _, tasks in snap.others)][self.world.members[route]]
        return bool(self.world.strangers) or any(s is None and c <= ready for _, c, s in tasks)

    def ups(self, snap: Snap | Old) -> list[bool]:
        """Whether the wake rule is up, by route."""
        services = (self.world.rules[arn] for arn in self.world.service_rules)
        return [wake < service for wake, service in zip(snap.rules, services, strict=True)]

    def arrives(self, snap: Snap, seen: Snap | Old, route: int) -> str:
        """Where a request goes by the rules that its node of the load balancer has seen."""
        if self.ups(seen)[route]:
            return "warmkeeper"
        return "service" if self.serving(snap, route) or snap.forced else "nobody"

    def change(self, snap: Snap, operation: str, sets: Any) -> Snap:
        """The world after a call that changes ECS, the rules or auto scaling."""
        self.world.load(snap)
        if operation == "update_service":
            service, count = sets
            self.world.set_desired(count, service)
        elif operation == "set_rule_priorities":
            self.world.rules |= dict(sets)
        else:
            self.world.flags = set(sets)
            self.world.set_desired(max(self.world.desired, self.world.minimum or 0))
        after = self.world.save(snap)
        if operation == "update_service" and sets[1]:
            return after._replace(gives=after.gives + 1)
        return after

    def happens(self, snap: Snap, what: str) -> Snap:
        """The world after an event outside."""
        self.world.load(snap)
        if what == "deployment rewrites the rule":  # both groups have its targets
            groups = self.world.environment["TARGET_GROUP_ARNS"].split(",")
            self.world.forwards_to = groups[-1]
            return self.world.save(snap)
        if what.startswith("deployment"):
            self.world.deploying = what == "deployment begins"
            return self.world.save(snap)
        if what == "task dies":
            for task in self.world.running()[:1]:
                task.stopped = snap.time - self.world.doomed  # it is gone at once
            self.world.set_desired(self.world.desired)
        else:
            self.world.set_desired(int(what.split()[-1]))
        return self.world.save(snap)._replace(forced=True)

    def perform(self, snap: Snap, call: Call, stale: bool = False) -> tuple[Any, str, Snap]:
        """The answer of a call, a key for it, and the world after it."""
        match call.operation:
            case operation if operation in CHANGES:
                return {}, "", self.change(snap, operation, call.sets)
            case "outside":
                return {}, "", self.happens(snap, call.arguments["what"])
            case "arrive":
                seen = (snap.old or snap) if stale else snap
                where = self.arrives(snap, seen, call.arguments["route"])
                return where, where, snap
            case "put_item":
                return self.write(snap, call)
        kept = self.answers.get((call.operation, call.key, snap, stale))
        if kept is None:
            self.world.load(snap, snap.old if stale else None)
            taken = SimulatedAws.client(self.world.aws(), CLIENTS[call.operation])
            answer = getattr(taken.client, call.operation)(**call.arguments)
            kept = answer, repr(answer)
            self.answers[call.operation, call.key, snap, stale] = kept
        return *kept, snap

    def write(self, snap: Snap, call: Call) -> tuple[Any, str, Snap]:
        """PutItem, under its condition if it has one."""
        item = call.arguments["Item"]
        read = call.arguments.get("ExpressionAttributeValues")
        if snap.memory and read and str(snap.memory[0]) != read[":read"]["N"]:
            error = ReplayClient.exceptions.ConditionalCheckFailedException()
            return error, "lost", snap
        version, phase, text = int(item["version"]["N"]), item["phase"]["S"], item["body"]["S"]
        before, after = remembered(snap), body(text)
        snap = snap._replace(memory=(version, phase, text))
        began = (before.get("wake") or {}).get("began")
        if phase == Phase.WAKING and began != after["wake"]["began"]:
            given = min(after["wake"]["given"].values(), default=after["since"])
            fenced = given < after["last_take_at"] + wk.FENCE_SECONDS
            snap = snap._replace(gives=0, allowed=(2 if fenced else 1) * len(self.counts))
        return {}, "won", snap

    # --- exploring -----------------------------------------------------------------------------
    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        snap, processes, bounds, last = state
        live = [i for i, p in enumerate(processes) if isinstance(p, int)]
        for i in live:
            switches = bounds.switches
            if switches is not None and last in live and last != i:
                if switches == 0:
                    continue
                switches -= 1
            number = processes[i]
            assert isinstance(number, int)
            node = self.nodes[number]
            call, left = node.call, bounds._replace(switches=switches)
            assert call is not None
            name = node.program.name

            def moved(after: Node, snap: Snap, bounds: Bounds, i: int = i) -> State:
                while after.call and after.call.operation in UNCHANGED:
                    answer, key, _ = self.perform(snap, after.call)
                    after = self.after(after, answer, key, snap.time)
                there = after.number if after.call else after.outcome
                return State(snap, (*processes[:i], there, *processes[i + 1 :]), bounds, i)

            answer, key, then = self.perform(snap, call)
            went = self.after(node, answer, key, snap.time)
            ended = "" if went.call else f" ({went.outcome})"
            yield (
                f"{name}: {call}{' ' + key if call.operation == 'put_item' else ''}{ended}",
                moved(went, then, left),
            )
            if call.taking and bounds.late:
                due = (node.time + LANDING_SECONDS, call.operation, call.sets)
                then = snap._replace(landing=(*snap.landing, due))
                went = self.after(node, TIMED_OUT, "timed out", snap.time)
                less = left._replace(late=bounds.late - 1)
                yield f"{name}: {call} is not answered and on its way", moved(went, then, less)
            if bounds.denied and name == "adopt" and call.operation != "arrive":
                went = self.after(node, NOT_ALLOWED, "not allowed", snap.time)
                less = left._replace(denied=bounds.denied - 1)
                yield f"{name}: {call} is not allowed yet", moved(went, snap, less)
            old = snap.old if bounds.stale and call.operation in STALE else None
            if old and snap.time < old.until:
                answer, key, _ = self.perform(snap, call, stale=True)
                went = self.after(node, answer, key, snap.time)
                less = left._replace(stale=bounds.stale - 1)
                yield f"{name}: {call}, an old answer", moved(went, snap, less)
            if bounds.deaths and call.operation not in ("arrive", "outside"):
                less = left._replace(deaths=bounds.deaths - 1)
                died = (*processes[:i], "died", *processes[i + 1 :])
                yield f"{name}: dies before {call}", State(snap, died, less, i)
        for n, (_, operation, sets) in enumerate(snap.landing):
            rest = snap._replace(landing=snap.landing[:n] + snap.landing[n + 1 :])
            landed = self.change(rest, operation, sets)
            yield f"{operation} {sets} lands", state._replace(snap=landed)
        if bounds.clock and live and (bounds.slow or not self.reading(state)):
            for seconds in bounds.jumps:
                if (later := self.later(state, seconds)) is not None:
                    yield f"{seconds} s pass", later

    def reading(self, state: State) -> bool:
        """Whether somebody is in the middle of a look."""
        nodes = [self.nodes[n] for n in state.processes if isinstance(n, int)]
        return any(n.parent and n.call and n.call.operation in READS for n in nodes)

    def later(self, state: State, seconds: float) -> State | None:
        """Time passes, unless something that is on its way would have landed by then."""
        snap, until = state.snap, state.snap.time + seconds
        if any(until > due for due, _, _ in snap.landing):
            return None
        for number in state.processes:
            node = self.nodes[number] if isinstance(number, int) else None
            taking = node and node.call and node.call.taking
            if node and taking and until > node.time + LANDING_SECONDS:
                return None
        old = snap.old if snap.old and snap.old.until > until else None
        bounds = state.bounds._replace(clock=state.bounds.clock - 1)
        return state._replace(snap=snap._replace(time=until, old=old), bounds=bounds)

    def broken(self, state: State) -> str:
        """The promise that this state breaks, or ""."""
        snap = state.snap
        memory = remembered(snap)
        if not memory:  # nothing is adopted yet, and so nothing may be done
            up = any(self.ups(snap))
            return "a rule is up before anything is remembered" if up else ""
        if any(isinstance(p, str) and p.startswith("raised") for p in state.processes):
            return f"a process {next(p for p in state.processes if str(p).startswith('raised'))}"
        if 0 in memory["counts"].values() or not (memory["counts"] or self.world.strangers):
            return "a remembered count is lost, or 0"
        if self.world.strangers and any(self.ups(snap)):
            return "the rule is up, and a target that is nobody we know serves"
        if snap.gives > snap.allowed and not snap.forced:
            return f"{snap.gives} UpdateService in one wake, {snap.allowed} allowed"
        asleep = snap.desired == 0 and not self.world.strangers
        for (member, count), now in zip(self.counts.items(), self.desired(snap), strict=True):
            lost = now == 0 and not self.world.strangers and memory["counts"].get(member) != count
            if lost and not snap.forced:
                return f"the count is 0 and {memory['counts']} remembered, not {self.counts}"
        late = wk.NOT_READY.code in memory["open_problems"]
        for route, up in enumerate(self.ups(snap)):
            if not (up or snap.forced or late or self.serving(snap, route)):
                return "a rule is down and no target serves"
        if asleep and self.world.minimum and not snap.forced and not snap.flags:
            return "the count is 0 and auto scaling goes on"
        return ""

    def explore(self, names: tuple[str, ...], bounds: Bounds, stop: bool = False) -> Result:
        """Every order of these processes' calls, within the bounds; the shortest come first."""
        result = Result()
        first = State(self.begin, tuple(self.root(name).number for name in names), bounds)
        seen: dict[State, tuple[State, str] | None] = {first: None}
        queue = deque([first])
        while queue:
            state = queue.popleft()
            result.states += 1
            ended = all(isinstance(p, str) for p in state.processes)
            if ended:
                result.ends += 1
                unserved = any(
                    n.startswith("client") and p not in ("served", "died")
                    for n, p in zip(names, state.processes, strict=True)
                )
                for what in self.settle(state.snap, unserved):
                    self.found(result, what, seen, state)
            for label, then in self.successors(state):
                result.steps += 1
                if then in seen:
                    continue
                seen[then] = (state, label)
                if what := self.broken(then):
                    self.found(result, what, seen, then)
                    continue
                queue.append(then)
            if stop and result.violations:
                break
        return result

    def found(
        self, result: Result, what: str, seen: dict[State, tuple[State, str] | None], state: State
    ) -> None:
        if what in result.violations:
            return
        labels: list[str] = []
        at = seen[state]
        while at is not None:
            labels.append(at[1])
            at = seen[at[0]]
        result.violations[what] = Violation(what, tuple(labels[::-1]))

    # --- the quiet time after all that ---------------------------------------------------------
    def settle(self, snap: Snap, unserved: bool) -> list[str]:
        """What is wrong once everything has come to rest; who was not served polls on."""
        key = snap._replace(old=None), unserved
        if key not in self.quiet:
            self.quiet[key] = self.settled(snap, unserved)
        return self.quiet[key]

    def settled(self, snap: Snap, unserved: bool) -> list[str]:
        for _, operation, sets in snap.landing:
            snap = self.change(snap, operation, sets)
        self.world.load(snap._replace(landing=()))
        world, phases = self.world, [snap.memory[1] if snap.memory else ""]
        world.deploying = False
        world.calls.clear()

        def now(signal: Signal) -> None:
            world.signal(signal.kind)
            if phases[-1] != world.phase():
                phases.append(str(world.phase()))

        waits, wrong, tick = unserved, [], 0
        # a wake that is under way is followed to its end, and whoever waits for it until served
        ticks = TICKS + (2 if world.minimum else 0)  # a tick resumes auto scaling, the next sees it
        while tick < ticks or (waits and world.phase() != Phase.ASLEEP and tick < LONGEST_WAKE):
            for _ in range(20):  # 50 seconds
                world.time += 2.5
                if waits and not world.all_rules_up:
                    serving = world.open
                    waits = waits and not serving
                    if not serving and tick:
                        wrong.append("a client finds the rule down and nobody serving")
                elif waits:
                    now(Signal(Kind.REQUEST))
            world.time += 10
            now(Signal(Kind.TICK))
            tick += 1
            live = world.open
            if not live and not world.all_rules_up and not world.strangers:
                wrong.append(f"after tick {tick} a rule is down and nobody serves")
        memory, live = world.memory, world.open
        closed = wk.window(world.aws().config.schedule, world.time).kind is wk.WindowKind.CLOSED
        if waits and not memory.failure and not closed:
            wrong.append(f"a request is lost: {memory.phase}, desired {world.desired}")
        if world.strangers:
            return [*wrong, *(["the rule is up"] if world.rule_up else [])]
        ups = [world.is_up(route) for route in world.routes]
        desired = [world.desired, *(each.desired for each in world.beside.values())]
        scales = world.minimum is None or (not world.flags and not memory.suspended)
        fits = {
            Phase.AWAKE: live and not world.rule_up and scales,
            Phase.DROWSY: live and world.all_rules_up and world.suspended,
            Phase.ASLEEP: not any(desired) and world.all_rules_up and world.suspended,
            Phase.WAKING: world.all_rules_up and not live,
        }
        if not fits[memory.phase]:
            at_rest = f"at rest {memory.phase}, rules up {ups}, desired {desired}"
            wrong.append(f"{at_rest}, live {live}, suspended {sorted(world.flags)}")
        if len(phases) > 5:
            wrong.append(f"the phases alternate: {', '.join(phases)}")
        for (member, count), found in zip(self.counts.items(), desired, strict=True):
            if not snap.forced and found not in (0, count):
                wrong.append(f"the count of {member} was {count} and is {found}")
        if not memory.counts or 0 in memory.counts.values():
            wrong.append(f"at rest {memory.counts} is remembered")
        return wrong


CLIENTS = {
    "get_item": "dynamodb",
    "describe_services": "ecs",
    "list_tasks": "ecs",
    "describe_tasks": "ecs",
    "get_task_protection": "ecs",
    "describe_target_health": "elbv2",
    "paginate": "elbv2",
    "describe_alarms": "cloudwatch",
    "list_service_deployments": "ecs",
    "describe_scalable_targets": "application-autoscaling",
    "describe_scheduled_actions": "application-autoscaling",
}
# No stop of their own.
UNCHANGED = {
    "describe_alarms",
    "get_task_protection",
    "describe_tasks",
    "describe_scheduled_actions",
}


def total(results: dict[str, Result]) -> Counter[str]:
    """States, steps, ends and violations of many explorations."""
    counts: Counter[str] = Counter()
    for result in results.values():
        counts["states"] += result.states
        counts["steps"] += result.steps
        counts["ends"] += result.ends
        counts["violations"] += len(result.violations)
    return counts
