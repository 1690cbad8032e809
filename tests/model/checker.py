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
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import warmkeeper as wk
from botocore.exceptions import ClientError, ReadTimeoutError
from warmkeeper import Kind, Phase, Signal

from tests.warmkeeper.world import (
    ENVIRONMENT,
    SERVICE_RULE,
    WAKE_GROUP,
    WAKE_RULE,
    SimulatedAws,
    SimulatedTask,
    World,
)

READ_LAG_SECONDS = 2.0  # for so long a read may show what was before the last change
LANDING_SECONDS = 2 * wk.TAKE_TIMEOUT_SECONDS  # after its start, a call that takes has landed
READS = {"describe_services", "list_tasks", "describe_target_health", "paginate"}
STALE = {*READS, "arrive"}  # a node of the load balancer may have the rules of before, too
SETTINGS = {**ENVIRONMENT, "HOLD_SECONDS": "0"}  # a held client is one that comes again
TIMED_OUT = ReadTimeoutError(endpoint_url="https://aws.example")
NOT_ALLOWED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "call")
TICKS = 3  # of the quiet time at the end
LONGEST_WAKE = TICKS + 6  # its deadline is five minutes


class Old(NamedTuple):
    """What a read may still show, and until when."""

    until: float
    desired: int
    deploying: bool
    rule: int
    tasks: tuple[tuple[int, float, float | None], ...]


class Snap(NamedTuple):
    """All of the world that changes while processes run."""

    time: float
    desired: int
    deploying: bool
    rule: int
    tasks: tuple[tuple[int, float, float | None], ...]  # number, created, stopped
    memory: tuple[int, str, str] | None  # version, phase, body
    landing: tuple[tuple[float, str, int], ...] = ()  # by when, operation, argument
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
    def count(self) -> int:
        """What it sets: the count, or 1 and 0 for the rule's number up and down."""
        if self.operation == "update_service":
            return int(self.arguments["desiredCount"])
        return int(self.arguments["RulePriorities"][0]["Priority"])

    def __str__(self) -> str:
        sets = {"update_service", "set_rule_priorities"}
        what = f" {self.count}" if self.operation in sets else ""
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
        aws.step("arrive", False, {})  # no time is known before the first call
        return str(wk.Warmkeeper(aws).dispatch(event)["phase"])

    return Program(name, run)


def client(name: str, hops: int = 2) -> Program:
    """Somebody's request; where it is sent on it comes again, so many times."""
    event = {
        "requestContext": {"elb": {"targetGroupArn": WAKE_GROUP}},
        "httpMethod": "GET",
        "path": "/logo.png",
        "multiValueHeaders": {"accept": ["image/png"]},
    }

    def run(aws: ReplayAws) -> str:
        for _ in range(hops):
            where = aws.step("arrive", False, {})
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
    )
}


# Of a scene's world, what does not change while processes run.
KEPT = ("boot", "alarm", "doomed", "starts", "target_type", "told_of_tasks", "strangers", "rules")


