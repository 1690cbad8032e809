"""The estimate: what it reads, what it refuses, and what the product's decisions make of it."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from pathlib import Path

import hcl2
import pytest

from tools import cost, estimate
from tools.estimate import HOUR, LogError, Request, Settings, play

ROOT = Path(__file__).resolve().parents[2]
MONDAY = estimate.EXAMPLE_START.timestamp()
SETTINGS = Settings()
ALB = (
    "http 2026-03-02T09:30:01.500000Z app/staging/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 "
    '0.000 1.400 0.000 200 200 34 366 "GET http://staging.example.com:80/ HTTP/1.1" "curl/7.46.0" '
    "- - arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/app/73e2d6bc24d8a067 "
    '"Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 100 2026-03-02T09:30:00.100000Z "forward" '
    '"-" "-" "10.0.0.1:80" "200" "-" "-"'
)
HALF_PAST_NINE = MONDAY + 9.5 * HOUR


def written(tmp_path: Path, text: str, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


# --- reading -----------------------------------------------------------------------------------
def test_an_access_log_gives_the_time_of_the_request_and_not_of_its_answer(tmp_path: Path) -> None:
    (one,) = estimate.read(written(tmp_path, ALB + "\n"))
    assert one == Request(HALF_PAST_NINE + 0.1, client="192.0.2.7")


def test_an_access_log_without_that_field_gives_the_time_that_it_has(tmp_path: Path) -> None:
    (one,) = estimate.read(written(tmp_path, ALB.partition(' "Root')[0]))
    assert one.time == pytest.approx(HALF_PAST_NINE + 1.5)


def test_a_folder_of_packed_logs_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    later = ALB.replace("09:30:00", "11:30:00")
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(later.encode()))
    (tmp_path / "b.log").write_text(ALB)
    found = estimate.read(tmp_path)
    assert [one.time - HALF_PAST_NINE for one in found] == pytest.approx([0.1, 7200.1])


def test_only_the_lines_that_hold_a_text_are_kept(tmp_path: Path) -> None:
    log = written(tmp_path, f"{ALB}\n{ALB.replace('targetgroup/app/', 'targetgroup/other/')}\n")
    assert len(estimate.read(log, only="targetgroup/other/")) == 1


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
    assert estimate.read(log) == [Request(HALF_PAST_NINE, client="me")]


def test_a_column_of_another_name_can_be_named(tmp_path: Path) -> None:
    log = written(tmp_path, f"Seen at\n{HALF_PAST_NINE}\n")
    assert estimate.read(log, column="seen at") == [Request(HALF_PAST_NINE)]


def test_metric_data_gives_each_minute_with_its_number(tmp_path: Path) -> None:
    result = {
        "Id": "m1",
        "Timestamps": ["2026-03-02T09:31:00+00:00", "2026-03-02T09:30:00+00:00"],
        "Values": [3.0, 0.0],
    }
    log = written(tmp_path, json.dumps({"MetricDataResults": [result]}))
    assert estimate.read(log) == [Request(HALF_PAST_NINE + 60, many=3)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time\n2026-03-02T09:30:00Z\nyesterday\n", r"log:3: 'yesterday' is no time\. Write it as"),
        ("when,who\n1,2\n", r"log:1: none of the columns when, who .*--column"),
        (f"{ALB}\nand so on\n", r"log:2: not a line of an ALB access log.*Take the line out"),
        ('{"MetricDataResults": [\n', r"log:2: not JSON .*Fetch it again"),
        ('{"Datapoints": []}', r"log:1: JSON without MetricDataResults\. Give what"),
        ('{"MetricDataResults": [{}, {}]}', r"log:1: 2 metrics .*RequestCount alone"),
        (
            '{"MetricDataResults": [{"Timestamps": ["2026-03-02T09:30:20Z"], "Values": [1]}]}',
            r"log:1: .*not a full minute\. Ask with a period of 60",
        ),
        (
            '{"MetricDataResults": [{"Timestamps": ["2026-03-02T09:30:00Z"], "Values": []}]}',
            r"log:1: 1 timestamps and 0 values",
        ),
        ("", r"log: no requests\. Name another log"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_line_and_remedy(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(LogError, match=says):
        estimate.read(written(tmp_path, text))


def test_what_is_no_text_or_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LogError, match=r"x: cannot be read as text"):
        estimate.read(tmp_path / "x")
    with pytest.raises(LogError, match=r"nowhere: there is no such file"):
        estimate.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "No log is named"),
        (["x.csv", "--cpu", "0"], "--cpu is 0: give 1 or more"),
        (["x.csv", "--idle", "5", "0"], "--idle is 0"),
        (["x.csv", "--plot", "x.pdf"], r"must end with .png or .svg"),
    ],
)
def test_the_command_says_what_is_wrong_and_ends_with_1(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert estimate.main(arguments) == 1
    assert says in capsys.readouterr().err


# --- playing -----------------------------------------------------------------------------------
@pytest.mark.parametrize("idle", [1, 5, 30])
def test_it_falls_asleep_after_the_idle_time_and_up_to_six_minutes_more(idle: int) -> None:
    requests = [Request(MONDAY), Request(MONDAY + 10.5 * HOUR)]
    found = play(requests, SETTINGS, idle)
    since, until = found.asleep[0]
    assert idle * 60 <= since - MONDAY <= (idle + 6) * 60
    assert until == MONDAY + 10.5 * HOUR
    assert (found.wakes, found.waited, found.lingered) == (1, 1, 0)


def test_a_request_every_four_minutes_never_lets_it_sleep_at_five() -> None:
    requests = [Request(MONDAY + n * 240) for n in range(360)]
    found = play(requests, SETTINGS, 5)
    assert (found.asleep, found.wakes, found.waited) == ([], 0, 0)


def test_everybody_who_comes_during_the_cold_start_waits_and_nobody_after_it() -> None:
    wake = MONDAY + 5 * HOUR
    clients = [(0, "a"), (1, "a"), (20, "b"), (44, "c"), (47, "d"), (60, "a")]
    requests = [Request(MONDAY), *(Request(wake + s, client=who) for s, who in clients)]
    found = play(requests, SETTINGS, 5)
    assert (found.wakes, found.waited, found.clients) == (1, 4, 3)


def test_the_many_of_one_minute_all_wait() -> None:
    found = play([Request(MONDAY), Request(MONDAY + 5 * HOUR, many=7)], SETTINGS, 5)
    assert (found.wakes, found.waited) == (1, 7)


def test_a_request_in_the_linger_time_costs_no_cold_start() -> None:
    asleep = play([Request(MONDAY), Request(MONDAY + HOUR)], SETTINGS, 5).asleep[0][0]
    found = play([Request(MONDAY), Request(asleep - 30), Request(asleep + HOUR)], SETTINGS, 5)
    assert (found.lingered, found.wakes, found.waited) == (1, 1, 1)
    assert found.asleep[0][0] > asleep + 300  # it began to count anew


def test_minutes_that_are_passed_over_asleep_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = estimate.example(days=2)
    short = play(requests, SETTINGS, 5)
    monkeypatch.setattr(estimate, "SKIP_SECONDS", float("inf"))
    assert play(requests, SETTINGS, 5) == short


def test_a_longer_idle_time_sleeps_less_and_wakes_less_on_the_example() -> None:
    requests = estimate.example(days=7)
    found = [play(requests, SETTINGS, idle) for idle in (5, 15, 60)]
    for shorter, longer in itertools.pairwise(found):
        assert shorter.asleep_hours > longer.asleep_hours
        assert shorter.wakes > longer.wakes
        assert shorter.clients > longer.clients


def test_the_example_is_the_same_each_time() -> None:
    assert estimate.example(days=3) == estimate.example(days=3)
    assert estimate.example(seed=1, days=3) != estimate.example(seed=2, days=3)


def test_its_settings_are_the_module_s_defaults() -> None:
    text = (ROOT / "variables.tf").read_text()
    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    declared = {
        name.strip('"'): block.get("default")
        for entry in hcl2.loads(text, serialization_options=options)["variable"]
        for name, block in entry.items()
    }
    config = estimate.config_of(SETTINGS, declared["idle_minutes"])
    for name in (
        "linger_seconds",
        "awake_count",
        "wake_deadline_seconds",
        "wake_budget_per_hour",
        "hold_seconds",
    ):
        assert getattr(config, name) == declared[name], name
    assert config.min_awake_minutes == declared["idle_minutes"] + 3


# --- money and telling -------------------------------------------------------------------------
def test_saved_is_what_the_tasks_cost_asleep_less_the_module() -> None:
    settings, book = Settings(cpu=1024, memory=2048, tasks=2), cost.Book.read()
    day = estimate.Outcome(5, MONDAY, MONDAY + 24 * HOUR, asleep=[(MONDAY, MONDAY + 12 * HOUR)])
    hours = book.hours * (12 - 30 / HOUR) / 24
    module = (estimate.MODULE_ASLEEP_USD + estimate.MODULE_AWAKE_USD) / 2
    expected = hours * 2 * (0.04048 + 2 * 0.004445) - module
    assert day.saved(book, settings) == pytest.approx(expected)


def test_the_command_prints_a_row_for_each_idle_time_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{MONDAY + n * HOUR:.0f},192.0.2.{n % 3}" for n in range(30)]
    log = written(tmp_path, "time,client\n" + "\n".join(lines))
    plot = tmp_path / "plot.svg"
    assert estimate.main([str(log), "--idle", "5", "15", "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^\| (\d+) \|", out, re.MULTILINE) == ["5", "15"]
    assert "Clients that wait" in out
    assert "30 requests in 1.2 days" in out
    drawn = plot.read_text()
    assert drawn.startswith("<?xml")
    assert "5 min (default)" in drawn
