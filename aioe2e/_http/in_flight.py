"""The requests that are on their way, and the one alarm that ends those that are late.

Hardly any request ever needs it, and a timer for each would be a tenth of what a call costs.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from typing import Any


class InFlight:
    """One request on its way.

    Args:
        end: Loop time at which the attempt is over; None for no limit.
        deadline: Loop time at which the call is over, not before `end`; None for no limit.
        shares_loop: Whether other requests of the session are on their way.
    """

    __slots__ = ("_deadline", "_end", "_left", "aborted", "sent", "shares_loop", "task")

    def __init__(
        self, end: float | None, *, deadline: float | None = None, shares_loop: bool
    ) -> None:
        self._end: float | None = end
        self._deadline: float | None = deadline
        #: Seconds that are left of the attempt while it waits in the line of a pool.
        self._left: float | None = None
        self.shares_loop: bool = shares_loop
        #: The task that sends it; None before that and once it is over. Set by `Transport.send`.
        self.task: asyncio.Task[Any] | None = None
        #: Whether a connection took the request: from then on the server may act on it. Set by the
        #: one write.
        self.sent: bool = False
        #: Whether the attempt was ended by `abort`.
        self.aborted: bool = False

    def due(self, now: float) -> float | None:
        """The earliest loop time at which it may have to be aborted; None for no limit."""
        if self._left is None:
            return self._end
        return _earlier(now + self._left, self._deadline)

    def stop_clock(self, now: float) -> None:
        """The request stands in the line of a pool: until it is let in, only the call's time runs.

        A pool that others use, too, says nothing about the server.
        """
        if self._end is not None:
            self._left = max(0.0, self._end - now)

    def start_clock(self, now: float) -> None:
        """The request was let in: the attempt's time runs on."""
        self._end, self._left = self.due(now), None

    def abort(self) -> None:
        """End the attempt, wherever it is."""
        # Not at once: the caller may be this very attempt, out of a hook of the user's.
        asyncio.get_running_loop().call_soon(self._abort)

    def _abort(self) -> None:
        if self.task is None or self.aborted:  # the attempt is over, or about to be
            return
        self.aborted = True
        self.task.cancel()


def _earlier(moment: float, deadline: float | None) -> float:
    return moment if deadline is None else min(moment, deadline)


class RequestsInFlight:
    """Ends each request of a session at its loop time, and all when the session is closed."""

    def __init__(self) -> None:
        self._requests: set[InFlight] = set()
        self._alarm: asyncio.TimerHandle | None = None
        #: When it rings, in loop time. uvloop's handle of a moment in the past does not tell.
        self._rings_at = math.inf

    def begin(self, end: float | None, *, deadline: float | None, shares_loop: bool) -> InFlight:
        """A request is about to be sent; it is aborted at the loop time `end`.

        While it waits for a free connection of a borrowed pool, it has until the `deadline`.
        """
        request = InFlight(end, deadline=deadline, shares_loop=shares_loop)
        self._requests.add(request)
        if end is not None and end < self._rings_at:
            self._set_alarm(end)
        return request

    def end(self, request: InFlight) -> None:
        """The request is over."""
        self._requests.discard(request)

    def _set_alarm(self, moment: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = moment
        # The loop must not keep alive a session that is not used any more.
        self._alarm = asyncio.get_running_loop().call_at(
            moment, _ring, weakref.ref[RequestsInFlight](self)
        )

    def abort_late(self) -> None:
        """Abort the requests whose time is over."""
        self._alarm, self._rings_at = None, math.inf
        now = asyncio.get_running_loop().time()
        later: list[float] = []
        for request in self._requests:
            due = request.due(now)
            if due is None:
                continue
            if due <= now:
                request.abort()
            else:
                later.append(due)
        if later:
            self._set_alarm(min(later))

    def abort_all(self) -> None:
        """Abort all requests: the session is closed."""
        for request in self._requests:
            request.abort()
        if self._alarm is not None:
            self._alarm.cancel()


def _ring(requests: weakref.ref[RequestsInFlight]) -> None:
    if (found := requests()) is not None:
        found.abort_late()
