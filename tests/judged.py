"""What the judges of others said, and the table of it in docs/evidence/compatibility.md.

A test says by whom it was judged (`say`); at the end of a run in which every test passed, that is
kept in `.cache/judged`. `make compatibility` and `make judge` then hold the table against it:

    python -m tests.judged compatibility             status 1 where the table says something else
    python -m tests.judged compatibility --record    writes the table's rows
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.terraform_docs import with_table

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".cache" / "judged"
DOCUMENT = ROOT / "docs" / "evidence" / "compatibility.md"
# The rows of the table: its judges in order, each by the target of make that asks it.
ROWS = {
    "oldest": "compatibility",
    "newest": "compatibility",
    "provider": "compatibility",
    "cfn-lint": "judge",
    "policy-sentry": "judge",
    "iam-simulate": "judge",
    "ministack": "judge",
    "dynalite": "judge",
}
NAME = "judges"  # of the marks around the table
HEAD = "| Judge | What it judged | Command |\n| --- | --- | --- |\n"


def say(
    record_property: Callable[[str, object], None],
    row: str,
    judge: str,
    what: str,
    counted: str,
    *,
    with_files: bool = False,
) -> None:
    """Record that this test was judged: by which program and version, what, and in figures.

    `with_files` adds the test files of the same run to `what`. The figures stand in the run's
    summary alone: they change with every test.
    """
    said = {"row": row, "judge": judge, "what": what, "counted": counted, "files": with_files}
    record_property("judged", said)


def summarise(terminalreporter: pytest.TerminalReporter, target: str) -> None:
    """Print a line for each judge of a run, and keep them if every test has passed."""
    passed = terminalreporter.getreports("passed")
    files = sorted({report.nodeid.partition("::")[0] for report in passed})
    others = [f"`{file}`" for file in files if not file.startswith(f"tests/{target}/")]
    terminalreporter.section(target)
    kept_here = KEPT / target
    kept_here.mkdir(parents=True, exist_ok=True)
    failed = terminalreporter.stats.keys() & {"failed", "error"}
    for report in passed:
        for name, said in report.user_properties:
            if name == "judged" and isinstance(said, dict):
                terminalreporter.write_line(f"{said['judge']}: {said['what']}: {said['counted']}")
                if said["files"]:
                    said["what"] = ", ".join((said["what"], *others))
                if not failed:
                    (kept_here / f"{said['row']}.json").write_text(json.dumps(said))


def kept(target: str) -> dict[str, str]:
    """The table's lines for a target, by row. Raises LookupError for a judge that is silent."""
    lines = {}
    for row, of in ROWS.items():
        file = KEPT / target / f"{row}.json"
        if of == target and not file.is_file():
            raise LookupError(f"{row} has not judged: see above, or run make {target} without ARGS")
        if of == target:
            said = json.loads(file.read_text())
            lines[row] = f"| {said['judge']} | {said['what']} | `make {target}` |\n"
    return lines


def main() -> int:
    """Compare or write. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.judged")
    parser.add_argument("target", choices=sorted(set(ROWS.values())))
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    text = DOCUMENT.read_text()
    table = text.partition(f"<!-- {NAME} -->\n")[2].partition(f"<!-- /{NAME} -->")[0]
    written = dict(zip(ROWS, table.splitlines(keepends=True)[2:], strict=True))
    try:
        found = kept(options.target)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    new = with_table(text, NAME, (HEAD + "".join((written | found).values())).rstrip("\n"))
    if options.record:
        DOCUMENT.write_text(new)
    elif new != text:
        changed = "".join(line for row, line in found.items() if written[row] != line)
        print(f"{DOCUMENT.relative_to(ROOT)} does not have:\n{changed}", file=sys.stderr)
        print(f"make {options.target} RECORD=1 writes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
