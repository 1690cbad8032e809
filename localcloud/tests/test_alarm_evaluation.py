"""The local cloud's alarms against "Configuring how CloudWatch alarms treat missing data".

The rows are those of the page's two tables, with the expected states written down from it: 0 is a
point within the threshold, X a breaching one, - a missing one, the newest on the right.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.metrics import evaluate, state_reason, statistic

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
RETAIN = "what it was"


def an_alarm(needed: int, periods: int, treatment: str) -> dict[str, Any]:
    """An alarm over 1 that needs `needed` of `periods` points."""
    return {
        "EvaluationPeriods": periods,
        "DatapointsToAlarm": needed,
        "TreatMissingData": treatment,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }


def points(row: str) -> list[float | None]:
    """A row of the page as values."""
    return [{"0": 0.0, "X": 2.0, "-": None}[each] for each in row.split()]


THREE_OF_THREE = [
    ("0 - X - X", ["OK", "OK", "OK", "OK"]),
    ("0 - - - -", ["OK", "OK", "OK", "OK"]),
    ("- - - - -", ["INSUFFICIENT_DATA", RETAIN, "ALARM", "OK"]),
    ("0 X X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
    ("- - X - -", ["ALARM", RETAIN, "ALARM", "OK"]),
]
TWO_OF_THREE = [
    ("0 - X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
    ("0 0 X 0 X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
    ("0 - X - -", ["OK", "OK", "ALARM", "OK"]),
    ("- - - - 0", ["OK", "OK", "ALARM", "OK"]),
    ("- - - X -", ["ALARM", RETAIN, "ALARM", "OK"]),
]
DOCUMENTED = [
    pytest.param(needed, row, treatment, state, id=f"{needed} of 3, {row}, {treatment}")
    for needed, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
    for row, states in table
    for treatment, state in zip(TREATMENTS, states, strict=True)
]


@pytest.mark.parametrize(("needed", "row", "treatment", "state"), DOCUMENTED)
@pytest.mark.parametrize("current", ["OK", "ALARM", "INSUFFICIENT_DATA"])
def test_every_row_of_the_pages_tables_gives_the_pages_state(
    needed: int, row: str, treatment: str, state: str, current: str
) -> None:
    found = evaluate(points(row), an_alarm(needed, 3, treatment), current)
    assert found == (current if state == RETAIN else state)


@pytest.mark.parametrize("row", ["- - - - X", "- - - X -"])
@pytest.mark.parametrize("treatment", ["missing", "ignore", "notBreaching"])
def test_young_breaching_points_alone_do_not_alarm_before_there_are_enough_of_them(
    row: str, treatment: str
) -> None:
    """The page: 'the alarm does not go immediately into ALARM state' (3 of 3)."""
    assert evaluate(points(row), an_alarm(3, 3, treatment), "OK") == "OK"


@pytest.mark.parametrize("row", ["- - - X 0", "- - X - 0"])
def test_a_next_point_within_the_threshold_keeps_a_premature_alarm_away(row: str) -> None:
    assert evaluate(points(row), an_alarm(3, 3, "missing"), "OK") == "OK"


def test_late_data_does_not_count_as_silence_where_missing_data_is_breaching() -> None:
    """The idle alarm's trap: of three periods the last two are late, older ones are used."""
    idle = {**an_alarm(3, 3, "breaching"), "ComparisonOperator": "LessThanThreshold"}
    assert evaluate([5.0, 7.0, 4.0, None, None], idle, "OK") == "OK"
    assert evaluate([4.0, None, None, None, None], idle, "OK") == "OK"
    assert evaluate([None] * 5, idle, "OK") == "ALARM"


def test_zeros_are_data_and_not_silence() -> None:
    idle = {**an_alarm(3, 3, "notBreaching"), "ComparisonOperator": "LessThanThreshold"}
    assert evaluate([5.0, 0.0, 0.0, None, 0.0], idle, "OK") == "ALARM"


def test_the_default_is_missing_and_every_period() -> None:
    alarm = an_alarm(2, 2, "missing")
    del alarm["TreatMissingData"], alarm["DatapointsToAlarm"]
    assert evaluate(points("- - - -"), alarm, "OK") == "INSUFFICIENT_DATA"
    assert evaluate(points("0 0 0 X"), alarm, "OK") == "OK"
    assert evaluate(points("0 0 X X"), alarm, "OK") == "ALARM"


@pytest.mark.parametrize(
    ("comparison", "at_threshold"),
    [
        ("GreaterThanThreshold", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("LessThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
    ],
)
def test_each_comparison_is_exact_at_its_threshold(comparison: str, at_threshold: str) -> None:
    alarm = {**an_alarm(1, 1, "missing"), "ComparisonOperator": comparison}
    assert evaluate([1.0], alarm, "OK") == at_threshold


rows = st.lists(st.sampled_from([0.0, 2.0, None]), min_size=5, max_size=5)


@given(row=rows, needed=st.integers(1, 3), treatment=st.sampled_from(TREATMENTS))
def test_with_enough_real_points_the_treatment_and_the_present_state_do_not_matter(
    row: list[float | None], needed: int, treatment: str
) -> None:
    real = [value for value in row if value is not None]
    if len(real) >= 3:
        expected = "ALARM" if real[-3:].count(2.0) >= needed else "OK"
        for current in ("OK", "ALARM"):
            assert evaluate(row, an_alarm(needed, 3, treatment), current) == expected


@given(row=rows, needed=st.integers(1, 3))
def test_breaching_alarms_at_least_whenever_not_breaching_does(
    row: list[float | None], needed: int
) -> None:
    if evaluate(row, an_alarm(needed, 3, "notBreaching"), "OK") == "ALARM":
        assert evaluate(row, an_alarm(needed, 3, "breaching"), "OK") == "ALARM"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sum", 10),
        ("Average", 2.5),
        ("Minimum", 1),
        ("Maximum", 4),
        ("SampleCount", 4),
        ("p50", 2),
        ("p99", 4),
    ],
)
def test_statistics_of_a_period(name: str, value: float) -> None:
    assert statistic([1.0, 2.0, 3.0, 4.0], name) == value


def test_an_unknown_statistic_is_refused() -> None:
    with pytest.raises(ValueError, match="IQM"):
        statistic([1.0], "IQM")


def test_the_reason_tells_missing_points_from_real_ones() -> None:
    alarm = an_alarm(3, 3, "breaching")
    assert "no datapoints were received for 3 periods" in state_reason([None] * 5, alarm, "ALARM")
    assert "[2.0, 2.0, 2.0]" in state_reason([0.0, None, 2.0, 2.0, 2.0], alarm, "ALARM")
    assert state_reason([None] * 5, alarm, "INSUFFICIENT_DATA").startswith("Insufficient Data")
