"""The retry table, row by row, and the delays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from aioe2e._actions import Repeatability
from aioe2e._call.retry import DECISIONS, Decision, decide, delays, longest_delays
from aioe2e._wire import Fate, Verdict
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
        for kind, decision in zip(Repeatability, row, strict=True)
    ],
)
def test_every_row_of_the_table(
    fate: Fate, in_doubt: bool, kind: Repeatability, decision: Decision
) -> None:
    assert decide(Verdict(fate), kind, in_doubt=in_doubt) is decision


@pytest.mark.parametrize("kind", [Repeatability.IDEMPOTENT, Repeatability.ONCE])
def test_a_refusal_after_a_maybe_proves_nothing(kind: Repeatability) -> None:
    assert decide(Verdict(Fate.REFUSED), kind, in_doubt=True) is Decision.LOOK


def test_the_table_is_complete() -> None:
    assert set(DECISIONS) == set(Fate)
    assert all(set(row) == set(Repeatability) for row in DECISIONS.values())


def test_what_may_be_carried_out_once_is_never_repeated_in_doubt() -> None:
    for fate in Fate:
        assert decide(Verdict(fate), Repeatability.ONCE, in_doubt=True) is not Decision.RETRY


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
    assert list(itertools.islice(longest_delays(policy), len(expected))) == pytest.approx(expected)


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
    found = list(itertools.islice(longest_delays(policy), 3000))
    assert all(0 <= delay <= policy.cap for delay in found)
    assert found == sorted(found)


def test_a_delay_is_random_from_nothing_up_to_the_longest() -> None:
    policy = RetryPolicy(base=1.0, cap=4.0)
    found = [list(itertools.islice(delays(policy), 4)) for _ in range(200)]
    for delay, longest in zip(zip(*found, strict=True), (1.0, 2.0, 4.0, 4.0), strict=True):
        assert 0 <= min(delay) < longest / 4
        assert longest * 3 / 4 < max(delay) <= longest
