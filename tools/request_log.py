"""Reads logs of requests: a load balancer's log files, CSV, and CloudWatch's sums by the minute.

Promise: the content decides what a file or a line is, not only the name. What is no request is
skipped and counted by its kind; within a folder no file stops the reading.
"""

from __future__ import annotations

import csv
import datetime
import functools
import gzip
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import warmkeeper as wk

from tools.wake_policy import default_policy


class LogError(ValueError):
    """A log cannot be read. The message names the file, the line and the remedy.

    Options stand in it between backticks, see `tools.estimate.as_typed`.
    """


class Request(NamedTuple):
    """A moment in epoch seconds, how many requests came in it, who sent them, if known.

    `wakes` is False where wake_policy ignores the request: it wakes nothing, but awake it counts.
    """

    time: float
    many: int = 1
    client: str = ""
    wakes: bool = True


@dataclass
class Log:
    """What was read, and what was not."""

    requests: list[Request] = field(default_factory=list)  # in order of time, after `read`
    sums: dict[float, float] = field(default_factory=dict)  # RequestCount, by the minute's begin
    metrics: set[str] = field(default_factory=set)  # whose sums these are
    groups: set[str] = field(default_factory=set)  # target groups of the requests, where named
    skipped: Counter[str] = field(default_factory=Counter)  # how many, by what they are
    unread: list[str] = field(default_factory=list)  # one message for each file

    def add(self, part: Log) -> None:
        self.requests += part.requests
        self.metrics |= part.metrics
        self.groups |= part.groups
        self.skipped += part.skipped
        self.unread += part.unread
        for minute, value in part.sums.items():
            self.add_sum(minute, value)

    def add_sum(self, minute: float, value: float) -> None:
        """A minute that two answers hold counts once; the later answer may have the larger sum."""
        self.sums[minute] = max(value, self.sums.get(minute, 0.0))

    def what_was_skipped(self) -> str:
        """A sentence; "" for nothing."""
        kinds = "; ".join(f"{what}: {number:,}" for what, number in sorted(self.skipped.items()))
        return f"Skipped {kinds}." if kinds else ""


# --- the forms of lines, CSV columns and JSON keys ---------------------------------------------
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
ACCESS = re.compile(
    rf"(?:https?|h2|grpcs|wss?) (?P<time>{TIME}) \S+ (?P<client>\S+) \S+"
    r"(?: -?[\d.]+){3} \S+ \S+ \S+ \S+ "
    r'"(?P<request>.*?)" "(?P<user_agent>.*?)" [\w-]+ [\w.-]+ '
    r"(?P<target_group_arn>arn:\S+|-)(?: |$)"
)
# The time at which the load balancer got the request stands after the rule's priority.
CREATED = re.compile(rf'" -?\d+ (?P<time>{TIME}) "')
WITHOUT_GROUP = "lines without a target group (redirects, fixed answers, refused requests)"
OF_NO_KNOWN_FORM = "lines of no known form"
HEALTH_CHECKS = "lines of health check logs"
CONNECTIONS = "lines of connection logs"
TEST_FILES = "test files of the load balancer"
OTHER_LINES = (
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-health-check-logs.html
    (HEALTH_CHECKS, re.compile(rf"\w+ {TIME} \S+ \S+ \S+ (?:PASS|FAIL)\b")),
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
    (CONNECTIONS, re.compile(rf"{TIME} [\da-fA-F.:]+ \d+ \d+ ")),
    (TEST_FILES, re.compile(r"Enable \w+ for ELB: ")),
)
TEST_FILE_NAME = re.compile(r"ELB\w+TestFile")
# The fields of a JSON delivery are those of the lines, named as in the pages above.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-logs.html
OTHER_KEYS = (
    (HEALTH_CHECKS, {"target_group_id", "reason_code"}),
    (CONNECTIONS, {"listener_port", "tls_verify_status"}),
)
ACCESS_KEYS = {"request", "request_line", "request_creation_time", "target_group_arn"}
# By which names CSV and JSON hold a field, in lower case; the first that is there is taken.
NAMES = {
    "time": (
        *("request_creation_time", "time", "timestamp", "datetime"),
        *("date_time", "date", "@timestamp"),
    ),
    "client": (
        *("client_ip", "client", "ip", "user", "remote_addr", "c-ip"),
        *("client:port", "client_port"),
    ),
    "user_agent": ("user_agent", "useragent", "user-agent"),
    "request": ("request", "request_line"),
    "method": ("method", "request_verb"),
    "path": ("path", "url", "request_url"),
    "target_group_arn": ("target_group_arn",),
}
REQUEST_LINE = re.compile(r"(?P<method>\S+) (?P<url>\S*)")
SITE = re.compile(r"^[a-z]+://[^/?]*")
MILLISECONDS_FROM = 1e11  # an epoch number above this is in milliseconds
PARQUET = b"PAR1"
LOOKED_AT = 20  # lines by which a text is known as a load balancer's
BY_CHANCE = 0.02  # minutes of single visits stand so regularly less often than this
NOT_BLANK = re.compile(r"\S")


