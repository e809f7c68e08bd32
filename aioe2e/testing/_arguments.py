"""Arguments that `FakeE2E` takes in several forms, brought into one form."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any, TypeGuard

import attrs

from aioe2e.config import Dialect
from aioe2e.testing.account import Rules
from aioe2e.testing.net import DIALECTS

from . import _checks as checks


def refuse_unknown(rules: Mapping[str, Any], made: type[object]) -> None:
    """Refuse keywords that are neither a rule nor a parameter.

    Args:
        rules: The keywords that are not parameters.
        made: The class that was called with them.

    Raises:
        UsageError: There is one; the text names the closest known keyword.
    """
    fields = {field.name for field in attrs.fields(Rules)}
    parameters = inspect.signature(made).parameters.values()
    named = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    for name in rules:
        if name not in fields:
            checks.known(
                f"parameter of {made.__name__}",
                name,
                sorted(fields | named),
                more=f"its docstring and that of aioe2e.testing.{Rules.__name__} list them",
            )


def latency_range(latency: object) -> tuple[float, float]:
    """Latency as its two ends, in seconds.

    Raises:
        UsageError: It is neither a number of seconds nor the least and the most.
    """
    ends: tuple[Any, ...] = (latency, latency)
    if checks.is_several(latency):
        ends = tuple(latency)
    if not _is_range(ends):
        checks.refuse(
            "latency", "a number of seconds of 0 or more, or the least and the most", latency
        )
    return ends


def _is_range(ends: tuple[Any, ...]) -> TypeGuard[tuple[float, float]]:
    """Whether these are two numbers from 0 on, the smaller one first."""
    if len(ends) != 2 or not all(map(checks.is_number, ends)):
        return False
    return bool(0 <= ends[0] <= ends[1])


def dialect_names(dialects: Dialect | str | Collection[Dialect | str] | None) -> tuple[str, ...]:
    """Dialects as names of `DIALECTS`.

    Raises:
        UsageError: A dialect is unknown, or none is given.
    """
    if dialects is None:
        return tuple(DIALECTS)
    given: object = dialects
    if isinstance(dialects, Dialect | str):
        given = [dialects]
    names: list[str] = []
    if checks.is_several(given):
        for dialect in given:
            names += _names(dialect)
    if not names:
        checks.refuse(
            "dialects", f"one or several of {', '.join(DIALECTS)}, or None for all", dialects
        )
    return tuple(dict.fromkeys(names))


def _names(dialect: object) -> tuple[str, ...]:
    if dialect is Dialect.AUTO:
        return tuple(DIALECTS)
    name = dialect.value if isinstance(dialect, Dialect) else dialect
    return (
        checks.known("dialect", name, DIALECTS, more=f"the dialects are {', '.join(DIALECTS)}"),
    )
