"""What hooks and logs are told: enough to know from them alone what happened in a bad night."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import Any

import attrs
import pytest

import aioe2e
from aioe2e import (
    AttemptEvent,
    AttemptStarted,
    CallEvent,
    CallStarted,
    LimitEvent,
    PauseEvent,
    Plan,
    RetryPolicy,
    RetryScheduled,
    RunEvent,
    Status,
    Step,
    StepEvent,
    Timeouts,
)
from aioe2e._clock import Clock
from aioe2e.testing import FakeE2E, Fault, Faults

FAST = RetryPolicy(base=0.001, cap=0.002, look=0.02)


class Listener:
    """A hook that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: object) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


async def test_the_events_of_a_call_come_in_order_and_belong_together() -> None:
    heard = Listener()
    async with FakeE2E() as fake, fake.session(hooks=[heard], retry=FAST) as session:
        fake.faults = Faults.script("503-json")
        await session.images.list()
    assert heard.names() == [
        "CallStarted",
        "AttemptStarted",
        "AttemptEvent",
        "RetryScheduled",
        "AttemptStarted",
        "AttemptEvent",
        "CallEvent",
    ]
    assert len({event.call_id for event in heard.events}) == 1
    assert {event.action for event in heard.events} == {"list"}


async def test_no_two_calls_have_the_same_number() -> None:
    heard = Listener()
    async with FakeE2E() as fake:
        async with fake.session(hooks=[heard]) as one, fake.session(hooks=[heard]) as two:
            await asyncio.gather(
                *(s.request("GET", "nodes/") for s in (one, two) for _ in range(5))
            )
    assert len({event.call_id for event in heard.of(CallStarted)}) == 10


async def test_an_attempt_says_where_it_went_and_what_came_back() -> None:
    heard = Listener()
    async with FakeE2E(images=2) as fake, fake.session(hooks=[heard], retry=FAST) as session:
        image = next(iter(fake.images))
        fake.faults = Faults.script(Fault("429-json-seconds", value="0.05"))
        await session.images.rename(image, "new-name")
        port = fake.port
    first, second = heard.of(AttemptEvent)
    assert (first.method, first.path, first.route) == (
        "POST",
        f"images/{image}/",
        "images/{image_id}/",
    )
    assert (first.server, first.port) == ("127.0.0.1", port)
    assert (first.attempt, first.status, first.fate) == (1, 429, "wait")
    assert first.error is aioe2e.RateLimitedError
    assert first.retry_after == pytest.approx(0.05)
    assert (second.attempt, second.status, second.fate, second.error) == (2, 200, "done", None)
    assert second.retry_after is None
    assert 0 < first.started < second.started
    assert 0 < second.elapsed < 30
    started, _ = heard.of(AttemptStarted)
    shared = set(attrs.asdict(started)) & set(attrs.asdict(first))
    assert all(getattr(started, name) == getattr(first, name) for name in shared)


@pytest.mark.parametrize(
    ("action", "route"),
    [
        ("list", "images/saved-images/"),
        ("save", "nodes/{node_id}/actions/"),
        ("delete", "images/{image_id}/"),
        ("request", None),
    ],
)
async def test_a_route_has_no_id_and_is_not_guessed(action: str, route: str | None) -> None:
    heard = Listener()
    async with FakeE2E() as fake, fake.session(hooks=[heard]) as session:
        match action:
            case "list":
                await session.images.list()
            case "save":
                await session.images.save(next(iter(fake.nodes)), "a-name")
            case "delete":
                await session.images.delete(next(iter(fake.images)))
            case _:
                await session.request("GET", "nodes/")
    assert [event.route for event in heard.of(AttemptEvent)] == [route]


