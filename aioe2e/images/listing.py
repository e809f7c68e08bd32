"""Listings, and what a session has learned from them about images.

**Shared listings.** A caller says from which moment on its listing must have been asked for. All
who can live with the same one get the same one, so that a thousand lost replies or five hundred
waiters cost a handful of requests. There is no task of its own: one of those who need the listing
fetches it, and if that one is cancelled, another takes over.

**Known images.** A listing may be late: it shows the account as it was at some moment, up to
`RetryPolicy.look` seconds before it was asked for. So an image that was made a moment ago may not
be in it yet, and one that was renamed twice in a moment may be in it under the name before the
last. What the session has seen of images and done to them tells how far it can believe a listing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any, Protocol, TypeVar

from aioe2e._clock import Clock
from aioe2e.errors import E2EError, is_passing
from aioe2e.models import ImageState, SavedImage

T = TypeVar("T")

#: Seconds between two listings while they fail, at first and at the most; doubled with each
#: failure.
_FIRST_REST = 0.1
_LONGEST_REST = 5.0
#: Open writes remembered at the most, and images kept beyond those of the latest listing.
_MOST = 10_000
#: Images taken in between two yields to the loop (about a millisecond).
_SLICE = 500
#: The server writes its clock and its dates in whole seconds, so that an image may look this much
#: older than it is.
_TRUNCATED = 1.0


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

    def lacks(self, image_id: str) -> bool:
        """Whether it shows that an image is not there."""
        return not self.partial and image_id not in self.by_id

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

    @property
    def has_result(self) -> bool:
        """Whether it came to an end by itself, well or not: its caller was not cancelled."""
        return self.listing is not None or self.error is not None


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
            E2EError: What the last listing failed with, if that is not transient or no tries are
                left.
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
                if running.started >= moment and running.has_result:
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


class _Seen:
    """What is known of one image. All moments are loop times."""

    __slots__ = ("first", "name", "named", "since")

    def __init__(self, first: float, since: float, name: str, named: float) -> None:
        #: When a listing first showed it.
        self.first = first
        #: From when on it is known to have been there.
        self.since = since
        #: The name under which it was seen last, or that was given to it last. `KnownImages`
        #: writes this and the next.
        self.name = name
        #: From when on it is known to have had that name.
        self.named = named


class KnownImages:
    """Images by id, and when this session last changed them."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        #: Loop time at which the latest open write of an image began.
        self._open: dict[str, float] = {}

    def take_in(self, listing: Listing) -> Generator[None, None, None]:
        """A listing came in. Yields whenever it is time to let others run."""
        seen, received = self._seen, listing.received
        for place, image in enumerate(listing.images, 1):
            known = seen.get(image.image_id)
            if known is None:
                since = _there_since(image, listing)
                seen[image.image_id] = _Seen(received, since, image.name, received)
            elif known.name != image.name:
                known.name, known.named = image.name, received
            if not place % _SLICE:
                yield
        if len(seen) > 2 * len(listing.images) + _MOST:
            shown = {image.image_id for image in listing.images}
            self._seen = {image_id: known for image_id, known in seen.items() if image_id in shown}

    def first_seen(self, image_id: str) -> float | None:
        """Loop time at which a listing first showed an image; None if none has."""
        known = self._seen.get(image_id)
        return None if known is None else known.first

    def name(self, image_id: str) -> tuple[str, float] | None:
        """The name that an image is known to have, or to have had last, and from when on."""
        known = self._seen.get(image_id)
        return None if known is None else (known.name, known.named)

    def renamed(self, image_id: str, name: str, now: float) -> None:
        """This session has renamed an image, or may have."""
        if (known := self._seen.get(image_id)) is not None:
            known.name, known.named = name, now

    def left_open(self, image_id: str, began: float) -> None:
        """It is not known whether a write that began then was carried out."""
        self._open.pop(image_id, None)
        self._open[image_id] = began
        trim(self._open, _MOST)

    def open_since(self, image_id: str) -> float:
        """When the latest open write of an image began; long ago, if not in this session."""
        return self._open.get(image_id, float("-inf"))

    def is_old(self, image_id: str, listing: Listing, lag: float) -> bool:
        """Whether a listing would show an image if it was there: not if it was made just before.

        An image that this session has never seen is taken to be old.
        """
        known = self._seen.get(image_id)
        if known is None:
            return True
        return known.since <= listing.started - lag

    def absence_proven_from(self, image_id: str, began: float, lag: float) -> float:
        """From when on a listing that does not show an image proves that it is gone.

        Args:
            image_id: The image.
            began: Loop time at which the write began: the image was there by then, since its id was
                known.
            lag: Seconds by which a listing may be late.
        """
        known = self._seen.get(image_id)
        if known is None:
            return began + lag
        return min(began, known.since) + lag


def name_proven_from(
    name: str, before: tuple[str, float] | None, began: float, lag: float
) -> float:
    """From when on a listing that shows an image under a name proves that it was given to it.

    Args:
        name: The name.
        before: What the image was called when the write began and from when on, where that was
            known. If that was another name, a listing that reaches back no further can show the new
            one only if it was given.
        began: Loop time at which the write began.
        lag: Seconds by which a listing may be late.
    """
    if before is None or before[0] == name:
        return began + lag
    return min(began, before[1]) + lag


def _there_since(image: SavedImage, listing: Listing) -> float:
    """From when on an image is known to be there: since it was made, by the server's own clock."""
    if listing.date is None or image.creation_time is None:
        return listing.received
    age = (listing.date - image.creation_time).total_seconds() - _TRUNCATED
    return listing.received - max(0.0, age)


def trim(mapping: dict[Any, Any], most: int) -> None:
    """Forget the oldest tenth of a mapping that has grown too large."""
    if len(mapping) > most:
        for key in list(islice(mapping, most // 10)):
            del mapping[key]
