"""Several rules, listeners and target groups behind one phase."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Kind, Phase, Rule

from tests.warmkeeper.scenes import OTHER_ESTATES, asleep, awake, drowsy, follow, waking, world_of
from tests.warmkeeper.world import (
    BALANCING,
    CONTROL_RULE,
    FOREIGN_RULE,
    IDLE_ALARM,
    OTHER_GROUP,
    OTHER_ROUTE,
    OTHER_SERVICE_RULE,
    OTHER_WAKE_RULE,
    SERVICE_GROUP,
    SERVICE_RULE,
    WAKE_RULE,
    World,
    route,
    routes,
)

PHASES = [awake, drowsy, asleep, waking]
GROUPS = {"TARGET_GROUP_ARNS": f"{SERVICE_GROUP},{OTHER_GROUP}"}


def two(phase: Callable[..., World], **more: Any) -> World:
    """Two routes on listeners of their own."""
    changes = OTHER_ESTATES["two routes"]
    environment = {**changes["environment"], **more.pop("environment", {})}
    return phase(rules=dict(changes["rules"]), environment=environment, **more)


def ups(world: World) -> list[bool]:
    return [world.is_up(each) for each in world.routes]


def set_up(world: World, rule: str, number: int) -> World:
    """Somebody, or a call that was lost, has put one wake rule there."""
    world.rules[rule] = number
    return world


# --- moving together ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phase", "up"), [(awake, False), (drowsy, True), (asleep, True), (waking, True)]
)
def test_the_wake_rules_of_all_routes_stand_alike(phase: Callable[..., World], up: bool) -> None:
    assert ups(two(phase)) == [up, up]


def test_one_call_moves_the_rules_of_one_listener() -> None:
    service, wake, control = (
        f"{BALANCING}:listener-rule/app/staging/a1/l1/{name}-2"
        for name in ("r-service", "r-wake", "r-control")
    )
    second = route(service, wake, (control,), rule_priority=22, parked_rule_priority=30_020)
    world = awake(
        environment=routes(apex=route(), www=second),
        rules={
            CONTROL_RULE: 10, SERVICE_RULE: 15, WAKE_RULE: 30_010,
            control: 20, service: 100, wake: 30_020,
        },
        forwards={service: SERVICE_GROUP},
        alarm="ALARM",
    )  # fmt: skip
    world.minutes(1)
    assert ups(world) == [True, True]
    assert (world.rules[WAKE_RULE], world.rules[wake]) == (12, 22)
    assert world.did("rule up") == 1


def test_the_routes_of_several_listeners_need_a_call_each() -> None:
    world = two(awake, alarm="ALARM")
    world.calls.clear()
    world.minutes(1)
    assert world.did("rule up") == 2


@pytest.mark.parametrize("moved", [WAKE_RULE, OTHER_WAKE_RULE])
@pytest.mark.parametrize("phase", PHASES)
def test_what_was_moved_in_part_is_healed_by_the_next_look(
    phase: Callable[..., World], moved: str
) -> None:
    world = two(phase)
    up = phase is not awake
    set_up(world, moved, 30_010 if up else 12)
    assert world.aws().rules()[0] is Rule.MIXED
    if phase is waking:
        world.signal(Kind.POLL)
    else:
        world.time += 30
        world.signal(Kind.TICK)
    assert ups(world) == [up, up]


def test_drowsy_lingers_from_the_moment_at_which_all_rules_are_seen_up() -> None:
    world = two(drowsy, alarm="ALARM")
    set_up(world, OTHER_WAKE_RULE, 30_010)
    world.time += 45
    world.signal(Kind.TICK)
    assert ups(world) == [True, True]
    world.time += 45
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY
    world.time += 20
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP


def test_a_rule_that_is_stuck_does_not_keep_the_others_from_moving() -> None:
    world = two(asleep)
    world.rules |= {SERVICE_RULE: 11, WAKE_RULE: 30_010, OTHER_WAKE_RULE: 30_010}
    world.minutes(1)
    assert world.is_up(world.routes[1])
    assert any(wk.NO_RULE_NUMBER.text in notice for notice in world.notices)
    assert any("route https" in notice for notice in world.notices)


def test_a_request_that_came_by_a_rule_that_is_up_is_not_sent_in_circles() -> None:
    """Awake, one rule is stuck up: who comes by it is put off after a while."""
    world = two(awake)
    set_up(world, OTHER_WAKE_RULE, 12)
    world.failing = {"set_rule_priorities"}
    world.time += 100
    event = {
        "requestContext": {"elb": {"targetGroupArn": world.environment["WAKE_TARGET_GROUP_ARN"]}},
        "httpMethod": "GET",
        "path": "/",
        "multiValueHeaders": {},
    }
    assert world.invoke(event)["statusCode"] == 503


# --- open and dead --------------------------------------------------------------------------------
def closed_by_weight(world: World) -> World:
    """The second route forwards to a group in which no task is."""
    world.environment |= GROUPS
    world.empty_groups = {OTHER_GROUP}
    world.forwards[OTHER_SERVICE_RULE] = OTHER_GROUP
    return world


def test_awake_a_route_without_a_live_target_is_no_reason_to_put_rules_up() -> None:
    world = closed_by_weight(two(awake))
    world.minutes(10)
    assert world.phase() is Phase.AWAKE
    assert ups(world) == [False, False]


def test_rules_go_down_only_when_every_route_has_a_live_target() -> None:
    world = closed_by_weight(two(asleep))
    world.signal(Kind.REQUEST)
    follow(world, 30)
    assert world.phase() is Phase.WAKING
    assert ups(world) == [True, True]
    world.empty_groups = set()
    follow(world, 3)
    assert world.phase() is Phase.AWAKE
    assert ups(world) == [False, False]


def test_at_the_deadline_what_serves_is_let_through_and_somebody_is_told() -> None:
    world = closed_by_weight(two(asleep))
    world.signal(Kind.REQUEST)
    follow(world, 20)
    world.minutes(5)
    assert world.desired == 1
    assert world.phase() is Phase.AWAKE
    assert ups(world) == [False, False]
    (told,) = [notice for notice in world.notices if wk.NOT_READY.text in notice]
    assert "this, route http: " in told


def test_a_drowsy_service_one_of_whose_routes_is_closed_is_woken_first() -> None:
    world = closed_by_weight(two(drowsy))
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING
    assert ups(world) == [True, True]


def test_only_targets_to_which_the_rule_forwards_are_live() -> None:
    """A blue/green deployment has left 100/0 behind, and the tasks are in the group of 0."""
    world = asleep(environment=GROUPS, empty_groups={OTHER_GROUP})
    world.forwards[SERVICE_RULE] = {SERVICE_GROUP: 0, OTHER_GROUP: 100}
    world.signal(Kind.REQUEST)
    follow(world, 30)
    assert world.phase() is Phase.WAKING
    world.forwards[SERVICE_RULE] = {SERVICE_GROUP: 100, OTHER_GROUP: 0}
    follow(world, 3)
    assert world.phase() is Phase.AWAKE


def test_a_group_that_is_gone_keeps_it_awake() -> None:
    world = awake(environment=GROUPS, gone={OTHER_GROUP}, alarm="ALARM")
    world.minutes(10)
    assert world.desired == 1
    assert any(wk.TARGET_GROUP_DETACHED.text in notice for notice in world.notices)


def test_a_rule_of_ours_on_another_listener_is_not_in_the_way() -> None:
    """Both listeners have the same numbers."""
    world = two(awake, alarm="ALARM")
    world.minutes(1)
    assert (world.rules[WAKE_RULE], world.rules[OTHER_WAKE_RULE]) == (12, 12)


# --- idle -----------------------------------------------------------------------------------------
IDLE_ALARMS = {"IDLE_ALARM_ARNS": f"{IDLE_ALARM},{IDLE_ALARM}-1"}


@pytest.mark.parametrize(("other", "phase"), [("ALARM", Phase.ASLEEP), ("OK", Phase.AWAKE)])
def test_it_is_idle_when_all_alarms_are_in_alarm(other: str, phase: Phase) -> None:
    world = awake(environment=IDLE_ALARMS, alarm="ALARM", alarms={"staging-idle-1": other})
    world.minutes(5)
    assert world.phase() is phase


def test_an_idle_alarm_that_is_missing_keeps_it_awake() -> None:
    world = awake(environment=IDLE_ALARMS, alarm="ALARM")
    world.minutes(5)
    assert world.phase() is Phase.AWAKE
    assert any(wk.IDLE_ALARM_MISSING.text in notice for notice in world.notices)


# --- deployments of other kinds -------------------------------------------------------------------
CANARY = {"described": {"deploymentConfiguration": {"strategy": "CANARY"}}}


@pytest.mark.parametrize("estate", [{"rollout": {}}, CANARY], ids=["no state", "COMPLETED"])
def test_a_deployment_that_shifts_traffic_keeps_it_awake_whatever_its_rollout_state(
    estate: dict[str, Any],
) -> None:
    world = awake(**estate, deploying=True, alarm="ALARM")
    world.minutes(10)
    assert world.phase() is Phase.AWAKE
    world.deploying = False
    world.minutes(3)
    assert world.phase() is Phase.ASLEEP


def test_of_a_rolling_deployment_nothing_more_is_asked() -> None:
    world = awake(alarm="ALARM")
    world.minutes(5)
    assert "list_service_deployments" not in world.reads


# --- Service Connect ------------------------------------------------------------------------------
@pytest.mark.parametrize(("names", "phase"), [("", Phase.AWAKE), ("api", Phase.ASLEEP)])
def test_a_service_of_service_connect_sleeps_only_if_an_alarm_counts_its_requests(
    names: str, phase: Phase
) -> None:
    connect = {
        "serviceConnectConfiguration": {
            "enabled": True,
            "services": [{"portName": "http", "discoveryName": "api"}],
        }
    }
    world = awake(connect=connect, environment={"SERVICE_CONNECT_NAMES": names}, alarm="ALARM")
    world.minutes(5)
    assert world.phase() is phase


# --- the default action ---------------------------------------------------------------------------
@pytest.mark.parametrize("created", [True, False])
def test_a_created_catch_all_before_other_rules_is_told(created: bool) -> None:
    world = awake(environment=routes(this=route(creates_service_rule=created)))
    world.rules[FOREIGN_RULE] = 200
    world.hosts[FOREIGN_RULE] = ["other.example.com"]
    world.minutes(2)
    told = [notice for notice in world.notices if wk.RULES_COVERED.text in notice]
    assert len(told) == created


# --- what is read ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("condition", "named"),
    [
        (
            {
                "Field": "http-header",
                "HttpHeaderConfig": {"HttpHeaderName": "X-Origin", "Values": ["S"]},
            },
            {"http-header x-origin": ("s",)},
        ),
        (
            {
                "Field": "query-string",
                "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}]},
            },
            {"query-string": ("v=1",)},
        ),
        (
            {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
            {"source-ip": ("10.0.0.0/8",)},
        ),
    ],
)
def test_conditions_of_every_kind_are_read(
    condition: dict[str, Any], named: dict[str, tuple[str, ...]]
) -> None:
    rule = {"RuleArn": SERVICE_RULE, "Priority": "1", "Actions": [], "Conditions": [condition]}
    assert wk.rule_view(rule).conditions == named


def test_routes_are_read_from_the_environment() -> None:
    config = wk.Config.from_environment(
        world_of(environment=routes(a=route(), b=OTHER_ROUTE)).environment
    )
    assert [each.name for each in config.routes] == ["a", "b"]
    assert config.routes[1].listener_arn == f"{BALANCING}:listener/app/staging/a1/l2"
    assert {SERVICE_RULE, OTHER_WAKE_RULE, CONTROL_RULE} <= config.wired_rule_arns


UNREADABLE = ["", "12/40000", "12 a b", "x/40000 a b", "12/40000/new a b", "12/40000 a"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", *(json.dumps({"rules": "", "routes": {"a": each}}) for each in UNREADABLE)],
)
def test_routes_that_cannot_be_read_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^ROUTES is "):
        wk.Config.from_environment({**World().environment, "ROUTES": text})


def test_a_count_that_0_4_0_stored_by_the_service_s_name_is_woken_to() -> None:
    world = asleep(desired=3)
    item = world.items["memory"]
    body = json.loads(item["body"]["S"])
    body["counts"] = {"app": body["counts"].pop("this")}
    item["body"]["S"] = json.dumps(body)
    world.signal(Kind.REQUEST)
    assert world.desired == 3
