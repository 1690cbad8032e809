"""examples/authenticated on a local cloud: a stand-in provider, a browser, and strangers.

The provider is localcloud/provider.py. HTTPS listeners of the local cloud speak plain HTTP.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from localcloud.client import LocalCloud, running
from localcloud.provider import Provider, providing
from tests.browser import chromium
from tests.browser.chromium import eventually, shows
from tests.estate import REPOSITORY, Estate, Example, copy_of_module, surroundings
from tests.integration.conftest import QUICK_START, elsewhere

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(chromium.MISSING, reason="no chromedriver: make tools"),
    pytest.mark.skipif(elsewhere(), reason="needs a local cloud, with its clock and its load"),
]

PATH = "/api/time?a=1&b=two%20words"
BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
API_CLIENT = {"Accept": "application/json"}
SESSION_SECONDS = 900
COOKIE = "AWSELBAuthSessionCookie-0"


class Site(Estate):
    """The site, its cloud and its provider."""

    def __init__(self, workspace: Example, cloud: LocalCloud, provider: Provider) -> None:
        super().__init__(workspace)
        self.cloud = cloud
        self.provider = provider

    def ask(
        self, method: str, path: str, headers: dict[str, str], cookies: dict[str, str] | None = None
    ) -> requests.Response:
        """One request; redirects are not followed."""
        return requests.request(
            method,
            self.url + path,
            headers=headers,
            cookies=cookies,
            allow_redirects=False,
            timeout=300,
        )

    def begin(self) -> str:
        """A login begins at the rule that stands first; gives the provider's URL."""
        begun = self.ask("GET", PATH, BROWSER)
        assert begun.status_code == 302
        return begun.headers["Location"]

    def end(self, at_provider: str) -> dict[str, str]:
        """The login ends, on the link that was asked for; gives the cookie of the session."""
        back = requests.post(at_provider, allow_redirects=False, timeout=60)
        entered = requests.get(back.headers["Location"], allow_redirects=False, timeout=60)
        assert (entered.status_code, entered.headers["Location"]) == (302, PATH)
        return {COOKIE: str(entered.cookies[COOKIE])}

    def settle_awake(self) -> None:
        self.cloud.settings(ecs=QUICK_START)
        self.wake()
        self.forget_wakes()
        self.cloud.settle()


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site with its service, awake."""
    with running() as cloud, providing() as provider:
        cloud.settings(ecs=QUICK_START)
        around = surroundings(cloud, "authenticated", rule_priority=None)
        endpoints = provider.authorize_params()
        names = {"cluster_name": around.name, "service_name": f"{around.name}-app"}
        listener_arn = around.make_listener(443)
        workspace = Example(
            REPOSITORY / "examples" / "authenticated",
            tmp_path_factory.mktemp("authenticated"),
            cloud.environment(),
            {
                **names,
                "listener_arn": listener_arn,
                "target_group_arn": around.target_group_arn,
                "hosts": ["127.0.0.1"],
                "client_id": endpoints.pop("client_id"),
                "client_secret": provider.client_secret,
                "provider_endpoints": endpoints,
                "session_timeout": SESSION_SECONDS,
            },
            keeps_provider=True,
            more={
                **names,
                "table_name": f"{around.name}-app-warmkeeper",
                "listener_arn": listener_arn,
            },
        )
        workspace.init()
        workspace.apply()
        workspace.more["url"] = cloud.load_balancer(f"{around.name}:443")
        around.make_service(around.target(around.target_group_arn))
        site = Site(workspace, cloud, provider)
        cloud.advance_until(lambda: site.phase() == "awake", minutes=5, speed=20)
        workspace.apply()
        yield site


@pytest.fixture
def site(applied: Site) -> Site:
    """Awake, and nobody waits."""
    applied.settle_awake()
    return applied


def log_in(browser: Chrome) -> None:
    """Press the provider's button."""
    eventually(shows(browser, "Log in"))
    browser.find_element(By.ID, "login").click()


def test_a_plan_is_empty_and_warns_of_nothing_asleep_and_awake(site: Site) -> None:
    assert not site.workspace.changes()
    assert site.workspace.warnings() == ""
    site.fall_asleep(site.cloud)
    assert not site.workspace.changes()
    assert site.workspace.warnings() == ""
    assert site.phase() == "asleep"


def test_who_is_not_logged_in_wakes_nothing_and_monitors_and_heartbeats_need_no_login(
    site: Site,
) -> None:
    site.fall_asleep(site.cloud)
    site.cloud.settle()
    before = site.cloud.calls()[-1]["n"]
    forged = {"X-Amzn-Oidc-Identity": "somebody", "X-Amzn-Oidc-Accesstoken": "token"}
    invented = {COOKIE: "invented"}
    for headers in (BROWSER, API_CLIENT, {**API_CLIENT, **forged}):
        answer = site.ask("GET", PATH, headers, invented)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(site.provider.url)
        for method, path in (("GET", "status"), ("POST", "wake"), ("GET", "nothing")):
            assert site.ask(method, f"/.warmkeeper/{path}", headers, invented).status_code == 401
    assert site.ask("GET", "/.warmkeeper/health", API_CLIENT).json()["state"] == "dormant"
    beat = requests.post(f"{site.url}/health", json={"in_flight": 1}, timeout=60)
    assert (beat.status_code, beat.json()["phase"]) == (200, "asleep")
    assert site.phase() == "asleep"
    assert site.service()["desiredCount"] == 0
    function = f"function.{site.outputs['function_name']}"
    moved = site.cloud.calls(before, action="UpdateService", caller=function)
    assert moved == []


