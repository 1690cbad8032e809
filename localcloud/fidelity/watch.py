"""`python -m localcloud.fidelity.watch TEST ...`: run tests, print as JSON where they failed."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Failure:
    """Where a test failed: in its `call` or already in `setup`, and at which statement."""

    when: str
    statement: str


class Watch:
    """A pytest plugin that notes the first failure of each test, its parameters set aside."""

    def __init__(self) -> None:
        self.ran: set[str] = set()
        self.failures: dict[str, Failure] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """pytest's hook."""
        test = report.nodeid.partition("[")[0]
        self.ran.add(test)
        if report.failed:
            self.failures.setdefault(test, Failure(str(report.when), _statement(report)))


def _statement(report: pytest.TestReport) -> str:
    """The test's own line that failed, whatever it called."""
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", [])
    for line in entries[0].lines if entries else ():
        if line.strip() and not line.startswith("E "):
            return str(line.strip())
    return str(report.longrepr).strip().splitlines()[-1][:120]


def run(tests: list[str]) -> Watch:
    """Run the tests in this process, without its output."""
    watch = Watch()
    options = ["--numprocesses=0", "--tb=short", "-q", "--no-header"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main([*options, *tests], plugins=[watch])
    return watch


def as_json(watch: Watch) -> str:
    """What was seen, on one line."""
    failures = {test: [each.when, each.statement] for test, each in watch.failures.items()}
    return json.dumps({"ran": sorted(watch.ran), "failures": failures})


if __name__ == "__main__":
    print(as_json(run(sys.argv[1:])))
