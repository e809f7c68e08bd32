"""Takes chunks until none are left, and carries each out exactly once, whichever worker dies.

What makes it exactly once is the journal of each chunk, in the folder that all workers share: a
worker that is given the chunk of one that died goes on where that one stopped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
from pathlib import Path

import redis.asyncio
from chunk_queue import Chunk, ChunkQueue
from redis.exceptions import RedisError

import aioe2e
from aioe2e import Plan, Report
from aioe2e.fleet import RedisGuard, RedisLimiter

log = logging.getLogger("fleet")


async def carry_out(session: aioe2e.Session, chunk: Chunk, journal: Path) -> Report:
    """Run a chunk, or what is left of it, and settle with one listing what is not known.

    Returns:
        The report on the whole chunk, with what earlier workers did of it.
    """
    await session.images.run(left_of(chunk, journal), journal=journal)
    return await session.images.reconcile(Report.from_journal(journal))


def left_of(chunk: Chunk, journal: Path) -> Plan:
    """What is left to do of a chunk."""
    try:
        return Plan.resume(journal)
    except aioe2e.UsageError:  # there is no journal, or not even one whole line: nothing was done
        return chunk.plan


def write_result(path: Path, report: Report) -> None:
    """Write down how a chunk ended, at once or not at all."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(report.to_dict()), encoding="utf-8")
    unfinished.replace(path)


async def work(queue: ChunkQueue, session: aioe2e.Session, folder: Path) -> None:
    """Carry out chunks until none is left, or the job that started this worker has died."""
    job = multiprocessing.parent_process()
    while job is None or job.is_alive():
        try:
            chunk = await queue.take()
            if chunk is None:
                if await queue.left() == 0:
                    return
                continue
            result = folder / f"chunk-{chunk.number}.json"
            if not result.exists():
                async with queue.kept(chunk):
                    report = await carry_out(session, chunk, result.with_suffix(".journal"))
                left = report.remaining().steps
                if left:  # saves whose outcome is unknown stay as they are: none is sent twice
                    log.warning("chunk %d: %d steps are left, for later", chunk.number, len(left))
                    continue  # it stays pending, and is delivered again
                write_result(result, report)
            await queue.done(chunk)
        except aioe2e.UsageError as error:
            # The journal is being written by a worker that was taken for dead: leave it to that.
            log.warning("a chunk is left to another worker: %s", error)
            await asyncio.sleep(1)
        except (RedisError, OSError) as error:
            log.warning("Redis is away (%s); the journal knows what was done", error)
            await asyncio.sleep(1)


async def main(url: str, job: str, idle: float, per_hour: float, folder: Path) -> None:
    """One worker, on any machine that sees Redis and the folder."""
    # Its keywords have no types.
    client = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    limiter = RedisLimiter(client, per_hour=per_hour)
    session = aioe2e.Session.from_env(limiter=limiter, guard=RedisGuard(client))
    async with ChunkQueue(url, job, idle) as queue, session:
        await work(queue, session, folder)
    await client.aclose()
