"""The short way to a connection, where nothing watches aiohttp's client session.

The session's own way is a third of what a call costs. All of it serves what the library does not
use (redirects, cookies, auth, forms), and tools that watch. Where there is no such tool, a request
takes a connection of the same pool, is written to it by the same function, and its reply is parsed
by aiohttp's own parser.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector, Connection

from .in_flight import InFlight
from .write import StaleConnection, Wire, write_once

_NOTHING_ADDED: Final[dict[str, str]] = {}
_NEEDED: Final = ((BaseConnector, "connect"), (ResponseHandler, "set_response_params"))


def _require_known_aiohttp() -> None:
    """Refuse an aiohttp that has no such way.

    Raises:
        ImportError: It is such a one.
    """
    for owner, name in _NEEDED:
        if not hasattr(owner, name):
            raise ImportError(
                f"aioe2e does not work with aiohttp {aiohttp.__version__}, whose {owner.__name__} "
                f"has no {name}: install an older aiohttp or a newer aioe2e"
            )


_require_known_aiohttp()


def is_watched(http: aiohttp.ClientSession) -> bool:
    """Whether something watches the requests of a session: a tracer, or a tool's patch.

    Such patches (of vcrpy, of agents for monitoring) replace `aiohttp.ClientSession._request`.
    """
    request = aiohttp.ClientSession._request  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # what such tools replace
    is_patched = getattr(request, "__globals__", None) is not vars(aiohttp.client)
    return is_patched or bool(http.trace_configs)


class Destination(aiohttp.ClientRequest):
    """A request that is never sent: it tells the pool where its connections go to."""

    @cached_property
    def connection_key(self) -> Any:
        """The key of such connections."""
        return super().connection_key


class Received:
    """A reply whose headers have come."""

    __slots__ = ("_connection", "content", "headers", "method", "raw_headers", "status")

    def __init__(self, method: str, connection: Connection, message: Any, content: Any) -> None:
        self.method: str = method
        self.status: int = message.code
        self.headers: Any = message.headers
        self.raw_headers: tuple[tuple[bytes, bytes], ...] = message.raw_headers
        self.content: Any = content
        self._connection = connection

    def release(self) -> None:
        """Give the connection back: the body was read."""
        self._connection.release()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


async def send_directly(
    connector: BaseConnector,
    destination: Destination,
    timeout: aiohttp.ClientTimeout,
    wire: Wire,
    in_flight: InFlight,
    *,
    method: str,
    path: str,
    query: str,
    body: bytes | None,
) -> Received:
    """Send a request once; the reply when its headers have come.

    Args:
        connector: The pool.
        destination: Where its connections go to.
        timeout: How long connecting may take.
        wire: What the requests of the transport have in common.
        in_flight: Learns whether the request was sent.
        method: The method.
        path: The path, encoded.
        query: The query, encoded, without the api key.
        body: The body.
    """
    while True:
        try:
            connection = await connector.connect(destination, traces=[], timeout=timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        protocol: Any = connection.protocol
        try:
            protocol.set_response_params(
                skip_payload=method == "HEAD", read_until_eof=True, auto_decompress=False
            )
            await write_once(
                connection,
                wire,
                in_flight,
                method=method,
                path=path,
                query=query,
                headers=_NOTHING_ADDED,
                body=body,
            )
            while True:
                message, content = await protocol.read()
                is_interim = 100 <= message.code < 200 and message.code != 101
                if not is_interim:
                    return Received(method, connection, message, content)
        except StaleConnection:
            connection.close()  # ends with a new connection at the latest
        except BaseException:
            connection.close()
            raise
