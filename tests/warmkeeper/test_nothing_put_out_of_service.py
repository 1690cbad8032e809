"""Whatever serves people goes on doing so: what the warmkeeper cannot see, map or understand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import warmkeeper as wk
from botocore.exceptions import ClientError
from warmkeeper import Kind, Phase

from tests.warmkeeper.recorded import ask, control
from tests.warmkeeper.scenes import asleep, awake, drowsy, follow, waking
from tests.warmkeeper.world import (
    BALANCING,
    CONTROL_RULE,
    FOREIGN_RULE,
    SERVICE_GROUP,
    SERVICE_RULE,
    WAKE_RULE,
    World,
    route,
    routes,
)

ADOPT = {"command": "terraform", "tf": {"action": "create"}}
UPDATE = {"command": "terraform", "tf": {"action": "update"}}
DELETE = {"command": "terraform", "tf": {"action": "delete"}}
TICK = {"source": "aws.events", "detail-type": "Scheduled Event"}
ANOTHER_GROUP = f"{BALANCING}:targetgroup/internal/t9"
TYPES = ["ip", "ipv6", "instance"]


def findings(world: World) -> list[str]:
    return [each["finding"] for each in world.invoke({"command": "doctor"})["findings"]]


# --- targets that are not addresses of tasks ------------------------------------------------------
@pytest.mark.parametrize("target_type", TYPES)
def test_a_running_service_is_adopted_awake_whatever_its_targets_are(target_type: str) -> None:
    world = World(target_type=target_type)
    assert world.invoke(ADOPT)["phase"] == Phase.AWAKE
    assert world.calls == []


@pytest.mark.parametrize("target_type", TYPES)
def test_it_sleeps_and_wakes_and_none_of_its_tasks_is_taken_for_a_stranger(
    target_type: str,
) -> None:
    world = World(target_type=target_type)
    world.invoke(ADOPT)
    world.alarm = "ALARM"
    world.minutes(12)
    assert world.phase() is Phase.ASLEEP
    world.signal(Kind.REQUEST)  # while the last task is on its way out
    follow(world, 20)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up
    assert not any("no task of the service" in notice for notice in world.notices)


def test_a_task_that_cannot_be_told_by_its_target_is_live_while_it_runs() -> None:
    world = World(boot=0.0, target_type="instance")
    world.told_of_tasks = False
    assert world.invoke(ADOPT)["phase"] == Phase.AWAKE
    assert world.calls == []
    world.alarm = "ALARM"
    world.minutes(12)
    assert world.phase() is Phase.ASLEEP
    world.time += 60
    world.boot = 10.0
    world.signal(Kind.REQUEST)
    follow(world, 20)
    assert world.phase() is Phase.AWAKE


@pytest.mark.parametrize("desired", [0, 1])
@pytest.mark.parametrize("event", [ADOPT, UPDATE, TICK], ids=["adopt", "reconcile", "tick"])
def test_with_a_healthy_target_that_is_nobody_we_know_the_rule_is_never_raised(
    event: dict[str, Any], desired: int
) -> None:
    """As with a wrong service_name: somebody else's tasks serve behind the rule."""
    world = World(desired=desired, starts=False, strangers=["10.9.9.9"])
    for _ in range(20):
        world.invoke(event)
        world.time += 60
    assert not world.rule_up
    assert world.desired == desired
    assert sum("is no task of the service" in notice for notice in world.notices) == 1
    assert any(wk.STRANGE_TARGETS.text in each for each in findings(world))


def test_a_stranger_that_goes_leaves_a_service_at_0_asleep_as_any_other() -> None:
    world = World(desired=0, strangers=["10.9.9.9"])
    world.invoke(ADOPT)
    world.strangers.clear()
    world.minutes(1)
    assert world.phase() is Phase.ASLEEP
    assert world.rule_up


def test_with_a_stranger_beside_its_own_tasks_it_stays_awake() -> None:
    world = awake(alarm="ALARM", strangers=["10.9.9.9"])
    world.minutes(30)
    assert world.phase() is Phase.AWAKE
    assert world.calls == []


@pytest.mark.parametrize("desired", [0, 1])
def test_a_service_rule_that_forwards_elsewhere_is_not_shadowed(desired: int) -> None:
    world = World(desired=desired, starts=False, forwards_to=ANOTHER_GROUP)
    world.invoke(ADOPT)
    world.minutes(10)
    assert not world.rule_up


def test_a_count_set_to_0_by_hand_is_followed_at_once_though_its_task_still_looks_healthy() -> None:
    world = awake()
    world.time += 600
    world.set_desired(0)
    world.time += 1
    world.invoke(TICK)
    assert world.phase() is Phase.ASLEEP
    assert world.rule_up


