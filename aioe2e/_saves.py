"""Which image belongs to which save. The server does not say: its reply names the action, not the image.

An image is taken for the product of a save only when nothing else can have made it: its name fits, no listing before
the save showed it, its creation time is not before the save, and no other save of this session could claim it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from typing import Any

import attrs

from ._listing import Listing
from .models import SaveAction, SavedImage

#: The server writes creation times and its own clock in whole seconds.
_SLACK = timedelta(seconds=2)
#: Seconds for which a save whose image is not known may still claim one.
_REMEMBERED = 3600.0
#: Seconds within which an accepted save is a rival for the image of another save.
_RIVALRY = 60.0
#: Saves and claims kept at the most.
_MOST = 10_000
#: Ids of images kept beyond those of the latest listing.
_SPARE_IDS = 10_000


def fits(image: SavedImage, name: str) -> bool:
    """Whether an image may be what a save under that name made.

    The listed name is the one asked for, or that with ``-disk-0`` or ``_<digits>`` behind it; or the name asked for
    stands in ``os_distribution``, alone or behind a location prefix.
    """
    listed, asked = image.name, image.os_distribution or ""
    if name in (listed, asked) or asked.endswith(f"-{name}"):
        return True
    if not listed.startswith(name):
        return False
    rest = listed[len(name) :]
    return rest.startswith("-disk-") or (rest[:1] == "_" and rest[1:].isdigit())


@attrs.define(eq=False)
class SaveTicket:
    """One save of this session, from before its first attempt on."""

    name: str
    sent_at: float
    in_doubt: bool = True


class SaveBook:
    """All that one session knows about its saves."""

    def __init__(self) -> None:
        self._tickets: dict[SaveTicket, None] = {}
        self._accepted: dict[str, SaveTicket] = {}
        self._claimed: dict[str, None] = {}
        self._first_seen: dict[str, float] = {}

    def saw(self, listing: Listing) -> None:
        """A listing came in: what it shows was made before."""
        seen = self._first_seen
        for image in listing.images:
            seen.setdefault(image.image_id, listing.received)
        if len(seen) > 2 * len(listing.images) + _SPARE_IDS:
            shown = {image.image_id for image in listing.images}
            self._first_seen = {key: moment for key, moment in seen.items() if key in shown}

    def begin(self, name: str, now: float) -> SaveTicket:
        """A save is about to be sent for the first time."""
        while self._tickets and next(iter(self._tickets)).sent_at < now - _REMEMBERED:
            del self._tickets[next(iter(self._tickets))]
        ticket = SaveTicket(name, now)
        self._tickets[ticket] = None
        _trim(self._tickets)
        return ticket

    def refused(self, ticket: SaveTicket) -> None:
        """The save was surely not carried out."""
        self._tickets.pop(ticket, None)

    def accepted(self, ticket: SaveTicket, action: SaveAction) -> None:
        """The save was accepted; its image is known now or will be found later."""
        ticket.in_doubt = False
        if action.image_id is not None:
            self.claim(ticket, action.image_id)
        elif action.action_id is not None:
            self._accepted[action.action_id] = ticket
            _trim(self._accepted)

    def claim(self, ticket: SaveTicket | None, image_id: str) -> None:
        """An image belongs to a save, and to no other."""
        self._claimed[image_id] = None
        _trim(self._claimed)
        if ticket is not None:
            self.refused(ticket)

    def is_unborn(self, image_id: str) -> bool:
        """Whether an image is known from the reply to a save, and no listing has shown it yet."""
        return image_id in self._claimed and image_id not in self._first_seen

    def ticket_of(self, action: SaveAction) -> SaveTicket | None:
        """The ticket of a save that this session made; None for one of another session."""
        return None if action.action_id is None else self._accepted.get(action.action_id)

    def product(self, ticket: SaveTicket, listing: Listing) -> SavedImage | None:
        """The one image that the save surely made; None if there is none or more than one might be it."""
        if listing.date is None:
            return None
        oldest = timedelta(seconds=listing.received - ticket.sent_at) + _SLACK
        found = [
            image
            for image in listing.images
            if fits(image, ticket.name)
            and image.image_id not in self._claimed
            and not self._first_seen.get(image.image_id, ticket.sent_at) < ticket.sent_at
            and image.creation_time is not None
            and listing.date - image.creation_time <= oldest
        ]
        if len(found) != 1 or any(fits(found[0], rival.name) for rival in self._rivals(ticket)):
            return None
        return found[0]

    def _rivals(self, ticket: SaveTicket) -> Iterable[SaveTicket]:
        """Other saves without an image of their own that may have made what this one is taken for."""
        return (
            other
            for other in self._tickets
            if other is not ticket and (other.in_doubt or abs(other.sent_at - ticket.sent_at) < _RIVALRY)
        )

    def settle(self, name: str, listing: Listing, age: float | None = None) -> SavedImage | None:
        """The image of a save under that name whose outcome was not known; None if none is proven.

        Args:
            name: The name asked for.
            listing: A listing from after the save.
            age: Seconds ago that a journal saw the save go out, for one of an earlier process.
        """
        tickets = [ticket for ticket in self._tickets if ticket.in_doubt and ticket.name == name]
        if not tickets and age is not None:
            tickets = [SaveTicket(name, listing.received - age)]
        if len(tickets) != 1 or (image := self.product(tickets[0], listing)) is None:
            return None
        self.claim(tickets[0], image.image_id)
        return image

    def awaited(self, action: SaveAction, listing: Listing) -> SavedImage | None:
        """The image of an accepted save, which is there or will come; None while none or more than one may be it."""
        ticket = self.ticket_of(action)
        since = action.created_at
        fitting = [
            image
            for image in listing.by_id.values()
            if fits(image, action.name)
            and image.image_id not in self._claimed
            and (ticket is None or not self._first_seen.get(image.image_id, ticket.sent_at) < ticket.sent_at)
            and (since is None or image.creation_time is None or since - image.creation_time <= _SLACK)
        ]
        exact = [image for image in fitting if image.name == action.name]
        if len(fitting := exact or fitting) != 1:
            return None
        self.claim(ticket, fitting[0].image_id)
        return fitting[0]


def _trim(mapping: dict[Any, Any]) -> None:
    """Forget the oldest tenth of a mapping that has grown too large."""
    if len(mapping) > _MOST:
        for key in list(islice(mapping, _MOST // 10)):
            del mapping[key]
