"""A look at the listing, where replies cannot tell what became of a write.

A listing proves presence. Absence it proves only of an image that is being deleted; a save that is absent may still
show up, and a name that is absent may still be given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ._fates import Fate
from ._listing import Listing
from ._wire import Request, Verdict
from .config import RetryPolicy
from .errors import E2EError, NotFoundError
from .models import Action, SavedImage

if TYPE_CHECKING:
    from ._core import Core
    from ._saves import SaveTicket

#: Failed listings that a look puts up with, where the retry policy allows fewer attempts.
_FEWEST_TRIES = 3
#: Seconds between two listings of a look, at first; each time half as long again.
_FIRST_INTERVAL = 0.15


async def look(
    core: Core,
    policy: RetryPolicy,
    request: Request,
    ticket: SaveTicket | None,
    until: float | None,
    *,
    once: bool = False,
) -> Verdict | None:
    """Look whether a write that may have been carried out was.

    A server may show late what it has done, so one listing that does not show it is not the last word.

    Args:
        core: The session's shared parts.
        policy: `look` says how long.
        request: The write.
        ticket: The save, if it is one.
        until: Loop time at which the call must be over.
        once: Whether a single readable listing will do.

    Returns:
        A verdict whose fate is DONE, or None where nothing is proven.
    """
    if ticket is None and request.action not in _PROOFS:
        return None
    end = core.clock.now() + (0.0 if once else policy.look)
    interval = _FIRST_INTERVAL
    while not core.closed:
        # The first listing has as long as the call has; further ones are made only while the look lasts.
        listing = await _listing(core, policy, until)
        if listing is not None and (proof := _proof(core, request, ticket, listing)) is not None:
            return proof
        left = (end if until is None else min(end, until)) - core.clock.now()
        if left <= 0:
            break
        await core.rest(min(interval, left))
        interval *= 1.5
    return None


def _proof(core: Core, request: Request, ticket: SaveTicket | None, listing: Listing) -> Verdict | None:
    """A verdict whose fate is DONE, if a listing proves the write."""
    if request.action == Action.DELETE and core.saves.is_unborn(request.target):
        return None  # its absence may only mean that the listing is late
    if ticket is None:
        return Verdict(Fate.DONE) if proves(request.action, request.target, request.name, listing) else None
    image = core.saves.product(ticket, listing)
    return None if image is None else Verdict(Fate.DONE, data={"image_id": image.image_id})


def proves(action: str, target: str, name: str | None, listing: Listing) -> bool:
    """Whether a listing shows that a write was carried out; what has no proof here is never proven."""
    proof = _PROOFS.get(action)
    return proof is not None and proof(listing.by_id.get(target), name)


#: What an image in a listing (None if it is not there), and the name asked for, have to be like.
_PROOFS: Mapping[str, Callable[[SavedImage | None, str | None], bool]] = {
    Action.RENAME: lambda image, name: image is not None and image.name == name,
    Action.DELETE: lambda image, _: image is None,
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
    error.confirmed = listing is not None and target not in listing.by_id
    if listing is None:
        error.args = (f"{error} [no listing could be read to confirm it]",)
    elif not error.confirmed:
        error.args = (f"{error} [the listing shows the image: the account may speak the other Dialect]",)
    return error
