"""ECS Service Connect: names that lead to the tasks of a service, and the requests that it counts.

Imitates "Amazon ECS Service Connect components". On AWS each task that takes part has a proxy of
its own, to which the names lead. A process on this machine cannot have names of its own. So there
is one forward proxy for HTTP, and the variable `http_proxy` of the tasks names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from yarl import URL

from localcloud import alb, passing

if TYPE_CHECKING:
    from localcloud.cloud import Cloud
    from localcloud.tasks import Service, Task

NAMESPACE = "AWS/ECS"
PROXY = "http_proxy"
USER = "task"
RETRIES = 2  # each with another task
COUNTED = ("http", "http2", "grpc")  # `appProtocol` with which requests are counted
NOT_PASSED_ON = alb.HOP_BY_HOP | {"proxy-authorization"}
NO_TASK = "no healthy upstream"  # Envoy's words: AWS's proxy is one


@dataclass(frozen=True)
class Endpoint:
    """What a name leads to: a port of a service's tasks."""

    cluster: str
    service: str
    port_name: str
    discovery_name: str


class Connect:
    """The proxy of all tasks that take part in Service Connect."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._turn = count()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self._address = ""

    async def start(self) -> None:
        """Listen on a free port."""
        self._session = passing.a_session()
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._address = f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    # For the scheduler.

    def endpoints(self, connect: Mapping[str, Any] | None) -> dict[str, Endpoint]:
        """What tasks with this `serviceConnectConfiguration` can resolve, by "NAME:PORT".

        All endpoints that the namespace has now. A deployment keeps them: "New endpoints that are
        added to the namespace after the most recent deployment won't be added to the task
        configuration".
        """
        namespace = _namespace(connect)
        if not namespace:
            return {}
        found: dict[str, Endpoint] = {}
        for service in self._cloud.tasks.services():
            theirs = _namespace(service.primary.service_connect)
            if service.status == "ACTIVE" and theirs == namespace:
                found.update(_endpoints_of(service))
        return found

    def environment(self, task: Task) -> dict[str, str]:
        """The variables by which a task's programs find the proxy; none without an endpoint."""
        if not task.deployment.endpoints:
            return {}
        return {
            PROXY: f"http://{USER}:{task.id}@{self._address}",
            "no_proxy": "127.0.0.1,localhost",
        }

    # Requests.

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        """Send a task's request to a task of the service that it names; 503 if none runs.

        A name that the task cannot resolve has no answer: the connection ends.
        """
        task = self._cloud.tasks.find(_user(incoming))
        if task is None:
            return web.Response(status=407, text=f"Use the {PROXY} that a task was given.\n")
        name = f"{incoming.url.host}:{incoming.url.port}"
        endpoint = task.deployment.endpoints.get(name)
        if endpoint is None:
            self._warn(task, name)
            if incoming.transport is not None:
                incoming.transport.abort()
            return web.Response(status=502)
        answer = await self._ask(endpoint, incoming)
        if answer is None:
            return web.Response(status=503, text=NO_TASK)
        return await _passed_back(incoming, answer)

    def _warn(self, task: Task, name: str) -> None:
        known = ", ".join(task.deployment.endpoints)
        warning = (
            f"Service Connect: {name} leads nowhere. When the service was last deployed, its "
            f"namespace had {known}. Deploy it again to add later names."
        )
        if warning not in task.warnings:
            self._cloud.tasks.warn(task, task.containers[0], warning)

    async def _ask(
        self, endpoint: Endpoint, incoming: web.BaseRequest
    ) -> aiohttp.ClientResponse | None:
        """The answer of the next task in turn that takes the connection; None without one."""
        assert self._session is not None
        body = b"".join([chunk async for chunk in incoming.content.iter_any()])
        headers = [(k, v) for k, v in incoming.headers.items() if k.lower() not in NOT_PASSED_ON]
        path = URL(incoming.raw_path, encoded=True).raw_path_qs
        for port, counted in self._choose(endpoint):
            url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
            try:
                answer = await passing.pass_on(self._session, incoming.method, url, headers, body)
            except aiohttp.ClientConnectorError:
                continue
            except aiohttp.ClientError:
                return None
            if counted:
                self._count(endpoint)
            return answer
        return None

    def _choose(self, endpoint: Endpoint) -> list[tuple[int, bool]]:
        """Ports of running tasks, the next in turn first; with each, whether requests count."""
        service = self._cloud.tasks.service(endpoint.cluster, endpoint.service)
        running = [
            task
            for task in (service.tasks if service else ())
            if task.desired_status == task.last_status == "RUNNING"
        ]
        found = [each for task in running for each in _ports_of(task, endpoint.port_name)]
        first = next(self._turn) % len(found) if found else 0
        return [*found[first:], *found[:first]][: 1 + RETRIES]

    def _count(self, endpoint: Endpoint) -> None:
        """`RequestCount` of the service that is asked ("Amazon ECS CloudWatch metrics")."""
        name = {"DiscoveryName": endpoint.discovery_name}
        service = {"ClusterName": endpoint.cluster, "ServiceName": endpoint.service}
        for dimensions in (name, {**name, **service}):
            self._cloud.metrics.vend(NAMESPACE, "RequestCount", dimensions, 1, "Count")


async def _passed_back(
    incoming: web.BaseRequest, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    async with answer:
        response = await passing.begin_answer(incoming, answer)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


def _namespace(connect: Mapping[str, Any] | None) -> str:
    """Where a service takes part, by name or ARN, as it was given; "" if nowhere."""
    return str(connect.get("namespace", "")) if connect and connect["enabled"] else ""


def _endpoints_of(service: Service) -> Iterator[tuple[str, Endpoint]]:
    connect = service.primary.service_connect or {}
    for each in connect.get("services", ()):
        port_name = each["portName"]
        discovery_name = each.get("discoveryName", port_name)
        endpoint = Endpoint(service.cluster, service.name, port_name, discovery_name)
        for alias in each.get("clientAliases", ()):
            if "dnsName" in alias:
                yield f"{alias['dnsName']}:{alias['port']}", endpoint


def _ports_of(task: Task, port_name: str) -> Iterator[tuple[int, bool]]:
    for box in task.containers:
        for mapping in box.definition.get("portMappings", ()):
            if mapping.get("name") == port_name:
                yield box.ports[mapping["containerPort"]], mapping.get("appProtocol") in COUNTED


def _user(incoming: web.BaseRequest) -> str:
    """The id of the task that sends a request, from its `Proxy-Authorization`; "" without one."""
    try:
        credentials = incoming.headers.get("Proxy-Authorization", "")
        return str(aiohttp.BasicAuth.decode(credentials).password)
    except ValueError:
        return ""
