"""The one endpoint: every AWS call passes here, is understood, recorded, and goes on to moto.

The parts that know better than moto register here: `override` answers instead of moto, `after`
amends moto's answer, `subscribe` hears of every change. They see parameters and replies as boto3
shows them, whatever wire protocol the caller speaks: botocore's service models describe them all.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
import warnings
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError
from botocore.parsers import create_parser
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

from localcloud.control import CALLER

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

# moto means its own developers with it: an error code that a service's model does not list
warnings.filterwarnings("ignore", message=".*does not match an error shape")

ADMIN = "/_localcloud"
SIGNING_NAMES = {"monitoring": "cloudwatch"}
ELBV2_VERSION = "2015-12-01"
FORM = "application/x-www-form-urlencoded"
READING = re.compile(
    r"^(Describe|Get|List|Head|Search|Filter|Query|Scan|BatchGet|Lookup|Test|Simulate|Start(Query|LiveTail))"
)
RESOURCE_KEYS = (
    "service", "serviceName", "RuleArn", "RulePriorities", "TargetGroupArn", "ListenerArn",
    "LoadBalancerArn", "FunctionName", "TableName", "TopicArn", "QueueUrl", "AlarmName",
    "AlarmNames", "Name", "Names", "ResourceId", "ResourceArn", "resourceArn", "logGroupName",
    "taskDefinition", "family", "tasks", "task", "cluster", "clusterName", "RoleName", "PolicyArn",
    "DBInstanceIdentifier", "DBClusterIdentifier",
)  # fmt: skip
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}
CALLS_KEPT = 200_000
TEXT_KEPT = 20_000  # a role's policy is 10,240 at most


class ApiError(Exception):
    """An AWS error reply: `code` and `message` as the service words them, HTTP `status`."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass
class Call:
    """One API call, understood. `params` are what one would pass to boto3."""

    service: str  # boto3's name, for example "elbv2"
    action: str  # for example "DescribeTargetHealth"; "" when not understood
    params: dict[str, Any]
    region: str
    caller: str  # the access key id; a function's is "function.NAME", a part's "localcloud"
    method: str
    path: str  # with the query string
    headers: Mapping[str, str]
    body: bytes
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def resource(self) -> str:
        """What the call is about, in a word: the most telling name among its parameters."""
        for key in RESOURCE_KEYS:
            if self.params.get(key):
                value = self.params[key]
                if key == "RulePriorities":
                    return ",".join(item["RuleArn"] for item in value)
                return ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return ""


Reply = dict[str, Any]
Override = Callable[[Call], Awaitable[Reply | web.StreamResponse | None]]
After = Callable[[Call, Reply], Awaitable[Reply | None]]
Subscriber = Callable[[Call], Awaitable[None]]


