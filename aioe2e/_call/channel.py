"""What all views of a session share, and its life: bound to a loop by the first request, closed
once."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import warnings
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from aioe2e._clock import Clock
from aioe2e._http import InFlight, Transport
from aioe2e._text import Redactor
from aioe2e.config import Credentials, Dialect, Limits, TokenSource, checked_secret
from aioe2e.errors import ConfigError, SessionError
from aioe2e.events import Event, Hook, PauseEvent
from aioe2e.images.listing import Listing, Listings
from aioe2e.images.locks import KeyedLocks
from aioe2e.images.saves import SaveBook
from aioe2e.images.sightings import Sightings

from .gate import Budget, Gate

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

log: Final = logging.getLogger("aioe2e")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionSettings:
    """The settings of a session that its views cannot change, checked."""

    credentials: Credentials
    base: str
    limits: Limits
    dialect: Dialect
    hooks: tuple[Hook, ...]
    user_agent: str
    trust_env: bool
    clock: Clock


class Core:
    """Pool, gate, budget, locks, and what was learned of the server, for one session and all its
    views."""

    def __init__(
        self,
        settings: SessionSettings,
        borrowed: aiohttp.ClientSession | None,
        fetch: Callable[[Core, float | None], Awaitable[Listing]],
    ) -> None:
        self.settings = settings
        self.clock: Clock = settings.clock
        self.limits: Limits = settings.limits
        self.gate: Gate = Gate(settings.limits, settings.clock, self._paused)
        self.budget: Budget = Budget(settings.limits.retry_budget)
        self.locks: KeyedLocks = KeyedLocks()
        self.sightings: Sightings = Sightings()
        self.saves: SaveBook = SaveBook(self.sightings)
        self.redactor: Redactor = Redactor([settings.credentials.api_key])
        self.tokens: _Tokens = _Tokens(settings.credentials.auth_token, self.redactor)
        self.listings: Listings = Listings(
            lambda until: fetch(self, until), self.rest, settings.clock
        )
        #: Routes on which the other dialect proved to be the right one.
        self.other_dialect: set[str] = set()
        self.closed: bool = False
        self._borrowed = borrowed
        self._transport: Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._flights: set[InFlight] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._scopes: set[asyncio.Timeout] = set()
        self._warned_of_limit = False

    def enter(self) -> Transport:
        """The pool, opened on first use.

        Raises:
            SessionError: The session is closed, or belongs to another loop or process.
        """
        if self.closed:
            raise SessionError("this session is closed: build a new one")
        if self._borrowed is not None and self._borrowed.closed:
            raise SessionError(
                "the aiohttp.ClientSession given as http= is closed: open one, and build a new session"
            )
        if self._transport is None:
            return self._open()
        if os.getpid() != self._process:
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
            settings.credentials.api_key,
            user_agent=settings.user_agent,
            trust_env=settings.trust_env,
            borrowed=self._borrowed,
        )
        if isinstance(settings.credentials.auth_token, str):
            self._transport.authorize(settings.credentials.auth_token)
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._finalizer = weakref.finalize(self, _forgotten, self._transport, self._process)
        return self._transport

    async def authorize(self, transport: Transport, *, stale: str | None = None) -> str:
        """Have a token in the transport, and return it; `stale` is one that the server refused."""
        token = await self.tokens.get(stale)
        transport.authorize(token)
        return token

    def take_off(self, end: float | None) -> InFlight:
        """A request is about to be sent, its slot held; it is cut off at the loop time `end`.

        One alarm serves all requests. Hardly any of them ever needs it, and a timer for each would
        be a tenth of what a call costs.
        """
        flight = InFlight(end, shares_loop=self.gate.in_flight > 1)
        self._flights.add(flight)
        if end is not None and (self._alarm is None or end < self._alarm.when()):
            self._set_alarm(end)
        return flight

    def land(self, flight: InFlight) -> None:
        """The request is over: its slot goes to the next."""
        self._flights.discard(flight)
        self.gate.leave()

    def _set_alarm(self, moment: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        # The loop must not keep a session alive that nobody else wants.
        self._alarm = asyncio.get_running_loop().call_at(moment, _ring, weakref.ref[Core](self))

    def cut_off(self) -> None:
        """Cut off the requests whose time is over."""
        self._alarm = None
        now = asyncio.get_running_loop().time()
        ends = [
            flight.end for flight in self._flights if flight.end is not None and flight.end > now
        ]
        for flight in self._flights:
            if flight.end is not None and flight.end <= now:
                flight.abort()
        if ends:
            self._set_alarm(min(ends))

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
        scope = asyncio.timeout_at(until)
        self._scopes.add(scope)
        try:
            async with scope:
                return await work
        finally:
            self._scopes.discard(scope)

    def tell(self, event: Event) -> None:
        """Tell every hook."""
        for hook in self.settings.hooks:
            try:
                hook(event)
            except Exception:
                log.exception("a hook failed on %s", type(event).__name__)

    def warn_of_limit(self, limit: int) -> None:
        """Warn of a run whose limit cannot be reached, once for the session."""
        most = self.limits.in_flight
        if limit > most and not self._warned_of_limit:
            self._warned_of_limit = True
            log.warning(
                "limit=%d of a bulk run is above Limits.in_flight=%d of its session, which still holds",
                limit,
                most,
            )

    def _paused(self, seconds: float, limit: int) -> None:
        log.info(
            "throttled: nothing is sent for %.3f s, then at most %d requests at a time",
            seconds,
            limit,
        )
        if self.settings.hooks:
            self.tell(PauseEvent(seconds=seconds, limit=limit))

    async def close(self) -> None:
        """End what is under way and close what was opened."""
        if self.closed:
            return
        self.closed = True
        if self._transport is None:
            return
        self._finalizer.detach()
        if os.getpid() != self._process:
            return  # a forked child shares the parent's sockets: they are not its to close
        if asyncio.get_running_loop() is not self._loop:
            self._transport.abandon()
            return
        try:
            self.gate.close(closed_error)
            now = asyncio.get_running_loop().time()
            for scope in self._scopes:
                with contextlib.suppress(
                    RuntimeError
                ):  # its time is over already, and it is about to end
                    scope.reschedule(now)
            for flight in self._flights:
                flight.abort()
            if self._alarm is not None:
                self._alarm.cancel()
            self.listings.ring()
        finally:
            await self._transport.close()


def _ring(core: weakref.ref[Core]) -> None:
    if (found := core()) is not None:
        found.cut_off()


def _forgotten(transport: Transport, process: int) -> None:
    """What is done for a session that nobody closed. A finalizer, because it must come before those
    of aiohttp."""
    if os.getpid() != process:
        return  # a forked child shares the parent's sockets: they are not its to close
    transport.abandon()
    if transport.sent:
        warnings.warn(
            "an aioe2e.Session was never closed: write `async with aioe2e.Session(...) as session:`, "
            "or `await session.close()`",
            ResourceWarning,
            stacklevel=1,
        )


def closed_error() -> SessionError:
    """The error of a call whose session is closed under it."""
    return SessionError("the session was closed while the call was under way")


class _Tokens:
    """The auth token: given once, or fetched from the user's callable, once for all who wait for
    it."""

    def __init__(self, source: str | TokenSource, redactor: Redactor) -> None:
        self._source = source
        #: Whether a new token may be had when one is refused.
        self.renewable: bool = not isinstance(source, str)
        self._redactor = redactor
        self._lock = asyncio.Lock()
        self._token: str | None = None
        if isinstance(source, str):
            self._token = source
            redactor.add(source)

    async def get(self, stale: str | None = None) -> str:
        """The current token; a new one if the current one is `stale`."""
        if self._token is not None and self._token != stale:
            return self._token
        async with self._lock:
            if self._token is None or self._token == stale:
                self._token = await self._fetch()
            return self._token

    async def _fetch(self) -> str:
        if isinstance(self._source, str):
            return self._source
        failure = ""
        try:
            found = self._source()
            if not inspect.isawaitable(found):
                raise ConfigError("the auth_token callable must be async: it returned no awaitable")
            token = checked_secret(
                "the token that auth_token() returned", await found, is_token=True
            )
        except ConfigError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001  # the user's code; its text may hold the secret
            failure = f"the auth_token callable failed with {type(error).__name__}"
        else:
            self._redactor.add(token)
            return token
        raise ConfigError(failure)
