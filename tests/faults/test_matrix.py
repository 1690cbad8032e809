"""Whatever call goes wrong, however, and whenever: it heals, forgets nothing, and loses nobody."""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import warmkeeper as wk
from botocore import xform_name
from warmkeeper import Case, Memory, Phase, WaitingRoom

from tests import figures
from tests.faults import matrix
from tests.faults.matrix import CLIENTS, Cell, cells, play

SERVICES = (
    "dynamodb",
    "ecs",
    "application-autoscaling",
    "elbv2",
    "cloudwatch",
    "rds",
    "sns",
    "sqs",
    "ssm",
)
THOROUGH = bool(os.environ.get("RELIABILITY"))  # `make reliability`
PLAYS = (
    [(scene, signal) for scene in matrix.SCENES for signal in matrix.signals_of(scene)]
    if THOROUGH
    else [
        *((scene, signal) for signal in matrix.PLAIN_SIGNALS for scene in matrix.PLAIN_SCENES),
        *matrix.PLAIN_OF_WORLDS.items(),
    ]
)


def broken(cell: Cell, finals: set[str], somebody: bool) -> tuple[list[str], matrix.Played]:
    """What is wrong with a cell, played once."""
    played = play(cell.scene, cell.signal, cell, somebody=somebody)
    wrong = list(played.wrong)
    if not played.struck and not somebody:
        wrong.append("the fault was never struck")
    if played.final not in finals:
        wrong.append(f"it ends {played.final}, and without the fault {sorted(finals)}")
    return [f"{cell}{', somebody comes' if somebody else ''}: {w}" for w in wrong], played


def plays(number: int, cell: Cell) -> tuple[bool, ...]:
    """With nobody else there, and with somebody; the short run takes turns."""
    if cell.signal in CLIENTS:
        return (False,)
    return (False, True) if THOROUGH else (bool(number % 2),)


@pytest.mark.parametrize(("scene", "signal"), PLAYS)
def test_every_fault_on_every_call(scene: str, signal: str) -> None:
    finals = {play(scene, what, somebody=False).final for what in ("", signal)}
    wrong: list[str] = []
    found: Counter[str] = Counter()
    heals: list[float] = []
    for number, cell in enumerate(cells(scene, signal)):
        found["cells"] += 1
        for somebody in plays(number, cell):
            faults, played = broken(cell, finals, somebody)
            wrong += faults
            found["plays"] += 1
            if played.struck:
                heals.append(played.heal)
            if played.client:
                found["requests"] += 1
                found["lost"] += bool(played.client.lost)
                found["answers taken"] += played.client.cut
    rounded = Counter(f"{heal:.0f}" for heal in heals)
    figures.record("faults", f"{scene}; {signal}", {**found, "heals": rounded})
    assert not wrong, "\n".join(wrong)


def operations() -> set[str]:
    """AWS's operations that the warmkeeper's source names as boto3 does."""
    session = botocore.session.get_session()
    known = {
        xform_name(name): name
        for service in SERVICES
        for name in session.get_service_model(service).operation_names
    }
    words: set[str] = set()
    for node in ast.walk(ast.parse(Path(wk.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            words.add(node.func.attr)
        word = getattr(node, "attr", getattr(node, "value", ""))
        words.update({word} if isinstance(word, str) and "_" in word else set())
    return {known[word] for word in words & known.keys()}


def test_every_call_in_the_code_is_in_the_matrix() -> None:
    census = matrix.census()
    figures.record("faults", "census", census)
    assert {site.split()[0] for site in census} == operations()


# --- what the matrix would show ----------------------------------------------------------------
def never_repeated(patch: pytest.MonkeyPatch) -> None:
    """Whatever a lost call has left stays as it is."""
    patch.setattr(Case, "settled", lambda _: False)
    patch.setattr(wk, "FENCE_SECONDS", 1e6)


def count_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The count that ran is not remembered."""
    enter = Case.enter

    def forgetful(case: Case, phase: Phase, because: str, **changes: Any) -> Memory:
        return enter(
            case, phase, because, **{**changes, "counts": {"this": case.config.awake_count}}
        )

    patch.setattr(Case, "enter", forgetful)


def given_once(patch: pytest.MonkeyPatch) -> None:
    """A count that was given, as far as the memory knows, is not given again."""
    patch.setattr(wk, "SCALE_UP_AGAIN_SECONDS", 1e6)


def raises_on_http(patch: pytest.MonkeyPatch) -> None:
    """An error on the way to an answer is no answer."""
    patch.setattr(
        WaitingRoom, "serve", lambda self, e: self.request(wk.Request.of(e), self.aws.now())
    )


def sent_round(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes back is sent round again, however often."""
    patch.setattr(wk, "STUCK_SECONDS", 1e6)
    patch.setattr(wk, "SLOW_SETTLE_SECONDS", 1.0)


@pytest.mark.parametrize(
    ("break_it", "scene", "signal", "site", "fault", "lasts"),
    [
        (never_repeated, "drowsy", "a beat", "SetRulePriorities down", "fails", False),
        (count_forgotten, "drowsy, linger over", "tick", "Publish", "fails", False),
        (given_once, "asleep", "a call", "UpdateService up", "killed before", False),
        (raises_on_http, "asleep", "a call", "DescribeServices", "is throttled", False),
        (sent_round, "drowsy", "a call", "SetRulePriorities down", "fails", True),
    ],
)
def test_a_broken_warmkeeper_is_found(
    break_it: Callable[[pytest.MonkeyPatch], None],
    scene: str,
    signal: str,
    site: str,
    fault: str,
    lasts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finals = {play(scene, what, somebody=False).final for what in ("", signal)}
    (cell,) = [
        cell
        for cell in cells(scene, signal)
        if (cell.site, cell.fault, cell.lasts, cell.nth) == (site, fault, lasts, 1)
    ]
    assert not broken(cell, finals, somebody=False)[0]
    break_it(monkeypatch)
    wrong, _ = broken(cell, finals, somebody=False)
    print(*wrong, sep="\n")
    assert wrong
