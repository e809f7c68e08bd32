"""Checks of the emulator's arguments. Each raises a `UsageError` that names the argument."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Never, TypeGuard

import attrs

from aioe2e import _check
from aioe2e._check import is_whole, quoted
from aioe2e.errors import UsageError

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def refuse(name: str, expected: str, value: object) -> Never:
    """Say what an argument must be.

    Raises:
        UsageError: Always.
    """
    raise UsageError(f"{name} must be {expected}, not {quoted(value)}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number, and no int that is larger than any float."""
    return _check.is_number(value) and abs(value) <= sys.float_info.max


def is_positive(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number above 0."""
    return is_number(value) and value > 0


def is_several(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether a value is a collection or an iterator of others. Text and mappings do not count."""
    if isinstance(value, str | bytes | Mapping):
        return False
    return isinstance(value, Iterable)


def seconds(name: str, value: object) -> float:
    """A time in seconds, 0 or more."""
    if not is_number(value) or value < 0:
        refuse(name, "a number of seconds of 0 or more", value)
    return value


def positive(name: str, value: object) -> float:
    """A number above 0."""
    if not is_positive(value):
        refuse(name, "a number above 0", value)
    return value


def share(name: str, value: object) -> float:
    """A share from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        refuse(name, "a number between 0 and 1", value)
    return value


def whole(name: str, value: object, *, least: int = 0, most: int | None = None) -> int:
    """A whole number from `least` on, up to `most`."""
    expected = f"a whole number of {least} or more"
    greatest: float = math.inf
    if most is not None:
        expected = f"a number from {least} to {most}"
        greatest = most
    if not is_whole(value, least=least) or value > greatest:
        refuse(name, expected, value)
    return value


def whole_or_none(name: str, value: object, *, least: int = 0) -> int | None:
    """A whole number from `least` on, or None."""
    return None if value is None else whole(name, value, least=least)


def integer(name: str, value: object) -> int:
    """A whole number of any sign."""
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(name, "a whole number", value)
    return value


def text(name: str, value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        refuse(name, "a string", value)
    return value


def words(name: str, value: object) -> tuple[str, ...]:
    """Several strings. A single one is refused: it would be read letter by letter."""
    if not is_several(value):
        refuse(name, "a collection of strings", value)
    found: tuple[Any, ...] = tuple(value)
    if not all(isinstance(word, str) for word in found):
        refuse(name, "a collection of strings", found)
    return found


def known(what: str, value: object, among: Collection[str], *, more: str) -> str:
    """One of the known names.

    Args:
        what: What is named: ``"fault"``.
        value: The name.
        among: The known names.
        more: Where to find them all.
    """
    near: list[str] = []
    if isinstance(value, str):
        if value in among:
            return value
        near = difflib.get_close_matches(value, among)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise UsageError(f"there is no {what} {quoted(value)}; {hint}{more}")


def checked(check: Callable[[str, Any], object]) -> Validator:
    """A check as a validator of attrs, which names the class and the field."""

    def validate(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
        check(f"{type(owner).__name__}.{field.name}", value)

    return validate
