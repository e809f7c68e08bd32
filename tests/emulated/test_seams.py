"""A limiter and a guard given to a session: when they are asked, and what happens when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from patience import SOON

import aioe2e
from aioe2e import (
    ConfigError,
    GuardError,
    LimiterEvent,
    Limits,
    Plan,
    RetryPolicy,
    SessionError,
    Status,
    Timeouts,
)
from aioe2e.testing import FakeE2E, Fault, Faults

FAST = RetryPolicy(base=0.001, cap=0.002, look=0.02)


class Turnstile:
    """A limiter that notes what it is asked, and does something before each turn."""

    def __init__(self, before: Callable[[int], Any] | None = None) -> None:
        self.turns = 0
        self.given = 0
        self.pauses: list[float] = []
        self._before = before

    async def acquire(self, weight: int = 1) -> None:
        assert weight == 1
        self.turns += 1
        if self._before is not None:
            await self._before(self.turns)
        self.given += 1

    def throttled(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Door:
    """A guard that notes who is inside."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.log: list[str] = []
        self.error = error

    def hold(self, image: str, /) -> AbstractAsyncContextManager[None]:
        return self._hold(image)

    @contextlib.asynccontextmanager
    async def _hold(self, image: str) -> AsyncGenerator[None]:
        if self.error is not None:
            raise self.error
        self.log.append(f"enter {image}")
        try:
            yield
        finally:
            self.log.append(f"leave {image}")


# The limiter


async def test_every_request_takes_a_turn() -> None:
    limiter = Turnstile()
    async with FakeE2E(images=6) as fake, fake.session(limiter=limiter, retry=FAST) as session:
        fake.inject("reset", "rename", times=2)  # retries and looks
        fake.inject("405-json", "delete", times=1)  # the other method
        images = await session.images.list()
        await session.images.rename(images[0], "new-name")
        await session.images.delete(images[1])
        await session.images.bulk_delete(images[2:5])
        await session.request("GET", "nodes/")
        assert limiter.turns == limiter.given == len(fake.calls)


async def test_the_views_of_a_session_share_its_limiter() -> None:
    limiter = Turnstile()
    async with FakeE2E() as fake, fake.session(limiter=limiter) as session:
        await session.with_options(retry=FAST).images.list()
    assert limiter.turns == 1


async def test_waiting_for_the_first_turn_has_no_timeout() -> None:
    async def hang(_: int) -> None:
        await asyncio.sleep(0.7)

    clocks = Timeouts(attempt=0.6, total=0.6)
    async with FakeE2E() as fake:
        async with fake.session(limiter=Turnstile(hang), timeouts=clocks) as session:
            await session.images.list()


async def test_waiting_for_a_later_turn_counts_towards_the_timeout_of_the_call() -> None:
    async def hang(turn: int) -> None:
        await asyncio.sleep(60 if turn > 1 else 0)

    async with FakeE2E() as fake:
        fake.faults = Faults.script("503-json")
        limiter = Turnstile(hang)
        clocks = Timeouts(total=0.6)
        async with fake.session(limiter=limiter, timeouts=clocks, retry=FAST) as session:
            began = time.monotonic()
            with pytest.raises(aioe2e.DeadlineExceededError):
                await session.images.list()
            assert time.monotonic() - began < SOON
        assert len(fake.calls) == 1


async def test_a_call_that_waits_for_its_turn_holds_no_slot() -> None:
    let_first_go = asyncio.Event()

    async def first_waits(turn: int) -> None:
        if turn == 1:
            await let_first_go.wait()

    limits = Limits(in_flight=2)
    limiter = Turnstile(first_waits)
    async with FakeE2E() as fake, fake.session(limiter=limiter, limits=limits) as session:
        first = asyncio.create_task(session.images.list())
        await asyncio.sleep(0.02)
        # With one slot taken by the first, these two would never be in flight together.
        fake.faults = Faults.script(*[Fault("slow", seconds=0.4)] * 2)
        await asyncio.gather(session.request("GET", "nodes/"), session.request("GET", "images/"))
        assert fake.max_in_flight == 2
        let_first_go.set()
        await first


async def test_in_a_pause_the_limiter_is_not_asked_but_informed() -> None:
    limiter = Turnstile()
    async with FakeE2E(images=3) as fake, fake.session(limiter=limiter, retry=FAST) as session:
        fake.faults = Faults.script(Fault("429-json-seconds", value="0.6"))
        first = asyncio.create_task(session.images.list())
        while not limiter.pauses:
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(session.request("GET", "nodes/")) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert limiter.turns == 1
        await asyncio.gather(first, *others)
    assert limiter.turns == 5
    assert limiter.pauses == [pytest.approx(0.6)]


