"""Tests, by subject, and what they share."""

from __future__ import annotations

import tools  # noqa: F401 (puts the function's own code on the path)
