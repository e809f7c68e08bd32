"""Sends one request once, and reads a reply of bounded size.

There are two ways to a connection of the pool. aiohttp's client session is a third of what a call
costs, and all of it serves what the library does not use (redirects, cookies, auth, forms), and
tools that watch. So it is taken where there is such a tool (`_http/watched`). Elsewhere a request
takes a connection of the same pool, is written to it by the same function, and its reply is parsed
by aiohttp's own parser.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from types import FunctionType
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector
from yarl import URL

from aioe2e._actions import Repeatability
from aioe2e._text import Redactor
from aioe2e._wire import RATE_LIMIT_HEADERS, Context, RawReply, Request
from aioe2e.config import Credentials, is_loopback
from aioe2e.errors import E2EError, SessionError

from .failure import failure
from .in_flight import InFlight
from .reply import Received, Response, read, read_at_once
from .tls import verified_context
from .watched import (
    OneSendRequest,
    Reply,
    line_watch,
    read_watched,
    require_known,
    sending,
    until_fresh,
    without_twins,
)
from .write import Head, StaleConnection, Wire, encoded, write_once

require_known(BaseConnector, ["connect"])
require_known(ResponseHandler, ["set_response_params"])

#: The headers of a reply that the library reads.
HEADERS: Final = ("date", "retry-after", "x-request-id", *RATE_LIMIT_HEADERS)
#: Those of an accepted write: its others tell nothing that the library needs.
_OF_ACCEPTED_WRITES: Final = ("ratelimit-remaining", "x-ratelimit-remaining")
#: No tracer adds any where nothing watches.
_NOTHING_ADDED: Final[dict[str, str]] = {}

#: What a user may lend a session, for the type hints of other rooms.
ClientSession = aiohttp.ClientSession


class ConnectTimeout:
    """The part of the timeouts that aiohttp keeps: connecting, not rounded up to whole seconds.

    Args:
        seconds: How long connecting may take; None for no limit.
    """

    __slots__ = ("of_free_pool", "of_limited_pool")

    def __init__(self, seconds: float | None) -> None:
        exact = float("inf")
        self.of_free_pool: aiohttp.ClientTimeout = aiohttp.ClientTimeout(
            total=None, connect=seconds, ceil_threshold=exact
        )
        #: aiohttp's `connect` includes the wait in the line of the pool, which is no connecting.
        self.of_limited_pool: aiohttp.ClientTimeout = aiohttp.ClientTimeout(
            total=None, sock_connect=seconds, ceil_threshold=exact
        )


class Destination(aiohttp.ClientRequest):
    """A request that is never sent: it tells the pool where its connections go to."""

    _key: Any = None

    @property
    def connection_key(self) -> Any:
        """The key of such connections, made once, where aiohttp makes it anew."""
        if self._key is None:
            self._key = super().connection_key
        return self._key


class Transport:
    """The pool of one session: its own, or the borrowed pool of the user's `aiohttp.ClientSession`.

    Built inside the running loop. Of a borrowed session only the connector and the trace configs
    are used: none of its cookies, default headers, auth, proxies, timeouts or middlewares.

    Args:
        base: The base URL with its final slash.
        credentials: Their API key goes with every request. As a whole, so that no frame of a
            traceback shows it.
        redactor: Takes secrets out of what the program's own code raises.
        user_agent: The User-Agent header.
        trust_env: Whether proxies and certificates that the environment names are used; not with a
            borrowed session.
        tls: The user's own TLS context; None for the system's certificates.
        borrowed: The user's session.
    """

    def __init__(
        self,
        base: str,
        credentials: Credentials,
        *,
        redactor: Redactor,
        user_agent: str,
        trust_env: bool,
        tls: ssl.SSLContext | None,
        borrowed: aiohttp.ClientSession | None,
    ) -> None:
        #: Whether any connection took a request.
        self.sent: bool = False
        self._redactor = redactor
        self._base = url = URL(base, encoded=True)
        self._root = url.raw_path
        #: The query of requests that have none of their own; a session has few contexts.
        self._queries: dict[Context, str] = {}
        self._loop = asyncio.get_running_loop()
        self._owned = borrowed is None
        self._connector = connector = _connector(borrowed, self._loop)
        #: Whether a request may have to wait for a connection of the pool.
        self._has_line = bool(connector.limit or connector.limit_per_host)
        self._headers = _headers(url, user_agent, connector)
        head = Head(self._headers, api_key=credentials.api_key, key_in=credentials.key_in)
        self._wire = Wire(head)
        #: Where the connections go to. The first request that nothing watches makes it.
        self._to_server: Destination | None = None
        #: What aiohttp is told of TLS.
        self._tls: ssl.SSLContext | bool = tls or True
        # Where a pool is borrowed or the environment is trusted, the choice is aiohttp's.
        is_aiohttps_choice = borrowed is not None or trust_env
        #: Whether the library's own context has yet to be made: the first request does that.
        self._lacks_tls = url.scheme == "https" and tls is None and not is_aiohttps_choice
        # What is asked of this very machine does not leave it, whatever the environment says.
        is_here = is_loopback(url.raw_host or "")
        self._trust_env = trust_env and self._owned and not is_here
        self._http = _client_session(connector, borrowed, trust_env=self._trust_env)
        if self._has_line:
            self._http.trace_configs.append(line_watch())

    def authorize(self, token: str) -> None:
        """Use a token from now on."""
        self._wire.head.authorize(token)

    async def send(
        self,
        request: Request,
        context: Context,
        in_flight: InFlight,
        timeout: ConnectTimeout,
        max_body: int,
    ) -> RawReply | E2EError:
        """Send a request once, and return the reply or why there is none.

        Args:
            request: What to send.
            context: Goes into its query, below the request's own parameters.
            in_flight: Tells, also after a cancellation, whether the request was sent.
            timeout: How long connecting may take.
            max_body: Bytes of the reply at the most, counted before and after decompression.
        """
        task = in_flight.task = cast("asyncio.Task[Any]", asyncio.current_task())
        cancelling = task.cancelling()
        query = self._query(request, context)
        try:
            return await self._exchange(request, query, in_flight, timeout, max_body)
        except asyncio.CancelledError:
            cancelled_from_outside = task.cancelling() > cancelling + 1
            if not in_flight.aborted or cancelled_from_outside:
                raise
            return self._failure(TimeoutError(), in_flight, max_body)
        except Exception as error:  # noqa: BLE001  # tracers and patches may raise anything
            return self._failure(error, in_flight, max_body)
        finally:
            # A connection keeps the context that it was opened in, and with it `in_flight`. The
            # task, and with it its result, must not live as long.
            in_flight.task = None
            if in_flight.aborted:
                task.uncancel()
            self.sent = self.sent or in_flight.sent

    def _failure(self, error: Exception, in_flight: InFlight, max_body: int) -> E2EError:
        return failure(error, sent=in_flight.sent, max_body=max_body, redactor=self._redactor)

    def _query(self, request: Request, context: Context) -> str:
        """The query of a request without the API key: the context, and parameters of its own."""
        if request.query is not None:
            return encoded({**context.query(), **request.query})
        known = self._queries.get(context)
        if known is None:
            known = self._queries[context] = encoded(context.query())
        return known

    async def _exchange(
        self,
        request: Request,
        query: str,
        in_flight: InFlight,
        timeout: ConnectTimeout,
        max_body: int,
    ) -> RawReply:
        if self._lacks_tls:
            self._tls = await verified_context()
            self._lacks_tls = False
        response: Response
        body: bytes | None
        # A proxy is found by aiohttp's own way alone.
        if self._trust_env or _is_watched(self._http):
            response, body = await self._send_watched(request, query, in_flight, timeout, max_body)
        else:
            response = await self._send_directly(request, query, in_flight, timeout)
            body = read_at_once(response, max_body)
            if body is None:
                body = await read(response, max_body)
        return RawReply(response.status, _headers_of(response, request), body)

    async def _send_directly(
        self, request: Request, query: str, in_flight: InFlight, timeout: ConnectTimeout
    ) -> Received:
        """Send a request past aiohttp's client session; the reply when its headers have come."""
        method = request.method
        path = f"{self._root}{request.path}"
        destination = self._destination()
        while True:
            try:
                connection = await self._connector.connect(
                    destination, traces=[], timeout=timeout.of_free_pool
                )
            except TimeoutError as error:
                raise aiohttp.ConnectionTimeoutError from error
            protocol: Any = connection.protocol
            try:
                protocol.set_response_params(
                    skip_payload=method == "HEAD", read_until_eof=True, auto_decompress=False
                )
                await write_once(
                    connection,
                    self._wire,
                    in_flight,
                    method=method,
                    path=path,
                    query=query,
                    headers=_NOTHING_ADDED,
                    body=request.body,
                )
                while True:
                    message, content = await protocol.read()
                    if not _is_interim(message.code):
                        return Received(method, connection, message, content)
            except StaleConnection:
                connection.close()  # ends with a new connection at the latest
            except BaseException:
                connection.close()
                raise

    def _destination(self) -> Destination:
        if self._to_server is None:
            self._to_server = Destination(
                "GET", self._base, loop=self._loop, session=self._http, ssl=self._tls
            )
        return self._to_server

    async def _send_watched(
        self,
        request: Request,
        query: str,
        in_flight: InFlight,
        timeout: ConnectTimeout,
        max_body: int,
    ) -> tuple[Response, bytes]:
        """Send a request through aiohttp's client session; the reply and its body."""
        base = self._base
        url = URL.build(
            scheme=base.scheme,
            authority=base.raw_authority,
            path=f"{self._root}{request.path}",
            query_string=query,
            encoded=True,
        )
        token = sending.set((self._wire, in_flight))
        try:
            response = await self._http.request(
                request.method,
                url,
                data=request.body,
                headers=self._headers,
                allow_redirects=False,
                timeout=timeout.of_limited_pool if self._has_line else timeout.of_free_pool,
                ssl=self._tls,
            )
            return response, await read_watched(response, max_body)
        finally:
            sending.reset(token)

    async def close(self) -> None:
        """Close what this transport opened: never the user's pool."""
        await self._http.close()

    def abandon(self) -> None:
        """Let go of the sockets without a loop to wait in, for a session that was never closed."""
        connector = self._http.connector
        self._http.detach()
        if not self._owned or connector is None:
            return
        # With the loop, ways to close well may be gone.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            transports = [
                protocol.transport for protocol in self._wire.used if protocol.transport is not None
            ]
            closing = connector.close().__await__()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                next(closing, None)  # what can be closed is closed by now; the rest would wait
            closing.close()
            if self._loop.is_closed():
                _close_sockets(transports)


