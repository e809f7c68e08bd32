"""One budget of requests for all processes that use an account."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any, Final, Literal

import attrs

from aioe2e.errors import ConfigError

from .checks import checked_count, checked_number, checked_text
from .server import Budget, RedisAway, checked_client

__all__ = ["RedisLimiter"]

log: Final = logging.getLogger("aioe2e")

#: While Redis is away it is asked again after so many seconds.
ASK_AGAIN: Final = 5.0
#: A reservation that is older than this many seconds may have been overtaken by a pause.
_FRESH: Final = 0.1
#: A pause that ends less than so many seconds after the known one is the known one.
_SAME_PAUSE: Final = 0.002
#: Added to a pause, so that no request is early by the time that it takes to Redis or the server.
_MARGIN: Final = 0.01
_HOUR: Final = 3600.0


@attrs.frozen(eq=False)
class _Reservation:
    """A moment at which so many requests may go, in loop time."""

    at: float
    weight: int


class RedisLimiter:
    """A `Limiter` in Redis: all processes that use the same name share one rate of requests.

    The requests are spread evenly: each one reserves a time of its own, with one round trip. The
    processes take turns, so one with ten requests does not wait for one with ten thousand. If the
    server throttles one process, all of them pause.

    If Redis is unavailable, or does not reply within two seconds, each process continues alone with
    ``fallback_share`` of the rate. It logs that once, and tries Redis again every 5 seconds. Calls
    do not fail because of Redis.

    Pass it to `Session` as ``limiter=``. Several sessions of one event loop may share one.

    Args:
        client: A ``redis.asyncio.Redis``. The limiter does not close it.
        name: The name of the shared rate, 1 to 200 characters. By default a hash of the API key of
            the session that uses the limiter, so that each account has its own.
        per_second: Requests per second for all processes, above 0. It replaces ``per_hour``.
        per_hour: Requests per hour for all processes, above 0. The vendor documents 5,000 an hour
            for a token.
        share: The share of that rate that these processes may use, above 0 and at most 1. The rest
            is for other users of the account.
        burst: Requests that may be sent at once after a quiet time, 1 or more.
        fallback_share: The share of the processes' rate that each of them may use alone while Redis
            is unavailable, above 0 and at most 1. With four processes, 0.25 keeps to the rate.

    Raises:
        ConfigError: An argument is invalid; the text names it.
    """

    def __init__(
        self,
        client: Any,
        name: str | None = None,
        *,
        per_second: float | None = None,
        per_hour: float | None = 5000,
        share: float = 0.95,
        burst: int = 1,
        fallback_share: float = 0.25,
    ) -> None:
        self._client = checked_client(client)
        self._name = None if name is None else checked_text("name", name)
        rate = _rate(per_second, per_hour) * checked_number("share", share, most=1)
        #: Requests a second for all processes together.
        self.rate: float = rate
        self._fallback_share = checked_number("fallback_share", fallback_share, most=1)
        self._burst = checked_count("burst", burst)
        self._siblings: dict[str, RedisLimiter] = {}
        self._budget = Budget(
            self._client, self._name or "default", interval=1 / rate, burst=self._burst
        )
        #: One request of this process at a time has a moment reserved; the others stand in line.
        self._line = asyncio.Lock()
        self._kept: _Reservation | None = None
        self._paused_until = -math.inf
        self._latest = -math.inf
        self._ask_at = -math.inf
        self._away = False
        self._sharing: set[asyncio.Task[None]] = set()

    @property
    def mode(self) -> Literal["shared", "local"]:
        """The source of turns: ``"shared"``, or ``"local"`` while Redis is unavailable."""
        return "local" if self._away else "shared"

    def for_account(self, account: str) -> RedisLimiter:
        """Return the limiter for an account. Each session that uses this limiter calls it.

        Args:
            account: A hash of the API key.

        Returns:
            This limiter if it has a name; else one for the account, always the same.
        """
        if self._name is not None:
            return self
        if account not in self._siblings:
            self._siblings[account] = RedisLimiter(
                self._client,
                account,
                per_second=self.rate,
                share=1,
                burst=self._burst,
                fallback_share=self._fallback_share,
            )
        return self._siblings[account]

    async def acquire(self, weight: int = 1) -> None:
        """Wait for a turn. When this returns, one request may be sent at once.

        A cancelled wait uses up no turn: the time that it reserved goes to the next request.

        Args:
            weight: The number of requests to count it as, 1 or more.

        Raises:
            ConfigError: ``weight`` is not a whole number of 1 or more.
        """
        checked_count("weight", weight)
        async with self._line:
            while True:
                waited = await self._wait_for_turn(weight)
                if waited <= _FRESH or not await self._is_paused():
                    break
            self._latest = _now()

    def throttled(self, seconds: float) -> None:
        """Make all processes pause, because the server throttled a request. Returns at once.

        Args:
            seconds: How long nothing may be sent, from now on.
        """
        if not 0 < seconds < math.inf:
            return
        seconds += _MARGIN
        until = _now() + seconds
        if until <= self._paused_until + _SAME_PAUSE:
            return
        self._paused_until = until
        task = asyncio.get_running_loop().create_task(self._share_pause(seconds))
        self._sharing.add(task)
        task.add_done_callback(self._sharing.discard)

    async def _wait_for_turn(self, weight: int) -> float:
        """Reserve a moment and wait for it; returns the seconds that it took."""
        began = _now()
        turn = await self._reserved(weight)
        self._kept = turn
        if turn.at > began:
            await asyncio.sleep(turn.at - _now())
        self._kept = None
        return _now() - began

    async def _reserved(self, weight: int) -> _Reservation:
        kept, self._kept = self._kept, None
        if kept is not None and kept.weight == weight and kept.at > _now():
            return kept
        if not self._away or _now() >= self._ask_at:
            wait = await self._asked(weight)
            if wait is not None:
                return _Reservation(_now() + wait, weight)
        alone = self.rate * self._fallback_share
        at = max(_now(), self._paused_until, self._latest + weight / alone)
        return _Reservation(at, weight)

    async def _asked(self, weight: int) -> float | None:
        """Seconds until the moment that Redis reserves; None when it does not answer.

        A Redis that has answered up to now is asked twice: it may have been this process that was
        too busy to hear the answer.
        """
        for is_last in (True,) if self._away else (False, True):
            try:
                wait = await self._budget.reserve(weight)
            except RedisAway as error:
                if is_last:
                    self._went_away(error)
            else:
                self._came_back()
                return wait
        return None

    async def _is_paused(self) -> bool:
        """Whether the server throttled somebody while the turn was waited for."""
        if self._paused_until > _now():
            return True
        if self._away:
            return False
        try:
            left = await self._budget.pause(0)
        except RedisAway as error:
            self._went_away(error)
            return False
        self._paused_until = max(self._paused_until, _now() + left)
        return left > 0

    async def _share_pause(self, seconds: float) -> None:
        try:
            await self._budget.pause(seconds)
        except RedisAway as error:
            self._went_away(error)

    def _went_away(self, error: RedisAway) -> None:
        self._ask_at = _now() + ASK_AGAIN
        if self._away:
            return
        self._away = True
        alone = self.rate * self._fallback_share
        log.warning(
            "the limiter cannot reach Redis (%s): this process goes on alone with %.3g requests a "
            "second, and asks again every %g s",
            error,
            alone,
            ASK_AGAIN,
            extra={"mode": "local", "reason": str(error), "per_second": alone},
        )

    def _came_back(self) -> None:
        if not self._away:
            return
        self._away = False
        log.warning(
            "the limiter reaches Redis again: the budget of %.3g requests a second is shared",
            self.rate,
            extra={"mode": "shared", "per_second": self.rate},
        )


def _rate(per_second: object, per_hour: object) -> float:
    """Requests a second of the whole budget."""
    if per_second is not None:
        return checked_number("per_second", per_second)
    if per_hour is None:
        raise ConfigError("per_second or per_hour must be given: a limiter needs a budget")
    return checked_number("per_hour", per_hour) / _HOUR


def _now() -> float:
    return asyncio.get_running_loop().time()
