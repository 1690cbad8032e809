"""Mutants: code that is broken on purpose, to see that a test goes red. One way to write them.

A mutant is a table of a TOML file. It has either one edit (`file`, `old`, `new`) or several (a list
`edit` of tables with these keys), and names the tests that must go red. The text `old` must be in
`file` exactly once.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class StaleMutantError(ValueError):
    """The code is not what a mutant was written for. The message names the file and the text."""


@dataclass(frozen=True)
class Edit:
    """A change of one place in a file."""

    file: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """The file broken. Raises StaleMutantError unless the place is there exactly once."""
        times = source.count(self.old)
        if times != 1:
            raise StaleMutantError(
                f"{self.file} has {times} places, not one, that read\n{self.old}"
            )
        return source.replace(self.old, self.new)


def edits(row: Mapping[str, Any], folder: str = "") -> tuple[Edit, ...]:
    """The edits of a mutant as TOML has it. Files are named within `folder`."""
    written = row.get("edit", [row])
    return tuple(
        Edit(file=folder + each["file"], old=each["old"], new=each["new"]) for each in written
    )


def broken(changes: tuple[Edit, ...], root: Path) -> dict[str, str]:
    """The broken sources, by their paths in `root`. Raises StaleMutantError."""
    sources: dict[str, str] = {}
    for change in changes:
        source = sources.get(change.file) or (root / change.file).read_text(encoding="utf-8")
        sources[change.file] = change.apply(source)
    return sources


def copy_of(root: Path, folder: Path) -> None:
    """Put into `folder` what git tracks in `root`, or would add, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target)


@contextmanager
def applied(changes: tuple[Edit, ...], root: Path) -> Iterator[None]:
    """The files in `root` are broken, and whole again afterwards. Raises StaleMutantError."""
    sources = broken(changes, root)
    before = {path: (root / path).read_text(encoding="utf-8") for path in sources}
    try:
        for path, source in sources.items():
            (root / path).write_text(source, encoding="utf-8")
        yield
    finally:
        for path, source in before.items():
            (root / path).write_text(source, encoding="utf-8")
