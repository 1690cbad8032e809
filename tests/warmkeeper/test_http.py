"""What a client gets: pages, held calls, redirects, status, heartbeats, and never a 502."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urljoin, urlsplit

import pytest
import warmkeeper as wk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from warmkeeper import Kind, Phase

from tests.warmkeeper.recorded import (
    ask,
    control,
    counted,
    headers_of,
    log_lines,
    metrics,
    recorded,
    request,
    state,
    told_already,
)
from tests.warmkeeper.scenes import AT_ZERO, DROWSY, FAILED, play, wait, world_of
from tests.warmkeeper.world import (
    CONTROL_GROUP,
    ENVIRONMENT,
    SERVICE_GROUP,
    WAKE_GROUP,
    WAKE_RULE,
    SimulatedAws,
    World,
)
from tools import package

CONTROL = "/.warmkeeper"


def asleep(**environment: str) -> World:
    return play(world_of(desired=0, environment=environment), AT_ZERO)


def drowsy() -> World:
    return play(World(), (*DROWSY, wait(20)))


def broken() -> World:
    """Asleep, in the back-off after a failed wake."""
    return play(asleep(), (*FAILED, wait(10)))


# --- who gets what -----------------------------------------------------------------------------

NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BY_PLAIN_HTTP = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "user-agent": FIREFOX}
PAGE_LIKE = [NAVIGATION, BY_PLAIN_HTTP]
CALL_LIKE: list[dict[str, str]] = [
    {},
    {"accept": "application/json"},
    {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "accept": "*/*"},
    {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "accept": "text/html"},
    {"sec-fetch-mode": "navigate", "sec-fetch-dest": "empty"},  # a download
    {"accept": "text/html, image/gif, image/jpeg, */*; q=0.2", "user-agent": "Java/17.0.15"},
    {**BY_PLAIN_HTTP, "x-requested-with": "XMLHttpRequest"},
    {**BY_PLAIN_HTTP, "turbo-frame": "list"},
    {**BY_PLAIN_HTTP, "user-agent": "Scrapy/2.13 (+https://scrapy.org)"},
]
PART_LIKE = [
    {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image", "accept": "image/avif,*/*"},
    {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script", "accept": "*/*"},
    {"sec-fetch-mode": "cors", "sec-fetch-dest": "font", "accept": "*/*"},
    {"accept": "image/webp,*/*"},
    {"accept": "text/css,*/*;q=0.1"},
]


@pytest.mark.parametrize("headers", PAGE_LIKE)
def test_a_navigation_to_a_sleeping_service_gets_the_page_at_once(headers: dict[str, str]) -> None:
    world = asleep()
    began = world.time
    answer = ask(world, headers=headers)
    assert answer["statusCode"] == 503
    assert headers_of(answer)["content-type"] == "text/html; charset=utf-8"
    assert int(headers_of(answer)["retry-after"]) > 0
    assert answer["body"].startswith("<!doctype html>")
    assert world.time == began
    assert world.phase() is Phase.WAKING


@pytest.mark.parametrize("headers", CALL_LIKE)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
def test_a_call_is_held_until_the_service_is_live_and_sent_on(
    headers: dict[str, str], method: str
) -> None:
    world = asleep()
    began = world.time
    answer = ask(world, method, "/api/things", headers=headers)
    assert answer["statusCode"] == 307
    assert headers_of(answer)["location"] == "/api/things"
    assert 10 <= world.time - began <= 13
    assert not world.rule_up


@pytest.mark.parametrize("headers", PART_LIKE)
def test_a_part_of_a_page_gets_its_503_at_once(headers: dict[str, str]) -> None:
    world = asleep()
    began = world.time
    answer = ask(world, path="/logo.png", headers=headers)
    assert answer["statusCode"] == 503
    assert int(headers_of(answer)["retry-after"]) > 0
    assert headers_of(answer)["content-type"] == "application/problem+json"
    assert world.time == began


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
def test_a_grpc_call_wakes_and_gets_the_status_that_it_may_try_again_never_a_redirect(
    kind: str,
) -> None:
    headers = {"content-type": kind, "te": "trailers", "user-agent": "grpc-go/1.75.0"}
    for world in (asleep(), drowsy()):
        began = world.time
        answer = ask(world, "POST", "/shop.Cart/Add", headers=headers)
        assert answer["statusCode"] == 503
        assert world.time == began
        assert world.phase() in (Phase.WAKING, Phase.AWAKE)


def test_grpc_in_a_browser_is_a_call_like_any_other() -> None:
    headers = {"content-type": "application/grpc-web+proto", "sec-fetch-mode": "cors"}
    assert ask(asleep(), "POST", "/shop.Cart/Add", headers=headers)["statusCode"] == 307


@pytest.mark.parametrize("accept", ["*/*", ""])
@pytest.mark.parametrize("name", ["app.js", "APP.MJS", "a/b.css", "font.woff2", "x.webmanifest"])
def test_a_browser_s_script_by_plain_http_is_known_by_its_name(accept: str, name: str) -> None:
    browser = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "accept": accept}
    assert ask(asleep(), path=f"/{name}", headers=browser)["statusCode"] == 503
    assert ask(asleep(), path=f"/{name}", headers={"accept": accept})["statusCode"] == 307


def test_an_app_s_own_web_view_is_a_browser_and_no_script() -> None:
    view = {**BY_PLAIN_HTTP, "x-requested-with": "com.example.app"}
    assert headers_of(ask(asleep(), headers=view))["content-type"].startswith("text/html")


def test_a_header_that_is_sent_twice_is_read_whole() -> None:
    event = request(headers={"user-agent": FIREFOX})
    event["multiValueHeaders"]["accept"] = ["application/xhtml+xml", "text/html;q=0.9"]
    assert headers_of(asleep().invoke(event))["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "purpose",
    [
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"x-purpose": "preview"},
        {"sec-fetch-dest": "report"},
        {"content-type": "application/csp-report"},
        {"content-type": "text/ping"},
    ],
)
def test_what_a_browser_sends_of_its_own_accord_wakes_nothing(purpose: dict[str, str]) -> None:
    world = asleep()
    answer = ask(world, headers={**NAVIGATION, **purpose})
    assert answer["statusCode"] == 503
    assert world.phase() is Phase.ASLEEP


def test_a_form_that_is_sent_to_a_sleeping_service_is_held_and_sent_on() -> None:
    answer = ask(asleep(), "POST", "/login", headers=NAVIGATION)
    assert answer["statusCode"] == 307


def test_a_preflight_is_answered_and_wakes() -> None:
    world = asleep()
    answer = world.invoke(recorded("alb_preflight"))
    headers = headers_of(answer)
    assert answer["statusCode"] == 204
    assert answer["body"] == ""
    assert headers["access-control-allow-origin"] == "https://spa.example.com"
    assert headers["access-control-allow-methods"] == "PUT"
    assert headers["access-control-allow-headers"] == "authorization,content-type"
    assert "Origin" in headers["vary"]
    assert world.phase() is Phase.WAKING


def test_options_that_is_no_preflight_is_a_call() -> None:
    assert ask(asleep(), "OPTIONS")["statusCode"] == 307


@pytest.mark.parametrize("world", [asleep, drowsy, broken])
@pytest.mark.parametrize("headers", [NAVIGATION, CALL_LIKE[0], PART_LIKE[0]])
def test_head_has_no_body_and_the_headers_of_get(world: Any, headers: dict[str, str]) -> None:
    head = ask(world(), "HEAD", headers=headers)
    get = ask(world(), "GET", headers=headers)
    assert head["body"] == ""
    assert head["statusCode"] == get["statusCode"]
    assert headers_of(head).keys() == headers_of(get).keys()


@pytest.mark.parametrize("world", [asleep, drowsy, broken])
@pytest.mark.parametrize("headers", [NAVIGATION, CALL_LIKE[0], PART_LIKE[0]])
def test_nothing_may_be_stored(world: Any, headers: dict[str, str]) -> None:
    answer = ask(world(), headers=headers)
    # of a 307, CloudFront would store even that; without it nobody may (RFC 9110, 15.4.8)
    expected = None if answer["statusCode"] == 307 else "no-store"
    assert headers_of(answer).get("cache-control") == expected
    assert "expires" not in headers_of(answer)


@pytest.mark.parametrize("path", [f"{CONTROL}/status", f"{CONTROL}/wake", f"{CONTROL}/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_of_the_control_path_may_be_stored(path: str, method: str) -> None:
    assert headers_of(control(asleep(), method, path))["cache-control"] == "no-store"


SPA, OTHER = "https://spa.example.com", "https://other.example.com"


@pytest.mark.parametrize("world", [asleep, drowsy, broken])
def test_an_answer_to_another_origin_can_be_read_there(world: Any) -> None:
    headers = headers_of(ask(world(), headers={"origin": SPA}))
    assert headers["access-control-allow-origin"] == SPA
    assert "Retry-After" in headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in headers
    assert "access-control-allow-origin" not in headers_of(ask(world()))


def test_an_origin_that_is_named_may_send_credentials_and_no_other_may_read() -> None:
    world = drowsy()
    world.environment = {**world.environment, "CORS_ALLOWED_ORIGINS": SPA}
    for path in ("/api/things", f"{CONTROL}/status"):
        group = CONTROL_GROUP if path.startswith(CONTROL) else WAKE_GROUP
        headers = headers_of(ask(world, path=path, headers={"origin": SPA}, group=group))
        assert headers["access-control-allow-origin"] == SPA
        assert headers["access-control-allow-credentials"] == "true"
        headers = headers_of(ask(world, path=path, headers={"origin": OTHER}, group=group))
        assert not [name for name in headers if name.startswith("access-control")]


def test_an_origin_that_is_not_ascii_is_not_sent_back() -> None:
    headers = headers_of(ask(drowsy(), headers={"origin": "https://b\u00fccher.example"}))
    assert "access-control-allow-origin" not in headers


def test_a_preflight_for_the_control_path_is_answered_and_wakes_nothing() -> None:
    world, wants = asleep(), {"access-control-request-method": "POST", "origin": SPA}
    answer = control(world, "OPTIONS", f"{CONTROL}/heartbeat", headers=wants)
    assert answer["statusCode"] == 204
    assert headers_of(answer)["access-control-allow-methods"] == "POST"
    assert world.phase() is Phase.ASLEEP


@pytest.mark.parametrize("status", ["503", "202", "200"])
def test_the_page_has_the_status_that_was_chosen_and_an_api_answer_503(status: str) -> None:
    world = asleep(WAITING_STATUS_CODE=status)
    assert ask(world, headers=NAVIGATION)["statusCode"] == int(status)
    assert ask(world, headers=PART_LIKE[0])["statusCode"] == 503


def test_a_503_is_a_problem_document_with_the_phase_in_it_and_in_a_header() -> None:
    world = asleep()
    answer = ask(world, headers=PART_LIKE[0])
    body = json.loads(answer["body"])
    assert body["type"] == "about:blank"
    assert (body["title"], body["status"]) == ("Service Unavailable", 503)
    assert "Try again in" in body["detail"]
    assert body["phase"] == headers_of(answer)["x-warmkeeper-phase"] == "waking"


def test_the_first_answers_say_what_the_cold_start_took_and_later_ones_do_not() -> None:
    world, name = asleep(), "x-warmkeeper-cold-start-seconds"
    first = headers_of(ask(world))
    assert float(first[name]) == pytest.approx(10, abs=1)
    world.time += 30
    assert name in headers_of(ask(world))
    world.time += 60
    assert name not in headers_of(ask(world))


# --- who may wake it ---------------------------------------------------------------------------


def policy(world: World, *rules: dict[str, Any]) -> World:
    """The World with these rules as its wake policy."""
    whole = [{**ANYBODY, **rule} for rule in rules]
    body = json.dumps({"wake_policy": whole})
    world.items["settings"] = {"id": {"S": "settings"}, "body": {"S": body}}
    return world


ANYBODY: dict[str, Any] = {
    "class": "some",
    "methods": [],
    "paths": [],
    "user_agents": [],
    "source_ranges": [],
    "answer": "asleep",
}
CHECKER = {"user-agent": "Mozilla/5.0+(compatible; UptimeRobot/2.0)"}


@pytest.mark.parametrize(
    ("rule", "asked", "ignored"),
    [
        ({"user_agents": ["uptimerobot"]}, {"headers": CHECKER}, True),
        ({"user_agents": ["pingdom", "UptimeRobot"]}, {"headers": CHECKER}, True),
        ({"user_agents": ["pingdom"]}, {"headers": CHECKER}, False),
        ({"paths": ["/wp-*"]}, {"path": "/WP-login.php"}, True),
        ({"paths": ["/wp-*"]}, {"path": "/blog/wp-login.php"}, False),
        ({"paths": ["/a[b]?"]}, {"path": "/a[b]c"}, True),
        ({"paths": ["/a[b]?"]}, {"path": "/abc"}, False),
        ({"paths": ["/.env*"]}, {"path": "/%2Eenv.local"}, True),
        ({"methods": ["HEAD"]}, {"method": "HEAD"}, True),
        ({"methods": ["HEAD"]}, {"method": "GET"}, False),
        ({"methods": ["GET"], "paths": ["/healthz"]}, {"path": "/healthz"}, True),
        ({"methods": ["GET"], "paths": ["/healthz"]}, {"path": "/"}, False),
        ({"source_ranges": ["203.0.113.0/24"]}, {"came": "203.0.113.9"}, True),
        ({"source_ranges": ["203.0.113.0/24"]}, {"came": "203.0.113.9:4711"}, True),
        ({"source_ranges": ["2001:db8::/32"]}, {"came": "2001:db8::1"}, True),
        ({"source_ranges": ["2001:db8::/32"]}, {"came": "[2001:db8::1]:4711"}, True),
        ({"source_ranges": ["203.0.113.0/24"]}, {"came": "198.51.100.7, 203.0.113.9"}, True),
        ({"source_ranges": ["203.0.113.0/24"]}, {"came": "203.0.113.9, 198.51.100.7"}, False),
        ({"source_ranges": ["0.0.0.0/0"]}, {"came": "no address"}, False),
    ],
)
def test_a_rule_matches_by_each_of_its_kinds_and_any_value_of_a_kind(
    rule: dict[str, Any], asked: dict[str, Any], ignored: bool
) -> None:
    world, headers = policy(asleep(), rule), dict(asked.pop("headers", {}))
    if came := asked.pop("came", ""):
        headers["x-forwarded-for"] = came
    answer = ask(world, headers=headers, **asked)
    assert (world.phase() is Phase.ASLEEP) is ignored
    assert (answer["statusCode"] == 200) is ignored


def test_of_two_rules_the_first_decides_and_one_may_be_let_in() -> None:
    world = policy(
        asleep(),
        {"user_agents": ["UptimeRobot"], "paths": ["/wake"], "answer": "wake"},
        {"user_agents": ["UptimeRobot"], "answer": "not-found"},
    )
    assert ask(world, path="/", headers=CHECKER)["statusCode"] == 404
    assert world.phase() is Phase.ASLEEP
    ask(world, path="/wake", headers=CHECKER)
    assert world.phase() is not Phase.ASLEEP


@pytest.mark.parametrize(
    ("canned", "status", "member"),
    [
        ("asleep", 200, ("state", "asleep")),
        ("not-found", 404, ("title", "Not Found")),
        ("unavailable", 503, ("title", "Service Unavailable")),
    ],
)
def test_what_is_ignored_gets_its_canned_answer_a_log_line_and_changes_nothing(
    canned: str, status: int, member: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    world = policy(asleep(), {"class": "robots", "answer": canned})
    before, agent = state(world), "Robot\r\n\x1b[31m" + "x" * 500
    capsys.readouterr()
    answer = ask(world, path="/private-1", headers={"user-agent": agent, "cookie": "private-2"})
    assert answer["statusCode"] == status
    assert member in json.loads(answer["body"]).items()
    assert state(world) == before
    output = capsys.readouterr().out
    (line,) = log_lines(output)
    assert (line["ignored"], line["answer"], line["method"]) == ("robots", canned, "GET")
    assert line["user_agent"].isprintable()
    assert len(line["user_agent"]) <= 120
    assert "private" not in output
    assert metrics(output) == {}


def test_an_answer_that_this_code_does_not_know_is_a_503_and_an_error_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = policy(asleep(), {"class": "robots", "answer": "no-such-answer"})
    before = state(world)
    capsys.readouterr()
    assert ask(world)["statusCode"] == 503
    assert state(world) == before
    (error,) = [line for line in log_lines(capsys.readouterr().out) if line["level"] == "ERROR"]
    assert error["answer"] == "no-such-answer"


def test_what_is_ignored_does_not_call_back_a_drowsy_service_and_is_told_the_phase() -> None:
    world = policy(drowsy(), {"user_agents": ["uptimerobot"]})
    assert json.loads(ask(world, headers=CHECKER)["body"]) == {"state": "drowsy"}
    assert world.phase() is Phase.DROWSY


def test_the_settings_are_read_once_in_five_minutes_and_what_cannot_be_read_keeps_nobody_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = policy(asleep(), {"user_agents": ["uptimerobot"]})
    keeper = wk.Warmkeeper(world.aws())
    event = request(headers=CHECKER)

    def reads() -> int:
        world.reads.clear()
        keeper.dispatch(event)
        return world.reads.count("get_item")

    assert [reads(), reads()] == [2, 1]
    world.time += wk.SETTINGS_SECONDS + 1
    assert reads() == 2
    policy(world)
    assert keeper.dispatch(event)["statusCode"] == 200
    world.time += wk.SETTINGS_SECONDS + 1
    world.gone.add("table")
    assert json.loads(keeper.dispatch(event)["body"])["state"] == "unknown"
    assert "the settings cannot be read" in capsys.readouterr().out
    world.gone.clear()
    world.time += wk.SETTINGS_AGAIN_SECONDS + 1
    keeper.dispatch(event)
    assert world.phase() is not Phase.ASLEEP


def test_settings_that_are_no_json_keep_nobody_out() -> None:
    world = asleep()
    world.items["settings"] = {"id": {"S": "settings"}, "body": {"S": "{"}}
    ask(world, headers=NAVIGATION)
    assert world.phase() is Phase.WAKING


def test_with_browser_confirmation_an_api_client_is_told_what_wakes_it() -> None:
    world = asleep(WAKE_CONFIRMATION="browser")
    answer = ask(world)
    assert answer["statusCode"] == 503
    assert f"POST {CONTROL}/wake" in json.loads(answer["body"])["detail"]
    assert ask(world, headers=NAVIGATION)["statusCode"] == 503
    assert world.phase() is Phase.ASLEEP
    control(world, "POST", f"{CONTROL}/wake")
    assert world.phase() is Phase.WAKING


def test_a_monitor_is_green_while_it_sleeps_and_red_after_a_failed_wake() -> None:
    def health(world: World) -> tuple[int, str]:
        answer = control(world, "GET", f"{CONTROL}/health")
        return answer["statusCode"], json.loads(answer["body"])["state"]

    world = asleep()
    assert health(world) == (200, "dormant")
    assert world.phase() is Phase.ASLEEP
    control(world, "POST", f"{CONTROL}/wake")
    assert health(world) == (200, "waking")
    assert health(drowsy()) == (200, "awake")
    assert health(World(exists=False)) == (200, "unknown")
    assert health(broken()) == (503, "failed")
    assert control(asleep(), "HEAD", f"{CONTROL}/health")["statusCode"] == 200


# --- holding and sending on --------------------------------------------------------------------


def test_a_call_is_held_for_hold_seconds_at_most_then_sent_to_the_same_url_once_more() -> None:
    world = asleep()
    world.boot = 60
    hops = []
    for _ in range(9):
        began = world.time
        answer = ask(world, path="/api/things", query={"page": ["2"]})
        assert answer["statusCode"] == 307
        assert headers_of(answer)["location"] == "/api/things?page=2"
        hops.append(world.time - began)
        if world.phase() is Phase.AWAKE:
            break
    assert len(hops) == 3, "a minute's wake is three hops"
    assert all(hop <= 26 for hop in hops)


def test_a_call_is_sent_round_a_few_times_then_gets_503_with_retry_after_and_json() -> None:
    world = asleep()
    world.boot = 9000
    began = world.time
    for _ in range(wk.MOST_HOLDS - 1):
        assert ask(world)["statusCode"] == 307
    answer = ask(world)
    assert answer["statusCode"] == 503
    assert 200 <= world.time - began < 202
    assert int(headers_of(answer)["retry-after"]) > 0
    assert json.loads(answer["body"])["phase"] == "waking"


def test_past_hold_limit_a_call_gets_its_503_at_once_and_is_served_when_it_comes_again() -> None:
    world = asleep(HOLD_LIMIT="2")
    world.boot = 90
    assert [ask(world)["statusCode"] for _ in range(2)] == [307, 307]
    world.time -= world.time % 25  # a new time to count in
    statuses, began = [], world.time
    for _ in range(5):
        world.time = began + 1
        statuses.append(ask(world)["statusCode"])
    assert statuses == [307, 307, 503, 503, 503]
    assert world.time == began + 1
    world.time += int(headers_of(ask(world))["retry-after"]) + 90
    assert ask(world)["statusCode"] == 307
    assert world.phase() is Phase.AWAKE


def test_with_a_hold_limit_of_0_nothing_is_held() -> None:
    world = asleep(HOLD_LIMIT="0")
    began = world.time
    assert ask(world)["statusCode"] == 503
    assert world.time == began


def test_of_those_who_begin_a_new_time_at_once_none_is_miscounted() -> None:
    world = asleep(HOLD_LIMIT="3")
    aws = world.aws()
    assert aws.may_hold()
    world.time += 25
    world.between("update_item", lambda: None)
    world.between("update_item", lambda: wk.Aws.may_hold(world.aws()))
    assert aws.may_hold()
    assert world.items["held"]["held"]["N"] == "2"


def test_what_cannot_be_counted_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    world = asleep(HOLD_LIMIT="0")
    world.failing.add("update_item")
    assert ask(world)["statusCode"] == 307
    assert "held calls are not counted" in capsys.readouterr().out


def test_a_call_that_comes_late_in_a_wake_is_held_all_the_same() -> None:
    world = asleep()
    world.boot = 230
    control(world, "POST", f"{CONTROL}/wake")
    world.time += 201
    assert ask(world)["statusCode"] == 503
    assert ask(world)["statusCode"] == 307
    assert world.phase() is Phase.AWAKE


def test_without_a_table_a_navigation_gets_the_page_all_the_same() -> None:
    world = asleep()
    world.gone.add("table")
    answer = ask(world, headers={"sec-fetch-mode": "navigate"})
    assert answer["statusCode"] == 503
    assert headers_of(answer)["content-type"].startswith("text/html")
    assert world.desired == 1


def test_a_request_that_finds_the_rule_put_up_by_hand_is_sent_on() -> None:
    world = asleep()
    world.signal(Kind.WAKE)
    world.time += 20
    world.signal(Kind.TICK)
    world.time += 600
    world.rules[WAKE_RULE] = 12
    assert ask(world)["statusCode"] == 307
    assert not world.rule_up


def test_past_the_deadline_a_call_gets_503_with_retry_after_and_json() -> None:
    world = asleep()
    world.starts = False
    while world.phase() is not Phase.ASLEEP or not world.memory.failure:
        answer = ask(world)
        assert world.time < world.memory.since + 310
    assert answer["statusCode"] == 503
    assert int(headers_of(answer)["retry-after"]) > 0
    body = json.loads(answer["body"])
    assert body["phase"] == "asleep"
    assert body["failed"] == "image-not-pulled"


def test_during_the_back_off_retry_after_is_when_the_next_try_is() -> None:
    world = broken()
    answer = ask(world)
    wait = int(headers_of(answer)["retry-after"])
    assert 0 <= world.time + wait - world.memory.retry_at < 1
    assert answer["statusCode"] == 503


def test_retry_after_during_a_wake_is_what_it_usually_still_takes() -> None:
    world = asleep(COLD_START_TARGET_SECONDS="40")
    assert headers_of(ask(world, headers=PART_LIKE[0]))["retry-after"] == "40"
    world.time += 8.5
    assert headers_of(ask(world, headers=PART_LIKE[0]))["retry-after"] == "32"
    world.boot = 500
    world.time += 100
    assert headers_of(ask(world, headers=PART_LIKE[0]))["retry-after"] == "1"


def test_a_request_to_a_drowsy_service_is_sent_on_once_the_rule_has_settled() -> None:
    world = drowsy()
    began = world.time
    answer = ask(world)
    assert answer["statusCode"] == 307
    assert wk.SETTLE_SECONDS <= world.time - began <= wk.SETTLE_SECONDS + 1
    assert world.did("count 1") == 0
    assert not world.rule_up


@pytest.mark.parametrize("headers", [NAVIGATION, CALL_LIKE[0], PART_LIKE[0]])
def test_a_redirect_that_comes_back_is_paced(headers: dict[str, str]) -> None:
    world = drowsy()
    ask(world)
    for _ in range(5):
        began = world.time
        assert ask(world, headers=headers)["statusCode"] == 307
        assert world.time - began >= wk.SETTLE_SECONDS


@pytest.mark.parametrize(
    ("headers", "kind"), [(CALL_LIKE[1], "application/problem+json"), (NAVIGATION, "text/html")]
)
def test_a_rule_that_cannot_be_taken_down_sends_nobody_round_for_ever(
    headers: dict[str, str], kind: str
) -> None:
    world = drowsy()
    world.failing.add("set_rule_priorities")
    began, hops = world.time, 0
    while (answer := ask(world, headers=headers))["statusCode"] == 307:
        hops += 1
        assert hops < 10, "some clients follow ten redirects and no more"
    assert world.time - began > wk.STUCK_SECONDS
    assert answer["statusCode"] == 503
    assert headers_of(answer)["retry-after"] == "5"
    assert headers_of(answer)["content-type"].startswith(kind)
    world.failing.clear()
    world.time += wk.FENCE_SECONDS
    ask(world, headers=headers)
    assert not world.rule_up


@pytest.mark.parametrize("remembers", [True, False])
def test_of_a_service_that_is_gone_nobody_is_sent_round(remembers: bool) -> None:
    world = asleep()
    ask(world, headers=NAVIGATION)
    world.time += 3
    world.exists = False
    if not remembers:
        world.items.clear()
    assert ask(world)["statusCode"] == 503


def test_200_simultaneous_first_requests_give_the_count_once() -> None:
    world = asleep()
    answers = [ask(world, headers=NAVIGATION) for _ in range(100)]
    answers += [ask(world) for _ in range(100)]
    assert world.did("count 1") == 1
    assert {answer["statusCode"] for answer in answers} == {503, 307}


def test_a_cold_start_counts_from_the_arrival_of_the_request() -> None:
    world = asleep()
    arrived = world.time

    def slow() -> None:
        world.time += 2

    world.between("describe_services", slow)
    ask(world, headers=NAVIGATION)
    wake = world.memory.wake
    assert wake
    assert (wake.began, wake.given) == (arrived, {"this": arrived + 2})


# --- where a redirect leads --------------------------------------------------------------------

PATHS = st.one_of(
    st.text(st.sampled_from("/\\.%2F5cé:@;=&+ ~evil\t\r\n"), max_size=14),
    st.text(st.characters(codec="utf-8", exclude_characters="?#"), max_size=14),
).map(lambda text: "/" + text)
WORDS = st.text(st.sampled_from("ab1%20+[]é/:@!'\"<>\\ "), min_size=1, max_size=6)
QUERIES = st.dictionaries(WORDS, st.lists(WORDS, min_size=1, max_size=2), max_size=3)
EVIL = ["//evil.com", "///evil.com/a", "/\\evil.com", "/\t/evil.com", "/%2F/evil.com", "//@evil"]


def location(path: str, query: dict[str, list[str]] | None = None) -> str:
    """Where a call that was held is sent."""
    parsed = wk.Request.of(request(path=path, query=query))
    return parsed.location


def as_a_browser(url: str) -> str:
    """What a browser makes of a Location before it resolves it (WHATWG URL, 4.4)."""
    return re.sub(r"[\t\r\n]", "", url).strip().replace("\\", "/")


@given(PATHS, QUERIES)
@example("//evil.example/a", {})
def test_no_redirect_leaves_the_site(path: str, query: dict[str, list[str]]) -> None:
    url = as_a_browser(location(path, query))
    assert url.startswith("/")
    assert not url.startswith("//")
    resolved = urlsplit(urljoin("https://app.example.com/here", url))
    assert (resolved.scheme, resolved.netloc) == ("https", "app.example.com")


@given(PATHS, QUERIES)
def test_a_location_is_one_line_of_ascii_without_spaces(
    path: str, query: dict[str, list[str]]
) -> None:
    url = location(path, query)
    assert url.isascii()
    assert url.isprintable()
    assert not re.search(r'[\s<>"\\^`{|}#]', url)


@given(PATHS)
@example("/.//a")
def test_the_path_survives(path: str) -> None:
    url = location(path)
    expected = "/." + path if path.startswith("//") else path
    assert unquote_to_bytes(url) == unquote_to_bytes(expected)
    assert "?" not in url


@given(QUERIES)
def test_the_query_survives(query: dict[str, list[str]]) -> None:
    sent = "&".join(f"{name}={value}" for name, values in query.items() for value in values)
    arrived = urlsplit(location("/a", query)).query
    assert unquote_to_bytes(arrived) == unquote_to_bytes(sent)
    assert parse_qsl(arrived, keep_blank_values=True) == parse_qsl(sent, keep_blank_values=True)


@pytest.mark.parametrize("path", EVIL)
def test_a_path_made_to_lead_elsewhere_leads_back_here(path: str) -> None:
    answer = ask(drowsy(), path=path)
    url = as_a_browser(headers_of(answer)["location"])
    assert urlsplit(urljoin("https://app.example.com/", url)).netloc == "app.example.com"
    assert not url.startswith("//")


def test_what_arrives_encoded_is_sent_on_as_it_is() -> None:
    answer = ask(drowsy(), path="/a%2Fb/%C3%A9", query={"q": ["a%20b+c", "%26"], "flag": [""]})
    assert headers_of(answer)["location"] == "/a%2Fb/%C3%A9?q=a%20b+c&q=%26&flag="


# --- the page ----------------------------------------------------------------------------------


def page(world: World) -> tuple[str, dict[str, str]]:
    answer = ask(world, headers=NAVIGATION)
    return answer["body"], headers_of(answer)


def test_the_page_enters_by_the_browsers_own_url() -> None:
    """Behind a path prefix the server saw another one, which its script has no need of."""
    text, _ = page(asleep(PUBLIC_URL="https://staging.example.com"))
    body, _, script = text.partition("<script")
    assert 'data-home=""' in body
    script = script.replace("if (home) location.replace(home);", "")
    assert "location.reload()" in script
    assert not re.search(r"location\.(assign|replace|href)|location *=|url=", script)


def test_the_page_is_filled_in() -> None:
    text, _ = page(asleep())
    assert "{{" not in text
    assert "<h1>staging</h1>" in text
    assert 'data-status="/.warmkeeper/status"' in text


def test_the_page_is_in_the_language_that_is_asked_for_and_caches_are_told() -> None:
    answer = ask(asleep(), headers={**NAVIGATION, "accept-language": "de, fr;q=0.8, en;q=0.5"})
    assert '<html lang="fr"' in answer["body"]
    assert "Accept-Language" in headers_of(answer)["vary"]


@pytest.mark.parametrize(("confirmation", "expected"), [("request", "false"), ("browser", "true")])
def test_the_page_is_told_whether_it_has_to_wake_the_service(
    confirmation: str, expected: str
) -> None:
    text, _ = page(asleep(WAKE_CONFIRMATION=confirmation))
    assert f'data-confirm="{expected}"' in text


def test_of_what_was_asked_for_the_url_alone_is_in_the_page_for_a_browser_without_script() -> None:
    query = {"q": ['"><script>alert(1)</script>']}
    headers = {**NAVIGATION, "cookie": "private-1", "user-agent": "private-2"}
    text = ask(asleep(), path="/deep/link", query=query, headers=headers)["body"]
    again = r'<noscript><meta http-equiv="refresh" content="5;url=([^"]*)"></noscript>'
    (url,) = re.findall(again, text)
    assert url == "/deep/link?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    rest = re.sub(again, "", text)
    assert "deep" not in rest
    assert "alert(1)" not in rest
    assert "private" not in text


@pytest.mark.parametrize("path", EVIL)
def test_without_a_script_the_page_does_not_lead_elsewhere(path: str) -> None:
    text = ask(asleep(), path=path, headers=NAVIGATION)["body"]
    (url,) = re.findall(r'http-equiv="refresh" content="5;url=([^"]*)"', text)
    url = as_a_browser(html.unescape(url))
    assert urlsplit(urljoin("https://app.example.com/", url)).netloc == "app.example.com"


@pytest.mark.parametrize("lang", ["en", "fr"])
@pytest.mark.parametrize("make", [asleep, broken])
def test_the_page_that_is_sent_is_below_10_kb_with_the_longest_name_and_path(
    lang: str, make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wk, "packaged", package.member)
    world = make()
    world.environment |= {"NAME": "n" * 24, "CONTROL_PATH": "/" + "c" * 99}
    world.time += 1e6  # the longest numbers
    sent = ask(world, headers={**NAVIGATION, "accept-language": lang})["body"].encode()
    assert f'<html lang="{lang}"'.encode() in sent
    assert len(sent) < 10_000


def test_the_page_takes_its_title_from_the_settings_and_escapes_it() -> None:
    title = "<script>alert(1)</script> \"Ü\" & 'Co'"
    world = asleep()
    body = json.dumps({"page": {"title": title}})
    world.items["settings"] = {"id": {"S": "settings"}, "body": {"S": body}}
    text, _ = page(world)
    assert "<script>alert" not in text
    assert html.escape(title) in text


def test_the_page_s_scripts_and_styles_bear_the_nonce_of_its_policy_new_each_time() -> None:
    world = asleep()
    nonces = set()
    for _ in range(3):
        text, headers = page(world)
        policy = headers["content-security-policy"]
        (script,) = re.findall(r"script-src 'nonce-([\w-]+)'", policy)
        (style,) = re.findall(r"style-src 'nonce-([\w-]+)'", policy)
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        tags = re.findall(r"<(?:script|style)\b[^>]*>", text)
        assert len(tags) == 2
        assert all(f'nonce="{script}"' in tag for tag in tags)
        assert script == style
        assert len(script) >= 16
        nonces.add(script)
    assert len(nonces) == 3


def test_the_page_reaches_for_nothing_elsewhere() -> None:
    text, _ = page(asleep())
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?!data:)""", text)
    assert "http://" not in text
    assert "https://" not in text


