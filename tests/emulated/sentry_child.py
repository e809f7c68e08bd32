"""Calls under Sentry with its default settings, in a process of its own: it patches what it finds.

Prints all that Sentry would have sent, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

sys.path.insert(0, str(Path(__file__).parent))
from watched import API_KEY, TOKEN

import aioe2e
from aioe2e.testing import FakeE2E, Fault

sent: list[Any] = []


class _Kept(Transport):
    def capture_envelope(self, envelope: Envelope) -> None:
        sent.extend(item.payload.json for item in envelope.items if item.payload.json)


async def _cancelled(session: aioe2e.Session, fake: FakeE2E) -> None:
    """A user's own timeout around a call in flight."""
    fake.inject("hang", "rename")
    try:
        async with asyncio.timeout(0.2):
            await session.images.rename(next(iter(fake.images)), "cancelled")
    except TimeoutError as error:
        sentry_sdk.capture_exception(error)


async def _failed(session: aioe2e.Session, fake: FakeE2E) -> None:
    for kind in ("reset", "500-json", "400-json", "garbage"):
        fake.inject(Fault(kind), "rename")
        try:
            await session.images.rename(next(iter(fake.images)), kind)
        except aioe2e.E2EError as error:
            sentry_sdk.capture_exception(error)


async def main() -> None:
    once = aioe2e.RetryPolicy(attempts=1, look=0)
    async with FakeE2E(images=3, api_key=API_KEY, auth_token=TOKEN) as fake:
        async with fake.session(retry=once) as session:
            with sentry_sdk.start_transaction(name="job"):
                await session.images.list()
                await _failed(session, fake)
                await _cancelled(session, fake)
    sentry_sdk.flush()


sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=_Kept, traces_sample_rate=1.0)
asyncio.run(main())
print(json.dumps(sent))
