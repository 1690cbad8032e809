"""Real clients before a sleeping service: who follows redirects is served by that alone.

All of them ask at once, within one cold start. A function that holds a request runs at the speed of
the wall clock, whatever the local cloud's clock is told (localcloud), so a cold start of 70 s
takes as long: a sped-up one would not have these clients wait.

docs/guide/waiting.md has a table of clients. What it says of those that are at hand is tried here:
what CI has (Python's, curl, Node) always, wget and Java where they are installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
import urllib3

from localcloud.client import LocalCloud
from tests.estate import REPOSITORY, Estate

MISSING = [program for program in ("curl", "node") if not shutil.which(program)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}: make tools")

DOCUMENT = REPOSITORY / "docs" / "guide" / "waiting.md"
PATIENCE_SECONDS = 300
BODY = json.dumps({"words": "as it was sent " * 64}).encode()
JSON = {"Accept": "application/json", "Content-Type": "application/json"}

NODE = """
const [url, method, body] = process.argv.slice(1);
const init = method === "POST" ? {method, body} : {method};
init.headers = {"Content-Type": "application/json"};
fetch(url, init).then(async (answer) =>
  console.log(JSON.stringify([answer.status, await answer.text()])));
"""

JAVA = """
import java.net.URI;
import java.net.http.*;

class Ask {
  public static void main(String[] given) throws Exception {
    HttpRequest.Builder asked = HttpRequest.newBuilder(URI.create(given[0]));
    if (given[1].equals("POST")) {
      asked.POST(HttpRequest.BodyPublishers.ofString(given[2]));
    }
    HttpResponse<String> answer = HttpClient.newHttpClient()
        .send(asked.build(), HttpResponse.BodyHandlers.ofString());
    System.out.println(answer.statusCode());
    System.out.print(answer.body());
  }
}
"""


@dataclass(frozen=True)
class Answer:
    """What a client ends with; `hops` is how many redirects it followed, where it tells."""

    status: int
    body: str
    hops: int | None = None


Client = Callable[[str, "bytes | None"], Answer]


class FailedError(RuntimeError):
    """A program ended with a status other than 0; the message is what it said."""


def run(*command: str, given: bytes = b"") -> str:
    """What a program prints. Raises FailedError."""
    ran = subprocess.run(command, input=given, capture_output=True, timeout=PATIENCE_SECONDS)
    if ran.returncode:
        raise FailedError(f"{command[0]}: {ran.stderr.decode()}")
    return ran.stdout.decode()


def curl(url: str, body: bytes | None, *flags: str) -> Answer:
    sent = ["--data-binary", "@-", "-H", "Content-Type: application/json"] if body else []
    told = run(
        *("curl", "--silent", "--show-error", *flags, *sent),
        *("--write-out", "\n%{http_code} %{num_redirects}", url),
        given=body or b"",
    )
    text, _, end = told.rpartition("\n")
    status, hops = end.split()
    return Answer(int(status), text, int(hops))


def curl_following(url: str, body: bytes | None) -> Answer:
    return curl(url, body, "--location")


def with_requests(url: str, body: bytes | None) -> Answer:
    method = "POST" if body else "GET"
    answer = requests.request(method, url, data=body, headers=JSON, timeout=PATIENCE_SECONDS)
    return Answer(answer.status_code, answer.text, len(answer.history))


def with_httpx(url: str, body: bytes | None, *, follow: bool = False) -> Answer:
    method = "POST" if body else "GET"
    with httpx.Client(follow_redirects=follow, timeout=PATIENCE_SECONDS) as client:
        answer = client.request(method, url, content=body, headers=JSON)
    return Answer(answer.status_code, answer.text, len(answer.history))


def httpx_following(url: str, body: bytes | None) -> Answer:
    return with_httpx(url, body, follow=True)


def with_aiohttp(url: str, body: bytes | None) -> Answer:
    async def ask() -> Answer:
        method = "POST" if body else "GET"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body, headers=JSON) as answer,
        ):
            return Answer(answer.status, await answer.text(), len(answer.history))

    return asyncio.run(ask())


def with_urllib3(url: str, body: bytes | None) -> Answer:
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST" if body else "GET", url, body=body, headers=JSON)
    assert answer.retries
    return Answer(answer.status, answer.data.decode(), len(answer.retries.history))


def with_urllib(url: str, body: bytes | None) -> Answer:
    request = urllib.request.Request(url, body, JSON)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE_SECONDS) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())


def node(url: str, body: bytes | None) -> Answer:
    method = "POST" if body else "GET"
    status, text = json.loads(run("node", "-e", NODE, url, method, (body or b"").decode()))
    return Answer(status, text)


def wget(url: str, body: bytes | None) -> Answer:
    kind = "--header=Content-Type: application/json"
    sent = [f"--post-data={body.decode()}", kind] if body else []
    told = run("wget", "--quiet", "--tries=1", "--output-document=-", *sent, url)
    return Answer(200, told)  # else it fails


def java(source: Path) -> Client:
    source.write_text(JAVA)

    def ask(url: str, body: bytes | None) -> Answer:
        method = "POST" if body else "GET"
        told = run("java", str(source), url, method, (body or b"").decode())
        status, _, text = told.partition("\n")
        return Answer(int(status), text)

    return ask


# How each says that it has followed too many, the programs by their exit status; urllib answers.
TOO_MANY = (
    aiohttp.TooManyRedirects,
    httpx.TooManyRedirects,
    requests.TooManyRedirects,
    urllib3.exceptions.MaxRetryError,
    FailedError,
)

# By their names in the table. The first four ask at both cold starts, and with a body, too.
NAMED: dict[str, Client] = {
    "`curl -L`": curl_following,
    "Python's requests": with_requests,
    "Python's httpx, `follow_redirects=True`": httpx_following,
    "Node's `fetch`": node,
}
SHORT: dict[str, Client] = {
    "Python's aiohttp": with_aiohttp,
    "Python's `urllib`": with_urllib,
    "Python's urllib3": with_urllib3,
}
STAYING: dict[str, Client] = {"`curl`": curl, "Python's httpx": with_httpx}


@pytest.fixture(scope="module")
def staying(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Client]:
    """The clients that follow nothing, with Java's where it is installed."""
    source = tmp_path_factory.mktemp("java") / "Ask.java"
    return STAYING | ({"Java's `HttpClient`": java(source)} if shutil.which("java") else {})


