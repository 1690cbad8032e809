"""What a beat says, by the table in docs/guide/heartbeat.md; who may beat, and what it costs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import warmkeeper as wk
from beat import settings_from
from botocore.exceptions import ClientError, ConnectTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from warmkeeper import Beat, Kind, Phase

from tests.warmkeeper.recorded import log_lines, metrics, request
from tests.warmkeeper.scenes import IDLE, play, world_of
from tests.warmkeeper.world import CONTROL_GROUP, World

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "guide" / "heartbeat.md"
ROW = re.compile(r"^\| `(?P<body>[^`]+)` \| (?P<told>[^|]+) \|", re.MULTILINE)
NOW = 1_800_000_000.0
MINUTES = 5


def rows() -> list[tuple[str, str]]:
    """The table's bodies, each with what is said of it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("<!-- beats -->")[2].partition("<!-- /beats -->")[0]
    return [(row["body"], row["told"]) for row in ROW.finditer(table)]


def moment(told: str) -> float | None:
    """The epoch second that a row of the table names; None for "none"."""
    if told == "none":
        return None
    return NOW - float(told.removesuffix(" s ago")) if told != "now" else NOW


# --- what a beat says --------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "told"), [row for row in rows() if "400" not in row[1]])
def test_a_beat_says_what_the_table_says(body: str, told: str) -> None:
    assert wk.activity(wk.parse_beat(wk.from_json(body.encode())), NOW, MINUTES) == moment(told)


@pytest.mark.parametrize(("body", "told"), [row for row in rows() if "400" in row[1]])
def test_a_wrong_beat_is_refused_with_the_words_of_the_table(body: str, told: str) -> None:
    with pytest.raises(wk.RefusedError) as refused:
        wk.parse_beat(wk.from_json(body.encode()))
    assert f"{refused.value.status}: {refused.value}" == told


def test_the_table_has_every_field_and_every_kind_of_answer() -> None:
    bodies, answers = zip(*rows(), strict=True)
    assert len(set(bodies)) == len(bodies) >= 20
    for name in ("in_flight", "requests", "idle_seconds"):
        assert any(f'"{name}"' in body for body in bodies)
        assert any(f"400: {name}" in answer for answer in answers)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "-0.1", "1e999", "1" * 400])
def test_a_number_of_seconds_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(wk.RefusedError, match="idle_seconds"):
        wk.parse_beat(wk.from_json(f'{{"in_flight": 1, "idle_seconds": {number}}}'))


@given(
    st.integers(0), st.integers(0), st.none() | st.floats(0, 1e9), st.integers(1, 1440)
)  # fmt: skip
def test_activity_is_never_in_the_future_and_never_older_than_idle_minutes(
    in_flight: int, requests: int, idle_seconds: float | None, minutes: int
) -> None:
    at = wk.activity(Beat(in_flight, requests, idle_seconds), NOW, minutes)
    if in_flight:
        assert at == NOW
    elif idle_seconds is None:
        assert (at is not None) == (requests > 0)
    assert at is None or NOW - minutes * 60 <= at <= NOW


# --- what follows from it ----------------------------------------------------------------------


def awake(**environment: str) -> World:
    return play(world_of(environment=environment), IDLE)


