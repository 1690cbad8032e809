"""The local cloud's metrics in log lines against "Specification: Embedded metric format"."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.logs import Measured, embedded_metrics


def a_document(**changes: Any) -> dict[str, Any]:
    """The page's example: one directive, one dimension set, one metric."""
    document: dict[str, Any] = {
        "_aws": {
            "Timestamp": 1574109732004,
            "CloudWatchMetrics": [
                {
                    "Namespace": "lambda-function-metrics",
                    "Dimensions": [["functionVersion"]],
                    "Metrics": [{"Name": "time", "Unit": "Milliseconds", "StorageResolution": 60}],
                }
            ],
        },
        "functionVersion": "$LATEST",
        "time": 100,
        "requestId": "989ffbf8-9ace-4817-a57c-e4dd734019ee",
    }
    return {**document, **changes}


def directive(document: dict[str, Any]) -> dict[str, Any]:
    """Its directive."""
    only: dict[str, Any] = document["_aws"]["CloudWatchMetrics"][0]
    return only


def test_the_pages_example_is_one_value() -> None:
    assert embedded_metrics(a_document()) == [
        Measured(
            namespace="lambda-function-metrics",
            name="time",
            dimensions={"functionVersion": "$LATEST"},
            value=100.0,
            unit="Milliseconds",
            timestamp=1574109732.004,
        )
    ]


def test_an_array_is_many_values_and_a_unit_may_be_left_out() -> None:
    document = a_document(time=[1, 2.5, 3])
    del directive(document)["Metrics"][0]["Unit"]
    found = embedded_metrics(document)
    assert [(each.value, each.unit) for each in found] == [(1, "None"), (2.5, "None"), (3, "None")]


def test_each_dimension_set_is_a_metric_of_its_own_and_an_empty_one_has_no_dimensions() -> None:
    document = a_document(region="here")
    directive(document)["Dimensions"] = [["functionVersion"], ["functionVersion", "region"], []]
    assert [each.dimensions for each in embedded_metrics(document)] == [
        {"functionVersion": "$LATEST"},
        {"functionVersion": "$LATEST", "region": "here"},
        {},
    ]


def test_there_may_be_several_metrics_and_several_directives() -> None:
    document = a_document(count=3)
    directive(document)["Metrics"].append({"Name": "count"})
    other = {"Namespace": "other", "Dimensions": [[]], "Metrics": [{"Name": "count"}]}
    document["_aws"]["CloudWatchMetrics"].append(other)
    assert [(each.namespace, each.name, each.value) for each in embedded_metrics(document)] == [
        ("lambda-function-metrics", "time", 100),
        ("lambda-function-metrics", "count", 3),
        ("other", "count", 3),
    ]


def broken(part: str) -> dict[str, Any]:
    """The example, with one of the specification's requirements not met."""
    document = a_document()
    match part:
        case "no timestamp":
            del document["_aws"]["Timestamp"]
        case "a metric without its value":
            del document["time"]
        case "a dimension without its value":
            del document["functionVersion"]
        case "no dimensions":
            del directive(document)["Dimensions"]
        case "a value that is text":
            document["time"] = "100"
        case "a value that is true":
            document["time"] = True
        case "a dimension that is a number":
            document["functionVersion"] = 1
        case "more than 100 values":
            document["time"] = [1] * 101
        case "more than 100 metrics":
            directive(document)["Metrics"] *= 101
        case "more than 30 dimensions":
            names = [f"d{number}" for number in range(31)]
            document |= dict.fromkeys(names, "x")
            directive(document)["Dimensions"] = [names]
    return document


@pytest.mark.parametrize(
    "part",
    [
        "no timestamp",
        "a metric without its value",
        "a dimension without its value",
        "no dimensions",
        "a value that is text",
        "a value that is true",
        "a dimension that is a number",
        "more than 100 values",
        "more than 100 metrics",
        "more than 30 dimensions",
    ],
)
def test_a_document_that_breaks_the_format_gives_nothing(part: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        embedded_metrics(broken(part))