def _connector(
    borrowed: aiohttp.ClientSession | None, loop: asyncio.AbstractEventLoop
) -> BaseConnector:
    """The pool: the user's, or a new one.

    Raises:
        SessionError: The user's belongs to another loop.
    """
    if borrowed is None:
        # A limit of the pool's own would be a second limiter behind the first.
        return aiohttp.TCPConnector(limit=0)
    connector = borrowed.connector
    assert connector is not None
    # aiohttp has no public word for the loop of a connector.
    if getattr(connector, "_loop", loop) is not loop:
        raise SessionError("the aiohttp.ClientSession given as http= belongs to another event loop")
    return connector


def _client_session(
    connector: BaseConnector, borrowed: aiohttp.ClientSession | None, *, trust_env: bool
) -> aiohttp.ClientSession:
    """A session of aiohttp's over the pool, for tools that watch it."""
    http = aiohttp.ClientSession(
        connector=connector,
        connector_owner=borrowed is None,
        request_class=OneSendRequest,
        response_class=Reply,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=trust_env,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        middlewares=(until_fresh,),
    )
    if borrowed is not None:
        added = list(http.trace_configs)
        http.trace_configs[:] = without_twins(borrowed.trace_configs, added)
    # Else a lost reply opens a second connection. Where the attribute does not exist, or means
    # nothing any more, `OneSendRequest` still refuses.
    http._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # see above
    return http


