"""Messages in a queue keep an environment awake, and wake it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Kind, Phase

from tests.warmkeeper.scenes import (
    asleep,
    awake,
    drowsy,
    environment_of,
    fail,
    follow,
    play,
    wait,
    waking,
)
from tests.warmkeeper.world import World

MAIL = "arn:aws:sqs:eu-central-1:123456789012:mail"


def with_queue(phase: Callable[..., World], messages: int = 0) -> World:
    """An environment whose mailer has a queue, in this phase; the messages come then."""
    members: dict[str, dict[str, Any]] = {
        "web": {"service": "app"},
        "api": {"service": "api"},
        "mailer": {"service": "mailer", "required": False, "queues": [MAIL]},
    }
    world = phase(**environment_of(**members), queues={"mail": 0})
    world.queues["mail"] = messages
    return world


def test_messages_keep_an_idle_environment_awake() -> None:
    world = with_queue(awake, 3)
    world.alarm = "ALARM"
    world.minutes(20)
    assert world.phase() is Phase.AWAKE


def test_it_may_sleep_when_no_tick_has_seen_messages_for_idle_minutes() -> None:
    world = with_queue(awake, 3)
    world.alarm = "ALARM"
    world.minutes(1)
    world.queues["mail"] = 0
    world.minutes(4)
    assert world.phase() is Phase.AWAKE
    world.minutes(1)
    assert world.phase() is Phase.DROWSY


def test_messages_call_a_drowsy_environment_back() -> None:
    world = with_queue(drowsy, 1)
    world.minutes(1)
    assert world.phase() is Phase.AWAKE


def test_a_message_wakes_at_the_next_tick_and_the_cause_is_told() -> None:
    world = with_queue(asleep, 1)
    world.minutes(1)
    assert world.phase() is Phase.WAKING
    assert world.memory.wake
    assert world.memory.wake.cause == "messages in a queue"
    follow(world, 60)
    assert world.phase() is Phase.AWAKE


def test_an_empty_queue_wakes_nobody() -> None:
    world = with_queue(asleep)
    world.minutes(30)
    assert world.phase() is Phase.ASLEEP


def test_messages_obey_the_pause_after_a_failed_wake() -> None:
    world = with_queue(waking)
    for each in world.beside.values():
        each.starts = False
    play(world, (wait(10), fail))
    world.queues["mail"] = 1
    world.time = world.memory.retry_at - 61
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP
    world.minutes(1)
    assert world.phase() is Phase.WAKING


def test_messages_that_nobody_takes_are_told_after_half_a_day() -> None:
    world = with_queue(awake, 2)
    world.alarm, world.alarm_since = "ALARM", world.time
    world.minutes(12 * 60 + 2)
    (told,) = [notice for notice in world.notices if wk.IDLE_BUT_AWAKE.text in notice]
    assert "2 messages in the queues" in told


@pytest.mark.parametrize("kind", [Kind.BEAT, Kind.ECS_EVENT])
def test_only_ticks_and_what_may_lead_to_sleep_ask_for_messages(kind: Kind) -> None:
    world = with_queue(asleep, 1)
    world.reads.clear()
    world.signal(kind)
    assert "get_queue_attributes" not in world.reads


def test_the_url_of_a_queue_is_asked_once_for_each_container() -> None:
    world = with_queue(awake, 1)
    aws = world.aws()
    assert [aws.messages(), aws.messages()] == [1, 1]
    assert world.reads.count("get_queue_url") <= world.reads.count("get_queue_attributes") - 1
