"""The clients of the trial: what is installed here, and why another one is not tried."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import requests
import urllib3
from selenium.common.exceptions import WebDriverException

from tests.browser.chromium import chromium
from tests.redirects.trial import QUIET, Case, Client

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "programs"
NODE_MODULES = HERE.parents[1] / ".cache" / "redirects"
JARS = Path("/usr/share/java")  # where Debian puts them
JAR_NAMES = (
    *("okhttp", "okio", "httpclient", "httpcore", "commons-logging", "slf4j-api"),
    *("httpclient5", "httpcore5", "httpcore5-h2"),
)
APT_HELPER = Path("/usr/lib/apt/apt-helper")
PATIENCE_SECONDS = 60


class NotHereError(Exception):
    """A program is not installed; the message says which, and how it is had."""


def needed(program: str) -> str:
    """Its path. Raises NotHereError."""
    found = shutil.which(program)
    if found is None:
        raise NotHereError(f"no {program} on PATH")
    return found


class InProcess(Client):
    """One of Python's own."""

    def __init__(
        self, function: Callable[[str, Case], int], methods: tuple[str, ...] = Client.methods
    ) -> None:
        self.function = function
        self.methods = methods

    def ask(self, url: str, case: Case) -> str:
        try:
            return str(self.function(url, case))
        except Exception as error:  # whatever it raises is what it ends with
            return f"{type(error).__name__}: {error}"


class Command(Client):
    """A program that is started for each request.

    URL, BODY and FILE (a new one) are put in. `flags` are added by method; a method that is not
    there it does not have. Without `says_status` its exit status is all there is: 0 stands for 200.
    """

    def __init__(
        self, *command: str, says_status: bool = False, **flags: tuple[str, ...] | None
    ) -> None:
        needed(command[0])
        self.command = command
        self.says_status = says_status
        by_method = {"GET": (), **flags}
        self.flags = {method: given for method, given in by_method.items() if given is not None}
        self.methods = tuple(self.flags)

    def ask(self, url: str, case: Case) -> str:
        flags = [flag.replace("BODY", case.body or "") for flag in self.flags[case.method]]
        with tempfile.TemporaryDirectory() as folder:
            given = {"URL": url, "FILE": f"{folder}/file"}
            command = [given.get(part, part) for part in self.command]
            ran = subprocess.run(
                [command[0], *flags, *command[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE_SECONDS,
            )
        if ran.returncode:
            said = (ran.stderr or ran.stdout).decode(errors="replace").strip()
            return said.splitlines()[-1] if said else f"exit status {ran.returncode}"
        return ran.stdout.decode().strip() if self.says_status else "200"


class Lines(Client):
    """One of programs/: a line for each request, a line back with the status."""

    def __init__(self, *command: str, methods: tuple[str, ...] = Client.methods) -> None:
        self.methods = methods
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )

    def ask(self, url: str, case: Case) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        hurry = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        hurry.start()
        try:
            words = [case.method, url, *([case.body] if case.body else [])]
            self.process.stdin.write(" ".join(words) + "\n")
            return self.process.stdout.readline().strip().removeprefix("0 ")
        except BrokenPipeError:
            return "the program has ended"
        finally:
            hurry.cancel()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:  # a connection of its own holds it
            self.process.kill()
            self.process.wait(10)
        self.process.stdout.close()


FETCH = """
const [url, method, body, done] = arguments;
fetch(url, {method, body}).then((answer) => done(answer.status), (error) => done(`${error}`));
"""
XHR = """
const [url, method, body, done] = arguments;
const request = new XMLHttpRequest();
request.onloadend = () => done(request.status);
request.open(method, url);
request.send(body);
"""
FORM = """
const [url] = arguments;
const form = Object.assign(document.createElement("form"), {action: url, method: "post"});
form.append(Object.assign(document.createElement("input"), {name: "a", value: "words"}));
document.body.append(form);
form.submit();
"""


class Browser(Client):
    """Chromium: `how` is a script that asks, or FORM, or "" for a navigation with a fragment."""

    def __init__(self, how: str = "") -> None:
        for program in ("chromium", "chromedriver"):
            needed(program)
        self.how = how
        self.methods = {"": ("GET",), FORM: ("POST",)}.get(how, Client.methods)
        self.context = chromium()
        self.driver = self.context.__enter__()

    def ask(self, url: str, case: Case) -> str:
        driver = self.driver
        driver.get("about:blank")  # else a URL that is there already is only scrolled in
        if self.how == "":
            driver.get(url + "#part")
            text = self.shown()
            kept = driver.execute_script("return location.hash") == "#part"
            return "200" if text == "answered" and kept else f"at {driver.current_url}: {text}"
        base = url.removesuffix(case.target)
        driver.get(base + QUIET)
        if self.how == FORM:
            driver.execute_script(self.how, url)
            return "200" if self.shown() == "answered" else f"at {driver.current_url}"
        found = driver.execute_async_script(self.how, url, case.method, case.body)
        return str(found)

    def shown(self) -> str:
        """The text of the page, once it is not the one that was there before."""
        text = "quiet"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text == "quiet" and time.monotonic() < deadline:
            with contextlib.suppress(WebDriverException):  # between two documents
                text = self.driver.find_element("tag name", "body").text
        return text

    def close(self) -> None:
        self.context.__exit__(None, None, None)


def with_requests(url: str, case: Case) -> int:
    return requests.request(
        case.method, url, data=case.body, timeout=PATIENCE_SECONDS, allow_redirects=True
    ).status_code


def with_httpx(url: str, case: Case) -> int:
    with httpx.Client(follow_redirects=True, timeout=PATIENCE_SECONDS) as client:
        return client.request(case.method, url, content=case.body).status_code


def with_urllib(url: str, case: Case) -> int:
    request = urllib.request.Request(url, method=case.method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE_SECONDS) as answer:
        return int(answer.status)


def with_urllib3(url: str, case: Case) -> int:
    with urllib3.PoolManager() as pool:
        return pool.request(case.method, url, body=case.body).status


def with_aiohttp(url: str, case: Case) -> int:
    async def ask() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.request(case.method, url, data=case.body, allow_redirects=True) as answer,
        ):
            return answer.status

    return asyncio.run(ask())


