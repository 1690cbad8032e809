"""Each patch here breaks the product where it must not break; the tests it names must see it.

A patch begins with what it breaks and with lines `test: FILE::NAME`, which git apply passes over.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.module.kept_provider import mocked_environment

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PATCHES = sorted(HERE.glob("*.patch"))
FAILED = 1  # pytest's own exit code for "tests were run, and some failed"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git tracks, as it is in the working tree. One for all, so that it is compiled once."""
    folder = tmp_path_factory.mktemp("mutants")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target)
    return folder


@contextmanager
def broken(copy: Path, patch: Path) -> Iterator[None]:
    """The copy with the patch in it."""
    command = ["git", "apply", "--unsafe-paths", f"--directory={copy}", str(patch)]
    applied = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert applied.returncode == 0, f"does not apply any more: {applied.stderr}"
    try:
        yield
    finally:
        subprocess.run([*command, "--reverse"], cwd=copy, check=True)


def named_tests(patch: Path) -> list[str]:
    tests = re.findall(r"^test: (\S.*)$", patch.read_text(), re.MULTILINE)
    assert tests, f"{patch.name} names no test"
    return tests


def run_tests(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    # what is compiled is kept for the next run, which plain assertions allow; they tell less
    environment = {k: v for k, v in mocked_environment().items() if not k.startswith("PYTEST_")}
    environment["PYTHONDONTWRITEBYTECODE"] = ""
    command = [sys.executable, "-m", "pytest", "-q", "--numprocesses=0", "--assert=plain", *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)


def test_unbroken_the_copy_is_green(copy: Path) -> None:
    """Of the quick ones: the others are slow, and green in this very run."""
    tests = {test for patch in PATCHES for test in named_tests(patch) if "/unit/" in test}
    run = run_tests(copy, *sorted(tests))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_the_named_tests_go_red(patch: Path, copy: Path) -> None:
    with broken(copy, patch):
        for test in named_tests(patch):
            run = run_tests(copy, test)
            assert run.returncode == FAILED, f"{test} did not see it:\n{run.stdout}\n{run.stderr}"


def test_there_is_a_mutant_for_each_of_the_things_that_must_not_break() -> None:
    assert {patch.stem for patch in PATCHES} >= {
        "permission-removed",
        "rule-down-on-running",
        "no-fence",
        "count-before-rule",
        "tick-disabled",
    }
