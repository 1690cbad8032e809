"""examples/staging on the local cloud, over real HTTP: falling asleep, waking, and what it costs.

How long it takes is a matter of `make bench`. Here bounds are of simulated minutes alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from localcloud.client import LocalCloud
from tests.estate import Estate
from tests.waits import until

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

IDLE_MINUTES, MIN_AWAKE_MINUTES, LINGER_MINUTES, TICK_MINUTES = 5, 8, 1, 1
BROWSER = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}


def test_an_idle_service_is_at_zero_within_idle_minutes_and_six_more(
    estate: Estate, cloud: LocalCloud
) -> None:
    keep_busy(estate, cloud)
    last = cloud.now()
    cloud.advance_until(lambda: estate.service()["desiredCount"] == 0, minutes=15, speed=60)
    (update,) = estate.updates(cloud, last)
    assert (update - last) / 60 <= IDLE_MINUTES + 6
    assert estate.phase() == "asleep"


def test_the_first_request_is_held_and_gets_the_app_s_own_answer(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    asked = cloud.now()
    answer = estate.get("/api/time?a=1&a=2")
    assert answer.status_code == 200
    assert answer.json()["path"] == "/api/time?a=1&a=2"
    assert {hop.status_code for hop in answer.history} == {307}
    assert len(estate.updates(cloud, asked)) == 1


def test_a_browser_gets_a_page_that_says_so_and_then_the_app(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    page = requests.get(estate.url + "/", headers=BROWSER, timeout=300)
    assert page.status_code == 503
    assert page.headers["Cache-Control"] == "no-store"
    assert "text/html" in page.headers["Content-Type"]
    assert int(page.headers["Retry-After"]) >= 1
    estate.until("awake")

    def entered() -> bool:
        page = requests.get(estate.url + "/", headers=BROWSER, timeout=300)
        return "The service is awake" in page.text

    until(entered, "the app")


@pytest.fixture
def one_node(cloud: LocalCloud) -> Iterator[None]:
    """A load balancer of one node, which hears of each change at once."""
    with cloud.having("elb", propagation_seconds=[0]):
        yield


@pytest.mark.usefixtures("one_node")
def test_a_drowsy_service_answers_by_its_running_tasks_after_one_redirect(
    estate: Estate, cloud: LocalCloud
) -> None:
    began = cloud.now()
    for _ in range(5):
        estate.fall_drowsy()
        answer = estate.get()
        while not answer.history:  # the wake rule was not up yet
            assert answer.status_code == 200
            answer = estate.get()
        assert [hop.status_code for hop in answer.history] == [307]
        assert answer.status_code == 200
    assert estate.updates(cloud, began) == []


def test_a_wake_that_nobody_follows_up_ends_although_the_alarm_never_left_alarm(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    cloud.advance_until(lambda: estate.idle_alarm()["StateValue"] == "ALARM", minutes=15)
    requests.get(estate.url + "/", headers=BROWSER, timeout=300)  # and never comes back
    estate.until("awake")
    awake = estate.memory()["since"]
    cloud.advance_until(lambda: estate.reached("asleep"), minutes=15, speed=60)
    minutes = (estate.memory()["since"] - awake) / 60
    assert minutes <= MIN_AWAKE_MINUTES + LINGER_MINUTES + 2 * TICK_MINUTES
    alarm = estate.idle_alarm()
    assert alarm["StateValue"] == "ALARM"
    assert alarm["StateUpdatedTimestamp"].timestamp() < awake


@pytest.fixture
def room_for_ten(estate: Estate) -> Iterator[None]:
    """What is for an account whose functions may run ten at a time, as they may here, in short."""
    client, name = estate.client("lambda"), estate.outputs["function_name"]
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    few = {"Variables": {**before, "HOLD_LIMIT": "5", "HOLD_SECONDS": "10"}}
    client.update_function_configuration(FunctionName=name, Environment=few)
    yield
    client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@pytest.mark.usefixtures("room_for_ten")
def test_of_sixty_simultaneous_first_requests_who_follows_and_comes_again_is_served(
    estate: Estate, cloud: LocalCloud
) -> None:
    usual = {"cause": "request", "seconds": 12, "times": {"live": cloud.now() - 7200}}
    estate.forget_wakes(usual)  # what Retry-After goes by
    estate.fall_asleep(cloud)
    cloud.settings(ecs={"failure": "capacity"})  # until they are heard, on a machine that is shared
    asked, told_when = cloud.now(), threading.Semaphore(0)

    def ask(number: int) -> requests.Response:
        while (answer := estate.get(f"/api/time?n={number}")).status_code == 503:
            told_when.release()
            time.sleep(int(answer.headers["Retry-After"]))
        return answer

    with ThreadPoolExecutor(60) as clients:
        asking = [clients.submit(ask, number) for number in range(60)]
        for _ in range(45):
            assert told_when.acquire(timeout=300), "most are told at once when to come again"
        cloud.settings(ecs={"failure": None})
        answers = [one.result() for one in asking]
    assert [answer.status_code for answer in answers] == [200] * 60
    assert len({answer.json()["path"] for answer in answers}) == 60
    assert any(answer.history for answer in answers), "some are held and sent on"
    assert len(estate.updates(cloud, asked)) == 1


def test_a_wake_that_cannot_succeed_ends_is_told_and_waits_before_the_next(
    estate: Estate, cloud: LocalCloud
) -> None:
    estate.fall_asleep(cloud)
    cloud.settings(ecs={"failure": "image"})
    before = len(cloud.mailbox())
    requests.get(estate.url + "/", headers=BROWSER, timeout=300)
    cloud.advance_until(lambda: told(cloud, "wake failed", before), minutes=15, speed=30)
    memory = estate.memory()
    assert memory["phase"] == "asleep"
    assert memory["failures"] == 1
    assert "CannotPullContainerError" in memory["failure"]
    began = cloud.now()
    answer = estate.get()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 1
    assert estate.updates(cloud, began) == []
    cloud.advance_until(lambda: told(cloud, "staging-failed-wake", before), minutes=5)


def told(cloud: LocalCloud, words: str, before: int = 0) -> bool:
    """Whether the topic has got a message with these words, after so many others."""
    return any(words in mail["message"] for mail in cloud.mailbox()[before:])


def keep_busy(estate: Estate, cloud: LocalCloud) -> None:
    """A request every half minute until CloudWatch, too, has seen that the service is in use."""
    for _ in range(30):
        assert estate.get().status_code == 200
        if estate.idle_alarm()["StateValue"] == "OK":
            return
        cloud.advance(30, speed=60)
    raise AssertionError("the idle alarm never left ALARM")
