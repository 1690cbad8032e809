"""The clients of the development environment come back to the URL that they asked for.

`python -m tests.redirects` tries all clients that are installed, with odd paths, too; its table
stands in docs/guide/waiting.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.redirects.programs import OURS, NotHereError, Program
from tests.redirects.trial import FIRST, FORMS, Origin, origin, outcome, proxy


@dataclass(frozen=True)
class Ground:
    """A server that redirects, and where a Caddy before it strips and adds a prefix."""

    server: Origin
    prefixed: dict[str, str]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    if shutil.which("caddy") is None:
        pytest.skip("no caddy on PATH: make tools")
    folder = tmp_path_factory.mktemp("proxy")
    with origin() as server, proxy("caddy", server, folder) as prefixed:
        yield Ground(server, prefixed)


@pytest.mark.caddy
@pytest.mark.parametrize("program", OURS, ids=lambda program: program.name)
def test_a_client_comes_back_to_the_url_that_it_asked_for(program: Program, ground: Ground) -> None:
    """Directly by either form, and behind a path prefix by the relative one alone."""
    try:
        client = program.starts()
    except NotHereError as reason:
        pytest.skip(f"{reason}: make tools")
    tried = [("direct", ground.server.url, form) for form in FORMS]
    tried += [(place, url, "relative") for place, url in ground.prefixed.items()]
    try:
        wrong = {
            f"{place}, {form}, {case}": ended
            for place, url, form in tried
            for case in FIRST
            if case.method in client.methods
            if (ended := outcome(client, ground.server, url, case, form))
        }
        assert wrong == {}
        for url in ground.prefixed.values():
            case = next(case for case in FIRST if case.method in client.methods)
            assert outcome(client, ground.server, url, case, "path-absolute"), "it leads elsewhere"
    finally:
        client.close()
