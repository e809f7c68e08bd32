"""Checks of arguments, made before anything is sent; an error explains what is wrong."""

from __future__ import annotations

import inspect
import operator
import os
import re
from collections.abc import Iterable
from typing import Final, SupportsIndex, TypeGuard, cast

from ._text import escape, shorten
from .errors import UsageError

__all__ = [
    "as_str",
    "checked_name",
    "identifier",
    "is_number",
    "is_text",
    "is_whole",
    "quoted",
    "require_bool",
    "require_callable",
    "require_wait_times",
    "require_whole",
]

LONGEST_NAME: Final = 255
LONGEST_SHOWN: Final = 80
#: The shortest and the longest time between two polls of a wait, in seconds.
SHORTEST_INTERVAL: Final = 0.01
LONGEST_INTERVAL: Final = 60.0
#: Thirty years in seconds: longer than any sensible wait, short enough to calculate with.
_LONGEST_TIMEOUT: Final = 1e9

_TOO_LARGE: Final = 10**128
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: C0 and C1 controls, line separators, lone surrogates: a listing or a terminal would change them.
#: The pattern is compiled when a name first needs it, as most never do.
_NOT_IN_NAMES: Final = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_str(text: str) -> str:
    """The same characters as a plain ``str``.

    A subclass (a member of an enum, a string of NumPy) may convert itself to another text than the
    one that was checked.
    """
    return text if type(text) is str else str.__str__(text)


def is_collection(value: object) -> TypeGuard[Iterable[object]]:
    """Whether a value has items. A text does not count: it would be read letter by letter."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def require_bool(argument: str, value: object) -> bool:
    """True or False. Anything else is refused: ``"no"`` would count as true.

    Raises:
        UsageError: It is not a bool.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{argument}: True or False is needed, not {quoted(value)}")
    return value


def require_callable(argument: str, value: object, example: str) -> None:
    """Refuse what cannot be called, and async functions: a coroutine would count as true.

    Raises:
        UsageError: It is not a plain callable.
    """
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise UsageError(
            f"{argument}: a plain callable is needed, such as {example}, not {quoted(value)}"
        )


def require_wait_times(timeout: object, interval: object) -> None:
    """Refuse an invalid timeout or poll interval of a wait.

    Raises:
        UsageError: `timeout` is neither None nor a number above 0 and up to thirty years, or
            `interval` is not from 0.01 to 60.
    """
    if not _is_timeout(timeout):
        raise UsageError(
            f"timeout must be a number of seconds above 0 and up to {_LONGEST_TIMEOUT:g},"
            f" or None for no limit, not {quoted(timeout)}"
        )
    if not _is_interval(interval):
        raise UsageError(
            f"interval must be a number of seconds from {SHORTEST_INTERVAL:g} to"
            f" {LONGEST_INTERVAL:g}, not {quoted(interval)}"
        )


def _is_timeout(value: object) -> bool:
    if value is None:
        return True
    return is_number(value) and 0 < value <= _LONGEST_TIMEOUT


def _is_interval(value: object) -> bool:
    return is_number(value) and SHORTEST_INTERVAL <= value <= LONGEST_INTERVAL


def require_whole(argument: str, value: object, least: int) -> int:
    """A whole number, not below `least`.

    Raises:
        UsageError: It is anything else.
    """
    if not is_whole(value, least=least):
        raise UsageError(
            f"{argument}: a whole number of {least} or more is needed, not {quoted(value)}"
        )
    return value


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number. A bool does not count."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float)


def is_whole(value: object, *, least: int = 0) -> TypeGuard[int]:
    """Whether a value is a whole number, not below `least`. A bool does not count."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) and value >= least


def quoted(value: object) -> str:
    """A value as an error may show it: its repr, escaped and short."""
    if isinstance(value, str):
        # Shortened before the repr, which would be slow for a megabyte.
        value = shorten(as_str(value), LONGEST_SHOWN)
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # the repr of a user's value may fail
        text = f"<{type(value).__name__}>"
    return shorten(escape(text), LONGEST_SHOWN)


def identifier(value: object, argument: str, takes: str) -> str:
    """An id that can be sent: of 1 to 128 letters, digits, ``-`` or ``_``, or a number above 0.

    Args:
        value: The id, as text or as a number.
        argument: Its name, for the text of the error.
        takes: What the argument takes, for the text of the error.

    Raises:
        UsageError: It is anything else.
    """
    if isinstance(value, str):
        if _ID.fullmatch(value) is None:
            raise UsageError(
                f"{argument}: {quoted(value)} is not an id;"
                " an id has 1 to 128 letters, digits, '-' or '_'"
            )
        return as_str(value)
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise UsageError(f"{argument}: {takes} is needed, not {quoted(value)}")
    number = operator.index(value)
    if not 0 < number < _TOO_LARGE:
        raise UsageError(
            f"{argument}: {quoted(number)} is not an id;"
            " a number must be above 0 and have up to 128 digits"
        )
    return int.__repr__(number)


def checked_name(value: object) -> str:
    """A name that can be sent, exactly as it was given.

    Nothing is trimmed or changed: the name in a report is the one that was sent.

    Raises:
        UsageError: It is not a string, empty, longer than 255 characters, has white space at either
            end, or holds a control character or half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise UsageError(f"name: a str is needed, not {quoted(value)}")
    if not value:
        raise UsageError("name: it must not be empty (1 to 255 characters)")
    if len(value) > LONGEST_NAME:
        raise UsageError(
            f"name: {quoted(value)} has {len(value)} characters; at most {LONGEST_NAME} are allowed"
        )
    if value != value.strip():
        raise UsageError(
            f"name: {quoted(value)} has white space at an end;"
            " remove it, since names are sent as given"
        )
    if not value.isprintable() and (match := re.search(_NOT_IN_NAMES, value)) is not None:
        raise UsageError(
            f"name: {quoted(value)} contains {escape(match[0])} at position {match.start()};"
            " control characters and lone surrogates are not allowed"
        )
    return as_str(value)


def path_text(argument: str, value: object) -> str:
    """A path as text.

    Raises:
        UsageError: It is not a path.
    """
    try:
        text: object = os.fspath(cast("os.PathLike[str]", value))
    except TypeError:
        text = value
    if isinstance(text, str):
        return text
    raise UsageError(f"{argument}: a path is needed, not {quoted(text)}")
