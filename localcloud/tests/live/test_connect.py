"""Service Connect and container health checks against AWS's documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from localcloud.tests.live.estate import (
    Estate,
    Running,
    Site,
    a_service_behind,
    a_site,
    ask,
    define,
    to,
)

pytestmark = pytest.mark.cloud

# Asks as a client does, tells of itself as a server, and closes its ports when it is told to.
PROGRAM = """
import json, os, threading, time, urllib.error, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def ask(url):
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return {"status": answer.status, "says": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "says": error.read().decode()}
    except OSError as error:
        return {"status": None, "says": repr(error)}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, url = self.path.partition("?")
        told = {"pid": os.getpid(), "path": self.path, "headers": dict(self.headers)}
        if path == "/close":
            for each in servers:
                each.shutdown()
                each.server_close()
        answer = json.dumps(ask(url) if path == "/ask" else told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

ports = [int(port) for name, port in os.environ.items() if name.startswith("PORT_")]
servers = [ThreadingHTTPServer(("127.0.0.1", port), Handler) for port in ports]
for each in servers:
    threading.Thread(target=each.serve_forever).start()
time.sleep(10**6)
"""
NAMESPACE = "internal"
COUNT = 2


def connected(*names: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    """A `serviceConnectConfiguration` with endpoints of these names, each at port 81."""
    services = [
        {
            "portName": name,
            "discoveryName": f"{name}-found",
            "clientAliases": [{"dnsName": name, "port": 81}],
        }
        for name in names
    ]
    return {"enabled": True, "namespace": namespace, "services": services}


@contextmanager
def a_server(site: Site, connect: dict[str, Any], **more: Any) -> Iterator[Running]:
    """A service without a load balancer whose ports `api` and `plain` have names."""
    ports = [
        {"containerPort": 8080, "name": "api", "appProtocol": "http"},
        {"containerPort": 8081, "name": "plain"},
    ]
    definition = define(
        site.estate, site.estate.name(), command=["python", "-c", PROGRAM], portMappings=ports
    )
    with a_service_behind(
        site,
        "",
        loadBalancers=[],
        taskDefinition=definition,
        serviceConnectConfiguration=connect,
        **more,
    ) as service:
        yield service


@dataclass
class Pair:
    """A client behind a load balancer, and the server that it asks by its name."""

    client: Running
    server: Running
    counted: int = 0  # requests that the server has answered

    @property
    def estate(self) -> Estate:
        return self.client.site.estate

    def ask(self, url: str) -> dict[str, Any]:
        """What the client gets there: `status`, None without an answer, and what it `says`."""
        answer: dict[str, Any] = ask(f"{self.client.site.url}/ask?{url}").json()
        self.counted += answer["status"] == 200 and url.startswith("http://api:")
        return answer

    def pid(self) -> int:
        """The process that answers for the server."""
        return int(json.loads(self.ask("http://api:81/")["says"])["pid"])

    def has(self, count: int) -> bool:
        """Whether the server has so many tasks, all of them running."""
        shape = self.server.describe()
        running, pending = shape["runningCount"], shape["pendingCount"]
        return (shape["desiredCount"], running, pending) == (count, count, 0)

    def serves(self) -> None:
        """All tasks of the server run."""
        self.server.count(COUNT)
        self.estate.wait(lambda: self.has(COUNT))


@pytest.fixture(scope="module")
def applied(estate: Estate) -> Iterator[Pair]:
    site = a_site(estate)
    group = site.group()
    site.rule(10, to(group))
    with ExitStack() as services:
        strange = connected("api", namespace="another")
        strange["services"][0]["clientAliases"][0]["dnsName"] = "strange"
        services.enter_context(a_server(site, strange, desiredCount=0))
        server = services.enter_context(
            a_server(site, connected("api", "plain"), desiredCount=COUNT)
        )
        definition = define(estate, estate.name(), command=["python", "-c", PROGRAM])
        client = services.enter_context(
            a_service_behind(
                site, group, taskDefinition=definition, serviceConnectConfiguration=connected()
            )
        )
        estate.wait(lambda: site.states(group) == ["healthy"])
        yield Pair(client, server)


@pytest.fixture
def pair(applied: Pair) -> Pair:
    applied.serves()
    return applied


def test_a_name_leads_to_the_tasks_of_its_service_in_turn(pair: Pair) -> None:
    """Amazon ECS Service Connect components: the proxy picks one of the tasks, round-robin."""
    told = json.loads(pair.ask("http://api:81/some/path?a=1&b=%2F")["says"])
    assert told["path"] == "/some/path?a=1&b=%2F"
    assert told["headers"]["Host"] == "api:81"
    assert not [name for name in told["headers"] if name.lower().startswith("proxy-")]
    pids = [pair.pid() for _ in range(2 * COUNT)]
    assert len(set(pids[:COUNT])) == COUNT
    assert pids[COUNT:] == pids[:COUNT]


def test_a_connection_that_fails_is_tried_with_another_task(pair: Pair) -> None:
    """The same: the second attempt avoids the host of the first."""
    json.loads(pair.ask("http://api:81/close")["says"])
    assert len({pair.pid() for _ in range(2 * COUNT)}) == COUNT - 1
    for task in pair.server.tasks():
        pair.server.ecs.stop_task(cluster=pair.server.cluster, task=task["taskArn"])


def test_requests_of_a_port_with_a_protocol_are_counted_for_the_service(pair: Pair) -> None:
    """Amazon ECS CloudWatch metrics: `RequestCount` by DiscoveryName, and the service's names."""
    cloudwatch = pair.estate.client("cloudwatch")
    service = {"ClusterName": pair.server.cluster, "ServiceName": pair.server.name}
    wanted = {"DiscoveryName": "api-found", **service}

    def total() -> float:
        now = datetime.fromtimestamp(pair.estate.cloud.now(), UTC)
        reply = cloudwatch.get_metric_statistics(
            Namespace="AWS/ECS",
            MetricName="RequestCount",
            Dimensions=[{"Name": name, "Value": value} for name, value in wanted.items()],
            StartTime=now - timedelta(hours=6),
            EndTime=now + timedelta(hours=1),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in reply["Datapoints"]))

    assert pair.ask("http://plain:81/")["status"] == 200
    for _ in range(3):
        pair.pid()
    pair.estate.wait(lambda: total() == pair.counted, minutes=10, speed=60)
    found = {
        frozenset((each["Name"], each["Value"]) for each in metric["Dimensions"])
        for metric in cloudwatch.list_metrics(Namespace="AWS/ECS")["Metrics"]
    }
    assert found == {frozenset(wanted.items()), frozenset({("DiscoveryName", "api-found")})}


