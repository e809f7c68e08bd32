"""A plan that is larger than one machine, carried out by any number of them.

Two commands: start the engine (a Redis or Valkey server), and run the job::

    valkey-server
    python examples/fleet/job.py plan.json /shared/job --workers 4

``plan.json`` is what ``json.dumps(plan.to_dict())`` gives. The folder is one that all machines
share; with ``--redis``, the same command on another machine adds workers to the job. Set
E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION everywhere.

The job may be killed and started again, and so may each worker and Redis: what was done is in the
folder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import worker
from chunk_queue import ChunkQueue
from redis.exceptions import RedisError

from aioe2e import Plan, Report

CHUNK = 20


def start(url: str, job: str, idle: float, per_hour: float, folder: Path) -> None:
    """What a worker process runs."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(worker.main(url, job, idle, per_hour, folder))


def reports(folder: Path) -> list[Report]:
    """How the chunks ended."""
    paths = folder.glob("chunk-*.json")
    return [Report.from_dict(json.loads(path.read_bytes())) for path in paths]


def finished(folder: Path) -> set[int]:
    """The numbers of the chunks that have ended."""
    return {int(path.stem.removeprefix("chunk-")) for path in folder.glob("chunk-*.json")}


async def supervise(
    queue: ChunkQueue,
    chunks: Sequence[Plan],
    folder: Path,
    workers: int,
    arguments: tuple[Any, ...],
) -> None:
    """Keep so many workers at work until each chunk has its result.

    Args:
        arguments: What `start` is called with.
    """
    spawn = multiprocessing.get_context("spawn")
    running: list[Any] = []
    try:
        while len(done := finished(folder)) < len(chunks):
            with contextlib.suppress(RedisError, OSError):
                if await queue.is_lost():  # at the start, or because Redis forgot it
                    await queue.put([(n, c) for n, c in enumerate(chunks) if n not in done])
                running = [process for process in running if process.is_alive()]
                while len(running) < workers:
                    process = spawn.Process(target=start, args=arguments, daemon=True)
                    process.start()
                    running.append(process)
            await asyncio.sleep(0.2)
        await queue.forget()
    finally:
        for process in running:
            process.terminate()


async def main(arguments: Sequence[str]) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="Carry out a plan on many machines.")
    parser.add_argument("plan", type=Path, help="a file with the JSON of a plan")
    parser.add_argument("folder", type=Path, help="a folder that all machines share")
    parser.add_argument("--workers", type=int, default=4, help="processes on this machine")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", metavar="URL")
    parser.add_argument(
        "--idle", type=float, default=10.0, metavar="SECONDS", help="until a worker counts as dead"
    )
    parser.add_argument(
        "--per-hour", type=float, default=5000, metavar="REQUESTS", help="budget of the account"
    )
    options = parser.parse_args(arguments)

    plan = Plan.from_dict(json.loads(options.plan.read_text(encoding="utf-8")))
    chunks = list(plan.chunks(CHUNK))
    options.folder.mkdir(parents=True, exist_ok=True)
    job = plan.digest[:16]
    async with ChunkQueue(options.redis, job, options.idle) as queue:
        started = (options.redis, job, options.idle, options.per_hour, options.folder)
        await supervise(queue, chunks, options.folder, options.workers, started)

    outcomes = [outcome for report in reports(options.folder) for outcome in report]
    bad = [outcome for outcome in outcomes if not outcome.ok]
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} steps are done")
    for outcome in bad:
        print(f"{outcome.status.value}: {outcome.step}: {outcome.error}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
