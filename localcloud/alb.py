"""What an Application Load Balancer does with one request or one health check, without sockets.

Pure functions over the shapes that `DescribeRules` and `DescribeTargetGroups` return.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

LAMBDA_LIMIT = 1024 * 1024  # bytes, of the request's body and of the function's JSON answer

# Not passed on in either direction (RFC 9110, section 7.6.1).
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Content types whose body reaches a function as text and not as base64.
TEXT_TYPES = frozenset({"application/json", "application/javascript", "application/xml"})

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One HTTP request as the listener sees it; `query` is raw, `headers` in the order sent."""

    method: str
    path: str
    query: str
    headers: Pairs
    source_ip: str

    def header(self, name: str) -> str:
        """The last value of a header, "" where there is none."""
        values = self.header_values(name)
        return values[-1] if values else ""

    def header_values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def host(self) -> str:
        """The host name of the Host header, without its port."""
        host = self.header("host")
        return re.sub(r":\d+$", "", host)

    @property
    def wants_websocket(self) -> bool:
        """Whether the client asks for the connection to become a WebSocket."""
        return self.header("upgrade").lower() == "websocket"


# --- rules ---------------------------------------------------------------------------------------


def choose_rule(rules: Sequence[Mapping[str, Any]], request: Request) -> Mapping[str, Any]:
    """The rule that takes the request: the lowest priority that matches, the default rule last.

    Imitates "Listener rules for your Application Load Balancer". LookupError without any match.
    """
    for rule in sorted(rules, key=_priority):
        if rule["Priority"] == "default" or matches(rule.get("Conditions", []), request):
            return rule
    raise LookupError("the listener has no default rule")


def _priority(rule: Mapping[str, Any]) -> float:
    priority = rule["Priority"]
    return float("inf") if priority == "default" else float(priority)


def matches(conditions: Sequence[Mapping[str, Any]], request: Request) -> bool:
    """Whether every condition holds; of one condition's values any.

    Imitates "Condition types for listener rules": host, header and query are compared without
    regard to case, path and method with it; `*` and `?` are wildcards in host, path, header and
    query; the path is matched without its query. A regular expression may match anywhere in a host,
    a path or a header. ValueError for a condition it does not know.
    """
    return all(_holds(condition, request) for condition in conditions)


def _holds(condition: Mapping[str, Any], request: Request) -> bool:
    kind = condition["Field"]
    match kind:
        case "host-header":
            return _compares(condition, [request.host], fold=True)
        case "path-pattern":
            return _compares(condition, [request.path], fold=False)
        case "http-request-method":
            return request.method in _values(condition, "HttpRequestMethodConfig")
        case "http-header":
            name = condition["HttpHeaderConfig"]["HttpHeaderName"]
            return _compares(condition, request.header_values(name), fold=True)
        case "query-string":
            return _query_holds(condition["QueryStringConfig"]["Values"], request)
        case "source-ip":
            address = ipaddress.ip_address(request.source_ip)
            return any(
                address in ipaddress.ip_network(block, strict=False)
                for block in _values(condition, "SourceIpConfig")
            )
    raise ValueError(f"unknown rule condition {kind!r}")


# The conditions that take regular expressions, and where their values stand.
CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
}


def _compares(condition: Mapping[str, Any], texts: Sequence[str], *, fold: bool) -> bool:
    """Whether a value is like one of the texts, or a regular expression matches one."""
    flags = re.IGNORECASE if fold else 0
    return any(
        like(pattern, text, fold=fold)
        for pattern in _values(condition, CONFIGS[condition["Field"]])
        for text in texts
    ) or any(
        re.search(expression, text, flags)
        for expression in _regex_values(condition)
        for text in texts
    )


def _regex_values(condition: Mapping[str, Any]) -> list[str]:
    config = condition.get(CONFIGS.get(condition["Field"], ""), {})
    values: list[str] = config.get("RegexValues") or condition.get("RegexValues") or []
    return values


