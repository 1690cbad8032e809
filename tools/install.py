"""Install a requirements file into the virtual environment of the Python that runs this.

    .venv/bin/python tools/install.py requirements-demo.txt
    .venv-compatibility/bin/python tools/install.py requirements-compatibility.txt --files
    .venv-compatibility/bin/python tools/install.py requirements-newest.txt --files=FOLDER

uv installs: it takes a tenth of the CPU time that pip takes. pip installs uv first, and everything
else where uv cannot be had or fails. Where pip looks for packages, uv looks too: pip's settings,
from its files and from PIP_* variables, are handed on in uv's environment. A UV_* variable that is
set already is kept.

Prints a few lines, one at least every TICK_SECONDS. Ends with status 1 and the installer's own
output where pip fails as well.

pip's settings: https://pip.pypa.io/en/stable/topics/configuration/
uv's variables: https://docs.astral.sh/uv/reference/environment/
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

UV = "uv==0.13.9"
TICK_SECONDS = 10.0
PIP = [sys.executable, "-m", "pip"]
PIP_INSTALL = [*PIP, "install", "--quiet", "--disable-pip-version-check", "--no-input"]

# pip's setting, uv's variable, and what stands between several values of that variable.
SETTINGS = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("no-index", "UV_NO_INDEX", " "),
    ("constraint", "UV_CONSTRAINT", " "),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("timeout", "UV_HTTP_TIMEOUT", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("client-cert", "SSL_CLIENT_CERT", " "),
    ("proxy", "ALL_PROXY", " "),
)
PIP_NAMES = {"default-timeout": "timeout"}  # other names that pip takes for a setting
ALWAYS = {
    # pip takes the best version of all indexes, uv by default that of the first one with the name
    "UV_INDEX_STRATEGY": "unsafe-best-match",
    # pip trusts the certificates of the system, uv by default only its own
    "UV_SYSTEM_CERTS": "true",
    # pip compiles always. Without that Python compiles what it imports, once, and that is less: but
    # where it may not write, every process would compile again
    "UV_COMPILE_BYTECODE": str(sys.dont_write_bytecode).lower(),
}
# Of uv's output these lines are shown, and not the one for each package.
SUMMARY = ("Resolved", "Prepared", "Installed", "Bytecode", "Checked")


def pip_settings(listed: str) -> dict[str, str]:
    """The settings for `pip install` in the output of `pip config list`, by their names.

    A variable (":env:") stands before the section "install", and that before "global".
    """
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listed.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.startswith(f"{section}."):
                name = key.removeprefix(f"{section}.")
                found[PIP_NAMES.get(name, name)] = str(ast.literal_eval(value))
    return found


def uv_environment(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """`environment`, and pip's settings in uv's words. Variables that are set are kept."""
    handed_on = {
        variable: separator.join(settings[name].split())
        for name, variable, separator in SETTINGS
        if settings.get(name)
    }
    bundle = environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
    if bundle:  # pip takes it from requests, after its own setting
        handed_on.setdefault("SSL_CERT_FILE", bundle)
    return {**ALWAYS, **handed_on, **environment}


def run(
    command: Sequence[str], environment: Mapping[str, str], shown: tuple[str, ...] = ()
) -> tuple[int, list[str]]:
    """Run a command and tick meanwhile; returns its status and the lines that it printed.

    Of those lines, the ones that begin with a word in `shown` are printed here, too.
    """
    done = threading.Event()
    began = time.monotonic()

    def tick() -> None:
        while not done.wait(TICK_SECONDS):
            print(f"    still at it after {time.monotonic() - began:.0f} s", flush=True)

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    lines = []
    try:
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if line.startswith(shown):
                    print(f"    {line.rstrip()}", flush=True)
    finally:
        done.set()
        ticking.join()
    return process.returncode, lines


def get_uv(environment: Mapping[str, str]) -> Path | None:
    """The uv of this virtual environment, installed by pip if it is not there; None without."""
    uv = Path(sys.prefix, "bin", "uv")
    if not uv.exists():
        print(f"    {UV}, by pip", flush=True)
        status, _ = run([*PIP_INSTALL, UV], environment)
        if status != 0:
            return None
    return uv


def by_uv(requirements: str, files: str | None) -> bool:
    """Whether uv could install them."""
    uv = get_uv(os.environ)
    if uv is None:
        print(f"    pip cannot get {UV}: pip installs everything, which takes longer", flush=True)
        return False
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    environment = uv_environment(pip_settings(listed), os.environ)
    command = [str(uv), "pip", "install", "--python", sys.executable, "-r", requirements]
    if files is not None:
        command += ["--no-deps", *target(files)]
        environment["UV_COMPILE_BYTECODE"] = "false"
    print(f"    {requirements}, by uv", flush=True)
    status, lines = run(command, environment, shown=SUMMARY)
    if status != 0:
        print("\n".join(lines), file=sys.stderr)
        print("    uv failed: pip installs, which takes longer", flush=True)
    return status == 0


def by_pip(requirements: str, files: str | None) -> bool:
    """Whether pip could install them; prints its output if not."""
    print(f"    {requirements}, by pip", flush=True)
    command = [*PIP_INSTALL, "-r", requirements]
    if files is not None:
        command += ["--no-deps", "--no-compile", *target(files)]
    status, lines = run(command, os.environ)
    if status != 0:
        print("\n".join(lines), file=sys.stderr)
    return status == 0


def target(folder: str) -> list[str]:
    """The option of uv and pip that installs into a folder; "" is the environment itself."""
    return ["--target", folder] if folder else []


def main() -> int:
    """Parse the command line and install. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python tools/install.py",
        description="Install a requirements file into this Python's virtual environment.",
    )
    parser.add_argument("requirements", help="a file such as requirements-dev.txt")
    parser.add_argument(
        "--files",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="install the listed packages without their dependencies, and compile nothing; with "
        "FOLDER there, and not into the environment",
    )
    options = parser.parse_args()
    if not Path(options.requirements).is_file():
        parser.error(f"{options.requirements} is not a file")
    if sys.prefix == sys.base_prefix:
        parser.error("this Python is not one of a virtual environment: run .venv/bin/python")
    began = time.monotonic()
    requirements, files = options.requirements, options.files
    if not by_uv(requirements, files) and not by_pip(requirements, files):
        return 1
    print(f"    done in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
