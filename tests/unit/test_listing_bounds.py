"""What a listing may cost, however odd it is: its reading ends early, and memory is bounded."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Generator
from typing import Any, TypeVar

import pytest

from aioe2e._text import HIDDEN, Redactor
from aioe2e._wire import LIST, Unreadable, images_in_slices, is_object, read_listing
from aioe2e._wire.json import Enough, parse_in_slices
from aioe2e.errors import ResponseError
from aioe2e.models import SavedImage

T = TypeVar("T")

MIB = 1024 * 1024
SECRET = "the-key-of-the-account"
PLENTY = 10**9


def drained(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            value: T = stop.value
            return value


def read(body: bytes, most: int = PLENTY) -> Any:
    assert LIST.model is SavedImage
    return drained(read_listing(body, SavedImage, most, Redactor([SECRET])))


def images(body: bytes, most: int = PLENTY) -> list[SavedImage]:
    content = read(body, most)
    assert is_object(content)
    return drained(images_in_slices(content["data"], most))


def listing_of(element: bytes, size: int = 4 * MIB) -> bytes:
    count = size // (len(element) + 1)
    return b'{"code": 200, "data": [' + b",".join([element] * count) + b"]}"


ODD = {
    "empty objects": b"{}",
    "numbers": b"0",
    "texts": b'""',
    "objects without id": b'{"name": "n", "plan": "C3"}',
    "lists": b"[[],[],[]]",
    "deep lists": b"[" * 90 + b"]" * 90,
    "many small objects": b"[" + b",".join([b"{}"] * 30_000) + b"]",
}


@pytest.mark.parametrize("kind", ODD)
def test_reading_ends_after_the_first_few_elements_that_are_no_image(kind: str) -> None:
    body = listing_of(ODD[kind])
    tracemalloc.start()
    try:
        with pytest.raises(ResponseError) as caught:
            images(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(caught.value.problems) == 20
    assert caught.value.problems[0].startswith("$.data[0]")
    # The text of the body is one part of it.
    assert peak < len(body) + 16 * MIB


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": 200, "errors": [' + b",".join([b"{}"] * 1_000_000) + b'], "data": []}',
        b"{" + b",".join(b'"%d":{}' % number for number in range(200_000)) + b"}",
    ],
    ids=["errors", "keys"],
)
def test_an_envelope_of_far_too_many_values_is_not_read_to_its_end(body: bytes) -> None:
    tracemalloc.start()
    try:
        found = read(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(found, Unreadable)
    assert "more than 10000 values" in found.reason
    assert peak < len(body) + 8 * MIB


def test_a_listing_of_more_elements_than_the_limit_is_refused_and_not_read_to_its_end() -> None:
    body = listing_of(b'{"image_id": 7}')
    assert len(read(body, most=100)["data"]) == 101
    with pytest.raises(ResponseError, match=r"more than 100 of them: raise Limits\.max_elements"):
        images(body, most=100)
    small = json.dumps({"data": [{"image_id": number} for number in range(100)]}).encode()
    assert len(images(small, most=100)) == 100


def test_images_of_a_long_listing_never_stand_beside_all_their_dictionaries() -> None:
    elements = [
        {"image_id": str(number), "name": f"image-{number}", "distro": "CentOS-7.5"}
        for number in range(15_000)
    ]
    body = json.dumps({"code": 200, "data": elements}).encode()
    del elements
    tracemalloc.start()
    try:
        found = images(body)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 15_000
    assert peak - kept < len(body) + 4 * MIB


def test_a_few_odd_elements_are_told_by_their_places() -> None:
    elements: list[Any] = [{"image_id": number} for number in range(3000)]
    elements[1500], elements[2500] = {}, 5
    with pytest.raises(ResponseError) as caught:
        images(json.dumps({"data": elements}).encode())
    assert caught.value.problems == (
        "$.data[1500].image_id: missing",
        "$.data[2500]: an object was expected, not int",
    )


def test_an_echo_in_a_long_listing_is_hidden_in_images_and_envelope() -> None:
    elements = [{"image_id": number, "name": f"n-{number}"} for number in range(2000)]
    elements[1999] = {"image_id": 1999, "name": f"<{SECRET}>", "note": [SECRET]}
    body = json.dumps({"data": elements, "message": f"{SECRET}!"}).encode()
    content = read(body)
    assert content["message"] == f"{HIDDEN}!"
    last = content["data"][-1]
    assert (last.name, last.extra["note"]) == (f"<{HIDDEN}>", [HIDDEN])
    assert SECRET not in repr(content)


TRICKY = [
    {"image_id": 1, "vm_info": [{"a": 1}, {"b": 2}, {"c": "}, {"}]},
    {"image_id": 2, "name": "}, {", "vm_info": []},
    {"image_id": 3, "name": '"}, {"', "nested": {"x": {"y": {}}, "z": [{}, {}]}},
    {"image_id": 4, "name": "},{"},
]


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (" , ", " : ")])
@pytest.mark.parametrize("repeats", [1, 50, 2000])
def test_elements_that_look_as_if_they_ended_early_are_read_whole(
    separators: tuple[str, str], repeats: int
) -> None:
    value = {"data": TRICKY * repeats, "message": "Success"}
    body = json.dumps(value, separators=separators).encode()
    assert drained(parse_in_slices(body)) == value


def test_a_reader_that_has_enough_ends_the_parse_with_what_was_read() -> None:
    seen: list[Any] = []

    def reader(element: Any) -> Any:
        if len(seen) == 3:
            raise Enough
        seen.append(element)
        return element * 2

    body = b'{"code": 200, "data": [1, 2, 3, 4, 5], "message": not even JSON'
    assert drained(parse_in_slices(body, reader)) == {"code": 200, "data": [2, 4, 6]}
