"""A session that lives for months: after thousands of calls, faults, waits, views and cancellations nothing has grown."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from patience import SOON

import aioe2e
from aioe2e._clock import Clock
from aioe2e.testing import KINDS, FakeE2E, Faults

FULL = os.environ.get("AIOE2E_CHAOS") == "full"
#: Calls in one of the rounds that are compared with each other.
ROUND = 5_000 if FULL else 720
ROUNDS = 4
#: Calls at the same time.
WIDTH = 60
#: Sleeps are shortened: what is looked for is what stays behind.
HASTY = Clock(sleep=lambda seconds: asyncio.sleep(min(seconds, 0.001)))
QUICK = aioe2e.RetryPolicy(base=0.001, cap=0.002, look=0.01, max_retry_after=0.01)


@attrs.frozen
class Footprint:
    """What a session holds on to."""

    memory: int
    tasks: int
    sockets: int
    timers: int
    connections: int


#: Files whose memory is not the client's: the emulator lives in the same process, and remembers much.
_NOT_THE_CLIENT = ("/aioe2e/testing/", "/aiohttp/web", "/json/", "tracemalloc.py", "linecache.py")


def _memory() -> int:
    found = tracemalloc.take_snapshot().statistics("filename")
    return sum(
        entry.size
        for entry in found
        if not any(part in entry.traceback[0].filename for part in _NOT_THE_CLIENT)
    )


def _sockets() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def footprint(session: aioe2e.Session) -> Footprint:
    for _ in range(3):
        gc.collect()
    channel = session._channel
    assert channel._transport is not None
    connector = channel._transport._http.connector
    assert connector is not None
    assert not connector._acquired
    scheduled: list[Any] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio's own
    return Footprint(
        memory=_memory(),
        tasks=len(asyncio.all_tasks()),
        sockets=_sockets(),
        timers=sum(not handle.cancelled() for handle in scheduled),
        connections=sum(map(len, connector._conns.values())),
    )


class User:
    """Somebody who does everything that can be done with a session, in no order."""

    def __init__(self, session: aioe2e.Session, fake: FakeE2E, dice: random.Random) -> None:
        self.session = session
        self.fake = fake
        self.dice = dice
        self.made = 0

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await self.turn()

    async def turn(self) -> None:
        session = self.session
        if self.dice.random() < 0.2:
            session = session.with_options(
                timeouts=aioe2e.Timeouts(attempt=0.1, total=0.2), retry=QUICK
            )
        call = asyncio.create_task(self._call(session.images, session)())
        if self.dice.random() < 0.15:
            asyncio.get_running_loop().call_later(self.dice.random() * 0.01, call.cancel)
        await asyncio.wait([call])
        if not call.cancelled() and (error := call.exception()) is not None:
            assert isinstance(error, aioe2e.E2EError), repr(error)

    def _call(self, images: aioe2e.Images, session: aioe2e.Session) -> Callable[[], Any]:
        self.made += 1
        dice, number = self.dice, self.made
        some = [dice.choice(list(self.fake.images)) for _ in range(3)]
        node = dice.choice(list(self.fake.nodes))
        calls: list[Callable[[], Awaitable[object]]] = [
            images.list,
            lambda: images.get(some[0]),
            lambda: images.rename(some[0], f"renamed-{number % 97}"),
            lambda: images.delete(number, missing_ok=True),
            lambda: images.wait(some[0], timeout=0.05, interval=0.01),
            lambda: images.wait_gone(some[0], timeout=0.02, interval=0.01),
            lambda: session.request("GET", "nodes/"),
            lambda: images.bulk_rename(
                dict.fromkeys(set(some[:1]), f"bulk-{number % 97}"), limit=2
            ),
            lambda: self._save(images, node, f"save-{number}"),
        ]
        return dice.choice(calls)

    async def _save(self, images: aioe2e.Images, node: str, name: str) -> None:
        action = await images.save(node, name)
        image = await images.wait_saved(action, timeout=0.1, interval=0.01)
        await images.delete(image)


async def settled(fake: FakeE2E) -> None:
    fake.faults = None
    for _ in range(200):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.005)


async def test_a_kept_connection_does_not_keep_the_result_of_the_call_that_opened_it() -> None:
    """asyncio copies the context of whoever opens a connection, and holds the copy as long as the connection."""
    with FakeE2E(images=50) as fake:
        async with fake.session() as session:
            tasks = [asyncio.create_task(session.images.list()) for _ in range(8)]
            tokens = [
                weakref.ref(image) for images in await asyncio.gather(*tasks) for image in images
            ]
            del tasks
            await asyncio.sleep(0.02)
            gc.collect()
            assert len(tokens) == 8 * 50
            assert sum(token() is not None for token in tokens) == 0


@pytest.mark.timeout(600)
async def test_nothing_grows_over_the_life_of_a_session(
    record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "aioe2e")  # pytest keeps every line until the test is over
    dice = random.Random(4)
    # A kept connection remembers its last reply: one of half a megabyte would hide what is looked for.
    kinds = [kind for kind, row in KINDS.items() if not row.opt_in and kind != "message-long"] + [
        "hang"
    ]
    with FakeE2E(images=25, nodes=20, save_seconds=0.0, keep_calls=10, unique_names=False) as fake:
        limits = aioe2e.Limits(in_flight=16, retry_budget=50, adaptive=False)
        timeouts = aioe2e.Timeouts(attempt=0.1, total=0.3)
        async with fake.session(
            retry=QUICK, limits=limits, timeouts=timeouts, _clock=HASTY
        ) as session:
            user = User(session, fake, dice)
            prints: list[Footprint] = []
            tracemalloc.start()
            try:
                for _ in range(ROUNDS):
                    fake.faults = Faults.random(
                        0.2, seed=dice.randrange(1 << 30), kinds=kinds, seconds=0.02
                    )
                    await asyncio.gather(*(user.turns(ROUND // WIDTH) for _ in range(WIDTH)))
                    await settled(fake)
                    fake.ledger.clear()
                    for image in list(fake.images)[25:]:
                        del fake.images[image]
                    await asyncio.sleep(0.35)  # every attempt's clock has run out by now
                    await session.images.list()
                    prints.append(footprint(session))
            finally:
                tracemalloc.stop()
            channel = session._channel
            assert (
                channel.gate.in_flight,
                dict(session._memory.locks._held),
                set(channel.in_flight._requests),
                set(channel._scopes),
            ) == (
                0,
                {},
                set(),
                set(),
            )
            assert channel.budget.left <= 50
    for found in prints:
        print(found)
    first, last = prints[1], prints[-1]  # the first round fills caches
    record_property("bytes per call", (last.memory - first.memory) / (ROUND * (ROUNDS - 2)))
    assert user.made == ROUND // WIDTH * WIDTH * ROUNDS
    assert last.tasks == first.tasks == 1
    assert last.connections <= 2 * limits.in_flight + 8
    assert last.timers <= first.timers + 3
    # Remembered are ids, dates and saves in doubt, each up to a bound; and a connection takes 20 kB.
    more = max(0, last.connections - first.connections)
    assert last.memory - first.memory < ROUND * (ROUNDS - 2) * 100 + more * 20_000 + 200_000


async def test_the_budget_holds_in_an_outage_and_the_full_rate_comes_back() -> None:
    calls = 1_000
    with FakeE2E(images=3, faults="close-unread", keep_calls=None) as fake:
        async with fake.session(retry=QUICK, _clock=HASTY) as session:
            ends = await asyncio.gather(
                *(session.images.list() for _ in range(calls)), return_exceptions=True
            )
            assert all(isinstance(end, aioe2e.E2EError) for end in ends)
            assert len(fake.calls) <= 1.1 * calls + session._channel.limits.retry_budget
            fake.faults = None
            fake.max_in_flight = 0
            began = asyncio.get_running_loop().time()
            await asyncio.gather(*(session.images.list() for _ in range(300)))
            assert asyncio.get_running_loop().time() - began < SOON
            assert session._channel.budget.left == session._channel.limits.retry_budget
            assert session._channel.gate.limit == session._channel.limits.in_flight