def documented() -> dict[str, str]:
    """How many redirects each client follows, by the section Clients of docs/guide/waiting.md."""
    section = DOCUMENT.read_text().split("\n## Clients\n")[1].split("\n## ")[0]
    rows = re.findall(r"(?m)^\| ([^|]+?) \| ([^|]+?) \|", section)
    return dict(rows)


@dataclass(frozen=True)
class Asked:
    """What a client asks for, with a body by POST."""

    client: Client
    path: str
    body: bytes | None = None


def named() -> dict[str, Asked]:
    """What each of the four asks for, no two for the same."""
    asked = {}
    for number, (name, client) in enumerate(NAMED.items()):
        asked[name] = Asked(client, f"/api/time?a=1&a=2&n={number}")
        asked[f"{name}, a POST"] = Asked(client, f"/api/time?n={number}", BODY)
    return asked


def first_requests(
    estate: Estate, cloud: LocalCloud, pull_seconds: int, asked: dict[str, Asked]
) -> dict[str, Answer]:
    """All of them at once, asleep, for one cold start with such an image. Their answers."""
    estate.fall_asleep(cloud)
    began = cloud.now()
    cloud.settings(ecs={"provisioning_seconds": 3, "pull_seconds": pull_seconds})
    with ThreadPoolExecutor(len(asked)) as pool:
        given = {
            name: pool.submit(one.client, estate.url + one.path, one.body)
            for name, one in asked.items()
        }
        answers = {name: answer.result() for name, answer in given.items()}
    assert len(estate.updates(cloud, began)) == 1
    return answers


def served(asked: dict[str, Asked], answers: dict[str, Answer]) -> list[int]:
    """Each has got what the app answers to it; how many hops they tell of."""
    for name, one in asked.items():
        assert answers[name].status == 200, (name, answers[name])
        told = json.loads(answers[name].body)
        assert told["path"] == one.path, name
        assert told.get("received_bytes", 0) == len(one.body or b""), name
    return [hops for name in asked if (hops := answers[name].hops) is not None]


def holds(cold_start: float) -> int:
    """So many times they are held at least, and sent on; a node that hears late adds a hop."""
    return 1 + int((cold_start - 2) // 25)


@pytest.mark.cloud
@pytest.mark.terraform
def test_at_a_cold_start_of_10_s_who_follows_is_served_and_who_does_not_is_told_where_to_ask(
    estate: Estate, cloud: LocalCloud, staying: dict[str, Client]
) -> None:
    asked = named()
    stay = {name: Asked(one, "/api/time?c=1") for name, one in staying.items()}
    stay["Python's `urllib`, a POST"] = Asked(with_urllib, "/api/time?c=1", BODY)
    answers = first_requests(estate, cloud, 4, asked | stay)
    took = estate.memory()["wakes"][-1]["seconds"]
    assert took > 7  # a machine that is shared may take longer than 10
    assert min(served(asked, answers)) >= holds(took)
    told = {name: answers[name] for name in stay if answers[name].status == 307}
    for name, answer in told.items():
        assert json.loads(answer.body)["phase"] in ("awake", "waking"), name
    # a program that takes long to start on a busy machine asks when the wake is over
    ahead = cloud.now() - time.time()  # the application's clock is the machine's
    live = estate.memory()["wakes"][-1]["times"]["live"]
    for name in stay.keys() - told.keys():
        asked_at = datetime.fromisoformat(json.loads(answers[name].body)["time"])
        assert asked_at.timestamp() + ahead >= live, name
    assert told


@pytest.mark.cloud
@pytest.mark.terraform
def test_at_a_cold_start_of_70_s_who_follows_is_served_after_three_hops(
    estate: Estate, cloud: LocalCloud
) -> None:
    asked = named()
    answers = first_requests(estate, cloud, 62, asked)
    took = estate.memory()["wakes"][-1]["seconds"]
    assert took > 65
    assert min(served(asked, answers)) >= holds(took) >= 3


# --- the limits of the clients themselves --------------------------------------------------------


@contextlib.contextmanager
def round_and_round() -> Iterator[tuple[str, Counter[str]]]:
    """A server that answers everything with a 307 to itself, and counts; its URL."""
    counted: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            counted[self.path] += 1
            self.send_response(307)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", counted
    finally:
        server.shutdown()
        server.server_close()


def test_each_client_follows_as_many_redirects_to_the_same_url_as_the_table_says(
    staying: dict[str, Client],
) -> None:
    clients = NAMED | SHORT | staying | ({"wget": wget} if shutil.which("wget") else {})
    followed: dict[str, str] = {}
    with round_and_round() as (url, counted):
        for number, (name, client) in enumerate(clients.items()):
            seen = []
            for path, body in ((f"/{number}", None), (f"/{number}/body", BODY)):
                with contextlib.suppress(*TOO_MANY):
                    client(url + path, body)
                seen.append(counted[path] - 1)
            got, posted = seen
            followed[name] = str(got) if got == posted else f"{got}; with a body {posted or 'none'}"
    table = documented()
    assert {name: table.get(name) for name in followed} == {
        name: "none" if told == "0" else told for name, told in followed.items()
    }
