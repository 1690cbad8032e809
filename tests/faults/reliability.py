"""What the tests found out about reliability, as docs/evidence/reliability.md.

`make reliability` runs the tests that record figures (tests/figures.py) with their wide bounds, and
this keeps what they found in tests/faults/reliability.json and makes the document of it.

    python -m tests.faults.reliability            gathers the figures of the last run, writes both
    python -m tests.faults.reliability --print    writes the document of the figures that are kept
    python -m tests.faults.reliability --tests    prints the test files that record figures
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import figures
from tests.faults.faults import FAULTS
from tests.faults.matrix import BEREFT, EVERY_SIGNAL

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("reliability.json")
DOCUMENT = ROOT / "docs" / "evidence" / "reliability.md"
RECORDS = re.compile(r"figures\.record\(\s*\"([\w ]+)\"")
SUMMED = ("cells", "plays", "requests", "lost", "answers taken")
NAMED = 6  # signals; more are counted
HEAD = """\
# What was tried to break it

Made by `make reliability`; do not edit. Each figure was measured with the real \
`lambda/warmkeeper.py`. A test compares this document with its figures, and with the calls \
that the code makes now. Why the program should pass: [the architecture]\
(../technical/ecs-scale-to-zero.md).

"""


class StaleError(Exception):
    """The figures are not those of one whole run. The message says what to do."""


# --- gathering ---------------------------------------------------------------------------------
def recording() -> dict[str, list[str]]:
    """The sections for which tests record figures, each with its test files."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for section in dict.fromkeys(RECORDS.findall(path.read_text())):
            found.setdefault(section, []).append(str(path.relative_to(ROOT)))
    return found


def gathered(sections: Mapping[str, list[str]], kept: Mapping[str, Any]) -> dict[str, Any]:
    """By section what the last run found, when and by which command; what it left out is kept."""
    together = dict(kept)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    wide = " ".join(f"{name}=1" for name in ("RELIABILITY", "MODEL") if os.environ.get(name))
    for section, tests in sections.items():
        found = figures.recorded(section)
        if found:
            together[section] = {
                "on": f"{today}, Python {platform.python_version()}, {platform.machine()}",
                "command": f"{wide} .venv/bin/python -m pytest {' '.join(tests)}".lstrip(),
                "found": faults_together(found) if section == "faults" else found,
            }
        elif section not in kept:
            print(f"there are no figures of {section!r} yet", file=sys.stderr)
    return together


