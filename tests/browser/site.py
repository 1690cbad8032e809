"""A site whose service sleeps, on loopback: the real warmkeeper, with the page as it is packed,
over an in-memory AWS.

The load balancer's part is small: the control path goes to the warmkeeper, anything else to it too
while the wake rule is up, and to the application when it is down. Another module's control rule may
stand before ours, and take what is for our control path.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import warmkeeper as wk
from warmkeeper import Kind

from tests.warmkeeper.recorded import request
from tests.warmkeeper.scenes import adopt_at_zero, play, wait
from tests.warmkeeper.world import CONTROL_GROUP, WAKE_GROUP, World
from tools import package

APPLICATION = "<!doctype html><html lang=en><title>The app</title><h1>The application</h1>"
LOGIN = "<!doctype html><html lang=en><title>Log in</title><h1>The login</h1>"
TEXTS: dict[str, dict[str, str]] = json.loads(package.member("texts.json"))
STAGES = {"pullStoppedAt": 0.7, "startedAt": 0.9}


class Site:
    """`world` behind `url`; `asked` holds "METHOD /path" of every request.

    With `other` the control path leads to that world's warmkeeper. While `ended`, nobody is logged
    in: the control path gives 401, and any other the login's page, if there is one.
    """

    def __init__(self, world: World, url: str, other: World | None = None) -> None:
        self.world = world
        self.url = url
        self.other = other
        self.asked: list[str] = []
        self.ended = False
        self.login_page = LOGIN
        self.lock = threading.Lock()

    def answer(self, method: str, target: str, headers: dict[str, str]) -> dict[str, Any]:
        """An answer in the load balancer's form."""
        split = urlsplit(target)
        self.asked.append(f"{method} {split.path}")
        own = split.path.startswith(f"{self.world.environment['CONTROL_PATH']}/")
        kind = {"Content-Type": ["text/html; charset=utf-8"]}
        if self.ended and own:
            return {"statusCode": 401, "multiValueHeaders": kind, "body": ""}
        if self.ended and self.login_page:
            return {"statusCode": 200, "multiValueHeaders": kind, "body": self.login_page}
        if not own and not self.world.rule_up:
            return {"statusCode": 200, "multiValueHeaders": kind, "body": APPLICATION}
        group = CONTROL_GROUP if own else WAKE_GROUP
        query = {name: [value] for name, value in parse_qsl(split.query)}
        world = (own and self.other) or self.world
        return world.invoke(request(method, split.path, headers=headers, query=query, group=group))


@contextlib.contextmanager
def serving(world: World, other: World | None = None) -> Iterator[Site]:
    """The site of a world, for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            with site.lock:
                answer = site.answer(self.command, self.path, headers)
            body = answer["body"].encode()
            self.send_response(answer["statusCode"])
            for name, values in answer["multiValueHeaders"].items():
                self.send_header(name, values[0])
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(ConnectionError):  # the page was left meanwhile
                self.end_headers()
                self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 (named by http.server)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(world, f"http://127.0.0.1:{server.server_port}", other)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with patch.object(wk, "packaged", package.member):
        yield site
    server.shutdown()
    server.server_close()


# --- every state that the page can be in -------------------------------------------------------


def never_woken() -> World:
    """Asleep for a while, and no wake is remembered."""
    return play(World(desired=0, stages=STAGES, boot=31.0), (adopt_at_zero, wait(600)))


def asleep() -> World:
    """Asleep, after a wake that took 31 s."""
    world = never_woken()
    world.signal(Kind.REQUEST)
    world.time += 31
    world.signal(Kind.TICK)
    world.alarm = "ALARM"
    world.minutes(20)
    assert world.phase() is wk.Phase.ASLEEP, world.phase()
    return world


def woken_for(seconds: float, boot: float = 31.0) -> World:
    """Woken so many seconds ago by somebody else."""
    world = asleep()
    world.boot = boot
    world.signal(Kind.REQUEST)
    world.time += seconds
    return world


def first_wake() -> World:
    world = never_woken()
    world.signal(Kind.REQUEST)
    world.time += 4
    return world


def fail(world: World) -> World:
    """One wake more that fails."""
    world.starts = False
    world.time = max(world.time, world.memory.retry_at)
    world.signal(Kind.REQUEST)
    task = world.running()[0]
    task.stopped, task.reason = world.time + 1, "CannotPullContainerError: 403"
    world.time += 301
    world.signal(Kind.TICK)
    world.time += 5
    return world


def failed() -> World:
    return fail(asleep())


def given_up() -> World:
    world = asleep()
    for _ in range(6):
        fail(world)
    return world


def closed() -> World:
    """Asleep in closed hours, which end in an hour."""
    world = asleep()
    opens = time.gmtime(world.time // 3600 * 3600 + 3600)
    hours = {
        "zone": "UTC",
        "rule": "UTC0",
        "closed": [f"fri 00:00-{time.strftime('%H:%M', opens)}"],
    }
    world.environment["SCHEDULE"] = json.dumps(hours)
    return world


STATES = {
    "asked": first_wake,
    "placed": lambda: woken_for(17),
    "pulled": lambda: woken_for(23),
    "started": lambda: woken_for(29),
    "over": lambda: woken_for(44, boot=70),
    "far-over": lambda: woken_for(95, boot=130),
    "failed": failed,
    "given-up": given_up,
    "closed": closed,
}


def confirming(world: World) -> World:
    """The same world where a request wakes nothing: its page has to."""
    world.environment["WAKE_CONFIRMATION"] = "browser"
    return world


def settle(world: World, page: dict[str, Any]) -> World:
    """The same world with this as the settings' `page`."""
    world.items["settings"] = {"id": {"S": "settings"}, "body": {"S": json.dumps({"page": page})}}
    return world


LOGO = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64' viewBox='0 0 64 64'>"
    "<rect width='64' height='64' rx='14' fill='#0f6b5c'/>"
    "<path d='M18 42V22l14 12 14-12v20' fill='none' stroke='#fff' stroke-width='6'/></svg>"
)
BRAND = {
    "title": "Meridian",
    "colours": {
        "accent": "#0f6b5c",
        "on_accent": "#ffffff",
        "accent_dark": "#6fd3c0",
        "on_accent_dark": "#000000",
    },
    "logo_data_uri": f"data:image/svg+xml;base64,{base64.b64encode(LOGO.encode()).decode()}",
}
