"""Headless Chromium, as the tests of the page and its pictures use it."""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import resources
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.waits import until

MISSING = shutil.which("chromedriver") is None
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
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)
NO_JAVASCRIPT = {"profile.managed_default_content_settings.javascript": 2}


@contextmanager
def chromium(*, preferences: Mapping[str, object] | None = None) -> Iterator[Chrome]:
    """A browser with a profile of its own."""
    options = ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_experimental_option("prefs", dict(preferences or {}))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


eventually = partial(until, what="what the browser is to do", seconds=300)


def shows(driver: Chrome, text: str) -> Callable[[], bool]:
    """For `eventually`: whether the page has this text."""
    return lambda: text in html.unescape(driver.page_source)


def prefer(driver: Chrome, scheme: str = "light", motion: str = "no-preference") -> None:
    """Let the reader prefer a colour scheme (light or dark) and reduced motion or not."""
    preferred = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
    features = [{"name": name, "value": value} for name, value in preferred.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def speak(driver: Chrome, accepted: str) -> None:
    """Send this Accept-Language from now on."""
    driver.execute_cdp_cmd("Network.enable", {})
    headers = {"headers": {"Accept-Language": accepted}}
    driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", headers)


def violations(driver: Chrome) -> list[object]:
    """What the page's security policy has refused since this was last asked."""
    console: list[object] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [line for line in console if "Content Security" in str(line)]


def accessibility(driver: Chrome) -> list[str]:
    """What axe-core finds in the page as it is shown, and what it cannot decide."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    run = "const done = arguments[0]; axe.run(document, {preload: false}).then(done);"
    driver.execute_script(axe)
    found: dict[str, Any] = driver.execute_async_script(run)
    rules = found["violations"] + found["incomplete"]
    return [f"{rule['id']}: {rule['help']}: {rule['nodes'][0]['html']}" for rule in rules]