class Gateway:
    """Serves AWS's API and the local cloud's own admin API on one port of 127.0.0.1."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        self.faults: list[dict[str, Any]] = []
        self._count = 0
        self._fault_count = 0
        self._guards: list[Subscriber] = []
        self._overrides: dict[tuple[str, str], Override] = {}
        self._after: dict[tuple[str, str], list[After]] = defaultdict(list)
        self._subscribers: dict[str, list[Subscriber]] = defaultdict(list)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def override(self, service: str, action: str, answer: Override) -> None:
        """Let `answer(call)` answer: a reply as boto3 would return it, a raw response, or None.

        None lets moto answer; `ApiError` becomes the caller's error. One per action.
        """
        if (service, action) in self._overrides:
            raise ValueError(f"{service} {action} is overridden already")
        self._overrides[service, action] = answer

    def guard(self, check: Subscriber) -> None:
        """Await `check(call)` before each call is answered; its `ApiError` refuses the call."""
        self._guards.append(check)

    def after(self, service: str, action: str, amend: After) -> None:
        """Let `amend(call, reply)` see each successful reply; what it returns replaces it."""
        self._after[service, action].append(amend)

    def subscribe(self, service: str, hear: Subscriber) -> None:
        """Await `hear(call)` after each successful changing call, before its reply goes out.

        Keep it short: the caller waits. Slow work belongs into `cloud.spawn`.
        """
        self._subscribers[service].append(hear)

    async def forward(self, call: Call) -> Reply:
        """Moto's own reply to `call`, parsed; its error as `ApiError`. For use in overrides."""
        status, headers, body = await self._ask_moto(call)
        return _parse_reply(call, status, headers, body)

    async def start(self, port: int) -> int:
        """Listen on `port` (0: a free one); returns the port."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=120),
            connector=aiohttp.TCPConnector(limit=0),
        )
        app = web.Application(client_max_size=300 * 1024 * 1024)
        admin = Admin(self.cloud)
        app.add_routes(admin.routes())
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = _understand(request, await request.read())
        self._count += 1
        record: dict[str, Any] = {
            "n": self._count,
            "time": self.cloud.clock.now(),
            "caller": call.caller,
            "service": call.service,
            "action": call.action,
            "resource": call.resource,
            "params": _plain(call.params),
            "status": None,
            "error": None,
            "seconds": None,
        }
        self.calls.append(record)
        began = time.monotonic()
        try:
            fault = self._take_fault(call)
            if fault is not None:
                await self._fail(call, fault, request)
            response = await self._answer(call)
        except ApiError as error:
            record["error"] = error.code
            response = _write(call, error)
        except ConnectionAbortedError:
            record["error"] = "aborted"
            raise
        finally:
            record["seconds"] = time.monotonic() - began
        record["status"] = response.status
        return response

    async def _answer(self, call: Call) -> web.StreamResponse:
        key = (call.service, call.action)
        reply: Reply | web.StreamResponse | None = None
        for check in self._guards:
            await check(call)
        if key in self._overrides:
            reply = await self._overrides[key](call)
        if isinstance(reply, web.StreamResponse):
            response = reply
        elif reply is not None:
            response = _write(call, reply)
        else:
            status, headers, body = await self._ask_moto(call)
            if status >= 400:
                _parse_reply(call, status, headers, body)
            response = web.Response(status=status, headers=headers, body=body)
            if self._after[key]:
                reply = _parse_reply(call, status, headers, body)
        if isinstance(reply, dict) and self._after[key]:
            for amend in self._after[key]:
                reply = await amend(call, reply) or reply
            response = _write(call, reply)
        if response.status < 400 and not READING.match(call.action):
            for hear in self._subscribers[call.service]:
                await hear(call)
        return response

    async def _ask_moto(self, call: Call) -> tuple[int, dict[str, str], bytes]:
        assert self._session is not None
        headers = {k: v for k, v in call.headers.items() if k.lower() not in HOP_BY_HOP}
        async with self._session.request(
            call.method,
            self.cloud.control.moto_url + call.path,
            headers=headers,
            data=call.body,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
            return answer.status, kept, body

    # faults

    def add_fault(self, rule: dict[str, Any]) -> dict[str, Any]:
        """Make matching calls fail: see `Cloud.fault` in client.py for the keys. ValueError."""
        known = {"service", "action", "caller", "resource", "kind", "count", "code", "message",
                 "status", "seconds"}  # fmt: skip
        if unknown := set(rule) - known:
            raise ValueError(f"a fault has no {sorted(unknown)}; it has {sorted(known)}")
        if rule.get("kind") not in FAULT_KINDS:
            raise ValueError(f"kind is {rule.get('kind')!r}, not one of {sorted(FAULT_KINDS)}")
        for key in ("count", "seconds", "status"):
            if not isinstance(rule.get(key, 0), int | float):
                raise ValueError(f"{key} is {rule[key]!r}, not a number")
        self._fault_count += 1
        fault = {"id": self._fault_count, "hits": 0, "count": None, **rule}
        self.faults.append(fault)
        return fault

    def _take_fault(self, call: Call) -> dict[str, Any] | None:
        """The fault that hits the call; none hits a call of the local cloud's own parts."""
        if call.caller == CALLER:
            return None
        for fault in self.faults:
            if fault["count"] is not None and fault["hits"] >= fault["count"]:
                continue
            wanted = {key: fault[key] for key in ("service", "action", "caller") if key in fault}
            fits = all(getattr(call, key) == value for key, value in wanted.items())
            if fits and str(fault.get("resource", "")) in call.resource:
                fault["hits"] += 1
                return fault
        return None

    async def _fail(self, call: Call, fault: dict[str, Any], request: web.Request) -> None:
        """Do what the fault says; returns where the call is to be answered after all."""
        kind = fault["kind"]
        if kind == "delay":
            await self.cloud.clock.sleep(float(fault.get("seconds", 1)))
            return
        if kind == "hang":
            await asyncio.sleep(float(fault.get("seconds", 3600)))
        if kind in ("hang", "lost_answer"):
            if kind == "lost_answer":
                await self._answer(call)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError(f"{call.service} {call.action}: {kind}")
        code, message, status = FAULT_KINDS[kind]
        if kind == "throttle" and call.service == "lambda":
            code, status = "TooManyRequestsException", 429
        raise ApiError(
            str(fault.get("code", code)),
            str(fault.get("message", message)),
            int(fault.get("status", status)),
        )


