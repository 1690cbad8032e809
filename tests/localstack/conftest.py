"""The clouds and one estate on them, for the session; a line for each step at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from localstack_client import config

from localcloud.client import LocalCloud
from tests.estate import STAGING, Estate, Workspace
from tests.localstack.clouds import BIN, Clouds, running
from tests.localstack.witness import Witness

# As short as the module admits.
SHORT = {"idle_minutes": 1, "linger_seconds": 30}


@pytest.fixture(scope="session")
def clouds() -> Iterator[Clouds]:
    """The clouds, where localstack-client finds them."""
    if not (BIN / "python").exists():
        pytest.skip("LocalStack is not installed: run make test-localstack")
    with running() as found, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setenv("LOCALSTACK_HOST", found.front.endpoint.partition("://")[2])
        yield found


@pytest.fixture(scope="session")
def estate(clouds: Clouds, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """examples/staging, applied. It ends with the clouds."""
    environment = LocalCloud(config.get_service_endpoint("lambda")).environment()
    workspace = Workspace(STAGING, tmp_path_factory.mktemp("staging"), environment, {**SHORT})
    workspace.init()
    workspace.apply()
    estate = Estate(workspace)
    clouds.relay(estate.outputs["function_name"])
    return estate


@pytest.fixture(scope="session")
def witness(estate: Estate, clouds: Clouds) -> Witness:
    """What LocalStack shows of the estate, from the apply on."""
    return Witness(estate, clouds.front)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.getreports("passed")
    shown = [text for report in passed for name, text in report.user_properties if name == "step"]
    terminalreporter.section("on LocalStack itself")
    for text in shown:
        terminalreporter.write_line(str(text))
