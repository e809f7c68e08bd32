"""Several processes on one account: one budget, fairly shared, and one writer of an image."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from reserved import Moment

from aioe2e.testing import Call, FakeE2E

CHILD = Path(__file__).with_name("fleet_child.py")
FULL = os.environ.get("AIOE2E_CHAOS") == "full"
#: Requests a second of the budget, and requests of each process. In full, as a fleet has them.
RATE, EACH = (60, 300) if FULL else (100, 60)
#: How much of the budget a limiter uses by default.
SHARE = 0.95
#: Requests that the emulator lets in at once: so far behind may it be on a busy machine.
BURST = RATE / 4
#: How often a fleet is started until the machine lets it be as fast as it may: what else the machine
#: does makes it slower, but never faster.
TRIES = 6


async def fleet(
    fake: FakeE2E, redis: str, tasks: Sequence[dict[str, Any]], middle: Any = None
) -> tuple[list[dict[str, Any]], str]:
    """Let each task be done by a process, all beginning at once.

    Args:
        middle: Called when all have begun.

    Returns:
        What each says in the end, and what all of them logged.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    token = str(fake.credentials.auth_token)
    common = {"url": fake.url, "key": fake.credentials.api_key, "token": token, "redis": redis}
    pipe = asyncio.subprocess.PIPE
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        for _ in tasks
    ]
    try:
        for child, task in zip(children, tasks, strict=True):
            assert child.stdin is not None
            child.stdin.write(json.dumps(common | task).encode() + b"\n")
        for child in children:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"\n")
        if middle is not None:
            await middle()
        said = await asyncio.gather(*(child.communicate() for child in children))
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
                await child.communicate()
    logged = "".join(errors.decode() for _, errors in said)
    return [json.loads(text) for text, _ in said], logged


def used(fake: FakeE2E, done: Sequence[dict[str, Any]]) -> float:
    """Which part of the budget was used while all processes had work."""
    first: float = min(result["began"] for result in done)
    last: float = min(result["ended"] for result in done)
    return sum(first <= call.time <= last for call in fake.calls) / (last - first) / RATE


def has_the_whole_budget(done: dict[str, Any], last: int) -> bool:
    """Whether Redis gave so many requests at the end one moment after the other to one process."""
    reserved = [Moment(*moment) for moment in done["moments"]][-last:]
    assert len(reserved) == last
    pairs = itertools.pairwise(reserved)
    return all(later.follows(earlier, 1 / (RATE * SHARE)) for earlier, later in pairs)


async def test_four_processes_share_a_budget_and_none_is_refused(redis_url: str) -> None:
    tasks = [{"per_second": RATE, "name": uuid.uuid4().hex, "requests": EACH}] * 4
    best, took = 0.0, [0.0]
    for _ in range(TRIES):
        async with FakeE2E(requests_per_second=RATE, burst=BURST) as fake:
            done, logged = await fleet(fake, redis_url, tasks)
            assert logged == ""
            assert [result["errors"] for result in done] == [[]] * 4
            assert len(fake.calls) == 4 * EACH
            assert fake.refused == 0
            assert used(fake, done) <= 1.02 * SHARE, "more than its share of the budget"
            best = max(best, used(fake, done))
        took = [result["took"] for result in done]
        if best >= 0.9 and max(took) <= 1.3 * min(took):
            break
    assert best >= 0.9
    assert max(took) <= 1.3 * min(took), "unfair"


async def test_a_process_with_little_work_does_not_wait_for_those_with_much(redis_url: str) -> None:
    shared = {"per_second": RATE, "name": uuid.uuid4().hex}
    counts = (10, EACH, 2 * EACH)
    tasks = [shared | {"process": n, "requests": count} for n, count in enumerate(counts)]
    async with FakeE2E(requests_per_second=RATE, burst=BURST) as fake:
        done, _ = await fleet(fake, redis_url, tasks)
        assert fake.refused == 0
        arrived = [call.query["process"] for call in fake.calls]
    few, some, many = (len(arrived) - arrived[::-1].index(str(n)) for n in range(3))
    assert few < some / 2 < some < many
    # Once the others are through, the last one has the whole budget.
    assert has_the_whole_budget(done[2], last=EACH // 3)


async def test_two_accounts_on_one_redis_have_a_budget_each(redis_url: str) -> None:
    tasks = [{"per_second": RATE, "requests": EACH // 2}]
    keys = [uuid.uuid4().hex for _ in range(2)]
    async with FakeE2E(api_key=keys[0]) as one, FakeE2E(api_key=keys[1]) as other:
        results = await asyncio.gather(*(fleet(fake, redis_url, tasks) for fake in (one, other)))
    for (done,), _ in results:
        assert has_the_whole_budget(done, last=EACH // 2)


class Overlaps:
    """Counts writes that arrive while another write of the same image is inside."""

    def __init__(self, fake: FakeE2E) -> None:
        self._fake = fake
        self.seen = 0

    def __call__(self, call: Call) -> None:
        inside = [c for c in self._fake.calls if c.target == call.target and c.status is None]
        self.seen += call.action == "rename" and len(inside) > 1


@pytest.mark.parametrize("guard", [True, False])
async def test_two_writes_of_one_image_overlap_only_without_a_guard(
    guard: bool, redis_url: str
) -> None:
    async with FakeE2E(images=4, latency=0.02, unique_names=False) as fake:
        overlaps = Overlaps(fake)
        fake.faults = overlaps
        images = list(fake.images)
        tasks = [
            {"guard": guard, "renames": [(images[n % 4], f"p{process}-{n}") for n in range(12)]}
            for process in range(3)
        ]
        done, logged = await fleet(fake, redis_url, tasks)
        assert [result["errors"] for result in done] == [[]] * 3
        assert len(fake.ledger) == 36
        if guard:
            assert overlaps.seen == 0
            assert logged == ""
        else:  # else the other half of this test could not fail
            assert overlaps.seen > 0


@pytest.mark.parametrize("how", ["stopped", "killed", "killed and started again"])
async def test_redis_goes_away_in_mid_run_and_no_call_fails(
    how: str, redis_server: RedisServer
) -> None:
    tasks = [{"per_second": RATE, "name": "budget", "requests": EACH // 2}] * 2

    async with FakeE2E(requests_per_second=RATE, burst=BURST) as fake:

        async def harm() -> None:
            while len(fake.calls) < 10:  # no event tells
                await asyncio.sleep(0.005)
            redis_server.kill(15 if how == "stopped" else 9)
            if how == "killed and started again":
                redis_server.start()

        done, logged = await fleet(fake, redis_server.url, tasks, harm)
        assert [result["errors"] for result in done] == [[]] * 2
        assert fake.refused == 0
    warned = logged.count("the limiter cannot reach Redis")
    if how == "killed and started again":
        assert warned <= 2
    else:
        assert warned == 2, "each process says it once"
