"""Ten things that go wrong, on the local cloud: it heals, forgets nothing, and loses nobody.

The same and a great many more are played in one process by tests/faults.
"""

from __future__ import annotations

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from localcloud.client import LocalCloud
from tests import figures
from tests.estate import REPOSITORY, Estate

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

TICK_SECONDS = 60.0
HEAL_SECONDS = 3 * TICK_SECONDS  # by the second tick, and before a third comes
HOUR = 3600.0
HEALING = ("PutItem", "UpdateService", "SetRulePriorities")
PATIENCE_SECONDS = 180.0  # virtual ones
PROPAGATION = [0.3, 0.8]  # the local cloud's own
PACKAGE = REPOSITORY / "lambda" / "warmkeeper.zip"


@dataclass
class Case:
    """One fault: who asks, and what is found out."""

    estate: Estate
    cloud: LocalCloud
    served: int = 0
    lost: int = 0
    told: list[int] = field(default_factory=list)  # the statuses on the way

    def ask(self) -> None:
        """Somebody wants the app, follows redirects and honours Retry-After."""
        began = self.cloud.now()
        while self.cloud.now() < began + PATIENCE_SECONDS:
            answer = self.estate.get()
            self.told += [hop.status_code for hop in (*answer.history, answer)]
            if answer.status_code == 200:
                self.served += 1
                return
            if "Retry-After" not in answer.headers:
                break
            self.cloud.advance(int(answer.headers["Retry-After"]))
        self.lost += 1

    def fits(self) -> bool:
        """Whether AWS is as the phase says."""
        estate, phase = self.estate, self.estate.phase()
        desired, up = estate.service()["desiredCount"], rule_is_up(estate)
        return {
            "awake": desired > 0 and not up and live(estate) > 0,
            "drowsy": desired > 0 and up and live(estate) > 0,
            "asleep": desired == 0 and up,
            "waking": desired > 0 and up,
            "": False,
        }[phase]

    def heals(self, ended: float, *phases: str) -> float:
        """Wait until it is in one of these phases, and AWS so: virtual seconds since `ended`.

        By the last call that brought it there, and not by when somebody has looked.
        """
        self.cloud.advance_until(
            lambda: self.estate.phase() in phases and self.fits(), minutes=10, speed=60
        )
        calls = self.cloud.calls(caller=caller(self.estate))
        healed = [float(call["time"]) for call in calls if call["action"] in HEALING]
        return max(healed[-1] - ended, 0.0)

    def end(self, name: str, heal: float, phase: str) -> None:
        """What must hold at the end of every one of them."""
        assert self.estate.phase() == phase
        assert self.fits()
        assert self.estate.memory()["counts"] == {"this": 1}
        assert self.lost == 0, self.told
        assert self.served > 0
        assert heal < HEAL_SECONDS
        found = {"ends": phase, "served": self.served, "lost": 0, "seconds to heal": round(heal)}
        figures.record("live faults", name, found)


@pytest.fixture
def case(estate: Estate, cloud: LocalCloud) -> Case:
    return Case(estate, cloud)


def rule_is_up(estate: Estate) -> bool:
    outputs = estate.outputs
    arns = [outputs["wake_rule_arn"], outputs["service_rule_arn"]]
    rules = estate.client("elbv2").describe_rules(RuleArns=arns)["Rules"]
    numbers = {rule["RuleArn"]: int(rule["Priority"]) for rule in rules}
    return numbers[arns[0]] < numbers[arns[1]]


def live(estate: Estate) -> int:
    """How many targets are healthy."""
    health = estate.client("elbv2").describe_target_health(
        TargetGroupArn=estate.outputs["target_group_arn"]
    )
    states = [target["TargetHealth"]["State"] for target in health["TargetHealthDescriptions"]]
    return states.count("healthy")


def caller(estate: Estate) -> str:
    """The function, as the local cloud records its calls."""
    return f"function.{estate.outputs['function_name']}"


def alarm_event(estate: Estate) -> dict[str, Any]:
    arn = estate.outputs["idle_alarm_arn"]
    return {"source": "aws.cloudwatch", "alarmArn": arn, "alarmData": {"state": {"value": "ALARM"}}}


