"""The reader of logs: each form, what is skipped and told, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tools import estimate, request_log
from tools.estimate import HOUR
from tools.request_log import LogError, Request, read

MONDAY = estimate.EXAMPLE_START.timestamp()
HALF_PAST_NINE = MONDAY + 9.5 * HOUR
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/app/73e2d6bc24d8a067"
ALB = (
    "http 2026-03-02T09:30:01.500000Z app/staging/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 "
    '0.000 1.400 0.000 200 200 34 366 "GET http://staging.example.com:80/ HTTP/1.1" "curl/7.46.0" '
    f'- - {GROUP} "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 100 '
    '2026-03-02T09:30:00.100000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1c71a68d'
)
# The examples of AWS's pages, with their later fields.
HEALTH_CHECK = (
    "http 2026-03-02T09:30:59.875678Z 0.019584011 172.31.20.97:80 HCLogsTestIPs PASS 200 - "
    "app/staging/50dc6c495c0c9188 198.51.100.4"
)
CONNECTION = (
    "2026-03-02T09:30:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 "
    '"CN=example.com,O=endEntity" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z '
    "FEF257372D5C14D4 Success TID_3180a73013c8ca4bac2f731159d4b0fe"
)
TEST_FILE = "Enable AccessLog for ELB: staging at 2026-03-01T10:00:00.000Z"
JSON_ENTRY = {
    "type": "http",
    "time": "2026-03-02T09:30:01.500000Z",
    "client:port": "192.0.2.7:2817",
    "request_line": "GET http://staging.example.com:80/ HTTP/1.1",
    "user_agent": "curl/7.46.0",
    "target_group_arn": GROUP,
    "request_creation_time": "2026-03-02T09:30:00.100000Z",
}
ONE = Request(HALF_PAST_NINE + 0.1, client="192.0.2.7")


def written(tmp_path: Path, text: str, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def by(agent: str, path: str = "/") -> str:
    """A line of the access log."""
    return ALB.replace("curl/7.46.0", agent).replace(":80/ HTTP", f":80{path} HTTP")


def sums(*minutes: float, **more: Any) -> dict[str, Any]:
    """A result of `get-metric-data` with one request in each of these minutes after 9:30."""
    moments = [HALF_PAST_NINE + 60 * minute for minute in minutes]
    return {"Timestamps": moments, "Values": [1.0] * len(moments), **more}


# --- access logs -------------------------------------------------------------------------------
def test_an_access_log_gives_the_time_of_the_request_and_not_of_its_answer(tmp_path: Path) -> None:
    assert read([written(tmp_path, ALB + "\n")]).requests == [ONE]


def test_an_access_log_without_that_field_gives_the_time_that_it_has(tmp_path: Path) -> None:
    (one,) = read([written(tmp_path, ALB.partition(' "Root')[0])]).requests
    assert one.time == pytest.approx(HALF_PAST_NINE + 1.5)


def test_a_folder_of_packed_logs_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    later = ALB.replace("09:30:00", "11:30:00")
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(later.encode()))
    (tmp_path / "b.log").write_text(ALB)
    found = read([tmp_path]).requests
    assert [one.time - HALF_PAST_NINE for one in found] == pytest.approx([0.1, 7200.1])


def test_only_the_lines_that_hold_a_text_are_kept(tmp_path: Path) -> None:
    other = ALB.replace("targetgroup/app/", "targetgroup/other/")
    log = written(tmp_path, f"{ALB}\n{other}\n")
    assert len(read([log]).groups) == 2
    found = read([log], only="targetgroup/other/")
    assert len(found.requests) == len(found.groups) == 1


@pytest.mark.parametrize("quoted", [r"a\x22b", 'a" "b', "a - - -", '"'])
def test_a_user_agent_with_anything_in_it_does_not_hide_its_line(
    tmp_path: Path, quoted: str
) -> None:
    assert read([written(tmp_path, by(quoted))]).requests == [ONE]


def test_a_line_without_a_target_group_is_not_counted_because_requestcount_has_it_not(
    tmp_path: Path,
) -> None:
    redirect = ALB.replace(GROUP, "-").replace('"forward"', '"redirect"')
    found = read([written(tmp_path, f"{ALB}\n{redirect}\n{redirect}\n")])
    assert found.requests == [ONE]
    assert found.skipped == {request_log.WITHOUT_GROUP: 2}


def test_what_else_a_log_bucket_holds_is_skipped_and_counted(tmp_path: Path) -> None:
    day = tmp_path / "AWSLogs" / "123456789012" / "elasticloadbalancing" / "us-east-1"
    day.mkdir(parents=True)
    (day / "123456789012_elasticloadbalancing_a.log").write_text(ALB)
    packed = gzip.compress(f"{HEALTH_CHECK}\n{HEALTH_CHECK.replace('PASS', 'FAIL')}\n".encode())
    (day / "health_check_log_123456789012.log.gz").write_bytes(packed)
    (day / "conn_log_123456789012.log.gz").write_bytes(gzip.compress(CONNECTION.encode()))
    (tmp_path / "ELBAccessLogTestFile").write_text(TEST_FILE)
    (tmp_path / "ELBConnectionLogTestFile").write_bytes(b"")
    (tmp_path / "empty.log").write_text("")
    found = read([tmp_path])
    assert found.requests == [ONE]
    assert found.unread == []
    assert found.skipped == {
        request_log.HEALTH_CHECKS: 2,
        request_log.CONNECTIONS: 1,
        request_log.TEST_FILES: 2,
        "empty files": 1,
    }


def test_lines_are_known_by_their_form_in_a_file_of_all_together(tmp_path: Path) -> None:
    lines = (TEST_FILE, HEALTH_CHECK, CONNECTION, "http and so on", ALB)
    found = read([written(tmp_path, "\n".join(lines))])
    assert found.requests == [ONE]
    assert found.skipped == {
        request_log.TEST_FILES: 1,
        request_log.HEALTH_CHECKS: 1,
        request_log.CONNECTIONS: 1,
        request_log.OF_NO_KNOWN_FORM: 1,
    }


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.parquet", b"PAR1\x15\x04", r"x\.parquet: Parquet is not read\..*duckdb"),
        ("x.png", b"\x89PNG\xff", r"x\.png: cannot be read as text"),
        ("x.gz", gzip.compress(b"abc", mtime=0)[:-9], r"x\.gz: cannot be read as text"),
        ("y.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x07", r"y\.gz: cannot be read"),
        ("notes.md", b"# Notes\n\nOne, two.\n", r"notes\.md:3: 'One' is no time"),
        ("trail.json", b'{"Records": []}', r"trail\.json:1: JSON without MetricDataResults"),
        ("half.json", b'{"type": "http"', r"half\.json:1: not JSON"),
        ("wide.csv", b'time\n"' + b"1" * 200_000 + b'"', r"wide\.csv:2: not CSV"),
    ],
)
def test_no_odd_file_stops_a_folder_and_each_is_told(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.log").write_text(ALB)
    found = read([tmp_path])
    assert found.requests == [ONE]
    with pytest.raises(LogError, match=told):
        raise LogError(*found.unread)
    with pytest.raises(LogError, match=told):
        read([tmp_path / name])


def test_a_log_of_no_requests_says_what_it_is_of(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"no requests\. Skipped lines of health check logs: 1\."):
        read([written(tmp_path, HEALTH_CHECK)])


# --- JSON lines --------------------------------------------------------------------------------
def test_access_logs_that_were_delivered_as_json_are_read(tmp_path: Path) -> None:
    health_check = {"type": "http", "target_group_id": "app", "status": "PASS", "status_code": 200}
    connection = {"time": "2026-03-02T09:30:15Z", "client_ip": "192.0.2.7", "listener_port": 443}
    redirect = {**JSON_ENTRY, "target_group_arn": "-"}
    documents = (JSON_ENTRY, health_check, connection, redirect)
    packed = gzip.compress("\n".join(map(json.dumps, documents)).encode())
    (tmp_path / "log.gz").write_bytes(packed)
    found = read([tmp_path / "log.gz"])
    assert found.requests == [ONE]
    assert found.skipped == {
        request_log.HEALTH_CHECKS: 1,
        request_log.CONNECTIONS: 1,
        request_log.WITHOUT_GROUP: 1,
    }


@pytest.mark.parametrize(
    "client",
    [
        {"client_ip": "192.0.2.7", "client_port": 2817},
        {"client_port": "192.0.2.7:2817"},
        {"client": "192.0.2.7"},
    ],
)
def test_json_and_csv_may_name_the_client_in_any_of_these_ways(
    tmp_path: Path, client: dict[str, Any]
) -> None:
    entry = {name: value for name, value in JSON_ENTRY.items() if name != "client:port"} | client
    table = f"{','.join(entry)}\n{','.join(map(str, entry.values()))}\n"
    for text in (json.dumps(entry), table):
        assert read([written(tmp_path, text)]).requests == [ONE]


@pytest.mark.parametrize("client", ["2001:db8::1", "[2001:db8::1]:2817"])
def test_the_colons_of_an_ipv6_address_are_no_port(tmp_path: Path, client: str) -> None:
    (one,) = read([written(tmp_path, f"time,client\n1,{client}\n")]).requests
    assert one.client == "2001:db8::1"


def test_json_lines_keep_only_what_holds_a_text(tmp_path: Path) -> None:
    other = {**JSON_ENTRY, "target_group_arn": GROUP.replace("/app/", "/other/")}
    log = written(tmp_path, json.dumps([JSON_ENTRY, other]))
    assert read([log], only="targetgroup/app/").groups == {GROUP}


# --- wake_policy -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("agent", "path", "wakes"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "/", True),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "/", False),
        ("curl/7.46.0", "/.env?x=1", False),
        ("curl/7.46.0", "/orders?next=/.env", True),
    ],
)
def test_the_product_s_own_wake_policy_says_who_wakes_nothing(
    tmp_path: Path, agent: str, path: str, wakes: bool
) -> None:
    entry = {**JSON_ENTRY, "user_agent": agent, "request_line": f"GET https://a.example{path} H"}
    table = f'time,user_agent,request_verb,request_url\n1,"{agent}",GET,https://a.example{path}\n'
    for log in (by(agent, path), json.dumps(entry), table):
        (one,) = read([written(tmp_path, log)]).requests
        assert one.wakes is wakes


# --- CSV ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "moment",
    [
        "2026-03-02T09:30:00Z",
        "2026-03-02 09:30:00",
        "2026-03-02T10:30:00+01:00",
        f"{HALF_PAST_NINE:.0f}",
        f"{HALF_PAST_NINE * 1000:.0f}",
    ],
)
def test_a_table_tells_time_in_any_usual_way(tmp_path: Path, moment: str) -> None:
    log = written(tmp_path, f"path,Time,client\n/,{moment},me\n")
    assert read([log]).requests == [Request(HALF_PAST_NINE, client="me")]


def test_a_column_of_another_name_can_be_named(tmp_path: Path) -> None:
    log = written(tmp_path, f"who,Seen at\nme,{HALF_PAST_NINE}\n")
    assert read([log], column="seen at").requests == [Request(HALF_PAST_NINE)]


@pytest.mark.parametrize("head", ["", "Seen at\n", "time\n"])
@pytest.mark.parametrize("moment", ["2026-03-02T09:30:00Z", '"2026-03-02 09:30:00"'])
def test_a_table_of_bare_times_needs_no_head(tmp_path: Path, head: str, moment: str) -> None:
    log = written(tmp_path, f"{head}{moment}\n{moment}\n")
    assert read([log]).requests == [Request(HALF_PAST_NINE)] * 2


# --- CloudWatch's sums -------------------------------------------------------------------------
def test_metric_data_gives_each_minute_with_its_number(tmp_path: Path) -> None:
    result = {
        "Id": "m1",
        "Timestamps": ["2026-03-02T09:31:00+00:00", "2026-03-02T09:30:00+00:00"],
        "Values": [3.0, 0.0],
    }
    log = written(tmp_path, json.dumps({"MetricDataResults": [result]}))
    assert read([log]).requests == [Request(HALF_PAST_NINE + 60, many=3)]


def test_metric_statistics_give_the_same(tmp_path: Path) -> None:
    point = {"Timestamp": "2026-03-02T09:31:00+00:00", "Sum": 3.0, "Unit": "Count"}
    log = written(tmp_path, json.dumps({"Label": "RequestCount", "Datapoints": [point]}))
    assert read([log]).requests == [Request(HALF_PAST_NINE + 60, many=3)]


def test_pages_of_one_answer_are_joined_wherever_they_stand(tmp_path: Path) -> None:
    pages = [sums(0, 1, Id="m1", Label="RequestCount"), sums(1, 7, Id="m1", Label="RequestCount")]
    documents = [json.dumps({"MetricDataResults": [page]}, indent=1) for page in pages]
    expected = [Request(HALF_PAST_NINE + 60 * minute) for minute in (0, 1, 7)]
    by_the_cli = written(tmp_path, json.dumps({"MetricDataResults": pages}), "cli.json")
    assert read([by_the_cli]).requests == expected
    assert read([written(tmp_path, "\n".join(documents), "both.json")]).requests == expected
    files = [written(tmp_path, text, f"{n}.json") for n, text in enumerate(documents)]
    assert read(files).requests == expected


@pytest.mark.parametrize("minutes", [5, 60, 2])
def test_sums_of_a_longer_period_are_refused(tmp_path: Path, minutes: int) -> None:
    result = sums(*(2 + n * minutes for n in range(12)))
    log = written(tmp_path, json.dumps({"MetricDataResults": [result]}))
    with pytest.raises(LogError, match=rf"log:1: .* {minutes} minutes .*Ask with a period of 60"):
        read([log])


def test_a_few_minutes_far_apart_are_minutes_all_the_same(tmp_path: Path) -> None:
    for minutes in ((0, 7), (0, 5, 10), (0, 10, 20, 30, 40, 47)):
        log = written(tmp_path, json.dumps({"MetricDataResults": [sums(*minutes)]}))
        assert len(read([log]).requests) == len(minutes)


def test_requests_and_sums_together_are_refused(tmp_path: Path) -> None:
    written(tmp_path, json.dumps({"MetricDataResults": [sums(0)]}), "sums.json")
    written(tmp_path, ALB, "a.log")
    with pytest.raises(LogError, match=r"would count twice\. Give one of the two"):
        read([tmp_path])


# --- what is refused ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time\n2026-03-02T09:30:00Z\nyesterday\n", r"log:3: 'yesterday' is no time\. Write it as"),
        ("2026-03-02T09:30:00Z\nyesterday\n", r"log:2: 'yesterday' is no time\. Write it as"),
        ("when,who\n1,2\n", r"log:1: none of the columns when, who .*--column"),
        ('{"MetricDataResults": [\n', r"log:2: not JSON .*Fetch it again"),
        ('{"a": 1}', r"log:1: JSON without MetricDataResults, .*\. Give what"),
        ("[1]", r"log:1: JSON without MetricDataResults, .*\. Give what"),
        (
            '{"MetricDataResults": [{"Id": "a"}, {"Id": "b"}]}',
            r"log: 2 metrics: a, b\. Ask for RequestCount alone",
        ),
        (
            '{"MetricDataResults": [{"Timestamps": ["2026-03-02T09:30:20Z"], "Values": [1]}]}',
            r"log:1: .*not a full minute\. Ask with a period of 60",
        ),
        (
            '{"MetricDataResults": [{"Timestamps": ["2026-03-02T09:30:00Z"], "Values": []}]}',
            r"log:1: 1 timestamps and 0 values",
        ),
        ('{"MetricDataResults": [1]}', r"log:1: not as CloudWatch answers .*Fetch it again"),
        ('{"Datapoints": [{"Sum": 1}]}', r"log:1: not as CloudWatch answers .*Fetch it again"),
        ('{"Datapoints": [{"Average": 1}]}', r"log:1: Datapoints without Sum\. Ask for"),
        ('{"request_line": "GET / H"}', r"log:1: without a time\. Let the delivery have"),
        ("", r"log: no requests\. Skipped empty files: 1\. Name another"),
        ("time\n", r"log: no requests\. Skipped tables without a row: 1\."),
    ],
)
def test_what_cannot_be_read_is_told_with_file_line_and_remedy(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(LogError, match=says):
        read([written(tmp_path, text)])


def test_a_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"nowhere: there is no such file"):
        read([tmp_path / "nowhere"])
