"""One request on its way."""

from __future__ import annotations

import asyncio
from typing import Any


class InFlight:
    """One request on its way.

    Args:
        end: Loop time at which the attempt is over; None for no limit.
        shares_loop: Whether other requests of the session are on their way.
    """

    __slots__ = ("aborted", "end", "sent", "shares_loop", "task")

    def __init__(self, end: float | None, *, shares_loop: bool) -> None:
        self.end: float | None = end
        self.shares_loop: bool = shares_loop
        #: The task that sends it; None before that and once it is over. Set by `Transport.send`.
        self.task: asyncio.Task[Any] | None = None
        #: Whether a connection took the request: from then on the server may act on it. Set by the
        #: one write.
        self.sent: bool = False
        #: Whether the attempt was ended by `abort`.
        self.aborted: bool = False

    def abort(self) -> None:
        """End the attempt, wherever it is."""
        # Not at once: the caller may be this very attempt, out of a hook of the user's.
        asyncio.get_running_loop().call_soon(self._abort)

    def _abort(self) -> None:
        if self.task is None or self.aborted:  # the attempt is over, or about to be
            return
        self.aborted = True
        self.task.cancel()
