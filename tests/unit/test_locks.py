"""Two writes of one image never overlap, and nobody who waits is forgotten."""

from __future__ import annotations

import asyncio
import random

import pytest
from virtual_time import in_virtual_time, turns

from aioe2e.images.write_order import KeyedLocks


@in_virtual_time
async def test_one_key_is_held_by_one_at_a_time_first_come_first_served() -> None:
    locks = KeyedLocks()
    log: list[tuple[str, int]] = []

    async def hold(number: int) -> None:
        await locks.acquire("a")
        log.append(("in", number))
        await asyncio.sleep(1)
        log.append(("out", number))
        locks.release("a")

    await asyncio.gather(*(hold(number) for number in range(5)))
    assert log == [(word, number) for number in range(5) for word in ("in", "out")]
    assert locks._held == {}


@in_virtual_time
async def test_different_keys_do_not_wait_for_each_other() -> None:
    locks = KeyedLocks()
    await asyncio.wait_for(asyncio.gather(*(locks.acquire(str(number)) for number in range(50))), 1)
    for number in range(50):
        locks.release(str(number))
    assert locks._held == {}


@in_virtual_time
async def test_a_key_that_nobody_wants_is_free_at_once_and_forgotten() -> None:
    locks = KeyedLocks()
    await locks.acquire("a")
    locks.release("a")
    assert locks._held == {}
    await locks.acquire("a")
    locks.release("a")


@in_virtual_time
async def test_a_cancelled_waiter_leaves_the_line() -> None:
    locks = KeyedLocks()
    await locks.acquire("a")
    first, second = (asyncio.create_task(locks.acquire("a")) for _ in range(2))
    await turns()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    locks.release("a")
    await second
    locks.release("a")
    assert locks._held == {}


@in_virtual_time
async def test_a_waiter_cancelled_in_the_moment_of_its_turn_hands_the_key_on() -> None:
    locks = KeyedLocks()
    await locks.acquire("a")
    first, second = (asyncio.create_task(locks.acquire("a")) for _ in range(2))
    await turns()
    locks.release("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    locks.release("a")
    assert locks._held == {}


@in_virtual_time
async def test_holder_and_waiters_cancelled_together_all_end_as_cancelled() -> None:
    locks = KeyedLocks()

    async def hold() -> None:
        await locks.acquire("a")
        try:
            await asyncio.sleep(10)
        finally:
            locks.release("a")

    tasks = [asyncio.create_task(hold()) for _ in range(4)]
    await turns()
    for task in tasks:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 4
    assert locks._held == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_storm_of_cancels_loses_no_key(seed: int) -> None:
    @in_virtual_time
    async def storm() -> None:
        dice = random.Random(seed)
        locks = KeyedLocks()
        holders: dict[str, int] = {}

        async def hold(key: str) -> None:
            await locks.acquire(key)
            try:
                holders[key] = holders.get(key, 0) + 1
                assert holders[key] == 1
                await asyncio.sleep(dice.random())
            finally:
                holders[key] -= 1
                locks.release(key)

        tasks: list[asyncio.Task[None]] = []
        for _ in range(300):
            tasks.append(asyncio.create_task(hold(dice.choice("abc"))))
            if dice.random() < 0.5:
                dice.choice(tasks).cancel()
            if dice.random() < 0.3:
                await asyncio.sleep(dice.random())
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(error) for error in found} <= {type(None), asyncio.CancelledError}
        assert locks._held == {}

    storm()
