"""`make bench`: its document is made of what it kept, its sums are right. No time is asserted."""

from __future__ import annotations

import json
import platform
import statistics

from demo import bench


def test_the_document_is_what_the_kept_figures_make() -> None:
    """Else: make bench RECORD=1."""
    kept = json.loads(bench.KEPT.read_text())
    assert kept.keys() <= {*bench.GROUPS, *bench.ALONE}
    assert bench.DOCUMENT.read_text() == bench.document(kept)


def test_the_machine_is_described_without_its_name() -> None:
    assert platform.node() not in bench.machine()
    assert platform.python_version() in bench.machine()


def test_a_figure_is_shown_with_its_spread_and_how_often_it_was_measured() -> None:
    rows = [
        bench.Row("Served", [1.5, 0.25, 1.0], note="of three", goal="1 s"),
        bench.Row("Lost", [0.0], ""),
        bench.Row("Slowest", [float(n) for n in range(1, 101)], statistic=bench.p95),
    ]
    shown = bench.table({"drowsy": {"rows": [row.kept() for row in rows]}}).splitlines()
    assert shown[2:] == [
        "| Served | of three | 1 s | 1 s | 0.25 to 1.50 | 3 |",
        "| Lost |  |  | 0 |  | 1 |",
        "| Slowest |  |  | 95.95 s | 1 to 100 | 100 |",
    ]


def test_the_95th_percentile_of_one_is_that_one() -> None:
    assert bench.p95([3.0]) == 3.0
    assert bench.p95([1.0, 2.0]) >= statistics.median([1.0, 2.0])


def test_functions_at_once_are_those_that_overlap() -> None:
    runs = [{"began": begin, "ended": end} for begin, end in ((0, 5), (1, 2), (2, 3), (4, 6))]
    assert bench.most_at_once(runs) == 2
    assert bench.most_at_once([]) == 0


def test_the_calls_own_time_is_left_out() -> None:
    before = [{"action": "GetItem", "seconds": 0.25}, {"action": "PutItem", "seconds": 0.5}]
    assert bench.First(1.0, {}, before).beside == 0.25
    assert bench.counted([*before, before[0]]) == "2 `GetItem`, `PutItem`"
