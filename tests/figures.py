"""Figures of a test run: `make reliability` makes docs/evidence/reliability.md of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "figures"


def record(section: str, name: str, found: Any) -> None:
    """Keep what was found under `name` of this section, as JSON; a later run replaces it."""
    folder = FOLDER / section
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(found, indent=2, default=str) + "\n")


def recorded(section: str) -> dict[str, Any]:
    """What this section's tests found, by name."""
    files = sorted((FOLDER / section).glob("*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}
