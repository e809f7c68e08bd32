"""Bulk runs: many steps at once, never more than a limit in flight, and a true outcome for each.

`Stream` hands out outcomes as they come and slows down with its consumer; `Stream.drain` runs to
the end without handing anything over. What a step *does* is not known here: the run is handed a
callable that performs one.
"""

from __future__ import annotations

import inspect
import math
import os
import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import FrameType, TracebackType
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
    """The options of `Images.run`, `Images.stream` and the ``bulk_*`` methods, by name."""

    #: The maximum number of steps in progress at the same time, 1 or more. By default, and at most,
    #: it is `Limits.in_flight` of the session.
    limit: int | None
    #: ``"collect"`` (the default) continues after a failure. With ``"stop"``, no new step starts
    #: after the first one that is FAILED or UNKNOWN. A save that is UNKNOWN from an earlier run
    #: does not count.
    on_error: OnError
    #: A function that is called with a `Progress` when something has changed, at most ten times a
    #: second, and once at the end. An exception in it is logged once and ignored.
    progress: Callable[[Progress], object] | None
    #: The time limit of the run in seconds, above 0. Requests in flight are then cancelled, and the
    #: report is returned. By default there is no limit.
    deadline: float | None
    #: The path of a file that records what is sent and how it ends, for `Plan.resume` after a
    #: crash. Only with a `Plan`. If the file can no longer be written, no new step starts.
    journal: str | os.PathLike[str] | None
    #: Whether to wait, for as long as the server asks, when the account's request budget is used
    #: up. True by default. If it is False, or if the ``deadline`` comes first, the remaining steps
    #: are SKIPPED, and `Report.retry_after` is the time to wait.
    wait_for_budget: bool
    #: Whether to wait until the listing confirms every change: deleted images are gone, names are
    #: given, and saves are listed. Changes that are not confirmed within 60 seconds after the last
    #: step (or the number of seconds that is given here), or by the ``deadline``, are UNKNOWN. Only
    #: with a `Plan`, and not with `Images.stream`.
    verify: bool | float


class Stream:
    """A run that yields its outcomes one by one, in the order in which the steps end.

    ::

        async with session.images.stream(plan, limit=16) as outcomes:
            async for outcome in outcomes:
                print(outcome.step, outcome.status)
        outcomes.report.raise_for_errors()

    Made by `Images.stream`. Nothing is sent before the ``async with``, and a stream runs once. A
    slow consumer slows the run down: at most ``limit`` outcomes are queued, besides those of the
    steps in progress.

    If you leave the block early (with ``break``, ``return`` or an exception), or call `stop`, no
    new step starts. Requests in flight end, and are in the report. Cancelling also cancels requests
    in flight, and ends when every step is accounted for. Cancelling again does not shorten that.
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
        """Prepare a run.

        Args:
            steps: A `Plan`, or any iterable or async iterable of `Step`. For an iterable, the
                report keeps the outcomes that are not DONE or UNCHANGED, and counts all. Generators
                are closed at the end.
            perform: Carries out one step.
            session_limit: Requests that the session may have in flight.
            current_limit: Gives the present in-flight limit of the session, for `Progress.limit`.
            rest: Sleeps for a number of seconds, but only while the session is open.
            is_closed: Whether the session is closed.
            check: Gives those outcomes for which a listing within a number of seconds shows more.
            longest_wait: Seconds that a single call waits by itself before it tries again.
            clock: Time and chance.
            tell: Called with the events of the run and its steps; see `aioe2e.events`.
            options: See `RunOptions`.

        Raises:
            UsageError: An argument is invalid.
        """
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
        """The outcomes so far. When the run is over, those of all steps, however it ended."""
        return self._engine.report()

    def stop(self) -> None:
        """Start no new step.

        Requests in flight end, and their outcomes are yielded. Steps that did not start are
        SKIPPED.
        """
        self._engine.stop("the run was stopped")

    async def drain(self) -> Report:
        """Run to the end without yielding outcomes.

        Returns:
            The report. If the run was cancelled, use `report`.

        Raises:
            UsageError: The stream was run before, or the journal belongs to another plan.
            Exception: The iterable of steps raised it. Requests in flight have ended.
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
        stacklevel=_level_of_caller(),
    )


def _level_of_caller() -> int:
    """The ``stacklevel`` with which a warning of the caller points at the user's own line."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and _is_ours(frame):
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(frame: FrameType) -> bool:
    """Whether a frame runs code of this package."""
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] == "aioe2e"
