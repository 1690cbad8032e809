"""What Terraform plans, as CloudFormation templates, so that cfn-lint can judge it.

cfn-lint knows AWS's own schema of every resource type: names of properties, values, patterns, and
what is required. A template has the planned values, and for what AWS chooses the mocked provider's
stand-ins.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import judges
from tests.judge.policies import document

Values = Mapping[str, Any]
Properties = dict[str, Any]

# Terraform's type, CloudFormation's type, and of its properties those with the same value, by the
# name that Terraform has for them.
PLAIN: dict[str, tuple[str, dict[str, str]]] = {
    "aws_appautoscaling_target": (
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {
            "MaxCapacity": "max_capacity",
            "MinCapacity": "min_capacity",
            "ResourceId": "resource_id",
            "ScalableDimension": "scalable_dimension",
            "ServiceNamespace": "service_namespace",
        },
    ),
    "aws_chatbot_slack_channel_configuration": (
        "AWS::Chatbot::SlackChannelConfiguration",
        {
            "ConfigurationName": "configuration_name",
            "GuardrailPolicies": "guardrail_policy_arns",
            "IamRoleArn": "iam_role_arn",
            "SlackChannelId": "slack_channel_id",
            "SlackWorkspaceId": "slack_team_id",
            "SnsTopicArns": "sns_topic_arns",
        },
    ),
    "aws_cloudwatch_dashboard": (
        "AWS::CloudWatch::Dashboard",
        {"DashboardBody": "dashboard_body", "DashboardName": "dashboard_name"},
    ),
    "aws_cloudwatch_log_group": (
        "AWS::Logs::LogGroup",
        {"LogGroupName": "name", "RetentionInDays": "retention_in_days"},
    ),
    "aws_cloudwatch_query_definition": (
        "AWS::Logs::QueryDefinition",
        {"LogGroupNames": "log_group_names", "Name": "name", "QueryString": "query_string"},
    ),
    "aws_ecs_cluster": ("AWS::ECS::Cluster", {"ClusterName": "name"}),
    "aws_lambda_permission": (
        "AWS::Lambda::Permission",
        {
            "Action": "action",
            "FunctionName": "function_name",
            "Principal": "principal",
            "SourceAccount": "source_account",
            "SourceArn": "source_arn",
        },
    ),
    "aws_sns_topic": (
        "AWS::SNS::Topic",
        {"KmsMasterKeyId": "kms_master_key_id", "TopicName": "name"},
    ),
    "aws_sns_topic_subscription": (
        "AWS::SNS::Subscription",
        {"Endpoint": "endpoint", "Protocol": "protocol", "TopicArn": "topic_arn"},
    ),
    "aws_sqs_queue": (
        "AWS::SQS::Queue",
        {"QueueName": "name", "VisibilityTimeout": "visibility_timeout_seconds"},
    ),
}

# Resources with which the module is tried, or that have no counterpart.
LEFT_OUT = {
    "aws_appautoscaling_policy",
    "aws_cloudformation_stack",  # its template is judged as it is
    "aws_cloudwatch_event_target",  # in its rule
    "aws_db_instance",
    "aws_db_subnet_group",
    "aws_dynamodb_table_item",
    "aws_iam_policy",  # as every policy: its document
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_internet_gateway",
    "aws_lambda_invocation",
    "aws_lb",
    "aws_lb_listener",
    "aws_lb_target_group_attachment",  # in its target group
    "aws_route_table",
    "aws_route_table_association",
    "aws_security_group",
    "aws_service_discovery_http_namespace",
    "aws_sns_topic_policy",
    "aws_subnet",
    "aws_vpc",
}


def templates(resources: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A template for each module in which `resources` (of `terraform show -json`) stand, by name.

    Raises LookupError for a type that is neither converted nor left out.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    made: dict[str, dict[str, Any]] = {}
    for resource in resources:
        module = resource["address"].split(".")[1]
        found.setdefault(module, []).append(resource)
        if resource["type"] == "aws_cloudformation_stack":
            name = f"{module}-{resource['values']['name']}"
            made[name] = json.loads(resource["values"]["template_body"])
    return made | {module: template(inside) for module, inside in found.items()}


def template(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The template of the resources of one module."""
    every = list(resources)
    targets = [each["values"] for each in every if each["type"] == "aws_cloudwatch_event_target"]
    made = {}
    for resource in every:
        if resource["type"] not in LEFT_OUT and (
            resource["mode"] == "managed" or resource["type"] == "aws_iam_policy_document"
        ):
            made[logical_id(resource["address"])] = converted(resource, targets)
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": made}


