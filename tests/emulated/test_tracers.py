"""Tools that watch aiohttp see each request once, and never a credential."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import subprocess
import sys
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import aiohttp
import pytest
import wrapt
from opentelemetry.instrumentation import _semconv
from opentelemetry.instrumentation.aiohttp_client import (
    AioHttpClientInstrumentor,
    create_trace_config,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from patience import timeout_once
from watched import API_KEY, TOKEN, assert_no_secret

import aioe2e
from aioe2e.testing import FakeE2E, Fault

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import vcr  # type: ignore[import-untyped]  # has no types

ONCE = aioe2e.RetryPolicy(attempts=1, look=0)
#: Every end that a request can come to.
ENDS: tuple[str | None, ...] = (
    None,
    "reset",
    "close",
    "refuse",
    "hang",
    "hang-in-body",
    "garbage",
    "garbage-header",
    "length-too-large",
    "chunk-cut",
    "400-json",
    "401-json",
    "500-json",
    "drip",
    "close-idle",
    "interim-100",
)


def account(**options: Any) -> FakeE2E:
    return FakeE2E(images=40, nodes=1, api_key=API_KEY, auth_token=TOKEN, **options)


async def every_action(fake: FakeE2E, session: aioe2e.Session) -> list[BaseException | object]:
    """One of each, whatever it comes to."""
    ids = sorted(fake.images)
    calls: list[Callable[[], Awaitable[object]]] = [
        session.images.list,
        lambda: session.images.get(ids[0]),
        lambda: session.images.rename(ids[0], f"renamed-{ids[0]}"),
        lambda: session.images.delete(ids[-1]),
        lambda: session.images.save(next(iter(fake.nodes)), "saved"),
        lambda: session.request("GET", "images/saved-images/", query={"page": "1"}),
    ]
    ends: list[BaseException | object] = []
    for call in calls:
        try:
            ends.append(await call())
        except aioe2e.E2EError as error:
            ends.append(error)
    return ends


async def all_ends(fake: FakeE2E, session: aioe2e.Session) -> None:
    """Every action with every end."""
    for kind in ENDS:
        fake.faults = [] if kind is None else [Fault(kind)]
        await every_action(fake, session)


@pytest.fixture
def spans() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def texts(found: tuple[ReadableSpan, ...]) -> str:
    return "\n".join(span.to_json() for span in found)


@contextlib.contextmanager
def instrumented(
    monkeypatch: pytest.MonkeyPatch, provider: TracerProvider, conventions: str
) -> Iterator[None]:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", conventions)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", ".*")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", ".*")
    monkeypatch.setattr(_semconv._OpenTelemetrySemanticConventionStability, "_initialized", False)
    instrumentor = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


@pytest.mark.parametrize("conventions", ["", "http", "http/dup"])
@pytest.mark.parametrize("borrowed", [False, True])
async def test_spans_of_a_global_instrumentor_hold_no_secret(
    spans: tuple[TracerProvider, InMemorySpanExporter],
    monkeypatch: pytest.MonkeyPatch,
    conventions: str,
    borrowed: bool,
) -> None:
    provider, exporter = spans
    with instrumented(monkeypatch, provider, conventions):
        async with account() as fake, contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession()) if borrowed else None
            async with fake.session(
                retry=ONCE, http=http, timeouts=aioe2e.Timeouts(attempt=0.1)
            ) as session:
                await all_ends(fake, session)
    found = exporter.get_finished_spans()
    assert len(found) >= 6 * len(ENDS) * 0.8
    assert "/images/" in texts(found)
    assert_no_secret(texts(found), "spans")


@pytest.mark.parametrize("made", ["before", "after"])
async def test_one_request_is_one_span_with_a_borrowed_session(
    spans: tuple[TracerProvider, InMemorySpanExporter],
    monkeypatch: pytest.MonkeyPatch,
    made: str,
) -> None:
    provider, exporter = spans
    async with account() as fake, contextlib.AsyncExitStack() as stack:
        http: aiohttp.ClientSession | None = None
        if made == "before":
            http = await stack.enter_async_context(aiohttp.ClientSession())
        with instrumented(monkeypatch, provider, "http"):
            if made == "after":
                http = await stack.enter_async_context(aiohttp.ClientSession())
            async with fake.session(http=http) as session:
                await session.images.rename(next(iter(fake.images)), "once")
        assert len(fake.calls) == 1
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert str(span.attributes["url.full"]).endswith("&location=Delhi")


async def test_trace_configs_of_a_borrowed_session_see_each_request_once_and_no_secret(
    spans: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    provider, exporter = spans
    everything = {"captured_request_headers": [".*"], "captured_response_headers": [".*"]}
    known = inspect.signature(create_trace_config).parameters  # older ones capture no headers
    captured: dict[str, Any] = {name: value for name, value in everything.items() if name in known}
    config = create_trace_config(tracer_provider=provider, **captured)
    async with account() as fake, aiohttp.ClientSession(trace_configs=[config]) as http:
        async with fake.session(http=http) as session:
            await every_action(fake, session)
        assert len(exporter.get_finished_spans()) == len(fake.calls)
    assert_no_secret(texts(exporter.get_finished_spans()), "spans")


async def test_two_configs_of_one_make_with_a_borrowed_session_both_see_the_request() -> None:
    seen: list[str] = []

    def config(name: str) -> aiohttp.TraceConfig:
        async def start(*_: object) -> None:
            seen.append(name)

        made = aiohttp.TraceConfig()
        made.on_request_start.append(start)
        return made

    configs = [config("first"), config("second")]
    async with account() as fake, aiohttp.ClientSession(trace_configs=configs) as http:
        async with fake.session(http=http) as session:
            await session.images.list()
    assert seen == ["first", "second"]


async def test_a_kept_connection_that_was_closed_meanwhile_is_still_one_request_for_a_tracer(
    spans: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    provider, exporter = spans
    configs = [create_trace_config(tracer_provider=provider)]
    async with account() as fake, aiohttp.ClientSession(trace_configs=configs) as http:
        async with fake.session(http=http, retry=ONCE) as session:
            fake.inject("stray-at-once", "list")
            await session.images.list()
            await session.images.list()
    assert len(exporter.get_finished_spans()) == len(fake.calls) == 2


async def test_a_tracer_s_headers_reach_the_server() -> None:
    async def start(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        params.headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        params.headers["Authorization"] = "Basic c29tZW9uZSBlbHNl"

    config = aiohttp.TraceConfig()
    config.on_request_start.append(start)
    async with account() as fake, aiohttp.ClientSession(trace_configs=[config]) as http:
        async with fake.session(http=http) as session:
            await session.images.rename(next(iter(fake.images)), "traced")
        (call,) = fake.calls
    assert call.headers["traceparent"].startswith("00-0af7")
    assert call.headers["accept"] == "application/json"


#: Every signal that aiohttp has.
SIGNALS = sorted(name for name in dir(aiohttp.TraceConfig) if name.startswith("on_"))


def keep_everything(kept: list[str], seen: set[str]) -> aiohttp.TraceConfig:
    """A config that keeps what each signal hands over, and all that hangs on it."""
    config = aiohttp.TraceConfig()

    def listener(signal: str) -> Callable[..., Awaitable[None]]:
        async def listen(client: object, context: object, params: object) -> None:
            seen.add(signal)
            kept.extend(f"{signal}: {text}" for text in reachable(params))

        return listen

    for signal in SIGNALS:
        getattr(config, signal).append(listener(signal))
    return config


def reachable(root: object, depth: int = 6) -> Iterator[str]:
    """The texts of an object and of what it refers to, but for what belongs to a whole program."""
    seen: set[int] = set()
    queue: list[tuple[object, int]] = [(root, depth)]
    while queue:
        value, left = queue.pop()
        if id(value) in seen or left == 0:
            continue
        seen.add(id(value))
        if isinstance(value, str | bytes | bytearray):
            yield value if isinstance(value, str) else bytes(value).decode("latin-1")
            continue
        yield repr(value)
        queue += [(part, left - 1) for part in parts(value)]


def parts(value: Any) -> list[object]:
    """What a value holds, as a tool that shows an object would find it."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, BaseException):
        return [*value.args, value.__cause__, value.__context__, *frames(value.__traceback__)]
    if isinstance(value, FrameType):
        return list(value.f_locals.values())
    module = type(value).__module__.partition(".")[0]
    if module not in ("aiohttp", "yarl", "multidict"):
        return []
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    found = [getattr(value, name, None) for name in slots if isinstance(name, str)]
    return [*found, *vars(value).values()] if hasattr(value, "__dict__") else found


def frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        # The emulator and this file know both secrets.
        name = traceback.tb_frame.f_code.co_filename
        if "/aioe2e/testing/" not in name and not name.endswith(Path(__file__).name):
            yield traceback.tb_frame
        traceback = traceback.tb_next


@pytest.mark.parametrize("borrowed", [False, True])
async def test_no_signal_of_aiohttp_hands_over_a_secret(
    borrowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    seen: set[str] = set()
    config = keep_everything(kept, seen)
    if not borrowed:  # as tools do it that watch every session
        original = aiohttp.ClientSession.__init__

        def init(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs, trace_configs=[config])

        monkeypatch.setattr(aiohttp.ClientSession, "__init__", init)
    async with account() as fake, contextlib.AsyncExitStack() as stack:
        http = None
        if borrowed:
            http = await stack.enter_async_context(
                aiohttp.ClientSession(
                    trace_configs=[config], connector=aiohttp.TCPConnector(limit=1)
                )
            )
        timeouts = aioe2e.Timeouts(attempt=0.1)
        async with fake.session(http=http, retry=ONCE, timeouts=timeouts) as session:
            patient = session.with_options(timeouts=aioe2e.Timeouts())
            await asyncio.gather(patient.images.list(), patient.images.get(next(iter(fake.images))))
            await all_ends(fake, session)
    missing = set(SIGNALS) - seen
    # No redirect is followed; an address needs no resolver; only a borrowed pool has a limit.
    assert missing <= {
        "on_request_redirect",
        "on_dns_cache_hit",
        "on_dns_cache_miss",
        "on_dns_resolvehost_start",
        "on_dns_resolvehost_end",
        *(() if borrowed else ("on_connection_queued_start", "on_connection_queued_end")),
    }
    for text in kept:
        assert_no_secret(text, "a signal")


async def cancelled(fake: FakeE2E, call: Callable[[], Awaitable[object]]) -> TimeoutError:
    """What a user's own timeout around a call in flight leaves behind."""
    try:
        async with timeout_once(lambda: fake.calls):
            await call()
    except TimeoutError as error:
        return error
    raise AssertionError("the call was over too soon")


@pytest.mark.parametrize("kind", ["hang", "hang-in-body"])
@pytest.mark.parametrize("action", ["list", "rename", "delete", "save", "request"])
async def test_no_frame_of_a_cancelled_call_holds_a_secret(kind: str, action: str) -> None:
    async with account(faults=Fault(kind)) as fake, fake.session() as session:
        image, node = next(iter(fake.images)), next(iter(fake.nodes))
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "list": session.images.list,
            "rename": lambda: session.images.rename(image, "n"),
            "delete": lambda: session.images.delete(image),
            "save": lambda: session.images.save(node, "n"),
            "request": lambda: session.request("POST", "images/1/", json={"a": 1}),
        }
        error = await cancelled(fake, calls[action])
        assert len(fake.calls) == 1
        for text in reachable(error, depth=12):
            assert_no_secret(text, "a frame")


