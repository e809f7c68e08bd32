"""What the arguments of this room may be."""

from __future__ import annotations

import math

from aioe2e import _check
from aioe2e.errors import ConfigError

__all__ = ["checked_count", "checked_number", "checked_text"]

_LONGEST_NAME = 200


def checked_number(
    argument: str, value: object, *, least: float | None = None, most: float | None = None
) -> float:
    """A finite number above 0, or from `least` on, up to `most`.

    Raises:
        ConfigError: It is none.
    """
    expected = "above 0" if least is None else f"of {least:g} or more"
    if most is not None:
        expected += f" and at most {most:g}"
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        is_high_enough = value > 0 if least is None else value >= least
        if is_high_enough and (most is None or value <= most):
            return float(value)
    raise ConfigError(f"{argument} must be a number {expected}, not {_check.quoted(value)}")


def checked_count(argument: str, value: object) -> int:
    """A whole number of 1 or more.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f"{argument} must be a whole number of 1 or more, not {_check.quoted(value)}"
        )
    return value


def checked_text(argument: str, value: object) -> str:
    """Printable text that may stand in a key of Redis.

    Raises:
        ConfigError: It is none.
    """
    fits = isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
    if not fits:
        expected = f"1 to {_LONGEST_NAME} printable characters"
        raise ConfigError(f"{argument} must be {expected}, not {_check.quoted(value)}")
    return str(value)
