"""Processes that LocalStack and MiniStack start, and that end with them in any case."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from localcloud.launch import LAUNCH

# The kernel ends a child with the *thread* that started it (prctl(2), PR_SET_PDEATHSIG), and the
# threads of a server come and go. So one thread, which lasts, starts all children.
_STARTER = ThreadPoolExecutor(max_workers=1)


def child(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a command with the options of subprocess.Popen. OSError if Python cannot be started."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([*LAUNCH, *command], **options)

    return _STARTER.submit(start).result()
