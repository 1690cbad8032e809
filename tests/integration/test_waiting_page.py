"""The waiting page in a real browser: it shows what goes on, and enters the app by itself."""

from __future__ import annotations

import html
import re

import pytest
import requests
from selenium.webdriver.common.by import By

from localcloud.client import LocalCloud
from tests.browser import chromium
from tests.estate import Estate
from tests.waits import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(chromium.MISSING, reason="no chromedriver: make tools"),
]


def test_a_deep_link_to_a_sleeping_service_ends_on_that_link_in_the_app_or_without_a_fragment(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    cloud.settings(ecs={"failure": "capacity"})  # until both browsers have shown that it wakes
    path = "/api/time?a=1&b=two%20words"
    link = f"{estate.url}{path}#part"
    without = chromium.NO_JAVASCRIPT
    with chromium.chromium() as browser, chromium.chromium(preferences=without) as plain:
        plain.get(link)
        browser.get(link)
        assert estate.phase() == "waking"
        assert browser.title == "Waking staging"
        assert "It is on its way." in plain.find_element(By.TAG_NAME, "body").text
        cloud.settings(ecs={"failure": None})
        for driver, expected in ((browser, link), (plain, link.removesuffix("#part"))):
            chromium.eventually(chromium.shows(driver, "up_seconds"))
            text = html.unescape(driver.page_source)
            assert path in text, "the application was asked for something else"
            assert driver.current_url == expected
            assert chromium.violations(driver) == []


def test_the_link_of_a_notice_wakes_nothing_until_its_button_is_clicked_and_leads_to_the_app(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.apply(public_url=estate.url)
    before = len(cloud.mailbox())
    estate.fall_asleep(cloud)
    until(lambda: len(cloud.mailbox()) > before, "the notice, which comes after the calls")
    (notice,) = cloud.mailbox()[before:]
    (link,) = re.findall(r"(?m) (http://\S+)$", notice["message"])
    assert link.startswith(estate.url)
    for method in ("HEAD", "GET"):
        fetched = requests.request(method, link, headers={"User-Agent": "Slackbot 1.0"})
        assert fetched.status_code == 200
    with chromium.chromium() as browser:
        browser.get(link)
        assert browser.title == "Asleep: staging"
        assert (estate.phase(), estate.service()["desiredCount"]) == ("asleep", 0)
        browser.find_element(By.ID, "wake").click()
        chromium.eventually(lambda: browser.current_url == f"{estate.url}/")
        assert chromium.violations(browser) == []
    assert estate.phase() == "awake"
