"""The load balancer's decisions about one request, against the Elastic Load Balancing pages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.alb import (
    LAMBDA_LIMIT,
    Health,
    Request,
    both_ways,
    choose_rule,
    lambda_answer,
    lambda_event,
    like,
    matches,
    priority_refusal,
    query_pairs,
    redirect_location,
    refusal,
    status_matches,
    target_groups_of,
)


def a_request(path: str = "/", query: str = "", method: str = "GET", **headers: str) -> Request:
    """A request to app.example.com from 203.0.113.7."""
    given = {"host": "app.example.com:8080", **headers}
    pairs = [(name.replace("_", "-"), value) for name, value in given.items()]
    return Request(method, path, query, pairs, "203.0.113.7")


def on(kind: str, config: str, *values: Any, **more: str) -> dict[str, Any]:
    """A rule condition."""
    return {"Field": kind, config: {"Values": list(values), **more}}


def matching(kind: str, config: str, *expressions: str, **more: str) -> dict[str, Any]:
    """A rule condition of regular expressions."""
    return {"Field": kind, config: {"RegexValues": list(expressions), **more}}


# Condition types for listener rules: what the page says of each, as cases.
CASES = [
    (on("host-header", "HostHeaderConfig", "APP.example.com"), a_request(), True),
    (on("host-header", "HostHeaderConfig", "*.example.com"), a_request(), True),
    (on("host-header", "HostHeaderConfig", "example.com"), a_request(), False),
    (on("host-header", "HostHeaderConfig", "no", "app.*"), a_request(), True),
    (on("path-pattern", "PathPatternConfig", "/img/*"), a_request("/img/"), True),
    (on("path-pattern", "PathPatternConfig", "/img/*"), a_request("/img"), False),
    (on("path-pattern", "PathPatternConfig", "/img/*/pics"), a_request("/img/a/b/pics"), True),
    (on("path-pattern", "PathPatternConfig", "/Img"), a_request("/img"), False),
    (on("path-pattern", "PathPatternConfig", "/a"), a_request("/a", "b=c"), True),
    (on("path-pattern", "PathPatternConfig", "/?"), a_request("/x"), True),
    (on("path-pattern", "PathPatternConfig", "/?"), a_request("/"), False),
    (on("path-pattern", "PathPatternConfig", r"/\*"), a_request("/x"), False),
    (on("path-pattern", "PathPatternConfig", r"/\*"), a_request("/*"), True),
    (on("path-pattern", "PathPatternConfig", "/a.b"), a_request("/axb"), False),
    (on("http-request-method", "HttpRequestMethodConfig", "POST"), a_request(), False),
    (
        on("http-request-method", "HttpRequestMethodConfig", "POST"),
        a_request(method="POST"),
        True,
    ),
    (
        on("http-header", "HttpHeaderConfig", "*CHROME*", HttpHeaderName="User-Agent"),
        a_request(user_agent="a Chrome b"),
        True,
    ),
    (on("http-header", "HttpHeaderConfig", "*", HttpHeaderName="X-None"), a_request(), False),
    (
        on("query-string", "QueryStringConfig", {"Key": "Version", "Value": "v?"}),
        a_request(query="x=1&version=V1"),
        True,
    ),
    (
        on("query-string", "QueryStringConfig", {"Value": "*example*"}),
        a_request(query="any=anexample"),
        True,
    ),
    (
        on("query-string", "QueryStringConfig", {"Key": "a", "Value": "b"}),
        a_request(query="b=a"),
        False,
    ),
    (on("source-ip", "SourceIpConfig", "203.0.113.0/24"), a_request(), True),
    (on("source-ip", "SourceIpConfig", "198.51.100.0/24"), a_request(), False),
    (matching("host-header", "HostHeaderConfig", r"^(app|www)\.EXAMPLE"), a_request(), True),
    (matching("host-header", "HostHeaderConfig", r"^example\."), a_request(), False),
    (matching("host-header", "HostHeaderConfig", "^no", r"com$"), a_request(), True),
    (matching("path-pattern", "PathPatternConfig", r"^/v[12]/"), a_request("/v2/a"), True),
    (matching("path-pattern", "PathPatternConfig", r"^/v[12]/"), a_request("/V2/a"), False),
    (matching("path-pattern", "PathPatternConfig", r"^/v[12]/"), a_request("/v3/a"), False),
    (matching("path-pattern", "PathPatternConfig", "/*"), a_request("/a"), True),
    (
        matching("http-header", "HttpHeaderConfig", r"chrome/\d+", HttpHeaderName="User-Agent"),
        a_request(user_agent="a Chrome/1 b"),
        True,
    ),
    (
        matching("http-header", "HttpHeaderConfig", ".*", HttpHeaderName="X-None"),
        a_request(),
        False,
    ),
]


@pytest.mark.parametrize(("condition", "request_", "expected"), CASES)
def test_each_condition_matches_what_its_page_says(
    condition: dict[str, Any], request_: Request, expected: bool
) -> None:
    assert matches([condition], request_) is expected


def test_all_conditions_of_a_rule_have_to_hold_and_the_lowest_priority_wins() -> None:
    path = on("path-pattern", "PathPatternConfig", "/a*")
    post = on("http-request-method", "HttpRequestMethodConfig", "POST")
    rules: list[dict[str, Any]] = [
        {"Priority": "default", "Conditions": []},
        {"Priority": "100", "Conditions": [path]},
        {"Priority": "9", "Conditions": [path, post]},
    ]
    assert choose_rule(rules, a_request("/ab", method="POST"))["Priority"] == "9"
    assert choose_rule(rules, a_request("/ab"))["Priority"] == "100"
    assert choose_rule(rules, a_request("/b"))["Priority"] == "default"


def test_unknown_conditions_are_refused_and_not_passed_over() -> None:
    with pytest.raises(ValueError, match="moon-phase"):
        matches([{"Field": "moon-phase"}], a_request())


@pytest.mark.parametrize("field", ["host-header", "path-pattern"])
def test_values_of_a_host_or_a_path_are_told_in_both_places(field: str) -> None:
    """RuleCondition; the case of a condition without any values is told apart from them."""
    config = {"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig"}[field]
    whole = {"Field": field, "Values": ["/a.b"], config: {"Values": ["/a.b"]}}
    assert both_ways({"Field": field, config: {"Values": ["/a.b"]}}) == whole
    assert both_ways({"Field": field, "Values": ["/a.b"]}) == whole
    assert both_ways(matching(field, config, "^/a")) == matching(field, config, "^/a")
    header = on("http-header", "HttpHeaderConfig", "x", HttpHeaderName="X")
    assert both_ways(header) == header


@pytest.mark.parametrize(
    ("priority", "value", "constraint"),
    [
        (0, "'0'", "have value greater than or equal to 1"),
        (50001, "'50001'", "have value less than or equal to 50000"),
        (None, "null", "not be null"),
    ],
)
def test_a_rules_number_is_one_of_1_to_50000(
    priority: int | None, value: str, constraint: str
) -> None:
    """CreateRule: "Valid Range: Minimum value of 1. Maximum value of 50000."."""
    assert priority_refusal(1, "priority") is priority_refusal(50000, "priority") is None
    said = f"Value {value} at 'priority' failed to satisfy constraint: Member must {constraint}"
    refused = ("ValidationError", f"1 validation error detected: {said}")
    assert priority_refusal(priority, "priority") == refused


@given(text=st.text(alphabet="ab.*?+[(", max_size=8))
def test_a_pattern_with_everything_escaped_matches_itself_alone(text: str) -> None:
    escaped = "".join("\\" + each if each in "*?\\" else each for each in text)
    assert like(escaped, text)
    assert not like(escaped, text + "a")


def test_query_keys_and_values_stay_as_they_were_sent() -> None:
    assert query_pairs("a=%20b&flag&c=&a=x=y") == [
        ("a", "%20b"),
        ("flag", ""),
        ("c", ""),
        ("a", "x=y"),
    ]


def test_a_forward_action_gives_its_groups_and_weights() -> None:
    plain = {"Type": "forward", "TargetGroupArn": "one"}
    weighted = {
        "Type": "forward",
        "ForwardConfig": {
            "TargetGroups": [
                {"TargetGroupArn": "one", "Weight": 0},
                {"TargetGroupArn": "two", "Weight": 5},
            ]
        },
    }
    assert target_groups_of([plain]) == {"one": 1}
    assert target_groups_of([weighted]) == {"one": 0, "two": 5}
    assert target_groups_of([{"Type": "fixed-response"}]) == {}


def test_a_redirect_keeps_what_it_does_not_name() -> None:
    """Redirect actions: the defaults are #{protocol}, #{host}, #{port}, /#{path}, #{query}."""
    request = a_request("/a/b", "x=1")
    kept = redirect_location({"Path": "/new"}, request, "http", 8080)
    assert kept == "http://app.example.com:8080/new?x=1"
    config = {"Protocol": "HTTPS", "Port": "443", "Query": ""}
    assert redirect_location(config, request, "http", 8080) == "https://app.example.com:443/a/b"


