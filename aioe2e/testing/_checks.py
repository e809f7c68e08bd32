"""What an argument of the emulator may be; anything else is a `UsageError` that names it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Never, TypeGuard

import attrs

from aioe2e._check import quoted
from aioe2e.errors import UsageError

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def refuse(name: str, expected: str, value: object) -> Never:
    """Say what something must be.

    Raises:
        UsageError: Always.
    """
    raise UsageError(f"{name} must be {expected}, not {quoted(value)}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object, *, least: int = 0) -> TypeGuard[int]:
    """Whether a value is a whole number from `least` on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_several(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether a value holds others, one after the other; text and mappings do not count."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def seconds(name: str, value: object) -> float:
    """A time in seconds, 0 or more."""
    if not is_number(value) or value < 0:
        refuse(name, "a number of seconds of 0 or more", value)
    return value


def share(name: str, value: object) -> float:
    """A share from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        refuse(name, "a number between 0 and 1", value)
    return value


def whole(name: str, value: object, *, least: int = 0, most: int | None = None) -> int:
    """A whole number from `least` on, up to `most`."""
    expected = f"a whole number of {least} or more"
    if most is not None:
        expected = f"a number from {least} to {most}"
    if not is_whole(value, least=least) or (most is not None and value > most):
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
    """Several strings; one alone would be read letter by letter."""
    if not is_several(value):
        refuse(name, "a collection of strings", value)
    found: tuple[Any, ...] = tuple(value)
    if not all(isinstance(word, str) for word in found):
        refuse(name, "a collection of strings", found)
    return found


def known(what: str, value: object, among: Collection[str], *, more: str) -> str:
    """One of the names that there are.

    Args:
        what: What is named: ``"fault"``.
        value: The name.
        among: Those that there are.
        more: Where to find them all.
    """
    if isinstance(value, str) and value in among:
        return value
    near = difflib.get_close_matches(value, among) if isinstance(value, str) else []
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise UsageError(f"there is no {what} {quoted(value)}; {hint}{more}")


def checked(check: Callable[[str, Any], object]) -> Validator:
    """A check as a validator of attrs, which names the class and the field."""

    def validate(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
        check(f"{type(owner).__name__}.{field.name}", value)

    return validate
