"""Every kind of event in the form that AWS gives it, and what is refused."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
import warmkeeper as wk
from hypothesis import given, settings
from hypothesis import strategies as st
from warmkeeper import NOT_STARTED, Kind, Phase, Signal

from tests.warmkeeper.recorded import (
    EVENTS,
    counted,
    log_lines,
    metrics,
    recorded,
    request,
    state,
    told_already,
)
from tests.warmkeeper.scenes import ALARM_PATH, world_of
from tests.warmkeeper.world import (
    CONTROL_GROUP,
    ENVIRONMENT,
    SERVICE_GROUP,
    WAKE_ALARM,
    WAKE_GROUP,
    World,
)

NOW = 1_800_000_000.0
CONFIG = wk.Config.from_environment({**ENVIRONMENT, "WAKE_ALARM_ARN": WAKE_ALARM})

MEANINGS = {
    "alarm_idle": Signal(Kind.IDLE_ALARM),
    "alarm_idle_sns": Signal(Kind.IDLE_ALARM),
    "alarm_wake": Signal(Kind.WAKE_ALARM),
    "tick": Signal(Kind.TICK),
    "ecs_task_state_change": Signal(Kind.ECS_EVENT, active=True),
    "ecs_deployment_state_change": Signal(Kind.ECS_EVENT),
    "ecs_service_action": Signal(Kind.ECS_EVENT),
    "terraform_create": Signal(Kind.ADOPT),
    "terraform_update": Signal(Kind.RECONCILE),
    "terraform_delete": Signal(Kind.RESTORE),
    "command_status": Signal(Kind.STATUS),
    "command_wake": Signal(Kind.WAKE),
    "command_wake_wait": Signal(Kind.WAKE),
    "command_sleep": Signal(Kind.SLEEP),
    "command_pin": Signal(Kind.PIN, pinned_until=NOW + 90 * 60),
    "command_unpin": Signal(Kind.UNPIN),
    "command_beat": Signal(Kind.BEAT, active=True, at=NOW - 40),
    "command_doctor": Signal(Kind.DOCTOR),
    "command_report": Signal(Kind.REPORT),
    "command_explain": Signal(Kind.EXPLAIN),
}
OTHER_ANSWERS = {"command_beat", "command_doctor", "command_report", "command_explain"}
FOREIGN = [
    "alarm_foreign",
    "alarm_foreign_sns",
    "alarm_idle_ok",
    "ecs_foreign_service",
    "ecs_foreign_cluster",
]
HTTP = [file.stem for file in EVENTS.glob("alb_*.json")]
BAD_MINUTES: list[Any] = [0, -1, "60", None, True, [], {}, 1e6, float("inf"), float("nan")]
MALFORMED: list[Any] = [
    None,
    True,
    7,
    "wake",
    [],
    [{"command": "wake"}],
    {},
    {"hello": "world"},
    {"command": None},
    {"command": "restart"},
    {"command": "tick"},
    {"command": "WAKE"},
    {"command": ["wake"]},
    {"command": {"wake": 1}},
    {"command": "terraform"},
    {"command": "terraform", "tf": None},
    {"command": "terraform", "tf": "delete"},
    {"command": "terraform", "tf": {}},
    {"command": "terraform", "tf": {"action": "read"}},
    {"command": "terraform", "tf": {"action": ["delete"]}},
    *({"command": "pin", "minutes": minutes} for minutes in BAD_MINUTES),
    {"command": "beat", "minutes": 5},
    {"command": "beat", "in_flight": True},
    {"command": "beat", "idle_seconds": float("nan")},
    {"requestContext": None},
    {"requestContext": {}},
    {"requestContext": "elb"},
    {"alarmData": None},
    {"alarmData": {}, "alarmArn": "x"},
    {"alarmData": {"state": {}}, "alarmArn": "x"},
    {"Records": None},
    {"Records": []},
    {"Records": [None]},
    {"Records": [{"s3": {}}]},
    {"Records": [{"Sns": {}}]},
    {"Records": [{"Sns": {"Message": "hello"}}]},
    {"Records": [{"Sns": {"Message": "[]"}}]},
    {"Records": [{"Sns": {"Message": "{}"}}]},
    {"source": "aws.events"},
    {"source": "aws.events", "detail-type": "Something Else"},
    {"source": "aws.ecs"},
    {"source": "aws.ecs", "detail": None, "resources": None},
    {"source": "aws.ecs", "detail": [], "resources": [None]},
    {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"},
]


def asleep() -> World:
    world = World(desired=0, environment={**ENVIRONMENT, "WAKE_ALARM_ARN": WAKE_ALARM})
    world.signal(Kind.ADOPT)
    world.time += 60
    return world


def test_every_recorded_event_is_expected_somewhere() -> None:
    names = {file.stem for file in EVENTS.glob("*.json")}
    assert names == {*MEANINGS, *FOREIGN, *HTTP}


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_an_event_means(name: str) -> None:
    assert wk.parse_signal(recorded(name), CONFIG, NOW) == MEANINGS[name]


@pytest.mark.parametrize("name", sorted(MEANINGS.keys() - OTHER_ANSWERS))
def test_an_event_is_answered_with_the_status(name: str) -> None:
    world = World(environment={**ENVIRONMENT, "WAKE_ALARM_ARN": WAKE_ALARM})
    world.signal(Kind.ADOPT)
    answer = world.invoke(recorded(name))
    expected = "drowsy" if name == "command_sleep" else "awake"
    assert answer["phase"] == expected
    assert answer["reason"]
    assert answer["counts"] == {"this": 1}


@pytest.mark.parametrize("name", ["alarm_wake", "command_wake", "command_pin"])
def test_an_event_wakes_what_sleeps(name: str) -> None:
    world = asleep()
    assert world.invoke(recorded(name))["phase"] == "waking"
    assert world.did("count 1") == 1


@pytest.mark.parametrize(
    "name", ["alarm_idle", "alarm_idle_sns", "tick", "ecs_task_state_change", "command_status"]
)
def test_an_event_wakes_nothing(name: str) -> None:
    world = asleep()
    assert world.invoke(recorded(name))["phase"] == "asleep"
    assert [what for _, what in world.calls] == ["rule up"]


@pytest.mark.parametrize("name", sorted(HTTP))
def test_a_request_of_the_load_balancer_is_answered_in_its_form(name: str) -> None:
    world = asleep()
    answer = world.invoke(recorded(name))
    assert answer.keys() == {
        "statusCode",
        "statusDescription",
        "isBase64Encoded",
        "multiValueHeaders",
        "body",
    }
    assert answer["statusDescription"].startswith(f"{answer['statusCode']} ")
    assert isinstance(answer["body"], str)
    assert answer["isBase64Encoded"] is False


# --- refusals ----------------------------------------------------------------------------------


def refused(world: World, event: Any, capsys: pytest.CaptureFixture[str]) -> str:
    """Refuses, once, with a log line and a metric, and has done nothing. Returns why."""
    before = state(world)
    capsys.readouterr()
    with pytest.raises(wk.RefusedError) as why:
        world.invoke(copy.deepcopy(event))
    assert state(world) == before
    output = capsys.readouterr().out
    assert metrics(output) == counted(world)
    line = log_lines(output)[0]
    assert (line["message"], line["reason"]) == ("refused", str(why.value))
    return str(why.value)


@pytest.mark.parametrize("name", FOREIGN)
def test_what_concerns_others_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(asleep(), recorded(name), capsys)


@pytest.mark.parametrize("event", MALFORMED, ids=lambda event: repr(event)[:50])
def test_what_is_not_understood_is_refused(event: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refused(asleep(), event, capsys)


def test_a_refusal_says_what_would_do_and_nothing_of_what_it_got(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = asleep()
    why = refused(world, {"command": "restart"}, capsys)
    assert "unpin" in why
    assert "restart" not in why
    why = refused(world, {"command": "pin", "minutes": -3}, capsys)
    assert "minutes must be" in why
    assert "-3" not in why
    why = refused(world, {"command": "terraform", "tf": {"action": "read"}}, capsys)
    assert "delete" in why
    assert "read" not in why


def test_an_alarm_without_an_arn_is_not_taken_for_the_wake_alarm_that_there_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World()
    world.signal(Kind.ADOPT)
    event = recorded("alarm_wake")
    refused(world, event, capsys)
    refused(world, {**event, "alarmArn": ""}, capsys)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["elb", "tf", "action", "Sns", "Message", "state", "value", "group"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=6,
)
KEYS = ["requestContext", "tf", "Records", "alarmData", "alarmArn", "source", "detail", "resources"]


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_no_json_whatever_breaks_the_reading_of_events(event: dict[str, Any]) -> None:
    with contextlib.suppress(wk.RefusedError):
        assert wk.parse_signal(event, CONFIG, NOW).kind in Kind


# --- refusals by HTTP --------------------------------------------------------------------------

FOREIGN_GROUP = WAKE_GROUP.replace("staging-wake", "somebody-s")
BEAT: dict[str, Any] = {"path": "/health", "group": CONTROL_GROUP, "body": '{"in_flight": 1}'}
TOKENED = {**ENVIRONMENT, "HEARTBEAT_TOKEN_PARAMETER": "token"}


@pytest.mark.parametrize(
    ("event", "status", "why"),
    [
        (request(group=FOREIGN_GROUP), 403, "not from a target group"),
        (request(group=SERVICE_GROUP), 403, "not from a target group"),
        (request(group=""), 403, "not from a target group"),
        (request("POST", **BEAT), 401, "send the token"),
        (request("POST", headers={"authorization": "Bearer wrong"}, **BEAT), 401, "the token"),
        (request("POST", headers={"authorization": "secret"}, **BEAT), 401, "the token"),
        (request("POST", headers={"authorization": "bearer secret"}, **BEAT), 401, "the token"),
        (request("POST", headers={"x-token": "Bearer secret"}, **BEAT), 401, "the token"),
        ({"requestContext": {"elb": None}}, 400, "not in the form"),
        ({"requestContext": {"elb": {}}}, 400, "not in the form"),
        ({**request(), "path": None}, 400, "not in the form"),
        ({**request(), "path": "/\ud800"}, 400, "not in the form"),
        ({**request(), "multiValueHeaders": {"accept": [1]}}, 400, "not in the form"),
        ({**request(), "body": "A===", "isBase64Encoded": True}, 400, "not in the form"),
    ],
)
@pytest.mark.parametrize("phase", ["asleep", "drowsy"])
def test_a_request_that_is_refused_does_nothing_is_counted_and_the_log_says_why(
    phase: str, event: Any, status: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(environment=TOKENED)
    world.signal(Kind.ADOPT)
    world.time += 600
    world.signal(Kind.SLEEP)
    if phase == "asleep":
        world.time += 60
        world.signal(Kind.TICK)
    assert world.phase() == phase
    told_already(world)
    before = state(world)
    capsys.readouterr()
    answer = world.invoke(event)
    assert answer["statusCode"] == status
    assert state(world) == before
    output = capsys.readouterr().out
    assert metrics(output) == counted(world)
    line = log_lines(output)[0]
    assert (line["level"], line["message"], line["status"]) == ("WARNING", "refused", status)
    assert why in line["reason"]
    assert "secret" not in output


def test_a_beat_with_the_token_is_counted() -> None:
    world = World(environment=TOKENED)
    world.signal(Kind.ADOPT)
    answer = world.invoke(request("POST", headers={"authorization": "Bearer secret"}, **BEAT))
    assert (answer["statusCode"], world.memory.beat) == (200, world.time)


# --- commands ----------------------------------------------------------------------------------


def test_wake_with_wait_returns_once_it_is_awake() -> None:
    world = asleep()
    began = world.time
    answer = world.invoke(recorded("command_wake_wait"))
    assert answer["phase"] == "awake"
    assert answer["live"] is True
    assert 10 <= world.time - began < 12


def test_wake_with_wait_raises_where_it_does_not_start() -> None:
    world = asleep()
    world.starts = False
    began = world.time
    late = f"not awake: {NOT_STARTED['placed']}"  # why the wake was given up at its deadline
    with pytest.raises(TimeoutError, match=late):
        world.invoke(recorded("command_wake_wait"))
    assert world.time - began < 310


def test_an_ecs_event_during_a_wake_stays_to_see_the_target_become_healthy() -> None:
    world = asleep()
    world.invoke(recorded("command_wake"))
    world.time += 3
    assert world.invoke(recorded("ecs_task_state_change"))["phase"] == "awake"


def test_an_ecs_event_does_not_stay_for_ever() -> None:
    world = asleep()
    world.boot = 9000
    world.invoke(recorded("command_wake"))
    began = world.time
    assert world.invoke(recorded("ecs_task_state_change"))["phase"] == "waking"
    assert world.time - began <= int(world.environment["HOLD_SECONDS"]) + 1


def test_only_the_event_of_a_task_that_runs_stays() -> None:
    world = asleep()
    world.boot = 9000
    world.invoke(recorded("command_wake"))
    began = world.time
    task = recorded("ecs_task_state_change")
    pending = {**task, "detail": {**task["detail"], "lastStatus": "PENDING"}}
    for event in (pending, recorded("ecs_service_action"), recorded("ecs_deployment_state_change")):
        assert world.invoke(event)["phase"] == "waking"
    assert world.time == began


def test_pin_says_until_when_and_unpin_ends_it() -> None:
    world = World()
    world.signal(Kind.ADOPT)
    assert world.invoke(recorded("command_pin"))["pinned_until"] == world.time + 90 * 60
    assert world.invoke({"command": "pin"})["pinned_until"] == world.time + 60 * 60
    assert world.invoke(recorded("command_unpin"))["pinned_until"] == 0


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({}, True),
        ({"requests": 2}, True),
        ({"in_flight": 0}, False),
        ({"idle_seconds": 299}, True),
        ({"idle_seconds": 301}, False),
    ],
)
def test_the_command_beat_counts_as_the_body_of_a_heartbeat_and_without_fields_at_once(
    fields: dict[str, Any], counted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.signal(Kind.ADOPT)
    capsys.readouterr()
    answer = world.invoke({"command": "beat", **fields})
    told = {"name": "staging", "phase": "awake", "counted": counted, "holds_seconds": 300}
    assert answer == told
    assert metrics(capsys.readouterr().out) == ({"Beats": 1} if counted else {})
    assert (world.memory.beat > 0) is counted


@pytest.mark.parametrize("environment", [{}, ALARM_PATH], ids=["listener path", "alarm path"])
def test_the_command_beat_keeps_an_idle_service_awake_and_wakes_none(
    environment: dict[str, str],
) -> None:
    world = world_of(environment=environment)
    world.signal(Kind.ADOPT)
    world.alarm = "ALARM"
    for _ in range(30):
        world.invoke({"command": "beat"})
        world.minutes(1)
        assert world.phase() is wk.Phase.AWAKE
    world.minutes(20)
    assert world.phase() is wk.Phase.ASLEEP
    assert world.invoke({"command": "beat"})["phase"] == "asleep"
    world.minutes(3)
    assert world.desired == 0


@pytest.mark.parametrize("command", ["wake", "sleep", "pin", "unpin"])
def test_a_command_to_a_service_that_is_gone_is_refused_and_says_so(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = asleep()
    world.exists = False
    capsys.readouterr()
    with pytest.raises(wk.RefusedError, match=f"{command}: no ACTIVE ECS service: app"):
        world.invoke({"command": command})
    assert metrics(capsys.readouterr().out) == {}
    assert world.memory.pinned_until == 0


def test_status_tells_the_phase_and_since_when() -> None:
    world = asleep()
    status = world.invoke(recorded("command_status"))
    assert (status["phase"], status["live"]) == ("asleep", False)
    assert status["seconds"] == pytest.approx(60, abs=0.2)


def test_on_every_path_but_http_what_aws_refuses_is_raised() -> None:
    world = asleep()
    world.failing.add("describe_services")
    for name in ("tick", "alarm_idle", "command_wake", "ecs_service_action"):
        with pytest.raises(Exception, match="Throttling"):
            world.invoke(recorded(name))


def test_the_doctor_finds_and_has_a_remedy_for_each() -> None:
    world = asleep()
    assert world.invoke(recorded("command_doctor")) == {"findings": []}
    world.alarm = None
    world.rules.clear()
    before = state(world)
    findings = world.invoke(recorded("command_doctor"))["findings"]
    assert len(findings) == 2
    assert all(finding["finding"] and finding["remedy"] for finding in findings)
    world.exists = False
    world.items.clear()
    assert len(world.invoke(recorded("command_doctor"))["findings"]) == 4
    assert state(world)[1:] == before[1:]


def test_the_doctor_knows_why_the_last_wake_failed() -> None:
    world = asleep()
    world.starts = False
    world.signal(Kind.WAKE)
    world.time += 301
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP
    (finding,) = world.invoke(recorded("command_doctor"))["findings"]
    assert "wake failed" in finding["finding"]
