"""examples/environment as a user applies it: it sleeps as one, wakes in order, and is destroyed."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver.support.ui import WebDriverWait

from localcloud.client import LocalCloud, running
from tests.browser import chromium
from tests.estate import ENVIRONMENT, Estate, Workspace
from tests.integration.conftest import QUICK_START, elsewhere
from tests.rights.reference import UNCALLED, Place
from tests.rights.watch import Watch

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(chromium.MISSING, reason="no chromedriver: make tools"),
    pytest.mark.skipif(elsewhere(), reason="needs a local cloud, with its clock and its load"),
]

STOP_AFTER_MINUTES = 120
FAST = 240  # where nothing happens but ticks
# What this environment has no need of: its deployments are rolling ones, and its services do not
# scale.
UNUSED = {right for right in UNCALLED if right[0] == "WriteLog"} | {
    ("SeeDeployments", "ecs:ListServiceDeployments"),
    ("SeeAutoscaling", "application-autoscaling:DescribeScheduledActions"),
    ("SuspendAutoscaling", "application-autoscaling:RegisterScalableTarget"),
}
ANSWER = "the database can be reached"  # what the API says, and the page shows


class Environment(Estate):
    """The applied example: the services by their keys, the database and the queue."""

    def __init__(self, workspace: Workspace, cloud: LocalCloud) -> None:
        super().__init__(workspace)
        self.cloud = cloud
        self.keys = {name: key for key, name in self.outputs["service_names"].items()}
        self.caller = f"function.{self.outputs['function_name']}"
        name = self.outputs["function_name"]
        function = self.client("lambda").get_function(FunctionName=name)["Configuration"]
        region, account = function["FunctionArn"].split(":")[3:5]
        self.watch = Watch(cloud, name, Place(region, account))

    def counts(self) -> dict[str, int]:
        """The desired count of each service."""
        reply = self.client("ecs").describe_services(
            cluster=self.outputs["cluster_name"], services=list(self.keys)
        )
        return {self.keys[each["serviceName"]]: each["desiredCount"] for each in reply["services"]}

    def database(self) -> str:
        """The status of the database."""
        reply = self.client("rds").describe_db_instances(
            DBInstanceIdentifier=self.outputs["database_identifier"]
        )
        return str(reply["DBInstances"][0]["DBInstanceStatus"])

    def tasks(self, key: str, since: float) -> list[dict[str, Any]]:
        """The tasks of a service that were created since then."""
        group = f"service:{self.outputs['service_names'][key]}"
        return [
            task
            for task in self.cloud.tasks()
            if task["group"] == group and moment(task["createdAt"]) >= since
        ]

    def log(self, key: str) -> str:
        """What the tasks of a service have logged."""
        files = [Path(log) for task in self.tasks(key, 0) for log in task["logs"].values()]
        return "".join(file.read_text() for file in files if file.exists())

    def given(self, since: float) -> dict[str, float]:
        """When the warmkeeper gave each service its count, the first time since then."""
        moments: dict[str, float] = {}
        for call in self.cloud.calls(service="ecs", action="UpdateService", caller=self.caller):
            if call["time"] >= since and call["params"].get("desiredCount", 0) > 0:
                moments.setdefault(self.keys[call["params"]["service"]], call["time"])
        return moments

    def database_calls(self, action: str, since: float = 0) -> list[float]:
        """When the warmkeeper started or stopped the database, since then."""
        calls = self.cloud.calls(service="rds", action=action, caller=self.caller)
        return [call["time"] for call in calls if call["time"] >= since]

    def waiting_messages(self) -> int:
        """How many messages are in the queue, visible or in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        reply = self.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs["queue_url"], AttributeNames=names
        )
        return sum(int(reply["Attributes"][name]) for name in names)

    def sleeps(self) -> bool:
        """Whether it is asleep, with no task wanted."""
        return self.phase() == "asleep" and set(self.counts().values()) == {0}

    def sleep_by_command(self) -> None:
        """Asleep, through a linger that goes by fast."""
        self.forget_wakes()
        self.fall_drowsy()
        self.cloud.advance_until(self.sleeps, minutes=5, speed=60)

    def sleep_until_the_database_is_stopped(self) -> None:
        """It has slept for so long that the database is stopped."""
        began = self.cloud.now()
        self.cloud.advance_until(
            lambda: self.database() == "stopped", minutes=STOP_AFTER_MINUTES + 15, speed=FAST
        )
        assert self.cloud.now() - began >= (STOP_AFTER_MINUTES - 5) * 60
        assert self.sleeps()

    def serves(self) -> bool:
        """Whether the page comes at once, from the web server, with the answer of the API."""
        page = requests.get(f"{self.url}/", allow_redirects=False, timeout=60)
        return page.status_code == 200 and ANSWER in page.text

    def page_in_the_end(self, minutes: float) -> str:
        """What a client gets that follows redirects and comes again after `Retry-After`."""
        until = self.cloud.now() + minutes * 60
        answer = self.get("/")
        while answer.status_code == 503 and self.cloud.now() < until:
            self.cloud.advance(float(answer.headers["Retry-After"]), speed=30)
            answer = self.get("/")
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
        return answer.text


