"""The events that a session sends to its hooks, as plain values.

A hook is any callable of one argument. It is called in the event loop, in the task and the context
of the call that the event is about, so it must be quick and must not block. An exception in a hook
changes nothing; the first four of each hook are logged. Events are made only if there is a hook.

The events of one call have the same ``call_id`` and come in this order: `CallStarted`; for each
request `AttemptStarted` and `AttemptEvent`, always as a pair; before each further attempt
`RetryScheduled`; and at the end `CallEvent`, always. If a call needs a listing, it makes it by a
call of its own, whose events come in between.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aioe2e._lazy import lazy_door

if TYPE_CHECKING:
    from .values import (
        AttemptEvent,
        AttemptStarted,
        CallEvent,
        CallStarted,
        Event,
        LimiterEvent,
        LimitEvent,
        PauseEvent,
        RetryScheduled,
        RunEvent,
        RunState,
        StepEvent,
    )

__all__ = [
    "AttemptEvent",
    "AttemptStarted",
    "CallEvent",
    "CallStarted",
    "Event",
    "Hook",
    "LimitEvent",
    "LimiterEvent",
    "PauseEvent",
    "RetryScheduled",
    "RunEvent",
    "RunState",
    "StepEvent",
]

#: Takes any `Event`. Its argument is not typed, so that a hook may name only those that it wants,
#: and so that an event that comes with a later version breaks no program.
Hook = Callable[[Any], None]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_door(
        __name__, {"values": [name for name in __all__ if name != "Hook"]}
    )
