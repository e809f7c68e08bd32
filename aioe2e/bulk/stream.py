"""Bulk runs: many steps at once, never more than a limit in flight, and a true word on every one of
them.

`Stream` hands out outcomes as they come and slows down with whoever takes them; `Stream.drain` runs
to the end without handing anything over. What a step *does* is not known here: the run is handed a
callable that performs one.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import Final, Literal, Self, cast

from aioe2e import _check
from aioe2e._clock import Clock
from aioe2e.config import Limits
from aioe2e.errors import UsageError

from .engine import CANCELLED, Engine
from .handover import Handover
from .perform import Perform, Performed, RunSettings
from .plan import Plan
from .progress import Meter, Progress
from .report import Outcome, Report
from .source import source_of
from .step import Step

__all__ = ["OnError", "Perform", "Performed", "Progress", "Stream"]

#: What a run does about a failure: go on and report it, or let nothing new start.
OnError = Literal["collect", "stop"]

_ON_ERROR: Final = ("collect", "stop")
_CLOCK: Final = Clock()


class Stream:
    """A run whose outcomes are taken one by one, in the order in which the steps end.

    ::

        async with session.images.stream(plan, limit=16) as outcomes:
            async for outcome in outcomes:
                print(outcome.step, outcome.status)
        outcomes.report.raise_for_errors()

    Nothing happens before the ``async with``; a stream runs once. Whoever takes outcomes slowly
    slows the run down: no more than `limit` of them wait, beside those that come from the steps
    under way.

    Leaving the block early (``break``, ``return``, an exception in it) or `stop` lets nothing new
    start; what is in flight ends and is in the report. A cancellation cancels what is in flight
    too, and comes out when all of it has been accounted for; cancelling again does not cut that
    short.

    Args:
        steps: A `Plan`, or any iterable or async iterable of `Step`, however long. Of an iterable
            the report keeps the outcomes that are not DONE or UNCHANGED, and counts all. Generators
            are closed at the end.
        perform: Carries out one step.
        limit: Steps that may be under way at the same time; 1 or more, or None for `session_limit`.
        session_limit: Requests that the session may have in flight.
        on_error: ``"collect"`` goes on after a failure; after ``"stop"`` nothing new starts once a
            step has ended FAILED or UNKNOWN. A save that is UNKNOWN from an earlier run is no
            reason to stop.
        progress: Called with a `Progress` when something has changed, ten times a second at the
            most, and once at the end. An exception in it is logged once and goes no further.
        deadline: Seconds, above 0, after which what is in flight is cancelled and the run ends;
            None for no limit.
        journal: A file that says at any time what has been sent and what became of it; only with a
            `Plan`. If it cannot be written any more, nothing new starts.
        current_limit: Gives the in-flight limit of the session as it stands now, for
            `Progress.limit`.
        clock: Time and chance.

    Raises:
        UsageError: One of these is not as described.
    """

    def __init__(
        self,
        steps: Plan | Iterable[Step] | AsyncIterable[Step],
        *,
        perform: Perform,
        limit: int | None = None,
        session_limit: int = Limits().in_flight,
        on_error: OnError = "collect",
        progress: Callable[[Progress], object] | None = None,
        deadline: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        current_limit: Callable[[], int] | None = None,
        clock: Clock = _CLOCK,
    ) -> None:
        limit = session_limit if limit is None else limit
        _check_options(limit, on_error, deadline)
        plan = steps if isinstance(steps, Plan) else None
        if journal is not None and plan is None:
            raise UsageError(
                "journal: it needs a Plan; of an iterable nobody knows what is still to come"
            )
        settings = RunSettings(
            perform=perform,
            limit=limit,
            stop_at_failure=on_error == "stop",
            deadline=deadline,
            journal=journal,
            current_limit=current_limit or (lambda: session_limit),
            clock=clock,
        )
        self._limit = limit
        self._engine = Engine(source_of(steps), plan=plan, settings=settings)
        if progress is not None:
            self._engine.meter = Meter(progress, standing=self._engine.standing, clock=clock)
        self._handover = Handover(limit)
        self._state: Literal["new", "running", "left"] = "new"
        self._raised = False

    @property
    def report(self) -> Report:
        """What has come of the steps up to now; of every step once the run is over, however it
        ended."""
        return self._engine.report()

    def stop(self) -> None:
        """Let nothing new start. What is in flight ends and is handed out; what did not start is
        SKIPPED."""
        self._engine.stop("the run was stopped")

    async def drain(self) -> Report:
        """Run to the end and hand nothing over: the cheapest way when only the report is wanted.

        Returns:
            The report. If the run was cancelled, it is still to be had from `report`.

        Raises:
            UsageError: The stream has run before; or the journal belongs to something else.
            Exception: Whatever the iterable of steps raised. What was in flight has ended by then.
        """
        self._begin()
        try:
            await self._engine.join()
        finally:
            self._state = "left"
            self._handover.end()
        self._raise_once()
        return self.report

    async def __aenter__(self) -> Self:
        self._engine.handover = self._handover
        self._begin()
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
            self._engine.cut(CANCELLED)
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
        if (outcome := await self._handover.take()) is not None:
            return outcome
        self._raise_once()
        raise StopAsyncIteration

    def __repr__(self) -> str:
        return f"<Stream {self._state} limit={self._limit}>"

    def _begin(self) -> None:
        if self._state != "new":
            raise UsageError("stream: it runs once; make a new one")
        self._state = "running"
        try:
            self._engine.start()
        except BaseException:
            self._state = "left"
            self._raised = True
            self._handover.end()
            raise

    def _raise_once(self) -> None:
        if self._engine.error is not None and not self._raised:
            self._raised = True
            raise self._engine.error


def _check_options(limit: object, on_error: object, deadline: float | None) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise UsageError(
            f"limit: a whole number of 1 or more is needed, not {_check.quoted(limit)}"
        )
    if on_error not in _ON_ERROR:
        raise UsageError(f'on_error: "collect" or "stop" is needed, not {_check.quoted(on_error)}')
    if deadline is None:
        return
    if not isinstance(cast("object", deadline), int | float) or isinstance(deadline, bool):
        raise UsageError(f"deadline: a number of seconds is needed, not {_check.quoted(deadline)}")
    if not 0 < deadline < math.inf:
        raise UsageError(
            f"deadline: a number of seconds above 0 is needed, not {_check.quoted(deadline)}"
        )
