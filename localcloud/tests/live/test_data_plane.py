"""The local cloud's moving parts against AWS's documentation: real sockets, real processes."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import urllib3
from botocore.exceptions import ClientError

from localcloud.client import LocalCloud
from localcloud.tests.live.estate import (
    Estate,
    Running,
    Site,
    a_service_behind,
    a_site,
    ask,
    define,
    fixed,
    to,
)

pytestmark = pytest.mark.cloud

# --- the load balancer ---------------------------------------------------------------------------


def test_a_request_reaches_the_task_as_sent_with_the_forwarding_headers(service: Running) -> None:
    """HTTP headers and Application Load Balancers."""
    answer = ask(
        service.site.url + "/a%20b/c?flag&x=%C3%A4&x=2",
        "POST",
        body=b"hello",
        headers={"X-Forwarded-For": "203.0.113.7", "X-Amzn-Trace-Id": "Root=1-67891233-abc"},
    )
    seen = answer.json()
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert answer.status == 200
    assert (seen["path"], seen["body"]) == ("/a%20b/c?flag&x=%C3%A4&x=2", "hello")
    assert headers["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", "80")
    assert headers["x-amzn-trace-id"].startswith("Self=1-")
    assert headers["x-amzn-trace-id"].endswith(";Root=1-67891233-abc")
    assert answer.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


def test_a_body_over_one_megabyte_reaches_a_task(service: Running) -> None:
    answer = ask(service.site.url + "/", "POST", body=b"x" * 2_000_000)
    assert len(answer.json()["body"]) == 2_000_000


def test_head_has_no_body_and_statuses_pass_through(service: Running) -> None:
    head = ask(service.site.url + "/", "HEAD")
    assert (head.status, head.data) == (200, b"")
    assert ask(service.site.url + "/status/418").status == 418
    assert ask(service.site.url + "/status/204").status == 204


def test_a_task_that_breaks_off_gives_502(service: Running) -> None:
    """Troubleshoot your Application Load Balancers: HTTP 502."""
    assert ask(service.site.url + "/rude").status == 502


def test_a_target_on_which_nobody_listens_gives_502(site: Site) -> None:
    group = site.group(Port=9)  # the discard port, on which nobody listens
    site.rule(1, to(group))
    site.estate.client("elbv2").register_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1"}]
    )
    assert ask(site.url).status == 502


def test_a_silent_target_gives_504_after_the_idle_timeout(service: Running) -> None:
    """Connection idle timeout; HTTP 504."""
    elbv2 = service.site.estate.client("elbv2")
    for timeout, takes, status in (("2", 30, 504), ("60", 3, 200)):
        attribute = {"Key": "idle_timeout.timeout_seconds", "Value": timeout}
        elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=service.site.arn, Attributes=[attribute]
        )
        service.site.estate.cloud.settle()
        assert ask(service.site.url + f"/slow?seconds={takes}").status == status


def test_a_group_without_targets_gives_503_and_is_not_replaced_by_another(
    service: Running, site: Site
) -> None:
    """Troubleshoot: HTTP 503. A group with targets beside it, at weight 0, changes nothing."""
    site.rule(1, to(site.group(), service.group, weights=(1, 0)))
    answers = [ask(site.url) for _ in range(5)]
    assert {answer.status for answer in answers} == {503}
    assert answers[0].headers["Server"] == "awselb/2.0"


def test_weights_choose_the_group_before_anybody_looks_for_targets(
    service: Running, site: Site
) -> None:
    """Forward actions: an empty group does not fail over to the other one, whatever its weight."""
    site.rule(1, to(site.group(), service.group))
    statuses = {ask(site.url).status for _ in range(30)}
    assert statuses - {404} == {200, 503}  # 404 of a node that has not heard of the rule yet


def test_a_priority_that_is_taken_is_refused_and_a_free_one_moves_one_rule(site: Site) -> None:
    """SetRulePriorities: PriorityInUse; the conditions of two rules may be the same."""
    elbv2 = site.estate.client("elbv2")
    first, second = site.rule(10, fixed(201)), site.rule(20, fixed(202))
    with pytest.raises(ClientError, match="PriorityInUse"):
        site.rule(10, fixed(203))
    with pytest.raises(ClientError, match="PriorityInUse"):
        elbv2.set_rule_priorities(RulePriorities=[{"RuleArn": second, "Priority": 10}])
    elbv2.set_rule_priorities(RulePriorities=[{"RuleArn": second, "Priority": 9}])
    rules = elbv2.describe_rules(ListenerArn=site.listener)["Rules"]
    assert {rule["RuleArn"]: rule["Priority"] for rule in rules if not rule["IsDefault"]} == {
        first: "10",
        second: "9",
    }


def test_a_rules_number_over_50000_is_refused_by_every_call(site: Site) -> None:
    """CreateRule and RulePriorityPair: 50001 is what Terraform asks for after a rule at 50000."""
    elbv2 = site.estate.client("elbv2")
    rule = site.rule(50000, fixed(201))
    with pytest.raises(ClientError) as caught:
        site.rule(50001, fixed(202))
    assert caught.value.response["Error"] == {
        "Type": "Sender",
        "Code": "ValidationError",
        "Message": "1 validation error detected: Value '50001' at 'priority' failed to satisfy "
        "constraint: Member must have value less than or equal to 50000",
    }
    with pytest.raises(ClientError, match=r"Value '50001' at 'rulePriorities.1.member.priority'"):
        elbv2.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": 50001}])
    careless = site.estate.client("elbv2", parameter_validation=False)
    with pytest.raises(ClientError, match=r"ValidationError.*Value null at 'priority'"):
        careless.create_rule(ListenerArn=site.listener, Conditions=[], Actions=[fixed(203)])
    rules = elbv2.describe_rules(ListenerArn=site.listener)["Rules"]
    assert [each["Priority"] for each in rules] == ["50000", "default"]


def test_a_rule_is_described_with_its_values_in_both_places(site: Site) -> None:
    """RuleCondition: `Values` beside `HostHeaderConfig` and `PathPatternConfig`."""
    elbv2 = site.estate.client("elbv2")
    rule = site.rule(10, fixed(201), path=["/a"], host=["a.example.com"])
    both = [
        {"Field": "path-pattern", "Values": ["/a"], "PathPatternConfig": {"Values": ["/a"]}},
        {
            "Field": "host-header",
            "Values": ["a.example.com"],
            "HostHeaderConfig": {"Values": ["a.example.com"]},
        },
    ]
    assert elbv2.describe_rules(RuleArns=[rule])["Rules"][0]["Conditions"] == both
    reply = elbv2.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": 11}])
    assert reply["Rules"][0]["Conditions"] == both


def test_regular_expressions_and_transforms_are_described_as_written(site: Site) -> None:
    """CreateRule and ModifyRule; a rule takes what its regular expressions match."""
    elbv2 = site.estate.client("elbv2")
    versions = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/v[12]/"]}}
    rewrite = {"Regex": "^/v1/", "Replace": "/"}
    transform = {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [rewrite]}}
    [made] = elbv2.create_rule(
        ListenerArn=site.listener,
        Priority=10,
        Conditions=[versions],
        Actions=[fixed(201)],
        Transforms=[transform],
    )["Rules"]
    rule = made["RuleArn"]

    def described() -> dict[str, Any]:
        return dict(elbv2.describe_rules(RuleArns=[rule])["Rules"][0])

    assert (made["Conditions"], made["Transforms"]) == ([versions], [transform])
    assert described() == made
    site.estate.cloud.settle()
    assert [ask(site.url + path).status for path in ("/v1/x", "/v3/x")] == [201, 404]
    elbv2.modify_rule(RuleArn=rule, Actions=[fixed(202)])
    assert (described()["Conditions"], described()["Transforms"]) == ([versions], [transform])
    elbv2.modify_rule(RuleArn=rule, ResetTransforms=True)
    assert "Transforms" not in described()
    plain = {"Field": "path-pattern", "Values": ["/v3/*"]}
    elbv2.modify_rule(RuleArn=rule, Conditions=[plain], Transforms=[transform])
    assert described()["Conditions"] == [{**plain, "PathPatternConfig": {"Values": ["/v3/*"]}}]
    assert described()["Transforms"] == [transform]
    site.estate.cloud.settle()
    assert [ask(site.url + path).status for path in ("/v1/x", "/v3/x")] == [404, 202]


def test_rules_over_a_quota_are_refused(site: Site) -> None:
    """Quotas for your Application Load Balancers."""
    with pytest.raises(ClientError, match="A rule can only have '5' condition values"):
        site.rule(1, fixed(201), path=["/a", "/b", "/c"], host=["a", "b", "c"])
    rule = site.rule(1, fixed(201))
    condition = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*/*/*/*/*/*"]}}
    with pytest.raises(ClientError, match="A rule can only have '5' condition wildcards"):
        site.estate.client("elbv2").modify_rule(RuleArn=rule, Conditions=[condition])
    with pytest.raises(ClientError, match="NotFound"):
        replace(site, listener=site.listener.replace("/app/", "/app/x")).rule(2, fixed(201))


def test_a_silent_function_is_cut_by_the_idle_timeout_where_the_setting_says_so(
    site: Site,
) -> None:
    """Nobody has shown which of the two the real one does: both can be had."""
    cloud, elbv2 = site.estate.cloud, site.estate.client("elbv2")
    site.rule(1, to(site.function_group(site.estate.function())))
    attribute = {"Key": "idle_timeout.timeout_seconds", "Value": "1"}
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=site.arn, Attributes=[attribute])
    cloud.settle()
    try:
        for cuts, status in ((False, 200), (True, 504)):
            cloud.settings(elb={"idle_timeout_cuts_lambda": cuts})
            assert ask(site.url + "/?how=slow").status == status
    finally:
        cloud.settings(elb={"idle_timeout_cuts_lambda": False})


def test_rules_are_taken_by_priority_and_by_all_their_conditions(site: Site) -> None:
    assert ask(site.url).data == b"nothing here"
    site.rule(30, fixed(203, "all"))
    site.rule(20, fixed(202, "host"), host=["*.example.com"], path=["/x*"])
    site.rule(10, fixed(201, "post"), method=["POST"])

    def status(path: str, host: str, method: str = "GET") -> int:
        return ask(site.url + path, method, headers={"Host": host}).status

    assert status("/xyz", "App.Example.com:8080") == 202
    assert status("/xyz?q", "example.org") == 203
    assert status("/y", "app.example.com") == 203
    assert status("/xyz", "app.example.com", "POST") == 201


def test_a_swap_of_priorities_reaches_one_node_after_the_other(site: Site) -> None:
    """Two rules with the same conditions; for a moment both answers are possible."""
    cloud = site.estate.cloud
    site.rule(10, fixed(201), path=["/*"])
    other = site.rule(20, fixed(202), path=["/*"])
    cloud.settings(elb={"propagation_seconds": [60, 6000]})
    try:
        site.estate.client("elbv2").set_rule_priorities(
            RulePriorities=[{"RuleArn": other, "Priority": 5}]
        )
        assert [ask(site.url).status for _ in range(4)] == [201] * 4
        cloud.advance(60)
        assert sorted(ask(site.url).status for _ in range(4)) == [201, 201, 202, 202]
        cloud.set_speed(1000)
        cloud.settle()
        assert [ask(site.url).status for _ in range(4)] == [202] * 4
    finally:
        cloud.set_speed(1)
        cloud.settings(elb={"propagation_seconds": [0.3, 0.8]})


def test_a_request_in_flight_goes_on_while_its_rule_is_shadowed(
    own_service: Running, tmp_path: Path
) -> None:
    site, over = own_service.site, tmp_path / "over"
    with ThreadPoolExecutor() as pool:
        flying = pool.submit(ask, site.url + f"/when?there={over}")
        site.estate.wait(lambda: (tmp_path / "over.asked").exists())
        site.rule(1, fixed(201))
        assert ask(site.url).status == 201
        assert not flying.done()
        over.touch()
        assert flying.result().data == b"slow"


def test_a_redirect_fills_in_its_placeholders(site: Site) -> None:
    """Redirect actions."""
    config = {"Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "StatusCode": "HTTP_301",
              "Path": "/new/#{path}", "Query": "#{query}&r=1"}  # fmt: skip
    site.rule(1, {"Type": "redirect", "RedirectConfig": config})
    answer = ask(site.url + "/a/b?x=1", headers={"Host": "app.example.com"})
    assert answer.status == 301
    assert answer.headers["Location"] == "https://app.example.com:443/new/a/b?x=1&r=1"


def test_a_websocket_talks_to_the_task(service: Running) -> None:
    async def talk() -> tuple[str | None, str, bytes, int | None]:
        url = service.site.url.replace("http", "ws", 1) + "/ws"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, protocols=["chat", "other"]) as socket,
        ):
            await socket.send_str("hello")
            text = await socket.receive_str()
            await socket.send_bytes(b"abc")
            return socket.protocol, text, await socket.receive_bytes(), socket.close_code

    assert asyncio.run(talk()) == ("chat", "HELLO", b"cba", None)


# --- target health -------------------------------------------------------------------------------


class Checked:
    """A target on a port of this process: answers checks with `status`, and counts them."""

    def __init__(self) -> None:
        self.status, self.checks, self.agents = 200, 0, set[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.checks += self.path == "/health"
                outer.agents.add(self.headers["User-Agent"])
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def checked() -> Iterator[Checked]:
    """A target whose health the test decides."""
    target = Checked()
    yield target
    target.server.shutdown()
    target.server.server_close()


def registered(site: Site, checked: Checked) -> str:
    """A group with that one target."""
    group = site.group()
    site.estate.client("elbv2").register_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": checked.port}]
    )
    return group


def test_a_target_is_unused_and_unchecked_until_a_rule_uses_its_group(
    site: Site, checked: Checked
) -> None:
    """TargetHealth: Target.NotInUse."""
    group = registered(site, checked)
    site.estate.cloud.advance(20, speed=20)
    assert (site.states(group), checked.checks) == (["unused"], 0)
    health = site.estate.client("elbv2").describe_target_health(TargetGroupArn=group)
    assert health["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"] == "Target.NotInUse"
    site.rule(1, to(group))
    site.estate.wait(lambda: site.states(group) == ["healthy"])
    assert checked.agents == {"ELB-HealthChecker/2.0"}


def test_the_first_passed_check_makes_a_new_target_healthy_whatever_the_threshold(
    site: Site, checked: Checked
) -> None:
    """Health checks for target groups; the group's threshold is five."""
    group = site.group()
    site.rule(1, to(group))
    site.estate.client("elbv2").register_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": checked.port}]
    )
    assert site.states(group) == ["initial"]
    site.estate.wait(lambda: site.states(group) == ["healthy"], speed=5)
    assert checked.checks == 1


