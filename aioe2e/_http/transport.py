"""Sends one request once, and reads at most so much of the reply. The only module that knows
aiohttp.

Three habits of aiohttp are put right here:

- It sends GET, PUT and DELETE again by itself when a kept connection drops. `_OneSendRequest`
  refuses the second send: what may be repeated is decided in one place, and that is not here.
- It takes a reply that was lying on an idle connection for the answer to the next request.
  `_OneSendRequest` looks before it writes, and a connection that holds bytes or is at its end is
  given up for another.
- It unpacks a compressed body without a bound. Bodies are unpacked in `_unpack`, within
  `Limits.max_body`.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import warnings
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, cast
from urllib.parse import quote

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from aioe2e._actions import Repeat
from aioe2e._wire.request import Context, RawReply, Request
from aioe2e.errors import (
    AttemptTimeoutError,
    ConnectError,
    ConnectionLostError,
    E2EError,
    ResponseError,
    SessionError,
)

from .tls import verified_context
from .unpack import BodyTooLargeError, BrokenBodyError, Unpacker

#: The headers of a reply that anything reads.
HEADERS: Final = ("date", "ratelimit-reset", "retry-after", "x-ratelimit-reset")
#: No server means more of them. Not every aiohttp has a bound of its own.
_MOST_HEADERS: Final = 1000


#: A connect timeout as aiohttp takes it; see `connect_timeout`.
ConnectTimeout = aiohttp.ClientTimeout


class Flight:
    """One request on its way.

    Args:
        end: Loop time at which the attempt is over; None for no limit.
        in_company: Whether other requests of the session are on their way.

    Attributes:
        task: What sends it; None before that and once it is over.
        sent: Whether the request was let onto a connection: from then on the server may act on it.
        cut: Whether it was cut off.
        used: The connections of the transport that carried a request before.
        authorization: The Authorization header.
    """

    __slots__ = ("authorization", "cut", "end", "in_company", "sent", "task", "used")

    authorization: str
    used: weakref.WeakKeyDictionary[Any, InputCheck]

    def __init__(self, end: float | None, *, in_company: bool) -> None:
        self.end: float | None = end
        self.in_company: bool = in_company
        self.task: asyncio.Task[Any] | None = None
        self.sent: bool = False
        self.cut: bool = False

    def cut_off(self) -> None:
        """End the attempt, wherever it is."""
        # Not at once: it may be the attempt itself that comes here, out of a hook of the user's.
        asyncio.get_running_loop().call_soon(self._cut)

    def _cut(self) -> None:
        if not self.cut and self.task is not None:  # else it has ended meanwhile
            self.cut = True
            self.task.cancel()


_flight: ContextVar[Flight] = ContextVar("aioe2e_flight")


class _StaleConnection(Exception):  # noqa: N818  # a signal to `Transport.send`
    """A kept connection turned out to be unusable before anything was written to it."""


class _SpokeFirst(Exception):  # noqa: N818  # a signal to `Transport.send`
    """A new connection held bytes before anything was asked."""


class _TooManyHeaders(Exception):  # noqa: N818  # a signal to `Transport.send`
    """A reply has more headers than anybody means."""


class _SentTwice(Exception):  # noqa: N818  # a signal to `Transport.send`
    """aiohttp was about to send a request again by itself."""


#: Tells whether a connection has bytes to read or is at its end.
InputCheck = Callable[[], object]


def _input_check(connection: Connection) -> InputCheck:
    transport = connection.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return lambda: True  # nobody can tell, so it is not used again
    if hasattr(select, "poll"):  # no limit on descriptor numbers, but not everywhere
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select([sock.fileno()], [], [], 0)[0]


def _see_to_silence(
    connection: Connection, used: weakref.WeakKeyDictionary[Any, InputCheck]
) -> None:
    """Refuse a connection that holds bytes which nobody asked for, or that was closed by the other
    side.

    Raises:
        _StaleConnection: It is a kept one: another may do.
        _SpokeFirst: It is a new one.
    """
    protocol = connection.protocol
    if protocol is None:
        raise _StaleConnection
    has_input = used.get(protocol)
    is_new = has_input is None
    if has_input is None:
        has_input = used[protocol] = _input_check(connection)
    # What waits on a new TLS connection are the server's session tickets.
    may_wait = (
        is_new
        and connection.transport is not None
        and connection.transport.get_extra_info("sslcontext")
    )
    try:
        spoken = protocol.should_close or (not may_wait and bool(has_input()))
    except (OSError, ValueError):
        spoken = True
    if spoken:
        raise _SpokeFirst if is_new else _StaleConnection


class _OneWrite:
    """Stands in for a connection and its transport while aiohttp writes a request to it.

    aiohttp writes the head, and the body in a task of its own, which may begin a turn of the loop
    later. Here both go out in one piece, right after the look at the connection, so that there is
    no moment at which a stray reply can come in between, and the request was sent or was not.
    """

    __slots__ = ("_body", "_connection", "_flight", "_kept")

    def __init__(self, connection: Connection, body: bytes, flight: Flight) -> None:
        self._connection = connection
        self._body = body
        self._flight = flight
        self._kept = connection.protocol in flight.used

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
        """Whether nothing can be written any more; a kept connection that has come to that is one
        to be replaced."""
        transport = self._connection.transport
        closing = transport is None or transport.is_closing()
        if closing and self._kept:
            raise _StaleConnection
        return closing

    def write(self, head: bytes) -> None:
        """Write head and body, if the connection is good for it."""
        _see_to_silence(self._connection, self._flight.used)
        transport = self._connection.transport
        assert transport is not None
        self._flight.sent = True
        transport.write(head + self._body)


def _see_to_aiohttp() -> None:
    """Refuse an aiohttp that would never call what `_OneSendRequest` replaces.

    Raises:
        ImportError: It is such a one.
    """
    missing = [name for name in _REPLACED if not hasattr(aiohttp.ClientRequest, name)]
    if missing:
        raise ImportError(
            f"aioe2e does not work with aiohttp {aiohttp.__version__}, whose ClientRequest has no {missing[0]}: "
            "install an older aiohttp or a newer aioe2e"
        )


_REPLACED = ("send", "update_body_from_data", "update_headers")
_see_to_aiohttp()


class _OneSendRequest(aiohttp.ClientRequest):
    """A request that is written to a connection once, and only to one on which nothing is
    waiting."""

    def update_headers(self, headers: Any) -> None:
        """Take the headers, which were made for this request alone, instead of copying them one by
        one."""
        self.headers = headers
        headers["Authorization"] = _flight.get().authorization

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
        flight = _flight.get()
        if flight.sent:
            raise _SentTwice
        if flight.in_company:
            # All who send in this turn of the loop write in the next, one right after the other:
            # that wakes a server once and not for each of them, which is what costs most.
            await asyncio.sleep(0)
        response = await super().send(cast("Connection", _OneWrite(conn, self._whole_body, flight)))
        for trace in self._traces if self._whole_body else ():
            await trace.send_request_chunk_sent(self.method, self.url, self._whole_body)
        return response


class Transport:
    """The pool of one session: its own, or the borrowed pool of the user's `aiohttp.ClientSession`.

    Built inside the running loop. Of a borrowed session only the connector and the trace configs
    are used: none of its cookies, default headers, auth, proxies, timeouts or middlewares.

    Args:
        base: The base URL with its final slash.
        api_key: Goes into the query of every request.
        user_agent: The User-Agent header.
        trust_env: Whether proxies and certificates that the environment names are used; not with a
            borrowed session.
        borrowed: The user's session.
    """

    def __init__(
        self,
        base: str,
        api_key: str,
        *,
        user_agent: str,
        trust_env: bool,
        borrowed: aiohttp.ClientSession | None,
    ) -> None:
        #: Whether any request was let onto a connection.
        self.sent: bool = False
        self._authorization = ""
        url = URL(base, encoded=True)
        self._scheme, self._authority, self._root = url.scheme, url.raw_authority, url.raw_path
        self._api_key = {"apikey": api_key}
        #: The query of requests that have none of their own; a session has few contexts.
        self._queries: dict[Context, str] = {}
        self._owned = borrowed is None
        connector: aiohttp.BaseConnector | None
        if borrowed is None:
            tls = verified_context() if base.startswith("https:") and not trust_env else True
            # A limit of the pool's own would be a second gate behind the first.
            connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        else:
            connector = borrowed.connector
        assert connector is not None
        self._loop = loop = asyncio.get_running_loop()
        if getattr(connector, "_loop", loop) is not loop:  # aiohttp has no public word for it
            raise SessionError(
                "the aiohttp.ClientSession given as http= belongs to another event loop"
            )
        self._used: weakref.WeakKeyDictionary[Any, InputCheck] = weakref.WeakKeyDictionary()
        self._http = aiohttp.ClientSession(
            connector=connector,
            connector_owner=self._owned,
            request_class=_OneSendRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=trust_env and self._owned,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=None if borrowed is None else list(borrowed.trace_configs),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "Content-Type": "application/json",
                "Host": url.host_port_subcomponent or "",
                "User-Agent": user_agent,
            },
        )

        # Where the attribute does not exist, or means nothing any more, `_OneSendRequest` still
        # refuses.
        self._http._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # else a lost reply opens a second connection

    def authorize(self, token: str) -> None:
        """Use a token from now on."""
        self._authorization = f"Bearer {token}"

    async def send(
        self,
        request: Request,
        context: Context,
        flight: Flight,
        timeout: ConnectTimeout,
        max_body: int,
    ) -> RawReply | E2EError:
        """Send a request once, and return the reply or why there is none.

        Args:
            request: What to send.
            context: Goes into its query, below the request's own parameters.
            flight: Tells, also after a cancellation, whether the request was sent.
            timeout: The connect timeout; see `connect_timeout`.
            max_body: Bytes of the reply at the most, counted before and after decompression.
        """
        task = flight.task = cast("asyncio.Task[Any]", asyncio.current_task())
        cancelling = task.cancelling()
        flight.used = self._used
        flight.authorization = self._authorization
        token = _flight.set(flight)
        try:
            return await self._exchange(request, self._query(request, context), timeout, max_body)
        except asyncio.CancelledError:
            if (
                not flight.cut or task.cancelling() > cancelling + 1
            ):  # somebody else cancels it, and has the last word
                raise
            return _failure(TimeoutError(), flight, max_body)
        except Exception as error:  # noqa: BLE001  # broken replies make aiohttp's parser raise almost anything
            return _failure(error, flight, max_body)
        finally:
            # A connection keeps the context that it was opened in, and with it the flight. The
            # task, and with it its result, must not live as long.
            flight.task = None
            if flight.cut:
                task.uncancel()
            _flight.reset(token)
            self.sent = self.sent or flight.sent

    def _query(self, request: Request, context: Context) -> str:
        """The query of a request: api key, context, and parameters of its own."""
        if request.query is not None:
            return _encoded({**self._api_key, **context.query(), **request.query})
        known = self._queries.get(context)
        if known is None:
            known = self._queries[context] = _encoded({**self._api_key, **context.query()})
        return known

    async def _exchange(
        self, request: Request, query: str, timeout: ConnectTimeout, max_body: int
    ) -> RawReply:
        path = f"{self._root}{request.path}"
        url = URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=path,
            query_string=query,
            encoded=True,
        )
        while True:
            try:
                response = await self._http.request(
                    request.method, url, data=request.body, allow_redirects=False, timeout=timeout
                )
                break
            except _StaleConnection:
                continue  # ends with a new connection at the latest
        try:
            if len(response.headers) > _MOST_HEADERS:
                raise _TooManyHeaders
            body = await _read(response, max_body)
        except BaseException:
            response.close()
            raise
        headers: dict[str, tuple[str, ...]] = {}
        if (
            request.repeat is Repeat.READ or response.status >= 400
        ):  # for what else would anybody read them
            found = response.headers
            headers = {
                name: tuple(values) for name in HEADERS if (values := found.getall(name, None))
            }
        return RawReply(response.status, headers, body)

    async def close(self) -> None:
        """Close what this transport opened: never the user's pool."""
        await self._http.close()

    def abandon(self) -> None:
        """Let go of the sockets without a loop to wait in, for a session that nobody closed."""
        connector = self._http.connector
        self._http.detach()
        if not self._owned or connector is None:
            return
        with (
            warnings.catch_warnings(),
            contextlib.suppress(Exception),
        ):  # with the loop, ways to close well may be gone
            warnings.simplefilter("ignore")
            transports = [
                protocol.transport for protocol in self._used if protocol.transport is not None
            ]
            closing = connector.close().__await__()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                next(
                    closing, None
                )  # what can be closed is closed by now; the rest would be waiting
            closing.close()
            for transport in transports if self._loop.is_closed() else ():
                # With the loop closed, only so can asyncio's transports close their sockets.
                if getattr(transport, "_sock", None) is not None:
                    transport._call_connection_lost(None)  # noqa: SLF001  # there is no public word for it


