"""The one write: a request's bytes, once, whole, and only to a connection that is silent.

aiohttp, and with it every tool that watches aiohttp, is given URLs without the API key and headers
without credentials. Both are added here, in the step that hands the bytes to the socket, and no
other value holds them.

aiohttp takes a reply that was lying on an idle connection for the answer to the next request. Here
a connection that holds bytes, or is at its end, is given up for another before anything is written.
"""

from __future__ import annotations

import asyncio
import select
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from .in_flight import InFlight

#: Where the API takes the key.
KeyIn = Literal["query", "header"]

#: Methods whose request has no Content-Length when it has no body.
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: Headers that are made here, whatever a tracer has put in.
_OWN: Final = frozenset({"authorization", "content-length", "x-api-key"})
_BREAKS: Final = frozenset("\r\n\0")


class Head:
    """Spells whole requests to one server. The only place where the credentials are spelt.

    Args:
        headers: The headers of every request but the credentials, ``Host`` included.
        api_key: The API key.
        key_in: Whether the key goes into the query or into the header ``X-API-Key``.
    """

    __slots__ = ("_authorization", "_headers", "_key_header", "_key_parameter", "_plain")

    def __init__(self, headers: Mapping[str, str], *, api_key: str, key_in: KeyIn) -> None:
        self._headers = headers
        #: The lines of a request to which no tracer has added any.
        self._plain = _lines(headers.items())
        self._key_parameter = encoded({"apikey": api_key}) if key_in == "query" else ""
        self._key_header = _lines({"X-API-Key": api_key}.items()) if key_in == "header" else ""
        self._authorization = ""

    def authorize(self, token: str) -> None:
        """Use a token from now on."""
        self._authorization = _lines({"Authorization": f"Bearer {token}"}.items())

    def spell(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytearray:
        """A whole request, to be written in the same step and wiped after.

        Args:
            method: The method.
            path: The path, encoded.
            query: The query, encoded, without the API key.
            headers: Headers that a tracer has added or changed, checked; empty where there is none.
            body: The body.
        """
        key = self._key_parameter
        target = f"{path}?{key}&{query}" if key and query else f"{path}?{key}{query}"
        content = body or b""
        length = ""
        if content or method not in _WITHOUT_BODY:
            length = f"Content-Length: {len(content)}\r\n"
        lines = self._merged(headers) if headers else self._plain
        credentials = f"{self._authorization}{self._key_header}"
        head = f"{method} {target} HTTP/1.1\r\n{lines}{credentials}{length}\r\n"
        whole = bytearray(head, "utf-8")
        whole += content
        return whole

    def _merged(self, headers: Mapping[str, str]) -> str:
        """The lines of the usual headers and of those that a tracer has added."""
        usual = [pair for pair in self._headers.items() if pair[0] not in headers]
        added = [pair for pair in headers.items() if pair[0].lower() not in _OWN]
        return _lines(usual + added)

    def __repr__(self) -> str:
        return "Head()"


def require_writable(headers: Mapping[str, str]) -> None:
    """Refuse headers that would become two, or that cannot be written.

    Raises:
        ValueError: A name or a value holds a line break, or half of a surrogate pair.
    """
    for name, value in headers.items():
        line = f"{name}: {value}"
        if not _BREAKS.isdisjoint(line):
            raise ValueError(f"the header {name!r} holds a line break")
        # What fails to encode is kept by the error, so it must not be the whole request.
        line.encode()


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    """Headers as they are written."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def encoded(query: Mapping[str, str]) -> str:
    """Parameters as a query."""
    return "&".join(
        f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query.items()
    )


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
        query: The query, encoded, without the API key.
        headers: Headers that a tracer has added or changed, checked.
        body: The body.

    Raises:
        StaleConnection, SpokeFirst: The connection cannot be used.
        aiohttp.ClientConnectionResetError: It is closed.
    """
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


def _require_quiet(connection: Connection, wire: Wire) -> asyncio.WriteTransport:
    """Refuse a connection that holds unasked bytes, or that either side has closed.

    Returns:
        What to write to.

    Raises:
        StaleConnection: It is a kept one: another may do.
        SpokeFirst: It is a new one, and holds bytes.
        aiohttp.ClientConnectionResetError: It is a new one, and closed.
    """
    protocol = connection.protocol
    if protocol is None:
        raise aiohttp.ClientConnectionResetError("the connection is closed")
    check = wire.used.get(protocol)
    if check is None:
        return _require_quiet_new(protocol, wire)
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise StaleConnection
    if protocol.should_close or _has_input(check):
        raise StaleConnection
    return transport


def _require_quiet_new(protocol: ResponseHandler, wire: Wire) -> asyncio.WriteTransport:
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection is closed")
    check = wire.used[protocol] = _input_check(transport)
    # What waits on a new TLS connection are the server's session tickets.
    is_encrypted = transport.get_extra_info("sslcontext") is not None
    if protocol.should_close or (not is_encrypted and _has_input(check)):
        raise SpokeFirst
    return transport


def _input_check(transport: asyncio.BaseTransport) -> InputCheck:
    sock = transport.get_extra_info("socket")
    if sock is None:
        return lambda: True  # no way to tell, so it is not used again
    if hasattr(select, "poll"):  # no limit on descriptor numbers, but not everywhere
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([sock.fileno()], [], [], 0)[0]


def _has_input(check: InputCheck) -> bool:
    try:
        return bool(check())
    except (OSError, ValueError):  # its socket is gone
        return True