def test_a_group_that_says_nothing_is_checked_every_thirty_seconds(
    site: Site, checked: Checked
) -> None:
    """Health checks for target groups: the defaults, and five seconds at least."""
    elbv2, estate = site.estate.client("elbv2"), site.estate
    plain = {"Protocol": "HTTP", "Port": 80, "VpcId": estate.vpc, "TargetType": "ip"}
    [group] = elbv2.create_target_group(
        Name=estate.name(), HealthCheckPath="/health", **plain
    )["TargetGroups"]  # fmt: skip
    assert [
        group[name]
        for name in (
            "HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds", "HealthyThresholdCount",
            "UnhealthyThresholdCount",
        )
    ] == [30, 5, 5, 2]  # fmt: skip
    attributes = elbv2.describe_target_group_attributes(TargetGroupArn=group["TargetGroupArn"])
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "300"}
    assert delay in attributes["Attributes"]
    unchecked = estate.client("elbv2", parameter_validation=False)
    with pytest.raises(ClientError, match="HealthCheckIntervalSeconds must be between 5 and 300"):
        unchecked.create_target_group(Name="soon", HealthCheckIntervalSeconds=4, **plain)
    site.rule(1, to(group["TargetGroupArn"]))
    elbv2.register_targets(
        TargetGroupArn=group["TargetGroupArn"],
        Targets=[{"Id": "127.0.0.1", "Port": checked.port}],
    )
    estate.wait(lambda: checked.checks == 1, speed=5)
    assert estate.wait(lambda: checked.checks == 2) >= 25


