"""Writes lambda/time-zones.json: the time zones that `schedule` may have, each with its POSIX rule.

The rules come from PyPI's tzdata, so that nothing depends on what a machine or a runtime brings. A
zone is left out if its rule does not tell all of its future clock changes: in Gaza, for example,
they follow the moon.

    python -m tools.time_zones          writes the file
    python -m tools.time_zones --check  compares it with tzdata; 1 if they differ
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import tzdata
import warmkeeper as wk

FILE = Path(__file__).resolve().parent.parent / "lambda" / "time-zones.json"
# The time for which a rule must be right: the years after tzdata's release.
FIRST_YEAR = int(tzdata.IANA_VERSION[:4]) + 1
LAST_YEAR = 2037


def zone_names() -> list[str]:
    """The names of all zones of tzdata, sorted."""
    return sorted((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())


def zone_file(name: str) -> bytes:
    """The zone's file in the TZif format."""
    folder = resources.files("tzdata") / "zoneinfo"
    return folder.joinpath(*name.split("/")).read_bytes()


def zone_info(name: str) -> ZoneInfo:
    """The zone as tzdata has it, whatever this machine has."""
    return ZoneInfo.from_file(io.BytesIO(zone_file(name)), key=name)


def rule_of(name: str) -> str:
    """The POSIX rule in the last line of the zone's file."""
    # https://www.rfc-editor.org/rfc/rfc9636#name-tzif-footer
    return zone_file(name).rstrip(b"\n").rpartition(b"\n")[2].decode()


def days(first_year: int, last_year: int) -> Iterator[datetime]:
    """The beginning of each day in these years, in UTC."""
    day = datetime(first_year, 1, 1, tzinfo=UTC)
    while day.year <= last_year:
        yield day
        day += timedelta(days=1)


def holds(name: str, first_year: int = FIRST_YEAR) -> bool:
    """Whether the zone's rule has the zone's offset on each day of these years."""
    rule = wk.parse_zone_rule(rule_of(name))
    zone = zone_info(name)
    return all(
        day.astimezone(zone).utcoffset() == timedelta(seconds=rule.offset(day.timestamp()))
        for day in days(first_year, LAST_YEAR)
    )


def build() -> str:
    """The text of the file."""
    rules = {name: rule_of(name) for name in zone_names() if name != "Factory" and holds(name)}
    return json.dumps(rules, indent=0) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the file; 0 if it is now, or already was, what tzdata says."""
    parser = argparse.ArgumentParser(description="Writes lambda/time-zones.json.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if not parser.parse_args(arguments).check:
        FILE.write_text(build(), encoding="utf-8")
        return 0
    if FILE.is_file() and FILE.read_text(encoding="utf-8") == build():
        return 0
    print(f"{FILE.name} is not what tzdata gives: run tools/time_zones.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
