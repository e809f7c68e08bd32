"""What is done after each fate of an attempt, and the loop that does it. The only module that knows
backoff.

`DECISIONS` is the whole policy: change a row here and the code, the README's table and its test
follow. backoff runs the loop and reckons the delays; it neither sleeps nor gives up by itself,
because a delay has the server's Retry-After as its floor and because it must be possible to hand in
another clock.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Mapping
from itertools import islice
from typing import Any, Protocol

import backoff

from aioe2e._actions import Repeat
from aioe2e._fates import Fate
from aioe2e._wire import Verdict
from aioe2e.config import RetryPolicy


class Decision(enum.Enum):
    """What follows an attempt."""

    RETURN = "done"
    RETRY = "retry"
    LOOK = "look, else OutcomeUnknownError"
    RAISE = "error"


_R = Decision.RETRY

DECISIONS: Mapping[Fate, Mapping[Repeat, Decision]] = {
    Fate.DONE: dict.fromkeys(Repeat, Decision.RETURN),
    Fate.NOT_SENT: dict.fromkeys(Repeat, _R),
    Fate.WAIT: dict.fromkeys(Repeat, _R),
    Fate.MAYBE: {Repeat.READ: _R, Repeat.IDEMPOTENT: _R, Repeat.ONCE: Decision.LOOK},
    Fate.REFUSED: dict.fromkeys(Repeat, Decision.RAISE),
}


def decide(verdict: Verdict, repeat: Repeat, *, in_doubt: bool) -> Decision:
    """What follows a verdict.

    Args:
        verdict: Of the attempt that just ended.
        repeat: Whether the request may be repeated.
        in_doubt: Whether an earlier attempt of the same write may have been carried out. Then no
            later refusal proves anything, and a look at the listing must tell.
    """
    decision = DECISIONS[verdict.fate][repeat]
    if in_doubt and (decision is Decision.RAISE or (decision is _R and repeat is Repeat.ONCE)):
        return Decision.LOOK
    return decision


def delays(policy: RetryPolicy) -> Generator[float, Any, None]:
    """The longest back-off before each retry, in seconds: doubling from `base`, never above
    `cap`."""
    doubling = backoff.expo(base=2, factor=policy.base, max_value=policy.cap)
    next(doubling)  # the first value is backoff's own start signal
    yield from islice(doubling, _DOUBLINGS)
    while True:
        yield policy.cap if policy.base else 0.0


#: After so many, any first delay that can be told from 0 has reached any cap.
_DOUBLINGS = 64


class Again(Exception):  # noqa: N818  # a signal to the loop below, never an error that anybody sees
    """The attempt asks for another one."""


class Repeatable(Protocol):
    """A call that knows whether, and how long from now, it wants another attempt."""

    async def rest(self) -> None: ...

    async def attempt(self) -> Verdict: ...

    def wants_another(self, verdict: Verdict) -> bool: ...


def _at_once() -> Generator[float, Any, None]:
    """The call rests by itself, so backoff need not sleep."""
    while True:
        yield 0.0


@backoff.on_exception(_at_once, Again, jitter=None, logger=None)
async def repeat(call: Repeatable) -> Verdict:
    """Rest and attempt again, until the call wants no more; the first attempt was made before."""
    await call.rest()
    verdict = await call.attempt()
    if call.wants_another(verdict):
        raise Again
    return verdict
