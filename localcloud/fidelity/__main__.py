"""`python -m localcloud.fidelity`: break the local cloud in each way of the catalogue, and see.

Every mutant must be caught by every test of its row; what was seen goes to seen.json, and the table
to docs/evidence/fidelity.md. Unbroken, the same tests must pass.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import count
from pathlib import Path

from localcloud.fidelity import watch
from localcloud.fidelity.catalogue import (
    REPOSITORY,
    SEEN,
    TABLE,
    Behaviour,
    behaviours,
    seen,
    stale,
    table,
)
from tools import mutant

JOBS = 3  # live mutants at a time: most of their tests wait for a clock
TOGETHER = 15  # tests without a mutant that share a local cloud
# What every child needs; imported once, before the first of them.
SHARED = ("hypothesis", "localcloud.cloud")


class NotCaughtError(Exception):
    """A mutant that a test did not see, or that it saw for another reason."""


Found = dict[str, str] | NotCaughtError  # where each test failed, or why that does not count


def verdict(row: Behaviour, output: str) -> dict[str, str]:
    """Where each test of the row failed, from the watch's JSON; NotCaughtError if one did not."""
    found = json.loads(output.splitlines()[-1]) if output.strip() else {"failures": {}}
    failed = {}
    for test in row.tests:
        when, statement = found["failures"].get(test.partition("[")[0], ("", ""))
        if when != "call":
            what = f"broke already in {when}: {statement}" if when else "passed, or did not run"
            raise NotCaughtError(f"{test} {what}")
        failed[test] = statement
    return failed


def in_a_fork(row: Behaviour) -> dict[str, str]:
    """Run a pure row's tests against its mutant in a child of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            _break_modules(row)
            out.write(watch.as_json(watch.run(list(row.tests))) + "\n")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as output:
        text = output.read()
    os.waitpid(child, 0)
    return verdict(row, text)


def _break_modules(row: Behaviour) -> None:
    """Put the mutant in the place of the modules that it breaks."""
    for path, source in row.broken().items():
        name = path.removesuffix(".py").replace("/", ".")
        package, _, last = name.rpartition(".")
        module = types.ModuleType(name)
        module.__file__, module.__package__ = str(REPOSITORY / path), package
        sys.modules[name] = module
        setattr(importlib.import_module(package), last, module)
        exec(compile(source, path, "exec"), module.__dict__)


def in_a_copy(row: Behaviour) -> dict[str, str]:
    """Run a row's tests in a copy of the repository whose local cloud is the mutant."""
    with tempfile.TemporaryDirectory(prefix="fidelity-") as folder:
        copy = Path(folder)
        mutant.copy_of(REPOSITORY, copy)
        for path, source in row.broken().items():
            (copy / path).write_text(source)
        return verdict(row, _watched(copy, row.tests))


def _watched(repository: Path, tests: Iterable[str]) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "AWS_"))}
    environment.pop("LOCALSTACK_HOST", None)
    command = [sys.executable, "-m", "localcloud.fidelity.watch", *tests]
    return subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    ).stdout


def unbroken(rows: Iterable[Behaviour], jobs: int) -> None:
    """See that the rows' tests pass as things are; NotCaughtError names those that do not."""
    files: dict[str, set[str]] = {}
    for test in (test for row in rows for test in row.tests):
        files.setdefault(test.partition("::")[0], set()).add(test)
    parts = [
        sorted(tests)[start : start + TOGETHER]
        for tests in files.values()
        for start in range(0, len(tests), TOGETHER)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        outputs = list(pool.map(lambda tests: _watched(REPOSITORY, tests), parts))
    for tests, output in zip(parts, outputs, strict=True):
        found = json.loads(output.splitlines()[-1])
        if found["failures"]:
            raise NotCaughtError(f"without any mutant these fail: {found['failures']}")
        if missing := {test.partition("[")[0] for test in tests} - set(found["ran"]):
            raise NotCaughtError(f"these did not run: {sorted(missing)}")


def run(rows: list[Behaviour], jobs: int) -> Iterator[tuple[Behaviour, Found]]:
    """Each row with what was seen of its mutant, as soon as it was; the progress is printed."""
    pure, live = [row for row in rows if row.pure], [row for row in rows if not row.pure]
    began, done = time.monotonic(), count(1)

    def told(row: Behaviour, seeing: Callable[[], dict[str, str]]) -> tuple[Behaviour, Found]:
        found: Found
        word = "caught"
        try:
            found = seeing()
        except NotCaughtError as error:
            found, word = error, "NOT CAUGHT"
        seconds = time.monotonic() - began
        print(f"{seconds:6.0f} s  {next(done):3}/{len(rows)}  {word}  {row.name}", flush=True)
        return row, found

    for name in SHARED if pure else ():
        importlib.import_module(name)
    for row in pure:
        yield told(row, partial(in_a_fork, row))
    with ThreadPoolExecutor(jobs) as pool:
        work = {pool.submit(in_a_copy, row): row for row in live}
        for each in as_completed(work):
            yield told(work[each], each.result)


def main() -> None:
    """Parse the command line and run; exit code 1 when a mutant was not caught."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.fidelity", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these behaviours only")
    parser.add_argument("--stale", action="store_true", help="only what has changed since it ran")
    parser.add_argument("--pure", action="store_true", help="in memory only; nothing is written")
    parser.add_argument("--table", action="store_true", help="write the table, run nothing")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"live ones at a time ({JOBS})")
    options = parser.parse_args()
    if options.table:
        TABLE.write_text(table())
        return
    rows = stale() if options.stale else behaviours()
    if unknown := set(options.names) - {row.name for row in rows}:
        parser.error(f"no such behaviour: {sorted(unknown)}")
    rows = [row for row in rows if row.name in (options.names or [row.name])]
    rows = [row for row in rows if row.pure or not options.pure]
    fingerprints = {row.name: row.fingerprint() for row in rows}
    if not options.pure:
        print(f"{len(rows)} mutants; first their tests without them", flush=True)
        unbroken(rows, options.jobs)
    escaped = []
    for row, found in run(rows, options.jobs):
        if isinstance(found, NotCaughtError):
            escaped.append(f"{row.name}: {found}")
        if not options.pure:
            record(row, fingerprints[row.name], found)
    if not options.pure:
        TABLE.write_text(table())
    print("\n".join([f"{len(rows) - len(escaped)} of {len(rows)} mutants were caught", *escaped]))
    sys.exit(1 if escaped else 0)


def record(row: Behaviour, fingerprint: str, found: Found) -> None:
    """Keep what was seen of one row, and forget what is not in the catalogue any more."""
    known = {**seen(), row.name: {"fingerprint": fingerprint, "failed": found}}
    names = {each.name for each in behaviours()}
    if isinstance(found, NotCaughtError):
        del known[row.name]
    kept = {name: known[name] for name in sorted(known) if name in names}
    SEEN.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
