"""What every test run has in common: the order of the tests, and what a skip means in CI."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

# An example may take as long as it likes: a busy machine is no fault.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

# What breaks soonest and runs fastest comes first.
ORDER = (
    "tests/warmkeeper", "tests/tools", "tests/docs", "tests/rights", "tests/model", "tests/faults",
    "localcloud", "demo", "tests/terraform", "tests/integration", "tests/browser", "tests/mutants",
)  # fmt: skip


# The files that wait for an applied estate, for its clock and its tasks. It takes a worker two
# minutes to have one and to be rid of it: so they are for three, and these begin with them.
ESTATES = (
    ("test_staging.py", "test_open_websocket.py", "test_following.py", "test_refused.py"),
    (
        "test_lifecycle.py",
        "test_explained.py",
        "test_waiting_page.py",
        "test_checks.py",
        "test_rule_numbers.py",
        "test_alarms.py",
    ),
    (
        "test_example.py",
        "test_elsewhere.py",
        "test_changing.py",
        "test_rights.py",
        "test_faults.py",
    ),
)
# Each of these applies something once for all of its tests: the fourth worker begins with them, and
# so has them for itself.
SHARED = ("test_plans.py", "test_dashboard.py", "test_cost.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sorts by folder; within a folder the order stays. Spreads over workers."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(here)
        found = (number for number, folder in enumerate(ORDER) if path.is_relative_to(folder))
        return next(found, len(ORDER))

    items.sort(key=rank)
    workers = int(getattr(config, "workerinput", {}).get("workercount", 0))
    if workers > len(ESTATES):
        items[:] = spread(items, workers)


def spread(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """In such an order that the first workers begin with estates, the others with what is heavy.

    pytest-xdist's worksteal gives each worker as many at first, in this order, and who is done
    takes the end of another's: there stands what is quick.
    """
    heads = [[i for name in files for i in items if i.path.name == name] for files in ESTATES]
    waiting = {item for head in heads for item in head}
    folders = [list(group) for _, group in itertools.groupby(items, lambda item: item.path.parent)]
    rest = [item for group in reversed(folders) for item in group if item not in waiting]
    rest.sort(key=lambda item: item.path.name not in SHARED)
    share = len(items) // workers
    order: list[pytest.Item] = []
    for head in heads:
        quick = max(0, share - len(head))
        order += head + rest[len(rest) - quick :]
        del rest[len(rest) - quick :]
    return order + rest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: an absent tool must not look like a passed check."""
    report = yield
    if report.skipped and in_ci() and not hasattr(report, "wasxfail") and call.excinfo:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, which CI does not allow: {call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself."""
    report = yield
    if report.skipped and in_ci():
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid}: skipped, which CI does not allow: {why}"
    return report


def in_ci() -> bool:
    """Whether CI is set to anything but nothing, 0, or false."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
