"""The local cloud from outside, for tests and the demonstration: start it, steer it, ask it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 300
STOP_SECONDS = 20
SETTLE_SECONDS = 60
POLL_SECONDS = 0.1  # a look costs this machine more than a wait
PROGRAM = [sys.executable, "-m", "localcloud"]


class LocalCloud:
    """A running local cloud at `endpoint`. Calls raise urllib's HTTPError when it refuses."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def environment(self) -> dict[str, str]:
        """The variables that point Terraform, boto3 and localstack-client at this cloud.

        Calls made with them are recorded with the caller "local".
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def now(self) -> float:
        """Virtual time, epoch seconds."""
        return float(self._ask("GET", "clock")["now"])

    def set_speed(self, speed: float) -> None:
        """Virtual seconds per real second from now on, above 0."""
        self._ask("PUT", "clock", {"speed": speed})

    @contextmanager
    def at_speed(self, speed: float) -> Iterator[None]:
        """At this speed inside, and at 1 afterwards."""
        self.set_speed(speed)
        try:
            yield
        finally:
            self.set_speed(1)

    def calls(
        self,
        since: int = 0,
        service: str | None = None,
        action: str | None = None,
        caller: str | None = None,
    ) -> list[dict[str, Any]]:
        """The recorded API calls after number `since`.

        Each has n, time, caller, service, action, resource, params, status, error, and the real
        seconds that its answer took; of one under way, the last three are None.
        """
        wanted = {"service": service, "action": action, "caller": caller}
        return [
            call
            for call in self._ask("GET", f"calls?since={since}")
            if all(value in (None, call[key]) for key, value in wanted.items())
        ]

    def mailbox(self) -> list[dict[str, Any]]:
        """Every SNS message published: time, topic, subject, message, attributes, subscribers.

        `message` is what an e-mail says; `messages` has it by protocol, and else by "default".
        """
        messages: list[dict[str, Any]] = self._ask("GET", "mailbox")
        return messages

    def runs(self) -> list[dict[str, Any]]:
        """Every invocation of a function that is over, as containers.Run has it."""
        runs: list[dict[str, Any]] = self._ask("GET", "runs")
        return runs

    def settings(self, **themes: dict[str, Any]) -> dict[str, Any]:
        """Change settings, `settings(ecs={"pull_seconds": 3})`; returns all of them."""
        settings: dict[str, Any] = self._ask("PUT", "settings", themes)
        return settings

    @contextmanager
    def having(self, theme: str, **settings: Any) -> Iterator[dict[str, Any]]:
        """With these settings of a theme, `having("ecs", pull_seconds=3)`, and then as before.

        Gives those of the theme as they were.
        """
        before: dict[str, Any] = self.settings()[theme]
        self.settings(**{theme: settings})
        try:
            yield before
        finally:
            self.settings(**{theme: {name: before[name] for name in settings}})

    def fault(self, kind: str, service: str, action: str, **more: Any) -> int:
        """Make calls go wrong from now on; returns the fault's id.

        kind: "fail" (500), "throttle", "hang" (no answer for `seconds`, then cut), "lost_answer"
        (done, but the connection is cut) or "delay" (`seconds` virtual). More: caller, resource (a
        part of its name), count (how many calls; else all), code, message, status, seconds.
        """
        rule = {"kind": kind, "service": service, "action": action, **more}
        return int(self._ask("POST", "faults", rule)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The faults in force, each as it was given, with its id and its hits so far."""
        faults: list[dict[str, Any]] = self._ask("GET", "faults")
        return faults

    def clear_fault(self, identity: int) -> None:
        """Take one fault back; HTTPError 404 where there is none of that id."""
        self._ask("DELETE", f"faults/{identity}")

    def clear_faults(self) -> None:
        """From now on nothing fails any more."""
        self._ask("DELETE", "faults")

    def tasks(self) -> list[dict[str, Any]]:
        """The ECS tasks with their processes."""
        tasks: list[dict[str, Any]] = self._ask("GET", "tasks")
        return tasks

    def stop_task(self, task_arn: str) -> None:
        """Let a task's process die, as an application that crashes."""
        self._ask("POST", "tasks/stop", {"task": task_arn})

    def load_balancer(self, name: str) -> str:
        """The URL at which the load balancer listens; KeyError when there is none."""
        return f"http://{self._ask('GET', '')['load_balancers'][name]}"

    def settle(self) -> None:
        """Wait until every node of the load balancers goes by every change so far.

        TimeoutError after SETTLE_SECONDS.
        """
        end = time.monotonic() + SETTLE_SECONDS
        while not self._ask("GET", "settled")["settled"]:
            if time.monotonic() > end:
                raise TimeoutError(f"a node does not go by a change after {SETTLE_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def advance(self, seconds: float, speed: float = 120) -> None:
        """Let so many virtual seconds go by at `speed`, then run at 1: no later, on any machine.

        Nothing happens where no time is left.
        """
        if seconds <= 0:
            return
        began = self._ask("PUT", "clock", {"speed": speed, "seconds": seconds})["now"]
        until = began + seconds
        while (left := until - self.now()) > 0:
            time.sleep(max(0.02, left / speed))

    def advance_until(
        self, predicate: Callable[[], Any], minutes: float = 30, speed: float = 120
    ) -> float:
        """Run at `speed` until `predicate()` is true, then at 1 again.

        It runs ahead of the last look at `predicate()` by twice POLL_SECONDS at that speed, and at
        1 after that: however busy the machine is, and while `predicate()` itself waits. Returns the
        virtual seconds it took; TimeoutError after `minutes` of virtual time.
        """
        began = now = self.now()
        ahead = {"speed": speed, "seconds": 2 * POLL_SECONDS * speed}
        try:
            while not predicate():
                if now - began > minutes * 60:
                    raise TimeoutError(f"not within {minutes} virtual minutes")
                now = self._ask("PUT", "clock", ahead)["now"]
                time.sleep(POLL_SECONDS)
        finally:
            self.set_speed(1)
        return self.now() - began

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.endpoint}/_localcloud/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with _DIRECT.open(request, timeout=300) as answer:
            return json.load(answer)


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def running(port: int = 0, speed: float = 1.0) -> Iterator[LocalCloud]:
    """A local cloud of one's own, ended afterwards, also when this process dies.

    RuntimeError with its output when it does not start.
    """
    options = ["--until-stdin-ends", "--port", str(port), "--speed", str(speed)]
    with tempfile.TemporaryFile() as output:
        process, endpoint = start([*PROGRAM, *options], output)
        try:
            yield LocalCloud(endpoint)
        finally:
            stop(process)


