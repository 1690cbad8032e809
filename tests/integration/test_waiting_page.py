"""The waiting page in a real browser: it shows what goes on, and enters the app by itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.estate import Estate
from tests.localcloud.client import LocalCloud

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(shutil.which("chromedriver") is None, reason="no chromedriver: make tools"),
]


@pytest.fixture
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def test_a_deep_link_to_a_sleeping_service_ends_on_that_link_in_the_app(
    estate: Estate, cloud: LocalCloud, browser: Chrome
) -> None:
    estate.fall_asleep(cloud)
    cloud.settings(ecs={"pull_seconds": 5})
    link = f"{estate.url}/?a=1&b=two%20words#part"
    browser.get(link)
    assert "staging" in browser.title
    assert estate.phase() == "waking"
    end = time.monotonic() + 60
    while "The service is awake" not in browser.page_source:
        assert time.monotonic() < end, browser.page_source
        time.sleep(0.2)
    assert browser.current_url == link
    console: list[object] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert [line for line in console if "Content Security" in str(line)] == []
