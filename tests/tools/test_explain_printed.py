"""What tools.explain makes of the warmkeeper's answer, of CloudWatch's counts and of the log."""

from __future__ import annotations

import datetime
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Phase

from tests.tools.answers import Session, told, ways_of
from tests.warmkeeper.scenes import (
    MEMBERS,
    SITUATIONS,
    WAKING,
    alarm_gone,
    asked_to_sleep,
    asleep,
    asleep_in_closed_hours,
    before_awake_hours,
    browser_only,
    environment_of,
    failed,
    given_up,
    in_awake_hours,
    just_woken,
    pinned,
    play,
    protected,
    requests_come,
    service_gone,
    several_reasons,
    starts,
    world_of,
)
from tools import command, explain
from tools.explain import Decision, Minute
from tools.forecast import Forecast

NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC).timestamp()
IDLE = "the idle alarm is in ALARM"


def at(text: str) -> float:
    """A time of that day, as an epoch second."""
    hours, minutes = map(int, text.split(":"))
    return NOON + (hours - 12) * 3600 + minutes * 60


def answer(**changes: Any) -> dict[str, Any]:
    """What the command says of a service that somebody has just used."""
    return {
        "name": "staging",
        "phase": "awake",
        "now": at("12:06"),
        "since": at("11:40"),
        "because": "live",
        "failed": None,
        "failure": "",
        "blockers": [],
        "config": {
            "idle_minutes": 5,
            "idle_alarm_arns": ["arn:aws:cloudwatch:eu-central-1:123456789012:alarm:staging-idle"],
        },
        "code_sha256": wk.code_sha256(),
    } | changes


def test_each_service_of_an_environment_has_a_line() -> None:
    world = play(world_of(**environment_of(**MEMBERS)), WAKING)
    printed = lines(told(world), ways=[])
    assert [line for line in printed if "member" in line] == [
        "  member web: count 0, waits for api",
        "  member api: count 1, not ready",
        "  member worker: count 1, not ready",
        "  member mailer: count 0, waits for auth",
        "  member auth: count 1, ready",
    ]
    assert not any("member" in line for line in lines(told(starts())))


def drowsy(at_earliest: float, *needs: str) -> list[Forecast]:
    return [Forecast(Phase.DROWSY, at_earliest, needs)]


def lines(said: dict[str, Any], *minutes: Minute, ways: list[Forecast] | None = None) -> list[str]:
    """What is printed; without `ways` it is drowsy as soon as the idle alarm says so."""
    if ways is None:
        ways = drowsy(at("12:06"), IDLE)
    return explain.render(said, ways, minutes, []).splitlines()


def line(said: dict[str, Any], *minutes: Minute, ways: list[Forecast] | None = None) -> str:
    return lines(said, *minutes, ways=ways)[0]


def test_the_first_line_is_the_answer() -> None:
    minutes = Minute(at("12:03"), 1), Minute(at("12:04"), 3), Minute(at("12:05"), 0, busy=False)
    assert line(answer(), *minutes) == (
        "staging is awake: 3 requests at 12:04, drowsy at the earliest 12:12, "
        "when the idle alarm is in ALARM"
    )


def test_requests_that_are_too_few_for_the_alarm_hold_nothing() -> None:
    minutes = Minute(at("12:03"), 9), Minute(at("12:05"), 2, busy=False)
    assert "2 requests at 12:05, drowsy at the earliest 12:11" in line(answer(), *minutes)


def test_the_alarm_is_asked_only_where_it_is_waited_for() -> None:
    ways = drowsy(at("12:08"))
    assert "drowsy at the earliest 12:08" in line(answer(), Minute(at("12:04"), 3), ways=ways)


def test_what_ends_later_than_the_alarm_counts() -> None:
    ways = drowsy(at("12:30"), IDLE)
    assert "drowsy at the earliest 12:30" in line(answer(), Minute(at("12:04"), 3), ways=ways)


def test_without_a_request_nothing_is_made_up_about_the_alarm() -> None:
    assert line(answer()) == "staging is awake: drowsy at once, when the idle alarm is in ALARM"


def test_another_day_is_named() -> None:
    ways = drowsy(NOON + 86_400 + 5)
    assert "at the earliest 2026-11-25 12:00:05" in line(answer(), ways=ways)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (requests_come, "awake: drowsy at once, when the idle alarm is in ALARM"),
        (just_woken, "awake: up for 105 s of 480 s, drowsy at the earliest"),
        (protected, "awake: a task protects itself from scale-in, drowsy at once, when no task"),
        (asked_to_sleep, "drowsy: asleep at the earliest"),
        (asleep, "asleep: waking at once, when a request comes"),
        (failed, "asleep: the last wake failed (image-not-pulled), waking at the earliest"),
        (given_up, "asleep: the last wake failed (image-not-pulled), waking at once, when the"),
        (browser_only, "asleep: waking at once, when the command wake is sent"),
        (starts, "waking: awake at once, when a target is live"),
        (service_gone, "awake: no ACTIVE ECS service: app, nothing that is known changes that"),
        (alarm_gone, "awake: the idle alarm is not there, drowsy at once, when the idle alarm is"),
        (alarm_gone, "when the idle alarm is there and the idle alarm is in ALARM"),
    ],
)
def test_a_situation_in_words(build: Any, words: str) -> None:
    with redirect_stdout(io.StringIO()):
        said = told(build())
    assert words in line(said, ways=ways_of(said))


