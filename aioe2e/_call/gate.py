"""The limiter that every request of a session passes: slots, pauses, pace, the budget for retries.

A slot is held only while a request is in flight. Calls wait for one in line: those under way before
those that have not begun, because the clock of the former is running.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aioe2e._clock import Clock
from aioe2e.config import Limits

from .pace import HourlyBudget, Pace

#: Added to a pause, so that the loop's clock resolution never lets a request go early.
_MARGIN = 0.01
#: Seconds for which a used-up request budget holds requests back at the most.
_LONGEST_HOLD = 3600.0


class Budget:
    """Retries that a session may have open: a retry takes one, a success gives one back."""

    __slots__ = ("_capacity", "left", "warned")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.left: int = capacity
        #: Whether it was said that it is empty; a budget of 0 is meant so.
        self.warned: bool = capacity == 0

    def take(self) -> bool:
        """Take one, if there is one."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def give_back(self) -> None:
        """A call succeeded."""
        if self.left < self._capacity:
            self.left += 1
            self.warned = False


class Gate:
    """Slots for requests in flight, with an adaptive limit, one pause for all, and a pace.

    Args:
        limits: `in_flight`, `per_second` and `adaptive` of the session.
        clock: Where the time comes from.
        on_pause: Told of every new pause: its seconds, and the limit after it.
        on_limit: Told of every change of the limit: what it is now, and what it was.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        on_pause: Callable[[float, int], None] | None = None,
        on_limit: Callable[[int, int], None] | None = None,
    ) -> None:
        self._ceiling = limits.in_flight
        self._adaptive = limits.adaptive
        self._clock = clock
        self._on_pause = on_pause
        self._on_limit = on_limit
        self._pace = Pace(limits.per_second)
        self._hour = None if limits.per_hour is None else HourlyBudget(limits.per_hour)
        self._waiting: tuple[deque[asyncio.Future[None]], deque[asyncio.Future[None]]] = (
            deque(),
            deque(),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = 0.0
        #: Loop time at which the latest pause began; below 0 where there was none.
        self._paused_since = -1.0
        self._clean = 0
        self.limit: int = limits.in_flight
        self.in_flight: int = 0

    def pause_left(self) -> float:
        """Seconds until the session may send again; 0 when it may now.

        Counted are the server's pauses and the hourly budget, not the pace.
        """
        until = self._paused_until
        if self._hour is not None:
            until = max(until, self._hour.ready_at())
        return max(0.0, until - self._clock.now()) if until else 0.0

    def time_left(self) -> float:
        """Seconds until the next request may start, the pace counted in; 0 when it may now."""
        left = self.pause_left()
        if self._pace.active:
            left = max(left, self._pace.ready_at() - self._clock.now())
        return left

    def _may_go(self) -> bool:
        """Whether the next in line may go now; if only time holds it back, a timer is set."""
        if self.in_flight >= self.limit:
            return False
        if self._paused_until or self._pace.active or self._hour is not None:
            now = self._clock.now()
            ready = max(self._paused_until, self._pace.ready_at())
            if self._hour is not None:
                ready = max(ready, self._hour.ready_at())
            if ready > now:
                self._wake_at(ready)
                return False
            self._paused_until = 0.0
        return True

    def _wake_at(self, moment: float) -> None:
        if self._timer is None and any(self._waiting):
            delay = max(0.0, moment - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._admit()

    def _admit(self) -> None:
        """Let in all who may go, first those whose calls are under way."""
        for line in self._waiting:
            while line:
                if not line[0].done():
                    if not self._may_go():
                        return
                    self._occupy()
                    line[0].set_result(None)
                line.popleft()

    def _occupy(self) -> None:
        self.in_flight += 1
        if self._pace.active:
            self._pace.start(self._clock.now())
        if self._hour is not None:
            self._hour.start(self._clock.now())

    def try_enter(self, *, under_way: bool) -> bool:
        """Take a slot if one is free and no one is in line before the caller."""
        if self._waiting[0]:
            return False
        if self._waiting[1] and not under_way:
            return False
        if not self._may_go():
            return False
        self._occupy()
        return True

    async def enter(self, *, under_way: bool, until: float | None) -> bool:
        """Wait for a slot and take it.

        Args:
            under_way: Whether the call has sent something before; such calls go first.
            until: Loop time after which the slot is of no use; None for no limit.

        Returns:
            True with the slot held; False when the time ran out.

        Raises:
            BaseException: What `close` was given, if the gate closes meanwhile.
        """
        if self.try_enter(under_way=under_way):
            return True
        line = self._waiting[0 if under_way else 1]
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        self._admit()
        try:
            async with asyncio.timeout_at(until):
                await turn
        except TimeoutError:
            self._give_up(turn)
            return False
        except BaseException:
            self._give_up(turn)
            raise
        return True

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """A waiter leaves; a slot that it was given in the same moment goes on to the next."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.leave()
        else:
            turn.cancel()
            self._drop_settled()

    def _drop_settled(self) -> None:
        for line in self._waiting:
            while line and line[0].done():
                line.popleft()
        if self._timer is not None and not any(self._waiting):
            self._timer.cancel()
            self._timer = None

    def leave(self) -> None:
        """Give the slot back."""
        self.in_flight -= 1
        if any(self._waiting):
            self._admit()

    def succeeded(self) -> None:
        """A request was answered without a throttle: after a clean round the limit grows by one."""
        if self._paused_since < 0 or not self._adaptive:
            return  # nothing was ever throttled, so there is nothing to win back
        self._pace.succeeded()
        if self.limit < self._ceiling:
            self._clean += 1
            if self._clean >= self.limit:
                self._clean = 0
                self._set_limit(self.limit + 1)

    def throttled(self, sent_at: float, seconds: float) -> None:
        """The server wants to be left alone: one pause for all, and fewer in flight after it.

        Args:
            sent_at: When the throttled request was sent; one from before the latest pause slows
                nothing down again.
            seconds: How long nothing may be sent.
        """
        now = self._clock.now()
        self._paused_until = max(self._paused_until, now + seconds + _MARGIN)
        if sent_at <= self._paused_since:
            return
        self._paused_since = now
        self._clean = 0
        if self._adaptive:
            self._set_limit(max(1, self.limit // 2))
            self._pace.throttled(now, seconds)
        if self._on_pause is not None:
            self._on_pause(seconds, self.limit)

    def _set_limit(self, limit: int) -> None:
        previous, self.limit = self.limit, limit
        if self._on_limit is not None and limit != previous:
            self._on_limit(limit, previous)

    def paused_after(self, moment: float) -> bool:
        """Whether the latest pause began at a loop time or later."""
        return self._paused_since >= moment

    def hold(self, seconds: float) -> None:
        """Nothing may be sent for so long: the server's request budget is used up.

        Unlike a throttle it says nothing against the number of requests in flight. After an hour,
        which is the longest window that is known, the server is asked again in any case.
        """
        wait = min(seconds, _LONGEST_HOLD)
        self._paused_until = max(self._paused_until, self._clock.now() + wait + _MARGIN)

    def close(self, error: Callable[[], BaseException]) -> None:
        """Send everybody in line away with an error."""
        for line in self._waiting:
            for turn in line:
                if not turn.done():
                    turn.set_exception(error())
            line.clear()
        self._drop_settled()
