"""``python -m benchmarks``: runs everything and prints markdown tables."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from . import _bulk, _calls, _imports, _listing, _scaling
from ._plot import svg
from ._results import FULL, QUICK, Row, Scale, conditions, table, write_json

_PARTS = {
    "calls": _calls.rows,
    "bulk": _bulk.rows,
    "listing": _listing.rows,
    "import": _imports.rows,
}
#: Has points and no rows.
_SCALING = "scaling"
#: The limit that the plot shows.
_SHOWN_LIMIT = 64
#: Between these the figures stand in a page.
_BEGIN, _END = "<!-- figures -->", "<!-- /figures -->"


async def _run(parts: list[str], scale: Scale) -> list[Row]:
    return [row for part in parts if part in _PARTS for row in await _PARTS[part](scale)]


def _report(rows: list[Row], points: list[_scaling.Point], seconds: float) -> str:
    parts: list[str] = []
    if rows:
        parts.append(table(rows))
    if points:
        what = "Client CPU of a call, and growth of the peak memory, by number of calls and limit:"
        parts += [what, _scaling.table(points)]
    how = (
        f"Medians of one interleaved run of {seconds:.0f} s; the server ran in its own process. "
        "Ratios are taken within each round; below 1 is less than the peer."
    )
    return "\n\n".join([*parts, conditions(), how])


def _put_into(page: Path, text: str) -> None:
    """Put the figures into a page, in place of those that are there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert end, f"{page} has no {_BEGIN} … {_END}"
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Parse the command line and run."""
    known = [*_PARTS, _SCALING]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"one or more of {', '.join(known)}; or all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few calls each: shows that it runs, and no more"
    )
    parser.add_argument("--json", type=Path, help="write all figures to a file")
    parser.add_argument("--svg", type=Path, help="write the plot of the scaling runs to a file")
    parser.add_argument("--page", type=Path, help="put the tables into a page")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    parts = options.parts or known
    scale = QUICK if options.quick else FULL
    start = time.perf_counter()
    rows = asyncio.run(_run(parts, scale))
    points = _scaling.points(scale) if _SCALING in parts else []
    seconds = time.perf_counter() - start
    text = _report(rows, points, seconds)
    print(text)
    if options.quick:
        print("This was --quick: the figures mean nothing.")
    if options.json is not None:
        write_json(options.json, rows, points, seconds)
    if options.page is not None:
        _put_into(options.page, text)
    if options.svg is not None and points:
        limit = _SHOWN_LIMIT if _SHOWN_LIMIT in scale.limits else scale.limits[-1]
        options.svg.write_text(svg(points, limit), encoding="utf-8")


if __name__ == "__main__":
    main()
