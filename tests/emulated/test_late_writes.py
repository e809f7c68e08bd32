"""What a session says and does while an attempt whose reply was lost may still take effect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e import (
    DeadlineExceededError,
    Limits,
    OutcomeUnknownError,
    Plan,
    RetryPolicy,
    Status,
    Timeouts,
)
from aioe2e._record import CallOrders, CallRecord
from aioe2e.images import Writes
from aioe2e.testing import FakeE2E, Fault, Faults

#: The server carries out a request this many seconds after its connection has gone.
LATE = 0.2
#: Looks reckon with effects that are later than that.
PATIENT = RetryPolicy(base=0.001, look=2 * LATE)


def late(kind: str = "reset") -> Fault:
    return Fault(kind, "late", late=LATE)


@pytest.mark.parametrize("kind", ["reset", "close", "502-html"])
async def test_the_latest_of_two_renames_gives_the_name(kind: str) -> None:
    async with FakeE2E(images=3) as fake, fake.session(retry=PATIENT) as session:
        image = next(iter(fake.images))
        fake.inject(late(kind), action="rename")
        await session.images.rename(image, "first")
        await session.images.rename(image, "second")
        await fake.settle()
        assert fake.images[image]["name"] == "second"
        assert [line.name for line in fake.ledger] == ["first", "first", "second"]


async def test_the_latest_rename_gives_the_name_though_the_first_is_unknown() -> None:
    async with FakeE2E(images=3) as fake, fake.session(retry=PATIENT) as session:
        image = next(iter(fake.images))
        hasty = session.with_options(retry=RetryPolicy(attempts=1, look=0.0))
        fake.inject(late(), action="rename")
        with pytest.raises(OutcomeUnknownError):
            await hasty.images.rename(image, "first")
        await session.images.rename(image, "second")
        await fake.settle()
        assert fake.images[image]["name"] == "second"


async def test_the_latest_rename_gives_the_name_though_the_first_was_cancelled() -> None:
    async with FakeE2E(images=3) as fake, fake.session(retry=PATIENT) as session:
        image = next(iter(fake.images))
        fake.inject(Fault("hang", "late", late=LATE), action="rename")
        call = asyncio.create_task(session.images.rename(image, "first"))
        while not fake.calls:
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await session.images.rename(image, "second")
        await fake.settle()
        assert fake.images[image]["name"] == "second"


async def test_a_swap_that_is_done_leaves_no_image_under_its_temporary_name() -> None:
    async with FakeE2E(images=2) as fake, fake.session(retry=PATIENT) as session:
        one, two = await session.images.list()
        fake.inject(late(), action="rename")
        report = await session.images.bulk_rename([(one, two.name), (two, one.name)])
        await fake.settle()
        assert report.ok
        assert fake.images[one.image_id]["name"] == two.name
        assert fake.images[two.image_id]["name"] == one.name


@pytest.mark.parametrize("lost", range(4))
async def test_a_chain_that_is_done_gives_every_name_whichever_attempt_is_late(lost: int) -> None:
    async with (
        FakeE2E(images=4, unique_names=True) as fake,
        fake.session(retry=PATIENT) as session,
    ):
        images = await session.images.list()
        names = [image.name for image in images]
        moved = [*names[1:], names[0]]
        fake.faults = Faults.script(*[None] * lost, late())
        report = await session.images.bulk_rename(list(zip(images, moved, strict=True)), limit=4)
        await fake.settle()
        assert report.ok, str(report)
        assert [row["name"] for row in fake.images.values()] == moved


async def test_the_same_rename_again_does_not_wait() -> None:
    policy = RetryPolicy(base=0.001, look=30.0)
    async with FakeE2E(images=3) as fake, fake.session(retry=policy) as session:
        image = next(iter(fake.images))
        fake.inject(late(), action="rename")
        await session.images.rename(image, "first")
        async with asyncio.timeout(SOON):
            await session.images.rename(image, "first")


async def test_a_delete_does_not_wait_for_a_late_rename() -> None:
    policy = RetryPolicy(base=0.001, look=30.0)
    async with FakeE2E(images=3) as fake, fake.session(retry=policy) as session:
        image = next(iter(fake.images))
        fake.inject(late(), action="rename")
        await session.images.rename(image, "first")
        async with asyncio.timeout(SOON):
            await session.images.delete(image)
        await fake.settle()
        assert image not in fake.images


async def test_other_images_do_not_wait() -> None:
    policy = RetryPolicy(base=0.001, look=30.0)
    async with FakeE2E(images=3) as fake, fake.session(retry=policy) as session:
        image, other, _ = fake.images
        fake.inject(late(), action="rename")
        await session.images.rename(image, "first")
        async with asyncio.timeout(SOON):
            await session.images.rename(other, "second")


async def test_a_write_that_has_no_time_to_wait_is_not_sent() -> None:
    policy = RetryPolicy(base=0.001, look=30.0)
    async with FakeE2E(images=3) as fake, fake.session(retry=policy) as session:
        image = next(iter(fake.images))
        fake.inject(late(), action="rename")
        await session.images.rename(image, "first")
        sent = len(fake.calls)
        hasty = session.with_options(timeouts=Timeouts(total=0.05))
        with pytest.raises(DeadlineExceededError, match="may still take effect"):
            await hasty.images.rename(image, "second")
        assert len(fake.calls) == sent
        plan = Plan.rename({image: "third"})
        report = await session.images.run(plan, deadline=0.05)
        assert report[0].status is Status.SKIPPED
        assert len(fake.calls) == sent


async def test_the_clock_of_a_call_waits_with_it() -> None:
    """`Timeouts.total` runs from the first slot on, so a wait shorter than it is no failure."""
    async with FakeE2E(images=3) as fake:
        timeouts = Timeouts(total=10 * LATE)
        async with fake.session(retry=PATIENT, timeouts=timeouts) as session:
            image = next(iter(fake.images))
            fake.inject(late(), action="rename")
            await session.images.rename(image, "first")
            await session.images.rename(image, "second")
            await fake.settle()
            assert fake.images[image]["name"] == "second"


async def test_closing_the_session_ends_the_wait() -> None:
    policy = RetryPolicy(base=0.001, look=30.0)
    async with FakeE2E(images=3) as fake:
        session = fake.session(retry=policy)
        image = next(iter(fake.images))
        fake.inject(late(), action="rename")
        await session.images.rename(image, "first")
        call: asyncio.Task[Any] = asyncio.create_task(session.images.rename(image, "second"))
        await asyncio.sleep(0.05)
        await session.close()
        with pytest.raises(aioe2e.SessionError):
            async with asyncio.timeout(SOON):
                await call


async def test_a_write_that_could_not_be_sent_again_leaves_the_moment_of_the_first_known() -> None:
    """A listing that may be older than the first request proves nothing of it."""
    async with FakeE2E(images=3, faults=Fault("hang")) as fake:
        limits = Limits(in_flight=1)
        async with fake.session(limits=limits, timeouts=Timeouts(total=0.4)) as session:
            image = next(iter(fake.images))
            with pytest.raises(OutcomeUnknownError):
                await session.images.rename(image, "new")
            known, channel = session._memory.known, session._channel
            began = known.open_since(image)
            assert began > 0
            assert channel.gate.try_enter(under_way=False)
            writes = Writes(channel, session._memory, session._options)
            record = CallRecord(CallOrders(deadline=channel.clock.now() + 0.05))
            with pytest.raises(OutcomeUnknownError, match="by an earlier run and not sent again"):
                await writes.rename(image, "new", record, in_doubt=True)
            channel.gate.leave()
            assert record.attempts == 0
            assert known.open_since(image) == began