# --- files -------------------------------------------------------------------------------------
def read(paths: Sequence[Path], only: str = "", column: str = "") -> Log:
    """The requests of files and folders. LogError.

    `only` keeps the lines and rows that hold that text, `column` names a CSV's column of times. A
    file that is named and cannot be read is an error; one that a folder holds is told in `unread`.
    """
    log = Log()
    for path in paths:
        if not path.exists():
            raise LogError(f"{path}: there is no such file or folder. Name another in LOG.")
        for file in _files(path):
            try:
                log.add(_read_file(file, only, column))
            except LogError as error:
                if file == path:
                    raise
                log.unread.append(str(error))
    where = ", ".join(map(str, paths))
    _use_sums(log, where)
    if not log.requests:
        raise LogError(_nothing_found(log, where, only))
    log.requests.sort()
    return log


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _nothing_found(log: Log, where: str, only: str) -> str:
    kept = f" that hold {only!r}" if only else ""
    remedy = "Name another LOG, or give another --only TEXT." if only else "Name another LOG."
    said = " ".join(filter(None, (f"{where}: no requests{kept}.", log.what_was_skipped(), remedy)))
    return "\n".join((said, *log.unread))


def _read_file(path: Path, only: str, column: str) -> Log:
    if TEST_FILE_NAME.fullmatch(path.name):
        return Log(skipped=Counter({TEST_FILES: 1}))
    text = _text(path)
    lines = text.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        return Log(skipped=Counter({"empty files": 1}))
    if first.startswith(("{", "[")):
        return _json(path, text, only)
    if any(_kind(line) for line in lines[:LOOKED_AT]):
        return _lines(path, lines, only)
    return _table(path, lines, only, column)


def _text(path: Path) -> str:
    """The text of a file, unpacked. LogError where it is none."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        if raw.startswith(PARQUET):
            raise LogError(
                f"{path}: Parquet is not read. Let the delivery write JSON, or convert the file: "
                f"duckdb -c \"COPY (FROM '{path}') TO '{path.with_suffix('.csv')}'\""
            )
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise LogError(
            f"{path}: cannot be read as text ({error}). Give plain text or .gz of it."
        ) from None


# --- lines of a load balancer ------------------------------------------------------------------
def _kind(line: str) -> str:
    """What a line of a log bucket is; "" for none of the known forms."""
    if ACCESS.match(line):
        return "access"
    return next((kind for kind, form in OTHER_LINES if form.match(line)), "")


def _lines(path: Path, lines: Iterable[str], only: str) -> Log:
    part = Log()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = ACCESS.match(line)
        if entry is None:
            part.skipped[_kind(line) or OF_NO_KNOWN_FORM] += 1
        elif only in line:
            created = CREATED.search(line, entry.end("user_agent"))
            fields = entry.groupdict()
            fields["time"] = (created or entry)["time"]
            fields["client"] = entry["client"].rpartition(":")[0]
            _add_request(part, fields, f"{path}:{number}")
    return part


def _add_request(part: Log, fields: Mapping[str, str], where: str) -> None:
    """A request as lines, rows and JSON have it, by the names of NAMES. LogError for its time.

    Without a target group it is not in RequestCount: the product neither sees nor counts it.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    """
    group = fields.get("target_group_arn", "")
    if group == "-":
        part.skipped[WITHOUT_GROUP] += 1
        return
    if group:
        part.groups.add(group)
    client = _address(fields.get("client", ""))
    moment = _time(fields["time"], where)
    part.requests.append(Request(moment, client=client, wakes=_may_wake(fields, client)))


def _address(client: str) -> str:
    """Without the port that IPv4 or a bracketed IPv6 may have."""
    host, _, port = client.rpartition(":")
    has_port = port.isdigit() and (host.endswith("]") or (host and ":" not in host))
    return (host if has_port else client).strip("[]")


def _may_wake(fields: Mapping[str, str], client: str) -> bool:
    """By the default wake_policy. What names neither agent nor path is nobody's to ignore."""
    line = REQUEST_LINE.match(fields.get("request", ""))
    url = line["url"] if line else fields.get("path", "")
    agent = fields.get("user_agent", "")
    if not (url or agent):
        return True
    path = SITE.sub("", url).partition("?")[0] or "/"
    return _wakes(line["method"] if line else fields.get("method", "GET"), path, agent, client)


