"""Bulk runs: many steps at once, never more than a limit in flight, and a true outcome for each.

`Stream` hands out outcomes as they come and slows down with its consumer; `Stream.drain` runs to
the end without handing anything over. What a step *does* is not known here: the run is handed a
callable that performs one.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Final, Literal, Self, TypedDict, Unpack

from aioe2e import events
from aioe2e._check import quoted
from aioe2e._clock import Clock
from aioe2e.config import Limits
from aioe2e.errors import UsageError

from .backpressure import OutcomeQueue
from .engine import CANCELLED, Check, Engine, RunSettings
from .order import PlanSource
from .plan import Plan
from .progress import Progress
from .report import Outcome, Report
from .source import IterableSource, iterable_source
from .step import Perform, Step

__all__ = ["OnError", "RunOptions", "Stream"]

#: What a run does about a failure: go on and report it, or let nothing new start.
OnError = Literal["collect", "stop"]

_CLOCK: Final = Clock()


class RunOptions(TypedDict, total=False):
    """The options that every bulk call takes, by name."""

    #: Steps under way at the same time, and so requests in flight: 1 or more. None and by default
    #: `Limits.in_flight` of the session, which holds as well.
    limit: int | None
    #: ``"collect"`` (the default) goes on after a failure. With ``"stop"`` nothing new starts once
    #: a step has ended FAILED or UNKNOWN. A save that is UNKNOWN from an earlier run is no reason.
    on_error: OnError
    #: Called with a `Progress` when something has changed, at most ten times a second, and once at
    #: the end. An exception in it is logged once and goes no further.
    progress: Callable[[Progress], object] | None
    #: Seconds, above 0, for the whole run: what is under way then is cancelled, and the report
    #: comes. None and by default no limit.
    deadline: float | None
    #: A file that says at any time what was sent and how it ended, for `Plan.resume` after a crash;
    #: only with a `Plan`. If it cannot be written any more, nothing new starts.
    journal: str | os.PathLike[str] | None
    #: Whether a run waits for as long as the server says when the request budget of the account is
    #: used up (True by default). With False it ends at once, and so it does where its `deadline`
    #: comes first: the rest is SKIPPED, and `Report.retry_after` says when to go on.
    wait_for_budget: bool
    #: Whether the run ends only when the listing shows what its steps promised: deleted images
    #: gone, names given, saves listed. What does not come true in 60 s (or in as many seconds as
    #: given here) after the last step, or until the `deadline`, ends UNKNOWN. Only with a `Plan`,
    #: and not where outcomes are taken one by one.
    verify: bool | float


class Stream:
    """A run whose outcomes are taken one by one, in the order in which the steps end.

    ::

        async with session.images.stream(plan, limit=16) as outcomes:
            async for outcome in outcomes:
                print(outcome.step, outcome.status)
        outcomes.report.raise_for_errors()

    Nothing happens before the ``async with``; a stream runs once. A slow consumer slows the run
    down: at most `limit` outcomes wait to be taken, besides those of the steps under way.

    Leaving the block early (``break``, ``return``, an exception in it) or `stop` lets nothing new
    start; what is in flight ends and is in the report. A cancellation cancels what is in flight
    too, and comes out when all of it has been accounted for; cancelling again does not shorten
    that.

    Args:
        steps: A `Plan`, or any iterable or async iterable of `Step`, however long. Of an iterable
            the report keeps the outcomes that are not DONE or UNCHANGED, and counts all. Generators
            are closed at the end.
        perform: Carries out one step.
        session_limit: Requests that the session may have in flight.
        current_limit: Gives the in-flight limit of the session as it stands now, for
            `Progress.limit`.
        rest: Sleeps that many seconds, but no longer than the session is open.
        is_closed: Says whether the session is closed.
        check: Gives the outcomes, among some, of which a listing tells more in so many seconds.
        longest_wait: Seconds that a single call waits by itself before it tries again.
        clock: Time and chance.
        tell: Told of the run and its steps; see `aioe2e.events`.
        options: See `RunOptions`.

    Raises:
        UsageError: One of these is not as described.
    """

    def __init__(
        self,
        steps: Plan | Iterable[Step] | AsyncIterable[Step],
        *,
        perform: Perform,
        session_limit: int = Limits().in_flight,
        current_limit: Callable[[], int] | None = None,
        rest: Callable[[float], Awaitable[None]] | None = None,
        is_closed: Callable[[], bool] = lambda: False,
        check: Check | None = None,
        longest_wait: float = math.inf,
        clock: Clock = _CLOCK,
        tell: Callable[[events.Event], None] | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        settings = RunSettings(
            perform=perform,
            session_limit=session_limit,
            current_limit=current_limit or (lambda: session_limit),
            rest=rest or clock.sleep,
            is_closed=is_closed,
            check=check,
            longest_wait=longest_wait,
            clock=clock,
            tell=tell,
            **options,
        )
        plan: Plan | None = None
        source: PlanSource | IterableSource
        if isinstance(steps, Plan):
            plan = steps
            source = PlanSource((*plan.unknown, *plan))
            _check_journal_of(plan, settings)
        else:
            _check_without_plan(settings)
            source = iterable_source(steps)
        self._verify = settings.verify is not False
        self._limit = settings.workers
        self._queue = OutcomeQueue(settings.workers)
        self._engine = Engine(source, plan=plan, settings=settings, queue=self._queue)
        self._state: Literal["new", "running", "left"] = "new"
        self._raised = False

    @property
    def report(self) -> Report:
        """The outcomes up to now; those of all steps once the run is over, however it ended."""
        return self._engine.report()

    def stop(self) -> None:
        """Let nothing new start.

        What is in flight ends and is handed out; what did not start is SKIPPED.
        """
        self._engine.stop("the run was stopped")

    async def drain(self) -> Report:
        """Run to the end and hand nothing over: the cheapest way when only the report is wanted.

        Returns:
            The report. If the run was cancelled, it is still to be had from `report`.

        Raises:
            UsageError: The stream has run before; or the journal belongs to something else.
            Exception: What the iterable of steps raised. What was in flight has ended by then.
        """
        await self._begin()
        try:
            await self._engine.join()
        finally:
            self._state = "left"
            self._queue.end(iter(()))
        self._raise_once()
        return self.report

    async def __aenter__(self) -> Self:
        if self._verify:
            raise UsageError(
                "verify: outcomes that are taken one by one cannot be verified; use run,"
                " a bulk call or drain"
            )
        self._queue.attach()
        await self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, Exception | GeneratorExit):
            self._engine.stop("the run was left before its turn came")
        else:
            self._engine.cancel(CANCELLED)
        try:
            await self._engine.join()
        finally:
            self._state = "left"
        if error is None:
            self._raise_once()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if self._state == "new":
            raise UsageError(
                "stream: write `async with stream as outcomes:` around the `async for`"
            )
        if (outcome := await self._queue.take()) is not None:
            return outcome
        self._raise_once()
        raise StopAsyncIteration

    def __repr__(self) -> str:
        return f"<Stream {self._state} limit={self._limit}>"

    async def _begin(self) -> None:
        if self._state != "new":
            raise UsageError("stream: it runs once; make a new one")
        self._state = "running"
        try:
            await self._engine.start()
        except BaseException:
            self._state = "left"
            self._raised = True
            self._queue.end(iter(()))
            raise

    def _raise_once(self) -> None:
        if self._engine.error is not None and not self._raised:
            self._raised = True
            raise self._engine.error


def _check_without_plan(settings: RunSettings) -> None:
    """Refuse what only a run of a plan can do."""
    if settings.journal is not None:
        raise UsageError("journal: it needs a Plan; the remaining steps of a stream are not known")
    if settings.verify is not False:
        raise UsageError("verify: it needs a Plan; a stream does not keep what went well")


def _check_journal_of(plan: Plan, settings: RunSettings) -> None:
    """Warn of a resumed plan that runs without its journal."""
    if plan.journal is None or settings.journal is not None:
        return
    warnings.warn(
        f"this plan was resumed from the journal {quoted(plan.journal)} and runs without journal=:"
        " a later Plan.resume would offer the same steps again",
        stacklevel=4,
    )
