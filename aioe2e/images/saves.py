"""Which image belongs to which save. The server's reply names the action, and mostly no image.

An image is taken for the product of a save only when nothing else of this session can have made it:
its name fits, no listing before the save showed it, it was made after the save was sent, and no
other save of this session could claim it. What another program makes under the same name at the
same moment looks the same, and cannot be told apart.

When an image was made, the server's creation times tell once it is known how far its clock is ahead
of the loop's. A reply's ``Date`` says so, unless it comes from a machine with another clock. What
the server said of this session's own saves says so, too: the moment at which it accepted one, and
when its image was made.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from datetime import datetime

from aioe2e.models import SaveAction, SavedImage

from .listing import KnownImages, Listing, trim
from .naming import fits

#: Seconds for which a save whose image is not known may still claim one.
_REMEMBERED = 3600.0
#: Seconds within which an accepted save is a rival for the image of another save.
_RIVALRY = 60.0
#: Saves and claims kept at the most.
_MOST = 10_000
#: The server writes creation times and its own clock in whole seconds: two of them may differ by
#: this many seconds though they mean the same.
SLACK = 2.0
#: Saves that are remembered, the latest.
_MOST_ACCEPTED = 50

#: What makes two `SaveAction` the same: id, node, name and moment.
ActionKey = tuple[str | None, str, str, datetime | None]


def _key(action: SaveAction) -> ActionKey:
    return action.action_id, action.node_id, action.name, action.created_at


class PendingSave:
    """One save of this session, from before its first request on."""

    __slots__ = ("key", "name", "sent_at")

    def __init__(self, name: str, sent_at: float) -> None:
        self.name: str = name
        #: Loop time of its first request. Written again when that is sent.
        self.sent_at: float = sent_at
        #: The action, once the server accepted it. Written by `SaveClaims.accepted`.
        self.key: ActionKey | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether it is not known yet if the server carries it out."""
        return self.key is None


#: Whose an image is: a save of this session, or an action of another one.
Owner = PendingSave | ActionKey


