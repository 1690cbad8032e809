"""Hours: awake ones wake and hold the service, and in closed ones requests and beats do nothing."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from warmkeeper import Kind, Phase, WindowKind, window

import tests.warmkeeper.scenes as scenes
from tests.warmkeeper.scenes import asleep, awake, drowsy, failed, given_up, waking
from tests.warmkeeper.world import CONTROL_GROUP, WAKE_GROUP, World

# A world begins on Friday, 2027-01-15 at 08:00 UTC.
CLOSED_ALL_DAY = {"closed": ["fri 00:00-24:00"]}
CLOSED_SOON = {"closed": ["fri 12:00-16:00"]}
AWAKE_ALL_DAY = {"awake": ["fri 00:00-24:00"]}
AWAKE_SOON = {"awake": ["fri 12:00-16:00"]}
OPENS = int(datetime(2027, 1, 16, tzinfo=UTC).timestamp())
UP = [Phase.AWAKE, Phase.DROWSY]


def hours(**given: Any) -> str:
    """The variable SCHEDULE, in UTC."""
    return json.dumps({"zone": "UTC", "rule": "UTC0", **given})


def keep(world: World, given: dict[str, list[str]]) -> World:
    """The same world, with these hours from now on."""
    world.environment["SCHEDULE"] = hours(**given)
    return world


def at(world: World, hour: int, minute: int = 0) -> World:
    """The same world at this time of its day."""
    world.time = datetime(2027, 1, 15, hour, minute, tzinfo=UTC).timestamp()
    return world


def ask(world: World, path: str = "/", method: str = "GET", **headers: str) -> dict[str, Any]:
    control = path.startswith("/.warmkeeper")
    return world.invoke({
        "requestContext": {"elb": {"targetGroupArn": CONTROL_GROUP if control else WAKE_GROUP}},
        "httpMethod": method,
        "path": path,
        "multiValueHeaders": {name.replace("_", "-"): [value] for name, value in headers.items()},
    })  # fmt: skip


NAVIGATION = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document", "accept": "text/html"}


# --- closed --------------------------------------------------------------------------------------
def test_closed_hours_put_a_used_service_to_sleep() -> None:
    world = keep(awake(), CLOSED_ALL_DAY)  # its idle alarm is OK
    world.signal(Kind.BEAT, active=True)
    world.minutes(1)
    assert world.phase() is Phase.DROWSY
    world.minutes(2)
    assert world.phase() is Phase.ASLEEP
    assert world.desired == 0
    assert world.notices[-1] == "goes to sleep: closed by the schedule"


def test_open_hours_do_not() -> None:
    world = keep(awake(), CLOSED_SOON)
    world.minutes(3)
    assert world.phase() is Phase.AWAKE


@pytest.mark.parametrize("path", ["/", "/.warmkeeper/wake"])
def test_a_request_in_closed_hours_wakes_nothing_and_says_when_to_come_back(path: str) -> None:
    world = keep(asleep(), CLOSED_ALL_DAY)
    answer = ask(world, path, "POST")
    assert world.phase() is Phase.ASLEEP
    assert world.desired == 0
    assert answer["statusCode"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == [str(math.ceil(OPENS - world.time))]
    assert json.loads(answer["body"])["detail"] == "It is closed until 2027-01-16 00:00:00 UTC."
    assert json.loads(answer["body"])["closed_until"] == OPENS


@pytest.mark.parametrize("scene", [asleep, drowsy], ids=["asleep", "drowsy"])
def test_the_page_says_when_it_opens(scene: Any) -> None:
    world = keep(scene(), CLOSED_ALL_DAY)
    answer = ask(world, "/report", **NAVIGATION)
    assert answer["statusCode"] == 503
    assert "It is closed until 2027-01-16 00:00:00 UTC." in answer["body"]
    assert f'"closed_until":{OPENS}' in answer["body"]


@pytest.mark.parametrize("signal", [Kind.REQUEST, Kind.WAKE_ALARM, Kind.BEAT])
def test_nothing_but_a_command_calls_a_drowsy_service_back_in_closed_hours(signal: Kind) -> None:
    world = keep(drowsy(), CLOSED_ALL_DAY)
    world.signal(signal, active=True, arrived=world.time)
    assert world.phase() is Phase.DROWSY
    world.minutes(2)
    assert world.phase() is Phase.ASLEEP


def test_messages_do_not_wake_in_closed_hours() -> None:
    world = keep(scenes.messages_wait(), CLOSED_ALL_DAY)
    world.queues["mail"] = 0
    world.minutes(4)
    assert world.phase() is Phase.ASLEEP
    world.queues["mail"] = 5
    world.minutes(2)
    assert world.phase() is Phase.ASLEEP
    at(world, 23, 59)
    world.minutes(1)
    assert world.phase() is Phase.WAKING


def test_what_is_at_work_is_not_stopped_in_closed_hours() -> None:
    world = keep(awake(protected=True), CLOSED_ALL_DAY)
    world.minutes(3)
    assert world.phase() is Phase.AWAKE


def test_a_pin_opens_closed_hours_while_it_lasts() -> None:
    world = keep(asleep(), CLOSED_ALL_DAY)
    world.invoke({"command": "pin", "minutes": 30})
    assert world.phase() is Phase.WAKING
    world.minutes(28)
    assert world.phase() is Phase.AWAKE
    world.minutes(5)
    assert world.phase() is Phase.ASLEEP


def test_after_the_command_wake_the_ordinary_guards_hold_until_the_hours_end() -> None:
    world = at(keep(asleep(), {"closed": ["fri 00:00-20:00", "fri 21:00-24:00"]}), 12)
    world.alarm = "OK"
    world.invoke({"command": "wake"})
    world.minutes(60)
    assert world.phase() is Phase.AWAKE
    world.alarm = "ALARM"
    world.minutes(4)
    assert world.phase() is Phase.ASLEEP
    world.signal(Kind.REQUEST, arrived=world.time)
    world.alarm = "OK"
    assert world.phase() is Phase.WAKING
    world.minutes(9)
    assert world.phase() is Phase.AWAKE
    at(world, 21)
    world.minutes(4)
    assert world.phase() is Phase.ASLEEP


def test_the_command_sleep_closes_them_again() -> None:
    world = keep(asleep(), CLOSED_ALL_DAY)
    world.invoke({"command": "wake"})
    world.minutes(10)
    world.invoke({"command": "sleep"})
    world.minutes(2)
    assert world.phase() is Phase.ASLEEP
    world.signal(Kind.REQUEST, arrived=world.time)
    assert world.phase() is Phase.ASLEEP


def test_a_count_that_somebody_raises_in_closed_hours_is_left() -> None:
    world = keep(asleep(), CLOSED_ALL_DAY)
    world.alarm = "OK"
    world.minutes(1)
    world.set_desired(2)
    world.minutes(10)
    assert world.phase() is Phase.AWAKE
    assert world.desired == 2


def test_a_drowsy_service_is_called_back_once_the_closed_hours_are_over() -> None:
    world = at(keep(awake(), {"closed": ["fri 10:00-12:00"]}), 11, 58)
    world.minutes(1)
    assert world.phase() is Phase.DROWSY
    world.minutes(1)  # it is 12:00, and the idle alarm is OK
    assert world.phase() is Phase.AWAKE


def test_a_wake_that_is_under_way_is_finished() -> None:
    world = keep(waking(), CLOSED_ALL_DAY)
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    world.minutes(3)
    assert world.phase() is Phase.ASLEEP


# --- awake ---------------------------------------------------------------------------------------
def test_awake_hours_wake_and_hold_an_idle_service_until_they_end() -> None:
    world = at(keep(asleep(), AWAKE_SOON), 11, 58)
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP
    world.minutes(1)
    assert world.phase() is Phase.WAKING
    world.alarm = "ALARM"
    while world.time < at(World(), 15, 59).time:
        world.minutes(1)
        assert world.phase() is Phase.AWAKE
    world.minutes(4)
    assert world.phase() is Phase.ASLEEP


def test_the_command_sleep_is_answered_with_the_end_of_awake_hours() -> None:
    world = keep(awake(alarm="ALARM"), AWAKE_ALL_DAY)
    answer = world.invoke({"command": "sleep"})
    assert answer["reason"] == "stays awake: awake by the schedule"
    assert answer["hours"] == {"window": "awake", "until": OPENS, "time_zone": "UTC"}


def test_on_a_date_of_except_awake_hours_do_nothing() -> None:
    world = at(asleep(), 12)
    world.environment["SCHEDULE"] = hours(**AWAKE_SOON, **{"except": ["2027-01-15"]})
    world.minutes(3)
    assert world.phase() is Phase.ASLEEP


def test_after_failed_wakes_awake_hours_wait_as_a_request_does() -> None:
    world = keep(failed(), AWAKE_ALL_DAY)
    retry_at = world.memory.retry_at
    while world.time + 60 < retry_at:
        world.minutes(1)
        assert world.phase() is Phase.ASLEEP
    world.minutes(1)
    assert world.phase() is Phase.WAKING


def test_what_is_given_up_stays_so_in_awake_hours() -> None:
    world = keep(given_up(), AWAKE_ALL_DAY)
    world.minutes(300)
    assert world.phase() is Phase.ASLEEP


def test_a_service_that_awake_hours_hold_is_not_told_to_be_idle_for_long() -> None:
    world = keep(awake(alarm="ALARM"), {"awake": ["fri,sat 00:00-24:00"]})
    world.minutes(13 * 60)
    assert world.phase() is Phase.AWAKE
    assert world.notices == []


def test_wakes_by_the_schedule_use_no_budget() -> None:
    often = [f"fri {hour:02}:{minute:02}-{hour:02}:{minute + 1:02}"
             for hour in (12,) for minute in range(0, 60, 12)]  # fmt: skip
    world = at(keep(asleep(alarm="ALARM"), {"awake": often}), 11, 59)
    world.environment["MIN_AWAKE_MINUTES"] = "2"
    slept = 0
    for _ in range(60):
        world.minutes(1)
        slept += world.phase() is Phase.ASLEEP
    causes = [wake["cause"] for wake in world.memory.wakes]
    assert causes == ["schedule"] * len(often)
    assert slept > 20
    assert not [notice for notice in world.notices if "Woken" in notice]


def test_closed_goes_before_awake() -> None:
    world = keep(asleep(), {**AWAKE_ALL_DAY, **CLOSED_SOON})
    schedule = world.aws().config.schedule
    kinds = [window(schedule, at(world, hour).time).kind for hour in (11, 12, 15, 16)]
    assert kinds == [WindowKind.AWAKE, WindowKind.CLOSED, WindowKind.CLOSED, WindowKind.AWAKE]


# --- said ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "steps", "expected"),
    [
        (CLOSED_ALL_DAY, [], "closed"),
        (CLOSED_ALL_DAY, [{"command": "wake"}], "reopened"),
        (CLOSED_ALL_DAY, [{"command": "pin", "minutes": 5}], "reopened"),
        (AWAKE_ALL_DAY, [], "awake"),
        (CLOSED_SOON, [], "none"),
    ],
)
def test_commands_tell_the_hours(given: Any, steps: list[Any], expected: str) -> None:
    world = at(keep(asleep(), given), 9)
    for step in steps:
        world.invoke(step)
    for command in ("status", "explain"):
        assert world.invoke({"command": command})["hours"]["window"] == expected


def test_without_a_schedule_nothing_is_said_of_hours() -> None:
    assert "hours" not in asleep().invoke({"command": "status"})


def test_an_unreadable_schedule_is_named() -> None:
    world = World()
    world.environment["SCHEDULE"] = hours(awake=["someday 08:00-09:00"])
    with pytest.raises(ValueError, match="SCHEDULE is"):
        world.aws()
