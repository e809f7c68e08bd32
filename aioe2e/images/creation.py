"""When images were made: from the server's creation times to the clock of the session's loop.

An image can be the product of a save only if it was made after the save was sent. The server's
creation times tell that once it is known how far its clock is ahead of the loop's. A reply's
``Date`` says so, unless it comes from a machine with another clock. What the server said of this
session's own saves says so, too: the moment at which it accepted one, and when its image was made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from aioe2e.models import SavedImage

from .listing import Listing

#: The server writes creation times and its own clock in whole seconds: two of them may differ by
#: this many seconds though they mean the same.
SLACK = 2.0
#: Saves that are remembered, the latest.
_MOST = 50


class Ahead(NamedTuple):
    """Seconds by which the server's clock is ahead of the loop's, at least and at most."""

    least: float
    most: float

    def agrees_with(self, other: Ahead) -> bool:
        """Whether both may be true."""
        return self.least <= other.most + SLACK and other.least <= self.most + SLACK

    def narrowed_by(self, other: Ahead) -> Ahead:
        """What follows from both."""
        return Ahead(max(self.least, other.least), min(self.most, other.most))

    def made_between(self, made: float, start: float, end: float) -> bool:
        """Whether something that the server dates `made` was made between two loop times."""
        return made - self.most >= start - SLACK and made - self.least <= end + SLACK


class _Accepted(NamedTuple):
    """A save that the server accepted."""

    #: Loop times at which it was sent, and at which the reply was there.
    sent_at: float
    received: float
    #: What the reply says, if it does: the moment, and the image.
    created_at: datetime | None
    image_id: str | None


class CreationTimes:
    """Tells whether an image was made between a moment and a listing."""

    def __init__(self) -> None:
        self._accepted: deque[_Accepted] = deque(maxlen=_MOST)

    def learn(
        self, sent_at: float, received: float, created_at: datetime | None, image_id: str | None
    ) -> None:
        """A save was accepted.

        Args:
            sent_at: Loop time at which it was sent.
            received: Loop time at which the reply was there.
            created_at: The moment that the reply tells.
            image_id: The image that the reply names.
        """
        if created_at is not None or image_id is not None:
            self._accepted.append(_Accepted(sent_at, received, created_at, image_id))

    def was_made_since(self, image: SavedImage, sent_at: float, listing: Listing) -> bool:
        """Whether an image was made between a moment and the listing that shows it.

        Args:
            image: The image.
            sent_at: The moment, in loop time.
            listing: The listing.
        """
        if image.creation_time is None:
            return False
        made = image.creation_time.timestamp()
        clocks = self._clocks(listing)
        return any(clock.made_between(made, sent_at, listing.received) for clock in clocks)

    def _clocks(self, listing: Listing) -> Iterator[Ahead]:
        """What may be believed of the server's clock."""
        learned = self._learned(listing)
        if learned is not None:
            yield learned
        if listing.date is None:
            return
        offset = listing.date.timestamp() - listing.received
        dated = Ahead(offset, offset)
        if learned is None or dated.agrees_with(learned):
            yield dated

    def _learned(self, listing: Listing) -> Ahead | None:
        """What this session's own saves tell of the server's clock.

        The images that they made count before the moments that the replies tell.
        """
        by_images = _all(self._by_images(listing))
        by_replies = _all(self._by_replies())
        if by_images is None or by_replies is None:
            return by_images or by_replies
        if by_images.agrees_with(by_replies):
            return by_images.narrowed_by(by_replies)
        return by_images

    def _by_images(self, listing: Listing) -> Iterator[Ahead]:
        for save in self._accepted:
            image = listing.by_id.get(save.image_id or "")
            if image is not None and image.creation_time is not None:
                made = image.creation_time.timestamp()
                yield Ahead(made - listing.received, made - save.sent_at)

    def _by_replies(self) -> Iterator[Ahead]:
        for save in self._accepted:
            if save.created_at is not None:
                told = save.created_at.timestamp()
                yield Ahead(told - save.received, told - save.sent_at)


def _all(bounds: Iterator[Ahead]) -> Ahead | None:
    """What follows from all of them; None if there is none, or if they contradict one another."""
    result: Ahead | None = None
    for each in bounds:
        if result is None:
            result = each
        elif each.agrees_with(result):
            result = result.narrowed_by(each)
        else:
            return None
    return result
