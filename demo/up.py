"""What `make up` does once its estate runs: say how to use it, obey the keyboard, end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FAST = 120.0  # virtual seconds per second where nothing is measured but minutes
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

KEYBOARD = f"""Here, type
  sleep  to put it to sleep now: then load the page again, and watch it wake
  fast   to let time run at {FAST:.0f}x, in which it falls asleep by itself;  slow  for 1x
  stop   (or Ctrl-C) to end everything
"""


def directions(environment: Mapping[str, str], outputs: Mapping[str, Any]) -> str:
    """What to do with the running estate, for a person: `outputs` are those of its example."""
    name = outputs["function_name"].removesuffix("-warmkeeper")
    exports = "\n".join(f"export {key}={value}" for key, value in environment.items())
    return f"""
It is awake. Open it:  {outputs["url"]}/
Its state:             {outputs["status_url"]}

In another terminal, in this folder:

{exports}
.venv/bin/python -m tools.explain {name}
.venv/bin/python -m tools.report {name}
.venv/bin/python -m tools.dashboard {outputs["function_name"]} dashboard.png
aws lambda invoke --function-name {outputs["function_name"]} \\
  --cli-binary-format raw-in-base64-out --payload '{{"command": "sleep"}}' /dev/stdout
{of_environment(outputs) if "queue_url" in outputs else of_staging(outputs)}
"""


def of_staging(outputs: Mapping[str, Any]) -> str:
    """What to try on examples/staging alone."""
    cluster, service = outputs["cluster_name"], outputs["service_name"]
    return f"""curl -i {outputs["url"]}/api/time
aws ecs describe-services --cluster {cluster} --services {service}"""


def of_environment(outputs: Mapping[str, Any]) -> str:
    """What to try on examples/environment alone."""
    cluster, services = outputs["cluster_name"], " ".join(outputs["service_names"].values())
    return f"""curl -i {outputs["url"]}/api/greeting
aws sqs send-message --queue-url {outputs["queue_url"]} --message-body "a job"
aws rds describe-db-instances --db-instance-identifier {outputs["database_identifier"]}
aws ecs describe-services --cluster {cluster} --services {services}"""


def attend(obeyed: Callable[[str], None]) -> None:
    """Until "stop" is typed or a signal comes, hand each line of the keyboard to `obeyed`.

    Without a terminal on standard input nothing is read: it runs until the signal.
    """
    with contextlib.suppress(KeyboardInterrupt):
        if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
            print(f"It runs until SIGTERM or SIGINT: kill {os.getpid()}")
            while True:
                signal.pause()
        print(KEYBOARD)
        for line in sys.stdin:
            if line.strip() == "stop":
                return
            obeyed(line.strip())


def stop_on_signals() -> None:
    """From now on each of STOPPING raises KeyboardInterrupt with its name, and so clears up.

    Also where the shell told this process to ignore SIGINT, as it does for jobs in the background.
    """

    def interrupt(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in STOPPING:
        signal.signal(number, interrupt)


def kill_descendants() -> None:
    """SIGKILL for every process below this one.

    A Terraform that is interrupted would go on asking a cloud that is gone, and so would its
    providers.
    """
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    below = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= found
    for pid in below - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
