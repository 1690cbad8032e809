"""One AWS provider for all runs of Terraform with a mocked provider.

A mocked provider is asked for its schema alone, yet Terraform starts it anew for each file of tests
and each step: two thirds of the processor time of `terraform test`. Here it is started once in a
process, as for a debugger, and Terraform attaches to it.

It is for mocked runs alone: a real run configures the provider, and two at a time would mix.

https://developer.hashicorp.com/terraform/plugin/debugging
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.terraform_env import terraform_environment

ATTACHED = "TF_REATTACH_PROVIDERS"
ROOT = Path(__file__).resolve().parents[2]


class KeptProviderError(RuntimeError):
    """The provider cannot be found or does not start. The message holds what was printed."""


@functools.cache
def mocked_environment() -> dict[str, str]:
    """The environment of a mocked run: the provider is attached to, and started by the first call.

    It ends with this process. Where the environment names one already, that is used. Raises
    KeptProviderError.
    """
    environment = {
        **os.environ,
        **terraform_environment(),
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if ATTACHED in environment:
        return environment
    with tempfile.TemporaryDirectory() as folder:
        provider = _started(Path(folder), environment)
    atexit.register(_end, provider)
    assert provider.stdout is not None
    printed = ""
    for line in provider.stdout:
        printed += line
        if found := re.search(f"{ATTACHED}='(.+)'", line):
            return {**environment, ATTACHED: found[1]}
    raise KeptProviderError(f"the provider ended with {provider.wait()}: {printed}")


def _started(folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """The provider that `terraform init` chooses, as a process."""
    shutil.copy(ROOT / "versions.tf", folder)
    data = folder / "data"
    ran = subprocess.run(
        ["terraform", f"-chdir={folder}", "init", "-backend=false", "-no-color"],
        env={**environment, "TF_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
    )
    programs = list(data.glob("providers/*/hashicorp/aws/*/*/terraform-provider-aws_*"))
    if ran.returncode or not programs:
        raise KeptProviderError(f"terraform init found no provider: {ran.stdout}{ran.stderr}")
    return subprocess.Popen(
        [str(programs[0]), "-debug"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _end(provider: subprocess.Popen[str]) -> None:
    provider.terminate()
    provider.wait()
