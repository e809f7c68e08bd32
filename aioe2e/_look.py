"""A look at the listing, where replies cannot tell what became of a write.

A listing proves presence, and absence only of an image that surely was there before; a save that is absent may still
show up, and a name that is absent may still be given. And a listing may be late: what it must not be late for is
reckoned in `_sightings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from ._fates import Fate
from ._listing import Listing
from ._wire import Verdict
from .config import RetryPolicy
from .errors import E2EError, NotFoundError
from .models import Action

if TYPE_CHECKING:
    from ._core import Core
    from ._saves import SaveTicket

#: Failed listings that a look puts up with, where the retry policy allows fewer attempts.
_FEWEST_TRIES = 3
#: Seconds between two listings of a look, at first; each time half as long again.
_FIRST_INTERVAL = 0.15


@attrs.frozen(eq=False, repr=False)
class Doubt:
    """A write of which nobody knows what became.

    Attributes:
        action: What it does.
        target: The id of the image (of the node, for a save).
        name: The name that it gives.
        began: Loop time at which it was sent for the first time.
        previous: What the image was called then, where that was known.
        ticket: The save, if it is one.
    """

    action: str
    target: str
    name: str
    began: float
    previous: str | None = None
    ticket: SaveTicket | None = None


async def look(
    core: Core, policy: RetryPolicy, doubt: Doubt, until: float | None, *, once: bool = False
) -> Verdict | None:
    """Look whether a write that may have been carried out was.

    A server may show late what it has done, so one listing that does not show it is not the last word.

    Args:
        core: The session's shared parts.
        policy: `look` says how long.
        doubt: The write.
        until: Loop time at which the call must be over.
        once: Whether a single readable listing will do.

    Returns:
        A verdict whose fate is DONE, or None where nothing is proven.
    """
    if doubt.action not in _PROOFS:
        return None
    end = core.clock.now() + (0.0 if once else policy.look)
    interval = _FIRST_INTERVAL
    while not core.closed:
        # The first listing has as long as the call has; further ones are made only while the look lasts.
        listing = await _listing(core, policy, until)
        if listing is not None and (proof := proof_of(core, doubt, listing, policy.look)) is not None:
            return proof
        left = (end if until is None else min(end, until)) - core.clock.now()
        if left <= 0:
            break
        await core.rest(min(interval, left))
        interval *= 1.5
    return None


def proof_of(core: Core, doubt: Doubt, listing: Listing, lag: float) -> Verdict | None:
    """A verdict whose fate is DONE, if a listing proves the write; what has no proof here is never proven.

    Args:
        core: The session's shared parts.
        doubt: The write.
        listing: A listing that was asked for after it.
        lag: Seconds by which the listing may be late.
    """
    proof = _PROOFS.get(doubt.action)
    return None if proof is None else proof(core, doubt, listing, lag)


def _is_renamed(core: Core, doubt: Doubt, listing: Listing, lag: float) -> Verdict | None:
    shown = core.sightings.shows_name(doubt.target, doubt.name, doubt.previous, listing, doubt.began, lag)
    return Verdict(Fate.DONE) if shown else None


def _is_gone(core: Core, doubt: Doubt, listing: Listing, lag: float) -> Verdict | None:
    if core.saves.is_unborn(doubt.target):
        return None  # its absence may only mean that it has not come up yet
    return Verdict(Fate.DONE) if core.sightings.shows_gone(doubt.target, listing, doubt.began, lag) else None


def _is_saved(core: Core, doubt: Doubt, listing: Listing, _: float) -> Verdict | None:
    image = None if doubt.ticket is None else core.saves.product(doubt.ticket, listing)
    return None if image is None else Verdict(Fate.DONE, data={"image_id": image.image_id})


#: What of a listing proves that a write was carried out.
_PROOFS: Mapping[str, Callable[[Core, Doubt, Listing, float], Verdict | None]] = {
    Action.RENAME: _is_renamed,
    Action.DELETE: _is_gone,
    Action.SAVE: _is_saved,
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
        error.args = (f"{error} [the listing shows the image: the account may speak the other Dialect]",)
    elif listing.partial or core.saves.is_unborn(target) or not core.sightings.is_old(target, listing, policy.look):
        error.args = (f"{error} [it may only be too new for the server to show it]",)
    else:
        error.confirmed = True
    return error
