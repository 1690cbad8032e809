"""`terraform test` with a mocked provider: defaults, switches and every validation."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.terraform_env import terraform_environment

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.terraform
@pytest.mark.parametrize("file", ["defaults", "switches", "validations"])
def test_terraform_test_passes(file: str, tmp_path: Path) -> None:
    environment = {**os.environ, **terraform_environment(), "TF_DATA_DIR": str(tmp_path)}
    environment |= {"AWS_REGION": "us-east-1"}
    test = ["terraform", "test", "-no-color", "-test-directory=tests/module"]
    for command in (
        ["terraform", "init", "-backend=false", "-no-color", "-test-directory=tests/module"],
        [*test, f"-filter=tests/module/{file}.tftest.hcl"],
    ):
        run = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
