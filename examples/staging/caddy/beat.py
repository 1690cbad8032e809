"""Tells the warmkeeper that people are using the service through this Caddy.

The load balancer counts requests when they begin, so somebody who watches a stream or keeps a
WebSocket open looks idle to it. Caddy knows better. Every `--interval` seconds this program asks
Caddy's admin API how many requests are in flight and how many have come since the last beat, and
where either is above zero it posts both to the load balancer:

    POST /health
    Authorization: Bearer TOKEN
    {"in_flight": 1, "requests": 12}

No activity, no beat: a beat that only said "the proxy is up" would keep the service awake for ever.
A beat wakes nothing either. Restarts of Caddy, of the service and of the network are lived through;
what could not be told is told with the next beat.

    BEAT_TOKEN=... python3 beat.py --url http://LOAD-BALANCER/health

Every option can be given in the environment: `--url` as BEAT_URL, and so on. The token comes from
BEAT_TOKEN, or from a file (`--token-file`) that is read anew for every beat, so that it can change.
Over http:// it can be read on its way: write https:// where there is a certificate.

The Caddyfile beside this program turns on the metrics that are read here. Requests to all of
Caddy's servers count; where probes have a server of their own, name the others with `--server`.

Standard library only. Exit status: 0 after SIGTERM or SIGINT, 2 for wrong settings.

Caddy's side of this: https://caddyserver.com/docs/api#get-reverse-proxyupstreams and
https://caddyserver.com/docs/metrics
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

TIMEOUT_SECONDS = 5.0
LARGEST_REPLY_BYTES = 8_000_000
LONGEST_INTERVAL_SECONDS = 240.0
SERIES = re.compile(r"^caddy_http_requests_(total|in_flight)\{(?P<labels>.*)\} (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')


class SettingsError(Exception):
    """A setting cannot be right. The message names it and says what to write."""


class UnusableReplyError(Exception):
    """Caddy or the load balancer did not answer as they should. The message says who and what."""


@dataclass(frozen=True)
class Settings:
    url: str
    caddy: str
    interval_seconds: float
    servers: frozenset[str]
    token: str
    token_file: Path | None

    def bearer(self) -> str:
        """The token as it is now, "" for none. Raises SettingsError for an unusable file."""
        if self.token_file is None:
            return self.token
        try:
            token = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"--token-file: cannot be read: {error}") from error
        return checked_token("--token-file", token, f"{self.token_file} is empty")


@dataclass(frozen=True)
class Reading:
    """What Caddy says at one moment. `total` counts since its start; None where it does not say."""

    in_flight: int
    total: int | None


@dataclass(frozen=True)
class Activity:
    """What is told: requests in flight now, and requests that came since the last beat."""

    in_flight: int
    requests: int

    def __bool__(self) -> bool:
        return self.in_flight > 0 or self.requests > 0


def checked_token(source: str, token: str, if_empty: str) -> str:
    """The token, if it can stand in a header; else raises SettingsError."""
    if not token:
        raise SettingsError(f"{source}: {if_empty}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{source}: a token is one word of printable ASCII characters")
    return token


def in_flight(upstreams: Any) -> int:
    """The sum of `num_requests` over the reply of /reverse_proxy/upstreams.

    An upgraded WebSocket counts as one for as long as it is open. Caddy's own health checks do not
    count. Raises UnusableReplyError for anything but Caddy's list of upstreams.
    """
    try:
        return sum(max(0, int(upstream["num_requests"])) for upstream in upstreams or [])
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableReplyError(
            f"Caddy's list of upstreams is not as expected: {error!r}"
        ) from error


def total_requests(metrics: str, servers: Collection[str] = ()) -> int | None:
    """How many requests Caddy's servers had since its start, from the text of /metrics.

    A server's request passes several handlers and is counted by each, so the largest count of a
    server stands for it. With names given only those servers count. None where there is no metric
    of HTTP requests at all: metrics are off, or there was no request yet.
    """
    counts: dict[str, int] = {}
    found = False
    for line in metrics.splitlines():
        series = SERIES.match(line)
        if series is None:
            continue
        found = True
        server = dict(LABEL.findall(series["labels"])).get("server", "")
        if series[1] == "total" and (not servers or server in servers):
            counts[server] = max(counts.get(server, 0), int(float(series["value"])))
    return sum(counts.values()) if found else None


def activity(told: Reading, now: Reading) -> Activity:
    """What happened since the reading that was last told.

    A count that went down means that Caddy has restarted: what it counted since is what is new.
    """
    before, after = told.total or 0, now.total or 0
    return Activity(now.in_flight, after - before if after >= before else after)


def settings_from(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings from the command line, or else from the environment. Raises SettingsError."""
    parser = argparse.ArgumentParser(description="Tell the warmkeeper of activity in Caddy.")
    told = environment.get
    parser.add_argument("--url", default=told("BEAT_URL"), help="http://LOAD-BALANCER/health")
    parser.add_argument(
        "--caddy",
        default=told("BEAT_CADDY") or "http://127.0.0.1:2019",
        help="Caddy's admin API (%(default)s)",
    )
    parser.add_argument(
        "--interval",
        default=told("BEAT_INTERVAL") or "30",
        help="seconds between two looks at Caddy (%(default)s)",
    )
    parser.add_argument(
        "--server",
        action="append",
        help="count this one of Caddy's servers only, such as srv0; may be repeated (all)",
    )
    parser.add_argument("--token-file", default=told("BEAT_TOKEN_FILE"), help="else BEAT_TOKEN")
    given = parser.parse_args(arguments)
    if not given.url:
        raise SettingsError(
            "--url: missing; write the heartbeat's URL: http://LOAD-BALANCER/health"
        )
    token = environment.get("BEAT_TOKEN", "")
    settings = Settings(
        url=checked_url("--url", given.url),
        caddy=checked_url("--caddy", given.caddy).rstrip("/"),
        interval_seconds=checked_interval(given.interval),
        servers=frozenset(given.server or told("BEAT_SERVER", "").split()),
        token=checked_token("BEAT_TOKEN", token, "") if token else "",
        token_file=Path(given.token_file) if given.token_file else None,
    )
    settings.bearer()
    return settings