# --- traffic that it cannot see -------------------------------------------------------------------
def connect(*services: dict[str, Any]) -> dict[str, Any]:
    return {"serviceConnectConfiguration": {"enabled": True, "services": list(services)}}


SERVED: dict[str, dict[str, Any]] = {
    "a second target group": {
        "described": {
            "loadBalancers": [{"targetGroupArn": SERVICE_GROUP}, {"targetGroupArn": ANOTHER_GROUP}]
        }
    },
    "the other group of a blue/green deployment": {
        "described": {
            "loadBalancers": [
                {
                    "targetGroupArn": SERVICE_GROUP,
                    "advancedConfiguration": {"alternateTargetGroupArn": ANOTHER_GROUP},
                }
            ]
        }
    },
    "a task set's target group": {
        "described": {
            "taskSets": [
                {
                    "id": "ecs-svc/1",
                    "status": "PRIMARY",
                    "createdAt": None,
                    "loadBalancers": [{"targetGroupArn": ANOTHER_GROUP}],
                }
            ]
        }
    },
    "Cloud Map": {
        "described": {"serviceRegistries": [{"registryArn": "arn:aws:servicediscovery"}]}
    },
    "Service Connect, as a server": {"connect": connect({"portName": "http"})},
    "VPC Lattice": {"connect": {"vpcLatticeConfigurations": [{"targetGroupArn": "arn:aws:vpc"}]}},
}


@pytest.mark.parametrize("reached", SERVED.values(), ids=list(SERVED))
def test_a_service_with_traffic_that_it_cannot_see_stays_awake_and_somebody_is_told_once(
    reached: dict[str, Any],
) -> None:
    world = awake(alarm="ALARM", **reached)
    world.minutes(60)
    world.invoke({"command": "sleep"})
    assert world.phase() is Phase.AWAKE
    assert world.calls == []
    assert sum(wk.UNSEEN_TRAFFIC.text in notice for notice in world.notices) == 1
    assert any(wk.UNSEEN_TRAFFIC.text in each for each in findings(world))
    (told,) = [p for p in world.published if wk.UNSEEN_TRAFFIC.text in p["Message"]]
    assert "unseen_traffic" in told["Message"]
    assert world.invoke({"command": "explain"})["blockers"][0]["text"] == wk.UNSEEN_TRAFFIC.text


@pytest.mark.parametrize("reached", SERVED.values(), ids=list(SERVED))
def test_who_knows_better_lets_it_sleep(reached: dict[str, Any]) -> None:
    world = awake(alarm="ALARM", environment={"UNSEEN_TRAFFIC": "ignore"}, **reached)
    world.minutes(12)
    assert world.phase() is Phase.ASLEEP
    assert not any(wk.UNSEEN_TRAFFIC.text in notice for notice in world.notices)


def test_a_service_that_only_calls_others_by_service_connect_sleeps() -> None:
    world = awake(alarm="ALARM", connect=connect())
    world.minutes(12)
    assert world.phase() is Phase.ASLEEP


def test_unseen_traffic_that_ends_and_comes_back_is_told_again() -> None:
    world = awake(described=SERVED["Cloud Map"]["described"])
    world.minutes(2)
    world.described = {}
    world.minutes(2)
    world.described = SERVED["Cloud Map"]["described"]
    world.minutes(2)
    assert sum(wk.UNSEEN_TRAFFIC.text in notice for notice in world.notices) == 2


@pytest.mark.parametrize("phase", [awake, drowsy, waking])
def test_another_rule_that_leads_to_the_service_is_told_once_and_keeps_nothing_awake(
    phase: Callable[..., World],
) -> None:
    world = phase()
    world.alarm = "ALARM"
    world.rules[FOREIGN_RULE] = 200
    world.forwards[FOREIGN_RULE] = SERVICE_GROUP
    world.minutes(40)
    assert world.phase() is Phase.ASLEEP
    (told,) = [notice for notice in world.notices if wk.OTHER_RULES.text in notice]
    assert FOREIGN_RULE in told
    assert any(FOREIGN_RULE in each for each in findings(world))


# --- two modules on one listener ------------------------------------------------------------------
def path(*values: str) -> dict[str, Any]:
    return {"Field": "path-pattern", "Values": list(values)}


def host(*values: str) -> dict[str, Any]:
    return {"Field": "host-header", "HostHeaderConfig": {"Values": list(values)}}


