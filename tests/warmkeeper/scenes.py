"""Where tests begin: a service in each phase, brought there by the real warmkeeper.

A scene is a tuple of steps, and `play` takes a fresh world through them. Unit tests take theirs
from the functions that follow the scenes; tests/faults plays scenes in its Simulation, tests/model
in the worlds that it explores.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any, TypeVar

import warmkeeper as wk
from warmkeeper import Kind, Phase

from tests.warmkeeper.world import (
    CONTROL_RULE,
    ENVIRONMENT,
    FOREIGN_RULE,
    OTHER_CONTROL_RULE,
    OTHER_GROUP,
    OTHER_ROUTE,
    OTHER_SERVICE_RULE,
    OTHER_WAKE_RULE,
    SERVICE_GROUP,
    SERVICE_RULE,
    WAKE_ALARM,
    WAKE_RULE,
    Beside,
    World,
    route,
    routes,
)

MIN_AWAKE_SECONDS = 60 * int(ENVIRONMENT["MIN_AWAKE_MINUTES"])
LINGER_SECONDS = int(ENVIRONMENT["LINGER_SECONDS"])
AFTER_THE_DEADLINE_SECONDS = int(ENVIRONMENT["WAKE_DEADLINE_SECONDS"]) + 1

AnyWorld = TypeVar("AnyWorld", bound=World)
Step = Callable[[World], object]
Scene = tuple[Step, ...]


def play(world: AnyWorld, scene: Scene) -> AnyWorld:
    """The same world, at the end of the scene."""
    for step in scene:
        step(world)
    return world


def beginning(
    make: Callable[..., AnyWorld], scene: Scene, **changes: Any
) -> Callable[[], AnyWorld]:
    """What makes a world with these fields and plays the scene in it, as often as it is called."""
    return lambda: play(make(**deepcopy(changes)), scene)


def schedule(**given: list[str]) -> dict[str, str]:
    """The environment with these hours, in UTC."""
    hours = {"zone": "UTC", "rule": "UTC0", **given}
    return {**ENVIRONMENT, "SCHEDULE": json.dumps(hours)}


# --- steps -------------------------------------------------------------------------------------
def wait(seconds: float) -> Step:
    def step(world: World) -> None:
        world.time += seconds

    return step


def adopt(world: World) -> None:
    """The module is applied, and the service stays awake for min_awake_minutes."""
    world.signal(Kind.ADOPT)
    world.time += MIN_AWAKE_SECONDS


def adopt_at_zero(world: World) -> None:
    """The module is applied to a service whose count is 0."""
    world.signal(Kind.ADOPT)
    assert world.phase() is Phase.ASLEEP


def go_idle(world: World) -> None:
    """Nobody has come for idle_minutes."""
    world.alarm = "ALARM"


def grow_drowsy(world: World) -> None:
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY


def raise_count(world: World) -> None:
    """Somebody raises the count, which is remembered only when it is taken."""
    world.set_desired(2)


def fall_asleep(world: World) -> None:
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP


def fall_asleep_without_taking(world: World) -> None:
    """The call that was to take the count is lost."""
    tick_without(world, "update_service")
    assert world.phase() is Phase.ASLEEP


def stop_databases(world: World) -> None:
    """The environment sleeps for so long that its databases are stopped."""
    world.time += 100
    world.signal(Kind.TICK)
    world.databases = dict.fromkeys(world.databases, "stopped")
    world.time += 60
    world.signal(Kind.TICK)


def call_back(world: World) -> None:
    """A request comes in the linger time."""
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.AWAKE


def ask(world: World) -> None:
    """A request comes, and wakes."""
    world.signal(Kind.REQUEST)
    assert world.phase() is Phase.WAKING


def become_live(world: World) -> None:
    """The tasks become healthy, which nobody has seen so far."""
    world.time += world.boot + 1


def let_through_without_moving(world: World) -> None:
    """The call that was to take the rule down is lost."""
    tick_without(world, "set_rule_priorities")
    assert world.phase() is Phase.AWAKE
    assert world.rule_up


def fail(world: World) -> None:
    """The tasks do not start before the deadline."""
    world.starts = False
    world.time += AFTER_THE_DEADLINE_SECONDS
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP


def fail_again(world: World) -> None:
    """The next try, as soon as a request may make it, fails too."""
    world.time = world.memory.retry_at
    ask(world)
    fail(world)


def tick_without(world: World, operation: str) -> None:
    """A tick, by which calls of this operation are throttled."""
    world.failing.add(operation)
    world.signal(Kind.TICK)
    world.failing.clear()


# --- scenes ------------------------------------------------------------------------------------
ADOPTED: Scene = (adopt,)
IDLE: Scene = (*ADOPTED, go_idle)  # the next tick makes it drowsy
DROWSY: Scene = (*IDLE, grow_drowsy)
CALLED_BACK: Scene = (*DROWSY, call_back)
LINGER_OVER: Scene = (*DROWSY, wait(LINGER_SECONDS))
COUNT_RAISED: Scene = (*DROWSY, raise_count, wait(LINGER_SECONDS))
ASLEEP: Scene = (*LINGER_OVER, fall_asleep)
COUNT_NOT_TAKEN: Scene = (*LINGER_OVER, fall_asleep_without_taking)
WAKING: Scene = (*ASLEEP, wait(100), ask)
RULE_NOT_DOWN: Scene = (*WAKING, become_live, let_through_without_moving)
FAILED: Scene = (ask, fail)  # goes on from a service that sleeps
AT_ZERO: Scene = (adopt_at_zero, wait(100))  # of a world with `desired=0`

GROUPS_OF_BOTH = {"TARGET_GROUP_ARNS": f"{SERVICE_GROUP},{OTHER_GROUP}"}
# Estates of other kinds, by what of a World is so in them.
OTHER_ESTATES: dict[str, dict[str, Any]] = {
    "instance targets": {"target_type": "instance"},
    "IPv6 targets": {"target_type": "ipv6"},
    "targets that are told of no task": {"told_of_tasks": False},
    "a foreign rule in between": {
        "rules": {CONTROL_RULE: 10, FOREIGN_RULE: 50, SERVICE_RULE: 100, WAKE_RULE: 30_010}
    },
    "two routes": {
        "environment": routes(https=route(), http=OTHER_ROUTE),
        "rules": {
            CONTROL_RULE: 10,
            SERVICE_RULE: 100,
            WAKE_RULE: 30_010,
            OTHER_CONTROL_RULE: 10,
            OTHER_SERVICE_RULE: 100,
            OTHER_WAKE_RULE: 30_010,
        },
    },
    "two target groups": {"environment": GROUPS_OF_BOTH},
    "auto scaling": {"minimum": 1},
    "deployments of another kind": {"rollout": {}},
}
# Members by their keys: the web server waits for the API; nobody waits for the mailer.
MEMBERS: dict[str, dict[str, Any]] = {
    "web": {"service": "app", "start_after": ["api"]},
    "api": {"service": "api"},
    "worker": {"service": "worker"},
    "mailer": {"service": "mailer", "required": False, "start_after": ["auth"]},
    "auth": {"service": "auth", "shared": True},
}


def environment_of(**members: dict[str, Any]) -> dict[str, Any]:
    """What of a World is so in an environment of these members, with routes to web and api."""
    two = OTHER_ESTATES["two routes"]
    of_web, of_api = {**route(), "member": "web"}, {**OTHER_ROUTE, "member": "api"}
    return {
        "rules": dict(two["rules"]),
        "forwards": {OTHER_SERVICE_RULE: OTHER_GROUP},
        "environment": {
            **GROUPS_OF_BOTH,
            "MEMBERS": json.dumps(members),
            **routes(**{"web/this": of_web, "api/this": of_api}),
        },
        "beside": {
            name: Beside(group=OTHER_GROUP if name == "api" else "")
            for name in members
            if name != "web"
        },
    }


# An environment of two services, for what explores estates of other kinds.
OTHER_ESTATES["two members"] = environment_of(web=MEMBERS["web"], api=MEMBERS["api"])


MAIL = "arn:aws:sqs:eu-central-1:123456789012:mail"


def whole_environment() -> dict[str, Any]:
    """The same with a worker that has a queue, and with two databases, which stop soon."""
    after = {"start_after": ["main", "store"]}
    changes = environment_of(
        web={"service": "app", "start_after": ["api"]},
        api={"service": "api", **after},
        worker={"service": "worker", "queues": [MAIL], **after},
    )
    soon = {"stop_after_minutes": 1, "deadline_minutes": 30}
    databases = {"main": {"instance": "main", **soon}, "store": {"cluster": "store", **soon}}
    changes["environment"]["DATABASES"] = json.dumps(databases)
    running = dict.fromkeys(["main", "store"], "available")
    return {**changes, "databases": running, "queues": {"mail": 0}}


# The environment of the alarm path.
ALARM_PATH = {
    **routes(),
    "WAKE_TARGET_GROUP_ARN": "",
    "CONTROL_TARGET_GROUP_ARN": "",
    "WAKE_ALARM_ARN": WAKE_ALARM,
}


# --- a service in each phase, for unit tests ---------------------------------------------------
def world_of(**changes: Any) -> World:
    """A World with these fields; of `environment`, only what differs is given."""
    environment = {**ENVIRONMENT, **changes.pop("environment", {})}
    return World(environment=environment, **changes)


def awake(**changes: Any) -> World:
    """Adopted, and awake for long enough to be allowed to sleep."""
    return play(world_of(**changes), ADOPTED)


def drowsy(**changes: Any) -> World:
    return play(world_of(**changes), DROWSY)


def asleep(**changes: Any) -> World:
    """Asleep at this moment; its calls and notices are those from here on."""
    world = play(world_of(**changes), ASLEEP)
    world.calls.clear()
    world.notices.clear()
    return world


def waking(**changes: Any) -> World:
    return play(asleep(**changes), (wait(100), ask))


def failed() -> World:
    """Asleep again, a second after a wake that did not succeed."""
    return play(waking(), (fail, wait(1)))


def given_up() -> World:
    """Asleep after the last try."""
    world = play(failed(), (fail_again,) * len(wk.BACKOFF_SECONDS))
    assert world.memory.failures == len(wk.BACKOFF_SECONDS) + 1
    return world


def not_taken() -> World:
    """Asleep, and the call that was to take the count has failed."""
    return play(World(), COUNT_NOT_TAKEN)


def follow(world: World, seconds: float) -> None:
    """Somebody polls, twice a second."""
    until = world.time + seconds
    while world.time < until:
        world.time += 0.5
        world.signal(Kind.POLL)


# --- the states in which events are heard ------------------------------------------------------
STATES = ["awake", "drowsy", "asleep", "waking", "new"]


def state_of(name: str) -> World:
    """A world of one's own in this state, of both wake paths."""
    return deepcopy(kept_state_of(name))


