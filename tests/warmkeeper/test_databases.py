"""Databases start before the members that need them, and stop after a long sleep."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import warmkeeper as wk
from botocore.exceptions import ClientError
from warmkeeper import Kind, Phase

from tests.warmkeeper.recorded import ask
from tests.warmkeeper.scenes import (
    asleep,
    awake,
    drowsy,
    environment_of,
    follow,
    schedule,
    waking,
)
from tests.warmkeeper.world import World

MEMBERS: dict[str, dict[str, Any]] = {
    "web": {"service": "app", "start_after": ["api"]},
    "api": {"service": "api", "start_after": ["main"]},
}
MAIN = {"instance": "staging-main", "stop_after_minutes": 120, "deadline_minutes": 30}


def with_database(
    phase: Callable[..., World], members: dict[str, Any] | None = None, **main: Any
) -> World:
    """An environment whose API needs a database, in this phase."""
    changes = environment_of(**(members or MEMBERS))
    databases = {"main": {**MAIN, **main}}
    changes["environment"]["DATABASES"] = json.dumps(databases)
    return phase(**changes, databases={"staging-main": "available"})


def stopped(**main: Any) -> World:
    """Asleep for long enough, with the database stopped."""
    world = with_database(asleep, **main)
    world.minutes(121)
    assert world.databases == {"staging-main": "stopping"}
    world.databases["staging-main"] = "stopped"
    world.minutes(1)
    world.calls.clear()
    world.notices.clear()
    return world


def overdue(world: World, code: str = "RDS-EVENT-0154") -> None:
    """AWS starts the database after seven days, and says so."""
    world.databases["staging-main"] = "starting"
    detail = {"SourceIdentifier": "staging-main", "EventID": code}
    world.invoke({"source": "aws.rds", "detail-type": "RDS DB Instance Event", "detail": detail})


# --- stopping -------------------------------------------------------------------------------------
def test_a_database_is_stopped_only_after_its_minutes_of_sleep() -> None:
    world = with_database(asleep)
    world.minutes(119)
    assert world.databases["staging-main"] == "available"
    world.minutes(2)
    assert world.databases["staging-main"] == "stopping"
    assert world.did("staging-main stopping") == 1


@pytest.mark.parametrize("phase", [awake, drowsy, waking])
def test_a_database_is_stopped_only_in_a_sleep(phase: Callable[..., World]) -> None:
    world = with_database(phase, stop_after_minutes=1)
    world.signal(Kind.REQUEST)
    world.time += 90
    world.signal(Kind.TICK)
    assert world.phase() is not Phase.ASLEEP
    assert world.databases["staging-main"] == "available"


def test_a_shared_database_is_never_stopped() -> None:
    world = with_database(asleep, shared=True)
    world.minutes(300)
    assert world.databases["staging-main"] == "available"


def test_a_stop_is_announced_before_it_is_made() -> None:
    world = with_database(asleep)
    late: list[float] = []
    world.between("stop_db_instance", lambda: late.append(world.time - world.memory.last_take_at))
    world.minutes(121)
    assert late
    assert 0 <= late[0] <= wk.TAKE_START_SECONDS


def test_a_stop_without_an_effect_is_announced_and_made_once_more() -> None:
    world = with_database(asleep)
    world.failing.add("stop_db_instance")
    world.minutes(121)
    assert world.databases["staging-main"] == "available"
    assert world.did("staging-main stopping") == 0


def test_a_refused_stop_is_told_once_and_not_repeated_in_this_sleep() -> None:
    world = with_database(asleep)
    world.minutes(119)
    refused: list[int] = []

    def refuse() -> None:
        refused.append(1)
        raise ClientError({"Error": {"Code": "InvalidDBInstanceState"}}, "stop_db_instance")

    for _ in range(9):  # more than may be made
        world.between("stop_db_instance", refuse)
    world.minutes(10)
    told = [notice for notice in world.notices if wk.DATABASE_NOT_STOPPED.text in notice]
    assert (len(told), len(refused)) == (1, 1)


def two_databases(phase: Callable[..., World], store_after_minutes: int = 120) -> World:
    """An environment whose API needs a database and a cluster, in this phase."""
    members = {**MEMBERS, "api": {"service": "api", "start_after": ["main", "store"]}}
    changes = environment_of(**members)
    times = {"stop_after_minutes": store_after_minutes, "deadline_minutes": 30}
    store = {"cluster": "staging-store", **times}
    changes["environment"]["DATABASES"] = json.dumps({"main": MAIN, "store": store})
    running = dict.fromkeys(["staging-main", "staging-store"], "available")
    return phase(**changes, databases=running)


def refuse() -> None:
    """RDS does not do it, whatever the database's status is."""
    raise ClientError({"Error": {"Code": "InsufficientDBInstanceCapacity"}}, "of RDS")


