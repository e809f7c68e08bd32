"""The plot of the scaling runs: an SVG that can be read on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ._scaling import PEERS, Point

_WIDTH, _HEIGHT = 420, 320
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 36, 16, 44
#: One for each peer; all of them stand out on white and on black.
_COLOURS: Final = ("#d9480f", "#f59f00", "#1c7ed6", "#2f9e44", "#ae3ec9", "#868e96")
_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #343a40; }
.title { font-weight: 600; }
.grid { stroke: #adb5bd; stroke-opacity: 0.35; }
.line { fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) { text { fill: #dee2e6; } }
"""


def svg(points: Sequence[Point], limit: int) -> str:
    """Two panels side by side, for one limit: CPU of a call, and memory, by number of calls."""
    # A peer without a limit has its points at another.
    shown = [
        point
        for point in points
        if point.limit == limit
        or not any(other.peer == point.peer and other.limit == limit for other in points)
    ]
    peers = [peer for peer in PEERS if any(point.peer == peer for point in shown)]
    panels = [
        _panel(shown, peers, "client CPU of a call, µs", lambda point: point.cpu),
        _panel(shown, peers, "peak memory, MiB", lambda point: max(point.memory, 0.1)),
    ]
    height = _HEIGHT + 24 * math.ceil(len(peers) / 3) + 8
    body = panels[0] + f'<g transform="translate({_WIDTH},0)">{panels[1]}</g>' + _legend(peers)
    label = f"CPU of a call and memory of a run, by number of calls, with limit {limit}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {height}" '
        f'role="img" aria-label="{label}"><style>{_STYLE}</style>{body}</svg>\n'
    )


def _panel(
    points: Iterable[Point],
    peers: Sequence[str],
    title: str,
    value: Callable[[Point], float],
) -> str:
    points = list(points)
    across = _Axis([point.calls for point in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([value(point) for point in points], _HEIGHT - _BOTTOM, _TOP)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts = [
        f'<text class="title" x="{_LEFT}" y="20">{title}</text>',
        _text(middle, _HEIGHT - 8, "calls", "middle"),
    ]
    for tick in across.ticks:
        x = across.place(tick)
        parts.append(_rule(x, _TOP, x, _HEIGHT - _BOTTOM))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, _number(tick), "middle"))
    for tick in up.ticks:
        y = up.place(tick)
        parts.append(_rule(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 6, y + 4, _number(tick), "end"))
    for peer in peers:
        colour = _colour(peer)
        places = [
            (across.place(point.calls), up.place(value(point)))
            for point in points
            if point.peer == peer
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return "".join(parts)


class _Axis:
    """A logarithmic axis."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.ticks: list[float] = [10.0**power for power in range(low, max(high, low + 1) + 1)]
        self._low, self._span = low, max(high, low + 1) - low
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Where a value stands."""
        part = (math.log10(value) - self._low) / self._span
        return self._start + part * (self._end - self._start)


def _legend(peers: Sequence[str]) -> str:
    parts: list[str] = []
    for index, peer in enumerate(peers):
        x, y = _LEFT + 260 * (index % 3), _HEIGHT + 16 + 24 * (index // 3)
        parts.append(f'<rect x="{x}" y="{y - 9}" width="18" height="4" fill="{_colour(peer)}"/>')
        parts.append(_text(x + 26, y - 3, peer, "start"))
    return "".join(parts)


def _colour(peer: str) -> str:
    return _COLOURS[PEERS.index(peer)]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
