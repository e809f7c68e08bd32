"""What a run has sent and what became of it, on disk, so that a crash loses no truth.

A journal is a file of JSON lines. The first one is the header with the whole plan; then come, for
each step, a line right before a write goes out and one when the step ended; a line ``run`` stands
between two runs. Each line is handed to the operating system at once, so it outlives the process,
though not a power cut. It holds ids, names and words of this library: no texts of a server and no
secrets. A last line without its end was being written when the process died: what it announced had
not been done yet, so it is ignored, and cut off before the file is written to again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, Self

from aioe2e._actions import ROWS, Repeat
from aioe2e._check import quoted
from aioe2e.errors import SkippedError, UsageError

from .journal_reader import FORMAT, parsed
from .step import Status, StepFate

if sys.platform != "win32":
    import fcntl

__all__ = ["Journal", "Planned", "read"]

#: Whoever may read the names of the images is the user's choice, so nobody else may at first.
MODE: Final = 0o600

_log = logging.getLogger("aioe2e")


class Planned(Protocol):
    """What a journal has to know of a plan."""

    @property
    def digest(self) -> str: ...
    @property
    def resumed(self) -> bool: ...
    def to_dict(self) -> dict[str, Any]: ...


class Journal:
    """Writes the journal of one run. While it is open, no other run can open the same file."""

    def __init__(self, descriptor: int, path: str, size: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._size = size
        self._complained = False

    @classmethod
    def open(cls, path: str | os.PathLike[str], plan: Planned) -> Self:
        """Begin the journal of a plan, or go on with it when the plan is what `Plan.resume` made of
        it.

        Raises:
            UsageError: The file cannot be written, is that of another plan, is being written by
                another run, or knows more of the plan's steps than the plan does.
        """
        text = _text(path)
        descriptor = _opened(text)
        try:
            _lock(descriptor, text)
            whole, torn = _content(text)
            lines = _begin(text, whole, torn, plan)
            os.ftruncate(descriptor, len(whole))
            journal = cls(descriptor, text, len(whole))
            journal._write(lines)
        except OSError as error:
            problem = f"the journal {quoted(text)} cannot be written: {error.strerror or error}"
        except BaseException:
            os.close(descriptor)
            raise
        else:
            return journal
        os.close(descriptor)
        raise UsageError(problem)

    def sent(self, index: int, half: int = 1) -> None:
        """Note that a write is about to go out.

        Args:
            index: The step.
            half: 2 for the second request of a step with a `via`, which also says that the first
                one is done.

        Raises:
            SkippedError: It cannot be noted: then the write must not go out.
        """
        try:
            half_of = "" if half == 1 else f',"half":{half}'
            self._write(f'{{"sent":{index}{half_of},"at":{time.time():.3f}}}\n')
        except OSError as error:
            problem = (
                f"the journal {quoted(self._path)} cannot be written: {error.strerror or error}"
            )
        else:
            return
        raise SkippedError(problem)

    def half_done(self, index: int) -> None:
        """Note that a step with a `via` has made its first request: the image carries the temporary
        name."""
        self._note(f'{{"half_done":{index}}}\n')

    def ended(
        self,
        index: int,
        status: str,
        *,
        halfway: bool = False,
        passing: bool = False,
        refused: bool = False,
        error: str | None = None,
    ) -> None:
        """Note how a step ended.

        Args:
            index: The step.
            status: The value of its `Status`.
            halfway: Whether the image carries the step's temporary name.
            passing: Whether what ended it is a fault that passes.
            refused: Of an unknown one, whether the server's latest word was a refusal.
            error: The class of what ended it, for whoever reads the file; never its text.
        """
        line: dict[str, Any] = {"ended": index, "status": str(status)}
        if halfway:
            line["halfway"] = True
        if passing:
            line["passing"] = True
        if refused:
            line["refused"] = True
        if error is not None:
            line["error"] = error
        self._note(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Close the file; again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, line: str) -> None:
        """Write a line that may be missing: a later run then takes the step's fate for unknown."""
        try:
            self._write(line)
        except OSError as error:
            if not self._complained:
                _log.warning(
                    "the journal %s cannot be written: %s",
                    quoted(self._path),
                    error.strerror or error,
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
        """Cut off a line of which only a part was written, so that it does not spoil the next
        one."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            _log.warning(
                "the journal %s cannot be mended: %s", quoted(self._path), error.strerror or error
            )


def _text(path: str | os.PathLike[str]) -> str:
    """A path as text.

    Raises:
        UsageError: It is no path.
    """
    try:
        text: object = os.fspath(path)
    except TypeError:
        text = path
    if isinstance(text, str):
        return text
    raise UsageError(f"journal: a path is needed, not {quoted(text)}")


def _opened(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, MODE)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        problem = f"the journal {quoted(path)} cannot be opened: {getattr(error, 'strerror', None) or error}"
    raise UsageError(problem)


def _lock(descriptor: int, path: str) -> None:
    """Keep a second run off the file while it is open; where nothing can be locked, trust the
    user."""
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
            f"the journal {quoted(path)} is being written by another run; let it end, then Plan.resume it"
        )


def _content(path: str) -> tuple[bytes, bytes]:
    """The whole lines of a file, and what stands behind the last of them.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        if (
            Path(path).exists() and not Path(path).is_file()
        ):  # reading a pipe or a device may never end
            raise UsageError(f"{quoted(path)} is no journal: it is no regular file")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        problem = f"the journal {quoted(path)} cannot be read: {getattr(error, 'strerror', None) or error}"
    else:
        end = data.rfind(b"\n") + 1
        return data[:end], data[end:]
    raise UsageError(problem)


def _begin(path: str, whole: bytes, torn: bytes, plan: Planned) -> str:
    """The line that a run begins with: the header in a new file, a ``run`` in that of the same
    plan."""
    if not whole:
        first = {"aioe2e": FORMAT, "digest": plan.digest, "plan": plan.to_dict()}
        line = json.dumps(first, separators=(",", ":"))
        if not line.encode().startswith(torn):
            raise UsageError(f"{quoted(path)} is no journal: choose another path")
        return line + "\n"
    header, fates, indices = parsed(path, whole)
    if header["digest"] != plan.digest:
        raise UsageError(f"the journal {quoted(path)} is that of another plan: choose another path")
    if not plan.resumed and whole.count(b"\n") > 1:
        raise UsageError(
            f"the journal {quoted(path)} has lines of this plan already: go on with Plan.resume(path)"
        )
    for step in plan.to_dict()["steps"]:
        fate = fates.get(step["index"])
        if step["index"] not in indices or (fate is not None and _is_past(step, fate)):
            raise UsageError(
                f"the journal {quoted(path)} knows more of step {step['index']} than this plan does:"
                " go on with Plan.resume(path)"
            )
    return '{"run":"again"}\n'


def _is_past(step: Mapping[str, Any], fate: StepFate) -> bool:
    """Whether a step must not be sent (any more): an earlier run has settled it, or it is an open
    save."""
    once = ROWS[step["action"]].repeat is Repeat.ONCE
    return fate.settled or (once and fate.status is Status.UNKNOWN)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[int, StepFate]]:
    """The stored plan of a journal, and by index what became of its steps; a missing one was never
    sent.

    Raises:
        UsageError: The file cannot be read, is no journal, or is damaged before its last line.
    """
    text = _text(path)
    whole, torn = _content(text)
    if not whole:
        what = (
            "ends within its header: no step was sent, so run the plan anew" if torn else "is empty"
        )
        raise UsageError(f"the journal {quoted(text)} {what}")
    header, fates, _ = parsed(text, whole)
    return header["plan"], fates
