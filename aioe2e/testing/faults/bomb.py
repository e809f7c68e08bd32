"""Bodies that are small on the wire, and huge when a careless client unpacks them."""

from __future__ import annotations

import asyncio
import zlib

_PIECE = 1024 * 1024
#: The window bits, which also select the container of the packed bytes.
_WINDOWS = {"gzip": 31, "deflate": 15}


class _Spaces:
    """Many packed spaces, with a packer that can be continued after them any number of times."""

    def __init__(self, coding: str) -> None:
        self._packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOWS[coding])
        self._packed = b""

    async def pack(self, count: int) -> None:
        whole, rest = divmod(count, _PIECE)
        parts: list[bytes] = []
        for _ in range(whole):
            parts.append(self._packer.compress(b" " * _PIECE))
            await asyncio.sleep(0)  # a piece takes milliseconds, all of them together a second
        self._packed = b"".join([*parts, self._packer.compress(b" " * rest)])

    def before(self, body: bytes) -> bytes:
        packer = self._packer.copy()
        return self._packed + packer.compress(body) + packer.flush()


#: What was packed before, by coding and number of spaces.
_KNOWN: dict[tuple[str, int], _Spaces] = {}
_MOST_KNOWN = 8


async def packed_behind_spaces(coding: str, count: int, body: bytes) -> bytes:
    """A body after a number of spaces, which JSON allows, compressed together.

    Args:
        coding: ``"gzip"`` or ``"deflate"``.
        count: How many spaces precede the body.
        body: The body.
    """
    if (spaces := _KNOWN.get((coding, count))) is None:
        spaces = _Spaces(coding)
        await spaces.pack(count)
        if len(_KNOWN) >= _MOST_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[coding, count] = spaces
    return spaces.before(body)
