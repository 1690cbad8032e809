"""What `make up` prints once its estate runs, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from demo import up
from localcloud.client import REPOSITORY, LocalCloud

ENVIRONMENT = LocalCloud("http://127.0.0.1:40123").environment()
OUTPUTS = {
    "url": "http://127.0.0.1:40124",
    "status_url": "http://127.0.0.1:40124/.warmkeeper/status",
    "function_name": "preview-warmkeeper",
    "cluster_name": "preview",
    "service_name": "preview-app",
}
OF_ENVIRONMENT = {
    "queue_url": "http://127.0.0.1:40123/123456789012/preview-jobs",
    "database_identifier": "preview-main",
    "service_names": {"api": "preview-api", "web": "preview-web"},
}

WAITS = "from demo import up; up.stop_on_signals(); up.attend(print); print('cleared up')"
READY = "SIGTERM or SIGINT"
AS_IT_IS = 'exec "$@"'
CLOSED = 'exec "$@" <&-'
IN_THE_BACKGROUND = 'trap "" INT; exec "$@"'  # as a shell without job control starts `make up &`


def test_up_prints_what_points_other_tools_at_the_cloud_and_what_to_try() -> None:
    lines = up.directions(ENVIRONMENT, OUTPUTS).splitlines()
    exported = dict(
        line.removeprefix("export ").split("=", 1) for line in lines if "export" in line
    )
    assert exported == ENVIRONMENT
    for line in (
        ".venv/bin/python -m tools.explain preview",
        ".venv/bin/python -m tools.report preview",
        ".venv/bin/python -m tools.dashboard preview-warmkeeper dashboard.png",
        "curl -i http://127.0.0.1:40124/api/time",
        "aws lambda invoke --function-name preview-warmkeeper \\",
        "aws ecs describe-services --cluster preview --services preview-app",
    ):
        assert line in lines


def test_up_prints_how_to_wake_an_environment_by_a_message() -> None:
    lines = up.directions(ENVIRONMENT, {**OUTPUTS, **OF_ENVIRONMENT}).splitlines()
    for line in (
        "curl -i http://127.0.0.1:40124/api/greeting",
        f'aws sqs send-message --queue-url {OF_ENVIRONMENT["queue_url"]} --message-body "a job"',
        "aws rds describe-db-instances --db-instance-identifier preview-main",
        "aws ecs describe-services --cluster preview --services preview-api preview-web",
    ):
        assert line in lines


@pytest.mark.parametrize("more", [{}, OF_ENVIRONMENT], ids=["staging", "environment"])
def test_the_lines_that_up_prints_are_a_script_for_a_shell(more: dict[str, Any]) -> None:
    told = up.directions(ENVIRONMENT, {**OUTPUTS, **more})
    commands = told.partition("in this folder:\n")[2]
    checked = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def waiting(stdin: int | None, shell: str) -> subprocess.Popen[str]:
    """The part of `make up` that waits, as a process; it has said that it does.

    `shell` becomes it. With a preexec_fn instead, the process would be forked with all that this
    one's threads hold, and gRPC's handlers of a fork (tests/terraform/few_types.py) may end it.
    """
    process = subprocess.Popen(
        ["bash", "-c", shell, "up", sys.executable, "-u", "-c", WAITS],
        cwd=REPOSITORY,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert READY in process.stdout.readline()
    return process


@pytest.mark.parametrize(
    ("stdin", "shell"),
    [
        (subprocess.DEVNULL, AS_IT_IS),
        (subprocess.PIPE, AS_IT_IS),
        (None, CLOSED),
        (subprocess.DEVNULL, IN_THE_BACKGROUND),
    ],
    ids=["null", "pipe", "closed", "background"],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_a_terminal_up_runs_until_a_signal_and_clears_up(
    stdin: int | None, shell: str, number: signal.Signals
) -> None:
    process = waiting(stdin, shell)
    try:
        if process.stdin is not None:
            process.stdin.close()  # the end of the input is not a signal
            process.stdin = None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "cleared up\n")
    finally:
        process.kill()
        process.wait()


def test_on_a_terminal_up_obeys_each_line_until_stop() -> None:
    terminal, end = os.openpty()
    try:
        os.write(terminal, b"sleep\nfast\nstop\nslow\n")
        ran = subprocess.run(
            [sys.executable, "-c", WAITS],
            cwd=REPOSITORY,
            stdin=end,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        os.close(terminal)
        os.close(end)
    assert ran.stdout == f"{up.KEYBOARD}\nsleep\nfast\ncleared up\n"


def test_what_an_interrupted_run_leaves_behind_is_ended() -> None:
    program = (
        "import subprocess\n"
        "from demo import up\n"
        "command = ['bash', '-c', 'sleep 600 & echo $!; echo $$; wait']\n"
        "pipe = subprocess.PIPE\n"
        "shell = subprocess.Popen(command, stdout=pipe, stderr=subprocess.DEVNULL, text=True)\n"
        "print(shell.stdout.readline(), shell.stdout.readline())\n"
        "up.kill_descendants()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    pids = ran.stdout.split()
    assert len(pids) == 2
    until = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)