def held(*blockers: tuple[str, float | None]) -> list[dict[str, Any]]:
    codes = {BUSY[0]: "used"}
    return [{"code": codes.get(text, ""), "text": text, "until": until} for text, until in blockers]


PINNED = ("pinned until 2026-11-24 21:36:00 UTC", at("21:36"))
DEPLOYED = ("deployed 209 s ago", at("12:08"))
BUSY = ("the idle alarm is not in ALARM", None)
PROTECTED = ("a task protects itself from scale-in", None)


@pytest.mark.parametrize(
    ("blockers", "words"),
    [
        ([PINNED, BUSY], "awake: pinned until 21:36, drowsy at the earliest"),
        ([DEPLOYED, PINNED], "awake: pinned until 21:36, drowsy"),
        ([DEPLOYED, ("active beat 3 s ago", at("12:09")), BUSY], "awake: 3 requests at 12:04, dr"),
        ([("deployed 9 s ago", at("12:30")), BUSY], "awake: deployed 9 s ago, drowsy"),
        ([PINNED, PROTECTED, BUSY], "awake: a task protects itself from scale-in, drowsy"),
        (
            [("a deployment is in progress", None), PROTECTED],
            "awake: a deployment is in progress, drowsy",
        ),
        ([("pinned until 2026-11-25 00:00:05 UTC", NOON + 12 * 3600 + 5)], "2026-11-25 00:00:05"),
    ],
)
def test_what_holds_it_for_the_longest_comes_first(
    blockers: list[tuple[str, float | None]], words: str
) -> None:
    assert words in line(answer(blockers=held(*blockers)), Minute(at("12:04"), 3))


def test_all_that_holds_it_stands_there_with_its_end() -> None:
    printed = lines(answer(blockers=held(PINNED, DEPLOYED, BUSY)))
    assert [text for text in printed if "  held" in text] == [
        "  held   pinned until 21:36",
        "  held   deployed 209 s ago, until 12:08",
        "  held   the idle alarm is not in ALARM",
    ]


def test_of_all_that_holds_it_only_what_no_time_ends_has_no_end() -> None:
    with redirect_stdout(io.StringIO()):
        said = told(several_reasons())
    blockers = [text for text in lines(said) if "  held" in text]
    assert [" until " in text for text in blockers] == [True, True, False, False]


def test_what_came_is_told_with_the_time_since_when_it_was_looked_for() -> None:
    came = lines(answer(), Minute(at("12:04"), 3))
    assert "  came   3 requests at 12:04, since 11:46" in came
    assert "  came   nobody, since 11:46" in lines(answer())


def test_which_time_it_is_and_in_which_zone_is_said_once() -> None:
    assert lines(answer())[1] == "  now    2026-11-24 12:06:00 UTC, as are all times here"


def test_that_the_function_runs_other_code_is_a_line_and_that_it_runs_the_same_is_none() -> None:
    said = "  code   the function runs other code than this clone, whose decisions these are"
    assert said in lines(answer(code_sha256="0" * 64))
    assert "  code" not in "\n".join(lines(answer()))


@pytest.mark.parametrize("build", SITUATIONS, ids=lambda build: str(build.__name__))
def test_no_line_has_an_epoch_or_a_duration_in_minutes(build: Any) -> None:
    with redirect_stdout(io.StringIO()):
        said = told(build())
    made = [Decision(said["now"], said["now"], "tick", "awake", "awake", said["because"])]
    text = explain.render(said, ways_of(said), [Minute(said["now"] - 90, 3)], made)
    assert re.search(r"\d{8,}|\bmin\b|minutes", text) is None


def test_what_the_function_itself_says_of_a_pin_is_a_clock_time_with_its_zone() -> None:
    world = pinned()
    with redirect_stdout(io.StringIO()):
        said = told(world)
    (pin,) = said["blockers"]
    ends = datetime.datetime.fromtimestamp(pin["until"], datetime.UTC)
    assert pin["text"] == f"pinned until {ends:%Y-%m-%d %H:%M:%S} UTC"


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (in_awake_hours, "  hours  the schedule keeps it awake until 10:00 (UTC)"),
        (before_awake_hours, "  hours  the schedule says nothing until 12:00 (UTC)"),
        (asleep_in_closed_hours, "  hours  closed by the schedule until 10:00 (UTC)"),
    ],
)
def test_what_the_schedule_says_is_a_line(build: Any, line: str) -> None:
    with redirect_stdout(io.StringIO()):
        assert line in lines(told(build()))


def test_why_the_last_wake_failed_stands_there() -> None:
    with redirect_stdout(io.StringIO()):
        said = told(failed())
    assert any(text.startswith("  failed CannotPull") for text in lines(said))


