"""Work that is done in slices, so that others can run meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

from aioe2e._clock import Clock

T = TypeVar("T")


async def in_slices(work: Generator[None, None, T], clock: Clock, deadline: float | None) -> T:
    """Run work that yields now and then, with a turn of the loop at each yield.

    Args:
        work: The work.
        clock: Where the time comes from.
        deadline: Loop time after which the work is of no use; None for no limit.

    Returns:
        What the work returns.

    Raises:
        TimeoutError: The deadline has passed before the work is done.
    """
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
        await asyncio.sleep(0)
        if deadline is not None and clock.now() > deadline:
            work.close()
            raise TimeoutError
