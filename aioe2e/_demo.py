"""What the library is for, in one command on an emulated account: ``python -m aioe2e demo``.

Many images at once, a reply that is lost, a save whose outcome is unknown for a while, and a run
that is killed. At the end, what the library reported is compared with what the emulator knows to be
true.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from aioe2e.bulk import Plan, Progress, Report, Status
from aioe2e.config import Credentials, RetryPolicy
from aioe2e.testing import FakeE2E, Fault, made_images

from . import select
from ._text import counted
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
SAVE_SECONDS: Final = 0.2
#: Seconds after which the image of the lost save appears: by then its outcome must be unknown, on a
#: busy machine, too.
LATE: Final = 0.5
#: Requests that are sent one after the other, to see how long that takes.
SAMPLE: Final = 5
#: Deletes of the run that is killed, and how many of them the server has carried out by then.
KILLED_RUN: Final = 40
KILLED_AFTER: Final = 15

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
        colour = 32 if good else 31
        self.line(f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text)

    def progress(self, what: str) -> Callable[[Progress], None]:
        """A function that shows on a terminal how far a run has got."""

        def show(now: Progress) -> None:
            if not self._live or now.finished == now.total:
                return
            text = f"   {what}: {now.finished} of {now.total} ({now.in_flight} in flight)"
            self._print(f"{self._cover(text)}{text}")
            self._width = len(text)

        return show

    def _print(self, text: str) -> None:
        try:
            print(text, end="", flush=True)
        except BrokenPipeError:
            # ``| head`` has what it wanted: the job goes on, and what is printed goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _cover(self, text: str) -> str:
        """What has to come before a text so that nothing is left of the changing line."""
        if len(text) < self._width:
            return f"\r{' ' * self._width}\r"
        return "\r" if self._width else ""


@attrs.define
class Expected:
    """What the account should look like in the end."""

    #: Names by image id.
    names: dict[str, str]
    #: Writes that were planned.
    writes: int = 0

    def apply(self, plan: Plan) -> None:
        """Note what a plan of renames or deletes is to change."""
        self.writes += len(plan)
        for step in plan:
            if step.name is None:
                del self.names[step.target]
            else:
                self.names[step.target] = step.name

    def add(self, images: Iterable[SavedImage]) -> None:
        """Note new images."""
        new = {image.image_id: image.name for image in images}
        self.writes += len(new)
        self.names |= new


class Demo:
    """The four parts, on one session.

    Args:
        fake: The emulated account.
        session: Of that account.
        screen: Where it is shown.
    """

    def __init__(self, fake: FakeE2E, session: Session, screen: Screen) -> None:
        self.fake = fake
        self.session = session
        self.images = session.images
        self.screen = screen
        self.reports: list[Report] = []
        self.expected = Expected(
            {image_id: str(record["name"]) for image_id, record in fake.images.items()}
        )

    async def many_at_once(self, now: datetime) -> None:
        """Save every node, rename by a rule, delete by a rule."""
        self.screen.line(f"1. Many at once, at most {LIMIT} requests in flight")
        before = await self.images.list()
        each = await self._one_by_one(before[:SAMPLE])
        writes, began = self.expected.writes, time.perf_counter()

        names = {node: f"{record['name']}-nightly" for node, record in self.fake.nodes.items()}
        report = await self._run("save an image of every node", Plan.save(names))
        waiting = time.perf_counter()
        self.expected.add(await self._ready(report.saved()))
        waited = time.perf_counter() - waiting

        batch = select.where(select.name_matches("web-*", "api-*", "db-*"), before)
        renames = Plan.rename(batch, to=lambda image: f"prod-{image.name}")
        await self._run("rename web-*, api-*, db-* to prod-*", renames)
        self.expected.apply(renames)

        images = await self.images.list()
        surplus = select.all_but_newest(2, images, per=select.by_os_distribution(until="-20"))
        old = select.where(select.not_in_use() & select.older_than("30d", now=now), surplus)
        deletes = Plan.delete(old[KILLED_RUN + 1 :])
        await self._run("delete what a retention rule selects", deletes)
        self.expected.apply(deletes)

        writes = self.expected.writes - writes
        took = time.perf_counter() - began - waited
        self.screen.line(
            f"   {writes} writes in {took:.1f} s; one by one they would take {writes * each:.1f} s"
        )
        self._spare = old[: KILLED_RUN + 1]

    async def lost_reply(self) -> None:
        """A delete whose reply is lost, and which the library settles."""
        self.screen.line("2. A delete is carried out, and its reply is lost on the way")
        [image] = self._spare[:1]
        self.fake.inject(Fault("reset", applied=True), "delete")
        report = await self.images.run(Plan.delete([image]))
        self.reports.append(report)
        self.expected.apply(Plan.delete([image]))
        self.screen.line('   The request was repeated, and the second answer was "not found".')
        self.screen.line(f"   The listing shows why: {report[0].status.name}. Deleted once.")

    async def unknown_save(self) -> None:
        """A save whose outcome is unknown until a listing shows its image."""
        self.screen.line("3. The reply to a save is lost, and the image appears only later")
        [node, *_] = self.fake.nodes
        hasty = self.session.with_options(retry=RetryPolicy(base=0.01, look=0.01))
        self.fake.inject(Fault("reset", applied="late", late=LATE), "save")
        report = await hasty.images.run(Plan.save({node: "after-hours"}))
        self.screen.line(f"   {report[0].status.name}. It is not sent again: that could make two.")
        await _until(lambda: self.fake.ledger[-1].name == "after-hours")
        report = await self.images.reconcile(report)
        self.reports.append(report)
        self.expected.add(await self._ready(report.saved()))
        self.screen.line(f"   Reconciled with a listing: {report[0].status.name}. Saved once.")

    async def killed_run(self, other: Process) -> None:
        """A run in another process that is killed, and finished by its journal.

        Args:
            other: The process; it waits for what to do.
        """
        self.screen.line(f"4. kill -9 in the middle of {KILLED_RUN} deletes, and a new start")
        plan = Plan.delete(self._spare[1:])
        applied = len(self.fake.ledger)
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder, "deletes.journal")
            await self._start_and_kill(other, plan, journal, applied + KILLED_AFTER)
            done = len(self.fake.ledger) - applied
            self.screen.line(f"   Killed after {done} of {KILLED_RUN}. The journal knows the rest.")
            rest = Plan.resume(journal)
            report = await self.images.run(rest, limit=4, journal=journal)
            self.reports.append(report.merged(Report.from_journal(journal)))
        self.expected.apply(plan)
        said = self.reports[-1].counts()[Status.DONE]
        self.screen.line(f"   Resumed: {said} of {KILLED_RUN} DONE. Each of them deleted once.")

    async def _start_and_kill(
        self, other: Process, plan: Plan, journal: Path, applied: int
    ) -> None:
        """Let a process run a plan until the server has carried out so many writes."""
        order = {
            "api_key": self.fake.credentials.api_key,
            "auth_token": self.fake.credentials.auth_token,
            "base_url": self.fake.url,
            "project_id": self.fake.project_id,
            "location": self.fake.location,
            "plan": plan.to_dict(),
            "journal": str(journal),
        }
        ended = asyncio.create_task(other.communicate(json.dumps(order).encode()))
        await _until(lambda: len(self.fake.ledger) >= applied or ended.done())
        with suppress(ProcessLookupError):
            other.kill()
        await ended
        await self.fake.settle()

    async def _one_by_one(self, images: Sequence[SavedImage]) -> float:
        """Seconds that a write takes when each waits for the one before it.

        It renames to the name that is there already.
        """
        start = time.perf_counter()
        for image in images:
            await self.images.rename(image, image.name)
        self.expected.writes += len(images)
        return (time.perf_counter() - start) / len(images)

    async def _run(self, what: str, plan: Plan) -> Report:
        start = time.perf_counter()
        report = await self.images.run(plan, limit=LIMIT, progress=self.screen.progress(what))
        seconds = time.perf_counter() - start
        said = ", ".join(
            f"{number} {status}" for status, number in report.counts().items() if number
        )
        self.screen.line(f"   {what:<38}{said:>12}{seconds:>8.2f} s")
        self.reports.append(report)
        return report

    async def _ready(self, actions: Sequence[SaveAction]) -> list[SavedImage]:
        """The images that saves have made, once all are ready."""
        waits = (self.images.wait_saved(action, timeout=30, interval=0.05) for action in actions)
        return await asyncio.gather(*waits)


async def demo() -> bool:
    """Run the demo and print what happened.

    Returns:
        Whether everything succeeded and the emulator's own state bears the reports out.
    """
    screen = Screen()
    now = datetime.now(UTC)
    images = made_images(IMAGES, today=now, in_use=0.1)
    with _quiet_log():
        return await _shown(screen, images, now)


async def _shown(screen: Screen, images: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    async with (
        FakeE2E(images, NODES, latency=LATENCY, save_seconds=SAVE_SECONDS) as fake,
        fake.session() as session,
    ):
        _greet(screen, fake)
        shown = Demo(fake, session, screen)
        try:
            await shown.many_at_once(now)
            async with _other_process() as other:
                await shown.lost_reply()
                await shown.unknown_save()
                await shown.killed_run(other)
            problems = _untrue(fake, shown.expected)
        except E2EError as error:
            problems = [f"{type(error).__name__}: {error}"]
    for report in shown.reports:
        if not report.ok:
            screen.line(str(report))
            problems.append("not every step ended well")
    if not problems:
        screen.line()
        screen.verdict(_good(fake, shown.expected), good=True)
    for problem in problems:
        screen.verdict(f"NOT OK: {problem}", good=False)
    return not problems


@asynccontextmanager
async def _other_process() -> AsyncGenerator[Process]:
    """A process that will carry out a plan. It loads the library while other things are shown."""
    safely = ["-P"] if sys.flags.safe_path else []
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, *safely, "-m", "aioe2e._demo"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield other
    finally:
        with suppress(ProcessLookupError):
            other.kill()
        await other.wait()


@contextmanager
def _quiet_log() -> Generator[None, None, None]:
    """Keep warnings of the unknown save, which the screen explains, off the terminal."""
    logger, silent = logging.getLogger("aioe2e"), logging.NullHandler()
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)


def _greet(screen: Screen, fake: FakeE2E) -> None:
    screen.line(
        f"An emulated account on 127.0.0.1:{fake.port}: {IMAGES} saved images, {NODES} nodes,"
    )
    each = f"{LATENCY * 1000:.0f} ms a reply"
    screen.line(f"{each}. This demo talks to it alone. It never touches a real account.")
    if given := [name for name in _SECRETS if os.environ.get(name)]:
        verb = "is" if len(given) == 1 else "are"
        screen.line(f"({' and '.join(given)} {verb} set in this environment, and not used.)")
    screen.line()


def _good(fake: FakeE2E, expected: Expected) -> str:
    return (
        f"Checked against the emulator's own state: {len(expected.names)} images with the right "
        f"names,\n{expected.writes} writes, each applied once, at most {fake.max_in_flight} "
        "requests in flight."
    )


def _untrue(fake: FakeE2E, expected: Expected) -> list[str]:
    """What the emulator's state has otherwise than it should be."""
    problems = [*_wrong_images(fake, expected.names)]
    applied = Counter((entry.action, entry.target, entry.name) for entry in fake.ledger)
    problems += [f"{count} times: {write}" for write, count in applied.items() if count > 1]
    if len(fake.ledger) != expected.writes:
        planned = counted(expected.writes, "write")
        problems.append(f"{planned} were planned and {len(fake.ledger)} were applied")
    if fake.max_in_flight > LIMIT:
        problems.append(f"{fake.max_in_flight} requests were in flight, more than {LIMIT}")
    return problems


