"""The module's first apply beside a service that runs on EC2, while its own policy is still late.

Both in a cloud of its own: what is made here is of another kind than the other tests' estate.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from localcloud.client import LocalCloud, running
from tests.estate import surrounded
from tests.integration.conftest import QUICK_START, elsewhere
from tests.waits import until

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(elsewhere(), reason="needs the local cloud's late policies"),
]
AWS = ("dynamodb", "ecs", "elbv2")  # in the order in which the warmkeeper comes to them


@contextmanager
def learning_late(cloud: LocalCloud) -> Iterator[None]:
    """Each service of AWS has heard of the role's policy only after it has refused a call."""

    def learn() -> None:
        for number, service in enumerate(AWS):
            until(lambda each=service: each in refused(cloud), f"a refusal by {service}", 300)  # type: ignore[misc]
            cloud.settings(iam={"policy_delay_seconds": dict.fromkeys(AWS[number + 1 :], 86_400)})

    cloud.settings(iam={"policy_delay_seconds": dict.fromkeys(AWS, 86_400)})
    with ThreadPoolExecutor(1) as beside:
        learns = beside.submit(learn)
        yield
        learns.result()


def refused(cloud: LocalCloud) -> set[str]:
    """The services that have refused the function a call."""
    return {call["service"] for call in cloud.calls() if "AccessDenied" in (call["error"] or "")}


def test_a_service_on_ec2_is_adopted_by_a_late_policy_sleeps_wakes_and_outlives_the_module(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running() as cloud, ExitStack() as applied:
        cloud.settings(ecs=QUICK_START)
        scratch = tmp_path_factory.mktemp("ec2")
        with learning_late(cloud):
            estate = applied.enter_context(surrounded(cloud, scratch, on_ec2=True))
        assert refused(cloud) == set(AWS)
        assert not cloud.calls(service="elbv2", action="SetRulePriorities")
        assert estate.phase() == "awake"
        assert estate.get(allow_redirects=False).status_code == 200
        assert not estate.workspace.changes()
        estate.fall_asleep(cloud)
        assert estate.service()["desiredCount"] == 0
        assert estate.get().status_code == 200
        estate.fall_asleep(cloud)
        applied.close()  # the module is destroyed while the service sleeps
        assert estate.get(allow_redirects=False).status_code == 200
