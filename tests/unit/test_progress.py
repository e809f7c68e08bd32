"""What a progress callback is told, and how often."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import pytest
from patience import SOON
from virtual_time import now

from aioe2e._clock import Clock
from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Plan, Progress, Status, Step, Stream
from aioe2e.bulk.progress import Meter, Standing
from aioe2e.errors import ConflictError, ServerError

#: What a run promises must not depend on how the loop starts its tasks.
LOOPS = ("virtual time", "eager tasks in virtual time")

DONE = Ending(Status.DONE)


async def slow(step: Step, record: CallRecord) -> Ending:
    await asyncio.sleep(0.005)
    return DONE


async def run(steps: Any, perform: Any = slow, **options: Any) -> list[Progress]:
    seen: list[Progress] = []
    await Stream(steps, perform=perform, progress=seen.append, **options).drain()
    return seen


async def test_it_is_called_ten_times_a_second_at_the_most_and_once_at_the_end() -> None:
    times: list[float] = []
    before = now()
    stream = Stream(
        Plan.delete(range(1, 101)),
        perform=slow,
        limit=2,
        progress=lambda _: times.append(now() - before),
    )
    await stream.drain()
    gaps = [later - earlier for earlier, later in itertools.pairwise([0, *times[:-1]])]
    assert 2 <= len(times) <= 10 * times[-1] + 1
    assert all(gap >= 0.099 for gap in gaps)


async def test_a_short_run_is_told_of_once() -> None:
    (only,) = await run(Plan.delete([1, 2, 3]))
    assert (only.total, only.finished, only.failed, only.in_flight) == (3, 3, 0, 0)
    assert only.eta == 0
    assert not only.paused
    assert only.rate > 0


async def test_what_is_under_way_is_seen_before_anything_has_finished() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        await asyncio.sleep(0.25)
        return DONE

    first, *_, last = await run(Plan.delete([1, 2, 3]), perform, limit=8, current_limit=lambda: 5)
    assert (first.finished, first.in_flight, first.limit, first.eta) == (0, 3, 5, None)
    assert (last.finished, last.in_flight) == (3, 0)


async def test_nothing_is_said_twice_while_nothing_changes() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        await asyncio.sleep(0.35)
        return DONE

    assert len(await run(Plan.delete([1]), perform)) == 2


async def test_the_total_of_an_iterable_is_not_known() -> None:
    (only,) = await run(Step.delete(number) for number in range(1, 4))
    assert (only.total, only.finished, only.eta) == (None, 3, None)


async def test_failures_count_as_finished_and_skipped_steps_do_not() -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        if step.target == "3":
            raise ConflictError("in use", status=409, attempts=1)
        return DONE

    (only,) = await run(Plan.delete(range(1, 11)), perform, limit=1, on_error="stop")
    assert (only.total, only.finished, only.failed) == (10, 3, 1)


async def test_an_exception_in_the_callback_is_logged_once_and_not_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = 0

    def progress(_: Progress) -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "aioe2e.bulk"):
        report = await Stream(
            Plan.delete(range(1, 61)), perform=slow, limit=1, progress=progress
        ).drain()
    assert report.ok
    assert calls > 1
    assert [record.name for record in caplog.records] == ["aioe2e.bulk"]


async def test_an_outage_is_said_to_pause_the_run() -> None:
    async def down(step: Step, record: CallRecord) -> Ending:
        if int(step.target) < 4:
            raise ServerError("down", status=503, attempts=1)
        return DONE

    async def nap(_: float) -> None:
        await asyncio.sleep(0.15)

    seen = await run(Plan.delete(range(1, 9)), down, limit=2, clock=Clock(sleep=nap))
    assert seen[0].paused
    assert seen[0].eta is None
    assert not seen[-1].paused


@pytest.mark.parametrize("how", ["deadline", "cancel", "break"])
async def test_the_last_call_comes_however_a_run_ends_and_no_timer_is_left(how: str) -> None:
    async def forever(step: Step, record: CallRecord) -> Ending:
        await asyncio.sleep(60 if step.target != "1" and how != "break" else 0)
        return DONE

    seen: list[Progress] = []
    deadline = 0.02 if how == "deadline" else 1000
    stream = Stream(
        Plan.delete(range(1, 9)), perform=forever, limit=2, progress=seen.append, deadline=deadline
    )
    try:
        async with asyncio.timeout(0.03 if how == "cancel" else SOON), stream as outcomes:
            async for _ in outcomes:
                if how == "break":
                    break
    except TimeoutError:
        assert how == "cancel"
    assert len(seen) == 1
    assert seen[0].in_flight == 0
    timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert not timers


async def test_the_rate_looks_back_ten_seconds_and_the_time_left_follows_from_it() -> None:
    now = 0.0
    finished = 0
    seen: list[Progress] = []
    meter = Meter(
        seen.append,
        standing=lambda: Standing(1000, finished, 0, 1, 1, False),
        clock=Clock(now=lambda: now),
    )
    meter.start()
    for second, done in ((1, 100), (10, 200), (20, 200), (40, 220)):
        now, finished = float(second), done
        meter._look()
        assert meter._timer is not None
        meter._timer.cancel()
        meter._tell(meter._standing())
    assert seen[0].rate == 100
    assert seen[0].eta == 9
    assert [progress.rate for progress in seen[1::2]][-1] == pytest.approx(1)
    meter.end()
