"""The nightly job: save an image of every node, wait for them, and delete the nightly images that
are due.

Of each server the newest seven stay. Of the rest, those go that nothing uses and that are older
than 30 days.

Set E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION. ``python
examples/nightly_rotation.py`` only shows what would be deleted; with ``--go`` it saves and deletes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aioe2e
from aioe2e import ImageState, Status
from aioe2e.select import all_but_newest, by_name, not_in_use, older_than, state_is, where

PER_PAGE = 100


async def due(session: aioe2e.Session) -> aioe2e.Plan:
    """What to delete tonight: a plan, which is a plain value and deletes nothing by itself."""
    images = await session.images.list(state_is(ImageState.READY))

    surplus = all_but_newest(7, images, per=by_name(until="-nightly-"))
    doomed = where(not_in_use() & older_than("30d"), surplus)
    return aioe2e.Plan.delete(doomed, existing=images)


async def nodes(session: aioe2e.Session) -> AsyncIterator[tuple[str, str]]:
    """Id and name of every node; `Session.request` reaches what the library has no method for."""
    seen: set[str] = set()
    page = 1
    while True:
        reply = await session.request(
            "GET", "nodes/", query={"page_no": page, "per_page": PER_PAGE}
        )
        fresh = {
            str(node["id"]): str(node["name"]) for node in reply.data if str(node["id"]) not in seen
        }
        for node, name in fresh.items():
            yield node, name
        seen.update(fresh)
        if len(fresh) < PER_PAGE:
            return
        page += 1


async def save_all(session: aioe2e.Session, *, interval: float = 5.0) -> bool:
    """Save every node as ``<its name>-nightly-<date>`` and wait until the images are there; True if
    all of them are."""
    tonight = f"{datetime.now(UTC):%Y%m%d}"
    names = {node: f"{name}-nightly-{tonight}" async for node, name in nodes(session)}
    report = await session.images.bulk_save(names, limit=8)
    report = await session.images.reconcile(report)
    print(f"saved: {report}")

    async def is_ready(action: aioe2e.SaveAction) -> bool:
        try:
            await session.images.wait_saved(action, interval=interval)
        except aioe2e.E2EError as error:
            print(f"node {action.node_id}: {error}", file=sys.stderr)
            return False
        return True

    accepted = [
        o.result for o in report.where(Status.DONE) if isinstance(o.result, aioe2e.SaveAction)
    ]
    return all(await asyncio.gather(*map(is_ready, accepted))) and report.ok


async def rotate(session: aioe2e.Session, *, interval: float = 5.0) -> bool:
    """The whole job; True if everything ended well."""
    saved = await save_all(session, interval=interval)
    plan = await due(session)
    print(plan)
    report = await session.images.run(plan, limit=8)
    print(f"deleted: {report}")
    return saved and report.ok


async def main() -> int:
    parser = argparse.ArgumentParser(
        description="Save every node, and delete the nightly images that are due."
    )
    parser.add_argument(
        "--go", action="store_true", help="save and delete; without it, only show what is due"
    )
    options = parser.parse_args()
    try:
        async with aioe2e.Session.from_env() as session:
            if options.go:
                return 0 if await rotate(session) else 1
            print(await due(session))
            return 0
    except aioe2e.E2EError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
