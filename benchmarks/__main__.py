"""``python -m benchmarks``: runs everything and prints one markdown table."""

from __future__ import annotations

import argparse
import asyncio
import time

from . import _bulk, _calls, _imports, _listing
from ._results import FULL, QUICK, Row, Scale, conditions, table

_PARTS = {
    "calls": _calls.rows,
    "bulk": _bulk.rows,
    "listing": _listing.rows,
    "import": _imports.rows,
}


async def _run(parts: list[str], scale: Scale) -> list[Row]:
    return [row for part in parts for row in await _PARTS[part](scale)]


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="part",
        help=f"one or more of {', '.join(_PARTS)}; all by default",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few calls each: shows that it runs, and no more"
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    start = time.perf_counter()
    rows = asyncio.run(_run(options.parts or list(_PARTS), QUICK if options.quick else FULL))
    print(table(rows))
    print(f"\n{conditions()}")
    print(
        f"Medians of one interleaved run of {time.perf_counter() - start:.0f} s; the server ran in its own process. "
        "Ratios are taken within each round, below 1 is less than the peer."
    )
    if options.quick:
        print("This was --quick: the figures mean nothing.")


if __name__ == "__main__":
    main()
