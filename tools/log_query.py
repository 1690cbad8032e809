"""The part of CloudWatch Logs Insights that the module's queries use, to answer them without it.

The local cloud keeps log events and cannot be asked. A row is a dictionary from field names
to values; what is not known here is refused.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

import json
import math
import operator
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]
Event = tuple[float, str]  # epoch seconds, message

DEFAULT_LIMIT = 10_000
FIELD = r"[@\w.]+"
AGGREGATE = re.compile(rf"(count|sum|avg|max|min)\((\*|{FIELD})\)(?: as (\w+))?")
PRESENT = re.compile(rf"ispresent\(({FIELD})\)")
COMPARED = re.compile(rf"({FIELD}) *(!=|=|>=|<=|>|<) *({FIELD}|\"[^\"]*\"|'[^']*')")
TOKEN = re.compile(rf"{PRESENT.pattern}|{COMPARED.pattern}|[()]|\b(?:and|or)\b")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
AGGREGATES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "sum": math.fsum,
    "avg": statistics.fmean,
    "max": max,
    "min": min,
}


class LogQueryError(ValueError):
    """A query that is wrong, or beyond what is known here."""


def groups_of(query: str) -> tuple[list[str], str]:
    """A widget's query: the log groups that it names, and the rest."""
    *sources, rest = re.split(r"(SOURCE +'[^']*') *\| *", query)
    return [source.split("'")[1] for source in sources if source.strip()], rest


def discovered(event: Event) -> Row:
    """The fields of a log event: @timestamp, @message, and the leaves of a JSON object by path."""
    when, message = event
    row: Row = {"@timestamp": when, "@message": message}
    try:
        document = json.loads(message)
    except ValueError:
        return row
    if isinstance(document, dict):
        _flatten("", document, row)
    return row


def _flatten(path: str, document: dict[str, Any], row: Row) -> None:
    for name, value in document.items():
        if isinstance(value, dict):
            _flatten(f"{path}{name}.", value, row)
        elif value is not None:
            row[f"{path}{name}"] = value


def answer(query: str, events: Iterable[Event]) -> list[Row]:
    """The rows that a query gives, without its SOURCE. Raises LogQueryError."""
    rows = [discovered(event) for event in sorted(events, reverse=True)]
    shown: list[str] | None = None
    limit = DEFAULT_LIMIT
    for command in filter(None, map(str.strip, query.split("|"))):
        verb, _, rest = command.partition(" ")
        match verb:
            case "filter":
                holds = _condition(rest)
                rows = [row for row in rows if holds(row)]
            case "fields":
                rows, shown = _named(rows, rest)
            case "stats":
                rows, shown = _grouped(rows, rest)
            case "sort":
                field, _, order = rest.partition(" ")
                known = [row for row in rows if field in row]
                rows = sorted(known, key=lambda row: row[field], reverse=order == "desc")
            case "limit":
                limit = int(rest)
            case _:
                raise LogQueryError(f"not known here: {command}")
    names = shown or ["@timestamp", "@message"]
    return [{name: row[name] for name in names if name in row} for row in rows[:limit]]


def _condition(text: str) -> Callable[[Row], bool]:
    """What `filter` holds: and, or, parentheses, ispresent() and comparisons."""
    tokens = [found[0] for found in re.finditer(TOKEN, text)]
    if "".join(tokens).replace(" ", "") != text.replace(" ", ""):
        raise LogQueryError(f"not known here: filter {text}")

    def either() -> Callable[[Row], bool]:
        parts = [both()]
        while tokens[:1] == ["or"]:
            tokens.pop(0)
            parts.append(both())
        return lambda row: any(part(row) for part in parts)

    def both() -> Callable[[Row], bool]:
        parts = [one()]
        while tokens[:1] == ["and"]:
            tokens.pop(0)
            parts.append(one())
        return lambda row: all(part(row) for part in parts)

    def one() -> Callable[[Row], bool]:
        token = tokens.pop(0) if tokens else ""
        if token == "(":
            inner = either()
            if tokens[:1] == [")"]:
                tokens.pop(0)
                return inner
        elif found := PRESENT.fullmatch(token):
            return lambda row: found[1] in row
        elif compared := COMPARED.fullmatch(token):
            return _comparison(*compared.groups())
        raise LogQueryError(f"not known here: filter {text}")

    holds = either()
    if tokens:
        raise LogQueryError(f"not known here: filter {text}")
    return holds


def _comparison(left: str, sign: str, right: str) -> Callable[[Row], bool]:
    def holds(row: Row) -> bool:
        """What is not there is like nothing, and unlike nothing."""
        other = right[1:-1] if right[0] in "\"'" else _number(right, row)
        return left in row and other is not None and COMPARISONS[sign](row[left], other)

    return holds


def _number(text: str, row: Row) -> Any:
    return float(text) if re.fullmatch(r"[\d.]+", text) else row.get(text)


def _named(rows: list[Row], rest: str) -> tuple[list[Row], list[str]]:
    """`fields a, b as c`: a field under another name is one more."""
    shown = []
    for part in rest.split(","):
        found = re.fullmatch(rf"({FIELD})(?: as ({FIELD}))?", part.strip())
        if not found:
            raise LogQueryError(f"not known here: fields {part}")
        name, alias = found[1], found[2] or found[1]
        rows = [row | ({alias: row[name]} if name in row else {}) for row in rows]
        shown.append(alias)
    return rows, shown


def _grouped(rows: list[Row], rest: str) -> tuple[list[Row], list[str]]:
    """`stats count(*) as n, max(a) as m by b, c`."""
    wanted, _, by = rest.partition(" by ")
    keys = [key.strip() for key in by.split(",")] if by else []
    columns = []
    for part in wanted.split(","):
        found = AGGREGATE.fullmatch(part.strip())
        if not found:
            raise LogQueryError(f"not known here: stats {part}")
        columns.append((found[3] or part.strip(), found[1], found[2]))
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    result = []
    for values, members in groups.items():
        made = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        for name, aggregate, field in columns:
            there = [row[field] for row in members if field in row]
            if aggregate == "count":
                made[name] = len(members) if field == "*" else len(there)
            elif there:
                made[name] = AGGREGATES[aggregate](there)
        result.append(made)
    return result, [*keys, *(name for name, _, _ in columns)]
