"""What there is to know about a kind of fault."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs

from aioe2e.testing.net import RecordedRequest, Wire, WireReply


class Effect(enum.Enum):
    """When the write that met a fault takes effect."""

    NOT = "not"
    BEFORE = "before"
    LATE = "late"


class Answer(enum.Enum):
    """What the client gets of a reply."""

    #: A whole HTTP reply.
    REPLY = "reply"
    #: Bytes, but no whole HTTP reply.
    BROKEN = "broken"
    #: Nothing.
    NOTHING = "nothing"


@attrs.frozen
class Scene:
    """What a fault works with."""

    #: The connection.
    wire: Wire
    #: What would be answered.
    reply: WireReply
    #: The request.
    call: RecordedRequest
    #: `Fault.seconds`.
    seconds: float | None = None
    #: `Fault.value`.
    value: str | int | None = None

    def lasting(self, default: float) -> float:
        """How long it takes, in seconds."""
        return default if self.seconds is None else self.seconds

    def size(self, default: int) -> int:
        """How many (bytes, connections) it is about."""
        return default if self.value is None else int(self.value)


Play: TypeAlias = Callable[[Scene], Awaitable[None]]

#: Anything may have happened; the client cannot know.
ANY = (Effect.NOT, Effect.BEFORE, Effect.LATE)
#: A reply came, so the effect is there already or never will be.
EITHER = (Effect.NOT, Effect.BEFORE)
#: A plain no.
NEVER = (Effect.NOT,)
#: A reply that a tolerant client reads as a yes.
ALWAYS = (Effect.BEFORE,)


@attrs.frozen(kw_only=True)
class Kind:
    """One row of the table of faults."""

    #: What happens, in a few words.
    summary: str
    #: Does it.
    play: Play
    #: When the write may take effect; the first is the default. Reads have no effect.
    effects: tuple[Effect, ...]
    #: What the client gets.
    answers: Answer
    #: Left out of random faults unless named: it takes long, or much of a careless client's
    #: memory, or tells the client what was true a while ago.
    opt_in: bool = False
    #: Seconds by which the listing is out of date.
    lag: float = 0.0
    #: What `Fault.value` may be: ``int`` for a whole number of 0 or more, ``str`` for text or a
    #: number.
    value: type[int | str] | None = None
