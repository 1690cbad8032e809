"""The module's configuration as it is written: blocks of its files, and the role's policy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).parents[2]


def written(kind: str, file: str = "main.tf") -> list[dict[str, Any]]:
    """The blocks of this kind in a file of the module."""
    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    found = hcl2.loads((ROOT / file).read_text(), serialization_options=options)
    return list(found.get(kind, []))


def statements() -> list[dict[str, Any]]:
    """The statements of the role's policy, those that depend on an input too."""
    named = [block.get("aws_iam_policy_document", {}) for block in written("data")]
    (document,) = [block["this"] for block in named if "this" in block]
    dynamic = [block["statement"]["content"][0] for block in document.get("dynamic", [])]
    return [*document["statement"], *dynamic]


def rendered(values: Mapping[str, str]) -> str:
    """The policy with every expression replaced by its value; KeyError for one without.

    What a dynamic statement is for stands under its sid; "" leaves the statement out. Where one
    expression gives all resources, its value has commas between them.
    """

    def policy(statement: Mapping[str, Any]) -> dict[str, Any]:
        known = {**values, "statement.value": values.get(statement["sid"], "")}

        def filled(text: str) -> str:
            return re.sub(r"\$\{([^}]+)\}", lambda found: known[found[1]], text)

        made = {"Sid": statement["sid"], "Effect": "Allow", "Action": statement["actions"]}
        resources = statement["resources"]
        made["Resource"] = (
            filled(resources).split(",")
            if isinstance(resources, str)
            else [filled(resource) for resource in resources]
        )
        made["Condition"] = {
            each["test"]: {each["variable"]: [filled(value) for value in each["values"]]}
            for each in statement.get("condition", [])
        }
        return made

    kept = [statement for statement in statements() if values.get(statement["sid"]) != ""]
    return json.dumps({"Statement": [policy(statement) for statement in kept]})
