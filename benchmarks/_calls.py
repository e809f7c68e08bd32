"""What one call costs the client: CPU time of a rename, the server in another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

import aioe2e
from aioe2e._call import Call
from aioe2e._record import CallRecord
from aioe2e._wire import Fate, Verdict, encode

from ._measure import Rounds, cpu_seconds, interleaved
from ._peers import Rename, blocking, library, naive, session, tuned
from ._process import served
from ._results import Row, Scale

#: Calls under way at the same time.
_TOGETHER = 16


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    with served() as base:
        return [*await _cpu(base, scale), await _retries(base, scale)]


async def _cpu(base: str, scale: Scale) -> list[Row]:
    async with AsyncExitStack() as stack:
        peers: dict[str, Rename] = {
            "aioe2e": await stack.enter_async_context(library(base)),
            "naive": await stack.enter_async_context(naive(base)),
            "tuned": await stack.enter_async_context(tuned(base)),
        }
        rename = stack.enter_context(blocking(base))

        async def in_sequence() -> None:
            for number in range(scale.calls):
                rename("2292", f"golden-{number}")

        batches = {name: partial(_together, peer, scale.calls) for name, peer in peers.items()}
        together = await _per_call({**batches, "requests": in_sequence}, scale)
        batches = {name: partial(_alone, peer, scale.calls) for name, peer in peers.items()}
        alone = await _per_call(batches, scale)
    return [
        _ratio(
            f"client CPU per call, {_TOGETHER} at a time: aioe2e / naive aiohttp",
            together,
            "aioe2e",
            "≤ 0.90",
        ),
        _ratio(
            "client CPU per call, one at a time: aioe2e / naive aiohttp", alone, "aioe2e", "≤ 0.90"
        ),
        _ratio(
            f"the same, {_TOGETHER} at a time: tuned aiohttp / naive aiohttp", together, "tuned"
        ),
        _ratio("the same, in sequence: requests / naive aiohttp", together, "requests"),
    ]


def _ratio(what: str, rounds: Rounds, name: str, aim: str = "") -> Row:
    ratio = rounds.ratio(name, "naive")
    mine, theirs = (rounds.of(each).median * 1e6 for each in (name, "naive"))
    return Row(what, f"{ratio.median:.2f} ({mine:.0f} µs / {theirs:.0f} µs)", aim, ratio.range())


async def _per_call(batches: Mapping[str, Callable[[], Awaitable[object]]], scale: Scale) -> Rounds:
    """CPU seconds of one call, by peer."""

    async def measured(batch: Callable[[], Awaitable[object]]) -> float:
        return await cpu_seconds(batch) / scale.calls

    return await interleaved(
        {name: partial(measured, batch) for name, batch in batches.items()}, scale.rounds
    )


async def _alone(rename: Rename, calls: int) -> None:
    for number in range(calls):
        await rename("2292", f"golden-{number}")


async def _together(rename: Rename, calls: int) -> None:
    async def lane(image: str) -> None:
        for number in range(calls // _TOGETHER):
            await rename(image, f"golden-{number}")

    await asyncio.gather(*(lane(str(2292 + number)) for number in range(_TOGETHER)))


async def _retries(base: str, scale: Scale) -> Row:
    """What it costs that a call could be repeated, when none is: `Call.run` beside the one attempt
    in it."""
    async with session(base) as opened:
        await opened.images.rename("2292", "golden")  # opens the pool
        request = encode(aioe2e.Action.RENAME, "2292", "golden", aioe2e.Dialect.AUTO)
        done = Verdict(Fate.DONE, 200)

        class Answered(Call):
            async def attempt(self) -> Verdict:
                return done

        async def batch(method: Callable[[Answered], Awaitable[object]]) -> float:
            calls = [
                Answered(opened._channel, opened._options, request, CallRecord())
                for _ in range(scale.steps)
            ]
            start = time.process_time()
            for call in calls:
                await method(call)
            return (time.process_time() - start) / scale.steps * 1e6

        methods = {"run": partial(batch, Answered.run), "attempt": partial(batch, Answered.attempt)}
        cost = (await interleaved(methods, scale.rounds)).difference("run", "attempt")
    return Row(
        "retries when nothing fails, per call", f"{cost.median:.2f} µs", "≤ 1 µs", cost.range()
    )
