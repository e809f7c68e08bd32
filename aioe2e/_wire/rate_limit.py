"""What a reply says of the account's request budget: its rate-limit headers.

The vendor documents 5,000 requests an hour for a token. One of its pages shows ``ratelimit-limit``,
``ratelimit-remaining`` and ``ratelimit-reset``; the same names with ``x-`` are as common, so both
families are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from aioe2e.models import RateLimit

from .retry_after import server_now, until_reset

_FAMILIES: Final = ("ratelimit-", "x-ratelimit-")
#: The headers that `rate_limit` reads.
RATE_LIMIT_HEADERS: Final = tuple(
    family + name for family in _FAMILIES for name in ("limit", "remaining", "reset")
)
#: Some servers write the window behind the number: ``100, 100;w=60``.
_COUNT = re.compile(r"\s*(\d{1,15})\s*(?:[,;].*)?", re.ASCII)


def _count(headers: Mapping[str, Sequence[str]], name: str) -> int | None:
    for text in headers.get(name, ()):
        if found := _COUNT.fullmatch(text):
            return int(found[1])
    return None


def rate_limit(headers: Mapping[str, Sequence[str]], wall: float) -> RateLimit | None:
    """The request budget as a reply tells it; None if no header tells anything readable.

    Args:
        headers: Values by lower-case name.
        wall: The local time, seconds since the epoch. A reset that is a moment by the server's
            clock is measured against the server's ``Date`` and told by the local clock.
    """
    for family in _FAMILIES:
        limit = _count(headers, family + "limit")
        remaining = _count(headers, family + "remaining")
        now = server_now(headers, wall)
        resets = (until_reset(text, now) for text in headers.get(family + "reset", ()))
        reset = next((wait for wait in resets if wait is not None), None)
        if limit is None and remaining is None and reset is None:
            continue
        return RateLimit(
            limit=limit,
            remaining=remaining,
            reset_at=None if reset is None else datetime.fromtimestamp(wall + reset, UTC),
            seen_at=datetime.fromtimestamp(wall, UTC),
        )
    return None