@pytest.mark.parametrize("minutes", [120, 180])
def test_a_refused_stop_holds_up_no_other_database(minutes: int) -> None:
    world = two_databases(asleep, store_after_minutes=minutes)
    world.between("stop_db_instance", refuse)
    world.minutes(minutes + 2)
    assert world.databases == {"staging-main": "available", "staging-store": "stopping"}
    assert world.did("staging-store stopping") == 1
    (told,) = [notice for notice in world.notices if wk.DATABASE_NOT_STOPPED.text in notice]
    assert "main: " in told


def test_a_refused_start_holds_up_no_other_database_and_is_raised_and_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = two_databases(asleep)
    world.databases = dict.fromkeys(world.databases, "stopped")
    world.between("start_db_instance", refuse)
    with pytest.raises(ClientError):
        world.signal(Kind.REQUEST)
    assert world.databases == {"staging-main": "stopped", "staging-store": "starting"}
    assert '"message": "not given", "action": "main: started"' in capsys.readouterr().out
    follow(world, 11)
    assert world.databases["staging-main"] == "starting"


def test_a_database_that_aws_refuses_to_start_puts_off_no_deadline() -> None:
    world = stopped()
    world.signal(Kind.TICK)
    world.hooks["start_db_instance"] = [refuse] * 99
    with pytest.raises(ClientError):
        world.signal(Kind.REQUEST)
    for _ in range(31):  # nobody waits, so there are only ticks
        with contextlib.suppress(ClientError):
            world.minutes(1)
    assert world.phase() is Phase.ASLEEP
    assert world.notices[-1].startswith("wake failed")
    assert "main: the database is stopped" in world.notices[-1]


@pytest.mark.parametrize("given", [{"closed": ["fri 00:00-24:00"]}, {}], ids=["closed", "idle"])
def test_an_environment_whose_database_aws_refuses_to_start_falls_asleep(
    given: dict[str, list[str]],
) -> None:
    members = {"web": {"service": "app"}, "api": {"service": "api", "start_after": ["main"]}}
    world = with_database(asleep, members)
    world.databases["staging-main"] = "stopped"
    world.hooks["start_db_instance"] = [refuse] * 999
    with pytest.raises(ClientError):
        world.signal(Kind.REQUEST)
    world.alarm = "OK"
    for _ in range(31):
        with contextlib.suppress(ClientError):
            world.minutes(1)
    assert world.phase() is Phase.AWAKE  # the web server serves
    world.environment["SCHEDULE"] = schedule(**given)["SCHEDULE"]
    world.alarm = "OK" if given else "ALARM"
    for _ in range(11):
        with contextlib.suppress(ClientError):
            world.minutes(1)
    assert world.phase() is Phase.ASLEEP


def test_what_aws_starts_after_seven_days_is_stopped_again() -> None:
    world = stopped()
    overdue(world)
    world.minutes(5)
    assert world.databases["staging-main"] == "starting"
    world.databases["staging-main"] = "available"
    world.minutes(2)
    assert world.databases["staging-main"] == "stopping"
    assert world.notices == []


