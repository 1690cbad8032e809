"""An estate with the module, applied to a cloud: what tests and the demonstration drive."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import requests
from localstack_client.session import Session
from python_terraform import IsFlagged, IsNotFlagged, Terraform

from localcloud.client import LocalCloud
from tests.surroundings import Surroundings
from tools.terraform_env import terraform_environment

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "examples"
STAGING = EXAMPLES / "staging"
ENVIRONMENT = EXAMPLES / "environment"
MODULE_ALONE = REPOSITORY / "tests" / "integration" / "module_alone"
SLOW = 0.1  # the clock's speed while Terraform works on a phase that lasts a minute or less
STILL = 0.01  # the same where not even a tick may come meanwhile


class TerraformError(RuntimeError):
    """A terraform command failed; the message is what it printed."""


@dataclass
class Workspace:
    """A Terraform configuration with its state and data outside the working tree.

    `loud` shows Terraform's own progress on the terminal. With `keeps_provider` all runs attach to
    one AWS provider (tests/terraform/kept_provider.py).
    """

    folder: Path
    scratch: Path
    environment: dict[str, str]
    variables: dict[str, Any]
    loud: bool = False
    keeps_provider: bool = False

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._state = str(self.scratch / "terraform.tfstate")

    def _run(
        self, command: str, *arguments: str, good: tuple[int, ...] = (0,), **flags: Any
    ) -> int:
        settings = {**terraform_environment(), **self.environment}
        settings["TF_DATA_DIR"] = str(self.scratch / "data")
        if self.keeps_provider:
            from tests.terraform import kept_provider  # its gRPC, the demonstration does without

            settings |= kept_provider.attached(self.environment, self.folder)
        before = dict(os.environ)
        os.environ.update(settings)  # python-terraform hands on the environment of its process
        try:
            code, out, err = Terraform(working_dir=str(self.folder)).cmd(
                command, *arguments, no_color=IsFlagged, capture_output=not self.loud, **flags
            )
        finally:
            os.environ.clear()
            os.environ.update(before)
        if code not in good:
            raise TerraformError(f"terraform {command} ended with {code}\n{out or ''}\n{err or ''}")
        self._out = out
        return cast(int, code)

    def _with_variables(self) -> dict[str, Any]:
        return {"state": self._state, "var": self.variables, "input": False}

    def init(self) -> None:
        self._run("init", input=False, backend=False)

    def apply(self, *, replace: Sequence[str] = (), **variables: Any) -> None:
        """Apply; `variables` are kept for what comes later. What is in `replace` is made anew."""
        self.variables |= variables
        flags = self._with_variables() | ({"replace": list(replace)} if replace else {})
        self._run("apply", auto_approve=IsFlagged, **flags)

    def changes(self) -> bool:
        """Whether a plan would change anything (`plan -detailed-exitcode`)."""
        flags = {"detailed_exitcode": IsFlagged, **self._with_variables()}
        return self._run("plan", good=(0, 2), **flags) == 2

    def changed(self) -> list[str]:
        """The addresses of what the last plan would change."""
        return re.findall(r"(?m)^  # (\S+) (?:will be|must be|is tainted)", self._out)

    def warnings(self) -> str:
        """What the module's checks said in the last plan, in one line; "" if nothing."""
        told = re.sub(r"\s+", " ", self._out)
        return told[told.index("Warning: Check block") :] if "Warning: Check block" in told else ""

    def destroy(self, *targets: str) -> None:
        """Destroy everything, or the targets alone."""
        flags = self._with_variables() | ({"target": list(targets)} if targets else {})
        self._run("destroy", auto_approve=IsFlagged, force=IsNotFlagged, **flags)

    def forget(self, address: str) -> None:
        """`terraform state rm`: what it names stays, and is no longer Terraform's."""
        self._run("state rm", address, state=self._state)

    def outputs(self) -> dict[str, Any]:
        """Read from the state: `terraform output` takes seconds for the same."""
        state = json.loads(Path(self._state).read_text(encoding="utf-8"))
        return {name: output["value"] for name, output in state["outputs"].items()}


@dataclass
class Example(Workspace):
    """A configuration, with what an estate reads of module_alone besides its outputs."""

    more: dict[str, Any] = field(default_factory=dict)

    def outputs(self) -> dict[str, Any]:
        return {**super().outputs(), **self.more}


