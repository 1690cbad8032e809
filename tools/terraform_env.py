"""How Terraform gets the AWS provider on this machine.

Promise: `terraform_environment()` returns environment variables with which `terraform init` finds
hashicorp/aws, from the registry where there is a route to it and from a provider mirror on disk
where there is none. Nothing on the machine is changed: what is written lands in `.cache/`.

The first that applies:

1. `TERRAFORM_PROVIDER_MIRROR` names a mirror: it is used, and nothing else is asked.
2. `TF_CLI_CONFIG_FILE` names a file that exists: its owner has decided, and it is left alone.
3. The registry answers within three seconds: Terraform installs from there. Providers are kept in
   `.cache/plugins` between runs.
4. A mirror (a folder `registry.terraform.io` that holds `hashicorp/aws` for this platform) lies in
   one of Terraform's implied mirror directories, or two folders below the root of the disk.

The lock file is not committed: a reusable module leaves the choice of provider to its caller, and
a lock file made from a mirror lacks the checksums that the registry's packages would need.

Run as a program it prints `export` lines: `eval "$(python tools/terraform_env.py)"`.

Terraform's side of this:
https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shlex
import stat
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache"
REGISTRY = "registry.terraform.io"
PROVIDER = f"{REGISTRY}/hashicorp/aws"
ROUTE_SECONDS = 3.0
PSEUDO_FOLDERS = ("/dev", "/proc", "/run", "/sys")
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class NoProviderError(RuntimeError):
    """Terraform has no way to hashicorp/aws here. The message says what to do about it."""


def terraform_environment() -> dict[str, str]:
    """The variables to add to the environment of every `terraform` command.

    Found once per process. Raises NoProviderError where there is neither a route to the registry
    nor a mirror.
    """
    return dict(_environment())


@functools.cache
def _environment() -> dict[str, str]:
    # The provider is started anew for each step, and collecting garbage is a third of its CPU then.
    base = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "GOGC": "400"}
    named = os.environ.get("TERRAFORM_PROVIDER_MIRROR")
    if named:
        return base | _from_mirror(_named_mirror(Path(named)))
    config = os.environ.get("TF_CLI_CONFIG_FILE")
    if config and Path(config).is_file():
        return base
    if registry_answers():
        return base | _from_registry(config_is_missing=bool(config))
    mirror = next(_mirrors(os.environ), None)
    if mirror is None:
        raise NoProviderError(
            f"Terraform cannot get {PROVIDER}: the registry did not answer within "
            f"{ROUTE_SECONDS:.0f} s, and no mirror with a provider for {_target()} was found. "
            "Give a route to the registry, or run `terraform providers mirror FOLDER` where there "
            "is one and set TERRAFORM_PROVIDER_MIRROR=FOLDER here."
        )
    return base | _from_mirror(mirror)


def registry_answers(url: str = f"https://{REGISTRY}/.well-known/terraform.json") -> bool:
    """Whether the registry's service discovery answers within ROUTE_SECONDS, name look-up included.

    https://developer.hashicorp.com/terraform/internals/remote-service-discovery
    """
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=ROUTE_SECONDS) as reply:
                answers.append("providers.v1" in json.load(reply))
        except (OSError, ValueError):
            answers.append(False)

    # A name look-up has no timeout of its own, hence the thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ROUTE_SECONDS)
    return answers == [True]


def _from_registry(*, config_is_missing: bool) -> dict[str, str]:
    plugins = CACHE / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    found = {
        "TF_PLUGIN_CACHE_DIR": str(plugins),
        # Without a lock file Terraform passes the cache over, unless told that this is fine.
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "true",
    }
    if config_is_missing:
        found["TF_CLI_CONFIG_FILE"] = _write_config("# Terraform's defaults.\n")
    return found


def _from_mirror(mirror: Path) -> dict[str, str]:
    text = f"""\
# Written by tools/terraform_env.py.
provider_installation {{
  filesystem_mirror {{
    path    = {json.dumps(str(mirror))}
    include = ["{PROVIDER}"]
  }}
  direct {{
    exclude = ["{PROVIDER}"]
  }}
}}
"""
    return {"TF_CLI_CONFIG_FILE": _write_config(text)}


def _write_config(text: str) -> str:
    path = CACHE / "terraform.rc"
    if not path.is_file() or path.read_text() != text:
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(text)
        draft.replace(path)
    return str(path)


def _named_mirror(path: Path) -> Path:
    mirror = path.parent if path.name == REGISTRY else path
    if not _holds_provider(mirror):
        raise NoProviderError(
            f"TERRAFORM_PROVIDER_MIRROR={path} holds no {PROVIDER} for {_target()}: name the "
            f"folder in which the folder {REGISTRY} lies."
        )
    return mirror.resolve()


def _mirrors(environment: Mapping[str, str]) -> Iterator[Path]:
    for folder in (*_implied_mirrors(environment), *_folders_near_the_root()):
        if _holds_provider(folder) and _is_ours_or_roots(folder / PROVIDER):
            yield folder


def _implied_mirrors(environment: Mapping[str, str]) -> list[Path]:
    """https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories"""
    data_home = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    data_dirs = environment.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    return [
        Path.home() / ".terraform.d/plugins",
        *(Path(folder) / "terraform/plugins" for folder in (data_home, *data_dirs.split(":"))),
        Path("/usr/local/share/terraform/plugins"),
        Path("/usr/share/terraform/plugins"),
    ]


def _folders_near_the_root() -> Iterator[Path]:
    for found in sorted(Path("/").glob(f"*/*/{REGISTRY}")):
        if not str(found).startswith(PSEUDO_FOLDERS):
            yield found.parent


def _holds_provider(folder: Path) -> bool:
    """Whether the folder has hashicorp/aws for this platform, unpacked or packed."""
    provider = folder / PROVIDER
    return any(provider.glob(f"*/{_target()}")) or any(provider.glob(f"*_{_target()}.zip"))


def _is_ours_or_roots(folder: Path) -> bool:
    """Terraform will run what lies in there: nothing that just anybody could have put there."""
    found = folder.stat()
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & stat.S_IWOTH


def _target() -> str:
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{ARCHITECTURES.get(machine, machine)}"


def main() -> int:
    try:
        found = terraform_environment()
    except NoProviderError as error:
        print(error, file=sys.stderr)
        return 1
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