async def test_a_retry_says_why_and_how_long() -> None:
    heard = Listener()
    async with FakeE2E() as fake, fake.session(hooks=[heard], retry=FAST) as session:
        fake.faults = Faults.script("reset", "503-json", Fault("429-json-seconds", value="0.05"))
        await session.images.list()
    retries = heard.of(RetryScheduled)
    assert [(retry.attempt, retry.reason) for retry in retries] == [
        (1, "connection lost"),
        (2, "server error (503)"),
        (3, "throttled (429)"),
    ]
    assert [retry.error.__name__ for retry in retries] == [
        "ConnectionLostError",
        "ServerError",
        "RateLimitedError",
    ]
    assert retries[2].delay >= 0.05


async def test_a_refusal_that_proves_nothing_is_retried_as_a_refusal() -> None:
    heard = Listener()
    async with FakeE2E(images=1) as fake, fake.session(hooks=[heard], retry=FAST) as session:
        fake.faults = Faults.on("delete", "reset") + Faults.on("delete", "412-json")
        await session.images.delete(next(iter(fake.images)))
    assert [retry.reason for retry in heard.of(RetryScheduled)] == [
        "connection lost",
        "refused (412)",
    ]


async def test_a_call_says_how_it_ended() -> None:
    heard = Listener()
    none = RetryPolicy(attempts=1, look=0.01)
    async with FakeE2E(images=3) as fake, fake.session(hooks=[heard], retry=none) as session:
        one, two, three = fake.images
        await session.images.delete(one)
        fake.inject("403-json", "delete")
        with pytest.raises(aioe2e.PermissionDeniedError):
            await session.images.delete(two)
        fake.inject(Fault("reset", False), "delete")
        with pytest.raises(aioe2e.OutcomeUnknownError):
            await session.images.delete(two)
        fake.inject(Fault("reset", True), "delete")
        await session.images.delete(three)
    deletes = [event for event in heard.of(CallEvent) if event.action == "delete"]
    assert [(e.target, e.outcome, e.error, e.asked_listing) for e in deletes] == [
        (one, "done", None, False),
        (two, "failed", aioe2e.PermissionDeniedError, False),
        (two, "unknown", aioe2e.OutcomeUnknownError, True),
        (three, "done", None, True),
    ]
    assert all(event.attempts == 1 and event.elapsed > 0 for event in deletes)


@pytest.mark.parametrize("after", ["before", "during"])
async def test_a_cancelled_call_ends_its_attempt_and_itself(after: str) -> None:
    heard = Listener()
    limits = aioe2e.Limits(in_flight=1)
    async with FakeE2E() as fake, fake.session(hooks=[heard], limits=limits) as session:
        fake.faults = Faults.script(Fault("hang", False), "hang")
        calls = [asyncio.create_task(session.images.delete(i)) for i in list(fake.images)[:2]]
        while not fake.calls:
            await asyncio.sleep(0.01)
        call = calls[0 if after == "during" else 1]
        call.cancel()
        await asyncio.wait([call])
        (ended,) = heard.of(CallEvent)
        if after == "during":
            assert (ended.outcome, ended.attempts) == ("unknown", 1)
            (attempt,) = heard.of(AttemptEvent)
            assert (attempt.fate, attempt.error) == ("maybe", asyncio.CancelledError)
        else:
            assert (ended.outcome, ended.attempts) == ("cancelled", 0)
            assert not heard.of(AttemptEvent)
        assert ended.error is asyncio.CancelledError
        calls[0].cancel()
        calls[1].cancel()
        await asyncio.wait(calls)


async def test_every_attempt_and_every_call_that_starts_ends() -> None:
    heard = Listener()
    async with FakeE2E(images=30, seed=3) as fake:
        fake.faults = Faults.random(0.4, seed=3, kinds=["reset", "503-json", "hang", "garbage"])
        clocks = Timeouts(attempt=0.1, total=0.5)
        async with fake.session(hooks=[heard], retry=FAST, timeouts=clocks) as session:
            await session.images.run(Plan.delete([*fake.images]), deadline=1.0)
    open_calls: set[int] = set()
    open_attempts: set[int] = set()
    for event in heard.events:
        match event:
            case CallStarted():
                open_calls.add(event.call_id)
            case AttemptStarted():
                assert event.call_id in open_calls
                assert event.call_id not in open_attempts
                open_attempts.add(event.call_id)
            case AttemptEvent():
                open_attempts.remove(event.call_id)
            case CallEvent():
                open_calls.remove(event.call_id)
                assert event.call_id not in open_attempts
    assert not open_calls | open_attempts