def faults_together(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The cells of all scenes and signals, summed, with the times to heal by the second."""
    census = kept["census"]
    total: Counter[str] = Counter()
    heals: Counter[int] = Counter()
    scenes: dict[str, Counter[str]] = {}
    for name, found in kept.items():
        if name == "census":
            continue
        scene, _, _ = name.partition("; ")
        for key in SUMMED:
            total[key] += found.get(key, 0)
            scenes.setdefault(scene, Counter())[key] += found.get(key, 0)
        heals.update({int(second): count for second, count in found["heals"].items()})
    cells = sum(sum(row["faults"].values()) for row in census.values())
    if total["cells"] != cells:
        raise StaleError(f"{total['cells']} cells of {cells} were played: run `make reliability`")
    seconds = sorted(heals.elements())
    times = {"median heal": seconds[len(seconds) // 2], "longest heal": seconds[-1]}
    return {"total": {**total, **times}, "scenes": scenes, "sites": census}


# --- the document ------------------------------------------------------------------------------
def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [list(map(str, head)), ["---"] * len(list(head)), *(list(map(str, r)) for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def plain(found: Mapping[str, Any]) -> str:
    """Figures by name, those of one name in one line."""

    def words(value: Any) -> str:
        if isinstance(value, Mapping):
            return "; ".join(f"{key}: {words(each)}" for key, each in value.items())
        if isinstance(value, list):
            return ", ".join(words(each) for each in value)
        return number(value)

    return table(("what", "found"), ((name, words(each)) for name, each in found.items()))


def faults(found: Mapping[str, Any]) -> str:
    """Totals, sites by fault, and where each site is reached."""
    total, sites = found["total"], found["sites"]
    dead = found["scenes"][BEREFT]["answers taken"]
    kinds = list(dict.fromkeys(kind for row in sites.values() for kind in row["faults"]))
    text = (
        f"**{total['cells']:,} cells**, played {total['plays']:,} times. Requests: "
        f"{total['requests']:,}, of which **{total['lost']:,} were lost** and "
        f"{total['answers taken'] - dead:,} answers were taken by the fault itself (the function "
        f"that held the request was killed), and {dead:,} in *{BEREFT}* by that death; asked again "
        f"five seconds later, each was served in the end. Time to heal after the fault's end: "
        f"median {total['median heal']} s, at most "
        f"{total['longest heal']} s; two ticks are allowed.\n\n"
    )
    text += "Cells by call site and fault; each was played and passed:\n\n"
    text += table(
        ("call site", *kinds),
        (
            (site, *(row["faults"].get(kind) or "–" for kind in kinds))
            for site, row in sites.items()
        ),
    )
    text += impossible(sites)
    text += f"The signals are: {', '.join(EVERY_SIGNAL)}.\n\n"
    text += "Cells by the phase in which the call is made:\n\n"
    phases = ("awake", "drowsy", "asleep", "waking")
    text += table(
        ("call site", *phases, "signals"),
        (
            (site, *(row["phases"].get(p) or "–" for p in phases), by(row["signals"]))
            for site, row in sites.items()
        ),
    )
    text += "By scene:\n\n"
    return text + table(
        ("scene", *SUMMED),
        ((scene, *(f"{row[key]:,}" for key in SUMMED)) for scene, row in found["scenes"].items()),
    )


def by(signals: Iterable[str]) -> str:
    """The signals that make a call, or how many of all do."""
    names = list(signals)
    return ", ".join(names) if len(names) <= NAMED else f"{len(names)} of {len(EVERY_SIGNAL)}"


def impossible(sites: Iterable[str]) -> str:
    """Why some cells cannot occur, in the words of the faults themselves."""
    why: dict[str, list[str]] = {}
    for fault in FAULTS.values():
        for site in sites:
            if reason := fault.impossible(site):
                why.setdefault(f"*{fault.name}*: {reason}", []).append(site)
    lines = [f"- {reason}: {', '.join(where)}." for reason, where in why.items()]
    held = [f"*{fault.name}*" for fault in FAULTS.values() if not fault.may_last]
    lines.append(f"- Once only, and never for a while: {', '.join(held)}.")
    lines.append("- A phase with – : no signal makes this call in it.")
    return "A – is a cell that cannot occur:\n\n" + "\n".join(lines) + "\n\n"


def rows(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each name, a column for each figure."""
    columns = list(dict.fromkeys(key for row in found.values() for key in row))
    lines = ((name, *(number(row.get(c, "–")) for c in columns)) for name, row in found.items())
    return table(("what", *columns), lines)


def model(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The sums, a row for each exploration, and the orders that are broken on purpose."""
    broken = {n.partition(", ")[2]: f for n, f in found.items() if n.startswith("broken, ")}
    explored = {n: f for n, f in found.items() if not n.startswith("broken, ")}
    columns = ("explorations", "states", "steps", "ends", "violations")
    sums = {key: sum(row[key] for row in explored.values()) for key in columns}
    text = (
        f"**{number(sums['states'])} states**, {number(sums['steps'])} steps between them, "
        f"{number(sums['ends'])} ends in {number(sums['explorations'])} explorations: "
        f"**{number(sums['violations'])} violations**.\n\n"
    )
    orders = [
        (f["order"], number(f["states"]), ", ".join(f["found"]) or "**nothing**")
        for f in broken.values()
    ]
    what = "Orders that are broken on purpose, and the violation that was found first:\n\n"
    return text + rows(explored) + what + table(("order", "states until then", "found"), orders)


def long_run(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A column for each run, a row for each figure."""
    rows: dict[str, dict[str, str]] = {}
    for name, run in found.items():
        flat = {**run, **{f"hours {phase}": h for phase, h in run["hours"].items()}}
        for key, value in flat.items():
            if key != "hours":
                rows.setdefault(key, {})[name] = number(value)
    return table(
        ("", *found), ((key, *(row.get(n, "0") for n in found)) for key, row in rows.items())
    )


@dataclass(frozen=True)
class Section:
    """A section of the document: what it is about, and how its figures read."""

    title: str
    about: str
    text: Callable[[Mapping[str, Any]], str] = plain


SECTIONS = {
    "model": Section(
        "Every order of calls",
        "Two or three invocations of the warmkeeper run at the same time as clients and outside "
        "events, one AWS call at a time, in every order within the bounds. Calls may arrive late, "
        "answers may be old, a node of the load balancer may not know a rule change yet, and an "
        "invocation may be killed between two calls. Pairs are all pairs of invocations, in every "
        "order. Triples are one that gives, one that takes, and any third, with at most three "
        "switches between them out of turn. Two members and two routes are explored within the "
        "narrow bounds of CI, because wider ones take more memory than most machines have.",
        model,
    ),
    "faults": Section(
        "Every call, going wrong",
        "One process with a simulated clock. Every call that the code makes, for every signal that "
        "causes it, in every phase, goes wrong in each way: it fails, hangs, is done without an "
        "answer, returns old data, or the function is killed before or after it; once, or on every "
        "such call for three minutes. Each cell is played without a client, and with a client that "
        "arrives three seconds later, until the service is asleep again. Each time these must "
        "hold: the end is the one without the fault; the remembered count exists at every step; "
        "AWS matches the phase within two ticks after the fault; and every client that follows a "
        "307, honours Retry-After or is a polling page was served by the application.",
        faults,
    ),
    "live faults": Section(
        "The same, live",
        "Ten of these faults on the local cloud: Terraform applies the module, and the package "
        "runs in separate processes behind a load balancer with real sockets, in virtual time.",
        rows,
    ),
    "failed wakes": Section(
        "Services that cannot start",
        "A client sends a request twice a minute, day and night. A stopped task is replaced after "
        "ten seconds; ECS itself replaces it more slowly, so the task hours are an upper bound. In "
        "the crash loop the service is healthy for half a minute each time and counts as awake, "
        "because people use it: its cost is bounded only by that of a service that never sleeps.",
        rows,
    ),
    "long run": Section(
        "Days on end",
        "A simulated staging service: sessions in working hours (some leave a socket open that "
        "sends beats), probes, scanners, deployments, counts set by hand, tasks that die, and "
        "faults on random calls; CloudWatch is one to three minutes late. A seed determines "
        "everything. `wrong` counts lost requests, closed sockets, lost counts, and times of more "
        "than two ticks in which AWS did not match the phase.",
        long_run,
    ),
    "hours": Section(
        "Fortnights with a schedule",
        "Two weeks in Berlin over a clock change and Easter, with awake hours on workdays and "
        "closed weekends: people, programs, beats and commands come at all hours, and somebody "
        "comes at each edge. The hours are read from a table in UTC that was written by hand. "
        "`wrong` counts looks at which the service was not as that table says, requests that were "
        "served in closed hours, and requests that were lost in open ones.",
        rows,
    ),
    "events": Section(
        "Malformed events",
        "Recorded events of every kind, mutated at random: a refused event changes nothing, and "
        "the HTTP path always answers.",
    ),
    "rights": Section(
        "Rights",
        "The recorded calls, compared with the policy of the function's role.",
    ),
}


def render(kept: Mapping[str, Any]) -> str:
    """The document of these figures."""
    text = HEAD
    for name, section in SECTIONS.items():
        if one := kept.get(name):
            text += f"## {section.title}\n\n{section.about}\n\n"
            text += f"`{one['command']}`, on {one['on']}.\n\n{section.text(one['found'])}"
    return text.rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--print", action="store_true", help="of the figures that are kept")
    parser.add_argument("--tests", action="store_true", help="the test files that record figures")
    arguments = parser.parse_args()
    sections = recording()
    if arguments.tests:
        print(*sorted({test for tests in sections.values() for test in tests}))
        return 0
    if not arguments.print:
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        together = gathered(sections, kept)
        KEPT.write_text(json.dumps(together, indent=1, ensure_ascii=False) + "\n")
    DOCUMENT.write_text(render(json.loads(KEPT.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