@functools.lru_cache(maxsize=100_000)  # a log has the same clients again and again
def _wakes(method: str, path: str, agent: str, client: str) -> bool:
    """Asked as the function asks: the load balancer appends the client to X-Forwarded-For."""
    headers = {"user-agent": agent, "x-forwarded-for": client}
    return (
        wk.matching_ignore_rule(wk.Request(method, path, headers=headers), default_policy()) is None
    )


# --- CSV ---------------------------------------------------------------------------------------
def _table(path: Path, lines: Sequence[str], only: str, column: str) -> Log:
    """Rows below a head, or bare times without one."""
    bare = not column and _is_time(lines[0])
    rows = csv.reader(["time", *lines] if bare else lines)
    part = Log()
    try:
        columns = _columns(path, next(rows), column)
        for row in rows:
            if row and (not only or any(only in cell for cell in row)):
                cells = {name: row[at] if at < len(row) else "" for name, at in columns.items()}
                _add_request(part, cells, f"{path}:{rows.line_num - bare}")
    except csv.Error as error:
        raise LogError(f"{path}:{rows.line_num}: not CSV ({error}). Write it anew.") from None
    if rows.line_num == 1:
        part.skipped["tables without a row"] += 1
    return part


def _columns(path: Path, head: Sequence[str], column: str) -> dict[str, int]:
    """Where the fields of NAMES stand in a row. LogError where no column has the time."""
    places = {name.strip().lower(): place for place, name in enumerate(head)}
    columns = {field: places[name] for field, name in _names(places).items()}
    if column:
        columns["time"] = places.get(column.strip().lower(), -1)
    elif len(head) == 1:
        columns["time"] = 0
    if columns.get("time", -1) < 0:
        wanted = column or " or ".join(NAMES["time"])
        raise LogError(
            f"{path}:1: none of the columns {', '.join(places)} is {wanted}. Give the file a head "
            "with a column time, or name yours: --column NAME."
        )
    return columns


def _names(there: Iterable[str]) -> dict[str, str]:
    """For each field of NAMES that is there, the name that it has."""
    present = set(there)
    return {
        field: next(name for name in names if name in present)
        for field, names in NAMES.items()
        if not present.isdisjoint(names)
    }


# --- JSON --------------------------------------------------------------------------------------
def _json(path: Path, text: str, only: str) -> Log:
    """JSON lines of an access log, or what CloudWatch answered, one document after the other."""
    part = Log()
    for number, document in _documents(path, text):
        where = f"{path}:{number}"
        kind = _json_kind(document)
        if kind == "sums":
            _add_answer(part, document, where)
        elif kind == "access":
            if not only or any(only in str(value) for value in document.values()):
                _add_request(part, _fields(document, where), where)
        elif kind:
            part.skipped[kind] += 1
        else:
            raise LogError(
                f"{where}: JSON without MetricDataResults, without Datapoints, and not an access "
                "log's. Give what `aws cloudwatch get-metric-data` prints for RequestCount, Sum, "
                "with a period of 60, or an access log that was delivered as JSON."
            )
    return part