def _encoded(query: Mapping[str, str]) -> str:
    return "&".join(
        f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query.items()
    )


def connect_timeout(seconds: float | None) -> ConnectTimeout:
    """The part of the timeouts that aiohttp keeps: connecting. It is not rounded up to whole
    seconds."""
    return ConnectTimeout(total=None, connect=seconds, ceil_threshold=float("inf"))


def _failure(error: Exception, flight: Flight, max_body: int) -> E2EError:
    """Why there is no reply."""
    sent = flight.sent
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ConnectError("no connection within Timeouts.connect", sent=sent)
        case TimeoutError():
            return AttemptTimeoutError(
                f"no {'whole reply' if sent else 'connection'} in the time for one attempt",
                sent=sent,
            )
        case _SpokeFirst():
            return ConnectionLostError(
                "something answered on a new connection before it was asked", sent=False
            )
        case _TooManyHeaders():
            return ResponseError(f"the reply has more than {_MOST_HEADERS} headers")
        case BodyTooLargeError():
            return ResponseError(f"the reply is larger than {max_body} bytes")
        case BrokenBodyError():
            return ResponseError("the compressed reply cannot be unpacked")
        case aiohttp.ClientConnectorError() if not sent:
            return ConnectError(f"no connection: {_story(error)}", sent=False)
        case _:
            # Only the type is told: the texts of aiohttp's errors hold URLs, and so the api key.
            kind = ConnectionLostError if sent else ConnectError
            when = "before a reply was read" if sent else "before the request was sent"
            return kind(f"the connection failed {when} ({type(error).__name__})", sent=sent)


def _story(error: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about, from the parts of an OS error that hold no URL."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    certificate = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return str(certificate or getattr(cause, "strerror", None) or type(cause).__name__)


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, unpacked, within a bound."""
    if response.method == "HEAD":
        return (
            await response.read()
        )  # ends at once: the length is that of a body that does not come
    headers, content = response.headers, response.content
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > most:
        raise BodyTooLargeError
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity" and length and "Transfer-Encoding" not in headers:
        if (
            content.is_eof()
        ):  # it came in one piece with the headers, as most do, and its connection is free already
            return content.read_nowait()
        return await response.read()
    unpacker = Unpacker(encoding, most)
    async for chunk in content.iter_any():
        for _ in unpacker.feed(chunk):
            await asyncio.sleep(0)
    response.release()
    return unpacker.finish()