def test_the_page_of_a_service_that_cannot_start_looks_again_only_after_the_back_off() -> None:
    world = broken()
    text, headers = page(world)
    assert headers["retry-after"] == "50"
    assert 'content="50;url=/api/things"' in text
    assert "It could not be started. Its image could not be fetched." in text


# --- the control path --------------------------------------------------------------------------


def test_status_is_json_for_anybody_and_wakes_nothing() -> None:
    world = asleep()
    answer = world.invoke(recorded("alb_status"))
    assert answer["statusCode"] == 200
    body = json.loads(answer["body"])
    assert body == {
        "name": "staging",
        "phase": "asleep",
        "seconds": pytest.approx(100, abs=0.2),
        "live": False,
        "stage": None,
        "estimate_seconds": None,
        "failed": None,
        "given_up": False,
        "closed_until": None,
    }
    assert world.desired == 0


def test_status_follows_a_wake_stage_by_stage() -> None:
    world = asleep()
    seen = []
    control(world, "POST", f"{CONTROL}/wake")
    for _ in range(12):
        body = json.loads(control(world, "GET", f"{CONTROL}/status")["body"])
        seen.append((body["phase"], body["stage"], body["live"]))
        world.time += 1
    stages = ["asked", "placed", "started"]
    expected = [("waking", stage, False) for stage in stages]
    assert list(dict.fromkeys(seen)) == [*expected, ("awake", "healthy", True)]
    assert body["estimate_seconds"] == pytest.approx(10, abs=1)


