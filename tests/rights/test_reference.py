"""The calls that the warmkeeper can make at all, the map of them, and main.tf say the same."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from tests.rights.module import ROOT, statements, written
from tests.rights.reference import REFERENCE, RIGHTS, UNCALLED, Place, asked, methods_of
from tests.warmkeeper.world import CLIENTS

PLACE = Place("eu-west-1", "123456789012")
EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("ecs", "DescribeServices"): {"cluster": "c", "services": ["a", "b"]},
    ("ecs", "UpdateService"): {"cluster": "c", "service": "a", "desiredCount": 1},
    ("ecs", "ListServiceDeployments"): {"cluster": "c", "service": "a"},
    ("ecs", "DescribeTaskDefinition"): {"taskDefinition": "app:1"},
    ("application-autoscaling", "DescribeScalableTargets"): {"ServiceNamespace": "ecs"},
    ("application-autoscaling", "DescribeScheduledActions"): {"ServiceNamespace": "ecs"},
    ("application-autoscaling", "RegisterScalableTarget"): {
        "ServiceNamespace": "ecs",
        "ScalableDimension": "ecs:service:DesiredCount",
    },
    ("ecs", "ListTasks"): {"cluster": "c", "serviceName": "a"},
    ("ecs", "DescribeTasks"): {"cluster": "c", "tasks": [PLACE.arn("ecs", "task/c/1")]},
    ("ecs", "GetTaskProtection"): {"cluster": "c", "tasks": [PLACE.arn("ecs", "task/c/1")]},
    ("elbv2", "DescribeTargetHealth"): {"TargetGroupArn": "arn"},
    ("elbv2", "DescribeRules"): {"ListenerArn": "arn"},
    ("elbv2", "SetRulePriorities"): {"RulePriorities": [{"RuleArn": "arn", "Priority": 1}]},
    ("dynamodb", "GetItem"): {"TableName": "t", "Key": {"id": {"S": "memory"}}},
    ("dynamodb", "PutItem"): {"TableName": "t", "Item": {"id": {"S": "memory"}}},
    ("dynamodb", "UpdateItem"): {"TableName": "t", "Key": {"id": {"S": "held"}}},
    ("cloudwatch", "DescribeAlarms"): {"AlarmNames": ["idle"]},
    ("sqs", "GetQueueUrl"): {"QueueName": "mail", "QueueOwnerAWSAccountId": "123456789012"},
    ("sqs", "GetQueueAttributes"): {
        "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/mail",
        "AttributeNames": ["ApproximateNumberOfMessages"],
    },
    ("rds", "DescribeDBInstances"): {"DBInstanceIdentifier": "main"},
    ("rds", "DescribeDBClusters"): {"DBClusterIdentifier": "main"},
    ("rds", "StartDBInstance"): {"DBInstanceIdentifier": "main"},
    ("rds", "StartDBCluster"): {"DBClusterIdentifier": "main"},
    ("rds", "StopDBInstance"): {"DBInstanceIdentifier": "main"},
    ("rds", "StopDBCluster"): {"DBClusterIdentifier": "main"},
    ("sns", "Publish"): {"TopicArn": "arn"},
    ("ssm", "GetParameter"): {"Name": "/a/b"},
}


def operations() -> set[tuple[str, str]]:
    """Every operation of the stand-ins over which all unit tests run: others cannot be called."""
    found = set()
    for service, client in CLIENTS.items():
        methods = {name for name, _ in inspect.getmembers(client, inspect.isfunction)}
        named = methods_of(service)
        found |= {(service, named[method]) for method in methods & named.keys()}
    return found


def allowed() -> dict[str, set[str]]:
    """The actions of each statement of the role's policy, as main.tf has them."""
    return {statement["sid"]: set(statement["actions"]) for statement in statements()}


def test_every_call_that_can_be_made_is_in_the_map_and_no_other() -> None:
    assert operations() == set(RIGHTS) == set(EXAMPLES)


def test_the_policy_has_the_actions_of_these_calls_and_no_others() -> None:
    needed = {
        ask.action for call, params in EXAMPLES.items() for ask in asked(*call, params, PLACE)
    }
    granted = {(sid, action) for sid, actions in allowed().items() for action in actions}
    assert {action for sid, action in granted if (sid, action) not in UNCALLED} == needed
    assert set(UNCALLED) <= granted
    assert all(UNCALLED.values())


@pytest.mark.parametrize("call", sorted(RIGHTS))
def test_every_call_names_its_page(call: tuple[str, str]) -> None:
    assert re.fullmatch(r"https://\S+/list_[a-z0-9]+\.html", REFERENCE + RIGHTS[call].page)
    assert all(ask.resource for ask in asked(*call, EXAMPLES[call], PLACE))


def test_several_resources_of_a_call_are_asked_for_one_by_one() -> None:
    asks = asked("ecs", "DescribeServices", EXAMPLES["ecs", "DescribeServices"], PLACE)
    assert [ask.resource for ask in asks] == [
        PLACE.arn("ecs", "service/c/a"),
        PLACE.arn("ecs", "service/c/b"),
    ]


def test_a_call_that_is_not_the_warmkeeper_s_is_no_question_to_the_policy() -> None:
    with pytest.raises(KeyError):
        asked("ecs", "DeleteService", {"cluster": "c", "service": "a"}, PLACE)


def test_every_permission_to_invoke_names_the_arn_of_its_caller() -> None:
    files = [file.name for file in ROOT.glob("*.tf")]
    resources = [block for file in files for block in written("resource", file)]
    permissions = {
        name: permission
        for block in resources
        for name, permission in block.get("aws_lambda_permission", {}).items()
    }
    assert set(permissions) == {"this"}
    assert permissions["this"]["source_arn"] == "${each.value.source_arn}"
    assert permissions["this"]["action"] == "lambda:InvokeFunction"


def test_a_resource_policy_that_lets_a_service_in_says_on_whose_account() -> None:
    documents = [block.get("aws_iam_policy_document", {}) for block in written("data")]
    (topic,) = [block["topic"] for block in documents if "topic" in block]
    for statement in topic["statement"]:
        assert [c["variable"] for c in statement["condition"]] == ["aws:SourceArn"]
