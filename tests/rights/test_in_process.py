"""What the warmkeeper calls over an AWS in memory, whatever it hears, main.tf's policy allows.

The broad half of the check, without a cloud; the policy as Terraform renders it is held against
the calls of a whole estate by tests/integration/test_rights.py.
"""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
import warmkeeper as wk

from tests.rights.module import rendered
from tests.rights.policy import Ask, Policy
from tests.rights.reference import UNCALLED, Place, asked, methods_of
from tests.warmkeeper import world
from tests.warmkeeper.recorded import TEXTS, recorded, request
from tests.warmkeeper.scenes import STATES, kept_state_of, state_of
from tests.warmkeeper.world import CLIENTS

PLACE = Place("eu-central-1", "123456789012")
TOKEN = PLACE.arn("ssm", "parameter/staging/token")
LISTENER_PATH = {
    "aws_cloudwatch_log_group.this.arn": PLACE.arn("logs", "log-group:/aws/lambda/staging"),
    "aws_dynamodb_table.this.arn": PLACE.arn("dynamodb", "table/staging"),
    "aws_sns_topic.this.arn": world.ENVIRONMENT["TOPIC_ARN"],
    "values(local.service_arns)": PLACE.arn("ecs", "service/estate/app"),
    "local.stopped_service_arns": PLACE.arn("ecs", "service/estate/app"),
    "local.cluster_arn": PLACE.arn("ecs", "cluster/estate"),
    "values(local.idle_alarm_arns)": world.IDLE_ALARM,
    "values(local.wake_rule_arns)": world.WAKE_RULE,
    "local.partition": "aws",
    "local.region": PLACE.region,
    "local.account_id": PLACE.account,
    "var.cluster_name": "estate",
    "CountHeld": "1",
    "MoveWakeRule": "1",
    "ReadWakeAlarm": "",
    "CountMessages": "",
    "SeeAndStartInstances": "",
    "StopInstances": "",
    "SeeAndStartClusters": "",
    "StopClusters": "",
    "SeeTaskDefinitions": "",
    "ReadHeartbeatToken": TOKEN,
    "UseKey": "",
}
ALARM_PATH = {
    **LISTENER_PATH,
    "CountHeld": "",
    "SeeRules": "",
    "MoveWakeRule": "",
    "ReadHeartbeatToken": "",
}
ALARM_PATH |= {"ReadWakeAlarm": world.WAKE_ALARM}
QUEUE = PLACE.arn("sqs", "mail")
INSTANCES = ",".join(PLACE.arn("rds", f"db:{name}") for name in ("up", "down"))
CLUSTERS = ",".join(PLACE.arn("rds", f"cluster:{name}") for name in ("up-too", "down-too"))
SERVICES = ",".join(PLACE.arn("ecs", f"service/estate/{name}") for name in ("app", "worker"))
ENVIRONMENT = {
    **LISTENER_PATH,
    "values(local.service_arns)": SERVICES,
    "local.stopped_service_arns": SERVICES,
    "local.queue_arns": QUEUE,
    "values(local.instance_arns)": INSTANCES,
    "local.stopped_instance_arns": INSTANCES,
    "values(local.cluster_arns)": CLUSTERS,
    "local.stopped_cluster_arns": CLUSTERS,
} | dict.fromkeys(
    ["CountMessages", "SeeAndStartInstances", "StopInstances", "SeeAndStartClusters",
     "StopClusters", "SeeTaskDefinitions"], "1"
)  # fmt: skip
NO_RULES = {"WAKE_ALARM_ARN": world.WAKE_ALARM} | world.routes() | dict.fromkeys(
    ["WAKE_TARGET_GROUP_ARN", "CONTROL_TARGET_GROUP_ARN", "HEARTBEAT_PATH",
     "HEARTBEAT_TOKEN_PARAMETER"], ""
)  # fmt: skip
SOON = {"stop_after_minutes": 1, "deadline_minutes": 30}
MEMBERS = {
    "MEMBERS": json.dumps(
        {
            "this": {"service": "app", "start_after": ["up", "up-too", "worker"]},
            "worker": {"service": "worker", "queues": [QUEUE]},
        }
    ),
    "DATABASES": json.dumps(
        {name: {"instance": name, **SOON} for name in ("up", "down")}
        | {name: {"cluster": name, **SOON} for name in ("up-too", "down-too")}
    ),
}
RULES = {"WAKE_ALARM_ARN": "", "HEARTBEAT_TOKEN_PARAMETER": TOKEN}
BEAT = request(
    "POST",
    "/health",
    headers={"authorization": "Bearer secret"},
    body='{"in_flight": 1}',
    group=world.CONTROL_GROUP,
)


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every question to IAM that a call over any world asks, as JSON."""
    found: set[str] = set()
    for phase in STATES:
        kept_state_of(phase)  # on the listener path: not to be held against another policy

    def wrapped(service: str, method: str, original: Any) -> Any:
        def call(self: Any, **params: Any) -> Any:
            for ask in asked(service, methods_of(service)[method], params, PLACE):
                found.add(json.dumps([ask.action, ask.resource, dict(ask.context)]))
            return original(self, **params)

        return call

    for service, client in CLIENTS.items():
        for method in methods_of(service).keys() & vars(client).keys():
            monkeypatch.setattr(client, method, wrapped(service, method, getattr(client, method)))
    return found


def hear_everything(environment: dict[str, str]) -> None:
    """Every recorded event in every phase; and from there on, minutes, failed wakes, a restore."""
    for phase in STATES:
        for event in [*map(recorded, TEXTS), BEAT]:
            outside = state_of(phase)
            outside.environment |= environment
            outside.alarm, outside.starts = "ALARM", "elb" not in str(event)
            outside.minimum = 1
            outside.rollout = {}  # as of a deployment that is not a rolling one
            outside.beside = {"worker": world.Beside()}
            outside.set_desired(1, "worker")
            outside.databases = {"up": "available", "up-too": "available"}
            outside.databases |= {"down": "stopped", "down-too": "stopped"}
            outside.queues = {"mail": 0}
            with contextlib.suppress(wk.RefusedError, TimeoutError):
                outside.invoke(event)
            outside.minutes(12)


@pytest.mark.parametrize(
    ("values", "environment"),
    [
        pytest.param(LISTENER_PATH, RULES, id="listener path"),
        pytest.param(ALARM_PATH, NO_RULES, id="alarm path"),
        pytest.param(ENVIRONMENT, RULES | MEMBERS, id="environment"),
    ],
)
def test_the_policy_allows_what_is_called_and_nothing_that_never_is(
    values: dict[str, str], environment: dict[str, str], asks: set[str]
) -> None:
    policy, used = Policy.from_json(rendered(values)), set()
    with contextlib.redirect_stdout(io.StringIO()):
        hear_everything(environment)
    for action, resource, context in map(json.loads, asks):
        ask = Ask(action, resource, {key: tuple(given) for key, given in context.items()})
        statement = policy.allowing(ask)
        assert statement, f"not allowed: {ask}"
        used.add((statement.sid, action))
    assert policy.granted() - used == {right for right in UNCALLED if right[0] == "WriteLog"}
