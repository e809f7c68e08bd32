"""Throttles and request budgets: nothing leaves after they were read, and the session tells them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

import aioe2e
from aioe2e import (
    AttemptEvent,
    AttemptStarted,
    ConfigError,
    Credentials,
    Event,
    Limits,
    PauseEvent,
    RateLimitedError,
    RetryPolicy,
)
from aioe2e.testing import FakeE2E, Fault, Faults

PATIENT = RetryPolicy(base=0.001, cap=0.002, max_retry_after=30.0)


@pytest.mark.parametrize("waiting", [3, 40])
async def test_a_call_that_waits_for_a_slot_does_not_leave_inside_a_pause(waiting: int) -> None:
    """The slot of the throttled request is given back only when its reply has been read."""
    seen: list[tuple[float, Event]] = []
    async with FakeE2E(images=50) as fake:
        session = fake.session(
            limits=Limits(in_flight=2),
            retry=PATIENT,
            hooks=[lambda event: seen.append((time.monotonic(), event))],
        )
        async with session:
            fake.inject(Fault("429-json-seconds", value="1"), action="rename")
            images = list(fake.images)[: waiting + 2]
            await asyncio.gather(*(session.images.rename(image, f"n{image}") for image in images))
    (throttled_at,) = (
        at for at, event in seen if isinstance(event, AttemptEvent) and event.status == 429
    )
    started = [at - throttled_at for at, event in seen if isinstance(event, AttemptStarted)]
    assert [after for after in started if 0 <= after < 1.0] == []
    pauses = [event for _, event in seen if isinstance(event, PauseEvent)]
    assert [pause.limit for pause in pauses] == [1]


@pytest.mark.parametrize("family", ["ratelimit", "x-ratelimit"])
async def test_the_session_tells_the_request_budget_that_replies_speak_of(family: str) -> None:
    async with (
        FakeE2E(images=3, requests_per_hour=100, rate_limit_headers=family) as fake,
        fake.session() as session,
    ):
        before = session.rate_limit
        assert before is None
        await session.images.list()
        after_read = session.rate_limit
        await session.images.rename(next(iter(fake.images)), "new")
        after_write = session.rate_limit
        assert after_read is not None
        assert after_write is not None
        assert after_read.limit == after_write.limit
        assert after_read.remaining is not None
        assert after_write.remaining == after_read.remaining - 1
        assert after_write.reset_at is not None
        assert after_write.reset_at >= after_write.seen_at
        assert abs((datetime.now(UTC) - after_write.seen_at).total_seconds()) < 60
        assert session.with_options(retry=PATIENT).rate_limit == after_write


async def test_a_server_without_such_headers_tells_no_budget() -> None:
    async with FakeE2E(images=3) as fake, fake.session() as session:
        await session.images.list()
        assert session.rate_limit is None


async def test_nothing_is_sent_once_a_reply_says_that_nothing_remains() -> None:
    """The call that would have to wait too long fails at once, and says how long."""
    async with FakeE2E(
        images=3, requests_per_hour=3600.0, burst=2, rate_limit_headers="x-ratelimit"
    ) as fake:
        timeouts = aioe2e.Timeouts(total=0.2)
        async with fake.session(retry=PATIENT) as session:
            await session.images.list()
            await session.images.list()
            assert session.rate_limit is not None
            assert session.rate_limit.remaining == 0
            hasty = session.with_options(timeouts=timeouts)
            with pytest.raises(RateLimitedError) as caught:
                await hasty.images.list()
            assert caught.value.attempts == 0
            assert caught.value.retry_after is not None
            assert len(fake.calls) == 2
            await session.images.list()
            assert [call.status for call in fake.calls] == [200, 200, 200]


async def test_an_hourly_limit_of_ones_own_ends_calls_that_would_wait_too_long_at_once() -> None:
    async with FakeE2E(images=3) as fake:
        async with fake.session(limits=Limits(per_hour=2)) as session:
            await session.images.list()
            await session.images.list()
            with pytest.raises(RateLimitedError) as caught:
                await session.images.list()
            assert caught.value.retry_after == pytest.approx(3600, abs=60)
        assert len(fake.calls) == 2


async def test_an_error_of_a_renewed_token_says_how_many_requests_were_sent() -> None:
    tokens = iter(["a-first-token"])

    async def source() -> str:
        return next(tokens)

    async with FakeE2E(images=3) as fake:
        credentials: Any = Credentials(api_key=fake.credentials.api_key, auth_token=source)
        async with fake.session(credentials=credentials) as session:
            fake.faults = Faults.on("list", "401-json", times=None)
            with pytest.raises(ConfigError) as caught:
                await session.images.list()
            assert caught.value.attempts == 1