def test_thresholds_count_consecutive_checks_and_with_none_healthy_all_are_sent_to(
    site: Site, checked: Checked
) -> None:
    """Fail open: a group of unhealthy targets only is sent to all the same."""
    group = registered(site, checked)
    site.rule(1, to(group))
    site.estate.wait(lambda: site.states(group) == ["healthy"])
    checked.status, before = 500, checked.checks
    site.estate.wait(lambda: site.states(group) == ["unhealthy"], speed=10)
    assert checked.checks - before == 2
    health = site.estate.client("elbv2").describe_target_health(TargetGroupArn=group)
    assert health["TargetHealthDescriptions"][0]["TargetHealth"] == {
        "State": "unhealthy",
        "Reason": "Target.ResponseCodeMismatch",
        "Description": "Health checks failed with these codes: [500]",
    }
    assert ask(site.url + "/").status == 500
    checked.status, before = 200, checked.checks
    site.estate.wait(lambda: site.states(group) == ["healthy"], speed=10)
    assert checked.checks - before == 5


def test_a_draining_target_gets_no_new_requests_and_finishes_those_it_has(
    own_service: Running, tmp_path: Path
) -> None:
    """Deregistration delay."""
    site, group = own_service.site, own_service.group
    elbv2, over = site.estate.client("elbv2"), tmp_path / "over"
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "900"}
    elbv2.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
    longer = {"Key": "idle_timeout.timeout_seconds", "Value": "4000"}
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=site.arn, Attributes=[longer])
    site.estate.cloud.settle()
    target = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]
    with ThreadPoolExecutor() as pool:
        short = pool.submit(ask, site.url + f"/when?there={over}")
        long = pool.submit(ask, site.url + f"/when?there={tmp_path / 'never'}")
        site.estate.wait(lambda: len(list(tmp_path.glob("*.asked"))) == 2)
        elbv2.deregister_targets(TargetGroupArn=group, Targets=[target["Target"]])
        assert site.states(group) == ["draining"]
        assert ask(site.url).status == 503
        over.touch()
        assert short.result().data == b"slow"
        assert site.states(group) == ["draining"]
        site.estate.wait(lambda: site.states(group) == [], speed=120)
        with pytest.raises(urllib3.exceptions.HTTPError):
            pytest.fail(f"answered {long.result().status}")  # it is cut when the delay is over
    reply = elbv2.describe_target_health(TargetGroupArn=group, Targets=[target["Target"]])
    health = reply["TargetHealthDescriptions"][0]["TargetHealth"]
    assert (health["State"], health["Reason"]) == ("unused", "Target.NotRegistered")


# --- functions as targets ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def function(estate: Estate) -> str:
    """The test function's ARN."""
    return estate.function()


@pytest.fixture(scope="module")
def function_site(estate: Estate, function: str) -> Site:
    """A load balancer whose every request goes to the function; /multi with multi-value headers."""
    site = a_site(estate)
    site.rule(1, to(site.function_group(function, multi_value=True)), path=["/multi*"])
    site.rule(2, to(site.function_group(function)))
    return site


def test_a_function_gets_the_documented_event(function_site: Site) -> None:
    """Lambda functions as targets: last value wins, nothing URL-decoded, names in lower case."""
    headers = urllib3.HTTPHeaderDict({"X-Thing": "one", "Content-Type": "application/json"})
    headers.add("x-thing", "two")
    url = function_site.url + "/p%20q?a=1&a=%20x&flag"
    event = ask(url, "PUT", body=b'{"k": 1}', headers=headers).json()
    assert set(event) == {
        "requestContext", "httpMethod", "path", "queryStringParameters", "headers", "body",
        "isBase64Encoded",
    }  # fmt: skip
    assert ":targetgroup/" in event["requestContext"]["elb"]["targetGroupArn"]
    assert (event["httpMethod"], event["path"]) == ("PUT", "/p%20q")
    assert event["queryStringParameters"] == {"a": "%20x", "flag": ""}
    assert event["headers"]["x-thing"] == "two"
    assert event["headers"]["x-forwarded-proto"] == "http"
    assert all(name == name.lower() for name in event["headers"])
    assert (event["body"], event["isBase64Encoded"]) == ('{"k": 1}', False)


def test_a_function_gets_only_multi_value_fields_where_the_group_says_so(
    function_site: Site,
) -> None:
    headers = urllib3.HTTPHeaderDict({"X-Thing": "one"})
    headers.add("x-thing", "two")
    answer = ask(function_site.url + "/multi?a=1&a=2", headers=headers)
    event = answer.json()
    assert event["multiValueHeaders"]["x-thing"] == ["one", "two"]
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
    assert "headers" not in event
    assert "queryStringParameters" not in event
    assert answer.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [("text/plain; charset=utf-8", False), ("application/xml", False), ("image/png", True)],
)
def test_a_binary_body_reaches_a_function_in_base64(
    function_site: Site, kind: str, encoded: bool
) -> None:
    event = ask(function_site.url, "POST", body=b"abc", headers={"Content-Type": kind}).json()
    assert (event["isBase64Encoded"], event["body"]) == (encoded, "YWJj" if encoded else "abc")


def test_a_function_can_answer_with_binary_and_with_a_reason(function_site: Site) -> None:
    answer = ask(function_site.url + "/?how=binary")
    assert (answer.status, answer.reason, answer.data) == (201, "Made", b"\x89PNG")


@pytest.mark.parametrize("how", ["fail", "malformed", "big"])
def test_a_function_that_fails_or_answers_nonsense_gives_502(function_site: Site, how: str) -> None:
    """Troubleshoot: HTTP 502; the answer's limit is 1 MB."""
    assert ask(function_site.url + f"/?how={how}").status == 502


def test_a_large_body_or_a_websocket_never_reaches_a_function(
    function_site: Site, function: str
) -> None:
    """413 over 1 MB, 400 for an upgrade to WebSocket."""

    def invocations() -> int:
        # an invocation is over before its client has the answer, and written to the log later
        name = function.rpartition(":")[2]
        return sum(run["function"] == name for run in function_site.estate.cloud.runs())

    before = invocations()
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert ask(function_site.url, headers=upgrade).status == 400
    assert ask(function_site.url, "POST", body=b"x" * 1_048_577).status == 413
    assert invocations() == before
    assert ask(function_site.url, "POST", body=b"x" * 700_000).status == 200
    assert invocations() == before + 1


def test_a_function_is_no_target_before_the_load_balancer_may_invoke_it(site: Site) -> None:
    elbv2, function = site.estate.client("elbv2"), site.estate.function()
    reply = elbv2.create_target_group(Name=site.estate.name(), TargetType="lambda")
    group = reply["TargetGroups"][0]["TargetGroupArn"]
    with pytest.raises(ClientError, match="does not have permission to invoke"):
        elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": function}])


def test_a_throttled_or_forbidden_function_gives_502(site: Site) -> None:
    function = site.estate.function()
    site.rule(1, to(site.function_group(function)))
    assert ask(site.url).status == 200
    client = site.estate.client("lambda")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    assert ask(site.url).status == 502
    client.delete_function_concurrency(FunctionName=function)
    assert ask(site.url).status == 200
    statements = json.loads(client.get_policy(FunctionName=function)["Policy"])["Statement"]
    client.remove_permission(FunctionName=function, StatementId=statements[0]["Sid"])
    assert ask(site.url).status == 502


