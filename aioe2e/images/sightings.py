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

#: Doubts remembered at the most, and ids of images kept beyond those of the latest listing.
_MOST = 10_000
#: Images taken in between two yields to the loop (about a millisecond).
_SLICE = 500


#: The server cuts its clock and its dates to whole seconds, so that an image may look this much
#: older than it is.
_CUT = 1.0


@attrs.define(eq=False, repr=False)
class _Sighting:
    """One image.

    Attributes:
        first: Loop time at which a listing first showed it.
        since: Loop time from which on it surely was there.
        name: The name under which it was seen last, or that was given to it last.
        named: Loop time from which on it surely had that name.
    """

    first: float
    since: float
    name: str
    named: float


class Sightings:
    """Images by id, and when this session last changed them."""

    def __init__(self) -> None:
        self._seen: dict[str, _Sighting] = {}
        #: Loop time at which the latest write in doubt of an image began.
        self._doubted: dict[str, float] = {}

    def saw(self, listing: Listing) -> Generator[None, None, None]:
        """A listing came in. Yields whenever it is time to let others run."""
        seen, received = self._seen, listing.received
        for place, image in enumerate(listing.images, 1):
            sighting = seen.get(image.image_id)
            if sighting is None:
                seen[image.image_id] = _Sighting(
                    received, _since(image, listing), image.name, received
                )
            elif sighting.name != image.name:
                sighting.name, sighting.named = image.name, received
            if not place % _SLICE:
                yield
        if len(seen) > 2 * len(listing.images) + _MOST:
            shown = {image.image_id for image in listing.images}
            self._seen = {
                image_id: sighting for image_id, sighting in seen.items() if image_id in shown
            }

    def first(self, image_id: str) -> float | None:
        """Loop time at which a listing first showed an image; None if none has."""
        sighting = self._seen.get(image_id)
        return None if sighting is None else sighting.first

    def name(self, image_id: str) -> tuple[str, float] | None:
        """The name that an image is known to have, or to have had last, and from when on."""
        sighting = self._seen.get(image_id)
        return None if sighting is None else (sighting.name, sighting.named)

    def renamed(self, image_id: str, name: str, now: float) -> None:
        """This session has renamed an image, or may have."""
        if (sighting := self._seen.get(image_id)) is not None:
            sighting.name, sighting.named = name, now

    def doubted(self, image_id: str, began: float) -> None:
        """Nobody knows what became of a write that began then."""
        _put(self._doubted, image_id, began)

    def doubt_began(self, image_id: str) -> float:
        """When the latest write in doubt of an image began; long ago, if that was not in this
        session."""
        return self._doubted.get(image_id, float("-inf"))

    def is_old(self, image_id: str, listing: Listing, lag: float) -> bool:
        """Whether a listing would show an image if it was there: not if it was made a moment
        before.

        Of an image that this session has never seen nothing speaks against it.
        """
        sighting = self._seen.get(image_id)
        return sighting is None or sighting.since <= listing.started - lag

    def gone_if_missing_from(self, image_id: str, began: float, lag: float) -> float:
        """From when on a listing that does not show an image proves that it is gone.

        Args:
            image_id: The image.
            began: Loop time at which the write began: the image was there by then, since somebody
                knew its id.
            lag: Seconds by which a listing may be late.
        """
        sighting = self._seen.get(image_id)
        return lag + (began if sighting is None else min(began, sighting.since))


def named_if_shown_from(
    name: str, before: tuple[str, float] | None, began: float, lag: float
) -> float:
    """From when on a listing that shows an image under a name proves that it has got it.

    Args:
        name: The name.
        before: What the image was called when the write began and from when on, where that was
            known. If that was another name, a listing that reaches back no further can show the new
            one only if it was given.
        began: Loop time at which the write began.
        lag: Seconds by which a listing may be late.
    """
    return lag + (min(began, before[1]) if before is not None and before[0] != name else began)


def _since(image: SavedImage, listing: Listing) -> float:
    """From when on an image surely was there: since it was made, by the server's own clock."""
    if listing.date is None or image.creation_time is None:
        return listing.received
    return listing.received - max(0.0, (listing.date - image.creation_time).total_seconds() - _CUT)


def _put(moments: dict[str, float], image_id: str, moment: float) -> None:
    """Note a moment as the latest, and forget the oldest tenth of too many."""
    moments.pop(image_id, None)
    moments[image_id] = moment
    if len(moments) > _MOST:
        trim(moments, _MOST)


def trim(mapping: dict[Any, Any], most: int) -> None:
    """Forget the oldest tenth of a mapping that has grown too large."""
    if len(mapping) > most:
        for key in list(islice(mapping, most // 10)):
            del mapping[key]
