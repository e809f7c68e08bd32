"""What makes the workers of a run wait: an outage, a used-up request budget, a slow consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from .report import Outcome

__all__ = ["Brake", "BudgetPause", "OutcomeQueue"]

#: The first back-off lasts up to this many seconds, each later one up to twice the one before.
_BASE: Final = 0.5
#: No back-off is longer, in seconds.
_CAP: Final = 20.0
#: Pauses for the request budget in a row, none of which let a step come through, end a run.
_MOST_PAUSES: Final = 10


class Brake:
    """Holds a run back in an outage, so that it does not burn its whole list.

    It is on after so many steps in a row failed with a transient error, and off as soon as one is
    answered. While it is on, a worker waits for its `turn` before it starts a step: one step at a
    time, each after a back-off.

    Args:
        limit: Steps in a row.
        rest: Sleeps that many seconds, but no longer than the session is open.
        uniform: A random number between its two arguments.

    Attributes:
        on: Whether steps are started one at a time.
        row: Steps in a row, up to now, that failed with a transient error.
    """

    def __init__(
        self,
        limit: int,
        rest: Callable[[float], Awaitable[None]],
        uniform: Callable[[float, float], float],
    ) -> None:
        self.on: bool = False
        self.row: int = 0
        self._limit = limit
        self._rest = rest
        self._uniform = uniform
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

    def failed(self) -> None:
        """A step failed with a transient error."""
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
                await self._rest(self._uniform(longest / 2, longest))
        except TimeoutError:
            # `answered` ends the rest through the scope. Any other one is not meant for it.
            if not scope.expired():
                raise
        finally:
            if self._sleep is scope:
                self._sleep = None


class BudgetPause:
    """Holds a run back while the request budget of the account is used up.

    Attributes:
        until: Loop time at which the server wants to be asked again; 0 if it never said so.
    """

    def __init__(self) -> None:
        self.until: float = 0.0
        self._in_vain = 0

    def extend(self, now: float, seconds: float) -> bool:
        """The server wants to be left alone for so many seconds; whether a pause begins by that."""
        begins = now >= self.until
        if begins:
            self._in_vain += 1
        self.until = max(self.until, now + seconds)
        return begins

    def left(self, now: float) -> float | None:
        """Seconds until then; None if nothing is to be waited for."""
        return self.until - now if self.until > now else None

    def answered(self) -> None:
        """A step came through."""
        self._in_vain = 0

    @property
    def is_in_vain(self) -> bool:
        """Whether the run waited so often, and no step came through, that it should end."""
        return self._in_vain > _MOST_PAUSES


class OutcomeQueue:
    """A short queue of outcomes between the workers and a consumer.

    Putting one in waits for nothing, so no cancellation can lose it. Without a consumer (`attach`)
    it keeps nothing and is never full.

    Args:
        size: From so many waiting outcomes on, workers have to wait for `room`.

    Attributes:
        attached: Whether there is a consumer.
    """

    def __init__(self, size: int) -> None:
        self.attached: bool = False
        self._size = size
        self._ready: deque[Outcome] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._released = False
        self._last: Iterator[Outcome] | None = None

    def attach(self) -> None:
        """From now on a consumer takes the outcomes."""
        self.attached = True

    @property
    def full(self) -> bool:
        """Whether a worker that put an outcome in should wait for `room`."""
        return len(self._ready) >= self._size and not self._released

    def put(self, outcome: Outcome) -> None:
        """Lay an outcome down for the consumer."""
        if self.attached:
            self._ready.append(outcome)
            self._news.set()

    async def room(self) -> None:
        """Wait until the consumer has taken one, or workers are held up no more."""
        self._room.clear()
        await self._room.wait()

    async def take(self) -> Outcome | None:
        """The next outcome once it is there; None when the run is over and all are taken."""
        while not self._ready:
            if self._last is not None:
                return next(self._last, None)
            self._news.clear()
            await self._news.wait()
        outcome = self._ready.popleft()
        self._room.set()
        return outcome

    def release(self) -> None:
        """Hold no worker up any more: nothing new will be started."""
        self._released = True
        self._room.set()

    def end(self, last: Iterator[Outcome]) -> None:
        """No outcome will be put in any more.

        Args:
            last: The outcomes that the consumer takes after those in the queue.
        """
        self.release()
        if self._last is None:
            self._last = last
        self._news.set()
