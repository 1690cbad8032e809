"""The four phases: every transition, and what goes wrong on the way, on an in-memory AWS."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Kind, Phase

from tests.warmkeeper.recorded import metrics
from tests.warmkeeper.scenes import (
    ALARM_PATH,
    asleep,
    awake,
    drowsy,
    fail,
    fail_again,
    failed,
    follow,
    given_up,
    not_taken,
    waking,
)
from tests.warmkeeper.world import (
    BALANCING,
    CONTROL_RULE,
    ENVIRONMENT,
    FOREIGN_RULE,
    SERVICE_GROUP,
    SERVICE_RULE,
    WAKE_RULE,
    World,
    moment,
    route,
    routes,
)

BYSTANDERS = (Kind.TICK, Kind.POLL, Kind.ECS_EVENT, Kind.STATUS, Kind.UNPIN, Kind.RECONCILE)


def stop(world: World, reason: str) -> None:
    """The wake's task stops for this reason, and the wake fails."""
    world.tasks[-1].stopped, world.tasks[-1].reason = world.time, reason
    fail(world)


# --- adoption ----------------------------------------------------------------------------------


def test_a_running_service_is_adopted_awake_and_nothing_is_touched() -> None:
    world = World()
    assert world.signal(Kind.ADOPT).memory.phase is Phase.AWAKE
    assert world.calls == []
    assert world.memory.counts == {"this": 1}


def test_a_service_at_0_is_adopted_asleep_with_the_wake_rule_up() -> None:
    world = World(desired=0)
    assert world.signal(Kind.ADOPT).memory.phase is Phase.ASLEEP
    assert world.rule_up
    assert world.did("count 0") == 0


def test_a_service_that_is_starting_is_adopted_waking() -> None:
    world = World(boot=9000)
    assert world.signal(Kind.ADOPT).memory.phase is Phase.WAKING
    assert world.rule_up


def test_a_service_that_is_not_there_yet_is_fine_and_is_adopted_once_it_is() -> None:
    world = World(exists=False)
    assert world.signal(Kind.ADOPT).memory.version == 0
    assert world.items == {}
    assert world.notices == []
    world.exists = True
    world.minutes(1)
    assert world.phase() is Phase.AWAKE


@pytest.mark.parametrize("rule_up", [True, False])
@pytest.mark.parametrize("desired", [0, 2])
def test_a_lost_memory_is_made_anew_from_what_aws_shows(rule_up: bool, desired: int) -> None:
    world = World(desired=desired)
    world.rules[WAKE_RULE] = 12 if rule_up else 30_010
    world.signal(Kind.TICK)
    assert world.phase() is (Phase.AWAKE if desired else Phase.ASLEEP)
    assert world.rule_up is (desired == 0 or rule_up), "the count may be on its way to 0"
    world.time += wk.FENCE_SECONDS
    world.signal(Kind.TICK)
    assert world.rule_up is (desired == 0)


def test_a_request_that_finds_the_memory_lost_wakes_all_the_same() -> None:
    world = asleep()
    world.items.clear()
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    assert world.did("count 1") == 1


@pytest.mark.parametrize("rule_up", [True, False])
def test_a_pin_that_finds_the_memory_lost_is_remembered(rule_up: bool) -> None:
    world = World()
    world.rules[WAKE_RULE] = 12 if rule_up else 30_010
    until = world.time + 3600
    world.signal(Kind.PIN, pinned_until=until)
    assert world.memory.pinned_until == until


def test_a_look_at_the_status_writes_nothing_where_nothing_is_remembered() -> None:
    world = World()
    assert world.signal(Kind.POLL).memory.version == 0
    assert world.items == {}


# --- awake to drowsy, and the guards -----------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.TICK, Kind.IDLE_ALARM])
def test_an_idle_service_becomes_drowsy_rule_up_count_as_it_is(kind: Kind) -> None:
    world = awake(desired=2)
    world.alarm = "ALARM"
    world.signal(kind)
    assert world.phase() is Phase.DROWSY
    assert [what for _, what in world.calls] == ["rule up"]
    assert world.rules[WAKE_RULE] == 12


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA", None])
def test_the_alarm_is_read_and_not_believed_from_its_event(state: str | None) -> None:
    world = awake(alarm=state)
    world.signal(Kind.IDLE_ALARM)
    assert world.phase() is Phase.AWAKE


Break = Callable[[World], None]


def is_pinned(world: World) -> None:
    world.signal(Kind.PIN, pinned_until=world.time + 9000)


def is_deploying(world: World) -> None:
    world.deploying = True


def is_protected(world: World) -> None:
    world.protected = True


def has_beaten(world: World) -> None:
    world.signal(Kind.BEAT, active=True)


def has_no_alarm(world: World) -> None:
    world.alarm = None


def has_no_wake_rule(world: World) -> None:
    del world.rules[WAKE_RULE]


def has_no_service_rule(world: World) -> None:
    del world.rules[SERVICE_RULE]


def was_deployed(world: World) -> None:
    world.deployed, world.deployment = world.time - 400, "ecs-svc/2"


def is_served_by_another_group(world: World) -> None:
    world.forwards_to = f"{BALANCING}:targetgroup/other/t9"


def has_no_target_group(world: World) -> None:
    world.gone.add("target group")


def was_woken_often(world: World) -> None:
    wakes = tuple(
        {"cause": "request", "seconds": 20.0, "times": {"live": world.time - ago}}
        for ago in (3000, 2000, 1000, 600)
    )
    world.aws().write_memory(dataclasses.replace(world.memory, wakes=wakes))


RULES_GONE = [has_no_wake_rule, has_no_service_rule]
DETACHED = [is_served_by_another_group, has_no_target_group]
UNWIRED = [has_no_alarm, *DETACHED]
GUARDS = [is_pinned, is_deploying, is_protected, has_beaten, *UNWIRED, *RULES_GONE]
GUARDS += [was_deployed, was_woken_often]


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("kind", [Kind.TICK, Kind.IDLE_ALARM])
def test_a_guard_keeps_an_idle_service_awake(guard: Break, kind: Kind) -> None:
    world = awake()
    world.alarm = "ALARM"
    guard(world)
    world.signal(kind)
    assert world.phase() is Phase.AWAKE
    assert world.calls == []


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_is_asked_again_right_before_the_count_goes_to_0(guard: Break) -> None:
    world = drowsy()
    guard(world)
    world.time += 60
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    assert world.did("count 0") == 0


@pytest.mark.parametrize("kept_up", [True, False])
def test_a_service_that_is_woken_again_and_again_stays_awake_and_somebody_is_told(
    kept_up: bool,
) -> None:
    """Each wake counts once, whether the requests went on after it or not."""
    world = asleep()
    began = world.time
    while "Woken 4 times within an hour" not in "".join(world.notices):
        world.signal(Kind.REQUEST)
        follow(world, 12)
        world.alarm = "OK" if kept_up else "ALARM"
        world.minutes(1)
        world.alarm = "ALARM"
        if len(world.memory.wakes) < 4:
            world.minutes(11)
            assert world.phase() is Phase.ASLEEP
    assert world.time < began + 3600
    world.minutes(15)
    assert world.phase() is Phase.AWAKE
    world.minutes(60)
    assert world.phase() is Phase.ASLEEP


def test_with_browser_confirmation_a_request_alone_wakes_nothing() -> None:
    world = asleep()
    world.environment["WAKE_CONFIRMATION"] = "browser"
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.ASLEEP
    world.signal(Kind.WAKE)
    assert world.phase() is Phase.WAKING


