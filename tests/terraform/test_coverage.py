"""Every input, output, validation and check of the module has a test: the next one, too."""

from __future__ import annotations

import re

import hcl2

from tests.terraform import mutate_validations as mutated
from tests.terraform.plans import HERE, ROOT

SUITES = "\n".join(path.read_text() for path in sorted(HERE.glob("*.tftest.hcl")))


def declared(file: str, kind: str) -> set[str]:
    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    blocks = hcl2.loads((ROOT / file).read_text(), serialization_options=options)[kind]
    return {str(name) for block in blocks for name, body in block.items() if isinstance(body, dict)}


def test_every_input_is_given_in_a_run() -> None:
    given = set(re.findall(r"(?m)^ +(\w+) += ", SUITES))
    assert declared("variables.tf", "variable") - given == set()


def test_every_output_is_asserted() -> None:
    asserted = set(re.findall(r"\boutput\.(\w+)", SUITES))
    assert declared("outputs.tf", "output") - asserted == set()


def test_every_condition_is_on_a_line_of_its_own() -> None:
    texts = [(ROOT / file).read_text() for file in mutated.FILES]
    block = r"(?m)^ +(?:validation|assert|precondition|postcondition) {"
    blocks = sum(len(re.findall(block, text)) for text in texts)
    assert len(mutated.conditions()) == blocks


def test_each_validation_check_and_precondition_was_taken_out_and_a_run_went_red() -> None:
    seen = mutated.recorded()
    unseen = [each.key for each in mutated.conditions() if each.key not in seen]
    assert unseen == [], "make mutate-validations ARGS=--stale"
    names = {name for name, _ in mutated.runs()} | set(mutated.BY_HAND.values())
    assert {run for runs in seen.values() for run in runs.split(", ")} <= names
