"""A budget in Redis: even, fair, shared, and bounded while Redis is away."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis
import redis.asyncio
from patience import SOON
from redis_server import RedisServer
from reserved import CLOCKS, moments

from aioe2e import ConfigError
from aioe2e.fleet import RedisLimiter
from aioe2e.fleet import limiter as limiter_module
from aioe2e.testing import FakeE2E


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


def name() -> str:
    """A budget that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


def now() -> float:
    return asyncio.get_running_loop().time()


async def times(limiter: RedisLimiter, count: int) -> list[float]:
    """When so many turns, wanted at once, were given; the first number is when they were wanted."""
    began = now()

    async def one() -> float:
        await limiter.acquire()
        return now()

    return [began, *sorted(await asyncio.gather(*(one() for _ in range(count))))]


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not true():
            await asyncio.sleep(0.002)


async def test_requests_are_spread_evenly_over_the_budget(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=100, share=1)
        reserved = moments(limiter)
        given = await times(limiter, 60)
    assert given[-1] - given[0] >= 0.585, "more than the budget: 59 intervals are 0.59 s"
    assert len(reserved) == 60
    for earlier, later in itertools.pairwise(reserved):
        assert later.follows(earlier, 0.01), "some of the budget is lost"
    for moment, turn in zip(reserved, given[1:], strict=True):
        assert turn >= moment.asked + moment.wait - CLOCKS


async def test_a_share_of_the_budget_is_all_that_is_used(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=200, share=0.5)
        given = await times(limiter, 21)
    assert given[-1] - given[0] >= 0.195


async def test_five_thousand_an_hour_is_one_each_three_quarters_of_a_second(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name())
        assert limiter.rate == pytest.approx(5000 / 3600 * 0.95)
        reserved = moments(limiter)
        began, _, last = await times(limiter, 2)
    assert last - began >= 0.757
    first, second = reserved
    assert second.follows(first, 3600 / 5000 / 0.95)


async def test_after_a_quiet_time_a_burst_may_go_at_once(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=10, share=1, burst=5)
        reserved = moments(limiter)
        began, *given = await times(limiter, 6)
    assert [moment.wait for moment in reserved[:5]] == [0] * 5, "five may go at once"
    assert given[5] - began >= 0.09, "and the sixth may not"


async def test_a_heavy_request_takes_so_many_turns(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=100, share=1)
        await limiter.acquire(20)
        began = now()
        await limiter.acquire()
        assert now() - began >= 0.18


async def test_a_request_is_one_round_trip_of_five_commands(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=200, share=1)
        await limiter.acquire()  # the script is loaded
        before = await commands(client)
        for _ in range(20):
            await limiter.acquire()
        after = await commands(client)
    used = {key: after[key] - before.get(key, 0) for key in after}
    assert used["evalsha"] == 20
    assert sum(used.values()) - used.get("info", 0) == 20 * 5


async def commands(client: redis.asyncio.Redis) -> dict[str, int]:
    stats: dict[str, Any] = await client.info("commandstats")
    return {key.removeprefix("cmdstat_"): int(value["calls"]) for key, value in stats.items()}


async def test_two_limiters_of_one_name_share_a_budget_and_take_turns(redis_url: str) -> None:
    shared = name()
    async with connected(redis_url) as one, connected(redis_url) as other:
        limiters = [RedisLimiter(c, name=shared, per_second=100, share=1) for c in (one, other)]
        # One has ten requests and the other forty: the ten need not wait for the forty.
        began = now()
        few, many = await asyncio.gather(times(limiters[0], 10), times(limiters[1], 40))
    assert max(few[-1], many[-1]) - began >= 0.485
    assert few[-1] - began >= 0.17
    assert 5 <= sum(turn < few[-1] for turn in many[1:]) <= 15


