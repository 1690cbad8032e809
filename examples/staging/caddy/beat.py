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
what could not be told is told later, with `idle_seconds`, how long ago it was. One empty beat,
which counts for nothing, finds out at the start whether URL and token are right.

    BEAT_TOKEN=... python3 beat.py --url http://LOAD-BALANCER/health

Every option can be given in the environment: `--url` as BEAT_URL, and so on. The token comes from
BEAT_TOKEN, or from a file (`--token-file`) that is read anew for every beat, so that it can change.
Over http:// it can be read on its way: write https:// where there is a certificate.

The URL is the load balancer's own: a beat that came by way of Caddy would be a request there, and
so the reason for the next beat, for ever. That ends this program.

The Caddyfile beside this program turns on the metrics that are read here. Requests to all of
Caddy's servers count; where probes have a server of their own, name the others with `--server`.

Standard library only. Exit status: 0 after SIGTERM or SIGINT, 2 for wrong settings. beat.service
beside this file runs it under systemd.

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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

CADDY_SECONDS = 5.0  # to answer
LOAD_BALANCER_SECONDS = 15.0  # room for a Lambda that starts, and for an AWS that is slow
LARGEST_REPLY_BYTES = 8_000_000
LONGEST_INTERVAL_SECONDS = 240.0
SERIES = re.compile(r"^caddy_http_requests_(total|in_flight)\{(?P<labels>.*)\} (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')


class SettingsError(Exception):
    """A setting cannot be right. The message names it and says what to write."""


class ThroughCaddyError(Exception):
    """A beat came by way of Caddy. The message says what to write instead."""


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
    """Requests in flight now, and requests that came since an earlier look."""

    in_flight: int
    requests: int

    def __bool__(self) -> bool:
        return self.in_flight > 0 or self.requests > 0


@dataclass(frozen=True)
class Reply:
    """An answer by HTTP: status, text, and the names in its Server and Via headers."""

    status: int
    text: str
    came_by: str = ""


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
    server (and host, where newer Caddys count by host) stands for it. With names given only those
    servers count. None where there is no metric of HTTP requests at all: metrics are off, or there
    was no request yet.
    """
    counts: dict[tuple[str, str], int] = {}
    found = False
    for line in metrics.splitlines():
        series = SERIES.match(line)
        if series is None:
            continue
        found = True
        labels = dict(LABEL.findall(series["labels"]))
        counted = labels.get("server", ""), labels.get("host", "")
        if series[1] == "total" and (not servers or counted[0] in servers):
            counts[counted] = max(counts.get(counted, 0), int(float(series["value"])))
    return sum(counts.values()) if found else None


def activity(before: Reading, now: Reading) -> Activity:
    """What there is now, and what happened since an earlier reading.

    A count that went down means that Caddy has restarted: what it counted since is what is new.
    """
    then, after = before.total or 0, now.total or 0
    return Activity(now.in_flight, after - then if after >= then else after)


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
        self._seen: Reading | None = None  # what Caddy said last
        self._active: float | None = None  # when there was activity that is still to be told
        self._requests = 0  # that are still to be told
        self._right = False  # whether the load balancer has taken a beat
        self._holds_seconds: float | None = None  # how long one beat holds, where it is said
        self._last_words = ""
        # The admin API is this machine's: no proxy of the environment stands before it.
        no_proxy = urllib.request.ProxyHandler({})
        self._caddy = urllib.request.build_opener(no_proxy, NoRedirect)
        self._load_balancer = urllib.request.build_opener(NoRedirect)

    def once(self) -> None:
        """One look at Caddy, and a beat where there is activity.

        Prints what is new to say. Raises nothing for what the next try may find better; what was
        not told then stays to be told. Raises ThroughCaddyError.
        """
        try:
            words = self._look_and_tell()
        except (SettingsError, UnusableReplyError) as error:
            words = str(error)
        if words != self._last_words:
            say(words)
        self._last_words = words

    def _look_and_tell(self) -> str:
        now, moment = self._read(), time.monotonic()
        # Nobody knows how old the requests of Caddy's first count are: they are not news.
        news = activity(self._seen or now, now)
        self._seen = now
        self._requests += news.requests
        if news:
            self._active = moment
        if self._active is None:
            if self._right:
                return "No activity, no beat."
            phase = self._tell({})["phase"]
            words = f"URL and token are right, the service is {phase}. No activity."
        else:
            words = self._tell_of(Activity(now.in_flight, self._requests), moment - self._active)
            self._requests, self._active = 0, None
        return " ".join([words, *self._hints(now)])

    def _hints(self, now: Reading) -> Iterator[str]:
        """What is not as it should be, though the beat was taken."""
        if now.in_flight and now.total is None:
            yield (
                "Only requests in flight are seen, because Caddy's metrics are off: "
                "write `metrics` into the global options of the Caddyfile (before Caddy 2.9 "
                "`servers { metrics }`)."
            )
        interval, holds = self._settings.interval_seconds, self._holds_seconds
        if holds is not None and interval >= holds:
            yield (
                f"--interval: {interval:g} s is too long, because a beat holds the service awake "
                f"for {holds:g} s: write less, or it falls asleep between two beats."
            )

    def _read(self) -> Reading:
        base = self._settings.caddy
        upstreams = exchange(self._caddy, f"{base}/reverse_proxy/upstreams", CADDY_SECONDS)
        metrics = exchange(self._caddy, f"{base}/metrics", CADDY_SECONDS)
        if (upstreams.status, metrics.status) != (200, 200):
            raise UnusableReplyError(
                f"{base} answers {upstreams.status} and {metrics.status}: "
                "is --caddy Caddy's admin API?"
            )
        return Reading(
            in_flight(parsed(upstreams.text, f"{base}/reverse_proxy/upstreams")),
            total_requests(metrics.text, self._settings.servers),
        )

    def _tell_of(self, news: Activity, idle_seconds: float) -> str:
        """Tell of activity that was last seen so many seconds ago."""
        beat: dict[str, float] = {"in_flight": news.in_flight, "requests": news.requests}
        if not news.in_flight and idle_seconds:
            beat["idle_seconds"] = round(idle_seconds, 1)
        reply = self._tell(beat)
        counted = "the beat counts" if reply.get("counted") else "the beat counts for nothing"
        return f"Activity: the service is {reply['phase']}, {counted}."

    def _tell(self, beat: Mapping[str, float]) -> dict[str, Any]:
        """POST a beat; what the warmkeeper answers."""
        url, token = self._settings.url, self._settings.bearer()
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps(beat).encode()
        answer = exchange(self._load_balancer, url, LOAD_BALANCER_SECONDS, body, headers)
        # what Caddy answers or passes on says so in Server; what newer ones pass on, in Via
        if "caddy" in answer.came_by.lower():
            raise ThroughCaddyError(
                f"--url: {url} leads through Caddy, where each beat is a request and so the reason "
                "for the next; write the load balancer's own name"
            )
        if answer.status == 401:
            raise UnusableReplyError(
                f"{url} answers 401: the token is not the one in the module's "
                "heartbeat.token_parameter_arn."
            )
        if answer.status != 200:
            raise UnusableReplyError(
                f"{url} answers {answer.status}: "
                f"{' '.join(answer.text.split())[:200] or 'no text'}. "
                "Is --url the load balancer's, with the module's heartbeat path?"
            )
        reply = parsed(answer.text, url)
        if not isinstance(reply, dict) or "phase" not in reply:
            raise UnusableReplyError(
                f"{url} answers, but not as the warmkeeper: is that the module's heartbeat path?"
            )
        self._right, holds = True, reply.get("holds_seconds")
        self._holds_seconds = holds if isinstance(holds, int | float) else None
        return reply


def exchange(
    opener: urllib.request.OpenerDirector,
    url: str,
    seconds: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """The answer to a GET, or with a body to a POST. None within `seconds`: UnusableReplyError."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}))
    try:
        try:
            answer = opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read(LARGEST_REPLY_BYTES).decode(errors="replace")
            names = (*answer.headers.get_all("Server", ()), *answer.headers.get_all("Via", ()))
            return Reply(answer.status, text, ", ".join(names))
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
        try:
            beat.once()
        except ThroughCaddyError as error:
            print(f"beat: {error}", file=sys.stderr)
            return 2
        due = max(due + settings.interval_seconds, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main())
