"""Time and chance as one value, so that tests can hand in their own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Clock:
    """Where the library reads the time, sleeps, and draws random numbers.

    Args:
        now: The running loop's time in seconds; what deadlines are counted in.
        wall: Seconds since the epoch; only for reading dates that a server sent.
        sleep: Sleeps that many seconds.
        uniform: A random number between its two arguments.
    """

    __slots__ = ("now", "sleep", "uniform", "wall")

    def __init__(
        self,
        *,
        now: Callable[[], float] = _loop_time,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.now: Callable[[], float] = now
        self.wall: Callable[[], float] = wall
        self.sleep: Callable[[float], Awaitable[None]] = sleep
        self.uniform: Callable[[float, float], float] = uniform

    def bound_to(self, loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
        """What `now` gives while this loop runs, without looking up the running loop each time."""
        if self.now is _loop_time:
            return loop.time
        return self.now