async def test_budgets_of_other_names_are_others(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiters = [RedisLimiter(client, name=name(), per_second=1, share=1) for _ in range(5)]
        reserved = [moments(limiter) for limiter in limiters]
        await asyncio.gather(*(limiter.acquire() for limiter in limiters))
        assert [moment.wait for (moment,) in reserved] == [0] * 5


async def test_each_account_has_a_budget_of_its_own_unless_it_is_named(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, per_second=1, share=1)
        accounts = [limiter.for_account(uuid.uuid4().hex) for _ in range(2)]
        reserved = [moments(account) for account in accounts]
        await asyncio.gather(*(account.acquire() for account in accounts))
        assert [moment.wait for (moment,) in reserved] == [0] * 2
        assert limiter.for_account("a") is limiter.for_account("a")
        named = RedisLimiter(client, name=name())
        assert named.for_account("a") is named


async def test_a_pause_holds_every_process_back(redis_url: str) -> None:
    shared = name()
    async with connected(redis_url) as one, connected(redis_url) as other:
        limiters = [RedisLimiter(c, name=shared, per_second=100, share=1) for c in (one, other)]
        for limiter in limiters:
            await limiter.acquire()
        began = now()
        limiters[0].throttled(0.3)
        await asyncio.wait(limiters[0]._sharing)  # Redis knows
        given = await asyncio.gather(*(times(limiter, 3) for limiter in limiters))
    every = sorted(itertools.chain(*(turns[1:] for turns in given)))
    assert every[0] - began >= 0.3
    assert every[-1] - began >= 0.345, "and after it they do not all go at once"


async def test_a_turn_that_was_reserved_before_a_pause_comes_after_it(redis_url: str) -> None:
    shared = name()
    async with connected(redis_url) as one, connected(redis_url) as other:
        slow, told = (RedisLimiter(c, name=shared, per_second=2, share=1) for c in (one, other))
        await slow.acquire()
        reserved = moments(slow)
        waiting = asyncio.create_task(slow.acquire())  # reserved for in 0.5 s
        await until(lambda: reserved)
        began = now()
        told.throttled(0.8)
        await waiting
        assert now() - began >= 0.8


async def test_a_shorter_pause_does_not_end_a_longer_one(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=100, share=1)
        began = now()
        limiter.throttled(0.3)
        limiter.throttled(0.1)
        await asyncio.wait(limiter._sharing)
        await limiter.acquire()
        assert now() - began >= 0.3


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
async def test_a_pause_that_cannot_be_meant_is_none(seconds: float, redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=100, share=1)
        limiter.throttled(seconds)
        assert not limiter._sharing
        async with asyncio.timeout(SOON):
            await limiter.acquire()


async def test_a_wait_that_is_cancelled_holds_no_turn(redis_url: str) -> None:
    async with connected(redis_url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=1, share=1)
        await limiter.acquire()
        reserved = moments(limiter)
        first = asyncio.create_task(limiter.acquire())
        others = [asyncio.create_task(limiter.acquire()) for _ in range(20)]
        await until(lambda: reserved)
        for task in (first, *others):
            task.cancel()
        await asyncio.wait([first, *others])
        await limiter.acquire()  # takes the moment that the first had
        (moment,) = reserved
        assert now() >= moment.asked + moment.wait - CLOCKS


async def test_decoded_answers_are_understood(redis_url: str) -> None:
    client = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)
    try:
        await RedisLimiter(client, name=name(), per_second=100).acquire()
    finally:
        await client.aclose()


async def test_keys_of_a_quiet_budget_go_by_themselves(redis_url: str) -> None:
    async with connected(redis_url) as client:
        budget = name()
        await RedisLimiter(client, name=budget, per_second=100).acquire()
        (key,) = await client.keys(f"*{budget}*")
        assert 0 < await client.pttl(key) <= 1100


async def test_two_sessions_of_one_process_share_one_limiter(redis_url: str) -> None:
    async with connected(redis_url) as client, FakeE2E(requests_per_second=100, burst=5) as fake:
        limiter = RedisLimiter(client, name=name(), per_second=100)
        async with fake.session(limiter=limiter) as one, fake.session(limiter=limiter) as two:
            began = now()
            jobs = [s.request("GET", "nodes/") for s in (one, two) for _ in range(15)]
            await asyncio.gather(*jobs)
            assert now() - began >= 29 / 95 - 0.01
        assert fake.refused == 0


async def test_a_session_that_is_cancelled_in_a_crowd_loses_no_turn_of_the_others(
    redis_url: str,
) -> None:
    async with connected(redis_url) as client, FakeE2E() as fake:
        limiter = RedisLimiter(client, name=name(), per_second=50, share=1)
        async with fake.session(limiter=limiter) as session:
            reserved = moments(limiter)
            calls = [asyncio.create_task(session.request("GET", "nodes/")) for _ in range(60)]
            await until(lambda: len(reserved) >= 5)
            for call in calls[:40]:
                call.cancel()
            before = len(reserved)
            await asyncio.gather(*calls[40:])
            # A moment that comes while its call is cancelled is over; all others are used.
            assert 19 <= len(reserved) - before <= 21


