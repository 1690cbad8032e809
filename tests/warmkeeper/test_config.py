"""The environment: everything is read, and every error names its variable."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
import warmkeeper as wk

from tests.warmkeeper.world import ENVIRONMENT, SERVICE_GROUP

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


@pytest.mark.parametrize("variable", sorted(ENVIRONMENT))
def test_a_variable_that_is_not_set_is_named(variable: str) -> None:
    lacking = {name: value for name, value in ENVIRONMENT.items() if name != variable}
    with pytest.raises(ValueError, match=rf"^{variable} is not set"):
        wk.Config.from_environment(lacking)


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
    config = wk.Config.from_environment({**ENVIRONMENT, "IDLE_ALARM_ARNS": text})
    assert config.idle_alarm_arns == names


def test_settings_cannot_be_changed_afterwards() -> None:
    config = wk.Config.from_environment(ENVIRONMENT)
    with pytest.raises(FrozenInstanceError):
        config.name = "other"  # type: ignore[misc]
