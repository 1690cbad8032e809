"""The cost: each type's arithmetic by hand, what is refused, how a measurement is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import tick
from tools import cost

ROOT = Path(__file__).resolve().parents[2]
BOOK = cost.Book(
    prices={
        "alarm_metric": 0.10,
        "alarm_metric_high_resolution": 0.30,
        "alarm_composite": 0.50,
        "dashboard": 3.0,
        "event": 1e-6,
        "log_ingested_gb": 0.5,
        "log_kept_gb": 0.03,
        "dynamodb_read": 1e-6,
        "dynamodb_write": 1e-6,
        "lambda_gb_second_arm64": 1e-5,
        "lambda_gb_second_x86_64": 2e-5,
        "lambda_request": 1e-6,
        "custom_metric": 0.3,
        "cloudwatch_request": 1e-5,
        "sqs_request": 1e-6,
        "sns_email": 0.1,
        "sns_https": 0.2,
        "fargate_vcpu_hour": 0.04,
        "fargate_gb_hour": 0.004,
        "fargate_vcpu_hour_arm64": 0.03,
        "fargate_gb_hour_arm64": 0.003,
        "public_ipv4_hour": 0.005,
        "load_balancer_hour": 0.02,
    },
    bounds={
        "tick_asleep_milliseconds": 100,
        "tick_awake_milliseconds": 200,
        "tick_asleep_log_bytes": 1000,
        "tick_awake_log_bytes": 2000,
        "wake_metrics": 2,
        "wake_notices": 1,
        "wake_reads": 100,
        "wake_writes": 10,
    },
    hours=730,
    date="2026-01-01",
)
TICK = ("aws_cloudwatch_event_rule", "tick", {"schedule_expression": "rate(1 minute)"})


def planned(*found: tuple[str, str, dict[str, Any]], ours: bool = True) -> dict[str, Any]:
    """A plan with these resources (type, name, values), in the module or beside it."""
    prefix = cost.MODULE if ours else ""
    entries = [
        {"address": f"{prefix}{kind}.{name}", "mode": "managed", "type": kind, "values": values}
        for kind, name, values in found
    ]
    child = {"child_modules": [{"resources": entries}]}
    return {"planned_values": {"root_module": child if ours else {"resources": entries}}}


def bill(*found: tuple[str, str, dict[str, Any]], ours: bool = True) -> dict[str, Any]:
    """Each part's month asleep and awake, in USD."""
    priced = cost.Bill.of(planned(*found, ours=ours), BOOK)
    rows = priced.module() if ours else priced.estate()
    return {row.what: pytest.approx((row.asleep, row.awake)) for row in rows}


def test_a_resource_of_an_unknown_type_is_refused_with_its_address_and_the_remedy() -> None:
    plan = planned(("aws_nat_gateway", "this", {}))
    with pytest.raises(cost.CostError, match=r"scale_to_zero\.aws_nat_gateway\.this.*Add it to"):
        cost.Bill.of(plan, BOOK)


def test_no_type_is_both_priced_and_free() -> None:
    assert not cost.PRICED.keys() & cost.FREE.keys()


def test_what_is_no_plan_is_told_so() -> None:
    with pytest.raises(cost.CostError, match="terraform show -json"):
        cost.resources({"format_version": "1.2"})


@pytest.mark.parametrize(
    ("values", "usd"),
    [
        ({"period": 60}, 0.10),
        ({"period": 10}, 0.30),
        ({"metric_query": [{"metric": [{"period": 60}]}, {"expression": "m1 / m2"}]}, 0.10),
        ({"metric_query": [{"metric": [{"period": 60}]}, {"metric": [{"period": 60}]}]}, 0.20),
        ({"metric_query": [{"metric": [{"period": 10}]}]}, 0.30),
    ],
)
def test_an_alarm_costs_by_the_metrics_that_it_reads(values: dict[str, Any], usd: float) -> None:
    assert bill(("aws_cloudwatch_metric_alarm", "x", values)) == {"Alarms": (usd, usd)}


def test_alarms_are_one_row() -> None:
    many = [("aws_cloudwatch_metric_alarm", name, {"period": 60}) for name in "abc"]
    (row,) = cost.Bill.of(planned(*many), BOOK).module()
    assert row.how == "3 x 0.10"
    assert row.asleep == pytest.approx(0.30)


