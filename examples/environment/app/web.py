"""The web server of the environment: one page, with what the API answers.

Standard library only. It listens on PORT, on every address of the task unless HOST names one, and
asks the API at API_URL, through the load balancer or by its Service Connect name.
"""

from __future__ import annotations

import html
import json
import os
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API_URL = os.environ["API_URL"]
API_SECONDS = 60.0

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Environment</title>
<style>
  body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto }}
</style>
<h1>The environment is awake</h1>
<p>This page comes from the web server. The API says:</p>
<blockquote id="answer">{answer}</blockquote>
</html>
"""


def ask_api() -> str:
    """What the API says. OSError or ValueError if it says nothing, or something else.

    Where the load balancer answers with a redirect to the same address, because the API wakes, the
    request is sent again.
    """
    headers = {"Accept": "application/json", "User-Agent": "environment-web"}
    request = urllib.request.Request(f"{API_URL}/greeting", headers=headers)
    with urllib.request.urlopen(request, timeout=API_SECONDS) as answer:
        return str(json.load(answer)["greeting"])


class Handler(BaseHTTPRequestHandler):
    """The page, and a path for the health check."""

    def do_GET(self) -> None:
        """Answer one request; 502 where the API gives no answer."""
        if self.path == "/healthz":
            self._send(200, "text/plain", "ok\n")
        elif self.path == "/":
            try:
                status, answer = 200, ask_api()
            except (OSError, ValueError, LookupError) as error:
                status, answer = 502, f"nothing: {error}"
            self._send(status, "text/html; charset=utf-8", PAGE.format(answer=html.escape(answer)))
        else:
            self._send(404, "text/plain", "nothing here\n")

    def _send(self, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line a request; health checks, every few seconds, are left out."""
        if self.path != "/healthz":
            super().log_request(code, size)


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    port = int(os.environ["PORT"])
    with ThreadingHTTPServer((os.environ.get("HOST", ""), port), Handler) as server:
        print(f"listening on port {port}, the API is {API_URL}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
