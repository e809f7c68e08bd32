"""The way to a slot where a limiter paces several sessions: pause, turn, slot, in this order."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aioe2e._clock import Clock
from aioe2e.config import Limiter, Limits
from aioe2e.errors import ConfigError

from .gate import Gate

#: Calls that ask the limiter at a time. A retry waits for no more turns than these.
_ASKING: Final = 4
#: A turn that is older than this many seconds when its slot comes, or older than a pause, is taken
#: anew, so that turns which piled up are not spent all at once.
_FRESH: Final = 1.0


class Bounded(Protocol):
    """`Channel.bounded`: does work, but no longer than until a loop time or the session's end."""

    def __call__(self, work: Awaitable[None], until: float | None) -> Awaitable[None]: ...


class Turns:
    """Stands before a gate and takes a turn of the limiter for each request.

    Calls ask the limiter in the order of the gate (those under way first), and only a few of them
    at a time. The rest stand in line here, where a retry can go before ten thousand new calls.

    Args:
        limiter: The user's.
        gate: The slots behind it.
        clock: Where the time comes from.
        bounded: Ends a wait with the session.
        on_turn: Told of each turn: the seconds waited, and the exception if the limiter raised one.
    """

    def __init__(
        self,
        limiter: Limiter,
        gate: Gate,
        clock: Clock,
        bounded: Bounded,
        on_turn: Callable[[float, Exception | None], None],
    ) -> None:
        self._limiter = limiter
        self._gate = gate
        self._now = clock.now
        self._sleep = clock.sleep
        self._bounded = bounded
        self._on_turn = on_turn
        self._asking = Gate(Limits(in_flight=_ASKING, adaptive=False), clock)

    def try_enter(self, *, under_way: bool) -> bool:  # noqa: ARG002  # as Gate.try_enter
        """Never without waiting: a turn has to be asked for."""
        return False

    async def enter(self, *, under_way: bool, until: float | None) -> bool:
        """Wait for a turn and a slot, and hold the slot.

        Args:
            under_way: Whether the call has sent something before; such calls go first.
            until: Loop time after which the slot is of no use; None for no limit.

        Returns:
            True with the slot held; False when the time ran out, or the session was closed.

        Raises:
            ConfigError: The limiter raised an exception.
            BaseException: What `close` was given.
        """
        if not await self._asking.enter(under_way=under_way, until=until):
            return False
        try:
            while await self._pause_is_over(until) and await self._turn(until):
                if self._gate.pause_left():
                    continue  # it began while the turn was waited for
                given = self._now()
                if not await self._gate.enter(under_way=under_way, until=until):
                    return False
                is_old = self._now() - given > _FRESH or self._gate.paused_after(given)
                if not is_old or await self._renewed(until):
                    return True
            return False
        finally:
            self._asking.leave()

    async def _pause_is_over(self, until: float | None) -> bool:
        """Wait for the end of the session's pause, and for its pace; False if that is too late."""
        while left := self._gate.time_left():
            try:
                await self._bounded(self._sleep(left), until)
            except TimeoutError:
                return False
        return True

    async def _renewed(self, until: float | None) -> bool:
        """Take a new turn with the slot held; if that does not help, the slot is given back."""
        is_of_use = False
        try:
            is_of_use = await self._turn(until) and not self._gate.pause_left()
        finally:
            if not is_of_use:
                self._gate.leave()
        return is_of_use

    async def _turn(self, until: float | None) -> bool:
        """Ask the limiter for a turn; False when it came too late."""
        task = asyncio.current_task()
        cancelled = 0 if task is None else task.cancelling()
        began = self._now()
        try:
            await self._bounded(self._acquire(began), until)
        except TimeoutError:
            return False
        if task is not None and task.cancelling() > cancelled:
            raise asyncio.CancelledError  # the limiter caught it and went on
        return until is None or self._now() < until

    async def _acquire(self, began: float) -> None:
        failure: Exception
        try:
            await self._limiter.acquire()
        except Exception as error:  # noqa: BLE001  # the limiter is the user's
            failure = error.with_traceback(None)
        else:
            self._on_turn(self._now() - began, None)
            return
        self._on_turn(self._now() - began, failure)
        raise limiter_error("acquire", failure)

    def throttled(self, seconds: float) -> None:
        """Tell the limiter that the server throttled."""
        try:
            result: object = self._limiter.throttled(seconds)  # type: ignore[func-returns-value]  # it may return what it should not
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError("limiter.throttled must not be async")
        except Exception as error:  # noqa: BLE001  # the limiter is the user's
            self._on_turn(0.0, error)

    def close(self, error: Callable[[], BaseException]) -> None:
        """Send everybody in line away with an error."""
        self._asking.close(error)


def limiter_error(method: str, failure: Exception) -> ConfigError:
    """The error of a call whose limiter raised an exception. Its text may hold a secret."""
    return ConfigError(
        f"the limiter failed: {method}() raised {type(failure).__name__}; nothing was sent"
    )
