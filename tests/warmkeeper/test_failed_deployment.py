"""A deployment that failed starts no task any more: whoever is told is told to deploy, not to wake.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Kind, Phase

from tests.warmkeeper.scenes import AT_ZERO, ask, play
from tests.warmkeeper.world import World

TRIPPED = "ECS deployment circuit breaker: tasks failed to start."
DEPLOY = "aws ecs update-service --cluster estate --service app --force-new-deployment"


def breaks(world: World) -> None:
    """The circuit breaker trips, and ECS starts no task."""
    world.rollout = {"rolloutState": "FAILED", "rolloutStateReason": TRIPPED}
    world.tasks.clear()


def failed() -> World:
    """A wake of ours that failed because its deployment has."""
    world = play(World(desired=0), (*AT_ZERO, ask))
    breaks(world)
    world.time += 301
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP
    return world


def not_live() -> World:
    """Somebody else's tasks that do not become live because their deployment has failed."""
    world = World(boot=9000)
    world.signal(Kind.ADOPT)
    breaks(world)
    world.minutes(10)
    assert world.phase() is Phase.WAKING
    return world


def mail(world: World) -> str:
    """The last notice as it is mailed."""
    return str(json.loads(world.published[-1]["Message"])["email"])


def findings(world: World) -> dict[str, str]:
    """What doctor finds, with its remedy."""
    found: list[dict[str, Any]] = world.invoke({"command": "doctor"})["findings"]
    return {each["finding"]: each["remedy"] for each in found}


@pytest.mark.parametrize("phase", [failed, not_live])
def test_a_notice_of_a_deployment_that_failed_says_so_and_recommends_another(
    phase: Callable[[], World],
) -> None:
    world = phase()
    told = mail(world)
    assert TRIPPED in world.notices[-1]
    assert "starts no task" in world.notices[-1]
    assert DEPLOY in told
    assert "send the command wake" not in told
    assert "only the command wake" not in told


@pytest.mark.parametrize("phase", [failed, not_live])
def test_the_doctor_says_of_a_deployment_that_failed_what_starts_tasks_again(
    phase: Callable[[], World],
) -> None:
    found = findings(phase())
    assert DEPLOY in next(remedy for finding, remedy in found.items() if TRIPPED in finding)
    assert not any("send wake" in remedy for remedy in found.values())


def test_the_doctor_finds_a_deployment_that_failed_before_anybody_comes() -> None:
    world = World(desired=0)
    world.signal(Kind.ADOPT)
    breaks(world)
    ((finding, remedy),) = findings(world).items()
    assert TRIPPED in finding
    assert DEPLOY in remedy


def test_a_task_s_own_reason_is_told_before_the_deployment_s() -> None:
    world = play(World(desired=0, starts=False), (*AT_ZERO, ask))
    world.tasks[-1].stopped = world.time
    world.tasks[-1].reason = "CannotPullContainerError: app:1: not found"
    world.rollout = {"rolloutState": "FAILED", "rolloutStateReason": TRIPPED}
    world.time += 301
    world.signal(Kind.TICK)
    assert wk.failure_class(world.memory.failure) == "image-not-pulled"
    assert "app:1: not found" in world.notices[-1]
    assert TRIPPED in world.notices[-1]


def test_a_deployment_that_failed_is_no_lack_of_capacity() -> None:
    assert wk.failure_class(failed().memory.failure) == "not-ready"


def test_a_deployment_that_fails_after_somebody_was_told_is_told_once_more() -> None:
    world = World(boot=9000)
    world.signal(Kind.ADOPT)
    world.minutes(10)
    before = len(world.notices)
    breaks(world)
    world.minutes(10)
    assert len(world.notices) == before + 1
    assert DEPLOY in mail(world)


def test_a_new_deployment_is_woken_at_the_next_request_and_nothing_is_left_of_the_failure() -> None:
    world = failed()
    world.deployment = "ecs-svc/2"
    world.rollout = {"rolloutState": "COMPLETED"}
    world.time += 10
    world.signal(Kind.REQUEST)
    world.time += 20
    world.signal(Kind.POLL)
    assert world.phase() is Phase.AWAKE
    assert findings(world) == {}


def test_each_service_whose_deployment_failed_has_its_own_command() -> None:
    services = [
        wk.Service(name, 1, (wk.Deployment("id", primary=True, created=0.0, failure=failure),))
        for name, failure in (("app", TRIPPED), ("web", ""), ("jobs", TRIPPED))
    ]
    halted = wk.halted(services)
    assert ("app" in halted, "web" in halted, "jobs" in halted) == (True, False, True)
    remedy = wk.redeploy(services, "estate")
    assert remedy.count("--force-new-deployment") == 2
    assert "--service web" not in remedy
