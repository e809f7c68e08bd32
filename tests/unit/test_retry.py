"""The retry table, row by row, the delays, and the loop that backoff runs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable

import pytest
from virtual_time import in_virtual_time, now, timers

from aioe2e._actions import Repeat
from aioe2e._call.retry import DECISIONS, Decision, decide, delays, repeat
from aioe2e._fates import Fate
from aioe2e._wire.request import Verdict
from aioe2e.config import RetryPolicy

_RETRY, _LOOK, _RAISE, _RETURN = Decision.RETRY, Decision.LOOK, Decision.RAISE, Decision.RETURN

#: (fate, in doubt) and what follows for what may be read, repeated, or carried out once.
TABLE = [
    (Fate.DONE, False, _RETURN, _RETURN, _RETURN),
    (Fate.DONE, True, _RETURN, _RETURN, _RETURN),
    (Fate.NOT_SENT, False, _RETRY, _RETRY, _RETRY),
    (Fate.NOT_SENT, True, _RETRY, _RETRY, _LOOK),
    (Fate.WAIT, False, _RETRY, _RETRY, _RETRY),
    (Fate.WAIT, True, _RETRY, _RETRY, _LOOK),
    (Fate.MAYBE, False, _RETRY, _RETRY, _LOOK),
    (Fate.MAYBE, True, _RETRY, _RETRY, _LOOK),
    (Fate.REFUSED, False, _RAISE, _RAISE, _RAISE),
]


@pytest.mark.parametrize(
    ("fate", "in_doubt", "kind", "decision"),
    [
        (fate, doubt, kind, decision)
        for fate, doubt, *row in TABLE
        for kind, decision in zip(Repeat, row, strict=True)
    ],
)
def test_every_row_of_the_table(
    fate: Fate, in_doubt: bool, kind: Repeat, decision: Decision
) -> None:
    assert decide(Verdict(fate), kind, in_doubt=in_doubt) is decision


@pytest.mark.parametrize("kind", [Repeat.IDEMPOTENT, Repeat.ONCE])
def test_a_refusal_after_a_maybe_proves_nothing(kind: Repeat) -> None:
    assert decide(Verdict(Fate.REFUSED), kind, in_doubt=True) is Decision.LOOK


def test_the_table_is_complete() -> None:
    assert set(DECISIONS) == set(Fate)
    assert all(set(row) == set(Repeat) for row in DECISIONS.values())


def test_what_may_be_carried_out_once_is_never_repeated_in_doubt() -> None:
    for fate in Fate:
        assert decide(Verdict(fate), Repeat.ONCE, in_doubt=True) is not Decision.RETRY


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy(), [0.5, 1, 2, 4, 8, 16, 20, 20, 20]),
        (RetryPolicy(base=0.1, cap=0.3), [0.1, 0.2, 0.3, 0.3]),
        (RetryPolicy(base=5, cap=1), [1, 1, 1]),
        (RetryPolicy(base=0), [0, 0, 0, 0]),
        (RetryPolicy(cap=0), [0, 0, 0]),
    ],
)
def test_the_delays_double_up_to_the_cap(policy: RetryPolicy, expected: Iterable[float]) -> None:
    expected = list(expected)
    assert list(itertools.islice(delays(policy), len(expected))) == pytest.approx(expected)


@pytest.mark.parametrize(
    "policy",
    [
        RetryPolicy(base=0.0),
        RetryPolicy(base=1e-300),
        RetryPolicy(base=1e-12),
        RetryPolicy(cap=0.0),
    ],
)
def test_thousands_of_delays_neither_fail_nor_leave_the_cap(policy: RetryPolicy) -> None:
    found = list(itertools.islice(delays(policy), 3000))
    assert all(0 <= delay <= policy.cap for delay in found)
    assert found == sorted(found)


class Scripted:
    """A call that wants so many more attempts."""

    def __init__(self, more: int, rest: float = 0.0) -> None:
        self._more = more
        self._rest = rest
        self.log: list[str] = []

    async def rest(self) -> None:
        self.log.append("rest")
        if self._rest:
            await asyncio.sleep(self._rest)

    async def attempt(self) -> Verdict:
        self.log.append("attempt")
        return Verdict(Fate.MAYBE, message=str(len(self.log)))

    def wants_another(self, verdict: Verdict) -> bool:
        self.log.append("asked")
        self._more -= 1
        return self._more > 0


@pytest.mark.parametrize("more", [1, 2, 5, 50])
def test_the_loop_rests_and_attempts_until_no_more_is_wanted(more: int) -> None:
    @in_virtual_time
    async def loop() -> None:
        call = Scripted(more)
        verdict = await repeat(call)
        assert call.log == ["rest", "attempt", "asked"] * more
        assert verdict.message == str(len(call.log) - 1)

    loop()


@in_virtual_time
async def test_the_loop_itself_never_sleeps() -> None:
    start = now()
    await repeat(Scripted(100))
    assert now() == start
    assert timers() == 0


@in_virtual_time
async def test_only_the_calls_own_rest_takes_time() -> None:
    start = now()
    await repeat(Scripted(10, rest=2.0))
    assert now() - start == pytest.approx(20.0)


@in_virtual_time
async def test_a_cancellation_in_the_rest_comes_out_at_once() -> None:
    call = Scripted(10, rest=60.0)
    task = asyncio.create_task(repeat(call))
    await asyncio.sleep(90.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.log == ["rest", "attempt", "asked", "rest"]


@in_virtual_time
async def test_an_error_of_the_attempt_comes_out_and_ends_the_loop() -> None:
    class Failing(Scripted):
        async def attempt(self) -> Verdict:
            raise ValueError("the journal is full")

    call = Failing(10)
    with pytest.raises(ValueError, match="journal"):
        await repeat(call)
    assert call.log == ["rest"]


@in_virtual_time
async def test_many_calls_share_the_one_loop_without_mixing() -> None:
    calls = [Scripted(more % 7 + 1, rest=0.1 * (more % 3)) for more in range(200)]
    await asyncio.gather(*(repeat(call) for call in calls))
    assert [call.log.count("attempt") for call in calls] == [more % 7 + 1 for more in range(200)]
