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
import warmkeeper as wk

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
    recorded = {path.stem for path in plans.INVENTORIES.glob("*.txt")}
    assert recorded == folders | plans.VARIANTS.keys()


@pytest.mark.parametrize("example", [*plans.EXAMPLES, *plans.VARIANTS])
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


def test_with_service_connect_the_api_has_no_route_and_its_requests_have_an_alarm(
    states: dict[str, dict[str, Any]],
) -> None:
    found = {each["address"]: each for each in plans.resources(states["environment-connect"])}
    start = "module.environment-connect."
    module = f"{start}module.scale_to_zero."
    alarms = of_kind(
        {address: each["values"] for address, each in found.items()},
        f"{module}aws_cloudwatch_metric_alarm.idle",
    )
    assert alarms.keys() == {"connect/api/api", "queue/worker/1", "web/this/1"}
    assert alarms["connect/api/api"]["dimensions"]["DiscoveryName"] == "api"
    services = [each["values"] for address, each in found.items() if "aws_ecs_service" in address]
    (api,) = [each for each in services if each["name"].endswith("-api")]
    assert api["load_balancer"] == []
    ((connected,),) = [each["service"] for each in api["service_connect_configuration"]]
    assert connected["discovery_name"] == "api"
    web, api = (
        json.loads(found[f'{start}aws_ecs_task_definition.this["{key}"]']["values"][DEFINED])[0]
        for key in ("web", "api")
    )
    assert {"name": "API_URL", "value": "http://api:8080/api"} in web["environment"]
    (port,) = api["portMappings"]
    assert port["appProtocol"] == "http"  # or ECS counts no requests
    assert api["healthCheck"]["command"][0] == "CMD"


def test_two_instances_on_one_listener_share_no_name_and_no_rule_number(
    states: dict[str, dict[str, Any]],
) -> None:
    found = [r for r in plans.resources(states["several"]) if r["mode"] == "managed"]
    names = [(r["type"], r["values"][NAMED_BY[r["type"]]]) for r in found if r["type"] in NAMED_BY]
    assert len(names) == len(set(names)) == 2 * (1 + 3 + 1 + 6 + 4 + 1 + 1 + 1 + 2 + 1)
    rules = [r for r in found if r["type"] == "aws_lb_listener_rule"]
    numbers = sorted(rule["values"]["priority"] for rule in rules)
    assert numbers == [87, 88, 97, 98, 30087, 30097]


def test_the_chat_s_commands_invoke_the_function_within_aws_s_hundred_characters(
    states: dict[str, dict[str, Any]],
) -> None:
    (stack,) = [
        r for r in plans.resources(states["chat"]) if r["type"] == "aws_cloudformation_stack"
    ]
    actions = json.loads(stack["values"]["template_body"])["Resources"].values()
    texts = [action["Properties"]["Definition"]["CommandText"] for action in actions]
    assert all(len(text) <= 100 for text in texts)
    form = r"lambda invoke -function-name staging-warmkeeper -payload (\{.*\}) -region eu-west-1"
    commands = [re.fullmatch(form, text) for text in texts]
    assert [json.loads(found[1]) for found in commands if found] == [
        {"command": "sleep"},
        {"command": "wake"},
    ]


def test_every_shape_is_planned_while_no_arn_is_known(states: dict[str, dict[str, Any]]) -> None:
    """One that hangs on an ARN would have failed the plan that `states` begins with."""
    made = "\n".join(r["address"] for r in plans.resources(states["unknown"]))
    found = {
        shape: sorted(re.findall(rf"module\.{shape}\.aws_lb_listener_rule\.(\S+)", made))
        for shape in SHAPES
    }
    assert found == SHAPES


def modules(state: dict[str, Any]) -> Iterator[dict[str, dict[str, Any]]]:
    """The values of the resources of each instance of this module, by their addresses in it."""
    for child in [state, *state.get("child_modules", ())]:
        start = child["address"] + "."
        found = {each["address"].removeprefix(start): each for each in child.get("resources", ())}
        if "aws_lambda_function.this" in found:
            yield {address: each["values"] for address, each in found.items()}
        if child is not state:
            yield from modules({**child, "resources": ()})


DEFINED = "container_definitions"


def of_kind(resources: dict[str, dict[str, Any]], address: str) -> dict[str, dict[str, Any]]:
    """The resources of this address, by their keys."""
    start = address + '["'
    return {
        each.removeprefix(start).removesuffix('"]'): values
        for each, values in resources.items()
        if each.startswith(start)
    }


def test_the_function_reads_what_terraform_has_made(states: dict[str, dict[str, Any]]) -> None:
    """Its environment has the ends of ARNs, and one name for the alarms of all routes."""
    found = [module for state in states.values() for module in modules(state)]
    assert len(found) >= len(plans.EXAMPLES) + len(SHAPES) + 2
    for module in found:
        (function,) = module["aws_lambda_function.this"]["environment"]
        config = wk.Config.from_environment(function["variables"])
        alarms = of_kind(module, "aws_cloudwatch_metric_alarm.idle").values()
        groups = of_kind(module, "aws_lb_target_group.warmkeeper")
        wake_rules = of_kind(module, "aws_lb_listener_rule.wake")
        fixed_rules = of_kind(module, "aws_lb_listener_rule.fixed")

        names = sorted(arn.rpartition(":alarm:")[2] for arn in config.idle_alarm_arns)
        assert names == sorted(alarm["alarm_name"] for alarm in alarms)
        watched = {alarm["dimensions"].get("TargetGroup") for alarm in alarms} - {None}
        assert {arn.rpartition(":")[2] for arn in config.target_group_arns} == watched
        assert config.wake_target_group_arn == groups.get("wake", {"arn": ""})["arn"]
        assert config.control_target_group_arn == groups.get("control", {"arn": ""})["arn"]
        assert config.topic_arn.rpartition(":")[2] == module["aws_sns_topic.this"]["name"]

        assert {route.name for route in config.routes} == wake_rules.keys()
        for route in config.routes:
            own = [rule for key, rule in fixed_rules.items() if key.startswith(f"{route.name}/")]
            assert route.wake_rule_arn == wake_rules[route.name]["arn"]
            assert route.parked_rule_priority == wake_rules[route.name]["priority"]
            assert route.own_rule_arns == tuple(rule["arn"] for rule in own)
            assert route.rule_priority > max(rule["priority"] for rule in own)
            assert route.creates_service_rule == (
                f'aws_lb_listener_rule.service["{route.name}"]' in module
            )
            assert route.member in {member.name for member in config.members}
