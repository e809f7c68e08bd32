"""One writer of an image at a time, in this session and, with a guard, among all that share it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Final

from aioe2e._call import Channel, closed_error
from aioe2e.errors import DeadlineExceededError, GuardError

log: Final = logging.getLogger("aioe2e")


class _KeyLock:
    """The lock of one key."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        #: Those who hold it or wait for it. Written by `acquire` and `_leave`.
        self.users = 0


class KeyedLocks:
    """Locks by key, which exist only while held or waited for. First come, first served."""

    def __init__(self) -> None:
        self._held: dict[str, _KeyLock] = {}

    async def acquire(self, key: str) -> None:
        """Wait until the key is free, and hold it."""
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = _KeyLock()
        found.users += 1
        try:
            await found.lock.acquire()
        except BaseException:
            self._leave(key)
            raise

    def release(self, key: str) -> None:
        """Hand the key to the one who has waited longest for it."""
        self._held[key].lock.release()
        self._leave(key)

    def _leave(self, key: str) -> None:
        found = self._held[key]
        found.users -= 1
        if not found.users:
            del self._held[key]


@contextlib.asynccontextmanager
async def guarded(channel: Channel, image: str, until: float | None) -> AsyncGenerator[None]:
    """Be the only writer of an image among all sessions that share the guard.

    Args:
        channel: Of a session with a guard.
        image: The image's id.
        until: Loop time after which there is nothing to wait for.

    Raises:
        GuardError: The guard did not let the write begin.
        DeadlineExceededError: It did not by `until`.
        SessionError: The session is closed, or belongs to another loop.
    """
    guard = channel.settings.guard
    assert guard is not None
    channel.enter()  # else closing the session would not end the wait
    error: Exception
    try:
        holding = guard.hold(image)
        await channel.bounded(holding.__aenter__(), until)
    except GuardError as refusal:
        error = refusal.with_traceback(None)
    except Exception as failure:  # noqa: BLE001  # the guard is the user's
        error = _of_failure(channel, image, until, failure)
    else:
        try:
            yield
        finally:
            await _leave(holding, image)
        return
    raise error


def _of_failure(channel: Channel, image: str, until: float | None, failure: Exception) -> Exception:
    """What an exception on entering a guard means."""
    if channel.closed:
        return closed_error()
    if isinstance(failure, TimeoutError) and until is not None and channel.clock.now() >= until:
        return DeadlineExceededError(
            "the guard did not let the write begin in time", subject=f"image {image}"
        )
    kind = type(failure).__name__
    return GuardError(f"the guard failed with {kind}; nothing was sent", subject=f"image {image}")


async def _leave(holding: contextlib.AbstractAsyncContextManager[None], image: str) -> None:
    """Leave the guard; the call ends as the server's answer says."""
    try:
        await holding.__aexit__(None, None, None)
    except Exception as failure:  # noqa: BLE001  # the guard is the user's
        log.warning(
            "image %s: the guard failed with %s when the write was over; whether it is held still "
            "is not known",
            image,
            type(failure).__name__,
            extra={"target": image, "cause": type(failure).__name__},
        )