def test_with_browser_confirmation_a_request_still_calls_back_a_drowsy_service() -> None:
    world = drowsy()
    world.environment["WAKE_CONFIRMATION"] = "browser"
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.AWAKE


def test_an_alarm_that_leaves_alarm_while_drowsy_ends_it() -> None:
    world = drowsy()
    world.alarm = "OK"
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


def test_a_service_that_just_woke_is_left_awake_for_min_awake_minutes() -> None:
    world = awake(alarm="ALARM")
    world.time -= 1
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    world.time += 1
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY


def was_called_back_by_a_request(world: World) -> None:
    world.signal(Kind.REQUEST)


def was_called_back_by_a_beat(world: World) -> None:
    world.signal(Kind.BEAT, active=True)


def was_called_back_by_a_command(world: World) -> None:
    world.signal(Kind.WAKE)


def was_called_back_as_the_alarm_left_alarm(world: World) -> None:
    world.alarm = "OK"
    world.signal(Kind.TICK)


def was_called_back_by_another_guard(world: World) -> None:
    world.protected = True
    world.signal(Kind.TICK)


CALLED = [was_called_back_by_a_request, was_called_back_by_a_beat, was_called_back_by_a_command]
GUARDED = [was_called_back_as_the_alarm_left_alarm, was_called_back_by_another_guard]


@pytest.mark.parametrize("call_back", CALLED)
def test_min_awake_minutes_begin_again_with_somebody_who_came(call_back: Break) -> None:
    world = drowsy()
    call_back(world)
    assert world.memory.min_awake_from == world.time
    world.minutes(7)
    assert world.phase() is Phase.AWAKE
    world.minutes(1)
    assert world.phase() is Phase.DROWSY


@pytest.mark.parametrize("call_back", GUARDED)
def test_min_awake_minutes_do_not_begin_again_where_a_guard_called_back(call_back: Break) -> None:
    world = drowsy()
    ready = world.memory.min_awake_from
    world.time += 10
    call_back(world)
    assert (world.phase(), world.memory.min_awake_from) == (Phase.AWAKE, ready)
    world.alarm, world.protected = "ALARM", False
    world.minutes(1)
    assert world.phase() is Phase.DROWSY


def test_nothing_falls_asleep_within_idle_minutes_of_an_active_beat() -> None:
    world = awake(alarm="ALARM")
    world.signal(Kind.BEAT, active=True)
    world.time += 14
    world.signal(Kind.BEAT, active=True)
    world.time += 5 * 60 - 1
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    world.time += 30
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY


def test_the_command_sleep_does_not_wait_for_alarm_beat_or_min_awake_minutes() -> None:
    world = World()
    world.signal(Kind.ADOPT)
    world.time += 10
    world.signal(Kind.BEAT, active=True)
    world.signal(Kind.SLEEP)
    assert world.phase() is Phase.DROWSY
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP


@pytest.mark.parametrize("guard", [is_pinned, is_deploying, is_protected, *RULES_GONE])
def test_the_command_sleep_does_not_overrule(guard: Break) -> None:
    world = awake()
    guard(world)
    world.signal(Kind.SLEEP)
    assert world.phase() is Phase.AWAKE
    world.minutes(2)
    assert world.desired == 1


def test_the_command_sleep_to_a_drowsy_service_is_remembered() -> None:
    world = drowsy()
    world.signal(Kind.SLEEP)
    world.alarm = "OK"
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP


# --- drowsy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WAKE, Kind.WAKE_ALARM, Kind.PIN])
def test_a_request_in_the_linger_finds_running_tasks(kind: Kind) -> None:
    world = drowsy()
    world.calls.clear()
    world.time += 3
    world.signal(kind)
    assert world.phase() is Phase.AWAKE
    assert [what for _, what in world.calls] == ["rule down"]
    assert world.rules[WAKE_RULE] == 30_010


def test_an_active_beat_in_the_linger_ends_it() -> None:
    world = drowsy()
    world.signal(Kind.BEAT, active=True)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


def test_a_beat_without_activity_counts_for_nothing_in_the_linger() -> None:
    world = drowsy()
    world.signal(Kind.BEAT, active=False)
    assert world.phase() is Phase.DROWSY
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP


def test_a_drowsy_service_lingers_first() -> None:
    world = drowsy()
    world.time += 60 - wk.TICK_JITTER_SECONDS - 0.1
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY
    world.time += 0.1
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP
    assert [what for _, what in world.calls] == ["rule up", "count 0"]
    assert world.memory.counts == {"this": 1}


def test_the_linger_begins_anew_where_the_rule_is_seen_down() -> None:
    world = drowsy()
    world.rules[WAKE_RULE] = 30_010
    world.time += 60
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY
    assert world.rule_up
    assert world.desired == 1
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP


def test_a_rule_that_could_not_be_moved_up_is_moved_at_the_next_tick() -> None:
    world = awake(alarm="ALARM")
    world.failing.add("set_rule_priorities")
    with pytest.raises(Exception, match="Throttling"):
        world.signal(Kind.TICK)
    world.failing.clear()
    world.minutes(1)
    assert world.rule_up
    assert world.desired == 1
    world.minutes(1)
    assert world.desired == 0


def test_a_request_to_a_drowsy_service_whose_tasks_died_wakes_it() -> None:
    world = drowsy()
    world.boot = 9000
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    assert world.rule_up


@pytest.mark.parametrize("kind", [*BYSTANDERS, Kind.SLEEP, Kind.IDLE_ALARM])
def test_the_count_is_never_taken_before_the_linger_is_over(kind: Kind) -> None:
    world = drowsy()
    world.time += 30
    world.signal(kind)
    assert world.desired == 1


# --- asleep ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WAKE, Kind.WAKE_ALARM, Kind.PIN, Kind.RESTORE])
def test_what_may_wake_wakes_with_the_remembered_count(kind: Kind) -> None:
    world = asleep(desired=3)
    world.signal(kind)
    assert world.phase() is Phase.WAKING
    assert [what for _, what in world.calls] == ["count 3"]


def test_without_a_remembered_count_it_wakes_to_awake_count() -> None:
    world = World(desired=0, environment={**ENVIRONMENT, "AWAKE_COUNT": "2"})
    world.signal(Kind.ADOPT)
    world.signal(Kind.REQUEST)
    assert world.desired == 2


@pytest.mark.parametrize("kind", [*BYSTANDERS, Kind.SLEEP, Kind.IDLE_ALARM, Kind.ADOPT])
def test_nothing_else_wakes(kind: Kind) -> None:
    world = asleep()
    for _ in range(5):
        world.time += 60
        world.signal(kind)
    assert world.phase() is Phase.ASLEEP
    assert world.calls == []


@pytest.mark.parametrize("active", [True, False])
def test_a_beat_never_wakes(active: bool) -> None:
    world = asleep()
    world.time += 60
    world.signal(Kind.BEAT, active=active)
    assert world.phase() is Phase.ASLEEP
    assert world.calls == []


def test_a_request_to_a_sleeping_service_looks_at_no_more_than_it_needs() -> None:
    world = asleep()
    world.reads.clear()
    world.signal(Kind.REQUEST)
    before = world.reads[: world.reads.index("update_service")]
    assert before == ["get_item", "describe_services", "put_item"]


def test_a_wake_is_not_told_to_people_before_it_is_over_but_sleep_is() -> None:
    world = drowsy()
    world.minutes(1)
    assert [notice.startswith("goes to sleep: idle") for notice in world.notices] == [True]


# --- waking ------------------------------------------------------------------------------------


