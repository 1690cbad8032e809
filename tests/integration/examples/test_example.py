"""examples/staging as a whole, applied once as a user applies it, with a cloud of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.client import LocalCloud, running
from tests.estate import Estate, staging
from tests.integration.conftest import QUICK_START, elsewhere

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]


@pytest.fixture(scope="module")
def place(anywhere: LocalCloud) -> Iterator[LocalCloud]:
    """A cloud in which nothing else runs; where one is named, that one."""
    if elsewhere():
        yield anywhere
        return
    with running() as own:
        own.settings(ecs=QUICK_START)
        yield own


def test_the_example_is_applied_sleeps_is_woken_and_is_destroyed_as_a_whole(
    place: LocalCloud, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with staging(place, tmp_path_factory.mktemp("example"), name="example") as estate:
        estate.workspace.changes()
        assert estate.workspace.changed() == [] or elsewhere()
        assert [address for address in estate.workspace.changed() if "module." in address] == []
        if not elsewhere():
            assert estate.workspace.warnings() == ""
            estate.fall_asleep(place)
            assert not estate.workspace.changes()
            assert estate.get().status_code == 200
            estate.fall_asleep(place)
    # the whole estate is gone, although it slept
    names = [each["LoadBalancerName"] for each in load_balancers(estate)]
    assert "example" not in names


def load_balancers(estate: Estate) -> list[dict[str, str]]:
    found: list[dict[str, str]] = estate.client("elbv2").describe_load_balancers()["LoadBalancers"]
    return found
