"""Time zones and windows, against zoneinfo with PyPI's tzdata."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
import warmkeeper as wk
from hypothesis import example, given
from hypothesis import strategies as st

from tools import time_zones

FIRST_YEAR, LAST_YEAR = 2025, 2037
MINUTE = timedelta(minutes=1)


@cache
def zones_by_rule() -> dict[str, str]:
    """Each rule that is right in all of the years, with the first zone that has it."""
    rules: dict[str, str] = {}
    for name, rule in json.loads(time_zones.FILE.read_text()).items():
        if rule not in rules and time_zones.holds(name, FIRST_YEAR):
            rules[rule] = name
    return rules


def offset(zone: ZoneInfo, at: datetime) -> float:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found.total_seconds()


def clock_changes(zone: ZoneInfo) -> list[datetime]:
    """The minutes at which the zone's offset changes."""
    found = []
    for day in time_zones.days(FIRST_YEAR, LAST_YEAR):
        if offset(zone, day) != offset(zone, day + timedelta(days=1)):
            first, last = 0, 24 * 60
            while last - first > 1:
                middle = (first + last) // 2
                same = offset(zone, day + middle * MINUTE) == offset(zone, day)
                first, last = (middle, last) if same else (first, middle)
            found.append(day + last * MINUTE)
    return found


def test_the_file_is_what_tzdata_gives() -> None:
    assert time_zones.main(["--check"]) == 0


def test_every_rule_changes_its_clocks_in_the_minute_in_which_zoneinfo_does() -> None:
    rules = zones_by_rule()
    assert len(rules) > 80
    for text, name in rules.items():
        rule = wk.parse_zone_rule(text)
        zone = time_zones.zone_info(name)
        for change in clock_changes(zone):
            for at in (change - MINUTE, change):
                assert rule.offset(at.timestamp()) == offset(zone, at), (name, at)


@pytest.mark.parametrize("text", ["", "CET", "CET-1CEST", "CET-1CEST,M3.5,M10.5.0", "A-1"])
def test_any_other_text_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match="is not a POSIX rule"):
        wk.parse_zone_rule(text)


# --- an independent reading of a schedule, by zoneinfo -------------------------------------------
def spoken(zone: ZoneInfo, day: date, minutes: int, *, last: bool) -> datetime:
    """When clocks show `minutes` after midnight: the first time, or the last, or at the change."""
    local = datetime.combine(day, time.min) + minutes * MINUTE
    at = local.replace(tzinfo=zone, fold=int(last)).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return at
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)  # the clocks go over the time
    while before.astimezone(zone).replace(tzinfo=None) < local:
        before += MINUTE
    return before


Given = tuple[frozenset[int], int, int]  # days, and the minutes at which hours begin and end


def text_of(hours: Given) -> str:
    days, begins, ends = hours
    names = ",".join(wk.DAYS[day] for day in sorted(days))
    return f"{names} {begins // 60:02}:{begins % 60:02}-{ends // 60:02}:{ends % 60:02}"


def within(zone: ZoneInfo, hours: Given, at: datetime, but: frozenset[str]) -> bool:
    days, begins, ends = hours
    today = at.astimezone(zone).date()
    for day in (today - timedelta(days=2), today - timedelta(days=1), today, today + MINUTE * 1440):
        if day.weekday() in days and day.isoformat() not in but:
            last = ends if ends > begins else ends + 1440
            first = spoken(zone, day, begins, last=False)
            if first <= at < spoken(zone, day, last, last=True):
                return True
    return False


@st.composite
def hours(draw: st.DrawFn) -> Given:
    days = draw(st.frozensets(st.integers(0, 6), min_size=1))
    begins = draw(st.integers(0, 1439))
    ends = draw(st.integers(1, 1440).filter(lambda minutes: minutes != begins))
    return days, begins, ends


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a minute: often one near a change of its clocks."""
    rules = zones_by_rule()
    name = rules[draw(st.sampled_from(sorted(rules)))]
    changes = clock_changes_of(name)
    begin = datetime(FIRST_YEAR, 1, 3, tzinfo=UTC)
    minutes = draw(st.integers(0, (LAST_YEAR - FIRST_YEAR) * 365 * 1440))
    near = draw(st.booleans())
    if near and changes:
        return name, draw(st.sampled_from(changes)) + draw(st.integers(-1500, 1500)) * MINUTE
    return name, begin + minutes * MINUTE


@cache
def clock_changes_of(name: str) -> list[datetime]:
    return clock_changes(time_zones.zone_info(name))


EVERY_DAY = frozenset(range(7))
BERLIN_SPRING = ("Europe/Berlin", datetime(2026, 3, 29, 1, 0, tzinfo=UTC))
BERLIN_AUTUMN = ("Europe/Berlin", datetime(2026, 10, 25, 1, 15, tzinfo=UTC))


@example(BERLIN_SPRING, [(EVERY_DAY, 150, 170)], [], frozenset())
@example(BERLIN_AUTUMN, [(EVERY_DAY, 120, 150)], [(EVERY_DAY, 1300, 140)], frozenset())
@given(
    moments(),
    st.lists(hours(), max_size=3),
    st.lists(hours(), max_size=3),
    st.frozensets(st.dates(date(2025, 1, 1), date(2037, 12, 31)).map(date.isoformat), max_size=3),
)
def test_a_window_is_what_an_independent_reading_says(
    moment: tuple[str, datetime], awake: list[Given], closed: list[Given], but: frozenset[str]
) -> None:
    name, at = moment
    zone = time_zones.zone_info(name)
    but |= {at.astimezone(zone).date().isoformat()} if len(but) == 1 else frozenset()
    schedule = wk.parse_schedule(
        json.dumps({
            "zone": name,
            "rule": time_zones.rule_of(name),
            "awake": [text_of(each) for each in awake],
            "closed": [text_of(each) for each in closed],
            "except": sorted(but),
        })
    )  # fmt: skip

    def kind(at: datetime) -> wk.WindowKind:
        if any(within(zone, each, at, frozenset()) for each in closed):
            return wk.WindowKind.CLOSED
        is_awake = any(within(zone, each, at, but) for each in awake)
        return wk.WindowKind.AWAKE if is_awake else wk.WindowKind.NONE

    found = wk.window(schedule, at.timestamp() + 31)
    assert found.kind is kind(at)
    until = datetime.fromtimestamp(found.until, UTC)
    assert until > at
    assert kind(until - MINUTE) is found.kind
    if until - at < timedelta(days=wk.DAYS_AHEAD):
        assert kind(until) is not found.kind


def test_the_end_of_closed_hours_that_follow_each_other_is_the_end_of_the_last() -> None:
    nights = "mon,tue,wed,thu,fri 18:00-08:00"
    schedule = wk.parse_schedule(
        json.dumps({"zone": "UTC", "rule": "UTC0", "closed": [nights, "sat,sun 00:00-24:00"]})
    )
    friday = datetime(2026, 12, 4, 20, 0, tzinfo=UTC)
    opens = datetime(2026, 12, 7, 0, 0, tzinfo=UTC)
    assert wk.window(schedule, friday.timestamp()) == wk.Window(
        wk.WindowKind.CLOSED, opens.timestamp()
    )