def test_a_functions_target_is_not_health_checked_unless_asked(function_site: Site) -> None:
    elbv2 = function_site.estate.client("elbv2")
    groups = elbv2.describe_target_groups(LoadBalancerArn=function_site.arn)["TargetGroups"]
    assert [group["HealthCheckEnabled"] for group in groups] == [False, False]
    assert function_site.states(groups[0]["TargetGroupArn"]) == ["unavailable"]


# --- ECS -----------------------------------------------------------------------------------------


def facts(tasks: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """The named fields of each task."""
    return [tuple(task.get(name) for name in names) for task in tasks]


def targets(service: Running) -> list[str]:
    """The states of the service's targets."""
    return service.site.states(service.group)


def gone(service: Running) -> bool:
    """Whether every task of the service has stopped."""
    return {task["lastStatus"] for task in service.tasks("STOPPED")} == {"STOPPED"}


def test_a_cold_start_goes_through_the_documented_stages(service: Running) -> None:
    """Amazon ECS task lifecycle; times of the settings: 2, 3 and 1 s."""
    [task] = service.tasks()
    names = ("createdAt", "connectivityAt", "pullStartedAt", "pullStoppedAt", "startedAt")
    moments = [task[name].timestamp() for name in names]
    assert moments == sorted(moments)
    assert moments[1] - moments[0] >= 2
    assert moments[3] - moments[2] >= 3
    assert moments[4] - moments[3] >= 1
    assert task["group"] == f"service:{service.name}"
    shape = service.describe()
    assert task["startedBy"] == shape["deployments"][0]["id"]
    assert (shape["desiredCount"], shape["runningCount"], shape["pendingCount"]) == (1, 1, 0)
    assert shape["healthCheckGracePeriodSeconds"] == 30
    assert shape["deployments"][0]["rolloutState"] == "COMPLETED"
    assert shape["events"][0]["message"].endswith("has reached a steady state.")


def test_a_service_goes_to_zero_by_way_of_a_target_that_still_looks_healthy(
    own_service: Running,
) -> None:
    """Stopping at once is wanted at once; the target follows, drains, then SIGTERM."""
    service, estate = own_service, own_service.site.estate
    [before] = service.tasks()
    estate.cloud.settings(ecs={"stop_stale_seconds": 60})  # so long a busy machine may look
    began = estate.cloud.now()
    service.count(0)
    assert service.tasks() == []
    [task] = service.tasks("STOPPED")
    assert (task["desiredStatus"], task["lastStatus"]) == ("STOPPED", "RUNNING")
    assert targets(service) == ["healthy"]
    assert ask(service.site.url).status == 200
    assert service.describe()["desiredCount"] == service.describe()["runningCount"] == 0
    estate.wait(lambda: targets(service) == ["draining"], speed=20)
    assert estate.cloud.now() - began >= 60
    assert service.tasks("STOPPED")[0]["lastStatus"] == "DEACTIVATING"
    assert ask(service.site.url).status == 503
    estate.wait(lambda: gone(service))
    [task] = service.tasks("STOPPED")
    assert task["stoppedAt"].timestamp() - began >= 70  # 60 s stale, 10 s draining
    assert task["taskArn"] == before["taskArn"]
    assert task["stopCode"] == "ServiceSchedulerInitiated"
    assert task["stoppedReason"].startswith("Scaling activity initiated by (deployment ecs-svc/")
    assert task["containers"][0]["exitCode"] in (0, 143)
    assert targets(service) == []


def test_the_count_set_again_starts_a_new_task_without_a_deployment(own_service: Running) -> None:
    service, estate = own_service, own_service.site.estate
    deployment = service.describe()["deployments"][0]["id"]
    service.count(0)
    service.count(1)
    assert len(service.tasks()) == 1
    assert len(service.tasks("STOPPED")) == 1
    estate.wait(lambda: "draining" not in targets(service) and "healthy" in targets(service))
    assert [each["id"] for each in service.describe()["deployments"]] == [deployment]


def test_a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout(
    own_service: Running, tmp_path: Path
) -> None:
    """Amazon ECS task lifecycle: SIGTERM, then SIGKILL after `stopTimeout`; not before it."""
    service, estate, over = own_service, own_service.site.estate, tmp_path / "over"
    busy = f"""
import os, signal, time
from http.server import BaseHTTPRequestHandler, HTTPServer

def finish(*_):
    while not os.path.exists({str(over)!r}):
        time.sleep(0.02)
    os._exit(0)

signal.signal(signal.SIGTERM, finish)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), BaseHTTPRequestHandler).serve_forever()
"""

    def exit_code(stop_timeout: int, stopping: Callable[[], object]) -> int:
        """Of a task that ends when `over` is there; `stopping` is called when it has to stop."""
        service.count(0)
        estate.wait(lambda: gone(service))
        made = define(
            estate, service.name, stopTimeout=stop_timeout, command=["python", "-c", busy]
        )
        service.ecs.update_service(
            cluster=service.cluster, service=service.name, taskDefinition=made, desiredCount=1
        )
        estate.wait(lambda: facts(service.tasks(), "lastStatus") == [("RUNNING",)])
        [arn] = [task["taskArn"] for task in service.tasks()]
        service.count(0)

        def task() -> dict[str, Any]:
            return next(each for each in service.tasks("STOPPED") if each["taskArn"] == arn)

        estate.wait(lambda: task()["lastStatus"] in ("STOPPING", "STOPPED"))
        stopping()
        estate.wait(lambda: task()["lastStatus"] == "STOPPED")
        return int(task()["containers"][0]["exitCode"])

    assert exit_code(2, lambda: None) == 137
    assert exit_code(120, over.touch) == 0


def test_reads_can_be_stale(own_service: Running) -> None:
    """The Amazon ECS API follows an eventual consistency model."""
    service, estate = own_service, own_service.site.estate
    estate.cloud.settings(ecs={"read_stale_seconds": 60})  # so long a busy machine may look
    service.count(0)
    assert (service.describe()["desiredCount"], len(service.tasks())) == (1, 1)
    estate.wait(lambda: (service.describe()["desiredCount"], len(service.tasks())) == (0, 0))


def test_a_rolling_deployment_keeps_a_healthy_task_all_along(own_service: Running) -> None:
    """Deploy Amazon ECS services by replacing tasks (100 and 200 percent)."""
    service, estate = own_service, own_service.site.estate
    second = define(estate, service.name, "second")
    service.ecs.update_service(cluster=service.cluster, service=service.name, taskDefinition=second)
    shape = service.describe()
    assert [each["status"] for each in shape["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert [each["rolloutState"] for each in shape["deployments"]] == ["IN_PROGRESS", "COMPLETED"]
    assert (shape["runningCount"], shape["pendingCount"]) == (1, 1)
    seen = set()

    def finished() -> bool:
        answer = ask(service.site.url)
        assert answer.status == 200
        seen.add(answer.json()["task"])
        return bool(service.describe()["deployments"][0]["rolloutState"] == "COMPLETED")

    estate.wait(finished, speed=3)
    assert seen >= {"first"}
    estate.wait(lambda: ask(service.site.url).json()["task"] == "second")
    shape = service.describe()
    assert len(shape["deployments"]) == 1
    assert shape["taskDefinition"] == second


def test_a_deployment_to_a_service_at_zero_completes_at_once(own_service: Running) -> None:
    service = own_service
    service.count(0)
    service.ecs.update_service(
        cluster=service.cluster, service=service.name, forceNewDeployment=True
    )
    [deployment] = service.describe()["deployments"]
    assert (deployment["rolloutState"], deployment["desiredCount"]) == ("COMPLETED", 0)
    assert service.tasks() == []


def deploy_with_breaker(service: Running) -> None:
    """A deployment that the circuit breaker ends, without a rollback."""
    service.ecs.update_service(
        cluster=service.cluster,
        service=service.name,
        forceNewDeployment=True,
        deploymentConfiguration={
            "deploymentCircuitBreaker": {"enable": True, "rollback": False},
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
        },
    )


def test_a_broken_image_deployed_at_zero_fails_at_the_next_wake_and_no_breaker_watches(
    own_service: Running,
) -> None:
    """Deployment circuit breaker: it watches deployments, and this one is complete."""
    service, estate = own_service, own_service.site.estate
    service.count(0)
    deploy_with_breaker(service)
    heard = listen(service)
    estate.cloud.settings(ecs={"failure": "image"})
    service.count(1)
    estate.wait(lambda: "SERVICE_TASK_START_IMPAIRED" in named(heard()))
    [deployment] = service.describe()["deployments"]
    assert (deployment["rolloutState"], deployment["failedTasks"]) == ("COMPLETED", 3)
    [impaired] = [event for event in heard() if "IMPAIRED" in str(event["detail"])]
    assert impaired["detail-type"] == "ECS Service Action"
    assert impaired["detail"]["eventType"] == "WARN"


def passed(cloud: LocalCloud, moment: float) -> bool:
    """Whether virtual time is past that moment."""
    return cloud.now() > moment


def test_a_deployment_that_the_breaker_failed_starts_no_tasks_any_more(
    own_service: Running,
) -> None:
    """Deployment circuit breaker without rollback: three failed tasks, whatever the count."""
    service, estate = own_service, own_service.site.estate
    heard = listen(service)
    estate.cloud.settings(ecs={"failure": "image"})
    deploy_with_breaker(service)
    estate.wait(lambda: service.describe()["deployments"][0]["rolloutState"] == "FAILED")
    failed = service.describe()["deployments"][0]
    assert (failed["status"], failed["failedTasks"]) == ("PRIMARY", 3)
    said = "tasks failed to start."
    assert failed["rolloutStateReason"] == f"ECS deployment circuit breaker: {said}"
    assert any(
        event["message"].endswith(f"(deployment {failed['id']}) deployment failed: {said}")
        for event in service.describe()["events"]
    )
    estate.wait(lambda: "SERVICE_DEPLOYMENT_FAILED" in named(heard()))
    estate.cloud.settings(ecs={"failure": None})
    for count in (0, 2):
        service.count(count)
        until = estate.cloud.now() + 120
        estate.wait(partial(passed, estate.cloud, until), speed=60)
        ours = [task for task in service.tasks() if task["startedBy"] == failed["id"]]
        assert ours == []
    assert service.describe()["deployments"][0]["rolloutState"] == "FAILED"
    service.ecs.update_service(
        cluster=service.cluster, service=service.name, forceNewDeployment=True
    )
    estate.wait(lambda: service.describe()["deployments"][0]["rolloutState"] == "COMPLETED")
    assert service.describe()["runningCount"] == 2


def test_tasks_that_fail_their_health_checks_trip_the_breaker_too(site: Site) -> None:
    """How the circuit breaker detects failures: stage 2, health checks."""
    group = site.group(UnhealthyThresholdCount=2)
    site.rule(10, to(group))
    site.estate.cloud.settings(ecs={"failure": "unhealthy"})
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    with a_service_behind(
        site, group, healthCheckGracePeriodSeconds=0, deploymentConfiguration=breaker
    ) as service:
        site.estate.wait(lambda: service.describe()["deployments"][0]["rolloutState"] == "FAILED")
        assert service.describe()["deployments"][0]["failedTasks"] == 3


def an_instance(estate: Estate, cluster: str) -> str:
    """Start an EC2 instance that joins the cluster; returns its id."""
    join = f"#!/bin/bash\necho ECS_CLUSTER={cluster} >> /etc/ecs/ecs.config\n"
    reply = estate.client("ec2").run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, UserData=join
    )
    identity = str(reply["Instances"][0]["InstanceId"])
    ecs = estate.client("ecs")
    estate.wait(lambda: ecs.list_container_instances(cluster=cluster)["containerInstanceArns"])
    return identity


def target_ids(service: Running) -> list[tuple[str, int]]:
    """The ids and ports of the service's healthy targets."""
    elbv2 = service.site.estate.client("elbv2")
    reply = elbv2.describe_target_health(TargetGroupArn=service.group)
    return [
        (each["Target"]["Id"], each["Target"]["Port"])
        for each in reply["TargetHealthDescriptions"]
        if each["TargetHealth"]["State"] == "healthy"
    ]


@pytest.mark.parametrize(
    ("network", "host_port"), [("bridge", 0), ("bridge", 8081), ("host", 8080)]
)
def test_a_task_on_ec2_is_a_target_by_its_instance_and_host_port(
    site: Site, network: str, host_port: int
) -> None:
    """Load balancing and "Task definition parameters": bridge and host network mode."""
    estate = site.estate
    group = site.group(TargetType="instance")
    site.rule(10, to(group))
    with a_service_behind(site, group, network, host_port if network == "bridge" else 0) as service:
        identity = an_instance(estate, service.cluster)
        estate.wait(lambda: target_ids(service))
        [task] = service.tasks()
        [binding] = task["containers"][0]["networkBindings"]
        assert binding["containerPort"] == 8080
        assert binding["hostPort"] == host_port or (host_port == 0 and binding["hostPort"] > 32767)
        assert target_ids(service) == [(identity, binding["hostPort"])]
        assert task["attachments"] == []
        assert task["containers"][0].get("networkInterfaces", []) == []
        assert (task["launchType"], "platformVersion" in task) == ("EC2", False)
        [arn] = service.ecs.list_container_instances(cluster=service.cluster)[
            "containerInstanceArns"
        ]
        assert task["containerInstanceArn"] == arn
        assert "networkConfiguration" not in service.describe()
        answer = ask(site.url + "/x")
        assert (answer.status, answer.json()["path"]) == (200, "/x")


def test_two_tasks_of_one_instance_are_two_targets_and_go_one_by_one(site: Site) -> None:
    """Dynamic host ports: a deployment's tasks stand on the same instance beside the old ones."""
    estate = site.estate
    group = site.group(TargetType="instance")
    site.rule(10, to(group))
    with a_service_behind(site, group, "bridge", desiredCount=2) as service:
        identity = an_instance(estate, service.cluster)
        estate.wait(lambda: len(target_ids(service)) == 2)
        assert {each for each, _ in target_ids(service)} == {identity}
        service.count(1)
        estate.wait(lambda: gone(service) and targets(service) == ["healthy"])
        service.count(0)
        estate.wait(lambda: gone(service) and targets(service) == [])
        assert ask(site.url).status == 503


def test_without_room_on_a_container_instance_no_task_is_placed(site: Site) -> None:
    """Service event messages: no container instances; a fixed port that is taken."""
    estate = site.estate
    group = site.group(TargetType="instance")
    site.rule(10, to(group))

    def latest(service: Running) -> str:
        return str(service.describe()["events"][0]["message"])

    with a_service_behind(site, group, "bridge", 8081) as service:
        assert service.tasks() == []
        assert "No Container Instances were found in your cluster." in latest(service)
        first = an_instance(estate, service.cluster)
        estate.wait(lambda: target_ids(service) == [(first, 8081)])
        service.count(2)
        assert len(service.tasks()) == 1
        assert "is already using a port required by your task." in latest(service)
        estate.client("ec2").terminate_instances(InstanceIds=[first])
        ecs = service.ecs
        estate.wait(
            lambda: (
                not ecs.list_container_instances(cluster=service.cluster)["containerInstanceArns"]
            )
        )
        second = an_instance(estate, service.cluster)
        estate.wait(lambda: (second, 8081) in target_ids(service))


def test_a_task_is_a_target_of_an_ipv6_group_by_its_ipv6_address(site: Site) -> None:
    """Target groups: IP address type; `DescribeTasks` has the address in both places."""
    group = site.group(IpAddressType="ipv6")
    site.rule(10, to(group))
    with a_service_behind(site, group) as service:
        site.estate.wait(lambda: target_ids(service))
        [task] = service.tasks()
        details = {each["name"]: each["value"] for each in task["attachments"][0]["details"]}
        address = details["ipv6Address"]
        assert ipaddress.IPv6Address(address).compressed == address
        assert ipaddress.IPv4Address(details["privateIPv4Address"])
        [interface] = task["containers"][0]["networkInterfaces"]
        assert interface == {
            "privateIpv4Address": details["privateIPv4Address"],
            "ipv6Address": address,
        }
        assert target_ids(service) == [(address, 8080)]
        assert ask(site.url).status == 200


def test_a_service_gives_back_what_it_was_given(site: Site) -> None:
    """DescribeServices; a plan over these is never empty where one is lost."""
    given: dict[str, Any] = {
        "enableECSManagedTags": True,
        "propagateTags": "SERVICE",
        "enableExecuteCommand": True,
        "placementStrategy": [{"type": "spread", "field": "instanceId"}],
    }
    with a_service_behind(site, site.group(), desiredCount=0, **given) as service:
        shape = service.describe()
        assert {name: shape[name] for name in given} == given
        changes: dict[str, Any] = {
            "propagateTags": "TASK_DEFINITION",
            "enableECSManagedTags": False,
        }
        service.ecs.update_service(cluster=service.cluster, service=service.name, **changes)
        shape = service.describe()
        assert {name: shape[name] for name in given} == {**given, **changes}


def test_a_task_that_does_not_listen_on_the_port_it_was_given_is_told_so(
    own_service: Running,
) -> None:
    """The local cloud's own: the task's log and the listing of tasks say what is wrong."""
    service, estate = own_service, own_service.site.estate
    deaf = "import sys, time; sys.stdout.write('mine\\n'); sys.stdout.flush(); time.sleep(600)"
    definition = define(estate, service.name, command=["python", "-c", deaf])
    [before] = service.tasks()
    service.ecs.update_service(
        cluster=service.cluster, service=service.name, taskDefinition=definition
    )

    def ours() -> dict[str, Any]:
        return next(
            each
            for each in estate.cloud.tasks()
            if each["group"] == f"service:{service.name}" and each["taskArn"] != before["taskArn"]
        )

    estate.wait(lambda: ours()["warnings"], speed=5)
    [warning] = ours()["warnings"]
    assert warning.startswith("container app: nothing listens on 127.0.0.1:")
    assert "in PORT (and in PORT_8080): the program must listen there, and not on 8080" in warning
    log = Path(ours()["logs"]["app"]).read_text().splitlines()
    assert log == ["mine", f"local cloud: {warning}"]
    assert all(
        each["warnings"] == []
        for each in estate.cloud.tasks()
        if each["taskArn"] == before["taskArn"]
    )


def listen(service: Running) -> Callable[[], list[dict[str, Any]]]:
    """Hear the events of a service from now on; what is returned gives them so far."""
    estate, name = service.site.estate, service.site.estate.name()
    topic = estate.client("sns").create_topic(Name=name)["TopicArn"]
    events = estate.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.ecs"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": topic}])

    def heard() -> list[dict[str, Any]]:
        mails = [mail for mail in estate.cloud.mailbox() if mail["topic"] == topic]
        everything = [json.loads(mail["message"]) for mail in mails]
        return [event for event in everything if f"/{service.name}" in str(event["resources"])]

    return heard


