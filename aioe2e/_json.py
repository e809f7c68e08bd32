"""JSON out of bytes that nobody vouches for, in slices where there is much of it.

Parsing a listing of ten thousand images at once would stall an event loop for 65 ms and more, and a thread does not
help: the parser holds the interpreter. So the elements of a large array are parsed a few at a time.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from json.decoder import JSONDecodeError
from typing import Any, Final, TypeGuard

import attrs


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


@attrs.frozen
class Unreadable:
    """Instead of JSON: why there is none, and whether it looks like a web page."""

    reason: str
    html: bool = False


EMPTY: Final = Unreadable("an empty reply")

#: Bodies up to this many bytes are parsed in one go (well under a millisecond).
SMALL = 32 * 1024
#: Characters parsed between two yields to the loop.
_SLICE = 64 * 1024
_SPACE = " \t\r\n"
_decode = json.JSONDecoder().raw_decode


def _text(body: bytes) -> str:
    # The standard library's own detection: UTF-8 with or without a mark, UTF-16, UTF-32.
    return body.decode(json.detect_encoding(body), "surrogatepass")


def _unreadable(body: bytes, error: Exception) -> Unreadable:
    if not body.strip():
        return EMPTY
    html = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
    if html:
        return Unreadable("an HTML page instead of JSON", html=True)
    return Unreadable(f"not JSON: {_reason(error)}")


def _reason(error: Exception) -> str:
    """Why, in words that quote nothing of the body (it may hold an echoed secret)."""
    if isinstance(error, JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding} at byte {error.start}"
    return "a number is too long"


def parse(body: bytes) -> Any:
    """The JSON value, or an `Unreadable`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        return _unreadable(body, error)


def parse_in_slices(body: bytes) -> Generator[None, None, Any]:
    """The same as `parse`, as a generator that yields whenever it is time to let others run.

    Sliced are the elements of arrays that are values of the outermost object (the ``data`` of an envelope); all
    else is small, or not a listing.
    """
    try:
        text = _text(body)
        yield
        start = _skip(text, 0)
        if text[start : start + 1] != "{":
            return json.loads(text)
        value, end = yield from _object(text, start)
        if _skip(text, end) != len(text):
            raise JSONDecodeError("Extra data", "", end)
    except (ValueError, RecursionError) as error:
        return _unreadable(body, error)
    return value


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _expect(text: str, at: int, wanted: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] not in tuple(wanted):
        raise JSONDecodeError(f"Expecting {' or '.join(wanted)}", "", at)
    return at


def _object(text: str, at: int) -> Generator[None, None, tuple[dict[str, Any], int]]:
    found: dict[str, Any] = {}
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        key, at = _decode(text, _expect(text, at, '"'))
        at = _skip(text, _expect(text, at, ":") + 1)
        if text[at : at + 1] == "[":
            found[key], at = yield from _array(text, at)
        else:
            found[key], at = _decode(text, at)
        at = _expect(text, at, ",}") + 1
        if text[at - 1] == "}":
            return found, at
        at = _skip(text, at)


def _array(text: str, at: int) -> Generator[None, None, tuple[list[Any], int]]:
    found: list[Any] = []
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return found, at + 1
    rest = at + _SLICE
    while True:
        element, at = _decode(text, at)
        found.append(element)
        at = _expect(text, at, ",]") + 1
        if text[at - 1] == "]":
            return found, at
        at = _skip(text, at)
        if at > rest:
            yield
            rest = at + _SLICE
