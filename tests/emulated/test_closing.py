"""Closing a session: from any loop or thread, in the middle of anything, and more than once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import aiohttp
import pytest
from patience import SOON

import aioe2e
from aioe2e import Limits, Plan, RetryPolicy, Session, Status, Timeouts
from aioe2e.testing import FakeE2E, Fault


async def in_another_thread(session: Session) -> None:
    """Close the session on a loop of another thread."""
    await asyncio.to_thread(lambda: asyncio.run(session.close()))


async def ends_as_closed(call: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(SOON):
        with pytest.raises((aioe2e.SessionError, aioe2e.OutcomeUnknownError)):
            await call


async def test_a_close_from_another_thread_ends_what_is_under_way_and_closes_the_pool() -> None:
    async with FakeE2E(images=3, faults=Fault("hang")) as fake:
        session = fake.session()
        image = next(iter(fake.images))
        calls = [
            asyncio.create_task(session.images.list()),
            asyncio.create_task(session.images.rename(image, "new")),
        ]
        while len(fake.calls) < 2:
            await asyncio.sleep(0.005)
        await in_another_thread(session)
        for call in calls:
            await ends_as_closed(call)
        assert session.closed


async def test_a_close_from_another_thread_ends_a_back_off() -> None:
    retry = RetryPolicy(attempts=10, base=600.0, cap=600.0)
    async with FakeE2E(images=3, faults=Fault("reset")) as fake:
        session = fake.session(retry=retry, timeouts=Timeouts(total=None))
        call = asyncio.create_task(session.images.list())
        while not fake.calls:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        await in_another_thread(session)
        await ends_as_closed(call)


def test_a_close_from_a_later_loop_ends_the_calls_of_the_first_when_it_runs_again() -> None:
    with FakeE2E(images=3, faults=Fault("hang")) as fake:
        session = fake.session()
        first = asyncio.new_event_loop()
        try:
            call = first.create_task(session.images.list())
            first.run_until_complete(asyncio.sleep(0.05))
            asyncio.run(session.close())
            first.run_until_complete(ends_as_closed(call))
            first.run_until_complete(asyncio.sleep(0.02))
        finally:
            first.close()


def test_a_close_does_not_wait_for_a_loop_that_stops() -> None:
    with FakeE2E(images=3) as fake:
        session = fake.session()
        first = asyncio.new_event_loop()
        stopped = threading.Event()

        def run() -> None:
            first.run_until_complete(session.images.list())
            stopped.set()

        worker = threading.Thread(target=run)
        worker.start()
        assert stopped.wait(SOON)
        worker.join()
        asyncio.run(asyncio.wait_for(session.close(), SOON))
        first.run_until_complete(asyncio.sleep(0.02))
        first.close()
        assert session.closed


async def test_a_close_that_was_cancelled_can_be_called_again() -> None:
    async with FakeE2E(images=3) as fake:
        session = fake.session()
        await session.images.list()
        closing = asyncio.create_task(session.close())
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await session.close()
        await session.close()
        assert session.closed
        with pytest.raises(aioe2e.SessionError):
            await session.images.list()


async def test_a_write_that_waits_for_another_of_its_image_ends_with_the_session() -> None:
    """Also where the one before it was lost by the close, and may still take effect."""
    policy = RetryPolicy(look=30.0)
    async with FakeE2E(images=3, faults=Fault("hang")) as fake:
        session = fake.session(retry=policy, timeouts=Timeouts(total=None))
        image = next(iter(fake.images))
        calls = [
            asyncio.create_task(session.images.rename(image, name)) for name in ("first", "second")
        ]
        while not fake.calls:
            await asyncio.sleep(0.005)
        await session.close()
        for call in calls:
            await ends_as_closed(call)
        assert len(fake.calls) == 1


async def test_a_step_that_was_throttled_when_the_session_was_closed_remains_to_be_run() -> None:
    async with FakeE2E(images=3) as fake:
        fake.inject(Fault("429-json-text", value=60), times=10)
        session = fake.session(retry=RetryPolicy(attempts=9))
        image = next(iter(fake.images))
        stream = session.images.stream(Plan.delete([image]))
        run = asyncio.create_task(stream.drain())
        while not fake.calls:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        await session.close()
        report = await run
        assert (report[0].status, report[0].attempts) == (Status.FAILED, 1)
        assert [step.target for step in report.remaining()] == [image]


async def test_a_call_that_is_given_a_slot_as_the_session_is_closed_sends_nothing() -> None:
    pool = aiohttp.TCPConnector(limit=0)
    async with FakeE2E(images=3) as fake, aiohttp.ClientSession(connector=pool) as http:
        session = fake.session(http=http, limits=Limits(in_flight=1))
        await session.images.list()
        gate = session._channel.gate
        assert gate.try_enter(under_way=False)
        call = asyncio.create_task(session.images.list())
        await asyncio.sleep(0)
        gate.leave()  # the slot goes to the call, which has not run on yet
        await session.close()
        await ends_as_closed(call)
        assert len(fake.calls) == 1
        assert gate.in_flight == 0