def logical_id(address: str) -> str:
    """An address as CloudFormation's names may be: letters and digits."""
    return "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", address))


def converted(resource: Mapping[str, Any], targets: list[Values]) -> dict[str, Any]:
    """One resource. `targets` are the event targets of its module."""
    values = resource["values"]
    kind = resource["type"]
    if kind in PLAIN:
        type_, names = PLAIN[kind]
        properties = {name: values[attribute] for name, attribute in names.items()}
    elif kind == "aws_cloudwatch_event_rule":
        type_, properties = event_rule(values, targets)
    elif kind in CONVERTERS:
        type_, properties = CONVERTERS[kind](values)
    else:
        raise LookupError(f"{kind}: write how it is converted, or add it to LEFT_OUT")
    return {"Type": type_, "Properties": given(properties)}


def given(properties: Any) -> Any:
    """Without what Terraform left to AWS: null, and empty lists and objects."""
    if isinstance(properties, dict):
        inside = {key: given(value) for key, value in properties.items()}
        return {key: value for key, value in inside.items() if value not in (None, [], {}, "")}
    if isinstance(properties, list):
        return [given(each) for each in properties]
    return properties


def alarm(values: Values) -> tuple[str, Properties]:
    dimensions = values["dimensions"] or {}
    return "AWS::CloudWatch::Alarm", {
        "AlarmActions": values["alarm_actions"],
        "AlarmDescription": values["alarm_description"],
        "AlarmName": values["alarm_name"],
        "ComparisonOperator": values["comparison_operator"],
        "DatapointsToAlarm": values["datapoints_to_alarm"],
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "EvaluationPeriods": values["evaluation_periods"],
        "InsufficientDataActions": values["insufficient_data_actions"],
        "MetricName": values["metric_name"],
        "Metrics": [metric(query) for query in values["metric_query"]],
        "Namespace": values["namespace"],
        "OKActions": values["ok_actions"],
        "Period": values["period"],
        "Statistic": values["statistic"],
        "Threshold": values["threshold"],
        "TreatMissingData": values["treat_missing_data"],
    }


def metric(query: Values) -> Properties:
    made: Properties = {
        "Expression": query["expression"],
        "Id": query["id"],
        "Label": query["label"],
        "ReturnData": query["return_data"],
    }
    for each in query["metric"]:
        dimensions = each["dimensions"] or {}
        made["MetricStat"] = {
            "Metric": {
                "Dimensions": [{"Name": key, "Value": name} for key, name in dimensions.items()],
                "MetricName": each["metric_name"],
                "Namespace": each["namespace"],
            },
            "Period": each["period"],
            "Stat": each["stat"],
        }
    return made


def event_rule(values: Values, targets: list[Values]) -> tuple[str, Properties]:
    pattern = values["event_pattern"]
    own = [target for target in targets if target["rule"] == values["name"]]
    return "AWS::Events::Rule", {
        "Description": values["description"],
        "EventPattern": json.loads(pattern) if pattern else None,
        "Name": values["name"],
        "ScheduleExpression": values["schedule_expression"],
        "State": values["state"],
        "Targets": [event_target(f"Target{number}", each) for number, each in enumerate(own)],
    }


def event_target(name: str, values: Values) -> Properties:
    (retries,) = values["retry_policy"]
    return {
        "Arn": values["arn"],
        "Id": name,
        "RetryPolicy": {
            "MaximumEventAgeInSeconds": retries["maximum_event_age_in_seconds"],
            "MaximumRetryAttempts": retries["maximum_retry_attempts"],
        },
    }


def event_invoke_config(values: Values) -> tuple[str, Properties]:
    ((failed,),) = [destinations["on_failure"] for destinations in values["destination_config"]]
    return "AWS::Lambda::EventInvokeConfig", {
        "DestinationConfig": {"OnFailure": {"Destination": failed["destination"]}},
        "FunctionName": values["function_name"],
        "MaximumEventAgeInSeconds": values["maximum_event_age_in_seconds"],
        "MaximumRetryAttempts": values["maximum_retry_attempts"],
        "Qualifier": values["qualifier"] or "$LATEST",  # Terraform's default
    }


