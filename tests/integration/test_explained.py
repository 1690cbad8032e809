"""`python -m tools.explain` and `report` on a living estate: what they name is what then comes.

`RECORD=1` keeps what they print as the examples of docs/guide/operating.md.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from localcloud.client import LocalCloud
from tests.estate import SLOW, Estate
from tests.waits import until
from tools import explain, report
from tools.terraform_docs import with_table

pytestmark = [pytest.mark.cloud, pytest.mark.terraform]

OPERATING = Path(__file__).resolve().parents[2] / "docs" / "guide" / "operating.md"
SLOW_START = {"provisioning_seconds": 8.0, "pull_seconds": 12.0, "start_seconds": 1.0}
TICK_AND_MORE = 600.0  # a tick, and what a busy machine adds to it while the clock runs fast
Told = Callable[[str], str]


@pytest.fixture
def told(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Told:
    """Runs one of the two as a person would, and gives what it prints."""
    for name, value in estate.workspace.environment.items():
        monkeypatch.setenv(name, value)

    def run(tool: str) -> str:
        main = {"explain": explain.main, "report": report.main}[tool]
        capsys.readouterr()
        assert main([estate.outputs["function_name"]]) == 0, capsys.readouterr().err
        return capsys.readouterr().out.rstrip()

    return run


def keep(name: str, text: str) -> None:
    """An example of the document, where it is wanted."""
    if os.environ.get("RECORD"):
        block = f"```text\n{text}\n```"
        OPERATING.write_text(with_table(OPERATING.read_text(), name, block))


def named(text: str, phase: str, cloud: LocalCloud) -> float:
    """The moment at which its first line says that this phase comes, as an epoch second."""
    first = text.splitlines()[0]
    found = re.search(rf"{phase} at the earliest (?:(\S+-\S+) )?([\d:]+)", first)
    assert found, first
    today = datetime.datetime.fromtimestamp(cloud.now(), datetime.UTC).date().isoformat()
    time = found[2] if found[2].count(":") == 2 else f"{found[2]}:00"
    return datetime.datetime.fromisoformat(f"{found[1] or today}T{time}+00:00").timestamp()


def test_what_is_explained_comes_when_it_is_said_to(
    estate: Estate, cloud: LocalCloud, told: Told
) -> None:
    estate.fall_asleep(cloud)
    assert estate.get().status_code == 200
    with cloud.at_speed(SLOW):  # all of them within a minute of the wake, on a busy machine too
        for _ in range(2):
            assert estate.get().status_code == 200
    cloud.advance_until(lambda: estate.phase() == "awake", minutes=5, speed=10)
    cloud.advance(200)
    text = told("explain")
    keep("explain", text)
    assert re.search(r"is awake: up for \d+ s of 480 s, drowsy at the earliest", text)
    moment = r"(\S+ )?\d\d:\d\d"  # of another day than today with its date
    assert re.search(rf"\n  came   \d requests? at {moment}, (.*, )?since {moment}", text)
    for phase in ("drowsy", "asleep"):
        at = named(text, phase, cloud)
        cloud.advance_until(partial(estate.reached, phase), minutes=20, speed=60)
        assert at - 1 <= estate.memory()["since"] <= at + TICK_AND_MORE
        text = told("explain")
    assert "is asleep: " in text
    assert "waking at once, when a request comes" in text
    # its line comes to the log when all calls are made
    until(lambda: re.search(r"tick +drowsy -> asleep +idle", told("explain")), "the line of it")


def test_a_report_tells_the_stages_of_a_wake(estate: Estate, cloud: LocalCloud, told: Told) -> None:
    estate.fall_asleep(cloud)
    cloud.settings(ecs=SLOW_START)
    asked = estate.invoke({"command": "wake"})
    assert asked["phase"] == "waking"
    cloud.advance_until(lambda: estate.phase() == "awake", minutes=5, speed=20)
    text = told("report")
    keep("report", text)
    *_, wake = estate.memory()["wakes"]
    *_, line = [line for line in text.splitlines() if re.match(r"\d{4}-", line)]
    assert line.split()[2] == "wake"
    *took, _ = (float(cell) for cell in line.replace("?", "0").split()[3:])
    assert sum(took[:5]) == pytest.approx(wake["seconds"], abs=0.3)
    assert took[2] >= SLOW_START["pull_seconds"] - 0.1, "of a tenth of a second"
