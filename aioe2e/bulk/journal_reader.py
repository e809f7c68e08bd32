"""Reads the lines of a journal: what they add up to, over one run or several."""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from aioe2e._check import is_number, path_text, quoted
from aioe2e.errors import UsageError
from aioe2e.models import SaveAction

from .step import Status, StepRecord

__all__ = ["FORMAT", "Key", "content_of", "parsed", "read", "why"]

#: The version of the lines, in the header.
FORMAT: Final = 1


class Key(enum.StrEnum):
    """The keys of the lines. The first one of a line says of what kind it is."""

    # The header.
    FORMAT = "aioe2e"
    DIGEST = "digest"
    PLAN = "plan"
    # Between two runs.
    RUN = "run"
    # A write is about to go out: the index of its step, which half of it, and when.
    SENT = "sent"
    HALF = "half"
    AT = "at"
    # The first half of a step is done: its index.
    HALF_DONE = "half_done"
    # A step ended: its index, and how.
    ENDED = "ended"
    STATUS = "status"
    HALFWAY = "halfway"
    PASSING = "passing"
    REFUSED = "refused"
    ERROR = "error"
    HTTP = "http"
    ATTEMPTS = "attempts"
    ELAPSED = "elapsed"
    # What the server said to a save that is done.
    SAVE = "save"


_BY_WORD: Final = {status.value: status for status in Status}


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[int, StepRecord]]:
    """The stored plan of a journal, and the records of its steps by index.

    A step without a record was never sent.

    Raises:
        UsageError: The file cannot be read, is no journal, or is damaged before its last line.
    """
    text = path_text("journal", path)
    whole, torn = content_of(text)
    if not whole:
        what = (
            "ends within its header: no step was sent, so run the plan anew" if torn else "is empty"
        )
        raise UsageError(f"the journal {quoted(text)} {what}")
    header, records, _ = parsed(text, whole)
    return header[Key.PLAN], records


def content_of(path: str) -> tuple[bytes, bytes]:
    """The whole lines of a file, and what stands behind the last of them.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        file = Path(path)
        # Reading a pipe or a device may never end.
        if file.exists() and not file.is_file():
            raise UsageError(f"{quoted(path)} is no journal: it is no regular file")
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        problem = f"the journal {quoted(path)} cannot be read: {why(error)}"
    else:
        end = data.rfind(b"\n") + 1
        return data[:end], data[end:]
    raise UsageError(problem)


def why(error: Exception) -> object:
    """What an error of the operating system says, without its number."""
    return getattr(error, "strerror", None) or error


def parsed(path: str, whole: bytes) -> tuple[dict[str, Any], dict[int, StepRecord], frozenset[int]]:
    """The header, the records of the steps by index, and the indices that the plan has.

    Raises:
        UsageError: It is no journal, one of another version, or damaged.
    """
    lines = whole[:-1].split(b"\n")
    header = _object(lines[0])
    if header is None or Key.FORMAT not in header:
        raise UsageError(f"{quoted(path)} is no journal that this version can read")
    if header[Key.FORMAT] != FORMAT:
        raise UsageError(
            f"{quoted(path)} is no journal that this version can read: it has format"
            f" {quoted(header[Key.FORMAT])}, and format {FORMAT} is needed"
        )
    indices = _indices(header)
    if indices is None:
        raise UsageError(f"the journal {quoted(path)} is damaged in line 1")
    reader = _Reader(indices)
    for number, line in enumerate(lines[1:], 2):
        found = _object(line)
        if found is None or not reader.take(found):
            text = quoted(line.decode(errors="replace"))
            raise UsageError(f"the journal {quoted(path)} is damaged in line {number}: {text}")
    return header, reader.records, indices


def _indices(header: Mapping[str, Any]) -> frozenset[int] | None:
    """The indices of the steps in a header; None when it is damaged."""
    try:
        plan = header[Key.PLAN]
        found = frozenset(
            step["index"] for key in ("steps", "unknown") for step in plan[key] if step["action"]
        )
    except (KeyError, TypeError):
        return None
    return found if isinstance(header.get(Key.DIGEST), str) else None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


class _Reader:
    """Adds up the lines of one or more runs.

    What an earlier run left open stays open until a later one settles it: a step that was sent, and
    in the next run was skipped, may still have been applied.
    """

    def __init__(self, indices: frozenset[int]) -> None:
        self._indices = indices
        self.records: dict[int, StepRecord] = {}
        #: What stood there when the current run began.
        self._before: dict[int, StepRecord] = {}

    def take(self, line: Mapping[str, Any]) -> bool:
        """Take in a line; False when it makes no sense."""
        kind = next(iter(line), "")
        if kind == Key.RUN:
            self._before = dict(self.records)
            return True
        index = line.get(kind)
        if not isinstance(index, int) or index not in self._indices:
            return False
        record = self._record(kind, line, index)
        if record is None:
            return False
        self.records[index] = record
        return True

    def _record(self, kind: str, line: Mapping[str, Any], index: int) -> StepRecord | None:
        known = self.records.get(index, _NOTHING)
        if kind == Key.SENT:
            at = line.get(Key.AT)
            second = line.get(Key.HALF) == 2
            return StepRecord(
                Status.UNKNOWN,
                halfway=known.halfway or second,
                sent_at=at if isinstance(at, int | float) else None,
                attempts=max(known.attempts, self._before_of(index).attempts + 1),
            )
        if kind == Key.HALF_DONE:
            # The second request has not gone out yet, so it was not applied.
            return StepRecord(Status.FAILED, passing=True, halfway=True, attempts=known.attempts)
        status = _BY_WORD.get(str(line.get(Key.STATUS)))
        if kind == Key.ENDED and status is not None:
            return self._ended(index, status, line, known)
        return None

    def _ended(
        self, index: int, status: Status, line: Mapping[str, Any], known: StepRecord
    ) -> StepRecord:
        before = self._before_of(index)
        ended = StepRecord(
            status,
            passing=line.get(Key.PASSING) is True,
            attempts=before.attempts + _number(line, Key.ATTEMPTS, 0),
            elapsed=before.elapsed + _number(line, Key.ELAPSED, 0.0),
            error=_text(line, Key.ERROR),
            http=_number(line, Key.HTTP, None),
            save=_save(line.get(Key.SAVE)),
            sent_at=known.sent_at,
        )
        if ended.settled:
            return ended
        ended = ended._replace(
            halfway=known.halfway or line.get(Key.HALFWAY) is True,
            refused=before.status is Status.UNKNOWN and line.get(Key.REFUSED) is True,
        )
        if before.stays_open(ended):
            return before._replace(
                refused=ended.refused, attempts=ended.attempts, elapsed=ended.elapsed
            )
        return ended

    def _before_of(self, index: int) -> StepRecord:
        return self._before.get(index, _NOTHING)


def _number(line: Mapping[str, Any], key: Key, default: Any) -> Any:
    """The number under a key; the default where there is none."""
    value = line.get(key)
    return value if is_number(value) else default


def _text(line: Mapping[str, Any], key: Key) -> str | None:
    value = line.get(key)
    return value if isinstance(value, str) else None


def _save(stored: object) -> SaveAction | None:
    """What the server said to a save; None where that is not there, or damaged."""
    if not isinstance(stored, Mapping):
        return None
    try:
        return SaveAction.from_dict(cast("Mapping[str, Any]", stored))
    except UsageError:
        return None


#: What is known of a step before its first line.
_NOTHING: Final = StepRecord(Status.SKIPPED)
