"""No more than so many requests within any hour."""

from __future__ import annotations

from collections import deque

_HOUR = 3600.0


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
