"""Terraform and the sleeping service: plans and destroys in every phase, and right after zero."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud.client import LocalCloud
from tests.estate import Estate, TerraformError
from tests.integration.conftest import WIDE

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

OPERATING = Path(__file__).resolve().parents[2] / "docs" / "guide" / "operating.md"
FAILS = "`terraform destroy` fails at the function"
PHASES = ["awake", "drowsy", "asleep", "waking"]


@pytest.mark.parametrize("half_seconds", range(0, 21, 1 if WIDE else 3))
def test_a_request_right_after_the_count_went_to_zero_is_served(
    estate: Estate, cloud: LocalCloud, half_seconds: int
) -> None:
    estate.fall_drowsy()
    cloud.advance_until(lambda: estate.phase() == "asleep", minutes=5)
    zero = estate.memory()["last_take_at"]
    time.sleep(max(0.0, zero + half_seconds / 2 - cloud.now()))
    answer = estate.get()
    assert answer.status_code == 200
    assert all(hop.status_code == 307 for hop in answer.history)


@pytest.mark.parametrize("phase", PHASES)
def test_a_plan_is_empty_and_warns_of_nothing_in_every_phase(
    estate: Estate, cloud: LocalCloud, phase: str
) -> None:
    estate.bring_to(phase, cloud)
    assert not estate.workspace.changes()
    assert estate.workspace.warnings() == ""
    assert estate.phase() in (phase, "awake")


@pytest.mark.parametrize("phase", PHASES if WIDE else ["asleep", "waking"])
def test_destroying_the_module_leaves_a_service_that_is_served_by_its_own_rule(
    estate: Estate, cloud: LocalCloud, phase: str
) -> None:
    ecs = estate.client("ecs")
    names = {"cluster": estate.outputs["cluster_name"], "service": estate.outputs["service_name"]}
    ecs.update_service(**names, desiredCount=2)
    estate.bring_to(phase, cloud)
    estate.workspace.destroy("module.scale_to_zero")
    try:
        answer = estate.get(allow_redirects=False)
        assert answer.status_code == 200
        assert estate.service()["desiredCount"] == 2
    finally:
        estate.apply()
        ecs.update_service(**names, desiredCount=1)
        estate.until("awake")


def gone(estate: Estate) -> None:
    estate.client("lambda").delete_function(FunctionName=estate.outputs["function_name"])


def broken(estate: Estate) -> None:
    estate.client("lambda").update_function_configuration(
        FunctionName=estate.outputs["function_name"], Environment={"Variables": {}}
    )


@pytest.mark.parametrize("spoil", [gone, broken] if WIDE else [gone])
def test_the_way_out_in_the_runbook_destroys_the_module_without_its_function(
    estate: Estate, cloud: LocalCloud, spoil: Callable[[Estate], None]
) -> None:
    runbook = OPERATING.read_text(encoding="utf-8").partition(f"**{FAILS}.**")[2]
    (address,) = re.findall(r"terraform state rm '(\S+)'", runbook)
    ecs = estate.client("ecs")
    names = {"cluster": estate.outputs["cluster_name"], "service": estate.outputs["service_name"]}
    estate.fall_asleep(cloud)
    spoil(estate)
    with pytest.raises(TerraformError, match=r"(?i)lambda"):
        estate.workspace.destroy("module.scale_to_zero")
    assert estate.get(allow_redirects=False).status_code in (502, 503)
    try:
        estate.workspace.forget(address.replace("NAME", "scale_to_zero"))
        ecs.update_service(**names, desiredCount=2)
        estate.workspace.destroy("module.scale_to_zero")
        cloud.advance_until(lambda: estate.get(allow_redirects=False).ok, minutes=2, speed=10)
        assert estate.service()["desiredCount"] == 2
    finally:
        estate.apply()
        ecs.update_service(**names, desiredCount=1)
        estate.until("awake")
