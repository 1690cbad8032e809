"""tools/install.py: pip's settings in uv's words, and a package that is installed by either."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pip
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import install

ROOT = Path(install.__file__).parents[1]
LISTED = """\
:env:.find-links='/wheels /more/wheels'
:env:.default-timeout='180'
:env:.index-url='https://user:secret@mirror.example/simple'
global.cert='/certs.pem'
global.constraint='/constraints.txt'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.index-url='https://global.example/simple'
global.timeout='60'
install.index-url='https://install.example/simple'
install.trusted-host='one.example'
list.format='json'
"""


def test_pips_settings_count_in_pips_order() -> None:
    settings = install.pip_settings(LISTED)
    assert settings["index-url"] == "https://user:secret@mirror.example/simple"
    assert settings["timeout"] == "180"
    without = [line for line in LISTED.splitlines() if not line.startswith(":env:")]
    settings = install.pip_settings("\n".join(without))
    assert settings["index-url"] == "https://install.example/simple"
    assert settings["timeout"] == "60"
    assert "format" not in settings


def test_uv_gets_pips_settings_in_its_own_words() -> None:
    found = install.uv_environment(install.pip_settings(LISTED), {"HOME": "/home/me"})
    assert found == {
        "HOME": "/home/me",
        "UV_DEFAULT_INDEX": "https://user:secret@mirror.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/wheels,/more/wheels",
        "UV_CONSTRAINT": "/constraints.txt",
        "UV_INSECURE_HOST": "one.example",
        "UV_HTTP_TIMEOUT": "180",
        "SSL_CERT_FILE": "/certs.pem",
        **install.ALWAYS,
    }


def test_a_variable_of_uvs_own_is_kept() -> None:
    own = {"UV_DEFAULT_INDEX": "https://own.example/simple", "UV_INDEX_STRATEGY": "first-index"}
    assert install.uv_environment(install.pip_settings(LISTED), own).items() >= own.items()


def test_the_certificates_that_pip_takes_from_requests_are_handed_on() -> None:
    told = install.uv_environment({}, {"REQUESTS_CA_BUNDLE": "/bundle.pem"})
    assert told["SSL_CERT_FILE"] == "/bundle.pem"
    told = install.uv_environment({"cert": "/certs.pem"}, {"REQUESTS_CA_BUNDLE": "/bundle.pem"})
    assert told["SSL_CERT_FILE"] == "/certs.pem"


def wheel(folder: Path, name: str, needs: str = "") -> None:
    """A package with one module and nothing else, as pip and uv install it."""
    needed = f"Requires-Dist: {needs}\n" if needs else ""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "SAYS = 'hello'\n")
        file.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}",
        )
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(
            f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )


def offline(folder: Path) -> dict[str, str]:
    """pip's configuration of a machine that has this folder of wheels and no index."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))
    }
    config = folder / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links = {folder}\n")
    return {**kept, "PIP_CONFIG_FILE": str(config), "UV_CACHE_DIR": str(folder / "uv")}


OWN_UV = Path(sys.prefix, "bin", "uv")  # `make setup` got it, where it can be had


INSTALLERS = pytest.mark.parametrize("uv", [False, True] if OWN_UV.exists() else [False])


def environment(home: Path, *, uv: bool) -> str:
    """Make a virtual environment with pip, and with uv where wanted. Returns its Python."""
    venv.create(home, symlinks=True)
    library = sysconfig.get_path("purelib", vars={"base": str(home)})
    Path(library, "pip").symlink_to(Path(pip.__file__).parent)  # quicker than ensurepip
    if uv:
        (home / "bin" / "uv").symlink_to(OWN_UV)
    return str(home / "bin" / "python")


@INSTALLERS
def test_files_come_without_what_they_need_and_are_not_compiled(tmp_path: Path, uv: bool) -> None:
    python = environment(tmp_path / "home", uv=uv)
    wheel(tmp_path, "greeting", needs="absent==1.0")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("greeting==1.0\n")
    command = [python, str(Path(install.__file__)), str(requirements)]
    ran = subprocess.run(command, env=offline(tmp_path), capture_output=True, text=True)
    assert ran.returncode == 1
    command.append("--files")
    ran = subprocess.run(command, env=offline(tmp_path), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ("by pip" in ran.stdout.splitlines()[-2]) is not uv
    assert list(tmp_path.glob("home/lib/*/site-packages/greeting.py"))
    assert not list(tmp_path.glob("home/lib/*/site-packages/__pycache__/greeting*"))
    beside = tmp_path / "beside"
    command[-1] = f"--files={beside}"
    ran = subprocess.run(command, env=offline(tmp_path), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (beside / "greeting.py").is_file()


@INSTALLERS
def test_a_package_comes_from_where_pip_is_told_to_look(tmp_path: Path, uv: bool) -> None:
    python = environment(tmp_path / "home", uv=uv)
    wheel(tmp_path, "greeting")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("greeting==1.0\n")
    command = [python, str(Path(install.__file__)), str(requirements)]
    ran = subprocess.run(command, env=offline(tmp_path), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ("by uv" if uv else "pip cannot get uv") in ran.stdout
    assert len(ran.stdout.splitlines()) < 12
    said = subprocess.run(
        [python, "-c", "import greeting; print(greeting.SAYS)"], capture_output=True, text=True
    )
    assert said.stdout == "hello\n"

    requirements.write_text("absent==1.0\n")
    ran = subprocess.run(command, env=offline(tmp_path), capture_output=True, text=True)
    assert ran.returncode == 1
    assert "absent==1.0" in ran.stderr


def test_it_installs_into_virtual_environments_only(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("")
    system = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys._base_executable)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    command = [system, str(Path(install.__file__)), str(file)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "virtual environment" in ran.stderr


PROGRAMS = (
    "demo.__main__",
    "localcloud.__main__",
    "localcloud.bootstrap",
    "tools.explain",
    "tools.report",
)


def needed(name: str, extras: set[str], found: set[str]) -> None:
    """Add to `found` the distribution and what it needs, by their canonical names."""
    if name in found and not extras:
        return
    found.add(name)
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            needed(canonicalize_name(requirement.name), requirement.extras, found)


def imported(file: Path) -> set[str]:
    """The top-level modules that this file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_demos_requirements_cover_all_that_its_programs_import() -> None:
    allowed: set[str] = set()
    for line in (ROOT / "requirements-demo.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            needed(canonicalize_name(requirement.name), requirement.extras, allowed)
    program = f"import importlib, sys\nfor name in {PROGRAMS}: importlib.import_module(name)\n"
    program += "print(*(getattr(m, '__file__', None) for m in sys.modules.values()), sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    own = [Path(file) for file in loaded if Path(file).is_relative_to(ROOT)]
    own = [file for file in own if not file.is_relative_to(sys.prefix)]
    assert ROOT / "tools" / "explain.py" in own
    providers = metadata.packages_distributions()
    for file in own:
        for module in imported(file) & set(providers):
            owners = {canonicalize_name(owner) for owner in providers[module]}
            assert owners & allowed, f"{file} imports {module}, which needs one of {owners}"