def _wrong_images(fake: FakeE2E, names: Mapping[str, str]) -> Iterator[str]:
    """What the images have otherwise than these names, by id, say."""
    for image_id in names.keys() - fake.images.keys():
        yield f"image {image_id} is gone"
    for image_id, record in fake.images.items():
        name = str(record["name"])
        if image_id not in names:
            yield f"image {image_id} should be gone"
        elif name != names[image_id]:
            yield f"image {image_id} is called {name!r}, not {names[image_id]!r}"
        if ImageState.of(record["image_state"]) is ImageState.CREATING:
            yield f"{name!r} is not ready"


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  # no event tells what the emulator has done
        await asyncio.sleep(0.002)


async def _carry_out(order: Mapping[str, Any]) -> None:
    """The run that is killed, in a process of its own."""
    async with Session(
        Credentials(api_key=order["api_key"], auth_token=order["auth_token"]),
        base_url=order["base_url"],
        project_id=order["project_id"],
        location=order["location"],
    ) as session:
        plan = Plan.from_dict(order["plan"])
        await session.images.run(plan, limit=4, journal=order["journal"])


def main() -> int:
    """Run the demo.

    Returns:
        The exit status.

    Raises:
        KeyboardInterrupt: Ctrl-C came; it has been said what that means.
    """
    try:
        return 0 if asyncio.run(demo()) else 1
    except KeyboardInterrupt:
        # A connection that was half made is let go of now, and not when half of Python is gone.
        gc.collect()
        print(
            "\ninterrupted: the emulated account is gone, and nothing else was touched",
            file=sys.stderr,
        )
        raise


if __name__ == "__main__":
    asyncio.run(_carry_out(json.load(sys.stdin)))
