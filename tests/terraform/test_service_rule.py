"""What the module says of a service rule that no mock makes, or that provider 5 tells in part.

A data source's blocks cannot be mocked, and provider 6 tells more of a rule than provider 5 does
(regular expressions, transforms), and conditions in another shape. So a copy of the module gets the
rule as an input, in place of what its data source tells, and `terraform test` plans it with the
mocked provider.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/lb_listener_rule
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import mutate_validations, plans

pytestmark = pytest.mark.terraform

KINDS = (
    "host_header", "http_header", "http_request_method",
    "path_pattern", "query_string", "source_ip",
)  # fmt: skip
READ = "for key, rule in data.aws_lb_listener_rule.service : key => rule }"
INPUT = '\nvariable "told" {\n  type    = any\n  default = {}\n}\n'


def by_provider_5(kind: str, **body: Any) -> dict[str, Any]:
    """A condition: an object for the kind that it is of, null for the others."""
    return {**dict.fromkeys(KINDS), kind: body}


def by_provider_6(kind: str, **body: Any) -> dict[str, Any]:
    """A condition: a list of one for the kind that it is of, empty ones for the others."""
    return {**{each: [] for each in KINDS}, kind: [body]}


HOST = ["app.example.com"]
REGEX = "service_rule_arn: the rule matches"
# Every kind of condition as the module takes it, and as a provider returns it, in other letters
# where the load balancer ignores case.
EVERY_KIND = {
    "host_header": ["app.example.com"],
    "path_pattern": [],
    "http_header": [{"http_header_name": "X-Origin-Secret", "values": ["s3cret"]}],
    "http_request_method": ["GET"],
    "query_string": [{"key": "version", "value": "v1"}],
    "source_ip": ["10.0.0.0/8"],
}


def every_kind(condition: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        condition("host_header", values=["APP.example.com"]),
        condition("http_header", http_header_name="x-origin-secret", values=["S3CRET"]),
        condition("http_request_method", values=["GET"]),
        condition("query_string", values=[{"key": "Version", "value": "V1"}]),
        condition("source_ip", values=["10.0.0.0/8"]),
    ]


def forwards(*groups: tuple[str, int]) -> dict[str, Any]:
    """An action that forwards to target groups by name, each with its weight."""
    weighted = [
        {"arn": f"{plans.ARN}targetgroup/{name}/0123456789abcdef", "weight": weight}
        for name, weight in groups
    ]
    return {"action": [{"type": "forward", "forward": {"target_group": weighted}}]}


def asks(block: Any, kind: str = "authenticate-oidc") -> dict[str, Any]:
    """An action that asks for a login, before one that forwards; `block` as a provider has it."""
    other = {"authenticate-oidc": "authenticate_cognito"}.get(kind, "authenticate_oidc")
    login = {"type": kind, kind.replace("-", "_"): block, other: None, "forward": None}
    neither = {"authenticate_cognito": None, "authenticate_oidc": None}
    return {"action": [login, {**forwards((WEB, 1))["action"][0], **neither}]}


SESSION = {"scope": "openid", "session_cookie_name": "AWSELBAuthSessionCookie"}
ENDPOINTS = {
    "authorization_endpoint": "https://id.example.com/authorize",
    "issuer": "https://id.example.com",
    "token_endpoint": "https://id.example.com/token",
    "user_info_endpoint": "https://id.example.com/userinfo",
}
POOL = {
    "user_pool_arn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_staff",
    "user_pool_client_id": "staging",
    "user_pool_domain": "staff",
}
LOGIN = {
    "authenticate_oidc": {**ENDPOINTS, "client_id": "staging"},
    "authenticate_oidc_client_secrets": {"this": "s3cret"},
}

WEB, STRANGER = "web", "stranger"
FORWARDS = "service_rule_arn: the rule forwards to"
ENVIRONMENT: dict[str, Any] = {
    "service_name": None,
    "target_group_arns": [],
    "service_rule_arn": None,
    "rule_priority": None,
    "heartbeat": {"route": "web/this"},
    "services": {
        name: {
            "routes": {
                "this": {
                    "service_rule_arn": rule,
                    "rule_priority": 10,
                    "target_group_arns": [f"{plans.ARN}targetgroup/{name}/0123456789abcdef"],
                }
            }
        }
        for name, rule in (("web", plans.RULE), ("api", plans.RULE.replace("2222", "6666")))
    },
}

# By name: what the provider tells of the rule, the module's inputs, and what is said of it, in
# order.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "values_by_provider_5": (
        {"condition": [by_provider_5("host_header", values=HOST)]},
        {"conditions": {"host_header": HOST}},
        [],
    ),
    "values_by_provider_6": (
        {
            "condition": [by_provider_6("host_header", values=HOST, regex_values=[])],
            "transform": [],
        },
        {"conditions": {"host_header": HOST}},
        [],
    ),
    "every_kind_by_provider_5": (
        {"condition": every_kind(by_provider_5)},
        {"conditions": {**EVERY_KIND, "path_pattern": ["/*"]}, "heartbeat": {"enabled": False}},
        ["conditions has 6 values, and a rule takes 5."],
    ),
    "all_but_the_host_by_provider_5": (
        {"condition": every_kind(by_provider_5)[1:]},
        {"conditions": {**EVERY_KIND, "host_header": [], "path_pattern": ["/*"]}},
        [],
    ),
    "all_but_the_host_by_provider_6": (
        {"condition": every_kind(by_provider_6)[1:]},
        {"conditions": {**EVERY_KIND, "host_header": [], "path_pattern": ["/*"]}},
        [],
    ),
    "conditions_that_only_the_rule_has": (
        {"condition": every_kind(by_provider_6)},
        {},
        ['conditions.host_header is []; the service rule has ["app.example.com"]. Write exactly'],
    ),
    "a_route_that_differs": (
        {"condition": [by_provider_5("host_header", values=HOST)]},
        {
            "service_rule_arn": None,
            "rule_priority": None,
            "routes": {"www": {"service_rule_arn": plans.RULE, "rule_priority": 10}},
        },
        ['routes["www"].conditions.host_header is []; the service rule has ["app.example.com"]'],
    ),
    "another_secret": (
        {"condition": [every_kind(by_provider_5)[1]]},
        {
            "conditions": {
                "http_header": [{"http_header_name": "X-Origin-Secret", "values": ["other"]}]
            }
        },
        ['conditions.http_header is ["x-origin-secret"]; the service rule has ["x-origin-secret"]'],
    ),
    "two_pairs_of_which_both_must_match": (
        {
            "condition": [
                by_provider_5("query_string", values=[{"key": "a", "value": "1"}]),
                by_provider_5("query_string", values=[{"key": None, "value": "2"}]),
            ]
        },
        {"conditions": {"query_string": [{"key": "a", "value": "1"}, {"value": "2"}]}},
        ['conditions.query_string is ["2 or a=1"]; the service rule has ["2","a=1"]'],
    ),
    "regex_host_by_provider_5": (
        {"condition": [by_provider_5("host_header", values=[])]},
        {},
        [f'{REGEX} ["host_header"] by regular expressions'],
    ),
    "regex_path_without_a_list_by_provider_5": (
        {"condition": [by_provider_5("path_pattern", values=None)]},
        {},
        [f'{REGEX} ["path_pattern"] by regular expressions'],
    ),
    "regex_path_by_provider_6": (
        {"condition": [by_provider_6("path_pattern", values=[], regex_values=["^/app$"])]},
        {"conditions": {"path_pattern": ["/app"]}},
        [f'{REGEX} ["path_pattern"] by regular expressions'],
    ),
    "transform": (
        {"transform": [{"type": "url-rewrite"}]},
        {},
        ['service_rule_arn: the rule has the transforms ["url-rewrite"]'],
    ),
    "transform_and_a_websocket_rule": (
        {"transform": [{"type": "url-rewrite"}]},
        {"websocket_rule": True},
        ['websocket_rule must be false: the service rule has the transforms ["url-rewrite"]'],
    ),
    "login_and_a_websocket_rule": (
        {"action": [{"type": "authenticate-oidc", "forward": None}]},
        {"websocket_rule": True},
        ['websocket_rule must be false: the service rule has the actions ["authenticate-oidc"]'],
    ),
    "a_login_and_a_websocket_rule_that_has_it_too": (
        asks({**SESSION, "client_id": "staging"}),
        {"websocket_rule": True, **LOGIN},
        [],
    ),
    "a_login_that_the_wake_rule_has_too_by_provider_5": (
        asks({**SESSION, "client_id": "staging"}),
        LOGIN,
        [],
    ),
    "a_login_that_the_wake_rule_has_too_by_provider_6": (
        asks([{**SESSION, "client_id": "staging"}]),
        LOGIN,
        [],
    ),
    "a_login_by_cognito_that_the_wake_rule_has_too": (
        asks({**SESSION, **POOL}, "authenticate-cognito"),
        {"authenticate_cognito": POOL},
        [],
    ),
    "a_login_that_the_wake_rule_has_not": (
        asks([{**SESSION, "client_id": "staging"}]),
        {},
        ["service_rule_arn: the rule asks for a login (client staging), and the wake rule does"],
    ),
    "a_login_of_the_wake_rule_alone": (
        forwards((WEB, 1)),
        LOGIN,
        ["authenticate_oidc: the service rule asks for no login, so the awake service does not"],
    ),
    "a_login_with_another_client": (
        asks([{**SESSION, "client_id": "another"}]),
        LOGIN,
        ['authenticate_oidc has [{"client":"staging"'],
    ),
    "a_login_with_another_scope": (
        asks([{**SESSION, "client_id": "staging", "scope": "openid email"}]),
        LOGIN,
        ['authenticate_oidc has [{"client":"staging","scope":"openid"'],
    ),
    "a_login_with_another_cookie_of_a_route": (
        asks([{**SESSION, **POOL, "session_cookie_name": "Staff"}], "authenticate-cognito"),
        {
            "service_rule_arn": None,
            "rule_priority": None,
            "routes": {
                "www": {
                    "service_rule_arn": plans.RULE,
                    "rule_priority": 10,
                    "authenticate_cognito": POOL,
                }
            },
        },
        ['routes["www"].authenticate_cognito has [{"client":"staging"'],
    ),
    "weights_100_and_0_that_a_deployment_left": (forwards((WEB, 100), (STRANGER, 0)), {}, []),
    "some_requests_to_the_service": (forwards((WEB, 1), (STRANGER, 1)), {}, []),
    "no_request_to_the_service": (
        forwards((WEB, 0), (STRANGER, 100)),
        {},
        [f'{FORWARDS} ["{plans.ARN}targetgroup/stranger/'],
    ),
    "requests_to_another_service_of_the_environment": (
        forwards((WEB, 1)),
        ENVIRONMENT,
        [f'services["api"].routes["this"].{FORWARDS} ["{plans.ARN}targetgroup/web/'],
    ),
}


@pytest.fixture(scope="module")
def said() -> Iterator[dict[str, list[str]]]:
    """The errors and failed checks of each case, by its name."""
    (plans.ROOT / ".cache").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="service-rule-", dir=plans.ROOT / ".cache"))
    try:
        mutate_validations.copy_to(scratch)
        checks = (scratch / "checks.tf").read_text()
        assert checks.count(READ) == 1
        (scratch / "checks.tf").write_text(
            checks.replace(READ, READ.replace("rule }", "merge(rule, var.told) }")) + INPUT
        )
        head = re.split(r'(?m)^run "', (plans.HERE / "checks.tftest.hcl").read_text())[0]
        for name, (told, inputs, _) in CASES.items():
            given = "".join(
                f"    {k} = {json.dumps(v)}\n" for k, v in {**inputs, "told": told}.items()
            )
            run = f'run "case" {{\n  variables {{\n{given}  }}\n}}\n'
            (scratch / "tests" / "terraform" / f"{name}.tftest.hcl").write_text(head + run)
        found: dict[str, list[str]] = {name: [] for name in CASES}
        test = ("test", "-json", "-test-directory=tests/terraform")
        for line in plans.terraform(scratch, *test, fine=(0, 1)):
            event = json.loads(line)
            if event["type"] == "diagnostic" and event["diagnostic"]["severity"] == "error":
                name = Path(event["@testfile"]).name.partition(".")[0]
                found[name].append(re.sub(r"\s+", " ", event["diagnostic"]["detail"]))
        yield found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.mark.parametrize("case", CASES)
def test_the_module_says_what_is_wrong_with_the_rule_and_nothing_else(
    said: dict[str, list[str]], case: str
) -> None:
    _, _, expected = CASES[case]
    assert len(said[case]) == len(expected), said[case]
    for got, begins in zip(said[case], expected, strict=True):
        assert got.startswith(begins)
