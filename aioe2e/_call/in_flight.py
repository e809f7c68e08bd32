"""The requests of a session that are on their way, and the one alarm that ends those that are late.

Hardly any request ever needs it, and a timer for each would be a tenth of what a call costs.
"""

from __future__ import annotations

import asyncio
import weakref

from aioe2e._http.transport import Flight


class RequestsInFlight:
    """Ends each request at its loop time, and all of them when the session is closed."""

    def __init__(self) -> None:
        self._flights: set[Flight] = set()
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self, end: float | None, *, in_company: bool) -> Flight:
        """A request is about to be sent; it is cut off at the loop time `end`."""
        flight = Flight(end, in_company=in_company)
        self._flights.add(flight)
        if end is not None and (self._alarm is None or end < self._alarm.when()):
            self._set_alarm(end)
        return flight

    def end(self, flight: Flight) -> None:
        """The request is over."""
        self._flights.discard(flight)

    def _set_alarm(self, moment: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        # The loop must not keep a session alive that nobody else wants.
        self._alarm = asyncio.get_running_loop().call_at(
            moment, _ring, weakref.ref[RequestsInFlight](self)
        )

    def cut_off(self) -> None:
        """Cut off the requests whose time is over."""
        self._alarm = None
        now = asyncio.get_running_loop().time()
        ends = [
            flight.end for flight in self._flights if flight.end is not None and flight.end > now
        ]
        for flight in self._flights:
            if flight.end is not None and flight.end <= now:
                flight.cut_off()
        if ends:
            self._set_alarm(min(ends))

    def cut_off_all(self) -> None:
        """Cut off all requests: the session is closed."""
        for flight in self._flights:
            flight.cut_off()
        if self._alarm is not None:
            self._alarm.cancel()


def _ring(requests: weakref.ref[RequestsInFlight]) -> None:
    if (found := requests()) is not None:
        found.cut_off()
