"""Public values: compared, shown, written as plain JSON and read from it again.

Instants are ISO 8601 text with their zone, enums are their values, tuples are lists.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeGuard, cast

import attrs

from . import errors
from ._check import is_number, is_whole, quoted
from .errors import E2EError, UsageError

__all__ = [
    "Reader",
    "Value",
    "as_json",
    "checked_fields",
    "error_as_json",
    "error_of_json",
    "instant",
    "optional",
    "sequence",
    "text",
]

#: Converts a JSON value, or raises `Unfit`.
Reader = Callable[[Any], Any]


class Unfit(Exception):  # noqa: N818  # not an error: how a reader refuses a value
    """A value that a reader does not accept; `expected` describes what it does."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class Value:
    """A value that is compared, hashed and shown by its fields.

    attrs would compile these three methods anew for each class, which is most of what such a class
    costs at import. So a class made of this one says ``eq=False, repr=False``.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        values = _compared(cast("Any", type(self)))
        return values(self) == values(other)

    def __hash__(self) -> int:
        values = _hashed(cast("Any", type(self)))
        return hash((type(self), values(self)))

    def __repr__(self) -> str:
        names = _shown(cast("Any", type(self)))
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({fields})"


@lru_cache(maxsize=128)
def _compared(model: Any) -> Callable[[object], object]:
    return attrgetter(*(field.name for field in attrs.fields(model) if field.eq))


@lru_cache(maxsize=128)
def _hashed(model: Any) -> Callable[[object], object]:
    fields = [field for field in attrs.fields(model) if field.eq and field.hash is not False]
    return attrgetter(*(field.name for field in fields))


@lru_cache(maxsize=128)
def _shown(model: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(model) if field.repr)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is an object of JSON, or another mapping."""
    return isinstance(value, Mapping)


def is_series(value: object) -> TypeGuard[Collection[Any]]:
    """Whether a value becomes a list in JSON."""
    return isinstance(value, list | tuple | set | frozenset)


def as_json(value: Any) -> Any:
    """A value as ``json.dumps`` takes it, sharing nothing with the original.

    Numbers that JSON does not have (``nan``, ``inf``) become text.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if is_mapping(value):
        return mapping(value)
    if is_series(value):
        return list(array(value))
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return repr(value)


def checked_fields(
    what: str,
    data: object,
    readers: Mapping[str, Reader],
    *,
    required: Collection[str] = (),
    ignored: Collection[str] = (),
) -> dict[str, Any]:
    """The fields of a stored value, each read and checked.

    Args:
        what: What is stored, for the text of an error, such as ``"a saved image"``.
        data: The stored object.
        readers: The reader of each field.
        required: Fields that must be there.
        ignored: Fields that may be there and are not read, since they follow from others.

    Raises:
        UsageError: It is not an object, lacks a field, has an unknown one, or one is invalid.
    """
    if not is_mapping(data):
        raise UsageError(f"{what}: an object is needed, not {quoted(data)}")
    found: dict[str, Any] = {}
    for key, value in data.items():
        if key in ignored:
            continue
        reader = readers.get(key) if isinstance(key, str) else None
        if reader is None:
            raise UsageError(f"{what} has no field {quoted(key)}{_nearest(key, readers)}")
        expected = ""
        try:
            found[key] = reader(value)
        except Unfit as unfit:
            expected = unfit.expected
        if expected:
            raise UsageError(f"{what}: {key}: {expected} is needed, not {quoted(value)}")
    for key in required:
        if key not in found:
            raise UsageError(f"{what}: {key} is missing")
    return found


def _nearest(key: object, known: Collection[str]) -> str:
    import difflib  # noqa: PLC0415  # only for what is mistyped

    close = difflib.get_close_matches(key, known, 1) if isinstance(key, str) else []
    return f"; is {close[0]!r} meant?" if close else ""


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise Unfit("a string")
    return value


def filled_text(value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise Unfit("a string that is not empty")
    return value


def whole(value: Any) -> int:
    """A whole number of 0 or more."""
    if not is_whole(value):
        raise Unfit("a whole number of 0 or more")
    return value


def number(value: Any) -> float:
    """A number that a float can hold."""
    if not is_number(value) or not abs(value) <= sys.float_info.max:
        raise Unfit("a number")
    return value


def yes_or_no(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Unfit("true or false")
    return value


def instant(value: Any) -> datetime:
    """An instant, from ISO 8601 text."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass  # raised below, where no context hangs on it
    raise Unfit("an ISO 8601 date and time, such as '2026-01-31T12:00:00+05:30',")


