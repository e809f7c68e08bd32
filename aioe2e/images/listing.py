"""Listings that several calls share: looks after a lost reply, and waits.

A caller says from which moment on its listing must have been asked for. All who can live with
the same one get the same one, so that a thousand lost replies or five hundred waiters cost a
handful of requests. There is no task of its own: one of those who need the listing fetches it, and
if that one is cancelled, another takes over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Protocol, TypeVar

from aioe2e._clock import Clock
from aioe2e.errors import E2EError, is_passing
from aioe2e.models import ImageState, SavedImage

T = TypeVar("T")

#: Seconds between two listings while they fail, at first and at the most; doubled with each
#: failure.
_FIRST_REST = 0.1
_LONGEST_REST = 5.0


class Listing:
    """All saved images of the project and location at one moment.

    Attributes:
        images: In the server's order.
        started: Loop time at which it was asked for.
        received: Loop time at which the reply was read.
        date: The server's clock at the reply; None if it did not say.
        partial: Whether there may be images that it does not show.
    """

    def __init__(
        self,
        images: Sequence[SavedImage],
        started: float,
        received: float,
        date: datetime | None,
        *,
        partial: bool = False,
    ) -> None:
        self.images = images
        self.started = started
        self.received = received
        self.date = date
        self.partial = partial

    @cached_property
    def by_id(self) -> Mapping[str, SavedImage]:
        """The images that are there, by id; one whose state is DELETED is not.

        Of several rows with one id the first counts, here as everywhere.
        """
        found: dict[str, SavedImage] = {}
        for image in self.images:
            if image.state is not ImageState.DELETED:
                found.setdefault(image.image_id, image)
        return found

    @cached_property
    def contradictory(self) -> frozenset[str]:
        """The ids of images that are shown more than once, and not the same: they prove nothing."""
        odd: set[str] = set()
        for image in self.images:
            first = self.by_id.get(image.image_id, image)
            if first is not image and first != image:
                odd.add(image.image_id)
        return frozenset(odd)


class Life(Protocol):
    """What waiting needs of a session; its channel is one."""

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        ...

    async def rest(self, seconds: float) -> None:
        """Sleep, but no longer than the session is open."""

    async def bounded(self, work: Awaitable[T], until: float | None) -> T:
        """Do work; raises `TimeoutError` at a loop time, or when the session is closed."""
        ...


class _Round:
    """One request for a listing, and everybody who waits for it."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.over = asyncio.Event()
        self.listing: Listing | None = None
        self.error: E2EError | None = None


class Listings:
    """Hands out shared listings.

    Args:
        fetch: Makes one listing, in one attempt, until the loop time it is given; raises an
            `E2EError`.
        life: Tells the time, and waits no longer than the session is open.
    """

    def __init__(self, fetch: Callable[[float | None], Awaitable[Listing]], life: Life) -> None:
        self._fetch = fetch
        self._life = life
        self._clock = life.clock
        self._round: _Round | None = None
        self._failures = 0
        self._rest_until = 0.0
        self._news = asyncio.Event()
        self._latest: Listing | None = None
        self._watchers = 0

    async def after(self, moment: float, *, until: float | None, tries: int) -> Listing:
        """A listing that was asked for at `moment` or later.

        Args:
            moment: Loop time.
            until: Loop time after which it is of no use.
            tries: How many failed listings are put up with.

        Raises:
            E2EError: What the last listing failed with, if it is not a fault that passes or nothing
                is left.
            TimeoutError: The time is over.
        """
        while until is None or self._clock.now() < until:
            round_ = await self._join(moment, until)
            if round_.listing is not None:
                return round_.listing
            if round_.error is not None:
                tries -= 1
                if tries <= 0 or not is_passing(round_.error):
                    raise copied(round_.error)
        raise TimeoutError

    async def _join(self, moment: float, until: float | None) -> _Round:
        """The running round, if it suits and comes to an end; else a round of one's own."""
        async with asyncio.timeout_at(until):
            while (running := self._round) is not None:
                await running.over.wait()
                if running.started >= moment and (running.listing or running.error):
                    return running
            rest = self._rest_until - self._clock.now()
            if rest > 0:
                await self._life.rest(rest)
                if self._round is not None:
                    return await self._join(moment, None)
            # Everybody who asks in this turn of the loop shares the round that is about to start.
            self._round = round_ = _Round(0.0)
            try:
                await asyncio.sleep(0)
                round_.started = self._clock.now()
                await self._run(round_, until)
            finally:
                self._round = None
                round_.over.set()
        return round_

    async def _run(self, round_: _Round, until: float | None) -> None:
        try:
            round_.listing = await self._fetch(until)
        except E2EError as error:
            if until is not None and self._clock.now() >= until:
                return  # it was only this one's time that was over: somebody else takes over
            round_.error = copied(error)
        if round_.listing is not None:
            self._failures = 0
            self._publish(round_.listing)
        elif is_passing(round_.error):
            rest = min(_LONGEST_REST, _FIRST_REST * 2**self._failures)
            self._rest_until = self._clock.now() + rest
            self._failures = min(self._failures + 1, 10)

    def _publish(self, listing: Listing) -> None:
        self._latest = listing if self._watchers else None
        self._news.set()
        self._news = asyncio.Event()

    def recent(self, moment: float) -> Listing | None:
        """The latest listing, if others wait for the next and it is not from before `moment`."""
        latest = self._latest
        if latest is None or latest.started < moment:
            return None
        return latest

    async def newer(self, known: Listing, due: float) -> Listing | None:
        """The next listing that is made; None at loop time `due`, or at the session's end."""
        self._watchers += 1
        try:
            if self._latest is not None and self._latest.started > known.started:
                return self._latest
            await self._life.bounded(self._news.wait(), due)
            return self._latest
        except TimeoutError:
            return None
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._latest = None


def copied(error: E2EError) -> E2EError:
    """The same error without traceback, cause and context, for one more to raise."""
    rebuild, args, *_ = error.__reduce__()
    again: E2EError = rebuild(*args)
    return again
