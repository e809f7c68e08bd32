"""What a listing showed a while ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

#: Seconds by which a fault may make a listing lag.
LONGEST_LAG = 60.0


class Past:
    """Remembers how images were listed before they changed, for as long as a listing can lag.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: Newest last: when something changed, which image, and how it was listed before (None: not
        #: at all).
        self._changes: deque[tuple[float, str, bytes | None]] = deque()

    def note(self, now: float, key: str, listed: bytes | None) -> None:
        """Note that an image is about to change, and how it is listed until then."""
        while self._changes and self._changes[0][0] < now - self._seconds:
            self._changes.popleft()
        self._changes.append((now, key, listed))

    def seen_from(self, moment: float, listed: Mapping[str, bytes]) -> list[bytes]:
        """The images as they were listed at a moment, out of how they are listed now."""
        then: dict[str, bytes | None] = dict(listed)
        for when, key, before in reversed(self._changes):
            if when <= moment:
                break
            then[key] = before
        return [image for image in then.values() if image is not None]

    def clear(self) -> None:
        """Forget everything."""
        self._changes.clear()
