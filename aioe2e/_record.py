"""What a call is told to keep to, and what it has done so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from .errors import E2EError


class CallOrders:
    """What a run demands of a call."""

    __slots__ = ("before_send", "deadline")

    def __init__(
        self, deadline: float | None = None, before_send: Callable[[], None] | None = None
    ) -> None:
        #: Loop time after which nothing of the call may run; None leaves it to the call's own
        #: timeouts.
        self.deadline: float | None = deadline
        #: Called right before each request of a write goes on the wire, its slot already held. An
        #: error that it raises ends the call.
        self.before_send: Callable[[], None] | None = before_send


NO_ORDERS: Final = CallOrders()


@attrs.define(eq=False, repr=False)
class CallRecord:
    """What a call has done so far, for the caller to read when the call was cancelled half-way.

    The call writes it while it runs. The caller reads it once the call has ended, raised or been
    cancelled.
    """

    orders: CallOrders = NO_ORDERS
    #: Attempts made so far. A request that is sent again at once, with another method or a new
    #: token, counts with the one before it. Written when a request has its slot.
    attempts: int = 0
    #: Whether a request of it has left, if only in part. Written when a request is over.
    sent: bool = False
    #: Whether a write was sent and it is not known whether the server carried it out. Written when
    #: a request is over, even by a cancellation, and when its reply was judged.
    open: bool = False
    #: Loop time at which the latest attempt ended that may have been carried out; None if there was
    #: none. Written when its reply was judged, or when the call was cancelled.
    lost_at: float | None = None
    #: Whether the server said, or a listing proved, that the write was carried out. Written when
    #: that is known.
    done: bool = False
    #: The error of the latest attempt. Written when it was judged, and at the end of the call.
    last: E2EError | None = None
    #: The replies, as they came. Written after each; None if they are not wanted.
    replies: list[Any] | None = None
