"""How a test or the demonstration learns where its local cloud listens.

`STARTS=500` starts the stand-in that often; otherwise a few starts are enough for every run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localcloud import client
from localcloud.client import start, stop

STARTS = int(os.environ.get("STARTS", "25"))
AT_A_TIME = 8  # more than there are cores: the stand-ins are interrupted anywhere
ENDPOINT = "http://127.0.0.1:40123"

# Writes everything byte by byte: its output, which names another endpoint first, and the endpoint.
STAND_IN = """
import os, sys
def write(number, text):
    for byte in text.encode():
        os.write(number, bytes([byte]))
write(1, "endpoint http://127.0.0.1:1\\nmoto warns of something\\n" * 4)
write(2, "Traceback (most recent call last)\\n")
write(int(sys.argv[-1]), "http://127.0.0.1:40123\\n")
write(1, "endpoint http://127.0.0.1:2\\n")
sys.stdin.read()
"""
PYTHON = [sys.executable, "-I", "-S", "-c"]


def test_no_start_is_missed_however_its_output_is_cut(tmp_path: Path) -> None:
    def endpoint(number: int) -> str:
        with (tmp_path / str(number)).open("w+b") as output:
            process, told = start([*PYTHON, STAND_IN], output)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 0
            stop(process)
        # Nothing that the child wrote was overwritten either.
        assert (tmp_path / str(number)).read_text().count("\n") == 10
        return told

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        assert list(pool.map(endpoint, range(STARTS))) == [ENDPOINT] * STARTS


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('port 4566 is taken'); raise SystemExit(1)", "port 4566 is taken"),
        ("import os, sys; os.write(int(sys.argv[-1]), b'http://127'); print('half')", "half"),
    ],
)
def test_a_cloud_that_ends_before_it_is_ready_is_an_error_with_its_output(
    program: str, said: str
) -> None:
    with tempfile.TemporaryFile() as output, pytest.raises(RuntimeError, match=said):
        start([*PYTHON, program], output)


def test_a_cloud_that_hangs_is_ended_and_is_an_error_with_its_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "START_SECONDS", 2)
    hangs = "import time; print('waiting for moto', flush=True); time.sleep(600)"
    with tempfile.TemporaryFile() as output, pytest.raises(RuntimeError, match="did not start"):
        start([*PYTHON, hangs], output)
