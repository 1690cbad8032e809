"""`make demo`: the staging estate on the local cloud, its scenarios played and measured.

By default it plays three scenarios: sleep, first request, heartbeat. `--alarm-path` adds a fourth,
the same service on the alarm path. That one waits for CloudWatch's late metrics at the speed of the
wall clock, and so takes about four minutes more. It does not run at the same time as the others: it
would need a second local cloud with a clock of its own, and its load would change their figures.

`make up` (`--up`) leaves the estate running, to be opened in a browser, until Ctrl-C or SIGTERM.
`make up ESTATE=environment` (`--estate environment`) does so with examples/environment.

Latencies are taken from stretches in which the local cloud's clock runs at 1x; what took long
stretches of idleness runs faster and is reported in simulated minutes. Ends with status 1 if
anything that should have happened did not.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from demo.background import repeating
from demo.look_back import PICTURE, LookBack, Stopwatch
from demo.up import FAST, attend, directions, kill_descendants, stop_on_signals
from localcloud.client import POLL_SECONDS, LocalCloud, running
from tests.caddy import Caddy, beating, streaming
from tests.estate import EXAMPLES, STAGING, Estate, Workspace

PROGRESS_SECONDS = 10.0
IDLE_MINUTES = 5
BEAT_SECONDS = 30  # simulated
BEATING = 60.0  # virtual seconds per second while beats are posted: two of them a second
HELD_MINUTES = 18  # without beats it would be asleep after ten: scenario 1


@dataclass
class Demo:
    """The run's clock, timeline, counts and figures."""

    cloud: LocalCloud
    stopwatch: Stopwatch | None = None
    began: float = field(default_factory=time.monotonic)
    sent: int = 0
    lost: int = 0
    alarm_sent: int | None = None  # None: the alarm path was not played
    alarm_lost: int | None = None
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def title(self, text: str) -> None:
        print(f"\n== {text}", flush=True)

    def row(self, what: str, listener: str, alarm: str = "") -> None:
        self.rows.append((what, listener, alarm))

    def get(self, estate: Estate) -> requests.Response:
        """One request of a client that follows redirects, counted."""
        self.sent += 1
        answer = estate.get()
        self.lost += answer.status_code != 200
        return answer

    def progress(self, tell: Callable[[], str]) -> AbstractContextManager[None]:
        """Inside the block, say what `tell` says every PROGRESS_SECONDS."""
        return repeating(PROGRESS_SECONDS, lambda: self.say(f"  {tell()}"))

    @contextmanager
    def terraform(self, doing: str) -> Iterator[None]:
        """While Terraform works, a line every few seconds with the last call to AWS."""

        def tell() -> str:
            calls = self.cloud.calls(caller="local")
            if not calls:
                return "Terraform plans: no call to AWS yet"
            last = f"{calls[-1]['service']} {calls[-1]['action']}"
            return f"{len(calls)} calls to AWS, the last one {last}"

        self.say(f"{doing} ...")
        with self.progress(tell):
            yield
        self.say(f"{doing.partition(':')[0]}: done")

    def fast_until(
        self,
        estate: Estate,
        what: str,
        reached: Callable[[], bool],
        minutes: float,
        speed: float = FAST,
    ) -> float:
        """Run fast until `reached()`; returns the simulated minutes that it took."""
        began = self.cloud.now()

        def tell() -> str:
            so_far = (self.cloud.now() - began) / 60
            return f"{so_far:.1f} simulated minutes so far, {estate.phase()}"

        with self.progress(tell):
            took = self.cloud.advance_until(reached, minutes=minutes, speed=speed) / 60
        self.say(f"{what}: after {took:.1f} simulated minutes")
        return took


def any_task(demo: Demo) -> bool:
    """Whether a task still has a process."""
    return any(task["lastStatus"] != "STOPPED" for task in demo.cloud.tasks())