def rewrite(estate: Estate, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the memory as another writer would: with the next version."""
    database, name = estate.client("dynamodb"), estate.outputs["table_name"]
    key = {"id": {"S": "memory"}}
    item = database.get_item(TableName=name, Key=key)["Item"]
    body = json.loads(item["body"]["S"])
    change(body)
    item["body"]["S"], item["version"]["N"] = json.dumps(body), str(int(item["version"]["N"]) + 1)
    database.put_item(TableName=name, Item=item)


@contextmanager
def without_the_idle_alarm(estate: Estate) -> Iterator[None]:
    cloudwatch, alarm = estate.client("cloudwatch"), estate.idle_alarm()
    tags = cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    kept = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    cloudwatch.delete_alarms(AlarmNames=[alarm["AlarmName"]])
    try:
        yield
    finally:
        again = {name: value for name, value in alarm.items() if name in kept}
        cloudwatch.put_metric_alarm(**again, Tags=tags)


def at_work(estate: Estate, cloud: LocalCloud) -> list[int]:
    """The function's processes that are not frozen, in this test's cloud and in no other."""
    own = {
        f"AWS_LAMBDA_FUNCTION_NAME={estate.outputs['function_name']}",
        f"AWS_ENDPOINT_URL={cloud.endpoint}",
    }
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = set(path.read_bytes().decode(errors="replace").split("\0"))
            state = path.with_name("stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it has ended, or is somebody else's
        if own <= variables and state != "T":
            found.append(int(path.parent.name))
    return found


def test_the_tick_stops_for_an_hour(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    estate.fall_drowsy()
    with estate.without_ticks():
        cloud.advance(HOUR / 2, speed=600)
        assert case.fits(), "it stays as it is: the tasks run, and the next request is seen"
        case.ask()
        cloud.advance(HOUR / 2, speed=600)
        assert case.fits()
        case.ask()
        estate.fall_drowsy()
        cloud.advance(2 * TICK_SECONDS)
    heal = case.heals(cloud.now(), "asleep")
    case.end("tick stopped for an hour", heal, "asleep")


def test_the_function_is_killed_between_rule_and_count(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    estate.fall_drowsy()
    function, began = caller(estate), cloud.now()
    cloud.fault("hang", "ecs", "UpdateService", caller=function, count=1, seconds=1)
    cloud.advance_until(lambda: estate.updates(cloud, began), minutes=5, speed=20)
    for process in at_work(estate, cloud):
        os.kill(process, signal.SIGKILL)
    ended = cloud.now()
    assert estate.phase() == "asleep"
    assert estate.service()["desiredCount"] == 1, "the count was not taken"
    assert rule_is_up(estate)
    heal = case.heals(ended, "asleep", "awake")
    case.ask()
    case.end("killed between rule and count", heal, "awake")


def test_the_alarm_s_message_comes_twice_and_late(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    event = alarm_event(estate)

    def twice() -> set[str]:
        with ThreadPoolExecutor(2) as callers:
            return {answer["phase"] for answer in callers.map(estate.invoke, [event, event])}

    assert twice() == {"awake"}, "it was in use a moment ago"
    began = cloud.now()
    cloud.advance_until(lambda: estate.phase() == "drowsy", minutes=20)
    since = estate.memory()["since"]
    assert twice() == {"drowsy"}
    assert estate.memory()["since"] == since
    heal = case.heals(cloud.now(), "asleep")
    assert twice() == {"asleep"}
    assert len(estate.updates(cloud, began)) == 1
    case.ask()
    assert twice() == {"awake"}
    case.end("alarm's message twice and late", heal, "awake")


def test_a_node_of_the_load_balancer_is_an_age_behind(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    cloud.settings(elb={"propagation_seconds": [PROPAGATION[0], 12.0]})
    try:
        estate.fall_drowsy()
        for _ in range(4):  # each by a connection of its own, so by either node
            case.ask()
        estate.fall_asleep(cloud)
        woken = cloud.now()
        with ThreadPoolExecutor(2) as clients:
            for client in [clients.submit(case.ask) for _ in range(2)]:
                client.result()
        assert case.served == 6
        heal = case.heals(woken, "awake")
        assert set(case.told) <= {200, 307}
    finally:
        cloud.settings(elb={"propagation_seconds": PROPAGATION})
    case.end("a node an age behind", heal, "awake")


def test_two_versions_of_the_code_at_once(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    functions, name = estate.client("lambda"), estate.outputs["function_name"]
    estate.fall_asleep(cloud)
    other = io.BytesIO(PACKAGE.read_bytes())
    with zipfile.ZipFile(other, "a") as package:
        package.writestr("version.txt", "another")
    cloud.settings(ecs={"pull_seconds": 4.0})
    began = cloud.now()
    try:
        with ThreadPoolExecutor(1) as clients:
            held = clients.submit(case.ask)
            estate.until("waking", 20)
            functions.update_function_code(FunctionName=name, ZipFile=other.getvalue())
            for _ in range(4):
                assert estate.invoke({"command": "status"})["phase"] in ("waking", "awake")
                requests.get(estate.outputs["status_url"], timeout=300)
                time.sleep(0.3)
            held.result()
        heal = case.heals(cloud.now(), "awake")
        assert len(estate.updates(cloud, began)) == 1
    finally:
        functions.update_function_code(FunctionName=name, ZipFile=PACKAGE.read_bytes())
    case.end("two versions of the code at once", heal, "awake")


def test_the_memory_is_deleted(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    table = {"TableName": estate.outputs["table_name"], "Key": {"id": {"S": "memory"}}}
    estate.client("dynamodb").delete_item(**table)
    heal = case.heals(cloud.now(), "awake")
    estate.fall_asleep(cloud)
    estate.client("dynamodb").delete_item(**table)
    case.ask()
    heal = max(heal, case.heals(cloud.now(), "awake"))
    case.end("memory deleted", heal, "awake")


def test_the_memory_is_throttled(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    estate.fall_asleep(cloud)
    for action in ("GetItem", "PutItem"):
        cloud.fault("throttle", "dynamodb", action, caller=caller(estate))
    with ThreadPoolExecutor(1) as clients:
        waits = clients.submit(case.ask)
        while not case.told:
            time.sleep(0.05)
        assert case.told == [503], "told to come again"
        cloud.clear_faults()
        ended = cloud.now()
        waits.result()
    case.end("memory throttled", case.heals(ended, "awake"), "awake")


def test_the_topic_is_gone(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    gone = {"code": "NotFound", "message": "Topic does not exist", "status": 404}
    cloud.fault("fail", "sns", "Publish", caller=caller(estate), **gone)
    estate.fall_asleep(cloud)
    began = cloud.now()
    case.ask()
    heal = case.heals(began, "awake")
    cloud.clear_faults()
    case.end("topic gone", heal, "awake")


def test_a_clock_is_fast(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    estate.fall_asleep(cloud)

    def by_a_fast_clock(memory: dict[str, Any]) -> None:
        for name in ("since", "last_take_at"):
            memory[name] = cloud.now() + 4.0

    rewrite(estate, by_a_fast_clock)
    began = cloud.now()
    case.ask()
    heal = case.heals(began, "awake")
    case.end("a clock that is fast", heal, "awake")


def test_the_idle_alarm_is_deleted(case: Case) -> None:
    estate, cloud = case.estate, case.cloud
    with without_the_idle_alarm(estate):
        cloud.advance(12 * 60, speed=300)
        assert case.fits()
        assert estate.phase() == "awake", "it does not know, so it stays up"
        findings = [each["finding"] for each in estate.invoke({"command": "doctor"})["findings"]]
        assert any("the idle alarm is not there" in finding for finding in findings)
        case.ask()
    heal = case.heals(cloud.now(), "awake")
    cloud.advance_until(lambda: estate.phase() == "asleep" and case.fits(), minutes=20)
    case.end("idle alarm deleted", heal, "asleep")
