"""The environment: everything is read, and every error names its variable."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, FrozenInstanceError, fields
from pathlib import Path

import pytest
import warmkeeper as wk

from tests.warmkeeper.world import (
    ENVIRONMENT,
    IDLE_ALARM,
    OTHER_ROUTE,
    SERVICE_GROUP,
    route,
    routes,
)

NUMBERS = [
    "IDLE_MINUTES",
    "LINGER_SECONDS",
    "MIN_AWAKE_MINUTES",
    "AWAKE_COUNT",
    "COLD_START_TARGET_SECONDS",
    "WAKE_DEADLINE_SECONDS",
    "HOLD_SECONDS",
]


def test_the_environment_that_terraform_sets_is_read() -> None:
    config = wk.Config.from_environment(ENVIRONMENT)
    assert config.name == "staging"
    assert config.service_names == ("app",)
    assert config.target_group_arns == (SERVICE_GROUP,)
    assert config.idle_minutes == 5
    assert config.restore_on_destroy is True


def test_there_is_one_variable_for_each_field_and_no_other() -> None:
    assert {item.name.upper() for item in fields(wk.Config)} == ENVIRONMENT.keys()


def test_what_else_is_in_the_environment_does_not_matter() -> None:
    more = {**ENVIRONMENT, "AWS_REGION": "eu-central-1", "PATH": "/bin"}
    assert wk.Config.from_environment(more) == wk.Config.from_environment(ENVIRONMENT)


REQUIRED = [item.name.upper() for item in fields(wk.Config) if item.default is MISSING]
ROOT = Path(__file__).parents[2]
NO_INPUT = {
    "heartbeat_path",
    "heartbeat_token_parameter",
    "metric_namespace",
    "service_connect_names",
    "wake_alarm_arn",
}  # what has a default and is no input of this name
DEFAULTS = {item.name: item.default for item in fields(wk.Config) if item.default is not MISSING}


@pytest.mark.parametrize("variable", REQUIRED)
def test_a_variable_that_is_not_set_is_named(variable: str) -> None:
    lacking = {name: value for name, value in ENVIRONMENT.items() if name != variable}
    with pytest.raises(ValueError, match=rf"^{variable} is not set"):
        wk.Config.from_environment(lacking)


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_variable_that_is_left_out_has_its_default(name: str) -> None:
    lacking = {key: value for key, value in ENVIRONMENT.items() if key != name.upper()}
    assert getattr(wk.Config.from_environment(lacking), name) == DEFAULTS[name]


def test_the_defaults_are_those_of_the_inputs() -> None:
    """Terraform leaves out what the function knows."""
    code = (ROOT / "variables.tf").read_text()
    found = re.findall(r'^variable "(\w+)" {\n(?:[^}].*\n|\n)*?  default += (.*)$', code, re.M)
    inputs = {name: default for name, default in found if name in DEFAULTS}
    shown = {name: json.dumps(DEFAULTS[name]) for name in DEFAULTS if name in inputs}
    assert shown == {**inputs, "databases": "[]"}  # there a map, here a tuple
    assert DEFAULTS.keys() - inputs.keys() == NO_INPUT


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize("value", ["", "five", "5.5", "None"])
def test_a_number_that_is_none_is_named_with_what_it_holds(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"^{variable} is {value!r}"):
        wk.Config.from_environment({**ENVIRONMENT, variable: value})


@pytest.mark.parametrize("value", ["", "yes", "True", "1"])
def test_a_boolean_is_true_or_false_as_terraform_writes_it(value: str) -> None:
    with pytest.raises(ValueError, match=r"^RESTORE_ON_DESTROY"):
        wk.Config.from_environment({**ENVIRONMENT, "RESTORE_ON_DESTROY": value})
    config = wk.Config.from_environment({**ENVIRONMENT, "RESTORE_ON_DESTROY": "false"})
    assert config.restore_on_destroy is False


@pytest.mark.parametrize(
    ("text", "names"), [("", ()), ("one", ("one",)), ("one,two", ("one", "two"))]
)
def test_a_list_is_split_at_its_commas_and_nothing_is_no_name(
    text: str, names: tuple[str, ...]
) -> None:
    config = wk.Config.from_environment({**ENVIRONMENT, "CORS_ALLOWED_ORIGINS": text})
    assert config.cors_allowed_origins == names


def test_settings_cannot_be_changed_afterwards() -> None:
    config = wk.Config.from_environment(ENVIRONMENT)
    with pytest.raises(FrozenInstanceError):
        config.name = "other"  # type: ignore[misc]


# As Terraform writes them: ACCOUNT has the beginning of each ARN.
SHORT = {
    "TARGET_GROUP_ARNS": "staging/t3",
    "WAKE_TARGET_GROUP_ARN": "staging-wake/t1",
    "CONTROL_TARGET_GROUP_ARN": "staging-control/t2",
    "TOPIC_ARN": "staging",
    "IDLE_ALARM_ARNS": "staging-idle",
}


def test_arns_are_put_together_from_account_and_their_ends() -> None:
    assert wk.Config.from_environment({**ENVIRONMENT, **SHORT}) == wk.Config.from_environment(
        ENVIRONMENT
    )


def test_an_arn_of_another_account_is_written_whole() -> None:
    other = SERVICE_GROUP.replace("123456789012", "210987654321")
    variables = {**ENVIRONMENT, "TARGET_GROUP_ARNS": f"{other},staging/t3"}
    assert wk.Config.from_environment(variables).target_group_arns == (other, SERVICE_GROUP)


def test_an_alarm_that_is_not_there_has_no_arn() -> None:
    config = wk.Config.from_environment({**ENVIRONMENT, "WAKE_ALARM_ARN": ""})
    assert config.wake_alarm_arn == ""


def test_one_name_stands_for_the_alarms_of_all_routes() -> None:
    two = routes(**{"web/this": route(), "api/v-1": OTHER_ROUTE})
    alarms = "staging-idle-{route}-1,staging-idle-queue-mailer-1"
    config = wk.Config.from_environment({**ENVIRONMENT, **two, "IDLE_ALARM_ARNS": alarms})
    assert config.idle_alarm_arns == (
        f"{IDLE_ALARM}-web-this-1",
        f"{IDLE_ALARM}-api-v-1-1",
        f"{IDLE_ALARM}-queue-mailer-1",
    )
    assert [each.member for each in config.routes] == ["web", "api"]


@pytest.mark.parametrize("text", ["", "arn:aws:ecs:eu-west-1:123456789012:", "arn:aws:*:::", "*"])
def test_an_account_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^ACCOUNT is "):
        wk.Config.from_environment({**ENVIRONMENT, "ACCOUNT": text})


def test_a_member_has_the_defaults_of_what_is_left_out() -> None:
    members = json.dumps({"worker": {"queues": ["mail"]}, "web": {"service": "app"}})
    databases = json.dumps({"main": {"instance": "staging-main"}})
    config = wk.Config.from_environment({**ENVIRONMENT, "MEMBERS": members, "DATABASES": databases})
    mail = "arn:aws:sqs:eu-central-1:123456789012:mail"
    assert config.members == (
        wk.Member("worker", "worker", queue_arns=(mail,)),
        wk.Member("web", "app"),
    )
    assert config.databases == (wk.Database("main", "staging-main", False, 120, 30),)