class SaveClaims:
    """All that one session knows about saves, and which image belongs to which.

    Args:
        known: When images were first seen.
    """

    def __init__(self, known: KnownImages) -> None:
        self._known = known
        self._creation = CreationTimes()
        #: Saves whose image is not known yet.
        self._pending: dict[PendingSave, None] = {}
        #: Accepted saves by action id, and by the action itself as long as somebody has it: not
        #: every server names its actions.
        self._by_id: dict[str, PendingSave] = {}
        self._by_action: dict[int, tuple[weakref.ref[SaveAction], PendingSave]] = {}
        #: Images that belong to a save, by id.
        self._claimed: dict[str, None] = {}
        #: The image of each save, and of each action of which a copy asked.
        self._image_of: dict[Owner, str] = {}
        #: The images of all saves whose actions look the same.
        self._images_of: dict[ActionKey, list[str]] = {}

    def begin(self, name: str, now: float) -> PendingSave:
        """A save is about to be sent for the first time."""
        while self._pending and next(iter(self._pending)).sent_at < now - _REMEMBERED:
            del self._pending[next(iter(self._pending))]
        pending = PendingSave(name, now)
        self._pending[pending] = None
        trim(self._pending, _MOST)
        return pending

    def refused(self, pending: PendingSave) -> None:
        """The save was not carried out."""
        self._pending.pop(pending, None)

    def accepted(self, pending: PendingSave, action: SaveAction, now: float) -> None:
        """The save was accepted at that loop time; its image is known now or will be found."""
        pending.key = _key(action)
        self._creation.learn(pending.sent_at, now, action.created_at, action.image_id)
        identity = id(action)
        forget = weakref.ref(action, lambda _: self._by_action.pop(identity, None))
        self._by_action[identity] = (forget, pending)
        if action.action_id is not None:
            self._by_id[action.action_id] = pending
            trim(self._by_id, _MOST)
        if action.image_id is not None:
            self.claim(pending, action.image_id)

    def claim(self, owner: Owner | None, image_id: str) -> None:
        """An image belongs to a save, and to no other.

        Args:
            owner: The save, or the action of which a copy asked; None for one that is not known.
            image_id: The image.
        """
        self._claimed[image_id] = None
        trim(self._claimed, _MOST)
        if owner is not None:
            self._image_of[owner] = image_id
            trim(self._image_of, _MOST)
        if isinstance(owner, PendingSave):
            self._pending.pop(owner, None)
            if owner.key is not None:
                self._images_of.setdefault(owner.key, []).append(image_id)
                trim(self._images_of, _MOST)

    def is_unborn(self, image_id: str) -> bool:
        """Whether an image is known from the reply to a save, and no listing has shown it yet."""
        return image_id in self._claimed and self._known.first_seen(image_id) is None

    def pending_of(self, action: SaveAction) -> PendingSave | None:
        """The save of this session that an action is of; None for one of another session."""
        reference, pending = self._by_action.get(id(action), (None, None))
        if reference is not None and reference() is action:
            return pending
        if action.action_id is None:
            return None
        return self._by_id.get(action.action_id)

    # A save whose reply was lost

    def product(self, pending: PendingSave, listing: Listing) -> SavedImage | None:
        """The one image that a save made; None if there is none, or more than one may be it."""
        found = [image for image in listing.images if self._may_be_of(image, pending, listing)]
        if len(found) != 1:
            return None
        if any(fits(found[0], rival.name) for rival in self._rivals(pending)):
            return None
        return found[0]

    def _may_be_of(self, image: SavedImage, pending: PendingSave, listing: Listing) -> bool:
        if image.image_id in self._claimed:
            return False
        if not fits(image, pending.name):
            return False
        return self._is_new(image, pending) and self._creation.was_made_since(
            image, pending.sent_at, listing
        )

    def _is_new(self, image: SavedImage, pending: PendingSave) -> bool:
        """Whether no listing from before a save showed an image."""
        first = self._known.first_seen(image.image_id)
        return first is None or first >= pending.sent_at

    def _rivals(self, pending: PendingSave) -> Iterator[PendingSave]:
        """Other saves without an image that may have made what this one is taken for."""
        for other in self._pending:
            if other is pending:
                continue
            is_near = abs(other.sent_at - pending.sent_at) < _RIVALRY
            if other.in_doubt or is_near:
                yield other

    def recall(self, name: str, sent_at: float) -> None:
        """A journal knows of a save in doubt, sent by an earlier process at that loop time."""
        if not self._in_doubt(name):
            self._pending[PendingSave(name, sent_at)] = None

    def _in_doubt(self, name: str) -> list[PendingSave]:
        return [pending for pending in self._pending if pending.in_doubt and pending.name == name]

    def settle(self, name: str, listing: Listing) -> SavedImage | None:
        """The image of the one save in doubt under that name; None if none is proven.

        Args:
            name: The name asked for.
            listing: A listing from after the save.
        """
        in_doubt = self._in_doubt(name)
        if len(in_doubt) != 1:
            return None
        image = self.product(in_doubt[0], listing)
        if image is not None:
            self.claim(in_doubt[0], image.image_id)
        return image

    # The image of an accepted save

    def candidates(self, action: SaveAction, listing: Listing) -> list[SavedImage]:
        """The images that may be that of an accepted save: one, once it is there and known.

        All who ask for the same action, by any copy of it, get the same image.
        """
        pending = self.pending_of(action)
        owner: Owner = pending or _key(action)
        claimed = self._claimed_by(owner, listing)
        if claimed:
            return claimed
        found = self._fitting(action, pending, listing)
        if len(found) == 1:
            self.claim(owner, found[0].image_id)
        return found

    def _fitting(
        self, action: SaveAction, pending: PendingSave | None, listing: Listing
    ) -> list[SavedImage]:
        """The images that belong to no save yet and may be that of an accepted one."""
        free = (image for image in listing.by_id.values() if image.image_id not in self._claimed)
        found = [image for image in free if self._may_be_awaited(image, action, pending, listing)]
        exact = [image for image in found if image.name == action.name]
        return self._without_others(exact or found, pending, listing)

    def awaited(self, action: SaveAction, listing: Listing) -> SavedImage | None:
        """The image of an accepted save; None while there is none, or more than one may be it."""
        found = self.candidates(action, listing)
        if len(found) == 1:
            return found[0]
        return None

    def _claimed_by(self, owner: Owner, listing: Listing) -> list[SavedImage]:
        """The images in a listing that belong to a save, claimed by it or a copy of its action."""
        found = [listing.by_id.get(image_id) for image_id in self._ids_of(owner)]
        return [image for image in found if image is not None]

    def _ids_of(self, owner: Owner) -> list[str]:
        if owner in self._image_of:
            return [self._image_of[owner]]
        if not isinstance(owner, PendingSave):
            return self._images_of.get(owner, [])
        if owner.key is not None and owner.key in self._image_of:
            return [self._image_of[owner.key]]
        return []

    def _may_be_awaited(
        self,
        image: SavedImage,
        action: SaveAction,
        pending: PendingSave | None,
        listing: Listing,
    ) -> bool:
        """Whether an image may be that of an accepted save."""
        if not fits(image, action.name):
            return False
        is_exact = image.name == action.name
        if not is_exact and self._is_exact_for_another(image, pending):
            return False
        if _is_older(image, action):
            return False
        if pending is not None:
            return self._is_new(image, pending) and self._is_of_age(image, pending, listing)
        # Of another session's action only the moment and the name are known.
        has_moment = action.created_at is not None and image.creation_time is not None
        return has_moment or is_exact

    def _is_of_age(self, image: SavedImage, pending: PendingSave, listing: Listing) -> bool:
        """Whether nothing says that an image was made before a save."""
        if listing.date is None or image.creation_time is None:
            return True
        return self._creation.was_made_since(image, pending.sent_at, listing)

    def _is_exact_for_another(self, image: SavedImage, pending: PendingSave | None) -> bool:
        return any(image.name == other.name for other in self._pending if other is not pending)

    def _without_others(
        self, found: list[SavedImage], pending: PendingSave | None, listing: Listing
    ) -> list[SavedImage]:
        """The candidates without those that can only be the image of another accepted save."""
        if len(found) < 2:
            return found
        taken: set[str] = set()
        for other in self._pending:
            if other is pending or other.in_doubt:
                continue
            may_be = [image for image in found if self._may_be_of(image, other, listing)]
            if len(may_be) == 1:
                taken.add(may_be[0].image_id)
        return [image for image in found if image.image_id not in taken]


