"""The page in a real browser, before the real warmkeeper over an in-memory AWS."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from warmkeeper import Kind, Phase

from tests.browser import chromium, site
from tests.browser.chromium import NO_JAVASCRIPT, accessibility, prefer, speak, violations
from tests.browser.site import STATES, Site, confirming, serving, settle
from tests.warmkeeper.world import World

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "guide" / "page.md"
WAKE = "POST /.warmkeeper/wake"
eventually = partial(chromium.eventually, seconds=120)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.MISSING, reason="no chromedriver: make tools"),
]


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    with chromium.chromium() as driver:
        yield driver


@pytest.fixture
def browser(chrome: Chrome) -> Chrome:
    """As a reader of English with a small window has it."""
    chrome.get("about:blank")
    chrome.set_window_size(400, 640)
    prefer(chrome)
    speak(chrome, "en")
    violations(chrome)
    return chrome


def read(browser: Chrome, selector: str = "main") -> str:
    """What is to be seen there."""
    return browser.find_element(By.CSS_SELECTOR, selector).text


def visit(browser: Chrome, place: Site, link: str = "/") -> None:
    browser.get(place.url + link)
    eventually(lambda: browser.execute_script("return document.readyState === 'complete'"))


def look_again(browser: Chrome, place: Site) -> None:
    """Let the page ask for the status now, and have it shown."""
    known = place.asked.count("GET /.warmkeeper/status")
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    eventually(lambda: place.asked.count("GET /.warmkeeper/status") > known)
    time.sleep(0.1)  # from the answer to what the script does with it


@pytest.mark.parametrize(
    ("state", "lang"),
    [*((state, "en") for state in STATES), ("far-over", "fr"), ("given-up", "fr")],  # its longest
)
def test_in_every_state_and_scheme_an_accessibility_checker_finds_nothing(
    browser: Chrome, state: str, lang: str
) -> None:
    speak(browser, lang)
    with serving(STATES[state]()) as place:
        visit(browser, place)
        for scheme in ("light", "dark"):
            prefer(browser, scheme, "reduce")
            assert accessibility(browser) == []
        assert browser.execute_script("return document.documentElement.lang") == lang
        wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not browser.execute_script(wide)
    assert violations(browser) == []


@pytest.mark.parametrize("confirm", [False, True], ids=["", "confirmed"])
def test_in_closed_hours_it_says_when_it_opens_and_wakes_nothing_until_then(
    browser: Chrome, confirm: bool
) -> None:
    world = site.closed()
    with serving(confirming(world) if confirm else world) as place:
        visit(browser, place, "/a?b=1#c")
        opens = world.time // 3600 * 3600 + 3600
        shown = browser.execute_script(
            "return new Date(1000 * arguments[0])"
            ".toLocaleString('en', { dateStyle: 'full', timeStyle: 'short' })",
            opens,
        )
        assert read(browser, "#words") == f"It is closed until {shown}."
        assert not browser.find_element(By.ID, "wake").is_displayed()
        look_again(browser, place)
        assert WAKE not in place.asked
        assert world.phase() is Phase.ASLEEP
        world.time = opens
        look_again(browser, place)
        eventually(lambda: world.phase() is Phase.WAKING)
        world.time += 40
        eventually(lambda: "The application" in browser.page_source)
        assert browser.current_url == f"{place.url}/a?b=1#c"


def test_it_follows_the_wake_and_enters_the_app_on_the_link_that_was_asked_for(
    browser: Chrome,
) -> None:
    world = site.asleep()
    with serving(world) as place:
        link = "/a/b?x=1&y=two%20words#part"
        visit(browser, place, link)
        assert read(browser, "#words") == "Finding a place to run it."
        assert "Place to run" in read(browser, ".now")
        world.time += 29
        eventually(lambda: read(browser, "#words") == "Waiting until it answers well.")
        heard = "return document.querySelector('.now').textContent"
        assert browser.execute_script(heard) == "Health check: under way"
        assert "usually about 31 s" in read(browser, "#time")
        assert browser.title == "Waking staging"
        world.time += 5
        eventually(lambda: browser.title == "Ready: staging")
        assert read(browser, "#words") == "It is ready. Opening it now."
        eventually(lambda: "The application" in browser.page_source)
        assert browser.current_url == place.url + link
        assert WAKE not in place.asked
    assert violations(browser) == []


@pytest.mark.parametrize(("awake_for", "pause"), [(0, 1000), (0.4, 600), (5, 0)])
def test_it_enters_a_second_after_the_rule_s_change_and_not_after_it_hears_of_it(
    browser: Chrome, awake_for: float, pause: int
) -> None:
    world = site.asleep()
    with serving(world) as place:
        visit(browser, place)
        world.time += 40
        world.signal(Kind.POLL)
        assert world.phase() is Phase.AWAKE
        world.time += awake_for
        browser.execute_script(
            "window.pauses = [];"
            "window.setTimeout = (_, pause) => { pauses.push(pause); };"  # and goes nowhere
        )
        look_again(browser, place)
        assert browser.execute_script("return pauses[0]") == pause


def test_its_words_are_those_of_the_language_also_where_the_script_says_them(
    browser: Chrome,
) -> None:
    speak(browser, "fr")
    world = site.first_wake()
    with serving(world) as place:
        visit(browser, place)
        assert "Recherche d’un emplacement." in read(browser)
        world.time += 13
        eventually(lambda: "Téléchargement de son image." in read(browser))
        assert "Aucun démarrage précédent" in read(browser, "#time")


def test_without_a_script_it_says_that_it_starts_and_enters_the_app_without_the_fragment() -> None:
    world = site.asleep()
    with chromium.chromium(preferences=NO_JAVASCRIPT) as plain, serving(world) as place:
        plain.get(f"{place.url}/a/b?x=1&y=two%20words#part")
        assert read(plain, "body") == "staging\nIt is on its way."
        world.time += 40
        eventually(lambda: "The application" in plain.page_source)
        assert plain.current_url == f"{place.url}/a/b?x=1&y=two%20words"
        assert "GET /.warmkeeper/status" not in place.asked
        assert violations(plain) == []


FAILED = "It could not be started. Its image could not be fetched."
GIVEN_UP = "It is not tried again by itself."
NEEDS_SCRIPT = "Only with JavaScript can this page start it."


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (site.failed, FAILED),
        (site.given_up, f"{FAILED} {GIVEN_UP} {NEEDS_SCRIPT}"),
        (lambda: confirming(site.asleep()), f"It is asleep. {NEEDS_SCRIPT}"),
    ],
    ids=["failed", "given up", "asleep"],
)
def test_without_a_script_it_says_how_it_is_in_one_line(
    make: Callable[[], World], expected: str
) -> None:
    with chromium.chromium(preferences=NO_JAVASCRIPT) as plain, serving(make()) as place:
        plain.get(place.url)
        assert read(plain, "body") == f"staging\n{expected}"
        assert violations(plain) == []


def test_the_retry_after_a_failed_wake_wakes_it(browser: Chrome) -> None:
    world = site.failed()
    with serving(world) as place:
        visit(browser, place)
        assert "Its image could not be fetched." in read(browser, "#why")
        assert world.phase() is Phase.ASLEEP
        browser.find_element(By.ID, "wake").click()
        eventually(lambda: "Finding a place to run it." in read(browser))
        assert "could not be" not in read(browser)
        assert not browser.find_element(By.ID, "wake").is_displayed()
        assert world.phase() is Phase.WAKING


def test_a_page_that_is_open_when_the_wake_fails_says_so_in_an_alert(browser: Chrome) -> None:
    world = site.woken_for(20)
    with serving(world) as place:
        visit(browser, place)
        world.starts = False
        world.time += 301
        eventually(lambda: browser.title == "Did not start: staging")
        alert = browser.find_element(By.CSS_SELECTOR, "[role=alert]")
        assert alert.text == "It runs, but fails its health check."
        assert read(browser, "button") == "Try again"
        assert accessibility(browser) == []


def test_where_a_request_wakes_nothing_the_page_does_once_without_a_click(
    browser: Chrome,
) -> None:
    world = site.asleep()
    with serving(confirming(world)) as place:
        visit(browser, place)
        eventually(lambda: "Finding a place to run it." in read(browser))
        world.time += 17
        eventually(lambda: "Fetching its image." in read(browser))
        assert place.asked.count(WAKE) == 1
        assert world.desired == 1
    assert violations(browser) == []


@pytest.mark.parametrize("make", [site.failed, site.given_up])
def test_after_a_failed_wake_the_page_wakes_nothing_by_itself(
    browser: Chrome, make: Callable[[], World]
) -> None:
    with serving(confirming(make())) as place:
        visit(browser, place)
        look_again(browser, place)
        assert WAKE not in place.asked
        assert read(browser, "button") == "Try again"


@pytest.mark.parametrize("make", [site.asleep, lambda: confirming(site.asleep())])
def test_the_page_to_which_notices_link_wakes_at_a_click_and_leads_to_the_service(
    browser: Chrome, make: Callable[[], World]
) -> None:
    world = make()
    with serving(world) as place:
        world.environment["PUBLIC_URL"] = f"{place.url}/app"  # no URL that the page would reload
        visit(browser, place, "/.warmkeeper/")
        assert read(browser, "button") == "Wake it"
        for _ in range(2):
            look_again(browser, place)
        assert read(browser, "#words") == "It is asleep."
        assert world.desired == 0
        assert {each for each in place.asked if "favicon" not in each} == {
            "GET /.warmkeeper/",
            "GET /.warmkeeper/status",
        }
        assert accessibility(browser) == []
        browser.find_element(By.ID, "wake").click()
        eventually(lambda: "Finding a place to run it." in read(browser))
        assert place.asked.count(WAKE) == 1
        world.time += 34
        eventually(lambda: "The application" in browser.page_source)
        assert browser.current_url == f"{place.url}/app"
    assert violations(browser) == []


def test_without_news_the_page_to_which_notices_link_leads_nowhere_else(browser: Chrome) -> None:
    world = site.asleep()
    with serving(world) as place:
        world.environment["PUBLIC_URL"] = f"{place.url}/app"
        visit(browser, place, "/.warmkeeper/")
        world.gone.add("table")
        for _ in range(6):
            look_again(browser, place)
        eventually(lambda: place.asked.count("GET /.warmkeeper/") == 2)
        assert "GET /app" not in place.asked
        assert WAKE not in place.asked


def test_a_wake_that_cannot_be_asked_for_says_so_and_leaves_the_button(browser: Chrome) -> None:
    world = site.asleep()
    world.failing.add("put_item")
    with serving(confirming(world)) as place:
        visit(browser, place)
        eventually(lambda: "Try again in a moment." in read(browser))
        assert read(browser, "button") == "Wake it"
        assert accessibility(browser) == []
        look_again(browser, place)
        assert place.asked.count(WAKE) == 1


def test_where_nothing_is_remembered_it_claims_nothing_and_goes_on_asking(
    browser: Chrome,
) -> None:
    world = site.asleep()
    world.gone.add("table")
    with serving(world) as place:
        visit(browser, place)
        assert read(browser, "#words") == "It is on its way."
        assert world.desired == 1
        for _ in range(2):
            look_again(browser, place)
        assert read(browser, "#words") == "No news of it for a moment. Still asking."
        assert not browser.find_element(By.ID, "wake").is_displayed()


def test_a_session_that_ends_while_the_page_waits_leads_to_the_login_by_the_page_s_own_url(
    browser: Chrome,
) -> None:
    with serving(site.woken_for(4)) as place:
        visit(browser, place, "/a?b=c#d")
        place.ended = True
        before = len(place.asked)
        eventually(lambda: "The login" in browser.page_source)
        assert place.asked[before:].count("GET /.warmkeeper/status") <= 1
        assert browser.current_url == f"{place.url}/a?b=c#d"
        assert place.asked.count("GET /a") == 2
        place.ended = False
        browser.refresh()
        eventually(lambda: "Finding a place to run it." in browser.page_source)
    assert violations(browser) == []


def test_a_wake_that_nobody_is_logged_in_for_leads_to_the_login(browser: Chrome) -> None:
    with serving(site.failed()) as place:
        visit(browser, place)
        place.ended = True
        before = len(place.asked)
        browser.find_element(By.ID, "wake").click()
        eventually(lambda: "The login" in browser.page_source)
        assert place.asked[before:].count("GET /.warmkeeper/status") <= 2  # its own, and a poll
        assert WAKE not in place.asked


def test_a_page_that_comes_back_without_a_session_waits_longer_each_time(browser: Chrome) -> None:
    remembered = "return JSON.parse(sessionStorage.getItem('warmkeeper /a'))?.[0]"
    with serving(site.woken_for(4)) as place:
        place.ended = True
        place.login_page = ""
        visit(browser, place, "/a")
        eventually(lambda: browser.execute_script(remembered) == 3)
        eventually(lambda: "came back here before" in read(browser, "#words"))
        assert place.asked.count("GET /a") == 4
        assert place.asked.count("GET /.warmkeeper/status") <= 4


def another_module(world: World) -> World:
    """The same world, of a module with another name: its control rule stands before ours."""
    world.environment["NAME"] = "intranet"
    return world


@pytest.mark.parametrize(
    "theirs",
    [World, site.asleep, site.failed, site.first_wake],
    ids=["awake", "asleep", "failed", "waking"],
)
def test_it_believes_no_other_module_s_status_and_looks_at_its_own_url_instead(
    browser: Chrome, theirs: Callable[[], World]
) -> None:
    world, other = site.woken_for(4), another_module(theirs())
    other.signal(Kind.ADOPT)
    with serving(world, other) as place:
        visit(browser, place, "/a?b=c#d")
        shown = "return [document.title, document.querySelector('#words')?.textContent]"
        seen: set[tuple[str, ...]] = set()

        def loaded(times: int) -> bool:
            seen.add(tuple(browser.execute_script(shown)))
            return place.asked.count("GET /a") >= times

        eventually(lambda: loaded(3), seconds=30)
        # while it is loaded anew nothing is there, or what the server said
        assert {each for each in seen if all(each)} - {("staging", "It is on its way.")} == {
            ("Waking staging", "Finding a place to run it.")
        }
        world.time += 13
        eventually(lambda: browser.execute_script(shown)[1] == "Fetching its image.")
        world.time += 20
        eventually(lambda: "The application" in browser.page_source)
        assert browser.current_url == f"{place.url}/a?b=c#d"
        assert "GET /.warmkeeper/status" in place.asked
        assert WAKE not in place.asked
    assert violations(browser) == []


def test_it_wakes_no_other_module_s_service_by_itself(browser: Chrome) -> None:
    world, other = confirming(site.asleep()), another_module(site.asleep())
    with serving(world, other) as place:
        visit(browser, place)
        eventually(lambda: "could not be asked for" in read(browser))
        known = place.asked.count("GET /")
        eventually(lambda: place.asked.count("GET /") > known)
        assert WAKE not in place.asked
        assert other.desired == 0


def test_it_wakes_no_other_module_s_service_by_a_click(browser: Chrome) -> None:
    world, other = site.failed(), another_module(site.asleep())
    with serving(world, other) as place:
        visit(browser, place)
        browser.find_element(By.ID, "wake").click()
        eventually(lambda: "could not be asked for" in read(browser))
        assert WAKE not in place.asked
        assert other.desired == 0


def test_nobody_s_service_is_asked_for_again_and_again_by_a_page_that_nobody_looks_at(
    browser: Chrome,
) -> None:
    world, other = site.woken_for(4), another_module(World())
    other.signal(Kind.ADOPT)
    with serving(world, other) as place:
        visit(browser, place)
        hidden = "Object.defineProperty(document, 'hidden', {value: true, configurable: true})"
        browser.execute_script(hidden)
        eventually(lambda: place.asked.count("GET /.warmkeeper/status") >= 2)
        time.sleep(1)  # from an answer to what the script does with it
        assert place.asked.count("GET /") == 1
        browser.execute_script("delete document.hidden")
        browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        eventually(lambda: place.asked.count("GET /") == 2)


def test_whoever_prefers_less_motion_sees_none(browser: Chrome) -> None:
    moves = "return getComputedStyle(document.querySelector('.now'), '::before').animationName"
    with serving(site.first_wake()) as place:
        visit(browser, place)
        assert browser.execute_script(moves) == "breathe"
        prefer(browser, motion="reduce")
        assert browser.execute_script(moves) == "none"


def test_the_settings_colours_logo_title_and_texts_are_shown_and_accessible(
    browser: Chrome,
) -> None:
    page: dict[str, Any] = site.BRAND | {"title": "<b>Shop</b> & 'Co' " + "x" * 80}
    page |= {"texts": {"ar": {**site.TEXTS["en"], "failed": "<i>تعذّر البدء</i>"}}}
    speak(browser, "ar")
    with serving(settle(site.failed(), page)) as place:
        visit(browser, place)
        assert read(browser, "h1") == page["title"]
        assert read(browser, "#words") == page["texts"]["ar"]["failed"]
        assert browser.execute_script("return document.dir") == "rtl"
        assert browser.execute_script("return document.querySelector('img').naturalWidth") > 0
        colour = "return getComputedStyle(document.querySelector('button')).backgroundColor"
        assert browser.execute_script(colour) == "rgb(15, 107, 92)"
        for scheme in ("light", "dark"):
            prefer(browser, scheme)
            assert accessibility(browser) == []
    assert violations(browser) == []


def test_in_a_page_of_one_s_own_the_policy_lets_run_what_bears_the_nonce_and_nothing_else(
    browser: Chrome,
) -> None:
    own = """<!doctype html><html lang="{{lang}}"><title>{{title}}</title><h1>{{words}}</h1>
      <script nonce="{{nonce}}">fetch("{{status_url}}").then((r) => r.json()).then((status) => {
        document.title = status.phase + " " + {{texts}}.retry; });</script>
      <script>document.title = "not ours";</script>"""
    with serving(settle(site.woken_for(17), {"html": own})) as place:
        visit(browser, place)
        eventually(lambda: browser.title == "waking Try again")
        assert read(browser, "h1") == "It is on its way."
    assert len(violations(browser)) == 1


def test_the_page_of_one_s_own_in_the_docs_wakes_the_service_and_enters_the_app(
    browser: Chrome,
) -> None:
    (own,) = re.findall(r"```html\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    world = confirming(settle(site.asleep(), {"html": own}))
    with serving(world) as place:
        visit(browser, place, "/a?b=c#d")
        eventually(lambda: WAKE in place.asked)
        world.time += 40
        eventually(lambda: "The application" in browser.page_source)
        assert browser.current_url == f"{place.url}/a?b=c#d"
        assert place.asked.count(WAKE) == 1
    assert violations(browser) == []
