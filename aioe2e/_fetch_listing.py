"""Listing the saved images: the call, and the models made of its reply."""

from __future__ import annotations

import attrs

from . import _retry_after
from ._call import Call, Options
from ._codec import images_in_slices
from ._core import Core
from ._listing import Listing
from ._trail import Trail
from ._wire import LIST, Verdict


async def list_images(core: Core, options: Options, trail: Trail) -> Listing:
    """List all saved images, with all retries."""
    call = Call(core, options, LIST, trail)
    verdict = await call.run()
    return await _listing_of(core, call, verdict)


async def fetch_listing(core: Core, options: Options, until: float | None) -> Listing:
    """List all saved images in one attempt that costs no retry: for looks and waits."""
    once = Options(options.timeouts, attrs.evolve(options.retry, attempts=1))
    call = Call(core, once, LIST, Trail(deadline=until))
    verdict = await call.run(free=True)
    return await _listing_of(core, call, verdict)


async def _listing_of(core: Core, call: Call, verdict: Verdict) -> Listing:
    received = core.clock.now()
    images = await call.in_slices(images_in_slices(verdict.data))
    date = None if call.reply is None else _retry_after.server_time(call.reply.headers)
    listing = Listing(images, call.sent_at, received, date, partial=verdict.partial)
    await call.in_slices(core.sightings.saw(listing))
    return listing
