"""Several services behind one phase: they sleep together, and wake in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import warmkeeper as wk
from botocore.exceptions import ClientError
from warmkeeper import Kind, Phase

from tests.warmkeeper.scenes import (
    AFTER_THE_DEADLINE_SECONDS,
    MEMBERS,
    asleep,
    awake,
    drowsy,
    environment_of,
    follow,
    waking,
)
from tests.warmkeeper.world import SERVICE_GROUP, Beside, SimulatedAws, World

PHASES = [awake, drowsy, asleep, waking]
OWN = ("web", "api", "worker", "mailer")


def whole(phase: Callable[..., World], **members: dict[str, Any]) -> World:
    """An environment in this phase; `members` replaces fields of MEMBERS."""
    named = {name: {**given, **members.get(name, {})} for name, given in MEMBERS.items()}
    return phase(**environment_of(**named))


def counts(world: World) -> dict[str, int]:
    return {"web": world.desired, **{name: each.desired for name, each in world.beside.items()}}


def ready(world: World) -> World:
    """Everything that has been started becomes ready, and that is seen."""
    world.time += world.boot + 1
    world.signal(Kind.POLL)
    return world


def started(world: World) -> list[str]:
    """The members in the order in which their counts were set."""
    calls = [call.split() for _, call in world.calls]
    return ["web" if name == "count" else name for name, count in calls if count == "1"]


# --- asleep ---------------------------------------------------------------------------------------
def test_all_fall_asleep_together_but_what_others_need_too() -> None:
    world = whole(asleep)
    assert counts(world) == {**dict.fromkeys(OWN, 0), "auth": 1}
    assert world.memory.counts == dict.fromkeys(OWN, 1)
    assert world.memory.taking == ()


def test_the_tasks_of_all_are_described_in_one_call() -> None:
    world = whole(awake)
    world.reads.clear()
    seen = world.signal(Kind.TICK)
    assert {task.member for task in seen.tasks} == {*OWN, "auth"}
    assert world.reads.count("list_tasks") == len({*OWN, "auth"})
    assert world.reads.count("describe_tasks") == 1


def test_while_a_member_waits_for_others_those_who_wait_look_as_often_as_at_the_end() -> None:
    world = whole(waking)
    assert world.memory.to_start
    world.reads.clear()
    follow(world, 4)
    assert world.reads.count("describe_services") == 8


@pytest.mark.parametrize("busy", ["web", "api", "worker"])
def test_a_deployment_of_any_keeps_all_awake(busy: str) -> None:
    world = whole(awake)
    world.alarm = "ALARM"
    if busy == "web":
        world.deploying = True
    else:
        world.beside[busy].deploying = True
    world.minutes(3)
    assert world.phase() is Phase.AWAKE


def test_a_deployment_of_a_shared_service_keeps_nobody_awake() -> None:
    world = whole(drowsy)
    world.beside["auth"].deploying = True
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP


def partly_taken(lost: int = 2) -> World:
    """Asleep; so many of the calls that were to take the counts have failed."""
    world = whole(drowsy)

    def fail() -> None:
        world.failing.add("update_service")

    def succeed() -> None:
        world.failing.discard("update_service")

    for hook in [fail] * lost + [succeed]:
        world.between("update_service", hook)
    world.minutes(1)
    world.failing.clear()
    assert world.phase() is Phase.ASLEEP
    return world


def test_what_could_not_be_taken_is_taken_by_the_next_tick_and_nothing_else() -> None:
    world = partly_taken()
    left = world.memory.taking
    assert len(left) == 2
    assert {name for name, count in counts(world).items() if count} == {*left, "auth"}
    world.calls.clear()
    world.minutes(1)
    assert counts(world) == {**dict.fromkeys(OWN, 0), "auth": 1}
    assert len(world.calls) == 2
    assert world.memory.taking == ()


def test_a_request_in_a_partial_sleep_gives_all_and_waits_until_the_service_is_open() -> None:
    world = partly_taken()
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    assert world.rule_up
    follow(world, 40)
    assert world.phase() is Phase.AWAKE
    assert counts(world) == dict.fromkeys(MEMBERS, 1)


def test_a_count_that_is_raised_from_outside_wakes_the_others() -> None:
    world = whole(asleep)
    world.minutes(1)
    world.set_desired(1, "worker")
    world.minutes(1)
    assert world.phase() is Phase.WAKING
    follow(world, 40)
    assert world.phase() is Phase.AWAKE
    assert counts(world) == dict.fromkeys(MEMBERS, 1)


# --- waking ---------------------------------------------------------------------------------------
def test_a_request_starts_at_once_what_waits_for_nothing() -> None:
    world = whole(waking)
    assert started(world) == ["api", "worker"]
    assert world.memory.to_start == ("web", "mailer")


def test_the_others_start_when_what_they_wait_for_is_ready_and_the_rules_go_down_last() -> None:
    world = whole(waking)
    ready(world)
    assert world.phase() is Phase.WAKING
    assert world.rule_up
    assert world.memory.to_start == ()
    assert started(world)[-2:] == ["web", "mailer"]
    assert world.did("count 1") == 1
    ready(world)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


def test_nothing_is_made_ready_for_taking_where_nothing_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that takes, and threads, would cost the first waiting client their CPU time."""
    world = whole(asleep)
    made: list[object] = []
    monkeypatch.setattr(SimulatedAws, "side_by_side", lambda _, calls: made.append(calls))
    world.signal(Kind.REQUEST)
    follow(world, 60)
    assert world.phase() is Phase.AWAKE
    assert made == []


