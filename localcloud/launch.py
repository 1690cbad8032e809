"""`python launch.py COMMAND ...`: become COMMAND, and die with the process that started it.

The kernel sends SIGKILL when the parent ends however it ends (prctl(2), PR_SET_PDEATHSIG), so that
no emulator, function or task is ever left behind. Standard library only, and quick to start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
LAUNCH = [sys.executable, "-I", "-S", __file__]


def end_with(parent: int) -> None:
    """End this process when its parent, of this id, ends; at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has ended already")


def main(command: list[str]) -> None:
    """Replace this process by `command`, looked up on PATH; OSError if it cannot be run."""
    end_with(os.getppid())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
