"""Chunks of a plan on a Redis stream: each is delivered to one worker, and again if that dies.

A consumer group hands out the entries of the stream. What a worker has taken and not finished stays
pending. A worker that lives says so now and then; a chunk whose worker has been silent for `idle`
seconds is claimed by the next worker that asks. A finished chunk is deleted, so the length of the
stream is the number of chunks that are left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Self

import attrs
import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from aioe2e import Plan

_GROUP = "workers"


@attrs.frozen
class Chunk:
    """A part of the plan, as it was delivered."""

    number: int
    plan: Plan
    entry: str


class ChunkQueue:
    """The stream of one job.

    Args:
        url: The Redis or Valkey server.
        job: Names the job, and so the stream.
        idle: Seconds after which the chunk of a silent worker is given to another.
    """

    def __init__(self, url: str, job: str, idle: float) -> None:
        # The keywords of from_url have no types. Replies about streams look different in version 3
        # of the protocol.
        self._client: Any = redis.asyncio.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, decode_responses=True, protocol=2
        )
        self._idle = idle
        self._stream = f"aioe2e:job:{job}"
        self._worker = uuid.uuid4().hex

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def put(self, chunks: Sequence[tuple[int, Plan]]) -> None:
        """Add chunks, each with its number; those that are there already stay as they are."""
        with contextlib.suppress(ResponseError):  # the group is there already
            await self._client.xgroup_create(self._stream, _GROUP, id="0", mkstream=True)
        for number, plan in chunks:
            with contextlib.suppress(ResponseError):  # an entry of this number was added before
                text = json.dumps(plan.to_dict())
                await self._client.xadd(self._stream, {"plan": text}, id=f"{number + 1}-1")

    async def left(self) -> int:
        """How many chunks are not finished."""
        return int(await self._client.xlen(self._stream))

    async def is_lost(self) -> bool:
        """Whether Redis knows nothing of the stream (any more)."""
        return not await self._client.exists(self._stream)

    async def take(self) -> Chunk | None:
        """The next chunk: first those of workers that died. None when there is none just now."""
        claimed = await self._client.xautoclaim(
            self._stream, _GROUP, self._worker, int(self._idle * 1000), count=1
        )
        entries: list[tuple[str, dict[str, str]]] = claimed[1]
        if not entries:
            found = await self._client.xreadgroup(
                _GROUP, self._worker, {self._stream: ">"}, count=1, block=1000
            )
            if not found:
                return None
            entries = found[0][1]
        entry, fields = entries[0]
        plan = Plan.from_dict(json.loads(fields["plan"]))
        return Chunk(int(entry.partition("-")[0]) - 1, plan, entry)

    @contextlib.asynccontextmanager
    async def kept(self, chunk: Chunk) -> AsyncGenerator[None]:
        """Say that this worker lives, as long as the block runs."""
        over = asyncio.Event()
        beat = asyncio.create_task(self._beat(chunk, over))
        try:
            yield
        finally:
            over.set()
            await beat

    async def _beat(self, chunk: Chunk, over: asyncio.Event) -> None:
        while not over.is_set():
            with contextlib.suppress(RedisError, OSError):
                # Claiming what is ours already sets its idle time to 0.
                await self._client.xclaim(
                    self._stream, _GROUP, self._worker, 0, [chunk.entry], justid=True
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._idle / 5)

    async def done(self, chunk: Chunk) -> None:
        """The chunk is finished and will not be delivered again."""
        await self._client.xack(self._stream, _GROUP, chunk.entry)
        await self._client.xdel(self._stream, chunk.entry)

    async def forget(self) -> None:
        """Delete the stream of a job that is over."""
        await self._client.delete(self._stream)
