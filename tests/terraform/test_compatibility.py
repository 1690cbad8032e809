"""The versions that module and examples ask for, and that no partition is written out.

What Terraform 1.9 cannot read and what provider 6 deprecates, `make compatibility` finds.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT, *sorted(path.parent for path in (ROOT / "examples").glob("*/versions.tf")))
CODE = [path for folder in FOLDERS for path in sorted(folder.glob("*.tf"))]


def found(pattern: str, files: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line.partition("#")[0])
    ]


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
