"""The nightly job: save an image of every node, wait for the images, and delete old ones.

It keeps the newest seven images of each server, and deletes the others that are unused and older
than 30 days. If a server could not be saved tonight, none of its images are deleted.

Set E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION. Without ``--go`` the program only
shows what it would delete. Each phase keeps a journal. If the program is killed, start it again on
the same day (UTC), and it continues. The journals are removed when everything is done.

    python examples/nightly_rotation.py --go --state /var/lib/rotation

Exit status: 0 success · 1 something failed, and trying again would not help · 2 a wrong setting ·
3 not finished: start it again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import aioe2e
from aioe2e import ImageState, Status
from aioe2e.select import all_but_newest, by_name, not_in_use, older_than, state_is, where

MARK = "-nightly-"
#: Saves of one node in a night, at the most: all but the last were cut off and not carried out.
ATTEMPTS = 3
SERVER = by_name(until=MARK)


class Rotation:
    """One night's work on one project and location.

    Args:
        session: An open session.
        state: The folder for the journals: one for the deletes, one for each attempt at the saves.
        interval: Seconds between two checks of the images that are being made.
        patience: Seconds after which a save whose reply was lost counts as not carried out, if
            its image is not listed.
    """

    def __init__(
        self,
        session: aioe2e.Session,
        state: Path,
        *,
        interval: float = 5.0,
        patience: float = 120.0,
    ) -> None:
        self.session = session
        self.state = state
        self.tonight = f"{datetime.now(UTC):%Y%m%d}"
        self.interval = interval
        self.patience = patience

    async def rotate(self) -> int:
        """Do the whole job, and return the exit status."""
        saves = await self._save_all()
        #: By node: its latest outcome.
        outcomes = {outcome.step.target: outcome for report in saves for outcome in report}
        ready = await asyncio.gather(*map(self._is_ready, outcomes.values()))
        failed = [
            o.step for o, is_ready in zip(outcomes.values(), ready, strict=True) if not is_ready
        ]

        deletes = await self._run("deletes", await self.due(keep_all_of=_servers(failed)))
        print(f"deleted: {deletes}")

        if any(len(report.remaining()) for report in (*saves, deletes)):
            return 3
        for journal in self.state.glob(f"*-{self.tonight}.journal"):
            journal.unlink()
        return 0 if deletes.ok and not failed else 1

    async def due(self, *, keep_all_of: frozenset[str] = frozenset()) -> aioe2e.Plan:
        """Plan what to delete tonight. Making the plan deletes nothing."""
        images = await self.session.images.list(state_is(ImageState.READY))
        surplus = all_but_newest(7, images, per=SERVER)
        expired = where(not_in_use() & older_than("30d"), surplus)
        return aioe2e.Plan.delete(
            [image for image in expired if SERVER(image) not in keep_all_of], existing=images
        )

    async def _save_all(self) -> list[aioe2e.Report]:
        """Save every node that has no image of tonight.

        A save that was cut off may have been carried out. Only this job gives that name. So if the
        image does not appear in time, the save was not carried out, and the node is saved again,
        with another journal. Once it is, the image is that of the later save: the report of the
        earlier one is left as it is.
        """
        nodes = await self.session.nodes.list()
        names = {node.node_id: f"{node.name}{MARK}{self.tonight}" for node in nodes}
        names = await self._not_there(names)
        reports: list[aioe2e.Report] = []
        for attempt in range(1, ATTEMPTS + 1):
            phase = f"saves-{attempt}"
            if not names and not self._journal(phase).exists():
                break
            was_repeated = _has_begun(self._journal(f"saves-{attempt + 1}"))
            report = await self._run(phase, aioe2e.Plan.save(names), settle=not was_repeated)
            print(f"saved: {report}")
            reports.append(report)
            names = await self._never_made(report)
        return reports

    async def _never_made(self, report: aioe2e.Report) -> dict[str, str]:
        """The nodes, with their names, whose save was cut off and not carried out."""
        cut_off = [outcome.step for outcome in report.where(Status.UNKNOWN)]
        if not cut_off:
            return {}
        now = time.time()
        sent_at = max(step.sent_at or now for step in cut_off)
        await asyncio.sleep(max(0.0, sent_at + self.patience - now))
        return await self._not_there({step.target: str(step.name) for step in cut_off})

    async def _not_there(self, names: dict[str, str]) -> dict[str, str]:
        """Keep the nodes and names for which the listing shows no image."""
        there = [image.name for image in await self.session.images.list()]
        return {
            node: name
            for node, name in names.items()
            if not any(image.startswith(name) for image in there)
        }

    def _journal(self, phase: str) -> Path:
        return self.state / f"{phase}-{self.tonight}.journal"

    async def _run(self, phase: str, plan: aioe2e.Plan, *, settle: bool = True) -> aioe2e.Report:
        """Run a plan, or the rest of it if an earlier run of this night has begun it.

        Args:
            phase: Names the journal.
            plan: What to do if no run has begun.
            settle: Whether to ask the listing about what is unknown.

        Returns:
            The report of all runs of this night.
        """
        journal = self._journal(phase)
        has_begun = _has_begun(journal)
        if has_begun:
            plan = aioe2e.Plan.resume(journal)
        if len(plan) or not has_begun:
            await self.session.images.run(plan, limit=8, journal=journal, missing_ok=True)
        report = aioe2e.Report.from_journal(journal)
        return await self.session.images.reconcile(report) if settle else report

    async def _is_ready(self, outcome: aioe2e.Outcome) -> bool:
        """Wait for the image of a save. Return whether it can be used; if not, print why."""
        images, name = self.session.images, str(outcome.step.name)
        try:
            if isinstance(outcome.result, aioe2e.SaveAction):
                await images.wait_saved(outcome.result, interval=self.interval)
            elif outcome.status is Status.UNKNOWN:  # it was cut off, and has an image
                await images.wait(await images.by_name(name), interval=self.interval)
            else:
                return False
        except aioe2e.E2EError as error:
            print(f"node {outcome.step.target}: {error}", file=sys.stderr)
            return False
        return True


def _has_begun(journal: Path) -> bool:
    """Whether a journal has a plan: not if the program was killed as it made the file."""
    return journal.exists() and b"\n" in journal.read_bytes()


def _servers(steps: list[aioe2e.Step]) -> frozenset[str]:
    return frozenset(str(step.name).partition(MARK)[0] for step in steps)


async def main() -> int:
    parser = argparse.ArgumentParser(description="Save every node, and delete old nightly images.")
    parser.add_argument("--go", action="store_true", help="without it, only show the plan")
    parser.add_argument("--state", type=Path, default=Path(), help="the folder of the journals")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between checks (5)")
    parser.add_argument(
        "--patience",
        type=float,
        default=120.0,
        help="seconds until the image of a save must be listed (120)",
    )
    options = parser.parse_args()
    try:
        async with aioe2e.Session.from_env() as session:
            rotation = Rotation(
                session, options.state, interval=options.interval, patience=options.patience
            )
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
