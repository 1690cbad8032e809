"""The module's `check` blocks before a real estate: what is wrong there is a warning, and no more.

tests/terraform/checks.tftest.hcl has each of them alone, but for what cannot be mocked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.client import LocalCloud
from tests.estate import Estate, TerraformError

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

EVERY_PATH = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}


def forward(group: str) -> list[dict[str, Any]]:
    """As AWS itself tells of an action that forwards."""
    groups = [{"TargetGroupArn": group, "Weight": 1}]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]


@pytest.fixture
def by_hand(applied: Estate) -> Iterator[Any]:
    """A client of the load balancer's API; what is around the module is as before, afterwards."""
    client: Any = applied.client("elbv2")
    rule, group = applied.outputs["service_rule_arn"], applied.outputs["target_group_arn"]
    check = client.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
    attributes = client.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]
    yield client
    client.modify_rule(RuleArn=rule, Conditions=[EVERY_PATH], Actions=forward(group))
    interval = check["HealthCheckIntervalSeconds"]
    client.modify_target_group(TargetGroupArn=group, HealthCheckIntervalSeconds=interval)
    client.modify_target_group_attributes(TargetGroupArn=group, Attributes=attributes)
    set_idle_timeout(client, applied, 60)


def set_idle_timeout(client: Any, applied: Estate, seconds: int) -> None:
    """Of the load balancer; 60 is AWS's default."""
    client.modify_load_balancer_attributes(
        LoadBalancerArn=applied.workspace.variables["load_balancer_arn"],
        Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": str(seconds)}],
    )


def test_what_somebody_changed_by_hand_is_warned_of_field_by_field(
    applied: Estate, by_hand: Any
) -> None:
    rule, group = applied.outputs["service_rule_arn"], applied.outputs["target_group_arn"]
    other = by_hand.create_target_group(Name="other", TargetType="lambda")["TargetGroups"][0]
    hosts = {"Field": "host-header", "HostHeaderConfig": {"Values": ["A.example.com"]}}
    networks = {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}
    by_hand.modify_rule(
        RuleArn=rule,
        Conditions=[hosts, networks],
        Actions=forward(other["TargetGroupArn"]),
    )
    by_hand.modify_target_group(TargetGroupArn=group, HealthCheckIntervalSeconds=30)
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "300"}
    by_hand.modify_target_group_attributes(TargetGroupArn=group, Attributes=[delay])
    set_idle_timeout(by_hand, applied, 34)
    assert not applied.workspace.changes()
    told = applied.workspace.warnings()
    assert f'the rule forwards to ["{other["TargetGroupArn"]}"]' in told
    assert 'conditions.host_header is []; the service rule has ["a.example.com"]' in told
    assert 'conditions.source_ip is []; the service rule has ["10.0.0.0/8"]' in told
    assert "health_check.interval is 30 s" in told
    assert "deregistration_delay is 300 s" in told
    assert "the load balancer's idle_timeout is 34 s" in told
    assert "conditions.path_pattern" not in told
    assert "another load balancer" not in told
    assert "default action" not in told


def test_a_rule_that_matches_by_regular_expressions_is_refused_and_not_taken_for_a_catch_all(
    applied: Estate,
    by_hand: Any,
    cloud: LocalCloud,  # noqa: ARG001
) -> None:
    """As the provider at hand tells of it, which does not know them."""
    regex = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/app"]}}
    by_hand.modify_rule(RuleArn=applied.outputs["service_rule_arn"], Conditions=[regex])
    with pytest.raises(TerraformError) as refused:
        applied.workspace.changes()
    told = re.sub(r"[\s│]+", " ", str(refused.value))
    assert 'the rule matches ["path_pattern"] by regular expressions' in told
    assert "conditions.path_pattern is" not in told


@pytest.fixture
def second_rule(estate: Estate) -> Iterator[str]:
    """Somebody's rule of the listener that leads to the service, too; gives its ARN."""
    client: Any = estate.client("elbv2")
    host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["www.example.com"]}}
    made = client.create_rule(
        ListenerArn=estate.outputs["listener_arn"],
        Priority=40_000,
        Conditions=[host],
        Actions=forward(estate.outputs["target_group_arn"]),
    )
    arn: str = made["Rules"][0]["RuleArn"]
    yield arn
    client.delete_rule(RuleArn=arn)
    estate.workspace.apply(idle_minutes=5)
    assert estate.workspace.changes() is False
    assert estate.workspace.warnings() == ""


def test_what_the_warmkeeper_found_at_the_last_apply_is_warned_of_and_changes_no_plan(
    estate: Estate, second_rule: str
) -> None:
    estate.workspace.apply(idle_minutes=6)
    assert not estate.workspace.changes()
    told = estate.workspace.warnings()
    assert f"other rules of the listener forward to the target group ({second_rule})" in told
    assert "the last apply that changed the module" in told


@pytest.fixture
def guarded(applied: Estate, cloud: LocalCloud) -> Iterator[None]:  # noqa: ARG001
    """The service rule, behind a login. AWS wants HTTPS for that."""
    client: Any = applied.client("elbv2")
    rule, group = applied.outputs["service_rule_arn"], applied.outputs["target_group_arn"]
    pool = {
        "UserPoolArn": "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_1",
        "UserPoolClientId": "staging",
        "UserPoolDomain": "staging",
    }
    login = {"Type": "authenticate-cognito", "Order": 1, "AuthenticateCognitoConfig": pool}
    actions = [login, {**forward(group)[0], "Order": 2}]
    before = client.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"]
    client.modify_rule(RuleArn=rule, Actions=actions, Conditions=[EVERY_PATH])
    yield
    client.modify_rule(RuleArn=rule, Actions=before, Conditions=[EVERY_PATH])


@pytest.mark.usefixtures("guarded")
def test_a_websocket_rule_is_refused_where_it_would_lead_past_a_login(
    applied: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(applied.workspace.variables, "websocket_rule", True)
    with pytest.raises(TerraformError) as refused:
        applied.workspace.changes()
    told = re.sub(r"[\s│]+", " ", str(refused.value))
    assert 'the actions ["authenticate-cognito","forward"]' in told


@pytest.mark.usefixtures("guarded")
def test_a_login_that_the_wake_rule_has_not_is_warned_of(applied: Estate) -> None:
    assert not applied.workspace.changes()
    told = applied.workspace.warnings()
    assert "the rule asks for a login (client staging), and the wake rule does not" in told