def named(events: list[dict[str, Any]]) -> set[str]:
    """The `eventName` of each event that has one."""
    return {event["detail"]["eventName"] for event in events if "eventName" in event["detail"]}


def test_a_count_set_by_hand_sends_no_event_of_its_own(own_service: Running) -> None:
    """Amazon ECS events: of tasks, of deployments and of the scheduler, none of UpdateService."""
    service, estate = own_service, own_service.site.estate
    estate.wait(lambda: service.describe()["deployments"][0]["rolloutState"] == "COMPLETED")
    heard = listen(service)
    service.count(2)
    estate.wait(lambda: targets(service) == ["healthy"] * 2)
    service.count(0)
    estate.wait(lambda: gone(service))
    estate.wait(lambda: len(heard()) > 10)
    first = "SERVICE_DEPLOYMENT_COMPLETED"  # may be told a moment after it is seen
    assert named(heard()) <= {"SERVICE_STEADY_STATE", first}


def test_a_crashed_task_is_replaced_and_says_why(own_service: Running) -> None:
    service, estate = own_service, own_service.site.estate
    [task] = service.tasks()
    estate.cloud.stop_task(task["taskArn"])
    estate.wait(lambda: gone(service))
    [stopped] = service.tasks("STOPPED")
    assert (stopped["taskArn"], stopped["stopCode"], stopped["stoppedReason"]) == (
        task["taskArn"],
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert stopped["containers"][0]["exitCode"] == 137
    estate.wait(lambda: "healthy" in targets(service))


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        ("image", "TaskFailedToStart", "CannotPullContainerError"),
        ("exit", "EssentialContainerExited", "Essential container in task exited"),
        ("memory", "EssentialContainerExited", "Essential container in task exited"),
    ],
)
def test_a_start_fails_as_asked(own_service: Running, failure: str, code: str, reason: str) -> None:
    service, estate = own_service, own_service.site.estate
    service.count(0)
    old = [task["taskArn"] for task in service.tasks("STOPPED")]
    estate.cloud.settings(ecs={"failure": failure})
    service.count(1)

    def failed() -> list[dict[str, Any]]:
        return [task for task in service.tasks("STOPPED") if task["taskArn"] not in old]

    estate.wait(failed)
    task = failed()[0]
    assert task["stopCode"] == code
    assert task["stoppedReason"].startswith(reason)
    if failure == "memory":
        assert task["containers"][0]["reason"].startswith("OutOfMemoryError")
    estate.cloud.settings(ecs={"failure": None})
    estate.wait(lambda: service.describe()["runningCount"] == 1)


