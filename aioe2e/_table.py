"""Text tables for plans and reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ._text import escape

__all__ = ["counted", "table"]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of aligned columns; columns without a single value are left out.

    Names come from a server and go to a terminal, so control characters in them are escaped.
    """
    cells = [[escape("" if value is None else str(value)) for value in row] for row in rows]
    used = [column for column in range(len(header)) if any(row[column] for row in cells)]
    lines = [
        [header[column] for column in used],
        *([row[column] for column in used] for row in cells),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
