"""Execution environments that are forked from one process, which has imported boto3 already.

Python's start and the import of boto3 are most of what an environment's init needs of a CPU, and
the local cloud has as many processors as this machine. Lambda starts each environment anew, so what
measures an init switches this off (`settings.lambda.forked`).

`python -m localcloud.forks FD CLOCK` is the process that forks. On FD, a socket of messages, come
the folder and the environment of a new one, with its two files. It answers with the process's id,
and tells when one has ended and how.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from localcloud.bootstrap import follow, run
from localcloud.launch import LAUNCH, end_with

REPOSITORY = Path(__file__).resolve().parents[1]
MESSAGE_BYTES = 64 * 1024  # an environment has 4 KB, and what Lambda adds to it


# --- outside: what the local cloud sees --------------------------------------------------------
class Forked:
    """A process that somebody else has started; the part of asyncio's Process that is used here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle: int | None = None  # unlike the id, it never means another process
        with contextlib.suppress(ProcessLookupError):  # it has ended already, and that comes next
            self._handle = os.pidfd_open(pid)
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """The exit status, negative for a signal, when the process has ended."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """ProcessLookupError if it has ended."""
        if self._handle is None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.send_signal(signal.SIGKILL)

    def ended(self, status: int) -> None:
        """As waitpid(2) tells it."""
        self.returncode = os.waitstatus_to_exitcode(status)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self._ended.set()


class Forks:
    """Starts execution environments by the process that forks, which it starts at first use."""

    def __init__(self, clock: Path) -> None:
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._starting = asyncio.Lock()
        self._started: asyncio.Future[Forked] | None = None
        self._running: dict[int, Forked] = {}

    async def start(
        self, folder: Path, environment: Mapping[str, str], out: int, frames: int
    ) -> Forked:
        """A new process in `folder` that runs the handler of `environment`, and writes to `out`.

        `frames` is where its log goes. RuntimeError if the process that forks has ended.
        """
        async with self._starting:
            if self._socket is None:
                await self._begin()
            assert self._socket is not None
            self._started = asyncio.get_running_loop().create_future()
            message = json.dumps({"folder": str(folder), "environment": dict(environment)})
            socket.send_fds(self._socket, [message.encode()], [out, frames])
            return await self._started

    async def stop(self) -> None:
        """End the process that forks, and with it all that it has forked."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _begin(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *LAUNCH, sys.executable, "-m", "localcloud.forks", str(theirs.fileno()),
                str(self._clock),
                cwd=REPOSITORY,
                env={"PATH": os.environ.get("PATH", ""), "TZ": ":UTC", "LANG": "en_US.UTF-8",
                     "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        finally:
            theirs.close()
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        """One message: a process has started, or ended."""
        assert self._socket is not None
        if not (message := self._socket.recv(MESSAGE_BYTES)):
            asyncio.get_running_loop().remove_reader(self._socket)
            if self._started is not None and not self._started.done():
                self._started.set_exception(RuntimeError("the process that forks has ended"))
            return
        told = json.loads(message)
        if "status" in told:
            self._running.pop(told["pid"]).ended(told["status"])
            return
        forked = self._running[told["pid"]] = Forked(told["pid"])
        assert self._started is not None
        if self._started.done():  # nobody waits for it any more
            forked.kill()
        else:
            self._started.set_result(forked)


# --- inside: the process that forks ------------------------------------------------------------
def main(descriptor: int, clock: str) -> None:
    """Fork whenever asked, until the other side ends."""
    follow(clock)  # before anything is imported that keeps a function of `time`
    import boto3  # noqa: F401
    import botocore.endpoint
    import botocore.retries.standard
    import botocore.signers  # noqa: F401

    gc.freeze()
    ours = socket.socket(fileno=descriptor)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready, _, _ = select.select([descriptor, woken], [], [])
        if woken in ready:
            os.read(woken, 512)
            tell_of_the_ended(ours)
        if descriptor in ready:
            message, files, _, _ = socket.recv_fds(ours, MESSAGE_BYTES, 2)
            if not message:
                return
            asked = json.loads(message)
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for unused in (woken, wake):
                    os.close(unused)
                ours.close()
                become(parent, Path(asked["folder"]), asked["environment"], *files)
            for file in files:
                os.close(file)
            ours.send(json.dumps({"pid": pid}).encode())


def tell_of_the_ended(ours: socket.socket) -> None:
    """Send the exit status of each process that has ended since."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            ours.send(json.dumps({"pid": pid, "status": status}).encode())


def become(
    parent: int, folder: Path, environment: dict[str, str], out: int, frames: int
) -> NoReturn:
    """Be an execution environment from now on, and end as a process started anew would."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        end_with(parent)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.close(out)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update({**environment, "_LAMBDA_TELEMETRY_LOG_FD": str(frames)})
        sys.dont_write_bytecode = False
        sys.pycache_prefix = f"{folder}.compiled"  # the next one need not compile it again
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
