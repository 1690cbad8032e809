"""Every client of clients.toml gets what the table says, with the default wake policy."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import warmkeeper as wk
from warmkeeper import Phase

from tests.warmkeeper.recorded import event_of, headers_of, log_lines, state
from tests.warmkeeper.scenes import AT_ZERO, DROWSY, FAILED, ask, play, wait
from tests.warmkeeper.world import World
from tools import clients
from tools.wake_policy import default_policy

ROWS = clients.clients()
SHAPE = ("phase", "method", "path", "query", "headers")
# What people's browsers open, of applications of every kind. None of it may be ignored.
PEOPLES_PATHS = (
    "/", "/login", "/admin/", "/status", "/health", "/metrics", "/up", "/alive", "/robots.txt",
    "/index.php", "/wp-login.php", "/wp-admin/", "/phpmyadmin/", "/config.json", "/.well-known/x",
    "/environment", "/env", "/team/app.git/info/refs", "/owa", "/remote", "/sdk", "/en/health/tips",
    "/actuator/env", "/favicon.ico/x", "/docs/.env-files", "/git/config", "/api/v1/metrics",
)  # fmt: skip


@cache
def settings() -> str:
    return json.dumps({"wake_policy": default_policy()})


def with_policy(world: World) -> World:
    world.items["settings"] = {"id": {"S": "settings"}, "body": {"S": settings()}}
    return world


def asleep() -> World:
    return play(with_policy(World(desired=0)), AT_ZERO)


def waking() -> World:
    return play(asleep(), (ask,))


def late() -> World:
    """Waking for longer than anybody is sent round."""
    world = asleep()
    world.boot = 9000
    return play(world, (ask, wait(wk.MOST_HOLDS * 25 + 1)))


def drowsy() -> World:
    return play(with_policy(World()), (*DROWSY, wait(20)))


def failed() -> World:
    """Asleep, in the pause after a failed wake."""
    return play(asleep(), (*FAILED, wait(10)))


PHASES: dict[str, tuple[Callable[[], World], Phase]] = {
    "asleep": (asleep, Phase.ASLEEP),
    "waking": (waking, Phase.WAKING),
    "late": (late, Phase.WAKING),
    "drowsy": (drowsy, Phase.DROWSY),
    "failed": (failed, Phase.ASLEEP),
}


def seen(answer: dict[str, Any], took: float, log: list[dict[str, Any]]) -> str:
    """In the table's words, what a client got."""
    ignored = [f"ignored {line['ignored']} {line['answer']}" for line in log if "ignored" in line]
    if ignored:
        assert took == 0, "it is not held"
        return ignored[0]
    status, headers = answer["statusCode"], headers_of(answer)
    if status == 307:
        return "held" if took > 2 * wk.SETTLE_SECONDS else "sent on"
    if status == 204:
        return "preflight"
    assert int(headers["retry-after"]) > 0
    if headers["content-type"] == "application/problem+json":
        return "held in vain" if took else "problem"
    assert took == 0, "a page is shown at once"
    assert headers["content-type"] == "text/html; charset=utf-8"
    return "page"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["client"])
