"""EventBridge's event patterns: which events a rule takes, and which patterns it refuses.

Imitates "Event patterns" and "Comparison operators for use in event patterns" (EventBridge User
Guide): every operator that the page lists for event buses.
"""

from __future__ import annotations

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TEXTUAL = ("prefix", "suffix", "equals-ignore-case", "wildcard")
ABSENT = object()


def read(text: str) -> dict[str, Any]:
    """A pattern from its JSON text; ValueError says what EventBridge would not take."""
    pattern = json.loads(text)
    _check(pattern)
    checked: dict[str, Any] = pattern
    return checked


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether an event has what the pattern names: every field, with one of the values listed."""
    return all(_field_matches(key, wanted, event) for key, wanted in pattern.items())


def _field_matches(key: str, wanted: Any, event: Mapping[str, Any]) -> bool:
    if key == "$or":
        return any(matches(each, event) for each in wanted)
    found = event.get(key, ABSENT)
    if isinstance(wanted, Mapping):
        inside = found if isinstance(found, list) else [found]
        return any(matches(wanted, each if isinstance(each, Mapping) else {}) for each in inside)
    # Only leaves are compared: an object is, to an operator, not there.
    there = found is not ABSENT and not isinstance(found, Mapping)
    values = found if isinstance(found, list) else [found] if there else []
    return any(_value_matches(each, values, there=there) for each in wanted)


def _value_matches(wanted: Any, values: list[Any], *, there: bool) -> bool:
    if not isinstance(wanted, Mapping):
        return _written(wanted) in map(_written, values)
    [(name, operand)] = wanted.items()
    if name == "exists":
        return bool(operand) is there
    return any(_compares(name, operand, value) for value in values)


def _written(value: Any) -> str:
    """A value as JSON has it: numbers and words of the same look are not the same."""
    return json.dumps(value)


def _compares(name: str, operand: Any, value: Any) -> bool:
    if name == "anything-but":
        if isinstance(operand, Mapping):
            [(inner, given)] = operand.items()
            return not any(_text_matches(inner, each, value) for each in _listed(given))
        return _written(value) not in map(_written, _listed(operand))
    if name == "numeric":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        pairs = zip(operand[::2], operand[1::2], strict=True)
        return number and all(NUMERIC[sign](value, bound) for sign, bound in pairs)
    if name == "cidr":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(operand)
        except ValueError:
            return False
    return _text_matches(name, operand, value)


def _text_matches(name: str, operand: Any, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    text: str = value
    if isinstance(operand, Mapping):  # a prefix or suffix without regard to case
        operand, text = operand["equals-ignore-case"].casefold(), text.casefold()
    match name:
        case "prefix":
            return text.startswith(operand)
        case "suffix":
            return text.endswith(operand)
        case "equals-ignore-case":
            return bool(text.casefold() == operand.casefold())
    parts = re.findall(r"\\.|.", operand, flags=re.DOTALL)
    source = "".join(".*" if part == "*" else re.escape(part[-1]) for part in parts)
    return re.fullmatch(source, text, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check(pattern: Any) -> None:
    if not isinstance(pattern, dict) or not pattern:
        raise ValueError("Filter is not an object, or an empty one")
    for key, wanted in pattern.items():
        if key == "$or":
            if not isinstance(wanted, list) or len(wanted) < 2:
                raise ValueError("$or wants an array of two patterns or more")
            for each in wanted:
                _check(each)
        elif isinstance(wanted, dict):
            _check(wanted)
        elif not isinstance(wanted, list) or not wanted:
            raise ValueError(f'"{key}" must be an object or an array that is not empty')
        else:
            for each in wanted:
                _check_value(key, each)


def _check_value(key: str, wanted: Any) -> None:
    if isinstance(wanted, list):
        raise ValueError(f'"{key}" has an array within its array')
    if not isinstance(wanted, dict):
        return
    if len(wanted) != 1:
        raise ValueError(f'"{key}" has an object of {len(wanted)} operators, not of one')
    [(name, operand)] = wanted.items()
    if not _is_fit(name, operand):
        raise ValueError(f'Unrecognized match type or operand in "{key}": {json.dumps(wanted)}')


def _is_fit(name: str, operand: Any) -> bool:
    match name:
        case "exists":
            return isinstance(operand, bool)
        case "numeric":
            return _is_numeric(operand)
        case "cidr":
            return _is_network(operand)
        case "anything-but" if isinstance(operand, dict):
            return len(operand) == 1 and all(
                inner in TEXTUAL and given and all(isinstance(each, str) for each in _listed(given))
                for inner, given in operand.items()
            )
        case "anything-but":
            return operand != [] and all(
                isinstance(each, str | int | float) for each in _listed(operand)
            )
        case "prefix" | "suffix" if isinstance(operand, dict):
            return list(operand) == ["equals-ignore-case"] and all(
                isinstance(each, str) for each in operand.values()
            )
    return name in TEXTUAL and isinstance(operand, str)


def _is_numeric(operand: Any) -> bool:
    return (
        isinstance(operand, list)
        and len(operand) in (2, 4)
        and all(sign in NUMERIC for sign in operand[::2])
        and all(isinstance(bound, int | float) for bound in operand[1::2])
    )


def _is_network(operand: Any) -> bool:
    try:
        ipaddress.ip_network(operand)
    except ValueError:
        return False
    return isinstance(operand, str)
