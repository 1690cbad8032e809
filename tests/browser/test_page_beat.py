"""The beat of a page, as docs/guide/heartbeat.md has it, in a browser, at the real warmkeeper."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from warmkeeper import Kind

from tests.browser.chromium import MISSING, chromium
from tests.waits import until
from tests.warmkeeper.recorded import request
from tests.warmkeeper.world import CONTROL_GROUP, World

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "guide" / "heartbeat.md"
BETWEEN_SECONDS = 0.1
SEVERAL_SECONDS = 8 * BETWEEN_SECONDS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(MISSING, reason="no chromedriver: make tools"),
]


def snippet() -> str:
    """The document's lines, which beat every half minute."""
    text: str
    (text,) = re.findall(r"^```js\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.M | re.S)
    assert len(text.splitlines()) <= 10
    assert text.count("30_000") == 1
    return text


class Site(ThreadingHTTPServer):
    """An application whose pages have the snippet in them, and its warmkeeper, for POST.

    On the page /fast beats come sooner.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.world = World()
        self.world.signal(Kind.ADOPT)
        self.answers: list[tuple[int, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        fast = f"{BETWEEN_SECONDS * 1000:.0f}" if self.path == "/fast" else "30_000"
        script = snippet().replace("30_000", fast)
        self.wfile.write(f"<!doctype html><title>Read</title><script>{script}</script>".encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        event = request("POST", self.path, headers=headers, body=body, group=CONTROL_GROUP)
        answer = self.server.world.invoke(event)
        self.server.answers.append((answer["statusCode"], answer["body"]))
        self.send_response(answer["statusCode"])
        self.end_headers()
        self.wfile.write(answer["body"].encode())

    def log_message(self, *_: object) -> None:
        """Nothing: the test looks at `answers`."""


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_visible_tab_beats_and_a_hidden_one_does_not(site: Site) -> None:
    with chromium() as browser:
        reading = browser.current_window_handle
        browser.get(f"{site.url}/fast")
        until(lambda: len(site.answers) > 3, "beats of a visible tab")
        assert {status for status, _ in site.answers} == {200}
        assert {json.loads(body)["counted"] for _, body in site.answers} == {True}
        assert site.world.memory.beat == site.world.time

        browser.switch_to.new_window("tab")
        elsewhere = browser.current_window_handle
        time.sleep(BETWEEN_SECONDS)
        beats = len(site.answers)
        time.sleep(SEVERAL_SECONDS)
        assert len(site.answers) == beats

        browser.switch_to.window(reading)
        browser.get(site.url)
        beats = len(site.answers)
        browser.switch_to.window(elsewhere)
        time.sleep(BETWEEN_SECONDS)
        browser.switch_to.window(reading)
        until(lambda: len(site.answers) > beats, "a beat at once, when it is looked at again")