def checked_url(option: str, url: str) -> str:
    """The URL, if it is one of HTTP or HTTPS with a host; else raises SettingsError."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(f"{option}: {url!r} is no URL; write http:// or https://, then a host")
    return url


def checked_interval(text: str) -> float:
    """The seconds, if no service falls asleep between two beats; else raises SettingsError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_INTERVAL_SECONDS:
        raise SettingsError(
            f"--interval: {text!r}; write seconds above 0, at most {LONGEST_INTERVAL_SECONDS:.0f}, "
            "or the service falls asleep between two beats"
        )
    return seconds


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like another: following it would carry the token elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Beat:
    """Asks Caddy, tells the load balancer, and remembers what has been told."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._told: Reading | None = None
        self._last_words = ""
        # The admin API is this machine's: no proxy of the environment stands before it.
        no_proxy = urllib.request.ProxyHandler({})
        self._caddy = urllib.request.build_opener(no_proxy, NoRedirect)
        self._load_balancer = urllib.request.build_opener(NoRedirect)

    def once(self) -> None:
        """One look at Caddy, and a beat where there is activity.

        Prints what is new to say. Raises nothing for what the next try may find better; what was
        not told then stays to be told.
        """
        try:
            words = self._look_and_tell()
        except (SettingsError, UnusableReplyError) as error:
            words = str(error)
        if words != self._last_words:
            say(words)
        self._last_words = words

    def _look_and_tell(self) -> str:
        now = self._read()
        if self._told is None:
            # Nobody knows how old the requests of Caddy's count are: they are not news.
            self._told = now
        news = activity(self._told, now)
        words = self._tell(news) if news else "No activity, no beat."
        self._told = now
        if now.in_flight and now.total is None:
            words += (
                " Only requests in flight are seen, because Caddy's metrics are off: "
                "write `servers { metrics }` into the global options of the Caddyfile."
            )
        return words

    def _read(self) -> Reading:
        base = self._settings.caddy
        status, upstreams = exchange(self._caddy, f"{base}/reverse_proxy/upstreams")
        metrics_status, metrics = exchange(self._caddy, f"{base}/metrics")
        if (status, metrics_status) != (200, 200):
            raise UnusableReplyError(
                f"{base} answers {status} and {metrics_status}: is --caddy Caddy's admin API?"
            )
        return Reading(
            in_flight(parsed(upstreams, f"{base}/reverse_proxy/upstreams")),
            total_requests(metrics, self._settings.servers),
        )

    def _tell(self, news: Activity) -> str:
        url = self._settings.url
        headers = {"Content-Type": "application/json"}
        token = self._settings.bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps({"in_flight": news.in_flight, "requests": news.requests}).encode()
        status, text = exchange(self._load_balancer, url, body, headers)
        if status == 401:
            raise UnusableReplyError(
                f"{url} answers 401: the token is not the one in the module's "
                "heartbeat.token_parameter_arn."
            )
        if status != 200:
            raise UnusableReplyError(
                f"{url} answers {status}: {' '.join(text.split())[:200] or 'no text'}. "
                "Is --url the load balancer's, with the module's heartbeat path?"
            )
        reply = parsed(text, url)
        if not isinstance(reply, dict) or "phase" not in reply:
            raise UnusableReplyError(
                f"{url} answers, but not as the warmkeeper: is that the module's heartbeat path?"
            )
        counted = "the beat counts" if reply.get("counted") else "the beat counts for nothing"
        return f"Activity: the service is {reply['phase']}, {counted}."


def exchange(
    opener: urllib.request.OpenerDirector,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Status and text of a GET, or with a body of a POST. No answer raises UnusableReplyError."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}))
    try:
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
                return reply.status, reply.read(LARGEST_REPLY_BYTES).decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(LARGEST_REPLY_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise UnusableReplyError(f"{url} cannot be reached: {error}") from error


def parsed(text: str, url: str) -> Any:
    """The JSON in a reply. Raises UnusableReplyError where it is none."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnusableReplyError(
            f"{url} answers with something that is not JSON: {error}"
        ) from error


def say(words: str) -> None:
    print(f"beat: {words}", flush=True)


def stop(*_: Any) -> NoReturn:
    raise SystemExit(0)


def main() -> int:
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        settings = settings_from(sys.argv[1:], os.environ)
    except SettingsError as error:
        print(f"beat: {error}", file=sys.stderr)
        return 2
    beat = Beat(settings)
    say(f"Looking at {settings.caddy} every {settings.interval_seconds:g} s, for {settings.url}.")
    due = time.monotonic()
    while True:
        beat.once()
        due = max(due + settings.interval_seconds, time.monotonic())
        time.sleep(due - time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
