"""Fixtures of the tests that run a local cloud: an estate for each file, services in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.client import running
from localcloud.tests.live.estate import APP, VPC, Estate, Running, Site, a_service, a_site


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """One local cloud for the module, with a network and quick tasks."""
    app = tmp_path_factory.mktemp("app") / "app.py"
    app.write_text(APP)
    with running() as cloud:
        cloud.settings(
            ecs={
                "provisioning_seconds": 2,
                "pull_seconds": 3,
                "start_seconds": 1,
                "stop_stale_seconds": 3,
            }
        )
        estate = Estate(cloud, app)
        ec2 = estate.client("ec2")
        estate.vpc = ec2.create_vpc(CidrBlock=VPC)["Vpc"]["VpcId"]
        reply = ec2.create_security_group(GroupName="app", Description="app", VpcId=estate.vpc)
        estate.security_group = reply["GroupId"]
        for zone, block in (("a", "10.0.0.0/24"), ("b", "10.0.1.0/24")):
            reply = ec2.create_subnet(
                VpcId=estate.vpc, CidrBlock=block, AvailabilityZone=f"us-east-1{zone}"
            )
            estate.subnets.append(reply["Subnet"]["SubnetId"])
        yield estate


@pytest.fixture
def site(estate: Estate) -> Site:
    """A load balancer of the test's own."""
    return a_site(estate)


@pytest.fixture(scope="module")
def service(estate: Estate) -> Iterator[Running]:
    """A service of one task that no test changes."""
    yield from a_service(a_site(estate))


@pytest.fixture
def own_service(site: Site) -> Iterator[Running]:
    """A service of one task of the test's own."""
    yield from a_service(site)
