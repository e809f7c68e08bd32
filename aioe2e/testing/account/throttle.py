"""The rate limits of the emulated API."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from aioe2e.testing import _checks as checks

_HOUR = 3600.0


class Budget(NamedTuple):
    """What the headers of a reply say about a rate limit."""

    limit: int
    remaining: int
    #: Seconds until all of the limit is there again.
    reset: float


class _Bucket:
    """A bucket of tokens, refilled at a steady rate up to its size."""

    def __init__(self, size: float, rate: float, now: float) -> None:
        self._size = max(1.0, size)
        self._rate = rate
        self._tokens = self._size
        self._last = now

    def fill(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + (now - self._last) * self._rate)
        self._last = now

    def take(self) -> None:
        self._tokens -= 1

    @property
    def wait(self) -> float:
        """Seconds until a token is there."""
        return max(0.0, (1 - self._tokens) / self._rate)

    @property
    def budget(self) -> Budget:
        reset = (self._size - self._tokens) / self._rate
        return Budget(int(self._size), int(self._tokens), reset)


class Throttle:
    """Lets a limited number of requests in, and says in whole seconds when to come back.

    Args:
        per_second: Requests that are let in per second; None for no such limit.
        per_hour: Requests that are let in per hour; None for no such limit.
        burst: Requests that are let in at once after a quiet time; by default one second's worth,
            or one hour's where there is only a limit per hour.
        grace: Seconds after a 429 within which a request may have been on its way already. It does
            not count as one that ignored the 429, unless it comes on the connection on which that
            was read.
        clock: The time in seconds.
    """

    def __init__(
        self,
        per_second: float | None = None,
        *,
        per_hour: float | None = None,
        burst: float | None = None,
        grace: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_rate("requests_per_second", per_second)
        _check_rate("requests_per_hour", per_hour)
        now = clock()
        self._buckets: list[_Bucket] = []
        if per_hour is not None:
            size = per_hour
            if burst is not None and per_second is None:
                size = burst
            self._buckets.append(_Bucket(size, per_hour / _HOUR, now))
        if per_second is not None:
            self._buckets.append(_Bucket(burst or per_second, float(per_second), now))
        self._clock = clock
        self._grace = grace
        #: When the first 429 of the current window was sent, and when the window ends.
        self._first = -math.inf
        self._until = -math.inf
        #: The connections on which a 429 of the current window was sent.
        self._noted: set[int] = set()
        #: Requests that were refused.
        self.refused: int = 0
        #: Requests that came although a 429 had said to wait.
        self.ignored: int = 0

    def admit(self) -> int | None:
        """Let one request in, or say after how many seconds it may come back."""
        now = self._clock()
        for bucket in self._buckets:
            bucket.fill(now)
        wait = max((bucket.wait for bucket in self._buckets), default=0.0)
        if wait <= 0:
            for bucket in self._buckets:
                bucket.take()
            return None
        self.refused += 1
        return max(1, math.ceil(wait))

    def budget(self) -> Budget | None:
        """What is left of the limit per hour, or else per second; None without a limit."""
        return next((bucket.budget for bucket in self._buckets), None)

    def note_retry_after(self, seconds: float, connection: int | None = None) -> None:
        """Note that a 429 with this Retry-After goes out now, on this connection."""
        now = self._clock()
        if now >= self._until:
            self._first = now
            self._noted.clear()
        self._until = max(self._until, now + seconds)
        if connection is not None:
            self._noted.add(connection)

    def since_retry_after(self, connection: int | None = None) -> float | None:
        """Seconds since the first 429 of a window that is still open; None outside of one.

        A client that sends its next request on the connection of a 429 has read it.
        """
        now = self._clock()
        if now >= self._until:
            return None
        since = now - self._first
        if since > self._grace or connection in self._noted:
            self.ignored += 1
        return since


def _check_rate(name: str, rate: object) -> None:
    if rate is not None and not checks.is_positive(rate):
        checks.refuse(name, "a number above 0, or None for no limit", rate)
