"""What a call is handed: the settings of its view, and who can prove a write."""

from __future__ import annotations

from typing import Protocol

import attrs

from aioe2e._http import ConnectTimeout
from aioe2e._wire import Context, Verdict
from aioe2e.config import RetryPolicy, Timeouts
from aioe2e.errors import NotFoundError


@attrs.frozen(eq=False, repr=False)
class Options:
    """What belongs to a view of a session, and goes with each of its calls."""

    #: Clocks of the calls.
    timeouts: Timeouts
    #: Attempts and delays.
    retry: RetryPolicy
    #: Which project and location are meant.
    context: Context
    #: The connect timeout as the transport takes it, made once.
    connect: ConnectTimeout = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: ConnectTimeout(self.timeouts.connect), takes_self=True),
    )


class Witness(Protocol):
    """Can tell whether one write was carried out where its replies cannot.

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
