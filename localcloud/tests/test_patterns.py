"""The local cloud's event patterns against EventBridge's "Comparison operators" page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.patterns import matches, read

# The page's operators, each with a value that its example takes and one that it does not.
OPERATORS: list[tuple[str, Any, Any, Any]] = [
    ("equals", ["Alice"], "Alice", "alice"),
    ("or", ["Credit", "Debit"], "Debit", "Cash"),
    ("empty", [""], "", "x"),
    ("null", [None], None, "null"),
    ("equals, ignore case", [{"equals-ignore-case": "alice"}], "ALICE", "alicia"),
    ("begins with", [{"prefix": "us-"}], "us-east-1", "eu-us-1"),
    ("begins with, ignore case", [{"prefix": {"equals-ignore-case": "eventb"}}], "EventB1", "xev"),
    ("ends with", [{"suffix": ".png"}], "a.png", "a.png2"),
    ("ends with, ignore case", [{"suffix": {"equals-ignore-case": "tbridge"}}], "xTBRIDGE", "t"),
    ("wildcard", [{"wildcard": "*/lib/*"}], "usr/lib/x", "usr/library"),
    ("wildcard, escaped", [{"wildcard": r"a\*b"}], "a*b", "axb"),
    ("wildcard, no single character", [{"wildcard": "a?b"}], "a?b", "axb"),
    ("anything but", [{"anything-but": "initializing"}], "running", "initializing"),
    ("anything but, list", [{"anything-but": ["stopped", "overloaded"]}], "x", "stopped"),
    ("anything but, numbers", [{"anything-but": [100, 200]}], 300, 200),
    ("anything but, begins with", [{"anything-but": {"prefix": "init"}}], "x", "initial"),
    ("anything but, begins with, list", [{"anything-but": {"prefix": ["a", "b"]}}], "c", "bc"),
    ("anything but, ends with", [{"anything-but": {"suffix": ".png"}}], "a.txt", "a.png"),
    ("anything but, ignore case", [{"anything-but": {"equals-ignore-case": "a"}}], "b", "A"),
    ("anything but, wildcard", [{"anything-but": {"wildcard": "*/lib/*"}}], "usr", "usr/lib/x"),
    ("numeric, equals", [{"numeric": ["=", 100]}], 100.0, 101),
    ("numeric, range", [{"numeric": [">", 10, "<=", 20]}], 20, 10),
    ("numeric, no text", [{"numeric": ["=", 100]}], 100, "100"),
    ("cidr", [{"cidr": "10.0.0.0/24"}], "10.0.0.255", "10.0.1.0"),
    ("a number as it is written", [300], 300, 300.0),
    ("true is not one", [True], True, 1),
]


@pytest.mark.parametrize(
    ("wanted", "taken", "passed_over"),
    [pytest.param(*case, id=name) for name, *case in OPERATORS],
)
def test_each_operator_takes_what_the_page_says(
    wanted: list[Any], taken: Any, passed_over: Any
) -> None:
    pattern = read(json.dumps({"detail": {"field": wanted}}))
    assert matches(pattern, {"detail": {"field": taken}})
    assert not matches(pattern, {"detail": {"field": passed_over}})
    assert not matches(pattern, {"detail": {}})


def test_exists_looks_at_leaves_only() -> None:
    """The page: an object is no leaf, so that it does not exist; nor has an empty array one."""
    present, absent = ({"detail": {"c-count": [{"exists": each}]}} for each in (True, False))
    details: list[tuple[dict[str, Any], bool]] = [
        ({"c-count": 3}, True),
        ({"c-count": [3]}, True),
        ({}, False),
        ({"c-count": {"c1": 100}}, False),
        ({"c-count": []}, False),
        ({"c-count": [{"c1": 100}]}, False),
    ]
    for detail, there in details:
        assert matches(present, {"detail": detail}) is there
        assert matches(absent, {"detail": detail}) is not there
    assert matches(absent, {"source": "none of its parents is there either"})
    assert matches(absent, {"detail": []})
    assert not matches(absent, {"detail": ["no object", {"c-count": 3}]})


def test_every_field_has_to_match_and_of_alternatives_one() -> None:
    both = {"Location": ["New York"], "Day": ["Monday"]}
    assert matches(both, {"Location": "New York", "Day": "Monday", "More": 1})
    assert not matches(both, {"Location": "New York", "Day": "Sunday"})
    either = read(json.dumps({"$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]}))
    assert matches(either, {"Location": "Boston", "Day": "Monday"})
    assert not matches(either, {"Location": "Boston", "Day": "Sunday"})


def test_of_an_array_in_the_event_one_element_is_enough() -> None:
    """Arrays: the intersection of the pattern's and the event's is not empty."""
    pattern = {"resources": [{"suffix": "/one"}, "two"]}
    assert matches(pattern, {"resources": ["none", "service/one"]})
    assert matches(pattern, {"resources": ["two"]})
    assert not matches(pattern, {"resources": ["three"]})
    assert not matches(pattern, {"resources": []})
    assert matches({"a": {"b": [1]}}, {"a": [{"b": 2}, {"b": 1}]})


@pytest.mark.parametrize(
    "pattern",
    [
        "no JSON",
        "[]",
        "{}",
        '{"source": "aws.ecs"}',
        '{"source": []}',
        '{"source": [["aws.ecs"]]}',
        '{"source": [{"regex": ".*"}]}',
        '{"source": [{"prefix": "a", "suffix": "b"}]}',
        '{"source": [{"prefix": 1}]}',
        '{"source": [{"prefix": {"wildcard": "a"}}]}',
        '{"source": [{"anything-but": {"numeric": ["=", 1]}}]}',
        '{"source": [{"anything-but": []}]}',
        '{"count": [{"numeric": ["!=", 1]}]}',
        '{"count": [{"numeric": [">"]}]}',
        '{"count": [{"numeric": ["=", 1, "=", 1]}]}',
        '{"count": [{"numeric": ["<", 9, ">", 1]}]}',
        '{"count": [{"numeric": [">", 9, "<", 1]}]}',
        '{"source": [{"anything-but": ["a", 1]}]}',
        '{"source": [{"anything-but": true}]}',
        '{"source": [{"anything-but": {"prefix": ""}}]}',
        '{"source": [{"wildcard": "a**"}]}',
        '{"address": [{"cidr": "10.0.0.1"}]}',
        '{"address": [{"cidr": "10.0.0"}]}',
        '{"there": [{"exists": "yes"}]}',
        '{"$or": [{"a": [1]}]}',
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  JSON's errors are ValueErrors
        read(pattern)
