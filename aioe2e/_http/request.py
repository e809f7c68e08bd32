"""aiohttp's request, made to leave at most once, whole, and on a connection that is silent.

Three habits of aiohttp are put right here:

- It hands URL and headers to every tool that watches it. `OneSendRequest` has neither credential
  in them: `Head` adds both to the bytes that are written.
- It sends GET, PUT and DELETE again by itself when a kept connection drops. `OneSendRequest`
  refuses the second send: which requests are repeated is decided in one place, the call.
- It takes a reply that was lying on an idle connection for the answer to the next request.
  `OneSendRequest` checks before it writes, and gives up a connection that holds bytes or is at its
  end for another.
"""

from __future__ import annotations

import asyncio
import select
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.connector import Connection

from .head import Head
from .in_flight import InFlight


class StaleConnection(Exception):  # noqa: N818  # a signal to `until_fresh`
    """A kept connection turned out to be unusable before anything was written to it."""


class SpokeFirst(Exception):  # noqa: N818  # a signal to `Transport.send`
    """A new connection held bytes before anything was asked."""


class SentTwice(Exception):  # noqa: N818  # a signal to `Transport.send`
    """aiohttp was about to send a request again by itself."""


#: Tells whether a connection has bytes to read or is at its end.
InputCheck = Callable[[], object]


class Wire:
    """What the requests of one transport have in common.

    Args:
        head: Spells their bytes.
    """

    __slots__ = ("head", "used")

    def __init__(self, head: Head) -> None:
        self.head: Head = head
        #: The connections that carried a request before.
        self.used: weakref.WeakKeyDictionary[Any, InputCheck] = weakref.WeakKeyDictionary()


#: What the current task sends, and over which wire: aiohttp makes the request and passes it on.
sending: ContextVar[tuple[Wire, InFlight]] = ContextVar("aioe2e_sending")


async def until_fresh(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Try kept connections until one is good, and then a new one: a middleware of aiohttp.

    A tracer sees one request.
    """
    while True:
        try:
            return await handler(request)
        except StaleConnection:
            continue  # ends with a new connection at the latest


def _input_check(connection: Connection) -> InputCheck:
    transport = connection.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return lambda: True  # no way to tell, so it is not used again
    if hasattr(select, "poll"):  # no limit on descriptor numbers, but not everywhere
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([sock.fileno()], [], [], 0)[0]


def _require_quiet(connection: Connection, wire: Wire) -> asyncio.WriteTransport:
    """Refuse a connection that holds unasked bytes, or that either side has closed.

    Returns:
        What to write to.

    Raises:
        StaleConnection: It is a kept one: another may do.
        SpokeFirst: It is a new one, and holds bytes.
        aiohttp.ClientConnectionResetError: It is a new one, and closed.
    """
    protocol, transport = connection.protocol, connection.transport
    has_input = None if protocol is None else wire.used.get(protocol)
    is_new = has_input is None
    if protocol is None or transport is None or transport.is_closing():
        if is_new:
            raise aiohttp.ClientConnectionResetError("the connection is closed")
        raise StaleConnection
    if has_input is None:
        has_input = wire.used[protocol] = _input_check(connection)
    # What waits on a new TLS connection are the server's session tickets.
    holds_tickets = is_new and transport.get_extra_info("sslcontext") is not None
    try:
        spoken = protocol.should_close or (not holds_tickets and bool(has_input()))
    except (OSError, ValueError):
        spoken = True
    if spoken:
        raise SpokeFirst if is_new else StaleConnection
    return cast("asyncio.WriteTransport", transport)


_REPLACED: Final = (
    "send",
    "update_auth",
    "update_auto_headers",
    "update_body_from_data",
    "update_content_encoding",
    "update_cookies",
    "update_expect_continue",
    "update_headers",
    "update_transfer_encoding",
)


def _require_known_aiohttp() -> None:
    """Refuse an aiohttp that would never call what `OneSendRequest` replaces.

    Raises:
        ImportError: It is such a one.
    """
    missing = [name for name in _REPLACED if not hasattr(aiohttp.ClientRequest, name)]
    if missing:
        raise ImportError(
            f"aioe2e does not work with aiohttp {aiohttp.__version__}, whose ClientRequest has no "
            f"{missing[0]}: install an older aiohttp or a newer aioe2e"
        )


_require_known_aiohttp()


class _Written:
    """Stands in for aiohttp's writer: all has been written when a response is made."""

    output_size: Final = 0


#: What a response is made with in the aiohttps that know of such a writer.
_WRITTEN: Final[dict[str, Any]] = {}
if "stream_writer" in aiohttp.ClientResponse.__init__.__code__.co_varnames:
    _WRITTEN["stream_writer"] = _Written()


class OneSendRequest(aiohttp.ClientRequest):
    """A request that is written once, and only to a connection on which nothing is waiting."""

    def update_headers(self, headers: Any) -> None:
        """Take the headers, made for this request alone, instead of copying them one by one."""
        self.headers = headers

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        """Keep the body for the one write, instead of giving it to aiohttp to write later."""
        self._whole_body = body

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        """Add nothing: `Head` has all headers."""

    def update_auth(self, auth: Any, trust_env: bool = False) -> None:
        """Use no other credentials, whatever a netrc file holds."""

    def update_cookies(self, cookies: Any) -> None:
        """Send no cookies."""

    def update_content_encoding(self, data: Any) -> None:
        """Pack no body."""

    def update_transfer_encoding(self) -> None:
        """Send no body in chunks."""

    def update_expect_continue(self, expect: bool = False) -> None:
        """Wait for no leave to send the body."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request.

        Raises:
            StaleConnection, SpokeFirst: The connection cannot be used.
            SentTwice: aiohttp repeats a request.
        """
        wire, in_flight = sending.get()
        if in_flight.sent:
            raise SentTwice
        for trace in self._traces:
            await trace.send_request_headers(self.method, self.url, self.headers)
        if in_flight.shares_loop:
            # All who send in this turn of the loop write in the next, one right after the other:
            # that wakes a server once and not for each of them, which is what costs most.
            await asyncio.sleep(0)
        self._write(conn, wire, in_flight)
        if self._whole_body:
            for trace in self._traces:
                await trace.send_request_chunk_sent(self.method, self.url, self._whole_body)
        return self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=self._traces,
            loop=self.loop,
            session=self._session,
            **_WRITTEN,
        )

    def _write(self, connection: Connection, wire: Wire, in_flight: InFlight) -> None:
        """Write head and body in one piece, right after the check of the connection.

        So there is no moment at which a stray reply can come in between, and the request was sent
        or was not. Nor is there one at which another part of the program could see a credential.
        """
        url = self.url
        whole = wire.head.spell(
            self.method, url.raw_path, url.raw_query_string, self.headers, self._whole_body
        )
        transport = _require_quiet(connection, wire)
        in_flight.sent = True
        transport.write(whole)
        if transport.is_closing():
            # The error that ended it keeps the frame of that write, and with it the bytes.
            whole[:] = bytes(len(whole))
