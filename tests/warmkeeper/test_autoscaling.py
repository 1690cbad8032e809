"""Application Auto Scaling: suspended before the count goes to 0, as before after the wake."""

from __future__ import annotations

import pytest
import warmkeeper as wk
from botocore.exceptions import ClientError
from warmkeeper import Kind, Phase

from tests.warmkeeper.scenes import asleep, awake, drowsy, follow, waking
from tests.warmkeeper.world import World

ALL = set(wk.SUSPENDED)
OUT = "DynamicScalingOutSuspended"
IN = "DynamicScalingInSuspended"
DESTROY = {"command": "terraform", "tf": {"action": "delete", "prev_input": {}}}


def slept(**more: object) -> World:
    """A service of two tasks and a minimum of two, asleep."""
    return asleep(desired=2, minimum=2, **more)


def woken(world: World) -> World:
    """A request, and what follows until flags may be given back."""
    world.signal(Kind.REQUEST)
    follow(world, 20)
    world.minutes(2)
    return world


def test_without_a_scalable_target_nothing_is_suspended() -> None:
    world = asleep()
    assert not any(what.startswith("suspended") for _, what in world.calls)
    assert world.memory.suspended == {}


def test_it_is_suspended_on_entering_drowsy_and_before_the_count_goes_to_0() -> None:
    world = awake(desired=2, minimum=2, alarm="ALARM")
    world.minutes(5)
    whats = [what for _, what in world.calls]
    assert whats.index("suspended 3") < whats.index("count 0")
    assert world.flags == ALL
    assert world.desired == 0
    assert world.memory.suspended == {"this": []}


def test_the_suspension_is_a_take_and_announced() -> None:
    world = drowsy(desired=2, minimum=2)
    (at,) = [when for when, what in world.calls if what == "suspended 3"]
    assert world.memory.last_take_at == at


def test_asleep_it_stays_at_0_although_the_minimum_is_2() -> None:
    world = slept()
    world.minutes(30)
    assert world.phase() is Phase.ASLEEP
    assert world.desired == 0


@pytest.mark.parametrize("flags", [set(), {OUT}, {IN, OUT}, ALL])
def test_after_the_wake_the_flags_are_as_the_caller_had_them(flags: set[str]) -> None:
    world = woken(slept(flags=set(flags)))
    assert world.phase() is Phase.AWAKE
    assert world.flags == flags
    assert world.memory.suspended == {}
    assert world.desired == 2


def test_flags_that_are_all_set_already_are_left_alone() -> None:
    world = woken(slept(flags=set(ALL)))
    assert not any(what.startswith("suspended") for _, what in world.calls)


def test_our_own_suspension_is_never_remembered_as_the_callers() -> None:
    """It falls drowsy again before the flags were given back."""
    world = slept(flags={IN})
    world.signal(Kind.REQUEST)
    follow(world, 20)
    world.invoke({"command": "sleep"})
    assert world.phase() is Phase.DROWSY
    assert world.flags == ALL
    assert world.memory.suspended == {"this": [IN]}
    world.flags = ALL - {OUT}  # somebody resumes a part of it
    world.minutes(1)
    assert world.flags == ALL
    assert world.memory.suspended == {"this": [IN]}
    world.signal(Kind.REQUEST)
    world.minutes(2)
    assert world.flags == {IN}


def test_flags_are_given_back_only_after_the_fence() -> None:
    world = drowsy(desired=2, minimum=2)
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.AWAKE
    world.invoke({"command": "status"})
    assert world.flags == ALL
    world.time += wk.FENCE_SECONDS
    world.invoke({"command": "status"})
    assert world.flags == set()


def test_a_drowsy_service_that_is_called_back_scales_again() -> None:
    world = drowsy(desired=2, minimum=2)
    world.signal(Kind.REQUEST)
    world.minutes(2)
    assert world.flags == set()
    assert world.memory.suspended == {}