def beat(world: World, keeper: wk.Warmkeeper | None = None, token: str = "", **body: Any) -> Any:
    """The answer's status and document."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    event = request("POST", "/health", group=CONTROL_GROUP, body=json.dumps(body), headers=headers)
    answer = (keeper or wk.Warmkeeper(world.aws())).dispatch(event)
    return answer["statusCode"], json.loads(answer["body"])


def test_what_was_there_a_while_ago_holds_for_as_much_less() -> None:
    world = awake()
    assert beat(world, idle_seconds=200)[1]["counted"] is True
    assert world.memory.beat == world.time - 200
    world.time += 100
    world.signal(Kind.TICK)
    assert world.phase() is Phase.AWAKE
    world.time += wk.BEAT_WRITE_SECONDS
    world.signal(Kind.TICK)
    assert world.phase() is Phase.DROWSY


def test_an_older_activity_takes_nothing_from_a_newer_one() -> None:
    world = awake()
    beat(world, in_flight=1)
    newest = world.memory.beat
    world.time += 60
    beat(world, idle_seconds=200)
    assert world.memory.beat == newest


def test_beats_of_the_same_old_activity_do_not_call_a_drowsy_service_back_for_ever() -> None:
    world, quiet = awake(), 0
    beat(world, in_flight=1)
    while world.phase() is not Phase.ASLEEP:
        quiet += 30
        assert quiet < 9 * 60
        world.time += 30
        beat(world, idle_seconds=quiet)
        world.signal(Kind.TICK)
    assert quiet > MINUTES * 60


def test_a_beat_of_before_calls_a_drowsy_service_back_and_is_not_remembered_as_the_last() -> None:
    world = awake()
    beat(world, in_flight=1)
    newest = world.memory.beat
    world.signal(Kind.SLEEP)
    assert world.phase() is Phase.DROWSY
    world.time += 5
    beat(world, idle_seconds=200)
    assert (world.phase(), world.memory.beat) == (Phase.AWAKE, newest)


@pytest.mark.parametrize("phase", [Phase.AWAKE, Phase.ASLEEP, Phase.WAKING])
def test_beats_of_many_are_one_look_and_one_write_in_so_many_seconds(phase: Phase) -> None:
    world = awake()
    if phase is not Phase.AWAKE:
        world.set_desired(0)
        world.signal(Kind.TICK)
    if phase is Phase.WAKING:
        world.starts = False
        world.signal(Kind.WAKE)
    assert world.phase() is phase
    world.reads.clear()
    seconds = 300
    for _ in range(seconds):
        world.time += 1
        for idle in (0, 0.5, 3):
            beat(world, in_flight=0, requests=1, idle_seconds=idle)
    assert world.phase() is phase
    for operation in ("put_item", "describe_services", "describe_rules", "describe_target_health"):
        assert world.reads.count(operation) == seconds / wk.BEAT_WRITE_SECONDS
    assert world.time - world.memory.beat < wk.BEAT_WRITE_SECONDS


def test_beats_of_nobody_look_at_nothing_but_the_memory() -> None:
    world = awake()
    world.reads.clear()
    told = {"name": "staging", "phase": "awake", "counted": False, "holds_seconds": 300}
    assert beat(world)[1] == told
    assert world.reads == ["get_item"]


def test_the_first_beat_after_a_lost_memory_tells_the_phase_as_it_is() -> None:
    world = awake()
    world.set_desired(0)
    world.items.clear()
    assert beat(world)[1]["phase"] == "asleep"


# --- the token ---------------------------------------------------------------------------------

TOKENED = {"HEARTBEAT_TOKEN_PARAMETER": "arn:aws:ssm:eu-central-1:123456789012:parameter/token"}


@pytest.fixture
def tokened() -> tuple[World, wk.Warmkeeper]:
    """A service with a token, and a container that has read it."""
    world = awake(**TOKENED)
    keeper = wk.Warmkeeper(world.aws())
    assert beat(world, keeper, "secret", in_flight=1)[0] == 200
    return world, keeper


def test_an_outage_of_ssm_does_not_put_it_to_sleep_under_an_open_socket(
    tokened: tuple[World, wk.Warmkeeper], capsys: pytest.CaptureFixture[str]
) -> None:
    world, keeper = tokened
    world.failing.add("get_parameter")
    world.reads.clear()
    capsys.readouterr()
    for _ in range(60):
        world.time += 30
        status, answer = beat(world, keeper, "secret", in_flight=1)
        assert (status, answer["phase"]) == (200, "awake")
        world.signal(Kind.TICK)
        assert world.phase() is Phase.AWAKE
    output = capsys.readouterr().out
    said = [line for line in log_lines(output) if "still believed" in line.get("message", "")]
    tries = world.reads.count("get_parameter")
    assert len(said) == tries <= 30 * 60 / wk.TOKEN_AGAIN_SECONDS
    assert "secret" not in output


def test_a_wrong_token_is_refused_and_counted_during_the_outage_too(
    tokened: tuple[World, wk.Warmkeeper], capsys: pytest.CaptureFixture[str]
) -> None:
    world, keeper = tokened
    world.failing.add("get_parameter")
    world.time += wk.TOKEN_SECONDS + 1
    capsys.readouterr()
    assert beat(world, keeper, "other", in_flight=1)[0] == 401
    assert metrics(capsys.readouterr().out) == {"Refused": 1}


def test_a_new_token_is_taken_up_within_token_seconds_also_after_an_outage(
    tokened: tuple[World, wk.Warmkeeper],
) -> None:
    world, keeper = tokened
    world.failing.add("get_parameter")
    world.time += wk.TOKEN_SECONDS + 1
    assert beat(world, keeper, "secret", in_flight=1)[0] == 200
    world.failing.clear()
    world.token = "new"
    world.time += wk.TOKEN_SECONDS
    assert beat(world, keeper, "secret", in_flight=1)[0] == 401
    assert beat(world, keeper, "new", in_flight=1)[0] == 200


def no_connection() -> None:
    raise ConnectTimeoutError(endpoint_url="https://ssm.example")


def answers_no(code: str) -> Any:
    def refuse() -> None:
        raise ClientError({"Error": {"Code": code}}, "GetParameter")

    return refuse


@pytest.mark.parametrize(
    ("goes_wrong", "status"),
    [
        (no_connection, 200),
        (answers_no("InternalServerError"), 200),
        (answers_no("ThrottlingException"), 200),
        (answers_no("ParameterNotFound"), 503),
        (answers_no("AccessDeniedException"), 503),
    ],
)
def test_no_answer_of_ssm_s_is_an_outage_and_a_no_is_none(
    tokened: tuple[World, wk.Warmkeeper], goes_wrong: Any, status: int
) -> None:
    world, keeper = tokened
    world.time += wk.TOKEN_SECONDS + 1
    world.between("get_parameter", goes_wrong)
    assert beat(world, keeper, "secret", in_flight=1)[0] == status


def test_a_container_that_has_read_no_token_believes_none() -> None:
    world = awake(**TOKENED)
    world.failing.add("get_parameter")
    assert beat(world, token="secret", in_flight=1)[0] == 503
    assert world.memory.beat == 0


def test_the_world_answers_for_a_parameter_by_its_name() -> None:
    world = world_of(environment=TOKENED, parameters={"/staging/hold": "yes"})
    ssm = world.aws().client("ssm")
    hold = ssm.get_parameter(Name="/staging/hold")
    assert hold == {"Parameter": {"Value": "yes"}}
    token = ssm.get_parameter(Name=TOKENED["HEARTBEAT_TOKEN_PARAMETER"])
    assert token == {"Parameter": {"Value": "secret"}}
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name="/staging/another")


# --- the document ------------------------------------------------------------------------------


def test_the_settings_file_of_the_document_is_one_that_the_program_takes() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = re.findall(r"^(BEAT_\w+)=(\S+)$", text, re.MULTILINE)
    settings = settings_from([], dict(lines))
    assert (settings.url, settings.bearer()) == tuple(value for _, value in lines)


def test_the_document_names_the_seconds_of_the_program() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"`BEAT_WRITE_SECONDS`, {wk.BEAT_WRITE_SECONDS:g} s" in text
    assert wk.TOKEN_SECONDS == 300
    assert "caches it for five minutes" in text
