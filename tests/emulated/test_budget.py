"""What an outage costs, and what a Retry-After means: counted where the requests arrive."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e import Limits, RateLimitedError, RetryPolicy, Status, Timeouts
from aioe2e.events import AttemptEvent, PauseEvent
from aioe2e.testing import FakeE2E, Fault

CALLS = 1000
BUDGET = 100
QUICK = RetryPolicy(base=0.005, cap=0.02, look=0.05, max_retry_after=1.0)
PATIENT = Timeouts(attempt=10.0, total=60.0)


@contextlib.asynccontextmanager
async def gathered(session: aioe2e.Session, calls: int) -> AsyncIterator[Counter[str]]:
    """The ends of so many lists at once."""
    found = await asyncio.gather(
        *(session.images.list() for _ in range(calls)), return_exceptions=True
    )
    assert not [
        end
        for end in found
        if isinstance(end, BaseException) and not isinstance(end, aioe2e.E2EError)
    ]
    yield Counter("ok" if isinstance(end, list) else type(end).__name__ for end in found)


def retrying(session_of: FakeE2E, **options: Any) -> aioe2e.Session:
    return session_of.session(
        retry=options.pop("retry", QUICK),
        timeouts=options.pop("timeouts", PATIENT),
        limits=options.pop("limits", Limits(in_flight=32, retry_budget=BUDGET)),
        **options,
    )


async def full_rate_again(fake: FakeE2E, session: aioe2e.Session, calm: float) -> None:
    """After an outage the session is as fast as before it, within a second."""
    await session.images.list()
    began = time.monotonic()
    async with gathered(session, 200) as ends:
        assert ends == {"ok": 200}
    assert time.monotonic() - began < 3 * calm + 5.0
    fake.max_in_flight = 0
    for _ in range(10):  # on a busy machine they do not meet at the first try
        await asyncio.gather(*(session.images.list() for _ in range(64)))
        if fake.max_in_flight >= 32:
            break
    assert fake.max_in_flight == 32


async def calm_time(session: aioe2e.Session) -> float:
    began = time.monotonic()
    async with gathered(session, 200) as ends:
        assert ends == {"ok": 200}
    return time.monotonic() - began


@pytest.mark.parametrize("fault", ["502-html", "close", "hang"])
async def test_an_outage_costs_little_more_than_a_request_a_call(fault: str) -> None:
    attempts: list[object] = []
    async with (
        FakeE2E(images=3, latency=0.002) as fake,
        retrying(fake, hooks=[attempts.append]) as session,
    ):
        calm = await calm_time(session)
        # a hang of all holds its slot for the whole attempt, so there are fewer of them
        before, calls = len(fake.calls), CALLS // 4 if fault == "hang" else CALLS
        attempts.clear()
        fake.faults = Fault(fault)
        hasty = (
            session.with_options(timeouts=Timeouts(attempt=0.05, total=60.0))
            if fault == "hang"
            else session
        )
        async with gathered(hasty, calls) as ends:
            assert ends["ok"] == 0
        # On a busy machine an attempt may end before its request has arrived.
        assert calls <= sum(isinstance(event, AttemptEvent) for event in attempts)
        assert len(fake.calls) - before <= 1.1 * calls + BUDGET
        fake.faults = None
        await full_rate_again(fake, session, calm)


async def test_a_refused_connection_costs_little_more_than_a_try_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = 0
    connect = asyncio.SelectorEventLoop.sock_connect

    async def counted(self: Any, sock: Any, address: Any) -> None:
        nonlocal tries
        tries += 1
        await connect(self, sock, address)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", counted)
    async with FakeE2E(images=3) as fake:
        port, credentials, url = fake.port, fake.credentials, fake.url
    limits = Limits(in_flight=32, retry_budget=BUDGET)
    session = aioe2e.Session(credentials, base_url=url, retry=QUICK, limits=limits)
    async with session:
        with (
            socket.socket() as taken
        ):  # bound and not listening: refuses, and keeps others off the port
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            async with gathered(session, CALLS) as ends:
                assert ends == {"ConnectError": CALLS}
        assert CALLS <= tries <= 1.1 * CALLS + BUDGET
        async with FakeE2E(images=3, port=port, latency=0.002) as again:
            await full_rate_again(again, session, calm=0.3)


async def test_an_empty_budget_says_so_and_a_success_refills_it() -> None:
    async with FakeE2E(images=3) as fake, retrying(fake, limits=Limits(retry_budget=2)) as session:
        fake.faults = Fault("502-html")
        with pytest.raises(aioe2e.ServerError, match="retry budget is empty"):
            await session.images.list()
        assert len(fake.calls) == 3
        with pytest.raises(aioe2e.ServerError, match="retry budget is empty"):
            await session.images.list()
        assert len(fake.calls) == 4
        fake.faults = None
        await session.images.list()
        fake.inject("502-html")
        await session.images.list()
        assert len(fake.calls) == 7


async def test_a_bulk_run_does_not_burn_its_list_on_a_server_that_is_down() -> None:
    async with FakeE2E(images=300) as fake, retrying(fake) as session:
        fake.faults = Fault("502-html", False)
        images = list(fake.images)
        async with session.images.stream(
            aioe2e.Plan.delete(images, force=True), limit=8
        ) as outcomes:
            await asyncio.sleep(0.4)
            # 8 steps of 4 attempts and a look each, and after that one at a time with a back-off
            assert len(outcomes.report) < 40
            assert len(fake.calls) < 200
            fake.faults = None
            ended = [outcome async for outcome in outcomes]
        assert len(ended) == 300
        assert outcomes.report.counts()[Status.DONE] >= 260 - 40


# Retry-After


async def test_one_throttle_pauses_the_whole_session_once() -> None:
    pauses: list[PauseEvent] = []

    def listen(event: object) -> None:
        if isinstance(event, PauseEvent):
            pauses.append(event)

    async with FakeE2E(images=3, latency=0.01) as fake, retrying(fake, hooks=[listen]) as session:
        fake.inject(Fault("429-json-seconds", value="0.4"), times=8)
        async with gathered(session, 100) as ends:
            assert ends == {"ok": 100}
        throttled = [call for call in fake.calls if call.status == 429]
        assert len(throttled) == 8
        assert len(pauses) == 1
        # What was in flight already when the first 429 came may still arrive; nothing is sent after that.
        first = throttled[0].time
        arrived = [call for call in fake.calls if first < call.time < first + 0.4]
        assert len(arrived) < 64
        assert len(fake.calls) == 108


async def test_nothing_is_sent_inside_a_retry_after_window_and_jitter_comes_on_top() -> None:
    async with FakeE2E(images=3) as fake, retrying(fake) as session:
        fake.inject(Fault("429-json-decimals", value="0.25"), times=2)
        await session.images.list()
        gaps = [
            later.time - earlier.time
            for earlier, later in zip(fake.calls, fake.calls[1:], strict=False)
        ]
        assert [gap >= 0.25 for gap in gaps] == [True, True]
        assert sum(gaps) < SOON


@pytest.mark.parametrize("spelling", ["35-digits", "long", "http-date"])
async def test_a_retry_after_beyond_the_bound_fails_the_call_at_once(spelling: str) -> None:
    policy = RetryPolicy(base=0.005, cap=0.02, max_retry_after=0.3)
    async with FakeE2E(images=3) as fake, retrying(fake, retry=policy) as session:
        value = "Fri, 31 Dec 2100 23:59:59 GMT" if spelling == "http-date" else None
        fake.inject(Fault(f"429-json-{spelling}", value=value))
        began = time.monotonic()
        with pytest.raises(RateLimitedError) as caught:
            await session.images.list()
        assert time.monotonic() - began < SOON
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 80_000
        assert caught.value.attempts == 1
        # The session's pause is max_retry_after and no longer.
        await session.images.list()
        assert 0.3 <= fake.calls[1].time - fake.calls[0].time < SOON


@pytest.mark.parametrize(
    "spelling", ["negative", "nan", "zero", "infinite", "words", "empty", "none", "past-date"]
)
async def test_an_absurd_retry_after_is_a_plain_throttle(spelling: str) -> None:
    async with FakeE2E(images=3) as fake, retrying(fake) as session:
        fake.inject(f"429-json-{spelling}")
        began = time.monotonic()
        await session.images.list()
        assert time.monotonic() - began < SOON
        assert len(fake.calls) == 2


async def test_of_two_retry_afters_the_longer_is_kept() -> None:
    policy = RetryPolicy(base=0.005, cap=0.02, max_retry_after=1.5)
    async with FakeE2E(images=3) as fake, retrying(fake, retry=policy) as session:
        fake.inject("429-json-twice")  # 1 and 2
        with pytest.raises(RateLimitedError) as caught:
            await session.images.list()
        assert caught.value.retry_after == 2.0


async def test_a_call_that_cannot_outlast_the_pause_is_told_so_without_a_request() -> None:
    policy = RetryPolicy(base=0.005, cap=0.02, max_retry_after=120.0)
    async with FakeE2E(images=12) as fake, retrying(fake, retry=policy) as session:
        hasty = session.with_options(timeouts=Timeouts(total=1.0), retry=policy)
        fake.inject(Fault("429-json-seconds", value="60"))
        with pytest.raises(RateLimitedError) as met:
            await hasty.images.list()
        assert (met.value.attempts, met.value.retry_after) == (1, 60.0)
        began = time.monotonic()
        with pytest.raises(RateLimitedError) as told:
            await hasty.images.rename("1", "x")
        assert time.monotonic() - began < SOON
        assert told.value.attempts == 0
        assert told.value.retry_after == pytest.approx(60.0, abs=SOON)
        report = await hasty.images.bulk_delete(
            list(fake.images)[:3], force=True, wait_for_budget=False
        )
        assert report.counts()[Status.SKIPPED] == 3
        assert len(fake.calls) == 1


async def test_a_late_429_of_an_earlier_round_does_not_halve_the_limit_again() -> None:
    limits: list[int] = []

    def listen(event: object) -> None:
        if isinstance(event, PauseEvent):
            limits.append(event.limit)

    async with (
        FakeE2E(images=3, latency=(0.005, 0.05)) as fake,
        retrying(fake, hooks=[listen], limits=Limits(in_flight=16)) as session,
    ):
        fake.inject(Fault("429-json-decimals", value="0.1"), times=16)
        async with gathered(session, 16) as ends:
            assert ends == {"ok": 16}
        assert limits == [8]
