"""Memory, measured in a process of its own: run by `_bulk` and `_listing`."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
import tracemalloc

from ._bulk import stream
from ._listing import body_of, with_the_library


def peak() -> int:
    """KiB of this process at the most."""
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found // 1024 if sys.platform == "darwin" else found


def _stream(count: int) -> None:
    """KiB by which the peak grows from a hundredth of the stream to all of it, and seconds."""
    asyncio.run(stream(count // 100))
    before, start = peak(), time.perf_counter()
    asyncio.run(stream(count))
    print(peak() - before, time.perf_counter() - start)


def _listing(size: int) -> None:
    """Bytes at the most while a body becomes images, the body itself aside, and bytes of those."""
    one = len(body_of(1000)) / 1000
    body = body_of(int(size / one))
    with_the_library(body_of(10))
    tracemalloc.start()
    images = with_the_library(body)
    kept, most = tracemalloc.get_traced_memory()
    assert images
    print(most, kept)


if __name__ == "__main__":
    {"stream": _stream, "listing": _listing}[sys.argv[1]](int(sys.argv[2]))