def both_ways(condition: Mapping[str, Any]) -> dict[str, Any]:
    """A condition as `DescribeRules` tells it: values of a host or a path in both places.

    Imitates `RuleCondition`. Regular expressions stand in the config alone, without `Values`.
    """
    shape = dict(condition)
    field = condition["Field"]
    if field not in CONFIGS:
        return shape
    if expressions := _regex_values(condition):
        shape[CONFIGS[field]] = {**condition.get(CONFIGS[field], {}), "RegexValues": expressions}
        shape.pop("RegexValues", None)
    elif field != "http-header":
        values = _values(condition, CONFIGS[field])
        shape |= {"Values": values, CONFIGS[field]: {"Values": values}}
    return shape


def beyond_moto(params: Mapping[str, Any]) -> bool:
    """Whether a call about a rule has what moto does not know: regular expressions, transforms."""
    expressions = any(_regex_values(each) for each in params.get("Conditions", []))
    return expressions or any(params.get(key) for key in ("Transforms", "ResetTransforms"))


def without_regex(condition: Mapping[str, Any]) -> dict[str, Any]:
    """A condition that moto takes: `*` in the place of each regular expression."""
    expressions = _regex_values(condition)
    if not expressions:
        return dict(condition)
    config = {**condition.get(CONFIGS[condition["Field"]], {}), "Values": ["*"] * len(expressions)}
    config.pop("RegexValues", None)
    return {"Field": condition["Field"], CONFIGS[condition["Field"]]: config}


def priority_refusal(priority: Any, where: str) -> tuple[str, str] | None:
    """Why a rule cannot have this number, None if it can; `where` is the parameter's path.

    Imitates `CreateRule` and `RulePriorityPair`: 1 to 50000.
    """
    lowest, highest = PRIORITIES
    if priority is None:
        told, limit = "null", "not be null"
    elif int(priority) < lowest:
        told, limit = f"'{priority}'", f"have value greater than or equal to {lowest}"
    elif int(priority) > highest:
        told, limit = f"'{priority}'", f"have value less than or equal to {highest}"
    else:
        return None
    said = f"Value {told} at '{where}' failed to satisfy constraint: Member must {limit}"
    return "ValidationError", f"1 validation error detected: {said}"


def _values(condition: Mapping[str, Any], config: str) -> list[str]:
    detail = condition.get(config) or {}
    values: list[str] = detail.get("Values") or condition.get("Values") or []
    return values


def _query_holds(wanted: Sequence[Mapping[str, str]], request: Request) -> bool:
    present = query_pairs(request.query)
    return any(
        like(want["Value"], value, fold=True)
        and ("Key" not in want or like(want["Key"], key, fold=True))
        for want in wanted
        for key, value in present
    )


def like(pattern: str, text: str, *, fold: bool = False) -> bool:
    r"""Wildcard match: `*` is any run of characters, `?` one, `\` takes the next one literally."""
    return _wildcard(pattern, fold).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _wildcard(pattern: str, fold: bool) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", pattern, flags=re.DOTALL)
    wild = {"*": ".*", "?": "."}
    source = "".join(wild.get(part, re.escape(part[-1])) for part in parts)
    return re.compile(source, re.DOTALL | (re.IGNORECASE if fold else 0))


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The query's keys and values in order, not URL-decoded; `flag` alone is `("flag", "")`."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(key, value) for key, _, value in pairs]