def test_a_live_target_ends_a_wake_and_the_cold_start_is_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = waking()
    began = world.time
    capsys.readouterr()
    follow(world, 11)
    memory = world.memory
    assert memory.phase is Phase.AWAKE
    assert not world.rule_up
    assert memory.wake is None
    (past,) = memory.wakes
    assert past["seconds"] == pytest.approx(10, abs=0.6)
    assert {"began", "scaled_up_at", "createdAt", "connectivityAt", "live"} <= past["times"].keys()
    assert past["times"]["began"] == began
    assert metrics(capsys.readouterr().out) == {"ColdStartSeconds": past["seconds"]}
    (notice,) = world.notices
    assert "awake after 10" in notice
    assert "over the target" not in notice


def test_a_wake_over_its_target_says_so() -> None:
    world = waking(boot=70)
    follow(world, 71)
    assert "over the target of 60 s" in world.notices[-1]


def test_the_last_few_wakes_are_kept_and_their_median_is_the_estimate() -> None:
    wakes = tuple(
        {"cause": "request", "seconds": seconds, "times": {"live": 0}}
        for seconds in (50.0, *[7.0] * 4, *[11.0] * 5)
    )
    world = waking()
    world.aws().write_memory(dataclasses.replace(world.memory, wakes=wakes))
    follow(world, 11)
    assert len(world.memory.wakes) == 10
    assert world.memory.estimate() == pytest.approx(10.5, abs=0.5)


def test_a_running_task_that_is_not_healthy_does_not_end_a_wake() -> None:
    world = waking(boot=30)
    follow(world, 29)
    assert world.running()
    assert world.phase() is Phase.WAKING
    assert world.rule_up


def test_a_healthy_target_of_a_task_on_its_way_out_is_not_live() -> None:
    world = asleep(doomed=100)
    world.time += 10
    world.signal(Kind.REQUEST)
    follow(world, 9)
    assert world.phase() is Phase.WAKING
    follow(world, 2)
    assert world.phase() is Phase.AWAKE


def test_the_stage_follows_the_tasks() -> None:
    world = waking()
    wake = world.memory.wake
    assert wake
    assert wake.stage == "asked"
    follow(world, 7)
    wake = world.memory.wake
    assert wake
    assert wake.stage == "placed"


@pytest.mark.parametrize(("started", "looks"), [(False, 5), (True, 20)])
def test_until_a_task_has_started_those_who_wait_look_at_aws_less_often(
    *, started: bool, looks: int
) -> None:
    world = waking(boot=60.0, stages={"startedAt": 0.1 if started else 0.9})
    follow(world, 20)
    world.reads.clear()
    follow(world, 10)
    assert world.reads.count("describe_target_health") == looks


def test_any_number_of_requests_give_the_count_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = asleep()
    world.time += 100
    capsys.readouterr()
    for _ in range(50):
        world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.did("count 1") == 1
    assert world.phase() is Phase.AWAKE
    assert metrics(capsys.readouterr().out)["Wakes"] == 1


def test_a_wake_rule_that_is_seen_down_during_a_wake_goes_up_again() -> None:
    world = waking()
    world.rules[WAKE_RULE] = 30_010
    world.signal(Kind.TICK)
    assert world.rule_up


def test_a_count_that_never_arrived_is_given_again() -> None:
    world = asleep()
    world.time += 100
    world.failing.add("update_service")
    with pytest.raises(Exception, match="Throttling"):
        world.signal(Kind.REQUEST)
    world.failing.clear()
    follow(world, 25)
    assert world.phase() is Phase.AWAKE


def test_a_count_set_to_0_by_hand_during_a_wake_is_given_again() -> None:
    world = waking(boot=40)
    follow(world, 5)
    world.set_desired(0)
    follow(world, 10)
    assert world.desired == 1
    assert world.phase() is Phase.WAKING


def test_the_wake_rule_stays_up_while_the_count_is_0_although_a_target_is_still_live() -> None:
    world = waking()
    world.time += 10
    world.desired = 0
    world.signal(Kind.POLL)
    assert world.rule_up


def test_one_of_all_who_wait_looks_for_all() -> None:
    world = waking()
    world.reads.clear()
    for _ in range(20):
        world.signal(Kind.POLL)
    assert world.reads.count("describe_services") == 1


def test_a_woken_service_that_nobody_uses_sleeps_again_although_the_alarm_never_moved() -> None:
    world = waking()
    follow(world, 11)
    began = world.time
    while world.desired:
        world.minutes(1)
        assert world.time - began <= 8 * 60 + 60 + 2 * 60


# --- the fence ---------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 4.9, 5.0, 6.0])
@pytest.mark.parametrize("landing", [0.0, 0.9, 1.9, 2.9])
def test_a_request_right_after_the_take_is_served_wherever_the_take_lands(
    after: float, landing: float
) -> None:
    world = drowsy()
    world.time += 60
    world.lands_after = landing
    world.signal(Kind.TICK)
    world.lands_after = None
    assert world.phase() is Phase.ASLEEP
    world.time += after
    world.land()
    world.signal(Kind.REQUEST)
    world.boot = 0.0  # the tasks that still run are healthy all along
    follow(world, 30)
    assert world.phase() is Phase.AWAKE
    assert world.desired == 1
    assert not world.rule_up
    assert world.running()


def test_a_live_target_is_not_trusted_before_the_last_take_is_fence_seconds_old() -> None:
    world = drowsy()
    world.time += 60
    world.lands_after = 2.9
    world.signal(Kind.TICK)
    stamp = world.memory.last_take_at
    world.lands_after = None
    world.signal(Kind.REQUEST)
    while world.phase() is Phase.WAKING:
        world.time += 0.5
        world.signal(Kind.POLL)
    assert world.time >= stamp + wk.FENCE_SECONDS
    assert world.did("count 1") == 2, "given at once, and again past the fence"


def test_a_take_that_would_start_too_late_is_not_made() -> None:
    world = drowsy()
    world.time += 60

    def slow() -> None:
        world.time += wk.TAKE_START_SECONDS + 0.1

    world.between("put_item", slow)
    world.signal(Kind.TICK)
    assert world.desired == 1
    assert world.did("count 0") == 0
    assert not any(notice.startswith("asleep") for notice in world.notices)


def test_a_rule_is_not_taken_down_late() -> None:
    world = drowsy()
    world.time += 3

    def slow() -> None:
        world.time += wk.TAKE_START_SECONDS + 0.1

    world.between("put_item", slow)
    world.signal(Kind.REQUEST)
    assert world.rules[WAKE_RULE] == 12
    world.time += 5
    world.signal(Kind.REQUEST)
    assert not world.rule_up
    assert world.memory.last_take_at == world.time


def test_a_rule_that_could_not_be_taken_down_goes_down_later_newly_stamped() -> None:
    world = waking()
    world.failing.add("set_rule_priorities")
    follow(world, 11)
    assert world.phase() is Phase.AWAKE
    assert world.rules[WAKE_RULE] == 12
    first = world.memory.last_take_at
    world.failing.clear()
    world.minutes(1)
    assert not world.rule_up
    assert world.memory.last_take_at == world.time > first


def test_a_rule_on_its_way_down_is_not_taken_down_once_more() -> None:
    world = drowsy()
    world.lands_after = 2.0
    world.signal(Kind.REQUEST)
    world.signal(Kind.REQUEST)
    assert len(world.landing) == 1


def test_every_take_starts_within_a_second_of_the_stamp_that_stands_in_the_memory() -> None:
    world = drowsy()
    seen: list[float] = []
    for operation in ("update_service", "set_rule_priorities"):
        world.between(operation, lambda: seen.append(world.time - world.memory.last_take_at))
    world.minutes(1)
    world.signal(Kind.POLL)
    assert seen
    assert all(0 <= late <= wk.TAKE_START_SECONDS for late in seen)


