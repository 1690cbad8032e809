"""Logins at a load balancer: a stand-in provider, sessions, and what the target hears."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import urllib3

from localcloud.logins import CALLBACK
from localcloud.provider import Provider, providing
from localcloud.tests.live.estate import Running, Site, ask, to

pytestmark = pytest.mark.cloud

LINK = "/a/b?x=1&y=two%20words"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as provider:
        yield provider


def log_in(url: str, link: str = LINK) -> urllib3.BaseHTTPResponse:
    """Go to the provider, press the button, and come back; the load balancer's last answer."""
    asked = ask(url + link)
    assert asked.status == 302
    page = ask(asked.headers["Location"])
    assert b"Log in" in page.data
    back = ask(asked.headers["Location"], "POST")
    return ask(back.headers["Location"])


def cookie(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


def identity(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    """What the application heard of who asks."""
    heard = json.loads(answer.data)["headers"]
    return {name: value for name, value in heard if name.lower().startswith("x-amzn-oidc-")}


def test_a_client_logs_in_at_the_provider_and_the_application_hears_who_it_is(
    site: Site, own_service: Running, provider: Provider
) -> None:
    forged = {"X-Amzn-Oidc-Identity": "root"}
    site.rule(5, {**provider.action(), "Order": 1}, {**to(own_service.group), "Order": 2})
    entered = log_in(site.url)
    assert (entered.status, entered.headers["Location"]) == (302, LINK)
    asked = ["GET /oauth2/authorize", "POST /oauth2/authorize"]
    assert provider.asked == [*asked, "POST /oauth2/token", "GET /oauth2/userInfo"]
    answer = ask(site.url + LINK, headers={**cookie(entered), **forged})
    assert json.loads(answer.data)["path"] == LINK
    assert identity(answer) == {
        "x-amzn-oidc-identity": "somebody",
        "x-amzn-oidc-accesstoken": next(iter(provider.tokens)),
    }
    assert ask(site.url + LINK, headers=forged).status == 302


def test_a_login_that_begins_at_one_rule_ends_at_another_and_its_session_counts_for_both(
    site: Site, own_service: Running, provider: Provider
) -> None:
    denies = {**provider.action(OnUnauthenticatedRequest="deny"), "Order": 1}
    first = site.rule(5, {**provider.action(), "Order": 1}, {**to(own_service.group), "Order": 2})
    site.rule(4, denies, {**to(own_service.group), "Order": 2}, path=["/status"])
    assert ask(f"{site.url}/status").status == 401
    begun = ask(site.url + LINK)
    back = ask(begun.headers["Location"], "POST")
    elbv2 = site.estate.client("elbv2")
    elbv2.delete_rule(RuleArn=first)
    site.rule(6, {**provider.action(), "Order": 1}, {**to(own_service.group), "Order": 2})
    entered = ask(back.headers["Location"])
    assert (entered.status, entered.headers["Location"]) == (302, LINK)
    assert ask(site.url + LINK, headers=cookie(entered)).status == 200
    assert ask(f"{site.url}/status", headers=cookie(entered)).status == 200


def test_an_unknown_client_is_let_through_without_a_name_where_the_action_allows_it(
    site: Site, own_service: Running, provider: Provider
) -> None:
    allows = {**provider.action(OnUnauthenticatedRequest="allow"), "Order": 1}
    site.rule(5, allows, {**to(own_service.group), "Order": 2})
    answer = ask(site.url + LINK, headers={"X-Amzn-Oidc-Identity": "root"})
    assert answer.status == 200
    assert identity(answer) == {}


def test_a_provider_that_fails_gives_561_and_a_state_of_nobody_401(
    site: Site, own_service: Running, provider: Provider
) -> None:
    site.rule(5, {**provider.action(), "Order": 1}, {**to(own_service.group), "Order": 2})
    provider.broken = True
    assert log_in(site.url).status == 561
    assert ask(f"{site.url}{CALLBACK}?code=c&state=invented").status == 401


def test_a_session_ends_by_virtual_time(
    site: Site, own_service: Running, provider: Provider
) -> None:
    login = {**provider.action(SessionTimeout=600), "Order": 1}
    site.rule(5, login, {**to(own_service.group), "Order": 2})
    entered = log_in(site.url)
    assert ask(site.url, headers=cookie(entered)).status == 200
    site.estate.cloud.advance(600)
    assert ask(site.url, headers=cookie(entered)).status == 302


def test_cognito_is_asked_at_its_domain_with_the_secret_of_the_user_pool_s_client(
    site: Site, own_service: Running
) -> None:
    cognito = site.estate.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName=site.estate.name())["UserPool"]
    made = cognito.create_user_pool_client(
        UserPoolId=pool["Id"], ClientName="staging", GenerateSecret=True
    )["UserPoolClient"]
    with providing(made["ClientId"], made["ClientSecret"]) as provider:
        config = {
            "UserPoolArn": pool["Arn"],
            "UserPoolClientId": made["ClientId"],
            "UserPoolDomain": provider.url.removeprefix("http://"),
        }
        login = {"Type": "authenticate-cognito", "AuthenticateCognitoConfig": config, "Order": 1}
        site.rule(5, login, {**to(own_service.group), "Order": 2})
        entered = log_in(site.url)
        assert identity(ask(site.url, headers=cookie(entered)))["x-amzn-oidc-identity"] == (
            "somebody"
        )


def test_a_rule_is_described_with_the_login_s_defaults_and_without_its_secret(
    site: Site, own_service: Running, provider: Provider
) -> None:
    rule = site.rule(5, {**provider.action(), "Order": 1}, {**to(own_service.group), "Order": 2})
    elbv2 = site.estate.client("elbv2")
    login, _ = elbv2.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"]
    assert login["AuthenticateOidcConfig"] == {
        **{
            k: v
            for k, v in provider.action()["AuthenticateOidcConfig"].items()
            if "Secret" not in k
        },
        "Scope": "openid",
        "SessionCookieName": "AWSELBAuthSessionCookie",
        "SessionTimeout": 604800,
        "OnUnauthenticatedRequest": "authenticate",
    }
    assert log_in(site.url).status == 302
