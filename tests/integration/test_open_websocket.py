"""A WebSocket through the example's Caddy and the load balancer, on the applied estate.

The clock runs fast, and what runs in real time runs as much faster: thirty seconds between two
beats, and between two health checks of Caddy's, are thirty of the local cloud's.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import requests

from localcloud.client import LocalCloud
from tests.caddy import Caddy, beating
from tests.estate import Estate
from tests.waits import until

SPEED = 60.0
BETWEEN_SECONDS = 30.0
IDLE_SECONDS = 300.0
WORD_SECONDS = 0.2

pytestmark = [
    pytest.mark.caddy,
    pytest.mark.cloud,
    pytest.mark.terraform,
    pytest.mark.skipif(shutil.which("caddy") is None, reason="no caddy on PATH: make tools"),
]


@pytest.fixture
def patient(estate: Estate) -> Iterator[Estate]:
    """The estate with a load balancer that bears a silence of five minutes on a connection.

    Its own minute is one second here, and a machine can be busy for as long.
    """
    balancing = estate.client("elbv2")
    (found,) = balancing.describe_load_balancers()["LoadBalancers"]
    arn, key = found["LoadBalancerArn"], "idle_timeout.timeout_seconds"

    def bear(seconds: str) -> None:
        attributes = [{"Key": key, "Value": seconds}]
        balancing.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)

    attributes = balancing.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    before = next((each["Value"] for each in attributes if each["Key"] == key), "60")
    bear("300")
    yield estate
    bear(before)


class Socket:
    """How often an open WebSocket has been answered."""

    def __init__(self) -> None:
        self.answers = 0
        self.over = threading.Event()

    async def talk(self, url: str) -> None:
        """Says a word and hears it back, again and again, until it is over."""
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            while not self.over.is_set():
                await socket.send_str("hello")
                self.answers += await socket.receive_str() == "hello"
                await asyncio.sleep(WORD_SECONDS)


@contextmanager
def open_websocket(caddy: Caddy) -> Iterator[Socket]:
    """Somebody with a WebSocket open through Caddy, for as long as this lasts."""
    socket = Socket()
    thread = threading.Thread(target=asyncio.run, args=(socket.talk(f"{caddy.url}/live"),))
    thread.start()
    try:
        yield socket
        assert thread.is_alive(), "the connection was cut"
    finally:
        socket.over.set()
        thread.join(10)


def test_an_open_websocket_keeps_it_awake_without_a_request_and_caddy_alone_does_not(
    patient: Estate, cloud: LocalCloud, tmp_path: Path
) -> None:
    estate, interval = patient, BETWEEN_SECONDS / SPEED
    heartbeat = estate.outputs["heartbeat_url"]
    caddy = Caddy(estate.url, tmp_path, HEALTH_INTERVAL=f"{interval * 1000:.0f}ms")
    served = f"{estate.url}/api/time"  # and not by the warmkeeper, where the rule has just moved
    until(lambda: requests.get(served, allow_redirects=False).status_code == 200, "its own answer")
    with caddy.running(), beating(caddy, heartbeat, interval) as script:
        with open_websocket(caddy) as socket:
            end, phases = cloud.now() + 3 * IDLE_SECONDS, set[str]()

            def over() -> bool:
                phases.add(estate.phase())
                return cloud.now() > end

            cloud.advance_until(over, minutes=40, speed=SPEED)
            assert phases == {"awake"}, script.lines
            assert estate.idle_alarm()["StateValue"] == "ALARM", "there were requests"
            answers = socket.answers
            cloud.advance(20, SPEED)
            assert socket.answers > answers
        closed = cloud.now()

        def asleep() -> bool:
            requests.post(heartbeat, json={"in_flight": 0, "requests": 0}, timeout=300)
            return estate.reached("asleep")

        cloud.advance_until(asleep, minutes=30, speed=SPEED)
        assert script.last_said("No activity")
        cloud.advance(4 * BETWEEN_SECONDS, SPEED)
        beat = requests.post(heartbeat, json={"in_flight": 1}, timeout=300).json()
        assert (beat["phase"], beat["counted"]) == ("asleep", True), "a beat never wakes"
        assert len(estate.updates(cloud, closed)) == 1
        woken = requests.get(f"{caddy.url}/api/time", timeout=300)
        assert woken.status_code == 200, woken.text
        assert woken.json()["path"] == "/api/time"
        assert {hop.status_code for hop in woken.history} == {307}