def test_a_count_that_could_not_be_taken_leaves_the_service_up() -> None:
    world = not_taken()
    assert not any(notice.startswith("asleep") for notice in world.notices)
    assert world.desired == 1
    assert world.rule_up
    world.minutes(1)
    assert world.desired == 0
    assert world.memory.counts == {"this": 1}
    world.minutes(1)
    assert not world.memory.taking


def untaken_but_at_0(**environment: str) -> World:
    """Asleep; the call that took the count landed, and its answer did not."""
    world = drowsy(environment=environment)
    world.lands_after = 0.5
    world.minutes(1)
    world.lands_after = None
    world.minutes(2)
    assert (world.phase(), world.desired) == (Phase.ASLEEP, 0)
    return world


def test_a_count_that_was_taken_without_an_answer_is_no_longer_ours_to_take() -> None:
    world = untaken_but_at_0()
    assert world.memory.taking == ()
    world.minutes(10)
    world.calls.clear()
    world.set_desired(1)
    world.minutes(2)
    assert world.phase() is Phase.AWAKE
    assert world.did("count 0") == 0


@pytest.mark.parametrize("boot", [0, 400])
def test_what_somebody_else_started_is_not_ours_when_a_request_comes_first(boot: float) -> None:
    world = asleep()
    world.boot = boot
    world.time += 60
    world.set_desired(2)
    world.time += 10
    world.signal(Kind.REQUEST)
    assert world.did("count 1") == 0
    world.minutes(7 if boot else 1)
    assert world.desired == 2
    assert world.phase() is Phase.AWAKE


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WAKE])
def test_a_request_that_finds_a_count_that_could_not_be_taken_is_served_by_its_tasks(
    kind: Kind,
) -> None:
    world = not_taken()
    world.time += 10
    world.signal(kind)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    world.minutes(2)
    assert world.did("count 0") == 0
    assert world.did("count 1") == 0


@pytest.mark.parametrize("guard", [is_deploying, is_protected, was_deployed, has_no_alarm])
def test_a_count_that_could_not_be_taken_is_left_where_something_speaks_against_it(
    guard: Break,
) -> None:
    world = not_taken()
    guard(world)
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert world.desired >= 1
    assert not world.rule_up


def test_the_count_of_a_failed_wake_that_could_not_be_taken_is_taken_at_the_next_tick() -> None:
    world = waking()
    world.starts = False
    world.time += 301
    world.failing.add("update_service")
    world.signal(Kind.TICK)
    world.failing.clear()
    assert world.phase() is Phase.ASLEEP
    world.minutes(1)
    assert world.desired == 0
    assert world.phase() is Phase.ASLEEP
    assert world.memory.failures == 1


def test_a_service_whose_count_could_not_be_taken_has_no_cold_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = not_taken()
    capsys.readouterr()
    world.minutes(2)
    assert metrics(capsys.readouterr().out) == {}
    assert world.memory.wakes == ()


# --- concurrent writers ------------------------------------------------------------------------


def test_of_a_sleeper_and_a_request_at_the_same_moment_the_first_to_write_wins() -> None:
    world = drowsy()
    world.time += 60
    world.between("put_item", lambda: world.signal(Kind.REQUEST))
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    assert world.did("count 0") == 0
    assert not world.rule_up


def test_of_two_requests_at_the_same_moment_one_gives() -> None:
    world = asleep()
    world.time += 100
    world.between("put_item", lambda: world.signal(Kind.REQUEST))
    world.signal(Kind.REQUEST)
    assert world.did("count 1") == 1


def test_of_two_sleepers_at_the_same_moment_one_takes() -> None:
    world = drowsy()
    world.time += 60
    world.between("put_item", lambda: world.signal(Kind.TICK))
    world.signal(Kind.TICK)
    assert world.did("count 0") == 1
    assert len(world.notices) == 1


def test_a_request_between_the_write_and_the_take_is_served() -> None:
    world = drowsy()
    world.time += 60
    world.between("update_service", lambda: world.signal(Kind.REQUEST))
    world.signal(Kind.TICK)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE
    assert world.desired == 1
    assert not world.rule_up


def test_who_never_gets_to_write_raises_and_has_done_nothing() -> None:
    world = awake(alarm="ALARM")

    def somebody_else() -> None:
        item = world.items["memory"]
        item["version"] = {"N": str(int(item["version"]["N"]) + 1)}

    for _ in range(10):
        world.between("put_item", somebody_else)
    with pytest.raises(RuntimeError):
        world.signal(Kind.TICK)
    assert world.calls == []
    assert world.notices == []


def test_the_write_comes_before_everything_that_is_done() -> None:
    world = asleep()
    world.failing.add("put_item")
    with pytest.raises(Exception, match="Throttling"):
        world.signal(Kind.REQUEST)
    assert world.calls == []


# --- outside changes ---------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [awake, drowsy])
def test_a_count_set_to_0_by_hand_is_followed(phase: Callable[[], World]) -> None:
    world = phase()
    world.time += 10
    world.set_desired(0)
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP
    assert world.rule_up
    assert world.memory.counts == {"this": 1}
    assert "from outside" in world.notices[-1]


def test_a_request_that_finds_the_count_set_to_0_by_hand_wakes() -> None:
    world = drowsy()
    world.time += 10
    world.set_desired(0)
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    assert world.desired == 1


def test_a_count_raised_by_hand_while_asleep_is_followed_and_remembered() -> None:
    world = asleep()
    world.time += 60
    world.set_desired(3)
    world.signal(Kind.TICK)
    assert world.phase() is Phase.WAKING
    world.time += 10
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    assert world.memory.counts == {"this": 3}
    assert world.desired == 3


def test_a_raised_count_is_never_lowered_by_a_wake() -> None:
    world = asleep()
    world.set_desired(4)
    world.signal(Kind.REQUEST)
    assert world.desired == 4


def test_reads_that_may_be_stale_contradict_nothing() -> None:
    world = drowsy()
    world.minutes(1)
    world.time += 1
    world.desired = 1  # what DescribeServices may still show
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP


@pytest.mark.parametrize("kind", [Kind.TICK, Kind.ECS_EVENT, Kind.REQUEST, Kind.STATUS])
def test_the_last_live_target_gone_while_awake_is_a_wake(kind: Kind) -> None:
    world = awake()
    world.boot = 9000
    world.signal(kind)
    assert world.phase() is Phase.WAKING
    assert world.rule_up
    assert world.desired == 1


def test_a_wake_rule_that_somebody_put_up_while_awake_goes_down_again() -> None:
    world = awake()
    world.rules[WAKE_RULE] = 12
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    assert world.memory.last_take_at == world.time


def test_a_wake_rule_that_somebody_put_down_while_asleep_goes_up_again() -> None:
    world = asleep()
    world.rules[WAKE_RULE] = 30_010
    world.minutes(1)
    assert world.rule_up
    assert world.phase() is Phase.ASLEEP


# --- deployments -------------------------------------------------------------------------------


def deploy(world: World) -> None:
    """A new deployment begins; at a count of 0 it is complete at once."""
    world.deployment, world.deployed = "ecs-svc/2", world.time
    world.deploying = world.desired > 0


def test_a_deployment_while_asleep_wakes_nothing() -> None:
    world = asleep()
    deploy(world)
    world.minutes(3)
    assert world.phase() is Phase.ASLEEP
    assert world.calls == []