def sleep_from_idleness(demo: Demo, estate: Estate) -> None:
    """Scenario 1: five idle minutes, and the service is at zero."""
    demo.title(f"1. {IDLE_MINUTES} idle minutes to zero")
    for _ in range(5):
        demo.get(estate)
    demo.say("five requests answered by the app; from here on nobody comes")
    last = demo.cloud.now()
    demo.fast_until(estate, "drowsy (wake rule up)", lambda: estate.phase() == "drowsy", 30)
    demo.fast_until(estate, "asleep", lambda: estate.service()["desiredCount"] == 0, 10)
    minutes = (estate.updates(demo.cloud, last)[-1] - last) / 60
    demo.row("last request to desiredCount = 0", f"{minutes:.1f} simulated min")
    demo.fast_until(estate, "no task left", lambda: not any_task(demo), 10)


def wake_by_request(demo: Demo, estate: Estate) -> None:
    """Scenario 2: the first request, a person's and a program's, at 1x."""
    demo.title("2. first request to served (clock at 1x)")
    browser = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    first = demo.cloud.now()
    demo.sent += 1
    page = requests.get(estate.url + "/", headers=browser, timeout=60)
    shown = demo.cloud.now()
    expect(page.status_code == 503 and "Retry-After" in page.headers, "a waiting page")
    demo.say(f"a browser asked and got the waiting page after {shown - first:.2f} s")
    demo.stopwatch = stopwatch = Stopwatch(first, shown)

    def tell() -> str:
        return f"{demo.cloud.now() - first:.0f} s, {estate.phase()}: the request is held"

    with stopwatch.watching(demo.cloud, estate), demo.progress(tell):
        answer = demo.get(estate)
        stopwatch.served = served = demo.cloud.now()
    expect(answer.status_code == 200, f"the app's answer, not {answer.status_code}")
    demo.say(f"a program asked, was held and sent on ({len(answer.history)} x 307), and got 200")
    expect(requests.get(estate.url + "/", headers=browser, timeout=60).ok, "the app in the browser")
    updates, live = estate.updates(demo.cloud, first), estate.memory()["wakes"][-1]["times"]["live"]
    expect(len(updates) == 1, f"one UpdateService, not {len(updates)}")
    stopwatch.given = updates[0]
    demo.row("first request to waiting page", f"{shown - first:.2f} s")
    demo.row("first request to UpdateService", f"{updates[0] - first:.2f} s")
    demo.row("first request to live target", f"{live - first:.2f} s")
    demo.row("live target to the waiting client served", f"{served - live:.2f} s")
    demo.row("first request to served", f"{served - first:.2f} s")


def stay_awake_by_heartbeat(demo: Demo, estate: Estate, scratch: Path) -> None:
    """Scenario 3: no request, but somebody watches a stream through Caddy."""
    demo.title("3. a heartbeat holds it awake")
    if shutil.which("caddy") is None:
        demo.say(
            "no caddy on this machine (make tools installs it): the demo posts the beats itself"
        )
        beats = posted_beats(estate)
    else:
        beats = watched_stream(estate, scratch)
    with beats:
        began = demo.cloud.now()
        end = began + HELD_MINUTES * 60

        def over() -> bool:
            """Whether the time is over. While a beat is late, this waits, and time runs at 1x."""
            while demo.cloud.now() - estate.memory()["beat"] > 4 * BEAT_SECONDS:
                expect(demo.cloud.now() < began + 60 * 60, "a beat within the hour")
                time.sleep(POLL_SECONDS)
            return demo.cloud.now() > end

        demo.fast_until(estate, "beats, and no request", over, 60, speed=BEATING)
        expect(estate.phase() in ("awake", "drowsy"), f"awake, not {estate.phase()}")
        expect(estate.service()["desiredCount"] > 0, "tasks")
    demo.row("held awake by beats alone", f"{(demo.cloud.now() - began) / 60:.1f} simulated min")
    took = demo.fast_until(estate, "beats over, asleep", lambda: estate.reached("asleep"), 30)
    demo.row("last beat to asleep", f"{took:.1f} simulated min")


@contextmanager
def watched_stream(estate: Estate, scratch: Path) -> Iterator[None]:
    """Somebody reads a stream through the example's Caddy, and beat.py tells of it."""
    caddy = Caddy(estate.url, scratch)
    with (
        caddy.running(),
        beating(caddy, estate.outputs["heartbeat_url"], BEAT_SECONDS / BEATING),
        streaming(caddy, "/slow?seconds=300"),
    ):
        yield


