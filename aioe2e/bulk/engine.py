"""Carries out the steps of a run: a few workers over one source of steps.

There is no task for each step and no task that watches: the workers take steps themselves, write
each outcome down at the moment it is known, and the last one to leave closes the books.
`Engine.join` waits for them.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, cast

import attrs

from aioe2e import events
from aioe2e._check import is_number, quoted, require_bool, require_whole
from aioe2e._clock import Clock
from aioe2e._record import NO_ORDERS, CallOrders, CallRecord
from aioe2e.errors import APIError, E2EError, SessionError, SkippedError, UsageError, is_passing

from . import endings
from .backpressure import Brake, BudgetPause, OutcomeQueue
from .endings import FirstHalf
from .journal import Journal
from .order import PlanSource
from .plan import Plan
from .progress import Meter, Progress, RunWatch, Standing
from .report import Outcome, Report, ReportBuilder
from .source import AsyncSource, IterableSource
from .step import Ending, Perform, Status, Step, index_of

__all__ = ["CANCELLED", "Engine", "RunSettings"]

_T = TypeVar("_T")

#: A worker whose steps never wait lets the loop run after so many of them.
_STRETCH: Final = 32

#: Seconds by which a timer of an event loop may fire early.
_RESOLUTION: Final = 0.005

#: Seconds after the last step within which what was promised must be listed.
_VERIFY_SECONDS: Final = 60.0

Check = Callable[[Sequence[Outcome], float], Awaitable[Sequence[Outcome]]]

CANCELLED: Final = "the run was cancelled"


class RunSettings:
    """How a run is to be carried out.

    Args:
        perform: Carries out one step.
        session_limit: Requests that the session may have in flight, as it was set.
        current_limit: Gives the same as it stands now.
        rest: Sleeps that many seconds, but no longer than the session is open.
        is_closed: Says whether the session is closed.
        clock: Time and chance.
        longest_wait: Seconds that a single call waits by itself before it tries again.
        check: Gives the outcomes, among some, of which a listing tells more in so many seconds.
        tell: Told of the run and its steps; None where there are no hooks.
        limit: This and the others are described in `RunOptions`.

    Raises:
        UsageError: An option is not as `RunOptions` says.
    """

    def __init__(
        self,
        *,
        perform: Perform,
        session_limit: int,
        current_limit: Callable[[], int],
        rest: Callable[[float], Awaitable[None]],
        is_closed: Callable[[], bool],
        clock: Clock,
        longest_wait: float,
        check: Check | None,
        tell: Callable[[events.Event], None] | None,
        limit: int | None = None,
        on_error: str = "collect",
        progress: Callable[[Progress], object] | None = None,
        deadline: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        wait_for_budget: bool = True,
        verify: bool | float = False,
    ) -> None:
        if limit is not None:
            require_whole("limit", limit, 1)
        if on_error not in ("collect", "stop"):
            raise UsageError(f'on_error: "collect" or "stop" is needed, not {quoted(on_error)}')
        if deadline is not None:
            _require_seconds("deadline", deadline, "a number of seconds above 0")
        if not isinstance(verify, bool):
            _require_seconds("verify", verify, "True, False or a number of seconds above 0")
        self.perform = perform
        self.session_limit = session_limit
        self.current_limit = current_limit
        self.rest = rest
        self.is_closed = is_closed
        self.clock = clock
        self.longest_wait = longest_wait
        self.check = check
        self.tell = tell
        #: Steps that may be under way at the same time.
        self.workers: int = session_limit if limit is None else limit
        self.stops_at_failure: bool = on_error == "stop"
        self.progress = progress
        self.deadline = deadline
        self.journal = journal
        self.wait_for_budget: bool = require_bool("wait_for_budget", wait_for_budget)
        self.verify = verify


def _require_seconds(option: str, value: object, needed: str) -> None:
    # An int can be larger than any float, and then cannot be added to a time.
    if not is_number(value) or not 0 < value <= sys.float_info.max:
        raise UsageError(f"{option}: {needed} is needed, not {quoted(value)}")


class Engine:
    """One run.

    Args:
        source: Where the steps come from.
        plan: The plan, if that is the source.
        settings: How to carry them out.
        queue: Where outcomes are laid down for a consumer.

    Attributes:
        error: What ended the run from outside its steps: an exception of the iterable, or one that
            was not foreseen.
    """

    def __init__(
        self,
        source: PlanSource | IterableSource,
        *,
        plan: Plan | None,
        settings: RunSettings,
        queue: OutcomeQueue,
    ) -> None:
        self.error: BaseException | None = None
        self._source = source
        self._plan = plan
        self._settings = settings
        self._queue = queue
        self._now = settings.clock.now
        self._outcomes = ReportBuilder(plan)
        self._brake = Brake(settings.workers, settings.rest, settings.clock.uniform)
        self._pause = BudgetPause()
        self._meter: Meter | None = None
        if settings.progress is not None:
            self._meter = Meter(settings.progress, standing=self.standing, clock=settings.clock)
        self._watch = RunWatch(settings.tell, self._outcomes.counts)
        self._journal: Journal | None = None
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[object]] = set()
        self._halves: dict[int | None, FirstHalf] = {}
        self._in_flight = 0
        self._began = 0.0
        self._elapsed = 0.0
        self._retry_after: float | None = None
        #: Loop time at which the run is cut short.
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        #: What every call of a run without a journal has to keep to.
        self._orders = NO_ORDERS
        #: Why nothing new starts; empty while steps are started.
        self._ended = ""
        #: Why what was in flight was cancelled; empty while that is not so.
        self._cancelled = ""
        self._over = False
        #: Whether a step is prepared for its call: some come in halves, or are noted in a journal.
        self._is_prepared = False
        #: Whether a consumer or hooks are told of each outcome.
        self._is_seen = False
        #: Whether the outcome of a step that went well is only counted.
        self._counts_only = False

    async def start(self) -> None:
        """Begin.

        Raises what opening the journal or the iterable raises. Nothing has been sent then, and
        every step of a plan is SKIPPED in the report.
        """
        loop = asyncio.get_running_loop()
        self._now = self._settings.clock.bound_to(loop)
        self._began = self._now()
        self._is_seen = self._queue.attached or self._settings.tell is not None
        self._counts_only = self._plan is None and not self._is_seen
        try:
            await self._open_journal()
            self._source.start()
        except BaseException as error:
            self._fail(error)
            self._queue.end(iter(()))  # the error comes in place of outcomes
            self._close_books()
            raise
        self._watch.started(self._source.total)
        if self._meter is not None:
            self._meter.start()
        self._start_deadline(loop)
        self._hire_or_close()

    async def _open_journal(self) -> None:
        """Open the journal, if there is one, and see what the steps need before their calls."""
        path, plan = self._settings.journal, self._plan
        if plan is None:
            return
        if path is not None:
            self._journal = await Journal.open_aside(path, plan)
        has_halves = any(step.via is not None for step in plan)
        self._is_prepared = has_halves or self._journal is not None

    def _start_deadline(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the time limit of the run, if it has one, end the run and its calls."""
        seconds = self._settings.deadline
        if seconds is None:
            return
        self._deadline = self._began + seconds
        self._orders = CallOrders(self._deadline)
        left = max(0.0, self._deadline - self._now())
        self._timer = loop.call_later(left, self.cancel, self._deadline_reason())

    def stop(self, reason: str) -> None:
        """Let nothing new start. What is in flight ends in its own time."""
        if self._ended:
            return
        self._ended = reason
        for task in self._idle:
            task.cancel()
        self._queue.release()

    def cancel(self, reason: str) -> None:
        """Let nothing new start, and cancel what is in flight."""
        self.stop(reason)
        if self._cancelled:
            return
        self._cancelled = reason
        for task in self._workers:
            task.cancel()

    async def join(self) -> None:
        """Wait until the run is over and nothing of it is left.

        Cancelling this cancels the run, and the wait goes on.
        """
        try:
            cancelled = await self._workers_to_leave()
            cancelled = await self._close_source() or cancelled
            if cancelled is not None:
                raise cancelled
            if self.error is None:
                await self._verify()
        finally:
            if self._journal is not None:
                self._journal.close()

    async def _workers_to_leave(self) -> asyncio.CancelledError | None:
        """Wait for the workers; gives the cancellation that came meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        if not self._workers:
            # A loop of runs that have nothing to do can be cancelled here.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as error:
                cancelled = error
        while self._workers:
            try:
                await asyncio.wait(self._workers)
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                self.cancel(CANCELLED)
        return cancelled

    async def _close_source(self) -> asyncio.CancelledError | None:
        """Close the source; gives the cancellation that came meanwhile."""
        try:
            await self._source.close()
        except asyncio.CancelledError as error:
            return error
        except Exception as error:  # noqa: BLE001  # the user's own; the stream raises it
            self.error = self.error or error
        return None

    async def _verify(self) -> None:
        """See whether the listing shows what was promised; what it does not is UNKNOWN."""
        settings = self._settings
        if settings.check is None or settings.verify is False:
            return
        seconds = _VERIFY_SECONDS if settings.verify is True else settings.verify
        seconds = min(seconds, max(self._deadline - self._now(), _RESOLUTION))
        promised = self._outcomes.promised()
        if promised:
            for outcome in await settings.check(promised, seconds):
                self._outcomes.revise(outcome)
                if self._journal is not None:
                    self._journal.outcome(outcome)
            self._elapsed = self._now() - self._began

    def report(self) -> Report:
        """What is known up to now; of every step once the run is over."""
        if self._workers:
            now = self._now()
            return self._outcomes.report(now - self._began, self._pause.left(now))
        return self._outcomes.report(self._elapsed, self._retry_after)

    def standing(self) -> Standing:
        """The counts of now."""
        paused_until: float | None = None
        holds_back = self._brake.on
        if self._pause.left(self._now()):
            paused_until = self._pause.until
            holds_back = True
        if self._over:
            paused_until, holds_back = None, False
        return Standing(
            self._source.total,
            self._outcomes.finished,
            self._outcomes.failed,
            self._in_flight,
            min(self._settings.workers, self._settings.current_limit()),
            holds_back,
            paused_until,
        )

    def _hire_or_close(self) -> None:
        """Start a worker if there is work for it; close the books when the last one has left."""
        if self._source.more and not self._ended:
            self._hire()
        elif not self._workers:
            self._close_books()

    def _hire(self) -> None:
        """Start one more worker."""
        task = asyncio.get_running_loop().create_task(self._work())
        self._workers.add(task)
        task.add_done_callback(self._leave)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._workers.discard(task)
        if not task.cancelled():
            task.exception()  # `_fail` has it: the loop need not complain
        elif not self._ended:
            self._fail(asyncio.CancelledError())
        self._hire_or_close()

    def _fail(self, error: BaseException) -> None:
        """End the run for a reason that is no outcome of a step."""
        if isinstance(error, asyncio.CancelledError):
            if not self._ended:  # not by this run: something cancels every task of the loop
                self.error = error
                self.stop(CANCELLED)
            return
        self.error = self.error or error
        self.stop(_ended_by(error))

    async def _work(self) -> None:
        queue, brake, pause = self._queue, self._brake, self._pause
        stretch = 0
        if asyncio.current_task() not in self._workers:
            # A task factory began this task at once (asyncio.eager_task_factory), before `_hire`
            # counted it as a worker. Until it is one, it must not take a step.
            await asyncio.sleep(0)
        try:
            while not self._ended:
                if brake.on or pause.until:
                    worked = await self._turn()
                else:
                    worked = await self._one_step()
                if not worked:
                    return
                while queue.full:
                    await queue.room()
                stretch += 1
                if stretch == _STRETCH:
                    stretch = 0
                    await asyncio.sleep(0)
        except BaseException as error:
            self._fail(error)
            raise

    async def _turn(self) -> bool:
        """See a step through when one may be started; False if there is none to take."""
        if self._pause.left(self._now()):
            await self._budget_is_back()
            return True
        if not self._brake.on:
            return await self._one_step()
        if not await self._interruptible(self._brake.turn()):
            return True
        try:
            self._stop_if_closed()
            return bool(self._ended) or await self._one_step()
        finally:
            self._brake.give_back()

    def _stop_if_closed(self) -> None:
        if self._settings.is_closed():
            self.stop("the session was closed while the run was under way")

    async def _one_step(self) -> bool:
        """Take a step and see it through; False if there is none to take."""
        source = self._source
        if isinstance(source, AsyncSource):
            step = await self._interruptible(source.pull())
        else:
            step = source.take()
        if step is None:
            return False
        number = source.taken - 1
        if len(self._workers) < self._settings.workers and source.more:
            self._hire()
        if self._ended:  # by the iterable itself, while it was asked
            self._record(step, number, endings.skipped(self._ended))
        elif step.unchanged:
            self._record(step, number, Ending(Status.UNCHANGED))
        elif _is_open_save(step):
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
            if self._cancelled or not self._ended:
                raise
            return None
        finally:
            self._idle.discard(task)

    async def _carry_out(self, step: Step, number: int) -> None:
        """Perform a step, or the half of it that is due, and write down how it ended."""
        part, orders = step, self._orders
        if self._is_prepared:
            part, orders = self._prepared(step)
        began = self._now()
        refused: Ending | None = None
        record = CallRecord(orders)
        try:
            ending = await self._perform(part, record)
            while ending.wait is not None and await self._waited_for_budget(step, ending):
                refused, record = ending, CallRecord(orders)
                ending = endings.of_tries(refused, await self._perform(part, record))
        except BaseException as error:
            reason = self._cancelled or _ended_by(error)
            ending = endings.of_cancelled(step, record, reason)
            self._settle(step, number, endings.of_tries(refused, ending), began)
            raise
        if self._counts_only and ending.status is Status.DONE:
            self._outcomes.done += 1
        else:
            self._settle(step, number, ending, began)

    def _prepared(self, step: Step) -> tuple[Step, CallOrders]:
        """The half of a step that is due, or all of it, and what its call has to keep to."""
        part, half = step, 1
        if step.via is not None:
            first, second = endings.in_halves(step)
            part = first
            if step.index in self._halves:
                part, half = second, 2
        if self._journal is None:
            return part, self._orders
        return part, CallOrders(self._orders.deadline, self._journal.before_send(step, half))

    async def _perform(self, part: Step, record: CallRecord) -> Ending:
        """How the call of a step ended; an error of the library is an ending, too."""
        self._in_flight += 1
        try:
            performed = await self._settings.perform(part, record)
        except E2EError as error:
            return self._ending_of(record, error)
        finally:
            self._in_flight -= 1
        if self._brake.row:
            self._answered()
        if self._pause.until:
            self._pause.answered()
        if self._counts_only:
            return performed
        return Ending(performed.status, performed.result, None, record.attempts)

    def _ending_of(self, record: CallRecord, error: E2EError) -> Ending:
        """The ending of a call that raised an error; what the error means for the run is noted."""
        ending = endings.of_error(
            record, error, too_late=self._too_late(), longest_wait=self._settings.longest_wait
        )
        if ending.wait is None:
            self._note_error(error)
        return ending

    async def _waited_for_budget(self, step: Step, ending: Ending) -> bool:
        """Wait until the request budget is back; whether the step is to be tried again."""
        assert ending.wait is not None
        pause, now = self._pause, self._now()
        begins = pause.extend(now, ending.wait)
        if not self._may_wait():
            self.stop(f"the request budget is used up; the server asks to wait {ending.wait:.0f} s")
            return False
        if begins:
            self._watch.out_of_budget(pause.until - now)
        if self._journal is not None and ending.attempts:
            # It was refused for now. Should the process die meanwhile, it may be sent again.
            waiting = Outcome(step, ending.status, error=ending.error, attempts=ending.attempts)
            self._journal.outcome(waiting)
        return await self._budget_is_back()

    def _may_wait(self) -> bool:
        """Whether the run goes on after its pause."""
        if self._pause.is_in_vain:
            return False
        return self._settings.wait_for_budget and self._pause.until <= self._deadline

    async def _budget_is_back(self) -> bool:
        """Wait until the server wants to be asked again; False if the run ends first."""
        while not self._ended and (left := self._pause.left(self._now())):
            await self._interruptible(self._settings.rest(left))
            self._stop_if_closed()
        return not self._ended

    def _too_late(self) -> str:
        """Why nothing more may be sent; empty while that is not so."""
        if self._now() >= self._deadline - _RESOLUTION:
            return self._deadline_reason()
        return self._cancelled

    def _deadline_reason(self) -> str:
        return f"the deadline of the run ({self._settings.deadline:g} s) is over"

    def _note_error(self, error: E2EError) -> None:
        """See what an error says of the server, and whether the run can go on."""
        if isinstance(error, SkippedError):  # the journal cannot be written
            self.stop(error.reason)
        elif isinstance(error, SessionError):  # no other step can be sent, either
            self.stop(str(error))
        elif is_passing(error):
            was_on = self._brake.on
            self._brake.failed()
            if self._brake.on and not was_on:
                self._watch.outage(self._brake.row, error, self._now() - self._began)
        elif isinstance(error, APIError):
            self._answered()

    def _answered(self) -> None:
        """The server answered a step, with yes or with no."""
        was_on = self._brake.on
        self._brake.answered()
        if was_on:
            self._watch.recovered(self._now() - self._began)

    def _settle(self, step: Step, number: int, ending: Ending, began: float) -> None:
        """Write down how a call ended, unless it was the first half of a step and all is well."""
        if step.via is not None:
            if (half := self._halves.get(step.index)) is not None:
                began = half.began
                ending = self._given_up(step, ending)
            elif ending.error is None:
                if self._journal is not None:
                    self._journal.half_done(index_of(step))
                self._halves[step.index] = FirstHalf(ending.attempts, began)
                if (cause := self._source.halved(step)) is None:
                    return
                ending = self._given_up(step, endings.of_predecessor(cause))
        self._record(step, number, ending, self._now() - began)

    def _given_up(self, step: Step, ending: Ending) -> Ending:
        """The ending of a step, with that of its first half taken in."""
        half = self._halves.pop(step.index, None)
        return ending if half is None else endings.of_second_half(step, ending, half.attempts)

    def _record(self, step: Step, number: int, ending: Ending, elapsed: float = 0.0) -> None:
        """Write the outcome of a step down, and see what follows from it for other steps."""
        if self._plan is None and step.index != number:
            # Two plans in one stream may number their steps alike.
            step = attrs.evolve(step, index=number)
        self._write(step, ending, elapsed)
        if ending.error is None:
            self._source.done(step)
            return
        counts_as_failure = ending.status is not Status.SKIPPED and not _is_open_save(step)
        if counts_as_failure and self._settings.stops_at_failure:
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
        self._outcomes.enter(outcome)
        if self._journal is not None:
            self._journal.outcome(outcome)
        if self._is_seen or ending.error is not None:
            self._watch.step_ended(outcome)
            self._queue.put(outcome)

    def _close_books(self) -> None:
        """Take every step that has no outcome for ended, and let go of all that is held."""
        over_at = self._now()
        self._over = True
        self._elapsed = over_at - self._began
        self._retry_after = self._pause.left(over_at)
        others = self._outcomes.close(self._ended, self._halves, over_at)
        if self._timer is not None:
            self._timer.cancel()
        if self._journal is not None and self._settings.verify is False:
            self._journal.close()
        self._watch.ended(self._elapsed)
        self._queue.end(others)
        if self._meter is not None:
            self._meter.end()


def _ended_by(error: BaseException) -> str:
    """Why nothing new starts after an exception that is no outcome of a step."""
    return f"the run was ended by an exception ({type(error).__name__})"


def _is_open_save(step: Step) -> bool:
    """Whether an earlier run sent it and it must not be sent again: no failure of this run."""
    return step.open and not step.repeatable