async def test_only_a_few_calls_ask_at_a_time() -> None:
    asking = most = 0

    async def count(_: int) -> None:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0.001)
        asking -= 1

    async with FakeE2E() as fake:
        async with fake.session(limiter=Turnstile(count)) as session:
            await asyncio.gather(*(session.request("GET", "nodes/") for _ in range(40)))
    assert most == 4


async def test_a_retry_asks_before_calls_that_have_not_begun() -> None:
    async def paced(_: int) -> None:
        await asyncio.sleep(0.02)

    async with (
        FakeE2E(images=200) as fake,
        fake.session(limiter=Turnstile(paced), retry=FAST) as session,
    ):
        fake.faults = Faults.script("503-json")
        first = asyncio.create_task(session.images.list())
        while not fake.calls:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(session.request("GET", "nodes/")) for _ in range(40)]
        await first
        assert sum(task.done() for task in others) < 15
        await asyncio.gather(*others)


async def test_turns_that_become_old_behind_a_slow_server_are_taken_again() -> None:
    limiter = Turnstile()
    limits = Limits(in_flight=1)
    async with FakeE2E() as fake, fake.session(limiter=limiter, limits=limits) as session:
        fake.faults = Faults.script(Fault("slow", seconds=1.6))
        first = asyncio.create_task(session.request("GET", "nodes/"))
        while not fake.calls:
            await asyncio.sleep(0.01)
        await asyncio.gather(first, session.request("GET", "nodes/"))
    assert limiter.turns == 3


@pytest.mark.parametrize("error", [ValueError("s3cret-of-the-limiter"), TimeoutError(), OSError()])
async def test_a_limiter_that_raises_is_named_and_nothing_is_sent(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: int) -> None:
        raise error

    kind = type(error).__name__
    async with FakeE2E(images=5) as fake, fake.session(limiter=Turnstile(fail)) as session:
        with pytest.raises(
            ConfigError, match=rf"the limiter failed: acquire\(\) raised {kind}"
        ) as e:
            await session.images.list()
        assert "s3cret" not in repr(e.value)
        assert e.value.__cause__ is None
        assert e.value.__context__ is None
        report = await session.images.run(Plan.delete([*fake.images]))
        assert report.counts()[Status.SKIPPED] == 5
        assert len(report.remaining()) == 5
        assert not fake.calls
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [r.getMessage() for r in warnings] == [
        f"the limiter failed with {kind}: requests are not sent until it works again"
    ], "said once"


async def test_if_a_limiter_fails_during_a_call_the_listing_decides_the_outcome() -> None:
    async def fail(turn: int) -> None:
        if turn == 2:
            raise LookupError

    async with FakeE2E(images=3) as fake:
        async with fake.session(limiter=Turnstile(fail), retry=FAST) as session:
            fake.inject(Fault("reset", True), "rename")
            image = next(iter(fake.images))
            await session.images.rename(image, "new-name")  # the listing proves it
            assert fake.images[image]["name"] == "new-name"


async def test_a_limiter_that_answers_after_a_cancel_sends_nothing() -> None:
    async def deaf(_: int) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)

    async with FakeE2E() as fake, fake.session(limiter=Turnstile(deaf)) as session:
        call = asyncio.create_task(session.images.list())
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not fake.calls


async def test_a_limiter_that_answers_after_the_session_is_closed_sends_nothing() -> None:
    async def deaf(_: int) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)

    async with FakeE2E() as fake, fake.session(limiter=Turnstile(deaf)) as session:
        calls = [asyncio.create_task(session.images.list()) for _ in range(40)]
        await asyncio.sleep(0.05)
        await session.close()
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, SessionError)
        assert not fake.calls


async def test_a_cancelled_wait_for_a_turn_gives_its_place_to_the_next() -> None:
    hanging = True

    async def hang(_: int) -> None:
        if hanging:
            await asyncio.sleep(10)

    limits = Limits(in_flight=1)
    async with FakeE2E() as fake, fake.session(limiter=Turnstile(hang), limits=limits) as session:
        call = asyncio.create_task(session.images.list())
        await asyncio.sleep(0.02)
        hanging = False
        call.cancel()
        await session.images.list()
        assert call.cancelled()


async def test_a_throttled_method_that_raises_or_returns_a_coroutine_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd(Turnstile):
        def throttled(self, seconds: float) -> Any:
            if not self.pauses:
                self.pauses.append(seconds)
                raise ValueError
            return asyncio.sleep(0)

    async with FakeE2E() as fake, fake.session(limiter=Odd(), retry=FAST) as session:
        fake.faults = Faults.script(*[Fault("429-json-seconds", value="0.05")] * 2)
        await session.images.list()
    assert "the limiter failed with ValueError" in caplog.text


