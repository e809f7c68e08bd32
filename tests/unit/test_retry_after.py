"""How long a server wants to be left alone, in every spelling that it may use."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e._wire.throttle import date, seconds_in_body, seconds_in_headers, server_time

NOW = 1_774_000_000.0
#: The three forms of a date in HTTP, all of them two minutes after NOW.
LATER = datetime.fromtimestamp(NOW + 120, UTC)
FORMS = [
    LATER.strftime("%a, %d %b %Y %H:%M:%S GMT"),
    LATER.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    LATER.strftime("%a %b %e %H:%M:%S %Y"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("1", 1.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("9" * 35, 1e9),
        ("9" * 200, 1e9),
        ("007", 7.0),
        *((form, 120.0) for form in FORMS),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
    ],
)
def test_a_readable_value_is_a_number_of_seconds_from_0_on(text: str, expected: float) -> None:
    assert seconds_in_headers({"retry-after": (text,)}, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "-0", "+5", "inf", "nan", "1e3", "0x10", "١٢", "5 s", "5,6", "soon", "1_000", ".", "9" * 400,
     "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015", "0 0 0 0 0", "Fri, 31 Dec 9999 23:59:59 GMT" + " " * 5000 + "x", "\ud800", "("],
)  # fmt: skip
def test_an_unreadable_value_counts_as_none(text: str) -> None:
    assert seconds_in_headers({"retry-after": (text,)}, NOW) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [(("1", "5"), 5.0), (("5", "1"), 5.0), (("nonsense", "2"), 2.0), ((FORMS[0], "3"), 120.0), (("x", "y"), None), ((), None)],
)  # fmt: skip
def test_of_several_values_the_longest_readable_one_counts(
    values: tuple[str, ...], expected: float | None
) -> None:
    assert seconds_in_headers({"retry-after": values}, NOW) == expected


def test_a_date_is_measured_against_the_servers_own_clock() -> None:
    headers = {
        "retry-after": (FORMS[0],),
        "date": (datetime.fromtimestamp(NOW + 110, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),),
    }
    assert seconds_in_headers(headers, wall=NOW - 86_400) == 10.0


def test_an_unreadable_date_header_leaves_the_local_clock() -> None:
    assert seconds_in_headers({"retry-after": (FORMS[0],), "date": ("yesterday",)}, NOW) == 120.0


@pytest.mark.parametrize("name", ["ratelimit-reset", "x-ratelimit-reset"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30", 30.0),
        ("0", 0.0),
        (str(int(NOW) + 100), 100.0),
        (str(int(NOW) - 100), 0.0),
        ("1e3", None),
        ("-5", None),
        ("", None),
        ("9" * 30, 1e9),
    ],
)
def test_a_reset_is_seconds_from_now_or_a_moment(
    name: str, text: str, expected: float | None
) -> None:
    assert seconds_in_headers({name: (text,)}, NOW) == expected


def test_a_reset_counts_only_where_there_is_no_retry_after() -> None:
    assert seconds_in_headers({"retry-after": ("2",), "ratelimit-reset": ("60",)}, NOW) == 2.0
    assert seconds_in_headers({"retry-after": ("soon",), "x-ratelimit-reset": ("60",)}, NOW) == 60.0


def test_no_header_says_nothing() -> None:
    assert seconds_in_headers({}, NOW) is None


@pytest.mark.parametrize(
    "text",
    ["Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", "Mon, 01 Jan 100 00:00:00 GMT", "x", "", "Thu, 01 Jan 1970 00:00:00 +9999"],
)  # fmt: skip
def test_an_absurd_date_is_no_server_time_and_no_crash(text: str) -> None:
    found = server_time({"date": (text,)})
    assert found is None or found.tzinfo is UTC


def test_the_first_readable_date_is_the_server_time() -> None:
    assert server_time({"date": ("x", FORMS[0])}) == LATER
    assert server_time({}) is None


@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(8000, 1, 1), timezones=st.just(UTC)))
def test_a_date_survives_the_way_through_a_header(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    assert date(format_datetime(moment, usegmt=True)) == moment.timestamp()
    assert server_time({"date": (format_datetime(moment, usegmt=True),)}) == moment


_names = st.sampled_from(["retry-after", "date", "ratelimit-reset", "x-ratelimit-reset"])
_digits = st.from_regex(r"[0-9]{1,60}(\.[0-9]{0,30})?", fullmatch=True)
_dates = st.from_regex(
    r"(\w{3}, )?[0-9]{1,3} \w{3} [0-9]{1,5} [0-9:]{1,9} ([+-][0-9]{1,6}|GMT|\w{1,4})",
    fullmatch=True,
)
_values = st.text(max_size=60) | _digits | _dates | st.sampled_from(FORMS)


@given(
    headers=st.dictionaries(_names, st.lists(_values, max_size=3).map(tuple)),
    wall=st.floats(0, 4e9),
)
def test_any_headers_give_none_or_a_finite_time_from_0_on(
    headers: dict[str, tuple[str, ...]], wall: float
) -> None:
    found = seconds_in_headers(headers, wall)
    assert found is None or 0.0 <= found <= 1e9
    assert found is None or math.isfinite(found)
    server_time(headers)


@given(number=st.floats(0, 1e8))
def test_any_plain_number_is_taken_as_it_is(number: float) -> None:
    text = f"{number:.6f}"
    assert seconds_in_headers({"retry-after": (text,)}, NOW) == float(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Request was throttled. Expected available in 45 seconds.", 45.0),
        ("Request was throttled. Expected available in 1 second.", 1.0),
        ("please try again in 2.5 s", 2.5),
        ("Too many requests, retry after 3 minutes", 180.0),
        ("Wait for 1 hour", 3600.0),
        ("Request was throttled.", None),
        ("please try again later", None),
        ("image 45 s is not available", None),
        ("retry with image 2292 instead", None),
        ("available in 99999999999999999999 seconds", None),
    ],
)
def test_a_wait_that_only_the_text_names_is_read(text: str, expected: float | None) -> None:
    assert seconds_in_body({}, text, ()) == expected
    assert seconds_in_body({}, "no", ("first", text)) == expected


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        ({"retry_after": 45}, 45.0),
        ({"retry_after": "45"}, 45.0),
        ({"data": {"wait": 1.5}}, 1.5),
        ({"wait": 1e300}, 1e9),
        ({"wait": 10**400}, 1e9),
        ({"retry_after": -1}, None),
        ({"retry_after": True}, None),
        ({"retry_after": math.nan}, None),
        ({"retry_after": [45]}, None),
        ({"data": [45]}, None),
    ],
)
def test_a_wait_that_the_body_names_as_a_number_is_read(
    envelope: dict[str, object], expected: float | None
) -> None:
    assert seconds_in_body(envelope, "no", ()) == expected