def posted_beats(estate: Estate) -> AbstractContextManager[None]:
    """Beats as beat.py posts them, from here."""
    beat = {"in_flight": 1, "requests": 0}
    url = estate.outputs["heartbeat_url"]
    return repeating(BEAT_SECONDS / BEATING, lambda: requests.post(url, json=beat, timeout=10))


def wake_by_alarm(demo: Demo, estate: Estate) -> None:
    """Scenario 4: the same service without a rule of the module on the listener."""
    demo.title("4. the alarm path, side by side")
    with demo.terraform("terraform apply: wake_path = alarm"):
        estate.workspace.apply(wake_path="alarm")
    demo.fast_until(estate, "still asleep, no task left", lambda: not any_task(demo), 10)
    expect(estate.phase() == "asleep", f"asleep, not {estate.phase()}")
    first, refused = demo.cloud.now(), 0
    demo.say("a request every five seconds (clock at 1x; CloudWatch takes its minutes)")
    while (answer := estate.get(timeout=10)).status_code != 200:
        refused += 1
        expect(demo.cloud.now() - first < 600, "an answer within ten minutes")
        if refused % 2 == 1:
            demo.say(f"{answer.status_code} after {demo.cloud.now() - first:.0f} s")
        time.sleep(5)
    served = demo.cloud.now()
    demo.say(f"200 after {served - first:.0f} s and {refused} requests answered 503")
    estate.until("awake")
    update = estate.updates(demo.cloud, first)[0]
    live = estate.memory()["wakes"][-1]["times"]["live"]
    figures = {
        "first request to UpdateService": f"{update - first:.2f} s",
        "first request to live target": f"{live - first:.2f} s",
        "first request to served": f"{served - first:.2f} s",
    }
    demo.rows = [(what, mine, figures.get(what, other)) for what, mine, other in demo.rows]
    demo.alarm_sent = refused + 1
    demo.alarm_lost = refused


def look_back(demo: Demo, estate: Estate, since: float) -> None:
    """What the module tells of it: stage table and dashboard, against the demo's stopwatch."""
    demo.title("what the module tells of it")
    demo.say("reading memory, metrics and log, and drawing the dashboard ...")
    assert demo.stopwatch is not None  # scenario 2
    with demo.progress(lambda: "still reading"):
        told = LookBack.of(demo.cloud, estate, demo.stopwatch, since)
    print(told.tables())
    demo.say(f"the dashboard, drawn: {PICTURE}")
    for figure in told.figures():
        expect(figure.agrees, f"{figure.what}: {figure.seen:.2f} s, not {figure.told:.2f} s")


def expect(holds: bool, what: str) -> None:
    """End the demonstration if something did not happen."""
    if not holds:
        raise AssertionError(f"expected {what}")


def counted(demo: Demo) -> None:
    """The last rows: requests sent and lost."""
    for what, mine, other in (
        ("requests sent", demo.sent, demo.alarm_sent),
        ("requests lost", demo.lost, demo.alarm_lost),
    ):
        demo.row(what, str(mine), "" if other is None else str(other))


def table(rows: list[tuple[str, str, str]]) -> str:
    """The figures, as Markdown that reads well on a terminal too.

    Without a figure of the alarm path there is no column for it.
    """
    lines = [("", "listener path", "alarm path"), ("-" * 40, "-" * 19 + ":", "-" * 11 + ":"), *rows]
    both = any(other for _, _, other in rows)
    return "\n".join(
        f"| {what:40} | {mine:>20} |" + (f" {other:>12} |" if both else "")
        for what, mine, other in lines
    )


def record(figures: str) -> None:
    """Put the figures between the README's marks."""
    readme = STAGING.parents[1] / "README.md"
    before, mark, rest = readme.read_text(encoding="utf-8").partition("<!-- demo -->\n")
    _, end, after = rest.partition("<!-- /demo -->")
    readme.write_text(f"{before}{mark}{figures}\n{end}{after}", encoding="utf-8")


