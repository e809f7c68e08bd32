"""A look at the listing, where replies cannot tell what became of a write.

A listing proves presence, and absence only of an image that surely was there before; a save that is
absent may still show up, and a name that is absent may still be given. And a listing may be late:
what it must not be late for is reckoned in `_sightings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from aioe2e._fates import Fate
from aioe2e._wire.request import Verdict
from aioe2e.config import RetryPolicy
from aioe2e.errors import E2EError, NotFoundError
from aioe2e.models import Action

from .listing import Listing
from .sightings import named_if_shown_from

if TYPE_CHECKING:
    from aioe2e._call.channel import Core

    from .saves import SaveTicket

#: Failed listings that a look puts up with, where the retry policy allows fewer attempts.
_FEWEST_TRIES = 3
#: Seconds between two listings of a look, at first; each time half as long again.
_FIRST_INTERVAL = 0.15
#: Added to a rest until a moment, so that the loop's clock resolution never ends it early.
_MARGIN = 0.005


@attrs.frozen(eq=False, repr=False)
class Doubt:
    """A write of which nobody knows what became.

    Attributes:
        action: What it does.
        target: The id of the image (of the node, for a save).
        name: The name that it gives.
        began: Loop time at which it was sent for the first time.
        before: What the image was called then, and from when on, where that was known.
        ticket: The save, if it is one.
    """

    action: str
    target: str
    name: str
    began: float
    before: tuple[str, float] | None = None
    ticket: SaveTicket | None = None


@attrs.frozen(eq=False, repr=False)
class Evidence:
    """What a listing shows of a write.

    Attributes:
        proof: The verdict, whose fate is DONE, if it is a proof.
        proven_from: From when on (loop time) a listing that shows the same is a proof.
    """

    proof: Verdict
    proven_from: float


@attrs.frozen(eq=False, repr=False)
class Looked:
    """What a look came to.

    Attributes:
        proof: A verdict whose fate is DONE; None where nothing is proven.
        to_the_end: Whether the last listing that it was worth waiting for was read.
    """

    proof: Verdict | None = None
    to_the_end: bool = False


async def look(
    core: Core, policy: RetryPolicy, doubt: Doubt, until: float | None, *, once: bool = False
) -> Looked:
    """Look whether a write that may have been carried out was.

    A server may show late what it has done, so one listing that does not show it is not the last
    word.

    Args:
        core: The session's shared parts.
        policy: `look` says how long.
        doubt: The write.
        until: Loop time at which the call must be over.
        once: Whether a single listing will do, where that shows nothing of the write.
    """
    if doubt.action not in _EVIDENCE:
        return Looked()
    end = core.clock.now() + policy.look
    interval = _FIRST_INTERVAL
    while not core.closed:
        # The first listing has as long as the call has; further ones are made only while the look
        # lasts.
        listing = await _listing(core, policy, until)
        evidence = None if listing is None else evidence_of(core, doubt, listing, policy.look)
        now = core.clock.now()
        left = (end if until is None else min(end, until)) - now
        wait = min(interval, left)
        if listing is not None and evidence is not None:
            if evidence.proven_from <= listing.started:
                return Looked(evidence.proof)
            wait = max(evidence.proven_from - now, 0.0) + _MARGIN
        elif once:
            break
        if left <= 0 or wait > left + _MARGIN:
            return Looked(None, listing is not None and now >= end)
        await core.rest(wait)
        interval *= 1.5
    return Looked()


def evidence_of(core: Core, doubt: Doubt, listing: Listing, lag: float) -> Evidence | None:
    """What a listing shows of a write; None where it shows nothing. What is not known here is never
    proven.

    Args:
        core: The session's shared parts.
        doubt: The write.
        listing: A listing that was asked for after it.
        lag: Seconds by which the listing may be late.
    """
    evidence = _EVIDENCE.get(doubt.action)
    return None if evidence is None else evidence(core, doubt, listing, lag)


def _of_rename(_: Core, doubt: Doubt, listing: Listing, lag: float) -> Evidence | None:
    image = listing.by_id.get(doubt.target)
    if image is None or image.name != doubt.name:
        return None
    return Evidence(
        Verdict(Fate.DONE), named_if_shown_from(doubt.name, doubt.before, doubt.began, lag)
    )


def _of_delete(core: Core, doubt: Doubt, listing: Listing, lag: float) -> Evidence | None:
    if listing.partial or doubt.target in listing.by_id or core.saves.is_unborn(doubt.target):
        return None  # the absence of an unborn image may only mean that it has not come up yet
    return Evidence(
        Verdict(Fate.DONE), core.sightings.gone_if_missing_from(doubt.target, doubt.began, lag)
    )


def _of_save(core: Core, doubt: Doubt, listing: Listing, _: float) -> Evidence | None:
    image = None if doubt.ticket is None else core.saves.product(doubt.ticket, listing)
    return (
        None
        if image is None
        else Evidence(Verdict(Fate.DONE, data={"image_id": image.image_id}), listing.started)
    )


#: What of a listing tells that a write was carried out.
_EVIDENCE: Mapping[str, Callable[[Core, Doubt, Listing, float], Evidence | None]] = {
    Action.RENAME: _of_rename,
    Action.DELETE: _of_delete,
    Action.SAVE: _of_save,
}


async def _listing(core: Core, policy: RetryPolicy, until: float | None) -> Listing | None:
    """A listing from now on; None if there is none to be had."""
    tries = max(policy.attempts, _FEWEST_TRIES)
    try:
        return await core.listings.after(core.clock.now(), until=until, tries=tries)
    except (E2EError, TimeoutError):
        return None


async def really_missing(
    core: Core, policy: RetryPolicy, error: NotFoundError, target: str, until: float | None
) -> NotFoundError:
    """Believe "not found" on a first delete only if the listing does not show the image either.

    An account that speaks the other dialect may answer 404 to a route that it does not know.
    """
    listing = await _listing(core, policy, until)
    if listing is None:
        error.args = (f"{error} [no listing could be read to confirm it]",)
    elif target in listing.by_id:
        error.args = (
            f"{error} [the listing shows the image: the account may speak the other Dialect]",
        )
    elif (
        listing.partial
        or core.saves.is_unborn(target)
        or not core.sightings.is_old(target, listing, policy.look)
    ):
        error.args = (f"{error} [it may only be too new for the server to show it]",)
    else:
        error.confirmed = True
    return error