def function(values: Values) -> tuple[str, Properties]:
    (environment,) = values["environment"]
    return "AWS::Lambda::Function", {
        "Architectures": values["architectures"],
        "Code": {"S3Bucket": "in-place-of-a-file", "S3Key": "warmkeeper.zip"},
        "Description": values["description"],
        "Environment": {"Variables": environment["variables"]},
        "FunctionName": values["function_name"],
        "Handler": values["handler"],
        "KmsKeyArn": values["kms_key_arn"],
        "MemorySize": values["memory_size"],
        "ReservedConcurrentExecutions": values["reserved_concurrent_executions"],
        "Role": values["role"],
        "Runtime": values["runtime"],
        "Timeout": values["timeout"],
    }


def listener_rule(values: Values) -> tuple[str, Properties]:
    return "AWS::ElasticLoadBalancingV2::ListenerRule", {
        "Actions": [
            rule_action(action, number) for number, action in enumerate(values["action"], 1)
        ],
        "Conditions": [rule_condition(condition) for condition in values["condition"]],
        "ListenerArn": values["listener_arn"],
        "Priority": values["priority"],
    }


def rule_action(action: Values, number: int) -> Properties:
    made: Properties = {"Order": number, "Type": action["type"]}
    for login in action["authenticate_oidc"]:
        made["AuthenticateOidcConfig"] = {
            "AuthorizationEndpoint": login["authorization_endpoint"],
            "ClientId": login["client_id"],
            "ClientSecret": login["client_secret"],
            "Issuer": login["issuer"],
            "TokenEndpoint": login["token_endpoint"],
            "UserInfoEndpoint": login["user_info_endpoint"],
        }
    forwards = [group for forward in action["forward"] for group in forward["target_group"]]
    if forwards:
        groups = [{"TargetGroupArn": each["arn"], "Weight": each["weight"]} for each in forwards]
        made["ForwardConfig"] = {"TargetGroups": groups}
    else:
        made["TargetGroupArn"] = action["target_group_arn"]
    return made


CONDITIONS = {
    "host_header": ("host-header", "HostHeaderConfig"),
    "http_request_method": ("http-request-method", "HttpRequestMethodConfig"),
    "path_pattern": ("path-pattern", "PathPatternConfig"),
    "source_ip": ("source-ip", "SourceIpConfig"),
}


def rule_condition(condition: Values) -> Properties:
    for header in condition["http_header"]:
        config = {"HttpHeaderName": header["http_header_name"], "Values": header["values"]}
        return {"Field": "http-header", "HttpHeaderConfig": config}
    for query in condition["query_string"]:
        pairs = {"Values": [{"Key": query["key"], "Value": query["value"]}]}
        return {"Field": "query-string", "QueryStringConfig": pairs}
    [(key, written)] = [(key, each) for key in CONDITIONS for each in condition[key]]
    field, name = CONDITIONS[key]
    return {"Field": field, name: {"Values": written["values"]}}


def policy_document(values: Values) -> tuple[str, Properties]:
    """A policy by its shape: of a role's trust, of a topic, or of an identity."""
    written = {"Version": "2012-10-17", **document(values)}
    named = [statement for statement in written["Statement"] if "Principal" in statement]
    if named and "Resource" not in named[0]:
        return "AWS::IAM::Role", {"AssumeRolePolicyDocument": written}
    if named:
        topics = [resource for statement in named for resource in statement["Resource"]]
        return "AWS::SNS::TopicPolicy", {"PolicyDocument": written, "Topics": topics}
    return "AWS::IAM::ManagedPolicy", {"PolicyDocument": written}


