"""What a listing showed some time ago."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from .places import Place
from .records import Record

#: Seconds by which a fault may make a listing lag.
LONGEST_LAG = 60.0

#: How an image was listed before it changed. None is for one that was not listed, a record for one
#: that is gone; else these are the old values of the fields that changed.
Before: TypeAlias = tuple[tuple[str, Any], ...] | Record | None


class _Change(NamedTuple):
    """When something changed, which image, where, and how it was listed before."""

    when: float
    key: str
    place: Place
    before: Before


class Past:
    """Remembers how images were listed before they changed, for as long as a listing can lag.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: Newest last.
        self._changes: deque[_Change] = deque()

    def note(self, now: float, key: str, place: Place, before: Before) -> None:
        """Note how an image is listed before it changes."""
        while self._changes and self._changes[0].when < now - self._seconds:
            self._changes.popleft()
        self._changes.append(_Change(now, key, place, before))

    def seen_from(
        self, moment: float, place: Place, listed: Mapping[str, Record]
    ) -> Iterator[bytes]:
        """The images of a place as listed at a moment, as JSON, out of those listed now."""
        then: dict[str, Mapping[str, Any] | None] = dict(listed)
        for change in reversed(self._changes):
            if change.when <= moment:
                break
            if change.place == place:
                then[change.key] = _undone(then.get(change.key), change.before)
        for image in then.values():
            if isinstance(image, Record):
                yield image.wire
            elif image is not None:
                yield json.dumps(image).encode()


def _undone(image: Mapping[str, Any] | None, before: Before) -> Mapping[str, Any] | None:
    if before is None or isinstance(before, Record):
        return before
    # An image that the test has removed meanwhile is not listed, even if the listing lags.
    return None if image is None else {**image, **dict(before)}
