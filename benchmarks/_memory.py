"""How far the memory of a process grows with the length of a stream: prints KiB and seconds. Run by
`_bulk`."""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from ._bulk import stream


def _peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


if __name__ == "__main__":
    count = int(sys.argv[1])
    asyncio.run(stream(count // 100))
    before, start = _peak(), time.perf_counter()
    asyncio.run(stream(count))
    print(_peak() - before, time.perf_counter() - start)
