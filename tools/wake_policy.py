"""The wake policy that the module has by default, as the function reads it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parent.parent / "wake-policy.yaml"
KINDS = ("methods", "paths", "user_agents", "source_ranges")


@functools.cache
def default_policy() -> list[dict[str, Any]]:
    """The rules of the settings item by default, each with all its fields (main.tf)."""
    written = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    fields = {"answer": "asleep", **dict.fromkeys(KINDS, ())}
    return [{**fields, **rule} for rule in (*written["always"], *written["ignore"])]
