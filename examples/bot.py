"""A chat bot that keeps answering during a bulk run.

Nothing blocks the event loop: the run is a task in it, and `Stream.stop` ends the run between two
images. Here the chat is the terminal; in a real bot, the message handler calls `answer`.

Set E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION, run ``python examples/bot.py`` and
type ``help``.
"""

from __future__ import annotations

import asyncio
import sys

import aioe2e
from aioe2e.select import name_matches, not_in_use

HELP = """\
images PATTERN   list images
save NODE NAME   save an image of a node, and wait until it is ready
delete PATTERN   show which unused images would be deleted
yes              delete them
status           show the progress
stop             start no further deletions
bye              end"""


class Bot:
    """Answers one message at a time. Remembers the plan that needs a yes, and the current run."""

    def __init__(self, session: aioe2e.Session, *, interval: float = 5.0) -> None:
        self._images = session.images
        self._interval = interval
        self._plan: aioe2e.Plan | None = None
        self._progress: aioe2e.Progress | None = None
        self._stream: aioe2e.Stream | None = None
        self.run: asyncio.Task[aioe2e.Report] | None = None

    async def answer(self, message: str) -> str:
        match message.split():
            case ["images", pattern]:
                images = await self._images.list(name_matches(pattern))
                return (
                    "\n".join(f"{i.image_id}  {i.name}  {i.state.value}" for i in images) or "none"
                )
            case ["save", node, name]:
                action = await self._images.save(node, name)
                image = await self._images.wait_saved(action, interval=self._interval)
                return f"{image.name} is ready"
            case ["delete", pattern]:
                self._plan = aioe2e.Plan.delete(
                    await self._images.list(name_matches(pattern) & not_in_use())
                )
                return f"{self._plan}\nAll of them?" if self._plan else "nothing to delete"
            case ["yes"] if self._plan and not self._running:
                self._stream = self._images.stream(self._plan, limit=4, progress=self._note)
                self.run = asyncio.create_task(self._stream.drain())
                self._plan = self._progress = None
                return "on it"
            case ["status"]:
                return self._status()
            case ["stop"] if self._stream:
                self._stream.stop()
                return "stopping after the current ones"
            case _:
                return HELP

    @property
    def _running(self) -> bool:
        return self.run is not None and not self.run.done()

    def _note(self, progress: aioe2e.Progress) -> None:
        self._progress = progress

    def _status(self) -> str:
        if self._stream and not self._running:
            return str(self._stream.report)
        if (p := self._progress) is None:
            return "just started" if self._running else "idle"
        left = "" if p.eta is None else f", about {p.eta:.0f} s left"
        return f"{p.finished} of {p.total}, {p.failed} failed, {p.rate:.0f} a second{left}"

    async def leave(self) -> None:
        """Start no new step, wait for those in flight, and print the report of a run."""
        if self._stream and self.run:
            self._stream.stop()
            print(await self.run, flush=True)


async def main() -> None:
    async with aioe2e.Session.from_env() as session:
        bot = Bot(session)
        try:
            while (line := await asyncio.to_thread(sys.stdin.readline)) and line.strip() != "bye":
                try:
                    print(await bot.answer(line), flush=True)
                except aioe2e.E2EError as error:
                    print(f"sorry: {error}", flush=True)
        finally:
            await bot.leave()


if __name__ == "__main__":
    asyncio.run(main())