def test_without_capacity_no_task_is_placed(own_service: Running) -> None:
    """Service event messages: unable to place a task."""
    service, estate = own_service, own_service.site.estate
    service.count(0)
    heard = listen(service)
    estate.cloud.settings(ecs={"failure": "capacity"})
    service.count(1)
    assert service.tasks() == []
    assert "was unable to place a task" in service.describe()["events"][0]["message"]
    estate.wait(lambda: "SERVICE_TASK_PLACEMENT_FAILURE" in named(heard()))
    detail = next(event["detail"] for event in heard() if "PLACEMENT" in str(event["detail"]))
    assert (detail["eventType"], detail["reason"]) == ("ERROR", "RESOURCE:FARGATE")
    estate.cloud.settings(ecs={"failure": None})
    estate.wait(lambda: service.describe()["runningCount"] == 1)


def test_a_task_that_stays_unhealthy_is_replaced_after_the_grace_period(
    own_service: Running,
) -> None:
    """Grace 30 s, interval 5 s, threshold 2."""
    service, estate = own_service, own_service.site.estate
    service.count(0)
    estate.wait(lambda: gone(service))
    estate.cloud.settings(ecs={"failure": "unhealthy"})
    service.count(1)
    estate.wait(lambda: targets(service) == ["unhealthy"])
    [sick] = service.tasks()
    estate.wait(lambda: [task["taskArn"] for task in service.tasks()] != [sick["taskArn"]])
    [task] = [task for task in service.tasks("STOPPED") if task["taskArn"] == sick["taskArn"]]
    assert task["stoppedReason"].startswith("Task failed ELB health checks in (target-group ")
    assert (task["stoppingAt"] - task["startedAt"]).total_seconds() >= 30