def client(environment: Mapping[str, str], service: str) -> Any:
    """A boto3 client for the cloud of this environment, by way of localstack-client."""
    return _client(tuple(sorted(environment.items())), service)


@functools.cache
def _client(variables: tuple[tuple[str, str], ...], service: str) -> Any:
    """Making one takes longer than a call; the clients of boto3 may be used by several threads."""
    environment = dict(variables)
    session = Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
        localstack_host=environment["AWS_ENDPOINT_URL"].partition("://")[2],
    )
    return session.client(service)


class Estate:
    """A staging estate on a cloud, and what one wants to know of it.

    `surroundings` is what boto3 made around the module; None where Terraform made all of it.
    """

    def __init__(self, workspace: Workspace, surroundings: Surroundings | None = None) -> None:
        self.workspace = workspace
        self.surroundings = surroundings
        self.outputs = workspace.outputs()
        self.url: str = self.outputs["url"]

    def apply(self, cloud: LocalCloud | None = None, **given: Any) -> None:
        """Apply as Workspace.apply() does; the outputs are then the new ones.

        With `cloud`, its clock stands almost still meanwhile. Else a tick may come between the
        change of the role and that of the function, and meet a right that is gone, or not there
        yet.
        """
        with cloud.at_speed(STILL) if cloud else contextlib.nullcontext():
            self.workspace.apply(**given)
        self.outputs = self.workspace.outputs()

    def client(self, service: str) -> Any:
        """A boto3 client for the cloud."""
        return client(self.workspace.environment, service)

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the warmkeeper directly. Raises RuntimeError with its error."""
        answer = self.client("lambda").invoke(
            FunctionName=self.outputs["function_name"], Payload=json.dumps(event).encode()
        )
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(str(payload))
        return cast(dict[str, Any], payload)

    def memory(self) -> dict[str, Any]:
        """The memory item's body, as the warmkeeper wrote it; {} if there is none."""
        item = self.client("dynamodb").get_item(
            TableName=self.outputs["table_name"], Key={"id": {"S": "memory"}}
        )
        body = item["Item"]["body"]["S"] if "Item" in item else "{}"
        return cast(dict[str, Any], json.loads(body))

    def phase(self) -> str:
        return str(self.memory().get("phase", ""))

    def reached(self, phase: str) -> bool:
        """Whether it is in this phase, and every count that is to go to 0 in it is there.

        The phase is written before the calls that set the counts.
        """
        memory = self.memory()
        return memory.get("phase") == phase and not memory.get("taking")

    def service(self) -> dict[str, Any]:
        answer = self.client("ecs").describe_services(
            cluster=self.outputs["cluster_name"], services=[self.outputs["service_name"]]
        )
        return cast(dict[str, Any], answer["services"][0])

    def idle_alarm(self) -> dict[str, Any]:
        name = self.outputs["idle_alarm_arn"].rpartition(":")[2]
        answer = self.client("cloudwatch").describe_alarms(AlarmNames=[name])
        return cast(dict[str, Any], answer["MetricAlarms"][0])

    def get(self, path: str = "/api/time", **options: Any) -> requests.Response:
        """GET as an API client that follows redirects."""
        headers = {"Accept": "application/json"}
        return requests.get(self.url + path, headers=headers, **{"timeout": 300, **options})

    def wake(self) -> None:
        """Awake now, whatever it was."""
        self.invoke({"command": "wake", "wait": True})

    def forget_wakes(self, *instead: dict[str, Any]) -> None:
        """As if it had not been woken for an hour: one test's wakes are not the next one's."""
        table = self.client("dynamodb")
        memory: dict[str, Any] = {"TableName": self.outputs["table_name"]}
        memory |= {"Key": {"id": {"S": "memory"}}}
        for _ in range(10):  # the warmkeeper may write in between
            item = table.get_item(**memory, ConsistentRead=True)["Item"]
            body = json.loads(item["body"]["S"]) | {"wakes": list(instead)}
            with contextlib.suppress(table.exceptions.ConditionalCheckFailedException):
                table.update_item(
                    **memory,
                    # a version of its own: what was read before must not be written after
                    UpdateExpression="SET body = :body, version = :next",
                    ConditionExpression="version = :version",
                    ExpressionAttributeValues={
                        ":body": {"S": json.dumps(body)},
                        ":version": item["version"],
                        ":next": {"N": str(int(item["version"]["N"]) + 1)},
                    },
                )
                return
        raise RuntimeError("the memory is written again and again")

    def bring_to(self, phase: str, cloud: LocalCloud) -> None:
        """The service is in this phase; waking lasts, for tasks take their time."""
        self.wake()
        if phase == "drowsy":
            self.fall_drowsy()
        if phase in ("asleep", "waking"):
            self.fall_asleep(cloud)
        if phase == "waking":
            cloud.settings(ecs={"pull_seconds": 20})
            self.invoke({"command": "wake"})
        assert self.phase() == phase

    def fall_asleep(self, cloud: LocalCloud) -> None:
        """Asleep for ten seconds, past the fence, through a linger that goes by fast.

        On a busy machine the call that sets the count to 0 may be given up, and a tick repeats it.
        """
        self.fall_drowsy()
        cloud.advance_until(lambda: self.reached("asleep"), minutes=10)
        cloud.advance(self.memory()["last_take_at"] + 10 - cloud.now(), speed=20)

    def fall_drowsy(self) -> None:
        """Drowsy now, by command. AssertionError with the reason if it stays awake."""
        answer = self.invoke({"command": "sleep"})
        for _ in range(60):
            # on a busy machine the call that takes the rule down may be given up, and is repeated
            if answer["phase"] == "drowsy" or "rule up" not in answer["reason"]:
                break
            time.sleep(1)
            answer = self.invoke({"command": "sleep"})
        assert answer["phase"] == "drowsy", answer

    @contextmanager
    def without_ticks(self) -> Iterator[None]:
        """With the schedule disabled, by which the function is invoked each minute."""
        events = self.client("events")
        rules = events.list_rules()["Rules"]
        (name,) = [rule["Name"] for rule in rules if "rate(" in rule.get("ScheduleExpression", "")]
        events.disable_rule(Name=name)
        try:
            yield
        finally:
            events.enable_rule(Name=name)

    def updates(self, cloud: LocalCloud, since: float) -> list[float]:
        """When the warmkeeper called UpdateService, from `since` on."""
        caller = f"function.{self.outputs['function_name']}"
        calls = cloud.calls(service="ecs", action="UpdateService", caller=caller)
        return [call["time"] for call in calls if call["time"] >= since]

    def until(self, phase: str, seconds: float = 300) -> None:
        """Wait in real time until it has reached a phase. TimeoutError with the memory if not."""
        end = time.monotonic() + seconds
        while not self.reached(phase):
            if time.monotonic() > end:
                raise TimeoutError(f"not {phase} in {seconds} s: {self.memory()}")
            time.sleep(0.2)


