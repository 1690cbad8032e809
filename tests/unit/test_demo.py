"""The table that `make demo` prints."""

from __future__ import annotations

from tests import demo


def test_the_table_has_a_column_for_the_alarm_path_only_where_it_was_played() -> None:
    rows = [("requests sent", "7", "")]
    assert "alarm path" not in demo.table(rows)
    alone = demo.table(rows).splitlines()
    both = demo.table([*rows, ("requests lost", "0", "27")]).splitlines()
    assert "alarm path" in both[0]
    for lines in (alone, both):
        assert len({len(line) for line in lines}) == 1