@cache
def kept_state_of(name: str) -> World:
    """The same, played once. A wake takes a second and the fence."""
    world = world_of(boot=1.0, environment={"WAKE_ALARM_ARN": WAKE_ALARM})
    if name == "new":
        return world
    world.signal(Kind.ADOPT)
    if name == "awake":
        return world
    world.time += 600
    world.signal(Kind.SLEEP)
    if name == "drowsy":
        return world
    world.time += LINGER_SECONDS
    fall_asleep(world)
    world.time += 600
    if name == "waking":
        world.signal(Kind.WAKE)
    return world


# --- what may hold a service in its phase: the situations that `explain` is asked about ---------
def requests_come() -> World:
    return awake()


def just_woken() -> World:
    world = waking()
    follow(world, 15)
    world.alarm = "OK"
    world.time += 100
    return world


def young_and_idle() -> World:
    world = World(alarm="ALARM")
    world.signal(Kind.ADOPT)
    return world


def pinned() -> World:
    world = awake(alarm="ALARM")
    world.invoke({"command": "pin", "minutes": 90})
    return world


def beaten() -> World:
    world = awake(alarm="ALARM")
    world.signal(Kind.BEAT, active=True)
    world.time += 60
    return world


def deployed() -> World:
    world = awake(alarm="ALARM")
    world.deployed = world.time - 120
    return world


