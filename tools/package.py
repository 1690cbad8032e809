"""Builds lambda/warmkeeper.zip, the same to the byte on every machine.

The entries are stored and not deflated (a compressor's output differs between zlib versions), carry
the earliest time that a zip can hold and the mode 0644, and stand in a fixed order. page.html is
packed with its script and style minified.

    python -m tools.package          writes the package
    python -m tools.package --check  compares it with its source; 1 if they differ
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from rcssmin import cssmin
from rjsmin import jsmin

FOLDER = Path(__file__).resolve().parent.parent / "lambda"
PACKAGE = FOLDER / "warmkeeper.zip"
MEMBERS = ("warmkeeper.py", "page.html", "texts.json")

UNIX = 3
REGULAR_FILE_0644 = 0o100644
EARLIEST = (1980, 1, 1, 0, 0, 0)


def compact(template: str) -> str:
    """A page with its script and its style minified, without indentation and empty lines."""
    scripted = re.sub(
        r"(<script.*?>)(.*?)(?=</script>)", minified(jsmin), template, flags=re.DOTALL
    )
    styled = re.sub(r"(<style.*?>)(.*?)(?=</style>)", minified(cssmin), scripted, flags=re.DOTALL)
    lines = [line.strip() for line in styled.splitlines()]
    return "\n".join(line for line in lines if line)


def minified(minify: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    """Gives an element's opening tag followed by its content, minified."""
    return lambda found: found[1] + minify(found[2])


def member(name: str, folder: Path = FOLDER) -> str:
    """The text of a member as it is packed."""
    text = (folder / name).read_text(encoding="utf-8")
    return compact(text) if name == "page.html" else text


def build(folder: Path = FOLDER) -> bytes:
    """The package's bytes, from the members in `folder`; FileNotFoundError if one is missing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name in MEMBERS:
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system = UNIX
            entry.external_attr = REGULAR_FILE_0644 << 16
            package.writestr(entry, member(name, folder).encode())
    return buffer.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the package; 0 if it is now, or already was, what its source says."""
    parser = argparse.ArgumentParser(description="Builds lambda/warmkeeper.zip.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if not parser.parse_args(arguments).check:
        PACKAGE.write_bytes(build())
        return 0
    if PACKAGE.is_file() and PACKAGE.read_bytes() == build():
        return 0
    print(f"{PACKAGE.name} is not what its source gives: run tools/package.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
