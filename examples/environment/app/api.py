"""The API of the environment. It does not start while its database cannot be reached.

Standard library only. It listens on PORT, on every address of the task unless HOST names one. The
database is at DATABASE, "address:port". A connection is all that it asks of it: a real API would
log in.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATABASE = os.environ["DATABASE"]
DATABASE_SECONDS = 5.0


def reach_database() -> None:
    """Connect to the database. OSError if that is not possible."""
    address, _, port = DATABASE.rpartition(":")
    socket.create_connection((address, int(port)), timeout=DATABASE_SECONDS).close()


class Handler(BaseHTTPRequestHandler):
    """A greeting, and a path for the health check."""

    def do_GET(self) -> None:
        """Answer one request; 503 where the database cannot be reached any more."""
        if self.path == "/healthz":
            self._send(200, {"status": "ok"})
        elif self.path == "/api/greeting":
            try:
                reach_database()
            except OSError as error:
                self._send(503, {"error": f"no connection to {DATABASE}: {error}"})
            else:
                time = f"{datetime.now(UTC):%H:%M:%S}"
                greeting = f"Hello, it is {time} UTC, and the database can be reached."
                self._send(200, {"greeting": greeting})
        else:
            self._send(404, {"error": f"nothing at {self.path}"})

    def _send(self, status: int, answer: dict[str, str]) -> None:
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line a request; health checks, every few seconds, are left out."""
        if self.path != "/healthz":
            super().log_request(code, size)


def main() -> None:
    """Serve until SIGTERM. Ends with status 1 and a message if there is no database."""
    try:
        reach_database()
    except OSError as error:
        sys.exit(f"not started: no connection to the database at {DATABASE}: {error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    port = int(os.environ["PORT"])
    with ThreadingHTTPServer((os.environ.get("HOST", ""), port), Handler) as server:
        print(f"listening on port {port}, the database is {DATABASE}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
