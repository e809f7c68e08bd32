"""Where requests go is checked before a credential can travel there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e.config import (
    DEFAULT_BASE_URL,
    checked_base_url,
    checked_location,
    checked_project_id,
)
from aioe2e.errors import ConfigError

HOST = "https://api.e2enetworks.com/myaccount"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{HOST}/api/v1/", DEFAULT_BASE_URL),
        (f"{HOST}/api/v1", DEFAULT_BASE_URL),
        (f"{HOST}/", DEFAULT_BASE_URL),
        (HOST, DEFAULT_BASE_URL),
        (f"  {HOST}\n", DEFAULT_BASE_URL),
        ("https://api.e2enetworks.com//myaccount//api/v1//", DEFAULT_BASE_URL),
        ("HTTPS://api.e2enetworks.com/myaccount", DEFAULT_BASE_URL),
        ("https://example.com", "https://example.com/api/v1/"),
        ("https://example.com:8443/x/api/v1", "https://example.com:8443/x/api/v1/"),
        ("https://[::1]:8443", "https://[::1]:8443/api/v1/"),
        ("http://localhost:8400", "http://localhost:8400/api/v1/"),
        ("http://LOCALHOST:8400", "http://LOCALHOST:8400/api/v1/"),
        ("http://127.0.0.1:8400/myaccount/", "http://127.0.0.1:8400/myaccount/api/v1/"),
        ("http://127.9.9.9", "http://127.9.9.9/api/v1/"),
        ("http://[::1]:8400", "http://[::1]:8400/api/v1/"),
    ],
)
def test_every_usual_form_of_the_base_url_is_normalized(value: str, expected: str) -> None:
    assert checked_base_url(value) == expected
    assert checked_base_url(expected) == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "absolute URL"),
        ("   ", "absolute URL"),
        (None, "absolute URL"),
        (5, "absolute URL"),
        (b"https://example.com", "absolute URL"),
        ("example.com", "absolute URL"),
        ("//example.com/x", "absolute URL"),
        ("/api/v1", "absolute URL"),
        ("https://", "absolute URL"),
        ("https:///api/v1", "absolute URL"),
        ("ftp://example.com", "absolute URL"),
        ("file:///etc/passwd", "absolute URL"),
        ("javascript:alert(1)", "absolute URL"),
        ("https://example.com:0", "absolute URL"),
        ("https://example.com:99999", "absolute URL"),
        ("https://example.com:x", "absolute URL"),
        ("https://[::1", "absolute URL"),
        ("https://[abc]/", "absolute URL"),
        ("https://]/", "absolute URL"),
        ("https://exämple.com", "absolute URL"),
        ("https://example.com/\x00", "absolute URL"),
        ("https://exam\nple.com", "absolute URL"),
        ("https://user@example.com", "user information"),
        ("https://user:pass@example.com", "user information"),
        ("http://127.0.0.1:80@evil.com", "user information"),
        ("https://example.com/?x=1", "query"),
        ("https://example.com?", "query"),
        ("https://example.com/#x", "query"),
        ("https://example.com#", "query"),
        ("http://example.com", "must be https"),
        ("http://127.0.0.1.evil.com", "must be https"),
        ("http://localhost.evil.com", "must be https"),
        ("http://10.0.0.1", "must be https"),
        ("http://0.0.0.0", "must be https"),
        ("http://127.1", "must be https"),
        ("http://[::2]", "must be https"),
        ("https://example.com/a b", "spaces or backslashes"),
        ("https://example.com\\@evil.com", "spaces or backslashes"),
        ("https://example.com/../x", "path"),
        ("https://example.com/x/./y", "path"),
        ("https://example.com/%2e%2E/x", "path"),
        ("https://example.com/.%2e/x", "path"),
    ],
)  # fmt: skip
def test_an_invalid_base_url_is_refused_with_a_reason(value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=f"base_url must .*{why}|{why}") as caught:
        checked_base_url(value)
    assert type(caught.value) is ConfigError
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value",
    ["https://user:s3cret-pass@example.com", "ftp://user:s3cret-pass@example.com", "https://ex.com/?apikey=s3cret-pass", "x?apikey=s3cret-pass", "https://[s3?apikey=s3cret-pass",
     "https://user:s3cret-pass@exämple.com", "https://exämple.com/?k=s3cret-pass", "http://user:s3cret-pass@example.com/#x", "user:s3cret-pass@[x"],
)  # fmt: skip
def test_a_refused_url_is_not_quoted_as_it_may_contain_a_secret(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_base_url(value)
    assert "s3cret-pass" not in str(caught.value)
    assert caught.value.__context__ is None


@given(
    value=st.text(max_size=60)
    | st.from_regex(r"https?://[\[\]@:/?#%.\\a-z0-9]{0,30}", fullmatch=True)
)
def test_any_text_is_either_a_safe_base_url_or_refused(value: str) -> None:
    try:
        found = checked_base_url(value)
    except ConfigError:
        return
    assert found.startswith(("https://", "http://"))
    assert found.endswith("/api/v1/")
    assert not set(found) & set("?#\\ ")
    assert "@" not in found.split("/")[2]  # in a path it is a letter like any other
    assert checked_base_url(found) == found


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (1, "1"),
        (12345, "12345"),
        ("12345", "12345"),
        ("007", "7"),
        (10**17, "1" + "0" * 17),
    ],
)
def test_a_project_is_a_positive_whole_number(value: Any, sent: str | None) -> None:
    assert checked_project_id(value) == sent


@pytest.mark.parametrize(
    "value", [0, -1, "0", "-1", "", " ", "1 ", "1.0", 1.0, "1e3", "abc", "٣", "²", True, False, [], b"1", "1" * 19, 10**18, 10**5000, "1&x=2", "1\n"], ids=lambda value: str(type(value))
)  # fmt: skip
def test_an_invalid_project_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="project_id must be a positive whole number") as caught:
        checked_project_id(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "value", [None, "Delhi", "Chennai", "Delhi-NCR-2", "New Delhi", "del_1", "x" * 64]
)
def test_any_name_is_accepted_as_a_location(value: str | None) -> None:
    assert checked_location(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        " Delhi",
        "Delhi\n",
        "x" * 65,
        "Delhi&a=b",
        "Del/hi",
        "Dëlhi",
        "٣",
        5,
        True,
        [],
        b"Delhi",
        "a\x00b",
    ],
)
def test_a_location_with_characters_of_a_query_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="location must be a name"):
        checked_location(value)
