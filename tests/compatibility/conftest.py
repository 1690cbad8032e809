"""A line for each judge at the end of a run of `make compatibility`."""

from __future__ import annotations

import pytest

from tests import judged


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    judged.summarise(terminalreporter, "compatibility")