def method(*values: str) -> dict[str, Any]:
    return {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": list(values)}}


@pytest.mark.parametrize(
    ("conditions", "covered"),
    [
        ([path("/.warmkeeper/*")], True),
        ([path("/*")], True),
        ([], True),
        ([path("/other/*", "/.warm*")], True),
        ([host("*.example.com"), path("/*")], True),
        ([host("SHOP.example.com")], True),
        ([host("other.example.com")], False),
        ([path("/.warmkeeper/status")], False),
        ([path("/other/*")], False),
        ([path("/*"), method("POST")], False),
        ([path("/*"), {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}], False),
    ],
)
def test_an_earlier_rule_that_takes_the_control_path_is_told(
    conditions: list[dict[str, Any]], covered: bool
) -> None:
    world = awake()
    world.conditions[CONTROL_RULE] = [host("shop.example.com"), path("/.warmkeeper/*")]
    world.rules[FOREIGN_RULE] = 5
    world.conditions[FOREIGN_RULE] = conditions
    world.minutes(1)
    assert any(wk.CONTROL_PATH_COVERED.text in notice for notice in world.notices) is covered
    assert any(wk.CONTROL_PATH_COVERED.text in each for each in findings(world)) is covered
    assert (wk.CONTROL_PATH_COVERED.text in world.invoke(UPDATE)["wiring"]) is covered


def test_a_rule_behind_the_control_rule_covers_nothing() -> None:
    world = awake()
    world.rules[FOREIGN_RULE] = 11
    world.conditions[FOREIGN_RULE] = [path("/*")]
    world.minutes(1)
    assert not any(wk.CONTROL_PATH_COVERED.text in notice for notice in world.notices)


@pytest.mark.parametrize("at", ["status", "health"])
def test_whatever_answers_says_whose_it_is(at: str) -> None:
    answer = control(awake(), "GET", f"/.warmkeeper/{at}")
    assert json.loads(answer["body"])["name"] == "staging"


# --- the first apply and the last destroy ---------------------------------------------------------
DENIABLE = ["get_item", "describe_services", "list_tasks", "describe_target_health"]
DENIABLE += ["describe_rules", "put_item"]


@pytest.mark.parametrize("operation", DENIABLE)
@pytest.mark.parametrize("event", [ADOPT, UPDATE], ids=["adopt", "reconcile"])
def test_a_policy_that_is_not_effective_yet_is_borne_for_a_minute(
    event: dict[str, Any], operation: str
) -> None:
    world = World()
    world.denied_until[operation] = world.time + 40
    assert world.invoke(event)["phase"] == Phase.AWAKE
    assert world.calls == []


def test_services_of_aws_that_learn_of_a_policy_one_after_the_other_are_borne() -> None:
    world = World()
    for number, operation in enumerate(DENIABLE):
        world.denied_until[operation] = world.time + 5 * number
    assert world.invoke(ADOPT)["phase"] == Phase.AWAKE


def test_what_is_still_not_allowed_after_a_minute_is_an_error() -> None:
    world = World()
    world.denied_until["describe_services"] = world.time + 600
    with pytest.raises(ClientError, match="AccessDenied"):
        world.invoke(ADOPT)


def test_a_tick_bears_no_refusal() -> None:
    world = awake()
    world.denied_until["describe_services"] = world.time + 30
    with pytest.raises(ClientError):
        world.invoke(TICK)


@pytest.mark.parametrize("operation", DENIABLE)
def test_a_restore_never_raises_whatever_is_broken_and_says_so(operation: str) -> None:
    world = asleep()
    world.failing.add(operation)
    began = world.time
    answer = world.invoke(DELETE)
    assert answer["reason"]
    assert world.time - began >= 300
    assert world.notices


def test_a_restore_that_can_do_it_before_its_deadline_does() -> None:
    world = asleep()
    world.denied_until["describe_services"] = world.time + 100
    world.invoke(DELETE)
    assert world.desired == 1
    assert not world.rule_up


# --- redirects, ticks and findings ----------------------------------------------------------------
def test_where_only_ticks_come_the_first_that_sees_a_live_target_ends_the_wake() -> None:
    world = asleep()  # just now
    world.time += 1
    world.signal(Kind.REQUEST)  # within the fence
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert not world.rule_up


def test_a_held_client_sees_ten_redirects_at_most() -> None:
    """In the longest wake in which it is held, of a load balancer that needs ten seconds."""
    world = asleep()
    world.boot = 199.0
    hops = 0
    while ask(world)["statusCode"] == 307:
        hops += 1
        reached = world.phase() is Phase.AWAKE and world.time - world.memory.since >= 10
        if reached:
            break
    assert world.phase() is Phase.AWAKE
    assert hops <= 10, "some clients follow ten and no more"


def test_doctor_names_a_wake_that_is_not_live_long_after_its_deadline_also_if_not_ours() -> None:
    world = World(starts=False)
    world.invoke(ADOPT)
    assert world.phase() is Phase.WAKING
    world.time += 301
    assert any(wk.WAKING_FOR_LONG.text in each for each in findings(world))


def test_doctor_names_a_token_that_cannot_be_read() -> None:
    world = awake()
    world.environment |= {"HEARTBEAT_TOKEN_PARAMETER": "/staging/token"}
    assert findings(world) == []
    world.failing.add("get_parameter")
    (found,) = findings(world)
    assert "token cannot be read" in found


@pytest.mark.parametrize(
    ("service", "wake", "differ"),
    [
        ([host("a.example.com")], [{"Field": "host-header", "Values": ["a.example.com"]}], False),
        ([host("a.example.com")], [host("A.example.com")], False),
        ([host("a.example.com")], [host("b.example.com")], True),
        ([{"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["^a"]}}], [], True),
        ([path("/*")], [], False),
        ([method("GET")], [], True),
    ],
)
def test_doctor_compares_what_two_rules_match_however_aws_tells_of_it(
    service: list[dict[str, Any]], wake: list[dict[str, Any]], differ: bool
) -> None:
    world = awake()
    world.conditions = {SERVICE_RULE: service, WAKE_RULE: wake}
    assert (wk.RULES_DIFFER.text in findings(world)) is differ


def test_doctor_names_transforms_that_the_websocket_rule_would_pass_by() -> None:
    world = awake(transforms=[{"Type": "url-rewrite"}])
    assert findings(world) == []
    websocket = f"{BALANCING}:listener-rule/app/staging/a1/l1/r-websocket"
    world.environment |= routes(this=route(own_rules=(CONTROL_RULE, websocket)))
    world.rules[websocket] = 11
    world.forwards[websocket] = SERVICE_GROUP
    assert any("transforms" in each for each in findings(world))


# --- what a stranger who tried to break it found --------------------------------------------------
def test_a_range_of_ports_on_the_host_is_read_as_its_ports() -> None:
    assert wk.host_ports({"hostPort": 80}) == [80]
    assert wk.host_ports({"hostPortRange": "49000-49002"}) == [49000, 49001, 49002]
    assert wk.host_ports({"containerPort": 80}) == []


@pytest.mark.parametrize("event", [ADOPT, UPDATE, TICK], ids=["adopt", "reconcile", "tick"])
def test_a_stranger_is_seen_while_a_task_of_ours_has_no_address_yet(event: dict[str, Any]) -> None:
    world = World(strangers=["10.9.9.9"])
    world.tasks[0].created = world.time - 1  # half of its boot before it has one
    world.boot = 1e6
    for _ in range(5):
        world.invoke(event)
        world.time += 60
    assert not world.rule_up


@pytest.mark.parametrize("how", ["stranger", "detached"])
@pytest.mark.parametrize("event", [{"command": "wake"}, {"command": "pin"}, DELETE])
def test_a_command_raises_no_rule_before_what_serves_beside_a_service_at_0(
    event: dict[str, Any], how: str
) -> None:
    world = World(desired=0, starts=False)
    if how == "stranger":
        world.strangers.append("10.9.9.9")
    else:
        world.forwards_to = ANOTHER_GROUP
    world.invoke(ADOPT)
    world.invoke(event)
    world.minutes(10)
    assert not world.rule_up
    assert world.did("rule up") == 0


def test_an_address_or_a_port_that_a_task_had_an_hour_ago_explains_no_target() -> None:
    world = awake(target_type="instance")
    world.set_desired(0)
    world.time += 600
    world.strangers.append("i-0fedcba9876543210")  # somebody else's task, on the same port
    old = world.tasks[0]
    world.stranger_port = 32_768 + old.number
    world.invoke(TICK)
    assert not world.rule_up


def test_a_service_of_more_than_a_hundred_tasks_has_no_strangers_and_sleeps() -> None:
    world = awake(desired=120, alarm="ALARM")
    world.minutes(12)
    assert world.phase() is Phase.ASLEEP
    assert not any(wk.STRANGE_TARGETS.text in notice for notice in world.notices)


def test_a_notice_that_could_not_be_sent_is_sent_later() -> None:
    world = World(described=SERVED["Cloud Map"]["described"])
    world.denied_until["publish"] = world.time + 20
    world.invoke(ADOPT)
    assert world.notices == []
    world.minutes(3)
    assert sum(wk.UNSEEN_TRAFFIC.text in notice for notice in world.notices) == 1


def test_a_restore_that_failed_is_told_whatever_was_told_before() -> None:
    world = asleep()
    keeper = wk.Warmkeeper(world.aws())
    keeper.notifier.notify_error("something else")
    world.failing.add("describe_services")
    keeper.dispatch(DELETE)
    assert any("not restored" in notice for notice in world.notices)


def test_at_0_a_service_rule_that_forwards_elsewhere_is_told_for_no_request_wakes_it() -> None:
    world = World(desired=0, forwards_to=ANOTHER_GROUP)
    world.invoke(ADOPT)
    world.minutes(5)
    assert sum(wk.TARGET_GROUP_DETACHED.text in notice for notice in world.notices) == 1
