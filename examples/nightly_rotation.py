"""The nightly job: save an image of every node, wait for them, and delete those that are due.

Of each server the newest seven stay. Of the rest, those go that nothing uses and that are older
than 30 days. Where a server could not be saved tonight, nothing of it is deleted.

Set E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION. Without ``--go`` the program
only shows what is due. Each phase keeps a journal: killed at any moment, the program goes on where
it was when it is started again that day (UTC). The journals go when all is done.

    python examples/nightly_rotation.py --go --state /var/lib/rotation

Exit status: 0 all is well · 1 something failed, and trying again would not help · 2 it could not
begin · 3 it could not finish: start it again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import aioe2e
from aioe2e import ImageState
from aioe2e.select import all_but_newest, by_name, not_in_use, older_than, state_is, where

MARK = "-nightly-"
SERVER = by_name(until=MARK)


class Rotation:
    """One night's work on one project and location.

    Args:
        session: Of the account.
        state: The folder of the journals, two for each night.
        interval: Seconds between two looks at images that are being made.
    """

    def __init__(self, session: aioe2e.Session, state: Path, *, interval: float = 5.0) -> None:
        self.session = session
        self.tonight = f"{datetime.now(UTC):%Y%m%d}"
        self.saves = state / f"saves-{self.tonight}.journal"
        self.deletes = state / f"deletes-{self.tonight}.journal"
        self.interval = interval

    async def rotate(self) -> int:
        """The whole job; gives the exit status."""
        saved = await self._run(self.saves, await self._plan_of_saves())
        print(f"saved: {saved}")
        ready = await self._ready(saved)

        deleted = await self._run(self.deletes, await self.due(keep_all_of=_failed(saved, ready)))
        print(f"deleted: {deleted}")

        if _unfinished(saved) or _unfinished(deleted):
            return 3
        self.deletes.unlink(missing_ok=True)
        self.saves.unlink(missing_ok=True)
        return 0 if saved.ok and deleted.ok and len(ready) == len(saved) else 1

    async def due(self, *, keep_all_of: frozenset[str] = frozenset()) -> aioe2e.Plan:
        """What to delete tonight: a plan, which is plain data and deletes nothing by itself."""
        images = await self.session.images.list(state_is(ImageState.READY))
        surplus = all_but_newest(7, images, per=SERVER)
        doomed = where(not_in_use() & older_than("30d"), surplus)
        return aioe2e.Plan.delete(
            [image for image in doomed if SERVER(image) not in keep_all_of], existing=images
        )

    async def _plan_of_saves(self) -> aioe2e.Plan:
        """A save of every node that has no image of tonight."""
        nodes = await self.session.nodes.list()
        names = {node.node_id: f"{node.name}{MARK}{self.tonight}" for node in nodes}
        there = [image.name for image in await self.session.images.list()]
        return aioe2e.Plan.save(
            {
                node: name
                for node, name in names.items()
                if not any(image.startswith(name) for image in there)
            }
        )

    async def _run(self, journal: Path, plan: aioe2e.Plan) -> aioe2e.Report:
        """Run a plan, or what an earlier run of this night has left of its own.

        Returns:
            The report of all runs of this night.
        """
        earlier = _report_so_far(journal)
        if earlier is not None:
            plan = aioe2e.Plan.resume(journal)
        report = earlier
        if report is None or len(plan):
            report = await self.session.images.run(plan, limit=8, journal=journal, missing_ok=True)
        if earlier is not None:
            report = report.merged(earlier)
        return await self.session.images.reconcile(report)

    async def _ready(self, saved: aioe2e.Report) -> list[str]:
        """The nodes whose image can be used; the others are told of."""

        async def wait(action: aioe2e.SaveAction) -> str | None:
            try:
                await self.session.images.wait_saved(action, interval=self.interval)
            except aioe2e.E2EError as error:
                print(f"node {action.node_id}: {error}", file=sys.stderr)
                return None
            return action.node_id

        found = await asyncio.gather(*map(wait, saved.saved()))
        return [node for node in found if node is not None]


def _report_so_far(journal: Path) -> aioe2e.Report | None:
    return aioe2e.Report.from_journal(journal) if journal.exists() else None


def _failed(saved: aioe2e.Report, ready: list[str]) -> frozenset[str]:
    """The names of the servers that have no new image tonight."""
    steps = [outcome.step for outcome in saved if outcome.step.target not in ready]
    return frozenset(str(step.name).partition(MARK)[0] for step in steps)


def _unfinished(report: aioe2e.Report) -> bool:
    """Whether there is something to try again, or to look for again."""
    left = report.remaining()
    return len(left) > 0 or len(left.unknown) > 0


async def main() -> int:
    parser = argparse.ArgumentParser(
        description="Save every node, and delete the nightly images that are due."
    )
    parser.add_argument("--go", action="store_true", help="without it, only show what is due")
    parser.add_argument("--state", type=Path, default=Path(), help="the folder of the journals")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between looks (5)")
    options = parser.parse_args()
    try:
        async with aioe2e.Session.from_env() as session:
            rotation = Rotation(session, options.state, interval=options.interval)
            if options.go:
                return await rotation.rotate()
            print(await rotation.due())
            return 0
    except aioe2e.ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except aioe2e.E2EError as error:
        print(error, file=sys.stderr)
        return 3


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
