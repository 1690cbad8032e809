"""Recorded events of every kind, changed in every way, given to the real warmkeeper.

By HTTP there is always an answer that the load balancer takes. Elsewhere there is a result, or the
event is refused: with a reason in the log, once in the metric, and with nothing written or called.
`FUZZ=200000` in the environment tries more than the 10,000 of `make test`.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import warmkeeper as wk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import figures
from tests.warmkeeper.mutations import PLACES, at, change
from tests.warmkeeper.recorded import TEXTS, counted, log_lines, metrics, state
from tests.warmkeeper.scenes import STATES, state_of

TRIES = int(os.environ.get("FUZZ", "10000"))
BATCH = 10  # events of one try of hypothesis, which takes longer than they do
ANSWER = {"statusCode", "statusDescription", "isBase64Encoded", "multiValueHeaders", "body"}
EVERYWHERE = [(name, place) for name in sorted(PLACES) for place in PLACES[name]]


def nested(depth: int, shell: Callable[[Any], Any]) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = shell(value)
    return value


ODD: list[Callable[[], Any]] = [
    lambda: None,
    lambda: True,
    lambda: False,
    lambda: 0,
    lambda: -1,
    lambda: 10**4000,
    lambda: 1e308,
    lambda: math.nan,
    lambda: -math.inf,
    list,
    dict,
    lambda: [None],
    lambda: [[]],
    lambda: {"": ""},
    lambda: nested(400, lambda inner: [inner]),
    lambda: nested(400, lambda inner: {"elb": inner}),
    lambda: "",
    lambda: "//",
    lambda: "=",
    lambda: "A===",
    lambda: "ä" * 9,
    lambda: "x" * 200_000,
    lambda: "[" * 20_000,
    lambda: '{"in_flight": NaN}',
    lambda: '{"in_flight": ' + "9" * 5000 + "}",
    lambda: '{"AlarmArn": [], "NewStateValue": "ALARM"}',
    lambda: "\ud800",
    lambda: "a\r\nSet-Cookie: b=c",
    lambda: "\x00\x7f\u202e\U0001f4a4",
    lambda: "%zz%2e%2e/..;/",
    lambda: "awake",
    lambda: "Bearer secret",
]

VALUES = st.one_of(
    st.sampled_from(ODD).map(lambda make: make()),
    st.sampled_from(EVERYWHERE).map(lambda there: at(json.loads(TEXTS[there[0]]), there[1])),
    st.text(max_size=8),
    st.integers() | st.floats(),
)
KINDS = ["delete", "replace", "list", "text", "wrap", "rename", "add", "double"]
CHANGE = st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6), VALUES)
MUTANT = st.tuples(st.sampled_from(sorted(TEXTS)), st.lists(CHANGE, min_size=1, max_size=3))


def mutated(name: str, changes: list[tuple[str, int, Any]]) -> Any:
    event = json.loads(TEXTS[name])
    for kind, place, value in changes:
        with contextlib.suppress(LookupError, TypeError):
            event = change(event, PLACES[name][place % len(PLACES[name])], kind, value)
    return event


def is_http(event: Any) -> bool:
    """Whether it says that a load balancer sent it."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and "elb" in context


def assert_the_load_balancer_takes(answer: dict[str, Any]) -> None:
    """The form of a response, as the load balancer demands it, and a header's characters."""
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    assert answer.keys() == ANSWER
    status = HTTPStatus(answer["statusCode"])
    assert answer["statusDescription"] == f"{status.value} {status.phrase}"
    assert answer["isBase64Encoded"] is False
    assert isinstance(answer["body"], str)
    answer["body"].encode()
    for name, values in answer["multiValueHeaders"].items():
        assert re.fullmatch(r"[A-Za-z-]+", name)
        assert len(values) == 1
        assert re.fullmatch(r"[ -~]*", values[0])


def hear(phase: str, event: Any) -> str:
    """What came of it, in a word; AssertionError where that is not as it should be."""
    with contextlib.redirect_stdout(io.StringIO()):
        outside = state_of(phase)
    before, output = state(outside), io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            answer = outside.invoke(event)
    except wk.RefusedError as error:
        assert not is_http(event)
        outcome, why = "refused", str(error)
    else:
        json.dumps(answer)
        outcome = "answered"
        if is_http(event):
            assert_the_load_balancer_takes(answer)
            outcome = f"HTTP {answer['statusCode']}"
            refused = answer["statusCode"] in (400, 401, 403)
            why = json.loads(answer["body"] or "{}").get("detail", "") if refused else ""
        else:
            why = ""
    if why:
        assert state(outside) == before
        assert metrics(output.getvalue()) == counted(outside)
        line = log_lines(output.getvalue())[0]
        assert (line["message"], line["reason"]) == ("refused", why)
    assert '"unforeseen"' not in output.getvalue(), output.getvalue()
    return outcome


def test_no_event_however_mutated_breaks_it_or_is_refused_after_something_was_done() -> None:
    found: Counter[str] = Counter()
    began = time.monotonic()

    @settings(max_examples=TRIES // BATCH, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sampled_from(STATES), MUTANT), min_size=BATCH, max_size=BATCH))
    def run(batch: list[tuple[str, tuple[str, list[tuple[str, int, Any]]]]]) -> None:
        for phase, (name, changes) in batch:
            found[hear(phase, mutated(name, changes))] += 1

    run()
    events = {"tries": found.total(), "outcomes": dict(found.most_common())}
    figures.record("events", "mutated", {**events, "seconds": round(time.monotonic() - began, 1)})
    assert {"refused", "answered", "HTTP 200", "HTTP 307", "HTTP 400"} <= found.keys()