def _is_older(image: SavedImage, action: SaveAction) -> bool:
    """Whether an image was made before an action, by the moments that the server tells of both."""
    if action.created_at is None or image.creation_time is None:
        return False
    return (action.created_at - image.creation_time).total_seconds() > SLACK


class Ahead:
    """Seconds by which the server's clock is ahead of the loop's, at least and at most."""

    __slots__ = ("least", "most")

    def __init__(self, least: float, most: float) -> None:
        self.least: float = least
        self.most: float = most

    def agrees_with(self, other: Ahead) -> bool:
        """Whether both may be true."""
        return self.least <= other.most + SLACK and other.least <= self.most + SLACK

    def narrowed_by(self, other: Ahead) -> Ahead:
        """What follows from both."""
        return Ahead(max(self.least, other.least), min(self.most, other.most))

    def made_between(self, made: float, start: float, end: float) -> bool:
        """Whether something that the server dates `made` was made between two loop times."""
        return made - self.most >= start - SLACK and made - self.least <= end + SLACK


class _Accepted:
    """A save that the server accepted."""

    __slots__ = ("created_at", "image_id", "received", "sent_at")

    def __init__(
        self, sent_at: float, received: float, created_at: datetime | None, image_id: str | None
    ) -> None:
        #: Loop times at which it was sent, and at which the reply was there.
        self.sent_at: float = sent_at
        self.received: float = received
        #: What the reply says, if it does: the moment, and the image.
        self.created_at: datetime | None = created_at
        self.image_id: str | None = image_id


class CreationTimes:
    """Tells whether an image was made between a moment and a listing."""

    def __init__(self) -> None:
        self._accepted: deque[_Accepted] = deque(maxlen=_MOST_ACCEPTED)

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
