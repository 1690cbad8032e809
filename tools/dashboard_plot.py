"""A dashboard's picture: cards on the 24-column grid, each drawn by its widget's type and view."""

from __future__ import annotations

import datetime
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # before anything of it that would look for a screen

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from tools.dashboard import HOUR, Dashboard, DashboardError, Line, Widget
from tools.metric_math import Series

COLUMN, ROW, GAP = 64.0, 52.0, 4.0  # pixels
HEAD, FOOT, SIDE = 34.0, 50.0, 48.0  # of a card, around its graph
DPI = 100
GROUND, CARD, INK, PALE, EDGE = "#f2f3f3", "#ffffff", "#16191f", "#5f6b7a", "#d5dbdb"
PALETTE = ("#4a90d9", "#8fa8c4", "#2a9d8f", "#e08a1e", "#c2185b", "#7b5ea7", "#7f7f7f", "#b5a642")
STATES = {"ALARM": "#d13212", "INSUFFICIENT_DATA": "#5f6b7a", "OK": "#1d8102", "MISSING": "#7f7f7f"}
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.edgecolor": EDGE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#eaeded",
    "xtick.color": PALE,
    "ytick.color": PALE,
    "text.color": INK,
}
LETTER = 8.2  # pixels, of a letter of that size
BOLD, MONOSPACE = 9.2, 8.8


@dataclass(frozen=True)
class Card:
    """A widget's place: `canvas` is the whole picture in pixels, from its upper left corner."""

    canvas: Axes
    x: float
    y: float
    width: float
    height: float
    start: int
    end: int

    def text(self, x: float, y: float, text: str, **how: Any) -> None:
        """So far from the card's upper left corner."""
        self.canvas.text(self.x + x, self.y + y, text, **{"va": "center", **how})

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        shape = f"round,pad=0,rounding_size={min(4.0, height / 2)}"
        place = (self.x + x, self.y + y)
        self.canvas.add_patch(
            FancyBboxPatch(place, width, height, boxstyle=shape, facecolor=color, edgecolor="none")
        )

    def graph(self, left: float, right: float, bottom: float = FOOT) -> Axes:
        """A graph in the card, so far from its sides."""
        figure = self.canvas.figure
        assert isinstance(figure, Figure)
        wide, high = figure.get_size_inches() * DPI
        box = (
            (self.x + left) / wide,
            1 - (self.y + self.height - bottom) / high,
            (self.width - left - right) / wide,
            (self.height - HEAD - bottom) / high,
        )
        axes: Axes = figure.add_axes(box)
        axes.set_axisbelow(True)
        return axes


def draw(dashboard: Dashboard, path: Path, name: str) -> None:
    """Write the picture. Raises DashboardError for a widget that is not known here."""
    widgets = dashboard.widgets()
    below = max(widget.raw["y"] + widget.raw["height"] for widget in widgets)
    wide, high = 24 * COLUMN + 2 * GAP, below * ROW + 40 + GAP
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(wide / DPI, high / DPI), dpi=DPI, facecolor=GROUND)
        canvas = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        canvas.set(xlim=(0, wide), ylim=(high, 0))
        canvas.axis("off")
        canvas.text(14, 20, name, fontsize=14, fontweight="bold", va="center")
        shown = f"{_date(dashboard.start)} to {_date(dashboard.end)} UTC"
        canvas.text(wide - 14, 20, shown, color=PALE, va="center", ha="right")
        for widget in widgets:
            _draw_widget(widget, canvas, dashboard)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None})


def _draw_widget(widget: Widget, canvas: Axes, dashboard: Dashboard) -> None:
    x, y, width, height = (widget.raw[key] for key in ("x", "y", "width", "height"))
    card = Card(
        canvas,
        x * COLUMN + 2 * GAP,
        y * ROW + 40,
        width * COLUMN - 2 * GAP,
        height * ROW - 2 * GAP,
        dashboard.start,
        dashboard.end,
    )
    card.box(0, 0, card.width, card.height, CARD)
    title = widget.properties.get("title", "")
    card.text(12, 18, _cut(title, card.width - 20, BOLD), fontweight="bold")
    default = {"metric": "timeSeries", "log": "table"}.get(widget.raw["type"], "")
    kind = widget.raw["type"], widget.properties.get("view", default)
    if kind not in DRAWN:
        raise DashboardError(f"not known here: {kind}")
    DRAWN[kind](widget, card)


