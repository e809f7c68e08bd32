"""What a listing showed a while ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from .places import Place

#: Seconds by which a fault may make a listing lag.
LONGEST_LAG = 60.0


class _Change(NamedTuple):
    """When something changed, which image, where, and how it was listed before (None: not)."""

    when: float
    key: str
    place: Place
    before: bytes | None


class Past:
    """Remembers how images were listed before they changed, for as long as a listing can lag.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: Newest last.
        self._changes: deque[_Change] = deque()

    def note(self, now: float, key: str, place: Place, listed: bytes | None) -> None:
        """Note that an image is about to change, and how it is listed until then."""
        while self._changes and self._changes[0].when < now - self._seconds:
            self._changes.popleft()
        self._changes.append(_Change(now, key, place, listed))

    def seen_from(self, moment: float, place: Place, listed: Mapping[str, bytes]) -> list[bytes]:
        """The images of a place as listed at a moment, out of how they are listed now."""
        then: dict[str, bytes | None] = dict(listed)
        for change in reversed(self._changes):
            if change.when <= moment:
                break
            if change.place == place:
                then[change.key] = change.before
        return [image for image in then.values() if image is not None]
