"""Where the other judges are: .venv-compatibility, which `make compatibility` makes.

The tests run in .venv. Of the other environment they start its Python and read its files.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-compatibility"
REQUIREMENTS = ROOT / "requirements-compatibility.txt"
PYTHON = ENVIRONMENT / "bin" / "python"
PROGRAMS = Path(__file__).resolve().parent / "bin"


def package(name: str) -> Path:
    """The folder of a package there. Skips the test, which CI makes a failure, where it is not."""
    found = sorted(ENVIRONMENT.glob(f"lib/python3.*/site-packages/{name}"))
    if not found:
        pytest.skip(f"{ENVIRONMENT.name} holds no {name}: run make compatibility")
    return found[0]


@functools.cache
def pinned() -> dict[str, str]:
    """The versions in requirements-compatibility.txt, by package."""
    return dict(re.findall(r"(?m)^([a-z-]+)==(\S+)$", REQUIREMENTS.read_text()))
