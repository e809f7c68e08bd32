"""What a listing proves of a write whose replies cannot tell whether it was carried out.

A listing proves presence, and absence only of an image that is known to have been there before; a
save that is absent may still show up, and a name that is absent may still be given. And a listing
may be late: from when on it proves something is reckoned by `KnownImages`.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

from aioe2e._actions import ACTIONS, ProvenBy
from aioe2e._call import Channel
from aioe2e._wire import Fate, Verdict
from aioe2e.config import RetryPolicy
from aioe2e.errors import E2EError, NotFoundError, extended
from aioe2e.models import Action

from .listing import Listing, name_proven_from
from .memory import ImageMemory
from .saves import PendingSave

#: Failed listings that a look puts up with, where the retry policy allows fewer attempts.
_FEWEST_TRIES = 3
#: Seconds between two listings of a look, at first; each time half as long again.
_FIRST_INTERVAL = 0.15
#: Added to a rest until a moment, so that the loop's clock resolution never ends it early.
_MARGIN = 0.005


class OpenWrite(NamedTuple):
    """A write of which it is not known whether it was carried out."""

    action: Action
    #: The id of the image (of the node, for a save).
    target: str
    #: The name that it gives.
    name: str
    #: What the image was called before, and from when on (loop time), where that was known.
    before: tuple[str, float] | None = None
    #: The save, if it is one.
    pending: PendingSave | None = None


class Proof:
    """What a listing shows of a write, and from when on that is a proof."""

    __slots__ = ("asked_at", "holds_from", "verdict")

    def __init__(self, verdict: Verdict, holds_from: float, asked_at: float) -> None:
        #: The verdict on the write; its fate is DONE.
        self.verdict: Verdict = verdict
        #: Loop time: a listing that was asked for by then or later, and shows the same, is a proof.
        self.holds_from: float = holds_from
        #: Loop time at which the listing was asked for.
        self.asked_at: float = asked_at

    @property
    def holds(self) -> bool:
        """Whether the listing proves it by now."""
        return self.holds_from <= self.asked_at


class WriteWitness:
    """Knows one write of an image, and finds in listings whether it was carried out.

    Args:
        channel: The session's.
        memory: What is known of the images.
        policy: `look` says how long listings are read, and by how much they may be late.
        write: The write.
    """

    __slots__ = ("_channel", "_memory", "_policy", "_write", "began", "looked")

    def __init__(
        self,
        channel: Channel,
        memory: ImageMemory,
        policy: RetryPolicy,
        write: OpenWrite,
    ) -> None:
        self._channel = channel
        self._memory = memory
        self._policy = policy
        self._write = write
        #: Loop time at which the first request was sent; None before. Written by `sent`.
        self.began: float | None = None
        self.looked: bool = False

    def sent(self, now: float) -> None:
        """The first request is about to be sent."""
        self.began = now
        if self._write.pending is not None:
            self._write.pending.sent_at = now

    async def look(self, until: float | None, *, once: bool = False) -> Verdict | None:
        """Read listings until one proves that the write was carried out.

        A server may show late what it has done, so one listing that does not show it is not the
        last word.

        Args:
            until: Loop time at which the call must be over.
            once: Whether a single listing will do, where that shows nothing of the write.

        Returns:
            A verdict whose fate is DONE; None where nothing is proven.
        """
        channel = self._channel
        now = channel.clock.now()
        # If no request was sent, only an earlier call has sent it.
        began = now if self.began is None else self.began
        look_end = end = now + self._policy.look
        if until is not None:
            end = min(end, until)
        interval = _FIRST_INTERVAL
        self.looked = False
        while not channel.closed:
            # The first listing has as long as the call has; further ones are made only while the
            # look lasts.
            listing = await self._listing(until)
            proof = self._proof_in(listing, began)
            if proof is not None and proof.holds:
                return proof.verdict
            if once and proof is None:
                break
            now = channel.clock.now()
            due = _next_due(proof, now, interval, end)
            if due is None:
                self.looked = listing is not None and now >= look_end
                break
            await channel.rest(due - now)
            interval *= 1.5
        return None

    def _proof_in(self, listing: Listing | None, began: float) -> Proof | None:
        if listing is None:
            return None
        return proof_of(self._memory, self._write, listing, began=began, lag=self._policy.look)

    async def _listing(self, until: float | None) -> Listing | None:
        """A listing from now on; None if there is none to be had."""
        tries = max(self._policy.attempts, _FEWEST_TRIES)
        now = self._channel.clock.now()
        try:
            return await self._memory.listings.after(now, until=until, tries=tries)
        except (E2EError, TimeoutError):
            return None

    async def missing(self, error: NotFoundError, until: float | None) -> NotFoundError:
        """Believe "not found" on a first delete only if the listing does not show the image either.

        An account that speaks the other dialect may answer 404 to a route that it does not know.
        """
        if ACTIONS[self._write.action].proven_by is not ProvenBy.ABSENCE:
            return error
        memory, target = self._memory, self._write.target
        listing = await self._listing(until)
        if listing is None:
            return extended(error, " [no listing could be read to confirm it]")
        if target in listing.by_id:
            other = "the listing shows the image: the account may speak the other Dialect"
            return extended(error, f" [{other}]")
        if listing.partial or memory.may_be_new(target, listing, self._policy.look):
            return extended(error, " [it may only be too new for the server to show it]")
        return extended(error, "", confirmed=True)


def _next_due(proof: Proof | None, now: float, interval: float, end: float) -> float | None:
    """Loop time at which the next listing is worth asking for; None if that is too late.

    Where something was shown that is no proof yet, that is when it can be one.
    """
    if now >= end:
        return None
    if proof is None:
        return min(now + interval, end)
    if proof.holds_from > end:
        return None
    return max(proof.holds_from, now) + _MARGIN


def proof_of(
    memory: ImageMemory, write: OpenWrite, listing: Listing, *, began: float, lag: float
) -> Proof | None:
    """What a listing shows of a write; None where it shows nothing.

    Args:
        memory: What is known of the images.
        write: The write.
        listing: A listing that was asked for after it.
        began: Loop time at which the write was sent for the first time.
        lag: Seconds by which the listing may be late.
    """
    proven_by = ACTIONS[write.action].proven_by
    match proven_by:
        case ProvenBy.NAME:
            return _by_name(write, listing, began, lag)
        case ProvenBy.ABSENCE:
            return _by_absence(memory, write, listing, began, lag)
        case ProvenBy.NEW_IMAGE:
            return _by_new_image(memory, write, listing)
        case _:
            assert_never(proven_by)


def _by_name(write: OpenWrite, listing: Listing, began: float, lag: float) -> Proof | None:
    image = listing.by_id.get(write.target)
    if image is None or image.name != write.name:
        return None
    if write.target in listing.contradictory:
        return None
    holds_from = name_proven_from(write.name, write.before, began, lag)
    return Proof(Verdict(Fate.DONE), holds_from, listing.started)


def _by_absence(
    memory: ImageMemory, write: OpenWrite, listing: Listing, began: float, lag: float
) -> Proof | None:
    if not listing.lacks(write.target):
        return None
    if memory.saves.is_unborn(write.target):
        return None  # it may only not have come up yet
    holds_from = memory.known.absence_proven_from(write.target, began, lag)
    return Proof(Verdict(Fate.DONE), holds_from, listing.started)


def _by_new_image(memory: ImageMemory, write: OpenWrite, listing: Listing) -> Proof | None:
    if write.pending is None:
        return None
    image = memory.saves.product(write.pending, listing)
    if image is None:
        return None
    verdict = Verdict(Fate.DONE, data={"image_id": image.image_id})
    return Proof(verdict, holds_from=listing.started, asked_at=listing.started)