def moment(text: str) -> float:
    """A task's moment as the local cloud writes it, in epoch seconds."""
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def applied(scratch: Path, **variables: Any) -> Iterator[Environment]:
    """The example on a local cloud of its own, which ends with the test; awake."""
    with running() as cloud:
        cloud.settings(ecs=QUICK_START)
        workspace = Workspace(
            ENVIRONMENT, scratch, cloud.environment(), variables, keeps_provider=True
        )
        workspace.init()
        workspace.apply()
        environment = Environment(workspace, cloud)
        cloud.advance_until(
            lambda: environment.phase() == "awake" and environment.serves(), minutes=10, speed=20
        )
        yield environment


def test_the_api_does_not_start_without_its_database() -> None:
    with socket.socket() as closed:  # bound, and never listening
        closed.bind(("127.0.0.1", 0))
        database = f"127.0.0.1:{closed.getsockname()[1]}"
        program = [sys.executable, str(ENVIRONMENT / "app" / "api.py")]
        surroundings = {"DATABASE": database, "PORT": "0", "HOST": "127.0.0.1"}
        ran = subprocess.run(program, env=surroundings, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert f"not started: no connection to the database at {database}" in ran.stderr


@pytest.mark.timeout(2700)  # minutes on a quiet machine, and more on a busy one
def test_an_environment_sleeps_and_wakes_as_one(tmp_path: Path) -> None:
    with applied(tmp_path) as environment:
        assert not environment.workspace.changes()
        assert environment.workspace.warnings() == ""
        falls_asleep_by_itself(environment)
        wakes_in_order_by_a_request(environment)
        environment.sleep_by_command()
        wakes_by_a_message(environment)
        environment.sleep_by_command()
        wakes_the_database_first(environment)
        environment.sleep_by_command()
        a_browser_waits_for_it(environment)
        assert environment.watch.violations() == []
        assert environment.watch.unused() == UNUSED
        environment.sleep_by_command()
        is_served_after_the_module_is_destroyed(environment)


def falls_asleep_by_itself(environment: Environment) -> None:
    """Nobody asks and no message comes: all counts are 0, and the database is still there."""
    environment.cloud.advance_until(environment.sleeps, minutes=30, speed=60)
    assert environment.database() == "available"
    assert not environment.workspace.changes()


def wakes_in_order_by_a_request(environment: Environment) -> None:
    """The API has a task that runs before the web server is given its count."""
    began = environment.cloud.now()
    assert ANSWER in environment.page_in_the_end(minutes=5)
    given = environment.given(began)
    assert set(given) == {"api", "web", "worker"}
    [api] = environment.tasks("api", began)
    assert given["web"] >= moment(api["startedAt"]) > given["api"]
    assert environment.database_calls("StartDBInstance") == []
    settled(environment)


def wakes_by_a_message(environment: Environment) -> None:
    """The tick sees the message within a minute, all services start, and the worker takes it."""
    began = environment.cloud.now()
    environment.client("sqs").send_message(
        QueueUrl=environment.outputs["queue_url"], MessageBody="a job that wakes"
    )
    environment.cloud.advance_until(
        lambda: environment.waiting_messages() == 0, minutes=5, speed=10
    )
    assert "done: a job that wakes" in environment.log("worker")
    assert environment.given(began)["worker"] - began <= 70
    settled(environment)
    assert set(environment.given(began)) == {"api", "web", "worker"}


def wakes_the_database_first(environment: Environment) -> None:
    """The API gets its count when the database is available, and no task of it fails."""
    environment.sleep_until_the_database_is_stopped()
    assert len(environment.database_calls("StopDBInstance")) == 1
    began = environment.cloud.now()
    assert ANSWER in environment.page_in_the_end(minutes=15)
    [started] = environment.database_calls("StartDBInstance", began)
    available = started + environment.cloud.settings()["rds"]["starting_seconds"]
    given = environment.given(began)
    [api] = environment.tasks("api", began)
    assert given["worker"] < available <= given["api"]
    assert moment(api["startedAt"]) <= given["web"]
    settled(environment)


def a_browser_waits_for_it(environment: Environment) -> None:
    """It shows that the environment wakes, and then by itself the page with the API's answer."""
    with chromium.chromium() as browser:
        browser.get(f"{environment.url}/")
        assert browser.title.startswith("Waking ")
        WebDriverWait(browser, 300).until(lambda shown: ANSWER in shown.page_source)
        assert chromium.violations(browser) == []
    settled(environment)


def is_served_after_the_module_is_destroyed(environment: Environment) -> None:
    """Destroyed while it sleeps: the destroy ends when its own rules serve the page."""
    environment.workspace.destroy("module.scale_to_zero")
    assert environment.counts() == {"api": 1, "web": 1, "worker": 1}
    assert environment.database() == "available"
    environment.cloud.settle()
    assert environment.serves()


def settled(environment: Environment) -> None:
    """It becomes awake, and its own rules serve every request."""
    environment.cloud.advance_until(
        lambda: environment.phase() == "awake" and environment.serves(), minutes=10, speed=20
    )
    assert environment.counts() == {"api": 1, "web": 1, "worker": 1}


# --- the API has a name, and no route -------------------------------------------------------------
# Nobody asks through the load balancer, no message comes, and the API is called by its name.
CALLED = {"connect-api-api": "OK", "queue-worker-1": "ALARM", "web-this-1": "ALARM"}
MORE_SECONDS = 180  # so that ticks and alarms have looked at that
FIRST_CHECK_SECONDS = 4  # after the start at least: the API's health is checked every 5 s


@pytest.mark.wide
@pytest.mark.timeout(2700)
def test_with_service_connect_an_environment_sleeps_and_wakes_as_one(tmp_path: Path) -> None:
    with applied(tmp_path, use_service_connect=True) as environment:
        assert not environment.workspace.changes()
        assert environment.workspace.warnings() == ""
        calls_by_the_name_keep_it_awake(environment)
        falls_asleep_by_itself(environment)
        wakes_when_the_api_is_healthy(environment)
        assert environment.watch.violations() == []
        environment.sleep_by_command()
        is_served_after_the_module_is_destroyed(environment)


def calls_by_the_name_keep_it_awake(environment: Environment) -> None:
    """The web server's calls, which it makes for a client that does not use the load balancer."""
    port = re.findall(r"listening on port (\d+)", environment.log("web"))[-1]
    cloud = environment.cloud

    def called() -> bool:
        return ANSWER in requests.get(f"http://127.0.0.1:{port}/", timeout=60).text

    cloud.advance_until(
        lambda: called() and idle_alarms(environment) == CALLED, minutes=30, speed=40
    )
    until = cloud.now() + MORE_SECONDS
    cloud.advance_until(lambda: called() and cloud.now() >= until, minutes=10, speed=40)
    assert idle_alarms(environment) == CALLED
    assert environment.phase() == "awake"


def idle_alarms(environment: Environment) -> dict[str, str]:
    """The state of each idle alarm, by what it looks at."""
    prefix = "environment-idle-"
    reply = environment.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)
    return {
        each["AlarmName"].removeprefix(prefix): each["StateValue"] for each in reply["MetricAlarms"]
    }


def wakes_when_the_api_is_healthy(environment: Environment) -> None:
    """The web server gets its count when the API's health check has passed, not when it runs."""
    began = environment.cloud.now()
    wakes_in_order_by_a_request(environment)
    [api] = environment.tasks("api", began)
    assert api["healthStatus"] == "HEALTHY"
    waited = environment.given(began)["web"] - moment(api["startedAt"])
    assert waited >= FIRST_CHECK_SECONDS
