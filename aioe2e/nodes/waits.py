"""Waiting for a node: it is read at growing intervals, also after transient errors."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final

from aioe2e._call import Channel, closed_error
from aioe2e._check import LONGEST_INTERVAL, quoted
from aioe2e.errors import E2EError, NodeFailedError, WaitTimeoutError, is_passing
from aioe2e.models import Node, NodeState, WaitProgress

log: Final = logging.getLogger("aioe2e")

#: By how much the interval between two readings grows.
_GROWTH: Final = 1.5

#: Reads the node, in one attempt that must be over at a loop time.
Look = Callable[[float | None], Awaitable[Node]]
Progress = Callable[[WaitProgress], object]


async def until_state(
    channel: Channel,
    look: Look,
    state: NodeState,
    *,
    waiting_for: str,
    timeout: float | None,
    interval: float,
    progress: Progress | None,
) -> Node:
    """Read a node until it is in a state.

    Args:
        channel: The session's.
        look: Reads the node.
        state: The state that is waited for.
        waiting_for: What is waited for, for the text of the error.
        timeout: Seconds.
        interval: Seconds until the second reading; it grows.
        progress: Called after each reading that does not end the wait.

    Raises:
        NodeFailedError: It failed, and that is not what is waited for.
        WaitTimeoutError: The time is over.
        E2EError: Why the node cannot be read, unless that is transient.
    """
    clock = channel.clock
    begun = clock.now()
    until = None if timeout is None else begun + timeout
    end = math.inf if until is None else until
    failure: E2EError | None = None
    while clock.now() < end:
        due = min(clock.now() + interval, end)
        shown, failure = await _looked(channel, look, until)
        if shown is not None and _has_arrived(shown, state):
            return shown
        now = clock.now()
        rest = max(0.0, due - now)
        if progress is not None:
            _tell(progress, shown, elapsed=now - begun, next_look=rest)
        await channel.rest(rest)
        interval = min(interval * _GROWTH, LONGEST_INTERVAL)
    because = ""
    if failure is not None:
        because = f" (the last request failed: {failure})"
    raise WaitTimeoutError(f"{waiting_for}: not within {timeout:g} s{because}")


async def _looked(
    channel: Channel, look: Look, until: float | None
) -> tuple[Node | None, E2EError | None]:
    """The node, or the transient error for which it could not be read."""
    failure: E2EError
    try:
        return await look(until), None
    except E2EError as error:
        failure = error
    if channel.closed:
        raise closed_error()
    if not is_passing(failure):
        raise failure
    return None, failure


def _has_arrived(shown: Node, state: NodeState) -> bool:
    """Whether a node is in a state.

    Raises:
        NodeFailedError: It failed, and nothing else is waited for.
    """
    if shown.state is state:
        return True
    if shown.state is NodeState.FAILED:
        text = f"node {shown.node_id} turned {quoted(shown.status)}"
        raise NodeFailedError(text, node_id=shown.node_id)
    return False


def _tell(progress: Progress, shown: Node | None, *, elapsed: float, next_look: float) -> None:
    state = None if shown is None else shown.state
    try:
        progress(WaitProgress(state=state, elapsed=elapsed, next_look=next_look))
    except Exception:
        log.exception("a progress callback failed")