def refuse() -> None:
    raise ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateService")


def test_a_count_that_is_refused_holds_up_no_other_member_and_is_raised_and_repeated() -> None:
    world = whole(asleep)
    at_once = ["api", "worker"]  # the others wait for one of them, or for a shared one
    world.between("update_service", refuse)
    with pytest.raises(ClientError):
        world.signal(Kind.REQUEST)
    assert [counts(world)[name] for name in at_once] == [0, 1]
    follow(world, 11)
    assert [counts(world)[name] for name in at_once] == [1, 1]


def test_without_a_table_a_count_that_is_refused_holds_up_no_other_member() -> None:
    world = whole(asleep)
    world.gone.add("table")
    before = sum(counts(world).values())
    world.between("update_service", refuse)
    with pytest.raises(ClientError):
        world.signal(Kind.REQUEST)
    assert world.did("count 1") == 0  # that of web, which is the first
    assert sum(counts(world).values()) == before + 3


def test_each_member_is_given_once() -> None:
    world = whole(waking)
    follow(world, 60)
    assert world.phase() is Phase.AWAKE
    assert sorted(started(world)) == sorted(OWN)


def test_the_rules_stay_up_until_a_required_member_without_routes_is_ready() -> None:
    world = whole(asleep)
    world.beside["worker"].starts = False
    world.signal(Kind.REQUEST)
    follow(world, 60)
    assert world.phase() is Phase.WAKING
    assert world.rule_up
    world.beside["worker"].starts = True
    follow(world, 2)
    assert world.phase() is Phase.AWAKE


def test_nobody_waits_for_a_member_that_is_not_required() -> None:
    world = whole(asleep)
    world.beside["mailer"].starts = False
    world.signal(Kind.REQUEST)
    follow(world, 60)
    assert world.phase() is Phase.AWAKE


def test_a_container_with_a_health_check_is_ready_when_it_is_healthy() -> None:
    world = whole(asleep, web={"start_after": ["worker"]})
    world.beside["worker"].checks = True
    world.signal(Kind.REQUEST)
    world.time += world.boot * 0.75  # it runs, and is not yet healthy
    world.signal(Kind.POLL)
    assert "web" in world.memory.to_start
    world.time += world.boot * 0.5
    world.signal(Kind.POLL)
    assert "web" not in world.memory.to_start


