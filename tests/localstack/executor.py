"""LocalStack's plugin that runs functions without Docker, on AWS's own runtime client.

Runs inside LocalStack (LAMBDA_RUNTIME_EXECUTOR=process), which finds it by plugin/. An execution
environment is a process, `python -m awslambdaric`, and the Runtime API that it polls. LocalStack
decides when environments begin and end, passes the events, and stores the log.

FUNCTION_ENDPOINT in LocalStack's environment is the AWS_ENDPOINT_URL of functions.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from tests.localstack.children import child

LOOK_SECONDS = 0.05


class RuntimeApi(ThreadingHTTPServer):
    """The Runtime API of one environment, on a free port of 127.0.0.1.

    `events` holds what the process is to get: headers and body. `answers` holds what it posted:
    whether it is an error, and the body.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RuntimeApiHandler)
        self.events: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.answers: queue.Queue[tuple[bool, bytes]] = queue.Queue()
        self.asked = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Close the port."""
        self.shutdown()
        self.server_close()


class RuntimeApiHandler(BaseHTTPRequestHandler):
    """One connection of the process to its Runtime API."""

    protocol_version = "HTTP/1.1"
    server: RuntimeApi

    def do_GET(self) -> None:
        """`/invocation/next`: wait for an event."""
        self.server.asked.set()
        headers, body = self.server.events.get()
        self._reply(200, headers, body)

    def do_POST(self) -> None:
        """`/invocation/ID/response`, `/invocation/ID/error` or `/init/error`."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.put((self.path.endswith("/error"), body))
        self._reply(202, {}, b"")

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: LocalStack's log names each invocation."""


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc]
    """One execution environment, as a process."""

    def __init__(self, id: str, function_version: Any) -> None:  # noqa: A002 (its name)
        super().__init__(id=id, function_version=function_version)
        self._api = RuntimeApi()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the process, and wait until it asks for an event.

        Raises LocalStack's StatusErrorException with the function's error if it does not get there.
        """
        code = self.function_version.config.code
        code.prepare_for_execution()
        folder = code.get_unzipped_code_location()
        environment = {
            "PATH": os.environ["PATH"],
            **{name: str(value) for name, value in env_vars.items()},
            "AWS_ENDPOINT_URL": os.environ["FUNCTION_ENDPOINT"],
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_address[1]}",
            "LAMBDA_TASK_ROOT": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = child(
            [sys.executable, "-m", "awslambdaric", environment["_HANDLER"]],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        while not self._api.asked.wait(LOOK_SECONDS):
            if self._process.poll() is not None:
                raise self._ended("ended in its init phase")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._api.close()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Run one event. Raises StatusErrorException if the process ends or takes too long."""
        timeout = self.function_version.config.timeout
        until = time.time() + timeout
        headers = {
            "Lambda-Runtime-Aws-Request-Id": payload["invoke-id"],
            "Lambda-Runtime-Deadline-Ms": str(int(until * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": payload["invoked-function-arn"],
            "Lambda-Runtime-Trace-Id": payload["trace-id"],
            "Content-Type": "application/json",
        }
        self._api.events.put((headers, payload["payload"].encode()))
        is_error, answer = self._answer(until, f"timed out after {timeout} seconds")
        return InvocationResult(
            request_id=payload["invoke-id"], payload=answer, is_error=is_error, logs=self._logs()
        )

    def _answer(self, until: float, too_late: str) -> tuple[bool, bytes]:
        assert self._process is not None
        while True:
            over = self._process.poll() is not None
            try:
                return self._api.answers.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if over or time.time() > until:
                    raise self._ended("ended" if over else too_late) from None

    def _ended(self, how: str) -> StatusErrorException:
        """What LocalStack answers from: the function's own error, or that and how it ended."""
        try:
            _, told = self._api.answers.get_nowait()
        except queue.Empty:
            text = f"the function's process {how}: {self._logs()}"
            told = json.dumps({"errorType": "Sandbox.Failure", "errorMessage": text}).encode()
        return StatusErrorException(f"the function's process {how}", payload=told)

    def _logs(self) -> str:
        """What the process has written since the last call."""
        written = os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, self._read)
        self._read += len(written)
        return written.decode(errors="replace")

    def get_logs(self) -> str:
        """For LocalStack's own messages."""
        return self._logs()

    def get_address(self) -> str:
        """Where LocalStack finds the environment."""
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        """Where the environment finds LocalStack."""
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        """None that a function knows: the Runtime API is this program's own."""
        return ""

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unpack the code."""
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Nothing: LocalStack removes the code."""


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]
    """What plugin/ names."""

    name = "process"

    def load(self, *_: Any, **__: Any) -> type[ProcessExecutor]:
        """The executor's class, as LocalStack asks for it."""
        return ProcessExecutor