def applied(demo: Demo, scratch: Path, example: Path = STAGING) -> Estate:
    """The estate of an example, applied and awake."""
    demo.title(f"examples/{example.name}, applied by Terraform")
    workspace = Workspace(example, scratch / "terraform", demo.cloud.environment(), {})
    demo.say("the AWS provider waits a minute on every new load balancer, here too")
    with demo.terraform(f"terraform apply: examples/{example.name}"):
        workspace.init()
        workspace.apply()
    with demo.progress(lambda: "waiting for the first task"):
        estate = Estate(workspace)
        estate.until("awake")
    demo.say(f"it is awake at {estate.url}/")
    return estate


def play(scratch: Path, *, alarm_path: bool, recorded: bool) -> None:
    """The scenarios, the table, and what the module tells of them."""
    with started() as demo:
        cloud = demo.cloud
        estate = applied(demo, scratch)
        since = cloud.now()
        sleep_from_idleness(demo, estate)
        wake_by_request(demo, estate)
        stay_awake_by_heartbeat(demo, estate, scratch)
        if alarm_path:
            wake_by_alarm(demo, estate)
        look_back(demo, estate, since)
        demo.title("measured")
        counted(demo)
        print(table(demo.rows))
        if recorded:
            record(table(demo.rows))
        print("\nNotices that the SNS topic got:")
        for mail in cloud.mailbox():
            if mail["subject"]:
                print(f"  {mail['subject']}")
        print()
        demo.say("done; the local cloud ends, and with it everything in it")
        if not alarm_path:
            demo.say("the same service on the alarm path, beside this: make demo ARGS=--alarm-path")
        expect(demo.lost == 0, f"no request lost on the listener path, not {demo.lost}")


@contextmanager
def started() -> Iterator[Demo]:
    """A local cloud, and the run's clock from before it starts."""
    began = time.monotonic()
    print("The local cloud starts ...")
    with ExitStack() as ends:
        with repeating(PROGRESS_SECONDS, lambda: print("  still starting")):
            cloud = ends.enter_context(running())
        demo = Demo(cloud, began=began)
        demo.say(f"the local cloud listens at {cloud.endpoint}")
        yield demo


# --- make up -------------------------------------------------------------------------------------
def leave_running(scratch: Path, example: Path) -> None:
    """Apply, then obey the keyboard, until a signal comes."""
    with started() as demo:
        estate = applied(demo, scratch, example)
        print(directions(demo.cloud.environment(), estate.outputs))
        attend(lambda word: obey(word, demo, estate))
        print("\nThe local cloud ends, and with it everything in it.")


def obey(word: str, demo: Demo, estate: Estate) -> None:
    """One command of `make up`."""
    if word == "sleep":
        print(estate.invoke({"command": "sleep"})["reason"])
        demo.fast_until(estate, "asleep", lambda: estate.reached("asleep"), 5)
    elif word in ("fast", "slow"):
        demo.cloud.set_speed(FAST if word == "fast" else 1)
        print(f"time runs at {FAST if word == 'fast' else 1:.0f}x")
    else:
        print("sleep, fast, slow or stop")


# --- the program ---------------------------------------------------------------------------------
def main() -> int:
    """Parse the command line and run. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--up", action="store_true", help="leave it running, for a browser")
    parser.add_argument(
        "--estate", choices=("staging", "environment"), default="staging", help="what --up applies"
    )
    parser.add_argument("--alarm-path", action="store_true", help="play the alarm path, too")
    parser.add_argument(
        "--record", action="store_true", help="play all, and put the figures into the README"
    )
    options = parser.parse_args()
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)  # also into a pipe or a file
    stop_on_signals()
    with tempfile.TemporaryDirectory(prefix="warmkeeper-demo-") as folder:
        try:
            if options.up:
                leave_running(Path(folder), EXAMPLES / options.estate)
            else:
                alarm_path = options.alarm_path or options.record
                play(Path(folder), alarm_path=alarm_path, recorded=options.record)
        except (AssertionError, TimeoutError) as error:
            print(f"\nThe demonstration failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as signal:
            print(f"\nStopped by {signal}.", file=sys.stderr)
            return 130
        finally:
            kill_descendants()
    return 0


if __name__ == "__main__":
    sys.exit(main())
