"""What LocalStack and MiniStack do otherwise than AWS, each by its reproduction.

A test that fails here is good news: the gap is closed, and its row in docs/evidence/localstack.md
goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.estate import client
from tests.localstack.clouds import Clouds

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "localstack.md"
Client = Callable[[str], Any]


@pytest.fixture
def localstack(clouds: Clouds) -> Client:
    """Clients of LocalStack, past the front."""
    return direct(clouds, "localstack")


@pytest.fixture
def ministack(clouds: Clouds) -> Client:
    """Clients of MiniStack, past the front."""
    return direct(clouds, "ministack")


def direct(clouds: Clouds, name: str) -> Client:
    environment = {**clouds.environment(), "AWS_ENDPOINT_URL": clouds.front.clouds[name]}
    return lambda service: client(environment, service)


@pytest.mark.parametrize(
    ("service", "action"),
    [
        ("ecs", "list_clusters"),
        ("elbv2", "describe_load_balancers"),
        ("application-autoscaling", "describe_scalable_targets"),
    ],
)
def test_localstack_has_no_ecs_load_balancers_and_auto_scaling(
    localstack: Client, service: str, action: str
) -> None:
    given = {"ServiceNamespace": "ecs"} if service == "application-autoscaling" else {}
    with pytest.raises(ClientError, match="not included in your current license plan"):
        getattr(localstack(service), action)(**given)


def test_localstack_keeps_no_saved_queries(localstack: Client) -> None:
    with pytest.raises(ClientError, match="put_query_definition action has not been implemented"):
        localstack("logs").put_query_definition(name="q", queryString="fields @message")


def test_localstack_lists_no_tags_of_an_alarm(localstack: Client) -> None:
    cloudwatch = localstack("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="tagged",
        Namespace="AWS/ApplicationELB",
        MetricName="RequestCount",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
        Tags=[{"Key": "Estate", "Value": "staging"}],
    )
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["tagged"])["MetricAlarms"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == []


def test_localstack_allows_a_role_without_a_policy_everything(
    clouds: Clouds, localstack: Client
) -> None:
    made = localstack("iam").create_role(RoleName="nobody", AssumeRolePolicyDocument="{}")
    role = localstack("sts").assume_role(RoleArn=made["Role"]["Arn"], RoleSessionName="nobody")
    keys = {
        "AWS_ACCESS_KEY_ID": role["Credentials"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": role["Credentials"]["SecretAccessKey"],
    }
    endpoint = {"AWS_ENDPOINT_URL": clouds.front.clouds["localstack"]}
    sns = client({**clouds.environment(), **endpoint, **keys}, "sns")
    assert sns.create_topic(Name="nobody")["TopicArn"]


def test_ministack_gives_a_target_group_of_a_function_protocol_and_port(ministack: Client) -> None:
    made = ministack("elbv2").create_target_group(Name="function", TargetType="lambda")
    assert made["TargetGroups"][0].keys() >= {"Protocol", "Port"}


def test_ministack_checks_no_target_s_health(ministack: Client) -> None:
    elbv2 = ministack("elbv2")
    made = elbv2.create_target_group(
        Name="nobody", TargetType="ip", Protocol="HTTP", Port=9, VpcId="vpc-1"
    )
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.9"}])
    (target,) = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert target["TargetHealth"]["State"] == "healthy"


def test_ministack_names_no_availability_zone_rebalancing(ministack: Client) -> None:
    ecs = ministack("ecs")
    ecs.create_cluster(clusterName="gaps")
    container = {"name": "app", "image": "app", "command": ["sleep", "1"], "memory": 256}
    ecs.register_task_definition(family="gaps", containerDefinitions=[container])
    made = ecs.create_service(
        cluster="gaps", serviceName="gaps", taskDefinition="gaps", desiredCount=0
    )
    assert "availabilityZoneRebalancing" not in made["service"]


def test_the_document_lists_these_gaps() -> None:
    listed = re.findall(r"(?m)^\|.* `(test_\w+)` \|$", DOCUMENT.read_text(encoding="utf-8"))
    here = [name for name in globals() if re.match("test_(localstack|ministack)_", name)]
    assert sorted(listed) == sorted(here)
