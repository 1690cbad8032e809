"""A real LocalStack without Docker, and beside it what its free core has not, behind one endpoint.

| Cloud | Serves |
| --- | --- |
| LocalStack | Lambda, CloudWatch, Logs, EventBridge, SNS, SQS, IAM, STS, SSM, KMS, EC2's network |
| MiniStack | ECS, load balancers, DynamoDB |
| moto | Application Auto Scaling |

LocalStack runs functions by executor.py. MiniStack runs tasks by stand_ins/docker. LocalStack and
MiniStack come from .venv-localstack, which `make test-localstack` makes, and write to
.cache/localstack only. Each server listens on 127.0.0.1, and ends with this process.
"""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer

from localcloud.client import LocalCloud
from localcloud.launch import LAUNCH
from tests.caddy import free_port
from tests.estate import client
from tests.localstack.front import Front

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BIN = ROOT / ".venv-localstack" / "bin"
SCRATCH = ROOT / ".cache" / "localstack"
START_SECONDS = 300
FOLDERS = ("HOME", "TMPDIR", "LOCALSTACK_VOLUME_DIR", "FILESYSTEM_ROOT")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

SERVICES = "cloudwatch,ec2,events,iam,kms,lambda,logs,s3,sns,sqs,ssm,sts"
ELSEWHERE = {
    "application-autoscaling": "moto",
    "dynamodb": "ministack",
    "ecs": "ministack",
    "elasticloadbalancing": "ministack",
}
# https://docs.localstack.cloud/aws/capabilities/config/configuration/
LOCALSTACK = {
    "DISABLE_EVENTS": "1",  # reports of its use
    "DNS_ADDRESS": "0",  # no DNS server
    "EAGER_SERVICE_LOADING": "0",
    "GATEWAY_SERVER": "hypercorn",  # the usual one listens on all addresses
    "LAMBDA_IGNORE_ARCHITECTURE": "1",  # arm64 or not
    "LAMBDA_RUNTIME_EXECUTOR": "process",
    "OVERRIDE_IN_DOCKER": "0",  # what it takes a container for listens on all addresses, too
    "SERVICES": SERVICES,
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "STRICT_SERVICE_LOADING": "1",  # no others: DynamoDB would download Java
}
MINISTACK = {
    "BIND_HOST": "127.0.0.1",
    "IOT_MTLS_ENABLED": "0",
    "MINISTACK_HOST": "127.0.0.1",
    "SFTP_ENABLED": "0",
}

# MiniStack's load balancer invokes functions of MiniStack alone. This one hands on to LocalStack.
RELAY = """
import json
import os
import boto3

lambda_ = boto3.client("lambda", endpoint_url=os.environ["FRONT"])

def handler(event, context):
    answer = lambda_.invoke(
        FunctionName=context.function_name, Payload=json.dumps(event).encode()
    )
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise RuntimeError(payload)
    return payload
"""


@dataclass(frozen=True)
class Clouds:
    """The clouds while they run. `front.endpoint` is what localstack-client is to find."""

    front: Front

    def environment(self) -> dict[str, str]:
        """The variables that point Terraform and boto3 at them."""
        return LocalCloud(self.front.endpoint).environment()

    def relay(self, function: str) -> None:
        """Let MiniStack's load balancer invoke LocalStack's function of this name."""
        ministack = {**self.environment(), "AWS_ENDPOINT_URL": self.front.clouds["ministack"]}
        variables = {"FRONT": self.front.endpoint}
        make_function(client(ministack, "lambda"), function, RELAY, timeout=60, **variables)


def make_function(lambda_: Any, name: str, program: str, *, timeout: int, **variables: str) -> None:
    """A function whose `handler` is in this program; `timeout` in seconds."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("program.py", program)
    lambda_.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/function",
        Handler="program.handler",
        Code={"ZipFile": code.getvalue()},
        Timeout=timeout,
        Environment={"Variables": variables},
    )


@contextmanager
def running() -> Iterator[Clouds]:
    """Start them, and end them afterwards. RuntimeError with the log of one that fails to start.

    The logs of the last run stay in .cache/localstack.
    """
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ends, tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        moto.start()
        ends.callback(moto.stop)
        ports = {
            "localstack": free_port(),
            "ministack": free_port(),
            "moto": moto.get_host_and_port()[1],
        }
        clouds = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        front = Front(clouds, ELSEWHERE)
        front.start()
        ends.callback(front.stop)
        servers = (localstack(ports["localstack"], front), ministack(ports["ministack"]))
        for server in servers:
            server.start(Path(scratch))
            ends.callback(server.stop)
        for server in servers:
            server.wait()
        yield Clouds(front)


class Server:
    """A program of .venv-localstack that serves AWS's API on a port of 127.0.0.1.

    `path` are the folders in which it finds modules before its own; `health` is a path that it
    answers with 200 when it is ready.
    """

    def __init__(
        self, module: str, port: int, health: str, path: Sequence[Path], settings: Mapping[str, str]
    ) -> None:
        self.module = module
        self.health = f"http://127.0.0.1:{port}{health}"
        self.log = SCRATCH / f"{module.partition('.')[0]}.log"
        self._path = path
        self._settings = settings
        self._process: subprocess.Popen[bytes]

    def start(self, scratch: Path) -> None:
        """Start it, with a folder of its own in `scratch` for all that it writes."""
        folder = scratch / self.module
        folders = {name: folder / name.lower() for name in FOLDERS}
        for each in folders.values():
            each.mkdir(parents=True)
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "PYTHONPATH": ":".join(map(str, self._path)),
            **{name: str(each) for name, each in folders.items()},
            **self._settings,
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*LAUNCH, str(BIN / "python"), "-m", self.module],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        """Until it is ready. RuntimeError with its log if it ends, or START_SECONDS pass."""
        end = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.module} did not start:\n{self.log.read_text()}")
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            with DIRECT.open(self.health, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """SIGKILL: there is nothing to keep, and children end too. LocalStack would take 20 s."""
        self._process.kill()
        self._process.wait()


def localstack(port: int, front: Front) -> Server:
    """LocalStack, whose functions find AWS at the front."""
    settings = {
        **LOCALSTACK,
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "FUNCTION_ENDPOINT": front.endpoint,
    }
    return Server(
        "localstack.runtime.main", port, "/_localstack/health", (HERE / "plugin", ROOT), settings
    )


def ministack(port: int) -> Server:
    """MiniStack, whose tasks are processes."""
    settings = {**MINISTACK, "GATEWAY_PORT": str(port)}
    return Server("ministack", port, "/_ministack/health", (HERE / "stand_ins", ROOT), settings)