async def test_the_limit_is_told_when_it_falls_and_when_it_grows_back() -> None:
    heard = Listener()
    async with FakeE2E() as fake, fake.session(hooks=[heard], retry=FAST) as session:
        fake.faults = Faults.script(Fault("429-json-seconds", value="0.02"))
        await session.images.list()
        for _ in range(20):
            await session.request("GET", "nodes/")
    assert [(event.previous, event.limit) for event in heard.of(LimitEvent)] == [
        (16, 8),
        (8, 9),
        (9, 10),
    ]
    (pause,) = heard.of(PauseEvent)
    assert pause.limit == 8


async def test_a_run_and_its_steps_are_told() -> None:
    heard = Listener()
    async with FakeE2E(images=4) as fake, fake.session(hooks=[heard], retry=FAST) as session:
        fake.inject("403-json", "delete")
        await session.images.run(Plan.delete([*fake.images]), limit=1)
    started, ended = heard.of(RunEvent)
    assert (started.state, started.total) == ("started", 4)
    assert (ended.state, ended.counts["done"], ended.counts["failed"]) == ("ended", 3, 1)
    assert ended.elapsed > 0
    steps = heard.of(StepEvent)
    assert {step.run_id for step in steps} == {started.run_id} == {ended.run_id}
    assert sorted((s.index, s.status) for s in steps) == [
        (0, "failed"),
        (1, "done"),
        (2, "done"),
        (3, "done"),
    ]
    assert steps[0].error is aioe2e.PermissionDeniedError


async def test_each_step_of_a_stream_that_nobody_reads_is_told_too() -> None:
    heard = Listener()
    async with FakeE2E(images=5) as fake, fake.session(hooks=[heard]) as session:
        report = await session.images.run(Step.delete(image) for image in fake.images)
        assert report.counts()[Status.DONE] == 5
    assert [step.index for step in heard.of(StepEvent)] == [0, 1, 2, 3, 4]
    assert heard.of(RunEvent)[0].total is None


async def test_an_outage_is_told_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    heard = Listener()
    caplog.set_level(logging.INFO)
    none = RetryPolicy(attempts=1, look=0.02)
    hasty = Clock(sleep=lambda _: asyncio.sleep(0.001))
    async with (
        FakeE2E(images=6) as fake,
        fake.session(hooks=[heard], retry=none, _clock=hasty) as session,
    ):
        fake.faults = Faults.on("delete", "503-json", times=4)  # also if the second is late
        await session.images.run(Plan.delete([*fake.images]), limit=2)
    assert [event.state for event in heard.of(RunEvent)] == [
        "started",
        "outage",
        "recovered",
        "ended",
    ]
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    texts = [r.getMessage() for r in warnings if r.name == "aioe2e.bulk"]
    assert "2 steps in a row failed (with ServerError)" in texts[0]
    assert "the server answers again" in texts[1]
    assert "ended after" in caplog.messages[-1]


async def test_events_are_frozen_values_that_can_be_pickled() -> None:
    heard = Listener()
    async with FakeE2E(images=3) as fake, fake.session(hooks=[heard], retry=FAST) as session:
        fake.faults = Faults.script(Fault("429-json-seconds", value="0.02"))
        await session.images.run(Plan.delete([*fake.images]))
    for event in heard.events:
        assert pickle.loads(pickle.dumps(event)) == event
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            event.action = "another"