def test_an_encoded_body_reaches_a_function_in_base64_even_if_its_type_is_text() -> None:
    request = a_request(content_type="text/plain", content_encoding="gzip")
    event = lambda_event(request, b"\x1f\x8b", "arn", multi_value=False)
    assert (event["body"], event["isBase64Encoded"]) == (
        base64.b64encode(b"\x1f\x8b").decode(),
        True,
    )
    empty = lambda_event(a_request(), b"", "arn", multi_value=False)
    assert (empty["body"], empty["isBase64Encoded"]) == ("", False)


@pytest.mark.parametrize(
    "result",
    [
        "text",
        None,
        [],
        {},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": "abc"},
        {"statusCode": 200, "body": {"not": "a string"}},
        {"statusCode": 200, "headers": {"x": 1}},
        {"statusCode": 200, "headers": ["x"]},
        {"statusCode": 200, "isBase64Encoded": True, "body": "!"},
        {"statusCode": 200, "body": "x" * LAMBDA_LIMIT},
    ],
)
def test_an_answer_that_the_load_balancer_cannot_use_is_an_error(result: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  JSON's and base64's errors are ValueErrors
        lambda_answer(json.dumps(result).encode(), multi_value=False)


def test_an_answer_has_its_status_its_reason_and_its_headers_without_hop_by_hop_ones() -> None:
    result = {
        "statusCode": "307",
        "statusDescription": "307 Temporary Redirect",
        "headers": {"Location": "/x", "Connection": "close", "Content-Length": "7"},
        "multiValueHeaders": {"Ignored": ["1"]},
    }
    answer = lambda_answer(json.dumps(result).encode(), multi_value=False)
    assert (answer.status, answer.reason, answer.body) == (307, "Temporary Redirect", b"")
    assert list(answer.headers) == [("Location", "/x")]
    multi = {"statusCode": 200, "headers": {"No": "1"}, "multiValueHeaders": {"A": ["1", "2"]}}
    assert list(lambda_answer(json.dumps(multi).encode(), multi_value=True).headers) == [
        ("A", "1"),
        ("A", "2"),
    ]


def states(health: Health, checks: str) -> list[str]:
    """The state after each check, `.` passed and `x` failed."""
    found = []
    for check in checks:
        health.record(None if check == "." else "Target.Timeout")
        found.append(health.state)
    return found


def test_health_follows_the_thresholds_and_a_first_pass() -> None:
    """Health checks for target groups."""
    assert states(Health(5, 2), ".") == ["healthy"]
    assert states(Health(3, 2), "x.") == ["initial", "healthy"]
    assert states(Health(3, 2), "xx...") == ["initial", *["unhealthy"] * 3, "healthy"]
    assert states(Health(2, 3), ".xx.xxx") == ["healthy"] * 6 + ["unhealthy"]


def test_health_names_its_reason() -> None:
    health = Health(2, 2)
    assert health.as_dict()["Reason"] == "Elb.RegistrationInProgress"
    health.record("Target.Timeout")
    assert health.as_dict()["Reason"] == "Elb.InitialHealthChecking"
    health.record("Target.Timeout")
    assert health.as_dict() == {
        "State": "unhealthy",
        "Reason": "Target.Timeout",
        "Description": "Request timed out",
    }


@pytest.mark.parametrize(
    ("matcher", "passing", "failing"),
    [("200", [200], [201]), ("200,202", [200, 202], [201]), ("200-399", [200, 399], [400, 199])],
)
def test_a_matcher_is_a_list_or_a_range(
    matcher: str, passing: list[int], failing: list[int]
) -> None:
    assert all(status_matches(matcher, status) for status in passing)
    assert not any(status_matches(matcher, status) for status in failing)


# The event's members, their order included, are those of the page's example; `path`, `query` and
# headers are ours.
EVENT = (
    '{"requestContext":{"elb":{"targetGroupArn":"arn:aws:elasticloadbalancing:us-east-2:'
    '123456789012:targetgroup/lambda-279XGJDqGZ5rsrHC2Fjr/49e9d65c45c6791a"}},"httpMethod":"GET",'
    '"path":"/lam%20bda","queryStringParameters":{"query":"%201234ABCD","flag":""},"headers":{'
    '"host":"app.example.com:8080","accept":"b"},"body":"","isBase64Encoded":false}'
)
MULTI_VALUE_EVENT = (
    '{"requestContext":{"elb":{"targetGroupArn":"arn:aws:elasticloadbalancing:us-east-2:'
    '123456789012:targetgroup/lambda-279XGJDqGZ5rsrHC2Fjr/49e9d65c45c6791a"}},"httpMethod":"GET",'
    '"path":"/lam%20bda","multiValueQueryStringParameters":{"query":["x","%201234ABCD"],'
    '"flag":[""]},"multiValueHeaders":{"host":["app.example.com:8080"],"accept":["a","b"]},'
    '"body":"","isBase64Encoded":false}'
)


@pytest.mark.parametrize(("multi_value", "expected"), [(False, EVENT), (True, MULTI_VALUE_EVENT)])
def test_the_event_is_the_documented_one_to_the_byte(multi_value: bool, expected: str) -> None:
    """Using AWS Lambda with an Application Load Balancer; Multi-value headers."""
    pairs = [("Host", "app.example.com:8080"), ("Accept", "a"), ("accept", "b")]
    query = "query=x&query=%201234ABCD&flag"
    request = Request("GET", "/lam%20bda", query, pairs, "203.0.113.7")
    group = json.loads(EVENT)["requestContext"]["elb"]["targetGroupArn"]
    event = lambda_event(request, b"", group, multi_value=multi_value)
    assert json.dumps(event, separators=(",", ":")) == expected


def a_rule(priority: str = "1", group: str = "one") -> dict[str, Any]:
    """A rule that forwards to a group."""
    return {"Priority": priority, "Actions": [{"Type": "forward", "TargetGroupArn": group}]}


def test_a_load_balancer_takes_no_more_than_its_quotas() -> None:
    """Quotas for your Application Load Balancers; default rules do not count."""
    rules = [a_rule("default"), *(a_rule(str(number)) for number in range(1, 100))]
    assert refusal(rules, [], a_rule()["Actions"]) is None
    assert refusal([*rules, a_rule("100")], [], a_rule()["Actions"]) == (
        "TooManyRules",
        "You've reached the limit on the number of rules per load balancer",
    )
    groups = [a_rule("default", f"{number}") for number in range(100)]
    assert refusal(groups, [], a_rule(group="99")["Actions"]) is None
    code, _ = refusal(groups, [], a_rule(group="100")["Actions"]) or ("", "")
    assert code == "TooManyUniqueTargetGroupsPerLoadBalancer"


@pytest.mark.parametrize(
    ("conditions", "taken"),
    [
        ([on("path-pattern", "PathPatternConfig", *"abcde")], True),
        ([on("path-pattern", "PathPatternConfig", *"abcdef")], False),
        ([on("path-pattern", "PathPatternConfig", *"abc"),
          on("host-header", "HostHeaderConfig", *"abc")], False),
        ([matching("path-pattern", "PathPatternConfig", *"abc"),
          on("host-header", "HostHeaderConfig", *"abc")], False),
        ([matching("path-pattern", "PathPatternConfig", "/*/?/*/?/*/?")], True),
        ([on("path-pattern", "PathPatternConfig", "/*/?/*", "/*", "/?")], True),
        ([on("path-pattern", "PathPatternConfig", "/*/?/*", "/*", "/??")], False),
        ([on("path-pattern", "PathPatternConfig", "/*/?/*", "/*", r"/?\*")], True),
        ([on("query-string", "QueryStringConfig", {"Key": "?*?", "Value": "***"})], False),
    ],
)  # fmt: skip
def test_a_rule_has_five_values_and_five_wildcards_at_most(
    conditions: list[dict[str, Any]], taken: bool
) -> None:
    assert (refusal([], conditions, []) is None) is taken
