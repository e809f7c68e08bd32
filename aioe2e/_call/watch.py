"""What hooks and logs are told of a call."""

from __future__ import annotations

import asyncio
import itertools
import logging
from types import TracebackType
from typing import Any, Final, Literal, Self

from aioe2e import events
from aioe2e._actions import ACTIONS
from aioe2e._http import InFlight
from aioe2e._record import CallRecord
from aioe2e._text import shorten
from aioe2e._wire import Fate, RawReply, Request, Verdict, describe
from aioe2e.errors import (
    APIError,
    AttemptTimeoutError,
    ConnectError,
    E2EError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    ServerError,
    TransportError,
)

from .channel import Channel, log

#: Numbers for the calls of this process.
_numbers: Final = itertools.count(1)

#: Of an id that a server gives a request.
_LONGEST_REQUEST_ID: Final = 128

#: The path with the name of its id, by the path that a request is made from.
_ROUTES: Final = {
    row.path: row.path.format("{node_id}" if row.of_node else "{image_id}")
    for row in ACTIONS.values()
}

#: Why an attempt failed, in words that do not depend on the request; the first that fits.
_REASONS: Final = (
    (RateLimitedError, "throttled"),
    (ServerError, "server error"),
    (ConnectError, "no connection"),
    (AttemptTimeoutError, "timed out"),
    (ResponseError, "unreadable reply"),
    (TransportError, "connection lost"),
    (APIError, "refused"),  # retried only where an earlier attempt may have been carried out
    (E2EError, "failed"),
)

#: What an attempt proves, for people.
_PROVES: Final = {
    Fate.DONE: "done",
    Fate.REFUSED: "refused",
    Fate.WAIT: "not carried out",
    Fate.MAYBE: "it may have been carried out",
    Fate.NOT_SENT: "not sent",
}


def next_number() -> int:
    """A number for a call."""
    return next(_numbers)


def reason_of(verdict: Verdict) -> str:
    """Why an attempt failed, such as ``"throttled (429)"``."""
    words = next((words for kind, words in _REASONS if isinstance(verdict.error, kind)), "failed")
    return words if verdict.http_status is None else f"{words} ({verdict.http_status})"


class CallWatch:
    """Tells the hooks of one call; made only where there are hooks.

    Used as a context: entering tells that the call has begun, leaving tells how it ended.
    """

    def __init__(self, channel: Channel, request: Request, record: CallRecord, number: int) -> None:
        self._channel = channel
        self._record = record
        self._whose: dict[str, Any] = {
            "call_id": number,
            "action": request.action,
            "target": request.target,
        }
        self._attempt: dict[str, Any] | None = None
        self._flight: InFlight | None = None
        #: Whether a listing was read to learn how a write ended.
        self.asked_listing: bool = False

    def __enter__(self) -> Self:
        clock = self._channel.clock
        self._began = clock.now()
        self._started = clock.wall()
        self._channel.emit(events.CallStarted(**self._whose, started=self._started))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._flight is not None:
            fate = Fate.MAYBE if self._flight.sent else Fate.NOT_SENT
            self._tell_attempt(fate, kind)
        self._channel.emit(
            events.CallEvent(
                **self._whose,
                outcome=self._outcome(error),
                attempts=self._record.attempts,
                started=self._started,
                elapsed=self._channel.clock.now() - self._began,
                asked_listing=self.asked_listing,
                error=kind,
            )
        )

    def _outcome(
        self, error: BaseException | None
    ) -> Literal["done", "failed", "unknown", "cancelled"]:
        if error is None:
            return "done"
        if isinstance(error, OutcomeUnknownError) or self._record.open:
            return "unknown"
        return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"

    def attempt_started(self, request: Request, flight: InFlight) -> None:
        """A request is about to be sent."""
        channel = self._channel
        server, port = channel.server
        self._flight = flight
        self._sent_at = channel.clock.now()
        self._attempt = {
            **self._whose,
            "method": request.method,
            "path": request.path,
            "route": request.path if request.lists else _ROUTES.get(request.route),
            "url": channel.settings.base + request.path,
            "server": server,
            "port": port,
            "attempt": self._record.attempts,
            "started": channel.clock.wall(),
        }
        channel.emit(events.AttemptStarted(**self._attempt))

    def attempt_ended(self, verdict: Verdict, reply: RawReply | None) -> None:
        """A request has ended."""
        error = None if verdict.error is None else type(verdict.error)
        self._tell_attempt(
            verdict.fate,
            error,
            status=verdict.http_status,
            retry_after=verdict.retry_after,
            request_id=None if reply is None else self._request_id(reply),
        )

    def _tell_attempt(
        self,
        fate: Fate,
        error: type[BaseException] | None,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        assert self._attempt is not None
        self._flight = None
        self._channel.emit(
            events.AttemptEvent(
                **self._attempt,
                status=status,
                fate=fate.value,
                error=error,
                elapsed=self._channel.clock.now() - self._sent_at,
                retry_after=retry_after,
                request_id=request_id,
            )
        )

    def _request_id(self, reply: RawReply) -> str | None:
        values = reply.headers.get("x-request-id")
        if not values:
            return None
        return shorten(self._channel.redactor.clean(values[0]), _LONGEST_REQUEST_ID)

    def retry_scheduled(self, verdict: Verdict, delay: float) -> None:
        """There will be another attempt."""
        assert verdict.error is not None
        self._channel.emit(
            events.RetryScheduled(
                **self._whose,
                attempt=self._record.attempts,
                delay=delay,
                reason=reason_of(verdict),
                error=type(verdict.error),
            )
        )


def _fields(request: Request, number: int, attempt: int) -> dict[str, object]:
    """What every line about a call has for formatters that write fields."""
    return {
        "call_id": number,
        "action": request.action,
        "target": request.target,
        "attempt": attempt,
    }


def log_attempt(
    request: Request, number: int, attempt: int, verdict: Verdict, elapsed: float
) -> None:
    """One line for each request, if anybody wants them."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    cause = "" if verdict.error is None else type(verdict.error).__name__
    status = "no reply" if verdict.http_status is None else str(verdict.http_status)
    log.debug(
        "%s %s: %s, %s%s, %.3f s",
        request.method,
        request.path,
        status,
        _PROVES[verdict.fate],
        cause and f" ({cause})",
        elapsed,
        extra={
            **_fields(request, number, attempt),
            "method": request.method,
            "path": request.path,
            "status": verdict.http_status,
            "fate": verdict.fate.value,
            "cause": cause or None,
            "elapsed": elapsed,
            "retry_after": verdict.retry_after,
        },
    )


def log_retry(request: Request, number: int, attempt: int, verdict: Verdict, delay: float) -> None:
    """One line for each attempt that failed and is followed by another."""
    reason = reason_of(verdict)
    log.info(
        "%s: attempt %d failed: %s; the next in %.2f s",
        describe(request),
        attempt,
        reason,
        delay,
        extra={
            **_fields(request, number, attempt),
            "reason": reason,
            "delay": delay,
            "status": verdict.http_status,
            "cause": type(verdict.error).__name__,
        },
    )


def log_unknown(request: Request, number: int, error: OutcomeUnknownError) -> None:
    """A write may have been carried out: a person should look."""
    log.warning(
        "%s",
        str(error),  # a record that is kept must not keep the error's frames
        extra={
            **_fields(request, number, error.attempts),
            "outcome": "unknown",
            "cause": None if error.last is None else type(error.last).__name__,
        },
    )
