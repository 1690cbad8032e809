"""ECS's words for a start that failed: each documented text comes down to the class of its row."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import warmkeeper as wk
from warmkeeper import Kind, Phase

from tests.warmkeeper.scenes import AT_ZERO, ask, play
from tests.warmkeeper.world import World

TABLE = Path(__file__).parent / "ecs_words.toml"
OPERATING = Path(__file__).resolve().parents[2] / "docs" / "guide" / "operating.md"
REASONS: list[dict[str, str]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["reason"]
PARTICULAR = [reason for reason in REASONS if "summary" not in reason]
SUMMARIES = [reason["text"] for reason in REASONS if "summary" in reason]
ROLE = next(reason["text"] for reason in REASONS if "assume the role" in reason["text"])
HARMLESS = [
    "(service app) has reached a steady state.",
    "(service app) has started 1 tasks: (task 0b69d5c0d9814b3c8f1b7f3f1f5b2a10).",
    "(service app) registered 1 targets in (target-group app)",
    "(service app) rolling back to deployment ecs-svc/1234567890123456789.",
]


def waking() -> World:
    """Waking, and no task will be live."""
    return play(World(desired=0, starts=False), (*AT_ZERO, ask))


def fail(world: World) -> str:
    """The wake's deadline passes; the reason that is remembered."""
    world.time += 301
    world.signal(Kind.TICK)
    assert world.phase() is Phase.ASLEEP
    assert world.memory.failure in world.notices[-1]
    return world.memory.failure


def says(world: World, *messages: str) -> None:
    """The service's events, the newest first, as DescribeServices has them."""
    world.time += 10
    world.events = [*((world.time, message) for message in messages), *world.events]


def stop(world: World, reason: str) -> None:
    """The wake's task stops for this reason, and ECS starts no other."""
    world.time += 10
    world.tasks[-1].stopped = world.time
    world.tasks[-1].reason = reason


@pytest.mark.parametrize("row", REASONS, ids=lambda row: row["text"][:60])
def test_a_documented_text_has_the_class_of_its_row(row: dict[str, str]) -> None:
    assert wk.failure_class(row["text"]) == row["class"]


@pytest.mark.parametrize("row", PARTICULAR, ids=lambda row: row["text"][:60])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_no_summary_hides_a_particular_reason(row: dict[str, str], summary: str) -> None:
    world = waking()
    if row["said_by"] == "task":
        stop(world, row["text"])
    else:
        says(world, row["text"])
    says(world, *HARMLESS, summary)
    failure = fail(world)
    assert wk.failure_class(failure) == row["class"]
    assert row["text"] in failure


def test_a_container_s_own_reason_has_the_class_too() -> None:
    for row in REASONS:
        if row["said_by"] == "task" and row["class"] != "not-ready":
            world = waking()
            world.tasks[-1].containers = ({"reason": row["text"]},)
            stop(world, "Task failed to start")
            assert wk.failure_class(fail(world)) == row["class"], row["text"]


def test_an_event_with_a_cause_comes_before_a_stopped_task_that_names_none() -> None:
    world = waking()
    stop(world, "Task stopped by user")
    says(world, ROLE)
    assert fail(world) == ROLE


def test_an_earlier_task_with_a_cause_comes_before_a_later_one_that_names_none() -> None:
    world = waking()
    stop(world, "OutOfMemoryError: Container killed due to memory usage")
    world.set_desired(1)
    stop(world, "Task stopped by user")
    failure = fail(world)
    assert wk.failure_class(failure) == "out-of-memory"
    assert wk.SEVERAL in failure


def test_words_that_aws_has_not_documented_are_told_all_the_same() -> None:
    world = waking()
    says(world, *HARMLESS, "(service app) was unable to do what is new today.", SUMMARIES[0])
    failure = fail(world)
    assert "what is new today" in failure
    assert wk.failure_class(failure) == "not-ready"


@pytest.mark.parametrize("summary", SUMMARIES)
def test_a_summary_alone_is_told_and_is_no_lack_of_capacity(summary: str) -> None:
    world = waking()
    world.tasks.clear()
    says(world, *HARMLESS, summary)
    assert fail(world) == summary
    assert wk.failure_class(summary) == "not-ready"


def told_of_the_role() -> World:
    """After a failed wake, at the next request."""
    world = waking()
    world.tasks.clear()
    says(world, ROLE)
    assert fail(world) == ROLE
    world.time += 61
    return world


# An event is not repeated for six hours, and ECS waits for up to 27 minutes before it tries again.
@pytest.mark.parametrize("said", [[], SUMMARIES])
def test_where_ecs_does_not_repeat_itself_its_last_word_stands(said: list[str]) -> None:
    world = told_of_the_role()
    world.signal(Kind.REQUEST)
    world.tasks.clear()
    says(world, *said)
    assert fail(world) == ROLE


def test_the_last_word_does_not_stand_for_another_deployment() -> None:
    world = told_of_the_role()
    world.deployment = "ecs-svc/2"
    world.signal(Kind.REQUEST)
    world.tasks.clear()
    assert fail(world) == wk.NOT_STARTED["asked"]


def test_the_last_word_does_not_stand_where_a_task_was_placed() -> None:
    world = told_of_the_role()
    world.signal(Kind.REQUEST)
    assert fail(world) == wk.NOT_STARTED["placed"]


def test_what_we_said_ourselves_of_a_silent_ecs_is_not_its_last_word() -> None:
    world = waking()
    assert fail(world) == wk.NOT_STARTED["placed"]
    world.time += 61
    world.signal(Kind.REQUEST)
    world.tasks.clear()
    assert fail(world) == wk.NOT_STARTED["asked"]


# --- the table itself --------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "kind"), wk.FAILURES)
def test_each_of_the_words_decides_over_a_documented_text(words: str, kind: str) -> None:
    decided = [
        reason["class"]
        for reason in REASONS
        if next((entry for entry, _ in wk.FAILURES if entry in reason["text"]), "") == words
    ]
    assert set(decided) == {kind}


def test_a_service_cannot_be_called_what_we_look_for_in_an_event() -> None:
    name = re.compile(r"[A-Za-z0-9_-]+")  # up to 255 letters, numbers, underscores, and hyphens
    looked_for = [words for words, _ in wk.FAILURES if name.fullmatch(words)]
    assert [words for words in looked_for if not re.search("[a-z][A-Z]", words)] == []


def test_every_class_has_its_words_and_pages_in_the_runbook() -> None:
    section = OPERATING.read_text(encoding="utf-8").split("\n### Why a wake failed\n")[1]
    rows = dict(re.findall(r"(?m)^\| `([a-z-]+)` \| (.*)$", section.split("\n## ")[0]))
    classes = {"crash-loop", "not-ready", *(kind for _, kind in wk.FAILURES)}
    assert set(rows) == classes
    missing = [words for words, kind in wk.FAILURES if f"`{words}`" not in rows[kind]]
    pages = [r["page"] for r in REASONS if f"]({r['page']})" not in rows[r["class"]]]
    assert (missing, pages) == ([], [])