def target_groups_of(actions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The target groups that a rule forwards to, with their weights."""
    groups: dict[str, int] = {}
    for action in actions:
        if action["Type"] != "forward":
            continue
        for group in action.get("ForwardConfig", {}).get("TargetGroups", []):
            groups[group["TargetGroupArn"]] = int(group.get("Weight", 1))
        if not groups and action.get("TargetGroupArn"):
            groups[action["TargetGroupArn"]] = 1
    return groups


def redirect_location(config: Mapping[str, str], request: Request, scheme: str, port: int) -> str:
    """The `Location` of a redirect action, placeholders filled in ("Redirect actions")."""
    given = {
        "protocol": scheme,
        "host": request.host,
        "port": str(port),
        "path": request.path.removeprefix("/"),
        "query": request.query,
    }

    def fill(text: str) -> str:
        return re.sub(r"#\{(\w+)\}", lambda found: given[found[1]], text)

    protocol = fill(config.get("Protocol") or "#{protocol}").lower()
    host = fill(config.get("Host") or "#{host}")
    target_port = fill(config.get("Port") or "#{port}")
    path = fill(config.get("Path") or "/#{path}")
    query = fill(config.get("Query", "#{query}"))
    return f"{protocol}://{host}:{target_port}{path}" + (f"?{query}" if query else "")


# "Quotas for your Application Load Balancers"; the rules without the listeners' default ones.
PRIORITIES = (1, 50000)
RULES_LIMIT = 100
GROUPS_LIMIT = 100
CONDITION_VALUES_LIMIT = 5
WILDCARDS_LIMIT = 5


def refusal(
    rules: Sequence[Mapping[str, Any]],
    conditions: Sequence[Mapping[str, Any]],
    actions: Sequence[Mapping[str, Any]],
) -> tuple[str, str] | None:
    """Why a load balancer with `rules` takes no rule of these conditions and actions.

    The error's code and message; None if it does take it.
    """
    values = [value for each in conditions for value in _condition_values(each)]
    texts = [
        text for each in values for text in (each.values() if isinstance(each, dict) else [each])
    ]
    wildcards = sum(part in "*?" for text in texts for part in re.findall(r"\\.|.", text))
    expressions = [text for each in conditions for text in _regex_values(each)]
    if len(values) + len(expressions) > CONDITION_VALUES_LIMIT:
        limit = CONDITION_VALUES_LIMIT
        return "ValidationError", f"A rule can only have '{limit}' condition values"
    if wildcards > WILDCARDS_LIMIT:
        return "ValidationError", f"A rule can only have '{WILDCARDS_LIMIT}' condition wildcards"
    if sum(rule["Priority"] != "default" for rule in rules) >= RULES_LIMIT:
        return "TooManyRules", "You've reached the limit on the number of rules per load balancer"
    used = {arn for rule in rules for arn in target_groups_of(rule["Actions"])}
    if len(used | set(target_groups_of(actions))) > GROUPS_LIMIT:
        return (
            "TooManyUniqueTargetGroupsPerLoadBalancer",
            "You've reached the limit on the number of unique target groups per load balancer",
        )
    return None


def _condition_values(condition: Mapping[str, Any]) -> list[Any]:
    """The values that a condition counts with; a pair of a query string is one."""
    configs = [value for key, value in condition.items() if key.endswith("Config")]
    return [value for config in configs or [condition] for value in config.get("Values", [])]


# --- Lambda targets ------------------------------------------------------------------------------


def lambda_event(
    request: Request, body: bytes, target_group_arn: str, *, multi_value: bool
) -> dict[str, Any]:
    """The event for a function ("Use Lambda functions as targets").

    Header names are lower case. With multi-value headers only the multi-value fields are there;
    without, the last of repeated headers and query keys wins. Query values are not URL-decoded.
    """
    encoded = bool(body) and _is_binary(request)
    event: dict[str, Any] = {
        "requestContext": {"elb": {"targetGroupArn": target_group_arn}},
        "httpMethod": request.method,
        "path": request.path,
    }
    headers = [(name.lower(), value) for name, value in request.headers]
    query = query_pairs(request.query)
    if multi_value:
        event["multiValueQueryStringParameters"] = _gather(query)
        event["multiValueHeaders"] = _gather(headers)
    else:
        event["queryStringParameters"] = dict(query)
        event["headers"] = dict(headers)
    event["body"] = base64.b64encode(body).decode() if encoded else body.decode(errors="replace")
    event["isBase64Encoded"] = encoded
    return event


def _is_binary(request: Request) -> bool:
    kind = request.header("content-type").partition(";")[0].strip().lower()
    return bool(request.header("content-encoding")) or not (
        kind.startswith("text/") or kind in TEXT_TYPES
    )


def _gather(pairs: Pairs) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for key, value in pairs:
        gathered.setdefault(key, []).append(value)
    return gathered


@dataclass(frozen=True)
class Answer:
    """An HTTP answer that the load balancer sends itself or takes from a function."""

    status: int
    reason: str | None = None
    headers: Pairs = ()
    body: bytes = b""


def lambda_answer(payload: bytes, *, multi_value: bool) -> Answer:
    """The HTTP answer that a function's result stands for ("Use Lambda functions as targets").

    ValueError, which the load balancer turns into a 502, where the result is over 1 MB, no JSON
    object, without a usable `statusCode`, or has headers or a body that are not strings.
    """
    if len(payload) > LAMBDA_LIMIT:
        raise ValueError(f"the function's answer has {len(payload)} bytes, over 1 MB")
    result = json.loads(payload)
    if not isinstance(result, dict):
        raise ValueError("the function's answer is not a JSON object")
    status = result.get("statusCode")
    if isinstance(status, bool) or not re.fullmatch(r"[1-5]\d\d", str(status)):
        raise ValueError(f"the function's answer has the statusCode {status!r}")
    body = result.get("body") or ""
    if not isinstance(body, str):
        raise ValueError("the function's body is not a string")
    raw = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
    description = re.sub(r"^\d{3}\s*", "", str(result.get("statusDescription") or "")) or None
    return Answer(int(str(status)), description, _answer_headers(result, multi_value), raw)


def _answer_headers(result: Mapping[str, Any], multi_value: bool) -> Pairs:
    given = result.get("multiValueHeaders" if multi_value else "headers") or {}
    if not isinstance(given, dict):
        raise ValueError("the function's headers are not an object")
    headers: list[tuple[str, str]] = []
    for name, value in given.items():
        values = value if multi_value and isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise ValueError(f"the function's header {name!r} is not a string")
        if name.lower() not in HOP_BY_HOP | {"content-length"}:
            headers.extend((name, each) for each in values)
    return headers


# --- target health -------------------------------------------------------------------------------

REASONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.Timeout": "Request timed out",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.HealthCheckDisabled": "Health checks are not enabled for this target",
}


@dataclass
class Health:
    """One target's health: states and reasons of "Health checks for target groups".

    A new target is healthy after its first passed check, whatever the threshold; afterwards the
    thresholds count consecutive results.
    """

    healthy_threshold: int
    unhealthy_threshold: int
    state: str = "initial"
    reason: str | None = "Elb.RegistrationInProgress"
    description: str | None = None
    _passed: int = field(default=0, repr=False)
    _failed: int = field(default=0, repr=False)

    def record(self, failure: str | None = None, description: str | None = None) -> None:
        """Take in one check: `failure` is None if it passed, else the reason code."""
        if failure is None:
            self._passed, self._failed = self._passed + 1, 0
            if self.state == "initial" or self._passed >= self.healthy_threshold:
                self.state, self.reason, self.description = "healthy", None, None
            return
        self._passed, self._failed = 0, self._failed + 1
        if self.state != "unhealthy" and self._failed < self.unhealthy_threshold:
            if self.state == "initial":
                self.reason = "Elb.InitialHealthChecking"
            return
        self.state, self.reason = "unhealthy", failure
        self.description = description or REASONS.get(failure)

    def as_dict(self) -> dict[str, str]:
        """The `TargetHealth` of `DescribeTargetHealth`."""
        shape = {"State": self.state}
        if self.reason:
            shape["Reason"] = self.reason
            shape["Description"] = self.description or REASONS[self.reason]
        return shape


def status_matches(matcher: str, status: int) -> bool:
    """Whether a status is a success by a matcher such as `200`, `200,202` or `200-399`."""
    for part in matcher.split(","):
        low, _, high = part.strip().partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False
