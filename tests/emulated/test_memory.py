"""What a run holds in memory grows with its limit and never with the number of its steps."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from aioe2e import ActionResult, Status, Step
from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Stream
from aioe2e.testing import FakeE2E

FULL = os.environ.get("AIOE2E_CHAOS") == "full"
FEW, MANY = (20_000, 1_000_000) if FULL else (2_000, 50_000)
#: Handing outcomes over takes a turn of the loop each, and tracing makes it slow.
MANY_TAKEN = 1_000_000 if FULL else 15_000
LIMIT = 32
KIB = 1024

_DONE = Ending(Status.DONE, ActionResult(message="fine"))


async def at_once(step: Step, record: CallRecord) -> Ending:
    record.attempts += 1
    return _DONE


async def in_a_while(step: Step, record: CallRecord) -> Ending:
    record.attempts += 1
    if int(step.target) % 8 == 0:
        await asyncio.sleep(0)
    return _DONE


def steps(count: int) -> Iterator[Step]:
    return (Step.rename(str(number), f"n{number}") for number in range(1, count + 1))


async def steps_in_time(count: int) -> AsyncIterator[Step]:
    for number in range(1, count + 1):
        if number % 50 == 0:
            await asyncio.sleep(0)
        yield Step.delete(str(number))


async def drained(count: int) -> None:
    stream = Stream(steps(count), perform=at_once, limit=LIMIT, session_limit=LIMIT)
    report = await stream.drain()
    assert report.counts()[Status.DONE] == count
    assert len(report) == 0


async def streamed(count: int) -> None:
    seen = 0
    async with Stream(
        steps(count), perform=in_a_while, limit=LIMIT, session_limit=LIMIT
    ) as outcomes:
        async for _ in outcomes:
            seen += 1
    assert seen == count


async def streamed_slowly_from_an_async_iterable(count: int) -> None:
    seen = 0
    async with Stream(
        steps_in_time(count), perform=at_once, limit=LIMIT, session_limit=LIMIT
    ) as outcomes:
        async for _ in outcomes:
            seen += 1
            if seen % 100 == 0:
                await asyncio.sleep(0)
    assert seen == count


async def with_progress(count: int) -> None:
    stream = Stream(
        steps(count), perform=at_once, limit=LIMIT, session_limit=LIMIT, progress=lambda _: None
    )
    assert (await stream.drain()).counts()[Status.DONE] == count


async def peak(run: Callable[[int], Awaitable[None]], count: int) -> int:
    """Bytes held at the most, beyond what was held before."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await run(count)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("run", "count"),
    [
        (drained, MANY),
        (with_progress, MANY_TAKEN),
        (streamed, MANY_TAKEN),
        (streamed_slowly_from_an_async_iterable, MANY_TAKEN),
    ],
)
async def test_the_peak_is_that_of_a_short_run(
    run: Callable[[int], Awaitable[None]], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(200)  # what is made once is made now
    few, many = await peak(run, FEW), await peak(run, count)
    with capsys.disabled():
        print(
            f"\n{run.__name__}: {few / KIB:.0f} KiB for {FEW:,} steps, {many / KIB:.0f} KiB for {count:,}",
            end=" ",
        )
    # A quarter of a byte for each further step would be seen.
    assert many <= few + 64 * KIB + (count - FEW) // 4
    assert many < 600 * KIB


async def test_a_consumer_that_stops_taking_stops_the_run() -> None:
    async with Stream(steps(10**9), perform=at_once, limit=LIMIT, session_limit=LIMIT) as outcomes:
        await anext(outcomes)
        for _ in range(500):
            await asyncio.sleep(0)
        assert sum(outcomes.report.counts().values()) <= 4 * LIMIT
        outcomes.stop()


async def test_the_peak_over_a_socket_is_that_of_a_short_run() -> None:
    few, many = (300, 30_000) if FULL else (60, 400)
    async with FakeE2E(images=3, keep_calls=10) as fake, fake.session() as session:
        store = fake._store

        async def run(count: int) -> None:
            fake.images.clear()
            fake.images.update(
                {str(n): {"image_id": str(n), "name": f"o{n}"} for n in range(1, few + 1)}
            )
            work = (Step.rename(str(n % few + 1), f"n{n}") for n in range(count))
            report = await session.images.run(work, limit=16)
            assert report.counts()[Status.DONE] == count
            store.ledger.clear()
            store._past._changes.clear()

        await run(few)
        short, long = await peak(run, few), await peak(run, many)
        # The emulator's own books (ledger, history) are in the same process: about 300 bytes a request.
        assert long - short <= 600 * (many - few) + 256 * KIB
