"""A local cloud and a staging estate per worker, shared by its tests, which drive it by real HTTP.

The cloud is found as localstack-client finds it: where AWS_ENDPOINT_URL or LOCALSTACK_HOST names
one, that is used; otherwise a local cloud of our own is started on a free port.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from localstack_client import config

from tests.estate import Estate, staging
from tests.localcloud.client import LocalCloud, running
from tests.rights.reference import Place
from tests.rights.watch import Watch

QUICK_START = {"provisioning_seconds": 0.5, "pull_seconds": 0.5, "start_seconds": 0.2}


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """The cloud that everything is applied to."""
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("LOCALSTACK_HOST"):
        yield LocalCloud(config.get_service_endpoint("lambda"))
        return
    with running() as own:
        yield own


@pytest.fixture(scope="session")
def applied(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """examples/staging, applied once: the provider alone waits a minute on its load balancer."""
    cloud.settings(ecs=QUICK_START)
    scratch: Path = tmp_path_factory.mktemp("staging")
    with staging(cloud, scratch) as estate:
        yield estate


@pytest.fixture(scope="session")
def watch(applied: Estate, cloud: LocalCloud) -> Watch:
    """What the warmkeeper calls, held against the policy of its role."""
    account, region = applied.outputs["topic_arn"].split(":")[4:2:-1]
    return Watch(cloud, applied.outputs["function_name"], Place(region, account))


@pytest.fixture
def estate(applied: Estate, cloud: LocalCloud, watch: Watch) -> Iterator[Estate]:
    """The shared estate, awake, with the clock at 1x and nothing broken, before and after.

    Fails the test in which the warmkeeper called what its role does not allow.
    """
    applied.wake()
    applied.forget_wakes()
    yield applied
    cloud.set_speed(1)
    cloud.clear_faults()
    cloud.settings(ecs={**QUICK_START, "failure": None})
    assert watch.violations() == []
