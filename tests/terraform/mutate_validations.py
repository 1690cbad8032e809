"""Whether a run of terraform test goes red for each validation, check and precondition taken out.

Every condition of variables.tf, checks.tf and main.tf is made true, one of each variable, check and
resource at a time, in a copy of the module, and the runs here that expect a failure are run against
that. What was seen is kept in mutated_validations.txt: a line for each condition, with its hash and
the runs that missed it. A condition that is new or changed has no such line: test_coverage.py says
so.

    make mutate-validations                 does it again, and writes mutated_validations.txt
    make mutate-validations ARGS=--stale    only the conditions without such a line

All of them take some minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.terraform.plans import HERE, ROOT, terraform

RECORD = HERE / "mutated_validations.txt"
FILES = ("variables.tf", "checks.tf", "main.tf")
SUITES = ("checks", "environment_validations", "login", "schedule", "validations", "wiring")
# What needs a rule's actions, conditions and transforms, which cannot be mocked: the tests that
# assert the message of each.
BY_HAND = {
    "local.websocket_bypasses": "tests/terraform/test_service_rule.py",
    "local.login_mismatches": "tests/terraform/test_service_rule.py",
    "local.strange_rules": "tests/terraform/test_service_rule.py",
    "local.regex_conditions_found": "tests/terraform/test_service_rule.py",
    "local.transforms_found": "tests/terraform/test_service_rule.py",
}
EXPECTED = re.compile(
    r"The checkable object, ([\w.]+), was expected to report an error but did not"
)


@dataclass(frozen=True)
class Condition:
    """One condition: of which file and object, its line there, and the which-th of that object."""

    file: str
    of: str  # var.NAME, check.NAME or TYPE.NAME of a resource
    number: int
    line: int
    text: str

    @property
    def key(self) -> str:
        """What the record knows it by."""
        return f"{self.of} {hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


def conditions() -> list[Condition]:
    """Every condition of a validation, assertion or precondition, each on a line of its own."""
    found = []
    for file in FILES:
        of, number = "", 0
        for line, text in enumerate((ROOT / file).read_text().splitlines()):
            if block := re.match(r'(variable|check|resource) "(\w+)"(?: "(\w+)")?', text):
                of = f"{block[2]}.{block[3]}" if block[3] else f"{block[1]}.{block[2]}"
                of, number = of.replace("variable.", "var."), 0
            if condition := re.match(r"\s+condition\s+= (.+)", text):
                found.append(Condition(file, of, number, line, condition[1]))
                number += 1
    return found


def recorded() -> dict[str, str]:
    """The runs that were seen to go red, by condition."""
    lines = RECORD.read_text().splitlines()
    return {line.split("  ")[0]: line.split("  ")[1] for line in lines}


def stale() -> list[Condition]:
    """The conditions without a line of their own, or with one that names a run that is gone."""
    names = {name for name, _ in runs()} | set(BY_HAND.values())
    seen = {key for key, gone_red in recorded().items() if set(gone_red.split(", ")) <= names}
    return [condition for condition in conditions() if condition.key not in seen]


def by_hand(condition: Condition) -> list[str]:
    """The test that has it instead, if it needs a real rule."""
    return [test for word, test in BY_HAND.items() if word in condition.text]


def runs() -> Iterator[tuple[str, str]]:
    """Each run that expects a failure, as a test file of its own: one that fails stops a file."""
    for suite in SUITES:
        head, *blocks = re.split(r'(?m)^(?=run ")', (HERE / f"{suite}.tftest.hcl").read_text())
        for block in blocks:
            if "expect_failures" in block:
                yield block.split('"')[1], head + block


def missed(scratch: Path, mended: list[Condition]) -> dict[str, list[str]]:
    """The runs that went red with these conditions made true, by the object that did not fail."""
    folder = scratch / "tests" / "terraform"
    for suite in folder.glob("*.tftest.hcl"):
        suite.unlink()
    for name, text in runs():
        if any(re.search(rf"\b{re.escape(c.of)}\b", text) for c in mended):
            (folder / f"{name}.tftest.hcl").write_text(text)
    for file in FILES:
        lines = (ROOT / file).read_text().splitlines()
        for condition in mended:
            if condition.file == file:
                lines[condition.line] = f"    condition = ({condition.text}) || true"
        (scratch / file).write_text("\n".join(lines) + "\n")
    found: dict[str, list[str]] = defaultdict(list)
    for line in terraform(scratch, "test", "-json", "-test-directory=tests/terraform", fine=(0, 1)):
        event = json.loads(line)
        if event["type"] == "diagnostic" and event["diagnostic"]["severity"] == "error":
            said = re.sub(r"\s+", " ", event["diagnostic"]["detail"])
            match = EXPECTED.search(said)
            # of one condition, whatever goes wrong is its doing
            alone = mended[0].of if len(mended) == 1 else ""
            if of := match[1] if match else alone:
                found[of].append(event["@testrun"])
    return {of: sorted(set(names)) for of, names in found.items()}


def copy_to(scratch: Path) -> None:
    """The module, to be changed."""
    for file in ROOT.glob("*.tf"):
        shutil.copy(file, scratch)
    shutil.copy(ROOT / "wake-policy.yaml", scratch)
    shutil.copytree(ROOT / "lambda", scratch / "lambda")
    folder = scratch / "tests" / "terraform"
    shutil.copytree(HERE / "mocks", folder / "mocks")
    shutil.copy(HERE / "terraform.tfvars", folder)
    terraform(scratch, "init", "-backend=false", "-no-color", "-test-directory=tests/terraform")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.terraform.mutate_validations")
    parser.add_argument("--stale", action="store_true", help="only those without a recorded line")
    options = parser.parse_args()
    everything = conditions()
    chosen = stale() if options.stale else everything
    kept = {condition.key for condition in everything} - {condition.key for condition in chosen}
    lines = {key: names for key, names in recorded().items() if key in kept}
    if chosen:
        lines.update(taken_out(chosen))
    RECORD.write_text("".join(f"{key}  {names}\n" for key, names in sorted(lines.items())))
    return len(lines) != len(everything)


def taken_out(chosen: list[Condition]) -> dict[str, str]:
    """The lines of these conditions: each was made true, and a run went red."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    lines: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="mutate-validations-", dir=ROOT / ".cache") as folder:
        scratch = Path(folder)
        copy_to(scratch)
        for number in range(max(condition.number for condition in chosen) + 1):
            mended = [condition for condition in chosen if condition.number == number]
            if not mended:
                continue
            found = missed(scratch, mended)
            for condition in mended:  # where a run ended with another error, each alone
                if condition.of not in found and not by_hand(condition):
                    found |= missed(scratch, [condition])
            for condition in mended:
                runs_gone_red = by_hand(condition) or found.get(condition.of, [])
                if runs_gone_red:
                    lines[condition.key] = ", ".join(runs_gone_red)
                else:
                    print(f"not missed: {condition.of}: {condition.text}", flush=True)
            print(f"{len(mended)} conditions were made true", flush=True)
    return lines


if __name__ == "__main__":
    sys.exit(main())
