"""Lambda's execution environments: one process each, driven over the Runtime API.

Imitates "Understanding the Lambda execution environment lifecycle" and "Using the Lambda runtime
API for custom runtimes" of the AWS Lambda Developer Guide. The process runs AWS's own runtime
client (`bootstrap.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from localcloud.control import ACCOUNT, REGION
from localcloud.forks import Forked
from localcloud.launch import LAUNCH
from localcloud.logs import Log

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
INIT_SECONDS = 10  # "The Init phase is limited to 10 seconds"
SYNC_LIMIT = 6 * 1024 * 1024
RUNTIME_API = "/2018-06-01/runtime"


@dataclass(frozen=True)
class Function:
    """What moto knows of a function: configuration, policy, concurrency, asynchronous settings."""

    config: dict[str, Any]
    policy: list[dict[str, Any]]
    reserved: int | None
    retries: int
    event_age: float
    on_success: str
    on_failure: str

    @property
    def name(self) -> str:
        return str(self.config["FunctionName"])

    @property
    def arn(self) -> str:
        """The function's ARN without a version."""
        return ":".join(self.config["FunctionArn"].split(":")[:7])

    @property
    def version(self) -> str:
        return str(self.config.get("Version", "$LATEST"))

    @property
    def timeout(self) -> float:
        return float(self.config.get("Timeout", 3))

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.config.get("Environment", {}).get("Variables", {}))

    @property
    def logging(self) -> dict[str, str]:
        """LogFormat, LogGroup, and for JSON the two levels."""
        return dict(self.config["LoggingConfig"])

    @property
    def key(self) -> str:
        """Equal for two configurations that the same container can serve."""
        changing = {"LastModified", "LastUpdateStatus", "State", "RevisionId"}
        kept = {name: value for name, value in self.config.items() if name not in changing}
        return json.dumps(kept, sort_keys=True, default=str)

    def permits(self, principal: str, source_arn: str) -> bool:
        """Whether the resource policy lets `principal` invoke for `source_arn`."""
        return any(_allows(statement, principal, source_arn) for statement in self.policy)


