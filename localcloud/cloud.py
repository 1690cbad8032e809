"""All parts together: moto's process, the gateway before it, and the parts that move."""

from __future__ import annotations

import asyncio
import copy
import os
import sys
import traceback
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from localcloud.balancer import Balancer
from localcloud.clock import Clock
from localcloud.codedeploy import CodeDeploy
from localcloud.connect import Connect
from localcloud.control import Control
from localcloud.databases import Databases
from localcloud.deployments import Deployments
from localcloud.events import Events
from localcloud.functions import Functions
from localcloud.gaps import Gaps
from localcloud.gateway import Gateway
from localcloud.instances import Instances
from localcloud.launch import LAUNCH
from localcloud.metrics import Metrics
from localcloud.policies import Policies, check_delays
from localcloud.queues import Queues
from localcloud.scaling import Scaling
from localcloud.tasks import Tasks

SETTINGS: dict[str, dict[str, Any]] = {
    "lambda": {
        "max_containers": 10,  # processes at a time, all functions together
        "forked": sys.platform == "linux",  # quick inits, whose CPU time is not Lambda's
        "container_idle_seconds": 600,  # virtual; an unused container is let go then
    },
    "elb": {"propagation_seconds": [0.3, 0.8]},  # one per node
    "ecs": {
        "provisioning_seconds": 8,
        "pull_seconds": 12,
        "start_seconds": 1,
        "stop_stale_seconds": 3,
        "read_stale_seconds": 0,
        "scale_up_timeout_seconds": 86400,  # of a blue/green deployment, then it is rolled back
        "failure": None,  # or "image", "exit", "capacity", "unhealthy"
    },
    "scaling": {"policy_seconds": 60},  # virtual, until a policy sees a count below the minimum
    "rds": {  # virtual
        "starting_seconds": 300,
        "stopping_seconds": 180,
        "longest_stop_seconds": 7 * 86400,  # then AWS starts it
    },
    "sqs": {  # virtual
        "active_seconds": 6 * 3600,  # since the last use; then there are no metrics
        "activation_seconds": 900,  # metrics of a queue that becomes active come no sooner
    },
    "cloudwatch": {"lateness_seconds": 70},
    "events": {"delivery_seconds": 0.5},
    # virtual, by boto3's names: {"ecs": 20}, how long a function's new policy is not effective
    "iam": {"policy_delay_seconds": {}},
}

MOTO_START_SECONDS = 30
WARM_UP = [
    ("ecs", "list_clusters"),
    ("dynamodb", "list_tables"),
    ("elbv2", "describe_load_balancers"),
    ("cloudwatch", "describe_alarms"),
    ("ssm", "describe_parameters"),
    ("sns", "list_topics"),
    ("logs", "describe_log_groups"),
]


class Cloud:
    """The local cloud in the running event loop. Parts find each other and the settings here."""

    def __init__(self, state: Path, speed: float = 1.0) -> None:
        """`state` is a folder that exists, for function code and the clock's file."""
        self.state = state
        self.settings = copy.deepcopy(SETTINGS)
        self.clock = Clock(state / "clock", speed)
        self.control = Control()
        self._work: set[asyncio.Task[None]] = set()
        self._moto: asyncio.subprocess.Process | None = None
        self.gateway = Gateway(self)
        self.gaps = Gaps(self)
        self.policies = Policies(self)
        self.functions = Functions(self)
        self.events = Events(self)
        self.metrics = Metrics(self)
        self.instances = Instances(self)
        self.scaling = Scaling(self)
        self.deployments = Deployments(self)
        self.code_deploy = CodeDeploy(self)
        self.connect = Connect(self)
        self.tasks = Tasks(self)
        self.balancer = Balancer(self)
        self.databases = Databases(self)
        self.queues = Queues(self)
        self._parts = (
            self.functions,
            self.events,
            self.metrics,
            self.connect,
            self.tasks,
            self.balancer,
            self.databases,
        )

    @property
    def endpoint(self) -> str:
        """The gateway's URL: what AWS_ENDPOINT_URL should be."""
        return self.control.gateway_url

    async def start(self, port: int = 0) -> None:
        """Start everything; `port` 0 means a free one. RuntimeError if moto does not come up."""
        await self._start_moto()
        bound = await self.gateway.start(port)
        self.control.gateway_url = f"http://127.0.0.1:{bound}"
        for part in self._parts:
            await part.start()
        self.spawn(self._warm_up())

    async def stop(self) -> None:
        """End everything that was started: functions, tasks, listeners, moto."""
        for work in list(self._work):
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        for part in reversed(self._parts):
            await part.stop()
        await self.gateway.stop()
        if self._moto is not None and self._moto.returncode is None:
            self._moto.kill()
            await self._moto.wait()
        self.control.close()

    async def _warm_up(self) -> None:
        """Moto loads a service with its first call, which takes seconds: not on anybody's time."""
        for service, method in WARM_UP:
            await self.control.call(service, method)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside everything else until the cloud stops; a failure is printed."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Merge `{"ecs": {"pull_seconds": 3}}` and the like; ValueError names what is unknown."""
        for theme, values in changes.items():
            for name, value in values.items():
                if name not in self.settings.get(theme, {}):
                    raise ValueError(f"no setting {theme}.{name}")
                if name == "policy_delay_seconds":
                    check_delays(value)
                self.settings[theme][name] = value

    def load_balancers(self) -> dict[str, str]:
        """Where each load balancer listens: name to "127.0.0.1:port"."""
        return self.balancer.addresses()

    async def _start_moto(self) -> None:
        """Start moto, which takes a port of its own and says which.

        One that is chosen here may be another cloud's before moto listens, and both clouds would
        then use that other one's moto.
        """
        log = (self.state / "moto.log").open("wb")
        self._moto = await asyncio.create_subprocess_exec(
            *LAUNCH, sys.executable, "-m", "localcloud.moto_server", str(self.clock.path),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true", "NO_PROXY": "*"},
        )  # fmt: skip
        log.close()
        assert self._moto.stdout is not None
        port = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(MOTO_START_SECONDS):
                port = await self._moto.stdout.readline()
        if not port:
            raise RuntimeError(f"moto did not start: see {self.state / 'moto.log'}")
        self.control.moto_url = f"http://127.0.0.1:{int(port)}"