# --- metrics -----------------------------------------------------------------------------------
def _time_series(widget: Widget, card: Card) -> None:
    second = any(line.options.get("yAxis") == "right" for line, _ in widget.lines)
    legend = [(line.label, _color(line, n)) for n, (line, _) in enumerate(widget.lines)]
    left = card.graph(SIDE, SIDE if second else 26, _legend(card, legend))
    right = left.twinx() if second else left
    period = int(widget.properties.get("period", 300))
    if widget.properties.get("stacked"):
        _stack(left, widget.lines, card, period)
    else:
        for number, (line, series) in enumerate(widget.lines):
            axes = right if line.options.get("yAxis") == "right" else left
            _plot(axes, series, _color(line, number), period)
    _annotate(left, widget)
    axis = widget.properties.get("yAxis", {})
    for axes, side in ((left, "left"), (right, "right"))[: 1 + second]:
        _scale(axes, axis.get(side, {}))
    _clock(left, card)


def _stack(axes: Axes, lines: Sequence[tuple[Line, Series]], card: Card, period: int) -> None:
    """Areas on top of each other; where a series has no value it adds nothing."""
    moments = range(card.start, card.end, period)
    floor = [0.0] * len(moments)
    for number, (line, series) in enumerate(lines):
        top = [low + series.get(when, 0.0) for low, when in zip(floor, moments, strict=True)]
        color = _color(line, number)
        axes.fill_between(moments, floor, top, step="post", color=color, linewidth=0)
        floor = top


def _plot(axes: Axes, series: Series, color: str, period: int) -> None:
    """A line through neighbouring points; a point alone is a dot."""
    runs: list[list[int]] = []
    for when in sorted(series):
        if runs and when - runs[-1][-1] == period:
            runs[-1].append(when)
        else:
            runs.append([when])
    for run in runs:
        values = [series[when] for when in run]
        if len(run) == 1:
            axes.plot(run, values, "o", color=color, markersize=5.5, clip_on=False)
        else:
            axes.plot(run, values, color=color, linewidth=1.5)


def _annotate(axes: Axes, widget: Widget) -> None:
    for mark in widget.properties.get("annotations", {}).get("horizontal", ()):
        color = mark.get("color", INK)
        axes.axhline(mark["value"], color=color, linewidth=1.2, linestyle=(0, (5, 3)))
        place = (1.0, mark["value"])
        axes.annotate(
            mark.get("label", ""), place, (-4, 4), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", color=color,
        )  # fmt: skip


def _scale(axes: Axes, given: dict[str, float]) -> None:
    """From the lowest to the highest that the widget names, or that there is."""
    highest = max((axes.dataLim.y1, 1.0)) if math.isfinite(axes.dataLim.y1) else 1.0
    axes.set_ylim(given.get("min"), given.get("max", highest * 1.12))
    if given.get("max") == 1:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(axis="y")
    axes.tick_params(length=0, pad=6)


def _clock(axes: Axes, card: Card) -> None:
    """The time shown, whatever there is of it."""
    axes.set_xlim(card.start, card.end)
    step = next(s for s in (300, 900, 1800, HOUR, 2 * HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 10**9)
                if (card.end - card.start) / s * 60 < card.width)  # fmt: skip
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda when, _: _time(when)))


def _legend(card: Card, entries: Sequence[tuple[str, str]]) -> float:
    """At the card's foot, in as many lines as it needs; what a graph has to leave free for it."""
    lines: list[list[tuple[float, str, str]]] = [[]]
    x = 12.0
    for label, color in entries:
        width = 17 + LETTER * len(label) + 14
        if x + width > card.width and lines[-1]:
            lines.append([])
            x = 12.0
        lines[-1].append((x, label, color))
        x += width
    for number, line in enumerate(reversed(lines)):
        y = card.height - 15 - 18 * number
        for x, label, color in line:
            card.box(x, y - 5, 12, 9, color)
            card.text(x + 17, y, label, color=PALE)
    return FOOT + 18 * (len(lines) - 1)


def _single_values(widget: Widget, card: Card) -> None:
    """The last value of each, side by side."""
    share = (card.width - 24) / max(1, len(widget.lines))
    for number, (line, series) in enumerate(widget.lines):
        value = _short(series[max(series)]) if series else "-"
        x = 12 + number * share
        card.text(x, card.height * 0.55, value, fontsize=19, color=_color(line, number))
        card.text(x, card.height - 22, line.label, color=PALE)


