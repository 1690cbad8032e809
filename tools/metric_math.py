"""The part of CloudWatch's metric math that the dashboard uses, to draw it without a console.

A time series is a dictionary from epoch seconds to values. What is not known here is refused, so
that no widget is drawn of something else than it says.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import math
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Series = dict[int, float]
Value = Series | float

OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: lambda a, b: float(a > b),
    ast.GtE: lambda a, b: float(a >= b),
    ast.Lt: lambda a, b: float(a < b),
    ast.LtE: lambda a, b: float(a <= b),
    ast.Eq: lambda a, b: float(a == b),
    ast.NotEq: lambda a, b: float(a != b),
}
STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": math.fsum,
    "AVG": statistics.fmean,
    "MAX": max,
    "MIN": min,
}


class MetricMathError(ValueError):
    """An expression that is wrong, or beyond what is known here."""


@dataclass(frozen=True)
class Graph:
    """The metrics and expressions of one widget, by id; `moments` are the time shown, by period."""

    metrics: Mapping[str, Series]
    expressions: Mapping[str, str]
    moments: Sequence[int]
    period: int

    def series(self, identity: str) -> Series:
        """What is drawn for an id. Raises MetricMathError, also for a result that is a number."""
        found = self._named(identity)
        if not isinstance(found, dict):
            raise MetricMathError(f"{identity} is a number, and CloudWatch draws time series")
        return found

    def _named(self, identity: str) -> Value:
        if identity in self.metrics:
            return self.metrics[identity]
        if identity not in self.expressions:
            raise MetricMathError(f"there is no {identity}")
        try:
            tree = ast.parse(self.expressions[identity], mode="eval")
        except SyntaxError as error:
            raise MetricMathError(f"{identity}: {error}") from None
        return self._value(tree.body)

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return self._named(name)
            case ast.BinOp(left=left, op=op, right=right):
                return self._pairwise(op, left, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._pairwise(op, left, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._called(name, arguments)
        raise MetricMathError(f"not known here: {ast.unparse(node)}")

    def _pairwise(self, op: ast.operator | ast.cmpop, left: ast.expr, right: ast.expr) -> Value:
        """Where one of two series has no value, neither has the result."""
        if type(op) not in OPERATORS:
            raise MetricMathError(f"not known here: {type(op).__name__}")
        return combine(OPERATORS[type(op)], self._value(left), self._value(right))

    def _called(self, name: str, arguments: list[ast.expr]) -> Value:
        match name, arguments:
            case "IF", [condition, then, otherwise]:
                return self._if(*map(self._value, (condition, then, otherwise)))
            case "TIME_SERIES", [scalar]:
                number = self._value(scalar)
                if isinstance(number, dict):
                    raise MetricMathError("TIME_SERIES takes a number")
                return dict.fromkeys(self.moments, number)
            case "PERIOD", [ast.Name(id=of)] if of in self.metrics:
                return float(self.period)
            case statistic, [ast.List(elts=several)] if statistic in STATISTICS:
                return across(STATISTICS[statistic], [self._value(each) for each in several])
            case statistic, [one] if statistic in STATISTICS:
                series = self._value(one)
                if isinstance(series, dict):
                    return float(STATISTICS[statistic](list(series.values()) or [0.0]))
        raise MetricMathError(f"not known here: {name} of {len(arguments)}")

    def _if(self, condition: Value, then: Value, otherwise: Value) -> Value:
        if not isinstance(condition, dict):
            return then if condition else otherwise
        chosen = {when: then if holds else otherwise for when, holds in condition.items()}
        return {
            when: value[when] if isinstance(value, dict) else value
            for when, value in chosen.items()
            if not isinstance(value, dict) or when in value
        }


def combine(how: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """A series and a number, two series or two numbers, value by value."""
    if isinstance(left, dict):
        if isinstance(right, dict):
            return {when: how(left[when], right[when]) for when in left if when in right}
        return {when: how(value, right) for when, value in left.items()}
    if isinstance(right, dict):
        return {when: how(left, value) for when, value in right.items()}
    return how(left, right)


def across(how: Callable[[Sequence[float]], float], several: Sequence[Any]) -> Series:
    """One series of several, of the values that there are at a moment."""
    if not all(isinstance(each, dict) for each in several):
        raise MetricMathError("a list holds time series")
    moments = sorted({when for series in several for when in series})
    return {when: how([s[when] for s in several if when in s]) for when in moments}