def test_without_grace_a_booting_task_has_threshold_times_interval(own_service: Running) -> None:
    """Health check grace period: none here; interval 5 s, threshold 2."""
    service, estate = own_service, own_service.site.estate
    service.count(0)
    estate.wait(lambda: gone(service))
    service.ecs.update_service(
        cluster=service.cluster, service=service.name, healthCheckGracePeriodSeconds=0
    )
    estate.cloud.settings(ecs={"failure": "unhealthy"})
    service.count(1)
    old = [task["taskArn"] for task in service.tasks("STOPPED")]

    def stopped() -> list[dict[str, Any]]:
        return [task for task in service.tasks("STOPPED") if task["taskArn"] not in old]

    estate.wait(stopped, speed=5)
    task = stopped()[0]
    assert task["stoppedReason"].startswith("Task failed ELB health checks")
    assert (task["stoppingAt"] - task["startedAt"]).total_seconds() >= 4


def test_registering_a_scalable_target_pulls_the_count_into_its_bounds(
    own_service: Running,
) -> None:
    """RegisterScalableTarget, also if only to suspend; a minimum of 0 is admitted."""
    service = own_service
    scaling = service.site.estate.client("application-autoscaling")

    def register(**more: Any) -> int:
        scaling.register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{service.cluster}/{service.name}",
            ScalableDimension="ecs:service:DesiredCount",
            **more,
        )
        return int(service.describe()["desiredCount"])

    suspended = {"DynamicScalingInSuspended": True, "DynamicScalingOutSuspended": True,
                 "ScheduledScalingSuspended": True}  # fmt: skip
    service.count(0)
    assert register(MinCapacity=1, MaxCapacity=3) == 1
    assert register(MinCapacity=2, MaxCapacity=3) == 2
    assert register(MinCapacity=1, MaxCapacity=1) == 1
    service.count(0)
    assert service.describe()["desiredCount"] == 0
    assert register(SuspendedState=suspended) == 1
    assert register(MinCapacity=0, SuspendedState=suspended) == 1
    service.count(0)
    assert register(SuspendedState=suspended) == 0


def test_protection_withstands_a_count_set_by_hand_where_the_setting_says_so(
    own_service: Running,
) -> None:
    """Nobody has shown which of the two the real one does: both can be had."""
    service, estate = own_service, own_service.site.estate
    [task] = [each["taskArn"] for each in service.tasks()]
    service.ecs.update_task_protection(
        cluster=service.cluster, tasks=[task], protectionEnabled=True, expiresInMinutes=1
    )
    estate.cloud.settings(ecs={"protection_withstands_count": True})
    try:
        service.count(0)
        assert [each["taskArn"] for each in service.tasks()] == [task]
        assert estate.wait(lambda: not service.tasks()) > 50
    finally:
        estate.cloud.settings(ecs={"protection_withstands_count": False})
    service.count(1)
    estate.wait(lambda: facts(service.tasks(), "lastStatus") == [("RUNNING",)])
    service.ecs.update_task_protection(
        cluster=service.cluster,
        tasks=[each["taskArn"] for each in service.tasks()],
        protectionEnabled=True,
    )
    service.count(0)
    assert service.tasks() == []


def test_task_protection_is_told_and_ends(own_service: Running) -> None:
    service, estate = own_service, own_service.site.estate
    [task] = [each["taskArn"] for each in service.tasks()]
    service.ecs.update_task_protection(
        cluster=service.cluster, tasks=[task], protectionEnabled=True, expiresInMinutes=1
    )

    def protected() -> bool:
        reply = service.ecs.get_task_protection(cluster=service.cluster, tasks=[task])
        return bool(reply["protectedTasks"][0]["protectionEnabled"])

    assert protected()
    assert estate.wait(lambda: not protected()) > 50


def test_events_tell_of_a_tasks_states_and_of_the_service(own_service: Running) -> None:
    """Amazon ECS events: only the task's have a group, the others are told by `resources`."""
    service, estate = own_service, own_service.site.estate
    topic = estate.client("sns").create_topic(Name=service.name)["TopicArn"]
    events = estate.client("events")
    events.put_rule(Name=service.name, EventPattern=json.dumps({"source": ["aws.ecs"]}))
    events.put_targets(Rule=service.name, Targets=[{"Id": "1", "Arn": topic}])
    service.count(0)
    estate.wait(lambda: gone(service))
    service.count(1)
    estate.wait(lambda: "healthy" in targets(service))
    estate.wait(lambda: "SERVICE_STEADY_STATE" in str(estate.cloud.mailbox()))
    events.remove_targets(Rule=service.name, Ids=["1"])
    heard = [json.loads(mail["message"]) for mail in estate.cloud.mailbox()
             if mail["topic"] == topic]  # fmt: skip
    own = [event for event in heard if event["detail"].get("group") == f"service:{service.name}"]
    assert {event["detail-type"] for event in own} == {"ECS Task State Change"}
    own.sort(key=lambda event: (event["detail"]["createdAt"], event["detail"]["version"]))
    states = [event["detail"]["lastStatus"] for event in own]
    assert states == [
        "RUNNING",  # the wish to stop
        "DEACTIVATING",
        "STOPPING",
        "STOPPED",
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
    ]
    action = next(event for event in heard if event["detail-type"] == "ECS Service Action")
    assert action["resources"] == [service.describe()["serviceArn"]]
    assert "group" not in action["detail"]


# --- CloudWatch ----------------------------------------------------------------------------------


def test_requests_count_where_a_target_was_chosen_and_503s_only_for_the_load_balancer(
    service: Running,
) -> None:
    """CloudWatch metrics for your Application Load Balancer; seen 70 s after the minute's end."""
    site, estate = service.site, service.site.estate
    site.rule(5, to(site.group()), path=["/nobody"])
    balancer = {"Name": "LoadBalancer", "Value": site.arn.split(":loadbalancer/")[1]}
    group = {"Name": "TargetGroup", "Value": service.group.rsplit(":", 1)[1]}
    estate.wait(lambda: {ask(site.url + "/nobody").status for _ in range(8)} == {503})
    earlier = estate.cloud.now() // 60
    # a minute of its own: what other tests asked before arrives late, too
    estate.wait(lambda: estate.cloud.now() // 60 > earlier and 1 < estate.cloud.now() % 60 < 30)
    began = datetime.fromtimestamp(estate.cloud.now() // 60 * 60, UTC)

    def total(name: str, *dimensions: dict[str, str]) -> float:
        reply = estate.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName=name,
            Dimensions=list(dimensions),
            StartTime=began,
            EndTime=began + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in reply["Datapoints"]))

    statuses = [ask(site.url + path).status for path in ("/", "/", "/status/404", "/nobody")]
    assert statuses == [200, 200, 404, 503]
    asked = estate.cloud.now()
    estate.wait(lambda: total("HTTPCode_ELB_503_Count", balancer) > 0)
    assert estate.cloud.now() >= asked // 60 * 60 + 60 + 70
    assert total("HTTPCode_ELB_503_Count", balancer) == 1
    assert total("RequestCount", balancer, group) == 3
    assert total("HTTPCode_Target_4XX_Count", balancer, group) == 1
    assert total("HTTPCode_ELB_503_Count", balancer, group) == 0


def points(service: Running, minutes: float, name: str) -> list[float]:
    """The sums of a metric of the service's target group in the last minutes, oldest first."""
    estate, now = service.site.estate, service.site.estate.cloud.now()
    reply = estate.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApplicationELB",
        MetricName=name,
        Dimensions=dimensions_of(service),
        StartTime=datetime.fromtimestamp(now - 60 * minutes, UTC),
        EndTime=datetime.fromtimestamp(now + 60, UTC),
        Period=60,
        Statistics=["Sum"],
    )
    sums = sorted((point["Timestamp"], point["Sum"]) for point in reply["Datapoints"])
    return [value for _, value in sums]


def dimensions_of(service: Running) -> list[dict[str, str]]:
    """The load balancer and the target group, as metrics name them."""
    return [
        {"Name": "LoadBalancer", "Value": service.site.arn.split(":loadbalancer/")[1]},
        {"Name": "TargetGroup", "Value": service.group.rsplit(":", 1)[1]},
    ]