# --- the world, as values ----------------------------------------------------------------------
class ModelWorld(World):
    """A World that is loaded from a Snap for every call."""

    def load(self, snap: Snap, old: Old | None = None) -> None:
        seen = old or snap
        self.time, self.desired, self.deploying = snap.time, seen.desired, seen.deploying
        self.rules[WAKE_RULE] = seen.rule
        self.tasks = [SimulatedTask(*task) for task in seen.tasks]
        self._numbers = itertools.count(len(self.tasks) + 1)
        self.items.clear()
        if snap.memory:
            version, phase, text = snap.memory
            item = {"id": {"S": "memory"}, "version": {"N": str(version)}}
            self.items["memory"] = {**item, "phase": {"S": phase}, "body": {"S": text}}

    def save(self, snap: Snap) -> Snap:
        tasks = tuple((task.number, task.created, task.stopped) for task in self.tasks)
        rule, memory = self.rules[WAKE_RULE], stored(self)
        before = (snap.desired, snap.deploying, snap.rule, snap.tasks)
        now = (self.desired, self.deploying, rule, tasks)
        old = snap.old if before == now else Old(snap.time + READ_LAG_SECONDS, *before)
        if old and old.until <= self.time:
            old = None
        return Snap(
            self.time, *now, memory, snap.landing, old, snap.forced, snap.gives, snap.allowed
        )


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
        self.world = ModelWorld(environment=dict(SETTINGS), **kept)
        tasks = tuple((task.number, task.created, task.stopped) for task in world.tasks)
        rule, memory = world.rules[WAKE_RULE], stored(world)
        self.begin = Snap(world.time, world.desired, world.deploying, rule, tasks, memory)
        self.count = world.desired or remembered(self.begin).get("counts", {}).get("app", 1)
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
    def serving(self, snap: Snap) -> bool:
        """Whether a target would serve a request, and goes on doing so."""
        if not self.world.starts:
            return bool(self.world.strangers)
        ready = snap.time - self.world.boot
        return bool(self.world.strangers) or any(s is None and c <= ready for _, c, s in snap.tasks)

    def up(self, snap: Snap) -> bool:
        return snap.rule < self.world.rules[SERVICE_RULE]

    def arrives(self, snap: Snap, seen: Snap | Old) -> str:
        """Where a request goes by the rules that its node of the load balancer has seen."""
        if seen.rule < self.world.rules[SERVICE_RULE]:
            return "warmkeeper"
        return "service" if self.serving(snap) or snap.forced else "nobody"

    def change(self, snap: Snap, operation: str, argument: int) -> Snap:
        """The world after a call that changes ECS or the rule."""
        self.world.load(snap)
        if operation == "update_service":
            self.world.set_desired(argument)
        else:
            self.world.rules[WAKE_RULE] = argument
        after = self.world.save(snap)
        if operation == "update_service" and argument:
            return after._replace(gives=after.gives + 1)
        return after

    def happens(self, snap: Snap, what: str) -> Snap:
        """The world after an event outside."""
        self.world.load(snap)
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
            case "update_service" | "set_rule_priorities":
                return {}, "", self.change(snap, call.operation, call.count)
            case "outside":
                return {}, "", self.happens(snap, call.arguments["what"])
            case "arrive":
                where = self.arrives(snap, (snap.old or snap) if stale else snap)
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
            given = after["wake"]["scaled_up_at"]
            fenced = given < after["last_take_at"] + wk.FENCE_SECONDS
            snap = snap._replace(gives=0, allowed=2 if fenced else 1)
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
                due = (node.time + LANDING_SECONDS, call.operation, call.count)
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
        for n, (_, operation, argument) in enumerate(snap.landing):
            rest = snap._replace(landing=snap.landing[:n] + snap.landing[n + 1 :])
            landed = self.change(rest, operation, argument)
            yield f"{operation} {argument} lands", state._replace(snap=landed)
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
            return "the rule is up before anything is remembered" if self.up(snap) else ""
        if any(isinstance(p, str) and p.startswith("raised") for p in state.processes):
            return f"a process {next(p for p in state.processes if str(p).startswith('raised'))}"
        if 0 in memory["counts"].values() or not (memory["counts"] or self.world.strangers):
            return "a remembered count is lost, or 0"
        if self.world.strangers and self.up(snap):
            return "the rule is up, and a target that is nobody we know serves"
        if snap.gives > snap.allowed and not snap.forced:
            return f"{snap.gives} UpdateService in one wake, {snap.allowed} allowed"
        asleep = snap.desired == 0 and not self.world.strangers
        if not snap.forced and asleep and memory["counts"].get("app") != self.count:
            return f"the count is 0 and {memory['counts']} remembered, not {self.count}"
        if not snap.forced and not self.up(snap) and not self.serving(snap):
            return "the rule is down and no target serves"
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
        for _, operation, argument in snap.landing:
            snap = self.change(snap, operation, argument)
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
        while tick < TICKS or (waits and world.phase() != Phase.ASLEEP and tick < LONGEST_WAKE):
            for _ in range(20):  # 50 seconds
                world.time += 2.5
                if waits and not world.rule_up:
                    serving = any(world.healthy(task) for task in world.running())
                    waits = waits and not serving
                    if not serving and tick:
                        wrong.append("a client finds the rule down and nobody serving")
                elif waits:
                    now(Signal(Kind.REQUEST))
            world.time += 10
            now(Signal(Kind.TICK))
            tick += 1
            live = any(world.healthy(task) for task in world.running())
            if not live and not world.rule_up and not world.strangers:
                wrong.append(f"after tick {tick} the rule is down and nobody serves")
        memory, live = world.memory, any(world.healthy(task) for task in world.running())
        if waits and not memory.failure:
            wrong.append(f"a request is lost: {memory.phase}, desired {world.desired}")
        if world.strangers:
            return [*wrong, *(["the rule is up"] if world.rule_up else [])]
        fits = {
            Phase.AWAKE: live and not world.rule_up,
            Phase.DROWSY: live and world.rule_up,
            Phase.ASLEEP: world.desired == 0 and world.rule_up,
            Phase.WAKING: world.rule_up and not live,
        }
        if not fits[memory.phase]:
            rule = "up" if world.rule_up else "down"
            wrong.append(
                f"at rest {memory.phase}, rule {rule}, desired {world.desired}, live {live}"
            )
        if len(phases) > 5:
            wrong.append(f"the phases alternate: {', '.join(phases)}")
        if not snap.forced and world.desired not in (0, self.count):
            wrong.append(f"the count was {self.count} and is {world.desired}")
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
}
UNCHANGED = {"describe_alarms", "get_task_protection", "describe_tasks"}  # no stop of their own


def total(results: dict[str, Result]) -> Counter[str]:
    """States, steps, ends and violations of many explorations."""
    counts: Counter[str] = Counter()
    for result in results.values():
        counts["states"] += result.states
        counts["steps"] += result.steps
        counts["ends"] += result.ends
        counts["violations"] += len(result.violations)
    return counts
