"""The committed package is what the sources make, to the byte."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tools.package import compact

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "lambda" / "warmkeeper.zip"


def test_the_committed_package_is_what_the_sources_make() -> None:
    check = [sys.executable, "tools/package.py", "--check"]
    run = subprocess.run(check, cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_package_holds_the_program_the_page_and_its_texts_alone() -> None:
    with zipfile.ZipFile(PACKAGE) as package:
        assert package.namelist() == ["warmkeeper.py", "page.html", "texts.json"]
        for name in ("warmkeeper.py", "texts.json"):
            assert package.read(name) == (PACKAGE.parent / name).read_bytes()
        page = (PACKAGE.parent / "page.html").read_text(encoding="utf-8")
        assert package.read("page.html").decode() == compact(page)


def test_a_page_is_packed_without_what_a_browser_has_no_need_of() -> None:
    page = """<p>
      a; b

    </p>
    <style nonce="{{nonce}}">
      a, b { color: {{accent}}; top: 0; }
    </style>
    <script>
      // why
      if (a) {
        b("c : d");
      }
      e
    </script>
    """
    style = '<style nonce="{{nonce}}">a,b{color:{{accent}};top:0}</style>'
    script = '<script>if(a){b("c : d");}\ne</script>'
    assert compact(page) == f"<p>\na; b\n</p>\n{style}\n{script}"