def test_without_traffic_there_is_no_data_and_health_checks_are_not_traffic(
    own_service: Running,
) -> None:
    """CloudWatch metrics for your Application Load Balancer: reported if there is a value.

    Whether an idle group reports zeros nobody has shown: the setting has both.
    """
    cloud, estate = own_service.site.estate.cloud, own_service.site.estate
    cloud.advance(240, speed=60)
    assert points(own_service, 4, "RequestCount") == []
    assert set(points(own_service, 4, "HealthyHostCount")) == {1.0}
    cloud.settings(elb={"zeros_when_idle": True})
    try:
        estate.wait(lambda: points(own_service, 10, "RequestCount"), speed=60)
        assert set(points(own_service, 10, "RequestCount")) == {0.0}
    finally:
        cloud.settings(elb={"zeros_when_idle": False})


def test_an_alarm_sees_a_first_request_when_its_minute_has_been_published(
    own_service: Running,
) -> None:
    """After a wake the idle alarm still says ALARM until the first late data point."""
    service, estate = own_service, own_service.site.estate
    name, cloud = estate.name(), estate.cloud
    an_alarm(
        estate,
        name,
        [],
        Namespace="AWS/ApplicationELB",
        MetricName="RequestCount",
        Dimensions=dimensions_of(service),
    )
    estate.wait(lambda: state(estate, name) == "ALARM", speed=60)
    estate.wait(lambda: 35 < cloud.now() % 60 < 45)
    assert ask(service.site.url).status == 200
    asked = cloud.now()
    estate.wait(lambda: state(estate, name) == "OK")
    assert cloud.now() - asked // 60 * 60 >= 60 + 70


def an_alarm(estate: Estate, name: str, actions: list[str], **more: Any) -> str:
    """An alarm on silence of a metric of its own, over two of two minutes; returns its ARN."""
    cloudwatch = estate.client("cloudwatch")
    given = {
        "AlarmName": name,
        "Namespace": "Test",
        "MetricName": name,
        "Dimensions": [{"Name": "Name", "Value": name}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
        "AlarmActions": actions,
        "OKActions": actions,
        **more,
    }
    cloudwatch.put_metric_alarm(**given)
    return f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"


def state(estate: Estate, name: str) -> str:
    """An alarm's state."""
    reply = estate.client("cloudwatch").describe_alarms(AlarmNames=[name])
    return str(reply["MetricAlarms"][0]["StateValue"])


def datum(cloud: LocalCloud, name: str, value: float, age: float = 0) -> dict[str, Any]:
    """A value of an alarm's own metric, of `age` seconds ago."""
    return {
        "MetricName": name,
        "Dimensions": [{"Name": "Name", "Value": name}],
        "Value": value,
        "Timestamp": datetime.fromtimestamp(cloud.now() - age, UTC),
    }


def test_an_alarm_may_not_invoke_a_function_that_does_not_permit_it(estate: Estate) -> None:
    """Invoke a Lambda function from an alarm: the principal, and the alarm as its source."""
    cloud, name = estate.cloud, estate.name()
    topic = estate.client("sns").create_topic(Name=name)["TopicArn"]
    function = estate.function()
    alarm = an_alarm(estate, name, [topic, function])
    estate.permit(function, "lambda.alarms.cloudwatch.amazonaws.com", alarm + "-other")
    estate.permit(function, "events.amazonaws.com", alarm)
    estate.wait(lambda: any(mail["topic"] == topic for mail in cloud.mailbox()), speed=60)
    time.sleep(1)
    assert estate.lines(function) == []


def test_an_alarm_acts_on_changes_only_and_tells_topic_and_function(estate: Estate) -> None:
    """Using Amazon CloudWatch alarms; Invoke a Lambda function from an alarm."""
    cloud, name = estate.cloud, estate.name()
    topic = estate.client("sns").create_topic(Name=name)["TopicArn"]
    function = estate.function()
    alarm = an_alarm(estate, name, [topic, function])
    estate.permit(function, "lambda.alarms.cloudwatch.amazonaws.com", alarm)
    assert state(estate, name) == "INSUFFICIENT_DATA"

    def told() -> list[dict[str, Any]]:
        mails = [mail for mail in cloud.mailbox() if mail["topic"] == topic]
        return [json.loads(mail["message"]) for mail in mails]

    estate.wait(lambda: state(estate, name) == "ALARM", speed=60)
    estate.wait(lambda: told() and any("ALARM {" in line for line in estate.lines(function)))
    cloud.advance(240, speed=60)
    estate.client("cloudwatch").put_metric_data(
        Namespace="Test", MetricData=[datum(cloud, name, 0)]
    )
    cloud.advance(240, speed=60)
    [message] = told()
    assert (message["OldStateValue"], message["NewStateValue"]) == ("INSUFFICIENT_DATA", "ALARM")
    assert "no datapoints were received" in message["NewStateReason"]
    [line] = [line for line in estate.lines(function) if "ALARM {" in line]
    event = json.loads(line[line.index("{") :])
    assert (event["source"], event["alarmArn"]) == ("aws.cloudwatch", alarm)
    assert event["alarmData"]["state"]["value"] == "ALARM"
    assert event["alarmData"]["previousState"]["value"] == "INSUFFICIENT_DATA"
    metric = event["alarmData"]["configuration"]["metrics"][0]["metricStat"]["metric"]
    assert metric == {"namespace": "Test", "name": name, "dimensions": {"Name": name}}

    estate.client("cloudwatch").put_metric_data(
        Namespace="Test", MetricData=[datum(cloud, name, 5)]
    )
    estate.wait(lambda: state(estate, name) == "OK")
    estate.wait(lambda: len(told()) == 2)
    estate.wait(lambda: state(estate, name) == "ALARM", speed=60)
    estate.wait(lambda: len(told()) == 3)


def test_late_data_within_the_longer_range_keep_an_alarm_from_firing(estate: Estate) -> None:
    """Alarms and missing data: of two periods both are late, points before them are there."""
    cloudwatch, cloud, name = estate.client("cloudwatch"), estate.cloud, estate.name()
    cloudwatch.put_metric_data(Namespace="Test", MetricData=[datum(cloud, name, 5, age=185)])
    an_alarm(estate, name, [])
    began = cloud.now()

    def late_all_along() -> bool:
        cloudwatch.put_metric_data(Namespace="Test", MetricData=[datum(cloud, name, 5, age=185)])
        assert state(estate, name) != "ALARM"
        return cloud.now() > began + 250

    estate.wait(late_all_along, speed=60)
    assert state(estate, name) == "OK"


def test_a_state_set_by_hand_acts_and_is_undone_by_the_next_evaluation(estate: Estate) -> None:
    """SetAlarmState."""
    name = estate.name()
    topic = estate.client("sns").create_topic(Name=name)["TopicArn"]
    an_alarm(estate, name, [topic])
    estate.wait(lambda: state(estate, name) == "ALARM", speed=60)
    estate.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue="OK", StateReason="by hand"
    )
    assert state(estate, name) == "OK"
    estate.wait(lambda: state(estate, name) == "ALARM", speed=60)

    def states() -> list[str]:
        mails = [mail for mail in estate.cloud.mailbox() if mail["topic"] == topic]
        return [json.loads(mail["message"])["NewStateValue"] for mail in mails]

    estate.wait(lambda: states() == ["ALARM", "OK", "ALARM"])


def test_an_updated_alarm_keeps_its_state(estate: Estate) -> None:
    """PutMetricAlarm."""
    name = estate.name()
    an_alarm(estate, name, [])
    estate.wait(lambda: state(estate, name) == "ALARM", speed=60)
    an_alarm(estate, name, [], AlarmDescription="another")
    assert state(estate, name) == "ALARM"


def test_an_alarm_on_metric_math_is_refused_clearly(estate: Estate) -> None:
    with pytest.raises(ClientError, match="no metric math"):
        estate.client("cloudwatch").put_metric_alarm(
            AlarmName="math",
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
            Metrics=[{"Id": "e", "Expression": "FILL(m, 0)", "ReturnData": True}],
        )
