"""What one call has done so far, so that a run can account for it when it is cancelled."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .errors import E2EError


@attrs.define(kw_only=True, eq=False)
class Trail:
    """Filled by a call while it runs; read by the bulk engine when the call is over.

    Attributes:
        deadline: Loop time after which nothing of the call may run; None for none beside its own
            timeouts.
        before_send: Called right before each request of a write goes on the wire, its slot already
            held.
        attempts: Requests sent so far.
        sent: A request of it has left, if only in part.
        open: A write went out and nobody knows yet whether the server acted on it.
        lost_at: Loop time at which the latest attempt ended that may have been carried out and whose
            reply did not tell; None if there was none.
        done: The server said, or a listing proved, that the write was carried out.
        last: The error of the latest attempt.
    """

    deadline: float | None = None
    before_send: Callable[[], None] | None = None
    attempts: int = 0
    sent: bool = False
    open: bool = False
    lost_at: float | None = None
    done: bool = False
    last: E2EError | None = None
