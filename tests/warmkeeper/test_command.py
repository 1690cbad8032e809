"""Where the tools ask, and what a person reads of an error."""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
import warmkeeper as wk

from tests.tools.answers import Session
from tests.warmkeeper.world import World
from tools import command, dashboard, explain, report

CONFIG = """\
[profile staging]
region = eu-south-1
aws_access_key_id = key
aws_secret_access_key = secret

[profile bare]
aws_access_key_id = key
aws_secret_access_key = secret
"""
ENVIRONMENT = {
    "AWS_REGION": "eu-north-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_PROFILE": "staging",
}
# the first of these that is there says where
PLACES = {"--region": "eu-central-1", **ENVIRONMENT, "AWS_PROFILE": "eu-south-1"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No region and no profile of this machine's."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def session(*arguments: str) -> boto3.Session:
    return command.session_of(command.options("Asks.", ["staging", *arguments]))


SETS = [chosen for n in range(1, 5) for chosen in itertools.combinations(PLACES, n)]


@pytest.mark.parametrize("given", SETS, ids=" ".join)
def test_the_region_is_the_first_one_given_wherever_it_stands(
    given: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in given:
        if name in ENVIRONMENT:
            monkeypatch.setenv(name, ENVIRONMENT[name])
    options = ["--region", PLACES["--region"]] if "--region" in given else []
    assert session(*options).region_name == PLACES[given[0]]


def test_the_option_names_the_profile_and_with_it_the_region() -> None:
    assert session("--profile", "staging").region_name == "eu-south-1"


def test_a_variable_that_is_empty_names_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert session().region_name == "eu-west-1"


def draw(arguments: Sequence[str]) -> int:
    """tools/dashboard.py, which reads its own command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dashboard", "staging-warmkeeper", "none.png", *arguments[1:]])
        return dashboard.main()


TOOLS: dict[str, Callable[[Sequence[str]], int]] = {
    "explain": explain.main,
    "report": report.main,
    "dashboard": draw,
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("profile", [[], ["--profile", "bare"]], ids=["no profile", "bare profile"])
def test_without_a_region_every_tool_names_the_remedies(
    tool: str, profile: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert TOOLS[tool](["staging", *profile]) == 1
    said = capsys.readouterr().err
    remedies = ["AWS_REGION", "AWS_DEFAULT_REGION", "aws configure set region", "--region REGION"]
    assert [each for each in remedies if each not in said] == []
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("tool", TOOLS)
def test_a_profile_that_is_not_there_is_a_message_and_no_trace(
    tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert TOOLS[tool](["staging", "--profile", "nobody"]) == 1
    assert capsys.readouterr().err == "The config profile (nobody) could not be found\n"


@pytest.mark.parametrize("tool", TOOLS)
def test_an_account_that_does_not_answer_is_a_message_and_no_trace(
    tool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert TOOLS[tool](["staging", "--profile", "staging"]) == 1
    assert "Could not connect to the endpoint URL" in capsys.readouterr().err


def test_no_tool_asks_boto3_for_a_session_of_its_own() -> None:
    tools = sorted((Path(command.__file__).parent).glob("*.py"))
    made = re.compile(r"boto3\.(Session|client|resource)\(")
    assert [path.name for path in tools if made.search(path.read_text())] == ["command.py"]


# --- errors of the function --------------------------------------------------------------------
def refused_by(event: object) -> dict[str, Any]:
    """What Lambda's Python runtime makes of the error that the warmkeeper raises."""
    # https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    with pytest.raises(wk.RefusedError) as refused:
        World().invoke(event)
    kind = refused.type.__name__
    trace = ['  File "/var/task/warmkeeper.py", line 1, in handler\n    return container()\n']
    return {"errorMessage": str(refused.value), "errorType": kind, "stackTrace": trace}


def said_of(error: object) -> str:
    answer = {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(error).encode())}
    asked: Any = Session(invoke=answer)
    with pytest.raises(command.CommandError) as raised:
        command.ask(asked, "staging-warmkeeper", "explain")
    return str(raised.value)


def test_a_refused_command_is_its_message_and_no_trace() -> None:
    said = said_of(refused_by({"command": "explian"}))
    allowed = f"{', '.join(wk.COMMANDS)}; or terraform with tf.action create, update, delete"
    assert said == (f"staging-warmkeeper refuses explain: the command is not one of {allowed}")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ({"errorMessage": "no table staging", "errorType": "TableGoneError"}, "no table staging"),
        ({"errorType": "Runtime.ExitError", "stackTrace": ["  x"]}, "ExitError"),
        ({"errorMessage": "", "errorType": "KeyError", "stackTrace": ["  x"]}, "KeyError"),
        ({"stackTrace": ["  x"]}, "error"),
        (None, "error"),
        ("out of memory", "error"),
    ],
)
def test_any_other_error_is_its_message_or_at_least_its_name(error: object, why: str) -> None:
    assert said_of(error) == f"staging-warmkeeper does not answer explain: {why}"
