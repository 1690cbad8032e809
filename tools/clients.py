"""The tables about clients: what each gets, which wake nothing, which follow no redirect.

Promise: the text between the markers of these documents is made from the clients of
tests/warmkeeper/clients.toml, the table that the tests run, and from wake-policy.yaml:

    docs/evidence/clients.md      every request of the table, and its answer
    docs/guide/wake-policy.md     the rules of the default policy
    docs/guide/waiting.md         the clients that do not follow a redirect, or not far enough

    python -m tools.clients            writes the tables
    python -m tools.clients --check    exits 1 where they differ, and changes nothing
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tools.terraform_docs import table, with_table
from tools.wake_policy import KINDS, default_policy

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "docs" / "evidence" / "clients.md"
POLICY = ROOT / "docs" / "guide" / "wake-policy.md"
WAITING = ROOT / "docs" / "guide" / "waiting.md"
TABLE = ROOT / "tests" / "warmkeeper" / "clients.toml"
ANSWERS = {
    "page": "The page",
    "held": "Held, then 307",
    "held in vain": "Held, then 503",
    "sent on": "307",
    "problem": "503 at once",
    "preflight": "204",
}
CANNED = {"asleep": "200 and the phase", "not-found": "404", "unavailable": "503"}
POLICY_ANSWERS = {**CANNED, "wake": "wakes: an exception from the rules after it"}
LONGEST = 96  # characters of a path or a header that are shown
KEPT = 60  # of these at the end, where many a name stands
# Headers that are shown where they are there: what decides besides name, path and method.
TELLING = (
    "sec-purpose", "purpose", "x-moz", "x-purpose", "content-type", "x-requested-with",
    "hx-request", "turbo-frame", "x-up-version", "access-control-request-method", "upgrade",
    "x-forwarded-for", "x-forwarded-prefix",
)  # fmt: skip


def clients() -> list[dict[str, Any]]:
    """The table's rows; `{8000}` after a character stands for so many of it."""
    rows: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["client"]
    for row in rows:
        row["path"] = _long(row["path"])
        row["headers"] = {
            name: [_long(text) for text in (value if isinstance(value, list) else [value])]
            for name, value in row["headers"].items()
        }
    return rows


def policy_table(rules: Iterable[Mapping[str, Any]]) -> str:
    """What the default policy ignores, rule by rule."""
    rows = []
    for rule in rules:
        conditions = (
            f"{kind.replace('_', ' ')} {', '.join(map(_code, rule[kind]))}"
            for kind in KINDS
            if rule[kind]
        )
        rows.append((rule["class"], "; ".join(conditions), POLICY_ANSWERS[rule["answer"]]))
    return table(("Class", "Matches", "Gets"), rows)


def clients_tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """A heading and a table for each group."""
    parts = []
    for group, members in groupby(rows, key=lambda row: str(row["group"])):
        lines = [
            (_client(row), _request(row), _answer(row), _text(row["reason"])) for row in members
        ]
        parts.append(f"### {group}\n\n{table(('Client', 'Asks', 'Gets', 'Because'), lines)}")
    return "\n\n".join(parts)


def left_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """What the clients are left with that do not follow a redirect, or not for ever."""
    lines = [(_client(row), _text(row["gets"])) for row in rows if "gets" in row]
    return table(("Client", "Result"), lines)


def documents() -> dict[Path, str]:
    """The documents with their tables written again, by path."""
    rows = clients()
    counted = f"{len(rows)} requests, each of another client or for another reason."
    tables = {
        CLIENTS: ("clients", f"{counted}\n\n{clients_tables(rows)}"),
        POLICY: ("policy", policy_table(default_policy())),
        WAITING: ("left", left_table(rows)),
    }
    return {
        path: with_table(path.read_text(encoding="utf-8"), name, made)
        for path, (name, made) in tables.items()
    }


def _client(row: Mapping[str, Any]) -> str:
    link = re.search(r"https://[^\s()]+", row["source"])
    return f"[{_text(row['client'])}]({link[0]})" if link else _text(row["client"])


def _request(row: Mapping[str, Any]) -> str:
    headers = {name: ", ".join(values) for name, values in row["headers"].items()}
    asked = f"{row['method']} {row['path']}" + (f"?{row['query']}" if "query" in row else "")
    agent = headers.get("user-agent", "no user agent") or "an empty user agent"
    lines = [asked, agent]
    if "sec-fetch-mode" in headers:
        lines.append(f"{headers['sec-fetch-mode']} to {headers.get('sec-fetch-dest', 'nothing')}")
    elif "accept" in headers:
        lines.append(f"accept: {headers['accept']}")
    lines += [f"{name}: {headers[name]}" for name in TELLING if name in headers]
    return "<br>".join(map(_code, lines))


def _answer(row: Mapping[str, Any]) -> str:
    phase = {"asleep": "", "late": ", waking for long", "failed": ", after a failure"}
    when = phase.get(row["phase"], f", {row['phase']}")
    kind, _, rest = row["answer"].partition(" ")
    if kind == "ignored":
        name, _, answer = rest.partition(" ")
        return f"Ignored as {name}: {CANNED[answer]}{when}"
    return ANSWERS[row["answer"]] + when


def _long(text: str) -> str:
    return re.sub(r"(.)\{(\d+)\}$", lambda found: found[1] * int(found[2]), text)


def _text(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;")


def _code(text: str) -> str:
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - KEPT]}…{text[-KEPT:]}"
    return "`{}`".format(short.replace("|", r"\|").replace("`", "'"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables about clients.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    status = 0
    for path, text in documents().items():
        name = path.relative_to(ROOT)
        if text == path.read_text(encoding="utf-8"):
            print(f"{name} is up to date.")
        elif check:
            print(f"{name} differs from the table or the policy: make docs", file=sys.stderr)
            status = 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{name} is written.")
    return status


if __name__ == "__main__":
    sys.exit(main())
