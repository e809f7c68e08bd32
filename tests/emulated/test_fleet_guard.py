"""One writer of an image at a time, among all processes: locks in Redis that fail closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import redis.asyncio
from patience import SOON
from redis_server import RedisServer

from aioe2e import ConfigError, GuardError
from aioe2e.fleet import RedisGuard
from aioe2e.fleet import guard as guard_module


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


def image() -> str:
    """An image that no other test writes to."""
    return uuid.uuid4().hex


async def test_two_writers_of_an_image_never_overlap(redis_url: str) -> None:
    inside = 0

    async def write(guard: RedisGuard, target: str) -> None:
        nonlocal inside
        async with guard.hold(target):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1

    async with connected(redis_url) as one, connected(redis_url) as other:
        target = image()
        guards = [RedisGuard(client) for client in (one, other)]
        await asyncio.gather(*(write(guard, target) for guard in guards * 4))
        assert not await one.keys(f"*{target}*"), "every lock was given back"


async def test_writers_of_two_images_do_not_wait_for_each_other(redis_url: str) -> None:
    async with connected(redis_url) as client:
        guard = RedisGuard(client)
        async with asyncio.timeout(SOON), guard.hold(image()), guard.hold(image()):
            pass


async def test_two_accounts_do_not_wait_for_each_other(redis_url: str) -> None:
    async with connected(redis_url) as client:
        guard, target = RedisGuard(client), image()
        one, other = guard.for_account("one"), guard.for_account("other")
        async with asyncio.timeout(SOON), one.hold(target), other.hold(target):
            pass


async def test_a_writer_that_waits_too_long_is_refused_before_anything_is_sent(
    redis_url: str,
) -> None:
    async with connected(redis_url) as client:
        guard, target = RedisGuard(client, wait=0.2), image()
        async with guard.hold(target):
            with pytest.raises(GuardError, match=f"image {target}: another process has been"):
                async with guard.hold(target):
                    pytest.fail("two writers")


async def test_a_lock_is_renewed_while_it_is_held(redis_url: str) -> None:
    async with connected(redis_url) as client:
        guard, target = RedisGuard(client, ttl=2), image()
        async with guard.hold(target):
            (key,) = await client.keys(f"*{target}*")
            left, renewed = [await client.pttl(key)], 0
            async with asyncio.timeout(SOON):
                while renewed < 2:
                    await asyncio.sleep(0.02)
                    left.append(await client.pttl(key))
                    assert 0 < left[-1] <= 2000
                    renewed += left[-1] > left[-2]


async def test_the_lock_of_a_process_that_died_is_free_after_its_time(redis_url: str) -> None:
    async with connected(redis_url) as client:
        target = image()
        await client.set(f"aioe2e:writer:default:{target}", "of another", px=300)
        async with asyncio.timeout(SOON), RedisGuard(client).hold(target):
            pass


async def test_a_cancelled_wait_leaves_no_lock_behind(redis_url: str) -> None:
    async with connected(redis_url) as client:
        guard, target = RedisGuard(client), image()

        async def write() -> None:
            async with guard.hold(target):
                pytest.fail("never reached")

        async with guard.hold(target):
            waiting = asyncio.create_task(write())
            await asyncio.sleep(0.1)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert not await client.keys(f"*{target}*")


async def test_an_exception_inside_comes_out_and_frees_the_lock(redis_url: str) -> None:
    async with connected(redis_url) as client:
        guard, target = RedisGuard(client), image()
        with pytest.raises(ValueError, match="mine"):
            async with guard.hold(target):
                raise ValueError("mine")
        assert not await client.keys(f"*{target}*")


# Redis goes away


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_without_redis_nobody_writes(how: str, redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as client:
        guard = RedisGuard(client, wait=0.2)
        async with guard.hold(image()):
            pass
        getattr(redis_server, how)()
        with pytest.raises(GuardError, match="the guard cannot reach Redis") as caught:
            async with guard.hold(image()):
                pytest.fail("nobody knows whether another writes")
    assert caught.value.__context__ is None or not isinstance(
        caught.value.__context__, redis.RedisError
    )


async def test_a_redis_that_starts_again_in_time_is_waited_for(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "_OUTAGE", SOON)  # a busy machine starts it slowly
    async with connected(redis_server.url) as client:
        guard = RedisGuard(client)
        redis_server.kill()

        async def write() -> None:
            async with guard.hold(image()):
                pass

        waiting = asyncio.create_task(write())
        await asyncio.sleep(0.3)
        redis_server.start()
        await waiting


async def test_a_lock_that_is_lost_while_it_is_held_is_a_warning(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(redis_server.url) as client:
        guard, target = RedisGuard(client, ttl=0.6), image()
        async with guard.hold(target):
            redis_server.kill()
            redis_server.start()  # empty
            async with connected(redis_server.url) as another:
                await another.set(f"aioe2e:writer:default:{target}", "of another")
            async with asyncio.timeout(SOON):
                while not caplog.records:
                    await asyncio.sleep(0.02)
        async with connected(redis_server.url) as another:
            left = await another.get(f"aioe2e:writer:default:{target}")
            assert left == b"of another", "what is not ours stays"
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert f"image {target}: the lock was lost" in warning.getMessage()
    assert vars(warning)["target"] == target


async def test_a_lock_that_cannot_be_renewed_is_a_warning_when_its_time_is_over(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(redis_server.url) as client:
        guard = RedisGuard(client, ttl=0.3)
        async with guard.hold(image()):
            redis_server.kill()
            async with asyncio.timeout(SOON):
                while not caplog.records:
                    await asyncio.sleep(0.02)
    assert "the lock was lost while a write was under way" in caplog.messages[0]
    assert [r.levelno for r in caplog.records].count(logging.WARNING) == 1


async def test_a_client_that_is_closed_on_a_dead_server_is_named(
    redis_server: RedisServer,
) -> None:
    async with connected(redis_server.url) as client:
        guard = RedisGuard(client, wait=0)
        await client.aclose()
        redis_server.kill()
        with pytest.raises(GuardError, match="cannot reach Redis"):
            async with guard.hold(image()):
                pytest.fail("never reached")


# Bad input


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"ttl": 0}, "ttl must be a number of 0.1 or more, not 0"),
        ({"ttl": math.nan}, "ttl"),
        ({"ttl": "15"}, "ttl"),
        ({"wait": -1}, "wait must be a number of 0 or more, not -1"),
        ({"wait": None}, "wait"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(
    arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        RedisGuard(redis.asyncio.Redis(), **arguments)


@pytest.mark.parametrize("client", [None, "redis://localhost", redis.Redis()])
def test_another_client_is_refused_by_name(client: Any) -> None:
    with pytest.raises(ConfigError, match=r"client must be a redis\.asyncio\.Redis, not a "):
        RedisGuard(client)