@dataclass
class Job:
    """One event on its way through a container."""

    payload: bytes
    deadline: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    done: asyncio.Future[tuple[bytes, str | None]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(frozen=True)
class Run:
    """One invocation as the machine saw it: virtual moments, real seconds, of the process alone.

    The init's are None where the environment was warm; CPU time is 0 where there is no /proc.
    """

    function: str
    request_id: str
    began: float
    ended: float
    cpu_seconds: float
    init_seconds: float | None
    init_cpu_seconds: float | None


class Container:
    """One execution environment: a process, its Runtime API, its log stream.

    Between two invocations the process is frozen (SIGSTOP), as Lambda freezes it.
    """

    def __init__(
        self, cloud: Cloud, function: Function, code_folder: Callable[[str], Path]
    ) -> None:
        self.cloud = cloud
        self.function = function
        self.idle = False
        self.broken = False
        self.run: Run | None = None
        self.idle_since = cloud.clock.now()
        self._folder: Path = code_folder(function.config["CodeSha256"])
        self._process: asyncio.subprocess.Process | Forked | None = None
        self._runner: web.AppRunner | None = None
        self._polling: asyncio.Future[Job] | None = None
        self._ready = asyncio.Event()
        self._job: Job | None = None
        self._init_error: bytes | None = None
        self._log = Log(cloud, function)

    async def serve(self, job: Job) -> tuple[bytes, str | None]:
        """Run one event; gives the payload and "Unhandled" for a failure.

        Afterwards the container is idle, or `broken` and to be ended.
        """
        began = time.monotonic()
        init_seconds: float | None = None
        init_cpu_seconds: float | None = None
        self._job = job
        process = self._process
        if process is None:
            process = await self._start()
            await self._first_of(self._ready.wait(), max(INIT_SECONDS, self.function.timeout))
            init_seconds = time.monotonic() - began
            init_cpu_seconds = self._cpu_seconds()
            job.deadline = self.cloud.clock.now() + self.function.timeout
        self._log.started(job.id)
        spent, began_at = self._cpu_seconds(), self.cloud.clock.now()
        began = time.monotonic()
        result: tuple[bytes, str | None]
        if self._init_error is not None:
            self.broken = True
            result = (self._init_error, "Unhandled")
        elif self._polling is None:
            result = self._ended(job, timed_out=process.returncode is None)
        else:
            self._wake(job)
            await self._first_of(asyncio.shield(job.done), self.function.timeout)
            if job.done.done():
                result = job.done.result()
                await self._first_of(self._ready.wait(), 1)
                self.broken = not self._ready.is_set()
            else:
                result = self._ended(job, timed_out=process.returncode is None)
        self._log.finished(job.id, time.monotonic() - began, init_seconds, self._memory())
        self.run = Run(
            function=self.function.name,
            request_id=job.id,
            began=began_at,
            ended=self.cloud.clock.now(),
            cpu_seconds=max(0.0, self._cpu_seconds() - spent),
            init_seconds=init_seconds,
            init_cpu_seconds=init_cpu_seconds,
        )
        self._job = None
        if not self.broken:
            self._freeze()
            self.idle = True
        return result

    def publish(self) -> str:
        """Send what was logged on its way to CloudWatch; gives the text of the last run."""
        return self._log.publish()

    async def end(self) -> None:
        """Kill the process and close the Runtime API."""
        self.idle = False
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._runner is not None:
            await self._runner.cleanup()
        self._log.close()

    async def _first_of(self, event: Any, seconds: float) -> None:
        """Wait for `event`, the end of the process, or `seconds`, whichever is first."""
        assert self._process is not None
        waits = [asyncio.ensure_future(event), asyncio.ensure_future(self._process.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _ended(self, job: Job, *, timed_out: bool) -> tuple[bytes, str]:
        """The error for a function that ran out of time or ended its process."""
        self.broken = True
        if timed_out:
            kind = "Sandbox.Timedout"
            what = f"Task timed out after {self.function.timeout:.2f} seconds"
        else:
            assert self._process is not None
            code = self._process.returncode or 0
            how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            kind = "Runtime.ExitError"
            what = f"Runtime exited with error: {how}"
        text = f"RequestId: {job.id} Error: {what}"
        self._log.line(text)
        return json.dumps({"errorType": kind, "errorMessage": text}).encode(), "Unhandled"

    def _memory(self) -> int:
        """The most memory that the process has held, MB; 0 when it has ended."""
        assert self._process is not None
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0
        peak = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(peak[0].split()[1]) // 1024 if peak else 0

    def _cpu_seconds(self) -> float:
        """What the process's threads have used (proc(5), schedstat); 0 when it has ended."""
        assert self._process is not None
        try:
            threads = list(Path(f"/proc/{self._process.pid}/task").iterdir())
            spent = [int((thread / "schedstat").read_text().split()[0]) for thread in threads]
        except OSError:
            return 0.0
        return sum(spent) / 1e9

    async def _start(self) -> asyncio.subprocess.Process | Forked:
        app = web.Application(client_max_size=2 * SYNC_LIMIT)
        app.add_routes(
            [
                web.get(f"{RUNTIME_API}/invocation/next", self._next),
                web.post(f"{RUNTIME_API}/invocation/{{id}}/response", self._response),
                web.post(f"{RUNTIME_API}/invocation/{{id}}/error", self._error),
                web.post(f"{RUNTIME_API}/init/error", self._failed_init),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        out, frames = self._log.open()
        try:
            environment = self._environment(f"127.0.0.1:{port}", frames)
            if self.cloud.settings["lambda"]["forked"]:
                forks = self.cloud.functions.forks
                self._process = await forks.start(self._folder, environment, out, frames)
            else:
                self._process = await asyncio.create_subprocess_exec(
                    *LAUNCH, sys.executable, str(BOOTSTRAP),
                    cwd=self._folder,
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    pass_fds=(frames,),
                )  # fmt: skip
        finally:
            os.close(out)
            os.close(frames)
        return self._process

    def _environment(self, runtime_api: str, frames: int) -> dict[str, str]:
        """Developer Guide, "Defined runtime environment variables", and what boto3 needs here."""
        function, logging = self.function, self.function.logging
        token = f"function.{function.name}"
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": str(self.cloud.state),
            **function.environment,
            "_HANDLER": str(function.config.get("Handler", "")),
            "_LAMBDA_TELEMETRY_LOG_FD": str(frames),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.config.get('Runtime', '')}",
            "AWS_ACCESS_KEY_ID": token,
            "AWS_SECRET_ACCESS_KEY": token,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.config.get("MemorySize", 128)),
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": logging["LogGroup"],
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log.stream,
            "AWS_LAMBDA_LOG_FORMAT": logging["LogFormat"],
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            "LAMBDA_TASK_ROOT": str(self._folder),
            "LOCALCLOUD_CLOCK": str(self.cloud.clock.path),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if logging["LogFormat"] == "JSON":
            environment["AWS_LAMBDA_LOG_LEVEL"] = logging["ApplicationLogLevel"]
        return environment

    def _wake(self, job: Job) -> None:
        assert self._process is not None
        assert self._polling is not None
        self._ready.clear()
        self._polling.set_result(job)
        self._polling = None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)

    async def _next(self, _: web.Request) -> web.Response:
        self._log.drain()
        self._polling = asyncio.get_running_loop().create_future()
        polling = self._polling
        self._ready.set()
        job = await polling
        headers = {
            "Lambda-Runtime-Aws-Request-Id": job.id,
            "Lambda-Runtime-Deadline-Ms": str(int(job.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.function.config["FunctionArn"],
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(self.cloud.clock.now()):x}-{job.id[:24]}",
        }
        return web.Response(body=job.payload, headers=headers, content_type="application/json")

    def _freeze(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP)

    async def _response(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > SYNC_LIMIT:
            text = "Response payload size exceeded maximum allowed payload size"
            error = {
                "errorType": "Function.ResponseSizeTooLarge",
                "errorMessage": f"{text} ({SYNC_LIMIT} bytes).",
            }
            self._settle(request, json.dumps(error).encode(), "Unhandled")
            return web.Response(status=413)
        self._settle(request, body, None)
        return web.Response(status=202)

    async def _error(self, request: web.Request) -> web.Response:
        self._settle(request, await request.read(), "Unhandled")
        return web.Response(status=202)

    def _settle(self, request: web.Request, body: bytes, error: str | None) -> None:
        self._log.drain()
        job = self._job
        if job is not None and job.id == request.match_info["id"] and not job.done.done():
            job.done.set_result((body, error))

    async def _failed_init(self, request: web.Request) -> web.Response:
        self._init_error = await request.read()
        self._ready.set()
        return web.Response(status=202)


def _allows(statement: dict[str, Any], principal: str, source_arn: str) -> bool:
    """Whether one statement of a function's policy allows this invocation."""
    who = statement.get("Principal")
    services = who.get("Service", []) if isinstance(who, dict) else who
    actions = statement.get("Action", [])
    conditions = statement.get("Condition", {})
    patterns = {
        key.lower(): pattern
        for operator in conditions.values()
        for key, pattern in operator.items()
    }
    return (
        statement.get("Effect") == "Allow"
        and (services == "*" or principal in _listed(services))
        and any(fnmatch.fnmatchcase("lambda:InvokeFunction", action) for action in _listed(actions))
        and any(
            fnmatch.fnmatchcase(source_arn, pattern)
            for pattern in _listed(patterns.get("aws:sourcearn", "*"))
        )
        and patterns.get("aws:sourceaccount", ACCOUNT) == ACCOUNT
        and not set(patterns) - {"aws:sourcearn", "aws:sourceaccount"}
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
