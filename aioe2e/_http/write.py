"""Writes a request to a connection: once, whole, and only to one that is silent.

aiohttp takes a reply that was lying on an idle connection for the answer to the next request. Here
a connection that holds bytes, or is at its end, is given up for another before anything is written.
"""

from __future__ import annotations

import asyncio
import select
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.connector import Connection

from .head import Head, require_one_line
from .in_flight import InFlight


class StaleConnection(Exception):  # noqa: N818  # a signal to both ways of sending
    """A kept connection turned out to be unusable before anything was written to it."""


class SpokeFirst(Exception):  # noqa: N818  # a signal to `Transport.send`
    """A new connection held bytes before anything was asked."""


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


async def write_once(
    connection: Connection,
    wire: Wire,
    in_flight: InFlight,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> None:
    """Write head and body in one piece, right after the check of the connection.

    So there is no moment at which a stray reply can come in between, and the request was sent or
    was not. Nor is there one at which another part of the program could see a credential.

    Args:
        connection: Where to.
        wire: What the requests of the transport have in common.
        in_flight: Learns whether the request was sent.
        method: The method.
        path: The path, encoded.
        query: The query, encoded, without the api key.
        headers: Headers that a tracer has added or changed.
        body: The body.

    Raises:
        StaleConnection, SpokeFirst: The connection cannot be used.
        aiohttp.ClientConnectionResetError: It is closed.
        ValueError: A header that a tracer has added holds a line break.
    """
    require_one_line(headers)
    if in_flight.shares_loop:
        # All who send in this turn of the loop write in the next, one right after the other: that
        # wakes a server once and not for each of them, which is what costs most.
        await asyncio.sleep(0)
    transport = _require_quiet(connection, wire)
    # From here on nothing is raised: an error would keep this frame, and with it the bytes.
    whole = wire.head.spell(method, path, query, headers, body)
    in_flight.sent = True
    transport.write(whole)
    if transport.is_closing():
        # The error that ended it keeps the frame of that write, and with it the bytes.
        whole[:] = bytes(len(whole))


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
