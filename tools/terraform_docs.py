"""The README's tables of inputs and outputs, made from variables.tf and outputs.tf.

Promise: what stands in README.md between `<!-- inputs -->` and `<!-- /inputs -->`, and between
`<!-- outputs -->` and `<!-- /outputs -->`, is what the module declares, in the order of its files.

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


class DocsError(Exception):
    """A declaration or the README is not as the tables need it. The message says where and what."""


def inputs_table(text: str) -> str:
    """The Markdown table for the text of a variables.tf."""
    rows = [
        (_code(name), _description(name, block), _code(_type(block)), _default(block))
        for name, block in _blocks(text, "variable")
    ]
    return table(("Input", "What it is", "Type", "Default"), rows)


def outputs_table(text: str) -> str:
    """The Markdown table for the text of an outputs.tf."""
    rows = [
        (_code(name), _description(name, block) + (" Sensitive." if block.get("sensitive") else ""))
        for name, block in _blocks(text, "output")
    ]
    return table(("Output", "What it is"), rows)


def with_table(readme: str, name: str, made: str) -> str:
    """The README's text with the table between the markers of that name.

    Raises DocsError unless each of the two markers stands there once, in order.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if (
        readme.count(begin) != 1
        or readme.count(end) != 1
        or readme.index(begin) > readme.index(end)
    ):
        raise DocsError(f"The text must have {begin} and after it {end}, each once, on a line.")
    head, rest = readme.split(begin)
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


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the README's tables of inputs and outputs.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    path = ROOT / "README.md"
    try:
        before = path.read_text()
        after = with_table(before, "inputs", inputs_table((ROOT / "variables.tf").read_text()))
        after = with_table(after, "outputs", outputs_table((ROOT / "outputs.tf").read_text()))
    except (DocsError, OSError) as error:
        print(f"terraform_docs: {error}", file=sys.stderr)
        return 1
    if after == before:
        print("README.md: inputs and outputs are up to date.")
        return 0
    if check:
        print("README.md differs from variables.tf or outputs.tf: make docs", file=sys.stderr)
        return 1
    path.write_text(after)
    print("README.md: inputs and outputs written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
