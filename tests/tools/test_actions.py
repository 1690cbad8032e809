"""The actions of .github/actions, by the checkers of others, and as the documents use them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ACTIONS = REPOSITORY / ".github" / "actions"
SCRIPTS = sorted(ACTIONS.rglob("*.sh"))
NAMES = sorted(path.parent.name for path in ACTIONS.rglob("action.yml"))
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
USED = re.compile(r"uses: OWNER/terraform-aws-ecs-scale-to-zero/\.github/actions/(\w+)@(\S+)")


def tool(name: str) -> str:
    """The program, from the environment of these tests or from PATH; skips without it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"no {name}: make setup")
    return found


def checked(*command: str) -> None:
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_shellcheck_finds_nothing_in_the_actions_scripts() -> None:
    assert {path.name for path in SCRIPTS} == {"invoke.sh", "wake.sh", "unpin.sh"}
    checked(tool("shellcheck"), "-x", "-P", "SCRIPTDIR", *map(str, SCRIPTS))


def test_zizmor_finds_nothing_in_the_actions() -> None:
    checked(tool("zizmor"), "--offline", "--quiet", "--no-config", "--persona=pedantic", ".github")


def action(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ACTIONS / name / "action.yml").read_text("utf-8"))
    return read


@pytest.mark.parametrize("name", NAMES)
def test_each_input_reaches_the_script_and_no_expression_stands_in_a_command(name: str) -> None:
    described = action(name)
    (step,) = described["runs"]["steps"]
    assert "${{" not in step["run"]
    assert {f"${{{{ inputs.{each} }}}}" for each in described["inputs"]} == {*step["env"].values()}
    files = (ACTIONS / name / f"{name}.sh", ACTIONS / "invoke.sh")
    script = "".join(file.read_text("utf-8") for file in files).replace("${", "$")
    assert [variable for variable in step["env"] if f"${variable}" not in script] == []


def steps() -> list[dict[str, Any]]:
    """The steps of the documents' YAML that use an action of this repository."""
    texts = (
        text
        for document in DOCUMENTS
        for text in re.findall(r"^```yaml\n(.*?)^```$", document.read_text("utf-8"), re.M | re.S)
    )
    return [
        step
        for text in texts
        for job in yaml.safe_load(text)["jobs"].values()
        for step in job["steps"]
        if USED.search(f"uses: {step.get('uses', '')}")
    ]


def test_the_documents_use_each_action_with_inputs_that_it_has() -> None:
    used = set()
    for step in steps():
        found = USED.search(f"uses: {step['uses']}")
        assert found
        inputs = action(found[1])["inputs"]
        needed = {name for name, each in inputs.items() if each.get("required")}
        assert needed <= step["with"].keys() <= inputs.keys()
        used.add(found[1])
    assert used == set(NAMES)
