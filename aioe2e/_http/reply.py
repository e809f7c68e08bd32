"""Reads a reply whole, within a bound: a small reply may stand for gigabytes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Generator, Mapping
from typing import Any, Final, cast

import aiohttp
from aiohttp.connector import Connection

#: No server means more of them. Not every aiohttp has a bound of its own.
MOST_HEADERS: Final = 1000
#: Digits of a length that are read; not every aiohttp refuses one of thousands.
_MOST_DIGITS: Final = 20
#: Bytes unpacked between two yields to the loop.
_STEP: Final = 1024 * 1024
_NOT_PACKED: Final = "identity"
_ENCODINGS: Final = frozenset({_NOT_PACKED, "gzip", "x-gzip", "deflate"})


class TooManyHeadersError(Exception):
    """A reply has more headers than any server means."""


class BodyTooLargeError(Exception):
    """A body has more bytes than the session accepts."""


class BrokenBodyError(Exception):
    """A compressed body cannot be unpacked."""


class Received:
    """A reply whose headers have come, to a request that nothing watches."""

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


#: What is read.
Response = aiohttp.ClientResponse | Received


def read_at_once(response: Response, most: int) -> bytes | None:
    """The body, if it came in one piece with the headers, as most do; the connection is free then.

    Args:
        response: Headers have come.
        most: Bytes at the most.
    """
    headers, content = response.headers, response.content
    if not content.is_eof() or response.method == "HEAD":
        return None
    length = _announced_length(headers)
    if length is None or length > most:
        return None
    is_encoded = "Content-Encoding" in headers or "Transfer-Encoding" in headers
    if is_encoded or len(response.raw_headers) > MOST_HEADERS:
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
    if response.method == "HEAD":  # the length is that of a body that does not come
        return b""
    headers, content = response.headers, response.content
    length = _announced_length(headers)
    if length is not None and length > most:
        raise BodyTooLargeError
    encoding = content_encoding(headers)
    is_bounded = length is not None and "Transfer-Encoding" not in headers
    if encoding == _NOT_PACKED and is_bounded:
        return cast("bytes", await content.read())
    unpacker = Unpacker(encoding, most)
    async for chunk in content.iter_any():
        await unpack(unpacker, chunk)
    return unpacker.finish()


def _announced_length(headers: Mapping[str, str]) -> int | None:
    length = headers.get("Content-Length", "")
    if not length.isdecimal():
        return None
    # Without leading zeros, else those that are cut off would be the ones that count.
    return int(length.lstrip("0")[:_MOST_DIGITS] or "0")


def content_encoding(headers: Mapping[str, str]) -> str:
    """How a body is packed, as `Unpacker` takes it."""
    return headers.get("Content-Encoding", _NOT_PACKED).strip().lower()


async def unpack(unpacker: Unpacker, chunk: bytes) -> None:
    """Unpack a chunk, with turns of the loop in between."""
    for _ in unpacker.feed(chunk):
        await asyncio.sleep(0)


class Unpacker:
    """Takes a body in chunks and counts it, before and after unpacking.

    Args:
        encoding: The Content-Encoding: ``identity``, ``gzip`` or ``deflate``.
        most: Bytes at the most.

    Raises:
        BrokenBodyError: The encoding is none of those that were asked for.
    """

    def __init__(self, encoding: str, most: int) -> None:
        if encoding not in _ENCODINGS:
            raise BrokenBodyError
        self._encoding = encoding
        self._most = most
        self._read = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._stream: Any = None

    def feed(self, chunk: bytes) -> Generator[None, None, None]:
        """Take a chunk; yields to let others run.

        Raises:
            BodyTooLargeError: There are more bytes than accepted.
            BrokenBodyError: They cannot be unpacked.
        """
        self._read += len(chunk)
        if self._read > self._most:
            raise BodyTooLargeError
        if self._encoding == _NOT_PACKED:
            self._keep(chunk)
            return
        while chunk:
            if self._stream is None:
                self._stream = zlib.decompressobj(self._window(chunk))
            elif self._stream.eof:
                raise BrokenBodyError  # bytes behind the end
            try:
                self._keep(self._stream.decompress(chunk, _STEP))
            except zlib.error:
                raise BrokenBodyError from None
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            yield

    def _window(self, chunk: bytes) -> int:
        """The format in the words of zlib.

        "deflate" is zlib's own with some servers and bare with others.
        """
        if self._encoding != "deflate":
            return 16 + zlib.MAX_WBITS
        return zlib.MAX_WBITS if chunk[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._most:
            raise BodyTooLargeError
        self._chunks.append(chunk)

    def finish(self) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: There are more bytes than accepted.
            BrokenBodyError: The packed stream stops half-way.
        """
        if self._stream is not None:
            while not self._stream.eof and (chunk := self._stream.decompress(b"", _STEP)):
                self._keep(chunk)  # output that was pending when the input was used up
            if not self._stream.eof:
                raise BrokenBodyError
        return b"".join(self._chunks)