def test_what_a_person_starts_is_left_and_told_once() -> None:
    world = stopped()
    world.databases["staging-main"] = "available"
    world.minutes(10)
    assert world.databases["staging-main"] == "available"
    (told,) = world.notices
    assert told.endswith(f"{wk.DATABASE_STARTED.text}: main")


@pytest.mark.parametrize("code", ["RDS-EVENT-0088", "RDS-EVENT-0151"])
def test_a_start_that_is_not_aws_s_own_is_a_person_s(code: str) -> None:
    world = stopped()
    overdue(world, code)
    world.databases["staging-main"] = "available"
    world.minutes(5)
    assert world.databases["staging-main"] == "available"


def test_events_of_other_databases_are_refused() -> None:
    detail = {"SourceIdentifier": "other", "EventID": "RDS-EVENT-0154"}
    with pytest.raises(wk.RefusedError):
        with_database(asleep).invoke({"source": "aws.rds", "detail": detail})


# --- starting -------------------------------------------------------------------------------------
def test_a_wake_starts_the_database_first_and_who_needs_it_when_it_is_available() -> None:
    world = stopped()
    world.signal(Kind.REQUEST)
    assert [call for _, call in world.calls] == ["staging-main starting", "rule up"][:1]
    follow(world, 120)
    assert world.did("api 1") == 0
    assert world.phase() is Phase.WAKING
    world.databases["staging-main"] = "available"
    follow(world, 60)
    assert world.phase() is Phase.AWAKE
    order = [call for _, call in world.calls if call in ("api 1", "count 1")]
    assert order == ["api 1", "count 1"]
    assert world.memory.database_seconds["main"] == pytest.approx(120, abs=2)


@pytest.mark.parametrize("stopping", [0, 200])
def test_the_cold_start_that_is_measured_leaves_out_what_a_database_took(
    stopping: int, capsys: pytest.CaptureFixture[str]
) -> None:
    world = stopped()
    world.databases["staging-main"] = "stopping" if stopping else "stopped"
    world.signal(Kind.REQUEST)
    follow(world, stopping)
    world.databases["staging-main"] = "stopped"
    follow(world, 120)
    world.databases["staging-main"] = "available"
    capsys.readouterr()
    follow(world, 60)
    (past,) = world.memory.wakes
    of_database = stopping + 120
    assert past["database_seconds"] == pytest.approx(of_database, abs=2)
    (cold_start,) = metrics(capsys.readouterr().out, "ColdStartSeconds")
    assert cold_start == pytest.approx(past["seconds"] - of_database, abs=2)
    assert cold_start < 60 < past["seconds"]
    notice = world.notices[-1]
    assert f"s, of which a database took {past['database_seconds']:.1f} s (request)" in notice
    assert "over the target" not in notice


def test_services_that_are_slow_after_their_database_are_over_the_target() -> None:
    world = stopped()
    world.boot = 40.0  # the API, and then the web server
    world.signal(Kind.REQUEST)
    follow(world, 120)
    world.databases["staging-main"] = "available"
    follow(world, 120)
    assert "; the rest is over the target of 60 s (request)" in world.notices[-1]


def metrics(out: str, name: str) -> list[float]:
    """The values of a metric in the log."""
    lines = (json.loads(line) for line in out.splitlines())
    return [line[name] for line in lines if name in line]


def test_a_request_while_it_is_stopping_waits_for_both() -> None:
    world = with_database(asleep)
    world.minutes(121)
    world.signal(Kind.REQUEST)
    follow(world, 30)
    assert world.phase() is Phase.WAKING
    assert world.did("staging-main starting") == 0
    world.databases["staging-main"] = "stopped"
    follow(world, 2)
    assert world.did("staging-main starting") == 1
    world.databases["staging-main"] = "available"
    follow(world, 60)
    assert world.phase() is Phase.AWAKE


