"""Pictures of the page in every state, light beside dark, for docs/guide/page.md and the README.

python -m tests.browser.pictures    writes docs/images/page/*.png
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from PIL import Image
from selenium.webdriver import Chrome

from tests.browser import site
from tests.browser.chromium import NO_JAVASCRIPT, chromium, prefer, speak
from tests.browser.site import Site, confirming, serving, settle
from tests.warmkeeper.world import World

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images" / "page"
WIDTH, HEIGHT, SCALE, GAP = 400, 500, 2, 16
COLOURS = 128  # of a picture: flat grounds and the edges of letters
OVERVIEW = ("placed", "failed")
ACROSS = 3  # states side by side on the sheet of all


def look_again(driver: Chrome, _: Site) -> None:
    driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")


def fall_asleep(driver: Chrome, place: Site) -> None:
    """Somebody else puts it to sleep."""
    place.world = site.asleep()
    look_again(driver, place)


def become_ready(driver: Chrome, place: Site) -> None:
    """Ready, on a page that was here twice before and so pauses long enough for a picture."""
    before = "sessionStorage.setItem('warmkeeper /', JSON.stringify([2, Date.now()]))"
    driver.execute_script(before)
    place.world.time += 5
    look_again(driver, place)


def slow_to_wake() -> World:
    """One that takes a while to hear the page's own wake."""
    world = confirming(site.asleep())
    world.between("update_service", lambda: time.sleep(2))
    return world


def without_events(_: Chrome, __: Site) -> None:
    """Nothing happens."""


Event = Callable[[Chrome, Site], None]
SCRIPTED: dict[str, tuple[str, Callable[[], World], Event]] = {
    **{name: ("en", make, without_events) for name, make in site.STATES.items()},
    "asleep": ("en", lambda: site.woken_for(3), fall_asleep),
    "confirm": ("en", slow_to_wake, without_events),
    "ready": ("en", lambda: site.woken_for(29), become_ready),
    "french": ("fr", lambda: site.woken_for(23), without_events),
    "branded": ("en", lambda: settle(site.woken_for(23), site.BRAND), without_events),
}
UNSCRIPTED: dict[str, tuple[str, Callable[[], World], Event]] = {
    "no-script": ("en", lambda: site.woken_for(23), without_events),
    "no-script-confirm": ("en", lambda: confirming(site.asleep()), without_events),
}


def take(driver: Chrome, lang: str, make: Callable[[], World], event: Event) -> Image.Image:
    """One state, light beside dark."""
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    speak(driver, lang)
    both = Image.new("RGB", ((2 * WIDTH + GAP) * SCALE, HEIGHT * SCALE), "white")
    for place_of, scheme in enumerate(("light", "dark")):
        prefer(driver, scheme, "reduce")
        with contextlib.redirect_stdout(io.StringIO()), serving(make()) as place:
            driver.get(place.url)
            event(driver, place)
            time.sleep(0.3)
            shot = Image.open(io.BytesIO(driver.get_screenshot_as_png()))
        both.paste(shot, ((WIDTH + GAP) * SCALE * place_of, 0))
    return both


def write(picture: Image.Image, name: str) -> None:
    """A PNG with its most frequent colours alone, which are the page's own and exact."""
    counted = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [part for _, colour in counted[:COLOURS] for part in cast(tuple[int, ...], colour)]
    )
    few = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """All of them on one, at half their size."""
    width, height = (side // 2 + GAP for side in pictures[0].size)
    rows = -(-len(pictures) // ACROSS)
    whole = Image.new("RGB", (width * ACROSS, height * rows), "white")
    for number, picture in enumerate(pictures):
        small = picture.resize((width - GAP, height - GAP), Image.Resampling.LANCZOS)
        whole.paste(small, (width * (number % ACROSS), height * (number // ACROSS)))
    return whole


def main() -> int:
    """Takes every picture; 0, or it raises."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    taken: dict[str, Image.Image] = {}
    for states, preferences in ((SCRIPTED, {}), (UNSCRIPTED, NO_JAVASCRIPT)):
        with chromium(preferences=preferences) as driver:
            taken |= {name: take(driver, *state) for name, state in states.items()}
    for name, picture in taken.items():
        write(picture, name)
    parts = [taken[name] for name in OVERVIEW]
    wide = Image.new("RGB", (parts[0].width * 2 + GAP * SCALE, parts[0].height), "white")
    for number, part in enumerate(parts):
        wide.paste(part, ((part.width + GAP * SCALE) * number, 0))
    write(wide, "overview")
    # what is made smaller has colours in between, of which the most frequent say little
    sheet(list(taken.values())).quantize(256).save(FOLDER / "states.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
