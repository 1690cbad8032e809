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
    values = _listed(event[key]) if key in event else []
    if isinstance(wanted, Mapping):
        objects = [each for each in values if isinstance(each, Mapping)]
        return any(matches(wanted, each) for each in objects or [{}])
    # Only leaves are compared: an object is, to an operator, not there.
    leaves = [each for each in values if not isinstance(each, Mapping)]
    return any(_value_matches(each, leaves) for each in wanted)


def _value_matches(wanted: Any, leaves: list[Any]) -> bool:
    if not isinstance(wanted, Mapping):
        return _written(wanted) in map(_written, leaves)
    [(name, operand)] = wanted.items()
    if name == "exists":
        return bool(operand) is bool(leaves)
    return any(_compares(name, operand, value) for value in leaves)


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
        case "anything-but":
            return _is_anything_but(operand)
        case "prefix" | "suffix" if isinstance(operand, dict):
            return list(operand) == ["equals-ignore-case"] and all(
                isinstance(each, str) for each in operand.values()
            )
    return _is_text(name, operand)


def _is_anything_but(operand: Any) -> bool:
    """Texts or numbers, and not both; or one operator with its texts."""
    if isinstance(operand, dict):
        if len(operand) != 1:
            return False
        [(inner, given)] = operand.items()
        texts = _listed(given)
        empty = inner in ("prefix", "suffix") and "" in texts
        return bool(texts) and not empty and all(_is_text(inner, each) for each in texts)
    values = _listed(operand)
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in values]
    return bool(values) and (all(numbers) or all(isinstance(each, str) for each in values))


def _is_text(name: str, operand: Any) -> bool:
    """Whether it is an operator of TEXTUAL and its text; a wildcard has no two stars in a row."""
    consecutive = name == "wildcard" and "**" in re.sub(r"\\.", ".", str(operand))
    return name in TEXTUAL and isinstance(operand, str) and not consecutive


def _is_numeric(operand: Any) -> bool:
    """One comparison, or a lower bound and an upper one."""
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        return False
    signs = tuple(operand[::2])
    bounds = operand[1::2]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in bounds):
        return False
    if len(operand) == 2:
        return signs[0] in NUMERIC
    return signs[0] in (">", ">=") and signs[1] in ("<", "<=") and bool(bounds[0] < bounds[1])


def _is_network(operand: Any) -> bool:
    try:
        ipaddress.ip_network(operand)
    except ValueError:
        return False
    return isinstance(operand, str) and "/" in operand