def test_a_member_that_nobody_waits_for_starts_also_after_the_wake() -> None:
    world = whole(asleep)
    world.beside["auth"].starts = False
    world.beside["auth"].tasks.clear()
    world.signal(Kind.REQUEST)
    follow(world, 30)
    world.environment["WAKE_DEADLINE_SECONDS"] = "60"
    world.minutes(2)  # the shared member is required, and not ready: the rest is let through
    assert world.phase() is Phase.AWAKE
    assert counts(world)["mailer"] == 0
    world.beside["auth"].starts = True
    world.set_desired(0, "auth")
    world.set_desired(1, "auth")
    ready(world)
    world.minutes(1)
    assert counts(world)["mailer"] == 1


# --- the deadline ---------------------------------------------------------------------------------
def test_the_deadline_of_a_member_runs_from_its_own_start() -> None:
    world = whole(waking)
    world.time += AFTER_THE_DEADLINE_SECONDS - 10  # the API took long
    world.signal(Kind.POLL)
    world.starts = False
    world.time += 60
    world.signal(Kind.TICK)
    assert world.phase() is Phase.WAKING
    world.time += AFTER_THE_DEADLINE_SECONDS
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE  # the API serves
    assert not world.rule_up
    (told,) = [notice for notice in world.notices if wk.NOT_READY.text in notice]
    assert ": web, route web/this: " in told


def test_a_wake_of_which_nothing_serves_is_given_up_by_all() -> None:
    world = whole(asleep)
    world.beside["api"].starts = False
    world.signal(Kind.REQUEST)
    world.time += AFTER_THE_DEADLINE_SECONDS
    world.minutes(4)
    assert world.phase() is Phase.ASLEEP
    assert counts(world) == {**dict.fromkeys(OWN, 0), "auth": 1}
    assert world.memory.failures == 1
    assert any(wk.WAKE_FAILED.text in notice for notice in world.notices)


def test_a_notice_names_the_member_with_ecs_s_reason() -> None:
    world = whole(asleep)
    world.beside["api"].starts = False
    world.signal(Kind.REQUEST)
    (task,) = [task for task in world.beside["api"].tasks if task.stopped is None]
    task.stopped, task.reason = world.time + 5, "CannotPullContainerError: no such image"
    world.time += AFTER_THE_DEADLINE_SECONDS
    world.minutes(4)
    assert "api: CannotPullContainerError: no such image" in world.memory.failure
    assert wk.failure_class(world.memory.failure) == "image-not-pulled"


# --- awake and drowsy -----------------------------------------------------------------------------
def die(world: World, name: str) -> None:
    tasks = world.tasks if name == "web" else world.beside[name].tasks
    for task in tasks:
        task.stopped = task.stopped or world.time - 60


@pytest.mark.parametrize("name", ["web", "api", "worker"])
def test_one_member_that_dies_alone_is_ecs_s_to_restart(name: str) -> None:
    world = whole(awake)
    die(world, name)
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


def test_the_environment_is_dead_if_no_target_is_healthy() -> None:
    world = whole(awake)
    die(world, "web")
    die(world, "api")
    world.minutes(1)
    assert world.phase() is Phase.WAKING
    assert world.rule_up


def test_a_member_set_to_0_by_somebody_is_left_alone_until_the_next_wake() -> None:
    world = whole(awake)
    world.set_desired(0, "worker")
    world.minutes(5)
    assert world.phase() is Phase.AWAKE
    assert counts(world)["worker"] == 0
    world.alarm = "ALARM"
    world.minutes(3)
    assert world.phase() is Phase.ASLEEP
    world.signal(Kind.REQUEST)
    follow(world, 60)
    assert counts(world)["worker"] == 1


def test_a_drowsy_environment_of_which_a_part_is_not_ready_is_woken_first() -> None:
    world = whole(drowsy)
    die(world, "api")
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    assert world.rule_up


def deploy(world: World, name: str) -> None:
    """A deployment that is over after a minute."""
    of: World | Beside = world.beside.get(name, world)
    of.deploying = True
    world.minutes(1)
    of.deploying = False


def set_by_hand(world: World, name: str) -> None:
    world.set_desired(2, "app" if name == "web" else name)


