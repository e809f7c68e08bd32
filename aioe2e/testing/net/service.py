"""What happens to one request inside the emulator: it is recorded, delayed, throttled, answered, or
made to fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from aioe2e.testing.account.routes import Account, answer, pretended
from aioe2e.testing.account.store import Store
from aioe2e.testing.account.throttle import Throttle
from aioe2e.testing.faults.fault import Fault
from aioe2e.testing.faults.kind import Answer, Effect, Scene
from aioe2e.testing.faults.script import Faults, Injected

from . import replies
from .calls import WRITES, Call
from .connection import Connection, Played
from .replies import Reply
from .wire import Wire

_logger = logging.getLogger("aioe2e.testing")


class Service:
    """Answers requests for one account.

    Attributes:
        calls: Every request that arrived.
        inside: The connections whose request is being served, and whose client still waits.
        max_inside: The most of them at the same time.
        pending: Writes that will take effect although their connections have gone.
        faults: What goes wrong.
        injected: What goes wrong before that.
    """

    def __init__(
        self,
        store: Store,
        account: Account,
        *,
        latency: tuple[float, float],
        throttle: Throttle | None,
        seed: int,
        keep_calls: int | None,
        refuse: Callable[[float], Awaitable[None]],
        slam: Callable[[int], None],
    ) -> None:
        self.calls: list[Call] = []
        self.inside: set[Connection] = set()
        self.max_inside = 0
        self.pending: set[asyncio.TimerHandle] = set()
        self.tasks: set[asyncio.Task[object]] = set()
        self.faults = Faults()
        self.injected = Injected()
        self.throttle = throttle
        self._store = store
        self._account = account
        self._latency = latency
        self._dice = random.Random(seed)
        self._keep_calls = keep_calls
        self._arrived = 0
        self._refuse = refuse
        self._slam = slam

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
            if connection.doomed is not None:
                call.fault = "kept connection ended"
                # Many clients send head and body one after the other; the test wants to know what
                # it was about.
                with contextlib.suppress(
                    TimeoutError, ConnectionError, web.RequestPayloadError, web.HTTPException
                ):
                    async with asyncio.timeout(0.01):
                        call.body = await connection.read(request)
                connection.doomed(transport)
                return connection.drop()
            self._enter(connection)
            return await self._attend(call, request, connection, transport)
        finally:
            self.tasks.discard(task)
            self.inside.discard(connection)
            connection.served += 1

    async def _attend(
        self,
        call: Call,
        request: web.BaseRequest,
        connection: Connection,
        transport: asyncio.Transport,
    ) -> web.StreamResponse:
        try:
            call.body = await connection.read(request)
            return await self._serve(call, connection, transport)
        except ConnectionError:
            return connection.drop()
        except web.HTTPRequestEntityTooLarge:
            return connection.respond(self._refusal(call, 413, "The body is larger than 1 MiB"))
        except web.RequestPayloadError:
            return connection.end_with(self._refusal(call, 400, "The body cannot be decoded"))
        except Exception as error:
            # Of the test's own function or objects: whoever reads the log or the client's error
            # should know which.
            _logger.exception("%r could not be answered", call)
            return connection.end_with(self._refusal(call, 500, f"The emulator failed: {error}"))

    def _refusal(self, call: Call, status: int, text: str) -> Reply:
        call.status = status
        return replies.refusal(status, text)

    def cancel(self) -> None:
        """End what hangs and what was to happen later."""
        for handle in self.pending:
            handle.cancel()
        self.pending.clear()
        for task in list(self.tasks):
            task.cancel()
        self.inside.clear()

    def _record(self, request: web.BaseRequest, connection: Connection) -> Call:
        call = Call(
            index=self._arrived,
            method=request.method,
            url=request.raw_path,
            headers=request.headers,
            time=time.monotonic(),
            connection=connection.number,
            inside_retry_after=self.throttle.since_told() if self.throttle else None,
        )
        self._arrived += 1
        self.calls.append(call)
        if self._keep_calls is not None:
            del self.calls[: max(0, len(self.calls) - self._keep_calls)]
        return call

    def _enter(self, connection: Connection) -> None:
        self.inside.add(connection)
        self.max_inside = max(self.max_inside, len(self.inside))

    async def _serve(
        self, call: Call, connection: Connection, transport: asyncio.Transport
    ) -> web.StreamResponse:
        wait = self.throttle.admit() if self.throttle else None
        fault = (self.injected(call) or self.faults(call)) if wait is None else None
        low, high = self._latency
        if high > 0:
            await asyncio.sleep(self._dice.uniform(low, high))
        if fault is not None:
            wire = Wire(connection, transport, refuse=self._refuse, slam=self._slam)
            await self._play(call, fault, wire)
            return Played(keep=wire.keep and not wire.gone)
        if await connection.deserted():
            if wait is None:
                answer(call, self._store, self._account, late=True)
            return connection.drop()
        reply = answer(call, self._store, self._account) if wait is None else self._throttled(wait)
        call.status = reply.status
        return connection.respond(reply)

    def _throttled(self, wait: int) -> Reply:
        assert self.throttle is not None
        self.throttle.told(wait)
        make = replies.html if self._account.rules.throttle_html else replies.refusal
        return make(429, "Request was throttled.").with_headers(("Retry-After", str(wait)))

    async def _play(self, call: Call, fault: Fault, wire: Wire) -> None:
        call.fault = fault.kind
        if call.action not in WRITES or fault.effect is Effect.BEFORE:
            reply = answer(call, self._store, self._account, late=wire.gone, lag=fault.lag)
        else:
            reply = pretended(call)
        if fault.row.answers is Answer.REPLY and not wire.gone:
            call.status = reply.status
        await fault.row.play(Scene(wire, reply, call, fault.seconds, fault.value))
        call.status = None if wire.lost else wire.answered or call.status
        if call.action in WRITES and fault.effect is Effect.LATE:
            self._apply_later(call, fault.late)

    def _apply_later(self, call: Call, seconds: float) -> None:
        def apply() -> None:
            self.pending.discard(handle)
            answer(call, self._store, self._account, late=True)

        handle = asyncio.get_running_loop().call_later(seconds, apply)
        self.pending.add(handle)
