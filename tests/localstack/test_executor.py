"""The plugin that runs LocalStack's functions (executor.py), with functions of a few lines."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.estate import client
from tests.localstack.clouds import Clouds, make_function
from tests.waits import until

Invoke = Callable[[Any], dict[str, Any]]

PROGRAM = """
import os, time

if os.environ.get("BROKEN"):
    raise ImportError("no such thing")

def handler(event, context):
    print("got", event)
    if event == "exit":
        os._exit(3)
    if event == "sleep":
        time.sleep(60)
    if event == "raise":
        raise ValueError("what it got")
    return {
        "event": event,
        "process": os.getpid(),
        "name": context.function_name,
        "left": context.get_remaining_time_in_millis(),
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
    }
"""


@pytest.fixture(scope="module")
def function(clouds: Clouds) -> Callable[..., Invoke]:
    """Make a function, and give what invokes it."""
    lambda_ = client(clouds.environment(), "lambda")

    def make(name: str, **variables: str) -> Invoke:
        make_function(lambda_, name, PROGRAM, timeout=5, **variables)
        lambda_.get_waiter("function_active_v2").wait(FunctionName=name)

        def invoke(event: Any) -> dict[str, Any]:
            answer = lambda_.invoke(
                FunctionName=name, Payload=json.dumps(event).encode(), LogType="Tail"
            )
            return {**answer, "Payload": json.loads(answer["Payload"].read())}

        return invoke

    return make


@pytest.fixture(scope="module")
def invoke(function: Callable[..., Invoke]) -> Invoke:
    """A function that does as its event says."""
    return function("obedient")


def test_a_function_answers_with_its_log_and_runs_on_in_the_same_process(
    invoke: Invoke, clouds: Clouds
) -> None:
    first = invoke("one")
    second = invoke("two")
    assert first["Payload"]["event"] == "one"
    assert first["Payload"]["name"] == "obedient"
    assert 0 < first["Payload"]["left"] <= 5000
    assert first["Payload"]["endpoint"] == clouds.front.endpoint
    assert second["Payload"]["process"] == first["Payload"]["process"]
    assert base64.b64decode(second["LogResult"]) == b"got two\n"


def test_an_error_of_the_function_is_its_own(invoke: Invoke) -> None:
    answer = invoke("raise")
    assert answer["FunctionError"]
    assert answer["Payload"]["errorType"] == "ValueError"
    assert answer["Payload"]["errorMessage"] == "what it got"


@pytest.mark.parametrize(
    ("event", "said"), [("exit", "process ended"), ("sleep", "timed out after 5 seconds")]
)
def test_a_process_that_ends_or_takes_too_long_is_replaced(
    invoke: Invoke, event: str, said: str
) -> None:
    before = invoke("one")["Payload"]["process"]
    answer = invoke(event)
    assert answer["FunctionError"]
    assert said in answer["Payload"]["errorMessage"]
    assert invoke("two")["Payload"]["process"] != before
    until(lambda: is_gone(before), "the end of the process")


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_function_that_cannot_be_imported_says_why(function: Callable[..., Invoke]) -> None:
    answer = function("broken", BROKEN="1")("one")
    assert answer["FunctionError"]
    assert "no such thing" in answer["Payload"]["errorMessage"]
