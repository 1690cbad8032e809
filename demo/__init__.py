"""What shows and measures the module on the local cloud: the demonstration, a day, the bench."""

from __future__ import annotations

import tools  # noqa: F401 (puts the function's own code on the path)