def test_a_deployment_while_waking_does_not_hold_the_client_up() -> None:
    world = waking()
    deploy(world)
    follow(world, 12)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


def test_a_deployment_while_drowsy_calls_it_back() -> None:
    world = drowsy()
    deploy(world)
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    assert world.did("count 0") == 0


@pytest.mark.parametrize("call", ["put_item", "update_service"])
def test_a_deployment_right_before_the_count_goes_to_0_loses_nobody(call: str) -> None:
    world = drowsy()
    world.between(call, lambda: deploy(world))
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP
    world.deploying = False  # there is nothing to be started
    world.time += 10
    world.signal(Kind.REQUEST)
    follow(world, 15)
    assert world.phase() is Phase.AWAKE
    assert world.memory.counts == {"this": 1}


@pytest.mark.parametrize("phase", [awake, drowsy, waking])
def test_after_each_deployment_it_stays_awake_for_min_awake_minutes(
    phase: Callable[[], World],
) -> None:
    world = phase()
    world.alarm = "ALARM"
    deploy(world)
    follow(world, 15)
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    world.deploying = False
    done = world.time
    while world.phase() is not Phase.DROWSY:
        world.minutes(1)
        assert world.time < done + 600
    assert world.time >= world.deployed + 480


# --- the deadline and the back-off -------------------------------------------------------------


def test_a_wake_that_cannot_succeed_ends_at_its_deadline_and_somebody_is_told_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = waking(starts=True)
    world.starts = False
    world.tasks.append(
        dataclasses.replace(
            world.tasks[0], number=77, stopped=world.time, reason="CannotPullContainerError: no"
        )
    )
    world.time += 300
    world.signal(Kind.TICK)
    assert world.phase() is Phase.WAKING
    world.time += 1
    capsys.readouterr()
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP
    assert world.desired == 0
    assert world.rule_up
    assert world.memory.failure == "CannotPullContainerError: no"
    assert "wake failed" in world.notices[-1]
    assert "CannotPullContainerError: no" in world.notices[-1]
    assert metrics(capsys.readouterr().out) == {"FailedWakes": 1}


def test_a_failed_wake_is_told_and_counted_also_where_its_count_cannot_be_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = waking()
    world.starts = False
    world.time += 301
    world.failing.add("update_service")
    capsys.readouterr()
    world.signal(Kind.TICK)
    assert "wake failed" in world.notices[-1]
    assert metrics(capsys.readouterr().out) == {"FailedWakes": 1}


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WAKE_ALARM])
def test_no_request_wakes_during_the_back_off(kind: Kind) -> None:
    world = failed()
    world.signal(kind)
    assert world.phase() is Phase.ASLEEP
    world.time = world.memory.retry_at
    world.signal(kind)
    assert world.phase() is Phase.WAKING


@pytest.mark.parametrize("kind", [Kind.WAKE, Kind.PIN, Kind.RESTORE])
def test_whoever_insists_wakes_during_the_back_off(kind: Kind) -> None:
    world = failed()
    world.signal(kind, pinned_until=world.time + 60)
    assert world.phase() is Phase.WAKING


def test_the_back_off_grows_and_ends_with_a_success() -> None:
    world = failed()
    pauses = []
    for _ in range(5):
        pauses.append(world.memory.retry_at - world.memory.since)
        fail_again(world)
    assert pauses == [60, 120, 300, 900, 3600]
    world.starts = True
    world.signal(Kind.WAKE)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE
    assert (world.memory.failures, world.memory.failure, world.memory.retry_at) == (0, "", 0)


def test_after_the_last_try_no_request_wakes_any_more_and_somebody_is_told() -> None:
    world = given_up()
    assert "It was tried 6 times" in world.notices[-1]
    world.calls.clear()
    for _ in range(48):
        world.time += 3600
        world.signal(Kind.REQUEST)
    assert world.calls == []


@pytest.mark.parametrize("kind", [Kind.WAKE, Kind.PIN, Kind.RESTORE])
def test_after_the_last_try_whoever_asks_for_it_wakes_it(kind: Kind) -> None:
    world = given_up()
    world.starts = True
    world.signal(kind, pinned_until=world.time + 60)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE


@pytest.mark.parametrize("before", [failed, given_up])
def test_what_is_deployed_anew_is_tried_at_the_next_request(before: Callable[[], World]) -> None:
    world = before()
    world.deployment = "ecs-svc/2"
    world.time += 10
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    world.time += 301
    world.signal(Kind.TICK)
    assert world.memory.failures == 1


def test_a_day_of_requests_to_a_service_that_cannot_start_costs_six_tries_at_most() -> None:
    world = failed()
    began, up = world.time, 0
    while world.time < began + 86_400:
        world.signal(Kind.REQUEST)
        world.minutes(1)
        up += world.desired
    assert up <= 6 * (300 / 60 + 2)
    assert world.did("count 1") == 6


@pytest.mark.parametrize("before", [failed, given_up])
def test_a_live_target_is_let_through_whatever_failed_before(before: Callable[[], World]) -> None:
    world = before()
    world.starts, world.boot = True, 0
    world.set_desired(1)
    world.time += 10
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


WHY = [
    ("CannotPullContainerError: 1234.dkr.ecr/app:1: not found", "image-not-pulled"),
    ("ResourceInitializationError: unable to pull secrets or registry auth", "setup-failed"),
    ("Task failed ELB health checks in (target-group arn:aws:x)", "health-check-failed"),
    ("Essential container in task exited", "container-exited"),
    ("something that ECS says since yesterday", "not-ready"),
]


@pytest.mark.parametrize(("reason", "expected"), WHY)
def test_a_failed_wake_has_a_class_that_names_nothing_of_the_account(
    reason: str, expected: str
) -> None:
    world = waking()
    stop(world, reason)
    assert wk.failure_class(world.memory.failure) == expected
    assert reason in world.notices[-1]


def test_the_task_of_the_last_sleep_is_no_reason_for_a_failed_wake() -> None:
    world = waking()
    world.tasks[0].stopped = world.time + 5  # it drained until now
    world.starts = False
    world.time += 301
    world.signal(Kind.TICK)
    assert "Scaling activity" not in world.notices[-1]
    assert wk.failure_class(world.memory.failure) == "image-not-pulled"


def test_a_container_that_never_ran_tells_why_without_an_exit_code() -> None:
    world = waking()
    world.tasks[-1].containers = ({"reason": "CannotPullContainerError: no such image"},)
    stop(world, "Task failed to start")
    assert wk.failure_class(world.memory.failure) == "image-not-pulled"


def test_that_a_task_does_not_start_is_told_once_however_the_reason_varies() -> None:
    world = was_raised_from_outside()
    world.notices.clear()
    for number in range(30):
        world.tasks[-1].stopped = world.time
        world.tasks[-1].reason = f"ResourceInitializationError: request id: {number}"
        world.set_desired(1)
        world.minutes(1)
    assert len([notice for notice in world.notices if wk.NOT_LIVE.text in notice]) == 1


def test_a_service_that_crashes_again_and_again_is_told_a_few_times_and_no_more() -> None:
    world = awake(boot=70)
    for _ in range(40):
        world.tasks[-1].stopped = world.time - 60
        world.set_desired(1)
        world.minutes(2)
        assert world.phase() is Phase.AWAKE
    assert len(world.notices) == 4
    assert "Woken 4 times within an hour" in world.notices[-1]


TASK_SET = {"id": "ecs-svc/1", "status": "PRIMARY", "createdAt": moment(0)}
WITHOUT_DEPLOYMENTS = {"serviceName": "app", "desiredCount": 1, "deployments": []}


