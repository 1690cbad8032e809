"""The actions of .github/actions on the local cloud, run as GitHub's runner runs their steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.client import LocalCloud
from tests.estate import REPOSITORY, Estate

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

EXPRESSION = re.compile(r"\$\{\{ (\w+)\.([\w.-]+) \}\}")
# https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax, "shell"
BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
BIN = Path(sys.executable).parent  # the AWS CLI is there


@dataclass
class Ended:
    """What became of an action: its outputs are there if its steps have succeeded."""

    code: int
    log: str
    outputs: dict[str, str]

    @property
    def error(self) -> str:
        """The one error annotation."""
        (text,) = re.findall(r"(?m)^::error::(.*)$", self.log)
        return str(text)


@dataclass
class Runner:
    """A runner's environment: its files, and what aws-actions/configure-aws-credentials sets."""

    folder: Path
    account: dict[str, str]

    def run(self, name: str, **inputs: str) -> Ended:
        """Run the composite action; the names of inputs have _ for -."""
        home = REPOSITORY / ".github" / "actions" / name
        action: dict[str, Any] = yaml.safe_load((home / "action.yml").read_text("utf-8"))
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert given.keys() <= action["inputs"].keys()
        values = {
            f"inputs.{name}": given.get(name, each.get("default", ""))
            for name, each in action["inputs"].items()
        }
        log = ""
        for number, step in enumerate(action["runs"]["steps"]):
            assert step["shell"] == "bash"
            script = self.folder / f"{number}.sh"
            script.write_text(filled(step["run"], values))
            output = self.folder / f"output-{number}"
            output.write_text("")
            ended = subprocess.run(
                [*BASH, str(script)],
                cwd=self.folder,
                env={
                    "PATH": f"{BIN}:{os.environ['PATH']}",
                    "HOME": str(self.folder),
                    "RUNNER_TEMP": str(self.folder),
                    "GITHUB_OUTPUT": str(output),
                    "GITHUB_ACTION_PATH": str(home),
                    **self.account,
                    **{each: filled(value, values) for each, value in step["env"].items()},
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            log += ended.stdout
            if ended.returncode:
                return Ended(ended.returncode, log, {})
            for line in output.read_text().splitlines():
                name, _, value = line.partition("=")
                values[f"steps.{step['id']}.outputs.{name}"] = value
        outputs = {each: filled(o["value"], values) for each, o in action["outputs"].items()}
        return Ended(0, log, outputs)


def filled(text: str, values: dict[str, str]) -> str:
    """The text with the values of its expressions; KeyError for one that the runner has not."""
    return EXPRESSION.sub(lambda found: values[f"{found[1]}.{found[2]}"], text)


@pytest.fixture
def runner(estate: Estate, cloud: LocalCloud, tmp_path: Path) -> Iterator[Runner]:
    account = cloud.environment()
    del account["AWS_DEFAULT_REGION"]  # version 1 of the CLI reads nothing else
    yield Runner(tmp_path, account)
    estate.invoke({"command": "unpin"})


def invocations(estate: Estate, cloud: LocalCloud) -> int:
    """How often somebody outside has invoked the function."""
    name = estate.outputs["function_name"]
    calls = cloud.calls(service="lambda", action="Invoke", caller="local")
    return sum(name in str(call["resource"]) for call in calls)


def test_wake_waits_until_the_service_is_awake_and_pins_it_and_unpin_ends_the_pin(
    estate: Estate, cloud: LocalCloud, runner: Runner
) -> None:
    name = estate.outputs["function_name"]
    estate.fall_asleep(cloud)
    ended = runner.run("wake", function_name=name)
    assert ended.code == 0, ended.log
    assert ended.outputs["phase"] == estate.phase() == "awake"
    assert int(ended.outputs["seconds"]) >= 0
    assert ended.outputs["pinned-until"] == "0.0"
    assert '"phase": "awake"' in ended.log
    assert estate.get().status_code == 200

    ended = runner.run("wake", function_name=name, pin_minutes="90", region="us-east-1")
    assert ended.code == 0, ended.log
    pinned_until = estate.memory()["pinned_until"]
    assert float(ended.outputs["pinned-until"]) == pinned_until
    assert 80 * 60 < pinned_until - cloud.now() <= 90 * 60

    ended = runner.run("unpin", function_name=name)
    assert ended.code == 0, ended.log
    assert ended.outputs == {"phase": "awake"}
    assert estate.memory()["pinned_until"] == 0


@pytest.mark.parametrize("phase", ["drowsy", "waking"])
def test_wake_leads_to_awake_from_every_other_phase(
    phase: str, estate: Estate, cloud: LocalCloud, runner: Runner
) -> None:
    estate.bring_to(phase, cloud)
    ended = runner.run("wake", function_name=estate.outputs["function_name"], pin_minutes="5")
    assert ended.code == 0, ended.log
    assert ended.outputs["phase"] == estate.phase() == "awake"
    assert estate.memory()["pinned_until"] > cloud.now()
    cloud.settle()
    assert estate.get().status_code == 200


@contextmanager
def impatient(estate: Estate, seconds: int) -> Iterator[None]:
    """A wake is given up after so few seconds: while somebody waits, the clock runs at 1x."""
    functions = estate.client("lambda")
    name = estate.outputs["function_name"]
    own = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    short = {**own, "WAKE_DEADLINE_SECONDS": str(seconds)}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": short})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": own})