def start(command: Sequence[str], output: IO[bytes]) -> tuple[subprocess.Popen[bytes], str]:
    """Start a local cloud that writes to `output`; returns its process and its endpoint.

    The endpoint comes through a pipe of its own (`--ready-fd`). It is not read from `output`: the
    two processes share that file's offset, so reading would move the place at which the child
    writes. RuntimeError with the output when the process ends, or START_SECONDS pass,
    without an endpoint.
    """
    ready, told = os.pipe()
    try:
        process = subprocess.Popen(
            [*command, "--ready-fd", str(told)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(told,),
        )
    except OSError:
        os.close(ready)
        raise
    finally:
        os.close(told)
    with os.fdopen(ready, "rb", buffering=0) as pipe:
        endpoint = _first_line(pipe, time.monotonic() + START_SECONDS)
    if endpoint is None:
        stop(process)
        output.seek(0)  # nobody writes there any more
        text = output.read().decode(errors="replace")
        raise RuntimeError(f"the local cloud did not start:\n{text}")
    return process, endpoint


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that `start` returned; SIGKILL after STOP_SECONDS."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _first_line(pipe: RawIOBase, until: float) -> str | None:
    """The first line of the pipe without its end; None if it ends or `until` passes before that."""
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
        if not readable:
            return None
        part = pipe.read(1)
        if not part:
            return None
        line += part
    return line.decode().rstrip()
