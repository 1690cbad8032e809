"""The program's conditional writes on dynalite, which others wrote, as on moto and in memory.

The local cloud's table is moto's, and the unit tests' one is that of tests/warmkeeper/world.py.
What is sent are the program's own calls (`Aws.write_memory`, `Aws.may_hold`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import moto
import pytest
import warmkeeper as wk
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import judged
from tests.judge import process
from tests.warmkeeper import world

EXAMPLES = 60
RACERS = 16
HELD_AT_MOST = 2
CONFIG = dataclasses.replace(
    wk.Config.from_environment(world.ENVIRONMENT), hold_limit=HELD_AT_MOST, hold_seconds=10
)
CREDENTIALS: dict[str, Any] = {
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "region_name": "us-east-1",
}


class Table(wk.Aws):
    """The program's calls to a table, at a moment that the test sets."""

    def __init__(self, database: Any) -> None:
        super().__init__(CONFIG)
        self.database = database
        self.moment = 0.0

    def client(self, service: str, *, taking: bool = False) -> Any:
        assert (service, taking) == ("dynamodb", False)
        return self.database

    def now(self) -> float:
        return self.moment


def made(database: Any) -> Any:
    """The client, with the module's table in its database."""
    database.create_table(
        TableName=CONFIG.table_name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    database.get_waiter("table_exists").wait(TableName=CONFIG.table_name)
    return database


def emptied(database: Any) -> Table:
    for name in ("memory", "held"):
        database.delete_item(TableName=CONFIG.table_name, Key={"id": {"S": name}})
    return Table(database)


@pytest.fixture(scope="module")
def dynalite() -> Iterator[Any]:
    """A client of dynalite, with one connection for each that races."""
    with process.running("dynamodb.cjs") as running:
        endpoint = f"http://127.0.0.1:{int(running.line())}"
        sdk = Config(max_pool_connections=RACERS, retries={"total_max_attempts": 1})
        yield made(boto3.client("dynamodb", endpoint_url=endpoint, config=sdk, **CREDENTIALS))


@pytest.fixture
def motos() -> Iterator[Any]:
    with moto.mock_aws():
        yield made(boto3.client("dynamodb", **CREDENTIALS))


def memory(version: int) -> wk.Memory:
    return wk.Memory(version=version, phase=wk.Phase.AWAKE, since=1.0)


def outcome(table: Table, step: tuple[str, int]) -> Any:
    """What one step comes to, and what the table has of it afterwards."""
    what, number = step
    if what == "write":
        written = table.write_memory(memory(number))
        return written and written.version, table.read_memory().version
    table.moment = float(number)
    held = table.may_hold()
    counted = table.item("held")
    return held, counted.get("since"), counted.get("held")


# Versions that were read, right and stale; moments in three windows, in any order.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 4)),
        st.tuples(st.just("hold"), st.sampled_from((5, 15, 25))),
    ),
    max_size=10,
)


def test_any_sequence_of_writes_has_the_outcome_that_it_has_on_dynalite(
    dynalite: Any, motos: Any, record_property: Callable[[str, object], None]
) -> None:
    refused = {True: 0, False: 0}

    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(STEPS)
    def agrees(steps: list[tuple[str, int]]) -> None:
        judge = emptied(dynalite)
        others = {
            "moto": emptied(motos),
            "in memory": Table(world.Database(world.World())),
        }
        for step in steps:
            right = outcome(judge, step)
            assert {name: outcome(other, step) for name, other in others.items()} == dict.fromkeys(
                others, right
            )
            refused[not right[0]] += 1

    agrees()
    assert min(refused.values()) > EXAMPLES // 2, refused
    judged.say(
        record_property,
        "dynalite",
        f"dynalite {process.node_version('dynalite')}",
        "the conditional writes of the program, in random sequences and racing, against the two "
        "tables that the tests use",
        f"{refused[False]} writes, {refused[True]} refused, as by moto and in memory; of {RACERS} "
        "racing ones one won",
    )


def test_of_racing_writes_to_the_memory_one_wins(dynalite: Any) -> None:
    for version in range(3):
        table = emptied(dynalite) if version == 0 else Table(dynalite)
        with ThreadPoolExecutor(RACERS) as pool:
            written = list(pool.map(table.write_memory, [memory(version)] * RACERS))
        assert sum(each is not None for each in written) == 1
        assert table.read_memory().version == version + 1


def test_of_racing_calls_as_many_are_held_as_the_limit_says(dynalite: Any) -> None:
    table = emptied(dynalite)
    for window in (1, 2):
        table.moment = float(window * CONFIG.hold_seconds)
        with ThreadPoolExecutor(RACERS) as pool:
            held = list(pool.map(lambda _: table.may_hold(), range(RACERS)))
        assert sum(held) == HELD_AT_MOST
