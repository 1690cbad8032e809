"""The behaviours that the local cloud imitates, and docs/evidence/fidelity.md, made of them.

Each file of behaviours/ has rows that say what AWS does, on which of its pages, which tests check
it, and how to break the local cloud there: the mutant. What a run of the mutants has seen is kept
in seen.json, with a fingerprint of what it was seen of.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tools.mutant import Edit, broken, edits

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "localcloud" / "fidelity"
LOCAL_CLOUD = Path("localcloud")
SEEN = FOLDER / "seen.json"
TABLE = REPOSITORY / "docs" / "evidence" / "fidelity.md"
HEAD = """# What the local cloud imitates, and how that is tested

Made by `make fidelity` from [localcloud/fidelity](../../localcloud/fidelity): do not edit. Each \
row is a behaviour of AWS that the [local cloud](../../localcloud/README.md) imitates, the AWS \
page that describes it, the test that checks it, and a *mutant*: a local cloud with the behaviour \
wrong, and the line at which the test was seen to fail against it.
"""


@dataclass(frozen=True)
class Behaviour:
    """One row: what AWS does, where it says so, what checks it here, and how to break it."""

    section: str
    name: str
    says: str
    page: str
    tests: tuple[str, ...]
    mutant: str
    edits: tuple[Edit, ...]

    @property
    def pure(self) -> bool:
        """Whether its tests need no running local cloud."""
        return not any("/live/" in test for test in self.tests)

    def broken(self, repository: Path = REPOSITORY) -> dict[str, str]:
        """The mutant's sources, by their paths in the repository."""
        return broken(self.edits, repository)

    def fingerprint(self) -> str:
        """Changes with the tests, the mutant and the functions that it breaks, and not with others.

        White space, comments and docstrings of them do not matter.
        """
        parts = [f"{Path(edit.file).name}\n{edit.old}\n{edit.new}" for edit in self.edits]
        for edit in self.edits:
            source, tree = _parsed(edit.file)
            start = source.index(edit.old.strip("\n"))
            first = source[:start].count("\n") + 1
            last = first + edit.old.strip("\n").count("\n")
            parts.append(_essence(source, _around(tree, first, last)))
        for test in self.tests:
            source, tree = _parsed(test.partition("::")[0])
            parts.append(_essence(source, _function(tree, test)))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def behaviours() -> list[Behaviour]:
    """All rows, section by section."""
    found = []
    for file in sorted((FOLDER / "behaviours").glob("*.toml")):
        content = tomllib.loads(file.read_text())
        found += [_behaviour(content["section"], row) for row in content["behaviour"]]
    return found


def left_out() -> list[dict[str, str]]:
    """What of AWS's behaviour cannot be imitated here, or is not AWS's: `fact` and `reason`."""
    content = tomllib.loads((FOLDER / "left-out.toml").read_text())
    facts: list[dict[str, str]] = content["fact"]
    return facts


def seen() -> dict[str, dict[str, Any]]:
    """What the last run saw, by the behaviour's name: `fingerprint`, and `failed` by test."""
    found: dict[str, dict[str, Any]] = json.loads(SEEN.read_text()) if SEEN.exists() else {}
    return found


def stale() -> list[Behaviour]:
    """The rows whose mutants have not been seen to be caught as things are now."""
    known = seen()
    return [
        each
        for each in behaviours()
        if known.get(each.name, {}).get("fingerprint") != each.fingerprint()
    ]


def table() -> str:
    """docs/evidence/fidelity.md."""
    known, rows = seen(), behaviours()
    lines = [HEAD, f"{len(rows)} behaviours."]
    for section in dict.fromkeys(row.section for row in rows):
        lines += ["", f"## {section}", "", "| behaviour | AWS page | test | mutant, seen at |"]
        lines.append("|---|---|---|---|")
        lines += [_line(row, known.get(row.name)) for row in rows if row.section == section]
    lines += ["", "## What is not imitated", "", "| fact | why not |", "|---|---|"]
    lines += [f"| {_cell(each['fact'])} | {_cell(each['reason'])} |" for each in left_out()]
    return "\n".join(lines) + "\n"


def _line(row: Behaviour, known: dict[str, Any] | None) -> str:
    tests = "<br>".join(_link(test) for test in row.tests)
    failed = known["failed"].values() if known else ["not seen yet"]
    where = "".join(f"<br>{_code(each)}" for each in dict.fromkeys(failed))
    page = f"[{row.page.rsplit('/', 1)[1].partition('.')[0]}]({row.page})"
    return f"| {_cell(row.says)} | {page} | {tests} | {_cell(row.mutant)}{where} |"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    words = name.removeprefix("test_").replace("_", " ")
    return f"[{_cell(words)}](../../{path})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text).replace('`', '')}`"


def _behaviour(section: str, row: dict[str, Any]) -> Behaviour:
    return Behaviour(
        section=section,
        name=row["name"],
        says=row["says"],
        page=row["page"],
        tests=tuple(_test(each) for each in row["tests"]),
        mutant=row["mutant"],
        edits=edits(row, f"{LOCAL_CLOUD}/"),
    )


def _test(short: str) -> str:
    """`balancing::test_x` is that test of localcloud/tests/test_balancing.py."""
    file, _, name = short.partition("::")
    for folder in ("tests", "tests/live"):
        path = f"localcloud/{folder}/test_{file}.py"
        if (REPOSITORY / path).exists():
            return f"{path}::{name}"
    raise ValueError(f"no file of tests is called {file}")


@lru_cache(maxsize=64)
def _parsed(path: str) -> tuple[str, ast.Module]:
    source = (REPOSITORY / path).read_text()
    return source, ast.parse(source)


def _function(tree: ast.Module, test: str) -> ast.AST:
    name = test.partition("::")[2].partition("[")[0]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise ValueError(f"there is no test {test}")


def _around(tree: ast.Module, first: int, last: int) -> ast.AST:
    """The smallest function that holds these lines, or else their statement, or the module."""

    def holds(node: ast.AST) -> bool:
        return node.lineno <= first and last <= (node.end_lineno or 0)  # type: ignore[attr-defined]

    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(tree) if isinstance(node, kinds) and holds(node)]
    if functions:
        return max(functions, key=lambda node: node.lineno)
    return next((node for node in tree.body if holds(node)), ast.Module([], []))


def _essence(source: str, node: ast.AST) -> str:
    """The source of a node without white space, comment lines and docstrings."""
    if isinstance(node, ast.Module):
        return ""
    left_out = set(_docstring_lines(node))
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]  # type: ignore[attr-defined]
    kept = [
        line
        for number, line in enumerate(lines, start=node.lineno)  # type: ignore[attr-defined]
        if number not in left_out and not line.lstrip().startswith("#")
    ]
    return re.sub(r"\s+", "", "".join(kept))


def _docstring_lines(tree: ast.AST) -> Iterator[int]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            yield from range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
