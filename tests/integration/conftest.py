"""A cloud and an estate per worker, shared by its tests, which drive it by real HTTP.

The cloud is found as localstack-client finds it: where AWS_ENDPOINT_URL or LOCALSTACK_HOST names
one, that is used (`make test-integration`); otherwise a local cloud of our own is started on a free
port. What another cloud cannot do is skipped, with the reason: whoever asks for `cloud` needs the
local cloud's own API, whoever asks for `estate` functions that run; the rest needs `applied` alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from localstack_client import config

from localcloud.client import LocalCloud, running
from tests.estate import Estate, surrounded
from tests.rights.reference import Place
from tests.rights.watch import Watch

WIDE = os.environ.get("TEST_UPGRADES", "") not in ("", "0")  # `make test-upgrades`
QUICK_START = {"provisioning_seconds": 0.5, "pull_seconds": 0.5, "start_seconds": 0.2}


def elsewhere() -> bool:
    """Whether a cloud is named in the environment."""
    return bool(os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("LOCALSTACK_HOST"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In real time only where there is no other: the local cloud has its clock."""
    without = [name for name, runs in (("elsewhere", elsewhere()), ("wide", WIDE)) if not runs]
    left = [item for item in items if any(item.get_closest_marker(name) for name in without)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def has_own_api(anywhere: LocalCloud) -> bool:
    """Whether it is a local cloud: with clock, faults, settings, calls and tasks to steer."""
    try:
        return anywhere.now() > 0
    except (OSError, ValueError, LookupError, TypeError):
        return False


@pytest.fixture(scope="session")
def anywhere() -> Iterator[LocalCloud]:
    """The cloud that everything is applied to."""
    if elsewhere():
        yield LocalCloud(config.get_service_endpoint("lambda"))
        return
    with running() as own:
        yield own


@pytest.fixture(scope="session")
def cloud(anywhere: LocalCloud) -> LocalCloud:
    """The same, to be steered."""
    if not has_own_api(anywhere):
        pytest.skip(f"needs the local cloud's own API, which {anywhere.endpoint} has not")
    return anywhere


@pytest.fixture(scope="session")
def applied(anywhere: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """The module alone, applied once, in surroundings that boto3 made."""
    if has_own_api(anywhere):
        anywhere.settings(ecs=QUICK_START)
    scratch: Path = tmp_path_factory.mktemp("staging")
    with surrounded(anywhere, scratch, destroy=elsewhere()) as estate:
        yield estate


@pytest.fixture(scope="session")
def runs_functions(applied: Estate) -> bool:
    """Whether the warmkeeper answers a command."""
    try:
        return "phase" in applied.invoke({"command": "status"})
    except (RuntimeError, ValueError, TypeError):
        return False


@pytest.fixture(scope="session")
def watch(applied: Estate, anywhere: LocalCloud) -> Watch | None:
    """What the warmkeeper calls, held against the policy of its role, where calls are recorded."""
    if not has_own_api(anywhere):
        return None
    account, region = applied.outputs["topic_arn"].split(":")[4:2:-1]
    return Watch(anywhere, applied.outputs["function_name"], Place(region, account))


@pytest.fixture
def estate(
    applied: Estate, anywhere: LocalCloud, runs_functions: bool, watch: Watch | None
) -> Iterator[Estate]:
    """The shared estate, awake, with the clock at 1x and nothing broken, before and after.

    Other variables, with which a test applies it, are taken back after the test.

    Fails the test in which the warmkeeper called what its role does not allow.
    """
    if not runs_functions:
        pytest.skip(f"needs functions that run, which {anywhere.endpoint} does not do")
    applied.wake()
    applied.forget_wakes()
    before = dict(applied.workspace.variables)
    yield applied
    if has_own_api(anywhere):
        anywhere.set_speed(1)
        anywhere.clear_faults()
        anywhere.settings(ecs={**QUICK_START, "failure": None})
    if applied.workspace.variables != before:
        applied.workspace.variables = before
        applied.apply(anywhere if has_own_api(anywhere) else None)
    if watch:
        assert watch.violations() == []