def deploying() -> World:
    return awake(alarm="ALARM", deploying=True)


def protected() -> World:
    return awake(protected=True)


def woken_often() -> World:
    world = asleep()
    for _ in range(4):
        world.signal(Kind.REQUEST)
        follow(world, 12)
        world.invoke({"command": "sleep"})
        world.minutes(2)
    world.invoke({"command": "wake", "wait": True})
    world.minutes(10)
    assert world.phase() is Phase.AWAKE
    return world


def browser_only() -> World:
    return asleep(environment={"WAKE_CONFIRMATION": "browser"})


def rule_gone() -> World:
    world = awake(alarm="ALARM")
    del world.rules[WAKE_RULE]
    world.minutes(1)
    return world


def alarm_gone() -> World:
    return awake(alarm=None)


def detached() -> World:
    return awake(alarm="ALARM", forwards_to="another group")


def member_gone() -> World:
    """An idle environment, one of whose services somebody has deleted."""
    world = play(world_of(**environment_of(**MEMBERS)), IDLE)
    world.beside["worker"].exists = False
    return world


def messages_wait() -> World:
    """An idle environment with messages in a queue."""
    changes = environment_of(
        web={"service": "app"},
        api={"service": "api"},
        mailer={"service": "mailer", "queues": [MAIL]},
    )
    world = play(world_of(**changes, queues={"mail": 0}), IDLE)
    world.queues["mail"] = 3
    return world


def messages_came() -> World:
    """A minute after a tick has seen messages in a queue that is empty now."""
    world = messages_wait()
    world.signal(Kind.TICK)
    world.queues["mail"] = 0
    world.time += 60
    return world


def in_awake_hours() -> World:
    """Idle, on a Friday at 08:08 UTC."""
    return awake(alarm="ALARM", environment=schedule(awake=["fri 08:00-10:00"]))


