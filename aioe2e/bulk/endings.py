"""What the end of a call means for its step: no loop here.

The statuses are promises: SKIPPED was never sent, FAILED was not applied, and what may have been
applied is UNKNOWN, however the call ended.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import attrs

from aioe2e._actions import ACTIONS
from aioe2e._record import CallRecord
from aioe2e.errors import (
    ConfigError,
    DeadlineExceededError,
    E2EError,
    GuardError,
    OutcomeUnknownError,
    RateLimitedError,
    SessionError,
    SkippedError,
    extended,
    is_passing,
)
from aioe2e.models import Action, ActionResult, SaveAction

from .step import Ending, Status, Step

__all__ = [
    "FirstHalf",
    "in_halves",
    "of_cancelled",
    "of_error",
    "of_predecessor",
    "of_second_half",
    "of_tries",
    "skipped",
    "still_open",
]


class FirstHalf(NamedTuple):
    """What is known of a step of which the first half is done, and not the second."""

    #: Requests sent for it.
    attempts: int
    #: Loop time at which it began.
    began: float


#: Errors that mean, when no request had been sent, that the step was not tried at all.
_NOT_TRIED: Final = (
    RateLimitedError,
    DeadlineExceededError,
    SessionError,
    ConfigError,
    GuardError,
)


def skipped(reason: str) -> Ending:
    """The ending of a step that was not sent."""
    return Ending(Status.SKIPPED, None, SkippedError(reason))


def of_error(
    record: CallRecord, error: E2EError, *, too_late: str = "", longest_wait: float = math.inf
) -> Ending:
    """The ending of a call that raised an error of the library.

    Args:
        record: The record of the call.
        error: What it raised.
        too_late: Why nothing more may be sent, if the run had come to its end by then.
        longest_wait: Seconds that a single call waits by itself before it tries again.
    """
    attempts = max(record.attempts, error.attempts)
    if isinstance(error, OutcomeUnknownError):
        return Ending(Status.UNKNOWN, None, bare(error), attempts)
    if isinstance(error, SkippedError):  # the journal: it is asked before anything is sent
        return Ending(Status.SKIPPED, None, bare(error))
    if too_late and not record.sent and is_passing(error):
        return skipped(too_late)
    wait = _budget_wait(error, attempts, longest_wait)
    if attempts == 0 and isinstance(error, _NOT_TRIED):
        return Ending(Status.SKIPPED, None, SkippedError(str(error)), wait=wait)
    return Ending(Status.FAILED, None, bare(error), attempts, wait=wait)


def _budget_wait(error: E2EError, attempts: int, longest_wait: float) -> float | None:
    """How long the server wants to be left alone, if that is more than a single call waits."""
    if not isinstance(error, RateLimitedError) or error.retry_after is None:
        return None
    is_too_long_for_a_call = attempts == 0 or error.retry_after > longest_wait
    return error.retry_after if is_too_long_for_a_call else None


def of_cancelled(step: Step, record: CallRecord, reason: str) -> Ending:
    """The ending of a call that a cancellation or an unforeseen exception ended."""
    if record.done:
        return Ending(Status.DONE, _result(step), None, record.attempts)
    if record.open:
        what = f"the {step.action.value} of {step.target} had been sent and may have been applied"
        return _unknown(step, f"{reason}; {what}", record.attempts, record.last)
    if record.attempts and record.last is not None:
        return Ending(Status.FAILED, None, bare(record.last), record.attempts)
    return skipped(reason)


def _result(step: Step) -> SaveAction | ActionResult:
    """What is known of a write that was carried out, where nothing else came through."""
    if step.action is Action.SAVE:
        return SaveAction(node_id=step.target, name=str(step.name))
    return ActionResult()


def still_open(step: Step) -> Ending:
    """The ending of a save that an earlier run had sent: it is not sent again."""
    text = f"an earlier run had sent the save of {step.target}, and it may have been carried out"
    return _unknown(step, text, 0, None)


def _unknown(step: Step, text: str, attempts: int, last: E2EError | None) -> Ending:
    error = OutcomeUnknownError(
        f"{text}; {ACTIONS[step.action].advice_in_run}",
        action=step.action.value,
        target=step.target,
        attempts=attempts,
        last=None if last is None else bare(last),
    )
    return Ending(Status.UNKNOWN, None, error, attempts)


def of_predecessor(cause: Step) -> Ending:
    """The ending of a step that had to wait for another, which did not end well."""
    return skipped(f"step {cause.index} ({cause}) had to be done before it and was not")


def of_second_half(step: Step, ending: Ending, attempts: int) -> Ending:
    """The ending of a step whose first half is done, and whose second half ended like this.

    Args:
        step: The whole step; its `via` is the name that the image carries now.
        ending: How the second half ended; SKIPPED if it never began.
        attempts: The requests of the first half.
    """
    if ending.error is None:
        return Ending(ending.status, ending.result, None, ending.attempts + attempts)
    status, or_done = Status.FAILED, ""
    if ending.status is Status.UNKNOWN:
        status, or_done = Status.UNKNOWN, f" or already {step.name!r}"
    carries = f"; the image carries the temporary name {step.via!r}{or_done}"
    error = extended(ending.error, carries)
    return Ending(status, None, error, ending.attempts + attempts, halfway=True)


def of_tries(refused: Ending | None, latest: Ending) -> Ending:
    """The ending of a step that was tried again each time that the request budget came back.

    Args:
        refused: That of the tries before; None where there was none.
        latest: That of the latest try. If it was not sent any more, the step was still sent before.
    """
    if refused is None:
        return latest
    attempts = refused.attempts + latest.attempts
    decisive = latest
    if latest.status is Status.SKIPPED and refused.attempts:
        decisive = refused
    return Ending(
        decisive.status, decisive.result, decisive.error, attempts, decisive.halfway, latest.wait
    )


def in_halves(step: Step) -> tuple[Step, Step]:
    """The two renames of a step with a temporary name."""
    first = attrs.evolve(step, name=step.via, via=None, after=())
    return first, attrs.evolve(step, previous=step.via, via=None, after=(), open=False)


def bare(error: E2EError) -> E2EError:
    """The error without its traceback, and so are those it grew from.

    A report may hold a hundred thousand errors, and a traceback keeps all that the frames of a call
    held.
    """
    found: E2EError | None = error
    while found is not None:
        found.__traceback__ = None
        found.__context__ = None
        found = getattr(found, "last", None)
    return error
