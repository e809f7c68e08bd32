"""How far a run has got, told to a callback, to hooks and to the log."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

import attrs

from aioe2e import _check, events
from aioe2e._clock import Clock
from aioe2e._plain import (
    Reader,
    Value,
    as_json,
    checked_fields,
    instant,
    number,
    optional,
    whole,
    yes_or_no,
)
from aioe2e.errors import E2EError, OutcomeUnknownError

from .report import Outcome
from .step import Status

__all__ = ["Meter", "Progress", "RunWatch", "Standing"]

_log = logging.getLogger("aioe2e.bulk")

#: Seconds between two calls of a callback, at the least.
_INTERVAL: Final = 0.1
#: Numbers for the runs of this process.
_numbers: Final = itertools.count(1)
#: Seconds that a rate looks back.
_WINDOW: Final = 10.0


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Progress(Value):
    """How far a run has got. It is the argument of the ``progress`` callback."""

    #: The number of steps; None if they come from an iterable of unknown length.
    total: int | None
    #: Steps that have ended, successfully or not. Skipped steps are not counted.
    finished: int
    #: Finished steps that are FAILED or UNKNOWN.
    failed: int
    #: Steps that are in progress now.
    in_flight: int
    #: Steps that may be in progress now. It is the limit of the run, or that of a throttled session
    #: if that is lower.
    limit: int
    #: Steps finished per second, over the last ten seconds.
    rate: float
    #: Whether the run is waiting, because of repeated transient errors or because the request
    #: budget is used up.
    paused: bool = False
    #: Estimated seconds until the end at this rate; None if it is unknown.
    eta: float | None = None
    #: When a run that waits for the request budget resumes, in UTC; else None.
    paused_until: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the value as ``json.dumps`` takes it."""
        return {name: as_json(getattr(self, name)) for name in _STORED}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a value from the result of `to_dict`. It is equal to the original.

        Args:
            data: The result of `to_dict`.

        Raises:
            UsageError: It is damaged.
        """
        required = [name for name in _STORED if name not in ("paused", "eta", "paused_until")]
        return cls(**checked_fields("a stored progress", data, _STORED, required=required))


#: How the fields of a stored `Progress` are read.
_STORED: Final[Mapping[str, Reader]] = {
    "total": optional(whole),
    "finished": whole,
    "failed": whole,
    "in_flight": whole,
    "limit": whole,
    "rate": number,
    "paused": yes_or_no,
    "eta": optional(number),
    "paused_until": optional(instant),
}


class Standing(NamedTuple):
    """The part of a `Progress` that the engine counts; the rest follows from it and the time."""

    total: int | None
    finished: int
    failed: int
    in_flight: int
    limit: int
    paused: bool
    #: Loop time.
    paused_until: float | None = None


class Meter:
    """Calls back with a `Progress` when something has changed, at most ten times a second.

    It calls once more at the end. A timer drives it, not the end of each step, so that it costs a
    fast run nothing, and a slow one still shows what is under way.

    Args:
        callback: What is called. An exception in it is logged, the first time, and goes no further.
        standing: Gives the counts of now.
        clock: Where the time is read.

    Raises:
        UsageError: The callback is no plain callable.
    """

    def __init__(
        self,
        callback: Callable[[Progress], object],
        *,
        standing: Callable[[], Standing],
        clock: Clock,
    ) -> None:
        _check.require_callable("progress", callback, "print")
        self._callback = callback
        self._standing = standing
        self._clock = clock
        self._shown: Standing | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._logged = False

    def start(self) -> None:
        """Start the timer."""
        self._samples.append((self._clock.now(), 0))
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._look)

    def end(self) -> None:
        """Call back once more, and never again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._tell(self._standing())

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._look)
        if (standing := self._standing()) != self._shown:
            self._tell(standing)

    def _tell(self, standing: Standing) -> None:
        self._shown = standing
        rate = self._rate(standing.finished)
        progress = Progress(
            total=standing.total,
            finished=standing.finished,
            failed=standing.failed,
            in_flight=standing.in_flight,
            limit=standing.limit,
            rate=rate,
            paused=standing.paused,
            eta=_eta(standing, rate),
            paused_until=self._instant(standing.paused_until),
        )
        try:
            self._callback(progress)
        except Exception:  # noqa: BLE001  # the user's own; it is logged below
            if not self._logged:
                self._logged = True
                _log.exception("the progress callback raised; the run goes on")

    def _instant(self, moment: float | None) -> datetime | None:
        """A loop time as an instant."""
        if moment is None:
            return None
        left = moment - self._clock.now()
        return datetime.fromtimestamp(self._clock.wall() + left, UTC)

    def _rate(self, finished: int) -> float:
        now = self._clock.now()
        samples = self._samples
        samples.append((now, finished))
        # The oldest sample kept is the last one from before the window, so that a stall is seen as
        # one.
        while len(samples) > 2 and samples[1][0] <= now - _WINDOW:
            samples.popleft()
        since, before = samples[0]
        return (finished - before) / (now - since) if now > since else 0.0


