"""What Terraform makes of every example and of all code in the documents, without a cloud.

`terraform test` applies them, side by side in one configuration, to the mocked provider of
tests/terraform/mocks. What comes of an example is held against its inventory under
tests/terraform/inventories: addresses, and of some types the attributes that tell most. So a change
of resources is seen in review.

    python -m tests.terraform.plans --record    writes the inventories anew
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.terraform.kept_provider import mocked_environment

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
INVENTORIES = HERE / "inventories"
OVERRIDES = (HERE / "unknown" / "overrides.hcl", HERE / "examples.hcl")
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:"
GROUP = f"{ARN}targetgroup/web/0123456789abcdef"
LISTENER = f"{ARN}listener/app/edge/1111111111111111/2222222222222222"
RULE = f"{ARN}listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
SERVICE = {"cluster_name": "staging", "service_name": "web"}
NAMES = {**SERVICE, "load_balancer_name": "edge", "target_group_name": "web"}
WIRED = {
    **SERVICE,
    "target_group_arn": GROUP,
    "service_rule_arn": RULE,
    "rule_priority": 97,
}

# The inputs that each example asks for.
EXAMPLES: dict[str, dict[str, Any]] = {
    "alarm-path": NAMES,
    "authenticated": {
        **SERVICE,
        "listener_arn": LISTENER,
        "target_group_arn": GROUP,
        "hosts": ["staging.example.com"],
        "client_id": "staging",
        "client_secret": "s3cret",
        "provider_endpoints": {
            "issuer": "https://id.example.com",
            "authorization_endpoint": "https://id.example.com/authorize",
            "token_endpoint": "https://id.example.com/token",
            "user_info_endpoint": "https://id.example.com/userinfo",
        },
    },
    "autoscaling": WIRED,
    "blue-green": {
        **SERVICE,
        "listener_arn": LISTENER,
        "service_rule_priority": 100,
        "vpc_id": "vpc-0123456789abcdef0",
        "health_check_path": "/healthz",
    },
    "default-action": NAMES,
    "environment": {},
    "existing-estate": {**NAMES, "service_rule_priority": 100, "hosts": []},
    "minimal": WIRED,
    "office-hours": WIRED,
    "several-rules": {
        **NAMES,
        "hosts": {"apex": [], "www": [], "http": []},
        "rule_priorities": {"apex": 100, "www": 110, "http": 100},
    },
    "staging": {},
    "terraform-aws-modules": {
        "name": "web",
        "vpc_id": "vpc-0123456789abcdef0",
        "public_subnet_ids": ["subnet-0123456789abcdef0"],
        "private_subnet_ids": ["subnet-0123456789abcdef0"],
        "certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/web",
        "hosts": ["*"],  # what the mocked rule, which has no conditions, matches
        "image": "web",
        "health_check_path": "/healthz",
    },
}

# Their service rules have conditions or a login, which the mocks cannot have: nothing is compared.
UNCHECKED = ("authenticated", "environment")

# Modules of the registry, each with a stand-in under tests/terraform/stand_ins.
REGISTRY_MODULE = re.compile(r'source  = "terraform-aws-modules/(\w+)/aws"\n +version = "[^"]+"')

PARKED = "parked_rule_priority"

TELLING = {
    "aws_cloudwatch_event_rule": ("schedule_expression",),
    "aws_cloudwatch_log_group": ("retention_in_days",),
    "aws_cloudwatch_metric_alarm": ("metric_name", "evaluation_periods", "threshold"),
    "aws_dynamodb_table": ("billing_mode",),
    "aws_lambda_function": ("runtime", "architectures", "memory_size", "timeout"),
    "aws_lambda_permission": ("principal",),
    "aws_lb_listener_rule": ("priority",),
    "aws_lb_target_group": ("target_type",),
}


class PlansError(RuntimeError):
    """Terraform refused something. The message is what it said, and of what."""


def blocks() -> dict[str, str]:
    """The Terraform code in the documents, by document and number."""
    found: dict[str, str] = {}
    for document in DOCUMENTS:
        code = re.findall(r"(?ms)^```hcl\n(.*?)^```", document.read_text())
        name = document.stem.lower()
        found |= {f"{name}-{number}": block for number, block in enumerate(code, 1)}
    return found


def completed(block: str) -> str:
    """The block with the module of this working tree, and with what it refers to."""
    # no checks of a rule whose conditions are mocked, which asks for the number
    here = 'source = "../../.."\n  checks_enabled = false'
    if inputs := re.search(r"(?m)^  (routes|services) = ", block):
        numbers = itertools.count(40_000)
        indent = {"routes": 4, "services": 8}[inputs[1]]
        block = re.sub(
            rf"(?m)^ {{{indent}}}\w+ = {{$",
            lambda key: f"{key[0]}\n{PARKED} = {next(numbers)}",
            block,
        )
    else:
        here += f"\n{PARKED} = 40000"
    block = re.sub(r'source = "github\.com/[^"]*"', here, block)
    declared = set(re.findall(r'(?m)^((?:resource|variable) "[^{]*) {', block))
    stubs = re.split(r'(?m)^(?=resource "|variable ")', (HERE / "estate.tf").read_text())[1:]
    return block + "".join("\n" + stub for stub in stubs if stub.split(" {")[0] not in declared)


def states(scratch: Path) -> dict[str, dict[str, Any]]:
    """What there is after all was applied, by example, block, `several` and `unknown`.

    Each is a module as `terraform show -json` tells it. `scratch` is a folder two below the
    repository, as an example is. Raises PlansError.
    """
    for name in ("several", "unknown"):
        shutil.copytree(HERE / name, scratch / name)
        _one_deeper(scratch / name)
    for name in EXAMPLES:
        copy_example(name, scratch)
    for name, block in blocks().items():
        (scratch / name).mkdir()
        (scratch / name / "main.tf").write_text(completed(block))
        (scratch / name / "logo.svg").write_text("<svg/>")  # docs/guide/page.md reads one
    inputs = {**{name: {} for name in ("several", "unknown", *blocks())}, **EXAMPLES}
    calls = [call(name, given) for name, given in inputs.items()]
    (scratch / "main.tf").write_text("\n".join(calls))
    overrides = "\n".join(file.read_text() for file in OVERRIDES)
    modules = state_of(scratch, overrides)["child_modules"]
    return {module["address"].removeprefix("module."): module for module in modules}


def state_of(scratch: Path, overrides: str = "") -> dict[str, Any]:
    """The root module of a configuration two folders below the repository, once it was applied.

    `overrides` are blocks of a test file, beside the mocks.
    """
    told = events_of(scratch, overrides)
    (line,) = [line for line in told if '"type":"test_state"' in line]
    root: dict[str, Any] = json.loads(line)["test_state"]["root_module"]
    return root


def events_of(
    scratch: Path, overrides: str = "", command: str = "apply", fine: tuple[int, ...] = (0,)
) -> list[str]:
    """What `terraform test -json` says that applies or plans such a configuration."""
    shutil.copy(ROOT / "versions.tf", scratch)  # the provider that is mocked has to be the root's
    mocks = 'mock_provider "aws" {\n  source = "../../tests/terraform/mocks"\n}\n'
    run = f'run "all" {{\n  command = {command}\n}}\n'
    (scratch / "tests").mkdir()
    (scratch / "tests" / "all.tftest.hcl").write_text(f"{mocks}\n{overrides}\n{run}")
    terraform(scratch, "init", "-backend=false", "-no-color")
    return terraform(scratch, "test", "-verbose", "-json", fine=fine)


def inventory(state: dict[str, Any]) -> str:
    """A line for each resource: its address, and what tells most of it."""
    lines = []
    for resource in resources(state):
        values = resource["values"]
        told = [
            f"{key}={json.dumps(values[key])}"
            for key in TELLING.get(resource["type"], ())
            if values[key] is not None
        ]
        if resource["type"] == "aws_iam_policy_document":
            sids = [statement["sid"] for statement in values["statement"]]
            told.append(f"sids={json.dumps(sids)}")
        address = resource["address"].removeprefix(state["address"] + ".")
        lines.append("  ".join((address, *told)))
    return "\n".join(sorted(lines)) + "\n"


def copy_example(name: str, scratch: Path) -> None:
    """Copies an example so that a configuration in `scratch` can call it as a module."""
    shutil.copytree(ROOT / "examples" / name, scratch / name)
    if name in UNCHECKED:
        _without_checks(scratch / name / "main.tf")
    _one_deeper(scratch / name)


def _without_checks(file: Path) -> None:
    """Without its checks the module asks for the numbers of the rules while they are parked."""
    numbers = itertools.count(40_000)
    code = re.sub(
        r"(?m)^ +rule_priority += ",
        lambda line: f"{PARKED} = {next(numbers)}\n{line[0]}",
        file.read_text(),
    )
    here = 'source = "../../"'
    file.write_text(code.replace(here, f"{here}\n  checks_enabled = false"))


def _one_deeper(folder: Path) -> None:
    for file in folder.glob("*.tf"):  # a module in a module has no provider of its own
        code = re.sub(r'(?ms)^provider "aws" {.*?^}\n', "", file.read_text())
        code = REGISTRY_MODULE.sub(r'source = "../../../tests/terraform/stand_ins/\1"', code)
        file.write_text(code.replace('source = "../../"', 'source = "../../.."'))


def call(name: str, inputs: dict[str, Any], source: str | None = None) -> str:
    """Terraform code that calls a module; by default the one in the folder of that name."""
    given = "".join(f"  {key} = {json.dumps(value)}\n" for key, value in inputs.items())
    return f'module "{name}" {{\n  source = "{source or f"./{name}"}"\n{given}}}\n'


def resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of a module and of those in it."""
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from resources(child)


def terraform(scratch: Path, *arguments: str, fine: tuple[int, ...] = (0,)) -> list[str]:
    """The lines that Terraform writes, run there; PlansError with its errors for another status."""
    environment = {**mocked_environment(), "TF_DATA_DIR": str(scratch / "data")}
    command = ["terraform", f"-chdir={scratch}", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ran.returncode not in fine:
        raise PlansError(_said(ran.stdout) or ran.stdout + ran.stderr)
    return ran.stdout.splitlines()


def _said(output: str) -> str:
    """The errors among the events of `terraform test -json`."""
    told = []
    for line in output.splitlines():
        if '"type":"diagnostic"' in line:
            event = json.loads(line)
            where = event["diagnostic"].get("range", {}).get("filename")
            told.append(f"{where}: {event['@message']} {event['diagnostic']['detail']}")
    return "\n".join(told)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", required=True)
    parser.parse_args()
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plans-", dir=ROOT / ".cache") as scratch:
        found = states(Path(scratch))
    INVENTORIES.mkdir(exist_ok=True)
    for name in EXAMPLES:
        (INVENTORIES / f"{name}.txt").write_text(inventory(found[name]))
    print(f"{len(EXAMPLES)} inventories written, {len(blocks())} blocks of documents applied.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