def test_a_schedule_costs_by_its_rate_and_a_pattern_nothing() -> None:
    assert bill(TICK) == {"Schedule of the ticks": (0.0438, 0.0438)}
    hourly = {"schedule_expression": "rate(2 hours)"}
    assert bill((TICK[0], "x", hourly)) == {"Schedule of the ticks": (365e-6, 365e-6)}
    assert bill((TICK[0], "x", {"event_pattern": "{}"})) == {}
    assert bill((TICK[0], "x", {**TICK[2], "state": "DISABLED"})) == {}


def test_a_schedule_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(cost.CostError, match=r"cron\(0 8 \* \* \? \*\)"):
        bill((TICK[0], "x", {"schedule_expression": "cron(0 8 * * ? *)"}))


@pytest.mark.parametrize(("architecture", "second"), [("arm64", 1e-5), ("x86_64", 2e-5)])
def test_the_function_costs_by_ticks_memory_and_architecture(
    architecture: str, second: float
) -> None:
    values = {"memory_size": 512, "architectures": [architecture]}
    found = bill(TICK, ("aws_lambda_function", "this", values))
    assert found["Lambda: time of the ticks"] == (
        43_800 * 0.1 * 0.5 * second,
        43_800 * 0.2 * 0.5 * second,
    )
    assert found["Lambda: requests of the ticks"] == (0.0438, 0.0438)
    assert found["Reading the idle alarm"] == (0, 0.438)
    assert found["Two wakes a day: metrics"] == (2 * 61 * 0.3 / 730, 0)


def test_each_queue_is_asked_by_every_tick() -> None:
    alarms = [
        ("aws_cloudwatch_metric_alarm", name, {"namespace": namespace, "period": 60})
        for name, namespace in (("web", "AWS/ECS"), ("mail", "AWS/SQS"), ("bills", "AWS/SQS"))
    ]
    function: tuple[str, str, dict[str, Any]] = ("aws_lambda_function", "this", {})
    assert bill(TICK, function, *alarms)["Asking the queues"] == (0.0876, 0.0876)
    assert "Asking the queues" not in bill(TICK, function, alarms[0])


def test_the_log_costs_what_it_takes_in_and_keeps() -> None:
    log = ("aws_cloudwatch_log_group", "this", {"retention_in_days": 14})
    gb = 43_800 * 1000 / 1e9
    usd = gb * (0.5 + 0.03 * 14 * 24 / 730)
    assert bill(TICK, log)["Log"] == (usd, 2 * usd)
    assert bill(log, ours=False) == {}  # the application's own


def test_the_table_costs_its_reads_and_is_refused_when_it_is_paid_by_the_hour() -> None:
    paid = {"billing_mode": "PAY_PER_REQUEST"}
    found = bill(TICK, ("aws_dynamodb_table", "this", paid))["DynamoDB"]
    assert found == (0.0876 + 61 * (100 * 2 + 10 * 5) * 1e-6, 0.0876)
    with pytest.raises(cost.CostError, match="PAY_PER_REQUEST"):
        bill(("aws_dynamodb_table", "this", {"billing_mode": "PROVISIONED"}))


def test_the_dashboard_stands_apart() -> None:
    priced = cost.Bill.of(planned(("aws_cloudwatch_dashboard", "this", {})), BOOK)
    assert (priced.asleep, priced.dashboards) == (0, 3.0)


def test_tasks_cost_awake_alone_and_the_load_balancer_always() -> None:
    found = bill(
        ("aws_lb", "this", {"internal": False}),
        ("aws_subnet", "a", {}),
        ("aws_subnet", "b", {}),
        ("aws_ecs_task_definition", "app", {"cpu": "512", "memory": "1024"}),
        (
            "aws_ecs_service",
            "app",
            {"desired_count": 2, "network_configuration": [{"assign_public_ip": True}]},
        ),
        ours=False,
    )
    assert found == {
        "Load balancer, without traffic": (14.6, 14.6),
        "Load balancer's public addresses": (7.3, 7.3),
        "Fargate task": (0, 2 * (0.5 * 0.04 + 0.004) * 730),
        "Task's public address": (0, 7.3),
    }


