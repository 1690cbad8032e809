"""One AWS endpoint for several clouds, and what was called there.

A call goes to the cloud that has its service, by the signature's credential scope. A request
without a signature is a client's: it goes to the load balancer. No resolver knows the load
balancer's name here, so the front takes its place: answers have the front's own address for
`DNSName`.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

SCOPE = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")
DNS_NAME = re.compile(rb"(?<=<DNSName>)[^<]+")
HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}
ELB = "elasticloadbalancing"
START_SECONDS = 60


@dataclass(frozen=True)
class Call:
    """One call: `caller` is the access key, `itself` whether LocalStack says that it answered."""

    cloud: str
    service: str
    action: str
    caller: str
    status: int
    itself: bool


class Front:
    """Listens on a free port of 127.0.0.1, in a thread of its own.

    `clouds` are endpoints by name. `elsewhere` names the cloud of a service, by its signing name;
    the others are LocalStack's.
    """

    def __init__(self, clouds: Mapping[str, str], elsewhere: Mapping[str, str]) -> None:
        self.clouds = clouds
        self.elsewhere = elsewhere
        self.calls: list[Call] = []
        self.endpoint = ""
        self._load_balancer = ""
        self._queries: dict[str, dict[str, Any]] = {}
        self._session: aiohttp.ClientSession
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Listen; afterwards `endpoint` is known."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(START_SECONDS)

    def stop(self) -> None:
        """Close every connection and the port."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        app = web.Application(client_max_size=100 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.endpoint = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        scope = SCOPE.search(request.headers.get("Authorization", ""))
        if scope is None:
            return await self._pass_on(request, body, self.elsewhere[ELB], self._load_balancer)
        caller, service = scope.groups()
        action = action_of(request, body)
        if action.endswith(("QueryDefinition", "QueryDefinitions")):
            return self._query_definition(action, json.loads(body))
        cloud = self.elsewhere.get(service, "localstack")
        answer = await self._pass_on(request, body, cloud)
        itself = answer.headers.get("x-localstack") == "true"
        self.calls.append(Call(cloud, service, action, caller, answer.status, itself))
        if service == ELB and isinstance(answer.body, bytes):
            for name in DNS_NAME.findall(answer.body):
                self._load_balancer = name.decode()
            answer.body = DNS_NAME.sub(self.endpoint.encode().partition(b"//")[2], answer.body)
        return answer

    async def _pass_on(
        self, request: web.Request, body: bytes, cloud: str, host: str = ""
    ) -> web.Response:
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP
        }
        if host:
            headers["Host"] = host
        async with self._session.request(
            request.method,
            URL(self.clouds[cloud] + request.raw_path, encoded=True),
            data=body,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
        ) as answer:
            kept = [
                (name, value)
                for name, value in answer.headers.items()
                if name.lower() not in HOP_BY_HOP
            ]
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    def _query_definition(self, action: str, given: dict[str, Any]) -> web.Response:
        """Saved queries of CloudWatch Logs, which neither LocalStack, MiniStack nor moto has."""
        answer: dict[str, Any]
        if action == "PutQueryDefinition":
            identity = given.setdefault("queryDefinitionId", str(uuid.uuid4()))
            self._queries[identity] = given
            answer = {"queryDefinitionId": identity}
        elif action == "DeleteQueryDefinition":
            answer = {"success": self._queries.pop(given["queryDefinitionId"], None) is not None}
        else:
            prefix = given.get("queryDefinitionNamePrefix", "")
            named = [each for each in self._queries.values() if each["name"].startswith(prefix)]
            answer = {"queryDefinitions": named}
        return web.json_response(answer, content_type="application/x-amz-json-1.1")


def action_of(request: web.Request, body: bytes) -> str:
    """The name of the operation; in a REST protocol, method and path."""
    target = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    if target:
        return target
    query = re.search(rb"(?:^|&)Action=(\w+)", body)
    if query:
        return query[1].decode()
    _, named, operation = request.path.rpartition("/operation/")  # of Smithy's RPC protocols
    return operation if named else f"{request.method} {request.path}"
