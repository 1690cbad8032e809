"""Each mutant of mutants.toml breaks the module where it must not break; its tests must go red."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.terraform.kept_provider import mocked_environment
from tools import mutant

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
MUTANTS = {row["name"]: row for row in tomllib.loads((HERE / "mutants.toml").read_text())["mutant"]}
FAILED = 1  # pytest's own exit code for "tests were run, and some failed"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy of the repository for all, so that it is compiled once."""
    folder = tmp_path_factory.mktemp("mutants")
    mutant.copy_of(REPOSITORY, folder)
    return folder


def run_tests(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    # what is compiled is kept for the next run, which plain assertions allow; they tell less
    environment = {k: v for k, v in mocked_environment().items() if not k.startswith("PYTEST_")}
    environment["PYTHONDONTWRITEBYTECODE"] = ""
    quick = ("-q", "--numprocesses=0", "--assert=plain", "--tb=line")
    command = [sys.executable, "-m", "pytest", *quick, *tests]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)


def test_unbroken_the_copy_is_green(copy: Path) -> None:
    """Of the quick ones: the others are slow, and green in this very run."""
    tests = {test for row in MUTANTS.values() for test in row["tests"] if "/warmkeeper/" in test}
    run = run_tests(copy, *sorted(tests))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", MUTANTS)
def test_the_named_tests_go_red(name: str, copy: Path) -> None:
    tests = MUTANTS[name]["tests"]
    with mutant.applied(mutant.edits(MUTANTS[name]), copy):
        run = run_tests(copy, *tests)
    red = [f"{line} " for line in run.stdout.splitlines()]
    blind = [
        test
        for test in tests
        if not any(line.startswith((f"FAILED {test} ", f"FAILED {test}[")) for line in red)
    ]
    assert run.returncode == FAILED, f"{run.stdout}\n{run.stderr}"
    assert not blind, f"{blind} did not see it:\n{run.stdout}"


def test_there_is_a_mutant_for_each_of_the_things_that_must_not_break() -> None:
    assert MUTANTS.keys() >= {
        "permission-removed",
        "rule-down-on-running",
        "no-fence",
        "count-before-rule",
        "tick-disabled",
    }
