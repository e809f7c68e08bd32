"""The loop of a call: when it attempts again, why it stops, and which error that makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from virtual_time import in_virtual_time, now

from aioe2e import (
    Credentials,
    DeadlineExceededError,
    Dialect,
    E2EError,
    Limits,
    OutcomeUnknownError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    SessionError,
    Timeouts,
)
from aioe2e._call import Call, Channel, ChannelSettings, Options
from aioe2e._call.errors import STOP_TEXTS, Stop, stop_text
from aioe2e._clock import Clock
from aioe2e._record import CallRecord
from aioe2e._wire import Context, Fate, Request, Verdict, encode
from aioe2e.models import Action

RENAME = encode(Action.RENAME, "5", "golden", Dialect.DOCUMENTED)
POLICY = RetryPolicy(attempts=4, base=1.0, cap=1.0, max_retry_after=60.0)


def channel(**limits: int) -> Channel:
    return Channel(
        ChannelSettings(
            credentials=Credentials(api_key="k3y-of-the-user", auth_token="t0ken-of-the-user"),
            base="http://127.0.0.1:1/",
            limits=Limits(**limits),  # type: ignore[arg-type]  # whole numbers only
            dialect=Dialect.AUTO,
            hooks=(),
            user_agent="tests",
            trust_env=False,
            clock=Clock(),
        ),
        None,
    )


def answer(status: int, *, wait: float | None = None) -> Verdict:
    kind = RateLimitedError if status == 429 else ServerError
    fate = Fate.WAIT if status == 429 else Fate.NOT_SENT
    error = kind(f"answered {status}", subject="rename of image 5", status=status)
    return Verdict(fate, status, error=error, retry_after=wait)


class Scripted(Call):
    """A call whose attempts come to what they are told."""

    log: list[float]
    verdicts: list[Verdict]

    def told(self, verdicts: Sequence[Verdict]) -> Scripted:
        self.log, self.verdicts = [], list(verdicts)
        return self

    async def attempt(self) -> Verdict:
        self.log.append(now())
        self._record.attempts += 1
        if self.deadline is None:
            self.deadline = now() + (self._options.timeouts.total or 1e9)
        return self._note(self.verdicts.pop(0))


async def end_of(
    verdicts: Sequence[Verdict],
    *,
    total: float = 1000.0,
    policy: RetryPolicy = POLICY,
    request: Request = RENAME,
    budget: int = 100,
    close: bool = False,
) -> tuple[Verdict | E2EError, Scripted]:
    session = channel(retry_budget=budget)
    options = Options(Timeouts(total=total), policy, Context())
    call = Scripted(session, options, request, CallRecord()).told(verdicts)
    try:
        if close:
            session.enter()
            call._transport = session.enter()
            await session.close()
            return await call._finish(await call.attempt()), call
        return await call.run(), call
    except E2EError as error:
        return error, call
    finally:
        await session.close()


@in_virtual_time
async def test_a_call_that_succeeds_makes_one_attempt_and_never_rests() -> None:
    start = now()
    verdict, call = await end_of([Verdict(Fate.DONE, 200)])
    assert isinstance(verdict, Verdict)
    assert call.log == [start] == [now()]


@in_virtual_time
async def test_it_attempts_again_until_one_succeeds_with_a_rest_in_between() -> None:
    verdict, call = await end_of([answer(503), answer(503), Verdict(Fate.DONE, 200)])
    assert isinstance(verdict, Verdict)
    assert len(call.log) == 3
    assert 0 <= call.log[1] - call.log[0] <= 1.0


@in_virtual_time
async def test_the_rest_is_at_least_as_long_as_the_server_asked_for() -> None:
    _, call = await end_of([answer(429, wait=30.0), Verdict(Fate.DONE, 200)])
    assert 30.0 <= call.log[1] - call.log[0] <= 31.0


#: How a call may stop: what it meets, the class of its error, and words that must be in its text.
STOPS: dict[Stop, tuple[list[Verdict], dict[str, Any], type[E2EError], str]] = {
    Stop.ATTEMPTS: ([answer(503)] * 4, {}, ServerError, "given up after 4 attempts"),
    Stop.LONG_WAIT: ([answer(429, wait=61.0)], {}, RateLimitedError, "asks for 61 s"),
    Stop.NO_TIME: ([answer(503)] * 4, {"total": 0.001}, DeadlineExceededError, "not done in time"),
    Stop.NO_BUDGET: ([answer(503)], {"budget": 0}, ServerError, "retry budget is empty"),
    Stop.CLOSED: ([answer(503)], {"close": True}, ServerError, "answered 503"),
}


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
def test_each_reason_to_stop_has_its_error(stop: Stop) -> None:
    verdicts, options, kind, words = STOPS[stop]

    @in_virtual_time
    async def run() -> None:
        error, call = await end_of(verdicts, **options)
        assert isinstance(error, kind)
        assert words in str(error)
        assert error.attempts == len(call.log)

    run()


@pytest.mark.parametrize("mutation", ["same", "empty", "swapped"])
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
def test_other_words_for_a_reason_make_no_other_error(
    stop: Stop, mutation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = list(STOP_TEXTS.values())
    changed = {
        "same": dict.fromkeys(Stop, "no time is left for another attempt"),
        "empty": dict.fromkeys(Stop, ""),
        "swapped": dict(zip(Stop, reversed(texts), strict=True)),
    }[mutation]
    monkeypatch.setattr("aioe2e._call.errors.STOP_TEXTS", changed)
    verdicts, options, kind, _ = STOPS[stop]

    @in_virtual_time
    async def run() -> None:
        error, _ = await end_of(verdicts, **options)
        assert type(error) is kind
        assert "rename of image 5: " in str(error)

    run()


@in_virtual_time
async def test_an_open_write_that_nothing_proves_is_unknown_and_says_why_it_was_given_up() -> None:
    lost = ServerError("answered 500", subject="rename of image 5", status=500)
    maybe = Verdict(Fate.MAYBE, 500, error=lost)
    error, _ = await end_of([maybe] * 4)
    assert isinstance(error, OutcomeUnknownError)
    assert str(error) == (
        "rename of image 5 to 'golden': sent 4 times, and it is not known whether it was carried out"
        " (last: answered 500; given up after 4 attempts)."
        " What to do: list the images to see; sending the same rename again does no harm."
    )
    assert (error.last, error.attempts, error.looked) == (lost, 4, False)


@in_virtual_time
async def test_a_closed_session_is_not_used() -> None:
    session = channel()
    await session.close()
    call = Call(session, Options(Timeouts(), POLICY, Context()), RENAME, CallRecord())
    with pytest.raises(SessionError, match="closed"):
        await call.run()


def test_every_reason_has_words() -> None:
    assert set(STOP_TEXTS) == set(Stop)
    once = stop_text(Stop.ATTEMPTS, RetryPolicy(attempts=1), answer(503))
    assert once == "given up after one attempt"
