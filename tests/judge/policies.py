"""Every policy that the module and its examples write, as Terraform renders them.

The provider is mocked (tests/terraform/mocks), and the `json` of an aws_iam_policy_document is
empty. Its statements stand in the state, evaluated; what the provider makes of them is done here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import judges
from tests.terraform import plans

LISTENER: dict[str, Any] = {
    "target_group_arns": [plans.GROUP],
    "service_rule_arn": plans.RULE,
    "rule_priority": 10,
    "parked_rule_priority": 40000,
}
ALARM: dict[str, Any] = {
    "target_group_arns": [plans.GROUP],
    "wake_path": "alarm",
    "load_balancer_arn": f"{plans.ARN}loadbalancer/app/edge/1111111111111111",
}
# No checks of a rule whose conditions are mocked.
UNSEEN = {"checks_enabled": False}
KEY = {"kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"}
TOKEN = {
    "heartbeat": {"token_parameter_arn": "arn:aws:ssm:eu-west-1:123456789012:parameter/web/token"}
}
# Both ways to wake, each with nothing and with everything that a policy depends on.
SWITCHES: dict[str, dict[str, Any]] = {
    "listener": LISTENER,
    "listener-no-heartbeat": {**LISTENER, "heartbeat": {"enabled": False}},
    "listener-with-all": {
        **LISTENER,
        **KEY,
        **TOKEN,
        "websocket_rule": True,
        "dashboard_enabled": True,
        "notification_emails": ["team@example.com"],
        "service_connect": [{"discovery_name": "web"}],
    },
    "routes": {
        "target_group_arns": [plans.GROUP],
        "heartbeat": {"route": "www"},
        "routes": {
            "www": {
                "service_rule_arn": plans.RULE,
                "rule_priority": 10,
                "parked_rule_priority": 40000,
            },
            "default": {
                "create_service_rule": True,
                "listener_arn": f"{plans.ARN}listener/app/edge/1111111111111111/2222222222222222",
                "rule_priority": 20,
                "target_group_arns": [plans.GROUP],
            },
        },
    },
    "services": {
        "service_name": None,
        "services": {
            "mailer": {
                "queue_arns": ["arn:aws:sqs:eu-west-1:123456789012:mail"],
                "start_after": ["main", "ledger", "auth"],
            },
            "auth": {"shared": True},
        },
        "databases": {
            "main": {"db_instance_identifier": "main"},
            "ledger": {"db_cluster_identifier": "ledger"},
        },
    },
    "alarm": ALARM,
    "alarm-with-all": {**ALARM, **KEY, **TOKEN},
}


# Those that make more than the module's own resources, each in another way.
EXAMPLES = ("authenticated", "autoscaling", "blue-green", "chat", "environment", "staging")


def resources() -> list[dict[str, Any]]:
    """What Terraform makes of every switch and example, a module each. Raises PlansError."""
    (plans.ROOT / ".cache").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="judge-", dir=plans.ROOT / ".cache"))
    try:
        calls = []
        for example in EXAMPLES:
            plans.copy_example(example, scratch)
            calls.append(plans.call(example, plans.EXAMPLES[example]))
        for name, inputs in SWITCHES.items():
            given = {**plans.SERVICE, "name": name, **UNSEEN, **inputs}
            calls.append(plans.call(name, given, source="../.."))
        (scratch / "main.tf").write_text("\n".join(calls))
        return list(plans.resources(plans.state_of(scratch)))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def rendered(made: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The policy documents among resources, by the switch or example and by address."""
    return {
        resource["address"].removeprefix("module."): document(resource["values"])
        for resource in made
        if resource["type"] == "aws_iam_policy_document"
    }


def document(values: Mapping[str, Any]) -> dict[str, Any]:
    """The policy of an aws_iam_policy_document's values. Raises ValueError for a not_ element."""
    statements = []
    for written in values["statement"]:
        if unknown := [key for key in written if key.startswith("not_") and written[key]]:
            raise ValueError(f"{written['sid']}: {unknown} cannot be judged")
        conditions: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for condition in written["condition"]:
            conditions[condition["test"]][condition["variable"]] = condition["values"]
        statement: dict[str, Any] = {
            "Sid": written["sid"],
            "Effect": written["effect"] or "Allow",
            "Action": sorted(written["actions"]),
            "Condition": conditions,
        }
        if written["resources"]:
            statement["Resource"] = sorted(written["resources"])
        if written["principals"]:
            statement["Principal"] = {
                each["type"]: sorted(each["identifiers"]) for each in written["principals"]
            }
        statements.append(statement)
    return {"Statement": statements}


def judged(policies: Mapping[str, Any]) -> dict[str, Any]:
    """What policy-sentry says of policies by name: see sentry.py."""
    judges.JUDGE.package("policy_sentry")
    program = Path(__file__).with_name("sentry.py")
    with tempfile.TemporaryDirectory() as home:
        # policy-sentry prefers data that somebody keeps in ~/.policy_sentry to its own.
        ran = subprocess.run(
            [judges.JUDGE.python, program],
            input=json.dumps(policies),
            env={**os.environ, "HOME": home},
            capture_output=True,
            text=True,
        )
    assert ran.returncode == 0, ran.stderr
    said: dict[str, Any] = json.loads(ran.stdout)
    return said
