"""What an attempt proves about the server's state, and which statuses prove what."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Fate(enum.Enum):
    """What an attempt proves about the server's state."""

    DONE = "done"
    REFUSED = "refused"
    WAIT = "wait"  # refused for now: throttled
    NOT_SENT = "not sent"
    MAYBE = "maybe"  # it may have been carried out, or not


#: The statuses from 400 on that say something else than their class: 4xx refuses, 5xx is a maybe.
STATUS_FATES: Final[Mapping[int, Fate]] = {408: Fate.MAYBE, 429: Fate.WAIT}


def fate_of(status: int) -> Fate | None:
    """What a status says, HTTP's own or the envelope's; None if it is none that says no."""
    if status < 400:
        return None
    return STATUS_FATES.get(status) or (Fate.MAYBE if status >= 500 else Fate.REFUSED)