def test_status_of_an_unknown_service_is_unknown() -> None:
    body = json.loads(control(World(exists=False), "GET", f"{CONTROL}/status")["body"])
    assert body["phase"] == "unknown"


def test_status_tells_why_a_wake_failed() -> None:
    body = json.loads(control(broken(), "GET", f"{CONTROL}/status")["body"])
    assert body["failed"] == "image-not-pulled"
    assert body["given_up"] is False


def test_status_tells_that_it_was_given_up() -> None:
    world = broken()
    for _ in range(5):
        world.time = world.memory.retry_at
        world.signal(Kind.REQUEST)
        world.time += 301
        world.signal(Kind.TICK)
    body = json.loads(control(world, "GET", f"{CONTROL}/status")["body"])
    assert body["given_up"] is True
    assert json.loads(ask(world)["body"])["given_up"] is True


def test_status_for_anybody_leaves_out_the_particulars_of_a_failure() -> None:
    world = asleep()
    world.starts = False
    world.signal(Kind.REQUEST)
    world.tasks[0].stopped = world.time
    world.tasks[0].reason = "CannotPullContainerError: 123456789012.dkr.ecr/app: no"
    world.time += 301
    world.signal(Kind.TICK)
    assert "123456789012" in world.memory.failure
    answer = control(world, "GET", f"{CONTROL}/status")
    assert json.loads(answer["body"])["failed"] == "image-not-pulled"
    assert "123456789012" not in answer["body"]