def node(library: str) -> Client:
    program = needed("node")
    if library not in ("fetch", "http") and not (NODE_MODULES / "node_modules" / library).is_dir():
        modules = NODE_MODULES.relative_to(HERE.parents[1])
        raise NotHereError(f"npm install --prefix {modules} axios got node-fetch")
    return Lines(program, str(SOURCES / "ask.mjs"), library, str(NODE_MODULES))


def java(client: str) -> Client:
    return Lines(needed("java"), str(SOURCES / "Ask.java"), client)


def java_jars(client: str) -> Client:
    program = needed("java")
    missing = [name for name in JAR_NAMES if not (JARS / f"{name}.jar").exists()]
    if missing:
        packages = "libokhttp-java libhttpclient-java libhttpclient5-java"
        raise NotHereError(f"no {', '.join(missing)} in {JARS}: apt-get install {packages}")
    path = ":".join(str(JARS / f"{name}.jar") for name in JAR_NAMES)
    return Lines(program, "-cp", path, str(SOURCES / "AskJars.java"), client)


def go() -> Client:
    return Lines(needed("go"), "run", str(SOURCES / "ask.go"))


def ruby(library: str, package: str, methods: tuple[str, ...] = Client.methods) -> Client:
    program = needed("ruby")
    if subprocess.run([program, "-e", f"require '{library}'"], capture_output=True).returncode:
        raise NotHereError(f"apt-get install {package}")
    return Lines(program, str(SOURCES / "ask.rb"), library, methods=methods)


def php(client: str) -> Client:
    program = needed("php")
    there = {"curl": "function_exists('curl_init')", "guzzle": GUZZLE}.get(client, "true")
    if subprocess.run([program, "-r", f"exit({there} ? 0 : 1);"]).returncode:
        raise NotHereError("apt-get install php-curl php-guzzlehttp-guzzle")
    return Lines(program, str(SOURCES / "ask.php"), client)


GUZZLE = "stream_resolve_include_path('GuzzleHttp/autoload.php')"


def perl(module: str) -> Client:
    program = needed("perl")
    if subprocess.run([program, f"-M{module}", "-e", "1"], capture_output=True).returncode:
        raise NotHereError(f"perl has no {module} (apt-get install libwww-perl)")
    return Lines(program, str(SOURCES / "ask.pl"), module)


