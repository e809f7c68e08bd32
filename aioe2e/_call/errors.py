"""Why a call ended without a result, as a state, and the words and errors made of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from aioe2e._record import CallRecord
from aioe2e._wire import Request, Verdict, describe
from aioe2e.config import RetryPolicy
from aioe2e.errors import (
    DeadlineExceededError,
    E2EError,
    OutcomeUnknownError,
    RateLimitedError,
    SessionError,
)


class Stop(enum.Enum):
    """Why a call makes no further attempt."""

    #: The latest attempt tells all that a further one could.
    DECIDED = enum.auto()
    #: `RetryPolicy.attempts` were made.
    ATTEMPTS = enum.auto()
    #: The server asks for a longer wait than `RetryPolicy.max_retry_after`.
    LONG_WAIT = enum.auto()
    #: The call would be over before the next attempt could begin.
    NO_TIME = enum.auto()
    #: The session has no retries left.
    NO_BUDGET = enum.auto()
    #: The session was closed.
    CLOSED = enum.auto()
    #: The session sends nothing for longer than the call may take.
    PAUSED = enum.auto()
    #: The time for the call was over before it got a slot.
    NO_SLOT = enum.auto()
    #: The user's limiter does not work.
    LIMITER = enum.auto()


#: The words for each. They are words for people: nothing is decided by them.
STOP_TEXTS: Mapping[Stop, str] = {
    Stop.DECIDED: "",
    Stop.ATTEMPTS: "given up after {attempts}",
    Stop.LONG_WAIT: "the server asks for {wait:.0f} s, more than max_retry_after",
    Stop.NO_TIME: "no time is left for another attempt",
    Stop.NO_BUDGET: "the session's retry budget is empty",
    Stop.CLOSED: "",
    Stop.PAUSED: "the session is paused for longer than the call may take",
    Stop.NO_SLOT: "the time is over",
    Stop.LIMITER: "",
}


def stop_text(stop: Stop, policy: RetryPolicy, verdict: Verdict) -> str:
    """Why a call made no further attempt, in words; empty where its error says so.

    Args:
        stop: The reason.
        policy: Of the call.
        verdict: On its latest attempt.
    """
    attempts = "one attempt" if policy.attempts == 1 else f"{policy.attempts} attempts"
    return STOP_TEXTS[stop].format(attempts=attempts, wait=verdict.retry_after or 0.0)


def closed_error() -> SessionError:
    """The session was closed while the call was under way."""
    return SessionError("the session was closed while the call was under way")


def paused_error(request: Request, left: float) -> RateLimitedError:
    """The session is paused for longer than the call may take; nothing was sent."""
    return RateLimitedError(
        f"the server throttled the session, which is paused for {left:.1f} s more",
        subject=describe(request),
        status=429,
        retry_after=left,
        action=request.action,
    )


def late_error(
    request: Request, last: E2EError | None, *, attempts: int = 0
) -> DeadlineExceededError:
    """The time for the whole call is over; nothing of it was carried out."""
    because = ""
    if last is not None:
        because = f" (last: {last.detail})"
    return DeadlineExceededError(
        f"not done in time{because}", subject=describe(request), attempts=attempts, last=last
    )


def unknown_error(
    request: Request, record: CallRecord, last: E2EError | None, why: str, *, looked: bool
) -> OutcomeUnknownError:
    """A write was sent, and no reply or listing tells whether it was carried out.

    Args:
        request: The write.
        record: What was sent for it.
        last: What the last attempt ended with.
        why: Why there was no further attempt, if that is worth telling.
        looked: Whether listings were read for as long as the policy says.
    """
    sent = f"sent {record.attempts} times"
    if record.attempts == 1:
        sent = "sent once"
    if record.attempts == 0:
        sent = "sent by an earlier run and not sent again"
    reasons: list[str] = []
    if last is not None:
        reasons.append(f"last: {last.detail}")
    if why:
        reasons.append(why)
    subject = describe(request)
    if request.name_word:
        subject += f" {request.name_word} {request.name!r}"
    error = OutcomeUnknownError(
        f"{sent}, and it is not known whether it was carried out ({'; '.join(reasons)}). "
        f"What to do: {request.advice}.",
        subject=subject,
        action=request.action,
        target=request.target,
        attempts=record.attempts,
        last=last,
        looked=looked,
    )
    for note in getattr(last, "__notes__", ()):
        error.add_note(note)
    return error
