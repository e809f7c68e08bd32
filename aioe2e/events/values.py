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
    """A call has begun, and waits for its first turn and slot."""

    #: The number of the call. All events of a call have the same, and no other call of the process
    #: has it.
    call_id: int
    #: ``"list"``, ``"save"``, ``"rename"``, ``"delete"`` or ``"request"``.
    action: str
    #: The id of the image or node, or the path; empty for a listing.
    target: str
    #: When it began, in seconds since 1970.
    started: float


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """A request is about to be sent. It has its slot, and its time has started."""

    #: The number of the call. All events of a call have the same, and no other call of the process
    #: has it.
    call_id: int
    #: ``"list"``, ``"save"``, ``"rename"``, ``"delete"`` or ``"request"``.
    action: str
    #: The id of the image or node, or the path; empty for a listing.
    target: str
    #: The HTTP method.
    method: str
    #: The path below the base URL, without the query.
    path: str
    #: The path with a name instead of the id, such as ``"images/{image_id}/"``; None if it is
    #: unknown, as for `Session.request`.
    route: str | None
    #: The whole URL, without the query.
    url: str
    #: The host of the base URL.
    server: str
    #: The port of the base URL.
    port: int
    #: The number of the attempt, from 1. A request with another method after a 405, or with a new
    #: token after a 401, belongs to the same attempt.
    attempt: int
    #: When it is sent, in seconds since 1970.
    started: float


@attrs.frozen(kw_only=True)
class AttemptEvent:
    """A request has ended."""

    #: The number of the call. All events of a call have the same, and no other call of the process
    #: has it.
    call_id: int
    #: ``"list"``, ``"save"``, ``"rename"``, ``"delete"`` or ``"request"``.
    action: str
    #: The id of the image or node, or the path; empty for a listing.
    target: str
    #: The HTTP method.
    method: str
    #: The path below the base URL, without the query.
    path: str
    #: The path with a name instead of the id, such as ``"images/{image_id}/"``; None if it is
    #: unknown, as for `Session.request`.
    route: str | None
    #: The whole URL, without the query.
    url: str
    #: The host of the base URL.
    server: str
    #: The port of the base URL.
    port: int
    #: The number of the attempt, from 1.
    attempt: int
    #: The HTTP status; None if no reply was read.
    status: int | None
    #: What the attempt proves. ``"done"``: it was carried out. ``"refused"``: it was refused.
    #: ``"wait"``: the server was throttled or busy, and did not carry it out. ``"maybe"``: it is
    #: inconclusive, and may have been carried out. ``"not sent"``: it was not sent.
    fate: str
    #: The class of the error; None if there was none. It is ``asyncio.CancelledError`` if the call
    #: was cancelled.
    error: type[BaseException] | None
    #: When it was sent, in seconds since 1970.
    started: float
    #: Seconds from the slot to the end of the reply.
    elapsed: float
    #: Seconds that the server asked to wait; None if it did not.
    retry_after: float | None
    #: The id that the server gave the request (its ``X-Request-Id``); None if it gave none.
    request_id: str | None


@attrs.frozen(kw_only=True)
class RetryScheduled:
    """An attempt failed, and will be repeated."""

    #: The number of the call. All events of a call have the same, and no other call of the process
    #: has it.
    call_id: int
    #: ``"list"``, ``"save"``, ``"rename"``, ``"delete"`` or ``"request"``.
    action: str
    #: The id of the image or node, or the path; empty for a listing.
    target: str
    #: The number of the attempt that failed.
    attempt: int
    #: Seconds until the next attempt is queued.
    delay: float
    #: The reason in a few words that do not depend on the request, such as ``"throttled (429)"``.
    reason: str
    #: The class of the error.
    error: type[E2EError]


@attrs.frozen(kw_only=True)
class CallEvent:
    """A call has ended."""

    #: The number of the call. All events of a call have the same, and no other call of the process
    #: has it.
    call_id: int
    #: ``"list"``, ``"save"``, ``"rename"``, ``"delete"`` or ``"request"``.
    action: str
    #: The id of the image or node, or the path; empty for a listing.
    target: str
    #: ``"done"``, ``"failed"`` (not carried out), ``"unknown"`` (a write that may have been carried
    #: out) or ``"cancelled"``.
    outcome: Literal["done", "failed", "unknown", "cancelled"]
    #: The number of attempts.
    attempts: int
    #: When the call began, in seconds since 1970.
    started: float
    #: Seconds from the beginning to the end, including all waiting.
    elapsed: float
    #: Whether the call checked the listing because its replies were inconclusive.
    asked_listing: bool
    #: The class of the error that was raised; None if there was none.
    error: type[BaseException] | None


@attrs.frozen(kw_only=True)
class PauseEvent:
    """The server throttled the session, which sends nothing for a while."""

    #: The length of the pause from now on, in seconds.
    seconds: float
    #: The number of requests that the session allows itself in flight afterwards.
    limit: int


@attrs.frozen(kw_only=True)
class LimitEvent:
    """The session changed the number of requests that it allows itself in flight.

    The number is halved with a pause. It grows by one after as many successful requests as are in
    flight, up to `Limits.in_flight`.
    """

    #: The new limit.
    limit: int
    #: The limit before.
    previous: int


@attrs.frozen(kw_only=True)
class LimiterEvent:
    """The session's `Limiter` gave a turn, or failed."""

    #: Seconds that the session waited for the turn.
    waited: float
    #: The limiter's ``mode``: ``"shared"`` or ``"local"`` for `aioe2e.fleet.RedisLimiter`. Empty if
    #: the limiter has none.
    mode: str
    #: The class of the exception that it raised; None if it gave the turn.
    error: type[BaseException] | None


@attrs.frozen(kw_only=True)
class StepEvent:
    """A step of a run has its outcome."""

    #: The number of the run. All events of a run have the same, and no other run of the process has
    #: it.
    run_id: int
    #: The index of the step in its plan or stream.
    index: int
    #: ``"save"``, ``"rename"`` or ``"delete"``.
    action: str
    #: The id of the image or node.
    target: str
    #: The value of a `Status`, such as ``"done"``.
    status: str
    #: The number of requests that were sent for it.
    attempts: int
    #: Seconds from the time when its first request was wanted to its end.
    elapsed: float
    #: The class of the error; None if there was none.
    error: type[E2EError] | None


RunState = Literal["started", "outage", "recovered", "ended"]


@attrs.frozen(kw_only=True)
class RunEvent:
    """A run started, met an outage, recovered, or ended."""

    #: The number of the run. All events of a run have the same, and no other run of the process has
    #: it.
    run_id: int
    #: ``"started"``, ``"outage"``, ``"recovered"`` or ``"ended"``. An outage is as many consecutive
    #: transient errors as steps may be in progress; the run then sends one step at a time.
    state: RunState
    #: The number of steps; None for a stream, whose length is unknown.
    total: int | None
    #: The number of steps with each status.
    counts: Mapping[str, int]
    #: Seconds since the run started.
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
