"""What the benchmarks print: one row a figure, with its aim and the raw spread of the rounds behind
it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence

import attrs

_PACKAGES = ("aiohttp", "attrs", "cattrs", "backoff", "requests")


@attrs.frozen
class Row:
    """One figure.

    Attributes:
        what: What was measured.
        figure: The median, with its unit.
        aim: What it should be; empty where it is only told.
        spread: Quartiles, extremes and number of rounds.
    """

    what: str
    figure: str
    aim: str = ""
    spread: str = ""


@attrs.frozen
class Scale:
    """How much is measured.

    Attributes:
        rounds: Rounds of the measurements that take well under a second.
        slow_rounds: Rounds of those that take a second or more.
        calls: Calls in one batch.
        renames: Steps of the bulk run with latency.
        steps: Steps that do nothing, for the engine's own cost.
        streamed: Steps of the stream whose memory is measured.
        listed: Images of the long listing.
    """

    rounds: int
    slow_rounds: int
    calls: int
    renames: int
    steps: int
    streamed: int
    listed: int


FULL = Scale(
    rounds=24,
    slow_rounds=7,
    calls=320,
    renames=500,
    steps=20_000,
    streamed=1_000_000,
    listed=10_000,
)
QUICK = Scale(rounds=2, slow_rounds=1, calls=16, renames=16, steps=200, streamed=2_000, listed=200)


def table(rows: Iterable[Row]) -> str:
    """The rows as a markdown table with aligned columns."""
    header = ("what", "figure", "aim", "rounds: quartiles, extremes")
    cells: list[Sequence[str]] = [
        header,
        *((row.what, row.figure, row.aim, row.spread) for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    return "\n".join(
        [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
    )


def conditions() -> str:
    """With what, and on what, the figures were made."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} "
        f"{platform.machine()}, {cores} cores; {packages}."
    )
