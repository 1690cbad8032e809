"""The module's first apply beside a service that runs on EC2, while its own policy is still late.

Both in a cloud of its own: what is made here is of another kind than the other tests' estate.
"""

from __future__ import annotations

import pytest

from tests.estate import surrounded
from tests.integration.conftest import QUICK_START, elsewhere
from tests.localcloud.client import running

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(elsewhere(), reason="needs the local cloud's late policies"),
]
# In seconds after the role's policy was put: each service of AWS learns of it at a time of its own.
LATE = {"dynamodb": 4, "ecs": 8, "elbv2": 12}


def test_a_service_on_ec2_is_adopted_by_a_late_policy_sleeps_wakes_and_outlives_the_module(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running() as cloud:
        cloud.settings(ecs=QUICK_START, iam={"policy_delay_seconds": LATE})
        scratch = tmp_path_factory.mktemp("ec2")
        with surrounded(cloud, scratch, on_ec2=True) as estate:
            refused = [c for c in cloud.calls() if "AccessDenied" in (c["error"] or "")]
            assert {call["service"] for call in refused} >= {"dynamodb"}
            assert not cloud.calls(service="elbv2", action="SetRulePriorities")
            assert estate.phase() == "awake"
            answer = estate.get(allow_redirects=False)
            assert answer.status_code == 200
            assert not estate.workspace.changes()
            estate.fall_asleep(cloud)
            assert estate.service()["desiredCount"] == 0
            assert estate.get().status_code == 200
            estate.fall_asleep(cloud)
        assert estate.get(allow_redirects=False).status_code == 200
