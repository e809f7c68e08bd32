"""What follows an attempt, and how long a call waits before the next one.

`DECISIONS` is the whole policy: change a row here, and the code and the tables in the pages follow
(``python docs/tables.py``). This is the only module that imports backoff, which reckons the delays:
they double, and each is cut short at random. To a delay the call adds the time for which the server
asked to be left alone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from itertools import islice

import backoff

from aioe2e._actions import Repeatability
from aioe2e._wire import Fate, Verdict
from aioe2e.config import RetryPolicy


class Decision(enum.Enum):
    """What follows an attempt."""

    RETURN = "done"
    RETRY = "retry"
    LOOK = "look, else OutcomeUnknownError"
    RAISE = "error"


DECISIONS: Mapping[Fate, Mapping[Repeatability, Decision]] = {
    Fate.DONE: dict.fromkeys(Repeatability, Decision.RETURN),
    Fate.NOT_SENT: dict.fromkeys(Repeatability, Decision.RETRY),
    Fate.WAIT: dict.fromkeys(Repeatability, Decision.RETRY),
    Fate.MAYBE: {
        Repeatability.READ: Decision.RETRY,
        Repeatability.IDEMPOTENT: Decision.RETRY,
        Repeatability.ONCE: Decision.LOOK,
    },
    Fate.REFUSED: dict.fromkeys(Repeatability, Decision.RAISE),
}


def decide(verdict: Verdict, repeat: Repeatability, *, in_doubt: bool) -> Decision:
    """What follows a verdict.

    Args:
        verdict: Of the attempt that just ended.
        repeat: Whether the request may be repeated.
        in_doubt: Whether an earlier attempt of the same write may have been carried out. Then no
            later refusal proves anything, and a look at the listing must tell.
    """
    decision = DECISIONS[verdict.fate][repeat]
    if not in_doubt:
        return decision
    proves_nothing = decision is Decision.RAISE
    may_not_be_repeated = decision is Decision.RETRY and repeat is Repeatability.ONCE
    if proves_nothing or may_not_be_repeated:
        return Decision.LOOK
    return decision


def longest_delays(policy: RetryPolicy) -> Iterator[float]:
    """The longest delay before each retry, in seconds: doubling from `base`, never above `cap`."""
    doubling = backoff.expo(base=2, factor=policy.base, max_value=policy.cap)
    next(doubling)  # the first value is backoff's own start signal
    yield from islice(doubling, _DOUBLINGS)
    while True:
        yield policy.cap if policy.base else 0.0


#: After so many, any first delay that can be told from 0 has reached any cap.
_DOUBLINGS = 64


def delays(policy: RetryPolicy) -> Iterator[float]:
    """The delay before each retry, in seconds: random, from 0 up to the longest."""
    return map(backoff.full_jitter, longest_delays(policy))
