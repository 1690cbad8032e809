"""Which folder imports which: there is no circle, and no test file lends its helpers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT: dict[str, set[str]] = {
    "tools": set(),
    "localcloud": {"tools"},
    "tests": {"localcloud", "tools"},
    "demo": {"localcloud", "tests", "tools"},
}


def imported(file: Path) -> Iterator[str]:
    """The dotted name of everything that this file imports, wherever in it."""
    package = file.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: -node.level] if node.level else ()
            module = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def imports_of(folder: str) -> list[tuple[str, str]]:
    """Each import in this folder: file and dotted name."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return [(str(file.relative_to(ROOT)), name) for file in files for name in imported(file)]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_those_that_stand_before_it(folder: str) -> None:
    others = MAY_IMPORT.keys() - MAY_IMPORT[folder] - {folder}
    wrong = [(file, name) for file, name in imports_of(folder) if name.split(".")[0] in others]
    assert wrong == []


def test_the_table_has_no_circle() -> None:
    before: set[str] = set()
    for folder, allowed in MAY_IMPORT.items():
        assert allowed <= before
        before.add(folder)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_no_test_file_is_imported(folder: str) -> None:
    wrong = [
        (file, name)
        for file, name in imports_of(folder)
        if any(part.startswith("test_") for part in name.split("."))
    ]
    assert wrong == []


def test_every_kind_of_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "tests" / "model" / "some.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import demo.day as day\n"
        "from tests import figures\n"
        "def later() -> None:\n"
        "    from . import checker\n"
        "    from .test_model import check\n"
    )
    assert set(imported(file)) == {
        "demo.day",
        "tests.figures",
        "tests.model.checker",
        "tests.model.test_model.check",
    }
