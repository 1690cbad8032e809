"""Other hands on the listener, with the real Terraform and over real HTTP.

tests/warmkeeper/test_rule_numbers.py has every trouble in every phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.client import LocalCloud
from tests.estate import Estate

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

WAKE_RULE = 'module.scale_to_zero.aws_lb_listener_rule.wake["this"]'


def numbers(estate: Estate) -> dict[str, int]:
    """The listener's priorities by rule."""
    answer = estate.client("elbv2").describe_rules(ListenerArn=estate.outputs["listener_arn"])
    rules = {rule["RuleArn"]: rule["Priority"] for rule in answer["Rules"]}
    return {arn: int(number) for arn, number in rules.items() if number != "default"}


def rule_up(estate: Estate, wake_rule: str) -> bool:
    rules = numbers(estate)
    return rules[wake_rule] < rules[estate.outputs["service_rule_arn"]]


@pytest.fixture
def foreign_rule(estate: Estate) -> Iterator[str]:
    """Somebody else's rule, far behind."""
    client: Any = estate.client("elbv2")
    action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "410"}}
    condition = {"Field": "host-header", "HostHeaderConfig": {"Values": ["other.example.com"]}}
    created = client.create_rule(
        ListenerArn=estate.outputs["listener_arn"],
        Priority=40_000,
        Conditions=[condition],
        Actions=[action],
    )
    arn = created["Rules"][0]["RuleArn"]
    yield arn
    client.delete_rule(RuleArn=arn)


def test_a_wake_rule_that_terraform_replaces_while_asleep_is_up_again_and_wakes(
    estate: Estate, cloud: LocalCloud
) -> None:
    before = estate.outputs["wake_rule_arn"]
    estate.fall_asleep(cloud)
    # a tick that finds no wake rule, between the two, would wake it
    estate.apply(cloud, replace=[WAKE_RULE])
    cloud.settle()
    after = estate.outputs["wake_rule_arn"]
    assert after != before
    assert estate.phase() == "asleep"
    assert rule_up(estate, after)
    answer = estate.get()
    assert answer.status_code == 200, answer.text
    assert answer.history, "the warmkeeper saw it"


def test_where_the_number_is_taken_while_asleep_another_one_before_the_service_rule_is_found(
    estate: Estate, cloud: LocalCloud, foreign_rule: str
) -> None:
    wake_rule = estate.outputs["wake_rule_arn"]
    estate.fall_asleep(cloud)
    taken = numbers(estate)[wake_rule]
    for arn, number in ((wake_rule, 40_001), (foreign_rule, taken)):
        move = [{"RuleArn": arn, "Priority": number}]
        estate.client("elbv2").set_rule_priorities(RulePriorities=move)
    assert not rule_up(estate, wake_rule)
    cloud.advance_until(lambda: rule_up(estate, wake_rule), minutes=3, speed=20)
    assert estate.service()["desiredCount"] == 0
    assert numbers(estate)[foreign_rule] == taken
    cloud.settle()
    answer = estate.get()
    assert answer.status_code == 200, answer.text
    assert answer.history, "the warmkeeper saw it"
