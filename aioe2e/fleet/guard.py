"""One writer of an image at a time, among all processes that use an account."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from aioe2e.errors import GuardError

from .checks import checked_number
from .server import NotOwned, RedisAway, WriterLock, checked_client

__all__ = ["RedisGuard"]

log: Final = logging.getLogger("aioe2e")

#: Seconds between two tries for a lock that another holds, at the least and at the most.
_POLL: Final = (0.05, 0.15)
#: A Redis that does not answer any write is asked for so many seconds before one is given up.
_OUTAGE: Final = 3.0


class RedisGuard:
    """A `Guard` with locks in Redis: one process at a time may write to an image.

    If it cannot be certain, the call ends with `GuardError` before anything is sent, and the step
    of a run is SKIPPED. If a lock is lost during a write (Redis lost its data, or the process was
    stopped for ``ttl`` seconds), a warning is logged, and the call ends as the server's reply
    decides.

    Pass it to `Session` as ``guard=``. Several sessions of one event loop may share one.

    Args:
        client: A ``redis.asyncio.Redis``. The guard does not close it.
        ttl: Seconds until the lock of a process that died is released, 0.1 or more. A lock that is
            in use is renewed three times in that time.
        wait: Seconds to wait for another writer before the call ends with `GuardError`, 0 or more.

    Raises:
        ConfigError: An argument is invalid; the text names it.
    """

    def __init__(
        self, client: Any, *, ttl: float = 15.0, wait: float = 60.0, _account: str = "default"
    ) -> None:
        self._client = checked_client(client)
        self._ttl = checked_number("ttl", ttl, least=0.1)
        self._wait = checked_number("wait", wait, least=0)
        self._account = _account
        #: Since when Redis has not answered anybody; None when it did.
        self._silent_since: float | None = None

    def for_account(self, account: str) -> RedisGuard:
        """Return the guard for an account. Each session that uses this guard calls it.

        Args:
            account: A hash of the API key.
        """
        return RedisGuard(self._client, ttl=self._ttl, wait=self._wait, _account=account)

    def hold(self, image: str, /) -> AbstractAsyncContextManager[None]:
        """Return a context manager in which the caller is the only writer of an image.

        Args:
            image: The image's id.

        Raises:
            GuardError: On entering, if another process has the lock for ``wait`` seconds, or Redis
                does not reply.
        """
        return self._hold(image)

    @contextlib.asynccontextmanager
    async def _hold(self, image: str) -> AsyncGenerator[None]:
        held = _HeldLock(WriterLock(self._client, f"{self._account}:{image}", self._ttl), image)
        await self._acquire(held, image)
        held.keep(self._ttl)
        try:
            yield
        finally:
            await held.let_go()

    async def _acquire(self, held: _HeldLock, image: str) -> None:
        """Hold the lock, or say why not."""
        now = asyncio.get_running_loop().time
        began = now()
        while True:
            try:
                if await held.lock.try_acquire():
                    self._silent_since = None
                    return
                self._silent_since = None
                is_over = now() - began >= self._wait
                problem = f"another process has been writing to it for {self._wait:g} s"
            except RedisAway as error:
                self._silent_since = self._silent_since or now()
                is_over = now() - self._silent_since >= min(self._wait, _OUTAGE)
                problem = f"the guard cannot reach Redis ({error})"
            except BaseException:
                await held.let_go()  # the answer is lost, but the lock may be held
                raise
            if is_over:
                raise GuardError(f"{problem}; nothing was sent", subject=f"image {image}")
            await asyncio.sleep(random.uniform(*_POLL))


class _HeldLock:
    """A lock of this process, and what renews it."""

    def __init__(self, lock: WriterLock, image: str) -> None:
        self.lock = lock
        self._image = image
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._lost = False

    def keep(self, ttl: float) -> None:
        """Renew it from now on, three times in each `ttl` seconds.

        Hardly any write takes as long as the first third, so there is no task before that.
        """
        loop = asyncio.get_running_loop()
        self._sure_until = loop.time() + ttl
        self._timer = loop.call_later(ttl / 3, self._renew_soon, ttl)

    def _renew_soon(self, ttl: float) -> None:
        loop = asyncio.get_running_loop()
        self._renewal = loop.create_task(self._renew(ttl))
        self._timer = loop.call_later(ttl / 3, self._renew_soon, ttl)

    async def _renew(self, ttl: float) -> None:
        now = asyncio.get_running_loop().time
        asked_at = now()
        try:
            await self.lock.renew()
        except NotOwned:
            self._lose("it is no longer this process's")
        except RedisAway as error:
            if now() >= self._sure_until:
                self._lose(f"Redis does not answer ({error})")
        else:
            self._sure_until = asked_at + ttl

    def _lose(self, reason: str) -> None:
        if self._lost:
            return
        self._lost = True
        log.warning(
            "image %s: the lock was lost while a write was under way (%s); another process may "
            "have written to it",
            self._image,
            reason,
            extra={"target": self._image, "reason": reason},
        )

    async def let_go(self) -> None:
        """Stop renewing it and give it back. Never raises for what Redis says or does not say."""
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        try:
            await self.lock.release()
        except NotOwned:
            if self._timer is not None:
                self._lose("it is no longer this process's")
        except RedisAway as error:
            log.info(
                "image %s: its lock could not be given back (%s) and expires by itself",
                self._image,
                error,
                extra={"target": self._image, "reason": str(error)},
            )