def test_a_stop_that_lands_after_the_wake_has_begun_is_made_good() -> None:
    world = with_database(asleep)
    world.minutes(119)
    world.lands_after = 3.0
    world.minutes(2)
    world.lands_after = None
    world.databases["staging-main"] = "available"
    world.signal(Kind.REQUEST)
    world.databases["staging-main"] = "stopped"  # as far as it came
    follow(world, 20)
    assert world.did("staging-main starting") == 1
    assert world.phase() is Phase.WAKING


def test_calls_are_not_held_while_a_database_starts_and_told_when_to_come_back() -> None:
    world = stopped()
    began = world.time
    answer = ask(world)
    assert answer["statusCode"] == 503
    assert world.time - began < 1
    assert int(answer["multiValueHeaders"]["Retry-After"][0]) == wk.DATABASE_START_SECONDS


def test_the_next_time_the_client_is_told_how_long_it_took_before() -> None:
    world = stopped()
    memory = world.memory
    assert memory.database_seconds == {}
    world.signal(Kind.REQUEST)
    follow(world, 200)
    world.databases["staging-main"] = "available"
    follow(world, 60)
    world.alarm = "ALARM"
    world.minutes(140)
    world.databases["staging-main"] = "stopped"
    world.minutes(1)
    answer = ask(world)
    assert 200 <= int(answer["multiValueHeaders"]["Retry-After"][0]) <= 300


def test_after_the_start_of_a_database_the_estimate_has_its_time() -> None:
    """The clock of the page runs from the first request: 'longer than usual' would be wrong."""
    world = with_database(waking)
    follow(world, 60)
    usual = world.memory.wakes[-1]["seconds"]
    world.time += 900
    world.alarm = "ALARM"
    world.minutes(140)
    world.databases["staging-main"] = "stopped"
    world.minutes(1)
    world.signal(Kind.REQUEST)
    follow(world, 200)
    world.databases["staging-main"] = "available"
    follow(world, 2)
    status = world.invoke({"command": "status"})
    assert status["stage"] == "asked"
    assert status["estimate_seconds"] == pytest.approx(200 + usual, abs=2)


def test_a_page_tells_that_a_database_starts() -> None:
    world = stopped()
    world.signal(Kind.REQUEST)
    status = world.invoke({"command": "status"})
    assert (status["stage"], status["estimate_seconds"]) == ("database", None)


def test_the_deadline_of_a_database_is_its_own() -> None:
    world = stopped()
    world.signal(Kind.REQUEST)
    world.minutes(29)
    assert world.phase() is Phase.WAKING
    world.minutes(3)
    assert world.phase() is Phase.ASLEEP
    assert "the database is starting" in world.memory.failure


def test_nobody_waits_for_a_database_that_does_not_exist_and_somebody_is_told() -> None:
    world = with_database(asleep)
    world.databases.clear()
    world.signal(Kind.REQUEST)
    follow(world, 60)
    assert world.phase() is Phase.AWAKE
    assert any(wk.DATABASE_MISSING.text in notice for notice in world.notices)


def test_a_destroy_starts_the_database_and_all_members_at_once() -> None:
    world = stopped()
    rds = world.databases

    def available() -> None:
        rds["staging-main"] = "available"

    for _ in range(20):
        world.between("describe_db_instances", lambda: None)
    world.between("describe_db_instances", available)
    world.invoke({"command": "terraform", "tf": {"action": "delete"}})
    assert [call for _, call in world.calls][:3] == ["count 1", "api 1", "staging-main starting"]
    assert world.phase() is Phase.AWAKE
    assert rds["staging-main"] == "available"


def test_a_cluster_is_started_and_stopped_as_one() -> None:
    changes = environment_of(**MEMBERS)
    cluster = {**MAIN, "cluster": "staging-aurora"}
    changes["environment"]["DATABASES"] = json.dumps({"main": cluster})
    world = asleep(**changes, databases={"staging-aurora": "available"})
    world.minutes(121)
    assert world.databases == {"staging-aurora": "stopping"}
    world.databases["staging-aurora"] = "stopped"
    world.signal(Kind.REQUEST)
    assert world.databases == {"staging-aurora": "starting"}
