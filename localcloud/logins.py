"""What a load balancer's authentication actions do, without sockets to clients or providers.

Imitates "Authenticate users using an Application Load Balancer":
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from localcloud.alb import Answer, Request

CALLBACK = "/oauth2/idpresponse"
LOGIN_SECONDS = 15 * 60.0  # "Client login timeout"; then 401
PROVIDER_FAILED = 561  # "HTTP 561: Unauthorized": the provider answered with an error
KINDS = {
    "authenticate-oidc": "AuthenticateOidcConfig",
    "authenticate-cognito": "AuthenticateCognitoConfig",
}
# "AuthenticateOidcActionConfig", "AuthenticateCognitoActionConfig"
DEFAULTS: dict[str, Any] = {
    "Scope": "openid",
    "SessionCookieName": "AWSELBAuthSessionCookie",
    "SessionTimeout": 604800,
    "OnUnauthenticatedRequest": "authenticate",
}
IDENTITY = "x-amzn-oidc-"  # how the headers begin that tell a target who it is


def described(action: Mapping[str, Any]) -> dict[str, Any]:
    """An action as `DescribeRules` tells it: a login with its defaults, without its secret."""
    config = KINDS.get(action["Type"], "")
    if config not in action:
        return dict(action)
    told = {key: value for key, value in action[config].items() if key != "ClientSecret"}
    return {**action, config: {**DEFAULTS, **told}}


@dataclass(frozen=True)
class Login:
    """An authentication action, of either kind."""

    issuer: str  # of OpenID Connect; the user pool's ARN for Cognito
    client_id: str
    client_secret: str
    authorization_endpoint: str
    token_endpoint: str
    user_info_endpoint: str
    scope: str
    cookie: str
    session_seconds: float
    otherwise: str  # what a client without a session gets: authenticate, deny or allow
    extra: Mapping[str, str]  # for the authorization endpoint

    @classmethod
    def of_oidc(cls, config: Mapping[str, Any]) -> Login:
        """The login of an `AuthenticateOidcConfig`."""
        return cls(
            issuer=config["Issuer"],
            client_id=config["ClientId"],
            client_secret=config["ClientSecret"],
            authorization_endpoint=config["AuthorizationEndpoint"],
            token_endpoint=config["TokenEndpoint"],
            user_info_endpoint=config["UserInfoEndpoint"],
            **_common(config),
        )

    @classmethod
    def of_cognito(cls, config: Mapping[str, Any], client_secret: str) -> Login:
        """The login of an `AuthenticateCognitoConfig`; the secret is the user pool client's.

        The domain is a prefix or a name of one's own. Here a name may have a port, and is then
        asked by plain HTTP. https://docs.aws.amazon.com/cognito/latest/developerguide/federation-endpoints.html
        """
        region = config["UserPoolArn"].split(":")[3]
        domain = config["UserPoolDomain"]
        whole = domain if "." in domain else f"{domain}.auth.{region}.amazoncognito.com"
        endpoints = f"{'http' if ':' in whole else 'https'}://{whole}/oauth2"
        return cls(
            issuer=config["UserPoolArn"],
            client_id=config["UserPoolClientId"],
            client_secret=client_secret,
            authorization_endpoint=f"{endpoints}/authorize",
            token_endpoint=f"{endpoints}/token",
            user_info_endpoint=f"{endpoints}/userInfo",
            **_common(config),
        )

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Rules of the same key share sessions."""
        return self.issuer, self.client_id, self.scope, self.cookie


def _common(config: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**DEFAULTS, **config}
    return {
        "scope": whole["Scope"],
        "cookie": whole["SessionCookieName"],
        "session_seconds": float(whole["SessionTimeout"]),
        "otherwise": whole["OnUnauthenticatedRequest"],
        "extra": whole.get("AuthenticationRequestExtraParams", {}),
    }


@dataclass(frozen=True)
class Begun:
    """A login that was begun: for which rules, on which link, and when."""

    key: tuple[str, str, str, str]
    link: str
    at: float


@dataclass(frozen=True)
class Session:
    """Somebody who has logged in, until `ends`."""

    key: tuple[str, str, str, str]
    subject: str
    access_token: str
    ends: float


class Logins:
    """The logins under way and the sessions of all load balancers, by virtual time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun: dict[str, Begun] = {}  # by state
        self._sessions: dict[str, Session] = {}  # by what the cookie holds

    def session(self, login: Login, request: Request) -> Session | None:
        """The session of a request at this rule; None without one that has not ended."""
        cookies: SimpleCookie = SimpleCookie()
        for header in request.header_values("cookie"):
            try:
                cookies.load(header)
            except CookieError:
                continue
        held = cookies.get(f"{login.cookie}-0")
        found = self._sessions.get(held.value) if held else None
        return found if found and found.key == login.key and self._now() < found.ends else None

    def without_session(self, login: Login, request: Request, scheme: str) -> Answer | None:
        """The answer to a client without a session; None if the request is forwarded all the same.

        On AWS the address to come back to is always HTTPS; here it has the scheme that is spoken.
        """
        if login.otherwise == "allow":
            return None
        if login.otherwise == "deny":
            return Answer(401)
        state = secrets.token_urlsafe(16)
        query = f"?{request.query}" if request.query else ""
        self._begun[state] = Begun(login.key, request.path + query, self._now())
        asked = {
            "client_id": login.client_id,
            "redirect_uri": callback(request, scheme),
            "response_type": "code",
            "scope": login.scope,
            "state": state,
            **login.extra,
        }
        joint = "&" if "?" in login.authorization_endpoint else "?"
        location = login.authorization_endpoint + joint + urlencode(asked)
        return Answer(302, headers=[("Location", location)])

    def ended(self, login: Login, request: Request) -> tuple[Begun | None, str]:
        """The login that a request to the callback ends, and the provider's code, "" for an error.

        None where no login of these rules is under way any more by this state. A state counts once.
        """
        answer = dict(parse_qsl(request.query))
        begun = self._begun.pop(answer.get("state", ""), None)
        if begun is None or begun.key != login.key or self._now() - begun.at > LOGIN_SECONDS:
            return None, ""
        return begun, answer.get("code", "")

    def enter(self, login: Login, begun: Begun, subject: str, access_token: str) -> Answer:
        """Begin a session, and go to the link that was asked for."""
        held = secrets.token_urlsafe(32)
        ends = self._now() + login.session_seconds
        self._sessions[held] = Session(login.key, subject, access_token, ends)
        age = int(login.session_seconds)
        cookie = f"{login.cookie}-0={held}; Max-Age={age}; Path=/; Secure; HttpOnly"
        return Answer(302, headers=[("Location", begun.link), ("Set-Cookie", cookie)])


def callback(request: Request, scheme: str) -> str:
    """Where the provider sends a client back to."""
    return f"{scheme}://{request.header('host')}{CALLBACK}"


def identified(request: Request, session: Session | None) -> Request:
    """The request as a target gets it: with who it is, whatever the client says about that."""
    kept = [(name, value) for name, value in request.headers if not is_identity(name)]
    own = [
        (f"{IDENTITY}identity", session.subject),
        (f"{IDENTITY}accesstoken", session.access_token),
    ] if session else []  # fmt: skip
    return Request(request.method, request.path, request.query, [*kept, *own], request.source_ip)


def is_identity(header: str) -> bool:
    """Whether a header tells a target who the client is."""
    return header.lower().startswith(IDENTITY)
