"""How long a server wants to be left alone, and what it says of the account's request budget.

The vendor documents 5,000 requests an hour for a token. One of its pages shows ``ratelimit-limit``,
``ratelimit-remaining`` and ``ratelimit-reset``; the same names with ``x-`` are as common, so both
families are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from aioe2e.models import RateLimit

from .envelope import is_number
from .json import is_object

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
#: A reset above this is a moment in seconds since the epoch, below it a number of seconds from now.
_EPOCH = 1e9
#: No server means a longer wait; keeps absurd values finite.
_LONGEST = 1e9
#: The year 9000: beyond it, datetime has no room for a time zone.
_LAST = 221_845_392_000.0
_FAMILIES: Final = ("ratelimit-", "x-ratelimit-")


def date(text: str) -> float | None:
    """An HTTP date in any of its three forms as seconds since the epoch; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _number(text: str) -> float | None:
    if len(text) < 300 and re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    return None


def _one(text: str, now: float) -> float | None:
    text = text.strip()
    if (number := _number(text)) is not None:
        return number
    moment = date(text) if len(text) < 64 else None
    return None if moment is None else max(0.0, moment - now)


def server_now(headers: Mapping[str, Sequence[str]], wall: float) -> float:
    """The server's clock at the reply, seconds since the epoch; `wall` where it does not tell."""
    dates = (date(text) for text in headers.get("date", ()))
    return next((moment for moment in dates if moment is not None), wall)


def until_reset(text: str, now: float) -> float | None:
    """Seconds until the moment that a rate-limit reset names; None if it is unreadable.

    Args:
        text: Seconds from now or, where the number is that large, seconds since the epoch.
        now: The server's clock.
    """
    value = _number(text.strip())
    if value is None:
        return None
    if value >= _EPOCH:
        value = max(0.0, value - now)
    return min(value, _LONGEST)


def _reset(headers: Mapping[str, Sequence[str]], family: str, now: float) -> float | None:
    """Seconds until the reset that a family of headers names, where it can be read."""
    waits = (until_reset(text, now) for text in headers.get(f"{family}reset", ()))
    return next((wait for wait in waits if wait is not None), None)


def seconds_in_headers(headers: Mapping[str, Sequence[str]], wall: float) -> float | None:
    """Seconds to wait, 0 or more; None if the headers say nothing readable.

    Args:
        headers: Values by lower-case name. Of several Retry-After values the longest counts; a
            rate-limit reset counts where there is none. Dates are measured against the server's own
            ``Date``.
        wall: The local time, seconds since the epoch, for when the server sends no ``Date``.
    """
    now = server_now(headers, wall)
    values = [
        value for text in headers.get("retry-after", ()) if (value := _one(text, now)) is not None
    ]
    if values:
        return min(max(values), _LONGEST)
    for family in _FAMILIES:
        wait = _reset(headers, family, now)
        if wait is not None:
            return wait
    return None


#: The usual sentence of the framework behind the API, "Request was throttled. Expected available in
#: 45 seconds.", and its like.
_SENTENCE = r"""\b(?:available|again|retry|wait)\b \D{0,20}? (\d{1,9}(?:\.\d{1,9})?)
    \s* (s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b"""
_UNITS = {"s": 1, "m": 60, "h": 3600}
#: Under which a body says it as a number of seconds.
_KEYS = ("retry_after", "retryAfter", "retry-after", "wait", "wait_seconds")


def seconds_in_body(
    envelope: Mapping[str, Any], message: str, errors: Sequence[str]
) -> float | None:
    """Seconds to wait as the body of a refusal says them; None if it says nothing of the kind.

    Args:
        envelope: The body; a number under one of the usual keys, there or in its ``data``, counts
            before the texts.
        message: The sentence for people.
        errors: The sentences of ``errors``.
    """
    data = envelope.get("data")
    for place in (envelope, data if is_object(data) else {}):
        for key in _KEYS:
            value = place.get(key)
            if isinstance(value, str):
                value = _number(value.strip())
            if is_number(value) and value >= 0:
                return float(min(value, _LONGEST))  # JSON has numbers that no float can hold
    for text in (message, *errors):
        if found := re.search(_SENTENCE, text, re.IGNORECASE | re.VERBOSE):
            return min(float(found[1]) * _UNITS[found[2][0].lower()], _LONGEST)
    return None


def server_time(headers: Mapping[str, Sequence[str]]) -> datetime | None:
    """The server's ``Date``, aware; None if there is none."""
    for text in headers.get("date", ()):
        moment = date(text)
        if moment is not None and 0 <= moment < _LAST:
            return datetime.fromtimestamp(moment, UTC)
    return None


#: The headers that `rate_limit` reads.
RATE_LIMIT_HEADERS: Final = tuple(
    family + name for family in _FAMILIES for name in ("limit", "remaining", "reset")
)
#: Some servers write the window behind the number: ``100, 100;w=60``.
_COUNT = r"\s*(\d{1,15})\s*(?:[,;].*)?"


def _count(headers: Mapping[str, Sequence[str]], name: str) -> int | None:
    for text in headers.get(name, ()):
        if found := re.fullmatch(_COUNT, text, re.ASCII):
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
        reset = _reset(headers, family, now)
        if limit is None and remaining is None and reset is None:
            continue
        return RateLimit(
            limit=limit,
            remaining=remaining,
            reset_at=None if reset is None else datetime.fromtimestamp(wall + reset, UTC),
            seen_at=datetime.fromtimestamp(wall, UTC),
        )
    return None