def test_a_service_runs_the_task_definition_of_its_name_or_key() -> None:
    small, large = {"cpu": "256", "memory": "512"}, {"cpu": "512", "memory": "1024"}
    definitions = [
        ("aws_ecs_task_definition", 'this["api"]', small),
        ("aws_ecs_task_definition", 'this["web"]', large),
    ]
    for address in ("web", 'this["web"]'):
        found = bill(*definitions, ("aws_ecs_service", address, {"desired_count": 1}), ours=False)
        assert found["Fargate task"] == (0, (0.5 * 0.04 + 0.004) * 730)
    with pytest.raises(cost.CostError, match=r"not known which of 2 .* the name or the key"):
        bill(*definitions, ("aws_ecs_service", "app", {"desired_count": 1}), ours=False)


def test_notices_cost_by_their_way() -> None:
    mail = ("aws_sns_topic_subscription", "x", {"protocol": "email"})
    assert bill(mail) == {"Notices by email": (122 * 0.1, 0)}
    assert bill(("aws_sns_topic_subscription", "x", {"protocol": "lambda"})) == {}
    with pytest.raises(cost.CostError, match="by sms"):
        bill(("aws_sns_topic_subscription", "x", {"protocol": "sms"}))


def test_every_price_has_a_number_a_unit_and_a_page_of_aws_and_the_table_its_date() -> None:
    table = json.loads((ROOT / "tools" / "prices.json").read_text())
    assert len(table["date"].split("-")) == 3
    assert "look at its page" in table["note"]
    for name, price in table["prices"].items():
        assert price["usd"] > 0, name
        assert price["per"], name
        assert price["page"].startswith("https://aws.amazon.com/"), name


def test_every_measured_figure_is_there_and_within_its_bound() -> None:
    inputs = json.loads((ROOT / "tools" / "measured.json").read_text())["inputs"]
    assert {name for name, e in inputs.items() if not 0 < e["measured"] <= e["bound"]} == set()


def test_what_is_under_half_a_cent_says_so() -> None:
    assert [cost.usd(n) for n in (0, 0.004, 0.005, 1234.5)] == [
        "0.00", "under 0.01", "0.01", "1,234.50",
    ]  # fmt: skip


def events(*lines: str, stream: str = "s") -> list[dict[str, str]]:
    return [{"logStreamName": stream, "message": line} for line in lines]


def report(milliseconds: int, more: str = "") -> str:
    return f"REPORT RequestId: r\tDuration: 1.00 ms\tBilled Duration: {milliseconds} ms{more}"


def entry(before: str, after: str) -> str:
    return json.dumps({"signal": "tick", "before": before, "after": after})


def test_a_tick_is_billed_by_its_report_and_counts_26_bytes_an_event() -> None:
    lines = ("START RequestId: r", entry("asleep", "asleep"), report(40))
    (one,) = tick.ticks_in(tick.invocations(events(*lines)), "asleep")
    assert one["billed"] == 40
    assert one["bytes"] == sum(len(line) + 26 for line in lines)


def test_ticks_that_are_cold_or_change_the_phase_are_not_taken() -> None:
    cold = events("START a", entry("asleep", "asleep"), report(400, "\tInit Duration: 300 ms"))
    moved = events("START b", entry("awake", "drowsy"), report(50), stream="t")
    done = tick.invocations([*cold, *moved])
    assert (len(done), tick.ticks_in(done, "asleep"), tick.ticks_in(done, "awake")) == (2, [], [])


def test_new_figures_keep_the_bounds_and_one_over_its_bound_is_refused() -> None:
    text = json.dumps({"inputs": {"x": {"measured": 1, "bound": 10}}})
    kept = json.loads(tick.keep({"x": 4.26}, text, "2026-01-01"))
    assert kept["inputs"]["x"] == {"measured": 4.3, "bound": 10}
    assert kept["measured_on"].startswith("2026-01-01")
    with pytest.raises(ValueError, match="x is 11, over its bound 10"):
        tick.keep({"x": 11}, text, "2026-01-01")
