"""A line for each judge at the end of `make compatibility`."""

from __future__ import annotations

import pytest

JUDGES = ("terraform", "provider", "policies")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.getreports("passed")
    said = {name: str(text) for report in passed for name, text in report.user_properties}
    valid = sum("::test_it_validates[" in report.nodeid for report in passed)
    module = sum(report.nodeid.startswith("tests/terraform/") for report in passed)
    if "terraform" in said:
        said["terraform"] += f": {valid} folders valid; {module} tests of tests/terraform passed"
    terminalreporter.section("compatibility")
    for judge in JUDGES:
        terminalreporter.write_line(said.get(judge, f"{judge}: failed or not run, see above"))
