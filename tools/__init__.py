"""Small programs that build, check and describe the project: `python -m tools.NAME`.

Several run the function's own code, so it is on the path for all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

_FUNCTION = str(Path(__file__).resolve().parent.parent / "lambda")
if _FUNCTION not in sys.path:
    sys.path.insert(0, _FUNCTION)
