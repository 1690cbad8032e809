"""Nothing of what was sent is in the log, whatever was sent, whatever goes wrong, nor the token."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import warmkeeper as wk
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.warmkeeper.mutations import PLACES, change
from tests.warmkeeper.recorded import TEXTS, request
from tests.warmkeeper.scenes import STATES, state_of
from tests.warmkeeper.world import CONTROL_GROUP, WAKE_GROUP

CANARY = "canary7f3a"  # in every value
TOKEN = "tokenc01d"  # what SSM holds
HEADERS = (
    "authorization", "cookie", "user-agent", "referer", "origin", "x-forwarded-for", "accept",
    "access-control-request-method", "access-control-request-headers", "sec-fetch-mode",
    "sec-fetch-dest", "x-amzn-trace-id", "host", CANARY,
)  # fmt: skip
USUAL = {
    "accept": ["text/html", "image/png", "*/*"],
    "sec-fetch-mode": ["navigate", "cors"],
    "access-control-request-method": ["PUT"],
    "authorization": [f"Bearer {TOKEN}"],
}
OPERATIONS = [
    "get_item", "put_item", "describe_services", "update_service", "list_tasks", "describe_tasks",
    "describe_target_health", "set_rule_priorities", "get_parameter", "publish",
]  # fmt: skip
PATHS = ["/", "/health", "/.warmkeeper/status", "/.warmkeeper/wake", "/.warmkeeper/heartbeat"]
BODIES = ["", "{", '{"in_flight": 1}', '{"in_flight": "%s"}', '{"requests": -1, "a": "%s"}', "%s"]

HEADER_SETS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from([CANARY, f"a; b={CANARY}", *USUAL.get(name, ())]) for name in HEADERS
    },
)
REQUESTS = st.builds(
    request,
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", CANARY]),
    st.sampled_from([*PATHS, f"/{CANARY}/a"]),
    headers=HEADER_SETS,
    query=st.sampled_from([{}, {"a": [CANARY]}, {CANARY: ["", CANARY]}]),
    body=st.sampled_from(BODIES).map(lambda body: body.replace("%s", CANARY)),
    group=st.sampled_from([WAKE_GROUP, CONTROL_GROUP, f"{WAKE_GROUP}{CANARY}"]),
)
THROTTLED = "ThrottlingException"
ERRORS: dict[str, Callable[[], Exception]] = {
    "ValueError": lambda: ValueError(f"{CANARY} {TOKEN}"),
    "KeyError": lambda: KeyError(CANARY),
    "UnicodeEncodeError": lambda: UnicodeEncodeError("utf-8", f"{CANARY}\ud800", 10, 11, TOKEN),
}


def log_of(phase: str, event: Any, operation: str = "", error: str = "") -> str:
    """All that was logged, and what Lambda logs of an error that it is given."""
    output = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        outside = state_of(phase)
    outside.environment["HEARTBEAT_TOKEN_PARAMETER"] = "parameter"
    outside.token = TOKEN
    if error == THROTTLED:
        outside.failing.add(operation)
    elif operation:
        outside.between(operation, lambda: raised(error))
    with contextlib.redirect_stdout(output):
        try:
            outside.invoke(event)
        except wk.RefusedError as refused:
            print(refused)
    return output.getvalue()


def raised(error: str) -> None:
    """From the error of an error, as it happens."""
    try:
        raise RuntimeError(CANARY)
    except RuntimeError as first:
        raise ERRORS[error]() from first


@settings(max_examples=300)
@given(
    st.sampled_from(STATES),
    REQUESTS,
    st.sampled_from(["", *OPERATIONS]),
    st.sampled_from([THROTTLED, *ERRORS]),
)
def test_the_log_has_nothing_of_a_request_nor_the_token(
    phase: str, event: dict[str, Any], operation: str, error: str
) -> None:
    logged = log_of(phase, event, operation, error)
    assert CANARY not in logged
    assert TOKEN not in logged


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_log_has_nothing_of_an_event_wherever_in_it(name: str) -> None:
    for place in PLACES[name]:
        for value in (CANARY, {CANARY: CANARY}):
            event = change(json.loads(TEXTS[name]), place, "replace", value)
            assert CANARY not in log_of("asleep", event)


@pytest.mark.parametrize("error", [THROTTLED, *ERRORS])
@pytest.mark.parametrize("operation", OPERATIONS[:4])
def test_the_log_says_where_an_unforeseen_error_was_all_the_same(
    operation: str, error: str
) -> None:
    lines = [
        json.loads(line) for line in log_of("asleep", request(), operation, error).splitlines()
    ]
    (line,) = [line for line in lines if line.get("message") == "unforeseen"]
    assert error in line["error"]
    assert "return self.request(request, arrived)" in line["trace"]
