"""A schedule on the local cloud: its hours begin and end in every phase."""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import requests
from selenium.webdriver.common.by import By

from localcloud.client import LocalCloud
from tests.browser import chromium
from tests.estate import Estate
from tools import time_zones

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cloud,
    pytest.mark.skipif(chromium.MISSING, reason="no chromedriver: make tools"),
    pytest.mark.terraform,
]

ZONE = "Asia/Kathmandu"  # 5:45 before UTC
AWAKE_MINUTES, CLOSED_MINUTES, OPEN_MINUTES = 12, 40, 2
SLOW_PULL_SECONDS = 240.0  # a wake lasts into the second closed hours, and not to its deadline


def clock(at: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at, zone):%H:%M}"


def asked(estate: Estate) -> requests.Response:
    """A request that follows no redirect."""
    return estate.get(allow_redirects=False)


def test_hours_hold_it_awake_then_turn_requests_away_and_then_let_them_wake_it(
    estate: Estate, cloud: LocalCloud
) -> None:
    zone = time_zones.zone_info(ZONE)
    estate.fall_asleep(cloud)
    awake = (cloud.now() + 240) // 60 * 60
    closed = awake + AWAKE_MINUTES * 60
    opens = closed + CLOSED_MINUTES * 60
    again = opens + OPEN_MINUTES * 60
    schedule = {
        "time_zone": ZONE,
        "awake": [{"from": clock(awake, zone), "to": clock(closed, zone)}],
        "closed": [
            {"from": clock(closed, zone), "to": clock(opens, zone)},
            {"from": clock(again, zone), "to": clock(again + 1200, zone)},
        ],
    }
    estate.apply(cloud, schedule=json.dumps(schedule))
    assert estate.phase() == "asleep"

    # awake hours wake it, and hold it though nobody comes
    cloud.advance_until(lambda: estate.phase() == "awake", minutes=10, speed=20)
    assert estate.memory()["wakes"][-1]["cause"] == "schedule"
    assert cloud.now() >= awake
    assert estate.invoke({"command": "sleep"})["reason"] == "stays awake: awake by the schedule"

    # closed hours put it to sleep, though somebody comes
    cloud.advance_until(lambda: estate.phase() == "drowsy", minutes=30, speed=60)
    # a rule moves after the phase is written, and reaches one node after the other
    cloud.advance_until(lambda: asked(estate).status_code == 503, minutes=2, speed=1)
    cloud.settle()
    assert cloud.now() >= closed
    answer = asked(estate)
    assert answer.status_code == 503
    assert answer.json()["closed_until"] == opens
    assert int(answer.headers["Retry-After"]) == pytest.approx(opens - cloud.now(), abs=60)
    assert estate.phase() == "drowsy"
    cloud.advance_until(lambda: estate.reached("asleep"), minutes=10, speed=20)
    assert asked(estate).status_code == 503
    assert requests.post(f"{estate.url}/.warmkeeper/wake", timeout=60).status_code == 503
    assert estate.phase() == "asleep"

    # a command opens them, and the command sleep closes them again
    estate.wake()
    cloud.settle()
    assert estate.get().status_code == 200
    assert estate.invoke({"command": "status"})["hours"]["window"] == "reopened"
    estate.fall_asleep(cloud)
    assert asked(estate).status_code == 503

    # once they are over, the page that has said so wakes it; closed hours that begin meanwhile let
    # the wake end
    cloud.settings(ecs={"pull_seconds": SLOW_PULL_SECONDS})
    with chromium.chromium() as browser:
        browser.get(estate.url)
        assert "It is closed until" in browser.find_element(By.ID, "words").text
        cloud.advance(opens + 1 - cloud.now(), speed=240)
        browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        estate.until("waking")
    cloud.advance(again + 1 - cloud.now(), speed=60)
    assert estate.phase() == "waking"
    with estate.without_ticks():  # the next one after the wake's end puts it to sleep
        cloud.advance_until(lambda: estate.phase() == "awake", minutes=10, speed=20)
        cloud.advance_until(lambda: asked(estate).status_code == 200, minutes=2, speed=1)
        assert cloud.now() < again + 1200
    cloud.advance_until(lambda: estate.reached("asleep"), minutes=15, speed=20)
