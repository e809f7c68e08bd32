"""Waiting for images: any number of waiters share one listing per interval.

The waiter whose time has come makes the listing, and all who wait look at it, so that the most
impatient waiter sets the pace for all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final, TypeVar

from aioe2e._call import Channel, closed_error
from aioe2e._check import LONGEST_INTERVAL
from aioe2e._clock import Clock
from aioe2e.errors import E2EError, WaitTimeoutError, is_passing
from aioe2e.models import ImageState, WaitProgress

from .listing import Listing, Listings

log: Final = logging.getLogger("aioe2e")

T = TypeVar("T")

#: By how much the interval between two listings grows.
_GROWTH = 1.5


class WaitTold:
    """Who is told of a wait, and what."""

    __slots__ = ("progress", "state_in")

    def __init__(
        self,
        progress: Callable[[WaitProgress], object],
        state_in: Callable[[Listing], ImageState | None],
    ) -> None:
        #: The user's callback.
        self.progress: Callable[[WaitProgress], object] = progress
        #: The state, in a listing, of what is waited for.
        self.state_in: Callable[[Listing], ImageState | None] = state_in

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
        told: What is told after each listing that does not end the wait.

    Raises:
        WaitTimeoutError: The time is over.
        E2EError: What `found` raised, or why no listing can be had, unless that is transient.
    """
    schedule = _Schedule(channel.clock, timeout, interval)
    listing = _settles_nothing(listings.recent(schedule.begun - interval / 2), found)
    if listing is not None:
        schedule.due = listing.started + interval
    while True:
        fresh, failure = await _next(channel, listings, listing, schedule)
        if fresh is not None:
            listing = fresh
            result = found(fresh)
            if result is not None:
                return result
        _require_no_end(channel, failure)
        if schedule.is_over():
            raise _not_in_time(waiting_for, timeout, failure)
        shown = listing
        if failure is not None:
            shown = None
        schedule.advance(shown)
        if told is not None:
            told.tell(shown, elapsed=schedule.elapsed(), next_look=schedule.left())


def _require_no_end(channel: Channel, failure: E2EError | None) -> None:
    """Raise what ends a wait: the session was closed, or a listing failed for good."""
    if channel.closed:
        raise closed_error()
    if failure is not None and not is_passing(failure):
        raise failure


def _not_in_time(
    waiting_for: str, timeout: float | None, failure: E2EError | None
) -> WaitTimeoutError:
    """The error of a wait whose time is over."""
    because = ""
    if failure is not None:
        because = f" (the last listing failed: {failure})"
    return WaitTimeoutError(
        f"not within {timeout:g} s{because}; the server may still be at it", subject=waiting_for
    )


class _Schedule:
    """When the next listing of a wait is due. All moments are loop times.

    Args:
        clock: Where the time comes from.
        timeout: Seconds for the whole wait; None for no limit.
        interval: Seconds until the second listing.
    """

    def __init__(self, clock: Clock, timeout: float | None, interval: float) -> None:
        self._clock = clock
        self.begun: float = clock.now()
        self.end: float = math.inf if timeout is None else self.begun + timeout
        #: Seconds until the next listing. `advance` lets it grow.
        self.interval = interval
        #: When the next listing is due. `poll` sets it at first, and `advance` after each listing.
        self.due: float = self.begun

    def is_over(self) -> bool:
        """Whether the time for the wait is over."""
        return self._clock.now() >= self.end

    def advance(self, latest: Listing | None) -> None:
        """Take the next listing an interval after the latest, or after now where that failed."""
        since = self._clock.now()
        if latest is not None:
            since = latest.started
        self.due = min(since + self.interval, self.end)
        self.interval = min(self.interval * _GROWTH, LONGEST_INTERVAL)

    def elapsed(self) -> float:
        """Seconds since the wait began."""
        return self._clock.now() - self.begun

    def left(self) -> float:
        """Seconds until the next listing is due."""
        return max(0.0, self.due - self._clock.now())


def _settles_nothing(shared: Listing | None, found: Callable[[Listing], object]) -> Listing | None:
    """A listing of others that would not end the wait; the next one is early enough then.

    What it would show is not taken for an answer, since it was asked for before the question.
    """
    if shared is None or _settles(found, shared):
        return None
    return shared


def _settles(found: Callable[[Listing], object], listing: Listing) -> bool:
    """Whether a listing would end a wait, well or not."""
    try:
        return found(listing) is not None
    except E2EError:
        return True


async def _next(
    channel: Channel, listings: Listings, known: Listing | None, schedule: _Schedule
) -> tuple[Listing | None, E2EError | None]:
    """The next listing that anybody makes, or one's own once it is due; or why there is none."""
    until = None if schedule.end == math.inf else schedule.end
    moment = schedule.due
    if known is not None:
        news = await listings.newer(known, schedule.due)
        if news is not None or channel.closed:
            return news, None
        moment -= schedule.interval / 2
    try:
        return await listings.after(moment, until=until, tries=1), None
    except TimeoutError:
        return None, None
    except E2EError as error:
        return None, error