@pytest.mark.parametrize(
    "sets",
    [
        [{**TASK_SET, "stabilityStatus": "STABILIZING"}],
        [TASK_SET, {**TASK_SET, "id": "ecs-svc/2", "status": "ACTIVE"}],
    ],
)
def test_task_sets_of_another_controller_are_deployments_too(sets: list[dict[str, Any]]) -> None:
    service = wk.service_view({**WITHOUT_DEPLOYMENTS, "taskSets": sets}, wk.Member("this", "app"))
    assert service.is_deploying
    assert wk.deployed_ids([service]) == "ecs-svc/1"
    steady = [{**TASK_SET, "stabilityStatus": "STEADY_STATE"}]
    assert not wk.service_view(
        {**WITHOUT_DEPLOYMENTS, "taskSets": steady}, wk.Member("this", "app")
    ).is_deploying


def test_no_reason_has_no_class() -> None:
    assert wk.failure_class("") is None


def test_a_container_that_ended_for_want_of_memory_is_told_apart() -> None:
    world = waking()
    world.tasks[-1].containers = ({"exitCode": 137, "reason": "OutOfMemoryError: killed"},)
    stop(world, "Essential container in task exited")
    assert wk.failure_class(world.memory.failure) == "out-of-memory"
    assert "OutOfMemoryError: killed" in world.notices[-1]


def test_the_exit_code_is_told() -> None:
    world = waking()
    world.tasks[-1].containers = ({"exitCode": 3},)
    stop(world, "Essential container in task exited")
    assert "exit code 3" in world.notices[-1]


def test_tasks_that_end_one_after_the_other_are_a_crash_loop() -> None:
    world = waking()
    for _ in range(3):
        world.tasks[-1].stopped, world.tasks[-1].reason = world.time, "Essential container exited"
        world.time += 60
        world.set_desired(1)
    stop(world, "Essential container in task exited")
    assert wk.failure_class(world.memory.failure) == "crash-loop"


def test_where_no_task_was_placed_the_service_s_own_words_are_told() -> None:
    world = asleep()
    world.time += 100
    world.events = [
        (world.time + 5, "(service app) was unable to place a task. Reason: Capacity"),
        (world.time - 500, "(service app) was unable to place a task. Reason: long ago"),
    ]
    world.signal(Kind.REQUEST)
    world.starts = False
    world.time += 301
    world.signal(Kind.TICK)
    assert wk.failure_class(world.memory.failure) == "no-capacity"
    assert "Reason: Capacity" in world.notices[-1]


@pytest.mark.parametrize("stage", wk.NOT_STARTED)
def test_where_ecs_says_nothing_the_stage_reached_tells_the_class(stage: str) -> None:
    assert wk.failure_class(wk.NOT_STARTED[stage]) != "not-ready"


def test_a_failed_wake_keeps_the_remembered_count() -> None:
    world = waking(desired=3)
    world.starts = False
    world.time += 301
    world.signal(Kind.TICK)
    assert world.memory.counts == {"this": 3}


def test_a_broken_service_without_a_wake_rule_is_not_tried_for_ever() -> None:
    world = failed()
    del world.rules[WAKE_RULE]
    world.calls.clear()
    world.minutes(120)
    assert world.did("count 1") <= 5


def is_adopted_while_it_starts() -> World:
    world = World(boot=9000)
    world.signal(Kind.ADOPT)
    return world


def has_lost_its_last_live_target() -> World:
    world = awake()
    world.boot = 9000
    world.signal(Kind.TICK)
    return world


def was_raised_from_outside() -> World:
    world = asleep(boot=0)
    world.boot = 9000
    world.time += 60
    world.set_desired(1)
    world.signal(Kind.TICK)
    return world


NOT_OURS = [is_adopted_while_it_starts, has_lost_its_last_live_target, was_raised_from_outside]


@pytest.mark.parametrize("phase", NOT_OURS)
def test_a_count_that_we_did_not_give_is_not_taken_at_the_deadline_and_somebody_is_told_once(
    phase: Callable[[], World],
) -> None:
    world = phase()
    world.notices.clear()
    world.minutes(10)
    assert world.phase() is Phase.WAKING
    assert world.desired == 1
    assert world.rule_up
    (notice,) = world.notices
    assert f"needs attention: {wk.NOT_LIVE.text}" in notice
    world.boot = 0
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


# --- pins --------------------------------------------------------------------------------------


def test_a_pin_keeps_awake_until_it_is_over() -> None:
    world = awake(alarm="ALARM")
    world.signal(Kind.PIN, pinned_until=world.time + 3600)
    world.minutes(59)
    assert world.phase() is Phase.AWAKE
    world.minutes(1)
    assert world.phase() is Phase.DROWSY


def test_unpin_ends_a_pin() -> None:
    world = awake(alarm="ALARM")
    world.signal(Kind.PIN, pinned_until=world.time + 3600)
    world.signal(Kind.UNPIN)
    assert world.memory.pinned_until == 0
    world.minutes(1)
    assert world.phase() is Phase.DROWSY


def test_a_pinned_service_that_does_not_start_is_not_given_up_and_somebody_is_told_once() -> None:
    world = waking(boot=1000)
    world.signal(Kind.PIN, pinned_until=world.time + 9000)
    world.minutes(10)
    assert world.phase() is Phase.WAKING
    assert world.desired == 1
    assert len([notice for notice in world.notices if wk.NOT_LIVE.text in notice]) == 1
    world.time += 600
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE


def test_a_pinned_service_keeps_its_count_and_rule_also_past_the_deadline() -> None:
    world = waking(boot=1000)
    world.signal(Kind.PIN, pinned_until=world.time + 9000)
    world.minutes(10)
    world.set_desired(0)
    world.rules[WAKE_RULE] = 30_010
    world.minutes(2)
    assert world.desired == 1
    assert world.rule_up


# --- restore -----------------------------------------------------------------------------------

DELETE = {"command": "terraform", "tf": {"action": "delete"}}


@pytest.mark.parametrize("phase", [awake, drowsy, asleep, waking])
def test_a_destroy_in_any_phase_leaves_a_running_service_served_by_its_own_rule(
    phase: Callable[..., World],
) -> None:
    world = phase(desired=2)
    world.invoke(DELETE)
    assert world.desired == 2
    assert not world.rule_up
    assert world.phase() is Phase.AWAKE
    assert any(world.healthy(task) for task in world.running())


def test_after_a_destroy_no_tick_takes_the_count() -> None:
    world = awake(alarm="ALARM")
    world.invoke(DELETE)
    world.minutes(20)
    assert world.desired == 1
    assert not world.rule_up


@pytest.mark.parametrize("phase", [awake, drowsy, asleep, waking])
def test_a_destroy_of_what_is_gone_succeeds_at_once(phase: Callable[..., World]) -> None:
    world = phase()
    world.exists = False
    before = world.time
    world.invoke(DELETE)
    assert world.time == before


def test_a_destroy_goes_on_where_the_service_does_not_start() -> None:
    world = asleep()
    world.starts = False
    before = world.time
    world.invoke(DELETE)
    assert 300 <= world.time - before < 310
    assert world.desired == 1


def test_a_destroy_without_restore_leaves_everything_as_it_is() -> None:
    world = asleep(environment={"RESTORE_ON_DESTROY": "false"})
    world.invoke(DELETE)
    assert world.desired == 0
    assert world.rule_up
    assert world.calls == []


def test_a_destroy_during_the_back_off_tries_all_the_same() -> None:
    world = failed()
    world.starts = True
    world.invoke(DELETE)
    assert world.desired == 1
    assert not world.rule_up


