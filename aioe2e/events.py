"""What a session tells its hooks: plain values, made only when somebody listens.

A hook is any callable of one argument, called in the event loop: it must be quick and must not
block. An exception in it is logged and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

__all__ = ["AttemptEvent", "Event", "Hook", "PauseEvent"]


@attrs.frozen(kw_only=True)
class AttemptEvent:
    """One request has ended.

    Attributes:
        action: ``"list"``, ``"save"``, ``"rename"``, ``"delete"`` or ``"request"``.
        target: The id of the image or node, or the path.
        method: The HTTP method that was used.
        path: The path below the base URL, without the query.
        attempt: 1 for the first request of a call.
        status: The HTTP status; None when no reply was read.
        fate: ``"done"``, ``"refused"``, ``"wait"``, ``"maybe"`` or ``"not sent"``.
        elapsed: Seconds from the slot to the end of the reply.
    """

    action: str
    target: str
    method: str
    path: str
    attempt: int
    status: int | None
    fate: str
    elapsed: float


@attrs.frozen(kw_only=True)
class PauseEvent:
    """The server throttled the session: nothing is sent for that many seconds.

    Attributes:
        seconds: How long the pause is from now on.
        limit: Requests in flight that the session will allow itself afterwards.
    """

    seconds: float
    limit: int


Event = AttemptEvent | PauseEvent
Hook = Callable[[Event], None]
