"""Logs Insights, as far as the module asks it: fields, filter, stats, sort, limit."""

from __future__ import annotations

import json

import pytest

from tools.log_query import LogQueryError, answer, groups_of

LINES = [
    (10.0, {"signal": "tick", "before": "asleep", "after": "asleep", "reason": "asleep"}),
    (20.0, {"wake": {"cause": "request", "seconds": 30.5, "stages": {"pulled": 14.0}}}),
    (30.0, {"wake": {"cause": "wake", "seconds": 40.0, "stages": {}}}),
    (40.0, {"wake": {"cause": "request", "seconds": 20.0, "stages": {"pulled": 4}}}),
    (50.0, {"signal": "tick", "before": "waking", "after": "asleep", "reason": "no live target"}),
]
EVENTS = [*((when, json.dumps(line)) for when, line in LINES), (60.0, "START RequestId: 1")]


def test_a_query_names_its_log_groups() -> None:
    query = "SOURCE '/aws/lambda/a' | SOURCE 'b' | fields @message | limit 1"
    assert groups_of(query) == (["/aws/lambda/a", "b"], "fields @message | limit 1")


def test_fields_of_json_lines_are_found_by_their_path() -> None:
    asked = "filter ispresent(wake.seconds) | fields @timestamp, wake.stages.pulled as pulled"
    newest_first = [
        {"@timestamp": 40.0, "pulled": 4},
        {"@timestamp": 30.0},
        {"@timestamp": 20.0, "pulled": 14.0},
    ]
    assert answer(asked, EVENTS) == newest_first


def test_a_filter_compares_with_a_text_a_number_or_another_field() -> None:
    def found(condition: str) -> list[float]:
        asked = f"filter {condition} | fields @timestamp | sort @timestamp asc"
        return [row["@timestamp"] for row in answer(asked, EVENTS)]

    assert found("before != after") == [50]
    assert found('after = "asleep"') == [10, 50]
    assert found("wake.seconds >= 30.5") == [20, 30]
    assert found('ispresent(wake.cause) or (before = "waking" and after = "asleep")') == [
        20, 30, 40, 50,
    ]  # fmt: skip
    assert found("before = wake.cause") == []


def test_stats_are_grouped_and_sorted() -> None:
    asked = "filter ispresent(wake.seconds) | stats count(*) as n, max(wake.seconds) as worst, "
    asked += "sum(wake.stages.pulled) as pulled, avg(wake.seconds) by wake.cause | sort n desc"
    assert answer(asked, EVENTS) == [
        {
            "wake.cause": "request",
            "n": 2,
            "worst": 30.5,
            "pulled": 18.0,
            "avg(wake.seconds)": 25.25,
        },
        {"wake.cause": "wake", "n": 1, "worst": 40.0, "avg(wake.seconds)": 40.0},
    ]


def test_a_limit_is_of_what_comes_first() -> None:
    asked = "filter ispresent(after) | fields after, reason | sort @timestamp desc | limit 1"
    assert answer(asked, EVENTS) == [{"after": "asleep", "reason": "no live target"}]


def test_without_fields_the_message_is_shown() -> None:
    assert answer("limit 1", EVENTS) == [{"@timestamp": 60.0, "@message": "START RequestId: 1"}]


@pytest.mark.parametrize(
    "query",
    [
        "parse @message '*' as a",
        "filter @message like /x/",
        "filter (before = after",
        "filter before = after after",
        "filter",
        "fields strlen(reason)",
        "stats pct(a, 50) by b",
    ],
)
def test_what_is_not_known_is_refused(query: str) -> None:
    with pytest.raises(LogQueryError):
        answer(query, EVENTS)
