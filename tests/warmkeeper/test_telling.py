"""What it tells: the record of a wake, metrics that cost nothing asleep, and notices for people."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import warmkeeper as wk
from hypothesis import example, given
from hypothesis import strategies as st
from warmkeeper import Kind, Phase

from tests.warmkeeper.recorded import control, log_lines, metrics, request
from tests.warmkeeper.scenes import adopt_at_zero, play, wait, world_of
from tests.warmkeeper.world import (
    ENVIRONMENT,
    FOREIGN_RULE,
    SERVICE_GROUP,
    SERVICE_RULE,
    WAKE_RULE,
    World,
)
from tools import cost

OPERATING = Path(__file__).resolve().parents[2] / "docs" / "guide" / "operating.md"
DAY = 24 * 3600.0
TOKEN = {"HEARTBEAT_TOKEN_PARAMETER": "arn:aws:ssm:eu-central-1:123456789012:parameter/token"}


def asleep(**environment: str) -> World:
    """Asleep for ten minutes."""
    return play(world_of(desired=0, environment=environment), (adopt_at_zero, wait(600)))


def poll(world: World) -> Any:
    return control(world, "GET", "/.warmkeeper/status")


def kinds(world: World) -> list[str]:
    return [sent["MessageAttributes"]["kind"]["StringValue"] for sent in world.published]


# --- the record of a wake ----------------------------------------------------------------------

MOMENTS = sorted({"scaled_up_at", *(moment for moments in wk.ENDS.values() for moment in moments)})
SECONDS = st.floats(-1e4, 1e4).map(lambda seconds: 1.8e9 + seconds)


@given(st.dictionaries(st.sampled_from(MOMENTS), SECONDS), SECONDS, st.floats(0, 900))
def test_the_stages_add_up_to_the_whole_whatever_the_clocks_say(
    some: dict[str, float], began: float, seconds: float
) -> None:
    times = {**some, "began": began, "live": began + seconds}
    if "down" in times:
        times["down"] = times["live"] + 0.25
    stages = wk.stages(times)
    assert min(stages.values()) >= 0
    assert sum(stages.values()) == pytest.approx(
        max(times.get("down", 0), times["live"]) - began, abs=2e-3
    )
    assert list(stages) == [stage for stage in wk.ENDS if stage in stages]


def test_each_stage_is_the_time_up_to_its_own_moment() -> None:
    moments = ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "live", "down"]
    passed = dict(zip(moments, [1, 11, 31, 33, 43, 43.5], strict=True))
    whole = {"began": 1.8e9, **{name: 1.8e9 + at for name, at in passed.items()}}
    assert wk.stages(whole) == {
        "asked": 1,
        "placed": 10,
        "pulled": 20,
        "started": 2,
        "healthy": 10,
        "opened": 0.5,
    }
    del whole["pullStartedAt"], whole["startedAt"], whole["down"]
    whole["connectivityAt"] = 1.8e9 + 9
    assert wk.stages(whole) == {"asked": 1, "placed": 8, "pulled": 22, "healthy": 12}


def test_a_wake_is_one_line_of_the_log_with_its_stages_and_what_it_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = asleep()
    began = world.time
    capsys.readouterr()
    assert world.invoke(request())["statusCode"] == 307
    (line,) = [line for line in log_lines(capsys.readouterr().out) if "wake" in line]
    told, record = line["wake"], world.memory.wakes[-1]
    assert (told["cause"], told["asleep_minutes"]) == ("request", 10.0)
    assert told["seconds"] == record["seconds"] == pytest.approx(record["times"]["live"] - began)
    whole = record["times"]["down"] - began
    assert sum(told["stages"].values()) == pytest.approx(whole, abs=2e-3)
    assert told["stages"] == wk.stages(record["times"])


def test_the_record_in_the_memory_goes_from_the_first_request_to_the_first_who_was_sent_on() -> (
    None
):
    world = asleep()
    began = world.time
    world.invoke(request())
    times = world.memory.wakes[-1]["times"]
    assert {"scaled_up_at", "createdAt", "connectivityAt"} <= times.keys()
    assert times["began"] == began < times["live"] <= times["down"] <= times["sent"] == world.time


def test_the_first_poll_that_is_told_awake_is_the_first_who_was_sent_on() -> None:
    world = asleep()
    world.invoke(request(headers={"sec-fetch-mode": "navigate", "accept": "text/html"}))
    while json.loads(poll(world)["body"])["phase"] != "awake":
        world.time += 1
    sent, version = world.memory.wakes[-1]["times"]["sent"], world.memory.version
    assert sent == world.time
    world.time += 1
    poll(world)
    assert world.memory.version == version, "written once"


def test_who_asks_long_after_a_wake_was_not_waiting_for_it() -> None:
    world = asleep()
    world.invoke({"command": "wake", "wait": True})
    assert "down" in world.memory.wakes[-1]["times"]
    world.time += 60
    poll(world)
    world.invoke(request())
    assert "sent" not in world.memory.wakes[-1]["times"]


@pytest.mark.parametrize("what", ["is slow", "fails", "comes second", "comes second twice"])
def test_the_record_is_in_nobody_s_way(what: str) -> None:
    def served(spoil: Callable[[World], object]) -> tuple[object, float]:
        world = asleep()
        began, keeper = world.time, wk.Warmkeeper(world.aws())
        remember = keeper.reconciler.remember

        def spoiled(seen: wk.Observation, sent: float = 0.0) -> None:
            if sent:
                spoil(world)
            remember(seen, sent)

        keeper.reconciler.remember = spoiled  # type: ignore[method-assign]
        return keeper.dispatch(request())["statusCode"], world.time - began

    def slow(world: World) -> None:
        world.between("put_item", lambda: setattr(world, "time", world.time + 0.8))

    def second(world: World, times: int = 1) -> None:
        for _ in range(times):
            world.between("put_item", lambda: somebody_writes(world))

    spoils: dict[str, Callable[[World], object]] = {
        "is slow": slow,
        "fails": lambda world: world.failing.add("put_item"),
        "comes second": second,
        "comes second twice": lambda world: second(world, 2),
    }
    assert served(spoils[what]) == served(lambda _: None)


def test_the_record_is_whole_also_where_somebody_else_wrote_first() -> None:
    world = asleep()
    world.invoke({"command": "wake", "wait": True})
    kept = world.memory
    del kept.wakes[-1]["times"]["down"]
    world.between("put_item", lambda: somebody_writes(world))
    wk.Warmkeeper(world.aws()).reconciler.remember(
        wk.Observation(kept, (), down=world.time), world.time
    )
    assert world.memory.wakes[-1]["times"]["sent"] == world.time


def somebody_writes(world: World) -> None:
    aws = world.aws()
    aws.write_memory(aws.read_memory())


def test_a_memory_full_of_wakes_is_no_dearer_to_write_than_the_cost_says() -> None:
    world = asleep()
    world.invoke(request())
    (wake,) = world.memory.wakes
    moments = dict.fromkeys((*MOMENTS, "sent"), round(world.time, 3) + 0.125)
    kept = {
        **wake,
        "cause": "asked to sleep, and no live target",
        "times": {**wake["times"], **moments},
    }
    full = replace(
        world.memory,
        wakes=(kept,) * wk.KEPT_WAKES,
        failure="x" * 300,
        open_problems=(wk.SERVICE_MISSING.code, wk.NOT_LIVE.code, wk.DEPLOYMENT_FAILED.code),
    )
    world.aws().write_memory(full)
    body = world.items["memory"]["body"]["S"]
    assert len(body) + len("idmemoryversionphasebody") + 20 < cost.ITEM_KB * 1024


# --- metrics -----------------------------------------------------------------------------------


def test_nothing_is_metered_while_it_is_asleep(capsys: pytest.CaptureFixture[str]) -> None:
    world = asleep(**TOKEN)
    rule = {"class": "robots", "user_agents": ["bot"], "answer": "asleep"}
    rule |= {"methods": [], "paths": [], "source_ranges": []}
    body = json.dumps({"wake_policy": [rule]})
    world.items["settings"] = {"id": {"S": "settings"}, "body": {"S": body}}
    capsys.readouterr()
    for _ in range(5):
        world.minutes(1)
        poll(world)
        control(world, "GET", "/.warmkeeper/health")
        world.invoke(request(headers={"user-agent": "bot"}))
        for token in ("secret", "another"):
            bearer = {"authorization": f"Bearer {token}"}
            control(world, "POST", "/health", body='{"in_flight": 1}', headers=bearer)
        with pytest.raises(wk.RefusedError):
            world.invoke({"command": "nonsense"})
    assert world.phase() is Phase.ASLEEP
    assert metrics(capsys.readouterr().out) == {}


def test_the_minutes_asleep_are_written_once_by_the_wake_that_ends_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = asleep()
    capsys.readouterr()
    world.minutes(20)
    for _ in range(3):
        world.invoke(request())
    found = metrics(capsys.readouterr().out)
    assert (found["MinutesAsleep"], found["Wakes"]) == (30.0, 1)


def test_who_calls_it_back_before_it_sleeps_ends_no_minutes_asleep(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World()
    world.signal(Kind.ADOPT)
    world.time += 480
    world.signal(Kind.SLEEP)
    world.invoke(request())
    assert world.phase() is Phase.AWAKE
    world.boot, world.tasks[0].created = 100, world.time  # its task fails, and comes up again
    world.time += 10
    world.minutes(3)
    assert set(metrics(capsys.readouterr().out)) == {"Wakes", "ColdStartSeconds"}


def test_a_count_raised_from_outside_ends_the_minutes_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = asleep()
    world.set_desired(1)
    world.time += 30
    capsys.readouterr()
    world.minutes(1)
    assert world.phase() is Phase.AWAKE
    assert metrics(capsys.readouterr().out) == {"MinutesAsleep": 11.5}


def test_every_request_that_waits_is_counted_and_none_that_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = asleep()
    world.boot = 60
    capsys.readouterr()
    world.invoke(request(headers={"accept": "image/png"}))
    world.invoke(request())
    assert metrics(capsys.readouterr().out)["WaitingAnswers"] == 2
    world.time += 60
    poll(world)
    world.time += 10
    capsys.readouterr()
    world.invoke(request())
    assert metrics(capsys.readouterr().out) == {}


# --- notices -----------------------------------------------------------------------------------


def publish(kind: str, text: str = "text", **environment: str) -> World:
    world = World(environment={**ENVIRONMENT, **environment})
    wk.Warmkeeper(world.aws()).notifier.publish(wk.Notice(wk.NOTICES[kind], text), "awake")
    return world


@pytest.mark.parametrize("kind", wk.NOTICES)
def test_a_notice_is_worded_for_mail_for_chat_and_for_machines(kind: str) -> None:
    (sent,) = publish(kind, "what happened\nand more").published
    severity = wk.NOTICES[kind].severity
    remedy = wk.NOTICES[kind].remedy
    messages = json.loads(sent["Message"])
    assert messages["default"] == "what happened\nand more"
    assert messages["email"].startswith("what happened\nand more\n\nWhat to do: " + remedy)
    assert f"row {kind}" in messages["email"]
    chat = json.loads(messages["https"])
    assert (chat["version"], chat["source"]) == ("1.0", "custom")
    content = chat["content"]
    assert content["textType"] == "client-markdown"
    assert content["title"] == "staging: what happened"
    assert content["description"] == "what happened\nand more"
    assert content["nextSteps"][0] == remedy
    facts = {"name": "staging", "kind": kind, "phase": "awake", "severity": severity}
    assert chat["metadata"]["additionalContext"] == facts
    attributes = sent["MessageAttributes"]
    assert {name: value["StringValue"] for name, value in attributes.items()} == facts
    assert {value["DataType"] for value in attributes.values()} == {"String"}


@pytest.mark.parametrize("kind", wk.NOTICES)
def test_each_notice_links_to_the_control_path_s_page_where_there_is_a_public_url(
    kind: str,
) -> None:
    link = "https://staging.example.com:8443/-/keeper/"
    where = {"PUBLIC_URL": "https://staging.example.com:8443", "CONTROL_PATH": "/-/keeper"}
    (sent,) = publish(kind, **where).published
    messages = json.loads(sent["Message"])
    line = f"To see its phase, or to wake it: {link}"
    assert line in messages["email"].splitlines()
    assert line in json.loads(messages["https"])["content"]["nextSteps"]
    assert messages["default"] == "text"
    (without,) = publish(kind, CONTROL_PATH="/-/keeper").published
    assert "to wake it:" not in without["Message"]


@given(st.text(min_size=1, max_size=5000))
@example("x" * 200)
def test_whatever_ecs_says_fits_into_a_message_and_a_subject(text: str) -> None:
    (sent,) = publish("wake-failed", "wake failed: " + text).published
    assert len(sent["Message"].encode()) < 256 * 1024 / 2
    assert 0 < len(sent["Subject"]) < 100  # "less than 100", says the API
    assert sent["Subject"].isascii()
    assert sent["Subject"].isprintable()


def test_transitions_can_be_muted_and_nothing_else() -> None:
    muted = [k for k in wk.NOTICES if not publish(k, TRANSITION_NOTICES="false").published]
    assert muted == ["asleep", "awake"]
    assert [k for k in wk.NOTICES if not publish(k).published] == []


def test_a_mailbox_stays_quiet_through_a_day_on_which_all_is_well() -> None:
    world = World(environment={**ENVIRONMENT, "TRANSITION_NOTICES": "false"})
    world.signal(Kind.ADOPT)
    for _ in range(6):
        world.alarm = "ALARM"
        world.minutes(60)
        assert world.phase() is Phase.ASLEEP
        world.invoke(request())
        assert world.phase() is Phase.AWAKE
    assert world.published == []


def rows(section: str) -> dict[str, tuple[str, str]]:
    """Severity and text of each row of a table of docs/guide/operating.md, by its code."""
    text = OPERATING.read_text(encoding="utf-8").split(f"\n{section}\n")[1].split("\n#")[0]
    found = re.findall(r"(?m)^\| `([a-z-]+)` \| (\w+) \| ([^|]+) \|", text)
    return {code: (severity, words) for code, severity, words in found}


def test_the_runbook_s_tables_are_the_program_s() -> None:
    for section, problems in (("## Notices", wk.NOTICES), ("### doctor", wk.FINDINGS)):
        table = rows(section)
        assert list(table) == list(problems)
        for code, (severity, words) in table.items():
            assert severity == problems[code].severity
            assert problems[code].text in words
    for _, remedy in rows("### doctor").values():
        assert remedy


def given_by(makers: set[str]) -> set[str]:
    """The codes of the problems that are an argument of a call of one of `makers`."""
    tree = ast.parse(Path(wk.__file__).read_text(encoding="utf-8"))
    called = [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name | ast.Attribute)
        and (call.func.id if isinstance(call.func, ast.Name) else call.func.attr) in makers
    ]
    passed = [argument for call in called for argument in call.args]
    names = {argument.id for argument in passed if isinstance(argument, ast.Name)}
    return {vars(wk)[name].code for name in names if isinstance(vars(wk).get(name), wk.Problem)}


def test_every_notice_is_given_somewhere() -> None:
    published = given_by(
        {"Notice", "notify_once", "notify_problem", "problem_notice", "RuleStuckError"}
    )
    wiring = {problem.code for problem in wk.WIRING}
    faults = {wk.TARGET_GROUP_DETACHED.code, wk.IDLE_ALARM_MISSING.code}  # Observation.wiring_fault
    assert published | wiring | faults == set(wk.NOTICES)


def test_every_finding_is_given_somewhere() -> None:
    found = given_by({"finding"})
    assert found - set(wk.NOTICES) == set(wk.FINDINGS)
    own = {problem.code for problem in wk.SEEN_BY_DOCTOR} - found
    assert own == {wk.NOT_LIVE.code, wk.DEPLOYMENT_FAILED.code}, "found in other words"


# --- what holds it awake -----------------------------------------------------------------------


def held() -> World:
    """Pinned for days, and nobody comes."""
    world = World()
    world.signal(Kind.ADOPT)
    world.invoke({"command": "pin", "minutes": 3 * 24 * 60})
    world.alarm, world.alarm_since = "ALARM", world.time
    return world


def test_who_pinned_it_and_forgot_is_told_once_after_half_a_day() -> None:
    world = held()
    world.minutes(12 * 60 - 1)
    assert kinds(world) == []
    world.minutes(2)
    assert kinds(world) == ["idle-but-awake"]
    assert re.search(r": pinned until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", world.notices[-1])
    world.minutes(300)
    assert kinds(world) == ["idle-but-awake"]


def test_who_uses_it_meanwhile_is_no_news_and_the_next_half_day_is() -> None:
    world = held()
    world.minutes(12 * 60 + 1)
    world.alarm = "OK"
    world.minutes(30)
    assert world.memory.open_problems == ()
    world.alarm, world.alarm_since = "ALARM", world.time
    world.minutes(12 * 60 - 1)
    assert kinds(world) == ["idle-but-awake"]
    world.minutes(2)
    assert kinds(world) == ["idle-but-awake", "idle-but-awake"]


def test_beats_are_use() -> None:
    world = held()
    for _ in range(14):
        world.minutes(60)
        world.signal(Kind.BEAT, active=True)
    assert kinds(world) == []


def test_an_alarm_that_does_not_say_since_when_puts_it_to_sleep_all_the_same() -> None:
    world = World(alarm="ALARM", alarm_since=None)
    world.signal(Kind.ADOPT)
    world.minutes(10)
    assert world.phase() is Phase.ASLEEP


def test_a_beat_is_use_after_the_notice_too() -> None:
    world = held()
    world.minutes(12 * 60 + 1)
    world.signal(Kind.BEAT, active=True)
    world.minutes(12 * 60 - 1)
    assert kinds(world) == ["idle-but-awake"]
    world.minutes(2)
    assert kinds(world) == ["idle-but-awake"] * 2


# --- several problems at once ------------------------------------------------------------------


def vanish(world: World) -> None:
    world.exists = False


def lose_the_alarm(world: World) -> None:
    world.alarm = None


def lose_the_wake_rule(world: World) -> None:
    del world.rules[WAKE_RULE]


def change_the_target_group(world: World) -> None:
    world.forwards_to = "another group"


def mend(world: World, *, but: Callable[[World], None] | None = None) -> None:
    """Everything is as it should be again, but this."""
    world.exists = True
    world.alarm = "OK"
    world.rules[WAKE_RULE] = 30_010
    world.forwards_to = SERVICE_GROUP
    if but:
        but(world)


BREAKS: dict[Callable[[World], None], str] = {
    vanish: "service-missing",
    lose_the_alarm: "idle-alarm-missing",
    lose_the_wake_rule: "rule-missing",
    change_the_target_group: "target-group-detached",
}


@pytest.mark.parametrize("second", BREAKS)
@pytest.mark.parametrize("first", [b for b in BREAKS if b is not vanish])
def test_a_problem_that_lasts_is_published_once_whatever_comes_and_goes_beside_it(
    first: Callable[[World], None], second: Callable[[World], None]
) -> None:
    world = World()
    world.signal(Kind.ADOPT)
    first(world)
    world.minutes(2)
    for _ in range(2):
        if second is not first:
            second(world)
        world.minutes(2)
        mend(world, but=first)
        world.signal(Kind.STATUS)  # which reads less than a tick
        world.minutes(2)
    assert kinds(world).count(BREAKS[first]) == 1
    mend(world)
    world.minutes(2)
    assert world.memory.open_problems == ()
    first(world)
    world.minutes(2)
    assert kinds(world).count(BREAKS[first]) == 2


def test_who_pinned_it_is_told_once_though_the_service_was_gone_meanwhile() -> None:
    world = held()
    world.minutes(12 * 60 + 1)
    vanish(world)
    world.minutes(2)
    world.exists = True
    world.minutes(60)
    assert kinds(world) == ["idle-but-awake", "service-missing"]


def test_a_problem_that_outlasts_the_phase_is_published_again() -> None:
    world = World()
    world.signal(Kind.ADOPT)
    change_the_target_group(world)
    world.minutes(2)
    world.set_desired(0)
    world.minutes(2)
    detached = "target-group-detached"
    assert kinds(world) == [detached, "count-set-outside", detached]


def test_a_deployment_that_fails_again_is_published_again_and_what_lasts_is_not() -> None:
    world = World(boot=9000)
    world.signal(Kind.ADOPT)
    world.minutes(10)
    for state in ("FAILED", "COMPLETED", "FAILED"):
        world.rollout = {"rolloutState": state}
        world.minutes(2)
    assert world.phase() is Phase.WAKING
    assert kinds(world) == ["not-live", "deployment-failed", "deployment-failed"]


def test_a_rule_that_is_stuck_again_is_published_again() -> None:
    world = World(alarm="ALARM", environment={**ENVIRONMENT, "LINGER_SECONDS": "6000"})
    world.signal(Kind.ADOPT)
    world.time += 600
    taken = {FOREIGN_RULE: 99, f"{FOREIGN_RULE}2": 12}
    for _ in range(2):
        world.rules |= {WAKE_RULE: 30_010, **taken}
        world.minutes(2)
        del world.rules[FOREIGN_RULE], world.rules[f"{FOREIGN_RULE}2"]
        world.minutes(2)
        assert (world.phase(), world.rule_up) == (Phase.DROWSY, True)
    assert kinds(world) == ["no-rule-number"] * 2


# --- a notice that was not sent ----------------------------------------------------------------


def find_no_rule_number(world: World) -> None:
    """Idle, and two rules of others take the numbers on both sides of the service rule."""
    world.alarm = "ALARM"
    world.time += 600
    world.rules |= {FOREIGN_RULE: 99, f"{FOREIGN_RULE}2": 12}


def stay_awake_for_a_day(world: World) -> None:
    """Pinned, and idle for a day."""
    world.invoke({"command": "pin", "minutes": 3 * 24 * 60})
    world.alarm, world.alarm_since = "ALARM", world.time
    world.time += DAY


PROBLEMS = {
    **BREAKS,
    find_no_rule_number: "no-rule-number",
    stay_awake_for_a_day: "idle-but-awake",
}


@pytest.mark.parametrize("begin", PROBLEMS)
def test_a_notice_that_was_not_sent_is_sent_once_by_the_observations_that_follow(
    begin: Callable[[World], None],
) -> None:
    world = World(environment={**ENVIRONMENT, "LINGER_SECONDS": "6000"})
    world.signal(Kind.ADOPT)
    begin(world)
    world.failing.add("publish")
    world.minutes(3)
    assert kinds(world) == []
    world.failing.clear()
    world.minutes(1)
    assert kinds(world) == [PROBLEMS[begin]]
    world.minutes(3)
    assert kinds(world) == [PROBLEMS[begin]]


def test_a_notice_that_cannot_be_sent_keeps_no_service_asleep_without_a_wake_rule() -> None:
    world = asleep()
    world.rules |= {WAKE_RULE: 30_010, FOREIGN_RULE: 99, f"{FOREIGN_RULE}2": 12}
    world.failing.add("publish")
    world.minutes(3)
    assert world.phase() is Phase.AWAKE


# --- what doctor says of the problems that were published --------------------------------------


@pytest.mark.parametrize("begin", PROBLEMS)
def test_doctor_reports_once_what_was_published_and_lasts(begin: Callable[[World], None]) -> None:
    world = World(environment={**ENVIRONMENT, "LINGER_SECONDS": "6000"})
    world.signal(Kind.ADOPT)
    begin(world)
    world.minutes(3)
    problem = wk.NOTICES[PROBLEMS[begin]]
    found = world.invoke({"command": "doctor"})["findings"]
    (named,) = [each for each in found if each["finding"].startswith(problem.text)]
    assert named["remedy"] == problem.remedy
    mend(world)
    world.rules = {rule: world.rules[rule] for rule in (WAKE_RULE, SERVICE_RULE)}
    world.minutes(2)
    assert world.invoke({"command": "doctor"}) == {"findings": []}


def test_doctor_does_not_report_what_is_over_though_no_tick_has_seen_it() -> None:
    for begin, code in BREAKS.items():
        world = World()
        world.signal(Kind.ADOPT)
        begin(world)
        world.minutes(2)
        assert world.memory.open_problems == (code,)
        mend(world)
        assert world.invoke({"command": "doctor"}) == {"findings": []}


def test_doctor_ignores_an_open_problem_that_only_another_version_knows() -> None:
    world = World()
    world.signal(Kind.ADOPT)
    world.aws().write_memory(replace(world.memory, open_problems=("of-another-version",)))
    assert world.invoke({"command": "doctor"}) == {"findings": []}


# --- what was refused, and what went wrong -----------------------------------------------------


def beat(world: World, authorization: str) -> int:
    headers = {"authorization": authorization}
    answer = control(world, "POST", "/health", body='{"in_flight": 1}', headers=headers)
    return int(answer["statusCode"])


def test_a_proxy_with_an_outdated_token_is_told_of_once_a_day() -> None:
    world = World(environment={**ENVIRONMENT, **TOKEN})
    world.signal(Kind.ADOPT)
    for _ in range(100):
        world.time += 30
        assert beat(world, "Bearer outdated") == 401
    assert kinds(world) == ["beats-refused"]
    world.signal(Kind.SLEEP)
    world.minutes(2)
    assert world.phase() is Phase.ASLEEP
    assert beat(world, "Bearer outdated") == 401
    assert kinds(world).count("beats-refused") == 1
    world.time += DAY
    assert beat(world, "Bearer outdated") == 401
    assert kinds(world).count("beats-refused") == 2


def test_a_stranger_without_a_token_sends_nobody_a_mail() -> None:
    world = World(environment={**ENVIRONMENT, **TOKEN})
    world.signal(Kind.ADOPT)
    assert beat(world, "Basic x") == 401
    assert world.published == []


def failing() -> tuple[World, wk.Warmkeeper]:
    world = asleep()
    world.failing.add("get_item")
    return world, wk.Warmkeeper(world.aws())


def test_handled_errors_are_told_once_an_hour_however_many_there_are() -> None:
    world, keeper = failing()
    for _ in range(10):
        assert keeper.dispatch(request())["statusCode"] == 503
        world.time += 60
    assert kinds(world) == ["errors-handled"]
    assert "ThrottlingException" in world.notices[-1]
    world.time += wk.ERROR_NOTICE_SECONDS
    keeper.dispatch(request())
    assert kinds(world) == ["errors-handled"] * 2


def test_a_topic_that_does_not_answer_delays_the_client_by_a_moment_and_only_once() -> None:
    def took() -> float:
        before = world.time
        assert keeper.dispatch(request())["statusCode"] == 503
        return world.time - before

    world, keeper = failing()
    world.lands_after = 60
    first, second = took(), took()
    assert first - second == pytest.approx(wk.TAKE_TIMEOUT_SECONDS)


def test_a_table_that_is_gone_is_told_though_nothing_can_be_remembered() -> None:
    world = asleep()
    world.gone.add("table")
    keeper = wk.Warmkeeper(world.aws())
    for _ in range(3):
        keeper.dispatch(request())
    assert kinds(world) == ["errors-handled"]
    assert "no table" in world.notices[0]


def test_without_a_table_the_service_is_woken_before_anybody_is_told() -> None:
    world = asleep()
    world.gone.add("table")
    world.invoke(request())
    calls = [call for call in world.reads if call in ("update_service", "publish")]
    assert calls == ["update_service", "publish"]
