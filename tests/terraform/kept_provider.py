"""One AWS provider for many runs of Terraform, which attach to it as to one in a debugger.

Terraform starts the provider anew for each step of each run, which is a third to two thirds of the
processor time. Here it is started once in a process for each cloud, and once for runs with a mocked
provider, which are asked for its schema alone. Of the provider's types, Terraform sees those that
this repository names (tests/terraform/few_types.py).

Runs against one cloud may share a provider, because they configure it alike.

https://developer.hashicorp.com/terraform/plugin/debugging
"""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import grpc

from localcloud.launch import LAUNCH
from tests.terraform import few_types
from tools.terraform_env import terraform_environment

ATTACHED = "TF_REATTACH_PROVIDERS"
NAMING = (".tf", ".hcl", ".py")  # files that may name a resource type
ROOT = Path(__file__).resolve().parents[2]


class KeptProviderError(RuntimeError):
    """The provider cannot be found or does not start. The message holds what was printed."""


def mocked_environment() -> dict[str, str]:
    """The environment of a mocked run. Raises KeptProviderError.

    A run of tests within a test has the provider of the outer one.
    """
    environment = {
        **os.environ,
        **terraform_environment(),
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if ATTACHED in environment:
        return environment
    return {**environment, **attached({}, ROOT)}


def attached(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The variable that lets Terraform attach to the provider of these AWS_ variables.

    It knows the types that the Terraform code and the tests of this repository name, no others.

    `folder` is where Terraform runs; the provider opens files relative to it. The first call for a
    cloud and a folder starts the provider, which ends with this process. Raises KeptProviderError.
    """
    return {ATTACHED: _with_few_types(started(tuple(sorted(environment.items())), folder))}


@functools.cache
def _with_few_types(attached: str) -> str:
    """What `attached` says, by way of a server of this process (tests/terraform/few_types.py)."""
    said = json.loads(attached)
    ((_, provider),) = said.items()
    socket = Path(tempfile.mkdtemp()) / "provider"
    server = few_types.serve(provider["Addr"]["String"], types_in_use(), str(socket))
    atexit.register(_stop, server, socket)
    provider["Addr"]["String"] = str(socket)
    return json.dumps(said)


@functools.cache
def types_in_use() -> frozenset[str]:
    """The types of hashicorp/aws that the Terraform code or a test of this repository names."""
    files = [*ROOT.glob("*.tf"), *ROOT.glob("examples/**/*.tf"), *ROOT.glob("tests/**/*.*")]
    names = (re.findall(r"\baws_\w+", file.read_text()) for file in files if file.suffix in NAMING)
    return frozenset(itertools.chain.from_iterable(names))


@functools.cache
def started(variables: tuple[tuple[str, str], ...], folder: Path) -> str:
    """The same of a provider with all its types: how Terraform attaches to it, as JSON."""
    environment = {**os.environ, **terraform_environment(), **dict(variables)}
    # the endpoint is plain HTTP, and with this the provider cannot be configured a second time
    environment.pop("AWS_CA_BUNDLE", None)
    provider = subprocess.Popen(
        [*LAUNCH, _program(), "-debug"],  # it ends with this process in any case
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(_end, provider)
    assert provider.stdout is not None
    printed = ""
    for line in provider.stdout:
        printed += line
        if found := re.search(f"{ATTACHED}='(.+)'", line):
            return found[1]
    raise KeptProviderError(f"the provider ended with {provider.wait()}: {printed}")


@functools.cache
def _program() -> str:
    """The path of the provider that `terraform init` chooses."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(ROOT / "versions.tf", scratch)
        data = Path(scratch) / "data"
        ran = subprocess.run(
            ["terraform", f"-chdir={scratch}", "init", "-backend=false", "-no-color"],
            env={**os.environ, **terraform_environment(), "TF_DATA_DIR": str(data)},
            capture_output=True,
            text=True,
        )
        programs = list(data.glob("providers/*/hashicorp/aws/*/*/terraform-provider-aws_*"))
        if ran.returncode or not programs:
            raise KeptProviderError(f"terraform init found no provider: {ran.stdout}{ran.stderr}")
        return str(programs[0].resolve())


def _end(provider: subprocess.Popen[str]) -> None:
    provider.terminate()
    provider.wait()


def _stop(server: grpc.Server, socket: Path) -> None:
    server.stop(None)
    shutil.rmtree(socket.parent)
