"""aiohttp's request, made to leave at most once, whole, and on a connection that is silent.

Two habits of aiohttp are put right here:

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

from .in_flight import InFlight


class StaleConnection(Exception):  # noqa: N818  # a signal to `Transport.send`
    """A kept connection turned out to be unusable before anything was written to it."""


class SpokeFirst(Exception):  # noqa: N818  # a signal to `Transport.send`
    """A new connection held bytes before anything was asked."""


class SentTwice(Exception):  # noqa: N818  # a signal to `Transport.send`
    """aiohttp was about to send a request again by itself."""


#: Tells whether a connection has bytes to read or is at its end.
InputCheck = Callable[[], object]
#: The connections of a transport that carried a request before.
UsedConnections = weakref.WeakKeyDictionary[Any, InputCheck]


class Sending:
    """What a request needs to know when it is written.

    Args:
        in_flight: The request as the call sees it.
        used: The connections of the transport that carried a request before.
        authorization: The Authorization header.
    """

    __slots__ = ("authorization", "in_flight", "used")

    def __init__(self, in_flight: InFlight, used: UsedConnections, authorization: str) -> None:
        self.in_flight = in_flight
        self.used = used
        self.authorization = authorization


#: Of the request that the current task sends: aiohttp makes the request and passes nothing on.
sending: ContextVar[Sending] = ContextVar("aioe2e_sending")


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


def _require_quiet(connection: Connection, used: UsedConnections) -> None:
    """Refuse a connection that holds unasked bytes, or that the other side has closed.

    Raises:
        StaleConnection: It is a kept one: another may do.
        SpokeFirst: It is a new one.
    """
    protocol = connection.protocol
    if protocol is None:
        raise StaleConnection
    has_input = used.get(protocol)
    is_new = has_input is None
    if has_input is None:
        has_input = used[protocol] = _input_check(connection)
    transport = connection.transport
    # What waits on a new TLS connection are the server's session tickets.
    holds_tickets = (
        is_new and transport is not None and bool(transport.get_extra_info("sslcontext"))
    )
    try:
        spoken = protocol.should_close or (not holds_tickets and bool(has_input()))
    except (OSError, ValueError):
        spoken = True
    if not spoken:
        return
    if is_new:
        raise SpokeFirst
    raise StaleConnection


class _OneWrite:
    """Stands in for a connection and its transport while aiohttp writes a request to it.

    aiohttp writes the head, and the body in a task of its own, which may begin a turn of the loop
    later. Here both go out in one piece, right after the check of the connection, so that there is
    no moment at which a stray reply can come in between, and the request was sent or was not.
    """

    __slots__ = ("_body", "_connection", "_kept", "_sending")

    def __init__(self, connection: Connection, body: bytes, now: Sending) -> None:
        self._connection = connection
        self._body = body
        self._sending = now
        self._kept = connection.protocol in now.used

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @property
    def protocol(self) -> _OneWrite:
        """What aiohttp's writer takes its transport from."""
        return self

    @property
    def transport(self) -> _OneWrite:
        """What aiohttp's writer writes to."""
        return self

    #: There is nothing to wait for: one write takes it all.
    writing_paused = False

    def start_timeout(self) -> None:
        """Start none: the time for an attempt is kept elsewhere."""

    def is_closing(self) -> bool:
        """Whether nothing can be written any more.

        Raises:
            StaleConnection: So it is, and the connection is a kept one.
        """
        transport = self._connection.transport
        closing = transport is None or transport.is_closing()
        if closing and self._kept:
            raise StaleConnection
        return closing

    def write(self, head: bytes) -> None:
        """Write head and body, if the connection is good for it."""
        _require_quiet(self._connection, self._sending.used)
        transport = self._connection.transport
        assert transport is not None
        self._sending.in_flight.sent = True
        transport.write(head + self._body)


_REPLACED: Final = ("send", "update_body_from_data", "update_headers")


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


class OneSendRequest(aiohttp.ClientRequest):
    """A request that is written once, and only to a connection on which nothing is waiting."""

    def update_headers(self, headers: Any) -> None:
        """Take the headers, made for this request alone, instead of copying them one by one."""
        self.headers = headers
        headers["Authorization"] = sending.get().authorization

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        """Add nothing: all headers are given, ``Host`` included."""

    def update_auth(self, auth: Any, trust_env: bool = False) -> None:
        """Use no other credentials, whatever a netrc file holds."""

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        """Keep the body for the one write, instead of giving it to aiohttp to write later."""
        self._whole_body = body or b""
        if body is not None or self.method not in self.GET_METHODS:
            self.headers["Content-Length"] = str(len(self._whole_body))

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request.

        Raises:
            StaleConnection, SpokeFirst: The connection cannot be used.
            SentTwice: aiohttp repeats a request.
        """
        now = sending.get()
        if now.in_flight.sent:
            raise SentTwice
        if now.in_flight.shares_loop:
            # All who send in this turn of the loop write in the next, one right after the other:
            # that wakes a server once and not for each of them, which is what costs most.
            await asyncio.sleep(0)
        response = await super().send(cast("Connection", _OneWrite(conn, self._whole_body, now)))
        for trace in self._traces if self._whole_body else ():
            await trace.send_request_chunk_sent(self.method, self.url, self._whole_body)
        return response