async def test_no_task_that_waits_for_a_reply_holds_a_secret_in_a_frame() -> None:
    async with account(faults=Fault("hang")) as fake, fake.session() as session:
        task = asyncio.create_task(session.images.rename(next(iter(fake.images)), "n"))
        while not fake.calls:
            await asyncio.sleep(0.005)
        found: list[tuple[str, str]] = []
        coroutine: Any = task.get_coro()
        while getattr(coroutine, "cr_frame", None) is not None:
            name = coroutine.__qualname__
            found += [(name, text) for text in reachable(coroutine.cr_frame, depth=8)]
            coroutine = coroutine.cr_await
        task.cancel()
        await asyncio.wait([task])
    assert len({name for name, _ in found}) > 5
    for name, text in found:
        assert_no_secret(text, name)


async def test_no_frame_of_a_call_that_waits_for_a_new_token_holds_a_secret() -> None:
    tokens = iter([TOKEN, None])

    async def fetch() -> str:
        token = next(tokens)
        if token is None:
            await asyncio.sleep(3600)
            return ""
        return token

    credentials = aioe2e.Credentials(api_key=API_KEY, auth_token=fetch)
    async with account(faults=Fault("401-json")) as fake:
        async with fake.session(credentials=credentials) as session:
            error = await cancelled(fake, session.images.list)
            assert len(fake.calls) == 1
    shown = [text for frame in error_frames(error) for text in locals_of(frame)]
    assert len(shown) > 20
    for text in shown:
        assert_no_secret(text, "a frame")


