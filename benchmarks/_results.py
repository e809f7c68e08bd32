"""What the benchmarks print: one row a figure, with the raw spread of the rounds behind it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from ._measure import Rounds, Spread

_PACKAGES = ("aiohttp", "attrs", "cattrs", "backoff", "httpx", "pydantic", "requests")


@attrs.frozen
class Row:
    """One figure."""

    #: What was measured, against whom.
    what: str
    #: The median, for programs.
    value: float
    #: The same for people, with its unit.
    figure: str
    #: Quartiles, extremes and number of rounds.
    spread: str = ""


def ratio(
    what: str, rounds: Rounds, name: str, to: str, *, unit: str = "µs", scale: float = 1e6
) -> Row:
    """One candidate's seconds over another's, each of the same round."""
    found = rounds.ratio(name, to)
    mine, theirs = (rounds.of(each).median * scale for each in (name, to))
    figure = f"{found.median:.2f} ({mine:.0f} {unit} / {theirs:.0f} {unit})"
    return Row(f"{what}: {name} / {to}", found.median, figure, found.range())


def amount(what: str, found: Spread, unit: str) -> Row:
    """An amount, which is no ratio."""
    return Row(what, found.median, f"{found.median:.2f} {unit}", found.range())


@attrs.frozen
class Scale:
    """How much is measured."""

    #: Rounds of the measurements that take well under a second.
    rounds: int
    #: Rounds of those that take a second or more.
    slow_rounds: int
    #: Calls in one batch.
    calls: int
    #: Steps of the bulk run.
    renames: int
    #: Steps that do nothing, for the engine's own cost.
    steps: int
    #: Steps of the stream whose memory is measured.
    streamed: int
    #: Images of the long listing.
    listed: int
    #: Bytes of the listing whose memory is measured.
    body: int
    #: Numbers of calls, and limits, of the plot.
    counts: tuple[int, ...]
    limits: tuple[int, ...]


FULL = Scale(
    rounds=24,
    slow_rounds=7,
    calls=320,
    renames=500,
    steps=20_000,
    streamed=1_000_000,
    listed=10_000,
    body=16 * 1024 * 1024,
    counts=(100, 1_000, 10_000, 100_000),
    limits=(1, 8, 64, 256),
)
QUICK = Scale(
    rounds=2,
    slow_rounds=1,
    calls=64,
    renames=16,
    steps=200,
    streamed=2_000,
    listed=200,
    body=256 * 1024,
    counts=(10,),
    limits=(8,),
)


def table(rows: Iterable[Row]) -> str:
    """The rows as a markdown table with aligned columns."""
    cells = [(row.what, row.figure, row.spread) for row in rows]
    return grid([("what", "figure", "rounds: quartiles, extremes"), *cells])


def grid(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as a markdown table; the first is the header."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([shown[0], rule, *shown[1:]])


def machine() -> dict[str, Any]:
    """With what, and on what, the figures were made."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores,
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    """The versions of what is imported. A fork may be installed under another name."""
    installed_as = importlib.metadata.packages_distributions()
    return {name: importlib.metadata.version(installed_as[name][0]) for name in _PACKAGES}


def conditions() -> str:
    """The same in a sentence."""
    found = machine()
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    where = f"{found['system']}, {found['processor']}, {found['cores']} cores"
    return f"{found['python']} on {where}; {packages}."


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def write_json(path: Path, rows: Iterable[Row], points: Iterable[Any], seconds: float) -> None:
    """All figures for programs."""
    found = {
        "machine": machine(),
        "seconds": round(seconds),
        "rows": [attrs.asdict(row) for row in rows],
        "scaling": [attrs.asdict(point) for point in points],
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
