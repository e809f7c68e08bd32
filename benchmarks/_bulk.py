"""Bulk runs: wall time with latency, CPU with none, the engine's own cost, and its memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

import aioe2e
from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Stream

from ._measure import Spread, cpu_seconds, interleaved, wall_seconds
from ._peers import Rename, behind_a_semaphore, blocking, naive, raw, session, tuned
from ._process import served
from ._results import Row, Scale, amount, ratio

LIMITS = (16, 64)
LATENCY = 0.02

_DONE = Ending(aioe2e.Status.DONE)


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    with_latency = [row for limit in LIMITS for row in await _wall(limit, scale)]
    return [*with_latency, *await _cpu(scale), *await _engine(scale), _memory(scale)]


async def gather_behind_a_semaphore(rename: Rename, limit: int, names: Mapping[str, str]) -> None:
    """The fan-out that most people write."""
    limited = behind_a_semaphore(rename, limit)
    await asyncio.gather(*(limited(image, name) for image, name in names.items()))


async def bulk(opened: aioe2e.Session, limit: int, names: Mapping[str, str]) -> None:
    """The same with the library."""
    report = await opened.images.bulk_rename(names, limit=limit)
    report.raise_for_errors()


def names_of(count: int) -> dict[str, str]:
    """Names for so many images."""
    return {str(20_000 + number): f"golden-{number}" for number in range(count)}


async def _wall(limit: int, scale: Scale) -> list[Row]:
    """Wall time with latency, against the latency alone."""
    count = max(scale.renames, limit)
    names = names_of(count)
    ideal = -(-count // limit) * LATENCY
    with served(latency=LATENCY) as base:
        async with AsyncExitStack() as stack:
            limits = aioe2e.Limits(in_flight=limit)
            opened = await stack.enter_async_context(session(base, limits=limits))
            peers = {
                "naive aiohttp": await stack.enter_async_context(naive(base)),
                "raw protocol": await stack.enter_async_context(raw(base)),
            }
            batches: dict[str, Callable[[], Awaitable[object]]] = {
                "aioe2e": partial(bulk, opened, limit, names),
                **{
                    name: partial(gather_behind_a_semaphore, peer, limit, names)
                    for name, peer in peers.items()
                },
            }
            rename = stack.enter_context(blocking(base))
            sample = names_of(max(1, count // 20))

            async def in_sequence() -> None:
                for image, name in sample.items():
                    rename(image, name)

            async def scaled() -> float:
                return await wall_seconds(in_sequence) * count / len(sample)

            walls: dict[str, Callable[[], Awaitable[float]]] = {
                name: partial(wall_seconds, batch) for name, batch in batches.items()
            }
            if limit == LIMITS[0]:
                walls["requests in sequence"] = scaled
            found = await interleaved(walls, scale.slow_rounds)
    what = f"wall time of {count} renames, limit {limit}, {LATENCY * 1000:.0f} ms latency"
    rows = []
    for name, values in found.values.items():
        over = Spread(value / ideal for value in values)
        figure = f"{over.median:.2f} ({found.of(name).median:.2f} s / {ideal:.2f} s)"
        rows.append(Row(f"{what}: {name} / the latency alone", over.median, figure, over.range()))
    return rows


async def _cpu(scale: Scale) -> list[Row]:
    limit = LIMITS[0]
    names = names_of(scale.renames)
    with served() as base:
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(session(base))
            peers = {
                "naive aiohttp": await stack.enter_async_context(naive(base)),
                "tuned aiohttp": await stack.enter_async_context(tuned(base)),
            }
            batches: dict[str, Callable[[], Awaitable[object]]] = {
                "aioe2e": partial(bulk, opened, limit, names),
                **{
                    name: partial(gather_behind_a_semaphore, peer, limit, names)
                    for name, peer in peers.items()
                },
            }

            async def per_step(batch: Callable[[], Awaitable[object]]) -> float:
                return await cpu_seconds(batch) / scale.renames

            found = await interleaved(
                {name: partial(per_step, batch) for name, batch in batches.items()}, scale.rounds
            )
    what = f"client CPU per step of {scale.renames} renames, limit {limit}, no latency"
    return [ratio(what, found, name, "naive aiohttp") for name in ("aioe2e", "tuned aiohttp")]


async def _perform(_step: aioe2e.Step, _record: CallRecord) -> Ending:
    return _DONE


async def _engine(scale: Scale) -> list[Row]:
    """What the fan-out adds to each step, beside awaiting what does nothing in a plain loop."""
    limit = LIMITS[0]
    steps = [aioe2e.Step.rename(str(20_000 + number), "golden") for number in range(scale.steps)]
    plan = aioe2e.Plan.delete([step.target for step in steps])
    candidates: dict[str, Callable[[Sequence[aioe2e.Step]], Awaitable[object]]] = {
        "loop": _loop,
        "stream": lambda steps: Stream(iter(steps), perform=_perform, limit=limit).drain(),
        "plan": lambda _: Stream(plan, perform=_perform, limit=limit).drain(),
        "gather": partial(_gather, limit),
    }

    async def measured(work: Callable[[Sequence[aioe2e.Step]], Awaitable[object]]) -> float:
        start = time.process_time()
        await work(steps)
        return (time.process_time() - start) / scale.steps * 1e6

    rounds = await interleaved(
        {name: partial(measured, work) for name, work in candidates.items()}, scale.rounds
    )
    named = {
        "stream": "engine, per streamed step",
        "plan": "engine, per step of a plan, each with its outcome",
        "gather": "gather behind a semaphore, per step",
    }
    return [amount(what, rounds.difference(name, "loop"), "µs") for name, what in named.items()]


async def _loop(steps: Sequence[aioe2e.Step]) -> None:
    for step in steps:
        await _perform(step, CallRecord())


async def _gather(limit: int, steps: Sequence[aioe2e.Step]) -> None:
    semaphore = asyncio.Semaphore(limit)

    async def one(step: aioe2e.Step) -> Ending:
        async with semaphore:
            return await _perform(step, CallRecord())

    await asyncio.gather(*map(one, steps))


def _memory(scale: Scale) -> Row:
    """The growth of the peak between a hundredth of a stream and all of it, in a fresh process."""
    command = [sys.executable, "-m", f"{__package__}._memory", "stream", str(scale.streamed)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    grown, seconds = map(float, done.stdout.split())
    few, all_ = f"{scale.streamed // 100:,}", f"{scale.streamed:,}"
    return Row(
        f"peak memory of {all_} streamed steps, over that of {few}",
        grown / 1024,
        f"{grown / 1024:+.1f} MiB ({seconds:.1f} s)",
    )


def endless(count: int) -> Iterator[aioe2e.Step]:
    """Steps that are made when they are asked for."""
    return (aioe2e.Step.rename(str(number + 1), "golden") for number in range(count))


async def stream(count: int) -> None:
    """Stream steps that do nothing."""
    report = await Stream(endless(count), perform=_perform, limit=LIMITS[0]).drain()
    assert report.counts()[aioe2e.Status.DONE] == count
