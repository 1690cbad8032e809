"""`python -m localcloud`: run the local cloud until it is told to stop (SIGTERM, SIGINT)."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
import tempfile
from pathlib import Path

from localcloud.cloud import Cloud

EXAMPLES = """\
When it runs, point Terraform, the AWS CLI or boto3 at it:
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_REGION=us-east-1 \\
    AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
Where its load balancers listen, to open in a browser, and what else there is to steer:
  curl http://127.0.0.1:4566/_localcloud/
A minute in a second, and back:
  curl -X PUT -d '{"speed": 60}' http://127.0.0.1:4566/_localcloud/clock
All of it: localcloud/README.md
"""


async def run(
    port: int, speed: float, state: Path, *, until_stdin_ends: bool, ready_fd: int | None
) -> None:
    """Start the cloud, say where it listens, and stop it on a signal (or the end of stdin).

    `ready_fd` is an open file descriptor: the endpoint is written to it as one line, and it is
    closed.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    cloud = Cloud(state, speed)
    if until_stdin_ends:
        cloud.spawn(_at_end_of_input(stop))
    try:
        starting = asyncio.create_task(cloud.start(port))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            if ready_fd is not None:
                os.write(ready_fd, f"{cloud.endpoint}\n".encode())
                os.close(ready_fd)
            print(f"endpoint {cloud.endpoint}")
            print("The local cloud is running. Point AWS tools at it with")
            print(f"  export AWS_ENDPOINT_URL={cloud.endpoint} AWS_REGION=us-east-1 \\")
            print("    AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local")
            print(f"Look inside: {cloud.endpoint}/_localcloud/   Stop it: Ctrl-C", flush=True)
        await stopping
        starting.cancel()
    finally:
        await cloud.stop()


async def _at_end_of_input(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    stop.set()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m localcloud",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the local cloud, an AWS on 127.0.0.1, until SIGTERM or Ctrl-C.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--port", type=int, default=4566, help="0 takes a free one (4566)")
    parser.add_argument("--speed", type=speed, default=1.0, help="virtual seconds per second (1)")
    parser.add_argument("--state-dir", type=Path, help="keep logs and code here")
    parser.add_argument(
        "--until-stdin-ends", action="store_true", help="stop when standard input is closed"
    )
    parser.add_argument(
        "--ready-fd",
        type=open_fd,
        metavar="N",
        help="when it runs, write the endpoint to this file descriptor and close it",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="localcloud-") as scratch:
        state = options.state_dir or Path(scratch)
        state.mkdir(parents=True, exist_ok=True)
        running = run(
            options.port,
            options.speed,
            state.resolve(),
            until_stdin_ends=options.until_stdin_ends,
            ready_fd=options.ready_fd,
        )
        try:
            asyncio.run(running)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            sys.exit(f"Port {options.port} is taken: stop what listens there, or name another.")


def speed(text: str) -> float:
    """What `--speed` takes: a number above 0."""
    if not (number := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def open_fd(text: str) -> int:
    """What `--ready-fd` takes: the number of an open file descriptor."""
    number = int(text)
    try:
        os.fstat(number)
    except (OSError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text} is not an open file descriptor") from None
    return number


if __name__ == "__main__":
    main()
