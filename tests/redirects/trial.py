"""Real HTTP clients, a server that redirects them as the warmkeeper does, and proxies in between.

The server answers the first requests of a case with a 307, whose Location is the warmkeeper's own
(`Request.location`), and the next with 200. A client passes a case if the server saw the same
method, target and body each time: then it asked for the same URL, whatever a proxy makes of it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import warmkeeper as wk

from tests.caddy import answers, free_port
from tests.waits import until

PREFIX = "/stage"
QUIET = "/quiet.html"  # answered at once and not counted: the page from which scripts ask
FORMS: dict[str, dict[str, str]] = {
    "path-absolute": {},
    "relative": {"x-forwarded-prefix": PREFIX},
}


@dataclass(frozen=True)
class Case:
    """A request by path and query; a body is one word."""

    target: str
    method: str = "GET"
    body: str | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


# What every proxy hands on as it came. The first tell the most, and are a part of `make test`.
FIRST = (
    Case("/a/b?x=1&x=2&y=%26"),
    Case("/a/?q=1"),
    Case("/"),
    Case("/a/b:c"),
    Case("/a/b?x=1", "HEAD"),
    Case("/a/b?x=1", "POST", "words"),
)
PLAIN = (
    *FIRST,
    Case("/a/b"),
    Case("/a/"),
    Case("/?q=1"),
    Case("/b:c"),
    Case("/a;b=1/c;d=2"),
    Case("/a/.hidden"),
    Case("/a/caf%C3%A9"),
    Case("/a/b?next=//evil.example/&up=/../x:y"),
    Case("/a/", "POST", "words"),
)
ODD = (
    Case("/a/x%2Fy"),
    Case("/a/x%2F..%2Fy"),
    Case("/a/%2e%2e/b"),
    Case("/a/../b"),
    Case("/a/.."),
    Case("/a/%5Cevil.example"),
    Case("/caf%E9"),
    Case("/a/b?c?d"),
    Case("/a//b"),
    Case("//evil.example/a"),
    Case("/a/b//"),
)


@dataclass(frozen=True)
class Seen:
    """What one request looked like to the server."""

    method: str
    target: str
    body: bytes


class Origin(ThreadingHTTPServer):
    """The load balancer and the warmkeeper; `form` is one of FORMS, `redirects` so many 307."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.form = "path-absolute"
        self.redirects = 0
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle of something are no news."""


class Handler(BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # not self.path, in which Python has reduced slashes at the beginning to one
        target = self.requestline.split(" ")[1]
        path, _, query = target.partition("?")
        if path.endswith((QUIET, "/favicon.ico")):
            self.send(200, {}, "quiet")
            return
        seen = self.server.seen
        seen.append(Seen(self.command, target, body))
        if len(seen) > self.server.redirects:
            self.send(200, {})
            return
        request = wk.Request(self.command, path, query, FORMS[self.server.form])
        self.send(307, {"Location": request.location})

    def send(self, status: int, headers: Mapping[str, str], text: str = "answered") -> None:
        body = b"" if self.command == "HEAD" else f"<!doctype html><title>x</title>{text}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = answer  # noqa: N815 (the names it looks for)

    def log_message(self, *_: object) -> None:
        pass


class Client:
    """A program that follows redirects, or is told to. Subclasses say how it asks."""

    redirects = 2  # some take the second one to the same URL for a loop
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")

    def ask(self, url: str, case: Case) -> str:
        """The status that the program ends with, or what it says instead."""
        raise NotImplementedError

    def close(self) -> None:
        """End what was started."""


@contextlib.contextmanager
def origin() -> Iterator[Origin]:
    server = Origin()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{strips};
    location {prefix}/ {{ proxy_pass {origin}/; }}
  }}
  server {{
    listen 127.0.0.1:{adds};
    location / {{ proxy_pass {origin}{prefix}/; }}
  }}
}}
"""
CADDY = """
{{
  admin off
}}
http://127.0.0.1:{strips} {{
  handle_path {prefix}/* {{
    reverse_proxy {origin}
  }}
}}
http://127.0.0.1:{adds} {{
  rewrite * {prefix}{{uri}}
  reverse_proxy {origin}
}}
"""
PROXIES = {
    "nginx": (NGINX, ["nginx", "-c", "{file}", "-p", "{folder}"]),
    "caddy": (CADDY, ["caddy", "run", "--adapter", "caddyfile", "--config", "{file}"]),
}


@contextlib.contextmanager
def proxy(program: str, server: Origin, folder: Path) -> Iterator[dict[str, str]]:
    """The URLs under which this proxy strips a prefix and adds one, by what it does."""
    text, command = PROXIES[program]
    ports = {"strips": free_port(), "adds": free_port()}
    file = folder / f"{program}.conf"
    file.write_text(text.format(folder=folder, origin=server.url, prefix=PREFIX, **ports))
    started = [part.format(file=file, folder=folder) for part in command]
    with (folder / f"{program}.out").open("wb") as log:
        process = subprocess.Popen(started, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: all(map(answers, ports.values())), f"{program} listens", 30)
        yield {
            f"{program} strips a prefix": f"http://127.0.0.1:{ports['strips']}{PREFIX}",
            f"{program} adds a prefix": f"http://127.0.0.1:{ports['adds']}",
        }
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def proxies(server: Origin, folder: Path) -> Iterator[dict[str, str]]:
    """The same for all proxies that are installed."""
    with contextlib.ExitStack() as stack:
        found: dict[str, str] = {}
        for program in filter(shutil.which, PROXIES):
            found |= stack.enter_context(proxy(program, server, folder))
        yield found


def outcome(client: Client, server: Origin, url: str, case: Case, form: str) -> str:
    """ "" if the client came back to the same URL with method and body, else what it did."""
    server.form = form
    server.redirects = client.redirects
    server.seen = []
    status = client.ask(url + case.target, case)
    seen = server.seen
    if not seen:
        return f"never asked: {status}"
    followed = f"{len(seen) - 1} followed"
    for other in seen[1:]:
        if other != seen[0]:
            return f"asked for {other.method} {other.target} ({len(other.body)} B)"
    if len(seen) != client.redirects + 1 or status != "200":
        return f"{followed}, ended with {status}"
    if case.body and not seen[0].body:
        return "sent no body"
    return ""