def error_frames(error: BaseException) -> Iterator[FrameType]:
    found: BaseException | None = error
    while found is not None:
        yield from frames(found.__traceback__)
        found = found.__cause__ or found.__context__


def locals_of(frame: FrameType) -> Iterator[str]:
    """The variables of a function, and what an object of the library holds that waits in it."""
    for value in frame.f_locals.values():
        yield from reachable(value)
        if type(value).__module__.startswith("aioe2e._call.call"):
            names = type(value).__slots__
            yield from (repr(getattr(value, name, None)) for name in names)


async def test_a_write_that_fails_leaves_no_secret_in_the_frames_of_its_error() -> None:
    kept: list[str] = []
    config = keep_everything(kept, set())
    async with account() as fake, aiohttp.ClientSession(trace_configs=[config]) as http:
        async with fake.session(http=http, retry=ONCE) as session:
            await session.images.list()
            transport = session._channel._transport
            assert transport is not None
            (protocol,) = transport._wire.used
            # The kernel refuses the next write, and shows nothing of it before.
            protocol.transport.get_extra_info("socket").shutdown(1)
            kept.clear()
            with pytest.raises((aioe2e.TransportError, aioe2e.OutcomeUnknownError)):
                await session.images.rename(next(iter(fake.images)), "n")
    assert any("on_request_exception" in text for text in kept)
    for text in kept:
        assert_no_secret(text, "the error of a write")


