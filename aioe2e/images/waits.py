"""Waiting for images: any number of waiters share one listing per interval.

Whoever's time has come makes the listing, and everybody who waits looks at it, so that the most
impatient waiter sets the pace for all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from aioe2e._call import Channel, closed_error
from aioe2e._check import LONGEST_INTERVAL
from aioe2e.errors import E2EError, WaitTimeoutError, is_passing
from aioe2e.models import ImageState, WaitProgress

from .listing import Listing, Listings

log: Final = logging.getLogger("aioe2e")

T = TypeVar("T")

#: By how much the interval between two listings grows.
_GROWTH = 1.5


@attrs.frozen(eq=False, repr=False)
class WaitTold:
    """What somebody wants to be told of a wait.

    Attributes:
        progress: The user's callback.
        state_in: The state, in a listing, of what is waited for.
    """

    progress: Callable[[WaitProgress], object]
    state_in: Callable[[Listing], ImageState | None]

    def tell(self, listing: Listing | None, *, elapsed: float, next_look: float) -> None:
        """Tell of a look; None in the place of a listing that failed."""
        state = None if listing is None else self.state_in(listing)
        try:
            self.progress(WaitProgress(state=state, elapsed=elapsed, next_look=next_look))
        except Exception:
            log.exception("a progress callback failed")


async def poll(
    channel: Channel,
    listings: Listings,
    found: Callable[[Listing], T | None],
    *,
    waiting_for: str,
    timeout: float | None,
    interval: float,
    told: WaitTold | None = None,
) -> T:
    """Look at listings until one shows what is waited for.

    Args:
        channel: The session's.
        listings: Those that are shared.
        found: Gives the result, None to go on waiting, or raises an error to stop.
        waiting_for: What is waited for, for the text of the error.
        timeout: Seconds.
        interval: Seconds until the second listing; the interval grows to 60.
        told: What is told after each look that does not end the wait.

    Raises:
        WaitTimeoutError: The time is over.
        E2EError: What `found` raised, or why no listing can be had (a fault that passes is waited
            through).
    """
    clock = channel.clock
    begun = due = clock.now()
    end = math.inf if timeout is None else begun + timeout
    failure: E2EError | None = None
    listing = _unsettled(listings.recent(begun - interval / 2), found)
    if listing is not None:
        due = listing.started + interval
    while True:
        fresh, failure = await _next(channel, listings, listing, due, end, interval)
        if fresh is not None:
            listing = fresh
            result = found(listing)
            if result is not None:
                return result
        _raise_if_over(channel, failure)
        now = clock.now()
        if now >= end:
            break
        shown = listing if failure is None else None
        latest = now if shown is None else shown.started
        due = min(latest + interval, end)
        if told is not None:
            told.tell(shown, elapsed=now - begun, next_look=max(0.0, due - now))
        interval = min(interval * _GROWTH, LONGEST_INTERVAL)
    because = ""
    if failure is not None:
        because = f" (the last listing failed: {failure})"
    raise WaitTimeoutError(
        f"{waiting_for}: not within {timeout:g} s{because}; the server may still be at it"
    )


def _unsettled(listing: Listing | None, found: Callable[[Listing], object]) -> Listing | None:
    """A listing of others who wait, if it would not end this wait.

    Then the next one is early enough. What it shows is not taken for an answer, since it was asked
    for before the question.
    """
    if listing is None or _settles(found, listing):
        return None
    return listing


def _raise_if_over(channel: Channel, failure: E2EError | None) -> None:
    """End the wait where the session is closed, or a listing failed for good."""
    if channel.closed:
        raise closed_error()
    if failure is not None and not is_passing(failure):
        raise failure


def _settles(found: Callable[[Listing], object], listing: Listing) -> bool:
    """Whether a listing would end a wait, well or not."""
    try:
        return found(listing) is not None
    except E2EError:
        return True


async def _next(
    channel: Channel,
    listings: Listings,
    known: Listing | None,
    due: float,
    end: float,
    interval: float,
) -> tuple[Listing | None, E2EError | None]:
    """The next listing that anybody makes, or one's own once it is due; or why there is none."""
    until = None if end == math.inf else end
    if known is not None:
        news = await listings.newer(known, due)
        if news is not None or channel.closed:
            return news, None
    moment = due if known is None else due - interval / 2
    try:
        return await listings.after(moment, until=until, tries=1), None
    except TimeoutError:
        return None, None
    except E2EError as error:
        return None, error
