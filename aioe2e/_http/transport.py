"""Sends one request once, and reads a reply of bounded size."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from typing import Any, Final, cast

import aiohttp
from yarl import URL

from aioe2e._actions import Repeat
from aioe2e._wire import Context, RawReply, Request
from aioe2e.errors import E2EError, SessionError

from .failure import failure
from .head import Head, KeyIn, encoded
from .in_flight import InFlight
from .reply import Reply, read
from .request import OneSendRequest, Wire, sending, until_fresh
from .tls import verified_context
from .tracers import without_twins

#: The headers of a reply that the library reads.
HEADERS: Final = ("date", "ratelimit-reset", "retry-after", "x-ratelimit-reset")

#: What a user may lend a session, for the type hints of other rooms.
ClientSession = aiohttp.ClientSession
#: A connect timeout as aiohttp takes it; see `connect_timeout`.
ConnectTimeout = aiohttp.ClientTimeout


class Transport:
    """The pool of one session: its own, or the borrowed pool of the user's `aiohttp.ClientSession`.

    Built inside the running loop. Of a borrowed session only the connector and the trace configs
    are used: none of its cookies, default headers, auth, proxies, timeouts or middlewares.

    Args:
        base: The base URL with its final slash.
        api_key: The api key, which goes with every request.
        key_in: Whether the key goes into the query or into the header ``X-API-Key``.
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
        key_in: KeyIn,
        user_agent: str,
        trust_env: bool,
        borrowed: aiohttp.ClientSession | None,
    ) -> None:
        #: Whether any connection took a request.
        self.sent: bool = False
        url = URL(base, encoded=True)
        self._scheme, self._authority, self._root = url.scheme, url.raw_authority, url.raw_path
        #: The query of requests that have none of their own; a session has few contexts.
        self._queries: dict[Context, str] = {}
        self._owned = borrowed is None
        connector: aiohttp.BaseConnector | None
        if borrowed is None:
            tls = verified_context() if base.startswith("https:") and not trust_env else True
            # A limit of the pool's own would be a second limiter behind the first.
            connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        else:
            connector = borrowed.connector
        assert connector is not None
        self._loop = loop = asyncio.get_running_loop()
        # aiohttp has no public word for the loop of a connector.
        if getattr(connector, "_loop", loop) is not loop:
            raise SessionError(
                "the aiohttp.ClientSession given as http= belongs to another event loop"
            )
        self._headers = {
            "Host": url.host_port_subcomponent or "",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "application/json",
            "User-Agent": user_agent,
        }
        if connector.force_close:
            self._headers["Connection"] = "close"
        self._wire = Wire(Head(self._headers, api_key=api_key, key_in=key_in))
        self._trust_env = trust_env and self._owned
        self._http = aiohttp.ClientSession(
            connector=connector,
            connector_owner=self._owned,
            request_class=OneSendRequest,
            response_class=Reply,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._trust_env,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            middlewares=(until_fresh,),
        )
        if borrowed is not None:
            added = list(self._http.trace_configs)
            self._http.trace_configs[:] = without_twins(borrowed.trace_configs, added)
        # Else a lost reply opens a second connection. Where the attribute does not exist, or means
        # nothing any more, `OneSendRequest` still refuses.
        self._http._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # see above

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
            timeout: The connect timeout; see `connect_timeout`.
            max_body: Bytes of the reply at the most, counted before and after decompression.
        """
        task = in_flight.task = cast("asyncio.Task[Any]", asyncio.current_task())
        cancelling = task.cancelling()
        token = sending.set((self._wire, in_flight))
        try:
            return await self._exchange(request, self._query(request, context), timeout, max_body)
        except asyncio.CancelledError:
            cancelled_from_outside = task.cancelling() > cancelling + 1
            if not in_flight.aborted or cancelled_from_outside:
                raise
            return failure(TimeoutError(), sent=in_flight.sent, max_body=max_body)
        except Exception as error:  # noqa: BLE001  # broken replies make aiohttp's parser raise almost anything
            return failure(error, sent=in_flight.sent, max_body=max_body)
        finally:
            # A connection keeps the context that it was opened in, and with it `in_flight`. The
            # task, and with it its result, must not live as long.
            in_flight.task = None
            if in_flight.aborted:
                task.uncancel()
            sending.reset(token)
            self.sent = self.sent or in_flight.sent

    def _query(self, request: Request, context: Context) -> str:
        """The query of a request without the api key: the context, and parameters of its own."""
        if request.query is not None:
            return encoded({**context.query(), **request.query})
        known = self._queries.get(context)
        if known is None:
            known = self._queries[context] = encoded(context.query())
        return known

    async def _exchange(
        self, request: Request, query: str, timeout: ConnectTimeout, max_body: int
    ) -> RawReply:
        url = URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=f"{self._root}{request.path}",
            query_string=query,
            encoded=True,
        )
        # Tracers and proxies are shown headers; without them there is nothing to make them for.
        is_watched = self._trust_env or self._http.trace_configs
        response = await self._http.request(
            request.method,
            url,
            data=request.body,
            headers=self._headers if is_watched else None,
            allow_redirects=False,
            timeout=timeout,
        )
        try:
            body = await read(response, max_body)
        except BaseException:
            response.close()
            raise
        headers: dict[str, tuple[str, ...]] = {}
        # The headers of an accepted write tell nothing that the library reads.
        if request.repeat is Repeat.READ or response.status >= 400:
            found = response.headers
            headers = {
                name: tuple(values) for name in HEADERS if (values := found.getall(name, None))
            }
        return RawReply(response.status, headers, body)

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


def _close_sockets(transports: list[asyncio.BaseTransport]) -> None:
    """Close sockets whose loop is closed: only so can asyncio's transports do it then."""
    for transport in transports:
        if getattr(transport, "_sock", None) is not None:
            transport._call_connection_lost(None)  # type: ignore[attr-defined]  # noqa: SLF001  # there is no public word for it


def connect_timeout(seconds: float | None) -> ConnectTimeout:
    """The part of the timeouts that aiohttp keeps: connecting, not rounded up to whole seconds."""
    return ConnectTimeout(total=None, connect=seconds, ceil_threshold=float("inf"))
