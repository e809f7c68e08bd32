"""Serves one request, from its arrival to its reply or its fault."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
from aiohttp import web

from aioe2e.testing.account import Account, Store, Throttle, answer, pretended
from aioe2e.testing.faults import Answer, Effect, Fault, Faults, Injected, Scene
from aioe2e.testing.net import (
    WRITES,
    Connection,
    Played,
    RecordedRequest,
    Wire,
    WireReply,
    html,
    refusal,
)

_logger = logging.getLogger("aioe2e.testing")

#: Seconds that a body on a connection that is about to be ended has to follow its head.
_BODY_PATIENCE: Final = 0.2


class Service:
    """Answers requests for one account.

    Args:
        store: The account's state.
        account: Who may ask, and how it behaves.
        latency: The minimum and the maximum time of a reply in seconds.
        throttle: The rate limit.
        seed: Random seed of the latency.
        keep_calls: How many of the latest requests to keep; None for all.
        refuse: Stops listening for a number of seconds.
        reset_next: Resets a number of connections as soon as they are made.
    """

    def __init__(
        self,
        store: Store,
        account: Account,
        *,
        latency: tuple[float, float],
        throttle: Throttle,
        seed: int,
        keep_calls: int | None,
        refuse: Callable[[float], Awaitable[None]],
        reset_next: Callable[[int], None],
    ) -> None:
        #: The latest requests that arrived.
        self.calls: list[RecordedRequest] = []
        #: How many arrived.
        self.arrived: int = 0
        #: The connections whose request is being served, and whose client still waits.
        self.inside: set[Connection] = set()
        #: The maximum of them at the same time.
        self.max_inside: int = 0
        #: Writes that will take effect although their connections are closed.
        self.pending: set[asyncio.TimerHandle] = set()
        #: The tasks that serve a request.
        self.tasks: set[asyncio.Task[object]] = set()
        #: The faults.
        self.faults: Faults = Faults()
        #: Injected faults, which come before those.
        self.injected: Injected = Injected()
        self.throttle = throttle
        self._store = store
        self._account = account
        self._latency = latency
        self._dice = random.Random(seed)
        self._keep_calls = keep_calls
        self._refuse = refuse
        self._reset_next = reset_next

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request."""
        connection, transport = request.protocol, request.transport
        assert isinstance(connection, Connection)
        task = asyncio.current_task()
        assert task is not None
        call = self._record(request, connection)
        self.tasks.add(task)
        try:
            if transport is None or transport.is_closing():
                return connection.drop()
            if connection.end_on_next is not None:
                call.fault = "kept connection ended"
                # Many clients send the body after the head; read it, since a test may ask for it.
                with contextlib.suppress(
                    TimeoutError, ConnectionError, web.RequestPayloadError, web.HTTPException
                ):
                    async with asyncio.timeout(_BODY_PATIENCE):
                        call.body = await connection.read(request)
                connection.end_on_next(transport)
                return connection.drop()
            self._enter(connection)
            return await self._attend(call, request, connection, transport)
        finally:
            self.tasks.discard(task)
            self.inside.discard(connection)
            connection.served += 1
            call.forget_derived()

    async def _attend(
        self,
        call: RecordedRequest,
        request: web.BaseRequest,
        connection: Connection,
        transport: asyncio.Transport,
    ) -> web.StreamResponse:
        try:
            call.body = await connection.read(request)
            return await self._serve(call, request, connection, transport)
        except ConnectionError:
            return connection.drop()
        except web.HTTPRequestEntityTooLarge:
            too_large = self._refusal(call, 413, "The body is larger than 1 MiB")
            return connection.respond(too_large, request)
        except web.RequestPayloadError:
            return connection.end_with(self._refusal(call, 400, "The body cannot be decoded"))
        except Exception as error:
            # The test's own function or objects failed: the log and the client show how.
            _logger.exception("%r could not be answered", call)
            return connection.end_with(self._refusal(call, 500, f"The emulator failed: {error}"))

    def _refusal(self, call: RecordedRequest, status: int, text: str) -> WireReply:
        call.status = status
        return self._finished(call, refusal(status, text))

    def cancel(self) -> None:
        """End the requests that hang, and cancel what was to happen later."""
        for handle in self.pending:
            handle.cancel()
        self.pending.clear()
        for task in list(self.tasks):
            task.cancel()
        self.inside.clear()

    def _record(self, request: web.BaseRequest, connection: Connection) -> RecordedRequest:
        call = RecordedRequest(
            index=self.arrived,
            method=request.method,
            url=request.raw_path,
            headers=connection.known_headers(request.headers),
            time=time.monotonic(),
            connection=connection.number,
            inside_retry_after=self.throttle.since_retry_after(connection.number),
            any_base=self._account.rules.any_base,
        )
        self.arrived += 1
        self.calls.append(call)
        if self._keep_calls is not None:
            del self.calls[: max(0, len(self.calls) - self._keep_calls)]
        return call

    def _enter(self, connection: Connection) -> None:
        self.inside.add(connection)
        self.max_inside = max(self.max_inside, len(self.inside))

    async def _serve(
        self,
        call: RecordedRequest,
        request: web.BaseRequest,
        connection: Connection,
        transport: asyncio.Transport,
    ) -> web.StreamResponse:
        wait = self.throttle.admit()
        fault: Fault | None = None
        if wait is None:
            fault = self.injected(call) or self.faults(call)
        low, high = self._latency
        if high > 0:
            await asyncio.sleep(self._dice.uniform(low, high))
        if fault is not None:
            wire = Wire(connection, transport, refuse=self._refuse, reset_next=self._reset_next)
            await self._play(call, fault, wire)
            return Played(keep=wire.keep and not wire.gone)
        if await connection.deserted():
            if wait is None:
                self._answer(call, late=True)
            return connection.drop()
        reply = self._answer(call) if wait is None else self._throttled(wait, call)
        call.status = reply.status
        response = connection.respond(reply, request)
        await connection.drained()
        return response

    def _answer(self, call: RecordedRequest, *, late: bool = False, lag: float = 0.0) -> WireReply:
        reply = answer(call, self._store, self._account, late=late, lag=lag)
        return self._finished(call, reply)

    def _finished(self, call: RecordedRequest, reply: WireReply) -> WireReply:
        """The reply with the headers that the rules ask for, in the form for its method."""
        rules = self._account.rules
        return attrs.evolve(
            reply,
            headers=reply.headers + self._budget_headers(),
            date_offset=rules.date_offset if rules.send_date else None,
            bodiless=call.method == "HEAD",
        )

    def _budget_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers about what is left of the rate limit, if the rules ask for them."""
        family = self._account.rules.rate_limit_headers
        budget = self.throttle.budget()
        if budget is None or family is None:
            return ()
        reset = budget.reset
        if family == "ratelimit":
            reset += time.time()
        return (
            (f"{family}-limit", str(budget.limit)),
            (f"{family}-remaining", str(budget.remaining)),
            (f"{family}-reset", str(math.ceil(reset))),
        )

    def _throttled(self, wait: int, call: RecordedRequest) -> WireReply:
        self.throttle.note_retry_after(wait, call.connection)
        rules = self._account.rules
        make = html if rules.throttle_html else refusal
        if rules.retry_after == "text":
            reply = make(429, f"Request was throttled. Expected available in {wait} seconds.")
        else:
            reply = make(429, "Request was throttled.").with_headers(("Retry-After", str(wait)))
        return self._finished(call, reply)

    async def _play(self, call: RecordedRequest, fault: Fault, wire: Wire) -> None:
        call.fault = fault.kind
        if call.action not in WRITES or fault.effect is Effect.BEFORE:
            reply = self._answer(call, late=wire.gone, lag=fault.lag)
        else:
            reply = pretended(call)
        if fault.row.answers is Answer.REPLY and not wire.gone:
            call.status = reply.status
        await fault.row.play(Scene(wire, reply, call, fault.seconds, fault.value))
        call.status = None if wire.lost else wire.answered or call.status
        if call.action in WRITES and fault.effect is Effect.LATE:
            self._apply_later(call, fault.late)

    def _apply_later(self, call: RecordedRequest, seconds: float) -> None:
        def apply() -> None:
            self.pending.discard(handle)
            self._answer(call, late=True)

        handle = asyncio.get_running_loop().call_later(seconds, apply)
        self.pending.add(handle)