def _eta(standing: Standing, rate: float) -> float | None:
    if standing.total is None or standing.paused:
        return None
    if left := standing.total - standing.finished:
        return left / rate if rate > 0 else None
    return 0.0


class RunWatch:
    """What hooks and the log are told of a run.

    Args:
        tell: Tells the hooks; None where there are none.
        counts: How many steps have each status by now.
    """

    def __init__(
        self,
        tell: Callable[[events.Event], None] | None,
        counts: Callable[[], Mapping[Status, int]],
    ) -> None:
        self._tell = tell
        self._counts = counts
        self._total: int | None = None
        self._number = 0

    def started(self, total: int | None) -> None:
        """The run begins; `total` is None where the number of steps is not known."""
        self._number = next(_numbers)
        self._total = total
        self._tell_run("started", 0.0)

    def outage(self, row: int, error: E2EError, elapsed: float) -> None:
        """So many steps in a row failed with a transient error: the run slows down."""
        last = error.last if isinstance(error, OutcomeUnknownError) else None
        cause = type(last or error).__name__
        _log.warning(
            "run %d: %s failed (with %s): from now on one step at a time, until the server answers",
            self._number,
            "a step" if row == 1 else f"{row} steps in a row",
            cause,
            extra={"run_id": self._number, "cause": cause, "elapsed": elapsed},
        )
        self._tell_run("outage", elapsed)

    def out_of_budget(self, seconds: float) -> None:
        """The request budget is used up: the run waits for so many seconds."""
        _log.warning(
            "run %d: the request budget is used up: it goes on in %.0f s",
            self._number,
            seconds,
            extra={"run_id": self._number, "retry_after": seconds},
        )

    def recovered(self, elapsed: float) -> None:
        """The server answers again."""
        _log.warning(
            "run %d: the server answers again",
            self._number,
            extra={"run_id": self._number, "elapsed": elapsed},
        )
        self._tell_run("recovered", elapsed)

    def step_ended(self, outcome: Outcome) -> None:
        """A step has its outcome."""
        step, error = outcome.step, outcome.error
        if error is not None and outcome.status is Status.FAILED:
            _log.info(
                "run %d: step %s failed: %s",
                self._number,
                step.index,
                error,
                extra={
                    "run_id": self._number,
                    "step": step.index,
                    "action": step.action.value,
                    "target": step.target,
                    "cause": type(error).__name__,
                },
            )
        if self._tell is not None:
            assert step.index is not None
            self._tell(
                events.StepEvent(
                    run_id=self._number,
                    index=step.index,
                    action=step.action.value,
                    target=step.target,
                    status=outcome.status.value,
                    attempts=outcome.attempts,
                    elapsed=outcome.elapsed,
                    error=None if error is None else type(error),
                )
            )

    def ended(self, elapsed: float) -> None:
        """Every step has its outcome."""
        if not self._number:  # it never began
            return
        counts = {status.value: count for status, count in self._counts().items() if count}
        _log.info(
            "run %d: ended after %.1f s: %s",
            self._number,
            elapsed,
            ", ".join(f"{count} {status}" for status, count in counts.items()) or "no steps",
            extra={"run_id": self._number, "elapsed": elapsed, "counts": counts},
        )
        self._tell_run("ended", elapsed)

    def _tell_run(self, state: events.RunState, elapsed: float) -> None:
        if self._tell is not None:
            counts = {status.value: count for status, count in self._counts().items()}
            self._tell(
                events.RunEvent(
                    run_id=self._number,
                    state=state,
                    total=self._total,
                    counts=counts,
                    elapsed=elapsed,
                )
            )
