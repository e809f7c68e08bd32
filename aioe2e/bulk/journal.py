"""What a run has sent and how it ended, on disk, so that a crash loses no truth.

A journal is a file of JSON lines. The first one is the header with the whole plan; then come, for
each step, a line right before a write goes out and one when the step ended; a line ``run`` stands
between two runs. Each line is handed to the operating system at once, so it outlives the process,
though not a power cut. It holds ids, names and words of this library: no texts of a server and no
secrets. A last line without its end was being written when the process died: what it announced had
not been done yet, so it is ignored, and cut off before the file is written to again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import attrs

from aioe2e._check import path_text, quoted
from aioe2e.errors import SkippedError, UsageError
from aioe2e.models import SaveAction

from .journal_reader import FORMAT, Key, content_of, parsed, why
from .plan import Plan, plan_as_json
from .report import Outcome
from .step import Status, Step, StepRecord, index_of

if sys.platform != "win32":
    import fcntl

__all__ = ["Journal"]

#: Who may read the names of the images is the user's choice: at first, only the owner.
MODE: Final = 0o600

_log = logging.getLogger("aioe2e")


#: A journal of a larger plan, or with more bytes, is opened in a thread.
_LARGE_PLAN: Final = 500
_LARGE_FILE: Final = 100_000

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Writes the journal of one run. While it is open, no other run can open the same file."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path
        #: Bytes of the whole lines in the file.
        self._size = 0
        self._complained = False
        #: Writes under way that have their line, by step and half: a second attempt needs none.
        self._noted: set[tuple[int, int]] = set()
        _open_journals.add(self)

    @classmethod
    def open(cls, path: str | os.PathLike[str], plan: Plan) -> Self:
        """Begin the journal of a plan, or go on with it when `Plan.resume` made the plan of it.

        Raises:
            UsageError: The file cannot be written, is that of another plan, is being written by
                another run, or knows more of the plan's steps than the plan does.
        """
        text = path_text("journal", path)
        journal = cls(_opened(text), text)
        try:
            journal._begin(plan)
        except OSError as error:
            problem = f"the journal {quoted(text)} cannot be written: {why(error)}"
        except BaseException:
            journal.close()
            raise
        else:
            return journal
        journal.close()
        raise UsageError(problem)

    def _begin(self, plan: Plan) -> None:
        """Lock the file, see whether it is that of the plan, and write the line of a new run."""
        _lock(self._descriptor, self._path)
        whole, torn = b"", b""
        if not _is_new(self._descriptor):
            whole, torn = content_of(self._path)
        line = _first_line(self._path, whole, torn, plan)
        os.ftruncate(self._descriptor, len(whole))
        self._size = len(whole)
        self._write(line)

    @classmethod
    async def open_aside(cls, path: str | os.PathLike[str], plan: Plan) -> Self:
        """The same for a caller on an event loop, which a large journal does not hold up.

        Cancelling this waits for the thread that opens the file, and closes it.

        Raises:
            UsageError: As `open` does.
        """
        if len(plan.steps) <= _LARGE_PLAN and _size(path) <= _LARGE_FILE:
            return cls.open(path, plan)
        opening = asyncio.get_running_loop().run_in_executor(None, cls.open, path, plan)
        cancelled: asyncio.CancelledError | None = None
        while not opening.done():
            try:
                await asyncio.wait([opening])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            return opening.result()
        if opening.exception() is None:
            opening.result().close()
        raise cancelled

    def before_send(self, step: Step, half: int) -> Callable[[], None]:
        """What a call has to do before it sends a step, or the first or second half of one.

        The callable raises `SkippedError` if the write cannot be noted: then it must not go out.
        """
        return partial(self._note_once, index_of(step), half)

    def outcome(self, outcome: Outcome) -> None:
        """Note how a step ended. One that was not sent needs no line."""
        index = index_of(outcome.step)
        if outcome.status is Status.SKIPPED and (index, 1) not in self._noted:
            return
        self._noted -= {(index, 1), (index, 2)}
        self.ended(
            index,
            outcome.status.value,
            halfway=outcome.halfway,
            passing=outcome.passing,
            refused=outcome.refused,
            error=None if outcome.error is None else type(outcome.error).__name__,
            http=outcome.http,
            attempts=outcome.attempts,
            elapsed=outcome.elapsed,
            save=outcome.result if isinstance(outcome.result, SaveAction) else None,
        )

    def sent(self, index: int, half: int = 1) -> None:
        """Note that a write is about to go out.

        Args:
            index: The step.
            half: 2 for the second request of a step with a `via`, which also says that the first
                one is done.

        Raises:
            SkippedError: It cannot be noted: then the write must not go out.
        """
        second = "" if half == 1 else f',"{Key.HALF}":{half}'
        line = f'{{"{Key.SENT}":{index}{second},"{Key.AT}":{time.time():.3f}}}\n'
        try:
            self._write(line)
        except OSError as error:
            problem = f"the journal {quoted(self._path)} cannot be written: {why(error)}"
        else:
            return
        raise SkippedError(problem)

    def half_done(self, index: int) -> None:
        """Note that the first request of a step with a `via` is done."""
        self._note(f'{{"{Key.HALF_DONE}":{index}}}\n')

    def ended(
        self,
        index: int,
        status: str,
        *,
        halfway: bool = False,
        passing: bool = False,
        refused: bool = False,
        error: str | None = None,
        http: int | None = None,
        attempts: int = 0,
        elapsed: float = 0.0,
        save: SaveAction | None = None,
    ) -> None:
        """Note how a step ended.

        Args:
            index: The step.
            status: The value of its `Status`.
            halfway: Whether the image carries the step's temporary name.
            passing: Whether what ended it is a transient error.
            refused: Of an unknown one, whether the server's latest word was a refusal.
            error: The class of what ended it; never its text.
            http: The HTTP status of it.
            attempts: Requests sent for it.
            elapsed: Seconds that it took.
            save: What the server said to a save, as far as `Images.wait_saved` needs it.
        """
        line: dict[str, Any] = {Key.ENDED: index, Key.STATUS: str(status)}
        if halfway:
            line[Key.HALFWAY] = True
        if passing:
            line[Key.PASSING] = True
        if refused:
            line[Key.REFUSED] = True
        if error is not None:
            line[Key.ERROR] = error
        if http is not None:
            line[Key.HTTP] = http
        if attempts:
            line[Key.ATTEMPTS] = attempts
        if elapsed:
            line[Key.ELAPSED] = round(elapsed, 3)
        if save is not None:
            line[Key.SAVE] = _needed(save)
        self._note(_encode(line) + "\n")

    def close(self) -> None:
        """Close the file; again does nothing."""
        _open_journals.discard(self)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note_once(self, index: int, half: int) -> None:
        if (index, half) not in self._noted:
            self.sent(index, half)
            self._noted.add((index, half))

    def _note(self, line: str) -> None:
        """Write a line that may be missing: a later run then takes the step for UNKNOWN."""
        try:
            self._write(line)
        except OSError as error:
            if not self._complained:
                _log.warning(
                    "the journal %s cannot be written: %s",
                    quoted(self._path),
                    why(error),
                )
            self._complained = True

    def _write(self, text: str) -> None:
        data = text.encode()
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            self._take_back()
            raise
        self._size += len(data)

    def _take_back(self) -> None:
        """Remove a line of which only a part was written: it would spoil the next one."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            _log.warning("the journal %s cannot be mended: %s", quoted(self._path), why(error))


