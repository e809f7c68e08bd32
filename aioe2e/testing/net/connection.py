"""aiohttp's connections, made to notice a client that leaves and to survive malformed bytes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter

from .replies import WireReply, refusal


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that the other side sees a reset, not an orderly end."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


#: A whole request that announces no body.
_BODILESS = re.compile(
    rb"[A-Z]+ [^\r\n]+ HTTP/1\.[01]\r\n"
    rb"(?:(?!(?i:content-length|transfer-encoding)[ \t]*:)[^\r\n]+\r\n)*\r\n"
)
_REQUEST = re.compile(rb"[A-Z]+ ")
#: The end of aiohttp's message about bytes that it cannot read: those bytes.
_BYTES_THAT_CAME = re.compile(r":?(\n| (bytearray\()?b').*", re.DOTALL)
#: What every reply begins with.
_FIRST_BYTE = b"H"


def _split(data: bytes) -> Iterator[bytes]:
    """Bytes that begin with a request, split after each request that announces no body.

    What follows such a request and is not another one is dropped: Node.js sends the body of a GET
    unannounced, as a sample of the vendor's document does, and aiohttp would refuse both.
    """
    while (match := _BODILESS.match(data)) is not None:
        yield data[: match.end()]
        data = data[match.end() :]
        if _REQUEST.match(data) is None:
            return
    yield data


class Connection(web.RequestHandler):
    """One connection from a client."""

    __slots__ = (
        "_begun",
        "_body",
        "_headers",
        "end_on_next",
        "ended",
        "heard",
        "left",
        "number",
        "on_gone",
        "on_made",
        "reading",
        "served",
    )

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.number: int = 0
        #: How often bytes have arrived from the client.
        self.heard: int = 0
        #: How many requests have been served.
        self.served: int = 0
        #: Whether a body is being waited for.
        self.reading: bool = False
        #: Set once the client has left, or has ended its side.
        self.left: asyncio.Event = asyncio.Event()
        #: Whether the client has ended its side of the connection. It may still read.
        self.ended: bool = False
        #: What ends the connection when its next request arrives; None for a healthy one.
        self.end_on_next: Callable[[asyncio.Transport], None] | None = None
        self.on_made: Callable[[Connection, asyncio.Transport], None] | None = None
        self.on_gone: Callable[[Connection], None] | None = None
        #: The headers of the latest request.
        self._headers: Mapping[str, str] = {}
        #: Whether the first byte of a reply was sent.
        self._begun = False
        #: The body of the latest request.
        self._body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the listener know."""
        super().connection_made(transport)
        if self.on_made is not None:
            # Not checked: the transports of uvloop are no subclass.
            self.on_made(self, cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        """Give the bytes to aiohttp, one request at a time."""
        self.heard += 1
        between = self._body is None or self._body.is_eof()
        for part in _split(data) if between else (data,):
            try:
                super().data_received(part)
            except ValueError:
                # Some releases of aiohttp let it through, for a URL that is none.
                self.end_with(refusal(400, "The request cannot be read"))
                return
            if self._messages:
                self._body = self._messages[-1][1]

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Note that the client has ended its side; aiohttp would close the connection."""
        # Not left to connection_lost, which comes later: a client that gave up must not be counted
        # together with its next request.
        self.ended = True
        self._gone()
        # Open for the reply to a request that is there, closed in the middle of one.
        return self._request_count > self.served and not self.reading

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note that the client has left."""
        self._gone()
        super().connection_lost(exc)

    def _gone(self) -> None:
        self.left.set()
        if self.on_gone is not None:
            self.on_gone(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse what is not HTTP. It is the client's mistake; aiohttp would log a traceback."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        what = _BYTES_THAT_CAME.sub("", message or "Bad Request")
        return self.end_with(refusal(status, what))

    def known_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of a request; the same object as for the previous one if they are equal.

        Many requests are kept, and most of one client's have the same headers.
        """
        if headers != self._headers:
            self._headers = headers
        return self._headers

    async def read(self, request: web.BaseRequest) -> bytes:
        """The body of a request.

        Raises:
            ConnectionError: The client left before its end.
            web.RequestPayloadError: It cannot be decoded.
            web.HTTPRequestEntityTooLarge: It is larger than 1 MiB.
        """
        if not request.content.is_eof():
            if self.ended or self.transport is None:
                raise ConnectionResetError("the client left within its request")
            if request.headers.get("Expect", "").lower() == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.reading = True
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge:
            # The client reads its reply only after it has sent everything.
            while await request.content.readany():
                pass
            raise
        finally:
            self.reading = False

    async def deserted(self) -> bool:
        """Whether the client has left and cannot read its reply.

        If it has ended its side, it may have left or may still read. Sending the first byte of the
        reply shows which: if the client has left, a reset comes back. `respond` sends the rest.
        """
        if not self.ended or self.transport is None:
            return self.left.is_set()
        self.transport.write(_FIRST_BYTE)
        self._begun = True
        await asyncio.sleep(0.005)
        sock: socket.socket = self.transport.get_extra_info("socket")
        return (
            self.transport.is_closing() or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        )

    def respond(self, reply: WireReply, request: web.BaseRequest) -> web.StreamResponse:
        """Send a reply to a client that is not `deserted`."""
        if self.transport is None:
            return self.drop()
        another_waits = self._request_count > self.served + 1
        keep = another_waits if self.ended else request.keep_alive
        if not keep:
            reply = reply.with_headers(("Connection", "close"))
        elif request.version < HttpVersion11:
            reply = reply.with_headers(("Connection", "keep-alive"))
        data = reply.wire()
        self.transport.write(data.removeprefix(_FIRST_BYTE) if self._begun else data)
        self._begun = False
        return Played(keep=keep)

    def end_with(self, reply: WireReply) -> web.StreamResponse:
        """Send a reply and end the connection, even if the client is still sending."""
        if self.transport is not None:
            self.transport.write(reply.with_headers(("Connection", "close")).wire())
        return self.drop()

    def drop(self) -> web.StreamResponse:
        """End the connection."""
        # Not left to aiohttp, which would first wait for the rest of the body, and fail if that is
        # malformed.
        self.force_close()
        return Played(keep=False)

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
        """Make a connection for a client."""
        connection = Connection(self, loop=self._loop, **self._kwargs)
        connection.number = self._made = self._made + 1
        connection.on_made = self._on_made
        connection.on_gone = self._on_gone
        return connection


class Played(web.StreamResponse):
    """A stand-in for a reply whose bytes were written already."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open."""
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002  # aiohttp's
        """Write nothing: everything was written already."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: everything was written already."""
