"""What any cloud has to do: its control plane alone, and in real time, nothing of it steered.

`make test-integration` runs these, and all others that the cloud named there can bear.
"""

from __future__ import annotations

import time

import pytest

from tests.estate import Estate

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]


def test_a_plan_after_the_apply_changes_nothing_of_the_module(applied: Estate) -> None:
    applied.workspace.changes()
    assert [address for address in applied.workspace.changed() if "module." in address] == []


def test_the_wake_rule_begins_after_the_service_rule_and_the_control_rule_before(
    applied: Estate,
) -> None:
    answer = applied.client("elbv2").describe_rules(ListenerArn=applied.outputs["listener_arn"])
    numbers = {rule["RuleArn"]: rule["Priority"] for rule in answer["Rules"]}
    service = int(numbers[applied.outputs["service_rule_arn"]])
    assert int(numbers[applied.outputs["wake_rule_arn"]]) > service
    assert sorted(int(n) for n in numbers.values() if n.isdigit() and int(n) < service) == [10, 11]


@pytest.mark.elsewhere
@pytest.mark.timeout(900)
def test_in_real_time_it_sleeps_by_command_and_is_woken_by_a_request(estate: Estate) -> None:
    estate.fall_drowsy()
    estate.until("asleep", 300)
    assert estate.service()["desiredCount"] == 0
    time.sleep(15)  # nothing that was taken is under way any more
    answer = estate.get()
    assert answer.status_code == 200
    assert {hop.status_code for hop in answer.history} == {307}
    assert estate.phase() == "awake"