def _needed(save: SaveAction) -> dict[str, Any]:
    """What a later process needs to wait for a save: no text of the server."""
    kept = attrs.evolve(save, status="", extra={}).to_dict()
    return {key: value for key, value in kept.items() if value}


#: Those of this process, so that a forked child lets go of them: it shares their locks.
_open_journals: Final[weakref.WeakSet[Journal]] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for journal in tuple(_open_journals):
        journal.close()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_let_go_in_child)


def _size(path: str | os.PathLike[str]) -> int:
    """The bytes of a file; 0 where there is none, or nothing that has a size."""
    try:
        return Path(path_text("journal", path)).stat().st_size
    except (OSError, ValueError):  # ValueError: a null character in the path
        return 0


def _is_new(descriptor: int) -> bool:
    """Whether a file is empty. What is no regular file may still have something to read."""
    found = os.fstat(descriptor)
    return stat.S_ISREG(found.st_mode) and found.st_size == 0


def _opened(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, MODE)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        problem = f"the journal {quoted(path)} cannot be opened: {why(error)}"
    raise UsageError(problem)


def _lock(descriptor: int, path: str) -> None:
    """Keep a second run off the file while it is open, where files can be locked."""
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken = True
    except OSError:  # a file system without locks
        taken = False
    else:
        taken = False
    if taken:
        raise UsageError(
            f"the journal {quoted(path)} is being written by another run;"
            " let it end, then Plan.resume it"
        )


def _first_line(path: str, whole: bytes, torn: bytes, plan: Plan) -> str:
    """The line that a run begins with: a header in a new file, else a ``run``."""
    if not whole:
        header = _header(plan)
        if not header.encode().startswith(torn):
            raise UsageError(f"{quoted(path)} is no journal: choose another path")
        return header + "\n"
    header_read, records, indices = parsed(path, whole)
    if header_read[Key.DIGEST] != plan.digest:
        problem = f"the journal {quoted(path)} is that of another plan: choose another path"
        raise UsageError(problem)
    if not plan.resumed and whole.count(b"\n") > 1:
        raise UsageError(
            f"the journal {quoted(path)} has lines of this plan already:"
            " go on with Plan.resume(path)"
        )
    for step in plan.steps:
        index = index_of(step)
        if index not in indices or _is_past(step, records.get(index)):
            raise UsageError(
                f"the journal {quoted(path)} knows more of step {index}"
                " than this plan does: go on with Plan.resume(path)"
            )
    return f'{{"{Key.RUN}":"again"}}\n'


def _header(plan: Plan) -> str:
    """The first line: format, digest, plan."""
    stored = plan_as_json(plan)
    return f'{{"{Key.FORMAT}":{FORMAT},"{Key.DIGEST}":"{plan.digest}","{Key.PLAN}":{stored}}}'


def _is_past(step: Step, record: StepRecord | None) -> bool:
    """Whether a step must not be sent any more: it is settled, or it is an open save."""
    if record is None:
        return False
    is_open = record.status is Status.UNKNOWN
    return record.settled or (is_open and not step.repeatable)
