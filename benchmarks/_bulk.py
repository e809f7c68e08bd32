"""Bulk runs: wall time with latency, CPU with none, the engine's own cost, and its memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

import aioe2e
from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Stream

from ._measure import Spread, cpu_seconds, interleaved, wall_seconds
from ._peers import Rename, blocking, naive, session
from ._process import served
from ._results import Row, Scale

LIMIT = 16
LATENCY = 0.02

_DONE = Ending(aioe2e.Status.DONE)


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    return [*await _over_the_wire(scale), *await _engine(scale), _memory(scale)]


async def gather_behind_a_semaphore(rename: Rename, names: dict[str, str]) -> None:
    """The fan-out that most people write."""
    semaphore = asyncio.Semaphore(LIMIT)

    async def one(image: str, name: str) -> None:
        async with semaphore:
            await rename(image, name)

    await asyncio.gather(*(one(image, name) for image, name in names.items()))


def _names(count: int) -> dict[str, str]:
    return {str(20_000 + number): f"golden-{number}" for number in range(count)}


async def _over_the_wire(scale: Scale) -> list[Row]:
    names = _names(scale.renames)
    with served(latency=LATENCY) as base:
        async with session(base) as opened, naive(base) as rename:
            batches = {
                "aioe2e": partial(_bulk, opened, names),
                "naive": partial(gather_behind_a_semaphore, rename, names),
            }
            sample = _names(max(1, scale.renames // 20))
            with blocking(base) as blocking_rename:

                async def in_sequence() -> None:
                    for image, name in sample.items():
                        blocking_rename(image, name)

                async def scaled() -> float:
                    return await wall_seconds(in_sequence) * len(names) / len(sample)

                wall = await interleaved(
                    {
                        **{name: partial(wall_seconds, batch) for name, batch in batches.items()},
                        "requests": scaled,
                    },
                    scale.slow_rounds,
                )
    with served() as base:
        async with session(base) as opened, naive(base) as rename:
            batches = {
                "aioe2e": partial(_bulk, opened, names),
                "naive": partial(gather_behind_a_semaphore, rename, names),
            }
            cpu = await interleaved(
                {name: partial(cpu_seconds, batch) for name, batch in batches.items()}, scale.rounds
            )
    what = f"{scale.renames} renames, limit {LIMIT}"
    ideal = -(-scale.renames // LIMIT) * LATENCY
    bare = Spread(value / ideal for value in wall.values["aioe2e"])
    with_latency = f"wall time of {what}, {LATENCY * 1000:.0f} ms latency"
    seconds = {name: wall.of(name).median for name in ("aioe2e", "naive", "requests")}
    to_naive, to_requests = wall.ratio("aioe2e", "naive"), wall.ratio("requests", "aioe2e")
    per_item = cpu.ratio("aioe2e", "naive")
    return [
        Row(
            f"{with_latency}: aioe2e / naive gather",
            f"{to_naive.median:.2f} ({seconds['aioe2e']:.2f} s / {seconds['naive']:.2f} s)",
            "≤ 1.00",
            to_naive.range(),
        ),
        Row(
            "the same: aioe2e / the latency alone",
            f"{bare.median:.2f} (of {ideal:.2f} s)",
            "",
            bare.range(),
        ),
        Row(
            f"the same: requests in sequence / aioe2e (requests: {len(sample)} sent, scaled)",
            f"{to_requests.median:.1f} ({seconds['requests']:.1f} s / {seconds['aioe2e']:.2f} s)",
            "",
            to_requests.range(1),
        ),
        Row(
            f"client CPU of {what}, no latency: aioe2e / naive gather",
            f"{per_item.median:.2f}"
            f" ({cpu.of('aioe2e').median / scale.renames * 1e6:.0f} µs a step)",
            "",
            per_item.range(),
        ),
    ]


async def _bulk(opened: aioe2e.Session, names: dict[str, str]) -> None:
    report = await opened.images.bulk_rename(names, limit=LIMIT)
    report.raise_for_errors()


async def _perform(_step: aioe2e.Step, _record: CallRecord) -> Ending:
    return _DONE


async def _engine(scale: Scale) -> list[Row]:
    """What the fan-out adds to each step, beside awaiting what does nothing in a plain loop."""
    steps = [aioe2e.Step.rename(str(20_000 + number), "golden") for number in range(scale.steps)]
    plan = aioe2e.Plan.delete([step.target for step in steps])
    candidates: dict[str, Callable[[Sequence[aioe2e.Step]], Awaitable[object]]] = {
        "loop": _loop,
        "stream": lambda steps: Stream(iter(steps), perform=_perform, limit=LIMIT).drain(),
        "plan": lambda _: Stream(plan, perform=_perform, limit=LIMIT).drain(),
        "gather": _gather,
    }

    async def measured(work: Callable[[Sequence[aioe2e.Step]], Awaitable[object]]) -> float:
        start = time.process_time()
        await work(steps)
        return (time.process_time() - start) / scale.steps * 1e6

    rounds = await interleaved(
        {name: partial(measured, work) for name, work in candidates.items()}, scale.rounds
    )
    costs = {name: rounds.difference(name, "loop") for name in ("stream", "plan", "gather")}
    return [
        Row(
            "engine, per streamed step",
            f"{costs['stream'].median:.2f} µs",
            "< 2 µs",
            costs["stream"].range(),
        ),
        Row(
            "engine, per step of a plan, each with its outcome",
            f"{costs['plan'].median:.2f} µs",
            "",
            costs["plan"].range(),
        ),
        Row(
            "gather behind a semaphore, per step",
            f"{costs['gather'].median:.2f} µs",
            "",
            costs["gather"].range(),
        ),
    ]


async def _loop(steps: Sequence[aioe2e.Step]) -> None:
    for step in steps:
        await _perform(step, CallRecord())


async def _gather(steps: Sequence[aioe2e.Step]) -> None:
    semaphore = asyncio.Semaphore(LIMIT)

    async def one(step: aioe2e.Step) -> Ending:
        async with semaphore:
            return await _perform(step, CallRecord())

    await asyncio.gather(*map(one, steps))


def _memory(scale: Scale) -> Row:
    """The growth of the peak between a hundredth of a stream and all of it, in a process of its
    own."""
    command = [sys.executable, "-m", f"{__package__}._memory", str(scale.streamed)]
    grown, seconds = map(
        float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    )
    return Row(
        f"peak memory of {scale.streamed:,} streamed steps, over that of {scale.streamed // 100:,}",
        f"{grown / 1024:+.1f} MiB ({seconds:.1f} s)",
        "flat",
    )


def endless(count: int) -> Iterator[aioe2e.Step]:
    """Steps that are made when they are asked for."""
    return (aioe2e.Step.rename(str(number + 1), "golden") for number in range(count))


async def stream(count: int) -> None:
    """Stream steps that do nothing."""
    report = await Stream(endless(count), perform=_perform, limit=LIMIT).drain()
    assert report.counts()[aioe2e.Status.DONE] == count
