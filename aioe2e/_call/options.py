"""The settings that a view may change."""

from __future__ import annotations

import attrs

from aioe2e._http import ConnectTimeout
from aioe2e._wire import Context
from aioe2e.config import RetryPolicy, Timeouts


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
