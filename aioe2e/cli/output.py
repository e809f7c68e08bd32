"""What goes to stdout: tables, JSON, JSON lines, or only ids."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs

from .exits import CommandError, details_of, in_our_words, next_step
from .options import Output
from .parser import nearest
from .terminal import Screen, Sink

__all__ = [
    "Column",
    "Printer",
    "cell",
    "columns_of",
    "complain",
    "for_people",
    "printable",
    "table",
    "warnings_shown",
]

Row = Mapping[str, Any]

_GAP: Final = "  "
_MIDDLE: Final = "…"
#: Details of an error that are printed.
_DETAILS: Final = 10
#: No column is cut to less than this.
_NARROWEST: Final = 8
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
#: How words of states stand out; terminals choose the shade, so light and dark both do.
_STYLES: Final = {
    "ready": "green",
    "running": "green",
    "done": "green",
    "unchanged": "green",
    "error": "red",
    "failed": "red",
    "unknown": "magenta",
    "creating": "magenta",
    "saving": "magenta",
    "skipped": "magenta",
}
_STYLED: Final = frozenset({"state", "status"})


@attrs.frozen
class Column:
    """One column of a table."""

    #: The name that JSON has for it, and `--columns`.
    key: str
    header: str
    #: Makes the text of a cell from a row; by default from the row's value for the key.
    text: Callable[[Row], str] | None = None

    def cell(self, row: Row) -> str:
        """The text of the cell in a row."""
        return cell(row.get(self.key)) if self.text is None else self.text(row)


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None or value == "":
        return "-"
    if value is True:
        return "yes"
    if value is False:
        return "no"
    if isinstance(value, float):
        return f"{value:g}"
    if value in ([], (), {}):
        return "-"
    if isinstance(value, Mapping | list | tuple):
        return printable(json.dumps(value, default=str))
    return printable(str(value))


def printable(text: str) -> str:
    """Text that cannot act on a terminal: what is not printable is written as an escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def columns_of(
    wanted: str | None, standard: Sequence[Column], keys: Iterable[str]
) -> Sequence[Column]:
    """The columns of a table.

    Args:
        wanted: What `--columns` says, or None.
        standard: The columns without it.
        keys: All names that there are.

    Raises:
        CommandError: There is no such column.
    """
    if wanted is None:
        return standard
    by_key = {column.key: column for column in standard}
    known = list(dict.fromkeys([*by_key, *keys]))
    chosen: list[Column] = []
    for name in _names(wanted):
        if name not in known:
            raise CommandError(
                f"--columns: there is no column {name!r}{nearest(name, known)}",
                details=[f"there are: {', '.join(known)}"],
            )
        chosen.append(by_key.get(name) or Column(name, name.upper().replace("_", " ")))
    return chosen


def _names(columns: str) -> list[str]:
    return [part.strip() for part in columns.split(",")]


