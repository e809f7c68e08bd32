"""What rate-limit headers say of the account's request budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aioe2e._wire.throttle import RATE_LIMIT_HEADERS, rate_limit
from aioe2e.models import RateLimit

WALL = 1_774_000_000.0
SEEN = datetime.fromtimestamp(WALL, UTC)


@pytest.mark.parametrize("family", ["ratelimit-", "x-ratelimit-"])
@pytest.mark.parametrize("reset", ["600", f"{WALL + 600:.0f}"])
def test_both_families_and_both_forms_of_a_reset_are_read(family: str, reset: str) -> None:
    headers = {
        family + "limit": ("5000",),
        family + "remaining": ("965",),
        family + "reset": (reset,),
    }
    assert rate_limit(headers, WALL) == RateLimit(
        limit=5000, remaining=965, reset_at=SEEN + timedelta(minutes=10), seen_at=SEEN
    )
    assert set(headers) <= set(RATE_LIMIT_HEADERS)


def test_a_reset_by_the_servers_clock_is_told_by_the_local_one() -> None:
    """The server's clock is an hour behind: its reset in ten minutes is ten minutes away."""
    date = datetime.fromtimestamp(WALL - 3600, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"date": (date,), "ratelimit-reset": (f"{WALL - 3000:.0f}",)}
    found = rate_limit(headers, WALL)
    assert found is not None
    assert found.reset_at == SEEN + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), (" 12 ", 12), ("100, 100;w=60", 100), ("100;w=60", 100), ("-1", None), ("1.5", None),
     ("many", None), ("", None), ("9" * 400, None), ("١٢", None)],
)  # fmt: skip
def test_an_unreadable_count_is_no_count(text: str, expected: int | None) -> None:
    found = rate_limit({"ratelimit-limit": ("9",), "ratelimit-remaining": (text,)}, WALL)
    assert found is not None
    assert (found.limit, found.remaining) == (9, expected)


@pytest.mark.parametrize(
    "headers",
    [{}, {"retry-after": ("5",)}, {"ratelimit-limit": ("many",)}, {"ratelimit-reset": ("soon",)}],
)
def test_headers_that_say_nothing_of_it_give_none(headers: dict[str, tuple[str, ...]]) -> None:
    assert rate_limit(headers, WALL) is None