async def test_hooks_get_an_event_for_every_turn() -> None:
    class Named(Turnstile):
        mode = "shared"

    events: list[Any] = []
    async with FakeE2E() as fake, fake.session(limiter=Named(), hooks=[events.append]) as session:
        await session.images.list()
    (turn,) = (event for event in events if isinstance(event, LimiterEvent))
    assert (turn.mode, turn.error) == ("shared", None)
    assert turn.waited >= 0


@pytest.mark.parametrize(
    ("limiter", "named"),
    [
        (object(), "a value of type object does not"),
        (Turnstile, "the class Turnstile"),
        ("redis://localhost", "a value of type str does not"),
    ],
)
def test_an_object_without_the_methods_of_a_limiter_is_refused(limiter: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=f"limiter must have the methods .*{named}"):
        aioe2e.Session(credentials(), limiter=limiter)


def test_an_async_throttled_method_is_refused() -> None:
    class Wrong(Turnstile):
        async def throttled(self, seconds: float) -> None:  # type: ignore[override]  # the mistake
            """Never awaited."""

    with pytest.raises(ConfigError, match="throttled must not be async"):
        aioe2e.Session(credentials(), limiter=Wrong())  # type: ignore[arg-type]  # the mistake


def test_limiter_and_guard_are_given_the_account_and_not_the_key() -> None:
    seen: list[str] = []

    class Curious(Turnstile, Door):
        def __init__(self) -> None:
            Turnstile.__init__(self)
            Door.__init__(self)

        def for_account(self, account: str) -> Curious:
            seen.append(account)
            return self

    curious = Curious()
    for key in ("first-key-1234", "first-key-1234", "other-key-1234"):
        aioe2e.Session(
            aioe2e.Credentials(api_key=key, auth_token="token-1234"), limiter=curious, guard=curious
        )
    limiters, guards = seen[::2], seen[1::2]
    assert limiters == guards
    assert limiters[0] == limiters[1] != limiters[2]
    assert not any("key" in account or len(account) != 16 for account in seen)


def credentials() -> aioe2e.Credentials:
    return aioe2e.Credentials(api_key="key-123456", auth_token="token-123456")


# The guard


async def test_only_writes_of_images_are_inside_the_guard() -> None:
    door = Door()
    async with FakeE2E(images=3) as fake, fake.session(guard=door) as session:
        one, two, three = await session.images.list()
        assert door.log == []
        await session.images.rename(one, "new-name")
        await session.images.delete(two)
        await session.images.save(next(iter(fake.nodes)), "of-a-node")
        await session.images.bulk_rename({three: "newer-name"})
    ids = [image.image_id for image in (one, two, three)]
    assert door.log == [f"{word} {i}" for i in ids for word in ("enter", "leave")]


@pytest.mark.parametrize("error", [GuardError("image 1: held"), LookupError("s3cret"), OSError()])
async def test_a_guard_that_refuses_ends_the_write_before_anything_is_sent(
    error: Exception,
) -> None:
    async with FakeE2E(images=4) as fake, fake.session(guard=Door(error)) as session:
        with pytest.raises(GuardError) as caught:
            await session.images.delete(next(iter(fake.images)))
        assert "s3cret" not in repr(caught.value)
        assert caught.value.__context__ is None
        assert caught.value.attempts == 0
        report = await session.images.run(Plan.delete([*fake.images]))
        assert report.counts()[Status.SKIPPED] == 4
        assert all("image" in str(outcome.error) for outcome in report)
        assert len(report.remaining()) == 4
        assert not fake.calls


async def test_a_guard_that_fails_on_release_changes_no_outcome(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Sticky(Door):
        @contextlib.asynccontextmanager
        async def _hold(self, image: str) -> AsyncGenerator[None]:
            yield
            raise LookupError(image)

    async with FakeE2E(images=2) as fake, fake.session(guard=Sticky()) as session:
        one, two = fake.images
        await session.images.delete(one)
        fake.inject("403-json", "delete")
        with pytest.raises(aioe2e.PermissionDeniedError):
            await session.images.delete(two)
    assert caplog.text.count("the guard failed with LookupError when the write was over") == 2


async def test_closing_the_session_ends_a_wait_for_the_guard() -> None:
    class Shut(Door):
        @contextlib.asynccontextmanager
        async def _hold(self, image: str) -> AsyncGenerator[None]:
            await asyncio.sleep(10)
            yield

    async with FakeE2E(images=1) as fake, fake.session(guard=Shut()) as session:
        call = asyncio.create_task(session.images.delete(next(iter(fake.images))))
        await asyncio.sleep(0.05)
        await session.close()
        with pytest.raises(SessionError):
            await call
        assert not fake.calls


@pytest.mark.parametrize("guard", [object(), Door, "lock"])
def test_an_object_without_the_method_of_a_guard_is_refused(guard: Any) -> None:
    with pytest.raises(ConfigError, match="guard must have the method hold"):
        aioe2e.Session(credentials(), guard=guard)
