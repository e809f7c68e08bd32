"""The order of writes: two of one image never overlap, and a lost one never has the last word.

There is one writer of an image at a time, in this session and, with a guard, among all sessions
that share it.

A request whose reply was lost may be carried out a moment later, also when it was repeated and the
repeat was acknowledged. If another write of the same image were acknowledged in between, the late
one would undo it. So another write waits until that can no longer happen, as far as is reckoned
with: for `RetryPolicy.look` seconds after the lost request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Final

from aioe2e._actions import ACTIONS
from aioe2e._call import Channel, closed_error
from aioe2e.errors import DeadlineExceededError, GuardError
from aioe2e.models import Action

from .listing import trim

log: Final = logging.getLogger("aioe2e")

#: Images with lost requests that are remembered at the most.
_MOST = 10_000


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


class LateWrites:
    """The lost requests of each image, as long as they may take effect."""

    def __init__(self) -> None:
        #: By image, in the order of its latest lost request: when each was lost.
        self._lost: dict[str, dict[tuple[Action, str], float]] = {}
        self._longest_lag = 0.0

    def lost(self, image_id: str, action: Action, name: str, at: float, lag: float) -> None:
        """A request was sent, and no reply said what came of it.

        Args:
            image_id: The image.
            action: What the request asks for.
            name: The name that it gives.
            at: Loop time at which its attempt ended.
            lag: Seconds after that within which it may take effect.
        """
        self._longest_lag = max(self._longest_lag, lag)
        self._forget_settled(at)
        requests = self._lost.pop(image_id, {})
        requests[action, name] = at
        self._lost[image_id] = requests
        trim(self._lost, _MOST)

    def _forget_settled(self, now: float) -> None:
        """Forget the images of which no lost request can take effect any more."""
        settled: list[str] = []
        for image_id, requests in self._lost.items():
            if max(requests.values()) + self._longest_lag >= now:
                break
            settled.append(image_id)
        for image_id in settled:
            del self._lost[image_id]

    def settled_at(self, image_id: str, action: Action, name: str, lag: float) -> float:
        """From when on (loop time) a write may be sent that no lost request will undo.

        Args:
            image_id: The image.
            action: What the write does.
            name: The name that it gives.
            lag: Seconds after its end within which a lost request may take effect.

        Returns:
            A moment in the past where there is nothing to wait for.
        """
        self._longest_lag = max(self._longest_lag, lag)
        lost = self._lost.get(image_id)
        if lost is None:
            return 0.0
        moments = [
            at + lag
            for (earlier, earlier_name), at in lost.items()
            if _would_undo(earlier, earlier_name, action, name)
        ]
        return max(moments, default=0.0)


def _would_undo(earlier: Action, earlier_name: str, action: Action, name: str) -> bool:
    """Whether an earlier request that takes effect after a write leaves another state than it."""
    if (earlier, earlier_name) == (action, name):
        return False
    return not ACTIONS[action].destroys  # what is gone cannot be changed any more