def test_where_the_service_does_not_start_the_step_fails_with_ecs_s_reason(
    estate: Estate, cloud: LocalCloud, runner: Runner
) -> None:
    name = estate.outputs["function_name"]
    estate.fall_asleep(cloud)
    cloud.settings(ecs={"failure": "image"})
    with impatient(estate, 15):
        ended = runner.run("wake", function_name=name, pin_minutes="5")
    assert ended.code == 1
    assert ended.outputs == {}
    assert ended.error.startswith(f"{name}: not awake: ")
    assert "CannotPullContainerError: pull image manifest has been retried" in ended.error
    assert estate.memory()["pinned_until"] == 0
    cloud.settings(ecs={"failure": None})
    assert runner.run("wake", function_name=name).outputs["phase"] == "awake"


BAD = {
    "function-name": {"function_name": ""},
    "pin-minutes": {"pin_minutes": '1}, "command": "sleep'},
    "timeout-seconds": {"timeout_seconds": "0"},
}


@pytest.mark.parametrize("named", BAD)
def test_a_wrong_input_is_named_and_nothing_is_sent(
    named: str, estate: Estate, cloud: LocalCloud, runner: Runner
) -> None:
    before = invocations(estate, cloud)
    ended = runner.run("wake", **{"function_name": estate.outputs["function_name"], **BAD[named]})
    assert ended.code == 1
    assert ended.error.startswith(named)
    assert invocations(estate, cloud) == before


@pytest.mark.parametrize("name", ["wake", "unpin"])
def test_a_function_that_is_not_there_fails_the_step_with_what_aws_says(
    name: str, runner: Runner
) -> None:
    ended = runner.run(name, function_name="other-warmkeeper")
    assert ended.code == 1
    assert "ResourceNotFoundException" in ended.log
    assert ended.error.startswith("other-warmkeeper could not be asked")


def test_who_waits_no_longer_fails_and_has_sent_one_command(
    estate: Estate, cloud: LocalCloud, runner: Runner
) -> None:
    estate.fall_asleep(cloud)
    cloud.settings(ecs={"pull_seconds": 20})
    before = invocations(estate, cloud)
    ended = runner.run("wake", function_name=estate.outputs["function_name"], timeout_seconds="1")
    assert ended.code == 1
    assert "timeout" in ended.log.lower()
    estate.until("awake")
    assert invocations(estate, cloud) == before + 1
