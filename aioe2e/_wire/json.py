"""JSON out of untrusted bytes, in slices where there is much of it.

Parsing a listing of ten thousand images at once would stall an event loop for 65 ms and more, and a
thread does not help: the parser holds the interpreter. So the elements of a large array are parsed
a few at a time.
"""

from __future__ import annotations

import json
import re
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
#: Characters that one value within a large body may have; parsing it is one stall.
_LARGEST = 256 * 1024
#: What may be left of a number that a window cut off: ``e-`` of ``1e-5``.
_LONGEST_TAIL = 2
_space = re.compile(r"[ \t\r\n]*").match
_loads = json.JSONDecoder().decode
_raw_decode = json.JSONDecoder().raw_decode


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
        # An object in UTF-8, as nearly every reply is: no need to look for its encoding.
        if body[:2] == b'{"':
            return _loads(body.decode("utf-8", "surrogatepass"))
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        return _unreadable(body, error)


def parse_in_slices(body: bytes) -> Generator[None, None, Any]:
    """The same as `parse` for an object, as a generator that yields to let others run.

    Sliced are the elements of arrays that are values of the outermost object (the ``data`` of an
    envelope). No other value, and no element, may be larger than a quarter of a megabyte: no
    listing has such, and it would be one stall.
    """
    try:
        text = _text(body)
        yield
        start = _skip(text, 0)
        if text[start : start + 1] != "{":
            return _unreadable(body, JSONDecodeError("Expecting an object", "", start))
        value, end = yield from _Slicer(text).object(start)
        if _skip(text, end) != len(text):
            raise JSONDecodeError("Extra data", "", end)
    except (ValueError, RecursionError) as error:
        return _unreadable(body, error)
    return value


def _skip(text: str, at: int) -> int:
    match = _space(text, at)
    return at if match is None else match.end()


class _Slicer:
    """Parses one text value by value, through a window that bounds what one value may cost."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._window = ""
        self._base = 0

    def _decode(self, at: int) -> tuple[Any, int]:
        """The value at a place, and where it ends."""
        if not self._base <= at < self._base + len(self._window):
            self._move(at)
        try:
            value, end = _raw_decode(self._window, at - self._base)
            last = self._base + len(self._window) >= len(self._text)
            may_go_on = not last and end + _LONGEST_TAIL >= len(self._window)  # a number may
            if not may_go_on:
                return value, self._base + end
        except JSONDecodeError:
            pass  # it may only have been cut off by the end of the window
        self._move(at)
        value, end = _raw_decode(self._window)
        return value, self._base + end

    def _move(self, at: int) -> None:
        self._base = at
        self._window = self._text[at : at + _LARGEST]

    def _expect(self, at: int, wanted: str) -> int:
        at = _skip(self._text, at)
        if self._text[at : at + 1] not in tuple(wanted):
            raise JSONDecodeError(f"Expecting {' or '.join(wanted)}", "", at)
        return at

    def object(self, at: int) -> Generator[None, None, tuple[dict[str, Any], int]]:
        """The object that begins at a place, and where it ends."""
        text = self._text
        found: dict[str, Any] = {}
        at = _skip(text, at + 1)
        if text[at : at + 1] == "}":
            return found, at + 1
        while True:
            key, at = self._decode(self._expect(at, '"'))
            at = _skip(text, self._expect(at, ":") + 1)
            if text[at : at + 1] == "[":
                found[key], at = yield from self._array(at)
            else:
                found[key], at = self._decode(at)
            at = self._expect(at, ",}") + 1
            if text[at - 1] == "}":
                return found, at
            yield

    def _array(self, at: int) -> Generator[None, None, tuple[list[Any], int]]:
        text = self._text
        found: list[Any] = []
        at = _skip(text, at + 1)
        if text[at : at + 1] == "]":
            return found, at + 1
        rest = at + _SLICE
        while True:
            element, at = self._decode(at)
            found.append(element)
            at = self._expect(at, ",]") + 1
            if text[at - 1] == "]":
                return found, at
            at = _skip(text, at)
            if at > rest:
                yield
                rest = at + _SLICE
