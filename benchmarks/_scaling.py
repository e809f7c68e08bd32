"""CPU and memory of a run as it grows: every point is measured in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import attrs

import aioe2e

from ._bulk import bulk, endless, gather_behind_a_semaphore, names_of
from ._memory import peak
from ._peers import blocking, naive, session, tuned, with_httpx
from ._process import served
from ._results import Scale, grid

#: Peers that are so slow are measured up to this many calls; a call costs them the same in any run.
_MOST_CALLS: Final = {"httpx": 1_000, "requests in sequence": 1_000}
#: Those that know no limit.
_WITHOUT_LIMIT: Final = frozenset({"requests in sequence"})
PEERS: Final = (
    "aioe2e",
    "aioe2e, streamed",
    "tuned aiohttp",
    "naive aiohttp",
    "httpx",
    "requests in sequence",
)


@attrs.frozen
class Point:
    """What one run cost."""

    peer: str
    #: Renames.
    calls: int
    #: Calls under way at the same time.
    limit: int
    #: Client CPU of a call, in microseconds.
    cpu: float
    #: Growth of the process's peak memory over that of one call, in MiB.
    memory: float


def points(scale: Scale) -> list[Point]:
    """All runs, the server in a process of its own."""
    found: list[Point] = []
    with served() as base:
        for calls in scale.counts:
            for limit in scale.limits:
                found += [
                    _measured(peer, calls, limit, base)
                    for peer in PEERS
                    if _is_measured(peer, calls, limit, scale)
                ]
    return found


def _is_measured(peer: str, calls: int, limit: int, scale: Scale) -> bool:
    knows_limit = peer not in _WITHOUT_LIMIT or limit == scale.limits[0]
    return knows_limit and calls <= _MOST_CALLS.get(peer, calls)


def _measured(peer: str, calls: int, limit: int, base: str) -> Point:
    command = [sys.executable, "-m", f"{__package__}._scaling", peer, str(calls), str(limit), base]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    cpu, memory = map(float, done.stdout.split())
    return Point(peer, calls, limit, cpu, memory)


def table(found: list[Point]) -> str:
    """CPU of a call and memory, a line for each number of calls and limit."""
    peers = [peer for peer in PEERS if any(point.peer == peer for point in found)]
    cells = {(point.calls, point.limit, point.peer): point for point in found}
    lines = [("calls", "limit", *peers)]
    for calls, limit in dict.fromkeys((point.calls, point.limit) for point in found):
        shown = [_cell(cells.get((calls, limit, peer))) for peer in peers]
        lines.append((f"{calls:,}", str(limit), *shown))
    return grid(lines)


def _cell(point: Point | None) -> str:
    return "" if point is None else f"{point.cpu:.0f} µs, {point.memory:.1f} MiB"


# In the process of its own


async def _run(peer: str, calls: int, limit: int, base: str) -> None:
    work: Callable[[int], Awaitable[object]]
    async with AsyncExitStack() as stack:
        if peer.startswith("aioe2e"):
            limits = aioe2e.Limits(in_flight=limit)
            opened = await stack.enter_async_context(session(base, limits=limits))
            way = _streamed if "streamed" in peer else _planned
            work = partial(way, opened, limit)
        elif peer == "requests in sequence":
            work = partial(_in_sequence, stack.enter_context(blocking(base)))
        else:
            make = {"naive aiohttp": naive, "tuned aiohttp": tuned, "httpx": with_httpx}[peer]
            work = partial(_gathered, await stack.enter_async_context(make(base)), limit)
        await work(1)
        memory, start = peak(), time.process_time()
        await work(calls)
        print((time.process_time() - start) / calls * 1e6, (peak() - memory) / 1024)


async def _planned(opened: aioe2e.Session, limit: int, calls: int) -> None:
    await bulk(opened, limit, names_of(calls))


async def _streamed(opened: aioe2e.Session, limit: int, calls: int) -> None:
    report = await opened.images.stream(endless(calls), limit=limit).drain()
    report.raise_for_errors()


async def _gathered(
    rename: Callable[[str, str], Awaitable[object]], limit: int, calls: int
) -> None:
    await gather_behind_a_semaphore(rename, limit, names_of(calls))


async def _in_sequence(rename: Callable[[str, str], object], calls: int) -> None:
    for image, name in names_of(calls).items():
        rename(image, name)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
