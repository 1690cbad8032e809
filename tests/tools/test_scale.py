"""Toward a thousand services: the record of calls, the rates, what breaks first."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import calls
from tools import cost, scale
from tools.scale import Quota, Rate, Resources, Trace

PER_MINUTE = 60


def rate(burst: float, a_second: float) -> Rate:
    return Rate("asking", frozenset({"Ask"}), burst, a_second, "https://docs.aws.amazon.com")


def asking(*seconds: float) -> Trace:
    """A call of `Ask` at each of these seconds, by one invocation."""
    return Trace(tuple((at, "Ask") for at in seconds), ((0.0, 1.0),))


# --- the record --------------------------------------------------------------------------------
def test_the_record_is_what_the_program_asks_of_aws_now() -> None:
    text = calls.as_text(calls.traces())
    assert calls.KEPT.read_text() == text, "run `python -m tests.faults.calls --record`"


def test_a_tick_asks_cloudwatch_once_while_awake_and_never_while_asleep_as_the_cost_says() -> None:
    found = scale.traces()["one service"]
    assert found["tick awake"].counted["DescribeAlarms"] == 1
    assert found["tick asleep"].counted["DescribeAlarms"] == 0
    for phase in ("asleep", "awake"):
        assert found[f"tick {phase}"].counted["GetItem"] == 1
        assert found[f"tick {phase}"].counted["PutItem"] == 0


def test_a_call_without_a_rate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"one service": {"tick": {"calls": [[0.1, "Ask"]], "invocations": []}}}
    file = tmp_path / "calls.json"
    file.write_text(json.dumps({"traces": kept}))
    monkeypatch.setattr(scale, "CALLS", file)
    with pytest.raises(ValueError, match=r"Ask.*Add it to RATES, or to UNRATED"):
        scale.traces()


# --- rates -------------------------------------------------------------------------------------
def test_a_bucket_gives_its_burst_at_once_and_then_what_comes_in_each_second() -> None:
    bucket = rate(burst=40, a_second=10)
    assert bucket.throttled([40, 10, 10]) == 0
    assert bucket.throttled([40, 11]) == 1
    assert bucket.throttled([41]) == 1
    assert bucket.throttled([40, 0, 0, 0, 0, 0, 41]) == 1  # it never holds more than its burst


def test_copies_are_laid_over_each_other_at_even_distances() -> None:
    assert scale.laid_over([1, 2], 3, within=1) == [3, 6, 0]
    assert scale.laid_over([1, 2], 2, within=4) == [0, 1, 2, 1, 2, 0]
    assert sum(scale.laid_over([1, 2], 7, within=60)) == 21


@pytest.mark.parametrize(("modules", "refused"), [(300, False), (303, True)])
def test_two_calls_a_minute_from_300_modules_are_ten_a_second(
    modules: int, *, refused: bool
) -> None:
    share = scale.ticks(rate(40, 10), asking(0.1, 0.2), modules)
    assert (share > 0) is refused


def test_a_second_for_all_holds_the_burst_and_no_more() -> None:
    bucket = rate(40, 10)
    assert scale.most(lambda n: scale.ticks(bucket, asking(0.1, 0.2), n, within=1) == 0) == 20


def test_a_wave_holds_the_burst_and_what_comes_in_while_it_lasts() -> None:
    bucket = rate(40, 10)
    assert scale.most(lambda n: scale.wave(bucket, asking(0.5), n, within=1) == 0) == 40
    assert scale.wave(bucket, asking(0.5), 80, within=1) == pytest.approx(0.5)


@pytest.mark.parametrize("holds", [0, 1, 2, 3, 17, 64, 1000])
def test_the_largest_number_that_fits_is_found(holds: int) -> None:
    assert scale.most(lambda n: n <= holds) == holds


def test_what_always_fits_is_over_the_largest_number() -> None:
    assert scale.number(scale.most(lambda _: True)) == "over 100,000"


def test_functions_under_way_are_counted_by_the_second() -> None:
    trace = Trace((), ((0.0, 2.5), (1.2, 1.4)))
    assert trace.functions_a_second() == [1, 2, 1]


# --- what breaks first -------------------------------------------------------------------------
def test_quotas_count_what_the_module_and_the_service_have() -> None:
    have = Resources(Counter(aws_lb_listener_rule=3), Counter(aws_lb_listener_rule=1))
    quota = Quota("Rules", 100, ("aws_lb_listener_rule",), "", adjustable=True, remedy="Divide.")
    assert have.count(quota) == 4


def test_the_lowest_limit_stands_first() -> None:
    found = scale.traces()["one service"]
    have = Resources(Counter({"aws_cloudwatch_event_rule": 3}), Counter())
    listed = scale.breaks(found, have)
    assert [one.services for one in listed] == sorted(one.services for one in listed)
    assert {one.services for one in listed if one.what.startswith("EventBridge")} == {100}


def test_eight_services_wake_without_a_refused_call_and_an_environment_shares_its_reads() -> None:
    found = scale.traces()
    elb = scale.RATES[0]
    one, ten = found["one service"], found["an environment of ten services"]
    assert scale.wave(elb, one["wake"], 8) == 0
    assert ten["tick asleep"].of_rate(elb) == one["tick asleep"].of_rate(elb)


def test_each_rate_and_quota_names_its_page_at_aws() -> None:
    for page in {each.page for each in (*scale.RATES, *scale.QUOTAS)}:
        assert page.startswith("https://docs.aws.amazon.com/")


def test_without_terraform_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Path) -> None:
        raise cost.CostError("terraform is not on PATH")

    monkeypatch.setattr(scale, "plan_of", fail)
    assert scale.main([]) == 1
    assert "terraform is not on PATH" in capsys.readouterr().err
