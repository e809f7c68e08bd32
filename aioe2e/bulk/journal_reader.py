"""Reads the lines of a journal: what they add up to, over one run or several."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import attrs

from aioe2e._check import quoted
from aioe2e.errors import UsageError

from .step import Status, StepFate

__all__ = ["FORMAT", "parsed"]

#: The version of the lines, in the header.
FORMAT: Final = 1

_BY_WORD: Final = {status.value: status for status in Status}


def parsed(path: str, whole: bytes) -> tuple[dict[str, Any], dict[int, StepFate], frozenset[int]]:
    """Header, what became of each step, and the indices that the plan has."""
    lines = whole[:-1].split(b"\n")
    header = _object(lines[0])
    if header is None or header.get("aioe2e") != FORMAT:
        raise UsageError(f"{quoted(path)} is no journal that this version can read")
    indices = _indices(header)
    if indices is None:
        raise UsageError(f"the journal {quoted(path)} is damaged in line 1")
    reader = _Reader(indices)
    for number, line in enumerate(lines[1:], 2):
        record = _object(line)
        if record is None or not reader.take(record):
            raise UsageError(
                f"the journal {quoted(path)} is damaged in line {number}: {quoted(line.decode(errors='replace'))}"
            )
    return header, reader.fates, indices


def _indices(header: Mapping[str, Any]) -> frozenset[int] | None:
    """The indices of the steps in a header; None when it is damaged."""
    try:
        plan = header["plan"]
        found = frozenset(
            step["index"] for key in ("steps", "unknown") for step in plan[key] if step["action"]
        )
    except (KeyError, TypeError):
        return None
    return found if isinstance(header.get("digest"), str) else None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
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
        self.fates: dict[int, StepFate] = {}
        #: What stood there when the current run began.
        self._before: dict[int, StepFate] = {}

    def take(self, line: Mapping[str, Any]) -> bool:
        """Take in a line; False when it makes no sense."""
        kind = next(iter(line), "")
        if kind == "run":
            self._before = dict(self.fates)
            return True
        index = line.get(kind)
        if not isinstance(index, int) or index not in self._indices:
            return False
        known = self.fates.get(index, _NOTHING)
        if kind == "sent":
            at = line.get("at")
            fate = StepFate(
                Status.UNKNOWN,
                halfway=known.halfway or line.get("half") == 2,
                sent_at=at if isinstance(at, int | float) else None,
            )
        elif kind == "half_done":
            # The second request has not gone out yet, so it surely was not applied.
            fate = StepFate(Status.FAILED, passing=True, halfway=True)
        elif kind == "ended" and _BY_WORD.get(str(line.get("status"))) is not None:
            fate = self._ended(index, line, known)
        else:
            return False
        self.fates[index] = fate
        return True

    def _ended(self, index: int, line: Mapping[str, Any], known: StepFate) -> StepFate:
        ended = StepFate(_BY_WORD[line["status"]], line.get("passing") is True)
        if ended.settled:
            return ended
        halfway = known.halfway or line.get("halfway") is True
        before = self._before.get(index, _NOTHING)
        still_open = before.status is Status.UNKNOWN and before.halfway == halfway
        refused = line.get("refused") is True and before.status is Status.UNKNOWN
        if still_open and (ended.status is Status.SKIPPED or ended.passing):
            return attrs.evolve(before, refused=refused)
        return attrs.evolve(ended, halfway=halfway, sent_at=known.sent_at, refused=refused)


#: What is known of a step before its first line.
_NOTHING: Final = StepFate(Status.SKIPPED)