def _documents(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """The values of a text, however many follow each other, each with its line."""
    decoder = json.JSONDecoder()
    line = 1
    end = 0
    while begin := NOT_BLANK.search(text, end):
        line += text.count("\n", end, begin.start())
        try:
            value, end = decoder.raw_decode(text, begin.start())
        except json.JSONDecodeError as error:
            raise LogError(
                f"{path}:{error.lineno}: not JSON ({error.msg}). Fetch it again."
            ) from None
        yield from ((line, each) for each in (value if isinstance(value, list) else [value]))
        line += text.count("\n", begin.start(), end)


def _json_kind(document: Any) -> str:
    """As `_kind`, of a JSON value; "sums" for CloudWatch's."""
    if not isinstance(document, dict):
        return ""
    if "MetricDataResults" in document or "Datapoints" in document:
        return "sums"
    for kind, keys in OTHER_KEYS:
        if not keys.isdisjoint(document):
            return kind
    return "" if ACCESS_KEYS.isdisjoint(document) else "access"


def _fields(document: Mapping[str, Any], where: str) -> dict[str, str]:
    """The fields of NAMES, as text."""
    values = {name.lower(): "" if value is None else str(value) for name, value in document.items()}
    fields = {field: values[name] for field, name in _names(values).items()}
    if "time" not in fields:
        raise LogError(f"{where}: without a time. Let the delivery have request_creation_time.")
    return fields


# --- CloudWatch's sums -------------------------------------------------------------------------
def _add_answer(part: Log, document: Mapping[str, Any], where: str) -> None:
    try:
        for result in _results(document, where):
            _add_sums(part, result, where)
    except (AttributeError, KeyError, TypeError) as error:
        raise LogError(f"{where}: not as CloudWatch answers ({error!r}). Fetch it again.") from None


def _results(document: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The results of `get-metric-data`, and the same of what `get-metric-statistics` prints."""
    if "MetricDataResults" in document:
        return list(document["MetricDataResults"])
    points = document["Datapoints"]
    if not all("Sum" in point for point in points):
        raise LogError(f"{where}: Datapoints without Sum. Ask for the statistic Sum.")
    return [
        {
            "Label": document.get("Label", ""),
            "Timestamps": [point["Timestamp"] for point in points],
            "Values": [point["Sum"] for point in points],
        }
    ]


def _add_sums(part: Log, result: Mapping[str, Any], where: str) -> None:
    moments = result.get("Timestamps", [])
    values = result.get("Values", [])
    if len(moments) != len(values):
        raise LogError(
            f"{where}: {len(moments)} timestamps and {len(values)} values. Fetch it again."
        )
    minutes = [_time(str(moment), where) for moment in moments]
    _check_period(sorted(minutes), where)
    part.metrics.add(" ".join(result[name] for name in ("Id", "Label") if result.get(name)))
    for minute, value in zip(minutes, values, strict=True):
        part.add_sum(minute, value)


def _check_period(minutes: Sequence[float], where: str) -> None:
    """LogError for sums that are not by the minute.

    An answer does not name its period, and minutes without a request are not in it. So a longer
    period shows by moments that all stand a multiple of it apart.
    """
    odd = next((minute for minute in minutes if minute % 60), None)
    if odd is not None:
        raise LogError(f"{where}: {odd:.0f} is not a full minute. Ask with a period of 60.")
    gaps = [round(later - earlier) for earlier, later in pairwise(minutes)]
    period = math.gcd(*gaps)
    if period > 60 and (60 / period) ** len(gaps) < BY_CHANCE:
        raise LogError(
            f"{where}: all its sums stand a multiple of {period // 60} minutes apart, as those of "
            "a longer period do. Ask with a period of 60, which CloudWatch keeps for 15 days. If "
            "you did, only a clock calls: give the access log, which names it."
        )


def _use_sums(log: Log, where: str) -> None:
    """Make requests of the sums, joined from however many answers. LogError for a mixture."""
    if len(log.metrics) > 1:
        names = ", ".join(sorted(log.metrics))
        raise LogError(f"{where}: {len(log.metrics)} metrics: {names}. Ask for RequestCount alone.")
    if log.sums and log.requests:
        raise LogError(
            f"{where}: single requests and sums of RequestCount, which would count twice. Give one "
            "of the two."
        )
    log.requests += [
        Request(minute, many=round(value)) for minute, value in log.sums.items() if value > 0
    ]


# --- times -------------------------------------------------------------------------------------
def _is_time(text: str) -> bool:
    try:
        _time(text, "")
    except LogError:
        return False
    return True


def _time(text: str, where: str) -> float:
    """Epoch seconds of ISO 8601 (UTC where no zone is named) or of a number."""
    text = text.strip().strip('"')
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        seconds = number / 1000 if number > MILLISECONDS_FROM else number
        if 0 < seconds < MILLISECONDS_FROM:
            return seconds
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise LogError(
            f"{where}: {text!r} is no time. Write it as 2026-03-02T09:30:00Z, or as epoch seconds."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