def role(values: Values) -> tuple[str, Properties]:
    """Without its trust, which is judged where it is written."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    return "AWS::IAM::Role", {
        "AssumeRolePolicyDocument": {
            "Statement": [{**trust, "Action": "sts:AssumeRole"}],
            "Version": "2012-10-17",
        },
        "Description": values["description"],
        "RoleName": values["name"],
    }


def service(values: Values) -> tuple[str, Properties]:
    (network,) = values["network_configuration"]
    return "AWS::ECS::Service", {
        "DesiredCount": values["desired_count"],
        "HealthCheckGracePeriodSeconds": values["health_check_grace_period_seconds"],
        "LaunchType": values["launch_type"],
        "LoadBalancers": [
            {
                "ContainerName": each["container_name"],
                "ContainerPort": each["container_port"],
                "TargetGroupArn": each["target_group_arn"],
            }
            for each in values["load_balancer"]
        ],
        "NetworkConfiguration": {
            "AwsvpcConfiguration": {
                "AssignPublicIp": "ENABLED" if network["assign_public_ip"] else "DISABLED",
                "Subnets": ["subnet-0123456789abcdef0" for _ in network["subnets"]],
            }
        },
        "ServiceName": values["name"],
        "TaskDefinition": "in-place-of-an-arn",
    }


def table(values: Values) -> tuple[str, Properties]:
    encrypted = [
        {"KMSMasterKeyId": each["kms_key_arn"], "SSEEnabled": True, "SSEType": "KMS"}
        for each in values["server_side_encryption"]
    ]
    return "AWS::DynamoDB::Table", {
        "AttributeDefinitions": [
            {"AttributeName": each["name"], "AttributeType": each["type"]}
            for each in values["attribute"]
        ],
        "BillingMode": values["billing_mode"],
        "DeletionProtectionEnabled": values["deletion_protection_enabled"],
        "KeySchema": [{"AttributeName": values["hash_key"], "KeyType": "HASH"}],
        "SSESpecification": encrypted[0] if encrypted else None,
        "TableName": values["name"],
    }


def target_group(values: Values) -> tuple[str, Properties]:
    made: Properties = {"Name": values["name"], "TargetType": values["target_type"]}
    if values["target_type"] == "lambda":
        multi_value = json.dumps(values["lambda_multi_value_headers_enabled"])
        attribute = {"Key": "lambda.multi_value_headers.enabled", "Value": multi_value}
        return TARGET_GROUP, {**made, "TargetGroupAttributes": [attribute]}
    (check,) = values["health_check"]
    return TARGET_GROUP, {
        **made,
        "HealthCheckIntervalSeconds": check["interval"],
        "HealthCheckPath": check["path"],
        "HealthCheckTimeoutSeconds": check["timeout"],
        "HealthyThresholdCount": check["healthy_threshold"],
        "Port": values["port"],
        "Protocol": values["protocol"],
        "TargetGroupAttributes": [
            {"Key": "deregistration_delay.timeout_seconds", "Value": values["deregistration_delay"]}
        ],
        "UnhealthyThresholdCount": check["unhealthy_threshold"],
        "VpcId": "vpc-0123456789abcdef0",
    }


def task_definition(values: Values) -> tuple[str, Properties]:
    return "AWS::ECS::TaskDefinition", {
        "ContainerDefinitions": pascal(json.loads(values["container_definitions"])),
        "Cpu": values["cpu"],
        "ExecutionRoleArn": values["execution_role_arn"],
        "Family": values["family"],
        "Memory": values["memory"],
        "NetworkMode": values["network_mode"],
        "RequiresCompatibilities": values["requires_compatibilities"],
    }


def pascal(written: Any) -> Any:
    """The API's camel case as CloudFormation has it; the keys of `options` are the caller's."""
    if isinstance(written, list):
        return [pascal(each) for each in written]
    if isinstance(written, dict):
        return {
            key[0].upper() + key[1:]: value if key == "options" else pascal(value)
            for key, value in written.items()
        }
    return written


TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
CONVERTERS: dict[str, Callable[[Values], tuple[str, Properties]]] = {
    "aws_cloudwatch_metric_alarm": alarm,
    "aws_dynamodb_table": table,
    "aws_ecs_service": service,
    "aws_ecs_task_definition": task_definition,
    "aws_iam_policy_document": policy_document,
    "aws_iam_role": role,
    "aws_lambda_function": function,
    "aws_lambda_function_event_invoke_config": event_invoke_config,
    "aws_lb_listener_rule": listener_rule,
    "aws_lb_target_group": target_group,
}


def findings(made: Mapping[str, dict[str, Any]]) -> dict[str, list[str]]:
    """What cfn-lint says of templates by name: the rule, where, and what is wrong there."""
    judges.JUDGE.package("cfnlint")
    program = judges.JUDGE.folder / "bin" / "cfn-lint"
    with tempfile.TemporaryDirectory() as folder:
        for name, template in made.items():
            Path(folder, f"{name}.json").write_text(json.dumps(template))
        ran = subprocess.run(
            [program, "--format", "json", "--", f"{folder}/*.json"],
            capture_output=True,
            text=True,
        )
    found: dict[str, list[str]] = {name: [] for name in made}
    assert ran.stdout, ran.stderr
    for each in json.loads(ran.stdout):
        where = ".".join(map(str, each["Location"]["Path"] or []))
        said = f"{each['Rule']['Id']} {where}: {each['Message']}"
        found[Path(each["Filename"]).stem].append(said)
    return found
