"""Who can tell whether a write was carried out where its replies cannot."""

from __future__ import annotations

from typing import Protocol

from aioe2e._wire import Verdict
from aioe2e.errors import NotFoundError


class Witness(Protocol):
    """Knows one write and where to look for what it has done.

    A call is handed a witness by the room that makes the call, and so need not know what it is that
    it changes. A call that changes nothing has none.
    """

    #: Whether the latest `look` that found no proof looked for as long as it was asked to.
    #: Written by `look`.
    looked: bool

    def sent(self, now: float) -> None:
        """The first request of the call is about to be sent, at that loop time."""

    async def look(self, until: float | None, *, once: bool = False) -> Verdict | None:
        """Look whether the write was carried out.

        Args:
            until: Loop time at which the call must be over.
            once: Whether a single look will do, where that shows nothing of the write.

        Returns:
            A verdict whose fate is DONE where that is proven; else None.
        """
        ...

    async def missing(self, error: NotFoundError, until: float | None) -> NotFoundError:
        """Confirm a refusal which says that what was to be changed does not exist.

        Args:
            error: The refusal.
            until: Loop time at which the call must be over.

        Returns:
            The error to raise; confirmed, or with the reason why it is not.
        """
        ...
