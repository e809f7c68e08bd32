"""One lock for each image that a write is under way for, so that two writes of one image never
overlap."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from aioe2e._call import Channel, closed_error
from aioe2e.errors import DeadlineExceededError, GuardError

log: Final = logging.getLogger("aioe2e")


class KeyedLocks:
    """Locks by key, which exist only while somebody holds or wants them. First come, first
    served."""

    def __init__(self) -> None:
        self._held: dict[str, deque[asyncio.Future[None]]] = {}

    def try_acquire(self, key: str) -> bool:
        """Hold the key if nobody does."""
        if key in self._held:
            return False
        self._held[key] = deque()
        return True

    async def acquire(self, key: str) -> None:
        """Wait until nobody holds the key, and hold it."""
        if self.try_acquire(key):
            return
        waiting = self._held[key]
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release(key)  # it was handed over in the moment of the cancellation
            elif turn in waiting:  # else its holder passed it over already
                waiting.remove(turn)
            raise

    def release(self, key: str) -> None:
        """Hand the key over to whoever waits longest for it."""
        waiting = self._held[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
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
            f"image {image}: the guard did not let the write begin in time"
        )
    kind = type(failure).__name__
    return GuardError(f"image {image}: the guard failed with {kind}; nothing was sent")


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