async def test_a_request_id_of_the_server_is_told_without_secrets() -> None:
    heard = Listener()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"code": 200, "data": [], "errors": {}, "message": "Success"}'
        head = f"HTTP/1.1 200 OK\r\nX-Request-Id: key-123456 {'r' * 500}\r\n"
        writer.write(
            f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        credentials = aioe2e.Credentials(api_key="key-123456", auth_token="token-123456")
        url = f"http://127.0.0.1:{port}/"
        async with aioe2e.Session(credentials, base_url=url, hooks=[heard]) as session:
            await session.images.list()
    (event,) = heard.of(AttemptEvent)
    assert "key-123456" not in event.request_id
    assert "rrr" in event.request_id
    assert len(event.request_id) <= 128


# Logs


async def test_the_log_says_why_a_call_was_retried_and_how_long_it_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "aioe2e")
    async with FakeE2E(images=1) as fake, fake.session(retry=FAST) as session:
        image = next(iter(fake.images))
        fake.faults = Faults.script("reset", "503-json", "502-html")
        await session.images.rename(image, "new-name")
    reasons = ["connection lost", "server error (503)", "server error (502)"]
    for number, (record, reason) in enumerate(zip(caplog.records, reasons, strict=True), 1):
        assert record.levelno == logging.INFO
        start = f"rename of image {image}: attempt {number} failed: {reason}; the next in "
        assert record.getMessage().startswith(start)
        fields = vars(record)
        assert fields["action"] == "rename"
        assert fields["target"] == image
        assert fields["attempt"] == number
        assert fields["reason"] == reason
        assert 0 <= fields["delay"] <= 1
    assert len({vars(record)["call_id"] for record in caplog.records}) == 1


async def test_each_request_is_one_line_with_status_cause_and_duration(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "aioe2e")
    async with FakeE2E() as fake, fake.session(retry=FAST) as session:
        fake.faults = Faults.script("reset", "503-json")
        await session.images.list()
    lines = [record for record in caplog.records if record.levelno == logging.DEBUG]
    texts = [line.getMessage().rpartition(",")[0] for line in lines]
    assert texts == [
        "GET images/saved-images/: no reply, it may have been carried out (ConnectionLostError)",
        "GET images/saved-images/: 503, it may have been carried out (ServerError)",
        "GET images/saved-images/: 200, done",
    ]
    assert [vars(line)["status"] for line in lines] == [None, 503, 200]
    assert [vars(line)["cause"] for line in lines] == ["ConnectionLostError", "ServerError", None]
    assert all(vars(line)["elapsed"] > 0 for line in lines)


async def test_an_unknown_outcome_is_a_warning_that_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeE2E(images=1) as fake, fake.session(retry=FAST) as session:
        fake.faults = Faults.script(Fault("reset", False))
        node = next(iter(fake.nodes))
        with pytest.raises(aioe2e.OutcomeUnknownError):
            await session.images.save(node, "a-name")
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert f"save of node {node}" in record.getMessage()
    assert "list the images" in record.getMessage()
    assert vars(record)["outcome"] == "unknown"
    assert vars(record)["cause"] == "ConnectionLostError"


async def test_an_empty_retry_budget_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    limits = aioe2e.Limits(retry_budget=2)
    async with FakeE2E() as fake, fake.session(retry=FAST, limits=limits) as session:
        fake.faults = lambda _: "503-json"
        for _ in range(4):
            with pytest.raises(aioe2e.ServerError):
                await session.images.list()
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "the retry budget of the session is empty" in warnings[0]


async def test_no_line_has_a_query_or_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    heard = Listener()
    async with FakeE2E(images=3) as fake:
        key, token = fake.credentials.api_key, str(fake.credentials.auth_token)
        fake.faults = Faults.script("reset", "503-html", "401-json", "garbage", "403-html")
        async with fake.session(hooks=[heard], retry=FAST) as session:
            for image in list(fake.images):
                with pytest.raises(aioe2e.E2EError):
                    await session.images.delete(image)
                    raise aioe2e.UsageError("done")
            await session.request("GET", "nodes/", query={"page_no": 1})
    told = [repr(event) for event in heard.events]
    told += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    for text in told:
        assert key not in text
        assert token not in text
        assert "?" not in text.replace("'?", "")
        assert "page_no" not in text
