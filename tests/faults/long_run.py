"""Days of a staging service in one process: people, probes, sockets, deployments, deaths, faults.

All is drawn from one seed. What must hold is looked at after every event, and what was found is
counted: a run that asks nothing of the warmkeeper would show it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import warmkeeper as wk
from warmkeeper import Phase

from tests.faults.clients import NAVIGATION, Browser, Call, Client
from tests.faults.faults import FAULTS, LASTING_SECONDS, Kind
from tests.faults.matrix import BEAT, HEAL_SECONDS
from tests.faults.simulation import COUNT, EVENT_SECONDS, Effect, Invocation, Simulation

DAY, HOUR, MINUTE = 86_400.0, 3_600.0, 60.0
BEGIN = 1_800_000_000.0  # a Friday, 08:00 UTC
WORKING_HOURS = range(7, 19)  # UTC
SESSIONS_AN_HOUR, SESSIONS_AN_HOUR_OFF = 1.2, 0.06  # on working days, and else
SCANS_A_DAY, DEPLOYMENTS_A_DAY, COUNTS_A_DAY, DEATHS_A_DAY, FAULTS_A_DAY = 4.0, 1.5, 0.7, 3.0, 16.0
MESSAGES_A_DAY, OTHERS_A_DAY = 2.0, 3.0  # of an environment: its queue, its other services
TAKES_SECONDS = 20.0  # from a worker's start, or from a message, until it has been taken
ALL_DIE = 0.3  # of the deaths: every task at once
SOCKETS = 0.2  # of the sessions end in a socket that stays open
PROBE_SECONDS, BEAT_SECONDS = 300.0, 30.0
RATE_SECONDS = 1800.0  # for so long people come as often as now


@dataclass
class Window:
    """A fault on one site for a while, or on one call."""

    site: str
    fault: Kind
    until: float
    once: bool
    struck: int = 0


@dataclass
class LongRun(Simulation):
    """A service with all that happens to it in so many `days`."""

    seed: int = 1
    days: float = 3.0
    tally: Counter[str] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    troubles: list[tuple[float, float]] = field(default_factory=list)  # not of its own doing
    open_sockets: int = 0
    died: float = 0.0  # when all tasks were ended last, by no doing of the warmkeeper's
    task_seconds: float = 0.0

    @property
    def has_members(self) -> bool:
        return bool(self.beside)

    def __post_init__(self) -> None:
        self.time = BEGIN
        super().__post_init__()
        self.random = random.Random(self.seed)
        self.lateness = lambda: self.random.uniform(60.0, 180.0)
        self.boot = 30.0
        self.running_fault = (self._strikes, self._strike)

    # --- what happens --------------------------------------------------------------------------
    def play(self) -> None:
        """Adopt it, and let the days pass."""
        self.signal(wk.Kind.ADOPT)
        self.start()
        self.timeline.at(self.time + 20.0, self._probe)
        for a_day, event in (
            (SCANS_A_DAY, self._scan),
            (DEPLOYMENTS_A_DAY, self._deploy),
            (COUNTS_A_DAY, self._count),
            (DEATHS_A_DAY, self._die),
            (FAULTS_A_DAY, self._break),
        ):
            self._often(event, lambda rate=a_day: rate)  # type: ignore[misc]
        if self.has_members:
            self.timeline.at(self.time + TAKES_SECONDS, self._take)
            self._often(self._message, lambda: MESSAGES_A_DAY)
            self._often(self._deploy_other, lambda: OTHERS_A_DAY)
            self._often(self._die_other, lambda: OTHERS_A_DAY)
        self._often(self._session, lambda: 24 * self._sessions_an_hour())
        end = BEGIN + self.days * DAY
        self.run(end)
        self.windows.clear()
        self.run(end + HOUR)  # whoever waits is served
        self.timeline.close()
        self._add_up()
        self.judge()

    def _often(self, event: Callable[[], None], a_day: Callable[[], float]) -> None:
        """Let `event` happen so often a day, at random moments, for as long as the run lasts."""

        def again(happens: bool) -> None:
            if self.time < BEGIN + self.days * DAY:
                gap = self.random.expovariate(a_day() / DAY)
                soon = gap < RATE_SECONDS  # else the rate may be another one by then
                self.timeline.at(self.time + min(gap, RATE_SECONDS), lambda: again(soon))
                if happens:
                    event()

        self.timeline.at(self.time, lambda: again(False))

    def _sessions_an_hour(self) -> float:
        day, hour = int(self.time // DAY + 4) % 7, int(self.time % DAY // HOUR)
        works = day < 6 and day != 0 and hour in WORKING_HOURS
        return SESSIONS_AN_HOUR if works else SESSIONS_AN_HOUR_OFF

    def _wait(self, client: Client) -> None:
        """A client's request, and what became of it."""
        self.tally["requests"] += 1
        client.run()
        self.waited.append(client.ended - client.began)
        self.tally["answers that a fault took"] += client.cut
        if client.lost:
            if "balancer" in client.lost and client.ended < self.died + HEAL_SECONDS:
                self.tally["requests that the tasks' end took"] += 1
                return
            self.tally["lost"] += 1
            self.wrong.append(f"{client.ended - BEGIN:.0f} s: a request is lost: {client.lost}")

    def _session(self) -> None:
        """Somebody works for a while, and perhaps leaves a page open that holds a socket."""
        self.tally["sessions"] += 1
        self._wait(Browser(self))
        until = self.time + self.random.uniform(1, 25) * MINUTE
        while self.time < until:
            self.timeline.sleep(self.random.expovariate(1 / 40.0))
            self._wait(Call(self))
        if self.random.random() < SOCKETS:
            self._socket(self.time + self.random.uniform(10, 70) * MINUTE)

    def _socket(self, until: float) -> None:
        """An open socket: no requests, and a beat every half minute."""
        self.tally["sockets"] += 1
        self.open_sockets += 1
        while self.time < until and self.live:
            self.request("a beat", "/health", "POST", authorization="Bearer secret", body=BEAT)
            self.timeline.sleep(BEAT_SECONDS)
        self.open_sockets -= 1

    def _probe(self) -> None:
        """An uptime check, by the control path."""
        self.timeline.at(self.time + PROBE_SECONDS, self._probe)
        self.request("a probe", "/.warmkeeper/status")
        self.tally["probes"] += 1

    def _scan(self) -> None:
        """Somebody's scanner asks for one thing and never comes back."""
        self.request("a scan", "/wp-login.php", **NAVIGATION)
        self.tally["scans"] += 1

    def _deploy(self) -> None:
        """A rolling deployment: new tasks first, and the old ones go when those are healthy."""
        if self.deploying:
            return
        self.tally["deployments"] += 1
        old, self.deploying = self.running(), True
        self._note()
        self._start(self.desired)
        self.timeline.sleep(self.boot + self.random.uniform(1, 90))
        for task in old:
            if task.stopped is None:
                self._stop(task.number, "deployment")
        self.deploying = False
        self.set_desired(self.desired)
        self._note()

    def _count(self) -> None:
        """Somebody sets the count by hand."""
        count = self.random.choice((0, 1, 2, COUNT, 4))
        if self.has_members:  # whose count is 0 is left alone, and would lose all requests
            count = max(count, 1)
        self.tally["counts set by hand"] += 1
        if count == 0:
            self.died = self.time
        self._note()
        self.set_desired(count)

    def _die(self) -> None:
        """A task's process ends, or all of them; ECS starts others."""
        dying = self.running() if self.random.random() < ALL_DIE else self.running()[:1]
        if not dying:
            return
        self.tally["task deaths"] += len(dying)
        alone = len(dying) == len(self.running())
        for task in dying:
            self._stop(task.number, "Essential container in task exited")
            task.stopped = self.time - self.doomed  # it is gone at once
        if alone:
            self.died = self.time
        self._note()
        self.timeline.at(self.time + EVENT_SECONDS, lambda: self.task_event("STOPPED"))
        self.set_desired(self.desired)

    def _message(self) -> None:
        """A message comes, and stays until the worker takes it."""
        self.tally["messages"] += 1
        self.queues["mail"] += 1

    def _take(self) -> None:
        """A worker that runs takes what there is."""
        self.timeline.at(self.time + TAKES_SECONDS, self._take)
        ready = self.time - self.boot
        tasks = self.beside["worker"].tasks
        if any(task.stopped is None and task.created <= ready for task in tasks):
            self.tally["messages taken"] += self.queues["mail"]
            self.queues["mail"] = 0

    def _deploy_other(self) -> None:
        """Another service of the environment is deployed."""
        other = self.beside[self.random.choice([*self.beside])]
        self.tally["deployments of others"] += 1
        other.deploying = True
        self._note()
        self.timeline.sleep(self.boot + self.random.uniform(1, 90))
        other.deploying = False
        self._note()

    def _die_other(self) -> None:
        """The tasks of another service end; ECS starts others."""
        name = self.random.choice([*self.beside])
        other = self.beside[name]
        dying = [task for task in other.tasks if task.stopped is None]
        if not dying:
            return
        self.tally["task deaths of others"] += len(dying)
        for task in dying:
            task.stopped = self.time - self.doomed
        self._note()
        self.timeline.at(self.time + EVENT_SECONDS, lambda: self.task_event("STOPPED", name))
        self.set_desired(other.desired, name)

    def _stop(self, number: int, reason: str) -> None:
        for task in self.running():
            if task.number == number:
                task.stopped, task.reason = self.time, reason

    def _start(self, count: int) -> None:
        """More tasks than the count says, as a deployment has them."""
        desired = self.desired
        self.set_desired(len(self.running()) + count)
        self.desired = desired
        self._keep()

    def _note(self) -> None:
        """From now on the warmkeeper has its two ticks to follow."""
        self.troubles.append((self.time, self.time))

    # --- faults --------------------------------------------------------------------------------
    def _break(self) -> None:
        site = self.random.choice((*SITES, *OTHER_SITES) if self.has_members else SITES)
        fault = self.random.choice([f for f in FAULTS.values() if not f.impossible(site)])
        once = not fault.may_last or self.random.random() < 0.5
        lasts = DAY if once else self.random.uniform(1.0, LASTING_SECONDS)
        self.windows.append(Window(site, fault, self.time + lasts, once))
        self.tally["faults"] += 1

    def _strikes(self, _: Invocation, site: str) -> bool:
        self.windows = [w for w in self.windows if w.until > self.time]
        found = next((w for w in self.windows if w.site == site), None)
        if found is None:
            return False
        if found.once:
            self.windows.remove(found)
        self.striking = found
        self.tally["calls struck"] += 1
        return True

    def _strike(self, _: Simulation, taking: bool, effect: Effect) -> object:
        window, began = self.striking, self.time

        def done() -> object:
            self.troubles.append((began, self.time))  # it may land later than all else
            return effect()

        try:
            return window.fault.strikes(self, taking, done)
        finally:
            ended = self.time if window.once else max(self.time, window.until)
            self.troubles.append((began, ended))

    # --- what must hold ------------------------------------------------------------------------
    def changed(self, call: str) -> None:
        """What the warmkeeper does to AWS."""
        super().changed(call)
        self.tally[call] += 1
        if call == "count 0":
            counts = self.remembered[1]
            if self.desired and self.desired not in counts.values():
                self.wrong.append(f"{counts} is remembered where {self.desired} ran")
            if self.open_sockets and self.live:
                self.wrong.append(f"{self.time - BEGIN:.0f} s: an open socket was cut")
                self.tally["sockets cut"] += 1

    def set_desired(self, count: int, service: str = "app") -> None:
        before = self.tasks
        super().set_desired(count, service)
        gone = [task for task in before if task not in self.tasks]
        self.task_seconds += sum(t.stopped - t.created for t in gone if t.stopped is not None)

    def look(self) -> None:
        phase, counts = self.remembered
        if not self.phases or self.phases[-1][1] != phase:
            self.phases.append((self.time, phase))
        if not counts or 0 in counts.values():
            self.broken["count"] = f"{counts} is remembered"
        self.note_fit(self.fits(phase))

    def _add_up(self) -> None:
        ends = [t.stopped if t.stopped is not None else self.time for t in self.tasks]
        self.task_seconds += sum(e - t.created for e, t in zip(ends, self.tasks, strict=True))

    def stuck(self) -> list[tuple[float, float]]:
        """When AWS was not as the phase says, and the longest time of it that nothing disturbed."""
        found = []
        for begin, until in self.unfit:
            end, free, longest = until if until >= 0 else self.time, begin, 0.0
            for began, ended in sorted(self.troubles):
                if ended >= begin and began <= end:
                    longest = max(longest, began - free)
                    free = max(free, ended)
            found.append((begin, max(longest, end - free)))
        return found

    def judge(self) -> None:
        self.wrong += self.broken.values()
        for begin, lasted in self.stuck():
            if lasted > HEAL_SECONDS:
                self.wrong.append(f"{begin - BEGIN:.0f} s: stuck for {lasted:.0f} s")

    def hours(self, *phases: Phase) -> float:
        """Hours spent in these phases."""
        ends = [when for when, _ in self.phases[1:]] + [self.time]
        spans = zip(self.phases, ends, strict=True)
        return sum(end - when for (when, phase), end in spans if phase in phases) / HOUR


SITES = (
    "GetItem memory", "GetItem settings", "PutItem", "DescribeServices", "UpdateService up",
    "UpdateService to 0", "ListTasks RUNNING", "DescribeTasks", "GetTaskProtection",
    "DescribeTargetHealth", "DescribeRules", "SetRulePriorities up", "SetRulePriorities down",
    "DescribeAlarms", "Publish", "GetParameter",
)  # fmt: skip
OTHER_SITES = (
    "DescribeDBInstances", "StartDBInstance", "StopDBInstance", "DescribeDBClusters",
    "StartDBCluster", "StopDBCluster", "GetQueueUrl", "GetQueueAttributes",
)  # fmt: skip