async def test_a_header_of_a_tracer_that_would_be_two_is_a_bug_and_shows_no_secret() -> None:
    kept: list[str] = []
    config = keep_everything(kept, set())

    async def start(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        params.headers["X-Trace"] = "1\r\nX-Smuggled: 2"

    config.on_request_start.append(start)
    async with account() as fake, aiohttp.ClientSession(trace_configs=[config]) as http:
        async with fake.session(http=http) as session:
            with pytest.raises(aioe2e.SessionError) as caught:
                await session.images.list()
        assert len(fake.calls) == 0
    assert "line break" in caught.value.__notes__[0]
    assert any("on_request_exception" in text for text in kept)
    for text in kept:
        assert_no_secret(text, "the error of a header")


async def test_a_header_of_a_tracer_that_cannot_be_encoded_is_a_bug_and_shows_no_secret() -> None:
    errors: list[BaseException] = []

    async def start(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        params.headers["X-Trace"] = "half a pair: \ud800"

    async def failed(_: object, __: object, params: aiohttp.TraceRequestExceptionParams) -> None:
        errors.append(params.exception)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(start)
    config.on_request_exception.append(failed)
    async with account() as fake, aiohttp.ClientSession(trace_configs=[config]) as http:
        async with fake.session(http=http) as session:
            with pytest.raises(aioe2e.SessionError):
                await session.images.list()
        assert len(fake.calls) == 0
    (error,) = errors
    assert isinstance(error, UnicodeEncodeError)  # keeps what it was to encode
    assert_no_secret(error.object, "the error of a header")


def test_a_pool_of_another_loop_leaves_no_secret_in_the_frames_of_its_error() -> None:
    async def opened() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    credentials = aioe2e.Credentials(api_key=API_KEY, auth_token=TOKEN)
    with contextlib.closing(asyncio.new_event_loop()) as other:
        http = other.run_until_complete(opened())
        session = aioe2e.Session(credentials, base_url="http://127.0.0.1:9", http=http)
        with pytest.raises(aioe2e.SessionError, match="another event loop") as caught:
            asyncio.run(session.images.list())
        other.run_until_complete(http.close())
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb)]
    in_library = [frame for frame in frames if "aioe2e" in frame.f_globals["__name__"]]
    assert len(in_library) > 3
    for frame in in_library:
        assert_no_secret(repr(frame.f_locals), frame.f_code.co_qualname)


async def test_a_connection_that_spoke_first_leaves_no_secret_in_the_frames_of_its_error() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        await reader.read()
        writer.close()

    kept: list[str] = []

    async def wait_for_the_greeting(*_: object) -> None:
        await asyncio.sleep(0.1)

    config = keep_everything(kept, set())
    config.on_request_headers_sent.append(wait_for_the_greeting)
    credentials = aioe2e.Credentials(api_key=API_KEY, auth_token=TOKEN)
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, aiohttp.ClientSession(trace_configs=[config]) as http:
        async with aioe2e.Session(credentials, base_url=url, http=http, retry=ONCE) as session:
            with pytest.raises(aioe2e.TransportError):
                await session.images.list()
    assert any("on_request_exception" in text for text in kept)
    for text in kept:
        assert_no_secret(text, "the error of a connection")


async def test_a_cassette_of_vcrpy_holds_no_secret_and_plays_the_same_calls_again(
    tmp_path: Path,
) -> None:
    cassette = str(tmp_path / "calls.yaml")

    async def calls(fake: FakeE2E, session: aioe2e.Session) -> list[object]:
        ids = sorted(fake.images)
        listing = await session.images.list()
        renamed = await session.images.rename(ids[0], "golden")
        with pytest.raises(aioe2e.NotFoundError):
            await session.request("GET", "images/none-such/")
        return [listing, renamed]

    async with account() as fake:
        with vcr.use_cassette(cassette):
            async with fake.session(retry=ONCE) as session:
                first = await calls(fake, session)
        count = len(fake.calls)
        with vcr.use_cassette(cassette, record_mode="none"):
            async with fake.session(retry=ONCE) as session:
                again = await calls(fake, session)
        assert len(fake.calls) == count
    text = await asyncio.to_thread(Path(cassette).read_text)
    assert text.count("uri:") == count == 3
    assert_no_secret(text, "the cassette")
    assert repr(first) == repr(again)


def test_sentry_with_its_default_settings_keeps_no_secret() -> None:
    child = Path(__file__).with_name("sentry_child.py")
    done = subprocess.run(
        [sys.executable, str(child)], capture_output=True, text=True, check=True, timeout=100
    )
    kept = json.loads(done.stdout)
    events = [item for item in kept if "exception" in item]
    (transaction,) = (item for item in kept if item.get("type") == "transaction")
    assert len(events) >= 4
    assert any(span["op"] == "http.client" for span in transaction["spans"])
    assert any(crumb["type"] == "http" for crumb in events[-1]["breadcrumbs"]["values"])
    assert "CancelledError" in {error["type"] for error in events[-1]["exception"]["values"]}
    assert '"vars"' in done.stdout
    assert_no_secret(done.stdout, "what Sentry keeps")
    assert_no_secret(done.stderr, "what Sentry says")


