"""Services that cannot start, and what a day of trying costs while somebody always asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.simulation import COUNT, Simulation
from tests.warmkeeper.scenes import ASLEEP, play, wait
from tests.warmkeeper.world import SimulatedTask

DAY, HOUR, ASKS_SECONDS = 86_400.0, 3_600.0, 30.0
REPLACED_SECONDS = 10.0  # ECS starts another task so long after one stopped; it paces itself later
IMAGE_SECONDS = 20.0  # from a task's creation to the pull that fails
EXIT_SECONDS = 30.0  # to the end of a container that exits as it starts
GRACE_SECONDS = 120.0  # to the end of one that never passes a health check
CRASH_SECONDS = 60.0  # to the end of one that does pass, and serves for half a minute


@dataclass(frozen=True)
class Failure:
    """A way not to start: how long each task lives, ECS's words, whether it is healthy before."""

    lives: float
    reason: str
    healthy: bool = False


FAILURES = {
    "image cannot be pulled": Failure(IMAGE_SECONDS, "CannotPullContainerError: not found"),
    "no capacity": Failure(0.0, ""),
    "container exits": Failure(EXIT_SECONDS, "Essential container in task exited"),
    "never healthy": Failure(GRACE_SECONDS, "Task failed ELB health checks"),
    "crash loop": Failure(CRASH_SECONDS, "Essential container in task exited", healthy=True),
}


@dataclass
class Failing(Simulation):
    """A service whose tasks fail in one way, for good. Every second of a task is counted."""

    failure: Failure = FAILURES["no capacity"]
    wakes: list[float] = field(default_factory=list)
    task_seconds: float = 0.0
    answers: list[int] = field(default_factory=list)

    def set_desired(self, count: int, service: str = "app") -> None:
        if not self.started:
            super().set_desired(count, service)
            return
        self.desired = count
        for task in self.running()[count:]:
            self.stop(task, "Scaling activity")
        self.start_tasks()
        self._keep()

    def start_tasks(self) -> None:
        """As many as the count says, where there is a place for them."""
        while self.failure.lives and len(self.running()) < self.desired:
            task = SimulatedTask(next(self._numbers), self.time)
            self.tasks.append(task)
            self.timeline.at(self.time + self.failure.lives, self.fails(task))

    def fails(self, task: SimulatedTask) -> Callable[[], None]:
        def event() -> None:
            if task.stopped is None:
                self.stop(task, self.failure.reason)
                task.stopped = self.time - self.doomed  # it is gone at once
                self.timeline.at(self.time + REPLACED_SECONDS, self.start_tasks)
                self.task_event("STOPPED")

        return event

    def stop(self, task: SimulatedTask, reason: str) -> None:
        task.stopped, task.reason = self.time, reason
        self.task_seconds += self.time - task.created
        self.forget_stopped(self)

    def healthy(self, task: SimulatedTask) -> bool:
        return (self.failure.healthy or not self.started) and super().healthy(task)

    def changed(self, call: str) -> None:
        super().changed(call)
        if call == f"count {COUNT}":
            self.wakes.append(self.time)

    def ask(self) -> None:
        """Somebody wants the app, day and night; what gets its answer at once wakes as well."""
        self.timeline.at(self.time + ASKS_SECONDS, self.ask)
        self.answers.append(self.request("a request", "/logo.png", accept="image/png").status)

    def play(self, seconds: float = DAY) -> None:
        """Asleep at first; then so long of asking."""
        play(self, (*ASLEEP, wait(60)))
        self.start()
        began = self.time
        self.timeline.at(began, self.ask)
        self.run(began + seconds)
        self.timeline.close()
        for task in self.running():
            self.stop(task, "it is over")
