"""Where text goes: stdout and stderr, their colours and widths, and bars while something runs.

The only module that knows rich, which it loads when the first bar is drawn.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Self, TextIO

import attrs

from aioe2e import Progress

__all__ = ["Bar", "OutputLostError", "Screen", "Sink"]

_CODES: Final = {"bold": "1", "red": "31", "green": "32", "magenta": "35", "dim": "2"}
#: Seconds between two lines that stand for a bar.
_LINE_EVERY: Final = 10.0


class OutputLostError(Exception):
    """What is printed cannot be written any more.

    Attributes:
        is_closed: Whether the other side closed the pipe, as ``head`` does.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.is_closed: bool = isinstance(error, BrokenPipeError)


@attrs.define
class Sink:
    """One of the two streams.

    Args:
        stream: Where it goes.
        coloured: Whether colours are written.
    """

    stream: TextIO
    coloured: bool = False
    #: Whether the other side has gone.
    broken: bool = False

    @property
    def is_terminal(self) -> bool:
        """Whether a person sees it."""
        return _is_terminal(self.stream)

    @property
    def width(self) -> int | None:
        """The columns of the terminal; None where there is none, and nothing is cut."""
        if not self.is_terminal:
            return None
        return shutil.get_terminal_size().columns

    def styled(self, text: str, style: str) -> str:
        """The text in a colour, where colours are written."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.coloured else text

    def can_print(self, text: str) -> bool:
        """Whether the stream's encoding knows all characters."""
        try:
            text.encode(self.stream.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def print(self, *lines: str) -> None:
        """Print lines, at once.

        Raises:
            OutputLostError: The other side reads no more, or the disk is full.
        """
        if not lines:
            return
        text = "\n".join(lines) + "\n"
        if not self.can_print(text):
            code = self.stream.encoding
            text = text.encode(code, "backslashreplace").decode(code)
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            self.broken = True
            raise OutputLostError(error) from None


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it was closed
        return False


def _file_of(stream: TextIO) -> tuple[int, int]:
    """What tells one open file from another."""
    found = os.fstat(stream.fileno())
    return found.st_dev, found.st_ino


def _wants_colour(mode: str, stream: TextIO, environ: Mapping[str, str]) -> bool:
    if mode != "auto":
        return mode == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return _is_terminal(stream) and environ.get("TERM") != "dumb"


class Screen:
    """Both streams of a command.

    Args:
        out: Standard output: results.
        err: Standard error: everything else.
        environ: ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM`` are obeyed.
        colour: ``"auto"``, ``"always"`` or ``"never"``.
        verbose: Whether requests are shown, and lines where a bar cannot be.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        environ: Mapping[str, str],
        *,
        colour: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.out: Sink = Sink(out, _wants_colour(colour, out, environ))
        self.err: Sink = Sink(err, _wants_colour(colour, err, environ))
        self.verbose = verbose
        self._live = self.err.is_terminal and environ.get("TERM") != "dumb"
        self._bar: Bar | None = None

    @property
    def is_one_place(self) -> bool:
        """Whether both streams go to one place, as with ``2>&1``: what one says, is read there."""
        with contextlib.suppress(OSError, ValueError):  # no file; or it was closed
            return _file_of(self.out.stream) == _file_of(self.err.stream)
        return False

    def note(self, *lines: str) -> None:
        """Print lines on stderr, above the bar if there is one."""
        if not lines or self.err.broken:
            return
        with contextlib.suppress(OutputLostError):
            if self._bar is None:
                self.err.print(*lines)
            else:
                self._bar.above(*lines)

    @contextlib.contextmanager
    def bar(self, what: str, *, wanted: bool = True) -> Generator[Bar]:
        """A bar on stderr while the block runs; without a terminal, with `verbose`, lines."""
        if not wanted:
            yield Bar(what)
        elif self._live:
            with _LiveBar(what, self.err) as bar:
                self._bar = bar
                try:
                    yield bar
                finally:
                    self._bar = None
        elif self.verbose:
            yield _LineBar(what, self.note)
        else:
            yield Bar(what)


class Bar:
    """How far something has got. This one shows nothing.

    Args:
        what: What is going on, such as "Deleting".
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def show(self, done: int, total: int | None, remark: str = "") -> None:
        """Show that so many of how many are done."""

    def above(self, *lines: str) -> None:
        """Print lines above the bar."""

    def progress(self, now: Progress) -> None:
        """Show how far a run has got: to be handed to `aioe2e.Images.run`."""
        self.show(now.finished, now.total, _remark(now))


def _remark(now: Progress) -> str:
    parts: list[str] = []
    if now.failed:
        parts.append(f"{now.failed} not done")
    if now.paused_until is not None:
        parts.append(f"paused until {now.paused_until.astimezone():%H:%M:%S}")
    elif now.paused:
        parts.append("paused")
    elif now.eta is not None and now.finished != now.total:
        parts.append(f"{now.rate:.0f}/s, {_clock(now.eta)} left")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _LineBar(Bar):
    """A line each ten seconds, for logs."""

    def __init__(self, what: str, note: Callable[[str], object]) -> None:
        super().__init__(what)
        self._note = note
        self._last = time.monotonic()

    def show(self, done: int, total: int | None, remark: str = "") -> None:
        now = time.monotonic()
        if now - self._last < _LINE_EVERY:
            return
        self._last = now
        of = "" if total is None else f" of {total}"
        self._note(f"{self.what}: {done}{of}{f' ({remark})' if remark else ''}")


class _LiveBar(Bar):
    """A bar that moves, drawn by rich."""

    def __init__(self, what: str, sink: Sink) -> None:
        super().__init__(what)
        self._sink = sink
        self._display: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console  # noqa: PLC0415  # slow to load, and only bars need it
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
        )

        console = Console(
            file=self._sink.stream,
            no_color=not self._sink.coloured,
            force_terminal=True,
            highlight=False,
        )
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, style="dim", complete_style="green", finished_style="green"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[remark]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._task = self._display.add_task(self.what, total=None, remark="")
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._display.stop()

    def show(self, done: int, total: int | None, remark: str = "") -> None:
        with contextlib.suppress(OSError):
            self._display.update(
                self._task, completed=done, total=total, remark=remark, refresh=True
            )

    def above(self, *lines: str) -> None:
        from rich.text import Text  # noqa: PLC0415

        for line in lines:
            self._display.console.print(Text.from_ansi(line), soft_wrap=True)