def test_post_wake_wakes_and_get_wake_does_not() -> None:
    world = asleep()
    assert control(world, "GET", f"{CONTROL}/wake")["statusCode"] == 404
    assert world.desired == 0
    answer = control(world, "POST", f"{CONTROL}/wake")
    assert answer["statusCode"] == 202
    assert json.loads(answer["body"])["phase"] == "waking"
    assert world.desired == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/", CONTROL, f"{CONTROL}/sleep", f"{CONTROL}/status/x")),
        *(("POST", path) for path in ("/", CONTROL, f"{CONTROL}/", f"{CONTROL}/sleep")),
    ],
)
def test_what_is_not_on_the_control_path_is_404_and_wakes_nothing(method: str, path: str) -> None:
    world = asleep()
    assert control(world, method, path)["statusCode"] == 404
    assert world.desired == 0


# Programs that fetch the links of a mail or a chat message, by their User-Agents.
FETCHERS = [
    {},
    NAVIGATION,
    BY_PLAIN_HTTP,
    {"user-agent": "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.1; Trident/6.0)"},
    {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
    {"user-agent": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5"},
    {"user-agent": "Mozilla/5.0 (compatible; GoogleImageProxy)", "accept": "image/avif,*/*"},
    {"user-agent": "BarracudaCentral/1.0", "accept": "text/html"},
    {"purpose": "prefetch", **NAVIGATION},
]


@pytest.mark.parametrize("headers", FETCHERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("confirmation", ["request", "browser"])
@pytest.mark.parametrize("make", [asleep, broken])
def test_who_fetches_the_link_of_a_notice_gets_the_page_and_changes_nothing(
    make: Callable[..., World], confirmation: str, method: str, headers: dict[str, str]
) -> None:
    world = make()
    world.environment |= {"WAKE_CONFIRMATION": confirmation, "PUBLIC_URL": "https://x.example.com"}
    before = state(world)
    answer = control(world, method, f"{CONTROL}/", headers=headers)
    assert answer["statusCode"] == 200
    assert headers_of(answer)["content-type"] == "text/html; charset=utf-8"
    assert headers_of(answer)["x-robots-tag"] == "noindex"
    assert bool(answer["body"]) is (method == "GET")
    world.minutes(3)
    assert world.desired == 0
    assert state(world)[2:] == before[2:]


def control_page(world: World, public_url: str = "https://x.example.com") -> str:
    """The page of the control path."""
    world.environment |= {"PUBLIC_URL": public_url, "WAKE_CONFIRMATION": "browser"}
    text: str = control(world, "GET", f"{CONTROL}/", headers=NAVIGATION)["body"]
    assert "{{" not in text
    return text


def refresh(text: str) -> str:
    """Where a browser without JavaScript goes, and after how many seconds."""
    (content,) = re.findall(r'http-equiv="refresh" content="([^"]*)"', text)
    return html.unescape(content)


def test_the_control_path_s_page_wakes_at_a_click_only_also_where_a_page_has_to_wake() -> None:
    text = control_page(asleep())
    assert 'data-confirm="false"' in text
    assert "It is asleep. Only with JavaScript can this page start it." in text
    assert refresh(text) == f"30;url={CONTROL}/"


@pytest.mark.parametrize(
    ("public_url", "home"), [("https://x.example.com", "https://x.example.com"), ("", "/")]
)
def test_the_control_path_s_page_leads_to_the_service(public_url: str, home: str) -> None:
    assert f'data-home="{home}"' in control_page(asleep(), public_url)
    assert refresh(control_page(play(World(), (lambda w: w.signal(Kind.ADOPT),)), public_url)) == (
        f"5;url={home}"
    )


@pytest.mark.parametrize(
    ("own", "shown"),
    [("Mine: {{home}}", "Mine: https://x.example.com"), ("Mine: {{title}}", "<!doctype html>")],
)
def test_a_page_of_one_s_own_is_the_control_path_s_page_if_it_knows_where_to_go(
    own: str, shown: str
) -> None:
    world = asleep()
    body = json.dumps({"page": {"html": own}})
    world.items["settings"] = {"id": {"S": "settings"}, "body": {"S": body}}
    assert control_page(world).startswith(shown)
    assert page(world)[0].startswith("Mine: ")


def test_a_reload_of_the_control_path_s_page_calls_back_no_drowsy_service() -> None:
    world = drowsy()
    assert refresh(control_page(world)) == f"5;url={CONTROL}/"
    assert world.phase() is Phase.DROWSY


def test_another_control_path_is_heeded() -> None:
    world = asleep(CONTROL_PATH="/_up")
    assert control(world, "GET", "/_up/status")["statusCode"] == 200
    assert control(world, "GET", f"{CONTROL}/status")["statusCode"] == 404


def test_a_target_group_that_is_not_ours_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    world = asleep()
    before = state(world)
    capsys.readouterr()
    assert ask(world, group=SERVICE_GROUP)["statusCode"] == 403
    assert metrics(capsys.readouterr().out) == counted(world)
    assert state(world) == before


# --- the heartbeat -----------------------------------------------------------------------------

TOKEN = {"HEARTBEAT_TOKEN_PARAMETER": "arn:aws:ssm:eu-central-1:123456789012:parameter/token"}
ACTIVE = '{"in_flight": 0, "requests": 3}'


def beat(world: World, body: bytes | str = ACTIVE, path: str = "/health", **headers: str) -> Any:
    return control(world, "POST", path, body=body, headers=headers)


@pytest.mark.parametrize("path", ["/health", f"{CONTROL}/heartbeat"])
def test_an_active_beat_is_counted_and_holds_awake(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.signal(Kind.ADOPT)
    capsys.readouterr()
    answer = beat(world, path=path)
    assert answer["statusCode"] == 200
    told = {"name": "staging", "phase": "awake", "counted": True, "holds_seconds": 300}
    assert json.loads(answer["body"]) == told
    assert world.memory.beat == world.time
    assert metrics(capsys.readouterr().out) == {"Beats": 1}


@pytest.mark.parametrize("body", ["", "{}", '{"in_flight": 0, "requests": 0}', b'{"requests": 0}'])
def test_a_beat_without_activity_counts_for_nothing(
    body: bytes | str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.signal(Kind.ADOPT)
    before = state(world)
    capsys.readouterr()
    answer = beat(world, body)
    told = {"name": "staging", "phase": "awake", "counted": False, "holds_seconds": 300}
    assert json.loads(answer["body"]) == told
    assert state(world) == before
    assert metrics(capsys.readouterr().out) == {}


def test_a_beat_never_wakes() -> None:
    world = asleep()
    assert json.loads(beat(world)["body"])["phase"] == "asleep"
    assert world.desired == 0
    assert world.rule_up


def test_a_body_that_arrives_as_base64_is_read_all_the_same() -> None:
    world = World()
    world.signal(Kind.ADOPT)
    assert json.loads(beat(world, ACTIVE.encode())["body"])["counted"] is True


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("hello", "body"),
        ("[]", "body"),
        ("null", "body"),
        ("7", "body"),
        (b"\xff\xfe", "body"),
        ('{"in_flight": -1}', "in_flight"),
        ('{"in_flight": "1"}', "in_flight"),
        ('{"in_flight": true}', "in_flight"),
        ('{"in_flight": null}', "in_flight"),
        ('{"requests": 1.5}', "requests"),
        ('{"in_flight": 1, "requests": [1]}', "requests"),
        ("[" * 100_000, "body"),
    ],
)
def test_a_bad_beat_is_400_names_what_is_wrong_and_does_nothing(
    body: bytes | str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = drowsy()
    before = state(world)
    capsys.readouterr()
    answer = beat(world, body)
    assert answer["statusCode"] == 400
    assert named in json.loads(answer["body"])["detail"]
    assert metrics(capsys.readouterr().out) == {"Refused": 1}
    assert state(world) == before


def test_with_a_token_the_right_one_is_needed() -> None:
    world = asleep(**TOKEN)
    answer = world.invoke(recorded("alb_heartbeat"))
    assert answer["statusCode"] == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "secret",
        "Bearer",
        "Bearer ",
        "Bearer secre",
        "Bearer secrets",
        "Bearer Secret",
        "Basic x",
    ],
)
def test_without_the_right_token_a_beat_is_401_and_does_nothing(
    authorization: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = asleep(**TOKEN)
    told_already(world)
    before = state(world)
    capsys.readouterr()
    answer = beat(world, authorization=authorization) if authorization else beat(world)
    assert answer["statusCode"] == 401
    assert metrics(capsys.readouterr().out) == {}
    assert state(world) == before


@given(st.text(max_size=30))
@example("\ud800")
@settings(max_examples=50)
def test_no_other_text_passes_for_the_token(text: str) -> None:
    world = World(environment={**ENVIRONMENT, **TOKEN})
    assert beat(world, authorization=f"Bearer x{text}")["statusCode"] == 401


def test_a_bad_body_without_the_token_is_401_too() -> None:
    assert beat(asleep(**TOKEN), "hello")["statusCode"] == 401


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Any, Any]] = []

    def compare(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert beat(asleep(**TOKEN), authorization="Bearer secret")["statusCode"] == 401
    assert len(compared) == 1


def test_a_new_token_is_believed_within_minutes_and_is_not_read_each_time() -> None:
    world = asleep(**TOKEN)
    warmkeeper = wk.Warmkeeper(world.aws())
    event = recorded("alb_heartbeat")
    assert warmkeeper.dispatch(event)["statusCode"] == 200
    assert warmkeeper.dispatch(event)["statusCode"] == 200
    assert world.reads.count("get_parameter") == 1
    world.token = "new"
    world.time += 301
    assert warmkeeper.dispatch(event)["statusCode"] == 401


def test_without_a_heartbeat_path_there_is_no_heartbeat() -> None:
    world = asleep(HEARTBEAT_PATH="")
    assert beat(world)["statusCode"] == 404
    assert beat(world, path=f"{CONTROL}/heartbeat")["statusCode"] == 404
    assert beat(world, path="")["statusCode"] == 404


# --- what goes wrong ---------------------------------------------------------------------------

CALLED = ["get_item", "put_item", "describe_services", "update_service"]


@pytest.mark.parametrize("operation", CALLED)
@pytest.mark.parametrize("headers", [NAVIGATION, CALL_LIKE[0], PART_LIKE[0]])
def test_an_unforeseen_error_is_503_with_retry_after_a_trace_and_a_metric(
    operation: str, headers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    world = asleep()
    world.failing.add(operation)
    capsys.readouterr()
    answer = ask(world, headers=headers)
    assert answer["statusCode"] == 503
    assert int(headers_of(answer)["retry-after"]) > 0
    assert headers_of(answer)["cache-control"] == "no-store"
    output = capsys.readouterr().out
    assert metrics(output)["HandledErrors"] == 1
    (line,) = [line for line in log_lines(output) if line.get("level") == "ERROR"]
    assert "warmkeeper.py" in line["trace"]
    assert operation in line["error"]
    assert "Traceback" not in answer["body"]


@pytest.mark.parametrize("operation", CALLED[1:])
def test_to_a_browser_an_error_of_ours_is_a_page_that_asks_again(operation: str) -> None:
    world = asleep()
    world.failing.add(operation)
    answer = ask(world, headers=NAVIGATION)
    assert headers_of(answer)["content-type"].startswith("text/html")
    assert 'data-status="/.warmkeeper/status"' in answer["body"]
    assert headers_of(ask(world))["content-type"] == "application/problem+json"


def test_who_waits_does_not_wait_for_a_topic_that_does_not_answer() -> None:
    world = asleep()
    control(world, "POST", f"{CONTROL}/wake")
    world.time += 20
    in_haste: list[bool] = []

    class Watched(SimulatedAws):
        def client(self, service: str, *, taking: bool = False) -> Any:
            if service == "sns":
                in_haste.append(taking)
            return super().client(service, taking=taking)

    aws = Watched(world)
    wk.Warmkeeper(aws).dispatch(request("GET", f"{CONTROL}/status", group=CONTROL_GROUP))
    assert world.phase() is Phase.AWAKE
    assert in_haste == [True], "tried once, for a moment"


def test_a_token_that_cannot_be_read_is_503_not_a_beat() -> None:
    world = asleep(**TOKEN)
    world.failing.add("get_parameter")
    assert beat(world, authorization="Bearer secret")["statusCode"] == 503


@pytest.mark.parametrize(
    "changes",
    [
        {"isBase64Encoded": True, "body": "x"},
        {"httpMethod": None},
        {"path": None},
        {"multiValueHeaders": None, "multiValueQueryStringParameters": None, "body": None},
        {"body": "\ud800"},
    ],
)
def test_on_the_http_path_nothing_is_ever_raised(changes: dict[str, Any]) -> None:
    answer = asleep().invoke({**request(), **changes})
    assert 200 <= answer["statusCode"] < 600


def test_neither_secrets_nor_payloads_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    world = asleep(**TOKEN)
    beat(world, '{"in_flight": "private-1"}', authorization="Bearer secret")
    beat(world, "private-2", authorization="Bearer private-3")
    ask(world, "POST", "/a", body="private-4", headers={"cookie": "private-5"})
    ask(world, path="/a", query={"q": ["private-6"]})
    world.failing.add("get_item")
    ask(world, "POST", "/a", body="private-7", headers={"authorization": "private-8"})
    output = capsys.readouterr().out
    assert output
    assert "secret" not in output
    assert re.findall(r"private-\d", output) == []


def test_a_metric_line_is_well_formed_embedded_metric_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = asleep()
    capsys.readouterr()
    ask(world)
    lines = [line for line in log_lines(capsys.readouterr().out) if "_aws" in line]
    units = {}
    for line in lines:
        assert line["Name"] == "staging"
        assert isinstance(line["_aws"]["Timestamp"], int)
        assert abs(line["_aws"]["Timestamp"] / 1000 - world.time) < 60
        (space,) = line["_aws"]["CloudWatchMetrics"]
        assert space["Namespace"] == "Warmkeeper"
        assert space["Dimensions"] == [["Name"]]
        for metric in space["Metrics"]:
            assert isinstance(line[metric["Name"]], int | float)
            units[metric["Name"]] = metric["Unit"]
    assert units == {
        "Wakes": "Count",
        "MinutesAsleep": "None",
        "WaitingAnswers": "Count",
        "ColdStartSeconds": "Seconds",
    }
