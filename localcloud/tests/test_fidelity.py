"""The catalogue of the local cloud's behaviours: whole, seen to be checked, and its table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from localcloud.fidelity.__main__ import NotCaughtError, verdict
from localcloud.fidelity.catalogue import REPOSITORY, TABLE, Behaviour, behaviours, stale, table


def test_every_row_has_a_name_of_its_own_and_a_page_of_aws() -> None:
    rows = behaviours()
    assert [name for name, times in Counter(row.name for row in rows).items() if times > 1] == []
    assert [
        row.name for row in rows if not row.page.startswith("https://docs.aws.amazon.com/")
    ] == []
    assert [row.name for row in rows if not (row.says and row.mutant and row.tests)] == []


def test_every_mutant_still_applies_and_is_a_program() -> None:
    for row in behaviours():
        for path, source in row.broken().items():
            compile(source, path, "exec")


def test_every_mutant_has_been_seen_to_be_caught_as_things_are() -> None:
    """Else: make fidelity ARGS=--stale, and commit what it writes."""
    assert [row.name for row in stale()] == []


def test_the_table_is_what_the_catalogue_makes() -> None:
    """Else: make fidelity ARGS=--table."""
    assert TABLE.read_text() == table()


def test_of_the_mutants_that_need_no_cloud_every_sixth_is_caught_again() -> None:
    """All of them by make fidelity; what has changed since is stale, which is tested above."""
    some = [row.name for row in behaviours() if row.pure][::6]
    command = [sys.executable, "-m", "localcloud.fidelity", "--pure", *some]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def a_row() -> Behaviour:
    """A row of one test."""
    return Behaviour("", "row", "", "", ("localcloud/tests/test_x.py::test_y",), "", ())


def test_only_a_failure_of_the_test_itself_counts_as_seeing_a_mutant() -> None:
    test = a_row().tests[0]

    def seen(*failure: str) -> dict[str, str]:
        failures = {test: failure} if failure else {}
        return verdict(a_row(), json.dumps({"ran": [test], "failures": failures}))

    assert seen("call", "assert x == 1") == {test: "assert x == 1"}
    for failure in ((), ("setup", "running()")):
        with pytest.raises(NotCaughtError, match="test_y"):
            seen(*failure)
    with pytest.raises(NotCaughtError, match="did not run"):
        verdict(a_row(), "")
