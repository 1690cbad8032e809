"""The beat script's pure part: what counts as activity, and which settings it takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from beat import (
    Activity,
    Reading,
    SettingsError,
    UnusableReplyError,
    activity,
    in_flight,
    settings_from,
    total_requests,
)
from hypothesis import given
from hypothesis import strategies as st

COUNTS = st.integers(min_value=0, max_value=10**9)

# As Caddy 2.6.2 writes it, shortened.
METRICS = """\
# HELP caddy_admin_http_requests_total Counter of requests made to the Admin API's HTTP endpoints.
# TYPE caddy_admin_http_requests_total counter
caddy_admin_http_requests_total{code="200",handler="metrics",method="GET",path="/metrics"} 9
# HELP caddy_http_requests_in_flight Number of requests currently handled by this server.
# TYPE caddy_http_requests_in_flight gauge
caddy_http_requests_in_flight{handler="subroute",server="srv0"} 2
# HELP caddy_http_requests_total Counter of HTTP(S) requests made.
# TYPE caddy_http_requests_total counter
caddy_http_requests_total{handler="encode",server="srv0"} 5
caddy_http_requests_total{handler="subroute",server="srv0"} 7
caddy_http_requests_total{handler="static_response",server="probes"} 1.2e+03
caddy_reverse_proxy_upstreams_healthy{upstream="127.0.0.1:8080"} 1
"""


def test_requests_in_flight_are_summed_over_the_upstreams() -> None:
    upstreams = [
        {"address": "10.0.0.1:80", "num_requests": 2, "fails": 0},
        {"address": "10.0.0.2:80", "num_requests": 1, "fails": 3},
    ]
    assert in_flight(upstreams) == 3


@pytest.mark.parametrize("nothing", [[], None])
def test_a_caddy_that_has_proxied_nothing_yet_has_nothing_in_flight(nothing: object) -> None:
    assert in_flight(nothing) == 0


@pytest.mark.parametrize("odd", [{"error": "no"}, [1], [{"address": "x"}], 7, "text"])
def test_a_list_of_upstreams_that_is_none_is_refused(odd: object) -> None:
    with pytest.raises(UnusableReplyError, match="upstreams"):
        in_flight(odd)


def test_a_request_that_passes_several_handlers_counts_once() -> None:
    assert total_requests(METRICS, {"srv0"}) == 7


def test_all_servers_count_unless_some_are_named() -> None:
    assert total_requests(METRICS) == 1207
    assert total_requests(METRICS, {"probes"}) == 1200
    assert total_requests(METRICS, {"unheard-of"}) == 0


def test_the_admin_api_s_own_requests_are_not_activity() -> None:
    admin_only = "".join(line for line in METRICS.splitlines(True) if "caddy_http" not in line)
    assert total_requests(admin_only) is None


@given(COUNTS, COUNTS)
def test_without_requests_there_is_no_activity(total: int, before: int) -> None:
    assert not activity(Reading(before, total), Reading(0, total))


@given(COUNTS, COUNTS, COUNTS)
def test_requests_since_the_last_beat_are_told_exactly(told: int, new: int, flying: int) -> None:
    assert activity(Reading(0, told), Reading(flying, told + new)) == Activity(flying, new)


@given(COUNTS, COUNTS)
def test_after_a_restart_of_caddy_nothing_is_negative_or_forgotten(told: int, now: int) -> None:
    news = activity(Reading(0, told), Reading(0, now))
    assert news.requests == (now - told if now >= told else now)
    assert bool(news) == (news.requests > 0)


def test_a_connection_that_stays_open_is_activity_without_any_new_request() -> None:
    assert activity(Reading(1, 40), Reading(1, 40)) == Activity(1, 0)
    assert activity(Reading(1, None), Reading(1, None))


def test_where_caddy_counts_by_host_each_host_counts() -> None:
    by_host = """\
caddy_http_requests_total{handler="subroute",host="a.example",server="srv0"} 7
caddy_http_requests_total{handler="reverse_proxy",host="a.example",server="srv0"} 6
caddy_http_requests_total{handler="subroute",host="b.example",server="srv0"} 2
"""
    assert total_requests(by_host) == 9


def test_options_come_before_the_environment() -> None:
    environment = {
        "BEAT_URL": "http://a.example/health",
        "BEAT_INTERVAL": "10",
        "BEAT_SERVER": "srv0 srv1",
        "BEAT_TOKEN": "secret",
    }
    settings = settings_from(["--url", "https://b.example/beat", "--server", "srv2"], environment)
    assert settings.url == "https://b.example/beat"
    assert settings.interval_seconds == 10
    assert settings.servers == {"srv2"}
    assert settings.bearer() == "secret"
    assert settings_from([], environment).servers == {"srv0", "srv1"}


def test_the_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    settings = settings_from(["--url", "http://a.example/health", "--token-file", str(file)], {})
    assert settings.bearer() == "one"
    file.write_text("two\n")
    assert settings.bearer() == "two"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        ([], {}, "--url: missing"),
        (["--url", "a.example/health"], {}, "--url: 'a.example/health'"),
        (["--url", "ftp://a.example/"], {}, "--url: 'ftp://a.example/'"),
        (["--url", "http://a.example:x/"], {}, "--url: 'http://a.example:x/'"),
        (["--url", "http://[a/"], {}, "--url"),
        (["--url", "http://a/", "--caddy", "localhost:2019"], {}, "--caddy: 'localhost:2019'"),
        (["--url", "http://a/", "--interval", "soon"], {}, "--interval: 'soon'"),
        (["--url", "http://a/", "--interval", "0"], {}, "--interval: '0'"),
        (["--url", "http://a/", "--interval", "nan"], {}, "--interval: 'nan'"),
        (["--url", "http://a/", "--interval", "3600"], {}, "--interval: '3600'"),
        (["--url", "http://a/"], {"BEAT_TOKEN": "two words"}, "BEAT_TOKEN"),
        (["--url", "http://a/"], {"BEAT_TOKEN": "line\nbreak"}, "BEAT_TOKEN"),
        (["--url", "http://a/", "--token-file", "/nowhere/token"], {}, "--token-file"),
    ],
)
def test_a_wrong_setting_is_named(
    arguments: list[str], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_from(arguments, environment)
    assert named in str(refused.value)


UNIT = Path(__file__).resolve().parents[2] / "examples" / "staging" / "caddy" / "beat.service"


def test_the_unit_says_who_runs_what_with_which_settings_and_when_again() -> None:
    said = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert said["ExecStart"] == "/usr/bin/python3 /usr/local/lib/warmkeeper/beat.py"
    assert said["EnvironmentFile"] == "/etc/warmkeeper/beat.env"
    assert (said["DynamicUser"], said["CapabilityBoundingSet"]) == ("yes", "")
    assert (said["Restart"], said["RestartPreventExitStatus"]) == ("on-failure", "2")


def test_systemd_finds_nothing_wrong_in_the_unit() -> None:
    if shutil.which("systemd-analyze") is None or not Path("/usr/bin/python3").exists():
        return  # no machine for it; what the program needs is in the test above
    verify = ["systemd-analyze", "verify", str(UNIT)]
    verified = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_a_secret_that_cannot_be_a_token_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        settings_from(["--url", "http://a/"], {"BEAT_TOKEN": "my secret"})
    assert "secret" not in str(refused.value)