def test_each_client_gets_what_it_can_use(
    row: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    make, phase = PHASES[row["phase"]]
    world = make()
    assert world.phase() is phase
    before, calls, began = state(world), len(world.calls), world.time
    capsys.readouterr()
    answer = world.invoke(event_of(row))
    got = seen(answer, world.time - began, log_lines(capsys.readouterr().out))
    assert (got, answer["statusCode"]) == (row["answer"], row["status"])
    did = [call for _, call in world.calls[calls:]]
    wakes = {"asleep": did.count("count 1") == 1, "drowsy": did == ["rule down"]}
    assert wakes.get(row["phase"], "count 1" in did) is row["wakes"]
    if got.startswith("ignored"):
        assert state(world) == before, "it changes nothing at all"
    if answer["statusCode"] == 307:
        asked = row["path"] + (f"?{row['query']}" if "query" in row else "")
        assert headers_of(answer)["location"] == row.get("location", asked)
    assert not (row["method"] == "HEAD" and answer["body"])


def test_no_two_rows_are_alike() -> None:
    shapes = (json.dumps([row.get(key) for key in SHAPE], sort_keys=True) for row in ROWS)
    for values in (shapes, (row["client"] for row in ROWS), (row["reason"] for row in ROWS)):
        assert [value for value, times in Counter(values).items() if times > 1] == []
    assert len(ROWS) >= 100


def test_every_row_names_its_source_and_only_who_is_held_is_left_with_something() -> None:
    assert [row["client"] for row in ROWS if len(row["source"]) < 10] == []
    assert [row["client"] for row in ROWS if "gets" in row and row["answer"] != "held"] == []


def test_the_table_has_every_phase_every_answer_and_a_row_for_each_rule_of_the_policy() -> None:
    assert {row["phase"] for row in ROWS} == PHASES.keys()
    assert {row["answer"] for row in ROWS} > set(clients.ANSWERS)
    for rule in default_policy():
        answers = [row["answer"] for row in ROWS if decides(rule, row)]
        expected = f"ignored {rule['class']} {rule['answer']}"
        assert answers, f"nobody is {expected} by {rule}"
        assert rule["answer"] == "wake" or expected in answers


def test_an_answer_without_words_for_the_tables_is_refused() -> None:
    rule = {**default_policy()[0], "answer": "no-such-answer"}
    with pytest.raises(KeyError, match="no-such-answer"):
        clients.policy_table([rule])


def test_the_answers_of_the_policy_are_the_same_wherever_they_are_listed() -> None:
    variables = (clients.ROOT / "variables.tf").read_text(encoding="utf-8")
    (validated,) = re.findall(r"contains\((\[[^]]+]), answer\)", variables)
    answers = json.loads(validated)
    *all_but_last, last = answers
    assert f"an answer must be {', '.join(all_but_last)} or {last};" in variables
    assert sorted(answers) == sorted({*clients.CANNED, "wake"})
    coded = re.findall(r'case "([a-z-]+)":', inspect.getsource(wk.WaitingRoom.ignore))
    assert sorted(coded) == sorted(clients.CANNED)
    suite = (clients.ROOT / "tests" / "terraform" / "validations.tftest.hcl").read_text(
        encoding="utf-8"
    )
    assert f"for answer in {validated}" in suite
    guide = clients.POLICY.read_text(encoding="utf-8").split("<!-- /policy -->")[1]
    assert [answer for answer in answers if f"`{answer}`" not in guide] == []
    head = clients.TABLE.read_text(encoding="utf-8").split("[[client]]")[0]
    (explained,) = re.findall(r"ignored CLASS ANSWER   not woken; (.+)", head)
    assert re.findall(r"\(([a-z-]+)\)", explained) == list(clients.CANNED)
    recipe = (clients.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"has an `answer`: ([^.]+)\.", recipe)
    assert re.findall(r"`([a-z-]+)`", listed) == answers


def decides(rule: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether this rule is the first of the default policy that matches the row."""
    request = wk.Request.of(event_of(row))
    # as an exception it would say nothing
    matching = (
        each
        for each in default_policy()
        if wk.matching_ignore_rule(request, [{**each, "answer": "asleep"}])
    )
    return next(matching, None) == rule


BROWSERS = sorted(
    {
        row["headers"]["user-agent"][0]
        for row in ROWS
        if row["answer"] == "page" and row["group"].startswith("Browsers")
    }
)


@pytest.mark.parametrize("agent", BROWSERS, ids=lambda agent: agent[:60])
def test_no_rule_keeps_a_persons_browser_out(agent: str) -> None:
    engine = any(name in agent for name in ("AppleWebKit/", "Gecko/", "Trident/"))
    for path in PEOPLES_PATHS:
        request = wk.Request("GET", path, headers={"user-agent": agent})
        rule = wk.matching_ignore_rule(request, default_policy())
        # a browser without an engine's name is taken for a program at the words of probes
        assert rule is None or (not engine and rule["paths"]), f"{path}: {rule}"


def test_the_document_is_of_the_present_table_and_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["clients", "--check"])
    assert clients.main() == 0
