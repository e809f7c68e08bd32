"""A compressed body is unpacked within a bound, whatever it stands for."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioe2e._http.reply import (
    BodyTooLargeError,
    BrokenBodyError,
    Unpacker,
    _announced_length,
)

MIB = 1024 * 1024


def raw_deflate(body: bytes, level: int = 9) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def unpacked(encoding: str, packed: bytes, *, most: int = 16 * MIB, chunk: int = 65_536) -> bytes:
    unpacker = Unpacker(encoding, most)
    for start in range(0, len(packed), chunk):
        for _ in unpacker.feed(packed[start : start + chunk]):
            pass
    return unpacker.finish()


PACKERS = {
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate (bare)": raw_deflate,
}
NAMES = list(PACKERS)


@pytest.mark.parametrize("name", NAMES)
@given(body=st.binary(max_size=3000), chunk=st.integers(1, 500))
def test_what_was_packed_comes_out_however_it_arrives(name: str, body: bytes, chunk: int) -> None:
    packed = PACKERS[name](body)
    assert unpacked(name.split(maxsplit=1)[0], packed, chunk=chunk) == body


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "size", [0, 1, MIB - 1, MIB, MIB + 1, MIB + 200, 2 * MIB, 2 * MIB + 136, 3 * MIB + 5]
)
def test_a_body_of_several_steps_comes_out_whole(name: str, size: int) -> None:
    body = b"a" * size
    assert unpacked(name.split(maxsplit=1)[0], PACKERS[name](body)) == body


@pytest.mark.parametrize("size", range(2 * MIB, 2 * MIB + 300, 23))
@pytest.mark.parametrize("chunk", [65_536, 7])
def test_output_that_is_pending_at_the_end_of_the_input_is_not_lost(size: int, chunk: int) -> None:
    assert unpacked("deflate", raw_deflate(b"a" * size), chunk=chunk) == b"a" * size


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_body_is_empty(name: str) -> None:
    assert unpacked(name.split(maxsplit=1)[0], b"") == b""


@pytest.mark.parametrize("encoding", ["br", "zstd", "", "gzip, gzip", "GZIP", "compress", "*"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(BrokenBodyError):
        Unpacker(encoding, MIB)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_truncated_body_is_broken_wherever_it_stops(name: str) -> None:
    packed = PACKERS[name](random.Random(1).randbytes(500))
    for length in range(1, len(packed)):
        with pytest.raises(BrokenBodyError):
            unpacked(name.split(maxsplit=1)[0], packed[:length])


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("rest", [b"x", b"\x00", b"<html>" * 1000])
def test_bytes_behind_the_end_are_broken(name: str, rest: bytes) -> None:
    for chunk in (3, 65_536):
        with pytest.raises(BrokenBodyError):
            unpacked(name.split(maxsplit=1)[0], PACKERS[name](b"body") + rest, chunk=chunk)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@given(body=st.binary(min_size=1, max_size=300))
def test_any_bytes_unpack_or_are_broken(encoding: str, body: bytes) -> None:
    try:
        assert isinstance(unpacked(encoding, body, most=MIB), bytes)
    except (BrokenBodyError, BodyTooLargeError):
        pass


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_flipped_bit_is_never_taken_for_the_body(encoding: str) -> None:
    body = b"the body of a reply " * 20
    packed = PACKERS[encoding](body)
    for place in range(10, len(packed)):
        flipped = bytearray(packed)
        flipped[place] ^= 0x10
        try:
            assert unpacked(encoding, bytes(flipped)) == body
        except BrokenBodyError:
            continue


@pytest.mark.parametrize("name", NAMES)
def test_a_body_of_exactly_the_bound_is_taken_and_one_byte_more_is_not(name: str) -> None:
    body = random.Random(2).randbytes(5000)
    packed = PACKERS[name](body)
    most = max(len(body), len(packed))
    assert unpacked(name.split(maxsplit=1)[0], packed, most=most) == body
    with pytest.raises(BodyTooLargeError):
        unpacked(name.split(maxsplit=1)[0], packed, most=most - 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_counts_what_arrives_too(name: str) -> None:
    unpacker = Unpacker(name.split(maxsplit=1)[0], 1000)
    with pytest.raises(BodyTooLargeError):
        list(unpacker.feed(b"\x00" * 1001))


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_bomb_costs_little_memory_and_gives_the_loop_turns(name: str) -> None:
    packed = PACKERS[name](b"\x00" * (64 * MIB))
    unpacker = Unpacker(name.split(maxsplit=1)[0], 4 * MIB)
    turns = 0
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            for start in range(0, len(packed), 65_536):
                for _ in unpacker.feed(packed[start : start + 65_536]):
                    turns += 1
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert turns >= 3


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ("0", 0),
        ("42", 42),
        ("0" * 40, 0),
        (f"{'0' * 40}42", 42),
        ("", None),
        ("-1", None),
        ("1e3", None),
    ],
)
def test_a_length_is_read_where_it_is_a_whole_number(header: str, length: int | None) -> None:
    assert _announced_length({"Content-Length": header}) == length


def test_a_length_of_thousands_of_digits_is_a_large_one() -> None:
    length = _announced_length({"Content-Length": "9" * 10_000})
    assert length is not None
    assert length > 10**15