@pytest.mark.parametrize("name", ["web", "api", "worker"])
@pytest.mark.parametrize("happens", [die, deploy, set_by_hand])
@pytest.mark.parametrize("phase", PHASES)
def test_whatever_happens_to_a_member_in_any_phase_a_request_ends_at_all_of_them(
    phase: Callable[..., World], happens: Callable[[World, str], None], name: str
) -> None:
    world = whole(phase)
    happens(world, name)
    world.set_desired(world.desired)  # ECS starts what has died
    for service, each in world.beside.items():
        world.set_desired(each.desired, service)
    world.alarm = "OK"
    world.signal(Kind.REQUEST)
    follow(world, 90)
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    assert all(counts(world).values())
    assert world.memory.to_start == ()


# --- a missing service, a destroy, the alarm of traffic that is not seen --------------------------
def test_what_is_there_is_woken_although_a_service_is_missing_and_somebody_is_told() -> None:
    world = whole(asleep)
    world.beside["worker"].exists = False
    world.signal(Kind.REQUEST)
    follow(world, 60)
    assert counts(world)["web"] == 1
    assert [wk.SERVICE_MISSING.text in notice for notice in world.notices].count(True) == 1
    world.time += AFTER_THE_DEADLINE_SECONDS
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    world.alarm = "ALARM"
    world.minutes(20)
    assert world.phase() is Phase.AWAKE


def test_nobody_waits_for_a_service_that_is_missing() -> None:
    world = whole(asleep, web={"start_after": ["worker"]})
    world.beside["worker"].exists = False
    world.signal(Kind.REQUEST)
    follow(world, 40)
    assert world.phase() is Phase.AWAKE


def test_the_count_of_a_service_that_is_missing_stays_remembered() -> None:
    world = whole(asleep)
    world.beside["worker"].exists = False
    world.signal(Kind.REQUEST)
    assert world.memory.counts == dict.fromkeys(OWN, 1)


def test_the_auto_scaling_of_a_shared_service_is_none_of_our_business() -> None:
    resources = whole(asleep).aws().resource_ids()
    assert [*resources.values()] == [*OWN]


@pytest.mark.parametrize("phase", PHASES)
def test_a_destroy_gives_all_at_once_and_leaves_all_served(phase: Callable[..., World]) -> None:
    world = whole(phase)
    world.calls.clear()
    world.invoke({"command": "terraform", "tf": {"action": "delete"}})
    assert counts(world) == dict.fromkeys(MEMBERS, 1)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    if phase is asleep:
        at = [when for when, call in world.calls if call.endswith(" 1")]
        assert len({*at[: len(OWN)]}) == 1


def test_the_status_of_a_command_names_each_member() -> None:
    world = whole(waking)
    world.beside["mailer"].starts = False
    world.minutes(1)
    world.beside["worker"].starts = False
    told = world.invoke({"command": "status"})["members"]
    assert told == {
        "web": {"count": 1, "ready": False, "waits_for": []},
        "api": {"count": 1, "ready": True, "waits_for": []},
        "worker": {"count": 1, "ready": False, "waits_for": []},
        "mailer": {"count": 1, "ready": False, "waits_for": []},
        "auth": {"count": 1, "ready": True, "waits_for": []},
    }


def test_the_record_of_a_wake_says_when_each_member_was_started() -> None:
    world = whole(waking)
    follow(world, 60)
    (record,) = world.memory.wakes
    assert record["members"]["api"] == record["members"]["worker"] == 0
    assert 10 <= record["members"]["web"] <= 12


def test_the_status_of_a_plain_call_names_no_members() -> None:
    assert "members" not in waking().invoke({"command": "status"})


def test_with_members_that_have_no_route_a_ready_one_is_as_good_as_a_live_target() -> None:
    changes = environment_of(worker={"service": "app"})
    changes["environment"] |= {"ROUTES": '{"rules": "", "routes": {}}', "TARGET_GROUP_ARNS": ""}
    world = asleep(**changes, described={"loadBalancers": []})
    world.invoke({"command": "wake"})
    assert world.phase() is Phase.WAKING
    ready(world)
    assert world.phase() is Phase.AWAKE
    assert SERVICE_GROUP not in world.environment["TARGET_GROUP_ARNS"]
