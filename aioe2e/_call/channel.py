"""What the calls of a session share, and its life.

It is bound to an event loop by the first request, and closed once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import warnings
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from aioe2e import events
from aioe2e._clock import Clock
from aioe2e._http import RequestsInFlight, Transport
from aioe2e._text import Redactor
from aioe2e._wire import rate_limit
from aioe2e.config import Credentials, Dialect, Guard, Limiter, Limits
from aioe2e.errors import SessionError
from aioe2e.models import RateLimit

from .errors import closed_error
from .gate import Budget, Gate
from .tokens import Tokens
from .turns import Turns

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

#: Where a base URL names none.
_PORTS: Final = {"http": 80, "https": 443}
#: Seconds after which a loop that was asked to close a session is looked at again.
_LOOP_CHECK: Final = 0.2

log: Final = logging.getLogger("aioe2e")

#: A hook that fails at every event is not to fill the log.
_MOST_COMPLAINTS: Final = 4


class ChannelSettings(NamedTuple):
    """The settings of a session that its views cannot change, checked."""

    credentials: Credentials
    base: str
    limits: Limits
    dialect: Dialect
    hooks: tuple[events.Hook, ...]
    user_agent: str
    trust_env: bool
    clock: Clock
    #: The user's own TLS context.
    tls: ssl.SSLContext | None = None
    limiter: Limiter | None = None
    guard: Guard | None = None


class _Process:
    """This process. Asking the system for its number costs more than all else in `enter`."""

    number: int = os.getpid()

    @classmethod
    def renew(cls) -> None:
        """A forked child begins."""
        cls.number = os.getpid()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_Process.renew)


class Channel:
    """Pool, gate, budget, tokens and hooks: what the calls of any resource need.

    One for a session and all its views.
    """

    def __init__(
        self,
        settings: ChannelSettings,
        borrowed: aiohttp.ClientSession | None,
    ) -> None:
        self.settings = settings
        self.clock: Clock = settings.clock
        self.limits: Limits = settings.limits
        on_limit = self._limit_changed if settings.hooks else None
        self.gate: Gate = Gate(settings.limits, settings.clock, self._paused, on_limit)
        #: What a request has to pass for a slot of the gate.
        self.entrance: Gate | Turns = self.gate
        if settings.limiter is not None:
            self.entrance = Turns(
                settings.limiter,
                self.gate,
                settings.clock,
                self.bounded,
                self._turn_ended,
            )
        self.budget: Budget = Budget(settings.limits.retry_budget)
        self.redactor: Redactor = Redactor([settings.credentials.api_key])
        self.tokens: Tokens = Tokens(settings.credentials.auth_token, self.redactor)
        self.in_flight: RequestsInFlight = RequestsInFlight()
        #: By route, the dialect that proved to be the right one.
        self.dialects: dict[str, Dialect] = {}
        #: What the latest reply that spoke of it said of the account's request budget.
        self.rate_limit: RateLimit | None = None
        self.closed: bool = False
        self._borrowed = borrowed
        self._transport: Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._scopes: set[asyncio.Timeout] = set()
        self._complaints = [0] * len(settings.hooks)
        self._warned_of_limit = False
        self._warned_of_limiter = False

    @cached_property
    def server(self) -> tuple[str, int]:
        """Host and port of the base URL."""
        parts = urlsplit(self.settings.base)
        return parts.hostname or "", parts.port or _PORTS[parts.scheme]

    def enter(self) -> Transport:
        """The pool, opened on first use.

        Raises:
            SessionError: The session is closed, or belongs to another loop or process.
        """
        if self.closed:
            raise SessionError("this session is closed: build a new one")
        if self._borrowed is not None and self._borrowed.closed:
            raise SessionError(
                "the aiohttp.ClientSession given as http= is closed: open one, and build a new"
                " session"
            )
        if self._transport is None:
            return self._open()
        if _Process.number != self._process:
            raise SessionError(
                "this session was carried into a forked process: build a new one there"
            )
        if asyncio.get_running_loop() is not self._loop:
            raise SessionError(
                "this session is bound to another event loop: build one session for each loop"
            )
        return self._transport

    def _open(self) -> Transport:
        settings = self.settings
        self._transport = Transport(
            settings.base,
            settings.credentials,
            redactor=self.redactor,
            user_agent=settings.user_agent,
            trust_env=settings.trust_env,
            tls=settings.tls,
            borrowed=self._borrowed,
        )
        if isinstance(settings.credentials.auth_token, str):
            self._transport.authorize(settings.credentials.auth_token)
        self._loop = asyncio.get_running_loop()
        self._process = _Process.number
        self._finalizer = weakref.finalize(self, _forgotten, self._transport, self._process)
        return self._transport

    async def authorize(self, transport: Transport, *, stale: int | None = None) -> int:
        """Have a token in the transport; its number. `stale` is that of one that was refused."""
        number = await self.tokens.get(stale)
        transport.authorize(self.tokens.current)
        return number

    async def rest(self, seconds: float) -> None:
        """Sleep, but no longer than the session is open."""
        try:
            await self.bounded(self.clock.sleep(seconds), None)
        except TimeoutError:
            if not self.closed:
                raise

    async def bounded(self, work: Awaitable[T], until: float | None) -> T:
        """Do work, but no longer than the session is open.

        Raises:
            TimeoutError: The loop time `until` has come, or the session is closed.
        """
        # Once it is closed, nothing comes that would end the scope.
        scope = asyncio.timeout_at(self.clock.now() if self.closed else until)
        self._scopes.add(scope)
        try:
            async with scope:
                return await work
        finally:
            self._scopes.discard(scope)

    def throttled(self, sent_at: float, seconds: float) -> None:
        """The server wants to be left alone; see `Gate.throttled`."""
        self.gate.throttled(sent_at, seconds)
        if isinstance(self.entrance, Turns):
            self.entrance.throttled(seconds)

    def read_rate_limit(self, headers: Mapping[str, Sequence[str]]) -> None:
        """Keep what the headers of a reply say of the account's request budget.

        Where nothing remains, nothing is sent until the budget's next window.
        """
        if not headers:
            return
        wall = self.clock.wall()
        found = rate_limit(headers, wall)
        if found is None:
            return
        self.rate_limit = found
        if found.remaining == 0 and found.reset_at is not None:
            self.gate.hold(found.reset_at.timestamp() - wall)

    def emit(self, event: events.Event) -> None:
        """Tell every hook. What one raises is logged, the first few times."""
        for number, hook in enumerate(self.settings.hooks):
            try:
                hook(event)
            except Exception:
                self._complaints[number] += 1
                if self._complaints[number] <= _MOST_COMPLAINTS:
                    log.exception("a hook failed on %s", type(event).__name__)

    def warn_of_limit(self, limit: int) -> None:
        """Warn of a run whose limit cannot be reached, once for the session."""
        most = self.limits.in_flight
        if limit > most and not self._warned_of_limit:
            self._warned_of_limit = True
            log.warning(
                "limit=%d of a bulk run is more than its session allows: at most %d requests are in"
                " flight (Limits.in_flight)",
                limit,
                most,
            )

    def warn_of_retry_budget(self) -> None:
        """Warn that failures are not retried any more, once for each time the budget is empty."""
        if not self.budget.warned:
            self.budget.warned = True
            log.warning(
                "the retry budget of the session is empty (Limits.retry_budget=%d): until calls "
                "succeed again, failures are not retried",
                self.limits.retry_budget,
                extra={"retry_budget": self.limits.retry_budget},
            )

    def _paused(self, seconds: float, limit: int) -> None:
        log.info(
            "throttled: nothing is sent for %.3f s, then at most %d requests at a time",
            seconds,
            limit,
            extra={"seconds": seconds, "limit": limit},
        )
        if self.settings.hooks:
            self.emit(events.PauseEvent(seconds=seconds, limit=limit))

    def _limit_changed(self, limit: int, previous: int) -> None:
        self.emit(events.LimitEvent(limit=limit, previous=previous))

    def _turn_ended(self, waited: float, failure: Exception | None) -> None:
        """The limiter gave a turn, or failed."""
        if failure is not None and not self._warned_of_limiter:
            self._warned_of_limiter = True
            log.warning(
                "the limiter failed with %s: requests are not sent until it works again",
                type(failure).__name__,
                extra={"cause": type(failure).__name__},
            )
        if failure is None:
            self._warned_of_limiter = False
        if self.settings.hooks:
            error = None if failure is None else type(failure)
            mode = str(getattr(self.settings.limiter, "mode", ""))
            self.emit(events.LimiterEvent(waited=waited, mode=mode, error=error))

    async def close(self) -> None:
        """End what is under way and close what was opened.

        It is done on the loop of the session, whichever loop it is called from. A close that was
        cancelled can be called again.
        """
        self.closed = True
        transport, loop = self._transport, self._loop
        if transport is None or loop is None:
            return
        self._finalizer.detach()
        if _Process.number != self._process:
            return  # a forked child shares the parent's sockets: they are not its to close
        if asyncio.get_running_loop() is loop:
            await self._close_here(transport)
            return
        if loop.is_running():
            closing = asyncio.run_coroutine_threadsafe(self._close_here(transport), loop)
            if await _is_done(closing, loop):
                return
        if not loop.is_closed():
            # Calls that wait there end as soon as that loop runs again.
            loop.call_soon_threadsafe(self._end_calls)
        transport.abandon()

    async def _close_here(self, transport: Transport) -> None:
        """Close on the loop of the session."""
        try:
            self._end_calls()
        finally:
            await transport.close()

    def _end_calls(self) -> None:
        """End every call that is under way, or waits, with `closed_error`."""
        self.gate.close(closed_error)
        if self.entrance is not self.gate:
            self.entrance.close(closed_error)
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            # One whose time is over already is about to end by itself.
            with contextlib.suppress(RuntimeError):
                scope.reschedule(now)
        self.in_flight.abort_all()


async def _is_done(closing: Future[None], loop: asyncio.AbstractEventLoop) -> bool:
    """Wait for what another loop was asked to do; False if that loop stops before it is done."""
    waiting = asyncio.wrap_future(closing)
    while not waiting.done() and loop.is_running():
        await asyncio.wait([waiting], timeout=_LOOP_CHECK)
    if waiting.done():
        waiting.result()
        return True
    waiting.cancel()
    return False


def _forgotten(transport: Transport, process: int) -> None:
    """What is done for a session that was never closed.

    It is a finalizer, because it must come before those of aiohttp.
    """
    if _Process.number != process:
        return  # a forked child shares the parent's sockets: they are not its to close
    transport.abandon()
    if transport.sent:
        warnings.warn(
            "an aioe2e.Session was never closed: write `async with aioe2e.Session(...) as"
            " session:`, or `await session.close()`",
            ResourceWarning,
            stacklevel=1,
        )