# --- the log -----------------------------------------------------------------------------------
def tick(moment: float, reason: str, before: str = "awake", after: str = "") -> dict[str, Any]:
    """An event of the log."""
    entry = {"signal": "tick", "before": before, "after": after or before, "reason": reason}
    message = json.dumps({"level": "INFO", **entry, "actions": [], "milliseconds": 3})
    return {"timestamp": round(moment * 1000), "message": message}


def test_what_is_only_said_again_is_a_line_with_its_number() -> None:
    events = [
        *(tick(NOON + 60 * n, f"stays awake: up for {60 * n} s of 480 s") for n in range(5)),
        tick(NOON + 300, "idle", "awake", "drowsy"),
        tick(NOON + 360, "drowsy for 60 s of 60 s", "drowsy"),
    ]
    first, second, third = explain.collapsed(explain.parsed(events))
    assert (first.times, first.first, first.last) == (5, NOON, NOON + 240)
    assert first.reason == "stays awake: up for 240 s of 480 s"
    assert (second.times, third.times) == (1, 1)
    table = explain.log_table([first, second], NOON)
    assert "12:04  tick  awake            stays awake: up for 240 s" in table
    assert "(5 times since 12:00)" in table
    assert "awake -> drowsy  idle" in table


def test_what_did_something_is_never_taken_together() -> None:
    did = [Decision(NOON + n, NOON + n, "tick", "a", "a", "again", ("rule up",)) for n in range(3)]
    assert explain.collapsed(did) == did


def test_lines_that_are_no_decisions_are_passed_over() -> None:
    messages = ["START RequestId: 1", "{", '"signal"', '{"level": "ERROR"}', "[]", '{"Wakes": 1}']
    events = [{"timestamp": 1, "message": message} for message in messages]
    assert list(explain.parsed(events)) == []


class Pages:
    """FilterLogEvents: a page of what is younger than is asked for."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events, self.asked = events, list[dict[str, Any]]()

    def paginate(self, **arguments: Any) -> list[dict[str, Any]]:
        self.asked.append(arguments)
        young = [e for e in self.events if e["timestamp"] >= arguments["startTime"]]
        return [{"events": young[::2]}, {"events": young[1::2]}]


def test_the_log_is_read_no_further_back_than_there_is_need() -> None:
    events = [tick(NOON - 3000 * n, f"reason {'x' * n}") for n in range(30)]
    pages = Pages(events)
    session: Any = Session(
        get_function_configuration={"LoggingConfig": {"LogGroup": "/aws/lambda/other"}},
        get_paginator=lambda: pages,
    )
    found = explain.decisions(session, "staging-warmkeeper", NOON)
    assert [len(d.reason) - len("reason ") for d in found] == list(range(9, -1, -1))
    assert len(pages.asked) == 2
    assert {asked["logGroupName"] for asked in pages.asked} == {"/aws/lambda/other"}


def test_requests_are_counted_as_the_idle_alarm_counts_them() -> None:
    asked: list[dict[str, Any]] = []

    def statistics(**arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        sums = {at("12:04"): 1.0, at("12:03"): 3.0}
        moments = {datetime.datetime.fromtimestamp(t, datetime.UTC): n for t, n in sums.items()}
        return {"Datapoints": [{"Timestamp": t, "Sum": n} for t, n in moments.items()]}

    alarm = {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "RequestCount",
        "Threshold": 2.0,
        "Dimensions": [{"Name": "TargetGroup", "Value": "targetgroup/app/1"}],
    }
    session: Any = Session(
        describe_alarms={"MetricAlarms": [alarm]}, get_metric_statistics=statistics
    )
    counted = [Minute(at("12:03"), 3), Minute(at("12:04"), 1, busy=False)]
    assert explain.requests(session, answer()) == counted
    (arguments,) = asked
    assert arguments["Dimensions"] == alarm["Dimensions"]
    assert (arguments["EndTime"] - arguments["StartTime"]).total_seconds() == 20 * 60
    gone: Any = Session(describe_alarms={"MetricAlarms": []})
    assert explain.requests(gone, answer()) == []


def test_a_warmkeeper_that_fails_is_an_error_that_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = {
        "FunctionError": "Unhandled",
        "Payload": io.BytesIO(b'{"errorMessage": "no table staging"}'),
    }
    monkeypatch.setattr(command, "session_of", lambda _: Session(invoke=failing))
    assert explain.main(["staging"]) == 1
    assert "does not answer explain: no table staging" in capsys.readouterr().err


def test_the_example_of_the_document_is_one_of_this_explanation() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "operating.md").read_text()
    block = text.partition("<!-- explain -->")[2].partition("<!-- /explain -->")[0]
    begin = {words.split()[0] for words in lines(answer()) if words} | {"held", "or"}
    printed = block.strip().strip("`").splitlines()[1:]
    head, _, log = "\n".join(printed).partition("\n\nThe last decisions:\n")
    assert {line.split()[0] for line in head.splitlines()} <= begin
    assert "drowsy at the earliest" in head
    assert log
