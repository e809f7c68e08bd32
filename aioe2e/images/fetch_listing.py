"""Listing the saved images: the call, and the models made of its reply."""

from __future__ import annotations

import attrs

from aioe2e._call.call import Call, Options
from aioe2e._call.channel import Core
from aioe2e._record import Trail
from aioe2e._wire import retry_after
from aioe2e._wire.codec import images_in_slices
from aioe2e._wire.request import LIST, Verdict

from .listing import Listing


async def list_images(core: Core, options: Options, trail: Trail) -> Listing:
    """List all saved images, with all retries."""
    call = Call(core, options, LIST, trail)
    verdict = await call.run()
    return await _listing_of(core, call, verdict)


async def fetch_listing(core: Core, options: Options, until: float | None) -> Listing:
    """List all saved images in one attempt that costs no retry: for looks and waits."""
    once = attrs.evolve(options, retry=attrs.evolve(options.retry, attempts=1))
    call = Call(core, once, LIST, Trail(deadline=until))
    verdict = await call.run(free=True)
    return await _listing_of(core, call, verdict)


async def _listing_of(core: Core, call: Call, verdict: Verdict) -> Listing:
    received = core.clock.now()
    images = await call.in_slices(images_in_slices(verdict.data))
    date = None if call.reply is None else retry_after.server_time(call.reply.headers)
    listing = Listing(images, call.sent_at, received, date, partial=verdict.partial)
    await call.in_slices(core.sightings.saw(listing))
    return listing
