"""Time and chance as one value, so that tests can hand in their own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import attrs


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@attrs.frozen(kw_only=True, eq=False)
class Clock:
    """Where the library reads the time, sleeps, and draws random numbers."""

    #: The running loop's time in seconds; what deadlines are counted in.
    now: Callable[[], float] = _loop_time
    #: Seconds since the epoch; only for reading dates that a server sent.
    wall: Callable[[], float] = time.time
    #: Sleeps that many seconds.
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    #: A random number between its two arguments.
    uniform: Callable[[float, float], float] = random.uniform
