"""Lambda: what is known of each function, who may invoke it, and what becomes of each event.

Imitates "Asynchronous invocation", "Configuring reserved concurrency" and "Using resource-based
policies" of the AWS Lambda Developer Guide, and "Invoke" of its API Reference.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import shutil
import sys
import uuid
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from botocore.exceptions import ClientError

from localcloud.containers import SYNC_LIMIT, Container, Function, Job, Run
from localcloud.forks import Forks
from localcloud.gateway import ApiError, Call, Reply
from localcloud.logs import iso

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

ASYNC_LIMIT = 1024 * 1024
DEFAULT_RETRIES = 2
DEFAULT_EVENT_AGE_SECONDS = 6 * 3600
LONGEST_BACKOFF_SECONDS = 300
CONFIGURATION_REPLIES = (
    "CreateFunction", "GetFunction", "GetFunctionConfiguration", "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
)  # fmt: skip


@dataclass(frozen=True)
class Invocation:
    """What became of one invocation, as the Invoke API would answer.

    status: 200 run, 202 queued, 403 not permitted, 404 no such function, 413 too large,
    429 throttled. error: None, or with 200 "Unhandled" when the function failed and `payload`
    tells how, else the error's code.
    """

    status: int
    payload: bytes
    error: str | None = None
    version: str = "$LATEST"
    log: str = ""


class Functions:
    """Runs functions for the gateway's Invoke and for the other parts."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.runs: list[Run] = []  # every invocation that is over, oldest first
        self.forks = Forks(cloud.clock.path)
        self._containers: list[Container] = []
        self._released = asyncio.Event()
        self._running: Counter[str] = Counter()
        self._known: dict[str, Function] = {}
        self._changes = 0
        self._logging: dict[str, dict[str, str]] = {}
        gateway = cloud.gateway
        gateway.override("lambda", "Invoke", self._api_invoke)
        gateway.after("lambda", "CreateFunction", self._keep_code)
        gateway.after("lambda", "UpdateFunctionCode", self._keep_code)
        for action in CONFIGURATION_REPLIES:
            gateway.after("lambda", action, self._show_logging)
        gateway.subscribe("lambda", self._changed)

    async def start(self) -> None:
        """Watch for containers that nobody needs any more."""
        self.cloud.spawn(self._reap())

    async def stop(self) -> None:
        """End all containers."""
        for container in list(self._containers):
            await self._end(container)
        await self.forks.stop()

    async def invoke(
        self,
        function: str,
        payload: bytes,
        *,
        asynchronous: bool = False,
        principal: str = "",
        source_arn: str = "",
    ) -> Invocation:
        """Invoke `function` (name or ARN, version optional) with JSON `payload`.

        `principal` is the AWS service on whose behalf ("events.amazonaws.com") and `source_arn`
        its resource: the function's policy must permit both. Without `principal` it is a user's
        own call. Asynchronous ones are answered 202 and run with Lambda's retries. Never raises
        for what the function does.
        """
        try:
            known = await self._lookup(function)
        except ClientError as error:
            details = error.response["Error"]
            return _refused(404, details["Code"], details["Message"])
        if principal and not known.permits(principal, source_arn):
            message = f"{principal} for {source_arn} may not invoke {known.arn}: no permission"
            print(message, file=sys.stderr, flush=True)
            return _refused(403, "AccessDeniedException", message)
        if len(payload) > (ASYNC_LIMIT if asynchronous else SYNC_LIMIT):
            return _refused(413, "RequestTooLargeException", "Request must be smaller")
        try:
            json.loads(payload or b"{}")
        except ValueError as error:
            return _refused(400, "InvalidRequestContentException", f"Could not parse: {error}")
        if asynchronous:
            self.cloud.spawn(self._asynchronous(function, payload or b"{}"))
            return Invocation(202, b"", version=known.version)
        return await self._run(known, payload or b"{}", str(uuid.uuid4()))

    async def role_of(self, function: str) -> str:
        """The name of the function's role; ClientError when there is no such function."""
        known = await self._lookup(function)
        return str(known.config["Role"]).rsplit("/", 1)[1]

    async def _api_invoke(self, call: Call) -> web.StreamResponse:
        """Lambda API Reference, Invoke."""
        name, qualifier = call.params["FunctionName"], call.params.get("Qualifier")
        kind = call.params.get("InvocationType", "RequestResponse")
        target = f"{name}:{qualifier}" if qualifier else name
        if kind == "DryRun":
            await self._lookup(target)
            return web.Response(status=204)
        result = await self.invoke(target, call.body, asynchronous=kind == "Event")
        if result.status >= 400:
            message = json.loads(result.payload).get("Message", "")
            raise ApiError(str(result.error), message, result.status)
        headers = {"x-amzn-RequestId": call.request_id}
        if kind != "Event":
            headers["X-Amz-Executed-Version"] = result.version
        if result.error:
            headers["X-Amz-Function-Error"] = result.error
        if call.params.get("LogType") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(result.log.encode()[-4096:]).decode()
        return web.Response(
            status=result.status,
            headers=headers,
            body=result.payload,
            content_type="application/json",
        )

    async def _run(self, function: Function, payload: bytes, request_id: str) -> Invocation:
        """One synchronous run; the clock is at 1x meanwhile."""
        if function.reserved is not None and self._running[function.arn] >= function.reserved:
            self._count(function, Throttles=1)
            return _refused(
                429,
                "TooManyRequestsException",
                "Rate Exceeded.",
                Reason="ReservedFunctionConcurrentInvocationLimitExceeded",
            )
        self._running[function.arn] += 1
        try:
            with self.cloud.clock.busy():
                return await self._run_in_container(function, payload, request_id)
        finally:
            self._running[function.arn] -= 1

    async def _run_in_container(
        self, function: Function, payload: bytes, request_id: str
    ) -> Invocation:
        container = await self._container(function)
        began = self.cloud.clock.now()
        job = Job(payload, self.cloud.clock.now() + function.timeout, request_id)
        try:
            result, error = await container.serve(job)
        except BaseException:
            await self._end(container)
            raise
        if container.run is not None:
            self.runs.append(container.run)
        log = container.publish()
        container.idle_since = self.cloud.clock.now()
        took = (container.idle_since - began) * 1000
        self._count(function, Invocations=1, Errors=int(error is not None), Throttles=0)
        self._count(function, "Milliseconds", Duration=took)
        if container.broken:
            await self._end(container)
        self._released.set()
        return Invocation(200, result, error, function.version, log)

    def _count(self, function: Function, unit: str = "Count", **values: float) -> None:
        """Developer Guide, "Types of metrics for Lambda functions", by FunctionName."""
        named = {"FunctionName": str(function.config["FunctionName"])}
        for name, value in values.items():
            self.cloud.metrics.vend("AWS/Lambda", name, named, value, unit)

    async def _asynchronous(self, name: str, payload: bytes) -> None:
        """The event queue: Developer Guide, "How Lambda handles errors and retries with
        asynchronous invocation": throttles are retried from 1 s up to every 5 minutes for the
        maximum event age; function errors after one and again after two minutes."""
        clock, born, request_id = self.cloud.clock, self.cloud.clock.now(), str(uuid.uuid4())
        runs, backoff = 0, 1.0
        result: Invocation | None = None
        while True:
            try:
                function = await self._lookup(name)
            except ClientError:
                return
            if clock.now() - born > function.event_age:
                break
            result = await self._run(function, payload, request_id)
            if result.status == 429:
                await clock.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
                continue
            runs += 1
            if result.error is None:
                await self._report(function, function.on_success, "Success",
                                   request_id, payload, runs, result)  # fmt: skip
                return
            if runs > function.retries:
                break
            await clock.sleep(60 * runs)
        condition = "RetriesExhausted" if runs > function.retries else "EventAgeExceeded"
        await self._report(function, function.on_failure, condition,
                           request_id, payload, runs, result)  # fmt: skip

    async def _report(
        self,
        function: Function,
        destination: str,
        condition: str,
        request_id: str,
        payload: bytes,
        runs: int,
        result: Invocation | None,
    ) -> None:
        """Send the invocation record: Developer Guide, "Invocation record"."""
        if not destination:
            return
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": iso(self.cloud.clock.now()),
            "requestContext": {
                "requestId": request_id,
                "functionArn": f"{function.arn}:{function.version}",
                "condition": condition,
                "approximateInvokeCount": runs,
            },
            "requestPayload": json.loads(payload),
        }
        if result is not None and result.status == 200:
            record["responseContext"] = {
                "statusCode": 200,
                "executedVersion": result.version,
                **({"functionError": result.error} if result.error else {}),
            }
            record["responsePayload"] = json.loads(result.payload or b"null")
        await self.cloud.events.deliver(destination, record)

    async def _lookup(self, name: str) -> Function:
        """What moto knows of the function; ClientError when it does not know it.

        Lambda knows at once: the clock is at 1x while moto is asked.
        """
        if name not in self._known:
            changes = self._changes
            with self.cloud.clock.busy():
                function = await self._ask(name)
            if changes != self._changes:
                return function
            self._known[name] = function
        return self._known[name]

    async def _ask(self, name: str) -> Function:
        plain, qualifier = _name_and_qualifier(name)
        named: dict[str, Any] = {"FunctionName": plain}
        if qualifier:
            named["Qualifier"] = qualifier
        call = self.cloud.control.call
        config = await call("lambda", "get_function_configuration", **named)
        policy: list[dict[str, Any]] = []
        asynchronous: dict[str, Any] = {}
        with contextlib.suppress(ClientError):
            found = await call("lambda", "get_policy", FunctionName=plain)
            policy = json.loads(found["Policy"])["Statement"]
        with contextlib.suppress(ClientError):
            asynchronous = await call(
                "lambda", "get_function_event_invoke_config", FunctionName=plain
            )
        concurrency = await call("lambda", "get_function_concurrency", FunctionName=plain)
        destinations = asynchronous.get("DestinationConfig", {})
        return Function(
            config={**config, "LoggingConfig": self._logging_of(plain)},
            policy=policy,
            reserved=concurrency.get("ReservedConcurrentExecutions"),
            retries=asynchronous.get("MaximumRetryAttempts", DEFAULT_RETRIES),
            event_age=asynchronous.get("MaximumEventAgeInSeconds", DEFAULT_EVENT_AGE_SECONDS),
            on_success=destinations.get("OnSuccess", {}).get("Destination", ""),
            on_failure=destinations.get("OnFailure", {}).get("Destination", ""),
        )

    async def _changed(self, _: Call) -> None:
        self._known.clear()
        self._changes += 1

    async def _show_logging(self, call: Call, reply: Reply) -> Reply:
        """LoggingConfig, which moto leaves out: API Reference, FunctionConfiguration."""
        name, _ = _name_and_qualifier(call.params["FunctionName"])
        if "LoggingConfig" in call.params:
            self._logging[name] = call.params["LoggingConfig"]
        elif call.action == "CreateFunction":
            self._logging.pop(name, None)
        configuration = reply.get("Configuration", reply)
        configuration["LoggingConfig"] = self._logging_of(name)
        return reply

    def _logging_of(self, name: str) -> dict[str, str]:
        asked = self._logging.get(name, {})
        levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
        defaults = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
        return {**defaults, **(levels if asked.get("LogFormat") == "JSON" else {}), **asked}

    async def _keep_code(self, call: Call, _: Reply) -> None:
        """Unpack the package that moto was given, under its hash."""
        source = call.params.get("Code", call.params)
        package = source.get("ZipFile")
        if package is None and "S3Key" in source:
            stored = await self.cloud.control.call(
                "s3", "get_object", Bucket=source["S3Bucket"], Key=source["S3Key"]
            )
            package = await asyncio.to_thread(stored["Body"].read)
        if package is not None:
            await asyncio.to_thread(_unpack, package, self._code_folder(_sha256(package)))

    def _code_folder(self, code_sha256: str) -> Path:
        return self.cloud.state / "code" / base64.b64decode(code_sha256).hex()

    async def _container(self, function: Function) -> Container:
        """A free container for the function: a warm one, a new one, or the next to be free."""
        limit = self.cloud.settings["lambda"]["max_containers"]
        while True:
            free = [container for container in self._containers if container.idle]
            for container in free:
                if container.function.key == function.key:
                    container.idle = False
                    return container
            if len(self._containers) >= limit and free:
                await self._end(free[0])
                continue
            if len(self._containers) < limit:
                container = Container(self.cloud, function, self._code_folder)
                self._containers.append(container)
                return container
            self._released.clear()
            await self._released.wait()

    async def _end(self, container: Container) -> None:
        if container in self._containers:
            self._containers.remove(container)
        await container.end()
        self._released.set()

    async def _reap(self) -> None:
        """Let unused containers go after a while, and outdated ones soon."""
        while True:
            await self.cloud.clock.sleep(30)
            limit = self.cloud.settings["lambda"]["container_idle_seconds"]
            for container in list(self._containers):
                unused = self.cloud.clock.now() - container.idle_since
                if container.idle and unused > limit:
                    await self._end(container)


def _name_and_qualifier(function: str) -> tuple[str, str]:
    """Split a name, partial ARN or ARN, with or without a version or alias."""
    parts = function.split(":")
    if "function" in parts:
        parts = parts[parts.index("function") + 1 :]
    return parts[0], parts[1] if len(parts) > 1 else ""


def _refused(status: int, code: str, message: str, **more: str) -> Invocation:
    return Invocation(status, json.dumps({"Message": message, **more}).encode(), code)


def _sha256(package: bytes) -> str:
    return base64.b64encode(hashlib.sha256(package).digest()).decode()


def _unpack(package: bytes, folder: Path) -> None:
    if folder.exists():
        return
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        archive.extractall(partial)
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)
