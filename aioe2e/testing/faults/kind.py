"""What defines a kind of fault."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs

from aioe2e.testing.net import RecordedRequest, Wire, WireReply


class Effect(enum.Enum):
    """When a write that met a fault takes effect."""

    #: It does not.
    NOT = "not"
    #: Before the fault shows.
    BEFORE = "before"
    #: After the connection has been closed.
    LATE = "late"


class Answer(enum.Enum):
    """How much of a reply the client gets."""

    #: A whole HTTP reply.
    REPLY = "reply"
    #: Bytes, but no whole HTTP reply.
    BROKEN = "broken"
    #: Nothing.
    NOTHING = "nothing"


@attrs.frozen
class Scene:
    """What a fault is played on."""

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
        """`Fault.seconds`, or the default of the kind."""
        return default if self.seconds is None else self.seconds

    def size(self, default: int) -> int:
        """`Fault.value` as a number of bytes or connections, or the default of the kind."""
        return default if self.value is None else int(self.value)


Play: TypeAlias = Callable[[Scene], Awaitable[None]]

#: The client cannot know whether the write took effect, or still will.
ANY = (Effect.NOT, Effect.BEFORE, Effect.LATE)
#: A reply came, so the write has taken effect already or never will.
EITHER = (Effect.NOT, Effect.BEFORE)
#: A plain refusal.
NEVER = (Effect.NOT,)
#: A reply that a tolerant client reads as a success.
ALWAYS = (Effect.BEFORE,)


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of fault: an entry of `aioe2e.testing.KINDS`."""

    #: What happens, in a few words.
    summary: str
    #: Plays it.
    play: Play
    #: The possible effects on a write; the first is the default. Reads have no effect.
    effects: tuple[Effect, ...]
    #: What the client receives.
    answers: Answer
    #: Whether random faults leave it out unless it is named. It is slow, or takes much memory of a
    #: careless client, or shows the client an old state.
    opt_in: bool = False
    #: Seconds by which the listing is out of date.
    lag: float = 0.0
    #: The type of `Fault.value`. ``int`` is a whole number of 0 or more; ``str`` is text or a
    #: number; None means that the kind has no value.
    value: type[int | str] | None = None
