"""A stand-in for an OpenID Connect provider, or for the domain of a Cognito user pool.

One user, one client. The authorization page has a button; who has pressed it is known to the
provider by a cookie, and is sent back at once the next time, as with a single sign-on.
https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
"""

from __future__ import annotations

import base64
import html
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

SIGNED_ON = "provider-session=known"
PAGE = """<!doctype html><html lang="en"><title>Log in</title>
<form method="post" action="{action}"><button id="login">Log in</button></form></html>"""


class Provider:
    """The provider at `url`; `asked` holds "METHOD /path" of every request.

    While `broken`, the token endpoint answers 500.
    """

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self.url = url
        self.client_id = client_id
        self.client_secret = client_secret
        self.subject = "somebody"
        self.broken = False
        self.asked: list[str] = []
        self.codes: dict[str, str] = {}  # the redirect URI by code
        self.tokens: set[str] = set()

    def authorize_params(self) -> dict[str, str]:
        """The provider in the words of `aws_lb_listener_rule`, without the secret."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/oauth2/authorize",
            "token_endpoint": f"{self.url}/oauth2/token",
            "user_info_endpoint": f"{self.url}/oauth2/userInfo",
            "client_id": self.client_id,
        }

    def action(self, **more: Any) -> dict[str, Any]:
        """The provider as an action of a rule; `more` stands in its config."""
        words = {
            "Issuer": "issuer",
            "AuthorizationEndpoint": "authorization_endpoint",
            "TokenEndpoint": "token_endpoint",
            "UserInfoEndpoint": "user_info_endpoint",
            "ClientId": "client_id",
        }
        config = {name: self.authorize_params()[word] for name, word in words.items()}
        config |= {"ClientSecret": self.client_secret, **more}
        return {"Type": "authenticate-oidc", "AuthenticateOidcConfig": config}

    def send_back(self, query: dict[str, str]) -> str:
        """Where a client goes that has logged in."""
        code = secrets.token_urlsafe(8)
        self.codes[code] = query["redirect_uri"]
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens for a code; None if code, client or redirect URI are not right."""
        basic = f"{self.client_id}:{self.client_secret}".encode()
        good = [
            form.get("grant_type") == "authorization_code",
            authorization == f"Basic {base64.b64encode(basic).decode()}",
            self.codes.pop(form.get("code", ""), None) == form.get("redirect_uri"),
        ]
        if self.broken or not all(good):
            return None
        token = secrets.token_urlsafe(8)
        self.tokens.add(token)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}


@contextmanager
def providing(client_id: str = "staging", client_secret: str = "s3cret") -> Iterator[Provider]:
    """A provider on loopback, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            provider.asked.append(f"GET {url.path}")
            query = dict(parse_qsl(url.query))
            if url.path == "/oauth2/userInfo":
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                known = token in provider.tokens
                self.answer(200 if known else 401, {"sub": provider.subject} if known else {})
            elif url.path != "/oauth2/authorize" or query.get("client_id") != provider.client_id:
                self.answer(400, {"error": "invalid_request"})
            elif SIGNED_ON in self.headers.get("Cookie", ""):
                self.leave(provider.send_back(query))
            else:
                self.page(PAGE.format(action=html.escape(self.path)))

        def do_POST(self) -> None:
            url = urlsplit(self.path)
            provider.asked.append(f"POST {url.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            if url.path == "/oauth2/authorize":
                self.leave(provider.send_back(dict(parse_qsl(url.query))))
                return
            authorization = self.headers.get("Authorization", "")
            tokens = provider.exchange(dict(parse_qsl(body)), authorization)
            self.answer(400 if tokens is None else 200, tokens or {"error": "invalid_grant"})

        def leave(self, location: str) -> None:
            self.send_response(302)
            self.send_header("Location", location)
            self.send_header("Set-Cookie", f"{SIGNED_ON}; Path=/oauth2; HttpOnly")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def page(self, text: str) -> None:
            self.send(200, "text/html; charset=utf-8", text.encode())

        def answer(self, status: int, body: dict[str, Any]) -> None:
            self.send(status, "application/json", json.dumps(body).encode())

        def send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_port}", client_id, client_secret)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
