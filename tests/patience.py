"""How long a test waits for what ends at once, on a machine that has other things to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

#: Seconds. What ends at once ends within these on the busiest machine; what it is told apart from
#: takes 30 s or more, or never ends.
SOON: Final = 20.0


@contextlib.asynccontextmanager
async def timeout_once(true: Callable[[], object]) -> AsyncIterator[None]:
    """A timeout, as a user's own around a call, that runs out as soon as something is true.

    Args:
        true: What is waited for, such as a request that has arrived.

    Raises:
        TimeoutError: It has become true, or has not within `SOON`.
    """

    async def expire(limit: asyncio.Timeout) -> None:
        while not true():
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)  # for what the other side is about to send
        limit.reschedule(asyncio.get_running_loop().time())

    async with asyncio.timeout(SOON) as limit:
        watcher = asyncio.create_task(expire(limit))
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])
