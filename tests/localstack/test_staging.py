"""examples/staging on LocalStack and MiniStack: applied, asleep, woken by a request, destroyed.

The tests are one story, in this order. Time is real: LocalStack's alarm and schedule set the pace.
The last test asks for each of STEPS whether it ran on LocalStack itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.estate import Estate
from tests.localstack.clouds import Clouds
from tests.localstack.witness import Witness
from tests.waits import until

pytestmark = [pytest.mark.terraform]

PATIENCE_SECONDS = 300
MISSING = (
    "no datapoints were received for 1 period and 1 missing datapoint was treated as [Breaching]"
)
FUNCTIONS = "/2015-03-31/functions"
MODULE = "module.scale_to_zero"
# What a plan changes after an apply: tests/localstack/test_gaps.py has the reasons.
DRIFT = {
    "aws_ecs_service.app",
    f'{MODULE}.aws_cloudwatch_metric_alarm.idle["this"]',
    *(
        f'{MODULE}.aws_cloudwatch_metric_alarm.people["{name}"]'
        for name in ("cold_start", "errors", "failed_wake", "throttles", "tick_silent")
    ),
}


def test_the_example_is_applied_and_its_service_adopted(estate: Estate, witness: Witness) -> None:
    estate.until("awake", PATIENCE_SECONDS)
    until(lambda: "adopt" in witness.signals(), "the log of Terraform's invocation")
    answer = estate.get("/api/time?a=1")
    assert answer.json()["path"] == "/api/time?a=1"
    assert not answer.history


def test_the_idle_alarm_goes_by_missing_data_and_invokes_the_function(
    estate: Estate, witness: Witness, clouds: Clouds
) -> None:
    estate.invoke({"command": "pin"})  # a busy machine takes longer than min_awake_minutes
    # it may have been in ALARM before the function was there, and only a change invokes it
    name = estate.idle_alarm()["AlarmName"]
    once = {"AlarmName": name, "StateValue": "OK", "StateReason": "somebody has asked"}
    estate.client("cloudwatch").set_alarm_state(**once)
    before = witness.signals().count("idle alarm")

    def came() -> bool:
        return witness.signals().count("idle alarm") > before

    until(came, "the idle alarm", PATIENCE_SECONDS)
    assert estate.idle_alarm()["StateValue"] == "ALARM"
    assert any(MISSING in reason for reason in witness.idle_alarm_changes())
    assert len([call for call in clouds.front.calls if call.action == "SetAlarmState"]) == 1


def test_drowsy_it_has_an_empty_plan_but_for_what_a_cloud_does_not_keep(estate: Estate) -> None:
    estate.invoke({"command": "unpin"})
    estate.fall_drowsy()
    estate.workspace.changes()
    assert {*estate.workspace.changed()} == DRIFT


def test_the_schedule_puts_it_to_sleep(estate: Estate, witness: Witness) -> None:
    estate.until("asleep", PATIENCE_SECONDS)
    assert estate.service()["desiredCount"] == 0
    until(lambda: falls_asleep(witness), "the log of the tick")


def falls_asleep(witness: Witness) -> bool:
    """Whether a tick has put it to sleep."""
    return any(
        entry["signal"] == "tick" and entry["after"] == "asleep" for entry in witness.decisions()
    )


def test_a_request_is_held_and_gets_the_app_s_own_answer(estate: Estate) -> None:
    until(lambda: estate.service()["runningCount"] == 0, "the end of the task")
    answer = estate.get("/api/time?a=1&a=2")
    assert answer.status_code == 200
    assert answer.json()["path"] == "/api/time?a=1&a=2"
    assert {hop.status_code for hop in answer.history} == {307}
    assert estate.phase() == "awake"


def test_a_subscriber_of_the_topic_gets_the_notices(witness: Witness) -> None:
    until(lambda: {"asleep", "awake"} <= {*witness.notices()}, "both notices")


def test_destroyed_while_it_sleeps_it_is_awake_and_served(estate: Estate, witness: Witness) -> None:
    estate.fall_drowsy()
    estate.until("asleep", PATIENCE_SECONDS)
    witness.decisions()
    estate.workspace.destroy(MODULE)
    answer = estate.get()
    assert answer.status_code == 200
    assert not answer.history
    assert estate.service()["desiredCount"] == 1
    rules = estate.client("elbv2").describe_rules(ListenerArn=estate.outputs["listener_arn"])
    assert {rule["Priority"] for rule in rules["Rules"]} == {"100", "default"}


Evidence = Callable[[Witness], Sequence[object]]


def called(service: str, action: str) -> Evidence:
    """LocalStack answered such calls."""
    return lambda witness: witness.calls(service, action)


def caused(signal: str) -> Evidence:
    """The function's log has decisions of this cause."""
    return lambda witness: witness.remembered(signal)


# What has to have run on LocalStack itself, and what shows it.
STEPS: dict[str, Evidence] = {
    "Lambda: the function was created": called("lambda", f"POST {FUNCTIONS}"),
    "Lambda: load balancer, alarm and rules may invoke it": called("lambda", "/policy"),
    "Lambda: the retries of events were set": called("lambda", "/event-invoke-config"),
    "Lambda: Terraform invoked it, and its log was kept": caused("adopt"),
    "Lambda: the load balancer's request invoked it": caused("request"),
    "Lambda: the function was deleted": called("lambda", f"DELETE {FUNCTIONS}/staging-warmkeeper"),
    "IAM: its role has a policy": called("iam", "PutRolePolicy"),
    "CloudWatch: the alarms were made": called("monitoring", "PutMetricAlarm"),
    "CloudWatch: the idle alarm invoked it": caused("idle alarm"),
    "CloudWatch: it asked for the idle alarm's state": called("monitoring", "DescribeAlarms"),
    "EventBridge: the schedule invoked it": caused("tick"),
    "SNS: it published notices": called("sns", "Publish"),
    "SQS: a subscriber of the topic got them": Witness.notices,
}


@pytest.mark.parametrize("step", STEPS)
def test_it_ran_on_localstack_itself(
    step: str, witness: Witness, record_property: Callable[[str, object], None]
) -> None:
    evidence = STEPS[step](witness)
    assert evidence
    record_property("step", f"{step} ({len(evidence)})")
