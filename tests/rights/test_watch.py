"""The watch sees a call too many, a right too many, and a policy that changes."""

from __future__ import annotations

import json
from typing import Any

from localcloud.client import LocalCloud
from tests.rights.reference import Place
from tests.rights.watch import Watch

PLACE = Place("us-east-1", "123456789012")
TABLE = PLACE.arn("dynamodb", "table/t")
TOPIC = PLACE.arn("sns", "topic")
READ = {"Sid": "Read", "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": TABLE}
TELL = {"Sid": "Tell", "Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC}


class Record(LocalCloud):
    """A cloud that was called so."""

    def __init__(self) -> None:
        super().__init__("http://nowhere")
        self.record: list[dict[str, Any]] = []

    def call(self, caller: str, service: str, action: str, **params: Any) -> None:
        said = {"caller": caller, "service": service, "action": action, "params": params}
        self.record.append({"n": len(self.record) + 1, "error": None, **said})

    def put_policy(self, *statements: dict[str, Any], role: str = "f") -> None:
        text = json.dumps({"Statement": statements})
        self.call("local", "iam", "PutRolePolicy", RoleName=role, PolicyDocument=text)

    def read_item(self, table: str = "t", function: str = "f") -> None:
        key = {"id": {"S": "memory"}}
        self.call(f"function.{function}", "dynamodb", "GetItem", TableName=table, Key=key)

    def calls(self, since: int = 0, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return self.record[since:]


def watched() -> tuple[Record, Watch]:
    cloud = Record()
    return cloud, Watch(cloud, "f", PLACE)


def test_what_is_allowed_is_no_violation_and_what_is_never_used_is_named() -> None:
    cloud, watch = watched()
    cloud.put_policy(READ, TELL)
    cloud.read_item()
    assert watch.violations() == []
    assert watch.unused() == {("Tell", "sns:Publish")}
    assert watch.calls == 1


def test_a_call_that_is_not_allowed_is_named_once() -> None:
    cloud, watch = watched()
    cloud.put_policy(READ)
    cloud.read_item(table="other")
    (violation,) = watch.violations()
    assert "dynamodb:GetItem" in violation
    assert "table/other" in violation
    assert watch.violations() == []


def test_a_call_that_nobody_has_written_down_is_a_violation() -> None:
    cloud, watch = watched()
    cloud.put_policy({**READ, "Action": "*", "Resource": "*"})
    cloud.call("function.f", "ecs", "DeleteService", cluster="c")
    assert len(watch.violations()) == 1


def test_a_call_is_held_against_the_policy_of_its_time() -> None:
    cloud, watch = watched()
    cloud.read_item()
    cloud.put_policy(TELL)
    cloud.read_item()
    cloud.put_policy(READ)
    cloud.read_item()
    cloud.call("local", "iam", "DeleteRolePolicy", RoleName="f")
    cloud.read_item()
    assert len(watch.violations()) == 3


def test_other_functions_and_other_roles_are_not_its_business() -> None:
    cloud, watch = watched()
    cloud.put_policy(READ)
    cloud.put_policy(TELL, role="g")
    cloud.read_item(function="g")
    cloud.read_item()
    assert watch.violations() == []
    assert watch.calls == 1
