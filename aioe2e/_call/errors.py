"""The errors of calls that ended in time or doubt: what was tried, what happened last, and what to
do now."""

from __future__ import annotations

from aioe2e._record import Trail
from aioe2e._wire import Request, describe
from aioe2e.errors import DeadlineExceededError, E2EError, OutcomeUnknownError, RateLimitedError


def paused_error(request: Request, left: float) -> RateLimitedError:
    """The session is paused for longer than the call may take; nothing was sent."""
    text = f"{describe(request)}: the server throttled the session, which is paused for {left:.1f} s more"
    return RateLimitedError(text, status=429, retry_after=left, action=request.action)


def late_error(request: Request, last: E2EError | None) -> DeadlineExceededError:
    """The time for the whole call is over; nothing of it was carried out."""
    because = "" if last is None else f" (last: {_said(request, last)})"
    return DeadlineExceededError(f"{describe(request)}: not done in time{because}", last=last)


def unknown_error(
    request: Request, trail: Trail, last: E2EError | None, ended: str
) -> OutcomeUnknownError:
    """A write was sent, and no reply or listing says what became of it.

    Args:
        request: The write.
        trail: What was sent for it.
        last: What the last attempt ended with.
        ended: Why there was no further attempt, if that is worth telling.
    """
    times = "once" if trail.attempts == 1 else f"{trail.attempts} times"
    wanted = f" to {request.name!r}" if request.action == "rename" else ""
    because = "; ".join(
        filter(None, ("" if last is None else f"last: {_said(request, last)}", ended))
    )
    text = (
        f"{describe(request)}{wanted}: sent {times}, and nobody can say whether it was carried out ({because}). "
        f"What to do: {request.advice}."
    )
    error = OutcomeUnknownError(
        text, action=request.action, target=request.target, attempts=trail.attempts, last=last
    )
    for note in getattr(last, "__notes__", ()):
        error.add_note(note)
    return error


def _said(request: Request, error: E2EError) -> str:
    return str(error).removeprefix(f"{describe(request)}: ")
