"""No secret survives, in whatever spelling; nor do control characters or endless text."""

from __future__ import annotations

import base64
import json
import re
import string
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from aioe2e import _text
from aioe2e._text import HIDDEN, LONGEST, Redactor, escape, shorten
from aioe2e._wire import read_listing
from aioe2e.models import SavedImage

#: What may stand in a secret: `config.checked_secret` lets printable ASCII without spaces pass.
PRINTABLE = string.digits + string.ascii_letters + string.punctuation
KEY = "k3y/of+the=user&x"

SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda secret: secret,
    "upper case": str.upper,
    "quote, everything": lambda secret: urllib.parse.quote(secret, safe=""),
    "quote": urllib.parse.quote,
    "quote_plus": urllib.parse.quote_plus,
    "lower-case escapes": lambda secret: urllib.parse.quote(secret, safe="").lower(),
    "encodeURIComponent": lambda secret: urllib.parse.quote(secret, safe="!*'()"),
    "encodeURI": lambda secret: urllib.parse.quote(secret, safe=";,/?:@&=+$-_.!~*'()#"),
    "every character": lambda secret: "".join(f"%{ord(c):02X}" for c in secret),
    "quoted twice": lambda secret: urllib.parse.quote(urllib.parse.quote(secret, safe=""), safe=""),
    "yarl": lambda secret: URL.build(scheme="https", host="x", query={"q": secret}).raw_query_string[2:],
    "yarl, decoded": lambda secret: URL.build(scheme="https", host="x", query={"q": secret}).query_string[2:],
    "json": lambda secret: json.dumps(secret)[1:-1],
    "json of php": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "json of go": lambda secret: json.dumps(secret)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "json of django": lambda secret: json.dumps(secret)[1:-1].replace("<", "\\u003C").replace("'", "\\u0027"),
    "repr": lambda secret: repr(secret)[1:-1],
    "bytes": lambda secret: repr(secret.encode())[2:-1],
    "json in json": lambda secret: json.dumps(json.dumps(secret))[3:-3],
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(
    secret=st.text(PRINTABLE, min_size=6, max_size=60),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_no_spelling_of_any_secret_survives(
    spelling: str, secret: str, before: str, after: str
) -> None:
    spelt = SPELLINGS[spelling](secret)
    cleaned = Redactor([secret]).hide(before + spelt + after)
    assert spelt not in cleaned.replace(HIDDEN, "\0")
    assert HIDDEN in cleaned


@given(secret=st.text(PRINTABLE, min_size=6, max_size=30), data=st.data())
def test_no_mixture_of_plain_and_percent_encoded_characters_survives(
    secret: str, data: st.DataObject
) -> None:
    encoded = [data.draw(st.booleans()) for _ in secret]
    spelt = "".join(
        f"%{ord(c):02x}" if flag else c for c, flag in zip(secret, encoded, strict=True)
    )
    cleaned = Redactor([secret]).hide(f"a{spelt}b")
    assert spelt not in cleaned.replace(HIDDEN, "\0")
    assert cleaned.startswith(f"a{HIDDEN}")


@pytest.mark.parametrize(
    "template",
    ["{}", "GET /images/?apikey={}&project_id=5", "Authorization: Bearer {}", '{{"x-api-key": "{}"}}', "<{}>", "'{}'", "{0}{0}", "{0} and {0}", "\x1b{}\x1b"],
)  # fmt: skip
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_is_hidden_wherever_it_stands(template: str, spelling: str) -> None:
    spelt = SPELLINGS[spelling](KEY)
    assert spelt not in Redactor([KEY]).clean(template.format(spelt))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/x?apikey=0123abc&a=1", "/x?apikey=[hidden]&a=1"),
        ("APIKEY=0123abc", "APIKEY=[hidden]"),
        ("Bearer abc.def.ghi, x", "Bearer [hidden], x"),
        ("bearer\tabc", "bearer\\t[hidden]"),
        ("X-Api-Key: abc", "X-Api-Key: [hidden]"),
        ('{"x-api-key": "abc"}', '{"x-api-key": "[hidden]"}'),
        ("x-api-key=abc", "x-api-key=[hidden]"),
        ("the bearer", "the bearer"),
        ("api key is wrong", "api key is wrong"),
    ],
)
def test_a_foreign_secret_is_hidden_after_a_parameter_or_header_that_carries_one(
    text: str, shown: str
) -> None:
    assert Redactor().clean(text) == shown


