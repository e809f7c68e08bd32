"""Reads a reply whole, within a bound."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol, cast

import aiohttp

from .unpack import BodyTooLargeError, Unpacker

#: No server means more of them. Not every aiohttp has a bound of its own.
MOST_HEADERS: Final = 1000
#: Digits of a length that is looked at; not every aiohttp refuses one of thousands.
_SHORT_LENGTH: Final = 20


class TooManyHeadersError(Exception):
    """A reply has more headers than any server means."""


class Response(Protocol):
    """What is read: aiohttp's response, or the `Received` of a request that nothing watches."""

    method: str
    status: int

    @property
    def content(self) -> Any:
        """The body as aiohttp gives it out."""

    @property
    def headers(self) -> Any:
        """The headers, by name."""

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers, line by line."""

    def release(self) -> Any:
        """Give the connection back: the body was read."""

    def close(self) -> Any:
        """Close the connection."""


def read_at_once(response: Response, most: int) -> bytes | None:
    """The body, if it came in one piece with the headers, as most do; the connection is free then.

    Args:
        response: Headers have come.
        most: Bytes at the most.
    """
    headers, content = response.headers, response.content
    length = headers.get("Content-Length", "")
    is_small = len(length) < _SHORT_LENGTH and length.isdecimal() and int(length) <= most
    is_plain = "Content-Encoding" not in headers and "Transfer-Encoding" not in headers
    if not (is_small and is_plain and content.is_eof()) or response.method == "HEAD":
        return None
    if len(response.raw_headers) > MOST_HEADERS:
        return None
    body: bytes = content.read_nowait()
    response.release()
    return body


async def read(response: Response, most: int) -> bytes:
    """The body, unpacked; after that the connection is free.

    Args:
        response: Headers have come, the body may still be on its way.
        most: Bytes at the most, counted before and after unpacking.

    Raises:
        TooManyHeadersError: There are more headers than any server means.
        BodyTooLargeError: The body has more bytes than accepted.
        BrokenBodyError: It cannot be unpacked.
    """
    try:
        body = await _read(response, most)
    except BaseException:
        response.close()
        raise
    response.release()
    return body


async def _read(response: Response, most: int) -> bytes:
    if len(response.raw_headers) > MOST_HEADERS:
        raise TooManyHeadersError
    headers, content = response.headers, response.content
    length = headers.get("Content-Length", "")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if response.method == "HEAD":  # the length is that of a body that does not come
        return b""
    if length.isdecimal() and int(length) > most:
        raise BodyTooLargeError
    if encoding == "identity" and length and "Transfer-Encoding" not in headers:
        return cast("bytes", await content.read())
    unpacker = Unpacker(encoding, most)
    async for chunk in content.iter_any():
        await _unpack(unpacker, chunk)
    return unpacker.finish()


async def read_watched(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The same for a response that tools may have read or made up before, and want to hear of."""
    if not isinstance(response, Reply) or response.is_read:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        unpacker = Unpacker(encoding, most)
        await _unpack(unpacker, await response.read())
        return unpacker.finish()
    body = await read(response, most)
    await response.tell(body)
    return body


async def _unpack(unpacker: Unpacker, chunk: bytes) -> None:
    for _ in unpacker.feed(chunk):
        await asyncio.sleep(0)


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
