"""A long listing: what it costs to read, how long nothing else can run, and its memory."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from typing import Annotated, Any, TypeVar

import aiohttp
import pydantic

import aioe2e
from aioe2e._text import Redactor
from aioe2e._wire import images_in_slices, read_listing

from ._measure import Rounds, Spread, cpu_seconds, interleaved
from ._peers import API_KEY, HEADERS, QUERY, TOKEN, session
from ._process import served
from ._results import Row, Scale, ratio
from ._server import envelope, image

T = TypeVar("T")

#: Seconds between two looks at the clock.
_TICK = 0.0005
_INDIA = timezone(timedelta(hours=5, minutes=30))


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    return [await _decoding(scale), *await _over_the_wire(scale), _memory(scale)]


def body_of(count: int) -> bytes:
    """The reply with so many images."""
    return json.dumps(envelope([image(number) for number in range(count)])).encode()


def with_the_library(body: bytes) -> list[aioe2e.SavedImage]:
    """From the body to the images, secrets looked for, in one go."""
    most = aioe2e.Limits().max_elements
    content = _drained(read_listing(body, aioe2e.SavedImage, most, Redactor([API_KEY, TOKEN])))
    return _drained(images_in_slices(content["data"], most))


def _drained(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            value: T = stop.value
            return value


@lru_cache(maxsize=4096)
def _date(text: str) -> datetime:
    return datetime.strptime(text, "%d-%m-%Y %H:%M:%S").replace(tzinfo=_INDIA)


@lru_cache(maxsize=4096)
def _size(text: str) -> float:
    return float(text.removesuffix("GB"))


class _Image(pydantic.BaseModel):
    """The fields of `aioe2e.SavedImage`, with pydantic's tolerance for numbers in texts."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True)

    image_id: str
    name: str = ""
    image_state: str = ""
    creation_time: Annotated[datetime | None, pydantic.BeforeValidator(_date)] = None
    image_size: str | None = None
    os_distribution: str | None = None
    distro: str | None = None
    template_id: int | None = None
    running_vms: int = 0
    vm_info: tuple[Any, ...] = ()
    cloning_ops: int = 0
    scaler_group_count: int = 0
    image_type: str | None = None
    sku_type: str | None = None
    is_windows: bool | None = None
    project_name: str | None = None

    @property
    def size_gb(self) -> float | None:
        return None if self.image_size is None else _size(self.image_size)


_IMAGES = pydantic.TypeAdapter(list[_Image])


def with_pydantic(body: bytes) -> list[_Image]:
    """The same with json.loads and pydantic."""
    return _IMAGES.validate_python(json.loads(body)["data"])


async def _decoding(scale: Scale) -> Row:
    body = body_of(scale.listed)
    readers: dict[str, Callable[[bytes], list[Any]]] = {
        "aioe2e": with_the_library,
        "json.loads and pydantic": with_pydantic,
    }

    async def work(name: str) -> None:
        found = readers[name](body)
        assert sum(one.size_gb for one in found) > 0

    found = await interleaved(
        {name: partial(cpu_seconds, partial(work, name)) for name in readers}, scale.slow_rounds
    )
    what = f"listing of {scale.listed:,}, body to images, CPU"
    return ratio(what, found, "aioe2e", "json.loads and pydantic", unit="ms", scale=1000)


async def _over_the_wire(scale: Scale) -> list[Row]:
    stalls: dict[str, list[float]] = {"aioe2e": [], "json.loads": []}
    with served(images=scale.listed) as base:
        async with session(base) as opened, aiohttp.ClientSession() as http:
            listings: dict[str, Callable[[], Awaitable[object]]] = {
                "aioe2e": opened.images.list,
                "json.loads": partial(_at_once, http, base),
            }

            async def measured(name: str) -> float:
                seconds, stall = await _watched(listings[name])
                stalls[name].append(stall)
                return seconds

            total = await interleaved(
                {name: partial(measured, name) for name in listings}, scale.rounds
            )
    longest = Rounds({name: values[1:] for name, values in stalls.items()})
    what = f"listing of {scale.listed:,}"
    mine = Spread(value * 1000 for value in longest.values["aioe2e"])
    return [
        ratio(
            f"{what}, longest stall of the loop",
            longest,
            "aioe2e",
            "json.loads",
            unit="ms",
            scale=1000,
        ),
        Row(
            f"{what}, longest stall of the loop: aioe2e",
            mine.median,
            f"{mine.median:.1f} ms",
            mine.range(1),
        ),
        ratio(
            f"{what}, over the wire, wall: with models",
            total,
            "aioe2e",
            "json.loads",
            unit="ms",
            scale=1000,
        ),
    ]


async def _at_once(http: aiohttp.ClientSession, base: str) -> list[dict[str, object]]:
    """The body parsed at once, and a loop over its dictionaries."""
    async with http.get(f"{base}images/saved-images/", params=QUERY, headers=HEADERS) as reply:
        content = json.loads(await reply.read())
    return [item for item in content["data"] if item["image_state"].lower() == "ready"]


async def _watched(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Seconds that some work takes, and the longest time in which nothing else could run."""
    watch = _Watch(asyncio.get_running_loop())
    start = time.perf_counter()
    await work()
    seconds = time.perf_counter() - start
    return seconds, watch.end()


class _Watch:
    """Looks at the clock every half millisecond, and remembers by how much it came late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._longest = 0.0
        self._set()

    def _set(self) -> None:
        self._due = self._loop.time() + _TICK
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._longest = max(self._longest, self._loop.time() - self._due)
        self._set()

    def end(self) -> float:
        """Seconds of the longest stall; the work may itself have ended in one."""
        self._timer.cancel()
        return max(self._longest, self._loop.time() - self._due)


def _memory(scale: Scale) -> Row:
    """The peak while a body becomes images, over the images that it gives."""
    command = [sys.executable, "-m", f"{__package__}._memory", "listing", str(scale.body)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, kept = map(float, done.stdout.split())
    what = f"peak memory of a listing of {scale.body / 2**20:.2g} MiB, over the images it gives"
    figure = f"{peak / kept:.2f} ({peak / 2**20:.0f} MiB / {kept / 2**20:.0f} MiB)"
    return Row(what, peak / kept, figure)
