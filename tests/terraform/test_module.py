"""`terraform test` with a mocked provider: defaults, switches, checks and every validation."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terraform.kept_provider import mocked_environment

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = "-test-directory=tests/terraform"

pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs Terraform in the module's folder, initialised once; AssertionError with what it said."""
    data = str(tmp_path_factory.mktemp("terraform"))
    environment = {**mocked_environment(), "TF_DATA_DIR": data}

    def run(*arguments: str) -> str:
        command = ["terraform", *arguments]
        ran = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    run("init", "-backend=false", "-no-color", FOLDER)
    return run


@pytest.mark.parametrize(
    "file",
    [
        "checks",
        "defaults",
        "environment",
        "environment_validations",
        "login",
        "routes",
        "schedule",
        "switches",
        "validations",
        "wiring",
    ],
)
def test_terraform_test_passes(terraform: Callable[..., str], file: str) -> None:
    terraform("test", "-no-color", FOLDER, f"-filter=tests/terraform/{file}.tftest.hcl")
