"""The requests of a session that are on their way, and the one alarm that ends those that are late.

Hardly any request ever needs it, and a timer for each would be a tenth of what a call costs.
"""

from __future__ import annotations

import asyncio
import weakref

from aioe2e._http import InFlight


class RequestsInFlight:
    """Ends each request at its loop time, and all of them when the session is closed."""

    def __init__(self) -> None:
        self._requests: set[InFlight] = set()
        self._alarm: asyncio.TimerHandle | None = None
        #: When it rings, in loop time. uvloop's handle of a moment in the past does not tell.
        self._rings_at = 0.0

    def begin(self, end: float | None, *, deadline: float | None, shares_loop: bool) -> InFlight:
        """A request is about to be sent; it is aborted at the loop time `end`.

        While it waits for a free connection of a borrowed pool, it has until the `deadline`.
        """
        request = InFlight(end, deadline=deadline, shares_loop=shares_loop)
        self._requests.add(request)
        if end is not None and (self._alarm is None or end < self._rings_at):
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
        self._alarm = None
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
