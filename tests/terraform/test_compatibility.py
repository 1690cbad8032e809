"""What Terraform 1.9 and providers 5 and 6 can read, as far as that is seen without running them.

What is newer than the Terraform or the provider at hand, `terraform validate` finds (make lint).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT, *sorted(path.parent for path in (ROOT / "examples").glob("*/versions.tf")))
CODE = [path for folder in FOLDERS for path in sorted(folder.glob("*.tf"))]
SUITES = sorted((ROOT / "tests" / "terraform").glob("*.hcl"))

# https://github.com/hashicorp/terraform/blob/main/CHANGELOG.md, 1.10 and later
NEWER_THAN_1_9 = {
    "ephemeral resources and values (1.10)": r"^\s*ephemeral\b|\bephemeralasnull\(",
    "write-only arguments (1.11)": r"^\s*\w+_wo(_version)?\s*=",
    "mocks while planning (1.11)": r"^\s*override_during\b",
    "actions and queries (1.14)": r'^(action|list) "|^\s*action_trigger\b',
}
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/guides/version-6-upgrade
DEPRECATED_BY_PROVIDER_6 = {
    "the region's name is region there, and name here": r"data\.aws_region\.",
    "is_enabled of an event rule is state": r"^\s*is_enabled\s*=",
    "policies in a role are resources of their own": r"^\s*(managed_policy_arns|inline_policy)\b",
}


def found(pattern: str, files: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line.partition("#")[0])
    ]


@pytest.mark.parametrize("pattern", NEWER_THAN_1_9.values(), ids=list(NEWER_THAN_1_9))
def test_nothing_is_newer_than_the_oldest_terraform(pattern: str) -> None:
    assert found(pattern, [*CODE, *SUITES]) == []


@pytest.mark.parametrize(
    "pattern", DEPRECATED_BY_PROVIDER_6.values(), ids=list(DEPRECATED_BY_PROVIDER_6)
)
def test_nothing_is_deprecated_by_the_newest_provider(pattern: str) -> None:
    assert found(pattern, CODE) == []


def test_module_and_examples_ask_for_the_same_versions() -> None:
    asked = {
        folder.name: re.findall(r'version\s+= "([^"]+)"', (folder / "versions.tf").read_text())
        for folder in FOLDERS
    }
    # its modules are of releases that provider 6 refuses
    assert asked.pop("terraform-aws-modules") == [">= 1.9", ">= 5.100, < 6.0"]
    assert set(map(tuple, asked.values())) == {(">= 1.9", ">= 5.100, < 7.0")}


def test_no_arn_is_of_a_partition_written_out() -> None:
    assert found(r'"arn:aws', CODE) == []
