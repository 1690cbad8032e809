"""What Terraform makes of the module, judged: its policies by policy-sentry, all by cfn-lint."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests import judged, judges
from tests.judge import cloudformation, policies
from tests.rights.module import ROOT, written

# Why a finding is none, by sid, action, and how it begins.
FALSE_ALARMS = {
    # The reference names a log stream as the resource of both actions. The names of the function's
    # streams are not known before: the * at the end of the log group's ARN stands for all of them.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
    ("WriteLog", "logs:CreateLogStream"): "resource arn:aws:logs:",
    ("WriteLog", "logs:PutLogEvents"): "resource arn:aws:logs:",
    # The reference requires a container instance. A Fargate service has none, so no ARN but * fits.
    # The condition on ecs:cluster limits the action to the cluster (tests/rights/reference.py).
    ("ListTasks", "ecs:ListTasks"): "resource *, and container-instance is required",
}


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    """The resources of every switch and of the examples that make more than the module does."""
    judges.JUDGE.package("policy_sentry")
    return policies.resources()


@pytest.fixture(scope="module")
def rendered(made: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return policies.rendered(made)


@pytest.mark.terraform
def test_actions_exist_and_conditions_and_resources_are_of_theirs(
    rendered: dict[str, dict[str, Any]], record_property: Callable[[str, object], None]
) -> None:
    said = policies.judged(rendered)
    true = []
    passed_over = set()
    for finding in said["findings"]:
        key = (finding["sid"], finding["action"])
        if finding["what"].startswith(FALSE_ALARMS.get(key, "no false alarm")):
            passed_over.add(key)
        else:
            true.append(finding)
    assert true == []
    assert passed_over == FALSE_ALARMS.keys(), "one of them is no longer found: take it out"
    judged.say(
        record_property,
        "policy-sentry",
        f"policy-sentry {judges.JUDGE.version('policy-sentry')}",
        "actions, condition keys and resource types of every policy, with every switch",
        f"{len(rendered)} policies with {said['judged']} actions; nothing found but "
        f"{len(passed_over)} known false alarms",
    )


@pytest.mark.terraform
def test_every_statement_that_is_written_is_in_a_rendered_policy(
    rendered: dict[str, dict[str, Any]],
) -> None:
    seen = {each["Sid"] for policy in rendered.values() for each in policy["Statement"]}
    files = [*ROOT.glob("*.tf"), *ROOT.glob("examples/*/*.tf")]
    blocks = [block for file in files for block in written("data", str(file.relative_to(ROOT)))]
    documents = [
        document
        for block in blocks
        for document in block.get("aws_iam_policy_document", {}).values()
        if isinstance(document, dict)
    ]
    sids = {each["sid"] for document in documents for each in document["statement"]}
    for document in documents:
        for dynamic in document.get("dynamic", []):
            sids |= {content["sid"] for content in dynamic["statement"]["content"]}
    assert len(sids) > 12
    assert sids - seen == set()


SERVICE = "arn:aws:ecs:eu-west-1:123456789012:service/staging/web"
TASK = "arn:aws:ecs:eu-west-1:123456789012:task/staging/1"
RIGHT = {"Sid": "S", "Action": ["ecs:UpdateService"], "Resource": [SERVICE]}
WRONG: dict[str, dict[str, Any]] = {
    "no such action": {"Action": ["ecs:StopService"]},
    "condition key ecs:no-such is not one of its own": {
        "Condition": {"StringEquals": {"ecs:no-such": ["x"]}}
    },
    "condition key dynamodb:LeadingKeys is not one of its own": {
        "Condition": {"StringEquals": {"dynamodb:LeadingKeys": ["x"]}}
    },
    f"resource {TASK} is not of a type of its own": {"Resource": [TASK]},
    "resource *, and service is required": {"Resource": ["*"]},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(what: str) -> None:
    (finding,) = policies.judged({"p": {"Statement": [RIGHT | WRONG[what]]}})["findings"]
    assert finding["what"].startswith(what)


def test_what_is_right_is_not_found() -> None:
    right = {**RIGHT, "Condition": {"StringEquals": {"ecs:task-definition": ["x"]}}}
    assert policies.judged({"p": {"Statement": [right]}}) == {"judged": 1, "findings": []}


@pytest.fixture(scope="module")
def templates(made: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return cloudformation.templates(made)


@pytest.fixture(scope="module")
def linted(templates: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """What cfn-lint says of the templates, and of the wrong ones, by name."""
    spoiled = {name: spoil(templates["listener"], *fault[:3]) for name, fault in FAULTS.items()}
    return cloudformation.findings(templates | spoiled)


def spoil(template: dict[str, Any], type_: str, path: str, wrong: Any) -> dict[str, Any]:
    """A copy in which the first resource of a type that has this property has this value there."""
    spoiled = copy.deepcopy(template)
    *folders, name = path.split(".")
    for resource in spoiled["Resources"].values():
        if resource["Type"] == type_ and path.split(".")[0] in resource["Properties"]:
            inside = resource["Properties"]
            for folder in folders:
                inside = inside[int(folder) if folder.isdigit() else folder]
            assert name in inside
            inside[name] = wrong
            return spoiled
    raise LookupError(f"no {type_} with {path}")


ACTION = "PolicyDocument.Statement.0.Action"
# The type, the property, a value that AWS refuses there, and what cfn-lint says of it.
FAULTS = {
    "operator": ("AWS::CloudWatch::Alarm", "ComparisonOperator", "LessThan", "'LessThan'"),
    "missing-data": ("AWS::CloudWatch::Alarm", "TreatMissingData", "breaks", "'breaks'"),
    "schedule": ("AWS::Events::Rule", "ScheduleExpression", "rate(1 minutes)", "'minutes'"),
    "runtime": ("AWS::Lambda::Function", "Runtime", "python3.99", "'python3.99'"),
    "memory": ("AWS::Lambda::Function", "MemorySize", 64, "64 is less than"),
    "action": ("AWS::IAM::ManagedPolicy", ACTION, ["ecs:StopService"], "'stopservice'"),
    "retention": ("AWS::Logs::LogGroup", "RetentionInDays", 15, "15 is not one of"),
    "priority": ("AWS::ElasticLoadBalancingV2::ListenerRule", "Priority", 50_001, "50001 is"),
    "billing": ("AWS::DynamoDB::Table", "BillingMode", "ON_DEMAND", "'ON_DEMAND'"),
}


@pytest.mark.terraform
def test_every_resource_is_as_aws_s_schema_has_it(
    templates: dict[str, dict[str, Any]],
    linted: dict[str, list[str]],
    record_property: Callable[[str, object], None],
) -> None:
    assert {name: linted[name] for name in templates if linted[name]} == {}
    types = [each["Type"] for made in templates.values() for each in made["Resources"].values()]
    judged.say(
        record_property,
        "cfn-lint",
        f"cfn-lint {judges.JUDGE.version('cfn-lint')}",
        "the plan of every switch and of the examples, as CloudFormation",
        f"{len(types)} resources of {len(set(types))} types in {len(templates)} templates; "
        "nothing found",
    )


@pytest.mark.terraform
@pytest.mark.parametrize("fault", FAULTS)
def test_what_aws_would_refuse_is_found(linted: dict[str, list[str]], fault: str) -> None:
    _, path, _, said = FAULTS[fault]
    assert f".Properties.{path}: {said}" in linted[fault][0]


@pytest.mark.terraform
def test_every_type_of_the_inventories_is_converted_or_left_out_on_purpose() -> None:
    known = cloudformation.PLAIN.keys() | cloudformation.CONVERTERS.keys() | cloudformation.LEFT_OUT
    seen = set()
    for file in (ROOT / "tests" / "terraform" / "inventories").glob("*.txt"):
        for line in file.read_text().splitlines():
            seen |= {word for word in line.split()[0].split(".") if word.startswith("aws_")}
    assert seen - known == {"aws_cloudwatch_event_rule", "aws_partition"}
