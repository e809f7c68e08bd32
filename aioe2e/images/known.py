"""What a session has seen of images and done to them, and so how far it can believe a listing.

A listing may be late: it shows the account as it was at some moment, up to `RetryPolicy.look`
seconds before it was asked for. So an image that was made a moment ago may not be in it yet, and
one that was renamed twice in a moment may be in it under the name before the last.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from typing import Any

import attrs

from aioe2e.models import SavedImage

from .listing import Listing

#: Open writes remembered at the most, and images kept beyond those of the latest listing.
_MOST = 10_000
#: Images taken in between two yields to the loop (about a millisecond).
_SLICE = 500
#: The server writes its clock and its dates in whole seconds, so that an image may look this much
#: older than it is.
_TRUNCATED = 1.0


@attrs.define(eq=False, repr=False)
class _Seen:
    """What is known of one image. All moments are loop times."""

    #: When a listing first showed it.
    first: float
    #: From when on it is known to have been there.
    since: float
    #: The name under which it was seen last, or that was given to it last.
    name: str
    #: From when on it is known to have had that name.
    named: float


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
        return known is None or known.since <= listing.started - lag

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