FAULT_KINDS = {
    "fail": ("InternalFailure", "The request processing has failed (local cloud fault).", 500),
    "throttle": ("ThrottlingException", "Rate exceeded", 400),
    "hang": ("", "", 0),
    "lost_answer": ("", "", 0),
    "delay": ("", "", 0),
}


class Admin:
    """The local cloud's own API under /_localcloud/, for tests, the demonstration and people."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def routes(self) -> list[web.RouteDef]:
        """All routes; errors in what is sent give 400 with a text."""
        return [
            web.get(ADMIN, self._health),
            web.get(f"{ADMIN}/", self._health),
            web.get(f"{ADMIN}/clock", self._clock),
            web.put(f"{ADMIN}/clock", self._set_clock),
            web.get(f"{ADMIN}/calls", self._calls),
            web.get(f"{ADMIN}/mailbox", self._mailbox),
            web.get(f"{ADMIN}/runs", self._runs),
            web.get(f"{ADMIN}/settings", self._settings),
            web.put(f"{ADMIN}/settings", self._set_settings),
            web.get(f"{ADMIN}/faults", self._faults),
            web.post(f"{ADMIN}/faults", self._add_fault),
            web.delete(f"{ADMIN}/faults", self._clear_faults),
            web.delete(f"{ADMIN}/faults/{{id}}", self._remove_fault),
            web.get(f"{ADMIN}/settled", self._settled),
            web.get(f"{ADMIN}/tasks", self._tasks),
            web.post(f"{ADMIN}/tasks/stop", self._stop_task),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "running", "load_balancers": self.cloud.load_balancers()})

    async def _clock(self, _: web.Request) -> web.Response:
        clock = self.cloud.clock
        return _json({"now": clock.now(), "speed": clock.speed, "rate": clock.rate})

    async def _set_clock(self, request: web.Request) -> web.Response:
        try:
            wanted = await request.json()
            seconds = float(wanted["seconds"]) if "seconds" in wanted else None
            self.cloud.clock.set_speed(float(wanted["speed"]), seconds)
        except (KeyError, TypeError, ValueError) as error:
            wish = '{"speed": NUMBER above 0, "seconds": how long, if not from now on}'
            raise web.HTTPBadRequest(text=f"want {wish}: {error}") from error
        return await self._clock(request)

    async def _calls(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not since.isdigit():
            raise web.HTTPBadRequest(text=f"since is {since!r}, not the number of a call")
        return _json([call for call in self.cloud.gateway.calls if call["n"] > int(since)])

    async def _mailbox(self, _: web.Request) -> web.Response:
        return _json(self.cloud.events.mailbox)

    async def _runs(self, _: web.Request) -> web.Response:
        return _json([asdict(run) for run in self.cloud.functions.runs])

    async def _settings(self, _: web.Request) -> web.Response:
        return _json(self.cloud.settings)

    async def _set_settings(self, request: web.Request) -> web.Response:
        try:
            self.cloud.change_settings(await request.json())
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return _json(self.cloud.settings)

    async def _faults(self, _: web.Request) -> web.Response:
        return _json(self.cloud.gateway.faults)

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            return _json(self.cloud.gateway.add_fault(await request.json()))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self.cloud.gateway.faults.clear()
        return _json([])

    async def _remove_fault(self, request: web.Request) -> web.Response:
        faults, identity = self.cloud.gateway.faults, request.match_info["id"]
        kept = [fault for fault in faults if str(fault["id"]) != identity]
        if len(kept) == len(faults):
            raise web.HTTPNotFound(text=f"no fault {identity}")
        faults[:] = kept
        return _json(faults)

    async def _settled(self, _: web.Request) -> web.Response:
        return _json({"settled": self.cloud.balancer.settled})

    async def _tasks(self, _: web.Request) -> web.Response:
        return _json(self.cloud.tasks.listing())

    async def _stop_task(self, request: web.Request) -> web.Response:
        try:
            await self.cloud.tasks.crash((await request.json())["task"])
        except (KeyError, TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=f'want {{"task": ARN of one}}: {error}') from error
        return _json({})


def _json(value: Any) -> web.Response:
    return web.json_response(value, dumps=lambda v: json.dumps(v, default=str))


def _plain(value: Any) -> Any:
    """`value` as JSON has it, long texts and bodies cut: what the record of calls keeps."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        return value[:TEXT_KEPT]
    return value if isinstance(value, bool | int | float | None) else str(value)


