"""The table of judges is what the judges said, and nothing is kept of a run that failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import judged

JUDGES = [row for row, target in judged.ROWS.items() if target == "judge"]
ROWS = "".join(f"| {row} 1.0 | all | `make {of}` |\n" for row, of in judged.ROWS.items())
DOCUMENT = f"# Before\n\n<!-- judges -->\n{judged.HEAD}{ROWS}<!-- /judges -->\n\nAfter\n"


class Report:
    """A passed test that was judged, as pytest reports it."""

    def __init__(self, row: str) -> None:
        self.nodeid = f"tests/elsewhere/test_{row}.py::test"
        self.user_properties: list[tuple[str, object]] = []
        judged.say(
            lambda name, value: self.user_properties.append((name, value)),
            row,
            f"{row} 1.0",
            "all",
            "nothing found",
        )


class Reporter:
    """pytest's terminal, after a run."""

    def __init__(self, rows: list[str], **stats: list[Any]) -> None:
        self.reports = [Report(row) for row in rows]
        self.stats = stats
        self.lines: list[str] = []

    def getreports(self, _: str) -> list[Report]:
        return self.reports

    def section(self, title: str) -> None:
        self.lines.append(title)

    def write_line(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "compatibility.md"
    file.write_text(DOCUMENT)
    monkeypatch.setattr(judged, "ROOT", tmp_path)
    monkeypatch.setattr(judged, "KEPT", tmp_path / "judged")
    monkeypatch.setattr(judged, "DOCUMENT", file)
    return file


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["judged", "judge", *options])
    return judged.main()


@pytest.mark.usefixtures("document")
def test_a_table_that_says_what_the_judges_said_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter: Any = Reporter(JUDGES)
    judged.summarise(reporter, "judge")
    assert reporter.lines[1] == f"{JUDGES[0]} 1.0: all: nothing found"
    assert run(monkeypatch) == 0


def test_another_version_is_named_until_it_is_recorded(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter: Any = Reporter(JUDGES)
    judged.summarise(reporter, "judge")
    document.write_text(DOCUMENT.replace("dynalite 1.0", "dynalite 0.9"))
    assert run(monkeypatch) == 1
    said = capsys.readouterr().err
    assert "| dynalite 1.0 |" in said
    assert "make judge RECORD=1" in said
    assert run(monkeypatch, "--record") == 0
    assert document.read_text() == DOCUMENT
    assert run(monkeypatch) == 0


@pytest.mark.usefixtures("document")
@pytest.mark.parametrize("stats", [{"failed": [1]}, {"error": [1]}])
def test_of_a_run_that_failed_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stats: dict[str, list[Any]],
) -> None:
    reporter: Any = Reporter(JUDGES, **stats)
    judged.summarise(reporter, "judge")
    assert run(monkeypatch) == 1
    assert "has not judged" in capsys.readouterr().err


@pytest.mark.usefixtures("document")
def test_the_files_of_a_run_are_named_where_they_tell_what_was_judged() -> None:
    reporter: Any = Reporter(JUDGES)
    said: Any = reporter.reports[0].user_properties[0][1]
    said["files"] = True
    judged.summarise(reporter, "judge")
    kept = json.loads((judged.KEPT / "judge" / f"{JUDGES[0]}.json").read_text())
    assert kept["what"].startswith("all, `tests/elsewhere/test_")
