"""Each patch here breaks the product where it must not break; the tests it names must see it.

A patch begins with what it breaks and with lines `test: FILE::NAME`, which git apply passes over.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PATCHES = sorted(HERE.glob("*.patch"))
FAILED = 1  # pytest's own exit code for "tests were run, and some failed"


def copy_of_the_repository(folder: Path) -> Path:
    """What git tracks, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target)
    return folder


def named_tests(patch: Path) -> list[str]:
    tests = re.findall(r"^test: (\S.*)$", patch.read_text(), re.MULTILINE)
    assert tests, f"{patch.name} names no test"
    return tests


def run_tests(repository: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "--numprocesses=0", *tests]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)


def test_unbroken_the_copy_is_green(tmp_path: Path) -> None:
    """Of the quick ones: the others are slow, and green in this very run."""
    tests = {test for patch in PATCHES for test in named_tests(patch) if "/unit/" in test}
    run = run_tests(copy_of_the_repository(tmp_path), *sorted(tests))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_the_named_tests_go_red(patch: Path, tmp_path: Path) -> None:
    broken = copy_of_the_repository(tmp_path / "broken")
    applied = subprocess.run(
        ["git", "apply", "--unsafe-paths", f"--directory={broken}", str(patch)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert applied.returncode == 0, f"does not apply any more: {applied.stderr}"
    for test in named_tests(patch):
        run = run_tests(broken, test)
        assert run.returncode == FAILED, f"{test} did not see it:\n{run.stdout}\n{run.stderr}"


def test_there_is_a_mutant_for_each_of_the_things_that_must_not_break() -> None:
    assert {patch.stem for patch in PATCHES} >= {
        "permission-removed",
        "rule-down-on-running",
        "no-fence",
        "count-before-rule",
        "tick-disabled",
    }
