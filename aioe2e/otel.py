"""Spans and metrics of a session for OpenTelemetry.

Needs the extra ``otel`` (``pip install '.[otel]'`` in a clone)::

    hook = OpenTelemetryHook()
    async with aioe2e.Session.from_env(hooks=[hook]) as session:
        ...

Only ``opentelemetry-api`` is needed. The application brings the SDK and its exporters. Names follow
the semantic conventions for HTTP clients if these have one; the others start with ``aioe2e.``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

try:
    from opentelemetry import context, metrics, trace
except ImportError as _missing:
    raise ImportError(
        "aioe2e.otel needs opentelemetry-api 1.30 or later: pip install 'aioe2e[otel]'"
    ) from _missing

from ._version import __version__
from .events import (
    AttemptEvent,
    AttemptStarted,
    CallEvent,
    CallStarted,
    Event,
    LimiterEvent,
    LimitEvent,
    PauseEvent,
    RetryScheduled,
    RunEvent,
    StepEvent,
)

__all__ = ["OpenTelemetryHook"]

#: The buckets that the semantic conventions recommend for the duration of HTTP requests, in
#: seconds.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
#: A call and a turn may wait for much longer than a request takes.
_LONG_BUCKETS: Final = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.27.0"

Attributes = dict[str, str | int | float | bool]


@attrs.define(eq=False)
class _OpenSpan:
    """A span that is the current one of its context."""

    span: trace.Span
    token: Token[context.Context]

    def end(self, moment: float) -> None:
        """End it at a time in seconds since 1970."""
        context.detach(self.token)
        self.span.end(end_time=_nanoseconds(moment))


@attrs.define(eq=False)
class _OpenCall:
    """A call that has begun, and its request that is on its way."""

    call: _OpenSpan
    attempt: _OpenSpan | None = None
    requests: int = 0


class OpenTelemetryHook:
    """A hook of `Session` that makes spans and metrics. One may serve several sessions.

    Each call is an INTERNAL span, a child of the caller's current span. Each of its requests is a
    CLIENT span below that. A span has the URL without the query (``url.full``), which contains an
    id. Metrics contain no ids.

    Args:
        tracer_provider: The provider of tracers; by default the global one.
        meter_provider: The provider of meters; by default the global one.
        targets: Whether the spans of calls have the id of the image or node, as ``aioe2e.target``.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        targets: bool = False,
    ) -> None:
        self._tracer = trace.get_tracer("aioe2e", __version__, tracer_provider, _SCHEMA)
        self._targets = targets
        self._calls: dict[int, _OpenCall] = {}
        meter = metrics.get_meter("aioe2e", __version__, meter_provider, _SCHEMA)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", "{request}", "Number of active HTTP requests."
        )
        self._call_duration = meter.create_histogram(
            "aioe2e.call.duration",
            "s",
            "Duration of calls, with waiting, retries and back-off.",
            explicit_bucket_boundaries_advisory=_LONG_BUCKETS,
        )
        self._attempts = meter.create_counter(
            "aioe2e.attempts", "{attempt}", "Requests that ended, by what they prove."
        )
        self._retries = meter.create_counter(
            "aioe2e.retries", "{retry}", "Retries that were scheduled, by reason."
        )
        self._pauses = meter.create_counter(
            "aioe2e.pauses", "{pause}", "Times that the server throttled a session."
        )
        self._paused = meter.create_counter(
            "aioe2e.pause.duration", "s", "Seconds for which sessions were paused."
        )
        self._limit = meter.create_gauge(
            "aioe2e.limit", "{request}", "Requests that the session allows itself in flight."
        )
        self._turns = meter.create_histogram(
            "aioe2e.limiter.wait",
            "s",
            "Waiting for a turn of the limiter.",
            explicit_bucket_boundaries_advisory=_LONG_BUCKETS,
        )
        self._steps = meter.create_counter("aioe2e.steps", "{step}", "Steps of runs, by status.")
        self._outages = meter.create_counter(
            "aioe2e.outages", "{outage}", "Times that a run slowed down because nothing worked."
        )

        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            CallStarted: self._call_started,
            AttemptStarted: self._attempt_started,
            AttemptEvent: self._attempt_ended,
            RetryScheduled: self._retry_scheduled,
            CallEvent: self._call_ended,
            PauseEvent: self._pause_began,
            LimitEvent: self._limit_changed,
            LimiterEvent: self._turn_ended,
            StepEvent: self._step_ended,
            RunEvent: self._run_changed,
        }

    def __call__(self, event: Event) -> None:
        """Take an event in; called by the session."""
        handle = self._handlers.get(type(event))
        if handle is not None:
            handle(event)

    def _pause_began(self, event: PauseEvent) -> None:
        self._pauses.add(1)
        self._paused.add(event.seconds)
        self._limit.set(event.limit)

    def _limit_changed(self, event: LimitEvent) -> None:
        self._limit.set(event.limit)

    def _step_ended(self, event: StepEvent) -> None:
        self._steps.add(1, {"aioe2e.action": event.action, "aioe2e.status": event.status})

    def _run_changed(self, event: RunEvent) -> None:
        if event.state == "outage":
            self._outages.add(1)

    def _open(
        self, name: str, kind: trace.SpanKind, attributes: Attributes, moment: float
    ) -> _OpenSpan:
        """Begin a span below the current one, and make it the current one."""
        span = self._tracer.start_span(
            name, kind=kind, attributes=attributes, start_time=_nanoseconds(moment)
        )
        return _OpenSpan(span, context.attach(trace.set_span_in_context(span)))

    def _call_started(self, event: CallStarted) -> None:
        attributes: Attributes = {"aioe2e.action": event.action}
        if self._targets and event.target:
            attributes["aioe2e.target"] = event.target
        span = self._open(
            f"aioe2e {event.action}", trace.SpanKind.INTERNAL, attributes, event.started
        )
        self._calls[event.call_id] = _OpenCall(span)

    def _attempt_started(self, event: AttemptStarted) -> None:
        call = self._calls[event.call_id]
        attributes = _of_request(event)
        attributes["url.full"] = event.url
        if call.requests:
            attributes["http.request.resend_count"] = call.requests
        call.requests += 1
        name = event.method if event.route is None else f"{event.method} {event.route}"
        call.attempt = self._open(name, trace.SpanKind.CLIENT, attributes, event.started)
        self._active.add(1, _of_request(event))

    def _attempt_ended(self, event: AttemptEvent) -> None:
        call = self._calls[event.call_id]
        attributes = _of_request(event)
        self._active.add(-1, attributes)
        error_type = _error_type(event)
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if error_type is not None:
            attributes["error.type"] = error_type
        # Recorded while the span is current, so that exemplars point to it.
        self._duration.record(event.elapsed, attributes)
        self._attempts.add(1, {"aioe2e.action": event.action, "aioe2e.fate": event.fate})
        if call.attempt is None:
            return
        span = call.attempt.span
        if event.status is not None:
            span.set_attribute("http.response.status_code", event.status)
        if error_type is not None:
            span.set_attribute("error.type", error_type)
            span.set_status(trace.StatusCode.ERROR)
        span.set_attribute("aioe2e.fate", event.fate)
        if event.retry_after is not None:
            span.set_attribute("aioe2e.retry_after", event.retry_after)
        if event.request_id is not None:
            span.set_attribute("aioe2e.request_id", event.request_id)
        call.attempt.end(event.started + event.elapsed)
        call.attempt = None

    def _retry_scheduled(self, event: RetryScheduled) -> None:
        self._retries.add(1, {"aioe2e.action": event.action, "aioe2e.reason": event.reason})
        self._calls[event.call_id].call.span.add_event(
            "retry scheduled",
            {
                "aioe2e.attempt": event.attempt,
                "aioe2e.reason": event.reason,
                "aioe2e.delay": event.delay,
            },
        )

    def _call_ended(self, event: CallEvent) -> None:
        attributes: Attributes = {"aioe2e.action": event.action, "aioe2e.outcome": event.outcome}
        self._call_duration.record(event.elapsed, attributes)
        opened = self._calls.pop(event.call_id).call
        span = opened.span
        span.set_attribute("aioe2e.outcome", event.outcome)
        span.set_attribute("aioe2e.attempts", event.attempts)
        span.set_attribute("aioe2e.asked_listing", event.asked_listing)
        if event.error is not None:
            span.set_attribute("error.type", _name(event.error))
            span.set_status(trace.StatusCode.ERROR)
        opened.end(event.started + event.elapsed)

    def _turn_ended(self, event: LimiterEvent) -> None:
        attributes: Attributes = {"aioe2e.mode": event.mode}
        if event.error is not None:
            attributes["error.type"] = _name(event.error)
        self._turns.record(event.waited, attributes)


def _of_request(event: AttemptStarted | AttemptEvent) -> Attributes:
    """What spans and metrics alike tell of a request."""
    attributes: Attributes = {
        "http.request.method": event.method,
        "server.address": event.server,
        "server.port": event.port,
        "url.scheme": urlsplit(event.url).scheme,
    }
    if event.route is not None:
        attributes["url.template"] = event.route
    return attributes


def _error_type(event: AttemptEvent) -> str | None:
    """The status where that tells of the error, else the class."""
    if event.status is not None and event.status >= 400:
        return str(event.status)
    return None if event.error is None else _name(event.error)


def _name(error: type[BaseException]) -> str:
    return f"{error.__module__}.{error.__qualname__}"


def _nanoseconds(moment: float) -> int:
    return round(moment * 1_000_000_000)
