"""What Redis reserves for a limiter, which a busy machine cannot change: it only wakes up late."""

from __future__ import annotations

import asyncio
from typing import Final

import attrs

from aioe2e.fleet import RedisLimiter

#: Seconds by which the clock of Redis and that of a loop may drift apart in a test.
CLOCKS: Final = 0.002


@attrs.frozen
class Moment:
    """What Redis said to a process that asked for a turn, and between which times it said so."""

    asked: float
    answered: float
    wait: float

    def follows(self, earlier: Moment, interval: float) -> bool:
        """Whether it comes an interval after an earlier one, or at once where that is over."""
        early = self.asked + self.wait - (earlier.answered + earlier.wait)
        late = self.answered + self.wait - (earlier.asked + earlier.wait)
        return late >= interval - CLOCKS and (early <= interval + CLOCKS or self.wait == 0)


def moments(limiter: RedisLimiter) -> list[Moment]:
    """The moments that Redis reserves for a limiter from now on."""
    reserve = limiter._budget.reserve
    reserved: list[Moment] = []
    now = asyncio.get_running_loop().time

    async def noted(weight: int) -> float:
        asked = now()
        wait = await reserve(weight)
        reserved.append(Moment(asked, now(), wait))
        return wait

    limiter._budget.reserve = noted  # type: ignore[method-assign]  # only watched
    return reserved
