"""The curve of a run as a drawing: jobs that wait and run, builders that are ok; plain SVG, made by hand.

Every line has a shape of its own beside its colour, and its name stands at its end: it can be read without colours.
Colours are those of Okabe and Ito, which colour-blind people tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from simulation.observers.ledger import Point
from simulation.run import Run
from simulation.scenario.plan import Fault

WIDTH: Final = 960
_LEFT: Final = 62
_RIGHT: Final = 150  #: for the names of the lines
_PANEL: Final = 200  #: height of each of the two
_GAP: Final = 46
_TOP: Final = 78
HEIGHT: Final = _TOP + 2 * _PANEL + _GAP + 70
_TICKS: Final = 6
_TENS: Final = tuple(int(f"1{'0' * power}") for power in range(9))
_CLOSE: Final = 14  #: pixels between two names

_STYLE: Final = (
    "text{font:12px sans-serif;fill:#222} .title{font-size:15px;font-weight:bold} .small{font-size:11px;fill:#444}"
    " .grid{stroke:#ddd;stroke-width:1} .line{fill:none;stroke-width:2}"
)


def drawing(run: Run) -> str:
    """Return the SVG document of a run."""
    points = run.curve
    end = max(1.0, points[-1].at if points else 1.0)
    plan, summary = run.plan, run.summary
    title = f"{len(plan.builders)} builders, {summary.builds} builds, {plan.hours:g} h, seed {plan.seed}"
    words = f"utilisation {summary.utilisation:.0%}, longest wait {_span(summary.worst_wait_s)}, lost {summary.lost}"
    jobs = _panel(
        _TOP,
        "jobs",
        points,
        end,
        (("waiting", "#D55E00", "", lambda one: one.waiting), ("running", "#0072B2", "6 3", lambda one: one.running)),
    )
    builders = _panel(
        _TOP + _PANEL + _GAP,
        "builders",
        points,
        end,
        (("registered", "#555555", "2 3", lambda one: one.builders), ("ok", "#009E73", "", lambda one: one.ok)),
    )
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {size}>',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
            f'<text class="small" x="{_LEFT}" y="42">{escape(words)}</text>',
            *jobs,
            *builders,
            *_troubles(plan.faults, end),
            "</svg>",
            "",
        )
    )


_Line = tuple[str, str, str, Callable[[Point], int]]


def _panel(top: int, name: str, points: Sequence[Point], end: float, lines: Sequence[_Line]) -> list[str]:
    most = max((of(point) for _, _, _, of in lines for point in points), default=0) or 1
    step = _round_step(most)
    highest = step * -(-most // step)
    bottom, right = top + _PANEL, WIDTH - _RIGHT
    drawn = [f'<text class="small" x="{_LEFT}" y="{top - 8}">{name}</text>']
    for value in range(0, highest + 1, step):
        y = bottom - _PANEL * value / highest
        drawn.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="small" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    for hour in _hours(end):
        x = _x(hour * 3600, end)
        drawn.append(f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        drawn.append(f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{hour:g} h</text>')
    taken: list[float] = []
    for label, colour, dashes, of in lines:
        path = _path([(_x(point.at, end), bottom - _PANEL * of(point) / highest) for point in points])
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        drawn.append(f'<path class="line" stroke="{colour}"{dashed} d="{path}"/>')
        y = bottom - _PANEL * (of(points[-1]) if points else 0) / highest
        while any(abs(y - other) < _CLOSE for other in taken):
            y -= _CLOSE
        taken.append(y)
        drawn.append(
            f'<line class="line" stroke="{colour}"{dashed} x1="{right + 6}" y1="{y:.1f}" x2="{right + 34}" y2="{y:.1f}"/>'
        )
        drawn.append(f'<text x="{right + 40}" y="{y + 4:.1f}">{label}</text>')
    return drawn


def _path(places: Sequence[tuple[float, float]]) -> str:
    """Return the steps of a curve: a number holds until the next."""
    parts: list[str] = []
    for x, y in places:
        parts.append(f"H{x:.1f}V{y:.1f}" if parts else f"M{x:.1f} {y:.1f}")
    return "".join(parts)


def _troubles(faults: Sequence[Fault], end: float) -> list[str]:
    """Return marks below the curves for what befell the farm as a whole."""
    y = _TOP + 2 * _PANEL + _GAP + 36
    farms = [fault for fault in faults if not fault.builder]
    if not farms:
        return []
    drawn = [f'<text class="small" x="{_LEFT}" y="{y + 24}">▲ what befell the farm as a whole (point at one)</text>']
    for fault in farms:
        x = _x(fault.at, end)
        words = f"{fault.trouble} at {fault.at / 3600:.2f} h" + (f", {_span(fault.seconds)}" if fault.seconds else "")
        mark = f"M{x:.1f} {y - 9}l5 9h-10z"
        drawn.append(
            f'<path fill="#CC79A7" stroke="#222" stroke-width="0.5" d="{mark}"><title>{escape(words)}</title></path>'
        )
    return drawn


def _x(at: float, end: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * at / end


def _hours(end: float) -> list[float]:
    hours = end / 3600
    step = next((one for one in (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168) if hours / one <= 2 * _TICKS), 720)
    return [number * step for number in range(int(hours / step) + 1)]


def _round_step(most: int) -> int:
    """Return a round number of which at most so many go into `most`."""
    steps: Iterator[int] = (base * ten for ten in _TENS for base in (1, 2, 5))
    return next(step for step in steps if most / step <= _TICKS)


def _span(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004 - two hours
