"""What each call of the warmkeeper asks of IAM: actions, resources and condition keys.

Written down from the Service Authorization Reference, which each `page` names; what is not in it
is no call of the warmkeeper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore import xform_name
from botocore.session import Session

from tests.rights.policy import Ask

REFERENCE = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_"
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where the calls go."""

    region: str
    account: str
    partition: str = "aws"

    def arn(self, service: str, rest: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{rest}"


@dataclass(frozen=True)
class Right:
    """The page of the Service Authorization Reference, and what a call asks by it."""

    page: str
    asks: Callable[[Params, Place], list[Ask]]


def in_cluster(params: Params, place: Place) -> dict[str, tuple[str, ...]]:
    return {"ecs:cluster": (place.arn("ecs", f"cluster/{params['cluster']}"),)}


def services(action: str, names: Callable[[Params], list[str]]) -> Callable[..., list[Ask]]:
    def asks(params: Params, place: Place) -> list[Ask]:
        arns = [place.arn("ecs", f"service/{params['cluster']}/{n}") for n in names(params)]
        context = in_cluster(params, place)
        if "taskDefinition" in params:
            context["ecs:task-definition"] = (params["taskDefinition"],)
        return [Ask(action, arn, context) for arn in arns]

    return asks


def tasks(action: str) -> Callable[..., list[Ask]]:
    def asks(params: Params, place: Place) -> list[Ask]:
        return [Ask(action, arn, in_cluster(params, place)) for arn in params["tasks"]]

    return asks


def anything(action: str) -> Callable[..., list[Ask]]:
    return lambda _params, _place: [Ask(action, "*")]


def scalable_target(params: Params, place: Place) -> list[Ask]:
    # the ARN ends with an id that AWS chooses
    context = {
        "application-autoscaling:service-namespace": (params["ServiceNamespace"],),
        "application-autoscaling:scalable-dimension": (params["ScalableDimension"],),
    }
    arn = place.arn("application-autoscaling", "scalable-target/0ec5")
    return [Ask("application-autoscaling:RegisterScalableTarget", arn, context)]


def items(action: str, key: Callable[[Params], str]) -> Callable[..., list[Ask]]:
    def asks(params: Params, place: Place) -> list[Ask]:
        table = place.arn("dynamodb", f"table/{params['TableName']}")
        return [Ask(action, table, {"dynamodb:LeadingKeys": (key(params),)})]

    return asks


def parameter(params: Params, place: Place) -> list[Ask]:
    name = params["Name"]
    arn = name if name.startswith("arn:") else place.arn("ssm", f"parameter/{name.lstrip('/')}")
    return [Ask("ssm:GetParameter", arn)]


ECS, BALANCING = "amazonelasticcontainerservice.html", "awselasticloadbalancingv2.html"
AUTOSCALING = "awsapplicationautoscaling.html"


def queue_by_name(params: Params, place: Place) -> list[Ask]:
    return [Ask("sqs:GetQueueUrl", place.arn("sqs", params["QueueName"]))]


def queue_by_url(params: Params, place: Place) -> list[Ask]:
    name = params["QueueUrl"].rpartition("/")[2]
    return [Ask("sqs:GetQueueAttributes", place.arn("sqs", name))]


def database(action: str) -> Callable[..., list[Ask]]:
    """For a call that names a DB instance or cluster."""

    def asks(params: Params, place: Place) -> list[Ask]:
        if "DBInstanceIdentifier" in params:
            return [Ask(action, place.arn("rds", f"db:{params['DBInstanceIdentifier']}"))]
        return [Ask(action, place.arn("rds", f"cluster:{params['DBClusterIdentifier']}"))]

    return asks


RIGHTS: dict[tuple[str, str], Right] = {
    ("ecs", "DescribeServices"): Right(
        # service*; ecs:cluster
        ECS, services("ecs:DescribeServices", lambda params: params["services"])
    ),
    ("ecs", "UpdateService"): Right(
        # service*; ecs:cluster, ecs:capacity-provider, ecs:task-definition
        ECS, services("ecs:UpdateService", lambda params: [params["service"]])
    ),
    ("ecs", "ListServiceDeployments"): Right(
        # service*; ecs:cluster
        ECS, services("ecs:ListServiceDeployments", lambda params: [params["service"]])
    ),
    ("ecs", "DescribeTaskDefinition"): Right(
        ECS, anything("ecs:DescribeTaskDefinition")  # no resource, no key
    ),
    ("application-autoscaling", "DescribeScalableTargets"): Right(
        # no resource, no key
        AUTOSCALING, anything("application-autoscaling:DescribeScalableTargets")
    ),
    ("application-autoscaling", "DescribeScheduledActions"): Right(
        # no resource, no key
        AUTOSCALING, anything("application-autoscaling:DescribeScheduledActions")
    ),
    ("application-autoscaling", "RegisterScalableTarget"): Right(
        # ScalableTarget*; application-autoscaling:service-namespace, scalable-dimension
        AUTOSCALING, scalable_target
    ),
    ("ecs", "ListTasks"): Right(
        # container-instance*, which a Fargate service has none of, so that "*" alone fits
        ECS, lambda params, place: [Ask("ecs:ListTasks", "*", in_cluster(params, place))]
    ),
    ("ecs", "DescribeTasks"): Right(ECS, tasks("ecs:DescribeTasks")),  # task*; ecs:cluster
    ("ecs", "GetTaskProtection"): Right(ECS, tasks("ecs:GetTaskProtection")),  # task*; ecs:cluster
    ("elbv2", "DescribeTargetHealth"): Right(
        BALANCING, anything("elasticloadbalancing:DescribeTargetHealth")  # no resource, no key
    ),
    ("elbv2", "DescribeRules"): Right(
        BALANCING, anything("elasticloadbalancing:DescribeRules")  # no resource, no key
    ),
    ("elbv2", "SetRulePriorities"): Right(
        # listener-rule/app*; tags alone
        BALANCING,
        lambda params, _: [
            Ask("elasticloadbalancing:SetRulePriorities", move["RuleArn"])
            for move in params["RulePriorities"]
        ],
    ),
    ("dynamodb", "GetItem"): Right(
        # table*; dynamodb:Attributes, LeadingKeys, ReturnConsumedCapacity, Select
        "amazondynamodb.html", items("dynamodb:GetItem", lambda params: params["Key"]["id"]["S"])
    ),
    ("dynamodb", "PutItem"): Right(
        # table*; dynamodb:Attributes, LeadingKeys, ReturnConsumedCapacity, ReturnValues
        "amazondynamodb.html", items("dynamodb:PutItem", lambda params: params["Item"]["id"]["S"])
    ),
    ("dynamodb", "UpdateItem"): Right(
        # table*; dynamodb:Attributes, LeadingKeys, ReturnConsumedCapacity, ReturnValues
        "amazondynamodb.html", items("dynamodb:UpdateItem", lambda params: params["Key"]["id"]["S"])
    ),
    ("cloudwatch", "DescribeAlarms"): Right(
        # alarm*, the ones that are named
        "amazoncloudwatch.html",
        lambda params, place: [
            Ask("cloudwatch:DescribeAlarms", place.arn("cloudwatch", f"alarm:{name}"))
            for name in params["AlarmNames"]
        ],
    ),
    ("sqs", "GetQueueUrl"): Right("amazonsqs.html", queue_by_name),  # queue*
    ("sqs", "GetQueueAttributes"): Right("amazonsqs.html", queue_by_url),  # queue*
    **{
        # db*, cluster*
        ("rds", f"{does}{kind}"): Right("amazonrds.html", database(f"rds:{does}{kind}"))
        for kind in ("DBInstance", "DBCluster")
        for does in ("Start", "Stop")
    },
    **{
        ("rds", f"Describe{kind}s"): Right("amazonrds.html", database(f"rds:Describe{kind}s"))
        for kind in ("DBInstance", "DBCluster")
    },
    ("sns", "Publish"): Right(
        "amazonsns.html", lambda params, _: [Ask("sns:Publish", params["TopicArn"])]  # topic*
    ),
    ("ssm", "GetParameter"): Right("awssystemsmanager.html", parameter),  # parameter*
}  # fmt: skip

# Allowed without a call of the warmkeeper: of what is called, by whom.
UNCALLED = {
    ("WriteLog", "logs:CreateLogStream"): "Lambda itself calls it, with the role of the function",
    ("WriteLog", "logs:PutLogEvents"): "Lambda itself calls it, with the role of the function",
    ("UseKey", "kms:Decrypt"): "DynamoDB, SNS and SSM call it, where the key is the caller's own",
    ("UseKey", "kms:GenerateDataKey"): "SNS calls it, where the key is the caller's own",
}


def asked(service: str, action: str, params: Params, place: Place) -> list[Ask]:
    """What a call asks. Raises KeyError for a call that the warmkeeper has no business with."""
    return RIGHTS[service, action].asks(params, place)


@cache
def methods_of(service: str) -> dict[str, str]:
    """The operations of a service by the names of boto3's methods."""
    names = Session().get_service_model(service).operation_names
    methods = {xform_name(name): name for name in names}
    return methods | ({"paginate": "DescribeRules"} if service == "elbv2" else {})