def curl(*flags: str) -> Client:
    asks = ("-sS", "-L", "-o", "/dev/null", "-w", "%{http_code}", "URL")
    post = ("--data-binary", "BODY")
    return Command("curl", *flags, *asks, says_status=True, HEAD=("-I",), POST=post)


def apt() -> Client:
    if not APT_HELPER.exists():
        raise NotHereError(f"no {APT_HELPER}")
    direct = ("-o", "Acquire::http::Proxy=DIRECT", "-o", "Acquire::Retries=0")
    return Command(str(APT_HELPER), *direct, "download-file", "URL", "FILE")


def httpie() -> Client:
    asks = ("--follow", "--check-status", "--ignore-stdin", "--print=", "GET", "URL")
    return Command("http", *asks)


WGET = ("-q", "--tries=1", "-O", "FILE", "URL")
POST_DATA = ("--post-data=BODY",)
ARIA2 = ("--allow-overwrite=true", "--dir=/", "--out=dev/null")
FARADAY = "ruby-faraday-middleware"


@dataclass(frozen=True)
class Program:
    """A client by its name in the table. `starts` raises NotHereError."""

    name: str
    starts: Callable[[], Client]


def once(starts: Callable[[], Client]) -> Callable[[], Client]:
    """The same client, redirected once: it takes a second time at the same URL for a loop."""

    def start() -> Client:
        client = starts()
        client.redirects = 1
        return client

    return start


# What the development environment has: make setup and make tools.
OURS = (
    Program("curl -L", curl),
    Program("curl -L --path-as-is", lambda: curl("--path-as-is")),
    Program("Python requests", lambda: InProcess(with_requests)),
    Program("Python httpx, following", lambda: InProcess(with_httpx)),
    Program("Python urllib", lambda: InProcess(with_urllib, ("GET",))),
    Program("Python urllib3", lambda: InProcess(with_urllib3)),
    Program("Python aiohttp", lambda: InProcess(with_aiohttp)),
    Program("Node's fetch", lambda: node("fetch")),
    Program("Chromium, a navigation", Browser),
    Program("Chromium, a form by POST", lambda: Browser(FORM)),
    Program("Chromium, fetch", lambda: Browser(FETCH)),
)
OTHERS = (
    Program("Chromium, XMLHttpRequest", lambda: Browser(XHR)),
    Program("wget", lambda: Command("wget", *WGET, HEAD=("--spider",), POST=POST_DATA)),
    Program("BusyBox wget", lambda: Command("busybox", "wget", "-q", "-O", "FILE", "URL")),
    Program("HTTPie, `--follow`", httpie),
    Program("aria2", lambda: Command("aria2c", "-q", *ARIA2, "URL")),
    Program("Lynx", lambda: Command("lynx", "-dump", "URL")),
    Program("w3m, redirected once", once(lambda: Command("w3m", "-dump", "URL"))),
    Program("APT, redirected once", once(apt)),
    Program("axios", lambda: node("axios")),
    Program("got", lambda: node("got")),
    Program("node-fetch", lambda: node("node-fetch")),
    Program("Java's HttpClient, following", lambda: java("HttpClient")),
    Program("Java's HttpURLConnection", lambda: java("HttpURLConnection")),
    Program("OkHttp 3", lambda: java_jars("okhttp")),
    Program("Apache HttpClient 4, redirected once", once(lambda: java_jars("apache4"))),
    Program("Apache HttpClient 5, redirected once", once(lambda: java_jars("apache5"))),
    Program("Go's net/http", go),
    Program("Ruby's open-uri, redirected once", once(lambda: ruby("open-uri", "ruby", ("GET",)))),
    Program("Ruby's Faraday, with its middleware", lambda: ruby("faraday", FARADAY)),
    Program("Ruby's Mechanize", lambda: ruby("mechanize", "ruby-mechanize")),
    Program("PHP's curl", lambda: php("curl")),
    Program("PHP's streams", lambda: php("stream")),
    Program("PHP's Guzzle", lambda: php("guzzle")),
    Program("Perl's LWP", lambda: perl("LWP::UserAgent")),
    Program("Perl's HTTP::Tiny", lambda: perl("HTTP::Tiny")),
)
