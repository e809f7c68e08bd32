"""JSON out of bytes that nobody vouches for, at once and in slices."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Generator
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e._wire.json import EMPTY, Unreadable, is_array, is_object, parse, parse_in_slices

T = TypeVar("T")


def drained(work: Generator[None, None, T]) -> tuple[T, int]:
    turns = 0
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value, turns
        turns += 1


def agreed(body: bytes) -> Any:
    """What both ways make of a body: the same, but that only objects are read in slices."""
    whole = parse(body)
    sliced, _ = drained(parse_in_slices(body))
    if isinstance(whole, Unreadable):
        assert isinstance(sliced, Unreadable)
        assert (whole.html, whole is EMPTY) == (sliced.html, sliced is EMPTY)
    elif not is_object(whole):
        assert isinstance(sliced, Unreadable)
        assert not sliced.html
    else:
        assert repr(whole) == repr(sliced)  # not ==: nan is in there too
    return whole


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=25,
)
_envelopes = st.dictionaries(
    st.sampled_from(["code", "data", "errors", "message"]), _values | st.lists(_values), max_size=4
)
_layouts = st.sampled_from(
    [{}, {"indent": 2}, {"separators": (",", ":")}, {"indent": "\t", "ensure_ascii": False}]
)
_codecs = st.sampled_from(
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
)


@given(value=_values | _envelopes, layout=_layouts, codec=_codecs)
def test_slices_give_what_the_parser_gives(value: Any, layout: Any, codec: str) -> None:
    body = json.dumps(value, **layout).encode(codec, "surrogatepass")
    assert repr(agreed(body)) == repr(json.loads(json.dumps(value)))


@given(value=_envelopes, layout=_layouts, data=st.data())
def test_slices_refuse_what_the_parser_refuses(
    value: Any, layout: Any, data: st.DataObject
) -> None:
    body = bytearray(json.dumps(value, **layout).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        kind = data.draw(st.sampled_from(["drop", "insert", "cut"]))
        if kind == "drop":
            del body[at : at + 1]
        elif kind == "insert":
            body[at:at] = data.draw(
                st.sampled_from(
                    [
                        b",",
                        b"{",
                        b"}",
                        b"[",
                        b"]",
                        b'"',
                        b":",
                        b"\\",
                        b" ",
                        b"\x00",
                        b"1",
                        b"\xff",
                        b"<",
                    ]
                )
            )
        else:
            del body[at:]
    agreed(bytes(body))


@given(
    body=st.binary(max_size=80)
    | st.text(alphabet='{}[],:"\\ 1eE+-.tfnul\n', max_size=40).map(str.encode)
)
def test_any_bytes_are_json_or_unreadable_and_both_ways_agree(body: bytes) -> None:
    agreed(body)


@pytest.mark.parametrize(
    "text",
    ['{"data": []}', '{"data": [ ]}', "{}", "{ }", ' {"a" : [1 , 2] , "b":{} } ', '{"a":[[1],[2]]}', "[]", "5", '"x"', "null",
     '{"a":1,"a":[2]}', '{"a":[1],"a":2}', '{"data":[NaN,Infinity,-Infinity]}', "true"],
)  # fmt: skip
def test_valid_text_is_read_by_both(text: str) -> None:
    assert not isinstance(agreed(text.encode()), Unreadable)


@pytest.mark.parametrize(
    "text",
    ['{"data": [1,]}', '{"data": [,1]}', '{"data": [1 2]}', '{"data": [1]', '{"data": [', '{"data": [1], }', '{"a":1,}', '{a:1}',
     '{"a" 1}', '{"a":}', '{"a":1}}', '{"a":[1]}]', "{,}", '{"a":1 "b":2}', "{", "[", '{"a', '{"a":"\n"}', "'x'", "{} {}", "01", "+1",
     '{"data":[1]\x0b}', '{"data":\x0c[1]}', '\xa0{}'],
)  # fmt: skip
def test_faulty_text_is_refused_by_both(text: str) -> None:
    assert isinstance(agreed(text.encode()), Unreadable)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_one_byte_order_mark_is_fine_and_two_are_not(mark: bytes) -> None:
    codec = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}[mark]
    assert agreed(mark + '{"data": [1]}'.encode(codec)) == {"data": [1]}
    assert isinstance(agreed(mark + mark + "{}".encode(codec)), Unreadable)


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
def test_nothing_but_space_is_an_empty_reply(body: bytes) -> None:
    assert agreed(body) is EMPTY


@pytest.mark.parametrize(
    "body", [b"<html>", b"  <", b"\xef\xbb\xbf\r\n<!DOCTYPE html>", b"<?xml?>"]
)
def test_a_page_is_told_from_broken_json(body: bytes) -> None:
    found = agreed(body)
    assert isinstance(found, Unreadable)
    assert found.html


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 200_000, b'{"data":[' + b"[" * 200_000, b'{"data":' + b'{"a":' * 200_000, b'{"data":[' * 100_000],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_deep_nesting_is_unreadable_and_no_crash(body: bytes) -> None:
    found = agreed(body)
    assert isinstance(found, Unreadable)


@pytest.mark.parametrize(
    "body",
    [b"1" * 6000, b'{"data": [' + b"1" * 6000 + b"]}", b'{"a": -' + b"9" * 5000 + b"}"],
    ids=["plain", "sliced", "negative"],
)
def test_a_number_of_thousands_of_digits_is_unreadable(body: bytes) -> None:
    if not sys.get_int_max_str_digits():
        pytest.skip("this Python reads numbers of any length")
    found = agreed(body)
    assert isinstance(found, Unreadable)
    assert "too long" in found.reason


@pytest.mark.parametrize(
    "body",
    [
        b'{"key-of-the-user',
        b"key-of-the-user",
        b'{"a": key-of-the-user}',
        b"\xffkey-of-the-user",
        b'["key-of-the-user" "x"]',
    ],
)
def test_the_reason_quotes_nothing_of_the_body(body: bytes) -> None:
    for found in (parse(body), drained(parse_in_slices(body))[0]):
        assert isinstance(found, Unreadable)
        assert "key-of" not in found.reason
        assert len(found.reason) < 100


_scalars = (
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats() | st.text(max_size=5)
)


@given(
    value=st.dictionaries(
        st.text(max_size=3), _scalars | st.lists(_scalars, max_size=20), max_size=8
    ),
    layout=_layouts,
)
def test_values_that_straddle_two_windows_are_read_whole(value: Any, layout: Any) -> None:
    text = json.dumps(value, **layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aioe2e._wire.json._LARGEST", 70)
        sliced, _ = drained(parse_in_slices(text.encode("utf-8", "surrogatepass")))
    assert repr(sliced) == repr(json.loads(text))


@pytest.mark.parametrize("number", ["1.5", "1e5", "1E-5", "-1.25e+10", "-0.0", "12345"])
def test_a_number_at_the_end_of_a_window_is_read_whole(number: str) -> None:
    for before in range(40, 60):
        text = '{"a": "' + "x" * before + '", "b": ' + number + ', "c": 1}'
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("aioe2e._wire.json._LARGEST", 64)
            assert drained(parse_in_slices(text.encode()))[0] == json.loads(text)


def test_a_single_value_that_would_stall_the_loop_is_refused() -> None:
    body = json.dumps({"data": ["x" * 1_000_000]}).encode()
    found, _ = drained(parse_in_slices(body))
    assert isinstance(found, Unreadable)
    assert not found.html


def test_a_large_listing_gives_the_loop_many_turns() -> None:
    images = [
        {"image_id": str(number), "name": f"image-{number}", "extra": ["x"] * 10}
        for number in range(10_000)
    ]
    body = json.dumps({"code": 200, "data": images, "errors": {}, "message": "Success"}).encode()
    found, turns = drained(parse_in_slices(body))
    assert found["data"] == images
    assert turns > len(body) / 100_000


def test_a_long_run_of_space_costs_no_memory() -> None:
    body = b'{"data": [' + b" " * 1_000_000 + b"1]}"
    tracemalloc.start()
    assert agreed(body) == {"data": [1]}
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_objects_and_arrays_are_told_apart() -> None:
    assert is_object({})
    assert not is_object([])
    assert is_array([])
    assert not is_array("")
