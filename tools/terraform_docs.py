"""The tables of inputs and outputs, made from variables.tf and outputs.tf.

Promise: docs/guide/reference.md has every input and output that the module declares, in the order
of its files, between `<!-- inputs -->` and `<!-- /inputs -->` and between the same marks for
outputs. README.md has the required inputs and those of MOST_USED.

    python -m tools.terraform_docs            writes the tables
    python -m tools.terraform_docs --check    exits 1 where they differ, and changes nothing
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "guide" / "reference.md"
# Optional inputs that the README shows beside the required ones.
MOST_USED = (
    "service_name",
    "target_group_arns",
    "service_rule_arn",
    "rule_priority",
    "conditions",
    "services",
    "databases",
    "wake_policy",
    "idle_minutes",
    "heartbeat",
    "notification_emails",
    "dashboard_enabled",
)


class DocsError(Exception):
    """A declaration or a document is not as the tables need it. The message says where and what."""


def inputs_table(text: str) -> str:
    """The Markdown table for the text of a variables.tf."""
    rows = [
        (_code(name), _description(name, block), _code(_type(block)), _default(block))
        for name, block in _blocks(text, "variable")
    ]
    return table(("Input", "Description", "Type", "Default"), rows)


def short_table(text: str) -> str:
    """The README's table: required inputs and those of MOST_USED, without their types.

    Raises DocsError for a name of MOST_USED that is no input.
    """
    blocks = dict(_blocks(text, "variable"))
    if unknown := set(MOST_USED) - set(blocks):
        raise DocsError(f"MOST_USED names what is no input: {', '.join(sorted(unknown))}.")
    rows = [
        (_code(name), _description(name, block), _default(block))
        for name, block in blocks.items()
        if "default" not in block or name in MOST_USED
    ]
    return table(("Input", "Description", "Default"), rows)


def outputs_table(text: str) -> str:
    """The Markdown table for the text of an outputs.tf."""
    rows = [
        (_code(name), _description(name, block) + (" Sensitive." if block.get("sensitive") else ""))
        for name, block in _blocks(text, "output")
    ]
    return table(("Output", "Description"), rows)


def with_table(text: str, name: str, made: str) -> str:
    """The text with the table between the markers of that name.

    Raises DocsError unless each of the two markers stands there once, in order.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise DocsError(f"The text must have {begin} and after it {end}, each once, on a line.")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{made}\n{end}{rest.split(end)[1]}"


def _blocks(text: str, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    for named in hcl2.loads(text, serialization_options=options).get(kind, []):
        for name, block in named.items():
            if isinstance(block, dict):
                yield name.strip('"'), block


def _description(name: str, block: dict[str, Any]) -> str:
    text = block.get("description")
    if not isinstance(text, str) or not text.strip():
        raise DocsError(f"{name} has no description.")
    lines = text.strip().splitlines()
    if lines[0].startswith("<<"):
        lines = lines[1:-1]
    return " ".join(" ".join(lines).replace("|", r"\|").replace("<", "&lt;").split())


def _type(block: dict[str, Any]) -> str:
    text = str(block.get("type", "any"))
    if text.startswith("${"):
        text = text.removeprefix("${").removesuffix("}")
    return " ".join(text.split())


def _default(block: dict[str, Any]) -> str:
    if "default" not in block:
        return "required"
    return _code(json.dumps(block["default"], ensure_ascii=False))


def _code(text: str) -> str:
    return "`{}`".format(text.replace("|", r"\|"))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def documents() -> dict[Path, str]:
    """The documents with their tables written again, by path. Raises DocsError."""
    variables = (ROOT / "variables.tf").read_text()
    outputs = (ROOT / "outputs.tf").read_text()
    reference = with_table(REFERENCE.read_text(), "inputs", inputs_table(variables))
    return {
        README: with_table(README.read_text(), "inputs", short_table(variables)),
        REFERENCE: with_table(reference, "outputs", outputs_table(outputs)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables of inputs and outputs.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    try:
        written = documents()
    except (DocsError, OSError) as error:
        print(f"terraform_docs: {error}", file=sys.stderr)
        return 1
    status = 0
    for path, text in written.items():
        name = path.relative_to(ROOT)
        if text == path.read_text():
            print(f"{name}: inputs and outputs are up to date.")
        elif check:
            print(f"{name} differs from variables.tf or outputs.tf: make docs", file=sys.stderr)
            status = 1
        else:
            path.write_text(text)
            print(f"{name}: inputs and outputs written.")
    return status


if __name__ == "__main__":
    sys.exit(main())
