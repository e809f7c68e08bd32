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
    """What a fault works with.

    Attributes:
        wire: The connection.
        reply: What would be answered.
        call: The request.
        seconds: `Fault.seconds`.
        value: `Fault.value`.
    """

    wire: Wire
    reply: WireReply
    call: RecordedRequest
    seconds: float | None = None
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
    """One row of the table of faults.

    Attributes:
        summary: What happens, in a few words.
        play: Does it.
        effects: When the write may take effect; the first is the default. Reads have no effect.
        answers: What the client gets.
        opt_in: Left out of random faults unless named: it takes long, or much of a careless
            client's memory, or tells the client what was true a while ago.
        lag: Seconds by which the listing is out of date.
        value: What `Fault.value` may be: ``int`` for a whole number of 0 or more, ``str`` for text
            or a number.
    """

    summary: str
    play: Play
    effects: tuple[Effect, ...]
    answers: Answer
    opt_in: bool = False
    lag: float = 0.0
    value: type[int | str] | None = None
