"""A small web application for the staging estate: a page, a JSON endpoint, a slow one, a WebSocket.

Standard library only, one thread a request. It listens on PORT (8080 if unset), on every address of
the task unless HOST names one. On SIGTERM it takes
no more connections, lets the requests under way end, and goes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import signal
import struct
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BOOTED = time.time()
LONGEST_SECONDS = 900.0
LAST_WORD_SECONDS = 25.0  # ECS kills a task 30 s after SIGTERM
LONGEST_MESSAGE_BYTES = 65_535
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA  # https://www.rfc-editor.org/rfc/rfc6455#section-5.2
WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Staging</title>
<style>
  body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto }
  code { background: #8882; padding: .1em .3em; border-radius: .2em }
</style>
<h1>The service is awake</h1>
<p>This page comes from the application itself. It is <b id="time">asking</b>.</p>
<p>Leave it alone for some minutes, and it goes to sleep; ask again, and it wakes.
Try <a href="/api/time"><code>/api/time</code></a> or
<a href="/slow?seconds=10"><code>/slow?seconds=10</code></a>.</p>
<script>
  fetch("/api/time").then((answer) => answer.json()).then((body) => {
    document.getElementById("time").textContent =
      new Date(body.time).toLocaleTimeString() + ", up for " + Math.round(body.up_seconds) + " s";
  });
</script>
</html>
"""


class UnderWay:
    """Counts the requests under way, and lets somebody wait until there are none."""

    def __init__(self) -> None:
        self._number = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._number += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._number -= 1
            self._changed.notify_all()

    def wait_for_none(self, seconds: float) -> bool:
        """Whether the last request ended within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._number == 0, seconds)


UNDER_WAY = UnderWay()


class Handler(BaseHTTPRequestHandler):
    """The endpoints, over kept-alive HTTP/1.1 as a load balancer speaks it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answers one request; 404 to a path that is none of ours."""
        url = urlsplit(self.path)
        if url.path == "/live":
            self._live()
            return
        with UNDER_WAY:
            if url.path == "/":
                self._send(200, "text/html; charset=utf-8", PAGE.encode())
            elif url.path == "/healthz":
                self._send(200, "text/plain", b"ok\n")
            elif url.path == "/api/time":
                self._send_json(200, self._now())
            elif url.path == "/slow":
                self._slow(parse_qs(url.query).get("seconds", ["5"])[-1])
            else:
                self._send_json(404, {"error": f"nothing at {url.path}"})

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Gives the body's length back, for a client that wants to see its request arrive whole."""
        with UNDER_WAY:
            length = int(self.headers.get("Content-Length") or 0)
            received = len(self.rfile.read(length))
            self._send_json(200, {**self._now(), "received_bytes": received})

    def _now(self) -> dict[str, object]:
        return {
            "time": datetime.now(UTC).isoformat(),
            "up_seconds": round(time.time() - BOOTED, 3),
            "host": platform.node(),
            "path": self.path,
        }

    def _slow(self, text: str) -> None:
        """A line a second, for as many seconds as asked."""
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= LONGEST_SECONDS:
            error = f"seconds must be a number from 0 to {LONGEST_SECONDS:.0f}; got {text}"
            self._send_json(400, {"error": error})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._chunk(f"{left:.0f} s to go\n")
            time.sleep(min(1.0, left))
        self._chunk("done\n")
        self.wfile.write(b"0\r\n\r\n")

    def _live(self) -> None:
        """A WebSocket that says back what it is told. On SIGTERM nobody waits for its end."""
        key = self.headers.get("Sec-WebSocket-Key")
        if self.headers.get("Upgrade", "").lower() != "websocket" or not key:
            self._send_json(426, {"error": "open a WebSocket here"})
            return
        digest = hashlib.sha1((key + WEBSOCKET).encode(), usedforsecurity=False).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.end_headers()
        self.close_connection = True
        while frame := self._frame():
            opcode, data = frame
            if opcode == CLOSE:
                self._send_frame(CLOSE, data[:2])
                return
            if opcode in (TEXT, PING):
                self._send_frame(PONG if opcode == PING else TEXT, data)

    def _frame(self) -> tuple[int, bytes] | None:
        """Opcode and data of the next frame; None at the end, and for one that is too long."""
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length > 125:
            wide = self.rfile.read(2)
            length = struct.unpack("!H", wide)[0] if length == 126 else LONGEST_MESSAGE_BYTES + 1
        if length > LONGEST_MESSAGE_BYTES:
            return None
        mask, data = self.rfile.read(4), self.rfile.read(length)
        return head[0] & 0x0F, bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))

    def _send_frame(self, opcode: int, data: bytes) -> None:
        length = len(data)
        size = bytes([length]) if length < 126 else struct.pack("!BH", 126, length)
        self.wfile.write(bytes([0x80 | opcode]) + size + data)

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send_json(self, status: int, body: dict[str, object]) -> None:
        self._send(status, "application/json", json.dumps(body).encode() + b"\n")

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line a request; health checks, every few seconds, are left out."""
        if self.path != "/healthz":
            super().log_request(code, size)


class Server(ThreadingHTTPServer):
    """A queue long enough for everybody who waited for the wake."""

    request_queue_size = 256


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    port = int(os.environ.get("PORT") or 8080)
    server = Server((os.environ.get("HOST", ""), port), Handler)
    told_to_go = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_go.set())
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(f"listening on port {port}", flush=True)
    told_to_go.wait()
    server.shutdown()
    server.socket.close()
    UNDER_WAY.wait_for_none(LAST_WORD_SECONDS)
    print("gone", flush=True)


if __name__ == "__main__":
    main()
