"""The rate limit of the emulated API."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from aioe2e.testing import _checks as checks


class Throttle:
    """A token bucket that says truthfully, in whole seconds, when to come back.

    Args:
        per_second: Requests that are let in per second.
        burst: Requests that are let in at once after a quiet time; by default one second's worth.
        grace: A request that arrives so many seconds after a 429 may have been on its way already;
            it is not counted as one that ignored it.
        clock: The time in seconds.
    """

    def __init__(
        self,
        per_second: float,
        *,
        burst: float | None = None,
        grace: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not checks.is_number(per_second) or per_second <= 0:
            checks.refuse(
                "requests_per_second", "a number above 0, or None for no limit", per_second
            )
        self._rate = float(per_second)
        self._size = max(1.0, self._rate if burst is None else float(burst))
        self._tokens = self._size
        self._clock = clock
        self._last = clock()
        self._grace = grace
        #: When the first and the latest 429 of the current window were sent, and when the window
        #: ends.
        self._told = -math.inf
        self._until = -math.inf
        self.refused = 0
        self.ignored = 0

    def admit(self) -> int | None:
        """Let one request in, or say after how many seconds it may come back."""
        now = self._clock()
        self._tokens = min(self._size, self._tokens + (now - self._last) * self._rate)
        self._last = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        self.refused += 1
        return max(1, math.ceil((1 - self._tokens) / self._rate))

    def told(self, seconds: float) -> None:
        """Note that a 429 with this Retry-After goes out now."""
        now = self._clock()
        if now >= self._until:
            self._told = now
        self._until = max(self._until, now + seconds)

    def since_told(self) -> float | None:
        """Seconds since the first 429 of a window that is still open; None outside of one."""
        now = self._clock()
        if now >= self._until:
            return None
        since = now - self._told
        if since > self._grace:
            self.ignored += 1
        return since
