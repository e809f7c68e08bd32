"""What is known of the images of one project and location, shared by all views that mean them."""

from __future__ import annotations

import attrs

from aioe2e._call import Call, Channel, Options
from aioe2e._record import CallOrders, CallRecord
from aioe2e._wire import LIST, Verdict, images_in_slices

from .listing import KnownImages, Listing, Listings
from .saves import SaveClaims
from .write_order import KeyedLocks, LateWrites


class ImageMemory:
    """Locks, known images, saves and shared listings; every listing that is made is remembered.

    Args:
        channel: The session's.
        options: With which shared listings are made.
    """

    def __init__(self, channel: Channel, options: Options) -> None:
        self._channel = channel
        self._once: Options = attrs.evolve(options, retry=attrs.evolve(options.retry, attempts=1))
        #: One for each image that a write is under way for.
        self.locks: KeyedLocks = KeyedLocks()
        #: Requests that may still take effect.
        self.late_writes: LateWrites = LateWrites()
        self.known: KnownImages = KnownImages()
        self.saves: SaveClaims = SaveClaims(self.known)
        #: Listings for looks and waits, which may share them.
        self.listings: Listings = Listings(self.list_once, channel)

    def may_be_new(self, image_id: str, listing: Listing, lag: float) -> bool:
        """Whether an image that a listing does not show may only be too new for it.

        Args:
            image_id: The image.
            listing: The listing.
            lag: Seconds by which a listing may be late.
        """
        if self.saves.is_unborn(image_id):
            return True
        return not self.known.is_old(image_id, listing, lag)

    async def list_with_retries(self, options: Options, record: CallRecord) -> Listing:
        """List all saved images, as a call of its own."""
        call = Call(self._channel, options, LIST, record)
        return await self._taken_in(call, await call.run())

    async def list_once(self, until: float | None) -> Listing:
        """List all saved images in one attempt that costs no retry.

        Args:
            until: Loop time at which it must be over.
        """
        call = Call(self._channel, self._once, LIST, CallRecord(CallOrders(deadline=until)))
        return await self._taken_in(call, await call.run(free=True))

    async def _taken_in(self, call: Call, verdict: Verdict) -> Listing:
        received = self._channel.clock.now()
        images = await call.in_slices(
            images_in_slices(verdict.data, self._channel.limits.max_elements)
        )
        listing = Listing(images, call.sent_at, received, verdict.date, partial=verdict.partial)
        await call.in_slices(self.known.take_in(listing))
        return listing
