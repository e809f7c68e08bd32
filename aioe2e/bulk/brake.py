"""Holds a run back in an outage, so that it does not burn its whole list on a server that is
down."""

from __future__ import annotations

import asyncio
from typing import Final

from aioe2e._clock import Clock

__all__ = ["Brake"]

#: The first back-off lasts up to this many seconds, each later one up to twice the one before.
_BASE: Final = 0.5
#: No back-off is longer, in seconds.
_CAP: Final = 20.0


class Brake:
    """On after so many steps in a row met a fault that passes; off as soon as one is answered.

    While it is on, whoever wants to start a step waits for its `turn`: one step at a time, each
    after a back-off.

    Attributes:
        on: Whether steps are started one at a time.
        row: Steps in a row, up to now, that met a fault that passes.
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self.on = False
        self._limit = limit
        self._clock = clock
        self.row = 0
        self._round = 0
        self._lock = asyncio.Lock()
        self._sleep: asyncio.Timeout | None = None

    def answered(self) -> None:
        """A step was answered, with yes or with no: the server is there."""
        self.row = self._round = 0
        if self.on:
            self.on = False
            if self._sleep is not None:
                self._sleep.reschedule(asyncio.get_running_loop().time())
                self._sleep = None

    def faulted(self) -> None:
        """A step met a fault that passes."""
        self.row += 1
        if self.row >= self._limit:
            self.on = True

    async def turn(self) -> bool:
        """Wait until a step may be started.

        Returns:
            True if it must be the only one: `give_back` is owed then. False if the brake is off
            again.
        """
        await self._lock.acquire()
        alone = False
        try:
            if self.on:
                await self._back_off()
                alone = self.on
        finally:
            if not alone:
                self._lock.release()
        return alone

    def give_back(self) -> None:
        """The step that was started alone has ended."""
        self._lock.release()

    async def _back_off(self) -> None:
        longest = min(_CAP, _BASE * 2.0**self._round)
        self._round = min(self._round + 1, 16)
        self._sleep = scope = asyncio.timeout(None)
        try:
            async with scope:
                await self._clock.sleep(self._clock.uniform(longest / 2, longest))
        except TimeoutError:
            if (
                not scope.expired()
            ):  # then it was the clock's own; `answered` ends the sleep through the scope
                raise
        finally:
            if self._sleep is scope:
                self._sleep = None