def copy_of_module(root: Path, caller: Path) -> Path:
    """Copy the module and a configuration that calls it, to be changed; gives the latter's copy."""
    folder = root / caller.relative_to(REPOSITORY)
    shutil.copytree(REPOSITORY / "lambda", root / "lambda")
    shutil.copytree(caller, folder)
    for file in (*REPOSITORY.glob("*.tf"), REPOSITORY / "wake-policy.yaml"):
        shutil.copy(file, root)
    return folder


@contextmanager
def staging(
    cloud: LocalCloud, scratch: Path, *, loud: bool = False, **variables: Any
) -> Iterator[Estate]:
    """Apply examples/staging, and destroy it afterwards."""
    workspace = Workspace(STAGING, scratch, cloud.environment(), dict(variables), loud)
    workspace.init()
    workspace.apply()
    try:
        yield Estate(workspace)
    finally:
        workspace.destroy()


def surroundings(cloud: LocalCloud, name: str = "staging", **options: Any) -> Surroundings:
    """What a module finds on this cloud; the options are those of Surroundings."""
    return Surroundings(functools.partial(client, cloud.environment()), name, **options)


@contextmanager
def surrounded(
    cloud: LocalCloud,
    scratch: Path,
    *,
    destroy: bool = True,
    on_ec2: bool = False,
    **variables: Any,
) -> Iterator[Estate]:
    """Make the surroundings by boto3 and apply the module; `destroy` it afterwards.

    What boto3 made stays: it is for a cloud that ends with the test run.
    """
    around = surroundings(cloud, on_ec2=on_ec2)
    given = {**around.variables(), **variables}
    workspace = Workspace(MODULE_ALONE, scratch, cloud.environment(), given, keeps_provider=True)
    workspace.init()
    workspace.apply()
    try:
        yield Estate(workspace, around)
    finally:
        if destroy:
            workspace.destroy()
