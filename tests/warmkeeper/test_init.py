"""Lambda's init phase: what is built before the first invocation, and that nothing depends on it.

Each container is a process of its own that imports the function as Lambda does, with boto3's real
clients; where DynamoDB answers, moto does in the same process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.warmkeeper.world import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
IN_LAMBDA = {
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}
POLICY = {"wake_policy": [{"class": "scanner", "methods": [], "paths": ["*.php"], "user_agents": [],
          "source_ranges": [], "answer": "not-found"}]}  # fmt: skip
CONTAINER = """
import json, sys
import boto3, moto

settings = sys.argv[1]
with moto.mock_aws():
    table = boto3.resource("dynamodb").create_table(
        TableName="staging", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}])
    table.put_item(Item={"id": "settings", "body": settings})
    import warmkeeper
    aws = warmkeeper.container().aws
    built = [list(key) for key in aws._clients]
    table.delete()
    print(json.dumps({"built": built, "settings": aws.settings()}))
"""
WITHOUT = """
import json
import warmkeeper
print(json.dumps({"containers": warmkeeper.container.cache_info().currsize}))
try:
    warmkeeper.handler({"command": "status"}, None)
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
"""


def container(program: str, *arguments: str, **environment: str) -> list[dict[str, Any]]:
    """The JSON lines of a process that starts as a container does."""
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "lambda"), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_after_init_the_clients_of_a_wake_exist_and_the_settings_are_read() -> None:
    (found,) = container(CONTAINER, json.dumps(POLICY), **ENVIRONMENT, **IN_LAMBDA)
    assert sorted(map(tuple, found["built"])) == [
        ("dynamodb", False),
        ("ecs", False),
        ("elbv2", False),
        ("elbv2", True),
        ("sns", True),
    ]
    assert found["settings"] == POLICY, "read before the table was gone, and believed"


def test_settings_that_are_no_policy_do_not_end_the_container() -> None:
    warned, found = container(CONTAINER, '{"wake_policy": [{}]}', **ENVIRONMENT, **IN_LAMBDA)
    assert (warned["level"], warned["message"]) == ("WARNING", "not prepared")
    assert warned["error"] == "KeyError: 'paths'"
    assert ["dynamodb", False] in found["built"]


def test_a_client_that_cannot_be_built_is_told_and_tried_again_by_the_invocation() -> None:
    nowhere = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_EC2_METADATA_DISABLED": "true"}
    warned, made, raised = container(WITHOUT, **ENVIRONMENT, **nowhere)
    assert (warned["level"], warned["message"]) == ("WARNING", "not prepared")
    assert made == {"containers": 1}
    assert warned["error"] == raised["error"] == "NoRegionError: You must specify a region."


def test_a_setting_that_is_missing_is_an_error_of_each_invocation_as_without_init() -> None:
    few = {name: value for name, value in ENVIRONMENT.items() if name != "TABLE_NAME"}
    warned, made, raised = container(WITHOUT, **few, **IN_LAMBDA)
    assert made == {"containers": 0}
    assert raised["error"] == "ValueError: TABLE_NAME is not set; the Terraform module sets it"
    assert warned["error"] == raised["error"]


def test_outside_lambda_an_import_builds_nothing() -> None:
    made, _ = container(WITHOUT, **ENVIRONMENT)
    assert made == {"containers": 0}