def array(value: Any) -> tuple[Any, ...]:
    """A list of anything, as a tuple."""
    if not is_series(value):
        raise Unfit("a list")
    return tuple(as_json(item) for item in value)


def mapping(value: Any) -> dict[str, Any]:
    """An object of anything."""
    if not is_mapping(value):
        raise Unfit("an object")
    return {str(key): as_json(item) for key, item in value.items()}


def optional(reader: Reader) -> Reader:
    """A reader that also accepts null."""

    def read(value: Any) -> Any:
        return None if value is None else reader(value)

    return read


def sequence(reader: Reader) -> Reader:
    """A reader of a list of values, as a tuple."""

    def read(value: Any) -> tuple[Any, ...]:
        if not is_series(value):
            raise Unfit("a list")
        return tuple(map(reader, value))

    return read


def one_of(words: Mapping[str, Any]) -> Reader:
    """A reader of one of some words, each of which stands for a value."""

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise Unfit(f"one of {', '.join(words)}")
        return words[value]

    return read


#: The reader of each type that a field of a model may have.
READERS: Mapping[Any, Reader] = {
    str: text,
    str | None: optional(text),
    int: whole,
    int | None: optional(whole),
    float | None: optional(number),
    bool: yes_or_no,
    bool | None: optional(yes_or_no),
    datetime: instant,
    datetime | None: optional(instant),
    tuple[Any, ...]: array,
    Mapping[str, Any]: mapping,
    Any: as_json,
}

#: Attributes of errors that have another name in JSON, since theirs is taken or private.
_NAMES_IN_JSON: Mapping[str, str] = {"message": "server_message", "__notes__": "notes"}
_NAMES_IN_ERRORS: Mapping[str, str] = {there: here for here, there in _NAMES_IN_JSON.items()}


def error_as_json(error: E2EError) -> dict[str, Any]:
    """An error as JSON: its class (``type``), its text (``message``) and its attributes.

    Attributes that have their default are left out. Notes are kept, and a cause is not.
    """
    found: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    defaults = _defaults(cast("Any", type(error)))
    for name, value in vars(error).items():
        if name in defaults and value == defaults[name]:
            continue
        is_error = isinstance(value, E2EError)
        found[_NAMES_IN_JSON.get(name, name)] = error_as_json(value) if is_error else as_json(value)
    return found


def error_of_json(data: object) -> E2EError:
    """The error that `error_as_json` wrote, of the same class if this version has it.

    Raises:
        UsageError: It is not a stored error.
    """
    stored: Mapping[Any, Any] = data if is_mapping(data) else {}
    name, message = stored.get("type"), stored.get("message")
    if not isinstance(name, str) or not isinstance(message, str):
        raise UsageError(f"a stored error has a type and a message, not {quoted(data)}")
    kind = _error_class(name)
    state = dict(_defaults(cast("Any", kind)))
    for key, value in stored.items():
        if key not in ("type", "message"):
            attribute = _NAMES_IN_ERRORS.get(key, key)
            state[attribute] = list(value) if key == "notes" else _attribute(value)
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


def _error_class(name: str) -> type[E2EError]:
    """The class of that name; `E2EError` if only a newer version has it."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, E2EError):
        return kind
    return E2EError


def _attribute(value: Any) -> Any:
    if is_mapping(value) and "type" in value:
        return error_of_json(value)
    return tuple(value) if is_series(value) else value


@lru_cache(maxsize=64)
def _defaults(kind: Any) -> Mapping[str, Any]:
    """The defaults of the attributes of an error."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
