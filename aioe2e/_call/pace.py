"""How many requests a second and an hour: the user's bounds, and the pace that throttling teaches.

Fewer requests in flight alone cannot keep a rate: with a fast server even one at a time may be too
many. Between two throttled moments a server has let through at least what its rate allows with the
pause counted in (`floor`: right for a server that saves up while it is left alone), and at the most
what it allows with the pause left out (`ceiling`: right for one that does not). The pace begins at
the floor, or at a pace that was seen to last, and goes up to the ceiling in ever smaller steps.
There it stays, and now and then tries whether the server bears more.
"""

from __future__ import annotations

import math
from collections import deque

#: A throttled period that is longer than this many seconds beyond its pause says nothing about the
#: rate.
_LONGEST_PERIOD = 15.0
#: Nor does one with fewer successes than this.
_FEWEST = 20
#: A pace is this part of the rate that was measured.
_CAUTION = 0.97
#: The first pace is not below this part of the ceiling, and one that lasted once is not lowered
#: further than this.
_LEAST = 1 / 3
_BACK = 0.8
#: Seconds without a throttle after which a pace is one that lasts, and goes this part of the way up
#: to the ceiling.
_STEP = 1.0
_PART = 0.4
#: Seconds at the ceiling before more is tried: doubled each time that it proves to be too much.
_HOLD = 5.0
_LONGEST_HOLD = 30.0
#: The first growth above the ceiling, doubled with each further one; beyond the most, nothing is
#: paced any more.
_GROWTH = 0.04
_MOST_GROWTH = 10.0
#: Requests may go this many seconds early, so that late timers do not slow the pace.
_SLACK = 0.02
_HOUR = 3600.0


class Pace:
    """When the next request may start, in loop time."""

    __slots__ = (
        "_bound",
        "_ceiling",
        "_growth",
        "_hold",
        "_lasting",
        "_learned",
        "_next",
        "_resumed",
        "_since",
        "_successes",
        "_turn",
        "active",
    )

    def __init__(self, per_second: float | None) -> None:
        self._bound = per_second
        #: The pace that throttling taught, the highest that may be borne, and the highest that was
        #: seen to last.
        self._learned: float | None = None
        self._ceiling = math.inf
        self._lasting = 0.0
        #: When the latest throttled period began, with its pause and without, and what was let
        #: through in it.
        self._since: float | None = None
        self._resumed = 0.0
        self._successes = 0
        #: When the learned pace is due to change, how long it then stays at the ceiling, how far it
        #: goes above.
        self._turn = math.inf
        self._hold = _HOLD
        self._growth = _GROWTH
        self._next = 0.0
        #: Whether anything holds requests back.
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
        if self._learned is not None and now >= self._turn:
            self._grow(self._learned, now)
        if (rate := self.rate) is not None:
            self._next = max(self._next, now - _SLACK) + 1 / rate

    def _grow(self, learned: float, now: float) -> None:
        """The pace lasted: go on towards the ceiling, stay there for a while, then try for more."""
        self._lasting = learned
        top = _CAUTION * self._ceiling
        if learned < top:
            learned += _PART * (self._ceiling - learned)
            self._learned = min(learned, top + 0.001)
            self._turn = now + (_STEP if learned < top else self._hold)
        elif self._growth > _MOST_GROWTH:
            # The server's rate is no longer what holds the session back.
            self._learned = None
            self.active = self._bound is not None
        else:
            self._ceiling = self._learned = learned * (1 + self._growth)
            self._growth *= 2
            self._turn = now + _STEP

    def succeeded(self) -> None:
        """A request was let through."""
        self._successes += 1

    def throttled(self, now: float, pause: float) -> None:
        """The server throttled, for the first time since the latest pause.

        Args:
            now: Loop time.
            pause: Seconds that the next pause lasts.
        """
        if self._since is not None:
            period, busy = now - self._since, max(now - self._resumed, 0.001)
            if self._successes >= _FEWEST and busy <= _LONGEST_PERIOD:
                self._learn(self._successes / period, self._successes / busy)
            elif self._learned is not None:
                self._learned *= _CAUTION
                self._lasting = min(self._lasting, self._learned)
        self._since = now
        self._resumed = now + pause
        self._successes = 0
        climbing = self._learned is None or self._learned < _CAUTION * self._ceiling
        self._turn = self._resumed + (_STEP if climbing else self._hold)

    def _learn(self, floor: float, ceiling: float) -> None:
        """Find the pace between what the server is known to bear and what it does not.

        Args:
            floor: Requests let through in a second, the pause counted in.
            ceiling: The same with the pause left out; what the pace was, if there was one, is a
                better ceiling.
        """
        if self._growth > _GROWTH:
            self._hold = min(2 * self._hold, _LONGEST_HOLD)
        self._growth = _GROWTH
        least = _LEAST * ceiling
        if (pace := self._learned) is not None:
            ceiling = pace
            least = 0.0
            if pace <= self._lasting:  # it lasted before, so it cannot be far too much
                self._lasting = 0.0
                least = _BACK * pace
        self._ceiling = max(ceiling, floor)
        self._learned = max(_CAUTION * floor, min(self._lasting, _CAUTION * ceiling), least)
        self.active = True


class HourlyBudget:
    """When the next request may start, in loop time.

    It remembers the start of each request of the past hour, so that the bound holds for every hour,
    whenever it begins, and a short job never waits.

    Args:
        most: Requests within any hour; 1 or more.
    """

    __slots__ = ("_most", "_starts")

    def __init__(self, most: int) -> None:
        self._most = most
        self._starts: deque[float] = deque()

    def ready_at(self) -> float:
        """When the next request may start; a moment in the past means now."""
        if len(self._starts) < self._most:
            return 0.0
        return self._starts[0] + _HOUR

    def start(self, now: float) -> None:
        """A request starts now."""
        self._starts.append(now)
        if len(self._starts) > self._most:
            self._starts.popleft()
