"""Spans and metrics, read back from the SDK's in-memory exporters and as Prometheus sees them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from patience import timeout_once
from prometheus_client import generate_latest
from prometheus_client.core import REGISTRY

import aioe2e
from aioe2e import Plan, RetryPolicy, Step, Timeouts
from aioe2e.otel import OpenTelemetryHook
from aioe2e.testing import FakeE2E, Fault, Faults

FAST = RetryPolicy(base=0.001, cap=0.002, look=0.02)


@attrs.frozen
class Seen:
    """What the exporters have seen."""

    tracer: Tracer
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    hook: OpenTelemetryHook

    def spans(self, kind: SpanKind | None = None) -> list[ReadableSpan]:
        """The finished spans, in the order of their beginnings."""
        found = [s for s in self.exporter.get_finished_spans() if kind in (None, s.kind)]
        return sorted(found, key=lambda span: span.start_time or 0)

    def metric(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def counts(self, name: str, *keys: str) -> dict[Any, Any]:
        """The values of a counter by attributes."""
        return {
            tuple(point.attributes[f"aioe2e.{key}"] for key in keys): point.value
            for point in self.metric(name)
        }


@pytest.fixture
def seen() -> Iterator[Seen]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetryHook(tracers, meters)
    yield Seen(tracers.get_tracer("test"), exporter, reader, hook)
    meters.shutdown()
    tracers.shutdown()


def parents(spans: Sequence[ReadableSpan]) -> dict[int, int | None]:
    """By span id, the id of the parent."""
    return {
        span.context.span_id: None if span.parent is None else span.parent.span_id
        for span in spans
        if span.context is not None
    }


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_call_is_a_span_and_each_of_its_requests_one_below_it(seen: Seen) -> None:
    async with FakeE2E(images=1) as fake, fake.session(hooks=[seen.hook], retry=FAST) as session:
        image = next(iter(fake.images))
        fake.faults = Faults.script("503-json")
        with seen.tracer.start_as_current_span("mine") as mine:
            await session.images.rename(image, "new-name")
        url, port = f"{fake.url}images/{image}/", fake.port
    (call,) = (span for span in seen.spans() if span.name == "aioe2e rename")
    first, second = seen.spans(SpanKind.CLIENT)
    assert call.context is not None
    assert call.kind is SpanKind.INTERNAL
    assert parents([call])[call.context.span_id] == mine.get_span_context().span_id
    assert set(parents([first, second]).values()) == {call.context.span_id}
    assert first.name == second.name == "POST images/{image_id}/"
    shared = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.scheme": "http",
        "url.full": url,
        "url.template": "images/{image_id}/",
    }
    assert attributes(first) == shared | {
        "http.response.status_code": 503,
        "error.type": "503",
        "aioe2e.fate": "maybe",
    }
    assert first.status.status_code is StatusCode.ERROR
    assert attributes(second) == shared | {
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
        "aioe2e.fate": "done",
    }
    assert second.status.status_code is StatusCode.UNSET
    assert attributes(call) == {
        "aioe2e.action": "rename",
        "aioe2e.outcome": "done",
        "aioe2e.attempts": 2,
        "aioe2e.asked_listing": False,
    }
    (retry,) = call.events
    assert retry.name == "retry scheduled"
    assert dict(retry.attributes or {})["aioe2e.reason"] == "server error (503)"
    for span in (first, second):
        assert (call.start_time or 0) <= (span.start_time or 0)
        assert (span.start_time or 0) < (span.end_time or 0)


async def test_a_request_without_a_reply_names_the_class_of_its_error(seen: Seen) -> None:
    none = RetryPolicy.none()
    async with FakeE2E() as fake, fake.session(hooks=[seen.hook], retry=none) as session:
        fake.faults = Faults.script("reset")
        with pytest.raises(aioe2e.ConnectionLostError):
            await session.images.list()
    call, attempt = seen.spans()
    for span in (call, attempt):
        assert attributes(span)["error.type"] == "aioe2e.errors.ConnectionLostError"
        assert span.status.status_code is StatusCode.ERROR
    assert "http.response.status_code" not in attributes(attempt)


async def test_a_route_that_is_not_known_is_not_in_the_name(seen: Seen) -> None:
    async with FakeE2E() as fake, fake.session(hooks=[seen.hook]) as session:
        await session.request("GET", "nodes/")
    (span,) = seen.spans(SpanKind.CLIENT)
    assert span.name == "GET"
    assert "url.template" not in attributes(span)


async def test_the_workers_of_a_run_and_the_looks_are_children_of_the_caller(seen: Seen) -> None:
    async with FakeE2E(images=40) as fake, fake.session(hooks=[seen.hook], retry=FAST) as session:
        fake.faults = Faults.random(0.3, seed=1, kinds=["reset", "503-json"], actions=["delete"])
        with seen.tracer.start_as_current_span("mine") as mine:
            await session.images.run(Plan.delete([*fake.images][:30]), limit=4)
            await session.images.bulk_rename((i, f"n{i}") for i in list(fake.images)[-5:])
            with pytest.raises(aioe2e.WaitTimeoutError):
                await session.images.wait_gone(next(iter(fake.images)), 0.05, 0.02)
    await asyncio.sleep(0)
    clients = seen.spans(SpanKind.CLIENT)
    assert len(clients) == len(fake.calls), "as many spans as the emulator saw requests"
    everything = parents(seen.spans())
    root = mine.get_span_context().span_id
    for span_id in set(everything) - {root}:
        chain, above = 0, everything[span_id]
        while above != root:
            assert above is not None, "an orphan"
            above = everything[above]
            chain += 1
        assert chain <= 3, "call, request; or call, look, request"
    assert {span.context.trace_id for span in seen.spans() if span.context} == {
        mine.get_span_context().trace_id
    }


async def test_a_listing_that_a_call_needs_is_a_call_below_it(seen: Seen) -> None:
    async with FakeE2E(images=2) as fake, fake.session(hooks=[seen.hook], retry=FAST) as session:
        fake.faults = Faults.script(*[Fault("reset", True)] * 4)
        await session.images.save(next(iter(fake.nodes)), "a-name")
    spans = {span.name: span for span in seen.spans(SpanKind.INTERNAL)}
    save, look = spans["aioe2e save"], spans["aioe2e list"]
    assert look.parent is not None
    assert save.context is not None
    assert look.parent.span_id == save.context.span_id
    assert attributes(save)["aioe2e.asked_listing"] is True


async def test_a_cancelled_call_ends_its_spans_and_leaves_no_current_one(seen: Seen) -> None:
    clocks = Timeouts(attempt=None, total=None)
    async with FakeE2E() as fake, fake.session(hooks=[seen.hook], timeouts=clocks) as session:
        fake.faults = Faults.script(Fault("hang", False))
        with pytest.raises(TimeoutError):
            async with timeout_once(lambda: fake.calls):
                await session.images.delete(next(iter(fake.images)))
        with seen.tracer.start_as_current_span("after") as after:
            pass
    call, attempt = (span for span in seen.spans() if span.name != "after")
    assert attributes(attempt)["error.type"] == "asyncio.exceptions.CancelledError"
    assert attributes(call)["aioe2e.outcome"] == "unknown"
    assert parents(seen.spans())[after.get_span_context().span_id] is None


async def test_ids_are_in_calls_only_where_wanted_and_never_in_metrics(seen: Seen) -> None:
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(seen.exporter))
    hook = OpenTelemetryHook(tracers, MeterProvider([]), targets=True)
    async with FakeE2E(images=2) as fake, fake.session(hooks=[seen.hook, hook]) as session:
        image = next(iter(fake.images))
        await session.images.delete(image)
    calls = seen.spans(SpanKind.INTERNAL)
    assert [attributes(call).get("aioe2e.target") for call in calls].count(image) == 1
    data = seen.reader.get_metrics_data()
    assert data is not None
    assert f'"{image}"' not in data.to_json()
    tracers.shutdown()


async def test_no_span_and_no_metric_has_a_secret_or_a_query(seen: Seen) -> None:
    async with FakeE2E(images=3) as fake:
        key, token = fake.credentials.api_key, str(fake.credentials.auth_token)
        fake.faults = Faults.script("reset", "401-json", "503-html", "garbage")
        async with fake.session(hooks=[seen.hook], retry=FAST) as session:
            for image in list(fake.images):
                await asyncio.gather(session.images.delete(image), return_exceptions=True)
    data = seen.reader.get_metrics_data()
    assert data is not None
    for text in (*(span.to_json() for span in seen.spans()), data.to_json()):
        assert key not in text
        assert token not in text
        assert "?" not in text


async def test_metrics_count_attempts_retries_steps_pauses_and_what_is_in_flight(
    seen: Seen,
) -> None:
    async with FakeE2E(images=6) as fake, fake.session(hooks=[seen.hook], retry=FAST) as session:
        throttle = Fault("429-json-seconds", value="0.05")
        fake.faults = Faults.script("503-json", None, throttle, "403-json")
        await session.images.list()
        await session.images.run(Plan.delete([*fake.images]), limit=1)
        (limit,) = seen.metric("aioe2e.limit")
        fake.faults = Faults.script(Fault("hang", False))
        hanging = asyncio.create_task(session.images.list())
        while fake.in_flight == 0:
            await asyncio.sleep(0.01)
        assert sum(point.value for point in seen.metric("http.client.active_requests")) == 1
        hanging.cancel()
        await asyncio.wait([hanging])
    assert sum(point.value for point in seen.metric("http.client.active_requests")) == 0
    attempts = seen.counts("aioe2e.attempts", "action", "fate")
    assert attempts[("delete", "done")] == 5
    assert attempts[("delete", "refused")] == 1
    assert attempts[("list", "maybe")] == 2  # the 503, and the one that was cancelled
    assert attempts[("delete", "wait")] == 1
    assert seen.counts("aioe2e.retries", "action", "reason") == {
        ("list", "server error (503)"): 1,
        ("delete", "throttled (429)"): 1,
    }
    assert sum(seen.counts("aioe2e.steps", "action", "status").values()) == 6
    (pauses,) = seen.metric("aioe2e.pauses")
    (paused,) = seen.metric("aioe2e.pause.duration")
    assert pauses.value == 1
    assert paused.value == pytest.approx(0.05)
    assert 8 <= limit.value <= 16


async def test_the_duration_of_requests_has_the_recommended_buckets(seen: Seen) -> None:
    async with FakeE2E() as fake, fake.session(hooks=[seen.hook]) as session:
        await session.images.list()
    (point,) = seen.metric("http.client.request.duration")
    assert point.explicit_bounds == (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
        *(1, 2.5, 5, 7.5, 10),
    )
    assert point.count == 1
    assert set(point.attributes) == {
        "http.request.method",
        "http.response.status_code",
        "server.address",
        "server.port",
        "url.scheme",
        "url.template",
    }


async def test_a_stream_that_nobody_reads_counts_its_steps(seen: Seen) -> None:
    async with FakeE2E(images=5) as fake, fake.session(hooks=[seen.hook]) as session:
        await session.images.run(Step.delete(image) for image in fake.images)
    assert seen.counts("aioe2e.steps", "action", "status") == {("delete", "done"): 5}


async def test_without_an_sdk_the_hook_does_nothing_and_breaks_nothing() -> None:
    async with FakeE2E() as fake, fake.session(hooks=[OpenTelemetryHook()]) as session:
        await session.images.list()


async def test_calls_side_by_side_do_not_mix_their_spans(seen: Seen) -> None:
    async with FakeE2E(images=20, latency=(0.0, 0.02)) as fake:
        async with fake.session(hooks=[seen.hook]) as session:

            async def one(image: str) -> int:
                with seen.tracer.start_as_current_span(image) as span:
                    await session.images.delete(image)
                    return span.get_span_context().span_id

            await asyncio.gather(*(one(image) for image in fake.images))
    everything = parents(seen.spans())
    calls = [span for span in seen.spans() if span.name == "aioe2e delete"]
    assert len(calls) == 20
    assert len({parents([call])[call.context.span_id] for call in calls if call.context}) == 20
    assert Counter(everything.values())[None] == 20


class _Turnstile:
    mode = "shared"

    async def acquire(self, weight: int = 1) -> None:
        pass

    def throttled(self, seconds: float) -> None:
        pass


async def test_every_query_on_the_page_asks_for_metrics_and_labels_that_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    texts = [
        text for block in blocks for text in re.split(r"^#.*\n|\n\n", block, flags=re.MULTILINE)
    ]
    queries = [text for text in texts if re.search(r"\b(?:rate|increase|sum|min)\b.*\(", text)]
    assert len(queries) >= 15
    reader = PrometheusMetricReader()
    meters = MeterProvider([reader])
    hook = OpenTelemetryHook(meter_provider=meters)
    async with FakeE2E(images=5) as fake:
        async with fake.session(hooks=[hook], retry=FAST, limiter=_Turnstile()) as session:
            throttle = Fault("429-json-seconds", value="0.02")
            fake.faults = Faults.script(throttle, *["503-json"] * 4)
            await session.images.run(Plan.delete([*fake.images]), limit=1)
    shown = generate_latest(REGISTRY).decode()
    meters.shutdown()
    samples = re.findall(r"^(\w+)(?:\{(.*)\})? ", shown, re.MULTILINE)
    names = {name for name, _ in samples}
    labels = {label for _, text in samples for label in re.findall(r"(\w+)=\"", text)}
    for query in queries:
        metrics = set(re.findall(r"\b(?:http_client|aioe2e)_\w+", query))
        asked = set(re.findall(r"(\w+)(?:!?=|!~)\"", query))
        for group in re.findall(r"by \(([^)]*)\)", query):
            asked |= set(re.findall(r"\w+", group))
        assert metrics - asked <= names, query
        assert asked <= labels, query
