"""The table that `make demo` prints, and what it takes for the same time."""

from __future__ import annotations

import pytest

from demo import __main__ as demo
from demo.look_back import Figure


def test_the_table_has_a_column_for_the_alarm_path_only_where_it_was_played() -> None:
    rows = [("requests sent", "7", "")]
    assert "alarm path" not in demo.table(rows)
    alone = demo.table(rows).splitlines()
    both = demo.table([*rows, ("requests lost", "0", "27")]).splitlines()
    assert "alarm path" in both[0]
    for lines in (alone, both):
        assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("seen", "told", "answer", "agrees"),
    [
        (24.4, 24.3, 0.1, True),
        (24.4, 23.0, 0.1, False),
        (24.4, 23.0, 0.6, True),  # a busy machine: the request was on its way for that long
        (24.4, 25.3, 0.6, True),
        (24.4, 25.5, 0.6, False),  # told longer than seen: that is not the way there
    ],
)
def test_what_the_module_tells_may_lack_the_requests_way_to_it(
    seen: float, told: float, answer: float, agrees: bool
) -> None:
    assert Figure("live target", seen, told, answer).agrees is agrees
