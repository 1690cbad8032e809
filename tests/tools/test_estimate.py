"""The estimate: what the product's decisions make of a log, and what the command says."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import hcl2
import pytest

from tools import cost, estimate, request_log
from tools.estimate import DAY, HOUR, Settings, Size, play
from tools.request_log import Log, Request, read

ROOT = Path(__file__).resolve().parents[2]
MONDAY = estimate.EXAMPLE_START.timestamp()
SETTINGS = Settings()


def written(tmp_path: Path, text: str, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


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


def lines_of(agent: str, times: Iterable[float]) -> list[str]:
    """Lines of an access log."""
    group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/app/73e2d6bc24d8a067"
    return [
        f"http {moment}Z app/staging/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.000 0.040 0.000 "
        f'200 200 34 366 "GET http://staging.example.com:80/ HTTP/1.1" "{agent}" - - {group} '
        f'"Root=1-58337262" "-" "-" 100 {moment}Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
        for at in times
        for moment in [datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()[:19]]
    ]


def test_a_monitor_every_ten_minutes_wakes_nothing_and_keeps_nothing_awake(tmp_path: Path) -> None:
    monitor = "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"
    checks = [MONDAY + 20 + 600 * n for n in range(144)]
    visits = [
        MONDAY + hour * HOUR + page * 120
        for hour in (9.1, 9.8, 10.5, 14.1, 14.8, 15.5)  # three in the morning, three later
        for page in range(21)  # 40 minutes each
    ]
    lines = lines_of(monitor, checks) + lines_of("Mozilla/5.0 Firefox/140.0", visits)
    log = read([written(tmp_path, "\n".join(lines))])
    found = play(log.requests, SETTINGS, 5, (MONDAY, MONDAY + DAY))
    assert found.asleep_hours == pytest.approx(19.5, abs=0.25)
    assert (found.wakes, found.waited, found.lingered) == (2, 2, 0)
    assert play(log.requests, SETTINGS, 15, (MONDAY, MONDAY + DAY)).asleep == []


def test_awake_a_request_that_the_policy_ignores_is_activity_as_any_other() -> None:
    visit, check = Request(MONDAY), Request(MONDAY + 300, wakes=False)
    alone = play([visit], SETTINGS, 5, (MONDAY, MONDAY + HOUR))
    both = play([visit, check], SETTINGS, 5, (MONDAY, MONDAY + HOUR))
    assert both.asleep[0][0] == alone.asleep[0][0] + 300


def test_drowsy_asleep_and_waking_such_a_request_does_nothing_at_all() -> None:
    visits = [Request(MONDAY), Request(MONDAY + HOUR)]
    asleep = play(visits, SETTINGS, 5).asleep[0][0]
    checks = [Request(time, wakes=False) for time in (asleep - 30, asleep + 30, MONDAY + HOUR + 10)]
    span = (MONDAY, MONDAY + 2 * HOUR)
    with_checks = play(sorted(visits + checks), SETTINGS, 5, span)
    assert with_checks == play(visits, SETTINGS, 5, span)


def test_minutes_that_are_passed_over_asleep_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = estimate.example(days=2)
    short = play(requests, SETTINGS, 5)
    monkeypatch.setattr(estimate, "SKIP_SECONDS", float("inf"))
    assert play(requests, SETTINGS, 5) == short


WITH_DATABASE = Settings(databases=(0.016,))


def test_a_database_is_stopped_after_its_minutes_and_a_wake_waits_for_its_start() -> None:
    wake = MONDAY + 10 * HOUR
    clients = [(0, "a"), (299, "b"), (330, "c"), (347, "d")]
    requests = [Request(MONDAY), *(Request(wake + s, client=who) for s, who in clients)]
    found = play(requests, WITH_DATABASE, 5)
    fell_asleep, woke = found.asleep[0]
    ((stopped, started),) = found.stopped
    assert 0 <= stopped - fell_asleep - 120 * 60 <= 60  # at the tick after two hours
    assert woke <= started <= woke + 1
    assert (found.wakes, found.waited, found.clients) == (1, 3, 3)  # 300 s and 45 s


def test_a_database_runs_through_a_nap_and_nobody_waits_for_it() -> None:
    wake = MONDAY + HOUR
    requests = [Request(MONDAY), Request(wake, client="a"), Request(wake + 47, client="b")]
    found = play(requests, WITH_DATABASE, 5)
    assert (found.wakes, found.waited, found.stopped) == (1, 1, [])


def test_a_database_that_is_stopped_at_the_end_of_the_log_is_counted_until_then() -> None:
    found = play([Request(MONDAY)], WITH_DATABASE, 5, (MONDAY, MONDAY + 10 * HOUR))
    ((stopped, until),) = found.stopped
    assert until == MONDAY + 10 * HOUR
    assert stopped == pytest.approx(found.asleep[0][0] + 2 * HOUR, abs=60)


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
    settings, book = Settings(services=(Size(1024, 2048, 2),)), cost.Book.read()
    day = estimate.Outcome(5, MONDAY, MONDAY + 24 * HOUR, asleep=[(MONDAY, MONDAY + 12 * HOUR)])
    hours = book.hours * (12 - 30 / HOUR) / 24
    module = (estimate.MODULE_ASLEEP_USD + estimate.MODULE_AWAKE_USD) / 2
    expected = hours * 2 * (0.04048 + 2 * 0.004445) - module
    assert day.saved(book, settings) == pytest.approx(expected)


def test_an_environment_saves_its_services_and_databases_less_its_alarms_and_queues() -> None:
    book = cost.Book.read()
    services = (Size(), Size(512, 1024, 2))
    settings = Settings(services=services, databases=(0.016, 0.1), target_groups=3, queues=2)
    day = estimate.Outcome(
        5,
        MONDAY,
        MONDAY + 24 * HOUR,
        asleep=[(MONDAY, MONDAY + 12 * HOUR)],
        stopped=[(MONDAY + 2 * HOUR, MONDAY + 12 * HOUR)],
    )
    tasks = (12 - 30 / HOUR) / 24 * (book.task_hour(256, 512) + 2 * book.task_hour(512, 1024))
    databases = 10 / 24 * 0.116
    module = (estimate.MODULE_ASLEEP_USD + estimate.MODULE_AWAKE_USD) / 2
    module += 4 * 0.10 + 2 * 43_800 * 0.40 / 1e6
    expected = book.hours * (tasks + databases) - module
    assert day.saved(book, settings) == pytest.approx(expected)


def test_the_command_tells_what_it_assumes_of_an_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(tmp_path, "\n".join(f"{MONDAY + n * 5 * HOUR:.0f}" for n in range(30)))
    sleeps = ["--service", "512:1024:2", "--database", "0.016", "--stop-after", "60"]
    more = ["--target-groups", "2", "--queues", "1", "--plot", str(tmp_path / "plot.svg")]
    assert estimate.main([str(log), "--idle", "5", *sleeps, *more]) == 0
    out = capsys.readouterr().out
    assert "1 task(s) of 0.25 vCPU and 0.5 GB, 2 task(s) of 0.5 vCPU and 1 GB, 0.06171 USD" in out
    assert "1 database(s), 0.016 USD an hour, stopped after 60 minutes of sleep" in out
    assert "at 1.22 USD a month asleep and 1.72 awake" in out
    head, _, row = out.splitlines()[:3]
    column = head.split(" | ").index("Hours with the databases stopped")
    assert int(row.split(" | ")[column]) == pytest.approx(29 * (5 - 1.15), abs=3)


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


def test_below_seven_days_of_log_it_warns() -> None:
    days = [Log(requests=[Request(MONDAY), Request(MONDAY + days * DAY)]) for days in (6.9, 7, 30)]
    warned = [estimate.notes(log, SETTINGS) for log in days]
    assert [len(each) for each in warned] == [1, 0, 0]
    assert warned[0][0].startswith("Only 6.9 days of log: give 7 or more")


def test_groups_that_sleep_together_are_not_to_be_kept_apart() -> None:
    log = Log(requests=[Request(MONDAY), Request(MONDAY + 7 * DAY)], groups={"web", "api"})
    assert estimate.notes(log, Settings(target_groups=2)) == []
    (told,) = estimate.notes(log, SETTINGS)
    assert told.endswith("--target-groups 2")


def test_it_says_what_it_skipped_and_what_the_policy_ignores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = lines_of("StatusCake", [MONDAY + 600 * n for n in range(12)])
    health_check = "http 2026-03-02T09:30:59.8Z 0.01 172.31.20.97:80 app PASS 200 -"
    other = lines_of("curl/8", [MONDAY + 7 * DAY])[0].replace("targetgroup/app/", "targetgroup/b/")
    written(tmp_path, "\n".join([*monitor, health_check, other]), "a.log")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    plot = tmp_path / "plot.svg"
    assert estimate.main([str(tmp_path), "--idle", "5", "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    assert "12 requests are of clients or for paths that the default wake_policy ignores" in out
    assert "for 2 target groups. Keep those of one: --only targetgroup/NAME/. If" in out
    assert "Skipped lines of health check logs: 1." in out
    assert f"Not read: {tmp_path / 'b.parquet'}: Parquet is not read." in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Name one: LOG. Or look at a made-up one: --example."),
        (["nowhere"], "Name another in LOG."),
        (["x.csv", "--cpu", "0"], "--cpu 0: give 1 or more."),
        (["x.csv", "--cold-start", "0.5"], "--cold-start 0.5: give 1"),
        (["x.csv", "--idle", "5", "0"], "--idle 5 0: give"),
        (["x.csv", "--service", "256"], "--service 256: give CPU:MEMORY"),
        (["x.csv", "--service", "0:512"], "--service 0:512: give"),
        (["x.csv", "--database", "0"], "--database 0: give USD an hour, above 0."),
        (["x.csv", "--database", "nan"], "--database nan: give"),
        (["x.csv", "--stop-after", "0"], "--stop-after 0: give 1 or more."),
        (["x.csv", "--queues", "-1"], "--queues -1: give 0 or more."),
        (["x.csv", "--target-groups", "0"], "--target-groups 0 --queues 0: give 1 or more"),
        (["x.csv", "--plot", "x.pdf"], "--plot x.pdf: its name must end"),
        (["LOG"], "or name yours: --column NAME."),
        (["LOG", "--column", "at"], "is at. Give"),
    ],
)
def test_the_command_says_what_is_wrong_and_ends_with_1(
    tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(written(tmp_path, "when,who\n1,2\n"))
    assert estimate.main([log if each == "LOG" else each for each in arguments]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["x.csv", "--nonsense"], ["--cp", "1"]])
def test_what_the_parser_refuses_shows_the_call(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        estimate.main(arguments)
    assert "usage: python -m tools.estimate" in capsys.readouterr().err


def test_help_names_every_column_that_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        estimate.main(["--help"])
    shown = capsys.readouterr().out
    for names in request_log.NAMES.values():
        assert ", ".join(names) in re.sub(r"\s+", " ", shown)
