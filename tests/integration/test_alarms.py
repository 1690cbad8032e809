"""Every alarm of the module, driven into its state and back by what really causes it.

The last test fails where an alarm resource has no such test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hcl2
import pytest

from localcloud.client import LocalCloud
from tests.estate import REPOSITORY, Estate

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

DRIVEN: set[str] = set()  # names of alarm resources, and keys of people_alarms
SLOW_PULL = {"pull_seconds": 70}  # beyond cold_start_target_seconds

Test = Callable[[Estate, LocalCloud], None]


def drives(resource: str) -> Callable[[Test], Test]:
    """Mark a test as the one that drives this alarm resource."""
    DRIVEN.add(resource)
    return lambda test: test


def state(estate: Estate, alarm: str) -> str:
    name = f"staging-{alarm}"
    (found,) = estate.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(found["StateValue"])


def becomes(
    estate: Estate, cloud: LocalCloud, alarm: str, wanted: str, *, speed: float = 120
) -> None:
    cloud.advance_until(lambda: state(estate, alarm) == wanted, minutes=30, speed=speed)


def told(cloud: LocalCloud, alarm: str, since: float) -> list[tuple[str, str]]:
    """The changes of an alarm that people were told of: from, to."""
    found = []
    for mail in cloud.mailbox():
        if mail["time"] >= since and f'"staging-{alarm}"' in (mail["subject"] or ""):
            message = json.loads(mail["message"])
            found.append((message["OldStateValue"], message["NewStateValue"]))
    return found


def is_told_of(cloud: LocalCloud, alarm: str, since: float) -> None:
    """People are told that it went off, and nothing else of it."""
    cloud.advance_until(lambda: bool(told(cloud, alarm, since)), minutes=2)
    assert [new for _, new in told(cloud, alarm, since)] == ["ALARM"]


def caller(estate: Estate) -> str:
    return f"function.{estate.outputs['function_name']}"


@drives("idle")
def test_idle_is_in_alarm_while_nobody_comes_and_leaves_it_when_somebody_does(
    estate: Estate, cloud: LocalCloud
) -> None:
    becomes(estate, cloud, "idle", "ALARM")
    began = cloud.now()
    while state(estate, "idle") != "OK":
        assert cloud.now() < began + 15 * 60
        assert estate.get().status_code == 200
        cloud.advance(30, speed=60)
    assert told(cloud, "idle", began) == [], "it speaks to the warmkeeper alone"


@drives("cold_start")
def test_cold_start_goes_off_after_a_wake_over_its_target(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    cloud.settings(ecs=SLOW_PULL)
    began = cloud.now()
    estate.invoke({"command": "wake"})
    becomes(estate, cloud, "cold-start", "ALARM", speed=30)
    assert estate.memory()["wakes"][-1]["seconds"] > SLOW_PULL["pull_seconds"]
    becomes(estate, cloud, "cold-start", "OK")
    is_told_of(cloud, "cold-start", began)


@drives("failed_wake")
def test_failed_wake_goes_off_and_the_notice_beside_it_has_the_reason(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    cloud.settings(ecs={"failure": "image"})
    began = cloud.now()
    estate.invoke({"command": "wake"})
    becomes(estate, cloud, "failed-wake", "ALARM", speed=60)
    is_told_of(cloud, "failed-wake", began)
    notices = [mail for mail in cloud.mailbox() if mail["time"] >= began and mail["attributes"]]
    (notice,) = [m for m in notices if m["attributes"]["kind"]["Value"] == "wake-failed"]
    assert notice["attributes"]["severity"]["Value"] == "critical"
    chat: dict[str, Any] = json.loads(notice["messages"]["https"])
    for words in (notice["message"], notice["messages"]["default"], chat["content"]["description"]):
        assert "CannotPullContainerError" in words
    becomes(estate, cloud, "failed-wake", "OK")


@drives("errors")
def test_errors_goes_off_while_the_tick_fails(estate: Estate, cloud: LocalCloud) -> None:
    began = cloud.now()
    cloud.fault("throttle", "dynamodb", "GetItem", caller=caller(estate))
    becomes(estate, cloud, "errors", "ALARM", speed=60)
    cloud.clear_faults()
    becomes(estate, cloud, "errors", "OK")
    is_told_of(cloud, "errors", began)


@contextmanager
def no_concurrency(estate: Estate) -> Iterator[None]:
    """As if the account's were used up by others."""
    functions, named = estate.client("lambda"), {"FunctionName": estate.outputs["function_name"]}
    functions.put_function_concurrency(**named, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        functions.delete_function_concurrency(**named)


@drives("throttles")
def test_throttles_goes_off_while_the_function_gets_no_concurrency(
    estate: Estate, cloud: LocalCloud
) -> None:
    began = cloud.now()
    with no_concurrency(estate):
        becomes(estate, cloud, "throttles", "ALARM")
    becomes(estate, cloud, "throttles", "OK")
    is_told_of(cloud, "throttles", began)


@contextmanager
def no_tick(estate: Estate) -> Iterator[None]:
    events = estate.client("events")
    events.disable_rule(Name="staging-tick")
    try:
        yield
    finally:
        events.enable_rule(Name="staging-tick")


@drives("tick_silent")
def test_tick_silent_goes_off_by_silence_and_not_while_the_module_is_new(
    estate: Estate, cloud: LocalCloud
) -> None:
    becomes(estate, cloud, "tick-silent", "OK")
    began = cloud.now()
    with no_tick(estate):
        becomes(estate, cloud, "tick-silent", "INSUFFICIENT_DATA", speed=300)
    cloud.advance_until(lambda: bool(told(cloud, "tick-silent", began)), minutes=2)
    assert told(cloud, "tick-silent", began) == [("OK", "INSUFFICIENT_DATA")]
    becomes(estate, cloud, "tick-silent", "OK")
    assert len(told(cloud, "tick-silent", began)) == 1
    # a new alarm begins in INSUFFICIENT_DATA, which is no change: nobody was told
    assert {old for old, _ in told(cloud, "tick-silent", 0.0)} == {"OK"}


@pytest.fixture
def on_the_alarm_path(estate: Estate, cloud: LocalCloud) -> Estate:
    """The shared estate without a rule of the module on its listener."""
    estate.apply(cloud, wake_path="alarm")
    return estate


@drives("wake")
def test_wake_goes_off_at_the_load_balancer_s_503_and_wakes(
    on_the_alarm_path: Estate, cloud: LocalCloud
) -> None:
    estate = on_the_alarm_path
    estate.fall_asleep(cloud)
    assert estate.get().status_code == 503
    becomes(estate, cloud, "wake", "ALARM", speed=60)
    cloud.advance_until(lambda: estate.phase() == "awake", minutes=5, speed=20)
    assert estate.get().status_code == 200
    assert estate.memory()["wakes"][-1]["cause"] == "wake alarm"
    becomes(estate, cloud, "wake", "OK")


def test_there_is_such_a_test_for_every_alarm_of_the_module() -> None:
    resources = [
        block
        for file in REPOSITORY.glob("*.tf")
        for block in hcl2.loads(file.read_text()).get("resource", [])
    ]
    alarms = {
        name.strip('"')
        for block in resources
        for kind, named in block.items()
        if kind.strip('"') == "aws_cloudwatch_metric_alarm"
        for name in named
        if not name.startswith("__")
    }
    (of_people,) = [
        block["people_alarms"]
        for block in hcl2.loads((REPOSITORY / "alarms.tf").read_text())["locals"]
        if "people_alarms" in block
    ]
    assert alarms - {"people"} | {name.strip('"') for name in of_people} == DRIVEN
    kinds = {kind.strip('"') for block in resources for kind in block}
    assert "aws_cloudwatch_composite_alarm" not in kinds
