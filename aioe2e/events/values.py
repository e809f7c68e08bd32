"""The events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from aioe2e.errors import E2EError

__all__ = [
    "AttemptEvent",
    "AttemptStarted",
    "CallEvent",
    "CallStarted",
    "Event",
    "LimitEvent",
    "LimiterEvent",
    "PauseEvent",
    "RetryScheduled",
    "RunEvent",
    "RunState",
    "StepEvent",
]


@attrs.frozen(kw_only=True)
class CallStarted:
    """A call has begun: it waits for its first turn and slot now."""

    #: The same in all events of the call; no other call of the process has it.
    call_id: int
    #: ``"list"``, ``"save"``, ``"rename"``, ``"delete"`` or ``"request"``.
    action: str
    #: The id of the image or node, or the path; empty for a listing.
    target: str
    #: When, in seconds since 1970.
    started: float


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """A request is about to be sent: its slot is held, and its clock runs."""

    call_id: int
    action: str
    target: str
    #: The HTTP method.
    method: str
    #: The path below the base URL, without the query.
    path: str
    #: The path with a name instead of the id, such as ``"images/{image_id}/"``; None where it is
    #: not known, as for `Session.request`.
    route: str | None
    #: The whole URL, without the query.
    url: str
    #: The host and the port of the base URL.
    server: str
    port: int
    #: 1 for the first attempt of a call. The other method after a 405, and a new token after a 401,
    #: are the same attempt.
    attempt: int
    #: When, in seconds since 1970.
    started: float


@attrs.frozen(kw_only=True)
class AttemptEvent:
    """One request has ended."""

    call_id: int
    action: str
    target: str
    #: The HTTP method that was used.
    method: str
    #: The path below the base URL, without the query.
    path: str
    #: As in `AttemptStarted`.
    route: str | None
    url: str
    server: str
    port: int
    #: 1 for the first attempt of a call.
    attempt: int
    #: The HTTP status; None when no reply was read.
    status: int | None
    #: What it proves: ``"done"``, ``"refused"``, ``"wait"`` (throttled or busy: not carried
    #: out), ``"maybe"`` (it may have been carried out) or ``"not sent"``.
    fate: str
    #: The class of the error; None when it is done. `asyncio.CancelledError` where the call was
    #: cancelled under it.
    error: type[BaseException] | None
    #: When it was sent, in seconds since 1970.
    started: float
    #: Seconds from the slot to the end of the reply.
    elapsed: float
    #: How many seconds the server asked to be left alone; None when it did not.
    retry_after: float | None
    #: What the server calls the request (its ``X-Request-Id``); None when it does not say.
    request_id: str | None


@attrs.frozen(kw_only=True)
class RetryScheduled:
    """An attempt failed, and there will be another."""

    call_id: int
    action: str
    target: str
    #: The attempt that failed.
    attempt: int
    #: Seconds until the next one may stand in line.
    delay: float
    #: Why, in a few words that do not depend on the request, such as ``"throttled (429)"``.
    reason: str
    #: The class of the error.
    error: type[E2EError]


@attrs.frozen(kw_only=True)
class CallEvent:
    """A call has ended."""

    call_id: int
    action: str
    target: str
    #: ``"done"``, ``"failed"`` (not carried out), ``"unknown"`` (a write that may have been carried
    #: out) or ``"cancelled"``.
    outcome: Literal["done", "failed", "unknown", "cancelled"]
    #: How many attempts were made.
    attempts: int
    #: When the call began, in seconds since 1970.
    started: float
    #: Seconds from the beginning to the end, with all waiting.
    elapsed: float
    #: Whether replies did not tell, so that a listing was asked.
    asked_listing: bool
    #: The class of the error that was raised; None when there was none.
    error: type[BaseException] | None


@attrs.frozen(kw_only=True)
class PauseEvent:
    """The server throttled the session: nothing is sent for that many seconds."""

    #: How long the pause is from now on.
    seconds: float
    #: Requests in flight that the session will allow itself afterwards.
    limit: int


@attrs.frozen(kw_only=True)
class LimitEvent:
    """The session changed how many requests it allows itself in flight.

    The limit halves with a pause, and grows by one after each round without a throttle, up to
    `Limits.in_flight`.
    """

    limit: int
    #: What it was before.
    previous: int


@attrs.frozen(kw_only=True)
class LimiterEvent:
    """The limiter that was given to the session gave a turn, or failed."""

    #: Seconds that the turn was waited for.
    waited: float
    #: What the limiter says of itself; of `aioe2e.fleet.RedisLimiter` ``"shared"``, or ``"local"``
    #: while Redis is away. Empty when it says nothing.
    mode: str
    #: The class of the exception that it raised; None when it gave the turn.
    error: type[BaseException] | None


@attrs.frozen(kw_only=True)
class StepEvent:
    """A step of a run has its outcome."""

    #: The same in all events of the run; no other run of the process has it.
    run_id: int
    #: The step's number in its plan or stream.
    index: int
    action: str
    target: str
    #: A value of `Status`, such as ``"done"``.
    status: str
    attempts: int
    #: Seconds from the step's first request being wanted to its end.
    elapsed: float
    #: The class of the error; None when there was none.
    error: type[E2EError] | None


RunState = Literal["started", "outage", "recovered", "ended"]


@attrs.frozen(kw_only=True)
class RunEvent:
    """A run has begun, was slowed down or is itself again, or has ended."""

    run_id: int
    #: ``"started"``; ``"outage"`` when as many steps in a row as are in flight failed by a fault
    #: that passes, so that it goes one step at a time; ``"recovered"``; ``"ended"``.
    state: RunState
    #: How many steps there are; None for a stream, whose length is not known.
    total: int | None
    #: How many steps have each status.
    counts: Mapping[str, int]
    #: Seconds since it began.
    elapsed: float


Event = (
    CallStarted
    | AttemptStarted
    | AttemptEvent
    | RetryScheduled
    | CallEvent
    | PauseEvent
    | LimitEvent
    | LimiterEvent
    | StepEvent
    | RunEvent
)
