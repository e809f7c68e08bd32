"""Unpacks a reply's body within a bound: a small reply may stand for gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Generator
from typing import Any

#: Bytes unpacked between two yields to the loop.
_STEP = 1024 * 1024


class BodyTooLargeError(Exception):
    """A body has more bytes than the session accepts."""


class BrokenBodyError(Exception):
    """A compressed body cannot be unpacked."""


class Unpacker:
    """Takes a body in chunks and counts it, before and after unpacking.

    Args:
        encoding: The Content-Encoding: ``identity``, ``gzip`` or ``deflate``.
        most: Bytes at the most.

    Raises:
        BrokenBodyError: The encoding is none of those that were asked for.
    """

    def __init__(self, encoding: str, most: int) -> None:
        if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
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
        if self._encoding == "identity":
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
