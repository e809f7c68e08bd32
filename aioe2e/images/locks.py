"""One lock for each image that a write is under way for, so that two writes of one image never
overlap."""

from __future__ import annotations

import asyncio
from collections import deque


class KeyedLocks:
    """Locks by key, which exist only while somebody holds or wants them. First come, first
    served."""

    def __init__(self) -> None:
        self._held: dict[str, deque[asyncio.Future[None]]] = {}

    def try_acquire(self, key: str) -> bool:
        """Hold the key if nobody does."""
        if key in self._held:
            return False
        self._held[key] = deque()
        return True

    async def acquire(self, key: str) -> None:
        """Wait until nobody holds the key, and hold it."""
        if self.try_acquire(key):
            return
        waiting = self._held[key]
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release(key)  # it was handed over in the moment of the cancellation
            elif turn in waiting:  # else its holder passed it over already
                waiting.remove(turn)
            raise

    def release(self, key: str) -> None:
        """Hand the key over to whoever waits longest for it."""
        waiting = self._held[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._held[key]