def _headers(url: URL, user_agent: str, connector: BaseConnector) -> dict[str, str]:
    """The headers of every request but the credentials."""
    headers = {
        "Host": url.host_port_subcomponent or "",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "User-Agent": user_agent,
    }
    if connector.force_close:
        headers["Connection"] = "close"
    return headers


def _is_watched(http: aiohttp.ClientSession) -> bool:
    """Whether something watches the requests of a session: a tracer, or a tool's patch.

    Such patches (of vcrpy, of agents for monitoring) replace `aiohttp.ClientSession._request`.
    """
    request = aiohttp.ClientSession._request  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # what such tools replace
    # Some of them put a proxy in its place, which shows the attributes of the original.
    is_original = type(request) is FunctionType and request.__globals__ is aiohttp.client.__dict__
    return not is_original or bool(http.trace_configs)


def _is_interim(status: int) -> bool:
    """Whether the reply itself is still to come. After a 101 nothing more of HTTP comes."""
    return 100 <= status < 200 and status != 101


def _headers_of(response: Response, request: Request) -> dict[str, tuple[str, ...]]:
    """The headers of a reply that anything reads, by lower-case name."""
    found = response.headers
    if request.inspected:
        return {name.lower(): tuple(found.getall(name)) for name in found}
    is_accepted_write = request.repeat is not Repeatability.READ and response.status < 400
    # Not by its keys: they tell upper from lower case in some versions of multidict.
    if is_accepted_write and not any(name in found for name in _OF_ACCEPTED_WRITES):
        return {}
    return {name: tuple(values) for name in HEADERS if (values := found.getall(name, None))}


def _close_sockets(transports: list[asyncio.BaseTransport]) -> None:
    """Close sockets whose loop is closed: only so can asyncio's transports do it then."""
    for transport in transports:
        if getattr(transport, "_sock", None) is not None:
            transport._call_connection_lost(None)  # type: ignore[attr-defined]  # noqa: SLF001  # there is no public word for it