@pytest.mark.parametrize("off", [-60.0, 60.0])
async def test_the_clock_of_a_machine_does_not_matter(
    off: float, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shared = time.time, name()
    async with connected(redis_url) as one, connected(redis_url) as other:
        limiters = [RedisLimiter(c, name=shared, per_second=50, share=1) for c in (one, other)]
        await limiters[0].acquire()
        began = now()
        monkeypatch.setattr(time, "time", lambda: real() + off)
        await limiters[1].acquire()
        assert 0.015 <= now() - began < SOON


# Redis goes away


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_while_redis_is_away_a_process_goes_on_with_its_share(
    how: str, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(redis_server.url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=100, share=1, fallback_share=0.5)
        await limiter.acquire()
        getattr(redis_server, how)()
        await limiter.acquire()  # finds out, within a second
        assert limiter.mode == "local"
        given = await times(limiter, 20)
    assert given[-1] - given[0] >= 0.375, "never more than its share"
    assert given[-1] - given[0] <= SOON / 2, "it asks again and again"
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "cannot reach Redis" in warning.getMessage()
    assert vars(warning)["mode"] == "local"


async def test_a_redis_that_comes_back_is_used_again(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter_module, "ASK_AGAIN", 0.2)
    async with connected(redis_server.url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=100, share=1)
        await limiter.acquire()
        redis_server.kill()
        await limiter.acquire()
        assert len(caplog.records) == 1
        redis_server.start()
        async with asyncio.timeout(SOON):
            while len(caplog.records) == 1:
                await limiter.acquire()
        assert limiter.mode == "shared"
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "reaches Redis again" in caplog.messages[-1]


async def test_a_pause_is_kept_also_while_redis_is_away(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as client:
        limiter = RedisLimiter(client, name=name(), per_second=100)
        redis_server.kill()
        await limiter.acquire()
        began = now()
        limiter.throttled(0.3)
        await limiter.acquire()
        assert now() - began >= 0.3


async def test_a_redis_that_refuses_is_a_redis_that_is_away(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(redis_url) as client:
        budget = name()
        await client.set(f"aioe2e:budget:{budget}", "no hash", ex=10)
        limiter = RedisLimiter(client, name=budget, per_second=100)
        await limiter.acquire()
    assert limiter.mode == "local"
    assert len(caplog.records) == 1


async def test_a_server_that_was_never_there_costs_a_second_and_no_error() -> None:
    async with connected("redis://127.0.0.1:1/0") as client:
        limiter = RedisLimiter(client, name=name(), per_second=100)
        began = time.monotonic()
        await limiter.acquire()
        assert time.monotonic() - began < SOON
        assert limiter.mode == "local"


# Bad input


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"share": 0}, "share must be a number above 0 and at most 1, not 0"),
        ({"share": 1.01}, "share"),
        ({"share": -0.5}, "share"),
        ({"share": math.nan}, "share"),
        ({"share": "0.5"}, "share"),
        ({"share": True}, "share"),
        ({"fallback_share": 0}, "fallback_share"),
        ({"fallback_share": 2}, "fallback_share"),
        ({"per_second": 0}, "per_second"),
        ({"per_second": math.inf}, "per_second"),
        ({"per_hour": 0}, "per_hour"),
        ({"per_hour": None}, "per_second or per_hour must be given"),
        ({"burst": 0}, "burst must be a whole number of 1 or more, not 0"),
        ({"burst": 1.5}, "burst"),
        ({"name": ""}, "name must be 1 to 200 printable characters, not ''"),
        ({"name": "a\nb"}, "name"),
        ({"name": 7}, "name"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(
    arguments: dict[str, Any], named: str
) -> None:
    client = redis.asyncio.Redis()
    with pytest.raises(ConfigError, match=named):
        RedisLimiter(client, **arguments)


@pytest.mark.parametrize("client", [None, "redis://localhost", redis.Redis()])
def test_another_client_is_refused_by_name(client: Any) -> None:
    with pytest.raises(ConfigError, match=r"client must be a redis\.asyncio\.Redis, not a "):
        RedisLimiter(client)


@pytest.mark.parametrize("weight", [0, -1, 1.0, True, None])
async def test_a_weight_that_cannot_be_meant_is_refused(weight: Any, redis_url: str) -> None:
    async with connected(redis_url) as client:
        with pytest.raises(ConfigError, match="weight must be a whole number of 1 or more"):
            await RedisLimiter(client, name=name()).acquire(weight)