def test_a_browser_goes_through_login_and_waiting_page_to_the_app_on_the_link_that_was_asked_for(
    site: Site,
) -> None:
    site.fall_asleep(site.cloud)
    site.cloud.settings(ecs={"failure": "capacity"})  # until the page has been seen
    link = f"{site.url}{PATH}#part"
    with chromium.chromium() as browser:
        browser.get(link)
        eventually(shows(browser, "Log in"))
        assert site.phase() == "asleep"
        log_in(browser)
        eventually(lambda: browser.title == "Waking authenticated-app")
        assert site.phase() == "waking"
        site.cloud.settings(ecs={"failure": None})
        eventually(shows(browser, "up_seconds"))
        assert PATH in html.unescape(browser.page_source)
        assert browser.current_url.partition("#")[0] == link.partition("#")[0]
        assert chromium.violations(browser) == []


def test_a_session_that_ends_while_the_page_waits_is_followed_by_another_login(site: Site) -> None:
    link = f"{site.url}{PATH}"
    with chromium.chromium() as browser:
        browser.get(link)
        log_in(browser)
        eventually(shows(browser, "up_seconds"))
        began = site.cloud.now()
        site.fall_asleep(site.cloud)
        site.cloud.settings(ecs={"failure": "capacity"})
        site.cloud.advance(began + SESSION_SECONDS - 60 - site.cloud.now())
        logins = site.provider.asked.count("GET /oauth2/authorize")
        browser.get(link)
        eventually(lambda: browser.title == "Waking authenticated-app")
        assert site.provider.asked.count("GET /oauth2/authorize") == logins
        site.cloud.advance(60, speed=10)
        # the provider knows the browser, and sends it back at once
        eventually(lambda: site.provider.asked.count("GET /oauth2/authorize") == logins + 1)
        eventually(lambda: browser.title == "Waking authenticated-app")
        assert browser.current_url == link
        site.cloud.settings(ecs={"failure": None})
        eventually(shows(browser, "up_seconds"))
        assert browser.current_url == link


def test_a_login_that_begins_at_the_wake_rule_ends_at_the_service_rule_and_the_other_way_round(
    site: Site,
) -> None:
    site.fall_asleep(site.cloud)
    site.cloud.settle()
    at_provider = site.begin()
    assert site.phase() == "asleep"
    site.settle_awake()
    cookies = site.end(at_provider)
    answer = site.ask("GET", PATH, API_CLIENT, cookies)
    assert (answer.status_code, "up_seconds" in answer.text) == (200, True)

    at_provider = site.begin()
    site.fall_asleep(site.cloud)
    site.cloud.settle()
    cookies = site.end(at_provider)
    assert site.phase() == "asleep"
    status = site.ask("GET", "/.warmkeeper/status", API_CLIENT, cookies)
    assert status.json()["phase"] == "asleep"
    waiting = site.ask("GET", PATH, BROWSER, cookies)
    assert "X-Warmkeeper-Phase" in waiting.headers
    assert site.phase() == "waking"


def test_a_drowsy_service_is_called_back_by_who_is_logged_in_and_by_nobody_else(
    site: Site,
) -> None:
    cookies = site.end(site.begin())
    site.fall_drowsy()
    site.cloud.settle()
    assert site.ask("GET", PATH, API_CLIENT).status_code == 302
    assert site.ask("POST", "/.warmkeeper/wake", API_CLIENT).status_code == 401
    assert site.phase() == "drowsy"
    answer = requests.get(site.url + PATH, headers=API_CLIENT, cookies=cookies, timeout=300)
    assert (answer.status_code, "up_seconds" in answer.text) == (200, True)
    assert site.phase() == "awake"


def without_login(code: str) -> str:
    """The example's code with neither rule behind a login."""
    rule, rules = re.subn(
        r'(?ms)^  action {\n    type = "authenticate-oidc"\n.*?^  }\n\n', "", code, count=1
    )
    module, inputs = re.subn(r"(?m)^  authenticate_oidc.* = .*\n", "", rule)
    assert (rules, inputs) == (1, 2)
    return module


def test_a_login_comes_and_goes_while_the_service_is_awake(site: Site, tmp_path: Path) -> None:
    folder = copy_of_module(tmp_path, site.workspace.folder)
    main = folder / "main.tf"
    main.write_text(without_login(main.read_text()))
    unguarded = replace(site.workspace, folder=folder)
    unguarded.init()
    unguarded.apply()
    site.cloud.settle()
    assert site.ask("GET", PATH, API_CLIENT).status_code == 200
    assert site.ask("GET", "/.warmkeeper/status", API_CLIENT).status_code == 200
    assert not unguarded.changes()
    assert unguarded.warnings() == ""
    site.apply()
    site.cloud.settle()
    assert site.ask("GET", PATH, API_CLIENT).status_code == 302
    assert site.ask("GET", "/.warmkeeper/status", API_CLIENT).status_code == 401
    assert site.phase() == "awake"
    assert not site.workspace.changes()
    assert site.workspace.warnings() == ""


def test_the_module_goes_while_the_service_sleeps_and_leaves_it_awake_behind_its_login(
    site: Site,
) -> None:
    site.fall_asleep(site.cloud)
    site.workspace.destroy("module.scale_to_zero")
    site.cloud.settle()
    assert site.service()["desiredCount"] == 1
    cookies = site.end(site.begin())
    assert site.ask("GET", PATH, API_CLIENT, cookies).status_code == 200
    rules = site.client("elbv2").describe_rules(ListenerArn=site.outputs["listener_arn"])["Rules"]
    assert [rule["Priority"] for rule in rules] == ["100", "default"]
