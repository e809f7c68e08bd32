"""Which image belongs to which save. The server does not say: its reply names the action, not the
image.

An image is taken for the product of a save only when nothing else can have made it: its name fits,
no listing before the save showed it, its creation time is not before the save, and no other save of
this session could claim it.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable
from datetime import timedelta

import attrs

from aioe2e.models import SaveAction, SavedImage

from .listing import Listing
from .sightings import Sightings, trim

#: The server writes creation times and its own clock in whole seconds.
_SLACK = timedelta(seconds=2)
#: Seconds for which a save whose image is not known may still claim one.
_REMEMBERED = 3600.0
#: Seconds within which an accepted save is a rival for the image of another save.
_RIVALRY = 60.0
#: Saves and claims kept at the most.
_MOST = 10_000
#: Behind a name, the server may put the number of a disk, or the moment of the save in seconds
#: since the epoch.
_DISK = r"-disk-\d+"
_EPOCH = r"_(\d{10})"
#: Seconds between that moment and the creation time at the most.
_EPOCH_SLACK = 3600.0
#: Before a name, `os_distribution` may have the location.
_LOCATED = r"[A-Z]{2,6}-"


def fits(image: SavedImage, name: str) -> bool:
    """Whether an image may be what a save under that name made.

    The listed name is the one asked for, or that with ``-disk-0`` or ``_<epoch>`` behind it; or the
    name asked for stands in ``os_distribution``, alone or behind a location prefix.
    """
    listed, asked = image.name, image.os_distribution or ""
    if name in (listed, asked):
        return True
    if asked.endswith(name) and re.fullmatch(_LOCATED, asked[: -len(name)], re.ASCII):
        return True
    if asked or not listed.startswith(
        name
    ):  # where the server says what was asked for, that is the word
        return False
    rest = listed[len(name) :]
    if re.fullmatch(_DISK, rest, re.ASCII):
        return True
    epoch = re.fullmatch(_EPOCH, rest, re.ASCII)
    if epoch is None or image.creation_time is None:
        return epoch is not None
    return abs(image.creation_time.timestamp() - int(epoch[1])) <= _EPOCH_SLACK


@attrs.define(eq=False)
class SaveTicket:
    """One save of this session, from before its first attempt on."""

    name: str
    sent_at: float
    in_doubt: bool = True


class SaveBook:
    """All that one session knows about its saves.

    Args:
        sightings: When images were first seen.
    """

    def __init__(self, sightings: Sightings) -> None:
        self._sightings = sightings
        self._tickets: dict[SaveTicket, None] = {}
        #: By action id, and by the action itself as long as somebody has it: not every server names
        #: its actions.
        self._accepted: dict[str, SaveTicket] = {}
        self._tickets_of: dict[int, tuple[weakref.ref[SaveAction], SaveTicket]] = {}
        self._claimed: dict[str, None] = {}

    def begin(self, name: str, now: float) -> SaveTicket:
        """A save is about to be sent for the first time."""
        while self._tickets and next(iter(self._tickets)).sent_at < now - _REMEMBERED:
            del self._tickets[next(iter(self._tickets))]
        ticket = SaveTicket(name, now)
        self._tickets[ticket] = None
        trim(self._tickets, _MOST)
        return ticket

    def refused(self, ticket: SaveTicket) -> None:
        """The save was surely not carried out."""
        self._tickets.pop(ticket, None)

    def accepted(self, ticket: SaveTicket, action: SaveAction) -> None:
        """The save was accepted; its image is known now or will be found later."""
        ticket.in_doubt = False
        if action.image_id is not None:
            self.claim(ticket, action.image_id)
            return
        key = id(action)
        self._tickets_of[key] = (
            weakref.ref(action, lambda _: self._tickets_of.pop(key, None)),
            ticket,
        )
        if action.action_id is not None:
            self._accepted[action.action_id] = ticket
            trim(self._accepted, _MOST)

    def claim(self, ticket: SaveTicket | None, image_id: str) -> None:
        """An image belongs to a save, and to no other."""
        self._claimed[image_id] = None
        trim(self._claimed, _MOST)
        if ticket is not None:
            self.refused(ticket)

    def is_unborn(self, image_id: str) -> bool:
        """Whether an image is known from the reply to a save, and no listing has shown it yet."""
        return image_id in self._claimed and self._sightings.first(image_id) is None

    def ticket_of(self, action: SaveAction) -> SaveTicket | None:
        """The ticket of a save that this session made; None for one of another session."""
        reference, ticket = self._tickets_of.get(id(action), (None, None))
        if reference is not None and reference() is action:
            return ticket
        return None if action.action_id is None else self._accepted.get(action.action_id)

    def product(self, ticket: SaveTicket, listing: Listing) -> SavedImage | None:
        """The one image that the save surely made; None if there is none or more than one might be
        it."""
        found = [
            image
            for image in listing.images
            if fits(image, ticket.name)
            and self._is_new(image, ticket)
            and _is_of_age(image, ticket, listing)
        ]
        if len(found) != 1 or any(fits(found[0], rival.name) for rival in self._rivals(ticket)):
            return None
        return found[0]

    def _is_new(self, image: SavedImage, ticket: SaveTicket) -> bool:
        """Whether an image belongs to no save yet, and no listing showed it before this one."""
        first = self._sightings.first(image.image_id)
        return image.image_id not in self._claimed and (first is None or first >= ticket.sent_at)

    def _rivals(self, ticket: SaveTicket) -> Iterable[SaveTicket]:
        """Other saves without an image of their own that may have made what this one is taken
        for."""
        return (
            other
            for other in self._tickets
            if other is not ticket
            and (other.in_doubt or abs(other.sent_at - ticket.sent_at) < _RIVALRY)
        )

    def recall(self, name: str, sent_at: float) -> None:
        """A journal knows of a save in doubt, sent by an earlier process at that loop time."""
        if not self._in_doubt(name):
            self._tickets[SaveTicket(name, sent_at)] = None

    def _in_doubt(self, name: str) -> list[SaveTicket]:
        return [ticket for ticket in self._tickets if ticket.in_doubt and ticket.name == name]

    def settle(self, name: str, listing: Listing) -> SavedImage | None:
        """The image of the one save in doubt under that name; None if none is proven.

        Args:
            name: The name asked for.
            listing: A listing from after the save.
        """
        tickets = self._in_doubt(name)
        if len(tickets) != 1 or (image := self.product(tickets[0], listing)) is None:
            return None
        self.claim(tickets[0], image.image_id)
        return image

    def awaited(self, action: SaveAction, listing: Listing) -> SavedImage | None:
        """The image of an accepted save, which is there or will come; None while none or more than
        one may be it."""
        ticket = self.ticket_of(action)
        fitting = [
            image
            for image in listing.by_id.values()
            if self._may_be_of(image, action, ticket, listing)
        ]
        exact = [image for image in fitting if image.name == action.name]
        if len(fitting := exact or fitting) != 1:
            return None
        self.claim(ticket, fitting[0].image_id)
        return fitting[0]

    def _may_be_of(
        self, image: SavedImage, action: SaveAction, ticket: SaveTicket | None, listing: Listing
    ) -> bool:
        """Whether an image may be that of an accepted save, and not that of another save of this
        session."""
        if not fits(image, action.name) or image.image_id in self._claimed:
            return False
        exact = image.name == action.name
        if not exact and any(
            image.name == other.name for other in self._tickets if other is not ticket
        ):
            return False
        if action.created_at is not None and image.creation_time is not None:
            if action.created_at - image.creation_time > _SLACK:
                return False
        elif ticket is None:
            return exact  # nothing but the name tells
        if ticket is None:
            return True
        dated = listing.date is not None and image.creation_time is not None
        return self._is_new(image, ticket) and (not dated or _is_of_age(image, ticket, listing))


def _is_of_age(image: SavedImage, ticket: SaveTicket, listing: Listing) -> bool:
    """Whether an image was surely made between the save and the listing, by the server's own
    clock."""
    if listing.date is None or image.creation_time is None:
        return False
    age = listing.date - image.creation_time
    return -_SLACK <= age <= timedelta(seconds=listing.received - ticket.sent_at) + _SLACK
