"""A long listing: how long it takes, and for how long nothing else can run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp

from ._measure import Spread, interleaved
from ._peers import HEADERS, QUERY, session
from ._process import served
from ._results import Row, Scale

#: Seconds between two looks at the clock.
_TICK = 0.0005


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    stalls: dict[str, list[float]] = {"aioe2e": [], "naive": []}
    with served(images=scale.listed) as base:
        async with session(base) as opened, aiohttp.ClientSession() as http:
            listings: dict[str, Callable[[], Awaitable[object]]] = {
                "aioe2e": opened.images.list,
                "naive": partial(_naive, http, base),
            }

            async def measured(name: str) -> float:
                seconds, stall = await _watched(listings[name])
                stalls[name].append(stall * 1000)
                return seconds * 1000

            total = await interleaved(
                {name: partial(measured, name) for name in listings}, scale.slow_rounds
            )
    mine, theirs = (Spread(stalls[name][1:]) for name in ("aioe2e", "naive"))
    ratio = total.ratio("aioe2e", "naive")
    what = f"listing of {scale.listed:,} images"
    return [
        Row(
            f"{what}: longest stall of the loop",
            f"{mine.median:.1f} ms",
            "no long stall",
            mine.range(1),
        ),
        Row(
            "the same with json.loads and a loop over dicts",
            f"{theirs.median:.1f} ms",
            "",
            theirs.range(1),
        ),
        Row(
            f"{what}, in all: aioe2e (models) / json.loads and a loop over dicts",
            f"{ratio.median:.2f} ({total.of('aioe2e').median:.0f} ms / {total.of('naive').median:.0f} ms)",
            "",
            ratio.range(),
        ),
    ]


async def _naive(http: aiohttp.ClientSession, base: str) -> list[dict[str, object]]:
    async with http.get(f"{base}images/saved-images/", params=QUERY, headers=HEADERS) as reply:
        content = json.loads(await reply.read())
    images = []
    for item in content["data"]:
        if item["image_state"].lower() == "ready":
            item["running_vms"] = int(item["running_vms"])
            images.append(item)
    return images


async def _watched(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Seconds that some work takes, and the longest time in which the loop could do nothing
    else."""
    watch = _Watch(asyncio.get_running_loop())
    start = time.perf_counter()
    await work()
    seconds = time.perf_counter() - start
    return seconds, watch.end()


class _Watch:
    """Looks at the clock every half millisecond, and remembers the longest time by which it came
    late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._longest = 0.0
        self._set()

    def _set(self) -> None:
        self._due = self._loop.time() + _TICK
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._longest = max(self._longest, self._loop.time() - self._due)
        self._set()

    def end(self) -> float:
        """Seconds of the longest stall; the watched work may itself have ended in one that no tick
        has seen."""
        self._timer.cancel()
        return max(self._longest, self._loop.time() - self._due)
