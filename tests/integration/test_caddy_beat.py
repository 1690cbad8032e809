"""The beat script against a real Caddy with the example's Caddyfile.

The load balancer behind it is a small server of this file, that plays the application, the control
path and the heartbeat, and keeps what it was sent.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.caddy import Caddy, Script, until

INTERVAL_SECONDS = 0.2
SEVERAL_INTERVALS = 5 * INTERVAL_SECONDS
TOKEN = "a-token"

pytestmark = [
    pytest.mark.caddy,
    pytest.mark.timeout(60),
    pytest.mark.skipif(shutil.which("caddy") is None, reason="no caddy on PATH: make tools"),
]


class LoadBalancer(ThreadingHTTPServer):
    """Application, control path and heartbeat on one port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str]] = []
        self.beats: list[dict[str, int]] = []
        self.heartbeat_status = 200
        self.close_websockets = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: LoadBalancer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path))
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.end_headers()
            self.server.close_websockets.wait(30)
            self.close_connection = True
            return
        self._answer(200, {"from": "the application"})

    def do_POST(self) -> None:
        self.server.seen.append(("POST", self.path))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.heartbeat_status
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 401
        if status == 200:
            self.server.beats.append(body)
        self._answer(status, {"phase": "awake", "counted": True})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name it has there)
        pass


@pytest.fixture
def load_balancer() -> Iterator[LoadBalancer]:
    server = LoadBalancer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.close_websockets.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def caddy(load_balancer: LoadBalancer, tmp_path: Path) -> Caddy:
    return Caddy(f"http://{load_balancer.address}", tmp_path)


@pytest.fixture
def started(load_balancer: LoadBalancer, caddy: Caddy) -> Iterator[Callable[..., Script]]:
    """Starts beat scripts for this Caddy and load balancer, and ends those still running."""
    scripts: list[Script] = []

    def start(*more: str, token: str = TOKEN) -> Script:
        url = f"http://{load_balancer.address}/health"
        interval = str(INTERVAL_SECONDS)
        script = Script(
            "--url", url, "--caddy", caddy.admin, "--interval", interval, *more, token=token
        )
        scripts.append(script)
        return script

    yield start
    for script in scripts:
        if script.process.poll() is None:
            script.stop()


def test_caddy_s_own_health_checks_ask_the_control_path_and_are_no_activity(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        until(lambda: ("GET", "/.warmkeeper/status") in load_balancer.seen, "a health check")
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        time.sleep(SEVERAL_INTERVALS)
    assert set(load_balancer.seen) == {("GET", "/.warmkeeper/status")}


def test_requests_make_one_beat_and_then_there_is_silence(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        for path in ("/", "/a?b=c", "/d"):
            assert caddy.get(path) == 200
        until(lambda: sum(b["requests"] for b in load_balancer.beats) == 3, "all three are told")
        until(lambda: script.last_said("No activity"), "silence")
        told = len(load_balancer.beats)
        time.sleep(SEVERAL_INTERVALS)
        assert len(load_balancer.beats) == told
        assert script.has_said("the service is awake, the beat counts")


def test_requests_of_before_the_script_s_start_are_not_told(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        caddy.get("/")
        script = started()
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        time.sleep(SEVERAL_INTERVALS)
    assert load_balancer.beats == []


def test_an_open_websocket_keeps_beating_until_it_closes(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        with caddy.open_websocket():
            still_open = {"in_flight": 1, "requests": 0}
            until(lambda: load_balancer.beats[-3:] == [still_open] * 3, "beats of an open one")
        load_balancer.close_websockets.set()
        until(lambda: script.last_said("No activity"), "silence after it")


def test_what_could_not_be_told_is_told_when_the_load_balancer_is_back(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        load_balancer.heartbeat_status = 503
        caddy.get("/")
        until(lambda: script.has_said("answers 503"), "the failure is said")
        time.sleep(SEVERAL_INTERVALS)
        assert load_balancer.beats == []
        load_balancer.heartbeat_status = 200
        until(lambda: load_balancer.beats == [{"in_flight": 0, "requests": 1}], "told late")


def test_a_restart_of_caddy_is_lived_through(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    script = started()
    until(lambda: script.has_said("cannot be reached"), "no Caddy yet")
    with caddy.running():
        until(lambda: script.last_said("No activity"), "a look at Caddy")
        caddy.get("/")
        caddy.get("/")
        until(lambda: sum(b["requests"] for b in load_balancer.beats) == 2, "both are told")
    until(lambda: script.last_said("cannot be reached"), "Caddy is gone")
    with caddy.running():
        caddy.get("/")
        until(lambda: sum(b["requests"] for b in load_balancer.beats) == 3, "the third is told")
    assert script.stop() == 0


def test_a_wrong_token_is_said_plainly_and_not_repeated(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started(token="another-token")
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        caddy.get("/")
        until(lambda: script.has_said("answers 401"), "the refusal is said")
        time.sleep(SEVERAL_INTERVALS)
        assert script.stop() == 0
    assert sum("answers 401" in line for line in script.lines) == 1
    assert not script.has_said("another-token")
    assert load_balancer.beats == []


def test_wrong_settings_end_it_at_once_with_status_2() -> None:
    script = Script("--url", "load-balancer/health")
    assert script.process.wait(10) == 2
    until(
        lambda: script.has_said("--url: 'load-balancer/health' is no URL"), "the setting is named"
    )
