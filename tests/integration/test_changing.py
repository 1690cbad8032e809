"""The module is changed under a service in every phase, and applies are interrupted.

Each phase with one change by default; TEST_UPGRADES=1 (`make test-upgrades`) takes every change in
each phase, and interrupts the module's creation where the service is adopted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from localcloud.client import LocalCloud
from tests import figures
from tests.estate import MODULE_ALONE, SLOW, Estate, Workspace, copy_of_module
from tests.integration.conftest import WIDE
from tests.surroundings import Surroundings
from tools.package import build
from tools.terraform_env import terraform_environment

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

PHASES = ("awake", "drowsy", "asleep", "waking")
# A wake under way may end meanwhile; and in another target group no target is live at first.
MAY_BE = {
    "waking": ("waking", "awake"),
    "awake, another target group": ("awake", "waking"),
    "drowsy, another target group": ("drowsy", "waking", "awake"),
}


@dataclass
class Copy:
    """The module and the call of it, to be changed: applied to the same state as the originals."""

    root: Path
    workspace: Workspace

    @classmethod
    def of(cls, workspace: Workspace, root: Path) -> Copy:
        folder = copy_of_module(root, MODULE_ALONE)
        variables = dict(workspace.variables)
        # a provider of its own would stay for each copy
        own = replace(workspace, folder=folder, variables=variables, keeps_provider=False)
        own.init()
        return cls(root, own)

    def edit(self, name: str, old: str, new: str) -> None:
        file = self.root / name
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} in {name}"
        file.write_text(text.replace(old, new))

    def apply_until(self, cloud: LocalCloud, action: str, stop: signal.Signals) -> None:
        """Apply, and send Terraform this signal when it makes this call; waits for its end."""
        settings = {**os.environ, **terraform_environment(), **self.workspace.environment}
        settings["TF_DATA_DIR"] = str(self.workspace.scratch / "data")
        state = self.workspace.scratch / "terraform.tfstate"
        given = [f"-var={name}={value}" for name, value in self.workspace.variables.items()]
        command = ["terraform", "apply", "-auto-approve", "-input=false", f"-state={state}", *given]
        since = max((call["n"] for call in cloud.calls()), default=0)
        process = subprocess.Popen(
            command,
            cwd=self.workspace.folder,
            env=settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not cloud.calls(since, action=action, caller="local"):
                assert process.poll() is None, f"it ended without {action}"
                time.sleep(0.1)
            process.send_signal(stop)
            assert process.wait(120) != 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its providers, which it leaves behind


def another_code(copy: Copy, _: Surroundings) -> None:
    """As a new version of the module has it."""
    copy.edit("lambda/warmkeeper.py", "def handler(", "# another version\ndef handler(")
    (copy.root / "lambda" / "warmkeeper.zip").write_bytes(build(copy.root / "lambda"))


def another_idle_time(copy: Copy, _: Surroundings) -> None:
    copy.workspace.variables["idle_minutes"] = 7


def another_rule_priority(copy: Copy, _: Surroundings) -> None:
    copy.workspace.variables["rule_priority"] = 20


def another_target_group(copy: Copy, surroundings: Surroundings) -> None:
    """The service and its rule go to the other group, as Terraform would have it before ours."""
    group = surroundings.make_target_group("staging-app-2")
    surroundings.move_to(group)
    copy.workspace.variables["target_group_arn"] = group


CHANGES: dict[str, Callable[[Copy, Surroundings], None]] = {
    "code": another_code,
    "idle time": another_idle_time,
    "rule priority": another_rule_priority,
    "target group": another_target_group,
}
# the change, and the call during which Terraform is interrupted, by which signal
BY_DEFAULT = {
    "awake": ("code", "UpdateFunctionCode", signal.SIGKILL),
    "drowsy": ("rule priority", "", None),
    "asleep": ("target group", "", None),
    "waking": ("idle time", "UpdateFunctionConfiguration", signal.SIGINT),
}
CASES = [
    pytest.param(phase, change, call, stop, id=f"{phase}, another {change}")
    for phase in PHASES
    for change, call, stop in (
        [(each, "", None) for each in CHANGES] if WIDE else [BY_DEFAULT[phase]]
    )
]


@pytest.fixture(scope="module")
def changeable(applied: Estate) -> Iterator[None]:
    """At the end the shared estate is as it was; each change is made to the original."""
    yield
    applied.apply()


@pytest.mark.usefixtures("changeable")
@pytest.mark.parametrize(("phase", "change", "call", "stop"), CASES)
def test_a_change_keeps_the_phase_and_requests_are_served_afterwards(
    estate: Estate,
    cloud: LocalCloud,
    tmp_path: Path,
    phase: str,
    change: str,
    call: str,
    stop: signal.Signals | None,
) -> None:
    estate.bring_to(phase, cloud)
    kept = MAY_BE.get(f"{phase}, another {change}", MAY_BE.get(phase, (phase,)))
    assert estate.surroundings
    copy, began = Copy.of(estate.workspace, tmp_path), cloud.now()
    try:
        with cloud.at_speed(SLOW):
            CHANGES[change](copy, estate.surroundings)
            if stop:
                copy.apply_until(cloud, call, stop)
            copy.workspace.apply()
        assert estate.phase() in kept
        assert estate.updates(cloud, began) == []
        cloud.settle()
        asked = requests.get(estate.outputs["status_url"], timeout=300)
        assert asked.json()["phase"] in kept, "a question wakes nobody"
        assert estate.get().status_code == 200
        estate.until("awake")
        if stop:
            assert not copy.workspace.changes()
    finally:
        if change == "target group":  # a running task stays in the group that it was started for
            estate.fall_asleep(cloud)
            estate.surroundings.move_to(estate.surroundings.target_group_arn)
            estate.apply()
            estate.surroundings.delete_target_group(copy.workspace.variables["target_group_arn"])
    found = {"phase": phase, "change": change, "interrupted by": stop.name if stop else None}
    figures.record("rights", f"changed-{phase}-{change.replace(' ', '-')}", found)


if WIDE:

    @pytest.mark.usefixtures("changeable")
    def test_a_creation_that_was_interrupted_while_the_service_is_adopted_converges(
        estate: Estate, cloud: LocalCloud, tmp_path: Path
    ) -> None:
        """What is interrupted while it is created Terraform does not know: operating.md."""
        estate.workspace.destroy("module.scale_to_zero")
        copy = Copy.of(estate.workspace, tmp_path)
        copy.apply_until(cloud, "Invoke", signal.SIGINT)
        assert estate.get().status_code == 200
        estate.workspace.apply()
        assert not estate.workspace.changes()
        estate.until("awake")
        estate.fall_asleep(cloud)
        assert estate.get().status_code == 200
