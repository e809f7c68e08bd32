"""How runs end on a real connection: in an outage, at a deadline, under a hook that raises, on every event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e import Plan, Progress, RetryPolicy, Status, Step
from aioe2e.testing import FakeE2E

#: What a run promises must not depend on how the loop starts its tasks.
LOOPS = ("asyncio", "eager tasks", "uvloop")


def unused(count: int) -> list[dict[str, Any]]:
    return [
        {"image_id": str(n), "name": f"n{n}", "image_state": "Ready"} for n in range(1, count + 1)
    ]


@contextlib.asynccontextmanager
async def emulated(**options: Any) -> AsyncIterator[FakeE2E]:
    """The emulator in a thread of its own: its server does not run on uvloop."""
    with FakeE2E(**options) as fake:
        yield fake


def session_of(fake: FakeE2E, **options: Any) -> aioe2e.Session:
    if "base_url" not in options:
        options["base_url"] = fake.url
    retry = RetryPolicy(base=0.002, cap=0.01, look=0.1)
    return aioe2e.Session(fake.credentials, **{"retry": retry} | options)


async def test_the_limit_of_a_run_is_reached_and_never_passed() -> None:
    async with emulated(images=unused(60), latency=0.002) as fake, session_of(fake) as session:
        report = await session.images.bulk_delete(list(fake.images), limit=5)
        assert report.ok
        assert fake.max_in_flight == 5


async def test_a_run_that_is_left_to_stop_stops() -> None:
    async with emulated(images=unused(200), latency=0.001) as fake, session_of(fake) as session:
        async with session.images.stream(Plan.delete(list(fake.images)), limit=5) as outcomes:
            async for _ in outcomes:
                outcomes.stop()
        assert len(fake.images) >= 190
        assert outcomes.report.counts()[Status.SKIPPED] >= 190


async def test_closing_the_session_ends_a_run_that_holds_back_in_an_outage() -> None:
    paused = asyncio.Event()

    def progress(shown: Progress) -> None:
        if shown.paused:
            paused.set()

    with FakeE2E(images=[]) as fake:
        url = fake.url
    session = session_of(fake, base_url=url, retry=RetryPolicy.none())  # nothing listens any more
    plan = Plan.delete(range(1, 301))
    task = asyncio.create_task(session.images.run(plan, limit=3, progress=progress))
    await paused.wait()
    await session.close()
    report = await asyncio.wait_for(
        task, SOON
    )  # the back-offs of 300 steps take an hour and a half
    assert report.counts()[Status.SKIPPED] > 250
    assert "closed" in str(report[299].error)
    assert len(report.remaining()) == 300


@pytest.mark.parametrize("journaled", [False, True])
async def test_at_a_deadline_no_step_fails_that_never_left(journaled: bool, tmp_path: Path) -> None:
    async with emulated(images=unused(400), latency=0.01) as fake, session_of(fake) as session:
        before = len(fake.calls)
        plan = Plan.delete(list(fake.images))
        journal = tmp_path / "j" if journaled else None
        report = await session.images.run(plan, limit=16, deadline=0.06, journal=journal)
        tried = len(fake.calls) - before
    assert not report.where(Status.FAILED)
    counts = report.counts()
    assert counts[Status.DONE] + counts[Status.UNKNOWN] <= tried + 16
    assert counts[Status.SKIPPED] >= 400 - tried - 16


class Whim(BaseException):
    """What a hook may raise."""


async def test_a_progress_callback_that_raises_anything_changes_no_outcome() -> None:
    def progress(_: Progress) -> None:
        raise Whim

    async with emulated(images=unused(20), latency=0.01) as fake, session_of(fake) as session:
        complaints: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        report = await session.images.bulk_delete(list(fake.images), limit=2, progress=progress)
    assert report.counts()[Status.DONE] == 20
    assert all(isinstance(complaint, Whim) for complaint in complaints)


async def test_the_deadline_of_a_long_plan_is_kept() -> None:
    plan = Plan.delete(range(1, 50_001))
    async with emulated(images=[], latency=30.0) as fake, session_of(fake) as session:
        before = time.perf_counter()
        report = await session.images.run(plan, limit=16, deadline=0.2)
        took = time.perf_counter() - before
    assert report.counts()[Status.SKIPPED] == 49_984
    assert took < SOON


async def test_many_steps_that_need_no_request_go_through_without_recursion() -> None:
    images = [aioe2e.SavedImage(image_id=str(n), name=f"n{n}") for n in range(1, 3001)]
    async with emulated(images=[]) as fake, session_of(fake) as session:
        report = await session.images.run(
            [Step.rename(image, image.name) for image in images], limit=7
        )
    assert report.counts()[Status.UNCHANGED] == 3000