def before_awake_hours() -> World:
    return asleep(environment=schedule(awake=["fri 12:00-13:00"]))


def in_closed_hours() -> World:
    """Used, but closed."""
    return awake(environment=schedule(closed=["fri 08:00-10:00"]))


def asleep_in_closed_hours() -> World:
    return asleep(environment=schedule(closed=["fri 08:00-10:00"]))


def unseen_traffic() -> World:
    return awake(alarm="ALARM", described={"serviceRegistries": [{"registryArn": "registry"}]})


def strange_targets() -> World:
    return awake(alarm="ALARM", strangers=["10.9.9.9"])


def several_reasons() -> World:
    world = awake()
    world.protected = True
    world.invoke({"command": "pin", "minutes": 20})
    world.signal(Kind.BEAT, active=True)
    return world


def task_died() -> World:
    world = awake()
    world.tasks[-1].stopped = world.time - 60
    return world


def set_to_zero() -> World:
    world = awake()
    world.time += 3
    world.set_desired(0)
    return world


def set_to_zero_right_after_a_wake() -> World:
    world = waking()
    follow(world, 11)
    assert world.phase() is Phase.AWAKE
    world.set_desired(0)
    return world


def rule_not_taken() -> World:
    world = waking()
    world.failing.add("set_rule_priorities")
    follow(world, 12)
    world.failing.clear()
    assert world.phase() is Phase.AWAKE
    assert world.rule_up
    return world


def lingers() -> World:
    world = drowsy()
    world.time += 20
    return world


def asked_to_sleep() -> World:
    world = awake()
    world.invoke({"command": "sleep"})
    world.time += 10
    return world


def drowsy_and_deployed() -> World:
    world = drowsy()
    world.time += 10
    world.deploying = True
    return world


def drowsy_and_deployed_lately() -> World:
    world = drowsy()
    world.time += 10
    world.deployed = world.time - 470
    return world


def drowsy_rule_down() -> World:
    world = drowsy()
    world.time += 30
    world.rules[WAKE_RULE] = 30_010
    return world


def drowsy_task_died() -> World:
    world = lingers()
    world.tasks[-1].stopped = world.time - 60
    return world


def count_raised() -> World:
    world = asleep()
    world.set_desired(2)
    world.time += 30
    return world


def count_raised_no_task_yet() -> World:
    world = asleep()
    world.boot = 9000.0
    world.time += 30
    world.set_desired(2)
    return world


def asleep_rule_gone() -> World:
    world = asleep()
    del world.rules[WAKE_RULE]
    return world


def starts() -> World:
    world = waking()
    world.boot = 9000.0
    world.time += 20
    return world


def woken_at_once() -> World:
    world = asleep()
    world.time += 1
    world.signal(Kind.REQUEST)
    world.boot = 9000.0
    return world


def pinned_and_does_not_start() -> World:
    world = waking(starts=True)
    world.starts = False
    world.invoke({"command": "pin", "minutes": 10})
    world.time += 301
    world.signal(Kind.TICK)
    return world


def count_lost_while_it_starts() -> World:
    world = starts()
    world.set_desired(0)
    return world


def not_ours() -> World:
    world = task_died()
    world.boot = 9000.0
    world.signal(Kind.TICK)
    world.time += 400
    world.signal(Kind.TICK)
    assert world.phase() is Phase.WAKING
    return world


def alarm_path_asleep() -> World:
    return asleep(environment=ALARM_PATH)


def alarm_path_called() -> World:
    return asleep(environment=ALARM_PATH, wake_alarm="ALARM")


def service_gone() -> World:
    world = awake()
    world.exists = False
    return world


def nothing_remembered() -> World:
    return World()


SITUATIONS: tuple[Callable[..., World], ...] = (
    requests_come, just_woken, young_and_idle, pinned, beaten, deployed, deploying, protected,
    woken_often, rule_gone, member_gone, messages_wait, messages_came, alarm_gone, detached,
    in_awake_hours, before_awake_hours, in_closed_hours, asleep_in_closed_hours,
    unseen_traffic, strange_targets,
    several_reasons, task_died, set_to_zero, set_to_zero_right_after_a_wake, rule_not_taken,
    lingers, asked_to_sleep, drowsy_and_deployed, drowsy_and_deployed_lately, drowsy_rule_down,
    drowsy_task_died, asleep, browser_only, failed, given_up, not_taken, count_raised,
    count_raised_no_task_yet, asleep_rule_gone, starts, woken_at_once, pinned_and_does_not_start,
    count_lost_while_it_starts, not_ours, alarm_path_asleep, alarm_path_called,
    nothing_remembered,
)  # fmt: skip