def test_a_destroy_that_finds_a_wake_past_its_deadline_does_not_take_the_count() -> None:
    world = waking(boot=310)
    world.time += 301
    world.invoke(DELETE)
    assert world.did("count 0") == 0
    assert world.phase() is Phase.AWAKE


# --- rule numbers ------------------------------------------------------------------------------


def test_up_and_down_are_judged_against_the_service_rule_not_by_constants() -> None:
    world = asleep()
    world.rules |= {SERVICE_RULE: 12, WAKE_RULE: 13}
    world.minutes(1)
    assert world.rules[WAKE_RULE] == 11
    follow_request(world)
    assert world.rules[WAKE_RULE] == 30_010


def follow_request(world: World) -> None:
    world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE


def test_where_the_number_is_taken_the_nearest_free_one_will_do() -> None:
    world = awake(alarm="ALARM")
    world.rules[FOREIGN_RULE] = 12
    world.minutes(1)
    assert world.rules[WAKE_RULE] == 99


def test_the_number_asked_for_is_not_taken_where_a_foreign_rule_would_be_overtaken() -> None:
    world = awake(alarm="ALARM")
    world.rules[FOREIGN_RULE] = 50
    world.minutes(1)
    assert world.rules[WAKE_RULE] == 99


def test_the_number_asked_for_is_taken_where_a_foreign_rule_stands_before_it() -> None:
    world = awake(alarm="ALARM")
    world.rules[FOREIGN_RULE] = 11
    world.minutes(1)
    assert world.rules[WAKE_RULE] == 12


def test_no_foreign_rule_is_overtaken() -> None:
    world = awake(alarm="ALARM")
    world.rules |= {FOREIGN_RULE: 12, SERVICE_RULE: 15}
    world.minutes(1)
    assert world.rules[WAKE_RULE] == 14
    assert world.phase() is Phase.DROWSY


def test_the_wake_rule_never_stands_before_one_of_our_own() -> None:
    """Before them it would take their requests: a beat without activity would wake the service."""
    heartbeat = CONTROL_RULE + "-heartbeat"
    world = awake(alarm="ALARM")
    own = (CONTROL_RULE, heartbeat)
    world.environment |= routes(this=route(own_rules=own, rule_priority=99))
    world.rules = {CONTROL_RULE: 97, heartbeat: 98, SERVICE_RULE: 99, WAKE_RULE: 100}
    world.minutes(3)
    assert world.rules[WAKE_RULE] == 100
    assert world.desired == 1
    assert any(wk.NO_RULE_NUMBER.text in notice for notice in world.notices)


def test_down_is_the_parked_number_or_the_next_free_one_behind_it() -> None:
    world = drowsy()
    world.rules |= {FOREIGN_RULE: 30_010, f"{FOREIGN_RULE}2": 30_011}
    world.signal(Kind.REQUEST)
    assert world.rules[WAKE_RULE] == 30_012


def test_down_is_behind_the_service_rule_wherever_that_has_been_moved() -> None:
    world = drowsy()
    world.rules |= {SERVICE_RULE: 40_000, FOREIGN_RULE: 40_001}
    world.signal(Kind.REQUEST)
    assert world.rules[WAKE_RULE] == 40_002


def test_behind_the_last_number_the_rule_goes_down_to_a_free_one_before_it() -> None:
    world = drowsy()
    world.environment |= routes(this=route(parked_rule_priority=50_000))
    world.rules |= {FOREIGN_RULE: 50_000}
    world.signal(Kind.REQUEST)
    assert world.rules[WAKE_RULE] == 101


def stuck() -> World:
    world = awake(alarm="ALARM")
    world.rules |= {FOREIGN_RULE: 99, f"{FOREIGN_RULE}2": 12}
    return world


def test_where_no_number_is_free_the_service_stays_up_and_can_be_reached() -> None:
    world = stuck()
    world.minutes(20)
    assert world.desired == 1
    assert not world.rule_up


def test_where_no_number_is_free_somebody_is_told_once() -> None:
    world = stuck()
    world.minutes(20)
    assert len(world.notices) == 1
    assert "free" in world.notices[0]


def test_where_a_number_becomes_free_it_sleeps_after_all() -> None:
    world = stuck()
    world.minutes(5)
    del world.rules[FOREIGN_RULE]
    world.minutes(5)
    assert world.desired == 0
    assert world.rule_up


def test_a_service_set_to_0_by_hand_whose_wake_rule_cannot_go_up_is_woken() -> None:
    world = stuck()
    world.set_desired(0)
    world.minutes(5)
    assert world.desired == 1


