"""`python -m localcloud.moto_server CLOCK`: moto's own server, with less work for a request.

Moto looks for the backend of each request anew, by reading its folder of modules and matching the
host with 250 patterns, and logs each request. Together they are a third of the processor time of a
request. For the account of an access key it asks IAM in every partition, and each has AWS's managed
policies to load: a quarter of its start. The backends themselves are moto's, unmodified, but for
the time of the messages in SQS: CLOCK is the file in which `clock.py` publishes the virtual one.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

import moto.iam.models
import moto.sqs.models
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from localcloud.bootstrap import PublishedClock


class Dispatcher(DomainDispatcherApplication):
    """Finds the backend of a host once."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self.backends = functools.cache(super().get_backend_for_host)

    def get_backend_for_host(self, host: str | None) -> Any:
        return self.backends(host)


class RequestHandler(MotoRequestHandler):
    """Keeps connections, and logs errors alone."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def keep_messages_by(clock: PublishedClock) -> None:
    """Let messages be delayed, invisible and old by virtual time.

    Long polling ends by this machine's time, as the programs do that poll.
    """

    def milliseconds() -> float:
        return clock.now() * 1000

    vars(moto.sqs.models)["unix_time_millis"] = milliseconds


def main(clock: str) -> None:
    """Serve on a free port of 127.0.0.1 until the process is ended.

    The first and only line of its standard output is the port; the rest goes to standard error.
    """
    keep_messages_by(PublishedClock(clock))
    vars(moto.iam.models)["PARTITION_NAMES"] = ["aws"]
    server = make_server(
        "127.0.0.1", 0, Dispatcher(), threaded=True, request_handler=RequestHandler
    )
    print(server.port, flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