async def plain_wrapper(
    original: Callable[..., Awaitable[Any]], seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @functools.wraps(original)
    async def request(self: object, method: str, url: object, **kwargs: Any) -> Any:
        seen.append(f"{method} {url} {kwargs}")
        return await original(self, method, url, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", request)


async def proxy_of_wrapt(
    original: Callable[..., Awaitable[Any]], seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def request(wrapped: Any, _: object, args: Any, kwargs: Any) -> Any:
        seen.append(f"{args} {kwargs}")
        return await wrapped(*args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", wrapt.FunctionWrapper(original, request))


@pytest.mark.parametrize("patch", [plain_wrapper, proxy_of_wrapt])
async def test_an_agent_that_wraps_the_request_of_aiohttp_sees_the_calls_and_no_secret(
    patch: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    await patch(aiohttp.ClientSession._request, seen, monkeypatch)
    async with account() as fake, fake.session() as session:
        await session.images.list()
        await session.images.rename(next(iter(fake.images)), "n")
    assert len(seen) == 2
    for text in seen:
        assert_no_secret(text, "what an agent sees")


# A tracer, a middleware or a patch of aiohttp that fails is a bug of the program.

WORDS = "the tracer has lost its span"


async def fail(*_: object, **__: object) -> None:
    raise LookupError(f"{WORDS} {API_KEY} {TOKEN}")


@contextlib.asynccontextmanager
async def with_broken_tracer(signal: str) -> AsyncIterator[tuple[FakeE2E, aioe2e.Session]]:
    config = aiohttp.TraceConfig()
    getattr(config, signal).append(fail)
    async with account() as fake, aiohttp.ClientSession(trace_configs=[config]) as http:
        async with fake.session(http=http, retry=aioe2e.RetryPolicy(base=0, look=0)) as session:
            yield fake, session


def assert_tells_of_the_bug(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    notes = "\n".join(getattr(error, "__notes__", []))
    assert "LookupError" in str(error)
    assert WORDS in notes
    assert WORDS in caplog.text
    assert "in fail" in caplog.text  # the traceback
    for text in (str(error), notes, caplog.text):
        assert_no_secret(text, "the story of a bug")


@pytest.mark.parametrize(
    "signal", ["on_request_start", "on_connection_create_start", "on_request_headers_sent"]
)
async def test_a_tracer_that_fails_before_anything_was_sent_is_a_bug_and_is_not_tried_again(
    signal: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "aioe2e")
    async with with_broken_tracer(signal) as (fake, session):
        with pytest.raises(aioe2e.SessionError) as caught:
            await session.images.rename(next(iter(fake.images)), "n")
        assert len(fake.calls) == 0
        assert caught.value.attempts == 1
    assert_tells_of_the_bug(caught.value, caplog)


@pytest.mark.parametrize("signal", ["on_response_chunk_received", "on_request_end"])
async def test_a_tracer_that_fails_once_a_write_was_sent_leaves_it_unknown_and_says_why(
    signal: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "aioe2e")
    async with with_broken_tracer(signal) as (fake, session):
        with pytest.raises(aioe2e.OutcomeUnknownError) as caught:
            await session.images.save(next(iter(fake.nodes)), "n")
        assert [call.action for call in fake.calls if call.action == "save"] == ["save"]
    assert_tells_of_the_bug(caught.value, caplog)


@pytest.mark.parametrize("patched", ["ClientSession._request", "TCPConnector.connect"])
async def test_a_patched_aiohttp_that_fails_is_a_bug_and_is_not_tried_again(
    patched: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "aioe2e")
    kind, _, name = patched.partition(".")
    monkeypatch.setattr(getattr(aiohttp, kind), name, fail)
    async with account() as fake, fake.session() as session:
        with pytest.raises(aioe2e.SessionError) as caught:
            await session.images.list()
        assert caught.value.attempts == 1
    assert_tells_of_the_bug(caught.value, caplog)
