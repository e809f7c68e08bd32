"""The main job in one command, on an emulated account: ``python -m aioe2e demo``.

Saves an image of every node and waits for them, renames a batch by a rule, deletes what a retention
rule selects, and then compares what the library reported with what the emulator knows to be true.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, cast

import attrs

from aioe2e.bulk import Plan, Progress, Report, Status
from aioe2e.testing import FakeE2E, made_images

from . import select
from ._text import counted, table
from .errors import E2EError
from .models import ImageState, SaveAction, SavedImage
from .session import Session

IMAGES: Final = 200
NODES: Final = 20
#: Requests in flight at the same time.
LIMIT: Final = 16
#: Seconds that every reply of the emulator takes; a request over the internet takes about as long.
LATENCY: Final = 0.04
#: Seconds that the emulator takes for a save. The real API takes minutes.
SAVE_SECONDS: Final = 0.6
#: Requests that are sent one after the other, to see how long that takes.
SAMPLE: Final = 10

#: Environment variables that would give access to a real account.
_SECRETS: Final = ("E2E_API_KEY", "E2E_AUTH_TOKEN")


class Screen:
    """Lines on standard output, and on a terminal one line that changes while something runs."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._coloured = (
            self._live and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )
        self._width = 0

    def line(self, text: str = "") -> None:
        """Print a line, in the place of the changing one."""
        self._print(f"{self._cover(text)}{text}\n")
        self._width = 0

    def verdict(self, text: str, *, good: bool) -> None:
        """Print a line, green or red where colours are wanted."""
        self.line(f"\x1b[{32 if good else 31}m{text}\x1b[0m" if self._coloured else text)

    def progress(self, what: str) -> Callable[[int, int, str], None]:
        """A function that shows how far something has got: so many of how many, and a remark.

        On anything but a terminal it prints a line half-way and one at the end.
        """
        halves = 0

        def show(done: int, total: int, remark: str) -> None:
            nonlocal halves
            text = f"  {what}: {done} of {total}{remark if done < total else ''}"
            if done == total or (not self._live and 2 * done // total > halves):
                halves = 2 * done // total
                self.line(text)
            elif self._live:
                self._print(f"{self._cover(text)}{text}")
                self._width = len(text)

        return show

    def _print(self, text: str) -> None:
        try:
            print(text, end="", flush=True)
        except (
            BrokenPipeError
        ):  # nobody reads on (``| head``): the job goes on, and what is printed goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _cover(self, text: str) -> str:
        """What has to come before a text so that nothing is left of the changing line."""
        if len(text) < self._width:
            return f"\r{' ' * self._width}\r"
        return "\r" if self._width else ""


@attrs.frozen
class Phase:
    """One part of the job, done.

    Attributes:
        what: Its name.
        outcome: What came of it.
        seconds: How long it took.
        requests: Writes that it stands for; 0 where only waiting was left.
    """

    what: str
    outcome: str
    seconds: float
    requests: int


class Job:
    """The whole job on one session.

    Args:
        session: Of the emulated account.
        screen: Where progress is shown.
    """

    def __init__(self, session: Session, screen: Screen) -> None:
        self.images = session.images
        self.screen = screen
        self.phases: list[Phase] = []
        self.reports: list[Report] = []

    async def one_by_one(self, images: Sequence[SavedImage]) -> float:
        """Seconds that a write takes when each waits for the one before.

        The writes are renames to the name that is there already.
        """
        start = time.perf_counter()
        for image in images:
            await self.images.rename(image, image.name)
        return (time.perf_counter() - start) / len(images)

    async def save(self, nodes: Mapping[str, str]) -> list[SavedImage]:
        """Save an image of every node, and wait until all are ready."""
        report = await self._run("save an image of every node", Plan.save(nodes))
        actions = [cast("SaveAction", outcome.result) for outcome in report.where(Status.DONE)]
        what = "wait until they are ready"
        show = self.screen.progress(what)
        ready = 0

        async def wait(action: SaveAction) -> SavedImage:
            nonlocal ready
            image = await self.images.wait_saved(action, timeout=30.0, interval=0.1)
            ready += 1
            show(ready, len(actions), "")
            return image

        start = time.perf_counter()
        images = await asyncio.gather(*map(wait, actions))
        self.phases.append(Phase(what, f"{len(images)} ready", time.perf_counter() - start, 0))
        return images

    async def rename(self, images: Iterable[SavedImage], to: Callable[[SavedImage], str]) -> Plan:
        """Rename images by a rule."""
        plan = Plan.rename(images, to=to)
        await self._run("rename a batch by a rule", plan)
        return plan

    async def delete(self, images: Iterable[SavedImage]) -> Plan:
        """Delete images."""
        plan = Plan.delete(images)
        self.screen.line("  a plan is its own dry run; print(plan) of the next one begins:")
        for line in str(plan).splitlines()[:4]:
            self.screen.line(f"    {line}")
        await self._run("delete what the retention rule selects", plan)
        return plan

    async def _run(self, what: str, plan: Plan) -> Report:
        show = self.screen.progress(what)

        def progress(now: Progress) -> None:
            show(now.finished, len(plan), f" ({now.in_flight} in flight, {now.rate:.0f} a second)")

        start = time.perf_counter()
        report = await self.images.run(plan, limit=LIMIT, progress=progress)
        seconds = time.perf_counter() - start
        said = ", ".join(
            f"{number} {status}" for status, number in report.counts().items() if number
        )
        self.phases.append(Phase(what, said, seconds, len(plan)))
        self.reports.append(report)
        return report


async def demo() -> bool:
    """Run the demo and print what happened.

    Returns:
        Whether everything succeeded and the emulator's own state bears the reports out.
    """
    screen = Screen()
    now = datetime.now(UTC)
    images = made_images(IMAGES, today=now, in_use=0.1)
    async with (
        FakeE2E(images, NODES, latency=LATENCY, save_seconds=SAVE_SECONDS) as fake,
        fake.session() as session,
    ):
        _greet(screen, fake)
        job = Job(session, screen)
        try:
            problems = await _carry_out(job, fake, now)
        except E2EError as error:
            problems = [f"{type(error).__name__}: {error}"]
    for report in job.reports:
        if not report.ok:
            screen.line(str(report))
            problems.append("not every step ended well")
    for problem in problems:
        screen.verdict(f"NOT OK: {problem}", good=False)
    return not problems


async def _carry_out(job: Job, fake: FakeE2E, now: datetime) -> list[str]:
    """The job itself; gives what the emulator's state contradicts."""
    before = await job.images.list()
    each = await job.one_by_one(before[:SAMPLE])
    applied = len(fake.ledger)
    fake.max_in_flight = 0

    saved = await job.save(
        {node: f"{record['name']}-nightly" for node, record in fake.nodes.items()}
    )

    batch = select.where(select.name_matches("web-*", "api-*", "db-*"), before)
    renamed = await job.rename(batch, lambda image: f"prod-{image.name}")

    surplus = select.all_but_newest(
        2, await job.images.list(), per=select.by_os_distribution(until="-20")
    )
    deleted = await job.delete(
        select.where(select.not_in_use() & select.older_than("30d", now=now), surplus)
    )

    _tell(job.screen, job.phases, each)
    problems = _untrue(fake, before, saved, renamed, deleted)
    planned, writes = sum(map(len, job.reports)), len(fake.ledger) - applied
    if writes != planned:
        problems.append(f"{counted(planned, 'write')} were planned and {writes} were applied")
    if fake.max_in_flight > LIMIT:
        problems.append(
            f"{fake.max_in_flight} requests were in flight, more than the limit of {LIMIT}"
        )
    if not problems:
        job.screen.verdict(
            f"Checked against the emulator's own state: {len(saved)} new, {len(renamed)} renamed, "
            f"{len(deleted)} gone,\nnothing else touched, each write applied once, "
            f"at most {fake.max_in_flight} requests in flight.",
            good=True,
        )
    return problems


def _greet(screen: Screen, fake: FakeE2E) -> None:
    screen.line(
        f"An emulated account on 127.0.0.1:{fake.port}: {IMAGES} saved images, {NODES} nodes,"
    )
    screen.line(f"{LATENCY * 1000:.0f} ms a reply, at most {LIMIT} requests in flight.")
    screen.line("This demo talks to that emulator only. It never touches a real account.")
    if given := [name for name in _SECRETS if os.environ.get(name)]:
        verb = "is" if len(given) == 1 else "are"
        screen.line(f"({' and '.join(given)} {verb} set in this environment, and not used.)")
    screen.line()
    screen.line("Every node is saved. web-*, api-* and db-* images become prod-<name>. Unused")
    screen.line("images older than 30 days go, but for the newest two of each server.")
    screen.line()


def _tell(screen: Screen, phases: Sequence[Phase], each: float) -> None:
    """Print what happened, beside how long it would have taken one by one."""

    def row(phase: Phase) -> tuple[object, ...]:
        one_by_one = phase.requests * each
        compared = (
            (f"{one_by_one:.2f} s", f"{one_by_one / phase.seconds:.1f} x")
            if phase.requests
            else ("", "")
        )
        return (phase.what, phase.outcome, f"{phase.seconds:.2f} s", *compared)

    writes = [phase for phase in phases if phase.requests]
    total = Phase("all writes", "", sum(p.seconds for p in writes), sum(p.requests for p in writes))
    header = ("what", "outcome", "took", "one by one*", "faster by")
    screen.line()
    for line in table(header, map(row, [*phases, total])):
        screen.line(line)
    screen.line()
    screen.line(
        f"* Computed, not run: {SAMPLE} renames sent one after the other"
        f" took {each * 1000:.0f} ms each,"
    )
    screen.line("  times the number of writes. Waiting for the server is the same either way.")


def _untrue(
    fake: FakeE2E,
    before: Iterable[SavedImage],
    saved: Iterable[SavedImage],
    renamed: Plan,
    deleted: Plan,
) -> list[str]:
    """What the emulator's state has otherwise than it should be."""
    expected = {image.image_id: image.name for image in before}
    expected |= {image.image_id: image.name for image in saved}
    expected |= {step.target: str(step.name) for step in renamed}
    for step in deleted:
        del expected[step.target]
    found = {image_id: record["name"] for image_id, record in fake.images.items()}
    problems = [f"image {image_id} is gone" for image_id in expected.keys() - found.keys()]
    problems += [f"image {image_id} should be gone" for image_id in found.keys() - expected.keys()]
    problems += [
        f"image {image_id} is called {found[image_id]!r}, not {name!r}"
        for image_id, name in expected.items()
        if found.get(image_id, name) != name
    ]
    states = {
        image_id: ImageState.of(record["image_state"]) for image_id, record in fake.images.items()
    }
    return problems + [
        f"{image.name!r} is not ready"
        for image in saved
        if states.get(image.image_id) is not ImageState.READY
    ]