def _understand(request: web.Request, body: bytes) -> Call:
    """Who calls what, with which parameters, in whichever protocol."""
    headers = dict(request.headers)
    scope = re.search(r"Credential=([^,\s]+)", headers.get("Authorization", ""))
    parts = scope.group(1).split("/") if scope else []
    caller, region, signed = (parts[0], parts[2], parts[3]) if len(parts) == 5 else ("", "", "")
    service = SIGNING_NAMES.get(signed.lower(), signed.lower())
    if service == "elasticloadbalancing" and ELBV2_VERSION in body.decode("latin-1"):
        service = "elbv2"
    call = Call(service, "", {}, region, caller, request.method, request.raw_path, headers, body)
    try:
        model = get_service_model(service)
    except UnknownServiceError:
        return call
    url = f"http://{request.host}{request.raw_path}"
    parsed = Request.from_primitives(request.method, url, headers, body)
    uri_params: dict[str, Any] = {}
    try:
        if target := headers.get("X-Amz-Target"):
            call.action = target.split(".")[-1]
        elif (headers.get("Content-Type") or "").startswith(FORM):
            call.action = parse_qs(body.decode())["Action"][0]
        else:
            operation, uri_params = get_service_router(service).match(parsed)
            call.action = str(operation.name)
        parser = PROTOCOL_PARSERS[determine_request_protocol(model, parsed.content_type)]
        call.params = parser(model.operation_model(call.action)).parse(
            {
                "method": parsed.method,
                "values": parsed.values,
                "headers": parsed.headers,
                "body": parsed.data or body,
                "url_path": parsed.path,
                "url_params": uri_params,
            }
        )
    except (NotFound, NotImplementedError, OperationNotFoundError, KeyError):
        call.action = ""
    return call


def _protocol(call: Call) -> str:
    return determine_request_protocol(
        get_service_model(call.service), call.headers.get("Content-Type")
    )


def _parse_reply(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """Moto's answer as boto3 would return it; `ApiError` for an error.

    What moto has not implemented becomes a 400 that names the action: a 5xx would make Terraform
    try again for minutes.
    """
    html = "html" in headers.get("Content-Type", "") and body.lstrip()[:1] != b"<"
    if status >= 500 or (status >= 400 and (html or not call.action)):
        what = f"{call.service} {call.action or call.method + ' ' + call.path}"
        raise ApiError("NotImplemented", f"{what} is not in the local cloud (moto: {status})")
    model = get_service_model(call.service).operation_model(call.action)
    reply: Reply = create_parser(_protocol(call)).parse(
        {"status_code": status, "headers": headers, "body": body}, model.output_shape
    )
    if status >= 400:
        error = reply.get("Error", {})
        raise ApiError(error.get("Code", "Unknown"), error.get("Message", ""), status)
    reply.pop("ResponseMetadata", None)
    return reply


def _write(call: Call, result: Reply | ApiError) -> web.Response:
    """`result` on the wire, in the protocol that the caller speaks."""
    if not call.action:
        assert isinstance(result, ApiError)
        body = {"__type": result.code, "message": result.message}
        return web.json_response(body, status=result.status)
    model = get_service_model(call.service).operation_model(call.action)
    serializer = get_serializer_class(call.service, _protocol(call))(
        model, context=SerializationContext(call.request_id)
    )
    written = serializer.serialize(result)
    text = written["body"]
    status = result.status if isinstance(result, ApiError) else written["status_code"]
    headers = {**written["headers"], "x-amzn-RequestId": call.request_id}
    return web.Response(
        status=status, headers=headers, body=text.encode() if isinstance(text, str) else text
    )
