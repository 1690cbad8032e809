"""The waiting page in a real browser: it shows what goes on, and enters the app by itself."""

from __future__ import annotations

import html
import time

import pytest
from selenium.webdriver.common.by import By

from tests.browser import chromium
from tests.estate import Estate
from tests.localcloud.client import LocalCloud

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(chromium.MISSING, reason="no chromedriver: make tools"),
]


def test_a_deep_link_to_a_sleeping_service_ends_on_that_link_in_the_app_also_without_a_script(
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
        plain.switch_to.frame(0)
        assert "looks again every 5 s" in plain.find_element(By.TAG_NAME, "body").text
        plain.switch_to.default_content()
        cloud.settings(ecs={"failure": None})
        for driver in (browser, plain):
            end = time.monotonic() + 300
            while "up_seconds" not in (text := html.unescape(driver.page_source)):
                assert time.monotonic() < end, text
                time.sleep(0.2)
            assert path in text, "the application was asked for something else"
            assert driver.current_url == link
            assert chromium.violations(driver) == []
