"""What every test run has in common: the order of the tests, and what a skip means in CI."""

from __future__ import annotations

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
    "tests/warmkeeper", "tests/tools", "tests/docs", "tests/rights", "localcloud", "demo",
    "tests/terraform", "tests/integration", "tests/browser",
)  # fmt: skip


# What each worker begins with: files that wait for a clock, an estate, a browser or Terraform. What
# a file needs is started once, so one worker has the whole file.
BEGINNINGS = (
    (
        "test_staging.py",
        "test_open_websocket.py",
        "test_following.py",
        "test_refused.py",
    ),
    (
        "test_lifecycle.py",
        "test_explained.py",
        "test_waiting_page.py",
        "test_caddy_beat.py",
        "test_beats.py",
        "integration/test_actions.py",
    ),
    (
        "test_changing.py",
        "test_faults.py",
        "test_alarms.py",
        "test_elsewhere.py",
        "test_rights.py",
    ),
    (
        "test_first_apply.py",
        "test_checks.py",
        "integration/test_rule_numbers.py",
        "test_dashboard.py",
        "test_cost_of_a_plan.py",
        "browser/test_page.py",
        "test_page_beat.py",
    ),
    (
        "test_module.py",
        "test_plans.py",
        "test_service_rule.py",
        "test_redirects.py",
    ),
)


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
    if workers == len(BEGINNINGS):
        items[:] = spread(items)


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """In such an order that each worker begins with its files, then has its share of the rest.

    pytest-xdist's worksteal gives each worker as many at first, in this order, and who is done
    takes the end of another's.
    """
    heads = [[i for name in files for i in items if i.path.match(name)] for files in BEGINNINGS]
    begun = {item for head in heads for item in head}
    rest = [item for item in items if item not in begun]
    order: list[pytest.Item] = []
    for number, head in enumerate(heads):
        share = (len(items) - len(order)) // (len(heads) - number) - len(head)
        own = [rest[at * len(rest) // share] for at in range(share)]  # evenly, in the same order
        order += head + own
        taken = {*own}
        rest = [item for item in rest if item not in taken]
    return order


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
