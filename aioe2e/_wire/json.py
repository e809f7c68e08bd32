"""JSON out of untrusted bytes, in slices where there is much of it.

Parsing a listing of ten thousand images at once would stall an event loop for 65 ms and more, and a
thread does not help: the parser holds the interpreter. So the elements of a large array are parsed
a few at a time, and each can be made into something else at once: ten thousand dictionaries would
be work for the garbage collector, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from json.decoder import JSONDecodeError
from json.scanner import make_scanner
from typing import Any, Final, TypeGuard, cast


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


class Unreadable:
    """Instead of JSON: why there is none, and whether it looks like a web page."""

    __slots__ = ("html", "reason")

    def __init__(self, reason: str, *, html: bool = False) -> None:
        self.reason: str = reason
        self.html: bool = html

    def __repr__(self) -> str:
        return f"Unreadable({self.reason!r}, html={self.html})"


EMPTY: Final = Unreadable("an empty reply")

#: Bodies up to this many bytes are parsed in one go (well under a millisecond).
SMALL = 32 * 1024
#: Characters parsed between two yields to the loop.
_SLICE = 32 * 1024
#: Characters that one value within a large body may have; parsing it is one stall.
_LARGEST = 256 * 1024
#: Values of the outermost object, and elements of an array in it that no reader takes. No envelope
#: has so many.
_MOST_VALUES = 10_000
#: How two objects of an array stand next to each other in JSON without line breaks.
_BETWEEN_OBJECTS = ("}, {", "},{")
#: What may be left of a number that a window cut off: ``e-`` of ``1e-5``.
_LONGEST_TAIL = 2
_space = re.compile(r"[ \t\r\n]*").match
_loads = json.JSONDecoder().decode
_raw_decode = json.JSONDecoder().raw_decode
# A decoder is what it takes, whatever its stub says.
_scan: Callable[[str, int], tuple[Any, int]] = cast("Any", make_scanner)(json.JSONDecoder())


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
    if isinstance(error, _TooManyValuesError):
        return f"more than {_MOST_VALUES} values next to each other"
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding} at byte {error.start}"
    return "a number is too long"


class _TooManyValuesError(ValueError):
    """An envelope has more values than any envelope means."""


class Enough(Exception):  # noqa: N818  # a signal to the parser
    """A reader wants no further element: what follows in the body is not read."""


#: Makes something of an element; may raise `Enough`.
ElementReader = Callable[[Any], Any]


def parse(body: bytes) -> Any:
    """The JSON value, or an `Unreadable`."""
    try:
        # An object in UTF-8, as nearly every reply is: no need to look for its encoding.
        if body[:2] == b'{"':
            return _whole(body.decode("utf-8", "surrogatepass"))
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        return _unreadable(body, error)


def _whole(text: str) -> Any:
    """The value of a text that begins with one."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        return _loads(text)  # which says what is wrong
    return value if end == len(text) else _loads(text)


def parse_in_slices(body: bytes, read: ElementReader | None = None) -> Generator[None, None, Any]:
    """The same as `parse` for an object, as a generator that yields to let others run.

    Sliced are the elements of arrays that are values of the outermost object (the ``data`` of an
    envelope). No other value, and no element, may be larger than a quarter of a megabyte: no
    listing has such, and it would be one stall.

    Args:
        body: The JSON.
        read: Takes each element of ``data`` as it is parsed; what it returns stands in its place.
            Once it raises `Enough`, the result is what was read until then.
    """
    try:
        text = _text(body)
        yield
        start = _skip(text, 0)
        if text[start : start + 1] != "{":
            return _unreadable(body, JSONDecodeError("Expecting an object", "", start))
        slicer = _Slicer(text, read)
        value, end = yield from slicer.object(start)
        if not slicer.has_enough and _skip(text, end) != len(text):
            raise JSONDecodeError("Extra data", "", end)
    except (ValueError, RecursionError) as error:
        return _unreadable(body, error)
    return value


def _skip(text: str, at: int) -> int:
    match = _space(text, at)
    return at if match is None else match.end()


class _Slicer:
    """Parses one text value by value, through a window that bounds what one value may cost."""

    def __init__(self, text: str, read: ElementReader | None) -> None:
        self._text = text
        self._read = read
        self._window = ""
        self._base = 0
        #: Whether several elements can be parsed at once.
        self._in_batches = True
        #: Whether the reader wants no further element.
        self.has_enough: bool = False

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
                found[key], at = yield from self._array(at, self._read if key == "data" else None)
                if self.has_enough:
                    return found, at
            else:
                found[key], at = self._decode(at)
            if len(found) > _MOST_VALUES:
                raise _TooManyValuesError
            at = self._expect(at, ",}") + 1
            if text[at - 1] == "}":
                return found, at
            yield

    def _array(
        self, at: int, read: ElementReader | None
    ) -> Generator[None, None, tuple[list[Any], int]]:
        text = self._text
        found: list[Any] = []
        at = _skip(text, at + 1)
        if text[at : at + 1] == "]":
            return found, at + 1
        rest = at + _SLICE
        while True:
            elements, at = self._elements(at)
            if not self._take(elements, read, found):
                return found, at
            at = self._expect(at, ",]") + 1
            if text[at - 1] == "]":
                return found, at
            at = _skip(text, at)
            if at > rest:
                yield
                rest = at + _SLICE

    def _take(self, elements: list[Any], read: ElementReader | None, found: list[Any]) -> bool:
        """Add elements, as the reader made them; whether there may be more."""
        if read is None:
            found += elements
            if self._read is not None and len(found) > _MOST_VALUES:
                raise _TooManyValuesError
            return True
        try:
            found += map(read, elements)
        except Enough:
            self.has_enough = True
        return not self.has_enough

    def _elements(self, at: int) -> tuple[list[Any], int]:
        """One element or several that begin at a place, and where the last of them ends."""
        if self._in_batches:
            end = self._likely_end(at)
            if end > at:
                try:
                    return _loads(f"[{self._text[at:end]}]"), end
                except JSONDecodeError:
                    # It was no end: it stands within an element, or within a text.
                    self._in_batches = False
        element, at = self._decode(at)
        return [element], at

    def _likely_end(self, at: int) -> int:
        """Where one of the next elements seems to end; -1 where none does.

        If what stands before it is valid by itself, it is a true end: a text or an object that is
        cut off is not valid.
        """
        limit = at + min(_SLICE, _LARGEST)
        between = max(self._text.rfind(each, at, limit) for each in _BETWEEN_OBJECTS)
        return between + 1 if between > at else -1
