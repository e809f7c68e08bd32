"""How long a server wants to be left alone, read from whatever headers it says it in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
#: A reset above this is a moment in seconds since the epoch, below it a number of seconds from now.
_EPOCH = 1e9
#: No server means a longer wait; keeps absurd values finite.
_LONGEST = 1e9
#: The year 9000: beyond it, datetime has no room for a time zone.
_LAST = 221_845_392_000.0
#: Two families of rate-limit headers; which one the API sends is not known.
_RESETS = ("ratelimit-reset", "x-ratelimit-reset")


def date(text: str) -> float | None:
    """An HTTP date in any of its three forms as seconds since the epoch; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _number(text: str) -> float | None:
    return float(text) if len(text) < 300 and _NUMBER.fullmatch(text) else None


def _one(text: str, now: float) -> float | None:
    text = text.strip()
    if (number := _number(text)) is not None:
        return number
    moment = date(text) if len(text) < 64 else None
    return None if moment is None else max(0.0, moment - now)


def seconds(headers: Mapping[str, Sequence[str]], wall: float) -> float | None:
    """Seconds to wait, 0 or more; None if the headers say nothing readable.

    Args:
        headers: Values by lower-case name. Of several Retry-After values the longest counts; a
            rate-limit reset counts where there is none. Dates are measured against the server's own
            ``Date``.
        wall: The local time, seconds since the epoch, for when the server sends no ``Date``.
    """
    dates = [moment for text in headers.get("date", ()) if (moment := date(text)) is not None]
    now = dates[0] if dates else wall
    values = [
        value for text in headers.get("retry-after", ()) if (value := _one(text, now)) is not None
    ]
    if values:
        return min(max(values), _LONGEST)
    for name in _RESETS:
        for text in headers.get(name, ()):
            if (value := _number(text.strip())) is not None:
                return min(max(0.0, value - now if value >= _EPOCH else value), _LONGEST)
    return None


def server_time(headers: Mapping[str, Sequence[str]]) -> datetime | None:
    """The server's ``Date``, aware; None if there is none."""
    for text in headers.get("date", ()):
        moment = date(text)
        if moment is not None and 0 <= moment < _LAST:
            return datetime.fromtimestamp(moment, UTC)
    return None
