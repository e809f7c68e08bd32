"""Hands outcomes from many workers to a consumer, and makes the workers wait for a slow one."""

from __future__ import annotations

import asyncio
from collections import deque

from .report import Outcome

__all__ = ["Handover"]


class Handover:
    """A short queue of outcomes. Putting one in waits for nothing, so no cancellation can lose it.

    Args:
        size: From so many waiting outcomes on, workers are held up.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._ready: deque[Outcome] = deque()
        self._held_up: deque[asyncio.Future[None]] = deque()
        self._news = asyncio.Event()
        self._open = True
        self._over = False

    @property
    def full(self) -> bool:
        """Whether whoever put the last outcome in should wait for `room`."""
        return self._open and len(self._ready) >= self._size

    def put(self, outcome: Outcome) -> None:
        """Lay an outcome down for the consumer."""
        self._ready.append(outcome)
        self._news.set()

    async def room(self) -> None:
        """Wait until the consumer has taken one, or does not hold anybody up any more."""
        waiter = asyncio.get_running_loop().create_future()
        self._held_up.append(waiter)
        await waiter

    async def take(self) -> Outcome | None:
        """The next outcome, waiting for it if need be; None when the run is over and all have been
        taken."""
        while not self._ready:
            if self._over:
                return None
            self._news.clear()
            await self._news.wait()
        outcome = self._ready.popleft()
        self._let_go()
        return outcome

    def release(self) -> None:
        """Hold nobody up any more: nothing new will be started."""
        self._open = False
        while self._held_up:
            self._let_go()

    def end(self) -> None:
        """No outcome will come any more."""
        self.release()
        self._over = True
        self._news.set()

    def _let_go(self) -> None:
        while self._held_up:
            waiter = self._held_up.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
