"""Connections of the emulator: aiohttp's own, but they notice a client that leaves, and faults may misuse them."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter


def reset(transport: asyncio.Transport) -> None:
    """Cut a connection so that the other side sees a reset, not an orderly end."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Connection(web.RequestHandler):
    """One connection from a client."""

    __slots__ = ("doomed", "heard", "left", "number", "on_gone", "on_made")

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.number = 0
        #: How often bytes have come from the client.
        self.heard = 0
        #: Set once the client has gone.
        self.left = asyncio.Event()
        #: What ends the connection when its next request arrives; None for a healthy one.
        self.doomed: Callable[[asyncio.Transport], None] | None = None
        self.on_made: Callable[[Connection, asyncio.Transport], None] | None = None
        self.on_gone: Callable[[Connection], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        if self.on_made is not None:
            self.on_made(self, transport)

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        super().data_received(data)

    def eof_received(self) -> None:
        # Earlier than connection_lost: a client that gave up must not be counted beside its next request.
        self._gone()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._gone()
        super().connection_lost(exc)

    def _gone(self) -> None:
        self.left.set()
        if self.on_gone is not None:
            self.on_gone(self)

    async def drained(self) -> None:
        """Wait until the client has read most of what was written."""
        with contextlib.suppress(ConnectionError):
            await self._drain_helper()


class Server(web.Server):
    """Makes `Connection`s."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        *,
        on_made: Callable[[Connection, asyncio.Transport], None],
        on_gone: Callable[[Connection], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(handler, **kwargs)
        self._made = 0
        self._on_made = on_made
        self._on_gone = on_gone

    def __call__(self) -> Connection:
        connection = Connection(self, loop=self._loop, **self._kwargs)
        connection.number = self._made = self._made + 1
        connection.on_made = self._on_made
        connection.on_gone = self._on_gone
        return connection


class Played(web.StreamResponse):
    """Stands for a reply whose bytes a fault has written already."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open."""
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002  # aiohttp's
        """Nothing is left to be written."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be written."""


class Wire:
    """What a fault may do to the connection on which its request came.

    Args:
        connection: The connection.
        transport: Its transport.
        refuse: Stops listening for so many seconds.
        slam: Resets so many connections as soon as they are made.
    """

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        *,
        refuse: Callable[[float], None],
        slam: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self.refuse = refuse
        self.slam = slam
        #: Whether the connection stays open after the fault.
        self.keep = True
        #: The status that was answered, where it is not that of the reply given.
        self.answered: int | None = None

    @property
    def gone(self) -> bool:
        """Whether the connection is closed, by whichever side."""
        return self._transport.is_closing()

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        if not self.gone:
            self._transport.write(data)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._connection.left.wait()

    async def drain(self) -> None:
        """Wait until the client has read most of what was written."""
        await self._connection.drained()

    def close(self) -> None:
        """End the connection in good order, after what was written."""
        self.keep = False
        self._transport.close()

    def reset(self) -> None:
        """Cut the connection; what was written and not sent is lost."""
        self.keep = False
        reset(self._transport)

    def doom(self, end: Callable[[asyncio.Transport], None]) -> None:
        """Let `end` end the connection when its next request comes, before anything is done about it."""
        self._connection.doomed = end

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Do something on the idle connection; nothing if its next request is there by then, or on its way."""
        connection, heard = self._connection, self._connection.heard

        def unless_busy() -> None:
            sock = self._transport.get_extra_info("socket")
            if connection.heard == heard and not self.gone and not select.select([sock], [], [], 0)[0]:
                happen()

        asyncio.get_running_loop().call_later(seconds, unless_busy)
