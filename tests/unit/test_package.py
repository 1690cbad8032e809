"""The committed package is what the sources make, to the byte."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "lambda" / "warmkeeper.zip"


def test_the_committed_package_is_what_the_sources_make() -> None:
    check = [sys.executable, "tools/package.py", "--check"]
    run = subprocess.run(check, cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_package_holds_the_program_the_page_and_its_texts_alone() -> None:
    with zipfile.ZipFile(PACKAGE) as package:
        assert package.namelist() == ["warmkeeper.py", "page.html", "texts.json"]
        for name in package.namelist():
            assert package.read(name) == (PACKAGE.parent / name).read_bytes()