def test_a_wake_is_counted_also_where_the_rule_is_stuck(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = stuck()
    world.boot = 9000
    capsys.readouterr()
    world.signal(Kind.TICK)
    assert world.phase() is Phase.WAKING
    assert metrics(capsys.readouterr().out) == {"Wakes": 1}
    assert "free" in world.notices[-1]


def test_a_rule_that_is_missing_again_is_told_again() -> None:
    world = awake(alarm="ALARM")
    del world.rules[WAKE_RULE]
    world.minutes(2)
    world.alarm = "OK"
    world.rules[WAKE_RULE] = 30_010
    world.minutes(2)
    assert world.memory.open_problems == ()
    del world.rules[WAKE_RULE]
    world.minutes(2)
    assert len(world.notices) == 2


# --- what is missing ---------------------------------------------------------------------------


def test_an_awake_service_without_a_wake_rule_stays_up_and_somebody_is_told_once() -> None:
    world = awake(alarm="ALARM")
    del world.rules[WAKE_RULE]
    world.minutes(20)
    assert world.desired == 1
    assert len(world.notices) == 1


@pytest.mark.parametrize("gone", RULES_GONE)
def test_a_sleeping_service_without_its_rules_is_woken_for_good(gone: Break) -> None:
    world = asleep()
    gone(world)
    world.minutes(30)
    assert world.desired == 1
    assert world.phase() is Phase.AWAKE
    assert any("needs attention" in notice for notice in world.notices)
    told = len(world.notices)
    world.minutes(30)
    assert len(world.notices) == told


@pytest.mark.parametrize("phase", [awake, drowsy, asleep, waking])
def test_a_service_that_is_gone_is_told_once_and_nothing_is_done(
    phase: Callable[..., World],
) -> None:
    world = phase()
    world.exists = False
    world.calls.clear()
    world.notices.clear()
    world.minutes(5)
    world.signal(Kind.REQUEST)
    assert world.calls == []
    (notice,) = world.notices
    assert "no ACTIVE ECS service: app in cluster estate" in notice


def test_a_service_that_comes_back_goes_on_where_it_was() -> None:
    world = asleep()
    world.exists = False
    world.minutes(2)
    world.exists = True
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING


def test_trouble_that_comes_back_is_told_again() -> None:
    world = awake()
    world.exists = False
    world.minutes(2)
    world.exists = True
    world.minutes(2)
    world.exists = False
    world.minutes(2)
    assert len(world.notices) == 2


@pytest.mark.parametrize("unwired", UNWIRED)
def test_what_is_not_wired_any_more_is_told_once_and_again_when_it_comes_back(
    unwired: Break,
) -> None:
    world = awake(alarm="ALARM")
    unwired(world)
    world.minutes(30)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    (notice,) = world.notices
    assert "needs attention: " in notice
    world.forwards_to, world.alarm = SERVICE_GROUP, "OK"
    world.gone.clear()
    world.minutes(2)
    assert world.memory.open_problems == ()
    unwired(world)
    world.minutes(2)
    assert len(world.notices) == 2


@pytest.mark.parametrize("detached", DETACHED)
@pytest.mark.parametrize("phase", [asleep, waking, drowsy])
def test_nobody_is_kept_from_a_service_whose_target_group_is_another(
    phase: Callable[[], World], detached: Break
) -> None:
    world = phase()
    detached(world)
    world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    assert world.desired == 1


@pytest.mark.parametrize("detached", DETACHED)
def test_a_service_whose_target_group_is_another_is_not_hidden_when_its_task_dies(
    detached: Break,
) -> None:
    world = awake()
    detached(world)
    world.set_desired(0)
    world.set_desired(1)
    world.minutes(3)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


@pytest.mark.parametrize(("weight", "ours"), [(1, True), (0, False)])
def test_of_several_groups_of_the_service_rule_those_count_that_get_requests(
    weight: int, ours: bool
) -> None:
    groups = [
        {"TargetGroupArn": "two", "Weight": 100},
        {"TargetGroupArn": SERVICE_GROUP, "Weight": weight},
    ]
    forward = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
    rule = {"RuleArn": SERVICE_RULE, "Priority": "100", "Conditions": []}
    actions = [{"Type": "authenticate-oidc"}, forward]
    found = wk.rule_view({**rule, "Actions": actions}).forwards_to
    assert (SERVICE_GROUP in found) is ours
    assert "two" in found


# --- the table is gone -------------------------------------------------------------------------


def without_table(phase: Callable[[], World]) -> World:
    world = phase()
    world.gone.add("table")
    world.calls.clear()
    world.time += 30
    return world


@pytest.mark.parametrize("phase", [awake, drowsy, asleep, waking])
def test_without_a_table_whoever_asks_is_served(
    phase: Callable[[], World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = without_table(phase)
    for _ in range(30):
        world.signal(Kind.REQUEST)
        world.time += 1
    assert not world.rule_up
    assert world.desired == 1
    assert world.did("count 1") == (1 if phase is asleep else 0)
    assert metrics(capsys.readouterr().out)["HandledErrors"] > 0


@pytest.mark.parametrize("phase", [awake, drowsy, waking])
def test_without_a_table_nothing_is_put_to_sleep(phase: Callable[[], World]) -> None:
    world = without_table(phase)
    world.alarm = "ALARM"
    world.minutes(60)
    assert world.did("count 0") == 0
    assert not world.rule_up


def test_without_a_table_the_tick_wakes_nothing() -> None:
    world = without_table(asleep)
    world.minutes(10)
    assert world.calls == []


def test_without_a_table_a_destroy_leaves_a_running_service() -> None:
    world = without_table(asleep)
    world.invoke({"command": "terraform", "tf": {"action": "delete"}})
    assert world.desired == 1
    assert not world.rule_up


def test_the_doctor_names_what_is_gone_or_renamed_with_the_remedy() -> None:
    def found(world: World) -> str:
        (finding,) = world.invoke({"command": "doctor"})["findings"]
        assert finding["remedy"]
        return str(finding["finding"])

    assert "no table" in found(without_table(awake))
    for unwired, expected in [
        *((detached, wk.TARGET_GROUP_DETACHED.text) for detached in DETACHED),
        (has_no_alarm, "alarm"),
    ]:
        world = awake()
        unwired(world)
        assert expected in found(world)
    world = awake()
    world.hosts[SERVICE_RULE] = ["other.example.com"]
    assert found(world) == wk.RULES_DIFFER.text
    world.hosts[WAKE_RULE] = ["Other.example.com"]
    world.grace = 0
    assert "grace period" in found(world)
    world.grace = 60
    assert world.invoke({"command": "doctor"}) == {"findings": []}


def test_a_missing_idle_alarm_keeps_everything_awake() -> None:
    world = awake(alarm=None)
    world.minutes(30)
    assert world.phase() is Phase.AWAKE


def test_a_notice_that_cannot_be_sent_keeps_from_nothing() -> None:
    world = drowsy()
    world.failing.add("publish")
    world.minutes(1)
    assert world.desired == 0


@pytest.mark.parametrize("reason", ["höher, weiter", "one\ntwo", "x" * 300, "tab\there", "\x07"])
def test_the_subject_of_a_notice_is_what_sns_takes(reason: str) -> None:
    world = waking()
    world.starts = False
    world.time += 301
    world.tasks[0].stopped, world.tasks[0].reason = world.time, reason
    world.signal(Kind.TICK)
    subject = world.subjects[-1]
    assert subject.isascii()
    assert subject.isprintable()
    assert 0 < len(subject) <= 100
    assert reason in world.notices[-1]


# --- the alarm path ----------------------------------------------------------------------------


def test_on_the_alarm_path_it_sleeps_and_wakes_without_any_rule() -> None:
    world = asleep(environment=ALARM_PATH)
    assert world.desired == 0
    world.signal(Kind.WAKE_ALARM)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE
    assert world.rules == World().rules
    assert "describe_rules" not in world.reads


def test_on_the_alarm_path_an_alarm_that_never_left_alarm_wakes_by_the_tick() -> None:
    world = asleep(environment=ALARM_PATH, wake_alarm="ALARM")
    world.minutes(3)
    assert world.phase() is Phase.WAKING
    assert world.memory.wake is not None
    assert world.memory.wake.cause == Kind.WAKE_ALARM


def test_on_the_alarm_path_the_503s_of_before_the_sleep_do_not_wake() -> None:
    world = asleep(environment=ALARM_PATH, wake_alarm="ALARM")
    world.minutes(2)
    world.wake_alarm = "OK"  # as late as CloudWatch is
    world.minutes(30)
    assert world.phase() is Phase.ASLEEP
    assert world.calls == []


def test_on_the_alarm_path_the_tick_keeps_to_the_pause_after_a_failed_wake() -> None:
    world = asleep(environment=ALARM_PATH, wake_alarm="ALARM")
    world.starts = False
    world.minutes(60)
    given = [moment for moment, call in world.calls if call == "count 1"]
    assert [round((later - earlier) / 60) for earlier, later in pairwise(given)] == [9, 9, 11, 21]


def test_on_the_listener_path_the_tick_asks_for_no_alarm_while_asleep() -> None:
    world = asleep(wake_alarm="ALARM")
    world.reads.clear()
    world.minutes(10)
    assert "describe_alarms" not in world.reads
    assert world.phase() is Phase.ASLEEP


def test_on_the_alarm_path_a_destroy_leaves_it_running_too() -> None:
    world = asleep(environment=ALARM_PATH)
    world.invoke(DELETE)
    assert world.desired == 1
    assert world.phase() is Phase.AWAKE


# --- the memory --------------------------------------------------------------------------------


def test_a_memory_that_a_later_version_wrote_is_read() -> None:
    world = waking()
    item = world.items["memory"]
    body = json.loads(item["body"]["S"])
    body["invented later"] = 1
    body["wake"]["invented later"] = 2
    item["body"]["S"] = json.dumps(body)
    follow(world, 11)
    assert world.phase() is Phase.AWAKE


def test_a_memory_that_an_earlier_version_wrote_is_read() -> None:
    world = asleep()
    since = world.time - 100
    world.items["memory"]["body"]["S"] = json.dumps({"phase": "asleep", "since": since})
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    assert world.desired == 1


def test_every_decision_is_one_line_of_json_that_says_before_after_and_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = drowsy()
    capsys.readouterr()
    world.minutes(1)
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert line["signal"] == "tick"
    assert (line["before"], line["after"]) == ("drowsy", "asleep")
    assert line["actions"] == ["app: count 0"]
    assert "nobody" in line["reason"]
    assert line["milliseconds"] >= 0