def _width(text: str) -> int:
    """The cells that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _shortened(text: str, width: int) -> str:
    """A text that fits: its middle is left out, since names differ at both ends."""
    if _width(text) <= width:
        return text
    head, tail = (width - 1) - (width - 1) // 2, (width - 1) // 2
    if not text.isascii():  # cut by characters until the cells fit
        while _width(text[:head]) + _width(text[len(text) - tail :]) + 1 > width and head:
            head, tail = head - 1, max(tail - 1, 0)
    return text[:head] + _MIDDLE + text[len(text) - tail :]


def table(
    columns: Sequence[Column],
    rows: Iterable[Row],
    sink: Sink,
    *,
    headers: bool = True,
    width: int | None = None,
) -> list[str]:
    """The lines of a table.

    Args:
        columns: Its columns.
        rows: Its rows.
        sink: Where it will be printed; it knows the colours.
        headers: Whether the first line names the columns.
        width: What the lines have to fit into; None for any length.
    """
    cells = [[column.cell(row) for column in columns] for row in rows]
    heads = [column.header for column in columns]
    if not headers:
        heads = ["" for _ in columns]
    widths = [max(map(_width, texts)) for texts in zip(heads, *cells, strict=True)]
    if width is not None:
        _fit(widths, width)
    lines = [_line(columns, line, widths, sink) for line in cells]
    if not headers:
        return lines
    first = _GAP.join(map(_padded, map(_shortened, heads, widths), widths)).rstrip()
    return [sink.styled(first, "bold"), *lines]


def _line(
    columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], sink: Sink
) -> str:
    parts: list[str] = []
    for column, text, width in zip(columns, cells, widths, strict=True):
        padded = _padded(_shortened(text, width), width)
        if column.key in _STYLED and text.lower() in _STYLES:
            padded = sink.styled(padded, _STYLES[text.lower()])
        parts.append(padded)
    return _GAP.join(parts).rstrip()


def _fit(widths: list[int], width: int) -> None:
    """Make the widest columns narrower until the line fits."""
    room = width - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


@attrs.frozen
class Printer:
    """Prints results in the form that was asked for."""

    screen: Screen
    form: str
    columns: str | None = None
    headers: bool = True

    @classmethod
    def of(cls, screen: Screen, output: Output) -> Printer:
        """Prints as the options say."""
        return cls(screen, output.form, output.columns, headers=not output.no_headers)

    @property
    def lines(self) -> bool:
        """Whether each result is printed as soon as it is there."""
        return self.form == "jsonl"

    def shows(self, column: str) -> bool:
        """Whether a table is printed that has a column, where that is one of the usual ones."""
        if self.columns is not None and column not in _names(self.columns):
            return False
        return self.form == "table"

    def line(self, item: Row) -> None:
        """Print one item as a line of JSON, at once."""
        self.screen.out.print(_compact(item, self.screen))

    def items(
        self,
        action: str,
        items: Sequence[Row],
        columns: Sequence[Column],
        *,
        ids: Sequence[object],
        shown: Sequence[Row] | None = None,
        more: Row | None = None,
    ) -> None:
        """Print items as a list.

        Args:
            action: What was done, for JSON.
            items: The items.
            columns: The columns of the table.
            ids: What ``--quiet`` prints; None is left out.
            shown: The items that a table shows; all by default.
            more: What else JSON has.
        """
        match self.form:
            case "json":
                self.json({"action": action, "items": items, **(more or {})})
            case "jsonl":
                for item in items:
                    self.line(item)
            case "ids":
                self.screen.out.print(*(printable(str(id_)) for id_ in ids if id_ is not None))
            case _:
                self._table(items if shown is None else shown, columns)

    def _table(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        if not rows:
            return
        out = self.screen.out
        keys = dict.fromkeys(key for row in rows for key in row)
        chosen = columns_of(self.columns, columns, keys)
        out.print(*table(chosen, rows, out, headers=self.headers, width=out.width))

    def item(self, action: str, item: Row, *, id_: object) -> None:
        """Print one item: in a table, each of its fields has a line."""
        if self.form == "table":
            chosen = columns_of(self.columns, [Column(key, key) for key in item], ())
            rows = [{"key": column.key, "value": column.cell(item)} for column in chosen]
            columns = [Column("key", "FIELD"), Column("value", "VALUE")]
            self.screen.out.print(*table(columns, rows, self.screen.out, headers=False))
        else:
            self.items(action, [item], (), ids=[id_])

    def json(self, value: Mapping[str, Any]) -> None:
        """Print a JSON document: keys sorted, so that two runs can be compared."""
        self.screen.out.print(_encoded(self.screen, value, indent=2))


def _compact(item: Row, screen: Screen) -> str:
    return _encoded(screen, item, indent=None)


def _encoded(screen: Screen, value: object, *, indent: int | None) -> str:
    write = partial(json.dumps, value, sort_keys=True, indent=indent)
    if indent is None:
        write = partial(write, separators=(",", ":"))
    text = write(ensure_ascii=False)
    if screen.out.can_print(text):
        return text
    return write()


def complain(screen: Screen, error: BaseException, *, about: str = "") -> None:
    """Say on stderr what went wrong (and about what), and what to do next."""
    details = details_of(error)
    said = str(error)
    if details and not isinstance(error, CommandError):
        said = said.partition(":")[0]
    if about:
        said = f"{about}: {said}"
    lines = [f"{screen.err.styled('Error:', 'red')} {for_people(said)}"]
    lines += [f"  - {for_people(line)}" for line in details[:_DETAILS]]
    if len(details) > _DETAILS:
        lines.append(f"  … and {len(details) - _DETAILS:,} more")
    if step := next_step(error):
        lines.append(f"{screen.err.styled('Next step:', 'bold')} {step}")
    screen.note(*lines)


def for_people(text: str) -> str:
    """A text of the library as a person reads it here."""
    return printable(in_our_words(text))


@contextlib.contextmanager
def warnings_shown(screen: Screen) -> Generator[None]:
    """While the block runs, warnings that the library logs are lines on stderr."""
    logger, handler = logging.getLogger("aioe2e"), _Warnings(screen)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.note(f"Warning: {for_people(record.getMessage())}")
