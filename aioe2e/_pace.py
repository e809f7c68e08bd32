"""How many requests a second: the user's own bound, and the one that the server's throttling teaches.

Fewer requests in flight alone cannot keep a rate: with a fast server even one at a time may be too many. Between
two throttled moments a server has let through exactly what its rate allows, pause included. That rate, less a
little, becomes the pace; after a clean while it grows, faster and faster, until the next throttle corrects it.
"""

from __future__ import annotations

#: A throttled period that is longer than this many seconds beyond its pause says nothing about the rate.
_LONGEST_PERIOD = 15.0
#: Nor does one with fewer successes than this.
_FEWEST = 20
#: The learned pace is this part of the rate that was measured.
_CAUTION = 0.97
#: Seconds without a throttle until the pace grows, and the first growth (doubled with each further one).
_CLEAN = 5.0
_GROWTH = 0.04
#: Where the next growth would be larger than this, the server's rate is no longer what holds the session back.
_MOST_GROWTH = 10.0
#: Requests may go this many seconds early, so that late timers do not slow the pace.
_SLACK = 0.02


class Pace:
    """When the next request may start, in loop time."""

    __slots__ = (
        "_bound",
        "_grown_at",
        "_growth",
        "_learned",
        "_next",
        "_pause",
        "_since",
        "_successes",
        "active",
    )

    def __init__(self, per_second: float | None) -> None:
        self._bound = per_second
        self._learned: float | None = None
        self._next = 0.0
        self._since: float | None = None
        self._pause = 0.0
        self._successes = 0
        self._growth = _GROWTH
        self._grown_at = 0.0
        self.active = per_second is not None

    @property
    def rate(self) -> float | None:
        """Requests a second, or None when nothing is paced."""
        rates = [rate for rate in (self._bound, self._learned) if rate is not None]
        return min(rates) if rates else None

    def ready_at(self) -> float:
        """When the next request may start; a moment in the past means now."""
        return self._next

    def start(self, now: float) -> None:
        """A request starts now."""
        if self._learned is not None and now - self._grown_at >= _CLEAN:
            self._grow(now)
        if (rate := self.rate) is not None:
            self._next = max(self._next, now - _SLACK) + 1 / rate

    def _grow(self, now: float) -> None:
        if self._learned is None or self._growth > _MOST_GROWTH:
            self._learned = None
            self.active = self._bound is not None
            return
        self._learned *= 1 + self._growth
        self._growth *= 2
        self._grown_at = now

    def succeeded(self) -> None:
        """A request was let through."""
        self._successes += 1

    def throttled(self, now: float, pause: float) -> None:
        """The server throttled, for the first time since the latest pause; the next one lasts `pause` seconds."""
        if self._since is not None:
            period = now - self._since
            if self._successes >= _FEWEST and period <= self._pause + _LONGEST_PERIOD:
                self._learned = _CAUTION * self._successes / period
                self.active = True
            elif self._learned is not None:
                self._learned *= _CAUTION
        self._since = now
        self._pause = pause
        self._successes = 0
        self._growth = _GROWTH
        self._grown_at = now + pause
