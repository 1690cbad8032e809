"""A load balancer's logins, against the pages of Elastic Load Balancing, without sockets."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from localcloud.alb import Answer, Request
from localcloud.logins import CALLBACK, DEFAULTS, Login, Logins, Session, described, identified

OIDC = {
    "Issuer": "https://id.example.com",
    "AuthorizationEndpoint": "https://id.example.com/authorize",
    "TokenEndpoint": "https://id.example.com/token",
    "UserInfoEndpoint": "https://id.example.com/userinfo",
    "ClientId": "staging",
    "ClientSecret": "s3cret",
}
POOL = {
    "UserPoolArn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_staff",
    "UserPoolClientId": "staging",
    "UserPoolDomain": "staff",
}


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


def a_login(**more: Any) -> Login:
    return Login.of_oidc({**OIDC, **more})


def a_request(path: str = "/", query: str = "", **headers: str) -> Request:
    return Request(
        "GET", path, query, [("host", "app.example.com"), *headers.items()], "203.0.113.7"
    )


def header(answer: Answer | None, name: str) -> str:
    assert answer is not None
    return dict(answer.headers)[name]


def begin(logins: Logins, login: Login, path: str = "/", query: str = "") -> dict[str, str]:
    """What the provider is asked for a client without a session."""
    answer = logins.without_session(login, a_request(path, query), "https")
    assert answer is not None
    assert answer.status == 302
    return dict(parse_qsl(urlsplit(header(answer, "Location")).query))


def come_back(logins: Logins, login: Login, state: str) -> Answer | None:
    """The answer to a client that the provider has sent back; None if the login is refused."""
    begun, code = logins.ended(login, a_request(CALLBACK, f"code=c&state={state}"))
    if begun is None:
        return None
    assert code == "c"
    return logins.enter(login, begun, "somebody", "token")


def held(answer: Answer | None) -> str:
    """The cookie that a client then sends."""
    return header(answer, "Set-Cookie").partition(";")[0]


def session(logins: Logins, login: Login, cookie: str) -> Session | None:
    return logins.session(login, a_request(cookie=cookie))


def test_a_client_without_a_session_is_sent_to_the_provider() -> None:
    login = a_login(Scope="openid email", AuthenticationRequestExtraParams={"prompt": "login"})
    answer = Logins(Clock().now).without_session(login, a_request("/a", "b=c"), "https")
    location = header(answer, "Location")
    assert location.startswith("https://id.example.com/authorize?")
    asked = dict(parse_qsl(urlsplit(location).query))
    assert asked.pop("state")
    assert asked == {
        "client_id": "staging",
        "redirect_uri": "https://app.example.com/oauth2/idpresponse",
        "response_type": "code",
        "scope": "openid email",
        "prompt": "login",
    }


def test_after_the_login_a_cookie_is_set_and_the_client_is_on_its_link() -> None:
    logins = Logins(Clock().now)
    login = a_login(SessionCookieName="Staff", SessionTimeout=3600)
    answer = come_back(logins, login, begin(logins, login, "/a/b", "x=1&y=two%20words")["state"])
    assert header(answer, "Location") == "/a/b?x=1&y=two%20words"
    name, _, attributes = header(answer, "Set-Cookie").partition("=")
    assert name == "Staff-0"
    assert attributes.endswith("; Max-Age=3600; Path=/; Secure; HttpOnly")
    found = session(logins, login, f"other=1; {held(answer)}")
    assert found is not None
    assert found.subject == "somebody"


def test_a_session_ends_after_its_time_out() -> None:
    clock = Clock()
    logins = Logins(clock.now)
    login = a_login(SessionTimeout=3600)
    cookie = held(come_back(logins, login, begin(logins, login)["state"]))
    clock.time += 3599
    assert session(logins, login, cookie) is not None
    clock.time += 1
    assert session(logins, login, cookie) is None


def test_a_login_that_takes_longer_than_a_quarter_of_an_hour_is_refused() -> None:
    clock = Clock()
    logins = Logins(clock.now)
    slow = begin(logins, a_login())["state"]
    clock.time += 1
    quick = begin(logins, a_login())["state"]
    clock.time += 900
    assert come_back(logins, a_login(), slow) is None
    assert come_back(logins, a_login(), quick) is not None


def test_a_state_counts_once_and_an_invented_one_not_at_all() -> None:
    logins = Logins(Clock().now)
    state = begin(logins, a_login())["state"]
    assert come_back(logins, a_login(), "invented") is None
    assert come_back(logins, a_login(), state) is not None
    assert come_back(logins, a_login(), state) is None


OTHERS = [
    {"ClientId": "another"},
    {"Scope": "openid email"},
    {"SessionCookieName": "Staff"},
    {"Issuer": "https://other.example.com"},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
def test_rules_share_logins_and_sessions_only_if_client_scope_and_cookie_are_the_same(
    other: dict[str, str],
) -> None:
    logins = Logins(Clock().now)
    same = a_login(OnUnauthenticatedRequest="deny", SessionTimeout=60)
    state = begin(logins, a_login())["state"]
    assert come_back(logins, a_login(**other), state) is None
    state = begin(logins, a_login())["state"]
    cookie = held(come_back(logins, same, state))
    assert session(logins, a_login(), cookie) is not None
    assert session(logins, a_login(**other), cookie) is None


def test_an_unknown_client_is_denied_or_let_through_as_the_action_says() -> None:
    logins = Logins(Clock().now)
    denied = logins.without_session(a_login(OnUnauthenticatedRequest="deny"), a_request(), "https")
    assert denied is not None
    assert denied.status == 401
    assert not denied.headers
    allowed = a_login(OnUnauthenticatedRequest="allow")
    assert logins.without_session(allowed, a_request(), "https") is None


def test_a_target_hears_who_it_is_from_the_load_balancer_alone() -> None:
    forged = Request(
        "GET", "/", "", [("host", "a"), ("X-Amzn-Oidc-Identity", "root")], "203.0.113.7"
    )
    assert identified(forged, None).headers == [("host", "a")]
    somebody = Session(a_login().key, "somebody", "token", 0.0)
    assert identified(forged, somebody).headers == [
        ("host", "a"),
        ("x-amzn-oidc-identity", "somebody"),
        ("x-amzn-oidc-accesstoken", "token"),
    ]


def test_cognito_is_asked_at_the_domain_of_the_user_pool() -> None:
    login = Login.of_cognito(POOL, "s3cret")
    assert login.authorization_endpoint == (
        "https://staff.auth.eu-west-1.amazoncognito.com/oauth2/authorize"
    )
    own = Login.of_cognito({**POOL, "UserPoolDomain": "id.example.com"}, "s3cret")
    assert own.token_endpoint == "https://id.example.com/oauth2/token"
    assert own.key == login.key


def test_a_login_is_described_with_its_defaults_and_without_its_secret() -> None:
    action = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": OIDC}
    told = described(action)["AuthenticateOidcConfig"]
    assert told == {**DEFAULTS, **{k: v for k, v in OIDC.items() if k != "ClientSecret"}}
    assert DEFAULTS["SessionTimeout"] == 604800
    given = {"Type": "authenticate-cognito", "AuthenticateCognitoConfig": {**POOL, "Scope": "a b"}}
    assert described(given)["AuthenticateCognitoConfig"]["Scope"] == "a b"
    forward = {"Type": "forward", "TargetGroupArn": "arn"}
    assert described(forward) == forward