def test_without_a_running_task_the_proxy_answers_503(pair: Pair) -> None:
    """Not documented: what Envoy answers, which the proxy is."""
    pair.server.count(0)
    pair.estate.wait(lambda: pair.has(0))
    assert pair.ask("http://api:81/") == {"status": 503, "says": "no healthy upstream"}


def test_a_name_of_another_namespace_or_port_leads_nowhere(pair: Pair) -> None:
    """Amazon ECS Service Connect: names are those of the namespace."""
    for url in ("http://strange:81/", "http://api/", "http://nobody:81/"):
        assert pair.ask(url)["status"] is None, url
    warned = [text for task in pair.estate.cloud.tasks() for text in task["warnings"]]
    assert [text for text in warned if "strange:81 leads nowhere" in text] != []
    assert "api:81, plain:81" in warned[0]


def test_a_later_name_leads_somewhere_once_the_client_is_deployed_again(pair: Pair) -> None:
    """Amazon ECS Service Connect components: existing and replacement tasks stay as they were."""
    client, estate = pair.client, pair.estate
    later = connected("api")
    later["services"][0]["clientAliases"][0]["dnsName"] = "later"
    with a_server(client.site, later, desiredCount=0):
        [old] = client.tasks()
        client.ecs.stop_task(cluster=client.cluster, task=old["taskArn"])
        estate.wait(lambda: [task["lastStatus"] for task in client.tasks()] == ["RUNNING"])
        estate.wait(lambda: client.site.states(client.group) == ["healthy"])
        assert pair.ask("http://later:81/")["status"] is None
        client.ecs.update_service(
            cluster=client.cluster, service=client.name, forceNewDeployment=True
        )
        estate.wait(lambda: len(client.describe()["deployments"]) == 1)
        estate.wait(lambda: client.site.states(client.group) == ["healthy"])
        assert pair.ask("http://later:81/")["status"] == 503


# --- container health checks ----------------------------------------------------------------------
@contextmanager
def a_checked_service(site: Site, file: Path) -> Iterator[Running]:
    """A service without a load balancer that is healthy while the file is there."""
    check = {
        "command": ["CMD-SHELL", 'test -f "$FILE" || exec sleep 60'],
        "interval": 5,
        "timeout": 2,
        "retries": 2,
        "startPeriod": 300,
    }
    named = [{"name": "TASK", "value": "checked"}, {"name": "FILE", "value": str(file)}]
    definition = define(site.estate, site.estate.name(), healthCheck=check, environment=named)
    with a_service_behind(site, "", loadBalancers=[], taskDefinition=definition) as service:
        yield service


def health(service: Running) -> list[str]:
    return [task["healthStatus"] for task in service.tasks()]


def test_a_task_is_healthy_when_its_containers_pass_and_replaced_when_they_fail(
    site: Site, tmp_path: Path
) -> None:
    """HealthCheck: `healthStatus`, and what the service scheduler makes of it."""
    estate, file = site.estate, tmp_path / "healthy"
    with a_checked_service(site, file) as service:
        estate.wait(lambda: [task["lastStatus"] for task in service.tasks()] == ["RUNNING"])
        estate.cloud.advance(12, speed=20)
        assert health(service) == ["UNKNOWN"]
        [deployment] = service.describe()["deployments"]
        assert deployment["rolloutState"] == "IN_PROGRESS"
        file.touch()
        estate.wait(lambda: health(service) == ["HEALTHY"])
        [task] = service.tasks()
        assert [box["healthStatus"] for box in task["containers"]] == ["HEALTHY"]
        estate.wait(lambda: service.describe()["deployments"][0]["rolloutState"] == "COMPLETED")
        service.ecs.update_service(
            cluster=service.cluster, service=service.name, healthCheckGracePeriodSeconds=0
        )
        file.unlink()
        estate.wait(lambda: service.tasks("STOPPED"), minutes=2)
        [stopped] = service.tasks("STOPPED")
        assert stopped["stoppedReason"] == "Task failed container health checks"
        file.touch()
        estate.wait(lambda: health(service) == ["HEALTHY"])
