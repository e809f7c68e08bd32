"""The way through aiohttp's client session, for the tools that watch it.

Three habits of aiohttp are put right here:

- It hands URL and headers to every tool that watches it. `OneSendRequest` has neither credential
  in them: they are added to the bytes that are written.
- It sends GET, PUT and DELETE again by itself when a kept connection drops. `OneSendRequest`
  refuses the second send: which requests are repeated is decided in one place, the call.
- It writes the body in a task of its own, later than the head. Here both go out in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from aiohttp.connector import Connection

from .in_flight import InFlight
from .reply import Unpacker, content_encoding, read, unpack
from .write import StaleConnection, Wire, require_writable, write_once


class SentTwice(Exception):  # noqa: N818  # a signal to `Transport.send`
    """aiohttp was about to send a request again by itself."""


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


def require_known(owner: type, names: Iterable[str]) -> None:
    """Refuse an aiohttp that does not have what is used of it here.

    Args:
        owner: A class of aiohttp's.
        names: Its methods.

    Raises:
        ImportError: It has not.
    """
    for name in names:
        if not hasattr(owner, name):
            raise ImportError(
                f"aioe2e does not work with aiohttp {aiohttp.__version__}, whose {owner.__name__} "
                f"has no {name}: install an older aiohttp or a newer aioe2e"
            )


#: What `OneSendRequest` replaces.
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
    require_known(aiohttp.ClientRequest, _REPLACED)


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
            ValueError: A header that a tracer has added cannot be written.
        """
        wire, in_flight = sending.get()
        if in_flight.sent:
            raise SentTwice
        for trace in self._traces:
            await trace.send_request_headers(self.method, self.url, self.headers)
        require_writable(self.headers)
        url = self.url
        await write_once(
            conn,
            wire,
            in_flight,
            method=self.method,
            path=url.raw_path,
            query=url.raw_query_string,
            headers=self.headers,
            body=self._whole_body,
        )
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


class Reply(aiohttp.ClientResponse):
    """A response whose body the library reads by itself."""

    @property
    def is_read(self) -> bool:
        """Whether a tool between aiohttp and the library has read the body already."""
        return self._body is not None

    async def tell(self, body: bytes) -> None:
        """Tell those who trace the request of its body."""
        for trace in self._traces:
            await trace.send_response_chunk_received(self.method, self.url, body)


async def read_watched(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body of a response, as `read` has it.

    Tools may have read or made up the response before, and want to hear of its body.
    """
    if not isinstance(response, Reply) or response.is_read:
        unpacker = Unpacker(content_encoding(response.headers), most)
        await unpack(unpacker, await response.read())
        return unpacker.finish()
    body = await read(response, most)
    await response.tell(body)
    return body


#: The signals that a tracer of requests listens to.
_SIGNALS = ("on_request_start", "on_request_end", "on_request_exception")


def without_twins(
    borrowed: Sequence[aiohttp.TraceConfig], added: Sequence[aiohttp.TraceConfig]
) -> list[aiohttp.TraceConfig]:
    """All of the borrowed session's configs, and of the others those that are not like one of them.

    A tool that watches all of aiohttp adds a config to each session that is made: to the user's,
    and to the one that stands before the user's pool. One request would be told twice.

    Args:
        borrowed: The configs of the user's session.
        added: Those that a tool has added to the library's own.
    """
    known = {_code(config) for config in borrowed}
    return [*borrowed, *(config for config in added if _code(config) not in known)]


def _code(config: aiohttp.TraceConfig) -> tuple[object, ...]:
    """What a config runs, whatever it was made with."""
    return tuple(
        getattr(callback, "__code__", callback)
        for signal in _SIGNALS
        for callback in getattr(config, signal)
    )


def line_watch() -> aiohttp.TraceConfig:
    """Stops the clock of an attempt while it stands in the line of a pool that has a limit."""
    config = aiohttp.TraceConfig()
    config.on_connection_queued_start.append(_stop_clock)
    config.on_connection_queued_end.append(_start_clock)
    config.freeze()
    return config


async def _stop_clock(*_: object) -> None:
    in_flight = sending.get()[1]
    in_flight.stop_clock(asyncio.get_running_loop().time())


async def _start_clock(*_: object) -> None:
    in_flight = sending.get()[1]
    in_flight.start_clock(asyncio.get_running_loop().time())
