"""aiohttp's response, read whole within a bound."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from .unpack import BodyTooLargeError, Unpacker

#: No server means more of them. Not every aiohttp has a bound of its own.
MOST_HEADERS: Final = 1000


class TooManyHeadersError(Exception):
    """A reply has more headers than any server means."""


async def read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, unpacked.

    Args:
        response: Headers have come, the body may still be on its way.
        most: Bytes at the most, counted before and after unpacking.

    Raises:
        TooManyHeadersError: There are more headers than any server means.
        BodyTooLargeError: The body has more bytes than accepted.
        BrokenBodyError: It cannot be unpacked.
    """
    if len(response.raw_headers) > MOST_HEADERS:
        raise TooManyHeadersError
    headers = response.headers
    length = headers.get("Content-Length", "")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if response.method == "HEAD":  # the length is that of a body that does not come
        return b""
    if length.isdecimal() and int(length) > most:
        raise BodyTooLargeError
    if isinstance(response, Reply) and not response.is_read:
        return await response.receive(length, encoding, most)
    # A tool stands between aiohttp and the library: it has read the reply, or made it up.
    unpacker = Unpacker(encoding, most)
    await _unpack(unpacker, await response.read())
    return unpacker.finish()


async def _unpack(unpacker: Unpacker, chunk: bytes) -> None:
    for _ in unpacker.feed(chunk):
        await asyncio.sleep(0)


class Reply(aiohttp.ClientResponse):
    """A response whose body is read as it comes, without aiohttp's own unpacking."""

    @property
    def is_read(self) -> bool:
        """Whether a tool between aiohttp and the library has read the body already."""
        return self._body is not None

    async def receive(self, length: str, encoding: str, most: int) -> bytes:
        """The body, unpacked, within a bound; see `read`."""
        content = self.content
        is_plain = encoding == "identity" and length and "Transfer-Encoding" not in self.headers
        if not is_plain:
            unpacker = Unpacker(encoding, most)
            async for chunk in content.iter_any():
                await self._tell(chunk)
                await _unpack(unpacker, chunk)
            self.release()
            return unpacker.finish()
        if not content.is_eof():
            return await self.read()
        # Most bodies come in one piece with the headers; their connection is free already.
        body = content.read_nowait()
        await self._tell(body)
        return body

    async def _tell(self, chunk: bytes) -> None:
        for trace in self._traces:
            await trace.send_response_chunk_received(self.method, self.url, chunk)