def test_a_restore_is_repeated_until_it_is_seen() -> None:
    world = slept()
    world.signal(Kind.REQUEST)
    follow(world, 20)
    world.between("register_scalable_target", lambda: world.failing.add("register_scalable_target"))
    with pytest.raises(ClientError):
        world.minutes(1)
    assert world.memory.suspended == {"this": []}
    world.failing = set()
    world.minutes(2)
    assert world.flags == set()


def test_the_count_is_taken_only_where_auto_scaling_is_seen_suspended_and_somebody_is_told() -> (
    None
):
    world = awake(desired=2, minimum=2, alarm="ALARM")
    world.failing = {"register_scalable_target"}
    world.minutes(30)
    assert world.phase() is Phase.DROWSY
    assert world.desired == 2
    told = [notice for notice in world.notices if wk.AUTOSCALING_RUNS.text in notice]
    assert len(told) == 1
    world.failing = set()
    world.minutes(3)
    assert world.phase() is Phase.ASLEEP


def test_a_suspension_that_is_late_is_undone_in_the_end() -> None:
    """It lands after the service was called back; the flags are given back after the fence."""
    world = awake(desired=2, minimum=2, alarm="ALARM")
    world.lands_after = 3.0
    world.minutes(1)
    world.lands_after = None
    assert world.phase() is Phase.DROWSY
    world.signal(Kind.REQUEST)
    world.minutes(3)
    assert world.flags == set()


def test_a_count_below_the_minimum_is_woken_to_the_minimum() -> None:
    world = asleep(desired=1, minimum=None)
    world.minimum, world.flags = 3, set(ALL)
    world.invoke({"command": "wake"})
    assert world.desired == 3


def test_what_is_lost_from_memory_is_given_back_as_not_suspended_and_told() -> None:
    world = slept()
    world.items.clear()
    world.minutes(1)
    assert any(wk.AUTOSCALING_FORGOTTEN.text in notice for notice in world.notices)
    woken(world)
    assert world.flags == set()


def test_at_the_first_adoption_flags_are_the_callers() -> None:
    world = World(desired=2, minimum=2, flags=set(ALL))
    world.signal(Kind.ADOPT)
    world.minutes(3)
    assert world.flags == ALL
    assert not any(wk.AUTOSCALING_FORGOTTEN.text in notice for notice in world.notices)


@pytest.mark.parametrize("phase", [awake, drowsy, asleep, waking])
def test_a_destroy_gives_the_flags_back(phase: type) -> None:
    world = phase(desired=2, minimum=2, flags={IN})
    world.invoke(DESTROY)
    assert world.flags == {IN}
    assert world.desired == 2
    assert not world.rule_up


def test_scheduled_actions_are_warned_about_once() -> None:
    world = awake(minimum=1, scheduled=["weekend"])
    world.minutes(60)
    told = [notice for notice in world.notices if wk.SCHEDULED_SCALING.text in notice]
    assert len(told) == 1
    assert "weekend" in told[0]


def test_switched_off_it_is_neither_read_nor_suspended() -> None:
    world = awake(minimum=1, environment={"SUSPEND_AUTOSCALING": "false"}, alarm="ALARM")
    world.minutes(5)
    assert "describe_scalable_targets" not in world.reads


@pytest.mark.parametrize("phase", [awake, drowsy, asleep, waking])
def test_switched_off_in_any_phase_the_flags_are_given_back_after_the_wake(phase: type) -> None:
    world = phase(desired=2, minimum=2, flags={IN})
    world.environment |= {"SUSPEND_AUTOSCALING": "false"}
    assert woken(world).flags == {IN}
    assert world.desired == 2


def test_a_target_that_is_gone_while_it_sleeps_is_forgotten_after_the_wake() -> None:
    world = slept()
    world.minimum = None
    assert woken(world).memory.suspended == {}
    assert world.desired == 2


def test_a_target_that_terraform_changes_while_it_sleeps_is_an_outside_change() -> None:
    world = slept()
    world.minimum = 3  # RegisterScalableTarget pulls the count up at once, also a suspended one
    world.set_desired(3)
    world.minutes(1)
    follow(world, 20)
    world.minutes(2)
    assert world.phase() is Phase.AWAKE
    assert world.desired == 3
    assert world.flags == set()
