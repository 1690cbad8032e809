"""Tries which Location real clients follow back to the URL that they asked for.

Promise: docs/guide/waiting.md has between `<!-- redirects -->` and its end mark what the clients
did that were installed when this was last run with `--write`.

    python -m tests.redirects              tries all clients that are here, prints the table
    python -m tests.redirects --only curl  only those with this in their name
    python -m tests.redirects --write      writes the table into docs/guide/waiting.md

A client that is not installed is passed over, with what would install it. `make test` runs some of
it with the clients that the development environment has (test_redirects.py).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.redirects.programs import OTHERS, OURS, NotHereError, Program
from tests.redirects.trial import FORMS, ODD, PLAIN, Case, Client, Origin, origin, outcome, proxies
from tools.terraform_docs import table, with_table

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "guide" / "waiting.md"


def tried(
    client: Client, server: Origin, urls: Mapping[str, str], cases: Sequence[Case], form: str
) -> dict[str, str]:
    """By place and case, what went wrong ("" for nothing), of the methods that the client has."""
    return {
        f"{place}, {case}": outcome(client, server, url, case, form)
        for place, url in urls.items()
        for case in cases
        if case.method in client.methods
    }


def row(program: Program, server: Origin, prefixed: Mapping[str, str]) -> tuple[str, ...]:
    """A line of the table; what a relative Location loses is printed. Raises NotHereError."""
    client = program.starts()
    try:
        cells = []
        for urls, cases in (({"direct": server.url}, (*PLAIN, *ODD)), (prefixed, PLAIN)):
            results = {form: tried(client, server, urls, cases, form) for form in FORMS}
            for given in results.values():
                passed = sum(not wrong for wrong in given.values())
                cells.append(f"{passed} of {len(given)}" if given else "-")
            for what, wrong in results["relative"].items():
                before = results["path-absolute"][what]
                if wrong:
                    print(f"  {what}: {wrong}" + (f" (path-absolute: {before})" if before else ""))
        return (program.name, *cells)
    finally:
        client.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="only clients with this in their name")
    parser.add_argument("--write", action="store_true", help="write the table into the document")
    given = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        origin() as server,
        proxies(server, Path(folder)) as prefixed,
    ):
        print(f"Direct, and where {', '.join(prefixed) or 'no proxy is installed'}.")
        for program in (*OURS, *OTHERS):
            if given.only.lower() not in program.name.lower():
                continue
            try:
                rows.append(row(program, server, prefixed))
                print(" | ".join(rows[-1]), flush=True)
            except NotHereError as reason:
                print(f"{program.name}: not tried: {reason}", flush=True)
    head = ("Client", *(f"{place}, {form}" for place in ("Direct", "Prefix") for form in FORMS))
    made = table(head, rows)
    print(made)
    if given.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(with_table(text, "redirects", made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