@given(text=st.text(max_size=2000))
def test_what_is_shown_is_short_and_printable(text: str) -> None:
    shown = Redactor(["secret-key"]).clean(text)
    assert len(shown) <= LONGEST
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    shown.encode()


@given(text=st.text(string.ascii_lowercase + " .,äé漢", max_size=400))
def test_harmless_text_is_left_alone(text: str) -> None:
    if "bearer" not in text:
        assert Redactor([KEY]).clean(text) == text


@pytest.mark.parametrize(
    ("character", "written"),
    [
        ("\x00", "\\x00"),
        ("\x1b", "\\x1b"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\x7f", "\\x7f"),
        ("\x9b", "\\x9b"),
        ("\u2028", "\\u2028"),
        ("\u202e", "\\u202e"),
        ("\u2066", "\\u2066"),
        ("\ud800", "\\ud800"),
        ("\udfff", "\\udfff"),
        ("\ufeff", "\\ufeff"),
    ],
)
def test_control_and_direction_characters_are_escaped(character: str, written: str) -> None:
    assert Redactor().clean(f"a{character}b") == f"a{written}b"
    assert escape(character).isascii()


@pytest.mark.parametrize("at", [*range(440, 510), 10_000, 20_400, 20_480, 20_499])
def test_no_half_of_a_secret_is_shown_at_the_end_of_a_shortened_text(at: int) -> None:
    secret = "S3CRET" * 10
    shown = Redactor([secret]).clean("." * at + secret + "." * 100)
    assert "S3CR" not in shown
    assert len(shown) <= LONGEST


@pytest.mark.parametrize("length", [6, 60, 700, 2000, 5000])
@pytest.mark.parametrize("count", [1, 5, 11, 40, 300])
def test_many_secrets_in_a_row_show_nothing_of_any(length: int, count: int) -> None:
    secret = ("Zq7" * length)[:length]
    assert "Zq7Z" not in Redactor([secret]).clean(secret * count)


def test_of_two_overlapping_secrets_the_longer_one_is_hidden() -> None:
    assert Redactor(["abcdef", "abcdefghijkl"]).hide("x abcdefghijkl y") == f"x {HIDDEN} y"


@given(
    secrets=st.lists(
        st.text("abcdefghijklmnop./%&", min_size=6, max_size=12), min_size=1, max_size=4
    ),
    text=st.text("xyz ", max_size=5),
)
def test_none_of_several_secrets_survives(secrets: list[str], text: str) -> None:
    redactor = Redactor(secrets)
    shown = redactor.clean(text.join(secrets)).replace(HIDDEN, "\0")
    assert not any(secret in shown for secret in secrets)


def test_a_secret_that_is_learned_later_is_hidden_from_then_on() -> None:
    redactor = Redactor(["first-secret"])
    text = "first-secret second-secret"
    assert redactor.clean(text) == f"{HIDDEN} second-secret"
    redactor.add("second-secret")
    redactor.add("second-secret")
    assert redactor.clean(text) == f"{HIDDEN} {HIDDEN}"


def test_an_empty_secret_hides_nothing() -> None:
    assert Redactor(["", KEY]).clean("a b") == "a b"


def test_what_was_cleaned_before_is_cleaned_the_same_again() -> None:
    redactor = Redactor([KEY])
    for _ in range(2):
        for number in range(300):
            assert redactor.clean(f"{number} {KEY}") == f"{number} {HIDDEN}"


@pytest.mark.parametrize("secret", ["abcd\\<efgh", "\\\\&abcdef", "ab\\'cd\\\"ef", "abcdef\\"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_backslashes_in_a_secret_hide_nothing_from_the_redactor(secret: str, spelling: str) -> None:
    spelt = SPELLINGS[spelling](secret)
    assert Redactor([secret]).hide(f"<{spelt}>") == f"<{HIDDEN}>"


def test_the_repr_of_a_redactor_shows_no_secret() -> None:
    redactor = Redactor([KEY])
    redactor.clean(f"text with {KEY}")
    assert KEY not in repr(redactor)
    assert KEY not in str(redactor)


def test_a_short_text_does_not_wait_for_the_pattern_of_a_long_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = "t0k3n-" * 200
    compiled: list[list[str]] = []
    original = _text._pattern_of

    def recorded(secrets: Iterable[str]) -> re.Pattern[str]:
        compiled.append(list(secrets))
        return original(secrets)

    monkeypatch.setattr(_text, "_pattern_of", recorded)
    redactor = Redactor([token, KEY])
    assert redactor.clean("Success") == "Success"
    assert compiled == []
    for number in range(3):
        assert redactor.clean(f"{number}: no image of {KEY}") == f"{number}: no image of {HIDDEN}"
    assert compiled == [[KEY]]
    for number in range(3):
        assert redactor.clean(f"{number}: {token}, {KEY}") == f"{number}: {HIDDEN}, {HIDDEN}"
    assert compiled == [[KEY], [token, KEY]]
    redactor.add("t0k3n-" * 201)
    assert redactor.hide("t0k3n-" * 201) == HIDDEN


def test_a_text_that_is_no_longer_than_a_secret_may_be_the_secret() -> None:
    redactor = Redactor([KEY, f"{KEY}-and-more"])
    assert redactor.clean(KEY) == HIDDEN
    assert redactor.clean(f"{KEY}-and-more") == HIDDEN
    assert redactor.clean(f"{KEY}-and-mor") == f"{HIDDEN}-and-mor"


@pytest.mark.parametrize(
    "text",
    [
        "k" * 1_000_000,
        "%6b" * 300_000,
        "\\" * 200_000,
        "apikey=" * 100_000,
        "bearer " * 100_000,
        "Bearer" + " " * 200_000,
    ],
)
def test_a_megabyte_of_anything_is_cleaned_quickly(text: str) -> None:
    redactor = Redactor([KEY, "t" + "oken" * 200])
    start = time.process_time()
    redactor.clean(text)
    assert time.process_time() - start < 1.0


@pytest.mark.timeout(60)
def test_a_secret_full_of_backslashes_is_searched_quickly() -> None:
    redactor = Redactor(["\\" * 12 + '"/' * 6])
    start = time.process_time()
    redactor.clean("\\" * 400)
    assert time.process_time() - start < 1.0


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("secret", "count"), [("/abcdefgh", 100_000), ('"abcdefgh', 100_000), ("\\abcdefgh", 30_000)]
)
def test_a_secret_that_begins_with_a_slash_does_not_make_a_run_of_backslashes_slow(
    secret: str, count: int
) -> None:
    start = time.process_time()
    Redactor([secret]).clean("\\" * count)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("text", "shown"), [("abc", "abc"), ("abcdef", "abcdef"), ("abcdefg", "abcde…")]
)
def test_shorten_keeps_within_the_length(text: str, shown: str) -> None:
    assert shorten(text, 6) == shown


@pytest.mark.parametrize("secret", [KEY, "abcdef", "k3y?>~~~??>>", "eyJhbGciOi.eyJzdWIi.c2ln"])
@pytest.mark.parametrize("before", ["", "u", "us", "user:", "apikey "])
@pytest.mark.parametrize("after", ["", ":", ": pass", "x" * 30])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_a_secret_in_base64_is_hidden_at_any_offset(
    secret: str, before: str, after: str, encode: Callable[[bytes], bytes]
) -> None:
    encoded = encode((before + secret + after).encode()).decode().replace("\n", "")
    for spelt in (encoded, urllib.parse.quote(encoded, safe=""), encoded.replace("/", "\\/")):
        shown = Redactor([secret]).hide(f"token {spelt}.")
        assert HIDDEN in shown
        kept = re.sub(r"\\|%..", "", shown.replace(HIDDEN, " "))
        for part in re.findall(r"[A-Za-z0-9+/_-]{6,}", kept):
            assert secret[2:-2].encode() not in base64.b64decode(part + "==", altchars=b"-_")


def test_only_the_beginning_of_a_long_text_is_searched() -> None:
    redactor = Redactor([KEY])
    assert redactor.clean("x" * 3_000_000) == "x" * (LONGEST - 1) + "…"
    shown = redactor.clean(f"{KEY} " * 100_000)
    assert shown.startswith(f"{HIDDEN} {HIDDEN}")
    assert KEY[:3] not in shown


@pytest.mark.parametrize("shift", range(0, 3000, 7))
def test_no_part_of_a_secret_is_shown_at_the_end_of_the_searched_text(shift: int) -> None:
    secret = "Zq7-" * 20
    text = "." * shift + f"{secret}{secret}" * 2000
    assert "q7" not in Redactor([secret]).clean(text)


def turns_of(work: Generator[None, None, Any]) -> tuple[int, Any]:
    """How often the work lets others run, and what comes of it."""
    turns = 0
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return turns, stop.value
        turns += 1


def test_a_large_reply_with_an_echo_is_cleaned_in_slices() -> None:
    names = [f"image-{n}" for n in range(30_000)]
    images = [{"image_id": str(n), "name": name, "note": "x" * 60} for n, name in enumerate(names)]
    odd = {"image_id": "x", "name": KEY, KEY: [KEY]}
    body = json.dumps({"data": [*images, odd], "message": KEY}).encode()
    turns, cleaned = turns_of(read_listing(body, SavedImage, 40_000, Redactor([KEY])))
    assert turns > 50
    assert cleaned["message"] == HIDDEN
    assert [image.name for image in cleaned["data"]] == [*names, HIDDEN]
    assert cleaned["data"][-1].extra == {HIDDEN: [HIDDEN]}


def test_a_large_reply_is_searched_for_an_echo_in_slices() -> None:
    assert turns_of(Redactor([KEY]).is_echoed(b"x" * 5_000_000)) == (4, False)


def test_a_reply_without_an_echo_is_left_alone() -> None:
    content: dict[str, Any] = {"data": []}
    assert Redactor([KEY]).scrub(content, b"x" * 1000) is content


def test_a_reply_with_an_echo_is_cleaned_and_not_changed_in_place() -> None:
    content: dict[str, Any] = {"data": [{"name": KEY, KEY: [KEY, 5, None]}]}
    cleaned = Redactor([KEY]).scrub(content, json.dumps(content).encode())
    assert cleaned == {"data": [{"name": HIDDEN, HIDDEN: [HIDDEN, 5, None]}]}
    assert content["data"][0]["name"] == KEY


@pytest.mark.parametrize("at", [0, 1, 1024 * 1024 - 9, 1024 * 1024, 1024 * 1024 + 1])
def test_an_echo_is_found_wherever_it_stands(at: int) -> None:
    body = b"x" * at + KEY.encode() + b"x" * 2_000_000
    assert Redactor([KEY]).scrub([KEY], body) == [HIDDEN]


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user"])
def test_an_echo_in_base64_is_found(encode: Callable[[bytes], bytes], before: bytes) -> None:
    echoed = encode(before + KEY.encode()).decode()
    assert HIDDEN in Redactor([KEY]).scrub([echoed], json.dumps([echoed]).encode())[0]


def test_an_echo_in_a_reply_too_deep_to_look_through_is_hidden_whole() -> None:
    content: object = KEY
    for _ in range(100):
        content = [content]
    assert KEY not in str(Redactor([KEY]).scrub(content, KEY.encode()))
