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
from ._peers import (
    Rename,
    behind_a_semaphore,
    blocking,
    library,
    naive,
    raw,
    session,
    tuned,
    with_httpx,
)
from ._process import served
from ._results import Row, Scale, amount, ratio

#: Slots: calls under way at the same time.
_SLOTS = 16
#: Callers that wait for them.
_CALLERS = 64
#: A client that is so slow has fewer calls in a batch.
_SLOW = {"httpx": 8, "requests in sequence": 4}


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    with served() as base:
        return [*await _cpu(base, scale), *await _retries(base, scale)]


async def _cpu(base: str, scale: Scale) -> list[Row]:
    async with AsyncExitStack() as stack:
        peers: dict[str, Rename] = {
            "aioe2e": await stack.enter_async_context(library(base)),
            "naive aiohttp": await stack.enter_async_context(naive(base)),
            "tuned aiohttp": await stack.enter_async_context(tuned(base)),
            "raw protocol": await stack.enter_async_context(raw(base)),
            "httpx": await stack.enter_async_context(with_httpx(base)),
        }
        rename = stack.enter_context(blocking(base))

        async def in_sequence(calls: int) -> None:
            for number in range(calls):
                rename("2292", f"golden-{number}")

        together = {name: partial(_in_lanes, peer, _SLOTS) for name, peer in peers.items()}
        limited = {
            name: peer if name == "aioe2e" else behind_a_semaphore(peer, _SLOTS)
            for name, peer in peers.items()
            if name != "httpx"
        }
        waiting = {name: partial(_in_lanes, peer, _CALLERS) for name, peer in limited.items()}
        alone = {name: partial(_in_lanes, peer, 1) for name, peer in limited.items()}
        return [
            *_against_naive(
                f"client CPU per call, {_SLOTS} in flight",
                await _per_call({**together, "requests in sequence": in_sequence}, scale),
            ),
            *_against_naive(
                f"client CPU per call, {_CALLERS} callers for {_SLOTS} slots",
                await _per_call(waiting, scale),
            ),
            *_against_naive("client CPU per call, one at a time", await _per_call(alone, scale)),
        ]


def _against_naive(what: str, rounds: Rounds) -> list[Row]:
    names = [name for name in rounds.values if name != "naive aiohttp"]
    return [ratio(what, rounds, name, "naive aiohttp") for name in names]


async def _per_call(
    batches: Mapping[str, Callable[[int], Awaitable[object]]], scale: Scale
) -> Rounds:
    """CPU seconds of one call, by peer."""

    async def measured(name: str) -> float:
        calls = max(_CALLERS, scale.calls // _SLOW.get(name, 1))
        return await cpu_seconds(partial(batches[name], calls)) / calls

    return await interleaved({name: partial(measured, name) for name in batches}, scale.rounds)


async def _in_lanes(rename: Rename, lanes: int, calls: int) -> None:
    async def lane(image: str) -> None:
        for number in range(calls // lanes):
            await rename(image, f"golden-{number}")

    await asyncio.gather(*(lane(str(2292 + number)) for number in range(lanes)))


async def _retries(base: str, scale: Scale) -> list[Row]:
    """What it costs that a call could be repeated, when none is.

    The first figure is all that `Call.run` adds to its one attempt. Part of it is no matter of
    retries: the check that the session is open and belongs to this loop and this process. The
    second figure is what remains without that check.
    """
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

        async def checked(call: Answered) -> None:
            opened._channel.enter()
            await call.attempt()

        methods = {"run": Answered.run, "attempt": Answered.attempt, "checked": checked}
        found = await interleaved(
            {name: partial(batch, method) for name, method in methods.items()}, scale.rounds
        )
    what = "retries when nothing fails, per call: all that a call adds to its one attempt"
    return [
        amount(what, found.difference("run", "attempt"), "µs"),
        amount(f"{what} but the check of the session", found.difference("run", "checked"), "µs"),
    ]
