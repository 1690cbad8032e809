"""The estimate's picture: money against waiting above, a week of sleeping and waking below."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # before anything of it that would look for a screen

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Shape

from tools.cost import Book
from tools.estimate import DAY, HOUR, Outcome, Settings, has_clients
from tools.request_log import Request

AWAKE, ASLEEP, REQUESTS, INK, PALE = "#e08a1e", "#dfe6ee", "#3b4a5a", "#1f2933", "#6b7785"
DAYS_SHOWN = 7
DEFAULT_IDLE_MINUTES = 5
STYLE: Any = {
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # text, in a font that the reader has
    "font.size": 10,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "svg.hashsalt": "estimate",  # the same picture is the same file
}


def draw(
    outcomes: Sequence[Outcome],
    requests: Sequence[Request],
    settings: Settings,
    path: Path,
    title: str,
) -> None:
    """Write the picture to `path`, SVG or PNG by its name."""
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.1)
        figure = Figure(figsize=(9, 7.6), layout=layout, facecolor="white")
        above, below = figure.subplots(2, 1, height_ratios=(1.15, 1))
        figure.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold")
        _trade_off(above, outcomes, settings, clients=has_clients(requests))
        _week(below, outcomes, requests)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=130, metadata=metadata)


def _trade_off(
    axes: Axes, outcomes: Sequence[Outcome], settings: Settings, *, clients: bool
) -> None:
    """A point for each idle time. Up is cheaper, left is kinder."""
    book, who = Book.read(), "Clients" if clients else "Requests"
    waits = [(one.clients if clients else one.waited) / one.hours * 168 for one in outcomes]
    saved = [one.saved(book, settings) for one in outcomes]
    axes.plot(
        waits, saved, color=AWAKE, linewidth=2, marker="o", markersize=7, zorder=3, clip_on=False
    )
    right = max([*waits, 1]) * 1.1
    above = True
    for one, x, y in zip(outcomes, waits, saved, strict=True):
        default = " (default)" if one.idle_minutes == DEFAULT_IDLE_MINUTES else ""
        label = f"{one.idle_minutes} min{default}"
        clear = x > right * 0.05  # of the axis
        above = not above  # so that near ones do not write over each other
        axes.annotate(
            label,
            (x, y),
            (0 if clear else 8, 9 if above else -17),
            textcoords="offset points",
            ha="center" if clear else "left",
        )
    ceiling = settings.task_hour(book) * book.hours
    axes.axhline(ceiling, color=PALE, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"what the tasks cost always on: {ceiling:.2f} USD",
        (0, ceiling),
        (6, -13),
        textcoords="offset points",
        color=PALE,
        fontsize=9,
    )
    loss = min(0.0, *saved)
    axes.set_xlim(0, right)
    axes.set_ylim(loss * 1.06 - (ceiling * 0.15 if loss else 0), ceiling * 1.06)
    if loss:
        axes.axhline(0, color=INK, linewidth=1)
    axes.set_xlabel(f"{who} that wait for a cold start, a week")
    axes.set_ylabel("USD saved a month")
    axes.set_title("What each idle time saves, and who waits for it", loc="left", fontsize=11)
    axes.grid(color="#eceff3", zorder=0)


def _week(axes: Axes, outcomes: Sequence[Outcome], requests: Sequence[Request]) -> None:
    """The log's first days: its requests on top, and a band for each idle time."""
    began = outcomes[0].began
    if outcomes[0].ended - began > 2 * DAY:
        began -= began % DAY  # whole days
    until = min(began + DAYS_SHOWN * DAY, outcomes[0].ended)
    day = _date(began + DAY) - _date(began)
    busy = [(_date(since), _date(back) - _date(since)) for since, back in _runs(requests, until)]
    _bars(axes, busy, (-0.4, 0.8), REQUESTS)
    for row, one in enumerate(outcomes, 1):
        edge = one.began
        bars = []
        for since, back in [*one.asleep, (one.ended, one.ended)]:
            if edge >= until:
                break
            bars.append((_date(edge), _date(min(since, until)) - _date(edge)))
            edge = back
        end = min(until, one.ended)
        whole = (_date(one.began), _date(end) - _date(one.began))
        _bars(axes, [whole], (row - 0.34, 0.68), ASLEEP)
        _bars(axes, bars, (row - 0.34, 0.68), AWAKE)
    names = ["requests", *(f"{one.idle_minutes} min" for one in outcomes)]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(_date(began), _date(until))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    hours = next((h for h in (1, 3, 6, 12, 24) if (until - began) / HOUR / h <= 8), 24)
    ticks = [at for at in _steps(began, until, hours * HOUR) if at < until]
    pattern = "%a %d %b" if hours == 24 else "%d %b %H:%M"
    axes.set_xticks([_date(at) for at in ticks], [f"{_moment(at):{pattern}}" for at in ticks])
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("left")
    axes.set_xlabel("UTC")
    shown = max(1, round((_date(until) - _date(began)) / day))
    days = "day" if shown == 1 else f"{shown} days"
    axes.set_title(
        f"When it would have been awake, by idle time: the log's first {days}",
        loc="left",
        fontsize=11,
    )
    axes.legend(
        handles=[Patch(color=AWAKE, label="awake"), Patch(color=ASLEEP, label="asleep")],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        frameon=False,
        borderaxespad=0.1,
    )


def _bars(
    axes: Axes, spans: Sequence[tuple[float, float]], height: tuple[float, float], color: str
) -> None:
    """Bars of (begin, width) as one shape, thin ones kept visible by an outline."""
    low, high = height[0], height[0] + height[1]
    corners = [
        [(x, low), (x + width, low), (x + width, high), (x, high), (x, low)] for x, width in spans
    ]
    if corners:
        shape = Shape.make_compound_path(*(Shape(each, closed=True) for each in corners))
        axes.add_patch(PathPatch(shape, facecolor=color, edgecolor=color, linewidth=0.6))


def _runs(requests: Sequence[Request], until: float) -> list[tuple[float, float]]:
    """Stretches with a request in every minute: more would not be told apart."""
    runs: list[tuple[float, float]] = []
    for request in requests:
        minute = request.time - request.time % 60
        if minute >= until:
            break
        if runs and minute <= runs[-1][1]:
            runs[-1] = (runs[-1][0], minute + 60)
        else:
            runs.append((minute, minute + 60))
    return runs


def _steps(began: float, until: float, step: float) -> list[float]:
    """The full steps of the clock from `began` to `until`."""
    first = math.ceil(began / step) * step
    return [first + n * step for n in range(math.floor((until - first) / step) + 1)]


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _date(seconds: float) -> float:
    """Days since the epoch: what the lower axis counts in."""
    return seconds / DAY
