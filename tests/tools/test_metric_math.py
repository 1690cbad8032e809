"""Metric math as CloudWatch's page has it: what is missing, what is a number, what is refused."""

from __future__ import annotations

import pytest

from tools.metric_math import Graph, MetricMathError, Series

MOMENTS = (0, 60, 120, 180)


def worked_out(expression: str, **metrics: Series) -> Series:
    return Graph(metrics, {"result": expression}, MOMENTS, 60).series("result")


def test_a_series_and_a_number_are_combined_value_by_value() -> None:
    assert worked_out("1 - a / 2", a={0: 1, 60: 4}) == {0: 0.5, 60: -1.0}


def test_of_two_series_there_is_what_both_have() -> None:
    assert worked_out("a + b", a={0: 1, 60: 2}, b={60: 3, 120: 4}) == {60: 5}


def test_a_list_passes_over_what_is_missing() -> None:
    assert worked_out("MAX([a * 0, b])", a={0: 5, 60: 5}, b={60: 2, 120: 3}) == {
        0: 0,
        60: 2,
        120: 3,
    }
    assert worked_out("SUM([a, b])", a={0: 5}, b={}) == {0: 5}


def test_a_condition_chooses_for_each_moment() -> None:
    assert worked_out("IF(a > 1, b, 0)", a={0: 1, 60: 2, 120: 2}, b={60: 7}) == {0: 0, 60: 7}
    assert worked_out("IF(a == 1, 1, 0)", a={0: 1, 60: 2}) == {0: 1, 60: 0}


def test_a_statistic_of_one_series_is_a_number_for_all_the_time_shown() -> None:
    hours = "TIME_SERIES(SUM(a)) * PERIOD(a) / 3600"
    assert worked_out(hours, a={0: 30, 60: 30}) == dict.fromkeys(MOMENTS, 1.0)
    assert worked_out("TIME_SERIES(AVG(a))", a={0: 1, 60: 2})[180] == 1.5


def test_an_expression_may_use_another_one() -> None:
    graph = Graph({"a": {0: 2.0}}, {"b": "a + 1", "c": "b * 2"}, MOMENTS, 60)
    assert graph.series("c") == {0: 6}


@pytest.mark.parametrize(
    "expression",
    [
        "SUM(a)",  # a number, which CloudWatch does not draw
        "PERIOD(a)",
        "FILL(a, 0)",  # not known here
        "a ** 2",
        "TIME_SERIES(a)",
        "MAX([a, 1])",
        "nobody + 1",
        "a +",
    ],
)
def test_what_is_wrong_or_not_known_is_refused(expression: str) -> None:
    with pytest.raises(MetricMathError):
        worked_out(expression, a={0: 1.0})
