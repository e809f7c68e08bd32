"""Which image belongs to which save: asked for again, by copies, without a clock, and in doubt."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e.testing import FakeE2E, Fault

QUICK = aioe2e.RetryPolicy(attempts=2, base=0.01, cap=0.02, look=0.3)


def node(fake: FakeE2E, number: int = 0) -> str:
    return list(fake.nodes)[number]


def twins() -> FakeE2E:
    """An account in which two images may have one name."""
    return FakeE2E(images=0, nodes=2, save_seconds=0.02, unique_names=False)


def copy(action: aioe2e.SaveAction) -> aioe2e.SaveAction:
    found = pickle.loads(pickle.dumps(action))
    assert isinstance(found, aioe2e.SaveAction)
    return found


# Asked for again


async def test_the_image_of_a_save_is_found_again_and_again() -> None:
    async with FakeE2E(images=3, nodes=1, save_seconds=0.05) as fake, fake.session() as session:
        action = await session.images.save(node(fake), "nightly")
        assert action.image_id is None
        first = await session.images.wait_saved(action, interval=0.01, timeout=SOON)
        again = await session.images.wait_saved(action, interval=0.01, timeout=SOON)
        assert first.image_id == again.image_id


async def test_several_waiters_for_one_save_all_get_its_image() -> None:
    async with FakeE2E(images=3, nodes=1, save_seconds=0.05) as fake, fake.session() as session:
        action = await session.images.save(node(fake), "nightly")
        waits = (session.images.wait_saved(a, interval=0.01, timeout=SOON) for a in (
            action, action, copy(action), copy(action)
        ))  # fmt: skip
        found = await asyncio.gather(*waits)
        assert len({image.image_id for image in found}) == 1


@pytest.mark.parametrize("how", ["timed out", "cancelled"])
async def test_a_wait_that_ended_early_does_not_keep_the_image_from_the_next(how: str) -> None:
    async with FakeE2E(images=0, nodes=1, save_seconds=0.2) as fake, fake.session() as session:
        action = await session.images.save(node(fake), "nightly")
        wait = session.images.wait_saved(action, interval=0.01, timeout=0.08)
        if how == "timed out":
            with pytest.raises(aioe2e.WaitTimeoutError):
                await wait
        else:
            task = asyncio.ensure_future(wait)
            while not fake.calls or fake.calls[-1].action != "list":
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        found = await session.images.wait_saved(action, interval=0.01, timeout=SOON)
        assert found.name == "nightly"


async def test_another_session_finds_the_image_of_a_pickled_action_any_number_of_times() -> None:
    async with FakeE2E(images=3, nodes=1, save_seconds=0.05) as fake:
        async with fake.session() as session:
            action = await session.images.save(node(fake), "nightly")
            here = await session.images.wait_saved(action, interval=0.01, timeout=SOON)
        async with fake.session() as other:
            for _ in range(2):
                there = await other.images.wait_saved(copy(action), interval=0.01, timeout=SOON)
                assert there.image_id == here.image_id


async def test_two_saves_under_one_name_keep_an_image_each() -> None:
    async with twins() as fake, fake.session() as session:
        first = await session.images.save(node(fake, 0), "nightly")
        one = await session.images.wait_saved(first, interval=0.01, timeout=SOON)
        second = await session.images.save(node(fake, 1), "nightly")
        two = await session.images.wait_saved(second, interval=0.01, timeout=SOON)
        assert one.image_id != two.image_id
        assert (await session.images.wait_saved(first, timeout=SOON)).image_id == one.image_id
        assert (
            await session.images.wait_saved(copy(second), timeout=SOON)
        ).image_id == two.image_id


# More than one


async def test_a_wait_ends_as_soon_as_nothing_can_tell_the_candidates_apart() -> None:
    async with twins() as fake, fake.session() as session:
        actions = [await session.images.save(node(fake, n), "nightly") for n in range(2)]
        while any(image["image_state"] == "Creating" for image in fake.images.values()):
            await session.images.list()
        assert len(fake.images) == 2
        with pytest.raises(aioe2e.WaitTimeoutError) as caught:
            await session.images.wait_saved(actions[0], interval=0.01, timeout=60)
        for image_id in fake.images:
            assert image_id in str(caught.value)
        assert "2 images may be the one" in str(caught.value)


# In doubt


@pytest.mark.parametrize(
    "rules", [{"send_date": False}, {"date_offset": 40.0}, {"date_offset": -3600.0}], ids=str
)
async def test_a_lost_save_is_proven_by_what_the_session_learned_of_the_clock(
    rules: dict[str, Any],
) -> None:
    async with (
        FakeE2E(images=3, nodes=2, save_seconds=0.02, **rules) as fake,
        fake.session(retry=QUICK) as session,
    ):
        await session.images.save(node(fake, 0), "known")
        fake.inject(Fault("close", applied=True), action="save")
        lost = await session.images.save(node(fake, 1), "lost")
        assert lost.image_id is not None
        assert fake.images[lost.image_id]["name"] == "lost"


@pytest.mark.parametrize("rules", [{"send_date": False}, {"date_offset": 40.0}], ids=str)
async def test_an_old_image_of_the_same_name_is_no_proof_without_a_clock_either(
    rules: dict[str, Any],
) -> None:
    async with (
        FakeE2E(images=1, nodes=2, **rules) as fake,
        fake.session(retry=QUICK) as session,
    ):
        next(iter(fake.images.values()))["name"] = "lost"
        await session.images.save(node(fake, 0), "known")
        fake.inject("close-unread", action="save", times=2)
        with pytest.raises(aioe2e.OutcomeUnknownError):
            await session.images.save(node(fake, 1), "lost")


async def test_without_any_clock_a_lost_save_stays_unknown() -> None:
    async with (
        FakeE2E(images=1, nodes=1, send_date=False) as fake,
        fake.session(retry=QUICK) as session,
    ):
        fake.inject(Fault("close", applied=True), action="save")
        with pytest.raises(aioe2e.OutcomeUnknownError):
            await session.images.save(node(fake), "lost")
