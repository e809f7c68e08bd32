"""A process of a fleet, for tests: reads one JSON object, says it is ready, and works when told."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Coroutine
from typing import Any

import attrs
import redis.asyncio
from reserved import Moment, moments

import aioe2e
from aioe2e.fleet import RedisGuard, RedisLimiter


async def work(task: dict[str, Any]) -> dict[str, Any]:
    """Carry the task out, and tell how it went."""
    client = redis.asyncio.Redis.from_url(task["redis"])
    limiter = guard = None
    if "per_second" in task:
        limiter = RedisLimiter(client, task.get("name"), per_second=task["per_second"])
    if task.get("guard"):
        guard = RedisGuard(client)
    session = aioe2e.Session(
        aioe2e.Credentials(api_key=task["key"], auth_token=task["token"]),
        base_url=task["url"],
        limiter=limiter,
        guard=guard,
    )
    reserved: list[Moment] = []
    async with session:
        if limiter is not None:
            # Without a name, the session has been given the one for its account.
            reserved = moments(next(iter(limiter._siblings.values()), limiter))
            await client.ping()  # so that no connection is made once the clock runs
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        jobs: list[Coroutine[Any, Any, object]]
        if "renames" in task:
            jobs = [session.images.rename(image, name) for image, name in task["renames"]]
        else:
            query = {"process": str(task.get("process", ""))}
            jobs = [session.request("GET", "nodes/", query=query) for _ in range(task["requests"])]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        ended = time.monotonic()
    await client.aclose()
    errors = [repr(result) for result in results if isinstance(result, BaseException)]
    told = {"began": began, "ended": ended, "took": ended - began, "errors": errors}
    return told | {"moments": [attrs.astuple(moment) for moment in reserved]}


def main() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    task = json.loads(sys.stdin.readline())
    print(json.dumps(asyncio.run(work(task))), flush=True)


if __name__ == "__main__":
    main()
