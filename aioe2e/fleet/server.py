"""What is kept in Redis: a budget with its pause, and locks. The only module that knows redis-py.

Every wait for Redis ends after `PATIENCE` seconds, whatever the timeouts and retries of the
client, and every failure is the same `RedisAway`.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable
from typing import Any, Final, TypeVar, cast

from aioe2e.errors import ConfigError

_HINT: Final = "install redis 5.2 or later: pip install 'aioe2e[redis]'"

try:
    import redis.asyncio
    from redis.asyncio.lock import Lock
    from redis.exceptions import LockNotOwnedError, RedisError
except ImportError as _missing:
    raise ImportError(f"aioe2e.fleet needs redis-py: {_HINT}") from _missing

__all__ = ["PATIENCE", "Budget", "RedisAway", "WriterLock", "checked_client"]

T = TypeVar("T")

#: Seconds that Redis has to answer one command.
PATIENCE: Final = 1.0

_MICROSECONDS: Final = 1_000_000

#: Reserves the next free moment of a budget; returns in how many microseconds it comes.
#: The time is that of the server, so the clocks of the machines need not agree.
_RESERVE: Final = """
-- KEYS[1]  a hash: `next`, the first free moment; `paused`, until when nothing may be sent
-- ARGV     microseconds that each request takes of the budget, and that a burst may come early;
--          how many requests to reserve for
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', KEYS[1], 'next', 'paused')
local free = math.max(tonumber(known[1]) or 0, now)
local paused = tonumber(known[2]) or 0
local at = math.max(now, free - ARGV[2], paused)
free = math.max(free, at) + ARGV[1] * ARGV[3]
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', free))
redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(free, paused) - now) / 1000) + 1000)
return math.ceil(at - now)
"""

#: Begins or prolongs a pause; returns how many microseconds are left of the longest one.
_PAUSE: Final = """
-- KEYS[1]  the hash above
-- ARGV     microseconds of the pause from now on; 0 only asks
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', KEYS[1], 'next', 'paused')
local paused = tonumber(known[2]) or 0
if now + ARGV[1] > paused and tonumber(ARGV[1]) > 0 then
  paused = now + ARGV[1]
  redis.call('HSET', KEYS[1], 'paused', string.format('%.0f', paused))
  local last = math.max(tonumber(known[1]) or 0, paused)
  redis.call('PEXPIRE', KEYS[1], math.ceil((last - now) / 1000) + 1000)
end
return math.max(0, math.ceil(paused - now))
"""


class RedisAway(Exception):  # noqa: N818  # a signal within the room, never an error of a call
    """Redis did not answer in time, or not as it should.

    The text is the name of a class, and holds nothing that the server said.
    """


class NotOwned(Exception):  # noqa: N818  # a signal within the room
    """The lock has expired, or is another's by now."""


def checked_client(client: object) -> redis.asyncio.Redis:
    """The client, if it is one of redis-py's for asyncio.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(client, redis.asyncio.Redis):
        kind = f"{type(client).__module__}.{type(client).__qualname__}"
        raise ConfigError(f"client must be a redis.asyncio.Redis, not a {kind}")
    return client


async def _answered(command: Awaitable[T]) -> T:
    """The answer to a command.

    Raises:
        RedisAway: There is none.
    """
    task = asyncio.current_task()
    cancelled = 0 if task is None else task.cancelling()
    answer: T | None = None
    reason = ""
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await command
    except LockNotOwnedError:
        raise
    except (RedisError, OSError, TimeoutError, RuntimeError) as error:
        # A RuntimeError is redis-py's word for a client whose event loop is closed.
        reason = type(error).__name__
    if task is not None and task.cancelling() > cancelled:
        raise asyncio.CancelledError  # redis-py may take a cancellation for a lost connection
    if reason:
        raise RedisAway(reason)
    return cast("T", answer)


class Budget:
    """Requests that all processes together may make, and the pause that all of them keep.

    Args:
        client: Where it is kept.
        name: Its key, after a prefix of this library.
        interval: Seconds of the budget that one request takes.
        burst: Requests that may go at once after a quiet time.
    """

    def __init__(
        self, client: redis.asyncio.Redis, name: str, *, interval: float, burst: int
    ) -> None:
        self._key = f"aioe2e:budget:{name}"
        self._interval = round(interval * _MICROSECONDS)
        self._early = self._interval * (burst - 1)
        self._reserve: Any = client.register_script(_RESERVE)
        self._pause: Any = client.register_script(_PAUSE)

    async def reserve(self, weight: int) -> float:
        """Reserve a moment for `weight` requests; returns in how many seconds it comes."""
        arguments = [self._interval, self._early, weight]
        return await self._run(self._reserve, arguments)

    async def pause(self, seconds: float) -> float:
        """Hold everybody back for so many seconds from now on; 0 only asks.

        Returns:
            The seconds that are left of the longest pause.
        """
        return await self._run(self._pause, [round(seconds * _MICROSECONDS)])

    async def _run(self, script: Any, arguments: list[int]) -> float:
        answer = await _answered(script(keys=[self._key], args=arguments))
        return int(answer) / _MICROSECONDS


class WriterLock:
    """redis-py's own lock, for one writer of one image.

    Args:
        client: Where it is kept.
        name: Its key, after a prefix of this library.
        ttl: Seconds after which it is free again unless it is renewed.
    """

    def __init__(self, client: redis.asyncio.Redis, name: str, ttl: float) -> None:
        self._lock = Lock(client, f"aioe2e:writer:{name}", timeout=ttl, thread_local=False)
        self._token = uuid.uuid4().hex.encode()
        #: Whether an answer was lost, so that the lock may be held already.
        self._unsure = False

    async def try_acquire(self) -> bool:
        """Hold it if it is free.

        Raises:
            RedisAway: No answer; the lock may be held until its time is over.
        """
        if self._unsure:
            with contextlib.suppress(NotOwned):
                await self.renew()
                return True
        try:
            return await _answered(self._lock.acquire(blocking=False, token=self._token))
        except BaseException:
            self._unsure = True
            self._lock.local.token = self._token  # `renew` and `release` need it
            raise

    async def renew(self) -> None:
        """Hold it for its whole time again.

        Raises:
            NotOwned: It is lost.
            RedisAway: No answer.
        """
        await self._owned(self._lock.reacquire())

    async def release(self) -> None:
        """Let go of it. Raises what `renew` raises."""
        await self._owned(self._lock.release())

    async def _owned(self, command: Awaitable[Any]) -> None:
        try:
            await _answered(command)
            return
        except LockNotOwnedError:
            pass  # raised below, where no context hangs on it
        raise NotOwned
