"""Where the judges of others are: virtual environments that a make target fills for itself.

The tests run in .venv. Of such an environment they start the Python and read the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Home:
    """The environment of a make target, such as .venv-judge of `make judge`."""

    target: str

    @property
    def folder(self) -> Path:
        return ROOT / f".venv-{self.target}"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def package(self, name: str) -> Path:
        """The folder of a package there. Skips the test, which CI makes a failure, without it."""
        found = sorted(self.folder.glob(f"lib/python3.*/site-packages/{name}"))
        if not found:
            pytest.skip(f"{self.folder.name} holds no {name}: run make {self.target}")
        return found[0]

    def version(self, name: str) -> str:
        """The version of a package that is installed there. ValueError without it."""
        (found,) = {
            each.version
            for each in metadata.distributions(path=self._site_packages())
            if each.name.replace("_", "-") == name
        }
        return found

    def _site_packages(self) -> list[str]:
        return [str(each) for each in self.folder.glob("lib/python3.*/site-packages")]


COMPATIBILITY = Home("compatibility")
JUDGE = Home("judge")
