"""Every example and every block of Terraform code in the documents, with the mocked provider."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import plans

NAMED_BY = {
    "aws_cloudwatch_dashboard": "dashboard_name",
    "aws_cloudwatch_event_rule": "name",
    "aws_cloudwatch_log_group": "name",
    "aws_cloudwatch_metric_alarm": "alarm_name",
    "aws_cloudwatch_query_definition": "name",
    "aws_dynamodb_table": "name",
    "aws_iam_role": "name",
    "aws_lambda_function": "function_name",
    "aws_lb_target_group": "name",
    "aws_sns_topic": "name",
}

# The shapes of tests/terraform/unknown, and the listener rules of each.
ONE_ROUTE = ['fixed["this/control"]', 'fixed["this/heartbeat"]', 'wake["this"]']
SHAPES = {
    "plain": ONE_ROUTE,
    "alarm_path": [],
    "several_groups": ONE_ROUTE,
    "routes": [
        'fixed["http/control"]',
        'fixed["https/control"]',
        'fixed["https/heartbeat"]',
        'fixed["https/websocket"]',
        'wake["http"]',
        'wake["https"]',
    ],
    "default_action": sorted([*ONE_ROUTE, 'service["this"]']),
    "behind_a_proxy": ONE_ROUTE,
    "logins": [
        'fixed["cognito/control"]',
        'fixed["cognito/login"]',
        'fixed["oidc/control"]',
        'fixed["oidc/heartbeat"]',
        'fixed["oidc/login"]',
        'service["cognito"]',
        'wake["cognito"]',
        'wake["oidc"]',
    ],
    "environment": [
        'fixed["api/default/control"]',
        'fixed["web/this/control"]',
        'fixed["web/this/heartbeat"]',
        'fixed["web/this/websocket"]',
        'service["api/default"]',
        'wake["api/default"]',
        'wake["web/this"]',
    ],
    "queues": [],
}

pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def states() -> Iterator[dict[str, dict[str, Any]]]:
    """Of one run of Terraform over all of them; PlansError with what it said of which."""
    (plans.ROOT / ".cache").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="plans-", dir=plans.ROOT / ".cache"))
    try:
        yield plans.states(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def test_every_example_is_applied_and_inventoried() -> None:
    folders = {path.parent.name for path in (plans.ROOT / "examples").glob("*/main.tf")}
    assert set(plans.EXAMPLES) == folders
    assert {path.stem for path in plans.INVENTORIES.glob("*.txt")} == folders


@pytest.mark.parametrize("example", plans.EXAMPLES)
def test_an_example_makes_what_its_inventory_says(
    states: dict[str, dict[str, Any]], example: str
) -> None:
    recorded = (plans.INVENTORIES / f"{example}.txt").read_text()
    assert plans.inventory(states[example]) == recorded, (
        "python -m tests.terraform.plans --record, and look at the changes"
    )


@pytest.mark.parametrize("block", plans.blocks())
def test_the_code_in_the_documents_is_what_terraform_applies(
    states: dict[str, dict[str, Any]], block: str
) -> None:
    assert list(plans.resources(states[block]))


@pytest.mark.parametrize(
    ("name", "mismatches"),
    [
        ("terraform-aws-modules", "length(local.condition_mismatches) == 0"),
        ("authenticated", "for key in local.login_mismatches"),
    ],
)
def test_a_plan_that_also_makes_the_service_rule_compares_nothing_yet(
    name: str, mismatches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "UNCHECKED", ())
    inputs = {**plans.EXAMPLES[name], "hosts": ["app.example.com"]}
    (plans.ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plans-", dir=plans.ROOT / ".cache") as folder:
        scratch = Path(folder)
        plans.copy_example(name, scratch)
        (scratch / "main.tf").write_text(plans.call(name, inputs))
        # a check that is known after the apply fails the run of a plan
        events = [json.loads(line) for line in plans.events_of(scratch, command="plan", fine=(1,))]
    told = [event["diagnostic"] for event in events if event["type"] == "diagnostic"]
    assert {
        each["summary"] for each in told if mismatches in each.get("snippet", {}).get("code", "")
    } == {"Check block assertion known after apply"}
    assert "Check block assertion failed" not in {each["summary"] for each in told}


def test_two_instances_on_one_listener_share_no_name_and_no_rule_number(
    states: dict[str, dict[str, Any]],
) -> None:
    found = [r for r in plans.resources(states["several"]) if r["mode"] == "managed"]
    names = [(r["type"], r["values"][NAMED_BY[r["type"]]]) for r in found if r["type"] in NAMED_BY]
    assert len(names) == len(set(names)) == 2 * (1 + 3 + 1 + 6 + 4 + 1 + 1 + 1 + 2 + 1)
    rules = [r for r in found if r["type"] == "aws_lb_listener_rule"]
    numbers = sorted(rule["values"]["priority"] for rule in rules)
    assert numbers == [87, 88, 97, 98, 30087, 30097]


def test_every_shape_is_planned_while_no_arn_is_known(states: dict[str, dict[str, Any]]) -> None:
    """One that hangs on an ARN would have failed the plan that `states` begins with."""
    made = "\n".join(r["address"] for r in plans.resources(states["unknown"]))
    found = {
        shape: sorted(re.findall(rf"module\.{shape}\.aws_lb_listener_rule\.(\S+)", made))
        for shape in SHAPES
    }
    assert found == SHAPES
