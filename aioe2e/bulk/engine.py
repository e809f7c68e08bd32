"""Carries out the steps of a run: a few workers over one source of steps.

There is no task for each step and no task that watches: the workers take steps themselves, write
each outcome down at the moment it is known, and the last one to leave closes the books. Who started
the run waits for them in `Engine.join`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar, cast

import attrs

from aioe2e._record import Trail
from aioe2e.errors import APIError, E2EError, is_passing

from . import endings
from .brake import Brake
from .endings import Ending
from .handover import Handover
from .journal import Journal
from .ledger import Ledger
from .notes import Notes
from .perform import RunSettings
from .plan import Plan
from .progress import Meter, Standing
from .report import Outcome, Report
from .source import AsyncSource, Source
from .step import Status, Step

__all__ = ["CANCELLED", "Engine"]

_T = TypeVar("_T")

#: A worker whose steps never wait lets the loop run after so many of them.
_STRETCH: Final = 32

CANCELLED: Final = "the run was cancelled"


@attrs.frozen(eq=False, repr=False)
class _Half:
    """What is known of a step that stands between its two halves."""

    attempts: int
    began: float


class Engine:
    """One run.

    Args:
        source: Where the steps come from.
        plan: The plan, if that is the source.
        settings: How to carry them out.

    Attributes:
        ledger: The outcomes up to now, each there once.
        error: What ended the run from outside its steps: an exception of the iterable, or one that
            nobody foresaw.
        handover: Where outcomes are laid down for a consumer; None if there is none.
        meter: Tells how far the run has got; None if nobody wants to know.
    """

    def __init__(self, source: Source, *, plan: Plan | None, settings: RunSettings) -> None:
        self.ledger = Ledger(plan)
        self.error: BaseException | None = None
        self.handover: Handover | None = None
        self.meter: Meter | None = None
        self._source = source
        self._plan = plan
        self._settings = settings
        self._now = settings.clock.now
        self._brake = Brake(settings.limit, settings.clock)
        self._notes: Notes | None = None
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[object]] = set()
        self._halves: dict[int | None, _Half] = {}
        self._in_flight = 0
        self._began = 0.0
        self._elapsed = 0.0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: Why nothing new starts, and why what was in flight was cancelled; empty while that is not
        #: so.
        self._ended = ""
        self._cut = ""
        self._over = False
        #: Whether nobody will ever see the outcome of a step that went well.
        self._counts_only = False

    def start(self) -> None:
        """Begin. Raises what opening the journal or the iterable raises; nothing has been sent
        then."""
        settings = self._settings
        self._began = self._now()
        self._counts_only = self._plan is None and self.handover is None
        if settings.journal is not None and self._plan is not None:
            self._notes = Notes(Journal.open(settings.journal, self._plan), stop=self.stop)
        try:
            self._source.start()
        except BaseException as error:
            self._fail(error)
            self._close_books()
            raise
        if self.meter is not None:
            self.meter.start()
        if settings.deadline is not None:
            self._deadline = self._began + settings.deadline
            reason = f"the deadline of the run ({settings.deadline:g} s) is over"
            self._timer = asyncio.get_running_loop().call_later(settings.deadline, self.cut, reason)
        if self._source.more and not self._ended:
            self._hire()
        else:
            self._close_books()

    def stop(self, reason: str) -> None:
        """Let nothing new start. What is in flight ends in its own time."""
        if not self._ended and not self._over:
            self._ended = reason
            for task in self._idle:
                task.cancel()
            if self.handover is not None:
                self.handover.release()

    def cut(self, reason: str) -> None:
        """Let nothing new start, and cancel what is in flight."""
        self.stop(reason)
        if not self._cut and not self._over:
            self._cut = reason
            for task in self._workers:
                task.cancel()

    async def join(self) -> None:
        """Wait until the run is over and nothing of it is left. Cancelling this cuts the run and
        waits on."""
        cancelled: asyncio.CancelledError | None = None
        while self._workers:
            try:
                await asyncio.wait(self._workers)
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                self.cut(CANCELLED)
        try:
            await self._source.close()
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
        except Exception as error:  # noqa: BLE001  # the user's own, and not lost: whoever joins raises it
            self.error = self.error or error
        if cancelled is not None:
            raise cancelled

    def report(self) -> Report:
        """What is known up to now; of every step once the run is over."""
        running = self._workers and not self._over
        return self.ledger.report(self._now() - self._began if running else self._elapsed)

    def standing(self) -> Standing:
        """The counts of now."""
        return Standing(
            self._source.total,
            self.ledger.finished,
            self.ledger.failed,
            self._in_flight,
            min(self._settings.limit, self._settings.current_limit()),
            self._brake.on and not self._over,
        )

    def _hire(self) -> None:
        task = asyncio.get_running_loop().create_task(self._work())
        self._workers.add(task)
        task.add_done_callback(self._leave)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._workers.discard(task)
        if not task.cancelled():
            task.exception()  # `_fail` has it: the loop need not complain
        elif not self._ended:
            self._fail(asyncio.CancelledError())
        if self._source.more and not self._ended:
            self._hire()
        elif not self._workers:
            self._close_books()

    def _fail(self, error: BaseException) -> None:
        """End the run for a reason that is no outcome of a step."""
        if isinstance(error, asyncio.CancelledError):
            if not self._ended:  # somebody else cancels every task of the loop
                self.error = error
                self.stop(CANCELLED)
            return
        self.error = self.error or error
        self.stop(f"the run was ended by an exception ({type(error).__name__})")

    async def _work(self) -> None:
        handover, brake = self.handover, self._brake
        stretch = 0
        try:
            while not self._ended:
                if not brake.on:
                    worked = await self._one_step()
                elif await self._interruptible(brake.turn()):
                    try:
                        worked = await self._one_step()
                    finally:
                        brake.give_back()
                else:
                    continue
                if not worked:
                    return
                while handover is not None and handover.full:
                    await handover.room()
                stretch += 1
                if stretch == _STRETCH:
                    stretch = 0
                    await asyncio.sleep(0)
        except BaseException as error:
            self._fail(error)
            raise

    async def _one_step(self) -> bool:
        """Take a step and see it through; False if there is none to take."""
        source = self._source
        step = (
            await self._interruptible(source.pull())
            if isinstance(source, AsyncSource)
            else source.take()
        )
        if step is None:
            return False
        number = source.taken - 1
        if source.more and len(self._workers) < self._settings.limit:
            self._hire()
        if self._ended:  # by the iterable itself, while it was asked
            self._record(step, number, endings.skipped(self._ended))
        elif step.unchanged:
            self._record(step, number, Ending(Status.UNCHANGED))
        elif _is_open_for_good(step):
            self._record(step, number, endings.still_open(step))
        else:
            await self._carry_out(step, number)
        return True

    async def _interruptible(self, wait: Awaitable[_T]) -> _T | None:
        """Await something that `stop` may cancel; None then."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._idle.add(task)
        try:
            return await wait
        except asyncio.CancelledError:
            if self._cut or not self._ended:
                raise
            return None
        finally:
            self._idle.discard(task)

    async def _carry_out(self, step: Step, number: int) -> None:
        """Perform a step, or the half of it that is due, and write down what came of it."""
        second = step.index in self._halves
        part = step if step.via is None else endings.in_halves(step)[second]
        trail = Trail(deadline=self._deadline)
        if self._notes is not None:
            trail.before_send = self._notes.before_send(step, 1 + second)
        began = self._now()
        self._in_flight += 1
        try:
            performed = await self._settings.perform(part, trail)
        except E2EError as error:
            ending = endings.of_error(trail, error)
            self._weigh(error)
        except BaseException as error:
            reason = self._cut or f"the run was ended by an exception ({type(error).__name__})"
            self._settle(step, number, endings.of_cut(step, trail, reason), began)
            raise
        else:
            if self._brake.row:
                self._brake.answered()
            if self._counts_only and performed.status is Status.DONE:
                self.ledger.done += 1
                return
            ending = Ending(performed.status, performed.result, None, trail.attempts)
        finally:
            self._in_flight -= 1
        self._settle(step, number, ending, began)

    def _weigh(self, error: E2EError) -> None:
        if is_passing(error):
            self._brake.faulted()
        elif isinstance(error, APIError):
            self._brake.answered()

    def _settle(self, step: Step, number: int, ending: Ending, began: float) -> None:
        """Write down how a call ended, unless it was the first half of a step and all is well."""
        if step.via is not None:
            if (half := self._halves.get(step.index)) is not None:
                began = half.began
                ending = self._given_up(step, ending)
            elif ending.error is None:
                if self._notes is not None:
                    self._notes.half_done(step)
                self._halves[step.index] = _Half(ending.attempts, began)
                if (cause := self._source.halved(step)) is None:
                    return
                ending = self._given_up(step, endings.of_predecessor(cause))
        self._record(step, number, ending, began)

    def _given_up(self, step: Step, ending: Ending) -> Ending:
        """The ending of a step, with what has become of its first half taken in."""
        half = self._halves.pop(step.index, None) if step.via is not None else None
        return ending if half is None else endings.of_pause(step, ending, half.attempts)

    def _record(self, step: Step, number: int, ending: Ending, began: float | None = None) -> None:
        """Write the outcome of a step down, and see what follows from it for other steps."""
        if (
            self._plan is None and step.index != number
        ):  # two plans in one stream may number their steps alike
            step = attrs.evolve(step, index=number)
        self._write(step, ending, 0.0 if began is None else self._now() - began)
        if ending.error is None:
            self._source.done(step)
            return
        if (
            self._settings.stop_at_failure
            and ending.status is not Status.SKIPPED
            and not _is_open_for_good(step)
        ):
            self.stop(f"the run stops at the first failure, and that was step {step.index}")
        for follower, cause in self._source.failed(step):
            self._write(follower, self._given_up(follower, endings.of_predecessor(cause)))

    def _write(self, step: Step, ending: Ending, elapsed: float = 0.0) -> None:
        outcome = Outcome(
            step,
            ending.status,
            ending.result,
            ending.error,
            ending.attempts,
            elapsed,
            ending.halfway,
        )
        self.ledger.enter(outcome)
        if self._notes is not None:
            self._notes.ended(outcome)
        if self.handover is not None:
            self.handover.put(outcome)

    def _close_books(self) -> None:
        """Give every step that has none its outcome, and let go of all that is held."""
        for step in self._source.steps:
            if not self.ledger.has(step.index):
                self._write(step, self._given_up(step, endings.skipped(self._ended)))
        self._over = True
        self._elapsed = self._now() - self._began
        if self._timer is not None:
            self._timer.cancel()
        if self._notes is not None:
            self._notes.close()
        if self.handover is not None:
            self.handover.end()
        if self.meter is not None:
            self.meter.end()


def _is_open_for_good(step: Step) -> bool:
    """Whether an earlier run has sent it and it must not be sent again: that is no failure of this
    run."""
    return step.open and not step.repeatable
