"""An estate with the routes to its service, and clients that ask by all of them at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from localcloud.client import LocalCloud
from tests.estate import EXAMPLES, SLOW, Estate, Example
from tests.surroundings import Surroundings

API_CLIENT = {"Accept": "application/json"}
BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
MOST_TRIES = 5
PAUSE_SECONDS = 0.25  # between two requests of a client


@dataclass(frozen=True)
class Route:
    """A way to the service: where its listener is, and the host that is asked for."""

    url: str
    host: str

    def get(self, headers: dict[str, str] = API_CLIENT, **options: Any) -> requests.Response:
        """GET as an API client that follows redirects, unless the caller says otherwise."""
        headers = {**headers, "Host": self.host}
        return requests.get(f"{self.url}/api/time", headers=headers, timeout=300, **options)


Asks = Callable[[Route], str]


class Home(Estate):
    """A configuration in its surroundings, and the routes by which its service is reached.

    `configuration` is the name of an example, or a folder.
    """

    def __init__(
        self,
        cloud: LocalCloud,
        configuration: str | Path,
        scratch: Path,
        surroundings: Surroundings,
        **variables: Any,
    ) -> None:
        name = surroundings.name
        names = {"cluster_name": name, "service_name": f"{name}-app"}
        self.cloud = cloud
        self.routes: dict[str, Route] = {}
        workspace = Example(
            EXAMPLES / configuration,
            scratch,
            cloud.environment(),
            {**names, **variables},
            keeps_provider=True,
            more={
                **names,
                "url": cloud.load_balancer(name),
                "table_name": f"{name}-app-warmkeeper",
            },
        )
        workspace.init()
        workspace.apply()
        super().__init__(workspace, surroundings)

    def add_route(self, key: str, host: str = "example.com", port: int = 80) -> None:
        """The service is reached at this listener, by this host."""
        listener = f"{self.outputs['cluster_name']}:{port}"
        self.routes[key] = Route(self.cloud.load_balancer(listener), host)

    def served_by_its_rules(self) -> bool:
        """Whether every route leads to the service at once, without a redirect."""
        answers = [route.get(allow_redirects=False) for route in self.routes.values()]
        return [answer.status_code for answer in answers] == [200] * len(self.routes)

    def quiet_in(self, phase: str) -> bool:
        """Whether a plan has neither a change nor a warning, and the phase is still this one."""
        with self.cloud.at_speed(SLOW):
            quiet = not self.workspace.changes() and self.workspace.warnings() == ""
        return quiet and self.phase() == phase

    def count_to(self, count: int) -> None:
        """The owner sets the count, and its tasks serve."""
        self.client("ecs").update_service(
            cluster=self.outputs["cluster_name"],
            service=self.outputs["service_name"],
            desiredCount=count,
        )
        self.cloud.advance_until(lambda: self.service()["runningCount"] == count, minutes=5)

    def told(self) -> Callable[[], bool]:
        """Whether Terraform has told the module of something, asked from now on."""
        since = self.cloud.calls()[-1]["n"]
        return lambda: bool(
            self.cloud.calls(since, service="lambda", action="Invoke", caller="local")
        )

    def settle_awake(self) -> None:
        """Awake by its own decision, and past everything that comes after a wake."""
        self.cloud.advance_until(lambda: self.phase() == "awake", minutes=5, speed=20)
        self.forget_wakes()


def as_api_client(route: Route) -> str:
    """What is wrong with the answer that a request gets in the end; "" for the service's.

    It comes again after `Retry-After`, which the warmkeeper says where it can hold nobody.
    """
    answer = route.get()
    tries = 1
    while "Retry-After" in answer.headers and tries < MOST_TRIES:
        time.sleep(float(answer.headers["Retry-After"]))
        answer = route.get()
        tries += 1
    return "" if answer.status_code == 200 else f"{answer.status_code}: {answer.text}"


def as_browser(route: Route) -> str:
    """The same of the page that comes at once: it may be the waiting page, too."""
    answer = route.get(BROWSER, allow_redirects=False)
    good = answer.status_code == 200 or "X-Warmkeeper-Phase" in answer.headers
    return "" if good else f"{answer.status_code}: {answer.text}"


@dataclass
class Clients:
    """What the clients of one `asking` have heard, by route and kind."""

    answers: dict[tuple[str, Asks], list[str]]

    def lost(self) -> list[str]:
        """What was wrong with answers. AssertionError if a client has asked nothing."""
        assert all(self.answers.values()), self.answers
        return [each for heard in self.answers.values() for each in heard if each]


@contextmanager
def asking(
    home: Home, *, begins: Callable[[], bool] = lambda: True, but: Sequence[str] = ()
) -> Iterator[Clients]:
    """While the block runs, two clients for each route ask again and again, from `begins` on.

    One is held by a service that wakes; the other sees what answers meanwhile. Nobody asks by the
    routes whose keys begin with one of `but`.
    """
    routes = [key for key in home.routes if not key.startswith(tuple(but))]
    both = [(key, asks) for key in routes for asks in (as_api_client, as_browser)]
    clients = Clients({client: [] for client in both})
    over = threading.Event()

    def ask(key: str, asks: Asks) -> None:
        while not begins() and not over.is_set():
            over.wait(PAUSE_SECONDS)
        while not over.is_set():
            try:
                wrong = asks(home.routes[key])
            except requests.RequestException as error:
                wrong = repr(error)
            clients.answers[key, asks].append(wrong)
            over.wait(PAUSE_SECONDS)

    with ThreadPoolExecutor(len(both)) as threads:
        asked = [threads.submit(ask, *each) for each in both]
        try:
            yield clients
        finally:
            over.set()
    for each in asked:
        each.result()