# --- logs --------------------------------------------------------------------------------------
def _table(widget: Widget, card: Card) -> None:
    """As many rows as there is room for."""
    columns = list(dict.fromkeys(name for row in widget.rows for name in row))
    cells = [[_cell(name, row.get(name, "")) for name in columns] for row in widget.rows]
    if not cells:
        card.text(12, HEAD + 16, "no log events", color=PALE)
        return
    room = card.width - 24
    widths = [max(len(name), *(len(row[n]) for row in cells)) for n, name in enumerate(columns)]
    pixels = [min(width * LETTER + 22, room * 0.7) for width in widths]
    pixels[-1] = room - sum(pixels[:-1])
    high = min(26.0, (card.height - HEAD - 24) / max(1, min(len(cells), 12)))
    for number, row in enumerate([columns, *cells]):
        y = HEAD + 12 + number * high
        if y > card.height - 6:
            break
        x = 12.0
        for cell, width in zip(row, pixels, strict=True):
            how = {"color": PALE} if number == 0 else {}
            card.text(x, y, _cut(cell, width - 10, LETTER), **how)
            x += width
        if number:
            card.box(12, y - high / 2, room, 1, GROUND)


def _bars(widget: Widget, card: Card) -> None:
    """A bar for each row, of one part for each number; stacked, or only the first number."""
    rows = widget.rows
    if not rows:
        card.text(12, HEAD + 16, "no log events", color=PALE)
        return
    key = next(iter(rows[0]))
    parts = list(dict.fromkeys(name for row in rows for name in row if name != key))
    labels = [_cell(key, row.get(key, "")) for row in rows]
    longest = max(len(label) for label in labels) * LETTER
    stacked = bool(widget.properties.get("stacked"))
    legend = [(part, PALETTE[n % len(PALETTE)]) for n, part in enumerate(parts)]
    foot = _legend(card, legend) if stacked else 30.0
    axes = card.graph(min(longest + 22, card.width * 0.6), 56, foot)
    floor = [0.0] * len(rows)
    for number, part in enumerate(parts if stacked else parts[:1]):
        values = [float(row.get(part, 0.0)) for row in rows]
        color = PALETTE[number % len(PALETTE)]
        axes.barh(labels, values, left=floor, color=color, height=0.66)
        floor = [low + value for low, value in zip(floor, values, strict=True)]
    for label, total in zip(labels, floor, strict=True):
        axes.annotate(
            _short(total), (total, label), (5, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.set_ylim(max(len(rows), 4) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="x")


# --- alarms and text ---------------------------------------------------------------------------
def _alarms(widget: Widget, card: Card) -> None:
    """A tile each, two in a row, those in ALARM first."""
    wide, high = (card.width - 24) / 2, 38.0
    shown = sorted(widget.alarms, key=lambda alarm: list(STATES).index(alarm[1]))
    for number, (name, state) in enumerate(shown):
        x, y = 12 + number % 2 * wide, HEAD + 4 + number // 2 * (high + 10)
        color = STATES[state]
        card.box(x, y, 6, high, color)
        card.text(x + 16, y + 10, _cut(name, wide - 26, BOLD), fontweight="bold")
        card.text(x + 16, y + 29, state.replace("_", " "), color=color)


def _text(widget: Widget, card: Card) -> None:
    """Markdown, of which links, bold and code are known."""
    y = 20.0
    for line, code in _paragraphs(widget.properties["markdown"]):
        letter = MONOSPACE if code else LETTER
        for part in textwrap.wrap(line, int((card.width - 28) / letter)) or [""]:
            how = {"family": "monospace", "color": PALE} if code else {}
            card.text(14, y, part, **how)
            y += 19
        y += 5


def _paragraphs(markdown: str) -> Iterator[tuple[str, bool]]:
    """The lines that say something, and whether they are code."""
    code = False
    for line in markdown.splitlines():
        if line.startswith("```"):
            code = not code
        elif line.strip():
            plain = line if code else re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line)
            yield (line if code else re.sub(r"[*`]", "", plain)), code


# --- words and numbers -------------------------------------------------------------------------
def _color(line: Line, number: int) -> str:
    return str(line.options.get("color", PALETTE[number % len(PALETTE)]))


def _short(value: float) -> str:
    """Three figures, as they are read."""
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _cell(name: str, value: Any) -> str:
    if name in ("@timestamp", "last"):
        return _time(value, "%H:%M:%S")
    return _short(value) if isinstance(value, float) else str(value)


def _cut(text: str, pixels: float, letter: float) -> str:
    fits = int(pixels / letter)
    return text if len(text) <= fits else text[: max(1, fits - 1)] + "…"


def _time(when: float, form: str = "%H:%M") -> str:
    return datetime.datetime.fromtimestamp(when, datetime.UTC).strftime(form)


def _date(when: float) -> str:
    return _time(when, "%Y-%m-%d %H:%M")


DRAWN: dict[tuple[str, str], Callable[[Widget, Card], None]] = {
    ("metric", "timeSeries"): _time_series,
    ("metric", "singleValue"): _single_values,
    ("log", "table"): _table,
    ("log", "bar"): _bars,
    ("alarm", ""): _alarms,
    ("text", ""): _text,
}
