"""docs/evidence/reliability.md is of its figures, and its figures are of the code that is here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults import matrix, reliability


def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reliability.KEPT.read_text())
    return found


def test_the_cells_of_the_document_are_those_that_the_code_has_now() -> None:
    assert kept()["faults"]["found"]["sites"] == matrix.census(), "run `make reliability`"


def test_the_document_is_made_of_the_figures_that_are_kept() -> None:
    assert reliability.DOCUMENT.read_text() == reliability.render(kept())


def test_the_document_has_the_sections_that_tests_record_and_no_others() -> None:
    sections = set(reliability.recording())
    assert sections <= set(reliability.SECTIONS)
    assert set(kept()) <= sections
    assert {"model", "faults", "live faults", "failed wakes", "long run"} <= set(kept())


def test_nothing_was_lost_in_the_run_that_the_document_tells_of() -> None:
    total, runs = kept()["faults"]["found"]["total"], kept()["long run"]["found"].values()
    model = kept()["model"]["found"]
    assert total["lost"] == 0
    assert sum(explored.get("violations", 0) for explored in model.values()) == 0
    assert all(order["found"] for order in model.values() if "order" in order)
    assert total["longest heal"] <= matrix.HEAL_SECONDS
    assert {(run["wrong"], run["days"]) for run in runs} == {(0, 30.0)}
    assert len(kept()["live faults"]["found"]) == 10


def test_figures_of_half_a_run_are_refused() -> None:
    half: dict[str, dict[str, Any]] = {
        "census": {"PutItem": {"faults": {"fails": 2}}},
        "asleep; tick": {"cells": 1, "plays": 1, "heals": {"0": 1}},
    }
    with pytest.raises(reliability.StaleError, match="1 cells of 2"):
        reliability.faults_together(half)
