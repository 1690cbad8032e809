"""The report of the last wakes: where the seconds went, and only advice that is worth them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest
import warmkeeper as wk

from tests.tools.answers import Session
from tests.warmkeeper.scenes import asleep, follow
from tools import command, report
from tools.report import Facts, Image

BEGAN = 1_800_000_000.0
REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app"
NEAR = f"{REPOSITORY}:1.2"


def wake(
    asked: float = 0.2,
    placed: float = 9.0,
    pulled: float = 2.0,
    started: float = 1.0,
    healthy: float = 3.0,
    opened: float = 1.0,
) -> dict[str, Any]:
    """A record with these stages."""
    ends = itertools.accumulate((BEGAN, asked, placed, pulled, started, healthy, opened))
    names = ("began", "createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "live", "down")
    times = dict(zip(names, ends, strict=True))
    seconds = times["live"] - BEGAN
    return {"cause": "request", "seconds": seconds, "times": {**times, "scaled_up_at": BEGAN + 0.1}}


GOOD = Facts(
    region="eu-central-1",
    interval=5,
    grace=60,
    images=(Image(NEAR, 40.0),),
    cpu=1024,
    spot=False,
)


def facts(**changes: Any) -> Facts:
    return Facts(**{**vars(GOOD), **changes})


# --- stages ------------------------------------------------------------------------------------
def test_the_stages_are_what_they_were_and_add_up() -> None:
    took = report.stages(wake(0.2, 9, 20, 1.5, 12, 1))
    assert took == pytest.approx(
        {"asked": 0.2, "placed": 9, "pulled": 20, "started": 1.5, "healthy": 12, "opened": 1}
    )


def without(*names: str) -> dict[str, Any]:
    found = wake()
    found["times"] = {name: at for name, at in found["times"].items() if name not in names}
    return found


@pytest.mark.parametrize(
    ("odd", "whole"),
    [
        (without("down"), 15.2),
        (without("pullStartedAt", "pullStoppedAt"), 16.2),
        (without("createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "down"), 15.2),
        (without("began"), 16.2),
        (without("live", "down"), 15.2),
        ({**wake(), "times": {**wake()["times"], "startedAt": BEGAN - 500}}, 16.2),
        ({**wake(), "times": {**wake()["times"], "pullStoppedAt": BEGAN + 5000}}, 16.2),
        ({**wake(), "times": {**wake()["times"], "createdAt": "soon", "down": None}}, 15.2),
    ],
)
def test_whatever_is_missing_or_odd_the_stages_add_up(odd: dict[str, Any], whole: float) -> None:
    took = report.stages(odd)
    assert sum(took.values()) == pytest.approx(whole)
    assert min(took.values()) >= 0


@pytest.mark.parametrize(
    "nothing",
    [
        {},
        {"cause": "request", "seconds": 12.0},
        {"times": None, "seconds": 3},
        {"times": {"live": float("nan")}, "seconds": 3},
        {"times": {"began": True}, "seconds": "3"},
    ],
)
def test_a_record_that_tells_nothing_has_no_stages_and_is_printed(
    nothing: dict[str, Any],
) -> None:
    assert report.stages(nothing) == {}
    assert "?" in report.wakes_table([nothing, nothing])
    assert report.advise([nothing], facts(interval=30)) == []


def test_a_wake_that_the_warmkeeper_recorded_is_read() -> None:
    world = asleep()
    world.time += 100
    world.signal(wk.Kind.REQUEST)
    follow(world, 15)
    (record,) = json.loads(json.dumps(world.invoke({"command": "report"})))["wakes"]
    took = report.stages(record)
    assert {"asked", "placed", "started", "healthy"} <= took.keys()
    assert sum(took.values()) == pytest.approx(record["seconds"])


# --- advice ------------------------------------------------------------------------------------
CASES: dict[str, tuple[Mapping[str, Any], Facts, dict[str, float | None]]] = {
    "all is well": (wake(), GOOD, {}),
    "an interval of 30 s": (
        wake(healthy=20),
        facts(interval=30, cpu=2048),
        {"check the health more often": 12.5},
    ),
    "an interval of 30 s, and a check that came at once": (
        wake(healthy=2),
        facts(interval=30),
        {"check the health more often": 2.0},
    ),
    "an interval of 7 s is no matter": (wake(healthy=4), facts(interval=7), {}),
    "a large image": (
        wake(pulled=40),
        facts(images=(Image(NEAR, 260.0),)),
        {"push a SOCI index with the image": 20.0, "halve the image's size": 20.0},
    ),
    "a middling image": (
        wake(pulled=10),
        facts(images=(Image(NEAR, 200.0),)),
        {"halve the image's size": 5.0, "compress the image with zstd": 2.7},
    ),
    "two images, one of unknown size": (
        wake(pulled=10),
        facts(images=(Image(NEAR, 900.0), Image(NEAR))),
        {"halve the image's size": 5.0, "compress the image with zstd": 2.7},
    ),
    "an image from far away": (
        wake(pulled=10),
        facts(images=(Image("nginx:latest"),)),
        {
            "halve the image's size": 5.0,
            "compress the image with zstd": 2.7,
            "keep the image in ECR, in the task's region": None,
        },
    ),
    "a small image from another region": (
        wake(pulled=2),
        facts(images=(Image(NEAR.replace("central", "west"), 20.0),)),
        {},
    ),
    "an app that boots slowly with little CPU": (
        wake(healthy=22.5),
        facts(cpu=256),
        {"give the task twice the CPU": 10.0},
    ),
    "an app that boots slowly with enough CPU": (
        wake(healthy=22.5),
        GOOD,
        {"let the app answer sooner": None},
    ),
    "containers that wait": (
        wake(started=14),
        GOOD,
        {"let no container wait for another": 9.0},
    ),
    "no capacity": (wake(placed=25), GOOD, {"look for more free addresses": 15.0}),
    "no Spot capacity": (
        wake(placed=25),
        facts(spot=True),
        {"do not wait for Spot capacity": 15.0},
    ),
    "nothing can be read": (wake(pulled=1, healthy=4), Facts(), {}),
}


@pytest.mark.parametrize(("record", "known", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_advised_and_what_it_gains(
    record: Mapping[str, Any], known: Facts, expected: dict[str, float | None]
) -> None:
    advised = report.advise([record], known)
    assert {advice.what: advice.gain for advice in advised} == {
        what: gain if gain is None else pytest.approx(gain) for what, gain in expected.items()
    }
    gains = [advice.gain or 0.0 for advice in advised]
    assert gains == sorted(gains, reverse=True)


@pytest.mark.parametrize(("record", "known", "_"), CASES.values(), ids=CASES.keys())
def test_what_to_change_is_hcl(record: Mapping[str, Any], known: Facts, _: object) -> None:
    for advice in report.advise([record], known):
        hcl2.loads(f"{advice.change}\n")


def test_the_number_behind_an_advice_is_told() -> None:
    advised = report.advise([wake(pulled=40)], facts(images=(Image(NEAR, 800.0),)))
    half = next(advice for advice in advised if "halve" in advice.what)
    assert half.why == "The pull of 800 MB takes 40.0 s. Every 100 MB less are 5.0 s."


@pytest.mark.parametrize(
    ("grace", "advised"), [(None, True), (0, True), (60, True), (90, False), (300, False)]
)
def test_the_grace_period_that_a_short_interval_needs_is_advised_with_it(
    grace: int | None, advised: bool
) -> None:
    (advice, *_) = report.advise([wake(healthy=40)], facts(interval=30, grace=grace))
    assert ("health_check_grace_period_seconds = 90" in advice.change) is advised


def test_it_is_the_usual_wake_that_counts_and_not_the_one_that_went_wrong() -> None:
    usual = [wake(pulled=2) for _ in range(4)]
    assert report.advise([*usual, wake(pulled=200)], GOOD) == []


# --- what is read ------------------------------------------------------------------------------
TOLD = {
    "name": "staging",
    "cluster_name": "estate",
    "service_names": ["app"],
    "target_group_arns": ["arn"],
    "cold_start_target_seconds": 60,
    "wakes": [],
}
SERVICE = {
    "taskDefinition": "app:7",
    "healthCheckGracePeriodSeconds": 90,
    "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}],
}
ANSWERS = {
    "describe_target_groups": {"TargetGroups": [{"HealthCheckIntervalSeconds": 30}]},
    "describe_services": {"services": [SERVICE]},
    "describe_task_definition": {
        "taskDefinition": {"cpu": "256", "containerDefinitions": [{"image": NEAR}]}
    },
    "describe_images": {"imageDetails": [{"imageSizeInBytes": 42_000_000}]},
}


def test_what_decides_the_start_is_read_from_aws() -> None:
    read = report.Reader(Session(**ANSWERS)).facts(TOLD)  # type: ignore[arg-type]
    assert read == Facts("eu-central-1", 30, 90, (Image(NEAR, 42.0),), 256, True, ())


@pytest.mark.parametrize("denied", ANSWERS)
def test_what_may_not_be_read_is_named_and_costs_nothing_else(denied: str) -> None:
    answers = {name: answer for name, answer in ANSWERS.items() if name != denied}
    read = report.Reader(Session(**answers)).facts(TOLD)  # type: ignore[arg-type]
    (unknown,) = read.unknown
    assert "AccessDeniedException" in unknown
    assert f"Not known: {unknown[:20]}" in report.render({**TOLD, "wakes": [wake()]}, read)


def test_an_image_by_digest_is_asked_for_by_its_digest() -> None:
    asked: list[Any] = []

    def describe(**arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        return {"imageDetails": [{}]}

    session: Any = Session(describe_images=describe)
    assert report.megabytes(session, f"{REPOSITORY}:1@sha256:abc") is None
    assert report.megabytes(session, REPOSITORY) is None
    assert report.megabytes(session, "public.ecr.aws/docker/library/python:3.13") is None
    assert [call["imageIds"] for call in asked] == [
        [{"imageDigest": "sha256:abc"}],
        [{"imageTag": "latest"}],
    ]
    assert {call["registryId"] for call in asked} == {"123456789012"}


# --- what is printed ---------------------------------------------------------------------------
def test_the_report_has_a_line_for_each_wake_and_the_medians() -> None:
    wakes = [wake(pulled=pull) for pull in (1, 2, 9)]
    text = report.render({**TOLD, "wakes": wakes}, facts(interval=30))
    assert "the last 3 wakes" in text
    assert "Over the target of 60 s: 0 of 3." in text
    (median,) = [line.split() for line in text.splitlines() if line.startswith("median")]
    assert median == ["median", "0.2", "9.0", "2.0", "1.0", "3.0", "1.0", "16.2"]
    assert "1. check the health more often: up to 3.0 s" in text
    assert "interval = 5" in text


def test_without_a_wake_there_is_no_table() -> None:
    assert report.render(TOLD, GOOD) == "staging (estate/app): no wake is remembered yet."


def test_where_there_is_nothing_to_gain_that_is_said() -> None:
    assert "Nothing that is known" in report.render({**TOLD, "wakes": [wake()]}, GOOD)


def test_without_a_name_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report.main([""])
    assert "give its input name" in capsys.readouterr().err


def test_a_function_is_named_by_the_module_s_name() -> None:
    assert command.function_of("staging") == command.function_of("staging-warmkeeper")


def test_a_warmkeeper_that_cannot_be_asked_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "session_of", lambda _: Session())
    assert report.main(["staging"]) == 1
    assert "staging-warmkeeper cannot be invoked" in capsys.readouterr().err


def test_the_example_of_the_document_is_one_of_this_report() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "operating.md").read_text()
    block = text.partition("<!-- report -->")[2].partition("<!-- /report -->")[0]
    head, _, row = (line.split() for line in report.wakes_table([wake()]).splitlines())
    assert head in [line.split() for line in block.splitlines()]
    (shown,) = [line for line in block.splitlines() if line.startswith("20")]
    assert len(shown.split()) == len(row)
    assert report.GAINS in block


def test_of_an_environment_the_order_of_the_last_wake_is_told() -> None:
    ordered = {"members": {"api": 0.3, "web": 24.1}, "database_seconds": 180.2}
    of_several = {**wake(), "seconds": 200.0, **ordered}
    text = report.render({**TOLD, "wakes": [wake(), of_several]}, GOOD)
    order = "The last wake started api after 0.3 s, web after 24.1 s"
    assert f"{order}; a database took 180 s to start." in text
    assert "Over the target of 60 s: 0 of 2, without the starts of databases." in text
    slow = {**of_several, "seconds": 241.0}
    over = "Over the target of 60 s: 1 of 1, without"
    assert over in report.render({**TOLD, "wakes": [slow]}, GOOD)
    assert "The last wake started" not in report.render({**TOLD, "wakes": [wake()]}, GOOD)
