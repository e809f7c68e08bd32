"""One request in detail: its reply as it came, and what the library makes of it."""

from __future__ import annotations

from typing import Any

import attrs

from aioe2e._actions import Repeatability
from aioe2e._call import Call, Channel, Options, in_slices
from aioe2e._record import CallRecord
from aioe2e._wire import (
    LIST,
    RawReply,
    Request,
    Verdict,
    images_in_slices,
    rate_limit,
    read_listing,
    server_time,
)
from aioe2e.errors import E2EError
from aioe2e.models import RateLimit, SavedImage

#: The list of saved images, its reply kept whole.
IMAGES = attrs.evolve(LIST, inspected=True)


def reading(path: str, what: str, *, lists: bool = False) -> Request:
    """A request that reads a path, its reply kept whole."""
    return Request(
        "check", "", Repeatability.READ, "GET", path, subject=what, lists=lists, inspected=True
    )


@attrs.frozen(kw_only=True, eq=False)
class Inspection:
    """A request and its result."""

    #: The latest reply; None if there was none.
    reply: RawReply | None
    #: Its body as JSON, without secrets; an `Unreadable` if it is not JSON.
    content: Any
    #: What the library made of it; None if that is an error.
    verdict: Verdict | None
    #: The error; None if there is none.
    error: E2EError | None
    #: How long the call took.
    seconds: float
    #: Local time at which the reply had been read, in seconds since the epoch.
    wall: float

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which the server's clock is ahead of the local one; None without a ``Date``.

        A ``Date`` has whole seconds; the middle of the second is used.
        """
        if self.reply is None:
            return None
        date = server_time(self.reply.headers)
        if date is None:
            return None
        return date.timestamp() + 0.5 - self.wall

    @property
    def rate_limit(self) -> RateLimit | None:
        """The request budget, if the reply has headers about it."""
        if self.reply is None:
            return None
        return rate_limit(self.reply.headers, self.wall)


async def _content(channel: Channel, reply: RawReply) -> Any:
    reading = read_listing(reply.body, None, channel.limits.max_elements, channel.redactor)
    return await in_slices(reading, channel.clock, None)


async def inspect(channel: Channel, options: Options, request: Request) -> Inspection:
    """Make a call and keep its reply.

    Args:
        channel: The session's.
        options: Of the view.
        request: With `inspected`.

    Raises:
        SessionError: The session is closed, or belongs to another loop or process.
    """
    channel.enter()
    replies: list[RawReply] = []
    record = CallRecord(replies=replies)
    begun = channel.clock.now()
    verdict: Verdict | None = None
    failure: E2EError | None = None
    try:
        call = Call(channel, options, request, record)
        verdict = await call.run()
        if request.lists and request.model is SavedImage:
            await call.in_slices(images_in_slices(verdict.data, channel.limits.max_elements))
    except E2EError as error:
        verdict, failure = None, error
    reply: RawReply | None = None
    content: Any = None
    if replies:
        reply = replies[-1]
        content = await _content(channel, reply)
    return Inspection(
        reply=reply,
        content=content,
        verdict=verdict,
        error=failure,
        seconds=channel.clock.now() - begun,
        wall=channel.clock.wall(),
    )
